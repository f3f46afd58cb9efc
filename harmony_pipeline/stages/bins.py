"""The first training window of this market's plan, whose bins its models may share."""

from collections.abc import Mapping

from harmony_pipeline.market.periods import Period
from harmony_pipeline.models.first_window import first_window
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.stages.context import PipelineContext


def with_first_bins(
    pipeline: PipelineContext, samples: Mapping[int, Samples], until: Period
) -> dict[int, Samples]:
    """The events of each horizon in the bins of the plan's first training window, where the
    settings ask for them; `until` is the last period that is trained.
    """
    if pipeline.settings.model.bins == "each_window":
        return dict(samples)
    plan = [period for period in pipeline.retraining_periods() if period.start <= until.start]
    return {
        horizon: rows
        if rows.bins is not None
        else rows.binned(
            first_window(rows, plan, pipeline.calendar, pipeline.timeframe, pipeline.settings.model)
        )
        for horizon, rows in samples.items()
    }
