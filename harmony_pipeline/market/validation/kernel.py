"""The loop that judges raw rows: one walk over a batch of whole symbols, row by row, in time order.

Versions. The rows of one symbol and time are versions of one bar. They are tried from the best to the worst, and the first that no rule
refuses is the bar. Better is: learned later; and of rows learned at one moment, by values alone (larger volume, then trade count, vwap, close,
open, high, low, nothing lowest), so that file names and line numbers never choose a price. A faulty version therefore never hides a
sound one, however late it came. The others are, in this order: `duplicate` (the same values, learned at the same moment as a row that was
tried), `superseded` (learned before the bar; also where it was faulty, since it was mended), else `conflicting_duplicate`.

A row that withdraws hides every version learned before it: those are `superseded`, and it is `withdrawn` unless the bar was learned again later.
"""

import math
from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import ByteArray, FloatArray, IntArray
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.session_parts import OUTSIDE, REGULAR
from harmony_pipeline.market.validation.catalog import NUMBER, RULES
from harmony_pipeline.market.validation.corporate_actions import apply_until, first_due, skip_until
from harmony_pipeline.market.validation.fast_path import awaits_nothing, quiet_stretch
from harmony_pipeline.market.validation.history import TICKER_REUSE, WRONG_SCALE, JudgedBar, Limits, past_rules, remember, remember_scale
from harmony_pipeline.market.validation.session_position import DAY, end_of_part, first_session, grid_shift, next_session, on_grid, part_of
from harmony_pipeline.market.validation.symbol_state import CLOSE_DAY, CLOSE_SESSION, FACTOR, SEEN

UNREADABLE, MISSING_PRICE, MISSING_VOLUME, UNKNOWN_SYMBOL = (NUMBER[name] for name in ("unreadable", "missing_price", "missing_volume", "unknown_symbol"))
OUT_OF_BOUNDS, TOO_MUCH_VOLUME, WITHDRAWN = NUMBER["price_out_of_bounds"], NUMBER["volume_out_of_bounds"], NUMBER["withdrawn"]
NON_POSITIVE, NEGATIVE_VOLUME, HIGH_BELOW_LOW = NUMBER["non_positive_price"], NUMBER["negative_volume"], NUMBER["high_below_low"]
OUTSIDE_RANGE, MISALIGNED, OUTSIDE_SESSION = NUMBER["open_or_close_outside_range"], NUMBER["misaligned_timestamp"], NUMBER["outside_session"]
EXTENDED_OFF, ZERO_VOLUME = NUMBER["extended_hours_off"], NUMBER["zero_volume"]
SUPERSEDED, DUPLICATE, CONFLICTING = NUMBER["superseded"], NUMBER["duplicate"], NUMBER["conflicting_duplicate"]
KEPT = 0  # verdict of a row that is a bar
UNDECIDED = 255
UNREAD, TAKEN_BACK = 1, 2  # what `Rows.defect` says of a row: a cell could not be read, or the row withdraws those before it
_DAILY = 1440
_SCRATCH = len(RULES) + 1


