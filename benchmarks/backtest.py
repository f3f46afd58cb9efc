"""The portfolio backtest from frames to tables, a grid of parameters, and many symbols at once.

    python benchmarks/backtest.py                                  # Harmony alone
    python benchmarks/backtest.py --before TREE --peers PYTHON     # side by side

--before is another working tree of Harmony, --peers an interpreter that has raptorbt and vectorbt
(their locks do not go with ours: make one with `pip install raptorbt==0.13.4 vectorbt==1.2.0
vectorbt-rust==1.2.0`). All run in turn, each in a process of its own, on the same minute bars of a
random walk: a crossover of two averages, brackets, fees, slippage. The best of the rounds of a
process counts.

vectorbt-rust has two speeds, by the process. So the single symbol is run in many processes of each,
in turn; a target is judged by the median of the ratios of processes that ran one after the other,
and the least and the greatest of them are shown.
"""

import argparse
import json
import os
import resource
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from side_by_side import ROOT, best_of, judge, run_task

ONE, GRID, MANY = 1_000_000, 100_000, 97_500
PAIRS = [(fast, slow) for fast in range(5, 15) for slow in range(20, 120, 10)]
SYMBOLS = 100
VOLATILITY = 0.001
ROUNDS = 3
PROCESSES = {"one": 9, "grid": 1, "many": 1}
FEE, SLIPPAGE, STOP, TAKE = 0.0001, 0.0001, 0.004, 0.008
PEERS = ("raptorbt", "vectorbt")


def walk(number: int, rows: int) -> dict[str, Any]:
    """Open, high, low and close of minute bars."""
    source = np.random.default_rng(number)
    moves = source.standard_normal(rows) * VOLATILITY
    close = np.round(100.0 * np.exp(np.cumsum(moves - moves.mean())), 2)
    opened = np.concatenate([[100.0], close[:-1]])
    reach = np.abs(source.standard_normal((2, rows))) * VOLATILITY / 2
    high = np.round(np.maximum(opened, close) * (1 + reach[0]), 2)
    low = np.round(np.minimum(opened, close) * (1 - reach[1]), 2)
    return {"open": opened, "high": high, "low": low, "close": close}


def crossover(close: Any, fast: int, slow: int) -> tuple[Any, Any]:
    """Bars at which the fast average crosses above the slow one, and below it."""
    total = np.concatenate([[0.0], np.cumsum(close)])
    shorter = (total[slow:] - total[slow - fast : -fast]) / fast
    longer = (total[slow:] - total[:-slow]) / slow
    above = np.zeros(len(close), dtype=bool)
    above[slow - 1 :] = shorter > longer
    before = np.concatenate([above[:1], above[:-1]])
    return above & ~before, before & ~above


# --- Harmony, this tree or another ----------------------------------------------------------------


