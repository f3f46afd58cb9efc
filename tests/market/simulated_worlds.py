"""Small simulated markets for the tests, and what the rest of the system makes of them."""

from datetime import UTC, date, datetime

import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.source_settings import SimulatedSourceSettings
from harmony_pipeline.market.sources.simulated import SimulatedSource
from harmony_pipeline.market.validation.validate import Validated, validate

EVER = (datetime(1990, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC))
_BEFORE = {
    "symbol": pl.String,
    "close": pl.Float64,
    "adjustment_factor": pl.Float64,
    "timestamp": pl.Datetime("us", "UTC"),
}


def world(
    *,
    start: date = date(2023, 1, 3),
    end: date | None = date(2023, 3, 1),
    timeframe: str = "15Min",
    calendar: str = "XNYS",
    extended_hours: bool = True,
    **simulated: object,
) -> SimulatedSource:
    market = MarketSettings(
        start=start, end=end, timeframe=timeframe, calendar=calendar, extended_hours=extended_hours
    )
    chosen = {"symbols": 6, "low_float_symbols": 2, "edge": "none", **simulated}
    return SimulatedSource(SimulatedSourceSettings(**chosen), market)


def everything(source: SimulatedSource) -> pl.DataFrame:
    return source.bars(None, *EVER, source.market.timeframe)


def validated(source: SimulatedSource) -> Validated:
    raw = everything(source).with_columns(ingested_at=pl.lit(datetime(2041, 1, 1, tzinfo=UTC)))
    calendar = Calendar.of(source.market.calendar)
    return validate(
        raw,
        pl.DataFrame(schema=_BEFORE),
        source.corporate_actions(None),
        calendar,
        source.market.timeframe,
        source.market,
    )


def marked(source: SimulatedSource) -> pl.DataFrame:
    """Adjusted open and close with session_date, session, and `first`: whether a bar is its
    symbol's first of the session.
    """
    bars = validated(source).bars.drop("session")
    rows = Calendar.of(source.market.calendar).with_session(bars, source.market.timeframe)
    factor = pl.col("adjustment_factor")
    return rows.with_columns(
        open=pl.col("open") * factor,
        close=pl.col("close") * factor,
        first=(pl.col("session_date") != pl.col("session_date").shift(1).over("symbol")).fill_null(
            value=True
        ),
    )
