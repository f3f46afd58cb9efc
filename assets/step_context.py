"""What a step that runs in another process, or on another machine, is told by the tags of its run:
which settings it must find, whether to make again what is unchanged, and that its results are
waited for.
"""

from dataclasses import replace
from typing import Any

from assets.result_files import write_result
from harmony_pipeline.config import Settings
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.hashing import short_hash
from harmony_pipeline.stages.context import PipelineContext

SETTINGS_TAG, AGAIN_TAG, RESULTS_TAG = "harmony/settings", "harmony/again", "harmony/results"


def settings_hash(settings: Settings) -> str:
    """A hash of everything that may change what a step makes, or where."""
    return short_hash(settings.model_dump_json(exclude={"dagster", "alerts"}), 16)


def run_tags(pipeline: PipelineContext) -> dict[str, str]:
    """The tags of a run whose steps leave this process."""
    again = {AGAIN_TAG: "true"} if pipeline.again else {}
    return {SETTINGS_TAG: settings_hash(pipeline.settings), RESULTS_TAG: "true", **again}


def of_run(context: Any, pipeline: PipelineContext) -> PipelineContext:
    """The pipeline that a step of this run works with. Raises ConfigError where the settings here
    are not those of whoever asked for the run.
    """
    tags = context.run.tags
    wanted = tags.get(SETTINGS_TAG)
    if wanted is not None and wanted != settings_hash(pipeline.settings):
        raise ConfigError(
            f"the settings that this process read from {pipeline.settings.file} and its environment"
            " are not those of whoever asked for the run: give each worker the same settings file"
            " and the same HARMONY__ variables, and each market a dagster.queue of its own"
        )
    if tags.get(RESULTS_TAG):
        run_id = context.run.run_id

        def record(asset: str, result: Any) -> None:
            write_result(pipeline.settings, run_id, asset, result)

        pipeline = replace(pipeline, record=record)
    return replace(pipeline, again=True) if tags.get(AGAIN_TAG) else pipeline
