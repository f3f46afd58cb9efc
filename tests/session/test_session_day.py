"""What belongs to the day of a session: fills, and orders of the close before."""

from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from session.daily_market import closing_rules, daily_bars, plan_of
from session.days import fresh_ledger

from harmony_pipeline.execution.events import OrderTerms
from harmony_pipeline.session.session_day import SessionDay

ZONE = ZoneInfo("America/New_York")
MONDAY = date(2024, 7, 8)
TICK = timedelta(microseconds=1)


def wall(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> SessionDay:
    folder: Path = tmp_path_factory.mktemp("day")
    plan = plan_of(MONDAY, fresh_ledger(folder), daily_bars(), closing_rules())
    return SessionDay(plan)


def decided(at: datetime, release_at: datetime | None = None) -> OrderTerms:
    return OrderTerms(
        client_order_id="one", order_id="one", symbol="AAA", role="entry", side="buy",
        quantity=1.0, decided_at=at, release_at=release_at,
    )  # fmt: skip


def test_a_fill_belongs_to_the_session_for_which_its_order_was_decided(day: SessionDay) -> None:
    friday = wall("2024-07-05 16:00")
    assert day.closed_before == friday
    assert day.filled_on(friday, wall("2024-07-08 16:02")) == MONDAY
    assert day.filled_on(friday, wall("2024-07-05 19:30")) == MONDAY  # whatever its stamp
    assert day.filled_on(friday - TICK, wall("2024-07-05 16:02")) == date(2024, 7, 5)


def test_what_was_decided_at_the_close_before_leaves_as_the_session_opens(day: SessionDay) -> None:
    opened, friday = wall("2024-07-08 09:30"), wall("2024-07-05 16:00")
    assert day.leaves_at(decided(friday)) == opened
    assert day.leaves_at(decided(friday - TICK)) == friday - TICK
    within = opened + timedelta(hours=1)
    assert day.leaves_at(decided(within)) == within
    assert day.leaves_at(decided(friday - TICK, release_at=within)) == within
