"""A small simulated market behind a local Alpaca server, and sources that ask it over real
connections.
"""

from collections.abc import Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime
from functools import cache
from typing import Any

import polars as pl
from market.simulated_worlds import EVER, world

from harmony_pipeline.exchange import wire
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.source_settings import RetrySettings
from harmony_pipeline.market.sources.alpaca.client import AlpacaClient
from harmony_pipeline.market.sources.alpaca.source import AlpacaSource
from harmony_pipeline.testing.servers.alpaca import ENVIRONMENT, AlpacaServer

START, END = datetime(2023, 1, 4, tzinfo=UTC), datetime(2023, 1, 6, tzinfo=UTC)
NOW = datetime(2023, 2, 1, 15, 0, tzinfo=UTC)
FIRST_DAY = date(2023, 1, 3)


@cache
def _simulated():
    return world(
        start=FIRST_DAY, end=date(2023, 1, 6), timeframe="1Min", symbols=3, low_float_symbols=1
    )


@cache
def minutes() -> pl.DataFrame:
    """Three sessions of minute bars of four symbols."""
    return _simulated().bars(None, *EVER, "1Min")


@cache
def every_size() -> pl.DataFrame:
    """The minutes, and the same market in longer bars."""
    return pl.concat(
        [minutes(), *(_simulated().bars(None, *EVER, size) for size in ("15Min", "1Hour", "1Day"))]
    )


def symbols() -> list[str]:
    return sorted(minutes()["symbol"].unique())


def as_received(bars: pl.DataFrame, origin: str = "iex raw") -> pl.DataFrame:
    """What a source of this server should hand out for `bars`."""
    return bars.with_columns(source=pl.lit("alpaca"), origin=pl.lit(origin)).sort(
        "symbol", "timestamp"
    )


def market(**more: Any) -> MarketSettings:
    quick = RetrySettings(attempts=6, base_seconds=0.001, cap_seconds=0.01, limit_seconds=20.0)
    return MarketSettings(
        **{
            "source": "alpaca",
            "timeframe": "1Min",
            "start": FIRST_DAY,
            "end": None,
            "patience": quick,
            **more,
        }
    )


def source_of(
    server: AlpacaServer,
    *,
    environment: Mapping[str, str] = ENVIRONMENT,
    market_settings: MarketSettings | None = None,
    talk: Mapping[str, Any] | None = None,
    **settings: Any,
) -> AlpacaSource:
    """A source that talks to `server` and takes its time for the present; `talk` goes to
    AlpacaClient (clock, sleep).
    """
    chosen = server.settings(
        **{
            "requests_per_minute": 100_000,
            "read_timeout_seconds": 5.0,
            "stream_gather_seconds": 0.05,
            **settings,
        }
    )
    whole = market_settings or market()
    client = AlpacaClient(chosen, whole.patience, environment=environment, **(talk or {}))
    return AlpacaSource(chosen, whole, client=client, now=lambda: server.now)


@contextmanager
def serving(bars: pl.DataFrame | None = None, now: datetime = NOW, **more: Any):
    """A running server over `bars` (the minutes, when not given)."""
    frame = minutes() if bars is None else bars
    with AlpacaServer(
        frame,
        now,
        **{"assets": wire.asset_rows(sorted(frame["symbol"].unique()), ["GONE"]), **more},
    ) as server:
        yield server
