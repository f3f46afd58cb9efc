"""The symbol in the name of a vendor's file, where no column holds it.

A symbol is kept as the vendor writes it (`ES=F`, `BRK B`, `BTC_USDT`, `^GSPC`): nothing is cut off
inside it. What stands around it is known by form: the exchange before it, and behind it the bar
size, dates and words in small letters. A name that leaves no symbol, or several, is refused.

    BATS_AAPL, 1D            TradingView        AAPL
    BTC_USDT-1h              freqtrade          BTC_USDT
    Binance_ETHUSDT_1h       CryptoDataDownload ETHUSDT
    DAT_ASCII_EURUSD_M1_2023 HistData           EURUSD
    BTCUSDT-1m-2023-01       Binance            BTCUSDT
    aapl.us, aapl_us_d       Stooq              AAPL
    AAPL_full_1min_adjsplit  FirstRate          AAPL
    AAPL.Last, ES 03-24.Last NinjaTrader        AAPL, ES 03-24
    eurusd-h1-bid-2013-01-01-2014-12-31         Dukascopy  EURUSD
    intraday_5min_IBM        Alpha Vantage      IBM
    AAPL US Equity           Bloomberg          AAPL US
"""

import re

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.text import excerpt

AUTO = "auto"

_TICK_PREFIX = r"^(trades?|quotes?|ticks?|nbbo)[_\-. ]+"  # `trades_BAC_2013-10-08` is of BAC
_COPY = r"( \(\d+\)| - Copy)+$"  # what browsers and Windows add
_TRADINGVIEW = (
    r"^(?:(?:CME|CBOT|NYMEX|COMEX)_MINI|[A-Z0-9]+)(?:_DL[A-Z]?|_DLY)?_(\S+), "
    r"\d*[A-Za-z]?(?:_[0-9a-z]+)?$"
)
_STOOQ = r"^(\^?[a-z0-9_\-]+)\.(?:us|uk|jp|hk|pl|hu|de|f|c|v|b|m)$"
_STOOQ_PAGE = r"^(\^?[a-z0-9\-]+)(?:_(?:us|uk|jp|hk|pl|hu|de|f|c|v|b|m))?_[dwmqy]$"
_FIRSTRATE = (
    r"^([A-Z0-9.\-^]+)_(?:(?:full|month|week|day)_)?(?:1min|5min|30min|1hour|1day)(?:_\w+)?$"
)
_CONTRACT = r"^([A-Z0-9]{1,4} \d\d-\d\d)(?:\.(?:Last|Bid|Ask))?$"  # NinjaTrader: ES 03-24
_NINJATRADER = r"^(\^?[A-Z0-9.]+)\.(?:Last|Bid|Ask)$"
_DUKASCOPY = (
    r"^([A-Z0-9.]+)_(?:Candlestick_\d+_[A-Za-z]+|\d+ [A-Za-z]+)_(?:BID|ASK|Bid|Ask)_[\d._\-]+$"
)
_DUKASCOPY_NODE = r"^([a-z0-9]+)-(?:[smhd]\d+|mn1)-(?:bid|ask)-[\d\-T]+$"
_BLOOMBERG = (
    r"^(?=\S*[A-Z])([A-Z0-9^./&+\-]+ [A-Z]{2}(?= Equity)|[A-Z] [A-Z0-9]{1,3}(?= Comdty))"
    r" (?:Equity|Comdty)$"
)
_VENDOR_PREFIX = (
    r"^(?:DAT_(?:ASCII|MT|NT|XLSX|MS)_|table_"
    r"|(?:HistoricalData_|(?:extended_)?intraday_(?:\d+min_)?|(?:daily|weekly)_(?:adjusted_)?)"
    r"(?=[^_ ]*[A-Z]))"  # Nasdaq's HistoricalData_1709563234567 has no symbol
)
_SYMBOL = re.compile(r"^[A-Z0-9^@$#.=!/&:]*[A-Z0-9][A-Z0-9^@$#.=!/&:]*$")
_SIZE = re.compile(
    r"^(\d{1,4}|\d+(S|SECS?|M|MINS?|MINUTES?|H|HRS?|HOURS?|D|DAYS?|W|WEEKS?|MO|MONTHS?)"
    r"|[MHDWT]\d{1,3}|MN1?|MINUTE|HOUR|HOURLY|DAILY|WEEKLY|INTRADAY|TICK)$",
    re.IGNORECASE,
)
_DATE = re.compile(r"^((19|20)\d\d([01]\d([0-3]\d([0-2]\d[0-5]\d)?)?)?|[0-3]\d)$")
_LONG_DATE = re.compile(r"^(19|20)\d\d([01]\d){1,2}$|^(19|20)\d\d$")
_EXCHANGES = frozenset(
    [
        "AMEX",
        "ARCA",
        "ASX",
        "BATS",
        "BINANCE",
        "BINANCEUS",
        "BITFINEX",
        "BITGET",
        "BITMEX",
        "BITSTAMP",
        "BSE",
        "BYBIT",
        "CAPITALCOM",
        "CBOE",
        "CBOT",
        "CME",
        "COINBASE",
        "COMEX",
        "CRYPTO",
        "CRYPTOCOM",
        "DERIBIT",
        "EURONEXT",
        "FOREXCOM",
        "FTX",
        "FX",
        "FXCM",
        "GATEIO",
        "GEMINI",
        "HITBTC",
        "HKEX",
        "HUOBI",
        "ICE",
        "INDEX",
        "KRAKEN",
        "KRX",
        "KUCOIN",
        "LSE",
        "MEXC",
        "NASDAQ",
        "NSE",
        "NYMEX",
        "NYSE",
        "OANDA",
        "OKCOIN",
        "OKX",
        "OTC",
        "PEPPERSTONE",
        "POLONIEX",
        "SAXO",
        "SP",
        "SSE",
        "SZSE",
        "TSE",
        "TSX",
        "TSXV",
        "TVC",
        "XETR",
    ]
)
_QUOTES = frozenset(
    [
        "USD",
        "USDT",
        "USDC",
        "BUSD",
        "TUSD",
        "FDUSD",
        "DAI",
        "EUR",
        "GBP",
        "JPY",
        "CHF",
        "AUD",
        "CAD",
        "NZD",
        "SEK",
        "NOK",
        "DKK",
        "PLN",
        "TRY",
        "MXN",
        "ZAR",
        "SGD",
        "HKD",
        "CNH",
        "CNY",
        "KRW",
        "INR",
        "BRL",
        "BTC",
        "ETH",
        "BNB",
        "XBT",
        "PERP",
    ]
)
_SHARE_CLASS = re.compile(r"^([A-Z]|WS|WT|RT|UN|U|P[A-Z]?|PR[A-Z]?)$")


