"""A session at Alpaca that dies at any step of the order path and is started again ends with the
exchange's own books, and never with a second order for one intent; so does one under which the
exchange is started again.
"""

from pathlib import Path

import pytest

from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.testing.crashes import Crash, CrashingLedger, Fuse
from harmony_pipeline.testing.kills import books_of, kill_at, whole_day
from harmony_pipeline.testing.stepped_day import DAY_SEED, Happening, SteppedWorld

MINUTES = 27


def crashed_day(folder: Path, *points: int) -> SessionResult:
    """The day with a process that dies at each of the points, counted from its own start."""
    folder.mkdir()
    path = folder / "ledger.sqlite"
    with SteppedWorld(DAY_SEED, folder, MINUTES) as world:
        for point in points:
            fuse = Fuse(point)
            with pytest.raises(Crash), CrashingLedger(path, fuse) as ledger:
                world.session(ledger, fuse)
        with Ledger(path) as ledger:
            result = world.session(ledger)
        assert world.differences(result) == []
    return result


def test_every_crash_point_of_the_order_path_ends_in_the_same_books(tmp_path: Path) -> None:
    expected, steps = whole_day(tmp_path / "whole", DAY_SEED, MINUTES)
    assert expected.fills.height >= 3
    for point in sorted({1, 2, 3, steps, *range(steps // 3, steps, max(1, steps // 7))}):
        assert books_of(crashed_day(tmp_path / str(point), point)) == books_of(expected), point


def test_a_crash_in_the_recovery_itself_is_survived(tmp_path: Path) -> None:
    expected, steps = whole_day(tmp_path / "whole", DAY_SEED, MINUTES)
    for again in (1, 6):
        found = crashed_day(tmp_path / str(again), steps * 3 // 4, again, again + 1)
        assert books_of(found) == books_of(expected), again


@pytest.mark.slow
def test_a_process_that_is_killed_is_survived_too(tmp_path: Path) -> None:
    """By SIGKILL; `python -m harmony_pipeline.testing.kills` does so at every step."""
    expected, steps = whole_day(tmp_path / "whole", DAY_SEED)
    found = dict(kill_at([steps * 3 // 4], tmp_path, expected, DAY_SEED))
    assert found == {steps * 3 // 4: []}


@pytest.mark.parametrize("moment", [0, 1, 2])
def test_an_exchange_that_is_started_again_under_the_session_loses_nothing(
    moment: int, tmp_path: Path
) -> None:
    restarts = [Happening(minute, moment, {"kind": "restart"}) for minute in (21, 24)]
    with (
        SteppedWorld(DAY_SEED, tmp_path, 30, restarts) as world,
        Ledger(tmp_path / "ledger.sqlite") as ledger,
    ):
        result = world.session(ledger)
        assert result.state == "completed"
        assert world.generation == 2
        assert result.fills.height >= 3
        assert world.differences(result) == []
