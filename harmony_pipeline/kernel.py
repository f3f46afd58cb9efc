"""`@kernel`: the one place where compiled functions get their flags.

No fastmath: sums keep their order, so results are bit-for-bit reproducible. Division by zero gives
inf or nan as in NumPy. Kernels release the GIL and are cached on disk.

numba's own cache notices an edit of the file that holds a kernel, and nothing else: after an edit
of a helper or constant in another file the old machine code would still run. So every kernel has a
cache folder named by a hash of everything it is compiled from (kernel_hash.py). An edited constant
recompiles the kernels that use it, and no other.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

import numba
from numba.core.caching import FunctionCache

from harmony_pipeline.kernel_hash import kernel_hash

F = TypeVar("F", bound=Callable[..., Any])

_FLAGS = {"fastmath": False, "error_model": "numpy", "nogil": True}
_naming = threading.Lock()  # numba takes the cache folder from a global


def kernel(function: F) -> F:
    """Compile `function` with Harmony's flags; `function.py_func` is the plain Python one."""
    compiled: Any = numba.njit(**_FLAGS)(function)
    compiled._cache = _CacheOnFirstUse(compiled.py_func)
    kept: F = compiled
    return kept


class _CacheOnFirstUse:
    """numba's cache of one kernel, made when it is first compiled: by then all that it reads is
    defined.
    """

    def __init__(self, function: FunctionType) -> None:
        self._function = function
        self._made: Any = None

    def __getattr__(self, name: str) -> Any:
        if self._made is None:
            with _naming:
                numba.config.CACHE_DIR = str(cache_folder(self._function))  # type: ignore[attr-defined]
                self._made = FunctionCache(self._function)
        return getattr(self._made, name)


def cache_folder(function: FunctionType) -> Path:
    """Where the machine code of a kernel is kept, given its plain function."""
    chosen = os.environ.get("HARMONY_KERNEL_CACHE")
    root = Path(chosen) if chosen else Path.home() / ".cache" / "harmony" / "kernels"
    return root / kernel_hash(function, *sorted(_FLAGS.items()))
