"""A hint to fetch changes nothing, and may point anywhere."""

import numpy as np
import pytest

from harmony_pipeline.fetched_lines import fetch_ahead
from harmony_pipeline.kernel import kernel


@kernel
def total_with_hints(values, ahead):
    total = 0.0
    for row in range(len(values)):
        fetch_ahead(values, row + ahead)
        total += values[row]
    return total


@pytest.mark.parametrize("ahead", [0, 8, -(10**6), 10**12])
def test_a_row_outside_of_the_array_may_be_fetched(ahead):
    values = np.arange(100.0)
    assert total_with_hints(values, ahead) == 4950.0
    assert values.tolist() == list(range(100))
