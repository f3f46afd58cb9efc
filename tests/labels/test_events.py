"""Which signals become events."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from harmony_pipeline.errors import DataError
from harmony_pipeline.labels.events import events_from_signals

START = datetime(2024, 3, 4, 14, 30, tzinfo=UTC)
STAMPS = [START + i * timedelta(minutes=15) for i in range(5)]


def frame(**columns):
    return pl.DataFrame(
        {"symbol": ["A"] * 5, "timestamp": STAMPS, **columns},
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    )


def test_only_sides_with_a_known_scale_become_events():
    signals = frame(side=[1, 0, -1, 1, 1], strength=[1.0] * 5).with_columns(
        pl.col("side").cast(pl.Int8)
    )
    features = frame(volatility_20=[0.01, 0.01, 0.02, None, float("nan")], rsi_14=[50.0] * 5)
    events = events_from_signals(signals, features)
    assert events.columns == ["symbol", "timestamp", "side", "volatility"]
    assert events.rows() == [("A", STAMPS[0], 1, 0.01), ("A", STAMPS[2], -1, 0.02)]


def test_a_signal_without_features_is_no_event():
    signals = frame(side=[1] * 5, strength=[1.0] * 5)
    assert events_from_signals(signals, frame(volatility_20=[0.01] * 5).head(2)).height == 2


def test_events_come_sorted_however_signals_came():
    signals = frame(side=[1] * 5, strength=[1.0] * 5).reverse()
    assert (
        events_from_signals(signals, frame(volatility_20=[0.01] * 5))["timestamp"].to_list()
        == STAMPS
    )


def test_features_without_the_scale_are_refused_by_name():
    with pytest.raises(DataError, match="volatility_20"):
        events_from_signals(frame(side=[1] * 5), frame(rsi_14=[50.0] * 5))
