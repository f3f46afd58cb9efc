"""Frames as the events that a state machine receives, made a batch of rows at a time.

A Python loop over rows is what a state machine is. What can be done for a whole batch is done for
it: columns become lists at once, and times are decoded in one call.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import repeat

import msgspec
import numpy as np
import polars as pl

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.schemas import TIME
from harmony_pipeline.strategies.events import Bar

BATCH = 1 << 16  # rows as Python objects at a time
_TIMESTAMP = 15  # bytes of a MessagePack timestamp 96: tag, length, type, nanoseconds, seconds
_PRICES = ("open", "high", "low", "close", "volume", "adjustment_factor")


def bars_of(rows: pl.DataFrame, features: Sequence[str]) -> Iterator[Bar]:
    """A Bar for each row: symbol, timestamp, BAR_COLUMNS and the `features`, in this order."""
    for start in range(0, rows.height, BATCH):
        part = rows.slice(start, BATCH)
        columns = (part[name].cast(pl.Float64).to_list() for name in _PRICES)
        known = part.select(features).rows() if features else repeat(())
        yield from map(
            Bar, texts_of(part["symbol"]), times_of(part["timestamp"]), texts_of(part["session"]),
            *columns, known,
        )  # fmt: skip


def texts_of(texts: pl.Series) -> Sequence[str]:
    """The texts as a list in which equal ones are one object."""
    if not texts.len():
        return []
    known = texts.unique(maintain_order=True)
    if known.len() == 1:
        return [known[0]] * texts.len()
    kept = {text: text for text in known.to_list()}
    return [kept[text] for text in texts.to_list()]


def times_of(times: pl.Series) -> list[datetime]:
    """The times, in UTC."""
    return datetimes(times.cast(TIME).to_physical().to_numpy())


def datetimes(at: IntArray) -> list[datetime]:
    """Microseconds since 1970 as times in UTC.

    They are written as a MessagePack array of timestamps, which msgspec reads in a tenth of the
    time that Polars or the standard library take for it.
    """
    seconds = at // 1_000_000
    packed = np.empty((len(at), _TIMESTAMP), np.uint8)
    packed[:, :3] = (0xC7, 12, 0xFF)
    packed[:, 3:7] = _bytes((at - seconds * 1_000_000) * 1000, ">u4")
    packed[:, 7:] = _bytes(seconds, ">i8")
    head = b"\xdd" + len(at).to_bytes(4, "big")
    return msgspec.msgpack.decode(head + packed.tobytes(), type=list[datetime])


def _bytes(numbers: IntArray, kind: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    written = numbers.astype(kind)
    return written.view(np.uint8).reshape(len(numbers), written.itemsize)
