"""Thrift's compact protocol, as far as the page headers and the footer of a Parquet file need it.

A struct is a list of `Field`s in rising order of their ids. Source: the Apache Thrift
specification, "Thrift compact protocol encoding"
(github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md).
"""

from collections.abc import Sequence
from typing import NamedTuple

_TRUE, _FALSE, _I32, _I64, _BINARY, _LIST, _STRUCT = 1, 2, 5, 6, 8, 9, 12
_SHORT_STEP, _SHORT_LIST = 15, 15


class Field(NamedTuple):
    """One field of a struct: its type in the protocol and its encoded value."""

    number: int
    kind: int
    content: bytes


def varint(value: int) -> bytes:
    """An unsigned number, seven bits a byte, the lowest first."""
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def flag(number: int, *, value: bool) -> Field:
    """A truth value, which stands in the field's type."""
    return Field(number, _TRUE if value else _FALSE, b"")


def i32(number: int, value: int) -> Field:
    """A whole number of 32 bits."""
    return Field(number, _I32, _zigzag(value))


def i64(number: int, value: int) -> Field:
    """A whole number of 64 bits."""
    return Field(number, _I64, _zigzag(value))


def binary(number: int, value: bytes | str) -> Field:
    """Bytes, or a text in UTF-8."""
    return Field(number, _BINARY, _bytes(value))


def struct(number: int, fields: Sequence[Field]) -> Field:
    """A struct inside a struct."""
    return Field(number, _STRUCT, encoded(fields))


def i32_list(number: int, values: Sequence[int]) -> Field:
    """A list of whole numbers of 32 bits."""
    return _list(number, _I32, [_zigzag(value) for value in values])


def text_list(number: int, values: Sequence[str]) -> Field:
    """A list of texts."""
    return _list(number, _BINARY, [_bytes(value) for value in values])


def struct_list(number: int, structs: Sequence[Sequence[Field]]) -> Field:
    """A list of structs."""
    return _list(number, _STRUCT, [encoded(fields) for fields in structs])


def encoded(fields: Sequence[Field]) -> bytes:
    """A struct: its fields, each with the step from the id before, and a stop."""
    parts, before = list[bytes](), 0
    for number, kind, content in fields:
        step = number - before
        parts.append(
            bytes([step << 4 | kind])
            if 0 < step <= _SHORT_STEP
            else bytes([kind]) + _zigzag(number)
        )
        parts.append(content)
        before = number
    return b"".join(parts) + b"\0"


def _zigzag(value: int) -> bytes:
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)


def _bytes(value: bytes | str) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    return varint(len(content)) + content


def _list(number: int, kind: int, contents: Sequence[bytes]) -> Field:
    size = len(contents)
    head = (
        bytes([size << 4 | kind])
        if size < _SHORT_LIST
        else bytes([_SHORT_LIST << 4 | kind]) + varint(size)
    )
    return Field(number, _LIST, head + b"".join(contents))
