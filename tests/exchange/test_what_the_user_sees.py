"""What a person reads when something is wrong around a session, and that no wrong order was sent.
The sentences stand in docs/operating.md.
"""

import json
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.execution.brokers.alpaca.broker import AlpacaBroker
from harmony_pipeline.execution.brokers.alpaca.keys import Keys
from harmony_pipeline.execution.brokers.alpaca.stream import Item, UpdateStream
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.runner import Supervision, run_session
from harmony_pipeline.session.stream import Batch, Quiet
from harmony_pipeline.testing.crashes import Fuse
from harmony_pipeline.testing.stepped_day import (
    CALENDAR,
    DAY,
    SYMBOLS,
    WARM,
    CrashingBroker,
    Happening,
    SteppedWorld,
    plan_of,
    trading_rules,
)

OPERATING = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
SEED, MINUTES = 5, 25


def day_with(
    folder: Path, *faults: dict[str, Any], minutes: int = MINUTES
) -> tuple[SessionResult, SteppedWorld]:
    """A day on which all of these happen just before the first decision."""
    happenings = [Happening(WARM, 0, fault) for fault in faults]
    with (
        SteppedWorld(SEED, folder, minutes, happenings) as world,
        Ledger(folder / "ledger.sqlite") as ledger,
    ):
        return world.session(ledger), world


def ours(world: SteppedWorld) -> list[Any]:
    return [order for order in world.exchange.venue.orders.values() if not order.foreign]


def details(result: SessionResult, kind: str) -> list[dict[str, Any]]:
    events = result.tables["session_events"].filter(pl.col("kind") == kind)
    return [json.loads(text) for text in events["detail"]]


def reasons(result: SessionResult) -> set[str]:
    return set(result.orders.filter(pl.col("status") == "refused")["reason"])


def is_documented(sentence: str) -> bool:
    return sentence in OPERATING


def test_a_dropped_order_stream_halts_until_it_stands_again(tmp_path: Path) -> None:
    result, world = day_with(
        tmp_path,
        {"kind": "reset", "path": "/stream", "times": 500},
        {"kind": "drop", "stream": "trades"},
    )
    assert reasons(result) == {"halted: the order stream is down"}
    assert ours(world) == []
    assert is_documented("halted: the order stream is down")


def test_a_blocked_account_is_told_in_alpacas_words_and_holds_nothing(tmp_path: Path) -> None:
    result, world = day_with(tmp_path, {"kind": "block"})
    sentence = "Alpaca: account is not authorized to trade (403, 40310000)"
    assert {each["reason"] for each in details(result, "rejected")} == {sentence}
    assert set(result.orders["status"]) == {"rejected"}
    assert ours(world) == []
    assert is_documented(sentence)


def test_keys_that_are_refused_end_the_session_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="refuses the keys: correct ALPACA_API_KEY"):
        day_with(
            tmp_path, {"kind": "refuse_keys"}, {"kind": "drop", "stream": "trades"}, minutes=200
        )
    assert is_documented("refuses the keys: correct ALPACA_API_KEY and ALPACA_SECRET_KEY")


def test_wrong_keys_from_the_start_send_nothing(tmp_path: Path) -> None:
    with SteppedWorld(SEED, tmp_path, 3) as world:
        with pytest.raises(ConfigError, match="refused the keys") as raised:
            AlpacaBroker(world.settings(), Keys("PKWRONG", "wrong"))
        assert "\n" not in str(raised.value)
        assert ours(world) == []
    assert is_documented("refused the keys")


def test_a_halted_symbol_has_one_open_order_and_no_fill(tmp_path: Path) -> None:
    result, world = day_with(tmp_path, *({"kind": "halt", "symbol": symbol} for symbol in SYMBOLS))
    assert set(result.orders["status"]) == {"open"}
    assert result.fills.is_empty()
    assert len({order.symbol for order in ours(world)}) == len(ours(world)) > 0


