"""Why a session differs from the backtest of its day, row by row.

    data     the session heard other bars: another number of them in a moment, or other marks
    reject   the broker or a limit said no to an order that the backtest filled or left working
    signal   an order that only one side decided, or with other terms
    timing   the same execution in another bar
    fill     another price or quantity of an execution, or another end of an order
    fee      the same execution with another fee

What differs in equity follows from the latest difference before it, where there is one.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

_REFUSALS = ("rejected", "refused")
_OUTCOMES = ("status", "reason")
_MARKS = "equity"


def with_causes(
    divergence: pl.DataFrame, heard: Mapping[datetime, int], known: Mapping[datetime, int]
) -> pl.DataFrame:
    """The rows of DIVERGENCE that differ, by time, with `cause`. heard, known: bars in each moment
    as the session heard them and as the lake has them.
    """
    different = divergence.filter(~pl.col("equal")).with_columns(
        last=(pl.col("kind") == _MARKS).cast(pl.Int8)
    )
    # a mark of a moment comes after the orders and fills that led to it
    different = different.sort("timestamp", "last", "symbol", "kind", "key").drop("last")
    other_bars = sorted(at for at in {*heard, *known} if heard.get(at, 0) != known.get(at, 0))
    orders = _by_key(divergence, "order")
    fills = _fills_of(divergence)
    causes: list[str] = []
    latest: str | None = None
    for row in different.iter_rows(named=True):
        if other_bars and other_bars[0] <= row["timestamp"] and latest in (None, "data"):
            cause = "data"
        elif row["kind"] == "order":
            cause = _of_order(*_sides(row))
        elif row["kind"] == "fill":
            cause = _of_fill(row, orders, fills)
        else:
            cause = latest or "data"
        causes.append(cause)
        latest = cause if row["kind"] != _MARKS or latest is None else latest
    return different.with_columns(cause=pl.Series(causes, dtype=pl.String))


def first_cause(rows: pl.DataFrame) -> str | None:
    """The cause of the earliest difference of `with_causes`; None when there is none."""
    return None if rows.is_empty() else str(rows["cause"][0])


def bars_heard(events: pl.DataFrame) -> dict[datetime, int]:
    """Bars of each moment as a session wrote them; `events` is SESSION_EVENTS."""
    rows = events.filter(pl.col("kind") == "bars_received").select("timestamp", "detail")
    return {at: int(json.loads(detail)["bars"]) for at, detail in rows.iter_rows()}


def _of_order(live: dict[str, Any] | None, tested: dict[str, Any] | None) -> str:
    if live is not None and live["status"] in _REFUSALS:
        if tested is None or tested["status"] not in _REFUSALS:
            return "reject"
    elif tested is not None and tested["status"] in _REFUSALS and live is not None:
        return "reject"
    if live is None or tested is None:
        return "signal"
    terms = [name for name in live if live[name] != tested[name] and name not in _OUTCOMES]
    return "signal" if terms else "fill"


def _of_fill(
    row: Mapping[str, Any],
    orders: Mapping[str, Mapping[str, Any]],
    fills: Mapping[str, tuple[int, int]],
) -> str:
    live, tested = _sides(row)
    order_id = str(row["key"]).rsplit("@", 1)[0]
    if live is None or tested is None:
        order = orders.get(order_id)
        if order is not None and not order["equal"]:
            cause = _of_order(*_sides(order))
            if cause != "fill":
                return cause
        here, there = fills[order_id]
        return "timing" if here and there else "fill"
    different = {name for name in live if live[name] != tested[name]}
    return "fee" if different == {"fee"} else "fill"


def _sides(row: Mapping[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    live, tested = (
        None if row[side] is None else json.loads(row[side]) for side in ("live", "backtest")
    )
    return live, tested


def _by_key(divergence: pl.DataFrame, kind: str) -> dict[str, dict[str, Any]]:
    rows = divergence.filter(pl.col("kind") == kind)
    return {row["key"]: row for row in rows.iter_rows(named=True)}


def _fills_of(divergence: pl.DataFrame) -> dict[str, tuple[int, int]]:
    """Order id -> its executions in the session and in the backtest."""
    counts = (
        divergence.filter(pl.col("kind") == "fill")
        .with_columns(order_id=pl.col("key").str.replace(r"@[^@]*$", ""))
        .group_by("order_id")
        .agg(pl.col("live").count(), pl.col("backtest").count().alias("tested"))
    )
    return {name: (live, tested) for name, live, tested in counts.iter_rows()}
