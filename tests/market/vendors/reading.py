"""Vendors' files as a FileSource reads them."""

from pathlib import Path

import polars as pl
from market.raw_rows import utc

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.base import SourceResult
from harmony_pipeline.market.sources.files import FileSource

BAR = ("symbol", "timestamp", "open", "high", "low", "close", "volume")
_ALWAYS, _FOREVER = utc(1900, 1, 1), utc(2200, 1, 1)


def answer(
    folder: Path, calendar: str, timeframe: str, *paths: str, **settings: object
) -> SourceResult:
    """Everything that the files of `folder` give."""
    files = FileSourceSettings(paths=paths or (".",), **settings)  # type: ignore[arg-type]
    source = FileSource(files, Calendar.of(calendar), folder, timeframe)
    return source.read_bars(None, _ALWAYS, _FOREVER, timeframe)


def bars(result: SourceResult) -> pl.DataFrame:
    """The bars of an answer, sorted by symbol and time."""
    return result.rows.select(BAR).sort("symbol", "timestamp")
