"""Monte Carlo of 10 000 paths x 1 000 trades on all cores: compiled kernels against vectorised
numpy, one scenario after the other; and the stationary bootstrap of portfolio returns against arch
(resampling alone, no statistic), where arch can be imported.

    PYTHONPATH=. python benchmarks/monte_carlo.py [paths] [trades]

Each target has a line with what was measured and what was wanted; exit code 1 when one was missed.
Runs alternate and the best of each counts: on a crowded machine the kernel, which wants all cores
at once, still loses more than numpy on one. The CPU seconds beside them hardly depend on the crowd.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from side_by_side import judge

from harmony_pipeline.robustness.monte_carlo import SCENARIOS, Scenario, TradeReturns, run_scenario
from harmony_pipeline.robustness.paths import RESAMPLED
from harmony_pipeline.robustness.portfolio_bootstrap import bootstrap_portfolio
from harmony_pipeline.robustness.settings import MonteCarloSettings

CHUNK = 500  # paths at once: numpy is fastest when a chunk stays in the cache
ROUNDS = 7
TARGET = Scenario("target", 9, RESAMPLED, misses=True, slips=True)
CHOSEN = MonteCarloSettings(slippage_anomaly_probability=0.01)
WANTED_NUMPY, WANTED_ARCH = 12.0, 3.0


class Timing(NamedTuple):
    """Seconds of the best round."""

    wall: float
    cpu: float


def sample_of(trades: int) -> TradeReturns:
    returns = np.random.default_rng(0).normal(0.0003, 0.004, trades)
    return TradeReturns(
        returns,
        np.full(trades, 0.1),
        np.concatenate(([1.0], np.cumprod(1.0 + returns))),
        np.arange(trades),
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
            share = rng.random((size, count))
            if chosen.slippage_anomaly_probability:
                anomaly = rng.random((size, count)) < chosen.slippage_anomaly_probability
                share *= np.where(anomaly, chosen.slippage_anomaly_size, 1.0)
            change = change - sample.values[at] * (4.0 * chosen.slippage_bps / 1e4) * share
        if scenario.anomalies:
            shock = chosen.anomaly_size * sample.returns.min()
            change = np.where(rng.random((size, count)) < chosen.anomaly_probability, shock, change)
        if scenario.misses:
            change = np.where(rng.random((size, count)) < chosen.miss_probability, 0.0, change)
        equity = np.cumprod(np.maximum(0.0, 1.0 + change), axis=1)
        peak = np.maximum(np.maximum.accumulate(equity, axis=1), 1.0)
        final[start : start + size] = equity[:, -1]
        drawdown[start : start + size] = (equity / peak).min(axis=1) - 1.0
    return final, drawdown


def side_by_side(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[Timing, Timing]:
    """Both, in turns, after one run of each that does not count."""
    found: tuple[list[Timing], list[Timing]] = ([], [])
    for _ in range(ROUNDS + 1):
        for work, seen in zip((ours, theirs), found, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            seen.append(Timing(time.perf_counter() - wall, time.process_time() - cpu))
    first, second = (
        Timing(min(one.wall for one in seen[1:]), min(one.cpu for one in seen[1:]))
        for seen in found
    )
    return first, second


def line(name: str, ours: Timing, theirs: Timing, note: str = "") -> None:
    print(
        f"{name:<18}{ours.wall:>9.3f}s{theirs.wall:>9.3f}s{theirs.wall / ours.wall:>8.1f}x"
        f"{ours.cpu:>10.3f}s{theirs.cpu:>9.3f}s  {note}"
    )


def judged(name: str, ours: Timing, theirs: Timing, wanted: float) -> bool:
    return judge(f"{name}: times as fast", theirs.wall / ours.wall, wanted)


def against_numpy(sample: TradeReturns, scenario: Scenario, paths: int) -> tuple[Timing, Timing]:
    ours, theirs = side_by_side(
        lambda: run_scenario(sample, scenario, CHOSEN, paths),
        lambda: numpy_scenario(sample, scenario, CHOSEN, paths),
    )
    means = (
        run_scenario(sample, scenario, CHOSEN, paths)[0].mean(),
        numpy_scenario(sample, scenario, CHOSEN, paths)[0].mean(),
    )
    line(scenario.name, ours, theirs, f"mean final {means[0]:.4f} / {means[1]:.4f}")
    return ours, theirs


def against_arch(sample: TradeReturns, paths: int) -> tuple[Timing, Timing] | None:
    try:
        from arch.bootstrap import StationaryBootstrap
    except ImportError:
        return None

    def resample() -> None:
        for _ in StationaryBootstrap(10, sample.returns, seed=1).bootstrap(paths):
            pass

    ours, theirs = side_by_side(
        lambda: bootstrap_portfolio(sample.returns, paths=paths, block=10, seed=1), resample
    )
    line("portfolio", ours, theirs, "against arch")
    return ours, theirs


def main(paths: int = 10_000, trades: int = 1_000) -> int:
    sample = sample_of(trades)
    print(
        f"{paths} paths x {trades} trades, {os.cpu_count()} cores, best of {ROUNDS}, load"
        f" {os.getloadavg()[0]:.1f}\n"
        f"{'scenario':<18}{'kernel':>10}{'numpy':>10}{'ratio':>9}{'CPU s':>11}{'numpy':>10}"
    )
    for scenario in SCENARIOS:
        against_numpy(sample, scenario, paths)
    target = against_numpy(sample, TARGET, paths)
    arch = against_arch(sample, paths)
    met = [
        judged("resampled trades, dispersed slippage with anomalies, misses", *target, WANTED_NUMPY)
    ]
    if arch is None:
        print("stationary bootstrap of portfolio returns: arch cannot be imported, not measured")
    else:
        met.append(judged("stationary bootstrap of portfolio returns", *arch, WANTED_ARCH))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main(*(int(text) for text in sys.argv[1:3])))
