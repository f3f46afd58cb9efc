"""Parameter sensitivity: every tried configuration is counted, and a good one should have good
neighbours.

A trial is identified by its strategy, parameters and configuration (a hash of every other setting
that shapes its returns), not by its time or by how many bars there were. A repeated trial has the
same id and keeps its latest returns, and a trial that a later grid leaves out is kept.

>>> combinations({"fast": (5, 10), "slow": (40,)})
[{'fast': 5, 'slow': 40}, {'fast': 10, 'slow': 40}]
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any

import polars as pl

from harmony_pipeline import schemas
from harmony_pipeline.hashing import short_hash
from harmony_pipeline.robustness.overfitting import latest_trials, moments

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One configuration and its daily returns: frame[timestamp (midnight UTC of the session),
    return].
    """

    strategy: str
    parameters: Parameters
    returns: pl.DataFrame
    evaluated_at: datetime


@dataclass(frozen=True)
class TrialRows:
    """Rows of schemas.TRIALS and schemas.TRIAL_RETURNS."""

    trials: pl.DataFrame
    returns: pl.DataFrame


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[Parameters]:
    """Every combination of the grid, the last parameter changing fastest. An empty grid has one,
    the empty one.
    """
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def trial_id(strategy: str, parameters: Mapping[str, Any], configuration: str) -> str:
    """The id of a trial, independent of place, time and order of its parameters."""
    text = json.dumps(
        [strategy, parameters, configuration], sort_keys=True, separators=(",", ":"), default=str
    )
    return short_hash(text, 10)


def distinct_parameters(
    strategy: str, base: Mapping[str, Any], grid: Mapping[str, Sequence[Any]]
) -> list[Parameters]:
    """`base` overridden by every combination of the grid, each distinct configuration once, in the
    order of the grid.
    """
    found: dict[str, Parameters] = {}
    for chosen in combinations(grid):
        parameters = {**base, **chosen}
        found.setdefault(trial_id(strategy, parameters, ""), parameters)
    return list(found.values())


def trial_rows(trials: Iterable[Trial], configuration: str, sessions_per_year: int) -> TrialRows:
    """Trials as rows. configuration: hash of all settings behind their returns, but for their
    strategies and parameters.

    Sharpe (annualised, as in schemas.BACKTESTS), skew and kurtosis (Pearson's, 3 for normal) are of
    the daily returns, null when they cannot be measured. Of a repeated configuration the first is
    kept.
    """
    rows: list[dict[str, Any]] = []
    returns: list[pl.DataFrame] = []
    seen: set[str] = set()
    for trial in trials:
        key = trial_id(trial.strategy, trial.parameters, configuration)
        if key in seen:
            continue
        seen.add(key)
        daily = trial.returns.select("timestamp", "return").drop_nulls()
        rows.append(
            {
                "trial_id": key,
                "strategy": trial.strategy,
                "parameters": json.dumps(trial.parameters, sort_keys=True, default=str),
                "evaluated_at": trial.evaluated_at,
                "configuration": configuration,
                **_statistics(daily, sessions_per_year),
            }
        )
        returns.append(daily.with_columns(trial_id=pl.lit(key)))
    table = pl.DataFrame(rows, schema=schemas.TRIALS.dtypes)
    series = (
        pl.concat([schemas.TRIAL_RETURNS.conform(frame) for frame in returns])
        if returns
        else schemas.TRIAL_RETURNS.empty()
    )
    return TrialRows(schemas.TRIALS.conform(table), schemas.TRIAL_RETURNS.conform(series))


def merge_trials(before: TrialRows, after: TrialRows, sessions_per_year: int) -> TrialRows:
    """Both sets of trials, each once. Of a trial in both the rows of `after` are kept; those of
    `before` where its returns are the same, so that a repetition changes nothing.

    The statistics of every row are computed again from its returns. That corrects a lake with
    Sharpe ratios in another unit.
    """
    changed = _changed_trials(before, after)
    kept = ~pl.col("trial_id").is_in(changed)
    known = before.trials["trial_id"].to_list()
    fresh = pl.col("trial_id").is_in(changed) | ~pl.col("trial_id").is_in(known)
    trials = pl.concat([before.trials.filter(kept), after.trials.filter(fresh)])
    returns = schemas.TRIAL_RETURNS.conform(
        pl.concat([before.returns.filter(kept), after.returns.filter(fresh)])
    )
    daily = {
        str(key[0]): rows
        for key, rows in returns.partition_by("trial_id", as_dict=True, maintain_order=True).items()
    }
    measured = [
        _statistics(daily.get(key, returns.clear()), sessions_per_year)
        for key in trials["trial_id"].to_list()
    ]
    statistics = pl.DataFrame(
        measured, schema={name: schemas.TRIALS.dtypes[name] for name in _STATISTICS}
    )
    return TrialRows(schemas.TRIALS.conform(trials.with_columns(statistics.get_columns())), returns)


