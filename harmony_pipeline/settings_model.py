"""The parts of the settings, composed: each part's class lies beside what it configures."""

from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from harmony_pipeline.alerts.settings import AlertSettings
from harmony_pipeline.dagster_settings import DagsterSettings
from harmony_pipeline.exchange.settings import ExchangeSettings
from harmony_pipeline.execution.brokers.alpaca.settings import AlpacaSettings
from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
from harmony_pipeline.features.settings import FeatureSettings, RegimeSettings
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.lake.settings import LakeSettings
from harmony_pipeline.market.news.settings import NewsSettings
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.models.settings import CrossValidationSettings, GateSettings, ModelSettings
from harmony_pipeline.portfolio.settings import BacktestSettings, SharedAccountSettings
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.risk.strategy_terms import sized_by
from harmony_pipeline.robustness.settings import (
    ExecutionStressSettings,
    MonteCarloSettings,
    OverfittingSettings,
)
from harmony_pipeline.scanner.settings import ScannerSettings
from harmony_pipeline.session.settings import SessionSettings
from harmony_pipeline.settings_base import FrozenSettings, absolute_path
from harmony_pipeline.settings_sources import DEFAULT_FILE
from harmony_pipeline.strategies.settings import DEFAULT_STRATEGIES, StrategySettings


class PathSettings(FrozenSettings):
    """Where things are kept; relative to the folder of the settings file."""

    lake: str = Field(
        "data_lake", description="root of the data lake: a folder, or s3://bucket/prefix"
    )
    state: str = Field(
        ".harmony/default",
        description="Dagster home, ledger, trained models, reports, the log of failures",
    )

    @field_validator("lake", "state")
    @classmethod
    def _is_a_path(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("the path is empty: name a folder, such as data_lake")
        if "\0" in text:
            raise ValueError("the path holds a NUL character: take it out")
        return text


class SettingsModel(BaseSettings):
    """Every part of the settings, and what follows from them. Use `Settings` of config.py, whose
    parts are known to agree.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", validate_default=True, case_sensitive=True
    )

    paths: PathSettings = PathSettings()
    lake: LakeSettings = LakeSettings()
    market: MarketSettings = MarketSettings()
    news: NewsSettings = NewsSettings()
    features: FeatureSettings = FeatureSettings()
    regimes: RegimeSettings = RegimeSettings()
    labels: LabelSettings = LabelSettings()
    strategies: dict[str, StrategySettings] = DEFAULT_STRATEGIES
    portfolios: dict[str, SharedAccountSettings] = {}
    model: ModelSettings = ModelSettings()
    gate: GateSettings = GateSettings()
    risk: RiskSettings = RiskSettings()
    costs: CostSettings = CostSettings()
    execution_noise: ExecutionNoiseSettings = ExecutionNoiseSettings()
    backtest: BacktestSettings = BacktestSettings()
    monte_carlo: MonteCarloSettings = MonteCarloSettings()
    overfitting: OverfittingSettings = OverfittingSettings()
    execution_stress: ExecutionStressSettings = ExecutionStressSettings()
    cross_validation: CrossValidationSettings = CrossValidationSettings()
    scanner: ScannerSettings = ScannerSettings()
    session: SessionSettings = SessionSettings()
    alpaca: AlpacaSettings = AlpacaSettings()
    exchange: ExchangeSettings = ExchangeSettings()
    alerts: AlertSettings = AlertSettings()
    dagster: DagsterSettings = DagsterSettings()
    file: Path = Field(
        Path(DEFAULT_FILE), exclude=True, description="the file these settings came from"
    )
    as_of: datetime | None = Field(
        None,
        exclude=True,
        description=(
            "show the lake as it was known at this instant; set by --as-of, never by a file"
        ),
    )
    notes: tuple[str, ...] = Field(
        (),
        exclude=True,
        description=(
            "what whoever gave these settings should know: old names, variables that mean nothing"
        ),
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given alone: `Settings()` is the defaults, and `load_settings` brings its own
        sources.
        """
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @field_validator("strategies", mode="before")
    @classmethod
    def _over_defaults(cls, given: Any) -> Any:
        """The default strategies, each with what is given of it, and those that are new."""
        if not isinstance(given, dict):
            return given
        defaults = {name: strategy.model_dump() for name, strategy in DEFAULT_STRATEGIES.items()}
        return {
            name: {**defaults.get(name, {}), **chosen} if isinstance(chosen, dict) else chosen
            for name, chosen in (defaults | given).items()
        }

    @property
    def folder(self) -> Path:
        """The folder that relative paths count from."""
        return self.file.resolve().parent

    @property
    def lake_root(self) -> Path | str:
        """Root of the lake: a folder, or the URL of an object store."""
        return (
            self.paths.lake
            if "://" in self.paths.lake
            else absolute_path(self.paths.lake, self.folder)
        )

    @property
    def state_root(self) -> Path:
        """Folder of everything that is not a table; under `as_of` one of its own, so that looking
        back touches nothing.
        """
        return (
            self.present_state_root
            if self.as_of is None
            else self.present_state_root / "as_of" / f"{self.as_of:%Y%m%dT%H%M%S.%fZ}"
        )

    @property
    def present_state_root(self) -> Path:
        """The state folder of the present, whatever `as_of` says."""
        return absolute_path(self.paths.state, self.folder)

    @property
    def active_strategies(self) -> dict[str, StrategySettings]:
        """The strategies that are switched on."""
        return {name: strategy for name, strategy in self.strategies.items() if strategy.enabled}

    @property
    def active_portfolios(self) -> dict[str, SharedAccountSettings]:
        """The accounts of several strategies that are switched on."""
        return {name: account for name, account in self.portfolios.items() if account.enabled}

    @property
    def session_strategies(self) -> tuple[str, ...]:
        """The strategies that a session trades, in order."""
        if not self.session.portfolio:
            return (self.session.strategy,)
        return self.portfolios[self.session.portfolio].strategies

    @property
    def backtest_names(self) -> tuple[str, ...]:
        """Everything that is backtested: active strategies, then portfolios of them."""
        return (*self.active_strategies, *self.active_portfolios)

    @property
    def trade_horizon(self) -> int:
        """Horizon, in bars, of the model that trades."""
        return self.model.trade_horizon_bars or min(self.labels.horizons_bars)

    def risk_of(self, strategy: str) -> RiskSettings:
        """`[risk]` with the rule of size that a strategy has of its own."""
        return sized_by(self.risk, self.strategies[strategy].risk)

    def labels_of(self, strategy: str) -> LabelSettings:
        """`[labels]` with the bracket that a strategy has of its own."""
        return self.labels.with_bracket(self.strategies[strategy].bracket)

    @property
    def event_labels(self) -> LabelSettings:
        """The settings of the labels that are made: those of the strategy whose events they are."""
        return self.labels_of(self.session.strategy)
