"""A session at the exchange that acts on quotes: at once, through the same gate, and again after a
restart.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from harmony_pipeline.execution import events as ev
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.session.alpaca_bars import alpaca_bars
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.quote_frames import frame_of
from harmony_pipeline.session.quotes import Quotes
from harmony_pipeline.session.runner import Supervision, run_session
from harmony_pipeline.session.session_replay import replay_session
from harmony_pipeline.session.stream import Batch, Quiet
from harmony_pipeline.strategies.base import Stepwise
from harmony_pipeline.strategies.events import Enter, Leave, Quote
from harmony_pipeline.testing.crashes import Crash, CrashingLedger, Fuse
from harmony_pipeline.testing.stepped_day import (
    KEYS,
    OPEN,
    SYMBOLS,
    CrashingBroker,
    SteppedWorld,
    plan_of,
    trading_rules,
)

MINUTES, FIRST = 34, 25
RULES = replace(trading_rules(), barriers=False)


class Follows:
    """Long of a symbol while its bid is above 100, which no bar of this market is."""

    def required_features(self):
        return ("volatility_20",)

    def on_bar(self, bar):
        return ()

    def on_quote(self, quote):
        return (Enter(quote.symbol, 1),) if quote.bid > 100.0 else (Leave(quote.symbol),)


def plan(ledger: Ledger) -> Any:
    return replace(plan_of(ledger, RULES), strategy_name="follows", strategy=Stepwise(Follows))


class WithQuotes:
    """The stepped stream, with a quote half a minute into some minutes."""

    def __init__(self, inner: Any, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse
        self.steps: list[tuple[int, int]] = []  # of the fuse before and after each quote
        self.bids = {FIRST: 101.0, FIRST + 4: 99.0}

    def moments(self) -> Iterator[Batch | Quiet | Quotes]:
        number = 0
        for item in self._inner.moments():
            yield item
            if isinstance(item, Batch):
                when = item.end + timedelta(seconds=30)
                bid = self.bids.get(number)
                if bid is not None:
                    before = self._fuse.steps
                    yield Quotes([Quote("AAA", when, bid, 5.0, bid + 0.02, 5.0)])
                    self.steps.append((before, self._fuse.steps))
                number += 1


def session(
    world: SteppedWorld,
    ledger: Ledger,
    fuse: Fuse | None = None,
    steps: list[tuple[int, int]] | None = None,
    *,
    told: bool = False,
) -> Any:
    """`told`: the first quote was heard by a process before this one, and does not come again."""
    chosen, fuse = plan(ledger), fuse or Fuse()
    broker = CrashingBroker(world, fuse, chosen)
    stream = WithQuotes(world.stream(broker, chosen), fuse)
    stream.steps = [] if steps is None else steps
    if told:
        del stream.bids[FIRST]
    watch = Supervision(is_live=True, stale_after_seconds=1e6)
    try:
        return run_session(chosen, ledger, broker, stream, broker.clock, watch)
    finally:
        broker.close()


def acted(ledger: Ledger) -> list[ev.QuoteActed]:
    (name, _), *_ = ledger.session_ids()
    return [event for _, event in ledger.events(name) if isinstance(event, ev.QuoteActed)]


def check(world: SteppedWorld, ledger: Ledger, result: Any, scratch: Path) -> None:
    """One order in, one out, at the quotes' moments; equal books; and the same when replayed."""
    orders = result.orders.sort("timestamp")
    assert orders.select("symbol", "side", "status").rows() == [
        ("AAA", "buy", "filled"), ("AAA", "sell", "filled"),
    ]  # fmt: skip
    moments = [OPEN + timedelta(minutes=n + 1, seconds=30) for n in (FIRST, FIRST + 4)]
    assert orders["timestamp"].to_list() == moments
    # the features are those of the last bar before the quote
    assert orders["signal_timestamp"][0] == OPEN + timedelta(minutes=FIRST)
    assert [(each.side, each.bid) for each in acted(ledger)] == [(1, 101.0), (0, 99.0)]
    assert world.differences(result) == []
    replayed = replay_session(plan(ledger), world.bars, ledger, scratch)
    assert replayed.equal, replayed.difference
    assert replayed.compared > 30


