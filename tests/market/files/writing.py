"""Small files of bars for tests, and their rows as a FileSource reads them."""

from pathlib import Path

import polars as pl
from market.raw_rows import utc

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.files import FileSource

NYSE = Calendar.of("XNYS")
ALWAYS, FOREVER = utc(1900, 1, 1), utc(2200, 1, 1)
HEADER = "timestamp,open,high,low,close,volume"
ROWS = (
    "2024-01-02T14:30:00Z,10,11,9,10.5,100",
    "2024-01-02T14:31:00Z,10.5,12,10,11,200",
    "2024-01-02T14:32:00Z,11,11,11,11,300",
)


def write(path: Path, *lines: str) -> Path:
    """`lines` as a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    return path


def source(folder: Path, *paths: str, **settings: object) -> FileSource:
    """A source over files below `folder`."""
    return FileSource(FileSourceSettings(paths=paths or (".",), **settings), NYSE, folder)  # type: ignore[arg-type]


def read(folder: Path, *paths: str, timeframe: str = "1Min", **settings: object) -> pl.DataFrame:
    """Every row of the files."""
    return source(folder, *paths, **settings).bars(None, ALWAYS, FOREVER, timeframe)
