"""Four symbols in one loop are each the kernel of one, to the last bit, and so are whole sets."""

import numpy as np
import polars as pl
import pytest
from features.feature_markets import SMALL, STANDARD, XNYS, in_order, random_arrays, random_bars
from hypothesis import example, given, settings
from hypothesis import strategies as st

from harmony_pipeline.errors import DataError
from harmony_pipeline.features import catalog, compute
from harmony_pipeline.features.catalog import FeatureSet, Indicator, fill_log_returns_kernel
from harmony_pipeline.features.compute import compute_features, groups_of
from harmony_pipeline.features.four_symbols import OF_FOUR, SYMBOLS
from harmony_pipeline.features.kernel_inputs import SCRATCH, bar_matrix
from harmony_pipeline.features.live import LiveFeatures
from harmony_pipeline.features.symbol_fold import FEWEST, can_be_steps
from harmony_pipeline.kernel import kernel

COLUMNS = (
    "ema_6", "macd_3_7_4", "rsi_5", "rsi_14", "atr_4", "adx_4", "adx_14", "vwap_distance",
    "cusum_event",
)  # fmt: skip
KINDS = {
    each.indicator.kernel: each
    for name in COLUMNS
    for each in FeatureSet.of([name]).computed
    if each.indicator.kernel in OF_FOUR
}


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


def reads_of(column, seed, bars):
    """A row for each column that it reads, unknown at first, as they are."""
    rng = np.random.default_rng(seed + 1_000)
    rows = [np.abs(rng.normal(0.0, 0.003, bars)) for _ in column.reads]
    for row in rows:
        row[: min(9, bars)] = np.nan
    return rows


def test_each_of_them_is_tried():
    assert set(KINDS) == set(OF_FOUR)


@pytest.mark.parametrize("named", sorted(OF_FOUR))
@given(
    seed=st.integers(0, 10_000),
    lengths=st.lists(st.integers(0, 400), min_size=SYMBOLS, max_size=SYMBOLS),
    still=st.lists(st.booleans(), min_size=SYMBOLS, max_size=SYMBOLS),
    cut=st.floats(0.0, 1.0),
)
@example(seed=1, lengths=[400, 390, 400, 371], still=[False] * SYMBOLS, cut=0.4)
@example(seed=2, lengths=[400] * SYMBOLS, still=[False, True, False, False], cut=0.1)
@settings(max_examples=12, deadline=None)
def test_four_together_have_the_bits_of_each_alone(named, seed, lengths, still, cut):
    column, together = KINDS[named], OF_FOUR[named]
    size = column.state.stop - column.state.start
    states, alone = np.zeros((SYMBOLS, size)), np.zeros((SYMBOLS, size))
    values, expected = ([np.empty(bars) for bars in lengths] for _ in range(2))
    given = [(seed + k, lengths[k], still[k]) for k in range(SYMBOLS)]
    matrices, plain = ([market(*one) for one in given] for _ in range(2))
    reads = [reads_of(column, seed + k, lengths[k]) for k in range(SYMBOLS)]
    for first, last in ((0.0, cut), (cut, 1.0)):  # the second from states that are warm or not
        parts = [slice(int(first * bars), int(last * bars)) for bars in lengths]
        rows = [
            tuple(reads[k][each][parts[k]] for k in range(SYMBOLS))
            for each in range(len(column.reads))
        ]
        together(
            tuple(np.ascontiguousarray(matrices[k][:, parts[k]]) for k in range(SYMBOLS)),
            *rows,
            tuple(states),
            column.parameter_array,
            tuple(values[k][parts[k]] for k in range(SYMBOLS)),
        )
        for k in range(SYMBOLS):
            column.kernel(
                np.ascontiguousarray(plain[k][:, parts[k]]),
                *(row[k] for row in rows),
                alone[k],
                column.parameter_array,
                expected[k][parts[k]],
            )
    assert np.array_equal(bits(states), bits(alone))
    for k in range(SYMBOLS):
        assert np.array_equal(bits(values[k]), bits(expected[k])), k


