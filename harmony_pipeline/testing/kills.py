"""A session that is killed at every step of the order path, each time by a real SIGKILL.

    python -m harmony_pipeline.testing.kills --state FOLDER
    python -m harmony_pipeline.testing.kills --state FOLDER --first 300 --every 5
    python -m harmony_pipeline.testing.kills --state FOLDER --only 57

A step is a write to the ledger, a commit, a request to the exchange, its answer, or updates read.
For each step of a short day, a process of its own trades that day at an exchange in this process
and kills itself there, with nothing flushed and nothing closed. The session is then started again
and lives to the end. Its fills, orders and cash must be those of the day without a kill, and equal
to the exchange's own books. Finished steps are kept in `finished.jsonl` and skipped; the first
failure ends the command with its number.
"""

import argparse
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from harmony_pipeline.exchange.control_client import ExchangeClient
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.testing.crashes import CrashingLedger, Fuse
from harmony_pipeline.testing.stepped_day import DAY_SEED, SteppedWorld, day_of

MINUTES = 25
_LONGEST_SECONDS = 120.0  # for the part of a day before the kill


class KillingFuse(Fuse):
    """Ends this process at step number `at`, as `kill -9` does."""

    def burn(self) -> None:
        """One step."""
        self.steps += 1
        if self.steps == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


class _Elsewhere(ExchangeClient):
    """An exchange in another process."""

    def __init__(self, url: str, ws_url: str) -> None:
        super().__init__(url)
        self.ws_url, self.data_stream_url = ws_url, f"{ws_url}/v2/iex"


class _WorldElsewhere(SteppedWorld):
    """The market and the exchange as the session's process sees them."""

    def __init__(self, exchange: _Elsewhere, seed: int, folder: Path, minutes: int) -> None:
        super().__init__(seed, folder, minutes)
        self.exchange = exchange  # type: ignore[assignment]

    def __enter__(self) -> Self:
        self.bars = day_of(self.seed, self.minutes)
        self._seen = set()
        return self

    def __exit__(self, *_error: object) -> None:
        pass

    def next_event(self) -> int:
        """Number of the exchange's next event."""
        return int(self._status()["next_event"])

    def updates_sent(self) -> int:
        """Order updates that the exchange has sent."""
        return int(self._status()["updates_sent"])

    def calm(self) -> None:
        """There are no faults."""

    def _status(self) -> dict[str, Any]:
        return self.exchange.status()  # type: ignore[attr-defined,no-any-return]


class _Victim:
    """A process that is ready to trade, and waits until it is told where and when to die."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "harmony_pipeline.testing.kills", "--victim"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)

    def die(self, world: SteppedWorld, at: int) -> None:
        """Trade until step `at`. Raises RuntimeError when it ends in another way."""
        told = {
            "url": world.exchange.url, "ws_url": world.exchange.ws_url, "seed": world.seed,
            "minutes": world.minutes, "folder": str(world.folder), "at": at,
        }  # fmt: skip
        _, output = self._process.communicate(json.dumps(told).encode(), _LONGEST_SECONDS)
        if self._process.returncode != -signal.SIGKILL:
            last = output.decode(errors="replace").strip().splitlines()[-1:]
            raise RuntimeError(f"it ended with {self._process.returncode}: {' '.join(last)}")

    def close(self) -> None:
        """End a process that was not needed."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


def _be_killed() -> None:
    """The victim's part."""
    told = json.loads(sys.stdin.readline())
    folder = Path(told["folder"])
    elsewhere = _Elsewhere(told["url"], told["ws_url"])
    fuse = KillingFuse(told["at"])
    with (
        _WorldElsewhere(elsewhere, told["seed"], folder, told["minutes"]) as world,
        CrashingLedger(folder / "ledger.sqlite", fuse) as ledger,
    ):
        world.session(ledger, fuse)


def books_of(result: SessionResult) -> tuple[object, ...]:
    """Fills, orders and cash of a day."""
    fills = ("order_id", "timestamp", "side", "quantity", "price", "fee")
    orders = ("order_id", "client_order_id", "side", "quantity", "status")
    return (
        sorted(result.fills.select(fills).rows()),
        sorted(result.orders.select(orders).rows()),
        int(result.closing.portfolio.account[0]["cash"]),
    )


def whole_day(folder: Path, seed: int, minutes: int = MINUTES) -> tuple[SessionResult, int]:
    """The day without a kill, and how many steps it has."""
    folder.mkdir(parents=True)
    fuse = Fuse()
    with (
        SteppedWorld(seed, folder, minutes) as world,
        CrashingLedger(folder / "ledger.sqlite", fuse) as ledger,
    ):
        result = world.session(ledger, fuse)
        assert world.differences(result) == []
    return result, fuse.steps


def kill_at(
    steps: Sequence[int], folder: Path, expected: SessionResult, seed: int, minutes: int = MINUTES
) -> Iterator[tuple[int, list[str]]]:
    """Each step with what was wrong after the session was killed there and started again. The next
    process loads while the one before is used.
    """
    victim = _Victim()
    try:
        for step in steps:
            ready, victim = victim, _Victim()
            place = folder / f"step-{step}"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            with SteppedWorld(seed, place, minutes) as world:
                ready.die(world, step)
                with Ledger(place / "ledger.sqlite") as ledger:
                    result = world.session(ledger)
                found = world.differences(result)
            if books_of(result) != books_of(expected):
                found.append("fills, orders or cash are not those of the day without a kill")
            if not found:
                shutil.rmtree(place, ignore_errors=True)
            yield step, found
    finally:
        victim.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill at every step that is not finished; 1 with the first failure."""
    parser = argparse.ArgumentParser(prog="python -m harmony_pipeline.testing.kills")
    parser.add_argument("--seed", type=int, default=DAY_SEED)
    parser.add_argument("--state", type=Path, default=Path("kills"))
    parser.add_argument("--first", type=int, default=1, help="step to begin with")
    parser.add_argument("--every", type=int, default=1, help="each so many of them")
    parser.add_argument("--only", type=int, help="this step alone, finished or not")
    parser.add_argument("--victim", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    logging.getLogger("alpaca").setLevel(logging.CRITICAL)  # each cut stream is a traceback there
    if asked.victim:
        _be_killed()
        return 0
    shutil.rmtree(asked.state / "whole", ignore_errors=True)
    expected, steps = whole_day(asked.state / "whole", asked.seed)
    file = asked.state / "finished.jsonl"
    done = _finished(file, asked.seed)
    wanted = [asked.only] if asked.only else range(asked.first, steps + 1, asked.every)
    numbers = [at for at in wanted if asked.only or at not in done]
    print(f"{steps} steps, {expected.fills.height} fills; {len(numbers)} steps to kill at")
    began = time.monotonic()
    for at, (step, found) in enumerate(
        kill_at(numbers, asked.state, expected, asked.seed), start=1
    ):
        if found:
            print(f"killed at step {step} of seed {asked.seed}: FAILED", file=sys.stderr)
            for sentence in found:
                print(f"  {sentence}", file=sys.stderr)
            return 1
        with file.open("a") as output:
            output.write(json.dumps({"seed": asked.seed, "step": step}) + "\n")
        left = (time.monotonic() - began) / at * (len(numbers) - at)
        print(f"step {step}: same books; {at} of {len(numbers)}, {left:.0f} s left", flush=True)
    return 0


def _finished(file: Path, seed: int) -> set[int]:
    if not file.exists():
        return set()
    rows = [json.loads(line) for line in file.read_text().splitlines() if line.strip()]
    return {row["step"] for row in rows if row["seed"] == seed}


if __name__ == "__main__":
    sys.exit(main())
