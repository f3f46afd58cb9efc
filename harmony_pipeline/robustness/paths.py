"""Resampled equity paths: the kernels of the Monte Carlo.

A path starts at 1.0 and applies the trades one after the other, each as a return on the equity
before it: `equity *= max(0, 1 + return)`. Equity of zero stays zero.

Draw number `c` of path `p` is a pure function of (seed, stream, p, c). So any path can be
recomputed alone, a run of 200 paths is the beginning of a run of 2000, and neither the order of
work nor the number of threads matters. The generator is splitmix64 (Steele, Lea & Flood 2014) used
as a counter: its n-th output is `mix(key + n * GOLDEN)`, so earlier outputs are not needed.

Paths are walked LANES at a time and STEPS trades at a time, by loops that each do one thing to a
small table [STEPS, LANES]. What a path needs of its own past (equity, the place of a running block)
is then one of many independent numbers beside each other, which the machine computes together, and
the tables stay in its nearest cache. No path sees its neighbours, so a path's numbers are the same
in any company.

A block of the stationary bootstrap begins with a day and ends with one: trades that were closed on
one day move together (they share their market), so they are drawn together. A path that had them
apart would see a hundred dependent trades as a hundred chances to be wrong, and spread too little.

Sources: Efron 1979 (bootstrap); Politis & Romano 1994 (stationary bootstrap: blocks of geometric
length, with the sample wrapped around); Hall 1985 (whole units drawn where their parts depend on
each other).
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
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
LANES, STEPS = 32, 64  # 16 kB a table

_WORTH_SHARING = 200_000  # trades in all: about a millisecond of one core

Bits = NDArray[np.uint64]


class Trouble(NamedTuple):
    """What may happen to a trade on a path; probabilities of 0 switch it off.

    `shock` is the return of a trade with an anomaly. A trade's slippage is uniform between 0 and
    twice its mean, and `slippage_anomaly_size` times that where an anomaly of the slippage strikes.
    """

    miss_probability: float = 0.0
    anomaly_probability: float = 0.0
    shock: float = 0.0
    slippage_anomaly_probability: float = 0.0
    slippage_anomaly_size: float = 1.0


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
    days: IntArray,
    seed: Any,
    stream: int,
    first_path: int,
    order: int,
    restart_probability: float,
    trouble: Trouble,
    stops: IntArray,
    final: FloatArray,
    drawdown: FloatArray,
    curves: FloatArray,
) -> None:
    """Simulate `final.size` paths from number `first_path`.

    returns [trades]: of the equity before each trade. costs [trades]: mean extra cost of a round
    trip, same unit; a path's cost is uniform between 0 and twice that. days [days]: number of the
    first trade of each day, rising from 0; a block is of whole days, and `restart_probability` is
    asked at the end of each. stops [s]: trade numbers, rising, the last is `trades`. Written: final
    [paths] equity (start 1.0), drawdown [paths] (<= 0), curves [recorded, s] equity after stops[s]
    trades of the first `recorded` paths.
    """
    trades: Any = np.int64(returns.size)
    costly = np.any(costs != 0.0)
    shaken = trouble.miss_probability > 0.0 or trouble.anomaly_probability > 0.0
    keys, places = _lanes_of(order, trades)
    begins = _first_of_day(days, trades)
    bits, at = np.empty((STEPS, LANES), np.uint64), np.empty((STEPS, LANES), np.int64)
    change, cost, state = np.empty((STEPS, LANES)), np.empty((STEPS, LANES)), np.empty((3, LANES))
    for first in range(0, final.size, LANES):
        used = min(LANES, final.size - first)
        for lane in range(LANES):
            keys[lane] = path_key(seed, stream, first_path + first + lane)
            if order == SHUFFLED:
                permute(keys[lane], places[lane])
        recorded = max(min(used, curves.shape[0] - first), 0)
        state[:] = 1.0
        stop: Any = np.int64(0)
        for begin in range(0, trades, STEPS):
            size = min(STEPS, trades - begin)
            if order != IN_ORDER:
                _order_trades(
                    keys, order, restart_probability, begin, trades, places, days, begins, bits, at
                )
            _meet(returns, order, begin, at[:size], change)
            if costly:
                _meet(costs, order, begin, at[:size], cost)
                _draws(keys, _ONE + _ONE, begin, bits)
                _slip(cost, bits, trouble, change[:size])
            if shaken:
                _draws(keys, _ONE, begin, bits)
                _disturb(bits, trouble, change[:size])
            stop = _walk_and_record(
                change[:size], state, begin, stops, stop, curves[first : first + recorded]
            )
        final[first : first + used] = state[0, :used]
        drawdown[first : first + used] = state[2, :used] - 1.0


@kernel
def _lanes_of(order: int, trades: int) -> tuple[Bits, IntArray]:
    """Room for the keys of the paths, and for their permutations where they are shuffled."""
    shuffled = trades if order == SHUFFLED else 0
    return np.empty(LANES, np.uint64), np.empty((LANES, shuffled), np.int64)


@kernel
def _first_of_day(days: IntArray, trades: int) -> BoolArray:
    """Whether a day begins with a trade, [trades]."""
    begins = np.zeros(trades, np.bool_)
    for day in range(days.size):
        begins[days[day]] = True
    return begins


@kernel
def _draws(keys: Bits, offset: Any, begin: int, bits: Bits) -> None:
    """Draw number 4 * k + offset of each path, for the trades k from `begin` on."""
    for k in range(bits.shape[0]):
        row = bits[k]
        step = (np.uint64(begin + k) * _FOUR + offset + _ONE) * _GOLDEN
        for lane in range(keys.size):
            row[lane] = mix(keys[lane] + step)


@kernel
def _order_trades(
    keys: Bits,
    order: int,
    restart_probability: float,
    begin: int,
    trades: int,
    places: IntArray,
    days: IntArray,
    begins: BoolArray,
    bits: Bits,
    at: IntArray,
) -> None:
    """Fill at [steps, lanes]: the trade that each path meets at each step from `begin` on, where
    they do not all meet the same one. The last row of the steps before is still in `at`.
    """
    if order == SHUFFLED:
        for k in range(min(at.shape[0], trades - begin)):
            for lane in range(keys.size):
                at[k, lane] = places[lane, begin + k]
    else:
        _draws(keys, np.uint64(0), begin, bits)
        if order == RESAMPLED:
            _fresh(bits, np.uint64(trades), at)
        else:
            restart = np.uint64(restart_probability * 4294967296.0)
            _go_on(bits, days, begins, restart, begin, at)


@kernel
def _fresh(bits: Bits, trades: Any, at: IntArray) -> None:
    for k in range(at.shape[0]):
        drawn, row = bits[k], at[k]
        for lane in range(row.size):
            row[lane] = np.int64(((drawn[lane] >> _HALF) * trades) >> _HALF)


@kernel
def _go_on(
    bits: Bits, days: IntArray, begins: BoolArray, restart: Any, begin: int, at: IntArray
) -> None:
    """A block goes on with the trade after the one before; where that begins a day, a new block may
    begin instead, with the first trade of any day.
    """
    before, whole = at[-1].copy(), np.uint64(days.size)
    for k in range(at.shape[0]):
        drawn, row = bits[k], at[k]
        for lane in range(before.size):
            fresh = days[np.int64(((drawn[lane] >> _HALF) * whole) >> _HALF)]
            following = before[lane] + 1
            following = following if following < begins.size else np.int64(0)
            inside = (drawn[lane] & _LOW) >= restart or not begins[following]
            goes_on = inside and begin + k > 0
            before[lane] = following if goes_on else fresh
            row[lane] = before[lane]


@kernel
def _meet(values: FloatArray, order: int, begin: int, at: IntArray, met: FloatArray) -> None:
    """Fill `met` with those of the `values` that each path meets at each step from `begin` on: `at`
    says which, where they do not all meet the same one.
    """
    if order == IN_ORDER:
        _same_for_all(values[begin : begin + at.shape[0]], met)
    else:
        _pick(values, at, met)


@kernel
def _pick(values: FloatArray, at: IntArray, picked: FloatArray) -> None:
    for k in range(at.shape[0]):
        row, places = picked[k], at[k]
        for lane in range(places.size):
            row[lane] = values[places[lane]]


@kernel
def _same_for_all(values: FloatArray, picked: FloatArray) -> None:
    for k in range(values.size):
        row, value = picked[k], values[k]
        for lane in range(row.size):
            row[lane] = value


@kernel
def _slip(cost: FloatArray, bits: Bits, trouble: Trouble, change: FloatArray) -> None:
    anomaly = np.uint64(trouble.slippage_anomaly_probability * 4294967296.0)
    size = trouble.slippage_anomaly_size
    for k in range(change.shape[0]):
        row, drawn, mean = change[k], bits[k], cost[k]
        for lane in range(row.size):
            share = 2.0 * _TO_UNIT * np.float64(np.int64(drawn[lane] >> _HALF))
            share = share * size if (drawn[lane] & _LOW) < anomaly else share
            row[lane] -= mean[lane] * share


@kernel
def _disturb(bits: Bits, trouble: Trouble, change: FloatArray) -> None:
    miss = np.uint64(trouble.miss_probability * 4294967296.0)
    anomaly = np.uint64(trouble.anomaly_probability * 4294967296.0)
    for k in range(change.shape[0]):
        row, drawn = change[k], bits[k]
        for lane in range(row.size):
            shaken = trouble.shock if (drawn[lane] & _LOW) < anomaly else row[lane]
            row[lane] = 0.0 if (drawn[lane] >> _HALF) < miss else shaken


@kernel
def _walk_and_record(
    change: FloatArray,
    state: FloatArray,
    begin: int,
    stops: IntArray,
    stop: int,
    curves: FloatArray,
) -> int:
    """Walk the steps from `begin` on, and write the equity down at each of the `stops` from number
    `stop` on that lies within. Returns the number of the next one.
    """
    done = np.int64(0)
    while stop < stops.size and stops[stop] <= begin + change.shape[0]:
        _walk(change[done : stops[stop] - begin], state[0], state[1], state[2])
        done = stops[stop] - begin
        for path in range(curves.shape[0]):
            curves[path, stop] = state[0, path]
        stop += 1
    _walk(change[done:], state[0], state[1], state[2])
    return stop


@kernel
def _walk(change: FloatArray, equity: FloatArray, below: FloatArray, worst: FloatArray) -> None:
    """Apply the changes [steps, lanes] to the equity. `below` is equity over its peak, `worst` the
    least of that; by its own recursion, with no division and no peak to carry.
    """
    for k in range(change.shape[0]):
        row = change[k]
        for lane in range(row.size):
            growth = 1.0 + row[lane]
            growth = growth if growth > 0.0 else 0.0
            now = below[lane] * growth
            now = now if now < 1.0 else 1.0
            equity[lane] *= growth
            below[lane] = now
            worst[lane] = now if now < worst[lane] else worst[lane]


def share_paths(
    walk: Callable[[int, int], None], paths: int, steps: int, threads: int | None = None
) -> None:
    """Call `walk(first, end)` for all of `paths`, in as many parts as there are threads (by
    default: cores); in one part where the work is too little to share.
    """
    count = threads or (os.cpu_count() or 1 if paths * steps >= _WORTH_SHARING else 1)
    size = -(-paths // count)
    size += -size % LANES  # whole registers but for the last part
    parts = [(first, min(first + size, paths)) for first in range(0, paths, size)]
    if len(parts) < 2:
        walk(0, paths)
        return
    with ThreadPoolExecutor(len(parts)) as pool:
        for part in [pool.submit(walk, *part) for part in parts]:
            part.result()
