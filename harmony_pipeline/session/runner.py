"""Carries a session from its first bar to its end: the loop, and what can end it.

    completed   the stream of the day ended
    stopped     SIGTERM, SIGINT or a stop request; orders go on working, the same plan continues it
    killed      the kill switch: open orders were canceled, nothing more is sent today

A process that dies leaves the session `running` in the ledger; running it again with the same plan
continues at the first moment that was not finished. A session that has ended is not run twice:
asked again, its result is read.
"""

import contextlib
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path

from harmony_pipeline.errors import DataError, NotReady
from harmony_pipeline.execution.brokers.base import BarDriven, Broker
from harmony_pipeline.execution.events import RiskState, RiskStateChanged
from harmony_pipeline.instants import micros
from harmony_pipeline.log import log
from harmony_pipeline.session.bar_log import BarLog, bar_log_path
from harmony_pipeline.session.clock import Clock
from harmony_pipeline.session.closing_orders import check_closing_orders
from harmony_pipeline.session.freshness import BAR_STREAM, ORDER_STREAM, QUOTE_STREAM, Freshness
from harmony_pipeline.session.hot_state import HotState
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.ledger_rows import COMPLETED, KILLED, RUNNING, STOPPED
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.process_control import (
    KILL,
    StopRequest,
    kill_reason,
    session_lock,
    stop_on_signals,
    write_heartbeat,
)
from harmony_pipeline.session.quotes import CountsQuotes, Quotes
from harmony_pipeline.session.reconciliation import Reconciler
from harmony_pipeline.session.result import SessionResult, read_session
from harmony_pipeline.session.settings import SessionSettings
from harmony_pipeline.session.stream import BarStream, Batch, ChangesSymbols
from harmony_pipeline.session.telemetry_setup import telemetry_of
from harmony_pipeline.session.trader import Trader
from harmony_pipeline.session.watch_list import quoted_first

_CANCEL_SECONDS = 10.0
_AUCTION_SECONDS = 60.0  # between the end of the last bar and what the auction filled
_LOOK_SECONDS = 0.25  # between two looks at streams and broker while quotes come


@dataclass(frozen=True)
class Supervision:
    """How a session is watched. state: folder of lock, heartbeat and kill switch; None: it is not
    watched (tests). is_live: streams may go stale.
    """

    state: Path | None = None
    heartbeat_seconds: float = 5.0
    stale_after_seconds: float = 90.0
    reconcile_seconds: float = 60.0
    unpaid_days: int = 60
    strategy_seconds: float = 30.0
    redis: str = ""
    telemetry: str = ""
    is_live: bool = False
    stop: StopRequest = field(default_factory=StopRequest)

    @staticmethod
    def of(
        state: Path, settings: SessionSettings, is_live: bool, stop: StopRequest | None = None
    ) -> "Supervision":
        """As the settings want it."""
        return Supervision(
            state,
            settings.heartbeat_seconds,
            settings.stale_after_seconds,
            settings.reconcile_seconds,
            settings.unpaid_days,
            settings.strategy_seconds,
            settings.redis,
            settings.telemetry,
            is_live,
            stop or StopRequest(),
        )


def run_session(
    plan: SessionPlan,
    ledger: Ledger,
    broker: Broker,
    stream: BarStream,
    clock: Clock,
    supervision: Supervision | None = None,
) -> SessionResult:
    """Run, or continue, the plan's session. Raises SessionRunning when another process trades here,
    NotReady while the kill switch is on, ConfigError for entries at closes that the broker does not
    take.
    """
    check_closing_orders(plan, broker)
    watch = supervision or Supervision()
    with (
        _guarded(plan, watch),
        ledger.writer(plan.session_id),
        contextlib.ExitStack() as after_all,
    ):
        _replace_unfinished(plan, ledger, broker)
        row = ledger.open_session(plan.row())
        if row.state in (COMPLETED, KILLED):
            return read_session(ledger, plan.session_id)
        if row.state == STOPPED:
            ledger.reopen_session(plan.session_id)
        run = ledger.start_run(plan.session_id, clock.now())
        outcome = "failed"
        try:
            tell = partial(log, watch.state)
            telemetry = after_all.enter_context(
                telemetry_of(watch.telemetry, plan, is_live=watch.is_live, tell=tell)
            )
            patience = watch.strategy_seconds if watch.is_live else None
            trader = Trader(plan, ledger, broker, clock, telemetry, patience)
            after_all.callback(trader.signals.close)
            trader.begin()
            loop = _Loop(trader, clock, watch, ledger, run)
            with _hot_state(watch, plan.account) as hot:
                state, reason = loop.carry(stream, hot)
            loop.reconcile()
            trader.end(state, reason)
            loop.last_words()
            outcome = state
        finally:
            # the reason that we are leaving is the one to be seen
            with contextlib.suppress(Exception):
                ledger.heartbeat(plan.session_id, run, clock.now(), outcome)
            broker.close()
        return read_session(ledger, plan.session_id)


