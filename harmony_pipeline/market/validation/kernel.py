"""The loop that judges raw rows: one pass over a batch of whole symbols, row by row, in time order.

Versions. Rows of one symbol and time are versions of one bar. They are tried from best to worst,
and the first that no rule refuses becomes the bar. A version is better if it was learned later.
Among rows learned at one moment only values decide (larger volume, then trade count, vwap, close,
open, high, low; null is lowest), so that file names and line numbers never choose a price. A faulty
version therefore never hides a sound one, however late it came. Each other version is, in this
order: `duplicate` (the same values, learned at the same moment as a row that was tried),
`superseded` (learned before the bar, also where it was faulty, since it was mended), or
`conflicting_duplicate`.

A row that withdraws hides every version learned before it. Those are `superseded`. The row itself
is `withdrawn`, unless the bar was learned again later.
"""

import math
from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import ByteArray, FloatArray, IntArray
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.session_parts import OUTSIDE, REGULAR
from harmony_pipeline.market.session_position import (
    DAY,
    end_of_part,
    first_session,
    grid_shift,
    next_session,
    on_grid,
    part_of,
)
from harmony_pipeline.market.validation.catalog import NUMBER, RULES
from harmony_pipeline.market.validation.fast_path import is_uneventful, keep_uneventful_rows
from harmony_pipeline.market.validation.history import (
    TICKER_REUSE,
    WRONG_SCALE,
    judge_by_history,
    remember,
)
from harmony_pipeline.market.validation.judged_bar import JudgedBar, Limits
from harmony_pipeline.market.validation.price_scale import remember_scale
from harmony_pipeline.market.validation.symbol_state import (
    CLOSE_DAY,
    CLOSE_SESSION,
    FACTOR,
    SEEN,
    apply_until,
    first_due,
    skip_until,
)

UNREADABLE, MISSING_PRICE, MISSING_VOLUME, UNKNOWN_SYMBOL = (
    NUMBER[name] for name in ("unreadable", "missing_price", "missing_volume", "unknown_symbol")
)
OUT_OF_BOUNDS, TOO_MUCH_VOLUME, WITHDRAWN = (
    NUMBER["price_out_of_bounds"],
    NUMBER["volume_out_of_bounds"],
    NUMBER["withdrawn"],
)
NON_POSITIVE, NEGATIVE_VOLUME, HIGH_BELOW_LOW = (
    NUMBER["non_positive_price"],
    NUMBER["negative_volume"],
    NUMBER["high_below_low"],
)
OUTSIDE_RANGE, MISALIGNED, OUTSIDE_SESSION = (
    NUMBER["open_or_close_outside_range"],
    NUMBER["misaligned_timestamp"],
    NUMBER["outside_session"],
)
EXTENDED_OFF, ZERO_VOLUME = NUMBER["extended_hours_off"], NUMBER["zero_volume"]
FILLER = NUMBER["closed_market_filler"]
SUPERSEDED, DUPLICATE, CONFLICTING = (
    NUMBER["superseded"],
    NUMBER["duplicate"],
    NUMBER["conflicting_duplicate"],
)
KEPT = 0  # verdict of a row that is a bar
UNDECIDED = 255
# values of `Rows.defect`: a cell could not be read, or the row withdraws those before it
UNREAD, TAKEN_BACK = 1, 2
_DAILY = 86_400
_SCRATCH = len(RULES) + 1


class Rows(NamedTuple):
    """Raw rows as arrays, sorted by symbol and start. Segment i is `begin[i]` to `begin[i + 1]`;
    NaN is null.

    The last three are empty where no two rows share symbol and time: `ingested`, `rank` (higher is
    better) and `twin` (equal for rows with the same values that were learned at the same moment).
    `defect` is empty where no row has one.
    """

    begin: IntArray
    timestamp: IntArray
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    vwap: FloatArray
    defect: ByteArray
    ingested: IntArray
    rank: IntArray
    twin: IntArray


