"""harmony.toml and the environment, composed once into one validated `Settings` object.

Precedence: the defaults beside each part, then the TOML file, then variables like
`HARMONY__MARKET__TIMEFRAME=1Hour`. Relative paths count from the folder of the file. Unknown keys
and impossible values are refused by name, with the valid choices. Secrets are never settings: they
are read from the environment where they are used.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from harmony_pipeline.alerts.settings import AlertSettings
from harmony_pipeline.dagster_settings import DagsterSettings
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.exchange.settings import ExchangeSettings
from harmony_pipeline.execution.brokers.alpaca.settings import AlpacaSettings
from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
from harmony_pipeline.features.catalog import register_own
from harmony_pipeline.features.settings import FeatureSettings, RegimeSettings
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.lake.settings import LakeSettings
from harmony_pipeline.market.calendars import FIRST_DATE, LAST_DATE
from harmony_pipeline.market.news.settings import NewsSettings
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.models.settings import CrossValidationSettings, GateSettings, ModelSettings
from harmony_pipeline.portfolio.settings import BacktestSettings, SharedAccountSettings
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.risk.strategy_terms import looser_limits, sized_by
from harmony_pipeline.robustness.settings import (
    ExecutionStressSettings,
    MonteCarloSettings,
    OverfittingSettings,
)
from harmony_pipeline.scanner.settings import ScannerSettings
from harmony_pipeline.session.settings import SessionSettings
from harmony_pipeline.settings_base import FrozenSettings, absolute_path
from harmony_pipeline.settings_errors import Origin, error_line
from harmony_pipeline.settings_sources import (
    DEFAULT_FILE,
    PREFIX,
    SHORT_PREFIXES,
    EnvironmentSource,
    file_values,
    read_text,
    setting_variables,
)
from harmony_pipeline.strategies.settings import (
    DEFAULT_STRATEGIES,
    StrategySettings,
    acts_on_quotes,
)
from harmony_pipeline.suggestions import nearest
from harmony_pipeline.text import printable

ENVIRONMENT_VARIABLES = {
    "HARMONY_CONFIG": "settings file, where --config names none",
    "HARMONY_KERNEL_CACHE": "folder of compiled kernels, built calendars and other things"
    " that are kept between commands; default ~/.cache/harmony",
    "HARMONY_DATA": "folder of recorded market data that the tests use",
    "HARMONY_WORKSPACE": "Dagster's workspace file, in place of the one that comes with Harmony",
    "HARMONY_MONITOR_TOKEN": "token of the monitor's kill switch; one is made without it",
    "HARMONY_SLACK_WEBHOOK": "address of the alerts' channel slack",
    "HARMONY_DISCORD_WEBHOOK": "address of the alerts' channel discord",
    "HARMONY_TELEGRAM_TOKEN": "of the bot of the alerts' channel telegram",
    "HARMONY_ALERT_WEBHOOK": "address of the alerts' channel webhook",
    "HARMONY_SMTP_USER": "of the alerts' channel email, with HARMONY_SMTP_PASSWORD",
    "HARMONY_SMTP_PASSWORD": "of the alerts' channel email",
}
"""Variables with one underscore that mean something; every setting has one with two:
HARMONY__MARKET__TIMEFRAME.
"""
NOT_IN_FILES = ("file", "as_of", "notes")


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


class Settings(BaseSettings):
    """Everything that can be chosen."""

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

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        market = self.market
        if market.end is not None and market.end <= market.start:
            raise ValueError(f"market.end: {market.end} is not after market.start {market.start}")
        if market.end is not None and market.end > LAST_DATE:
            raise ValueError(
                f"market.end: {market.end} is after {LAST_DATE}, the last date of the calendars;"
                ' "none" means up to today'
            )
        if not FIRST_DATE <= market.start <= LAST_DATE:
            raise ValueError(
                f"market.start: {market.start} is not between {FIRST_DATE} and {LAST_DATE}, the"
                " dates of the calendars"
            )
        _check_session(self)
        for name in self.active_strategies:
            check_own_rules(self, name)
        for name, account in self.active_portfolios.items():
            _check_portfolio(name, account, self)
        _check_quotes(self)
        if (
            self.model.trade_horizon_bars is not None
            and self.model.trade_horizon_bars not in self.labels.horizons_bars
        ):
            raise ValueError(
                f"model.trade_horizon_bars: {self.model.trade_horizon_bars} is not one of"
                f" labels.horizons_bars {self.labels.horizons_bars}"
            )
        validation = self.cross_validation
        if validation.test_groups >= validation.groups:
            raise ValueError(
                f"cross_validation.test_groups: {validation.test_groups} of {validation.groups}"
                " groups leave nothing to train on; choose fewer"
            )
        if self.overfitting.splits % 2:
            raise ValueError(
                f"overfitting.splits: {self.overfitting.splits} is odd; choose an even number"
            )
        return self


def _check_session(settings: Settings) -> None:
    """Raises ValueError for a session of what cannot be traded."""
    if settings.session.strategy not in settings.active_strategies:
        raise ValueError(
            f"session.strategy: '{settings.session.strategy}' is not an active strategy; choose one"
            f" of {', '.join(settings.active_strategies)}"
        )
    if settings.session.rescan_at and settings.session.watch != "scanner":
        raise ValueError(
            "session.rescan_at: a session that watches the universe has nothing to scan; set"
            ' session.watch = "scanner", or take the times away'
        )
    if settings.session.portfolio and settings.session.portfolio not in settings.active_portfolios:
        raise ValueError(
            f"session.portfolio: '{settings.session.portfolio}' is no active portfolio; choose of"
            f" {', '.join(settings.active_portfolios) or 'none: add one under [portfolios]'}"
        )
    trades = settings.session.broker != "simulated" or settings.session.replay_days > 0
    for name in settings.session_strategies if trades else ():
        if settings.labels_of(name).entry == "close":
            raise ValueError(
                f'{_entry_key(settings, name)} = "close": entries at closes are backtested alone,'
                f" since no session has an order for a bar's close, and sessions trade {name}: set"
                ' it to "open", or session.replay_days = 0 and session.broker = "simulated"'
            )
    for name in settings.session_strategies if settings.session.portfolio else ():
        if settings.strategies[name].uses_model and name != settings.session.strategy:
            raise ValueError(
                f"session.portfolio: {name} uses the model, which is that of session.strategy"
                f" '{settings.session.strategy}': set session.strategy = '{name}', or uses_model ="
                " false"
            )


def _entry_key(settings: Settings, name: str) -> str:
    """The key that says where the entries of a strategy fill."""
    own = settings.strategies[name].bracket.entry is not None
    return f"strategies.{name}.bracket.entry" if own else "labels.entry"


def _check_quotes(settings: Settings) -> None:
    """Raises ValueError where a strategy on quotes is asked for what judges or follows bars."""
    active = settings.active_strategies
    on_bars = ", ".join(name for name, one in active.items() if not acts_on_quotes(one))
    for name, chosen in active.items():
        if not acts_on_quotes(chosen):
            continue
        for key, asked, other in (
            ("uses_model", chosen.uses_model, "false"),
            ("watch", chosen.watch == "scanner", '"universe"'),
        ):
            if asked:
                raise ValueError(
                    f"strategies.{name}.{key}: the strategy acts on quotes, and this is of signals"
                    f" of bars: set {key} = {other}"
                )
        if settings.risk_of(name).sizing == "bandit":
            own = f"strategies.{name}." if chosen.risk.sizing is not None else ""
            raise ValueError(
                f"{own}risk.sizing: bandit learns from signals of bars, and {name} acts on quotes:"
                f" choose another sizing, or set strategies.{name}.enabled = false"
            )
        if settings.labels_of(name).entry == "close":
            raise ValueError(
                f"{_entry_key(settings, name)}: a bar has a close, and {name} acts on quotes: set"
                f' strategies.{name}.bracket.entry = "open"'
            )
        _refuse_limits_of_bars(name, chosen)
        if name in settings.session_strategies:
            raise ValueError(
                f"session.strategy: '{name}' is backtested over quotes and is no part of a session:"
                f" choose one on bars: {on_bars or 'switch one on'}"
            )


def _refuse_limits_of_bars(name: str, chosen: StrategySettings) -> None:
    """Raises ValueError for limits of its own that a strategy on quotes has of its account."""
    for key in ("max_daily_loss", "symbol_cooldown_minutes"):
        if chosen.risk.model_dump()[key] is not None:
            raise ValueError(
                f"strategies.{name}.risk.{key}: the strategy acts on quotes and has an account of"
                f" its own: set risk.{key} instead"
            )


def check_own_rules(settings: Settings, name: str) -> None:
    """Raises ValueError for what a strategy has of its own and cannot have."""
    chosen, where = settings.strategies[name], f"strategies.{name}"
    for sentence in looser_limits(settings.risk, chosen.risk):
        raise ValueError(f"{where}.risk.{sentence}")
    try:
        settings.risk_of(name)
    except ValueError as error:
        raise ValueError(f"{where}.risk.{error}") from None
    shared, own = settings.labels.vertical, settings.labels_of(name).vertical
    if own != shared and name == settings.session.strategy:
        raise ValueError(
            f"{where}.bracket.vertical: horizons of labels are those of session.strategy, which"
            f' this is: set labels.vertical = "{own}" instead'
        )
    if own != shared and chosen.horizon_bars is None:
        raise ValueError(
            f"{where}.bracket.vertical: labels.horizons_bars count {shared}, not {own}: set"
            f" {where}.horizon_bars, too"
        )
    if chosen.uses_model:
        _check_forecast(settings, name)


def _check_forecast(settings: Settings, name: str) -> None:
    """Raises ValueError for a strategy that is left by other barriers than the model forecasts."""
    where, teacher = f"strategies.{name}", settings.session.strategy
    horizon = settings.strategies[name].horizon_bars
    if horizon not in (None, settings.trade_horizon):
        raise ValueError(
            f"{where}.horizon_bars: the model forecasts trades of {settings.trade_horizon}"
            " (model.trade_horizon_bars): set that to the same and name it in"
            " labels.horizons_bars, or take horizon_bars out"
        )
    if settings.labels_of(name) != settings.event_labels:
        raise ValueError(
            f"{where}.bracket: {name} uses the model, whose labels have the bracket of"
            f" session.strategy '{teacher}': give both the same, set session.strategy = '{name}',"
            f" or switch it off ({where}.enabled = false)"
        )


def _check_portfolio(name: str, account: SharedAccountSettings, settings: Settings) -> None:
    """Raises ValueError for a portfolio of what is no active strategy."""
    strategies = settings.strategies
    if name in strategies:
        raise ValueError(
            f"portfolios.{name}: a strategy has this name, and both have backtests: choose another"
        )
    active = [one for one, chosen in strategies.items() if chosen.enabled]
    for member in account.strategies:
        if member not in active:
            raise ValueError(
                f"portfolios.{name}.strategies: '{member}' is not an active strategy; choose of"
                f" {', '.join(active)}"
            )
        if acts_on_quotes(strategies[member]):
            raise ValueError(
                f"portfolios.{name}.strategies: '{member}' acts on quotes and has an account of its"
                " own: take it out of the portfolio"
            )
        if settings.risk_of(member).sizing == "bandit":
            own = strategies[member].risk.sizing is not None
            raise ValueError(
                f"{f'strategies.{member}.' if own else ''}risk.sizing: bandit learns the size of"
                f" one strategy, and strategies of the portfolio {name} share an account: choose"
                " another sizing, or switch the portfolio off"
            )


def load_settings(
    file: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
    as_of: datetime | None = None,
) -> Settings:
    """Read `file` (default: `HARMONY_CONFIG`, then harmony.toml). Raises ConfigError that names
    file, line, key and the valid choices.

    The file's folder becomes importable, so that a user's own strategies and sources lie beside it.
    """
    environment = os.environ if environment is None else environment
    path = Path(file or environment.get("HARMONY_CONFIG") or DEFAULT_FILE)
    text = read_text(path, required=file is not None or bool(environment.get("HARMONY_CONFIG")))
    notes: list[str] = []
    values = file_values(path, text, environment, notes)
    variables = setting_variables(environment, notes)
    _refuse_no_settings(
        {
            **{key: printable(path) for key in values},
            **{one.levels[0]: one.name for one in variables},
        }
    )
    for one in variables:
        if not all(one.levels):
            raise ConfigError(f"{printable(one.name)}: a level without a name; {_hint(one.name)}")
    given = {"file": path, "as_of": as_of, "notes": (*notes, *ignored_variables(environment))}
    sources = (
        InitSettingsSource(Settings, given),
        EnvironmentSource(Settings, variables),
        InitSettingsSource(Settings, values),
    )
    try:
        settings = Settings(_build_sources=(sources, {}))
    except ValidationError as error:
        raise ConfigError(
            error_line(error, Origin(Settings, NOT_IN_FILES, path, text, variables))
        ) from None
    make_own_code_importable(settings)
    return settings


def make_own_code_importable(settings: Settings) -> None:
    """Let modules beside the settings file be imported by name, behind everything that is
    installed, and register the indicators that the settings name.
    """
    folder = str(settings.folder)
    if folder not in sys.path:
        sys.path.append(folder)
    for path in settings.features.own:
        register_own(path)


def _refuse_no_settings(given: Mapping[str, str]) -> None:
    """Raises ConfigError for fields that only the command sets; `given` says where each key was
    found.
    """
    if "as_of" in given:
        raise ConfigError(
            f"{given['as_of']}: as_of is no setting: give it with the command, like harmony --as-of"
            " 2025-01-15T00:00Z sql ..."
        )
    for key in NOT_IN_FILES:
        if key in given:
            raise ConfigError(f"{given[key]}: {key} is no setting: take it out")


def parse_moment(text: str) -> datetime:
    """`2025-01-15T00:00Z` as an instant; raises ConfigError for anything without a zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigError(
            f"--as-of '{printable(text, 60)}' is not an instant: write it with its zone, like"
            " 2025-01-15T00:00Z"
        )
    return moment.astimezone(UTC)


