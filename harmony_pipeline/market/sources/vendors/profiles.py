"""Vendors whose files tell by their columns who wrote them, and what follows from it.

A profile is data. It says what the cells alone do not: where in a file's name the symbol stands,
which bars are stamped at their end, on which clocks the vendor writes. What a person sets in
[market.files] always goes before it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from harmony_pipeline.market.file_clock import UTC_CLOCK
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.columns import plain
from harmony_pipeline.market.sources.file_name_symbols import AUTO
from harmony_pipeline.market.sources.vendors.nameless_tables import METATRADER_4, METATRADER_CHART
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES

SERVER_CLOCK = "America/New_York+7"
"""That of most MetaTrader servers: their day begins at 17:00 in New York."""
_SIZES = r"(?:M\d{1,2}|H\d{1,2}|D1|W1|MN1?|Daily|Weekly|Monthly)"
_MINUTES = {"Daily": 1440, "D1": 1440, "Weekly": 10_080, "W1": 10_080}
_JOINED = re.compile(rf"^(.+?)_?({_SIZES}|1|5|15|30|60|240|1440|10080|43200)$")
_DATED = "%Y.%m.%d %H:%M"


@dataclass(frozen=True)
class Profile:
    """One vendor's files.

    `columns` are names (without typography) that a file of the vendor has; `layouts` are those of
    its tables without names. `symbol` is an expression whose group 1 is the symbol in a file's
    name. Bars whose cell in the column `ends[0]` is one of `ends[1]` are stamped at their end.
    `clocks` are those on which stamps without a zone may be written, likeliest first. With
    `server_clock`, epochs too show such a clock. `venues` is a column whose values tell rows of one
    symbol and time apart; `unnamed` is the cure for a file that names no symbol.
    """

    name: str
    columns: frozenset[str] = frozenset()
    layouts: tuple[str, ...] = ()
    symbol: str | None = None
    ends: tuple[str, tuple[str, ...]] | None = None
    clocks: tuple[str, ...] = ()
    server_clock: bool = False
    venues: str | None = None
    unnamed: str | None = None


PROFILES = (
    Profile(
        "MetaTrader",
        layouts=(METATRADER_CHART, METATRADER_4),
        clocks=(SERVER_CLOCK, "Europe/Athens", "Etc/GMT+5"),
        server_clock=True,
    ),
    Profile(
        "MetaTrader",
        frozenset({"tickvol"}),
        symbol=rf"^(.+)_{_SIZES}(?:_\d{{8,12}}_\d{{8,12}})?$",
        clocks=(SERVER_CLOCK, "Europe/Athens"),
        server_clock=True,
    ),
    Profile(
        "MetaTrader 5's Python package",
        frozenset({"tickvolume", "realvolume"}),
        symbol=rf"^(.+)_{_SIZES}(?:_\d{{4,12}}(?:_\d{{4,12}})?)?$",
        clocks=(SERVER_CLOCK, "Europe/Athens"),
        server_clock=True,
    ),
    Profile(
        "Stooq",
        frozenset({"ticker", "per", "date", "time", "vol", "openint"}),
        ends=("per", ("60",)),
        clocks=("Europe/Warsaw",),
    ),
    Profile(
        "Databento",
        frozenset({"tsevent", "publisherid", "instrumentid"}),
        venues="publisherid",
        unnamed="request it with map_symbols, or as DBN, which names its symbols",
    ),
    Profile(
        "Binance",
        frozenset({"opentime", "closetime", "quotevolume", "takerbuyvolume"}),
        symbol=r"^([A-Z0-9]+(?:_[A-Z0-9]+)?)-\d{1,2}(?:s|m|h|d|w|mo)-\d{4}-\d\d(?:-\d\d)?$",
    ),
)
"""The first that fits is the file's."""


def find_profile(header: Sequence[str], layout: str | None) -> Profile | None:
    """The profile of a file by its column names, or by the layout of a table without names."""
    names = {plain(name) for name in header}
    for profile in PROFILES:
        if layout in profile.layouts or (profile.columns and profile.columns <= names):
            return profile
    return None


