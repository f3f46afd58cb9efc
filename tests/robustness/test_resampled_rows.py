"""The stationary bootstrap of rows, bit for bit as NumPy would do it one array at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.robustness.resampled_rows import means_of_resamples, resampled_rows


def rows_by_arrays(rows: int, block: int, reps: int, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    place, drawn = np.arange(rows), np.empty((reps, rows), np.int64)
    for resample in drawn:
        first = generator.integers(rows, size=rows)
        begins = np.where(generator.random(rows) <= 1.0 / block, place, 0)
        begin = np.maximum.accumulate(begins)  # of the block that a row belongs to
        resample[:] = (first[begin] + place - begin) % rows
    return drawn


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 4), st.integers(0, 2**32))
def test_rows_are_drawn_as_by_whole_arrays(rows, block, reps, seed):
    found = resampled_rows(rows, block, reps, seed)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, rows_by_arrays(rows, block, reps, seed))


@pytest.mark.parametrize("columns", [1, 2, 3, 17])
@pytest.mark.parametrize("layout", ["C", "F"])
def test_means_have_the_bits_of_numpy(columns, layout):
    random = np.random.default_rng(columns)
    values = np.asarray(random.normal(size=(1_203, columns)), order=layout)
    drawn = resampled_rows(1_203, 34, 40, 5)
    expected = np.array([values[rows].mean(axis=0) for rows in drawn])
    assert means_of_resamples(values, drawn).tobytes() == expected.tobytes()
    zeros = np.full((5, columns), -0.0)
    rows = resampled_rows(5, 2, 3, 1)
    expected = np.array([zeros[each].mean(axis=0) for each in rows])
    assert means_of_resamples(zeros, rows).tobytes() == expected.tobytes()
