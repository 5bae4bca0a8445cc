"""Left and right along time: in which frames the sides are the wrong way round, by the
cheapest path over states.

Only the vector from the right to the left joint of a pair changes when its sides are
exchanged: its sign. In a frame that turns with the body these vectors change smoothly,
also through a twist, in which they pass through zero with steady speed. So a frame's
state (which pairs are exchanged) is found by dynamic programming over triples of
neighbouring frames, with what is impossible for a body within one frame added.

Lengths are in body heights (:func:`finediving_pose.body_geometry.measure_body_height`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from finediving_pose.body_geometry import LINKED
from finediving_pose.config import Settings
from finediving_pose.records import FloatArray
from finediving_pose.skeleton import FLIP_PAIRS

PAIRS = len(FLIP_PAIRS)
_ANKLES, _KNEES, _HIPS, _WRISTS, _ELBOWS, _SHOULDERS = range(PAIRS)
LEGS, ARMS = (_ANKLES, _KNEES, _HIPS), (_WRISTS, _ELBOWS, _SHOULDERS)
ALL = LEGS + ARMS

STATES: tuple[tuple[int, ...], ...] = (
    (),
    ALL,
    LEGS,
    ARMS,
    (_ANKLES, _KNEES),
    (_WRISTS, _ELBOWS),
    *((pair,) for pair in range(PAIRS)),
)
"""Which pairs can be exchanged together, as numbers into FLIP_PAIRS: what people and
nets get wrong at once."""

_CHAINS = (
    (_HIPS, _KNEES),
    (_KNEES, _ANKLES),
    (_SHOULDERS, _ELBOWS),
    (_ELBOWS, _WRISTS),
)
_MIDLINE = (6, 7, 8, 9)
_AROUND = 5  # frames on either side that say what is usual
_FASTEST_TURN = np.pi / 2  # a frame


class SwapWeights(Settings):
    """Weights of the evidence that sides are swapped.

    The values are those for skeletons of a network, set with ``tools/bench_repair.py``
    on a synthetic meet. Labels have theirs in
    :mod:`finediving_pose.annotation.label_swaps`.

    Attributes:
        steady: A pair's vector off the line between its neighbours in time.
        staying: A pair's vector unlike that of the frame before.
        torso: Shoulders that face where hips do not.
        limbs: Limbs longer than the person's.
        event, frame: What a change of state, and a frame of it, must pay for.
        far: More than this says no more.
        calm: Summed over pairs: where changes are usually so large, they count half.
    """

    steady: float = Field(default=1.0, ge=0)
    staying: float = Field(default=0.5, ge=0)
    torso: float = Field(default=0.5, ge=0)
    limbs: float = Field(default=0.5, ge=0)
    event: float = Field(default=0.03, ge=0)
    frame: float = Field(default=0.02, ge=0)
    far: float = Field(default=0.35, gt=0)
    calm: float = Field(default=0.6, gt=0)


class Run(NamedTuple):
    """Frames in a row with the same sides exchanged.

    Attributes:
        frames: (n,) their places on the path.
        pairs: Which pairs, as numbers into FLIP_PAIRS.
        gain: What the exchange saves along the path, in body heights.
        unrest: How unsteady the pairs usually are around these frames, as they are:
            summed, in body heights.
    """

    frames: NDArray[np.intp]
    pairs: tuple[int, ...]
    gain: float
    unrest: float


@dataclass(frozen=True)
class Costs:
    """Costs of states: (T, S) of one frame, (T - 1, S, S) of two, (T - 2, S, S, S) of
    three neighbours."""

    one: FloatArray
    two: FloatArray
    three: FloatArray

    def cheapest(self) -> NDArray[np.intp]:
        """Return the (T,) states of least cost."""
        if len(self.one) == 1:
            return np.array([int(np.argmin(self.one[0]))])
        cost = (
            self.one[0][:, None] + self.one[1] + self.two[0]
        )  # (S, S): of the last two frames
        back = []
        for one, two, three in zip(self.one[2:], self.two[1:], self.three, strict=True):
            through = cost[:, :, None] + three
            best = through.argmin(axis=0)
            back.append(best)
            cost = np.take_along_axis(through, best[None], axis=0)[0] + two + one
        path = [*np.unravel_index(int(cost.argmin()), cost.shape)[::-1]]
        for best in reversed(back):
            path.append(best[path[-1], path[-2]])
        return np.array(path[::-1], dtype=np.intp)

    def total(self, path: NDArray[np.intp]) -> float:
        """Return what a path costs."""
        frames = np.arange(len(path))
        cost = (
            self.one[frames, path].sum()
            + self.two[frames[:-1], path[:-1], path[1:]].sum()
        )
        return float(
            cost + self.three[frames[:-2], path[:-2], path[1:-1], path[2:]].sum()
        )

    def runs(self, path: NDArray[np.intp]) -> Iterator[Run]:
        """Give each run of frames in one state other than that nothing is exchanged."""
        total = self.total(path)
        for frames in np.split(np.arange(len(path)), np.flatnonzero(np.diff(path)) + 1):
            if path[frames[0]]:
                without = path.copy()
                without[frames] = 0
                yield Run(
                    frames,
                    STATES[path[frames[0]]],
                    self.total(without) - total,
                    self._unrest(frames),
                )

    def _unrest(self, frames: NDArray[np.intp]) -> float:
        """How unsteady the vectors usually are around a run, as they are, in body
        heights summed over the pairs."""
        bends = self.three[
            max(frames[0] - _AROUND - 1, 0) : frames[-1] + _AROUND, 0, 0, 0
        ]
        return float(np.median(bends)) if len(bends) else 0.0


def measure_pair_vectors(
    points: FloatArray, times: NDArray[np.int64], doubtful: float = 0.0
) -> NDArray[np.complex128]:
    """Return (T, pairs) px from right to left joint as complex numbers, in axes that
    turn with the body.

    Args:
        points: (T, 16, 2) px, NaN = missing.
        times: (T,) frame numbers, ascending.
        doubtful: Turns that are less than so many radians from a quarter of a circle
            are not believed, be it in one frame or several: a body seen end-on has
            hardly a direction, and half a circle too much would exchange the sides of
            all that follows.
    """
    z = points[..., 0] + 1j * points[..., 1]
    right, left = np.array(FLIP_PAIRS).T
    middle = np.concatenate([z[:, _MIDLINE], (z[:, right] + z[:, left]) / 2], axis=1)
    count = np.maximum(np.isfinite(middle).sum(axis=1, keepdims=True), 1)
    middle = middle - np.nansum(middle, axis=1, keepdims=True) / count
    turn = np.angle(np.nansum(middle[1:] * middle[:-1].conj(), axis=1))
    # Nobody turns so fast: head over heels at once is a body that fell through the line
    # of sight.
    fastest = _FASTEST_TURN * (np.maximum(np.diff(times), 1) if doubtful == 0 else 1)
    turn = np.where(np.abs(turn) > fastest, turn - np.pi * np.sign(turn), turn)
    turn = np.where(np.abs(np.abs(turn) - _FASTEST_TURN) < doubtful, 0.0, turn)
    angle = np.concatenate([[0.0], np.cumsum(turn)])
    vectors: NDArray[np.complex128] = (z[:, left] - z[:, right]) * np.exp(-1j * angle)[
        :, None
    ]
    return vectors


def compute_costs(
    one: FloatArray,
    vectors: NDArray[np.complex128],
    times: NDArray[np.int64],
    weights: SwapWeights,
    trust: FloatArray | None = None,
) -> Costs:
    """Return the costs of states in which each pair's vector moves steadily.

    Args:
        one: (T, S) costs of single frames, such as :func:`compute_frame_costs` gives.
        vectors: (T, channels) body heights, NaN = unknown; the channels are the pairs,
            once or several times over, and change their sign with the sides.
        times: (T,) frame numbers, ascending. What is further apart than LINKED is not
            compared.
        weights: What counts how much.
        trust: (T, channels) from 0 to 1, how far each vector is to be believed; None:
            all in full.
    """
    gaps = np.maximum(np.diff(times), 1)
    trust = np.ones(vectors.shape) if trust is None else trust
    return Costs(
        one,
        _pairwise(vectors, gaps, weights, trust),
        _triple(vectors, gaps, weights, trust),
    )


def compute_frame_costs(
    points: FloatArray,
    vectors: NDArray[np.complex128],
    height: FloatArray,
    weights: SwapWeights,
) -> FloatArray:
    """(T, S): shoulders that face where hips do not, limbs longer than the person's,
    and that exchanges are rare.

    Args:
        points: (T, 16, 2) px.
        vectors: (T, pairs), :func:`measure_pair_vectors` in body heights.
        height: (T,) px.
        weights: What counts how much.
    """
    sign = 1 - 2 * SWAPPED
    facing = (vectors[:, _SHOULDERS] * vectors[:, _HIPS].conj()).real
    size = np.maximum(np.abs(vectors[:, _SHOULDERS]), np.abs(vectors[:, _HIPS]))
    against = np.nan_to_num(facing / np.maximum(size, 1e-9))[:, None] * (
        sign[:, _SHOULDERS] * sign[:, _HIPS]
    )
    cost = weights.torso * np.maximum(-against, 0.0)
    for inner, outer in _CHAINS:
        lengths = (
            _chain_lengths(points, inner, outer) / height[:, None]
        )  # (T, 2): as they are, exchanged
        own = (
            np.nanpercentile(lengths[:, 0], 80) * 1.1
            if np.isfinite(lengths[:, 0]).any()
            else np.inf
        )
        excess = np.nan_to_num(np.maximum(lengths - own, 0.0))
        cost = cost + weights.limbs * excess[:, SWAPPED[:, inner] ^ SWAPPED[:, outer]]
    changed = np.arange(len(STATES)) > 0
    return cost + np.where(changed, weights.frame, 0.0)


def _exchanged() -> NDArray[np.intp]:
    """(S, pairs) 1 where a state exchanges a pair."""
    table = np.zeros((len(STATES), PAIRS), dtype=np.intp)
    for state, pairs in enumerate(STATES):
        table[state, list(pairs)] = 1
    return table


SWAPPED = _exchanged()
_DIFFER = SWAPPED[:, None] ^ SWAPPED  # (S, S, pairs)
_IN_TWO = np.eye(2)[_DIFFER]  # (S, S, pairs, 2)
_IN_THREE = np.eye(4)[
    2 * _DIFFER[:, :, None] + _DIFFER[None]
]  # (S, S, S, pairs, 4): first, middle, last


def _summed(change: FloatArray, table: FloatArray) -> FloatArray:
    """Sum (T, channels, exchanges) over the pairs for each combination of states; a
    pair may have two channels."""
    pairs = change.reshape(
        len(change), change.shape[1] // PAIRS, PAIRS, change.shape[2]
    ).sum(axis=1)
    return np.tensordot(pairs, table, axes=([1, 2], [-2, -1]))


def _pairwise(
    vectors: NDArray[np.complex128],
    gaps: NDArray[np.int64],
    weights: SwapWeights,
    trust: FloatArray,
) -> FloatArray:
    before, after = vectors[:-1, :, None], vectors[1:, :, None]
    change = np.abs(after - before * np.array([1, -1]))
    event = weights.event * (1 - np.eye(len(STATES)))
    believed = (
        _believed(change, gaps, weights) * np.minimum(trust[:-1], trust[1:])[..., None]
    )
    return weights.staying * _summed(believed, _IN_TWO) + event


def _triple(
    vectors: NDArray[np.complex128],
    gaps: NDArray[np.int64],
    weights: SwapWeights,
    trust: FloatArray,
) -> FloatArray:
    if len(vectors) < 3:
        return np.zeros((0, *[len(STATES)] * 3))
    share = (gaps[1:] / (gaps[1:] + gaps[:-1]))[:, None, None]
    sign = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    before, now, after = (
        vectors[at : len(vectors) - 2 + at, :, None] for at in range(3)
    )
    bend = np.abs(now - share * before * sign[:, 0] - (1 - share) * after * sign[:, 1])
    least = np.minimum(np.minimum(trust[:-2], trust[1:-1]), trust[2:])[..., None]
    return weights.steady * _summed(
        _believed(bend, np.maximum(gaps[1:], gaps[:-1]), weights) * least, _IN_THREE
    )


def _believed(
    change: FloatArray, gaps: NDArray[np.int64], weights: SwapWeights
) -> FloatArray:
    """Weigh (T, channels, exchanges) changes by how far they are to be believed; the
    first exchange is none.

    Less where the dive around is restless or its frames lie apart, for there a large
    change is nothing unusual.
    """
    if not len(change):
        return change
    change = (
        np.nan_to_num(np.minimum(change, weights.far), nan=0.0)
        * (gaps <= LINKED)[:, None, None]
    )
    total = change[..., 0].sum(axis=1)
    padded = np.pad(total, _AROUND, mode="reflect" if len(total) > _AROUND else "edge")
    usual = np.median(
        np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1), axis=1
    )
    calm = weights.calm / np.maximum(gaps, 1)
    believed: FloatArray = change * (calm / (calm + usual))[:, None, None]
    return believed


def _chain_lengths(points: FloatArray, inner: int, outer: int) -> FloatArray:
    """(T, 2) px: the longer of the pair's two limbs as they are and with the outer
    joints exchanged."""
    a, b = points[:, FLIP_PAIRS[inner]], points[:, FLIP_PAIRS[outer]]
    straight, crossed = (
        np.linalg.norm(a - b, axis=-1),
        np.linalg.norm(a - b[:, ::-1], axis=-1),
    )
    return np.stack([straight.max(axis=1), crossed.max(axis=1)], axis=1)
