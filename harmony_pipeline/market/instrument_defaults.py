"""Default terms of an instrument: by asset class, calendar, currency and root of
a future.

docs/instruments.md shows these tables with their sources and describes how the asset class is
inferred. Nothing here reads data.
"""

import re
from dataclasses import replace
from typing import NamedTuple

from harmony_pipeline.market.instruments import INDICATIVE, TRADED, Instrument
from harmony_pipeline.market.settings import InstrumentTerms, MarketSettings

CURRENCIES = frozenset(
    [
        "AUD",
        "BRL",
        "CAD",
        "CHF",
        "CLP",
        "CNH",
        "CNY",
        "COP",
        "CZK",
        "DKK",
        "EUR",
        "GBP",
        "HKD",
        "HUF",
        "IDR",
        "ILS",
        "INR",
        "JPY",
        "KRW",
        "MXN",
        "MYR",
        "NOK",
        "NZD",
        "PHP",
        "PLN",
        "RON",
        "RUB",
        "SEK",
        "SGD",
        "THB",
        "TRY",
        "TWD",
        "USD",
        "ZAR",
    ]
)
_STABLE_COINS = frozenset(["BUSD", "DAI", "FDUSD", "TUSD", "USDC", "USDP", "USDT"])
# currencies whose amounts are whole in practice
_WHOLE_MONEY = frozenset({"JPY", "KRW", "CLP", "IDR"})
_CENT, _WHOLE, _SMALLEST = 0.01, 1.0, 0.0001

_US_CALENDARS = frozenset(
    {"XNYS", "XNAS", "XASE", "XCBO", "NYSE", "NASDAQ", "AMEX", "ARCX", "BATS"}
)
_FUTURES_CALENDARS = (
    "CME",
    "CBOT",
    "COMEX",
    "NYMEX",
    "CBOE",
    "XCBF",
    "IEPA",
    "ICE",
    "us_futures",
    "XEUR",
)
_FX_CALENDARS = frozenset({"FX", "24/5", "METALS"})


class _Exchange(NamedTuple):
    """Terms of the shares of one exchange; a finer step that the data show goes before `tick`."""

    currency: str
    tick: float
    lot: float = 1.0
    small_tick: float | None = None
    below: float | None = None


EXCHANGES: dict[str, _Exchange] = {
    "XNSE": _Exchange("INR", 0.05),
    "XBOM": _Exchange("INR", 0.05),
    "XLON": _Exchange("GBP", 0.01),
    "XETR": _Exchange("EUR", 0.01),
    "XFRA": _Exchange("EUR", 0.01),
    "XPAR": _Exchange("EUR", 0.01),
    "XAMS": _Exchange("EUR", 0.01),
    "XBRU": _Exchange("EUR", 0.01),
    "XLIS": _Exchange("EUR", 0.01),
    "XMIL": _Exchange("EUR", 0.01),
    "XMAD": _Exchange("EUR", 0.01),
    "XHEL": _Exchange("EUR", 0.01),
    "XSWX": _Exchange("CHF", 0.01),
    "XSTO": _Exchange("SEK", 0.01),
    "XCSE": _Exchange("DKK", 0.01),
    "XOSL": _Exchange("NOK", 0.01),
    "XTSE": _Exchange("CAD", 0.01, 1.0, 0.005, 0.5),
    "XASX": _Exchange("AUD", 0.01, 1.0, 0.001, 0.1),
    "XHKG": _Exchange("HKD", 0.01),
    "XTKS": _Exchange("JPY", 1.0, 100.0),
    "XKRX": _Exchange("KRW", 1.0),
    "XSHG": _Exchange("CNY", 0.01, 100.0),
    "XSHE": _Exchange("CNY", 0.01, 100.0),
    "XBSP": _Exchange("BRL", 0.01, 100.0),
}


class _Future(NamedTuple):
    """Step of the price and value of one point, of a contract."""

    tick: float
    multiplier: float


