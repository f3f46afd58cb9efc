"""Columns of ids, written by kernels: what `order_ids.py` says, for many rows at once.

A text column in memory is a 16-byte view a row: the length, then either up to 12 bytes of text or
its first four bytes, the number of a buffer and an offset in it (the Arrow "string view" layout).
Formatting rows one by one costs ten times as much.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from harmony_pipeline.arrays import BoolArray, ByteArray, IntArray, NumberArray
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation
from harmony_pipeline.lent_memory import ArrayRoom
from harmony_pipeline.market.text_columns import Views, text_column
from harmony_pipeline.streamed_copy import (
    WORD_BYTES,
    copy_word,
    end_of_stream,
    first_four,
    streamed_copy,
)

_STAMP_BYTES, _DATE_BYTES, _MOST_DIGITS = 15, 9, 19
_COPIED = WORD_BYTES  # bytes at once
_VIEWS = 256  # rows whose views are made before they are streamed
MOST_ROWS = 1 << 23  # rows a buffer, whose offsets have 31 bits
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
        return self._columns(valid, None)[0]

    def with_and_without_number(self) -> tuple[pl.Series, pl.Series]:
        """The ids, and what they are without their number: a part of the same text."""
        whole, without, _ = self._columns(None, None)
        return whole, without

    def with_parents(self, name: NumberArray, times: IntArray) -> tuple[pl.Series, pl.Series]:
        """The ids, and those of the first role with the names and times of the parents; null where
        the row itself has that role. A parent mostly has a row above, whose text it shares.
        """
        whole, _, parents = self._columns(None, (name, times))
        return whole, parents

    def _columns(
        self, valid: BoolArray | None, parents: tuple[NumberArray, IntArray] | None
    ) -> tuple[pl.Series, ...]:
        count = len(self.times)
        if not count:
            return (pl.Series([], dtype=pl.String),) * 3
        blocks = [
            self._block(slice(start, min(start + MOST_ROWS, count)), valid, parents)
            for start in range(0, count, MOST_ROWS)
        ]
        return blocks[0] if len(blocks) == 1 else tuple(map(pl.concat, zip(*blocks, strict=True)))

    def _block(
        self,
        rows: slice,
        valid: BoolArray | None,
        parents: tuple[NumberArray, IntArray] | None,
    ) -> tuple[pl.Series, ...]:
        nothing, known = np.zeros(0, np.int64), None if valid is None else valid[rows]
        parts = IdRows(
            self.name[rows],
            self.times[rows],
            nothing if self.role is None else self.role[rows],
            nothing if self.number is None else self.number[rows],
            np.zeros(0, np.bool_) if known is None else known,
            nothing if parents is None else parents[0][rows],
            nothing if parents is None else parents[1][rows],
        )
        texts = IdTexts(self.prefix, self.names, self.roles, parts, self.room)
        texts.write(0, len(parts.times))
        return texts.columns(len(parts.times), known)


class IdRows(NamedTuple):
    """The numbers that ids are made from. Empty: `role` and `number`, where ids have none; `valid`,
    where all are wanted; the parents, where they are not.
    """

    name: NumberArray
    times: IntArray
    role: NumberArray
    number: IntArray
    valid: BoolArray
    parent_name: NumberArray
    parent_times: IntArray


class IdTexts:
    """The texts of ids whose `rows`, at most `MOST_ROWS`, are known piece by piece, in order."""

    def __init__(
        self, prefix: str, names: Sequence[str], roles: Sequence[str], rows: IdRows, room: ArrayRoom
    ) -> None:
        heads, head_ends = _joined([f"{prefix}-{name}-" for name in names])
        suffixes, role_ends = _joined([f"-{role}" for role in roles])
        longest = _longest(head_ends) + _STAMP_BYTES + _longest(role_ends)
        longest += 1 + _MOST_DIGITS if len(rows.number) else 0
        count, parents = len(rows.times), len(rows.parent_times)
        self._rows, self._words = rows, _Words(heads, head_ends, suffixes, role_ends)
        self._views = _IdViews(
            room.empty(2 * count, np.uint64),
            room.empty(2 * count if len(rows.number) else 0, np.uint64),
            room.empty(2 * parents, np.uint64),
        )
        self._data = room.empty(longest * (count + parents) + _COPIED, np.uint8)
        self._room = np.empty((3, 2 * _VIEWS), np.uint64)
        self._state = np.array([0, *_NO_TEXT, *_NO_TEXT])

    def write(self, first: int, last: int) -> None:
        """Write the rows `first` to `last` (not included), which are known now."""
        _write_ids(
            self._views, self._room, self._data, self._words, self._rows, self._state, first, last
        )

    def columns(self, count: int, valid: BoolArray | None = None) -> tuple[pl.Series, ...]:
        """Of the first `count` rows: the ids, null where not `valid`; the ids without their number,
        and those of the parents, or the same where there are none.
        """
        text = [pa.py_buffer(self._data[: self._state[0]])]
        views = self._views
        whole = text_column(views.whole[: 2 * count].reshape(-1, 2), valid, text)
        without = parents = whole
        if len(views.without):
            without = text_column(views.without[: 2 * count].reshape(-1, 2), valid, text)
        if len(views.parents):
            is_child = self._rows.role[:count] != 0
            parents = text_column(views.parents[: 2 * count].reshape(-1, 2), is_child, text)
        return whole, without, parents


class _Words(NamedTuple):
    """What `_joined` makes of the beginnings of ids and of the names of roles."""

    heads: ByteArray
    head_ends: IntArray
    roles: ByteArray
    role_ends: IntArray


class _IdViews(NamedTuple):
    """Two words a row: of the ids, of them without their number, and of the parents' ids."""

    whole: Views
    without: Views
    parents: Views


