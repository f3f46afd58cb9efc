"""Statistics of how far chance and the search itself explain a result.

Every Sharpe ratio here is per observation (a day), never annualised: the formulas hold for no other
unit. Deviations are ddof 1. Skewness and kurtosis are the plain sample moments (m3 / m2**1.5 and m4
/ m2**2). Kurtosis is Pearson's, 3 for a normal sample, as in schemas.TRIALS. What cannot be
measured is None.

Sources: Bailey & Lopez de Prado 2012, "The Sharpe ratio efficient frontier" (PSR, minimum track
record length); 2014, "The deflated Sharpe ratio"; Bailey, Borwein, Lopez de Prado & Zhu 2015, "The
probability of backtest overfitting" (CSCV); Hansen 2005, "A test for superior predictive ability"
(SPA, from the `arch` package).
"""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline import schemas
from harmony_pipeline.arrays import BoolArray, FloatArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.robustness.settings import OverfittingSettings

EULER_GAMMA = 0.5772156649015329
MINIMUM_OBSERVATIONS = 3  # below this there is no deviation worth the name
_CHUNK = 4096  # combinations handled at once, so that 20 splits (184 756) fit in memory


@dataclass(frozen=True)
class Moments:
    """Sharpe ratio per observation and the moments on which its error depends."""

    sharpe: float
    observations: int
    skew: float
    kurtosis: float  # Pearson's: 3 for a normal sample

    @property
    def sharpe_error(self) -> float:
        """Standard error of the Sharpe ratio (Mertens 2002; Bailey & Lopez de Prado 2012, eq. 8).

        NaN when the sample's moments allow none.
        """
        variance = 1.0 - self.skew * self.sharpe + (self.kurtosis - 1.0) / 4.0 * self.sharpe**2
        return math.sqrt(variance / (self.observations - 1)) if variance > 0.0 else math.nan


def moments(returns: FloatArray) -> Moments | None:
    """Moments of a return series; None for fewer than three returns or no variance."""
    values = np.asarray(returns, dtype=np.float64)
    values = values[np.isfinite(values)]
    if values.size < MINIMUM_OBSERVATIONS:
        return None
    centred = values - values.mean()
    second = float(np.mean(centred**2))
    # a constant series leaves rounding dust in `centred`, which is no variance
    if second <= (1e-12 * float(np.abs(values).max())) ** 2:
        return None
    deviation = math.sqrt(second * values.size / (values.size - 1))
    return Moments(
        sharpe=float(values.mean()) / deviation,
        observations=values.size,
        skew=float(np.mean(centred**3)) / second**1.5,
        kurtosis=float(np.mean(centred**4)) / second**2,
    )


def probabilistic_sharpe(sample: Moments, benchmark_sharpe: float = 0.0) -> float | None:
    """Probability that the true Sharpe ratio is above `benchmark_sharpe` (per observation).

    It accounts for length, skew and fat tails.
    """
    error = sample.sharpe_error
    return None if math.isnan(error) else _normal_cdf((sample.sharpe - benchmark_sharpe) / error)


def expected_maximum_sharpe(trial_variance: float, trials: int) -> float:
    """Expected Sharpe ratio of the best of `trials` trials without skill; trials >= 2.

    False Strategy theorem (2014, eq. 1).
    """
    if trials < 2:
        raise ValueError(
            f"the maximum of {trials} trial(s) has no expectation; at least 2 are needed"
        )
    first = _normal_quantile(1.0 - 1.0 / trials)
    second = _normal_quantile(1.0 - 1.0 / (trials * math.e))
    return math.sqrt(trial_variance) * ((1.0 - EULER_GAMMA) * first + EULER_GAMMA * second)


def deflated_sharpe(
    sample: Moments, trial_sharpes: FloatArray, trials: int | None = None
) -> float | None:
    """PSR against the expected maximum of all trials.

    None with fewer than two trials or when their Sharpe ratios do not differ. trials: the number of
    trials; by default those with a Sharpe ratio. All count as independent, which is strict:
    correlated trials would justify a smaller number.
    """
    sharpes = np.asarray(trial_sharpes, dtype=np.float64)
    sharpes = sharpes[np.isfinite(sharpes)]
    if sharpes.size < 2:
        return None
    variance = float(np.var(sharpes, ddof=1))
    if variance <= 1e-24:
        return None
    return probabilistic_sharpe(sample, expected_maximum_sharpe(variance, trials or sharpes.size))


def minimum_track_record(
    sample: Moments, benchmark_sharpe: float = 0.0, confidence: float = 0.95
) -> float | None:
    """Observations needed before PSR reaches `confidence` (2012, eq. 11).

    None when the Sharpe ratio does not beat the benchmark.
    """
    error = sample.sharpe_error
    if math.isnan(error) or sample.sharpe <= benchmark_sharpe:
        return None
    z = _normal_quantile(confidence)
    return (
        1.0 + error**2 * (sample.observations - 1) * (z / (sample.sharpe - benchmark_sharpe)) ** 2
    )


