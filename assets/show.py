"""A `StageResult` as Dagster metadata: counts, facts, a table preview, pictures."""

from typing import Any

import dagster as dg
import polars as pl

from harmony_pipeline.reports.figures import as_markdown
from harmony_pipeline.stages.result import StageResult

_PREVIEW_ROWS = 20
_NOTES = 20


def metadata(result: StageResult) -> dict[str, Any]:
    """What the Dagster UI shows of a stage."""
    shown: dict[str, Any] = {f"rows in {table}": number for table, number in result.rows.items()}
    shown |= {name: _fact(value) for name, value in result.facts.items()}
    if result.preview is not None and result.preview.width:
        shown["preview"] = dg.MetadataValue.md(table(result.preview.head(_PREVIEW_ROWS)))
    shown |= {name: dg.MetadataValue.md(as_markdown(picture, name)) for name, picture in result.pictures.items()}
    if result.notes:
        shown["notes"] = dg.MetadataValue.md("\n".join(f"- {note}" for note in result.notes[:_NOTES]))
    return shown


def materialized(result: StageResult) -> dg.MaterializeResult[Any]:
    """The event that an asset returns."""
    return dg.MaterializeResult(metadata=metadata(result))


def table(frame: pl.DataFrame) -> str:
    """A frame as a Markdown table."""
    with pl.Config(
        tbl_formatting="ASCII_MARKDOWN",
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        tbl_cols=-1,
        tbl_rows=-1,
        fmt_str_lengths=600,
        tbl_width_chars=4000,
    ):
        return str(frame)


def _fact(value: float | str | bool | None) -> Any:
    return "not measured" if value is None else value
