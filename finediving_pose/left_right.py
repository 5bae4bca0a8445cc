"""Swaps of left and right along time, by the cheapest path over states.

A swap changes one thing of a pair of joints: the sign of the vector from the right to
the left one. In axes that turn with the body these vectors change smoothly, also
through a twist, in which they pass through zero with steady speed. So a frame's state
(which pairs are swapped) is found by dynamic programming over triples of neighbouring
frames, with what is impossible for a body within one frame added.

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
"""Which pairs can be swapped together, as numbers into FLIP_PAIRS: what people and
networks get wrong at once."""

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
        limbs: Limbs longer than the athlete's.
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
    """Frames in a row with the same sides swapped.

    Attributes:
        frames: (n,) their places on the path.
        pairs: Which pairs, as numbers into FLIP_PAIRS.
        gain: What the swap saves along the path, in body heights.
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

    def find_cheapest_path(self) -> NDArray[np.intp]:
        """Return the (T,) states of least cost."""
        if len(self.one) == 1:
            return np.array([int(np.argmin(self.one[0]))])
        # Steadiness is judged over three frames, so the search remembers the states of
        # two: cost[a, b] is that of the best path whose last two states are a and b.
        cost = self.one[0][:, None] + self.one[1] + self.two[0]
        back = []
        for one, two, three in zip(self.one[2:], self.two[1:], self.three, strict=True):
            through = cost[:, :, None] + three
            # Only the best state two frames ago can lie on the cheapest path.
            best = through.argmin(axis=0)
            back.append(best)
            cost = np.take_along_axis(through, best[None], axis=0)[0] + two + one
        # The path is read backwards: the last two states, then what led to them.
        path = [*np.unravel_index(int(cost.argmin()), cost.shape)[::-1]]
        for best in reversed(back):
            path.append(best[path[-1], path[-2]])
        return np.array(path[::-1], dtype=np.intp)

    def sum_path(self, path: NDArray[np.intp]) -> float:
        """Return what a path of (T,) states costs."""
        frames = np.arange(len(path))
        of_one = self.one[frames, path].sum()
        of_two = self.two[frames[:-1], path[:-1], path[1:]].sum()
        of_three = self.three[frames[:-2], path[:-2], path[1:-1], path[2:]].sum()
        return float(of_one + of_two + of_three)

    def find_runs(self, path: NDArray[np.intp]) -> Iterator[Run]:
        """Yield each run of frames in one state other than that nothing is swapped."""
        total = self.sum_path(path)
        changes = np.flatnonzero(np.diff(path)) + 1
        for frames in np.split(np.arange(len(path)), changes):
            state = path[frames[0]]
            if not state:
                continue
            # What a swap gains is what the same path costs without it.
            without = path.copy()
            without[frames] = 0
            gain = self.sum_path(without) - total
            yield Run(frames, STATES[state], gain, self._measure_unrest(frames))

    def _measure_unrest(self, frames: NDArray[np.intp]) -> float:
        """Return how unsteady the vectors usually are around a run, as they are, in
        body heights summed over the pairs."""
        first, last = max(frames[0] - _AROUND - 1, 0), frames[-1] + _AROUND
        # State 0 swaps nothing; the median is not moved by the run itself.
        bends = self.three[first:last, 0, 0, 0]
        return float(np.median(bends)) if len(bends) else 0.0


