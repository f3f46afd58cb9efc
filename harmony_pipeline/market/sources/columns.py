"""Which column of a vendor's file is which of ours.

Names are compared without regard to case, blanks, underscores, hyphens, angle brackets and a `#`
before them, so `Adj Close`, `ADJ_CLOSE` and `<adj-close>` are one name. The names listed are those
of Alpaca, Yahoo, Polygon, Stooq, Binance, MetaTrader, IEX, FirstRate, Databento, MetaStock, pandas,
Dukascopy, CryptoDataDownload, AlgoSeek, Bloomberg, Refinitiv, NSE, Tushare, AkShare and Ariva.
Adjusted closes are never read: this lake holds raw prices and its own forward factor.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.text import NAME, excerpt, listing

PRICES = ("open", "high", "low", "close")
REQUIRED_NUMBERS = (*PRICES, "volume")
OPTIONAL_NUMBERS = ("trade_count", "vwap")
CLOCK = "clock"  # the time of day, where a file splits date and time over two columns
VOLUME, NO_COLUMN = "volume", "none"
_NO_VOLUMES = frozenset(
    {"", "per", "openint", "openinterest", "adjclose", "spread", "rtype", "publisherid"}
)

_STAMPS = (
    "timestamp",
    "datetime",
    "date time",
    "date/time",
    "ts",
    "t",
    "ts event",
    "bar time",
    "open time",
    "window start",
    "start",
    "unix",
    "unix timestamp",
    "date",
    "dtyyyymmdd",
    "data",
    "from",
    "time",
    "gmt time",
    "local time",
    "time (utc)",
    "time (eet)",
    "dates",
    "datum",
    "日期",
    "trade date",
    "时间",
)
_EPOCHS = ("unix", "unix timestamp")
_DATES = (
    "date", "dtyyyymmdd", "day", "trade date", "trading day", "session date", "datum", "日期",
)  # fmt: skip
_CLOCKS = (
    "time", "tod", "time of day", "clock", "bar time", "trade time", "time et", "time bar start",
)  # fmt: skip
_CLOCK_BESIDE = {"datum": "zeit", "日期": "时间"}
"""The only clock looked for beside a date of this name; `time` beside `datum` is a stamp."""


@dataclass(frozen=True)
class Columns:
    """The columns of one kind of row, each with the spellings that are known (earlier ones win
    where a file has several).
    """

    what: str
    setting: str
    required: tuple[str, ...]
    spellings: Mapping[str, tuple[str, ...]]
    section: str = "market.files"


BAR_COLUMNS = Columns(
    "bars",
    "columns",
    ("timestamp", *REQUIRED_NUMBERS),
    {
        "timestamp": _STAMPS,
        "symbol": ("symbol", "ticker", "sym", "s", "ric", "ts code", "股票代码"),
        "open": (
            "open",
            "o",
            "open price",
            "otwarcie",
            "px open",
            "first trade price",
            "erster",
            "eröffnung",
            "开盘",
            "开盘价",
        ),
        "high": (
            "high",
            "h",
            "high price",
            "najwyzszy",
            "px high",
            "high trade price",
            "hoch",
            "最高",
            "最高价",
        ),
        "low": (
            "low",
            "l",
            "low price",
            "najnizszy",
            "px low",
            "low trade price",
            "tief",
            "最低",
            "最低价",
        ),
        "close": (
            "close",
            "c",
            "close price",
            "last",
            "zamkniecie",
            "px last",
            "close/last",
            "last trade price",
            "schlusskurs",
            "schluss",
            "收盘",
            "收盘价",
        ),
        "volume": (
            "volume",
            "vol",
            "vol.",
            "v",
            "size",
            "real volume",
            "tick volume",
            "tickvol",
            "wolumen",
            "px volume",
            "stuecke",
            "stücke",
            "volumen",
            "tottrdqty",
            "ttl trd qnty",
            "成交量",
        ),
        "trade_count": (
            "trade count",
            "trades",
            "transactions",
            "number of trades",
            "n",
            "count",
            "total trades",
            "no. trades",
        ),
        "vwap": ("vwap", "vw", "weighted average", "volume weight price"),
    },
)
_TICK_STAMPS = (
    "timestamp",
    "sip timestamp",
    "participant timestamp",
    "ts event",
    "datetime",
    "date time",
    "ts",
    "t",
    "date",
    "time",
)
_TICK_SYMBOLS = ("symbol", "ticker", "sym", "sym root")
# One letter may mean two things: in Alpaca's ticks `s` is the size and `c` the conditions.
TRADE_COLUMNS = Columns(
    "trades",
    "trade_columns",
    ("timestamp", "price", "size"),
    {
        "timestamp": _TICK_STAMPS,
        "symbol": _TICK_SYMBOLS,
        "price": ("price", "trade price", "p", "last"),
        "size": ("size", "trade size", "quantity", "qty", "amount", "volume", "s"),
        "exchange": ("exchange", "exchange id", "ex", "venue", "x"),
        "conditions": ("conditions", "condition", "sale condition", "tr scond", "c"),
        "suspicious": ("suspicious",),
        "trade_id": ("trade id", "id", "tr id", "i"),
    },
)
QUOTE_COLUMNS = Columns(
    "quotes",
    "quote_columns",
    ("timestamp", "bid", "ask"),
    {
        "timestamp": _TICK_STAMPS,
        "symbol": _TICK_SYMBOLS,
        "bid": ("bid", "bid price", "best bid", "bp"),
        "bid_size": ("bid size", "bid siz", "bid quantity", "bs"),
        "ask": ("ask", "ask price", "offer", "best ask", "ap"),
        "ask_size": ("ask size", "ask siz", "ask quantity", "offer size", "as"),
        "conditions": ("conditions", "condition", "qu cond", "c"),
    },
)


def plain(name: str) -> str:
    """A column name without its typography, and without the # that some put before a header."""
    return re.sub(r"[\s_\-<>\"'\ufeff]+", "", name).lstrip("#").lower()


