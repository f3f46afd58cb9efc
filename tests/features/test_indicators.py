"""Each indicator against its textbook definition and against TA-Lib, and the laws that its values
keep.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import talib
from features import definitions
from features.feature_markets import EVERY_KIND, SMALL, folded, random_arrays
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.features.catalog import INDICATORS, FeatureSet, parse_name
from harmony_pipeline.features.returns import log_ratio

SCALED = ("sma", "ema", "macd", "macd_line", "macd_signal", "atr", "fractional", "amihud")
SCALE_FREE = [name for name in EVERY_KIND if parse_name(name)[0].kind not in SCALED]
# a quotient of two numbers that both go to 0 in a halt keeps fewer digits
TOLERANCE = {"keltner": 1e-6}


def test_every_kind_of_indicator_is_tested():
    assert {parse_name(name)[0].kind for name in EVERY_KIND} == {
        indicator.kind for indicator in INDICATORS
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", EVERY_KIND)
def test_every_column_is_its_textbook_definition(name, seed):
    arrays = random_arrays(seed)
    indicator, numbers = parse_name(name)
    expected = getattr(definitions, indicator.kind)(arrays, *numbers)
    np.testing.assert_allclose(
        folded(SMALL, arrays)[name],
        expected,
        rtol=TOLERANCE.get(indicator.kind, 1e-9),
        atol=1e-11 * arrays["close"].max(),
    )


@pytest.mark.parametrize("threshold", [0.3, 1.0, 2.5])
def test_cusum_events_are_those_of_the_book(threshold):
    arrays = random_arrays(5, n=1_000)
    events = folded(FeatureSet.of(["cusum_event"], threshold), arrays)["cusum_event"]
    assert np.array_equal(events, definitions.cusum_event(arrays, threshold))
    assert set(events) == {-1.0, 0.0, 1.0}
    assert not events[arrays["regular"] == 0].any()


def test_a_bar_beyond_both_thresholds_is_a_fall():
    """A long evening up and down may leave both sums beyond what a calm morning fires at."""
    arrays = random_arrays(5, n=300, halts=False)
    moves = np.full(300, 1e-4)
    moves[::2] = -1e-4
    moves[100:140] = np.where(np.arange(40) < 20, 0.01, -0.004)
    arrays["close"] = 50.0 * np.exp(np.cumsum(moves))
    arrays["regular"][:] = 1
    arrays["regular"][98:175] = 0
    events = folded(FeatureSet.of(["cusum_event"], 1.5), arrays)["cusum_event"]
    assert np.array_equal(events, definitions.cusum_event(arrays, 1.5))
    assert events[175] == -1.0
    assert events[176] == 1.0, "the sum of rises waited"


@pytest.mark.parametrize("length", [2, 14, 30])
def test_wilder_and_the_averages_agree_with_ta_lib(length):
    arrays = random_arrays(8, n=2_000, halts=False)
    high, low, close = arrays["high"], arrays["low"], arrays["close"]
    ours = folded(
        FeatureSet.of(
            [
                f"{kind}_{length}"
                for kind in ("rsi", "adx", "atr", "natr", "ema", "sma", "roc", "volatility")
            ]
        ),
        arrays,
    )
    theirs = {
        "rsi": talib.RSI(close, length),
        "adx": talib.ADX(high, low, close, length),
        "atr": talib.ATR(high, low, close, length),
        "natr": talib.NATR(high, low, close, length),
        "ema": talib.EMA(close, length),
        "sma": talib.SMA(close, length),
        "roc": talib.ROCP(close, length),
    }
    for kind, expected in theirs.items():
        np.testing.assert_allclose(
            ours[f"{kind}_{length}"], expected, rtol=1e-9, atol=1e-12, err_msg=kind
        )


@pytest.mark.parametrize(("fast", "slow", "signal"), [(12, 26, 9), (3, 10, 16), (5, 6, 2)])
def test_macd_is_that_of_ta_lib(fast, slow, signal):
    arrays = random_arrays(9, n=600)
    names = (
        f"macd_line_{fast}_{slow}",
        f"macd_signal_{fast}_{slow}_{signal}",
        f"macd_{fast}_{slow}_{signal}",
    )
    found = folded(FeatureSet.of(names), arrays)
    begin = slow + signal - 2  # TA-Lib shows its line only where it has a signal
    for name, expected in zip(names, talib.MACD(arrays["close"], fast, slow, signal), strict=True):
        np.testing.assert_allclose(found[name][begin:], expected[begin:], atol=1e-9, err_msg=name)
    assert np.isnan(found[names[2]][:begin]).all()


def test_the_range_position_is_lanes_fast_k():
    arrays = random_arrays(10, halts=False)
    fast_k, _ = talib.STOCHF(arrays["high"], arrays["low"], arrays["close"], 14, 1)
    np.testing.assert_allclose(
        folded(FeatureSet.of(["range_position_14"]), arrays)["range_position_14"],
        fast_k / 100,
        atol=1e-12,
    )


TA_LIB = {
    "trix_9": lambda b: talib.TRIX(b.close, 9),
    "kama_ratio_10": lambda b: b.close / talib.KAMA(b.close, 10) - 1,
    "aroon_14": lambda b: talib.AROONOSC(b.high, b.low, 14),
    "regression_slope_14": lambda b: talib.LINEARREG_SLOPE(b.close, 14) / talib.SMA(b.close, 14),
    "regression_fit_14": lambda b: talib.CORREL(b.close, np.arange(float(len(b.close))), 14) ** 2,
    "plus_di_14": lambda b: talib.PLUS_DI(b.high, b.low, b.close, 14),
    "minus_di_14": lambda b: talib.MINUS_DI(b.high, b.low, b.close, 14),
    "stochastic_k_14_3": lambda b: talib.STOCH(b.high, b.low, b.close, 14, 3, 0, 4, 0)[0],
    "stochastic_d_14_3_4": lambda b: talib.STOCH(b.high, b.low, b.close, 14, 3, 0, 4, 0)[1],
    "williams_r_14": lambda b: talib.WILLR(b.high, b.low, b.close, 14),
    "cci_20": lambda b: talib.CCI(b.high, b.low, b.close, 20),
    "ultimate_7_14_28": lambda b: talib.ULTOSC(b.high, b.low, b.close, 7, 14, 28),
    "stochastic_rsi_14": lambda b: talib.STOCHRSI(b.close, 14, 14, 1)[0] / 100,
    "mfi_14": lambda b: talib.MFI(b.high, b.low, b.close, b.volume, 14),
    "keltner_14": lambda b: (
        (b.close - talib.EMA(b.close, 14)) / talib.ATR(b.high, b.low, b.close, 14)
    ),
}


@pytest.mark.parametrize("name", TA_LIB)
def test_the_others_agree_with_ta_lib(name):
    arrays = random_arrays(18, n=600, halts=False)
    arrays["close"] = arrays["close"] * (1.0 + 1e-9 * np.arange(600))  # no two alike
    arrays["volume"] += 1.0
    expected = TA_LIB[name](SimpleNamespace(**arrays))
    found = folded(FeatureSet.of([name]), arrays)[name]
    known = ~np.isnan(expected)
    assert known.sum() > 500
    np.testing.assert_allclose(found[known], expected[known], rtol=1e-9, atol=1e-9)


def test_columns_become_known_on_the_bar_that_the_catalog_says():
    arrays = random_arrays(4, halts=False)
    arrays["volume"] += 1.0
    values = folded(SMALL, arrays)
    for name, column in values.items():
        indicator, numbers = parse_name(name)
        known = int(np.flatnonzero(~np.isnan(column))[0]) + 1
        if indicator.stays_known:
            letters = dict(zip(indicator.parameters, numbers, strict=True))
            warm_up = eval(indicator.warm_up, {}, letters | {"max": max})
            assert known == warm_up, name
    first = {name: int(np.flatnonzero(~np.isnan(column))[0]) for name, column in values.items()}
    assert (first["vwap_distance"], first["gap"], first["prior_range_position"]) == (0, 26, 26)
    assert first["overnight_return"] == 26 + 3  # three bars before the regular open
    # larger bars of an hour hold four bars and are complete with the first of the next
    assert (first["larger_sma_ratio_60_3"], first["larger_momentum_60_3"]) == (12, 16)


def test_a_market_that_stands_still_gives_neutral_values():
    flat = random_arrays(6, n=200)
    for name in ("open", "high", "low", "close"):
        flat[name][:] = 0.1 + 0.2  # no short binary fraction
    flat["volume"][:] = 1e9 / 3
    last = {
        name: values[-1]
        for name, values in folded(
            FeatureSet.of((*EVERY_KIND, "volatility_20", "sma_ratio_10_40")), flat
        ).items()
    }
    for name in (
        "volatility_20",
        "bollinger_z_6",
        "volume_z_4",
        "sma_ratio_10_40",
        "ema_ratio_9_4",
        "signed_volume_6",
        "atr_4",
        "adx_4",
        "cusum_event",
    ):
        assert last[name] == 0.0, name
    assert (last["rsi_5"], last["range_position_5"], last["volume_ratio_3"]) == (50.0, 0.5, 1.0)
    assert abs(last["vwap_distance"]) < 1e-12


def test_a_tie_of_two_averages_is_exactly_zero():
    arrays = random_arrays(15, halts=False)
    # any whole number of rounds has the same mean
    arrays["close"] = np.tile([0.1, 0.7, 1.3, 0.2, 0.9, 3.3], 40)
    ratio = folded(FeatureSet.of(["sma_ratio_6_18"]), arrays)["sma_ratio_6_18"]
    assert (ratio[17:] == 0.0).all()


def test_without_volume_the_vwap_is_unknown_and_flow_is_zero():
    dry = random_arrays(7)
    dry["volume"][:] = 0.0
    values = folded(SMALL, dry)
    assert np.isnan(values["vwap_distance"]).all()
    assert (values["signed_volume_6"][6:] == 0.0).all()
    assert (values["volume_ratio_3"][2:] == 1.0).all()


def test_one_huge_value_leaves_no_trace_once_it_has_left_the_window():
    calm, shaken = random_arrays(11, halts=False), random_arrays(11, halts=False)
    shaken["volume"][50] = 1e15
    after = slice(60, None)
    for name in ("volume_z_4", "volume_ratio_3", "signed_volume_6"):
        assert np.array_equal(folded(SMALL, calm)[name][after], folded(SMALL, shaken)[name][after])


@pytest.mark.parametrize("length", [2, 3, 20, 57])
@pytest.mark.parametrize("place", [0, 60, 79, 80, 81, 101])
def test_after_a_spike_a_window_is_a_fresh_one(length, place):
    """1e9 among prices of 1: the sums of a window that it has left know nothing of it."""
    arrays = random_arrays(16, n=300, halts=False)
    scale = arrays["close"][0]
    for name in ("open", "high", "low", "close"):
        arrays[name] = arrays[name] / scale
    spiked = {name: values.copy() for name, values in arrays.items()}
    for name in ("high", "low", "close", "volume"):
        spiked[name][place] = 1e9
    names = (f"sma_{length}", f"bollinger_z_{length}", f"volume_z_{length}", f"volatility_{length}",
             f"range_position_{length}", f"signed_volume_{length}")  # fmt: skip
    chosen, start = FeatureSet.of(names), place + 2
    found, fresh = folded(chosen, spiked), folded(chosen, {k: v[start:] for k, v in arrays.items()})
    for name in names:
        np.testing.assert_allclose(
            found[name][start + length + 1 :], fresh[name][length + 1 :], rtol=1e-12, atol=1e-12,
            err_msg=name,
        )  # fmt: skip


@pytest.mark.parametrize("length", [2, 7, 20, 101])
def test_a_flat_window_has_a_deviation_of_exactly_zero(length):
    arrays = random_arrays(17, n=400, halts=False)
    arrays["close"][150:] = 0.1 + 0.2
    values = folded(FeatureSet.of([f"bollinger_z_{length}", f"volatility_{length}"]), arrays)
    assert (values[f"bollinger_z_{length}"][150 + length :] == 0.0).all()
    assert (values[f"volatility_{length}"][150 + length :] == 0.0).all()
    assert (values[f"volatility_{length}"][length:150] > 0.0).all()


@given(
    above=st.floats(1e-3, 1e3), factor=st.floats(0.5, 2.0), exponent=st.integers(-40, 40)
)  # fmt: skip
def test_the_log_of_a_ratio_is_right_to_the_last_place(above, factor, exponent):
    below = above * factor
    found = log_ratio(above, below)
    exact = math.log1p((above - below) / below) if above != below else 0.0
    assert abs(found - exact) <= 4e-16 * abs(exact)
    assert log_ratio(above * 2.0**exponent, below * 2.0**exponent) == found
    assert log_ratio(below, above) == pytest.approx(-found, rel=4e-16, abs=0.0)


@pytest.mark.parametrize("far", [0, 1, 40])
def test_returns_have_the_same_bits_whether_others_are_far_from_nothing_or_not(far):
    """Logarithms of ratios near 1 are a series taken several at once, the others are not."""
    arrays, rng = random_arrays(21, n=400), np.random.default_rng(21)
    close = arrays["close"]
    for place in rng.choice(np.arange(100, 400), far, replace=False):
        close[place:] *= rng.choice([0.4, 3.0])
    values = folded(FeatureSet.of(["log_return", "momentum_7", "lagged_return_3"]), arrays)
    for name, lag, shift in (("log_return", 1, 0), ("momentum_7", 7, 0), ("lagged_return_3", 1, 3)):
        begin = lag + shift
        above, below = close[lag : 400 - shift], close[: 400 - begin]
        expected = [log_ratio(each, other) for each, other in zip(above, below, strict=True)]
        assert np.array_equal(values[name][begin:], expected), name
        assert np.isnan(values[name][:begin]).all()


@given(seed=st.integers(0, 10_000), exponent=st.integers(-20, 20))
@settings(max_examples=10)
def test_another_currency_unit_changes_no_scale_free_column(seed, exponent):
    arrays = random_arrays(seed)
    scaled = {
        **arrays,
        **{name: arrays[name] * 2.0**exponent for name in ("open", "high", "low", "close")},
    }
    before, after = folded(SMALL, arrays), folded(SMALL, scaled)
    for name in SCALE_FREE:
        assert np.array_equal(before[name], after[name], equal_nan=True), name
    for name in ("sma_4", "ema_6", "macd_line_3_7", "macd_3_7_4", "atr_4"):
        assert np.array_equal(before[name] * 2.0**exponent, after[name], equal_nan=True), name


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10)
def test_what_stays_known_is_never_forgotten(seed):
    values = folded(SMALL, random_arrays(seed))
    staying = [name for name in EVERY_KIND if parse_name(name)[0].stays_known]
    assert len(staying) > 60
    for name in staying:
        known = np.isfinite(values[name])
        assert known[np.argmax(known) :].all(), name


@given(seed=st.integers(0, 10_000))
@settings(max_examples=10)
def test_bounded_columns_stay_within_their_bounds(seed):
    values = folded(SMALL, random_arrays(seed))
    for name, low, high in (
        ("rsi_5", 0, 100),
        ("adx_4", 0, 100),
        ("range_position_5", 0, 1),
        ("signed_volume_6", -1, 1),
        ("cusum_event", -1, 1),
    ):
        known = values[name][~np.isnan(values[name])]
        assert known.size, name
        assert known.min() >= low, name
        assert known.max() <= high, name
