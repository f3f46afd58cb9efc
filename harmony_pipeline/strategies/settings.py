"""Strategies by name: an import path and the parameters of that class."""

from typing import Any, Literal

from pydantic import Field

from harmony_pipeline.settings_base import FrozenSettings
from harmony_pipeline.strategies.own_rules import BracketSettings, StrategyRiskSettings


class StrategySettings(FrozenSettings):
    """One entry of `[strategies.NAME]`."""

    LATER = frozenset({"watch", "model_filter", "data", "bracket", "risk"})

    use: str = Field(description="import path module:Class")
    enabled: bool = True
    data: Literal["bars", "quotes"] = Field(
        default="bars",
        description=(
            "quotes: a state machine with on_quote, backtested over the lake's quotes and trades;"
            " the shipped MarketMaker is in any case"
        ),
    )
    parameters: dict[str, Any] = Field(default={})
    grid: dict[str, tuple[Any, ...]] = Field(
        default={},
        description="values tried by parameter_sensitivity; every combination is a counted trial",
    )
    exits: Literal["signal", "barriers"] = Field(
        default="signal",
        description=(
            "signal: the position follows the side; barriers: entries only, exits by the triple"
            " barriers"
        ),
    )
    horizon_bars: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000_000,
        description="horizon of the barriers; none means the longest label horizon",
    )
    bracket: BracketSettings = Field(
        default=BracketSettings(), description="barriers of its own, in place of those of [labels]"
    )
    risk: StrategyRiskSettings = Field(
        default=StrategyRiskSettings(),
        description="a size of its own, and limits within those of [risk]",
    )
    uses_model: bool = Field(
        default=False, description="filtered and sized by the model's out-of-sample probability"
    )
    model_filter: Literal["always", "when_useful"] = Field(
        default="always",
        description=(
            "of uses_model; when_useful: only in periods before which the forecasts have beaten the"
            " base rate at gate.maximum_forecast_pvalue, else every candidate is taken"
        ),
    )
    watch: Literal["universe", "scanner"] = Field(
        default="universe",
        description=(
            "in a backtest, scanner: it takes sides only in symbols that the scanner selected that"
            " day, from the scan on; days that were not scanned have none"
        ),
    )


# these act on quotes and post limit orders: bars alone give them nothing to do
QUOTE_MACHINES = ("harmony_pipeline.strategies.market_maker:MarketMaker",)


def acts_on_quotes(settings: StrategySettings) -> bool:
    """Whether a strategy is backtested over quotes and trades."""
    return settings.data == "quotes" or settings.use in QUOTE_MACHINES


DEFAULT_STRATEGIES: dict[str, StrategySettings] = {
    "moving_average_crossover": StrategySettings(
        use="harmony_pipeline.strategies.crossover:MovingAverageCrossover",
        parameters={"fast": 10, "slow": 40},
        grid={"fast": (5, 10, 20), "slow": (40, 80)},
    ),
    "rsi_momentum": StrategySettings(
        use="harmony_pipeline.strategies.rsi:RsiMomentum",
        parameters={"window": 14, "upper": 60.0, "lower": 40.0},
        grid={"window": (7, 14), "upper": (55.0, 60.0, 65.0)},
    ),
    "bollinger_reversion": StrategySettings(
        use="harmony_pipeline.strategies.bollinger:BollingerReversion",
        parameters={"window": 20, "entry_z": 2.0},
        grid={"window": (20, 40), "entry_z": (1.5, 2.0, 2.5)},
        exits="barriers",
    ),
    "meta_labelled": StrategySettings(
        use="harmony_pipeline.strategies.meta:MetaLabelled",
        parameters={"fast": 5, "slow": 20},
        grid={"threshold": (0.45, 0.50, 0.55, 0.60, 0.65)},
        exits="barriers",
        uses_model=True,
    ),
}
