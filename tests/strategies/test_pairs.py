"""Pairs: the statistic against statsmodels and a twin, the search on planted relations, no later
bar, a hedge that hedges.
"""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies.naive_strategies import engle_granger as naive_engle_granger
from strategies.naive_strategies import spread as naive_spread

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.strategies.cointegration import (
    critical_value,
    dickey_fuller,
    engle_granger,
    search,
)
from harmony_pipeline.strategies.pairs import PairsTrading, SpreadRule, spread_sides
from harmony_pipeline.strategies.registry import build_strategy
from harmony_pipeline.strategies.settings import StrategySettings
from harmony_pipeline.testing.strategy_contract import StrategyContract


def related(seed, count, persistence, beta):
    generator = np.random.default_rng(seed)
    x = 4 + np.cumsum(generator.normal(0, 0.01, count))
    error = np.zeros(count)
    for t in range(1, count):
        error[t] = persistence * error[t - 1] + generator.normal(0, 0.01)
    return 0.2 + beta * x + error, x


# statsmodels 0.15.0: coint(y, x, trend="c", maxlag=lags, autolag=None), its critical values at 5 %
STATSMODELS = [
    (0, 252, 0.9, 1.3, 1, -3.8973511843645534, -3.360581327756702),
    (1, 120, 0.99, 0.7, 0, -2.290677530523429, -3.3879571944071745),
    (2, 500, 1.0, 2.0, 3, -2.677263783248513, -3.348402090875137),
    (3, 252, 0.5, -0.4, 2, -6.243303831631513, -3.360581327756702),
    (4, 60, 0.8, 0.9, 1, -2.3408697308531754, -3.4416510858948577),
]


@pytest.mark.parametrize(
    ("seed", "count", "persistence", "beta", "lags", "statistic", "limit"), STATSMODELS
)
def test_the_statistic_and_its_critical_value_are_those_of_statsmodels(
    seed, count, persistence, beta, lags, statistic, limit
):
    y, x = related(seed, count, persistence, beta)
    assert engle_granger(y, x, lags).statistic == pytest.approx(statistic, rel=1e-9)
    assert critical_value(0.05, count - 1) == pytest.approx(limit, rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(40, 200), st.integers(0, 4))
def test_the_kernel_is_its_twin_regression_by_regression(seed, count, lags):
    y, x = related(seed, count, 0.9, 1.1)
    found, (alpha, beta, statistic) = engle_granger(y, x, lags), naive_engle_granger(y, x, lags)
    assert (found.alpha, found.beta) == pytest.approx((alpha, beta), rel=1e-6, abs=1e-9)
    assert found.statistic == pytest.approx(statistic, rel=1e-6)


def test_the_half_life_is_that_of_the_planted_persistence():
    y, x = related(8, 20_000, 0.9, 1.3)
    found = engle_granger(y, x, 1)
    assert found.half_life == pytest.approx(np.log(0.5) / np.log(0.9), rel=0.1)
    assert found.beta == pytest.approx(1.3, abs=0.02)
    assert found.deviation == pytest.approx(0.01 / np.sqrt(1 - 0.9**2), rel=0.1)


def test_prices_that_cannot_be_related_have_no_statistic():
    walk = related(5, 100, 0.9, 1.0)[1]
    assert np.isnan(engle_granger(walk, np.full(100, 3.0), 1).statistic)
    assert np.isnan(engle_granger(2.0 * walk, walk, 1).statistic), "one is the other"
    assert np.isnan(engle_granger(walk[:8], walk[:8] + 1.0, 1).statistic)


def test_random_walks_are_cointegrated_as_rarely_as_the_level_says():
    generator = np.random.default_rng(2)
    limit, below = critical_value(0.05, 249), 0
    for _ in range(2000):
        y, x = np.cumsum(generator.normal(0.0, 1.0, (2, 250)), axis=1)
        below += engle_granger(y, x, 1).statistic < limit
    assert 0.035 < below / 2000 < 0.065


def test_a_random_walk_has_no_unit_root_refused_without_a_line():
    # Dickey-Fuller without a constant: the 5 % value is -1.94 (MacKinnon 2010)
    generator = np.random.default_rng(3)
    walks = np.cumsum(generator.normal(0.0, 1.0, (2000, 300)), axis=1)
    share = np.mean([dickey_fuller(walk, 1) < -1.94 for walk in walks])
    assert 0.035 < share < 0.065


