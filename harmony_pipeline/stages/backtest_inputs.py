"""What a backtest is made from: its id, a pure function of that, and what its manifest keeps."""

from collections.abc import Iterable, Mapping
from typing import Any

from harmony_pipeline.stages.code_identity import source_of
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.lives import lives_of
from harmony_pipeline.stages.quote_runs import TICK_TABLES
from harmony_pipeline.stages.trading_rules import members_of, sectors_of
from harmony_pipeline.stages.trials import filter_rule
from harmony_pipeline.strategies.own_rules import BracketSettings, StrategyRiskSettings
from harmony_pipeline.strategies.settings import StrategySettings, acts_on_quotes


def backtest_id(pipeline: PipelineContext, strategy: str, parameters: Mapping[str, Any]) -> str:
    """A pure function of what was run on what."""
    members = members_of(pipeline, strategy).values()
    exits = [chosen.exits for chosen in members]
    inputs = [
        pipeline.settings.labels,
        pipeline.settings.risk,
        pipeline.settings.costs,
        pipeline.settings.execution_noise,
        pipeline.settings.backtest,
        pipeline.settings.market.timeframe,
        exits[0] if strategy in pipeline.settings.strategies else exits,
        *own_rules_of(members),
        lives_of(pipeline).rows(),
        *sectors_of(pipeline).rows,
        *filter_rule(pipeline, members),
    ]
    bars = pipeline.lake.content_hashes("bars")
    for table in TICK_TABLES if any(map(acts_on_quotes, members)) else ():
        ticks = pipeline.lake.content_hashes(table)
        bars |= {f"{table} {key}": found for key, found in ticks.items()}
    uses_model = any(chosen.uses_model for chosen in members)
    predictions = pipeline.lake.content_hashes("predictions") if uses_model else {}
    unusual = pipeline.instruments.unusual()
    return (
        f"{strategy}-{pipeline.fingerprint(dict(parameters), bars, unusual, predictions, *inputs)}"
    )


def own_rules_of(members: Iterable[StrategySettings]) -> list[list[Any]]:
    """Horizon, bracket, size and limits that strategies have of their own; none: empty."""
    own = [[one.horizon_bars, one.bracket, one.risk] for one in members]
    alike = [None, BracketSettings(), StrategyRiskSettings()]
    return [] if all(each == alike for each in own) else own


def backtest_inputs(pipeline: PipelineContext, strategy: str) -> dict[str, str]:
    """Everything that a backtest of this strategy reads, its rules and its code."""
    lake, members = pipeline.lake, members_of(pipeline, strategy).values()
    names = [
        "bars",
        "signals",
        "features",
        "corporate_actions",
        *(["predictions", "folds"] if any(one.uses_model for one in members) else []),
        *(["labels"] if filter_rule(pipeline, members) else []),
        *(["scan_selections"] if any(one.watch == "scanner" for one in members) else []),
        *(TICK_TABLES if any(map(acts_on_quotes, members)) else []),
    ]
    tables = {name: lake.partitions(name) for name in names}
    own = (
        pipeline.settings.trade_horizon,
        *(source_of(one.use) for one in members),
        pipeline.instruments.unusual(),
        lives_of(pipeline).rows(),
        *sectors_of(pipeline).rows,
        *filter_rule(pipeline, members),
    )
    return pipeline.made_from(tables, trading_rules_text(pipeline, strategy), *own)


def trading_rules_text(pipeline: PipelineContext, strategy: str) -> dict[str, Any]:
    """The settings behind a backtest, for its manifest."""
    settings = pipeline.settings
    account = settings.portfolios.get(strategy)
    parts = {
        "labels": settings.labels,
        "risk": settings.risk,
        "costs": settings.costs,
        "luck": settings.execution_noise,  # its name in manifests that exist
        "backtest": settings.backtest,
        "model": settings.model,
        **({"portfolio": account} if account else {}),
        **(
            {"strategy": settings.strategies[strategy]}
            if account is None
            else members_of(pipeline, strategy)
        ),
    }
    return {name: part.model_dump(mode="json") for name, part in parts.items()}
