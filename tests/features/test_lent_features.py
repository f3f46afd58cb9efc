"""Features lie in memory of earlier ones, which no table that is kept may notice."""

import threading

import numpy as np
import polars as pl
import pytest
from features.feature_markets import STANDARD, XNYS, random_bars

from harmony_pipeline import lent_memory
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.lent_memory import lend_floats

BARS = random_bars(1)


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch):
    lent_memory._waiting.clear()
    monkeypatch.setattr(lent_memory, "_LEAST", 1024)


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


def test_a_column_of_lent_memory_is_a_column_as_any_other():
    values = lend_floats(1, 1000)
    values[0] = np.arange(1000.0)
    assert pl.Series(values[0]).sum() == 499500.0
