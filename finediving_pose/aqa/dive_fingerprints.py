"""A few frames of a dive to look at, with its skeleton, and what tells whether two
dives are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finediving_pose.aqa.data.dives import AqaDive
from finediving_pose.aqa.data.skeletons import read_skeleton
from finediving_pose.aqa.data.video_frames import Numbers, find_nearest
from finediving_pose.datasets.pose_files import read_pose
from finediving_pose.datasets.score_files import Preview
from finediving_pose.errors import DataError
from finediving_pose.media import Image, encode_jpeg, open_frames, sample_indices
from finediving_pose.records import Clip, FloatArray
from finediving_pose.skeleton import NUM_JOINTS

SHOWN = 3
"""Frames shown of a stage."""
SIDE = 160
"""Of a picture, in px."""
ROOM = 1.5
"""Side of what is shown, in largest extents of the skeleton."""
LEAST_PART = 0.3
"""Of the frame's height, that is shown at least."""

LOOKED_AT = 12
"""Frames of a dive whose pictures are compared."""
GRID = (9, 16)
"""Rows and columns of grey values that stand for a frame."""
SAME_MEAN, SAME_WORST = 3.0, 16.0
"""How far grey values, 0 … 255, of the same frames may be apart after another
compression: on average, and all but one in two hundred. JPEG of quality 35 at half the
size makes 0.5 and 2, more light 1.4 and 4; two dives of one meet before one camera are
8 and 50 apart, for somebody who is elsewhere changes some cells by a lot."""


@dataclass(frozen=True)
class Fingerprint:
    """What tells whether two dives are the same, whatever they are called.

    Attributes:
        pictures: (12, 9, 16) uint8 grey values of frames all over the dive; None where
            there are no pictures.
        skeleton: SHA-256 of all joints of the file, in hundredths of px; empty where
            there are none.
        features: SHA-256 of the features that stand in for pictures; empty where there
            are none.
    """

    pictures: NDArray[np.uint8] | None = None
    skeleton: str = ""
    features: str = ""

    def compare_with(self, other: Fingerprint) -> dict[str, bool]:
        """Return of ``pictures``, ``skeleton`` and ``features`` those that both have,
        and whether they are the same.

        Pictures that were compressed or scaled anew are found; other cuts of a
        recording are not.
        """
        found = {}
        if self.pictures is not None and other.pictures is not None:
            found["pictures"] = _alike(self.pictures, other.pictures)
        for name in ("skeleton", "features"):
            own, theirs = getattr(self, name), getattr(other, name)
            if own and theirs:
                found[name] = own == theirs
        return found


@dataclass(frozen=True)
class FingerprintedPreview(Preview):
    """A preview with what tells whether its dive is the same as another."""

    fingerprint: Fingerprint


def preview_dive(
    dive: AqaDive,
    transitions: Sequence[int],
    frames: int,
    features: FloatArray | None = None,
) -> FingerprintedPreview:
    """Look at a dive.

    Args:
        dive: Its pictures are read where it has some, and its skeleton.
        transitions: (K − 1,) first frame of each stage but the first, of the sampled
            frames.
        frames: How many stand for the dive.
        features: What stands in for pictures, for the fingerprint.

    Raises:
        DataError: If the pictures are not readable.
    """
    rows = choose_shown_rows(transitions, frames)
    compared = np.linspace(0, frames - 1, LOOKED_AT).round().astype(int).tolist()
    numbers, images = (
        _decoded(dive.source, frames, {*rows.ravel().tolist(), *compared})
        if dive.source
        else (None, {})
    )
    joints = read_skeleton(
        dive.skeleton, frames, numbers
    ).keypoints  # (frames, 16, 2) px of the raw frame
    own = [images[row] for row in rows.ravel().tolist()] if images else []
    corners, side = _windows(joints[rows.ravel()], own[0].shape[:2] if own else None)
    poses = (joints[rows.ravel()] - corners[:, None] + 0.5) * (SIDE / side) - 0.5
    cut = [
        _cut(image, corner, side) for image, corner in zip(own, corners, strict=False)
    ]
    return FingerprintedPreview(
        numbers=np.full(rows.shape, -1) if numbers is None else numbers[rows],
        pictures=tuple(encode_jpeg(image, 85) for image in cut)
        if cut
        else (b"",) * rows.size,
        poses=poses.reshape(*rows.shape, NUM_JOINTS, 2).astype(np.float32),
        fingerprint=Fingerprint(
            np.stack([_grey(images[row]) for row in compared]) if images else None,
            _skeleton_digest(dive.skeleton)
            if np.isfinite(joints).any() and dive.skeleton
            else "",
            _digest(features) if features is not None else "",
        ),
    )


