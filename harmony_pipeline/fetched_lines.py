"""Hints in kernels: lines of memory that will be read soon are brought to the cache meanwhile."""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_READ, _SECOND_LEVEL, _DATA = 0, 2, 1  # of `llvm.prefetch`: the first level is too small to wait in


@intrinsic  # type: ignore[untyped-decorator]
def fetch_ahead(typing_context: Any, array: Any, row: Any) -> Any:
    """Within a kernel: begin to bring the line of `array[row]` to the cache of this core, and do
    not wait for it. It changes nothing but time, and a row outside of the array does no harm.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        text, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        hint = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [text, number, number, number]),
            "llvm.prefetch.p0i8",
        )
        flags = [ir.Constant(number, flag) for flag in (_READ, _SECOND_LEVEL, _DATA)]
        builder.call(hint, [builder.bitcast(builder.gep(data, [values[1]]), text), *flags])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate
