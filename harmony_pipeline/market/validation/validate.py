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

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.session_parts import PARTS
from harmony_pipeline.market.session_position import seconds_of, sessions_of
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.text_columns import name_column
from harmony_pipeline.market.timezone_detection import zone_hints
from harmony_pipeline.market.validation import symbol_state
from harmony_pipeline.market.validation.batch import Batch, Piece, arrange_rows, split_in_halves
from harmony_pipeline.market.validation.catalog import NUMBER
from harmony_pipeline.market.validation.judged_bar import Limits
from harmony_pipeline.market.validation.kernel import (
    KEPT,
    Rows,
    RuleSelection,
    Verdicts,
    judge_rows,
)
from harmony_pipeline.market.validation.messages import build_messages
from harmony_pipeline.market.validation.outcome import (
    count_rows,
    idle_notes,
    quarantined_rows,
    unapplied_warnings,
    warnings_of,
)
from harmony_pipeline.market.validation.rule_selection import build_limits, select_rules
from harmony_pipeline.market.validation.saved_states import conform_states, merge_states, states_of
from harmony_pipeline.market.validation.symbol_state import (
    Actions,
    pack_actions,
    unapplied_actions,
)
from harmony_pipeline.schemas import BARS

# batches that are judged side by side: a third thread gains little and costs a quarter more memory;
# one more batch is read ahead
_AT_ONCE = 2
_WORTH_TWO_THREADS = 100_000  # rows of one batch
_ROOM = 4096  # findings; a batch with more is judged again with room for all
_FINDING = {
    "place": pl.Float64(),
    "number": pl.Float64(),
    "measure": pl.Float64(),
    "reference": pl.Float64(),
    "other": pl.Float64(),
}
# refused rows that a batch of bars is cut around instead of being copied without them
_FEW_REFUSED = 200

Tag = TypeVar("Tag")


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


def validate_each(
    batches: Iterable[tuple[Tag, pl.DataFrame, pl.DataFrame]],
    actions: pl.DataFrame,
    calendar: Calendar,
    timeframe: str,
    settings: MarketSettings,
) -> Iterator[tuple[Tag, Validated]]:
    """`validate` of each (tag, raw, before), two batches in parallel: tags with results, in order.

    Each batch has its own symbols, so no verdict and no bit depends on the size of the batches. The
    kernels release the GIL.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting: deque[tuple[Tag, Future[Validated]]] = deque()
        for tag, raw, before in batches:
            waiting.append(
                (tag, pool.submit(validate, raw, before, actions, calendar, timeframe, settings))
            )
            if len(waiting) > _AT_ONCE:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()


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
    verdicts, findings = _judge_batch(batch, packed, states, calendar, timeframe, settings)

    hints = _zone_hints(rows, verdicts, calendar, timeframe, settings)
    messages = build_messages(calendar, timeframe, settings.quality, hints)
    bars = _kept_bars(rows, verdicts)
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


def _judge_batch(
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
        select_rules(settings, batch.symbols.to_list(), calendar, timeframe),
        (
            settings.extended_hours,
            seconds_of(timeframe),
            sessions_of(calendar.for_timeframe(timeframe)),
            build_limits(settings.quality),
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


def _kept_bars(rows: pl.DataFrame, verdicts: Verdicts) -> pl.DataFrame:
    """The kept rows with session and adjustment factor, in key order."""
    made = {
        "session": name_column(verdicts.part, ("", *PARTS[1:])),
        "adjustment_factor": pl.Series(verdicts.factor),
    }  # a row outside every session is no bar
    # Columns side by side, as they lie: a select would bring all of them to the same chunks, which
    # copies every value.
    whole = pl.DataFrame(
        [made[name].alias(name) if name in made else rows[name] for name in BARS.columns]
    )
    refused = np.flatnonzero(verdicts.rule != KEPT)
    if not refused.size:
        return whole
    if refused.size > _FEW_REFUSED:
        return whole.filter(pl.Series(verdicts.rule == KEPT))
    # the stretches between a few refused rows are kept where they lie
    edges = [-1, *refused.tolist(), whole.height]
    stretches = [
        whole[before + 1 : after] for before, after in pairwise(edges) if after > before + 1
    ]
    return pl.concat(stretches, rechunk=False) if stretches else whole.clear()


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
