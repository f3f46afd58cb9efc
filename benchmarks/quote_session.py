"""A session at `harmony exchange` that hears quotes over its real stream: 10,000 a second for a
minute, then as many as it can take; and what a quote costs from the bus to a strategy, beside
nautilus_trader.

    python benchmarks/quote_session.py [--seconds 60] [--peers PYTHON]

The exchange runs in a process of its own and speaks Alpaca's protocols (REST, order stream, market
data in msgpack). The session is `run_session` with the broker and the stream that trade at Alpaca:
every quote goes through the websocket, the decoder, the queue and the machine, whose orders go to
the exchange and come back as fills. Sent, received and handled quotes are counted and must be
equal; memory is the resident set of the session's process. Then the exchange sends without a pause:
the session takes what it can, and what it cannot take yet waits in the buffers of the sockets.

--peers is an interpreter that has nautilus_trader (its locks do not go with ours: make one with
`pip install nautilus_trader`). Both move ready quote objects from the bus to a machine in Python of
the same work, in one process and one thread: ours through the session's queue in lots of 256, with
the checks of every quote; theirs through the message bus, published on the topic of the quotes that
the strategy has subscribed to. The best of five rounds counts, by the time of the cores.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import judge, run_task

RATE, SECONDS, FLOOD_SECONDS = 10_000, 60.0, 10.0
SYMBOLS = tuple(f"S{number:03}" for number in range(20))
DAY = date(2024, 3, 5)
OPEN = datetime(2024, 3, 5, 14, 30, tzinfo=UTC)
MINUTES, PAST = 390, 40  # of the day, and over when the session begins
KEYS = ("PKTESTINGKEY00000001", "TestingSecret000000000000000000000000001")
ACTS_EVERY = 10_000  # quotes of a symbol between two changes of what the machine holds
FRAMES_A_SECOND = 100
GROWTH_MB = 16.0  # of the session's memory over the minute
ROUNDS, QUOTES, LOT = 5, 400_000, 256
WANTED_TIMES = 5.0


# --- the exchange's process -----------------------------------------------------------------------


def bars() -> Any:
    """Random walks of the day."""
    import polars as pl

    from harmony_pipeline.market.calendars import Calendar

    generator, frames = np.random.default_rng(3), []
    for symbol in SYMBOLS:
        close = np.round(50.0 * np.exp(np.cumsum(generator.normal(0.0, 0.001, MINUTES))), 2)
        opened = np.concatenate([[50.0], close[:-1]])
        frames.append(
            pl.DataFrame(
                {
                    "symbol": [symbol] * MINUTES,
                    "timestamp": [OPEN + timedelta(minutes=number) for number in range(MINUTES)],
                    "open": opened,
                    "high": np.maximum(opened, close) + 0.02,
                    "low": np.minimum(opened, close) - 0.02,
                    "close": close,
                    "volume": np.full(MINUTES, 50_000.0),
                }
            )
        )
    frame = pl.concat(frames).with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC")),
        timeframe=pl.lit("1Min"),
        adjustment_factor=pl.lit(1.0),
    )
    return Calendar.of("XNYS").with_session(frame, "1Min").sort("symbol", "timestamp")


def rules() -> Any:
    from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
    from harmony_pipeline.labels.settings import LabelSettings
    from harmony_pipeline.portfolio.parameters import TradingRules
    from harmony_pipeline.portfolio.settings import BacktestSettings
    from harmony_pipeline.risk.settings import RiskSettings
    from harmony_pipeline.strategies.settings import StrategySettings

    return TradingRules.of(
        RiskSettings(minimum_order_value=100.0, max_position=0.04, max_open_positions=20),
        CostSettings(half_spread_bps=0.0, impact_coefficient=0.0, fee_per_share=0.005),
        ExecutionNoiseSettings(),
        LabelSettings(),
        StrategySettings(use="none:None", exits="signal"),
        BacktestSettings(initial_cash=100_000.0),
    )


def some_quotes(count: int, seed: int = 5) -> list[Any]:
    """Quotes of all symbols around 50, one after the other, a millisecond apart."""
    from harmony_pipeline.strategies.events import Quote

    generator = np.random.default_rng(seed)
    middle = 50.0 + np.cumsum(generator.normal(0.0, 0.001, count))
    sizes = generator.integers(1, 30, (count, 2)).astype(float).tolist()
    start = OPEN + timedelta(minutes=PAST)
    return [
        Quote(
            SYMBOLS[number % len(SYMBOLS)], start + timedelta(milliseconds=number),
            round(price - 0.01, 2), size[0], round(price + 0.01, 2), size[1],
        )
        for number, (price, size) in enumerate(zip(middle.tolist(), sizes, strict=True))
    ]  # fmt: skip


def serve() -> None:
    """The exchange, told by lines on its standard input: a rate (0: none, -1: without a pause)."""
    import asyncio

    from harmony_pipeline.exchange.market import ReplayMarket
    from harmony_pipeline.exchange.server import ExchangeServer
    from harmony_pipeline.exchange.venue import Venue
    from harmony_pipeline.market.calendars import Calendar
    from harmony_pipeline.session.quote_frames import frame_of

    per_frame = RATE // FRAMES_A_SECOND
    quotes = some_quotes(200 * per_frame)
    frames = [
        frame_of(quotes[first : first + per_frame]) for first in range(0, len(quotes), per_frame)
    ]
    venue = Venue(ReplayMarket(bars(), Calendar.of("XNYS")), rules())
    with ExchangeServer(venue, KEYS, requests_per_minute=1_000_000) as server:
        sent, rate = 0, 0

        async def send() -> None:
            nonlocal sent
            begun, already = time.monotonic(), 0
            mine = rate
            while rate == mine and rate:
                for listener in list(server.hub.listeners):
                    if listener.wanted["quotes"]:
                        await listener.socket.send_bytes(frames[sent // per_frame % len(frames)])
                        sent += per_frame
                        already += 1
                if mine > 0:
                    due = begun + already / FRAMES_A_SECOND
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                else:
                    await asyncio.sleep(0)

        server.step(2 * PAST)
        print(json.dumps({"url": server.url, "stream": server.ws_url}), flush=True)
        for line in sys.stdin:
            if line.strip() == "minute":
                server.step(2)
            else:
                rate = int(line)
                if rate:
                    asyncio.run_coroutine_threadsafe(send(), server._loop)
                else:
                    time.sleep(0.2)
            print(json.dumps({"sent": sent}), flush=True)


class Exchange:
    """The other process."""

    def __init__(self) -> None:
        command = [sys.executable, __file__, "--serve"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.addresses = self._line()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def tell(self, what: str) -> int:
        """What it is to do; how many quotes it has sent by then."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return int(self._line()["sent"])

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


