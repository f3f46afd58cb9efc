"""Interactive figures of one backtest, from its `Analysis`. Each is JSON for the page."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.analytics import Analysis
from harmony_pipeline.analytics.benchmark import aligned
from harmony_pipeline.analytics.months import MONTHS
from harmony_pipeline.reports.interactive.figure_style import (
    LEGEND_BELOW,
    PERCENT,
    as_json,
    axis,
    beside,
    blank,
    finite,
    range_buttons,
    rows_shown,
    times,
)
from harmony_pipeline.reports.style import (
    ACCENT,
    FAINT,
    GAIN,
    GREEN,
    INK,
    LOSS,
    MUTED,
    ORANGE,
    PAPER,
)

_MOST_POINTS = 4_500  # of a curve
_DEEPEST = 5  # drawdowns that are shaded
_DIVERGING = [[0.0, LOSS], [0.5, "#ffffff"], [1.0, GAIN]]
_CAUSE_NAMES = {
    "signal": "signal",
    "timing": "timing",
    "cost": "cost",
    "other": "dividends<br>and other",
    "open": "still open",
}


def equity_figure(found: Analysis, equity: pl.DataFrame, initial_cash: float) -> str:
    """Equity beside the benchmark, drawdown and exposure below it, on one axis of time."""
    rows = equity.sort("timestamp")
    shown = rows[rows_shown(rows["equity"], _MOST_POINTS)]
    moments = times(shown["timestamp"])
    figure = blank(640)
    figure.add_scatter(
        x=moments, y=shown["equity"].to_numpy(), name="equity", hovertemplate="%{y:,.0f}",
        line={"color": ACCENT, "width": 1.6},
    )  # fmt: skip
    if found.benchmark is not None:
        both = aligned(found.daily, found.benchmark)
        level = initial_cash * np.cumprod(1.0 + both["benchmark"].to_numpy())
        figure.add_scatter(
            x=_evening(both), y=level, name=found.benchmark_name,
            visible=beside(level, shown["equity"].to_numpy()),
            line={"color": MUTED, "width": 1.1, "dash": "dot"}, hovertemplate="%{y:,.0f}",
        )  # fmt: skip
    under = shown["drawdown"].to_numpy()
    figure.add_scatter(
        x=moments, y=under, name="drawdown", yaxis="y2", fill="tozeroy", showlegend=False,
        line={"color": LOSS, "width": 1}, hovertemplate="%{y:.2%}",
    )  # fmt: skip
    for name, colour in (("gross exposure", GREEN), ("net exposure", ORANGE)):
        days = _daily_exposure(rows, name.replace(" ", "_"))
        figure.add_scatter(
            x=times(days["timestamp"]), y=finite(days["share"]), name=name, yaxis="y3",
            line={"color": colour, "width": 1}, hovertemplate="%{y:.0%}",
        )  # fmt: skip
    figure.update_layout(
        xaxis=axis(showgrid=False, anchor="y3", rangeselector=range_buttons(), type="date"),
        yaxis=axis(domain=[0.44, 1.0], title_text="equity, currency", tickformat="~s"),
        yaxis2=axis(domain=[0.22, 0.39], title_text="drawdown", tickformat=".0%"),
        yaxis3=axis(domain=[0.0, 0.17], title_text="exposure", tickformat=".0%"),
        shapes=_drawdown_shades(found),
        legend=LEGEND_BELOW,
    )
    return as_json(figure)


def rolling_figure(found: Analysis) -> str:
    """Sharpe ratio, volatility and beta over the window of the analysis."""
    table = found.rolling
    moments = times(table["timestamp"])
    figure = blank(480)
    rows = (
        ("sharpe", "Sharpe ratio", "y", ACCENT, ".2f", found.figures["sharpe"]),
        ("volatility", "volatility", "y2", ORANGE, ".1%", found.figures["annual_volatility"]),
        ("beta", "beta", "y3", GREEN, ".2f", found.figures["beta"]),
    )
    for name, heading, place, colour, pattern, overall in rows:
        figure.add_scatter(
            x=moments, y=finite(table[name]), name=heading, yaxis=place,
            line={"color": colour, "width": 1.5}, hovertemplate=f"%{{y:{pattern}}}",
        )  # fmt: skip
        if overall is not None:
            figure.add_shape(
                type="line", xref="paper", x0=0.0, x1=1.0, yref=place, y0=overall, y1=overall,
                line={"color": colour, "width": 1, "dash": "dot"}, layer="below",
            )  # fmt: skip
    figure.update_layout(
        showlegend=False,
        xaxis=axis(showgrid=False, anchor="y3", type="date"),
        yaxis=axis(domain=[0.70, 1.0], title_text="Sharpe ratio"),
        yaxis2=axis(domain=[0.36, 0.64], title_text="volatility", tickformat=".0%"),
        yaxis3=axis(domain=[0.0, 0.30], title_text="beta"),
    )
    return as_json(figure)


def monthly_figure(found: Analysis) -> str:
    """Months by year, the year's total in a column of its own."""
    table = found.months.sort("year", descending=True)
    columns = [*MONTHS, "total"]
    values = np.array([finite(row) for row in table.select(columns).iter_rows()])
    values = values.reshape(table.height, len(columns))
    reach = _largest(values)
    years = [str(year) for year in table["year"]]
    text = [["" if np.isnan(cell) else f"{cell:+.1%}" for cell in row] for row in values]
    figure = blank(max(176, 100 + 38 * table.height), hovermode="closest")
    figure.update_layout(margin={"t": 60})  # names of the months below the tools, not behind them
    figure.add_heatmap(
        x=[*MONTHS, "year"], y=years, z=values, text=text, texttemplate="%{text}",
        colorscale=_DIVERGING, zmin=-reach, zmax=reach, showscale=False, xgap=3, ygap=3,
        hovertemplate="%{x} %{y}: %{z:+.2%}<extra></extra>", hoverongaps=False,
    )  # fmt: skip
    figure.update_xaxes(side="top", fixedrange=True)
    figure.update_yaxes(type="category", autorange="reversed", fixedrange=True, showgrid=False)
    return as_json(figure)


