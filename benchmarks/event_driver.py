"""A state machine in Python over minute bars, from frames to tables, beside nautilus_trader.

    python benchmarks/event_driver.py                   # Harmony alone
    python benchmarks/event_driver.py --peers PYTHON    # side by side

--peers is an interpreter that has nautilus_trader (its locks do not go with ours: make one with
`pip install nautilus_trader`). Both run in turn, each in a process of its own, on the same bars of
a random walk: a crossover of two exponential averages that is always in the market, long while the
fast one is above the slow one, else short. Ours holds its averages itself, in Python
(strategies/indicators.py), and is measured from frames to tables, without and with `on_fill`.
nautilus_trader's averages are compiled; of it the run alone is measured, without the loading of its
data and without its statistics. `--quiet` runs machines that never trade: what a bar costs alone.
The best of the rounds counts, and it is judged by the time of the cores: both are one
thread, and the clock of a busy machine tells of its other work.
"""

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from side_by_side import judge, run_task

BARS = 300_000
FAST, SLOW = 10, 50
ROUNDS = 3
WANTED = 5.0
QUIET = "HARMONY_BENCHMARK_QUIET" in os.environ


def walk(rows: int) -> dict[str, Any]:
    """Open, high, low and close of minute bars."""
    source = np.random.default_rng(7)
    moves = source.standard_normal(rows) * 0.001
    close = np.round(100.0 * np.exp(np.cumsum(moves - moves.mean())), 2)
    opened = np.concatenate([[100.0], close[:-1]])
    return {
        "open": opened,
        "high": np.maximum(opened, close),
        "low": np.minimum(opened, close),
        "close": close,
    }


def best(work: Callable[[], int]) -> dict[str, float]:
    """Fewest seconds by the clock and of the cores, and what the work counted."""
    clock, cores, counted = [], [], 0
    for _ in range(ROUNDS):
        begun, used = time.perf_counter(), time.process_time()
        counted = work()
        clock.append(time.perf_counter() - begun)
        cores.append(time.process_time() - used)
    return {"clock": min(clock), "cores": min(cores), "fills": counted}


# --- Harmony --------------------------------------------------------------------------------------


def machines() -> dict[str, Any]:
    from harmony_pipeline.strategies.events import Enter
    from harmony_pipeline.strategies.indicators import PerSymbol, Smoothing

    class Crossover:
        def __init__(self) -> None:
            self.fast = PerSymbol(lambda: Smoothing(FAST))
            self.slow = PerSymbol(lambda: Smoothing(SLOW))
            self.held: dict[str, int] = {}

        def required_features(self) -> tuple[str, ...]:
            return ()

        def on_bar(self, bar: Any) -> Any:
            symbol, close = bar.symbol, bar.close
            fast, slow = self.fast[symbol].update(close), self.slow[symbol].update(close)
            if QUIET or math.isnan(slow):
                return ()
            side = 1 if fast > slow else -1
            if self.held.get(symbol) == side:
                return ()
            self.held[symbol] = side
            return (Enter(symbol, side),)

    class HandlesFills(Crossover):
        inventory = 0.0

        def on_fill(self, fill: Any) -> Any:
            self.inventory += fill.side * fill.quantity
            return ()

    return {"bars": Crossover, "fills": HandlesFills}


def ours(kind: str) -> dict[str, float]:
    import polars as pl

    from harmony_pipeline.backtest.event_driver import run_machine_backtest
    from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
    from harmony_pipeline.labels.settings import LabelSettings
    from harmony_pipeline.market.calendars import Calendar
    from harmony_pipeline.portfolio.parameters import TradingRules
    from harmony_pipeline.portfolio.settings import BacktestSettings
    from harmony_pipeline.risk.settings import RiskSettings
    from harmony_pipeline.schemas import CORPORATE_ACTIONS
    from harmony_pipeline.strategies.settings import StrategySettings

    start = datetime(2015, 1, 1, tzinfo=UTC)
    end = start + timedelta(minutes=BARS - 1)
    stamps = pl.datetime_range(start, end, "1m", time_unit="us", eager=True)
    bars = pl.DataFrame({"symbol": "S000", "timestamp": stamps, "session": "regular", **walk(BARS)})
    bars = bars.with_columns(volume=1e6, adjustment_factor=1.0)
    features = bars.select("symbol", "timestamp", volatility=0.001)
    limits = {"max_drawdown": 1.0, "max_daily_loss": 1.0, "max_position": 0.9}
    rules = TradingRules.of(
        RiskSettings(**limits, max_net_exposure=2.0),
        CostSettings(half_spread_bps=1.0, fee_bps=1.0, impact_coefficient=0.0, sell_fee_bps=0.0),
        ExecutionNoiseSettings(),
        LabelSettings(),
        StrategySettings(use="benchmarks:none", exits="signal", horizon_bars=60),
        BacktestSettings(),
    )
    calendar, make = Calendar.of("24/7"), machines()[kind]
    none = CORPORATE_ACTIONS.empty()

    def run() -> int:
        return run_machine_backtest(
            make(), bars, features, none, rules, calendar, "1Min"
        ).fills.height

    run()  # compiles
    return best(run)


