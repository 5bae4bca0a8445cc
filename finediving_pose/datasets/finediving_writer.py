"""Writing FineDiving's annotation pickles so that every reader of the published ones
reads them."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from finediving_pose.datasets.finediving import (
    AQA_NAME,
    COARSE_NAME,
    FINE_NAME,
    TEST_NAME,
    TRAIN_NAME,
    FineDive,
    Labels,
    count_frames,
)
from finediving_pose.files import write_bytes
from finediving_pose.records import Dive

_SEVEN_AWARDS = 7
"""Lists of seven awards hold numpy's floats in the published files, shorter ones
Python's."""

_NEEDED = (
    "start_frame",
    "end_frame",
    "dive_number",
    "difficulty",
    "awards",
    "score",
)
"""What of a dive the coarse file holds."""

_PROTOCOL = 3
_NUMPY_1, _NUMPY_2 = b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n"

T = TypeVar("T")


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
        COARSE_NAME: {_make_key(dive.key): _make_coarse(dive.dive) for dive in dives},
        FINE_NAME: {_make_key(dive.key): _make_fine(dive) for dive in dives},
        AQA_NAME: {_make_key(dive.key): _make_aqa(dive) for dive in dives},
        TRAIN_NAME: [_make_key(key) for key in train],
        TEST_NAME: [_make_key(key) for key in test],
    }
    for name, content in contents.items():
        write_bytes(folder / name, _pickle(content))


def _check_complete(dive: FineDive) -> None:
    for name in _NEEDED:
        if getattr(dive.dive, name) is None:
            raise ValueError(
                f"{'/'.join(dive.key)}: {name} is not known, and FineDiving's files hold it"
            )
    if len(dive.frame_labels) != count_frames(dive.dive):
        raise ValueError(
            f"{'/'.join(dive.key)}: {len(dive.frame_labels)} frame labels of {count_frames(dive.dive)} frames"
        )


def _make_key(key: tuple[str, Any]) -> tuple[str, int]:
    return sys.intern(str(key[0])), int(key[1])


def _make_coarse(dive: Dive) -> dict[str, Any]:
    awards = dive.awards or ()
    number_type = np.float64 if len(awards) == _SEVEN_AWARDS else float
    return {
        "action_type": _share_text(dive.dive_number),
        "start_frame": _convert(int, dive.start_frame),
        "end_frame": _convert(int, dive.end_frame),
        "dive_score": _convert(float, dive.score),
        "difficulty": _convert(float, dive.difficulty),
        "judge_scores": [number_type(award) for award in awards],
    }


def _make_fine(dive: FineDive) -> dict[str, Any]:
    number, score, difficulty, steps, labels = _make_aqa(dive)
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


def _make_aqa(dive: FineDive) -> list[Any]:
    record = dive.dive
    return [
        _share_text(record.dive_number),
        _convert(float, record.score),
        _convert(float, record.difficulty),
        _copy_array(dive.steps_transit_frames),
        _copy_array(dive.frame_labels),
    ]


def _convert(kind: type[T], value: Any) -> T:
    """Make a value, which is there, of one of Python's own types."""
    return kind(value)  # type: ignore[call-arg]


def _share_text(text: str | None) -> str:
    """Equal texts are made one object, because a pickle writes an object once and
    refers back to it then."""
    return sys.intern(str(text))


def _copy_array(values: Labels) -> Labels:
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
