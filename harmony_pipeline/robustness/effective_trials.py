"""How much was tried: the number of independent trials that would be as lucky as those made.

A hundred configurations with nearly the same returns are not a hundred attempts, and not one
either. What matters is how good the best of them looks by luck. For trials without skill the
t-statistics of their means are, over many days, jointly normal with the correlations of their
returns. `effective_trials` draws from that distribution by weighting the days of all trials with
the same standard normal numbers (multiplier bootstrap: Chernozhukov, Chetverikov & Kato 2013,
"Gaussian approximations and multiplier bootstrap for maxima of sums of high-dimensional random
vectors", Annals of Statistics 41), takes the mean of the largest, and returns the number of
independent trials whose largest has that mean.

Clusters of correlated trials (Lopez de Prado & Lewis 2019, "Detection of false investment
strategies using unsupervised learning methods") answer the same question, but a further attempt
inside a cluster costs nothing there, and a trial between two clusters can merge them. Here another
trial never lowers the number: the same draws are used for the same days, and the largest of more is
no smaller. Trials over different days are independent of each other, as far as the days differ.
"""

import math

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray

_PAIRS = 1_000  # draws come in pairs of opposite sign: one trial alone has an expectation of just 0
_SEED = 11
_GRID = np.linspace(-9.0, 9.0, 9_001)
_MOST = 1e12


def expected_maximum(trials: float) -> float:
    """Expected largest of `trials` independent standard normal numbers; 0 for one.

    By quadrature of x n phi(x) Phi(x)^(n-1), which is exact for whole numbers and joins them
    smoothly. The False Strategy theorem (Bailey & Lopez de Prado 2014, eq. 1) approximates it for
    many trials; it is 14 % off for two and has no value for one. Raises ValueError below 1.
    """
    from scipy.special import log_ndtr

    if trials < 1.0:
        raise ValueError(f"the maximum of {trials} trials has no expectation; at least 1 is needed")
    if trials == 1.0:
        return 0.0
    log_density = -0.5 * _GRID**2 - 0.5 * math.log(2.0 * math.pi)
    weight = np.exp(math.log(trials) + log_density + (trials - 1.0) * log_ndtr(_GRID))
    return float(np.sum(_GRID * weight) / np.sum(weight))


def trials_of_maximum(expected: float) -> float:
    """The number of independent trials with this expected maximum: the inverse of
    `expected_maximum`; at least 1.
    """
    from scipy.optimize import brentq

    if expected <= 0.0:
        return 1.0
    if expected >= expected_maximum(_MOST):
        return _MOST
    found = brentq(
        lambda log_trials: expected_maximum(math.exp(log_trials)) - expected,
        0.0,
        math.log(_MOST),
        xtol=1e-10,
    )
    return math.exp(found)


def effective_trials(trial_ids: list[str], trial_returns: pl.DataFrame) -> float:
    """Effective number of independent trials, from 1 to their count.

    trial_returns: rows of schemas.TRIAL_RETURNS; a trial without returns or variance never traded.
    It counts as the choice of doing nothing.
    """
    if len(trial_ids) < 2:
        return 1.0
    days, scores = _scores_by_day(trial_ids, trial_returns)
    if not days.size:
        return 1.0
    drawn = np.stack(
        [np.random.default_rng((_SEED, int(day))).standard_normal(_PAIRS) for day in days], axis=1
    )
    statistics = drawn @ scores  # [pairs, trials]
    # the largest of the opposite draw is minus the smallest
    largest = float(np.mean(statistics.max(axis=1) - statistics.min(axis=1)) / 2.0)
    return min(float(len(trial_ids)), trials_of_maximum(largest))


def unit_scores(values: FloatArray) -> FloatArray | None:
    """Centred values of length 1, whose products are correlations; None of a series that does not
    vary.
    """
    centred = values - values.mean()
    length = float(np.sqrt(np.sum(centred**2)))
    # a constant series leaves rounding dust, which is no variance
    if length <= 1e-12 * math.sqrt(values.size) * float(np.abs(values).max()):
        return None
    scores: FloatArray = centred / length
    return scores


def _scores_by_day(
    trial_ids: list[str], trial_returns: pl.DataFrame
) -> tuple[FloatArray, FloatArray]:
    """Days (since 1970) and [days, trials] centred returns of length 1; 0 on days that a trial
    lacks. Trials that do not vary share one column of zeros.
    """
    own = trial_returns.filter(pl.col("trial_id").is_in(trial_ids)).select(
        "trial_id",
        "return",
        day=pl.col("timestamp").dt.date().to_physical().cast(pl.Int64),
    )
    days = own["day"].unique().sort().to_numpy()
    columns = []
    for rows in own.partition_by("trial_id", maintain_order=True):
        scores = unit_scores(rows["return"].to_numpy().astype(np.float64))
        if scores is None:
            continue
        column = np.zeros(days.size)
        column[np.searchsorted(days, rows["day"].to_numpy())] = scores
        columns.append(column)
    if len(columns) < len(trial_ids):
        columns.append(np.zeros(days.size))
    return days, np.ascontiguousarray(np.stack(columns, axis=1))
