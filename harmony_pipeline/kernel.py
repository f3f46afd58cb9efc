"""`@kernel` and its two variants: the one place where compiled functions get their flags.

No fastmath: sums keep their order, so results are bit-for-bit reproducible. Division by zero gives
inf or nan as in NumPy. Kernels release the GIL and are cached on disk.

numba's own cache notices an edit of the file that holds a kernel, and nothing else: after an edit
of a helper or constant in another file the old machine code would still run, and an edited comment
compiles the whole file again. So every kernel has a cache folder named by a hash of everything it
is compiled from (kernel_hash.py), and that alone. An edited constant recompiles the kernels that
use it, and no other; two copies of Harmony share their machine code.
"""

import threading
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any, TypeVar

import numba
import numpy as np
from numba.core import cgutils, types
from numba.core.caching import Cache, CompileResultCacheImpl, UserProvidedCacheLocator
from numba.core.runtime import rtsys
from numba.extending import intrinsic
from numba.np import numpy_support

from harmony_pipeline.files import cache_root
from harmony_pipeline.kernel_hash import kernel_hash

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_FLAGS = {"fastmath": False, "error_model": "numpy", "nogil": True}
# numba's own name for its runtime that allocates arrays and counts references to them
_NO_REFERENCE_COUNTS = {"_nrt": False}
_naming = threading.Lock()  # numba takes the cache folder from a global


def kernel(function: F) -> F:
    """Compile `function` with Harmony's flags; `function.py_func` is the plain Python one."""
    return _compiled(function, _FLAGS)


def kernel_without_allocation(function: F) -> F:
    """A kernel that makes no array. It counts no references to the arrays that it is given.

    Counting costs two atomic operations for each array at each call from kernel to kernel. That is
    several times the work itself in a loop that calls helpers at every step (an order book: 177
    against 25 ns an operation). Raises numba's error at the first call where it makes an array.
    """
    return _compiled(function, _FLAGS | _NO_REFERENCE_COUNTS)


def inlined_kernel(function: F) -> F:
    """A kernel without allocation whose code is copied into each kernel that calls it.

    An array is seven words. A call that is not inlined writes those of every array to memory.
    """
    return _compiled(function, _FLAGS | _NO_REFERENCE_COUNTS | {"forceinline": True})


def machine_code(function: Callable[..., T], *arguments: Any) -> Callable[..., T]:
    """The compiled `function` for arguments of these types, to be called many times with such.

    numba looks up the types of all arguments at every call, which takes 10 us for tuples of fifty
    arrays; this call takes 1 us. Whoever calls it answers for the types: they must be those of
    `arguments`, read-only where these are.
    """
    kernel: Any = function
    found: Callable[..., T] = kernel.compile(
        tuple(type_of_argument(kernel, argument) for argument in arguments)
    )
    return found


def kernel_address(function: Callable[..., None], *arguments: Any) -> int:
    """Where the machine code of `function` for arguments of these types lies, for `call_kernel`.
    It lies there as long as `function` is kept.
    """
    kernel: Any = function
    given = tuple(type_of_argument(kernel, argument) for argument in arguments)
    kernel.compile(given)
    compiled = kernel.overloads[given]
    if compiled.signature.return_type != types.none:
        raise TypeError(f"kernel {kernel.__name__} returns something: it must return nothing")
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


def type_of_argument(kernel: Any, argument: Any) -> Any:
    """What numba takes an argument of a kernel for. By itself it makes the type of records anew for
    each array, which takes a third of a millisecond for forty fields.
    """
    if type(argument) is np.ndarray and argument.dtype.names is not None:
        record = _record_type(argument.dtype, aligned=argument.dtype.isalignedstruct)
        layout = numpy_support.map_layout(argument)
        return types.Array(record, argument.ndim, layout, readonly=not argument.flags.writeable)
    if isinstance(argument, tuple):
        parts = [type_of_argument(kernel, part) for part in argument]
        return types.BaseTuple.from_types(parts, type(argument))  # type: ignore[attr-defined]
    return kernel.typeof_pyval(argument)


