"""harmony.toml and the environment, composed once into one validated `Settings` object.

Precedence: the defaults beside each part, then the TOML file, then variables like `HARMONY__MARKET__TIMEFRAME=1Hour`
(two underscores between levels). `${NAME}` and `${NAME:-default}` inside TOML text are taken from the environment. Relative
paths count from the folder of the file. Unknown keys and impossible values are refused by name, with the valid
choices. Secrets are never settings: they are read from the environment where they are used.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from harmony_pipeline.backtest.settings import BacktestSettings
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.execution.settings import CostSettings, LuckSettings
from harmony_pipeline.features.settings import FeatureSettings, RegimeSettings
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.settings import MarketSettings, lake_path
from harmony_pipeline.models.settings import GateSettings, ModelSettings
from harmony_pipeline.part import Part
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.robustness.settings import MonteCarloSettings, OverfittingSettings
from harmony_pipeline.scanner.settings import ScannerSettings
from harmony_pipeline.session.settings import SessionSettings
from harmony_pipeline.storage.settings import LakeSettings
from harmony_pipeline.strategies.settings import DEFAULT_STRATEGIES, StrategySettings

DEFAULT_FILE = "harmony.toml"
ENVIRONMENT_PREFIX = "HARMONY__"
NOT_IN_FILES = ("file", "as_of")
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


class PathSettings(Part):
    """Where things are kept; relative to the folder of the settings file."""

    lake: str = Field("data_lake", description="root of the data lake: a folder, or s3://bucket/prefix")
    state: str = Field(".harmony/default", description="Dagster home, ledger, trained models, reports")


class Settings(Part):
    """Everything that can be chosen."""

    paths: PathSettings = PathSettings()
    lake: LakeSettings = LakeSettings()
    market: MarketSettings = MarketSettings()
    features: FeatureSettings = FeatureSettings()
    regimes: RegimeSettings = RegimeSettings()
    labels: LabelSettings = LabelSettings()
    strategies: dict[str, StrategySettings] = DEFAULT_STRATEGIES
    model: ModelSettings = ModelSettings()
    gate: GateSettings = GateSettings()
    risk: RiskSettings = RiskSettings()
    costs: CostSettings = CostSettings()
    luck: LuckSettings = LuckSettings()
    backtest: BacktestSettings = BacktestSettings()
    monte_carlo: MonteCarloSettings = MonteCarloSettings()
    overfitting: OverfittingSettings = OverfittingSettings()
    scanner: ScannerSettings = ScannerSettings()
    session: SessionSettings = SessionSettings()
    file: Path = Field(Path(DEFAULT_FILE), exclude=True, description="the file these settings came from")
    as_of: datetime | None = Field(None, exclude=True, description="show the lake as it was known at this instant; set by --as-of, never by a file")

    @property
    def folder(self) -> Path:
        """The folder that relative paths count from."""
        return self.file.resolve().parent

    @property
    def lake_root(self) -> Path | str:
        """Root of the lake: a folder, or the URL of an object store."""
        return self.paths.lake if "://" in self.paths.lake else lake_path(self.paths.lake, self.folder)

    @property
    def state_root(self) -> Path:
        """Folder of everything that is not a table; under `as_of` one of its own, so that looking back touches nothing."""
        return self.present_state_root if self.as_of is None else self.present_state_root / "as_of" / f"{self.as_of:%Y%m%dT%H%M%S.%fZ}"

    @property
    def present_state_root(self) -> Path:
        """The state folder of the present, whatever `as_of` says."""
        return lake_path(self.paths.state, self.folder)

    @property
    def active_strategies(self) -> dict[str, StrategySettings]:
        """The strategies that are switched on."""
        return {name: strategy for name, strategy in self.strategies.items() if strategy.enabled}

    @property
    def trade_horizon(self) -> int:
        """Horizon, in bars, of the model that trades."""
        return self.model.trade_horizon_bars or min(self.labels.horizons_bars)

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        market = self.market
        if market.end is not None and market.end <= market.start:
            raise ValueError(f"market.end: {market.end} is not after market.start {market.start}")
        if self.session.strategy not in self.active_strategies:
            raise ValueError(f"session.strategy: '{self.session.strategy}' is not an active strategy; choose one of {', '.join(self.active_strategies)}")
        if self.model.trade_horizon_bars is not None and self.model.trade_horizon_bars not in self.labels.horizons_bars:
            raise ValueError(f"model.trade_horizon_bars: {self.model.trade_horizon_bars} is not one of labels.horizons_bars {self.labels.horizons_bars}")
        if self.overfitting.splits % 2:
            raise ValueError(f"overfitting.splits: {self.overfitting.splits} is odd; choose an even number")
        return self


def load_settings(file: str | Path | None = None, environment: Mapping[str, str] | None = None, as_of: datetime | None = None) -> Settings:
    """Read `file` (default: `HARMONY_CONFIG`, then harmony.toml). Raises ConfigError that names file, line, key and the valid choices."""
    environment = os.environ if environment is None else environment
    path = Path(file or environment.get("HARMONY_CONFIG", DEFAULT_FILE))
    text = _read(path, required=file is not None or "HARMONY_CONFIG" in environment)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}") from None
    values = _with_environment(_expanded(raw, environment, path), environment)
    values["strategies"] = _merged_strategies(values.get("strategies", {}))
    if "as_of" in values:
        raise ConfigError(f"{path}: as_of is no setting: give it with the command, like harmony --as-of 2025-01-15T00:00Z sql ...")
    try:
        return Settings.model_validate({**values, "file": path, "as_of": as_of})
    except ValidationError as error:
        raise ConfigError("\n".join(_sentence(detail, path, text) for detail in error.errors())) from None


def parse_moment(text: str) -> datetime:
    """`2025-01-15T00:00Z` as an instant; raises ConfigError for anything without a zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigError(f"--as-of '{text}' is not an instant: write it with its zone, like 2025-01-15T00:00Z")
    return moment.astimezone(UTC)


