"""What commands made without Dagster, to be told to it later.

Importing Dagster, loading the graph and recording a run take ten times as long as a scan of one
day. So `harmony scan` runs the stage alone and notes its result in the state folder; whoever opens
Dagster's instance next, or a sensor of the running UI, reports the partition as materialised
(`assets/reporting.py`).
"""

import pickle
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from harmony_pipeline.files import write_bytes
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import StageResult

_PATIENCE = 10.0  # seconds, for another process that reports


@dataclass(frozen=True)
class Made:
    """A partition of an asset, and what its stage had to show."""

    asset: str
    partition: str
    made_at: datetime
    result: StageResult


def note(pipeline: PipelineContext, asset: str, partition: str, result: StageResult) -> None:
    """Keep what was made until it is reported."""
    made = Made(asset, partition, datetime.now(UTC), result)
    name = f"{time.time_ns()}-{uuid.uuid4().hex[:8]}.made"
    write_bytes(folder(pipeline.settings.state_root) / name, pickle.dumps(made), durable=False)


@contextmanager
def unreported(state: Path) -> Iterator[list[Made]]:
    """What is to be reported, oldest first; forgotten when the block ends well. What another
    version noted and cannot be read is forgotten, too: the lake has it.
    """
    place = folder(state)
    if not place.is_dir() or not any(place.glob("*.made")):
        yield []
        return
    with FileLock(place / ".lock", timeout=_PATIENCE, fallback_to_soft=False):
        files = sorted(place.glob("*.made"))
        yield [made for file in files if (made := _read(file)) is not None]
        for file in files:
            file.unlink(missing_ok=True)


def folder(state: Path) -> Path:
    """Where notes lie in a state folder."""
    return state / "unreported"


def _read(file: Path) -> Made | None:
    try:
        # ours alone: who can write to the state folder can replace models as well
        made = pickle.loads(file.read_bytes())  # noqa: S301  # nosec B301
    except Exception:
        return None
    return made if isinstance(made, Made) else None