class Ours:
    """Harmony's frames of the same market."""

    def __init__(self) -> None:
        import polars as pl

        from harmony_pipeline.market.calendars import Calendar
        from harmony_pipeline.schemas import CORPORATE_ACTIONS

        # trees of before call it `named`
        make = vars(Calendar).get("of") or vars(Calendar)["named"]
        self.pl, self.calendar = pl, make.__func__("24/7")
        self.actions = CORPORATE_ACTIONS.empty()
        self.start = datetime(2015, 1, 1, tzinfo=UTC)

    def rules(self, symbols: int) -> Any:
        """Equal parts of the equity in as many symbols as have a signal."""
        from harmony_pipeline.execution import settings as execution
        from harmony_pipeline.labels.settings import LabelSettings
        from harmony_pipeline.risk.settings import RiskSettings
        from harmony_pipeline.strategies.settings import StrategySettings

        try:
            from harmony_pipeline.portfolio.parameters import TradingRules
            from harmony_pipeline.portfolio.settings import BacktestSettings
        except ImportError:  # where they were before
            from harmony_pipeline.backtest.rules import TradingRules
            from harmony_pipeline.backtest.settings import BacktestSettings
        risk = RiskSettings(
            max_drawdown=1.0,
            max_daily_loss=1.0,
            max_open_positions=symbols,
            max_position=0.9 / symbols,
            max_net_exposure=2.0,
        )
        costs = execution.CostSettings(
            half_spread_bps=SLIPPAGE * 1e4,
            fee_bps=FEE * 1e4,
            impact_coefficient=0.0,
            sell_fee_bps=0.0,
        )
        strategy = StrategySettings(use="benchmarks:none", exits="barriers", horizon_bars=60)
        barriers = LabelSettings(profit_take=1.0, stop_loss=0.5)
        kinds = vars(execution)
        noise = (kinds.get("ExecutionNoiseSettings") or kinds["LuckSettings"])()
        return TradingRules.of(risk, costs, noise, barriers, strategy, BacktestSettings())

    def bars(self, number: int, rows: int, **prices: Any) -> Any:
        """schemas.BARS of one symbol."""
        pl = self.pl
        end = self.start + timedelta(minutes=rows - 1)
        stamps = pl.datetime_range(self.start, end, "1m", time_unit="us", eager=True)
        known = {"symbol": f"S{number:03d}", "timestamp": stamps, "session": "regular", **prices}
        return pl.DataFrame({**known, "volume": 1e6, "adjustment_factor": 1.0})

    def signals(self, bars: Any, fast: int, slow: int) -> Any:
        """Entries at both crossings."""
        pl = self.pl
        up, down = crossover(bars["close"].to_numpy(), fast, slow)
        side = up.astype(np.int8) - down.astype(np.int8)
        rows = bars.select("symbol", "timestamp").with_columns(side=side)
        return rows.filter(pl.col("side") != 0).with_columns(
            strength=pl.lit(1.0),
            volatility=pl.lit(VOLATILITY),
            probability=pl.lit(None, dtype=pl.Float64),
            model_id=pl.lit(None, dtype=pl.String),
        )

    def one(self) -> Callable[[], Any]:
        """One symbol, whole result."""
        from harmony_pipeline.backtest.simulator import run_backtest

        bars, rules = self.bars(0, ONE, **walk(0, ONE)), self.rules(1)
        signals = self.signals(bars, 10, 50)
        return lambda: run_backtest(bars, signals, self.actions, rules, self.calendar, "1Min")

    def grid(self) -> Callable[[], Any]:
        """Every pair of averages; a tree without `SessionReturns` makes whole results."""
        from concurrent.futures import ThreadPoolExecutor

        from harmony_pipeline.backtest import simulator

        bars, rules = self.bars(0, GRID, **walk(0, GRID)), self.rules(1)
        signals = [self.signals(bars, *pair) for pair in PAIRS]
        if "SessionReturns" not in vars(simulator):
            whole = simulator.run_backtest
            return lambda: [
                whole(bars, each, self.actions, rules, self.calendar, "1Min") for each in signals
            ]

        def run() -> None:
            market = simulator.Market.of(bars, self.actions, self.calendar, "1Min")
            runs = simulator.SessionReturns(market, rules)
            if "each" in vars(simulator.SessionReturns):
                runs.each(signals)
                return
            with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
                list(pool.map(runs.of, signals))

        return run

    def many(self) -> Callable[[], Any]:
        """Many symbols in one portfolio."""
        from harmony_pipeline.backtest.simulator import run_backtest

        parts = [self.bars(number, MANY, **walk(number, MANY)) for number in range(SYMBOLS)]
        signals = self.pl.concat([self.signals(part, 10, 50) for part in parts])
        bars, rules = self.pl.concat(parts), self.rules(SYMBOLS)
        return lambda: run_backtest(bars, signals, self.actions, rules, self.calendar, "1Min")


# --- peers ----------------------------------------------------------------------------------------


def raptor(rows: int, pairs: list[tuple[int, int]]) -> Callable[[], Any]:
    """raptorbt over the arrays of one symbol."""
    import raptorbt

    prices = walk(0, rows)
    stamps = np.arange(rows, dtype=np.int64) * 60_000_000_000
    columns = (stamps, *prices.values(), np.full(rows, 1e6))
    config = raptorbt.BacktestConfig(fees=FEE, slippage=SLIPPAGE)
    config.set_fixed_stop(STOP)
    config.set_fixed_target(TAKE)
    chosen = [crossover(prices["close"], *pair) for pair in pairs]
    if len(pairs) == 1:
        return lambda: raptorbt.run_single_backtest(*columns, *chosen[0], config=config)

    def run() -> None:
        items = [
            raptorbt.BatchSingleItem(str(place), *signals, config=config)
            for place, signals in enumerate(chosen)
        ]
        raptorbt.batch_single_backtest(*columns, items, config=config)

    return run


def vectorbt(rows: int, pairs: list[tuple[int, int]]) -> Callable[[], Any]:
    """vectorbt with its Rust engine; equity and trades are made, as they are of the others."""
    import pandas as pd
    import vectorbt as vbt

    prices = walk(0, rows)
    index = pd.date_range("2015-01-01", periods=rows, freq="min")
    frame = {name: pd.Series(values, index) for name, values in prices.items()}
    chosen = [crossover(prices["close"], *pair) for pair in pairs]
    entries, exits = (
        pd.DataFrame(np.column_stack([each[side] for each in chosen]), index) for side in (0, 1)
    )

    def run() -> None:
        found = vbt.Portfolio.from_signals(
            frame["close"],
            entries,
            exits,
            open=frame["open"],
            high=frame["high"],
            low=frame["low"],
            sl_stop=STOP,
            tp_stop=TAKE,
            fees=FEE,
            slippage=SLIPPAGE,
            freq="1min",
        )
        found.value()
        assert found.trades.records.shape[0]

    return run


