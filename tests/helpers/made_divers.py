"""A stick diver who somersaults, tucks and twists, as true labels; and what annotators
do to labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from finediving_pose.records import LabelledFrame, Visibility
from finediving_pose.skeleton import FLIP_PAIRS

SIZE = (455, 256)
_HEIGHT = 130.0  # px
_STANDING = {
    # x to the diver's left, y up, z ahead, in body heights
    8: (0.0, 0.32, 0.0),
    9: (0.0, 0.48, 0.0),
    7: (0.0, 0.27, 0.0),
    6: (0.0, 0.0, 0.0),
    3: (0.05, 0.0, 0.0),
    4: (0.06, -0.26, 0.0),
    5: (0.06, -0.52, 0.0),
    13: (0.10, 0.26, 0.0),
    14: (0.13, 0.42, 0.05),
    15: (0.08, 0.58, 0.05),
}


def _body(bend: float) -> np.ndarray:
    """(16, 3) a body whose hips and knees are bent by so many radians."""
    joints = np.zeros((16, 3))
    for joint, place in _STANDING.items():
        joints[joint] = place
    thigh = 0.26 * np.array([0.0, -np.cos(bend), np.sin(bend)])
    shin = 0.26 * np.array([0.0, -np.cos(bend - 1.2 * bend), np.sin(bend - 1.2 * bend)])
    joints[4] = joints[3] + thigh + (0.01, 0, 0)
    joints[5] = joints[4] + shin
    for right, left in FLIP_PAIRS:
        joints[right] = joints[left] * (-1, 1, 1)
    return joints


def make_dive(
    frames: int = 40,
    somersault: float = 20.0,
    twist: float = 12.0,
    view: float = 50.0,
    noise: float = 0.003,
    hidden_marked: bool = False,
) -> list[LabelledFrame]:
    """A dive of so many degrees a frame about each axis, seen so many degrees from the
    front; noise in body heights."""
    rng = np.random.default_rng(3)
    labels = []
    for number in range(frames):
        joints = _body(1.6 * np.sin(np.pi * number / frames) ** 2)
        joints = (
            joints
            @ _about(1, twist * number).T
            @ _about(0, somersault * number).T
            @ _about(1, view).T
        )
        points = np.array([[150.0 + 3 * number, 120.0]]) + _HEIGHT * joints[:, :2] * (
            1,
            -1,
        )
        points += rng.normal(0, noise * _HEIGHT, points.shape)
        box = np.concatenate([points.min(axis=0) - 4, points.max(axis=0) + 4])
        labels.append(
            LabelledFrame(
                image=f"meet/1/{number:05d}.jpg",
                keypoints=points,
                visibility=_visibility(joints)
                if hidden_marked
                else np.full(16, 2, dtype=np.uint8),
                box=box,
                size=SIZE,
                match="meet",
                dive="1",
                frame=number,
            )
        )
    return labels


def _visibility(joints: np.ndarray) -> np.ndarray:
    """(16,) the farther joint of a pair is hidden; z points to the viewer."""
    visibility = np.full(16, Visibility.VISIBLE, dtype=np.uint8)
    for pair in FLIP_PAIRS:
        visibility[min(pair, key=lambda joint: joints[joint, 2])] = Visibility.OCCLUDED
    return visibility


def _about(axis: int, degrees: float) -> np.ndarray:
    """(3, 3) rotation about x (0) or y (1)."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    if axis == 0:
        return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def slipped(frame: LabelledFrame, joint: int, by: tuple[float, float]) -> LabelledFrame:
    """The label with one joint moved, in px."""
    keypoints = frame.keypoints.copy()
    keypoints[joint] += by
    return replace(frame, keypoints=keypoints)


def without(frame: LabelledFrame, joint: int) -> LabelledFrame:
    """The label with one joint forgotten."""
    keypoints, visibility = frame.keypoints.copy(), frame.visibility.copy()
    keypoints[joint], visibility[joint] = np.nan, 0
    return replace(frame, keypoints=keypoints, visibility=visibility)
