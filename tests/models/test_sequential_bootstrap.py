"""Sequential bootstrap: the book's algorithm in plain loops, and what it is for."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.errors import DataError
from harmony_pipeline.models.sequential_bootstrap import lives, sequential_draws
from harmony_pipeline.testing.forecaster_contract import planted_samples

LIVES = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 8)), min_size=1, max_size=14)


def probabilities_of_the_book(matrix, drawn):
    """Lopez de Prado 2018, snippets 4.4 and 4.5: indicator matrix [bars, events], rows drawn so
    far.
    """
    found = []
    for event in range(matrix.shape[1]):
        reduced = matrix[:, [*drawn, event]]
        concurrency = reduced.sum(axis=1)
        alive = matrix[:, event] > 0
        found.append((1.0 / concurrency[alive]).mean())
    return np.array(found) / sum(found)


def draws_of_the_book(begin, end, count, seed):
    matrix = np.zeros((end.max() + 1, begin.size))
    for event, (first, last) in enumerate(zip(begin, end, strict=True)):
        matrix[first : last + 1, event] = 1.0
    uniforms, drawn = np.random.default_rng(seed).random(count), []
    for uniform in uniforms:
        edges = np.cumsum(probabilities_of_the_book(matrix, drawn))
        drawn.append(min(int(np.searchsorted(edges, uniform, side="right")), begin.size - 1))
    return drawn


def uniqueness(begin, end, drawn):
    alive = np.zeros(end.max() + 1)
    for event in drawn:
        alive[begin[event] : end[event] + 1] += 1
    return np.mean([(1.0 / alive[begin[event] : end[event] + 1]).mean() for event in drawn])


@given(LIVES, st.integers(1, 25), st.integers(0, 2**32))
def test_the_draws_are_those_of_the_book_s_matrix(spans, count, seed):
    spans = sorted(spans)  # the book's draw goes by the order of the columns
    begin = np.array([first for first, _ in spans])
    end = begin + np.array([length for _, length in spans])
    found = sequential_draws(begin, end, count, seed)
    assert found.tolist() == draws_of_the_book(begin, end, count, seed)


def test_the_worked_example_of_the_book():
    """Section 4.5.3: lives on bars 0-2, 2-3 and 4-5; after the second event was drawn the
    probabilities of the next draw are 5/14, 3/14 and 6/14.
    """
    begin, end = np.array([0, 2, 4]), np.array([2, 3, 5])
    pairs = [sequential_draws(begin, end, 2, seed) for seed in range(9_000)]
    second = [pair[1] for pair in pairs if pair[0] == 1]
    share = np.bincount(second, minlength=3) / len(second)
    assert share == pytest.approx([5 / 14, 3 / 14, 6 / 14], abs=0.03)


def test_the_draws_are_more_unique_than_those_of_the_plain_bootstrap():
    """The experiment of section 4.5.4: ten events of up to five bars among a hundred; the book's
    medians are 0.6 and 0.7.
    """
    generator, ours, plain = np.random.default_rng(5), [], []
    for seed in range(400):
        begin = np.sort(generator.integers(0, 100, 10))
        end = begin + generator.integers(1, 5, 10)
        ours.append(uniqueness(begin, end, sequential_draws(begin, end, 10, seed)))
        plain.append(uniqueness(begin, end, generator.integers(0, 10, 10)))
    assert np.median(plain) == pytest.approx(0.6, abs=0.05)
    assert np.median(ours) == pytest.approx(0.7, abs=0.05)


def test_the_order_of_the_events_does_not_change_their_lives():
    begin, end = np.array([9, 0, 4]), np.array([12, 4, 4])
    sorted_draws = sequential_draws(begin[[1, 2, 0]], end[[1, 2, 0]], 30, 3)
    assert (
        np.array([1, 2, 0])[sorted_draws].tolist() == sequential_draws(begin, end, 30, 3).tolist()
    )


def test_lives_go_from_the_event_to_the_last_time_before_it_is_settled():
    samples = planted_samples(12, 0.5, symbols=2, horizon=2)
    begin, end = lives(samples)
    # three bars each, but for the last events; symbols never share one
    assert (end - begin)[:6].tolist() == [2] * 6
    assert begin.tolist() == [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]
    early = samples.frame.with_columns(end_timestamp=pl.col("timestamp") + timedelta(minutes=1))
    first, last = lives(type(samples)(early, samples.X, samples.names))
    assert first.tolist() == last.tolist() == begin.tolist()


@pytest.mark.parametrize(("begin", "end"), [([], []), ([3], [2])])
def test_what_cannot_be_drawn_is_refused(begin, end):
    with pytest.raises(DataError, match="sequential bootstrap"):
        sequential_draws(np.array(begin, np.int64), np.array(end, np.int64), 3, 1)
