"""The strategy manager: what a session does with each batch of finished bars, in the order of portfolio/decisions.py's protocol.

The law: replayed against the simulated exchange, a day gives the same orders, fills, prices and quantities, to the cent, as `run_backtest` of that
day from the same opening state. Both run the same compiled functions in the same order; there is no second definition of anything here.

    begin      once a session: securities that ended since the last one (backtest/lives.py)
    settle     corporate actions, orders at the open, brackets in the range: the exchange's news, symbol by symbol (a real broker's news all at once)
    mark       positions at the close, breakers, the equity row
    decide     features, signal, probability, then exits and entries through the one gate
    snapshot   everything a restart needs
"""

from collections.abc import Mapping
from contextlib import nullcontext
from datetime import date, datetime
from math import nan
from typing import Any

import polars as pl

from harmony_pipeline.backtest.simulator import packed_lives
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.brokers.base import BarDriven, Broker
from harmony_pipeline.execution.events import Event, micros, moment
from harmony_pipeline.execution.exchange import ExchangeState
from harmony_pipeline.execution.lifecycle import Order
from harmony_pipeline.market.lives import actions_by_new_symbol
from harmony_pipeline.portfolio.kernel_types import BY_DELISTING, BY_PRESUMED, CHANGE, DELISTED, DELISTING, MONEY, REASON_NAMES, RENAMED, Record, Records
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.session.clock import Clock
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.ledger_rows import Snapshot
from harmony_pipeline.session.live_portfolio import LivePortfolio
from harmony_pipeline.session.live_signals import LiveSignals, wanted
from harmony_pipeline.session.open_orders import carried_orders
from harmony_pipeline.session.order_gateway import OrderGateway
from harmony_pipeline.session.order_manager import BooksCompared, Flattening, OrderManager, StreamsJudged
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.reconcile import books_differ
from harmony_pipeline.session.stream import Batch

_EPOCH_DAY = date(1970, 1, 1).toordinal()
REGULAR = "regular"


