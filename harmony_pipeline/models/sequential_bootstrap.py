"""Sequential bootstrap: draws of training events that overlap as little as chance allows (Lopez de
Prado, Advances in Financial Machine Learning, 2018, ch. 4.5).

Labels that live on the same bars tell the same. A plain bootstrap draws them together, so that its
bags are too alike. Here each draw goes by what an event would add: its probability is proportional
to the mean, over the bars of its life, of 1 / (1 + draws alive there).

After a draw only the events that overlap it change. They are found by order of begin, their sums
change by a difference of prefix sums, and a Fenwick tree holds their probabilities. So a draw costs
(overlapping events) * log(events), where the book's matrix costs events * bars. Shares are integers
(1 = 2**32): the draws are the same on every machine.
"""

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.kernel import inlined_kernel, kernel
from harmony_pipeline.models.samples import Samples

_ONE = 1 << 32


def sequential_draws(begin: IntArray, end: IntArray, count: int, seed: int) -> IntArray:
    """`count` rows drawn with replacement, int64 [count], in the order of their draws.

    `begin` and `end` are the first and the last bar of each event's life, int64 [rows], 0 or more;
    events of different symbols live on different bars. Raises DataError when there is no event, or
    one ends before it begins.
    """
    if not begin.size or (end < begin).any():
        raise DataError(
            f"sequential bootstrap: {begin.size} events, of which {int((end < begin).sum())} end"
            " before they begin; pass resolved events"
        )
    order = np.argsort(begin, kind="stable")
    uniforms = np.random.default_rng(seed).random(count)
    drawn: IntArray = order[_draw(begin[order], end[order], uniforms)]
    return drawn


def lives(samples: Samples) -> tuple[IntArray, IntArray]:
    """First and last bar of each event's life, int64 [rows], for `sequential_draws`.

    Bars are counted by the different times of the events, each symbol by its own: a life goes from
    the event to the last time before it was settled.
    """
    frame = samples.frame
    clock = frame["timestamp"].unique().sort()
    begin, after = (
        clock.search_sorted(frame[name], side="left").cast(pl.Int64).to_numpy()
        for name in ("timestamp", "end_timestamp")
    )
    symbol = frame["symbol"].rank("dense").cast(pl.Int64).to_numpy() - 1
    offset = symbol * len(clock)
    return offset + begin, offset + np.maximum(after - 1, begin)


@kernel
def _draw(begin: IntArray, end: IntArray, uniforms: FloatArray) -> IntArray:
    """Rows drawn one after the other; `begin` rises."""
    rows = begin.size
    alive = np.zeros(end.max() + 1, np.int64)
    longest = (end - begin).max() + 1
    change = np.zeros(longest + 1, np.int64)  # of shares, summed over the bars of the drawn life
    sums = (end - begin + 1) * _ONE
    tree = np.zeros(rows + 1, np.int64)
    for row in range(rows):
        _add(tree, row, _ONE)
    total, drawn = rows * _ONE, np.empty(uniforms.size, np.int64)
    for number in range(uniforms.size):
        chosen = _find(tree, min(int(uniforms[number] * total), total - 1))
        drawn[number] = chosen
        first, last = begin[chosen], end[chosen]
        for bar in range(first, last + 1):
            had = _ONE // (alive[bar] + 1)
            alive[bar] += 1
            change[bar - first + 1] = change[bar - first] + _ONE // (alive[bar] + 1) - had
        row = np.searchsorted(begin, first - longest + 1)
        while row < rows and begin[row] <= last:
            if end[row] >= first:
                life = end[row] - begin[row] + 1
                before = sums[row] // life
                low, high = max(begin[row], first) - first, min(end[row], last) - first
                sums[row] += change[high + 1] - change[low]
                _add(tree, row, sums[row] // life - before)
                total += sums[row] // life - before
            row += 1
    return drawn


@inlined_kernel
def _add(tree: IntArray, row: int, amount: int) -> None:
    """Add to the value of a row of a Fenwick tree (Fenwick 1994, Software: Practice and Experience
    24).
    """
    place = row + 1
    while place < tree.size:
        tree[place] += amount
        place += place & -place


@inlined_kernel
def _find(tree: IntArray, target: int) -> int:
    """The first row up to and with which the values sum to more than `target`."""
    step, place = 1, 0
    while step * 2 < tree.size:
        step *= 2
    while step > 0:
        if place + step < tree.size and tree[place + step] <= target:
            place += step
            target -= tree[place]
        step //= 2
    return place
