"""The scan of a day without Dagster, which would take ten times as long as the scan."""

from dataclasses import replace
from datetime import date

from harmony_pipeline.log import log_context
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.scanner import SCAN_TABLES, scan
from harmony_pipeline.stages.stage_log import log_stage
from harmony_pipeline.stages.unreported import note


def scan_alone(pipeline: PipelineContext, day: str) -> None:
    """Scan `day`, like 2024-06-28; Dagster is told by whoever opens its instance next."""
    with log_context(asset=SCAN_TABLES[0]):
        result = scan(pipeline, [date.fromisoformat(day)])
        made = result.part(day)
        for table in SCAN_TABLES:
            log_stage(pipeline, table, result, [day])
            if made.unchanged_since is None:
                pictures = {**made.pictures, **result.pictures}
                note(pipeline, table, day, replace(made, pictures=pictures))
