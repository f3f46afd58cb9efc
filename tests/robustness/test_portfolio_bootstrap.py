"""The stationary bootstrap of portfolio returns and the sharing of paths among threads."""

import math
from itertools import pairwise

import numpy as np
import pytest
from robustness.test_monte_carlo import BY_NAME, CASH, mix, some_pnls, splitmix, trades_of

from harmony_pipeline.errors import DataError
from harmony_pipeline.robustness.monte_carlo import run_scenario, trade_returns
from harmony_pipeline.robustness.paths import LANES, share_paths
from harmony_pipeline.robustness.portfolio_bootstrap import bootstrap_portfolio
from harmony_pipeline.robustness.settings import MonteCarloSettings

GOLDEN, MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1
RETURNS = np.random.default_rng(4).normal(0.0004, 0.012, 250)


def one_path(returns, seed, block, path):
    """A path in plain Python: final return and deepest fall below the peak."""
    key = mix((mix((mix(seed) + 8 * GOLDEN) & MASK) + path * GOLDEN) & MASK)
    equity = peak = 1.0
    drawdown, at = 0.0, -1
    for day in range(len(returns)):
        bits = splitmix(key, 4 * day)
        restart = day == 0 or (bits & 0xFFFFFFFF) < int(2**32 / block)
        at = ((bits >> 32) * len(returns)) >> 32 if restart else (at + 1) % len(returns)
        equity *= max(0.0, 1 + returns[at])
        peak = max(peak, equity)
        drawdown = min(drawdown, equity / peak - 1)
    return equity - 1, drawdown


def test_every_path_is_the_one_that_the_plain_twin_walks():
    found = bootstrap_portfolio(RETURNS, paths=19, block=7, seed=11)
    expected = np.array([one_path(RETURNS.tolist(), 11, 7, path) for path in range(19)])
    np.testing.assert_allclose(found.total_return, expected[:, 0], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.max_drawdown, expected[:, 1], rtol=0, atol=1e-12)


def test_quantiles_agree_with_a_numpy_bootstrap_of_the_same_law():
    """Two samples of one distribution: quantiles differ by no more than their own errors."""
    paths, block, days = 20_000, 8, RETURNS.size
    found = bootstrap_portfolio(RETURNS, paths=paths, block=block, seed=3)
    own = np.random.default_rng(9)
    restart = own.random((paths, days)) < 1.0 / block
    restart[:, 0] = True
    ring = np.arange(days)
    last = np.maximum.accumulate(np.where(restart, ring, 0), axis=1)
    fresh = own.integers(0, days, (paths, days))
    at = (np.take_along_axis(fresh, last, axis=1) + ring - last) % days
    equity = np.cumprod(1.0 + RETURNS[at], axis=1)
    peak = np.maximum(np.maximum.accumulate(equity, axis=1), 1.0)
    for measure, values in (
        ("total_return", equity[:, -1] - 1.0),
        ("max_drawdown", (equity / peak).min(axis=1) - 1.0),
    ):
        for share in (0.05, 0.25, 0.5, 0.75, 0.95):
            low, high = np.quantile(values, [share - 0.015, share + 0.015])
            assert low < found.quantile(measure, share) < high


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_the_number_of_threads_changes_no_bit(threads):
    one = bootstrap_portfolio(RETURNS, paths=1_003, block=5, seed=2, threads=1)
    many = bootstrap_portfolio(RETURNS, paths=1_003, block=5, seed=2, threads=threads)
    assert one.total_return.tobytes() == many.total_return.tobytes()
    assert one.max_drawdown.tobytes() == many.max_drawdown.tobytes()


@pytest.mark.parametrize("name", ["stressed", "shuffle", "slippage"])
def test_a_scenario_of_trades_is_the_same_on_any_number_of_threads(name):
    sample = trade_returns(trades_of(some_pnls()), CASH)
    chosen = MonteCarloSettings(slippage_anomaly_probability=0.02)
    one, many = (
        run_scenario(sample, BY_NAME[name], chosen, 2_005, threads=threads) for threads in (1, 3)
    )
    assert [part.tobytes() for part in one] == [part.tobytes() for part in many]


def test_another_seed_draws_other_paths():
    one, other = (bootstrap_portfolio(RETURNS, paths=50, block=5, seed=seed) for seed in (1, 2))
    assert not np.array_equal(one.total_return, other.total_return)


def test_a_slippage_anomaly_multiplies_what_was_drawn():
    sample = trade_returns(trades_of([0.0] * 100, value=20_000.0), CASH)
    calm = MonteCarloSettings(slippage_bps=5.0)
    always = MonteCarloSettings(
        slippage_bps=5.0, slippage_anomaly_probability=1.0, slippage_anomaly_size=3.0
    )
    tripled = MonteCarloSettings(slippage_bps=15.0)
    final = [
        run_scenario(sample, BY_NAME["slippage"], one, 200)[0] for one in (calm, always, tripled)
    ]
    assert (final[1] < final[0]).all()
    np.testing.assert_allclose(final[1], final[2], rtol=1e-13)
    rare = MonteCarloSettings(
        slippage_bps=5.0, slippage_anomaly_probability=0.1, slippage_anomaly_size=11.0
    )
    mean = np.log(run_scenario(sample, BY_NAME["slippage"], rare, 4_000)[0]).mean()
    assert mean == pytest.approx(100 * -0.2 * 2 * 5e-4 * (1 + 0.1 * 10), rel=0.02)


def test_ruin_and_verdict_are_counted_over_the_paths():
    found = bootstrap_portfolio(RETURNS, paths=4_000, block=5, seed=2)
    assert found.ruin_probability(0.2) == np.mean(found.max_drawdown <= -0.2)
    assert found.ruin_probability(0.0) == 1.0
    losing = np.mean(found.total_return < 0.0)
    assert found.verdict().startswith(f"of 4,000 paths {losing:.0%} end with a loss")


def test_without_returns_nothing_is_known_and_a_gap_is_refused_by_its_day():
    empty = bootstrap_portfolio(np.zeros(0), paths=10, block=5, seed=2)
    assert (empty.total_return.size, empty.ruin_probability(0.1)) == (0, 0.0)
    assert math.isnan(empty.quantile("total_return", 0.5))
    assert "nothing is known" in empty.verdict()
    with pytest.raises(DataError, match="the return of day 1 is nan"):
        bootstrap_portfolio(np.array([0.1, np.nan]), paths=10, block=5, seed=2)


@pytest.mark.parametrize(("paths", "threads"), [(1, 4), (8, 2), (9, 2), (100, 3), (17, 16)])
def test_paths_are_shared_out_whole_and_once(paths, threads):
    seen = []
    share_paths(lambda first, end: seen.append((first, end)), paths, 1, threads)
    seen.sort()
    assert seen[0][0] == 0
    assert seen[-1][1] == paths
    assert all(end == start for (_, end), (start, _) in pairwise(seen))
    assert all((end - first) % LANES == 0 for first, end in seen[:-1])


def test_a_part_that_fails_fails_the_whole():
    def walk(first, end):
        raise ValueError(first)

    with pytest.raises(ValueError, match="0"):
        share_paths(walk, 32, 1, 2)
