"""Memory of a session over 24 hours of the market's time: a bar a minute of 20 symbols, and quotes
between them.

    python benchmarks/session_soak.py [--hours 24] [--trace]

One day of the calendar 24/7 is lived through at full speed, with everything that a session has but
the network: features, strategy, risk, the exchange in this process, the ledger on disk, heartbeat
and bar log, and a machine that hears twelve quotes of each symbol a minute through the session's
queue. Bars and quotes are drawn as they are needed, so the market itself takes no memory. At each
hour the resident memory of the process is printed, with the orders, fills and the size of the
snapshot that a restart would read. After WARM_HOURS memory may grow by
GROWTH_MB: an order and its fills stay known to the exchange in this process for the day. --trace
says which lines of the code hold more after the last hour than after the warm-up (slower).
"""

import argparse
import gc
import os
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import judge

SYMBOLS = tuple(f"S{number:03}" for number in range(20))
DAY, HOURS, WARM_HOURS = date(2024, 3, 5), 24, 4
QUOTES_A_MINUTE = 12  # of each symbol
GROWTH_MB = 16.0
_MINUTE = timedelta(minutes=1)


class Both:
    """A machine of both kinds of events: it holds the side of the last moves while a quote's spread
    is narrow.
    """

    def __init__(self) -> None:
        self.narrow: dict[str, float] = {}
        self.side: dict[str, int] = {}

    def required_features(self) -> tuple[str, ...]:
        return ("momentum_5", "volatility_20")

    def on_quote(self, quote: Any) -> Any:
        spread = (quote.ask - quote.bid) / quote.ask
        self.narrow[quote.symbol] = 0.9 * self.narrow.get(quote.symbol, spread) + 0.1 * spread
        return ()

    def on_bar(self, bar: Any) -> Any:
        from harmony_pipeline.strategies.events import Enter, Leave

        momentum, volatility = bar.features
        strong = abs(momentum) > 4.0 * volatility and self.narrow.get(bar.symbol, 1.0) < 0.01
        side = (1 if momentum > 0.0 else -1) if strong else 0
        if not side or side == self.side.get(bar.symbol, 0):
            return ()
        if self.side.get(bar.symbol, 0):
            self.side[bar.symbol] = 0
            return (Leave(bar.symbol),)
        self.side[bar.symbol] = side
        return (Enter(bar.symbol, 1 if side > 0 else -1, 0.5),)


class Market:
    """A random walk, a minute at a time."""

    def __init__(self, clock: Any, hours: int, quotes: Any) -> None:
        self._clock, self._hours, self._queue = clock, hours, quotes
        self.hour = -1

    def moments(self) -> Iterator[Any]:
        from harmony_pipeline.session.quotes import Quotes
        from harmony_pipeline.session.stream import Batch, SessionBar
        from harmony_pipeline.strategies.events import Quote

        random, start = np.random.default_rng(11), datetime(2024, 3, 5, tzinfo=UTC)
        prices = np.full(len(SYMBOLS), 50.0)
        for minute in range(60 * self._hours):
            begin = start + minute * _MINUTE
            path = prices * np.exp(
                np.cumsum(random.normal(0.0, 0.0004, (QUOTES_A_MINUTE, len(SYMBOLS))), axis=0)
            )
            path = np.round(path, 2)
            for number, row in enumerate(path.tolist()):
                when = begin + number * timedelta(seconds=60 / QUOTES_A_MINUTE)
                self._clock.advance(when)
                self._queue.put(
                    [
                        Quote(symbol, when, price - 0.01, 5.0, price + 0.01, 7.0)
                        for symbol, price in zip(SYMBOLS, row, strict=True)
                    ]
                )
                yield Quotes(self._queue.take()[0])
            end = begin + _MINUTE
            self._clock.advance(end)
            rows = zip(
                SYMBOLS, prices.tolist(), path.max(0).tolist(), path.min(0).tolist(),
                path[-1].tolist(), strict=True,
            )  # fmt: skip
            yield Batch(
                begin, end,
                tuple(
                    SessionBar(
                        symbol, begin, end, DAY, "regular", opened, max(high, opened),
                        min(low, opened), close, 50_000.0, 1.0,
                    )
                    for symbol, opened, high, low, close in rows
                ),
            )  # fmt: skip
            prices = path[-1]