def _replace_unfinished(plan: SessionPlan, ledger: Ledger, broker: Broker) -> None:
    """A day begun under another plan cannot go on under this one. An exchange in a process left
    nothing behind; a real broker did.
    """
    for row in ledger.sessions(plan.account, plan.date):
        if row.session_id != plan.session_id and row.state == RUNNING:
            if not isinstance(broker, BarDriven):
                raise DataError(
                    f"session {row.session_id} of {plan.date} is unfinished and its orders may be"
                    " at the broker, but settings, model or data have changed since: restore them"
                    " and run it again, or stop the day with the kill switch under the old"
                    " settings"
                )
            ledger.end_session(
                row.session_id, STOPPED, f"replaced by {plan.session_id}: its plan had changed"
            )


@contextmanager
def _hot_state(watch: Supervision, account: str) -> Iterator[HotState | None]:
    if not watch.redis:
        yield None
        return
    hot = HotState(watch.redis, account, partial(log, watch.state))
    try:
        yield hot
    finally:
        hot.close()


@contextmanager
def _guarded(plan: SessionPlan, watch: Supervision) -> Iterator[None]:
    if watch.state is None:
        yield
        return
    with session_lock(watch.state, plan.session_id), stop_on_signals(watch.stop.ask):
        pulled = kill_reason(watch.state)
        if pulled is not None:
            raise NotReady(
                f"the kill switch is on ({pulled}): remove {watch.state / KILL} when trading may"
                " go on"
            )
        yield