def _joined(words: Sequence[str]) -> tuple[ByteArray, IntArray]:
    """All words one after the other, and where each ends; the first end is 0. Behind them is what
    `_copy` reads beyond the last.
    """
    texts = [word.encode() for word in words]
    ends = np.cumsum([0, *(len(text) for text in texts)]).astype(np.int64)
    return np.frombuffer(b"".join([*texts, bytes(_COPIED)]), np.uint8), ends


def _longest(ends: IntArray) -> int:
    return int(np.diff(ends).max(initial=0))


class _Text(NamedTuple):
    """The text of an id without its number, from `begin` to `end`. `name` -1: there is none yet;
    `role` -1: it has none.
    """

    name: int
    second: int
    role: int
    begin: int
    end: int


_NO_TEXT = _Text(-1, 0, -1, 0, 0)


@kernel_without_allocation
def _write_ids(
    views: _IdViews,
    room: Views,
    data: ByteArray,
    words: _Words,
    rows: IdRows,
    state: IntArray,
    begin: int,
    stop: int,
) -> None:
    """Write the texts of the rows `begin` to `stop` that are valid into `data`, and their views.
    `room` [3, 2 * _VIEWS] is for views that are not streamed yet. `state` holds the bytes used of
    `data`, and the last text of an id and of a parent.

    A row that says the same as the text before it shares that text, and so do parents.
    """
    zero: Any = np.int64(0)  # a plain 0 would be a type of its own
    name: Any
    role: Any
    used = state[0]
    last = _Text(state[1], state[2], state[3], state[4], state[5])
    parent = _Text(state[6], state[7], state[8], state[9], state[10])
    for first in range(begin, stop, _VIEWS):
        count = min(_VIEWS, stop - first)
        for place in range(count):
            row = first + place
            if len(rows.valid) > 0 and not rows.valid[row]:
                _write_view(room[0], place, data, zero, zero)
                continue
            role = np.int64(rows.role[row]) if len(rows.role) > 0 else zero - 1
            name, second = np.int64(rows.name[row]), rows.times[row] // 1_000_000
            if len(rows.number) > 0 or not _says(last, name, second, role):
                last = _written(data, used, words, last, name, second, role)
                used = last.end
            _write_view(room[0], place, data, last.begin, last.end)
            if len(rows.number) > 0:
                _write_view(room[1], place, data, last.begin, last.end)
                data[used] = 45  # "-"
                used = _write_number(data, used + 1, rows.number[row])
                _write_view(room[0], place, data, last.begin, used)
            if len(rows.parent_name) > 0:
                if role == 0:
                    parent = last
                    _write_view(room[2], place, data, zero, zero)
                    continue
                name, second = np.int64(rows.parent_name[row]), rows.parent_times[row] // 1_000_000
                if not _says(parent, name, second, zero):
                    parent = _written(data, used, words, parent, name, second, zero)
                    used = parent.end
                _write_view(room[2], place, data, parent.begin, parent.end)
        _stream(views.whole, room[0], first, count)
        _stream(views.without, room[1], first, count)
        _stream(views.parents, room[2], first, count)
    end_of_stream()
    state[0] = used
    state[1], state[2], state[3], state[4], state[5] = last
    state[6], state[7], state[8], state[9], state[10] = parent


