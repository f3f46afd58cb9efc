"""A broker outside of this process that pays dividends and parts of shares late, or never, and tells
nothing of it: its cash alone shows it.
"""

from datetime import date
from pathlib import Path

import pytest
from session.crashes import Crash, CrashingLedger, Fuse
from session.daily_market import (
    DAYS,
    DIVIDEND_DAY,
    SPLIT_DAY,
    ClosingBroker,
    Venue,
    assert_same_positions,
    daily_bars,
    plan_of,
    trade,
    whole_backtest,
)
from session.day_chains import assert_same_course
from session.days import CALENDAR, fresh_ledger
from session.test_splits_at_a_broker import ALWAYS, AT_OPENS, NEVER, WIDE, differences

from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.brokers.base import BrokerAccount
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.ledger_rebuild import books_from_events, differing_rows
from harmony_pipeline.session.opening import opening_of
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.runner import Supervision
from harmony_pipeline.session.session_replay import replay_session
from harmony_pipeline.session.stream import Batch

EVE = CALENDAR.previous_session(DIVIDEND_DAY)
FIRST = CALENDAR.previous_session(EVE)
PAID_ON = CALENDAR.next_session(DIVIDEND_DAY)


class LateVenue(Venue):
    """Pays `sessions` later; None: never."""

    def __init__(self, plan: SessionPlan, ledger: Ledger, sessions: int | None) -> None:
        super().__init__(plan, ledger)
        self.sessions, self.due = sessions, list[tuple[date, int]]()

    def begin(self, batch: Batch) -> None:
        day, before = batch.bars[0].session_date, self.cash
        super().begin(batch)
        for paid in [each for each in self.due if each[0] == day]:
            self.due.remove(paid)
            self.broker._cash += paid[1]
            before += paid[1]
        owed = self.cash - before
        if owed:
            self.broker._cash -= owed
            if self.sessions is not None:
                for _ in range(self.sessions):
                    day = CALENDAR.next_session(day)
                self.due.append((day, owed))

    @property
    def cash(self) -> int:
        return self.broker._cash


class HandledVenue(LateVenue):
    """At which somebody buys or sells in the minute of a payment."""

    by_hand: tuple[str, float] | None = None
    price = 0.0

    def begin(self, batch: Batch) -> None:
        super().begin(batch)
        if self.by_hand is not None:
            symbol, shares = self.by_hand
            self.by_hand = None
            self.price = next(bar.close for bar in batch.bars if bar.symbol == symbol)
            self.broker._shares[self.broker._index[symbol]] += shares
            self.broker._cash -= round(shares * self.price * 10_000)


def facts(ledger: Ledger, result: SessionResult, *kinds: type[ev.Event]) -> list[ev.Event]:
    return [event for _, event in ledger.events(result.session_id) if isinstance(event, kinds)]


@pytest.mark.parametrize("sessions", [1, 3])
def test_days_at_a_broker_that_pays_late_take_the_course_of_the_backtest(
    sessions: int, tmp_path: Path
) -> None:
    """With a part of a share from a split, and a dividend."""
    ledger, bars = fresh_ledger(tmp_path / "days"), daily_bars(missing=0.0)
    venue = LateVenue(plan_of(DAYS[0], ledger, bars, AT_OPENS), ledger, sessions)
    results, paid = [], 0
    for day in DAYS:
        result = trade(day, ledger, bars, AT_OPENS, venue)
        assert differences(result) == [], day
        assert result.broker_cash == venue.cash, day
        paid += len(facts(ledger, result, ev.ActionSettled))
        results.append(result)
    assert paid > 0
    assert results[-1].receivables.open == []
    whole = whole_backtest(tmp_path, bars, AT_OPENS)
    assert_same_course(results, whole, within=0.05)
    assert_same_positions(results[-1], whole)
    assert set(differing_rows(ledger, books_from_events(ledger)).values()) == {0}


@pytest.mark.parametrize("unpaid_days", [0, 3])
def test_what_a_broker_never_pays_is_written_off_and_stops_nothing(
    unpaid_days: int, tmp_path: Path
) -> None:
    ledger, bars = fresh_ledger(tmp_path), daily_bars(missing=0.0)
    venue = LateVenue(plan_of(FIRST, ledger, bars, WIDE), ledger, None)
    watch = Supervision(unpaid_days=unpaid_days)
    trade(FIRST, ledger, bars, WIDE, venue, supervision=watch, **ALWAYS)
    trade(EVE, ledger, bars, WIDE, venue, supervision=watch, **NEVER)
    day, written = DIVIDEND_DAY, list[ev.Event]()
    for _ in range(4):
        result = trade(day, ledger, bars, WIDE, venue, supervision=watch, **NEVER)
        assert differences(result) == []
        assert result.broker_cash == venue.cash
        written += facts(ledger, result, ev.ActionWrittenOff)
        assert bool(written) == ((day - DIVIDEND_DAY).days >= unpaid_days)
        day = CALENDAR.next_session(day)
    [fact] = written
    assert (fact.symbol, fact.action, fact.date) == ("BBB", "dividend", str(DIVIDEND_DAY))
    opening = opening_of(ledger, "paper", day, 0.0).state.portfolio.account[0]
    assert int(opening["cash"]) == venue.cash
    assert int(opening["equity"]) == venue.cash + int(opening["net_value"])


