"""Interactive figures of several backtests beside each other. Each is JSON for the page."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.analytics import Analysis
from harmony_pipeline.analytics.months import MONTHS, monthly_returns
from harmony_pipeline.reports.interactive.figure_style import (
    LEGEND_BELOW,
    PERCENT,
    as_json,
    axis,
    beside,
    blank,
    finite,
    range_buttons,
    times,
    wrapped,
)
from harmony_pipeline.reports.style import FAINT, GAIN, LOSS, MUTED, SERIES

Analyses = Mapping[str, Analysis]
# after Okabe and Ito's, four of Tol's muted scheme (2021), for more strategies than six
_COLOURS = (*SERIES, "#882255", "#999933", "#332288", "#661100")
_FEW_CELLS = 24  # in a row: so many numbers fit into their cells
_MOST_MONTHS = 36
_CAUSES = ("signal", "timing", "cost", "other", "open")
_CAUSE_NAMES = ("signal", "timing", "cost", "dividends and other", "still open")


def colour_of(number: int) -> str:
    """The colour of the strategy with this place in the list."""
    return _COLOURS[number % len(_COLOURS)]


def growth_figure(analyses: Analyses) -> str:
    """Compounded daily return of each strategy and of the market, drawdowns below."""
    figure = blank(560)
    for number, (name, found) in enumerate(analyses.items()):
        moments, colour = times(found.daily["timestamp"]), colour_of(number)
        growth = np.cumprod(1.0 + found.daily["return"].to_numpy()) - 1.0
        figure.add_scatter(
            x=moments, y=growth, name=name, legendgroup=name, line={"color": colour, "width": 1.6},
            hovertemplate="%{y:+.2%}",
        )  # fmt: skip
        figure.add_scatter(
            x=moments, y=found.daily["underwater"].to_numpy(), name=name, legendgroup=name,
            yaxis="y2", showlegend=False, line={"color": colour, "width": 1},
            hovertemplate="%{y:.2%} under",
        )  # fmt: skip
    longest = max(
        (one for one in analyses.values() if one.benchmark is not None),
        key=lambda one: one.daily.height,
        default=None,
    )
    if longest is not None and longest.benchmark is not None:
        market = longest.benchmark
        level = np.cumprod(1.0 + market["return"].to_numpy()) - 1.0
        drawn = [np.cumprod(1.0 + one.daily["return"].to_numpy()) for one in analyses.values()]
        figure.add_scatter(
            x=times(market["timestamp"]), y=level, visible=beside(level, np.concatenate(drawn)),
            name=longest.benchmark_name, line={"color": MUTED, "width": 1.1, "dash": "dot"},
            hovertemplate="%{y:+.2%}",
        )  # fmt: skip
    figure.update_layout(
        legend=LEGEND_BELOW,
        xaxis=axis(showgrid=False, anchor="y2", rangeselector=range_buttons(), type="date"),
        yaxis=axis(domain=[0.36, 1.0], title_text="return since the start", tickformat=PERCENT),
        yaxis2=axis(domain=[0.0, 0.30], title_text="drawdown", tickformat=".0%"),
    )
    return as_json(figure)


def rolling_sharpe_figure(analyses: Analyses) -> str:
    """Sharpe ratio over the window of the analyses."""
    figure = blank(360)
    for number, (name, found) in enumerate(analyses.items()):
        figure.add_scatter(
            x=times(found.rolling["timestamp"]), y=finite(found.rolling["sharpe"]), name=name,
            line={"color": colour_of(number), "width": 1.5}, hovertemplate="%{y:.2f}",
        )  # fmt: skip
    figure.add_hline(y=0.0, line={"color": FAINT, "width": 1})
    figure.update_layout(xaxis=axis(showgrid=False, type="date"))
    return as_json(figure)


def risk_figure(analyses: Analyses) -> str:
    """Annual return against annual volatility."""
    figure = blank(360, hovermode="closest", showlegend=False)
    for number, (name, found) in enumerate(analyses.items()):
        risk, gain = found.figures["annual_volatility"], found.figures["annual_return"]
        if risk is None or gain is None:
            continue
        figure.add_scatter(
            x=[risk], y=[gain], mode="markers+text", text=[name],
            textposition="bottom center" if number % 2 else "top center",
            marker={"color": colour_of(number), "size": 14}, cliponaxis=False,
            hovertemplate=f"{name}<br>volatility %{{x:.1%}}, return %{{y:+.1%}}<extra></extra>",
        )  # fmt: skip
    figure.add_hline(y=0.0, line={"color": FAINT, "width": 1})
    risks = [found.figures["annual_volatility"] or 0.0 for found in analyses.values()]
    reach = [0.0, 1.3 * max(risks)] if max(risks) > 0.0 else None  # room for the names
    figure.update_xaxes(title_text="annual volatility", tickformat=".0%", range=reach)
    figure.update_yaxes(title_text="annual return", tickformat=PERCENT)
    return as_json(figure)


def correlation_figure(analyses: Analyses) -> str:
    """Correlation of daily returns on the sessions that each pair shares."""
    names = list(analyses)
    values = [[_correlation(analyses[one], analyses[other]) for other in names] for one in names]
    figure = blank(130 + 52 * len(names), hovermode="closest")
    figure.add_heatmap(
        x=names, y=names, z=values, zmin=-1.0, zmax=1.0, showscale=False, xgap=3, ygap=3,
        colorscale=[[0.0, LOSS], [0.5, "#ffffff"], [1.0, GAIN]], texttemplate="%{z:.2f}",
        hovertemplate="%{y} and %{x}: %{z:.3f}<extra></extra>", hoverongaps=False,
    )  # fmt: skip
    figure.update_xaxes(
        type="category", side="top", fixedrange=True, tickangle=0, tickvals=names,
        ticktext=[wrapped(name) for name in names],
    )  # fmt: skip
    figure.update_yaxes(type="category", autorange="reversed", fixedrange=True, showgrid=False)
    return as_json(figure)


def period_figure(analyses: Analyses) -> str:
    """One row a strategy, one column a month, or a year where the months would be too many."""
    months = pl.concat(
        monthly_returns(found.daily).with_columns(strategy=pl.lit(name))
        for name, found in analyses.items()
    )
    by_year = shows_years(analyses)
    keys = ["year"] if by_year else ["year", "month"]
    cells = months.group_by("strategy", *keys, maintain_order=True).agg(
        ((1.0 + pl.col("return")).product() - 1.0).alias("return")
    )
    order = cells.select(keys).unique().sort(keys).rows()
    known = {(name, tuple(key)): value for name, *key, value in cells.iter_rows()}
    values = np.array([finite([known.get((name, key)) for key in order]) for name in analyses])
    values = values.reshape(len(analyses), len(order))
    sizes = np.abs(values[np.isfinite(values)])
    reach = float(sizes.max()) if sizes.size and sizes.max() > 0.0 else 1.0
    labels = [str(key[0]) if by_year else f"{MONTHS[key[1] - 1]}<br>{key[0]}" for key in order]
    figure = blank(110 + 38 * len(analyses), hovermode="closest")
    figure.add_heatmap(
        x=labels, y=list(analyses), z=values, zmin=-reach, zmax=reach, showscale=False, xgap=2,
        ygap=2, colorscale=[[0.0, LOSS], [0.5, "#ffffff"], [1.0, GAIN]], hoverongaps=False,
        texttemplate="%{z:+.1%}" if len(order) <= _FEW_CELLS else None,
        textfont={"size": 10.5 if len(order) <= 18 else 9},
        hovertemplate="%{y}, %{x}: %{z:+.2%}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(type="category", fixedrange=True)
    if len(order) <= _FEW_CELLS:
        figure.update_xaxes(tickangle=0, nticks=len(order))
    figure.update_yaxes(type="category", autorange="reversed", fixedrange=True, showgrid=False)
    return as_json(figure)


def shows_years(analyses: Analyses) -> bool:
    """Whether the comparison shows years because the months would be too many."""
    counts = (monthly_returns(found.daily).height for found in analyses.values())
    return max(counts, default=0) > _MOST_MONTHS


def cause_figure(analyses: Analyses) -> str:
    """What the signal would have earned on paper, and what became of it."""
    figure = blank(360, barmode="relative", hovermode="x unified")
    colours = (GAIN, "#56B4E9", LOSS, "#CC79A7", FAINT)
    for cause, heading, colour in zip(_CAUSES, _CAUSE_NAMES, colours, strict=True):
        values = [found.causes[cause] for found in analyses.values()]
        if any(abs(value) >= 0.005 for value in values):
            figure.add_bar(
                x=list(analyses), y=values, name=heading, marker={"color": colour},
                hovertemplate="%{y:+,.0f}",
            )  # fmt: skip
    totals = [float(sum(found.causes.values())) for found in analyses.values()]
    figure.add_scatter(
        x=list(analyses), y=totals, name="result", mode="markers",
        marker={"color": "#1f2933", "size": 10, "symbol": "diamond"}, hovertemplate="%{y:+,.0f}",
    )  # fmt: skip
    names = list(analyses)
    figure.update_xaxes(
        type="category", tickangle=0, tickvals=names, ticktext=[wrapped(name) for name in names]
    )
    figure.update_yaxes(title_text="currency", tickformat="~s", zeroline=True, zerolinecolor=FAINT)
    return as_json(figure)


def _correlation(one: Analysis, other: Analysis) -> Any:
    both = one.daily.join(other.daily, on="timestamp", how="inner", suffix="_other")
    mine, theirs = both["return"].to_numpy(), both["return_other"].to_numpy()
    if len(mine) < 2 or not (np.ptp(mine) > 0.0 and np.ptp(theirs) > 0.0):
        return None
    return float(np.corrcoef(mine, theirs)[0, 1])
