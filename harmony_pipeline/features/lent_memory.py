"""Memory of results that is used again once nobody reads it any more.

Fresh memory has to be cleared by the kernel, page by page, which takes as long as a sixth of the
features that are written to it. Periods are computed one after the other, and the frame of one is
dropped before or after that of the next. So memory whose last column is gone waits for the next
result. Meanwhile the system may take its pages whenever it needs them (`MADV_FREE`), and no more
than one piece waits.
"""

import mmap
import sys
import weakref
from collections import deque
from contextlib import suppress

import numpy as np

from harmony_pipeline.arrays import FloatArray

_LEAST = 1 << 22  # bytes; less is left to NumPy
_LENDS = sys.platform == "linux"
_waiting: deque[mmap.mmap] = deque(maxlen=1)


def lend_floats(rows: int, columns: int) -> FloatArray:
    """An array [rows, columns], not filled: memory of a result that is gone, or fresh one.

    It is given back when the last array, buffer or frame that shares it is gone.
    """
    size = rows * columns * 8
    if size < _LEAST or not _LENDS:
        return np.empty((rows, columns))
    memory = _taken(size)
    floats = np.frombuffer(memory, np.float64, rows * columns)
    # all that is made of it keeps this array, and this array alone
    weakref.finalize(floats, _give_back, memory).atexit = False
    return floats.reshape(rows, columns)


def _taken(size: int) -> mmap.mmap:
    """A piece that waits, if it has about the size; else a fresh one."""
    with suppress(IndexError):
        memory = _waiting.pop()
        if size <= len(memory) <= 2 * size:
            return memory
    fresh = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # a kernel without large pages
        fresh.madvise(mmap.MADV_HUGEPAGE)
    return fresh


def _give_back(memory: mmap.mmap) -> None:
    with suppress(OSError):
        memory.madvise(mmap.MADV_FREE)
        _waiting.append(memory)
