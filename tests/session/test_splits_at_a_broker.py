"""Splits and dividends at a broker outside of this process: it has changed its books before the
open of the ex-date, and what it fills that morning is told before the day's first bar.
"""

import json
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from session import daily_market
from session.crashes import Crash, CrashingLedger, Fuse, copy_of
from session.daily_market import (
    ACTIONS,
    DAYS,
    DIVIDEND_DAY,
    SPLIT_DAY,
    Venue,
    assert_same_positions,
    closing_rules,
    daily_bars,
    plan_of,
    trade,
    whole_backtest,
)
from session.day_chains import assert_same_course
from session.days import CALENDAR, fresh_ledger

from harmony_pipeline.execution import events as ev
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.ledger_rebuild import books_from_events, differing_rows
from harmony_pipeline.session.live_portfolio import LivePortfolio
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.portfolio_actions import PortfolioActions
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.session_replay import replay_session

AT_OPENS = closing_rules(entry="open", half_spread_bps=0.0, impact_coefficient=0.0)
WIDE = closing_rules(
    entry="open", half_spread_bps=0.0, impact_coefficient=0.0, profit_take=30.0, stop_loss=30.0
)
ALWAYS = {"threshold": 0.0}  # every bar says a side
NEVER = {"threshold": 9.0}
BEFORE = CALENDAR.previous_session(SPLIT_DAY)


def split_by(ratio: float, monkeypatch: pytest.MonkeyPatch) -> pl.DataFrame:
    """The market in which AAA splits so."""
    value = pl.when(pl.col("kind") == "split").then(ratio).otherwise("value")
    monkeypatch.setattr(daily_market, "ACTIONS", ACTIONS.with_columns(value=value))
    return daily_bars(missing=0.0)


def differences(result: SessionResult) -> list[str]:
    """What was said of books that disagree."""
    events = result.tables["session_events"]
    opened = events.filter(pl.col("kind") == "books_reconciled")["detail"]
    later = events.filter(pl.col("kind") == "books_differed")["detail"]
    found = [each for text in opened for each in json.loads(text)["differences"]]
    return found + [json.loads(text)["sentence"] for text in later]


def applied(result: SessionResult) -> list[tuple[str, float, float]]:
    """(symbol, shares before, shares after) of what met a position."""
    events = result.tables["session_events"]
    facts = map(json.loads, events.filter(pl.col("kind") == "corporate_action_applied")["detail"])
    return [(f["symbol"], f["quantity_before"], f["quantity_after"]) for f in facts]


def at_broker(venue: Venue) -> dict[str, float]:
    return {each.symbol: each.quantity for each in venue.broker.positions()}


def plan_again(
    day: date, ledger: Ledger, bars: pl.DataFrame, chosen: TradingRules, result: SessionResult
) -> SessionPlan:
    """The plan that the session of a day had."""
    plan = plan_of(day, ledger, bars, chosen, **NEVER)
    assert plan.session_id == result.session_id
    return plan


