"""What a stage had to show, handed from the process that ran it to the command that asked for it:
one small file an asset, in the state folder, gone once it was read.

Pictures and previews stay behind: the Dagster UI has them.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from harmony_pipeline.config import Settings
from harmony_pipeline.files import write_text
from harmony_pipeline.stages.result import StageResult


def _folder(settings: Settings, run_id: str) -> Path:
    return settings.state_root / "dagster" / "results" / run_id


def write_result(settings: Settings, run_id: str, asset: str, result: StageResult) -> None:
    """Leave the result of an asset for the command that waits for the run."""
    folder = _folder(settings, run_id)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / f"{asset}.json", json.dumps(_packed(result)))


def take_results(settings: Settings, run_id: str) -> dict[str, StageResult]:
    """By asset, what the steps of a run left; they are taken away."""
    folder = _folder(settings, run_id)
    found = {
        file.stem: _unpacked(json.loads(file.read_text(encoding="utf-8")))
        for file in sorted(folder.glob("*.json"))
    }
    shutil.rmtree(folder, ignore_errors=True)
    return found


def join_results(results: Sequence[StageResult]) -> StageResult:
    """The result of one asset whose partitions were made by several runs, oldest first."""
    if len(results) == 1:
        return results[0]
    parts = {key: part for one in results for key, part in one.parts.items()}
    own = {
        name: value
        for one in results
        for name, value in one.facts.items()
        if type(value) is not int  # counts are added up from the parts
    }
    missing = [one.nothing for one in results]
    joined = StageResult.of(
        parts, facts=own, nothing=_once(missing) if parts and all(missing) else ""
    )
    said = set(joined.notes)
    joined.notes.extend(note for one in results for note in one.notes if note not in said)
    return joined


def _once(sentences: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(sentences))


def _packed(result: StageResult) -> dict[str, Any]:
    since = result.unchanged_since
    return {
        "rows": result.rows,
        "facts": result.facts,
        "notes": result.notes,
        "partitions": result.partitions,
        "nothing": result.nothing,
        "unchanged_since": None if since is None else since.isoformat(),
        "parts": {key: _packed(part) for key, part in result.parts.items()},
    }


def _unpacked(values: dict[str, Any]) -> StageResult:
    since = values.pop("unchanged_since")
    parts = {key: _unpacked(part) for key, part in values.pop("parts").items()}
    return StageResult(
        **values,
        unchanged_since=None if since is None else datetime.fromisoformat(since),
        parts=parts,
    )
