"""The array types of the kernels: one name for each element type; and room for many arrays."""

import math
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
Array = TypeVar("Array", bound=npt.NDArray[Any])

_BLOCK_BYTES = 1 << 23
_LARGE = 1 << 22  # bytes from which on NumPy asks for large pages
_ALIGNMENT = 64  # of an array, in bytes: a line of the cache


class ArrayRoom:
    """Room for the arrays of a result of `size` bytes or so; a large one is cut out of blocks of 8
    MB.

    Memory is handed out by the system where it is first written, and a page of 4 KB costs more than
    a microsecond, several times what it takes to fill it. NumPy asks for pages of 2 MB where an
    array is as large as a block (Linux). An array keeps the whole block that it is cut from.
    """

    def __init__(self, size: int = 0) -> None:
        self._least = _BLOCK_BYTES if size >= _LARGE else 0
        self._block: ByteArray = np.empty(0, np.uint8)
        self._used = 0

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """`numpy.empty`."""
        if not self._least:
            return np.empty(shape, dtype)
        kind = np.dtype(dtype)
        size = math.prod(shape if isinstance(shape, tuple) else (shape,)) * kind.itemsize
        if self._used + size > len(self._block):
            self._block, self._used = np.empty(max(self._least, size), np.uint8), 0
        begin = self._used
        self._used = begin + -(-size // _ALIGNMENT) * _ALIGNMENT
        return self._block[begin : begin + size].view(kind).reshape(shape)


def read_only(array: Array) -> Array:
    """`array`, made read-only.

    Polars' own memory and a copy are two types to the compiler, and a kernel is compiled for each
    combination of types that it meets. Read-only, they are one.
    """
    array.flags.writeable = False
    return array
