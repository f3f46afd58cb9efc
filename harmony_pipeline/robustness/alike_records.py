"""Which trials earned the same as another: a record under another name is the same record.

A copy of a strategy, another seed of its model or a parameter next to it adds next to nothing to
the number of independent trials (`effective_trials`). If each also began a new series of looks,
whoever renames a worthless strategy every quarter would promote it in the end. So looks at records
that are alike are looks at one record.
"""

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.robustness.effective_trials import unit_scores

ALIKE = 0.9
"""Correlation of daily returns from which two records are one. Ten years of two independent records
never come near it; a copy has 1."""
_MINIMUM_DAYS = 20  # fewer common days tell nothing


def alike_trials(trial_id: str, trial_returns: pl.DataFrame) -> set[str]:
    """Trials, that one included, whose daily returns have a correlation of at least `ALIKE` with
    its own on the days of both.

    trial_returns: rows of schemas.TRIAL_RETURNS. A trial with fewer than 20 common days, or without
    variance on them, is alike to none.
    """
    rows = trial_returns.select("trial_id", "return", day=pl.col("timestamp").dt.date())
    own = rows.filter(pl.col("trial_id") == trial_id).select("day", own="return")
    others = rows.filter(pl.col("trial_id") != trial_id).join(own, on="day")
    found = {trial_id}
    for (other,), pairs in (
        others.sort("trial_id", "day")
        .partition_by("trial_id", as_dict=True, maintain_order=True)
        .items()
    ):
        mine, theirs = (pairs[name].to_numpy().astype(np.float64) for name in ("own", "return"))
        if _correlation(mine, theirs) >= ALIKE:
            found.add(str(other))
    return found


def _correlation(first: FloatArray, second: FloatArray) -> float:
    """Pearson's; 0 for few days, and where one does not vary."""
    if first.size < _MINIMUM_DAYS:
        return 0.0
    one, other = unit_scores(first), unit_scores(second)
    return 0.0 if one is None or other is None else float(np.sum(one * other))