def whole_shares(held: float, ratio: float) -> float:
    kept = int(abs(held) * ratio + 1e-9)
    return float(kept if held > 0 else -kept)


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("ratio", [2.0, 1.5, 0.1])
def test_what_is_held_over_night_splits_before_the_books_are_compared(
    ratio: float, tells: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tells: whether the broker tells what it made of an order over night. Alpaca does not."""
    bars, ledger = split_by(ratio, monkeypatch), fresh_ledger(tmp_path)
    first = CALENDAR.previous_session(BEFORE)
    venue = Venue(plan_of(first, ledger, bars, WIDE), ledger)
    venue.tells_adjustments = tells
    trade(first, ledger, bars, WIDE, venue, **ALWAYS)
    one = trade(BEFORE, ledger, bars, WIDE, venue, **NEVER)
    held = one.shares["AAA"]
    assert abs(held) > 10
    assert abs(held) * 0.1 != int(abs(held) * 0.1)  # with a rest
    two = trade(SPLIT_DAY, ledger, bars, WIDE, venue, **NEVER)
    assert differences(two) == []
    assert applied(two) == [("AAA", held, whole_shares(held, ratio))]
    assert two.shares["AAA"] == whole_shares(held, ratio) == at_broker(venue)["AAA"]
    legs = [each for each in two.working if each.terms.symbol == "AAA"]
    assert {each.quantity for each in legs} == {abs(two.shares["AAA"])}
    assert len(legs) == 2
    plan = plan_again(SPLIT_DAY, ledger, bars, WIDE, two)
    again = replay_session(plan, bars, ledger, tmp_path / "again.sqlite")
    assert again.equal, again.summary()
    assert set(differing_rows(ledger, books_from_events(ledger)).values()) == {0}
    three = trade(CALENDAR.next_session(SPLIT_DAY), ledger, bars, WIDE, venue, **NEVER)
    assert differences(three) == applied(three) == []


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("ratio", [2.0, 1.5, 0.1])
def test_an_entry_that_waits_over_night_fills_in_new_shares_before_the_first_bar(
    ratio: float, tells: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tells: whether the broker tells what it made of an order over night. Alpaca does not."""
    bars, ledger = split_by(ratio, monkeypatch), fresh_ledger(tmp_path)
    venue = Venue(plan_of(BEFORE, ledger, bars, WIDE), ledger)
    venue.tells_adjustments = tells
    trade(BEFORE, ledger, bars, WIDE, venue, **ALWAYS)
    asked = {terms.symbol: terms for _, terms in venue.sent}["AAA"]
    two = trade(SPLIT_DAY, ledger, bars, WIDE, venue, **NEVER)
    assert differences(two) == applied(two) == []
    bought = whole_shares(asked.quantity, ratio)
    [filled] = two.fills.filter(pl.col("symbol") == "AAA")["quantity"].to_list()
    assert filled == bought == abs(two.shares["AAA"])
    assert two.shares == at_broker(venue)
    legs = [each for each in two.working if each.terms.symbol == "AAA"]
    assert [each.quantity for each in legs] == [bought, bought]
    plan = plan_again(SPLIT_DAY, ledger, bars, WIDE, two)
    again = replay_session(plan, bars, ledger, tmp_path / "again.sqlite")
    assert again.equal, again.summary()


def test_what_a_split_leaves_less_than_a_share_of_is_over_without_a_dispute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once an entry that waits over night, once a position with its bracket."""
    bars = split_by(0.001, monkeypatch)
    for number, first in enumerate((BEFORE, CALENDAR.previous_session(BEFORE))):
        ledger = fresh_ledger(tmp_path / str(number))
        venue = Venue(plan_of(first, ledger, bars, WIDE), ledger)
        trade(first, ledger, bars, WIDE, venue, **ALWAYS)
        if first != BEFORE:
            trade(BEFORE, ledger, bars, WIDE, venue, **NEVER)
        two = trade(SPLIT_DAY, ledger, bars, WIDE, venue, **NEVER)
        assert differences(two) == []
        assert "AAA" not in two.shares
        assert "AAA" not in at_broker(venue)
        assert two.shares == at_broker(venue)
        events = two.tables["session_events"].filter(
            (pl.col("kind") == "canceled") & (pl.col("symbol") == "AAA")
        )
        assert events.height == (1 if first == BEFORE else 2)
        reasons = two.trades.filter(pl.col("symbol") == "AAA")["exit_reason"].to_list()
        assert reasons == ([] if first == BEFORE else ["cash_in_lieu"])


def test_a_symbol_without_a_bar_that_day_splits_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, ledger = split_by(2.0, monkeypatch), fresh_ledger(tmp_path)
    silent = (pl.col("symbol") == "AAA") & (pl.col("session_date") == SPLIT_DAY)
    bars = whole.filter(~silent)
    first = CALENDAR.previous_session(BEFORE)
    venue = Venue(plan_of(first, ledger, bars, WIDE), ledger)
    trade(first, ledger, bars, WIDE, venue, **ALWAYS)
    held = trade(BEFORE, ledger, bars, WIDE, venue, **NEVER).shares["AAA"]
    two = trade(SPLIT_DAY, ledger, bars, WIDE, venue, **NEVER)
    assert differences(two) == []
    assert two.shares["AAA"] == 2.0 * held
    three = trade(CALENDAR.next_session(SPLIT_DAY), ledger, bars, WIDE, venue, **NEVER)
    assert differences(three) == applied(three) == []
    assert three.shares["AAA"] == 2.0 * held == at_broker(venue)["AAA"]


def test_a_dividend_belongs_to_who_held_at_the_close_before(tmp_path: Path) -> None:
    """BBB is left at the open of its ex-date, and entered there by another account."""
    bars = daily_bars(missing=0.0)
    eve = CALENDAR.previous_session(DIVIDEND_DAY)
    first = CALENDAR.previous_session(eve)
    short = closing_rules(
        entry="open", half_spread_bps=0.0, impact_coefficient=0.0, profit_take=30.0,
        stop_loss=30.0, horizons_bars=(1,),
    )  # fmt: skip
    ledger = fresh_ledger(tmp_path / "leaves")
    venue = Venue(plan_of(first, ledger, bars, short), ledger)
    trade(first, ledger, bars, short, venue, **ALWAYS)
    held = trade(eve, ledger, bars, short, venue, **NEVER).shares["BBB"]
    result = trade(DIVIDEND_DAY, ledger, bars, short, venue, **NEVER)
    assert "BBB" not in result.shares
    assert applied(result) == [("BBB", held, held)]
    assert differences(result) == []  # of cash, too
    [trade_row] = result.trades.filter(pl.col("symbol") == "BBB").to_dicts()
    side = 1 if held > 0 else -1
    gained = (trade_row["exit_price"] - trade_row["entry_price"]) * side * abs(held)
    fees = trade_row["fees"]
    assert trade_row["pnl"] == pytest.approx(gained + 0.4 * held - fees, abs=0.005)

    ledger = fresh_ledger(tmp_path / "enters")
    venue = Venue(plan_of(eve, ledger, bars, short), ledger)
    trade(eve, ledger, bars, short, venue, **ALWAYS)
    result = trade(DIVIDEND_DAY, ledger, bars, short, venue, **NEVER)
    assert "BBB" in result.shares
    assert applied(result) == differences(result) == []


def test_days_at_a_broker_with_entries_at_opens_take_the_course_of_the_backtest(
    tmp_path: Path,
) -> None:
    ledger, bars = fresh_ledger(tmp_path / "days"), daily_bars(missing=0.0)
    venue = Venue(plan_of(DAYS[0], ledger, bars, AT_OPENS), ledger)
    results = [trade(day, ledger, bars, AT_OPENS, venue) for day in DAYS]
    whole = whole_backtest(tmp_path, bars, AT_OPENS)
    assert [each for result in results for each in differences(result)] == []
    assert {symbol for result in results for symbol, *_ in applied(result)} == {"AAA"}
    # a part of a share that a split leaves is paid at the last price, in a backtest at the open
    assert_same_course(results, whole, within=0.05)
    assert_same_positions(results[-1], whole)


@pytest.mark.parametrize("begins", ["held", "waits"])
def test_a_process_that_dies_anywhere_on_the_ex_date_ends_with_the_same_books(
    begins: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = split_by(0.1, monkeypatch)
    first = BEFORE if begins == "waits" else CALENDAR.previous_session(BEFORE)

    begun = tmp_path / "begun.sqlite"
    with Ledger(begun) as ledger:
        before = Venue(plan_of(first, ledger, bars, WIDE), ledger)
        before.tells_adjustments = False
        trade(first, ledger, bars, WIDE, before, **ALWAYS)
        if first != BEFORE:
            trade(BEFORE, ledger, bars, WIDE, before, **NEVER)

    def live(path: Path, point: int | None) -> tuple[SessionResult, Venue, int, int]:
        fuse, deaths, venue = Fuse(point or 10**9), 0, before.copied()
        steps = fuse
        with CrashingLedger(copy_of(begun, path), fuse) as ledger:
            while True:
                try:
                    result = trade(SPLIT_DAY, ledger, bars, WIDE, venue, fuse=fuse, **ALWAYS)
                    break
                except Crash:
                    deaths, fuse = deaths + 1, Fuse()
                    ledger.fuse = fuse
            return result, venue, steps.steps, deaths

    expected, calm, steps, _ = live(tmp_path / "whole.sqlite", None)
    assert differences(expected) == []
    for point in sorted({*range(1, 12), *range(1, steps, max(1, steps // 25)), steps}):
        found, venue, _, deaths = live(tmp_path / f"{point}.sqlite", point)
        assert deaths == 1
        assert differences(found) == [], point
        assert found.closing.to_dict() == expected.closing.to_dict(), point
        assert found.fills.equals(expected.fills), point
        assert applied(found) == applied(expected), point
        assert at_broker(venue) == at_broker(calm) == found.shares, point


def test_what_is_adopted_before_its_first_bar_of_the_ex_date_is_in_the_shares_of_the_day(
    tmp_path: Path,
) -> None:
    ledger, bars = fresh_ledger(tmp_path), daily_bars(missing=0.0)
    plan = plan_of(SPLIT_DAY, ledger, bars, WIDE)
    now = CALENDAR.session_open(SPLIT_DAY)
    portfolio, row = LivePortfolio(plan, plan.opening.portfolio), plan.symbols.index("AAA")
    fact = ev.PositionAdopted(
        happened_at=now, known_at=now, symbol="AAA", quantity_before=0.0, quantity_after=30.0,
        price=20.0,
    )  # fmt: skip
    portfolio.adopt(fact)
    assert portfolio.held(row) == 30.0
    until = (SPLIT_DAY - date(1970, 1, 1)).days
    assert list(PortfolioActions(plan, portfolio).due(row, until)) == []


def test_the_first_bar_after_an_early_fill_has_no_bar_before_it_in_its_session(
    tmp_path: Path,
) -> None:
    """The collar of prices takes its measure there; of days there is never one."""
    ledger, bars = fresh_ledger(tmp_path), daily_bars(missing=0.0)
    chosen = closing_rules("signal", price_collar=0.9)
    venue = Venue(plan_of(DAYS[0], ledger, bars, chosen), ledger)
    filled = 0
    for day in DAYS[:4]:
        result = trade(day, ledger, bars, chosen, venue, **ALWAYS)
        filled += result.fills.height
        assert not result.closing.portfolio.positions["prior_price"].any()
    assert filled == 3
