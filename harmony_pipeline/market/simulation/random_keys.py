"""Random numbers by key: the number for (seed, company, date, bar, draw) does not depend on the
order of calls.

There is no generator state, so any part of the simulated market can be recomputed alone with the
same bits. A key is a 64-bit word. `fold` mixes one more number into it, and `uniform` and `normal`
draw from it. The mixer is the finaliser of SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable
pseudorandom number generators").
"""

import math

import numpy as np

from harmony_pipeline.kernel import kernel

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio, odd: steps of it visit every word
_MIX_A, _MIX_B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_ONE = np.uint64(1)
COMPANIES, VOLATILITY, PATHS = 1, 2, 3  # branches below the seed
_UNIT = 2.0**-53  # 53 random bits as a fraction
_LOW_TAIL = 0.02425


@kernel
def scramble(word: np.uint64) -> np.uint64:
    """One-to-one mixing of 64 bits."""
    word = (word ^ (word >> _30)) * _MIX_A
    word = (word ^ (word >> _27)) * _MIX_B
    return word ^ (word >> _31)


@kernel
def fold(key: np.uint64, number: int) -> np.uint64:
    """The key of `number` below `key`; `number` may be negative."""
    return scramble(key + GOLDEN * (np.uint64(number) + _ONE))


@kernel
def uniform(key: np.uint64, draw: int) -> float:
    """Draw number `draw` of a key, strictly between 0 and 1, so that its logarithm exists."""
    return (float(scramble(key ^ (GOLDEN * (np.uint64(draw) + _ONE))) >> _11) + 0.5) * _UNIT


@kernel
def normal(key: np.uint64, draw: int) -> float:
    """Standard normal number `draw` of a key: the inverse distribution function of `uniform(key,
    draw)`.

    Acklam's rational approximation, relative error below 1.2e-9. It needs one uniform and no
    trigonometry, so it is four times as fast as the method of Box and Muller.
    """
    p = uniform(key, draw)
    if _LOW_TAIL <= p <= 1.0 - _LOW_TAIL:
        q = p - 0.5
        r = q * q
        above = (
            (
                ((-3.969683028665376e01 * r + 2.209460984245205e02) * r - 2.759285104469687e02) * r
                + 1.383577518672690e02
            )
            * r
            - 3.066479806614716e01
        ) * r
        below = (
            (
                ((-5.447609879822406e01 * r + 1.615858368580409e02) * r - 1.556989798598866e02) * r
                + 6.680131188771972e01
            )
            * r
            - 1.328068155288572e01
        ) * r
        return (above + 2.506628277459239e00) * q / (below + 1.0)
    q = math.sqrt(-2.0 * math.log(min(p, 1.0 - p)))
    above = (
        (
            ((-7.784894002430293e-03 * q - 3.223964580411365e-01) * q - 2.400758277161838e00) * q
            - 2.549732539343734e00
        )
        * q
        + 4.374664141464968e00
    ) * q
    below = (
        ((7.784695709041462e-03 * q + 3.224671290700398e-01) * q + 2.445134137142996e00) * q
        + 3.754408661907416e00
    ) * q
    tail = (above + 2.938163982698783e00) / (below + 1.0)
    return tail if p < 0.5 else -tail


def key_of(seed: int, *branches: int) -> np.uint64:
    """The key of a branch below a seed.

    Compiled functions return plain ints, whose type would depend on their size. So the result is
    cast.
    """
    key = GOLDEN
    for number in (seed, *branches):
        key = np.uint64(fold(key, number))
    return key
