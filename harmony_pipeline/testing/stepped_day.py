"""A short day of a tiny market at a stepped exchange: a session over real connections, that can be
killed, and an exchange that can be started again under it.

    with SteppedWorld(seed=1, folder=folder) as world:
        result = world.run(ledger)                 # a session at the exchange, to the end
        assert world.differences(result) == []     # order by order, to the cent

Everything is drawn from the seed. The market moves when the session has heard what was said, so a
day takes about a second, and the same seed gives the same day.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.exchange.control import clear_faults, commit
from harmony_pipeline.exchange.market import ReplayMarket
from harmony_pipeline.exchange.orders import order_json
from harmony_pipeline.exchange.refusals import Refused
from harmony_pipeline.exchange.server import ExchangeServer
from harmony_pipeline.exchange.store import Store
from harmony_pipeline.exchange.venue import Venue
from harmony_pipeline.execution.brokers.alpaca.broker import AlpacaBroker
from harmony_pipeline.execution.brokers.alpaca.keys import Keys
from harmony_pipeline.execution.brokers.alpaca.orders import parted
from harmony_pipeline.execution.brokers.alpaca.settings import AlpacaSettings
from harmony_pipeline.execution.coins import QUANTITY_STEP, is_pair
from harmony_pipeline.execution.events import AnyOrderFact
from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.state import States
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.instruments import Instrument, Instruments
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.settings import BacktestSettings
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.schemas import CORPORATE_ACTIONS
from harmony_pipeline.session.alpaca_bars import fees_of
from harmony_pipeline.session.day_plan import plan_day
from harmony_pipeline.session.exchange_books import compare_with_exchange
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.opening import opening_of
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.runner import Supervision, run_session
from harmony_pipeline.strategies.base import rowwise_signals
from harmony_pipeline.strategies.settings import StrategySettings
from harmony_pipeline.testing.crashes import Fuse
from harmony_pipeline.testing.stepped_stream import HeardStream, SteppedStream

KEYS = ("PKTESTINGKEY00000001", "TestingSecret000000000000000000000000001")
CALENDAR = Calendar.of("XNYS")
DAY = date(2024, 3, 5)
OPEN = datetime(2024, 3, 5, 14, 30, tzinfo=UTC)
SYMBOLS = ("AAA", "BBB", "CCC")
PAIRS = ("BTC/USD", "ETH/USD", "SOL/USD")
AROUND_THE_CLOCK = Calendar.of("24/7")
FEATURES = FeatureSet.of(("volatility_20", "momentum_2", "log_return"))
WARM = 20  # bars before the first signal
DAY_SEED = 5  # a day that buys, sells and is stopped soon after the first signal
CASH = 100_000.0
_HEAR_SECONDS = 3.0  # for what was said on a stream that stands
# faults after which updates of orders come as they were sent
_LEAVE_UPDATES = {
    "trade_by_hand", "halt", "resume", "bad_tick", "block", "unblock", "reject",
    "partial_then_cancel",
}  # fmt: skip


class CrashingBroker(AlpacaBroker):
    """Dies before each request, after each answer, and before and after it hands out updates. It
    waits, before it answers for updates, until the stream has brought what was sent on it.

    Steps are those of the thread that made it, the session's. The thread that hears bars reads the
    exchange's clock after each connection, whenever that comes: a crash there would end that thread
    and not the process.
    """

    def __init__(
        self, world: "SteppedWorld", fuse: Fuse, plan: SessionPlan, **changes: Any
    ) -> None:
        self._world, self._sent_before = world, world.updates_sent()
        self._generation = world.generation
        super().__init__(world.settings(**changes), Keys(*KEYS), fees_of(plan))
        self.fuse = fuse
        self._thread = threading.get_ident()
        self._once, self._get = self.rest.once, self.rest.get
        self.rest.once = self._burning(self._once)  # type: ignore[method-assign]

    def _burning(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def burning(*arguments: Any, **options: Any) -> Any:
            if threading.get_ident() != self._thread:
                return call(*arguments, **options)
            self.fuse.burn()
            answer = call(*arguments, **options)
            self.fuse.burn()
            return answer

        return burning

    def updates(self) -> list[AnyOrderFact]:
        """Facts, with all that a healthy stream has said by now."""
        self.fuse.burn()
        until = time.monotonic() + _HEAR_SECONDS
        while (
            self._generation == self._world.generation
            and self.stream.is_up
            and not self._world.is_disturbed
            and self.stream.heard < self._world.updates_sent() - self._sent_before
            and time.monotonic() < until
        ):
            time.sleep(0.001)
        facts = super().updates()
        if facts:
            self.fuse.burn()
        return facts


class Contrarian:
    """Against the last two bars, whenever they moved."""

    def __init__(self, threshold_move: float = 0.003) -> None:
        self.threshold_move = threshold_move

    def required_features(self) -> tuple[str, ...]:
        """Features that it reads."""
        return ("momentum_2", "volatility_20")

    def sides(self, *features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Side and strength of each bar."""
        move = features[0]
        side = np.where(np.abs(move) > self.threshold_move, -np.sign(move), 0.0)
        return side, np.clip(np.abs(move) * 100, 0.2, 1.0)

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        """The same of many bars."""
        return rowwise_signals(self, features)


