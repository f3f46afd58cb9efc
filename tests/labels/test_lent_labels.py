"""Labels lie in memory of earlier ones, which no table that is kept may notice."""

import pytest
from labels.markets import random_bars, random_events

from harmony_pipeline import arrays
from harmony_pipeline.labels.labelling import label_events
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.calendars import Calendar

XNYS = Calendar.of("XNYS")


@pytest.fixture(autouse=True)
def everything_is_lent(monkeypatch):
    monkeypatch.setattr(arrays, "_LARGE", 64)


def labels_of(seed):
    bars = random_bars(seed)
    return label_events(bars, random_events(seed, bars), LabelSettings(), XNYS, "15Min").table


def test_tables_that_are_kept_do_not_change_when_others_are_labelled():
    kept = labels_of(1)
    expected = kept.to_dict(as_series=False)
    names, tail = labels_of(2)["touched"], labels_of(3).tail(5)
    own = names.to_list(), tail.to_dicts()
    for seed in range(4, 10):
        labels_of(seed)
    assert kept.to_dict(as_series=False) == expected
    assert (names.to_list(), tail.to_dicts()) == own
    assert labels_of(1).equals(kept)