@dataclass(frozen=True)
class CrossValidation:
    """Outcome of CSCV.

    `logits` has one a combination (below zero: the in-sample winner was below the median out of
    sample). `pbo` is their share.
    """

    pbo: float
    logits: FloatArray
    splits: int


def backtest_overfitting(matrix: FloatArray, splits: int) -> CrossValidation | None:
    """Probability of backtest overfitting by combinatorially symmetric cross-validation.

    matrix: [observations, trials] of returns, all trials over the same days. The rows are cut into
    `splits` equal blocks (the oldest remainder is dropped). Each half of the blocks is once the
    sample in which the best trial is chosen. A logit of exactly zero (the median of an odd number
    of trials) counts one half, so that pure noise gives 1/2 for any number of trials. None with
    fewer than two trials, or fewer than two rows a block. Raises DataError for a transposed or
    non-finite matrix.
    """
    values = np.asarray(matrix, dtype=np.float64)
    if values.ndim != 2:
        raise DataError(
            f"CSCV takes a matrix [observations, trials], found {values.ndim} dimension(s)"
        )
    if splits < 2 or splits % 2:
        raise DataError(
            f"CSCV needs an even number of splits, found {splits}: set robustness"
            " overfitting.splits to 10 or 16"
        )
    if not np.isfinite(values).all():
        raise DataError(
            "CSCV takes finite returns of trials over the same days: drop the days that a trial"
            " lacks"
        )
    rows, trials = values.shape
    if trials < 2 or rows < 2 * splits:
        return None
    # the classic silent mistake: transposed input gives a number, and it is wrong
    if trials > rows:
        raise DataError(
            f"CSCV takes [observations, trials], found {rows} rows by {trials} columns: transpose"
            " it, or give more days than trials"
        )
    length = rows // splits
    blocks = (values - values.mean(axis=0))[rows - length * splits :].reshape(
        splits, length, trials
    )
    sums, squares = blocks.sum(axis=1), (blocks**2).sum(axis=1)
    halves = _halves(splits)
    logits = np.concatenate(
        [
            _logits(halves[i : i + _CHUNK], sums, squares, values.mean(axis=0), length)
            for i in range(0, len(halves), _CHUNK)
        ]
    )
    pbo = float(np.mean((logits < 0.0) + 0.5 * (logits == 0.0)))
    return CrossValidation(pbo, logits, splits)


