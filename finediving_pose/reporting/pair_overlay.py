"""Two labels of one athlete over the same picture, enlarged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finediving_pose.media import Image
from finediving_pose.records import FloatArray
from finediving_pose.skeleton import JOINTS, LIMBS

PAIR_COLOURS = ((40, 150, 255), (255, 120, 20))
"""RGB of the first and the second label: blue and orange."""
_DARK, _APART = (24, 24, 28), (255, 255, 255)
_SIDE = 560  # px of the longer side of what is shown
_MOST = 8.0  # enlarged more, a picture is only blur
_MARGIN = 0.12
_SUBPIXEL = 4  # bits: OpenCV draws at sixteenths of a pixel


def draw_pair(
    image: Image, points: Sequence[FloatArray], boxes: Sequence[FloatArray | None]
) -> Image:
    """Return what is around the athlete, enlarged, with both labels drawn over it.

    The first label is blue, the second orange; the athlete's left joints are hollow. A
    white line joins the two places of a joint.

    Args:
        image: (H, W, 3) uint8 BGR.
        points: Twice (16, 2) px, NaN = missing.
        boxes: Twice (4,) px or None.
    """
    import cv2

    (x1, y1), (x2, y2) = _window(image, points, boxes)
    scale = min(_SIDE / max(x2 - x1, y2 - y1), _MOST)
    method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    canvas = np.asarray(
        cv2.resize(image[y1:y2, x1:x2], None, fx=scale, fy=scale, interpolation=method),
        np.uint8,
    )
    placed = [(one - (x1, y1) + 0.5) * scale - 0.5 for one in points]
    for colour, box in zip(PAIR_COLOURS, boxes, strict=True):
        if box is not None:
            low, high = (
                ((corner - (x1, y1)) + 0.5) * scale - 0.5
                for corner in box.reshape(2, 2)
            )
            cv2.rectangle(
                canvas,
                _fixed(low),
                _fixed(high),
                _bgr(colour),
                1,
                cv2.LINE_AA,
                _SUBPIXEL,
            )
    for colour, one in zip(PAIR_COLOURS, placed, strict=True):
        _draw_limbs(canvas, one, colour)
    for start, end in zip(*placed, strict=True):
        if np.isfinite([start, end]).all():
            cv2.line(
                canvas,
                _fixed(start),
                _fixed(end),
                _bgr(_APART),
                1,
                cv2.LINE_AA,
                _SUBPIXEL,
            )
    for colour, one in zip(PAIR_COLOURS, placed, strict=True):
        _draw_joints(canvas, one, colour)
    return canvas


def _window(
    image: Image, points: Sequence[FloatArray], boxes: Sequence[FloatArray | None]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the corners around both labels with a margin, inside the picture; all of
    it where nothing is labelled."""
    height, width = image.shape[:2]
    there = np.concatenate(
        [*points, *(box.reshape(2, 2) for box in boxes if box is not None)]
    )
    there = there[np.isfinite(there).all(axis=1)]
    if not len(there):
        return (0, 0), (width, height)
    low, high = there.min(axis=0), there.max(axis=0)
    margin = _MARGIN * float((high - low).max()) + 4
    x1, y1 = (
        np.clip(np.floor(low - margin), 0, (width - 1, height - 1)).astype(int).tolist()
    )
    x2, y2 = (
        np.clip(np.ceil(high + margin), (x1 + 1, y1 + 1), (width, height))
        .astype(int)
        .tolist()
    )
    return (x1, y1), (x2, y2)


def _draw_limbs(
    canvas: Image, points: FloatArray, colour: tuple[int, int, int]
) -> None:
    import cv2

    known = np.asarray(np.isfinite(points).all(axis=1))
    for a, b in LIMBS:
        if known[a] and known[b]:
            for shade, width in ((_DARK, 4), (colour, 2)):
                cv2.line(
                    canvas,
                    _fixed(points[a]),
                    _fixed(points[b]),
                    _bgr(shade),
                    width,
                    cv2.LINE_AA,
                    _SUBPIXEL,
                )


def _draw_joints(
    canvas: Image, points: FloatArray, colour: tuple[int, int, int]
) -> None:
    import cv2

    for joint in np.flatnonzero(np.isfinite(points).all(axis=1)):
        inside = _DARK if JOINTS[joint].startswith("left") else colour
        for shade, radius in ((_DARK, 7), (colour, 5), (inside, 3)):
            size = radius << _SUBPIXEL
            cv2.circle(
                canvas,
                _fixed(points[joint]),
                size,
                _bgr(shade),
                -1,
                cv2.LINE_AA,
                _SUBPIXEL,
            )


def _fixed(point: FloatArray) -> tuple[int, int]:
    x, y = np.round(point * 2**_SUBPIXEL)
    return int(x), int(y)


def _bgr(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    return colour[2], colour[1], colour[0]
