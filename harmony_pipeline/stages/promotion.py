"""The gate: the newest model's evidence against the written rules.

A decision is written to `promotions` before the pointer of the registry moves. A process that dies
in between leaves a written decision and the former champion; the next one decides the same, finds
it written, and moves the pointer. A decision that the newest one already says is not written again.
"""

import json
import math
from datetime import UTC, datetime
from typing import Any

import polars as pl

from harmony_pipeline.errors import NotReady
from harmony_pipeline.market.periods import period_from_key
from harmony_pipeline.models.evaluation import evaluate
from harmony_pipeline.models.gate import Candidate, Evidence, decide, past_looks
from harmony_pipeline.reports import sketches
from harmony_pipeline.reports.drawings import Drawing
from harmony_pipeline.reports.figures import reliability_curve
from harmony_pipeline.robustness.alike_records import alike_trials
from harmony_pipeline.robustness.overfitting import MINIMUM_OBSERVATIONS, chance_sharpe
from harmony_pipeline.robustness.sensitivity import trial_id
from harmony_pipeline.stages.backtest_readiness import nothing_to_trade
from harmony_pipeline.stages.backtests import found_backtest, latest_backtest, no_backtest
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.demotion import latest_demotion
from harmony_pipeline.stages.market import ALL
from harmony_pipeline.stages.models import why_no_model
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.robustness import current_statistics
from harmony_pipeline.stages.stability import (
    Stability,
    make_current,
    stability_of,
    stability_tables,
)
from harmony_pipeline.stages.strategy_signals import filters_now, traded_predictions
from harmony_pipeline.stages.trials import configuration
from harmony_pipeline.stages.unchanged import unchanged_since


def promoted_model(pipeline: PipelineContext) -> StageResult:
    """The decision on the newest model of the traded horizon, rule by rule, and the previous
    champion. Every decision is kept, each once.
    """
    strategy = pipeline.settings.session.strategy
    candidate = newest_model(pipeline)
    nothing = _why_undecided(pipeline, candidate)
    if candidate is None or nothing:
        model = {"model": candidate} if candidate else {}
        return StageResult(
            rows={"promotions": 0}, facts={**model, "promoted": False}, nothing=nothing
        )
    current_statistics(pipeline, strategy)
    unmeasured = make_current(pipeline)
    made_from = _inputs(pipeline, strategy)
    since = _decided_since(pipeline, made_from)
    if since is not None:
        return _decided_before(pipeline, candidate, since)
    history = pipeline.lake.read("promotions")
    previous = champion_before(history, candidate, pipeline.registry.promoted())
    judged = _judged(pipeline, candidate, previous)
    # no forecast shaped the record of a strategy without a model, and no rule asks for one
    scores = out_of_sample_scores(pipeline, judged.recipe) if judged.uses_model else {}
    now = datetime.now(UTC)
    decision = decide(
        evidence(pipeline, scores, stability_of(pipeline, judged.recipe)),
        pipeline.settings.gate,
        judged,
        now,
        past_looks(history, judged, _alike(pipeline, history, judged)),
    )
    is_new = not is_newest(history, decision.rules)
    pipeline.lake.write(
        "promotions", ALL, pl.concat([history, decision.rules]) if is_new else history, made_from
    )
    _move_pointer(
        pipeline, candidate, now if is_new else history["decided_at"].max(), decision.promoted
    )
    return StageResult(
        rows={"promotions": decision.rules.height if is_new else 0},
        facts={"model": candidate, "promoted": decision.promoted, "previous champion": previous},
        preview=decision.rules.select("rule", "measure", "threshold", "passed"),
        pictures={
            "rules passed": sketches.bars(decision.rules["passed"].cast(pl.Float64).to_list()),
            **_reliability(scores),
        },
        notes=[
            *([] if is_new else [f"the same decision as on {_minute(history['decided_at'][-1])}"]),
            *decision.reasons,
            *unmeasured,
        ],
    )


def _reliability(scores: dict[str, Any]) -> dict[str, Drawing]:
    """The picture of the forecasts, where they were evaluated."""
    if not scores:
        return {}
    return {"reliability": Drawing.of(reliability_curve, pl.DataFrame(scores["reliability"]))}


