"""What one unit is worth: the multiplier of each row of a table, by the terms of its session.

One unit of a symbol at price p is worth p times its multiplier. A table of multipliers has a row
for every change: symbol, since (the first moment of these terms), multiplier. The first terms of a
symbol hold since ever.

>>> worth = contract_multipliers(instruments, ["ES"], calendar, "15Min")
>>> with_multiplier(fills, worth)
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.instruments import Instruments
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES
from harmony_pipeline.schemas import REAL, TEXT, TIME

_EVER = datetime(1, 1, 1, tzinfo=UTC)


def contract_multipliers(
    instruments: Instruments, symbols: Iterable[str], calendar: Calendar, timeframe: str
) -> pl.DataFrame | None:
    """symbol, since, multiplier; None where every unit is worth its price."""
    rows = [
        (symbol, since, instruments.at(symbol, day).multiplier)
        for symbol in sorted(symbols)
        for day, since in (
            (date.min, _EVER),
            *(
                (day, _session_start(calendar, timeframe, day))
                for day in instruments.changes([symbol])
            ),
        )
    ]
    if all(multiplier == 1.0 for _, _, multiplier in rows):
        return None
    columns = {"symbol": TEXT, "since": TIME, "multiplier": REAL}
    return pl.DataFrame(rows, schema=columns, orient="row")


def with_multiplier(
    frame: pl.DataFrame, multipliers: pl.DataFrame | None, moment: str = "timestamp"
) -> pl.DataFrame:
    """`frame` (symbol, `moment`, ...) in its order with the column multiplier: 1 where nothing else
    is known. multipliers: as `contract_multipliers` gives them.
    """
    if multipliers is None:
        return frame.with_columns(multiplier=pl.lit(1.0))
    known = multipliers.select("symbol", "since", "multiplier").sort("symbol", "since")
    rows = frame.with_row_index("_row").sort("symbol", moment)
    joined = rows.join_asof(
        known, left_on=moment, right_on="since", by="symbol", check_sortedness=False
    )
    return (
        joined.sort("_row")
        .drop("_row", "since", strict=False)
        .with_columns(pl.col("multiplier").fill_null(1.0))
    )


def _session_start(calendar: Calendar, timeframe: str, day: date) -> datetime:
    """The first moment that belongs to the first session on or after `day`."""
    table = calendar.for_timeframe(timeframe).table
    before = table.filter(pl.col("date") < day)
    if before.is_empty():
        return _EVER
    if timeframe in LONG_TIMEFRAMES:
        midnight = datetime.combine(before["date"][-1], time(), UTC)
        return midnight + timedelta(microseconds=1)
    end = before["post_close"][-1]
    assert isinstance(end, datetime)
    return end