FUTURES: dict[str, _Future] = {
    "ES": _Future(0.25, 50.0), "MES": _Future(0.25, 5.0), "NQ": _Future(0.25, 20.0),
    "MNQ": _Future(0.25, 2.0),
    "YM": _Future(1.0, 5.0), "MYM": _Future(1.0, 0.5), "RTY": _Future(0.1, 50.0),
    "M2K": _Future(0.1, 5.0),
    "CL": _Future(0.01, 1000.0), "MCL": _Future(0.01, 100.0), "BZ": _Future(0.01, 1000.0),
    "NG": _Future(0.001, 10_000.0),
    "HO": _Future(0.0001, 42_000.0), "RB": _Future(0.0001, 42_000.0),
    "GC": _Future(0.1, 100.0), "MGC": _Future(0.1, 10.0), "SI": _Future(0.005, 5000.0),
    "HG": _Future(0.0005, 25_000.0), "PL": _Future(0.1, 50.0),
    "ZB": _Future(1 / 32, 1000.0), "UB": _Future(1 / 32, 1000.0), "ZN": _Future(1 / 64, 1000.0),
    "ZF": _Future(1 / 128, 1000.0),
    "ZT": _Future(1 / 256, 2000.0),
    "ZC": _Future(0.25, 50.0), "ZS": _Future(0.25, 50.0), "ZW": _Future(0.25, 50.0),
    "ZL": _Future(0.01, 600.0), "ZM": _Future(0.1, 100.0),
    "LE": _Future(0.025, 400.0), "HE": _Future(0.025, 400.0),
    "6E": _Future(0.00005, 125_000.0), "6B": _Future(0.0001, 62_500.0),
    "6J": _Future(0.0000005, 12_500_000.0),
    "6A": _Future(0.00005, 100_000.0), "6C": _Future(0.00005, 100_000.0),
    "VX": _Future(0.05, 1000.0), "BTC": _Future(5.0, 5.0), "MBT": _Future(5.0, 0.1),
}  # fmt: skip
"""By root; prices as the exchange quotes them (grains in cents a bushel, so a point of ZC is 50
dollars).
"""

_FUTURE_NAME = re.compile(r"^[/@]?(?P<root>[A-Z0-9]{1,3}?)(?:=F|\d?!|[FGHJKMNQUVXZ]\d{1,4})?$")
_FX_NAME = re.compile(r"^(?P<base>[A-Z]{3})[/_\-.]?(?P<quote>[A-Z]{3})(?:=X)?$")
_PAIR_NAME = re.compile(
    r"^(?P<base>[A-Z0-9]+?)[/_\-]?(?P<quote>USDT|USDC|FDUSD|BUSD|TUSD|USDP|DAI|USD|EUR|GBP|JPY|KRW|TRY|BTC|ETH|BNB)$"
)


def asset_class_of(symbol: str, market: MarketSettings) -> str:
    """The asset class of a symbol: from the settings, else from its spelling, the source or the
    calendar.
    """
    for terms in (market.instruments.symbols.get(symbol), market.instruments.defaults):
        if terms is not None and terms.asset_class is not None:
            return terms.asset_class
    if symbol.startswith("^"):
        return "index"
    if symbol.endswith("=F"):
        return "future"
    if symbol.endswith("=X"):
        return "fx"
    if market.source == "alpaca":
        return "crypto" if "/" in symbol else "us_equity"
    if market.source == "crypto":
        return "crypto"
    return _asset_class_of_calendar(market.calendar)


def _asset_class_of_calendar(calendar: str) -> str:
    if calendar in _FX_CALENDARS:
        return "fx"
    if calendar == "24/7":
        return "crypto"
    if calendar in _US_CALENDARS:
        return "us_equity"
    return "future" if calendar.startswith(_FUTURES_CALENDARS) else "equity"


