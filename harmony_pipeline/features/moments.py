"""The bars of many symbols in order of time, so that those of one moment can be compared."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
from harmony_pipeline.features.catalog import FeatureColumn
from harmony_pipeline.features.comparisons import Peers


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
    def of(symbols: Sequence[str], starts: IntArray, stamps: IntArray, peers: Peers) -> "Moments":
        """Of rows sorted by symbol and time: `starts` has the first row of each symbol and the
        number of rows, `stamps` the start of each bar in microseconds.
        """
        order = np.argsort(stamps, kind="stable")
        in_time, lengths = stamps[order], np.diff(starts)
        begins = np.flatnonzero(in_time[1:] != in_time[:-1]) + 1
        bounds = (0, *begins, stamps.size) if stamps.size else (0,)
        sectors, in_market = peer_arrays(symbols, peers)
        return Moments(
            order,
            np.array(bounds, np.int64),
            np.repeat(sectors, lengths)[order],
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