def test_the_search_takes_the_better_direction_and_skips_thin_pairs():
    y, x = related(0, 252, 0.9, 1.3)
    thin = np.where(np.arange(252) < 200, np.nan, y + 1.0)
    places, found = search(np.column_stack([x, thin, y]), 1, 200)
    assert places[[0, 2]].tolist() == [[0, 1], [1, 2]]
    assert np.isnan(found[[0, 2]]).all()
    both = engle_granger(x, y, 1), engle_granger(y, x, 1)
    better = min(both, key=lambda one: one.statistic)
    assert found[1].tolist() == list(better)
    assert places[1].tolist() == ([0, 2] if better is both[0] else [2, 0])


RULE = SpreadRule(entry_z=2.0, exit_z=0.5, stop_z=4.0, maximum_bars=5)
NOTHING = float("nan")


def held(z, **changes):
    return spread_sides(np.array(z, float), RULE._replace(**changes))[0].tolist()


def test_the_spread_is_sold_above_and_bought_below_and_left_near_its_mean():
    assert held([1.9, 2.0, 1.0, 0.5, 0.0]) == [0, -1, -1, 0, 0]
    assert held([-2.5, -0.6, 0.7]) == [1, 1, 0]


def test_a_spread_that_runs_away_is_left_for_the_rest_of_the_period():
    assert held([2.5, 4.0, 0.0, 2.5]) == [-1, 0, 0, 0]
    assert held([4.5, 3.9]) == [0, -1], "beyond the stop nothing is opened"


def test_the_longest_holding_counts_moments_without_a_price_and_rests_until_the_spread_was_inside():
    assert held([2.5, NOTHING, NOTHING, 2.5, 2.5, 2.5, 2.5, 1.0, 2.5]) == [
        -1,
        -1,
        -1,
        -1,
        -1,
        0,
        0,
        0,
        -1,
    ]


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30))
def test_the_spread_kernel_is_its_twin(seed, longest):
    generator = np.random.default_rng(seed)
    z = np.cumsum(generator.normal(0.0, 0.8, 200))
    z[generator.random(200) < 0.1] = np.nan
    found = spread_sides(z, SpreadRule(1.5, 0.3, 4.0, longest))
    assert found[0].tolist() == naive_spread(z.tolist(), 1.5, 0.3, 4.0, longest)
    assert ((found[1] >= 0) == (found[0] != 0)).all()


# --- a market with a planted pair -----------------------------------------------------------------


def market(days=100, seed=4):
    """Four bars a day of three symbols: log BB = 0.5 + 1.5 log AAA + a mean-reverting error; C
    walks alone.
    """
    generator = np.random.default_rng(seed)
    dates = [date(2024, 1, 1) + timedelta(days=i) for i in range(days)]
    stamps = [
        datetime(d.year, d.month, d.day, 14 + 2 * bar, tzinfo=UTC)
        for d in dates
        for bar in range(4)
    ]
    count = len(stamps)
    first = np.log(50.0) + np.cumsum(generator.normal(0.0, 0.01, count))
    error = np.zeros(count)
    for t in range(1, count):
        error[t] = 0.8 * error[t - 1] + generator.normal(0.0, 0.012)
    logs = {
        "AAA": first,
        "BB": 0.5 + 1.5 * first + error,
        "C": 3 + np.cumsum(generator.normal(0.0, 0.02, count)),
    }
    frames = [
        pl.DataFrame({"symbol": symbol, "timeframe": "2Hour", "timestamp": stamps,
                      "session": (["pre", "regular", "regular", "post"] * days),
                      **dict.fromkeys(("open", "high", "low", "close"), np.exp(log)),
                      "volume": 1000.0, "adjustment_factor": 1.0},
                     schema_overrides={"timestamp": pl.Datetime("us", "UTC")})
        for symbol, log in logs.items()
    ]  # fmt: skip
    return pl.concat(frames)


STRATEGY = {"formation_days": 60, "refit": "month", "half_life": 10.0, "minimum_overlap": 0.9}


def pairs(**changes):
    use = "harmony_pipeline.strategies.pairs:PairsTrading"
    return build_strategy(StrategySettings(use=use, parameters=STRATEGY | changes))


class TestPairsTrading(StrategyContract):
    def strategy(self):
        return pairs()

    def bars(self, seed=1):
        return market(seed=seed + 3).filter(pl.int_range(pl.len()) % 23 != 0)  # some are missing


