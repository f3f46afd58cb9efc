"""A recorded session is run again to the same state; the first thing that differs is named."""

from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest
from session.crashes import Crash, CrashingLedger, FlakyBroker, Fuse, RemoteBroker
from session.days import DAYS, fresh_ledger, market, plan_of, rules
from session.test_recovery import remote_exchange, remote_session

from harmony_pipeline.errors import NotReady
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.replay import replay_day
from harmony_pipeline.session.session_replay import Replayed, replay_session

BARS = market()
SIGNALS = rules("signal", reject_probability=0.1, partial_fill_probability=0.2)
BRACKETS = rules("barriers", reject_probability=0.05)
DAY = DAYS[5]


def again(plan: SessionPlan, ledger: Ledger, folder: Path, bars: pl.DataFrame = BARS) -> Replayed:
    before = ledger.table("session_events")
    found = replay_session(plan, bars, ledger, folder / f"scratch-{len(list(folder.iterdir()))}")
    assert ledger.table("session_events").equals(before)
    return found


def test_chained_days_at_the_exchange_in_this_process_come_out_the_same(tmp_path: Path) -> None:
    """The second day takes orders over whose end the ledger knows by now."""
    plans = []
    with fresh_ledger(tmp_path / "ledger") as ledger:
        for day in DAYS[:3]:
            plans.append(plan_of(day, ledger, BARS, BRACKETS))
            result = replay_day(plans[-1], BARS, ledger)
        assert result.carried
        for plan in plans:
            found = again(plan, ledger, tmp_path)
            assert found.equal, found.summary()
            assert found.compared > 30


@pytest.mark.parametrize("chosen", [SIGNALS, BRACKETS], ids=["signals", "brackets"])
def test_a_session_at_a_broker_comes_out_the_same(chosen: Any, tmp_path: Path) -> None:
    with fresh_ledger(tmp_path / "ledger") as ledger:
        plan = plan_of(DAY, ledger, BARS, chosen)
        exchange = remote_exchange(plan, ledger)
        result = remote_session(plan, ledger, exchange, RemoteBroker(exchange, Fuse()))
        assert result.fills.height >= 5
        found = again(plan, ledger, tmp_path)
    assert found.equal, found.summary()
    assert found.compared > 30


def test_lost_answers_and_a_crash_are_replayed_too(tmp_path: Path) -> None:
    FlakyBroker.calls = 0
    path = tmp_path / "ledger" / "ledger.sqlite"
    with Ledger(path) as ledger:
        plan = plan_of(DAY, ledger, BARS, SIGNALS)
        exchange = remote_exchange(plan, ledger)
    fuse = Fuse(150)
    with pytest.raises(Crash), CrashingLedger(path, fuse) as ledger:
        remote_session(plan, ledger, exchange, FlakyBroker(exchange, fuse))
    with Ledger(path) as ledger:
        remote_session(plan, ledger, exchange, FlakyBroker(exchange, Fuse()))
        kinds = ledger.table("session_events")["kind"].to_list()
        assert "outcome_unknown" in kinds
        found = again(plan, ledger, tmp_path)
    assert found.equal, found.summary()


def test_the_first_difference_is_named(tmp_path: Path) -> None:
    with fresh_ledger(tmp_path / "ledger") as ledger:
        plan = plan_of(DAY, ledger, BARS, SIGNALS)
        replay_day(plan, BARS, ledger)
        intents = [
            (number, event)
            for number, event in ledger.events(plan.session_id)
            if type(event).__name__ == "OrderIntended"
        ]
        number, intent = intents[2]
        terms = msgspec.structs.replace(intent.order, quantity=intent.order.quantity + 1.0)
        changed = msgspec.structs.replace(intent, order=terms)
        ledger._database.write(
            "update events set detail = :detail where session_id = :session and sequence = :number",
            {
                "detail": msgspec.json.encode(changed).decode(),
                "session": plan.session_id,
                "number": number,
            },
        )
        found = again(plan, ledger, tmp_path)
        assert found.difference == (
            f"event {number} (intent of {terms.client_order_id}), order.quantity:"
            f" {terms.quantity!r} was written, now it is {intent.order.quantity!r}"
        )


def test_other_bars_are_found_at_a_broker_and_in_process(tmp_path: Path) -> None:
    other = BARS.with_columns(pl.col("open", "high", "low", "close") * 1.03)
    with fresh_ledger(tmp_path / "here") as ledger:
        plan = plan_of(DAY, ledger, BARS, SIGNALS)
        replay_day(plan, BARS, ledger)
        assert "event " in str(again(plan, ledger, tmp_path, other).difference)
    with fresh_ledger(tmp_path / "there") as ledger:
        exchange = remote_exchange(plan, ledger)
        remote_session(plan, ledger, exchange, RemoteBroker(exchange, Fuse()))
        assert "event " in str(again(plan, ledger, tmp_path, other).difference)


def test_other_books_at_the_end_are_found(tmp_path: Path) -> None:
    with fresh_ledger(tmp_path / "ledger") as ledger:
        plan = plan_of(DAY, ledger, BARS, SIGNALS)
        replay_day(plan, BARS, ledger)
        saved = ledger.snapshot(plan.session_id)
        assert saved is not None
        saved.body["trades"][0]["pnl"] += 0.01
        ledger.save_snapshot(saved)
        assert "at the end trades[0].pnl was" in str(again(plan, ledger, tmp_path).difference)


def test_a_session_that_never_began_cannot_be_replayed(tmp_path: Path) -> None:
    with (
        fresh_ledger(tmp_path / "ledger") as ledger,
        pytest.raises(NotReady, match="nothing to replay"),
    ):
        replay_session(plan_of(DAY, ledger, BARS, SIGNALS), BARS, ledger, tmp_path / "s")
