"""Text files in the form of vendors: their column names, stamps and separators, with invented
prices.
"""

import random
from collections.abc import Callable, Sequence
from datetime import UTC

import polars as pl

from harmony_pipeline.testing.fuzzing.sample import (
    CHINA_FIVE,
    CRYPTO_HOURS,
    FOLDER,
    FX_HOURS,
    INDIA_DAYS,
    INDIA_HALF_HOURS,
    US_DAYS,
    US_FIVE,
    US_HOURS,
    US_MINUTES,
    Make,
    Market,
    Row,
    Sample,
)
from harmony_pipeline.testing.vendor_formats.dbn_writer import dbn_bytes

_NEW_YORK = {"timezone": "America/New_York"}


def _table(header: str, lines: Sequence[str], ends: str = "\n") -> bytes:
    return (ends.join([header, *lines] if header else lines) + ends).encode()


def _prices(row: Row, sign: str = ",") -> str:
    return sign.join(map(str, (row.open, row.high, row.low, row.close, row.volume)))


def _sample(vendor: str, market: Market, files: dict[str, bytes], **reading: object) -> Sample:
    placed = {f"{FOLDER}/{name}": data for name, data in files.items()}
    return Sample(
        vendor, placed, {"calendar": market.calendar, "timeframe": market.timeframe}, reading
    )


def _dialect(
    vendor: str,
    market: Market,
    name: str,
    header: str,
    line: Callable[[Row, Market], str],
    ends: str = "\n",
    **reading: object,
) -> Make:
    """A vendor whose file has one line a bar."""

    def make(rng: random.Random, count: int) -> Sample:
        lines = [line(row, market) for row in market.rows(rng, count)]
        if name.endswith(".txt"):  # in a folder only files of other names are taken for bars
            reading.setdefault("paths", [f"{FOLDER}/*"])
        return _sample(vendor, market, {name: _table(header, lines, ends)}, **reading)

    return make


def _seconds(row: Row, market: Market) -> int:
    return int(market.instant(row).timestamp())


def _utc(row: Row, market: Market) -> str:
    return market.instant(row).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _two_tickers(rng: random.Random, count: int) -> Sample:
    """The form of yfinance for a list of two tickers."""
    names = ("Close", "High", "Low", "Open", "Volume")
    one, other = (US_DAYS.rows(random.Random(seed), count) for seed in [rng.random()] * 2)
    lines = [
        ",".join(
            [
                f"{a.when:%Y-%m-%d}",
                *(str(getattr(row, name.lower())) for name in names for row in (a, b)),
            ]
        )
        for a, b in zip(one, other, strict=True)
    ]
    header = "Price," + ",".join(name for name in names for _ in range(2))
    above = ["Ticker," + ",".join(["AAPL", "MSFT"] * len(names)), "Date" + "," * 2 * len(names)]
    return _sample("yfinance", US_DAYS, {"two.csv": _table(header, [*above, *lines])})


def _european(rng: random.Random, count: int) -> Sample:
    """A spreadsheet of a country that writes decimal commas."""
    lines = [
        f"{row.when:%d.%m.%Y};"
        + ";".join(
            str(value).replace(".", ",") for value in (row.open, row.high, row.low, row.close)
        )
        + f";{row.volume}"
        for row in US_DAYS.rows(rng, count)
    ]
    return _sample(
        "european",
        US_DAYS,
        {"SAP.csv": _table("Date;Open;High;Low;Close;Volume", lines, "\r\n")},
        timestamp_format="%d.%m.%Y",
    )


