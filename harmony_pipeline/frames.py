"""Order of rows, where a result depends on it, and text made of columns.

Polars does not check the order of a `join_asof` with `by`, and returns wrong rows without an error
when the order is missing. `join_latest` sorts both sides itself and returns the rows in their
original order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from harmony_pipeline.instants import micros

if TYPE_CHECKING:
    from datetime import datetime

    from harmony_pipeline.arrays import BoolArray, IntArray

_FEW = 5_000  # rows that are sorted faster than they are compared in every way
_SMALL = 20_000  # rows of which all values of a column are compared, or counted, at little cost
_RUN_ROWS = 100  # of a run on average, from which on runs are put together
_PLACE, _BEFORE = "_place", "_before"


def moment_literal(moment: datetime) -> pl.Expr:
    """`moment`, which has a time zone, as an expression in UTC.

    Of a datetime beside a column Polars makes a series with a zone by queries of their own, 0.1 ms
    each time; this takes a tenth of that.
    """
    return pl.lit(micros(moment)).cast(pl.Datetime("us", "UTC"))


def is_sorted(frame: pl.DataFrame, keys: Sequence[str]) -> bool:
    """Whether the rows are sorted by `keys`. Equal rows may be adjacent, and null is lowest."""
    if frame.height < 2:
        return True
    if frame.height <= _SMALL and _is_plainly_sorted(frame, keys):
        return True
    import numpy as np  # tables are read without it

    later = np.arange(1, frame.height)
    if len(keys) > 1 and _is_plain(frame[keys[0]], frame[keys[1]]):
        # Tables of the lake are sorted by symbol and time. Two passes decide all rows but the few
        # that share both.
        rising, begins = _rise_by_two(frame[keys[0]], frame[keys[1]])
        if rising.all():
            return True
        stamps = frame[keys[1]].cast(pl.Int64).to_numpy()
        equal = stamps[1:] == stamps[:-1]
        equal[begins] = False
        if not (rising | equal).all():
            return False
        later, keys = np.flatnonzero(equal) + 1, keys[2:]
        if not later.size or not keys:
            return True
    if (found := _rises_by_all(frame, keys, later)) is not None:
        return found
    columns = frame.select(keys)
    pairs = pl.concat(
        [columns[later], columns[later - 1].select(pl.all().name.suffix(_BEFORE))], how="horizontal"
    )
    rises = pl.lit(value=True)
    for name in reversed(keys):
        now, before = pl.col(name), pl.col(f"{name}{_BEFORE}")
        greater = (now > before).fill_null(value=False) | (now.is_not_null() & before.is_null())
        rises = greater | (now.eq_missing(before) & rises)
    return bool(pairs.select(rises.all()).item())


def _rises_by_all(frame: pl.DataFrame, keys: Sequence[str], later: IntArray) -> bool | None:
    """Whether the rows `later` are not below the row before each, by one pass over each key until
    no two rows share all that were compared. None where a key has nulls or holds no plain values.
    """
    columns = [frame[name] for name in keys]
    if any(one.null_count() or one.dtype.is_nested() or one.dtype.is_object() for one in columns):
        return None
    whole = later.size == frame.height - 1
    tied: BoolArray | None = None
    for column in columns:
        after, before = (
            (column.slice(1), column.head(-1)) if whole else (column[later], column[later - 1])
        )
        if tied is None and column[0] == column[-1] and (column == column[0]).all():
            continue
        equal = (after == before).to_numpy()
        rises = (after > before).to_numpy() | equal
        if not (rises if tied is None else rises | ~tied).all():
            return False
        tied = equal if tied is None else equal & tied
        if not tied.any():
            return True
    return True


def _is_plainly_sorted(frame: pl.DataFrame, keys: Sequence[str]) -> bool:
    """Whether it is seen at a tenth of the cost of a sort that the rows are sorted: by one key, by
    two of which the second is a time, no row like another, or by the first alone.
    """
    first = frame[keys[0]]
    if len(keys) == 1:
        return first.is_sorted()
    second = frame[keys[1]]
    if not _is_plain(first, second):
        return first.is_sorted() and first.n_unique() == frame.height
    later, before = first.slice(1), first.head(-1)
    follows = (later == before) & (second.slice(1) > second.head(-1))
    return bool(((later > before) | follows).all())


def _is_plain(first: pl.Series, second: pl.Series) -> bool:
    return second.dtype.is_temporal() and not first.null_count() and not second.null_count()


def _rise_by_two(first: pl.Series, second: pl.Series) -> tuple[BoolArray, IntArray]:
    """For each row after the first, whether it is above the row before; and those of them where
    `first` is another.
    """
    import numpy as np

    begins = np.flatnonzero((first.slice(1) != first.head(-1)).to_numpy())
    stamps = second.cast(pl.Int64).to_numpy()
    rising = stamps[1:] > stamps[:-1]
    # picked by brackets: each `gather` is a query of its own
    rising[begins] = (first[begins + 1] > first[begins]).to_numpy()
    return rising, begins


def sort_rows(frame: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """`frame` sorted by `keys`, equal rows in their given order. Rows are sorted already more often
    than not, and a check is cheaper than a sort.
    """
    check = _is_plainly_sorted if frame.height <= _FEW else is_sorted
    if frame.height < 2 or check(frame, keys):
        return frame
    found = _sorted_by_runs(frame, keys) if frame.height > _FEW and len(keys) > 1 else None
    return frame.sort(keys, maintain_order=True) if found is None else found


def _sorted_by_runs(frame: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame | None:
    """The rows sorted, where they are long runs of one symbol each, in order of time: of partitions
    that were read one after the other. Runs put one behind the other take a fifth of a sort. None
    where runs are short, or two of a symbol overlap.
    """
    import numpy as np

    first, second = frame[keys[0]], frame[keys[1]]
    if not _is_plain(first, second):
        return None
    stamps = second.cast(pl.Int64).to_numpy()
    changes = (first.slice(1) != first.head(-1)).to_numpy()
    starts = np.flatnonzero(np.append(True, changes | (stamps[1:] <= stamps[:-1])))
    if starts.size * _RUN_ROWS > frame.height:
        return None
    ends, names = np.append(starts[1:], frame.height), first[starts].to_list()
    order = sorted(range(starts.size), key=lambda run: (names[run], stamps[starts[run]]))
    for run, later in pairwise(order):
        if names[run] == names[later] and stamps[ends[run] - 1] >= stamps[starts[later]]:
            return None
    return pl.concat([frame[starts[run] : ends[run]] for run in order], rechunk=True)


def symbol_ranges(symbols: pl.Series) -> dict[str, tuple[int, int]]:
    """The first row and the row after the last of each symbol, in a column sorted by symbol."""
    runs = symbols.rle()
    ends = runs.struct.field("len").cast(pl.Int64).cum_sum().to_list()
    names = runs.struct.field("value").to_list()
    return dict(zip(names, zip([0, *ends[:-1]], ends, strict=False), strict=True))


def join_rows(
    left: pl.DataFrame, right: pl.DataFrame, keys: Sequence[str], how: Literal["inner", "left"]
) -> pl.DataFrame:
    """`left.join(right)` in the order of `left`, where no two rows of `right` share their keys.

    Tables of the same bars often have just the same keys row by row, and are put side by side.
    """
    others = [name for name in right.columns if name not in keys]
    if left.height == right.height and not set(others) & set(left.columns):
        pairs = [(left[name], right[name]) for name in keys]
        if all(
            one.dtype == other.dtype and not one.null_count() and one.equals(other)
            for one, other in pairs
        ):
            return left.hstack([right[name] for name in others])
    return left.join(right, on=keys, how=how, maintain_order="left")


def join_latest(
    left: pl.DataFrame,
    right: pl.DataFrame,
    left_on: str,
    right_on: str,
    *,
    same_moment: bool = True,
) -> pl.DataFrame:
    """`left` with the latest row of `right` of the same symbol up to each row's `left_on`.

    Both sides may be in any order. The rows of `left` keep their order. Without `same_moment` the
    row of `right` is strictly earlier. The result keeps the column `right_on`.
    """
    right = sort_rows(right, ("symbol", right_on))
    is_ordered = is_sorted(left, ("symbol", left_on))
    rows = left if is_ordered else left.with_row_index(_PLACE).sort("symbol", left_on, _PLACE)
    found = rows.join_asof(
        right,
        left_on=left_on,
        right_on=right_on,
        by="symbol",
        strategy="backward",
        allow_exact_matches=same_moment,
        check_sortedness=False,
        coalesce=False,
    )
    return found if is_ordered else found.sort(_PLACE).drop(_PLACE)


def format_columns(template: str, *parts: pl.Expr | str) -> pl.Expr:
    """`pl.format`: the template with a part in place of each `{}`.

    A `str` part names a column. The result is null where a part is null. Polars 2.1 can panic in
    `pl.format` over a filtered frame; a concatenation of the same pieces does not.
    """
    texts = template.split("{}")
    if len(texts) != len(parts) + 1:
        raise ValueError(f"'{template}' has {len(texts) - 1} places for {len(parts)} parts")
    pieces: list[pl.Expr | str] = [pl.lit(texts[0])]
    for part, text in zip(parts, texts[1:], strict=True):
        pieces += [part, pl.lit(text)]
    name = (
        parts[0]
        if isinstance(parts[0], str)
        else parts[0].meta.output_name(raise_if_undetermined=False)
    )
    whole = pl.concat_str(pieces)
    return whole if name is None else whole.alias(name)


def streamed(rows: Any) -> pl.DataFrame:
    """The rows of something that hands out Arrow's C stream, like a relation of DuckDB."""
    return pl.DataFrame(_Stream(rows))


class _Stream:
    """The stream alone. Polars looks a type up and keeps it for ever, and with a type of DuckDB all
    of DuckDB, which then complains on standard error when Python ends.
    """

    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._rows.__arrow_c_stream__(requested_schema)