# --- the session ----------------------------------------------------------------------------------


class Imbalance:
    """Smoothed imbalance of the sizes and the spread of each symbol; it changes sides with it, at
    every ACTS_EVERY-th quote of a symbol.
    """

    def __init__(self, acts_every: int = ACTS_EVERY) -> None:
        self.acts_every = acts_every
        self.state: dict[str, list[float]] = {}
        self.held: dict[str, bool] = {}

    def required_features(self) -> tuple[str, ...]:
        return ()

    def on_bar(self, bar: Any) -> Any:
        return ()

    def on_quote(self, quote: Any) -> Any:
        bid, ask = quote.bid, quote.ask
        weight = quote.bid_size / (quote.bid_size + quote.ask_size)
        symbol = quote.symbol
        state = self.state.get(symbol)
        if state is None:
            self.state[symbol] = [weight, ask - bid, 1.0]
            return ()
        state[0] += 0.02 * (weight - state[0])
        state[1] += 0.02 * (ask - bid - state[1])
        state[2] += 1.0
        if state[2] % self.acts_every:
            return ()
        return self.act(symbol, state[0])

    def act(self, symbol: str, smoothed: float) -> Any:
        from harmony_pipeline.strategies.events import Enter, Leave

        held = self.held[symbol] = not self.held.get(symbol, False)
        return (Enter(symbol, 1),) if held else (Leave(symbol),)


