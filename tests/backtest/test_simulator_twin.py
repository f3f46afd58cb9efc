"""The compiled simulator and the plain one agree on every order, fill, trade and cent."""

from datetime import date

import polars as pl
import pytest
from backtest.random_markets import micros, random_market, rules, run, run_naive, with_lives
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.risk.settings import SIZINGS

PROBABILITY = st.sampled_from([0.0, 0.0, 0.3])

RULES = st.builds(
    rules,
    risk=st.fixed_dictionaries(
        {
            "allow_short": st.sampled_from([True, True, False]),
            "target_trade_volatility": st.sampled_from([0.004, 0.02, 0.0004]),
            "max_position": st.sampled_from([0.15, 0.5, 2.0]),
            "max_gross_exposure": st.sampled_from([0.3, 1.0, 3.0]),
            "max_net_exposure": st.sampled_from([0.1, 0.6, 3.0]),
            "max_open_positions": st.sampled_from([1, 2, 20]),
            "max_daily_loss": st.sampled_from([0.003, 0.02, 1.0]),
            "max_drawdown": st.sampled_from([0.01, 0.05, 1.0]),
            "minimum_order_value": st.sampled_from([0.0, 200.0, 5000.0]),
        }
    ),
    costs=st.fixed_dictionaries(
        {
            "half_spread_bps": st.sampled_from([0.0, 1.0, 25.0]),
            "impact_coefficient": st.sampled_from([0.0, 0.5]),
            "fee_bps": st.sampled_from([0.0, 1.3]),
            "fee_per_share": st.sampled_from([0.0, 0.005]),
            "max_participation": st.sampled_from([0.01, 0.2, 1.0]),
            "lot_size": st.sampled_from([1.0, 1.0, 0.001, 10.0]),
            "maker_fee_bps": st.sampled_from([None, -0.7]),
            "preset": st.sampled_from([None, None, "alpaca"]),
            "borrow_rate": st.sampled_from([0.0, 0.0, 0.35]),
            "interest_rate": st.sampled_from([0.0, 0.0, 0.05]),
            "debit_rate": st.sampled_from([0.0, 0.09]),
        }
    ),
    luck=st.fixed_dictionaries(
        {
            "seed": st.integers(-5, 2**40),
            "reject_probability": PROBABILITY,
            "partial_fill_probability": PROBABILITY,
            "latency_milliseconds": st.sampled_from([0.0, 0.0, 250.0, 5_400_000.0]),
            "latency_bars": st.sampled_from([0, 0, 2]),
            "late_bar_probability": PROBABILITY,
            "late_bars": st.sampled_from([1, 3]),
        }
    ),
    labels=st.fixed_dictionaries(
        {
            "profit_take": st.sampled_from([0.5, 2.0]),
            "stop_loss": st.sampled_from([0.4, 1.0]),
            "minimum_barrier_bps": st.sampled_from([0.0, 15.0, 500.0]),
            "vertical": st.sampled_from(["bars", "bars", "sessions"]),
            "touch": st.sampled_from(["high_low", "high_low", "close"]),
            "entry": st.sampled_from(["open", "close"]),
        }
    ),
    exits=st.sampled_from(["barriers", "signal"]),
    delisting_recovery=st.sampled_from([1.0, 0.3, 0.0]),
    presume_delisted_after_sessions=st.sampled_from([0, 1, 2]),
    horizon=st.sampled_from([1, 3, 8]),
)


LIMITS = st.fixed_dictionaries(
    {
        "max_drawdown": st.sampled_from([0.01, 0.02, 1.0]),
        "max_daily_loss": st.sampled_from([0.003, 1.0]),
        "sizing": st.sampled_from(SIZINGS),
        "size_fraction": st.sampled_from([0.05, 0.4]),
        "assumed_probability": st.sampled_from([None, 0.55]),
        "risk_aversion": st.sampled_from([1.0, 3.0]),
        "target_wealth": st.sampled_from([101_000.0, 150_000.0]),
        "target_session_volatility": st.sampled_from([0.001, 0.01]),
        "over_limit": st.sampled_from(["resize", "resize", "refuse"]),
        "max_position": st.sampled_from([0.1, 0.5]),
        "minimum_order_value": st.sampled_from([0.0, 200.0]),
    },
    optional={
        "cash_buffer": st.sampled_from([0.0, 0.3, 0.9]),
        "max_sector_exposure": st.sampled_from([0.05, 0.15, 0.3]),
        "max_weekly_loss": st.sampled_from([0.002, 0.01]),
        "drawdown_cooldown_sessions": st.sampled_from([1, 2]),
        "rearm_on": st.sets(st.dates(date(2024, 6, 28), date(2024, 7, 9)), max_size=2).map(tuple),
        "max_consecutive_losses": st.sampled_from([1, 2]),
        "consecutive_loss_cooldown_minutes": st.sampled_from([90.0, 1440.0]),
        "symbol_cooldown_minutes": st.sampled_from([61.0, 600.0, 4000.0]),
        "price_collar": st.sampled_from([0.004, 0.02]),
        "duplicate_window_minutes": st.sampled_from([60.5, 300.0]),
        "max_orders_per_minute": st.sampled_from([1, 2]),
        "over_rate": st.sampled_from(["queue", "refuse"]),
        "max_queue_minutes": st.sampled_from([1.0, 5.0]),
        "stale_after_minutes": st.sampled_from([30.0, 61.0, 120.0]),
        "state": st.sampled_from(["active", "active", "reducing", "halted"]),
    },
)
SECTORS = (
    ("AAA", date(2020, 1, 1), "energy"),
    ("BBB", date(2020, 1, 1), "energy"),
    ("BBB", date(2024, 7, 2), "metals"),
    ("CCC", date(2024, 7, 1), "metals"),
)
LIMITED = st.builds(
    rules,
    risk=LIMITS,
    costs=st.fixed_dictionaries({"max_participation": st.sampled_from([0.05, 1.0])}),
    labels=st.fixed_dictionaries(
        {
            "profit_take": st.sampled_from([0.5, 2.0]),
            "entry": st.sampled_from(["open", "open", "close"]),
        }
    ),
    exits=st.sampled_from(["barriers", "signal"]),
    horizon=st.sampled_from([1, 3, 8]),
    sectors=st.sampled_from([(), SECTORS]),
)


