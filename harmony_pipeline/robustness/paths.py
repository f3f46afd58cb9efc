"""Resampled equity paths: the kernels of the Monte Carlo.

A path starts at 1.0 and applies the trades one after the other, each as a return on the equity
before it: `equity *= max(0, 1 + return)`. Equity of zero stays zero.

Draw number `c` of path `p` is a pure function of (seed, stream, p, c). So any path can be
recomputed alone, a run of 200 paths is the beginning of a run of 2000, and the order of work does
not matter. The generator is splitmix64 (Steele, Lea & Flood 2014) used as a counter: its n-th
output is `mix(key + n * GOLDEN)`, so earlier outputs are not needed.

Sources: Efron 1979 (bootstrap); Politis & Romano 1994 (stationary bootstrap: blocks of geometric
length, with the sample wrapped around).
"""

from typing import Any

import numpy as np

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.kernel import kernel

# order in which a path meets the trades
IN_ORDER, RESAMPLED, BLOCKS, SHUFFLED = 0, 1, 2, 3

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_30, _SHIFT_27, _SHIFT_31, _HALF = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_ONE, _FOUR = np.uint64(1), np.uint64(4)
_TO_UNIT = 2.0**-32  # half a draw as a number in [0, 1)


@kernel
def mix(value: Any) -> Any:
    """The finaliser of splitmix64: uint64 in, uint64 out, one to one."""
    value = (value ^ (value >> _SHIFT_30)) * _MIX_1
    value = (value ^ (value >> _SHIFT_27)) * _MIX_2
    return value ^ (value >> _SHIFT_31)


@kernel
def path_key(seed: Any, stream: int, path: int) -> Any:
    """The key of the draws of one path; seed is uint64."""
    return mix(mix(mix(seed) + np.uint64(stream) * _GOLDEN) + np.uint64(path) * _GOLDEN)


@kernel
def draw(key: Any, counter: Any) -> Any:
    """Draw number `counter` of a path: 64 random bits."""
    return mix(key + (counter + _ONE) * _GOLDEN)


@kernel
def permute(key: Any, places: IntArray) -> None:
    """Fill `places` with a permutation of 0..n-1 (Fisher & Yates; 32 bits a draw, bias below n /
    2**32).
    """
    for k in range(places.size):
        j = np.int64(((draw(key, np.uint64(k) * _FOUR) >> _HALF) * np.uint64(k + 1)) >> _HALF)
        places[k] = places[j]
        places[j] = k


@kernel
def run_paths(
    returns: FloatArray,
    costs: FloatArray,
    seed: Any,
    stream: int,
    first_path: int,
    order: int,
    restart_probability: float,
    miss_probability: float,
    anomaly_probability: float,
    shock: float,
    stops: IntArray,
    final: FloatArray,
    drawdown: FloatArray,
    curves: FloatArray,
) -> None:
    """Simulate `final.size` paths from number `first_path`.

    returns [trades]: of the equity before each trade. costs [trades]: mean extra cost of a round
    trip, same unit; a path's cost is uniform between 0 and twice that. shock: return of a trade
    with an anomaly. stops [s]: trade numbers, rising, the last is `trades`. Written: final [paths]
    equity (start 1.0), drawdown [paths] (<= 0), curves [recorded, s] equity after stops[s] trades
    of the first `recorded` paths.
    """
    trades = returns.size
    whole = np.uint64(trades)
    restart = np.uint64(restart_probability * 4294967296.0)
    miss = np.uint64(miss_probability * 4294967296.0)
    anomaly = np.uint64(anomaly_probability * 4294967296.0)
    has_shocks = miss > np.uint64(0) or anomaly > np.uint64(0)
    costly = np.any(costs != 0.0)
    places = np.empty(trades if order == SHUFFLED else 0, dtype=np.int64)
    for p in range(final.size):
        key = path_key(seed, stream, first_path + p)
        if order == SHUFFLED:
            permute(key, places)
        equity, below_peak, worst = 1.0, 1.0, 1.0
        at = np.int64(-1)
        begin = np.int64(0)
        for s in range(stops.size):
            for k in range(begin, stops[s]):
                counter = np.uint64(k) * _FOUR
                if order == RESAMPLED:
                    at = np.int64(((draw(key, counter) >> _HALF) * whole) >> _HALF)
                elif order == BLOCKS:
                    bits = draw(key, counter)
                    fresh = np.int64(((bits >> _HALF) * whole) >> _HALF)
                    following = at + 1 if at + 1 < trades else np.int64(0)
                    at = fresh if (k == 0 or (bits & _LOW) < restart) else following
                elif order == SHUFFLED:
                    at = places[k]
                else:
                    at = np.int64(k)
                change = returns[at]
                if costly:
                    change -= costs[at] * (
                        2.0 * _TO_UNIT * np.float64(draw(key, counter + _ONE + _ONE) >> _HALF)
                    )
                if has_shocks:
                    bits = draw(key, counter + _ONE)
                    if (bits & _LOW) < anomaly:
                        change = shock
                    if (bits >> _HALF) < miss:
                        change = 0.0
                growth = max(0.0, 1.0 + change)
                equity *= growth
                # equity / peak by its own recursion: no division, and no peak to carry
                below_peak = min(1.0, below_peak * growth)
                worst = min(worst, below_peak)
            begin = stops[s]
            if p < curves.shape[0]:
                curves[p, s] = equity
        final[p] = equity
        drawdown[p] = worst - 1.0
