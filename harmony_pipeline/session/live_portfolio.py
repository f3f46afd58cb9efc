"""The session's own portfolio: the compiled kernels of portfolio/decisions.py, spoken to in events instead of records.

The law: no rule lives here. Facts become REPORT records, intents become `OrderTerms`, and between them run the very functions that the backtest loops over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harmony_pipeline.backtest.lives import (
    cancel_working,
    carry_over,
    delisting_price,
    dividend_unseen,
    end_symbol,
    is_presumed_gone,
    pay_out,
    split_unseen,
)
from harmony_pipeline.execution import events as ev
from harmony_pipeline.execution.events import AnyOrderFact, OrderTerms, micros, moment
from harmony_pipeline.execution.lifecycle import Order, Status
from harmony_pipeline.execution.order_ids import intent_name, order_id
from harmony_pipeline.portfolio.decisions import (
    INTENTS_A_DECISION,
    INTENTS_A_REPORT,
    PortfolioState,
    apply_dividend,
    apply_report,
    apply_split,
    close_position,
    decide,
    dividend_share,
    mark,
)
from harmony_pipeline.portfolio.kernel_types import (
    BAR,
    BY_FLATTEN,
    BY_UNPROTECTED,
    CANCEL,
    CANCELED,
    ENTRY,
    EXIT,
    EXPIRE,
    FILL,
    MONEY,
    NO_MODEL,
    NO_SIGNAL,
    ORDER,
    ORDER_OPEN,
    REASON_NAMES,
    REFUSED,
    REJECT,
    REPORT,
    ROLE_NAMES,
    STOP,
    TAKE,
    TRADE,
    Record,
    Records,
    records,
)
from harmony_pipeline.risk.breakers import check_breakers, open_session
from harmony_pipeline.session.plan import SessionPlan, client_order_id
from harmony_pipeline.session.stream import Batch, SessionBar

_EPOCH_DAY = 719_163  # date(1970, 1, 1).toordinal()
_KINDS = {ENTRY: "market", EXIT: "market", STOP: "stop", TAKE: "limit"}
_TIMES_IN_FORCE = {ENTRY: "ioc", EXIT: "gtc", STOP: "gtc", TAKE: "gtc"}  # an entry lives for one open; what closes a position lives until it has


@dataclass(frozen=True)
class OrderRequest:
    """One thing that the portfolio wants: an order placed, an order recorded as refused, or the working order of a role canceled."""

    kind: int  # OPEN, REFUSED or CANCELED of portfolio/kernel_types.py
    symbol: str
    role: str
    terms: OrderTerms | None  # None for a cancel
    reason: str | None = None  # of a cancel: why the symbol has ended
    other: OrderTerms | None = None  # the second leg of a bracket, placed together with the first


class LivePortfolio:
    """Positions and account, changed only by what happens in the methods below. One owner."""

    def __init__(self, plan: SessionPlan, portfolio: PortfolioState) -> None:
        self._plan = plan
        self.portfolio = portfolio.copy()
        self.symbols = portfolio.symbols
        self.index = {symbol: row for row, symbol in enumerate(self.symbols)}
        self._rules = plan.rules.records(self.symbols, plan.date)
        self._factor = np.array([plan.factors.get(symbol, 1.0) for symbol in self.symbols])
        self._intents = records(INTENTS_A_DECISION * len(self.symbols) + INTENTS_A_REPORT, ORDER)
        self._trades = records(2, TRADE)
        self._report = records(1, REPORT)
        self.trades: list[dict[str, Any]] = []

    @property
    def positions(self) -> Records:
        """POSITION records by symbol index."""
        return self.portfolio.positions

    @property
    def account(self) -> Record:
        """The ACCOUNT record."""
        return self.portfolio.account[0]

    # --- bars ---------------------------------------------------------------------------------------------------------

    def bar_records(self, bars: Sequence[SessionBar]) -> Records:
        """BAR records of regular bars in symbol order, without signals yet."""
        table = records(len(bars), BAR)
        for row, bar in zip(table, sorted(bars, key=lambda bar: self.index[bar.symbol]), strict=True):
            row["at"], row["end"], row["date"] = micros(bar.start), micros(bar.end), bar.session_date.toordinal() - _EPOCH_DAY
            row["open"], row["high"], row["low"], row["close"] = bar.open, bar.high, bar.low, bar.close
            row["volume"], row["factor"], row["symbol"] = bar.volume, bar.factor, self.index[bar.symbol]
            row["signal"], row["model"], row["probability"] = NO_SIGNAL, NO_MODEL, np.nan
        return table

    def put_signal(self, row: Record, side: int | None, strength: float, volatility: float, probability: float, model_id: str | None) -> None:
        """Write what the strategy wants into a BAR record."""
        row["signal"] = NO_SIGNAL if side is None else side
        row["strength"], row["volatility"], row["probability"] = strength, volatility, probability
        row["model"] = self.portfolio.models.index(model_id) if model_id is not None else NO_MODEL

    def open_session(self, date: int) -> bool:
        """Call first at every timestamp; whether a session begins with it."""
        begins = date > int(self.account["date"])
        open_session(self.account, date)
        return begins

    def see_factors(self, bars: Sequence[SessionBar]) -> None:
        """Remember the adjustment factor of each symbol's newest bar, extended hours too: fills that come now happened at it."""
        for bar in bars:
            self._factor[self.index[bar.symbol]] = bar.factor

    @property
    def factors(self) -> dict[str, float]:
        """Newest adjustment factor by symbol."""
        return dict(zip(self.symbols, self._factor.tolist(), strict=True))

    def restore_factors(self, saved: Mapping[str, float]) -> None:
        """The inverse of `factors`."""
        self._factor[:] = [saved[symbol] for symbol in self.symbols]

    def last_date(self, symbol: int) -> int:
        """Date of the symbol's last marked bar, days since 1970."""
        return int(self.positions[symbol]["last_date"])

    def dividend(self, symbol: int, value: float) -> None:
        """Cash for the shares held."""
        apply_dividend(self.positions[symbol], self.account, self._rules[symbol], value)

    def split(self, ratio: float, row: Record) -> None:
        """New shares for old ones before the bar's open."""
        symbol, account = row["symbol"], self.account
        self._keep_trades(apply_split(self.positions[symbol], account, self._rules[symbol], ratio, row["open"], symbol, row["at"], self._trades, 0))

    def dividend_share(self, symbol: int, value: float) -> float:
        """A dividend as a part of the last price."""
        return float(dividend_share(self.positions[symbol], value))

    # --- lives of securities (backtest/lives.py) ------------------------------------------------------------------------

    def end_symbol(self, life: Record) -> None:
        """Nothing is entered any more under a symbol that ended."""
        end_symbol(self.positions, life)

    def cancel_working(self, symbol: int, reason: int, at: int) -> list[OrderRequest]:
        """Cancel whatever works for the symbol."""
        return self._requests(cancel_working(self.positions[symbol], symbol, reason, at, self._intents, 0))

    def working(self, symbol: int) -> tuple[int, int]:
        """Whether an exit and whether a bracket works for the symbol."""
        return int(self.positions[symbol]["exit_working"]), int(self.positions[symbol]["legs_working"])

    def has_levels(self, symbol: int) -> bool:
        """Whether a bracket should protect what is held, whether or not one works."""
        position = self.positions[symbol]
        leaves = position["exit_reason"] != 0 or position["exit_working"] == 1
        return bool(not leaves and (position["stop_level"] != 0.0 or position["take_level"] != 0.0))

    def held(self, symbol: int) -> float:
        """Signed shares."""
        return float(self.positions[symbol]["quantity"])

    def split_unseen(self, symbol: int, ratio: float, at: int) -> None:
        """A split of a symbol that has had no bar since."""
        position, rules = self.positions[symbol], self._rules[symbol]
        self._keep_trades(split_unseen(position, self.account, rules, ratio, symbol, at, self._trades, 0))

    def dividend_unseen(self, symbol: int, value: float) -> None:
        """A dividend of a symbol that has had no bar since."""
        dividend_unseen(self.positions[symbol], self.account, self._rules[symbol], value)

    def unseen_bar(self, symbol: int, batch: Batch) -> Record:
        """A BAR record at the last price, for a symbol that has none of its own."""
        row = records(1, BAR)[0]
        row["symbol"], row["at"], row["end"], row["open"] = symbol, micros(batch.start), micros(batch.end), self.positions[symbol]["last_price"]
        return row

    def delisting_price(self, symbol: int, stated: float) -> float:
        """What a share of a delisted security is paid."""
        return float(delisting_price(self.positions[symbol], self._rules[symbol], stated))

    def pay_out(self, symbol: int, price: float, reason: int, at: int) -> None:
        """End the position in cash."""
        position, rules = self.positions[symbol], self._rules[symbol]
        self._keep_trades(pay_out(position, self.account, rules, price, reason, symbol, at, self._trades, 0))

    def carry_over(self, old: int, new: int, day: int, at: int, exit_worked: int, legs_worked: int) -> list[OrderRequest]:
        """Hold under the new symbol what was held under the old one."""
        return self._requests(carry_over(self.positions, self.account, old, new, day, at, exit_worked, legs_worked, self._intents, 0))

    def is_presumed_gone(self, symbol: int) -> bool:
        """Count one more session that begins without a bar; whether that is too many."""
        return bool(is_presumed_gone(self.positions[symbol], self._rules[symbol]))

    def sum_equity(self) -> None:
        """Cash and values, after positions ended without a bar."""
        self.account["equity"] = self.account["cash"] + self.account["net_value"]

    def mark(self, row: Record) -> None:
        """Value the bar's symbol at its close."""
        mark(self.positions[row["symbol"]], self.account, self._rules[row["symbol"]], row)

    def check_breakers(self) -> list[tuple[str, float]]:
        """Judge the marked equity; (name, measure) of each breaker that tripped now."""
        before = int(self.account["entries_stopped"]), int(self.account["halted"])
        check_breakers(self._rules[0], self.account)
        account = self.account
        tripped = []
        if account["entries_stopped"] and not before[0]:
            tripped.append(("max_daily_loss", float(account["equity"] / account["day_equity"] - 1.0)))
        if account["halted"] and not before[1]:
            tripped.append(("max_drawdown", float(account["equity"] / account["peak"] - 1.0)))
        return tripped

    def decide(self, bars: Records) -> list[OrderRequest]:
        """Everything wanted at the end of these bars, in the order in which it must be sent."""
        return self._requests(decide(self.positions, self.account, self._rules, bars, 0, len(bars), self._intents, 0))

    def flatten(self, at: int, end: int) -> list[OrderRequest]:
        """Close whatever is held and not being closed yet."""
        count = 0
        for symbol, position in enumerate(self.positions):
            if position["quantity"] != 0.0 and position["exit_working"] == 0:
                count = close_position(position, self.account, symbol, BY_FLATTEN, at, end, self._intents, count)
        return self._requests(count)

    def distrust(self, symbol: str) -> None:
        """Close a position whose bracket was taken away at the next decision."""
        position = self.positions[self.index[symbol]]
        if position["quantity"] != 0.0 and position["exit_reason"] == 0:
            position["exit_reason"] = BY_UNPROTECTED

    # --- orders -------------------------------------------------------------------------------------------------------

    def apply_fact(self, fact: AnyOrderFact, before: Order, after: Order) -> list[OrderRequest]:
        """Take in what became of an order; the answer is the bracket of an entry that is done."""
        report = self._as_report(fact, before, after)
        if report is None:
            return []
        count, closed = apply_report(self.positions, self.account, self._rules[report["symbol"]], report, self._intents, 0, self._trades, 0)
        self._keep_trades(closed)
        return self._requests(count)

    def _as_report(self, fact: AnyOrderFact, before: Order, after: Order) -> Record | None:
        """The REPORT of a fact that concerns the portfolio, else None.

        An order that ended is closed once everything that it executed was seen; an execution that comes after that closes it again, which is harmless.
        """
        kinds = {ev.OrderCanceled: CANCEL, ev.OrderReplaced: CANCEL, ev.OrderExpired: EXPIRE, ev.OrderRejected: REJECT, ev.OrderRefused: REJECT}
        kind = FILL if isinstance(fact, ev.OrderPartiallyFilled) else kinds.get(type(fact))
        if kind is None or (kind != FILL and not before.is_open):
            return None
        terms, report = after.terms, self._report[0]
        symbol = self.index[terms.symbol]
        self._report[:] = np.zeros(1, REPORT)
        report["kind"], report["symbol"], report["role"] = kind, symbol, ROLE_NAMES.index(terms.role)
        report["side"] = 1 if terms.side == "buy" else -1
        report["at"], report["decided_at"], report["number"] = micros(fact.happened_at), micros(terms.decided_at), len(after.executions)
        complete = after.seen_quantity >= after.filled_quantity - 1e-9
        report["closed"] = int(not after.is_open and complete and after.status is not Status.REPLACED)
        if isinstance(fact, ev.OrderPartiallyFilled):
            report["quantity"], report["price"], report["factor"] = fact.quantity, fact.price, self._factor[symbol]
            report["reference"] = fact.price if fact.reference_price is None else fact.reference_price
            report["fee"], report["slippage"], report["maker"] = money(fact.fee), fact.slippage, int(fact.liquidity == "maker")
        return report

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
        symbol, role = self.symbols[intent["symbol"]], int(intent["role"])
        if intent["status"] == CANCELED:
            return OrderRequest(CANCELED, symbol, ROLE_NAMES[role], None, REASON_NAMES[intent["reason"]] or None)
        entry_at = moment(intent["entry_at"])
        decided_at = moment(intent["decided_at"])
        name = intent_name(symbol, decided_at, ROLE_NAMES[role])
        is_leg, opened_as = role in (STOP, TAKE), self.symbols[intent["entry_symbol"]]
        terms = OrderTerms(
            client_order_id=client_order_id(self._plan.session_id, name),
            order_id=order_id(self._plan.account, name),
            symbol=symbol,
            role=ROLE_NAMES[role],  # type: ignore[arg-type]
            side="buy" if intent["side"] > 0 else "sell",
            quantity=float(intent["quantity"]),
            kind=_KINDS[role],  # type: ignore[arg-type]
            limit_price=float(intent["level"]) if role == TAKE else None,
            stop_price=float(intent["level"]) if role == STOP else None,
            time_in_force=_TIMES_IN_FORCE[role],  # type: ignore[arg-type]
            parent_id=None if role == ENTRY else order_id(self._plan.account, intent_name(opened_as, entry_at, "entry")),
            signal_timestamp=moment(intent["signal_at"]),
            decided_at=decided_at,
            reason=REASON_NAMES[intent["reason"]] or None,
            model_id=None if intent["model"] == NO_MODEL else self.portfolio.models[intent["model"]],
            after_exit=bool(intent["after_exit"]),
            volatility=float(intent["volatility"]),
            entry_decided_at=entry_at,
            entry_bar=moment(intent["since"]) if is_leg else None,
            entry_factor=float(intent["factor"]) if is_leg else 1.0,
            entry_symbol=opened_as if opened_as != symbol else None,
        )
        return OrderRequest(REFUSED if intent["status"] == REFUSED else ORDER_OPEN, symbol, ROLE_NAMES[role], terms)

    # --- what is kept -------------------------------------------------------------------------------------------------

    def equity_row(self) -> dict[str, Any]:
        """The account at this moment, in money units."""
        account = self.account
        equity, peak = int(account["equity"]), int(account["peak"])
        return {
            "equity": equity,
            "cash": int(account["cash"]),
            "gross": int(account["gross_value"]),
            "net": int(account["net_value"]),
            "drawdown": equity / peak - 1.0,
        }

    def position_rows(self) -> list[dict[str, Any]]:
        """What is held: the columns of `session_positions`; levels as raw prices of the entry bar."""
        rows = []
        for symbol, position in zip(self.symbols, self.positions, strict=True):
            if position["quantity"] != 0.0:
                protected = bool(position["legs_working"])
                rows.append(
                    {
                        "symbol": symbol,
                        "quantity": float(position["quantity"]),
                        "entry_price": float(position["entry_price"]),
                        "last_price": float(position["last_price"]),
                        "stop_price": float(position["stop_level"]) if protected else None,
                        "take_profit_price": float(position["take_level"]) if protected else None,
                    }
                )
        return rows

    def shares(self) -> Mapping[str, float]:
        """Signed shares of every position."""
        return {symbol: float(position["quantity"]) for symbol, position in zip(self.symbols, self.positions, strict=True) if position["quantity"] != 0.0}

    def _keep_trades(self, count: int) -> None:
        for trade in self._trades[:count]:
            self.trades.append(
                {
                    "symbol": self.symbols[trade["symbol"]],
                    "side": "long" if trade["side"] > 0 else "short",
                    "quantity": float(trade["quantity"]),
                    "entry_timestamp": int(trade["entry_bar"]),
                    "entry_price": float(trade["entry_price"]),
                    "exit_timestamp": int(trade["exit_bar"]),
                    "exit_price": float(trade["exit_price"]),
                    "exit_reason": REASON_NAMES[trade["exit_reason"]],
                    "fees": int(trade["fees"]) / MONEY,
                    "pnl": int(trade["pnl"]) / MONEY,
                    "entry_value": int(trade["entry_value"]) / MONEY,
                }
            )


def money(amount: float) -> int:
    """Currency as whole money units; exact for amounts that were whole before."""
    return round(amount * MONEY)
