"""`@kernel`: the one place where compiled functions get their flags.

No fastmath: sums keep their order, so results are bit-for-bit reproducible. Division by zero gives inf or nan as in
NumPy. Kernels release the GIL and are cached on disk. numba does not notice an edited helper in another file, so
the cache folder is named by a hash of every kernel source: an edit anywhere starts a fresh cache.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

F = TypeVar("F", bound=Callable[..., Any])

_PACKAGE = Path(__file__).parent


def kernel_sources() -> list[Path]:
    """Every file of the library that defines kernels, in a fixed order."""
    return sorted(path for path in _PACKAGE.rglob("*.py") if b"@kernel" in path.read_bytes())


def _sources_hash() -> str:
    digest = hashlib.blake2b(digest_size=8)
    for path in kernel_sources():
        digest.update(path.relative_to(_PACKAGE).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _cache_root() -> Path:
    chosen = os.environ.get("HARMONY_KERNEL_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "harmony" / "kernels"


numba.config.CACHE_DIR = str(_cache_root() / _sources_hash())  # type: ignore[attr-defined]


def kernel(function: F) -> F:
    """Compile `function` with Harmony's flags; `function.py_func` is the plain Python one."""
    compiled: F = numba.njit(cache=True, fastmath=False, error_model="numpy", nogil=True)(function)
    return compiled
