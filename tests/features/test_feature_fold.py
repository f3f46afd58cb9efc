"""The first law: however the bars are cut, and through whatever the state is saved, the bits are
the same.
"""

import pickle

import numpy as np
import polars as pl
import pytest
from features.feature_markets import (
    EVERY_KIND,
    SMALL,
    STANDARD,
    at,
    folded,
    in_order,
    random_arrays,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.errors import DataError
from harmony_pipeline.features.catalog import FeatureSet, fill_log_returns_kernel
from harmony_pipeline.features.kernel_inputs import bar_matrix
from harmony_pipeline.features.state import State, state_frame, states_by_symbol, states_from_frame

BARS = 240


def bits(values):
    return np.ascontiguousarray(values).view(np.int64)


def in_pieces(feature_set, arrays, cuts, passed_on=lambda state: state):
    state, pieces = feature_set.initial_state(), []
    for start, end in zip([0, *cuts], [*cuts, len(arrays["close"])], strict=True):
        state, values = feature_set.fold(passed_on(state), in_order(arrays, start, end))
        pieces.append(values)
    return state, np.concatenate(pieces)


@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(0, BARS), max_size=12).map(sorted))
@settings(max_examples=12)
def test_any_cut_gives_the_same_bits(seed, cuts):
    arrays = random_arrays(seed, BARS)
    for feature_set in (SMALL, STANDARD):
        state, whole = feature_set.fold(feature_set.initial_state(), in_order(arrays))
        cut_state, pieces = in_pieces(feature_set, arrays, cuts)
        assert np.array_equal(bits(whole), bits(pieces))
        assert np.array_equal(bits(state), bits(cut_state))


def test_windows_of_every_length_are_the_same_over_many_bars_as_over_few():
    """Kernels that take bars together do so in parts of 512: several of them, cut elsewhere."""
    kinds = (
        "cci", "aroon", "sign_entropy", "yang_zhang", "autocorrelation", "volume_correlation",
        "kyle_lambda", "roll_spread", "regression_slope", "regression_fit", "skewness", "kurtosis",
        "corwin_schultz", "parkinson", "fractional_40", "momentum", "lagged_return", "donchian",
        "range_position", "stochastic_rsi", "mfi", "cmf", "vwma_ratio", "garman_klass",
        "rogers_satchell",
    )  # fmt: skip
    names = [f"{kind}_{length}" for kind in kinds for length in (3, 8, 11, 12, 17, 600)]
    chosen = FeatureSet.of([*names, "ultimate_3_11_600", "larger_momentum_60_12"])
    arrays = random_arrays(7, 1_700)
    state, whole = chosen.fold(chosen.initial_state(), in_order(arrays))
    cut_state, pieces = in_pieces(chosen, arrays, [*range(590, 620), 1_000, 1_001, 1_607])
    assert np.isfinite(whole[-1]).all()
    assert np.array_equal(bits(whole), bits(pieces))
    assert np.array_equal(bits(state), bits(cut_state))


def test_one_bar_at_a_time_gives_the_same_bits():
    arrays = random_arrays(3, BARS)
    _, whole = SMALL.fold(SMALL.initial_state(), in_order(arrays))
    _, pieces = in_pieces(SMALL, arrays, range(1, BARS))
    assert np.array_equal(bits(whole), bits(pieces))


@pytest.mark.parametrize("feature_set", [SMALL, STANDARD])
def test_a_state_survives_parquet_and_pickle_to_the_last_bit(feature_set, tmp_path):
    def through_parquet(vector):
        state_frame({"A": State(at("2024-03-01"), vector)}, feature_set).write_parquet(
            tmp_path / "state.parquet"
        )
        return pickle.loads(
            pickle.dumps(
                states_from_frame(pl.read_parquet(tmp_path / "state.parquet"), feature_set)["A"]
            )
        ).vector

    arrays = random_arrays(12, BARS)
    _, whole = feature_set.fold(feature_set.initial_state(), in_order(arrays))
    _, pieces = in_pieces(feature_set, arrays, [1, 19, 20, 77, 200], through_parquet)
    assert np.array_equal(bits(whole), bits(pieces))


