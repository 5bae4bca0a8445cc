"""Pickles from strangers: builtin containers and plain numpy arrays, and nothing that
could run."""

from __future__ import annotations

import math
import pickle
import re
import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np

from finediving_pose.errors import DataError

MAX_BYTES = 2 * 2**30

_MALFORMED = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    MemoryError,
    OverflowError,
    RecursionError,
    struct.error,
)


_PLAIN_KINDS = "biufcSU"
"""Kinds of numpy's numbers and text, each of which a string names whole."""

_DTYPE = re.compile(rf"([<>|=]?)([{_PLAIN_KINDS}O])(\d{{1,6}})")


class _Dtype:
    """Stands for ``numpy.dtype``.

    numpy sets the flags and fields of a dtype from the state in a pickle without
    looking, and then follows bytes of the file as pointers. So the state is checked
    here, and the dtype is made anew from a string of one plain kind.
    """

    def __init__(self, name: Any, _align: Any = False, _copy: Any = True) -> None:
        match = _DTYPE.fullmatch(name) if isinstance(name, str) else None
        if match is None:
            raise pickle.UnpicklingError(
                f"a numpy type {name!r}, expected numbers, text or objects"
            )
        order, self._kind, self._size = match.groups()
        self._order = order or "="

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 5:
            raise pickle.UnpicklingError("a numpy type in a form numpy does not write")
        order, parts = state[1], state[2:5]
        if order not in ("<", ">", "|", "=") or any(part is not None for part in parts):
            raise pickle.UnpicklingError("a numpy type that has parts")
        self._order = order

    @property
    def is_object(self) -> bool:
        """Whether elements are Python objects, which a pickle lists one by one."""
        return self._kind == "O"

    def make(self) -> np.dtype[Any]:
        """Return the numpy type."""
        if self.is_object:
            return np.dtype(object)
        order = "" if self._order == "|" else self._order
        return np.dtype(f"{order}{self._kind}{self._size}")


class _Array:
    """Stands for ``numpy.ndarray``, until all of the pickle is read."""

    def __init__(self) -> None:
        self.array: np.ndarray[Any, Any] | None = None

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise pickle.UnpicklingError("an array in a form that numpy does not write")
        _, shape, dtype, column_major, content = state
        order: Literal["F", "C"] = "F" if column_major else "C"
        self.array = _make_array(shape, dtype, content, order)


def _make_array(
    shape: Any, dtype: Any, content: Any, order: Literal["F", "C"]
) -> np.ndarray[Any, Any]:
    """Make an array of exactly the content that the pickle holds."""
    if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple):
        raise pickle.UnpicklingError("an array in a form that numpy does not write")
    if not all(type(size) is int and size >= 0 for size in shape):
        raise pickle.UnpicklingError(f"an array of shape {shape!r}")
    count = math.prod(shape)
    if dtype.is_object:
        if not isinstance(content, list) or len(content) != count:
            raise pickle.UnpicklingError("an array of objects of the wrong length")
        flat = np.empty(count, dtype=object)
        for place, item in enumerate(content):
            flat[place] = item
        return flat.reshape(shape, order=order)
    made = dtype.make()
    if isinstance(content, str):  # as protocols 0 and 1 of Python 2 have bytes
        content = content.encode("latin-1")
    if not isinstance(content, bytes | bytearray):
        raise pickle.UnpicklingError("an array whose content is no bytes")
    if len(content) != count * made.itemsize:
        raise pickle.UnpicklingError("an array of the wrong length")
    return np.frombuffer(bytes(content), dtype=made).reshape(shape, order=order).copy()


