"""A text column from numbers, against a list in Python."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.market.text_columns import name_column


@given(
    names=st.lists(st.text(max_size=40), min_size=1, max_size=6),
    choices=st.lists(st.integers(-1, 5), max_size=40),
)
def test_names_are_gathered_and_empty_ones_are_null(names, choices):
    numbers = np.array([min(number, len(names) - 1) for number in choices], np.int64)
    found = name_column(numbers, names)
    assert found.to_list() == [
        (names[number] or None) if number >= 0 else None for number in numbers
    ]
    assert found.null_count() == sum(value is None for value in found.to_list())


@pytest.mark.parametrize("longest", ["regular", "longer than a view holds"])
def test_numbers_of_one_byte_are_gathered_too(longest):
    found = name_column(np.array([0, 2, 1, 2], np.uint8), ("", "pre", longest))
    assert found.to_list() == [None, longest, "pre", longest]
