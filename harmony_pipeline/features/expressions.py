"""A feature of one's own as a Polars expression, refused where it looks ahead.

The expression is evaluated over the bars of one symbol in order of time, so `shift(1)` is the bar
before and nothing of another symbol is in reach. Whether it reads later bars is tried, not read
from its text: the bars are cut at several moments, the expression is evaluated on what was known
until then, and every value must be what it is with all bars. A shift of -1, a centred window, the
mean of the whole series and a sum over the whole day all differ at some bar.

>>> found = expression_features(
...     bars, {"body": (pl.col("close") - pl.col("open")) / (pl.col("high") - pl.col("low"))}
... )

An expression has no state: it is evaluated over whole histories, for research and for strategies
that read bars. What a live session needs at every bar is a kernel (`features.own`).
"""

from collections.abc import Mapping
from datetime import datetime

import numpy as np
import polars as pl

from harmony_pipeline.arrays import BoolArray, FloatArray
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.frames import sort_rows
from harmony_pipeline.text import clock_time

_KEYS = ("symbol", "timestamp")
_PRICES = ("open", "high", "low", "close", "vwap")
_ROUNDING = 1e-9  # of the value: a library may add in another order when there are more rows


def expression_features(
    bars: pl.DataFrame, expressions: Mapping[str, pl.Expr], *, cuts: int = 12, seed: int = 0
) -> pl.DataFrame:
    """symbol, timestamp and one Float64 column for each of `expressions`, null where not known.

    `bars` is a frame like BARS in any order; the result is sorted by symbol and timestamp.
    Expressions see its columns with prices and volume adjusted. `cuts` moments are tried: the last
    bar but one, the first few, and random ones from `seed`. Raises ConfigError for an expression
    that looks ahead, that does not give one number a bar, or that Polars refuses.
    """
    if cuts < 1:
        raise ConfigError(f"cuts is {cuts}: at least 1 moment has to be tried")
    taken = [name for name in expressions if name in _KEYS]
    if taken:
        raise ConfigError(f"feature '{taken[0]}' has the name of a key column: choose another")
    adjusted = _adjusted(sort_rows(bars, _KEYS))
    found = _evaluated(adjusted, expressions)
    for moment in _moments(bars["timestamp"], cuts, seed):
        known = adjusted.filter(pl.col("timestamp") <= moment)
        whole = found.filter(pl.col("timestamp") <= moment)
        _refuse_look_ahead(whole, _evaluated(known, expressions), moment)
    return found


def _adjusted(bars: pl.DataFrame) -> pl.DataFrame:
    factor = pl.col("adjustment_factor")
    prices = [name for name in _PRICES if name in bars.columns]
    return bars.with_columns(pl.col(*prices) * factor, pl.col("volume") / factor)


def _evaluated(bars: pl.DataFrame, expressions: Mapping[str, pl.Expr]) -> pl.DataFrame:
    parts = bars.partition_by("symbol", maintain_order=True) or [bars]
    columns = {name: [_column(part, name, e) for part in parts] for name, e in expressions.items()}
    return bars.select(_KEYS).with_columns(
        pl.concat(pieces).fill_nan(None).alias(name) for name, pieces in columns.items()
    )


def _column(part: pl.DataFrame, name: str, expression: pl.Expr) -> pl.Series:
    try:
        found = part.lazy().select(expression.alias(name)).collect(engine="in-memory")[name]
    except pl.exceptions.PolarsError as error:
        raise ConfigError(f"feature '{name}': Polars refuses the expression: {error}") from error
    if not (found.dtype.is_numeric() or found.dtype in (pl.Boolean, pl.Null)):
        raise ConfigError(
            f"feature '{name}' is of type {found.dtype}: a feature is one number a bar, cast it"
        )
    if found.len() == 1 < part.height:  # the number of a whole history, at every bar of it
        return pl.repeat(found[0], part.height, dtype=pl.Float64, eager=True)
    if found.len() != part.height:
        raise ConfigError(
            f"feature '{name}' has {found.len()} values for the {part.height} bars of"
            f" {part['symbol'][0]}: a feature is one number a bar"
        )
    return found.cast(pl.Float64)


def _moments(timestamps: pl.Series, cuts: int, seed: int) -> list[datetime]:
    """Moments within the bars, each once. After the last bar there is nothing to look at."""
    every = timestamps.unique().sort()[:-1]
    if not every.len():
        return []
    random = np.random.default_rng(seed).integers(0, every.len(), cuts)
    first = (every.len() - 1, 0, every.len() // 2)
    places = list(dict.fromkeys([*first, *random.tolist()]))[:cuts]
    return every.gather(places).to_list()


def _refuse_look_ahead(whole: pl.DataFrame, cut: pl.DataFrame, moment: datetime) -> None:
    for name in whole.columns[len(_KEYS) :]:
        differs = _differ(_numbers(whole[name]), _numbers(cut[name]))
        if differs.any():
            rows = whole.filter(pl.Series(differs)).with_row_index("place")
            first = rows.sort("timestamp", "symbol").row(0, named=True)
            other = cut.filter(pl.Series(differs))[name][first["place"]]
            raise ConfigError(
                f"feature '{name}' looks ahead: of {first['symbol']} at"
                f" {clock_time(first['timestamp'])} it is {_text(first[name])} with all bars, and"
                f" {_text(other)} when bars end at {clock_time(moment)}. A value may use its own"
                " bar and earlier ones: no negative shift, no centred window, no statistic of the"
                " whole series or day"
            )


def _numbers(column: pl.Series) -> FloatArray:
    return np.asarray(column.fill_null(np.nan).to_numpy(), np.float64)


def _differ(whole: FloatArray, cut: FloatArray) -> BoolArray:
    with np.errstate(invalid="ignore"):
        near = np.abs(whole - cut) <= _ROUNDING * np.maximum(np.abs(whole), np.abs(cut))
    return np.asarray(~(near | (whole == cut) | (np.isnan(whole) & np.isnan(cut))))


def _text(value: float | None) -> str:
    return "not known" if value is None else f"{value:.10g}"
