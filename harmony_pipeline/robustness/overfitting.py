"""Statistics of how far chance and the search itself explain a result.

Every Sharpe ratio here is per observation (a day), never annualised: the formulas hold for no other
unit. Deviations are ddof 1. Skewness and kurtosis are the plain sample moments (m3 / m2**1.5 and m4
/ m2**2). Kurtosis is Pearson's, 3 for a normal sample, as in schemas.TRIALS. What cannot be
measured is None.

Every threshold on a variance is relative to the size of the returns, so that no unit changes an
answer.

Sources: Bailey & Lopez de Prado 2012, "The Sharpe ratio efficient frontier" (PSR, minimum track
record length); 2014, "The deflated Sharpe ratio"; Bailey, Borwein, Lopez de Prado & Zhu 2014,
"Pseudo-mathematics and financial charlatanism" (minimum backtest length) and 2015, "The probability
of backtest overfitting" (CSCV); Hansen 2005, "A test for superior predictive ability" (SPA);
Romano & Wolf 2005, "Stepwise multiple testing as formalized data snooping" (StepM); Politis &
Romano 1994, "The stationary bootstrap".
"""

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline import schemas
from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.robustness.effective_trials import effective_trials, expected_maximum
from harmony_pipeline.robustness.resampled_rows import means_of_resamples, resampled_rows
from harmony_pipeline.robustness.settings import OverfittingSettings

MINIMUM_OBSERVATIONS = 3  # below this there is no deviation worth the name
_STEP_SIZE = (
    0.05  # of StepM: the chance that any of the trials it names does not beat doing nothing
)
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


def chance_sharpe(observations: int, trials: float) -> float:
    """Sharpe ratio (per observation) that the best of `trials` independent trials without skill is
    expected to show over so many observations; 0 for one trial.

    The Sharpe ratio of a trial without skill has variance 1 / (observations - 1), however wide or
    narrow the grid is from which the trials came.
    """
    return expected_maximum(trials) / math.sqrt(observations - 1)


def deflated_sharpe(sample: Moments, trials: float) -> float | None:
    """PSR against what the best of `trials` independent trials would show by luck (2014).

    trials: their effective number (effective_trials.py). With one trial it is the PSR against 0.
    More trials never raise it.
    """
    return probabilistic_sharpe(sample, chance_sharpe(sample.observations, trials))


def with_worst_loss(returns: FloatArray, worst_loss: float) -> FloatArray:
    """`returns` and one more day on which the worst loss to be expected came.

    Where rare losses are large (a stop a hundred times as far as the target), a short record shows
    none of them, and its Sharpe ratio, skew and kurtosis tell of no danger. After n days without
    it, a loss that comes once in n days is as likely missing as not. worst_loss: a fraction of
    equity, positive.
    """
    return np.append(returns, -abs(worst_loss))


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


