"""Joins in time do not trust the order in which rows come."""

import math
from datetime import UTC, date, datetime, timedelta, timezone
from unittest.mock import patch
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline import frames
from harmony_pipeline.frames import is_sorted, join_latest, join_rows, moment_literal, sort_rows

START = date(2024, 1, 1)
ZONES = [UTC, timezone(timedelta(hours=-5)), ZoneInfo("Asia/Tokyo")]


def frame(rows: list[tuple[str, int]], value: str) -> pl.DataFrame:
    days = [START + timedelta(days=day) for _symbol, day in rows]
    symbols = [symbol for symbol, _day in rows]
    columns = {"symbol": symbols, value: days, f"{value}_row": list(range(len(rows)))}
    return pl.DataFrame(columns, schema_overrides={"symbol": pl.String, value: pl.Date})


ROWS = st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 12)), max_size=30)


@settings(max_examples=30, deadline=None)
@given(
    ROWS,
    st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 12)), max_size=30, unique=True),
    st.booleans(),
)
def test_the_latest_row_is_found_whatever_the_order(left_rows, right_rows, same_moment):
    left, right = frame(left_rows, "at"), frame(right_rows, "known")
    found = join_latest(left, right, "at", "known", same_moment=same_moment)
    assert found.select(left.columns).equals(left)  # every row, in the order in which they came
    for row in found.iter_rows(named=True):
        allowed = timedelta(0) if same_moment else timedelta(days=1)
        earlier = [
            day
            for symbol, day in right.select("symbol", "known").rows()
            if symbol == row["symbol"] and day <= row["at"] - allowed
        ]
        assert row["known"] == max(earlier, default=None)


@settings(max_examples=30, deadline=None)
@given(ROWS)
def test_order_is_seen_as_sorting_sees_it(rows):
    given_rows = frame(rows, "at")
    by = given_rows.sort("symbol", "at", maintain_order=True)
    assert is_sorted(by, ("symbol", "at"))
    assert is_sorted(given_rows, ("symbol", "at")) == given_rows.equals(by)
    assert sort_rows(given_rows, ("symbol", "at")).equals(by)
    if len(set(rows)) == len(rows):
        assert sort_rows(by, ("symbol", "at")) is by, "no second sort"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(*3 * [st.none() | st.sampled_from("AB")], st.none() | st.integers(0, 2)),
        max_size=6,
    ),
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True),
)
def test_any_keys_are_sorted_as_polars_sorts_them_also_where_some_are_nothing(rows, keys):
    given_rows = pl.DataFrame(
        rows, schema={"a": pl.String, "b": pl.String, "c": pl.String, "d": pl.Int64}, orient="row"
    ).with_columns(pl.col("d").cast(pl.Datetime("us", "UTC")), row=pl.int_range(pl.len()))
    by = given_rows.sort(keys, maintain_order=True)
    assert sort_rows(given_rows, keys).equals(by)
    assert is_sorted(given_rows, keys) == given_rows.equals(by)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["one text", "another text, longer than a view"]),
            st.sampled_from([0.0, -0.0, 1.5, math.inf, math.nan]),
            st.integers(0, 2),
        ),
        max_size=6,
    ),
    st.lists(st.sampled_from("abc"), min_size=1, max_size=3, unique=True),
)
def test_keys_without_nulls_are_compared_as_polars_sorts_them(rows, keys):
    """Texts, numbers that are none, days; also keys of which all rows have the same."""
    given_rows = pl.DataFrame(
        rows, schema={"a": pl.String, "b": pl.Float64, "c": pl.Int32}, orient="row"
    ).with_columns(pl.col("c").cast(pl.Date), row=pl.int_range(pl.len()))
    by = given_rows.sort(keys, maintain_order=True)
    assert is_sorted(by, keys)
    assert is_sorted(given_rows, keys) == given_rows.equals(by)
    if rows:
        later = np.arange(1, len(rows))
        assert frames._rises_by_all(given_rows, keys, later) == given_rows.equals(by)
    assert sort_rows(given_rows, keys).equals(by)


