"""Pictures of what a strategy earned: equity, trades, regimes, comparison."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.reports.style import (
    ACCENT,
    FAINT,
    GAIN,
    INK,
    LOSS,
    MUTED,
    SERIES,
    canvas,
    date_axis,
    empty_figure,
    instants,
    label,
    labels_apart,
    money_axis,
    percent,
    percent_axis,
    png,
)


def equity_curve(
    equity: pl.DataFrame,
    title: str,
    benchmark: pl.DataFrame | None = None,
    begun_with: float | None = None,
) -> bytes:
    """Equity above, drawdown below. equity: frame[timestamp, equity, ...]; benchmark:
    frame[timestamp, value], scaled to start with the equity; begun_with: equity before the first
    row, from which returns and drawdowns are counted (None: that of the first row).
    """
    rows = equity.drop_nulls("equity").sort("timestamp")
    if rows.is_empty():
        return empty_figure(title, "No equity yet: the backtest has no bars in its period.")
    times, values = instants(rows["timestamp"]), rows["equity"].to_numpy()
    start = float(values[0]) if begun_with is None else begun_with
    peak = np.maximum(np.maximum.accumulate(values), start)
    drawdown = np.where(peak > 0.0, values / np.where(peak > 0.0, peak, 1.0) - 1.0, 0.0)
    deepest = int(np.argmin(drawdown))
    total = float(values[-1]) / start - 1.0 if start else 0.0
    decimals = 2 if max(abs(total), -float(drawdown[deepest])) < 0.01 else 1
    figure, (above, below) = canvas(
        title,
        f"{percent(total, decimals)} in all, deepest drawdown"
        f" {percent(float(drawdown[deepest]), decimals)}",
        4.6,
        (3.0, 1.2),
    )
    ends = [float(values[-1])]
    if benchmark is not None and benchmark.drop_nulls().height:
        other = benchmark.drop_nulls().sort("timestamp")
        level = other["value"].to_numpy()
        level = level / level[0] * start
        above.plot(instants(other["timestamp"]), level, color=FAINT, linewidth=1.3)
        ends.append(float(level[-1]))
    above.plot(times, values, color=ACCENT, linewidth=1.6)
    above.axhline(start, color=FAINT, linewidth=0.9, linestyle=(0, (4, 3)))
    low, high = above.get_ylim()
    heights = labels_apart(ends, (high - low) * 0.07)
    label(above, times[-1], heights[0], percent(total, decimals), ACCENT)
    if len(ends) > 1:
        label(
            above,
            times[-1],
            heights[1],
            f"benchmark {percent(ends[1] / start - 1.0)}",
            MUTED,
            fontweight="normal",
        )
    above.set_ylabel("equity, currency")
    money_axis(above.yaxis)
    below.fill_between(times, drawdown, 0.0, color=LOSS, alpha=0.28, linewidth=0)
    below.plot(times, drawdown, color=LOSS, linewidth=0.9)
    below.set_ylabel("drawdown")
    below.set_ylim(min(float(drawdown.min()) * 1.25, -1e-3), 0.0)
    percent_axis(below.yaxis)
    below.sharex(above)
    above.tick_params(labelbottom=False)
    date_axis(below.xaxis)
    return png(figure)


def equity_comparison(
    curves: Mapping[str, pl.DataFrame], title: str = "Strategies compared"
) -> bytes:
    """Every strategy's equity as growth since its own start. curves: name -> frame[timestamp,
    equity, ...].
    """
    held = {name: frame.drop_nulls("equity").sort("timestamp") for name, frame in curves.items()}
    held = {name: frame for name, frame in held.items() if frame.height}
    if not held:
        return empty_figure(title, "No equity yet: run a backtest first.")
    figure, (axes,) = canvas(title, "return since each one's own start, after costs", 3.8)
    ends = []
    for number, frame in enumerate(held.values()):
        growth = frame["equity"].to_numpy() / frame["equity"][0] - 1.0
        axes.plot(
            instants(frame["timestamp"]), growth, color=SERIES[number % len(SERIES)], linewidth=1.5
        )
        ends.append(float(growth[-1]))
    low, high = axes.get_ylim()
    last = max(instants(frame["timestamp"])[-1] for frame in held.values())
    for number, (name, height) in enumerate(
        zip(held, labels_apart(ends, (high - low) * 0.065), strict=True)
    ):
        label(axes, last, height, f"{name} {percent(ends[number])}", SERIES[number % len(SERIES)])
    axes.axhline(0.0, color=FAINT, linewidth=0.9)
    percent_axis(axes.yaxis)
    date_axis(axes.xaxis)
    return png(figure)


def trade_return_histogram(trades: pl.DataFrame, title: str = "Returns of the trades") -> bytes:
    """How often which return, gains and losses apart. trades: schemas.TRADES; open ones are left
    out.
    """
    values = trades.drop_nulls("return")["return"].to_numpy() if trades.width else np.empty(0)
    values = values[np.isfinite(values)]
    if not values.size:
        return empty_figure(title, "No closed trades.")
    wins = float((values > 0.0).mean())
    subtitle = (
        f"{values.size} closed trades, {wins:.0%} won, mean {percent(float(values.mean()), 2)},"
        f" median {percent(float(np.median(values)), 2)}"
    )
    figure, (axes,) = canvas(title, subtitle, 3.4)
    # the outermost half percent would squeeze the rest into one bar: it is counted in the end bars
    low, high = np.quantile(values, [0.005, 0.995])
    reach = max(abs(float(low)), abs(float(high)), 1e-6)
    width = reach / max(8, min(30, int(np.sqrt(values.size))))
    first, last = (
        int(np.floor(max(low, values.min()) / width)),
        int(np.ceil(min(high, values.max()) / width)),
    )
    edges = np.arange(first, max(last, first + 1) + 1) * width  # zero is always an edge
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    colors = [GAIN if edge >= -width / 2 else LOSS for edge in edges[:-1]]
    axes.bar(edges[:-1], counts, width=width * 0.92, align="edge", color=colors)
    axes.axvline(0.0, color=INK, linewidth=0.9)
    top = float(counts.max()) * 1.13
    axes.set_ylim(0.0, top)
    mean = float(np.clip(values.mean(), edges[0], edges[-1]))
    axes.axvline(mean, color=INK, linewidth=1.1, linestyle=(0, (4, 3)))
    label(
        axes,
        mean,
        top * 0.96,
        f"mean {percent(float(values.mean()), 2)}",
        INK,
        xytext=(6 if mean >= 0 else -6, 0),
        ha="left" if mean >= 0 else "right",
    )
    axes.set_xlabel("return on entry value, after costs")
    axes.set_ylabel("trades")
    _whole_ticks(axes.yaxis)
    percent_axis(axes.xaxis)
    return png(figure)


def regime_bars(stability: pl.DataFrame, title: str = "Sharpe ratio by regime") -> bytes:
    """Annualised Sharpe ratio in each regime, with days and return. stability:
    schemas.REGIME_STABILITY.
    """
    rows = (
        stability.sort(
            pl.col("trend") == "unknown", pl.col("trend") != "bull", pl.col("volatility") != "low"
        )
        if stability.height
        else stability
    )
    if rows.is_empty():
        return empty_figure(title, "No days with a known regime.")
    sharpes = np.array([np.nan if value is None else value for value in rows["sharpe"].to_list()])
    figure, (axes,) = canvas(
        title,
        "each day in the regime that was known before it began",
        max(1.6, 0.5 * rows.height + 0.7),
    )
    places = np.arange(rows.height)[::-1]
    shown = np.nan_to_num(sharpes)
    axes.barh(places, shown, height=0.62, color=[GAIN if value >= 0 else LOSS for value in shown])
    axes.axvline(0.0, color=INK, linewidth=0.9)
    axes.set_yticks(
        places, [regime_name(row["trend"], row["volatility"]) for row in rows.iter_rows(named=True)]
    )
    axes.tick_params(axis="y", labelcolor=INK, labelsize=10)
    reach = max(1.0, float(np.abs(shown).max())) * 1.08
    axes.set_xlim(
        min(-0.15 * reach, float(shown.min()) * 1.1), max(0.15 * reach, float(shown.max()) * 1.08)
    )
    for place, row in zip(places, rows.iter_rows(named=True), strict=True):
        sharpe = row["sharpe"]
        text = (
            f"{'–' if sharpe is None else f'{sharpe:.2f}'}   {percent(row['total_return'])} in"
            f" {row['days']} days"
        )
        label(axes, max(0.0, sharpe or 0.0), place, text, INK, fontweight="normal")
    axes.grid(visible=False)
    axes.grid(axis="x")
    style_x_grid(axes)
    axes.set_xlabel("annualised Sharpe ratio")
    return png(figure)


def regime_name(trend: str, volatility: str) -> str:
    """`bull, low volatility`; one word when nothing was known yet."""
    return (
        "not yet known" if trend == volatility == "unknown" else f"{trend}, {volatility} volatility"
    )


def style_x_grid(axes: Any) -> None:
    """Vertical grid lines for horizontal bars."""
    from harmony_pipeline.reports.style import GRID

    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color=GRID, linewidth=0.8)


def _whole_ticks(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, nbins=6))
