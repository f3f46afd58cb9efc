"""`harmony init FOLDER|FILE`: read a user's bars with the file source, guess the market, write
settings that run.

Everything lies inside the folder of the settings file. An existing file is never overwritten.
"""

import os
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

import polars as pl

from harmony_pipeline.config import load_settings
from harmony_pipeline.errors import ConfigError, DataError, HarmonyError
from harmony_pipeline.market.calendar_detection import DetectedMarket, detect_market
from harmony_pipeline.market.sources.columns import NO_COLUMN
from harmony_pipeline.market.timeframes import TIMEFRAME_SECONDS
from harmony_pipeline.settings_sources import DEFAULT_FILE
from harmony_pipeline.suggestions import unknown_name
from harmony_pipeline.text import excerpt, printable

if TYPE_CHECKING:
    from harmony_pipeline.market.sources.files import FileSource

_ALWAYS, _FOREVER = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_REFERENCES = ("corporate_actions", "universe", "listings")
_BENCHMARK = "SPY"
_NOTES = 5  # remarks of the source that are shown
_OPTIONS = {
    "market.files.timestamp_format": "--timestamp-format",
    'set [market] timeframe = "': 'give --timeframe "',
    "set market.files.symbol_from_filename to": "give --symbol-from-filename with",
    "market.files.symbol_from_filename": "--symbol-from-filename",
}
"""How messages name a setting, and the option of this command that stands for it."""
_COLUMN = re.compile(r'say so under \[market\.files\.columns\]: (\w+) = "NAME IN THE FILE"')
_OR_NONE = f', or "{NO_COLUMN}" where there is none'
_ANY_TIME = """
[scanner]
# these bars hold no premarket: watch every symbol, the most traded first
require_premarket = false
minimum_absolute_gap = "none"
minimum_premarket_volume = "none"
minimum_price = "none"
rank_by = "dollar_volume"
"""


@dataclass(frozen=True)
class Written:
    """The settings file that was made, and what to say of it."""

    file: Path
    sentences: tuple[str, ...]
    following: str
    """The command to type next."""


@dataclass(frozen=True)
class Known:
    """What the caller knows of the bars and need not be guessed."""

    timeframe: str | None = None
    timestamp_format: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    """ours -> the file's"""
    symbol_from_filename: str | None = None

    def __post_init__(self) -> None:
        if self.timeframe is not None and self.timeframe not in TIMEFRAME_SECONDS:
            raise ConfigError(unknown_name("timeframe", self.timeframe, [*TIMEFRAME_SECONDS]))


def columns_of(given: Sequence[str]) -> dict[str, str]:
    """Columns as they are given, `close=Settle` each: ours -> the file's. Raises ConfigError."""
    columns = dict[str, str]()
    for each in given:
        ours, _, theirs = (part.strip() for part in each.partition("="))
        if not ours or not theirs:
            raise ConfigError(
                f"--column '{excerpt(each)}' is not of the form OURS=THEIRS, such as"
                " 'close=Settle' or 'timestamp=Gmt time'"
            )
        columns[ours] = theirs
    return columns


