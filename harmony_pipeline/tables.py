"""Answers of `harmony sql`: on the screen as a table, or as CSV, JSON or Parquet."""

import io
import sys
from pathlib import Path

import polars as pl

from harmony_pipeline import sql
from harmony_pipeline.config import Settings
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.lake import Lake
from harmony_pipeline.stages.workspace import Workspace

FORMATS = ("table", "csv", "json", "parquet")
_SCREEN_ROWS = 200


def answer(settings: Settings, text: str | None) -> pl.DataFrame | str:
    """Rows of a query or of a named one; without a query the script of the views."""
    lake: Lake = Workspace(settings).lake
    if text is None:
        return sql.views_script(lake)
    named = text.strip()
    return sql.query(lake, sql.named_query(named) if named.replace("_", "").isalnum() and not named.startswith("select") else text)


def write_answer(found: pl.DataFrame | str, form: str, output: Path | None) -> None:
    """Write rows in the chosen format, to `output` or to standard output. Raises ConfigError for an unknown format."""
    if isinstance(found, str):
        _emit(found.encode(), output)
        return
    if form not in FORMATS:
        raise ConfigError(f"--format '{form}' is not known; choose one of {', '.join(FORMATS)}")
    _emit(_encoded(found, form), output)
    if output is not None:
        sys.stderr.write(f"wrote {found.height} rows to {output}\n")


def _encoded(found: pl.DataFrame, form: str) -> bytes:
    buffer = io.BytesIO()
    if form == "csv":
        flat = found.with_columns(
            pl.col(name).list.join(";") for name, dtype in found.schema.items() if isinstance(dtype, pl.List) and dtype.inner == pl.String()
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
    output.parent.mkdir(parents=True, exist_ok=True)
    temporary = output.with_name(f".{output.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(output)
