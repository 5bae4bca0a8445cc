"""The athlete through a clip in a row of pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from finediving_pose.media import Image
from finediving_pose.records import BoxState, FloatArray, SkeletonSequence
from finediving_pose.reporting.contact_sheet import close_up, contact_sheet
from finediving_pose.reporting.overlays import draw_skeleton

_ROOM = 1.5
"""Side of a picture, in the longer side of the athlete's box."""
_EMPTY = 96  # grey beyond the frame


def strip_rows(sequence: SkeletonSequence, count: int) -> list[int]:
    """Return up to `count` rows of a sequence, evenly over its different frames."""
    _, rows = np.unique(sequence.frame_index, return_index=True)
    places = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return [int(rows[place]) for place in dict.fromkeys(places.tolist())]


def film_strip(
    pictures: Mapping[int, Image],
    sequence: SkeletonSequence,
    rows: Sequence[int],
    side: int = 220,
    columns: int = 6,
) -> Image:
    """Lay out the athlete in the given rows, cut out around the box with the skeleton
    drawn in.

    Where there is no box the whole frame is shown, with nothing on it.

    Args:
        pictures: (H, W, 3) uint8 BGR by frame number; what is not there is left grey.
        sequence: The athlete's skeletons.
        rows: Which of its rows, at least one.
        side: Width and height of each picture, px.
        columns: Pictures in a row of the sheet.
    """
    cells, captions = [], []
    for row in rows:
        number = int(sequence.frame_index[row])
        missing = int(sequence.track.state[row]) == BoxState.MISSING
        picture = pictures.get(number)
        if picture is None:
            cells.append(np.full((side, side, 3), _EMPTY, np.uint8))
        else:
            cells.append(_cell(picture, sequence, row, side))
        captions.append(f"{number}{'  no diver' if missing else ''}")
    return contact_sheet(cells, columns, captions)


def _cell(picture: Image, sequence: SkeletonSequence, row: int, side: int) -> Image:
    box = sequence.track.boxes[row].astype(float)
    if not np.isfinite(box).all():
        height, width = picture.shape[:2]
        box = (
            np.array([0.0, 0.0, width - 1.0, height - 1.0]) / _ROOM
            + np.tile([width, height], 2) * (1 - 1 / _ROOM) / 2
        )
    cell, turn = close_up(picture, box, side, _ROOM, _EMPTY)
    points: FloatArray = sequence.keypoints[row] @ turn[:, :2].T + turn[:, 2]
    corners = (
        sequence.track.boxes[row].reshape(2, 2) @ turn[:, :2].T + turn[:, 2]
    ).reshape(4)
    return draw_skeleton(
        cell,
        points,
        sequence.state[row],
        corners,
        int(sequence.track.state[row]),
        scale=1,
    )
