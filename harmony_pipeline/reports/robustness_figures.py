"""Pictures of doubt: Monte Carlo, sensitivity, walk-forward folds."""

from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.reports.performance_figures import style_x_grid
from harmony_pipeline.reports.style import (
    ACCENT,
    BLUE,
    FAINT,
    INK,
    MUTED,
    ORANGE,
    VERMILION,
    canvas,
    date_axis,
    empty_figure,
    instants,
    label,
    labels_apart,
    money,
    money_axis,
    percent,
    percent_axis,
    png,
)

_ORDER = (
    "none",
    "shuffle",
    "bootstrap",
    "block_bootstrap",
    "missed",
    "slippage",
    "anomalies",
    "stressed",
)


def monte_carlo_fan(
    fan: pl.DataFrame, title: str = "Monte Carlo", scenario: str = "stressed"
) -> bytes:
    """Bands of one scenario's paths by trade number over the path that was. fan:
    robustness.monte_carlo.MonteCarlo.fan, of this scenario at least.
    """
    bands = fan.filter(pl.col("scenario") == scenario).sort("trade") if fan.width else fan
    if bands.height < 2:
        return empty_figure(title, "No closed trades to resample.")
    was = fan.filter(pl.col("scenario") == "none").sort("trade")
    start = float(bands["p50"][0])
    low, middle, high = (float(bands[name][-1]) for name in ("p05", "p50", "p95"))
    subtitle = (
        f"{scenario.replace('_', ' ')}: in 90% of the paths the end is between"
        f" {percent(low / start - 1.0)} and {percent(high / start - 1.0)}"
    )
    figure, (axes,) = canvas(title, subtitle, 3.9)
    trade = bands["trade"].to_numpy()
    axes.fill_between(
        trade,
        bands["p05"].to_numpy(),
        bands["p95"].to_numpy(),
        color=ACCENT,
        alpha=0.14,
        linewidth=0,
    )
    axes.fill_between(
        trade,
        bands["p25"].to_numpy(),
        bands["p75"].to_numpy(),
        color=ACCENT,
        alpha=0.24,
        linewidth=0,
    )
    axes.plot(trade, bands["p50"].to_numpy(), color=ACCENT, linewidth=1.7)
    axes.axhline(start, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)))
    ends = {"95%": high, "median": middle, "5%": low}
    if was.height:
        axes.plot(was["trade"].to_numpy(), was["p50"].to_numpy(), color=INK, linewidth=1.2)
        ends["as it was"] = float(was["p50"][-1])
    axes.margins(x=0.0)
    bottom, top = axes.get_ylim()
    for (name, value), height in zip(
        ends.items(), labels_apart(list(ends.values()), (top - bottom) * 0.062), strict=True
    ):
        label(
            axes,
            trade[-1],
            height,
            f"{name} {money(value)}",
            INK if name == "as it was" else ACCENT,
            fontweight="bold" if name in {"median", "as it was"} else "normal",
        )
    axes.set_xlabel("closed trades")
    axes.set_ylabel("equity, currency")
    money_axis(axes.yaxis)
    return png(figure)


