"""The array types of the kernels: one name for each element type."""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
NumberArray = npt.NDArray[np.integer[Any]]  # of any width
Array = TypeVar("Array", bound=npt.NDArray[Any])


def read_only(array: Array) -> Array:
    """`array`, made read-only.

    Polars' own memory and a copy are two types to the compiler, and a kernel is compiled for each
    combination of types that it meets. Read-only, they are one.
    """
    array.flags.writeable = False
    return array
