"""Quotes between the thread that hears them and the one that trades: none is lost in silence."""

import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from math import inf, nan

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.errors import DataError
from harmony_pipeline.session.quote_frames import NOTHING, QuoteFrames, frame_of
from harmony_pipeline.session.quotes import QuoteQueue
from harmony_pipeline.strategies.events import Bar, Enter, Leave, Quote, SetTimer
from harmony_pipeline.strategies.machines import MachineRun

START = datetime(2024, 3, 5, 15, tzinfo=UTC)
SYMBOLS = ("A", "B", "C")


def quote(symbol: str, number: int = 0, bid: float = 10.0, ask: float = 10.1) -> Quote:
    return Quote(symbol, START + timedelta(milliseconds=number), bid, 5.0, ask, 7.0)


def queue(**options) -> tuple[QuoteQueue, list[int]]:
    woken: list[int] = []
    return QuoteQueue(SYMBOLS, lambda: woken.append(1), **options), woken


def test_every_quote_is_handled_once_in_the_order_in_which_it_came():
    waiting, woken = queue()
    sent = [quote(SYMBOLS[number % 3], number) for number in range(10)]
    waiting.put(sent[:4])
    waiting.put(sent[4:])
    assert woken == [1]  # the second lot is behind the first, which is announced
    first, more = waiting.take(3)
    assert (len(first), more) == (3, True)
    rest, more = waiting.take()
    assert (first + rest, more) == (sent, False)
    assert waiting.counts == (10, 10, 0, 0, 0)
    waiting.put(sent[:1])
    assert woken == [1, 1]


@given(st.lists(st.tuples(st.sampled_from((*SYMBOLS, "X")), st.integers(1, 4)), max_size=30))
def test_where_a_strategy_wants_the_latest_each_symbol_has_one_unread_quote(steps):
    waiting, _ = queue(conflates=True)
    last: dict[str, Quote] = {}
    for number, (symbol, lots) in enumerate(steps):
        for lot in range(lots):
            made = quote(symbol, 10 * number + lot)
            waiting.put([made])
            last |= {symbol: made} if symbol in SYMBOLS else {}
        assert waiting.counts.waiting <= len(SYMBOLS)
        assert waiting.counts.lost == 0
    taken, more = waiting.take()
    assert {each.symbol: each for each in taken} == last
    assert (len(taken), more) == (len(last), False)
    counts = waiting.counts
    assert counts.refused == sum(lots for symbol, lots in steps if symbol == "X")
    assert counts.received == counts.handled + counts.conflated + counts.refused


@pytest.mark.parametrize(
    ("bid", "bid_size", "ask", "ask_size", "kept"),
    [
        (10.0, 1.0, 10.0, 1.0, True),  # locked
        (0.0, 0.0, 10.0, 1.0, True),  # no bid
        (10.0, 1.0, 0.0, 0.0, True),  # no ask
        (10.2, 1.0, 10.1, 1.0, False),  # crossed
        (nan, 1.0, 10.1, 1.0, False),
        (10.0, 1.0, inf, 1.0, False),
        (-1.0, 1.0, 10.1, 1.0, False),
        (10.0, nan, 10.1, 1.0, False),
        (10.0, 1.0, 10.1, -1.0, False),
    ],
)
def test_a_quote_that_cannot_be_takes_no_other_with_it(bid, bid_size, ask, ask_size, kept):
    waiting, _ = queue()
    odd = Quote("B", START, bid, bid_size, ask, ask_size)
    waiting.put([quote("A"), odd, quote("C")])
    assert [each.symbol for each in waiting.take()[0]] == (["A", "B", "C"] if kept else ["A", "C"])
    assert waiting.refused == ({} if kept else {"B": 1})
    assert waiting.counts.lost == 0


def test_a_full_queue_makes_its_writer_wait_and_loses_nothing():
    waiting, _ = queue(most=10)
    sent = [quote("A", number) for number in range(200)]

    def write() -> None:
        for first in range(0, 200, 5):
            waiting.put(sent[first : first + 5])

    writer = threading.Thread(target=write)
    writer.start()
    taken: list[Quote] = []
    while len(taken) < 200:
        assert waiting.counts.waiting <= 10
        taken += waiting.take(3)[0]
    writer.join(5)
    assert taken == sent
    assert waiting.counts == (200, 200, 0, 0, 0)


def test_a_strategy_that_is_too_slow_is_told_so():
    waiting, _ = queue(most=2, longest_wait_seconds=0.01)
    waiting.put([quote("A"), quote("A", 1)])
    with pytest.raises(DataError, match="conflates_quotes = True"):
        waiting.put([quote("A", 2)])