class _Loop:
    """The moments of one process's part of a session."""

    def __init__(
        self, trader: Trader, clock: Clock, watch: Supervision, ledger: Ledger, run: int
    ) -> None:
        self._trader = trader
        self._clock = clock
        self._watch = watch
        self._ledger = ledger
        self._run = run
        plan = trader.plan
        self._open, self._close = (
            plan.calendar.session_open(plan.date),
            plan.calendar.session_close(plan.date),
        )
        self._freshness = Freshness.of(
            plan.bar, watch.stale_after_seconds, quotes=plan.hears_quotes
        ).expect_from(max(self._open, clock.now()))
        every = timedelta(seconds=watch.reconcile_seconds)
        self._reconciler = Reconciler(trader, every, watch.unpaid_days)
        self._telemetry = trader.telemetry
        # a replayed day's bars are in the lake
        self._bar_log = (
            BarLog(bar_log_path(watch.state, plan.session_id))
            if watch.is_live and watch.state is not None
            else None
        )
        # by the machine's own clock: a replayed hour is no reason to write
        self._beat_at = self._judged_at = -math.inf
        self._counts: CountsQuotes | None = None

    def carry(self, stream: BarStream, hot: HotState | None) -> tuple[str, str | None]:
        """Live through the stream; (state, reason) of the end. `hot` is shown each moment."""
        self._counts = stream if isinstance(stream, CountsQuotes) else None
        if self._counts is not None:
            self._telemetry.hear_quotes(self._counts)
        changing = stream if isinstance(stream, ChangesSymbols) else None
        # what a stream begins with
        told: tuple[frozenset[str] | None, frozenset[str]] = (
            None,
            quoted_first(self._trader.plan),
        )
        self._beat()
        for item in stream.moments():
            ended = self._interrupted()
            if ended is not None:
                return ended
            if isinstance(item, Batch):
                self._freshness = self._freshness.heard(BAR_STREAM, item.end)
                self._judge()
                self._await_auction(item)
                if self._process(item) and hot is not None:
                    trader = self._trader
                    hot.show(item, trader.portfolio.position_rows(), trader.manager.working())
                if self._bar_log is not None:
                    self._bar_log.append(item)
                if changing is not None and self._wanted() != told:
                    told = self._wanted()
                    changing.hear_only(*told)
            elif isinstance(item, Quotes):
                self._hear(item, hot)
            else:
                self._judge()
                self._trader.poll()
            now = self._clock.now()
            self._reconciler.look(now)
            self._telemetry.look(now, self._risk_state)
            self._beat()
        return self._interrupted() or (COMPLETED, None)

    def _await_auction(self, batch: Batch) -> None:
        """Hear what the closing auction filled before its bar is decided on, as in the backtest: a
        broker may tell it later than the bar ends. What it tells later still is booked then.
        """
        until = time.monotonic() + _AUCTION_SECONDS
        while (
            self._watch.is_live
            and batch.end >= self._close
            and self._trader.awaits_auction(self._close)
            and time.monotonic() < until
            and not self._is_to_end()
        ):
            self._trader.poll()
            self._beat()
            if self._trader.awaits_auction(self._close):
                time.sleep(_LOOK_SECONDS)

    def _wanted(self) -> tuple[frozenset[str] | None, frozenset[str]]:
        """Symbols whose bars (None: of all) and whose quotes still matter."""
        return self._trader.heard, self._trader.quoted

    def _process(self, batch: Batch) -> bool:
        """A moment; False when it was done before a restart, and is not counted again."""
        with self._telemetry.moment(batch) as span:
            is_new = self._trader.process(batch)
            if not is_new:
                span.drop()
        return is_new

    def _risk_state(self) -> RiskState:
        return self._trader.gateway.risk_state

    def _hear(self, item: Quotes, hot: HotState | None) -> None:
        """Quotes between two moments. What depends on the hour alone is looked at by the clock:
        there may be thousands of lots a second.
        """
        self._trader.quotes.hear(item.quotes)
        if hot is not None:
            hot.show_quotes(item.quotes)
        now = time.monotonic()
        if now - self._judged_at >= _LOOK_SECONDS:
            self._judged_at = now
            self._freshness = self._freshness.heard(QUOTE_STREAM, self._clock.now())
            self._judge()
            self._trader.poll()

    def reconcile(self) -> None:
        """Compare with the broker at the end."""
        self._reconciler.compare(self._clock.now())

    def last_words(self) -> None:
        """The heartbeat of the end."""
        self._beat_at = -math.inf
        self._beat()

    def _is_to_end(self) -> bool:
        """Whether somebody asks the session to stop, or pulled the kill switch."""
        state = self._watch.state
        return self._watch.stop.asked or (state is not None and kill_reason(state) is not None)

    def _interrupted(self) -> tuple[str, str | None] | None:
        pulled = kill_reason(self._watch.state) if self._watch.state is not None else None
        if pulled is not None:
            self._trader.kill(pulled)
            self._await_cancels()
            return KILLED, pulled
        if self._watch.stop.asked:
            return STOPPED, self._watch.stop.reason
        return None

    def _await_cancels(self) -> None:
        """Give a real broker some seconds to confirm; what it does not confirm is open in the
        ledger, and reconciliation will say so.
        """
        until = time.monotonic() + _CANCEL_SECONDS
        while self._watch.is_live and self._trader.manager.working() and time.monotonic() < until:
            time.sleep(_CANCEL_SECONDS / 20)
            self._trader.poll()

    def _judge(self) -> None:
        """Let the streams' silence decide what may leave; only while the exchange is open, and only
        when time is real.
        """
        now = self._clock.now()
        if not self._watch.is_live or not self._open <= now <= self._close:
            return
        self._freshness = self._freshness.line(ORDER_STREAM, self._trader.broker.is_streaming())
        self._freshness, facts = self._freshness.judge(now)
        for fact in facts:
            if isinstance(fact, RiskStateChanged):
                self._trader.set_freshness(fact.current, fact.reason)
            else:
                self._trader.gateway.record(f"stream:{fact.stream}:{micros(now)}", fact, now)

    def _beat(self) -> None:
        if time.monotonic() - self._beat_at < self._watch.heartbeat_seconds:
            return
        self._beat_at = time.monotonic()
        now = self._clock.now()
        if self._watch.is_live:
            self._ledger.heartbeat(self._trader.session_id, self._run, now)
        if self._watch.state is None:
            return
        # on a full disk it cannot be written, which whoever supervises takes for a silent session
        with contextlib.suppress(OSError):
            write_heartbeat(
                self._watch.state,
                self._trader.session_id,
                now,
                risk_state=self._trader.gateway.risk_state,
                cursor=self._trader.cursor,
                open_orders=len(self._trader.manager.working()),
                executions=self._trader.gateway.executions,
                quotes=self._counts.quote_counts._asdict() if self._counts is not None else None,
                session_state=RUNNING,
            )
