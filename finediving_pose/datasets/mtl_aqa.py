"""MTL-AQA's annotation pickles: a window of 103 frames for each dive, and stages
borrowed from FineDiving.

1412 dives, the key (video, dive); FineDiving has 1369 of them under the match of two
digits. The files say what a dive is made of (position, rotation, somersaults, twists),
from which the dive number follows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from finediving_pose import diving
from finediving_pose.datasets.finediving import (
    Key,
    parse_finite,
    read_entries,
    read_keys,
)
from finediving_pose.datasets.problems import Problem
from finediving_pose.errors import DataError
from finediving_pose.files import sha256_file
from finediving_pose.records import Dive

ANNOTATIONS = "*annotations_dict*.pkl"
TRAIN = "train_split*.pkl"
TEST = "test_split*.pkl"

FRAMES = 103
"""The window that methods read: so many frames, the dive's last annotated frame being
the last of them."""

MARGIN = 3
"""Frames by which the window is moved at random in training, to either side."""

SCORE_TOLERANCE = 0.01

# Back, forward, inward, reverse, as all dives shared with FineDiving show.
_DIRECTIONS = {0: 2, 1: 1, 2: 4, 3: 3}
_POSITIONS = {0: "d", 1: "b", 2: "c"}


@dataclass(frozen=True)
class MtlAqa:
    """The content of the files.

    Attributes:
        folder: Where they lie.
        dives: In file order; match is the video in two digits, the window is of
            :data:`FRAMES` frames, transitions are counted from its first.
        train, test: Keys in file order; empty where the file is absent.
        sha256: By the names of the files that were read.
        problems: What could not be used, and stages that could not be borrowed.
    """

    folder: Path
    dives: tuple[Dive, ...]
    train: tuple[Key, ...] = ()
    test: tuple[Key, ...] = ()
    sha256: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


def find_annotations(folder: Path) -> list[Path]:
    """Return the files of annotations in a folder; with dive numbers in their name
    first, because they have awards."""
    return sorted(
        folder.glob(ANNOTATIONS),
        key=lambda path: ("dive_number" not in path.name, path.name),
    )


def read_mtl_aqa(folder: Path, stages: Mapping[Key, Dive] | None = None) -> MtlAqa:
    """Read the files that are there; of a dive in several the first counts.

    Args:
        folder: Holds ``*annotations_dict*.pkl`` and ``train_split*.pkl``,
            ``test_split*.pkl``.
        stages: FineDiving's dives, whose transitions are borrowed where the score is
            the same and they lie within the window.

    Raises:
        DataError: If there are no annotations.
    """
    paths = find_annotations(folder)
    if not paths:
        raise DataError(
            f"{folder}: no file {ANNOTATIONS} here, which holds MTL-AQA's annotations"
        )
    problems: list[Problem] = []
    dives: dict[Key, Dive] = {}
    for path in paths:
        for key, dive in read_entries(path, _parse_dive, problems).items():
            dives.setdefault(pad_key(key), dive)
    lenders = stages or {}
    borrowed = []
    for dive in dives.values():
        lender = lenders.get(dive.key)
        borrowed.append(_borrow_stages(dive, lender, folder, problems))
    train_paths, test_paths = sorted(folder.glob(TRAIN)), sorted(folder.glob(TEST))
    read = (*paths, *train_paths[:1], *test_paths[:1])
    return MtlAqa(
        folder=folder,
        dives=tuple(borrowed),
        train=_read_split(train_paths, problems),
        test=_read_split(test_paths, problems),
        sha256={path.name: sha256_file(path) for path in read},
        problems=tuple(problems),
    )


def pad_key(key: Key) -> Key:
    """Return the key as FineDiving has it: video 1 is its match ``01``."""
    return key[0].zfill(2), key[1]


def parse_dive_number(value: Mapping[str, Any]) -> str:
    """Return the dive number of what a dive is made of, as ``407c``.

    Position 0 is free where the dive twists, else straight. 22 dives have no half
    somersault: FineDiving knows each of them as 101B, 201B or 301B, so they count as
    one half somersault in pike position.

    Raises:
        ValueError: If there is no such dive.
    """
    direction = _look_up(_DIRECTIONS, value, "rotation_type")
    position = _look_up(_POSITIONS, value, "position")
    somersaults, twists = int(value["ss_no"]), int(value["tw_no"])
    if not twists and position == "d":
        position = "a"
    if somersaults == 0:
        somersaults, position = 1, "b"
    if value["armstand"]:
        text = f"6{direction}{somersaults}{twists or ''}{position}"
    elif twists:
        text = f"5{direction}{somersaults}{twists}{position}"
    else:
        text = f"{direction}0{somersaults}{position}"
    diving.parse_dive_number(text)
    return text


def _look_up(names: Mapping[int, Any], value: Mapping[str, Any], name: str) -> Any:
    found = value[name]
    if found not in names:
        raise ValueError(
            f"{name}: found {found!r}, expected one of {', '.join(map(str, names))}"
        )
    return names[found]


def _parse_dive(value: Any, key: Key) -> Dive:
    end = int(value["end_frame"])
    if end < 0:
        raise ValueError(f"end_frame: found {end}, expected a frame from 0")
    awards = []
    for award in value.get("judge_scores", ()):
        awards.append(parse_finite(award, "judge_scores"))
    match, dive = pad_key(key)
    return Dive(
        match=match,
        dive=dive,
        start_frame=max(end - FRAMES + 1, 0),
        end_frame=end,
        dive_number=parse_dive_number(value),
        difficulty=parse_finite(value["difficulty"], "difficulty"),
        awards=tuple(awards) or None,
        score=parse_finite(value["final_score"], "final_score"),
    )


def _borrow_stages(
    dive: Dive, lender: Dive | None, folder: Path, problems: list[Problem]
) -> Dive:
    """Give the dive the transitions of the same dive in FineDiving, counted from its
    own window."""
    if (
        lender is None
        or lender.transitions is None
        or lender.start_frame is None
        or dive.start_frame is None
    ):
        return dive
    later = lender.start_frame - dive.start_frame
    transitions = tuple(frame + later for frame in lender.transitions)
    fault = _explain_disagreement(dive, lender, transitions)
    if fault is not None:
        message = f"FineDiving's stages not borrowed: {fault}"
        name = "/".join(dive.key)
        problems.append(
            Problem(str(folder), name, message, "warning", kind="disagreement")
        )
        return dive
    return replace(dive, transitions=transitions)


def _explain_disagreement(
    dive: Dive, lender: Dive, transitions: Sequence[int]
) -> str | None:
    if abs((lender.score or 0.0) - (dive.score or 0.0)) > SCORE_TOLERANCE:
        return f"its score is {lender.score}, here {dive.score}"
    assert dive.start_frame is not None
    assert dive.end_frame is not None
    if not 0 < transitions[0] < transitions[-1] <= dive.end_frame - dive.start_frame:
        frames = ", ".join(map(str, transitions))
        return f"they begin at frame {frames} of the window of {FRAMES}"
    return None


def _read_split(paths: Sequence[Path], problems: list[Problem]) -> tuple[Key, ...]:
    if not paths:
        return ()
    return tuple(pad_key(key) for key in read_keys(paths[0], problems))
