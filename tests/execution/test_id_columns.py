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
