"""Entries at closes in sessions: of daily bars, replayed, and at a broker with a closing auction.

What holds for entries at opens in `test_replay_equals_backtest.py`, `test_recovery.py` and
`test_order_manager.py` holds for these; bars within a day are replayed there.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from session.crashes import Crash, CrashingLedger, Fuse, RemoteBroker, copy_of
from session.daily_market import (
    ACTIONS,
    DAYS,
    HALF_DAY,
    SPLIT_DAY,
    SYMBOLS,
    TIMEFRAME,
    ClosingBroker,
    DailyStream,
    Venue,
    assert_same_positions,
    closing_rules,
    daily_bars,
    opening_factors,
    plan_of,
    trade,
    whole_backtest,
)
from session.day_chains import assert_same_course
from session.days import CALENDAR, FEATURES, Contrarian, fresh_ledger

from harmony_pipeline.errors import BrokerUnavailable, ConfigError
from harmony_pipeline.execution.brokers.alpaca.orders import CLOSING_HOURS
from harmony_pipeline.execution.brokers.base import BrokerOrder
from harmony_pipeline.execution.closing_auction import ClosingAuction, ClosingHours
from harmony_pipeline.execution.events import AnyOrderFact, SubmitOrder
from harmony_pipeline.execution.lifecycle import Order, Status
from harmony_pipeline.market.lives import empty_events
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.session import runner
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.day_backtest import backtest_day
from harmony_pipeline.session.day_plan import plan_portfolio_day, states_before
from harmony_pipeline.session.divergence import compare
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.ledger_rebuild import books_from_events, differing_rows
from harmony_pipeline.session.opening import opening_of
from harmony_pipeline.session.plan import MemberPlan, SessionPlan
from harmony_pipeline.session.reconcile import reconcile
from harmony_pipeline.session.replay import broker_as_left, replay_day
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.runner import Supervision, run_session
from harmony_pipeline.session.session_replay import replay_session
from harmony_pipeline.session.stream import ReplayStream

BARS = daily_bars()
WHOLE = daily_bars(missing=0.0)  # a broker ends what had no auction; a backtest waits for the bar
BRACKETS = closing_rules()
OPERATING = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()


CASES = {
    "brackets": BRACKETS,
    "reversals": closing_rules("signal"),
    "sessions": closing_rules(vertical="sessions", horizons_bars=(2,)),
    "closes touch": closing_rules(touch="close"),
}


@pytest.mark.parametrize("name", CASES)
def test_replayed_days_are_their_backtests_and_one_long_one(name: str, tmp_path: Path) -> None:
    chosen, ledger, results = CASES[name], fresh_ledger(tmp_path / "days"), []
    for day in DAYS:
        plan = plan_of(day, ledger, BARS, chosen)
        results.append(replay_day(plan, BARS, ledger))
        divergence = compare(results[-1], backtest_day(plan, BARS))
        assert divergence.equal, divergence.summary()
        assert reconcile(ledger, plan.session_id, broker_as_left(plan, ledger)).agrees
    assert_same_course(results, whole_backtest(tmp_path, BARS, chosen))
    entries = pl.concat(result.orders for result in results).filter(pl.col("parent_id").is_null())
    assert set(entries["time_in_force"]) == {"cls"}
    filled = pl.concat(result.fills for result in results)
    assert entries.filter(pl.col("order_id").is_in(filled["order_id"].implode())).height > 5


@pytest.mark.parametrize("name", CASES)
def test_days_at_a_broker_take_the_course_of_the_backtest(name: str, tmp_path: Path) -> None:
    chosen, ledger = CASES[name], fresh_ledger(tmp_path / "days")
    venue = Venue(plan_of(DAYS[0], ledger, WHOLE, chosen), ledger)
    results = [trade(day, ledger, WHOLE, chosen, venue) for day in DAYS]
    whole = whole_backtest(tmp_path, WHOLE, chosen)
    # half a share that a split leaves is paid at the last price, in a backtest at the open
    assert_same_course(results, whole, within=0.02)
    events = pl.concat(result.tables["session_events"] for result in results)
    assert "books_differed" not in set(events["kind"])
    assert set(differing_rows(ledger, books_from_events(ledger)).values()) == {0}
    orders = venue.orders_at_close()
    assert len(orders) > 5
    for at, terms in orders:  # each left in the hours of its own auction, a day after its decision
        auction = ClosingAuction.of(CALENDAR, at.date(), CLOSING_HOURS)
        assert auction.answer(terms.decided_at, at) == "open"
    assert_same_positions(results[-1], whole)


def orders_of(result: SessionResult, ledger: Ledger) -> list[Order]:
    """Entries of the account that the session has touched, as they stand."""
    found = {order.client_order_id: order for order in ledger.orders(result.session_id)}
    return [order for order in found.values() if order.terms.role == "entry"]


def reasons(result: SessionResult) -> list[str]:
    """Why orders ended in a session without a fill."""
    events = result.tables["session_events"].filter(pl.col("kind") == "canceled")
    return [json.loads(text)["reason"] for text in events["detail"]]


ALWAYS = {"threshold": 0.0}  # every bar says a side
FREE = closing_rules(half_spread_bps=0.0, impact_coefficient=0.0)


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Ledger]:
    with fresh_ledger(tmp_path) as ledger:
        yield ledger


def venue_of(day: date, ledger: Ledger, chosen: TradingRules = FREE) -> Venue:
    return Venue(plan_of(day, ledger, WHOLE, chosen), ledger)


def first_two(
    ledger: Ledger, venue: Venue, first: date, second: date, **options: Any
) -> tuple[SessionResult, SessionResult]:
    """A session that decides entries, and the one that may send them."""
    one = trade(first, ledger, WHOLE, FREE, venue, **ALWAYS)
    assert not venue.sent  # they wait for the day of their auction
    assert len(orders_of(one, ledger)) == len(SYMBOLS)
    return one, trade(second, ledger, WHOLE, FREE, venue, **(ALWAYS | options))


@pytest.mark.parametrize(
    ("day", "minutes", "taken"),
    [
        (date(2024, 6, 21), 379, True),  # 15:49
        (date(2024, 6, 21), 380, False),  # 15:50
        (HALF_DAY, 199, True),  # 12:49
        (HALF_DAY, 200, False),  # 12:50
        (HALF_DAY, 379, False),
    ],
)
def test_what_comes_after_the_cutoff_is_not_sent(
    day: date, minutes: int, taken: bool, book: Ledger
) -> None:
    before = CALENDAR.previous_session(day)
    venue = venue_of(before, book)
    _, second = first_two(book, venue, before, day, begins=timedelta(minutes=minutes))
    assert len(venue.orders_at_close()) == (len(SYMBOLS) if taken else 0)
    brackets = [terms for _, terms in venue.sent if terms.role != "entry"]
    assert len(brackets) == len(venue.orders_at_close())
    if taken:
        assert set(second.shares) == set(SYMBOLS)
        return
    until = "12:50" if day == HALF_DAY else "15:50"
    said = f"too late for the closing auction of {day}: orders for it are taken until {until}"
    assert reasons(second) == [f"{said} America/New_York"] * len(SYMBOLS)
    assert "too late for the closing auction of" in OPERATING
    assert not second.shares
    third = trade(CALENDAR.next_session(day), book, WHOLE, FREE, venue, **ALWAYS)
    assert set(third.shares) == set(SYMBOLS)  # what the second day decided


@pytest.mark.parametrize(("minutes", "taken"), [(359, True), (360, False)])
def test_each_broker_has_hours_of_its_own(
    minutes: int, taken: bool, book: Ledger, tmp_path: Path
) -> None:
    """Until half an hour before the close, 15:30; the replayed session keeps to them."""
    before, day = DAYS[0], DAYS[1]
    venue = venue_of(before, book)
    venue.hours = ClosingHours(cutoff=timedelta(minutes=30))
    _, second = first_two(book, venue, before, day, begins=timedelta(minutes=minutes))
    assert len(venue.orders_at_close()) == (len(SYMBOLS) if taken else 0)
    if not taken:
        said = f"too late for the closing auction of {day}: orders for it are taken until 15:30"
        assert reasons(second) == [f"{said} America/New_York"] * len(SYMBOLS)
    plan = plan_of(day, book, WHOLE, FREE, **ALWAYS)
    again = replay_session(plan, WHOLE, book, tmp_path / "again.sqlite")
    assert again.equal, again.summary()


def test_an_order_whose_day_has_no_session_is_never_sent(book: Ledger) -> None:
    day = DAYS[0]
    venue = venue_of(day, book)
    _, later = first_two(book, venue, day, DAYS[2])
    assert reasons(later) == [f"its closing auction was before the session of {DAYS[2]}"] * len(
        SYMBOLS
    )
    assert not venue.sent


def test_an_order_that_waits_over_a_split_is_sent_in_new_shares(book: Ledger) -> None:
    before = CALENDAR.previous_session(SPLIT_DAY)
    venue = venue_of(before, book)
    one, second = first_two(book, venue, before, SPLIT_DAY)
    asked = {order.terms.symbol: order.terms.quantity for order in orders_of(one, book)}
    sent = {terms.symbol: terms.quantity for _, terms in venue.orders_at_close()}
    expected = asked | {"AAA": float(int(asked["AAA"] * 1.5))}
    assert sent == expected
    assert {symbol: abs(shares) for symbol, shares in second.shares.items()} == expected
    assert "corporate_action_applied" not in set(second.tables["session_events"]["kind"])
    adjusted = second.tables["session_events"].filter(pl.col("kind") == "adjusted")
    assert adjusted["symbol"].to_list() == ["AAA"]


def test_what_is_sent_again_after_an_outage_is_in_new_shares_too(
    book: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, usual, failed = CALENDAR.previous_session(SPLIT_DAY), ClosingBroker.submit, set()
    venue = venue_of(before, book)

    def submit(self: ClosingBroker, command: SubmitOrder) -> BrokerOrder:
        name = command.order.client_order_id
        if name not in failed:
            failed.add(name)
            raise BrokerUnavailable("no answer")
        return usual(self, command)

    monkeypatch.setattr(ClosingBroker, "submit", submit)
    one, second = first_two(book, venue, before, SPLIT_DAY)
    asked = {order.terms.symbol: order.terms.quantity for order in orders_of(one, book)}
    sent = {terms.symbol: terms.quantity for _, terms in venue.orders_at_close()}
    expected = asked | {"AAA": float(int(asked["AAA"] * 1.5))}
    assert sent == expected
    assert {symbol: abs(shares) for symbol, shares in second.shares.items()} == expected


def test_a_symbol_that_ends_that_day_is_not_entered(book: Ledger) -> None:
    day, second = DAYS[0], DAYS[1]
    venue = venue_of(day, book)
    gone = empty_events().clear()
    row = dict.fromkeys(gone.columns) | {
        "date": second, "kind": "delisting", "symbol": "BBB",
    }  # fmt: skip
    lives = pl.DataFrame([row], schema=gone.schema)
    _, result = first_two(book, venue, day, second, lives=lives)
    assert {terms.symbol for _, terms in venue.orders_at_close()} == {"AAA", "CCC"}
    assert reasons(result)[0] == "BBB ends or changes its symbol today"
    assert set(result.shares) == {"AAA", "CCC"}


def test_a_symbol_without_an_auction_is_not_entered_and_may_be_later(book: Ledger) -> None:
    venue = venue_of(DAYS[0], book)
    venue.halted = {"BBB"}
    _, second = first_two(book, venue, DAYS[0], DAYS[1])
    assert set(second.shares) == {"AAA", "CCC"}
    assert "no auction" in reasons(second)
    venue.halted = set()
    third = trade(DAYS[2], book, WHOLE, FREE, venue, **ALWAYS)
    assert "BBB" in third.shares


def test_a_part_that_the_auction_fills_has_a_bracket_of_its_size(book: Ledger) -> None:
    thin = WHOLE.with_columns(
        volume=pl.when(pl.col("session_date") == DAYS[1]).then(10.0).otherwise("volume")
    )
    venue = Venue(plan_of(DAYS[0], book, thin, FREE), book)
    trade(DAYS[0], book, thin, FREE, venue, **ALWAYS)
    second = trade(DAYS[1], book, thin, FREE, venue, **ALWAYS)
    assert {abs(shares) for shares in second.shares.values()} == {10.0}
    legs = [order for order in second.working if order.terms.role in ("stop", "take")]
    assert {order.terms.quantity for order in legs} == {10.0}
    assert len(legs) == 2 * len(SYMBOLS)


def test_nothing_works_beside_an_entry_before_its_auction(book: Ledger) -> None:
    venue = venue_of(DAYS[0], book)
    first_two(book, venue, DAYS[0], DAYS[1])
    close = CALENDAR.session_close(DAYS[1])
    for at, terms in venue.sent:
        assert (at < close) == (terms.role == "entry")


@pytest.mark.parametrize("name", ["brackets", "sessions"])
def test_an_auction_that_is_told_after_the_session_is_booked_by_the_next(
    name: str, tmp_path: Path
) -> None:
    """Its bar was not held, its session was, and its bracket is placed the next day."""
    chosen, ledger = CASES[name], fresh_ledger(tmp_path / "days")
    venue = Venue(plan_of(DAYS[0], ledger, WHOLE, chosen), ledger)
    results = [
        trade(day, ledger, WHOLE, chosen, venue, tells_late=day < DAYS[-1]) for day in DAYS[:7]
    ]
    whole = whole_backtest(tmp_path, WHOLE.filter(pl.col("session_date") <= DAYS[6]), chosen)
    held = results[-1].closing.portfolio.positions
    assert (held["quantity"] != 0.0).any()
    assert_same_positions(results[-1], whole)


@pytest.mark.parametrize(
    ("exits", "days"), [("barriers", (0, 1, 2)), ("signal", (3, 4, 5))], ids=["brackets", "signals"]
)
def test_a_process_that_dies_anywhere_sends_no_second_order(
    exits: str, days: tuple[int, ...], tmp_path: Path
) -> None:
    chosen, begun = closing_rules(exits), tmp_path / "begun.sqlite"
    with Ledger(begun) as ledger:
        before = Venue(plan_of(DAYS[days[0]], ledger, WHOLE, chosen), ledger)
        for number in days[:-1]:
            trade(DAYS[number], ledger, WHOLE, chosen, before, **ALWAYS)

    def live(path: Path, point: int | None) -> tuple[SessionResult, Venue, int, int]:
        """The last of the days, whose process dies at a step and is started again."""
        whole, deaths, venue = Fuse(point or 10**9), 0, before.copied()
        fuse = whole
        with CrashingLedger(copy_of(begun, path), whole) as ledger:
            while True:
                try:
                    result = trade(
                        DAYS[days[-1]], ledger, WHOLE, chosen, venue, fuse=fuse, **ALWAYS
                    )
                    break
                except Crash:
                    deaths, fuse = deaths + 1, Fuse()
                    ledger.fuse = fuse
            return result, venue, whole.steps, deaths

    expected, calm, steps, _ = live(tmp_path / "whole.sqlite", None)
    assert calm.orders_at_close()
    for point in sorted({*range(1, steps, max(1, steps // 40)), steps}):
        found, venue, _, deaths = live(tmp_path / f"{point}.sqlite", point)
        assert deaths == 1
        assert found.closing.to_dict() == expected.closing.to_dict(), point
        assert found.fills.equals(expected.fills), point
        names = [terms.client_order_id for _, terms in venue.sent]
        assert len(names) == len({*names}), point
        assert {*names} == {terms.client_order_id for _, terms in calm.sent}, point


@pytest.mark.parametrize("minutes", [0, 385], ids=["at once", "after the cutoff"])
def test_an_order_whose_answer_was_lost_with_its_process_is_found_again(
    minutes: int, book: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue = venue_of(DAYS[0], book)
    trade(DAYS[0], book, WHOLE, FREE, venue, **ALWAYS)
    usual = ClosingBroker.submit

    def die(self: ClosingBroker, command: SubmitOrder) -> BrokerOrder:
        usual(self, command)
        raise Crash

    monkeypatch.setattr(ClosingBroker, "submit", die)
    with pytest.raises(Crash):
        trade(DAYS[1], book, WHOLE, FREE, venue, **ALWAYS)
    monkeypatch.setattr(ClosingBroker, "submit", usual)
    [(_, sent)] = venue.orders_at_close()
    venue.clock.advance(CALENDAR.session_open(DAYS[1]) + timedelta(minutes=minutes))
    again = trade(DAYS[1], book, WHOLE, FREE, venue, begins=timedelta(minutes=minutes), **ALWAYS)
    names = [terms.client_order_id for _, terms in venue.orders_at_close()]
    assert len(names) == len({*names}) == (len(SYMBOLS) if minutes == 0 else 1)
    assert set(again.shares) == (set(SYMBOLS) if minutes == 0 else {sent.symbol})
    assert not {"books_differed"} & set(again.tables["session_events"]["kind"])
    if minutes:
        assert sum("too late" in reason for reason in reasons(again)) == len(SYMBOLS) - 1


def test_an_order_that_was_sent_and_not_answered_is_taken_over_by_the_next_session(
    book: Ledger,
) -> None:
    """The process died, was not started again, and the auction filled what it had sent."""
    venue = venue_of(DAYS[0], book)
    trade(DAYS[0], book, WHOLE, FREE, venue, **ALWAYS)
    [batch] = ReplayStream(
        WHOLE.filter(pl.col("session_date") == DAYS[1]), ReplayClock(venue.clock.now())
    ).moments()
    name = next(iter(book.open_orders("paper"))).client_order_id
    order = book.order(name)
    assert order is not None
    venue.clock.advance(CALENDAR.session_open(DAYS[1]))
    venue.broker.submit(SubmitOrder(order.terms))
    venue.open(batch)
    venue.trade(batch)
    venue.close(batch)
    third = trade(DAYS[2], book, WHOLE, FREE, venue, **ALWAYS)
    # what was filled while nobody was there is heard before the books are compared
    compared = third.tables["session_events"].filter(pl.col("kind") == "books_reconciled")
    assert [json.loads(detail)["differences"] for detail in compared["detail"]] == [[]]
    # its position is protected, and the entry is sent to nobody again
    assert {terms.role for _, terms in venue.sent} == {"stop"}
    assert {terms.symbol for _, terms in venue.sent} == {order.terms.symbol}
    taken = book.order(name)
    assert taken is not None
    assert taken.status is Status.FILLED
    assert set(third.shares) == {order.terms.symbol}
    position = third.closing.portfolio.positions[third.closing.symbols.index(order.terms.symbol)]
    assert (position["bars_held"], position["sessions_held"]) == (1, 2)


def test_recorded_sessions_come_out_as_they_were_written(tmp_path: Path) -> None:
    ledger = fresh_ledger(tmp_path)
    venue = venue_of(DAYS[0], ledger)
    days = CALENDAR.sessions(CALENDAR.previous_session(SPLIT_DAY), HALF_DAY)
    for number, day in enumerate(days):
        plan = plan_of(day, ledger, WHOLE, FREE, **ALWAYS)
        late = timedelta(minutes=385) if number == 3 else timedelta()
        trade(day, ledger, WHOLE, FREE, venue, begins=late, **ALWAYS)
        again = replay_session(plan, WHOLE, ledger, tmp_path / f"again{number}.sqlite")
        assert again.equal, again.summary()
    assert venue.orders_at_close()


class PlainBroker(ClosingBroker):
    """A broker of an exchange without closing auctions."""

    def closing_hours(self) -> None:
        return None


def test_a_broker_that_does_not_say_that_it_takes_them_gets_none(book: Ledger) -> None:
    venue = venue_of(DAYS[0], book)
    plan = plan_of(DAYS[0], book, WHOLE, FREE)
    stream = DailyStream(plan, WHOLE, venue)
    for broker in (PlainBroker(venue, Fuse()), RemoteBroker(venue, Fuse())):
        with pytest.raises(ConfigError, match="does not say that it takes orders for closing"):
            run_session(plan, book, broker, stream, venue.clock)
    assert book.session(plan.session_id) is None
    hourly = replace(plan, timeframe="1Hour")
    with pytest.raises(ConfigError, match="have an order for the close of a day alone"):
        run_session(hourly, book, ClosingBroker(venue, Fuse()), stream, venue.clock)


def test_what_waits_is_not_sent_to_another_broker(book: Ledger) -> None:
    venue = venue_of(DAYS[0], book)
    trade(DAYS[0], book, WHOLE, FREE, venue, **ALWAYS)
    at_opens = closing_rules(entry="open", half_spread_bps=0.0, impact_coefficient=0.0)
    plan = plan_of(DAYS[1], book, WHOLE, at_opens, threshold=9.0)
    stream = DailyStream(plan, WHOLE, venue)
    result = run_session(plan, book, RemoteBroker(venue, Fuse()), stream, venue.clock)
    assert not venue.orders_at_close()
    assert set(reasons(result)) == {"the broker takes no orders for closing auctions"}


def test_a_live_session_hears_the_auction_before_it_decides_on_the_bar(
    book: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue = venue_of(DAYS[0], book)
    trade(DAYS[0], book, WHOLE, FREE, venue, **ALWAYS)
    monkeypatch.setattr(runner, "_LOOK_SECONDS", 0.0)
    usual, close, looks = ClosingBroker.updates, CALENDAR.session_close(DAYS[1]), [0]
    [batch] = ReplayStream(
        WHOLE.filter(pl.col("session_date") == DAYS[1]), ReplayClock(close)
    ).moments()

    def updates(self: ClosingBroker) -> list[AnyOrderFact]:
        looks[0] += venue.clock.now() >= close
        if looks[0] == 9:
            venue.close(batch)
        return usual(self)

    monkeypatch.setattr(ClosingBroker, "updates", updates)
    plan = plan_of(DAYS[1], book, WHOLE, FREE, **ALWAYS)
    stream = DailyStream(plan, WHOLE, venue, tells_late=True)
    live = Supervision(is_live=True, stale_after_seconds=1e9)
    result = run_session(plan, book, ClosingBroker(venue, Fuse()), stream, venue.clock, live)
    assert looks[0] >= 9
    assert set(result.shares) == set(SYMBOLS)
    assert result.equity["gross_exposure"][-1] > 0.0


# --- several strategies on one account ------------------------------------------------------------


def portfolio_plan(day: date, ledger: Ledger) -> SessionPlan:
    """One strategy enters at closes and is left by its signals, the other has brackets and enters
    at opens.
    """
    shared = {"half_spread_bps": 0.0, "impact_coefficient": 0.0, "max_position": 0.3}
    members = (
        MemberPlan("late", Contrarian(0.0), closing_rules("signal", **shared)),
        MemberPlan("early", Contrarian(0.006), closing_rules(entry="open", **shared)),
    )
    start = datetime.combine(day, time(), UTC)
    return plan_portfolio_day(
        day, opening_of(ledger, "paper", day, members[0].rules.initial_cash), SYMBOLS,
        portfolio="both", members=members, weights=(0.5, 0.5), feature_set=FEATURES,
        feature_states=states_before(start, WHOLE, FEATURES, None, CALENDAR, TIMEFRAME),
        calendar=CALENDAR, timeframe=TIMEFRAME, actions=ACTIONS,
        factors=opening_factors(WHOLE, day),
    )  # fmt: skip


def test_strategies_of_both_kinds_on_one_account_are_replayed_as_backtested(
    tmp_path: Path,
) -> None:
    ledger, forces = fresh_ledger(tmp_path), set()
    for day in DAYS:
        plan = portfolio_plan(day, ledger)
        result = replay_day(plan, WHOLE, ledger)
        divergence = compare(result, backtest_day(plan, WHOLE))
        assert divergence.equal, divergence.summary()
        filled = result.fills.join(ledger.table("session_orders"), on="order_id")
        entries = filled.filter(pl.col("parent_id").is_null())
        forces |= set(entries.select("strategy", "time_in_force").rows())
    assert forces == {("late", "cls"), ("early", "ioc")}


def test_strategies_of_both_kinds_trade_at_a_broker_as_they_are_replayed(tmp_path: Path) -> None:
    here, there = fresh_ledger(tmp_path / "a"), fresh_ledger(tmp_path / "b")
    venue = Venue(portfolio_plan(DAYS[0], there), there)
    for day in DAYS[:9]:  # over the split
        replayed = replay_day(portfolio_plan(day, here), WHOLE, here)
        plan = portfolio_plan(day, there)
        stream = DailyStream(plan, WHOLE, venue)
        traded = run_session(plan, there, ClosingBroker(venue, Fuse()), stream, venue.clock)
        columns = ["order_id", "strategy", "timestamp", "side", "quantity", "price"]
        assert traded.shares == replayed.shares
        assert (
            traded.fills.select(columns)
            .sort(columns)
            .equals(replayed.fills.select(columns).sort(columns))
        )
    strategies = {terms.strategy for _, terms in venue.orders_at_close()}
    assert strategies == {"late"}
