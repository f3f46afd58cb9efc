"""The settings of quality as the kernel reads them: numbers to compare with, and bits of rules."""

import math
from collections.abc import Sequence
from datetime import date

import numpy as np

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import DayCut
from harmony_pipeline.market.quality_settings import QualitySettings
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.validation.catalog import NUMBER, RULES
from harmony_pipeline.market.validation.judged_bar import Limits
from harmony_pipeline.market.validation.kernel import RuleSelection


def build_limits(quality: QualitySettings) -> Limits:
    """The numbers that kernels compare with."""
    numbers = quality.model_dump() | {
        "outlier_up": math.exp(quality.outlier_return),
        "outlier_down": math.exp(-quality.outlier_return),
    }
    return Limits(*(float(numbers[name]) for name in Limits._fields))


def select_rules(
    settings: MarketSettings, symbols: Sequence[str], calendar: Calendar, timeframe: str
) -> RuleSelection:
    """The selection of each symbol, in the given order."""
    quality = settings.quality
    usual = _bits(quality, None)
    chosen = {symbol: _bits(quality, symbol) for symbol in quality.symbols}
    active, removes = (
        np.array([chosen.get(symbol, usual)[which] for symbol in symbols], np.int64)
        for which in (0, 1)
    )
    cut = DayCut.of(calendar, timeframe)
    allowances = sorted(
        (
            symbols.index(one.symbol),
            NUMBER[one.rule],
            _micros(one.first, cut),
            _micros(one.end, cut),
        )
        for one in quality.allow
        if one.symbol in symbols
    )
    table = np.array(allowances, np.int64).reshape(-1, 4)
    begin = np.searchsorted(table[:, 0], np.arange(len(symbols) + 1)).astype(np.int64)
    unknown = np.array(
        [bool(settings.symbols) and symbol not in settings.symbols for symbol in symbols], np.uint8
    )
    return RuleSelection(active, removes, unknown, begin, np.ascontiguousarray(table[:, 1:].T))


def _bits(quality: QualitySettings, symbol: str | None) -> tuple[int, int]:
    """Bits of the active rules, and of those that refuse a row."""
    active = removes = 0
    for rule in RULES:
        severity = quality.severity(rule.name, rule.severity, symbol)
        active |= (severity != "off") << NUMBER[rule.name]
        removes |= (severity == "quarantine") << NUMBER[rule.name]
    return active, removes


def _micros(day: date, cut: DayCut) -> int:
    return round(cut.start_of(day).timestamp()) * 1_000_000
