"""Symbols that start and stop during the day, at the exchange over real connections: what the session
listens to changes on the connection that stands, and it does what the day in one process does.
"""

from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from exchange.alpaca_world import at_exchange, wait_until
from exchange.exchange_world import OPEN as FIRST
from exchange.exchange_world import SYMBOLS as PAIR
from exchange.test_live_bars import Listener, bars_at
from session.days import fresh_ledger

from harmony_pipeline.market.daily_summary import summarise
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.scanner.intraday import IntradayScan, intraday_scans
from harmony_pipeline.scanner.settings import ScannerSettings
from harmony_pipeline.schemas import CORPORATE_ACTIONS, UNIVERSE
from harmony_pipeline.session.day_plan import plan_day
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.opening import opening_of
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.quote_frames import QuoteFrames
from harmony_pipeline.session.replay import replay_day
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.session_replay import replay_session
from harmony_pipeline.testing.crashes import Crash, CrashingLedger, Fuse
from harmony_pipeline.testing.stepped_day import (
    CALENDAR,
    DAY,
    FEATURES,
    OPEN,
    SYMBOLS,
    Contrarian,
    SteppedWorld,
    day_of,
    trading_rules,
)

CLOCKS = ("09:53", "10:01")
MINUTES = 42
SCANNER = ScannerSettings(
    minimum_absolute_gap=0.0, minimum_premarket_volume=0.0, minimum_price=None,
    require_premarket=False, maximum_selections=1, minimum_history_sessions=0,
)  # fmt: skip
SEED = 5


def scans_of(day: date, bars: pl.DataFrame) -> tuple[IntradayScan, ...]:
    before = day_of(9, 60, start=OPEN - timedelta(days=1))
    summary = summarise(before, CALENDAR, "1Min", "09:25")
    return intraday_scans(
        day, CLOCKS, SCANNER, summary, pl.concat([before, bars]), UNIVERSE.empty(),
        CORPORATE_ACTIONS.empty(), CALENDAR,
    )  # fmt: skip


def plan_of(bars: pl.DataFrame, ledger: Ledger, chosen: TradingRules) -> SessionPlan:
    return plan_day(
        DAY, opening_of(ledger, "paper", DAY, chosen.initial_cash), SYMBOLS,
        strategy_name="contrarian", strategy=Contrarian(0.002), rules=chosen, feature_set=FEATURES,
        feature_states={}, calendar=CALENDAR, timeframe="1Min", actions=CORPORATE_ACTIONS.empty(),
        selected=("BBB",), scans=scans_of(DAY, bars),
    )  # fmt: skip


def world_in(folder: Path, bars: pl.DataFrame) -> SteppedWorld:
    folder.mkdir()
    return SteppedWorld(
        SEED, folder, MINUTES, rules=trading_rules(), hears_stream=True, market=bars,
        plan=partial(plan_of, bars),
    )  # fmt: skip


def fills_of(result: SessionResult) -> list[tuple[Any, ...]]:
    columns = ("order_id", "timestamp", "side", "quantity", "price", "fee", "liquidity")
    return sorted(result.fills.select(columns).rows())


def test_symbols_start_and_stop_on_a_connection_that_stands(tmp_path: Path) -> None:
    bars, chosen = day_of(SEED, MINUTES), trading_rules()
    here = fresh_ledger(tmp_path / "here")
    expected = replay_day(plan_of(bars, here, chosen), bars, here)
    with (
        world_in(tmp_path / "whole", bars) as world,
        CrashingLedger(tmp_path / "whole.sqlite", whole := Fuse()) as ledger,
    ):
        result = world.session(ledger, whole)
        assert world.differences(result) == []
        assert world.exchange.hub.connected == 1
    assert fills_of(result) == fills_of(expected)
    plan = plan_of(bars, ledger := Ledger(tmp_path / "whole.sqlite"), chosen)
    # only what is selected then is entered, and each scan sees only what had ended
    picks = [("BBB",), *(scan.select(bars) for scan in plan.scans)]
    assert len(set(picks)) > 1
    moments = [scan.at for scan in plan.scans]
    entries = result.orders.filter(pl.col("order_id").str.ends_with("-entry"))
    for symbol, decided in entries.select("symbol", "timestamp").iter_rows():
        assert symbol in picks[sum(at <= decided for at in moments)]
    assert entries["symbol"].n_unique() > 1
    future = pl.col("timestamp") >= moments[-1]
    wild = bars.with_columns(pl.when(future).then(pl.col(n) * 3).otherwise(n).alias(n)
                             for n in ("open", "high", "low", "close"))  # fmt: skip
    assert [scan.select(wild) for scan in plan.scans] == picks[1:]
    # every candidate is heard until the last scan, then what may still matter
    heard = [(at, wanted["bars"], wanted["updatedBars"]) for at, wanted in world.subscriptions]
    assert {frozenset(one) for at, one, _ in heard if at < moments[-1]} == {frozenset(SYMBOLS)}
    at, last, corrected = heard[-1]
    assert at == moments[-1]
    assert set(picks[-1]) <= last < set(SYMBOLS)
    assert corrected == last
    again = replay_session(plan, bars, ledger, tmp_path / "again.sqlite")
    assert again.equal, again.summary()
    ledger.close()
    crashed(tmp_path, bars, moments[-1], result)


