"""A feature of one's own: as a Polars expression, checked for look-ahead, and as a kernel.

    .venv/bin/python examples/own_feature.py

The expression is for research. The kernel is a fold, so that the daily run and the live session
compute it too: name it in `features.own = ["own_feature:CLOSE_LOCATION"]`.
"""

from pathlib import Path

import numpy as np
import polars as pl

import harmony_pipeline as h
from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.features.catalog import FeatureSet, Indicator, register_own
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.features.expressions import expression_features
from harmony_pipeline.features.kernel_inputs import CLOSE, HIGH, LOW, sums_state_size
from harmony_pipeline.features.rolling_sums import add, has_all, load_sum, rolling_sum, save_sum
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.calendars import Calendar


@kernel
def close_location(
    bars: FloatArray, state: FloatArray, parameters: FloatArray, values: FloatArray
) -> None:
    """Mean of (close - low) / (high - low) over N bars. State: a sum."""
    cursor = load_sum(state)
    for i in range(values.size):
        low, high = bars[LOW, i], bars[HIGH, i]
        cursor = add(state, cursor, (bars[CLOSE, i] - low) / (high - low) if high > low else 0.5)
        values[i] = rolling_sum(state, cursor) / parameters[0] if has_all(cursor) else np.nan
    save_sum(state, cursor)


CLOSE_LOCATION = Indicator(
    kind="close_location",
    parameters=("N",),
    kernel=close_location,
    state_size=sums_state_size,
    note="mean of (close - low) / (high - low) over N bars",
)


def main(folder: Path = Path(".harmony/examples")) -> pl.DataFrame:
    """Make a small market in `folder` and compute the feature both ways."""
    settings = h.settings(
        paths={"lake": str(folder.resolve() / "lake"), "state": str(folder.resolve() / "state")},
        market={
            "timeframe": "30Min", "start": "2024-01-02", "end": "2024-02-01",
            "simulated": {"symbols": 4, "low_float_symbols": 1},
        },
    )  # fmt: skip
    bars = h.open_lake(settings).prepare().read("bars")

    close, high, low = pl.col("close"), pl.col("high"), pl.col("low")
    location = pl.when(high > low).then((close - low) / (high - low)).otherwise(0.5)
    by_expression = expression_features(bars, {"location": location.rolling_mean(10)})

    register_own("own_feature:CLOSE_LOCATION")
    chosen = FeatureSet.of(["close_location_10", "rsi_14"])
    by_kernel = compute_features(bars, chosen, None, Calendar.of("XNYS"), "30Min").table

    try:
        expression_features(bars, {"tomorrow": close.shift(-1) / close - 1.0})
    except ConfigError as refusal:
        print(refusal)
    return by_kernel.with_columns(by_expression["location"])


if __name__ == "__main__":
    print(main().tail())
