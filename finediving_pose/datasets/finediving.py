"""FineDiving's annotation pickles, as published: reading them, and writing others that
every reader of them reads.

Five files: coarse annotations, fine-grained annotations, the same as lists for action
quality assessment (AQA), and the keys of the training and of the test dives. The key is
(match, dive) everywhere.
"""

from __future__ import annotations

import math
import pickle
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from finediving_pose.datasets import restricted_pickle
from finediving_pose.datasets.problems import Problem, ProblemLog, is_safe_name
from finediving_pose.datasets.sub_actions import SUB_ACTIONS
from finediving_pose.errors import DataError
from finediving_pose.files import sha256_file, write_bytes
from finediving_pose.media import SAMPLES, sample_indices
from finediving_pose.records import Dive

COARSE_NAME = "FineDiving_coarse_annotation.pkl"
FINE_NAME = "FineDiving_fine-grained_annotation.pkl"
AQA_NAME = "fine-grained_annotation_aqa.pkl"
TRAIN_NAME = "train_split.pkl"
TEST_NAME = "test_split.pkl"
FILES = (COARSE_NAME, FINE_NAME, AQA_NAME, TRAIN_NAME, TEST_NAME)

MEASURED: dict[str, str] = {
    COARSE_NAME: "8dc211a35c2b1ec1dc6f5c9f7e93774b627d812b8ea41d012a85bc1e0e49240e",
    FINE_NAME: "643e1bdeab2b2727136c543fcd5fe907b69f32803a0ff1bed4b9c36889dfa765",
    AQA_NAME: "919b1ff8e63676b51508bf340b8a92f870571d5281ec34d3b70dcf56f51b3482",
    TRAIN_NAME: "a8a1cdcbdef430429fbbd7539d90939982a0c5588a1a1c79117a07372609a4d8",
    TEST_NAME: "bcb1f407ad190a68f464c5aa70658e72d34b683a89deccf3ecc9119019896594",
}
"""SHA-256 of the published files that every figure of ours was measured on; a second
version of them circulates."""

SYNCHRONISED_AWARDS = 5
"""A synchronised dive has five awards that count; individual dives have seven, or the
three that counted."""

Key = tuple[str, str]
StageCut = Literal[1, 2, "2*", 3]
"""K, the stages that a dive is cut into: 3 take-off, flight, entry; 2 take-off and the
rest; 2* entry and the rest."""

_SEVEN_AWARDS = 7  # lists of seven hold numpy's floats in the published files, shorter ones Python's
_AQA_COLUMNS = (
    "action_type",
    "dive_score",
    "difficulty",
    "steps_transit_frames",
    "frames_labels",
)
_PROTOCOL = 3
_NUMPY_1, _NUMPY_2 = b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n"

T = TypeVar("T")
Labels = NDArray[np.int64]

_NONE: Labels = np.empty(0, np.int64)


class Run(NamedTuple):
    """Frames of one sub-action on end: `start` is the first of them, `stop` the first
    behind them."""

    label: int
    start: int
    stop: int


@dataclass(frozen=True)
class FineDive:
    """One dive of FineDiving: what the coarse file says, and the sub-action of each
    frame.

    Attributes:
        dive: Dive number, window, DD, awards, score; with `transitions` where the
            frames are labelled.
        frame_labels: (n,) int64, the sub-action id of each frame from the dive's first
            to its last; (0,) where no file gives them.
        steps_transit_frames: (runs − 1,) int64, the last frame of each run but the
            last, counted from the dive's first frame. As stored: ten of the published
            are corrupt. Everything here is derived from `frame_labels`.
        sub_action_names: The name of each sub-action id that the dive's file entry
            lists; empty where it lists none.
    """

    dive: Dive
    frame_labels: Labels
    steps_transit_frames: Labels
    sub_action_names: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def labelled(cls, dive: Dive, frame_labels: Sequence[int] | Labels) -> FineDive:
        """Make a dive of its (n,) frame labels; everything that follows from them is
        filled in."""
        labels = np.array(frame_labels, dtype=np.int64)
        names = {label: SUB_ACTIONS[label] for label in dict.fromkeys(labels.tolist())}
        return cls(_with_transitions(dive, labels), labels, _changes(labels) - 1, names)

    @property
    def key(self) -> Key:
        """Match and dive, both as text."""
        return self.dive.key

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The frames in runs of one label."""
        return _runs(self.frame_labels)

    @property
    def sequence(self) -> tuple[int, ...]:
        """The sub-action ids in their order, one for each run."""
        return tuple(run.label for run in self.runs)

    def transitions(self, k: StageCut = 3) -> tuple[int, ...] | None:
        """Return the first frame of each of the K stages but the first, counted from
        the dive's first frame.

        Take-off is the first run of labels, entry the last, flight what is between.

        Returns:
            K − 1 frames; None where the frames are not labelled or have fewer than
            three runs.
        """
        return _cut(self.runs, k)

    @property
    def stages(self) -> Labels | None:
        """(n,) int64, 0 take-off, 1 flight, 2 entry; None where `transitions` is."""
        transitions = self.transitions()
        if transitions is None:
            return None
        return np.searchsorted(
            np.array(transitions), np.arange(len(self.frame_labels)), side="right"
        ).astype(np.int64)


@dataclass(frozen=True)
class FineDiving:
    """The content of the five files, as far as they are there.

    Attributes:
        folder: The folder that holds them.
        dives: In the order of the first file that is there of the coarse, the
            fine-grained and the AQA file.
        train, test: Keys in file order; empty where the file is absent.
        sha256: By the names of the files that were read.
        missing: The names of the files that are not there.
        problems: ``error`` for a file or an entry that could not be used, ``warning``
            where files disagree.
    """

    folder: Path
    dives: tuple[FineDive, ...]
    train: tuple[Key, ...] = ()
    test: tuple[Key, ...] = ()
    sha256: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()

    @cached_property
    def by_key(self) -> dict[Key, FineDive]:
        """The dives by match and dive."""
        return {dive.key: dive for dive in self.dives}

    def select(self, keys: Iterable[Key]) -> list[FineDive]:
        """Return the dives of a split, in its order; a key without a dive is passed
        over."""
        return [self.by_key[key] for key in keys if key in self.by_key]


def read_coarse(path: Path) -> list[Dive]:
    """Read ``FineDiving_coarse_annotation.pkl``: dive number, first and last frame,
    score, DD and awards.

    Args:
        path: The pickle, or the folder that holds it.

    Raises:
        DataError: If it is not that file; names the dive and key.
    """
    path = path / COARSE_NAME if path.is_dir() else path
    problems: list[Problem] = []
    dives = read_entries(path, _coarse, problems)
    if problems:
        raise DataError(str(problems[0]).removeprefix("error: "))
    return list(dives.values())


def find_folder(path: Path) -> Path:
    """Return the folder that holds the files: `path`, or the folder directly in it that
    has most of them.

    Raises:
        DataError: If none of the files is there.
    """
    if not path.is_dir():
        raise DataError(
            f"{path}: no such folder; expected the one that holds {COARSE_NAME}"
        )
    folders = [path, *sorted(folder for folder in path.iterdir() if folder.is_dir())]
    best = max(
        folders, key=lambda folder: sum((folder / name).is_file() for name in FILES)
    )
    if not any((best / name).is_file() for name in FILES):
        raise DataError(
            f"{path}: none of FineDiving's files here or one folder below; expected {', '.join(FILES)}"
        )
    return best


def read_finediving(folder: Path) -> FineDiving:
    """Read the files that are there.

    Where they disagree the AQA file counts before the fine-grained and that before the
    coarse one, because the published methods read the first; each disagreement is a
    problem.

    Args:
        folder: The folder that holds the files, or the one above it.

    Raises:
        DataError: If none of them is there.
    """
    folder = find_folder(folder)
    there = [name for name in FILES if (folder / name).is_file()]
    problems: list[Problem] = []

    def entries(name: str, parse: Callable[[Any, Key], T]) -> dict[Key, T]:
        return read_entries(folder / name, parse, problems) if name in there else {}

    coarse, fine, aqa = (
        entries(COARSE_NAME, _coarse),
        entries(FINE_NAME, _fine),
        entries(AQA_NAME, _aqa),
    )
    keys = dict.fromkeys([*coarse, *fine, *aqa])
    dives = tuple(
        _merged(key, coarse.get(key), fine.get(key), aqa.get(key), problems)
        for key in keys
    )
    splits = {
        name: read_keys(folder / name, problems) if name in there else ()
        for name in (TRAIN_NAME, TEST_NAME)
    }
    return FineDiving(
        folder=folder,
        dives=dives,
        train=splits[TRAIN_NAME],
        test=splits[TEST_NAME],
        sha256={name: sha256_file(folder / name) for name in there},
        missing=tuple(name for name in FILES if name not in there),
        problems=tuple(problems),
    )


def write_finediving(
    folder: Path,
    dives: Iterable[FineDive],
    train: Iterable[tuple[str, Any]],
    test: Iterable[tuple[str, Any]],
) -> None:
    """Write the five files as the published ones are: the same containers, types and
    protocol.

    ``pickle.load`` reads them under numpy 1 and 2, and the same dives give the same
    bytes.

    Args:
        folder: Made if need be.
        dives: With everything that the coarse file holds, and labelled frames. `dive`
            must be a whole number.
        train, test: Keys (match, dive).

    Raises:
        ValueError: If a dive lacks a value or has another number of labels than of
            frames; names both.
    """
    dives = list(dives)
    for dive in dives:
        _check_complete(dive)
    contents: dict[str, Any] = {
        COARSE_NAME: {
            _pickled_key(dive.key): _pickled_coarse(dive.dive) for dive in dives
        },
        FINE_NAME: {_pickled_key(dive.key): _pickled_fine(dive) for dive in dives},
        AQA_NAME: {_pickled_key(dive.key): _pickled_aqa(dive) for dive in dives},
        TRAIN_NAME: [_pickled_key(key) for key in train],
        TEST_NAME: [_pickled_key(key) for key in test],
    }
    for name, content in contents.items():
        write_bytes(folder / name, _pickle(content))


def sample_transitions(
    transitions: Sequence[int], frames: int, samples: int = SAMPLES
) -> tuple[int, ...]:
    """Return which of the frames that stand for a clip is the first of each stage.

    Args:
        transitions: First frames of stages, counted from the clip's first frame.
        frames: How many frames the clip has.
        samples: How many stand for it, chosen as :func:`media.sample_indices` does.
    """
    return tuple(
        int(place)
        for place in np.searchsorted(sample_indices(frames, samples), transitions)
    )


def count_frames(dive: Dive) -> int | None:
    """Return how many frames the dive's window has, or None where it is not known."""
    if dive.start_frame is None or dive.end_frame is None:
        return None
    return dive.end_frame - dive.start_frame + 1


