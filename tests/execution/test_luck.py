"""Chance by key."""

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harmony_pipeline.execution.random_draws import symbol_key, symbol_keys, uniform

KEY = symbol_key("AAPL")
NOON = 1_704_283_200_000_000
MASK = 2**64 - 1


def by_hand(seed, key, time, kind, draw):
    def mix(z):
        z = (z + 0x9E3779B97F4A7C15) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    return (mix(mix(mix(mix(seed) ^ key) ^ time) ^ (kind << 32) ^ draw) >> 11) * 2.0**-53


def draw(seed=101, key=KEY, time=NOON, kind=0, number=0):
    return uniform(np.uint64(seed), key, time, kind, number)


@given(
    seed=st.integers(0, MASK),
    time=st.integers(0, 2**62),
    kind=st.integers(0, 3),
    number=st.integers(0, 2),
)
def test_the_number_is_the_published_hash_of_its_key(seed, time, kind, number):
    assert draw(seed, KEY, time, kind, number) == by_hand(seed, int(KEY), time, kind, number)
    assert 0.0 <= draw(seed, KEY, time, kind, number) < 1.0


def test_splitmix_begins_with_its_published_numbers():
    """First outputs for seed 0 of the reference implementation (Vigna, splitmix64.c)."""
    from harmony_pipeline.execution.random_draws import _mix

    state, found = 0, []
    for _ in range(3):
        found.append(int(_mix(np.uint64(state))))
        state = (state + 0x9E3779B97F4A7C15) & MASK
    assert found == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_every_part_of_the_key_matters():
    others = [
        draw(seed=102),
        draw(key=symbol_key("AAPM")),
        draw(time=NOON + 1),
        draw(kind=1),
        draw(number=1),
    ]
    assert len({draw(), *others}) == 6


def test_draws_are_uniform_and_independent_along_every_part():
    times = np.array([draw(time=NOON + 900_000_000 * step) for step in range(4000)])
    symbols = np.array([draw(key=symbol_key(f"S{number}")) for number in range(4000)])
    numbers = np.array([draw(time=NOON + step, number=1) for step in range(4000)])
    for sample in (times, symbols, numbers):
        assert stats.kstest(sample, "uniform").pvalue > 0.01
        assert abs(np.corrcoef(sample[:-1], sample[1:])[0, 1]) < 0.05
    assert (
        abs(
            np.corrcoef(
                times,
                np.array([draw(time=NOON + 900_000_000 * step, number=1) for step in range(4000)]),
            )[0, 1]
        )
        < 0.05
    )


def test_a_symbols_key_is_the_same_in_every_process():
    code = (
        "from harmony_pipeline.execution.random_draws import symbol_key;"
        " print(int(symbol_key('BRK.B')))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ".", "PYTHONHASHSEED": "77", "PATH": "", "HOME": "/tmp"},
    )
    assert int(other.stdout) == int(symbol_key("BRK.B")) == int(symbol_keys(["A", "BRK.B"])[1])
