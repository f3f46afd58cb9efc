"""The end of a session's day in one table: profit, fills, slippage against the model, latency,
discrepancies, and how far it went from the backtest and why.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import polars as pl

from harmony_pipeline.market.multipliers import with_multiplier
from harmony_pipeline.portfolio.kernel_types import MONEY
from harmony_pipeline.schemas import WHOLE
from harmony_pipeline.session.divergence import by_strategy
from harmony_pipeline.session.divergence_causes import bars_heard, first_cause, with_causes
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.text import duration

SUMMARY = {"measure": pl.String(), "value": pl.String()}
_UNANSWERED = "not compared"


def day_summary(
    session: SessionResult,
    opening_equity: float | None,
    divergence: pl.DataFrame | None,
    known_bars: Mapping[datetime, int],
    multipliers: pl.DataFrame | None = None,
) -> pl.DataFrame:
    """Rows (measure, value). divergence: DIVERGENCE of this session, None when it was not compared;
    known_bars: bars in each moment as the lake has them; multipliers: as for
    `SessionResult.summary`.
    """
    rows = [
        *_money(session, opening_equity),
        *_executions(session, divergence, multipliers),
        *_latency(session.tables["session_events"]),
        *_discrepancies(session.tables["session_events"]),
        *_unpaid(session),
        *_comparison(session.tables["session_events"], divergence, known_bars),
        *_of_members(session, divergence),
    ]
    return pl.DataFrame(rows, schema=SUMMARY, orient="row")


def _of_members(session: SessionResult, divergence: pl.DataFrame | None) -> list[tuple[str, str]]:
    """What each strategy of a portfolio did, and how far it went from its part of the backtest."""
    if not session.strategies:
        return []
    none = pl.DataFrame(schema={"strategy": pl.String(), "rows": WHOLE, "different": WHOLE})
    compared = none if divergence is None else by_strategy(divergence)
    differing = {name: (rows, count) for name, rows, count in compared.iter_rows()}
    found = []
    for name in session.strategies:
        closed = session.trades.filter(pl.col("strategy") == name)
        fills = session.fills.filter(pl.col("strategy") == name)
        told = f"{fills.height} fills, {float(closed['pnl'].sum()):,.2f} in {closed.height} trades"
        if name in session.stopped:
            told += ", stopped"
        rows, count = differing.get(name, (0, 0))
        told += f"; {count} of {rows} rows differ" if divergence is not None else ""
        found.append((f"- {name}", told))
    return found


def _money(session: SessionResult, opening: float | None) -> list[tuple[str, str]]:
    curve, trades = session.equity.sort("timestamp")["equity"], session.trades
    change = None if opening is None or curve.is_empty() else float(curve[-1]) - opening
    return [
        ("profit and loss", "-" if change is None else f"{change:,.2f}"),
        ("of it in closed trades", f"{float(trades['pnl'].sum()):,.2f} in {trades.height}"),
        ("equity at the end", "-" if curve.is_empty() else f"{float(curve[-1]):,.2f}"),
    ]


def _executions(
    session: SessionResult, divergence: pl.DataFrame | None, multipliers: pl.DataFrame | None
) -> list[tuple[str, str]]:
    fills = session.fills
    slippage = session.summary(multipliers)["slippage"]
    rows = [
        ("orders", f"{session.orders.height} decided, {_refused(session)} refused"),
        ("fills", f"{fills.height}"),
        ("fees", f"{float(fills['fee'].sum()):,.2f}"),
        ("slippage", f"{slippage:,.2f}"),
    ]
    if divergence is None:
        return [*rows, ("slippage against the model", _UNANSWERED)]
    worse, matched = slippage_against_model(divergence, multipliers)
    return [*rows, ("slippage against the model", f"{worse:+,.2f} in {matched} matched fills")]


def _refused(session: SessionResult) -> int:
    return session.orders.filter(pl.col("status") == "refused").height


def slippage_against_model(
    divergence: pl.DataFrame, multipliers: pl.DataFrame | None = None
) -> tuple[float, int]:
    """How much more the session paid than the backtest for the same executions, in currency, and
    in how many; what only one side executed is not counted.
    """
    both = divergence.filter(
        (pl.col("kind") == "fill") & pl.col("live").is_not_null() & pl.col("backtest").is_not_null()
    )
    worse = 0.0
    units = with_multiplier(both, multipliers).select("live", "backtest", "multiplier")
    for here, there, multiplier in units.iter_rows():
        live, tested = json.loads(here), json.loads(there)
        side = 1.0 if live["side"] == "buy" else -1.0
        quantity = min(live["quantity"], tested["quantity"])
        worse += side * (live["price"] - tested["price"]) * quantity * multiplier
    return worse, both.height


def latencies(events: pl.DataFrame) -> pl.DataFrame:
    """Milliseconds of each order from its decision to the broker's answer (`sent`), and from there
    to its first execution (`executed`; null: none).
    """
    times = events.filter(pl.col("client_order_id").is_not_null()).select(
        "client_order_id", "kind", "known_at"
    )

    def first(kinds: tuple[str, ...]) -> pl.Expr:
        return pl.col("known_at").filter(pl.col("kind").is_in(list(kinds))).min()

    found = times.group_by("client_order_id").agg(
        decided=first(("intent",)),
        answered=first(("submitted", "accepted", "rejected", "outcome_unknown")),
        executed_at=first(("filled", "partially_filled")),
    )
    return (
        found.filter(pl.col("decided").is_not_null() & pl.col("answered").is_not_null())
        .select(
            "client_order_id",
            sent=(pl.col("answered") - pl.col("decided")).dt.total_microseconds() / 1000.0,
            executed=(pl.col("executed_at") - pl.col("answered")).dt.total_microseconds() / 1000.0,
        )
        .sort("client_order_id")
    )


def _latency(events: pl.DataFrame) -> list[tuple[str, str]]:
    found = latencies(events)
    return [
        (f"decision to {word}", _quantiles(found[name].drop_nulls()))
        for name, word in (("sent", "answer"), ("executed", "execution, after the answer"))
    ]


def _quantiles(values: pl.Series) -> str:
    if values.is_empty():
        return "-"
    levels = (duration(values.quantile(level, "linear") or 0.0) for level in (0.5, 0.95, 1.0))
    return "median {}, 95 % {}, longest {}".format(*levels)


def _discrepancies(events: pl.DataFrame) -> list[tuple[str, str]]:
    details = [
        json.loads(text) for text in events.filter(pl.col("kind") == "books_differed")["detail"]
    ]
    opening = [
        sentence
        for text in events.filter(pl.col("kind") == "books_reconciled")["detail"]
        for sentence in json.loads(text)["differences"]
    ]
    rows = [("discrepancies", str(len(details) + len(opening)))]
    rows += [
        (f"- {found['subject']}, {found['rule']}", str(found["sentence"])) for found in details
    ]
    return [*rows, *(("- halted trading", sentence) for sentence in opening)]


def _unpaid(session: SessionResult) -> list[tuple[str, str]]:
    """Cash of corporate actions that the broker has not paid."""
    owed = session.receivables
    if not owed.open:
        return []
    rows = [
        (f"- {item.symbol}, {item.action} of {item.date}", f"{item.amount / MONEY:,.2f}")
        for item in owed.open
    ]
    return [("not paid by the broker yet", f"{owed.pending / MONEY:,.2f}"), *rows]


def _comparison(
    events: pl.DataFrame, divergence: pl.DataFrame | None, known: Mapping[datetime, int]
) -> list[tuple[str, Any]]:
    if divergence is None:
        return [("divergence from the backtest", _UNANSWERED)]
    rows = with_causes(divergence, bars_heard(events), known)
    if rows.is_empty():
        return [("divergence from the backtest", f"none in {divergence.height} rows")]
    counts = rows["cause"].value_counts().sort(["count", "cause"], descending=[True, False])
    named = ", ".join(f"{cause} {count}" for cause, count in counts.iter_rows())
    first = rows.row(0, named=True)
    return [
        ("divergence from the backtest", f"{rows.height} of {divergence.height} rows: {named}"),
        ("its cause", f"{first_cause(rows)}, at {first['kind']} {first['key']}"),
    ]
