"""The pandera schema of a table, made from its one declaration in `schemas/`, and what a frame
breaks of it.

Types, order of columns, nulls, limits and choices of single columns, conditions between columns,
and the key: unique and in order, found by comparing each row with the one before it (a frame in key
order needs no more, and pandera's own `unique` takes seconds and gigabytes on ten million rows).
pandera takes seconds to import, so this happens where a frame is checked and nowhere else.
"""

from typing import TYPE_CHECKING, Any

import polars as pl

from harmony_pipeline.schemas import Column, Table

if TYPE_CHECKING:
    import pandera.polars as pa

SHOWN_ROWS = 20  # failing rows that are reported of each check


def pandera_schema(table: Table) -> "pa.DataFrameSchema":
    """Everything `table` declares, as pandera knows it."""
    import pandera.polars as pa

    columns = {
        name: pa.Column(
            column.dtype, checks=_limits(column), nullable=column.nullable, required=True
        )
        for name, column in table.columns.items()
    }
    key = f"key ({', '.join(table.key)}) is {'unique and ' if table.unique_key else ''}in order"
    conditions = [_row_check(text, pl.sql_expr(text)) for text in table.conditions]
    return pa.DataFrameSchema(
        columns,
        checks=[_row_check(key, _after_the_row_before(table)), *conditions],
        strict=True,
        ordered=True,
        name=table.name,
    )


def broken_rows(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """What `frame` breaks: check, column, found, and row (its place in the frame; null where the
    whole frame is meant). No row is a pass.
    """
    import pandera.errors

    try:
        pandera_schema(table).validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        cases: pl.DataFrame = errors.failure_cases.select(
            "check",
            # pandera puts the table's own name where a condition on whole rows is meant
            pl.when(pl.col("column") != table.name).then("column"),
            found=pl.col("failure_case").cast(pl.String),
            row=pl.col("index").cast(pl.Int64),
        )
        return (
            cases.group_by("check", "column", maintain_order=True)
            .head(SHOWN_ROWS)
            .select(_BROKEN.keys())
        )
    return pl.DataFrame(schema=_BROKEN)


_BROKEN = {"check": pl.String(), "column": pl.String(), "found": pl.String(), "row": pl.Int64()}


def _limits(column: Column) -> list[Any]:
    import pandera.polars as pa

    found = []
    if column.above is not None:
        above = pl.col("*") > column.above
        found.append(_value_check(column, f"is above {column.above:g}", above))
    if column.at_least is not None:
        enough = pl.col("*") >= column.at_least
        found.append(_value_check(column, f"is at least {column.at_least:g}", enough))
    if column.one_of:
        found.append(
            pa.Check.isin(
                list(column.one_of),
                error=f"is one of {', '.join(column.one_of)}",
                n_failure_cases=SHOWN_ROWS,
            )
        )
    return found


def _value_check(column: Column, text: str, holds: pl.Expr) -> Any:
    """A limit of a column's values; null is not asked. Of a float the value must be finite too.

    Polars orders NaN above every number, so that pandera's own `gt` and `ge` let NaN pass.
    """
    import pandera.polars as pa

    whole = holds & pl.col("*").is_finite() if column.dtype.is_float() else holds
    passes = whole.fill_null(value=True)
    return pa.Check(
        lambda data: data.lazyframe.select(data.key).select(passes),
        error=text,
        n_failure_cases=SHOWN_ROWS,
    )


def _row_check(text: str, holds: pl.Expr) -> Any:
    import pandera.polars as pa

    return pa.Check(
        lambda data: data.lazyframe.select(holds.fill_null(value=True)),
        error=text,
        n_failure_cases=SHOWN_ROWS,
    )


def _after_the_row_before(table: Table) -> pl.Expr:
    """True where a row's key is greater than that of the row before it, or equal where the key need
    not be unique; nothing is lowest.
    """
    after = pl.lit(not table.unique_key)
    for name in reversed(table.key):
        now, then = pl.col(name), pl.col(name).shift()
        greater = (now > then).fill_null(value=False) | (now.is_not_null() & then.is_null())
        after = greater | (now.eq_missing(then) & after)
    return after | (pl.int_range(pl.len()) == 0)
