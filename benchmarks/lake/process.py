"""One task in a process of its own, so that its peak memory is its own.

The child loads its libraries, runs the task, and prints one line of JSON: seconds of the task alone
by the clock and of all cores, rows, the peak of resident memory of the whole process (libraries
included, about 250 MiB; on Linux VmHWM, which a parent cannot leak into), and facts. Short tasks
are repeated within the process after one that warms up, and the median is told.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.lake.market import SimulatedYear

# tasks quicker than this are repeated: a work and the scan that it is compared with are then both
# warm
SHORT_SECONDS = 5.0
REPEATS = 5
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Measured:
    """What a child reported."""

    task: str
    seconds: float
    cpu_seconds: float
    rows: int
    peak_mib: float
    facts: dict[str, Any] = field(default_factory=dict)


def measure(task: str, year: SimulatedYear) -> Measured:
    """Run `task` in a fresh process. Raises RuntimeError with the child's last words when it
    fails.
    """
    command = [
        sys.executable,
        "-m",
        "benchmarks.lake.process",
        task,
        str(year.root),
        str(year.symbols),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "POLARS_ENGINE_AFFINITY": "in-memory"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = [f"exit code {done.returncode}", *done.stderr.strip().splitlines()][-1]
        raise RuntimeError(f"{task} failed: {last}")
    return Measured(task, **json.loads(done.stdout.splitlines()[-1]))


def peak_mib() -> float:
    """Largest resident memory of this process so far, or of its largest child."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    status = Path("/proc/self/status")
    if not status.exists():
        unit = 1024 * 1024 if sys.platform == "darwin" else 1024
        return max(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, children)
    return max(
        next(
            int(line.split()[1])
            for line in status.read_text().splitlines()
            if line.startswith("VmHWM")
        )
        / 1024,
        children,
    )


def main(task: str, root: str, symbols: str) -> None:
    """The child."""
    from benchmarks.lake.tasks import TASKS, WRITES, Bench, warm

    bench, work = Bench(SimulatedYear(Path(root), int(symbols))), TASKS[task]
    warm(bench)
    seconds: list[float] = []
    cpu: list[float] = []
    while True:
        begun, used = time.perf_counter(), time.process_time()
        answer = work(bench)
        seconds.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - used)
        if seconds[0] > SHORT_SECONDS or len(seconds) > REPEATS or task in WRITES:
            break
    told, of_cores = (statistics.median(found[1:] or found) for found in (seconds, cpu))
    print(
        json.dumps(
            {
                "seconds": told,
                "cpu_seconds": of_cores,
                "rows": answer.rows,
                "peak_mib": peak_mib(),
                "facts": answer.facts,
            },
            default=str,
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
