"""Trend scanning and returns at a horizon, against plain loops on random and on real bars."""

import numpy as np
import polars as pl
import pytest
from backtest.random_markets import CALENDAR as HOURS
from backtest.real_markets import apple_and_ibm
from hypothesis import given, settings
from hypothesis import strategies as st
from labels.markets import random_bars, random_events
from pydantic import ValidationError

from harmony_pipeline.labels.labelling import label_events
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.calendars import Calendar

XNYS = Calendar.of("XNYS")
SHORTEST = 3


def slope_t_value(closes):
    """Slope over its standard error, by least squares on a matrix; 0 for closes that stand, and
    finite for a line without error.
    """
    if np.ptp(closes) < 1e-10 * closes[0]:
        return 0.0
    inputs = np.column_stack([np.ones(len(closes)), np.arange(len(closes))])
    found, *_ = np.linalg.lstsq(inputs, closes, rcond=None)
    rest = closes - inputs @ found
    error = np.linalg.inv(inputs.T @ inputs)[1, 1] * (rest @ rest) / (len(closes) - 2)
    most = np.sqrt((len(closes) - 2) * 1e12)
    value = min(abs(found[1]) / np.sqrt(max(error, 1e-300)), most)
    return np.sign(found[1]) * value if value > 1e-9 else 0.0


def own_bars(bars, symbol):
    return (
        bars.filter((pl.col("symbol") == symbol) & (pl.col("session") == "regular"))
        .sort("timestamp")
        .with_columns(price=pl.col("close") * pl.col("adjustment_factor"))
    )


def naive_trend(own, at, side, horizon, entry="open"):
    """(end, return, label, weight); None while the horizon is open."""
    if at + horizon >= own.height:
        return None
    prices, entries = own["price"].to_numpy(), own[entry] * own["adjustment_factor"]
    lengths = range(SHORTEST, horizon + 1)
    found = [slope_t_value(prices[at : at + length + 1]) for length in lengths]
    best = int(np.argmax(np.abs(found)))
    gain = side * (prices[at + SHORTEST + best] / entries[at + 1] - 1.0)
    return at + horizon, gain, int(found[best] * side > 0), min(abs(found[best]), 20.0)


def naive_return(own, at, side, horizon, entry="open"):
    leave = at + horizon + (2 if entry == "close" else 1)
    if leave >= own.height:
        return None
    opened, entries = (own[name] * own["adjustment_factor"] for name in ("open", entry))
    gain = side * (opened[leave] / entries[at + 1] - 1.0)
    return leave, gain, int(gain > 0), None


def assert_as_in_loops(table, bars, horizon, naive, calendar, timeframe, entry="open"):
    """Each label is what the loop says of it; returns how many are settled."""
    settled = 0
    for (symbol,), rows in table.group_by("symbol"):
        own = own_bars(bars, symbol)
        ends = calendar.with_session(own, timeframe)["bar_end"]
        place = {when: row for row, when in enumerate(own["timestamp"])}
        for row in rows.iter_rows(named=True):
            expected = naive(own, place[row["timestamp"]], row["side"], horizon, entry)
            assert row["upper_barrier"] is None
            assert row["lower_barrier"] is None
            if expected is None:
                assert row["end_timestamp"] is row["label"] is row["weight"] is None
                continue
            settled += 1
            end, gain, label, weight = expected
            assert (row["end_timestamp"], row["touched"]) == (ends[end], "vertical")
            assert row["label"] == label
            assert row["return"] == pytest.approx(gain, abs=1e-12)
            if weight is not None:
                assert row["weight"] == pytest.approx(weight, rel=1e-6, abs=1e-9)
    return settled


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    horizons=st.sampled_from([(SHORTEST,), (6, 17)]),
    method=st.sampled_from(["trend_scanning", "horizon"]),
    entry=st.sampled_from(["open", "close"]),
)
def test_labels_equal_the_plain_loops_on_random_bars(seed, horizons, method, entry):
    bars = random_bars(seed, missing=0.1)
    events = random_events(seed, bars.filter(pl.col("session") == "regular"), 0.2)
    chosen = LabelSettings(
        method=method, horizons_bars=horizons, shortest_trend_bars=SHORTEST, entry=entry
    )
    table = label_events(bars, events, chosen, XNYS, "15Min").table
    naive = naive_trend if method == "trend_scanning" else naive_return
    for horizon in horizons:
        rows = table.filter(pl.col("horizon") == horizon)
        assert rows.height == events.height
        assert_as_in_loops(rows, bars, horizon, naive, XNYS, "15Min", entry)


@pytest.mark.parametrize("method", ["trend_scanning", "horizon"])
def test_labels_equal_the_plain_loops_on_real_bars(market_data, method):
    market = apple_and_ibm(market_data)
    events = market.signals.filter(pl.col("side") != 0).gather_every(9)
    chosen = LabelSettings(method=method, horizons_bars=(20,), shortest_trend_bars=SHORTEST)
    table = label_events(market.bars, events, chosen, HOURS, "1Hour").table
    naive = naive_trend if method == "trend_scanning" else naive_return
    assert assert_as_in_loops(table, market.bars, 20, naive, HOURS, "1Hour") > 400


def straight_bars(prices):
    bars = random_bars(3, symbols=("A",)).filter(pl.col("session") == "regular").head(len(prices))
    price = pl.Series(prices, dtype=pl.Float64)
    return bars.with_columns(
        open=price, high=price, low=price, close=price, adjustment_factor=pl.lit(1.0)
    )


@pytest.mark.parametrize(
    ("prices", "side", "label"),
    [
        ([100.0 + step for step in range(12)], 1, 1),
        ([100.0 + step for step in range(12)], -1, 0),
        ([100.0 - step for step in range(12)], -1, 1),
        ([100.0] * 12, 1, 0),
    ],
)
def test_a_straight_line_is_a_trend_with_the_largest_weight_and_a_flat_one_is_none(
    prices, side, label
):
    bars = straight_bars(prices)
    event = bars.head(1).select(
        "symbol", "timestamp", side=pl.lit(side, pl.Int8), volatility=pl.lit(0.01)
    )
    chosen = LabelSettings(method="trend_scanning", horizons_bars=(8,))
    row = label_events(bars, event, chosen, XNYS, "15Min").table.row(0, named=True)
    assert row["label"] == label
    assert row["weight"] == (20.0 if len(set(prices)) > 1 else 0.0)


def test_the_trend_that_turns_is_judged_by_its_most_significant_window():
    """Eight bars up without noise, then a crash: the window up to the top wins, and the label is
    known with the horizon, since only then is it known to have won.
    """
    prices = [100, 101, 102.1, 102.9, 104, 105, 106.1, 107, 108, 90, 80, 70, 60, 50]
    bars = straight_bars([float(price) for price in prices])
    event = bars.head(1).select(
        "symbol", "timestamp", side=pl.lit(1, pl.Int8), volatility=pl.lit(0.01)
    )
    chosen = LabelSettings(method="trend_scanning", horizons_bars=(12,))
    row = label_events(bars, event, chosen, XNYS, "15Min").table.row(0, named=True)
    assert (row["label"], row["entry_price"]) == (1, 101.0)
    assert row["return"] > 0.03
    assert row["end_timestamp"] > bars["timestamp"][12]


def test_a_horizon_below_the_shortest_trend_is_refused():
    with pytest.raises(ValidationError, match="shorter than the shortest trend of 5 bars"):
        LabelSettings(method="trend_scanning", horizons_bars=(4, 20))
