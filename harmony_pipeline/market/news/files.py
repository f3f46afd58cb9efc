"""Headlines from files: CSV and its cousins (also gzipped or zipped), JSON lines, JSON and Parquet,
told apart by what is in them.

A row of several symbols (`AAPL,MSFT`, or a list) becomes a row for each. Every row keeps the place
that it came from, and what could not be read of it is null, with a sentence in `defect`.
"""

import glob
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.news.settings import NewsSettings
from harmony_pipeline.market.sources.cell_parsing import (
    cell_texts,
    quote_column,
    read_stamps,
    strip_texts,
)
from harmony_pipeline.market.sources.columns import Columns, match_columns
from harmony_pipeline.market.sources.file_discovery import expand_path
from harmony_pipeline.market.sources.parquet_files import check_ends, parquet_errors
from harmony_pipeline.market.sources.text_tables import read_text_tables
from harmony_pipeline.schemas import TEXT, TIME, WHOLE
from harmony_pipeline.text import excerpt

READ_DTYPES: dict[str, Any] = {
    "symbol": TEXT,
    "published_at": TIME,
    "published_date": pl.Boolean(),
    "headline": TEXT,
    "received_at": TIME,
    "source": TEXT,
    "origin": TEXT,
    "row": WHOLE,
    "defect": TEXT,
}
NEWS_COLUMNS = Columns(
    "news",
    "columns",
    ("symbol", "published_at", "headline"),
    {
        "symbol": ("symbol", "symbols", "ticker", "tickers", "sym", "related"),
        "published_at": (
            "published at", "published", "published utc", "created at", "publish date",
            "publication date", "pub date", "datetime", "timestamp", "date time", "time", "date",
        ),
        "headline": ("headline", "title", "news", "text", "summary"),
        "received_at": ("received at", "received", "known at", "delivered at", "ingested at"),
    },
    section="news",
)  # fmt: skip
_LISTS = ("news", "articles", "results", "data", "items")  # where replies keep their rows
_MANY = r"[,;|\s]+"
_CLOCK = r":|^\s*\d{9,}"  # of a stamp that says more than a date: a colon, or an epoch


@dataclass
class NewsFiles:
    """What files hold: rows of READ_DTYPES, and remarks."""

    rows: pl.DataFrame
    files: int
    notes: list[str] = field(default_factory=list)


def read_news_files(settings: NewsSettings, folder: Path) -> NewsFiles:
    """Every row of every file. A file that cannot be read, or lacks a column, is an error: what it
    holds would be missing without a word.
    """
    paths = news_paths(settings.paths, folder)
    frames, notes = [pl.DataFrame(schema=READ_DTYPES)], list[str]()
    if not paths:
        notes.append(f"news.paths ({', '.join(settings.paths)}) has no file yet")
    for path in paths:
        origin, rows = _origin(path, folder), 0
        for table in _tables(path, origin):
            if not table.rows.len() and not table.cells.width:
                continue
            rows += table.rows.len()
            frame = _typed(table, origin, settings)
            if frame["published_date"].any():
                notes.append(
                    f"{origin} has dates without a time of day: its headlines count as known at"
                    " the end of their day"
                )
            frames.append(frame)
        if not rows:
            found = "no headline" if path.stat().st_size else "0 bytes"
            notes.append(f"{origin} is empty ({found}): fetch it again, or take it out")
    return NewsFiles(pl.concat(frames), len(paths), notes)


def news_paths(paths: Sequence[str], folder: Path) -> list[Path]:
    """The files that the setting means, sorted; none where a folder is still empty. Raises
    ConfigError without a path, DataError for one that leads nowhere.
    """
    if not paths:
        raise ConfigError('news.paths is empty: name a file, a folder or a glob, as ["news/*.csv"]')
    found = set[Path]()
    for text in paths:
        path = expand_path(text, folder, "news.paths")
        if path.is_dir():
            mine = [
                each
                for each in path.rglob("*")
                if each.is_file() and not any(part[0] in "._" for part in _below(each, path))
            ]
        elif path.is_file():
            mine = [path]
        else:
            mine = [Path(each) for each in glob.glob(str(path), recursive=True)]
            mine = [each for each in mine if each.is_file()]
        if not mine and not path.is_dir():
            raise DataError(f"news.paths has '{excerpt(text)}', which leads to no file: correct it")
        found.update(mine)
    return sorted(found)


def _below(path: Path, folder: Path) -> tuple[str, ...]:
    return path.relative_to(folder).parts


def _origin(path: Path, folder: Path) -> str:
    try:
        return str(path.relative_to(folder.resolve()))
    except ValueError:
        return str(path)


class _Table(NamedTuple):
    """Cells of one table, where each row stands, and what is wrong with a row as a whole."""

    cells: pl.DataFrame
    rows: pl.Series
    bent: pl.Series