def adapt_settings(
    settings: FileSourceSettings, profile: Profile, cells: pl.DataFrame, stem: str
) -> FileSourceSettings:
    """`settings` with what the profile tells where they leave it open."""
    found: dict[str, object] = {}
    if settings.symbol_from_filename == AUTO and (pattern := _symbol_pattern(profile, cells, stem)):
        found["symbol_from_filename"] = pattern
    if settings.stamp == "auto" and _ends(profile, cells):
        found["stamp"] = "end"
    settings = on_server_clock(settings, profile)
    return settings.model_copy(update=found) if found else settings


def on_server_clock(settings: FileSourceSettings, profile: Profile) -> FileSourceSettings:
    """`settings` by which epochs, too, show the clock of a server, once that is named."""
    if not profile.server_clock or settings.timezone == UTC_CLOCK.zone:
        return settings
    return settings.model_copy(update={"wall_clock": True})


def venues_note(
    profile: Profile, cells: pl.DataFrame, matched: Mapping[str, str], origin: str
) -> str | None:
    """What to say of a file in which several venues have a row of one symbol and time."""
    if profile.venues is None or "symbol" not in matched:
        return None
    venue = next(name for name in cells.columns if plain(name) == profile.venues)
    if cells[venue].n_unique() < 2:
        return None
    keys = cells.select(matched["symbol"], matched["timestamp"])
    if not keys.is_duplicated().any():
        return None
    return (
        f"{origin} has rows of several venues ({venue}) for one symbol and time, and the one with"
        " the most volume becomes the bar: request one venue, or a dataset that puts them together"
    )


def clock_note(settings: FileSourceSettings, profile: Profile, timeframe: str) -> str | None:
    """What to say of stamps on a server's clock that the settings do not name."""
    named = settings.timezone != UTC_CLOCK.zone or settings.wall_clock
    if not profile.server_clock or named or timeframe in LONG_TIMEFRAMES:
        return None
    return (
        "files of MetaTrader are stamped on the clock of their server, and were read as UTC: set"
        f' market.files.timezone = "{SERVER_CLOCK}", which most servers have, or another ("Etc/UTC"'
        " if it is UTC)"
    )


def _symbol_pattern(profile: Profile, cells: pl.DataFrame, stem: str) -> str | None:
    """An expression that finds the symbol in `stem`; None where the usual rules should."""
    if profile.symbol is not None:
        return profile.symbol if re.search(profile.symbol, stem) else None
    if profile.layouts and (found := _JOINED.match(stem)):
        # `US30` is a symbol, `EURUSD30` one and a size: only the spacing of the rows can tell
        size = found[2]
        if _minutes_of(size) == _usual_step(cells):
            return rf"^(.+?)_?{size}$"
    return None


def _minutes_of(size: str) -> int | None:
    if size.isdigit():
        return int(size)
    if size in _MINUTES:
        return _MINUTES[size]
    count = int(size[1:]) if size[1:].isdigit() else 0
    return count * 60 if size.startswith("H") else count or None


def _usual_step(cells: pl.DataFrame) -> int | None:
    """Minutes between neighbouring rows of a table without names of MetaTrader."""
    text = cells.to_series(0).head(2_000)
    if "time" in cells.columns:
        text = pl.select(
            pl.concat_str(text, cells["time"].head(2_000), separator=" ").alias("stamp")
        ).to_series()
    stamps = text.str.slice(0, 16).str.to_datetime(_DATED, strict=False)
    steps = stamps.diff().dt.total_minutes().drop_nulls()
    usual = steps.filter(steps > 0).mode().min()
    return usual if isinstance(usual, int) else None


def _ends(profile: Profile, cells: pl.DataFrame) -> bool:
    if profile.ends is None:
        return False
    column = next(name for name in cells.columns if plain(name) == profile.ends[0])
    values = set(cells[column].head(1_000).str.strip_chars().unique().to_list())
    return bool(values) and values <= set(profile.ends[1])
