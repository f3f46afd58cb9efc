"""The one list of assets, jobs and their order.

From it come Dagster's assets (`definitions.py`) and jobs (`automation.py`), the names and the run
order of the command line (`runner.py`), the run without Dagster (`chain.py`) and the golden text of
the graph. An asset is one entry here and one function in `harmony_pipeline/stages`, whose docstring
describes it in the UI. Nothing here needs Dagster.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from harmony_pipeline.schemas import TABLES
from harmony_pipeline.stages import (
    backtests,
    costs,
    cross_validation,
    drift,
    gaps,
    ingest,
    instruments,
    live,
    market,
    models,
    news,
    promotion,
    research,
    robustness,
    scanner,
    sensitivity,
    ticks,
    upkeep,
)
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import StageResult

Partitioning = Literal["none", "trading", "retraining", "days", "strategies"]


@dataclass(frozen=True)
class Asset:
    """One asset of the graph. Assets that name the same stage are made together, by one call of
    it.
    """

    name: str
    group: str
    stage: Callable[..., StageResult]
    partitions: Partitioning = "none"
    inputs: tuple[str, ...] = ()
    kind: str = ""
    options: Mapping[str, bool] = field(default_factory=dict)
    """Switches of the stage that a run may set, with their defaults."""
    view: str = ""
    """The view to look at afterwards, where it is called otherwise than the asset."""
    fans_out: bool = False
    """Whether none of its partitions follows from another one of its own: several runs may make
    them at the same time.
    """

    @property
    def description(self) -> str:
        """The stage's docstring; of tables that a stage makes beside its own, what `schemas/`
        says.
        """
        described = self.stage if self.stage.__name__ == self.name else None
        return inspect.getdoc(described) or TABLES[self.name].note

    def make(self, pipeline: PipelineContext, keys: Sequence[str], **options: bool) -> StageResult:
        """Run the stage for the partitions of these keys, oldest first."""
        return self.stage(
            pipeline, *_partitions(pipeline, self.partitions, keys), **{**self.options, **options}
        )


def _partitions(
    pipeline: PipelineContext, partitions: Partitioning, keys: Sequence[str]
) -> tuple[Any, ...]:
    match partitions:
        case "none":
            return ()
        case "trading":
            return ([pipeline.trading_period(key) for key in keys],)
        case "retraining":
            return ([pipeline.retraining_period(key) for key in keys],)
        case "days":
            return ([date.fromisoformat(key) for key in keys],)
        case "strategies":
            return (list(keys),)


@dataclass(frozen=True)
class Job:
    """Assets that are made in one run, in order."""

    name: str
    title: str
    """What the command says while it runs."""
    description: str
    own: tuple[Asset, ...]
    before: tuple[Asset, ...] = ()
    """Assets of earlier jobs that a run of this one makes first."""

    @property
    def assets(self) -> tuple[str, ...]:
        """Names of all assets that the job makes."""
        return tuple(asset.name for asset in (*self.before, *self.own))


INGEST = Job(
    "ingest",
    "bars",
    "Fetch what is missing, validate and summarise it.",
    (
        Asset("corporate_actions", "market", market.corporate_actions, kind="parquet"),
        Asset("universe", "market", market.universe, kind="parquet"),
        Asset("listings", "market", market.listings, inputs=("universe",), kind="parquet"),
        Asset(
            "raw_bars",
            "market",
            ingest.raw_bars,
            "trading",
            kind="parquet",
            options={"again": False},
        ),
        Asset(
            "bars", "market", market.bars, "trading", ("raw_bars", "corporate_actions"), "parquet"
        ),
        Asset("quarantine", "market", market.bars, "trading", ("raw_bars",), "parquet"),
        Asset("quality_warnings", "market", market.bars, "trading", ("raw_bars",), "parquet"),
        Asset("daily_summary", "market", market.daily_summary, "trading", ("bars",), "parquet"),
        Asset(
            "instruments",
            "market",
            instruments.instruments,
            "none",
            ("bars", "daily_summary"),
            "parquet",
        ),
        Asset(
            "gaps",
            "market",
            gaps.gaps,
            "trading",
            ("bars", "quarantine", "daily_summary", "listings"),
            "parquet",
        ),
    ),
)
NEWS = Job(
    "news",
    "news",
    "Read headlines and score them, where there is a source of news.",
    (
        Asset("news", "market", news.news, "trading", kind="parquet"),
        Asset("news_scores", "research", news.news_scores, "trading", ("news", "bars"), "parquet"),
    ),
)
RESEARCH = Job(
    "research",
    "features and labels",
    "Ingest a trading period and everything that research needs of it.",
    (
        Asset(
            "features",
            "research",
            research.features,
            "trading",
            ("bars", "news_scores", "universe"),
            "parquet",
        ),
        Asset("regimes", "research", research.regimes, "trading", ("daily_summary",), "parquet"),
        Asset("signals", "research", research.signals, "trading", ("features",), "parquet"),
        Asset(
            "labels",
            "research",
            research.labels,
            "trading",
            ("bars", "signals", "instruments", "listings"),
            "parquet",
            fans_out=True,
        ),
    ),
    before=(*INGEST.own, *NEWS.own),
)
RETRAIN = Job(
    "retrain",
    "walk-forward models",
    "Train the model of a retraining period and predict inside it.",
    (
        Asset(
            "model",
            "models",
            models.model,
            "retraining",
            ("features", "regimes", "labels"),
            "lightgbm",
            view="models",
            fans_out=True,
        ),
        Asset(
            "predictions",
            "models",
            models.predictions,
            "retraining",
            ("model", "features", "regimes", "signals"),
            "parquet",
            fans_out=True,
        ),
    ),
)
EVALUATE = Job(
    "evaluate",
    "backtests and robustness",
    "Backtest a strategy and shake it.",
    (
        Asset(
            "backtest",
            "backtests",
            backtests.backtest,
            "strategies",
            ("bars", "signals", "predictions", "corporate_actions", "instruments", "listings"),
            "parquet",
            view="backtests",
            fans_out=True,
        ),
        Asset(
            "parameter_sensitivity",
            "backtests",
            sensitivity.parameter_sensitivity,
            "strategies",
            ("backtest",),
            "parquet",
            view="trials",
            fans_out=True,
        ),
        Asset(
            "monte_carlo",
            "robustness",
            robustness.monte_carlo,
            "strategies",
            ("backtest",),
            "parquet",
            fans_out=True,
        ),
        Asset(
            "overfitting",
            "robustness",
            robustness.overfitting,
            "strategies",
            ("backtest", "parameter_sensitivity"),
            "parquet",
        ),
        Asset(
            "regime_stability",
            "robustness",
            robustness.regime_stability,
            "strategies",
            ("backtest", "regimes"),
            "parquet",
        ),
    ),
)
PROMOTE = Job(
    "promote",
    "promotion gate",
    "Put the newest model before the gate.",
    (
        Asset(
            "strategy_comparison", "backtests", backtests.strategy_comparison, inputs=("backtest",)
        ),
        Asset(
            "promoted_model",
            "promotion",
            promotion.promoted_model,
            inputs=("predictions", "backtest", "monte_carlo", "overfitting"),
            view="promotions",
        ),
    ),
)
SCAN = Job(
    "daily_scan",
    "scanner",
    "Scan a trading day before the open.",
    (
        Asset(
            "scan_candidates",
            "scanner",
            scanner.scan,
            "days",
            ("daily_summary", "universe", "corporate_actions"),
            fans_out=True,
        ),
        Asset(
            "scan_selections",
            "scanner",
            scanner.scan,
            "days",
            ("scan_candidates",),
            fans_out=True,
        ),
    ),
)
SESSION = Job(
    "paper_session",
    "replayed sessions",
    "Run, reconcile, compare and report the session of a day.",
    (
        Asset(
            "paper_session",
            "live",
            live.paper_session,
            "days",
            ("scan_selections", "promoted_model"),
            options={"require_promoted": True, "own_process": True},
            view="session_orders",
        ),
        Asset("reconciliation", "live", live.reconciliation, "days", ("paper_session",)),
        Asset("divergence", "live", live.divergence, "days", ("paper_session", "bars")),
        Asset(
            "daily_report",
            "live",
            live.daily_report,
            "days",
            ("paper_session", "reconciliation", "divergence"),
        ),
    ),
)
STRESS = Job(
    "stress",
    "execution stress",
    "Backtest a strategy again and again with worse luck at the exchange.",
    (
        Asset(
            "execution_stress",
            "robustness",
            robustness.execution_stress,
            "strategies",
            ("backtest",),
            "parquet",
            fans_out=True,
        ),
    ),
)
VALIDATE = Job(
    "validate",
    "cross-validation and drift",
    "Train and test the recipe on every choice of parts of the history, and see what drifted.",
    (
        Asset(
            "cross_validation",
            "models",
            cross_validation.cross_validation,
            inputs=("features", "regimes", "labels"),
            kind="parquet",
        ),
        Asset(
            "drift",
            "models",
            drift.drift,
            inputs=("model", "features", "regimes", "labels"),
            kind="parquet",
        ),
    ),
)
CALIBRATE = Job(
    "calibrate",
    "costs",
    "Fit the cost model to recorded fills and quotes.",
    (
        Asset(
            "cost_calibration",
            "live",
            costs.cost_calibration,
            inputs=("paper_session", "quote_ticks", "bars", "features"),
            kind="parquet",
        ),
    ),
)
UPKEEP = Job(
    "upkeep",
    "upkeep",
    "Put the lake's files in order.",
    (
        Asset(
            "lake_upkeep", "market", upkeep.lake_upkeep, inputs=("daily_summary",), kind="parquet"
        ),
    ),
)
TICKS = (  # far more rows than bars and fetched a few days at a time, so no job makes them
    Asset("quote_ticks", "market", ticks.quote_ticks, "days", kind="parquet"),
    Asset("trade_ticks", "market", ticks.trade_ticks, "days", kind="parquet"),
)

CHAIN = (INGEST, NEWS, RESEARCH, RETRAIN, EVALUATE, PROMOTE, SCAN, SESSION)
JOBS = {job.name: job for job in (*CHAIN, STRESS, VALIDATE, CALIBRATE, UPKEEP)}
ASSETS = {
    asset.name: asset for asset in (*TICKS, *(one for job in JOBS.values() for one in job.own))
}


def made_together(assets: Iterable[Asset]) -> list[tuple[Asset, ...]]:
    """The assets by the stage that makes them, in order."""
    steps: dict[Callable[..., StageResult], list[Asset]] = {}
    for asset in assets:
        steps.setdefault(asset.stage, []).append(asset)
    return [tuple(step) for step in steps.values()]


def op_name(asset: Asset) -> str:
    """Name of the op that makes the asset, as run configurations spell it; Dagster wants the names
    of ops and jobs apart.
    """
    name = asset.stage.__name__
    return f"run_{name}" if name in JOBS else name