def monte_carlo_outcomes(
    table: pl.DataFrame, initial_cash: float, title: str = "Monte Carlo outcomes"
) -> bytes:
    """Final return (above) and deepest drawdown (below) of every scenario: 5 to 95 %, 25 to 75 %,
    median. table: schemas.MONTE_CARLO.
    """
    names = (
        [name for name in _ORDER if name in set(table["scenario"].unique().to_list())]
        if table.width
        else []
    )
    if len(names) < 2:
        return empty_figure(title, "No closed trades to resample.")
    figure, rows = canvas(
        title,
        "thin 5% to 95% of the paths, thick 25% to 75%, dot the median; the line is what was",
        0.66 * len(names) + 1.5,
        (1.0, 1.0),
    )
    for axes, column, heading in zip(
        rows, ("final_equity", "max_drawdown"), ("total return", "maximum drawdown"), strict=True
    ):
        for place, name in enumerate(reversed(names)):
            values = table.filter(pl.col("scenario") == name)[column].to_numpy()
            values = values / initial_cash - 1.0 if column == "final_equity" else values
            color = INK if name == "none" else VERMILION if name == "stressed" else ACCENT
            median = _draw_quantiles(axes, place, values, color)
            if name == "none":
                axes.axvline(median, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set_yticks(
            range(len(names)),
            ["as it was" if name == "none" else name.replace("_", " ") for name in reversed(names)],
        )
        axes.set_ylim(-0.6, len(names) - 0.4)
        axes.tick_params(axis="y", labelcolor=INK, labelsize=9.5)
        axes.set_xlabel(heading)
        style_x_grid(axes)
        percent_axis(axes.xaxis)
    return png(figure)


def _draw_quantiles(axes: Any, place: int, values: FloatArray, color: str) -> float:
    """Draw one scenario at the height `place` and return its median: 5 to 95 % as a thin line, 25
    to 75 % as a thick one, the median as a dot.
    """
    p05, p25, p50, p75, p95 = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
    axes.plot(
        [p05, p95],
        [place, place],
        color=color,
        linewidth=1.6,
        alpha=0.55,
        solid_capstyle="round",
    )
    axes.plot(
        [p25, p75],
        [place, place],
        color=color,
        linewidth=5.5,
        alpha=0.75,
        solid_capstyle="butt",
    )
    axes.plot(
        p50,
        place,
        marker="o",
        markersize=6,
        color=color,
        markeredgecolor="white",
        markeredgewidth=0.9,
    )
    return float(p50)


def sensitivity_heatmap(
    table: pl.DataFrame, title: str = "Annualised Sharpe ratio by parameters"
) -> bytes:
    """Annualised Sharpe ratio of every configuration, over the two parameters with most values; the
    rest of the grid is averaged over.

    table: robustness.sensitivity.Stability.table, its parameters being the columns before trial_id.
    """
    known = table.drop_nulls("sharpe") if "sharpe" in table.columns else table.clear()
    if known.is_empty():
        return empty_figure(title, "No trial with a measurable Sharpe ratio.")
    names = table.columns[: table.columns.index("trial_id")]
    names = sorted(
        (name for name in names if known[name].n_unique() > 1),
        key=lambda name: -known[name].n_unique(),
    )
    x, y = ([*names, "", ""])[:2]
    columns, rows, grid = _sharpe_grid(known, x, y)
    averaged = f", averaged over {', '.join(names[2:])}" if len(names) > 2 else ""
    untraded = (
        f", {table.height - known.height} without a measurable Sharpe"
        if table.height > known.height
        else ""
    )
    best = (
        f"{table.height} configurations tried{untraded},"
        f" {known.filter(pl.col('sharpe') > 0.0).height} with a positive Sharpe{averaged}"
    )
    figure, (axes,) = canvas(title, best, max(1.4, 0.62 * len(rows) + 0.8))
    reach = max(float(np.nanmax(np.abs(grid))), 1e-9)
    axes.imshow(grid, cmap=_diverging(), vmin=-reach, vmax=reach, aspect="auto")
    _write_cells(axes, grid, reach)
    axes.set_xticks(range(len(columns)), [_value(value) for value in columns])
    axes.set_yticks(range(len(rows)), [_value(value) for value in rows])
    axes.set_xticks(np.arange(len(columns) - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(len(rows) - 1) + 0.5, minor=True)
    axes.grid(visible=False)
    axes.grid(which="minor", color="white", linewidth=2.0)
    axes.tick_params(which="minor", length=0)
    axes.spines["bottom"].set_visible(False)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    return png(figure)


def _sharpe_grid(known: pl.DataFrame, x: str, y: str) -> tuple[list[Any], list[Any], FloatArray]:
    """The values of parameter `x` (columns) and `y` (rows), and the mean Sharpe ratio of each pair;
    an empty name stands for no parameter.
    """
    columns = known.sort(x)[x].unique(maintain_order=True).to_list() if x else [""]
    rows = known.sort(y)[y].unique(maintain_order=True).to_list() if y else [""]
    grid = np.full((len(rows), len(columns)), np.nan)
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            cell = known.filter(
                (pl.col(x).eq_missing(pl.lit(column)) if x else pl.lit(value=True))
                & (pl.col(y).eq_missing(pl.lit(row)) if y else pl.lit(value=True))
            )
            grid[i, j] = cell["sharpe"].mean() if cell.height else np.nan
    return columns, rows, grid


def _write_cells(axes: Any, grid: FloatArray, reach: float) -> None:
    """Each value in its cell, white where the cell is dark. reach: the largest absolute value."""
    for i, j in np.ndindex(grid.shape):
        if np.isfinite(grid[i, j]):
            strong = abs(grid[i, j]) > 0.62 * reach
            axes.text(
                j,
                i,
                f"{grid[i, j]:.2f}",
                ha="center",
                va="center",
                fontsize=10,
                color="white" if strong else INK,
            )


def _value(value: Any) -> str:
    return "default" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _diverging() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list(
        "loss_gain", [VERMILION, "#f6c9a8", "#f7f7f5", "#a9cfe6", BLUE]
    )


def fold_timeline(
    folds: pl.DataFrame, title: str = "What each period learned from and was tested on"
) -> bytes:
    """One row a retraining period: what it learned from, the embargo, what it was tested on. folds:
    schemas.FOLDS of one horizon.
    """
    rows = folds.sort("test_start", "horizon") if folds.width else folds
    if rows.is_empty():
        return empty_figure(title, "No walk-forward periods yet.")
    horizons = rows["horizon"].unique().sort().to_list()
    trained = rows.filter(pl.col("model_id").is_not_null()).height
    subtitle = (
        f"{rows.height} periods, {trained} with a model; every training outcome was known before"
        " the embargo began"
    )
    figure, (axes,) = canvas(title, subtitle, max(1.5, min(0.3 * rows.height + 1.0, 12.0)))
    starts, ends = instants(rows["test_start"]), instants(rows["test_end"])
    learn, until = instants(rows["train_start"]), instants(rows["train_last_end"])
    for i, row in enumerate(rows.iter_rows(named=True)):
        if row["train_start"] is not None and row["train_last_end"] is not None:
            _bar(axes, i, learn[i], until[i], FAINT)
            _bar(axes, i, until[i], starts[i], ORANGE)
        _bar(axes, i, starts[i], ends[i], ACCENT if row["model_id"] is not None else "#d5dfe6")
    axes.set_ylim(rows.height - 0.4, -1.5)
    axes.set_yticks(
        range(rows.height),
        [
            row["period"] if len(horizons) == 1 else f"{row['period']} / {row['horizon']}"
            for row in rows.iter_rows(named=True)
        ],
    )
    axes.tick_params(axis="y", labelcolor=INK)
    for place, (text, color) in enumerate(
        (
            ("training", MUTED),
            ("embargo", "#9a6a00"),
            ("test", ACCENT),
            ("too little history", "#93a4b0"),
        )
    ):
        axes.text(
            0.01 + 0.13 * place,
            -0.95,
            text,
            color=color,
            fontsize=9.5,
            fontweight="bold",
            va="center",
            transform=axes.get_yaxis_transform(),
        )
    date_axis(axes.xaxis)
    style_x_grid(axes)
    return png(figure)


def _bar(axes: Any, place: float, start: Any, end: Any, color: str) -> None:
    axes.barh(place, end - start, left=start, height=0.62, color=color, linewidth=0)