def init(data: Path, output: Path, known: Known = Known()) -> Written:
    """Write `output` for the bars in `data`. Raises ConfigError where that cannot be, DataError for
    files that hold no bars.
    """
    if os.path.lexists(output):
        raise ConfigError(
            f"{printable(output)} exists and is not overwritten: choose another with --output FILE,"
            " or move it away"
        )
    if not data.exists():
        raise ConfigError(
            f"{printable(data)} does not exist: name a folder or a file of bars (.csv, .txt,"
            " .dbn, plain or packed, or .parquet)"
        )
    folder = output.resolve().parent
    paths = [_shown(data, folder)]
    references = _references(data, folder)

    files = _Files(paths, references, folder, known)
    with _options_named():
        found = _detected(files, known)
        if files.refusals:
            raise DataError(files.refusals[0])
    text = _settings_text(data, output, paths, references, found, known)
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("x", encoding="utf-8") as file:
        file.write(text)
    try:
        load_settings(output, {})
    except HarmonyError:
        output.unlink()
        raise
    names = ", ".join(excerpt(symbol, 20) for symbol in found.symbols[:8]) + (
        " ..." if found.symbols[8:] else ""
    )
    all_rows = found.rows + files.unread.height
    sentences = [
        (
            f"read {found.rows:,}{f' of {all_rows:,}' if all_rows > found.rows else ''} rows of {len(found.symbols)} symbols ({names}), {found.start} to"
            f" {found.end}"
        ),
        (
            f"guessed: {_bars_guessed(found, known)}calendar {found.calendar}, stamps without a"
            f" zone are {found.timezone}"
        ),
        *files.why_unread(),
        *files.notes[:_NOTES],
        *found.reasons,
        *(f"found {key}: {path}" for key, path in references.items()),
    ]
    options = (
        ""
        if output.resolve() == Path(DEFAULT_FILE).resolve()
        else f" --config {shlex.quote(str(output))}"
    )
    return Written(output, tuple(sentences), f"harmony{options} run")


def _detected(files: "_Files", known: Known) -> DetectedMarket:
    """The market of the files. Where no row can be read, the first one says why."""
    try:
        return detect_market(files.read, files.vendor_clocks, known.timeframe)
    except DataError:
        if files.readable or not files.why_unread():
            raise
        (why,) = files.why_unread()
        raise DataError(f"no row of these files could be read: {why}") from None


def _bars_guessed(found: DetectedMarket, known: Known) -> str:
    return f"{found.timeframe} bars, " if known.timeframe is None else ""


@contextmanager
def _options_named() -> Iterator[None]:
    """What cannot be read before there are settings is settled by an option of this command."""
    try:
        yield
    except (ConfigError, DataError) as error:
        text = str(error)
        for key, option in _OPTIONS.items():
            text = text.replace(key, option)
        text = _COLUMN.sub(r"give --column '\1=NAME IN THE FILE'", text)
        text = text.replace("[market.files.columns] maps", "--column maps")
        text = text.replace("[market.files.columns] names", "--column names")
        text = text.replace(_OR_NONE, f", or --column volume={NO_COLUMN} where there is none")
        raise type(error)(text) from None


class _Files:
    """Readable rows of the files, by the source that `ingest` will use."""

    def __init__(
        self,
        paths: Sequence[str],
        references: dict[str, str],
        folder: Path,
        known: Known,
    ) -> None:
        self.paths, self.references, self.folder = paths, references, folder
        self.known = known
        self.refusals: tuple[str, ...] = ()
        """why the files' rows may not be kept, as they were last read"""
        self.readable = 0
        """rows that could be read, as they were last read"""
        self.unread = pl.DataFrame()
        """rows that lack a cell, as they were last read"""
        self.notes: tuple[str, ...] = ()
        """what the source remarked of the files"""
        self._source: FileSource | None = None

    def read(self, calendar: str, timeframe: str, zone: str) -> pl.DataFrame:
        """The rows, on this calendar and clock."""
        from harmony_pipeline.market.settings import MarketSettings
        from harmony_pipeline.market.source_settings import FileSourceSettings
        from harmony_pipeline.market.sources.registry import build_source

        files = FileSourceSettings.model_validate(
            {
                "paths": tuple(self.paths),
                "timezone": zone,
                "timestamp_format": self.known.timestamp_format,
                "columns": self.known.columns,
                **_given_symbol(self.known),
                **self.references,
            }
        )
        market = MarketSettings(source="files", calendar=calendar, timeframe=timeframe, files=files)  # type: ignore[arg-type]
        self._source = cast("FileSource", build_source(market, self.folder))
        found = self._source.read_bars(None, _ALWAYS, _FOREVER, timeframe)
        self.refusals, self.notes = found.refusals, found.notes
        readable = pl.col("defect").is_null() & pl.col("close").is_not_null()
        self.unread = found.rows.filter(~readable)
        rows = found.rows.filter(readable)
        self.readable = rows.height
        return rows

    def why_unread(self) -> list[str]:
        """How many rows cannot be read, and the first of them; nothing where all can be."""
        if self.unread.is_empty():
            return []
        first = self.unread.sort("origin", "row").row(0, named=True)
        example = f"line {first['row']} of {first['origin']}"
        why = first["defect"] or "there is no close"
        return [f"{self.unread.height:,} rows cannot be read, such as {example}: {why}"]

    def vendor_clocks(self) -> tuple[str, ...]:
        """The clocks on which the vendors of the files write."""
        return () if self._source is None else self._source.vendor_clocks()


