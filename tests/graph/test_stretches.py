"""Days that are replayed together: a run of its own for each unbroken stretch."""

import pytest

from assets.runner import stretches

KEYS = [f"2018-04-{day:02}" for day in range(1, 11)]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ([], []),
        ([4], [(4, 4)]),
        ([4, 5, 6], [(4, 6)]),
        ([1, 2, 8, 10], [(1, 2), (8, 8), (10, 10)]),
    ],
)
def test_days_without_bars_between_them_are_left_alone(days, expected):
    chosen = [KEYS[day - 1] for day in days]
    assert stretches(chosen, KEYS) == [
        (KEYS[first - 1], KEYS[last - 1]) for first, last in expected
    ]
