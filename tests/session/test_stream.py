"""Bars are heard as whole moments, in order, and never early."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from session.days import DAYS, market

from harmony_pipeline.errors import DataError
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.stream import BatchAssembler, ReplayStream, SessionBar

BARS = market()
NINE = datetime(2024, 3, 5, 14, 0, tzinfo=UTC)
GRACE = timedelta(seconds=5)


def bar(symbol: str, minute: int, close: float = 10.0) -> SessionBar:
    start = NINE + timedelta(minutes=minute)
    return SessionBar(symbol, start, start + timedelta(minutes=1), date(2024, 3, 5), "regular", 10.0, 11.0, 9.0, close, 100.0, 1.0)


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
    clock.advance(NINE + GRACE)
    clock.advance(NINE)
    assert clock.now() == NINE + GRACE


def test_a_moment_is_over_when_everyone_spoke_or_the_grace_is_up() -> None:
    made = BatchAssembler(frozenset({"A", "B"}), GRACE)
    made.push(bar("B", 0))
    assert made.due(NINE + timedelta(seconds=59)) == []
    assert made.due(NINE + timedelta(seconds=61)) == []  # A may still come
    made.push(bar("A", 0))
    assert [[item.symbol for item in batch.bars] for batch in made.due(NINE + timedelta(seconds=61))] == [["A", "B"]]
    made.push(bar("A", 1))
    assert [len(batch.bars) for batch in made.due(NINE + timedelta(seconds=126))] == [1]  # B did not trade


def test_even_complete_moments_wait_for_their_end() -> None:
    made = BatchAssembler(frozenset({"A"}), GRACE)
    made.push(bar("A", 0))
    assert made.due(NINE + timedelta(seconds=30)) == []


def test_a_late_bar_is_counted_and_dropped_and_a_correction_in_time_counts() -> None:
    made = BatchAssembler(frozenset({"A", "B"}), GRACE)
    made.push(bar("A", 0, close=10.0))
    made.push(bar("A", 0, close=10.5))
    assert made.due(NINE + timedelta(seconds=70))[0].bars[0].close == 10.5
    made.push(bar("B", 0))
    assert made.due(NINE + timedelta(seconds=200)) == []
    assert made.late == 1


@settings(max_examples=60, deadline=None)
@given(st.permutations([(symbol, minute) for symbol in "ABC" for minute in range(4)]), st.integers(0, 11))
def test_whatever_the_order_of_arrival_batches_leave_in_order_of_time(arrival: list[tuple[str, int]], missing: int) -> None:
    made = BatchAssembler(frozenset("ABC"), GRACE)
    dropped = arrival.pop(missing)
    left = []
    for symbol, minute in arrival:
        made.push(bar(symbol, minute))
        left += made.due(NINE + timedelta(minutes=minute + 1))
    left += made.due(NINE + timedelta(hours=1))
    assert [batch.start for batch in left] == sorted({batch.start for batch in left})
    assert sum(len(batch.bars) for batch in left) + made.late == 11
    assert dropped not in [(item.symbol, (item.start - NINE).seconds // 60) for batch in left for item in batch.bars]