def names_prices(names: Sequence[str]) -> bool:
    """Whether these are the names of a table of bars: one of them is that of each price."""
    found = {plain(name) for name in names}
    return all(found & {plain(word) for word in BAR_COLUMNS.spellings[ours]} for ours in PRICES)


def match_columns(
    found: Sequence[str],
    chosen: Mapping[str, str],
    origin: str,
    ours_of: Columns = BAR_COLUMNS,
    *,
    formatted: bool = False,
) -> dict[str, str]:
    """Our name -> the file's name, for every column of `ours_of` that the file has; `chosen` (the
    settings) wins. `formatted`: the settings have a format of stamps, so that one which is named
    an epoch is none unless chosen.

    A column of dates and one of times of day give `timestamp` and `clock`. Raises ConfigError when
    the settings name a column that is not ours, DataError when a required column is absent or
    stands twice. Only the volume may be absent: where the settings say "none", and where no column
    is left over that could hold it.
    """
    strange = sorted(set(chosen) - {*ours_of.spellings, CLOCK})
    if strange:
        known = ", ".join((*ours_of.spellings, CLOCK))
        raise ConfigError(
            f"[{ours_of.section}.{ours_of.setting}] names '{strange[0]}', which is no column of"
            f" {ours_of.what}: use {known}"
        )
    by_plain = {plain(name): name for name in reversed(found)}
    passed_over = frozenset(map(plain, _EPOCHS)) if formatted else frozenset[str]()
    matched: dict[str, str] = {}
    for ours, spellings in (*ours_of.spellings.items(), (CLOCK, ())):
        if ours == VOLUME and chosen.get(ours) == NO_COLUMN:
            continue
        if ours in chosen:
            theirs = chosen[ours] if chosen[ours] in found else by_plain.get(plain(chosen[ours]))
        else:
            theirs = _first_of([plain(name) for name in spellings], by_plain, passed_over)
        if theirs is not None:
            matched[ours] = theirs
        elif ours in chosen:
            raise DataError(
                f"{origin}: [{ours_of.section}.{ours_of.setting}] maps {ours} to"
                f" '{excerpt(chosen[ours], NAME)}', which the file does not have; its columns are"
                f" {listing(found)}"
            )
    matched |= _date_and_clock(matched, chosen, by_plain)
    _refuse_doubled(matched, chosen, found, origin)
    _require(matched, found, chosen, origin, ours_of)
    return matched


