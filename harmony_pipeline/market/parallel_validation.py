"""Validation of many symbols in batches, two batches in parallel.

Each batch has its own symbols, so no verdict and no bit depends on the size of the batches. Results
come in the order of the batches.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.validation.validate import Validated, validate

# a third thread gains little and costs a quarter more memory; one more batch is read ahead
AT_ONCE = 2

Tag = TypeVar("Tag")


def validate_each(
    batches: Iterable[tuple[Tag, pl.DataFrame, pl.DataFrame]],
    actions: pl.DataFrame,
    calendar: Calendar,
    timeframe: str,
    settings: MarketSettings,
    at_once: int = AT_ONCE,
) -> Iterator[tuple[Tag, Validated]]:
    """`validate` of each (tag, raw, before): tags with results. The kernels release the GIL."""
    with ThreadPoolExecutor(at_once) as pool:
        waiting: deque[tuple[Tag, Future[Validated]]] = deque()
        for tag, raw, before in batches:
            waiting.append(
                (tag, pool.submit(validate, raw, before, actions, calendar, timeframe, settings))
            )
            if len(waiting) > at_once:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