def assert_twins(market, chosen):
    result, naive = run(market, chosen), run_naive(market, chosen)
    orders = {
        order.id: (
            order.parent, order.symbol, "buy" if order.side > 0 else "sell", order.quantity,
            order.status, order.reason, order.model,
            *((level if order.role == role else None) for role in ("take", "stop") for level in [order.level if order.shown is None else order.shown]),
            order.signal, order.decided,
        )
        for order in naive.orders
    }  # fmt: skip
    assert len(orders) == len(naive.orders), "an order id came twice"
    found = {
        row["order_id"]: (
            row["parent_id"], row["symbol"], row["side"], row["quantity"], row["status"],
            row["reason"], row["model_id"],
            row["limit_price"], row["stop_price"], micros(row["signal_timestamp"]),
            micros(row["timestamp"]),
        )
        for row in result.orders.iter_rows(named=True)
    }  # fmt: skip
    assert found == orders
    fills = {fill[0]: fill[1:] for fill in naive.fills}
    for row in result.fills.iter_rows(named=True):
        order, at, side, quantity, price, reference, fee, slippage, liquidity = fills.pop(
            row["fill_id"]
        )
        expected = (
            order,
            at,
            "buy" if side > 0 else "sell",
            price,
            reference,
            fee / 10000,
            slippage,
            liquidity,
        )
        assert (
            row["order_id"],
            micros(row["timestamp"]),
            row["side"],
            row["price"],
            row["reference_price"],
            row["fee"],
            row["slippage"],
            row["liquidity"],
        ) == expected
        assert row["quantity"] == pytest.approx(quantity, abs=1e-9)
    assert not fills
    columns = ("equity", "cash", "gross_exposure", "net_exposure")
    curve = [
        (at, *(value / 10000 for value in values), drawdown)
        for at, *values, drawdown in naive.curve
    ]
    assert [
        (micros(row["timestamp"]), *(row[name] for name in columns), row["drawdown"])
        for row in result.equity.iter_rows(named=True)
    ] == curve
    assert_same_trades(result.trades, naive)
    shown = ("symbol", "kind", "successor", "value", "quantity_before", "quantity_after")
    applied = [
        (micros(row["timestamp"]), *(row[name] for name in shown))
        for row in result.position_actions.iter_rows(named=True)
    ]
    assert sorted(applied, key=str) == sorted(naive.applied, key=str)
    return result


def assert_same_trades(trades, naive):
    closed = {trade["id"]: trade for trade in naive.done}
    for row in trades.filter(pl.col("pnl").is_not_null()).iter_rows(named=True):
        trade = closed.pop(row["trade_id"])
        assert row["side"] == ("long" if trade["side"] > 0 else "short")
        assert (
            micros(row["entry_timestamp"]),
            micros(row["exit_timestamp"]),
            row["exit_reason"],
            row["model_id"],
        ) == (
            trade["entry_bar"],
            trade["exit_bar"],
            trade["reason"],
            trade["model"],
        )
        assert (row["pnl"], row["fees"], row["entry_price"], row["return"]) == (
            trade["pnl"] / 10000,
            trade["fees"] / 10000,
            trade["entry_price"],
            trade["return"],
        )
        assert (row["quantity"], row["exit_price"], row["slippage"]) == pytest.approx(
            (trade["quantity"], trade["exit_price"], trade["slippage"]), rel=1e-9, abs=1e-9
        )
    assert not closed
    still_open = trades.filter(pl.col("pnl").is_null())
    assert set(still_open["symbol"]) == set(naive.trades)
    assert (
        still_open["exit_timestamp"].null_count()
        == still_open["exit_reason"].null_count()
        == still_open.height
    )


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), chosen=RULES)
def test_the_compiled_simulator_equals_the_plain_one(seed, chosen):
    assert_twins(random_market(seed), chosen)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), chosen=LIMITED, lives=st.booleans())
