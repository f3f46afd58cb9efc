"""Strategies beside each other on one interactive page."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from harmony_pipeline.analytics import DEFINITIONS, Analysis
from harmony_pipeline.analytics.analysis import by_strategy
from harmony_pipeline.reports.interactive import comparison_charts as charts
from harmony_pipeline.reports.interactive.document import figure_text, interactive_page, rows_of

_HEADLINES = (
    "total_return", "annual_return", "annual_volatility", "sharpe", "sortino", "max_drawdown",
    "trades", "win_rate", "profit_factor", "beta", "alpha",
)  # fmt: skip


def comparison_page(
    analyses: Mapping[str, Analysis], pages: Mapping[str, str] | None = None
) -> str:
    """The page as one string. pages: address of each strategy's own page. Raises ValueError without
    a strategy.
    """
    if not analyses:
        raise ValueError("a comparison needs a strategy with a backtest")
    known = {name: found for name, found in analyses.items() if found.daily.height}
    shown = {
        "growth": charts.growth_figure, "periods": charts.period_figure,
        "rolling": charts.rolling_sharpe_figure, "risk": charts.risk_figure,
        "correlation": charts.correlation_figure, "causes": charts.cause_figure,
    }  # fmt: skip
    starts = [found.daily["timestamp"][0] for found in known.values()]
    ends = [found.daily["timestamp"][-1] for found in known.values()]
    return interactive_page(
        "interactive_comparison.html.j2",
        start=min(starts, default=None),
        end=max(ends, default=None),
        window=next(iter(analyses.values())).window,
        benchmark=next(iter(analyses.values())).benchmark_name,
        attributed=rows_of(by_strategy(analyses)),
        figures={name: draw(known) for name, draw in shown.items()} if known else {},
        summary=[_summary(name, found, pages or {}) for name, found in analyses.items()],
        headlines=[one for one in DEFINITIONS if one.name in _HEADLINES],
        names=list(analyses),
        by_year=charts.shows_years(known),
        groups=_all_figures(analyses),
        regimes=_regimes(analyses),
    )


def _summary(name: str, found: Analysis, pages: Mapping[str, str]) -> dict[str, Any]:
    return {
        "strategy": name,
        "page": pages.get(name),
        "cells": {
            one.name: (figure_text(one, found.figures[one.name]), found.figures[one.name])
            for one in DEFINITIONS
            if one.name in _HEADLINES
        },
    }


def _all_figures(analyses: Mapping[str, Analysis]) -> list[dict[str, Any]]:
    """Every figure that some strategy has, one row a figure and one column a strategy."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in DEFINITIONS:
        values = [found.figures[one.name] for found in analyses.values()]
        if any(value is not None for value in values):
            groups.setdefault(one.group, []).append(
                {
                    "heading": one.heading,
                    "meaning": f"{one.formula}{f' ({one.source})' if one.source else ''}",
                    "values": [figure_text(one, value) for value in values],
                }
            )
    return [{"name": name, "rows": rows} for name, rows in groups.items()]


def _regimes(analyses: Mapping[str, Analysis]) -> list[dict[str, Any]]:
    """Sharpe ratio and days by regime, one column a strategy."""
    tables = [found.regimes for found in analyses.values() if found.regimes is not None]
    if not tables:
        return []
    every = pl.concat(tables)
    keys = every.select("trend", "volatility").unique().sort("trend", "volatility")
    cells = {
        (row["strategy"], row["trend"], row["volatility"]): row
        for row in every.iter_rows(named=True)
    }
    return [
        {
            "trend": trend,
            "volatility": volatility,
            "cells": [cells.get((name, trend, volatility)) for name in analyses],
        }
        for trend, volatility in keys.iter_rows()
    ]
