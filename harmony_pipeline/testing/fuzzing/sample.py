"""One input of the fuzz command: files as a vendor writes them, and the settings that read them."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from harmony_pipeline.market.calendars import Calendar

START, END = date(2024, 1, 1), date(2024, 7, 1)
FOLDER = "bars"
_SETTINGS = "harmony.toml"


@dataclass(frozen=True)
class Sample:
    """Files by their path below the folder of the settings, and keys of [market] and
    [market.files].
    """

    vendor: str
    files: dict[str, bytes]
    market: dict[str, object] = field(default_factory=dict)
    reading: dict[str, object] = field(default_factory=dict)
    """keys of [market.files]"""
    ticks: bool = False
    day: date | None = None
    """the day of the ticks"""

    def with_files(self, files: dict[str, bytes]) -> "Sample":
        """The same settings over other files."""
        return replace(self, files=files)

    def write(self, folder: Path, later: float = 0.0) -> Path:
        """Make `folder` hold these files and no others; the settings file. Times of change lie
        `later` seconds ahead.
        """
        for path in sorted((folder / FOLDER).rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        for name, data in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            if later:
                _touch(path, later)
        settings = folder / _SETTINGS
        settings.write_text(self.settings())
        return settings

    def settings(self) -> str:
        """The text of the settings file."""
        market = {
            "source": "files",
            "calendar": "XNYS",
            "timeframe": "1Day",
            "start": START,
            "end": END,
            **self.market,
        }
        reading = {"paths": [FOLDER], **self.reading}
        sections: dict[str, dict[str, object]] = {
            "paths": {"lake": "lake", "state": "state"},
            "market": market,
            "market.files": reading,
            "market.partitions": {"trading_period": "quarter", "retraining_period": "quarter"},
        }
        return "\n".join(
            f"[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in keys.items())
            for name, keys in sections.items()
        )

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(len(data) for data in self.files.values())


def _touch(path: Path, later: float) -> None:
    import os

    moment = path.stat().st_mtime + later
    os.utime(path, (moment, moment))


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return (
            "{ "
            + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items())
            + " }"
        )
    return value.isoformat() if isinstance(value, date) else json.dumps(value, ensure_ascii=True)


# --- prices at the times of a market --------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One bar; `when` is on the clock of the market's zone."""

    when: datetime
    open: float
    high: float
    low: float
    close: float
    volume: int


@dataclass(frozen=True)
class Market:
    """A calendar and the times of day at which its bars of one size begin."""

    calendar: str
    timeframe: str
    minutes: int
    first: timedelta = timedelta()
    a_day: int = 1

    def rows(self, rng: random.Random, count: int, price: float | None = None) -> list[Row]:
        """`count` sound bars from a random day on."""
        days = sessions(self.calendar)
        at = rng.randrange(max(len(days) - count // self.a_day - 2, 1))
        level = price or rng.choice((1.1, 12.5, 187.0, 3900.0))
        found: list[Row] = []
        while len(found) < count and at < len(days):
            midnight = datetime.combine(days[at], datetime.min.time())
            for slot in range(self.a_day):
                level *= 1 + rng.gauss(0, 0.002)
                shut = level * (1 + rng.gauss(0, 0.002))
                high, low = max(level, shut) * 1.001, min(level, shut) * 0.999
                when = midnight + self.first + timedelta(minutes=slot * self.minutes)
                first, top, bottom, last = (round(value, 4) for value in (level, high, low, shut))
                found.append(Row(when, first, top, bottom, last, rng.randint(100, 90_000)))
                level = shut
            at += 1
        return found[:count]

    @property
    def zone(self) -> ZoneInfo:
        """The zone of `Row.when`."""
        return ZoneInfo(Calendar.of(self.calendar).zone)

    def instant(self, row: Row) -> datetime:
        """The instant at which a bar begins."""
        return row.when.replace(tzinfo=self.zone)


@cache
def sessions(calendar: str) -> Sequence[date]:
    """Days of a calendar in the range that samples lie in."""
    return Calendar.of(calendar).sessions(START + timedelta(days=1), END - timedelta(days=20))


US_DAYS = Market("XNYS", "1Day", 1440)
US_MINUTES = Market("XNYS", "1Min", 1, timedelta(hours=9, minutes=30), 30)
US_FIVE = Market("XNYS", "5Min", 5, timedelta(hours=9, minutes=30), 20)
US_HOURS = Market("XNYS", "1Hour", 60, timedelta(hours=9, minutes=30), 7)
INDIA_HALF_HOURS = Market("XBOM", "30Min", 30, timedelta(hours=9, minutes=15), 12)
CHINA_FIVE = Market("XSHG", "5Min", 5, timedelta(hours=9, minutes=30), 20)
INDIA_DAYS = Market("XBOM", "1Day", 1440)
CRYPTO_HOURS = Market("24/7", "1Hour", 60, timedelta(), 24)
FX_HOURS = Market("FX", "1Hour", 60, timedelta(hours=1), 12)
Make = Callable[[random.Random, int], Sample]
