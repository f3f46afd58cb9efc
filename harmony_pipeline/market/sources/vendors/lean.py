"""The files of QuantConnect's engine Lean: zips without column names, whose folders and names tell
the rest.

    equity/usa/minute/aapl/20140605_trade.zip   20140605_aapl_minute_trade.csv
    equity/usa/hour/aapl.zip                    aapl.csv
    future/cme/minute/es/20131007_trade.zip     20131007_es_minute_trade_201312.csv, ...

Intraday rows begin with milliseconds since midnight of the date in the name, longer bars with
`20140605 09:00`. Prices of shares are ten-thousandths of a dollar, those of everything else stand
as they are. Currencies and CFDs have quotes only: their bars are read as the middle of bid and ask,
with volume 0. Source: quantconnect.com/docs/v2/lean-engine/data-format, and the files of
github.com/QuantConnect/Lean.
"""

import re
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.sources.file_discovery import stem_of
from harmony_pipeline.market.sources.text_forms import NOT_READ, TextForm, TextTable
from harmony_pipeline.market.sources.vendors.nameless_tables import LEAN_QUOTES, Layout

_MEMBER = re.compile(
    r"(?P<date>\d{8})_(?P<ticker>.+?)_(?P<size>tick|second|minute)"
    r"_(?P<kind>trade|quote|openinterest)(?:_(?P<rest>.+))?"
)
_LONG = re.compile(r"(?P<ticker>.+?)(?:_(?P<kind>trade|quote|openinterest))?(?:_(?P<rest>.+))?")
_CONTRACT = re.compile(r"(?:19|20)(\d\d)(0[1-9]|1[0-2])(?:_\d{8})?")  # of a future: its month
_OPTION = re.compile(r".*(?:call|put)_\d+_\d{8}|(?:\d{4}_)?(?:trade_|quote_)?(?:american|european)")
_MONTHS = "FGHJKMNQUVXZ"
_SCALED, _UNSCALED = (
    frozenset({"equity", "option"}),
    frozenset(
        {"index", "indexoption", "forex", "cfd", "crypto", "cryptofuture", "future", "futureoption"}
    ),
)
_PER_DOLLAR = 10_000.0
_SHARES = ("equity", "option", "index")
_CLOCKS = (
    (("equity", "option"), ("usa",), "America/New_York"),
    (("index",), ("usa",), "America/Chicago"),
    (("index", "indexoption"), ("cboe",), "America/New_York"),
    (("indexoption",), ("usa",), "America/New_York"),
    ((*_SHARES, "future"), ("india",), "Asia/Kolkata"),
    (("index", "future"), ("eurex",), "Europe/Berlin"),
    (("index", "future"), ("hkfe",), "Asia/Hong_Kong"),
    (("index", "future"), ("krx",), "Asia/Seoul"),
    (("index", "future"), ("ose",), "Asia/Tokyo"),
    (("forex", "cfd"), ("fxcm",), "Etc/GMT+5"),
)
"""kind of security, market, `dataTimeZone` in Data/market-hours/market-hours-database.json of Lean;
what is not here is UTC there
"""
_CENT = 100  # ten-thousandths
_MOST = 0.95  # of prices that are whole cents
_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class LeanFile:
    """What the name of a text says: its date (none for long bars), symbol and kind of rows; and the
    layout of the rows, None where they are no bars and `refusal` is to be told of them.
    """

    path: Path
    stem: str
    date: str | None
    symbol: str
    kind: str
    layout: Layout | None = None
    refusal: str | None = None


def is_named_by_lean(member: str) -> bool:
    """Whether the name of a text is one of Lean's for intraday rows."""
    return _MEMBER.fullmatch(stem_of(member)) is not None


def describe_lean(form: TextForm, path: Path, member: str, origin: str) -> LeanFile:
    """A text that Lean's names or stamps mark as its own; `member` is its name inside the zip
    `path`. Raises DataError for one that cannot be used.
    """
    file = _named(stem_of(member), path)
    if file.refusal is not None:
        return file
    if form.layout is None:
        raise DataError(
            f"{origin} has the name of a file of Lean, and its rows are not Lean's (milliseconds of"
            " the day, open, high, low, close, volume): fetch it again, or rename it"
        )
    return replace(file, layout=form.layout)