def day_of(
    seed: int,
    minutes: int,
    symbols: Sequence[str] = SYMBOLS,
    calendar: Calendar = CALENDAR,
    start: datetime = OPEN,
) -> pl.DataFrame:
    """BARS: random walks from `start` on."""
    generator = np.random.default_rng(seed)
    frames = []
    for symbol in symbols:
        closes = np.round(50 * np.exp(np.cumsum(generator.normal(0, 0.003, minutes))), 2)
        opens = np.round(np.concatenate([[50.0], closes[:-1]]), 2)
        wide = np.round(np.abs(generator.normal(0, 0.08, (2, minutes))), 2)
        frames.append(
            pl.DataFrame(
                {
                    "symbol": [symbol] * minutes,
                    "timestamp": [start + timedelta(minutes=number) for number in range(minutes)],
                    "open": opens,
                    "high": np.round(np.maximum(opens, closes) + wide[0], 2),
                    "low": np.round(np.minimum(opens, closes) - wide[1], 2),
                    "close": closes,
                    "volume": generator.integers(20_000, 90_000, minutes).astype(float),
                }
            )
        )
    frame = pl.concat(frames).with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC")),
        timeframe=pl.lit("1Min"),
        adjustment_factor=pl.lit(1.0),
    )
    return calendar.with_session(frame, "1Min").sort("symbol", "timestamp")


def trading_rules(**risk: Any) -> TradingRules:
    """Tight brackets, a fee a share, no spread."""
    return TradingRules.of(
        RiskSettings(minimum_order_value=100.0, **risk),
        CostSettings(half_spread_bps=0.0, impact_coefficient=0.0, fee_per_share=0.005),
        ExecutionNoiseSettings(),
        LabelSettings(horizons_bars=(6,), profit_take=1.2, stop_loss=0.8),
        StrategySettings(use="none:None", exits="barriers"),
        BacktestSettings(initial_cash=CASH),
    )


def coin_rules(**risk: Any) -> TradingRules:
    """The same of coins at Alpaca: no shorts, quantities to nine digits, fees by value."""
    names = [
        Instrument(
            pair, asset_class="crypto", calendar="24/7", small_tick_size=None,
            small_tick_below=None, lot_size=QUANTITY_STEP, minimum_quantity=0.001,
        )
        for pair in PAIRS
    ]  # fmt: skip
    costs = CostSettings(
        half_spread_bps=0.0, impact_coefficient=0.0, fee_bps=25.0, maker_fee_bps=15.0
    )
    usual = trading_rules(allow_short=False, **risk)
    return replace(usual, costs=costs, instruments=Instruments.of(names))


def coin_plan_of(
    ledger: Ledger, rules: TradingRules, day: date = DAY, states: States | None = None
) -> SessionPlan:
    """The plan of a day of coins."""
    return plan_day(
        day, opening_of(ledger, "paper", day, rules.initial_cash), PAIRS,
        strategy_name="contrarian", strategy=Contrarian(), rules=rules, feature_set=FEATURES,
        feature_states=states or {}, calendar=AROUND_THE_CLOCK, timeframe="1Min",
        actions=CORPORATE_ACTIONS.empty(), stop_limit_bps=100.0,
    )  # fmt: skip


