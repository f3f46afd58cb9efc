"""Copies in kernels that no loop over items can say: of results past the caches, and of words.

A plain store reads a line of memory into the cache before it writes it, which for a result of many
megabytes takes three times as long as the writing. A streamed store ("non-temporal") writes whole
lines and reads nothing. So a kernel makes a few kilobytes in an array that stays in the cache, and
streams them to where they belong.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from harmony_pipeline.kernel import inlined_kernel

_LINE = 64  # bytes that memory moves at once
WORD_BYTES = 16  # of `copy_word`


@inlined_kernel
def streamed_copy(target: NDArray[Any], source: NDArray[Any]) -> None:
    """target[:] = source, of two contiguous arrays of one type and length that do not overlap.

    A kernel that streams ends with `end_of_stream`.
    """
    size = target.itemsize
    head = min((-_address(target) % _LINE) // size, len(target))
    lines = (len(target) - head) * size // _LINE
    tail = head + lines * _LINE // size
    for row in range(head):
        target[row] = source[row]
    _stream_lines(_address(target) + head * size, _address(source) + head * size, lines)
    for row in range(tail, len(target)):
        target[row] = source[row]


@intrinsic  # type: ignore[untyped-decorator]
def end_of_stream(typing_context: Any) -> Any:
    """Within a kernel: every core sees what was streamed before what is written from now on."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic  # type: ignore[untyped-decorator]
def _address(typing_context: Any, array: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        return builder.ptrtoint(data, context.get_value_type(types.intp))

    return types.intp(array), generate


@intrinsic  # type: ignore[untyped-decorator]
def _stream_lines(typing_context: Any, target: Any, source: Any, lines: Any) -> Any:
    """Copy `lines` lines from the address `source` to `target`, where a line begins."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        line = ir.VectorType(ir.IntType(64), _LINE // 8).as_pointer()
        past = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
        target, source, lines = values
        with cgutils.for_range(builder, lines) as loop:
            offset = builder.mul(loop.index, ir.Constant(loop.index.type, _LINE))
            here = builder.inttoptr(builder.add(source, offset), line)
            there = builder.inttoptr(builder.add(target, offset), line)
            store = builder.store(builder.load(here, align=1), there, align=_LINE)
            store.set_metadata("nontemporal", past)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def copy_word(typing_context: Any, target: Any, place: Any, source: Any, begin: Any) -> Any:
    """Within a kernel: copy WORD_BYTES bytes of `source` from `begin` on to `target`, at `place`.
    All are read before one is written.
    """

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        word = ir.VectorType(ir.IntType(8), WORD_BYTES).as_pointer()
        there = _pointer(context, builder, signature.args[0], values[0], values[1], word)
        here = _pointer(context, builder, signature.args[2], values[2], values[3], word)
        builder.store(builder.load(here, align=1), there, align=1)
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp), generate


@intrinsic  # type: ignore[untyped-decorator]
def first_four(typing_context: Any, source: Any, begin: Any) -> Any:
    """Within a kernel: four bytes of `source` from `begin` on as one number, the first lowest."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kind = ir.IntType(32).as_pointer()
        here = _pointer(context, builder, signature.args[0], values[0], values[1], kind)
        return builder.zext(builder.load(here, align=1), ir.IntType(64))

    return types.uint64(source, types.intp), generate


def _pointer(context: Any, builder: Any, kind: Any, array: Any, place: Any, wanted: Any) -> Any:
    """To the byte `place` of an array of bytes."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), wanted)
