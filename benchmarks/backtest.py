"""The portfolio backtest: compiled loop alone, and run_backtest from frames to tables.

Brackets are 2 to 1 and last eight bars at most. Signals come on every 20th bar, on none, or on
every bar, where positions are opened as often as the rule allows; orders and fills are counted,
because they, more than bars, are what costs time.
"""

import time
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from harmony_pipeline.backtest import simulator
from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.lives import empty_events
from harmony_pipeline.portfolio.corporate_actions import packed_actions, packed_lives
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.settings import BacktestSettings
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.schemas import CORPORATE_ACTIONS
from harmony_pipeline.strategies.settings import StrategySettings

CLOCK = Calendar.of("24/7")
START = datetime(2015, 1, 1, tzinfo=UTC)
VOLATILITY = 0.001


def market(symbols: int, rows: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Minute bars of a random walk, and a signal at each of them."""
    stamps = pl.datetime_range(
        START, START + timedelta(minutes=rows - 1), "1m", time_unit="us", eager=True
    )
    bars, signals = [], []
    for number in range(symbols):
        source = np.random.default_rng(number)
        moves = source.standard_normal(rows) * VOLATILITY
        close = np.round(100.0 * np.exp(np.cumsum(moves - moves.mean())), 2)
        opening = np.concatenate([[100.0], close[:-1]])
        reach = np.abs(source.standard_normal((2, rows))) * VOLATILITY / 2
        high, low = (
            np.round(np.maximum(opening, close) * (1 + reach[0]), 2),
            np.round(np.minimum(opening, close) * (1 - reach[1]), 2),
        )
        known = {
            "symbol": f"S{number:03d}",
            "timestamp": stamps,
            "session": "regular",
            "open": opening,
            "high": high,
            "low": low,
            "close": close,
        }
        bars.append(pl.DataFrame({**known, "volume": 1e6, "adjustment_factor": 1.0}))
        side = np.where(moves > 0, 1, -1).astype(np.int8)
        signals.append(
            pl.DataFrame(
                {
                    "symbol": known["symbol"],
                    "timestamp": stamps,
                    "side": side,
                    "strength": 1.0,
                    "volatility": VOLATILITY,
                }
            )
        )
    silent = {
        "probability": pl.lit(None, dtype=pl.Float64),
        "model_id": pl.lit(None, dtype=pl.String),
    }
    return pl.concat(bars), pl.concat(signals).with_columns(**silent)


def measure(symbols: int, rows: int, exits: str, every: int) -> None:
    """Print the best of three."""
    bars, signals = market(symbols, rows)
    signals = signals.gather_every(every) if every else signals.clear()
    risk = RiskSettings(
        max_drawdown=1.0,
        max_daily_loss=1.0,
        max_open_positions=symbols,
        max_position=0.9 / symbols,
        max_net_exposure=2.0,
    )
    strategy = StrategySettings(use="benchmarks:none", exits=exits, horizon_bars=8)
    # a random walk would not survive them
    costs = CostSettings(half_spread_bps=0.0, impact_coefficient=0.0, sell_fee_bps=0.0)
    rules = TradingRules.of(
        risk, costs, ExecutionNoiseSettings(), LabelSettings(), strategy, BacktestSettings()
    )
    actions = CORPORATE_ACTIONS.empty()
    state = TradingState.opening(bars["symbol"].unique().to_list(), rules.initial_cash)
    packed = simulator._packed(simulator._joined(bars, signals, CLOCK, "1Min"), state)
    due, lives = packed_actions(actions, state.symbols), packed_lives(empty_events(), state.symbols)
    kernel, whole, logs = [], [], None
    for _ in range(3):
        working = state.copy()
        begun = time.perf_counter()
        logs = simulator._simulate(packed, due, lives, rules, working, {})
        kernel.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        simulator.run_backtest(bars, signals, actions, rules, CLOCK, "1Min")
        whole.append(time.perf_counter() - begun)
    assert logs is not None
    count, title = (
        symbols * rows,
        f"{symbols} x {rows:,} bars, exits by {exits}, "
        + (f"signal every {every}" if every else "no signals"),
    )
    speed = (
        f"loop {min(kernel):.3f} s ({count / min(kernel) / 1e6:5.1f} M bars/s)   run_backtest"
        f" {min(whole):.2f} s"
    )
    print(f"{title:58s} {speed}   {len(logs.orders):,} orders, {len(logs.fills):,} fills")


if __name__ == "__main__":
    measure(1, 1_000_000, "barriers", 20)
    measure(1, 1_000_000, "barriers", 0)
    measure(1, 1_000_000, "barriers", 1)
    measure(1, 1_000_000, "signal", 20)
    measure(30, 100_000, "barriers", 20)