@pytest.mark.parametrize("feature_set", [SMALL, STANDARD], ids=["every kind", "standard"])
@pytest.mark.parametrize("symbols", [FEWEST, SYMBOLS, 6])
@pytest.mark.parametrize("block", [3, 40, 4_000])
def test_symbols_of_unequal_length_have_the_bits_of_each_alone(
    monkeypatch, feature_set, symbols, block
):
    names = [f"S{number}" for number in range(symbols)]
    bars = pl.concat(
        random_bars(number, (name,)).head(60 + 71 * (number * 5 % symbols))
        for number, name in enumerate(names)
    )
    monkeypatch.setattr(compute, "BLOCK_BARS", block)
    whole = compute_features(bars, feature_set, None, XNYS, "15Min")
    alone = [
        compute_features(bars.filter(symbol=name), feature_set, None, XNYS, "15Min")
        for name in names
    ]
    assert pl.concat(one.table for one in alone).equals(whole.table)
    assert pl.concat(one.states for one in alone).equals(whole.states)


def test_the_first_row_that_cannot_be_read_is_named_whichever_symbol_is_folded_first():
    bars = pl.concat(
        random_bars(number, (name,)).head(rows)
        for number, (name, rows) in enumerate((("A", 90), ("B", 200), ("C", 140), ("D", 60)))
    )
    broken = bars.with_columns(
        low=pl.when(pl.int_range(pl.len()).is_in([100, 85, 320])).then(0.0).otherwise("low")
    )
    with pytest.raises(DataError, match=r"bars row 85 \(A "):
        compute_features(broken, STANDARD, None, XNYS, "15Min")


@given(
    lengths=st.lists(st.integers(1, 1_000), max_size=40).map(lambda each: np.array(each, np.int64)),
    workers=st.integers(1, 5),
)
def test_symbols_are_grouped_by_fours_and_shared_out(lengths, workers):
    groups = groups_of(lengths, workers)
    assert sorted(place for group in groups for place in group) == list(range(lengths.size))
    for group in groups:
        assert 0 < len(group) <= SYMBOLS
        assert list(lengths[group]) == sorted(lengths[group], reverse=True)
    # as many groups as workers, or a multiple, as long as there are symbols
    assert len(groups) >= min(workers, lengths.size)


@kernel
def _middle_of_three(bars, first, second, third, state, parameters, values):
    for i in range(values.size):
        low, high = min(first[i], second[i]), max(first[i], second[i])
        values[i] = min(max(low, third[i]), high)


def test_an_indicator_that_reads_more_than_a_step_can_is_computed_all_the_same(monkeypatch):
    reads = ("sma_3", "ema_4", "sma_9")
    middle = Indicator(
        "middle", (), _middle_of_three, lambda: 0, "the middle one", reads=lambda: reads
    )
    monkeypatch.setitem(catalog._BY_KIND, "middle", middle)
    chosen, bars = FeatureSet.of(["middle", "rsi_5"]), random_bars(2)
    assert not can_be_steps(chosen)
    found = compute_features(bars, chosen, None, XNYS, "15Min").table
    parts = compute_features(bars, FeatureSet.of([*reads, "rsi_5"]), None, XNYS, "15Min").table
    known = parts.select(pl.all_horizontal(pl.col(reads).is_not_null())).to_series()
    middles = np.median(parts.filter(known).select(reads).to_numpy(), axis=1)
    assert np.array_equal(found.filter(known)["middle"].to_numpy(), middles)
    assert found["rsi_5"].equals(parts["rsi_5"])
    live = LiveFeatures(chosen)
    dated = XNYS.with_session(bars.with_columns(kept=pl.col("session")), "15Min").head(60)
    for row, bar in enumerate(dated.iter_rows(named=True)):
        one = live.update(
            bar["symbol"], bar["timestamp"], bar["open"], bar["high"], bar["low"], bar["close"],
            bar["volume"], bar["session_date"], bar["kept"] == "regular", bar["adjustment_factor"],
        )  # fmt: skip
        expected = [found[name][row] for name in chosen.names]
        assert [None if np.isnan(each) else each for each in one] == expected
