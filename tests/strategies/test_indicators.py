"""Indicators of state machines: the features' numbers to the bit, one at a time."""

import math
from datetime import UTC, datetime

import numpy as np
import pytest

from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.strategies.events import Bar
from harmony_pipeline.strategies.indicators import (
    AverageTrueRange,
    Deviation,
    Highest,
    Lowest,
    Mean,
    PerSymbol,
    RelativeStrength,
    Smoothing,
    VarianceRate,
    ZScore,
)

NUMBERS = (
    Mean(7),
    Deviation(7),
    ZScore(7),
    Highest(7),
    Lowest(7),
    Smoothing(7),
    RelativeStrength(7),
)


def prices(count=400, seed=3):
    generator = np.random.default_rng(seed)
    close = 40.0 * np.exp(np.cumsum(generator.normal(0.0, 0.01, count)))
    close[100:120] = close[100]  # a halt: flat windows
    high, low = close * 1.004, close * 0.995
    return high, low, close


def bar(high, low, close, factor=1.0):
    at = datetime(2024, 3, 4, 15, tzinfo=UTC)
    return Bar("A", at, "regular", close, high, low, close, 1000.0, factor)


@pytest.mark.parametrize(
    ("feature", "make"),
    [
        ("sma_10", lambda: Mean(10)),
        ("ema_10", lambda: Smoothing(10)),
        ("bollinger_z_20", lambda: ZScore(20)),
        ("rsi_14", lambda: RelativeStrength(14)),
    ],
)
def test_they_are_the_features_to_the_bit(feature, make):
    high, low, close = prices()
    names = FeatureSet.of([feature])
    arrays = (
        close,
        high,
        low,
        close,
        np.ones(close.size),
        np.zeros(close.size),
        np.ones(close.size),
        np.arange(close.size),
    )
    expected = names.fold(names.initial_state(), arrays)[1][:, 0]
    indicator = make()
    found = np.array([indicator.update(float(price)) for price in close])
    np.testing.assert_array_equal(found, expected)
    assert int(np.isnan(found).sum()) == indicator.warm_up - 1


def test_the_average_true_range_is_the_feature_on_adjusted_prices():
    high, low, close = prices()
    names = FeatureSet.of(["atr_14"])
    arrays = (
        close,
        high,
        low,
        close,
        np.ones(close.size),
        np.zeros(close.size),
        np.ones(close.size),
        np.arange(close.size),
    )
    expected = names.fold(names.initial_state(), arrays)[1][:, 0]
    indicator = AverageTrueRange(14)
    split = np.where(np.arange(close.size) < 200, 1.0, 2.0)  # raw prices halve at a split
    found = [
        indicator.update(bar(h / f, low_ / f, c / f, f))
        for h, low_, c, f in zip(high, low, close, split, strict=True)
    ]
    np.testing.assert_array_equal(np.array(found), expected)


def test_windows_agree_with_numpy():
    close = prices()[2]
    deviation, highest, lowest = Deviation(9), Highest(9), Lowest(9)
    for end, price in enumerate(close.tolist(), start=1):
        found = deviation.update(price), highest.update(price), lowest.update(price)
        if end < 9:
            assert all(math.isnan(value) for value in found)
            continue
        window = close[end - 9 : end]
        assert found[0] == pytest.approx(np.std(window, ddof=1), rel=1e-9, abs=1e-12)
        assert found[1:] == (window.max(), window.min())


@pytest.mark.parametrize("indicator", NUMBERS, ids=lambda one: type(one).__name__)
def test_all_have_one_interface(indicator):
    assert not indicator.ready
    assert math.isnan(indicator.value)
    for place in range(indicator.warm_up):
        assert not indicator.ready
        last = indicator.update(10.0 + place % 3)
    assert indicator.ready
    assert indicator.value == last
    assert not math.isnan(last)


@pytest.mark.parametrize("kind", [Mean, Deviation, ZScore, Highest, Smoothing, RelativeStrength])
def test_a_length_of_nothing_is_refused(kind):
    with pytest.raises(ValueError, match=f"{kind.__name__}.0.: the length is"):
        kind(0)


def test_the_variance_rate_of_a_random_walk_is_its_variance_per_second():
    generator = np.random.default_rng(11)
    seconds = np.cumsum(generator.exponential(2.0, 40_000))
    steps = np.diff(np.r_[0.0, seconds])
    price = 100.0 + np.cumsum(generator.normal(0.0, 0.03 * np.sqrt(steps)))
    rate = VarianceRate(4000)
    for moment in zip(seconds.tolist(), price.tolist(), strict=True):
        rate.update(moment)
    assert rate.value == pytest.approx(0.03**2, rel=0.1)


def test_each_symbol_has_its_own():
    means = PerSymbol(lambda: Mean(2))
    means["A"].update(1.0)
    means["B"].update(5.0)
    assert (means["A"].update(3.0), means["B"].update(7.0)) == (2.0, 6.0)