def test_a_fold_leaves_the_given_state_alone():
    arrays = random_arrays(1, 50)
    state, _ = SMALL.fold(SMALL.initial_state(), in_order(arrays))
    before = state.copy()
    assert np.array_equal(
        SMALL.fold(state, in_order(arrays))[1],
        SMALL.fold(state, in_order(arrays))[1],
        equal_nan=True,
    )
    assert np.array_equal(before, state)


def test_a_state_never_holds_nan():
    arrays, state = random_arrays(2, BARS), SMALL.initial_state()
    for i in range(BARS):
        state, _ = SMALL.fold(state, in_order(arrays, i, i + 1))
        assert np.isfinite(state).all()


def test_no_bars_change_nothing():
    state, values = SMALL.fold(SMALL.initial_state(), in_order(random_arrays(1), 0, 0))
    assert values.shape == (0, len(EVERY_KIND))
    assert not state.any()


def test_a_column_does_not_depend_on_its_neighbours():
    arrays = random_arrays(13)
    _, together = SMALL.fold(SMALL.initial_state(), in_order(arrays))
    for place, name in enumerate(EVERY_KIND):
        alone = FeatureSet.of([name], 1.0)
        assert np.array_equal(
            bits(alone.fold(alone.initial_state(), in_order(arrays))[1][:, 0]),
            bits(together[:, place]),
        ), name


@pytest.mark.parametrize("place", range(len(SMALL.computed)), ids=[c.name for c in SMALL.computed])
def test_the_compiled_kernel_and_the_plain_function_agree(place):
    column, matrix = SMALL.computed[place], bar_matrix(in_order(random_arrays(14, 80)))
    fill_log_returns_kernel()(matrix, np.zeros(1))
    known = folded(SMALL, random_arrays(14, 80)) | folded(
        FeatureSet.of(SMALL.hidden), random_arrays(14, 80)
    )
    read = [np.ascontiguousarray(known[name]) for name in column.reads]
    compiled, plain = np.empty(80), np.empty(80)
    compiled_state, plain_state = (
        np.zeros(column.state.stop - column.state.start) for _ in range(2)
    )
    column.kernel(matrix, *read, compiled_state, column.parameter_array, compiled)
    with np.errstate(all="ignore"):
        column.kernel.py_func(matrix, *read, plain_state, column.parameter_array, plain)
    np.testing.assert_allclose(compiled, plain, rtol=1e-14, atol=1e-300)
    np.testing.assert_allclose(compiled_state, plain_state, rtol=1e-14, atol=1e-300)


def test_what_several_columns_read_is_computed_once():
    chosen = FeatureSet.of(["cusum_event", "macd_12_26_9", "sma_ratio_5_20", "sma_ratio_10_20"])
    assert [column.name for column in chosen.computed] == [
        "volatility_20", "cusum_event", "macd_line_12_26", "macd_signal_12_26_9", "macd_12_26_9",
        "sma_5", "sma_20", "sma_ratio_5_20", "sma_10", "sma_ratio_10_20",
    ]  # fmt: skip
    assert chosen.hidden == (
        "volatility_20", "macd_line_12_26", "macd_signal_12_26_9", "sma_5", "sma_20", "sma_10",
    )  # fmt: skip
    assert FeatureSet.of(["volatility_20", "cusum_event"]).hidden == ()


def test_states_of_another_feature_set_are_refused_by_name():
    frame = state_frame({"A": State(at("2024-03-01"), SMALL.initial_state())}, SMALL)
    with pytest.raises(
        DataError, match=f"A belongs to feature set {SMALL.hash}.*compute the features"
    ):
        states_by_symbol(frame, STANDARD)
    with pytest.raises(DataError, match="this feature set keeps"):
        states_by_symbol({"A": State(at("2024-03-01"), np.zeros(3))}, STANDARD)


def test_an_empty_state_frame_has_the_columns_of_the_lake():
    from harmony_pipeline.schemas import FEATURE_STATE

    frame = state_frame({}, SMALL)
    assert dict(frame.schema) == FEATURE_STATE.dtypes
    assert states_from_frame(frame, SMALL) == {}
    assert states_by_symbol(None, SMALL) == {}