class FuseFrom(Fuse):
    """Counts steps once the exchange's clock has passed a moment."""

    def __init__(self, at: int, world: SteppedWorld, moment: datetime) -> None:
        super().__init__(at)
        self.world, self.moment = world, moment

    def burn(self) -> None:
        """One step."""
        if self.world.exchange.venue.now > self.moment:
            super().burn()


def crashed(folder: Path, bars: pl.DataFrame, scan: datetime, expected: SessionResult) -> None:
    """After the last scan: the next process listens to as little."""
    path = folder / "crashed.sqlite"
    with world_in(folder / "crashed", bars) as world:
        fuse = FuseFrom(4, world, scan)
        with pytest.raises(Crash), CrashingLedger(path, fuse) as ledger:
            world.session(ledger, fuse)
        with Ledger(path) as ledger:
            assert fills_of(world.session(ledger)) == fills_of(expected)
        last = world.subscriptions[-1][1]["bars"]
    assert last < set(SYMBOLS)


def test_what_is_heard_changes_without_another_connection_and_survives_one() -> None:
    """alpaca-py subscribes and unsubscribes while it listens; a connection that is cut is opened
    with what is wanted then.
    """
    first, second = PAIR
    with at_exchange([100.0 + n / 10 for n in range(12)]) as (exchange, broker):
        exchange.step(1)
        bars = bars_at(exchange, broker)
        listener = Listener(bars)

        def wanted(channel: str) -> set[str]:
            return exchange.hub.listeners[0].wanted[channel] if exchange.hub.listeners else set()

        assert [bar.symbol for bar in listener.next().bars] == [first, second]
        wait_until(lambda: wanted("bars") == {first, second})
        bars.hear_only(frozenset({second}), frozenset())
        wait_until(lambda: wanted("bars") == wanted("updatedBars") == {second})
        assert exchange.hub.connected == 1
        exchange.step(2)
        batch = listener.next()
        assert [(bar.symbol, bar.start) for bar in batch.bars] == [
            (second, FIRST + timedelta(minutes=1))
        ]
        exchange.call(exchange.drop("data"))
        wait_until(lambda: exchange.hub.connected == 2 and wanted("bars") == {second})
        exchange.step(2)
        assert [bar.symbol for bar in listener.next().bars] == [second]
        bars.close()
        listener.thread.join(5)
        assert not listener.thread.is_alive()


def test_quotes_follow_what_is_watched() -> None:
    first, second = PAIR
    with at_exchange([100.0 + n / 10 for n in range(12)]) as (exchange, broker):
        bars = bars_at(exchange, broker)
        stream = bars._hear_only.__self__  # type: ignore[union-attr]
        stream.take_quotes = QuoteFrames(bars.hear_quotes(PAIR)).take
        stream.quoted = frozenset({first})
        listener = Listener(bars)

        def wanted() -> set[str]:
            return exchange.hub.listeners[0].wanted["quotes"] if exchange.hub.listeners else set()

        wait_until(lambda: wanted() == {first})
        bars.hear_only(None, frozenset({second}))
        wait_until(lambda: wanted() == {second})
        assert exchange.hub.connected == 1
        assert exchange.hub.listeners[0].wanted["bars"] == {first, second}
        bars.close()
        listener.thread.join(5)