class RuleSelection(NamedTuple):
    """By segment: bits of the active rules, bits of the rules that refuse a row, whether the symbol
    is unknown, and where its allowances begin.

    `allowances` has one column an allowance: rule, from, to (microseconds, half open).
    """

    active: IntArray
    removes: IntArray
    unknown: ByteArray
    allowed_begin: IntArray
    allowances: IntArray

    def of(self, segments: slice) -> "RuleSelection":
        """The selection of consecutive segments."""
        begin = self.allowed_begin[segments.start : segments.stop + 1]
        return RuleSelection(
            self.active[segments],
            self.removes[segments],
            self.unknown[segments],
            begin,
            self.allowances,
        )


class Verdicts(NamedTuple):
    """By row: KEPT or the number of the refusing rule, the part of the day, and the forward factor
    of kept rows.
    """

    rule: ByteArray
    part: ByteArray
    factor: FloatArray

    def of(self, rows: slice) -> "Verdicts":
        """A writable view of consecutive rows."""
        return Verdicts(self.rule[rows], self.part[rows], self.factor[rows])


@kernel
def judge_rows(
    rows: Rows,
    selection: RuleSelection,
    extended: bool,
    seconds: int,
    sessions: IntArray,
    limits: Limits,
    action_begin: IntArray,
    action_whole: IntArray,
    action_real: FloatArray,
    states: FloatArray,
    verdicts: Verdicts,
    findings: FloatArray,
    offset: int,
) -> int:
    """Fill `verdicts`, update `states` and write findings; return the number of findings.

    A finding is (row, rule, measure, reference, other row). Findings beyond the size of `findings`
    are counted and not written. `offset` is added to the rows that findings and actions name, for
    rows that are a piece of a frame.

    Over 60 lines because one loop carries the place in the symbol, the session, the due action and
    the number of findings from row to row. Parts would pass all of these, and some twenty arrays,
    at every row.
    """
    found = 0
    begin, stamps, vwap, rank, twin = rows.begin, rows.timestamp, rows.vwap, rows.rank, rows.twin
    o, h, l, c, v = (
        rows.open,
        rows.high,
        rows.low,
        rows.close,
        rows.volume,
    )
    rule, parts, factors, defect, evidence = (
        verdicts.rule,
        verdicts.part,
        verdicts.factor,
        rows.defect,
        np.full((_SCRATCH, 2), math.nan),
    )
    for segment in range(begin.size - 1):
        row, end, state = begin[segment], begin[segment + 1], states[segment]
        last_action = action_begin[segment + 1]
        due = first_due(action_whole, action_begin[segment], last_action, state)
        at = first_session(sessions, stamps[row], seconds)
        if not math.isnan(state[CLOSE_DAY]):
            state[CLOSE_SESSION] = float(np.searchsorted(sessions[DAY], int(state[CLOSE_DAY])))
        is_known_symbol = selection.unknown[segment] == 0
        first_allowed, last_allowed = (
            selection.allowed_begin[segment],
            selection.allowed_begin[segment + 1],
        )
        while row < end:
            stamp = stamps[row]
            at = next_session(sessions, at, stamp, seconds)
            part = part_of(sessions, at, stamp, seconds)
            if (
                part != OUTSIDE
                and is_known_symbol
                and (part == REGULAR or extended)
                and is_uneventful(state, sessions[DAY, at], part == REGULAR)
            ):
                first_row = row
                row = keep_uneventful_rows(
                    row,
                    end,
                    end_of_part(sessions, at, part, seconds),
                    seconds * 1_000_000,
                    grid_shift(sessions, at, stamp),
                    stamps,
                    o,
                    h,
                    l,
                    c,
                    v,
                    vwap,
                    defect,
                    state,
                    limits,
                    part == REGULAR,
                    part,
                    rule,
                    parts,
                    factors,
                )
                if row > first_row:
                    continue
            aligned, stop = on_grid(sessions, at, stamp, seconds), row + 1
            while stop < end and stamps[stop] == stamp:
                stop += 1
            allowed = (
                _allowed_rules(selection.allowances, first_allowed, last_allowed, stamp)
                if first_allowed < last_allowed
                else 0
            )
            active, removes = (
                selection.active[segment] & ~allowed,
                selection.removes[segment] & ~allowed,
            )
            waiting = 0
            withdrawal = (
                last_withdrawal(defect, rows.ingested, row, stop) if defect.size > 0 else -1
            )
            for one in range(row, stop):
                parts[one] = part
                # All copies of a withdrawal withdraw. No row has one where `ingested` is empty.
                if one == withdrawal or (
                    withdrawal >= 0
                    and defect[one] == TAKEN_BACK
                    and rows.ingested[one] == rows.ingested[withdrawal]
                ):
                    rule[one] = WITHDRAWN
                    continue
                if withdrawal >= 0 and rows.ingested[one] <= rows.ingested[withdrawal]:
                    rule[one] = SUPERSEDED
                    found = _record_finding(
                        findings, found, one + offset, SUPERSEDED, evidence, withdrawal + offset
                    )
                    continue
                if defect.size > 0 and defect[one] != 0:
                    rule[one] = UNREADABLE
                else:
                    rule[one] = judge_values(
                        o[one], h[one], l[one], c[one], v[one], selection.unknown[segment], limits
                    )
                if rule[one] == UNDECIDED:
                    still = o[one] == h[one] == l[one] == c[one]
                    rule[one] = judge_position(part, aligned, extended, v[one], still, removes)
                waiting += rule[one] == UNDECIDED
            if waiting > 0:
                day = sessions[DAY, at]
                if state[SEEN] != 0.0:
                    due = apply_until(
                        action_whole, action_real, due, last_action, state, day, row + offset
                    )
                else:
                    due = skip_until(action_whole, due, last_action, day)
            kept = off_scale = -1
            while waiting > 0 and kept < 0:
                one = best_version(rule, rank, row, stop) if stop - row > 1 else row
                bar = JudgedBar(
                    stamp,
                    o[one],
                    h[one],
                    l[one],
                    c[one],
                    v[one],
                    vwap[one],
                    sessions[DAY, at],
                    at,
                    part == REGULAR,
                    seconds == _DAILY,
                )
                broken = judge_by_history(state, limits, active, bar, evidence)
                waiting -= 1
                if broken & removes:
                    number = _first_bit(broken & removes)
                    rule[one] = number
                    found = _record_finding(findings, found, one + offset, number, evidence, -1)
                    if off_scale < 0 and broken & removes & 1 << WRONG_SCALE:
                        off_scale = one
                else:
                    kept = one
                    rule[one] = KEPT
                    factors[one] = state[FACTOR]
                    broken |= remember(
                        state, limits, active, bar, broken >> TICKER_REUSE & 1 != 0, evidence
                    )
                    if not aligned:
                        broken |= active & 1 << MISALIGNED
                    number = 0
                    while broken >> number:
                        if broken >> number & 1:
                            found = _record_finding(
                                findings, found, one + offset, number, evidence, -1
                            )
                        number += 1
                if waiting > 0:
                    # what repeats the version just tried is a duplicate, whatever became of it
                    for other in range(row, stop):
                        if rule[other] == UNDECIDED and twin[other] == twin[one]:
                            rule[other] = DUPLICATE
                            waiting -= 1
                            found = _record_finding(
                                findings, found, other + offset, DUPLICATE, evidence, one + offset
                            )
            if kept < 0 and off_scale >= 0:
                remember_scale(state, c[off_scale])
            if kept >= 0 and stop - row > 1:
                for other in range(row, stop):
                    verdict = version_verdict(
                        rule[other], rows.ingested[other], rows.ingested[kept]
                    )
                    if verdict != rule[other]:
                        rule[other] = verdict
                        found = _record_finding(
                            findings, found, other + offset, verdict, evidence, kept + offset
                        )
            row = stop
    return found


