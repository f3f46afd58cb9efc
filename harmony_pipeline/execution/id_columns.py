"""Columns of ids, written by kernels: what `order_ids.py` says, for many rows at once.

A text column in memory is a 16-byte view a row: the length, then either up to 12 bytes of text or
its first four bytes, the number of a buffer and an offset in it (the Arrow "string view" layout).
Formatting rows one by one costs ten times as much.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

from harmony_pipeline.arrays import ArrayRoom, BoolArray, ByteArray, IntArray, NumberArray
from harmony_pipeline.kernel import inlined_kernel, kernel
from harmony_pipeline.market.text_columns import text_column

Words = NDArray[np.uint32]
_STAMP_BYTES, _DATE_BYTES, _MOST_DIGITS = 15, 9, 19
_COPIED = 8  # bytes at once
_BLOCK = 1 << 23  # rows a buffer, whose offsets have 31 bits
_DAY = 86_400


@dataclass(frozen=True)
class IdParts:
    """An id is `prefix-name-stamp`, then `-role` and `-number` where there are any.

    `names` and `roles` are those that the rows' numbers point at; `times` are microseconds UTC.
    `room` is where the columns are made.
    """

    prefix: str
    names: Sequence[str]
    name: NumberArray
    times: IntArray
    roles: Sequence[str] = ()
    role: NumberArray | None = None
    number: IntArray | None = None
    room: ArrayRoom = field(default_factory=ArrayRoom)

    def column(self, valid: BoolArray | None = None) -> pl.Series:
        """The ids; null where `valid` is false."""
        return self._columns(valid)[0]

    def with_and_without_number(self) -> tuple[pl.Series, pl.Series]:
        """The ids, and what they are without their number: a part of the same text."""
        return self._columns(None)

    def _columns(self, valid: BoolArray | None) -> tuple[pl.Series, pl.Series]:
        count = len(self.times)
        if not count:
            return pl.Series([], dtype=pl.String), pl.Series([], dtype=pl.String)
        blocks = [
            self._block(slice(start, min(start + _BLOCK, count)), valid)
            for start in range(0, count, _BLOCK)
        ]
        if len(blocks) == 1:
            return blocks[0]
        whole, parts = zip(*blocks, strict=True)
        return pl.concat(whole), pl.concat(parts)

    def _block(self, rows: slice, valid: BoolArray | None) -> tuple[pl.Series, pl.Series]:
        nothing = np.zeros(0, np.int64)
        heads, head_ends = _joined([f"{self.prefix}-{name}-" for name in self.names])
        roles, role_ends = _joined([f"-{role}" for role in self.roles])
        longest = _longest(head_ends) + _STAMP_BYTES + _longest(role_ends)
        longest += 0 if self.number is None else 1 + _MOST_DIGITS
        times, known = self.times[rows], None if valid is None else valid[rows]
        views = self.room.empty((len(times), 4), np.uint32)
        parts = views if self.number is None else self.room.empty(views.shape, np.uint32)
        data = self.room.empty(longest * len(times) + _COPIED, np.uint8)
        used = _write_ids(
            views,
            parts,
            data,
            heads,
            head_ends,
            self.name[rows],
            times,
            roles,
            role_ends,
            nothing if self.role is None else self.role[rows],
            nothing if self.number is None else self.number[rows],
            np.zeros(0, np.bool_) if known is None else known,
        )
        text = [pa.py_buffer(data[:used])]
        column = text_column(views, known, text)
        return column, column if parts is views else text_column(parts, known, text)


def _joined(words: Sequence[str]) -> tuple[ByteArray, IntArray]:
    """All words one after the other, and where each ends; the first end is 0. Behind them is what
    `_copy` reads beyond the last.
    """
    texts = [word.encode() for word in words]
    ends = np.cumsum([0, *(len(text) for text in texts)]).astype(np.int64)
    return np.frombuffer(b"".join([*texts, bytes(_COPIED)]), np.uint8), ends


def _longest(ends: IntArray) -> int:
    return int(np.diff(ends).max(initial=0))


@kernel
def _write_ids(
    views: Words,
    parts: Words,
    data: ByteArray,
    heads: ByteArray,
    head_ends: IntArray,
    name: NumberArray,
    times: IntArray,
    roles: ByteArray,
    role_ends: IntArray,
    role: NumberArray,
    number: IntArray,
    valid: BoolArray,
) -> int:
    """Write the text of every row that is `valid` (all, where that is empty) into `data`, its view,
    and into `parts` the view of the text without its number; returns the bytes used. No id has
    fewer than 13 bytes, as a stamp has 15, so none lies within its view.

    A row that says the same as the text before it shares that text. Of the same name and second, or
    the same name and date, the beginning of the text is copied.
    """
    used, begin, written = 0, 0, -1
    last, day = np.int64(0), np.int64(0)
    for row in range(len(times)):
        if len(valid) > 0 and not valid[row]:
            _write_view(views, row, data, 0, 0)
            continue
        second = times[row] // 1_000_000
        alike = written >= 0 and name[row] == name[written]
        same = alike and second == last
        if same and len(number) == 0 and (len(role) == 0 or role[row] == role[written]):
            _write_view(views, row, data, begin, used)
            continue
        start = head_ends[name[row]]
        head = head_ends[name[row] + 1] - start
        if same:
            _copy(data, used, data, begin, head + _STAMP_BYTES)
        elif alike and second // _DAY == day:
            _copy(data, used, data, begin, head + _DATE_BYTES)
        else:
            day = second // _DAY
            _copy(data, used, heads, start, head)
            _write_date(data, used + head, day)
        if not same:
            _write_time(data, used + head + _DATE_BYTES, second - day * _DAY)
        begin, written, last = used, row, second
        used += head + _STAMP_BYTES
        if len(role) > 0:
            suffix = role_ends[role[row] + 1] - role_ends[role[row]]
            _copy(data, used, roles, role_ends[role[row]], suffix)
            used += suffix
        _write_view(parts, row, data, begin, used)
        if len(number) > 0:
            data[used] = 45  # "-"
            used = _write_number(data, used + 1, number[row])
            _write_view(views, row, data, begin, used)
    return used


@inlined_kernel
def _write_view(views: Words, row: int, data: ByteArray, begin: int, end: int) -> None:
    """The view of the text from `begin` to `end`; of no text, where they are equal."""
    first = np.uint32(0)
    if end > begin:
        for place in range(4):
            first |= np.uint32(data[begin + place]) << np.uint32(8 * place)
    views[row, 0], views[row, 1], views[row, 2], views[row, 3] = end - begin, first, 0, begin


@inlined_kernel
def _copy(data: ByteArray, used: int, text: ByteArray, begin: int, count: int) -> None:
    """Copy `count` bytes, and what comes after them up to a multiple of eight, which is written
    over.
    """
    for done in range(0, count, _COPIED):
        target, source = data[used + done : used + done + 8], text[begin + done : begin + done + 8]
        # all are read before one is written, so that they are one word to the compiler
        a, b, c, d = source[0], source[1], source[2], source[3]
        e, f, g, h = source[4], source[5], source[6], source[7]
        target[0], target[1], target[2], target[3] = a, b, c, d
        target[4], target[5], target[6], target[7] = e, f, g, h


@inlined_kernel
def _write_digits(data: ByteArray, used: int, value: int, count: int) -> int:
    for place in range(count - 1, -1, -1):
        data[used + place] = 48 + value % 10
        value //= 10
    return used + count


@inlined_kernel
def _write_number(data: ByteArray, used: int, value: int) -> int:
    count, rest = 1, value // 10
    while rest > 0:
        count += 1
        rest //= 10
    return _write_digits(data, used, value, count)


@inlined_kernel
def _write_date(data: ByteArray, used: int, days: int) -> None:
    """YYYYMMDDT. The date of a day count by Hinnant, "chrono-compatible low-level date algorithms"
    (civil_from_days).
    """
    shifted = days + 719_468
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year += era * 400 + (1 if month <= 2 else 0)
    used = _write_digits(data, used, year, 4)
    used = _write_digits(data, used, month, 2)
    used = _write_digits(data, used, day, 2)
    data[used] = 84  # "T"


@inlined_kernel
def _write_time(data: ByteArray, used: int, second: int) -> int:
    """HHMMSS of a second of the day."""
    used = _write_digits(data, used, second // 3_600, 2)
    used = _write_digits(data, used, second // 60 % 60, 2)
    return _write_digits(data, used, second % 60, 2)
