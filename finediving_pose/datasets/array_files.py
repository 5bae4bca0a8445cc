"""Arrays from ``.npz`` and ``.npy`` files that may be anybody's: without pickle, and not
before what they unpack to is known to be bearable."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.errors import DataError

MAX_BYTES = 4 * 2**30
MAX_RATIO = 100
"""Arrays of numbers that were measured do not pack to a hundredth."""

ALWAYS_FIT = 64 * 2**20
"""Bytes that a file may unpack to however small it is."""


def read_arrays(
    path: Path, names: Collection[str] | None = None, most_bytes: int = MAX_BYTES
) -> dict[str, NDArray[Any]]:
    """Read the arrays of a ``.npz`` file.

    Args:
        path: The file.
        names: Those that are wanted, as far as they are there; None = all.
        most_bytes: The most that all arrays may unpack to.

    Raises:
        DataError: If the file is absent, damaged or pickled, or would unpack to more.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_archive(path, archive, most_bytes)
            arrays = {}
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                is_wanted = names is None or name in names
                if is_wanted and member.filename.endswith(".npy"):
                    with archive.open(member) as file:
                        _check_header(file, member.file_size)
                    with archive.open(member) as file:
                        arrays[name] = np.lib.format.read_array(
                            file, allow_pickle=False
                        )
            return arrays
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except DataError:
        raise
    # What zipfile, zlib and numpy raise on damage is of many kinds.
    except Exception as error:  # noqa: BLE001
        reason = f"{error}".partition("\n")[0] or type(error).__name__
        raise DataError(
            f"{path}: not readable as .npz without pickle: {reason}"
        ) from None


def read_array(path: Path, most_bytes: int = MAX_BYTES) -> NDArray[Any]:
    """Read the array of a ``.npy`` file.

    Args:
        path: The file.
        most_bytes: The most that it may have.

    Raises:
        DataError: If the file is absent, damaged, pickled or larger.
    """
    try:
        size = path.stat().st_size
        if size > most_bytes:
            raise DataError(f"{path}: {size} bytes, expected at most {most_bytes}")
        with path.open("rb") as file:
            _check_header(file, size)
            file.seek(0)
            return np.lib.format.read_array(file, allow_pickle=False)
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        reason = f"{error}".partition("\n")[0] or type(error).__name__
        raise DataError(
            f"{path}: not readable as an array of numbers or texts: {reason}"
        ) from None


def _check_archive(path: Path, archive: zipfile.ZipFile, most_bytes: int) -> None:
    """Refuse an archive by the sizes it declares; no more than those are unpacked."""
    unpacked = sum(member.file_size for member in archive.infolist())
    packed = path.stat().st_size
    if unpacked > most_bytes:
        raise DataError(
            f"{path}: unpacks to {unpacked} bytes, expected at most {most_bytes}"
        )
    if unpacked > max(ALWAYS_FIT, MAX_RATIO * packed):
        raise DataError(
            f"{path}: {packed} bytes that unpack to {unpacked}, expected at most "
            f"{MAX_RATIO} times as many; if it is what it should be, write it anew with "
            "numpy.savez, which does not pack"
        )


def _check_header(file: IO[bytes], size: int) -> None:
    """Refuse an array that says it is larger than its file: numpy would ask for the
    memory first.

    Raises:
        ValueError: Says which shape it declares.
    """
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    # An array of empty texts takes no byte a cell, but memory once it is read.
    if math.prod(shape) * max(1, dtype.itemsize) > size:
        raise ValueError(f"it declares the shape {shape}, but has {size} bytes")