def _named(stem: str, path: Path) -> LeanFile:
    named = _MEMBER.fullmatch(stem)
    found = named or _LONG.fullmatch(stem)
    assert found is not None
    date = named["date"] if named else None
    kind, rest, symbol = found["kind"] or "trade", found["rest"] or "", found["ticker"].upper()
    month = _CONTRACT.fullmatch(rest)
    if month:
        symbol += f"{_MONTHS[int(month[2]) - 1]}{month[1]}"
    file = LeanFile(path, stem, date, symbol, kind)
    beside = path.with_name(path.name.replace("_quote", "_trade"))
    refusal = None
    if not month and _OPTION.fullmatch(rest):
        refusal = f"Lean's contracts of options {NOT_READ}"
    elif named and named["size"] == "tick":
        refusal = f"Lean's single ticks are no bars, and {NOT_READ}"
    elif kind == "openinterest":
        refusal = f"Lean's files of open interest {NOT_READ}"
    elif kind == "quote" and beside != path and beside.exists():
        refusal = f"Lean's quotes {NOT_READ} where trades lie beside them"
    return replace(file, refusal=refusal)


def bars_of_lean(table: TextTable, form: TextForm, file: LeanFile) -> TextTable:
    """The table of a file's cells, in its layout, with stamps, prices and unit as bars have
    them.
    """
    stamps = table.cells["timestamp"]
    if file.date is not None and not form.is_dated_lean:
        stamps = _stamps_of_day(stamps, file.date)
    prices = (
        _middle(table.cells)
        if table.layout == LEAN_QUOTES
        else table.cells.select(*_PRICES, "volume").get_columns()
    )
    symbol = pl.Series("symbol", [file.symbol]).new_from_index(0, len(stamps))
    cells = pl.DataFrame([stamps, symbol, *prices])
    found = replace(
        table, cells=cells, header=tuple(cells.columns), timezone=_clock_of(file.path), note=None
    )
    return _with_unit(found, file.path)


def _clock_of(path: Path) -> str | None:
    """The clock on which Lean writes what lies in such folders; None where they do not tell."""
    parts = [part.lower() for part in path.parts]
    for kind, market in reversed(list(pairwise(parts))):
        for kinds, markets, zone in _CLOCKS:
            if kind in kinds and market in markets:
                return zone
    return None


def _stamps_of_day(millis: pl.Series, day: str) -> pl.Series:
    """Milliseconds since midnight as a date and a time; other cells as they stand."""
    count = pl.col("timestamp").cast(pl.Int64, strict=False)
    clock = (
        pl.lit(day).str.to_datetime("%Y%m%d", time_unit="ms", strict=False)
        + pl.duration(milliseconds=count.fill_null(0))
    ).dt.strftime("%Y-%m-%d %H:%M:%S%.3f")
    known = count.is_between(0, 86_399_999) & clock.is_not_null()
    return millis.to_frame().select(
        pl.when(known).then(clock).otherwise("timestamp").alias("timestamp")
    )["timestamp"]


def _middle(cells: pl.DataFrame) -> list[pl.Series]:
    """Open, high, low and close half-way between bid and ask, one side where the other is empty;
    and a volume of 0.
    """
    texts = cells.select(pl.exclude("timestamp")).get_columns()
    decimals = max(
        (int(text.str.extract(r"\.(\d+)$", 1).str.len_bytes().max() or 0) for text in texts),  # type: ignore[arg-type]
        default=0,
    )
    middles = []
    for name in _PRICES:
        bid, ask = (
            pl.col(f"{side} {name}").cast(pl.Float64, strict=False) for side in ("bid", "ask")
        )
        middle = ((bid + ask) / 2.0).round(decimals + 1)
        middles.append(pl.coalesce(middle, bid, ask).alias(name))
    return cells.select(*middles, volume=pl.lit(0.0)).get_columns()


def _with_unit(table: TextTable, path: Path) -> TextTable:
    """`table` with the unit of its prices: the folder's kind of security tells it; else the prices
    do, or leave it open.
    """
    folders = (part.lower() for part in reversed(path.parts))
    kind = next((part for part in folders if part in _SCALED | _UNSCALED), None)
    if kind in _SCALED:
        return replace(table, price_divisor=_PER_DOLLAR)
    values = pl.concat([_numbers(table.cells[name]) for name in _PRICES])
    if kind in _UNSCALED or not len(values) or not bool((values % 1.0 == 0.0).all()):
        return replace(table, price_divisor=1.0)
    if float((values % _CENT == 0.0).mean() or 0.0) >= _MOST:  # type: ignore[arg-type]
        note = (
            f"{table.origin}: its prices are whole cents in Lean's unit of 1/10000, and were"
            " divided by 10,000; set market.files.price_scale = 1 if they are prices as they stand"
        )
        return replace(table, price_divisor=_PER_DOLLAR, note=note)
    question = (
        f"{table.origin} has whole prices like {values[0]:,.0f}, and no folder says whether they"
        " are shares: set market.files.price_scale = 1e-4 for shares, 1 for anything else"
    )
    return replace(table, unit_question=question)


def _numbers(cells: pl.Series) -> pl.Series:
    return cells.cast(pl.Float64, strict=False).drop_nulls().alias("price")