def make_text_key(key: tuple[str, Any]) -> Key:
    """Return (match, dive) as :attr:`records.Dive.key` has it; in the pickles the dive
    is a number."""
    return str(key[0]), str(key[1])


class _Entry(NamedTuple):
    """What the fine-grained and the AQA file say of a dive."""

    number: str
    score: float
    difficulty: float
    steps: Labels
    labels: Labels
    names: dict[int, str]


def read_entries(
    path: Path, parse: Callable[[Any, Key], T], problems: list[Problem]
) -> dict[Key, T]:
    """Read a pickled dict of dives; what cannot be used of it becomes a problem.

    Args:
        path: The file.
        parse: Makes something of a value and its key, or raises KeyError, TypeError or
            ValueError.
        problems: Are added to.
    """
    content = _load(path, dict, "a dict of dives", problems)
    log = ProblemLog(str(path), problems)
    entries: dict[Key, T] = {}
    for raw, value in content.items() if content else ():
        try:
            key = _checked_key(raw)
        except ValueError as error:
            log.error("unreadable", "", str(error))
            continue
        try:
            entries[key] = parse(value, key)
        except KeyError as error:
            log.error("unreadable", "/".join(key), f"key {error} is missing")
        except (TypeError, ValueError) as error:
            log.error("unreadable", "/".join(key), str(error))
    return entries


def read_keys(path: Path, problems: list[Problem]) -> tuple[Key, ...]:
    """Read a list of keys; what cannot be used of it becomes a problem."""
    keys: list[Key] = []
    for raw in _load(path, list, "a list of keys", problems) or ():
        try:
            keys.append(_checked_key(raw))
        except ValueError as error:
            ProblemLog(str(path), problems).error("unreadable", "", str(error))
    return tuple(keys)


def _load(
    path: Path, kind: type[T], expected: str, problems: list[Problem]
) -> T | None:
    log = ProblemLog(str(path), problems)
    try:
        content = restricted_pickle.load(path)
    except DataError as error:
        log.error("unreadable", "", str(error).removeprefix(f"{path}: "))
        return None
    if not isinstance(content, kind):
        log.mismatch(
            "unreadable",
            "",
            found=f"a {type(content).__name__}",
            expected=expected,
        )
        return None
    return content


def _checked_key(raw: Any) -> Key:
    if not (
        isinstance(raw, tuple)
        and len(raw) == 2
        and all(is_safe_name(str(part)) for part in raw)
    ):
        raise ValueError(f"found key {raw!r}, expected (match, dive) of plain names")
    return make_text_key(raw)


