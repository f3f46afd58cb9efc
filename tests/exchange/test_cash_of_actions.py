"""Dividends and cash in lieu at the exchange, through alpaca-py: ours on the ex-date, paid later or
never.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
from session.days import fresh_ledger

from harmony_pipeline.alerts.alert import alert_of
from harmony_pipeline.exchange.control import commit
from harmony_pipeline.exchange.local_server import Fault
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.brokers.alpaca.broker import AlpacaBroker
from harmony_pipeline.execution.brokers.alpaca.keys import Keys
from harmony_pipeline.monitor.notable import sentence_of
from harmony_pipeline.portfolio.kernel_types import MONEY
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.schemas import CORPORATE_ACTIONS
from harmony_pipeline.session import receivables
from harmony_pipeline.session.day_backtest import backtest_day
from harmony_pipeline.session.day_plan import plan_day, states_before
from harmony_pipeline.session.day_summary import day_summary
from harmony_pipeline.session.divergence import compare
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.opening import opening_of
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.reconcile import reconcile
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.session_replay import replay_session
from harmony_pipeline.testing.crashes import Crash, Fuse
from harmony_pipeline.testing.stepped_day import (
    CALENDAR,
    DAY,
    FEATURES,
    KEYS,
    OPEN,
    SYMBOLS,
    Contrarian,
    SteppedWorld,
    day_of,
    trading_rules,
)

NEXT, THIRD = date(2024, 3, 6), date(2024, 3, 7)
DAYS = (DAY, NEXT, THIRD)
EVENING = 23  # the last minutes of the first day
MINUTES = 12
RULES = replace(trading_rules(), horizon=500)
NO_FEES = replace(
    RULES, costs=RULES.costs.model_copy(update={"fee_per_share": 0.0, "sell_fee_bps": 0.0})
)


def days_of_bars() -> pl.DataFrame:
    close = CALENDAR.session_close(DAY)
    first = day_of(5, EVENING, start=close - timedelta(minutes=EVENING))
    later = [day_of(6 + n, MINUTES, start=OPEN + timedelta(days=1 + n)) for n in range(2)]
    prices = [(pl.col(name) * 0.9).round(2) for name in ("open", "high", "low", "close")]
    frames = [first, *(each.with_columns(prices) for each in later)]
    return pl.concat(frames).sort("symbol", "timestamp")


class PayingWorld(SteppedWorld):
    """An exchange that pays during the day, before a minute of its replay opens, and at which
    somebody else buys.
    """

    payments: ClassVar[dict[int, list[tuple[str, str, str]]]] = {}
    bought_by_hand: ClassVar[dict[int, tuple[str, str]]] = {}  # symbol, shares
    refusals: ClassVar[dict[int, int]] = {}  # of the next questions for activities

    def happen(self, minute: int, moment: int) -> None:
        if minute in self.bought_by_hand:
            symbol, shares = self.bought_by_hand.pop(minute)
            bought = {"symbol": symbol, "side": "buy", "quantity": shares}
            self.exchange.call(commit(self.exchange, {"kind": "trade_by_hand", **bought}))
        body = {"code": 42210000, "message": "invalid activity type"}
        refused = [Fault(status=422, body=body)] * self.refusals.pop(minute, 0)
        if refused:  # executions are told all the same
            self.exchange.faults.add(*[None] * 1000, path="/v2/account/activities/FILL")
            self.exchange.faults.add(*refused, path="/v2/account/activities")
        for activity, symbol, amount in self.payments.pop(minute, []):
            self.pay(activity, symbol, amount)
        super().happen(minute, moment)

    def pay(self, activity: str, symbol: str, amount: str) -> None:
        """(activity, symbol, dollars)."""
        fault = {"kind": "pay", "activity": activity, "symbol": symbol, "amount": amount}
        self.exchange.call(commit(self.exchange, fault))


@dataclass
class Days:
    """Sessions of one account at one exchange, day by day."""

    world: "PayingWorld"
    ledger: Ledger
    bars: pl.DataFrame
    actions: pl.DataFrame

    def plan_of(self, day: date, book: Ledger, chosen: TradingRules) -> SessionPlan:
        start = datetime.combine(day, CALENDAR.session_open(day).timetz())
        states = states_before(start, self.bars, FEATURES, None, CALENDAR, "1Min")
        return plan_day(
            day, opening_of(book, "paper", day, chosen.initial_cash), SYMBOLS,
            strategy_name="contrarian", strategy=Contrarian(0.001), rules=chosen,
            feature_set=FEATURES, feature_states=states, calendar=CALENDAR, timeframe="1Min",
            actions=self.actions,
        )  # fmt: skip

    def trade(self, day: date) -> SessionResult:
        self.world.plan = lambda book, chosen: self.plan_of(day, book, chosen)
        return self.world.session(self.ledger)

    def minute(self, day: date, number: int) -> int:
        """Of the exchange's replay."""
        return EVENING * (day > DAY) + MINUTES * (day > NEXT) + number

    @property
    def cash(self) -> int:
        return self.world.exchange.venue.books.cash


