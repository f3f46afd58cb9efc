"""Where the lake of a settings file lies, kept from one command to the next.

Reading and checking all settings takes longer than most questions to the lake, and of the settings
such a question needs the lake's place and the columns of its feature table alone. They are kept in
a file named by all that they are made from: the settings file, the variables, the code. Nothing is
kept where a user's own code has a say (a strategy or feature of theirs), and what is kept can be
lost at any time.
"""

import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harmony_pipeline.files import cache_root, write_text
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.schemas import features_table

_PACKAGE = Path(__file__).parents[1]
_VARIABLE = re.compile(rb"\$\{(\w+)")
_LARGEST_FILE = 1_000_000
_MOST_FILES = 100


@dataclass(frozen=True)
class KnownLake:
    """What a question to the lake needs of the settings."""

    root: str
    state: str
    features: tuple[str, ...]
    lock_timeout_seconds: float
    endpoint: str | None
    notes: tuple[str, ...]

    def lake(self) -> Lake:
        """The lake of the present; nothing is opened yet."""
        return Lake(
            self.root if "://" in self.root else Path(self.root),
            {"features": features_table(self.features)},
            lock_timeout_seconds=self.lock_timeout_seconds,
            endpoint=self.endpoint,
        )


def known_lake(
    file: Path | None, read: Callable[[], Any], environment: Mapping[str, str] = os.environ
) -> KnownLake:
    """What was kept of these settings, else what `read` finds in them; `file` is that of --config
    or HARMONY_CONFIG, None: harmony.toml of the present folder.
    """
    kept = _kept_file(file, environment)
    if kept is not None:
        try:
            found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
            found |= {name: tuple(found[name]) for name in ("features", "notes")}
            return KnownLake(**found)
        except (OSError, ValueError, KeyError, TypeError):
            pass
    settings = read()
    known = _of_settings(settings)
    if kept is not None and not _own_code(settings):
        # a disk that takes nothing: the settings are read again next time
        with suppress(OSError):
            write_text(kept, json.dumps(asdict(known)), durable=False)
            _forget_oldest(kept.parent)
    return known


def _forget_oldest(folder: Path) -> None:
    """Leave the newest files: a settings file that is edited makes a new one each time."""
    files = sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime_ns)
    for file in files[:-_MOST_FILES]:
        file.unlink(missing_ok=True)


def _of_settings(settings: Any) -> KnownLake:
    from harmony_pipeline.stages.context import PipelineContext

    return KnownLake(
        str(settings.lake_root),
        str(settings.present_state_root),
        tuple(PipelineContext(settings).feature_set.names),
        settings.lake.lock_timeout_seconds,
        settings.lake.endpoint,
        tuple(settings.notes),
    )


def _own_code(settings: Any) -> bool:
    """Whether the columns of the feature table follow from code that is not of this package."""
    uses = [strategy.use for strategy in settings.active_strategies.values()]
    return bool(settings.features.own) or any(
        not use.startswith(f"{_PACKAGE.name}.") for use in uses
    )


def _kept_file(file: Path | None, environment: Mapping[str, str]) -> Path | None:
    """The file of these settings; None where they cannot be told apart."""
    path = (file or Path("harmony.toml")).absolute()
    try:
        text = path.read_bytes() if path.exists() else b""
        if len(text) > _LARGEST_FILE or (file is not None and not text):
            return None
        referred = {name.decode() for name in _VARIABLE.findall(text)}
        variables = {
            name: value
            for name, value in environment.items()
            if name.upper().startswith("HARMONY") or name in referred
        }
        parts = (str(path.resolve()), hashlib.sha256(text).hexdigest(), sorted(variables.items()),
                 sys.version, [*_code(_PACKAGE)])  # fmt: skip
    except (OSError, ValueError):
        return None
    name = hashlib.sha256(repr(parts).encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return cache_root("lakes") / f"{name}.json"


def _code(folder: Path) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of each source of the package."""
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if entry.name.endswith(".py"):
                found = entry.stat()
                yield entry.name, found.st_size, found.st_mtime_ns
            elif entry.is_dir() and entry.name != "__pycache__":
                yield from _code(Path(entry.path))
