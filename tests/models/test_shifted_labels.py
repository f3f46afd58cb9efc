"""The score of a model vanishes when its labels belong to other events, and not when they are mostly
the same.
"""

import numpy as np
import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import period_from_key
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.models.shifted_labels import least_shift, shift_labels, shifted_label_score
from harmony_pipeline.testing.forecaster_contract import planted_samples

CLOCK = Calendar.of("24/7")
FEBRUARY = period_from_key("2023-02", "month", "UTC")
SETTINGS = ModelSettings(
    forecaster="harmony_pipeline.models.logistic:Logistic", minimum_train_rows=100
)


def score(samples, events=None):
    return shifted_label_score(samples, FEBRUARY, 8, CLOCK, "15Min", SETTINGS, events)


def test_labels_move_within_their_symbol_and_go_round():
    samples = planted_samples(40, 1.0, symbols=4)
    found = shift_labels(samples, 2).frame
    for symbol in samples.frame["symbol"].unique():
        own = samples.frame.filter(symbol=symbol)["label"].to_list()
        assert found.filter(symbol=symbol)["label"].to_list() == own[2:] + own[:2]
    assert found["end_timestamp"].equals(samples.frame["end_timestamp"])


def test_the_least_shift_passes_every_life():
    samples = planted_samples(400, 1.0, symbols=2, horizon=8, per_day=200)
    assert least_shift(samples) == 9  # a bar each, resolved at the end of the 8th after its own
    assert least_shift(planted_samples(400, 1.0, symbols=2, horizon=0, per_day=200)) == 1


def test_a_score_vanishes_when_the_labels_are_those_of_the_next_events():
    found = score(planted_samples(3000, 1.5, per_day=13, horizon=0))
    assert found.events == (1, 2, 3, 4, 5, 6)
    assert found.auc > 0.75
    assert max(found.shifted) < found.auc
    assert found.vanishes
    assert found.mean == sum(found.shifted) / 6


def test_outcomes_that_overlap_need_a_shift_beyond_their_lives():
    """Each label is that of a slow input, as where lives overlap nearly whole."""
    base = planted_samples(3000, 0.0, per_day=13, symbols=1, horizon=26)
    slow = np.sin(np.arange(3000) / 12.0)
    label = (slow > 0.0).astype(np.int8)
    X = base.X.copy()
    X[:, 0] = slow
    samples = Samples(base.frame.with_columns(label=pl.Series(label)), X, base.names)
    near, far = score(samples, events=(1, 2, 3)), score(samples, events=(19, 57))
    assert near.mean > 0.9
    assert not near.vanishes
    assert abs(far.mean - 0.5) < 0.1  # quarters of the wave
    assert far.vanishes


def test_nothing_to_test_gives_no_score():
    samples = planted_samples(300, 1.0, per_day=13)  # ends before February
    assert score(samples) is None
