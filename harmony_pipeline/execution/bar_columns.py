"""Bars of one symbol as the kernels take them."""

from typing import NamedTuple, TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harmony_pipeline.arrays import ByteArray, FloatArray, IntArray, read_only
from harmony_pipeline.errors import DataError

S = TypeVar("S", bound=np.generic)


class BarColumns(NamedTuple):
    """Bars of one symbol in order of time. `regular` 1: of the regular session; `halted` 1: nothing
    traded. Nobody buys at or above `upper_band` nor sells at or below `lower_band` (inf and -inf:
    no band).
    """

    at: IntArray
    end: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    regular: ByteArray
    halted: ByteArray
    lower_band: FloatArray
    upper_band: FloatArray


class Bar(NamedTuple):
    """One bar, in the words of BarColumns."""

    at: int
    end: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    regular: int
    halted: int
    lower_band: float
    upper_band: float


def bar_columns(bars: pl.DataFrame) -> BarColumns:
    """Bars of one symbol (with session and bar_end) as the kernels take them. Raises DataError when
    a price is missing or no number.
    """
    prices = [bars[name].cast(pl.Float64()) for name in ("open", "high", "low", "close")]
    if any(price.null_count() or not price.is_finite().all() for price in prices):
        raise DataError("a bar has a price that is missing or no number: validate bars first")
    return BarColumns(
        _times(bars, "timestamp"),
        _times(bars, "bar_end"),
        _read_only(prices[0], np.float64),
        _read_only(prices[1], np.float64),
        _read_only(prices[2], np.float64),
        _read_only(prices[3], np.float64),
        _reals(bars, "volume", 0.0),
        _flags(bars["session"] == "regular"),
        _flags(bars["halted"]) if "halted" in bars.columns else _no_flags(bars.height),
        _reals(bars, "lower_band", -np.inf),
        _reals(bars, "upper_band", np.inf),
    )


def _times(bars: pl.DataFrame, name: str) -> IntArray:
    return _read_only(bars[name].cast(pl.Datetime("us", "UTC")).to_physical(), np.int64)


def _reals(bars: pl.DataFrame, name: str, default: float) -> FloatArray:
    if name not in bars.columns:
        return _read_only(pl.Series([default]).new_from_index(0, bars.height), np.float64)
    return _read_only(bars[name].cast(pl.Float64()).fill_null(default), np.float64)


def _flags(series: pl.Series) -> ByteArray:
    return _read_only(series.fill_null(value=False).cast(pl.UInt8()), np.uint8)


def _no_flags(count: int) -> ByteArray:
    return _read_only(pl.zeros(count, pl.UInt8(), eager=True), np.uint8)


def _read_only(series: pl.Series, dtype: type[S]) -> NDArray[S]:
    array: NDArray[S] = np.ascontiguousarray(series.to_numpy(), dtype)
    return read_only(array)
