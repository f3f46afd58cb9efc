"""Pictures of the forecaster and of the scan."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.market.instruments import Instruments
from harmony_pipeline.reports.number_format import price_text
from harmony_pipeline.reports.performance_figures import style_x_grid
from harmony_pipeline.reports.style import (
    ACCENT,
    FAINT,
    INK,
    MUTED,
    amount,
    canvas,
    empty_figure,
    label,
    percent,
    percent_axis,
    png,
    shortened,
)


def reliability_curve(
    table: pl.DataFrame, title: str = "Reliability of the probabilities"
) -> bytes:
    """How often it happened when the model said so, above how many forecasts each bin holds.

    table: models.scores.reliability: frame[lower, upper, rows, probability (mean forecast),
    frequency (of outcome 1)].
    """
    held = (
        table.filter(pl.col("rows") > 0).sort("probability")
        if "rows" in table.columns
        else table.clear()
    )
    if held.is_empty():
        return empty_figure(title, "No resolved predictions yet.")
    forecast, happened, rows = (
        held[name].to_numpy().astype(np.float64) for name in ("probability", "frequency", "rows")
    )
    error = float((np.abs(forecast - happened) * rows).sum() / rows.sum())
    figure, (above, below) = canvas(
        title,
        f"{int(rows.sum())} out-of-sample forecasts, calibration error {error:.3f}; bars are 95%"
        " intervals",
        4.6,
        (3.2, 1.0),
    )
    bottom, top = _wilson_interval(happened, rows)
    pad = max(0.05, 0.12 * float(np.ptp(forecast)))
    low, high = max(0.0, float(forecast.min()) - pad), min(1.0, float(forecast.max()) + pad)
    above.plot([low, high], [low, high], color=FAINT, linewidth=1.2, linestyle=(0, (4, 3)))
    label(above, high, high, "perfect", MUTED, fontweight="normal")
    above.vlines(forecast, bottom, top, color=ACCENT, linewidth=1.4, alpha=0.45)
    above.plot(
        forecast,
        happened,
        color=ACCENT,
        linewidth=1.4,
        marker="o",
        markersize=5.5,
        markeredgecolor="white",
        markeredgewidth=0.8,
    )
    above.set_xlim(low, high)
    above.set_ylim(
        max(0.0, min(low, float(bottom.min())) - 0.02), min(1.0, max(high, float(top.max())) + 0.02)
    )
    above.set_ylabel("how often it was right")
    percent_axis(above.yaxis)
    below.sharex(above)
    _draw_forecast_counts(below, held)
    above.tick_params(labelbottom=False)
    return png(figure)


def _wilson_interval(frequency: FloatArray, count: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The 95 % interval of a frequency among `count` cases, right for few cases and for frequencies
    near 0 or 1 (Wilson, JASA 22, 1927).
    """
    z = 1.959964
    centre = (frequency + z**2 / (2 * count)) / (1 + z**2 / count)
    variance = frequency * (1 - frequency) / count + z**2 / (4 * count**2)
    reach = z * np.sqrt(variance) / (1 + z**2 / count)
    return np.clip(centre - reach, 0.0, 1.0), np.clip(centre + reach, 0.0, 1.0)


def _draw_forecast_counts(axes: Any, held: pl.DataFrame) -> None:
    """A bar a bin with the number of forecasts in it."""
    axes.bar(
        held["lower"].to_numpy(),
        held["rows"].to_numpy().astype(np.float64),
        width=(held["upper"] - held["lower"]).to_numpy() * 0.92,
        align="edge",
        color=FAINT,
    )
    axes.set_ylabel("forecasts")
    axes.set_xlabel("probability that the model gave")
    percent_axis(axes.xaxis)


def feature_importance(
    names: Sequence[str], gains: Sequence[float], title: str = "Feature importance", most: int = 20
) -> bytes:
    """Share of the total gain by feature, largest first."""
    total = float(sum(gains))
    if not len(names) or total <= 0.0:
        return empty_figure(title, "The model found nothing to split on.")
    ranked = sorted(zip(names, gains, strict=True), key=lambda pair: (-pair[1], pair[0]))[:most]
    subtitle = "share of the total gain" + (
        f", the first {most} of {len(names)} features" if len(names) > most else ""
    )
    figure, (axes,) = canvas(title, subtitle, 0.27 * len(ranked) + 0.6)
    places = np.arange(len(ranked))[::-1]
    shares = [gain / total for _, gain in ranked]
    axes.barh(places, shares, height=0.66, color=ACCENT)
    axes.set_yticks(places, [shortened(name, 34) for name, _ in ranked])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(-0.7, len(ranked) - 0.3)
    axes.set_xlim(0.0, max(shares) * 1.12)
    for place, share in zip(places, shares, strict=True):
        label(axes, share, place, f"{share:.1%}", INK, fontweight="normal")
    percent_axis(axes.xaxis)
    style_x_grid(axes)
    return png(figure)


def permutation_bars(
    table: pl.DataFrame, floor: float, title: str = "Permutation importance", most: int = 20
) -> bytes:
    """How much worse the forecasts become when an input is permuted, against the noise floor.

    table: models.explanations.Importance.table: frame[input, importance, deviation], the largest
    first. floor: the largest importance of a copy without meaning.
    """
    shown = table.head(most)
    if shown.is_empty():
        return empty_figure(title, "There was nothing to permute.")
    above = int((table["importance"] > floor).sum())
    figure, (axes,) = canvas(
        title,
        f"growth of the cross entropy; {above} of {table.height} inputs are above the noise floor"
        " (grey)",
        0.27 * shown.height + 0.6,
    )
    places = np.arange(shown.height)[::-1]
    sizes, spread = shown["importance"].to_numpy(), shown["deviation"].to_numpy()
    colors = [ACCENT if size > floor else FAINT for size in sizes]
    axes.axvspan(min(0.0, float(sizes.min())), max(floor, 0.0), color=FAINT, alpha=0.35, lw=0.0)
    axes.barh(places, sizes, height=0.66, color=colors, xerr=spread, ecolor=MUTED)
    axes.axvline(0.0, color=INK, linewidth=0.9)
    axes.set_yticks(places, [shortened(name, 34) for name in shown["input"]])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(-0.7, shown.height - 0.3)
    style_x_grid(axes)
    return png(figure)