@contextmanager
def account(folder: Path, exchange_rules: TradingRules | None = None) -> Iterator[Days]:
    bars, ledger = days_of_bars(), fresh_ledger(folder)
    with PayingWorld(5, folder, rules=RULES, market=bars, exchange_rules=exchange_rules) as world:
        yield Days(world, ledger, bars, CORPORATE_ACTIONS.empty())


def dividends(result: SessionResult, day: date, value: float) -> pl.DataFrame:
    """Of everything that is held."""
    rows = [(symbol, day, "dividend", value) for symbol in sorted(result.shares)]
    return pl.DataFrame(rows, schema=CORPORATE_ACTIONS.dtypes, orient="row")


def opening_cash(days: Days, day: date) -> int:
    """What a session of the day would begin with."""
    return int(opening_of(days.ledger, "paper", day, 0.0).state.portfolio.account[0]["cash"])


def with_a_payment_on_the_third_day(days: Days) -> tuple[str, int]:
    """Two days with a dividend on the second, of which that of the largest position is paid on the
    third: its symbol and the minute.
    """
    first = days.trade(DAY)
    days.actions = dividends(first, NEXT, 0.35)
    days.trade(NEXT)
    symbol = max(first.shares, key=lambda name: first.shares[name])
    minute = days.minute(THIRD, 3)
    days.world.payments[minute] = [("DIV", symbol, cents(0.35 * first.shares[symbol]))]
    return symbol, minute


def events_of(days: Days, result: SessionResult, *kinds: type[ev.Event]) -> list[ev.Event]:
    return [event for _, event in days.ledger.events(result.session_id) if isinstance(event, kinds)]


def entries(days: Days, result: SessionResult) -> list[ev.Event]:
    intents = events_of(days, result, ev.OrderIntended)
    return [each for each in intents if each.order.role == "entry"]


def fees_told(days: Days, result: SessionResult) -> list[tuple[str | None, float, float]]:
    """(day, booked, paid)."""
    settled = events_of(days, result, ev.ActionSettled)
    return [(each.date, each.booked, each.paid) for each in settled if each.action == "fees"]


def cents(dollars: float) -> str:
    """As brokers pay."""
    return str(Decimal(repr(dollars)).quantize(Decimal("0.01")))


def test_a_dividend_that_is_not_paid_yet_stops_nothing(tmp_path: Path) -> None:
    with account(tmp_path) as days:
        first = days.trade(DAY)
        assert first.shares
        days.actions = dividends(first, NEXT, 0.35)
        second = days.trade(NEXT)
        applied = events_of(days, second, ev.CorporateActionApplied)
        assert {each.symbol for each in applied} == set(first.shares)
        assert events_of(days, second, ev.BooksDiffered) == []
        assert entries(days, second)
        assert {item.symbol for item in second.receivables.open} == set(first.shares)
        assert second.broker_cash == days.cash
        owed = second.receivables.pending / MONEY
        assert owed == sum(0.35 * shares for shares in first.shares.values())
        told = dict(day_summary(second, None, None, {}).iter_rows())
        assert told["not paid by the broker yet"] == f"{owed:,.2f}"


