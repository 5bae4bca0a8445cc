"""Many pictures on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finediving_pose.media import Image
from finediving_pose.records import FloatArray
from finediving_pose.reporting.overlays import with_caption

_GAP = 4  # px between pictures


def close_up(
    picture: Image, box: FloatArray, side: int, room: float, empty: int
) -> tuple[Image, FloatArray]:
    """Cut a square around a box out of a picture.

    Args:
        picture: (H, W, 3) uint8 BGR.
        box: (4,) px, finite.
        side: Of the square that is returned, px.
        room: The square's side over the box's longer side.
        empty: Grey of what lies outside the picture.

    Returns:
        (side, side, 3), and the (2, 3) matrix that takes the picture's points there.
    """
    import cv2

    middle, reach = (box[:2] + box[2:]) / 2, max(*(box[2:] - box[:2]), 8.0) * room / 2
    scale = side / (2 * reach)
    turn = np.array(
        [
            [scale, 0, side / 2 - middle[0] * scale],
            [0, scale, side / 2 - middle[1] * scale],
        ]
    )
    cell = cv2.warpAffine(
        picture, turn, (side, side), flags=cv2.INTER_LINEAR, borderValue=(empty,) * 3
    )
    return np.asarray(cell, np.uint8), turn


def contact_sheet(
    images: Sequence[Image], columns: int, captions: Sequence[str] = ()
) -> Image:
    """Lay pictures of one size out in rows, from left to right.

    Args:
        images: (H, W, 3) uint8 BGR each.
        columns: Pictures in a row.
        captions: A line above each picture; empty = none.

    Raises:
        ValueError: If there is no picture, they differ in size, or there are not as
            many captions.
    """
    if not images or len({image.shape for image in images}) > 1:
        raise ValueError(
            f"{len(images)} pictures of {len({image.shape for image in images})} sizes: expected one size"
        )
    if captions:
        images = [
            with_caption(image, caption)
            for image, caption in zip(images, captions, strict=True)
        ]
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    sheet = np.full(
        (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3),
        255,
        np.uint8,
    )
    for place, image in enumerate(images):
        top, left = (
            (place // columns) * (height + _GAP),
            (place % columns) * (width + _GAP),
        )
        sheet[top : top + height, left : left + width] = image
    return sheet
