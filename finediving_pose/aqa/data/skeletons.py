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
from finediving_pose.datasets.pose_files import count_whole_frames, read_pose
from finediving_pose.errors import DataError
from finediving_pose.media import SAMPLES, sample_indices
from finediving_pose.records import FloatArray, SkeletonSequence
from finediving_pose.skeleton import NUM_JOINTS, compute_flip_index

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
        """Return the joints in px of the crop."""
        return self._replace(keypoints=affine(self.keypoints))

    def mirror(self, width: int) -> Skeleton:
        """Return the joints in a mirrored image of this width: left becomes right."""
        order = compute_flip_index()
        keypoints = self.keypoints[:, order].copy()
        keypoints[..., 0] = width - 1 - keypoints[..., 0]
        return Skeleton(keypoints, self.scores[:, order], self.state[:, order])


@dataclass(frozen=True)
class SkeletonCounts:
    """How many dives have a skeleton, and why the others have none.

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

    def summarise(self) -> str:
        """Say how many dives there are of each kind."""
        total = self.known + len(self.absent) + len(self.empty) + len(self.unreadable)
        return (
            f"{self.known} of {total} dives have a skeleton; {len(self.absent)} no file, {len(self.empty)} a file "
            f"without any joint, {len(self.unreadable)} one that is not readable"
        )


def make_missing_skeleton(frames: int = SAMPLES) -> Skeleton:
    """Return a skeleton of which every joint is missing."""
    shape = (frames, NUM_JOINTS)
    keypoints = np.full((*shape, 2), np.nan, np.float32)
    scores = np.full(shape, np.nan, np.float32)
    return Skeleton(keypoints, scores, np.zeros(shape, np.uint8))


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

    Returns:
        In px of the raw frames.
    """
    if path is None:
        return make_missing_skeleton(frames)
    try:
        sequence = read_pose(path)
    except DataError as error:
        log.warning("%s; this dive's joints count as missing", error)
        return make_missing_skeleton(frames)
    rows = _find_rows(sequence, frames, numbers, shift)
    return _select_rows(sequence, rows)


def count_skeletons(dives: Iterable[AqaDive]) -> SkeletonCounts:
    """Read the skeleton of every dive and count how many there are, and why the others
    are none."""
    known = 0
    absent: list[str] = []
    empty: list[str] = []
    unreadable: dict[str, str] = {}
    for dive in dives:
        if dive.skeleton is None:
            absent.append(dive.name)
            continue
        try:
            keypoints = read_pose(dive.skeleton).keypoints
        except DataError as error:
            unreadable[dive.name] = str(error)
            continue
        if np.isfinite(keypoints).all(axis=-1).any():
            known += 1
        else:
            empty.append(dive.name)
    return SkeletonCounts(known, tuple(absent), tuple(empty), unreadable)


def _find_rows(
    sequence: SkeletonSequence, frames: int, numbers: Numbers | None, shift: int
) -> Numbers:
    """Return the row of the file for each frame, (frames,); −1 = none."""
    if not len(sequence):
        return np.full(frames, -1)
    if numbers is None or not len(numbers):
        return np.array(sample_indices(len(sequence), frames), np.int64)
    own = _align_numbers(sequence, numbers)
    wanted = numbers + shift
    rows = find_nearest(own, wanted)
    # A file of few samples has nothing closer than half the distance between two; a
    # frame farther away than that distance is not in the file.
    reach = int(np.diff(own).max(initial=1))
    return np.where(np.abs(own[rows] - wanted) <= reach, rows, -1)


def _align_numbers(sequence: SkeletonSequence, numbers: Numbers) -> Numbers:
    """Return the numbers, in the model's source, of the file's frames."""
    own = count_whole_frames(sequence)
    first, last = numbers[0], numbers[-1]
    if not sequence.meta:
        # The published layout has no numbers: its rows are spread over the dive.
        if len(own) == len(numbers):
            return numbers
        steps = max(len(own) - 1, 1)
        return first + np.arange(len(own)) * (last - first) // steps
    common = min(own[-1], last) - max(own[0], first)
    shorter = min(own[-1] - own[0], last - first)
    if 2 * common >= shorter:
        return own
    # Too little in common for one numbering: the dive's frames are counted from
    # another start.
    return own - own[0] + first


def _select_rows(sequence: SkeletonSequence, rows: Numbers) -> Skeleton:
    skeleton = make_missing_skeleton(len(rows))
    there = rows >= 0
    skeleton.keypoints[there] = sequence.keypoints[rows[there]]
    skeleton.scores[there] = sequence.scores[rows[there]]
    skeleton.state[there] = sequence.state[rows[there]]
    return skeleton
