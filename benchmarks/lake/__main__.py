"""How fast the lake is and how much memory it needs, next to bare scans of the same files by Polars
and DuckDB.

    python -m benchmarks.lake --rows 1m          a minute or so
    python -m benchmarks.lake --rows 10m
    python -m benchmarks.lake --rows 100m        1,000 symbols over a year; needs 12 GB of disk
    python -m benchmarks.lake --listings DATA    how many files, sizes and query times for recorded
    data below DATA

A year of minute bars is simulated once, kept below --folder and used again. Then every piece of
work runs in a process of its own (its peak of resident memory is that process's, libraries
included), and works that are compared run in turn: A B C, A B C, ... so that a busy machine
troubles all of them. Times are medians over rounds; a ratio is the median of the ratios within a
round. Answers of rivals must be equal and every planted fault must be found, or the command fails
(exit code 1). Speed is reported, never a failure.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.lake import report
from benchmarks.lake.market import SimulatedYear
from benchmarks.lake.process import Measured, measure
from benchmarks.lake.tasks import GROUPS, Bench

_UNITS = {"k": 1_000, "m": 1_000_000, "b": 1_000_000_000}


def count(text: str) -> int:
    """`10m` as ten million."""
    unit = _UNITS.get(text[-1:].lower(), 1)
    try:
        rows = int(float(text[:-1] if unit > 1 else text) * unit)
    except ValueError:
        rows = 0
    if rows < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of rows: write 1m, 10m or 100m")
    return rows


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.lake",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--rows", type=count, default="1m", help="how many minute bars: 1m (default), 10m, 100m"
    )
    parser.add_argument(
        "--rounds", type=int, help="how often each work is measured; default 3, and 1 from 50m on"
    )
    parser.add_argument(
        "--only",
        nargs="*",
        choices=list(GROUPS),
        default=list(GROUPS),
        help="some groups of works; they find what earlier ones left",
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(tempfile.gettempdir()) / "harmony-bench-lake",
        help="where simulated files and lakes are kept (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, help="write everything to this file as well")
    parser.add_argument(
        "--write-results", action="store_true", help="put the table into benchmarks/lake/results.md"
    )
    parser.add_argument(
        "--listings",
        type=Path,
        metavar="DATA",
        help="instead: files, sizes and query times of the recorded data below this folder",
    )
    return parser.parse_args(given)


def main() -> None:
    """Measure, print, write."""
    chosen = arguments()
    if chosen.listings:
        from benchmarks.lake.listings import listings

        title, text, wrong = "Recorded data", listings(chosen.listings, chosen.folder), []
    else:
        title, text, wrong = measured(chosen)
    print(f"\n{title} ({report.machine()})\n\n{text}")
    if chosen.write_results:
        report.write_markdown(Path(__file__).with_name("results.md"), title, text)
    for sentence in wrong:
        print(f"WRONG: {sentence}")
    sys.exit(1 if wrong else 0)


def measured(chosen: argparse.Namespace) -> tuple[str, str, list[str]]:
    """Title, table, and what was wrong with any answer."""
    year = SimulatedYear.of_rows(chosen.folder, chosen.rows)
    tell(f"{year.symbols} symbols over a year of minutes, below {year.folder}")
    year.make(tell)
    bench = Bench(year)
    bench.prepare()
    often = chosen.rounds or (1 if chosen.rows >= 50_000_000 else 3)
    rounds: dict[str, list[Measured]] = {}
    for group in chosen.only:
        for turn in range(often):
            for task in GROUPS[group]:
                tell(f"  {task} ({turn + 1} of {often}) ...", end="")
                found = measure(task, year)
                rounds.setdefault(task, []).append(found)
                print(f" {found.seconds:.3f} s, {found.peak_mib:,.0f} MiB", flush=True)
    notes = [*sizes(bench), *planted(rounds, year)]
    title = f"{chosen.rows // 1_000_000} million minute bars"
    if chosen.json:
        report.write_json(chosen.json, title, rounds, notes)
    return title, report.table(rounds, notes), faults(rounds, year)


def tell(text: str, end: str = "\n") -> None:
    """Progress, with the time of day."""
    print(f"{time.strftime('%H:%M:%S')} {text}", end=end, flush=True)


def sizes(bench: Bench) -> list[str]:
    """Files and bytes of every table that was made."""
    found = []
    for table in ("raw_bars", "bars", "quarantine", "daily_summary"):
        files = [file.stat().st_size for file in bench.files(table)]
        if files:
            found.append(
                f"{table}: {len(files)} files, {sum(files) / 1e6:,.1f} MB, the largest"
                f" {max(files) / 1e6:,.1f} MB"
            )
    return found


def planted(rounds: dict[str, list[Measured]], year: SimulatedYear) -> list[str]:
    """How many of the planted faults were found."""
    rules = _facts(rounds, "validate raw_bars").get("rules")
    return (
        []
        if rules is None
        else [
            (
                f"{sum(rules.values()):,} rows quarantined or merged,"
                f" {sum(year.planted.values()):,} faults planted"
            )
        ]
    )


def faults(rounds: dict[str, list[Measured]], year: SimulatedYear) -> list[str]:
    """Answers that differ between rivals, and planted faults that were not found."""
    wrong = []
    for group in GROUPS.values():
        answers = {
            task: _facts(rounds, task)["answer"]
            for task in group
            if "answer" in _facts(rounds, task)
        }
        if len(set(answers.values())) > 1:
            wrong.append(f"not the same answer: {', '.join(answers)}")
    rules = _facts(rounds, "validate raw_bars").get("rules")
    if rules is not None:
        wrong += [
            f"{count} rows were planted as {rule}, found {rules.get(rule, 0)}"
            for rule, count in year.planted.items()
            if rules.get(rule, 0) < count
        ]
    return wrong


def _facts(rounds: dict[str, list[Measured]], task: str) -> dict[str, Any]:
    return rounds[task][-1].facts if rounds.get(task) else {}


if __name__ == "__main__":
    main()
