"""A `StageResult` in Dagster: each partition gets its own counts and pictures, and the run's log
says what was done.

The UI shows a Markdown value below 1,000 characters at once and a longer one behind a link. So each
partition has a small picture inside its value (`reports/sketches.py`), and large ones where there
are any by their address, at which they are drawn when somebody looks (`picture_logs.py`).
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import dagster as dg
import polars as pl

from assets.partitions import partition_keys
from assets.picture_logs import PictureLogs
from assets.row_pictures import rows_by_group, rows_by_partition, rows_of
from harmony_pipeline.reports.figures import as_markdown, image_link
from harmony_pipeline.reports.style import shortened
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import Picture, StageResult
from harmony_pipeline.stages.stage_log import log_stage
from harmony_pipeline.stages.unreported import Made

_PREVIEW_ROWS = 20
_NOTES = 20
_CELL = 600  # characters


def materialized(
    context: dg.AssetExecutionContext,
    pipeline: PipelineContext,
    result: StageResult,
    assets: Sequence[str],
) -> Iterator[dg.MaterializeResult[Any]]:
    """The events of the assets that a stage made together, each with the rows of its own table."""
    for asset in assets:
        yield _event(context, pipeline, result, asset)


def _event(
    context: dg.AssetExecutionContext, pipeline: PipelineContext, result: StageResult, asset: str
) -> dg.MaterializeResult[Any]:
    pipeline.record(asset, result)
    keys = partition_keys(context)
    _log(context, result, asset, keys)
    log_stage(pipeline, asset, result, keys)
    if not keys:
        before = _shown_before(context, asset, None) if result.unchanged_since is not None else {}
        pictures = {} if result.pictures or before else rows_by_group(pipeline, asset)
        return dg.MaterializeResult(
            asset_key=asset,
            metadata=before | metadata(result, context.instance) | _images(pictures),
        )
    rows = rows_of(pipeline, asset)
    for key in dict.fromkeys((*result.parts, *keys)):
        shown = _of_partition(context, rows, result, asset, key)
        if key == keys[-1]:
            shown = _of_run(context, result) | shown
        if key in keys:
            context.add_asset_metadata(shown, asset_key=asset, partition_key=key)
        else:  # made in passing
            context.log_event(dg.AssetMaterialization(asset, partition=key, metadata=shown))
    return dg.MaterializeResult(asset_key=asset)


def _log(
    context: dg.AssetExecutionContext, result: StageResult, asset: str, keys: list[str]
) -> None:
    context.log.info(f"{asset}: {result.sentence()}")
    parts = dict.fromkeys((*result.parts, *keys)) if len(keys) > 1 or result.parts else ()
    lines = [f"{asset} {key}: {result.part(key).sentence()}" for key in parts]
    lines += [f"{asset}: {note}" for note in result.notes]
    if lines:  # an entry of the log costs a millisecond, a line nothing
        context.log.info("\n".join(lines))


def _of_partition(
    context: dg.AssetExecutionContext,
    rows: dict[str, float],
    result: StageResult,
    asset: str,
    key: str,
) -> dict[str, Any]:
    """What one partition has to show; what is unchanged keeps the pictures that it had."""
    part = result.part(key)
    before = _shown_before(context, asset, key) if part.unchanged_since is not None else {}
    drawn = {} if part.pictures or before else rows_by_partition(rows, asset, key)
    return before | metadata(part, context.instance) | _images(drawn)


def made_alone(
    pipeline: PipelineContext, made: Made, instance: dg.DagsterInstance
) -> dict[str, Any]:
    """What a partition has to show that a command made without Dagster."""
    shown = metadata(made.result, instance)
    if not made.result.pictures:
        rows = rows_of(pipeline, made.asset)
        shown |= _images(rows_by_partition(rows, made.asset, made.partition))
    return shown | {"made at": f"{made.made_at:%Y-%m-%d %H:%M:%S} UTC"}


def _shown_before(context: dg.AssetExecutionContext, asset: str, key: str | None) -> dict[str, Any]:
    """Tables and pictures of the latest materialisation of a partition, or of an asset that has
    none.
    """
    records = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey(asset), asset_partitions=None if key is None else [key]
    )
    for record in context.instance.fetch_materializations(records, limit=1).records:
        event = record.asset_materialization
        if event is not None:
            return {
                name: value
                for name, value in event.metadata.items()
                if isinstance(value, dg.MarkdownMetadataValue)
            }
    return {}


def _of_run(context: dg.AssetExecutionContext, result: StageResult) -> dict[str, Any]:
    """What belongs to all partitions of a run together; it is shown with the newest of them."""
    whole = StageResult(
        facts=result.facts, pictures=result.pictures, preview=result.preview, notes=result.notes
    )
    return metadata(whole, context.instance)


def metadata(result: StageResult, instance: dg.DagsterInstance) -> dict[str, Any]:
    """What the Dagster UI shows of a result; large pictures are kept for the web server of
    `instance` where it can have them drawn, and are drawn now where it cannot.
    """
    shown: dict[str, Any] = {}
    if result.nothing:
        shown["nothing made"] = result.nothing
    if result.unchanged_since is not None:
        shown["unchanged since"] = f"{result.unchanged_since:%Y-%m-%d %H:%M} UTC"
    shown |= _images(result.pictures, instance)
    shown |= {f"rows in {table}": number for table, number in result.rows.items()}
    shown |= {name: _fact(value) for name, value in result.facts.items()}
    if result.preview is not None and result.preview.width:
        shown["preview"] = dg.MetadataValue.md(table(result.preview.head(_PREVIEW_ROWS)))
    if result.notes:
        shown["notes"] = dg.MetadataValue.md(
            "\n".join(f"- {note}" for note in result.notes[:_NOTES])
        )
    return shown


def _images(
    pictures: Mapping[str, Picture], instance: dg.DagsterInstance | None = None
) -> dict[str, Any]:
    return {
        name: dg.MetadataValue.md(_image(picture, name, instance))
        for name, picture in pictures.items()
    }


def _image(picture: Picture, name: str, instance: dg.DagsterInstance | None) -> str:
    if isinstance(picture, bytes):
        return as_markdown(picture, name)
    logs = None if instance is None else instance.compute_log_manager
    if isinstance(logs, PictureLogs):
        return image_link(logs.keep(picture), name)
    return as_markdown(picture(), name)


def table(frame: pl.DataFrame) -> str:
    """A frame as a Markdown table.

    `pl.Config` would print it too. It sets environment variables meanwhile, and a process in which
    another thread reads the environment at that moment dies (seen: a segmentation fault in
    unsetenv, Polars 2.1.0, Python 3.11).
    """
    rows = [
        frame.columns,
        ["---"] * frame.width,
        *([_cell(v) for v in row] for row in frame.rows()),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _cell(value: Any) -> str:
    """A value as a table shows it, at most 600 characters."""
    if value is None:
        return "null"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S %Z}".strip()
    return shortened(str(value).replace("|", "\\|").replace("\n", " "), _CELL)


def _fact(value: float | str | bool | None) -> Any:
    return "not measured" if value is None else value
