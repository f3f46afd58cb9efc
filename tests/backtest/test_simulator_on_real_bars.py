"""Two years of real hourly bars, with Apple's 7-for-1 split and both companies' dividends: the
twins agree and a year cut in days is the same year.
"""

from datetime import UTC, datetime

import polars as pl
import pytest
from backtest.naive import Naive
from backtest.random_markets import CALENDAR, TIMEFRAME, Market, micros, rules, run
from market.raw_rows import NOTHING_BEFORE

from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.validation.validate import validate
from harmony_pipeline.schemas import CORPORATE_ACTIONS, RAW_BARS

START, END = datetime(2013, 8, 1, tzinfo=UTC), datetime(2015, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def market(market_data):
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


@pytest.mark.parametrize("exits", ["barriers", "signal"])
def test_real_bars_give_the_same_trades_to_the_plain_simulator(market, exits):
    chosen = rules(exits=exits, horizon=16)
    result = run(market, chosen)
    said = {(row["symbol"], row["timestamp"]): row for row in market.signals.iter_rows(named=True)}
    listed = []
    for bar in (
        CALENDAR.with_session(market.bars, TIMEFRAME)
        .sort("timestamp", "symbol")
        .iter_rows(named=True)
    ):
        signal = said.get((bar["symbol"], bar["timestamp"]), {})
        row = {name: bar[name] for name in ("symbol", "open", "high", "low", "close", "volume")}
        row |= {
            "at": micros(bar["timestamp"]),
            "end": micros(bar["bar_end"]),
            "date": bar["session_date"],
            "factor": bar["adjustment_factor"],
        }
        listed.append(
            row
            | {
                "signal": signal.get("side"),
                "strength": signal.get("strength"),
                "volatility": signal.get("volatility"),
                "probability": None,
                "model": None,
            }
        )
    flat = chosen.risk.model_dump() | chosen.costs.model_dump() | chosen.luck.model_dump()
    flat["lot_size"] = 1.0
    flat |= {
        name: getattr(chosen, name)
        for name in ("barriers", "horizon", "profit_take", "stop_loss", "minimum_barrier_bps")
    }
    flat |= {
        name: getattr(chosen, name)
        for name in ("delisting_recovery", "presume_delisted_after_sessions")
    }
    naive = Naive(flat, ["AAPL", "IBM"], chosen.initial_cash).run(listed, market.actions.rows())
    assert result.equity["equity"].to_list() == [equity / 10_000 for _, equity, *_ in naive.curve]
    assert sorted(result.fills.select("fill_id", "quantity", "price").rows()) == sorted(
        (fill[0], fill[4], fill[5]) for fill in naive.fills
    )
    assert result.trades.height > 100


def test_a_position_is_carried_through_apples_split(market):
    split = datetime(2014, 6, 9, tzinfo=UTC)
    long = market.signals.with_columns(side=pl.lit(1, dtype=pl.Int8)).filter(
        pl.col("timestamp") > datetime(2014, 5, 1, tzinfo=UTC)
    )
    result = run(Market(market.bars, long, market.actions), rules(exits="signal"))
    trade = result.trades.filter(pl.col("symbol") == "AAPL").row(0, named=True)
    held = result.state.portfolio.positions[result.state.symbols.index("AAPL")]["quantity"]
    assert held == 7.0 * trade["quantity"]
    around = result.equity.filter(
        pl.col("timestamp").is_between(split.replace(day=6), split.replace(day=10))
    )
    assert (around["equity"].pct_change().drop_nulls().abs() < 0.01).all()
    # the summer's dividends on the shares that were held then: 0.47 a share of the new ones, and
    # IBM's
    assert (
        result.equity["cash"]
        .diff()
        .filter(
            result.equity["timestamp"].is_between(
                datetime(2014, 8, 7, tzinfo=UTC), datetime(2014, 8, 8, tzinfo=UTC)
            )
        )
        .max()
        > 0.4 * held
    )
