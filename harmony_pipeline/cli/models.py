"""`harmony models`: what is known of a model, how two differ, and what a person decides."""

import json
from collections.abc import Mapping
from typing import Any

import polars as pl
import typer
from rich.console import Console
from rich.table import Table as RichTable

from harmony_pipeline.cli.invocation import as_typed
from harmony_pipeline.errors import NotReady
from harmony_pipeline.models.trained import TrainedModel
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.suggestions import nearest

_LONG = 60  # letters of a value that are shown
_SHOWN = 3  # ids of models, where one is not known


def show(pipeline: PipelineContext, model_id: str) -> None:
    """Print where a model came from, what it measured at training, and each decision about it."""
    model, metrics = _model(pipeline, model_id), _metrics(pipeline, model_id)
    console = Console()
    facts = {**_card(model), "artifact hash": pipeline.registry.artifact_hash(model_id)}
    console.print(_table(f"model {model_id}", facts))
    if metrics:
        console.print(_table("measured at training", metrics))
    console.print(_decisions(pipeline, model_id))
    console.print(str(pipeline.registry.path(model_id)), soft_wrap=True, markup=False)


def diff(pipeline: PipelineContext, first: str, second: str) -> None:
    """Print what two models do not have in common: recipe, data, inputs, measures."""
    sides = [
        {**_card(_model(pipeline, each)), **_metrics(pipeline, each)} for each in (first, second)
    ]
    table = RichTable(box=None, pad_edge=False)
    for name in ("", first, second):
        table.add_column(name)
    for name in dict.fromkeys((*sides[0], *sides[1])):
        values = [side.get(name) for side in sides]
        if values[0] != values[1]:
            table.add_row(name, *(_text(value) for value in values))
    console = Console()
    console.print(table if table.row_count else f"{first} and {second} are the same")


def verify(pipeline: PipelineContext, model_id: str | None) -> bool:
    """Print a sentence for each model that is trained again; whether all came out the same."""
    from harmony_pipeline.stages.model_verification import retrain

    if model_id is not None:
        ids = [_model(pipeline, model_id).model_id]
    else:
        ids = pipeline.lake.read("models").sort("period", "horizon")["model_id"].to_list()
    if not ids:
        raise NotReady("there are no models yet; make them with: harmony backfill retrain")
    equal = True
    for each in ids:
        found = retrain(pipeline, each)
        typer.echo(found.sentence)
        equal &= found.equal
    return equal


def promote(pipeline: PipelineContext, model_id: str, reason: str) -> None:
    """Let a model trade in spite of the gate, and say so."""
    from harmony_pipeline.stages.manual_promotion import promote_by_hand

    typer.echo(promote_by_hand(pipeline, model_id, reason))


def rollback(pipeline: PipelineContext, reason: str) -> None:
    """Let the model before the present one trade again, and say so."""
    from harmony_pipeline.stages.manual_promotion import roll_back

    typer.echo(roll_back(pipeline, reason))


def _model(pipeline: PipelineContext, model_id: str) -> TrainedModel:
    try:
        return pipeline.registry.load(model_id)
    except NotReady as error:
        known = pipeline.lake.read("models")["model_id"].sort().to_list()
        if not known:
            raise
        raise NotReady(as_typed(_unknown(model_id, known))) from error


def _unknown(model_id: str, known: list[str]) -> str:
    """The nearest id, and the latest few of many."""
    guess, latest = nearest(model_id, known), ", ".join(known[-_SHOWN:])
    meant = "" if guess is None else f"did you mean {guess}? "
    more = len(known) - _SHOWN
    rest = f" and {more} before them, which harmony models lists" if more > 0 else ""
    return f"there is no model {model_id}; {meant}known are {latest}{rest}"


def _card(model: TrainedModel) -> dict[str, Any]:
    """The fields of the card, parameters by name; inputs that are many as one text."""
    fields = model.card.fields()
    parameters = {f"parameter {name}": value for name, value in fields.pop("parameters").items()}
    return {**fields, **parameters}


def _metrics(pipeline: PipelineContext, model_id: str) -> dict[str, Any]:
    """Figures at training, one level deep; pictures and lists are left to the table."""
    rows = pipeline.lake.read("models").filter(pl.col("model_id") == model_id)
    if rows.is_empty():
        return {}
    found: dict[str, Any] = {}
    for name, value in json.loads(rows["metrics"][0]).items():
        if isinstance(value, Mapping):
            found |= {f"{name} {key}": each for key, each in value.items()}
        elif not isinstance(value, list):
            found[name] = value
    return found


def _table(title: str, facts: Mapping[str, Any]) -> RichTable:
    table = RichTable(
        title=title, title_justify="left", box=None, pad_edge=False, show_header=False
    )
    for name, value in facts.items():
        table.add_row(name, _text(value))
    return table


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        text = f"{len(value)}: {', '.join(map(str, value))}"
    else:
        text = "-" if value is None else str(value)
    return text if len(text) <= _LONG else f"{text[: _LONG - 4]} ..."


def _decisions(pipeline: PipelineContext, model_id: str) -> RichTable:
    """Each decision about a model in one row: what broke, or who promoted it and why."""
    table = RichTable(title="decisions", title_justify="left", box=None, pad_edge=False)
    for name in ("decided", "", "broken rules, or the reason of a person"):
        table.add_column(name)
    rows = pipeline.lake.read("promotions").filter(pl.col("model_id") == model_id)
    for (decided_at, promoted), rules in rows.sort("decided_at").group_by(
        "decided_at", "promoted", maintain_order=True
    ):
        broken = rules.filter(~pl.col("passed"))["rule"].to_list()
        reasons = rules["reason"].drop_nulls().to_list()
        table.add_row(
            f"{decided_at:%Y-%m-%d %H:%M} UTC",
            "promoted" if promoted else "refused",
            "; ".join(reasons) or ", ".join(broken),
        )
    return table