def plan_of(ledger: Any) -> Any:
    from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
    from harmony_pipeline.features.catalog import FeatureSet
    from harmony_pipeline.labels.settings import LabelSettings
    from harmony_pipeline.market.calendars import Calendar
    from harmony_pipeline.portfolio.parameters import TradingRules
    from harmony_pipeline.portfolio.settings import BacktestSettings
    from harmony_pipeline.risk.settings import RiskSettings
    from harmony_pipeline.schemas import CORPORATE_ACTIONS
    from harmony_pipeline.session.day_plan import plan_day
    from harmony_pipeline.session.opening import opening_of
    from harmony_pipeline.strategies.base import Stepwise
    from harmony_pipeline.strategies.settings import StrategySettings

    rules = TradingRules.of(
        RiskSettings(minimum_order_value=100.0, max_daily_loss=1.0, max_drawdown=1.0),
        CostSettings(half_spread_bps=0.0, impact_coefficient=0.0),
        ExecutionNoiseSettings(),
        LabelSettings(),
        StrategySettings(use="none:None", exits="signal"),
        BacktestSettings(initial_cash=1_000_000.0),
    )
    features = (
        "log_return", "volatility_20", "rsi_14", "adx_14", "atr_14", "bollinger_z_20", "momentum_5",
        "volume_z_20", "sma_ratio_10_40",
    )  # fmt: skip
    return plan_day(
        DAY, opening_of(ledger, "soak", DAY, rules.initial_cash), SYMBOLS, strategy_name="both",
        strategy=Stepwise(Both), rules=rules, feature_set=FeatureSet.of(features),
        feature_states={}, calendar=Calendar.of("24/7"), timeframe="1Min",
        actions=CORPORATE_ACTIONS.empty(),
    )  # fmt: skip


def memory_mb() -> float:
    """Resident memory of this process, after a collection."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def soak(hours: int, *, trace: bool) -> list[float]:
    """Memory at the end of each hour."""
    from harmony_pipeline.session.clock import ReplayClock
    from harmony_pipeline.session.ledger import Ledger
    from harmony_pipeline.session.quotes import QuoteQueue
    from harmony_pipeline.session.replay import simulated_broker
    from harmony_pipeline.session.runner import Supervision, run_session
    from harmony_pipeline.session.stream import Batch

    memory, begun = list[float](), time.monotonic()
    before: Any = None
    with (
        tempfile.TemporaryDirectory(prefix="harmony-soak-") as folder,
        Ledger(Path(folder) / "ledger.sqlite") as ledger,
        ledger.reproducible(),
    ):
        plan = plan_of(ledger)
        clock = ReplayClock(datetime(2024, 3, 5, tzinfo=UTC))
        queue = QuoteQueue(SYMBOLS, lambda: None)
        market = Market(clock, hours, queue)

        def watched() -> Iterator[Any]:
            nonlocal before
            for item in market.moments():
                yield item
                if isinstance(item, Batch) and item.end.minute == 0:
                    memory.append(memory_mb())
                    size = ledger._rows("snapshot", session=plan.session_id)[0][2]
                    orders = len(ledger.orders(plan.session_id))
                    print(
                        f"hour {len(memory):2d}: {memory[-1]:7.1f} MB resident,"
                        f" {orders:6,d} orders,"
                        f" snapshot {len(size) / 1e3:8,.0f} kB, {queue.counts.handled:,} quotes,"
                        f" {time.monotonic() - begun:5.0f} s",
                        flush=True,
                    )
                    if trace and len(memory) == WARM_HOURS:
                        tracemalloc.start(8)
                        before = tracemalloc.take_snapshot()

        stream: Any = type("Stream", (), {"moments": staticmethod(watched)})()
        run_session(
            plan, ledger, simulated_broker(plan, ledger), stream, clock,
            Supervision(Path(folder) / "state", is_live=True, stale_after_seconds=1e9),
        )  # fmt: skip
        if before is not None:
            for line in tracemalloc.take_snapshot().compare_to(before, "lineno")[:15]:
                print(line)
        counts = queue.counts
        assert (counts.lost, counts.waiting, counts.refused) == (0, 0, 0), counts
    return memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=int, default=HOURS)
    parser.add_argument("--trace", action="store_true", help="what holds more at the end")
    chosen = parser.parse_args()
    memory = soak(chosen.hours, trace=chosen.trace)
    grown = memory[-1] - memory[min(WARM_HOURS, len(memory)) - 1]
    met = judge(f"memory grown after hour {WARM_HOURS}, MB", grown, GROWTH_MB, most=True)
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