def test_a_payment_during_the_day_is_told_by_its_activity(tmp_path: Path) -> None:
    """With a rounding, and a tax and the fee of a depositary that nobody booked."""
    with account(tmp_path) as days:
        first = days.trade(DAY)
        days.actions = dividends(first, NEXT, 0.3537)
        symbol = max(first.shares, key=lambda name: first.shares[name])
        assert first.shares[symbol] > 0
        days.trade(NEXT)
        amount = cents(0.3537 * first.shares[symbol])
        tax = cents(-0.15 * float(amount))
        days.world.payments[days.minute(THIRD, 3)] = [
            ("DIV", symbol, amount), ("DIVNRA", symbol, tax), ("DIVFEE", symbol, "-0.36"),
        ]  # fmt: skip
        third = days.trade(THIRD)
        assert events_of(days, third, ev.BooksDiffered) == []
        paid, taxed, charged = events_of(days, third, ev.ActionSettled)
        assert (paid.symbol, paid.date, cents(paid.paid)) == (symbol, str(NEXT), amount)
        assert abs(paid.booked - 0.3537 * first.shares[symbol]) < 1e-4
        assert (taxed.action, taxed.date, taxed.booked) == ("DIVNRA", None, 0.0)
        assert cents(taxed.paid) == tax
        assert (charged.action, charged.date, charged.paid) == ("DIVFEE", None, -0.36)
        assert third.broker_cash == days.cash
        # the cash of the day is the backtest's; the next day opens with the broker's
        assert opening_cash(days, date(2024, 3, 8)) - third.receivables.pending == days.cash
        assert symbol not in {item.symbol for item in third.receivables.open}
        plan = days.plan_of(THIRD, days.ledger, RULES)
        mine = days.bars.filter(pl.col("session_date") == THIRD)
        again = replay_session(plan, mine, days.ledger, tmp_path / "again.sqlite")
        assert again.equal, again.summary()
        twin = compare(third, backtest_day(plan, mine))
        marks = twin.table.filter(pl.col("kind") == "equity")
        assert marks["equal"].all()


def test_shares_that_are_adopted_cost_what_they_cost_beside_a_payment(tmp_path: Path) -> None:
    with account(tmp_path) as days:
        symbol, minute = with_a_payment_on_the_third_day(days)
        days.world.bought_by_hand[minute] = symbol, "5"
        third = days.trade(THIRD)
        settled, fee = events_of(days, third, ev.ActionSettled)
        assert settled.symbol == symbol
        # nobody here knew of their fee
        assert (fee.action, fee.paid - fee.booked) == ("fees", pytest.approx(-0.03))
        [found] = events_of(days, third, ev.BooksDiffered)
        assert (found.subject, found.symbol, found.broker - found.ledger) == ("position", symbol, 5)
        assert symbol not in {item.symbol for item in third.receivables.open}
        assert third.broker_cash == days.cash


def test_what_is_paid_over_night_is_found_and_what_is_never_paid_is_written_off(
    tmp_path: Path,
) -> None:
    with account(tmp_path) as days:
        first = days.trade(DAY)
        days.actions = dividends(first, NEXT, 0.35)
        second = days.trade(NEXT)
        paid, *unpaid = second.receivables.open
        assert unpaid
        days.world.pay("DIV", paid.symbol, cents(paid.amount / MONEY))
        days.world.unpaid_days = 1
        third = days.trade(THIRD)
        assert events_of(days, third, ev.BooksDiffered) == []
        [settled] = events_of(days, third, ev.ActionSettled)
        assert settled.symbol == paid.symbol
        written = events_of(days, third, ev.ActionWrittenOff)
        assert [each.symbol for each in written] == [item.symbol for item in unpaid]
        assert [each.amount for each in written] == [item.amount / MONEY for item in unpaid]
        assert third.receivables.open == []
        assert third.broker_cash == days.cash == opening_cash(days, date(2024, 3, 8))
        for each in written:
            sentence = (
                f"{each.symbol}: dividend of 2024-03-06: {each.amount:.2f} was not paid at the"
                " broker in 1 days and is written off"
            )
            alert = alert_of(each, "s")
            assert alert is not None
            assert alert.text == sentence
            assert sentence_of(each) == ("warn", sentence)


