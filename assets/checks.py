"""Checks of the graph: blocking ones on bars, on look-ahead in features, signals, labels, models
and predictions, and every query in `sql/checks`.

A query in `sql/checks/` returns the offending rows; none is a pass. Its first line names the asset:
`-- asset: bars, blocking`.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import polars as pl

from assets.boundary import boundary
from assets.groups import Partitioning
from assets.metadata import table
from assets.partitions import Partitions, checked_periods, period_of
from harmony_pipeline.errors import DataError
from harmony_pipeline.lake import sql
from harmony_pipeline.market.periods import Period
from harmony_pipeline.project_paths import SQL_FOLDER
from harmony_pipeline.stages import data_checks, look_ahead_checks, signal_checks, verdicts
from harmony_pipeline.stages.context import PipelineContext

Verification = Callable[[PipelineContext, Sequence[Period]], pl.DataFrame]


@dataclass(frozen=True)
class PeriodCheck:
    """A check of single periods of an asset; what depends on one that fails a `blocking` check is
    not made.
    """

    asset: str
    verify: Verification
    partitions: Partitioning
    blocking: bool

    @property
    def name(self) -> str:
        """As the UI and the table verdicts name it."""
        return self.verify.__name__


PERIOD_CHECKS = (
    PeriodCheck("bars", data_checks.bars_are_sound, "trading", blocking=True),
    PeriodCheck("features", data_checks.features_fold, "trading", blocking=False),
    PeriodCheck("features", look_ahead_checks.features_know_no_future, "trading", blocking=True),
    PeriodCheck(
        "news_scores", look_ahead_checks.news_scores_know_no_future, "trading", blocking=True
    ),
    PeriodCheck("signals", signal_checks.signals_know_no_future, "trading", blocking=True),
    PeriodCheck("signals", signal_checks.signals_rest_on_their_rows, "trading", blocking=False),
    PeriodCheck("labels", look_ahead_checks.labels_know_no_future, "trading", blocking=True),
    PeriodCheck("model", look_ahead_checks.models_know_no_future, "retraining", blocking=True),
    PeriodCheck(
        "predictions", look_ahead_checks.predictions_know_no_future, "retraining", blocking=True
    ),
    PeriodCheck(
        "model", look_ahead_checks.scores_vanish_with_shifted_labels, "retraining", blocking=False
    ),
)
_HEADER = re.compile(r"--\s*asset:\s*(\w+)(,\s*blocking)?")


def build_checks(
    partitions: Partitions, pipeline: PipelineContext
) -> list[dg.AssetChecksDefinition]:
    """Every check of the graph."""
    return [
        *(_period_check(check, partitions[check.partitions], pipeline) for check in PERIOD_CHECKS),
        *(_sql_check(check, pipeline) for check in sql_checks()),
    ]


def _period_check(
    checked: PeriodCheck, partitions: dg.PartitionsDefinition | None, pipeline: PipelineContext
) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=checked.asset,
        name=checked.name,
        blocking=checked.blocking,
        partitions_def=partitions,
        description=inspect.getdoc(checked.verify),
    )
    @boundary(checked.name, pipeline)
    def check(
        context: dg.AssetCheckExecutionContext, pipeline: dg.ResourceParam[PipelineContext]
    ) -> dg.AssetCheckResult:
        periods = checked_periods(context, pipeline, checked.partitions)
        return result_of(evaluate(pipeline, checked, periods))

    return check


def evaluate(
    pipeline: PipelineContext, check: PeriodCheck, periods: Sequence[Period]
) -> pl.DataFrame:
    """The offending rows; a blocking check leaves its verdict in the lake."""
    offending = check.verify(pipeline, periods)
    if check.blocking:
        keys = [period.key for period in periods]
        verdicts.record(pipeline, check.asset, check.name, keys, offending)
    return offending


@dataclass(frozen=True)
class SqlCheck:
    """A query of `sql/checks`."""

    asset: str
    name: str
    blocking: bool
    about: str
    text: str


def sql_checks() -> list[SqlCheck]:
    """Every query of `sql/checks`, by name; raises ValueError for one without its first line."""
    found = []
    for path in sorted((SQL_FOLDER / "checks").glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        header = _HEADER.match(text)
        if header is None:
            raise ValueError(f"{path.name}: the first line must be like '-- asset: bars, blocking'")
        about = text.splitlines()[1].removeprefix("-- ")
        found.append(SqlCheck(header.group(1), path.stem, bool(header.group(2)), about, text))
    return found


def _sql_check(checked: SqlCheck, pipeline: PipelineContext) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=checked.asset,
        name=checked.name,
        blocking=checked.blocking,
        description=checked.about,
    )
    @boundary(checked.name, pipeline)
    def check(pipeline: dg.ResourceParam[PipelineContext]) -> dg.AssetCheckResult:
        return result_of(evaluate_sql(pipeline, checked))

    return check


def evaluate_sql(pipeline: PipelineContext, check: SqlCheck) -> pl.DataFrame:
    """The offending rows; a blocking check leaves its verdict in the lake."""
    offending = sql.query(pipeline.lake, check.text)
    if check.blocking:
        verdicts.record(pipeline, check.asset, check.name, [verdicts.ALL], offending)
    return offending


def evaluate_all(pipeline: PipelineContext, assets: Sequence[str], keys: Sequence[str]) -> None:
    """Every check of these assets, without Dagster; keys: of the partitions that were made. Raises
    DataError when a blocking one finds something.
    """
    for check in PERIOD_CHECKS:
        if check.asset in assets:
            period = period_of(pipeline, check.partitions)
            _refuse(check, evaluate(pipeline, check, [period(key) for key in keys]))
    for query in sql_checks():
        if query.asset in assets:
            _refuse(query, evaluate_sql(pipeline, query))


def _refuse(check: PeriodCheck | SqlCheck, offending: pl.DataFrame) -> None:
    if check.blocking and offending.height:
        raise DataError(
            f"blocking check {check.name} of {check.asset} failed; first of {offending.height}"
            f" findings: {offending.row(0, named=True)}"
        )


def result_of(offending: pl.DataFrame) -> dg.AssetCheckResult:
    """What Dagster keeps of a check that found these rows."""
    shown: dict[str, Any] = {"offending rows": offending.height}
    if offending.height:
        shown["first rows"] = dg.MetadataValue.md(table(offending.head(20)))
    return dg.AssetCheckResult(passed=offending.is_empty(), metadata=shown)
