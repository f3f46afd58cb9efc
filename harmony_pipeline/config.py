"""harmony.toml and the environment, composed once into one validated `Settings` object.

Precedence: the defaults beside each part, then the TOML file, then variables like `HARMONY__MARKET__TIMEFRAME=1Hour`
(two underscores between levels). `${NAME}` and `${NAME:-default}` inside TOML text are taken from the environment. Relative
paths count from the folder of the file. Unknown keys and impossible values are refused by name, with the valid
choices. Secrets are never settings: they are read from the environment where they are used.
"""

import os
import re
import stat
import sys
import tomllib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, get_args

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from harmony_pipeline.backtest.settings import BacktestSettings
from harmony_pipeline.choices import nearest
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.execution.settings import CostSettings, LuckSettings
from harmony_pipeline.features.settings import FeatureSettings, RegimeSettings
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.lake.settings import LakeSettings
from harmony_pipeline.market.calendars import FIRST_DATE, LAST_DATE
from harmony_pipeline.market.settings import MarketSettings, lake_path
from harmony_pipeline.models.settings import GateSettings, ModelSettings
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.robustness.settings import MonteCarloSettings, OverfittingSettings
from harmony_pipeline.scanner.settings import ScannerSettings
from harmony_pipeline.session.settings import SessionSettings
from harmony_pipeline.settings_base import FrozenSettings
from harmony_pipeline.strategies.settings import DEFAULT_STRATEGIES, StrategySettings
from harmony_pipeline.text import one_line, printable

DEFAULT_FILE = "harmony.toml"
ENVIRONMENT_PREFIX = "HARMONY__"
ENVIRONMENT_VARIABLES = {
    "HARMONY_CONFIG": "settings file, where --config names none",
    "HARMONY_KERNEL_CACHE": "folder of compiled kernels; default ~/.cache/harmony/kernels",
    "HARMONY_DATA": "folder of recorded market data that the tests use",
}
"""Variables with one underscore that mean something; every setting has one with two: HARMONY__MARKET__TIMEFRAME."""
NOT_IN_FILES = ("file", "as_of")
_LARGEST_FILE = 10_000_000
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


