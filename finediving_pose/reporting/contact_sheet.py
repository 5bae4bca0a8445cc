"""Contact sheet: many images in rows, with captions; and close-ups for its cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finediving_pose.media import Image
from finediving_pose.records import FloatArray
from finediving_pose.reporting.overlays import add_caption

GAP = 4
"""px between images."""


def cut_close_up(
    image: Image, box: FloatArray, side: int, room: float, empty: int
) -> tuple[Image, FloatArray]:
    """Cut a square around a box out of an image.

    Args:
        image: (H, W, 3) uint8 BGR.
        box: (4,) px, finite.
        side: Of the square that is returned, px.
        room: The square's side over the box's longer side.
        empty: Grey of what lies outside the image.

    Returns:
        (side, side, 3), and the (2, 3) matrix that takes the image's points there.
    """
    import cv2

    middle = (box[:2] + box[2:]) / 2
    # A box of less than 8 px would be blown up to a blur.
    reach = max(*(box[2:] - box[:2]), 8.0) * room / 2
    scale = side / (2 * reach)
    turn = np.array(
        [
            [scale, 0, side / 2 - middle[0] * scale],
            [0, scale, side / 2 - middle[1] * scale],
        ]
    )
    cell = cv2.warpAffine(
        image, turn, (side, side), flags=cv2.INTER_LINEAR, borderValue=(empty,) * 3
    )
    return np.asarray(cell, np.uint8), turn


def arrange_sheet(
    images: Sequence[Image], columns: int, captions: Sequence[str] = ()
) -> Image:
    """Arrange images of one size in rows, from left to right.

    Args:
        images: (H, W, 3) uint8 BGR each.
        columns: Images in a row.
        captions: A line above each image; empty = none.

    Raises:
        ValueError: If there is no image, they differ in size, or there are not as many
            captions.
    """
    sizes = {image.shape for image in images}
    if len(sizes) != 1:
        raise ValueError(
            f"{len(images)} images of {len(sizes)} sizes: expected one size"
        )
    if captions:
        pairs = zip(images, captions, strict=True)
        images = [add_caption(image, caption) for image, caption in pairs]
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    size = rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3
    sheet = np.full(size, 255, np.uint8)
    for place, image in enumerate(images):
        row, column = divmod(place, columns)
        top, left = row * (height + GAP), column * (width + GAP)
        sheet[top : top + height, left : left + width] = image
    return sheet
