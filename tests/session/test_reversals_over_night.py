"""A position of daily bars that is reversed at a broker outside of this process: its exit works over
night, and the entry that waits for it has not left when the session ends.
"""

from datetime import date
from pathlib import Path

import pytest
from session import daily_market
from session.daily_market import (
    ACTIONS,
    DAYS,
    Venue,
    closing_rules,
    daily_bars,
    plan_of,
    trade,
)
from session.days import CALENDAR, fresh_ledger
from session.test_splits_at_a_broker import ALWAYS, differences

from harmony_pipeline.execution.lifecycle import Order, Status
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.result import SessionResult

REVERSING = closing_rules("signal", entry="open", half_spread_bps=0.0, impact_coefficient=0.0)


def traded(
    days: list[date], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[SessionResult], Venue, Ledger]:
    monkeypatch.setattr(daily_market, "ACTIONS", ACTIONS.clear())
    bars, ledger = daily_bars(missing=0.0), fresh_ledger(folder)
    venue = Venue(plan_of(days[0], ledger, bars, REVERSING), ledger)
    return [trade(day, ledger, bars, REVERSING, venue, **ALWAYS) for day in days], venue, ledger


def waiting(result: SessionResult) -> list[Order]:
    """Entries that had not left when the session ended."""
    return [
        order
        for order in result.working
        if order.terms.after_exit and order.status is Status.INTENDED
    ]


def test_the_entry_of_a_reversal_waits_over_night_and_is_no_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also over a weekend and a holiday."""
    results, venue, _ = traded(DAYS, tmp_path, monkeypatch)
    assert [differences(each) for each in results] == [[]] * len(DAYS)
    sent = {terms.client_order_id: at for at, terms in venue.sent}
    found = [(result.date, order) for result in results[:-1] for order in waiting(result)]
    for day, order in found:
        next_open = CALENDAR.session_open(CALENDAR.next_session(day))
        assert sent[order.client_order_id] == next_open
    assert {date(2024, 6, 28), date(2024, 7, 3)} <= {day for day, _ in found}


def test_after_a_session_that_was_left_out_the_entry_has_lost_its_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, *_ = traded(DAYS, tmp_path / "whole", monkeypatch)
    last = next(place for place, result in enumerate(whole) if waiting(result))
    left_out = [*DAYS[: last + 1], *DAYS[last + 2 :]]
    results, venue, ledger = traded(left_out, tmp_path / "left_out", monkeypatch)
    waited = waiting(results[last])
    assert waited
    for order in waited:
        assert order.client_order_id not in {terms.client_order_id for _, terms in venue.sent}
        ended = ledger.order(order.client_order_id)
        assert ended is not None
        assert (ended.status, ended.reason) == (Status.CANCELED, "its moment has passed")
