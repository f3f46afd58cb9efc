"""Copies past the caches against plain ones, wherever they begin and end."""

import numpy as np
import pytest

from harmony_pipeline.kernel import kernel_without_allocation
from harmony_pipeline.streamed_copy import end_of_stream, streamed_copy


@kernel_without_allocation
def _copied(target, source):
    streamed_copy(target, source)
    end_of_stream()


@pytest.mark.parametrize("kind", [np.float64, np.uint64])
def test_only_the_rows_that_are_meant_are_written(kind):
    source = np.arange(1, 200).astype(kind)
    for begin in range(10):
        for rows in (0, 1, 7, 8, 9, 15, 16, 17, 100, 128):
            target = np.zeros(200, kind)
            _copied(target[begin : begin + rows], source[:rows])
            expected = np.zeros(200, kind)
            expected[begin : begin + rows] = source[:rows]
            assert (target == expected).all(), (begin, rows)
