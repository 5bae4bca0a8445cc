"""Swapped sides in the labels of a dive: their detection, their names and their undoing.

Detection is :mod:`finediving_pose.left_right` with what labels alone know: which joints
are occluded; and that a whole dive can be mirrored, where an annotator took left for
right throughout.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from finediving_pose import left_right
from finediving_pose.left_right import ALL, ARMS, LEGS, PAIRS, STATES, SWAPPED
from finediving_pose.records import FloatArray, LabelledFrame
from finediving_pose.skeleton import FLIP_PAIRS, INDEX, JOINTS, compute_flip_index

__all__ = [
    "ALL",
    "ARMS",
    "LABEL_WEIGHTS",
    "LEGS",
    "PAIRS",
    "STATES",
    "LabelCosts",
    "LabelSwap",
    "Pairs",
    "describe_sides",
    "detect_label_swaps",
    "swap_sides",
]

Pairs = tuple[tuple[int, int], ...]
"""Right and left joints, by their ids."""

LABEL_WEIGHTS = left_right.SwapWeights(
    staying=0.25, torso=1.0, limbs=1.0, event=0.1, frame=0.05
)
"""Annotators jitter less than networks, so their torsos and limbs tell more, and swaps
are rarer."""
_MIRRORED = STATES.index(ALL)
_MOST = 0.5  # of a dive: more mirrored frames are a mirrored dive
_LEAST_GAIN = 0.03  # of all frames of a swap together
# What it counts, in body heights, that one joint of a pair is occluded and the other not.
_OCCLUDED = 0.05
# What it counts that a pair is occluded on the near side of a fully bent body.
_BEND = 0.04
_FULL_BEND = 0.03  # square body heights
_LEAST_BEND = 0.3  # the share of a full bend that says something
_PELVIS, _THORAX = INDEX["pelvis"], INDEX["thorax"]
_BOTH_KNEES = (INDEX["right_knee"], INDEX["left_knee"])


@dataclass(frozen=True)
class LabelSwap:
    """Neighbouring frames whose sides are swapped.

    Attributes:
        frames: Their positions in the dive.
        pairs: Which pairs, as numbers into FLIP_PAIRS.
        gain: How much better the dive fits together with them swapped back, in body
            heights, summed over all that speaks for it or against it.
    """

    frames: tuple[int, ...]
    pairs: tuple[int, ...]
    gain: float


def swap_sides(
    frame: LabelledFrame, pairs: Iterable[tuple[int, int]] | None = None
) -> LabelledFrame:
    """Swap the right and left joints of a label, coordinates and visibility.

    Args:
        frame: The label; it stays as it is.
        pairs: Right and left joints, by their ids; None: all pairs.

    Returns:
        A new label.
    """
    keypoints, visibility = frame.keypoints.copy(), frame.visibility.copy()
    for right, left in FLIP_PAIRS if pairs is None else pairs:
        keypoints[[right, left]] = keypoints[[left, right]]
        visibility[[right, left]] = visibility[[left, right]]
    return replace(frame, keypoints=keypoints, visibility=visibility)


def describe_sides(pairs: Pairs) -> str:
    """Return in words what is swapped with these pairs of joints."""
    if pairs == FLIP_PAIRS:
        return "the whole body"
    if pairs == FLIP_PAIRS[:3]:
        return "the legs"
    if pairs == FLIP_PAIRS[3:]:
        return "the arms"
    names = [JOINTS[right].removeprefix("right_") + "s" for right, _ in pairs]
    return "the " + " and ".join(names)


def detect_label_swaps(
    points: FloatArray,
    times: NDArray[np.int64],
    height: FloatArray,
    visibility: NDArray[np.uint8] | None = None,
) -> list[LabelSwap]:
    """Detect frames whose sides contradict their neighbours' or the body.

    Args:
        points: (T, 16, 2) px, NaN = missing, of one dive in the order of time.
        times: (T,) frame numbers, ascending.
        height: (T,) px, the body height (:func:`body_geometry.measure_body_height`).
        visibility: (T, 16) of Visibility; seen from the side, only what is occluded
            tells left from right.

    Returns:
        The swaps, in the order of time.
    """
    costs = LabelCosts.of(points, times, height, visibility)
    path = costs.find_cheapest_path()
    if (path == _MIRRORED).mean() <= _MOST:
        return _list_swaps(points, costs, path)
    # The whole dive is mirrored. It is swapped back as a whole, also where nothing tells
    # the sides; frames that then look swapped were right from the start.
    flip = compute_flip_index()
    flipped = points[:, flip]
    flipped_visibility = None if visibility is None else visibility[:, flip]
    flipped_costs = LabelCosts.of(flipped, times, height, flipped_visibility)
    right_before = _list_swaps(
        flipped, flipped_costs, flipped_costs.find_cheapest_path()
    )
    unswapped = np.zeros(len(points), dtype=np.intp)
    gain = costs.sum_path(unswapped) - costs.sum_path(unswapped + _MIRRORED)
    return _mirror_all_but(points, right_before, gain)


def _list_swaps(
    points: FloatArray, costs: LabelCosts, path: NDArray[np.intp]
) -> list[LabelSwap]:
    """Return the swaps of a path that gain enough and swap labelled joints."""
    swaps = []
    for frames, pairs, gain, _ in costs.find_runs(path):
        if gain >= _LEAST_GAIN and _is_any_labelled(points, frames, pairs):
            swaps.append(LabelSwap(tuple(frames.tolist()), pairs, gain))
    return swaps


def _mirror_all_but(
    points: FloatArray, exceptions: list[LabelSwap], gain: float
) -> list[LabelSwap]:
    """Return the swaps of a mirrored dive: all pairs of all frames, but for exceptions."""
    pairs_of: list[tuple[int, ...]] = [ALL] * len(points)
    for swap in exceptions:
        remaining = tuple(sorted(set(ALL) - set(swap.pairs)))
        for frame in swap.frames:
            pairs_of[frame] = remaining
    changes = [at for at in range(1, len(points)) if pairs_of[at] != pairs_of[at - 1]]
    swaps = []
    for frames in np.split(np.arange(len(points)), changes):
        pairs = pairs_of[frames[0]]
        if _is_any_labelled(points, frames, pairs):
            swaps.append(LabelSwap(tuple(frames.tolist()), pairs, gain))
    return swaps


def _is_any_labelled(
    points: FloatArray, frames: NDArray[np.intp], pairs: tuple[int, ...]
) -> bool:
    """Whether both joints of one of the pairs are labelled in one of the frames."""
    for pair in pairs:
        both = np.isfinite(points[frames][:, FLIP_PAIRS[pair]])
        if both.all(axis=(1, 2)).any():
            return True
    return False


class LabelCosts(left_right.Costs):
    """The costs of labels: those of all skeletons, and what is occluded."""

    @classmethod
    def of(
        cls,
        points: FloatArray,
        times: NDArray[np.int64],
        height: FloatArray,
        visibility: NDArray[np.uint8] | None = None,
    ) -> LabelCosts:
        """Return the costs of a dive; the arguments are :func:`detect_label_swaps`'s."""
        vectors = left_right.measure_pair_vectors(points, times) / height[:, None]
        one = left_right.compute_frame_costs(points, vectors, height, LABEL_WEIGHTS)
        if visibility is not None:
            occluded = _compare_occlusion(visibility)
            one = one + _cost_of_near_occlusion(points, occluded, height)
            # Which joint of a pair is occluded changes its sign with the sides, as the
            # vector between them does, and is steady in time like it.
            vectors = np.concatenate([vectors, _OCCLUDED * occluded], axis=1)
        costs = left_right.compute_costs(one, vectors, times, LABEL_WEIGHTS)
        return cls(costs.one, costs.two, costs.three)


