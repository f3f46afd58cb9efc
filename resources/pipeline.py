"""The one resource that assets need: a `PipelineContext` over the settings, from which the lake,
source, registry and ledger come.

Belongs here: how Dagster hands out connections. Does not belong here: what is done with them.
"""

from collections.abc import Mapping

from harmony_pipeline.config import Settings
from harmony_pipeline.stages.context import PipelineContext


def build_resources(
    settings: Settings, overrides: Mapping[str, object] | None = None
) -> dict[str, object]:
    """Resources by the names that assets ask for; `overrides` replace any of them in tests."""
    return {"pipeline": PipelineContext(settings), **(overrides or {})}
