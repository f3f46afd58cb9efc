"""Checks of the graph: blocking ones on bars, on look-ahead in features, labels, models and
predictions, and every query in `sql/checks`.

A query in `sql/checks/` returns the offending rows; none is a pass. Its first line names the asset:
`-- asset: bars, blocking`.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from assets.boundary import boundary
from assets.groups import Partitioning
from assets.metadata import table
from assets.partitions import Partitions, checked_periods
from harmony_pipeline.lake import sql
from harmony_pipeline.market.periods import Period
from harmony_pipeline.project_paths import SQL_FOLDER
from harmony_pipeline.stages import data_checks, look_ahead_checks, verdicts
from harmony_pipeline.stages.context import PipelineContext

Verification = Callable[[PipelineContext, Sequence[Period]], pl.DataFrame]
_LOOK_AHEAD: tuple[tuple[str, Verification, Partitioning], ...] = (
    ("features", look_ahead_checks.features_know_no_future, "trading"),
    ("news_scores", look_ahead_checks.news_scores_know_no_future, "trading"),
    ("labels", look_ahead_checks.labels_know_no_future, "trading"),
    ("model", look_ahead_checks.models_know_no_future, "retraining"),
    ("predictions", look_ahead_checks.predictions_know_no_future, "retraining"),
)
_HEADER = re.compile(r"--\s*asset:\s*(\w+)(,\s*blocking)?")


def build_checks(
    partitions: Partitions, pipeline: PipelineContext
) -> list[dg.AssetChecksDefinition]:
    """Every check of the graph."""
    trading = partitions["trading"]
    return [
        _period_check("bars", data_checks.bars_are_sound, trading, pipeline, blocking=True),
        _period_check("features", data_checks.features_fold, trading, pipeline),
        *(
            _period_check(asset, verify, partitions[kind], pipeline, kind=kind, blocking=True)
            for asset, verify, kind in _LOOK_AHEAD
        ),
        _period_check(
            "model",
            look_ahead_checks.scores_vanish_with_shifted_labels,
            partitions["retraining"],
            pipeline,
            kind="retraining",
        ),
        *(_sql_check(path, pipeline) for path in sorted((SQL_FOLDER / "checks").glob("*.sql"))),
    ]


def _period_check(
    asset: str,
    verify: Verification,
    partitions: dg.PartitionsDefinition | None,
    pipeline: PipelineContext,
    *,
    kind: Partitioning = "trading",
    blocking: bool = False,
) -> dg.AssetChecksDefinition:
    """A check of single periods of a kind; a blocking one leaves its verdict in the lake."""
    name = verify.__name__

    @dg.asset_check(
        asset=asset,
        name=name,
        blocking=blocking,
        partitions_def=partitions,
        description=inspect.getdoc(verify),
    )
    @boundary(name, pipeline)
    def check(
        context: dg.AssetCheckExecutionContext, pipeline: dg.ResourceParam[PipelineContext]
    ) -> dg.AssetCheckResult:
        periods = checked_periods(context, pipeline, kind)
        offending = verify(pipeline, periods)
        if blocking:
            verdicts.record(pipeline, asset, name, [period.key for period in periods], offending)
        return _result(offending)

    return check


def _sql_check(path: Path, pipeline: PipelineContext) -> dg.AssetChecksDefinition:
    text = path.read_text(encoding="utf-8")
    header = _HEADER.match(text)
    if header is None:
        raise ValueError(f"{path.name}: the first line must be like '-- asset: bars, blocking'")
    asset, name, blocking = header.group(1), path.stem, bool(header.group(2))
    about = text.splitlines()[1].removeprefix("-- ")

    @dg.asset_check(asset=asset, name=name, blocking=blocking, description=about)
    @boundary(name, pipeline)
    def check(pipeline: dg.ResourceParam[PipelineContext]) -> dg.AssetCheckResult:
        offending = sql.query(pipeline.lake, text)
        if blocking:
            verdicts.record(pipeline, asset, name, [verdicts.ALL], offending)
        return _result(offending)

    return check


def _result(offending: pl.DataFrame) -> dg.AssetCheckResult:
    shown: dict[str, Any] = {"offending rows": offending.height}
    if offending.height:
        shown["first rows"] = dg.MetadataValue.md(table(offending.head(20)))
    return dg.AssetCheckResult(passed=offending.is_empty(), metadata=shown)
