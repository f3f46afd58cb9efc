"""The hours of a calendar's sessions as plain numbers, for work that asks for a few of them again
and again.
"""

from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import polars as pl

from harmony_pipeline.arrays import IntArray

DAY = timedelta(days=1) // timedelta(microseconds=1)
NEVER = -(1 << 62)  # a moment before every bar; with the other sign, after every bar


class SessionHours(NamedTuple):
    """Hours of sessions in a row, [sessions] microseconds since 1970; UTC, but `wall_open` on the
    exchange's clock. `midnight` is that of the date, on either clock. A break that there is not
    begins and ends after every bar; what comes `before` the first session of all, before every bar.
    """

    midnight: IntArray
    wall_open: IntArray
    open: IntArray
    close: IntArray
    break_start: IntArray
    break_end: IntArray
    before: IntArray
    """end of the session before, hours after the close included"""

    @classmethod
    def of(cls, table: pl.DataFrame, zone: str) -> "SessionHours":
        """Those of a calendar's table."""
        wall = table["open"].dt.convert_time_zone(zone).dt.replace_time_zone(None)
        ends = table["post_close"].to_physical().to_numpy()
        return cls(
            table["date"].to_physical().to_numpy().astype(np.int64) * DAY,
            wall.to_physical().to_numpy(),
            table["open"].to_physical().to_numpy(),
            table["close"].to_physical().to_numpy(),
            table["break_start"].to_physical().fill_null(-NEVER).to_numpy(),
            table["break_end"].to_physical().fill_null(-NEVER).to_numpy(),
            np.concatenate((np.full(min(1, ends.size), NEVER), ends[:-1])),
        )

    def row_of(self, day: date) -> int:
        """The first session on this date or after it."""
        return int(np.searchsorted(self.midnight, (day - date(1970, 1, 1)).days * DAY))

    def cut(self, begin: int, end: int) -> "SessionHours":
        """Sessions from number `begin` to before number `end`."""
        return SessionHours(*(column[begin:end] for column in self))
