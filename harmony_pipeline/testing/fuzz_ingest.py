"""Mutated vendor files through the ingest, for a given time.

    python -m harmony_pipeline.testing.fuzz_ingest --seconds 600 --seed 1 --workers 2
    python -m harmony_pipeline.testing.fuzz_ingest --replay kept/input-1-17.zip

It is not part of the tests: it searches for unforeseen faults. Each input follows from the seed and
its number. A failing input is saved, with the command that replays it. `fuzzing/oracle.py` has the
properties that must hold. A worker that dies or hangs is a fault of its input.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from harmony_pipeline.testing.fuzzing.oracle import Outcome
from harmony_pipeline.testing.fuzzing.trial import Trial

_HANG_SECONDS = 300.0  # a worker without an outcome for so long hangs
_FIRST_SECONDS = 900.0  # kernels may have to be compiled first
_SHOWN = 3  # inputs that are printed of each kind of fault


@dataclass
class Tally:
    """Counts of the inputs so far."""

    tried: int = 0
    whole: int = 0
    commands: int = 0
    rows: int = 0
    bars: int = 0
    peak: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    faults: dict[str, list[int]] = field(default_factory=dict)

    def add(self, number: int, outcome: Outcome) -> list[str]:
        """Count one outcome; return its faults that are still to be printed."""
        self.tried += 1
        self.rows, self.bars, self.peak = (
            self.rows + outcome.rows,
            self.bars + outcome.bars,
            max(self.peak, outcome.peak),
        )
        self.kinds["failed" if outcome.faults else outcome.kind] += 1
        shown_faults = []
        for fault in outcome.faults:
            kind = fault.splitlines()[0][:160]
            self.faults.setdefault(kind, []).append(number)
            if len(self.faults[kind]) <= _SHOWN:
                shown_faults.append(fault)
        return shown_faults

    def line(self) -> str:
        """The counts in one line."""
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.kinds.items()))
        return (
            f"{self.tried:,} inputs ({self.whole:,} through the lake, {self.commands:,} as a"
            f" command): {kinds or 'none'}; {self.rows:,} rows, {self.bars:,} bars, largest peak of"
            f" memory {self.peak >> 20} MB, {len(self.faults)} kinds of fault"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when no input failed, else 1."""
    chosen = _parse_options(arguments)
    if chosen.replay:
        return _replay(Path(chosen.replay), command=bool(chosen.command_every))
    tally = _fuzz(chosen)
    print(f"\nseed {chosen.seed}: {tally.line()}")
    for kind, numbers in sorted(tally.faults.items(), key=lambda item: -len(item[1])):
        print(f"  {len(numbers):>4} x {kind}  (inputs {', '.join(map(str, numbers[:5]))})")
    return int(bool(tally.faults))


def _parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m harmony_pipeline.testing.fuzz_ingest",
        description="mutated vendor files through the ingest",
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="how long")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same inputs")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--inputs", type=int, default=None, help="stop after so many inputs")
    parser.add_argument("--workers", type=int, default=1, help="processes beside each other")
    parser.add_argument(
        "--whole-every",
        type=int,
        default=10,
        help="every so many inputs one goes through the lake, the others are only read",
    )
    parser.add_argument(
        "--command-every",
        type=int,
        default=200,
        help="every so many inputs one goes through the command as well; 0: none",
    )
    parser.add_argument(
        "--keep", type=Path, default=Path("fuzz_kept"), help="folder of inputs that failed"
    )
    parser.add_argument("--replay", default=None, help="a kept input, tried whole")
    return parser.parse_args(arguments)


def _replay(path: Path, *, command: bool) -> int:
    trial = Trial.load(path)
    print(
        f"input {trial.number} of seed {trial.seed}: {trial.sample.vendor},"
        f" {', '.join(trial.done) or 'not mutated'}; {trial.sample.settings()}"
    )
    for name, data in trial.sample.files.items():
        print(f"--- {name} ({len(data):,} bytes)\n{data[:600]!r}")
    outcome = trial.run(whole=True, command=command)
    print(f"{outcome.kind}: {outcome.message or f'{outcome.rows} rows, {outcome.bars} bars'}")
    for fault in outcome.faults:
        print(fault)
    return int(bool(outcome.faults))


# --- workers --------------------------------------------------------------------------------------


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    number: int
    since: float
    timeout_seconds: float


