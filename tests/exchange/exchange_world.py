"""A few minutes of a small market, an exchange over them, and alpaca-py's clients of it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.exchange.market import ReplayMarket
from harmony_pipeline.exchange.server import ExchangeServer
from harmony_pipeline.exchange.store import Store
from harmony_pipeline.exchange.venue import Venue
from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.settings import BacktestSettings
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.strategies.settings import StrategySettings

KEYS = ("PKCANARYKEY000000001", "CanarySecret0000000000000000000000000001")
CALENDAR = Calendar.of("XNYS")
DAY = date(2024, 3, 5)
OPEN = datetime(2024, 3, 5, 14, 30, tzinfo=UTC)
SYMBOLS = ("AAPL", "BBB")


def bars(
    prices: Sequence[float] = (100.0,) * 30,
    symbols: Sequence[str] = SYMBOLS,
    start: datetime = OPEN,
    spread: float = 0.05,
    volume: float = 1e6,
) -> pl.DataFrame:
    """Minutes whose open and close are `prices`, the same for every symbol."""
    rows = [
        (symbol, start + timedelta(minutes=number), price, price + spread, price - spread, price,
         volume)
        for symbol in symbols
        for number, price in enumerate(prices)
    ]  # fmt: skip
    names = ["symbol", "timestamp", "open", "high", "low", "close", "volume"]
    frame = pl.DataFrame(rows, schema=names, orient="row")
    return frame.with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")))


def walk(seed: int, minutes: int, symbols: Sequence[str] = SYMBOLS) -> pl.DataFrame:
    """A random walk of `minutes` from the open on, a cent wide."""
    generator = np.random.default_rng(seed)
    frames = []
    for symbol in symbols:
        closes = np.round(50 * np.exp(np.cumsum(generator.normal(0, 0.002, minutes))), 2)
        opens = np.round(np.concatenate([[50.0], closes[:-1]]), 2)
        wide = np.round(np.abs(generator.normal(0, 0.06, (2, minutes))), 2)
        frames.append(
            pl.DataFrame(
                {
                    "symbol": [symbol] * minutes,
                    "timestamp": [OPEN + timedelta(minutes=n) for n in range(minutes)],
                    "open": opens,
                    "high": np.round(np.maximum(opens, closes) + wide[0], 2),
                    "low": np.round(np.minimum(opens, closes) - wide[1], 2),
                    "close": closes,
                    "volume": generator.integers(20_000, 90_000, minutes).astype(float),
                }
            )
        )
    frame = pl.concat(frames)
    return frame.with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")))


def rules(**changes: Any) -> TradingRules:
    """Trading rules without spread and impact, with a fee a share; `changes` by name."""

    def chosen(model: type, **usual: Any) -> Any:
        mine = {name: value for name, value in changes.items() if name in model.model_fields}  # type: ignore[attr-defined]
        return model(**{**usual, **mine})

    return TradingRules.of(
        chosen(RiskSettings, minimum_order_value=100.0),
        chosen(CostSettings, half_spread_bps=0.0, impact_coefficient=0.0, fee_per_share=0.005),
        chosen(ExecutionNoiseSettings),
        LabelSettings(horizons_bars=(6,), profit_take=1.2, stop_loss=0.8),
        StrategySettings(use="none:None", exits="barriers"),
        chosen(BacktestSettings, initial_cash=100_000.0),
    )


def venue(frame: pl.DataFrame | None = None, path: Path | None = None, **options: Any) -> Venue:
    """An exchange without its network."""
    chosen = options.pop("rules", None) or rules()
    market = ReplayMarket(bars() if frame is None else frame, CALENDAR)
    return Venue(market, chosen, store=Store(path), **options)


def server(
    frame: pl.DataFrame | None = None,
    path: Path | None = None,
    venue_options: dict[str, Any] | None = None,
    **options: Any,
) -> ExchangeServer:
    """A stepped exchange that allows many requests."""
    made = venue(frame, path, **(venue_options or {}))
    return ExchangeServer(made, KEYS, **{"requests_per_minute": 100_000, **options})
