"""`harmony new strategy|feature|scanner NAME`: one module with its test and its page beside the
settings file, that run as they are.

Nothing is overwritten, and the settings are not edited: the lines to add are told.
"""

import importlib.util
import keyword
import os
import re
from dataclasses import dataclass
from pathlib import Path

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.text import printable

_NAME = re.compile(r"[a-z][a-z_]*")
_NAME_WITH_NUMBERS = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Part:
    """What can be scaffolded: its templates, the settings to add, and the commands that show it
    at work. `{name}` and `{kind}` stand for the module and the class.
    """

    templates: str
    lines: str
    following: tuple[str, ...]
    pattern: re.Pattern[str] = _NAME_WITH_NUMBERS
    allowed: str = "lower-case letters, digits and _, a letter first"


_BACKTEST = ("harmony backfill research", "harmony backtest {name}")
PARTS = {
    "strategy": Part("strategy", '[strategies.{name}]\nuse = "{name}:{kind}"', _BACKTEST),
    "machine": Part("machine", '[strategies.{name}]\nuse = "{name}:{kind}"', _BACKTEST),
    "feature": Part(
        "feature",
        '[features]\nown = ["{name}:INDICATOR"]\nnames = [{names}, "{name}_10"]',
        (
            "harmony backfill research",
            'harmony sql "select symbol, timestamp, {name}_10 from features limit 5"',
        ),
        _NAME,
        "lower-case letters and _, a letter first: numbers are parameters",
    ),
    "scanner": Part(
        "scanner",
        '[scanner]\nuse = "{name}:{kind}"',
        ("harmony backfill research", "harmony scan"),
    ),
}


@dataclass(frozen=True)
class Scaffolded:
    """The files that were written, the lines to add to the settings, and the commands to type."""

    files: tuple[Path, ...]
    lines: str
    following: tuple[str, ...]


def scaffold(
    what: str, name: str, folder: Path, taken: tuple[str, ...] = (), features: tuple[str, ...] = ()
) -> Scaffolded:
    """Write the files of a new part into `folder`. `taken` are names in the settings, `features`
    the columns that they have.

    Raises ConfigError for a name that cannot be, or a file that exists; then nothing is written.
    """
    part = PARTS[what]
    _refuse_name(part, name, folder, taken)
    kind = "".join(word.capitalize() for word in name.split("_"))
    files = {
        folder / f"{name}.py": f"{part.templates}.py.j2",
        folder / f"test_{name}.py": f"test_{part.templates}.py.j2",
        folder / f"{name}.md": f"{part.templates}.md.j2",
    }
    for file in files:
        if os.path.lexists(file):
            raise ConfigError(
                f"{printable(file)} exists and is not overwritten: choose another name, or move it"
                " away"
            )
    names = ", ".join(f'"{column}"' for column in features)
    lines = part.lines.format(name=name, kind=kind, names=names)
    values = {
        "name": name,
        "kind": kind,
        "words": name.replace("_", " ").strip().capitalize(),
        "lines": lines,
        "test": f"test_{name}.py",
    }
    folder.mkdir(parents=True, exist_ok=True)
    for file, template in files.items():
        with file.open("x", encoding="utf-8") as stream:
            stream.write(_rendered(template, values))
    return Scaffolded(
        tuple(files), lines, tuple(command.format(name=name) for command in part.following)
    )


def _refuse_name(part: Part, name: str, folder: Path, taken: tuple[str, ...]) -> None:
    shown = printable(name)
    if not part.pattern.fullmatch(name) or keyword.iskeyword(name):
        raise ConfigError(f"'{shown}' cannot be the name of a module: use {part.allowed}")
    if name in taken:
        raise ConfigError(f"the settings have '{shown}' already: choose another name")
    found = importlib.util.find_spec(name)
    if found is not None and Path(found.origin or "").parent != folder.resolve():
        raise ConfigError(
            f"a module '{shown}' is installed already and would hide yours: choose another name"
        )


def _rendered(template: str, values: dict[str, str]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("harmony_pipeline.cli"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Python and Markdown, not HTML
    )
    return environment.get_template(template).render(values)