@kernel
def _allowed_rules(allowances: IntArray, begin: int, end: int, stamp: int) -> int:
    """Bits of the rules that an allowance suspends at this moment."""
    bits = 0
    for at in range(begin, end):
        if allowances[1, at] <= stamp < allowances[2, at]:
            bits |= 1 << allowances[0, at]
    return bits


@kernel
def judge_values(
    o: float, h: float, l: float, c: float, v: float, unknown: int, limits: Limits
) -> int:
    """Number of the first rule that the values alone break; UNDECIDED when they break none."""
    if not (math.isfinite(o) and math.isfinite(h) and math.isfinite(l) and math.isfinite(c)):
        return MISSING_PRICE
    if not math.isfinite(v):
        return MISSING_VOLUME
    if unknown:
        return UNKNOWN_SYMBOL
    if o <= 0.0 or h <= 0.0 or l <= 0.0 or c <= 0.0:
        return NON_POSITIVE
    if min(o, h, l, c) < limits.min_price or max(o, h, l, c) > limits.max_price:
        return OUT_OF_BOUNDS
    if v < 0.0:
        return NEGATIVE_VOLUME
    if v > limits.max_volume:
        return TOO_MUCH_VOLUME
    if h < l:
        return HIGH_BELOW_LOW
    if h < max(o, c) or l > min(o, c):
        return OUTSIDE_RANGE
    return UNDECIDED