def with_features(bars, volatility=0.01):
    return bars.sort("symbol", "timestamp").with_columns(volatility_20=pl.lit(volatility))


def test_the_planted_pair_is_found_and_no_other():
    found = pairs().pairs_by_period(market().sort("symbol", "timestamp"))
    assert list(found) == [date(2024, 3, 1), date(2024, 4, 1)], "60 days lie before these alone"
    for chosen in found.values():
        (pair,) = chosen
        assert {pair.y, pair.x} == {"AAA", "BB"}
        assert (pair.beta if pair.y == "BB" else 1.0 / pair.beta) == pytest.approx(1.5, rel=0.2)


def test_pairs_are_found_on_what_lies_before_their_period_alone():
    bars, begin = market().sort("symbol", "timestamp"), date(2024, 3, 1)
    later = pl.col("timestamp").dt.date() >= begin
    moved = bars.with_columns(close=pl.when(later).then(pl.col("close") ** 2).otherwise("close"))
    absent = bars.filter(pl.col("timestamp") <= datetime(2024, 3, 1, 14, tzinfo=UTC))
    chosen = pairs().pairs_by_period(bars)[begin]
    assert pairs().pairs_by_period(moved)[begin] == chosen
    assert pairs().pairs_by_period(absent)[begin] == chosen, "one premarket bar begins the period"


def test_a_period_ends_what_it_opened_and_the_legs_are_opposite():
    table = pairs().signals(with_features(market()))
    wide = table.pivot(on="symbol", index="timestamp", values="side").sort("timestamp")
    assert (wide["AAA"] == -wide["BB"]).all()
    assert (wide["C"] == 0).all()
    assert (wide["AAA"] != 0).sum() > 5
    before = wide.filter(pl.col("timestamp") < datetime(2024, 3, 1, tzinfo=UTC))
    assert (before["AAA"] == 0).all()


def test_the_value_of_x_is_beta_times_that_of_y():
    bars = market()
    scale = {"AAA": 0.02, "BB": 0.005, "C": 0.01}
    rows = with_features(bars).with_columns(volatility_20=pl.col("symbol").replace_strict(scale))
    (pair,) = pairs().pairs_by_period(rows)[date(2024, 3, 1)]
    table = (
        pairs()
        .signals(rows)
        .filter((pl.col("side") != 0) & (pl.col("timestamp") < datetime(2024, 4, 1, tzinfo=UTC)))
    )
    strength = {
        symbol: table.filter(pl.col("symbol") == symbol)["strength"].unique().to_list()
        for symbol in ("AAA", "BB")
    }
    (of_y,), (of_x,) = strength[pair.y], strength[pair.x]
    # the sizing rule buys strength / volatility
    assert of_x / scale[pair.x] == pytest.approx(pair.beta * of_y / scale[pair.y], rel=1e-12)
    assert max(of_x, of_y) == 1.0


def test_it_earns_on_the_planted_pair_before_costs():
    rows = with_features(market(days=400))
    table = pairs().signals(rows)
    change = rows.select("symbol", "timestamp", move=pl.col("close").log().diff().over("symbol"))
    earned = (
        table.with_columns(
            pl.col("side").shift().over("symbol"), pl.col("strength").shift().over("symbol")
        )
        .join(change, on=["symbol", "timestamp"])
        .select((pl.col("side") * pl.col("strength") * pl.col("move")).sum())
        .item()
    )
    assert earned > 0.2


def test_no_pair_of_walks_is_traded_at_one_percent():
    bars = (
        market()
        .with_columns(symbol=pl.col("symbol").replace_strict({"AAA": "AAA", "BB": "C", "C": "BB"}))
        .filter(pl.col("symbol") != "C")
    )
    assert all(
        not found
        for found in pairs(level=0.01).pairs_by_period(bars.sort("symbol", "timestamp")).values()
    )


def test_a_market_too_short_has_no_pairs():
    rows = with_features(market(days=50))
    assert (pairs().signals(rows)["side"] == 0).all()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"entry_z": 5.0}, "must rise in this order"),
        ({"level": 0.2}, "level"),
        ({"refit": "week"}, "refit"),
    ],
)
def test_parameters_that_cannot_be_are_refused(parameters, words):
    with pytest.raises(ConfigError, match=words):
        pairs(**parameters)


def test_the_defaults_are_its_own():
    assert PairsTrading().formation_days == 252
