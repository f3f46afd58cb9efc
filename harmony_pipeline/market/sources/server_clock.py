"""The clock of a broker's server, whose readings are written as if they were UTC.

Most brokers of MetaTrader run seven hours ahead of New York, summer and winter: their day then
begins at 17:00 in New York, and a week has five of them. That is UTC+2, and UTC+3 while New York
(and not Europe) keeps summer time, which no zone of the tz database is. Others run on a zone.

>>> midnight = pl.Series([1704153600])  # what the server writes for its 2024-01-02 00:00
>>> ServerClock.of("America/New_York+7").utc(midnight)[0].isoformat()
'2024-01-01T22:00:00+00:00'

Of an hour that the clock repeats (01:00 to 02:00 in New York, a Sunday night on which currencies
rest) the first pass is read. One that it leaves out has no instant.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    import polars as pl

_AHEAD = re.compile(r"(\w+(?:/\w+)*)\s*([+-])\s*(\d{1,2})")
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
        """From the name of a zone, or one with hours: `America/New_York+7`. Raises ValueError for
        other text.
        """
        for zone, hours in _readings(text.strip()):
            try:
                ZoneInfo(zone)
            except (ZoneInfoNotFoundError, ValueError, OSError):
                continue
            return ServerClock(text, zone, timedelta(hours=hours))
        raise ValueError(
            f"'{text}' is no clock: write America/New_York+7, which most brokers run on, or a zone"
            " such as Europe/Athens, Etc/GMT-3 (three hours ahead of UTC) or UTC"
        )

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


def _readings(text: str) -> Iterator[tuple[str, int]]:
    """What a text may mean: the zone of that name (Etc/GMT-3), or one and hours ahead of it."""
    yield text, 0
    found = _AHEAD.fullmatch(text)
    if found:
        yield found[1], int(found[3]) * (-1 if found[2] == "-" else 1)