def test_a_broker_that_pays_none_costs_no_entry_and_no_cent(tmp_path: Path) -> None:
    with account(tmp_path) as days:
        first = days.trade(DAY)
        days.actions = dividends(first, NEXT, 0.35)
        days.world.unpaid_days = 0
        second = days.trade(NEXT)
        assert events_of(days, second, ev.BooksDiffered) == []
        assert len(events_of(days, second, ev.ActionWrittenOff)) == len(first.shares)
        assert entries(days, second)
        assert opening_cash(days, THIRD) == days.cash
        third = days.trade(THIRD)
        assert events_of(days, third, ev.BooksDiffered, ev.ActionWrittenOff) == []
        assert third.broker_cash == days.cash


def test_cash_that_was_there_before_the_first_session_is_no_payment(tmp_path: Path) -> None:
    """An account with a past: its activities are in its opening cash."""
    with account(tmp_path) as days:
        days.world.pay("DIV", "AAA", "12.34")
        days.world.pay("CSW", "AAA", "-12.34")
        first = days.trade(DAY)
        days.actions = dividends(first, NEXT, 0.35)
        second = days.trade(NEXT)
        owed = second.receivables.open[0]
        days.world.pay("DIV", owed.symbol, cents(owed.amount / MONEY))
        third = days.trade(THIRD)
        assert events_of(days, third, ev.BooksDiffered) == []
        [settled] = events_of(days, third, ev.ActionSettled)
        assert settled.symbol == owed.symbol
        assert third.broker_cash == days.cash


def test_cash_that_no_action_explains_still_stops_entries(tmp_path: Path) -> None:
    with account(tmp_path) as days:
        first = days.trade(DAY)
        days.actions = dividends(first, NEXT, 0.35)
        days.world.payments[days.minute(NEXT, 0)] = [("CSW", "AAA", "-50")]
        second = days.trade(NEXT)
        found, *later = events_of(days, second, ev.BooksDiffered)
        assert {each.subject for each in (found, *later)} == {"cash"}
        assert round(found.ledger - found.broker, 2) == 50.0
        assert "of corporate actions that is not paid" in found.sentence
        assert not [each for each in entries(days, second) if each.known_at > found.known_at]
        kept = days.ledger.snapshot(second.session_id)
        assert kept is not None
        assert kept.body["desk"]["cash_doubted"]


def test_fees_that_are_booked_at_the_end_of_the_day_stop_nothing(tmp_path: Path) -> None:
    """As Alpaca does: nothing during the day, then a sum of each kind, rounded up to a cent."""
    with account(tmp_path, NO_FEES) as days:
        first = days.trade(DAY)
        estimate = float(first.fills["fee"].sum())
        assert estimate > 0.5
        assert days.cash - first.broker_cash == round(estimate * MONEY)
        assert events_of(days, first, ev.BooksDiffered) == []
        assert len(entries(days, first)) == entries_with_fees_at_once(tmp_path / "at once")
        with closing(AlpacaBroker(days.world.settings(), Keys(*KEYS))) as broker:
            assert reconcile(days.ledger, first.session_id, broker).agrees
        days.world.pay("FEE", "AAA", "-0.31")
        days.world.pay("FEE", "AAA", cents(0.35 - estimate))
        second = days.trade(NEXT)
        assert events_of(days, second, ev.BooksDiffered) == []
        assert entries(days, second)
        assert fees_told(days, second) == []
        # what was not taken of the estimate may still be, for some days
        later = round(float(second.fills["fee"].sum()) * MONEY)
        assert abs(days.cash - second.broker_cash - later - 400) <= 100


def test_more_fees_than_were_estimated_are_in_the_next_opening(tmp_path: Path) -> None:
    with account(tmp_path, NO_FEES) as days:
        first = days.trade(DAY)
        days.world.pay("FEE", "AAA", cents(-0.40 - float(first.fills["fee"].sum())))
        second = days.trade(NEXT)
        assert events_of(days, second, ev.BooksDiffered) == []
        [(_, booked, paid)] = fees_told(days, second)
        assert cents(paid - booked) == "-0.40"
        later = round(float(second.fills["fee"].sum()) * MONEY)
        assert days.cash - second.broker_cash == later
        assert opening_cash(days, THIRD) == second.broker_cash


