"""Whether a partition must be made again: it need not while inputs, settings and code are the same.

Inputs count by content hash, so a partition that was rewritten with equal rows changes nothing.
`PipelineContext.made_from` names inputs and settings; the code is the version of this library in
the manifest and what `stages/code_identity.py` adds.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from harmony_pipeline.lake.lake import code_version
from harmony_pipeline.stages.context import PipelineContext


def unchanged_since(
    pipeline: PipelineContext, tables: Sequence[str], key: str, made_from: Mapping[str, str]
) -> datetime | None:
    """When these tables of a partition were made by this code from just these inputs.

    None when one of them is absent or was made otherwise, and under `--again`.
    """
    if pipeline.again:
        return None
    manifests = [pipeline.lake.manifest(table, key) for table in tables]
    made = [
        manifest for manifest in manifests if manifest is not None and _is_same(manifest, made_from)
    ]
    if len(made) < len(tables):
        return None
    return max(datetime.fromisoformat(manifest["written_at"]) for manifest in made)


def _is_same(manifest: Mapping[str, object], made_from: Mapping[str, str]) -> bool:
    return (
        manifest.get("made_from") == dict(made_from)
        and manifest.get("code_version") == code_version()
    )
