"""Tails, months, drawdowns and rolling figures against empyrical and formulas written out."""

import importlib
import math
import warnings
from datetime import UTC, date, datetime
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harmony_pipeline.analytics.benchmark import (
    FIGURES,
    benchmark_figures,
    buy_and_hold,
    rolling_figures,
)
from harmony_pipeline.analytics.drawdowns import drawdown_figures, drawdown_table, underwater
from harmony_pipeline.analytics.months import month_figures, monthly_returns, monthly_table
from harmony_pipeline.analytics.returns import return_figures
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.schemas import BARS, TIME

CALENDAR = Calendar.of("XNYS")
DAYS = CALENDAR.sessions(date(2022, 1, 3), date(2025, 1, 1))


@pytest.fixture(scope="module")
def empyrical() -> ModuleType:
    """Imported by whoever runs these tests: it takes a second."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("empyrical")


def daily_of(returns, days=DAYS):
    stamps = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days[: len(returns)]]
    return pl.DataFrame(
        {"timestamp": stamps, "return": np.asarray(returns, float)},
        schema_overrides={"timestamp": TIME},
    )


def sample(seed, days, drift=0.0):
    return np.random.default_rng(seed).standard_t(4, days) * 0.01 + drift


@given(seed=st.integers(0, 10**6), days=st.integers(1, 300), drift=st.floats(-0.01, 0.01))
def test_tails_are_those_of_empyrical(empyrical, seed, days, drift):
    returns = sample(seed, days, drift)
    found = return_figures(returns)
    assert found["value_at_risk"] == pytest.approx(empyrical.value_at_risk(returns), abs=1e-15)
    assert found["conditional_value_at_risk"] == pytest.approx(
        empyrical.conditional_value_at_risk(returns), abs=1e-15
    )
    assert found["tail_ratio"] == pytest.approx(empyrical.tail_ratio(returns))
    if found["omega"] is not None and days > 1:
        assert found["omega"] == pytest.approx(empyrical.omega_ratio(returns))
    assert found["positive_days"] == sum(value > 0 for value in returns) / days
    assert (found["best_day"], found["worst_day"]) == (max(returns), min(returns))


def test_nothing_to_measure_is_none_not_zero():
    assert set(return_figures(np.empty(0)).values()) == {None}
    assert set(month_figures(daily_of([])).values()) == {None}
    assert set(drawdown_figures(daily_of([])).values()) == {None}
    assert return_figures(np.array([0.01, 0.02]))["omega"] is None
    assert return_figures(np.zeros(5))["tail_ratio"] is None


def drawdowns_by_hand(returns):
    """Every fall from a peak by a loop over the sessions."""
    level, peak, peak_at, open_one, found = 1.0, 1.0, 0, None, []
    for place, value in enumerate(returns, start=1):
        level *= 1.0 + value
        if level >= peak:
            if open_one:
                found.append((*open_one, place))
                open_one = None
            peak, peak_at = level, place
        else:
            depth = level / peak - 1.0
            if open_one is None or depth < open_one[2]:
                open_one = (peak_at, place, depth)
    if open_one:
        found.append((*open_one, None))
    return found


@given(seed=st.integers(0, 10**6), days=st.integers(0, 250), drift=st.floats(-0.005, 0.01))
def test_drawdowns_are_those_of_a_loop_over_the_sessions(empyrical, seed, days, drift):
    returns = sample(seed, days, drift)
    daily = daily_of(returns)
    expected = sorted(drawdowns_by_hand(returns), key=lambda one: (one[2], one[0]))
    table = drawdown_table(daily)
    stamps = [None, *daily["timestamp"].to_list()]
    assert table.height == len(expected)
    for row, (peak, trough, depth, recovered) in zip(
        table.iter_rows(named=True), expected, strict=True
    ):
        assert row["depth"] == pytest.approx(depth, rel=1e-12)
        assert (row["peak"], row["trough"]) == (stamps[peak], stamps[trough])
        assert row["recovered"] == (None if recovered is None else stamps[recovered])
        assert row["down"] == trough - peak
        assert row["up"] == (None if recovered is None else recovered - trough)
        assert row["length"] == (days if recovered is None else recovered) - peak
    if days:
        deepest = min([0.0, *underwater(returns)])
        assert deepest == pytest.approx(empyrical.max_drawdown(returns), abs=1e-12)
        figures = drawdown_figures(daily)
        assert figures["drawdowns"] == len(expected)
        assert figures["time_under_water"] == np.mean(underwater(returns) < 0.0)
        if expected:
            assert figures["average_drawdown"] == pytest.approx(
                np.mean([one[2] for one in expected])
            )
            assert figures["longest_drawdown"] == max(table["length"])


def test_one_drawdown_written_out():
    daily = daily_of([0.10, -0.10, -0.10, 0.10, 0.20, -0.05])
    first, second = drawdown_table(daily).to_dicts()
    days = daily["timestamp"].to_list()
    assert first["depth"] == pytest.approx(0.81 - 1.0)
    assert (first["peak"], first["trough"], first["recovered"]) == (days[0], days[2], days[4])
    assert (first["down"], first["up"], first["length"]) == (2, 2, 4)
    assert (second["peak"], second["recovered"], second["length"]) == (days[4], None, 1)
    assert drawdown_figures(daily)["deepest_recovery"] == 2.0


def test_a_loss_on_the_first_session_falls_from_the_start():
    row = drawdown_table(daily_of([-0.02, 0.01])).row(0, named=True)
    assert (row["peak"], row["down"], row["length"]) == (None, 1, 2)


def test_months_compound_their_days_and_years_their_months():
    returns = sample(3, 600, 0.0005)
    daily = daily_of(returns)
    by_hand = {}
    for stamp, value in zip(daily["timestamp"], returns, strict=True):
        key = (stamp.year, stamp.month)
        by_hand[key] = by_hand.get(key, 1.0) * (1.0 + value)
    months = monthly_returns(daily)
    assert {(year, month): value for year, month, value in months.iter_rows()} == pytest.approx(
        {key: value - 1.0 for key, value in by_hand.items()}, rel=1e-12
    )
    table = monthly_table(daily)
    assert table["year"].to_list() == [2022, 2023, 2024]
    for row in table.iter_rows(named=True):
        mine = [value for (year, _), value in by_hand.items() if year == row["year"]]
        assert row["total"] == pytest.approx(math.prod(mine) - 1.0)
    assert table["Dec"][2] is None  # 600 sessions end in May 2024
    figures = month_figures(daily)
    assert figures["positive_months"] == np.mean([value > 1.0 for value in by_hand.values()])
    assert figures["best_month"] == pytest.approx(max(by_hand.values()) - 1.0)


@given(seed=st.integers(0, 10**6), days=st.integers(2, 300), slope=st.floats(-2.0, 2.0))
def test_alpha_beta_and_information_ratio_are_those_of_a_regression(empyrical, seed, days, slope):
    other = sample(seed, days, 0.0003)
    mine = slope * other + sample(seed + 1, days, 0.0004) * 0.3
    found = benchmark_figures(daily_of(mine), daily_of(other), 252)
    line = stats.linregress(other, mine)
    assert found["beta"] == pytest.approx(line.slope, rel=1e-9, abs=1e-12)
    assert found["alpha"] == pytest.approx((1.0 + line.intercept) ** 252 - 1.0, rel=1e-8, abs=1e-10)
    assert found["correlation"] == pytest.approx(line.rvalue, rel=1e-9, abs=1e-12)
    active = mine - other
    assert found["tracking_error"] == pytest.approx(stats.tstd(active) * math.sqrt(252))
    assert found["information_ratio"] == pytest.approx(
        empyrical.excess_sharpe(mine, other) * math.sqrt(252)
    )
    assert found["benchmark_sharpe"] == pytest.approx(empyrical.sharpe_ratio(other))
    if days > 2:
        alpha, beta = empyrical.alpha_beta(mine, other)
        assert (found["alpha"], found["beta"]) == pytest.approx((alpha, beta), rel=1e-8, abs=1e-10)


def test_a_benchmark_counts_only_common_sessions_and_without_variance_there_is_no_beta():
    mine, other = daily_of(sample(1, 50)), daily_of(sample(2, 60)).tail(30)
    both = benchmark_figures(mine, other, 252)
    expected = stats.linregress(other["return"][:20], mine["return"][30:])
    assert both["beta"] == pytest.approx(expected.slope)
    flat = benchmark_figures(mine, daily_of(np.zeros(50)), 252)
    assert (flat["beta"], flat["alpha"], flat["benchmark_sharpe"]) == (None, None, None)
    assert benchmark_figures(mine, daily_of([]), 252) == dict.fromkeys(FIGURES)


@given(seed=st.integers(0, 10**6), days=st.integers(0, 80), window=st.integers(2, 30))
def test_rolling_figures_are_those_of_each_window(empyrical, seed, days, window):
    mine, other = sample(seed, days), sample(seed + 1, days)
    table = rolling_figures(daily_of(mine), window, 252, daily_of(other))
    for place, row in enumerate(table.iter_rows(named=True)):
        if place + 1 < window:
            assert (row["sharpe"], row["volatility"], row["beta"]) == (None, None, None)
            continue
        here = slice(place + 1 - window, place + 1)
        assert row["sharpe"] == pytest.approx(empyrical.sharpe_ratio(mine[here]), rel=1e-9)
        assert row["volatility"] == pytest.approx(empyrical.annual_volatility(mine[here]), rel=1e-9)
        assert row["beta"] == pytest.approx(
            stats.linregress(other[here], mine[here]).slope, rel=1e-8, abs=1e-12
        )


def test_a_window_without_variance_has_no_sharpe_ratio():
    table = rolling_figures(daily_of([0.1] * 5), 3, 252)
    assert table["sharpe"].to_list() == [None] * 5
    assert table["beta"].to_list() == [None] * 5


def test_buy_and_hold_holds_equal_money_at_adjusted_closes():
    closes = {
        "AAA": (10.0, 11.0, 11.0),
        "BBB": (20.0, 10.0, 9.0),
    }  # BBB splits two for one on day two
    rows = [
        {
            "symbol": symbol, "timeframe": "1Day", "session": "regular", "volume": 1.0,
            "timestamp": datetime(day.year, day.month, day.day, tzinfo=UTC),
            **dict.fromkeys(("open", "high", "low", "close"), price),
            "adjustment_factor": 2.0 if symbol == "BBB" and place else 1.0,
        }
        for symbol, prices in closes.items()
        for place, (day, price) in enumerate(zip(DAYS, prices, strict=False))
    ]  # fmt: skip
    found = buy_and_hold(BARS.conform(pl.DataFrame(rows)), CALENDAR, "1Day")
    assert found["return"].to_list() == pytest.approx([0.0, (0.1 + 0.0) / 2, (0.0 - 0.1) / 2])
    assert found["timestamp"].dt.date().to_list() == DAYS[:3]
