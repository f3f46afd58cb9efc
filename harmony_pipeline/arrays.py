"""The array types of the kernels: one name for each element type; and room for many arrays."""

import math
import mmap
import sys
import weakref
from collections import deque
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
NumberArray = npt.NDArray[np.integer[Any]]  # of any width
Array = TypeVar("Array", bound=npt.NDArray[Any])

_BLOCK_BYTES = 1 << 23
_LARGE = 1 << 22  # bytes of a result from which on blocks are worth it
_PAGE_BYTES = 1 << 21  # a large page
_MOST_KEPT_BYTES = 1 << 28
_ALIGNMENT = 64  # of an array, in bytes: a line of the cache


class ArrayRoom:
    """Room for the arrays of a result of `size` bytes or so; a large one is cut out of blocks of 8
    MB or more.

    Memory is handed out by the system where it is first written, and a page of 4 KB costs more than
    a microsecond, several times what it takes to fill it. So blocks have pages of 2 MB (Linux), and
    those of results that are gone are used again. An array keeps the whole block that it is cut
    from.
    """

    def __init__(self, size: int = 0) -> None:
        self._is_large = size >= _LARGE
        self._block: ByteArray = np.empty(0, np.uint8)
        self._used = 0

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """`numpy.empty`."""
        if not self._is_large:
            return np.empty(shape, dtype)
        kind = np.dtype(dtype)
        size = math.prod(shape if isinstance(shape, tuple) else (shape,)) * kind.itemsize
        if self._used + size > len(self._block):
            self._block, self._used = _blocks.take(size), 0
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


class _Blocks:
    """Blocks of memory; those that are used no more are in the order in which they were left.

    An array may go in any thread and at any moment, so whatever changes the order is one call.
    """

    def __init__(self) -> None:
        self._left: deque[mmap.mmap] = deque()

    def take(self, size: int) -> ByteArray:
        """A block of `size` bytes or more, filled with anything."""
        size = -(-size // _BLOCK_BYTES) * _BLOCK_BYTES
        memory = self._left_with(size) or _new_memory(size)
        whole = np.frombuffer(memory, np.uint8)
        # what is cut from it refers to it, so this comes after the last array is gone
        weakref.finalize(whole, self._leave, memory).atexit = False
        begin = -whole.ctypes.data % _PAGE_BYTES
        return whole[begin : begin + size]

    def _left_with(self, size: int) -> mmap.mmap | None:
        for _ in range(len(self._left)):
            try:
                memory = self._left.pop()
            except IndexError:  # another thread was first
                return None
            if len(memory) == size + _PAGE_BYTES:
                return memory
            self._left.appendleft(memory)
        return None

    def _leave(self, memory: mmap.mmap) -> None:
        """Keep it for the next; the system may take its pages where memory is short."""
        if sys.platform == "linux":
            memory.madvise(mmap.MADV_FREE)
        self._left.append(memory)
        while sum(map(len, list(self._left))) > _MOST_KEPT_BYTES:
            self._left.popleft()


def _new_memory(size: int) -> mmap.mmap:
    """Memory that holds `size` bytes from the beginning of a large page on."""
    size += _PAGE_BYTES
    if sys.platform != "linux":
        return mmap.mmap(-1, size)
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


_blocks = _Blocks()
