"""Every number of the trading rule in one frozen object: what a backtest and a session must share to agree."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from harmony_pipeline.backtest.settings import BacktestSettings
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.execution.records import RULES, Records
from harmony_pipeline.execution.settings import CostSettings, LuckSettings
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.strategies.settings import StrategySettings


@dataclass(frozen=True)
class TradingRules:
    """Build it by `TradingRules.of`; kernels read `record` (one RULES record, shape (1,))."""

    risk: RiskSettings
    costs: CostSettings
    luck: LuckSettings
    barriers: bool
    horizon: int
    profit_take: float
    stop_loss: float
    minimum_barrier_bps: float
    initial_cash: float

    @staticmethod
    def of(
        risk: RiskSettings,
        costs: CostSettings,
        luck: LuckSettings,
        labels: LabelSettings,
        strategy: StrategySettings,
        backtest: BacktestSettings,
    ) -> "TradingRules":
        """The rules of one strategy. Its own `horizon_bars` decides; else the longest label horizon does. Raises ConfigError when there is none >= 1."""
        horizon = strategy.horizon_bars or max(labels.horizons_bars)
        if horizon < 1:
            raise ConfigError(f"strategies.horizon_bars or labels.horizons_bars: {horizon} is no horizon; use at least 1 bar")
        return TradingRules(
            risk, costs, luck, strategy.exits == "barriers", horizon,
            labels.profit_take, labels.stop_loss, labels.minimum_barrier_bps, backtest.initial_cash,
        )  # fmt: skip

    @cached_property
    def record(self) -> Records:
        """The numbers as the kernels read them."""
        table = np.zeros(1, RULES)
        values: dict[str, Any] = {**self.costs.model_dump(), **self.luck.model_dump(), **self.risk.model_dump(), **asdict(self)}
        for name in RULES.names or ():
            table[name] = values[name] & (2**64 - 1) if name == "seed" else values[name]
        return table
