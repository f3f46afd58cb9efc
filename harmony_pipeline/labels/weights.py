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
from harmony_pipeline.kernel import kernel


@kernel
def average_uniqueness(
    entry: IntArray, end: IntArray, open_until: IntArray, bars: int
) -> FloatArray:
    """Weight of each label; nan for an unresolved one.

    `entry` and `end` are bar positions in one array of regular bars of all symbols, -1 if there is
    none. `open_until` is the last bar of the label's symbol, up to which an unresolved label is
    alive. Shares are summed as integers (1 = 2**40), so that a difference of prefix sums has the
    same bits wherever the array starts: a period computed alone equals the same rows of the whole
    history.
    """
    one = 1 << 40
    change = np.zeros(bars + 1, np.int64)
    for label in range(entry.size):
        if entry[label] >= 0:
            last = end[label] if end[label] >= 0 else open_until[label]
            change[entry[label]] += 1
            change[last + 1] -= 1
    shares = np.zeros(bars + 1, np.int64)
    alive = 0
    for bar in range(bars):
        alive += change[bar]
        shares[bar + 1] = shares[bar] + ((one + alive // 2) // alive if alive > 0 else 0)
    weight = np.full(entry.size, np.nan)
    for label in range(entry.size):
        if entry[label] >= 0 and end[label] >= 0:
            life = end[label] - entry[label] + 1
            weight[label] = (shares[end[label] + 1] - shares[entry[label]]) / (life * one)
    return weight
