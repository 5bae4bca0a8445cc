"""A second look at every person: the joints found in a detector's box say where the box
should have been.

Detectors that have learnt from few labels cut off stretched arms and legs, and pose
networks are best where a body fills its crop as it did in training. So a box is made of the
joints of the first look, and the pose network looks again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from finediving_pose.boxes import enclose_joints
from finediving_pose.network_interfaces import Launching, PoseEstimator
from finediving_pose.records import Crop, FloatArray

MARGIN = 0.12
"""Of the longer side of the joints' hull, on each side: hands, feet and the head's
width. Chosen on generated meets."""
FEWEST = 6
"""Joints that make a box; with fewer the detector's stays."""


@dataclass(frozen=True)
class Surroundings(Crop):
    """What lies around a box, pixel by pixel, so that another box can be cut out.

    Attributes:
        box: (4,) float64 px of `pixels`, the detector's.
    """

    box: FloatArray


class LaunchingEstimator(PoseEstimator, Launching, Protocol):
    """A pose estimator that can begin a batch and be asked for the results later."""


class SecondLook:
    """A pose network that looks twice; fulfils
    :class:`finediving_pose.network_interfaces.PoseEstimator` at twice the cost.

    Args:
        estimator: The pose network.
    """

    def __init__(self, estimator: LaunchingEstimator) -> None:
        self._estimator = estimator
        self.identity = estimator.identity | {"second_look": MARGIN}

    def crop(self, image: NDArray[np.uint8], box: FloatArray) -> Surroundings:
        """Cut out what both looks need: twice the box's longer side.

        Args:
            image: (H, W, 3) uint8 BGR.
            box: (4,) px, the detector's.
        """
        corners = np.asarray(box, np.float64)
        centre = (corners[:2] + corners[2:]) / 2
        reach = (corners[2:] - corners[:2]).max()
        size = np.array(image.shape[1::-1])
        # Whole pixels, so that the first look sees what it would have seen in the
        # frame.
        low = np.clip(np.floor(centre - reach), 0, size - 1).astype(int)
        high = np.clip(np.ceil(centre + reach) + 1, 1, size).astype(int)
        (left, top), (right, bottom) = low.tolist(), high.tolist()
        return Surroundings(
            pixels=image[top:bottom, left:right].copy(),
            to_frame=np.array([[1.0, 0.0, left], [0.0, 1.0, top]]),
            box=corners - (left, top, left, top),
        )

    def __call__(self, crops: Sequence[Crop]) -> tuple[FloatArray, FloatArray]:
        """Return keypoints (N, 16, 2) float32 px of the raw frames, NaN where the
        heatmap is empty, and scores (N, 16) float32 in [0, 1]."""
        return self.launch(crops)()

    def launch(
        self, crops: Sequence[Crop]
    ) -> Callable[[], tuple[FloatArray, FloatArray]]:
        """Look once, and begin to look again; return a call that gives what
        :meth:`__call__` gives."""
        surroundings = cast("Sequence[Surroundings]", crops)
        first_crops = [self._estimator.crop(s.pixels, s.box) for s in surroundings]
        first, _ = self._estimator(first_crops)
        second_crops = []
        for around, points in zip(surroundings, first, strict=True):
            box = improve_box(points, around.box)
            second_crops.append(self._estimator.crop(around.pixels, box))
        second = self._estimator.launch(second_crops)
        corners = np.array([s.to_frame[:, 2] for s in surroundings], np.float32)
        corners = corners.reshape(-1, 1, 2)

        def answer() -> tuple[FloatArray, FloatArray]:
            points, scores = second()
            return points + corners, scores

        return answer


def improve_box(points: FloatArray, box: FloatArray) -> FloatArray:
    """Return a box (4,) px around the joints of the first look; the one given, where
    they are too few for a better one.

    Args:
        points: (16, 2) px, NaN = not found.
        box: (4,) px, the detector's.
    """
    if np.isfinite(points).all(axis=1).sum() < FEWEST:
        return box
    return enclose_joints(points.astype(np.float64), MARGIN)
