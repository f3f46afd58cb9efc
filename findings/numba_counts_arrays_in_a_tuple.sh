#!/bin/sh
# numba 0.68.1: a loop that takes its arrays out of a NamedTuple, or hands the tuple to a helper, is many times slower than the same loop
# over the same arrays under names of their own. Each access and each call counts references up and down, two atomic operations an array.
# Guess: a NamedTuple is taken apart by the compiler and costs nothing; at most a few per cent.
# Seen: with 16 arrays in the tuple and one helper call a step, 368 times as slow on a busy machine; the undocumented option _nrt=False, for functions that
# make no array, takes all of it away, and the results are equal.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'numba==0.68.1' 'numpy==2.4.6'
cat > "$work/tuples.py" <<'PY'
import time
from collections import namedtuple

import numba
import numpy as np

NAMES = [f"a{number}" for number in range(16)]
Arrays = namedtuple("Arrays", NAMES)


def step(arrays, row):
    if arrays.a0[row] > 0.5:
        arrays.a1[row] += arrays.a2[row]


def over_tuple(helper):
    def walk(arrays):
        for row in range(len(arrays.a0)):
            helper(arrays, row)

    return walk


def over_names(a0, a1, a2):
    for row in range(len(a0)):
        if a0[row] > 0.5:
            a1[row] += a2[row]


def arrays():
    random = np.random.default_rng(1)
    return Arrays(*(random.random(1_000_000) for _ in NAMES))


def best(function, *arguments):
    function(*arguments)
    seconds = []
    for _ in range(5):
        begun = time.perf_counter()
        function(*arguments)
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


plain = numba.njit(over_names)
counted = numba.njit(over_tuple(numba.njit(step)))
uncounted = numba.njit(_nrt=False)(over_tuple(numba.njit(_nrt=False)(step)))
same = [arrays() for _ in range(3)]
plain(same[0].a0, same[0].a1, same[0].a2)
counted(same[1])
uncounted(same[2])
assert all(np.array_equal(same[0].a1, each.a1) for each in same)
one = arrays()
named, tupled, free = best(plain, one.a0, one.a1, one.a2), best(counted, one), best(uncounted, one)
print(f"names 1, tuple {tupled / named:.1f}, tuple without counting {free / named:.1f}")
assert tupled > 4 * free
PY
"$work/venv/bin/python" "$work/tuples.py"