@inlined_kernel
def _stream(column: Views, room: Views, first: int, count: int) -> None:
    """The views of `count` rows from `first` on, if the column has any."""
    if len(column) > 0:
        streamed_copy(column[2 * first : 2 * (first + count)], room[: 2 * count])


@inlined_kernel
def _says(text: _Text, name: int, second: int, role: int) -> bool:
    return text.name == name and text.second == second and text.role == role


@inlined_kernel
def _written(
    data: ByteArray, used: int, words: _Words, last: _Text, name: int, second: int, role: int
) -> _Text:
    """Write the text of an id at `used`. What it has in common with the last one is copied."""
    start = words.head_ends[name]
    head = words.head_ends[name + 1] - start
    alike = last.name == name
    if alike and second == last.second:
        _copy(data, used, data, last.begin, head + _STAMP_BYTES)
    else:
        day = second // _DAY
        if alike and day * _DAY <= last.second < (day + 1) * _DAY:
            _copy(data, used, data, last.begin, head + _DATE_BYTES)
        else:
            _copy(data, used, words.heads, start, head)
            _write_date(data, used + head, day)
        _write_time(data, used + head + _DATE_BYTES, second - day * _DAY)
    end = used + head + _STAMP_BYTES
    if role >= 0:
        begin = words.role_ends[role]
        _copy(data, end, words.roles, begin, words.role_ends[role + 1] - begin)
        end += words.role_ends[role + 1] - begin
    return _Text(name, second, role, used, end)


@inlined_kernel
def _write_view(views: Views, row: int, data: ByteArray, begin: int, end: int) -> None:
    """The view of the text from `begin` to `end`; of no text, where they are equal. No id has fewer
    than 13 bytes, as a stamp has 15, so none lies within its view.
    """
    first = np.uint64(0)
    if end > begin:
        first = first_four(data, begin)
    views[2 * row] = np.uint64(end - begin) | first << np.uint64(32)
    views[2 * row + 1] = np.uint64(begin) << np.uint64(32)


@inlined_kernel
def _copy(data: ByteArray, used: int, text: ByteArray, begin: int, count: int) -> None:
    """Copy `count` bytes, and what comes after them up to a multiple of _COPIED, which is written
    over.
    """
    for done in range(0, count, _COPIED):
        copy_word(data, used + done, text, begin + done)


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
def _write_time(data: ByteArray, used: int, second: int) -> None:
    """HHMMSS of a second of the day."""
    rest: Any = np.uint32(second)
    hours, rest = rest // np.uint32(3_600), rest % np.uint32(3_600)
    minutes, seconds = rest // np.uint32(60), rest % np.uint32(60)
    _write_pair(data, used, hours)
    _write_pair(data, used + 2, minutes)
    _write_pair(data, used + 4, seconds)


@inlined_kernel
def _write_pair(data: ByteArray, used: int, value: int) -> None:
    tens = value // np.uint32(10)
    data[used], data[used + 1] = 48 + tens, 48 + (value - tens * np.uint32(10))
