"""The clock of a broker's server, whose readings are written as if they were UTC.

Most brokers of MetaTrader run seven hours ahead of New York, summer and winter: their day then
begins at 17:00 in New York, and a week has five of them. That is UTC+2, and UTC+3 while New York
(and not Europe) keeps summer time, which no zone of the tz database is. Others run on a zone.

>>> ServerClock.of("New York + 7").utc(pl.Series([1704153600]))  # 2024-01-02 00:00 on the server
2024-01-01 22:00 UTC

Of an hour that the clock repeats (01:00 to 02:00 in New York, a Sunday night on which currencies
rest) the first pass is read. One that it leaves out has no instant.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    import polars as pl

_NEW_YORK = re.compile(r"new[ _]york\s*(?:([+-])\s*(\d{1,2}))?", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROS = 1_000_000


@dataclass(frozen=True)
class ServerClock:
    """The wall clock of `zone`, moved on by `ahead`."""

    text: str
    zone: str
    ahead: timedelta = timedelta()

    @staticmethod
    def of(text: str) -> "ServerClock":
        """From `New York + 7` or the name of a zone. Raises ValueError for other text."""
        found = _NEW_YORK.fullmatch(text.strip())
        if found:
            hours = int(found[2] or 0) * (-1 if found[1] == "-" else 1)
            return ServerClock(text, "America/New_York", timedelta(hours=hours))
        try:
            ZoneInfo(text)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"'{text}' is no clock: write New York + 7, which most brokers run on, or a zone"
                " such as Europe/Athens, Etc/GMT-3 (three hours ahead of UTC) or UTC"
            ) from None
        return ServerClock(text, text)

    def seconds(self, moment: datetime) -> int:
        """The server's reading at an instant, in seconds since its own 1970."""
        wall = moment.astimezone(ZoneInfo(self.zone)).replace(tzinfo=UTC) + self.ahead
        return (wall - _EPOCH) // timedelta(seconds=1)

    def utc(self, readings: "pl.Series", per_second: int = 1) -> "pl.Series":
        """Instants (UTC) of readings in parts of a second; null where the clock shows none such."""
        import polars as pl  # settings use this module too

        micros = readings.cast(pl.Int64) * (_MICROS // per_second)
        wall = (micros - self.ahead // timedelta(microseconds=1)).cast(pl.Datetime("us"))
        local = wall.dt.replace_time_zone(self.zone, ambiguous="earliest", non_existent="null")
        return local.dt.convert_time_zone("UTC").dt.cast_time_unit("us")

    def offset(self, moment: datetime) -> timedelta:
        """How far the server is ahead of UTC at an instant."""
        return timedelta(seconds=self.seconds(moment)) - (moment - _EPOCH)
