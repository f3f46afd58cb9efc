"""What a session left behind, as frames and as numbers for a report."""

import json
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import msgspec
import polars as pl

from harmony_pipeline.errors import DataError, NotReady
from harmony_pipeline.execution.lifecycle import Order, Status
from harmony_pipeline.market.multipliers import with_multiplier
from harmony_pipeline.portfolio.sleeves import symbol_of
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.schemas import REAL, TEXT, TIME, WHOLE
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.portfolio_rows import shares_by_symbol
from harmony_pipeline.session.receivables import Receivables

TABLES = (
    "session_orders",
    "session_fills",
    "session_positions",
    "session_equity",
    "session_events",
)
TRADE_COLUMNS: dict[str, Any] = {
    "strategy": TEXT, "symbol": TEXT, "side": TEXT, "quantity": REAL, "entry_timestamp": WHOLE,
    "entry_price": REAL, "exit_timestamp": WHOLE, "exit_price": REAL,
    "exit_reason": TEXT, "fees": REAL, "pnl": REAL, "entry_value": REAL,
}  # fmt: skip
_NOTABLE = (
    "session_started", "session_ended", "risk_state_changed", "stream_stale", "stream_recovered",
    "breaker_tripped", "breaker_rearmed", "kill_switch_pulled",
    "books_reconciled", "books_differed", "position_adopted", "corporate_action_applied",
    "action_settled", "action_written_off",
    "candidate_refused", "rejected", "outcome_unknown", "strategy_stopped",
    "symbols_watched",
)  # fmt: skip