class Rows(NamedTuple):
    """Raw rows as arrays, sorted by symbol and start; segment i is `begin[i]` to `begin[i + 1]`. NaN is nothing.

    The last three are empty where no two rows share symbol and time: `ingested`, `rank` (higher is better) and `twin` (equal for
    rows that say the same and were learned at the same moment). `defect` is empty where there is none.
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


class Asked(NamedTuple):
    """By segment: bits of the rules that are asked, of those that refuse a row, whether the symbol is unknown; and where its allowances begin.

    `allowances` has one column an allowance: rule, from, to (microseconds, half open).
    """

    asked: IntArray
    removes: IntArray
    unknown: ByteArray
    allowed_begin: IntArray
    allowances: IntArray

    def of(self, segments: slice) -> "Asked":
        """The same for some segments that follow each other."""
        begin = self.allowed_begin[segments.start : segments.stop + 1]
        return Asked(self.asked[segments], self.removes[segments], self.unknown[segments], begin, self.allowances)


class Verdicts(NamedTuple):
    """By row: KEPT or the number of the rule that refuses it, the part of the day, and the forward factor of those that are kept."""

    rule: ByteArray
    part: ByteArray
    factor: FloatArray

    def of(self, rows: slice) -> "Verdicts":
        """The same of some rows that follow each other, to be written into."""
        return Verdicts(self.rule[rows], self.part[rows], self.factor[rows])


@kernel
def judge(
    rows: Rows,
    asks: Asked,
    extended: bool,
    minutes: int,
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
    """Fill `verdicts`, move `states` on, and note findings (row, rule, measure, reference, other row) as far as they have room; how many there are.

    `offset` is added to the rows that findings and actions name, where the rows are a piece of a frame.
    """
    found = 0
    begin, stamps, vwap, rank, twin = rows.begin, rows.timestamp, rows.vwap, rows.rank, rows.twin
    o, h, l, c, v = rows.open, rows.high, rows.low, rows.close, rows.volume  # noqa: E741 - the letters of a bar
    rule, parts, factors, defect, told = verdicts.rule, verdicts.part, verdicts.factor, rows.defect, np.full((_SCRATCH, 2), math.nan)
    for segment in range(begin.size - 1):
        row, end, state = begin[segment], begin[segment + 1], states[segment]
        last_action = action_begin[segment + 1]
        due = first_due(action_whole, action_begin[segment], last_action, state)
        at = first_session(sessions, stamps[row], minutes)
        if not math.isnan(state[CLOSE_DAY]):
            state[CLOSE_SESSION] = float(np.searchsorted(sessions[DAY], int(state[CLOSE_DAY])))
        may_be_quiet = asks.unknown[segment] == 0
        first_allowed, last_allowed = asks.allowed_begin[segment], asks.allowed_begin[segment + 1]
        while row < end:
            stamp = stamps[row]
            at = next_session(sessions, at, stamp, minutes)
            part = part_of(sessions, at, stamp, minutes)
            if part != OUTSIDE and may_be_quiet and (part == REGULAR or extended) and awaits_nothing(state, sessions[DAY, at], part == REGULAR):
                begin_of_stretch = row
                row = quiet_stretch(
                    row,
                    end,
                    end_of_part(sessions, at, part, minutes),
                    minutes * 60_000_000,
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
                if row > begin_of_stretch:
                    continue
            aligned, stop = on_grid(sessions, at, stamp, minutes), row + 1
            while stop < end and stamps[stop] == stamp:
                stop += 1
            lets = _allowed(asks.allowances, first_allowed, last_allowed, stamp) if first_allowed < last_allowed else 0
            asked, removes = asks.asked[segment] & ~lets, asks.removes[segment] & ~lets
            waiting = 0
            gone = last_withdrawal(defect, rows.ingested, row, stop) if defect.size > 0 else -1
            for one in range(row, stop):
                parts[one] = part
                if gone >= 0 and (one == gone or rows.ingested[one] <= rows.ingested[gone]):
                    rule[one] = WITHDRAWN if one == gone else SUPERSEDED
                    if one != gone:
                        found = _note(findings, found, one + offset, SUPERSEDED, told, gone + offset)
                    continue
                if defect.size > 0 and defect[one] != 0:
                    rule[one] = UNREADABLE
                else:
                    rule[one] = own_rule(o[one], h[one], l[one], c[one], v[one], asks.unknown[segment], limits)
                if rule[one] == UNDECIDED:
                    rule[one] = time_rule(part, aligned, extended, v[one], removes)
                waiting += rule[one] == UNDECIDED
            if waiting > 0:
                day = sessions[DAY, at]
                if state[SEEN] != 0.0:
                    due = apply_until(action_whole, action_real, due, last_action, state, day, row + offset)
                else:
                    due = skip_until(action_whole, due, last_action, day)
            kept = off_scale = -1
            while waiting > 0 and kept < 0:
                one = best_version(rule, rank, row, stop) if stop - row > 1 else row
                bar = JudgedBar(stamp, o[one], h[one], l[one], c[one], v[one], vwap[one], sessions[DAY, at], at, part == REGULAR, minutes == _DAILY)
                broken = past_rules(state, limits, asked, bar, told)
                waiting -= 1
                if broken & removes:
                    number = _first_bit(broken & removes)
                    rule[one] = number
                    found = _note(findings, found, one + offset, number, told, -1)
                    if off_scale < 0 and broken & removes & 1 << WRONG_SCALE:
                        off_scale = one
                else:
                    kept = one
                    rule[one] = KEPT
                    factors[one] = state[FACTOR]
                    broken |= remember(state, limits, asked, bar, broken >> TICKER_REUSE & 1 != 0, told)
                    if not aligned:
                        broken |= asked & 1 << MISALIGNED
                    number = 0
                    while broken >> number:
                        if broken >> number & 1:
                            found = _note(findings, found, one + offset, number, told, -1)
                        number += 1
                if waiting > 0:
                    for other in range(row, stop):  # what repeats the version just tried is a duplicate, whatever became of it
                        if rule[other] == UNDECIDED and twin[other] == twin[one]:
                            rule[other] = DUPLICATE
                            waiting -= 1
                            found = _note(findings, found, other + offset, DUPLICATE, told, one + offset)
            if kept < 0 and off_scale >= 0:
                remember_scale(state, c[off_scale])
            if kept >= 0 and stop - row > 1:
                for other in range(row, stop):
                    verdict = settled(rule[other], rows.ingested[other], rows.ingested[kept])
                    if verdict != rule[other]:
                        rule[other] = verdict
                        found = _note(findings, found, other + offset, verdict, told, kept + offset)
            row = stop
    return found


@kernel
def _allowed(allowances: IntArray, begin: int, end: int, stamp: int) -> int:
    """Bits of the rules that let this moment pass."""
    bits = 0
    for at in range(begin, end):
        if allowances[1, at] <= stamp < allowances[2, at]:
            bits |= 1 << allowances[0, at]
    return bits


@kernel
def own_rule(o: float, h: float, l: float, c: float, v: float, unknown: int, limits: Limits) -> int:  # noqa: E741 - the letters of a bar
    """Number of the first rule that the values break by themselves; UNDECIDED when they break none."""
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
def time_rule(part: int, aligned: bool, extended: bool, volume: float, removes: int) -> int:
    """The same for where the bar stands, and for its volume."""
    if not aligned and removes >> MISALIGNED & 1:
        return MISALIGNED
    if part == OUTSIDE:
        return OUTSIDE_SESSION
    if part != REGULAR and not extended:
        return EXTENDED_OFF
    if volume == 0.0 and removes >> ZERO_VOLUME & 1:
        return ZERO_VOLUME
    return UNDECIDED


@kernel
def last_withdrawal(defect: ByteArray, ingested: IntArray, begin: int, end: int) -> int:
    """The row that withdraws and was learned last; -1 where none does."""
    last = -1
    for row in range(begin, end):
        if defect[row] == TAKEN_BACK and (last < 0 or ingested[row] > ingested[last]):
            last = row
    return last


@kernel
def best_version(rule: ByteArray, rank: IntArray, begin: int, end: int) -> int:
    """The best of the versions that are still undecided."""
    best = -1
    for row in range(begin, end):
        if rule[row] == UNDECIDED and (best < 0 or rank[row] > rank[best]):
            best = row
    return best


@kernel
def settled(rule: int, ingested: int, kept_ingested: int) -> int:
    """What becomes of a row beside the bar: what was learned before it is superseded; what is undecided was learned with it and says something else."""
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
def _note(findings: FloatArray, found: int, row: int, rule: int, told: FloatArray, other: int) -> int:
    """Write a finding down if there is room; the count goes on either way, so that the caller can make room and ask again."""
    if found < findings.shape[0]:
        findings[found, 0], findings[found, 1], findings[found, 4] = row, rule, other
        findings[found, 2], findings[found, 3] = told[rule, 0], told[rule, 1]
    return found + 1


@kernel
def order_of(begin: IntArray, stamp: IntArray, before: int) -> tuple[bool, int]:
    """Whether every segment is in time order, and how many rows share their start with the row before; `before` is the start before the first row."""
    falling, repeated = int(stamp[0] < before), int(stamp[0] == before)
    for segment in range(begin.size - 1):
        starts = stamp[begin[segment] : begin[segment + 1]]
        earlier, later = starts[:-1], starts[1:]  # counted from 0 in both, which the compiler turns into wide instructions
        for row in range(later.size):
            falling += later[row] < earlier[row]
            repeated += later[row] == earlier[row]
    return falling == 0, repeated
