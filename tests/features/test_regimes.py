"""Regimes from daily closes: the textbook numbers, known at the close, blind to the future."""

import math
import statistics
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from features.feature_markets import XNYS, at
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.features.regimes import compute_regimes
from harmony_pipeline.features.settings import RegimeSettings
from harmony_pipeline.schemas import REGIMES

QUICK = RegimeSettings(
    trend_days=5, volatility_days=4, volatility_history_days=30, volatility_minimum_days=20
)
DAYS = XNYS.sessions(at("2024-01-02").date(), at("2024-04-20").date())


def daily(closes, symbol="SPY", factors=None, days=DAYS):
    kept = [
        (day, close, factor)
        for day, close, factor in zip(days, closes, factors or [1.0] * len(closes), strict=False)
        if close is not None
    ]
    return pl.DataFrame(
        {
            "symbol": [symbol] * len(kept),
            "date": [k[0] for k in kept],
            "close": [k[1] for k in kept],
            "adjustment_factor": [k[2] for k in kept],
        }
    )


def walk(seed):
    return list(100 * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, len(DAYS)))))


def test_the_numbers_are_the_textbook_ones():
    closes = walk(1)
    table = compute_regimes(daily(closes), XNYS, QUICK, "SPY")
    level = [close / closes[0] for close in closes]
    change = [b / a - 1 for a, b in pairwise(level)]
    realised = [None] * 4 + [
        statistics.stdev(change[i - 3 : i + 1]) * math.sqrt(252) for i in range(3, len(change))
    ]
    for i in range(len(closes)):
        row = table.row(i, named=True)
        assert row["index_level"] == pytest.approx(level[i])
        average = statistics.mean(level[i - 4 : i + 1]) if i >= 4 else None
        assert row["trend_average"] == (pytest.approx(average) if average else None)
        assert row["trend"] == (
            None if average is None else "bull" if level[i] > average else "bear"
        )
        assert row["realised_volatility"] == (pytest.approx(realised[i]) if realised[i] else None)
        past = [value for value in realised[: i + 1] if value is not None][-30:]
        median = statistics.median(past) if len(past) >= 20 else None
        assert row["volatility_median"] == (pytest.approx(median) if median else None)
        assert row["volatility"] == (
            None if median is None else "high" if realised[i] > median else "low"
        )
    assert table["trend"].n_unique() == table["volatility"].n_unique() == 3  # both kinds and null


def test_a_regime_is_stamped_at_midnight_and_known_at_the_close_half_days_included():
    days = XNYS.sessions(at("2024-07-01").date(), at("2024-07-06").date())
    table = compute_regimes(daily([1.0, 2.0, 3.0, 4.0], days=days), XNYS, QUICK, "SPY")
    assert dict(table.schema) == REGIMES.dtypes
    assert table["timestamp"].to_list() == [at(day) for day in days]
    assert table["known_at"].to_list() == [
        at("2024-07-01", "20:00"),
        at("2024-07-02", "20:00"),
        at("2024-07-03", "17:00"),
        at("2024-07-05", "20:00"),
    ]


@given(cut=st.integers(1, len(DAYS) - 1), seed=st.integers(0, 100))
@settings(max_examples=10)
def test_later_closes_change_no_earlier_regime(cut, seed):
    closes, other = walk(2), [*walk(2)[:cut], *(close * 3 for close in walk(seed)[cut:])]
    for benchmark in ("SPY", None):
        whole = compute_regimes(daily(closes), XNYS, QUICK, benchmark)
        assert (
            compute_regimes(daily(other), XNYS, QUICK, benchmark).head(cut).equals(whole.head(cut))
        )
        assert compute_regimes(daily(closes[:cut]), XNYS, QUICK, benchmark).equals(whole.head(cut))


def test_without_a_benchmark_the_index_compounds_the_mean_of_adjusted_returns():
    first, second = (
        daily([100.0, 110.0, 27.5], "A", [1.0, 1.0, 4.0]),
        daily([50.0, 45.0, 54.0], "B"),
    )
    table = compute_regimes(pl.concat([first, second]), XNYS, QUICK)
    # +10 % and -10 %, then 0 % (a split) and +20 %
    assert table["index_level"].to_list() == pytest.approx([1.0, 1.0, 1.1])


def test_a_symbol_that_comes_back_brings_no_return_over_its_absence():
    steady, absent = daily([10.0, 10.0, 10.0, 10.0], "A"), daily([10.0, None, 90.0, 99.0], "B")
    table = compute_regimes(pl.concat([steady, absent]), XNYS, QUICK)
    assert table["index_level"].to_list() == pytest.approx([1.0, 1.0, 1.0, 1.05])


def test_a_dividend_does_not_move_the_benchmark():
    table = compute_regimes(daily([100.0, 98.0], factors=[1.0, 100 / 98]), XNYS, QUICK, "SPY")
    assert table["index_level"].to_list() == pytest.approx([1.0, 1.0])


def test_an_unknown_benchmark_is_refused_and_an_empty_summary_gives_no_rows():
    with pytest.raises(ConfigError, match=r"market\.benchmark is 'QQQ'"):
        compute_regimes(daily([1.0, 2.0]), XNYS, QUICK, "QQQ")
    assert compute_regimes(
        daily([]).cast(
            {
                "symbol": pl.String,
                "date": pl.Date,
                "close": pl.Float64,
                "adjustment_factor": pl.Float64,
            }
        ),
        XNYS,
        QUICK,
        "SPY",
    ).is_empty()
