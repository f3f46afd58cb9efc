"""Steps of one long task in two processes or more: each begins when what it needs is there.

A step runs in a process of its own kind: started afresh, so that nothing of this one is in it. The
first that fails ends all of them.
"""

import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path

_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Step:
    """What is run, given the folder that all steps share; `after`: the step that must have ended
    before.
    """

    run: Callable[[Path], object]
    after: str | None = None


def run_side_by_side(
    steps: Mapping[str, Step],
    folder: Path,
    processes: int,
    tell: Callable[[list[str], int], None] = lambda _running, _ended: None,
) -> dict[str, float]:
    """Run every step, those that stand first as early as can be; the seconds of each. `tell` hears
    about every second which steps run and how many have ended. Raises RuntimeError with what a step
    raised, or where its process was ended.
    """
    assert {step.after for step in steps.values()} <= {None, *steps}
    waiting, seconds = dict(steps), dict[str, float]()
    with _workers(min(processes, len(steps))) as workers:
        busy: dict[Connection, tuple[str, float]] = {}
        while waiting or busy:
            for worker in workers:
                name = next((one for one in waiting if steps[one].after in {None, *seconds}), None)
                if name is not None and worker not in busy:
                    worker.send((waiting.pop(name).run, folder))
                    busy[worker] = name, time.monotonic()
            tell([name for name, _ in busy.values()], len(seconds))
            ready = wait(list(busy), _LOOK_SECONDS)
            for worker in [one for one in busy if one in ready]:
                name, began = busy.pop(worker)
                _refuse_failure(name, worker)
                seconds[name] = time.monotonic() - began
    return seconds


@contextmanager
def _workers(count: int) -> Iterator[list[Connection]]:
    """Connections to processes that run what they are sent; they end with the context."""
    context = get_context("spawn")
    pairs = [context.Pipe() for _ in range(count)]
    processes = [context.Process(target=_work, args=(inner,), daemon=True) for _, inner in pairs]
    try:
        for process, (_, inner) in zip(processes, pairs, strict=True):
            process.start()
            inner.close()  # so that its end is seen here
        yield [outer for outer, _ in pairs]
    finally:
        for process in processes:
            if process.pid is not None:
                process.kill()
                process.join()
        for outer, _ in pairs:
            outer.close()


def _work(parent: Connection) -> None:
    """In a process of its own: run what comes, and answer what went wrong; empty: nothing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    while True:
        run, folder = parent.recv()
        try:
            run(folder)
        except BaseException:
            parent.send(traceback.format_exc())
        else:
            parent.send("")


def _refuse_failure(name: str, worker: Connection) -> None:
    try:
        wrong = worker.recv()
    except EOFError:
        raise RuntimeError(
            f"{name}: its process was ended from outside, most often for lack of memory: free some"
            " and try again"
        ) from None
    if wrong:
        raise RuntimeError(f"{name}: {wrong}")