def plan_of(ledger: Any) -> Any:
    from harmony_pipeline.features.catalog import FeatureSet
    from harmony_pipeline.market.calendars import Calendar
    from harmony_pipeline.schemas import CORPORATE_ACTIONS
    from harmony_pipeline.session.day_plan import plan_day
    from harmony_pipeline.session.opening import opening_of
    from harmony_pipeline.strategies.base import Stepwise

    return plan_day(
        DAY, opening_of(ledger, "quotes", DAY, 100_000.0), SYMBOLS, strategy_name="imbalance",
        strategy=Stepwise(Imbalance), rules=rules(), feature_set=FeatureSet.of(("volatility_20",)),
        feature_states={}, calendar=Calendar.of("XNYS"), timeframe="1Min",
        actions=CORPORATE_ACTIONS.empty(),
    )  # fmt: skip


def memory_mb() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextmanager
def session_at(exchange: Exchange, folder: Path) -> Iterator[tuple[Any, list[Any]]]:
    """A session of today in a thread, its stream, and what it ended with."""
    from harmony_pipeline.execution.brokers.alpaca.broker import AlpacaBroker
    from harmony_pipeline.execution.brokers.alpaca.keys import Keys
    from harmony_pipeline.execution.brokers.alpaca.settings import AlpacaSettings
    from harmony_pipeline.market.settings import MarketSettings
    from harmony_pipeline.session.alpaca_bars import alpaca_bars, fees_of
    from harmony_pipeline.session.ledger import Ledger
    from harmony_pipeline.session.process_control import StopRequest
    from harmony_pipeline.session.runner import Supervision, run_session

    url, stream_url = exchange.addresses["url"], exchange.addresses["stream"]
    settings = AlpacaSettings(
        trading_url=url, data_url=url, trading_stream_url=f"{stream_url}/stream",
        data_stream_url=f"{stream_url}/v2/iex", requests_per_minute=1_000_000, gather_seconds=0.1,
    )  # fmt: skip
    keys, stop, results, made = Keys(*KEYS), StopRequest(), list[Any](), list[Any]()

    def run() -> None:
        with Ledger(folder / "ledger.sqlite") as ledger:
            plan = plan_of(ledger)
            broker = AlpacaBroker(settings, keys, fees_of(plan))
            made.append(alpaca_bars(settings, keys, MarketSettings(), plan, broker.clock))
            watch = Supervision(folder / "state", is_live=True, stop=stop, stale_after_seconds=1e6)
            results.append(run_session(plan, ledger, broker, made[0], broker.clock, watch))

    thread = threading.Thread(target=run, name="session")
    thread.start()
    try:
        wait_until(lambda: made or not thread.is_alive())
        yield made[0], results
    finally:
        stop.ask("the measurement is over")
        thread.join(30.0)


