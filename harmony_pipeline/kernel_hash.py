"""A hash of what a kernel is compiled from: its byte code, and the values that it reads.

numba freezes the globals of a function into machine code, and compiles the kernels that it calls
into it. So two functions with the same hash compile to the same code, whichever files were edited
in between. Comments and docstrings are not part of the hash.
"""

from collections.abc import Sequence
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from harmony_pipeline.hashing import short_hash

_PLAIN = (str, bytes, bool, int, float, complex, type(None), np.generic, np.dtype)
_PACKAGE = __name__.partition(".")[0]


def kernel_hash(function: FunctionType, *flags: object) -> str:
    """Hash of `function`, of every kernel that it reaches, and of its compiler flags.

    Raises TypeError when it reads a value whose content cannot be hashed.
    """
    sources = _Sources()
    sources.visit(function)
    for each in sources.functions:  # grows while it is walked
        sources.read(each)
    text = "\n".join([repr(flags), *sources.lines])
    return short_hash(text, 8)


class _Sources:
    """Functions in the order in which they were reached, and what was read of them."""

    def __init__(self) -> None:
        self.functions: list[FunctionType] = []
        self.lines: list[str] = []

    def visit(self, function: FunctionType) -> str:
        """Add a reached function. Its index stands for it."""
        if function not in self.functions:
            self.functions.append(function)
        return f"function {self.functions.index(function)}"

    def read(self, function: FunctionType) -> None:
        """Byte code, globals, closure and defaults of one function."""
        cells = [cell.cell_contents for cell in function.__closure__ or ()]
        bound = [*cells, *(function.__defaults__ or ())]
        self.lines.extend(self._text(function, value) for value in bound)
        has_docstring = function.__doc__ is not None
        self._read_code(function, function.__code__, function.__code__.co_consts[has_docstring:])

    def _read_code(self, function: FunctionType, code: CodeType, constants: Sequence[Any]) -> None:
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_argcount)
        self.lines += [code.co_name, code.co_code.hex(), repr(names)]
        for value in constants:
            if isinstance(value, CodeType):  # a comprehension or an inner function
                self._read_code(function, value, value.co_consts)
            else:
                self.lines.append(repr(value))
        # co_names holds attributes too: one that is called like a global does no harm
        self._read_names(function, code.co_names, function.__globals__)

    def _read_names(self, function: FunctionType, names: Sequence[str], scope: Any) -> None:
        for name in names:
            if name in scope:
                value = scope[name]
                self.lines.append(f"{name} = {self._text(function, value)}")
                if isinstance(value, ModuleType) and _is_read(value.__name__, function):
                    self._read_names(function, names, vars(value))

    def _text(self, function: FunctionType, value: Any) -> str:
        # a kernel, ours or of a user's module: its plain function; of code that numba is told to
        # write itself, the function that writes it
        called = getattr(value, "py_func", getattr(value, "_defn", None))
        if (
            called is None
            and isinstance(value, FunctionType)
            and _is_read(value.__module__, function)
        ):
            called = value
        if isinstance(called, FunctionType):
            return self.visit(called)
        if isinstance(value, ModuleType):
            return value.__name__
        if isinstance(value, type):
            return repr((value.__module__, value.__qualname__, getattr(value, "_fields", ())))
        if isinstance(value, tuple):
            return repr([self._text(function, each) for each in value])
        if isinstance(value, np.ndarray):
            return repr((value.dtype, value.shape, value.tobytes()))
        if isinstance(value, _PLAIN):
            return f"{type(value).__name__} {value!r}"
        raise TypeError(
            f"kernel {function.__qualname__} reads a {type(value).__name__}, whose content no hash "
            "can tell: let it read numbers, text, tuples, arrays, modules and other kernels"
        )


def _is_read(module: str, function: FunctionType) -> bool:
    """Whether a module belongs to Harmony or to the package of `function`. Libraries' own code is
    not read.
    """
    return module.partition(".")[0] in (_PACKAGE, function.__module__.partition(".")[0])