def _coarse(value: Any, key: Key) -> Dive:
    awards = tuple(
        parse_finite(award, "judge_scores")
        for award in _dict(value, "the dive")["judge_scores"]
    )
    start, end = int(value["start_frame"]), int(value["end_frame"])
    if not 0 <= start <= end:
        raise ValueError(
            f"frames {start} to {end}: expected a first frame from 0 and a last one not before it"
        )
    return Dive(
        match=key[0],
        dive=key[1],
        start_frame=start,
        end_frame=end,
        dive_number=str(value["action_type"]),
        difficulty=parse_finite(value["difficulty"], "difficulty"),
        awards=awards,
        score=parse_finite(value["dive_score"], "dive_score"),
        synchronised=len(awards) == SYNCHRONISED_AWARDS,
    )


def _fine(value: Any, key: Key) -> _Entry:
    listed = _dict(_dict(value, "the dive")["sub-action_types"], "sub-action_types")
    names = {int(label): str(name) for label, name in listed.items()}
    return _entry([value[column] for column in _AQA_COLUMNS], names)


def _aqa(value: Any, key: Key) -> _Entry:
    if not isinstance(value, list) or len(value) != len(_AQA_COLUMNS):
        raise ValueError(
            f"expected a list of {', '.join(_AQA_COLUMNS)}; found {_shown(value)}"
        )
    return _entry(value, {})


