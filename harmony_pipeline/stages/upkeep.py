"""Upkeep of the lake: leftovers removed, history pruned as the settings say, files in bad shape
written anew, and a list of what there is.
"""

from datetime import UTC, datetime, timedelta

import polars as pl

from harmony_pipeline.lake import upkeep
from harmony_pipeline.reports import sketches
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import StageResult


def lake_upkeep(pipeline: PipelineContext, now: datetime | None = None) -> StageResult:
    """Files of healthy size, no leftovers, history as long as the settings say; no table changes.
    Lists files, sizes and row groups by table.
    """
    moment = now or datetime.now(UTC)
    keep = pipeline.settings.lake.keep_history_days
    leftovers = upkeep.remove_leftovers(pipeline.lake, moment)
    pruned = (
        upkeep.prune_history(pipeline.lake, moment - timedelta(days=keep))
        if keep is not None
        else []
    )
    rewritten = upkeep.rewrite_unhealthy(pipeline.lake)
    listed = upkeep.inventory(pipeline.lake)
    facts: dict[str, float | int | str | bool | None] = {
        "files": int(listed["partitions"].sum()),
        "megabytes": round(float(listed["megabytes"].sum()), 1),
        "row groups": int(listed["row_groups"].sum()),
        "earlier versions": int(listed["versions"].sum()),
        "temporaries removed": len(leftovers),
        "versions removed": len(pruned),
        "files rewritten": len(rewritten),
    }
    notes = [f"rewritten: {name}" for name in rewritten] + [
        f"removed: {name}" for name in (*leftovers, *pruned)
    ]
    rounded = listed.with_columns(pl.col(pl.Float64).round(2))
    rows = {str(name): int(count) for name, count in listed.select("table", "rows").iter_rows()}
    pictures = {"megabytes by table": sketches.bars(listed["megabytes"].to_list())}
    return StageResult(rows=rows, facts=facts, preview=rounded, pictures=pictures, notes=notes)