class Trader:
    """One session over one ledger and one broker. Call `begin` once, then `process` for every batch of the day from its first bar, then `end`."""

    def __init__(self, plan: SessionPlan, ledger: Ledger, broker: Broker, clock: Clock) -> None:
        self.plan = plan
        self.ledger = ledger
        self.broker = broker
        self.clock = clock
        self.portfolio = LivePortfolio(plan, plan.opening.portfolio)
        self.gateway = self._make_gateway()
        self.cursor: datetime | None = None  # start of the last batch that is done
        self._exchange: BarDriven | None = broker if isinstance(broker, BarDriven) else None
        self._signals = LiveSignals(plan)
        self._actions = _actions_by_symbol(actions_by_new_symbol(plan.actions, plan.due_lives))
        self._lives = packed_lives(plan.due_lives, plan.symbols)

    @property
    def session_id(self) -> str:
        """The plan's."""
        return self.plan.session_id

    # --- start and end --------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Continue where the ledger says the session stands, or start it."""
        saved = self.ledger.snapshot(self.session_id)
        if saved is None:
            self._start()
            return
        self.cursor = saved.at
        self.portfolio = LivePortfolio(self.plan, TradingState.from_dict(saved.body["trading"]).portfolio)
        self.portfolio.trades = list(saved.body["trades"])
        self.portfolio.restore_factors(saved.body["factors"])
        self.gateway = self._make_gateway()
        self.manager.restore(saved.body["desk"])
        self.gateway.moment = moment(saved.body["moment"]) if saved.body["moment"] is not None else None
        if self._exchange is not None:
            self._exchange.restore(saved.body["exchange"])
        else:
            self.gateway.recover(event for _, event in self.ledger.events(self.session_id, after=saved.sequence))

    def _make_gateway(self) -> OrderGateway:
        in_process = isinstance(self.broker, BarDriven)
        manager = OrderManager(self.portfolio, in_process=in_process, stale_after=self.plan.bar)
        return OrderGateway(self.session_id, self.ledger, self.broker, manager, self.clock)

    @property
    def manager(self) -> OrderManager:
        """The state of the session's orders."""
        return self.gateway.manager

    def _start(self) -> None:
        """Write the plan and the orders that it takes over from the session before, then the first snapshot: all or nothing."""
        now = self.clock.now()
        plan = self.plan
        carried = carried_orders(plan, self.ledger)
        shares, known = self._after_lives(carried)
        found = books_differ(shares, known, self.broker) if self._exchange is None else ()
        with self.ledger.transaction():
            started = ev.SessionStarted(
                happened_at=now, known_at=now, session_id=self.session_id, strategy=plan.strategy_name, model_id=plan.model_id,
                symbols=plan.symbols, plan_hash=plan.hash, previous_session_id=plan.previous_session_id,
            )  # fmt: skip
            self.gateway.record("session_started", started, now, now)
            for order in carried.values():
                if self.ledger.order(order.client_order_id) is None:
                    self.ledger.put_order(self.session_id, order)
            self.manager.adopt(carried.values())
            if self._exchange is None:  # one in this process has its books from us
                self.gateway.handle(BooksCompared(found))
            self._snapshot()

    def end(self, state: str, reason: str | None) -> None:
        """Close the session in the ledger: positions, closing state, how it ended."""
        now = self.gateway.moment or self.clock.now()
        with self.ledger.transaction():
            self._record(
                f"session_ended:{state}:{micros(now)}",
                ev.SessionEnded(happened_at=now, known_at=now, session_id=self.session_id, outcome=state, reason=reason),
                now,
            )
            self.ledger.put_positions(self.session_id, self.portfolio.position_rows())
            self._snapshot()
            self.ledger.end_session(self.session_id, state, reason)

    # --- a batch --------------------------------------------------------------------------------------------------------

    def process(self, batch: Batch) -> bool:
        """Do everything that the end of these bars calls for; False when it was done before a restart."""
        done = self.cursor is not None and batch.start <= self.cursor
        signals = self._signals.update(batch)  # the past, too: features and strategy are folded anew after a restart
        if done:
            return False
        # An exchange in this process dies with it, so a moment is one transaction: whole or not at all. A real broker lives on, so there each
        # step is on disk before the next.
        with self.ledger.transaction() if self._exchange is not None else nullcontext():
            self._live_through(batch, signals)
        return True

    def _live_through(self, batch: Batch, signals: Mapping[str, dict[str, Any]]) -> None:
        self.gateway.moment = batch.end
        self.portfolio.see_factors(batch.bars)
        regular = [bar for bar in batch.bars if bar.session == REGULAR and bar.session_date == self.plan.date]
        self._record(
            f"bars:{micros(batch.start)}",
            ev.BarsReceived(happened_at=batch.start, known_at=batch.end, bars=len(batch.bars), regular_bars=len(regular)),
            batch.end,
        )
        self._tell_refusals(signals, batch)
        if regular:
            bars = self.portfolio.bar_records(regular)
            for row, bar in zip(bars, sorted(regular, key=lambda bar: bar.symbol), strict=True):
                self.portfolio.put_signal(row, *wanted(signals, bar.symbol))
            self._trade(bars, batch)
        else:
            self.gateway.hear()
        self.cursor = batch.start
        self._snapshot()

    def _tell_refusals(self, signals: Mapping[str, dict[str, Any]], batch: Batch) -> None:
        """Write down the candidates that the model could not answer about: they are not traded."""
        for symbol, row in signals.items():
            if row["reason"] is not None:
                fact = ev.CandidateRefused(happened_at=batch.start, known_at=batch.end, symbol=symbol, model_id=row["model_id"], reason=row["reason"])
                self._record(f"candidate:{symbol}:{micros(batch.start)}", fact, batch.end)

    def _trade(self, bars: Records, batch: Batch) -> None:
        begins = self.portfolio.open_session(int(bars[0]["date"]))
        if self._exchange is None:
            self.gateway.hear()  # a real broker's fills have happened already; what they change comes before the marks
        if begins:
            self._end_securities(batch, int(bars[0]["date"]))
        for row in bars:
            self._corporate_actions(row)
            if self._exchange is not None:
                self._exchange.match_open(row)
                self.gateway.hear()
                self._exchange.match_range(row)
                self.gateway.hear()
            self.portfolio.mark(row)
        for breaker, measure in self.portfolio.check_breakers():
            self._record(
                f"breaker:{breaker}:{micros(batch.start)}",
                ev.BreakerTripped(happened_at=batch.end, known_at=batch.end, breaker=breaker, measure=measure),
                batch.end,
            )
        self.ledger.put_equity(self.session_id, batch.start, **self.portfolio.equity_row())
        self._decide(bars, batch)

    def _decide(self, bars: Records, batch: Batch) -> None:
        flatten_from = self.plan.flatten_from
        closing = flatten_from is not None and batch.end >= flatten_from
        self.gateway.handle(Flattening(closing))
        self.gateway.send(self.portfolio.decide(bars))
        if closing:
            self.gateway.send(self.portfolio.flatten(micros(batch.start), micros(batch.end)))

    # --- securities that ended ------------------------------------------------------------------------------------------

    def _end_securities(self, batch: Batch, date_: int) -> None:
        """What became of securities since the last session, as `begin_session` of backtest/loop.py does it."""
        for life in self._lives:
            symbol, day = int(life["symbol"]), int(life["date"])
            self.portfolio.end_symbol(life)
            if life["kind"] == CHANGE:
                self._rename(symbol, int(life["successor"]), day, batch)
            else:
                seen = day if life["kind"] == DELISTING else day - 1
                self._delist(symbol, float(life["value"]), BY_DELISTING, seen, batch)
        for symbol in range(len(self.portfolio.symbols)):
            if self.portfolio.is_presumed_gone(symbol):
                self._delist(symbol, nan, BY_PRESUMED, date_ - 1, batch)
        self.portfolio.sum_equity()

    def _delist(self, symbol: int, stated: float, reason: int, day: int, batch: Batch) -> None:
        self.gateway.send(self.portfolio.cancel_working(symbol, DELISTED, self._ended_at(batch)))
        self._unseen_actions(symbol, day, batch)
        held, cash = self.portfolio.held(symbol), int(self.portfolio.account["cash"])
        if held != 0.0:
            price = self.portfolio.delisting_price(symbol, stated)
            if self._exchange is not None:
                self._exchange.pay_out(symbol, price)
            self.portfolio.pay_out(symbol, price, reason, self._ended_at(batch))
            self._applied(REASON_NAMES[reason], symbol, price, held, 0.0, cash, day, batch)

    def _rename(self, old: int, new: int, day: int, batch: Batch) -> None:
        self._delist(new, nan, BY_DELISTING, day - 1, batch)  # what another security left under the new symbol
        exit_worked, legs_worked = self.portfolio.working(old)
        if self._exchange is None and self.portfolio.has_levels(old):
            legs_worked = 1  # a broker outside takes the bracket of the old symbol off by itself
        at = self._ended_at(batch)
        self.gateway.send(self.portfolio.cancel_working(old, RENAMED, at))
        self._unseen_actions(old, day - 1, batch)
        held = self.portfolio.held(old)
        if held != 0.0:
            if self._exchange is not None:
                self._exchange.rename(old, new)
            wishes = self.portfolio.carry_over(old, new, day, at, exit_worked, legs_worked)
            self._applied("symbol_change", old, 0.0, held, held, int(self.portfolio.account["cash"]), day, batch, self.portfolio.symbols[new])
            self.gateway.send(wishes)

    def _unseen_actions(self, symbol: int, day: int, batch: Batch) -> None:
        """Splits and dividends up to `day` of a symbol that has had no bar since; none of its orders works."""
        for date_, kind, value in self._actions.get(self.portfolio.symbols[symbol], ()):
            held, cash = self.portfolio.held(symbol), int(self.portfolio.account["cash"])
            if held == 0.0 or not self.portfolio.last_date(symbol) < date_ <= day:
                continue
            if kind == "split":
                self.portfolio.split_unseen(symbol, value, self._ended_at(batch))
                if self._exchange is not None:
                    self._exchange.split(value, self.portfolio.unseen_bar(symbol, batch))
            else:
                if self._exchange is not None:
                    self._exchange.dividend(symbol, value, 0.0)
                self.portfolio.dividend_unseen(symbol, value)
            self._applied(kind, symbol, value, held, self.portfolio.held(symbol), cash, date_, batch)

    def _applied(
        self, kind: str, symbol: int, value: float, before: float, after: float, cash: int, day: int, batch: Batch, successor: str | None = None
    ) -> None:
        name = self.portfolio.symbols[symbol]
        fact = ev.CorporateActionApplied(
            happened_at=batch.start, known_at=batch.end, symbol=name, action=kind, value=value, quantity_before=before, quantity_after=after,
            cash=(int(self.portfolio.account["cash"]) - cash) / MONEY, successor=successor,
        )  # fmt: skip
        self._record(f"{kind}:{name}:{day}", fact, batch.start)

    def _ended_at(self, batch: Batch) -> int:
        """When orders of an ended symbol are taken back and placed anew: a broker outside cannot be told in the past."""
        return micros(batch.start if self._exchange is not None else batch.end)

    def _after_lives(self, carried: Mapping[tuple[str, str], Order]) -> tuple[dict[str, float], list[Order]]:
        """What a broker outside holds by now: shares under their new symbols, and the orders of symbols that have not ended."""
        shares, ended = dict(self.portfolio.shares()), set()
        for _, kind, symbol, successor, _ in self.plan.due_lives.iter_rows():
            ended |= {symbol} if successor is None else {symbol, successor}
            held = shares.pop(symbol, 0.0)
            if kind == "symbol_change":
                shares.pop(successor, None)
                shares |= {successor: held} if held else {}
        return shares, [order for order in carried.values() if order.terms.symbol not in ended]

    def _corporate_actions(self, row: Record) -> None:
        """Actions whose ex-date has come since the symbol's last bar, oldest first, dividends (per old share) before splits."""
        symbol = int(row["symbol"])
        for day, kind, value in self._actions.get(self.portfolio.symbols[symbol], ()):
            if not self.portfolio.last_date(symbol) < day <= int(row["date"]):
                continue
            before, cash = float(self.portfolio.positions[symbol]["quantity"]), int(self.portfolio.account["cash"])
            if kind == "split":
                if self._exchange is not None:
                    self._exchange.split(value, row)
                    self.gateway.hear()
                self.portfolio.split(value, row)
            else:
                if self._exchange is not None:
                    self._exchange.dividend(symbol, value, self.portfolio.dividend_share(symbol, value))
                self.portfolio.dividend(symbol, value)
            if before != 0.0:
                at = moment(row["at"])
                fact = ev.CorporateActionApplied(
                    happened_at=at, known_at=moment(row["end"]), symbol=self.portfolio.symbols[symbol], action=kind, value=value, quantity_before=before,
                    quantity_after=float(self.portfolio.positions[symbol]["quantity"]), cash=(int(self.portfolio.account["cash"]) - cash) / MONEY,
                )  # fmt: skip
                self._record(f"{kind}:{self.portfolio.symbols[symbol]}:{day}", fact, at)

    # --- between batches ------------------------------------------------------------------------------------------------

    def poll(self) -> None:
        """Hear the broker and settle what is unclear; called every few seconds. With an exchange in this process nothing can have happened."""
        if self._exchange is None:
            before = self.ledger.sequence(self.session_id)
            self.gateway.settle()
            if self.ledger.sequence(self.session_id) != before:
                self._snapshot()

    def kill(self, reason: str) -> None:
        """No new order from now on; every working one is canceled."""
        now = self.gateway.moment or self.clock.now()
        self._record(f"kill:{micros(now)}", ev.KillSwitchPulled(happened_at=now, known_at=now, reason=reason), now)
        self.set_freshness("HALTED", "kill switch")
        self.gateway.cancel_all("kill switch")

    def set_freshness(self, state: ev.RiskState, reason: str, known: Event | None = None) -> None:
        """What the streams allow from now on; a change is written down."""
        if state != self.manager.streams:
            now = self.clock.now()
            fact = known or ev.RiskStateChanged(happened_at=now, known_at=now, previous=self.manager.streams, current=state, reason=reason)
            self._record(f"risk:{state}:{micros(now)}", fact, now)
            self.gateway.handle(StreamsJudged(state, reason))

    def note(self, key: str, fact: Event, at: datetime) -> None:
        """Write any other fact of the session down."""
        self._record(key, fact, at)

    # --- inside ---------------------------------------------------------------------------------------------------------

    def _record(self, key: str, event: Event, known_at: datetime) -> None:
        self.gateway.record(key, event, getattr(event, "happened_at", known_at), known_at)

    def trading_state(self) -> TradingState:
        """Portfolio and working orders now. Orders at a real broker are the broker's own and are not part of it."""
        exchange = self._exchange.exchange if self._exchange is not None else ExchangeState.empty(self.portfolio.symbols)
        return TradingState(self.portfolio.portfolio, exchange)

    def _snapshot(self) -> None:
        self.manager.forget_ended()
        body: dict[str, Any] = {
            "trading": self.trading_state().to_dict(),
            "exchange": self._exchange.checkpoint() if self._exchange is not None else None,
            "desk": self.manager.checkpoint(),
            "trades": self.portfolio.trades,
            "factors": self.portfolio.factors,
            "moment": micros(self.gateway.moment) if self.gateway.moment is not None else None,
        }
        self.ledger.save_snapshot(Snapshot(self.session_id, self.cursor, self.ledger.sequence(self.session_id), body))


def _actions_by_symbol(actions: pl.DataFrame) -> dict[str, list[tuple[int, str, float]]]:
    """Symbol -> (days since 1970, kind, value), oldest first, dividends before splits of the same day."""
    grouped: dict[str, list[tuple[int, str, float]]] = {}
    for symbol, day, kind, value in actions.select("symbol", "date", "kind", "value").sort("symbol", "date", "kind").iter_rows():
        grouped.setdefault(symbol, []).append((day.toordinal() - _EPOCH_DAY, kind, value))
    return grouped
