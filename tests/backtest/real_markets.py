"""Two years of real hourly bars, with Apple's 7-for-1 split and both companies' dividends."""

from datetime import UTC, datetime

import polars as pl
from backtest.random_markets import CALENDAR, TIMEFRAME, Market
from market.raw_rows import NOTHING_BEFORE

from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.validation.validate import validate
from harmony_pipeline.schemas import CORPORATE_ACTIONS, RAW_BARS

START, END = datetime(2013, 8, 1, tzinfo=UTC), datetime(2015, 1, 1, tzinfo=UTC)


def apple_and_ibm(market_data):
    """The market of two years, with signals by the trend of ten bars."""
    folder = market_data / "us_equity_hourly"
    frames = [
        pl.read_csv(folder / f"{symbol}.csv", try_parse_dates=True).with_columns(
            symbol=pl.lit(symbol)
        )
        for symbol in ("AAPL", "IBM")
    ]
    raw = pl.concat(frames).with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC")),
        pl.col("open", "high", "low", "close", "volume").cast(pl.Float64),
    )
    rows = raw.filter(pl.col("timestamp").is_between(START, END, closed="left")).with_columns(
        timeframe=pl.lit(TIMEFRAME),
        source=pl.lit("files"),
        origin=pl.lit("us_equity_hourly"),
        ingested_at=pl.lit(END),
        row=pl.int_range(pl.len()).over("symbol"),
    )
    actions = (
        pl.read_csv(folder / "corporate_actions.csv", try_parse_dates=True)
        .filter(pl.col("symbol").is_in(["AAPL", "IBM"]))
        .select("symbol", "date", "kind", pl.col("value").cast(pl.Float64))
    )
    bars = validate(
        RAW_BARS.conform(rows),
        NOTHING_BEFORE,
        CORPORATE_ACTIONS.conform(actions),
        CALENDAR,
        TIMEFRAME,
        MarketSettings(),
    ).bars
    adjusted = (pl.col("close") * pl.col("adjustment_factor")).log().diff().over("symbol")
    signals = bars.with_columns(move=adjusted).with_columns(
        volatility=pl.col("move").rolling_std(20).over("symbol"),
        trend=pl.col("move").rolling_sum(10).over("symbol"),
    )
    signals = signals.drop_nulls("volatility").select(
        "symbol", "timestamp", side=pl.col("trend").sign().cast(pl.Int8), strength=pl.lit(1.0),
        volatility="volatility", probability=pl.lit(None, dtype=pl.Float64),
        model_id=pl.lit(None, dtype=pl.String)
    )  # fmt: skip
    return Market(bars.filter(pl.col("session") == "regular"), signals, actions)
