"""The figures of a backtest against empyrical-reloaded and against plain formulas."""

import math
import warnings
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harmony_pipeline.backtest.metrics import backtest_metrics, daily_returns, sharpe_interval
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.instruments import Instrument, Instruments
from harmony_pipeline.market.multipliers import contract_multipliers
from harmony_pipeline.schemas import EQUITY, FILLS, METRICS, TRADES

CALENDAR = Calendar.of("XNYS")
DAYS = CALENDAR.sessions(date(2024, 1, 2), date(2024, 12, 1))


def equity_of(levels, days=DAYS):
    """Three bars a session: two that do not matter and the last one."""
    rows = []
    for day, level in zip(days, levels, strict=False):
        close = CALENDAR.session_close(day)
        rows += [
            (close - timedelta(hours=hours), value)
            for hours, value in ((3, level * 0.999), (2, level * 1.001), (1, level))
        ]
    frame = pl.DataFrame(
        rows, schema={"timestamp": pl.Datetime("us", "UTC"), "equity": pl.Float64}, orient="row"
    )
    peak = frame["equity"].cum_max()
    return EQUITY.conform(
        frame.with_columns(
            backtest_id=pl.lit("b"),
            cash=pl.lit(0.0),
            gross_exposure=pl.col("equity") * 0.4,
            net_exposure=pl.lit(0.0),
            drawdown=pl.col("equity") / peak - 1.0,
        )
    )


def metrics_of(returns, calendar=CALENDAR):
    equity = equity_of(100_000.0 * np.cumprod(1.0 + np.asarray(returns)))
    return backtest_metrics(equity, FILLS.empty(), TRADES.empty(), calendar, 100_000.0)


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), days=st.integers(2, 200), drift=st.floats(-0.004, 0.004))
def test_ratios_are_those_of_empyrical(seed, days, drift):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import empyrical
    returns = np.random.default_rng(seed).standard_t(4, days) * 0.01 + drift
    found = metrics_of(returns)
    assert found["total_return"] == pytest.approx(empyrical.cum_returns_final(returns))
    assert found["annual_return"] == pytest.approx(empyrical.annual_return(returns))
    assert found["annual_volatility"] == pytest.approx(empyrical.annual_volatility(returns))
    assert found["sharpe"] == pytest.approx(empyrical.sharpe_ratio(returns))
    assert found["skew"] == pytest.approx(stats.skew(returns))
    assert found["kurtosis"] == pytest.approx(stats.kurtosis(returns, fisher=False))
    if found["sortino"] is not None:
        assert found["sortino"] == pytest.approx(empyrical.sortino_ratio(returns))
    assert found["calmar"] == pytest.approx(found["annual_return"] / abs(found["max_drawdown"]))


def test_drawdown_is_seen_bar_by_bar():
    found = metrics_of([0.01, -0.02, 0.03])
    level = 100_000.0 * 1.01
    assert found["max_drawdown"] == pytest.approx(level * 0.98 * 0.999 / (level * 1.001) - 1.0)


def test_daily_returns_go_from_last_bar_to_last_bar_and_bear_the_session_date():
    equity = equity_of([101.0, 102.0, 99.0])
    found = daily_returns(equity, CALENDAR)
    assert found["timestamp"].to_list() == [datetime(2024, 1, day, tzinfo=UTC) for day in (2, 3, 4)]
    assert found["return"].to_list() == pytest.approx(
        [101 / (101 * 0.999) - 1, 102 / 101 - 1, 99 / 102 - 1]
    )
    assert daily_returns(equity, CALENDAR, initial=100.0)["return"][0] == pytest.approx(0.01)


def test_daily_bars_belong_to_the_date_of_their_stamp():
    stamps = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in DAYS[:4]]
    equity = pl.DataFrame({"timestamp": stamps, "equity": [100.0, 110.0, 99.0, 99.0]}).with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC"))
    )
    found = daily_returns(equity, CALENDAR)
    assert found["timestamp"].to_list() == stamps
    assert found["return"].to_list() == pytest.approx([0.0, 0.1, -0.1, 0.0])


