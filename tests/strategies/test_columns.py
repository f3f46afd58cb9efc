"""What each column strategy says on rows worked by hand."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from harmony_pipeline.errors import DataError
from harmony_pipeline.strategies.bollinger import BollingerReversion
from harmony_pipeline.strategies.crossover import MovingAverageCrossover
from harmony_pipeline.strategies.meta import MetaLabelled
from harmony_pipeline.strategies.rsi import RsiMomentum
from harmony_pipeline.strategies.traded_signals import with_probabilities

START = datetime(2024, 3, 4, 14, 30, tzinfo=UTC)
TIME = pl.Datetime("us", "UTC")


def rows(**columns):
    count = len(next(iter(columns.values())))
    stamps = [START + i * timedelta(minutes=15) for i in range(count)]
    return pl.DataFrame(
        {"symbol": ["A"] * count, "timestamp": stamps, **columns},
        schema_overrides={"timestamp": TIME},
    )


def sides(strategy, **columns):
    frame = rows(**columns)
    found = dict(strategy.signals(frame).select("timestamp", "side").iter_rows())
    return [found.get(stamp, "no row") for stamp in frame["timestamp"]]


def test_crossover_follows_the_sign_of_the_ratio():
    assert sides(
        MovingAverageCrossover(fast=10, slow=40),
        sma_ratio_10_40=[None, 0.01, 0.0, -0.01, float("nan")],
    ) == ["no row", 1, 0, -1, "no row"]


def test_rsi_acts_beyond_its_limits_and_not_on_them():
    assert sides(
        RsiMomentum(window=7, upper=60.0, lower=40.0), rsi_7=[60.1, 60.0, 50.0, 40.0, 39.9]
    ) == [1, 0, 0, 0, -1]


def test_bollinger_bets_against_what_left_the_band():
    assert sides(
        BollingerReversion(window=20, entry_z=2.0), bollinger_z_20=[2.1, 2.0, 0.0, -2.0, -2.1]
    ) == [-1, 0, 0, 0, 1]


META = {
    "sma_ratio_5_20": [0.01, -0.01, 0.01, -0.01, None],
    "volatility_20": [0.01] * 5,
    "cusum_event": [1.0, 1.0, 0.0, -1.0, 1.0],
}


def test_meta_labelled_bets_on_the_event_s_own_direction_by_default():
    assert sides(MetaLabelled(), **META) == [1, 1, 0, -1, "no row"]


def test_meta_labelled_can_bet_with_the_trend_on_event_bars():
    assert sides(MetaLabelled(direction="trend"), **META) == [1, -1, 0, -1, "no row"]


def test_meta_labelled_stays_silent_without_a_scale_for_the_barriers():
    assert (
        sides(MetaLabelled(), **(META | {"volatility_20": [None, 0.01, 0.01, 0.01, 0.01]}))[0]
        == "no row"
    )


def test_a_missing_feature_is_named():
    with pytest.raises(DataError, match="lack sma_ratio_5_20"):
        MetaLabelled().signals(rows(volatility_20=[0.01], cusum_event=[1.0]))


def predictions(*probabilities, **more):
    known = rows(probability=list(probabilities), **more)
    return known.with_columns(model_id=pl.lit("m1"), period=pl.lit("2024-01"), horizon=pl.lit(8))


def test_a_side_is_kept_at_the_threshold_and_dropped_below_it():
    signals = rows(side=[1, -1, 1, -1, 0], strength=[1.0] * 5, volatility=[0.01] * 5).with_columns(
        pl.col("side").cast(pl.Int8)
    )
    filtered = with_probabilities(signals, predictions(0.55, 0.60, 0.5499, 0.1, 0.9), 0.55)
    assert filtered["side"].to_list() == [
        1,
        -1,
        0,
        0,
        0,
    ], "never the opposite side, and never a side that was not proposed"
    assert filtered.columns == [
        "symbol",
        "timestamp",
        "side",
        "strength",
        "volatility",
        "probability",
        "model_id",
    ]
    assert filtered["side"].dtype == pl.Int8


def test_a_signal_without_a_prediction_is_not_taken():
    signals = rows(side=[1, 1], strength=[1.0, 1.0])
    filtered = with_probabilities(signals, predictions(0.9), 0.5)
    assert filtered.select("side", "probability", "model_id").rows() == [
        (1, 0.9, "m1"),
        (0, None, None),
    ]
    assert with_probabilities(signals, predictions(0.9).clear(), 0.5)["side"].to_list() == [0, 0]


def test_mixed_horizons_and_doubled_predictions_are_refused():
    signals = rows(side=[1], strength=[1.0])
    other_horizon = predictions(0.6).with_columns(horizon=pl.lit(32))
    with pytest.raises(DataError, match="horizons 8, 32 are mixed"):
        with_probabilities(signals, pl.concat([predictions(0.6), other_horizon]), 0.5)
    with pytest.raises(DataError, match="more than one row"):
        with_probabilities(signals, pl.concat([predictions(0.6), predictions(0.7)]), 0.5)