def _many_symbols(rng: random.Random, count: int) -> Sample:
    """One file of several symbols and one more file of another."""
    rows = US_MINUTES.rows(rng, count)
    lines = [
        f"{symbol},{_utc(row, US_MINUTES)},{_prices(row)},{rng.randint(1, 50)}"
        for symbol in ("AAA", "BBB", "BRK.B")
        for row in rows
    ]
    more = [
        f"{_utc(row, US_MINUTES)},{_prices(row)}"
        for row in US_MINUTES.rows(rng, max(count // 2, 2))
    ]
    files = {
        "all.csv": _table("symbol,t,o,h,l,c,v,n", lines),
        "sub/ZZZ.csv": _table("timestamp,open,high,low,close,volume", more),
    }
    return _sample("alpaca", US_MINUTES, files)


def _databento(row: Row, market: Market) -> str:
    fixed = ",".join(str(round(value * 1e9)) for value in (row.open, row.high, row.low, row.close))
    return f"{_seconds(row, market)}000000000,33,2,32,{fixed},{row.volume},AAPL"


def _lean(row: Row, _market: Market) -> str:
    since_midnight = (row.when.hour * 60 + row.when.minute) * 60_000
    return (
        f"{since_midnight},"
        + ",".join(str(round(value * 10_000)) for value in (row.open, row.high, row.low, row.close))
        + f",{row.volume}"
    )


def _quotes(row: Row) -> str:
    side = ",".join(map(str, (row.open, row.high, row.low, row.close)))
    return f"{row.when:%Y%m%d %H:%M},{side},0,{side},0"


def _databento_binary(rng: random.Random, count: int) -> Sample:
    rows = US_MINUTES.rows(rng, count)
    bars = pl.DataFrame(
        {
            "symbol": "AAPL",
            "timestamp": [US_MINUTES.instant(row).astimezone(UTC) for row in rows],
            **{
                name: [float(getattr(row, name)) for row in rows]
                for name in ("open", "high", "low", "close", "volume")
            },
        }
    )
    data = dbn_bytes(bars, "1Min", rng.choice((1, 2, 3)))
    return _sample("databento binary", US_MINUTES, {"xnas.ohlcv-1m.dbn": data})


_BINANCE = "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
_STOOQ = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>"
_METATRADER = "<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>"
_NSE = "SYMBOL,SERIES,OPEN,HIGH,LOW,CLOSE,LAST,PREVCLOSE,TOTTRDQTY,TOTTRDVAL,TIMESTAMP,TOTALTRADES,ISIN"

VENDORS: dict[str, Make] = {
    "yahoo": _dialect(
        "yahoo", US_DAYS, "AAPL.csv", "Date,Open,High,Low,Close,Adj Close,Volume",
        lambda row,
        _: f"{row.when:%Y-%m-%d},{row.open},{row.high},{row.low},{row.close},{row.close},{row.volume}",
    ),
    "yfinance": _two_tickers,
    "yahoo hours": _dialect(
        "yahoo hours", US_HOURS, "SPY.csv", "Datetime,Open,High,Low,Close,Adj Close,Volume",
        lambda row,
        market: f"{market.instant(row).isoformat(sep=' ')},{row.open},{row.high},{row.low},{row.close},{row.close},{row.volume}",
    ),
    "tradingview": _dialect(
        "tradingview", US_DAYS, "BATS_AAPL, 1D.csv", "time,open,high,low,close,Volume", lambda row,
        market: f"{_seconds(row, market) + 34_200},{_prices(row)}"
    ),
    "stooq": _dialect(
        "stooq", US_FIVE, "aapl.us.txt", _STOOQ, lambda row,
        _: f"AAPL.US,5,{row.when:%Y%m%d,%H%M%S},{_prices(row)},0", "\r\n", **_NEW_YORK
    ),
    "kibot": _dialect(
        "kibot", US_MINUTES, "IBM.txt", "Date,Time,Open,High,Low,Close,Volume", lambda row,
        _: f"{row.when:%m/%d/%Y,%H:%M},{_prices(row)}", "\r\n", **_NEW_YORK
    ),
    "firstrate": _dialect(
        "firstrate", US_MINUTES, "SPY_1min.txt", "timestamp,open,high,low,close,volume", lambda row,
        _: f"{row.when:%Y-%m-%d %H:%M:%S},{_prices(row)}", **_NEW_YORK
    ),
    "metatrader": _dialect(
        "metatrader", FX_HOURS, "EURUSD_H1.csv", _METATRADER, lambda row,
        _: f"{row.when:%Y.%m.%d\t%H:%M:%S}\t" + _prices(row, "\t") + "\t0\t12",
        **_NEW_YORK,
    ),
    "databento": _dialect(
        "databento", US_MINUTES, "xnas.csv",
        "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol", _databento
    ),
    "polygon": _dialect(
        "polygon", US_MINUTES, "2024-01.csv",
        "ticker,volume,open,close,high,low,window_start,transactions",
        lambda row,
        market: f"AAPL,{row.volume},{row.open},{row.close},{row.high},{row.low},{_seconds(row, market)}000000000,7",
    ),
    "binance": _dialect(
        "binance", CRYPTO_HOURS, "BTCUSDT-1h-2024-01.csv", _BINANCE,
        lambda row,
        market: f"{_seconds(row, market)}000,{_prices(row)},{_seconds(row, market) + 3599}999,1.5,9,0.5,0.25,0",
    ),
    "baostock": _dialect(
        "baostock", CHINA_FIVE, "bars.csv", "time,symbol,open,high,low,close,volume",
        lambda row, _: f"{row.when:%Y%m%d%H%M%S}000,sh.600000,{_prices(row)}",
        timezone="Asia/Shanghai",
    ),
    "lean": _dialect(
        "lean", US_MINUTES, "20240102_spy_minute_trade.csv", "", _lean, price_scale=1e-4,
        **_NEW_YORK
    ),
    "lean quotes": _dialect(
        "lean quotes", FX_HOURS, "eurusd.csv", "",
        lambda row, _: _quotes(row),
    ),
    "kibot without names": _dialect(
        "kibot without names", US_MINUTES, "IBM.txt", "", lambda row,
        _: f"{row.when:%m/%d/%Y,%H:%M},{_prices(row)}", "\r\n",
        timestamp_format="%m/%d/%Y %H:%M", **_NEW_YORK
    ),
    "firstrate without names": _dialect(
        "firstrate without names", US_MINUTES, "SPY_full_1min_UNADJUSTED.txt", "", lambda row,
        _: f"{row.when:%Y-%m-%d %H:%M:%S},{_prices(row)}", **_NEW_YORK
    ),
    "metatrader 4": _dialect(
        "metatrader 4", FX_HOURS, "EURUSD60.csv", "", lambda row,
        _: f"{row.when:%Y.%m.%d,%H:%M},{_prices(row)}", timezone="America/New_York+7",
    ),
    "binance without names": _dialect(
        "binance without names", CRYPTO_HOURS, "BTCUSDT-1h-2025-01.csv", "",
        lambda row,
        market: f"{_seconds(row, market)}000000,{_prices(row)},{_seconds(row, market) + 3599}999999,1.5,9,0.5,0.25,0",
    ),
    "databento binary": _databento_binary,
    "oanda": _dialect(
        "oanda", FX_HOURS, "EUR_USD.csv", "time,o,h,l,c,volume,complete", lambda row,
        market: f"{_utc(row, market)[:-1]}.000000000Z,{_prices(row)},true"
    ),
    "alpaca": _many_symbols,
    "nse": _dialect(
        "nse", INDIA_DAYS, "cm.csv", _NSE,
        lambda row,
        _: f"RELIANCE,EQ,{row.open},{row.high},{row.low},{row.close},{row.close},{row.open},{row.volume},1.5,{row.when:%d-%b-%Y},99,INE002A01018",
        columns={"volume": "TOTTRDQTY"},
    ),
    "zerodha": _dialect(
        "zerodha", INDIA_HALF_HOURS, "INFY.csv", "date,open,high,low,close,volume", lambda row,
        _: f"{row.when:%Y-%m-%d %H:%M:%S}+05:30,{_prices(row)}"
    ),
    "european": _european,
}  # fmt: skip