def test_a_bar_after_midnight_utc_belongs_to_its_session():
    tokyo = Calendar.of("XTKS")
    opening = tokyo.session_open(date(2024, 5, 7))
    equity = pl.DataFrame(
        {"timestamp": [opening, opening + timedelta(hours=2)], "equity": [100.0, 101.0]}
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")))
    assert daily_returns(equity, tokyo)["timestamp"].to_list() == [datetime(2024, 5, 7, tzinfo=UTC)]


def test_round_the_clock_markets_have_365_days():
    clock = Calendar.of("24/7")
    returns = [0.01, -0.005, 0.002, 0.004]
    stamps = [datetime(2024, 3, day, 23, tzinfo=UTC) for day in range(1, 5)]
    levels = 100.0 * np.cumprod(1.0 + np.array(returns))
    frame = EQUITY.conform(
        pl.DataFrame(
            {
                "backtest_id": "b",
                "timestamp": stamps,
                "equity": levels,
                "cash": 0.0,
                "gross_exposure": 0.0,
                "net_exposure": 0.0,
                "drawdown": 0.0,
            }
        )
    )
    found = backtest_metrics(frame, FILLS.empty(), TRADES.empty(), clock, 100.0)
    assert found["sharpe"] == pytest.approx(
        np.mean(returns) / np.std(returns, ddof=1) * math.sqrt(365)
    )


def test_what_cannot_be_measured_is_null():
    flat = metrics_of([0.0, 0.0, 0.0])
    one = metrics_of([0.01])
    for found in (flat, one):
        assert [
            found[name]
            for name in (
                "sharpe",
                "sortino",
                "annual_volatility",
                "skew",
                "kurtosis",
                "win_rate",
                "profit_factor",
                "average_trade_return",
            )
        ] == [None] * 8
    nothing = backtest_metrics(EQUITY.empty(), FILLS.empty(), TRADES.empty(), CALENDAR, 100_000.0)
    assert set(nothing) == set(METRICS)
    assert nothing["total_return"] is None


@pytest.mark.parametrize("rate", [0.01, 1e-4, 1e-7, -0.003])
def test_a_curve_that_grows_at_one_rate_has_no_ratio_of_rounding_dust(rate):
    levels = 100_000.0 * np.cumprod(np.full(40, 1.0 + rate))
    returns = daily_returns(equity_of(levels), CALENDAR, 100_000.0)["return"]
    assert np.ptp(returns.to_numpy()) > 0.0  # dust
    found = metrics_of(np.full(40, rate))
    assert found["sharpe"] is None
    assert found["annual_volatility"] is None
    assert found["total_return"] == pytest.approx((1.0 + rate) ** 40 - 1.0)
    assert sharpe_interval(returns) == (None, None)


@pytest.mark.parametrize("size", [1e-9, 1e-4, 1e-2])
def test_small_returns_that_vary_are_measured(size):
    sample = size * (1.0 + np.random.default_rng(3).normal(0.0, 1.0, 60))
    low, high = sharpe_interval(sample)
    assert low < float(np.mean(sample) / np.std(sample, ddof=1)) < high


def test_trades_fees_slippage_turnover_and_exposure_by_hand():
    at = datetime(2024, 1, 2, 15, tzinfo=UTC)
    trades = pl.DataFrame({"pnl": [30.0, -10.0, -5.0, None], "return": [0.03, -0.01, -0.005, None]})
    trades = TRADES.conform(
        trades.with_columns(
            backtest_id=pl.lit("b"),
            trade_id=pl.lit("t"),
            symbol=pl.lit("A"),
            side=pl.lit("long"),
            quantity=pl.lit(1.0),
            entry_timestamp=pl.lit(at),
            entry_price=pl.lit(1.0),
            fees=pl.lit(0.0),
            slippage=pl.lit(0.0),
        )
    )
    fills = pl.DataFrame(
        {
            "price": [10.0, 20.0],
            "quantity": [100.0, 50.0],
            "fee": [1.5, 0.25],
            "slippage": [0.01, 0.02],
        }
    )
    fills = FILLS.conform(
        fills.with_columns(
            backtest_id=pl.lit("b"),
            fill_id=pl.lit("f"),
            order_id=pl.lit("o"),
            symbol=pl.lit("A"),
            timestamp=pl.lit(at),
            side=pl.lit("buy"),
            reference_price=pl.lit(1.0),
            liquidity=pl.lit("taker"),
        )
    )
    equity = equity_of([100_000.0] * 126)
    found = backtest_metrics(equity, fills, trades, CALENDAR, 100_000.0)
    assert (
        found["trades"],
        found["win_rate"],
        found["profit_factor"],
        found["average_trade_return"],
    ) == (3.0, 1 / 3, 2.0, pytest.approx(0.005))
    assert (found["fees"], found["slippage"]) == (1.75, pytest.approx(2.0))
    assert found["turnover"] == pytest.approx(2_000.0 / 100_000.0 * 2)  # half a year
    assert found["exposure"] == found["mean_gross_exposure"] == pytest.approx(0.4)
    assert found["time_in_market"] == 1.0


def test_slippage_and_turnover_of_a_contract_count_its_multiplier():
    """Two ES of 50 dollars a point bought at 4,790.25, a tick of 0.25 above the reference, and sold
    at 4,800.00, half a point below: 75 dollars lost, 959,025 dollars traded.
    """
    at = datetime(2024, 1, 2, 15, tzinfo=UTC)
    fills = FILLS.conform(
        pl.DataFrame(
            {
                "backtest_id": "b", "fill_id": ["f", "g"], "order_id": "o", "symbol": "ES",
                "timestamp": [at, at + timedelta(hours=1)], "side": ["buy", "sell"],
                "quantity": 2.0, "price": [4790.25, 4800.0], "reference_price": [4790.0, 4800.5],
                "fee": 4.5, "slippage": [0.25, 0.5], "liquidity": "taker",
            }
        )
    )  # fmt: skip
    worth = contract_multipliers(
        Instruments.of([Instrument("ES", multiplier=50.0)]), ["ES"], CALENDAR, "1Hour"
    )
    equity = equity_of([5_000_000.0] * 252)
    found = backtest_metrics(equity, fills, TRADES.empty(), CALENDAR, 5_000_000.0, "1Hour", worth)
    assert (found["fees"], found["slippage"]) == (9.0, 75.0)
    assert found["turnover"] == pytest.approx(959_025.0 / equity["equity"].mean() * 252 / 231)


@pytest.mark.parametrize(("held", "rows"), [(1, 2), (3, 4), (63, 80), (0, 5), (7, 7)])
def test_time_in_the_market_counts_bars_and_exposure_weighs_them(held: int, rows: int):
    inside = pl.int_range(pl.len()) < held
    equity = (
        equity_of([100_000.0] * rows)
        .head(rows)
        .with_columns(
            equity=pl.lit(100_000.0), gross_exposure=pl.when(inside).then(25_000.0).otherwise(0.0)
        )
    )
    found = backtest_metrics(equity, FILLS.empty(), TRADES.empty(), CALENDAR, 100_000.0)
    assert found["time_in_market"] == pytest.approx(held / rows)
    assert found["mean_gross_exposure"] == pytest.approx(0.25 * held / rows)


# --- the interval of the Sharpe ratio -------------------------------------------------------------


def test_the_interval_is_the_published_formula():
    returns = np.random.default_rng(3).normal(0.001, 0.01, 500)
    sharpe, skew, kurtosis = (
        np.mean(returns) / np.std(returns, ddof=1),
        stats.skew(returns),
        stats.kurtosis(returns, fisher=False),
    )
    width = 1.959963984540054 * math.sqrt(
        (1 + sharpe**2 / 2 - skew * sharpe + (kurtosis - 3) / 4 * sharpe**2) / 500
    )
    assert sharpe_interval(returns) == pytest.approx((sharpe - width, sharpe + width))
    assert sharpe_interval(returns, 0.95, 252) == pytest.approx(
        ((sharpe - width) * math.sqrt(252), (sharpe + width) * math.sqrt(252))
    )
    low, high = sharpe_interval(returns, 0.5)
    assert sharpe - width < low < sharpe < high < sharpe + width


def test_the_interval_covers_the_true_ratio_as_often_as_it_says():
    source, true, inside = np.random.default_rng(7), 0.1, 0
    for _ in range(1500):
        sample = source.exponential(1.0, 400) * -0.01  # skewed; mean -0.01, deviation 0.01
        low, high = sharpe_interval(sample + 0.011, 0.9)
        inside += low <= true <= high
    assert 0.88 < inside / 1500 < 0.92


@pytest.mark.parametrize("returns", [[], [0.01], [0.0, 0.0, 0.0]])
def test_there_is_no_interval_without_variance(returns):
    assert sharpe_interval(returns) == (None, None)
