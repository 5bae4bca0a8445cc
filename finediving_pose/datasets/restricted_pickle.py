"""Pickles from strangers: builtin containers and plain numpy arrays, and nothing that
could run."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path
from typing import Any

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


class _Array:
    """Stands for ``numpy.ndarray`` in a pickle: may be named, not called with a size
    that fills the memory."""


def _reconstruct(subtype: Any, shape: Any, kind: Any) -> np.ndarray[Any, Any]:
    """Make the empty array that the pickle then fills; only what numpy itself writes is
    accepted."""
    if subtype is not _Array or tuple(shape) != (0,) or kind not in (b"b", "b"):
        raise pickle.UnpicklingError("an array in a form that numpy does not write")
    return np.ndarray((0,), dtype=np.int8)


def _scalar(dtype: Any, value: Any = b"") -> Any:
    """Make a numpy scalar from its bytes; objects are not plain numbers."""
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise pickle.UnpicklingError(
            "a numpy scalar of another type than numbers and text"
        )
    if not isinstance(value, bytes) or len(value) != dtype.itemsize:
        raise pickle.UnpicklingError("a numpy scalar of the wrong length")
    return np.frombuffer(value, dtype=dtype)[0]


_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): np.dtype,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
}
for _module in ("numpy.core.multiarray", "numpy._core.multiarray"):
    _ALLOWED[_module, "_reconstruct"] = _reconstruct
    _ALLOWED[_module, "scalar"] = _scalar


class _Refused(Exception):
    """A global that a data file has no business with."""


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise _Refused(f"{module}.{name}")
        return _ALLOWED[module, name]


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
            return _Unpickler(file).load()
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
