"""Pictures of what the newest model of the traded horizon looks at; drawn only where they are seen.

They are made of the model's own training and calibration events, so they explain the model and are
no evidence for it.
"""

from collections.abc import Callable
from functools import cache

from harmony_pipeline.market.periods import Period
from harmony_pipeline.models.base import build_forecaster
from harmony_pipeline.models.explanations import MOST_ROWS, permutation_importance, shap_values
from harmony_pipeline.models.horizon_blend import BLEND
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.trained import TrainedModel
from harmony_pipeline.models.walk_forward import Split, split
from harmony_pipeline.reports.figures import permutation_bars, shap_summary
from harmony_pipeline.stages.context import PipelineContext


def explanation_pictures(
    pipeline: PipelineContext, period: Period, model: TrainedModel, samples: Samples
) -> dict[str, Callable[[], bytes]]:
    """Pictures by name: permutation importance with its noise floor, and SHAP values of a model of
    trees. samples: the events of the model's horizon, those of the period included.
    """

    @cache
    def parts() -> Split:
        return split(
            samples, period, pipeline.calendar, pipeline.timeframe, pipeline.settings.model
        )

    def permuted() -> bytes:
        chosen, card = pipeline.settings.model, model.card
        # of a blend of horizons, the member of the traded one
        blended = card.forecaster == BLEND != chosen.forecaster
        forecaster = build_forecaster(
            chosen.forecaster, chosen.parameters if blended else card.parameters, card.seed
        )
        found = permutation_importance(
            forecaster, samples, parts(), card.seed, oldest_weight=chosen.oldest_weight
        )
        return permutation_bars(found.table, found.floor, f"Permutation importance, {period.key}")

    def added() -> bytes:
        rows = samples.X[parts().calibrate][-MOST_ROWS:]
        values = shap_values(model.model, rows)
        assert values is not None
        return shap_summary(values, rows, samples.names, f"SHAP values, {period.key}")

    pictures = {"permutation importance": permuted}
    if shap_values(model.model, samples.X[:0]) is not None:
        pictures["SHAP values"] = added
    return pictures
