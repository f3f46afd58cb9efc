"""The state of each symbol between runs: the flat kernel state after its last bar."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.schemas import FEATURE_STATE


class State(NamedTuple):
    """`vector` is the state after the bar that starts at `timestamp` (UTC)."""

    timestamp: datetime
    vector: FloatArray


States = Mapping[str, State] | pl.DataFrame | None
"""Saved states as callers have them: by symbol, as a FEATURE_STATE frame, or none."""


def state_frame(states: Mapping[str, State], feature_set: FeatureSet) -> pl.DataFrame:
    """States by symbol as the FEATURE_STATE table, sorted by symbol."""
    symbols = sorted(states)
    vectors = np.array([states[symbol].vector for symbol in symbols]).reshape(
        len(symbols), feature_set.state_size
    )
    return pl.DataFrame(
        {
            "symbol": pl.Series(symbols, dtype=pl.String),
            "timestamp": pl.Series(
                [states[symbol].timestamp for symbol in symbols],
                dtype=FEATURE_STATE.dtypes["timestamp"],
            ),
            "feature_set_hash": pl.Series([feature_set.hash] * len(symbols), dtype=pl.String),
            "state": (
                pl.Series(vectors, dtype=pl.Array(pl.Float64, feature_set.state_size)).cast(
                    pl.List(pl.Float64)
                )
            ),
        }
    )


def states_from_frame(frame: pl.DataFrame, feature_set: FeatureSet) -> dict[str, State]:
    """States by symbol from a FEATURE_STATE frame. Raises DataError for states of another feature
    set.
    """
    other = frame.filter(
        (pl.col("feature_set_hash") != feature_set.hash)
        | (pl.col("state").list.len() != feature_set.state_size)
    )
    if other.height:
        raise DataError(
            f"the saved feature state of {other['symbol'][0]} belongs to feature set"
            f" {other['feature_set_hash'][0]}, not to {feature_set.hash}: compute the features of"
            " that period again"
        )
    vectors = frame["state"].list.to_array(feature_set.state_size).to_numpy()
    rows = zip(frame["symbol"], frame["timestamp"], vectors, strict=True)
    return {
        symbol: State(timestamp, np.array(vector, np.float64)) for symbol, timestamp, vector in rows
    }


def states_by_symbol(states: States, feature_set: FeatureSet) -> dict[str, State]:
    """States by symbol from any of the accepted forms. Raises DataError for states of another
    feature set.
    """
    if states is None:
        return {}
    if isinstance(states, pl.DataFrame):
        return states_from_frame(states, feature_set)
    for symbol, state in states.items():
        if state.vector.shape != (feature_set.state_size,):
            raise DataError(
                f"the feature state of {symbol} has {state.vector.size} numbers, this feature set"
                f" keeps {feature_set.state_size}"
            )
    return dict(states)