def _halves(splits: int) -> BoolArray:
    """[combinations, splits]: True where a block is in sample."""
    chosen = np.array(list(combinations(range(splits), splits // 2)))
    mask = np.zeros((len(chosen), splits), dtype=np.bool_)
    mask[np.arange(len(chosen))[:, None], chosen] = True
    return mask


def _logits(
    inside: BoolArray, sums: FloatArray, squares: FloatArray, means: FloatArray, length: int
) -> FloatArray:
    sample = _sharpes(inside, sums, squares, means, length)
    test = _sharpes(~inside, sums, squares, means, length)
    best = np.argmax(sample, axis=1)
    reached = test[np.arange(len(best)), best][:, None]
    # rank 1 is the worst; ties share their mean rank
    rank = (test < reached).sum(axis=1) + ((test == reached).sum(axis=1) + 1) / 2.0
    relative = rank / (sums.shape[1] + 1)
    return np.asarray(np.log(relative / (1.0 - relative)))


def _sharpes(
    chosen: BoolArray, sums: FloatArray, squares: FloatArray, means: FloatArray, length: int
) -> FloatArray:
    """[combinations, trials] Sharpe ratio over the chosen blocks; 0 without variance.

    It is computed from block sums of the centred returns.
    """
    weights = chosen.astype(np.float64)
    count = length * (sums.shape[0] // 2)
    mean = weights @ sums / count
    variance = (weights @ squares - count * mean**2) / (count - 1)
    level = mean + means
    moves = variance > 1e-24
    return np.asarray(np.where(moves, level / np.sqrt(np.where(moves, variance, 1.0)), 0.0))


def superior_ability(matrix: FloatArray, reps: int, seed: int) -> float | None:
    """Hansen's SPA: p-value (consistent) of "no trial beats doing nothing". matrix: [observations,
    trials] of returns.

    Every trial is first divided by its own long-run deviation, so that the largest t-statistic is
    tested and not the largest mean. Otherwise the most volatile trial decides, whatever it earned.
    arch 8.0.0 takes `studentize=True`, computes the variances, and compares plain means all the
    same. It takes LOSSES, hence the minus; the benchmark loses nothing. None when no trial varies.
    """
    from arch.bootstrap import SPA

    values = np.asarray(matrix, dtype=np.float64)
    values = values[:, values.std(axis=0) > 1e-12] if values.size else values
    if values.ndim != 2 or values.shape[0] < 10 or values.shape[1] == 0:
        return None
    block = math.isqrt(values.shape[0])
    studentized = values / long_run_deviations(values, block)
    test = SPA(
        np.zeros(values.shape[0]),
        -studentized,
        block_size=block,
        reps=reps,
        bootstrap="stationary",
        studentize=False,
        seed=seed,
    )
    test.compute()
    return float(test.pvalues["consistent"])


def long_run_deviations(matrix: FloatArray, block: int) -> FloatArray:
    """[trials] deviation of sqrt(rows) * mean of each column of `matrix` [rows, trials], with
    serial dependence.

    It is that of the stationary bootstrap with mean block length `block`, in closed form: Politis &
    Romano 1994, "The stationary bootstrap", lemma 1; Hansen 2005, eq. 6. A column whose dependence
    cancels its variance keeps its plain deviation.
    """
    rows = matrix.shape[0]
    centred = matrix - matrix.mean(axis=0)
    spectrum = np.fft.rfft(centred, 2 * rows, axis=0)  # padded, so that no lag wraps around
    covariances = np.fft.irfft(np.abs(spectrum) ** 2, 2 * rows, axis=0)[:rows] / rows
    lag, stay = np.arange(1, rows) / rows, 1.0 - 1.0 / block
    weights = (1.0 - lag) * stay ** np.arange(1, rows) + lag * stay ** np.arange(rows - 1, 0, -1)
    variances = covariances[0] + 2.0 * weights @ covariances[1:]
    deviations: FloatArray = np.sqrt(
        np.where(variances > 1e-6 * covariances[0], variances, covariances[0])
    )
    return deviations


def overfitting_row(
    strategy: str,
    returns: pl.DataFrame,
    trials: pl.DataFrame,
    trial_returns: pl.DataFrame,
    settings: OverfittingSettings,
) -> pl.DataFrame:
    """One row of schemas.OVERFITTING.

    returns: frame[timestamp, return], daily, of the chosen configuration. trials, trial_returns:
    rows of schemas.TRIALS and TRIAL_RETURNS; those of other strategies are left out. Null: no trial
    to compare with, no variance, or too few days. n_trials counts configurations, also those
    without trades. A configuration that was tried again with more days is the same one, and its
    latest returns are used. Sharpe ratios of trials are computed here from their daily returns,
    since the formulas need them per day (trials.sharpe is annual).
    """
    own = latest_trials(trials.filter(pl.col("strategy") == strategy))
    sample = moments(_as_array(returns.sort("timestamp"), "return"))
    matrix = returns_matrix(own["trial_id"].to_list(), trial_returns)
    cscv = (
        backtest_overfitting(matrix, settings.splits)
        if matrix.shape[1] <= matrix.shape[0]
        else None
    )
    row: dict[str, Any] = {
        "strategy": strategy,
        "n_trials": own.height,
        "psr": probabilistic_sharpe(sample) if sample else None,
        "dsr": (
            deflated_sharpe(
                sample, _daily_sharpes(own["trial_id"].to_list(), trial_returns), own.height
            )
            if sample
            else None
        ),
        "pbo": cscv.pbo if cscv else None,
        "splits": settings.splits,
        "spa_pvalue": superior_ability(matrix, settings.bootstrap_reps, settings.seed),
        "min_track_record": minimum_track_record(sample) if sample else None,
    }
    return schemas.OVERFITTING.conform(pl.DataFrame([row], schema=schemas.OVERFITTING.dtypes))


def latest_trials(trials: pl.DataFrame) -> pl.DataFrame:
    """One row a configuration (strategy and parameters): the latest evaluation, in the order of
    trial_id.
    """
    newest = trials.sort("evaluated_at", "trial_id").unique(
        ["strategy", "parameters"], keep="last", maintain_order=True
    )
    return newest.sort("trial_id")


def returns_matrix(trial_ids: list[str], trial_returns: pl.DataFrame) -> FloatArray:
    """[days, trials] of the days on which every trial has a return, in the order of `trial_ids`.

    A trial without returns is left out.
    """
    own = trial_returns.filter(pl.col("trial_id").is_in(trial_ids))
    present = set(own["trial_id"].unique().to_list())
    if not present:
        return np.empty((0, 0))
    wide = (
        own.pivot(on="trial_id", index="timestamp", values="return", aggregate_function="first")
        .drop_nulls()
        .sort("timestamp")
    )
    return np.ascontiguousarray(
        wide.select([name for name in trial_ids if name in present]).to_numpy().astype(np.float64)
    )


def _daily_sharpes(trial_ids: list[str], trial_returns: pl.DataFrame) -> FloatArray:
    """Sharpe ratio per day of every trial that has one."""
    own = trial_returns.filter(pl.col("trial_id").is_in(trial_ids)).sort("trial_id", "timestamp")
    found = [
        moments(_as_array(rows, "return"))
        for rows in own.partition_by("trial_id", maintain_order=True)
    ]
    return np.array([sample.sharpe for sample in found if sample is not None])


def _as_array(frame: pl.DataFrame, column: str) -> FloatArray:
    return frame[column].to_numpy().astype(np.float64)


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def _normal_quantile(p: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(p)