def variable_names() -> list[str]:
    """The environment variable of every setting."""
    return [
        f"{PREFIX}{key.upper().replace('.', '__')}"
        for key, _value, _meaning in described(Settings())
        if key not in ("strategies", "portfolios")
    ]


def _hint(name: str) -> str:
    """What a variable was probably meant to be."""
    guess = nearest(name, [*variable_names(), *ENVIRONMENT_VARIABLES])
    return (
        f"did you mean {guess}? unset {printable(name)}"
        if guess
        else f"write it like HARMONY__MARKET__TIMEFRAME, or unset {printable(name)}"
    )


def ignored_variables(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each `HARMONY_...` variable that means nothing. Raises ConfigError for one
    that is a setting with too few underscores.
    """
    told = []
    for name in sorted(environment):
        if (
            not name.startswith("HARMONY_")
            or name.upper().startswith((PREFIX, *SHORT_PREFIXES))
            or name in ENVIRONMENT_VARIABLES
        ):
            continue
        meant = {one.replace("__", "_"): one for one in variable_names()}.get(
            name.replace("__", "_")
        )
        if meant is not None:
            raise ConfigError(
                f"the environment variable {name} sets nothing: write {meant}, with two underscores"
                " between levels"
            )
        told.append(
            f"the environment variable {printable(name)} is not known and was ignored:"
            f" {_hint(name)}"
        )
    return told


def described(settings: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """(key, value, description) of every leaf, for `harmony doctor` and the docs."""
    for name, info in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from described(value, f"{prefix}{name}.")
        elif name not in NOT_IN_FILES:
            yield f"{prefix}{name}", value, info.description or ""
