"""What travels between the rooms: frozen dataclasses over arrays.

Boxes are ``x1, y1, x2, y2`` and points ``x, y``, in pixels of the raw frame, the centre
of the top-left pixel at (0, 0). Frames and joints count from 0. A missing coordinate is
NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.skeleton import NUM_JOINTS

FloatArray = NDArray[np.floating[Any]]


class Visibility(IntEnum):
    """How a joint was labelled, in COCO's numbers."""

    MISSING = 0
    OCCLUDED = 1
    VISIBLE = 2


class JointState(IntFlag):
    """Where a joint of a skeleton sequence comes from; 0 is missing."""

    MISSING = 0
    OBSERVED = 1
    INTERPOLATED = 2
    SIDE_SWAPPED = 4
    OUTLIER_REMOVED = 8


class BoxState(IntEnum):
    """Where a box of a track comes from."""

    MISSING = 0
    DETECTED = 1
    FILLED = 2


@dataclass(frozen=True)
class LabelledFrame:
    """One athlete in one image, as a person labelled it.

    Attributes:
        image: Path or name of the image as its label file gives it, with forward
            slashes.
        keypoints: (16, 2) float64 px, NaN = not labelled.
        visibility: (16,) uint8 of :class:`Visibility`. 0 goes with NaN, except where a
            foreign file gives coordinates that it declares invalid: they are kept for
            round trips and used by nobody.
        box: (4,) float64 px, the athlete's box; None where the file gives none.
        box_estimated: True where the drawn box is lost and `box` was rebuilt from
            centre, scale and joints.
        size: (width, height) of the image in px; None where unknown.
        match, dive, frame: Which dive the image belongs to and its frame number, where
            known.
        source: The file the label was read from.
        unconfirmed: True for a model's guess that nobody has confirmed.
        center: (2,) float64 px and `scale` as a FineDiving-Pose or MPII file gave them,
            for exact round trips.
    """

    image: str
    keypoints: FloatArray
    visibility: NDArray[np.uint8]
    box: FloatArray | None = None
    box_estimated: bool = False
    size: tuple[int, int] | None = None
    match: str | None = None
    dive: str | None = None
    frame: int | None = None
    source: Path | None = None
    unconfirmed: bool = False
    center: FloatArray | None = None
    scale: float | None = None

    def __post_init__(self) -> None:
        _expect("keypoints", self.keypoints, (NUM_JOINTS, 2))
        _expect("visibility", self.visibility, (NUM_JOINTS,))
        if self.box is not None:
            _expect("box", self.box, (4,))

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(16,) True where a joint was labelled, visible or occluded."""
        return self.visibility > 0

    @property
    def dive_key(self) -> str:
        """``match/dive`` where known, else the image's folder: what must not be torn
        apart by a split."""
        if self.match is not None and self.dive is not None:
            return f"{self.match}/{self.dive}"
        return self.image.rpartition("/")[0]


@dataclass(frozen=True)
class Dive:
    """One dive of an annotation file or of a user's ``dives.csv``; what is not known is
    None.

    Attributes:
        match, dive: The key. Match names and dive numbers repeat on their own, never
            together.
        video: The recording, relative to the file that lists it.
        start_frame, end_frame: First and last frame in that recording, both included.
        dive_number: For example ``407c``.
        difficulty: The degree of difficulty DD.
        awards: The judges' awards in points, in the file's order.
        score: The final score.
        transitions: First frame of flight and of entry, counted from the dive's own
            first frame.
        synchronised: Whether two divers take part.
    """

    match: str
    dive: str
    video: str | None = None
    start_frame: int | None = None
    end_frame: int | None = None
    dive_number: str | None = None
    difficulty: float | None = None
    awards: tuple[float, ...] | None = None
    score: float | None = None
    transitions: tuple[int, ...] | None = None
    synchronised: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.match, self.dive


@dataclass(frozen=True)
class Clip:
    """One dive's images: the unit of extraction, written whole or not at all.

    Attributes:
        match, dive: What the result is named by.
        source: A video file, or a folder of numbered images.
        start_frame, end_frame: Part of the source to use, both included; None = from
            the start, to the end. In a folder these are the numbers in the file names.
        synchronised: Whether the annotation says that two divers take part.
    """

    match: str
    dive: str
    source: Path
    start_frame: int | None = None
    end_frame: int | None = None
    synchronised: bool = False

    @property
    def key(self) -> str:
        return f"{self.match}/{self.dive}"


@dataclass(frozen=True)
class Detections:
    """The people a detector found in one frame, best first.

    Attributes:
        boxes: (N, 4) float32 px; N may be 0.
        scores: (N,) float32 in [0, 1].
    """

    boxes: FloatArray
    scores: FloatArray

    def __post_init__(self) -> None:
        _expect("scores", self.scores, (len(self.boxes),))
        _expect("boxes", self.boxes, (len(self.scores), 4))


@dataclass(frozen=True)
class Crop:
    """One person cut out of a frame, as the pose network wants it; all that is kept of
    the frame until the network runs.

    Attributes:
        pixels: (h, w, 3) uint8, BGR.
        to_frame: (2, 3) float64, maps (x, y, 1) of the crop to pixels of the raw frame.
    """

    pixels: NDArray[np.uint8]
    to_frame: FloatArray


@dataclass(frozen=True)
class BoxTrack:
    """The athlete's box in each of T frames.

    Attributes:
        boxes: (T, 4) float32 px, NaN = no box.
        scores: (T,) float32, NaN where the box was not detected.
        state: (T,) uint8 of :class:`BoxState`.
    """

    boxes: FloatArray
    scores: FloatArray
    state: NDArray[np.uint8]

    def __post_init__(self) -> None:
        _expect("boxes", self.boxes, (len(self.state), 4))
        _expect("scores", self.scores, (len(self.state),))


@dataclass(frozen=True)
class SkeletonSequence:
    """One athlete's joints over T frames, the content of a ``pred_comp_*.npz``.

    Attributes:
        keypoints: (T, 16, 2) float32 px of the raw frame, NaN = missing.
        scores: (T, 16) float32, the pose network's confidence; NaN where the joint
            was not observed.
        state: (T, 16) uint8 of :class:`JointState` flags.
        track: The boxes the joints were estimated in.
        frame_index: (T,) int64, the frame's number in its source.
        meta: What made it; JSON types only.
        raw: (T, 16, 2) float32 px, the joints as the network saw them, before sides
            were swapped, outliers removed, gaps filled and points smoothed; None where
            that changed no joint that was seen.
    """

    keypoints: FloatArray
    scores: FloatArray
    state: NDArray[np.uint8]
    track: BoxTrack
    frame_index: NDArray[np.int64]
    meta: dict[str, Any] = field(default_factory=dict)
    raw: FloatArray | None = None

    def __post_init__(self) -> None:
        frames = len(self.frame_index)
        _expect("keypoints", self.keypoints, (frames, NUM_JOINTS, 2))
        _expect("scores", self.scores, (frames, NUM_JOINTS))
        _expect("state", self.state, (frames, NUM_JOINTS))
        _expect("track.boxes", self.track.boxes, (frames, 4))
        if self.raw is not None:
            _expect("raw", self.raw, (frames, NUM_JOINTS, 2))

    def __len__(self) -> int:
        return len(self.frame_index)


def _expect(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")
