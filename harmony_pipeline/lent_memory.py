"""Memory of large results, which is used again once nobody reads it any more.

Fresh memory has to be cleared by the kernel, page by page, which takes as long as a sixth of the
features that are written to it, a fifth of the labels and a third of a backtest's tables. Periods
are computed one after the other, and the frame of one is dropped before or after that of the next.
So memory whose last column is gone waits for the next result. Meanwhile the system may take its
pages whenever it needs them (`MADV_FREE`).
"""

import math
import mmap
import sys
import weakref
from collections import deque
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt

from harmony_pipeline.arrays import ByteArray, FloatArray

_LEAST = 1 << 22  # bytes; less is left to NumPy
_BLOCK_BYTES = 1 << 23
_PAGE_BYTES = 1 << 21  # a large page
_ALIGNMENT = 64  # of an array, in bytes: a line of the cache
_LENDS = sys.platform == "linux"
# Two results may be made in turns, however large they are; more wait only while they are small.
_ANY_SIZE, _MOST_WAITING_BYTES = 2, 1 << 28

# An array may go in any thread and at any moment, so whatever changes the order is one call.
_waiting: deque[mmap.mmap] = deque()


class ArrayRoom:
    """Room for the arrays of a result of `size` bytes or so; a large one is cut out of blocks of 8
    MB or more. An array keeps the whole block that it is cut from.
    """

    def __init__(self, size: int = 0) -> None:
        self._is_large = size >= _LEAST
        self._block: ByteArray = np.empty(0, np.uint8)
        self._used = 0

    def empty(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """`numpy.empty`."""
        if not self._is_large:
            return np.empty(shape, dtype)
        kind = np.dtype(dtype)
        size = math.prod(shape if isinstance(shape, tuple) else (shape,)) * kind.itemsize
        if self._used + size > len(self._block):
            self._block, self._used = lend_bytes(max(size, _BLOCK_BYTES)), 0
        begin = self._used
        self._used = begin + -(-size // _ALIGNMENT) * _ALIGNMENT
        return self._block[begin : begin + size].view(kind).reshape(shape)


def lend_floats(rows: int, columns: int) -> FloatArray:
    """An array [rows, columns], not filled: memory as of `lend_bytes`."""
    if rows * columns * 8 < _LEAST:
        return np.empty((rows, columns))
    return lend_bytes(rows * columns * 8).view(np.float64).reshape(rows, columns)


def lend_bytes(size: int) -> ByteArray:
    """So many bytes, not filled: memory of a result that is gone, or fresh one. A large piece
    begins with a large page.

    It is given back when the last array, buffer or frame that shares it is gone.
    """
    if size < _LEAST or not _LENDS:
        return np.empty(size, np.uint8)
    memory = _taken(size)
    whole = np.frombuffer(memory, np.uint8)
    # all that is made of it keeps this array, and this array alone
    weakref.finalize(whole, _give_back, memory).atexit = False
    begin = -whole.ctypes.data % _PAGE_BYTES
    return whole[begin : begin + size]


def _taken(size: int) -> mmap.mmap:
    """A piece that waits, if it has about the size; else a fresh one."""
    size = -(-size // _BLOCK_BYTES) * _BLOCK_BYTES
    with suppress(IndexError):  # another thread may have taken the last one
        for _ in range(len(_waiting)):
            memory = _waiting.pop()  # the last that was given back
            if size + _PAGE_BYTES <= len(memory) <= 2 * size + _PAGE_BYTES:
                return memory
            _waiting.appendleft(memory)
    fresh = mmap.mmap(-1, size + _PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without large pages
        fresh.madvise(mmap.MADV_HUGEPAGE)
    return fresh


def _give_back(memory: mmap.mmap) -> None:
    with suppress(OSError):
        memory.madvise(mmap.MADV_FREE)
        _waiting.append(memory)
    with suppress(IndexError):  # another thread may have let the last one go
        while len(_waiting) > _ANY_SIZE and _waiting_bytes() > _MOST_WAITING_BYTES:
            _waiting.popleft()


def _waiting_bytes() -> int:
    return sum(map(len, list(_waiting)))
