"""One session on one page: what it did, what it holds, and whether it did what the backtest of the
same day did.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import polars as pl

from harmony_pipeline import schemas
from harmony_pipeline.market.instruments import Instruments
from harmony_pipeline.reports import figures
from harmony_pipeline.reports.number_format import with_texts
from harmony_pipeline.reports.page import fixed, fraction, render

_MOST_DIFFERENCES, _MOST_EVENTS = 50, 200


@dataclass(frozen=True)
class DailyReport:
    """Rows of one session, tables as in schemas. divergence None: the comparison was not made;
    empty: nothing to compare. summary: rows (measure, value); opening_equity: what the session
    began with (None: what its first row says).
    """

    day: date
    session_id: str
    orders: pl.DataFrame = field(default_factory=schemas.SESSION_ORDERS.empty)
    fills: pl.DataFrame = field(default_factory=schemas.SESSION_FILLS.empty)
    positions: pl.DataFrame = field(default_factory=schemas.SESSION_POSITIONS.empty)
    equity: pl.DataFrame = field(default_factory=schemas.SESSION_EQUITY.empty)
    events: pl.DataFrame = field(default_factory=schemas.SESSION_EVENTS.empty)
    divergence: pl.DataFrame | None = None
    opening_equity: float | None = None
    summary: pl.DataFrame | None = None
    notes: Sequence[str] = ()
    instruments: Instruments = field(default_factory=Instruments)


def daily_report(inputs: DailyReport) -> str:
    """The page as one string, to be written as UTF-8."""
    instruments, divergence = inputs.instruments, inputs.divergence
    orders = inputs.orders.sort("timestamp", "symbol", "order_id")
    fills = inputs.fills.sort("timestamp", "symbol", "fill_id")
    entry_and_exits = ("entry_price", "last_price", "stop_price", "take_profit_price")
    return render(
        "daily_report.html.j2",
        date=inputs.day,
        session_id=inputs.session_id,
        headline=_headline(inputs),
        summary=[] if inputs.summary is None else inputs.summary.to_dicts(),
        compared=divergence is not None,
        comparison=divergence_line(divergence),
        differences=(
            []
            if divergence is None
            else divergence.filter(~pl.col("equal")).head(_MOST_DIFFERENCES).to_dicts()
        ),
        notes=inputs.notes,
        equity=figures.equity_curve(
            inputs.equity, f"Equity on {inputs.day}", begun_with=inputs.opening_equity
        ),
        orders=with_texts(orders, instruments, quantities=("quantity",)).to_dicts(),
        fills=with_texts(
            fills,
            instruments,
            prices=("price", "slippage"),
            quantities=("quantity",),
            money=("fee",),
        ).to_dicts(),
        positions=with_texts(
            inputs.positions.sort("symbol"),
            instruments,
            prices=entry_and_exits,
            quantities=("quantity",),
        ).to_dicts(),
        events=inputs.events.sort("sequence").tail(_MOST_EVENTS).to_dicts(),
        event_counts=inputs.events["kind"]
        .value_counts()
        .sort(["count", "kind"], descending=[True, False])
        .to_dicts(),
        event_total=inputs.events.height,
    )


def divergence_line(divergence: pl.DataFrame | None) -> str:
    """One sentence for logs, pages and metadata."""
    if divergence is None:
        return "Not compared with a backtest."
    if divergence.is_empty():
        return "Neither the session nor the backtest of the day did anything."
    different = divergence.filter(~pl.col("equal"))
    if different.is_empty():
        return (
            f"The session did exactly what the backtest did: {divergence.height} orders, fills and"
            " equity rows are equal."
        )
    kinds = different["kind"].value_counts().sort("kind")
    named = ", ".join(
        f"{count} {kind}{'' if count == 1 or kind == 'equity' else 's'}"
        for kind, count in kinds.iter_rows()
    )
    return (
        f"The session differs from the backtest in {different.height} of {divergence.height} rows:"
        f" {named}."
    )


def _headline(inputs: DailyReport) -> list[tuple[str, str, str]]:
    values = inputs.equity.sort("timestamp")["equity"]
    change, deepest = None, None
    if values.len() and (start := inputs.opening_equity or values[0]):
        change = values[-1] / start - 1.0
        deepest = float((values / values.cum_max().clip(start) - 1.0).min())  # type: ignore[arg-type]
    refused = inputs.orders.filter(pl.col("status") == "refused").height
    fees = float(inputs.fills["fee"].sum())
    return [
        (
            "Equity",
            fixed(2)(values[-1] if values.len() else None),
            f"{fraction(2)(change)} since the session began",
        ),
        ("Deepest drawdown", fraction(2)(deepest), "since the session began"),
        ("Orders", f"{inputs.orders.height - refused}", f"{refused} refused"),
        ("Fills", f"{inputs.fills.height}", f"{fixed(2)(fees)} fees"),
    ]