def test_a_quote_is_acted_on_between_two_bars(tmp_path: Path) -> None:
    with (
        SteppedWorld(3, tmp_path, MINUTES, rules=RULES) as world,
        Ledger(tmp_path / "ledger.sqlite") as ledger,
    ):
        check(world, ledger, session(world, ledger), tmp_path / "scratch.sqlite")


@pytest.fixture(scope="module")
def entry_steps(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, int]:
    """Between which steps of a process the first quote is acted on."""
    folder, steps = tmp_path_factory.mktemp("steps"), list[tuple[int, int]]()
    fuse = Fuse()
    with (
        SteppedWorld(3, folder, MINUTES, rules=RULES) as world,
        CrashingLedger(folder / "ledger.sqlite", fuse) as ledger,
    ):
        session(world, ledger, fuse, steps)
    return steps[0]


@pytest.mark.parametrize("part", [0.05, 0.25, 0.45, 0.65, 0.85])
def test_a_session_that_dies_at_a_quote_goes_on_from_it(
    tmp_path: Path, entry_steps: tuple[int, int], part: float
) -> None:
    first, last = entry_steps
    assert last - first > 10
    fuse = Fuse(first + round(part * (last - first)))
    with SteppedWorld(3, tmp_path, MINUTES, rules=RULES) as world:
        with pytest.raises(Crash), CrashingLedger(tmp_path / "ledger.sqlite", fuse) as ledger:
            session(world, ledger, fuse)
        with Ledger(tmp_path / "ledger.sqlite") as ledger:
            decided = bool(acted(ledger))
            result = session(world, ledger, told=decided)
            assert result.state == "completed"
            assert world.differences(result) == []
            names = result.orders["client_order_id"].to_list()
            assert len(names) == len(set(names))
            assert not [
                event
                for _, event in ledger.events(result.session_id)
                if isinstance(event, ev.BooksReconciled) and event.differences
            ]
            buys, sells = (result.orders.filter(side=side) for side in ("buy", "sell"))
            assert buys["timestamp"].to_list() == [OPEN + timedelta(minutes=FIRST + 1, seconds=30)]
            # what the machine held was not forgotten: it left with the second quote, not before
            assert sells["timestamp"].to_list() == [OPEN + timedelta(minutes=FIRST + 5, seconds=30)]


def test_quotes_come_over_the_stream_of_the_bars(tmp_path: Path) -> None:
    with (
        SteppedWorld(3, tmp_path, MINUTES, rules=RULES) as world,
        Ledger(tmp_path / "ledger.sqlite") as ledger,
    ):
        chosen = plan(ledger)
        world.exchange.step(4)
        broker = CrashingBroker(world, Fuse(), chosen)
        from harmony_pipeline.execution.brokers.alpaca.keys import Keys

        stream = alpaca_bars(
            world.settings(gather_seconds=0.03), Keys(*KEYS), MarketSettings(), chosen, broker.clock
        )
        sent = [
            Quote(SYMBOLS[n % 3], OPEN + timedelta(minutes=2, milliseconds=n), 50.0, 1.0, 50.1, 2.0)
            for n in range(600)
        ]
        heard: list[Quote] = []
        batches = 0
        for item in stream.moments():
            if isinstance(item, Batch):
                batches += 1
                if batches == 2:  # it is connected, and has asked for what it missed
                    (listener,) = world.exchange.hub.listeners
                    for first in range(0, 600, 50):
                        frame = frame_of(sent[first : first + 50])
                        world.exchange.call(listener.socket.send_bytes(frame))
            elif isinstance(item, Quotes):
                heard += item.quotes
            if len(heard) == 600:
                break
        broker.close()
    assert heard == sent
    assert stream.quote_counts == (600, 600, 0, 0, 0)