def _compare_occlusion(visibility: NDArray[np.uint8]) -> FloatArray:
    """(T, pairs) 1 where only the right joint is occluded, -1 where only the left one
    is, NaN where one is missing."""
    right, left = np.array(FLIP_PAIRS).T
    of_right = visibility[:, right].astype(np.float64)
    of_left = visibility[:, left].astype(np.float64)
    both = (of_right > 0) & (of_left > 0)
    return np.where(both, of_left - of_right, np.nan)


def _cost_of_near_occlusion(
    points: FloatArray, occluded: FloatArray, height: FloatArray
) -> FloatArray:
    """(T, S) what it costs that a pair is occluded on the near side.

    A body whose hips bend shows which side is near, for thighs go forwards; the far side
    is the one that is occluded.
    """
    pelvis = points[:, _PELVIS]
    trunk = (points[:, _THORAX] - pelvis) / height[:, None]
    thigh = (points[:, list(_BOTH_KNEES)].mean(axis=1) - pelvis) / height[:, None]
    # y points down: positive where the diver, turned head up, looks to the right of the
    # image, right side near.
    bend = trunk[:, 0] * thigh[:, 1] - trunk[:, 1] * thigh[:, 0]
    bend = np.clip(bend / _FULL_BEND, -1.0, 1.0)
    # A nearly straight body says nothing.
    bend = np.where(np.abs(bend) > _LEAST_BEND, bend, 0.0)
    # Left far: `occluded` is negative where only the left joint is occluded.
    against = np.nan_to_num(-occluded * bend[:, None])
    # Of a state that swaps the pair the sign turns round.
    sign = 2 * SWAPPED - 1
    cost: FloatArray = _BEND * np.maximum(against[:, None] * sign, 0.0).sum(axis=2)
    return cost
