"""Which raw rows become bars.

Every raw row ends in `bars` or, exactly once, in `quarantine`. A row in quarantine has the first
rule that refused it and a message with its origin, what was found and what to do. A verdict that
removes a row uses the bar and what came before it, never what came after. A bar is known at its
end, and a rule that waited for the next bar would let the future choose the past. Rules that need a
later bar only warn, at that later bar. A cut of time into periods, or of symbols into batches,
changes no verdict and no bit. The state of the rules is `Validated.after`, which the next call
receives as `before`.

The rules are listed in `validation/catalog.py` and explained in docs/quality.md. One compiled loop
judges the rows (`validation/kernel.py`). Messages are written only for refused and odd rows.
tests/market/naive_quality.py defines the rules in plain Python, row by row.
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.timezone_detection import zone_hints
from harmony_pipeline.market.validation import symbol_state
from harmony_pipeline.market.validation.batch import arrange_rows
from harmony_pipeline.market.validation.catalog import NUMBER
from harmony_pipeline.market.validation.judge import judge_batch
from harmony_pipeline.market.validation.kernel import Verdicts
from harmony_pipeline.market.validation.messages import build_messages
from harmony_pipeline.market.validation.outcome import (
    count_rows,
    idle_notes,
    kept_bars,
    quarantined_rows,
    unapplied_warnings,
    warnings_of,
)
from harmony_pipeline.market.validation.saved_states import conform_states, merge_states, states_of
from harmony_pipeline.market.validation.symbol_state import pack_actions, unapplied_actions


@dataclass(frozen=True)
class Validated:
    """`bars`, `quarantine`, `warnings` (schemas.QUALITY_WARNINGS), `after` (schemas.BAR_STATE, one
    row a symbol) and `counts`.

    counts: rows_raw, rows_bars, rows_quarantine, quarantined_fraction (without rows that were
    switched off or mended), rules (name -> rows in quarantine), warnings (name -> rows) and notes
    (sentences).
    """

    bars: pl.DataFrame
    quarantine: pl.DataFrame
    warnings: pl.DataFrame
    after: pl.DataFrame
    counts: dict[str, Any]


def validate(
    raw: pl.DataFrame,
    before: pl.DataFrame,
    actions: pl.DataFrame,
    calendar: Calendar,
    timeframe: str,
    settings: MarketSettings,
) -> Validated:
    """Sort raw rows into bars and quarantine, and add session and adjustment factor to the bars.

    `raw` has the columns of schemas.RAW_BARS, whole symbols in any order. `before` is `after` of
    the call for the time before. It may be empty, and may be a frame of last regular closes alone:
    symbol, close, adjustment_factor, timestamp.
    """
    batch = arrange_rows(raw)
    rows, symbols = batch.rows, batch.symbols
    known = conform_states(before, calendar, timeframe)
    states = states_of(known, symbols)
    idle = states[:, symbol_state.IDLE_BARS].copy()
    packed = pack_actions(actions, symbols)
    verdicts, findings = judge_batch(batch, packed, states, calendar, timeframe, settings)

    hints = _zone_hints(rows, verdicts, calendar, timeframe, settings)
    messages = build_messages(calendar, timeframe, settings.quality, hints)
    bars = kept_bars(rows, verdicts)
    quarantine = quarantined_rows(rows, verdicts, findings, messages)
    problems = unapplied_actions(packed)
    unapplied = unapplied_warnings(rows, problems, settings)
    warnings = warnings_of(rows, verdicts, findings, messages, hints, unapplied)
    assert bars.height + quarantine.height == raw.height, "a raw row was lost or counted twice"
    after = merge_states(known, symbols, states)
    silent = (
        idle_notes(symbols, states, idle, warnings)
        if settings.quality.severity("zero_volume", "warn") == "warn"
        else []
    )
    notes = [*problems["note"], *hints.values(), *silent]
    counts = count_rows(raw.height, bars.height, quarantine, warnings, notes)
    return Validated(bars, quarantine, warnings, after, counts)


def _zone_hints(
    rows: pl.DataFrame,
    verdicts: Verdicts,
    calendar: Calendar,
    timeframe: str,
    settings: MarketSettings,
) -> dict[str, str]:
    """Suspected time zones by origin, from current rows. Withdrawn and superseded rows were read
    otherwise.
    """
    if settings.quality.severity("wrong_time_zone", "warn") == "off":
        return {}
    part, before = (
        verdicts.part,
        (verdicts.rule == NUMBER["withdrawn"]) | (verdicts.rule == NUMBER["superseded"]),
    )
    if before.any():
        rows, part = rows.filter(pl.Series(~before)), part[~before]
    return zone_hints(rows, part, calendar, timeframe, settings.files) if rows.height else {}
