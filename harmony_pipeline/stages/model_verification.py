"""Whether a model comes out the same when it is trained again: same id, same bytes."""

from dataclasses import dataclass

from harmony_pipeline.models.trained import TrainedModel
from harmony_pipeline.stages.bins import with_first_bins
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.models import (
    recipe_of_bins,
    samples_until,
    train_horizon,
)


@dataclass(frozen=True)
class Retraining:
    """What became of one model."""

    model_id: str
    equal: bool
    sentence: str


def retrain(pipeline: PipelineContext, model_id: str) -> Retraining:
    """Train the model's period again from what the lake holds now, and compare. Nothing is written.

    Raises NotReady or DataError when the registry cannot load it.
    """
    model = pipeline.registry.load(model_id)
    difference = _difference(pipeline, model)
    if difference is None:
        return Retraining(model_id, equal=True, sentence=f"{model_id}: the same id and bytes")
    return Retraining(model_id, equal=False, sentence=f"{model_id} differs: {difference}")


def _difference(pipeline: PipelineContext, model: TrainedModel) -> str | None:
    """How the model of today differs, in words; None when it does not."""
    card = model.card
    horizons = pipeline.settings.labels.horizons_bars
    if card.horizon not in horizons:
        known = ", ".join(map(str, horizons))
        return f"labels.horizons_bars no longer holds its horizon {card.horizon}, but {known}"
    period = pipeline.retraining_period(card.period)
    samples = with_first_bins(
        pipeline,
        {horizon: samples_until(pipeline, period.end, horizon) for horizon in horizons},
        period,
    )
    window = samples[card.horizon].bin_window
    found = None if window is None else window.description
    if card.bins is not None and found is not None and card.bins != found:
        return (
            f"the first training window, whose bins it has, changed in the lake ({card.bins}, now"
            f" {found}); make all models again with: harmony backfill retrain"
        )
    recipe = recipe_of_bins(pipeline, card.horizon, window)
    if card.recipe is not None and card.recipe != recipe:
        return (
            "the settings or the code that decide how a model is made changed since (its recipe is"
            f" {card.recipe}, today's {recipe}); verify it with the settings that it was made with"
        )
    fold = train_horizon(pipeline, period, card.horizon, samples)
    if fold.model is None:
        return f"there is no model any more: {fold.reason}"
    if fold.model.card.data_hash != card.data_hash:
        return (
            f"its training events changed in the lake (data_hash {card.data_hash}, now"
            f" {fold.model.card.data_hash}); make it again with: harmony backfill retrain"
        )
    ours, theirs = model.files(), fold.model.files()
    unequal = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    if not unequal and fold.model.model_id == model.model_id:
        return None
    return (
        f"trained again from the same events it is {fold.model.model_id}, and"
        f" {', '.join(unequal) or 'the id'} is not the same; another machine or another version of"
        " a library computes other bits"
    )
