"""The clock of a file's stamps: a time zone, or one that is whole hours ahead of a zone all year.

    America/New_York+7

is the clock of most MetaTrader servers: their day begins when New York's trading day ends, at
17:00 there, in summer and winter. No time zone has that clock, since those of eastern Europe
change to summer two or three weeks after New York and back one week before it.
"""

import re
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.text import excerpt

_AHEAD = re.compile(r"(.+?)([+-]\d{1,2})")


@dataclass(frozen=True)
class FileClock:
    """A zone, and the hours that the clock is ahead of it."""

    zone: str
    hours: int = 0

    @staticmethod
    def of(text: str) -> "FileClock":
        """The clock that the setting `market.files.timezone` means. Raises ConfigError when it
        means none.
        """
        if _is_zone(text):
            return FileClock(text)
        if (found := _AHEAD.fullmatch(text)) and _is_zone(found[1]):
            return FileClock(found[1], int(found[2]))
        raise ConfigError(
            f"market.files.timezone is '{excerpt(text)}', which is no time zone: write it like"
            " America/New_York or UTC, or America/New_York+7 for a clock that is 7 hours ahead"
        )

    @property
    def ahead(self) -> timedelta:
        """What is taken from a stamp to have the time in `zone`."""
        return timedelta(hours=self.hours)


UTC_CLOCK = FileClock("UTC")


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True