def plan_of(ledger: Ledger, rules: TradingRules) -> SessionPlan:
    """The plan of the day."""
    return plan_day(
        DAY, opening_of(ledger, "paper", DAY, rules.initial_cash), SYMBOLS,
        strategy_name="contrarian", strategy=Contrarian(), rules=rules, feature_set=FEATURES,
        feature_states={}, calendar=CALENDAR, timeframe="1Min", actions=CORPORATE_ACTIONS.empty(),
    )  # fmt: skip


@dataclass(frozen=True)
class Happening:
    """A fault (`restart`: the exchange is started again) at one of a minute's moments: 0 before its
    open, 1 after it, 2 before the session hears its bars.
    """

    minute: int
    moment: int
    fault: dict[str, Any]


@dataclass
class SteppedWorld:
    """The exchange and the market. A context. `happenings` happen once each. `plan`: of the day's
    session; else that of one contrarian strategy.
    """

    seed: int
    folder: Path
    minutes: int = 34
    happenings: list[Happening] = field(default_factory=list)
    rules: TradingRules = field(default_factory=trading_rules)
    hears_stream: bool = False
    """Bars come over the exchange's market-data stream; else from this process."""
    plan: Callable[[Ledger, TradingRules], SessionPlan] = plan_of
    market: pl.DataFrame | None = None
    """The bars; else those of the seed."""
    exchange_rules: TradingRules | None = None
    """Those by which it fills and charges; else those of the session."""
    strategy_seconds: float = 30.0
    unpaid_days: int = 60
    subscriptions: list[tuple[datetime, dict[str, set[str]]]] = field(default_factory=list)
    """What was listened to after each change, by the exchange's clock."""
    generation: int = 0
    is_disturbed: bool = False
    """Whether updates of orders may be late or lost, so that nobody waits for them."""

    def __enter__(self) -> Self:
        self.bars = day_of(self.seed, self.minutes) if self.market is None else self.market
        self._seen: set[tuple[int, int]] = set()
        self._port = 0
        self.exchange = self._start()
        self._port = int(self.exchange.url.rsplit(":", 1)[1])
        return self

    def __exit__(self, *_error: object) -> None:
        self.exchange.__exit__(None, None, None)

    def _start(self) -> ExchangeServer:
        calendar = AROUND_THE_CLOCK if is_pair(self.bars["symbol"][0]) else CALENDAR
        market = ReplayMarket(self.bars, calendar)
        rules = self.exchange_rules or self.rules
        venue = Venue(market, rules, store=Store(self.folder / "exchange.sqlite"))
        server = ExchangeServer(venue, KEYS, port=self._port, requests_per_minute=1_000_000)
        server.hub.subscribed = self._subscribed
        server.__enter__()
        return server

    async def _subscribed(self) -> None:
        hub = self.exchange.hub
        for listener in hub.listeners:
            self.subscriptions.append((self.exchange.venue.now, dict(listener.wanted)))

    def restart_exchange(self) -> None:
        """End it, and start it where it stood, at the same address."""
        self.exchange.__exit__(None, None, None)
        self.generation += 1
        self.exchange = self._start()

    def settings(self, **changes: Any) -> AlpacaSettings:
        """Settings of a broker here, with short waits."""
        url, stream = self.exchange.url, self.exchange.ws_url
        poll = 0.2 if self.happenings or self.is_disturbed else 60.0
        return AlpacaSettings(
            **{
                "trading_url": url, "data_url": url, "trading_stream_url": f"{stream}/stream",
                "data_stream_url": self.exchange.data_stream_url, "requests_per_minute": 1_000_000,
                "timeout_seconds": 5.0, "wait_seconds": 0.01, "reconnect_seconds": 0.02,
                "longest_reconnect_seconds": 0.05, "poll_seconds": poll,
                # its time is heard; read by the machine's, a slow day had more requests
                "clock_seconds": 3600.0, **changes,
            }
        )  # fmt: skip

    # --- the day ----------------------------------------------------------------------------------

    def session(self, ledger: Ledger, fuse: Fuse | None = None, **changes: Any) -> SessionResult:
        """One process's part of the session. Raises Crash when the fuse has burnt."""
        plan = self.plan(ledger, self.rules)
        broker = CrashingBroker(self, fuse or Fuse(), plan, **changes)
        supervision = Supervision(
            is_live=True, stale_after_seconds=1e6, strategy_seconds=self.strategy_seconds,
            unpaid_days=self.unpaid_days,
        )  # fmt: skip
        try:
            stream = self.stream(broker, plan)
            return run_session(plan, ledger, broker, stream, broker.clock, supervision)
        finally:
            broker.close()  # a process that is gone has no connection

    def stream(self, broker: AlpacaBroker, plan: SessionPlan) -> SteppedStream | HeardStream:
        """The day's bars as they come."""
        if self.hears_stream:
            return HeardStream(self, broker, plan, Keys(*KEYS))
        return SteppedStream(self, broker, self.bars.filter(pl.col("session_date") == plan.date))

    def start_of(self, minute: int) -> datetime:
        """When a minute of the day begins."""
        starts = self._starts
        return starts[minute] if minute < len(starts) else starts[-1] + timedelta(minutes=1)

    def minute_of(self, start: datetime) -> int:
        """The inverse of `start_of`."""
        return self._starts.index(start)

    @cached_property
    def _starts(self) -> list[datetime]:
        starts: list[datetime] = self.bars["timestamp"].unique().sort().to_list()
        return starts

    def advance(self, minute: int, event: int) -> None:
        """Let an event of a minute happen, once, however often the day is read."""
        if (minute, event) not in self._seen:
            self._seen.add((minute, event))
            if self.next_event() <= 2 * minute + event:
                self.exchange.step(1)

    def next_event(self) -> int:
        """Number of the exchange's next event; a minute has two."""
        return self.exchange.venue.next_event

    def updates_sent(self) -> int:
        """Order updates that the exchange has sent to a listener."""
        return self.exchange.trade_stream.sent

    def happen(self, minute: int, moment: int) -> None:
        """Commit what is due."""
        due = [each for each in self.happenings if (each.minute, each.moment) <= (minute, moment)]
        for each in due:
            self.happenings.remove(each)
            self.is_disturbed |= _may_lose_updates(each.fault)
            if each.fault["kind"] == "restart":
                self.restart_exchange()
                continue
            with suppress(Refused):  # a trade by hand that the account cannot pay
                self.exchange.call(commit(self.exchange, dict(each.fault)))

    def calm(self) -> None:
        """No fault from now on."""
        self.exchange.call(clear_faults(self.exchange))
        self.is_disturbed = False

    # --- the books --------------------------------------------------------------------------------

    def differences(self, result: SessionResult) -> list[str]:
        """The session against the exchange's ledger. What was traded by hand is no order of ours;
        its shares and its cash are, since the session adopts them.
        """
        venue = self.exchange.venue
        names = set(result.orders["client_order_id"])
        books = venue.books.to_dict()
        shown = [
            order_json(order, venue.legs(order))
            for order in venue.orders.values()
            if order.parent is None
        ]
        foreign = {order.id for order in venue.orders.values() if order.foreign}
        books["postings"] = [row for row in books["postings"] if row["order_id"] not in foreign]
        found = compare_with_exchange(
            result, books, [order for order in shown if order["id"] not in foreign]
        )
        return [*found.differences, *self._strangers(names, foreign)]

    def _strangers(self, names: set[str], foreign: set[str]) -> list[str]:
        """Orders at the exchange that the session did not intend."""
        found = []
        for order in self.exchange.venue.orders.values():
            mine = parted(order.client_order_id) or (order.client_order_id,)
            if order.id in foreign or order.parent is not None:
                continue
            found += [f"nobody intended {name}" for name in mine if name not in names]
        return found


def _may_lose_updates(fault: dict[str, Any]) -> bool:
    """Whether updates of orders may be late or lost after this. They come on another stream than
    bars.
    """
    return fault["kind"] not in _LEAVE_UPDATES and fault.get("stream") != "data"
