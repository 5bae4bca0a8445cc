"""Visual features computed elsewhere, which stand in for images.

A folder of ``<match>/<dive>.npz``, or one table (``.npz``) of all dives. Its arrays, N
dives:

===============  ======================  ==============================================
``features``     (N, D) or (N, n, D)     n = 1 vector a dive, one a clip (9), or one a
                                         frame (96)
``match``        (N,) text or numbers    the table's name where absent
``dive``         (N,) text or numbers    or ``index``; 0, 1, … where both are absent
``score``        (N,)                    this and all below: only for a table that is
                                         its own annotation
``difficulty``   (N,)
``dive_number``  (N,) text
``transitions``  (N, 2) whole numbers    first frame of flight and of entry, −1 =
                                         unknown
``frames``       (N,) whole numbers      how many frames the dive has
===============  ======================  ==============================================

A dive's own file holds ``features`` (or one array of any name), (D,) or (n, D).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose import diving
from finediving_pose.datasets.array_files import read_arrays
from finediving_pose.datasets.finediving import Key
from finediving_pose.datasets.problems import Problem, is_safe_name
from finediving_pose.errors import DataError, UsageError
from finediving_pose.media import SAMPLES
from finediving_pose.records import Dive, FloatArray

FEATURES = "features"
CLIPS = 9
ANNOTATION_COLUMNS = ("score", "difficulty", "dive_number", "transitions", "frames")
NUMBER_COLUMNS = ("score", "difficulty", "transitions", "frames")
KNOWN_COLUMNS = (FEATURES, "match", "dive", "index", *ANNOTATION_COLUMNS)

Arrays = dict[str, NDArray[Any]]


class FeatureStore:
    """The features of dives by match and dive.

    Attributes:
        path: The table or folder.
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
        self.path = path
        self._allowed = {1: "a dive", clips: "a clip", frames: "a frame"}
        self._table: dict[Key, FloatArray] = {}
        self._files: dict[Key, Path] = {}
        if path.is_dir():
            for file in sorted(path.glob("*/*.npz")):
                self._files[file.parent.name, file.stem] = file
        elif key is not None and _is_of_one_dive(path):
            self._files[key] = path
        elif path.is_file():
            self._table = read_feature_table(path)
        first = next(iter([*self._table, *self._files]), None)
        if first is None:
            raise DataError(f"{path}: no <match>/<dive>.npz below it")
        if key is not None and key not in self:
            raise DataError(f"{path}: holds no features of the dive {'/'.join(key)}")
        self.vectors, self.dim = self._read_vectors(first).shape

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
        features = self._read_vectors(key)
        if features.shape != (self.vectors, self.dim):
            raise DataError(
                f"{self._name_place(key)}: {features.shape[0]} vectors of {features.shape[1]} numbers, expected "
                f"{self.vectors} of {self.dim} as the first dive has"
            )
        return features

    def _read_vectors(self, key: Key) -> FloatArray:
        """Return the features of a dive, (n, D), whatever the first dive has."""
        if key in self._table:
            features = self._table[key]
        else:
            features = _read_own_features(self._files[key])
        features = np.atleast_2d(features).astype(np.float32)
        if features.shape[0] not in self._allowed:
            choices = [f"{count} (one {of})" for count, of in self._allowed.items()]
            raise DataError(
                f"{self._name_place(key)}: {features.shape[0]} vectors, expected {' or '.join(choices)}"
            )
        if not np.isfinite(features).all():
            raise DataError(
                f"{self._name_place(key)}: holds NaN or infinity; compute the features of this dive again"
            )
        return features

    def _name_place(self, key: Key) -> str:
        if key in self._files:
            return str(self._files[key])
        return f"{self.path}: {'/'.join(key)}"


def read_feature_table(path: Path) -> dict[Key, FloatArray]:
    """Return the features of a table's dives, each (D,) or (n, D).

    Raises:
        DataError: If it is not readable or not such a table; names the array.
    """
    arrays = read_arrays(path)
    keys = _read_keys(path, arrays)
    return dict(zip(keys, _get_table_features(path, arrays), strict=True))


def read_table_dives(path: Path) -> tuple[list[Dive], list[Problem]]:
    """Return the dives of a table that has scores, and what of them could not be used;
    transitions need ``frames``.

    Raises:
        DataError: If it is not readable, not such a table, or has no ``score``.
    """
    arrays = read_arrays(path)
    keys = _read_keys(path, arrays)
    if "score" not in arrays:
        raise DataError(
            f"{path}: no array 'score'; found {', '.join(sorted(arrays))}. Without scores it can only stand in for "
            "images, beside FineDiving's annotations or dives.csv"
        )
    problems = []
    for name in arrays:
        if name not in KNOWN_COLUMNS:
            text = f"unknown array, ignored (known: {', '.join(KNOWN_COLUMNS)})"
            problem = Problem(str(path), name, text, "warning", kind="value")
            problems.append(problem)
    columns = {}
    for name in ANNOTATION_COLUMNS:
        if name in arrays:
            columns[name] = _get_column(path, arrays, name, len(keys))
    dives = []
    for row, key in enumerate(keys):
        cells = _Cells(path, key, row, columns, problems)
        dives.append(_read_dive(key, cells))
    return dives, problems


