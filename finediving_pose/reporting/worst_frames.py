"""Contact sheet of the frames on which a pose network does worst."""

from __future__ import annotations

import heapq
from pathlib import Path

import numpy as np

from finediving_pose.boxes import enclose_joints
from finediving_pose.files import write_bytes
from finediving_pose.media import Image
from finediving_pose.records import FloatArray, LabelledFrame
from finediving_pose.reporting.contact_sheet import arrange_sheet, cut_close_up
from finediving_pose.reporting.label_sheet import count_found_joints
from finediving_pose.reporting.overlays import draw_skeleton

TILE = 240  # px
_PADDING = 1.4  # of the body's longer side
_COLUMNS = 4


class WorstFrames:
    """Collects the frames with the smallest share of joints found, whatever the number
    of frames it is shown.

    Args:
        count: How many it keeps. Frames whose label has no torso cannot be measured and
            are left out.
    """

    def __init__(self, count: int = 24) -> None:
        self.count = count
        self._worst: list[tuple[float, int, Image, str]] = []
        self._shown = 0

    def __call__(
        self,
        frame: LabelledFrame,
        image: Image,
        keypoints: FloatArray,
        scores: FloatArray,
    ) -> None:
        """Keep a frame if it is among the worst.

        Args:
            frame: The label.
            image: (H, W, 3) uint8 BGR.
            keypoints: (16, 2) px, the prediction, NaN = missing.
            scores: Ignored.
        """
        found = count_found_joints(frame, keypoints)
        if found is None:
            return
        self._shown += 1
        misses = 1 - found[0] / found[1]
        if len(self._worst) == self.count and misses <= self._worst[0][0]:
            return
        # Of equally bad ones the first stays; the numbers are unique, so that images
        # are never compared.
        caption = f"{found[0]} of {found[1]}   {frame.image}"
        entry = (misses, -self._shown, _draw_tile(frame, image, keypoints), caption)
        if len(self._worst) == self.count:
            heapq.heappushpop(self._worst, entry)
        else:
            heapq.heappush(self._worst, entry)

    def write(self, path: Path) -> int:
        """Write the sheet, worst first, label left and prediction right in each tile.

        Returns:
            How many frames are on it; with none, nothing is written.
        """
        import cv2

        worst = sorted(self._worst, key=lambda entry: entry[:2], reverse=True)
        if not worst:
            return 0
        tiles = [tile for _, _, tile, _ in worst]
        captions = [caption for *_, caption in worst]
        sheet = arrange_sheet(tiles, _COLUMNS, captions)
        write_bytes(path, cv2.imencode(path.suffix or ".png", sheet)[1].tobytes())
        return len(worst)


def _draw_tile(frame: LabelledFrame, image: Image, keypoints: FloatArray) -> Image:
    """Return the body's surroundings with the label's joints, beside them the same with
    the predicted ones."""
    labelled = np.where(frame.labelled[:, None], frame.keypoints, np.nan)
    box = frame.box
    if box is None or not np.isfinite(box).all():
        box = enclose_joints(labelled)
    cut, turn = cut_close_up(image, np.asarray(box, float), TILE, _PADDING, 0)
    halves = []
    for points in (labelled, keypoints):
        halves.append(draw_skeleton(cut, points @ turn[:, :2].T + turn[:, 2], scale=1))
    return np.hstack(halves)
