"""The bars of many symbols in order of time, so that those of one moment can be compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.features.bar_columns import BarColumns
from harmony_pipeline.features.catalog import FeatureColumn, FeatureSet
from harmony_pipeline.features.comparisons import Peers
from harmony_pipeline.market.sectors import UNKNOWN, Sectors

NO_SECTOR = -1  # as kernels read it


@dataclass(frozen=True)
class Moments:
    """`order` [rows]: places of the rows sorted by (moment, symbol). `starts`, `sectors` and
    `in_market` are what the kernels of `cross_section.py` read.
    """

    order: IntArray
    starts: IntArray
    sectors: IntArray
    in_market: BoolArray

    @staticmethod
    def of(columns: BarColumns, peers: Peers, known: Sectors | None = None) -> "Moments":
        """Of bars sorted by symbol and time; `known`: sectors as known on each day, where they are
        not those of `peers`.
        """
        starts, stamps = columns.starts, columns.stamps
        order = np.argsort(stamps, kind="stable")
        in_time, lengths = stamps[order], np.diff(starts)
        begins = np.flatnonzero(in_time[1:] != in_time[:-1]) + 1
        bounds = (0, *begins, stamps.size) if stamps.size else (0,)
        sectors, in_market = peer_arrays(columns.symbols, peers)
        by_row = np.repeat(sectors, lengths) if known is None else sectors_by_row(columns, known)
        return Moments(
            order,
            np.array(bounds, np.int64),
            by_row[order],
            np.repeat(in_market, lengths)[order],
        )

    def compare(self, column: FeatureColumn, x: FloatArray, values: FloatArray) -> None:
        """Fill `values` [rows], in the order of the rows, with the comparison of `x` [rows]."""
        found = np.empty(x.size)
        column.kernel(self.starts, self.sectors, self.in_market, x[self.order], found)
        values[self.order] = found


def peer_arrays(symbols: Sequence[str], peers: Peers) -> tuple[IntArray, BoolArray]:
    """The number of each symbol's sector, and whether it is part of the market."""
    sectors = np.array([peers.sector_number(symbol) for symbol in symbols], np.int64)
    in_market = np.array([peers.benchmark in (None, symbol) for symbol in symbols], np.bool_)
    return sectors, in_market


def sectors_by_row(columns: BarColumns, known: Sectors) -> IntArray:
    """[rows] the number of each bar's sector as known on the day of its session."""
    numbers = np.full(columns.stamps.size, NO_SECTOR, np.int64)
    for place, symbol in enumerate(columns.symbols):
        start, end = int(columns.starts[place]), int(columns.starts[place + 1])
        days, of_days = known.history(symbol)
        begins = columns.sessions.first_stamps(np.array(days, "datetime64[D]").astype(np.int64))
        rows = start + np.searchsorted(columns.stamps[start:end], begins)
        for row, number in zip(rows.tolist(), of_days, strict=True):
            numbers[row:end] = NO_SECTOR if number == UNKNOWN else number
    return numbers


def sectors_of_bars(symbols: Sequence[str], days: Sequence[date], known: Sectors) -> IntArray:
    """The same of one bar of each symbol, of the session of each of `days`."""
    found = (known.at(symbol, day) for symbol, day in zip(symbols, days, strict=True))
    return np.array([NO_SECTOR if each == UNKNOWN else each for each in found], np.int64)


def refuse_without_sectors(feature_set: FeatureSet, known: Sectors | None) -> None:
    """Raises DataError where the set reads sectors as known on each day, and there are none."""
    if feature_set.reads_sectors and known is None:
        raise DataError(
            "this feature set reads sectors as known on each day: give them as `sectors`, made by"
            " Sectors.of_table(universe)"
        )
