"""What the paper sessions say of the promoted model: one that leaves its backtests is demoted.

The decision is written to `promotions` before the registry's pointer moves, as the gate does it;
what a killed process left undone is done by the next comparison.
"""

from datetime import UTC, date, datetime

import polars as pl

from harmony_pipeline.models.demotion import RULE, demoted, demotion, diverges
from harmony_pipeline.session.ledger import COMPLETED, Ledger
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.market import ALL
from harmony_pipeline.stages.session_plans import PAPER


def demote_diverging(pipeline: PipelineContext, ledger: Ledger) -> str | None:
    """Demote the promoted model if its last sessions diverged; the sentence that says so, else
    None.
    """
    model_id = pipeline.registry.promoted()
    if model_id is None:
        return None
    history = pipeline.lake.read("promotions")
    settings = pipeline.settings.session
    successor = _successor(pipeline, {*demoted(history), model_id})
    if model_id not in demoted(history):
        shares = session_shares(pipeline, ledger, model_id)
        if not diverges(shares, settings.demote_after_sessions, settings.maximum_divergence):
            return None
        row = demotion(
            model_id,
            shares,
            settings.demote_after_sessions,
            settings.maximum_divergence,
            datetime.now(UTC),
            successor,
        )
        pipeline.lake.update(
            "promotions", ALL, lambda kept: pl.concat([kept, row]), _made_from(pipeline)
        )
    decided = pipeline.lake.read("promotions").filter(pl.col("model_id") == model_id)
    pipeline.registry.demote(model_id, decided["decided_at"].max(), successor)  # type: ignore[arg-type]
    return (
        f"model {model_id} is demoted: each of its last {settings.demote_after_sessions} sessions"
        f" differed from its backtest in over {settings.maximum_divergence:.0%} of the rows;"
        f" {'model ' + successor + ' trades again' if successor else 'nothing trades'}"
    )


def session_shares(pipeline: PipelineContext, ledger: Ledger, model_id: str) -> list[float]:
    """Share of differing rows in each completed paper session of the model, oldest first."""
    shares = []
    for row in ledger.sessions(PAPER):
        day = row.date.isoformat()
        if row.model_id != model_id or row.state != COMPLETED:
            continue
        rows = _compared(pipeline, day, row.session_id)
        if rows.height:
            shares.append(float((~rows["equal"]).mean()))  # type: ignore[arg-type]
    return shares


def _compared(pipeline: PipelineContext, day: str, session_id: str) -> pl.DataFrame:
    """What was compared of the session; of a portfolio the orders and fills of the strategies that
    use the model.
    """
    rows = pipeline.lake.read("divergence", [day]).filter(pl.col("session_id") == session_id)
    if rows["strategy"].n_unique() <= 2:  # equity has none
        return rows
    strategies = pipeline.settings.strategies
    users = [name for name, chosen in strategies.items() if chosen.uses_model]
    return rows.filter(pl.col("strategy").is_in(users))


def _successor(pipeline: PipelineContext, gone: set[str]) -> str | None:
    """The latest model that was promoted before and was not demoted; none from before a time when
    nothing was allowed to trade.
    """
    history = pipeline.registry.history()
    stops = [place for place, one in enumerate(history) if not one.model_id]
    since = history[stops[-1] + 1 :] if stops else history
    earlier = [one.model_id for one in since if one.model_id not in gone]
    return earlier[-1] if earlier else None


def _made_from(pipeline: PipelineContext) -> dict[str, str]:
    return dict((pipeline.lake.manifest("promotions", ALL) or {}).get("made_from", {}))


def latest_demotion(pipeline: PipelineContext, model_id: str) -> date | None:
    """When that model was demoted; None when it was not."""
    history = pipeline.lake.read("promotions")
    if model_id not in demoted(history):
        return None
    rows = history.filter((pl.col("model_id") == model_id) & (pl.col("rule") == RULE))
    found: datetime = rows["decided_at"].max()  # type: ignore[assignment]
    return found.date()
