"""The calibration of costs: against scipy, on planted costs, and by hand."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from harmony_pipeline import schemas
from harmony_pipeline.execution.calibration import (
    LEAST_FILLS,
    calibrated_from_fills,
    calibrated_from_quotes,
    fill_observations,
    fit,
)

NOON = datetime(2024, 7, 1, 16, 0, tzinfo=UTC)


def points(count=200, half_spread=2.5, impact=0.6, noise=1.0, seed=3):
    own = np.random.default_rng(seed)
    pressure = own.uniform(0.5, 12.0, count)
    return half_spread + impact * pressure + own.normal(0, noise, count), pressure


def test_the_fit_is_that_of_scipy_with_its_errors():
    slippage, pressure = points()
    found, known = fit(slippage, pressure), stats.linregress(pressure, slippage)
    assert found.half_spread_bps == pytest.approx(known.intercept, rel=1e-10)
    assert found.impact_coefficient == pytest.approx(known.slope, rel=1e-10)
    assert found.half_spread_error == pytest.approx(known.intercept_stderr, rel=1e-10)
    assert found.impact_error == pytest.approx(known.stderr, rel=1e-10)


@given(
    half_spread=st.floats(-5, 5), impact=st.floats(-1, 1), seed=st.integers(0, 2**16),
    count=st.integers(3, 40),
)  # fmt: skip
def test_no_number_is_below_zero_and_no_others_fit_better(half_spread, impact, seed, count):
    slippage, pressure = points(count, half_spread, impact, 2.0, seed)
    found = fit(slippage, pressure)
    design = np.column_stack([np.ones(count), pressure])
    best, residual = optimize.nnls(design, slippage)
    mine = np.array([found.half_spread_bps, found.impact_coefficient])
    assert (mine >= 0.0).all()
    assert np.linalg.norm(design @ mine - slippage) == pytest.approx(residual, rel=1e-7)
    np.testing.assert_allclose(mine, best, rtol=1e-5, atol=1e-7)


def test_planted_costs_are_found_within_their_errors():
    for seed in range(5):
        found = fit(*points(2_000, 1.5, 0.4, 3.0, seed))
        assert abs(found.half_spread_bps - 1.5) < 4 * found.half_spread_error
        assert abs(found.impact_coefficient - 0.4) < 4 * found.impact_error


def test_orders_of_one_size_tell_the_spread_alone():
    found = fit(np.array([2.0, 4.0]), np.array([3.0, 3.0]))
    assert found == (pytest.approx(3.0), pytest.approx(1.0), 0.0, None)
    assert fit(np.array([-2.0, -4.0]), np.array([3.0, 3.0])) == (0.0, None, 0.0, None)
    assert fit(np.array([7.0]), np.array([3.0])) == (pytest.approx(7.0), None, 0.0, None)


def fills(*rows):
    """(symbol, order, minutes, side, quantity, price, reference, liquidity)"""
    names = (
        "symbol",
        "order_id",
        "minutes",
        "side",
        "quantity",
        "price",
        "reference_price",
        "liquidity",
    )
    frame = pl.DataFrame(rows, schema=names, orient="row").with_columns(
        timestamp=NOON + pl.duration(minutes=pl.col("minutes")),
        date=date(2024, 7, 1), session_id=pl.lit("s"), client_order_id=pl.col("order_id"),
        fill_id=pl.col("order_id") + pl.int_range(pl.len()).cast(pl.String), fee=0.0,
        slippage=(pl.col("price") - pl.col("reference_price")).abs(),
    )  # fmt: skip
    return schemas.SESSION_FILLS.conform(frame.drop("minutes"))


def stamped(rows, *names):
    frame = pl.DataFrame(rows, schema=["symbol", "minutes", *names], orient="row")
    return frame.select(
        "symbol",
        (NOON + pl.duration(minutes=pl.col("minutes"))).cast(schemas.TIME).alias("timestamp"),
        *names,
    )


def test_an_observation_is_what_an_order_paid_in_one_bar_against_its_pressure():
    found = fill_observations(
        fills(
            ("AAA", "1", 5, "buy", 100.0, 10.01, 10.0, "taker"),
            ("AAA", "1", 5, "buy", 300.0, 10.03, 10.0, "taker"),  # with the row before: 10.025
            ("AAA", "2", 6, "sell", 100.0, 10.01, 10.0, "taker"),  # better than its reference
            ("AAA", "3", 6, "buy", 100.0, 10.5, 10.0, "maker"),
            ("BBB", "4", 5, "buy", 100.0, 10.5, 10.0, "taker"),  # no bar
            ("AAA", "5", 0, "buy", 100.0, 10.5, 10.0, "taker"),  # no volatility before
        ),
        stamped([("AAA", 0, 1e4), ("AAA", 5, 1e4), ("AAA", 6, 2.5e3)], "volume"),
        stamped([("AAA", 0, 0.01), ("AAA", 5, 0.02), ("BBB", 0, 0.5)], "volatility_20"),
    )
    assert found["symbol"].to_list() == ["AAA", "AAA"]
    assert found["slippage_bps"].to_list() == pytest.approx([25.0, -10.0])
    # the volatility of the bar before: 0.01 * sqrt(400 / 10000) and 0.02 * sqrt(100 / 2500)
    assert found["pressure_bps"].to_list() == pytest.approx([20.0, 40.0])


def observations(symbol, count, seed=1, **costs):
    slippage, pressure = points(count, seed=seed, **costs)
    return pl.DataFrame(
        {
            "symbol": symbol,
            "timestamp": [NOON + timedelta(minutes=k) for k in range(count)],
            "slippage_bps": slippage,
            "pressure_bps": pressure,
        }
    ).with_columns(pl.col("timestamp").cast(schemas.TIME))


def test_each_symbol_with_fills_enough_has_two_rows_and_so_have_all_together():
    few = observations("BBB", LEAST_FILLS - 1)
    table = calibrated_from_fills(pl.concat([observations("BRK.B", 60), few]))
    assert table.select("symbol", "parameter", "observations").rows() == [
        ("*", "half_spread_bps", 79), ("*", "impact_coefficient", 79),
        ("BRK.B", "half_spread_bps", 60), ("BRK.B", "impact_coefficient", 60),
    ]  # fmt: skip
    assert table["source"].unique().to_list() == ["fills"]
    own = table.filter((pl.col("symbol") == "BRK.B") & (pl.col("parameter") == "half_spread_bps"))
    assert own["setting"][0] == f'costs.symbols."BRK.B".half_spread_bps = {own["estimate"][0]:.2f}'
    assert table["setting"][0].startswith("costs.half_spread_bps = ")
    assert (own["first"][0], own["last"][0]) == (NOON, NOON + timedelta(minutes=59))
    assert calibrated_from_fills(few).is_empty()
    assert calibrated_from_fills(few.clear()).is_empty()


def test_the_spread_of_quotes_is_their_mean_over_time_with_the_error_of_half_hours():
    measured = pl.DataFrame(
        {
            "symbol": ["AAA"] * 3 + ["BBB"],
            "session_date": date(2024, 7, 1),
            "bucket": [0, 30, 60, 0],
            "half_spread_bps": [4.0, 1.0, None, 2.0],
            "seconds": [600.0, 1800.0, 0.0, 60.0],
            "quotes": [5, 6, 0, 1],
        }
    )
    table = calibrated_from_quotes(measured, NOON, NOON + timedelta(hours=2))
    assert table.select("symbol", "source", "estimate", "observations").rows() == [
        ("AAA", "quotes", 1.75, 11),
        ("BBB", "quotes", 2.0, 1),
    ]
    scatter = (600 * 2.25) ** 2 + (1800 * 0.75) ** 2
    assert table["standard_error"].to_list() == [pytest.approx((2 * scatter) ** 0.5 / 2400), None]
    assert table["setting"][0] == "costs.symbols.AAA.half_spread_bps = 1.75"
