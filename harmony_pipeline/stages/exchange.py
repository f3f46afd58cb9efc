"""The simulated exchange over the lake's bars of some days."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import polars as pl

from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.exchange.market import ReplayMarket
from harmony_pipeline.exchange.server import ExchangeServer
from harmony_pipeline.exchange.store import Store
from harmony_pipeline.exchange.venue import Venue
from harmony_pipeline.execution.coins import is_pair
from harmony_pipeline.market.instrument_defaults import asset_class_of
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES
from harmony_pipeline.session.plan import SCALE
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.session_plans import day_start
from harmony_pipeline.stages.trading_rules import trading_rules

_LONGER_WAITS = 3.0  # times `decision_seconds`: a session hears of a longer bar later, by the clock
_COLUMNS = ("symbol", "timestamp", "open", "high", "low", "close", "volume", "adjustment_factor")


def exchange_over(
    pipeline: PipelineContext,
    days: Sequence[date],
    keys: tuple[str, str],
    *,
    file: Path | None,
    speed: float | None = None,
    port: int | None = None,
) -> ExchangeServer:
    """A server that replays these days with the costs and the noise of the session's strategy.
    `file` keeps orders and fills over restarts; one that was kept goes on. Raises NotReady without
    bars, ConfigError for daily ones.
    """
    settings = pipeline.settings.exchange
    if pipeline.timeframe in LONG_TIMEFRAMES:
        raise ConfigError(
            f"market.timeframe is {pipeline.timeframe}: an exchange replays bars within a day, such"
            " as 1Min or 15Min (examples/us_equity_minute.toml)"
        )
    _require_pairs(pipeline)
    market = ReplayMarket(_bars(pipeline, days), pipeline.calendar, pipeline.timeframe)
    venue = Venue(
        market,
        trading_rules(pipeline, pipeline.settings.session.strategy),
        multiplier=settings.multiplier,
        seed=settings.seed,
        store=Store(file),
    )
    return ExchangeServer(
        venue,
        keys,
        speed=settings.speed if speed is None else speed,
        port=settings.port if port is None else port,
        requests_per_minute=settings.requests_per_minute,
        decision_seconds=settings.decision_seconds
        * (1.0 if pipeline.timeframe == "1Min" else _LONGER_WAITS),
        bars_behind_seconds=settings.bars_behind_seconds,
        slot_hold_seconds=settings.slot_hold_seconds,
    )


def _require_pairs(pipeline: PipelineContext) -> None:
    """Raises ConfigError for coins that are not named as Alpaca names them."""
    symbols = pipeline.settings.market.symbols
    for symbol in symbols:
        if asset_class_of(symbol, pipeline.settings.market) == "crypto" and not is_pair(symbol):
            raise ConfigError(
                f"market.symbols: {symbol} is no pair as Alpaca names it: write it like BTC/USD"
            )


def _bars(pipeline: PipelineContext, days: Sequence[date]) -> pl.DataFrame:
    """The lake's bars of the days, with the volatility that impact is estimated from."""
    begin = day_start(pipeline, days[0])
    end = day_start(pipeline, pipeline.calendar.next_session(days[-1]))
    periods = pipeline.overlapping(begin, end)
    within = (pl.col("timestamp") >= begin) & (pl.col("timestamp") < end)
    bars = (
        pipeline.lake.scan("bars", periods)
        .filter(within)
        .select(_COLUMNS)
        .collect(engine="in-memory")
    )
    if bars.is_empty():
        raise NotReady(
            f"the lake has no bars of {days[0]}: make some with: harmony ingest, or choose a day"
            " with --date"
        )
    known = set(pipeline.lake.partitions("features"))
    if not known.issuperset(periods) or SCALE not in pipeline.feature_set.names:
        return bars
    scale = (
        pipeline.lake.scan("features", periods)
        .filter(within)
        .select("symbol", "timestamp", volatility=pl.col(SCALE))
        .collect(engine="in-memory")
    )
    return bars.join(scale, on=["symbol", "timestamp"], how="left", maintain_order="left")
