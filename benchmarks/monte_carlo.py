"""Monte Carlo of 10 000 paths x 1 000 trades: compiled kernels against vectorised numpy, one
scenario after the other.

PYTHONPATH=. python benchmarks/monte_carlo.py [paths] [trades]
"""

import sys
import time
from collections.abc import Callable

import numpy as np

from harmony_pipeline.robustness.monte_carlo import SCENARIOS, Scenario, TradeReturns, run_scenario
from harmony_pipeline.robustness.settings import MonteCarloSettings

CHUNK = 500  # paths at once: numpy is fastest when a chunk stays in the cache


def sample_of(trades: int) -> TradeReturns:
    returns = np.random.default_rng(0).normal(0.0003, 0.004, trades)
    return TradeReturns(
        returns, np.full(trades, 0.1), np.concatenate(([1.0], np.cumprod(1.0 + returns)))
    )


def numpy_scenario(
    sample: TradeReturns, scenario: Scenario, chosen: MonteCarloSettings, paths: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same work with numpy's own generator, float64, in chunks of paths."""
    rng = np.random.default_rng(chosen.seed)
    count, ring = sample.returns.size, np.arange(sample.returns.size)
    final, drawdown = np.empty(paths), np.empty(paths)
    for start in range(0, paths, CHUNK):
        size = min(CHUNK, paths - start)
        if scenario.method == "bootstrap":
            at = rng.integers(0, count, (size, count))
        elif scenario.method == "stationary_bootstrap":
            restart = rng.random((size, count)) < 1.0 / chosen.block
            restart[:, 0] = True
            last = np.maximum.accumulate(np.where(restart, ring, 0), axis=1)
            fresh = rng.integers(0, count, (size, count))
            at = (np.take_along_axis(fresh, last, axis=1) + ring - last) % count
        elif scenario.method == "shuffle":
            at = rng.permuted(np.broadcast_to(ring, (size, count)), axis=1)
        else:
            at = np.broadcast_to(ring, (size, count))
        change = sample.returns[at]
        if scenario.slips:
            change = change - 2 * chosen.slippage_bps / 1e4 * sample.values[at] * 2 * rng.random(
                (size, count)
            )
        if scenario.anomalies:
            change = np.where(
                rng.random((size, count)) < chosen.anomaly_probability,
                sample.returns.min() * chosen.anomaly_size,
                change,
            )
        if scenario.misses:
            change = np.where(rng.random((size, count)) < chosen.miss_probability, 0.0, change)
        equity = np.cumprod(np.maximum(0.0, 1.0 + change), axis=1)
        peak = np.maximum(np.maximum.accumulate(equity, axis=1), 1.0)
        final[start : start + size] = equity[:, -1]
        drawdown[start : start + size] = (equity / peak).min(axis=1) - 1.0
    return final, drawdown


def best_of(work: Callable[[], object], times: int = 3) -> float:
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return min(spent)


def main(paths: int = 10_000, trades: int = 1_000) -> None:
    sample, chosen = sample_of(trades), MonteCarloSettings()
    print(
        f"{paths} paths x {trades} trades, one core, best of"
        f" 3\n{'scenario':<18}{'kernel':>10}{'numpy':>10}{'ratio':>8}   mean final kernel / numpy"
    )
    for scenario in SCENARIOS:
        run_scenario(sample, scenario, chosen, 10)  # compiled before the clock starts
        ours = best_of(lambda s=scenario: run_scenario(sample, s, chosen, paths))
        theirs = best_of(lambda s=scenario: numpy_scenario(sample, s, chosen, paths), times=1)
        means = (
            run_scenario(sample, scenario, chosen, paths)[0].mean(),
            numpy_scenario(sample, scenario, chosen, paths)[0].mean(),
        )
        print(
            f"{scenario.name:<18}{ours:>9.3f}s{theirs:>9.3f}s{theirs / ours:>7.0f}x  "
            f" {means[0]:.4f} / {means[1]:.4f}"
        )


if __name__ == "__main__":
    main(*(int(text) for text in sys.argv[1:3]))
