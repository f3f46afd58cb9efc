"""A soak of the session at the exchange: seeded schedules of faults, restarts and kills.

    python -m harmony_pipeline.testing.soak --schedules 200 --seed 1 --state soak
    python -m harmony_pipeline.testing.soak --seed 1 --state soak --only 17

A schedule is a short day of a tiny market with faults at random moments; in some the exchange is
started again, in some the session dies and is started again, in half of them the bars come over the
exchange's market-data stream and its faults are among them. Every fault alone comes first. After
each: no order twice, no fill lost, no limit broken, both books equal to the cent. Finished
schedules are kept in `finished.jsonl` and skipped; the first failure ends the soak with its number.
"""

import argparse
import json
import logging
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.errors import HarmonyError
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.testing.crashes import Crash, CrashingLedger, Fuse
from harmony_pipeline.testing.stepped_day import SYMBOLS, WARM, Happening, SteppedWorld

MINUTES = 30
_ORDERS = {"path": "/v2/orders"}
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "status", "status": 500, "performed": True, "method": "POST", **_ORDERS},
    {"kind": "status", "status": 504, "method": "POST", **_ORDERS},
    {"kind": "status", "status": 503, "times": 2, **_ORDERS},
    {"kind": "status", "status": 429, "retry_after": 0, **_ORDERS},
    {"kind": "status", "status": 503, "times": 2},
    {"kind": "lost_answer", "method": "POST", **_ORDERS},
    {"kind": "lost_answer", "method": "DELETE", **_ORDERS},
    {"kind": "reset", "method": "POST", **_ORDERS},
    {"kind": "reset", "times": 3},
    {"kind": "delay", "seconds": 0.05, **_ORDERS},
    {"kind": "lose", "times": 2},
    {"kind": "duplicate", "times": 3},
    {"kind": "reorder"},
    {"kind": "delay_update"},
    {"kind": "freeze"},
    {"kind": "drop", "stream": "trades"},
    {"kind": "reject"},
    {"kind": "partial_then_cancel"},
    {"kind": "trade_by_hand", "symbol": "AAA", "side": "buy", "quantity": 7},
    {"kind": "halt", "symbol": "BBB"},
    {"kind": "block"},
    {"kind": "refuse_keys"},
    {"kind": "restart"},
)
DATA_FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "lose", "times": 2, "stream": "data"},
    {"kind": "duplicate", "times": 3, "stream": "data"},
    {"kind": "reorder", "stream": "data"},
    {"kind": "delay_update", "stream": "data"},
    {"kind": "freeze", "stream": "data"},
    {"kind": "drop", "stream": "data"},
    {"kind": "drop"},
    {"kind": "bad_tick", "symbol": "AAA", "factor": 10.0},
    {"kind": "bad_tick", "symbol": "AAA", "factor": 0.98},
)
"""Faults of the market-data stream: in days whose bars come over it."""
_EVERY = (*FAULTS, *DATA_FAULTS)
_UNDO = {"freeze": "thaw", "halt": "resume", "block": "unblock", "refuse_keys": "take_keys"}
_MOST_RESTARTS = 8


@dataclass(frozen=True)
class Schedule:
    """What happens on a day: `happenings`, and the steps at which the session's process dies."""

    number: int
    seed: int
    happenings: tuple[Happening, ...]
    kills: tuple[int, ...] = ()
    hears_stream: bool = False


def schedule(number: int, seed: int) -> Schedule:
    """Schedule `number` of a soak: the first ones have one fault each, alone."""
    random = np.random.default_rng([seed, number])
    alone = number < len(_EVERY)
    hears_stream = number >= len(FAULTS) if alone else bool(random.random() < 0.5)
    known = _EVERY if hears_stream else FAULTS
    count = 1 if alone else int(random.integers(2, 7))
    chosen = [_EVERY[number]] if alone else [
        known[int(each)] for each in random.integers(len(known), size=count)
    ]  # fmt: skip
    happenings: list[Happening] = []
    for fault in chosen:
        # the first decision falls on bar number WARM
        minute, moment = int(random.integers(WARM - 1, MINUTES - 3)), int(random.integers(3))
        made = dict(fault)
        if "symbol" in made:
            made["symbol"] = str(random.choice(SYMBOLS))
        happenings.append(Happening(minute, moment, made))
        if made["kind"] in _UNDO:
            undone = made | {"kind": _UNDO[made["kind"]]}
            later = min(minute + int(random.integers(1, 4)), MINUTES - 2)
            happenings.append(Happening(later, moment, undone))
    happenings.sort(key=lambda each: (each.minute, each.moment))
    dies = not alone and random.random() < 0.5
    kills = tuple(int(each) for each in random.integers(1, 260, size=2)) if dies else ()
    return Schedule(number, seed, tuple(happenings), kills, hears_stream)


