"""What the loop writes beside its records: where it stands in each log, and the equity curve."""

from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.lent_memory import ArrayRoom

# Where the loop stands: rows used in the order, fill, trade, action, equity and day logs, the next
# event of lives, the session of the latest bar, the moment of the first bar, the end of the latest,
# how many bars of `cursor.moment` wait for `step` to decide on them (-1: none do), the moment that
# `step` met last, rows used in the log of order events, how many orders, the first of their log,
# worked when the run began, and rows used in the logs of spans and of round trips.
(
    ORDERS,
    FILLS,
    TRADES,
    APPLICATIONS,
    EQUITIES,
    DAYS,
    NEXT_LIFE,
    SESSION,
    FIRST_BAR,
    LAST_END,
    UNDECIDED,
    MET,
    EVENTS,
    CARRIED,
    SPANS,
    TRIPS,
) = range(16)
PLACES = 16
_ROW_BYTES, _LINE = 40, 8  # of a curve; rows of a line of the cache


class Curve(NamedTuple):
    """The account at the end of each timestamp, in currency, as long as there is room; and its
    equity at the end of each session, in money units. Of a run on one symbol `at` is empty: its
    rows are those of the bars.
    """

    at: IntArray
    equity: FloatArray
    cash: FloatArray
    gross: FloatArray
    net: FloatArray
    drawdown: FloatArray
    day: IntArray
    day_equity: IntArray


def empty_curve(rows: int, days: int, *, has_moments: bool) -> Curve:
    """Room for that many timestamps and sessions; what is not written costs nothing."""
    whole = -(-rows // _LINE) * _LINE  # so that each column begins with a line of the cache
    columns = ArrayRoom(whole * _ROW_BYTES).empty((5, whole), np.float64)
    equity, cash, gross, net, drawdown = columns[:, :rows]
    at = np.empty(rows if has_moments else 0, np.int64)
    day, day_equity = np.empty(days, np.int64), np.empty(days, np.int64)
    return Curve(at, equity, cash, gross, net, drawdown, day, day_equity)


def cut_curve(curve: Curve, at: IntArray, days: int) -> Curve:
    """The rows that were written, whose moments are `at`."""
    rows = len(at)
    return Curve(
        at=at,
        equity=curve.equity[:rows],
        cash=curve.cash[:rows],
        gross=curve.gross[:rows],
        net=curve.net[:rows],
        drawdown=curve.drawdown[:rows],
        day=curve.day[:days],
        day_equity=curve.day_equity[:days],
    )
