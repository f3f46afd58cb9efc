"""Polars expressions as features: the same numbers as kernels, and every way to look ahead refused."""

import numpy as np
import polars as pl
import pytest
from features.feature_markets import XNYS, random_bars

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.features.expressions import expression_features

BARS = random_bars(31, symbols=("AA", "BRK"))
CLOSE, DAY = pl.col("close"), pl.col("timestamp").dt.date()


def test_an_expression_is_what_the_kernel_computes():
    found = expression_features(
        BARS,
        {
            "sma_5": CLOSE.rolling_mean(5),
            "roc_3": CLOSE / CLOSE.shift(3) - 1,
            "log_return": CLOSE.log().diff(),
        },
    )
    expected = compute_features(
        BARS, FeatureSet.of(["sma_5", "roc_3", "log_return"]), None, XNYS, "15Min"
    ).table
    assert found.columns == expected.columns
    assert found.select("symbol", "timestamp").equals(expected.select("symbol", "timestamp"))
    for name in found.columns[2:]:
        assert found[name].null_count() == expected[name].null_count()
        np.testing.assert_allclose(
            found[name].to_numpy(), expected[name].to_numpy(), rtol=1e-9, atol=1e-13
        )


def test_the_order_of_the_bars_does_not_matter():
    """The lake hands over one partition after another: not sorted by symbol."""
    day = BARS["timestamp"][BARS.height // 4]
    partitions = pl.concat(
        [BARS.filter(pl.col("timestamp") < day), BARS.filter(pl.col("timestamp") >= day)]
    )
    assert not partitions["symbol"].is_sorted()
    mean = {"sma_5": CLOSE.rolling_mean(5)}
    assert expression_features(partitions, mean).equals(expression_features(BARS, mean))


@pytest.mark.parametrize(
    "expression",
    [
        CLOSE.shift(-1),
        CLOSE.rolling_mean(5, center=True),
        (CLOSE - CLOSE.mean()) / CLOSE.std(),
        CLOSE.max(),
        CLOSE.rank(),
        CLOSE / CLOSE.last().over(DAY),
        CLOSE.reverse(),
        CLOSE.shift(1).fill_null(strategy="backward"),
        pl.col("volume").sum().over(DAY),
        CLOSE.interpolate().shift(-3) > CLOSE,
    ],
    ids=str,
)
def test_what_looks_ahead_is_refused_with_the_bar(expression):
    with pytest.raises(ConfigError, match=r"'x' looks ahead: of (AA|BRK) at 2024-.* when bars end"):
        expression_features(BARS, {"x": expression})


@pytest.mark.parametrize(
    "expression",
    [
        CLOSE.cum_max() / CLOSE,
        CLOSE.ewm_mean(span=9),
        pl.col("volume").cum_sum().over(DAY),
        (CLOSE.shift(1) < CLOSE).rolling_sum(6),
        CLOSE.first().over(DAY) / CLOSE,
        pl.col("timestamp").dt.hour(),
        CLOSE.rolling_std(20) / pl.col("high").rolling_max(3),
    ],
    ids=str,
)
def test_what_does_not_is_accepted(expression):
    found = expression_features(BARS, {"x": expression}, cuts=6)
    assert found.schema["x"] == pl.Float64
    assert found["x"].null_count() < 50
    assert not found["x"].is_nan().any()


def test_the_message_names_the_first_bar_and_both_values():
    late = BARS["timestamp"].unique().sort()[-2]
    leak = pl.when(pl.col("timestamp") == late).then(CLOSE.last()).otherwise(0.0)
    with pytest.raises(ConfigError, match=rf"at {late:%Y-%m-%d %H:%M} it is [\d.]+ with all bars"):
        expression_features(BARS, {"x": leak}, cuts=1)


def test_expressions_see_adjusted_prices():
    plain = expression_features(BARS, {"x": CLOSE / CLOSE.shift(1)})
    assert plain["x"].max() < 1.5 < (BARS["close"] / BARS["close"].shift(-1)).max()


@pytest.mark.parametrize(
    ("expressions", "said"),
    [
        ({"x": pl.col("clsoe")}, "'x': Polars refuses the expression: .*clsoe"),
        ({"x": pl.col("session")}, "'x' is of type String: a feature is one number a bar"),
        ({"x": CLOSE.head(3)}, "'x' has 3 values for the"),
        ({"symbol": CLOSE}, "'symbol' has the name of a key column"),
    ],
)
def test_what_is_no_feature_is_refused(expressions, said):
    with pytest.raises(ConfigError, match=said):
        expression_features(BARS, expressions)


def test_no_bars_give_no_rows():
    assert expression_features(BARS.clear(), {"x": CLOSE.shift(1)}).height == 0
