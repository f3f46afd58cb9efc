"""A value that validation refuses, in one line: where it was written, its key, what was found, what
is allowed.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harmony_pipeline.error_messages import is_secret_name
from harmony_pipeline.settings_sources import Variable
from harmony_pipeline.suggestions import nearest
from harmony_pipeline.text import holds_password, printable

# pydantic adds the branch of a union to the key
_UNION_BRANCH = re.compile(r"literal\[.*\]|int|str|float|bool")
_SECTION_TYPES = ("model_type", "dict_type")
_LIST_TYPES = ("tuple_type", "list_type")
_OF_SECTIONS = ("value_error", "missing")  # what can be wrong with a section itself


@dataclass(frozen=True)
class Origin:
    """What was validated: the class, its fields that are no settings, the file with its text, the
    variables. Values of a script have no file: their lines begin with the key. `above`: the section
    that the class is of, where it is not the whole settings.
    """

    model: type[BaseModel]
    hidden: Collection[str] = ()
    path: Path | None = None
    text: str = ""
    variables: Sequence[Variable] = ()
    above: tuple[str, ...] = ()


def error_line(error: ValidationError, origin: Origin) -> str:
    """Everything that is wrong, each value once."""
    found: dict[str, list[str]] = {}
    for detail in error.errors():
        location = [str(part) for part in detail["loc"]]
        while location and _UNION_BRANCH.fullmatch(location[-1]):
            location.pop()
        found.setdefault(_subject(detail, location, origin), []).append(
            _complaint(detail, location, origin)
        )
    return "; ".join(
        f"{subject}: {' or '.join(dict.fromkeys(said))}" if subject else "; ".join(said)
        for subject, said in found.items()
    )


def _subject(detail: ErrorDetails, location: list[str], origin: Origin) -> str:
    """Where the value was written, its key, and the value unless it is long or secret."""
    written = location[:-1] if detail["type"] == "missing" else location
    file = (
        "" if origin.path is None else f"{printable(origin.path)}{_line_of(written, origin.text)}"
    )
    where = _variable_of(written, origin.variables) or file
    if not location or detail["type"] == "extra_forbidden":
        return where
    key, value = printable(".".join((*origin.above, *location))), detail.get("input")
    before = f"{where}: " if where else ""
    if isinstance(value, (dict, list, tuple, BaseModel)) or detail["type"] == "missing":
        return f"{before}{key}"
    secret = any(map(is_secret_name, location)) or holds_password(str(value))
    return f"{before}{key} = {'<not shown>' if secret else printable(repr(value))}"


def _complaint(detail: ErrorDetails, location: list[str], origin: Origin) -> str:
    """What is wrong with the value, and what is allowed."""
    if detail["type"] == "extra_forbidden":
        return _unknown_key(location, origin)
    if detail["type"] in _SECTION_TYPES:
        keys = _keys_at(location, origin)
        return (
            f"is one value where a section is needed, with keys like {', '.join(keys[:6])}"
            if keys
            else "is one value where a section is needed"
        )
    if detail["type"] in _LIST_TYPES:
        return 'is no list: write one as in TOML, like [1, 2] or ["a", "b"]'
    said = detail["msg"].removeprefix("Value error, ")
    return (
        f"is a section where one value is needed: {said}"
        if isinstance(detail.get("input"), dict) and detail["type"] not in _OF_SECTIONS
        else said
    )


def _unknown_key(location: list[str], origin: Origin) -> str:
    keys = _keys_at(location[:-1], origin)
    guess = nearest(location[-1], keys)
    hint = f"did you mean '{guess}'? " if guess else ""
    key = printable(".".join((*origin.above, *location)))
    return f"unknown key {key}; {hint}valid keys here: {', '.join(keys)}"


def _keys_at(location: Sequence[str], origin: Origin) -> list[str]:
    """Keys that are valid in a section."""
    model = origin.model
    for name in location:
        annotation = model.model_fields[name].annotation if name in model.model_fields else model
        inner = [
            one
            for one in (annotation, *get_args(annotation))
            if isinstance(one, type) and issubclass(one, BaseModel)
        ]
        model = inner[0] if inner else model
    return sorted(set(model.model_fields) - set(origin.hidden))


def _variable_of(location: Sequence[str], variables: Sequence[Variable]) -> str | None:
    """The variable that a value came from, the one nearest to it where several did; None for a
    value of the file.
    """
    key = tuple(part.lower() for part in location)
    found = [
        one
        for one in variables
        if key and (one.levels == key[: len(one.levels)] or key == one.levels[: len(key)])
    ]
    return printable(max(found, key=lambda one: len(one.levels)).name) if found else None


def _line_of(location: Sequence[str], text: str) -> str:
    """` line N` of the key in the file, best found by walking its sections; empty when it came from
    elsewhere.
    """
    # places in lists have no lines of their own
    location = [part for part in location if not part.isdigit()]
    section = ""
    for number, line in enumerate(text.splitlines() if location else (), start=1):
        stripped = line.strip()
        if stripped.startswith("["):
            section = stripped.strip("[]").strip()
        heads = ((".".join(location[:depth]), key) for depth, key in enumerate(location))
        if section == ".".join(location) or any(
            section == head and re.match(rf"{re.escape(key)}\s*=", stripped) for head, key in heads
        ):
            return f" line {number}"
    return ""
