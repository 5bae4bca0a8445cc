"""Visual features computed elsewhere, which stand in for pictures.

A folder of ``<match>/<dive>.npz``, or one table (``.npz``) of all dives. Its arrays, N
dives:

===============  =====================================
======================================================= ``features``     (N, D) or (N,
n, D) numbers            n = 1 vector a dive, one a clip (9), or one a frame (96)
``match``        (N,) text or whole numbers             the table's name where absent
``dive``         (N,) text or whole numbers             or ``index``; 0, 1, … where both
are absent ``score``        (N,)                                   this and all below:
only for a table that is its own ``difficulty``   (N,)
annotation ``dive_number``  (N,) text ``transitions``  (N, 2) whole numbers, −1 =
unknown     first frame of flight and of entry ``frames``       (N,) whole numbers
how many frames the dive has ===============  =====================================
=======================================================

A dive's own file holds ``features`` (or one array of any name), (D,) or (n, D).
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose import diving
from finediving_pose.datasets.finediving import Key
from finediving_pose.datasets.problems import Problem, safe_name
from finediving_pose.errors import DataError, UsageError
from finediving_pose.media import SAMPLES
from finediving_pose.records import Dive, FloatArray

FEATURES = "features"
CLIPS = 9
KNOWN_COLUMNS = (
    FEATURES,
    "match",
    "dive",
    "index",
    "score",
    "difficulty",
    "dive_number",
    "transitions",
    "frames",
)

Arrays = dict[str, NDArray[Any]]


class FeatureStore:
    """The features of dives by match and dive.

    Attributes:
        dim: D, numbers in one vector.
        vectors: n, vectors a dive.
    """

    def __init__(
        self,
        path: Path,
        clips: int = CLIPS,
        frames: int = SAMPLES,
        key: Key | None = None,
    ) -> None:
        """Open a table or a folder.

        Args:
            path: See the module.
            clips: How many clips the model cuts a dive into.
            frames: How many frames it sees.
            key: Of the one dive that is wanted; `path` may then be its own file, which
                names no dive.

        Raises:
            UsageError: If the path does not exist.
            DataError: If nothing there is readable as features.
        """
        if not path.exists():
            raise UsageError(f"features={path}: no such file or folder")
        self._allowed = {1: "a dive", clips: "a clip", frames: "a frame"}
        own = (
            key if key is not None and path.is_file() and _names_no_dive(path) else None
        )
        self._table = read_feature_table(path) if path.is_file() and own is None else {}
        self._files = {own: path} if own else _files(path) if path.is_dir() else {}
        first = next(iter([*self._table, *self._files]), None)
        if first is None:
            raise DataError(f"{path}: no <match>/<dive>.npz below it")
        if key is not None and key not in self:
            raise DataError(f"{path}: holds no features of the dive {'/'.join(key)}")
        self.path = path
        self.vectors, self.dim = self._shaped(first).shape

    def __contains__(self, key: Key) -> bool:
        return key in self._table or key in self._files

    def __len__(self) -> int:
        return len(self._table) + len(self._files)

    def read(self, key: Key) -> FloatArray:
        """Return the features of a dive, (n, D) float32.

        Raises:
            KeyError: If there are none.
            DataError: If the dive's file is not readable, or has another shape than
                that of the first dive.
        """
        features = self._shaped(key)
        if features.shape != (self.vectors, self.dim):
            raise DataError(
                f"{self._place(key)}: {features.shape[0]} vectors of {features.shape[1]} numbers, expected "
                f"{self.vectors} of {self.dim} as the first dive has"
            )
        return features

    def _shaped(self, key: Key) -> FloatArray:
        features = (
            self._table[key] if key in self._table else _own_features(self._files[key])
        )
        features = np.atleast_2d(features).astype(np.float32)
        if features.shape[0] not in self._allowed:
            expected = " or ".join(
                f"{count} (one {what})" for count, what in self._allowed.items()
            )
            raise DataError(
                f"{self._place(key)}: {features.shape[0]} vectors, expected {expected}"
            )
        if not np.isfinite(features).all():
            raise DataError(
                f"{self._place(key)}: holds NaN or infinity; compute the features of this dive again"
            )
        return features

    def _place(self, key: Key) -> str:
        return (
            str(self._files[key])
            if key in self._files
            else f"{self.path}: {'/'.join(key)}"
        )


def read_feature_table(path: Path) -> dict[Key, FloatArray]:
    """Return the features of a table's dives, each (D,) or (n, D).

    Raises:
        DataError: If it is not readable or not such a table; names the array.
    """
    arrays = _load(path)
    return dict(
        zip(
            _keys(path, arrays), _features(path, arrays, dimensions=(2, 3)), strict=True
        )
    )


def read_table_dives(path: Path) -> tuple[list[Dive], list[Problem]]:
    """Return the dives of a table that has scores, and what of them could not be used;
    transitions need ``frames``.

    Raises:
        DataError: If it is not readable, not such a table, or has no ``score``.
    """
    arrays = _load(path)
    keys = _keys(path, arrays)
    if "score" not in arrays:
        raise DataError(
            f"{path}: no array 'score'; found {', '.join(sorted(arrays))}. Without scores it can only stand in for "
            "pictures, beside FineDiving's annotations or dives.csv"
        )
    problems = [
        Problem(
            str(path),
            name,
            f"unknown array, ignored (known: {', '.join(KNOWN_COLUMNS)})",
            "warning",
            kind="value",
        )
        for name in arrays
        if name not in KNOWN_COLUMNS
    ]
    columns = {
        name: _column(path, arrays, name, len(keys))
        for name in KNOWN_COLUMNS[4:]
        if name in arrays
    }
    return [
        _dive(path, key, row, columns, problems) for row, key in enumerate(keys)
    ], problems


def _dive(
    path: Path, key: Key, row: int, columns: Arrays, problems: list[Problem]
) -> Dive:
    def cell(name: str, read: Callable[[Any], Any]) -> Any:
        if name not in columns:
            return None
        value = columns[name][row]
        try:
            return read(value)
        except ValueError as error:
            problems.append(
                Problem(
                    str(path),
                    f"{'/'.join(key)} {name}",
                    f"found {value}, {error}; taken as unknown",
                    kind="value",
                    found=str(value),
                )
            )
            return None

    frames = cell("frames", lambda value: _whole(value, 1))
    transitions = cell("transitions", lambda value: _transitions(value, frames))
    return Dive(
        match=key[0],
        dive=key[1],
        start_frame=None if frames is None else 0,
        end_frame=None if frames is None else frames - 1,
        dive_number=cell("dive_number", _dive_number),
        difficulty=cell("difficulty", lambda value: _number(value, above=0)),
        score=cell("score", lambda value: _number(value, above=-1e-9)),
        transitions=transitions,
    )


def _number(value: Any, above: float) -> float:
    number = float(value)
    if not (np.isfinite(number) and number > above):
        raise ValueError("expected a positive number")
    return number


def _whole(value: Any, least: int) -> int:
    if int(value) != value or value < least:
        raise ValueError(f"expected a whole number from {least}")
    return int(value)


def _dive_number(value: Any) -> str | None:
    text = str(value).strip().lower()
    if text:
        diving.parse(text)
    return text or None


def _transitions(value: Any, frames: int | None) -> tuple[int, ...] | None:
    if np.ndim(value) != 1 or len(value) != 2 or frames is None:
        raise ValueError("expected two frames, and an array 'frames' beside it")
    flight, entry = (int(frame) for frame in value)
    if flight < 0 and entry < 0:
        return None
    if not 0 < flight < entry < frames:
        raise ValueError(
            f"expected two rising frames from 1 to below the dive's {frames}"
        )
    return flight, entry


def _keys(path: Path, arrays: Arrays) -> list[Key]:
    count = len(_features(path, arrays, dimensions=(2, 3)))
    match = (
        _names(path, arrays, "match", count)
        if "match" in arrays
        else [path.stem] * count
    )
    column = next((name for name in ("dive", "index") if name in arrays), None)
    dives = (
        _names(path, arrays, column, count)
        if column
        else [str(row) for row in range(count)]
    )
    keys = list(zip(match, dives, strict=True))
    if len(set(keys)) < count:
        twice = next(key for place, key in enumerate(keys) if key in keys[:place])
        raise DataError(
            f"{path}: the dive {'/'.join(twice)} is in it twice; give each row a match and dive of its own"
        )
    return keys


def _names(path: Path, arrays: Arrays, name: str, count: int) -> list[str]:
    names = [str(value) for value in _column(path, arrays, name, count)]
    for row, text in enumerate(names):
        if not safe_name(text):
            raise DataError(
                f"{path}: '{name}' row {row} is {text!r}, expected a name without / \\ : or .."
            )
    return names


def _column(path: Path, arrays: Arrays, name: str, count: int) -> NDArray[Any]:
    column = arrays[name]
    if not column.ndim or len(column) != count:
        raise DataError(
            f"{path}: '{name}' has shape {column.shape}, expected {count} rows as '{FEATURES}' has"
        )
    if (
        name in ("score", "difficulty", "transitions", "frames")
        and column.dtype.kind not in "fiu"
    ):
        raise DataError(f"{path}: '{name}' is of type {column.dtype}, expected numbers")
    return column


def _features(path: Path, arrays: Arrays, dimensions: tuple[int, ...]) -> NDArray[Any]:
    features = arrays.get(FEATURES)
    if features is None:
        raise DataError(
            f"{path}: no array '{FEATURES}'; found {', '.join(sorted(arrays)) or 'nothing'}"
        )
    if (
        features.ndim not in dimensions
        or not features.size
        or features.dtype.kind not in "fiu"
    ):
        shapes = " or ".join(
            {1: "(D,)", 2: "(n, D)" if 1 in dimensions else "(N, D)", 3: "(N, n, D)"}[n]
            for n in dimensions
        )
        raise DataError(
            f"{path}: '{FEATURES}' has shape {features.shape} of {features.dtype}, expected {shapes} of numbers"
        )
    return features


def _names_no_dive(path: Path) -> bool:
    return not {"match", "dive", "index", "score"} & _load(path).keys()


def _own_features(path: Path) -> NDArray[Any]:
    arrays = _load(path)
    if FEATURES not in arrays and len(arrays) == 1:
        arrays = {FEATURES: next(iter(arrays.values()))}
    return _features(path, arrays, dimensions=(1, 2))


def _files(root: Path) -> dict[Key, Path]:
    return {
        (path.parent.name, path.stem): path for path in sorted(root.glob("*/*.npz"))
    }


def _load(path: Path) -> Arrays:
    if not zipfile.is_zipfile(path):  # what numpy would say of it recommends unpickling
        raise DataError(
            f"{path}: not readable as .npz: no archive, or cut short; write it with numpy.savez"
        )
    try:
        with np.load(path, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError, EOFError) as error:
        raise DataError(
            f"{path}: not readable as .npz without pickle: {str(error).partition('.')[0]}"
        ) from None