def default_terms(symbol: str, market: MarketSettings) -> tuple[Instrument, bool]:
    """(terms, whether the tick should come from the data), before source, data and
    settings apply.
    """
    asset_class = asset_class_of(symbol, market)
    plain = Instrument(
        symbol,
        asset_class=asset_class,
        calendar=market.calendar,
        origin=f"default {asset_class}",
        small_tick_size=None,
        small_tick_below=None,
    )
    if asset_class == "us_equity":
        return replace(plain, currency="USD", small_tick_size=0.0001, small_tick_below=1.0), False
    if asset_class == "fx":
        return _currency_pair(symbol, plain)
    if asset_class == "crypto":
        return _coin(symbol, plain), True
    if asset_class == "future":
        return _future(symbol, plain)
    known = EXCHANGES.get(market.calendar, _Exchange("", 0.01))
    terms = replace(
        plain,
        currency=known.currency or None,
        tick_size=known.tick,
        small_tick_size=known.small_tick,
        small_tick_below=known.below,
        lot_size=known.lot,
        fee_unit=fee_unit(known.currency),
        volume=INDICATIVE if asset_class == "index" else TRADED,
    )
    return terms, True


def _currency_pair(symbol: str, plain: Instrument) -> tuple[Instrument, bool]:
    """A fractional pip; one unit of the base currency.

    A symbol that is no pair of currencies (metals, CFDs) is read from the data.
    """
    found = _FX_NAME.match(_strip_venue(symbol))
    quote = found["quote"] if found else None
    known = found is not None and found["base"] in CURRENCIES and quote in CURRENCIES
    tick = 0.001 if quote == "JPY" else 0.00001
    return (
        replace(
            plain,
            currency=quote if quote in CURRENCIES else None,
            tick_size=tick,
            fee_unit=fee_unit(quote or ""),
            volume=INDICATIVE,
        ),
        not known,
    )


def _coin(symbol: str, plain: Instrument) -> Instrument:
    found = _PAIR_NAME.match(_strip_venue(symbol))
    quote = found["quote"] if found else None
    return replace(
        plain, currency=quote, tick_size=0.01, lot_size=1e-8, fee_unit=fee_unit(quote or "USD")
    )


def _future(symbol: str, plain: Instrument) -> tuple[Instrument, bool]:
    root = future_root(symbol)
    known = FUTURES.get(root or "")
    if known is None:
        return replace(plain, currency=None), True
    return (
        replace(
            plain,
            currency="USD",
            tick_size=known.tick,
            multiplier=known.multiplier,
            origin=f"default future {root}",
        ),
        False,
    )


def future_root(symbol: str) -> str | None:
    """ES of ES=F, ESZ4, ESZ2024, ES1!, /ES and CME_MINI:ES1!; None when it is no such name."""
    bare = _strip_venue(symbol)
    if bare in FUTURES:
        return bare
    found = _FUTURE_NAME.match(bare)
    return found["root"] if found else None


def fee_unit(currency: str) -> float:
    """The unit to which amounts are rounded: the cent, the whole yen, the small unit of coins."""
    if currency in _WHOLE_MONEY:
        return _WHOLE
    return (
        _SMALLEST
        if currency and currency not in CURRENCIES and currency not in _STABLE_COINS
        else _CENT
    )


def _strip_venue(symbol: str) -> str:
    """The symbol without the venue that TradingView and others put before it."""
    return symbol.upper().rsplit(":", 1)[-1]


def apply_terms(instrument: Instrument, terms: InstrumentTerms, where: str) -> Instrument:
    """`instrument` with the given `terms`. A tick alone holds at all prices."""
    given = {name: value for name, value in terms.model_dump().items() if value is not None}
    if not given:
        return instrument
    if "tick_size" in given and "small_tick_size" not in given:
        given |= {"small_tick_size": None, "small_tick_below": None}
    named = ", ".join(name for name in terms.model_dump() if given.get(name) is not None)
    return replace(instrument, **given, origin=f"{instrument.origin}; {named}: {where}")
