"""Columns in one loop are each that of their own kernel, to the last bit, whichever are there."""

from itertools import pairwise

import numpy as np
import pytest
from features.feature_markets import (
    EVERY_KIND,
    SMALL,
    STANDARD,
    XNYS,
    in_order,
    random_arrays,
    random_bars,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harmony_pipeline.features.catalog import FeatureSet, fill_log_returns_kernel
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.features.four_symbols import OF_FOUR
from harmony_pipeline.features.joints import MEMBERS, Joint, columns_of, units_of
from harmony_pipeline.features.kernel_inputs import SCRATCH, bar_matrix

AVERAGES = ("rsi_14", "atr_4", "adx_5", "ema_6")
SUMS = ("macd_signal_3_7_4", "vwap_distance", "cusum_event")
RECURSIVE = (
    *AVERAGES, *SUMS, "rsi_5", "atr_9", "adx_14", "ema_ratio_3_8", "macd_12_26_9",
    "macd_signal_3_7_9", "macd_line_4_5", "natr_4", "stochastic_rsi_5", "volatility_ratio_4_20",
)  # fmt: skip


def bits(values):
    return np.ascontiguousarray(values).view(np.int64)


def market(seed, bars, still):
    """The matrix of one symbol; `still`: no price ever moves."""
    arrays = random_arrays(seed, bars)
    if still:
        arrays |= {name: np.full(bars, 3.5) for name in ("open", "high", "low", "close")}
    matrix = bar_matrix(in_order(arrays))
    fill_log_returns_kernel()(matrix, np.zeros(1))
    matrix[SCRATCH:] = np.nan  # holds nothing between kernels
    return matrix


def one_after_the_other(columns, matrix, reads, state, bounds, values):
    """Each column by its own kernel; `values` by name."""
    for first, last in bounds:
        for column in columns:
            column.kernel(
                np.ascontiguousarray(matrix[:, first:last]),
                *({**reads, **values}[name][first:last] for name in column.reads),
                state[column.state],
                column.parameter_array,
                values[column.name][first:last],
            )


def in_one_loop(joint, matrix, reads, state, bounds, values):
    """All columns by the kernel of the joint."""
    for first, last in bounds:
        part, unread = np.ascontiguousarray(matrix[:, first:last]), np.empty(last - first)
        joint.kernel(
            part,
            reads[joint.reads[0]][first:last] if joint.reads else unread,
            tuple(np.empty(0) if one is None else state[one.state] for one in joint.places),
            tuple(np.empty(0) if one is None else one.parameter_array for one in joint.places),
            tuple(unread if one is None else values[one.name][first:last] for one in joint.places),
        )


@pytest.mark.parametrize("kinds", [AVERAGES, SUMS], ids=["averages", "sums"])
@given(
    seed=st.integers(0, 10_000),
    bars=st.integers(0, 400),
    chosen=st.integers(0, 15),
    still=st.booleans(),
    cuts=st.lists(st.floats(0.0, 1.0), max_size=3),
)
@example(seed=1, bars=400, chosen=15, still=False, cuts=[0.4])
@example(seed=2, bars=400, chosen=15, still=True, cuts=[])
@example(seed=3, bars=400, chosen=6, still=False, cuts=[0.1, 0.5])
@settings(max_examples=25, deadline=None)
def test_joined_columns_have_the_bits_of_each_alone(kinds, seed, bars, chosen, still, cuts):
    names = [name for place, name in enumerate(kinds) if chosen >> place & 1]
    every = FeatureSet.of(names) if names else SMALL
    joints = [unit for unit in every.units[0] if isinstance(unit, Joint)]
    ends = [0, *sorted(int(cut * bars) for cut in cuts), bars]
    bounds = list(pairwise(ends))
    for joint in joints:
        rng = np.random.default_rng(seed)
        reads = {name: np.abs(rng.normal(0.0, 0.003, bars)) for name in joint.reads}
        for row in reads.values():
            row[:9] = np.nan
        found, expected = ({one.name: np.empty(bars) for one in joint.columns} for _ in range(2))
        state, alone = np.zeros(every.state_size), np.zeros(every.state_size)
        in_one_loop(joint, market(seed, bars, still), reads, state, bounds, found)
        plain = market(seed, bars, still)
        one_after_the_other(joint.columns, plain, reads, alone, bounds, expected)
        assert np.array_equal(bits(state), bits(alone))
        for name, row in expected.items():
            assert np.array_equal(bits(found[name]), bits(row)), name


def kinds_in_joints():
    joints = [unit for unit in STANDARD.units[0] if isinstance(unit, Joint)]
    joints += [unit for unit in FeatureSet.of(AVERAGES).units[0] if isinstance(unit, Joint)]
    return {column.indicator.kernel for joint in joints for column in joint.columns}


def test_every_recursion_that_four_symbols_share_is_one_that_columns_can_share():
    assert kinds_in_joints() == set(OF_FOUR)


@given(names=st.lists(st.sampled_from((*RECURSIVE, *EVERY_KIND)), unique=True))
@settings(deadline=None)
def test_each_column_is_computed_once_and_after_what_it_reads(names):
    every = FeatureSet.of(names)
    units = units_of(every.computed)
    order = [column.name for unit in units for column in columns_of(unit)]
    assert sorted(order) == sorted(column.name for column in every.computed)
    known = set()
    for unit in units:
        for column in columns_of(unit):
            assert set(column.reads) <= known
            known.add(column.name)
        if isinstance(unit, Joint):
            assert len(unit.places) == MEMBERS
            assert len(unit.columns) > 1
            assert len(unit.reads) <= 1
            signal = next((each for each in unit.columns if "signal" in each.name), None)
            assert signal is None or signal.reads == (unit.places[0].name,)


def test_columns_of_a_kind_are_shared_out_among_joints():
    every = FeatureSet.of(("rsi_5", "rsi_14", "atr_4", "atr_9", "rsi_21"))
    joined = [[column.name for column in columns_of(unit)] for unit in every.units[0]]
    assert joined == [["rsi_5", "atr_4"], ["rsi_14", "atr_9"], ["rsi_21"]]


@pytest.mark.parametrize("reverse", [False, True])
def test_a_set_of_joined_columns_has_the_values_of_sets_of_one(reverse):
    names = RECURSIVE[::-1] if reverse else RECURSIVE
    bars = random_bars(5, ("A", "B"))
    together = compute_features(bars, FeatureSet.of(names), None, XNYS, "15Min").table
    for name in names:
        alone = compute_features(bars, FeatureSet.of([name]), None, XNYS, "15Min").table
        assert together[name].equals(alone[name]), name