def test_they_agree_under_every_limit(seed, chosen, lives):
    market = random_market(seed, volume=20_000.0)
    assert_twins(with_lives(market, seed) if lives else market, chosen)


def test_the_random_limits_meet_every_refusal():
    reasons = set()
    kinds = (
        {"cash_buffer": 0.9, "max_sector_exposure": 0.03},
        {"max_weekly_loss": 0.002, "max_daily_loss": 1.0},
        {"max_consecutive_losses": 1, "symbol_cooldown_minutes": 3000.0},
        {"max_consecutive_losses": 2},
        {"price_collar": 0.01, "duplicate_window_minutes": 600.0, "stale_after_minutes": 30.0},
        {"max_orders_per_minute": 1, "over_rate": "refuse"},
        {"state": "reducing"},
        {"sizing": "target_utility", "target_wealth": 99_000.0},
        {"max_sector_exposure": 0.2, "cash_buffer": 0.8, "max_net_exposure": 3.0},
    )
    for seed in range(2 * len(kinds)):
        chosen = rules(
            {"minimum_order_value": 0.0, "max_drawdown": 1.0, **kinds[seed % len(kinds)]},
            {"max_participation": 1.0},
            exits="signal" if seed % 2 else "barriers",
            sectors=SECTORS,
        )
        market = random_market(seed, volume=20_000.0, missing=0.1 if seed % 3 else 0.5)
        result = assert_twins(market, chosen)
        reasons |= set(result.orders.filter(pl.col("status") == "refused")["reason"])
    assert {
        "max_weekly_loss", "kill_switch", "stale_data", "symbol_cooldown", "consecutive_losses",
        "duplicate_intent", "price_collar", "cash_buffer", "max_sector_exposure", "order_rate",
        "target_reached",
    } <= reasons  # fmt: skip


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), chosen=RULES)
def test_they_agree_on_thin_markets_full_of_holes(seed, chosen):
    assert_twins(random_market(seed, missing=0.6, volume=60.0, scale=0.05), chosen)


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), chosen=RULES, missing=st.sampled_from([0.1, 0.6]))
def test_they_agree_when_securities_end_and_change_symbols(seed, chosen, missing):
    assert_twins(with_lives(random_market(seed, missing=missing), seed), chosen)


def test_the_random_lives_meet_every_outcome():
    reasons, exits, kinds = set(), set(), set()
    for seed in range(16):
        chosen = rules(
            {"minimum_order_value": 100.0},
            {"max_participation": 0.2},
            exits="signal" if seed % 3 else "barriers",
            horizon=8,
            presume_delisted_after_sessions=1,
        )
        market = with_lives(
            random_market(seed, volume=20_000.0, missing=(0.1, 0.6, 0.93)[seed % 3]), seed, events=6
        )
        result = assert_twins(market, chosen)
        reasons |= set(result.orders.select(pl.col("status") + " " + pl.col("reason"))["status"])
        exits |= set(result.trades["exit_reason"].drop_nulls())
        kinds |= set(result.position_actions["kind"])
    assert {
        "canceled delisted",
        "canceled renamed",
        "refused delisted",
        "refused renamed",
    } <= reasons
    assert {"delisting", "presumed_delisted"} <= exits
    assert kinds == {"split", "dividend", "delisting", "symbol_change", "presumed_delisted"}


@pytest.mark.parametrize("entry", ["open", "close"])
def test_the_random_markets_meet_every_outcome(entry):
    """Otherwise the twins agree about nothing."""
    statuses, reasons, exits = set(), set(), set()
    for seed in range(12):
        for exit_kind in ("barriers", "signal"):
            kinds = (
                {"minimum_order_value": 3_000.0},
                {
                    "max_daily_loss": 0.004,
                    "max_open_positions": 2,
                    "max_net_exposure": 0.12,
                    "allow_short": seed % 2 == 0,
                },
                {
                    "max_drawdown": 0.015,
                    "max_daily_loss": 1.0,
                    "max_position": 0.5,
                    "target_trade_volatility": 0.02,
                },
                {"max_gross_exposure": 0.2, "max_net_exposure": 1.0},
            )
            chosen = rules(
                kinds[seed % 4],
                {"max_participation": 0.1},
                {"reject_probability": 0.1, "partial_fill_probability": 0.1},
                {"entry": entry},
                exits=exit_kind,
            )
            result = assert_twins(random_market(seed, volume=20_000.0), chosen)
            statuses |= set(result.orders["status"])
            reasons |= set(result.orders["reason"])
            exits |= set(result.trades["exit_reason"].drop_nulls())
    assert statuses == {"filled", "partially_filled", "canceled", "rejected", "refused", "open"}
    assert (
        {"stop", "take", "vertical", "signal", "drawdown_breaker", "cash_in_lieu"}
        >= exits
        >= {"stop", "take", "vertical", "signal", "drawdown_breaker"}
    )
    refusals = {
        "allow_short",
        "max_drawdown",
        "max_daily_loss",
        "max_open_positions",
        "no_edge",
        "max_net_exposure",
        "max_gross_exposure",
        "bad_input",
        "minimum_order_value",
    }
    assert refusals <= reasons