def daily_return_figure(found: Analysis) -> str:
    """How often which daily return, with value at risk and the mean beyond it."""
    values = found.daily["return"].to_numpy()
    figure = blank(320, hovermode="x")
    figure.add_histogram(
        x=values, nbinsx=60, marker={"color": ACCENT, "line": {"color": "#fff", "width": 1}},
        hovertemplate="%{x}: %{y} days<extra></extra>",
    )  # fmt: skip
    for name, label, height in (
        ("value_at_risk", "value at risk 5%", 1.0),
        ("conditional_value_at_risk", "mean of the worst 5%", 0.86),
    ):
        value = found.figures[name]
        if value is not None:
            figure.add_vline(x=value, line={"color": LOSS, "width": 1.4, "dash": "dot"})
            figure.add_annotation(
                x=value, y=height, yref="paper", xanchor="right", yanchor="top", showarrow=False,
                text=f"{label} {value:.2%}", font={"color": LOSS, "size": 11.5}, bgcolor=PAPER,
            )  # fmt: skip
    figure.update_xaxes(tickformat=PERCENT, title_text="daily return")
    figure.update_yaxes(title_text="days")
    return as_json(figure)


def trade_figure(found: Analysis, numbers: Mapping[str, int]) -> str:
    """Each closed trade's return by its exit, gains and losses apart; a click opens the trade.
    numbers: place in the page's list by trade_id, of those that are there.
    """
    closed = found.trades.sort("exit_timestamp", "trade_id")
    figure = blank(340, hovermode="closest")
    for name, mask, colour in (
        ("gain", pl.col("pnl") > 0.0, GAIN),
        ("loss", pl.col("pnl") <= 0.0, LOSS),
    ):
        rows = closed.filter(mask)
        words = rows.select(
            pl.concat_str(
                "symbol", pl.lit(" "), "side", pl.lit(", "), "exit_reason", ignore_nulls=True
            )
        ).to_series()
        figure.add_scattergl(
            x=times(rows["exit_timestamp"]), y=rows["return"].to_numpy(), mode="markers", name=name,
            marker={"color": colour, "size": 6, "opacity": 0.6}, text=words.to_list(),
            customdata=[numbers.get(trade, -1) for trade in rows["trade_id"]],
            hovertemplate="%{text}<br>%{x}: %{y:+.2%}<extra></extra>",
        )  # fmt: skip
    figure.add_hline(y=0.0, line={"color": FAINT, "width": 1})
    figure.update_xaxes(type="date")
    figure.update_yaxes(tickformat=PERCENT, title_text="return of the trade")
    return as_json(figure)


