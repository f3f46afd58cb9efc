"""Work of two builds or two packages, each in a process of its own, and the line of a target.

This file needs nothing but Python: the interpreter of a peer reads it, too.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def best_of(rounds: int, work: Callable[[], Any]) -> tuple[float, float]:
    """Best seconds by the clock and of the cores."""
    clock, cores = [], []
    for _ in range(rounds):
        begun, used = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - begun)
        cores.append(time.process_time() - used)
    return min(clock), min(cores)


def run_task(
    script: str, name: str, python: str = sys.executable, tree: Path = ROOT
) -> dict[str, float] | None:
    """What `script --task name` prints in a process of its own; None, with the reason, where it
    cannot run. `tree`: the working tree of Harmony that it imports.
    """
    environment = {**os.environ, "PYTHONPATH": str(tree), "POLARS_ENGINE_AFFINITY": "in-memory"}
    command = [python, str(Path(script).resolve()), "--task", name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{name}: {['no answer', *done.stderr.strip().splitlines()][-1]}")
        return None
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def judge(name: str, value: float, wanted: float, *, most: bool = False) -> bool:
    """Print the line of a target; `most`: a value above `wanted` misses it."""
    met = value <= wanted if most else value >= wanted
    bound = "at most" if most else "at least"
    print(f"{name}: measured {value:.2f}, wanted {bound} {wanted:g}: {'met' if met else 'MISSED'}")
    return met
