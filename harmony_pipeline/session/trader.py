"""The strategy manager: processes each batch of finished bars in the order of
portfolio/decisions.py's protocol.

Replayed against the simulated exchange, a day gives the same orders, fills, prices and quantities,
to the cent, as `run_backtest` of that day from the same opening state. Both run the same compiled
functions in the same order; there is no second definition of anything here.

    begin      once a session: at a real broker the splits and dividends of what is held; with the
               first bar, securities that ended since the last one (session/corporate_actions.py)
    settle     corporate actions, orders at the open, brackets in the range: the exchange's news,
               symbol by symbol (a real broker's news all at once); then entries at their closes
    mark       positions at the close, breakers, the equity row
    signals    features, signal, probability, of each strategy; with a machine with on_fill only
               now, since it hears what was filled
    decide     exits and entries through the one gate
    snapshot   everything a restart needs

Between two moments a machine with `on_quote` hears the quotes that came
(session/quote_decisions.py).
"""

from collections.abc import Mapping
from contextlib import nullcontext
from datetime import datetime
from functools import partial
from typing import Any

from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.brokers.base import BarDriven, Broker, TellsCashActivities
from harmony_pipeline.execution.closing_auction import ClosingAuction
from harmony_pipeline.execution.exchange import ExchangeState
from harmony_pipeline.execution.lifecycle import Order
from harmony_pipeline.instants import micros, moment
from harmony_pipeline.portfolio.kernel_types import (
    Records,
)
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.session.clock import Clock
from harmony_pipeline.session.closing_orders import closing_hours
from harmony_pipeline.session.corporate_actions import CorporateActions
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.ledger_rows import Snapshot
from harmony_pipeline.session.live_portfolio import LivePortfolio
from harmony_pipeline.session.member_workers import Deadline
from harmony_pipeline.session.open_orders import carried_orders
from harmony_pipeline.session.order_events import (
    BooksCompared,
    Flattening,
    OrderReported,
    StrategyEnded,
    StreamsJudged,
)
from harmony_pipeline.session.order_gateway import OrderGateway
from harmony_pipeline.session.order_manager import OrderManager
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.quote_decisions import QuoteDecisions
from harmony_pipeline.session.receivables import READ_BACK, Receivables
from harmony_pipeline.session.reconcile import adjustments, books_differ
from harmony_pipeline.session.strategy_signals import Signals, StrategySignals
from harmony_pipeline.session.stream import Batch
from harmony_pipeline.session.telemetry import OFF, Telemetry
from harmony_pipeline.session.watch_list import drops_bars, quoted_first

REGULAR = "regular"
_MOST_HEARINGS = 5  # of what became of orders, when a question for it is not answered


