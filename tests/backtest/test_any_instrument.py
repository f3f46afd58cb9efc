"""Laws of the simulator for any instrument and calendar: prices on the tick, quantities on the lot,
cash and shares conserved.
"""

from dataclasses import replace
from fractions import Fraction

import polars as pl
import pytest
from backtest.instrument_markets import (
    EURUSD,
    FIRST,
    MARKETS,
    SHIB,
    TIMEFRAME,
    TOKYO,
    US,
    Traded,
    bars,
    rules,
    signals,
    terms,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.backtest.simulator import run_backtest
from harmony_pipeline.labels.labelling import label_events
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.instruments import Instruments
from harmony_pipeline.market.steps import tick_fraction
from harmony_pipeline.schemas import CORPORATE_ACTIONS

STEPS = st.tuples(st.sampled_from([1, 2, 5]), st.integers(-8, 1)).map(
    lambda pair: float(f"{pair[0]}e{pair[1]}")
)


@st.composite
def instruments(draw):
    """Any instrument at a price of at least a few ticks, so that it moves."""
    tick = draw(STEPS)
    price = min(1e6, tick * draw(st.sampled_from([3.0, 40.0, 900.0, 12_345.0, 3e6])))
    found = terms(
        "ANY", tick_size=tick,
        lot_size=draw(st.sampled_from([1e-8, 0.001, 0.1, 1.0, 10.0, 1000.0])),
        multiplier=draw(st.sampled_from([1.0, 1.0, 0.5, 50.0])),
        minimum_notional=draw(st.sampled_from([0.0, 10.0, 500.0])),
        fee_unit=draw(st.sampled_from([0.0001, 0.01, 1.0])),
        shortable=draw(st.booleans()),
        volume=draw(st.sampled_from(["traded", "traded", "indicative"])),
    )  # fmt: skip
    cash = max(1e5, 200.0 * price * found.lot_size * found.multiplier)
    return Traded(
        found, price, draw(st.sampled_from([0.0, 300.0, 1e6])), draw(st.sampled_from([0.002, 0.02]))
    ), min(cash, 1e12)


def simulate(calendar, traded, seed, cash=2_000_000.0, exits="barriers", **changes):
    market = bars(calendar, traded, seed)
    chosen = rules(
        traded, exits, cash, **{"sell_fee_bps": 1.0, "minimum_order_value": 0.0, **changes}
    )
    said = signals(market, seed, traded[0].scale)
    return (
        market,
        chosen,
        run_backtest(
            market, said, CORPORATE_ACTIONS.empty(), chosen, Calendar.of(calendar), TIMEFRAME
        ),
    )


def is_on(value, step):
    exact = tick_fraction(step)
    return value == float(round(Fraction(value) / exact) * exact)


def assert_lawful(market, chosen, result, traded, cash):
    known = {one.terms.symbol: one.terms for one in traded}
    fills = result.fills.join(
        market.select("symbol", "timestamp", "high", "low", bar_volume="volume"),
        on=["symbol", "timestamp"],
        how="left",
    )
    for fill in fills.iter_rows(named=True):
        of = known[fill["symbol"]]
        tick = (
            of.small_tick_size
            if of.small_tick_size and fill["price"] < of.small_tick_below
            else of.tick_size
        )
        sign = 1 if fill["side"] == "buy" else -1
        assert is_on(fill["price"], tick)
        assert fill["price"] >= (of.small_tick_size or of.tick_size)
        assert fill["low"] <= fill["reference_price"] <= fill["high"]
        assert sign * (fill["price"] - fill["reference_price"]) >= -1e-5 * tick
        assert fill["liquidity"] == "taker" or fill["low"] <= fill["price"] <= fill["high"]
        assert of.lot_size < 1e-6 or is_on(fill["quantity"], of.lot_size)
        assert of.volume == "indicative" or fill[
            "quantity"
        ] <= chosen.costs.max_participation * fill["bar_volume"] * (1 + 1e-9)
        assert abs(fill["fee"] / of.fee_unit - round(fill["fee"] / of.fee_unit)) < 1e-6
    entries = result.orders.filter(
        pl.col("order_id").str.contains("entry") & (pl.col("status") != "refused")
    )
    for order in entries.iter_rows(named=True):
        assert order["side"] == "buy" or known[order["symbol"]].shortable
    conserved(market, result, known, cash)


def assert_figures_are_money(result, traded):
    """Slippage and turnover count the multiplier: slippage is that of the trades, turnover what the
    fills cost before fees over the mean equity.
    """
    worth = {one.terms.symbol: one.terms.multiplier for one in traded}
    spent = sum(
        price * quantity * worth[symbol]
        for symbol, price, quantity in result.fills.select("symbol", "price", "quantity").rows()
    )
    year = result.metrics["turnover"] * result.equity["equity"].mean() / spent
    assert year == pytest.approx(round(year * 4) / 4)  # sessions a year over the four of the run
    assert result.metrics["slippage"] == pytest.approx(result.trades["slippage"].sum())


def conserved(market, result, known, cash):
    """Equity is cash and values at every moment, recomputed from the fills alone; money in
    1/10000.
    """
    held, last, left = dict.fromkeys(known, 0.0), {}, round(cash * 10_000)
    by_time = result.fills.partition_by("timestamp", as_dict=True)
    for row in result.equity.sort("timestamp").iter_rows(named=True):
        for fill in by_time.get((row["timestamp"],), pl.DataFrame()).iter_rows(named=True):
            sign, of = (1 if fill["side"] == "buy" else -1), known[fill["symbol"]]
            held[fill["symbol"]] += sign * fill["quantity"]
            left -= sign * round(fill["price"] * of.multiplier * fill["quantity"] * 10_000) + round(
                fill["fee"] * 10_000
            )
        last |= dict(
            market.filter(pl.col("timestamp") == row["timestamp"])
            .select("symbol", "close")
            .iter_rows()
        )
        value = sum(
            last[name] * known[name].multiplier * quantity
            for name, quantity in held.items()
            if quantity
        )
        slack = 1e-3 + 1e-13 * (abs(left) / 1e4 + abs(value))
        assert row["cash"] == pytest.approx(left / 10_000, abs=slack)
        assert row["equity"] == pytest.approx(left / 10_000 + value, abs=slack)


@settings(max_examples=20, deadline=None)
@given(
    chosen=instruments(),
    calendar=st.sampled_from(["FX", "24/7", "XNYS"]),
    seed=st.integers(0, 10**6),
    exits=st.sampled_from(["barriers", "signal"]),
)
def test_any_instrument_trades_lawfully_on_any_calendar(chosen, calendar, seed, exits):
    one, cash = chosen
    assert_lawful(*simulate(calendar, (one,), seed, cash, exits), (one,), cash)


@pytest.mark.parametrize("calendar", MARKETS)
def test_known_markets_trade_lawfully_and_their_labels_have_two_sides(calendar):
    traded = MARKETS[calendar]
    cash = 50_000_000.0
    market, chosen, result = simulate(calendar, traded, 7, cash)
    assert result.fills.height > 3
    assert_lawful(market, chosen, result, traded, cash)
    assert_figures_are_money(result, traded)
    events = (
        signals(market, 7, traded[0].scale)
        .filter(pl.col("side") != 0)
        .select("symbol", "timestamp", "side", "volatility")
    )
    found = label_events(
        market,
        events,
        LabelSettings(horizons_bars=(5,)),
        Calendar.of(calendar),
        TIMEFRAME,
        instruments=Instruments.of(one.terms for one in traded),
    ).table.drop_nulls("entry_price")
    assert found.height > 5
    assert (found["lower_barrier"] < found["entry_price"]).all()
    assert (found["upper_barrier"] > found["entry_price"]).all()


def test_an_order_says_that_its_bar_had_no_volume_and_where_volume_is_not_known_it_fills():
    quiet = replace(US, volume=0.0)
    result = simulate("XNYS", (quiet,), 3)[2]
    assert result.fills.is_empty()
    tried = result.orders.filter(pl.col("status") != "refused")
    assert set(tried["reason"]) <= {"no_volume", "signal"}  # the last may still wait
    assert tried.filter(pl.col("reason") == "no_volume").height > 5
    thin = simulate("XNYS", (replace(US, volume=8.0),), 3)[2]
    assert "max_participation" in set(thin.orders["reason"])
    currencies = simulate("FX", (EURUSD,), 3)[2]
    assert currencies.fills.height > 5
    assert simulate("FX", (EURUSD,), 3, zero_volume="refuse")[2].fills.is_empty()
    assert simulate("XNYS", (quiet,), 3, zero_volume="fill")[2].fills.height > 5


@pytest.mark.parametrize(("price", "tick"), [(1.1e-6, 1e-8), (2.4e-5, 1e-8), (4e-7, 1e-8)])
@pytest.mark.parametrize("cash", [10_000.0, 5_000_000.0])
def test_a_coin_far_below_a_cent_fills_however_many_of_its_lots_that_is(price, tick, cash):
    coin = Traded(
        terms("COIN", asset_class="crypto", tick_size=tick, lot_size=1e-8, fee_unit=0.0001),
        price,
        1e21,
        0.02,
    )
    market, chosen, result = simulate("24/7", (coin,), 11, cash)
    assert result.fills.height > 3
    assert not set(result.orders["reason"]) & {"lot_size", "max_participation"}
    assert_lawful(market, chosen, result, (coin,), cash)


def test_what_cannot_be_sold_short_or_is_too_small_is_refused_by_name():
    result = simulate("XTKS", (TOKYO,), 5, 50_000_000.0)[2]
    refused = result.orders.filter(pl.col("status") == "refused")
    assert "shortable" in set(refused["reason"])
    poor = simulate("XTKS", (TOKYO,), 5, 100_000.0)[2]
    assert set(poor.orders["reason"]) == {"shortable", "lot_size"}
    dear = replace(SHIB, terms=replace(SHIB.terms, minimum_notional=1e9))
    assert set(simulate("24/7", (dear,), 5)[2].orders["reason"]) == {"minimum_notional"}
    many = replace(SHIB, terms=replace(SHIB.terms, minimum_quantity=1e13))
    assert set(simulate("24/7", (many,), 5)[2].orders["reason"]) == {"minimum_quantity"}
    worthless = replace(SHIB, price=1e-8, scale=1e-9)
    assert set(simulate("24/7", (worthless,), 5)[2].orders["reason"]) == {"tick_size"}


def test_terms_that_change_in_a_backtest_hold_from_their_day_on():
    day = Calendar.of("XNYS").sessions(FIRST, FIRST.replace(day=30))[2]
    coarse = replace(
        US, terms=replace(US.terms, small_tick_size=None, small_tick_below=None, tick_size=0.5)
    )
    market = bars("XNYS", (coarse,), 5)
    said = signals(market, 5, US.scale)
    known = Instruments.of([coarse.terms, replace(coarse.terms, valid_from=day, tick_size=0.01)])
    chosen = replace(rules((coarse,)), instruments=known)
    fills = run_backtest(
        market, said, CORPORATE_ACTIONS.empty(), chosen, Calendar.of("XNYS"), TIMEFRAME
    ).fills
    before, after = (
        fills.filter(pl.col("timestamp").dt.date() < day),
        fills.filter(pl.col("timestamp").dt.date() >= day),
    )
    assert before.height > 2
    assert all(is_on(price, 0.5) for price in before["price"])
    assert not all(is_on(price, 0.5) for price in after["price"])
