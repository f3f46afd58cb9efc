"""Average uniqueness, against a full matrix and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labels.naive import uniqueness

from harmony_pipeline.labels.weights import average_uniqueness

BARS = 40
LIVES = st.lists(
    st.tuples(st.integers(0, BARS - 1), st.integers(0, 15), st.booleans()), max_size=60
)


def weights(labels, bars=BARS):
    entry = np.array([-1 if a is None else a for a, _ in labels], np.int64)
    end = np.array([-1 if e is None else e for _, e in labels], np.int64)
    found = np.empty(entry.size)
    average_uniqueness(entry, end, np.array([bars]), 0, bars, np.empty(bars + 1, np.int64), found)
    return found


def test_lives_that_do_not_overlap_weigh_one_exactly():
    assert weights([(0, 3), (4, 4), (10, 20)]).tolist() == [1.0, 1.0, 1.0]


def test_a_half_shared_life_weighs_three_quarters():
    # label 0 lives on bars 0..3, label 1 on bars 2..5: two bars alone, two shared by two
    assert weights([(0, 3), (2, 5)]).tolist() == pytest.approx([0.75, 0.75], abs=1e-12)


def test_an_open_label_counts_as_alive_and_has_no_weight_yet():
    found = weights([(0, 3), (2, None)])
    assert found[0] == pytest.approx(0.75, abs=1e-12)
    assert np.isnan(found[1])


def test_an_event_that_was_never_entered_takes_no_room():
    assert weights([(0, 3), (None, None)])[0] == 1.0


@settings(max_examples=50, deadline=None)
@given(lives=LIVES)
def test_weights_equal_the_matrix_definition(lives):
    labels = [
        (start, None if still_open or start + length >= BARS else start + length)
        for start, length, still_open in lives
    ]
    expected = [np.nan if w is None else w for w in uniqueness(labels, BARS)]
    assert weights(labels).tolist() == pytest.approx(expected, abs=1e-11, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(lives=LIVES)
def test_settled_labels_share_out_every_bar_they_cover(lives):
    labels = [(start, min(start + length, BARS - 1)) for start, length, _ in lives]
    covered = {bar for start, end in labels for bar in range(start, end + 1)}
    shared = sum(
        w * (end - start + 1) for w, (start, end) in zip(weights(labels), labels, strict=True)
    )
    assert shared == pytest.approx(len(covered), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(lives=LIVES, earlier=st.integers(1, 5000))
def test_where_the_array_starts_changes_no_bit(lives, earlier):
    labels = [(start, min(start + length, BARS - 1)) for start, length, _ in lives]
    busy_past = [(start, start + 2) for start in range(0, earlier, 2) if start + 2 < earlier]
    later = [(start + earlier, end + earlier) for start, end in labels]
    assert (
        weights([*busy_past, *later], BARS + earlier)[len(busy_past) :].tolist()
        == weights(labels).tolist()
    )
