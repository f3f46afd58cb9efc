"""A random market of daily bars, its sessions, and a broker outside of this process that has a
closing auction.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from session.crashes import Fuse, RemoteBroker, RemoteExchange
from session.days import CALENDAR, FEATURES, Contrarian, fresh_ledger, known_before, rules

from harmony_pipeline.backtest.simulator import BacktestResult, run_backtest
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.brokers.alpaca.orders import CLOSING_HOURS
from harmony_pipeline.execution.brokers.base import BrokerOrder
from harmony_pipeline.execution.closing_auction import ClosingHours
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.schemas import CORPORATE_ACTIONS
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.day_plan import plan_day
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.live_signals import complete_signals
from harmony_pipeline.session.opening import opening_of
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.replay import day_bars, simulated_broker
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.runner import Supervision, run_session
from harmony_pipeline.session.stream import Batch, Quiet, ReplayStream

TIMEFRAME = "1Day"
SYMBOLS = ("AAA", "BBB", "CCC")
FIRST = date(2024, 5, 1)
DAYS = CALENDAR.sessions(date(2024, 6, 20), date(2024, 7, 19))  # with the half-day of 3 July
SPLIT_DAY, DIVIDEND_DAY = date(2024, 6, 28), date(2024, 7, 8)
ACTIONS = pl.DataFrame(
    {
        "symbol": ["AAA", "BBB"],
        "date": [SPLIT_DAY, DIVIDEND_DAY],
        "kind": ["split", "dividend"],
        "value": [1.5, 0.4],
    },
    schema=CORPORATE_ACTIONS.dtypes,
)
HALF_DAY = date(2024, 7, 3)
MORNING = timedelta()  # after the open


def daily_bars(
    seed: int = 4, symbols: Sequence[str] = SYMBOLS, missing: float = 0.04
) -> pl.DataFrame:
    """BARS of days; a part of them is missing, and ACTIONS are in them."""
    generator = np.random.default_rng(seed)
    days = CALENDAR.sessions(FIRST, DAYS[-1] + timedelta(days=1))
    actions = {(symbol, day): (kind, value) for symbol, day, kind, value in ACTIONS.iter_rows()}
    rows: list[tuple[Any, ...]] = []
    for symbol in symbols:
        price, factor = float(generator.uniform(20, 60)), 1.0
        for day in days:
            kind, value = actions.get((symbol, day), ("", 0.0))
            if kind == "split":
                price, factor = price / value, factor * value
            elif kind == "dividend":
                factor *= price / (price - value)
                price -= value
            opened = round(price * float(np.exp(generator.normal(0, 0.006))), 2)
            closed = round(opened * float(np.exp(generator.normal(0, 0.015))), 2)
            high = round(max(opened, closed) * (1 + abs(float(generator.normal(0, 0.005)))), 2)
            low = round(min(opened, closed) * (1 - abs(float(generator.normal(0, 0.005)))), 2)
            price = closed
            if generator.random() > missing or kind:
                start = datetime.combine(day, time(), UTC)
                volume = float(generator.integers(4_000, 90_000))
                rows.append((symbol, start, opened, high, low, closed, volume, factor))
    names = ["symbol", "timestamp", "open", "high", "low", "close", "volume", "adjustment_factor"]
    frame = pl.DataFrame(rows, schema=names, orient="row").with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC")), timeframe=pl.lit(TIMEFRAME)
    )
    return CALENDAR.with_session(frame, TIMEFRAME).sort("symbol", "timestamp")


def closing_rules(exits: str = "barriers", **changes: Any) -> TradingRules:
    """Entries at closes; brackets of three days, wide enough to be held."""
    usual = {"entry": "close", "horizons_bars": (3,), "max_participation": 1.0}
    return rules(exits, **{**usual, **changes})


def plan_of(
    day: date,
    ledger: Ledger,
    bars: pl.DataFrame,
    chosen: TradingRules,
    watched: Sequence[str] = SYMBOLS,
    threshold: float = 0.002,
    **options: Any,
) -> SessionPlan:
    """The plan of one day, opened from the ledger."""
    start = datetime.combine(day, time(), UTC)
    states = known_before(start, bars, FEATURES, TIMEFRAME)
    opening = opening_of(ledger, "paper", day, chosen.initial_cash)
    factors = opening_factors(bars, day)
    return plan_day(
        day, opening, watched, strategy_name="contrarian", strategy=Contrarian(threshold),
        rules=chosen, feature_set=FEATURES, feature_states=states, calendar=CALENDAR,
        timeframe=TIMEFRAME, **{"actions": ACTIONS, "factors": factors, **options},
    )  # fmt: skip


def opening_factors(bars: pl.DataFrame, day: date) -> dict[str, float]:
    """The adjustment factor of each symbol on a day."""
    until = bars.filter(pl.col("session_date") <= day)
    last = until.group_by("symbol").agg(pl.col("adjustment_factor").last())
    return dict(last.iter_rows())


class Venue(RemoteExchange):
    """A broker's computer with a closing auction, over many days, whatever becomes of the sessions.
    `sent`: what it was sent, and when by its clock. `halted`: symbols without an auction.
    """

    def __init__(self, plan: SessionPlan, ledger: Ledger) -> None:
        super().__init__(simulated_broker(plan, ledger), plan)
        self.halted: set[str] = set()
        self.hours = CLOSING_HOURS
        self.tells_adjustments = True
        self.sent: list[tuple[datetime, ev.OrderTerms]] = []
        self.told_adjustments: list[ev.OrderAdjusted] = []
        self._done: set[tuple[str, date]] = set()
        self.closes: dict[str, float] = {}

    def begin(self, batch: Batch) -> None:
        """What its own books become over night."""
        if not self._first("begin", batch):
            return
        day = batch.bars[0].session_date
        due = {symbol: (kind, value) for symbol, on, kind, value in ACTIONS.rows() if on == day}
        for symbol, (kind, value) in due.items():
            if kind == "split" and symbol in self.closes:
                self.split(symbol, value, self.closes[symbol])
        for row, bar in self.rows(batch):
            kind, value = due.get(bar.symbol, ("", 0.0))
            if kind == "dividend":
                self.broker.dividend(int(row["symbol"]), value)
        self.mail.extend(self.broker.updates())

    def open(self, batch: Batch) -> None:
        """Orders at the market meet the open."""
        if self._first("open", batch):
            for row, _ in self.rows(batch):
                self.broker.match_open(row)
            self.mail.extend(self.broker.updates())

    def trade(self, batch: Batch) -> None:
        """Brackets meet the day."""
        if self._first("trade", batch):
            for row, _ in self.rows(batch):
                self.broker.match_range(row)
            self.mail.extend(self.broker.updates())

    def close(self, batch: Batch) -> None:
        """The auction, and the end of what it did not fill."""
        if not self._first("close", batch):
            return
        for row, bar in self.rows(batch):
            self.closes[bar.symbol] = bar.close
            if bar.symbol not in self.halted:
                self.broker.match_close(row)
        for order in self.broker.orders():
            if self.broker._orders[order.client_order_id].terms.time_in_force == "cls":
                self.broker.cancel(ev.CancelOrder(order.client_order_id, "no auction"))
        self.mail.extend(self.broker.updates())

    def _first(self, what: str, batch: Batch) -> bool:
        key = (what, batch.bars[0].session_date)
        first = key not in self._done
        self._done.add(key)
        return first

    def orders_at_close(self) -> list[tuple[datetime, ev.OrderTerms]]:
        """Of what it was sent."""
        return [(at, terms) for at, terms in self.sent if terms.time_in_force == "cls"]


class ClosingBroker(RemoteBroker):
    """Its client."""

    def __init__(self, venue: Venue, fuse: Fuse) -> None:
        super().__init__(venue, fuse)
        self.venue = venue

    def closing_hours(self) -> ClosingHours:
        return self.venue.hours

    def updates(self) -> list[ev.AnyOrderFact]:
        """What happened; of days before only what no split has changed since."""
        before = self.venue.told_adjustments
        found = super().updates()
        if not self.venue.tells_adjustments:  # as Alpaca, of what it did over night
            return [f for f in found if not isinstance(f, ev.OrderAdjusted)]
        new = [f for f in found if not isinstance(f, ev.OrderAdjusted) or f not in before]
        self.venue.told_adjustments += [f for f in new if isinstance(f, ev.OrderAdjusted)]
        return new

    def submit(self, command: ev.SubmitOrder) -> BrokerOrder:
        is_new = self.venue.broker.order(command.order.client_order_id) is None
        try:
            return super().submit(command)
        finally:
            if is_new and self.venue.broker.order(command.order.client_order_id) is not None:
                self.venue.sent.append((self.venue.clock.now(), command.order))


class DailyStream:
    """A day as broker and session live through it: the morning, in which what waited is sent, the
    market, the auction, and the bar. The session is there `begins` after the open. `tells_late`:
    the auction is told after the session has ended.
    """

    def __init__(
        self,
        plan: SessionPlan,
        bars: pl.DataFrame,
        venue: Venue,
        begins: timedelta = MORNING,
        *,
        tells_late: bool = False,
    ) -> None:
        self._plan, self._venue, self._begins = plan, venue, begins
        self._tells_late = tells_late
        opened = plan.calendar.session_open(plan.date)
        [self._batch] = ReplayStream(day_bars(plan, bars), ReplayClock(opened)).moments()
        venue.begin(self._batch)  # before the session

    def moments(self) -> Iterator[Batch | Quiet]:
        venue, plan, batch = self._venue, self._plan, self._batch
        opened = plan.calendar.session_open(plan.date)
        venue.clock.advance(opened + self._begins)
        yield Quiet(venue.clock.now())
        venue.open(batch)
        yield Quiet(venue.clock.now())
        venue.trade(batch)
        yield Quiet(venue.clock.now())
        venue.clock.advance(batch.end)
        if not self._tells_late:
            venue.close(batch)
        yield Quiet(venue.clock.now())
        yield batch
        yield Quiet(venue.clock.now())
        venue.close(batch)


def trade(
    day: date,
    ledger: Ledger,
    bars: pl.DataFrame,
    chosen: TradingRules,
    venue: Venue,
    begins: timedelta = MORNING,
    *,
    fuse: Fuse | None = None,
    tells_late: bool = False,
    supervision: Supervision | None = None,
    **options: Any,
) -> SessionResult:
    """The session of a day at the venue."""
    plan = plan_of(day, ledger, bars, chosen, **options)
    broker = ClosingBroker(venue, fuse or Fuse())
    stream = DailyStream(plan, bars, venue, begins, tells_late=tells_late)
    return run_session(plan, ledger, broker, stream, venue.clock, supervision)


def whole_backtest(
    folder: Path, bars: pl.DataFrame, chosen: TradingRules, **options: Any
) -> BacktestResult:
    """One backtest over all the days."""
    plan = plan_of(DAYS[0], fresh_ledger(folder), bars, chosen, **options)
    traded = bars.filter(pl.col("session_date").is_between(DAYS[0], DAYS[-1]))
    features = compute_features(traded, FEATURES, plan.feature_states, CALENDAR, TIMEFRAME).table
    signals = complete_signals(plan, plan.strategy.signals(features), features)
    return run_backtest(traded, signals, ACTIONS, chosen, CALENDAR, TIMEFRAME, book="paper")


def assert_same_positions(last: SessionResult, whole: BacktestResult) -> None:
    """What is held at the end, how long it is held, and its levels."""
    closing, expected = last.closing.portfolio, whole.state.portfolio
    for field in ("quantity", "bars_held", "sessions_held", "stop_level", "take_level"):
        mine = dict(zip(closing.symbols, closing.positions[field].tolist(), strict=True))
        theirs = dict(zip(expected.symbols, expected.positions[field].tolist(), strict=True))
        assert mine == {symbol: theirs[symbol] for symbol in mine}, field
