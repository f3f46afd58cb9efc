"""In a forked process Polars cannot work: a lake refuses at once, and never waits for ever. Trees of
two threads are grown all the same.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")

FORKED = """
import os, signal, sys
from pathlib import Path

def in_a_fork(act):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        signal.alarm(120)
        try:
            print(act(), flush=True)
        except Exception as error:
            print(type(error).__name__, error, flush=True)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert status == 0, "it waited for ever"
"""
LAKE = """
from threading import Thread
import polars as pl
from lake.lake_rows import actions
from harmony_pipeline import forks
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.schemas import TABLES

root, worked = Path(sys.argv[1]), sys.argv[2]
lake = Lake(root, {"corporate_actions": TABLES["corporate_actions"]})
if worked == "polars":
    forks.ANSWER_SECONDS = 3.0  # there is none to wait for
    pl.DataFrame({"a": [3, 1]}).lazy().group_by("a").len().collect()

def tried(act):
    try:
        return act()
    except Exception as error:
        return f"{type(error).__name__} {error}"

def at_once(act, times):
    # in threads of their own
    found = []
    threads = [Thread(target=lambda: found.append(act()), daemon=True) for _ in range(times)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(90)
    return "\\n".join(map(str, found))

in_a_fork(lambda: "\\n".join(str(tried(act)) for act in (
    lambda: at_once(lambda: tried(lambda: lake.read("corporate_actions", ["all"]).height), 2),
    lambda: lake.ready().write("corporate_actions", "all", actions(2.0, 3.0)).rows,
    lambda: lake.read("corporate_actions", ["all"]).height,
    lambda: [frame.height for frame in lake.batches("corporate_actions", "all")],
)))
"""
TREES = """
import numpy as np
from harmony_pipeline.models.gradient_boosting import GradientBoosting
from harmony_pipeline.models.openmp import lightgbm
from harmony_pipeline.models import gradient_boosting
from types import SimpleNamespace

rows = np.random.default_rng(3).normal(size=(3000, 3))
samples = SimpleNamespace(X=rows, bins=None, names=("a", "b", "c"))

def text():
    parameters = GradientBoosting({"num_threads": 2, "rounds": 3}, 1).parameters
    target = (rows[:, 0] > 0.0) * 1.0
    return gradient_boosting.grow_trees(
        samples, target, np.ones(len(rows)), parameters, 1, "binary"
    ).text

mine = text()
in_a_fork(lambda: text() == mine)
"""


def said(script: str, *arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", FORKED + script, *arguments],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_lake_refuses_where_polars_would_wait_for_ever(tmp_path: Path) -> None:
    lines = said(LAKE, str(tmp_path), "polars")
    assert len(lines) == 5
    for line in lines:
        assert line.startswith("ConfigError this process was forked from one in which Polars had")
        assert 'get_context("spawn")' in line


def test_a_process_that_was_forked_before_polars_worked_writes(tmp_path: Path) -> None:
    assert said(LAKE, str(tmp_path), "nothing") == ["0", "0", "2", "2", "[2]"]


def test_trees_of_two_threads_are_the_same_in_a_forked_process() -> None:
    assert said(TREES) == ["True"]
