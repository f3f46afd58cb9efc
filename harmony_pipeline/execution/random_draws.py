"""Chance that does not depend on call order: a number in [0, 1) for every (seed, symbol, time, kind
of order, draw).

The same key gives the same number in a backtest, in a live session and in a replay, whatever else
happens. The key is folded through rounds of splitmix64 (Steele, Lea and Flood, "Fast splittable
pseudorandom number generators", OOPSLA 2014; finaliser by Stafford, variant 13).
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harmony_pipeline.kernel import kernel_without_allocation

REJECTED_DRAW, PARTIAL_DRAW, FRACTION_DRAW, LATE_BAR_DRAW, DROPPED_BAR_DRAW = 0, 1, 2, 3, 4
OF_THE_BAR = 0  # in place of a role, where chance concerns a bar and not an order


def symbol_key(symbol: str) -> np.uint64:
    """A stable 64-bit hash of a symbol's name: it does not depend on which other symbols there are,
    nor on the process.
    """
    return np.uint64(
        int.from_bytes(hashlib.blake2b(symbol.encode(), digest_size=8).digest(), "little")
    )


def symbol_keys(symbols: Sequence[str]) -> NDArray[np.uint64]:
    """`symbol_key` of each, in order."""
    return np.array([symbol_key(symbol) for symbol in symbols], dtype=np.uint64)


@kernel_without_allocation
def _mix(state: np.uint64) -> np.uint64:
    z = state + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@kernel_without_allocation
def uniform(seed: np.uint64, key: np.uint64, time_us: int, order_kind: int, draw: int) -> float:
    """A number in [0, 1) with 53 random bits, a pure function of its key. `order_kind` is a role of
    portfolio/kernel_types.py.
    """
    state = _mix(np.uint64(seed))
    state = _mix(state ^ np.uint64(key))
    state = _mix(state ^ np.uint64(time_us))
    state = _mix(state ^ (np.uint64(order_kind) << np.uint64(32)) ^ np.uint64(draw))
    return float(state >> np.uint64(11)) * (1.0 / 9007199254740992.0)