def _changed_trials(before: TrialRows, after: TrialRows) -> list[str]:
    """Trials of both with other returns than before."""
    both = before.trials.select("trial_id").join(
        after.trials.select("trial_id"), on="trial_id", how="semi"
    )
    old, new = (
        side.returns.join(both, on="trial_id", how="semi").select("trial_id", "timestamp", "return")
        for side in (before, after)
    )
    differing = [
        one.join(other, on=["trial_id", "timestamp", "return"], how="anti")["trial_id"]
        for one, other in ((old, new), (new, old))
    ]
    return pl.concat(differing).unique().sort().to_list()


_STATISTICS = ("sharpe", "observations", "skew", "kurtosis")


def _statistics(daily: pl.DataFrame, sessions_per_year: int) -> dict[str, float | int | None]:
    sample = moments(daily["return"].to_numpy())
    if sample is None:
        return {**dict.fromkeys(_STATISTICS), "observations": daily.height}
    annual = sample.sharpe * math.sqrt(sessions_per_year)
    return dict(zip(_STATISTICS, (annual, daily.height, sample.skew, sample.kurtosis), strict=True))


@dataclass(frozen=True)
class Stability:
    """`table`: a row a configuration: the grid's parameters, trial_id, sharpe, neighbours,
    neighbour_sharpe, drop.

    sharpe is annualised, neighbour_sharpe is the neighbours' mean. A neighbour differs in one
    parameter by one step of the values tried. A large `drop` = sharpe - neighbour_sharpe means an
    isolated peak.
    """

    table: pl.DataFrame
    parameters: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """The best configuration, its neighbours' mean, and the share of configurations with a
        positive Sharpe.
        """
        known = self.table.drop_nulls("sharpe").sort(
            ["sharpe", "trial_id"], descending=[True, False]
        )
        if known.is_empty():
            return {
                "trials": self.table.height,
                "best_sharpe": None,
                "best_neighbour_sharpe": None,
                "positive_fraction": None,
                "best_parameters": None,
            }
        best = known.row(0, named=True)
        return {
            "trials": self.table.height,
            "best_sharpe": best["sharpe"],
            "best_neighbour_sharpe": best["neighbour_sharpe"],
            "positive_fraction": known.filter(pl.col("sharpe") > 0.0).height / known.height,
            "best_parameters": json.dumps({name: best[name] for name in self.parameters}),
        }


def stability(trials: pl.DataFrame) -> Stability:
    """Each configuration against its neighbours on the grid; `trials` are rows of schemas.TRIALS of
    one strategy.

    Parameters that never vary are left out. So are parameters with lists or tables, which have no
    order. Trials of other settings are not its neighbours: the caller leaves them out.
    """
    trials = latest_trials(trials)
    parsed: list[Parameters] = [json.loads(text) for text in trials["parameters"].to_list()]
    names = tuple(
        name
        for name in sorted({key for one in parsed for key in one})
        if _varies([one.get(name) for one in parsed])
    )
    places = {
        name: {value: i for i, value in enumerate(_sort_values([one.get(name) for one in parsed]))}
        for name in names
    }
    spots = [tuple(places[name][one.get(name)] for name in names) for one in parsed]
    sharpes: list[float | None] = trials["sharpe"].to_list()
    rows = []
    for i, spot in enumerate(spots):
        near = [
            sharpes[j]
            for j, other in enumerate(spots)
            if sum(abs(a - b) for a, b in zip(spot, other, strict=True)) == 1
        ]
        known = [value for value in near if value is not None]
        mean = sum(known) / len(known) if known else None
        own = sharpes[i]
        rows.append(
            {
                **{name: parsed[i].get(name) for name in names},
                "trial_id": trials["trial_id"][i],
                "sharpe": own,
                "neighbours": len(known),
                "neighbour_sharpe": mean,
                "drop": own - mean if own is not None and mean is not None else None,
            }
        )
    types = {
        "trial_id": pl.String(),
        "sharpe": pl.Float64(),
        "neighbours": pl.Int64(),
        "neighbour_sharpe": pl.Float64(),
        "drop": pl.Float64(),
    }
    table = (
        pl.DataFrame(rows, schema_overrides=types, infer_schema_length=None, strict=False)
        if rows
        else pl.DataFrame(schema=types)
    )
    return Stability(table.sort(*names, "trial_id"), names)


def _varies(values: list[Any]) -> bool:
    return (
        all(value is None or isinstance(value, str | int | float) for value in values)
        and len(set(values)) > 1
    )


def _sort_values(values: list[Any]) -> list[Any]:
    """Distinct values in their natural order, a missing one first, numbers before text."""
    return sorted(
        set(values),
        key=lambda value: (
            value is not None,
            isinstance(value, str),
            value if value is not None else 0,
        ),
    )
