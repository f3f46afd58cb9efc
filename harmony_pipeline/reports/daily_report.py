"""One session on one page: what it did, what it holds, and whether it did what the backtest of the same day did."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from harmony_pipeline import schemas
from harmony_pipeline.market.instruments import Instruments
from harmony_pipeline.reports import figures
from harmony_pipeline.reports.page import Cell, clock, fixed, folded, fraction, frame_table, page, section, text, tiles, verdict, words
from harmony_pipeline.reports.prices import with_texts

_MOST_EVENTS = 200


@dataclass(frozen=True)
class DailyReport:
    """Rows of one session, tables as in schemas. divergence None: the comparison was not made; empty: nothing to compare."""

    day: date
    session_id: str
    orders: pl.DataFrame = field(default_factory=schemas.SESSION_ORDERS.empty)
    fills: pl.DataFrame = field(default_factory=schemas.SESSION_FILLS.empty)
    positions: pl.DataFrame = field(default_factory=schemas.SESSION_POSITIONS.empty)
    equity: pl.DataFrame = field(default_factory=schemas.SESSION_EQUITY.empty)
    events: pl.DataFrame = field(default_factory=schemas.SESSION_EVENTS.empty)
    divergence: pl.DataFrame | None = None
    notes: Sequence[str] = ()
    instruments: Instruments = field(default_factory=Instruments)


def daily_report(inputs: DailyReport) -> str:
    """The page as one string, to be written as UTF-8."""
    parts = [
        _headline(inputs),
        section("Forward test against backtest", *_divergence(inputs.divergence)),
        section("Notes", *(f"<p>{text(note)}</p>" for note in inputs.notes)),
        section("Equity of the day", figures.as_img(figures.equity_curve(inputs.equity, f"Equity on {inputs.day}"), "equity of the session")),
        _orders(inputs.orders, inputs.instruments),
        _fills(inputs.fills, inputs.instruments),
        _positions(inputs.positions, inputs.instruments),
        _events(inputs.events),
    ]
    return page(f"Session of {inputs.day}", [f"session {inputs.session_id}; all times UTC"], parts)


def divergence_line(divergence: pl.DataFrame | None) -> str:
    """One sentence for logs, pages and metadata."""
    if divergence is None:
        return "Not compared with a backtest."
    if divergence.is_empty():
        return "Neither the session nor the backtest of the day did anything."
    different = divergence.filter(~pl.col("equal"))
    if different.is_empty():
        return f"The session did exactly what the backtest did: {divergence.height} orders, fills and equity rows are equal."
    kinds = different["kind"].value_counts().sort("kind")
    named = ", ".join(f"{count} {kind}{'' if count == 1 or kind == 'equity' else 's'}" for kind, count in kinds.iter_rows())
    return f"The session differs from the backtest in {different.height} of {divergence.height} rows: {named}."


def _headline(inputs: DailyReport) -> str:
    values = inputs.equity.sort("timestamp")["equity"]
    change = values[-1] / values[0] - 1.0 if values.len() and values[0] else None
    deepest = None
    if values.len():
        deepest = float((values / values.cum_max() - 1.0).min())  # type: ignore[arg-type]
    refused = inputs.orders.filter(pl.col("status") == "refused").height
    fees = float(inputs.fills["fee"].sum())
    return tiles(
        [
            ("Equity", fixed(2)(values[-1] if values.len() else None), f"{fraction(2)(change)} since the first bar"),
            ("Deepest drawdown", fraction(2)(deepest), "since the session began"),
            ("Orders", f"{inputs.orders.height - refused}", f"{refused} refused"),
            ("Fills", f"{inputs.fills.height}", f"{fixed(2)(fees)} fees"),
        ]
    )


def _divergence(divergence: pl.DataFrame | None) -> list[str]:
    line = divergence_line(divergence)
    if divergence is None:
        return [f'<p class="note">{text(line)}</p>']
    different = divergence.filter(~pl.col("equal"))
    headings = {"timestamp": "time", "kind": "kind", "symbol": "symbol", "live": "session", "backtest": "backtest"}
    rows = frame_table(different.head(50), headings, {"timestamp": clock}, words=("timestamp", "kind", "symbol", "live", "backtest"))
    return [verdict(different.is_empty(), line), rows]


def _orders(orders: pl.DataFrame, instruments: Instruments) -> str:
    headings = {"timestamp": "time", "symbol": "symbol", "side": "side", "quantity": "quantity", "kind": "kind", "status": "status", "reason": "why"}
    cells: dict[str, Cell] = {"timestamp": clock, "reason": words, "status": words}
    shown = with_texts(orders.sort("timestamp", "symbol", "order_id"), instruments, quantities=("quantity",))
    rows = frame_table(shown, headings, cells, words=("timestamp", "symbol", "side", "kind", "status", "reason"))
    return section("Orders", rows or '<p class="note">No orders.</p>')


def _fills(fills: pl.DataFrame, instruments: Instruments) -> str:
    headings = {"timestamp": "time", "symbol": "symbol", "side": "side", "quantity": "quantity", "price": "price", "slippage": "slippage", "fee": "fee"}
    shown = with_texts(fills.sort("timestamp", "symbol", "fill_id"), instruments, prices=("price", "slippage"), quantities=("quantity",), money=("fee",))
    rows = frame_table(shown, headings, {"timestamp": clock}, words=("timestamp", "symbol", "side"))
    return section("Fills", rows or '<p class="note">No fills.</p>')


def _positions(positions: pl.DataFrame, instruments: Instruments) -> str:
    headings = {
        "symbol": "symbol",
        "quantity": "quantity",
        "entry_price": "entry",
        "last_price": "last",
        "stop_price": "stop",
        "take_profit_price": "take profit",
    }
    prices = ("entry_price", "last_price", "stop_price", "take_profit_price")
    shown = with_texts(positions.sort("symbol"), instruments, prices=prices, quantities=("quantity",))
    return section("Positions at the end", frame_table(shown, headings, words=("symbol",)) or '<p class="note">None.</p>')


def _events(events: pl.DataFrame) -> str:
    if events.is_empty():
        return ""
    counts = events["kind"].value_counts().sort(["count", "kind"], descending=[True, False])
    summary = frame_table(counts, {"kind": "event", "count": "times"}, {"kind": words}, words=("kind",))
    latest = events.sort("sequence").tail(_MOST_EVENTS)
    headings = {"sequence": "no.", "timestamp": "time", "kind": "event", "symbol": "symbol", "detail": "detail"}
    rows = frame_table(latest, headings, {"timestamp": clock, "kind": words}, words=("timestamp", "kind", "symbol", "detail"))
    return section("Events", summary, folded(f"the last {latest.height} of {events.height} events", rows))