def symbol_of(stem: str, pattern: str, origin: str) -> str:
    """The symbol that the name `stem` (without .csv and the like) tells.

    `pattern` is AUTO or a regular expression of the settings. Raises DataError when the name tells
    none, ConfigError when the expression cannot be used.
    """
    stem = re.sub(_TICK_PREFIX, "", stem)
    if pattern != AUTO:
        return _by_pattern(stem, pattern, origin)
    found = _known_form(stem) or _single_symbol(stem)
    if isinstance(found, str):
        return found
    reason = _reason(found)
    raise DataError(
        f"{origin} has no column of symbols, and its name '{excerpt(stem)}' is no symbol"
        f" ({reason}): rename the file like AAPL.csv, add a column symbol, or set"
        " market.files.symbol_from_filename to a regular expression whose group 1 is the"
        f" symbol{_such_as(stem)}"
    )


def _such_as(stem: str) -> str:
    """An expression that finds a symbol in this very name, as an example; empty when none does."""
    for pattern in ("^([A-Z]+)", "^([A-Za-z]+)"):
        try:
            _by_pattern(stem, pattern, stem)
        except DataError:
            continue
        return f", such as {pattern}"
    return ""


def _by_pattern(stem: str, pattern: str, origin: str) -> str:
    try:
        found = re.search(pattern, stem)
        symbol = found[1] if found else ""
    except (re.error, IndexError):
        raise ConfigError(
            f"market.files.symbol_from_filename is '{excerpt(pattern)}': it must be 'auto', or a"
            " regular expression with one group, such as ^([A-Z]+)"
        ) from None
    # `Spy_daily` must not become the symbol S, nor `2024-01-31` a symbol: such names were not
    # meant.
    cut = found is not None and stem[found.end(1) : found.end(1) + 1].islower()
    if not symbol or cut or re.search(r"^(19|20)\d\d-?[01]\d-?[0-3]\d$", symbol):
        raise DataError(
            f"{origin} has no column of symbols, and market.files.symbol_from_filename"
            f" ('{excerpt(pattern)}') finds none in '{excerpt(stem)}': rename the file like"
            " AAPL.csv, or set the pattern"
        )
    return symbol


