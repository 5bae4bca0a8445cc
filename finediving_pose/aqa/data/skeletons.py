"""Skeletons of the frames that the model sees; what is missing is NaN, and a missing
file is all NaN."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from finediving_pose.aqa.data.video_frames import AffineMap, Numbers, find_nearest
from finediving_pose.console import log
from finediving_pose.datasets.pose_files import read_pose
from finediving_pose.errors import DataError
from finediving_pose.media import SAMPLES, sample_indices
from finediving_pose.records import FloatArray, SkeletonSequence
from finediving_pose.skeleton import NUM_JOINTS, flip_index

if TYPE_CHECKING:
    from finediving_pose.aqa.data.dives import AqaDive


class Skeleton(NamedTuple):
    """The joints in each frame.

    Attributes:
        keypoints: (frames, 16, 2) float32 px, NaN = missing.
        scores: (frames, 16) float32, NaN where a joint was not observed.
        state: (frames, 16) uint8 of :class:`records.JointState` flags.
    """

    keypoints: FloatArray
    scores: FloatArray
    state: NDArray[np.uint8]

    def map_points(self, affine: AffineMap) -> Skeleton:
        """Return the joints in px of the model's picture."""
        return self._replace(keypoints=affine(self.keypoints))

    def mirror(self, width: int) -> Skeleton:
        """Return the joints in a picture of this width that is mirrored: left becomes
        right."""
        order = flip_index()
        keypoints = self.keypoints[:, order].copy()
        keypoints[..., 0] = width - 1 - keypoints[..., 0]
        return Skeleton(keypoints, self.scores[:, order], self.state[:, order])


@dataclass(frozen=True)
class SkeletonCounts:
    """What became of the skeletons of dives.

    Attributes:
        known: Dives with at least one joint.
        absent: Names of the dives that have no file.
        empty: Names of those whose file has no joint: the extraction found nobody.
        unreadable: Why a dive's file cannot be used, by its name.
    """

    known: int
    absent: tuple[str, ...]
    empty: tuple[str, ...]
    unreadable: dict[str, str]

    def summary(self) -> str:
        """Say how many dives there are of each kind."""
        total = self.known + len(self.absent) + len(self.empty) + len(self.unreadable)
        return (
            f"{self.known} of {total} dives have a skeleton; {len(self.absent)} no file, {len(self.empty)} a file "
            f"without any joint, {len(self.unreadable)} one that is not readable"
        )


def make_missing_skeleton(frames: int = SAMPLES) -> Skeleton:
    """Return a skeleton of which every joint is missing."""
    shape = (frames, NUM_JOINTS)
    return Skeleton(
        np.full((*shape, 2), np.nan, np.float32),
        np.full(shape, np.nan, np.float32),
        np.zeros(shape, "u1"),
    )


def read_skeleton(
    path: Path | None,
    frames: int = SAMPLES,
    numbers: Numbers | None = None,
    shift: int = 0,
) -> Skeleton:
    """Read the skeletons of the frames that the model sees; a file that cannot be used
    is logged, and all is missing.

    Frames are found by their numbers. A file that tells no numbers, as the published
    layout, and one that numbers the same dive from elsewhere (extracted from a video,
    trained on its images) is set beside them from the start.

    Args:
        path: A ``pred_comp_*.npz``; None = there is none.
        frames: How many the model sees.
        numbers: (frames,) their numbers in the source; None = not known, the file's own
            are resampled.
        shift: Frames by which the model's window is moved.
    """
    if path is None:
        return make_missing_skeleton(frames)
    try:
        sequence = read_pose(path)
    except DataError as error:
        log.warning("%s; this dive's joints count as missing", error)
        return make_missing_skeleton(frames)
    return _select(sequence, _rows(sequence, frames, numbers, shift))


def count_skeletons(dives: Iterable[AqaDive]) -> SkeletonCounts:
    """Read the skeleton of every dive and say how many there are, and why the others
    are none."""
    known, absent, empty = 0, [], []
    unreadable: dict[str, str] = {}
    for dive in dives:
        if dive.skeleton is None:
            absent.append(dive.name)
            continue
        try:
            some = bool(
                np.isfinite(read_pose(dive.skeleton).keypoints).all(axis=-1).any()
            )
        except DataError as error:
            unreadable[dive.name] = str(error)
            continue
        known += some
        if not some:
            empty.append(dive.name)
    return SkeletonCounts(known, tuple(absent), tuple(empty), unreadable)


def _rows(
    sequence: SkeletonSequence, frames: int, numbers: Numbers | None, shift: int
) -> Numbers:
    """Return the row of the file for each frame, (frames,), −1 = none; (0,) for a file
    without rows."""
    if not len(sequence):
        return np.full(frames, -1)
    if numbers is None or not len(numbers):
        return np.array(sample_indices(len(sequence), frames), np.int64)
    own = _numbering(sequence, numbers)
    rows = find_nearest(own, numbers + shift)
    reach = int(
        np.diff(own).max(initial=1)
    )  # a file of few samples knows nothing closer
    return np.where(np.abs(own[rows] - (numbers + shift)) <= reach, rows, -1)


def _numbering(sequence: SkeletonSequence, numbers: Numbers) -> Numbers:
    """Return the numbers, in the model's source, of the file's frames."""
    own = sequence.frame_index
    if not sequence.meta:
        if len(own) == len(numbers):
            return numbers
        return numbers[0] + np.arange(len(own)) * (numbers[-1] - numbers[0]) // max(
            len(own) - 1, 1
        )
    common = min(own[-1], numbers[-1]) - max(own[0], numbers[0])
    return (
        own
        if 2 * common >= min(own[-1] - own[0], numbers[-1] - numbers[0])
        else own - own[0] + numbers[0]
    )


def _select(sequence: SkeletonSequence, rows: Numbers) -> Skeleton:
    skeleton, there = make_missing_skeleton(len(rows)), rows >= 0
    skeleton.keypoints[there] = sequence.keypoints[rows[there]]
    skeleton.scores[there] = sequence.scores[rows[there]]
    skeleton.state[there] = sequence.state[rows[there]]
    return skeleton
