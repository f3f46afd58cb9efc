"""The call of the kernel over a batch, on one thread or on two where the batch is large; and the
settings, as the kernel reads them.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import NamedTuple

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import DayCut
from harmony_pipeline.market.quality_settings import QualitySettings
from harmony_pipeline.market.session_position import seconds_of, sessions_of
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.validation.batch import Batch, Piece, split_in_halves
from harmony_pipeline.market.validation.catalog import NUMBER, RULES
from harmony_pipeline.market.validation.history import Limits
from harmony_pipeline.market.validation.kernel import (
    Rows,
    RuleSelection,
    Verdicts,
    judge_rows,
)
from harmony_pipeline.market.validation.symbol_state import Actions

_WORTH_TWO_THREADS = 100_000  # rows
_ROOM = 4096  # findings; a batch with more is judged again with room for all
_FINDING = {
    "place": pl.Float64(),
    "number": pl.Float64(),
    "measure": pl.Float64(),
    "reference": pl.Float64(),
    "other": pl.Float64(),
}


def judge_batch(
    batch: Batch,
    actions: Actions,
    states: FloatArray,
    calendar: Calendar,
    timeframe: str,
    settings: MarketSettings,
) -> tuple[Verdicts, pl.DataFrame]:
    """Verdicts by row, and the findings: place (a row), number (of a rule), measure, reference,
    other (a row). `states` is updated in place.
    """
    height = batch.rows.height
    verdicts = Verdicts(np.empty(height, np.uint8), np.empty(height, np.uint8), np.empty(height))
    judge = _Judge(
        batch,
        _select_rules(settings, batch.symbols.to_list(), calendar, timeframe),
        (
            settings.extended_hours,
            seconds_of(timeframe),
            sessions_of(calendar.for_timeframe(timeframe)),
            _build_limits(settings.quality),
        ),
        actions,
        states.copy(),
        states,
        verdicts,
    )
    if height < _WORTH_TWO_THREADS:
        findings = judge.judge_pieces(batch.pieces)
    else:
        halves = split_in_halves(batch.pieces, batch.begin)
        with ThreadPoolExecutor(2) as pool:  # the kernel releases the GIL; symbols are independent
            findings = np.concatenate(list(pool.map(judge.judge_pieces, halves)))
    table = pl.DataFrame(findings, schema=_FINDING)
    return verdicts, table.with_columns(pl.col("place", "number", "other").cast(pl.Int64))


class _Judge(NamedTuple):
    """What judges any pieces of a batch: the rules, the states of the symbols before the batch
    (`earlier`), the states that the kernel updates, and the verdicts that it fills.
    """

    batch: Batch
    selection: RuleSelection
    rules: tuple[bool, int, IntArray, Limits]  # extended hours, seconds of a bar, sessions, limits
    actions: Actions
    earlier: FloatArray
    states: FloatArray
    verdicts: Verdicts

    def judge_pieces(self, pieces: Sequence[Piece], room: int = _ROOM) -> FloatArray:
        """Findings of some pieces; they are judged again where there is no room for all."""
        batch, findings, found = self.batch, np.empty((room, len(_FINDING))), 0
        for piece in pieces:
            symbols, mine = piece.segments, piece.rows
            found += judge_rows(
                Rows(
                    begin=piece.begin,
                    defect=batch.defects[mine],
                    ingested=batch.ingested[mine],
                    rank=batch.rank[mine],
                    twin=batch.twin[mine],
                    **piece.columns,
                ),
                self.selection.of(symbols),
                *self.rules,
                self.actions.begin[symbols.start : symbols.stop + 1],
                self.actions.whole,
                self.actions.real,
                self.states[symbols],
                self.verdicts.of(mine),
                findings[found:],
                piece.first,
            )
        if found <= room:
            return findings[:found]
        touched = slice(pieces[0].segments.start, pieces[-1].segments.stop)
        self.states[touched] = self.earlier[touched]
        return self.judge_pieces(pieces, found)


# --- settings as kernels read them ----------------------------------------------------------------


def _build_limits(quality: QualitySettings) -> Limits:
    """The numbers that kernels compare with."""
    numbers = quality.model_dump() | {
        "outlier_up": math.exp(quality.outlier_return),
        "outlier_down": math.exp(-quality.outlier_return),
    }
    return Limits(*(float(numbers[name]) for name in Limits._fields))


def _select_rules(
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
