"""What the matching engine costs, in time of the processor: a million bars or ticks.

    python benchmarks/matching.py [--bars 1000000] [--rounds 5]

- bars that touch nothing: ten limit orders far away
- bars with brackets: a market entry with profit target and stop every hundred bars
- bar by bar from Python, as a strategy that is a state machine runs them: ten limits far away
- quotes and trades that touch nothing: ten limit orders far away
- orders handed over: brackets, judged and written down

Medians of the rounds; compilation is done before.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from harmony_pipeline.execution.bar_columns import BarColumns, bar_columns
from harmony_pipeline.execution.matching_engine import MatchingEngine
from harmony_pipeline.execution.order_types import OrderTicket, bracket
from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.settings import BacktestSettings
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.strategies.settings import StrategySettings

START = datetime(2024, 1, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CALENDAR = Calendar.of("24/7")
RULES = TradingRules.of(
    RiskSettings(),
    CostSettings(),
    ExecutionNoiseSettings(),
    LabelSettings(),
    StrategySettings(use="none:none"),
    BacktestSettings(),
).records(["AAA"])


def engine() -> MatchingEngine:
    return MatchingEngine(["AAA"], RULES, CALENDAR)


def random_bars(count: int) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    price = np.round(200.0 + np.cumsum(rng.normal(0.0, 0.05, count)), 2)
    wide = np.round(rng.random((2, count)) * 0.2, 2)
    stamps = pl.datetime_range(
        START, START + MINUTE * (count - 1), "1m", time_unit="us", eager=True
    )
    return pl.DataFrame(
        {
            "timestamp": stamps,
            "open": price,
            "high": price + wide[0],
            "low": price - wide[1],
            "close": price,
            "volume": np.full(count, 1e6),
        }
    ).with_columns(session=pl.lit("regular"), bar_end=pl.col("timestamp") + MINUTE)


def far_limits(made: MatchingEngine) -> None:
    made.submit(
        *(
            OrderTicket(
                order_id=f"far{number}", symbol="AAA", side=1, quantity=1.0, kind="limit",
                time_in_force="gtc", limit_price=1.0 + number, submitted_at=START,
            )
            for number in range(10)
        )
    )  # fmt: skip


def brackets(made: MatchingEngine, opens: np.ndarray) -> int:
    count = 0
    for number in range(0, len(opens) - 1, 100):
        entry = OrderTicket(
            order_id=f"e{number}", symbol="AAA", side=1, quantity=1.0,
            submitted_at=START + MINUTE * (number + 1),
        )  # fmt: skip
        price = float(opens[number])
        made.submit(*bracket(entry, round(price + 1.0, 2), round(price - 1.0, 2)))
        count += 3
    return count


def timed(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def ticks_of(bars: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A quote a bar, and a trade at every other."""
    price = pl.col("open")
    quotes = bars.select(
        "timestamp", bid=price - 0.01, bid_size=pl.lit(500.0), ask=price + 0.01,
        ask_size=pl.lit(500.0),
    )  # fmt: skip
    trades = bars[::2].select(
        pl.col("timestamp") + timedelta(seconds=1), price=price, size=pl.lit(100.0),
        conditions=pl.lit(""), suspicious=pl.lit(value=False),
    )  # fmt: skip
    return quotes, trades


def one_round(bars: BarColumns, ticks: tuple[pl.DataFrame, pl.DataFrame]) -> dict[str, float]:
    count = len(bars.at)
    quiet, busy, stepped, quoted = engine(), engine(), engine(), engine()
    for made in (quiet, stepped, quoted):
        far_limits(made)
    handed = timed(lambda: brackets(busy, bars.open))
    orders = 3 * len(range(0, count - 1, 100))
    columns = quoted.tick_columns(*ticks)
    steps = min(count, 100_000)

    def bar_by_bar() -> None:
        for number in range(steps):
            stepped.run_columns("AAA", bars, number, number + 1)

    return {
        "bars that touch nothing, ns a bar": timed(
            lambda: quiet.run_columns("AAA", bars, 0, count)
        ) / count * 1e9,
        "a bracket every 100 bars, ns a bar": timed(
            lambda: busy.run_columns("AAA", bars, 0, count)
        ) / count * 1e9,
        "bar by bar from Python, us a bar": timed(bar_by_bar) / steps * 1e6,
        "ticks that touch nothing, ns a tick": timed(
            lambda: quoted.run_tick_columns("AAA", columns, 0, len(columns.at))
        ) / len(columns.at) * 1e9,
        "an order handed over, us": handed / orders * 1e6,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bars", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    small = random_bars(300)
    one_round(bar_columns(small), ticks_of(small))
    bars = random_bars(asked.bars)
    columns, ticks = bar_columns(bars), ticks_of(bars)
    rounds = [one_round(columns, ticks) for _ in range(asked.rounds)]
    for name in rounds[0]:
        print(f"{name:40} {statistics.median(each[name] for each in rounds):8.1f}")


if __name__ == "__main__":
    main()
