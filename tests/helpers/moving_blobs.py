"""Drawn clips with bright blobs for people, and callables that find them: what tests of
extraction run on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from finediving_pose.records import Crop, Detections, FloatArray

SIZE = (160, 96)
Image = np.ndarray
Place = Callable[[int], tuple[float, float] | None]


def falling(frame: int) -> tuple[float, float]:
    """Centre of a blob that moves 2 px down and 3 px to the right a frame."""
    return 20 + 3.0 * (frame % 40), 15 + 1.5 * (frame % 40)


def nowhere(frame: int) -> None:
    return None


def draw(
    frame: int, places: Sequence[Place] = (falling,), size: tuple[int, int] = SIZE
) -> Image:
    """Draw frame `frame`: a dark picture with a blob of 16×24 px at each place."""
    image = np.full((size[1], size[0], 3), 20, np.uint8)
    for place in places:
        centre = place(frame)
        if centre is not None:
            x, y = (round(c) for c in centre)
            cv2.rectangle(image, (x - 8, y - 12), (x + 7, y + 11), (250, 250, 250), -1)
    return image


def blob_box(frame: int, place: Place = falling) -> FloatArray:
    """The box that the detector finds for a blob, (4,) px."""
    x, y = (round(c) for c in place(frame) or (np.nan, np.nan))
    return np.array([x - 8, y - 12, x + 8, y + 12], np.float32)


def write_clip(
    path: Path,
    count: int,
    places: Sequence[Place] = (falling,),
    size: tuple[int, int] = SIZE,
    first: int = 0,
) -> Path:
    """Write a video file (.avi as motion JPEG, .mp4 as MPEG-4), or numbered PNGs where
    `path` has no suffix."""
    frames = [draw(first + i, places, size) for i in range(count)]
    if path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        code = cv2.VideoWriter_fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
        writer = cv2.VideoWriter(str(path), code, 25, size)
        for frame in frames:
            writer.write(frame)
        writer.release()
    else:
        path.mkdir(parents=True)
        for i, frame in enumerate(frames):
            cv2.imencode(".png", frame)[1].tofile(path / f"{first + i}.png")
    return path


class BlobDetector:
    """Finds bright blobs, the larger the surer. Notes the size of each batch it was
    given."""

    identity: dict[str, Any] = {"kind": "blobs"}  # noqa: RUF012 - as the protocol has it

    def __init__(self) -> None:
        self.batches: list[int] = []

    def __call__(self, images: Sequence[Image]) -> list[Detections]:
        self.batches.append(len(images))
        return [self.find(image) for image in images]

    def find(self, image: Image) -> Detections:
        bright = (image.max(axis=2) > 128).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(bright)
        blobs = [s for s in stats[1:] if s[cv2.CC_STAT_AREA] > 50]
        boxes = np.array(
            [[x, y, x + w, y + h] for x, y, w, h, _ in blobs], np.float32
        ).reshape(-1, 4)
        return Detections(boxes, np.full(len(blobs), 0.9, np.float32))


class BoxEstimator:
    """Puts the joints on a fixed layout in the box: joint j at (j + 1)/17 of its
    diagonal. Notes its batches."""

    identity: dict[str, Any] = {"kind": "layout"}  # noqa: RUF012 - as the protocol has it

    def __init__(self, scores: FloatArray | None = None) -> None:
        self.batches: list[int] = []
        self._scores = np.full(16, 0.8, np.float32) if scores is None else scores

    def crop(self, image: Image, box: FloatArray) -> Crop:
        x1, y1, x2, y2 = (float(value) for value in box)
        pixels = image[
            max(0, int(y1)) : int(y2) + 1, max(0, int(x1)) : int(x2) + 1
        ].copy()
        return Crop(pixels, np.array([[x2 - x1, 0, x1], [0, y2 - y1, y1]]))

    def __call__(self, crops: Sequence[Crop]) -> tuple[FloatArray, FloatArray]:
        self.batches.append(len(crops))
        return np.stack([layout(crop.to_frame) for crop in crops]), np.stack(
            [self._scores] * len(crops)
        )


def layout(to_frame: FloatArray) -> FloatArray:
    """Joints (16, 2) on the diagonal of the unit square, mapped to the frame."""
    t = (np.arange(16) + 1) / 17
    return (np.stack([t, t, np.ones(16)], axis=1) @ to_frame.T).astype(np.float32)


def joints_in(box: FloatArray) -> FloatArray:
    """What :class:`BoxEstimator` answers for a box, (16, 2) px."""
    x1, y1, x2, y2 = (float(value) for value in box)
    return layout(np.array([[x2 - x1, 0, x1], [0, y2 - y1, y1]]))
