"""Reads tables of a flatbuffer that nobody vouched for: every offset, length and width is checked before it is used."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

MAX_TEXT_BYTES = 4096
MAX_INTEGERS = 64  # of one vector
Read = Callable[[bytes, int], Any]


class ModelError(Exception):
    """Why a model is not run; the words of a reason, without a full stop."""


@dataclass(frozen=True)
class Kind:
    """How a field is read from its place in a table; ``width`` are its bytes there, of an offset those of the offset.

    A field that is absent has the value ``default``.
    """

    width: int
    read: Read
    default: Any


class Layout:
    """Name and kind of the fields of a table by their number; a table with a further field is refused."""

    def __init__(self, fields: Mapping[int, tuple[str, Kind]]):
        self.defaults = {name: kind.default for name, kind in fields.values()}
        self.fields = [fields.get(number) for number in range(max(fields, default=-1) + 1)]


_INT32, _UINT32, _TWO_UINT16 = (struct.Struct(form).unpack_from for form in ("<i", "<I", "<HH"))


def scalar(form: str, default: int = 0) -> Kind:
    """A number in struct's notation, for example ``i``."""
    unpack, width = struct.Struct(f"<{form}").unpack_from, struct.calcsize(f"<{form}")

    def read(content: bytes, at: int) -> int:
        if at % width:
            raise ModelError("a number in it is not aligned")
        return unpack(content, at)[0]

    return Kind(width, read, default)


def numbers(form: str) -> Kind:
    """A vector of numbers in numpy's notation, for example ``<i4``; a view of the content, no copy."""
    number = np.dtype(form)

    def read(content: bytes, at: int) -> np.ndarray:
        start, count = _vector(content, at, number.itemsize)
        return np.frombuffer(content, number, count, start)

    return Kind(4, read, np.empty(0, number))


def _read_integers(content: bytes, at: int) -> tuple[int, ...]:
    start, count = _vector(content, at, 4)
    if count > MAX_INTEGERS:
        raise ModelError(f"a list in it has {count} entries; expected at most {MAX_INTEGERS}")
    return struct.unpack_from(f"<{count}i", content, start)


def _read_text(content: bytes, at: int) -> str:
    start, count = _vector(content, at, 1)
    if count > MAX_TEXT_BYTES or content[start + count : start + count + 1] != b"\0":
        raise ModelError("a name in it is too long or has no end")
    return str(content[start : start + count], "utf-8")


def _read_place(content: bytes, at: int) -> int:
    return at + _UINT32(content, at)[0]


INTEGERS = Kind(4, _read_integers, ())
"""A short vector of int32."""
TEXT = Kind(4, _read_text, "")
TABLE = Kind(4, _read_place, None)
"""A table whose layout depends on another field: its place, for `read_table`."""


def table(layout: Layout) -> Kind:
    """A table of this layout."""
    return Kind(4, lambda content, at: read_table(content, _read_place(content, at), layout), None)


def tables(what: str, at_most: int, layout: Layout) -> Kind:
    """A vector of tables of this layout; without a limit, few bytes could name the same ones again and again."""

    def read(content: bytes, at: int) -> list[dict[str, Any]]:
        start, count = _vector(content, at, 4)
        if count > at_most:
            raise ModelError(f"it has {count} {what}; expected at most {at_most}")
        return [read_table(content, _read_place(content, start + 4 * n), layout) for n in range(count)]

    return Kind(4, read, ())


def read_table(content: bytes, at: int, layout: Layout) -> dict[str, Any]:
    """The fields of the table at a place, by name.

    Raises
    ------
    ModelError, struct.error, UnicodeDecodeError
        If something of it lies outside the content, is not aligned, or is a field that the layout lacks.
    """
    vtable = at - _INT32(content, at)[0]
    if at % 4 or vtable % 2 or vtable < 0:
        raise ModelError("a table in it leads nowhere")
    vtable_bytes, table_bytes = _TWO_UINT16(content, vtable)
    if vtable_bytes < 4 or vtable_bytes % 2 or at + table_bytes > len(content):
        raise ModelError("a table in it leads out of the file")
    values, fields = layout.defaults.copy(), layout.fields
    for number, offset in enumerate(struct.unpack_from(f"<{vtable_bytes // 2 - 2}H", content, vtable + 4)):
        if offset:
            if number >= len(fields) or (field := fields[number]) is None:
                raise ModelError("a table in it has a field that no student needs")
            name, kind = field
            if offset < 4 or offset + kind.width > table_bytes:
                raise ModelError("a field in it leads out of its table")
            values[name] = kind.read(content, at + offset)
    return values


def _vector(content: bytes, at: int, width: int) -> tuple[int, int]:
    """Where the entries of a vector begin, and how many there are; all of them lie in the content."""
    length_at = at + _UINT32(content, at)[0]
    start, count = length_at + 4, _UINT32(content, length_at)[0]
    if length_at % 4 or start % width or start + count * width > len(content):
        raise ModelError("a list in it leads out of the file")
    return start, count
