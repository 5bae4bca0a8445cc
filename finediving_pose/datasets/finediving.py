"""FineDiving's annotation pickles, as published.

Five files: coarse annotations, fine-grained annotations, the same as lists for action
quality assessment (AQA), and the keys of the training and of the test dives. The key is
(match, dive) everywhere.
"""

from __future__ import annotations

import math
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
from finediving_pose.files import sha256_file
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
"""SHA-256 of the published files that every number of ours was measured on; a second
version of them circulates."""

SYNCHRONISED_AWARDS = 5
"""A synchronised dive has five awards that count; individual dives have seven, or the
three that counted."""

Key = tuple[str, str]
StageCut = Literal[1, 2, "2*", 3]
"""K, the stages that a dive is cut into: 3 take-off, flight, entry; 2 take-off and the
rest; 2* entry and the rest."""

AQA_COLUMNS = (
    "action_type",
    "dive_score",
    "difficulty",
    "steps_transit_frames",
    "frames_labels",
)
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
        """Make a dive of its frame labels, and fill in what follows from them.

        Args:
            dive: The dive, without transitions.
            frame_labels: (n,) the sub-action id of each frame.
        """
        labels = np.array(frame_labels, dtype=np.int64)
        names = {label: SUB_ACTIONS[label] for label in dict.fromkeys(labels.tolist())}
        # As stored, a step is the last frame before a change, not the first behind it.
        steps = _find_changes(labels) - 1
        return cls(_add_transitions(dive, labels), labels, steps, names)

    @property
    def key(self) -> Key:
        """Match and dive, both as text."""
        return self.dive.key

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The frames in runs of one label."""
        return _find_runs(self.frame_labels)

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
        return _cut_stages(self.runs, k)

    @property
    def stages(self) -> Labels | None:
        """(n,) int64, 0 take-off, 1 flight, 2 entry; None where `transitions` is."""
        transitions = self.transitions()
        if transitions is None:
            return None
        frames = np.arange(len(self.frame_labels))
        # On the right side, a transition's own frame belongs to the stage it opens.
        stages = np.searchsorted(np.array(transitions), frames, side="right")
        return stages.astype(np.int64)


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
    dives = read_entries(path, _parse_coarse, problems)
    if problems:
        raise DataError(problems[0].describe())
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
    below = sorted(folder for folder in path.iterdir() if folder.is_dir())
    best = max([path, *below], key=lambda folder: len(_list_files(folder)))
    if not _list_files(best):
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
    there = _list_files(folder)
    problems: list[Problem] = []
    coarse: dict[Key, Dive] = {}
    fine: dict[Key, _Entry] = {}
    aqa: dict[Key, _Entry] = {}
    train: tuple[Key, ...] = ()
    test: tuple[Key, ...] = ()
    if COARSE_NAME in there:
        coarse = read_entries(folder / COARSE_NAME, _parse_coarse, problems)
    if FINE_NAME in there:
        fine = read_entries(folder / FINE_NAME, _parse_fine, problems)
    if AQA_NAME in there:
        aqa = read_entries(folder / AQA_NAME, _parse_aqa, problems)
    dives = []
    for key in dict.fromkeys([*coarse, *fine, *aqa]):
        dives.append(
            _merge_files(key, coarse.get(key), fine.get(key), aqa.get(key), problems)
        )
    if TRAIN_NAME in there:
        train = read_keys(folder / TRAIN_NAME, problems)
    if TEST_NAME in there:
        test = read_keys(folder / TEST_NAME, problems)
    return FineDiving(
        folder=folder,
        dives=tuple(dives),
        train=train,
        test=test,
        sha256={name: sha256_file(folder / name) for name in there},
        missing=tuple(name for name in FILES if name not in there),
        problems=tuple(problems),
    )


def sample_transitions(
    transitions: Sequence[int], frames: int, samples: int = SAMPLES
) -> tuple[int, ...]:
    """Return which of the frames that stand for a clip is the first of each stage.

    Args:
        transitions: First frames of stages, counted from the clip's first frame.
        frames: How many frames the clip has.
        samples: How many stand for it, chosen as :func:`media.sample_indices` does.
    """
    sampled = sample_indices(frames, samples)
    return tuple(np.searchsorted(sampled, transitions).tolist())


def count_frames(dive: Dive) -> int | None:
    """Return how many frames the dive's window has, or None where it is not known."""
    if dive.start_frame is None or dive.end_frame is None:
        return None
    return dive.end_frame - dive.start_frame + 1


