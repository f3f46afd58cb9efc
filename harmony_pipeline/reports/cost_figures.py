"""Pictures of what trading costs: modelled half spreads beside the measured one."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from harmony_pipeline.reports.style import INK, SERIES, canvas, empty_figure, png


def spread_comparison(
    measured: pl.DataFrame, modelled: Mapping[str, pl.DataFrame], title: str
) -> bytes:
    """Half spread by time of day, one panel a symbol: measured from quotes as steps, each model as
    a line.

    measured: symbol, bucket (minutes from the open), half_spread_bps, the buckets of one width.
    modelled: name -> symbol, minute (from the open), half_spread_bps.
    """
    symbols = measured["symbol"].unique().sort().to_list()
    if not symbols:
        return empty_figure(title, "No quotes to measure a spread from.")
    figure, panels = canvas(
        title, "half spread in basis points, by minutes from the open", 2.6 * len(symbols),
        [1.0] * len(symbols),
    )  # fmt: skip
    for axes, symbol in zip(panels, symbols, strict=True):
        steps = measured.filter(symbol=symbol).sort("bucket")
        edges, values = steps["bucket"].to_numpy(), steps["half_spread_bps"].to_numpy()
        width = int(np.diff(edges).min()) if edges.size > 1 else 30
        axes.stairs(
            values, np.append(edges, edges[-1] + width), baseline=None, color=INK, linewidth=2.0,
            label="measured",
        )  # fmt: skip
        for (name, table), color in zip(modelled.items(), SERIES, strict=False):
            line = table.filter(symbol=symbol).sort("minute")
            axes.plot(
                line["minute"], line["half_spread_bps"], color=color, linewidth=1.1, label=name
            )
        axes.set_ylim(0.0, 1.25 * axes.get_ylim()[1])  # room for the legend
        axes.set_ylabel(symbol)
        axes.legend(loc="upper right", fontsize=8, frameon=False, ncols=4)
    panels[-1].set_xlabel("minutes from the open")
    return png(figure)
