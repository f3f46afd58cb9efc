"""Answers of `harmony sql`: on the screen as a table, or as CSV, JSON or Parquet."""

import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from harmony_pipeline.cli.argument_checks import given_variables
from harmony_pipeline.cli.invocation import command_line
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.files import write_bytes
from harmony_pipeline.lake import sql
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.schemas import TABLES

FORMATS = ("table", "csv", "json", "parquet")
_SCREEN_ROWS = 200


def answer(lake: Lake, text: str, variables: Sequence[str] = ()) -> pl.DataFrame:
    """Rows of a query or of a named one; `variables` are NAME=VALUE. Raises ConfigError for a
    variable without a value.
    """
    name = text.strip()
    is_name = re.fullmatch(r"[\w-]+", name) is not None
    if is_name and name in TABLES:
        raise ConfigError(
            f"'{name}' is a view, not a query: ask harmony sql \"select * from {name} limit 10\""
        )
    query = sql.named_query(name) if is_name else text
    chosen = given_variables(
        variables, query + sql.macros_in(query), f"the query {name}" if is_name else "the query"
    )
    return sql.query(lake, query, variables=chosen)


def views(lake: Lake) -> str:
    """The script that creates the views."""
    return sql.views_script(lake)


def listing() -> str:
    """The named queries, a line each with what it answers and the variables that it reads."""
    lines = [f"named queries ({command_line('sql')} NAME):"]
    for name, about in sql.named_queries().items():
        variables = sorted(set(re.findall(r"getvariable\('(\w+)'\)", sql.named_query(name))))
        lines.append(
            f"  {name:<26} {about}"
            + (f"  [--set {', '.join(f'{each}=...' for each in variables)}]" if variables else "")
        )
    return "\n".join(lines)


def write_answer(found: pl.DataFrame | str, form: str, output: Path | None) -> None:
    """Write rows in the chosen format, to `output` or to standard output."""
    if isinstance(found, str):
        _emit(found.encode(), output)
        return
    _emit(_encoded(found, form), output)
    if output is not None:
        sys.stderr.write(f"wrote {found.height} rows to {output}\n")


def _encoded(found: pl.DataFrame, form: str) -> bytes:
    buffer = io.BytesIO()
    if form == "csv":
        flat = found.with_columns(
            pl.col(name).list.join(";")
            for name, dtype in found.schema.items()
            if isinstance(dtype, pl.List) and dtype.inner == pl.String()
        )
        flat.write_csv(buffer)
    elif form == "json":
        found.write_json(buffer)
    elif form == "parquet":
        found.write_parquet(buffer)
    else:
        with pl.Config(
            tbl_rows=_SCREEN_ROWS,
            tbl_cols=-1,
            tbl_hide_column_data_types=True,
            tbl_hide_dataframe_shape=True,
            fmt_str_lengths=100,
            tbl_width_chars=220,
            tbl_formatting="UTF8_FULL_CONDENSED",
        ):
            buffer.write(f"{found}\n{found.height} rows\n".encode())
    return buffer.getvalue()


def _emit(content: bytes, output: Path | None) -> None:
    if output is None:
        sys.stdout.buffer.write(content if content.endswith(b"\n") else content + b"\n")
        sys.stdout.buffer.flush()
        return
    write_bytes(output, content)
