"""Fingerprints of dives, which tell whether two are the same, and previews: a few
frames with the skeleton."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

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
"""Of an image shown, in px."""
JPEG_QUALITY = 85
ROOM = 1.5
"""Side of what is shown, in largest extents of the skeleton."""
LEAST_PART = 0.3
"""Of the frame's height, that is shown at least."""

COMPARED = 12
"""Frames of a dive that are compared."""
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
        images: (12, 9, 16) uint8 grey values of frames all over the dive; None where
            there are no images.
        skeleton: SHA-256 of all joints of the file, in hundredths of px; empty where
            there are none.
        features: SHA-256 of the features that stand in for images; empty where there
            are none.
    """

    images: NDArray[np.uint8] | None = None
    skeleton: str = ""
    features: str = ""

    def compare_with(self, other: Fingerprint) -> dict[str, bool]:
        """Compare what both dives have.

        Images that were compressed or scaled anew are found; other cuts of a recording
        are not.

        Returns:
            Of ``pictures``, ``skeleton`` and ``features`` those that both have, and
            whether they are the same. These names stand in ``score.json``.
        """
        same = {}
        if self.images is not None and other.images is not None:
            same["pictures"] = _are_alike(self.images, other.images)
        if self.skeleton and other.skeleton:
            same["skeleton"] = self.skeleton == other.skeleton
        if self.features and other.features:
            same["features"] = self.features == other.features
        return same


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
    """Read a few frames of a dive, with its skeleton and its fingerprint.

    Args:
        dive: Its images are read where it has some, and its skeleton.
        transitions: (K − 1,) first frame of each stage but the first, of the sampled
            frames.
        frames: How many stand for the dive.
        features: What stands in for images, for the fingerprint.

    Raises:
        DataError: If the images are not readable.
    """
    rows = choose_shown_rows(transitions, frames)  # (K, 3)
    shown = rows.ravel().tolist()
    compared = np.linspace(0, frames - 1, COMPARED).round().astype(int).tolist()
    numbers: Numbers | None = None
    images: dict[int, Image] = {}
    if dive.source:
        numbers, images = _decode_rows(dive.source, frames, {*shown, *compared})

    skeleton = read_skeleton(dive.skeleton, frames, numbers)
    joints = skeleton.keypoints[shown]  # (K · 3, 16, 2) px of the raw frame
    shape = images[shown[0]].shape[:2] if images else None
    corners, side = _find_windows(joints, shape)
    # From px of the raw frame to px of the image shown, by the edges of its pixels.
    poses = (joints - corners[:, None] + 0.5) * (SIDE / side) - 0.5

    jpegs = [b""] * rows.size
    grey = None
    if images:
        for place, row in enumerate(shown):
            crop = _crop_square(images[row], corners[place], side)
            jpegs[place] = encode_jpeg(crop, JPEG_QUALITY)
        grey = np.stack([_shrink_to_grid(images[row]) for row in compared])

    skeleton_hash = features_hash = ""
    if dive.skeleton and np.isfinite(skeleton.keypoints).any():
        # Rounded, so that a file written anew with fewer digits is the same.
        skeleton_hash = _hash_values(read_pose(dive.skeleton).keypoints.round(2))
    if features is not None:
        features_hash = _hash_values(features)
    return FingerprintedPreview(
        numbers=np.full(rows.shape, -1) if numbers is None else numbers[rows],
        images=tuple(jpegs),
        poses=poses.reshape(*rows.shape, NUM_JOINTS, 2).astype(np.float32),
        fingerprint=Fingerprint(grey, skeleton_hash, features_hash),
    )


def choose_shown_rows(transitions: Sequence[int], frames: int) -> Numbers:
    """Choose the sampled frames that are shown: the middle of each third of a stage.

    Args:
        transitions: (K − 1,) first frame of each stage but the first.
        frames: How many stand for the dive.

    Returns:
        (K, 3) positions among the sampled frames.
    """
    edges = [0, *(int(frame) for frame in transitions), frames]
    places = (2 * np.arange(SHOWN) + 1) / (2 * SHOWN)
    rows = [start + (end - start) * places for start, end in pairwise(edges)]
    return np.array(rows).astype(np.int64).clip(0, frames - 1)


def _decode_rows(
    clip: Clip, frames: int, rows: Collection[int]
) -> tuple[Numbers, dict[int, Image]]:
    """Return the numbers of the sampled frames, (frames,), and the images of some of
    them, by row.

    One that cannot be decoded is replaced by the nearest that can.
    """
    source = open_frames(clip)
    images: dict[int, Image] = {}
    positions: list[int] = []
    count = -1
    # The count that a video file declares may be wrong: only decoding settles it.
    while source.count != count:
        if source.count is None:
            any(source.read(()))
        count = source.count or 0
        positions = sample_indices(count, frames)
        wanted = {positions[row] for row in rows} if positions else set()
        images = {frame.position: frame.image for frame in source.read(wanted)}
    if not images:
        raise DataError(f"{clip.key}: no frame of {clip.source} can be decoded")
    decoded = list(images)
    places = find_nearest(np.array(decoded, np.int64), np.array(positions, np.int64))
    numbers = np.array([source.number(position) for position in positions], np.int64)
    return numbers, {row: images[decoded[int(places[row])]] for row in rows}


def _find_windows(
    joints: FloatArray, shape: tuple[int, int] | None
) -> tuple[FloatArray, int]:
    """Return (n, 2) px, the left upper corners of squares around (n, 16, 2) joints, and
    their side.

    The side is the same for all, so that the athlete keeps its size. Where nobody is
    known, the squares lie between those before and after; where nobody ever is, in the
    middle of the frame, as high as it is.
    """
    known = np.asarray(np.isfinite(joints).all(axis=-1))  # (n, 16)
    there = np.flatnonzero(known.any(axis=1))
    height, width = shape or (0, 0)
    if len(there):
        # One coordinate alone says nothing: the joint counts as missing.
        some = np.where(known[there][..., None], joints[there], np.nan)
        low, high = np.nanmin(some, axis=1), np.nanmax(some, axis=1)  # (m, 2)
        side = ROOM * float((high - low).max(initial=0))
        if shape:
            side = min(max(side, LEAST_PART * height), height, width)
        middles = (low + high) / 2
        rows = np.arange(len(joints))
        x = np.interp(rows, there, middles[:, 0])
        y = np.interp(rows, there, middles[:, 1])
        centres = np.stack([x, y], axis=1)
    else:
        side = min(height, width)
        centres = np.full((len(joints), 2), (width / 2, height / 2))
    size = max(round(side), 1)
    corners = centres - size / 2
    if shape:
        corners = corners.clip(0, (width - size, height - size))
    return corners.round(), size


def _crop_square(image: Image, corner: FloatArray, side: int) -> Image:
    import cv2

    left, top = int(corner[0]), int(corner[1])
    part = image[top : top + side, left : left + side]
    method = cv2.INTER_AREA if side >= SIDE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(part, (SIDE, SIDE), interpolation=method), np.uint8)


def _shrink_to_grid(image: Image) -> NDArray[np.uint8]:
    import cv2

    rows, columns = GRID
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def _are_alike(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    difference = one.astype(np.float32) - other
    # Encoders differ in which value they call black: a common offset says nothing.
    apart = np.abs(difference - difference.mean())
    return bool(apart.mean() <= SAME_MEAN and np.quantile(apart, 0.995) <= SAME_WORST)


def _hash_values(values: FloatArray) -> str:
    content = np.ascontiguousarray(values, np.float32).tobytes()
    return hashlib.sha256(content).hexdigest()
