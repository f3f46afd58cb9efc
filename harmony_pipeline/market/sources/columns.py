"""Which column of a vendor's file is which of ours.

Names are compared without regard to case, blanks, underscores, hyphens and angle brackets, so `Adj Close`, `ADJ_CLOSE` and `<adj-close>` are
one name. The names listed are those of Alpaca, Yahoo, Polygon, Stooq, Binance, IEX, FirstRate and pandas. Adjusted
closes are never read: this lake holds raw prices and its own forward factor.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harmony_pipeline.errors import ConfigError, DataError

PRICES = ("open", "high", "low", "close")
REQUIRED_NUMBERS = (*PRICES, "volume")
OPTIONAL_NUMBERS = ("trade_count", "vwap")
CLOCK = "clock"  # the time of day, where a file splits date and time over two columns

_STAMPS = ("timestamp", "datetime", "date time", "ts", "t", "bar time", "open time", "start", "date", "from", "time")


@dataclass(frozen=True)
class Columns:
    """The columns of one kind of row, each with the spellings that are known (earlier ones win where a file has several)."""

    what: str
    setting: str
    required: tuple[str, ...]
    spellings: Mapping[str, tuple[str, ...]]


BAR_COLUMNS = Columns(
    "bars",
    "columns",
    ("timestamp", *REQUIRED_NUMBERS),
    {
        "timestamp": _STAMPS,
        "symbol": ("symbol", "ticker", "sym", "s"),
        "open": ("open", "o", "open price"),
        "high": ("high", "h", "high price"),
        "low": ("low", "l", "low price"),
        "close": ("close", "c", "close price", "last"),
        "volume": ("volume", "vol", "v", "size"),
        "trade_count": ("trade count", "trades", "transactions", "number of trades", "n"),
        "vwap": ("vwap", "vw", "weighted average"),
    },
)
_TICK_STAMPS = ("timestamp", "sip timestamp", "participant timestamp", "datetime", "date time", "ts", "t", "date", "time")
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
    """A column name without its typography."""
    return re.sub(r"[\s_\-<>\"'\ufeff]+", "", name).lower()


def match_columns(found: Sequence[str], chosen: Mapping[str, str], origin: str, ours_of: Columns = BAR_COLUMNS) -> dict[str, str]:
    """Our name -> the file's name, for every column of `ours_of` that the file has; `chosen` (the settings) wins.

    Two columns `date` and `time` give `timestamp` and `clock`. Raises ConfigError when the settings name a column that
    is not ours, DataError when a required column is absent.
    """
    strange = sorted(set(chosen) - set(ours_of.spellings))
    if strange:
        raise ConfigError(f"[market.files.{ours_of.setting}] names '{strange[0]}', which is no column of {ours_of.what}: use {', '.join(ours_of.spellings)}")
    by_plain = {plain(name): name for name in reversed(found)}
    matched: dict[str, str] = {}
    for ours, spellings in ours_of.spellings.items():
        if ours in chosen:
            theirs = chosen[ours] if chosen[ours] in found else by_plain.get(plain(chosen[ours]))
        else:
            theirs = next((by_plain[plain(name)] for name in spellings if plain(name) in by_plain), None)
        if theirs is not None:
            matched[ours] = theirs
        elif ours in chosen:
            raise DataError(
                f"{origin}: [market.files.{ours_of.setting}] maps {ours} to '{chosen[ours]}', which the file does not have; its columns are {_listed(found)}"
            )
    if "timestamp" not in chosen and plain(matched.get("timestamp", "")) == "date" and "time" in by_plain:
        matched[CLOCK] = by_plain["time"]
    _require(matched, found, origin, ours_of)
    return matched


def _require(matched: Mapping[str, str], found: Sequence[str], origin: str, ours_of: Columns) -> None:
    missing = [name for name in ours_of.required if name not in matched]
    if not missing:
        return
    if {"kind", "value"} <= {plain(name) for name in found}:
        cure = "if it holds corporate actions, name it in market.files.corporate_actions"
    elif any(re.fullmatch(r"[\d.,:/TZ +-]+", name) for name in found):
        cure = "its first line looks like data: put a line of column names before it"
    else:
        cure = f'if another column holds it, say so under [market.files.{ours_of.setting}]: {missing[0]} = "NAME IN THE FILE"'
    raise DataError(f"{origin} has no column '{missing[0]}'{_more(missing[1:])}; its columns are {_listed(found)}; {cure}")


def _more(names: Sequence[str]) -> str:
    return f" (nor {', '.join(names)})" if names else ""


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:12])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > 12 else shown or "none"
