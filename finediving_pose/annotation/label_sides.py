"""Which sides of a dive's labels are the wrong way round: the cheapest assignment along time.

Only the vector from the right to the left joint of a pair changes when its sides are exchanged: its sign. In a frame
that turns with the body these vectors change smoothly, also through a twist, in which they pass through zero with
steady speed. So a frame's state (which pairs are exchanged) is found by dynamic programming over triples of
neighbouring frames, with what is impossible for a body within one frame added.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finediving_pose.annotation.label_geometry import LINKED
from finediving_pose.records import FloatArray
from finediving_pose.skeleton import FLIP_PAIRS, flip_index

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
"""Which pairs can be exchanged together, as numbers into FLIP_PAIRS: what people get wrong at once."""

_CHAINS = ((_HIPS, _KNEES), (_KNEES, _ANKLES), (_SHOULDERS, _ELBOWS), (_ELBOWS, _WRISTS))
_MIDLINE = (6, 7, 8, 9)
_STEADY, _STAYING, _TORSO, _LIMBS = 1.0, 0.25, 1.0, 1.0  # weights of four kinds of evidence
_EVENT, _FRAME = 0.1, 0.05  # what a change of state, and a frame of it, must pay for
_MIRRORED = STATES.index(ALL)
_MOST = 0.5  # of a dive: more mirrored frames are a mirrored dive
_LEAST_GAIN = 0.03  # of all frames of a fault together
_FAR = 0.35  # of the body height: more than this says no more
_CALM = 0.6  # body heights, summed over pairs: where changes are usually so large, they count half
_AROUND = 5  # frames on either side that say what is usual
_HIDDEN = 0.05  # body heights: what it counts that the one joint is hidden and the other is not
_BEND = 0.04  # weight of a pair that is hidden on the near side of a fully bent body
_FULL_BEND, _LEAST_BEND = 0.03, 0.3  # square body heights; share of it that says something
_BOTH_KNEES = (1, 4)
_FASTEST_TURN = np.pi / 2  # a frame


@dataclass(frozen=True)
class SideFault:
    """Neighbouring frames whose sides are the wrong way round.

    Attributes:
        frames: Their positions in the dive.
        pairs: Which pairs, as numbers into FLIP_PAIRS.
        gain: How much better the dive fits together with them exchanged, in body heights, summed over all that speaks
            for it or against it.
    """

    frames: tuple[int, ...]
    pairs: tuple[int, ...]
    gain: float


def side_faults(
    points: FloatArray, times: NDArray[np.int64], height: FloatArray, visibility: NDArray[np.uint8] | None = None
) -> list[SideFault]:
    """Find frames whose sides contradict their neighbours' or the body.

    Args:
        points: (T, 16, 2) px, NaN = missing, of one dive in the order of time.
        times: (T,) frame numbers, ascending.
        height: (T,) px, the body height (:func:`label_geometry.body_height`).
        visibility: (T, 16) of Visibility; seen from the side, only what is hidden tells left from right.
    """
    costs = _Costs.of(points, times, height, visibility)
    path = costs.cheapest()
    if (path == _MIRRORED).mean() > _MOST:
        return _of_mirrored_dive(points, times, height, visibility, costs)
    return _faults(points, costs, path)


def _faults(points: FloatArray, costs: _Costs, path: NDArray[np.intp]) -> list[SideFault]:
    total = costs.total(path)
    faults = []
    for frames in _blocks(path):
        without = path.copy()
        without[frames] = 0
        pairs = STATES[path[frames[0]]]
        gain = costs.total(without) - total
        if gain >= _LEAST_GAIN and _seen(points, frames, pairs):
            faults.append(SideFault(tuple(frames.tolist()), pairs, gain))
    return faults


def _of_mirrored_dive(
    points: FloatArray,
    times: NDArray[np.int64],
    height: FloatArray,
    visibility: NDArray[np.uint8] | None,
    costs: _Costs,
) -> list[SideFault]:
    """Exchange the sides of the whole dive, also where nothing tells them, but for what is then at fault."""
    flip = flip_index()
    exchanged = points[:, flip]
    turned = _Costs.of(exchanged, times, height, None if visibility is None else visibility[:, flip])
    back = _faults(exchanged, turned, turned.cheapest())
    right = {frame: fault.pairs for fault in back for frame in fault.frames}
    whole = np.zeros(len(points), dtype=np.intp)
    gain = costs.total(whole) - costs.total(whole + _MIRRORED)
    pairs = [tuple(sorted(set(ALL) - set(right.get(frame, ())))) for frame in range(len(points))]
    changes = [at for at in range(1, len(pairs)) if pairs[at] != pairs[at - 1]]
    runs = np.split(np.arange(len(points)), changes)
    seen = [run for run in runs if _seen(points, run, pairs[run[0]])]
    return [SideFault(tuple(run.tolist()), pairs[run[0]], gain) for run in seen]


def _seen(points: FloatArray, frames: NDArray[np.intp], pairs: tuple[int, ...]) -> bool:
    """Whether both joints of one of the pairs are labelled somewhere."""
    return any(np.isfinite(points[frames][:, FLIP_PAIRS[pair]]).all(axis=(1, 2)).any() for pair in pairs)


def _blocks(path: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    changes = np.flatnonzero(np.diff(path)) + 1
    return [run for run in np.split(np.arange(len(path)), changes) if path[run[0]]]


@dataclass(frozen=True)
class _Costs:
    """Costs of states: (T, S) of one frame, (T - 1, S, S) of two, (T - 2, S, S, S) of three neighbours."""

    one: FloatArray
    two: FloatArray
    three: FloatArray

    @classmethod
    def of(
        cls,
        points: FloatArray,
        times: NDArray[np.int64],
        height: FloatArray,
        visibility: NDArray[np.uint8] | None = None,
    ) -> _Costs:
        across = _across(points, times) / height[:, None]
        one, gaps = _alone(points, across, height), np.maximum(np.diff(times), 1)
        if visibility is not None:
            hidden = _hidden(visibility)
            one = one + _against_bend(points, hidden, height)
            across = np.concatenate([across, _HIDDEN * hidden], axis=1)
        return cls(one, _pairwise(across, gaps), _triple(across, gaps))

    def cheapest(self) -> NDArray[np.intp]:
        """Return the (T,) states of least cost."""
        if len(self.one) == 1:
            return np.array([int(np.argmin(self.one[0]))])
        cost = self.one[0][:, None] + self.one[1] + self.two[0]  # (S, S): of the last two frames
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
        cost = self.one[frames, path].sum() + self.two[frames[:-1], path[:-1], path[1:]].sum()
        return float(cost + self.three[frames[:-2], path[:-2], path[1:-1], path[2:]].sum())


def _across(points: FloatArray, times: NDArray[np.int64]) -> NDArray[np.complex128]:
    """Return (T, pairs) px from right to left joint as complex numbers, in axes that turn with the body."""
    z = points[..., 0] + 1j * points[..., 1]
    right, left = np.array(FLIP_PAIRS).T
    middle = np.concatenate([z[:, _MIDLINE], (z[:, right] + z[:, left]) / 2], axis=1)
    count = np.maximum(np.isfinite(middle).sum(axis=1, keepdims=True), 1)
    middle = middle - np.nansum(middle, axis=1, keepdims=True) / count
    turn = np.angle(np.nansum(middle[1:] * middle[:-1].conj(), axis=1))
    # Nobody turns so fast: head over heels at once is a body that fell through the line of sight.
    through = np.abs(turn) > _FASTEST_TURN * np.maximum(np.diff(times), 1)
    angle = np.concatenate([[0.0], np.cumsum(np.where(through, turn - np.pi * np.sign(turn), turn))])
    vectors: NDArray[np.complex128] = (z[:, left] - z[:, right]) * np.exp(-1j * angle)[:, None]
    return vectors


def _hidden(visibility: NDArray[np.uint8]) -> FloatArray:
    """(T, pairs) 1 where only the right joint is hidden, -1 where only the left one is, NaN where one is missing."""
    right, left = (visibility[:, side].astype(np.float64) for side in np.array(FLIP_PAIRS).T)
    return np.where((right > 0) & (left > 0), left - right, np.nan)


def _against_bend(points: FloatArray, hidden: FloatArray, height: FloatArray) -> FloatArray:
    """(T, S): a body whose hips bend shows which side is near, for thighs go forwards; the far side is hidden."""
    trunk = (points[:, 7] - points[:, 6]) / height[:, None]
    thigh = (points[:, list(_BOTH_KNEES)].mean(axis=1) - points[:, 6]) / height[:, None]
    # y points down: positive where the diver, turned head up, looks to the right of the picture, right side near.
    bend = np.clip((trunk[:, 0] * thigh[:, 1] - trunk[:, 1] * thigh[:, 0]) / _FULL_BEND, -1.0, 1.0)
    against = np.nan_to_num(-hidden * np.where(np.abs(bend) > _LEAST_BEND, bend, 0.0)[:, None])  # left far: hidden < 0
    cost: FloatArray = _BEND * np.maximum(against[:, None] * (2 * _SWAPPED - 1), 0.0).sum(axis=2)
    return cost


def _exchanged() -> NDArray[np.intp]:
    """(S, pairs) 1 where a state exchanges a pair."""
    table = np.zeros((len(STATES), PAIRS), dtype=np.intp)
    for state, pairs in enumerate(STATES):
        table[state, list(pairs)] = 1
    return table


_SWAPPED = _exchanged()
_DIFFER = _SWAPPED[:, None] ^ _SWAPPED  # (S, S, pairs)
_IN_TWO = np.eye(2)[_DIFFER]  # (S, S, pairs, 2)
_IN_THREE = np.eye(4)[2 * _DIFFER[:, :, None] + _DIFFER[None]]  # (S, S, S, pairs, 4): first, middle, last


def _summed(change: FloatArray, table: FloatArray) -> FloatArray:
    """Sum (T, channels, exchanges) over the pairs for each combination of states; a pair may have two channels."""
    pairs = change.reshape(len(change), change.shape[1] // PAIRS, PAIRS, change.shape[2]).sum(axis=1)
    return np.tensordot(pairs, table, axes=([1, 2], [-2, -1]))


def _pairwise(across: NDArray[np.complex128], gaps: NDArray[np.int64]) -> FloatArray:
    before, after = across[:-1, :, None], across[1:, :, None]
    change = np.abs(after - before * np.array([1, -1]))
    event = _EVENT * (1 - np.eye(len(STATES)))
    return _STAYING * _summed(_believed(change, gaps), _IN_TWO) + event


def _triple(across: NDArray[np.complex128], gaps: NDArray[np.int64]) -> FloatArray:
    if len(across) < 3:
        return np.zeros((0, *[len(STATES)] * 3))
    share = (gaps[1:] / (gaps[1:] + gaps[:-1]))[:, None, None]
    sign = np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]])
    before, now, after = (across[at : len(across) - 2 + at, :, None] for at in range(3))
    bend = np.abs(now - share * before * sign[:, 0] - (1 - share) * after * sign[:, 1])
    return _STEADY * _summed(_believed(bend, np.maximum(gaps[1:], gaps[:-1])), _IN_THREE)


def _believed(change: FloatArray, gaps: NDArray[np.int64]) -> FloatArray:
    """Weigh (T, pairs, exchanges) changes by how far they are to be believed; the first exchange is none.

    Less where the dive around is restless or its frames lie apart, for there a large change is nothing unusual.
    """
    if not len(change):
        return change
    change = np.nan_to_num(np.minimum(change, _FAR), nan=0.0) * (gaps <= LINKED)[:, None, None]
    total = change[..., 0].sum(axis=1)
    padded = np.pad(total, _AROUND, mode="reflect" if len(total) > _AROUND else "edge")
    usual = np.median(np.lib.stride_tricks.sliding_window_view(padded, 2 * _AROUND + 1), axis=1)
    calm = _CALM / np.maximum(gaps, 1)
    believed: FloatArray = change * (calm / (calm + usual))[:, None, None]
    return believed


def _alone(points: FloatArray, across: NDArray[np.complex128], height: FloatArray) -> FloatArray:
    """(T, S): shoulders that face where hips do not, and limbs longer than the person's."""
    sign = 1 - 2 * _SWAPPED
    facing = (across[:, _SHOULDERS] * across[:, _HIPS].conj()).real
    size = np.maximum(np.abs(across[:, _SHOULDERS]), np.abs(across[:, _HIPS]))
    against = np.nan_to_num(facing / np.maximum(size, 1e-9))[:, None] * (sign[:, _SHOULDERS] * sign[:, _HIPS])
    cost = _TORSO * np.maximum(-against, 0.0)
    for inner, outer in _CHAINS:
        lengths = _chain_lengths(points, inner, outer) / height[:, None]  # (T, 2): as labelled, exchanged
        own = np.nanpercentile(lengths[:, 0], 80) * 1.1 if np.isfinite(lengths[:, 0]).any() else np.inf
        excess = np.nan_to_num(np.maximum(lengths - own, 0.0))
        cost = cost + _LIMBS * excess[:, _SWAPPED[:, inner] ^ _SWAPPED[:, outer]]
    changed = np.arange(len(STATES)) > 0
    return cost + np.where(changed, _FRAME, 0.0)


def _chain_lengths(points: FloatArray, inner: int, outer: int) -> FloatArray:
    """(T, 2) px: the longer of the pair's two limbs as labelled and with the outer joints exchanged."""
    a, b = points[:, FLIP_PAIRS[inner]], points[:, FLIP_PAIRS[outer]]
    straight, crossed = np.linalg.norm(a - b, axis=-1), np.linalg.norm(a - b[:, ::-1], axis=-1)
    return np.stack([straight.max(axis=1), crossed.max(axis=1)], axis=1)
