"""Sums for which every bar takes all N numbers of its window anew, of many bars at once.

The bars of a block take the first number of their windows, then the second, and so on. So every bar
adds in the order in which a bar alone does, and has the same bits however the bars are cut, and the
compiler does several bars at once. Eight numbers are taken in one pass over the bars, which keeps a
bar's sum in a register meanwhile.
"""

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.kernel import inlined_kernel

_TAKEN = 8  # numbers of each window in a pass over the bars: as many as are written out below


@inlined_kernel
def weighted_sums(weights: FloatArray, history: FloatArray, values: FloatArray) -> None:
    """Write the sum of weights[k] * (the number k bars before) for k = 0, 1, .. N - 1, in this
    order, of each bar. `history` has N - 1 numbers, then those of the bars.
    """
    length, count = weights.size, values.size
    for i in range(count):
        values[i] = 0.0
    k = 0
    while k + _TAKEN <= length:
        # the slice of number k + n begins n places before that of number k
        near = history[length - 8 - k : length - 1 - k + count]
        a, b, c, d = near[7:], near[6 : 6 + count], near[5 : 5 + count], near[4 : 4 + count]
        e, f, g, h = near[3 : 3 + count], near[2 : 2 + count], near[1 : 1 + count], near[:count]
        p, q, r, s = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        t, u, v, w = weights[k + 4], weights[k + 5], weights[k + 6], weights[k + 7]
        for i in range(count):
            total = values[i] + p * a[i]
            total += q * b[i]
            total += r * c[i]
            total += s * d[i]
            total += t * e[i]
            total += u * f[i]
            total += v * g[i]
            values[i] = total + w * h[i]
        k += _TAKEN
    for rest in range(k, length):
        weight, known = weights[rest], history[length - 1 - rest : length - 1 - rest + count]
        for i in range(count):
            values[i] += weight * known[i]


@inlined_kernel
def distance_sums(
    before: FloatArray, after: FloatArray, at: int, centres: FloatArray, even: FloatArray,
    odd: FloatArray,
) -> None:  # fmt: skip
    """Write the sums of |number - centre| over the even and over the odd places of a ring of N.

    Bar i has just written place `at + i`: up to there the ring is `after`, which has the numbers of
    all bars, and behind it `before`.
    """
    length, count = after.size, centres.size
    for i in range(count):
        even[i] = odd[i] = 0.0
    j = 0
    while j + _TAKEN <= length:
        # before `low` no bar has written the eight places, from `high` on all of them
        low, high = max(0, min(j - at, count)), max(0, min(j + _TAKEN - at, count))
        _add_eight(before[j : j + _TAKEN], centres[:low], even[:low], odd[:low])
        _add_written(
            before[j : j + _TAKEN], after[j : j + _TAKEN], low - (j - at), centres[low:high],
            even[low:high], odd[low:high],
        )  # fmt: skip
        _add_eight(after[j : j + _TAKEN], centres[high:], even[high:], odd[high:])
        j += _TAKEN
    for place in range(j, length - 1, 2):
        old, new, wrote = before[place], after[place], place - at
        next_old, next_new = before[place + 1], after[place + 1]
        for i in range(count):
            even[i] += abs((new if i >= wrote else old) - centres[i])
            odd[i] += abs((next_new if i > wrote else next_old) - centres[i])
    if length % 2:
        old, new, wrote = before[length - 1], after[length - 1], length - 1 - at
        for i in range(count):
            even[i] += abs((new if i >= wrote else old) - centres[i])


@inlined_kernel
def distance_sum(ring: FloatArray, centre: float) -> float:
    """The same of one bar: the even places and the odd ones added up apart, then both."""
    even, odd = 0.0, 0.0
    for j in range(0, ring.size - 1, 2):
        even += abs(ring[j] - centre)
        odd += abs(ring[j + 1] - centre)
    if ring.size % 2:
        even += abs(ring[ring.size - 1] - centre)
    return even + odd


@inlined_kernel
def _add_eight(x: FloatArray, centres: FloatArray, even: FloatArray, odd: FloatArray) -> None:
    """The distances from eight numbers."""
    if centres.size == 0:
        return
    a, b, c, d, e, f, g, h = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
    for i in range(centres.size):
        centre = centres[i]
        even[i] = even[i] + abs(a - centre) + abs(c - centre) + abs(e - centre) + abs(g - centre)
        odd[i] = odd[i] + abs(b - centre) + abs(d - centre) + abs(f - centre) + abs(h - centre)


@inlined_kernel
def _add_written(
    x: FloatArray, y: FloatArray, first: int, centres: FloatArray, even: FloatArray,
    odd: FloatArray,
) -> None:  # fmt: skip
    """The same where bar i has written the places up to `first + i`: there `y` counts, behind it
    `x`.
    """
    a, b, c, d, e, f, g, h = x[0], x[1], x[2], x[3], x[4], x[5], x[6], x[7]
    p, q, r, s, t, u, v, w = y[0], y[1], y[2], y[3], y[4], y[5], y[6], y[7]
    for i in range(centres.size):
        centre, last = centres[i], first + i
        total = even[i] + abs((p if last >= 0 else a) - centre)
        total += abs((r if last >= 2 else c) - centre)
        total += abs((t if last >= 4 else e) - centre)
        even[i] = total + abs((v if last >= 6 else g) - centre)
        total = odd[i] + abs((q if last >= 1 else b) - centre)
        total += abs((s if last >= 3 else d) - centre)
        total += abs((u if last >= 5 else f) - centre)
        odd[i] = total + abs((w if last >= 7 else h) - centre)