def _given_symbol(known: Known) -> dict[str, str]:
    """The setting that finds symbols in files' names, where it is given."""
    given = known.symbol_from_filename
    return {} if given is None else {"symbol_from_filename": given}


def _references(data: Path, folder: Path) -> dict[str, str]:
    """Reference data beside the bars, by the names that the settings have for it."""
    beside = data if data.is_dir() else data.parent
    return {
        key: _shown(beside / f"{key}.csv", folder)
        for key in _REFERENCES
        if (beside / f"{key}.csv").is_file()
    }


def _shown(path: Path, folder: Path) -> str:
    """A path as it is written into the settings: relative to their folder where it lies inside, `$`
    kept from being a variable.
    """
    resolved = path.resolve()
    if "$" in str(resolved):
        raise ConfigError(
            f"{printable(path)}: a path with $ cannot be written into settings, where it begins a"
            " variable: rename the folder"
        )
    return (
        resolved.relative_to(folder).as_posix()
        if resolved.is_relative_to(folder)
        else resolved.as_posix()
    )


def _settings_text(
    data: Path,
    output: Path,
    paths: Sequence[str],
    references: dict[str, str],
    found: DetectedMarket,
    known: Known,
) -> str:
    """The settings file."""
    given = known.timestamp_format
    stamps = f"timestamp_format = {_text(given)}\n" if given is not None else ""
    names = ", ".join(f"{ours} = {_text(theirs)}" for ours, theirs in known.columns.items())
    stamps += f"columns = {{ {names} }}\n" if names else ""
    for key, value in _given_symbol(known).items():
        stamps += f"{key} = {_text(value)}\n"
    zone = f"timezone = {_text(found.timezone)}\n" if found.timezone != "UTC" else ""
    benchmark = f"benchmark = {_text(_BENCHMARK)}\n" if _BENCHMARK in found.symbols else ""
    more = "".join(f"{key} = {_text(path)}\n" for key, path in references.items())
    place = f".harmony/{output.stem}"
    return f"""# Written by `harmony init {printable(data)}`: {found.rows} rows of {len(found.symbols)} symbols. Every guess is yours to correct.
# Every key, its default and meaning: `harmony doctor --settings`.

[paths]
lake = {_text(f"{place}/lake")}
state = {_text(f"{place}/state")}

[market]
source = "files"
calendar = {_text(found.calendar)}
timeframe = {_text(found.timeframe)}
start = {found.start}
end = {found.end}  # exclusive
{benchmark}
[market.files]
paths = [{", ".join(_text(path) for path in paths)}]
{zone}{stamps}{more}
[market.partitions]
trading_period = {_text(found.trading_period)}
retraining_period = {_text(found.retraining_period)}
{"" if found.premarket else _ANY_TIME}"""


def _text(value: str) -> str:
    """A TOML string."""
    escaped = "".join(
        f"\\u{ord(one):04x}" if ord(one) < 0x20 or one == "\x7f" else one
        for one in value.replace("\\", "\\\\").replace('"', '\\"')
    )
    return f'"{escaped}"'
