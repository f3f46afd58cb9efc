"""Frames as events: the values of each row, whatever the batch, and times to the microsecond."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.strategies import event_columns
from harmony_pipeline.strategies.event_columns import bars_of, datetimes, texts_of
from harmony_pipeline.strategies.events import Bar

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
START = datetime(2024, 3, 4, 14, 30, tzinfo=UTC)


@given(st.lists(st.integers(-60_000_000_000_000_000, 200_000_000_000_000_000)))
def test_times_are_exact_before_and_after_1970(moments):
    expected = [EPOCH + timedelta(microseconds=moment) for moment in moments]
    found = datetimes(np.array(moments, np.int64))
    assert found == expected
    assert all(moment.utcoffset() == timedelta() for moment in found)


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_each_row_is_one_bar_with_its_features(batch, monkeypatch):
    monkeypatch.setattr(event_columns, "BATCH", batch)
    rows = [
        (name, START + timedelta(minutes=k), "regular", 1.0 + k, 2.0 + k, 0.5, 1.5, 100, 1.0, 0.1 * k)
        for k in range(5)
        for name in ("AA", "BB")
    ]  # fmt: skip
    names = ("symbol", "timestamp", "session", "open", "high", "low", "close", "volume")
    frame = pl.DataFrame(rows, schema=[*names, "adjustment_factor", "rsi_14"], orient="row")
    expected = [Bar(*row[:9], (row[9],)) for row in rows]
    assert list(bars_of(frame, ["rsi_14"])) == expected
    assert [bar.features for bar in bars_of(frame, [])] == [()] * 10
    assert list(bars_of(frame.clear(), ["rsi_14"])) == []


@given(st.lists(st.sampled_from(["A", "a text that is longer than twelve letters", ""])))
def test_equal_texts_are_one_object(texts):
    found = texts_of(pl.Series(texts, dtype=pl.String))
    assert list(found) == texts
    assert len({id(text) for text in found}) == len(set(texts))