def run(chosen: Schedule, folder: Path) -> list[str]:
    """Live through a schedule; what was wrong afterwards."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    path, kills = folder / "ledger.sqlite", list(chosen.kills)
    seed = 1000 * chosen.seed + chosen.number
    world = SteppedWorld(
        seed, folder, MINUTES, [*chosen.happenings], hears_stream=chosen.hears_stream
    )
    with world:
        for _ in range(_MOST_RESTARTS):
            fuse = Fuse(kills.pop(0) if kills else None)
            try:
                with CrashingLedger(path, fuse) as ledger:
                    world.session(ledger, fuse)
                break
            except Crash:
                continue
            except HarmonyError:  # wrong keys, nobody answers: a person mends it and starts again
                world.calm()
        with Ledger(path) as ledger:
            result = world.session(ledger)  # an ended one is read
        return [*world.differences(result), *_broken(result, world)]


def _broken(result: SessionResult, world: SteppedWorld) -> list[str]:
    """Limits that were broken, and a session that did not end."""
    found = [] if result.state == "completed" else [f"the session is {result.state}"]
    bought = dict(
        result.fills.group_by("client_order_id").agg(pl.col("quantity").sum()).iter_rows()
    )
    for name, quantity in result.orders.select("client_order_id", "quantity").iter_rows():
        if bought.get(name, 0.0) > quantity + 1e-9:
            found.append(f"order {name}: {bought[name]:g} of {quantity:g} filled")
    limit = world.rules.risk.max_gross_exposure
    gross = result.equity.select((pl.col("gross_exposure") / pl.col("equity")).max()).item()
    most = float(gross or 0.0)
    # positions are marked to the market after they were entered: a tenth is more than a bar moves
    if most > limit * 1.1:
        found.append(f"gross exposure {most:.3f} of at most {limit:g}")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the schedules that are not finished; 1 with the first failure."""
    parser = argparse.ArgumentParser(prog="python -m harmony_pipeline.testing.soak")
    parser.add_argument("--schedules", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--state", type=Path, default=Path("soak"))
    parser.add_argument("--only", type=int, help="this one alone, finished or not")
    asked = parser.parse_args(arguments)
    logging.getLogger("alpaca").setLevel(logging.CRITICAL)  # each cut stream is a traceback there
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # each cut request a line
    asked.state.mkdir(parents=True, exist_ok=True)
    file = asked.state / "finished.jsonl"
    done = _finished(file, asked.seed)
    numbers = (
        [asked.only]
        if asked.only is not None
        else [each for each in range(asked.schedules) if each not in done]
    )
    began = time.monotonic()
    for at, number in enumerate(numbers, start=1):
        chosen = schedule(number, asked.seed)
        started = time.monotonic()
        found = run(chosen, asked.state / f"schedule-{number}")
        if found:
            _tell_failure(chosen, found)
            return 1
        seconds = time.monotonic() - started
        with file.open("a") as output:
            line = {"seed": asked.seed, "number": number, "seconds": round(seconds, 2)}
            output.write(json.dumps(line) + "\n")
        shutil.rmtree(asked.state / f"schedule-{number}", ignore_errors=True)
        left = (time.monotonic() - began) / at * (len(numbers) - at)
        print(
            f"schedule {number}: equal books in {seconds:.1f} s; {at} of {len(numbers)},"
            f" {left:.0f} s left",
            flush=True,
        )
    return 0


def _finished(file: Path, seed: int) -> set[int]:
    if not file.exists():
        return set()
    rows = [json.loads(line) for line in file.read_text().splitlines() if line.strip()]
    return {row["number"] for row in rows if row["seed"] == seed}


def _tell_failure(chosen: Schedule, found: Sequence[str]) -> None:
    print(f"schedule {chosen.number} of seed {chosen.seed} FAILED:", file=sys.stderr)
    for sentence in found:
        print(f"  {sentence}", file=sys.stderr)
    print(json.dumps(asdict(chosen)), file=sys.stderr)
    again = f"--seed {chosen.seed} --only {chosen.number}"
    print(f"again: python -m harmony_pipeline.testing.soak {again}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
