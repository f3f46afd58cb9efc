"""Times of orders on their way, as the health panel shows them."""

from datetime import UTC, datetime, timedelta

from harmony_pipeline.execution import events as ev
from harmony_pipeline.monitor.latency import Latency

START = datetime(2024, 3, 5, 14, 31, tzinfo=UTC)
STOP = ev.OrderTerms(
    client_order_id="stop", order_id="AAA-1-stop", symbol="AAA", role="stop", side="sell",
    quantity=10.0, stop_price=9.0, decided_at=START,
)  # fmt: skip


def at(seconds: float) -> dict[str, object]:
    moment = START + timedelta(seconds=seconds)
    return {
        "client_order_id": "stop", "symbol": "AAA", "happened_at": moment, "known_at": moment,
    }  # fmt: skip


def test_a_leg_is_answered_when_it_is_held_and_not_when_it_is_released() -> None:
    shown = Latency()
    for event in (
        ev.OrderIntended(**at(0.0), order=STOP),  # type: ignore[arg-type]
        ev.OrderSubmitted(**at(0.2)),  # type: ignore[arg-type]
        ev.OrderHeld(**at(0.5)),  # type: ignore[arg-type]
        ev.OrderAccepted(**at(3600.0)),  # type: ignore[arg-type]
    ):
        shown.see(event)
    row = shown.row()
    assert row["submitted_max"] == 200.0
    assert row["accepted_p50"] == row["accepted_max"] == 300.0
    assert row["filled_max"] is None
