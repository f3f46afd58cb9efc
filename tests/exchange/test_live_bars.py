"""A live day's bars: from its first one, through breaks, wrong ticks and refusals."""

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from exchange.alpaca_world import HeardBroker, at_exchange, settings, wait_until
from exchange.exchange_world import CALENDAR, DAY, KEYS, OPEN, SYMBOLS, rules

from harmony_pipeline.errors import ConfigError, HarmonyError
from harmony_pipeline.exchange.control import commit
from harmony_pipeline.exchange.server import ExchangeServer
from harmony_pipeline.execution.brokers.alpaca.keys import Keys
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.session.alpaca_bars import alpaca_bars
from harmony_pipeline.session.live_bars import LiveBars
from harmony_pipeline.session.stream import Batch, Quiet


class Plan:
    """What `alpaca_bars` reads of a plan."""

    date, calendar, symbols, timeframe, rules = DAY, CALENDAR, SYMBOLS, "1Min", rules()
    hears_quotes = False


class Listener:
    """Hears a stream in a thread, as a session would."""

    def __init__(self, stream: LiveBars) -> None:
        self.stream = stream
        self.heard: queue.SimpleQueue[Batch | HarmonyError | None] = queue.SimpleQueue()
        self.quiet = 0
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def _listen(self) -> None:
        try:
            for item in self.stream.moments():
                if isinstance(item, Quiet):
                    self.quiet += 1
                else:
                    self.heard.put(item)
            self.heard.put(None)
        except HarmonyError as error:
            self.heard.put(error)

    def next(self) -> Batch:
        item = self.heard.get(timeout=8)
        assert isinstance(item, Batch), item
        return item


def bars_at(exchange: ExchangeServer, broker: HeardBroker, **changes: Any) -> LiveBars:
    chosen = settings(exchange, gather_seconds=0.03, **changes)
    until = OPEN + timedelta(minutes=12)
    made = alpaca_bars(
        chosen, Keys(*KEYS), MarketSettings(), Plan(), broker.clock, {"BBB": 2.0}, until,  # type: ignore[arg-type]
    )  # fmt: skip
    made._quiet = 0.05
    return made


@contextmanager
def listening(
    steps: int = 5, options: dict[str, Any] | None = None, **changes: Any
) -> Iterator[tuple[ExchangeServer, Listener]]:
    with at_exchange([100.0 + n / 10 for n in range(12)], options, clock_seconds=0.05) as (
        exchange, broker,
    ):  # fmt: skip
        exchange.step(steps)
        listener = Listener(bars_at(exchange, broker, **changes))
        try:
            yield exchange, listener
        finally:
            listener.stream.close()
            listener.thread.join(5)
            assert not listener.thread.is_alive()


def fault(exchange: ExchangeServer, kind: str, **fields: Any) -> None:
    exchange.call(commit(exchange, {"kind": kind, **fields}))


def test_a_day_is_told_from_its_first_bar_whenever_the_session_begins() -> None:
    with listening(steps=5) as (exchange, listener):
        batches = [listener.next() for _ in range(3)]
        wait_until(lambda: exchange.hub.listeners)
        exchange.step(100)
        batches += [listener.next() for _ in range(9)]
        assert listener.heard.get(timeout=5) is None  # the day is over with its last bar
    assert [batch.start for batch in batches] == [OPEN + timedelta(minutes=n) for n in range(12)]
    assert all([bar.symbol for bar in batch.bars] == list(SYMBOLS) for batch in batches)
    assert [bar.factor for bar in batches[0].bars] == [1.0, 2.0]
    assert [batch.bars[0].close for batch in batches] == [
        pytest.approx(100.0 + n / 10) for n in range(12)
    ]
    assert batches[0].bars[0].session == "regular"


def test_minutes_that_ended_while_the_stream_was_cut_are_filled_in_order() -> None:
    with listening(steps=3) as (exchange, listener):
        starts = [listener.next().start for _ in range(2)]
        wait_until(lambda: exchange.hub.listeners)
        exchange.step(2)
        starts.append(listener.next().start)
        fault(exchange, "drop", stream="data")
        wait_until(lambda: not exchange.hub.listeners)
        exchange.step(4)
        wait_until(lambda: exchange.hub.listeners)
        exchange.step(2)
        starts += [listener.next().start for _ in range(3)]
    assert starts == [OPEN + timedelta(minutes=n) for n in range(6)]


def test_a_wrong_tick_is_corrected_too_late_to_be_traded_on_and_is_counted() -> None:
    with listening(steps=3) as (exchange, listener):
        listener.next(), listener.next()
        wait_until(lambda: exchange.hub.listeners)
        exchange.step(2)
        listener.next()  # with it the minutes of the connection are read again
        fault(exchange, "bad_tick", symbol="AAPL", factor=10.0)
        exchange.step(2)
        assert listener.next().bars[0].close == pytest.approx(1003.0)
        exchange.step(2)
        assert listener.next().bars[0].close == pytest.approx(100.4)
        wait_until(lambda: listener.stream.late == 1)


def test_07_a_slot_that_is_held_by_a_cut_session_is_waited_for() -> None:
    with listening(steps=3, options={"slot_hold_seconds": 1.0}) as (exchange, listener):
        listener.next(), listener.next()
        wait_until(lambda: exchange.hub.listeners)
        fault(exchange, "drop", stream="data")
        wait_until(lambda: not exchange.hub.listeners)
        exchange.step(2)
        wait_until(lambda: exchange.hub.listeners)  # refused with 406 until then
        assert exchange.hub.connected >= 3
        assert listener.next().start == OPEN + timedelta(minutes=2)


def test_a_stream_that_refuses_the_keys_ends_with_a_line() -> None:
    with at_exchange() as (exchange, broker):
        exchange.hub.refusals = [402] * 50
        heard = Listener(bars_at(exchange, broker)).heard.get(timeout=5)
        assert isinstance(heard, ConfigError)
        assert KEYS[1] not in str(heard)


def test_silence_is_told_while_nothing_comes() -> None:
    with listening(steps=0) as (exchange, listener):
        wait_until(lambda: listener.quiet >= 2)
        assert listener.heard.empty()
        assert not exchange.venue.is_over


def test_23_bars_of_many_symbols_are_read_page_by_page() -> None:
    with listening(steps=25) as (exchange, listener):
        assert listener.next().start == OPEN
        pages = exchange.asked("/v2/stocks/bars")
        assert pages
        assert all(each.query["feed"] == "iex" for each in pages)
        frame = exchange.venue.market.frame
        assert frame.filter(pl.col("symbol") == "AAPL").height == 12
