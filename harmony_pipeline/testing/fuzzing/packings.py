"""Parquet files by several writers, compressed text, ticks and tables beside the bars."""

import csv
import gzip
import io
import random
import zipfile
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from harmony_pipeline.testing.fuzzing.sample import FOLDER, US_DAYS, US_MINUTES, Make, Sample
from harmony_pipeline.testing.fuzzing.vendors import VENDORS


def gzip_files(sample: Sample) -> Sample:
    """Each text file packed by gzip."""
    return sample.with_files(
        {f"{name}.gz": gzip.compress(data, 5, mtime=0) for name, data in sample.files.items()}
    )


def zip_files(sample: Sample) -> Sample:
    """All text files in one zip, which may hold several."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sample.files.items():
            archive.writestr(name.removeprefix(f"{FOLDER}/"), data)
    stem = (
        "all" if len(sample.files) > 1 else min(sample.files).rpartition("/")[2].rpartition(".")[0]
    )
    return sample.with_files({f"{FOLDER}/{stem}.zip": buffer.getvalue()})


# --- Parquet --------------------------------------------------------------------------------------

_WRITERS: tuple[dict[str, Any], ...] = (
    {},
    {"compression": "none"},
    {"compression": "none", "use_dictionary": False},
    {"compression": "none", "data_page_version": "2.0"},
    {"compression": "gzip", "row_group_size": 7},
    {"compression": "zstd", "row_group_size": 3, "write_statistics": False},
    {"compression": "lz4", "data_page_size": 64},
    {"compression": "brotli", "version": "1.0"},
    {"use_deprecated_int96_timestamps": True},
    {
        "use_dictionary": False,
        "column_encoding": {"close": "BYTE_STREAM_SPLIT", "open": "BYTE_STREAM_SPLIT"},
        "compression": "none",
    },
    {
        "use_dictionary": False,
        "column_encoding": {"volume": "DELTA_BINARY_PACKED", "symbol": "DELTA_BYTE_ARRAY"},
        "compression": "none",
    },
    {"write_page_checksum": True, "coerce_timestamps": "ms"},
)


def _price_type(rng: random.Random) -> pa.DataType:
    return rng.choice(
        (
            pa.float64(),
            pa.float64(),
            pa.float32(),
            pa.decimal128(18, 6),
            pa.string(),
            pa.decimal256(40, 6),
        )
    )


def parquet(rng: random.Random, count: int) -> Sample:
    """Bars in Parquet, by one of several writers."""
    market = rng.choice((US_MINUTES, US_DAYS))
    rows = market.rows(rng, count)
    daily = market is US_DAYS
    names = (
        [rng.choice(("AAA", "BBB")) for _ in rows] if rng.random() < 0.5 else ["AAA"] * len(rows)
    )
    prices = _price_type(rng)
    stamps: pa.Array
    if daily:
        stamps = pa.array([row.when.date() for row in rows], pa.date32())
    else:
        stamps = pa.array(
            [market.instant(row) for row in rows],
            pa.timestamp(rng.choice(("us", "ns", "ms")), "UTC"),
        )
    symbols = pa.array(names)
    columns: dict[str, Any] = {
        "timestamp": stamps,
        "symbol": symbols.dictionary_encode() if rng.random() < 0.3 else symbols,
    }
    for name in ("open", "high", "low", "close"):
        values = [getattr(row, name) for row in rows]
        columns[name] = (
            pa.array([f"{value:.6f}" for value in values]).cast(prices)
            if prices != pa.float64()
            else pa.array(values)
        )
    columns["volume"] = pa.array(
        [row.volume for row in rows],
        rng.choice((pa.int64(), pa.int32(), pa.float64(), pa.uint64())),
    )
    if rng.random() < 0.2:
        columns["conditions"] = pa.array([["a", "b"][: row.volume % 3] for row in rows])
        columns["more"] = pa.array([{"x": row.volume, "y": None} for row in rows])
    options = dict(rng.choice(_WRITERS))
    if not pa.types.is_floating(prices) or isinstance(columns["symbol"], pa.DictionaryArray):
        options.pop("column_encoding", None)
    options = _valid_options(options, columns)
    buffer = io.BytesIO()
    try:
        pq.write_table(pa.table(columns), buffer, **options)
    except (pa.ArrowException, OSError, ValueError):  # an option that does not go with a type
        buffer = io.BytesIO()
        pq.write_table(pa.table(columns), buffer)
    return Sample(
        "parquet",
        {f"{FOLDER}/bars.parquet": buffer.getvalue()},
        {"calendar": "XNYS", "timeframe": market.timeframe},
    )


def _valid_options(options: dict[str, Any], columns: dict[str, Any]) -> dict[str, Any]:
    """The options without encodings that a column's type does not support."""
    if encodings := options.get("column_encoding"):
        types = {name: columns[name].type for name in encodings}
        kept = {
            name: encoding
            for name, encoding in encodings.items()
            if (encoding == "BYTE_STREAM_SPLIT") == pa.types.is_floating(types[name])
        }
        options = options | {"column_encoding": kept}
        if not kept:
            options.pop("column_encoding")
    return options