def cause_figure(found: Analysis) -> str:
    """From the signal on paper to what was earned."""
    names = [name for name in _CAUSE_NAMES if abs(found.causes.get(name, 0.0)) >= 0.005]
    values = [found.causes[name] for name in names]
    total = float(sum(found.causes.values()))
    figure = blank(340, hovermode="closest")
    figure.add_waterfall(
        x=[*(_CAUSE_NAMES[name] for name in names), "result"],
        y=[*values, total],
        measure=[*["relative"] * len(names), "total"],
        text=[f"{value:+,.0f}" for value in (*values, total)],
        textposition="outside",
        cliponaxis=False,
        increasing={"marker": {"color": GAIN}},
        decreasing={"marker": {"color": LOSS}},
        totals={"marker": {"color": INK}},
        connector={"line": {"color": FAINT, "width": 1}},
        hovertemplate="%{x}: %{text}<extra></extra>",
    )
    figure.update_xaxes(type="category", tickangle=0)
    figure.update_yaxes(title_text="currency", tickformat="~s")
    return as_json(figure)


def symbol_figure(found: Analysis, most: int = 40) -> str:
    """Result by symbol, the largest gains and losses."""
    table = found.by_symbol
    if table.height > most:
        table = pl.concat([table.head(most // 2), table.tail(most // 2)])
    values = table["pnl"].to_numpy()
    figure = blank(340, hovermode="closest")
    figure.add_bar(
        x=table["symbol"].to_list(), y=values,
        marker={"color": [GAIN if value > 0.0 else LOSS for value in values]},
        customdata=table.select("trades", "win_rate").rows(),
        hovertemplate=(
            "%{x}: %{y:+,.0f}<br>%{customdata[0]} trades, %{customdata[1]:.0%} won<extra></extra>"
        ),
    )  # fmt: skip
    figure.update_yaxes(title_text="result, currency", tickformat="~s")
    figure.update_xaxes(type="category")
    return as_json(figure)


def _daily_exposure(equity: pl.DataFrame, column: str) -> pl.DataFrame:
    """Columns timestamp, share: the mean of an exposure over equity of each UTC day, at its last
    bar.
    """
    share = pl.when(pl.col("equity") > 0.0).then(pl.col(column) / pl.col("equity"))
    return equity.group_by(pl.col("timestamp").dt.date().alias("day"), maintain_order=True).agg(
        pl.col("timestamp").last(), share=share.mean()
    )


def _drawdown_shades(found: Analysis) -> list[dict[str, Any]]:
    """The deepest drawdowns behind the equity, from peak to recovery."""
    if found.daily.is_empty():
        return []
    first, last = found.daily["timestamp"][0], found.daily["timestamp"][-1]
    return [
        {
            "type": "rect", "xref": "x", "yref": "y domain", "y0": 0, "y1": 1, "layer": "below",
            "x0": (row["peak"] or first).strftime("%Y-%m-%d"),
            "x1": (row["recovered"] or last).strftime("%Y-%m-%d"),
            "fillcolor": LOSS, "opacity": 0.06, "line": {"width": 0},
        }
        for row in found.drawdowns.head(_DEEPEST).iter_rows(named=True)
    ]  # fmt: skip


def _evening(daily: pl.DataFrame) -> Any:
    """Session dates as instants near their close, so that they lie beside the last bar."""
    return times(daily["timestamp"].dt.offset_by("20h"))


def _largest(values: Any) -> float:
    """Reach of a scale that is the same on both sides of zero."""
    sizes = np.abs(values[np.isfinite(values)])
    return float(sizes.max()) if sizes.size and sizes.max() > 0.0 else 1.0
