"""Import, validation and daily summary of the lake benchmark in this tree and in another checkout,
in turn.

    python benchmarks/import_side_by_side.py --other ../harmony-before [--rows 10m] [--rounds 3]

Each round runs `python -m benchmarks.lake` once in either tree, in a process of its own and with
source files and a lake of its own, this tree first in odd rounds and last in even ones. A ratio is
the median of the ratios within a round, by the clock; the target is that this tree takes no longer.
Ends with one line a target and exits 1 on a miss.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

GROUPS = ("import", "validation")
TARGETS = (("import into raw_bars", 1.0),)
SHOWN = (
    "import into raw_bars",
    "validate raw_bars",
    "validate and write bars",
    "make daily_summary",
)
HERE = Path(__file__).resolve().parents[1]


def measured(tree: Path, folder: Path, rows: str, groups: tuple[str, ...]) -> dict[str, float]:
    """Seconds by the clock of each work, from one run of the lake benchmark in `tree`."""
    answer = folder / "answer.json"
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "benchmarks.lake",
        "--rows",
        rows,
        "--rounds",
        "1",
        "--folder",
        str(folder),
        "--json",
        str(answer),
    ]
    done = subprocess.run(
        [*command, "--only", *groups],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(
            f"the lake benchmark failed in {tree.name}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return {task: seconds[-1] for task, seconds in json.loads(answer.read_text())["rounds"].items()}


def main() -> None:
    """Run both trees in turn, print every ratio and the targets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--other", type=Path, required=True, help="another checkout of Harmony")
    parser.add_argument("--rows", default="10m")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--groups", nargs="*", default=list(GROUPS), help="groups of works of the lake benchmark"
    )
    chosen = parser.parse_args()
    trees = {"this": HERE, "other": chosen.other.resolve()}
    rounds: list[dict[str, dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for number in range(chosen.rounds):
            order = list(trees) if number % 2 == 0 else list(reversed(trees))
            found = {
                name: measured(trees[name], Path(scratch) / name, chosen.rows, tuple(chosen.groups))
                for name in order
            }
            rounds.append(found)
            print(
                f"round {number + 1}: "
                + ", ".join(
                    f"{task} {found['this'][task]:.2f} s / {found['other'][task]:.2f} s"
                    for task in both(found)
                ),
                flush=True,
            )
    ratios = {
        task: statistics.median(one["this"][task] / one["other"][task] for one in rounds)
        for task in both(rounds[0])
    }
    for task, ratio in ratios.items():
        print(f"{task}: {ratio:.3f} of the other tree's time (median of {len(rounds)} rounds)")
    missed = [task for task, limit in TARGETS if ratios.get(task, limit + 1) > limit]
    for task, limit in TARGETS:
        print(
            f"{task}: measured {ratios.get(task, float('nan')):.3f}, wanted at most {limit:.2f}:"
            f" {'MISSED' if task in missed else 'met'}"
        )
    sys.exit(1 if missed else 0)


def both(found: dict[str, dict[str, float]]) -> list[str]:
    """Works that were measured in both trees."""
    return [task for task in SHOWN if all(task in one for one in found.values())]


if __name__ == "__main__":
    main()
