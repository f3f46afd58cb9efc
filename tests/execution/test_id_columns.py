"""Ids by kernel against Python's own formatting."""

from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.execution.id_columns import IdParts
from harmony_pipeline.execution.order_ids import STAMP, intent_name, order_id

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NAMES = st.text(min_size=1, max_size=20)
MOMENTS = st.datetimes(datetime(1900, 1, 1), datetime(2262, 1, 1)).map(  # noqa: DTZ001 - made aware
    lambda moment: moment.replace(tzinfo=UTC)
)


def microseconds(moments):
    return np.array([(moment - EPOCH) // timedelta(microseconds=1) for moment in moments], np.int64)


@given(
    book=NAMES,
    rows=st.lists(
        st.tuples(NAMES, MOMENTS, st.sampled_from(["entry", "take"]), st.integers(1, 10**12)),
        max_size=30,
    ),
)
def test_ids_are_those_of_one_order(book, rows):
    symbols, moments, roles, numbers = zip(*rows, strict=True) if rows else ((), (), (), ())
    places = np.arange(len(rows), dtype=np.int64)
    parts = IdParts(
        book, symbols, places, microseconds(moments), roles, places, np.array(numbers, np.int64)
    )
    expected = [
        f"{order_id(book, intent_name(symbol, moment, role))}-{number}"
        for symbol, moment, role, number in rows
    ]
    assert parts.column().to_list() == expected
    without_role = IdParts(book, symbols, places, microseconds(moments))
    assert without_role.column().to_list() == [
        f"{book}-{symbol}-{moment.strftime(STAMP)}" for symbol, moment, _, _ in rows
    ]


def test_ids_are_null_where_they_are_not_wanted():
    place = np.zeros(3, np.int64)
    parts = IdParts("b", ["AAPL"], place, microseconds([EPOCH] * 3))
    valid = np.array([True, False, True])
    assert parts.column(valid).to_list() == [
        "b-AAPL-19700101T000000",
        None,
        "b-AAPL-19700101T000000",
    ]


def test_without_number_ids_are_a_part_of_the_same_text():
    moments = [EPOCH + timedelta(seconds=row // 2) for row in range(6)]
    numbers = np.array([1, 2, 3, 40, 5, 6])
    parts = IdParts(
        "b", ["A", "BRK.B"], np.arange(6) % 2, microseconds(moments), ["entry", "exit"],
        np.array([0, 1, 0, 1, 1, 0]), numbers,
    )  # fmt: skip
    whole, without = parts.with_and_without_number()
    assert without[3] == "b-BRK.B-19700101T000001-exit"
    assert whole.to_list() == [f"{text}-{k}" for text, k in zip(without, numbers, strict=True)]


def test_rows_that_say_the_same_and_rows_left_out():
    moments = [EPOCH, EPOCH, EPOCH, EPOCH + timedelta(days=1)]
    parts = IdParts("b", ["AAPL"], np.zeros(4, np.int64), microseconds(moments))
    valid = np.array([True, True, False, True])
    assert parts.column(valid).to_list() == [
        "b-AAPL-19700101T000000", "b-AAPL-19700101T000000", None, "b-AAPL-19700102T000000",
    ]  # fmt: skip


def test_a_parent_is_named_whether_or_not_it_has_a_row():
    moments = [EPOCH + timedelta(seconds=row) for row in (0, 0, 7, 86_400, 86_400)]
    parents = [EPOCH + timedelta(seconds=row) for row in (0, 0, 0, 86_400, 5)]
    roles = np.array([0, 1, 1, 0, 1])
    name, parent_name = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 0])
    parts = IdParts("b", ["A", "BRK.B"], name, microseconds(moments), ["entry", "exit"], roles)
    ids, of_parents = parts.with_parents(parent_name, microseconds(parents))
    assert ids.to_list() == parts.column().to_list()
    assert ids[4] == "b-BRK.B-19700102T000000-exit"
    first = "b-A-19700101T000000-entry"
    assert of_parents.to_list() == [None, first, first, None, "b-A-19700101T000005-entry"]