def wait_until(done: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            raise TimeoutError("it did not happen in time")
        time.sleep(0.01)


def sustained(seconds: float) -> list[bool]:
    """RATE quotes a second, then as many as it can take."""
    exchange = Exchange()
    met = []
    try:
        with (
            tempfile.TemporaryDirectory(prefix="harmony-quotes-") as folder,
            session_at(exchange, Path(folder)) as (stream, results),
        ):
            found = at_rate(exchange, stream, seconds)
            flood = flooded(exchange, stream)
        orders = results[0].orders.height if results else 0
    finally:
        exchange.end()
    print(
        f"{found['handled']:,} quotes of {len(SYMBOLS)} symbols in {found['seconds']:.1f} s,"
        f" {found['handled'] / found['seconds']:,.0f} a second, with {orders} orders at the"
        f" exchange (those of the flood included); at most {found['most_waiting']:,} waited;"
        f" memory {found['first_mb']:.1f} -> {found['last_mb']:.1f} MB"
    )
    print(
        f"without a pause: {flood['handled']:,} in {flood['seconds']:.1f} s, at most"
        f" {flood['most_waiting']:,} waited, memory at most {flood['last_mb']:.1f} MB"
    )
    rate = found["handled"] / found["seconds"]
    met += [
        judge("quotes a second, sustained", rate, 0.99 * RATE),
        judge("quotes sent and not handled", found["lost"] + flood["lost"], 0, most=True),
        judge(
            "memory grown over it, MB", found["last_mb"] - found["first_mb"], GROWTH_MB, most=True
        ),
    ]
    print(f"quotes a second at most: measured {flood['handled'] / flood['seconds']:,.0f}")
    return met


def at_rate(exchange: Exchange, stream: Any, seconds: float) -> dict[str, float]:
    before = exchange.tell(str(RATE))
    wait_until(lambda: stream.quote_counts.handled > 0)
    time.sleep(min(5.0, seconds / 4))  # warm
    first, begun, already = memory_mb(), time.monotonic(), stream.quote_counts.handled
    most = 0
    while time.monotonic() < begun + seconds:
        time.sleep(0.05)
        most = max(most, stream.quote_counts.waiting)
    handled, took = stream.quote_counts.handled - already, time.monotonic() - begun
    return {"handled": handled, "seconds": took, "most_waiting": most, "first_mb": first,
            "last_mb": memory_mb(), "lost": settled(exchange, stream, before)}  # fmt: skip


def settled(exchange: Exchange, stream: Any, before: int) -> float:
    """Stop sending; how many of those sent were not handled once all is quiet."""
    exchange.tell("0")
    last = -1
    while last != stream.quote_counts.received:
        last = stream.quote_counts.received
        time.sleep(0.5)
    wait_until(lambda: stream.quote_counts.waiting == 0)
    counts, settled.seen = stream.quote_counts, getattr(settled, "seen", 0)  # type: ignore[attr-defined]
    handled, settled.seen = counts.handled - settled.seen, counts.handled  # type: ignore[attr-defined]
    assert counts.lost == 0, counts
    # asked again: a frame that was on its way when it was told to stop is counted now
    lost = exchange.tell("0") - before - handled
    assert lost >= 0, f"{-lost} quotes more were handled than were sent"
    return float(lost)


def flooded(exchange: Exchange, stream: Any) -> dict[str, float]:
    already, before, begun = stream.quote_counts.handled, exchange.tell("-1"), time.monotonic()
    most, memory = 0, 0.0
    while time.monotonic() < begun + FLOOD_SECONDS:
        time.sleep(0.05)
        most, memory = max(most, stream.quote_counts.waiting), max(memory, memory_mb())
    handled, took = stream.quote_counts.handled - already, time.monotonic() - begun
    return {"handled": handled, "seconds": took, "most_waiting": most, "last_mb": memory,
            "lost": settled(exchange, stream, before)}  # fmt: skip


# --- from the bus to a strategy -------------------------------------------------------------------


def best_rate(work: Callable[[], Any]) -> dict[str, float]:
    """Quotes a second of the cores, the best of ROUNDS."""
    seconds = []
    for _ in range(ROUNDS):
        used = time.process_time()
        work()
        seconds.append(time.process_time() - used)
    return {"rate": QUOTES / min(seconds)}


def ours() -> dict[str, float]:
    from harmony_pipeline.session.quotes import QuoteQueue
    from harmony_pipeline.strategies.machines import MachineRun

    quotes = some_quotes(QUOTES)
    lots = [quotes[first : first + LOT] for first in range(0, QUOTES, LOT)]

    def run() -> None:
        queue = QuoteQueue(SYMBOLS, lambda: None)
        machine = Imbalance(QUOTES)
        heard = MachineRun(machine, "imbalance", SYMBOLS)
        for lot in lots:
            queue.put(lot)
            taken, _ = queue.take()
            for _ in heard.hear_quotes(taken):
                pass
        assert queue.counts.handled == sum(row[2] for row in machine.state.values()) == QUOTES

    return best_rate(run)


def nautilus() -> dict[str, float]:
    """The message bus of a trader without its data engine: `publish` on the quotes' topics."""
    from nautilus_trader.cache.cache import Cache
    from nautilus_trader.common.component import MessageBus, TestClock
    from nautilus_trader.config import StrategyConfig
    from nautilus_trader.model.data import QuoteTick
    from nautilus_trader.model.identifiers import InstrumentId, TraderId
    from nautilus_trader.model.objects import Price, Quantity
    from nautilus_trader.portfolio.portfolio import Portfolio
    from nautilus_trader.trading.strategy import Strategy

    state: dict[Any, list[float]] = {}

    class Weigh(Strategy):
        def on_start(self) -> None:
            for each in instruments:
                self.msgbus.subscribe(topic=topic(each), handler=self.handle_quote_tick)

        def on_quote_tick(self, tick: Any) -> None:
            bid, ask = tick.bid_price.as_double(), tick.ask_price.as_double()
            bid_size, ask_size = tick.bid_size.as_double(), tick.ask_size.as_double()
            weight = bid_size / (bid_size + ask_size)
            symbol = tick.instrument_id
            known = state.get(symbol)
            if known is None:
                state[symbol] = [weight, ask - bid, 1.0]
                return
            known[0] += 0.02 * (weight - known[0])
            known[1] += 0.02 * (ask - bid - known[1])
            known[2] += 1.0
            if known[2] % QUOTES == 0:
                raise AssertionError

    def topic(each: Any) -> str:
        return f"data.quotes.{each.venue}.{each.symbol}"

    instruments = [InstrumentId.from_str(f"{symbol}.SIM") for symbol in SYMBOLS]
    clock = TestClock()
    bus = MessageBus(trader_id=TraderId("TESTER-001"), clock=clock)
    cache = Cache()
    strategy = Weigh(StrategyConfig())
    strategy.register(
        trader_id=TraderId("TESTER-001"), portfolio=Portfolio(bus, cache, clock), msgbus=bus,
        cache=cache, clock=clock,
    )  # fmt: skip
    strategy.start()
    generator = np.random.default_rng(5)
    middle = 50.0 + np.cumsum(generator.normal(0.0, 0.001, QUOTES))
    sizes = generator.integers(1, 30, (QUOTES, 2)).tolist()
    ticks = [
        QuoteTick(
            instruments[number % len(instruments)], Price(price - 0.01, 2), Price(price + 0.01, 2),
            Quantity.from_int(size[0]), Quantity.from_int(size[1]), number, number,
        )
        for number, (price, size) in enumerate(zip(middle.tolist(), sizes, strict=True))
    ]  # fmt: skip
    topics = [topic(tick.instrument_id) for tick in ticks]

    def run() -> None:
        state.clear()
        publish = bus.publish
        for name, tick in zip(topics, ticks, strict=True):
            publish(name, tick)
        assert sum(row[2] for row in state.values()) == QUOTES

    return best_rate(run)


TASKS: dict[str, Callable[[], dict[str, float]]] = {"ours": ours, "nautilus": nautilus}


def beside_nautilus(peers: str | None) -> list[bool]:
    """The rates of both, and whether ours is WANTED_TIMES theirs."""
    own = run_task(__file__, "ours")
    if own is None:
        return [False]
    print(f"Harmony, queue to machine: {own['rate']:,.0f} quotes a second of a core")
    peer = run_task(__file__, "nautilus", peers) if peers else None
    if peer is None:
        return []
    print(f"nautilus_trader, bus to strategy: {peer['rate']:,.0f} quotes a second of a core")
    return [judge("times nautilus_trader's rate", own["rate"] / peer["rate"], WANTED_TIMES)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--peers", help="an interpreter with nautilus_trader")
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        serve()
        return
    if chosen.task:
        print(json.dumps(TASKS[chosen.task]()))
        return
    met = [*sustained(chosen.seconds), *beside_nautilus(chosen.peers)]
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
