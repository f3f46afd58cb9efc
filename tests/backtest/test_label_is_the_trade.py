"""The label is the trade: without costs, every closed bracket trade ended as its label says."""

import polars as pl
from backtest.random_markets import CALENDAR, TIMEFRAME, Market, random_market, rules, run
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.labels.barriers import triple_barrier
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


@settings(max_examples=12)
@given(
    seed=st.integers(0, 10**6),
    horizon=st.sampled_from([1, 4, 9]),
    minimum=st.sampled_from([0.0, 15.0, 300.0]),
)
def test_trades_end_when_how_and_where_their_labels_do(seed, horizon, minimum):
    market = random_market(seed, volume=1e9)
    bars = market.bars.with_columns(volume=pl.lit(1e9))
    usable = market.signals.filter(
        pl.col("side") != 0,
        pl.col("volatility") > 0.0,
        pl.col("volatility").is_finite(),
        pl.col("strength") > 0.0,
    )
    usable = usable.with_columns(probability=pl.lit(None, dtype=pl.Float64))
    barriers = {"profit_take": 1.5, "stop_loss": 1.0, "minimum_barrier_bps": minimum}
    labels = triple_barrier(
        bars,
        usable.select("symbol", "timestamp", "side", "volatility"),
        LabelSettings(horizons_bars=(horizon,), **barriers),
        CALENDAR,
        TIMEFRAME,
    ).table
    result = run(
        Market(bars, usable, market.actions), rules(UNBOUND, FREE, labels=barriers, horizon=horizon)
    )
    entries = result.orders.filter(pl.col("parent_id").is_null()).select(
        "symbol", entry_order="order_id", timestamp="signal_timestamp"
    )
    legs = (
        result.orders.filter(pl.col("kind") != "market")
        .select("parent_id", "kind", level=pl.coalesce("limit_price", "stop_price"))
        .pivot(on="kind", index="parent_id", values="level")
    )
    ends = CALENDAR.with_session(bars.select("symbol", "timestamp"), TIMEFRAME).select(
        "symbol", exit_timestamp="timestamp", ended="bar_end"
    )
    closed = (
        result.trades.filter(
            pl.col("exit_timestamp").is_not_null() & (pl.col("exit_reason") != "cash_in_lieu")
        )
        .with_columns(entry_order=pl.col("trade_id") + "-entry")
        .join(entries, on=["symbol", "entry_order"])
        .join(legs, left_on="entry_order", right_on="parent_id")
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
    differing = closed.filter(
        (pl.col("ended") != pl.col("end_timestamp"))
        | (pl.col("entry_timestamp") != pl.col("entry_timestamp_label"))
        | (touched != pl.col("touched"))
        | (upper != pl.col("upper_barrier"))
        | (lower.clip(lower_bound=0.0001) != pl.col("lower_barrier").clip(lower_bound=0.0001))
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