def _read(path: Path, *, required: bool) -> str:
    if path.exists():
        return path.read_text(encoding="utf-8")
    if required:
        raise ConfigError(f"{path}: no such settings file; the embedded default is {DEFAULT_FILE}, examples are in examples/")
    return ""


def _expanded(value: Any, environment: Mapping[str, str], path: Path) -> Any:
    """`value` with ${NAME} and ${NAME:-default} replaced in every text."""
    if isinstance(value, dict):
        return {key: _expanded(inner, environment, path) for key, inner in value.items()}
    if isinstance(value, list):
        return [_expanded(inner, environment, path) for inner in value]
    if not isinstance(value, str):
        return value

    def replacement(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        found = environment.get(name, default)
        if found is None:
            raise ConfigError(f"{path}: '{value}' needs the environment variable {name}; set it, or write ${{{name}:-default}}")
        return found

    return _VARIABLE.sub(replacement, value)


def _with_environment(values: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    for name, text in sorted(environment.items()):
        if not name.startswith(ENVIRONMENT_PREFIX):
            continue
        *levels, last = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
        target = values
        for level in levels:
            target = target.setdefault(level, {})
        target[last] = _parsed(text)
    return values


def _parsed(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _merged_strategies(given: Mapping[str, Any]) -> dict[str, Any]:
    """The default strategies, each with what the file says of it, and the file's own ones."""
    defaults = {name: strategy.model_dump() for name, strategy in DEFAULT_STRATEGIES.items()}
    return {name: {**defaults.get(name, {}), **given.get(name, {})} for name in (*defaults, *(name for name in given if name not in defaults))}


def _sentence(detail: ErrorDetails, path: Path, text: str) -> str:
    """One validation error as a line that says file, line, key, what was found and what is allowed."""
    location = [str(part) for part in detail["loc"]]
    where = f"{path}{_line_of(location, text)}"
    key = ".".join(location)
    if detail["type"] == "extra_forbidden":
        known = sorted(_fields_at(location[:-1]))
        guess = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"did you mean '{guess[0]}'? " if guess else ""
        return f"{where}: unknown key {key}; {hint}valid keys here: {', '.join(known)}"
    if not location:
        return f"{where}: {detail['msg'].removeprefix('Value error, ')}"
    return f"{where}: {key} = {detail.get('input')!r}: {detail['msg']}"


def _fields_at(location: list[str]) -> list[str]:
    """Keys that are valid at a place in the settings."""
    model: type[BaseModel] = Settings
    for name in location:
        annotation = model.model_fields[name].annotation if name in model.model_fields else model
        inner = [argument for argument in (annotation, *get_args(annotation)) if isinstance(argument, type) and issubclass(argument, BaseModel)]
        model = inner[0] if inner else model
    return [name for name in model.model_fields if name not in NOT_IN_FILES]


def _line_of(location: list[str], text: str) -> str:
    """` line N` of the key in the file, best found by walking its sections; empty when it came from elsewhere."""
    if not location:
        return ""
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped.startswith("["):
            section = stripped.strip("[]").strip()
        for depth in range(len(location)):
            prefix, key = ".".join(location[:depth]), location[depth]
            if section == prefix and re.match(rf"{re.escape(key)}\s*=", stripped):
                return f" line {number}"
        if section == ".".join(location):
            return f" line {number}"
    return ""


def described(settings: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """(key, value, description) of every leaf, for `harmony doctor` and the docs."""
    for name, info in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from described(value, f"{prefix}{name}.")
        elif name not in NOT_IN_FILES:
            yield f"{prefix}{name}", value, info.description or ""
