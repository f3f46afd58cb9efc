"""How interactive figures look: the palette and the quiet axes of `reports/style.py`, in plotly.

A figure is handed to the page as JSON. Arrays of numbers travel as base64, so that ten years of
bars stay small; times are milliseconds since 1970 in UTC, on axes of type date.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harmony_pipeline.reports.style import FAINT, GRID, INK, MUTED, PAPER

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
PERCENT = "+.1%"
_FLATTENS = 4.0  # times the reach of a curve
_RANGES = ((1, "month", "1m"), (3, "month", "3m"), (6, "month", "6m"), (1, "year", "1y"))


def blank(height: int, **layout: Any) -> Any:
    """A figure without traces."""
    import plotly.graph_objects as go

    chosen: dict[str, Any] = {
        "template": None,
        "height": height,
        "margin": {"l": 64, "r": 20, "t": 34, "b": 36},
        "font": {"family": FONT, "size": 12.5, "color": INK},
        "paper_bgcolor": PAPER,
        "plot_bgcolor": PAPER,
        "hovermode": "x unified",
        "hoversubplots": "axis",
        "hoverlabel": {"bgcolor": PAPER, "bordercolor": FAINT, "font": {"size": 12}},
        "legend": {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0.0, "xanchor": "left"},
        "bargap": 0.12,
        "dragmode": "zoom",
        "xaxis": axis(showgrid=False),
        "yaxis": axis(),
    }
    return go.Figure(layout=chosen | layout)


def axis(**changes: Any) -> dict[str, Any]:
    """Light lines behind the data, quiet labels."""
    return {
        "gridcolor": GRID,
        "zeroline": False,
        "linecolor": FAINT,
        "tickfont": {"color": MUTED, "size": 11.5},
        "title_font": {"color": MUTED, "size": 12},
        "automargin": True,
        **changes,
    }


LEGEND_BELOW = {"orientation": "h", "x": 0.0, "xanchor": "left", "y": -0.07, "yanchor": "top"}


def wrapped(name: str) -> str:
    """The name of a strategy in as many lines as it has words, for narrow places."""
    return name.replace("_", "<br>")


def range_buttons() -> dict[str, Any]:
    """Buttons that show the last month, quarter, half year, year, or everything."""
    buttons: list[dict[str, Any]] = [
        {"count": count, "step": step, "label": label, "stepmode": "backward"}
        for count, step, label in _RANGES
    ]
    return {
        "buttons": [*buttons, {"step": "all", "label": "all"}],
        "x": 0.0,
        "xanchor": "left",
        "y": 1.0,
        "yanchor": "bottom",
        "bgcolor": "#f5f7f8",
        "activecolor": "#dfe5ea",
        "font": {"size": 11},
    }


def times(column: pl.Series) -> Any:
    """UTC instants of a column, for an axis of type date."""
    return column.dt.epoch("ms").cast(pl.Float64).to_numpy()


def rows_shown(values: pl.Series, most: int) -> pl.Series:
    """Row numbers of at most about `most` values that keep every bucket's least, greatest and last
    value: the curve looks the same, extremes are exact.
    """
    count = len(values)
    places = pl.int_range(count, eager=True)
    if count <= most:
        return places
    frame = pl.DataFrame(
        {"place": places, "value": values, "bucket": places * (most // 3) // count}
    )
    kept = frame.group_by("bucket", maintain_order=True).agg(
        pl.col("place").sort_by("value", maintain_order=True).first().alias("least"),
        pl.col("place").sort_by("value", maintain_order=True).last().alias("greatest"),
        pl.col("place").last().alias("last"),
    )
    every = pl.concat([kept["least"], kept["greatest"], kept["last"]])
    return every.unique().sort()


def beside(benchmark: NDArray[np.floating[Any]], drawn: NDArray[np.floating[Any]]) -> Any:
    """Whether a benchmark is drawn at once: where it would flatten what it stands beside, a click
    on its name draws it.
    """
    if not len(benchmark) or not len(drawn):
        return True
    return "legendonly" if np.ptp(benchmark) > _FLATTENS * np.ptp(drawn) else True


def as_json(figure: Any) -> str:
    """The figure as JSON for `Plotly.newPlot`; no text in it can end a script element."""
    text: str = figure.to_json(engine="json")
    return text.replace("<", "\\u003c")


def finite(values: Sequence[float | None] | pl.Series) -> Any:
    """Numbers with NaN where there is none: a gap in the line."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