@dataclass(frozen=True)
class SessionResult:
    """One session, read from the ledger. tables: the five `session_*` frames of this session.
    trades: round trips that it closed. closing: what it ended with. receivables: cash of corporate
    actions that the broker has not paid by then.

    closing_statuses: client order id -> status when the session ended. carried: orders of earlier
    sessions that worked when it began, as they stood when it ended. working: every order that
    worked when it ended. strategy: the session's, or its portfolio. strategies: of a portfolio, in
    order; `closing` has a slot for each of them in each symbol.
    """

    session_id: str
    date: date
    account: str
    state: str
    reason: str | None
    tables: dict[str, pl.DataFrame]
    trades: pl.DataFrame
    closing: TradingState
    closing_statuses: dict[str, str]
    carried: tuple[Order, ...] = ()
    working: tuple[Order, ...] = ()
    strategy: str = ""
    strategies: tuple[str, ...] = ()
    receivables: Receivables = field(default_factory=Receivables)

    @property
    def broker_cash(self) -> int:
        """What the broker must have by these books when it has booked every fee, in money units."""
        return self.receivables.broker_cash(int(self.closing.portfolio.account[0]["cash"]))

    @property
    def symbols(self) -> tuple[str, ...]:
        """The session's symbols, sorted."""
        names = self.closing.symbols
        return tuple(sorted({*map(symbol_of, names)})) if self.strategies else names

    @property
    def shares(self) -> dict[str, float]:
        """Signed shares at the end by symbol, of all strategies together."""
        owners = [
            (None, symbol_of(name) if self.strategies else name) for name in self.closing.symbols
        ]
        return shares_by_symbol(owners, self.closing.portfolio.positions)

    @property
    def began_with(self) -> list[Order]:
        """`carried` as those orders stood when the session began: without what it filled of them,
        and before a split of this day.
        """
        split = self.tables["session_events"].filter(pl.col("kind") == "adjusted")
        own = self.fills.group_by("client_order_id").agg(pl.col("quantity").sum(), pl.len())
        filled = {name: (quantity, count) for name, quantity, count in own.iter_rows()}
        found = []
        for order in self.carried:
            quantity, count = filled.get(order.client_order_id, (0.0, 0))
            before = order.filled_quantity - quantity
            kept = order.executions[: len(order.executions) - count]
            is_split = order.client_order_id in set(split["client_order_id"])
            adjusted = None if is_split else order.adjusted_quantity
            found.append(
                msgspec.structs.replace(
                    order, filled_quantity=before, seen_quantity=before, executions=kept,
                    adjusted_quantity=adjusted,
                    status=Status.PARTIALLY_FILLED if before else Status.ACCEPTED,
                )
            )  # fmt: skip
        return found

    @property
    def stopped(self) -> tuple[str, ...]:
        """Strategies that were stopped in the session."""
        events = self.tables["session_events"].filter(pl.col("kind") == "strategy_stopped")
        return tuple(sorted({json.loads(text)["strategy"] for text in events["detail"]}))

    @property
    def orders(self) -> pl.DataFrame:
        """SESSION_ORDERS."""
        return self.tables["session_orders"]

    @property
    def fills(self) -> pl.DataFrame:
        """SESSION_FILLS."""
        return self.tables["session_fills"]

    @property
    def equity(self) -> pl.DataFrame:
        """SESSION_EQUITY."""
        return self.tables["session_equity"]

    def summary(self, multipliers: pl.DataFrame | None = None) -> dict[str, Any]:
        """The day in one line of numbers, money in currency. multipliers: what one unit of each
        symbol is worth (market/multipliers.py); None: its price.
        """
        fills = with_multiplier(self.fills, multipliers)
        units = fills["quantity"] * fills["multiplier"]
        status = self.orders["status"]
        curve = self.equity["equity"]
        return {
            "session_id": self.session_id,
            "date": self.date.isoformat(),
            "outcome": self.state,
            "orders": int((status != "refused").sum()),
            "refused": int((status == "refused").sum()),
            "fills": self.fills.height,
            "trades_closed": self.trades.height,
            "open_positions": self.tables["session_positions"].height,
            "fees": float(self.fills["fee"].sum()),
            "slippage": float((fills["slippage"] * units).sum()),
            "equity": float(curve[-1]) if curve.len() else None,
            "moments": curve.len(),
        }

    def report(self, multipliers: pl.DataFrame | None = None) -> dict[str, Any]:
        """What a page about the day shows: `summary`, and frames `refusals`, `activity`, `trades`,
        `positions`, `equity`, `notable`. multipliers: as for `summary`.

        `notable` are the events that a person should see.
        """
        refusals = (
            self.orders.filter(pl.col("status") == "refused")
            .group_by("reason")
            .len("orders")
            .sort("orders", "reason", descending=[True, False])
        )
        fills = with_multiplier(self.fills, multipliers)
        activity = fills.group_by("symbol").agg(
            fills=pl.len(), bought=(pl.col("quantity").filter(pl.col("side") == "buy")).sum(),
            sold=(pl.col("quantity").filter(pl.col("side") == "sell")).sum(),
            value=(pl.col("price") * pl.col("quantity") * pl.col("multiplier")).sum(),
            fees=pl.col("fee").sum(),
        ).sort("symbol")  # fmt: skip
        events = self.tables["session_events"]
        return {
            "summary": self.summary(multipliers),
            "refusals": refusals,
            "activity": activity,
            "trades": self.trades,
            "positions": self.tables["session_positions"],
            "equity": self.equity,
            "notable": events.filter(pl.col("kind").is_in(list(_NOTABLE))),
        }


def read_session(ledger: Ledger, session_id: str) -> SessionResult:
    """The session as it stands in the ledger. Raises DataError when there is none, NotReady when it
    never got to its first snapshot.
    """
    row = ledger.session(session_id)
    if row is None:
        raise DataError(
            f'there is no session {session_id} in {ledger.place}; `harmony sql "select distinct'
            ' session_id from session_events"` lists them'
        )
    snapshot = ledger.snapshot(session_id)
    if snapshot is None:
        raise NotReady(f"session {session_id} has not begun yet")
    # trades of earlier code have no strategy
    closed = [{"strategy": None, **trade} for trade in snapshot.body["trades"]]
    trades = pl.DataFrame(closed, schema=TRADE_COLUMNS).with_columns(
        pl.col("entry_timestamp", "exit_timestamp").cast(TIME)
    )
    tables = {name: ledger.table(name, session_id=session_id) for name in TABLES}
    carried, working = (
        tuple(msgspec.convert(order, Order) for order in snapshot.body["desk"][name])
        for name in ("carried", "orders")
    )
    closing = TradingState.from_dict(snapshot.body["trading"])
    return SessionResult(
        session_id,
        row.date,
        row.account,
        row.state,
        row.reason,
        tables,
        trades,
        closing,
        ledger.closing_statuses(session_id),
        carried,
        working,
        row.strategy,
        tuple(snapshot.body.get("strategies", ())),
        Receivables.restored(snapshot.body.get("receivables")),
    )
