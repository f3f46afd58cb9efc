"""What a stage made, in the log: a line a partition that was made, and a line for all of them with
the seconds.
"""

from collections.abc import Sequence
from typing import Any

from harmony_pipeline.log import log, log_all
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import StageResult


def log_stage(
    pipeline: PipelineContext, asset: str, result: StageResult, keys: Sequence[str]
) -> None:
    """Log `result`, which an asset made for the partitions `keys`; for none where it has no
    partitions.
    """
    state = pipeline.settings.present_state_root
    parts = {key: result.part(key) for key in result.parts or result.partitions}
    made = [key for key, part in parts.items() if part.unchanged_since is None and not part.nothing]
    if len(keys) > 1:
        facts = ({"asset": asset, "partition": key, "rows": parts[key].rows} for key in made)
        log_all(state, "partition made", facts)
    partitions: dict[str, Any] = (
        {"partition": _span(keys), "partitions": len(keys), "made": len(made)} if keys else {}
    )
    log(state, "asset made", asset=asset, **partitions, rows=result.rows, outcome=result.sentence())


def _span(keys: Sequence[str]) -> str:
    return keys[0] if len(keys) == 1 else f"{keys[0]}..{keys[-1]}"
