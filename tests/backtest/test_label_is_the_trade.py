"""The label is the trade: without costs, every closed bracket trade ended as its label says."""

import polars as pl
import pytest
from backtest.random_markets import CALENDAR, TIMEFRAME, Market, random_market, rules, run
from backtest.real_markets import apple_and_ibm
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.labels.labelling import label_events
from harmony_pipeline.labels.settings import LabelSettings

FREE = {
    "half_spread_bps": 0.0,
    "impact_coefficient": 0.0,
    "sell_fee_bps": 0.0,
    "max_participation": 1.0,
    "lot_size": 1e-6,
}
UNBOUND = {
    "max_daily_loss": 1.0,
    "max_drawdown": 1.0,
    "minimum_order_value": 0.0,
    "max_gross_exposure": 50.0,
    "max_net_exposure": 50.0,
    "max_open_positions": 99,
}


@pytest.fixture(scope="module")
def real_market(market_data):
    return apple_and_ibm(market_data)


OPTIONS = [
    (vertical, touch, entry)
    for vertical in ("bars", "sessions")
    for touch in ("high_low", "close")
    for entry in ("open", "close")
]


@settings(max_examples=16)
@given(
    seed=st.integers(0, 10**6),
    horizon=st.sampled_from([1, 4, 9]),
    minimum=st.sampled_from([0.0, 15.0, 300.0]),
    options=st.sampled_from(OPTIONS),
)
def test_trades_end_when_how_and_where_their_labels_do(seed, horizon, minimum, options):
    horizon = min(horizon, 2) if options[0] == "sessions" else horizon
    walk_both(random_market(seed, volume=1e9), horizon, minimum, *options)


@pytest.mark.parametrize(("vertical", "touch", "entry"), OPTIONS)
def test_on_real_bars_too(real_market, vertical, touch, entry):
    horizon = 3 if vertical == "sessions" else 12
    reasons = walk_both(real_market, horizon, 15.0, vertical, touch, entry)
    assert {"vertical", "stop", "take"} <= reasons


def walk_both(market, horizon, minimum, vertical, touch, entry):
    """Compare every closed trade of the simulator with its label; returns how the trades ended."""
    bars = market.bars.with_columns(volume=pl.lit(1e9))
    usable = market.signals.filter(
        pl.col("side") != 0,
        pl.col("volatility") > 0.0,
        pl.col("volatility").is_finite(),
        pl.col("strength") > 0.0,
    )
    usable = usable.with_columns(probability=pl.lit(None, dtype=pl.Float64))
    barriers = {
        "profit_take": 1.5, "stop_loss": 1.0, "minimum_barrier_bps": minimum,
        "vertical": vertical, "touch": touch, "entry": entry,
    }  # fmt: skip
    labels = label_events(
        bars,
        usable.select("symbol", "timestamp", "side", "volatility"),
        LabelSettings(horizons_bars=(horizon,), **barriers),
        CALENDAR,
        TIMEFRAME,
    ).table
    result = run(
        Market(bars, usable, market.actions),
        rules(UNBOUND, FREE, labels=barriers, horizon=horizon),
    )
    entries = result.orders.filter(pl.col("parent_id").is_null()).select(
        "symbol", entry_order="order_id", timestamp="signal_timestamp"
    )
    forces = result.orders.filter(pl.col("parent_id").is_null())["time_in_force"]
    assert set(forces) <= {"cls" if entry == "close" else "ioc"}
    legs = (
        result.orders.filter(pl.col("kind") != "market")
        .group_by("parent_id")
        .agg(limit=pl.col("limit_price").max(), stop=pl.col("stop_price").max())
    )
    assert legs.is_empty() == (touch == "close" or result.trades.is_empty())
    ends = CALENDAR.with_session(bars.select("symbol", "timestamp"), TIMEFRAME).select(
        "symbol", exit_timestamp="timestamp", ended="bar_end"
    )
    closed = (
        result.trades.filter(
            pl.col("exit_timestamp").is_not_null() & (pl.col("exit_reason") != "cash_in_lieu")
        )
        .with_columns(entry_order=pl.col("trade_id") + "-entry")
        .join(entries, on=["symbol", "entry_order"])
        .join(legs, left_on="entry_order", right_on="parent_id", how="left")
        .join(ends, on=["symbol", "exit_timestamp"])
        .join(labels, on=["symbol", "timestamp"], suffix="_label")
    )
    assert (
        closed.height
        == result.trades.filter(
            pl.col("exit_timestamp").is_not_null() & (pl.col("exit_reason") != "cash_in_lieu")
        ).height
    )
    long = pl.col("side") == "long"
    upper, lower = (
        pl.when(long).then("limit").otherwise("stop"),
        pl.when(long).then("stop").otherwise("limit"),
    )
    touched = (
        pl.when(pl.col("exit_reason") == "vertical")
        .then(pl.lit("vertical"))
        .when((pl.col("exit_reason") == "take") == long)
        .then(pl.lit("upper"))
        .otherwise(pl.lit("lower"))
    )
    placed = pl.lit(value=touch == "high_low")
    legs_differ = (
        pl.col("limit").is_null()
        | (upper != pl.col("upper_barrier"))
        | (lower.clip(lower_bound=0.0001) != pl.col("lower_barrier").clip(lower_bound=0.0001))
    )
    differing = closed.filter(
        (pl.col("ended") != pl.col("end_timestamp"))
        | (pl.col("entry_timestamp") != pl.col("entry_timestamp_label"))
        | (touched != pl.col("touched"))
        | (placed & legs_differ)
    )
    assert differing.is_empty()
    reference = result.fills.filter(pl.col("order_id").str.ends_with("-entry")).select(
        entry_order="order_id", reference="reference_price"
    )
    assert (
        closed.join(reference, on="entry_order")
        .filter(pl.col("reference") != pl.col("entry_price_label"))
        .is_empty()
    )
    return set(closed["exit_reason"])
