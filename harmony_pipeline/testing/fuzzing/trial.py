"""One numbered input of a seed: made, tried in its own folder, saved if it fails, and loaded for a
replay.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from harmony_pipeline.testing.fuzzing.mutations import mutate
from harmony_pipeline.testing.fuzzing.oracle import READ, Outcome, judge
from harmony_pipeline.testing.fuzzing.packings import sample_of
from harmony_pipeline.testing.fuzzing.sample import Sample

_COMMAND_SECONDS = 300
_TABLE = "input.json"


@dataclass(frozen=True)
class Trial:
    """An input with the sound files that it was made of."""

    seed: int
    number: int
    sample: Sample
    sound: Sample
    done: tuple[str, ...]

    @staticmethod
    def of(seed: int, number: int) -> "Trial":
        """The same input for the same seed and number."""
        rng = random.Random(f"{seed}:{number}")
        sound = sample_of(rng)
        sample, done = mutate(rng, sound)
        return Trial(seed, number, sample, sound, done)

    def run(self, *, whole: bool, command: bool = False) -> Outcome:
        """Try it in a new folder that is removed afterwards."""
        folder = Path(tempfile.mkdtemp(prefix="harmony-fuzz-"))
        try:
            outcome = judge(self.sample, self.sound, folder, whole=whole)
            if command:
                _by_command(self.sample, folder / "command", outcome)
            return outcome
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def keep(self, folder: Path) -> Path:
        """Save the input to a file that `Trial.load` reads."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"input-{self.seed}-{self.number}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(
                _TABLE,
                json.dumps(
                    {"seed": self.seed, "number": self.number, "done": self.done, **_tables(self)},
                    default=str,
                    indent=1,
                ),
            )
            for which, sample in (("sample", self.sample), ("sound", self.sound)):
                for at, data in enumerate(sample.files.values()):
                    archive.writestr(f"{which}/{at}", data)
        return path

    @staticmethod
    def load(path: Path) -> "Trial":
        """The saved input."""
        with zipfile.ZipFile(path) as archive:
            table = json.loads(archive.read(_TABLE))
            samples = {
                which: _sample(
                    table[which],
                    [archive.read(f"{which}/{at}") for at in range(len(table[which]["names"]))],
                )
                for which in ("sample", "sound")
            }
        return Trial(
            table["seed"],
            table["number"],
            samples["sample"],
            samples["sound"],
            tuple(table["done"]),
        )


def _tables(trial: Trial) -> dict[str, Any]:
    return {
        which: {
            "vendor": one.vendor, "names": list(one.files), "market": one.market,
            "reading": one.reading, "ticks": one.ticks,
            "day": one.day.isoformat() if one.day else None,
        }
        for which, one in (("sample", trial.sample), ("sound", trial.sound))
    }  # fmt: skip


def _sample(table: dict[str, Any], files: list[bytes]) -> Sample:
    day = date.fromisoformat(table["day"]) if table["day"] else None
    return Sample(
        table["vendor"],
        dict(zip(table["names"], files, strict=True)),
        table["market"],
        table["reading"],
        table["ticks"],
        day,
    )


def _by_command(sample: Sample, folder: Path, outcome: Outcome) -> None:
    """The same through `harmony ingest` as a process.

    It must end with the exit code of the outcome and print no traceback.
    """
    folder.mkdir()
    settings = sample.write(folder)
    what = ["ticks", "--from", str(sample.day)] if sample.ticks else ["ingest"]
    run = subprocess.run(
        [sys.executable, "-m", "harmony_pipeline.cli", "--config", str(settings), *what],
        capture_output=True, text=True, errors="replace", timeout=_COMMAND_SECONDS, check=False,
        cwd=folder, env={**os.environ, "DAGSTER_HOME": ""},
    )  # fmt: skip
    output = run.stdout + run.stderr
    if "Traceback" in output or "panicked" in output:
        outcome.fault(f"command: a traceback\n{output[-3000:]}")
    elif run.returncode not in ((0,) if outcome.kind == READ else (1, 2)) and not outcome.faults:
        outcome.fault(
            f"command: exit code {run.returncode} where the stages were {outcome.kind}:"
            f" {output[-600:]}"
        )
