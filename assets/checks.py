"""Checks of the graph: blocking ones on bars, time laws on features, labels and predictions, and every query in `sql/checks`.

A query in `sql/checks/` returns the offending rows; none is a pass. Its first line names the asset: `-- asset: bars, blocking`.
"""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from assets.partitions import Partitions, trading_periods
from assets.show import table
from harmony_pipeline.lake import sql
from harmony_pipeline.layout import SQL_FOLDER
from harmony_pipeline.stages import verdicts, verification
from harmony_pipeline.stages.workspace import Workspace

_HEADER = re.compile(r"--\s*asset:\s*(\w+)(,\s*blocking)?")


def build_checks(partitions: Partitions) -> list[dg.AssetChecksDefinition]:
    """Every check of the graph."""
    return [*_period_checks(partitions), *(_sql_check(path) for path in sorted((SQL_FOLDER / "checks").glob("*.sql")))]


def _period_checks(partitions: Partitions) -> list[dg.AssetChecksDefinition]:
    @dg.asset_check(
        asset="bars",
        blocking=True,
        partitions_def=partitions.trading,
        description="Schema, order, uniqueness, prices; accounting closes; not too much in quarantine.",
    )
    def bars_are_sound(context: dg.AssetCheckExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
        periods = trading_periods(context, work)
        offending = verification.bars_are_sound(work, periods)
        verdicts.record(work, "bars", verdicts.BARS_CHECK, [period.key for period in periods], offending)
        return _result(offending)

    @dg.asset_check(asset="features", partitions_def=partitions.trading, description="In one go, in pieces with saved state, and bar by bar: the same bits.")
    def features_fold(context: dg.AssetCheckExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
        return _result(verification.features_fold(work, trading_periods(context, work)))

    @dg.asset_check(asset="features", partitions_def=partitions.trading, description="Changing every bar after a moment changes no feature before it.")
    def features_know_no_future(context: dg.AssetCheckExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
        return _result(verification.features_know_no_future(work, trading_periods(context, work)))

    @dg.asset_check(asset="labels", partitions_def=partitions.trading, description="Changing every bar after a moment changes no label known before it.")
    def labels_know_no_future(context: dg.AssetCheckExecutionContext, work: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
        return _result(verification.labels_know_no_future(work, trading_periods(context, work)))

    return [bars_are_sound, features_fold, features_know_no_future, labels_know_no_future]


def _sql_check(path: Path) -> dg.AssetChecksDefinition:
    text = path.read_text(encoding="utf-8")
    header = _HEADER.match(text)
    if header is None:
        raise ValueError(f"{path.name}: the first line must be like '-- asset: bars, blocking'")
    about = text.splitlines()[1].removeprefix("-- ")

    @dg.asset_check(asset=header.group(1), name=path.stem, blocking=bool(header.group(2)), description=about)
    def check(work: dg.ResourceParam[Workspace]) -> dg.AssetCheckResult:
        offending = sql.query(work.lake, text)
        if header.group(2):
            verdicts.record(work, header.group(1), path.stem, [verdicts.ALL], offending)
        return _result(offending)

    return check


def _result(offending: pl.DataFrame) -> dg.AssetCheckResult:
    shown: dict[str, Any] = {"offending rows": offending.height}
    if offending.height:
        shown["first rows"] = dg.MetadataValue.md(table(offending.head(20)))
    return dg.AssetCheckResult(passed=offending.is_empty(), metadata=shown)
