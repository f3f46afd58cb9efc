"""An interactive page as one string: the template, its data, and plotly.js once."""

from functools import cache
from typing import Any

import polars as pl

from harmony_pipeline.analytics import DEFINITIONS, Definition
from harmony_pipeline.reports.page import fixed, fraction, render, share

_SIGNED = {
    "total_return", "annual_return", "max_drawdown", "average_drawdown", "value_at_risk",
    "conditional_value_at_risk", "best_day", "worst_day", "best_month", "worst_month",
    "average_trade_return", "best_trade", "worst_trade", "mean_net_exposure", "benchmark_return",
    "alpha",
}  # fmt: skip
_PLACES = {
    "currency": 2,
    "count": 0,
    "sessions": 0,
    "ratio": 2,
    "bps": 2,
    "hours": 1,
    "per year": 1,
}


def interactive_page(template: str, **values: object) -> str:
    """The page that `template` makes of `values`, with plotly.js in it."""
    return render(template, plotly_js=_plotly_js(), **values)


@cache
def _plotly_js() -> str:
    from plotly.offline import get_plotlyjs

    text: str = get_plotlyjs()
    # inside a script element nothing else could end it
    return text.replace("</script", "<\\/script")


def figure_text(definition: Definition, value: float | None) -> str:
    """A figure in its unit."""
    if definition.unit == "fraction":
        write = fraction(2) if definition.name in _SIGNED else share(2)
        return write(value)
    if definition.name == "capacity":
        return fixed(0)(value)
    return fixed(_PLACES[definition.unit])(value)


def figure_groups(figures: dict[str, float | None]) -> list[dict[str, Any]]:
    """The figures by group, each with its text and meaning; a group without any figure is left
    out.
    """
    groups: dict[str, list[dict[str, Any]]] = {}
    for one in DEFINITIONS:
        source = f" ({one.source})" if one.source else ""
        groups.setdefault(one.group, []).append(
            {
                "heading": one.heading,
                "value": figure_text(one, figures[one.name]),
                "meaning": f"{one.formula}{source}",
                "known": figures[one.name] is not None,
            }
        )
    return [
        {"name": name, "rows": rows}
        for name, rows in groups.items()
        if any(row["known"] for row in rows)
    ]


def rows_of(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table for the template."""
    return frame.to_dicts()
