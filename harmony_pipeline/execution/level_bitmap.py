"""Which positions of a long row are in use, and the next one above or below another.

A bit a position, in words of 64. A second tier has a bit for each word of the first that is not
zero, a third for each word of the second, and so on to a single word. Setting, clearing and finding
the next bit read one word a tier at most: log64 of the number of positions, 3 for 262,144.

Bits are found by de Bruijn multiplication (Leiserson, Prokop and Randall, "Using de Bruijn
Sequences to Index a 1 in a Computer Word", MIT 1998).
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.kernel import inlined_kernel

_DE_BRUIJN = 0x03F79D71B4CB0A89  # every six bits in a row are different
_MULTIPLIER = np.uint64(_DE_BRUIJN)
_ONE, _TOP_SIX = np.uint64(1), np.uint64(58)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_BIT = np.zeros(64, np.int64)
for _bit in range(64):
    _BIT[((_DE_BRUIJN << _bit) & 0xFFFFFFFFFFFFFFFF) >> 58] = _bit


class LevelBitmap(NamedTuple):
    """The words of all tiers, and where each tier begins. No bit is set in zeroed words."""

    words: npt.NDArray[np.uint64]
    tiers: IntArray

    @staticmethod
    def of(positions: int) -> "LevelBitmap":
        """An empty one for positions 0 to `positions` - 1."""
        starts, total, words = [0], -(-positions // 64), -(-positions // 64)
        while words > 1:
            words = -(-words // 64)
            starts.append(total)
            total += words
        return LevelBitmap(np.zeros(total, np.uint64), np.array(starts, np.int64))


@inlined_kernel
def _lowest(word: np.uint64) -> int:
    """The number of the lowest bit of a word that is not zero."""
    return int(_BIT[((word & (~word + _ONE)) * _MULTIPLIER) >> _TOP_SIX])


@inlined_kernel
def _highest(word: np.uint64) -> int:
    """The number of the highest bit of a word that is not zero."""
    word |= word >> np.uint64(1)
    word |= word >> np.uint64(2)
    word |= word >> np.uint64(4)
    word |= word >> np.uint64(8)
    word |= word >> np.uint64(16)
    word |= word >> np.uint64(32)
    return int(_BIT[((word ^ (word >> _ONE)) * _MULTIPLIER) >> _TOP_SIX])


@inlined_kernel
def set_level(bitmap: LevelBitmap, position: int) -> None:
    """Mark a position as used."""
    for tier in range(bitmap.tiers.size):
        at = bitmap.tiers[tier] + (position >> 6)
        before = bitmap.words[at]
        bitmap.words[at] = before | (_ONE << np.uint64(position & 63))
        if before != 0:
            return
        position >>= 6


@inlined_kernel
def clear_level(bitmap: LevelBitmap, position: int) -> None:
    """Mark a position as free."""
    for tier in range(bitmap.tiers.size):
        at = bitmap.tiers[tier] + (position >> 6)
        left = bitmap.words[at] & ~(_ONE << np.uint64(position & 63))
        bitmap.words[at] = left
        if left != 0:
            return
        position >>= 6


@inlined_kernel
def next_above(bitmap: LevelBitmap, position: int, none: int) -> int:
    """The lowest used position above `position` (0 or more), or `none`."""
    for tier in range(bitmap.tiers.size):
        word = position >> 6
        higher = (_ALL << np.uint64(position & 63)) << _ONE
        found = bitmap.words[bitmap.tiers[tier] + word] & higher
        if found != 0:
            position = (word << 6) | _lowest(found)
            for lower in range(tier - 1, -1, -1):
                found = bitmap.words[bitmap.tiers[lower] + position]
                position = (position << 6) | _lowest(found)
            return position
        position = word
    return none


@inlined_kernel
def next_below(bitmap: LevelBitmap, position: int, none: int) -> int:
    """The highest used position below `position` (within the row), or `none`."""
    for tier in range(bitmap.tiers.size):
        word = position >> 6
        lower_bits = (_ONE << np.uint64(position & 63)) - _ONE
        found = bitmap.words[bitmap.tiers[tier] + word] & lower_bits
        if found != 0:
            position = (word << 6) | _highest(found)
            for lower in range(tier - 1, -1, -1):
                found = bitmap.words[bitmap.tiers[lower] + position]
                position = (position << 6) | _highest(found)
            return position
        position = word
    return none
