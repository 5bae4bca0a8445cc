"""Truth files: what is exactly known of a synthetic dive, ``truth/<match>/<dive>.npz``;
read without pickle.

Arrays of a file, over the T frames of the dive:

- ``keypoints`` (T, 16, 2) float32: x, y of the MPII joints in px, also of joints that
  cannot be seen.
- ``visibility`` (T, 16) uint8: :class:`finediving_pose.records.Visibility`; 0 = outside
  the image or under water.
- ``boxes`` (T, 4) float32: x1, y1, x2, y2 around what is to be seen of the athlete, NaN
  = nothing.
- ``frame_index`` (T,) int64: the frame's number in its recording.
- ``frame_labels`` (T,) int64: FineDiving's sub-action ids.
- ``joints`` (T, 16, 3) float32: the joints in m: x out over the water, y up from its
  surface, z to the right of a person who looks out.
- ``mass_centre`` (T, 3) float32: in m.
- ``somersault`` (T,) float32: degrees turned since the stand.
- ``twist`` (T,) float32: degrees turned about the long axis.
- ``cameras`` (T, 3, 4) float64: projection matrices from m to px.
- ``others`` (K, 6) float32: the row 0..T-1, a number for the person, and x1, y1, x2, y2
  in px of another person in that frame, also behind something; no rows in older files.
- ``meta`` () unicode: JSON: what was dived, how well, and by which seed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.datasets.array_files import read_arrays
from finediving_pose.datasets.pose_files import checked_name
from finediving_pose.errors import DataError
from finediving_pose.files import atomic_path, parse_json
from finediving_pose.records import (
    BoxState,
    BoxTrack,
    FloatArray,
    JointState,
    LabelledFrame,
    SkeletonSequence,
    Visibility,
)


@dataclass(frozen=True)
class DiveTruth:
    """The content of one file; the attributes are its arrays."""

    keypoints: FloatArray
    visibility: NDArray[np.uint8]
    boxes: FloatArray
    frame_index: NDArray[np.int64]
    frame_labels: NDArray[np.int64]
    joints: FloatArray
    mass_centre: FloatArray
    somersault: FloatArray
    twist: FloatArray
    cameras: FloatArray
    meta: dict[str, Any]
    others: FloatArray = field(default_factory=lambda: np.zeros((0, 6), np.float32))

    def __len__(self) -> int:
        return len(self.frame_index)


_TYPES = {
    "keypoints": np.float32,
    "visibility": np.uint8,
    "boxes": np.float32,
    "frame_index": np.int64,
    "frame_labels": np.int64,
    "joints": np.float32,
    "mass_centre": np.float32,
    "somersault": np.float32,
    "twist": np.float32,
    "cameras": np.float64,
    "others": np.float32,
}
_ADDED_LATER = {"others"}


def make_truth_path(root: Path, match: str, dive: str) -> Path:
    """Return where the truth of a dive lies.

    Args:
        root: The folder of the meet.
        match, dive: The dive's names.

    Raises:
        DataError: If match or dive cannot be a file name.
    """
    return root / "truth" / checked_name(match) / f"{checked_name(dive)}.npz"


def round_as_stored(truth: DiveTruth) -> DiveTruth:
    """Return the truth in the precision that a file has."""
    return DiveTruth(**_make_arrays(truth), meta=truth.meta)


def _make_arrays(truth: DiveTruth) -> dict[str, Any]:
    return {
        name: np.asarray(getattr(truth, name), kind) for name, kind in _TYPES.items()
    }


def write_truth(path: Path, truth: DiveTruth) -> None:
    """Write a truth file atomically; the same truth gives the same bytes.

    Args:
        path: See :func:`make_truth_path`.
        truth: What is known of the dive.
    """
    arrays = _make_arrays(truth)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays, meta=np.array(json.dumps(truth.meta, sort_keys=True)))


def read_truth(path: Path) -> DiveTruth:
    """Read a truth file.

    Raises:
        DataError: If it is absent or no such file.
    """
    try:
        arrays = read_arrays(path, [each.name for each in fields(DiveTruth)])
        return DiveTruth(**{**arrays, "meta": parse_json(str(arrays["meta"]))})
    except (DataError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not readable as the truth of a synthetic dive: {error}"
        ) from None


def make_labelled_frames(
    truth: DiveTruth, match: str, dive: str, size: tuple[int, int]
) -> list[LabelledFrame]:
    """Return the frames in which all 16 joints lie above water and inside the image,
    with their true labels.

    Args:
        truth: What is known of the dive.
        match, dive: Its names; images are named by them, see :func:`frame_name`.
        size: Width and height of its images, px.
    """
    complete = (truth.visibility != Visibility.MISSING).all(axis=1)
    frames = []
    for t in np.flatnonzero(complete):
        number = int(truth.frame_index[t])
        frame = LabelledFrame(
            image=frame_name(match, dive, number),
            keypoints=truth.keypoints[t].astype(np.float64).round(3),
            visibility=truth.visibility[t],
            box=truth.boxes[t].astype(np.float64).round(3),
            size=size,
            match=match,
            dive=dive,
            frame=number,
        )
        frames.append(frame)
    return frames


def make_true_skeleton(truth: DiveTruth) -> SkeletonSequence:
    """Return the true joints as an extraction without any error would find them.

    What is outside the image or under water is missing; what is seen, or hidden by
    something, has the score 1.
    """
    seen = truth.visibility != Visibility.MISSING  # (T, 16)
    boxed = np.isfinite(truth.boxes).all(axis=1)
    track = BoxTrack(
        boxes=truth.boxes.astype(np.float32),
        scores=np.where(boxed, 1.0, np.nan).astype(np.float32),
        state=np.where(boxed, BoxState.DETECTED, BoxState.MISSING).astype(np.uint8),
    )
    return SkeletonSequence(
        keypoints=np.where(seen[..., None], truth.keypoints, np.nan).astype(np.float32),
        scores=np.where(seen, 1.0, np.nan).astype(np.float32),
        state=np.where(seen, JointState.OBSERVED, JointState.MISSING).astype(np.uint8),
        track=track,
        frame_index=truth.frame_index,
        meta={"synthetic": True, "made_by": "fdpose synth"},
    )


def frame_name(match: str, dive: str, number: int) -> str:
    """Return the name of a frame in FineDiving's layout.

    Args:
        match, dive: The dive's names.
        number: The frame's number in its recording.
    """
    return f"{match}/{dive}/{number:05d}.jpg"
