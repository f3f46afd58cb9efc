"""What the loop writes beside its records: where it stands in each log, and the equity curve."""

from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import FloatArray, IntArray

# Where the loop stands: rows used in the order, fill, trade, action, equity and day logs, the next
# event of lives, the session of the latest bar, the moment of the first bar, the end of the latest,
# how many bars of `cursor.moment` wait for `step` to decide on them (-1: none do), the moment that
# `step` met last, rows used in the log of order events, how many orders, the first of their log,
# worked when the run began, and rows used in the log of spans.
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
) = range(15)
PLACES = 15


class Curve(NamedTuple):
    """The account at the end of each timestamp, in currency, as long as there is room; and its
    equity at the end of each session, in money units.
    """

    at: IntArray
    equity: FloatArray
    cash: FloatArray
    gross: FloatArray
    net: FloatArray
    drawdown: FloatArray
    day: IntArray
    day_equity: IntArray


def empty_curve(rows: int, days: int) -> Curve:
    """Room for that many timestamps and sessions; what is not written costs nothing."""
    return Curve(
        at=np.empty(rows, np.int64),
        equity=np.empty(rows),
        cash=np.empty(rows),
        gross=np.empty(rows),
        net=np.empty(rows),
        drawdown=np.empty(rows),
        day=np.empty(days, np.int64),
        day_equity=np.empty(days, np.int64),
    )


def cut_curve(curve: Curve, rows: int, days: int) -> Curve:
    """The rows that were written."""
    return Curve(
        at=curve.at[:rows],
        equity=curve.equity[:rows],
        cash=curve.cash[:rows],
        gross=curve.gross[:rows],
        net=curve.net[:rows],
        drawdown=curve.drawdown[:rows],
        day=curve.day[:days],
        day_equity=curve.day_equity[:days],
    )