def backtest_overfitting(
    matrix: FloatArray, splits: int, *, wide: bool = False
) -> CrossValidation | None:
    """Probability of backtest overfitting by combinatorially symmetric cross-validation.

    matrix: [observations, trials] of returns, all trials over the same days. The rows are cut into
    `splits` equal blocks (the oldest remainder is dropped). Each half of the blocks is once the
    sample in which the best trial is chosen. A trial that does not move in a half has the Sharpe
    ratio 0 there. A logit of exactly zero (the median of an odd number of trials) counts one half,
    so that pure noise gives 1/2 for any number of trials, and a single trial too: nothing was
    chosen. None without a trial, or with fewer than two rows a block. Raises DataError for a
    transposed (unless `wide`) or non-finite matrix.
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
    if trials < 1 or rows < 2 * splits:
        return None
    # the classic silent mistake: transposed input gives a number, and it is wrong
    if trials > rows and not wide:
        raise DataError(
            f"CSCV takes [observations, trials], found {rows} rows by {trials} columns: transpose"
            " it, or give more days than trials"
        )
    length = rows // splits
    kept = values[rows - length * splits :].reshape(splits, length, trials)
    blocks = kept - values.mean(axis=0)
    sums = _BlockSums(
        blocks.sum(axis=1), (blocks**2).sum(axis=1), kept.min(axis=1), kept.max(axis=1),
        values.mean(axis=0), length,
    )  # fmt: skip
    halves = _halves(splits)
    logits = np.concatenate(
        [_logits(halves[i : i + _CHUNK], sums) for i in range(0, len(halves), _CHUNK)]
    )
    pbo = float(np.mean((logits < 0.0) + 0.5 * (logits == 0.0)))
    return CrossValidation(pbo, logits, splits)


def _halves(splits: int) -> BoolArray:
    """[combinations, splits]: True where a block is in sample."""
    chosen = np.array(list(combinations(range(splits), splits // 2)))
    mask = np.zeros((len(chosen), splits), dtype=np.bool_)
    mask[np.arange(len(chosen))[:, None], chosen] = True
    return mask


@dataclass(frozen=True)
class _BlockSums:
    """By block and trial: sums and squares of the centred returns, extremes of the raw ones; the
    mean of each trial and the rows of a block.
    """

    sums: FloatArray
    squares: FloatArray
    lowest: FloatArray
    highest: FloatArray
    means: FloatArray
    length: int


def _logits(inside: BoolArray, blocks: _BlockSums) -> FloatArray:
    sample, test = _sharpes(inside, blocks), _sharpes(~inside, blocks)
    best = np.argmax(sample, axis=1)
    reached = test[np.arange(len(best)), best][:, None]
    # rank 1 is the worst; ties share their mean rank
    rank = (test < reached).sum(axis=1) + ((test == reached).sum(axis=1) + 1) / 2.0
    relative = rank / (blocks.means.size + 1)
    return np.asarray(np.log(relative / (1.0 - relative)))


def _sharpes(chosen: BoolArray, blocks: _BlockSums) -> FloatArray:
    """[combinations, trials] Sharpe ratio over the chosen blocks; 0 without variance.

    It is computed from block sums of the centred returns. Those leave rounding dust where a trial
    stands still, so whether it moves is told by its extremes.
    """
    weights = chosen.astype(np.float64)
    count = blocks.length * (blocks.sums.shape[0] // 2)
    mean = weights @ blocks.sums / count
    squares = weights @ blocks.squares
    variance = (squares - count * mean**2) / (count - 1)
    level = mean + blocks.means
    low = np.full(mean.shape, np.inf)
    high = np.full(mean.shape, -np.inf)
    for block in range(chosen.shape[1]):
        rows = chosen[:, block]
        low[rows] = np.minimum(low[rows], blocks.lowest[block])
        high[rows] = np.maximum(high[rows], blocks.highest[block])
    moves = (high > low) & (variance > 1e-14 * squares / count)
    return np.asarray(np.where(moves, level / np.sqrt(np.where(moves, variance, 1.0)), 0.0))


def superior_ability(matrix: FloatArray, reps: int, seed: int) -> float | None:
    """Hansen's SPA: p-value (consistent) of "no trial beats doing nothing". matrix: [observations,
    trials] of returns.

    Every trial is first divided by its own long-run deviation, so that the largest t-statistic is
    tested and not the largest mean. Otherwise the most volatile trial decides, whatever it earned.
    None when no trial varies.
    """
    test = _superiority(matrix, reps, seed)
    return None if test is None else test.pvalue(matrix.shape[1])


def superior_trials(
    matrix: FloatArray, reps: int, seed: int, size: float = _STEP_SIZE
) -> list[int] | None:
    """StepM: the trials (columns of `matrix`, ascending) that beat doing nothing, with a chance of
    at most `size` that any of them does not (Romano & Wolf 2005, "Stepwise multiple testing as
    formalized data snooping").

    Step by step the trials above SPA's critical value are taken out, and the rest is tested against
    its own, lower one. None when no trial varies.
    """
    test = _superiority(matrix, reps, seed)
    return None if test is None else test.superior(size)


@dataclass(frozen=True)
class _Superiority:
    """One bootstrap of the trials that vary, for the tests of all and of some of them.

    `varying` are their numbers, `means` those of their returns over the long-run deviation, and
    `simulated` [draws, trials] the means of resampled returns, less `means` where a trial is not
    far below zero (Hansen 2005, the consistent one of his three).
    """

    varying: IntArray
    means: FloatArray
    simulated: FloatArray

    def pvalue(self, trials: int) -> float | None:
        """SPA's of the first so many trials; None when none of them varies."""
        chosen = self.varying < trials
        if not chosen.any():
            return None
        best = self.simulated[:, chosen].max(axis=1)
        return float((best > self.means[chosen].max()).mean())

    def superior(self, size: float) -> list[int]:
        """StepM's trials, ascending."""
        left = np.ones(self.varying.size, np.bool_)
        while left.any():
            bound = np.percentile(self.simulated[:, left].max(axis=1), 100.0 * (1.0 - size))
            better = left & (self.means > bound)
            if not better.any():
                break
            left = left & ~better
        return [int(trial) for trial in self.varying[~left]]


def _superiority(matrix: FloatArray, reps: int, seed: int) -> _Superiority | None:
    """The bootstrap of these trials; None when none varies."""
    returns, varying = _studentized(matrix)
    if returns is None:
        return None
    days = returns.shape[0]
    block = math.isqrt(days)
    resampled = means_of_resamples(returns, resampled_rows(days, block, reps, seed))
    means = returns.mean(axis=0)
    error = long_run_deviations(returns, block) / math.sqrt(days)
    is_close = means >= -error * math.sqrt(2.0 * math.log(math.log(days)))
    return _Superiority(varying, means, resampled - np.where(is_close, means, 0.0))


def _studentized(matrix: FloatArray) -> tuple[FloatArray | None, IntArray]:
    """The trials that vary, each over its long-run deviation, and their numbers; None with fewer
    than ten observations or no such trial.
    """
    values = np.asarray(matrix, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] < 10 or values.shape[1] == 0:
        return None, np.zeros(0, np.int64)
    varying = np.flatnonzero(values.std(axis=0) > 1e-12 * np.abs(values).max(axis=0))
    if not varying.size:
        return None, varying
    values = values[:, varying]
    return values / long_run_deviations(values, math.isqrt(values.shape[0])), varying


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
    worst_loss: float | None = None,
) -> pl.DataFrame:
    """One row of schemas.OVERFITTING.

    returns: frame[timestamp, return], daily, of the chosen configuration. trials, trial_returns:
    rows of schemas.TRIALS and TRIAL_RETURNS of every strategy: whoever chooses among strategies
    tries them all. Null: no variance or too few days. n_trials counts configurations, also those
    without trades. A configuration that was tried again with more days is the same one, and its
    latest returns are used. PBO and SPA compare the trials that have a return on every day of the
    chosen one. worst_loss: the largest loss of equity that a day could have brought, a fraction;
    the track record must be long enough with that day in it. Sharpe ratios are computed here from
    daily returns, since the formulas need them per day (trials.sharpe is annual).
    """
    every = latest_trials(trials)
    ids = every["trial_id"].to_list()
    daily = returns.drop_nulls("return").sort("timestamp")
    values = _as_array(daily, "return")
    sample = moments(values)
    matrix = returns_matrix(ids, trial_returns, daily["timestamp"])
    cscv = backtest_overfitting(matrix, settings.splits, wide=True) if matrix.size else None
    effective = effective_trials(ids, trial_returns)
    lost = max(0.0, worst_loss or 0.0, -float(values.min())) if values.size else 0.0
    pessimistic = moments(with_worst_loss(values, lost)) if sample else None
    # the chosen one stands last, whether or not it is among the trials
    every_one = np.column_stack([matrix, values]) if matrix.size else values[:, None]
    test = _superiority(every_one, settings.bootstrap_reps, settings.seed)
    superior = test.superior(_STEP_SIZE) if test else None
    row: dict[str, Any] = {
        "strategy": strategy,
        "n_trials": every.height,
        "effective_trials": effective,
        "observations": values.size,
        "psr": probabilistic_sharpe(sample) if sample else None,
        "dsr": deflated_sharpe(sample, effective) if sample else None,
        "pbo": cscv.pbo if cscv else None,
        "splits": settings.splits,
        "spa_pvalue": test.pvalue(every_one.shape[1] - 1) if test else None,
        "superior_trials": (
            None if superior is None else sum(one < every_one.shape[1] - 1 for one in superior)
        ),
        "is_superior": None if superior is None else every_one.shape[1] - 1 in superior,
        "min_track_record": minimum_track_record(pessimistic) if pessimistic else None,
        "worst_loss": lost,
    }
    return schemas.OVERFITTING.conform(pl.DataFrame([row], schema=schemas.OVERFITTING.dtypes))


