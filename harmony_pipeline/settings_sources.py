"""Where settings come from: a TOML file and the environment, as pydantic-settings reads them.

Variables are named like `HARMONY__MARKET__TIMEFRAME`, with two underscores between levels; case
does not count. A list or a section in a variable is written as in TOML. `${NAME}` and
`${NAME:-default}` inside TOML text are taken from the environment. A key that was renamed is taken
under its old name too.
"""

import re
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.text import one_line, printable

DEFAULT_FILE = "harmony.toml"
PREFIX = "HARMONY__"
SHORT_PREFIXES = ("HARMONY_ALPACA__", "HARMONY_SESSION__")
"""Sections whose variables may be written with one underscore behind HARMONY."""
RENAMED = {
    "luck": "execution_noise",
    "gate.minimum_monte_carlo_p05_return": "gate.minimum_monte_carlo_return",
}
"""Old key = new key, dots between levels. An old key is taken for one release, with a note that
names the new one.
"""
_LARGEST_FILE = 10_000_000
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


@dataclass(frozen=True)
class Variable:
    """One variable that holds a setting: its name as it was written, the levels of its key, its
    text.
    """

    name: str
    levels: tuple[str, ...]
    text: str


class EnvironmentSource(EnvSettingsSource):
    """The settings that variables hold. A top level that does not exist is passed on, so that it is
    refused.
    """

    def __init__(self, settings: type[BaseSettings], variables: list[Variable]) -> None:
        self._variables = variables
        super().__init__(
            settings, case_sensitive=False, env_prefix=PREFIX, env_nested_delimiter="__"
        )

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return {
            f"{PREFIX}{'__'.join(one.levels)}".lower(): _unquoted(one.text)
            for one in self._variables
        }

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """A list or a section as in TOML; text that is none stays text, which validation refuses by
        name.
        """
        return _toml_value(value)

    def _coerce_env_val_strict(self, field: Any, value: Any) -> Any:
        """A parameter of any type is read as in TOML: a strategy must get the number 10, not the
        text.
        """
        return _toml_value(value) if field is Any else super()._coerce_env_val_strict(field, value)

    def __call__(self) -> dict[str, Any]:
        """Values by key."""
        return {one.levels[0]: None for one in self._variables} | super().__call__()


def setting_variables(environment: Mapping[str, str], notes: list[str]) -> list[Variable]:
    """The variables that hold settings, under the present names of their keys; renamed ones are
    added to `notes`.
    """
    found: dict[tuple[str, ...], Variable] = {}
    for name, text in sorted(environment.items()):
        written = name.upper()
        if written.startswith(SHORT_PREFIXES):
            written = f"{PREFIX}{written.removeprefix('HARMONY_')}"
        if not written.startswith(PREFIX):
            continue
        levels = tuple(written[len(PREFIX) :].lower().split("__"))
        for old, new in RENAMED.items():
            former = tuple(old.split("."))
            if levels[: len(former)] == former:
                levels = (*new.split("."), *levels[len(former) :])
                present = f"{PREFIX}{'__'.join(levels)}".upper()
                notes.append(
                    f"{printable(name)} is called {printable(present)} now: the old name goes with"
                    " the next release"
                )
        if levels in found:
            raise ConfigError(
                f"{printable(name)} and {printable(found[levels].name)} set the same setting: unset"
                " one of them"
            )
        found[levels] = Variable(name, levels, text)
    return list(found.values())


def file_values(
    path: Path, text: str, environment: Mapping[str, str], notes: list[str]
) -> dict[str, Any]:
    """The values of a settings file, with variables in texts replaced and old keys under their
    present names.
    """
    try:
        values: dict[str, Any] = _expanded(tomllib.loads(text), environment, path)
    except (ValueError, RecursionError) as error:
        raise ConfigError(
            f"{printable(path)}: not valid TOML: {printable(one_line(str(error)))}"
        ) from None
    for old, new in RENAMED.items():
        _rename(values, old, new, path, notes)
    return values


def _rename(values: dict[str, Any], old: str, new: str, path: Path, notes: list[str]) -> None:
    *sections, key = old.split(".")
    for section in sections:
        values = values[section] if isinstance(values.get(section), dict) else {}
    present = new.rsplit(".", maxsplit=1)[-1]
    if key not in values:
        return
    if present in values:
        raise ConfigError(f"{printable(path)}: {old} and {new} are the same setting: keep {new}")
    values[present] = values.pop(key)
    notes.append(
        f"{printable(path)}: {old} is called {new} now: the old name goes with the next release"
    )


def _unquoted(text: str) -> str:
    value = _toml_value(text)
    return value if isinstance(value, str) else text


def _toml_value(text: Any) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


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
            raise ConfigError(
                f"{printable(path)}: '{printable(value)}' needs the environment variable {name};"
                f" set it, or write ${{{name}:-default}}"
            )
        return found

    return _VARIABLE.sub(replacement, value)


def read_text(path: Path, *, required: bool) -> str:
    """Text of the settings file; nothing where there is none and none is required."""
    shown = printable(path)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if required:
            raise ConfigError(
                f"{shown}: no such settings file; correct the path, or make one of your data with:"
                " harmony init FOLDER"
            ) from None
        return ""
    except ValueError:
        raise ConfigError(
            f"'{shown}': a path cannot hold a NUL character: correct --config"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{shown}: the settings file cannot be reached ({error.strerror}): correct the path"
        ) from None
    if stat.S_ISDIR(mode):
        raise ConfigError(
            f"{shown}: is a folder: name a settings file, such as {path / DEFAULT_FILE}"
        )
    if not stat.S_ISREG(mode):
        raise ConfigError(
            f"{shown}: is no plain file: name a settings file, such as {DEFAULT_FILE}"
        )
    return _decoded(path, shown)


def _decoded(path: Path, shown: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigError(
            f"{shown}: the settings file cannot be read ({error.strerror}): change its permissions"
        ) from None
    if len(content) > _LARGEST_FILE:
        raise ConfigError(
            f"{shown}: is larger than {_LARGEST_FILE:,} bytes, so it is no settings file: correct"
            " the path"
        )
    if content.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in content[:4]:
        raise ConfigError(f"{shown}: is written in UTF-16 or UTF-32: save it as UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{shown} line {line}: is not text in UTF-8: save it as UTF-8, or name another file"
        ) from None
    if "\0" in text:
        raise ConfigError(
            f"{shown}: holds NUL characters, so it is no text: name a settings file written in TOML"
        )
    return text.replace("\r\n", "\n")