# --- ticks and reference tables -------------------------------------------------------------------


def ticks(rng: random.Random, count: int) -> Sample:
    """Quotes and trades of one day."""
    day = US_MINUTES.rows(rng, 1)[0]
    instants = [
        US_MINUTES.instant(day)
        + timedelta(seconds=rng.randrange(20_000), microseconds=rng.randrange(1_000_000))
        for _ in range(count)
    ]
    quotes, trades = (
        ["sip_timestamp,ticker,bid_price,bid_size,ask_price,ask_size"],
        ["timestamp,symbol,price,size,exchange,conditions,id"],
    )
    for number, moment in enumerate(sorted(instants)):
        price = round(day.close + rng.gauss(0, 0.05), 2)
        nanoseconds = (
            int(moment.timestamp()) * 1_000_000_000
            + moment.microsecond * 1000
            + rng.randrange(1000)
        )
        quotes.append(
            f"{nanoseconds},AAPL,{price},{rng.randint(0, 9)},{price + 0.01:.2f},{rng.randint(1, 9)}"
        )
        trades.append(f"{moment.isoformat()},AAPL,{price},{rng.randint(1, 500)},Q,@ T,{number}")
    files = {
        f"{FOLDER}/quotes.csv": "\n".join(quotes).encode(),
        f"{FOLDER}/trades.csv": "\n".join(trades).encode(),
    }
    reading: dict[str, object] = {
        "paths": ["none.csv"],
        "quotes": [f"{FOLDER}/quotes*"],
        "trades": [f"{FOLDER}/trades*"],
    }
    return Sample(
        "ticks",
        files,
        {"calendar": "XNYS", "timeframe": "1Min"},
        reading,
        ticks=True,
        day=day.when.date(),
    )


def with_reference(rng: random.Random, count: int) -> Sample:
    """Daily bars with corporate actions, a universe and listings."""
    base = VENDORS["yahoo"](rng, count)
    lines = base.files[f"{FOLDER}/AAPL.csv"].decode().splitlines()
    days = [date.fromisoformat(row[0]) for row in csv.reader(lines[1:])]
    middle, last = days[len(days) // 2], days[-1]
    actions = f"symbol,date,kind,value\nAAPL,{middle},dividend,0.24\nAAPL,{last},split,2\nOLD,{middle},delisting,\nAAPL,{last},symbol_change,APL\n"
    universe = f"date,symbol,sector,float,market_cap\n{days[0]},AAPL,Technology,15000000,3e12\n{middle},MSFT,,7e9,\n"
    listings = f"symbol,valid_from,valid_to,reason\nAAPL,1980-12-12,,listed\nOLD,2000-01-03,{middle},delisting\n"
    files = {"actions.csv": actions, "universe.csv": universe, "listings.csv": listings}
    reading: dict[str, object] = {
        "corporate_actions": f"{FOLDER}/actions.csv",
        "universe": f"{FOLDER}/universe.csv",
        "listings": f"{FOLDER}/listings.csv",
    }
    return Sample(
        "reference",
        base.files | {f"{FOLDER}/{name}": text.encode() for name, text in files.items()},
        base.market,
        reading,
    )


def sample_of(rng: random.Random) -> Sample:
    """A sound sample of any kind, 2 to 80 rows a table."""
    count = rng.choice((2, 3, 10, 40, 80))
    kind = rng.random()
    if kind < 0.25:
        return parquet(rng, count)
    if kind < 0.31:
        return ticks(rng, count)
    if kind < 0.37:
        return with_reference(rng, count)
    sample = VENDORS[rng.choice(list(VENDORS))](rng, count)
    return gzip_files(sample) if kind < 0.46 else zip_files(sample) if kind < 0.55 else sample


OTHERS: dict[str, Make] = {"parquet": parquet, "ticks": ticks, "reference": with_reference}
