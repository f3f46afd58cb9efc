"""Settings as the judge reads them: for each symbol the rules that are asked, those that refuse a row, and its allowances."""

import math
from collections.abc import Sequence
from datetime import date

import numpy as np

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import DayCut
from harmony_pipeline.market.settings import MarketSettings, QualitySettings
from harmony_pipeline.market.validation.catalog import NUMBER, RULES
from harmony_pipeline.market.validation.history import Limits
from harmony_pipeline.market.validation.kernel import Asked


def limits_of(quality: QualitySettings) -> Limits:
    """The numbers that kernels compare with."""
    derived = {"outlier_up": math.exp(quality.outlier_return), "outlier_down": math.exp(-quality.outlier_return)}
    return Limits(*(derived.get(name) or float(getattr(quality, name)) for name in Limits._fields))


def asked_of(settings: MarketSettings, symbols: Sequence[str], calendar: Calendar, timeframe: str) -> Asked:
    """One place a symbol, in the given order."""
    quality = settings.quality
    usual = _bits(quality, None)
    chosen = {symbol: _bits(quality, symbol) for symbol in quality.symbols}
    asked, removes = (np.array([chosen.get(symbol, usual)[which] for symbol in symbols], np.int64) for which in (0, 1))
    cut = DayCut.of(calendar, timeframe)
    allowances = sorted(
        (symbols.index(one.symbol), NUMBER[one.rule], _micros(one.first, cut), _micros(one.end, cut)) for one in quality.allow if one.symbol in symbols
    )
    table = np.array(allowances, np.int64).reshape(-1, 4)
    begin = np.searchsorted(table[:, 0], np.arange(len(symbols) + 1)).astype(np.int64)
    unknown = np.array([bool(settings.symbols) and symbol not in settings.symbols for symbol in symbols], np.uint8)
    return Asked(asked, removes, unknown, begin, np.ascontiguousarray(table[:, 1:].T))


def _bits(quality: QualitySettings, symbol: str | None) -> tuple[int, int]:
    """Bits of the rules that are asked, and of those that refuse a row."""
    asked = removes = 0
    for rule in RULES:
        severity = quality.severity(rule.name, rule.severity, symbol)
        asked |= (severity != "off") << NUMBER[rule.name]
        removes |= (severity == "quarantine") << NUMBER[rule.name]
    return asked, removes


def _micros(day: date, cut: DayCut) -> int:
    return round(cut.start_of(day).timestamp()) * 1_000_000