def measure_pair_vectors(
    points: FloatArray, times: NDArray[np.int64], doubtful: float = 0.0
) -> NDArray[np.complex128]:
    """Return the vectors from right to left joint, in axes that turn with the body.

    Args:
        points: (T, 16, 2) px, NaN = missing.
        times: (T,) frame numbers, ascending.
        doubtful: Turns that are less than so many radians from a quarter of a circle
            are not believed, be it in one frame or several: a body seen end-on has
            hardly a direction, and half a circle too much would swap the sides of all
            that follows.

    Returns:
        (T, pairs) px as complex numbers, x the real part.
    """
    # As complex numbers, a rotation is a product and an angle that of a quotient.
    z = points[..., 0] + 1j * points[..., 1]
    right, left = np.array(FLIP_PAIRS).T
    # The body's turn is taken from what a swap does not move: the midline, and the
    # middles of the pairs.
    middle = np.concatenate([z[:, _MIDLINE], (z[:, right] + z[:, left]) / 2], axis=1)
    count = np.maximum(np.isfinite(middle).sum(axis=1, keepdims=True), 1)
    # About its own centre, the body only turns: the flight drops out.
    middle = middle - np.nansum(middle, axis=1, keepdims=True) / count
    # The rotation of least squares between neighbours is the angle of this sum.
    turn = np.angle(np.nansum(middle[1:] * middle[:-1].conj(), axis=1))
    # Nobody turns so fast: head over heels at once is a body that fell through the line
    # of sight.
    fastest = _FASTEST_TURN * (np.maximum(np.diff(times), 1) if doubtful == 0 else 1)
    turn = np.where(np.abs(turn) > fastest, turn - np.pi * np.sign(turn), turn)
    turn = np.where(np.abs(np.abs(turn) - _FASTEST_TURN) < doubtful, 0.0, turn)
    angle = np.concatenate([[0.0], np.cumsum(turn)])
    # Turned back by all turns so far, a vector changes by the athlete's twist alone.
    back = np.exp(-1j * angle)[:, None]
    vectors: NDArray[np.complex128] = (z[:, left] - z[:, right]) * back
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
    if trust is None:
        trust = np.ones(vectors.shape)
    two = _compute_costs_of_two(vectors, gaps, weights, trust)
    three = _compute_costs_of_three(vectors, gaps, weights, trust)
    return Costs(one, two, three)


def compute_frame_costs(
    points: FloatArray,
    vectors: NDArray[np.complex128],
    height: FloatArray,
    weights: SwapWeights,
) -> FloatArray:
    """Return (T, S) the costs of states within one frame: shoulders that face where
    hips do not, limbs longer than the athlete's, and that swaps are rare.

    Args:
        points: (T, 16, 2) px.
        vectors: (T, pairs), :func:`measure_pair_vectors` in body heights.
        height: (T,) px.
        weights: What counts how much.
    """
    sign = 1 - 2 * SWAPPED
    # The part of one vector that lies along the other: negative where hips and
    # shoulders face opposite ways.
    facing = (vectors[:, _SHOULDERS] * vectors[:, _HIPS].conj()).real
    # By the larger of the two, so that hips seen from the side say little.
    size = np.maximum(np.abs(vectors[:, _SHOULDERS]), np.abs(vectors[:, _HIPS]))
    share = np.nan_to_num(facing / np.maximum(size, 1e-9))[:, None]
    # A state that swaps only one of the two pairs turns agreement into its opposite.
    against = share * (sign[:, _SHOULDERS] * sign[:, _HIPS])
    cost = weights.torso * np.maximum(-against, 0.0)
    for inner, outer in _CHAINS:
        lengths = _measure_chain(points, inner, outer) / height[:, None]
        # The athlete's own limb: foreshortened in most frames, so a high percentile;
        # not the maximum, for in some frames the sides are swapped.
        own = np.inf
        if np.isfinite(lengths[:, 0]).any():
            own = np.nanpercentile(lengths[:, 0], 80) * 1.1
        excess = np.nan_to_num(np.maximum(lengths - own, 0.0))
        # Limbs cross where exactly one of their two ends is swapped.
        crossed = SWAPPED[:, inner] ^ SWAPPED[:, outer]
        cost = cost + weights.limbs * excess[:, crossed]
    # Every frame of a swap costs a little, so that none is found where nothing speaks
    # for it.
    changed = np.arange(len(STATES)) > 0
    return cost + np.where(changed, weights.frame, 0.0)


def _make_swap_table() -> NDArray[np.intp]:
    """Return (S, pairs) 1 where a state swaps a pair."""
    table = np.zeros((len(STATES), PAIRS), dtype=np.intp)
    for state, pairs in enumerate(STATES):
        table[state, list(pairs)] = 1
    return table


SWAPPED = _make_swap_table()
# Between two states, which pairs change sides: (S, S, pairs). A vector's cost depends on
# that alone, so it is worked out once per change and looked up per state.
_DIFFER = SWAPPED[:, None] ^ SWAPPED
_IN_TWO = np.eye(2)[_DIFFER]  # (S, S, pairs, 2): stays, changes
# Of three frames, relative to the middle one: neither, last, first, both change.
_IN_THREE = np.eye(4)[2 * _DIFFER[:, :, None] + _DIFFER[None]]  # (S, S, S, pairs, 4)