def test_a_process_that_dies_anywhere_on_the_day_of_payment_takes_it_once(tmp_path: Path) -> None:
    bars = daily_bars(missing=0.0)

    def live(path: Path, point: int | None) -> tuple[SessionResult, LateVenue, int, int, bool]:
        with CrashingLedger(path, Fuse()) as ledger:
            venue = LateVenue(plan_of(FIRST, ledger, bars, WIDE), ledger, 1)
            trade(FIRST, ledger, bars, WIDE, venue, **ALWAYS)
            trade(EVE, ledger, bars, WIDE, venue, **NEVER)
            trade(DIVIDEND_DAY, ledger, bars, WIDE, venue, **NEVER)
            fuse, deaths = Fuse(point or 10**9), 0
            ledger.fuse, steps = fuse, fuse
            while True:
                try:
                    result = trade(PAID_ON, ledger, bars, WIDE, venue, fuse=fuse, **NEVER)
                    break
                except Crash:
                    deaths, fuse = deaths + 1, Fuse()
                    ledger.fuse = fuse
            [settled] = facts(ledger, result, ev.ActionSettled)
            assert settled.paid == settled.booked != 0.0
            plan = plan_of(PAID_ON, ledger, bars, WIDE, **NEVER)
            again = replay_session(plan, bars, ledger, path.with_suffix(".again"))
            return result, venue, steps.steps, deaths, again.equal

    expected, _, steps, _, equal = live(tmp_path / "whole.sqlite", None)
    assert equal
    for point in sorted({*range(1, 8), *range(1, steps, max(1, steps // 12)), steps}):
        found, venue, _, deaths, equal = live(tmp_path / f"{point}.sqlite", point)
        assert deaths == 1
        assert equal
        assert differences(found) == [], point
        assert found.broker_cash == venue.cash
        assert found.receivables.checkpoint() == expected.receivables.checkpoint(), point
        assert found.closing.to_dict() == expected.closing.to_dict(), point


def test_the_part_of_a_share_that_a_split_leaves_is_owed_until_it_is_paid(tmp_path: Path) -> None:
    bars = daily_bars(missing=0.0)
    first = CALENDAR.previous_session(CALENDAR.previous_session(SPLIT_DAY))
    ledger = fresh_ledger(tmp_path)
    venue = LateVenue(plan_of(first, ledger, bars, WIDE), ledger, 2)
    trade(first, ledger, bars, WIDE, venue, **ALWAYS)
    one = trade(CALENDAR.next_session(first), ledger, bars, WIDE, venue, **NEVER)
    assert (one.shares["AAA"] * 1.5) % 1 != 0.0
    day, left = SPLIT_DAY, []
    for _ in range(3):
        result = trade(day, ledger, bars, WIDE, venue, **NEVER)
        assert differences(result) == []
        assert result.broker_cash == venue.cash
        left.append([(item.symbol, item.action) for item in result.receivables.open])
        day = CALENDAR.next_session(day)
    assert left == [[("AAA", "split")], [("AAA", "split")], []]


def test_a_broker_without_cash_has_nothing_written_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps none, so that nobody can tell what it has paid."""
    none = BrokerAccount(None, None)
    monkeypatch.setattr(ClosingBroker, "account", lambda _broker: none)
    ledger, bars = fresh_ledger(tmp_path), daily_bars(missing=0.0)
    venue = LateVenue(plan_of(FIRST, ledger, bars, WIDE), ledger, None)
    watch = Supervision(unpaid_days=0)
    trade(FIRST, ledger, bars, WIDE, venue, supervision=watch, **ALWAYS)
    trade(EVE, ledger, bars, WIDE, venue, supervision=watch, **NEVER)
    result = trade(DIVIDEND_DAY, ledger, bars, WIDE, venue, supervision=watch, **NEVER)
    assert [item.symbol for item in result.receivables.open] == ["BBB"]
    assert facts(ledger, result, ev.ActionWrittenOff) == []


@pytest.mark.parametrize("shares", [5.0, -3.0])
def test_a_payment_in_the_minute_of_adopted_shares_is_no_part_of_their_price(
    shares: float, tmp_path: Path
) -> None:
    bars = daily_bars(missing=0.0)
    ledger = fresh_ledger(tmp_path)
    venue = HandledVenue(plan_of(FIRST, ledger, bars, WIDE), ledger, 1)
    trade(FIRST, ledger, bars, WIDE, venue, **ALWAYS)
    trade(EVE, ledger, bars, WIDE, venue, **NEVER)
    before = trade(DIVIDEND_DAY, ledger, bars, WIDE, venue, **NEVER)
    [owed] = before.receivables.open
    venue.by_hand = ("AAA", shares)
    after = trade(PAID_ON, ledger, bars, WIDE, venue, **NEVER)
    [settled] = facts(ledger, after, ev.ActionSettled)
    assert (settled.symbol, settled.action) == (owed.symbol, owed.action)
    [adopted] = facts(ledger, after, ev.PositionAdopted)
    assert adopted.quantity_after - adopted.quantity_before == shares
    assert abs(adopted.price / venue.price - 1.0) < 0.001
    assert after.receivables.open == []
    assert abs(after.broker_cash - venue.cash) <= 100
