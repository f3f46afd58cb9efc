"""The live session's features are those of the daily run, bit for bit."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from features.feature_markets import SMALL, STANDARD, XNYS, at, random_bars

from harmony_pipeline.errors import DataError
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.features.live import LiveFeatures
from harmony_pipeline.features.state import state_frame

BARS = random_bars(5, missing=0.4)
MOMENT = at("2024-03-12")


def play(live, bars):
    """Values by row, the bars of all symbols given in the order of time."""
    dated = (
        XNYS.with_session(bars.with_columns(kept=pl.col("session")), "15Min")
        .with_row_index("row")
        .sort("timestamp", "symbol")
    )
    values = np.empty((bars.height, len(live.names)))
    for bar in dated.iter_rows(named=True):
        values[bar["row"]] = live.update(
            bar["symbol"], bar["timestamp"], bar["open"], bar["high"], bar["low"], bar["close"],
            bar["volume"],
            bar["session_date"], bar["kept"] == "regular", bar["adjustment_factor"],
        )  # fmt: skip
    return values


@pytest.mark.parametrize("feature_set", [SMALL, STANDARD])
def test_live_values_and_states_are_those_of_the_daily_run(feature_set):
    before, after = (
        BARS.filter(pl.col("timestamp") < MOMENT),
        BARS.filter(pl.col("timestamp") >= MOMENT),
    )
    saved = compute_features(before, feature_set, None, XNYS, "15Min").states
    expected = compute_features(after, feature_set, saved, XNYS, "15Min")
    live = LiveFeatures(feature_set, saved)
    table = expected.table.select(feature_set.names).fill_null(float("nan")).to_numpy()
    assert np.array_equal(
        play(live, after).view(np.int64), np.ascontiguousarray(table).view(np.int64)
    )
    assert state_frame(live.snapshot(), feature_set).equals(expected.states)


def test_a_symbol_without_history_starts_from_nothing():
    table = (
        compute_features(BARS, SMALL, None, XNYS, "15Min")
        .table.select(SMALL.names)
        .fill_null(float("nan"))
        .to_numpy()
    )
    assert np.array_equal(play(LiveFeatures(SMALL), BARS), table, equal_nan=True)


def test_a_snapshot_does_not_move_with_later_bars():
    live = LiveFeatures(SMALL)
    live.update(
        "A",
        at("2024-03-12", "14:30"),
        10.0,
        11.0,
        9.0,
        10.5,
        100.0,
        at("2024-03-12").date(),
        regular=True,
    )
    snapshot = live.snapshot()
    kept = snapshot["A"].vector.copy()
    live.update(
        "A",
        at("2024-03-12", "14:45"),
        10.0,
        11.0,
        9.0,
        10.7,
        100.0,
        at("2024-03-12").date(),
        regular=True,
    )
    assert np.array_equal(snapshot["A"].vector, kept)
    resumed = LiveFeatures(SMALL, snapshot)
    resumed.update(
        "A",
        at("2024-03-12", "14:45"),
        10.0,
        11.0,
        9.0,
        10.7,
        100.0,
        at("2024-03-12").date(),
        regular=True,
    )
    assert np.array_equal(resumed.snapshot()["A"].vector, live.snapshot()["A"].vector)


def test_states_that_were_handed_in_are_left_as_they_were():
    from harmony_pipeline.features.state import states_from_frame

    saved = states_from_frame(
        compute_features(
            BARS.filter(pl.col("timestamp") < MOMENT), SMALL, None, XNYS, "15Min"
        ).states,
        SMALL,
    )
    before = {symbol: state.vector.copy() for symbol, state in saved.items()}
    after = BARS.filter(pl.col("timestamp") >= MOMENT)
    play(LiveFeatures(SMALL, saved), after)
    compute_features(after, SMALL, saved, XNYS, "15Min")
    assert all(np.array_equal(saved[symbol].vector, vector) for symbol, vector in before.items())


def test_repeated_and_impossible_bars_are_refused_and_change_nothing():
    live, start, day = LiveFeatures(SMALL), at("2024-03-12", "14:30"), at("2024-03-12").date()
    live.update("A", start, 10.0, 11.0, 9.0, 10.5, 100.0, day, regular=True)
    before = live.snapshot()["A"].vector
    with pytest.raises(DataError, match="A: bar 2024-03-12 14:30 is not after"):
        live.update("A", start, 10.0, 11.0, 9.0, 10.5, 100.0, day, regular=True)
    for wrong in (
        (0.0, 11.0, 9.0, 10.5, 1.0),
        (10.0, 8.0, 9.0, 10.5, 1.0),
        (10.0, 11.0, 9.0, float("nan"), 1.0),
        (10.0, 11.0, 9.0, 10.0, -1.0),
    ):
        with pytest.raises(DataError, match="impossible"):
            live.update("A", start + timedelta(minutes=15), *wrong, day, regular=True)
    assert np.array_equal(live.snapshot()["A"].vector, before)
    assert live.snapshot().keys() == {"A"}
