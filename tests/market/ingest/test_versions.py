"""What an ingest adds: laws first, then the cases that vendors make."""

from datetime import UTC, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from market.raw_rows import bar, raw, utc
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import Superseded
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.lake.local_store import _FileLock
from harmony_pipeline.market.ingest.versions import (
    KEY,
    VALUES,
    keep_versions,
    latest_versions,
    merge_versions,
)
from harmony_pipeline.schemas import RAW_BARS

MONDAY = utc(2024, 6, 3, 14, 30)
T0 = datetime(2024, 6, 4, tzinfo=UTC)
NOTHING = RAW_BARS.empty()


def said(*rows: tuple[str, int, float, float], origin: str = "a.csv") -> pl.DataFrame:
    """Received rows of (symbol, quarter hour, close, volume)."""
    made = [
        bar(
            MONDAY + timedelta(minutes=15 * at),
            close,
            symbol,
            volume=volume,
            origin=origin,
            row=place,
        )
        for place, (symbol, at, close, volume) in enumerate(rows, 2)
    ]
    return raw(*made).drop("ingested_at") if made else NOTHING.drop("ingested_at")


def after(*batches: pl.DataFrame) -> pl.DataFrame:
    """The raw rows after these ingests, a day apart."""
    known = NOTHING
    for day, batch in enumerate(batches):
        known = pl.concat([known, merge_versions(known, batch, T0 + timedelta(days=day)).rows])
    return known.sort("symbol", "timestamp", "ingested_at", maintain_order=True)


facts = st.lists(
    st.tuples(
        st.sampled_from("AB"),
        st.integers(0, 3),
        st.sampled_from([10.0, 11.0]),
        st.sampled_from([100.0, 200.0]),
    ),
    max_size=12,
)


@given(
    rows=facts,
    order=st.randoms(use_true_random=False),
    repeated=st.lists(st.integers(0, 11), max_size=5),
    cut=st.integers(0, 12),
)
def test_permuting_repeating_and_splitting_the_files_of_one_ingest_changes_nothing(
    rows, order, repeated, cut
):
    once = merge_versions(NOTHING, said(*rows), T0).rows
    shuffled = [*rows, *(rows[at] for at in repeated if at < len(rows))]
    order.shuffle(shuffled)
    files = pl.concat(
        [said(*shuffled[:cut], origin="one.csv"), said(*shuffled[cut:], origin="two.csv")]
    ).sample(fraction=1.0, shuffle=True, seed=cut)
    told = merge_versions(NOTHING, files, T0)
    values = [*KEY, *VALUES, "ingested_at"]
    assert_frame_equal(told.rows.sort(values).select(values), once.sort(values).select(values))
    assert told.received == told.rows.height + told.repeated + told.heard


@given(batches=st.lists(facts, min_size=1, max_size=4))
def test_saying_the_last_thing_again_adds_nothing(batches):
    frames = [said(*rows) for rows in batches]
    known = after(*frames)
    again = merge_versions(known, frames[-1], T0 + timedelta(days=30))
    assert again.rows.is_empty()
    assert again.repeated + again.heard == again.received == frames[-1].height


@given(batches=st.lists(facts, min_size=1, max_size=4))
def test_what_was_known_is_never_taken_away_and_the_past_can_be_told(batches):
    frames = [said(*rows) for rows in batches]
    whole = after(*frames)
    for count in range(1, len(frames) + 1):
        then = whole.filter(pl.col("ingested_at") < T0 + timedelta(days=count))
        assert_frame_equal(then, after(*frames[:count]))


@given(batches=st.lists(facts, min_size=1, max_size=4))
def test_of_a_venue_with_one_value_a_bar_the_winner_is_what_it_said_last(batches):
    known, truth = NOTHING, {}
    for day, rows in enumerate(batches):
        one_each = {(symbol, at): (symbol, at, close, volume) for symbol, at, close, volume in rows}
        truth |= one_each
        known = pl.concat(
            [known, merge_versions(known, said(*one_each.values()), T0 + timedelta(days=day)).rows]
        )
    told = latest_versions(known).select("symbol", "timestamp", "close", "volume").rows()
    assert told == sorted(
        (symbol, MONDAY + timedelta(minutes=15 * at), close, volume)
        for symbol, at, close, volume in truth.values()
    )


def test_a_correction_is_a_new_version_and_is_counted():
    first = after(said(("A", 0, 10.0, 100.0), ("A", 1, 10.0, 100.0)))
    merged = merge_versions(
        first,
        said(("A", 0, 10.5, 100.0), ("A", 1, 10.0, 100.0), ("A", 2, 9.0, 100.0)),
        T0 + timedelta(days=1),
    )
    assert (merged.received, merged.repeated, merged.heard) == (3, 0, 1)
    assert (merged.rows.height, merged.corrected) == (2, 1)


def test_a_venue_that_goes_back_to_an_earlier_value_makes_a_third_version():
    known = after(
        said(("A", 0, 10.0, 100.0)), said(("A", 0, 11.0, 100.0)), said(("A", 0, 10.0, 100.0))
    )
    assert known["close"].to_list() == [10.0, 11.0, 10.0]


def test_two_files_that_contradict_each_other_stay_two_versions_and_settle():
    both = said(("A", 0, 10.0, 100.0), ("A", 0, 11.0, 200.0))
    known = after(both, both, both)
    assert known.height == 2
    assert latest_versions(known)["volume"].to_list() == [200.0]


def test_a_value_that_could_not_be_read_is_one_value_like_any_other():
    broken = said(("A", 0, 10.0, 100.0)).with_columns(
        open=pl.lit(None, pl.Float64), defect=pl.lit("open is 'x', expected a number")
    )
    known = after(broken, broken, said(("A", 0, 10.0, 100.0)))
    assert known["defect"].is_null().to_list() == [False, True]
    assert after(pl.concat([broken, said(("A", 0, 10.0, 100.0))])).pipe(latest_versions)[
        "defect"
    ].to_list() == [None]


def test_rows_are_counted_once_where_the_lock_was_lost(tmp_path, monkeypatch):
    """Somebody else took the lock before the rows were published, so that they are merged again."""
    lost = iter([True])

    def check(_lock):
        if next(lost, False):
            raise Superseded("somebody else has the lock")

    monkeypatch.setattr(_FileLock, "check", check)
    lake = Lake(tmp_path).open()
    rows = said(("A", 0, 10.0, 100.0), ("A", 1, 11.0, 100.0))
    kept = keep_versions(lake, "2024-06", [rows], T0, "files")
    assert next(lost, None) is None
    assert (kept.received, kept.new, kept.rows) == (2, 2, 2)
    assert lake.read("raw_bars")["close"].to_list() == [10.0, 11.0]
