"""Each strategy of a portfolio in a thread of its own, so that one that hangs does not hold up the
others.

A worker takes one moment at a time: its queue has room for one. All are given the moment at once
and answer in any order; whoever asks takes the answers in the order of the plan, so that what is
decided does not depend on which came first. One that has not answered in time is left alone for
good: no thread can be ended from outside, but nothing waits for it, and what it says later is
thrown away.

Python runs one thread at a time and changes between them by itself; a strategy that holds the
interpreter in compiled code that never gives it back cannot be left alone by a thread.
"""

import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from harmony_pipeline.session.clock import Clock

Answer = TypeVar("Answer")
_LOOK_SECONDS = 0.05
_LEAST_SECONDS = 5.0  # of this machine's time, however fast the venue's clock goes


class MemberHangs(Exception):
    """It has not answered in time."""


@dataclass(frozen=True)
class Deadline:
    """`seconds` after a moment was handed out, on the venue's clock or on this machine's, whichever
    is over first; at least five seconds of the latter or `seconds`, since a replay's minute may
    take one, and the first answer loads compiled code.
    """

    seconds: float
    clock: Clock
    venue: datetime
    machine: float

    @staticmethod
    def after(seconds: float, clock: Clock) -> "Deadline":
        """From now on."""
        return Deadline(seconds, clock, clock.now(), time.monotonic())

    def is_over(self) -> bool:
        """Whether the time is up."""
        taken = time.monotonic() - self.machine
        if taken >= self.seconds:
            return True
        passed = self.clock.now() - self.venue
        return taken >= _LEAST_SECONDS and passed >= timedelta(seconds=self.seconds)


class MemberWorker(Generic[Answer]):
    """One strategy's thread. `ask`, then `answer`, by one owner."""

    def __init__(self, name: str) -> None:
        self._questions: queue.Queue[Callable[[], Answer] | None] = queue.Queue(maxsize=1)
        self._answers: queue.Queue[Answer | Exception] = queue.Queue(maxsize=1)
        self._is_left = False
        self._thread = threading.Thread(target=self._run, name=f"strategy {name}", daemon=True)
        self._thread.start()

    def ask(self, question: Callable[[], Answer]) -> None:
        """Hand it a question; the one before was answered."""
        self._questions.put_nowait(question)

    def answer(self, deadline: Deadline) -> Answer:
        """The answer, or what the strategy raised. Raises MemberHangs when the time is up."""
        while True:
            try:
                found = self._answers.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                if deadline.is_over():
                    raise MemberHangs from None
                continue
            if isinstance(found, Exception):
                raise found
            return found

    def close(self) -> None:
        """End it; one that hangs is left alone."""
        self._is_left = True
        try:
            self._questions.put_nowait(None)
        except queue.Full:  # it has not taken its last question, and stops after it
            return

    def _run(self) -> None:
        while True:
            question = self._questions.get()
            if question is None or self._is_left:
                return
            try:
                found: Answer | Exception = question()
            except Exception as error:
                found = error
            if self._is_left:
                return
            self._answers.put(found)