@pytest.mark.parametrize("late_seconds", [0.0, 0.3])
def test_a_position_opened_by_hand_halts_the_session(
    late_seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = UpdateStream._tell

    def tell_late(stream: UpdateStream, item: Item) -> None:
        time.sleep(late_seconds)
        tell(stream, item)

    monkeypatch.setattr(UpdateStream, "_tell", tell_late)
    result, world = day_with(
        tmp_path, {"kind": "trade_by_hand", "symbol": "AAA", "side": "buy", "quantity": 7}
    )
    told = [each for found in details(result, "books_reconciled") for each in found["differences"]]
    assert len(told) == 1
    assert "(AAA), which was never placed here" in told[0]
    assert reasons(result) == {"halted: the books are not reconciled"}
    assert ours(world) == []
    assert is_documented("which was never placed here")
    assert is_documented("halted: the books are not reconciled")


class Muted:
    """A day whose bars come no more from a minute on, for some minutes; then they come again."""

    def __init__(self, inner: Any, broker: AlpacaBroker, silent: timedelta) -> None:
        self._inner, self._broker, self._silent = inner, broker, silent

    def moments(self) -> Iterator[Batch | Quiet]:
        number = 0
        for item in self._inner.moments():
            if isinstance(item, Batch):
                number += 1
                if number == WARM + 1:  # its bars are here, and old
                    self._broker.clock.hear(item.end + self._silent)
                    yield Quiet(item.end + self._silent)
            yield item


@pytest.mark.parametrize(("minutes", "word"), [(4, "reducing"), (7, "halted")])
def test_stale_bars_hold_orders_back(minutes: int, word: str, tmp_path: Path) -> None:
    with SteppedWorld(SEED, tmp_path, WARM + 1) as world, Ledger(tmp_path / "l.sqlite") as ledger:
        plan = plan_of(ledger, world.rules)
        broker = CrashingBroker(world, Fuse(), plan)
        stream = Muted(world.stream(broker, plan), broker, timedelta(minutes=minutes))
        watch = Supervision(is_live=True, stale_after_seconds=90.0)
        result = run_session(plan, ledger, broker, stream, broker.clock, watch)
        assert ours(world) == []
    [reason] = reasons(result)
    assert reason.startswith(f"{word}: no bars for ")
    assert is_documented(f"{word}: no bars for")


def test_the_clock_of_this_machine_is_not_asked(tmp_path: Path) -> None:
    """It is years off here: the day is of 2024."""
    result, world = day_with(tmp_path)
    assert result.state == "completed"
    assert len(ours(world)) > 0
    known = result.tables["session_events"]["known_at"].to_list()
    assert {moment.date() for moment in known} == {DAY}
    assert datetime.now(UTC).date() != DAY
    assert is_documented("its own clock is not asked")


def test_a_closed_market_has_no_session(tmp_path: Path) -> None:
    from harmony_pipeline.session.day_plan import plan_day
    from harmony_pipeline.session.opening import opening_of

    holiday = date(2024, 7, 4)
    with Ledger(tmp_path / "l.sqlite") as ledger, pytest.raises(DataError) as raised:
        known = plan_of(ledger, trading_rules())
        plan_day(
            holiday, opening_of(ledger, "paper", holiday, 1e5), SYMBOLS, strategy_name="x",
            strategy=known.strategy, rules=known.rules, feature_set=known.feature_set,
            feature_states={}, calendar=CALENDAR, timeframe="1Min", actions=known.actions,
        )  # fmt: skip
    assert "2024-07-04 is no session" in str(raised.value)
    assert is_documented("is no session")


def test_a_half_day_ends_at_its_own_close() -> None:
    from harmony_pipeline.session.live_bars import LiveBars

    half = date(2024, 7, 3)
    close = CALENDAR.session_close(half)
    assert f"{close:%H:%M}" == "17:00"  # 13:00 in New York

    class Clock:
        def now(self) -> datetime:
            return close

        def hear(self, moment: datetime | None) -> None:
            pass

    def frames() -> Iterator[pl.DataFrame]:
        for minute in range(-2, 3):
            start = close + timedelta(minutes=minute)
            yield pl.DataFrame(
                {"symbol": ["AAA"], "timestamp": [start], "open": [1.0], "high": [1.0],
                 "low": [1.0], "close": [1.0], "volume": [1.0]}
            ).with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")))  # fmt: skip

    live = LiveBars(frames, CALENDAR, "1Min", Clock(), close)
    heard = [item for item in live.moments() if isinstance(item, Batch)]
    assert [batch.end for batch in heard] == [close - timedelta(minutes=1), close]
    assert is_documented("half-day")
