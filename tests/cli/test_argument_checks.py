"""Options are checked in one place, and the nearest valid value is named."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.cli.argument_checks import given_variables
from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.market.periods import periods_between
from harmony_pipeline.partition_ranges import DatedPartition, chosen_partitions
from harmony_pipeline.suggestions import nearest, unknown_name

MONTHS = [
    DatedPartition(f"2024-0{month}", date(2024, month, 1), date(2024, month + 1, 1))
    for month in (1, 2, 3)
]
SESSIONS = [
    DatedPartition(f"2024-01-{day:02}", date(2024, 1, day), date(2024, 1, day + 1))
    for day in (4, 5, 8, 9)
]
QUARTERS = [
    DatedPartition("2023-01", date(2023, 1, 1), date(2023, 4, 1)),
    DatedPartition("2023-04", date(2023, 4, 1), date(2023, 7, 1)),
]


@pytest.mark.parametrize(
    ("slots", "first", "last", "expected"),
    [
        (MONTHS, None, None, ["2024-01", "2024-02", "2024-03"]),
        (MONTHS, "2024-02", None, ["2024-02", "2024-03"]),
        (MONTHS, "2024-01-15", "2024-02-20", ["2024-01", "2024-02"]),
        (MONTHS, "2024-01", "2024-01-31", ["2024-01"]),
        (MONTHS, "2024", "2024", ["2024-01", "2024-02", "2024-03"]),
        (SESSIONS, "2024-01-06", "2024-01-08", ["2024-01-08"]),
        (SESSIONS, "2024-01-04", "2024-01-07", ["2024-01-04", "2024-01-05"]),
        (SESSIONS, "2024-01", None, ["2024-01-04", "2024-01-05", "2024-01-08", "2024-01-09"]),
        (QUARTERS, "2023-05-01", None, ["2023-04"]),
        (QUARTERS, None, "2023-03", ["2023-01"]),
        ([DatedPartition("mine"), DatedPartition("yours")], "yours", "yours", ["yours"]),
    ],
)
def test_a_range_is_named_by_keys_or_by_dates(slots, first, last, expected):
    assert chosen_partitions(slots, first, last, "bars") == expected


@pytest.mark.parametrize(
    ("slots", "first", "last", "expected"),
    [
        (
            MONTHS,
            "foo",
            None,
            "--from 'foo' is neither a partition of bars nor a date: write it like 2024-03",
        ),
        (MONTHS, None, "2024-13", "--to '2024-13' is neither"),
        (MONTHS, "2024-02-30", None, "neither a partition"),
        (MONTHS, "20240102", None, "neither a partition"),
        (
            MONTHS,
            "2020-01",
            None,
            "--from 2020-01 lies before the first partition of bars, 2024-01",
        ),
        (
            MONTHS,
            "2030-01-01",
            None,
            "--from 2030-01-01 lies after the last partition of bars, 2024-03",
        ),
        (MONTHS, None, "2030", "--to 2030 lies after the last"),
        (MONTHS, None, "2023-12-31", "--to 2023-12-31 lies before the first"),
        (MONTHS, "2024-03", "2024-01", "--from 2024-03 is after --to 2024-01"),
        (SESSIONS, "2024-01-06", "2024-01-07", "no partition of bars lies between"),
        (
            [DatedPartition("meta_labelled"), DatedPartition("breakout")],
            "meta_labeled",
            None,
            "did you mean 'meta_labelled'",
        ),
        (MONTHS, "\x1b[31m2024", None, "\\x1b"),
    ],
)
def test_a_range_that_holds_nothing_is_refused_in_words(slots, first, last, expected):
    with pytest.raises(ConfigError) as caught:
        chosen_partitions(slots, first, last, "bars")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_an_asset_without_partitions_yet_says_so():
    with pytest.raises(NotReady, match=r"market\.start lies in the future"):
        chosen_partitions([], None, None, "bars")


@given(
    st.dates(date(2015, 1, 1), date(2025, 12, 31)),
    st.integers(1, 900),
    st.sampled_from(["day", "week", "month", "quarter", "year"]),
    st.data(),
)
def test_any_two_dates_inside_choose_the_partitions_that_hold_them(start, length, size, data):
    periods = periods_between(start, start + timedelta(days=length), size, "UTC")
    slots = [DatedPartition(period.key, period.first_date, period.end_date) for period in periods]
    first = data.draw(st.dates(slots[0].first, slots[-1].end - timedelta(days=1)))
    last = data.draw(st.dates(first, slots[-1].end - timedelta(days=1)))
    chosen = chosen_partitions(slots, str(first), str(last), "bars")
    expected = [slot.key for slot in slots if slot.first <= last and slot.end > first]
    assert chosen == expected


@pytest.mark.parametrize(
    ("pairs", "query", "expected"),
    [
        (["day=2024-01-31"], "select getvariable('day')", {"day": "2024-01-31"}),
        (["DAY=1"], "select GETVARIABLE( 'day' )", {"DAY": "1"}),
        (["a=x=y"], "select getvariable('a')", {"a": "x=y"}),
        (["any=1"], "select getvariable('a' || 'b')", {"any": "1"}),
    ],
)
def test_variables_of_a_query(pairs, query, expected):
    assert given_variables(pairs, query, "the query") == expected


@pytest.mark.parametrize(
    ("pair", "query", "expected"),
    [
        ("dy=2024-01-31", "select getvariable('day')", "did you mean 'day'"),
        ("day=1", "select 1", "reads no variables"),
        ("day", "select getvariable('day')", "has no value"),
        ("=1", "select getvariable('day')", "has no value"),
        ("a b=1", "select getvariable('day')", "not the name of a variable"),
    ],
)
def test_a_variable_that_the_query_does_not_read_is_refused(pair, query, expected):
    with pytest.raises(ConfigError) as caught:
        given_variables([pair], query, "the query")
    assert expected in str(caught.value)


def test_the_nearest_name_ignores_case_and_is_left_out_when_nothing_is_near():
    assert nearest("AAPl", ["MSFT", "AAPL"]) == "AAPL"
    assert nearest("zzz", ["MSFT", "AAPL"]) is None
    assert unknown_name("view", "zzz", ["bars"]) == "no view 'zzz'; choose one of bars"
    assert unknown_name("view", "barz", []) == "no view 'barz'; there is none yet"
