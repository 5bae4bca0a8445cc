"""Overlay of two labels of one athlete on the same image, enlarged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finediving_pose.media import Image
from finediving_pose.records import FloatArray
from finediving_pose.skeleton import JOINTS, LIMBS

PAIR_COLOURS = ((40, 150, 255), (255, 120, 20))
"""RGB of the first and the second label: blue and orange."""
_OUTLINE = (24, 24, 28)
_LINK = (255, 255, 255)
_SIDE = 560  # px of the longer side of what is shown
_MOST = 8.0  # enlarged more, an image is only blur
_MARGIN = 0.12
_SUBPIXEL = 4  # bits: OpenCV draws at sixteenths of a pixel

Colour = tuple[int, int, int]


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

    (x1, y1), (x2, y2) = _find_window(image, points, boxes)
    scale = min(_SIDE / max(x2 - x1, y2 - y1), _MOST)
    method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    canvas = np.asarray(
        cv2.resize(image[y1:y2, x1:x2], None, fx=scale, fy=scale, interpolation=method),
        np.uint8,
    )

    def enlarge(px: FloatArray) -> FloatArray:
        # Centres of pixels are whole numbers, so the edge of the first is at −0.5.
        return (px - (x1, y1) + 0.5) * scale - 0.5

    first, second = (enlarge(label) for label in points)
    for colour, box in zip(PAIR_COLOURS, boxes, strict=True):
        if box is not None:
            low, high = enlarge(box.reshape(2, 2))
            _draw_box(canvas, low, high, colour)
    _draw_limbs(canvas, first, PAIR_COLOURS[0])
    _draw_limbs(canvas, second, PAIR_COLOURS[1])
    for start, end in zip(first, second, strict=True):
        if np.isfinite([start, end]).all():
            _draw_line(canvas, start, end, _LINK, 1)
    _draw_joints(canvas, first, PAIR_COLOURS[0])
    _draw_joints(canvas, second, PAIR_COLOURS[1])
    return canvas


def _find_window(
    image: Image, points: Sequence[FloatArray], boxes: Sequence[FloatArray | None]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the corners around both labels with a margin, inside the image; all of it
    where nothing is labelled."""
    height, width = image.shape[:2]
    corners = [box.reshape(2, 2) for box in boxes if box is not None]
    there = np.concatenate([*points, *corners])
    there = there[np.isfinite(there).all(axis=1)]
    if not len(there):
        return (0, 0), (width, height)
    low, high = there.min(axis=0), there.max(axis=0)
    margin = _MARGIN * float((high - low).max()) + 4
    first = np.clip(np.floor(low - margin), 0, (width - 1, height - 1))
    x1, y1 = first.astype(int).tolist()
    last = np.clip(np.ceil(high + margin), (x1 + 1, y1 + 1), (width, height))
    x2, y2 = last.astype(int).tolist()
    return (x1, y1), (x2, y2)


def _draw_limbs(canvas: Image, points: FloatArray, colour: Colour) -> None:
    known = np.asarray(np.isfinite(points).all(axis=1))
    for a, b in LIMBS:
        if known[a] and known[b]:
            # A dark outline is seen on water and on skin.
            _draw_line(canvas, points[a], points[b], _OUTLINE, 4)
            _draw_line(canvas, points[a], points[b], colour, 2)


def _draw_joints(canvas: Image, points: FloatArray, colour: Colour) -> None:
    for joint in np.flatnonzero(np.isfinite(points).all(axis=1)):
        is_left = JOINTS[joint].startswith("left")
        _draw_disc(canvas, points[joint], _OUTLINE, 7)
        _draw_disc(canvas, points[joint], colour, 5)
        _draw_disc(canvas, points[joint], _OUTLINE if is_left else colour, 3)


def _draw_line(
    canvas: Image, start: FloatArray, end: FloatArray, colour: Colour, width: int
) -> None:
    import cv2

    start_at, end_at = _to_subpixels(start), _to_subpixels(end)
    cv2.line(canvas, start_at, end_at, colour[::-1], width, cv2.LINE_AA, _SUBPIXEL)


def _draw_box(canvas: Image, low: FloatArray, high: FloatArray, colour: Colour) -> None:
    import cv2

    low_at, high_at = _to_subpixels(low), _to_subpixels(high)
    cv2.rectangle(canvas, low_at, high_at, colour[::-1], 1, cv2.LINE_AA, _SUBPIXEL)


def _draw_disc(canvas: Image, centre: FloatArray, colour: Colour, radius: int) -> None:
    import cv2

    at = _to_subpixels(centre)
    size = radius << _SUBPIXEL
    cv2.circle(canvas, at, size, colour[::-1], -1, cv2.LINE_AA, _SUBPIXEL)


def _to_subpixels(point: FloatArray) -> tuple[int, int]:
    x, y = np.round(point * 2**_SUBPIXEL)
    return int(x), int(y)