def latest_trials(trials: pl.DataFrame) -> pl.DataFrame:
    """One row a configuration (strategy, parameters and the settings behind them): the latest
    evaluation, in the order of trial_id.

    Rows of an older lake have no configuration; each strategy and parameters of theirs is one.
    """
    newest = trials.sort("evaluated_at", "trial_id").unique(
        ["strategy", "parameters", "configuration"], keep="last", maintain_order=True
    )
    return newest.sort("trial_id")


def returns_matrix(
    trial_ids: list[str], trial_returns: pl.DataFrame, days: pl.Series
) -> FloatArray:
    """[days, trials] of the trials that have a return on each of `days`, in the order of
    `trial_ids`.
    """
    wanted = days.unique().sort().alias("timestamp").to_frame()
    own = trial_returns.filter(pl.col("trial_id").is_in(trial_ids)).join(
        wanted, on="timestamp", how="semi"
    )
    whole = own.group_by("trial_id").len().filter(pl.col("len") == wanted.height)["trial_id"]
    present = set(whole.to_list())
    if not present:
        return np.empty((0, 0))
    wide = (
        own.filter(pl.col("trial_id").is_in(present))
        .pivot(on="trial_id", index="timestamp", values="return", aggregate_function="first")
        .sort("timestamp")
    )
    return np.ascontiguousarray(
        wide.select([name for name in trial_ids if name in present]).to_numpy().astype(np.float64)
    )


def _as_array(frame: pl.DataFrame, column: str) -> FloatArray:
    return frame[column].to_numpy().astype(np.float64)


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def _normal_quantile(p: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(p)
