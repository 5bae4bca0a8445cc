"""Arrays of numbers in MATLAB files of level 5, as MATLAB 5 to 7 write them.

A reader of our own, as scipy's follows damaged sizes beyond the file and so ends the
program. A file is a header of 128 bytes and elements: a type, a size and as many bytes,
mostly compressed. An array is an element of elements: flags, dimensions, name, values.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from finediving_pose.errors import DataError
from finediving_pose.files import read_content

MAX_BYTES = 2**30
"""Most that is read, before and after decompression."""

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
"""How values are stored, by the type of their element."""

_NUMERIC_CLASSES = range(6, 16)
_COMPLEX = 0x0800


class _Element(NamedTuple):
    type: int
    content: bytes


class _DamagedError(Exception):
    """What is wrong with the file."""


def read_matlab_array(path: Path, name: str) -> NDArray[Any] | None:
    """Return an array of numbers from a MATLAB file; None where it has none of this
    name.

    Args:
        path: The file.
        name: The array's name in MATLAB.

    Raises:
        DataError: If the file cannot be read as one, or is damaged before the array.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: larger than {MAX_BYTES >> 20} MB; not read")
        content = read_content(path)
        order = _read_byte_order(content)
        for element in _split(content[_HEADER:], order):
            if element.type == _COMPRESSED:
                element = next(_split(_decompress(element.content), order))
            if element.type == _MATRIX:
                array = _read_matrix(element.content, order, name)
                if array is not None:
                    return array
    except OSError as error:
        raise DataError(f"{path}: not readable: {error.strerror or error}") from None
    except (_DamagedError, StopIteration, struct.error, zlib.error) as error:
        reason = str(error) or "it ends early"
        raise DataError(f"{path}: not readable as a MATLAB file: {reason}") from None
    return None


def _read_byte_order(content: bytes) -> str:
    mark = content[_HEADER - 2 : _HEADER]
    if mark not in (b"IM", b"MI"):
        raise _DamagedError("no file of MATLAB 5 to 7 (save it with -v7)")
    if content[_HEADER - 4 : _HEADER - 2] in (b"\x00\x02", b"\x02\x00"):
        raise _DamagedError("a file of MATLAB 7.3; save it with -v7")
    return "<" if mark == b"IM" else ">"


def _split(content: bytes, order: str) -> Iterator[_Element]:
    """Yield the elements that stand one after the other."""
    at = 0
    while at + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        start = at + 8
        if kind >> 16:  # small values stand in the place of the size
            size, kind, start = kind >> 16, kind & 0xFFFF, at + 4
            if size > 4:
                raise _DamagedError(f"a small element of {size} bytes")
        if start + size > len(content):
            raise _DamagedError(f"an element of {size} bytes, beyond its end")
        yield _Element(kind, content[start : start + size])
        at = start + size
        if kind != _COMPRESSED:
            at += -at % 8


def _decompress(content: bytes) -> bytes:
    decoder = zlib.decompressobj()
    decoded = decoder.decompress(content, MAX_BYTES)
    if decoder.unconsumed_tail:
        raise _DamagedError(f"more than {MAX_BYTES >> 20} MB when decompressed")
    return decoded


def _read_matrix(content: bytes, order: str, name: str) -> NDArray[Any] | None:
    """Return the array where it has this name and holds real numbers."""
    parts = _split(content, order)
    flags, sizes, title = next(parts), next(parts), next(parts)
    if title.content.rstrip(b"\0") != name.encode("ascii"):
        return None
    (described,) = struct.unpack_from(f"{order}I", flags.content)
    if described & 0xFF not in _NUMERIC_CLASSES or described & _COMPLEX:
        raise _DamagedError(f"`{name}` is no array of real numbers")
    shape = struct.unpack(f"{order}{len(sizes.content) // 4}i", sizes.content)
    values = next(parts)
    if values.type not in _NUMBERS:
        raise _DamagedError(f"values of type {values.type}")
    dtype = np.dtype(f"{order}{_NUMBERS[values.type]}")
    count, rest = divmod(len(values.content), dtype.itemsize)
    if rest or not shape or min(shape) < 0 or math.prod(shape) != count:
        raise _DamagedError(f"{count} values for the sizes {shape[:5]}")
    numbers = np.frombuffer(values.content, dtype)
    # MATLAB's first index is the one that changes fastest.
    return numbers.reshape(shape, order="F").astype(np.float64)