def _dict(value: Any, what: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what}: expected a dict, found {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    return f"a {type(value).__name__}" + (
        f" of {len(value)}" if isinstance(value, list | tuple) else ""
    )


def _entry(values: Sequence[Any], names: dict[int, str]) -> _Entry:
    """Check the values of :data:`_AQA_COLUMNS`."""
    number, score, difficulty, steps, labels = values
    frame_labels = _whole_numbers(labels, "frames_labels")
    if unknown := sorted(set(frame_labels.tolist()) - SUB_ACTIONS.keys()):
        raise ValueError(
            f"frames_labels: found {unknown[0]}, expected sub-action ids from 1 to {max(SUB_ACTIONS)}"
        )
    return _Entry(
        str(number),
        parse_finite(score, "dive_score"),
        parse_finite(difficulty, "difficulty"),
        _whole_numbers(steps, "steps_transit_frames"),
        frame_labels,
        names,
    )


def parse_finite(value: Any, where: str) -> float:
    """Return a value of a pickle as a number.

    Raises:
        ValueError: If it is NaN, infinite or no number.
    """
    result = float(value)
    if not math.isfinite(result):
        raise ValueError(f"{where}: found {result}, expected a number")
    return result


def _whole_numbers(value: Any, where: str) -> Labels:
    array = np.asarray(value)
    if array.ndim != 1 or not (array.dtype.kind in "iu" or array.size == 0):
        found = f"{array.ndim} dimensions of {array.dtype}"
        raise ValueError(
            f"{where}: found {found}, expected one dimension of whole numbers"
        )
    return array.astype(np.int64)


def _merged(
    key: Key,
    coarse: Dive | None,
    fine: _Entry | None,
    aqa: _Entry | None,
    problems: list[Problem],
) -> FineDive:
    dive = coarse or Dive(match=key[0], dive=key[1])
    entry = aqa or fine
    if entry is None:
        return FineDive(dive, _NONE, _NONE)
    _compare(key, {COARSE_NAME: coarse, FINE_NAME: fine, AQA_NAME: aqa}, problems)
    dive = replace(
        dive, dive_number=entry.number, score=entry.score, difficulty=entry.difficulty
    )
    names = fine.names if fine else {}
    return FineDive(
        _with_transitions(dive, entry.labels), entry.labels, entry.steps, names
    )


def _compare(
    key: Key, found: Mapping[str, Dive | _Entry | None], problems: list[Problem]
) -> None:
    """Report what two files say differently of a dive."""
    *others, (last, reference) = [
        (name, entry) for name, entry in found.items() if entry is not None
    ]
    for name, entry in others:
        for what, ours, theirs in _facts(entry, reference):
            if not np.array_equal(ours, theirs):
                shown = (
                    f"others than in {last}, which count"
                    if isinstance(ours, np.ndarray)
                    else f"{ours}, in {last} {theirs}, which counts"
                )
                ProblemLog(name, problems).warning(
                    "disagreement", "/".join(key), f"{what} {shown}"
                )


def _facts(
    one: Dive | _Entry, other: Dive | _Entry | None
) -> list[tuple[str, Any, Any]]:
    assert isinstance(other, _Entry), "the coarse file is never the last of two"
    facts: list[tuple[str, Any, Any]] = [
        ("score", one.score, other.score),
        ("DD", one.difficulty, other.difficulty),
    ]
    if isinstance(one, Dive):
        return [*facts, ("dive number", one.dive_number, other.number)]
    arrays = [
        ("frame labels:", one.labels, other.labels),
        ("steps_transit_frames:", one.steps, other.steps),
    ]
    return [*facts, ("dive number", one.number, other.number), *arrays]


def _changes(labels: Labels) -> Labels:
    """Return the first frame of each run but the first."""
    return (np.flatnonzero(np.diff(labels)) + 1).astype(np.int64)


def _runs(labels: Labels) -> tuple[Run, ...]:
    if not len(labels):
        return ()
    edges = [0, *_changes(labels).tolist(), len(labels)]
    return tuple(
        Run(int(labels[start]), start, stop) for start, stop in pairwise(edges)
    )


def _cut(runs: Sequence[Run], k: StageCut) -> tuple[int, ...] | None:
    if len(runs) < 3:
        return None
    flight, entry = runs[1].start, runs[-1].start
    cuts: dict[StageCut, tuple[int, ...]] = {
        1: (),
        2: (flight,),
        "2*": (entry,),
        3: (flight, entry),
    }
    if k not in cuts:
        raise ValueError(f"{k!r} stages: expected 1, 2, 2* or 3")
    return cuts[k]


def _with_transitions(dive: Dive, labels: Labels) -> Dive:
    return replace(dive, transitions=_cut(_runs(labels), 3))


def _check_complete(dive: FineDive) -> None:
    for name in (
        "start_frame",
        "end_frame",
        "dive_number",
        "difficulty",
        "awards",
        "score",
    ):
        if getattr(dive.dive, name) is None:
            raise ValueError(
                f"{'/'.join(dive.key)}: {name} is not known, and FineDiving's files hold it"
            )
    if len(dive.frame_labels) != count_frames(dive.dive):
        raise ValueError(
            f"{'/'.join(dive.key)}: {len(dive.frame_labels)} frame labels of {count_frames(dive.dive)} frames"
        )


def _pickled_key(key: tuple[str, Any]) -> tuple[str, int]:
    return sys.intern(str(key[0])), int(key[1])


def _pickled_coarse(dive: Dive) -> dict[str, Any]:
    awards = dive.awards or ()
    number_type = np.float64 if len(awards) == _SEVEN_AWARDS else float
    return {
        "action_type": _pickled_text(dive.dive_number),
        "start_frame": _as(int, dive.start_frame),
        "end_frame": _as(int, dive.end_frame),
        "dive_score": _as(float, dive.score),
        "difficulty": _as(float, dive.difficulty),
        "judge_scores": [number_type(award) for award in awards],
    }


def _pickled_fine(dive: FineDive) -> dict[str, Any]:
    number, score, difficulty, steps, labels = _pickled_aqa(dive)
    return {
        "action_type": number,
        "dive_score": score,
        "difficulty": difficulty,
        "steps_transit_frames": steps,
        "frames_labels": labels,
        "sub-action_types": {
            np.int64(label): sys.intern(str(name))
            for label, name in dive.sub_action_names.items()
        },
    }


def _pickled_aqa(dive: FineDive) -> list[Any]:
    record = dive.dive
    return [
        _pickled_text(record.dive_number),
        _as(float, record.score),
        _as(float, record.difficulty),
        _pickled_array(dive.steps_transit_frames),
        _pickled_array(dive.frame_labels),
    ]


def _as(kind: type[T], value: Any) -> T:
    """Make a value, which is there, of one of Python's own types."""
    return kind(value)  # type: ignore[call-arg]


def _pickled_text(text: str | None) -> str:
    """Equal texts are made one object, because a pickle writes an object once and
    refers back to it then."""
    return sys.intern(str(text))


def _pickled_array(values: Labels) -> Labels:
    """Build the array anew, so that all have numpy's own dtype object, which a pickle
    writes once as well."""
    return np.array(values.tolist(), dtype=np.int64)


def _pickle(content: Any) -> bytes:
    """Name numpy's parts as numpy 1 does; numpy 2 knows them by that name too, but
    numpy 1 not by the new one.

    Protocol 3 writes such a name as a line of its own, and no text or label of ours
    holds a line end.
    """
    return pickle.dumps(content, protocol=_PROTOCOL).replace(_NUMPY_2, _NUMPY_1)
