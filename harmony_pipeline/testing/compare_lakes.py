"""Comparison of two lakes, value for value.

    python -m harmony_pipeline.testing.compare_lakes LAKE OTHER [--table bars ...]

Every table and partition of either lake is compared row by row in stored order. Columns with the
time of writing (`WALL_CLOCK_COLUMNS`) are left out, since two runs differ in them. Floats are equal
when their bits are, or when both are null or NaN. A difference is printed with its table,
partition, row and column, and gives exit code 1.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.lake.manifest import WALL_CLOCK_COLUMNS


@dataclass(frozen=True)
class Comparison:
    """One table: how many partitions, rows and values were compared, and what differs."""

    table: str
    partitions: int
    rows: int
    values: int
    differences: tuple[str, ...]


def compare(left: Lake, right: Lake, tables: Sequence[str] = ()) -> Iterator[Comparison]:
    """Each table that one of the lakes has, in order of its name."""
    for table in sorted(tables or left.tables):
        keys = sorted({*left.partitions(table), *right.partitions(table)})
        if keys:
            yield _compare_table(left, right, table, keys)


def _compare_table(left: Lake, right: Lake, table: str, keys: Sequence[str]) -> Comparison:
    rows, values, differences = 0, 0, list[str]()
    for key in keys:
        if missing := [
            name for name, lake in (("first", left), ("second", right)) if not lake.has(table, key)
        ]:
            differences.append(f"{table} {key} is not in the {missing[0]} lake")
            continue
        one, other = (_drop_clock_columns(lake.read(table, [key])) for lake in (left, right))
        rows, values = rows + one.height, values + one.height * one.width
        if found := first_difference(one, other):
            differences.append(f"{table} {key}: {found}")
    return Comparison(table, len(keys), rows, values, tuple(differences))


def _drop_clock_columns(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.drop([name for name in WALL_CLOCK_COLUMNS if name in frame.columns])


def first_difference(one: pl.DataFrame, other: pl.DataFrame) -> str | None:
    """The first difference of two frames in words; None when they are equal."""
    if one.schema != other.schema:
        return f"columns differ: {dict(one.schema)} against {dict(other.schema)}"
    if one.height != other.height:
        return f"{one.height} rows against {other.height}"
    for name in one.columns:
        differs = one[name].ne_missing(other[name])
        if differs.any():
            row = int(differs.arg_max() or 0)
            return (
                f"row {row}, {name}: {one[name][row]!r} against {other[name][row]!r}"
                f" ({differs.sum()} rows differ)"
            )
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns 1 when something differs or when there was nothing to compare."""
    parser = argparse.ArgumentParser(description="Compare two lakes value for value.")
    parser.add_argument("lake")
    parser.add_argument("other")
    parser.add_argument(
        "--table", action="append", default=[], help="only this table (may be repeated)"
    )
    chosen = parser.parse_args(arguments)
    found = list(compare(Lake(chosen.lake), Lake(chosen.other), chosen.table))
    for one in found:
        verdict = "equal" if not one.differences else f"{len(one.differences)} partitions differ"
        print(
            f"{one.table:24s} {one.partitions:5d} partitions {one.rows:12,d} rows {one.values:14,d}"
            f" values: {verdict}"
        )
        for difference in one.differences[:3]:
            print(f"    {difference}")
    different = sum(len(one.differences) for one in found)
    total = sum(one.values for one in found)
    print(
        f"{len(found)} tables, {total:,} values:"
        f" {'all equal' if not different else f'{different} partitions differ'}"
    )
    return 1 if different or not total else 0


if __name__ == "__main__":
    sys.exit(main())
