"""Companies of the simulated market: invented names, sectors, size, float, volume, splits and
delistings.

A company depends on (seed, its number) alone. More symbols add companies and leave the others
unchanged. Ordinary companies have the numbers from 0, low-float companies those from LOW_FLOAT on.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

from harmony_pipeline.market.simulation.random_keys import COMPANIES, key_of, normal, uniform
from harmony_pipeline.market.source_settings import SimulatedSourceSettings

SECTORS = (
    "Technology",
    "Health Care",
    "Financials",
    "Energy",
    "Industrials",
    "Consumer Discretionary",
    "Materials",
    "Utilities",
)
LOW_FLOAT = 1_000_000  # number of the first low-float company
NEVER = 1 << 40  # a session that does not come
_FIRST, _VOWELS, _SECOND = "BDLMNRSTV", "AEIO", "CKLDRHWYJ"
_STRIDE = 847  # has no factor 2 or 3: neighbours get unlike names and no name comes twice
_SPLITS = (2.0, 3.0, 4.0, 1.5)
_REVERSE_SPLITS = (0.1, 0.2, 0.25)


class Company(NamedTuple):
    """One company for the kernel. Sessions are counted from the market's first.

    market, sector_load, residual: loadings on the factors, squares sum to 1. volume: shares of a
    usual day. lot: shares of a usual trade. dividend: fraction of the price, paid four times a
    year, 0 for none. phase: where in the quarter its earnings fall.
    """

    number: int
    sector: int
    low_float: bool
    price: float
    daily_volatility: float
    market: float
    sector_load: float
    residual: float
    volume: float
    lot: float
    dividend: float
    phase: int
    listed: int
    delisted: int
    split_session: int
    split_ratio: float


@dataclass(frozen=True)
class Listing:
    """A company with its symbol and sector. shares and floating are counted before any split."""

    symbol: str
    sector: str
    company: Company
    shares: float
    floating: float
    years_listed: float


def listings(settings: SimulatedSourceSettings, sessions_per_year: int) -> list[Listing]:
    """Every company of the market, sorted by symbol."""
    daily = settings.annual_volatility / math.sqrt(sessions_per_year)
    ordinary = [_ordinary(number, settings.seed, daily) for number in range(settings.symbols)]
    small = [
        _low_float(number, settings.seed, daily) for number in range(settings.low_float_symbols)
    ]
    return sorted(ordinary + small, key=lambda listing: listing.symbol)


def symbol_name(number: int) -> str:
    """An invented, pronounceable name: `TORA` or `TORAL` for an ordinary company, `OCAD` for low
    float.
    """
    if number >= LOW_FLOAT:
        return _letters(
            ((number - LOW_FLOAT) * _STRIDE + 555) % 1296, (_VOWELS, _SECOND, _VOWELS, _FIRST)
        )
    if number < 1296:
        return _letters((number * _STRIDE + 555) % 1296, (_FIRST, _VOWELS, _SECOND, _VOWELS))
    return _letters((number * _STRIDE + 555) % 11664, (_FIRST, _VOWELS, _SECOND, _VOWELS, _FIRST))


def _letters(index: int, alphabets: tuple[str, ...]) -> str:
    letters = []
    for alphabet in alphabets:
        index, position = divmod(index, len(alphabet))
        letters.append(alphabet[position])
    return "".join(letters)


def _ordinary(number: int, seed: int, daily: float) -> Listing:
    key = key_of(seed, COMPANIES, number)
    sector = number % len(SECTORS)
    capitalisation = 11e9 * math.exp(0.9 * normal(key, 0))
    price = _cents(55.0 * math.exp(0.6 * normal(key, 1)))
    shares = capitalisation / price
    company = Company(
        number=number, sector=sector, low_float=False, price=price,
        daily_volatility=daily * math.exp(0.18 * normal(key, 2) - 0.03),
        **_loadings(0.18 + 0.18 * uniform(key, 3), 0.12),
        volume=shares * (0.005 + 0.008 * uniform(key, 4)), lot=60.0 + 90.0 * uniform(key, 5),
        dividend=0.002 + 0.006 * uniform(key, 6) if number % 3 == 0 else 0.0,
        phase=_whole(uniform(key, 7), 63),
        listed=30 + _whole(uniform(key, 8), 90) if number % 12 == 5 else 0,
        delisted=180 + _whole(uniform(key, 9), 120) if number % 24 == 11 else NEVER,
        split_session=25 + _whole(uniform(key, 10), 225) if number % 6 == 2 else NEVER,
        split_ratio=_SPLITS[_whole(uniform(key, 11), len(_SPLITS))],
    )  # fmt: skip
    return Listing(
        symbol_name(number),
        SECTORS[sector],
        company,
        shares,
        shares * (0.80 + 0.18 * uniform(key, 12)),
        1.0 + 29.0 * uniform(key, 13),
    )


def _low_float(number: int, seed: int, daily: float) -> Listing:
    """Few free shares, a low price, twice the volatility, and days of news with high volume."""
    key = key_of(seed, COMPANIES, LOW_FLOAT + number)
    sector = (3 * number + 1) % len(SECTORS)
    price = _cents(5.5 * math.exp(0.5 * normal(key, 1)))
    floating = 5e6 * math.exp(0.6 * normal(key, 0))
    company = Company(
        number=LOW_FLOAT + number, sector=sector, low_float=True, price=price,
        daily_volatility=daily * (1.8 + 0.6 * uniform(key, 2)),
        **_loadings(0.06 + 0.06 * uniform(key, 3), 0.05),
        volume=floating * (0.02 + 0.04 * uniform(key, 4)), lot=120.0 + 120.0 * uniform(key, 5),
        dividend=0.0,
        phase=_whole(uniform(key, 7), 63), listed=0, delisted=NEVER,
        split_session=25 + _whole(uniform(key, 10), 225) if number % 3 == 1 else NEVER,
        split_ratio=_REVERSE_SPLITS[_whole(uniform(key, 11), len(_REVERSE_SPLITS))],
    )  # fmt: skip
    return Listing(
        symbol_name(company.number),
        SECTORS[sector],
        company,
        floating * (1.4 + 1.2 * uniform(key, 12)),
        floating,
        0.5 + 8.0 * uniform(key, 13),
    )


def _loadings(market_share: float, sector_share: float) -> dict[str, float]:
    return {
        "market": math.sqrt(market_share),
        "sector_load": math.sqrt(sector_share),
        "residual": math.sqrt(1.0 - market_share - sector_share),
    }


def _whole(fraction: float, count: int) -> int:
    return int(fraction * count)


def _cents(price: float) -> float:
    return round(max(price, 1.5), 2)
