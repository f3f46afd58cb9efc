"""Live session against the backtest of the same day: every order, every fill, every equity row,
field by field.

Equal means equal. Numbers are compared as they are stored, bit for bit; there is no tolerance.
Orders are matched by order_id, which the backtest of a day writes as the session's account does,
fills by order and bar, equity by bar. A broker outside stamps an execution with its own time, and
may make several of one order in a bar: they are one fill of the bar in which they happened.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl

from harmony_pipeline.backtest.simulator import BacktestResult
from harmony_pipeline.schemas import DIVERGENCE
from harmony_pipeline.session.ledger_rows import public_reason, public_status
from harmony_pipeline.session.result import SessionResult

ORDER_FIELDS = (
    "parent_id",
    "side",
    "quantity",
    "kind",
    "limit_price",
    "stop_price",
    "time_in_force",
    "signal_timestamp",
    "status",
    "reason",
    "verdict",
    "risk_limit",
    "wanted_quantity",
    "model_id",
)
FILL_FIELDS = ("side", "quantity", "price", "reference_price", "fee", "slippage", "liquidity")
EQUITY_FIELDS = ("equity", "cash", "gross_exposure", "net_exposure", "drawdown")
_NO_SYMBOL = ""  # of equity rows
_ENCODER = json.JSONEncoder(default=str)
# symbol, timestamp, what is compared, whose it is
Row = tuple[str, datetime, dict[str, Any], str | None]


@dataclass(frozen=True)
class Divergence:
    """`table` is DIVERGENCE: one row for each order, fill and equity row of either side."""

    session_id: str
    table: pl.DataFrame

    @property
    def equal(self) -> bool:
        """Whether every row agrees."""
        return bool(self.table["equal"].all())

    def summary(self) -> dict[str, Any]:
        """Rows compared and rows that differ, by kind; and the first difference, if any."""
        numbers: dict[str, Any] = {"equal": self.equal}
        for kind in ("order", "fill", "equity"):
            rows = self.table.filter(pl.col("kind") == kind)
            numbers[f"{kind}s_compared"], numbers[f"{kind}s_different"] = (
                rows.height,
                int((~rows["equal"]).sum()),
            )
        different = self.table.filter(~pl.col("equal")).sort("timestamp", "symbol", "kind", "key")
        whose = by_strategy(self.table)
        if whose.height > 1:
            numbers["rows_different_by_strategy"] = dict(
                whose.select("strategy", "different").iter_rows()
            )
        if different.height:
            first = different.row(0, named=True)
            numbers["first_difference"] = (
                f"{first['kind']} {first['key']}: live {first['live'] or 'absent'}, backtest"
                f" {first['backtest'] or 'absent'}"
            )
        return numbers


def by_strategy(divergence: pl.DataFrame) -> pl.DataFrame:
    """strategy, rows, different: orders and fills of DIVERGENCE, by whose they are."""
    return (
        divergence.filter(pl.col("strategy").is_not_null())
        .group_by("strategy")
        .agg(rows=pl.len(), different=(~pl.col("equal")).sum())
        .sort("strategy")
    )


def compare(session: SessionResult, backtest: BacktestResult) -> Divergence:
    """Both sides of one day. Status and reason of a session's order are those at that session's
    end, since the backtest ends there too.
    """
    reasons = {order.client_order_id: public_reason(order) for order in session.working}
    orders = session.orders.with_columns(
        pl.col("client_order_id")
        .replace_strict(known, default=pl.col(name), return_dtype=pl.String)
        .alias(name)
        for name, known in (("status", session.closing_statuses), ("reason", reasons))
    )
    sides = {
        "order": (_carried(session) | _orders(orders), _orders(backtest.orders)),
        "fill": (
            _fills(_by_bar(session.fills, _bar_starts(session, backtest))),
            _fills(backtest.fills),
        ),
        "equity": (_equity(session.equity), _equity(backtest.equity)),
    }
    rows = [
        row
        for kind, (live, tested) in sides.items()
        for row in _matched(session.session_id, session.date, kind, live, tested)
    ]
    return Divergence(
        session.session_id,
        DIVERGENCE.conform(pl.DataFrame(rows, schema=DIVERGENCE.dtypes, orient="row")),
    )


def _carried(session: SessionResult) -> dict[str, Row]:
    """Orders of earlier sessions that still worked: the backtest shows them again, as they now
    stand.
    """
    rows: dict[str, Row] = {}
    for order in session.carried:
        own = {name: getattr(order.terms, name, None) for name in ORDER_FIELDS}
        fields = {**own, "reason": public_reason(order), "risk_limit": order.terms.limit}
        rows[order.terms.order_id] = (
            order.terms.symbol,
            order.terms.decided_at,
            {
                name: public_status(order) if name == "status" else fields[name]
                for name in ORDER_FIELDS
            },
            order.terms.strategy or session.strategy,
        )
    return rows


def _orders(frame: pl.DataFrame) -> dict[str, Row]:
    return {
        row["order_id"]: (
            row["symbol"],
            row["timestamp"],
            {name: row[name] for name in ORDER_FIELDS},
            row["strategy"],
        )
        for row in frame.iter_rows(named=True)
    }


def _bar_starts(session: SessionResult, backtest: BacktestResult) -> pl.DataFrame:
    """bar: the start of every moment of the day that either side has marked."""
    frames = [frame.select(bar="timestamp") for frame in (session.equity, backtest.equity)]
    return pl.concat(frames).unique().sort("bar")


def _by_bar(fills: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """`fills` stamped with the start of their bar, one for each order and bar: quantity and fee are
    sums, what is a price or of a share is the mean by quantity.
    """
    placed = fills.sort("timestamp", maintain_order=True).join_asof(
        bars, left_on="timestamp", right_on="bar", strategy="backward"
    )
    placed = placed.with_columns(timestamp=pl.coalesce("bar", "timestamp")).drop("bar")
    alone = placed.select("order_id", "timestamp").is_unique()
    if alone.all():
        return placed
    several = (
        placed.filter(~alone)
        .group_by("order_id", "timestamp", maintain_order=True)
        .agg(
            *(_mean(name) for name in ("price", "reference_price", "slippage")),
            pl.col("quantity", "fee").sum(),
            pl.exclude("price", "reference_price", "slippage", "quantity", "fee").first(),
        )
    )
    return pl.concat([placed.filter(alone), several.select(placed.columns)])


def _mean(name: str) -> pl.Expr:
    """By quantity; exactly the one value where all are the same."""
    value, quantity = pl.col(name), pl.col("quantity")
    is_one = value.n_unique() == 1
    return pl.when(is_one).then(value.first()).otherwise((value * quantity).sum() / quantity.sum())


def _fills(frame: pl.DataFrame) -> dict[str, Row]:
    return {
        f"{row['order_id']}@{row['timestamp']:%Y%m%dT%H%M%S}": (
            row["symbol"],
            row["timestamp"],
            {name: row[name] for name in FILL_FIELDS},
            row["strategy"],
        )
        for row in frame.iter_rows(named=True)
    }


def _equity(frame: pl.DataFrame) -> dict[str, Row]:
    return {
        f"{row['timestamp']:%Y%m%dT%H%M%S}": (
            _NO_SYMBOL,
            row["timestamp"],
            {name: row[name] for name in EQUITY_FIELDS},
            None,
        )
        for row in frame.iter_rows(named=True)
    }


def _matched(
    session_id: str, day: date, kind: str, live: Mapping[str, Row], tested: Mapping[str, Row]
) -> list[tuple[Any, ...]]:
    rows = []
    for key in sorted({*live, *tested}):
        here, there = live.get(key), tested.get(key)
        symbol, timestamp, _, strategy = here or there  # type: ignore[misc]
        same = here is not None and there is not None and here[:3] == there[:3]
        both = _text(here), _text(there)
        rows.append((session_id, day, kind, key, symbol, timestamp, *both, same, strategy))
    return rows


def _text(row: Row | None) -> str | None:
    return None if row is None else _ENCODER.encode(row[2])