def _minute(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _move_pointer(
    pipeline: PipelineContext, candidate: str, decided_at: Any, promoted: bool
) -> None:
    """The candidate trades, or nothing does: the champion stood on the record that was refused."""
    champion = pipeline.registry.promoted()
    if promoted:
        pipeline.registry.promote(candidate, decided_at)
    elif champion is not None:
        pipeline.registry.demote(champion, decided_at, None)


def _inputs(pipeline: PipelineContext, strategy: str) -> dict[str, str]:
    """What the gate's evidence is made from; forecasts where the strategy has a model."""
    uses_model = pipeline.settings.strategies[strategy].uses_model
    names = ("models", *(("predictions", "labels") if uses_model else ()))
    tables: dict[str, list[str]] = {name: pipeline.lake.partitions(name) for name in names}
    tables |= {name: [ALL] for name in stability_tables(pipeline)}
    tables |= {name: [strategy] for name in ("backtests", "trades", "overfitting", "monte_carlo")}
    return pipeline.made_from(
        tables, pipeline.settings.gate, strategy, pipeline.settings.trade_horizon
    )


def _decided_since(pipeline: PipelineContext, made_from: dict[str, str]) -> datetime | None:
    """When just this evidence was judged; None when it was not, or when the pointer did not follow
    the decision.
    """
    since = unchanged_since(pipeline, ("promotions",), ALL, made_from)
    latest = _latest_rules(pipeline)
    promoted = latest.height > 0 and bool(latest["promoted"][0])
    # whoever decided it: a person may have chosen another model
    trades = latest["model_id"][0] if promoted else None
    return since if pipeline.registry.promoted() == trades else None


def _decided_before(pipeline: PipelineContext, candidate: str, since: datetime) -> StageResult:
    """The latest decision, which the same evidence would only repeat."""
    latest = _latest_rules(pipeline)
    return StageResult(
        rows={"promotions": latest.height},
        facts={"model": candidate, "promoted": bool(latest["promoted"][0])},
        preview=latest.select("rule", "measure", "threshold", "passed"),
        unchanged_since=since,
    )


def _latest_rules(pipeline: PipelineContext) -> pl.DataFrame:
    rules = pipeline.lake.read("promotions")
    return rules.filter(pl.col("decided_at") == pl.col("decided_at").max())


def champion_before(history: pl.DataFrame, candidate: str, champion: str | None) -> str | None:
    """The model that traded before `candidate` was judged: the champion; the one that the candidate
    followed when it is the champion itself; the one that its refusal stopped when nothing trades.
    """
    own = history.filter(pl.col("model_id") == candidate).sort("decided_at")
    if champion is None:
        newest = history.filter(pl.col("decided_at") == pl.col("decided_at").max())
        refused = newest.filter((pl.col("model_id") == candidate) & ~pl.col("promoted"))
        return refused["previous_model_id"][-1] if refused.height else None
    if champion != candidate:
        return champion
    followed = own.filter(pl.col("promoted"))["previous_model_id"]
    return followed[-1] if followed.len() else None


def is_newest(history: pl.DataFrame, rules: pl.DataFrame) -> bool:
    """Whether the newest decision says just this: the same model, champion, rules, thresholds and
    measures.
    """
    newest = history.filter(pl.col("decided_at") == pl.col("decided_at").max())
    return newest.drop("decided_at").sort("rule").equals(rules.drop("decided_at").sort("rule"))


def newest_model(pipeline: PipelineContext) -> str | None:
    """Model of the traded horizon in the latest retraining period that has one."""
    models = (
        pipeline.lake.read("models")
        .filter(pl.col("horizon") == pipeline.settings.trade_horizon)
        .sort("period")
    )
    return str(models["model_id"][-1]) if models.height else None


def _why_undecided(pipeline: PipelineContext, candidate: str | None) -> str:
    """Why there is nothing to decide; empty when there is."""
    strategy = pipeline.settings.session.strategy
    if candidate is None:
        return f"no model: {why_no_model(pipeline)}"
    if found_backtest(pipeline, strategy) is None:
        return nothing_to_trade(pipeline, strategy) or no_backtest(pipeline, strategy)
    gone = latest_demotion(pipeline, candidate)
    if gone is None:
        return ""
    return (
        f"model {candidate} was demoted on {gone}: its sessions differed from their backtests;"
        " train a newer one"
    )


def _judged(pipeline: PipelineContext, model_id: str, previous: str | None) -> Candidate:
    """The candidate; a record that no model shaped belongs to no recipe."""
    strategy = pipeline.settings.session.strategy
    uses_model = pipeline.settings.strategies[strategy].uses_model
    return Candidate(
        model_id,
        previous,
        strategy,
        recipe_of(pipeline, model_id) if uses_model else None,
        uses_model,
        filters_now(pipeline, strategy, _begin_of(pipeline, model_id)),
        _trial_of(pipeline, strategy),
    )


def _trial_of(pipeline: PipelineContext, strategy: str) -> str | None:
    """The trial that is the strategy's backtest; None for one that was made before trials were
    counted, or under other settings.
    """
    parameters = json.loads(latest_backtest(pipeline, strategy)["parameters"])
    key = trial_id(strategy, parameters, configuration(pipeline, strategy))
    return key if key in pipeline.lake.read("trials", [strategy])["trial_id"] else None


def _alike(pipeline: PipelineContext, history: pl.DataFrame, judged: Candidate) -> set[str]:
    """Trials of earlier decisions that earned the same as the one that is judged."""
    if judged.trial_id is None:
        return set()
    looked_at = [judged.trial_id, *history["trial_id"].drop_nulls().unique()]
    returns = pipeline.lake.scan("trial_returns").filter(pl.col("trial_id").is_in(looked_at))
    return alike_trials(judged.trial_id, returns.collect())


def _begin_of(pipeline: PipelineContext, model_id: str) -> datetime:
    """When the retraining period of a model begins."""
    key = pipeline.lake.read("models").filter(pl.col("model_id") == model_id)["period"][0]
    unit = pipeline.settings.market.partitions.retraining_period
    return period_from_key(key, unit, pipeline.zone).start


def recipe_of(pipeline: PipelineContext, model_id: str) -> str | None:
    """The hash of how a model was trained; None for one of an older lake."""
    rows = pipeline.lake.read("models").filter(pl.col("model_id") == model_id)
    return rows["recipe"][0] if rows.height else None


def out_of_sample_scores(pipeline: PipelineContext, recipe: str | None) -> dict[str, Any]:
    """How the traded horizon's forecasts of one recipe did, where nobody had seen the outcome.
    `own_predictions`: their share of all; None where the recipe is not known.
    """
    predictions = traded_predictions(pipeline).sort("symbol", "timestamp")
    own = predictions.clear() if recipe is None else predictions.filter(pl.col("recipe") == recipe)
    share = None if recipe is None or not predictions.height else own.height / predictions.height
    scores = evaluate(own, pipeline.lake.read("labels"), pipeline.zone, periods_too=False)
    return {**scores, "own_predictions": share}


def evidence(pipeline: PipelineContext, scores: dict[str, Any], stability: Stability) -> Evidence:
    """Everything the gate asks about, measured out of sample; what could not be measured is
    None. scores: those of the forecasts, empty for a strategy without a model.
    """
    strategy = pipeline.settings.session.strategy
    run = latest_backtest(pipeline, strategy)
    statistics = pipeline.lake.read("overfitting", [strategy])
    if statistics.is_empty():
        raise NotReady(
            f"no overfitting statistics of {strategy} yet; make them with: harmony backtest"
            f" {strategy}"
        )
    row = statistics.row(0, named=True)
    year = pipeline.calendar.for_timeframe(pipeline.timeframe).sessions_per_year
    days, effective = row["observations"], row["effective_trials"]
    stressed = pipeline.lake.read("monte_carlo", [strategy]).filter(
        pl.col("scenario") == "stressed"
    )
    closed = (
        pipeline.lake.scan("trades", [strategy])
        .filter(pl.col("exit_timestamp").is_not_null())
        .select(pl.len())
        .collect()
        .item()
    )
    return Evidence(
        trades=int(closed),
        periods=scores.get("periods"),
        days=days,
        own_predictions=scores.get("own_predictions"),
        deflated_sharpe=row["dsr"],
        probabilistic_sharpe=row["psr"],
        chance_sharpe=(
            None
            if effective is None or days is None or days < MINIMUM_OBSERVATIONS
            else chance_sharpe(days, effective) * math.sqrt(year)
        ),
        min_track_record=row["min_track_record"],
        pbo=row["pbo"],
        brier_ratio=scores.get("brier_ratio"),
        forecast_pvalue=scores.get("p_value"),
        calibration_error=scores.get("calibration_error"),
        cross_validation_sharpe=stability.cross_validation_sharpe,
        input_drift=stability.input_drift,
        calibration_drift=stability.calibration_drift,
        monte_carlo_return=_quantile(
            stressed,
            pl.col("final_equity") / run["initial_cash"] - 1.0,
            pipeline.settings.gate.monte_carlo_quantile,
        ),
        drawdown_p95=_quantile(stressed, -pl.col("max_drawdown"), 0.95),
    )


def _quantile(paths: pl.DataFrame, measure: pl.Expr, level: float) -> float | None:
    return (
        None
        if paths.is_empty()
        else float(paths.select(measure.quantile(level, interpolation="linear")).item())
    )
