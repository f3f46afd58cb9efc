"""Triple barriers: the outcome of every event, by the same rules as the simulator and the live
brackets.

An event on a regular bar is entered at the open of its symbol's next regular bar. From that bar on
a stop level and a profit level apply. If neither is touched within the horizon, the trade exits at
the open of the bar after. The scalar rules are `portfolio/exit_rules.py`; `labels/resolution.py`
applies them to many events at once (Lopez de Prado, Advances in Financial Machine Learning, 2018,
ch. 3.4).

>>> labelled = triple_barrier(bars, events, settings, Calendar.of("XNYS"), "15Min")
"""

from typing import Any

import polars as pl

from harmony_pipeline.labels.label_table import TOUCHED, Labelled
from harmony_pipeline.labels.labelling import label_events
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.calendars import Calendar

__all__ = ["TOUCHED", "Labelled", "triple_barrier"]


def triple_barrier(
    bars: pl.DataFrame,
    events: pl.DataFrame,
    settings: LabelSettings,
    calendar: Calendar,
    timeframe: str,
    **options: Any,
) -> Labelled:
    """`label_events` by triple barriers, whatever the settings' method is."""
    chosen = settings.model_copy(update={"method": "triple_barrier"})
    return label_events(bars, events, chosen, calendar, timeframe, **options)