class PathSettings(FrozenSettings):
    """Where things are kept; relative to the folder of the settings file."""

    lake: str = Field("data_lake", description="root of the data lake: a folder, or s3://bucket/prefix")
    state: str = Field(".harmony/default", description="Dagster home, ledger, trained models, reports, the log of failures")

    @field_validator("lake", "state")
    @classmethod
    def _is_a_path(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("the path is empty: name a folder, such as data_lake")
        if "\0" in text:
            raise ValueError("the path holds a NUL character: take it out")
        return text


class Settings(FrozenSettings):
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
        if market.end is not None and market.end > LAST_DATE:
            raise ValueError(f'market.end: {market.end} is after {LAST_DATE}, the last date of the calendars; "none" means up to today')
        if not FIRST_DATE <= market.start <= LAST_DATE:
            raise ValueError(f"market.start: {market.start} is not between {FIRST_DATE} and {LAST_DATE}, the dates of the calendars")
        if self.session.strategy not in self.active_strategies:
            raise ValueError(f"session.strategy: '{self.session.strategy}' is not an active strategy; choose one of {', '.join(self.active_strategies)}")
        if self.model.trade_horizon_bars is not None and self.model.trade_horizon_bars not in self.labels.horizons_bars:
            raise ValueError(f"model.trade_horizon_bars: {self.model.trade_horizon_bars} is not one of labels.horizons_bars {self.labels.horizons_bars}")
        if self.overfitting.splits % 2:
            raise ValueError(f"overfitting.splits: {self.overfitting.splits} is odd; choose an even number")
        return self


def load_settings(file: str | Path | None = None, environment: Mapping[str, str] | None = None, as_of: datetime | None = None) -> Settings:
    """Read `file` (default: `HARMONY_CONFIG`, then harmony.toml). Raises ConfigError that names file, line, key and the valid choices.

    The file's folder becomes importable, so that a user's own strategies and sources lie beside it.
    """
    environment = os.environ if environment is None else environment
    path = Path(file or environment.get("HARMONY_CONFIG") or DEFAULT_FILE)
    text = _read(path, required=file is not None or bool(environment.get("HARMONY_CONFIG")))
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML: {printable(one_line(str(error)))}") from None
    values = _with_environment(_expanded(raw, environment, path), environment)
    values["strategies"] = _merged_strategies(values.get("strategies", {}), path)
    if "as_of" in values:
        raise ConfigError(f"{path}: as_of is no setting: give it with the command, like harmony --as-of 2025-01-15T00:00Z sql ...")
    try:
        settings = Settings.model_validate({**values, "file": path, "as_of": as_of})
    except ValidationError as error:
        raise ConfigError("; ".join(_sentence(detail, path, text, environment) for detail in error.errors())) from None
    _make_importable(settings.folder)
    return settings


def _make_importable(folder: Path) -> None:
    """Let modules beside the settings file be imported by name, behind everything that is installed."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def parse_moment(text: str) -> datetime:
    """`2025-01-15T00:00Z` as an instant; raises ConfigError for anything without a zone."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ConfigError(f"--as-of '{printable(text, 60)}' is not an instant: write it with its zone, like 2025-01-15T00:00Z")
    return moment.astimezone(UTC)


def _read(path: Path, *, required: bool) -> str:
    """Text of the settings file; nothing where there is none and none is required."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if required:
            raise ConfigError(f"{printable(path)}: no such settings file; correct the path, or make one of your data with: harmony init FOLDER") from None
        return ""
    except ValueError:
        raise ConfigError(f"'{printable(path)}': a path cannot hold a NUL character: correct --config") from None
    except OSError as error:
        raise ConfigError(f"{printable(path)}: the settings file cannot be reached ({error.strerror}): correct the path") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "no plain file"
        raise ConfigError(f"{printable(path)}: is {kind}: name a settings file, such as {path / DEFAULT_FILE if kind == 'a folder' else DEFAULT_FILE}")
    return _decoded(path)


def _decoded(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigError(f"{printable(path)}: the settings file cannot be read ({error.strerror}): change its permissions") from None
    if len(content) > _LARGEST_FILE:
        raise ConfigError(f"{printable(path)}: is larger than {_LARGEST_FILE:,} bytes, so it is no settings file: correct the path")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content[:4]:
        raise ConfigError(f"{printable(path)}: is written in UTF-16 or UTF-32: save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{printable(path)} line {line}: is not text in UTF-8: save it as UTF-8, or name another file") from None
    if "\0" in text:
        raise ConfigError(f"{printable(path)}: holds NUL characters, so it is no text: name a settings file written in TOML")
    return text.replace("\r\n", "\n")


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
    """`values` with those of variables like HARMONY__MARKET__TIMEFRAME over them."""
    for name, text in sorted(environment.items()):
        if not name.startswith(ENVIRONMENT_PREFIX):
            continue
        *levels, last = _levels(name)
        target = values
        for depth, level in enumerate(levels):
            inner = target.setdefault(level, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{name}: {'.'.join(levels[: depth + 1])} is one value, with no setting {last} in it; {_hint(name)}")
            target = inner
        target[last] = _parsed(text)
    return values


def _levels(name: str) -> list[str]:
    """`HARMONY__MARKET__TIMEFRAME` as ["market", "timeframe"]. Raises ConfigError where a level has no name."""
    levels = name.removeprefix(ENVIRONMENT_PREFIX).lower().split("__")
    if not all(levels):
        raise ConfigError(f"{printable(name)}: a level without a name; {_hint(name)}")
    return levels


def variable_names() -> list[str]:
    """The environment variable of every setting."""
    return [f"{ENVIRONMENT_PREFIX}{key.upper().replace('.', '__')}" for key, _value, _meaning in described(Settings()) if key != "strategies"]


def _hint(name: str) -> str:
    """What a variable was probably meant to be."""
    guess = nearest(name, [*variable_names(), *ENVIRONMENT_VARIABLES])
    return f"did you mean {guess}? unset {printable(name)}" if guess else f"write it like HARMONY__MARKET__TIMEFRAME, or unset {printable(name)}"


def ignored_variables(environment: Mapping[str, str]) -> list[str]:
    """A sentence for each `HARMONY_...` variable that means nothing. Raises ConfigError for one that is a setting with too few underscores."""
    told = []
    for name in sorted(environment):
        if not name.startswith("HARMONY_") or name.startswith(ENVIRONMENT_PREFIX) or name in ENVIRONMENT_VARIABLES:
            continue
        meant = {one.replace("__", "_"): one for one in variable_names()}.get(name.replace("__", "_"))
        if meant is not None:
            raise ConfigError(f"the environment variable {name} sets nothing: write {meant}, with two underscores between levels")
        told.append(f"the environment variable {printable(name)} is not known and was ignored: {_hint(name)}")
    return told


def _parsed(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _merged_strategies(given: Any, path: Path) -> dict[str, Any]:
    """The default strategies, each with what the file says of it, and the file's own ones."""
    if not isinstance(given, dict):
        raise ConfigError(f"{path}: strategies = {printable(given)}: write a section a strategy, like [strategies.mine]")
    for name, chosen in given.items():
        if not isinstance(chosen, dict):
            raise ConfigError(f'{path}: strategies.{printable(name)} = {printable(chosen)}: write a section [strategies.NAME] with use = "module:Class"')
    defaults = {name: strategy.model_dump() for name, strategy in DEFAULT_STRATEGIES.items()}
    return {name: {**defaults.get(name, {}), **given.get(name, {})} for name in (*defaults, *(name for name in given if name not in defaults))}


def _sentence(detail: ErrorDetails, path: Path, text: str, environment: Mapping[str, str]) -> str:
    """One validation error as a line that says file and line or variable, key, what was found and what is allowed."""
    location = [str(part) for part in detail["loc"]]
    where = _variable_of(location, environment) or f"{path}{_line_of(location, text)}"
    key = printable(".".join(location))
    if detail["type"] == "extra_forbidden":
        known = sorted(_fields_at(location[:-1]))
        guess = nearest(location[-1], known)
        hint = f"did you mean '{guess}'? " if guess else ""
        return f"{where}: unknown key {key}; {hint}valid keys here: {', '.join(known)}"
    said = detail["msg"].removeprefix("Value error, ")
    if not location:
        return f"{where}: {said}"
    return f"{where}: {key} = {printable(repr(detail.get('input')))}: {said}"


def _variable_of(location: list[str], environment: Mapping[str, str]) -> str | None:
    """The environment variable that a value came from; None when it came from the file."""
    names = {ENVIRONMENT_PREFIX + "__".join(location[:depth]).upper() for depth in range(1, len(location) + 1)}
    wanted = ENVIRONMENT_PREFIX + "__".join(location).upper()
    return next((name for name in sorted(environment) if name.upper() in names or name.upper().startswith(f"{wanted}__")), None)


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
