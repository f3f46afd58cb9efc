"""Threads of strategies: answers, errors, and one that does not come back."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.member_workers import Deadline, MemberHangs, MemberWorker

NOON = datetime(2024, 3, 5, 12, tzinfo=UTC)


def never() -> Deadline:
    return Deadline.after(60.0, ReplayClock(NOON))


def failing() -> int:
    raise ZeroDivisionError("its own")


def test_answers_come_in_the_order_of_the_questions_and_errors_are_raised() -> None:
    worker: MemberWorker[int] = MemberWorker("one")
    for number in (1, 2):
        worker.ask(lambda number=number: number)  # type: ignore[misc]
        assert worker.answer(never()) == number
    worker.ask(failing)
    with pytest.raises(ZeroDivisionError, match="its own"):
        worker.answer(never())
    worker.ask(lambda: 3)
    assert worker.answer(never()) == 3
    worker.close()


def test_one_that_hangs_is_left_alone_and_ends_when_it_comes_back() -> None:
    gate = threading.Event()
    hangs: MemberWorker[bool] = MemberWorker("hangs")
    other: MemberWorker[int] = MemberWorker("other")
    hangs.ask(lambda: gate.wait(30.0))
    other.ask(lambda: 1)
    deadline = Deadline.after(0.1, ReplayClock(NOON))
    with pytest.raises(MemberHangs):
        hangs.answer(deadline)
    assert other.answer(deadline) == 1  # it was there long ago
    thread = hangs._thread
    hangs.close()
    gate.set()
    thread.join(5.0)
    assert not thread.is_alive()
    other.close()


def test_a_deadline_is_over_on_either_clock_but_not_at_once() -> None:
    clock = ReplayClock(NOON)
    deadline = Deadline.after(10.0, clock)
    clock.advance(NOON + timedelta(seconds=20))
    assert not deadline.is_over()  # a replay's clock may jump
    assert Deadline(10.0, clock, NOON, deadline.machine - 6.0).is_over()
    stands = ReplayClock(NOON)
    assert not Deadline(10.0, stands, NOON, deadline.machine - 6.0).is_over()
    assert Deadline(10.0, stands, NOON, deadline.machine - 11.0).is_over()
