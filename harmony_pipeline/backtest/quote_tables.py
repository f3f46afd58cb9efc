"""What a backtest on quotes leaves in the public tables, in the words of the other backtests.

An order is named by its book, symbol, side and number, since many may be decided in one second, and
a round trip by its number. A row of `equity` is the account at the end of a minute of regular hours
in which a quote came or something was filled. The life of an order is that of the matching engine
(execution/lifecycle_table.py), with the risk engine's answer after the intent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl

from harmony_pipeline import schemas
from harmony_pipeline.backtest.logs import APPLICATIONS, DAYS, EQUITIES, TRADES, Curve, cut_curve
from harmony_pipeline.backtest.metrics import run_metrics, session_returns
from harmony_pipeline.backtest.quote_books import QuoteBooks
from harmony_pipeline.backtest.quote_orders import SentOrder
from harmony_pipeline.backtest.round_trip_log import ROUND_TRIP
from harmony_pipeline.backtest.simulator import backtest_row
from harmony_pipeline.backtest.table_columns import RunLabel
from harmony_pipeline.backtest.tables import (
    equity_table,
    position_actions_table,
    trade_rows,
)
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.multipliers import contract_multipliers
from harmony_pipeline.portfolio.kernel_types import (
    APPROVE,
    MONEY,
    NO_REASON,
    QUEUE,
    REASON_NAMES,
    RESIZE,
    VERDICT_NAMES,
)
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.schemas import REAL, TEXT, TIME, WHOLE

TIMEFRAME = "1Min"  # of the rows of `equity`
_NO_TRIPS = np.empty(0, ROUND_TRIP)  # those are made by the loop over bars alone
_VERDICTS = {APPROVE: "approved", RESIZE: "resized", QUEUE: "queued"}
_ORDER_ROW = {
    "order_id": TEXT, "parent_id": TEXT, "symbol": TEXT, "timestamp": TIME, "side": TEXT,
    "quantity": REAL, "kind": TEXT, "limit_price": REAL, "time_in_force": TEXT, "reason": TEXT,
    "verdict": TEXT, "risk_limit": TEXT, "wanted_quantity": REAL,
}  # fmt: skip
_EVENT_ROW = {
    "order_id": TEXT, "symbol": TEXT, "timestamp": TIME, "known_at": TIME, "event": TEXT,
    "from_status": TEXT, "to_status": TEXT, "quantity": REAL, "price": REAL, "reason": TEXT,
    "rank": WHOLE,
}  # fmt: skip


@dataclass(frozen=True)
class QuoteTables:
    """The tables of one run, each made when it is asked for. `fills` and `lifecycle` are those of
    the engine; `span` the first and the last moment of the tape, where there is one.
    """

    sent: Sequence[SentOrder]
    lifecycle: pl.DataFrame
    fills: pl.DataFrame
    state: TradingState
    books: QuoteBooks
    rules: TradingRules
    calendar: Calendar
    label: RunLabel
    span: tuple[int, int] | None

    @cached_property
    def orders_table(self) -> pl.DataFrame:
        """schemas.ORDERS."""
        ends = self.lifecycle.group_by("order_id").agg(
            last=pl.col("to_status").last(),
            filled=pl.col("event").is_in(["filled", "partially_filled"]).any(),
            refused_for=pl.col("reason").filter(pl.col("event") == "refused").first(),
        )
        rows = pl.DataFrame(
            [_order_row(order) for order in self.sent], schema=_ORDER_ROW, orient="row"
        ).join(ends, on="order_id", how="left", maintain_order="left")
        part = pl.when("filled").then(pl.lit("partially_filled"))
        status = (
            pl.when(pl.col("last").is_in(["filled", "rejected", "refused"]))
            .then("last")
            .when(pl.col("last").is_in(["canceled", "expired"]))
            .then(part.otherwise(pl.lit("canceled")))
            .otherwise(part.otherwise(pl.lit("open")))
        )
        return schemas.ORDERS.conform(
            self._named(
                rows.with_columns(
                    status=status,
                    reason=pl.coalesce("refused_for", "reason"),
                    signal_timestamp=pl.lit(None, TIME),
                    stop_price=pl.lit(None, REAL),
                    model_id=pl.lit(None, TEXT),
                )
            )
        )

    def table(self) -> pl.DataFrame:
        """schemas.ORDER_EVENTS, as a BacktestResult asks for it."""
        return self.order_events

    @cached_property
    def order_events(self) -> pl.DataFrame:
        """schemas.ORDER_EVENTS."""
        judged = [order for order in self.sent if order.verdict.quantity > 0.0]
        answers = pl.DataFrame(
            [row for order in judged for row in _answer_rows(order)],
            schema=_EVENT_ROW,
            orient="row",
        )
        ours = pl.col("order_id").is_in(answers["order_id"].unique().implode())
        engine = self.lifecycle.filter(~(ours & (pl.col("event") == "intent")))
        rank = pl.int_range(pl.len(), dtype=WHOLE).over("order_id")  # in order already
        life = engine.select(*list(_EVENT_ROW)[:-1]).with_columns(rank=rank)
        # what the engine has of these orders comes after the intent
        life = life.with_columns(
            from_status=pl.when(ours & (pl.col("rank") == 0))
            .then(pl.lit("intended"))
            .otherwise("from_status")
        )
        rows = pl.concat([answers, life]).sort("order_id", "rank", maintain_order=True)
        table = rows.with_columns(
            sequence=pl.int_range(1, pl.len() + 1, dtype=WHOLE).over("order_id"),
            backtest_id=pl.lit(self.label.backtest_id),
        )
        return schemas.ORDER_EVENTS.conform(table.drop("rank"))

    @cached_property
    def fills_table(self) -> pl.DataFrame:
        """schemas.FILLS."""
        return schemas.FILLS.conform(self._named(self.fills))

    @cached_property
    def trades(self) -> pl.DataFrame:
        """schemas.TRADES: a round trip goes from flat to flat, or to the other side."""
        log = self.books.trade_log[: self.books.at[TRADES]]
        return trade_rows(log, _NO_TRIPS, self.state, self.label, numbered=True).table()

    @cached_property
    def position_actions(self) -> pl.DataFrame:
        """schemas.POSITION_ACTIONS."""
        log = self.books.applied_log[: self.books.at[APPLICATIONS]]
        return position_actions_table(log, self.state, self.label)

    @cached_property
    def equity(self) -> pl.DataFrame:
        """schemas.EQUITY."""
        return equity_table(self._curve, self.label)

    @cached_property
    def metrics(self) -> dict[str, float | None]:
        """Every name of `schemas.METRICS`."""
        daily = session_returns(self._curve.day_equity / MONEY, self.rules.initial_cash)
        worth = contract_multipliers(
            self.rules.instruments, self.state.symbols, self.calendar, TIMEFRAME
        )
        year, cash = self.calendar.sessions_per_year, self.rules.initial_cash
        return run_metrics(self.equity, self.fills_table, self.trades, daily, year, cash, worth)

    @cached_property
    def row(self) -> pl.DataFrame:
        """The row of schemas.BACKTESTS."""
        start, end = self.span or (0, 0)
        cash = self.rules.initial_cash
        return backtest_row(self.label, start, end, cash, self.rules, self.metrics)

    @cached_property
    def _curve(self) -> Curve:
        at, curve = self.books.at, self.books.curve
        return cut_curve(curve, curve.at[: at[EQUITIES]], int(at[DAYS]))

    def _named(self, table: pl.DataFrame) -> pl.DataFrame:
        return table.with_columns(
            backtest_id=pl.lit(self.label.backtest_id),
            strategy=pl.lit(self.label.strategy or None, TEXT),
        )


def _order_row(order: SentOrder) -> tuple[object, ...]:
    ticket, verdict = order.ticket, order.verdict
    refused = verdict.answer > 0 and verdict.quantity == 0.0
    return (
        ticket.order_id, order.parent, ticket.symbol, order.decided_at,
        "buy" if ticket.side > 0 else "sell", 0.0 if refused else ticket.quantity, ticket.kind,
        ticket.limit_price, ticket.time_in_force,
        REASON_NAMES[order.ended_for or order.reason] or None,
        VERDICT_NAMES[verdict.answer] or None, REASON_NAMES[verdict.reason] or None,
        verdict.wanted if verdict.wanted > 0.0 else None,
    )  # fmt: skip


def _answer_rows(order: SentOrder) -> list[tuple[object, ...]]:
    """The intent, and what the risk engine has answered."""
    ticket, verdict, at = order.ticket, order.verdict, order.decided_at
    why = REASON_NAMES[verdict.reason] if verdict.reason != NO_REASON else None
    intent = (
        ticket.order_id, ticket.symbol, at, at, "intent", None, "intended", verdict.wanted,
        ticket.limit_price, None, -2,
    )  # fmt: skip
    answer = (
        ticket.order_id, ticket.symbol, at, at, _VERDICTS[verdict.answer], "intended", "intended",
        ticket.quantity, ticket.limit_price, why, -1,
    )  # fmt: skip
    return [intent, answer]
