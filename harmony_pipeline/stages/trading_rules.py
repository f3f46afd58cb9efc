"""The rules that a strategy, or each strategy of a portfolio, trades by: costs, limits, luck and
exits as the settings give them, with what was learned.
"""

import polars as pl

from harmony_pipeline.market.sectors import Sectors
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.sizing_policies import learns, with_policies
from harmony_pipeline.strategies.settings import StrategySettings


def trading_rules(pipeline: PipelineContext, strategy: str) -> TradingRules:
    """Costs, limits, luck and exits of one strategy, and its learned size where there is one.
    Raises NotReady where that was not learned yet.
    """
    rules = given_rules(pipeline, strategy)
    return with_policies(pipeline, strategy, rules) if learns(rules.risk) else rules


def given_rules(pipeline: PipelineContext, strategy: str) -> TradingRules:
    """The same as the settings give them, without what was learned."""
    settings = pipeline.settings
    chosen = settings.strategies[strategy]
    if chosen.uses_model and chosen.horizon_bars is None:
        # the bet lasts as long as the forecast
        chosen = chosen.model_copy(update={"horizon_bars": settings.trade_horizon})
    return TradingRules.of(
        settings.risk,
        settings.costs,
        settings.execution_noise,
        settings.labels,
        chosen,
        settings.backtest,
        pipeline.instruments,
        sectors_of(pipeline),
        pipeline.calendar.bars_per_session(pipeline.timeframe),
    )


def members_of(pipeline: PipelineContext, name: str) -> dict[str, StrategySettings]:
    """The strategies of a portfolio, or the strategy itself."""
    settings = pipeline.settings
    account = settings.portfolios.get(name)
    names = (name,) if account is None else account.strategies
    return {member: pipeline.strategy_settings(member) for member in names}


def sectors_of(pipeline: PipelineContext) -> Sectors:
    """The sectors of the symbols that have bars, by the universe, where a limit asks for them."""
    if pipeline.settings.risk.max_sector_exposure is None:
        return Sectors()

    def made() -> Sectors:
        traded = pipeline.lake.scan("bars").select(pl.col("symbol").unique())
        symbols = traded.collect(engine="in-memory")["symbol"].to_list()
        return Sectors.of_table(pipeline.lake.read("universe")).only(symbols)

    return pipeline.while_unchanged("sectors of bars", ["bars", "universe"], made)