TASKS: dict[str, Callable[[], Callable[[], Any]]] = {
    "ours one": lambda: Ours().one(),
    "ours grid": lambda: Ours().grid(),
    "ours many": lambda: Ours().many(),
    "raptorbt one": lambda: raptor(ONE, [(10, 50)]),
    "raptorbt grid": lambda: raptor(GRID, PAIRS),
    "vectorbt one": lambda: vectorbt(ONE, [(10, 50)]),
    "vectorbt grid": lambda: vectorbt(GRID, PAIRS),
}


# --- measuring ------------------------------------------------------------------------------------


def task(name: str) -> None:
    """One task in this process; prints what was measured."""
    work = TASKS[name]()
    ready = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    work()  # compiles
    clock, cores = best_of(ROUNDS, work)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"clock": clock, "cores": cores, "peak": peak, "ready": ready}))


Found = dict[str, list[dict[str, float]]]


def show(name: str, found: list[dict[str, float]], bars: int) -> None:
    """The median process, and the times of all."""
    clock, cores = (median(one[what] for one in found) for what in ("clock", "cores"))
    print(
        f"{name:28s} {clock:8.4f} s by the clock ({clock / bars * 1e9:6.1f} ns a bar),"
        f" {cores:8.4f} s of cores, peak {max(one['peak'] for one in found):6.0f} MiB"
        f" ({found[0]['ready']:.0f} before)"
    )
    if len(found) > 1:
        times = " ".join(f"{one['clock'] * 1e3:.1f}" for one in found)
        print(f"    of {len(found)} processes, ms: {times}")


_RATIOS = [
    ("one", "before", 8.0),
    ("one", "raptorbt", 2.0),
    ("one", "vectorbt", 3.0),
    ("grid", "raptorbt", 8.0),
    ("grid", "vectorbt", 15.0),
]


def verdicts(found: Found) -> list[bool]:
    """A line for every target that was measured."""
    met = []
    for kind, other, wanted in _RATIOS:
        ours, theirs = found.get(f"Harmony, {kind}"), found.get(f"{other}, {kind}")
        if ours and theirs:
            pairs = zip(theirs, ours, strict=True)
            times = [their["clock"] / own["clock"] for their, own in pairs]
            if len(times) > 1:
                print(f"{kind}: {other} / Harmony from {min(times):.2f} to {max(times):.2f}")
            met.append(judge(f"{kind}: times as fast as {other}", median(times), wanted))
    if "Harmony, grid" in found:
        (grid,) = found["Harmony, grid"]
        met.append(judge("grid: MiB of memory", grid["peak"] - grid["ready"], 500.0, most=True))
    if "Harmony, many" in found:
        (many,) = found["Harmony, many"]
        met.append(judge("many: seconds by the clock", many["clock"], 5.0, most=True))
        met.append(judge("many: GiB at the peak", many["peak"] / 1024, 3.0, most=True))
    return met


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--before", type=Path, help="another working tree of Harmony")
    parser.add_argument("--peers", help="an interpreter with raptorbt and vectorbt")
    parser.add_argument("--only", choices=PROCESSES, help="one of the three works")
    chosen = parser.parse_args()
    if chosen.task:
        task(chosen.task)
        return
    sizes = {"one": ONE, "grid": GRID * len(PAIRS), "many": MANY * SYMBOLS}
    found: Found = {}
    for kind, bars in sizes.items():
        if chosen.only not in (None, kind):
            continue
        runs = [(f"ours {kind}", sys.executable, ROOT, f"Harmony, {kind}")]
        if chosen.before:
            runs.append((f"ours {kind}", sys.executable, chosen.before, f"before, {kind}"))
        if chosen.peers and kind != "many":
            runs += [(f"{peer} {kind}", chosen.peers, ROOT, f"{peer}, {kind}") for peer in PEERS]
        rounds = [
            {title: run_task(__file__, name, python, tree) for name, python, tree, title in runs}
            for _ in range(PROCESSES[kind])
        ]
        for title in rounds[0]:
            answers = [answer for one in rounds if (answer := one[title])]
            if len(answers) == len(rounds):
                found[title] = answers
                show(title, answers, bars)
    sys.exit(0 if all(verdicts(found)) else 1)


if __name__ == "__main__":
    main()
