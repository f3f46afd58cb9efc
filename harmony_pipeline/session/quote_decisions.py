"""Decisions between two moments, on the quotes that a machine with `on_quote` hears.

Where a quote changes what the machine holds, the decision of a moment is made at once, with the
quote's price and the features of the symbol's last bar. It follows from the event `QuoteActed` and
from nothing else, so a restart and a replay make it again from the ledger. An exchange in this
process knows bars only, so there it is made with the next bars.
"""

from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.brokers.base import BarDriven, Broker
from harmony_pipeline.instants import micros, moment
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.live_portfolio import LivePortfolio
from harmony_pipeline.session.order_gateway import OrderGateway
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.strategy_signals import StrategySignals
from harmony_pipeline.session.stream import Batch
from harmony_pipeline.session.telemetry import Telemetry
from harmony_pipeline.strategies.events import Quote


class Trading(Protocol):
    """The session that decides: `Trader`."""

    plan: SessionPlan
    ledger: Ledger
    broker: Broker
    telemetry: Telemetry
    portfolio: LivePortfolio
    gateway: OrderGateway
    signals: StrategySignals
    cursor: datetime | None
    folded: datetime | None

    @property
    def session_id(self) -> str:
        """The plan's."""

    def keep(self) -> None:
        """Save what a restart needs."""


class QuoteDecisions:
    """Hears quotes for one session, and decides on them. One owner."""

    def __init__(self, session: Trading) -> None:
        self._session = session
        self._in_process = isinstance(session.broker, BarDriven)
        plan = session.plan
        self._open = plan.calendar.session_open(plan.date)
        self._close = plan.calendar.session_close(plan.date)
        self._decided_at = 0  # when the last decision was made, in microseconds
        # of a process before this one, with the start of the bars that came next, if any did
        self._acted: deque[tuple[datetime | None, ev.QuoteActed]] = deque()

    def hear(self, quotes: Sequence[Quote]) -> None:
        """Give the machine these quotes, and decide where it changes what it holds. After a restart
        nothing is heard before the bars that were told again.
        """
        session = self._session
        if session.cursor is not None and (
            session.folded is None or session.folded < session.cursor
        ):
            return
        while self._acted:
            self._hear_again(self._acted.popleft()[1])
        for quote, symbols in session.signals.hear_quotes(quotes):
            for symbol in symbols:
                self._act_on(quote, symbol)

    def decide_again(self, *, hear: bool = False) -> None:
        """Make the decisions that the journal of an interrupted session has next; `hear`: the
        machine has heard the bars before them, and hears them now.
        """
        while isinstance(head := self._session.gateway.journal_head, ev.QuoteActed):
            if hear:
                self._hear_again(head)
            self._decide_on(head)

    def remember(self) -> None:
        """Take the quotes that this session acted on from its ledger, each before the bars that it
        was heard before.
        """
        facts: list[ev.QuoteActed] = []
        for _, event in self._session.ledger.events(self._session.session_id):
            if isinstance(event, ev.QuoteActed):
                facts.append(event)
            elif isinstance(event, ev.BarsReceived):
                self._acted.extend((event.happened_at, fact) for fact in facts)
                facts = []
        self._acted.extend((None, fact) for fact in facts)

    def hear_those_before(self, batch: Batch, *, done: bool) -> None:
        """Let the machine hear again what came before the batch; `done`: the batch was done before
        a restart.
        """
        while self._acted and _is_before(self._acted[0][0], batch, done=done):
            self._hear_again(self._acted.popleft()[1])

    # --- inside -----------------------------------------------------------------------------------

    def _act_on(self, quote: Quote, symbol: str) -> None:
        """Decide on what the machine holds of the symbol since this quote, while the exchange is
        open.
        """
        session = self._session
        found = session.signals.held_now(symbol)
        if self._in_process or found is None or not session.portfolio.is_open:
            return
        bar, signal = found
        is_open = self._open <= quote.timestamp < self._close
        if bar.session_date != session.plan.date or not is_open:
            return
        has_price = symbol == quote.symbol and quote.bid > 0.0 and quote.ask > 0.0
        moved = max(micros(quote.timestamp), self._decided_at + 1)
        fact = ev.QuoteActed(
            happened_at=quote.timestamp, known_at=moment(moved), symbol=symbol,
            side=signal["side"], strength=signal["strength"],
            price=(quote.bid + quote.ask) / 2.0 if has_price else bar.close,
            signal_timestamp=bar.start, factor=bar.factor, volatility=signal["volatility"],
            quoted_symbol=quote.symbol, bid=quote.bid, bid_size=quote.bid_size, ask=quote.ask,
            ask_size=quote.ask_size, probability=signal["probability"],
            model_id=signal["model_id"],
        )  # fmt: skip
        with session.telemetry.quote(fact):
            self._decide_on(fact)
            session.keep()

    def _decide_on(self, fact: ev.QuoteActed) -> None:
        """The decision that follows from this fact, and from nothing else."""
        session = self._session
        self._decided_at = micros(fact.known_at)
        session.gateway.record(f"quote:{fact.symbol}:{self._decided_at}", fact, fact.known_at)
        session.gateway.receive_reports()
        session.gateway.send(session.portfolio.decide(session.portfolio.quote_record(fact)))

    def _hear_again(self, fact: ev.QuoteActed) -> None:
        quote = Quote(
            fact.quoted_symbol, fact.happened_at, fact.bid, fact.bid_size, fact.ask, fact.ask_size
        )
        self._session.signals.hear_again(quote, fact.symbol, fact.side, fact.strength)


def _is_before(bars: datetime | None, batch: Batch, *, done: bool) -> bool:
    """Whether a quote that came before the bars that start at `bars` came before the batch; None:
    no bars came after it, so it came before the first batch that is new.
    """
    return bars <= batch.start if bars is not None else not done