def test_a_writer_that_waits_is_let_go_at_the_end():
    waiting, _ = queue(most=1, longest_wait_seconds=60.0)
    waiting.put([quote("A")])
    writer = threading.Thread(target=lambda: waiting.put([quote("A", 1)]))
    writer.start()
    waiting.end()
    writer.join(5)
    assert not writer.is_alive()


# --- frames ---------------------------------------------------------------------------------------


def test_a_frame_of_quotes_is_taken_whole():
    waiting, _ = queue()
    sent = [quote(SYMBOLS[number % 3], number) for number in range(6)]
    assert QuoteFrames(waiting).take(frame_of(sent)) == NOTHING
    assert waiting.take()[0] == sent


def test_of_a_mixed_frame_the_rest_is_returned_and_a_broken_quote_is_counted():
    waiting, _ = queue()
    messages = msgpack.unpackb(frame_of([quote("A"), quote("B"), quote("C", 3)]))
    del messages[1]["bp"]
    messages.insert(1, {"T": "b", "S": "A", "o": 1.5})
    rest = QuoteFrames(waiting).take(msgpack.packb(messages))
    assert msgpack.unpackb(rest) == [{"T": "b", "S": "A", "o": 1.5}]
    assert waiting.take()[0] == [quote("A"), quote("C", 3)]
    assert (waiting.refused, waiting.counts.received) == ({"B": 1}, 3)


def test_what_is_no_quote_passes():
    said = msgpack.packb([{"T": "success", "msg": "authenticated"}])
    assert QuoteFrames(queue()[0]).take(said) == said


# --- machines -------------------------------------------------------------------------------------


class Flips:
    """Enters at a bid above 10, leaves below; sets a timer once."""

    def __init__(self) -> None:
        self.heard: Counter[str] = Counter()

    def required_features(self):
        return ()

    def on_bar(self, bar: Bar):
        return ()

    def on_quote(self, quote: Quote):
        self.heard[quote.symbol] += 1
        if quote.bid == 13.0:
            return (SetTimer(quote.timestamp + timedelta(milliseconds=1), "late"),)
        if quote.bid == 10.0:
            return ()
        return (Enter(quote.symbol, 1),) if quote.bid > 10.0 else (Leave(quote.symbol),)

    def on_timer(self, timer):
        return (Leave("A"),)


def test_a_machine_is_asked_about_each_quote_and_its_changes_come_out():
    run = MachineRun(Flips(), "flips", SYMBOLS)
    quotes = [
        quote("A"), quote("A", 1, 11.0, 11.1), quote("B"), quote("A", 2, 9.0, 9.1),
        quote("B", 3, 12.0, 12.1),
    ]  # fmt: skip
    found = [(each.symbol, intents) for each, intents in run.hear_quotes(quotes)]
    assert found == [("A", (Enter("A", 1),)), ("A", (Leave("A"),)), ("B", (Enter("B", 1),))]
    assert run.holding == {"A": (0, 0.0), "B": (1, 1.0)}
    assert run.machine.heard == {"A": 3, "B": 2}


def test_a_timer_that_is_due_comes_before_the_quote():
    run = MachineRun(Flips(), "flips", SYMBOLS)
    quotes = [quote("A", 0, 11.0, 11.1), quote("B", 1, 13.0, 13.1), quote("B", 5)]
    found = [(each.timestamp, list(intents)) for each, intents in run.hear_quotes(quotes)]
    assert found[0][1] == [Enter("A", 1)]
    assert found[-1] == (quotes[-1].timestamp, [Leave("A")])


def test_a_machine_that_raises_on_a_quote_is_named_with_the_symbol():
    class Broken(Flips):
        def on_quote(self, quote):
            raise ZeroDivisionError("no spread")

    run = MachineRun(Broken(), "broken", SYMBOLS)
    with pytest.raises(DataError, match=r"strategy broken, B at .*ZeroDivisionError: no spread"):
        list(run.hear_quotes([quote("B")]))


def test_a_resting_order_needs_the_ticks_of_a_backtest():
    from harmony_pipeline.strategies.events import Post

    class Posts(Flips):
        def on_quote(self, quote):
            return (Post(quote.symbol, 1, quote.bid, 10.0),)

    with pytest.raises(DataError, match="Post needs quotes"):
        list(MachineRun(Posts(), "posts", SYMBOLS).hear_quotes([quote("A")]))
