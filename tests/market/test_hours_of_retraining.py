"""Retraining periods of an hour: on the exchange's clock, through both of its changes."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from assets.partitions import build_partitions
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import (
    DayCut,
    hours_of,
    next_period,
    period_at,
    period_from_key,
    period_of,
)
from harmony_pipeline.testing.tiny import tiny_market

NEW_YORK = DayCut("America/New_York")
FUTURES = DayCut("America/Chicago", timedelta(hours=-7))


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


def test_an_hour_is_one_of_the_exchange_clock():
    found = period_at(utc(2024, 1, 3, 14, 59, 59), "hour", NEW_YORK)
    assert (found.key, found.start, found.end) == (
        "2024-01-03T09",
        utc(2024, 1, 3, 14),
        utc(2024, 1, 3, 15),
    )
    assert (found.first_date, found.end_date) == (date(2024, 1, 3), date(2024, 1, 4))
    assert period_from_key(found.key, "hour", NEW_YORK) == found
    assert next_period(found, "hour", NEW_YORK).key == "2024-01-03T10"


def test_an_hour_of_the_evening_before_belongs_to_the_session():
    found = period_at(utc(2024, 1, 7, 23, 30), "hour", FUTURES)
    assert (found.key, found.first_date) == ("2024-01-07T17", date(2024, 1, 8))
    assert period_of(date(2024, 1, 8), "hour", FUTURES) == found


@pytest.mark.parametrize(("day", "hours"), [(date(2024, 3, 10), 23), (date(2024, 11, 3), 25)])
def test_hours_cover_a_day_on_which_the_clock_changes(day, hours):
    start = NEW_YORK.start_of(day)
    end = NEW_YORK.start_of(day + timedelta(days=1))
    assert (end - start) == timedelta(hours=hours)
    found = hours_of([(start, end)], NEW_YORK)
    assert found[0].start == start
    assert found[-1].end == end
    assert all(one.end == other.start for one, other in pairwise(found))
    for moment in (start + timedelta(minutes=30 * step) for step in range(2 * hours)):
        inside = period_at(moment, "hour", NEW_YORK)
        assert inside.start <= moment < inside.end


def test_a_wrong_key_is_told_how_it_is_written():
    with pytest.raises(ConfigError, match="2024-01-01T10"):
        period_from_key("2024-01-01", "hour", NEW_YORK)


def test_the_graph_has_the_hours_in_which_the_market_is_open(tmp_path):
    pipeline = tiny_market(
        tmp_path,
        start=date(2024, 7, 2),
        end=date(2024, 7, 6),
        extended_hours=False,
        partitions={"trading_period": "day", "retraining_period": "hour"},
    )
    keys = [period.key for period in pipeline.retraining_periods()]
    # a half-day, then a holiday
    assert keys == [
        *(f"2024-07-02T{hour:02}" for hour in range(9, 16)),
        *(f"2024-07-03T{hour:02}" for hour in range(9, 13)),
        *(f"2024-07-05T{hour:02}" for hour in range(9, 16)),
    ]
    windows = build_partitions(pipeline)["retraining"]
    assert windows is not None
    assert list(windows.get_partition_keys()) == keys
    assert Calendar.of("XNYS").session_close(date(2024, 7, 3)) == utc(2024, 7, 3, 17)