def _tables(path: Path, origin: str) -> Iterator[_Table]:
    with path.open("rb") as file:
        head = file.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()
    if head.startswith(b"PAR1"):
        check_ends(path, origin)
        with parquet_errors(origin):
            frame = pl.read_parquet(path, hive_partitioning=False)
        places = pl.int_range(1, frame.height + 1, eager=True)
        yield _Table(frame, places, pl.Series([None] * frame.height, dtype=pl.String))
    elif head.startswith((b"{", b"[")):
        yield _json_cells(path.read_text(encoding="utf-8-sig", errors="replace"))
    else:
        for table in read_text_tables(path, origin):
            if table.cells.width:
                yield _Table(table.cells, table.rows, table.bent)


def _json_cells(text: str) -> _Table:
    """JSON lines; or one document: a list, or an object that holds one."""
    whole = _whole(text)
    if whole is not None:
        found = list(enumerate(whole, start=1))
    else:
        found = [
            (number, _object(line))
            for number, line in enumerate(text.splitlines(), start=1)
            if line.strip()
        ]
    names = dict.fromkeys(name for _number, each in found for name in each or ())
    columns = {
        name: pl.Series(
            name, [_cell((each or {}).get(name)) for _number, each in found], dtype=pl.String
        )
        for name in names
    }
    return _Table(
        pl.DataFrame(columns),
        pl.Series([number for number, _each in found], dtype=pl.Int64),
        pl.Series(
            [_NO_OBJECT if each is None else None for _number, each in found], dtype=pl.String
        ),
    )


_NO_OBJECT = "the row is no JSON object"


def _whole(text: str) -> list[dict[str, Any] | None] | None:
    """The rows of a text that is one JSON document; None where it is lines of them."""
    try:
        document = json.loads(text)
    except ValueError:
        return None
    if isinstance(document, Mapping):
        lists = [document[name] for name in _LISTS if isinstance(document.get(name), list)]
        document = lists[0] if lists else [document]
    return [each if isinstance(each, dict) else None for each in document]


def _object(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _cell(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, list):
        return ",".join(str(_cell(each)) for each in value if each is not None)
    return value if isinstance(value, str) else json.dumps(value)


def _typed(table: _Table, origin: str, settings: NewsSettings) -> pl.DataFrame:
    cells = table.cells
    matched = match_columns(cells.columns, settings.columns, origin, NEWS_COLUMNS)
    stamps = read_stamps(cells[matched["published_at"]], settings.timezone, None)
    received = pl.Series([None] * cells.height, dtype=TIME)
    asked = received.is_not_null()
    if "received_at" in matched:
        asked = strip_texts(cell_texts(cells[matched["received_at"]])).is_not_null()
        received = read_stamps(cells[matched["received_at"]], settings.timezone, None).instant
    frame = pl.DataFrame(
        {
            "symbol": _symbols(cells[matched["symbol"]]),
            "published_at": stamps.instant.cast(TIME),
            "headline": cells[matched["headline"]].cast(pl.String),
            "received_at": received.cast(TIME),
            "row": table.rows.cast(pl.Int64),
            "_bent": table.bent,
            "_published": cell_texts(cells[matched["published_at"]]),
            "_unread": asked & received.is_null(),
        }
    )
    wall = stamps.written.drop_nulls()
    # a day's worth of midnights is a column of dates that was typed as times
    midnights = wall.len() > 0 and bool((wall.dt.time() == time()).all())
    dates = pl.lit(midnights) | ~pl.col("_published").str.contains(_CLOCK)
    dates &= pl.col("published_at").is_not_null()
    return _each_symbol(frame).select(
        "symbol",
        "published_at",
        dates.fill_null(value=False).alias("published_date"),
        pl.col("headline").str.replace_all(r"\s+", " ").str.strip_chars(),
        "received_at",
        pl.lit("files").alias("source"),
        pl.lit(origin).alias("origin"),
        "row",
        pl.when(pl.col("_bent").is_not_null())
        .then("_bent")
        .when(pl.col("published_at").is_null())
        .then(pl.concat_str(pl.lit("published_at is "), quote_column("_published")))
        .when("_unread")
        .then(pl.lit("received_at cannot be read as a time"))
        .alias("defect"),
    )


def _symbols(cells: pl.Series) -> pl.Series:
    if isinstance(cells.dtype, pl.List):
        return cells.cast(pl.List(pl.String)).list.join(",")
    return cells.cast(pl.String)


def _each_symbol(frame: pl.DataFrame) -> pl.DataFrame:
    """A row for each symbol that is named; one without a symbol stays one row."""
    named = pl.col("symbol").str.replace_all(r"[\[\]\"']", "").str.strip_chars()
    split = pl.when(named != "").then(named.str.replace_all(_MANY, ",").str.split(","))
    return frame.with_columns(symbol=split).explode(
        "symbol", empty_as_null=True, keep_nulls=True
    ).with_columns(symbol=pl.when(pl.col("symbol") != "").then("symbol"))  # fmt: skip
