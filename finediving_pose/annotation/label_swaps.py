"""Swapped sides in the labels of a dive: :mod:`finediving_pose.left_right` with what
labels alone know.

That is which joints are hidden; and a whole dive can be mirrored, where an annotator
took left for right throughout.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finediving_pose import left_right
from finediving_pose.left_right import ALL, ARMS, LEGS, PAIRS, STATES, SWAPPED
from finediving_pose.records import FloatArray
from finediving_pose.skeleton import FLIP_PAIRS, flip_index

__all__ = ["ALL", "ARMS", "LEGS", "PAIRS", "STATES", "LabelSwap", "detect_label_swaps"]

LABEL_WEIGHTS = left_right.SwapWeights(
    staying=0.25, torso=1.0, limbs=1.0, event=0.1, frame=0.05
)
"""Annotators jitter less than networks, so their torsos and limbs tell more, and swaps
are rarer."""
_MIRRORED = STATES.index(ALL)
_MOST = 0.5  # of a dive: more mirrored frames are a mirrored dive
_LEAST_GAIN = 0.03  # of all frames of a fault together
_HIDDEN = 0.05  # body heights: what it counts that the one joint is hidden and the other is not
_BEND = 0.04  # weight of a pair that is hidden on the near side of a fully bent body
_FULL_BEND, _LEAST_BEND = (
    0.03,
    0.3,
)  # square body heights; share of it that says something
_BOTH_KNEES = (1, 4)


@dataclass(frozen=True)
class LabelSwap:
    """Neighbouring frames whose sides are the wrong way round.

    Attributes:
        frames: Their positions in the dive.
        pairs: Which pairs, as numbers into FLIP_PAIRS.
        gain: How much better the dive fits together with them exchanged, in body
            heights, summed over all that speaks for it or against it.
    """

    frames: tuple[int, ...]
    pairs: tuple[int, ...]
    gain: float


def detect_label_swaps(
    points: FloatArray,
    times: NDArray[np.int64],
    height: FloatArray,
    visibility: NDArray[np.uint8] | None = None,
) -> list[LabelSwap]:
    """Find frames whose sides contradict their neighbours' or the body.

    Args:
        points: (T, 16, 2) px, NaN = missing, of one dive in the order of time.
        times: (T,) frame numbers, ascending.
        height: (T,) px, the body height (:func:`body_geometry.body_height`).
        visibility: (T, 16) of Visibility; seen from the side, only what is hidden tells
            left from right.
    """
    costs = _Costs.of(points, times, height, visibility)
    path = costs.cheapest()
    if (path == _MIRRORED).mean() > _MOST:
        return _of_mirrored_dive(points, times, height, visibility, costs)
    return _faults(points, costs, path)


def _faults(
    points: FloatArray, costs: _Costs, path: NDArray[np.intp]
) -> list[LabelSwap]:
    return [
        LabelSwap(tuple(frames.tolist()), pairs, gain)
        for frames, pairs, gain, _ in costs.runs(path)
        if gain >= _LEAST_GAIN and _seen(points, frames, pairs)
    ]


def _of_mirrored_dive(
    points: FloatArray,
    times: NDArray[np.int64],
    height: FloatArray,
    visibility: NDArray[np.uint8] | None,
    costs: _Costs,
) -> list[LabelSwap]:
    """Exchange the sides of the whole dive, also where nothing tells them, but for what
    is then at fault."""
    flip = flip_index()
    exchanged = points[:, flip]
    turned = _Costs.of(
        exchanged, times, height, None if visibility is None else visibility[:, flip]
    )
    back = _faults(exchanged, turned, turned.cheapest())
    right = {frame: fault.pairs for fault in back for frame in fault.frames}
    whole = np.zeros(len(points), dtype=np.intp)
    gain = costs.total(whole) - costs.total(whole + _MIRRORED)
    pairs = [
        tuple(sorted(set(ALL) - set(right.get(frame, ()))))
        for frame in range(len(points))
    ]
    changes = [at for at in range(1, len(pairs)) if pairs[at] != pairs[at - 1]]
    runs = np.split(np.arange(len(points)), changes)
    seen = [run for run in runs if _seen(points, run, pairs[run[0]])]
    return [LabelSwap(tuple(run.tolist()), pairs[run[0]], gain) for run in seen]


def _seen(points: FloatArray, frames: NDArray[np.intp], pairs: tuple[int, ...]) -> bool:
    """Whether both joints of one of the pairs are labelled somewhere."""
    return any(
        np.isfinite(points[frames][:, FLIP_PAIRS[pair]]).all(axis=(1, 2)).any()
        for pair in pairs
    )


class _Costs(left_right.Costs):
    """The costs of labels."""

    @classmethod
    def of(
        cls,
        points: FloatArray,
        times: NDArray[np.int64],
        height: FloatArray,
        visibility: NDArray[np.uint8] | None = None,
    ) -> _Costs:
        vectors = left_right.across(points, times) / height[:, None]
        one = left_right.in_one_frame(points, vectors, height, LABEL_WEIGHTS)
        if visibility is not None:
            hidden = _hidden(visibility)
            one = one + _against_bend(points, hidden, height)
            vectors = np.concatenate([vectors, _HIDDEN * hidden], axis=1)
        costs = left_right.along_time(one, vectors, times, LABEL_WEIGHTS)
        return cls(costs.one, costs.two, costs.three)


def _hidden(visibility: NDArray[np.uint8]) -> FloatArray:
    """(T, pairs) 1 where only the right joint is hidden, -1 where only the left one is,
    NaN where one is missing."""
    right, left = (
        visibility[:, side].astype(np.float64) for side in np.array(FLIP_PAIRS).T
    )
    return np.where((right > 0) & (left > 0), left - right, np.nan)


def _against_bend(
    points: FloatArray, hidden: FloatArray, height: FloatArray
) -> FloatArray:
    """(T, S): a body whose hips bend shows which side is near, for thighs go forwards;
    the far side is hidden."""
    trunk = (points[:, 7] - points[:, 6]) / height[:, None]
    thigh = (points[:, list(_BOTH_KNEES)].mean(axis=1) - points[:, 6]) / height[:, None]
    # y points down: positive where the diver, turned head up, looks to the right of the
    # picture, right side near.
    bend = np.clip(
        (trunk[:, 0] * thigh[:, 1] - trunk[:, 1] * thigh[:, 0]) / _FULL_BEND, -1.0, 1.0
    )
    against = np.nan_to_num(
        -hidden * np.where(np.abs(bend) > _LEAST_BEND, bend, 0.0)[:, None]
    )  # left far: hidden < 0
    cost: FloatArray = _BEND * np.maximum(
        against[:, None] * (2 * SWAPPED - 1), 0.0
    ).sum(axis=2)
    return cost
