"""Small nasty markets with everything that can go wrong, made from one seed; and the two ways to
run them.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Any

import numpy as np
import polars as pl
from backtest.naive import Naive

from harmony_pipeline.backtest.simulator import BacktestResult, run_backtest
from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.lives import LIFE_EVENTS, empty_events
from harmony_pipeline.market.sectors import Sectors
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.settings import BacktestSettings
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.strategies.settings import StrategySettings

CALENDAR = Calendar.of("XNYS")
TIMEFRAME = "1Hour"
FIRST = date(2024, 6, 27)  # with a half-day (3 July), a holiday (4 July) and a weekend to come
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SYMBOLS = ("AAA", "BBB", "CCC", "DDD")


@dataclass(frozen=True)
class Market:
    """Frames as run_backtest takes them."""

    bars: pl.DataFrame
    signals: pl.DataFrame
    actions: pl.DataFrame
    lives: pl.DataFrame = field(default_factory=empty_events)

    def before(self, moment: datetime) -> "Market":
        return Market(
            self.bars.filter(pl.col("timestamp") < moment),
            self.signals.filter(pl.col("timestamp") < moment),
            self.actions,
            self.lives,
        )

    def only(self, first: datetime, end: datetime) -> "Market":
        inside = pl.col("timestamp").is_between(first, end, closed="left")
        return Market(
            self.bars.filter(inside), self.signals.filter(inside), self.actions, self.lives
        )


def with_lives(market: Market, seed: int, events: int = 4) -> Market:
    """The market with delistings, changes of symbol and symbols used again on random days; bars
    mostly follow a change, sometimes they do not.
    """
    own = np.random.default_rng([seed, 77])
    days = market.bars["timestamp"].dt.date().unique().sort().to_list()
    bars, signals, rows = market.bars, market.signals, {}
    for _ in range(events):
        day = (
            days[int(own.integers(1, len(days)))]
            if own.random() < 0.8
            else days[-1] + timedelta(days=1)
        )
        symbol = str(own.choice([*SYMBOLS, "EEE"]))
        kind = str(own.choice(["delisting", "symbol_change", "symbol_change", "listing"]))
        successor = (
            str(own.choice([name for name in (*SYMBOLS, "EEE", "ZZZ") if name != symbol]))
            if kind == "symbol_change"
            else None
        )
        if (day, symbol) in rows or (
            successor
            and any(
                # two securities that become one symbol on one day: docs/trading-rule.md
                at == day and (to in (symbol, successor) or name == successor)
                for (at, name), (_, to, _) in rows.items()
            )
        ):
            continue
        recovery = (
            float(own.choice([0.0, 0.5, 7.25]))
            if kind == "delisting" and own.random() < 0.4
            else None
        )
        rows[day, symbol] = (kind, successor, recovery)
        gone, follows = (
            (pl.col("symbol") == symbol) & (pl.col("timestamp").dt.date() >= day),
            own.random() < 0.7,
        )
        if kind == "delisting" and follows:
            bars, signals = bars.filter(~gone), signals.filter(~gone)
        if kind == "symbol_change" and follows:  # the factor of the new symbol begins at 1
            begun = bars.filter(gone).sort("timestamp").head(1)["adjustment_factor"]
            scale = begun[0] if len(begun) else 1.0
            factor = (
                pl.when(gone)
                .then(pl.col("adjustment_factor") / scale)
                .otherwise("adjustment_factor")
            )
            taken = (pl.col("symbol") == successor) & (pl.col("timestamp").dt.date() >= day)
            bars, signals = bars.filter(~taken), signals.filter(~taken)
            bars = bars.with_columns(
                adjustment_factor=factor,
                symbol=pl.when(gone).then(pl.lit(successor)).otherwise("symbol"),
            )
            signals = signals.with_columns(
                symbol=pl.when(gone).then(pl.lit(successor)).otherwise("symbol")
            )
    listed = [
        (day, kind, symbol, successor, recovery)
        for (day, symbol), (kind, successor, recovery) in rows.items()
    ]
    order = {"delisting": 0, "symbol_change": 1, "listing": 2}
    listed.sort(key=lambda row: (row[0], order[row[1]], row[2]))
    return Market(
        bars.sort("symbol", "timestamp"),
        signals.sort("symbol", "timestamp"),
        market.actions,
        pl.DataFrame(listed, schema=LIFE_EVENTS, orient="row"),
    )


def rules(
    risk: dict | None = None,
    costs: dict | None = None,
    luck: dict | None = None,
    labels: dict | None = None,
    exits: str = "barriers",
    horizon: int = 4,
    cash: float = 100_000.0,
    sectors: tuple[tuple[str, date, str], ...] = (),
    bracket: dict | None = None,
    own: dict | None = None,
    **lives: Any,
) -> TradingRules:
    """Rules with the given numbers; the rest by default. bracket, own: what the strategy has of its
    own of labels and risk.
    """
    strategy = StrategySettings(
        use="tests:none", exits=exits, horizon_bars=horizon, bracket=bracket or {}, risk=own or {}
    )
    parts = (
        RiskSettings(**(risk or {})),
        CostSettings(**(costs or {})),
        ExecutionNoiseSettings(**(luck or {})),
        LabelSettings(**(labels or {})),
    )
    backtest = BacktestSettings(initial_cash=cash, **lives)
    return TradingRules.of(
        *parts, strategy, backtest, sectors=Sectors(sectors),
        bars_per_session=CALENDAR.bars_per_session(TIMEFRAME),
    )  # fmt: skip


# up to where each of several outcomes reaches in [0, 1)
_SIDES, _VOLATILITIES, _STRENGTHS = (
    tuple(accumulate(chances))
    for chances in ((0.35, 0.3, 0.35), (0.5, 0.2, 0.2, 0.05, 0.05), (0.6, 0.35, 0.05))
)


def _drawn(own: np.random.Generator, reaches: Sequence[float]) -> int:
    """The number of an outcome: `own.choice` of chances takes twenty times as long."""
    return bisect_right(reaches, own.random() * reaches[-1])


def _random_signal(
    own: np.random.Generator, scale: float
) -> tuple[int, float, float, float | None, str | None]:
    """Side, strength, volatility, probability and model."""
    side = (-1, 0, 1)[_drawn(own, _SIDES)]
    volatility = (scale, scale / 3, 3 * scale, 0.0, np.nan)[_drawn(own, _VOLATILITIES)]
    probability = None if own.random() < 0.5 else float(own.uniform(0.2, 0.9))
    strength = (1.0, 0.5, 0.0)[_drawn(own, _STRENGTHS)]
    return (
        side,
        strength,
        volatility,
        probability,
        None if probability is None else f"m{int(own.integers(3))}",
    )


def random_market(
    seed: int,
    days: int = 7,
    symbols: tuple[str, ...] = SYMBOLS,
    missing: float = 0.1,
    volume: float = 3000.0,
    scale: float = 0.02,
) -> Market:
    """Hourly bars with gaps, holes, empty bars, splits both ways, dividends, signals that come and
    go and are sometimes nonsense.
    """
    sessions = CALENDAR.sessions(FIRST, FIRST + timedelta(days=3 * days))[:days]
    stamps = [
        (day, CALENDAR.session_open(day).replace(minute=0) + timedelta(hours=hour))
        for day in sessions
        for hour in range(7)
    ]
    stamps = [(day, at) for day, at in stamps if at < CALENDAR.session_close(day)]
    bars, signals, actions = [], [], []
    for symbol in symbols:
        # so that a symbol is the same whoever else is there
        own = np.random.default_rng([seed, *symbol.encode()])
        price, factor, today = float(own.choice([0.7, 3.0, 20.0, 55.0, 400.0])), 1.0, None
        for day, at in stamps:
            if day != today:
                today = day
                price *= float(np.exp(own.normal(0, 2 * scale)))
                if own.random() < 0.15:
                    cash = round(price * float(own.uniform(0.005, 0.05)), 4)
                    actions.append((symbol, day, "dividend", cash))
                    factor *= price / (price - cash)
                    price -= cash
                if own.random() < 0.15:
                    ratio = float(own.choice([2.0, 1.5, 0.5, 0.1, 1 / 3]))
                    actions.append((symbol, day, "split", ratio))
                    price, factor = price / ratio, factor * ratio
            moves = price * np.exp(np.cumsum(own.normal(0, scale / 2, 4)))
            digits = 2 if price >= 1 else 4
            opening, *inside, closing = (
                max(round(float(move), digits), 10.0**-digits) for move in moves
            )
            price = closing
            silent = own.random()
            size = 0.0 if own.random() < 0.05 else float(np.floor(own.exponential(volume)))
            if silent < missing:
                continue
            everything = [opening, closing, *inside]
            bars.append(
                (
                    symbol,
                    TIMEFRAME,
                    at,
                    "regular",
                    opening,
                    max(everything),
                    min(everything),
                    closing,
                    size,
                    None,
                    None,
                    factor,
                )
            )
            if own.random() < 0.7:
                signals.append((symbol, at, *_random_signal(own, scale)))
    stamp = pl.Datetime("us", "UTC")
    return Market(
        pl.DataFrame(
            bars,
            schema={
                "symbol": pl.String, "timeframe": pl.String, "timestamp": stamp,
                "session": pl.String, "open": pl.Float64, "high": pl.Float64, "low": pl.Float64,
                "close": pl.Float64, "volume": pl.Float64, "trade_count": pl.Float64,
                "vwap": pl.Float64, "adjustment_factor": pl.Float64,
            },
            orient="row",
        ),
        pl.DataFrame(
            signals,
            schema={"symbol": pl.String, "timestamp": stamp, "side": pl.Int8, "strength": pl.Float64, "volatility": pl.Float64, "probability": pl.Float64, "model_id": pl.String},
            orient="row",
        ),
        pl.DataFrame(actions, schema={"symbol": pl.String, "date": pl.Date, "kind": pl.String, "value": pl.Float64}, orient="row"),
    )  # fmt: skip


def run(market: Market, chosen: TradingRules, state=None, backtest_id: str = "b") -> BacktestResult:
    return run_backtest(
        market.bars,
        market.signals,
        market.actions,
        chosen,
        CALENDAR,
        TIMEFRAME,
        state,
        backtest_id=backtest_id,
        strategy="s",
        lives=market.lives,
    )


def run_naive(market: Market, chosen: TradingRules) -> Naive:
    """The same by tests/backtest/naive.py; session dates and bar ends by hand: regular hours of
    XNYS in summer are 13:30 to 20:00 UTC, to 17:00 on 3 July.
    """
    said = {(row["symbol"], row["timestamp"]): row for row in market.signals.iter_rows(named=True)}
    listed = []
    for bar in market.bars.sort("timestamp", "symbol").iter_rows(named=True):
        signal = said.get((bar["symbol"], bar["timestamp"]), {})
        end = bar["timestamp"] + timedelta(hours=1)
        row = {name: bar[name] for name in ("symbol", "open", "high", "low", "close", "volume")}
        row |= {
            "at": micros(bar["timestamp"]),
            "end": micros(end),
            "date": bar["timestamp"].date(),
            "factor": bar["adjustment_factor"],
        }
        row |= {
            "signal": signal.get("side"),
            "strength": signal.get("strength"),
            "volatility": signal.get("volatility"),
        }
        row |= {"probability": signal.get("probability"), "model": signal.get("model_id")}
        listed.append(row)
    flat = chosen.risk.model_dump() | chosen.costs.model_dump() | chosen.luck.model_dump()
    flat["lot_size"] = flat["lot_size"] or 1.0
    flat["sectors"] = chosen.sectors.rows
    own = (
        "barriers",
        "horizon",
        "profit_take",
        "stop_loss",
        "minimum_barrier_bps",
        "vertical_sessions",
        "close_touch",
        "entry_at_close",
        "delisting_recovery",
        "presume_delisted_after_sessions",
    )
    flat |= {name: getattr(chosen, name) for name in own}
    last = listed[-1]["date"]
    moved = {
        (day, symbol): successor
        for day, kind, symbol, successor, _ in market.lives.rows()
        if kind == "symbol_change"
    }
    actions = {
        (moved.get((day, symbol), symbol), day, kind): value
        for symbol, day, kind, value in sorted(
            market.actions.rows(), key=lambda a: (a[1], a[0]) not in moved
        )
    }
    actions |= {
        (symbol, day, kind): value
        for symbol, day, kind, value in market.actions.rows()
        if (day, symbol) not in moved
    }
    symbols = {
        *market.bars["symbol"],
        *market.lives["symbol"],
        *market.lives["successor"].drop_nulls(),
    }
    naive = Naive(flat, symbols, chosen.initial_cash)
    return naive.run(
        listed,
        [(*key, value) for key, value in actions.items()],
        [row for row in market.lives.rows() if row[0] <= last],
    )


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def shuffled_names(market: Market, names: dict[str, str]) -> Market:
    """The same market with other symbols' names."""
    return replace(
        market,
        **{
            name: getattr(market, name).with_columns(pl.col("symbol").replace(names))
            for name in ("bars", "signals", "actions")
        },
    )
