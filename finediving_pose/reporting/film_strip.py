"""Film strip: the athlete through a clip in a row of frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from finediving_pose.media import Image
from finediving_pose.records import BoxState, FloatArray, SkeletonSequence
from finediving_pose.reporting.contact_sheet import arrange_sheet, cut_close_up
from finediving_pose.reporting.overlays import draw_skeleton

ROOM = 1.5
"""Side of a cell, in the longer side of the athlete's box."""
EMPTY = 96
"""Grey beyond the frame."""


def choose_strip_rows(sequence: SkeletonSequence, count: int) -> list[int]:
    """Choose rows of a sequence, evenly over its different frames.

    Args:
        sequence: The athlete's skeletons.
        count: How many at most.
    """
    _, rows = np.unique(sequence.frame_index, return_index=True)
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return [int(rows[place]) for place in dict.fromkeys(places.tolist())]


def draw_film_strip(
    images: Mapping[int, Image],
    sequence: SkeletonSequence,
    rows: Sequence[int],
    side: int = 220,
    columns: int = 6,
) -> Image:
    """Lay out the athlete in the given rows, cut out around the box with the skeleton
    drawn in.

    Where there is no box the whole frame is shown, with nothing on it.

    Args:
        images: (H, W, 3) uint8 BGR by frame number; what is not there is left grey.
        sequence: The athlete's skeletons.
        rows: Which of its rows, at least one.
        side: Width and height of each cell, px.
        columns: Cells in a row of the strip.
    """
    cells, captions = [], []
    for row in rows:
        number = int(sequence.frame_index[row])
        caption = str(number)
        if int(sequence.track.state[row]) == BoxState.MISSING:
            caption += "  no diver"
        captions.append(caption)
        if number in images:
            cells.append(_draw_cell(images[number], sequence, row, side))
        else:
            cells.append(np.full((side, side, 3), EMPTY, np.uint8))
    return arrange_sheet(cells, columns, captions)


def _draw_cell(image: Image, sequence: SkeletonSequence, row: int, side: int) -> Image:
    box = sequence.track.boxes[row].astype(float)
    if not np.isfinite(box).all():
        # A box that with its room is the whole frame.
        height, width = image.shape[:2]
        whole = np.array([0.0, 0.0, width - 1.0, height - 1.0])
        margin = np.tile([width, height], 2) * (1 - 1 / ROOM) / 2
        box = whole / ROOM + margin
    cell, turn = cut_close_up(image, box, side, ROOM, EMPTY)
    points: FloatArray = sequence.keypoints[row] @ turn[:, :2].T + turn[:, 2]
    corners = sequence.track.boxes[row].reshape(2, 2) @ turn[:, :2].T + turn[:, 2]
    return draw_skeleton(
        cell,
        points,
        sequence.state[row],
        corners.reshape(4),
        int(sequence.track.state[row]),
        scale=1,
    )