def choose_shown_rows(transitions: Sequence[int], frames: int) -> Numbers:
    """Return which sampled frames are shown, (K, 3): in the middle of each third of the
    stage."""
    edges = [0, *(int(frame) for frame in transitions), frames]
    places = (2 * np.arange(SHOWN) + 1) / (2 * SHOWN)
    rows = [start + (end - start) * places for start, end in pairwise(edges)]
    return np.array(rows).astype(np.int64).clip(0, frames - 1)


def _decoded(
    clip: Clip, frames: int, rows: Iterable[int]
) -> tuple[Numbers, dict[int, Image]]:
    """Return the numbers of the sampled frames, (frames,), and the pictures of some of
    them, by row.

    One that cannot be decoded is replaced by the nearest that can.
    """
    source = open_frames(clip)
    images: dict[int, Image] = {}
    positions: list[int] = []
    count = -1
    while source.count != count:  # what decodes settles the count of a video file
        if source.count is None:
            any(source.read(()))
        count = source.count or 0
        positions = sample_indices(count, frames)
        images = {
            frame.position: frame.image
            for frame in source.read({positions[row] for row in rows if positions})
        }
    if not images:
        raise DataError(f"{clip.key}: no frame of {clip.source} can be decoded")
    decoded = list(images)
    places = find_nearest(np.array(decoded, np.int64), np.array(positions, np.int64))
    numbers = np.array([source.number(position) for position in positions], np.int64)
    return numbers, {row: images[decoded[int(places[row])]] for row in rows}


def _windows(
    joints: FloatArray, shape: tuple[int, int] | None
) -> tuple[FloatArray, int]:
    """Return (n, 2) px, the left upper corners of squares around (n, 16, 2) joints, and
    their side.

    The side is the same for all, so that the diver keeps its size. Where nobody is
    known, the squares lie between those before and after; where nobody ever is, in the
    middle of the frame, as high as it is.
    """
    known = np.asarray(np.isfinite(joints).all(axis=-1))
    there = np.asarray(known.any(axis=1))
    some = np.where(known[there][..., None], joints[there], np.nan)
    low, high = (
        (np.nanmin(some, axis=1), np.nanmax(some, axis=1))
        if there.any()
        else (np.zeros((0, 2)),) * 2
    )
    height, width = shape or (0, 0)
    side = ROOM * float((high - low).max(initial=0))
    if shape:
        side = (
            min(max(side, LEAST_PART * height), height, width)
            if there.any()
            else min(height, width)
        )
    size = max(round(side), 1)
    if there.any():
        at = np.flatnonzero(there)
        middle = (low + high) / 2
        centres = np.stack(
            [np.interp(np.arange(len(joints)), at, middle[:, axis]) for axis in (0, 1)],
            axis=1,
        )
    else:
        centres = np.full((len(joints), 2), (width / 2, height / 2))
    corners = centres - size / 2
    return (
        corners.clip(0, (width - size, height - size)) if shape else corners
    ).round(), size


def _cut(image: Image, corner: FloatArray, side: int) -> Image:
    import cv2

    left, top = (int(at) for at in corner)
    part = image[top : top + side, left : left + side]
    how = cv2.INTER_AREA if side >= SIDE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, (SIDE, SIDE), interpolation=how), np.uint8)


def _grey(image: Image) -> NDArray[np.uint8]:
    import cv2

    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return np.asarray(
        cv2.resize(grey, GRID[::-1], interpolation=cv2.INTER_AREA), np.uint8
    )


def _alike(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    difference = one.astype(np.float32) - other
    apart = np.abs(
        difference - difference.mean()
    )  # videos differ in what they call black
    return bool(apart.mean() <= SAME_MEAN and np.quantile(apart, 0.995) <= SAME_WORST)


def _skeleton_digest(path: Path) -> str:
    return _digest(read_pose(path).keypoints.round(2))


def _digest(values: FloatArray) -> str:
    return hashlib.sha256(
        np.ascontiguousarray(values, np.float32).tobytes()
    ).hexdigest()