def doubled_names(found: Sequence[str]) -> list[str]:
    """Names that stand more than once in a header, each in its first spelling."""
    first: dict[str, str] = {}
    for name in found:
        first.setdefault(plain(name), name)
    counts = Counter(plain(name) for name in found)
    return [name for key, name in first.items() if key and counts[key] > 1]


def _first_of(
    names: Sequence[str], by_plain: Mapping[str, str], passed_over: Collection[str] = ()
) -> str | None:
    """The file's name of the first of `names` that it has."""
    return next(
        (by_plain[name] for name in names if name in by_plain and name not in passed_over), None
    )


def _date_and_clock(
    matched: Mapping[str, str], chosen: Mapping[str, str], by_plain: Mapping[str, str]
) -> dict[str, str]:
    """`timestamp` and `clock` where a file has a date in one column and the time of day in
    another.
    """
    dates, clocks, epochs = (list(map(plain, each)) for each in (_DATES, _CLOCKS, _EPOCHS))
    date, stamp = _first_of(dates, by_plain), matched.get("timestamp")
    if CLOCK in chosen:
        if stamp is None or (stamp == matched[CLOCK] and "timestamp" not in chosen):
            return {} if date is None else {"timestamp": date}
        return {}
    if "timestamp" in chosen:
        date = stamp if stamp is not None and plain(stamp) in dates else None
    elif stamp is not None and plain(stamp) not in (*dates, *clocks, *epochs):
        return {}
    if date is not None and (own := _CLOCK_BESIDE.get(plain(date))):
        clock = by_plain.get(own) if stamp == date else None
    else:
        clock = _first_of(clocks, by_plain)
    if date is None or clock is None or date == clock:
        return {}
    return {"timestamp": date, CLOCK: clock}


def _refuse_doubled(
    matched: Mapping[str, str], chosen: Mapping[str, str], found: Sequence[str], origin: str
) -> None:
    twice = {plain(name) for name in doubled_names(found)}
    for ours, theirs in matched.items():
        named_exactly = chosen.get(ours) == theirs and list(found).count(theirs) == 1
        if plain(theirs) in twice and not named_exactly:
            raise DataError(
                f"{origin} has more than one column '{excerpt(theirs, NAME)}', so that it is not"
                f" clear which holds {ours}: give each column its own name; its columns are"
                f" {listing(found)}"
            )


def _require(
    matched: Mapping[str, str],
    found: Sequence[str],
    chosen: Mapping[str, str],
    origin: str,
    ours_of: Columns,
) -> None:
    missing = [name for name in ours_of.required if name not in matched]
    if missing == [VOLUME] and (chosen.get(VOLUME) == NO_COLUMN or not _left_over(matched, found)):
        return
    if not missing:
        return
    if {"kind", "value"} <= {plain(name) for name in found}:
        cure = "if it holds corporate actions, name it in market.files.corporate_actions"
    elif any(re.fullmatch(r"[\d.,:/TZ +-]+", name[:NAME]) for name in found):
        cure = "its first line looks like data: put a line of column names before it"
    else:
        cure = (
            f"if another column holds it, say so under [{ours_of.section}.{ours_of.setting}]:"
            f' {missing[0]} = "NAME IN THE FILE"'
            + (f', or "{NO_COLUMN}" where there is none' if missing == [VOLUME] else "")
        )
    raise DataError(
        f"{origin} has no column '{missing[0]}'{_more(missing[1:])}; its columns are"
        f" {listing(found)}; {cure}"
    )


def _left_over(matched: Mapping[str, str], found: Sequence[str]) -> list[str]:
    """Columns that are neither ours nor known to hold something else than a volume."""
    known = {plain(name) for name in matched.values()} | _NO_VOLUMES
    return [name for name in found if plain(name) not in known]


def _more(names: Sequence[str]) -> str:
    return f" (nor {', '.join(names)})" if names else ""
