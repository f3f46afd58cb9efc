"""Trades, execution, capacity and attribution, by hand and on a simulated market."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from backtest.random_markets import CALENDAR, TIMEFRAME, Market, random_market, rules, run
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.analytics import DEFINITIONS, BacktestTables, analyse
from harmony_pipeline.analytics.attribution import CAUSES, attribution, trade_causes
from harmony_pipeline.analytics.benchmark import buy_and_hold
from harmony_pipeline.analytics.definitions import as_markdown
from harmony_pipeline.analytics.trading import (
    capacity_figures,
    execution_figures,
    exposure_figures,
    trade_figures,
)
from harmony_pipeline.schemas import EQUITY, FILLS, ORDERS, TIME, TRADES

REPOSITORY = Path(__file__).resolve().parents[2]
OPEN = "2024-03-05T14:30:00Z"


def at(minutes):
    return (
        pl.Series([OPEN]).str.to_datetime(time_zone="UTC").cast(TIME)[0]
        + np.timedelta64(minutes, "m").item()
    )


def bars(*rows, factor=1.0):
    """(symbol, minute, close, volume)"""
    frame = pl.DataFrame(rows, schema=["symbol", "minute", "close", "volume"], orient="row")
    return frame.select(
        "symbol",
        pl.Series("timestamp", [at(minute) for minute in frame["minute"]], dtype=TIME),
        pl.col("close").cast(float),
        pl.col("volume").cast(float),
        adjustment_factor=pl.lit(factor),
    )


def order(name, parent, minute, side, quantity, kind="market", status="filled", **levels):
    return {
        "backtest_id": "b", "order_id": name, "parent_id": parent, "symbol": "AAA", "timestamp": at(minute), "side": side,
        "quantity": float(quantity), "kind": kind, "time_in_force": "ioc", "status": status, **levels,
    }  # fmt: skip


def fill(name, minute, side, quantity, reference, price, fee, liquidity="taker"):
    return {
        "backtest_id": "b", "fill_id": f"{name}-{minute}", "order_id": name, "symbol": "AAA", "timestamp": at(minute), "side": side,
        "quantity": float(quantity), "price": price, "reference_price": reference, "fee": fee,
        "slippage": abs(price - reference), "liquidity": liquidity,
    }  # fmt: skip


def trade(pnl, entry=15, leave=60, side="long", name="t", fees=1.0, slippage=2.0):
    return {
        "backtest_id": "b", "trade_id": name, "symbol": "AAA", "side": side, "quantity": 100.0, "entry_timestamp": at(entry),
        "entry_price": 50.0, "exit_timestamp": at(leave), "exit_price": 51.0, "exit_reason": "signal", "fees": fees,
        "slippage": slippage, "pnl": pnl, "return": pnl / 5_000.0,
    }  # fmt: skip


def multipliers(symbols, worth):
    """As market/multipliers.py gives them, without a change."""
    since = datetime(1, 1, 1, tzinfo=UTC)
    return pl.DataFrame({"symbol": symbols}).with_columns(
        since=pl.lit(since, pl.Datetime("us", "UTC")), multiplier=pl.lit(worth)
    )


def table(of, rows):
    return of.conform(pl.DataFrame(rows)) if rows else of.empty()


def test_a_long_trade_is_split_into_signal_timing_and_cost():
    """Signal at 50.00, bought at the next open 50.10 (+0.02); stop at 48.00, gapped to 47.50."""
    orders = table(ORDERS, [
        order("t-entry", None, 15, "buy", 100),
        order("t-stop", "t-entry", 15, "sell", 100, "stop", stop_price=48.0),
    ])  # fmt: skip
    fills = table(FILLS, [
        fill("t-entry", 15, "buy", 100, 50.10, 50.12, 0.5),
        fill("t-stop", 60, "sell", 100, 47.50, 47.47, 0.7),
    ])  # fmt: skip
    pnl = 100 * (47.47 - 50.12) - 1.2
    market = bars(("AAA", 0, 50.0, 1e4), ("AAA", 15, 50.2, 1e4), ("AAA", 60, 47.0, 1e4))
    row = trade_causes(table(TRADES, [trade(pnl)]), orders, fills, market).row(0, named=True)
    assert row["signal"] == pytest.approx(100 * (48.0 - 50.0))
    assert row["timing"] == pytest.approx(100 * ((47.50 - 48.0) - (50.10 - 50.0)))
    assert row["cost"] == pytest.approx(-100 * (0.02 + 0.03) - 1.2)
    assert row["other"] == pytest.approx(0.0, abs=1e-9)


def test_a_short_trade_left_by_signal_and_a_dividend_that_it_paid():
    orders = table(ORDERS, [
        order("t-entry", None, 15, "sell", 10),
        order("t-out", "t-entry", 60, "buy", 10),
    ])  # fmt: skip
    fills = table(FILLS, [
        fill("t-entry", 15, "sell", 10, 49.9, 49.8, 0.1),
        fill("t-out", 60, "buy", 10, 45.2, 45.3, 0.1),
    ])  # fmt: skip
    pnl = 10 * (49.8 - 45.3) - 0.2 - 3.0
    market = bars(("AAA", 0, 50.0, 1e4), ("AAA", 45, 45.0, 1e4), ("AAA", 60, 45.4, 1e4))
    causes = trade_causes(table(TRADES, [trade(pnl, side="short")]), orders, fills, market)
    assert causes.select(CAUSES).row(0) == pytest.approx((10 * 5.0, 10 * (-0.1 - 0.2), -2.2, -3.0))


def test_a_stop_moves_with_a_split_and_a_contract_with_its_multiplier():
    orders = table(ORDERS, [
        order("t-entry", None, 15, "buy", 10),
        order("t-stop", "t-entry", 15, "sell", 10, "stop", stop_price=40.0),
    ])  # fmt: skip
    fills = table(FILLS, [
        fill("t-entry", 15, "buy", 10, 50.0, 50.0, 0.0),
        fill("t-stop", 60, "sell", 20, 20.0, 20.0, 0.0),
    ])  # fmt: skip
    before = bars(("AAA", 0, 50.0, 1e4), ("AAA", 15, 50.0, 1e4))
    after = bars(("AAA", 60, 20.5, 1e4), factor=2.0)
    worth = multipliers(["AAA"], 50.0)
    causes = trade_causes(
        table(TRADES, [trade(-100.0 * 50)]), orders, fills, pl.concat([before, after]), worth
    )
    assert causes.select(CAUSES).row(0) == pytest.approx((-5_000.0, 0.0, 0.0, 0.0))


def test_a_split_between_the_decision_and_the_fill_moves_no_price():
    """Decided at a close of 50, two for one over night, bought at 25.10 and sold at 26."""
    orders = table(ORDERS, [
        order("t-entry", None, 15, "buy", 20),
        order("t-out", "t-entry", 60, "sell", 20),
    ])  # fmt: skip
    fills = table(FILLS, [
        fill("t-entry", 15, "buy", 20, 25.1, 25.1, 0.0),
        fill("t-out", 60, "sell", 20, 26.0, 26.0, 0.0),
    ])  # fmt: skip
    after = bars(("AAA", 15, 25.5, 1e4), ("AAA", 45, 25.9, 1e4), ("AAA", 60, 26.0, 1e4), factor=2.0)
    market = pl.concat([bars(("AAA", 0, 50.0, 1e4)), after])
    causes = trade_causes(table(TRADES, [trade(20 * 0.9)]), orders, fills, market)
    assert causes.select(CAUSES).row(0) == pytest.approx(
        (20 * 0.9, 20 * (0.1 - 0.1), 0.0, 0.0), abs=1e-9
    )


def test_trade_figures_by_hand():
    pnls = [100.0, -50.0, -25.0, 300.0, -75.0]
    rows = [
        trade(pnl, entry=60 * n, leave=60 * n + 30, name=f"t{n}", side="long" if n < 3 else "short")
        for n, pnl in enumerate(pnls)
    ]
    still_open = trade(0.0, name="t9") | {
        "pnl": None,
        "exit_timestamp": None,
        "return": None,
        "exit_reason": None,
    }
    found = trade_figures(table(TRADES, [*rows, still_open]))
    assert found == pytest.approx({
        "expectancy": 50.0, "average_win": 200.0, "average_loss": -50.0, "payoff_ratio": 4.0, "best_trade": 0.06,
        "worst_trade": -0.015, "longest_losing_streak": 2.0, "average_holding_hours": 0.5, "long_share": 0.6,
    })  # fmt: skip
    assert set(trade_figures(TRADES.empty()).values()) == {None}


def test_execution_figures_by_hand():
    orders = table(ORDERS, [
        order("a-entry", None, 0, "buy", 100),
        order("b-entry", None, 15, "buy", 300, status="partially_filled"),
        order("c-entry", None, 30, "buy", 500, status="refused"),
        order("a-out", "a-entry", 60, "sell", 100),
    ])  # fmt: skip
    fills = table(FILLS, [
        fill("a-entry", 0, "buy", 100, 10.0, 10.01, 0.5),
        fill("b-entry", 15, "buy", 100, 20.0, 20.0, 0.5, "maker"),
        fill("a-out", 60, "sell", 100, 10.0, 9.98, 1.0),
    ])  # fmt: skip
    assert execution_figures(orders, fills) == pytest.approx({
        "fill_rate": 200 / 400, "refused_share": 1 / 3, "slippage_bps": 3.0 / 4_000 * 1e4, "fees_bps": 2.0 / 4_000 * 1e4,
        "maker_share": 0.5,
    })  # fmt: skip
    assert set(execution_figures(ORDERS.empty(), FILLS.empty()).values()) == {None}


def test_capacity_scales_equity_to_one_percent_of_the_volume():
    fills = table(
        FILLS, [fill("a-entry", minute, "buy", 50, 10.0, 10.0, 0.0) for minute in range(20)]
    )
    market = bars(*(("AAA", minute, 10.0, 50 / (0.001 * (minute + 1))) for minute in range(20)))
    found = capacity_figures(fills, market, 1e6)
    taken = np.quantile(0.001 * np.arange(1, 21), 0.95)
    assert found == pytest.approx({"participation_95": taken, "capacity": 1e6 * 0.01 / taken})
    assert capacity_figures(fills, market.with_columns(volume=0.0), 1e6)["capacity"] is None


def test_exposure_is_measured_against_equity():
    rows = [
        {
            "backtest_id": "b",
            "timestamp": at(n),
            "equity": 100.0,
            "cash": 0.0,
            "gross_exposure": gross,
            "net_exposure": net,
            "drawdown": 0.0,
        }
        for n, (gross, net) in enumerate([(50.0, -50.0), (150.0, 0.0)])
    ]
    assert exposure_figures(table(EQUITY, rows)) == {
        "max_gross_exposure": 1.5,
        "mean_net_exposure": -0.25,
    }


def analysed(market, **chosen):
    result = run(market, rules(**chosen))
    tables = BacktestTables(
        "s", 100_000.0, result.equity, result.trades, result.orders, result.fills
    )
    return result, analyse(
        tables,
        CALENDAR,
        TIMEFRAME,
        market.bars,
        benchmark=buy_and_hold(market.bars, CALENDAR, TIMEFRAME),
    )


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), exits=st.sampled_from(["barriers", "signal"]))
def test_the_causes_explain_every_result_to_the_cent_where_no_company_acts(seed, exits):
    market = random_market(seed)
    quiet = Market(
        market.bars.with_columns(adjustment_factor=pl.lit(1.0)),
        market.signals,
        market.actions.clear(),
    )
    result, found = analysed(quiet, exits=exits, luck={"partial_fill_probability": 0.2})
    assert (found.trades["other"].abs().max() or 0.0) < 0.01
    change = result.equity["equity"][-1] - 100_000.0
    assert sum(found.causes.values()) == pytest.approx(change, abs=1e-6)
    costs = (
        result.trades.drop_nulls("pnl").select((pl.col("fees") + pl.col("slippage")).sum()).item()
    )
    assert found.causes["cost"] == pytest.approx(-costs, abs=1e-6)


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), exits=st.sampled_from(["barriers", "signal"]))
def test_what_is_left_is_what_companies_paid(seed, exits):
    """Of positions that are closed in the end, to the rounding of money."""
    result, found = analysed(random_market(seed), exits=exits)
    if result.trades["pnl"].null_count():
        return  # what an open position was paid belongs to no closed trade
    paid = result.position_actions["cash"].sum()
    assert found.causes["other"] == pytest.approx(paid, abs=0.01)


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), exits=st.sampled_from(["barriers", "signal"]))
def test_causes_and_tables_add_up_on_every_market(seed, exits):
    result, found = analysed(random_market(seed), exits=exits)
    pnl = result.trades["pnl"].drop_nulls().sum()
    for table in (found.by_symbol, found.by_side, found.by_exit):
        assert table["pnl"].sum() == pytest.approx(pnl, abs=1e-6)
        assert table.select(pl.sum_horizontal(pl.col(*CAUSES).sum())).item() == pytest.approx(
            pnl, abs=1e-6
        )
        assert table["trades"].sum() == found.figures["trades"]
    assert list(found.figures) == [definition.name for definition in DEFINITIONS]
    for name, value in result.metrics.items():
        if name in found.figures:
            assert found.figures[name] == value
    everything = attribution(found.trades.with_columns(all=pl.lit("all")), ["all"])
    if everything.height:
        assert everything["win_rate"][0] == pytest.approx(result.metrics["win_rate"])
        assert everything["profit_factor"][0] == pytest.approx(result.metrics["profit_factor"])
        assert everything["average_return"][0] == pytest.approx(
            result.metrics["average_trade_return"]
        )


def test_slippage_and_turnover_count_what_a_contract_is_worth():
    market = random_market(4)
    result, plain = analysed(market)
    tables = BacktestTables(
        "s", 100_000.0, result.equity, result.trades, result.orders, result.fills
    )
    worth = multipliers(market.bars["symbol"].unique(), 50.0)
    found = analyse(tables, CALENDAR, TIMEFRAME, market.bars, multipliers=worth).figures
    for name, times in (
        ("slippage", 50.0),
        ("turnover", 50.0),
        ("fees", 1.0),
        ("slippage_bps", 1.0),
        ("fees_bps", 1 / 50),
    ):
        assert found[name] == pytest.approx(plain.figures[name] * times)


def test_a_run_without_a_trade_is_analysed_too():
    market = random_market(1)
    _, found = analysed(Market(market.bars, market.signals.clear(), market.actions))
    assert found.figures["trades"] == 0.0
    assert found.figures["sharpe"] is None
    assert sum(found.causes.values()) == 0.0
    assert found.by_symbol.is_empty()


def test_the_page_of_definitions_is_the_list():
    page = (REPOSITORY / "docs" / "analytics.md").read_text()
    assert as_markdown() in page
    assert len({definition.name for definition in DEFINITIONS}) == len(DEFINITIONS)