@cache
def _record_type(dtype: np.dtype[Any], *, aligned: bool) -> Any:
    """Of types of records that are equal but for their alignment each has its own."""
    return numpy_support.from_dtype(dtype)


@intrinsic  # type: ignore[untyped-decorator]
def call_kernel(typing_context: Any, address: Any, arguments: Any) -> Any:
    """Within a kernel: call the kernel at `address` with a tuple of arguments. It returns nothing.

    So one kernel calls others that are not known when it is compiled. Whoever calls it answers for
    the types: an address is that of `kernel_address` for arguments of the same types.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        taken = tuple(signature.args[1])
        code = context.call_conv.get_function_type(types.none, taken).as_pointer()
        status, _ = context.call_conv.call_function(
            builder,
            builder.inttoptr(values[0], code),
            types.none,
            taken,
            cgutils.unpack_tuple(builder, values[1]),
        )
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.void(address, arguments), generate


def _compiled(function: F, flags: dict[str, Any]) -> F:
    compiled: Any = numba.njit(**flags)(function)
    compiled._cache = _CacheOnFirstUse(compiled.py_func, flags)
    kept: F = compiled
    return kept


class _CacheOnFirstUse:
    """numba's cache of one kernel, made when it is first compiled: by then all that it reads is
    defined.
    """

    def __init__(self, function: FunctionType, flags: dict[str, Any]) -> None:
        self._function = function
        self._flags = flags
        self._made: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._numba(), name)

    def load_overload(self, *of: Any) -> Any:
        """The machine code that is kept; None where there is none, or none that can be read.

        A kernel's arguments are kept by the module of their type. After a type has moved to another
        module, what was kept before is compiled again.
        """
        try:
            return self._numba().load_overload(*of)
        except (ImportError, AttributeError):
            self._numba().flush()
            return None

    def _numba(self) -> Any:
        if self._made is None:
            with _naming:
                numba.config.CACHE_DIR = str(cache_folder(self._function, self._flags))  # type: ignore[attr-defined]
                self._made = _CacheByContent(self._function)
        return self._made


class _FolderOfContent(UserProvidedCacheLocator):  # type: ignore[misc]
    """The folder that a kernel is given says all that it is compiled from: neither the place of its
    file, nor the rest of that file, nor its line number count.
    """

    def __init__(self, function: FunctionType, path: str) -> None:
        super().__init__(function, path)
        self._cache_path = numba.config.CACHE_DIR  # type: ignore[attr-defined]

    def get_source_stamp(self) -> str:
        return ""

    def get_disambiguator(self) -> str:
        return "kernel"


class _ContentCache(CompileResultCacheImpl):  # type: ignore[misc]
    # numba's own places where that folder cannot be written
    _locator_classes = (_FolderOfContent, *CompileResultCacheImpl._locator_classes)


class _CacheByContent(Cache):  # type: ignore[misc]
    """Loads machine code without what only a compilation needs.

    numba's own `load_overload` makes ready to compile first: it imports scipy, and enters some ten
    thousand functions that it can compile. That is 0.4 s of the processor in each process. What is
    linked needs the addresses of numba's helpers alone, and what was kept names those modules of
    numba whose code is in it: they are imported then. A compilation makes itself ready.
    """

    _impl_class = _ContentCache

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The machine code that is kept for these types; None where there is none."""
        rtsys.initialize(target_context)  # the helpers that allocate
        with self._guard_against_spurious_io_errors():
            return self._load_overload(sig, target_context)


def cache_folder(function: FunctionType, flags: Mapping[str, Any] = _FLAGS) -> Path:
    """Where the machine code of a kernel is kept, given its plain function and its flags."""
    return cache_root("kernels") / kernel_hash(function, *sorted(flags.items()))