def _fuzz(chosen: argparse.Namespace) -> Tally:
    """Distribute inputs over the workers until the time is up."""
    tally, end, following = Tally(), time.monotonic() + chosen.seconds, chosen.first
    last = None if chosen.inputs is None else chosen.first + chosen.inputs
    workers: list[_Worker] = []
    shown = time.monotonic()
    try:
        while workers or _has_more(following, last, end):
            while len(workers) < chosen.workers and _has_more(following, last, end):
                workers.append(_start_worker(chosen, following))
                following += 1
            for worker in list(workers):
                outcome = _receive_outcome(worker, workers)
                if outcome is None:
                    continue
                _count(tally, worker.number, outcome, chosen)
                if worker in workers and _has_more(following, last, end):
                    _send_task(worker, following, chosen)
                    following += 1
                elif worker in workers:
                    workers.remove(worker)
                    worker.pipe.send(None)
                    worker.process.join(10)
            if time.monotonic() - shown > 5:
                shown = time.monotonic()
                print(tally.line(), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    finally:
        for worker in workers:
            worker.process.kill()
    return tally


def _has_more(following: int, last: int | None, end: float) -> bool:
    return time.monotonic() < end and (last is None or following < last)


def _start_worker(chosen: argparse.Namespace, number: int) -> _Worker:
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, chosen.seed), daemon=True)
    process.start()
    theirs.close()
    worker = _Worker(process, mine, number, time.monotonic(), _FIRST_SECONDS)
    _send_task(worker, number, chosen)
    worker.timeout_seconds = _FIRST_SECONDS
    return worker


def _send_task(worker: _Worker, number: int, chosen: argparse.Namespace) -> None:
    worker.number, worker.since, worker.timeout_seconds = number, time.monotonic(), _HANG_SECONDS
    worker.pipe.send((number, number % chosen.whole_every == 0, _is_command(number, chosen)))


def _is_command(number: int, chosen: argparse.Namespace) -> bool:
    return bool(chosen.command_every) and number % chosen.command_every == chosen.command_every - 1


def _receive_outcome(worker: _Worker, workers: list[_Worker]) -> Outcome | None:
    """The outcome of a worker; None if there is none yet. A dead or hanging worker is removed."""
    wait([worker.pipe, worker.process.sentinel], timeout=0.2)
    if worker.pipe.poll():
        try:
            answer: Outcome = worker.pipe.recv()
            return answer
        except (EOFError, OSError):
            worker.process.join(10)
    if not worker.process.is_alive():
        workers.remove(worker)
        return Outcome(
            kind="died", faults=[f"death: the process ended with code {worker.process.exitcode}"]
        )
    if time.monotonic() - worker.since > worker.timeout_seconds:
        worker.process.kill()
        workers.remove(worker)
        return Outcome(
            kind="stood still", faults=[f"hang: no answer in {worker.timeout_seconds:.0f} s"]
        )
    return None


def _count(tally: Tally, number: int, outcome: Outcome, chosen: argparse.Namespace) -> None:
    tally.whole += number % chosen.whole_every == 0
    tally.commands += _is_command(number, chosen)
    shown_faults = tally.add(number, outcome)
    if shown_faults:
        trial = Trial.of(chosen.seed, number)
        path = trial.keep(chosen.keep)
        print(
            f"\ninput {number} ({trial.sample.vendor}; {', '.join(trial.done)})\n"
            + "\n".join(shown_faults),
            flush=True,
        )
        print(f"replay: python -m harmony_pipeline.testing.fuzz_ingest --replay {path}", flush=True)


def _work(pipe: Connection, seed: int) -> None:
    """A worker: it receives numbers and sends outcomes. Output to standard error is a fault of the
    input.
    """
    with tempfile.TemporaryFile() as errors:
        os.dup2(errors.fileno(), 2)
        while (task := pipe.recv()) is not None:
            number, whole, command = task
            outcome = Trial.of(seed, number).run(whole=whole, command=command)
            errors.seek(0)
            if text := errors.read().decode(errors="replace"):
                outcome.fault(f"printed: {text.splitlines()[0][:100]}\n{text[:2000]}")
                errors.seek(0)
                errors.truncate()
            pipe.send(outcome)


if __name__ == "__main__":
    sys.exit(main())
