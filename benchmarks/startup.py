"""What a command costs beside its work: starting, Dagster, the UI.

    python benchmarks/startup.py [--before TREE] [--rounds 3] [--only sql scan run ui]

* `harmony sql "select 1"` and `harmony scan` of a day that was not scanned yet, in this tree and in
  the tree of an earlier build, in turn: CPU seconds (user and system, children included), as the
  median of the ratios within a round. The targets are half and a third of the build of 2026-11-26
  (2a7e987), so that is the tree to give; without one the seconds are shown alone.
* `harmony run` of the default market against the same stages and checks without Dagster
  (`assets/chain.py`), each on an empty lake and state folder, in turn. The stages without the
  checks are shown beside it.
* `harmony ui` of the market that was just made, by the clock: until the page is served and the code
  location is loaded, so that assets can be seen and started.

Ends with one line a target and exits 1 on a miss. CPU seconds grow with what else runs on the
machine: compare within one run, not across.
"""

import argparse
import json
import os
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from side_by_side import ROOT, judge

WORKS = ("sql", "scan", "run", "ui")
# scanned by nobody before: `harmony run` scans the latest days
DAYS = ("2023-06-05", "2023-07-06", "2023-08-07", "2023-09-07", "2023-10-05", "2023-11-06")
STAGES = """
import sys
from harmony_pipeline.config import load_settings
from harmony_pipeline.stages.context import PipelineContext
from assets.chain import run_stages
run_stages(PipelineContext(load_settings(sys.argv[1])), checked=sys.argv[2] == "checked")
"""


class Market:
    """The default market with a lake of its own, as one tree of Harmony knows it."""

    def __init__(self, tree: Path, folder: Path) -> None:
        self.tree, self.folder = tree, folder
        self.file = folder / "harmony.toml"
        folder.mkdir(parents=True)
        shutil.copy(tree / "harmony.toml", self.file)

    def forget(self) -> None:
        """Begin with an empty lake and state folder."""
        for name in ("data_lake", ".harmony"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if "HARMONY_" not in name},
            **{name: os.environ[name] for name in ("HARMONY_KERNEL_CACHE",) if name in os.environ},
            "PYTHONPATH": str(self.tree),
            "POLARS_ENGINE_AFFINITY": "in-memory",
        }

    def start(self, *arguments: str, script: str = "") -> subprocess.Popen[bytes]:
        """A command of this tree, or a script of ours, in a process group of its own."""
        what = ["-c", script] if script else ["-m", "harmony_pipeline.cli", "--config"]
        command = [sys.executable, *what, str(self.file), *arguments]
        return subprocess.Popen(
            command,
            cwd=self.tree,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def cpu(self, *arguments: str, script: str = "") -> float:
        """CPU seconds of a command; ends this one when it fails."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = self.start(*arguments, script=script)
        said, _ = process.communicate()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode:
            raise SystemExit(f"{arguments} failed in {self.tree.name}:\n{said.decode()[-2000:]}")
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def ratio(found: dict[str, list[float]], one: str, other: str) -> float:
    """The median of the ratios within a round."""
    return statistics.median(a / b for a, b in zip(found[one], found[other], strict=True))


def measure_turns(
    title: str, markets: dict[str, Market], rounds: int, work: Callable[[Market, int], float]
) -> dict[str, list[float]]:
    """CPU seconds of each tree by round, printed as medians."""
    print(title, flush=True)
    found: dict[str, list[float]] = {name: [] for name in markets}
    for number in range(rounds):
        for name in list(markets) if number % 2 == 0 else list(reversed(markets)):
            found[name].append(work(markets[name], number))
    for name, seconds in found.items():
        print(f"  {name:<12}{statistics.median(seconds):8.2f} CPU s", flush=True)
    return found


def measure_run(market: Market, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of the chain with Dagster, without it, and without checks either."""
    print("harmony run of the default market, on an empty lake", flush=True)
    works: dict[str, Callable[[], float]] = {
        "run": lambda: market.cpu("run"),
        "checked": lambda: market.cpu("checked", script=STAGES),
        "stages": lambda: market.cpu("alone", script=STAGES),
    }
    found: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds):
        for name in list(works) if number % 2 else list(reversed(works)):
            market.forget()
            found[name].append(works[name]())
    told = {"run": "", "checked": ", without Dagster", "stages": ", without Dagster and checks"}
    for name, seconds in found.items():
        print(f"  {statistics.median(seconds):8.2f} CPU s{told[name]}", flush=True)
    return found


@contextmanager
def serving(market: Market, port: int) -> Iterator[None]:
    """`harmony ui` while the block runs."""
    process = market.start("ui", "--port", str(port))
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ask(port: int, path: str, query: str = "") -> str:
    """What the server answers; empty while there is none."""
    body = json.dumps({"query": query}).encode() if query else None
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""


def measure_ui(market: Market) -> float:
    """Seconds by the clock until the page is there and the graph is loaded."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    begun = time.monotonic()
    page = 0.0
    with serving(market, port):
        while time.monotonic() - begun < 120:
            if not page and ask(port, "/"):
                page = time.monotonic() - begun
            if page and '"name":"raw_bars"' in ask(
                port, "/graphql", "{repositoriesOrError{...on RepositoryConnection{nodes{"
                "assetNodes{name:opName}}}}}"
            ).replace(" ", ""):  # fmt: skip
                ready = time.monotonic() - begun
                print(f"harmony ui: page after {page:.1f} s, graph after {ready:.1f} s", flush=True)
                return ready
            time.sleep(0.1)
    raise SystemExit("harmony ui was not ready within two minutes")


def main() -> int:
    """Measure what was chosen and print the targets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, help="the checkout of an earlier build")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=WORKS, default=list(WORKS))
    chosen = parser.parse_args()
    met: list[bool] = []
    with tempfile.TemporaryDirectory(prefix="harmony-startup-") as scratch:
        trees = {"this": ROOT} | ({"before": chosen.before.resolve()} if chosen.before else {})
        markets = {name: Market(tree, Path(scratch, name)) for name, tree in trees.items()}
        targets: list[tuple[str, float, float]] = []
        if "sql" in chosen.only:
            found = measure_turns(
                'harmony sql "select 1"',
                markets,
                3 * chosen.rounds,
                lambda market, _: market.cpu("sql", "select 1"),
            )
            if chosen.before:
                targets.append(("sql against before", ratio(found, "this", "before"), 0.5))
        if "run" in chosen.only:
            found = measure_run(markets["this"], chosen.rounds)
            targets.append(
                ("run against the same without Dagster", ratio(found, "run", "checked"), 1.1)
            )
            print(f"  run against the stages without checks: {ratio(found, 'run', 'stages'):.2f}")
        if {"scan", "ui"} & set(chosen.only):
            for market in markets.values():
                if not (market.folder / ".harmony").exists() or "run" in chosen.only:
                    market.forget()
                    market.cpu("run")
        if "scan" in chosen.only:
            found = measure_turns(
                "harmony scan of a day",
                markets,
                min(chosen.rounds, len(DAYS)),
                lambda market, number: market.cpu("scan", "--date", DAYS[number]),
            )
            if chosen.before:
                targets.append(("scan against before", ratio(found, "this", "before"), 1 / 3))
        if "ui" in chosen.only:
            seconds = [measure_ui(markets["this"]) for _ in range(chosen.rounds)]
            targets.append(("ui ready, seconds", statistics.median(seconds), 12.0))
        met = [judge(name, measured, wanted, most=True) for name, measured, wanted in targets]
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
