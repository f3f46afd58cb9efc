"""Records that earned the same are one record, whatever their names."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.models.gate import look_threshold
from harmony_pipeline.robustness.alike_records import ALIKE, alike_trials

START = datetime(2024, 1, 1, tzinfo=UTC)


def returns_of(**trials: FloatArray) -> pl.DataFrame:
    """Rows of trial_returns; NaN: no return on that day."""
    frames = [
        pl.DataFrame(
            {
                "trial_id": [name] * values.size,
                "timestamp": [START + timedelta(days=day) for day in range(values.size)],
                "return": values,
            }
        ).filter(pl.col("return").is_not_nan())
        for name, values in trials.items()
    ]
    return pl.concat(frames)


def mixed(own: FloatArray, other: FloatArray, correlation: float) -> FloatArray:
    """A series with just this sample correlation to `own`."""
    own = (own - own.mean()) / own.std()
    rest = other - other.mean()
    rest -= own * (own @ rest) / (own @ own)
    rest /= rest.std()
    found: FloatArray = 0.01 * (correlation * own + np.sqrt(1.0 - correlation**2) * rest)
    return found


def test_copies_and_near_copies_are_alike_and_others_are_not() -> None:
    rng = np.random.default_rng(5)
    own, noise = rng.normal(0.0, 0.01, (2, 500))
    table = returns_of(
        own=own,
        copy=own,
        half_the_size=0.5 * own + 0.001,
        above=mixed(own, noise, ALIKE + 0.001),
        below=mixed(own, noise, ALIKE - 0.001),
        opposite=-own,
        independent=noise,
        nothing=np.zeros(500),
        constant=np.full(500, 0.001),
    )
    assert alike_trials("own", table) == {"own", "copy", "half_the_size", "above"}
    assert alike_trials("independent", table) == {"independent"}
    assert alike_trials("constant", table) == {"constant"}


def test_only_days_of_both_count_and_few_of_them_tell_nothing() -> None:
    rng = np.random.default_rng(6)
    own, noise = rng.normal(0.0, 0.01, (2, 300))
    day = np.arange(300)
    table = returns_of(
        own=np.where(day < 200, own, np.nan),
        later=np.where(day >= 150, own, np.nan),  # 50 days of both, the same
        other_days=np.where(day >= 200, own, np.nan),
        few=np.where((day >= 181) & (day < 300), own, np.nan),  # 19
        twenty=np.where(day >= 180, own, np.nan),
        changed=np.where(day < 150, noise, own),
    )
    assert alike_trials("own", table) == {"own", "later", "twenty"}


def test_a_trial_without_returns_is_alike_to_itself_alone() -> None:
    table = returns_of(other=np.random.default_rng(7).normal(size=60))
    assert alike_trials("own", table) == {"own"}
    assert alike_trials("own", table.clear()) == {"own"}


@pytest.mark.parametrize(("counted", "at_most"), [(True, 0.05), (False, 1.0)])
def test_a_new_name_each_quarter_promotes_no_more_than_the_error_of_all_looks(
    counted: bool, at_most: float
) -> None:
    """20 quarterly looks at worthless returns in 4,000 markets, each under a new name. Where the
    looks at the copies count all of them together promote at most the error; where they do not,
    more than twice as much.
    """
    from statistics import NormalDist

    days = np.arange(63, 63 * 21, 63)
    walk = np.random.default_rng(8).normal(size=(4_000, days[-1])).cumsum(axis=1)
    scores = walk[:, days - 1] / np.sqrt(days)
    levels = [
        look_threshold(0.95, float(day), list(days[:number]) if counted else [], 252)
        for number, day in enumerate(days)
    ]
    bounds = np.array([NormalDist().inv_cdf(level) for level in levels])
    promoted = float((scores >= bounds).any(axis=1).mean())
    assert promoted <= at_most
    assert (promoted > 0.1) is not counted