def shap_summary(
    values: FloatArray,
    X: FloatArray,
    names: Sequence[str],
    title: str = "SHAP values",
    most: int = 15,
) -> bytes:
    """What each input added to the log-odds of each event; a dot an event, dark where the input is
    high.

    values, X: [rows, inputs]; the inputs with the largest mean size are shown.
    """
    if not values.size or not np.any(values):
        return empty_figure(title, "The model found nothing to split on.")
    size = np.abs(values).mean(axis=0)
    ranked = sorted(range(len(names)), key=lambda place: (-size[place], names[place]))[:most]
    figure, (axes,) = canvas(
        title,
        f"added to the log-odds, {values.shape[0]} events; blue: the input is high, grey: low",
        0.3 * len(ranked) + 0.6,
    )
    places = np.arange(len(ranked))[::-1]
    for place, column in zip(places, ranked, strict=True):
        rank = pl.Series(X[:, column], nan_to_null=True).rank().to_numpy() / max(len(X), 1)
        high = np.nan_to_num(rank, nan=0.0) > 0.5
        # dots of equal value lie side by side, in an order that follows the events
        offset = 0.5 * ((np.arange(len(X)) * 7919 % 101) / 101.0 - 0.5)
        for chosen, color in ((~high, MUTED), (high, ACCENT)):
            axes.scatter(
                values[chosen, column], place + offset[chosen], s=3, color=color, alpha=0.5, lw=0.0
            )
    axes.axvline(0.0, color=INK, linewidth=0.9)
    axes.set_yticks(places, [shortened(names[column], 34) for column in ranked])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(-0.7, len(ranked) - 0.3)
    style_x_grid(axes)
    return png(figure)


def scanner_table(
    candidates: pl.DataFrame,
    title: str | None = None,
    most: int = 20,
    instruments: Instruments | None = None,
) -> bytes:
    """Gaps of one scan, the selected symbols in colour, the others with what stopped them.
    candidates: schemas.SCAN_CANDIDATES of one date.
    """
    heading = title or (
        f"Scan of {candidates['date'][0]}"
        if candidates.height and "date" in candidates.columns
        else "Scan"
    )
    rows = candidates.drop_nulls("gap") if candidates.width else candidates
    if rows.is_empty():
        return empty_figure(
            heading, f"{candidates.height} symbols looked at, none with a price before the open."
        )
    chosen = pl.col("passed") & (pl.col("rejected_by").list.len().fill_null(0) == 0)
    ranked = (
        rows.with_columns(chosen=chosen)
        .sort(["chosen", "absolute_gap", "symbol"], descending=[True, True, False])
        .head(most)
    )
    selected = candidates.filter(chosen).height
    as_of = f" by {candidates['as_of'][0]:%H:%M} UTC" if "as_of" in candidates.columns else ""
    figure, (axes,) = canvas(
        heading,
        f"{candidates.height} symbols looked at{as_of}, {selected} selected; {ranked.height} shown",
        0.33 * ranked.height + 0.9,
    )
    places = np.arange(ranked.height)[::-1]
    gaps = ranked["gap"].to_numpy()
    marks = ranked["chosen"].to_list()
    axes.barh(places, gaps, height=0.62, color=[ACCENT if mark else FAINT for mark in marks])
    axes.axvline(0.0, color=INK, linewidth=0.9)
    axes.set_yticks(places, ranked["symbol"].to_list())
    for tick, mark in zip(axes.get_yticklabels(), marks, strict=True):
        tick.set_color(INK if mark else MUTED)
        tick.set_fontweight("bold" if mark else "normal")
    axes.set_ylim(-0.7, ranked.height - 0.3)
    reach = max(float(np.abs(gaps).max()), 1e-4)
    axes.set_xlim(
        min(0.0, float(gaps.min())) - 0.04 * reach, max(0.0, float(gaps.max())) + 0.04 * reach
    )
    for place, row in zip(places, ranked.iter_rows(named=True), strict=True):
        text = _scan_note(row, Instruments() if instruments is None else instruments)
        label(
            axes,
            max(0.0, row["gap"]),
            place,
            text,
            INK if row["chosen"] else MUTED,
            fontweight="normal",
        )
    axes.set_xlabel("gap from the previous close")
    percent_axis(axes.xaxis)
    style_x_grid(axes)
    return png(figure)


def _scan_note(row: dict[str, object], instruments: Instruments) -> str:
    gap, price, volume, relative = (
        row["gap"],
        row.get("price"),
        row.get("premarket_volume"),
        row.get("relative_volume"),
    )
    assert isinstance(gap, float)
    parts = [percent(gap)]
    if isinstance(price, float):
        parts.append(f"at {price_text(instruments.at(str(row['symbol'])), price)}")
    if isinstance(volume, float):
        parts.append(f"volume {amount(volume)}")
    if isinstance(relative, float):
        parts.append(f"{relative:.1f}x volume")
    reasons = row.get("rejected_by")
    if reasons and not row["chosen"]:
        assert isinstance(reasons, list)
        parts = [parts[0], "out: " + ", ".join(str(reason).replace("_", " ") for reason in reasons)]
    return shortened("   ".join(parts), 46)
