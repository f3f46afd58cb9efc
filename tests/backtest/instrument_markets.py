"""Small markets of any instrument on any calendar, every price on the tick, made from one seed."""

from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

import numpy as np
import polars as pl

from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.instruments import Instrument, Instruments
from harmony_pipeline.market.steps import tick_fraction
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.settings import BacktestSettings
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.schemas import TABLES
from harmony_pipeline.strategies.settings import StrategySettings

TIMEFRAME = "1Hour"
FIRST = date(2024, 6, 24)


@dataclass(frozen=True)
class Traded:
    """An instrument with what its bars look like."""

    terms: Instrument
    price: float
    volume: float = 5000.0  # mean of a bar, in lots
    scale: float = 0.006  # deviation of an hour's return


def terms(symbol: str, **changes: object) -> Instrument:
    return Instrument(symbol, **{"small_tick_size": None, "small_tick_below": None, **changes})  # type: ignore[arg-type]


EURUSD = Traded(
    terms("EURUSD", asset_class="fx", tick_size=0.00001, volume="indicative"), 1.0878, 0.0, 0.0006
)
USDJPY = Traded(
    terms(
        "USDJPY",
        asset_class="fx",
        tick_size=0.001,
        currency="JPY",
        fee_unit=1.0,
        volume="indicative",
    ),
    151.2,
    0.0,
    0.0006,
)
SHIB = Traded(
    terms("SHIB/USDT", asset_class="crypto", tick_size=1e-8, fee_unit=0.0001), 0.00002345, 2e7, 0.01
)
BTC = Traded(
    terms("BTC/USD", asset_class="crypto", tick_size=0.01, lot_size=1e-8, minimum_notional=10.0),
    61_234.56,
    5e8,
    0.006,
)
ES = Traded(
    terms("ES", asset_class="future", tick_size=0.25, multiplier=50.0), 4790.0, 5000.0, 0.002
)
BOND = Traded(
    terms("ZB", asset_class="future", tick_size=1 / 32, multiplier=1000.0), 118.03125, 5000.0, 0.002
)
NSE = Traded(terms("RELIANCE", asset_class="equity", tick_size=0.05, currency="INR"), 2904.35)
TOKYO = Traded(
    terms(
        "7203",
        asset_class="equity",
        tick_size=0.5,
        lot_size=100.0,
        currency="JPY",
        fee_unit=1.0,
        shortable=False,
    ),
    2850.5,
    80.0,
)
US = Traded(Instrument("AAPL"), 187.23)
PENNY = Traded(Instrument("SNDL"), 1.003, 50_000.0, 0.03)  # crosses the border of the smaller tick
MARKETS = {
    "FX": (EURUSD, USDJPY),
    "24/7": (SHIB, BTC),
    "CMES": (ES, BOND),
    "XBOM": (NSE,),
    "XTKS": (TOKYO,),
    "XNYS": (US, PENNY),
}


@cache
def stamps(calendar: str, days: int) -> pl.DataFrame:
    """timestamp, session_date, bar_end of the regular hours of some sessions."""
    exchange = Calendar.of(calendar)
    sessions = exchange.sessions(FIRST, FIRST + timedelta(days=2 * days + 4))[:days]
    begin, end = exchange.session_open(sessions[0]), exchange.session_close(sessions[-1])
    first = begin.replace(minute=0)
    hours = pl.DataFrame(
        {"timestamp": pl.datetime_range(first, end, "1h", time_unit="us", eager=True)}
    )
    placed = exchange.with_session(hours, TIMEFRAME)
    return placed.filter((pl.col("session") == "regular") & pl.col("session_date").is_in(sessions))


def bars(calendar: str, traded: tuple[Traded, ...], seed: int, days: int = 4) -> pl.DataFrame:
    """BARS whose prices are whole ticks and never below one."""
    hours = stamps(calendar, days)
    frames = []
    for one in traded:
        own = np.random.default_rng([seed, *one.terms.symbol.encode()])
        path = np.log(one.price) + np.cumsum(
            own.normal(0, one.scale, (hours.height, 4)).ravel() / 2
        ).reshape(-1, 4)
        found = np.vectorize(lambda price, own=one: on_tick(own.terms, price))(np.exp(path))
        volume = (
            np.floor(own.exponential(one.volume, hours.height)) * one.terms.lot_size
            if one.volume
            else np.zeros(hours.height)
        )
        volume[own.random(hours.height) < 0.1] = 0.0
        frames.append(
            hours.select("timestamp").with_columns(
                symbol=pl.lit(one.terms.symbol),
                timeframe=pl.lit(TIMEFRAME),
                session=pl.lit("regular"),
                open=found[:, 0],
                high=found.max(axis=1),
                low=found.min(axis=1),
                close=found[:, 3],
                volume=volume,
                adjustment_factor=pl.lit(1.0),
            )
        )
    return TABLES["bars"].conform(pl.concat(frames))


def on_tick(of: Instrument, price: float) -> float:
    """The nearest price of the instrument, by decimal arithmetic."""
    small = of.small_tick_size is not None and price < (of.small_tick_below or 0.0)
    tick = tick_fraction(of.small_tick_size if small and of.small_tick_size else of.tick_size)
    return float(max(1, round(price / float(tick))) * tick)


def signals(table: pl.DataFrame, seed: int, scale: float) -> pl.DataFrame:
    """Sides at random, strong and weak."""
    own = np.random.default_rng(seed + 1)
    said = table.select("symbol", "timestamp").filter(pl.Series(own.random(table.height) < 0.6))
    return said.with_columns(
        side=pl.Series(own.choice([-1, 0, 1], said.height).astype(np.int8)),
        strength=pl.Series(own.choice([1.0, 0.4], said.height)),
        volatility=pl.lit(scale),
        probability=pl.lit(None, pl.Float64),
        model_id=pl.lit(None, pl.String),
    )


def rules(
    traded: tuple[Traded, ...],
    exits: str = "barriers",
    cash: float = 2_000_000.0,
    **changes: object,
) -> TradingRules:
    """The trading rule over these instruments; `changes` go to the costs, the risk or the luck."""
    parts = [
        settings(
            **{name: value for name, value in changes.items() if name in settings.model_fields}
        )
        for settings in (RiskSettings, CostSettings, ExecutionNoiseSettings)
    ]
    strategy = StrategySettings(use="tests:none", exits=exits, horizon_bars=5)  # type: ignore[arg-type]
    known = Instruments.of(one.terms for one in traded)
    return TradingRules.of(
        *parts, LabelSettings(), strategy, BacktestSettings(initial_cash=cash), known
    )  # type: ignore[arg-type]
