"""The session's portfolio: the kernels of `portfolio/`, called with events instead of records.

Facts become REPORT records and intents become `OrderRequest`s. Every rule between them is a
function that the backtest calls, too. Its rows are positions: of a symbol, or of a portfolio one of
each strategy in each symbol (portfolio/sleeves.py). A `slot` is the name of a row in orders, `AAPL`
or `rsi_momentum/AAPL`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np

from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.closing_auction import ClosingAuction
from harmony_pipeline.execution.coins import is_pair
from harmony_pipeline.execution.events import AnyOrderFact, OrderTerms
from harmony_pipeline.execution.lifecycle import Order, Status
from harmony_pipeline.instants import micros
from harmony_pipeline.market.lives import symbols_of
from harmony_pipeline.market.price_grid import whole_unit
from harmony_pipeline.portfolio.decisions import INTENTS_A_DECISION, close_position, decide_moment
from harmony_pipeline.portfolio.kernel_types import (
    BAR,
    BY_FLATTEN,
    BY_UNPROTECTED,
    CANCEL,
    CANCELED,
    EXPIRE,
    FILL,
    NO_MODEL,
    NO_REASON,
    NO_SIGNAL,
    ORDER,
    ORDER_OPEN,
    REASON_NAMES,
    REFUSED,
    REJECT,
    REPORT,
    ROLE_NAMES,
    STOP,
    TRADE,
    Record,
    Records,
    records,
)
from harmony_pipeline.portfolio.margin_calls import margin_call
from harmony_pipeline.portfolio.moments import begin_moment, judge_equity, mark_bars, mark_entry_at
from harmony_pipeline.portfolio.portfolio_state import PortfolioState
from harmony_pipeline.portfolio.position_accounting import (
    INTENTS_A_REPORT,
    take_report,
)
from harmony_pipeline.risk.sizing import drawdown_peak
from harmony_pipeline.session.ledger_rows import money
from harmony_pipeline.session.order_requests import OrderRequest, order_terms
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.portfolio_rows import (
    equity_row,
    position_rows,
    shares_by_symbol,
    trade_row,
)
from harmony_pipeline.session.session_day import SessionDay
from harmony_pipeline.session.single_stops import as_stop_limit, reason_to_leave
from harmony_pipeline.session.stream import SessionBar

_EPOCH_DAY = 719_163  # date(1970, 1, 1).toordinal()
_KINDS = {
    ev.OrderCanceled: CANCEL,
    ev.OrderReplaced: CANCEL,
    ev.OrderExpired: EXPIRE,
    ev.OrderRejected: REJECT,
    ev.OrderRefused: REJECT,
}


class LivePortfolio:
    """Positions and account, changed only by what happens in the methods below, and by corporate
    actions (`session/portfolio_actions.py`). One owner.
    """

    def __init__(self, plan: SessionPlan, portfolio: PortfolioState) -> None:
        self._plan, self.day = plan, SessionDay(plan)
        self.portfolio = portfolio.copy()
        self.slots = plan.slot_names
        self.index = {slot: row for row, slot in enumerate(self.slots)}
        # of each row: the strategy (None: one has the account) and the symbol
        self.owners = [(name, symbol) for name in plan.by_strategy for symbol in plan.symbols]
        self._first = {symbol: row for row, symbol in enumerate(plan.symbols)}
        self._step = len(plan.symbols)
        self.rules = plan.rules.records(portfolio.symbols, plan.date)
        self._factor = np.array([plan.factors.get(symbol, 1.0) for _, symbol in self.owners])
        # room for what the kernels of one call write
        self.intents = records(INTENTS_A_DECISION * len(self.slots) + INTENTS_A_REPORT, ORDER)
        self.closed = records(2, TRADE)
        self._report = records(1, REPORT)
        self._of_lives = frozenset(symbols_of(plan.due_lives))
        self.trades: list[dict[str, Any]] = []
        self._fees = 0
        self.financed = 0  # money units that `open_session` put into the cash, last time

    @property
    def positions(self) -> Records:
        """POSITION records by row."""
        return self.portfolio.positions

    @property
    def account(self) -> Record:
        """The ACCOUNT record."""
        return self.portfolio.account[0]

    # --- bars -------------------------------------------------------------------------------------

    def bar_records(self, bars: Sequence[SessionBar]) -> Records:
        """BAR records of regular bars in order of rows, without signals yet: of a portfolio, each
        bar once for each strategy.
        """
        ordered = sorted(((self._first[bar.symbol], bar) for bar in bars), key=itemgetter(0))
        starts = range(0, len(self.slots), self._step)
        rows = [(start + number, bar) for start in starts for number, bar in ordered]
        table = records(len(rows), BAR)
        for name in ("open", "high", "low", "close", "volume", "factor"):
            table[name] = [getattr(bar, name) for _, bar in rows]
        table["symbol"] = [symbol for symbol, _ in rows]
        table["at"] = [micros(bar.start) for _, bar in rows]
        table["end"] = [micros(bar.end) for _, bar in rows]
        table["date"] = [bar.session_date.toordinal() - _EPOCH_DAY for _, bar in rows]
        table["signal"], table["model"] = NO_SIGNAL, NO_MODEL
        table["strength"] = table["volatility"] = table["probability"] = np.nan
        return table

    def quote_record(self, fact: ev.QuoteActed) -> Records:
        """The BAR record of a decision on a quote: its price at its moment, and the signal."""
        table = records(1, BAR)
        row = table[0]
        row["symbol"], row["at"] = self.index[fact.symbol], micros(fact.signal_timestamp)
        row["end"], row["date"] = micros(fact.known_at), int(self.account["date"])
        row["open"] = row["high"] = row["low"] = row["close"] = fact.price
        row["factor"] = fact.factor
        self.put_signals(table, {fact.symbol: msgspec.structs.asdict(fact)})
        return table

    def put_signals(self, rows: Records, signals: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the signals, by slot, into BAR records; a slot without one has none."""
        if not signals:
            return
        for place, symbol in enumerate(rows["symbol"].tolist()):
            found = signals.get(self.slots[symbol])
            if found is None:
                continue
            row = rows[place]
            row["signal"], row["model"] = found["side"], NO_MODEL
            for name in ("strength", "volatility", "probability"):
                row[name] = np.nan if found[name] is None else found[name]
            if found["model_id"] is not None:
                row["model"] = self.portfolio.models.index(found["model_id"])

    def open_session(self, date: int) -> bool:
        """Call first at every timestamp; whether a session begins with it. What the nights before
        cost or brought is in the books then, and in `financed`.
        """
        begins = date > int(self.account["date"])
        self.financed = int(begin_moment(self.positions, self.portfolio.account, self.rules, date))
        return begins

    def see_factors(self, bars: Sequence[SessionBar]) -> None:
        """Remember the adjustment factor of each symbol's newest bar, extended hours too: fills
        that come now happened at it.
        """
        for bar in bars:
            self._factor[self._first[bar.symbol] :: self._step] = bar.factor

    @property
    def factors(self) -> dict[str, float]:
        """Newest adjustment factor by symbol."""
        return {symbol: float(self._factor[row]) for symbol, row in self._first.items()}

    def restore_factors(self, saved: Mapping[str, float]) -> None:
        """The inverse of `factors`."""
        self._factor[:] = [saved[symbol] for _, symbol in self.owners]

    def put_actions_behind(self, row: int, day: date) -> None:
        """Say that a position is in the shares of `day`, whose bars may be to come: its splits up
        to then are behind it, its dividends are another's. No bar of that day is known by this.
        """
        position = self.positions[row]
        number = day.toordinal() - _EPOCH_DAY
        if position["last_date"] < number:
            position["last_date"], position["seen_factor"] = number, 0.0

    def last_price(self, symbol: int) -> float:
        """Close of the symbol's last bar."""
        return float(self.positions[symbol]["last_price"])

    def held(self, symbol: int) -> float:
        """Signed shares."""
        return float(self.positions[symbol]["quantity"])

    def held_in(self, slot: str) -> float:
        """Signed shares of a slot by its name."""
        return self.held(self.index[slot])

    def margin_call(self, at: int) -> list[OrderRequest]:
        """Close what the margin of the last close does not carry; call it once a session."""
        return self.requests(
            margin_call(self.positions, self.account, self.rules, at, self.intents, 0)
        )

    def mark(self, bars: Records, start: int, stop: int) -> None:
        """Value the symbols of `bars[start:stop]` at their close, in that order."""
        mark_bars(self.positions, self.portfolio.account, self.rules, bars, start, stop)

    def mark_entry(self, bars: Records, place: int) -> None:
        """Value what was entered at the close of `bars[place]`, after its `mark`."""
        mark_entry_at(self.positions, self.portfolio.account, self.rules, bars, place)

    def watch_levels(self, bars: Records) -> None:
        """Where the broker takes no brackets: have positions closed that these bars took to their
        profit, or past their stop.
        """
        bps = self._plan.stop_limit_bps
        if bps is None:
            return
        for bar in bars:
            row = bar["symbol"]
            reason = reason_to_leave(self.positions[row], bar, self.rules[row], bps)
            if reason != NO_REASON:
                self.positions[row]["exit_reason"] = reason

    def check_breakers(self) -> list[tuple[str, float]]:
        """Judge the marked equity; (name, measure) of each breaker that tripped now."""
        account, latches = self.account, ("entries_stopped", "week_stopped", "halted")
        before = {name: int(account[name]) for name in latches}
        judge_equity(self.portfolio.account, self.rules)
        bases = {
            "entries_stopped": ("max_daily_loss", account["day_equity"]),
            "week_stopped": ("max_weekly_loss", account["week_equity"]),
            "halted": ("max_drawdown", drawdown_peak(account)),
        }
        return [
            (breaker, float(account["equity"] / base - 1.0))
            for name, (breaker, base) in bases.items()
            if account[name] and not before[name]
        ]

    @property
    def is_halted(self) -> bool:
        """Whether the drawdown breaker holds."""
        return bool(self.account["halted"])

    def decide(self, bars: Records) -> list[OrderRequest]:
        """Decide at the end of these bars; requests come in the order in which they must be
        sent.
        """
        return self.requests(
            decide_moment(self.positions, self.portfolio.account, self.rules, bars, self.intents)
        )

    def flatten(self, at: int, end: int) -> list[OrderRequest]:
        """Close whatever is held and not being closed yet."""
        count = 0
        for symbol, position in enumerate(self.positions):
            if position["quantity"] != 0.0 and position["exit_working"] == 0:
                count = close_position(
                    position, self.account, symbol, BY_FLATTEN, at, end, self.intents, count
                )
        return self.requests(count)

    @property
    def is_open(self) -> bool:
        """Whether the day's first regular bar has come."""
        return int(self.account["date"]) + _EPOCH_DAY >= self._plan.date.toordinal()

    @property
    def in_transit(self) -> frozenset[str]:
        """Symbols that the session's first bars rename or pay out, as long as they have not: the
        broker has done so already, and has taken their brackets off.
        """
        return frozenset() if self.is_open else self._of_lives

    def is_protected_by(self, leg: OrderTerms) -> bool:
        """Whether the leg is of the bracket of what the slot holds now, and not of what it held
        before.
        """
        position = self.positions[self.index[leg.slot]]
        entered = leg.entry_decided_at is not None and micros(leg.entry_decided_at)
        return bool(position["quantity"] != 0.0 and position["entry_at"] == entered)

    def distrust(self, slot: str) -> None:
        """Close a position whose bracket was taken away at the next decision."""
        position = self.positions[self.index[slot]]
        if position["quantity"] != 0.0 and position["exit_reason"] == 0:
            position["exit_reason"] = BY_UNPROTECTED

    def leave_without_signals(self, strategy: str) -> None:
        """Close at the next decision what only the strategy's signals would have closed."""
        for (owner, _), position, rules in zip(
            self.owners, self.positions, self.rules, strict=True
        ):
            held = position["quantity"] != 0.0 and position["exit_reason"] == 0
            if owner == strategy and held and rules["barriers"] == 0:
                position["exit_reason"] = BY_UNPROTECTED

    def adopt(self, fact: ev.PositionAdopted) -> None:
        """Take over shares that somebody else traded at the broker: out of what is held first, the
        rest is a position without a bracket.
        """
        symbol = self.index[ev.slot_name(fact.strategy, fact.symbol)]
        held, change = fact.quantity_before, fact.quantity_after - fact.quantity_before
        side = 1 if change > 0.0 else -1
        out = min(abs(change), abs(held)) if held * side < 0.0 else 0.0
        for role, quantity in (("exit", out), ("entry", abs(change) - out)):
            if quantity <= 0.0:
                continue
            report = self._report[0]
            self._report[:] = np.zeros(1, REPORT)
            report["kind"], report["symbol"], report["side"] = FILL, symbol, side
            report["role"] = ROLE_NAMES.index(role)
            report["at"] = report["decided_at"] = micros(fact.happened_at)
            report["quantity"], report["factor"] = quantity, self._factor[symbol]
            report["price"] = report["reference"] = fact.price
            _, closed = self._take_report()
            self.keep_trades(closed)
        # the broker counts in the shares of the day
        self.put_actions_behind(symbol, self._plan.date)

    # --- orders -----------------------------------------------------------------------------------

    def in_shares_of_today(self, terms: OrderTerms) -> float:
        """What an order that was decided before the session is for, after the splits since: whole
        shares, or lots of a divisible unit.
        """
        unit = whole_unit(self.rules[self.index[terms.slot]]["lot_size"])
        return self.day.in_its_shares(terms, unit)

    def was_split(self, terms: OrderTerms) -> bool:
        """As the session begins: whether the symbol of an order that works has split since it was
        decided and since the session before.
        """
        last = date.fromordinal(int(self.account["date"]) + _EPOCH_DAY)
        before = max(self.day.date_of(terms.decided_at), last)
        return self.day.splits_after(before, terms.symbol).len() > 0

    def apply_fact(
        self,
        fact: AnyOrderFact,
        before: Order,
        after: Order,
        auction: ClosingAuction | None = None,
        *,
        is_outside: bool = False,
    ) -> list[OrderRequest]:
        """Apply what became of an order; returns the bracket of an entry that is done. auction: of
        the day, at a broker that has one. is_outside: the broker is outside of this process, so
        that a fill may come before the bar in which it happened.
        """
        if not self._put_report(fact, before, after):
            return []
        report = self._report[0]
        position = self.positions[report["symbol"]]
        at_close = after.terms.is_at_close and report["kind"] == FILL
        if auction is not None and at_close and auction.is_for(after.terms.decided_at):
            # no earlier than the close, whatever its stamp: its bar is not held
            report["at"] = max(int(report["at"]), micros(auction.close))
        is_leg = after.terms.role in ("stop", "take")
        if report["kind"] == FILL and is_leg and position["exit_reason"] == BY_UNPROTECTED:
            position["exit_reason"] = NO_REASON  # it was reached; the news of its twin came first
        count, closed = self._take_report()
        if is_outside and report["kind"] == FILL and after.terms.role == "entry":
            day = self.day.filled_on(after.terms.decided_at, fact.happened_at)
            if auction is not None and at_close and position["sessions_held"] == 0:
                position["held_on"] = day.toordinal() - _EPOCH_DAY
                position["sessions_held"] = 1
            self.put_actions_behind(int(report["symbol"]), day)
        self.keep_trades(closed)
        return self.requests(count)

    def take_fees(self) -> int:
        """Fees of the executions that were applied since the last call, in money units; not those
        of coins, which are taken from what an execution brings.
        """
        fees, self._fees = self._fees, 0
        return fees

    def _put_report(self, fact: AnyOrderFact, before: Order, after: Order) -> bool:
        """Write the REPORT of a fact; False, and nothing is written, where the fact does not
        concern the portfolio.

        An order that ended is closed once everything that it executed was seen; an execution that
        comes after that closes it again, which is harmless.
        """
        kind = FILL if isinstance(fact, ev.OrderPartiallyFilled) else _KINDS.get(type(fact))
        if kind is None or (kind != FILL and not before.is_open):
            return False
        terms, report, row = after.terms, self._report[0], self.index[after.terms.slot]
        self._report[:] = np.zeros(1, REPORT)
        report["kind"], report["symbol"], report["role"] = kind, row, ROLE_NAMES.index(terms.role)
        report["side"] = 1 if terms.side == "buy" else -1
        report["at"], report["decided_at"] = micros(fact.happened_at), micros(terms.decided_at)
        report["number"] = len(after.executions)
        is_whole = after.seen_quantity >= after.filled_quantity - 1e-9
        ended = not after.is_open and after.status is not Status.REPLACED
        report["closed"] = int(ended and is_whole)
        if isinstance(fact, ev.OrderPartiallyFilled):
            known = fact.reference_price
            report["quantity"], report["price"] = fact.received, fact.price
            report["factor"] = self._factor[row]
            report["reference"] = fact.price if known is None else known
            report["fee"], report["slippage"] = money(fact.fee), fact.slippage
            if not is_pair(fact.symbol):
                self._fees += money(fact.fee)
            report["maker"] = int(fact.liquidity == "maker")
        return True

    def _take_report(self) -> tuple[int, int]:
        return take_report(
            self.positions, self.portfolio.account, self.rules, self._report, self.intents,
            self.closed,
        )  # fmt: skip

    def requests(self, count: int) -> list[OrderRequest]:
        """The first `count` intents; the legs of a bracket are one request."""
        requests: list[OrderRequest] = []
        for request in map(self._request, self.intents[:count]):
            last = requests[-1] if requests else None
            if last and last.kind == ORDER_OPEN and (last.role, request.role) == ("stop", "take"):
                requests[-1] = replace(last, other=request.terms)
            else:
                requests.append(request)
        return requests

    def _request(self, intent: Record) -> OrderRequest:
        slot, role = self.slots[intent["symbol"]], int(intent["role"])
        if intent["status"] == CANCELED:
            return OrderRequest(
                CANCELED, slot, ROLE_NAMES[role], None, REASON_NAMES[intent["reason"]] or None
            )
        terms = order_terms(intent, float(intent["quantity"]), self.portfolio.models, self._plan)
        bps = self._plan.stop_limit_bps
        if bps is not None and role == STOP:
            terms = as_stop_limit(terms, self.rules[intent["symbol"]], bps)
        return OrderRequest(
            REFUSED if intent["status"] == REFUSED else ORDER_OPEN, slot, ROLE_NAMES[role], terms
        )

    # --- what is kept -----------------------------------------------------------------------------

    def equity_row(self) -> dict[str, Any]:
        """The account at this moment, in money units."""
        return equity_row(self.account)

    def position_rows(self) -> list[dict[str, Any]]:
        """What is held: the columns of `session_positions`."""
        return position_rows(self.owners, self.positions)

    def shares(self) -> Mapping[str, float]:
        """Signed shares of every symbol that is held: a broker counts those of all strategies
        together.
        """
        return shares_by_symbol(self.owners, self.positions)

    def keep_trades(self, count: int) -> None:
        """Keep the first `count` round trips in `closed`."""
        self.trades += [trade_row(self.owners, trade) for trade in self.closed[:count]]
