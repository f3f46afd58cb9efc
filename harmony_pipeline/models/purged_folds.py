"""Groups of events in order of time, and which events may train a model that is tested on some of
them.

An event is purged whose label's life meets that of any label of a test group, of whatever symbol,
and so is one within the embargo before the first or after the last of them (Lopez de Prado 2018,
ch. 7.4 and 12).
"""

from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

import numpy as np
import polars as pl

from harmony_pipeline.arrays import BoolArray, IntArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.models.embargo import embargo_end, embargo_start
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.settings import CrossValidationSettings


@dataclass(frozen=True)
class Fold:
    """One choice of test groups, and the events that its model may be trained on; masks [rows]."""

    test_groups: tuple[int, ...]
    train: BoolArray
    test: BoolArray
    purged: BoolArray


def group_numbers(samples: Samples, groups: int) -> IntArray:
    """The group of each settled event, from 0, in order of time; -1 for others.

    Groups have about equal numbers of events, and events at one time are in one group. Raises
    DataError when there are fewer times than groups.
    """
    settled = _settled(samples)
    number = np.full(samples.height, -1, np.int64)
    stamps = samples.frame["timestamp"].to_physical().to_numpy()[settled]
    if np.unique(stamps).size < groups:
        raise DataError(
            f"cross-validation: {np.unique(stamps).size} times with a settled event cannot make"
            f" {groups} groups; set cross_validation.groups lower, or use a longer history"
        )
    # the place of the first event at each time decides, so that ties stay together
    first = np.searchsorted(stamps, stamps, side="left")
    number[settled] = np.minimum(first * groups // stamps.size, groups - 1)
    return number


def folds(
    samples: Samples,
    calendar: Calendar,
    timeframe: str,
    embargo_bars: int,
    settings: CrossValidationSettings,
) -> list[Fold]:
    """Every choice of test groups in lexicographic order."""
    group = group_numbers(samples, settings.groups)
    settled = group >= 0
    begins = samples.frame["timestamp"].to_physical().to_numpy()
    ends = samples.frame["end_timestamp"].to_physical().fill_null(0).to_numpy()
    barred = []
    for number in range(settings.groups):
        members = pl.Series(group == number)
        own = samples.frame.filter(members)
        start = embargo_start(
            calendar, timeframe, as_datetime(own["timestamp"].min()), embargo_bars
        )
        end = embargo_end(
            calendar, timeframe, as_datetime(own["end_timestamp"].max()), embargo_bars
        )
        # a life that ends as the zone begins, or begins as it ends, does not meet it
        barred.append((ends > _micros(start)) & (begins < _micros(end)))
    found = []
    for chosen in combinations(range(settings.groups), settings.test_groups):
        test = np.isin(group, chosen)
        meets = np.logical_or.reduce([barred[number] for number in chosen])
        found.append(Fold(chosen, settled & ~test & ~meets, test, settled & ~test & meets))
    return found


def _settled(samples: Samples) -> BoolArray:
    frame = samples.frame
    known = frame["end_timestamp"].is_not_null() & frame["label"].is_not_null()
    return known.to_numpy().copy()


def as_datetime(value: object) -> datetime:
    """A value of a frame that is a time."""
    assert isinstance(value, datetime)
    return value


def _micros(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)
