"""Runs the code blocks of a page of `docs/` as a reader would: in order, in one folder.

- `toml` is added to the reader's `harmony.toml`, and the settings are read;
- `python` that begins with `# NAME.py` is written to that file, other `python` is run, all of a page
  in one namespace;
- `sh`: each line `harmony ...` is run; `python -m pytest FILE ...` is kept for one run of all.

A block after `<!-- not run: REASON -->` is left alone, and so are blocks of other languages.
"""

import contextlib
import io
import re
import shlex
import sys
import tomllib
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from harmony_pipeline.cli.boundary import run_command
from harmony_pipeline.config import load_settings

RUN = ("python", "toml", "sh")
_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?^```(?P<language>[a-z]+)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A fenced block of a page; reason: why it is not run, "" when it is."""

    language: str
    text: str
    line: int
    reason: str


def blocks_of(page: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(page):
        line = page.count("\n", 0, found.start("language")) + 1
        yield Block(found["language"], found["text"], line, found["reason"] or "")


@dataclass
class Reader:
    """Somebody who follows a page in `folder`, which holds a `harmony.toml`."""

    page: Path
    folder: Path
    tests: list[str] = field(default_factory=list)
    names: dict[str, Any] = field(default_factory=dict)

    def follow(self) -> int:
        """Do what each block says; how many there were to run."""
        module = sys.modules["reader"] = types.ModuleType("reader")  # classes of a script have one
        self.names = module.__dict__
        done = 0
        for block in blocks_of(self.page.read_text()):
            if block.language in RUN and not block.reason:
                getattr(self, f"_{block.language}")(block)
                done += 1
        return done

    def _python(self, block: Block) -> None:
        first = re.match(r"# ([\w/]+\.py)\n", block.text)
        if first:
            (self.folder / first[1]).write_text(block.text)
            return
        lines = "\n" * block.line
        exec(compile(lines + block.text, str(self.page), "exec"), self.names)

    def _toml(self, block: Block) -> None:
        file = self.folder / "harmony.toml"
        file.write_text(as_toml(merged(tomllib.loads(file.read_text()), tomllib.loads(block.text))))
        load_settings(file)

    def _sh(self, block: Block) -> None:
        for line in block.text.splitlines():
            words = shlex.split(line, comments=True)
            if words[:3] == ["python", "-m", "pytest"]:
                self.tests += words[3:]
            elif words[:1] == ["harmony"]:
                told = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
                with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
                    code = run_command(words[1:])
                said = told.buffer.getvalue().decode()
                assert code == 0, f"{self.page.name}:{block.line}: {line}\n{said}"
            else:
                assert not words, f"{self.page.name}:{block.line}: who runs '{line}'?"


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Tables are made longer; `parameters`, which stand in one line, are replaced."""
    both = {
        key: merged(old[key], new[key])
        for key in old.keys() & new.keys() - {"parameters"}
        if isinstance(new[key], dict)
    }
    return {**old, **new, **both}


def as_toml(value: Any) -> str:
    """A table at the top as `key = value` lines, deeper ones inline."""
    return "\n".join(f"{_key(name)} = {_inline(one)}" for name, one in value.items()) + "\n"


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(k)} = {_inline(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_inline(one) for one in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def _key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name) else f'"{name}"'
