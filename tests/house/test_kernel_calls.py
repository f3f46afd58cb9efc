"""Kernels that are called by their address."""

from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
from numba import typeof

from harmony_pipeline.kernel import call_kernel, kernel, kernel_address, type_of_argument
from harmony_pipeline.kernel_hash import kernel_hash


@kernel
def _doubled(values):
    for i in range(values.size):
        values[i] *= 2.0


@kernel
def _checked(values):
    if values[0] < 0.0:
        raise ValueError("below 0")
    values[0] = np.sqrt(values[0])


@kernel
def _sum(values):
    return values.sum()


@kernel
def _each(addresses, values):
    for i in range(addresses.size):
        call_kernel(addresses[i], (values,))


def test_a_kernel_calls_others_that_it_does_not_know():
    values = np.array([2.0, 4.5])
    addresses = np.array([kernel_address(one, values) for one in (_doubled, _checked, _doubled)])
    _each(addresses, values)
    assert values.tolist() == [4.0, 18.0]


def test_an_error_of_a_called_kernel_arrives():
    values = np.array([-1.0])
    with pytest.raises(ValueError, match="below 0"):
        _each(np.array([kernel_address(_checked, values)]), values)


def test_a_kernel_that_returns_something_is_refused():
    with pytest.raises(TypeError, match="_sum returns something"):
        kernel_address(_sum, np.ones(1))


FIELDS = [("price", np.float64), ("side", np.int8), ("name", np.int64)]
RECORDS = np.zeros((4, 3), np.dtype(FIELDS, align=True))
FROZEN = RECORDS.copy()
FROZEN.setflags(write=False)


class Books(NamedTuple):
    orders: np.ndarray
    inner: tuple[np.ndarray, int]


@pytest.mark.parametrize(
    "argument",
    [
        RECORDS, FROZEN, RECORDS[0], RECORDS[:, 1], RECORDS.T, RECORDS[::2], RECORDS["price"], RECORDS[0, 0],
        np.zeros((4, 3), np.dtype(FIELDS)), np.zeros(2, [("prices", np.float64, 3), ("one", FIELDS)]),
        np.ones(3), 1, -1, 2**63, 1.0, True, None, (), (RECORDS, RECORDS), (RECORDS, (FROZEN, 1.0)),
        Books(RECORDS[0], (FROZEN, 3)),
    ],
)  # fmt: skip
def test_an_argument_has_the_type_that_numba_finds(argument):
    for _ in range(2):  # made, and found again
        found, expected = type_of_argument(_sum, argument), typeof(argument)
        assert found == expected
        assert (str(found), hash(found)) == (str(expected), hash(expected))


SOURCE = """
from numba import njit, types
from numba.extending import intrinsic

@intrinsic
def one(context):
    def generate(context, builder, signature, values):
        return context.get_constant(types.int64, 1)
    return types.int64(), generate

@njit
def outer():
    return one()
"""


def test_an_edit_of_code_that_numba_is_told_to_write_changes_the_hash():
    def hash_of(source):
        module = ModuleType("harmony_pipeline.made_up")
        exec(compile(source, "made_up.py", "exec"), vars(module))
        return kernel_hash(module.outer.py_func)

    assert hash_of(SOURCE) == hash_of(SOURCE.replace("\n\n@njit", "\n\n\n@njit"))
    assert hash_of(SOURCE) != hash_of(SOURCE.replace("types.int64, 1)", "types.int64, 2)"))