@given(st.timedeltas(timedelta(days=-40_000), timedelta(days=80_000)), st.sampled_from(ZONES))
def test_a_moment_is_the_literal_that_polars_makes_of_it(since, zone):
    moment = (datetime(1970, 1, 1, tzinfo=UTC) + since).astimezone(zone)
    made = pl.select(moment_literal(moment)).to_series()
    assert made.dtype == pl.Datetime("us", "UTC")
    assert made.item() == pl.select(pl.lit(moment)).item() == moment


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["A", "é", "🙂"]), st.integers(0, 9)), max_size=12))
def test_runs_are_put_together_as_a_sort_would(rows):
    """Also where they overlap, or share a moment: then by a sort."""
    given_rows = frame(rows, "at")
    by = given_rows.sort("symbol", "at", maintain_order=True)
    with patch.multiple(frames, _FEW=0, _RUN_ROWS=1):
        assert sort_rows(given_rows, ("symbol", "at")).equals(by)
        assert sort_rows(given_rows, ("symbol", "at", "at_row")).equals(
            given_rows.sort("symbol", "at", "at_row")
        )


def test_partitions_that_were_read_one_after_the_other_are_not_sorted_row_by_row(monkeypatch):
    rows = [(symbol, day) for year in range(3) for symbol in "CAB" for day in range(700)]
    parts = frame([(symbol, day + 700 * (place // 2_100)) for place, (symbol, day) in
                   enumerate(rows)], "at")  # fmt: skip
    by = parts.sort("symbol", "at", maintain_order=True)
    monkeypatch.setattr(pl.DataFrame, "sort", None)
    assert sort_rows(parts, ("symbol", "at")).equals(by)


def test_polars_alone_goes_wrong_in_silence():
    """Why the order is not trusted: the same join by hand on a shuffled table."""
    left, right = frame([("A", 5)], "at"), frame([("A", 4), ("A", 1)], "known")
    trusted = left.join_asof(
        right, left_on="at", right_on="known", by="symbol", check_sortedness=False, coalesce=False
    )
    assert trusted["known"].to_list() != [START + timedelta(days=4)]
    assert join_latest(left, right, "at", "known")["known"].to_list() == [START + timedelta(days=4)]


@pytest.mark.parametrize("rows", [[], [("A", 1)], [("A", 1), ("A", 1)], [("A", 1), ("B", 0)]])
def test_small_frames_are_in_order(rows):
    assert is_sorted(frame(rows, "at"), ("symbol", "at"))


KEYS = st.lists(
    st.tuples(st.sampled_from("ABC"), st.integers(0, 4) | st.none()), max_size=9, unique=True
)


@settings(max_examples=60, deadline=None)
@given(KEYS, KEYS | st.none(), st.sampled_from(["inner", "left"]), st.booleans())
def test_rows_of_the_same_keys_are_joined_as_any_others(left_keys, right_keys, how, same_name):
    """None: both sides have the same keys, row by row."""
    schema = {"symbol": pl.String, "day": pl.Int64}
    left = pl.DataFrame(left_keys, schema, orient="row").with_row_index("x")
    right = pl.DataFrame(
        left_keys if right_keys is None else right_keys, schema, orient="row"
    ).with_row_index("x" if same_name else "y")
    for other in (right, right.select("symbol", "day")):
        found = join_rows(left, other, ("symbol", "day"), how)
        expected = left.join(other, on=["symbol", "day"], how=how, maintain_order="left")
        assert found.equals(expected)
        assert found.schema == expected.schema


def test_equal_keys_of_other_types_are_refused():
    left, right = ({"day": pl.Series([1, 2]).cast(of)} for of in (pl.Int64, pl.String))
    with pytest.raises(pl.exceptions.SchemaError):
        join_rows(pl.DataFrame(left), pl.DataFrame(right), ["day"], "left")
