"""Average uniqueness: the share of its own life that a label does not share with others.

Labels whose lives overlap are resolved by the same bars, so they are not independent samples. On a
bar with `c` labels alive each has a share of 1/c. The weight of a label is the mean share over its
life, from its entry bar to the bar that resolved it, both included (Lopez de Prado, Advances in
Financial Machine Learning, 2018, ch. 4.2-4.4).

A weight is known at its label's own end. A label alive on a bar was entered by that bar, and an
open label counts as alive up to the last bar. So nothing after a label's end changes its weight.
"""

import numpy as np

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.kernel import inlined_kernel, kernel_without_allocation

_ONE = 1 << 40
_SHARES = np.array([0, *((_ONE + alive // 2) // alive for alive in range(1, 256))])


@kernel_without_allocation
def average_uniqueness(
    entry: IntArray,
    end: IntArray,
    cuts: IntArray,
    first_bar: int,
    end_bar: int,
    shares: IntArray,
    weight: FloatArray,
) -> None:
    """Write the weight of each label; nan for an unresolved one.

    `entry` and `end` are positions of bars from `first_bar` to `end_bar`, -1 if there is none;
    entries rise. `cuts` has the position after the last bar of each segment (MarketArrays), up to
    which an unresolved label is alive. Shares are summed as integers (1 = 2**40), so that a
    difference of prefix sums has the same bits wherever the array starts: a period computed alone
    equals the same rows of the whole history. `shares` is room for a number more than there are
    bars.
    """
    bars = end_bar - first_bar
    # first the change of the number of labels alive before each bar, then the sum of the shares
    # of all bars before it
    shares[:] = 0
    segment = 0
    for label in range(entry.size):
        if entry[label] >= 0:
            last = end[label]
            if last < 0:
                while cuts[segment] <= entry[label]:
                    segment += 1
                last = cuts[segment] - 1
            shares[entry[label] - first_bar] += 1
            shares[last + 1 - first_bar] -= 1
    alive = total = 0
    for bar in range(bars + 1):
        alive += shares[bar]
        shares[bar] = total
        total += _share(alive)
    for label in range(entry.size):
        weight[label] = np.nan
        if entry[label] >= 0 and end[label] >= 0:
            first, after = entry[label] - first_bar, end[label] + 1 - first_bar
            weight[label] = (shares[after] - shares[first]) / ((after - first) * _ONE)


@inlined_kernel
def _share(alive: int) -> int:
    """1/alive in units of 2**-40, to the nearest; 0 where nothing is alive. A division takes longer
    than all else that a bar needs.
    """
    if alive < len(_SHARES):
        return int(_SHARES[alive])
    return (_ONE + alive // 2) // alive
