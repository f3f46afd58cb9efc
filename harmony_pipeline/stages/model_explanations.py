"""Pictures of what the newest model of the traded horizon looks at; drawn only where they are seen.

They are made of the model's own training and calibration events, so they explain the model and are
no evidence for it. Those events are read from the lake when a picture is drawn: they are too many
to be kept with each run, and the model's card tells whether they are still the same.
"""

from collections.abc import Callable
from datetime import datetime

import numpy as np

from harmony_pipeline.config import Settings, make_own_code_importable
from harmony_pipeline.errors import NotReady
from harmony_pipeline.models.base import build_forecaster
from harmony_pipeline.models.explanations import MOST_ROWS, permutation_importance, shap_values
from harmony_pipeline.models.horizon_blend import BLEND
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.trained import TrainedModel
from harmony_pipeline.models.walk_forward import Split, split, training_hash
from harmony_pipeline.reports.drawings import Drawing
from harmony_pipeline.reports.figures import permutation_bars, shap_summary
from harmony_pipeline.stages.bins import with_first_bins
from harmony_pipeline.stages.context import PipelineContext

ReadSamples = Callable[[PipelineContext, datetime, int], Samples]
"""Events before a moment, of one horizon."""


def explanation_pictures(
    pipeline: PipelineContext, model: TrainedModel, names: tuple[str, ...], read: ReadSamples
) -> dict[str, Drawing]:
    """Pictures by name: permutation importance with its noise floor, and SHAP values of a model of
    trees. names: of the model's inputs. read: importable by name, how the pictures get at the
    model's events.
    """
    settings = pipeline.settings
    settings = settings.model_copy(update={"file": settings.file.resolve()})
    given = (settings, model.model_id, read)
    pictures = {"permutation importance": Drawing.of(permutation_picture, *given)}
    if shap_values(model.model, np.empty((0, len(names)))) is not None:
        pictures["SHAP values"] = Drawing.of(shap_picture, *given)
    return pictures


def permutation_picture(settings: Settings, model_id: str, read: ReadSamples) -> bytes:
    """How much worse the model becomes where an input's values change places."""
    pipeline, model, samples, parts = _events_of(settings, model_id, read)
    chosen, card = pipeline.settings.model, model.card
    # of a blend of horizons, the member of the traded one
    blended = card.forecaster == BLEND != chosen.forecaster
    forecaster = build_forecaster(
        chosen.forecaster, chosen.parameters if blended else card.parameters, card.seed
    )
    found = permutation_importance(
        forecaster, samples, parts, card.seed, oldest_weight=chosen.oldest_weight
    )
    return permutation_bars(found.table, found.floor, f"Permutation importance, {card.period}")


def shap_picture(settings: Settings, model_id: str, read: ReadSamples) -> bytes:
    """What each input added to the log-odds of the latest calibration events."""
    _, model, samples, parts = _events_of(settings, model_id, read)
    rows = samples.X[parts.calibrate][-MOST_ROWS:]
    values = shap_values(model.model, rows)
    assert values is not None
    return shap_summary(values, rows, samples.names, f"SHAP values, {model.card.period}")


def _events_of(
    settings: Settings, model_id: str, read: ReadSamples
) -> tuple[PipelineContext, TrainedModel, Samples, Split]:
    """The model and its events; raises NotReady where the lake no longer has those."""
    make_own_code_importable(settings)
    pipeline = PipelineContext(settings)
    model = pipeline.registry.load(model_id)
    period = pipeline.retraining_period(model.card.period)
    events = {model.card.horizon: read(pipeline, period.end, model.card.horizon)}
    samples = with_first_bins(pipeline, events, period)[model.card.horizon]
    parts = split(samples, period, pipeline.calendar, pipeline.timeframe, settings.model)
    if training_hash(samples.where(parts.train)) != model.card.data_hash:
        raise NotReady(f"the training events of {model_id} changed in the lake since")
    return pipeline, model, samples, parts