def test_fees_that_are_never_booked_are_in_the_next_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alpaca's paper accounts pay none."""
    monkeypatch.setattr(receivables, "_FEES_BOOKED", timedelta(days=1))
    with account(tmp_path, NO_FEES) as days:
        first = days.trade(DAY)
        second = days.trade(NEXT)
        estimate = float(first.fills["fee"].sum())
        assert fees_told(days, second) == [(str(DAY), round(-estimate, 4), 0.0)]
        third = days.trade(THIRD)
        assert events_of(days, third, ev.BooksDiffered) == []
        assert days.cash - third.broker_cash == round(float(third.fills["fee"].sum()) * MONEY)


def test_a_process_that_dies_anywhere_takes_fees_once(tmp_path: Path) -> None:
    """Those of the day before were told, more than was estimated; those of the day are waited for."""
    *_, steps, expected = day_of_fees(tmp_path / "whole", None)
    for point in range(3, steps, max(1, steps // 12)):
        deaths, _, found = day_of_fees(tmp_path / str(point), point)
        assert deaths == 1
        assert found == expected, point


def day_of_fees(folder: Path, point: int | None) -> tuple[int, int, dict[str, Any]]:
    """Deaths, steps, and what is owed after a day whose process dies at a step."""
    folder.mkdir()
    with account(folder, NO_FEES) as days:
        first = days.trade(DAY)
        days.world.pay("FEE", "AAA", cents(-0.40 - float(first.fills["fee"].sum())))
        days.world.plan = lambda book, chosen: days.plan_of(NEXT, book, chosen)
        fuse, deaths = Fuse(point or 10**9), 0
        steps = fuse
        while True:
            try:
                second = days.world.session(days.ledger, fuse=fuse)
                break
            except Crash:
                fuse, deaths = Fuse(), deaths + 1
        assert events_of(days, second, ev.BooksDiffered) == []
        assert [round(paid - booked, 2) for _, booked, paid in fees_told(days, second)] == [-0.4]
        later = round(float(second.fills["fee"].sum()) * MONEY)
        assert days.cash - second.broker_cash == later == second.receivables.uncharged
        assert opening_cash(days, THIRD) == second.broker_cash
        return deaths, steps.steps, second.receivables.checkpoint()


def test_fees_of_which_nobody_may_ask_are_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They were booked; to call them closed unheard would book them twice once they are told."""
    monkeypatch.setattr(receivables, "_FEES_BOOKED", timedelta(days=1))
    with account(tmp_path, NO_FEES) as days:
        first = days.trade(DAY)
        charged = Decimal(cents(-float(first.fills["fee"].sum())))
        days.world.pay("FEE", "AAA", str(charged))
        days.world.refusals[days.minute(NEXT, 0)] = 100
        second = days.trade(NEXT)
        asked = days.world.exchange.asked("/v2/account/activities")
        assert [each.fault for each in asked if each.fault is not None]
        assert second.state == "completed"
        assert fees_told(days, second) == []
        third = days.trade(THIRD)
        assert events_of(days, second, ev.BooksDiffered) == []
        assert events_of(days, third, ev.BooksDiffered) == []
        later = round(float(third.fills["fee"].sum()) * MONEY)
        assert abs(days.cash - third.broker_cash - later) <= 100


def test_interest_is_no_difference(tmp_path: Path) -> None:
    with account(tmp_path) as days:
        days.trade(DAY)
        days.world.payments[days.minute(NEXT, 2)] = [("INT", "AAA", "-3.17")]
        second = days.trade(NEXT)
        assert events_of(days, second, ev.BooksDiffered) == []
        assert second.broker_cash == days.cash


def entries_with_fees_at_once(folder: Path) -> int:
    folder.mkdir()
    with account(folder) as days:
        return len(entries(days, days.trade(DAY)))


def test_a_broker_that_refuses_to_tell_its_activities_is_known_by_its_cash(tmp_path: Path) -> None:
    with account(tmp_path) as days:
        symbol, minute = with_a_payment_on_the_third_day(days)
        days.world.refusals[minute] = 2
        third = days.trade(THIRD)
        assert third.state == "completed"
        [settled] = events_of(days, third, ev.ActionSettled)
        assert (settled.symbol, settled.activity) == (symbol, None)
        assert events_of(days, third, ev.BooksDiffered) == []
        assert third.broker_cash == days.cash