def _sum_over_pairs(change: FloatArray, table: FloatArray) -> FloatArray:
    """Sum (T, channels, changes) over the pairs for each combination of states; a pair
    may have two channels."""
    channels = change.shape[1] // PAIRS
    by_pair = change.reshape(len(change), channels, PAIRS, change.shape[2])
    return np.tensordot(by_pair.sum(axis=1), table, axes=([1, 2], [-2, -1]))


def _compute_costs_of_two(
    vectors: NDArray[np.complex128],
    gaps: NDArray[np.int64],
    weights: SwapWeights,
    trust: FloatArray,
) -> FloatArray:
    before, after = vectors[:-1, :, None], vectors[1:, :, None]
    # A swap between two frames turns the vector round: its sign changes.
    change = np.abs(after - before * np.array([1, -1]))
    # A change of state is an event that has its price, whatever the state.
    event = weights.event * (1 - np.eye(len(STATES)))
    # A comparison is as good as the worse of the two vectors.
    least = np.minimum(trust[:-1], trust[1:])[..., None]
    believed = _weigh_changes(change, gaps, weights) * least
    return weights.staying * _sum_over_pairs(believed, _IN_TWO) + event


def _compute_costs_of_three(
    vectors: NDArray[np.complex128],
    gaps: NDArray[np.int64],
    weights: SwapWeights,
    trust: FloatArray,
) -> FloatArray:
    if len(vectors) < 3:
        return np.zeros((0, *[len(STATES)] * 3))
    # Where the middle frame lies between its neighbours: frames may be missing.
    share = (gaps[1:] / (gaps[1:] + gaps[:-1]))[:, None, None]
    sign = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    before, now, after = (
        vectors[:-2, :, None],
        vectors[1:-1, :, None],
        vectors[2:, :, None],
    )
    # Off the straight line between the neighbours. In a twist the vector passes through
    # zero with steady speed, which is no bend; a swap is one.
    bend = np.abs(now - share * before * sign[:, 0] - (1 - share) * after * sign[:, 1])
    least = np.minimum(np.minimum(trust[:-2], trust[1:-1]), trust[2:])[..., None]
    widest = np.maximum(gaps[1:], gaps[:-1])
    believed = _weigh_changes(bend, widest, weights) * least
    return weights.steady * _sum_over_pairs(believed, _IN_THREE)


def _weigh_changes(
    change: FloatArray, gaps: NDArray[np.int64], weights: SwapWeights
) -> FloatArray:
    """Weigh (T, channels, changes) by how far they are to be believed; the first change
    is none.

    Less where the dive around is restless or its frames lie apart, for there a large
    change is nothing unusual.
    """
    if not len(change):
        return change
    # One joint far away is no more of a swap than one that is merely wrong.
    limited = np.nan_to_num(np.minimum(change, weights.far), nan=0.0)
    change = limited * (gaps <= LINKED)[:, None, None]
    # What is usual around: the median of the changes as the frames are, mirrored at the
    # ends of the dive, so that its first frames have as many neighbours.
    total = change[..., 0].sum(axis=1)
    mode = "reflect" if len(total) > _AROUND else "edge"
    padded = np.pad(total, _AROUND, mode=mode)  # type: ignore[call-overload]
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1)
    usual = np.median(windows, axis=1)
    # Half the weight where changes are usually as large as `calm`, shrunk by the gap:
    # over several frames everything moves further.
    calm = weights.calm / np.maximum(gaps, 1)
    believed: FloatArray = change * (calm / (calm + usual))[:, None, None]
    return believed


def _measure_chain(points: FloatArray, inner: int, outer: int) -> FloatArray:
    """Return (T, 2) px the longer of a pair's two limbs, as they are and with the outer
    joints swapped."""
    a, b = points[:, FLIP_PAIRS[inner]], points[:, FLIP_PAIRS[outer]]
    straight = np.linalg.norm(a - b, axis=-1)
    crossed = np.linalg.norm(a - b[:, ::-1], axis=-1)
    return np.stack([straight.max(axis=1), crossed.max(axis=1)], axis=1)