def _known_form(stem: str) -> str | None:
    """The symbol in a name that only one vendor gives."""
    stem = re.sub(_COPY, "", stem)
    if found := re.match(_TRADINGVIEW, stem):
        return found[1]
    for form in (_CONTRACT, _NINJATRADER, _DUKASCOPY, _BLOOMBERG):
        if found := re.match(form, stem):
            return found[1]
    if found := re.match(_DUKASCOPY_NODE, stem):
        return found[1].upper()
    if found := re.match(_STOOQ, stem) or re.match(_STOOQ_PAGE, stem):
        return found[1].upper().replace("_", "-")
    if found := re.match(_FIRSTRATE, stem):
        return found[1]
    return None


def _single_symbol(stem: str) -> str | list[str]:
    """The symbol that is left when sizes, dates, exchanges and small words are gone; else the parts
    that are left.
    """
    stem = re.sub(_VENDOR_PREFIX, "", re.sub(_COPY, "", stem))
    parts = [(found.start(), found.end(), found[0]) for found in re.finditer(r"[^_\- ,]+", stem)]
    while (
        len(parts) > 1
        and (parts[0][2].upper() in _EXCHANGES)
        and _SYMBOL.match(parts[1][2])
        and not _beside(parts[1][2])
    ):
        parts = parts[1:]
    while len(parts) > 1 and _beside(parts[-1][2]):
        parts = parts[:-1]
    names = [part for _, _, part in parts]
    if not names or not all(_SYMBOL.match(name) for name in names) or _LONG_DATE.match(names[0]):
        return names
    whole = stem[parts[0][0] : parts[-1][1]]
    if len(names) == 1:
        return whole
    if len(names) != 2 or len(whole) != len(names[0]) + 1 + len(names[1]):
        return names
    is_size = f"_{names[1]}" in whole and names[1] in "DHMW"  # AAPL_D may be a class or daily bars
    of_one = names[1] in _QUOTES or (_SHARE_CLASS.match(names[1]) and not is_size)
    return whole if of_one else names


def _beside(part: str) -> bool:
    """Whether a part of a name stands beside a symbol and is none: a bar size, a date, a small
    word.
    """
    is_word = any(letter.islower() for letter in part)
    return bool(is_word or _SIZE.match(part) or _DATE.match(part))


def _reason(parts: list[str]) -> str:
    if len(parts) > 1 and all(_SYMBOL.match(part) for part in parts):
        return f"it holds several: {', '.join(excerpt(part, 20) for part in parts[:5])}"
    if any(letter.islower() for part in parts for letter in part):
        return "a symbol has no small letters"
    return "there is no symbol in it"
