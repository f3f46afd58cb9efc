"""What a person decides about the model that trades: promote one in spite of the gate, or go back
to the one before.

A decision is a row of `promotions` with the rule `by_hand` and the person's reason, and is written
before the registry's pointer moves, as the gate does it. It raises no limit of risk. The gate
leaves it alone as long as its own evidence stays what it was; the next decision on new evidence
counts again.
"""

from datetime import UTC, datetime

import polars as pl

from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.models.demotion import demoted
from harmony_pipeline.models.gate import BY_HAND
from harmony_pipeline.schemas import PROMOTIONS
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.market import ALL

_LEAST_REASON = 10  # letters


def promote_by_hand(pipeline: PipelineContext, model_id: str, reason: str) -> str:
    """Let a model trade from the next session on; returns a sentence.

    Raises NotReady for a model that is not in the registry, or that was demoted since its sessions
    left their backtests; ConfigError for a reason that says nothing.
    """
    pipeline.registry.load(model_id)
    if model_id in demoted(pipeline.lake.read("promotions")):
        raise NotReady(
            f"model {model_id} was demoted, since its sessions differed from their backtests: train"
            " a newer one with: harmony backfill retrain"
        )
    before = pipeline.registry.promoted()
    if before == model_id:
        return f"model {model_id} trades already"
    decided_at = _write(pipeline, model_id, before, reason)
    pipeline.registry.promote(model_id, decided_at)
    return f"model {model_id} trades from the next session on, instead of {before or 'nothing'}"


def roll_back(pipeline: PipelineContext, reason: str) -> str:
    """Let the model trade again that traded before the present one; returns a sentence.

    Raises NotReady when no other was promoted before, or each of them was demoted.
    """
    gone = demoted(pipeline.lake.read("promotions"))
    present = pipeline.registry.promoted()
    earlier = [
        one.model_id
        for one in pipeline.registry.history()
        if one.model_id not in {"", present, *gone}
    ]
    if not earlier:
        raise NotReady(
            "no other model was promoted before: promote one with: harmony models promote MODEL"
            " --force-reason REASON"
        )
    return promote_by_hand(pipeline, earlier[-1], reason)


def _write(pipeline: PipelineContext, model_id: str, previous: str | None, reason: str) -> datetime:
    if len(reason.strip()) < _LEAST_REASON:
        raise ConfigError(
            f"the reason '{reason}' says too little: it is kept with the decision, so write what"
            " whoever asks later should know"
        )
    decided_at = datetime.now(UTC)
    row = {
        "model_id": model_id,
        "decided_at": decided_at,
        "promoted": True,
        "rule": BY_HAND,
        "threshold": 0.0,
        "passed": True,
        "previous_model_id": previous,
        "strategy": pipeline.settings.session.strategy,
        "reason": reason.strip(),
    }
    rows = PROMOTIONS.conform(pl.DataFrame([row], schema=PROMOTIONS.dtypes))
    manifest = pipeline.lake.manifest("promotions", ALL) or {}
    pipeline.lake.update(
        "promotions",
        ALL,
        lambda kept: pl.concat([kept, rows]),
        dict(manifest.get("made_from", {})),
    )
    return decided_at
