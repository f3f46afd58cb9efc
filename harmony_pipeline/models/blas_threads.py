"""Linear algebra on one thread.

The matrices of a fit are small. OpenBLAS would share them among its threads, which then wait for
the next one by spinning: of a fit of 2,000 rows they took as much time as the solver. The order of
sums, too, then depends on the number of cores.
"""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any


def one_blas_thread() -> AbstractContextManager[Any]:
    """Hold the linear algebra of the libraries that are loaded to one thread inside the block."""
    held: AbstractContextManager[Any] = _loaded_libraries().limit(limits=1, user_api="blas")
    return held


@cache
def _loaded_libraries() -> Any:
    """Looking for them takes a millisecond, so they are looked for once: NumPy and SciPy have to be
    imported before.
    """
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