@kernel
def judge_position(
    part: int, aligned: bool, extended: bool, volume: float, still: bool, removes: int
) -> int:
    """Number of the first rule that the bar's position or its zero volume breaks, or UNDECIDED;
    `still`: all of its prices are one.
    """
    if not aligned and removes >> MISALIGNED & 1:
        return MISALIGNED
    if part == OUTSIDE:
        return FILLER if still and volume == 0.0 else OUTSIDE_SESSION
    if part != REGULAR and not extended:
        return EXTENDED_OFF
    if volume == 0.0 and removes >> ZERO_VOLUME & 1:
        return ZERO_VOLUME
    return UNDECIDED


@kernel
def last_withdrawal(defect: ByteArray, ingested: IntArray, begin: int, end: int) -> int:
    """The withdrawing row that was learned last; -1 where no row withdraws."""
    last = -1
    for row in range(begin, end):
        if defect[row] == TAKEN_BACK and (last < 0 or ingested[row] > ingested[last]):
            last = row
    return last


@kernel
def best_version(rule: ByteArray, rank: IntArray, begin: int, end: int) -> int:
    """The best of the undecided versions."""
    best = -1
    for row in range(begin, end):
        if rule[row] == UNDECIDED and (best < 0 or rank[row] > rank[best]):
            best = row
    return best


@kernel
def version_verdict(rule: int, ingested: int, kept_ingested: int) -> int:
    """The verdict of a version beside the kept bar.

    A version learned before the bar is superseded. An undecided one was learned with it and has
    other values.
    """
    if ingested < kept_ingested:
        return SUPERSEDED
    return CONFLICTING if rule == UNDECIDED else rule


@kernel
def _first_bit(bits: int) -> int:
    number = 0
    while not bits >> number & 1:
        number += 1
    return number


@kernel
def _record_finding(
    findings: FloatArray, found: int, row: int, rule: int, evidence: FloatArray, other: int
) -> int:
    """Write a finding if there is room. The count rises either way, so that the caller can make
    room and repeat.
    """
    if found < findings.shape[0]:
        findings[found, 0], findings[found, 1], findings[found, 4] = row, rule, other
        findings[found, 2], findings[found, 3] = evidence[rule, 0], evidence[rule, 1]
    return found + 1
