"""Memory of a result is used again, and never while anything can still read it."""

import gc
import threading

import numpy as np
import polars as pl
import pytest
from features.feature_markets import STANDARD, XNYS, random_bars

from harmony_pipeline.features import lent_memory
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.features.lent_memory import lend_floats

ROWS, COLUMNS = 4, 1 << 18  # 8 MB
BARS = random_bars(1)


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch):
    lent_memory._waiting.clear()
    monkeypatch.setattr(lent_memory, "_LEAST", 1024)


@pytest.mark.skipif(not lent_memory._LENDS, reason="only Linux lends memory")
def test_memory_comes_back_when_its_last_reader_is_gone():
    first = lend_floats(ROWS, COLUMNS)
    place, row = first.ctypes.data, first[2]
    del first
    assert lend_floats(ROWS, COLUMNS).ctypes.data != place  # a row still reads it
    del row
    gc.collect()
    again = lend_floats(ROWS, COLUMNS)
    assert again.ctypes.data == place
    again[:] = 1.0
    assert lend_floats(ROWS, COLUMNS).ctypes.data != place


@pytest.mark.skipif(not lent_memory._LENDS, reason="only Linux lends memory")
def test_one_piece_waits_at_most_and_much_less_does_not_take_it():
    pieces = [lend_floats(ROWS, COLUMNS) for _ in range(3)]
    places = {piece.ctypes.data for piece in pieces}
    del pieces
    gc.collect()
    assert len(lent_memory._waiting) == 1
    assert lend_floats(ROWS, COLUMNS // 4).ctypes.data not in places


def features_of(scale):
    """Of prices that are so many times as high."""
    prices = pl.col("open", "high", "low", "close") * float(scale)
    return compute_features(BARS.with_columns(prices), STANDARD, None, XNYS, "15Min").table


def test_columns_that_are_kept_do_not_change_when_others_are_computed():
    kept = features_of(1)
    expected = kept.clone().to_dict(as_series=False)
    column, tail = features_of(2)["atr_14"], features_of(3).tail(5).to_arrow()
    own = column.to_list(), tail.to_pylist()
    for scale in range(4, 12):
        features_of(scale)
    assert kept.to_dict(as_series=False) == expected
    assert (column.to_list(), tail.to_pylist()) == own
    assert features_of(1).equals(kept)


def test_threads_that_compute_at_once_do_not_share_memory():
    found = {}

    def work(scale):
        for _ in range(5):
            found[scale] = features_of(scale)

    threads = [threading.Thread(target=work, args=(scale,)) for scale in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for scale, table in found.items():
        assert table.equals(features_of(scale))


def test_small_arrays_are_left_to_numpy(monkeypatch):
    monkeypatch.undo()
    assert lend_floats(2, 3).base is None
    assert lend_floats(0, 0).shape == (0, 0)


def test_a_column_of_lent_memory_is_a_column_as_any_other():
    values = lend_floats(1, 1000)
    values[0] = np.arange(1000.0)
    assert pl.Series(values[0]).sum() == 499500.0