@dataclass(frozen=True)
class _Cells:
    """A row of a table: cells that cannot be read become problems, and count as
    unknown."""

    path: Path
    key: Key
    row: int
    columns: Arrays
    problems: list[Problem]

    def read(self, name: str, convert: Callable[[Any], Any]) -> Any:
        if name not in self.columns:
            return None
        value = self.columns[name][self.row]
        try:
            return convert(value)
        except ValueError as error:
            place = f"{'/'.join(self.key)} {name}"
            text = f"found {value}, {error}; taken as unknown"
            problem = Problem(
                str(self.path), place, text, kind="value", found=str(value)
            )
            self.problems.append(problem)
            return None


def _read_dive(key: Key, cells: _Cells) -> Dive:
    frames = cells.read("frames", lambda value: _parse_whole(value, 1))
    transitions = cells.read(
        "transitions", lambda value: _parse_transitions(value, frames)
    )
    return Dive(
        match=key[0],
        dive=key[1],
        start_frame=None if frames is None else 0,
        end_frame=None if frames is None else frames - 1,
        dive_number=cells.read("dive_number", _parse_dive_number),
        difficulty=cells.read("difficulty", lambda value: _parse_number(value, 0)),
        # A score of 0 is a failed dive, and as good a score as any.
        score=cells.read("score", lambda value: _parse_number(value, -1e-9)),
        transitions=transitions,
    )


def _parse_number(value: Any, above: float) -> float:
    number = float(value)
    if not (np.isfinite(number) and number > above):
        raise ValueError("expected a positive number")
    return number


def _parse_whole(value: Any, least: int) -> int:
    if int(value) != value or value < least:
        raise ValueError(f"expected a whole number from {least}")
    return int(value)


def _parse_dive_number(value: Any) -> str | None:
    text = str(value).strip().lower()
    if text:
        diving.parse_dive_number(text)
    return text or None


def _parse_transitions(value: Any, frames: int | None) -> tuple[int, ...] | None:
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


def _read_keys(path: Path, arrays: Arrays) -> list[Key]:
    count = len(_get_table_features(path, arrays))
    matches = [path.stem] * count
    if "match" in arrays:
        matches = _read_names(path, arrays, "match", count)
    dives = [str(row) for row in range(count)]
    for name in ("dive", "index"):
        if name in arrays:
            dives = _read_names(path, arrays, name, count)
            break
    keys = list(zip(matches, dives, strict=True))
    if len(set(keys)) < count:
        twice = next(key for place, key in enumerate(keys) if key in keys[:place])
        raise DataError(
            f"{path}: the dive {'/'.join(twice)} is in it twice; give each row a match and dive of its own"
        )
    return keys


def _read_names(path: Path, arrays: Arrays, name: str, count: int) -> list[str]:
    names = [str(value) for value in _get_column(path, arrays, name, count)]
    for row, text in enumerate(names):
        if not is_safe_name(text):
            raise DataError(
                f"{path}: '{name}' row {row} is {text!r}, expected a name without / \\ : or .."
            )
    return names


def _get_column(path: Path, arrays: Arrays, name: str, count: int) -> NDArray[Any]:
    column = arrays[name]
    if not column.ndim or len(column) != count:
        raise DataError(
            f"{path}: '{name}' has shape {column.shape}, expected {count} rows as '{FEATURES}' has"
        )
    if name in NUMBER_COLUMNS and column.dtype.kind not in "fiu":
        raise DataError(f"{path}: '{name}' is of type {column.dtype}, expected numbers")
    return column


def _get_table_features(path: Path, arrays: Arrays) -> NDArray[Any]:
    return _get_features(path, arrays, {2: "(N, D)", 3: "(N, n, D)"})


def _get_features(
    path: Path, arrays: Arrays, shapes: Mapping[int, str]
) -> NDArray[Any]:
    """Return the array of features if it has one of these numbers of dimensions, each
    with its shape in words."""
    features = arrays.get(FEATURES)
    if features is None:
        raise DataError(
            f"{path}: no array '{FEATURES}'; found {', '.join(sorted(arrays)) or 'nothing'}"
        )
    is_numeric = features.dtype.kind in "fiu"
    if features.ndim not in shapes or not features.size or not is_numeric:
        raise DataError(
            f"{path}: '{FEATURES}' has shape {features.shape} of {features.dtype}, expected "
            f"{' or '.join(shapes.values())} of numbers"
        )
    return features


def _is_of_one_dive(path: Path) -> bool:
    return not {"match", "dive", "index", "score"} & read_arrays(path).keys()


def _read_own_features(path: Path) -> NDArray[Any]:
    """Return the features in a dive's own file, (D,) or (n, D); its only array may have
    any name."""
    arrays = read_arrays(path)
    if FEATURES not in arrays and len(arrays) == 1:
        arrays = {FEATURES: next(iter(arrays.values()))}
    return _get_features(path, arrays, {1: "(D,)", 2: "(n, D)"})
