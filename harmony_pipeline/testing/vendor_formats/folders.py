"""Folders of bars as each vendor writes them: the same few symbols' random walks in every vendor's
own file names, columns, stamps, packings and units.

The prices are invented and the same at every call. What a vendor's files look like was read in the
places that docs/vendor-bars.md names.
"""

import gzip
import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl
import pyarrow as pa

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.sources.vendors.profiles import SERVER_CLOCK
from harmony_pipeline.testing.vendor_files import Market, Walk, bar_starts, simulate_walk
from harmony_pipeline.testing.vendor_formats.dbn_writer import dbn_bytes

NEW_YORK, WARSAW = "America/New_York", "Europe/Warsaw"
_SEED = 4_711
_SHARES = (
    Walk("AAPL", 187.3, 0.01, 0.0008, 0.004, 40_000.0),
    Walk("MSFT", 402.1, 0.01, 0.0007, 0.004, 25_000.0),
)
_PAIRS = (Walk("EURUSD", 1.0853, 1e-5, 0.0006, 0.0004, 2_400.0),)
_COINS = (Walk("BTCUSDT", 93_500.0, 0.01, 0.0006, 0.0, 12.0, 1e-5),)
_FUTURE = (Walk("ES", 5_010.0, 0.25, 0.0006, 0.001, 9_000.0),)


@dataclass(frozen=True)
class VendorFolder:
    """What one vendor's files hold, how they are written, and how they should be read.

    `write` puts them below a folder and returns their paths; `bars` has the rows that reading must
    give (symbol, timestamp, open, high, low, close, volume), `zone` the one line that is to be set
    where stamps carry none and nothing in the files tells, which `harmony init` finds out.
    """

    calendar: str
    timeframe: str
    bars: Callable[[], pl.DataFrame]
    write: Callable[[Path, pl.DataFrame], list[Path]]
    zone: str = "UTC"


def walks(
    calendar: str, minutes: int, first: date, end: date, whose: tuple[Walk, ...]
) -> pl.DataFrame:
    """symbol, timestamp, open, high, low, close, volume of every walk, sorted by both."""
    market = Market(calendar, minutes, first, end, whose, str, lambda bars, _: bars)
    starts = bar_starts(market, first, end)
    frames = [
        simulate_walk(walk, starts, _SEED + at).select(pl.lit(walk.name).alias("symbol"), pl.all())
        for at, walk in enumerate(whose)
    ]
    return pl.concat(frames).sort("symbol", "timestamp")


def daily(calendar: str, first: date, end: date, whose: tuple[Walk, ...]) -> pl.DataFrame:
    """As `walks`, one bar a session, stamped at midnight UTC of its date."""
    bars = walks(calendar, 60, first, end, whose)
    dates = Calendar.of(calendar).session_dates(bars["timestamp"])
    day = pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("timestamp")
    return (
        bars.with_columns(dates.alias("date"))
        .group_by("symbol", "date", maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
        )
        .select("symbol", day, "open", "high", "low", "close", "volume")
    )


# --- texts ----------------------------------------------------------------------------------------


