"""The measurements as one table, the targets with their verdicts, and both as JSON or Markdown."""

import json
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.lake.process import Measured

MEMORY_LIMIT_MIB = 3 * 1024
TARGETS_FROM_ROWS = 9_000_000  # below this, opening files and connections outweighs the rows


@dataclass(frozen=True)
class Target:
    """`task` may take at most `limit` times as long as `rival`; a `limit` below 1 asks for so many
    times quicker.
    """

    task: str
    rival: str
    limit: float


TARGETS = (
    Target("validate raw_bars", "raw_bars, bare Polars scan", 2.5),
    Target("validate raw_bars", "raw_bars, bare DuckDB scan", 3.0),
    Target("one day: read_bars", "one day: whole partition file", 2.0),
    Target(
        "scans of a year: SQL on daily_summary", "scans of a year: DuckDB on minute bars", 1 / 20
    ),
    Target("scans of a year: scanner", "scans of a year: DuckDB on minute bars", 1 / 20),
)
Rounds = Mapping[str, Sequence[Measured]]


@dataclass(frozen=True)
class Line:
    """One task over all rounds: medians, and the worst memory."""

    task: str
    rows: int
    seconds: float
    cpu_seconds: float
    rows_per_second: float
    peak_mib: float
    rounds: int


def lines(rounds: Rounds) -> list[Line]:
    """One a task, in the order of measuring."""
    found = []
    for task, measured in rounds.items():
        seconds, rows = statistics.median(one.seconds for one in measured), measured[-1].rows
        cpu = statistics.median(one.cpu_seconds for one in measured)
        found.append(
            Line(
                task,
                rows,
                seconds,
                cpu,
                rows / seconds,
                max(one.peak_mib for one in measured),
                len(measured),
            )
        )
    return found


def ratio(rounds: Rounds, task: str, rival: str) -> tuple[float, float] | None:
    """Median over the rounds of one time against the other's of the same round, by the clock and of
    the cores; None when one was not measured.
    """
    if not rounds.get(task) or not rounds.get(rival):
        return None
    pairs = list(zip(rounds[task], rounds[rival], strict=False))
    return statistics.median(a.seconds / b.seconds for a, b in pairs), statistics.median(
        a.cpu_seconds / b.cpu_seconds for a, b in pairs
    )


def verdicts(rounds: Rounds) -> list[tuple[str, bool]]:
    """A sentence a target, and whether it was reached."""
    said: list[tuple[str, bool]] = []
    for target in TARGETS:
        found = ratio(rounds, target.task, target.rival)
        if found is None:
            continue
        clock, cores = found
        if target.limit < 1:
            sentence = (
                f"{target.task}: {1 / clock:.0f} times as fast as {target.rival} (of the cores'"
                f" time {1 / cores:.0f}; target {1 / target.limit:.0f})"
            )
        else:
            sentence = (
                f"{target.task}: {clock:.2f} times as long as {target.rival} (of the cores' time"
                f" {cores:.2f}; target {target.limit:g})"
            )
        said.append((sentence, clock <= target.limit))
    harmony = [
        line
        for line in lines(rounds)
        if "bare" not in line.task and "DuckDB" not in line.task and "Polars" not in line.task
    ]
    if harmony:
        worst = max(harmony, key=lambda line: line.peak_mib)
        said.append(
            (
                f"peak memory {worst.peak_mib / 1024:.2f} GiB, in {worst.task} (target 3)",
                worst.peak_mib <= MEMORY_LIMIT_MIB,
            )
        )
    return said


def table(rounds: Rounds, notes: Sequence[str]) -> str:
    """For the screen and for results.md alike: a Markdown table, the verdicts, the notes."""
    head = (
        f"| {'work':<42} | {'rows':>12} | {'seconds':>9} | {'of cores':>9} | {'M rows/s':>9} |"
        f" {'peak MiB':>8}"
        f" |\n|{'-' * 44}|{'-' * 13}:|{'-' * 10}:|{'-' * 10}:|{'-' * 10}:|{'-' * 9}:|"
    )
    body = [
        f"| {one.task:<42} | {one.rows:>12,} | {one.seconds:>9.4f} | {one.cpu_seconds:>9.4f} |"
        f" {one.rows_per_second / 1e6:>9.2f} | {one.peak_mib:>8,.0f} |"
        for one in lines(rounds)
    ]
    small = max((one.rows for one in lines(rounds)), default=0) < TARGETS_FROM_ROWS
    verdict = [
        f"- {'too few rows for the target' if small else 'reached' if good else 'MISSED'}:"
        f" {sentence}"
        for sentence, good in verdicts(rounds)
    ]
    return "\n".join([head, *body, "", *verdict, *(f"- {note}" for note in notes)])


def machine() -> str:
    """What the numbers were measured on, without names."""
    import os

    import duckdb
    import polars as pl

    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Python {platform.python_version()},"
        f" Polars {pl.__version__}, DuckDB {duckdb.__version__}"
    )


def write_json(path: Path, title: str, rounds: Rounds, notes: Sequence[str]) -> None:
    """Everything, for other programs."""
    content = {
        "title": title,
        "machine": machine(),
        "tasks": [asdict(line) for line in lines(rounds)],
        "rounds": {task: [one.seconds for one in measured] for task, measured in rounds.items()},
        "targets": [{"target": sentence, "reached": good} for sentence, good in verdicts(rounds)],
        "notes": list(notes),
    }
    path.write_text(json.dumps(content, indent=1))


def write_markdown(path: Path, title: str, text: str) -> None:
    """Replace the section `title` of a results file, or add it; other sections stay."""
    begin, end = f"<!-- {title} -->\n", f"<!-- end of {title} -->\n"
    section = f"{begin}## {title}\n\n{machine()}\n\n{text}\n{end}"
    old = (
        path.read_text()
        if path.exists()
        else (
            "# The lake at scale\n\nWritten by `python -m benchmarks.lake --write-results`; see"
            " docs/speed/lake.md.\n\n"
        )
    )
    if begin in old:
        path.write_text(old[: old.index(begin)] + section + old[old.index(end) + len(end) :])
    else:
        path.write_text(f"{old}{section}\n")