def _reconstruct(subtype: Any, shape: Any, kind: Any) -> _Array:
    """Make the empty array that the pickle then fills; only what numpy itself writes is
    accepted."""
    if subtype is not _Array or tuple(shape) != (0,) or kind not in (b"b", "b"):
        raise pickle.UnpicklingError("an array in a form that numpy does not write")
    return _Array()


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> Any:
    """Make an array of protocol 5, whose content comes as one buffer."""
    if isinstance(dtype, _Dtype) and dtype.is_object:
        raise pickle.UnpicklingError("a buffer of objects")
    if order not in ("C", "F"):
        raise pickle.UnpicklingError(f"an array in the order {order!r}")
    return _make_array(shape, dtype, content, order)


def _scalar(dtype: Any, value: Any = b"") -> Any:
    """Make a numpy scalar from its bytes; objects are not plain numbers."""
    if not isinstance(dtype, _Dtype) or dtype.is_object:
        raise pickle.UnpicklingError(
            "a numpy scalar of another type than numbers and text"
        )
    made = dtype.make()
    if isinstance(value, str):
        value = value.encode("latin-1")
    if not isinstance(value, bytes) or len(value) != made.itemsize:
        raise pickle.UnpicklingError("a numpy scalar of the wrong length")
    return np.frombuffer(value, dtype=made)[0]


def _encode(text: Any, encoding: Any = None) -> bytes:
    """Make the bytes that protocols 0 to 2 write as text."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"text in the encoding {encoding!r}")
    return text.encode("latin-1")


def _empty_bytes() -> bytes:
    """Make the empty bytes, which protocols 0 to 2 write as a call."""
    return b""


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}
for _module in ("builtins", "__builtin__"):
    _ALLOWED[_module, "set"] = set
    _ALLOWED[_module, "frozenset"] = frozenset
    _ALLOWED[_module, "bytes"] = _empty_bytes
for _module in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_module}.multiarray", "_reconstruct"] = _reconstruct
    _ALLOWED[f"{_module}.multiarray", "scalar"] = _scalar
    _ALLOWED[f"{_module}.numeric", "_frombuffer"] = _from_buffer


class _Refused(Exception):
    """A global that a data file has no business with."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise _Refused(f"{module}.{name}")
        return _ALLOWED[module, name]


def _resolve(value: Any) -> Any:
    """Put arrays in the place of what stood for them while the pickle was read.

    Lists and dicts are changed in place, each once, however often it is referred to.
    """
    seen: set[int] = set()

    def resolved(item: Any) -> Any:
        if isinstance(item, _Array):
            if item.array is None:
                raise pickle.UnpicklingError("an array without content")
            if item.array.dtype == object and id(item) not in seen:
                seen.add(id(item))
                flat = item.array.reshape(-1)
                for place in range(flat.size):
                    flat[place] = resolved(flat[place])
                item.array = flat.reshape(item.array.shape)
            return item.array
        if isinstance(item, tuple):
            return tuple(resolved(part) for part in item)
        if id(item) in seen:
            return item
        if isinstance(item, list):
            seen.add(id(item))
            for place, part in enumerate(item):
                item[place] = resolved(part)
        elif isinstance(item, dict):
            seen.add(id(item))
            for key, part in item.items():
                item[key] = resolved(part)
        return item

    return resolved(value)


def load(path: Path, max_bytes: int = MAX_BYTES) -> Any:
    """Read a pickle of builtin containers, numbers, text and numpy arrays.

    Raises:
        DataError: If it is absent, larger than `max_bytes`, malformed, or names any
            other global. Nothing in it is imported or called.
    """
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise DataError(
                f"{path}: {size / 2**20:.0f} MB, expected at most {max_bytes / 2**20:.0f} MB; not read"
            )
        with path.open("rb") as file:
            return _resolve(_Unpickler(file).load())
    except OSError as error:
        raise DataError(f"{path}: not readable: {error.strerror or error}") from None
    except _Refused as error:
        raise DataError(
            f"{path}: refused: the pickle names {error}, and only builtin containers and numpy arrays are read, "
            "because anything else could run a program"
        ) from None
    except _MALFORMED as error:
        raise DataError(
            f"{path}: not readable as a pickle: {error or type(error).__name__}"
        ) from None