# --- nautilus_trader ------------------------------------------------------------------------------


def nautilus() -> dict[str, float]:
    """Seconds of BacktestEngine.run; the engine is reset between the rounds."""
    from decimal import Decimal

    import pandas as pd
    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.config import LoggingConfig, StrategyConfig
    from nautilus_trader.indicators import ExponentialMovingAverage
    from nautilus_trader.model.currencies import USD
    from nautilus_trader.model.data import BarType
    from nautilus_trader.model.enums import AccountType, OmsType, OrderSide
    from nautilus_trader.model.identifiers import Venue
    from nautilus_trader.model.objects import Money, Quantity
    from nautilus_trader.persistence.wranglers import BarDataWrangler
    from nautilus_trader.test_kit.providers import TestInstrumentProvider
    from nautilus_trader.trading.strategy import Strategy

    instrument = TestInstrumentProvider.equity(symbol="S000", venue="SIM")
    kind = BarType.from_str(f"{instrument.id}-1-MINUTE-LAST-EXTERNAL")
    index = pd.date_range("2015-01-01", periods=BARS, freq="min", tz="UTC")
    frame = pd.DataFrame({**walk(BARS), "volume": 1e6}, index=index)
    bars = BarDataWrangler(kind, instrument).process(frame)
    hundred = Quantity.from_int(100)

    class Crossover(Strategy):
        def __init__(self) -> None:
            super().__init__(StrategyConfig())
            self.fast = ExponentialMovingAverage(FAST)
            self.slow = ExponentialMovingAverage(SLOW)
            self.side = 0

        def on_start(self) -> None:
            self.register_indicator_for_bars(kind, self.fast)
            self.register_indicator_for_bars(kind, self.slow)
            self.subscribe_bars(kind)

        def on_bar(self, bar: Any) -> None:
            if QUIET or not self.indicators_initialized():
                return
            side = 1 if self.fast.value > self.slow.value else -1
            if side == self.side:
                return
            if self.side != 0:
                self.order(side)
            self.side = side
            self.order(side)

        def order(self, side: int) -> None:
            chosen = OrderSide.BUY if side > 0 else OrderSide.SELL
            self.submit_order(self.order_factory.market(instrument.id, chosen, hundred))

        def on_reset(self) -> None:
            self.fast.reset()
            self.slow.reset()
            self.side = 0

    engine = BacktestEngine(
        BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False)
    )
    engine.add_venue(
        Venue("SIM"), OmsType.NETTING, AccountType.MARGIN, [Money(1_000_000, USD)],
        base_currency=USD, default_leverage=Decimal(10),
    )  # fmt: skip
    engine.add_instrument(instrument)
    engine.add_data(bars)
    engine.add_strategy(Crossover())

    clock, cores, filled = [], [], 0
    for _ in range(ROUNDS):
        engine.reset()
        begun, used = time.perf_counter(), time.process_time()
        engine.run()
        clock.append(time.perf_counter() - begun)
        cores.append(time.process_time() - used)
        filled = len(engine.trader.generate_order_fills_report())
    return {"clock": min(clock), "cores": min(cores), "fills": filled}


TASKS: dict[str, Callable[[], dict[str, float]]] = {
    "bars": lambda: ours("bars"),
    "fills": lambda: ours("fills"),
    "nautilus": nautilus,
}


# --- measuring ------------------------------------------------------------------------------------


def show(title: str, found: dict[str, float]) -> None:
    print(
        f"{title:32s} {BARS / found['clock']:12,.0f} bars a second by the clock,"
        f" {found['cores'] / BARS * 1e6:7.2f} us of cores a bar, {found['fills']:,.0f} fills"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--peers", help="an interpreter with nautilus_trader")
    parser.add_argument("--quiet", action="store_true", help="machines that never trade")
    chosen = parser.parse_args()
    if chosen.quiet:
        os.environ["HARMONY_BENCHMARK_QUIET"] = "1"
    if chosen.task:
        print(json.dumps(TASKS[chosen.task]()))
        return
    titles = {"bars": "a machine of bars", "fills": "the same with on_fill"}
    found = {name: run_task(__file__, name) for name in titles}
    peer = run_task(__file__, "nautilus", chosen.peers) if chosen.peers else None
    for name, title in titles.items():
        if one := found[name]:
            show(f"Harmony, {title}", one)
    met = [one is not None for one in found.values()]
    if peer:
        show("nautilus_trader", peer)
        for name, title in titles.items():
            if one := found[name]:
                times = peer["cores"] / one["cores"]
                met.append(judge(f"{title}: times as fast as nautilus_trader", times, WANTED))
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