def make_text_key(key: tuple[str, Any]) -> Key:
    """Return (match, dive) as :attr:`records.Dive.key` has it; in the pickles the dive
    is a number."""
    return str(key[0]), str(key[1])


def _list_files(folder: Path) -> list[str]:
    return [name for name in FILES if (folder / name).is_file()]


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
    log = ProblemLog(str(path), problems)
    content = _load(path, dict, "a dict of dives", problems) or {}
    entries: dict[Key, T] = {}
    for raw, value in content.items():
        try:
            key = _check_key(raw)
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
    """Read a list of keys; what cannot be used of it becomes a problem.

    Args:
        path: The file.
        problems: Are added to.
    """
    keys: list[Key] = []
    for raw in _load(path, list, "a list of keys", problems) or ():
        try:
            keys.append(_check_key(raw))
        except ValueError as error:
            ProblemLog(str(path), problems).error("unreadable", "", str(error))
    return tuple(keys)


def parse_finite(value: Any, where: str) -> float:
    """Return a value of a pickle as a number.

    Args:
        value: Of any type.
        where: Its name, for the message.

    Raises:
        ValueError: If it is NaN, infinite or no number.
    """
    result = float(value)
    if not math.isfinite(result):
        raise ValueError(f"{where}: found {result}, expected a number")
    return result


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
        found = f"a {type(content).__name__}"
        log.mismatch("unreadable", "", found=found, expected=expected)
        return None
    return content


def _check_key(raw: Any) -> Key:
    is_pair = isinstance(raw, tuple) and len(raw) == 2
    if not is_pair or not all(is_safe_name(str(part)) for part in raw):
        raise ValueError(f"found key {raw!r}, expected (match, dive) of plain names")
    return make_text_key(raw)


