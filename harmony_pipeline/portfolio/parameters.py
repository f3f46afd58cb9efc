"""Every number of the trading rule in one frozen object: what a backtest and a session must share
to agree.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import date
from typing import Any

import numpy as np

from harmony_pipeline.execution.cost_terms import cost_terms, pays_regulators
from harmony_pipeline.execution.fee_rates import regulatory_changes
from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.instruments import TRADED, Instrument, Instruments
from harmony_pipeline.market.sectors import Sectors
from harmony_pipeline.portfolio.kernel_types import MONEY, RULES, Records
from harmony_pipeline.portfolio.settings import BacktestSettings
from harmony_pipeline.risk.policies import SizingPolicies
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.risk.strategy_terms import (
    SIZING_KEYS,
    limit_values,
    of_the_account,
    sized_by,
)
from harmony_pipeline.strategies.own_rules import StrategyRiskSettings
from harmony_pipeline.strategies.settings import StrategySettings

# `[costs]` names these too; their values come from the symbol's instrument and costs
_OF_THE_SYMBOL = frozenset({"lot_size", "maker_fee_bps"})
_BRACKET = ("profit_take", "stop_loss", "minimum_barrier_bps", "close_touch", "entry_at_close")


@dataclass(frozen=True)
class TradingRules:
    """Build it by `TradingRules.of`; kernels read `records` (one RULES record a symbol). `risk` is
    the account's with the strategy's rule of size, `own` has the strategy's limits.
    """

    risk: RiskSettings
    costs: CostSettings
    luck: ExecutionNoiseSettings
    barriers: bool
    horizon: int
    profit_take: float
    stop_loss: float
    minimum_barrier_bps: float
    initial_cash: float
    instruments: Instruments = field(default_factory=Instruments)
    delisting_recovery: float = 1.0
    presume_delisted_after_sessions: int = 0  # never
    sectors: Sectors = field(default_factory=Sectors)
    vertical_sessions: int = 0  # `horizon` counts bars until the vertical barrier
    close_touch: bool = False
    policies: SizingPolicies = field(default_factory=SizingPolicies)
    own: StrategyRiskSettings = field(default_factory=StrategyRiskSettings)
    entry_at_close: bool = False

    @staticmethod
    def of(
        risk: RiskSettings,
        costs: CostSettings,
        luck: ExecutionNoiseSettings,
        labels: LabelSettings,
        strategy: StrategySettings,
        backtest: BacktestSettings,
        instruments: Instruments | None = None,
        sectors: Sectors | None = None,
        bars_per_session: float = 1.0,
    ) -> "TradingRules":
        """The rules of one strategy: `risk` and `labels` with what it has of its own. Its
        `horizon_bars` decides; else the longest label horizon does. `bars_per_session` scales
        barriers whose horizon is in sessions.
        """
        labels = labels.with_bracket(strategy.bracket)
        horizon = strategy.horizon_bars or max(labels.horizons_bars)
        return TradingRules(
            sized_by(risk, strategy.risk), costs, luck, strategy.exits == "barriers",
            labels.scale_bars(horizon, bars_per_session),
            labels.profit_take, labels.stop_loss, labels.minimum_barrier_bps, backtest.initial_cash,
            Instruments() if instruments is None else instruments,
            backtest.delisting_recovery, backtest.presume_delisted_after_sessions,
            Sectors() if sectors is None else sectors,
            horizon if labels.vertical == "sessions" else 0, labels.touch == "close",
            own=strategy.risk, entry_at_close=labels.entry == "close",
        )  # fmt: skip

    def records(self, symbols: Sequence[str], day: date = date.max) -> Records:
        """The numbers as the kernels read them: one record a symbol, by the terms of its instrument
        and the published fees on `day`; one record where there is no symbol.
        """
        table = np.zeros(max(1, len(symbols)), RULES)
        for name, value in self._shared(day).items():
            table[name] = value
        for record, symbol in zip(table, symbols or ("",), strict=True):
            terms = self.instruments.at(symbol, day)
            for name, value in self._of_instrument(terms).items():
                record[name] = value
            for name, cost in cost_terms(self.costs, terms, day).items():
                record[name] = cost
            record["sector"] = self.sectors.at(symbol, day)
            settled_after = self.risk.account.settles_after(terms.asset_class, day)
            record["settlement_days"] = settled_after
        return table

    def changes(self, symbols: Iterable[str]) -> list[date]:
        """Dates on which the records of one of these symbols change."""
        names = list(symbols)
        days = {*self.instruments.changes(names), *self.sectors.changes(names)}
        if any(pays_regulators(self.costs, self.instruments.at(name)) for name in names):
            days |= {*regulatory_changes()}
        days |= {*self.policies.changes()}
        return sorted(days | {*self.risk.rearm_on} | self.risk.account.changes())

    def of_the_account(self) -> "TradingRules":
        """The rules without what a strategy has of its own: the same for all of an account."""
        return replace(
            self,
            risk=of_the_account(self.risk),
            own=StrategyRiskSettings(),
            barriers=False,
            horizon=1,
            vertical_sessions=0,
            profit_take=1.0,
            stop_loss=1.0,
            minimum_barrier_bps=0.0,
            close_touch=False,
            entry_at_close=False,
        )

    def of_the_strategy(self) -> dict[str, float]:
        """What the strategy has of its own, beside its exits (`barriers`, `horizon`,
        `vertical_sessions`), as the fields of the RULES record.
        """
        values = self._shared(date.max)
        names = {*_BRACKET, *SIZING_KEYS, *limit_values(self.own), "allow_short"}
        return {name: float(values[name]) for name in sorted(names)}

    def only(self, symbols: Iterable[str]) -> "TradingRules":
        """The same rules, with no other instruments and sectors than these symbols'."""
        names = list(symbols)
        return replace(
            self, instruments=self.instruments.only(names), sectors=self.sectors.only(names)
        )

    def _shared(self, day: date) -> dict[str, Any]:
        """The fields that are the same for every symbol."""
        own = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        values = {
            **self.costs.model_dump(),
            **self.luck.model_dump(),
            **self.risk.kernel_values(day),
            **limit_values(self.own),
            **self.policies.kernel_values(day),
            **own,
        }
        values["seed"] = values["seed"] & (2**64 - 1)
        values["latency_us"] = round(values["latency_milliseconds"] * 1000)
        return {
            name: values[name]
            for name in RULES.names or ()
            if name in values and name not in _OF_THE_SYMBOL
        }

    def _of_instrument(self, terms: Instrument) -> dict[str, Any]:
        """The fields of the symbol's instrument; `costs.lot_size`, where it is set, goes before the
        instrument's.
        """
        zero_volume = {"auto": terms.volume != TRADED, "fill": True, "refuse": False}[
            self.costs.zero_volume
        ]
        return {
            **terms.grid(),
            "lot_size": terms.lot_size if self.costs.lot_size is None else self.costs.lot_size,
            "minimum_quantity": terms.minimum_quantity,
            "minimum_notional": terms.minimum_notional,
            "multiplier": terms.multiplier,
            "fee_unit": max(1, round(terms.fee_unit * MONEY)),
            "shortable": terms.shortable,
            "volume_binds": terms.volume == TRADED,
            "zero_volume_fills": zero_volume,
        }
