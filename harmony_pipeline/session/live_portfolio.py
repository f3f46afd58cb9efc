"""The session's portfolio: the kernels of `portfolio/`, called with events instead of records.

Facts become REPORT records and intents become `OrderRequest`s. Every rule between them is a
function that the backtest calls, too. Its rows are positions: of a symbol, or of a portfolio one of
each strategy in each symbol (portfolio/sleeves.py). A `slot` is the name of a row in orders, `AAPL`
or `rsi_momentum/AAPL`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np

from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.closing_auction import ClosingAuction
from harmony_pipeline.execution.events import AnyOrderFact, OrderTerms, micros
from harmony_pipeline.execution.lifecycle import Order
from harmony_pipeline.market.lives import actions_by_new_symbol, symbols_of
from harmony_pipeline.market.price_grid import whole_unit
from harmony_pipeline.portfolio.corporate_actions import (
    apply_action,
    apply_unseen_action,
    cancel_working,
    endings_of,
    first_actions,
    next_due,
    packed_actions,
    packed_lives,
    presumed_ending,
    settle_ending,
)
from harmony_pipeline.portfolio.decisions import INTENTS_A_DECISION, close_position, decide_moment
from harmony_pipeline.portfolio.intents import place_legs
from harmony_pipeline.portfolio.kernel_types import (
    APPLIED,
    BAR,
    BY_FLATTEN,
    BY_UNPROTECTED,
    CANCELED,
    ENDING,
    FILL,
    NO_MODEL,
    NO_REASON,
    NO_SIGNAL,
    ORDER,
    ORDER_OPEN,
    REASON_NAMES,
    REFUSED,
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
    dividend_share,
    take_report,
)
from harmony_pipeline.risk.sizing import drawdown_peak
from harmony_pipeline.session.fact_reports import put_report
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


class LivePortfolio:
    """Positions and account, changed only by what happens in the methods below. One owner."""

    def __init__(self, plan: SessionPlan, portfolio: PortfolioState) -> None:
        self._plan, self.day = plan, SessionDay(plan)
        self.portfolio = portfolio.copy()
        self.slots = plan.slot_names
        self.index = {slot: row for row, slot in enumerate(self.slots)}
        # of each row: the strategy (None: one has the account) and the symbol
        self.owners = [(name, symbol) for name in plan.by_strategy for symbol in plan.symbols]
        self._first = {symbol: row for row, symbol in enumerate(plan.symbols)}
        self._step = len(plan.symbols)
        self._rules = plan.rules.records(portfolio.symbols, plan.date)
        self._factor = np.array([plan.factors.get(symbol, 1.0) for _, symbol in self.owners])
        self._intents = records(INTENTS_A_DECISION * len(self.slots) + INTENTS_A_REPORT, ORDER)
        self._trades = records(2, TRADE)
        self._report = records(1, REPORT)
        self._applied = records(1, APPLIED)
        self._endings = records(2, ENDING)
        actions, lives = actions_by_new_symbol(plan.actions, plan.lives), plan.due_lives
        if plan.members:
            actions = plan.sleeves.frame(actions)
            lives = plan.sleeves.frame(lives, ("symbol", "successor"))
            # of one day, in the order in which they happen to a symbol
            lives = lives.sort("date", maintain_order=True)
        self._actions = packed_actions(actions, portfolio.symbols)
        self._next_action = first_actions(self._actions, len(self.slots))
        self._lives = packed_lives(lives, portfolio.symbols)
        self._of_lives = frozenset(symbols_of(plan.due_lives))
        self.trades: list[dict[str, Any]] = []
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
        self.financed = int(begin_moment(self.positions, self.portfolio.account, self._rules, date))
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

    # --- corporate actions ------------------------------------------------------------------------

    @property
    def has_actions(self) -> bool:
        """Whether a split or dividend may come due in this session."""
        return len(self._actions) > 0

    def due_actions(self, symbol: int, until: int) -> Iterator[Record]:
        """ACTION records that have come due for the symbol by the date `until`, each applied before
        the next is asked for.
        """
        while (
            k := next_due(self._actions, self._next_action, self.positions[symbol], symbol, until)
        ) >= 0:
            yield self._actions[k]

    def apply_action(self, action: Record, price: float, at: int) -> Record:
        """Apply an action before the day's first trade, at `price`; returns what it did
        (APPLIED).
        """
        return self._apply(apply_action, action, price, at)

    def apply_unseen_action(self, action: Record, at: int) -> Record:
        """Apply an action of a symbol that has had no bar since; returns what it did (APPLIED)."""
        return self._apply(apply_unseen_action, action, at)

    def apply_over_night(self, row: int, at: int) -> Iterator[Record]:
        """Apply all that is due by the session's day to what is held, before its first bar; yields
        what each action did (APPLIED). The row is in the shares of the day from then on.
        """
        if self.held(row) == 0.0:
            return
        day = self._plan.date
        for action in self.due_actions(row, day.toordinal() - _EPOCH_DAY):
            applied = self.apply_unseen_action(action, at)
            if applied["before"] != 0.0:
                yield applied
        self._put_actions_behind(self.positions[row], day)

    @staticmethod
    def _put_actions_behind(position: Record, day: date) -> None:
        """Say that a position is in the shares of `day`, whose bars may be to come: its splits up
        to then are behind it, its dividends are another's. No bar of that day is known by this.
        """
        number = day.toordinal() - _EPOCH_DAY
        if position["last_date"] < number:
            position["last_date"], position["seen_factor"] = number, 0.0

    def _apply(self, kernel: Callable[..., int], action: Record, *more: float) -> Record:
        symbol = action["symbol"]
        position, rules, applied = self.positions[symbol], self._rules[symbol], self._applied[0]
        self._keep_trades(
            kernel(position, self.account, rules, action, *more, applied, self._trades, 0)
        )
        return applied

    def dividend_share(self, action: Record) -> float:
        """A dividend as a part of the last price."""
        return float(dividend_share(self.positions[action["symbol"]], action["value"]))

    def last_price(self, symbol: int) -> float:
        """Close of the symbol's last bar."""
        return float(self.positions[symbol]["last_price"])

    def endings_of_lives(self) -> Iterator[Record]:
        """ENDING records of securities that ended since the last session, each settled before the
        next is asked for.
        """
        for life in self._lives:
            yield from self._endings[: endings_of(self.positions, life, self._endings)].copy()

    def endings(self, date: int) -> Iterator[Record]:
        """Those, and then what has had no bar for too many sessions."""
        yield from self.endings_of_lives()
        for symbol, position in enumerate(self.positions):
            if presumed_ending(position, self._rules[symbol], symbol, date, self._endings[0]):
                yield self._endings[0].copy()

    def cancel_working(self, ending: Record, at: int) -> list[OrderRequest]:
        """Cancel whatever works for the ending's symbol."""
        symbol = ending["symbol"]
        return self._requests(
            cancel_working(self.positions[symbol], symbol, ending["canceled"], at, self._intents, 0)
        )

    def working(self, symbol: int) -> tuple[int, int]:
        """Whether an exit and whether a bracket works for the symbol."""
        return int(self.positions[symbol]["exit_working"]), int(
            self.positions[symbol]["legs_working"]
        )

    def has_levels(self, symbol: int) -> bool:
        """Whether a bracket should protect what is held, whether or not one works."""
        if self._rules[symbol]["close_touch"] == 1:
            return False
        position = self.positions[symbol]
        leaves = position["exit_reason"] != 0 or position["exit_working"] == 1
        return bool(not leaves and (position["stop_level"] != 0.0 or position["take_level"] != 0.0))

    def held(self, symbol: int) -> float:
        """Signed shares."""
        return float(self.positions[symbol]["quantity"])

    def held_in(self, slot: str) -> float:
        """Signed shares of a slot by its name."""
        return self.held(self.index[slot])

    def settle_ending(
        self, ending: Record, at: int, worked: tuple[int, int]
    ) -> tuple[Record, list[OrderRequest]]:
        """Pay out what is held, or hold it under the new symbol: what was done (APPLIED), and what
        to send.
        """
        applied = self._applied[0]
        count, closed = settle_ending(
            self.positions,
            self.account,
            self._rules,
            ending,
            at,
            *worked,
            applied,
            self._intents,
            0,
            self._trades,
            0,
        )
        self._keep_trades(closed)
        return applied, self._requests(count)

    def place_again(self, row: int, at: int, worked: tuple[int, int]) -> list[OrderRequest]:
        """The orders that worked for what the row holds now: an exit, and a bracket at its levels.
        `worked`: as of `settle_ending`.
        """
        position, count = self.positions[row], 0
        if position["quantity"] == 0.0:
            return []
        exit_worked, legs_worked = worked
        if legs_worked:
            count = place_legs(position, row, at, self._intents, count)
        if exit_worked:
            reason, signal_at = position["exit_reason"], position["entry_signal_at"]
            count = close_position(
                position, self.account, row, reason, signal_at, at, self._intents, count
            )
        return self._requests(count)

    def sum_equity(self) -> None:
        """Cash and values, after positions ended without a bar."""
        self.account["equity"] = self.account["cash"] + self.account["net_value"]

    def margin_call(self, at: int) -> list[OrderRequest]:
        """Close what the margin of the last close does not carry; call it once a session."""
        return self._requests(
            margin_call(self.positions, self.account, self._rules, at, self._intents, 0)
        )

    def mark(self, bars: Records, start: int, stop: int) -> None:
        """Value the symbols of `bars[start:stop]` at their close, in that order."""
        mark_bars(self.positions, self.portfolio.account, self._rules, bars, start, stop)

    def mark_entry(self, bars: Records, place: int) -> None:
        """Value what was entered at the close of `bars[place]`, after its `mark`."""
        mark_entry_at(self.positions, self.portfolio.account, self._rules, bars, place)

    def watch_levels(self, bars: Records) -> None:
        """Where the broker takes no brackets: have positions closed that these bars took to their
        profit, or past their stop.
        """
        bps = self._plan.stop_limit_bps
        if bps is None:
            return
        for bar in bars:
            row = bar["symbol"]
            reason = reason_to_leave(self.positions[row], bar, self._rules[row], bps)
            if reason != NO_REASON:
                self.positions[row]["exit_reason"] = reason

    def check_breakers(self) -> list[tuple[str, float]]:
        """Judge the marked equity; (name, measure) of each breaker that tripped now."""
        account, latches = self.account, ("entries_stopped", "week_stopped", "halted")
        before = {name: int(account[name]) for name in latches}
        judge_equity(self.portfolio.account, self._rules)
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
        return self._requests(
            decide_moment(self.positions, self.portfolio.account, self._rules, bars, self._intents)
        )

    def flatten(self, at: int, end: int) -> list[OrderRequest]:
        """Close whatever is held and not being closed yet."""
        count = 0
        for symbol, position in enumerate(self.positions):
            if position["quantity"] != 0.0 and position["exit_working"] == 0:
                count = close_position(
                    position, self.account, symbol, BY_FLATTEN, at, end, self._intents, count
                )
        return self._requests(count)

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
            self.owners, self.positions, self._rules, strict=True
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
            self._keep_trades(closed)
        # the broker counts in the shares of the day
        self._put_actions_behind(self.positions[symbol], self._plan.date)

    # --- orders -----------------------------------------------------------------------------------

    def in_shares_of_today(self, terms: OrderTerms) -> float:
        """What an order that was decided before the session is for, after the splits since: whole
        shares, or lots of a divisible unit.
        """
        unit = whole_unit(self._rules[self.index[terms.slot]]["lot_size"])
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
        if not put_report(self._report, fact, before, after, self.index, self._factor):
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
            self._put_actions_behind(position, day)
        self._keep_trades(closed)
        return self._requests(count)

    def _take_report(self) -> tuple[int, int]:
        return take_report(
            self.positions, self.portfolio.account, self._rules, self._report, self._intents,
            self._trades,
        )  # fmt: skip

    def _requests(self, count: int) -> list[OrderRequest]:
        """The first `count` intents; the legs of a bracket are one request."""
        requests: list[OrderRequest] = []
        for request in map(self._request, self._intents[:count]):
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
            terms = as_stop_limit(terms, self._rules[intent["symbol"]], bps)
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

    def _keep_trades(self, count: int) -> None:
        self.trades += [trade_row(self.owners, trade) for trade in self._trades[:count]]
