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

from pydantic import BaseModel, ValidationError, model_validator
from pydantic_settings import InitSettingsSource

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.features.catalog import register_own
from harmony_pipeline.settings_checks import check_parts, unused_bracket
from harmony_pipeline.settings_errors import Origin, error_line
from harmony_pipeline.settings_model import SettingsModel
from harmony_pipeline.settings_sources import (
    DEFAULT_FILE,
    PREFIX,
    SHORT_PREFIXES,
    EnvironmentSource,
    file_values,
    read_text,
    setting_variables,
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


class Settings(SettingsModel):
    """Everything that can be chosen."""

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        check_parts(self)
        return self


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
    said = (unused_bracket(settings, name) for name in settings.active_strategies)
    return settings.model_copy(update={"notes": (*settings.notes, *filter(None, said))})


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