def _parse_coarse(value: Any, key: Key) -> Dive:
    listed = _check_dict(value, "the dive")["judge_scores"]
    awards = tuple(parse_finite(award, "judge_scores") for award in listed)
    start, end = int(value["start_frame"]), int(value["end_frame"])
    if not 0 <= start <= end:
        raise ValueError(
            f"frames {start} to {end}: expected a first frame from 0 and a last one "
            "not before it"
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


def _parse_fine(value: Any, key: Key) -> _Entry:
    content = _check_dict(value, "the dive")
    listed = _check_dict(content["sub-action_types"], "sub-action_types")
    names = {int(label): str(name) for label, name in listed.items()}
    return _make_entry([content[column] for column in AQA_COLUMNS], names)


def _parse_aqa(value: Any, key: Key) -> _Entry:
    if not isinstance(value, list) or len(value) != len(AQA_COLUMNS):
        found = _describe_type(value)
        raise ValueError(f"expected a list of {', '.join(AQA_COLUMNS)}; found {found}")
    return _make_entry(value, {})


def _check_dict(value: Any, what: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{what}: expected a dict, found {_describe_type(value)}")
    return value


def _describe_type(value: Any) -> str:
    name = f"a {type(value).__name__}"
    return f"{name} of {len(value)}" if isinstance(value, list | tuple) else name


def _make_entry(values: Sequence[Any], names: dict[int, str]) -> _Entry:
    """Check the values of :data:`AQA_COLUMNS`."""
    number, score, difficulty, steps, labels = values
    frame_labels = _parse_whole_numbers(labels, "frames_labels")
    if unknown := sorted(set(frame_labels.tolist()) - SUB_ACTIONS.keys()):
        raise ValueError(
            f"frames_labels: found {unknown[0]}, expected sub-action ids from 1 to "
            f"{max(SUB_ACTIONS)}"
        )
    return _Entry(
        str(number),
        parse_finite(score, "dive_score"),
        parse_finite(difficulty, "difficulty"),
        _parse_whole_numbers(steps, "steps_transit_frames"),
        frame_labels,
        names,
    )


def _parse_whole_numbers(value: Any, where: str) -> Labels:
    array = np.asarray(value)
    # An empty list becomes an array of floats.
    is_whole = array.dtype.kind in "iu" or array.size == 0
    if array.ndim != 1 or not is_whole:
        raise ValueError(
            f"{where}: found {array.ndim} dimensions of {array.dtype}, expected one "
            "dimension of whole numbers"
        )
    return array.astype(np.int64)


def _merge_files(
    key: Key,
    coarse: Dive | None,
    fine: _Entry | None,
    aqa: _Entry | None,
    problems: list[Problem],
) -> FineDive:
    """Make one dive of what the files say of it; the later argument counts."""
    dive = coarse or Dive(match=key[0], dive=key[1])
    entry = aqa or fine
    if entry is None:
        return FineDive(dive, _NONE, _NONE)
    _compare_files(key, {COARSE_NAME: coarse, FINE_NAME: fine, AQA_NAME: aqa}, problems)
    dive = replace(
        dive, dive_number=entry.number, score=entry.score, difficulty=entry.difficulty
    )
    names = fine.names if fine else {}
    dive = _add_transitions(dive, entry.labels)
    return FineDive(dive, entry.labels, entry.steps, names)


def _compare_files(
    key: Key, found: Mapping[str, Dive | _Entry | None], problems: list[Problem]
) -> None:
    """Report what two files say differently of a dive."""
    known = [(name, entry) for name, entry in found.items() if entry is not None]
    *others, (last, reference) = known
    for name, entry in others:
        log = ProblemLog(name, problems)
        for what, ours, theirs in _pair_facts(entry, reference):
            if np.array_equal(ours, theirs):
                continue
            shown = f"{ours}, in {last} {theirs}, which counts"
            if isinstance(ours, np.ndarray):
                shown = f"others than in {last}, which count"
            log.warning("disagreement", "/".join(key), f"{what} {shown}")


def _pair_facts(
    one: Dive | _Entry, other: Dive | _Entry | None
) -> list[tuple[str, Any, Any]]:
    assert isinstance(other, _Entry), "the coarse file is never the last of two"
    facts: list[tuple[str, Any, Any]] = [
        ("score", one.score, other.score),
        ("DD", one.difficulty, other.difficulty),
    ]
    if isinstance(one, Dive):
        return [*facts, ("dive number", one.dive_number, other.number)]
    return [
        *facts,
        ("dive number", one.number, other.number),
        ("frame labels:", one.labels, other.labels),
        ("steps_transit_frames:", one.steps, other.steps),
    ]


def _find_changes(labels: Labels) -> Labels:
    """Return the first frame of each run but the first."""
    return (np.flatnonzero(np.diff(labels)) + 1).astype(np.int64)


def _find_runs(labels: Labels) -> tuple[Run, ...]:
    if not len(labels):
        return ()
    edges = [0, *_find_changes(labels).tolist(), len(labels)]
    return tuple(
        Run(int(labels[start]), start, stop) for start, stop in pairwise(edges)
    )


def _cut_stages(runs: Sequence[Run], k: StageCut) -> tuple[int, ...] | None:
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


def _add_transitions(dive: Dive, labels: Labels) -> Dive:
    return replace(dive, transitions=_cut_stages(_find_runs(labels), 3))
