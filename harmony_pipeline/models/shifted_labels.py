"""Training on labels that belong to other events, to see the score vanish.

Each event is given the outcome of a later event of its symbol, so far away that their lives do not
meet. Nothing is left to learn, and whatever such a model still scores on the true outcomes comes
from the procedure and not from a forecast: a test that shares outcomes with its training, or a
score that something else than the forecast decides. (A placebo, or permutation test: Ojala &
Garriga 2010, "Permutation tests for studying classifier performance", JMLR 11. A shift keeps the
dependence of outcomes over time, which a permutation destroys.)

A single shift says little: a model of noise still points somewhere, and where one input decides the
outcomes, its score is above or below one half by luck. So the shifts are several. Something may
honestly remain in their mean, such as a symbol or a slow regime that is right more often: their
scores share the period's outcomes, and no test of significance is made of them.

The shift of one event is the case of outcomes that do not overlap; with overlapping ones the
neighbour's outcome is mostly the event's own, and its score does not vanish.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import Period
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.scores import area_under_curve
from harmony_pipeline.models.settings import ModelSettings, SearchSettings
from harmony_pipeline.models.walk_forward import train_period

_MOVED = ("label", "return", "weight")
SHIFTS = 6
LEAST_LEAD = 0.05
"""Area above one half from which on there is a score that can vanish."""
MOST_LEFT = 0.8
"""Part of the lead at which nothing vanished: the score is not of these events."""


@dataclass(frozen=True)
class ShiftedScore:
    """Area under the curve of a period's model inside the period: honestly trained, and with labels
    that are shifted by each of `events`.
    """

    auc: float
    events: tuple[int, ...]
    shifted: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Of the shifted ones; one half when nothing is left."""
        return float(np.mean(self.shifted))

    @property
    def vanishes(self) -> bool:
        """Whether shifted labels take most of the score away, or there was none."""
        lead = self.auc - 0.5
        return lead < LEAST_LEAD or self.mean - 0.5 < MOST_LEFT * lead


def least_shift(samples: Samples) -> int:
    """The fewest events of a symbol after which an outcome begins that meets none before it; at
    least 1.
    """
    most = 1
    for rows in samples.frame.drop_nulls("end_timestamp").partition_by("symbol"):
        starts, ends = (
            rows[name].to_physical().to_numpy() for name in ("timestamp", "end_timestamp")
        )
        after = np.searchsorted(starts, ends, side="left") - np.arange(starts.size)
        most = max(most, int(after.max()))
    return most


def shift_labels(samples: Samples, events: int) -> Samples:
    """The settled events, each with the label, return and weight of the one `events` later in its
    symbol; the last ones with those of the first. End times stay.
    """
    settled = samples.where(samples.frame["label"].is_not_null().to_numpy())
    place = pl.int_range(pl.len())
    frame = settled.frame.with_columns(
        pl.col(name).gather((place + events) % pl.len()).over("symbol") for name in _MOVED
    )
    return replace(settled, frame=frame)


def shifted_label_score(
    samples: Samples,
    period: Period,
    horizon: int,
    calendar: Calendar,
    timeframe: str,
    settings: ModelSettings,
    events: Sequence[int] | None = None,
) -> ShiftedScore | None:
    """The score of the period's model, and of models that learned from labels `events` later (None:
    the first multiples of `least_shift`).

    None when one cannot be trained or the period has one outcome only. A search of parameters is
    left out.
    """
    step = least_shift(samples)
    shifts = tuple(step * number for number in range(1, SHIFTS + 1)) if events is None else events
    # only the training is shifted; every label that it takes was settled before the period
    before = _where(samples, pl.col("end_timestamp") <= period.start)
    tested = _where(
        samples,
        (pl.col("timestamp") >= period.start)
        & (pl.col("timestamp") < period.end)
        & pl.col("label").is_not_null(),
    )
    outcome = tested.labels()
    if not before.height or np.unique(outcome).size < 2:
        return None
    plain = settings.model_copy(update={"search": SearchSettings()})
    found = []
    for training in (before, *(shift_labels(before, shift) for shift in shifts)):
        model = train_period(training, period, horizon, calendar, timeframe, plain, "").model
        if model is None:
            return None
        found.append(area_under_curve(model.model.margin(tested.X), outcome))
    return ShiftedScore(found[0], tuple(shifts), tuple(found[1:]))


def _where(samples: Samples, condition: pl.Expr) -> Samples:
    return samples.where(
        samples.frame.select(condition.fill_null(value=False)).to_series().to_numpy()
    )