def _of_each(bars: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    return [(str(key[0]), rows) for key, rows in bars.group_by("symbol", maintain_order=True)]


def _prices(rows: pl.DataFrame, decimals: int) -> pl.DataFrame:
    texts = [
        pl.Series(name, [f"{value:.{decimals}f}" for value in rows[name].to_list()])
        for name in ("open", "high", "low", "close")
    ]
    return rows.with_columns(texts)


def _stamped(rows: pl.DataFrame, form: str, zone: str = "UTC", ahead: str = "0h") -> pl.Series:
    local = rows["timestamp"].dt.convert_time_zone(zone).dt.replace_time_zone(None)
    return local.dt.offset_by(ahead).dt.strftime(form)


def _csv(columns: pl.DataFrame, separator: str = ",", *, header: bool = True) -> bytes:
    buffer = io.BytesIO()
    columns.write_csv(buffer, separator=separator, include_header=header, line_terminator="\r\n")
    return buffer.getvalue()


def _put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def _zip(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _zstd(data: bytes) -> bytes:
    packed = pa.Codec("zstd").compress(data, asbytes=True)
    assert isinstance(packed, bytes)
    return packed


# --- MetaTrader -----------------------------------------------------------------------------------


def _mt5(folder: Path, bars: pl.DataFrame, *, timed: bool = True) -> list[Path]:
    """Symbols, Bars, Export Bars: tabs, names in angle brackets, the server's clock, no column of
    times where the bars are daily.
    """
    paths = []
    for symbol, rows in _of_each(bars):
        zone, ahead = (NEW_YORK, "7h") if timed else ("UTC", "0h")
        clock = [_stamped(rows, "%H:%M:%S", zone, ahead).alias("<TIME>")] if timed else []
        priced = _prices(rows, 5)
        table = pl.DataFrame(
            [
                _stamped(rows, "%Y.%m.%d", zone, ahead).alias("<DATE>"),
                *clock,
                *(priced[name].alias(f"<{name.upper()}>") for name in ("open", "high", "low")),
                priced["close"].alias("<CLOSE>"),
                rows["volume"].cast(pl.Int64).alias("<TICKVOL>"),
                pl.Series("<VOL>", [0] * rows.height),
                pl.Series("<SPREAD>", [9] * rows.height),
            ]
        )
        size = "H1" if timed else "Daily"
        span = [_stamped(rows, "%Y%m%d%H%M", zone, ahead)[at] for at in (0, -1)]
        name = f"{symbol}_{size}_{span[0]}_{span[1]}.csv"
        paths.append(_put(folder / name, _csv(table, "\t")))
    return paths


def _mt5_daily(folder: Path, bars: pl.DataFrame) -> list[Path]:
    return _mt5(folder, bars, timed=False)


def _mt5_chart(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """A chart's File, Save: UTF-16, commas, no line of names, tick volume and real volume."""
    paths = []
    for symbol, rows in _of_each(bars):
        table = pl.DataFrame(
            [
                _stamped(rows, "%Y.%m.%d %H:%M:%S", NEW_YORK, "7h").alias("stamp"),
                *_prices(rows, 5).select("open", "high", "low", "close").get_columns(),
                rows["volume"].cast(pl.Int64).alias("ticks"),
                pl.Series("real", [0] * rows.height),
            ]
        )
        text = _csv(table, header=False).decode()
        paths.append(_put(folder / f"{symbol}H1.csv", b"\xff\xfe" + text.encode("utf-16-le")))
    return paths


def _mt5_python(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """`pandas.DataFrame(copy_rates_range(...)).to_csv()`: seconds of the server's clock."""
    paths = []
    for symbol, rows in _of_each(bars):
        wall = rows["timestamp"].dt.convert_time_zone(NEW_YORK).dt.replace_time_zone(None)
        table = pl.DataFrame(
            [
                wall.dt.offset_by("7h").dt.epoch("s").alias("time"),
                *_prices(rows, 5).select("open", "high", "low", "close").get_columns(),
                rows["volume"].cast(pl.Int64).alias("tick_volume"),
                pl.Series("spread", [9] * rows.height),
                pl.Series("real_volume", [0] * rows.height),
            ]
        )
        paths.append(_put(folder / f"{symbol}_H1.csv", _csv(table)))
    return paths


def _mt4(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """History Center, Export: `2024.03.07,17:00,...` without a line of names, `EURUSD60.csv`."""
    paths = []
    for symbol, rows in _of_each(bars):
        table = pl.DataFrame(
            [
                _stamped(rows, "%Y.%m.%d", NEW_YORK, "7h").alias("date"),
                _stamped(rows, "%H:%M", NEW_YORK, "7h").alias("time"),
                *_prices(rows, 5).select("open", "high", "low", "close").get_columns(),
                rows["volume"].cast(pl.Int64),
            ]
        )
        paths.append(_put(folder / f"{symbol}60.csv", _csv(table, header=False)))
    return paths


# --- Databento, Polygon ---------------------------------------------------------------------------


def _databento_rows(bars: pl.DataFrame, *, pretty: bool) -> pl.DataFrame:
    nanos = bars["timestamp"].dt.epoch("us") * 1000
    stamp = bars["timestamp"].dt.strftime("%Y-%m-%dT%H:%M:%S.000000000Z") if pretty else nanos
    numbers = {symbol: 1000 + at for at, (symbol, _) in enumerate(_of_each(bars))}
    prices = (
        _prices(bars, 9)
        if pretty
        else bars.with_columns(
            (pl.col("open", "high", "low", "close") * 1e9).round().cast(pl.Int64)
        )
    )
    return pl.DataFrame(
        [
            stamp.alias("ts_event"),
            pl.Series("rtype", [33] * bars.height),
            pl.Series("publisher_id", [2] * bars.height),
            bars["symbol"].replace_strict(numbers).alias("instrument_id"),
            *prices.select("open", "high", "low", "close").get_columns(),
            bars["volume"].cast(pl.Int64),
            bars["symbol"],
        ]
    )


def _databento_csv(folder: Path, bars: pl.DataFrame) -> list[Path]:
    name = "xnas-itch-20240307-20240315.ohlcv-1m.csv.zst"
    ordered = bars.sort("timestamp", "symbol")
    return [_put(folder / name, _zstd(_csv(_databento_rows(ordered, pretty=True))))]


def _databento_whole(folder: Path, bars: pl.DataFrame) -> list[Path]:
    name = "xnas-itch-20240307-20240315.ohlcv-1m.csv"
    return [_put(folder / name, _csv(_databento_rows(bars, pretty=False)))]


def _dbn(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """One day a file, as a split download comes; zstd on the first, plain on the others."""
    paths = []
    for at, (key, rows) in enumerate(
        bars.group_by(pl.col("timestamp").dt.date().alias("day"), maintain_order=True)
    ):
        data = dbn_bytes(rows.sort("timestamp", "symbol"), "1Min", version=1 + at % 3)
        name = f"xnas-itch-{key[0]:%Y%m%d}.ohlcv-1m.dbn"
        path = folder / (name if at else f"{name}.zst")
        paths.append(_put(path, data if at else _zstd(data)))
    return paths


def _dbn_daily(folder: Path, bars: pl.DataFrame) -> list[Path]:
    data = dbn_bytes(bars.sort("timestamp", "symbol"), "1Day")
    return [_put(folder / "xnas-itch-20230901-20240331.ohlcv-1d.dbn.zst", _zstd(data))]


def _polygon(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """Flat files: one day of all tickers, nanoseconds, closes before highs, gzip."""
    paths = []
    for key, rows in bars.group_by(
        pl.col("timestamp").dt.convert_time_zone(NEW_YORK).dt.date().alias("day"),
        maintain_order=True,
    ):
        table = pl.DataFrame(
            [
                rows["symbol"].alias("ticker"),
                rows["volume"].cast(pl.Int64),
                *_prices(rows, 2).select("open", "close", "high", "low").get_columns(),
                (rows["timestamp"].dt.epoch("us") * 1000).alias("window_start"),
                pl.Series("transactions", [120] * rows.height),
            ]
        )
        path = folder / f"{key[0]:%Y/%m/%Y-%m-%d}.csv.gz"
        paths.append(_put(path, gzip.compress(_csv(table), mtime=0)))
    return paths


def _polygon_day(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """Daily flat files: the window starts at midnight in New York."""
    midnight = (
        pl.col("timestamp")
        .dt.replace_time_zone(None)
        .dt.replace_time_zone(NEW_YORK)
        .dt.convert_time_zone("UTC")
    )
    return _polygon(folder, bars.with_columns(midnight))


# --- coins ----------------------------------------------------------------------------------------


def _binance(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """Spot dumps: a zip a month, no line of names; milliseconds to 2024, microseconds from 2025."""
    paths = []
    for key, rows in bars.group_by(
        "symbol", pl.col("timestamp").dt.strftime("%Y-%m").alias("month"), maintain_order=True
    ):
        unit = 1 if str(key[1]) >= "2025" else 1000
        stem = f"{key[0]}-1m-{key[1]}"
        data = _csv(_binance_rows(rows, unit), header=False).replace(b"\r\n", b"\n")
        paths.append(_put(folder / f"{stem}.zip", _zip({f"{stem}.csv": data})))
    return paths


def _binance_futures(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """Futures dumps: milliseconds in all years, with a line of names since May 2022."""
    paths = []
    for key, rows in bars.group_by(
        "symbol", pl.col("timestamp").dt.date().alias("day"), maintain_order=True
    ):
        stem = f"{key[0]}-1m-{key[1]}"
        data = _csv(_binance_rows(rows, 1000)).replace(b"\r\n", b"\n")
        paths.append(_put(folder / f"{stem}.zip", _zip({f"{stem}.csv": data})))
    return paths


def _binance_rows(rows: pl.DataFrame, unit: int) -> pl.DataFrame:
    opened = rows["timestamp"].dt.epoch("us") // unit
    amount = rows["volume"] * rows["close"]
    return pl.DataFrame(
        [
            opened.alias("open_time"),
            *_prices(rows, 8).select("open", "high", "low", "close").get_columns(),
            pl.Series("volume", [f"{value:.8f}" for value in rows["volume"].to_list()]),
            (opened + 60_000_000 // unit - 1).alias("close_time"),
            amount.round(8).alias("quote_volume"),
            pl.Series("count", [900] * rows.height),
            (rows["volume"] / 2).round(8).alias("taker_buy_volume"),
            (amount / 2).round(8).alias("taker_buy_quote_volume"),
            pl.Series("ignore", [0] * rows.height),
        ]
    )


# --- Lean -----------------------------------------------------------------------------------------


def _millis(rows: pl.DataFrame, zone: str) -> pl.Series:
    wall = rows["timestamp"].dt.convert_time_zone(zone)
    return ((wall.dt.hour().cast(pl.Int64) * 60 + wall.dt.minute()) * 60_000).alias("millis")


def _ten_thousandths(rows: pl.DataFrame) -> list[pl.Series]:
    scaled = rows.with_columns(
        (pl.col("open", "high", "low", "close") * 1e4).round().cast(pl.Int64)
    )
    return scaled.select("open", "high", "low", "close").get_columns()


def _lean_minutes(
    folder: Path,
    bars: pl.DataFrame,
    zone: str,
    place: str,
    columns: Callable[[pl.DataFrame], list[pl.Series]],
    kind: str = "trade",
) -> list[Path]:
    paths = []
    local = pl.col("timestamp").dt.convert_time_zone(zone).dt.strftime("%Y%m%d")
    for key, rows in bars.group_by("symbol", local.alias("day"), maintain_order=True):
        name = str(key[0]).lower()
        table = pl.DataFrame([_millis(rows, zone), *columns(rows)])
        member = f"{key[1]}_{name}_minute_{kind}.csv"
        path = folder / place / name / f"{key[1]}_{kind}.zip"
        paths.append(_put(path, _zip({member: _csv(table, header=False)})))
    return paths


def _lean_equity(folder: Path, bars: pl.DataFrame) -> list[Path]:
    return _lean_minutes(
        folder,
        bars,
        NEW_YORK,
        "equity/usa/minute",
        lambda rows: [*_ten_thousandths(rows), rows["volume"].cast(pl.Int64)],
    )


def _lean_long(folder: Path, bars: pl.DataFrame, size: str) -> list[Path]:
    paths = []
    for symbol, rows in _of_each(bars):
        zone = "UTC" if size == "daily" else NEW_YORK
        table = pl.DataFrame(
            [
                _stamped(rows, "%Y%m%d %H:%M", zone).alias("stamp"),
                *_ten_thousandths(rows),
                rows["volume"].cast(pl.Int64),
            ]
        )
        name = symbol.lower()
        path = folder / f"equity/usa/{size}/{name}.zip"
        paths.append(_put(path, _zip({f"{name}.csv": _csv(table, header=False)})))
    return paths


def _lean_hour(folder: Path, bars: pl.DataFrame) -> list[Path]:
    return _lean_long(folder, bars, "hour")


def _lean_daily(folder: Path, bars: pl.DataFrame) -> list[Path]:
    return _lean_long(folder, bars, "daily")


def _lean_crypto(folder: Path, bars: pl.DataFrame) -> list[Path]:
    return _lean_minutes(
        folder,
        bars,
        "UTC",
        "crypto/binance/minute",
        lambda rows: [
            *_prices(rows, 2).select("open", "high", "low", "close").get_columns(),
            rows["volume"],
        ],
    )


def _lean_forex(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """Quote bars of an hour: bid, its size, ask, its size; a spread of two points."""
    paths = []
    for symbol, rows in _of_each(bars):
        sides = [
            _prices(rows.with_columns(pl.col("open", "high", "low", "close") + step), 5)
            for step in (-0.00001, 0.00001)
        ]
        table = pl.DataFrame([_stamped(rows, "%Y%m%d %H:%M").alias("stamp")]).hstack(
            [
                column.alias(f"{side}{name}")
                for side, own in zip(("bid", "ask"), sides, strict=True)
                for name, column in (
                    *((name, own[name]) for name in ("open", "high", "low", "close")),
                    ("size", pl.Series([0] * rows.height)),
                )
            ]
        )
        name = symbol.lower()
        path = folder / f"forex/oanda/hour/{name}.zip"
        paths.append(_put(path, _zip({f"{name}.csv": _csv(table, header=False)})))
    return paths


def _lean_future(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """One zip a day with a member for each contract."""
    paths = []
    day = pl.col("timestamp").dt.strftime("%Y%m%d").alias("day")
    for key, rows in bars.group_by(day, maintain_order=True):
        table = pl.DataFrame(
            [
                _millis(rows, "UTC"),
                *_prices(rows, 2).select("open", "high", "low", "close").get_columns(),
                rows["volume"].cast(pl.Int64),
            ]
        )
        members = {f"{key[0]}_es_minute_trade_202406.csv": _csv(table, header=False)}
        path = folder / f"future/cme/minute/es/{key[0]}_trade.zip"
        paths.append(_put(path, _zip(members)))
    return paths


# --- text vendors ---------------------------------------------------------------------------------


def _kibot(folder: Path, bars: pl.DataFrame) -> list[Path]:
    paths = []
    for symbol, rows in _of_each(bars):
        table = pl.DataFrame(
            [
                _stamped(rows, "%m/%d/%Y", NEW_YORK).alias("date"),
                _stamped(rows, "%H:%M", NEW_YORK).alias("time"),
                *_prices(rows, 2).select("open", "high", "low", "close").get_columns(),
                rows["volume"].cast(pl.Int64),
            ]
        )
        paths.append(_put(folder / f"{symbol}.txt", _csv(table, header=False)))
    return paths


def _kibot_daily(folder: Path, bars: pl.DataFrame) -> list[Path]:
    paths = []
    for symbol, rows in _of_each(bars):
        table = pl.DataFrame(
            [
                _stamped(rows, "%m/%d/%Y").alias("date"),
                *_prices(rows, 2).select("open", "high", "low", "close").get_columns(),
                rows["volume"].cast(pl.Int64),
            ]
        )
        paths.append(_put(folder / f"{symbol}.txt", _csv(table, header=False)))
    return paths


def _firstrate(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """The archive of one letter: a text file a ticker, without a line of names."""
    members = {}
    for symbol, rows in _of_each(bars):
        table = pl.DataFrame(
            [
                _stamped(rows, "%Y-%m-%d %H:%M:%S", NEW_YORK).alias("stamp"),
                *_prices(rows, 2).select("open", "high", "low", "close").get_columns(),
                rows["volume"].cast(pl.Int64),
            ]
        )
        members[f"{symbol}_full_1min_UNADJUSTED.txt"] = _csv(table, header=False)
    return [_put(folder / "stock_A_full_1min_UNADJUSTED_a1b2c3.zip", _zip(members))]


def _firstrate_headed(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """A free sample: the same with a line of names."""
    paths = []
    for symbol, rows in _of_each(bars):
        table = pl.DataFrame(
            [
                _stamped(rows, "%Y-%m-%d %H:%M:%S", NEW_YORK).alias("timestamp"),
                *_prices(rows, 2).select("open", "high", "low", "close").get_columns(),
                rows["volume"].cast(pl.Int64),
            ]
        )
        paths.append(_put(folder / f"{symbol}_1min_sample.csv", _csv(table)))
    return paths


def _tradingview(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """Export chart data with UNIX time; an indicator stands beside the volume."""
    paths = []
    for symbol, rows in _of_each(bars):
        table = pl.DataFrame(
            [
                rows["timestamp"].dt.epoch("s").alias("time"),
                *_prices(rows, 2).select("open", "high", "low", "close").get_columns(),
                rows["volume"].cast(pl.Int64).alias("Volume"),
                rows["volume"].round(2).alias("Volume MA"),
            ]
        )
        paths.append(_put(folder / f"BATS_{symbol}, 1.csv", _csv(table)))
    return paths


def _tradingview_fx(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """ISO time, and no column of volume, as charts without that study are exported."""
    paths = []
    for symbol, rows in _of_each(bars):
        stamp = rows["timestamp"].dt.convert_time_zone(NEW_YORK).dt.strftime("%Y-%m-%dT%H:%M:%S%:z")
        table = pl.DataFrame(
            [
                stamp.alias("time"),
                *_prices(rows, 5).select("open", "high", "low", "close").get_columns(),
            ]
        )
        paths.append(_put(folder / f"OANDA_{symbol}, 60.csv", _csv(table)))
    return paths


def _stooq_rows(rows: pl.DataFrame, symbol: str, per: str, zone: str, moved: str) -> bytes:
    size = rows.height
    table = pl.DataFrame(
        [
            pl.Series("<TICKER>", [symbol] * size),
            pl.Series("<PER>", [per] * size),
            _stamped(rows, "%Y%m%d", zone, moved).alias("<DATE>"),
            _stamped(rows, "%H%M%S", zone, moved).alias("<TIME>"),
            *(
                _prices(rows, 3)[name].alias(f"<{name.upper()}>")
                for name in ("open", "high", "low", "close")
            ),
            rows["volume"].alias("<VOL>"),
            pl.Series("<OPENINT>", [0] * size),
        ]
    )
    return _csv(table)


def _stooq(folder: Path, bars: pl.DataFrame) -> list[Path]:
    return _stooq_archive(folder, bars, "daily", ("D", "UTC", "0h"))


def _stooq_five(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """Five minutes: the start of the bar on Warsaw's clock."""
    return _stooq_archive(folder, bars, "5 min", ("5", WARSAW, "0h"))


def _stooq_hour(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """Hours: the end of the bar on Warsaw's clock."""
    return _stooq_archive(folder, bars, "hourly", ("60", WARSAW, "1h"))


def _stooq_archive(
    folder: Path, bars: pl.DataFrame, size: str, rows: tuple[str, str, str]
) -> list[Path]:
    """A file a symbol, in the folders of the archive; `rows`: period, clock and how far the stamp
    is from the start.
    """
    place = folder / f"data/{size}/us/nasdaq stocks"
    return [
        _put(place / f"{symbol.lower()}.txt", _stooq_rows(own, symbol, *rows))
        for symbol, own in _of_each(bars)
    ]


def _stooq_page(folder: Path, bars: pl.DataFrame) -> list[Path]:
    """What a page of stooq.pl hands out: Polish names, one symbol."""
    paths = []
    for symbol, rows in _of_each(bars):
        table = pl.DataFrame(
            [
                _stamped(rows, "%Y-%m-%d").alias("Data"),
                *(
                    _prices(rows, 2)[name].alias(theirs)
                    for name, theirs in (
                        ("open", "Otwarcie"),
                        ("high", "Najwyzszy"),
                        ("low", "Najnizszy"),
                        ("close", "Zamkniecie"),
                    )
                ),
                rows["volume"].cast(pl.Int64).alias("Wolumen"),
            ]
        )
        paths.append(_put(folder / f"{symbol.lower()}_us_d.csv", _csv(table)))
    return paths


# --- the table ------------------------------------------------------------------------------------

_CHANGE, _AFTER = date(2024, 3, 7), date(2024, 3, 16)  # New York's clocks change on March 10


def _us_minutes() -> pl.DataFrame:
    return walks("XNYS", 1, _CHANGE, _AFTER, _SHARES)


def _us_fives() -> pl.DataFrame:
    return walks("XNYS", 5, date(2024, 3, 7), date(2024, 4, 3), _SHARES)


def _us_hours() -> pl.DataFrame:
    """Bars on the clock's grid, as Lean and Stooq cut them: the first is 09:00 to 10:00."""
    fives = walks("XNYS", 5, date(2024, 3, 1), date(2024, 4, 12), _SHARES)
    return (
        fives.group_by("symbol", pl.col("timestamp").dt.truncate("1h"), maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
        )
        .sort("symbol", "timestamp")
    )


def _us_days() -> pl.DataFrame:
    return daily("XNYS", date(2023, 9, 1), date(2024, 4, 1), _SHARES)


def _us_forty_days() -> pl.DataFrame:
    return daily("XNYS", date(2024, 1, 29), date(2024, 3, 26), _SHARES)


def _fx_hours() -> pl.DataFrame:
    """Over both changes of clocks, so that they tell New York's from Europe's."""
    return walks("FX", 60, date(2024, 2, 26), date(2024, 4, 13), _PAIRS)


def _fx_days() -> pl.DataFrame:
    return daily("FX", date(2024, 1, 2), date(2024, 4, 13), _PAIRS)


def _new_year() -> pl.DataFrame:
    return walks("24/7", 1, date(2024, 12, 31), date(2025, 1, 2), _COINS)


def _future_minutes() -> pl.DataFrame:
    return walks("CMES", 1, date(2024, 3, 8), date(2024, 3, 13), _FUTURE).with_columns(
        symbol=pl.lit("ESM24")
    )


def _without_volume(bars: Callable[[], pl.DataFrame]) -> Callable[[], pl.DataFrame]:
    return lambda: bars().with_columns(volume=pl.lit(0.0))


def _as_stooq(bars: Callable[[], pl.DataFrame]) -> Callable[[], pl.DataFrame]:
    return lambda: bars().with_columns(symbol=pl.col("symbol") + ".US")


FOLDERS: Mapping[str, VendorFolder] = {
    "metatrader5": VendorFolder("FX", "1Hour", _fx_hours, _mt5, SERVER_CLOCK),
    "metatrader5_daily": VendorFolder("FX", "1Day", _fx_days, _mt5_daily),
    "metatrader5_chart": VendorFolder("FX", "1Hour", _fx_hours, _mt5_chart, SERVER_CLOCK),
    "metatrader5_python": VendorFolder("FX", "1Hour", _fx_hours, _mt5_python, SERVER_CLOCK),
    "metatrader4": VendorFolder("FX", "1Hour", _fx_hours, _mt4, SERVER_CLOCK),
    "databento_csv": VendorFolder("XNYS", "1Min", _us_minutes, _databento_csv),
    "databento_whole": VendorFolder("XNYS", "1Min", _us_minutes, _databento_whole),
    "databento_dbn": VendorFolder("XNYS", "1Min", _us_minutes, _dbn),
    "databento_daily": VendorFolder("XNYS", "1Day", _us_days, _dbn_daily),
    "polygon_minute": VendorFolder("XNYS", "1Min", _us_minutes, _polygon),
    "polygon_day": VendorFolder("XNYS", "1Day", _us_forty_days, _polygon_day),
    "binance_spot": VendorFolder("24/7", "1Min", _new_year, _binance),
    "binance_futures": VendorFolder("24/7", "1Min", _new_year, _binance_futures),
    "lean_equity_minute": VendorFolder("XNYS", "1Min", _us_minutes, _lean_equity),
    "lean_equity_hour": VendorFolder("XNYS", "1Hour", _us_hours, _lean_hour),
    "lean_equity_daily": VendorFolder("XNYS", "1Day", _us_days, _lean_daily),
    "lean_crypto": VendorFolder("24/7", "1Min", _new_year, _lean_crypto),
    "lean_forex": VendorFolder("FX", "1Hour", _without_volume(_fx_hours), _lean_forex),
    "lean_future": VendorFolder("CMES", "1Min", _future_minutes, _lean_future),
    "kibot": VendorFolder("XNYS", "1Min", _us_minutes, _kibot, NEW_YORK),
    "kibot_daily": VendorFolder("XNYS", "1Day", _us_days, _kibot_daily),
    "firstrate": VendorFolder("XNYS", "1Min", _us_minutes, _firstrate, NEW_YORK),
    "firstrate_sample": VendorFolder("XNYS", "1Min", _us_minutes, _firstrate_headed, NEW_YORK),
    "tradingview": VendorFolder("XNYS", "1Min", _us_minutes, _tradingview),
    "tradingview_fx": VendorFolder("FX", "1Hour", _without_volume(_fx_hours), _tradingview_fx),
    "stooq_daily": VendorFolder("XNYS", "1Day", _as_stooq(_us_days), _stooq),
    "stooq_page": VendorFolder("XNYS", "1Day", _us_days, _stooq_page),
    "stooq_5_minutes": VendorFolder("XNYS", "5Min", _as_stooq(_us_fives), _stooq_five, WARSAW),
    "stooq_hour": VendorFolder("XNYS", "1Hour", _as_stooq(_us_hours), _stooq_hour, WARSAW),
}
