"""A session at Alpaca that dies at any step of the order path and is started again ends with the
exchange's own books, and never with a second order for one intent; so does one under which the
exchange is started again.
"""

from pathlib import Path

import pytest

from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.testing.crashes import Crash, CrashingLedger, Fuse
from harmony_pipeline.testing.stepped_day import Happening, SteppedWorld

SEED, MINUTES = 5, 27


def whole_day(folder: Path) -> tuple[SessionResult, int]:
    """The day without a crash, and how many steps it has."""
    folder.mkdir()
    fuse = Fuse()
    with (
        SteppedWorld(SEED, folder, MINUTES) as world,
        CrashingLedger(folder / "ledger.sqlite", fuse) as ledger,
    ):
        result = world.session(ledger, fuse)
        assert result.state == "completed"
        assert world.differences(result) == []
    return result, fuse.steps


def of(result: SessionResult) -> tuple[object, ...]:
    """Fills, orders and cash of a day."""
    fills = ("order_id", "timestamp", "side", "quantity", "price", "fee")
    orders = ("order_id", "client_order_id", "side", "quantity", "status")
    return (
        sorted(result.fills.select(fills).rows()),
        sorted(result.orders.select(orders).rows()),
        int(result.closing.portfolio.account[0]["cash"]),
    )


def crashed_day(folder: Path, *points: int) -> SessionResult:
    """The day with a process that dies at each of the points, counted from its own start."""
    folder.mkdir()
    path = folder / "ledger.sqlite"
    with SteppedWorld(SEED, folder, MINUTES) as world:
        for point in points:
            fuse = Fuse(point)
            with pytest.raises(Crash), CrashingLedger(path, fuse) as ledger:
                world.session(ledger, fuse)
        with Ledger(path) as ledger:
            result = world.session(ledger)
        assert world.differences(result) == []
    return result


def test_every_crash_point_of_the_order_path_ends_in_the_same_books(tmp_path: Path) -> None:
    expected, steps = whole_day(tmp_path / "whole")
    assert expected.fills.height >= 3
    for point in sorted({1, 2, 3, steps, *range(steps // 3, steps, max(1, steps // 14))}):
        assert of(crashed_day(tmp_path / str(point), point)) == of(expected), point


def test_a_crash_in_the_recovery_itself_is_survived(tmp_path: Path) -> None:
    expected, steps = whole_day(tmp_path / "whole")
    for again in (1, 4, 9):
        found = crashed_day(tmp_path / str(again), steps * 3 // 4, again, again + 1)
        assert of(found) == of(expected), again


@pytest.mark.parametrize("moment", [0, 1, 2])
def test_an_exchange_that_is_started_again_under_the_session_loses_nothing(
    moment: int, tmp_path: Path
) -> None:
    restarts = [Happening(minute, moment, {"kind": "restart"}) for minute in (21, 24)]
    with (
        SteppedWorld(SEED, tmp_path, 30, restarts) as world,
        Ledger(tmp_path / "ledger.sqlite") as ledger,
    ):
        result = world.session(ledger)
        assert result.state == "completed"
        assert world.generation == 2
        assert result.fills.height >= 3
        assert world.differences(result) == []
