"""Bars are heard as whole moments, in order, and never early."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from session.days import DAYS, market

from harmony_pipeline.errors import DataError
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.stream import ReplayStream

BARS = market()
NINE = datetime(2024, 3, 5, 14, 0, tzinfo=UTC)


def test_every_bar_of_the_day_is_heard_once_and_not_before_its_end() -> None:
    frame = BARS.filter(pl.col("session_date") == DAYS[0])
    clock = ReplayClock(frame["timestamp"].min())  # type: ignore[arg-type]
    heard = 0
    last = None
    for batch in ReplayStream(frame.sample(fraction=1.0, shuffle=True, seed=2), clock).moments():
        assert clock.now() == batch.end >= max(item.end for item in batch.bars)
        assert last is None or batch.start > last
        assert [item.symbol for item in batch.bars] == sorted({item.symbol for item in batch.bars})
        assert {item.start for item in batch.bars} == {batch.start}
        last, heard = batch.start, heard + len(batch.bars)
    assert heard == frame.height


def test_a_frame_without_sessions_is_refused() -> None:
    with pytest.raises(DataError, match="with_session"):
        ReplayStream(BARS.drop("bar_end"), ReplayClock(NINE))


def test_the_same_bar_twice_is_refused() -> None:
    frame = BARS.filter(pl.col("session_date") == DAYS[0])
    with pytest.raises(DataError, match="one per symbol"):
        list(ReplayStream(pl.concat([frame, frame.head(1)]), ReplayClock(NINE)).moments())


def test_a_clock_never_goes_back() -> None:
    clock = ReplayClock(NINE)
    clock.advance(NINE + timedelta(seconds=5))
    clock.advance(NINE)
    assert clock.now() == NINE + timedelta(seconds=5)