class Trader:
    """One session over one ledger and one broker. Call `begin` once, then `process` for every batch
    of the day from its first bar, then `end`. `strategy_seconds`: time that a strategy of a
    portfolio has for a moment; None: as long as it takes.
    """

    def __init__(
        self,
        plan: SessionPlan,
        ledger: Ledger,
        broker: Broker,
        clock: Clock,
        telemetry: Telemetry = OFF,
        strategy_seconds: float | None = None,
    ) -> None:
        self.plan = plan
        self.ledger = ledger
        self.broker = broker
        self.clock = clock
        self.telemetry = telemetry
        self.portfolio = LivePortfolio(plan, plan.opening.portfolio)
        self.gateway = self._make_gateway()
        self.cursor: datetime | None = None  # start of the last batch that is done
        self._exchange: BarDriven | None = broker if isinstance(broker, BarDriven) else None
        in_process = self._exchange is not None
        patience = (
            None if strategy_seconds is None else partial(Deadline.after, strategy_seconds, clock)
        )
        self.signals = StrategySignals(plan, ledger, in_process=in_process, patience=patience)
        self.folded: datetime | None = None  # start of the last batch that features know
        self.receivables = Receivables()  # of a broker outside
        self._uncompared = False  # whether the start differed before the broker's news was heard
        self._actions = CorporateActions(self)
        self.quotes = QuoteDecisions(self)
        self.heard: frozenset[str] | None = None  # symbols whose bars still matter; None: all
        self.quoted = quoted_first(plan)  # symbols whose quotes do
        self._chosen_before: tuple[frozenset[str] | None, bool] = (None, False)

    @property
    def session_id(self) -> str:
        """The plan's."""
        return self.plan.session_id

    # --- start and end ----------------------------------------------------------------------------

    def begin(self) -> None:
        """Continue where the ledger says the session stands, or start it."""
        saved = self.ledger.snapshot(self.session_id)
        if saved is None:
            self._start()
            return
        self.cursor = saved.at
        self.portfolio = LivePortfolio(
            self.plan, TradingState.from_dict(saved.body["trading"]).portfolio
        )
        self.portfolio.trades = list(saved.body["trades"])
        self.portfolio.restore_factors(saved.body["factors"])
        self._actions = CorporateActions(self)
        self.receivables = Receivables.restored(saved.body.get("receivables"))
        self.gateway = self._make_gateway()
        self.manager.restore(saved.body["desk"])
        heard = saved.body.get("heard")  # snapshots of earlier code have none
        self.heard = None if heard is None else frozenset(heard)
        for name in self.manager.gate.ended_strategies:
            self.signals.stop(name)
        self.signals.expect_hung(event for _, event in self.ledger.events(self.session_id))
        self.gateway.moment = (
            moment(saved.body["moment"]) if saved.body["moment"] is not None else None
        )
        if self._exchange is not None:
            self._exchange.restore(saved.body["exchange"])
        else:
            self.quotes.remember()
            self._uncompared = bool(saved.body.get("uncompared"))
            self.gateway.recover(
                event for _, event in self.ledger.events(self.session_id, after=saved.sequence)
            )
            self._compare_again()
            self.quotes.decide_again()

    def _make_gateway(self) -> OrderGateway:
        in_process, plan = isinstance(self.broker, BarDriven), self.plan
        hours = closing_hours(self.broker)
        manager = OrderManager(
            self.portfolio,
            in_process=in_process,
            stale_after=plan.bar,
            takes_brackets=plan.stop_limit_bps is None,
            auction=None if hours is None else ClosingAuction.of(plan.calendar, plan.date, hours),
        )
        return self._gateway_over(manager)

    def _gateway_over(self, manager: OrderManager) -> OrderGateway:
        return OrderGateway(
            self.session_id, self.ledger, self.broker, manager, self.clock, self.telemetry
        )

    @property
    def manager(self) -> OrderManager:
        """The state of the session's orders."""
        return self.gateway.manager

    def _start(self) -> None:
        """Write the plan and the orders that it takes over from the session before, then the first
        snapshot: all or nothing.
        """
        now = self.clock.now()
        plan = self.plan
        carried = carried_orders(plan, self.ledger, in_process=self._exchange is not None)
        self._begin_receivables()
        applied = self._actions.apply_over_night(now)
        found, adjusted = self._compared(carried, now)
        self._uncompared = bool(found)
        with self.ledger.transaction():
            started = ev.SessionStarted(
                happened_at=now, known_at=now, session_id=self.session_id,
                strategy=plan.strategy_name, model_id=plan.model_id,
                symbols=plan.symbols, plan_hash=plan.hash,
                previous_session_id=plan.previous_session_id, strategies=plan.sleeves.strategies,
                closing_hours=closing_hours(self.broker),
            )  # fmt: skip
            self.gateway.record("session_started", started, now)
            for name, fact in applied:
                self.gateway.record(name, fact, now)
            for order in carried.values():
                if self.ledger.order(order.client_order_id) is None:
                    self.ledger.adopt_order(self.session_id, order, now)
            self.manager.adopt(carried.values())
            for changed in adjusted:
                self.gateway.handle(OrderReported(changed))
            if self._exchange is None and not found:  # one in this process has its books from us
                self.gateway.handle(BooksCompared(()))
            for member in plan.members:
                if member.stopped:
                    self._stop(member.name, member.stopped, now, now)
            self.keep()
        self._compare_again()

    def _compared(
        self, carried: Mapping[tuple[str, str], Order], now: datetime
    ) -> tuple[tuple[str, ...], list[ev.OrderAdjusted]]:
        """What differs at a broker outside, and the new totals of orders that a split changed."""
        if self._exchange is not None:
            return (), []
        shares, known = self._actions.books_after_lives(carried, now)
        with self.telemetry.reconciliation() as span:
            split = {o.client_order_id for o in known if self.portfolio.was_split(o.terms)}
            asking = self.gateway.asking
            found = books_differ(shares, known, self.broker, split, asking)
            adjusted: list[ev.OrderAdjusted] = []
            if split:
                with asking("orders"):
                    theirs = self.broker.orders(open_only=True)
                adjusted = adjustments(known, split, theirs, now)
            span.set("harmony.reconciliation.differences", len(found))
        return found, adjusted

    def _compare_again(self) -> None:
        """What differed at the start may be what became of our own orders since the session before:
        hear that first.
        """
        if not self._uncompared:
            return
        for _ in range(_MOST_HEARINGS):
            self.gateway.receive_reports()
            if self.broker.is_streaming():  # nothing is unread
                break
        working: dict[tuple[str, str], Order] = {
            (each.terms.slot, each.terms.role): each for each in self.manager.working()
        }
        found, _ = self._compared(working, self.clock.now())
        self._uncompared = False
        with self.ledger.transaction():
            self.gateway.handle(BooksCompared(found))
            self.keep()

    def _begin_receivables(self) -> None:
        """What the broker still owes from before; what was paid otherwise is in the opening."""
        previous = self.plan.previous_session_id
        snapshot = None if previous is None else self.ledger.snapshot(previous)
        saved = None if snapshot is None else snapshot.body.get("receivables")
        self.receivables = Receivables.restored(saved)
        self.receivables.unbooked = 0
        day = self.plan.date
        self.receivables.forget(day)
        if self.receivables.since is None and isinstance(self.broker, TellsCashActivities):
            with self.gateway.asking("cash_activities"):
                told = self.broker.cash_activities(day - READ_BACK)
            self.receivables.began(day, told)

    @property
    def broker_cash(self) -> int:
        """What the broker must have by our books, in money units; where it books fees later, up to
        `receivables.uncharged` more.
        """
        self._accrue_fees()
        return self.receivables.broker_cash(int(self.portfolio.account["cash"]))

    def _accrue_fees(self) -> None:
        """Take note of what a broker that tells its fees may take later."""
        fees = self.portfolio.take_fees()
        if isinstance(self.broker, TellsCashActivities):
            self.receivables.accrue_fees(self.plan.date, fees)

    def end(self, state: str, reason: str | None) -> None:
        """Close the session in the ledger: positions, closing state, how it ended."""
        now = self.gateway.moment or self.clock.now()
        with self.ledger.transaction():
            self.gateway.record(
                f"session_ended:{state}:{micros(now)}",
                ev.SessionEnded(
                    happened_at=now,
                    known_at=now,
                    session_id=self.session_id,
                    outcome=state,
                    reason=reason,
                ),
                now,
            )
            self.ledger.put_positions(self.session_id, self.portfolio.position_rows())
            self.keep()
            self.ledger.end_session(self.session_id, state, reason)

    # --- a batch ----------------------------------------------------------------------------------

    def process(self, batch: Batch) -> bool:
        """Do everything that the end of these bars calls for; False when it was done before a
        restart.
        """
        done = self.cursor is not None and batch.start <= self.cursor
        if not done and self.heard is not None:
            bars = tuple(bar for bar in batch.bars if bar.symbol in self.heard)
            if not bars:
                return False
            batch = Batch(batch.start, batch.end, bars)
        # the past, too: features and strategies are folded anew after a restart
        self.quotes.hear_those_before(batch, done=done)
        signals = None if self.signals.hears_fills and not done else self._update(batch)
        if done:
            return False
        # An exchange in this process dies with it, so a moment is one transaction: whole or not at
        # all. A real broker lives on, so there each step is on disk before the next.
        with self.ledger.transaction() if self._exchange is not None else nullcontext():
            self._live_through(batch, signals)
        return True

    def _update(self, batch: Batch) -> Signals:
        """Signals of the batch; a machine with `on_fill` hears first what was filled."""
        self.folded = batch.start
        return self.signals.update(batch)

    def _live_through(self, batch: Batch, signals: Signals | None) -> None:
        """signals: of the batch; None: they depend on what its bars fill."""
        self.gateway.moment = batch.end
        self.portfolio.see_factors(batch.bars)
        if signals is None and self._exchange is None:
            self.gateway.receive_reports()  # in the ledger before the bars that they came with
        regular = [
            bar
            for bar in batch.bars
            if bar.session == REGULAR and bar.session_date == self.plan.date
        ]
        self.gateway.record(
            f"bars:{micros(batch.start)}",
            ev.BarsReceived(
                happened_at=batch.start,
                known_at=batch.end,
                bars=len(batch.bars),
                regular_bars=len(regular),
            ),
            batch.end,
        )
        if signals is not None:
            self._record_said(signals, batch)
        if regular:
            self._trade(self.portfolio.bar_records(regular), batch, signals)
        else:
            self.gateway.receive_reports()
            self._stop_failed(self._heard(batch) if signals is None else signals, batch)
        self.cursor = batch.start
        self._choose_heard()
        self.keep()

    def _choose_heard(self) -> None:
        """After a scan: whose quotes, and after the last one whose bars, still matter."""
        chosen = self.signals.chosen
        now = (chosen, self.signals.is_last_choice)
        if chosen is None or now == self._chosen_before or not self.plan.scans:
            return
        self._chosen_before = now
        busy = {order.terms.symbol for order in self.manager.working()}
        self.quoted = chosen | busy | frozenset(self.portfolio.shares())
        if self.heard is None and self.signals.is_last_choice and drops_bars(self.plan):
            self.heard = self.quoted

    def _heard(self, batch: Batch) -> Signals:
        """Signals that could only be made once the batch's fills were known."""
        signals = self._update(batch)
        self._record_said(signals, batch)
        return signals

    def _record_said(self, signals: Signals, batch: Batch) -> None:
        """Write down which symbols were started and stopped, and the candidates that the model
        could not answer about: they are not traded.
        """
        for change in signals.changes:
            watched = ev.SymbolsWatched(
                happened_at=change.at,
                known_at=batch.end,
                started=change.started,
                stopped=change.stopped,
            )
            self.gateway.record(f"watched:{micros(change.at)}", watched, batch.end)
        for slot, row in signals.rows.items():
            if row["reason"] is not None:
                strategy, symbol = self.portfolio.owners[self.portfolio.index[slot]]
                fact = ev.CandidateRefused(
                    happened_at=batch.start,
                    known_at=batch.end,
                    symbol=symbol,
                    model_id=row["model_id"],
                    reason=row["reason"],
                    strategy=strategy,
                )
                self.gateway.record(f"candidate:{slot}:{micros(batch.start)}", fact, batch.end)

    def _stop_failed(self, signals: Signals, batch: Batch) -> None:
        """Stop the strategies that raised or hang: their entries are taken back and they enter
        nothing more today. A bracket and its horizon go on closing what they hold; what only their
        signals would have closed is closed now.
        """
        for name, reason in signals.failures.items():
            self._stop(name, reason, batch.start, batch.end, hung=name in signals.hung)

    def _stop(
        self,
        name: str,
        reason: str,
        happened_at: datetime,
        known_at: datetime,
        *,
        hung: bool = False,
    ) -> None:
        fact = ev.StrategyStopped(
            happened_at=happened_at, known_at=known_at, strategy=name, reason=reason, hung=hung
        )
        self.gateway.record(f"strategy_stopped:{name}", fact, known_at)
        self.signals.stop(name)
        self.gateway.handle(StrategyEnded(name, reason))
        self.gateway.receive_reports()
        self.portfolio.leave_without_signals(name)

    def _trade(self, bars: Records, batch: Batch, signals: Signals | None) -> None:
        begins = self.portfolio.open_session(int(bars[0]["date"]))
        if self._exchange is not None and self.portfolio.financed:
            self._exchange.finance(self.portfolio.financed)
        if self._exchange is None:
            # a real broker's fills have happened already; what they change comes before the marks
            self.gateway.receive_reports()
        if begins:
            self._actions.settle_endings(batch, int(bars[0]["date"]))
            self.gateway.send(self.portfolio.margin_call(self._actions.ended_at(batch)))
        self._meet(bars, batch)
        self._check_breakers(batch)
        self._mark_equity(batch)
        signals = self._heard(batch) if signals is None else signals
        self._stop_failed(signals, batch)
        self.portfolio.put_signals(bars, signals.rows)
        self.portfolio.watch_levels(bars)
        self._decide(bars, batch)

    def _meet(self, bars: Records, batch: Batch) -> None:
        """Corporate actions, the exchange and the mark of each bar, symbol by symbol. Most bars
        have only a mark: those that follow each other are marked at once.
        """
        works = self._exchange.works() if self._exchange is not None else None
        marked, has_actions = 0, self._actions.may_come
        for place, symbol in enumerate(bars["symbol"].tolist()):
            if not has_actions and (works is None or not works[symbol]):
                continue
            self.portfolio.mark(bars, marked, place)
            marked, row = place, bars[place]
            self._actions.apply(symbol, int(row["date"]), batch, row)
            if self._exchange is not None:
                self._exchange.match_open(row)
                self.gateway.receive_reports()
                self._exchange.match_range(row)
                self.gateway.receive_reports()
        self.portfolio.mark(bars, marked, len(bars))
        if self._exchange is not None:
            self._meet_closes(self._exchange, bars)

    def _meet_closes(self, exchange: BarDriven, bars: Records) -> None:
        """Entries that wait for a close meet those of the bars, after every open and range."""
        waits = exchange.awaits_close()
        for place, symbol in enumerate(bars["symbol"].tolist()):
            if waits[symbol]:
                exchange.match_close(bars[place])
                self.gateway.receive_reports()
                self.portfolio.mark_entry(bars, place)

    def _mark_equity(self, batch: Batch) -> None:
        row = self.portfolio.equity_row()
        self.ledger.put_equity(self.session_id, batch.start, **row, known_at=batch.end)
        self.telemetry.marked(row["equity"], row["drawdown"])

    def _check_breakers(self, batch: Batch) -> None:
        """Judge the marked equity, and write down what tripped or was lifted."""
        was_halted = self.portfolio.is_halted
        for breaker, measure in self.portfolio.check_breakers():
            self.gateway.record(
                f"breaker:{breaker}:{micros(batch.start)}",
                ev.BreakerTripped(
                    happened_at=batch.end, known_at=batch.end, breaker=breaker, measure=measure
                ),
                batch.end,
            )
        if was_halted and not self.portfolio.is_halted:
            lifted = ev.BreakerRearmed(
                happened_at=batch.end, known_at=batch.end, breaker="max_drawdown"
            )
            self.gateway.record(f"rearmed:max_drawdown:{micros(batch.start)}", lifted, batch.end)

    def _decide(self, bars: Records, batch: Batch) -> None:
        flatten_from = self.plan.flatten_from
        closing = flatten_from is not None and batch.end >= flatten_from
        self.gateway.handle(Flattening(closing))
        self.gateway.send(self.portfolio.decide(bars))
        if closing:
            self.gateway.send(self.portfolio.flatten(micros(batch.start), micros(batch.end)))

    def awaits_auction(self, until: datetime) -> bool:
        """Whether an order for a closing auction that is over by then has left and has no end
        yet.
        """
        return self._exchange is None and any(
            order.terms.is_at_close and order.terms.decided_at < until
            for order in self.manager.working()
            if order.client_order_id not in self.manager.waiting
        )

    # --- between batches --------------------------------------------------------------------------

    def poll(self) -> None:
        """Take in the broker's news and settle what is unclear; called every few seconds. With an
        exchange in this process nothing can have happened.
        """
        if self._exchange is None:
            before = self.ledger.sequence(self.session_id)
            self.gateway.settle()
            if self.ledger.sequence(self.session_id) != before:
                self.keep()

    def kill(self, reason: str) -> None:
        """No new order from now on; every working one is canceled."""
        now = self.gateway.moment or self.clock.now()
        self.gateway.record(
            f"kill:{micros(now)}",
            ev.KillSwitchPulled(happened_at=now, known_at=now, reason=reason),
            now,
        )
        self.set_freshness("HALTED", "kill switch")
        self.gateway.cancel_all("kill switch")

    def set_freshness(self, state: ev.RiskState, reason: str) -> None:
        """Set what the streams allow from now on; a change is written down."""
        if state != self.manager.gate.streams:
            now = self.clock.now()
            fact = ev.RiskStateChanged(
                happened_at=now,
                known_at=now,
                previous=self.manager.gate.streams,
                current=state,
                reason=reason,
            )
            self.gateway.record(f"risk:{state}:{micros(now)}", fact, now)
            self.gateway.handle(StreamsJudged(state, reason))

    # --- what is kept -----------------------------------------------------------------------------

    def trading_state(self) -> TradingState:
        """Portfolio and working orders now. Orders at a real broker are the broker's own and are
        not part of it.
        """
        exchange = (
            self._exchange.exchange
            if self._exchange is not None
            else ExchangeState.empty(self.portfolio.portfolio.symbols)
        )
        return TradingState(self.portfolio.portfolio, exchange)

    def keep(self) -> None:
        """Save everything that a restart needs, as it stands now."""
        self.manager.forget_ended()
        self._accrue_fees()
        body: dict[str, Any] = {
            "trading": self.trading_state().to_dict(),
            "exchange": self._exchange.checkpoint() if self._exchange is not None else None,
            "desk": self.manager.checkpoint(),
            "trades": self.portfolio.trades,
            "factors": self.portfolio.factors,
            "moment": micros(self.gateway.moment) if self.gateway.moment is not None else None,
            "strategies": self.plan.sleeves.strategies,
            "heard": None if self.heard is None else sorted(self.heard),
            "uncompared": self._uncompared,
            "receivables": None if self._exchange is not None else self.receivables.checkpoint(),
        }
        self.ledger.save_snapshot(
            Snapshot(self.session_id, self.cursor, self.ledger.sequence(self.session_id), body)
        )
