"""The picture of one trade on its candles: signal, entry, barriers, exit.

Bars stand side by side, so the hours in which nothing trades take no room; a faint line marks the
beginning of each session. Prices are written with the instrument's decimals, times on the
exchange's clock.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np

from harmony_pipeline.reports.style import (
    ACCENT,
    FAINT,
    GAIN,
    GRID,
    INK,
    LOSS,
    MUTED,
    PAPER,
    SKY,
    canvas,
    empty_figure,
    label,
    labels_apart,
    percent,
    png,
)
from harmony_pipeline.reports.trade_views import TradeView

_ROOM = 0.055  # of the height, between two labels
_TICKS = 6


def trade_on_candles(view: TradeView | None) -> bytes:
    """One trade with the bars around it; a picture that says so when there is none."""
    if view is None:
        return empty_figure("A trade on its candles", "No trade to show.")
    figure, (axes,) = canvas(headline(view), subtitle(view), 4.4)
    _sessions(axes, view)
    _candles(axes, view)
    labels = [*_barriers(axes, view), *_fills(axes, view)]
    _axes(axes, view)
    _label_apart(axes, view, labels)
    return png(figure)


def headline(view: TradeView) -> str:
    """`EURUSD long, closed by take: +0.52%`."""
    trade = view.trade
    if trade["exit_timestamp"] is None:
        return f"{trade['symbol']} {trade['side']}, still open"
    return (
        f"{trade['symbol']} {trade['side']}, closed by"
        f" {(trade['exit_reason'] or 'signal').replace('_', ' ')}: {percent(trade['return'], 2)}"
    )


def subtitle(view: TradeView) -> str:
    """When it was entered and left, on whose clock."""
    trade = view.trade
    until = "" if trade["exit_timestamp"] is None else f" to {view.moment(trade['exit_timestamp'])}"
    return (
        f"{view.timeframe} bars, {view.moment(trade['entry_timestamp'])}{until}, {clock_of(view)}"
    )


def clock_of(view: TradeView) -> str:
    """What the times of a view are: `clock of America/New_York`, or `session dates`."""
    return (
        "session dates"
        if view.moment(view.bars["timestamp"][0]).count(":") == 0
        else f"clock of {view.zone}"
    )


def _candles(axes: Any, view: TradeView) -> None:
    opened, high, low, close = (
        view.bars[name].to_numpy() for name in ("open", "high", "low", "close")
    )
    places = np.arange(view.bars.height)
    thin = 0.6 if view.bars.height > 90 else 0.9
    axes.vlines(places, low, high, color=MUTED, linewidth=thin, zorder=2)
    bottom, size = np.minimum(opened, close), np.abs(close - opened)
    faces = [PAPER if up else FAINT for up in close >= opened]
    axes.bar(
        places,
        size,
        bottom=bottom,
        width=0.66,
        color=faces,
        edgecolor=MUTED,
        linewidth=thin,
        zorder=3,
    )
    flat = size == 0.0
    axes.hlines(
        close[flat], places[flat] - 0.33, places[flat] + 0.33, color=MUTED, linewidth=thin, zorder=3
    )


def _sessions(axes: Any, view: TradeView) -> None:
    """A line at the first bar of each session, where a session has several; the break in a long
    trade.
    """
    dates = view.bars["session_date"]
    begins = [at for at in range(1, view.bars.height) if dates[at] != dates[at - 1]]
    if len(begins) <= view.bars.height / 3:
        for at in begins:
            axes.axvline(at - 0.5, color=GRID, linewidth=0.9, zorder=0)
    for step in view.of_kind("signal"):
        axes.axvspan(
            step.place - 0.5, step.place + 0.5, color=SKY, alpha=0.28, linewidth=0, zorder=1
        )
        _at_the_top(axes, step.place, "signal", ACCENT)
    for step in view.of_kind("factor"):
        axes.axvline(step.place - 0.5, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)), zorder=1)
    if view.limit is not None:
        axes.axvline(view.limit + 0.5, color=MUTED, linewidth=1.0, linestyle=(0, (4, 3)), zorder=1)
        _at_the_top(axes, view.limit + 0.5, "time limit", MUTED)
    if view.skipped is not None:
        axes.axvspan(view.skipped[0] - 0.75, view.skipped[0] - 0.25, color=PAPER, zorder=5)
        axes.axvline(
            view.skipped[0] - 0.5, color=INK, linewidth=1.1, linestyle=(0, (1, 1.5)), zorder=6
        )
        _at_the_top(axes, view.skipped[0] - 0.5, f"{view.skipped[1]:,} bars left out", INK)


def _at_the_top(axes: Any, place: float, text: str, color: str) -> None:
    axes.annotate(
        text,
        (place, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        fontsize=8,
        color=color,
    )


def _barriers(axes: Any, view: TradeView) -> list[tuple[float, str, str]]:
    """The two levels over the bars at which they were watched; returns their labels."""
    long = view.trade["side"] == "long"
    labels = []
    for course, name, color in (
        (view.upper, "take" if long else "stop", GAIN if long else LOSS),
        (view.lower, "stop" if long else "take", LOSS if long else GAIN),
    ):
        for level, (first, last) in _level_stretches(course):
            axes.hlines(level, first - 0.5, last + 0.5, color=color, linewidth=1.4, zorder=4)
        if course:
            labels.append((course[-1][1], f"{name} {view.price(course[-1][1])}", color))
    return labels


def _level_stretches(course: Sequence[tuple[int, float]]) -> list[tuple[float, tuple[int, int]]]:
    """Each level with the first and the last place of its stretch: a split or dividend begins
    another.
    """
    stretches = [list(places) for _level, places in groupby(course, key=lambda step: step[1])]
    return [(steps[0][1], (steps[0][0], steps[-1][0])) for steps in stretches]


def _fills(axes: Any, view: TradeView) -> list[tuple[float, str, str]]:
    """Entries as triangles that point with the side, exits as diamonds; returns their labels."""
    labels = []
    marker = "^" if view.trade["side"] == "long" else "v"
    edge = {"markeredgecolor": PAPER, "markeredgewidth": 0.9, "linestyle": "none", "zorder": 8}
    for step in view.of_kind("entry"):
        axes.plot(step.place, step.price, marker=marker, markersize=9.5, color=INK, **edge)
    if view.of_kind("entry"):
        first = view.of_kind("entry")[0]
        labels.append((first.price or 0.0, f"in {view.price(first.price)}", INK))
    result = view.trade["pnl"]
    color = INK if result is None else GAIN if result > 0.0 else LOSS
    leaving = [*view.of_kind("exit"), *view.of_kind("payment")]
    for step in leaving:
        axes.plot(step.place, step.price, marker="D", markersize=7.5, color=color, **edge)
    if leaving:
        labels.append((leaving[-1].price or 0.0, f"out {view.price(leaving[-1].price)}", color))
    return labels


def _axes(axes: Any, view: TradeView) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    count = view.bars.height
    axes.set_xlim(-1.0, count + max(1.0, 0.01 * count))
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.02 * (high - low), high + 0.02 * (high - low))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _place: f"{value:,.{view.decimals}f}")
    )
    axes.set_ylabel(f"price, {view.instrument.currency}" if view.instrument.currency else "price")
    places = range(0, count, max(1, -(-count // _TICKS)))
    axes.set_xticks(
        list(places), [view.moment(view.bars["timestamp"][at]).replace(" ", "\n") for at in places]
    )


def _label_apart(axes: Any, view: TradeView, labels: list[tuple[float, str, str]]) -> None:
    """Prices to the right of the candles, none over another."""
    low, high = axes.get_ylim()
    heights = labels_apart([price for price, _text, _color in labels], (high - low) * _ROOM)
    for (_price, text, color), height in zip(labels, heights, strict=True):
        label(axes, view.bars.height - 0.5, min(max(height, low), high), text, color, fontsize=8.5)
