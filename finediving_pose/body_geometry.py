"""What a body can and cannot look like: lengths of limbs, jumps between neighbouring
frames.

Points are (T, 16, 2) px of one dive in the order of time, NaN = missing. Lengths are
told in body heights: a straight person from head top to ankles along the limbs, which a
tuck, a pike or a somersault does not change.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.records import FloatArray
from finediving_pose.skeleton import LIMBS, SHELLS, compute_flip_index

_WINDOW = 10  # frames on either side whose body heights count as this person's here
_OWN_FRAMES = 8  # fewer say nothing of a person's own lengths
_OWN_SLACK = (
    1.35,
    0.05,
)  # a limb may be this much longer than the person's own, and this many body heights
_JUMP_BASE, _JUMP_USUAL = (
    0.04,
    3.0,
)  # a jump is more than so many body heights and times what is usual there
_JUMP_APART = (
    1.5  # by which power of the frames between them neighbours may differ more
)
_AT_THE_END = 2.0  # with one neighbour only, a jump must be so much larger
_ROUNDS = 4  # of fitting one frame to the next while leaving out what does not fit

LINKED = 8
"""Frames that are further apart say nothing of each other."""

LONGEST: FloatArray = np.array(
    [
        0.36,
        0.36,
        0.16,
        0.16,
        0.36,
        0.36,
        0.42,
        0.14,
        0.22,
        0.22,
        0.25,
        0.20,
        0.20,
        0.25,
        0.22,
    ]
)
"""Longest credible length of each limb of LIMBS, in body heights: about a quarter above
a tall person's."""


def measure_body_height(points: FloatArray) -> FloatArray:
    """Return (T,) px, how tall the person is in each frame: the upper quartile along
    the limbs of the frames around.

    NaN where no frame around has the joints of head, trunk and one leg.
    """
    length = _joint_distance(points)
    own = (
        length(9, 8) + length(8, 7) + length(7, 6) + np.fmax(length(2, 1), length(3, 4))
    )
    own = own + np.fmax(length(1, 0), length(4, 5))
    padded = np.pad(own, _WINDOW, constant_values=np.nan)
    around = np.sort(
        np.lib.stride_tricks.sliding_window_view(padded, 2 * _WINDOW + 1), axis=1
    )  # NaN last
    count = np.isfinite(around).sum(axis=1)
    found: FloatArray = around[
        np.arange(len(around)), np.maximum(np.ceil(0.75 * count).astype(int) - 1, 0)
    ]
    return found


def measure_limb_lengths(points: FloatArray, height: FloatArray) -> FloatArray:
    """Return (T, 15) the limbs of LIMBS in body heights, NaN where a joint is missing."""
    a, b = np.array(LIMBS).T
    lengths: FloatArray = (
        np.linalg.norm(points[:, a] - points[:, b], axis=-1) / height[:, None]
    )
    return lengths


def find_longest_limbs(lengths: FloatArray) -> FloatArray:
    """Return (15,) the most that each limb may measure, in body heights: by the
    person's own length, and any body's.

    Seen from the camera a limb can be short, never longer than it is. The two sides of
    a person are one.
    """
    return np.fmin(measure_longest_limbs(lengths), LONGEST)


def measure_longest_limbs(lengths: FloatArray) -> FloatArray:
    """Return (15,) the most that each limb may measure by the person's own length; inf
    where too few frames tell."""
    mirror = _mirrored_limbs()
    both = np.sort(np.concatenate([lengths, lengths[:, mirror]]), axis=0)
    count = np.isfinite(both).sum(axis=0)
    own = both[
        np.maximum(np.ceil(0.9 * count).astype(int) - 1, 0), np.arange(len(LIMBS))
    ]
    return np.where(
        count >= 2 * _OWN_FRAMES, own * _OWN_SLACK[0] + _OWN_SLACK[1], np.inf
    )


def find_long_limbs(
    lengths: FloatArray, longest: FloatArray, doubt: FloatArray
) -> list[tuple[int, int, int]]:
    """Return (frame, joint, limb) for each frame with a limb longer than it can be.

    The joint is the one whose limbs are too long by most together; of a limb's two ends
    the more doubtful one, else the outer one.

    Args:
        lengths: (T, 15) and `longest`, (15,), in body heights.
        longest: See :func:`find_longest_limbs`.
        doubt: (T, 16) how odd each joint is for other reasons, such as its jump over
            what is allowed.
    """
    excess = np.nan_to_num(np.maximum(lengths - longest, 0.0))
    doubt = np.nan_to_num(doubt)
    for shell, joints in enumerate(SHELLS):
        doubt[:, list(joints)] += 1e-3 * shell
    blame = np.zeros_like(doubt)
    for limb, ends in enumerate(LIMBS):
        for joint in ends:
            blame[:, joint] += excess[:, limb] * (1 + doubt[:, joint])
    worst = blame.argmax(axis=1)
    found = []
    for frame in np.flatnonzero(excess.any(axis=1)).tolist():
        limbs = [limb for limb, ends in enumerate(LIMBS) if worst[frame] in ends]
        found.append(
            (
                frame,
                int(worst[frame]),
                max(limbs, key=lambda limb: float(excess[frame, limb])),
            )
        )
    return found


def measure_jumps(
    points: FloatArray, times: NDArray[np.int64], height: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return (T, 16) how far each joint lies from where its neighbours in time put it,
    and how far it may.

    A neighbouring frame is turned, moved and scaled until most of its joints lie on
    this one's: somersaults and the camera's motion are no jumps. Both in body heights;
    NaN where no neighbour has the joint.
    """
    z = points[..., 0] + 1j * points[..., 1]
    gaps = np.maximum(np.diff(times), 1).astype(np.float64)
    linked = np.where(gaps <= LINKED, 1.0, np.nan)[:, None]
    before, after = np.full_like(z, np.nan), np.full_like(z, np.nan)
    before[1:] = (z[1:] - fit_motion(z[:-1], z[1:], height[1:])) * linked
    after[:-1] = (z[:-1] - fit_motion(z[1:], z[:-1], height[:-1])) * linked
    share = np.full((len(z), 1), 0.5)
    share[1:-1, 0] = gaps[1:] / (gaps[1:] + gaps[:-1])
    between = share * before + (1 - share) * after
    # A joint that moves steadily lies between its neighbours; one beside a slip is near
    # its other neighbour.
    score = (
        np.fmin(np.fmin(np.abs(before), np.abs(after)), np.abs(between))
        / height[:, None]
    )
    lone = np.isnan(between)
    usual = np.fmax(
        running_median(np.where(lone, np.nan, score)),
        _middle(np.where(lone, np.nan, score), axis=1)[:, None],
    )
    apart = np.fmax(np.append(1.0, gaps), np.append(gaps, 1.0))[:, None] ** _JUMP_APART
    allowed = _JUMP_BASE * apart + _JUMP_USUAL * np.nan_to_num(usual)
    return score, np.where(lone, _AT_THE_END * allowed, allowed)


def _joint_distance(points: FloatArray) -> Any:
    def distance(a: int, b: int) -> FloatArray:
        return np.asarray(np.linalg.norm(points[:, a] - points[:, b], axis=-1))

    return distance


def _mirrored_limbs() -> list[int]:
    flip = compute_flip_index()
    place = {frozenset(limb): number for number, limb in enumerate(LIMBS)}
    return [place[frozenset((int(flip[a]), int(flip[b])))] for a, b in LIMBS]


def fit_motion(
    source: NDArray[np.complex128], target: NDArray[np.complex128], height: FloatArray
) -> NDArray[np.complex128]:
    """Turn, move and scale each (T, 16) source onto its target, px as complex numbers,
    led by the joints that fit.

    NaN where one of the two lacks the joint, or where they have fewer than four in
    common.
    """
    both = np.isfinite(source) & np.isfinite(target)
    s, t = np.where(both, source, 0), np.where(both, target, 0)
    weight = both.astype(np.float64)
    placed = s
    for _ in range(_ROUNDS):
        total = np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
        s0, t0 = (
            (weight * s).sum(axis=1, keepdims=True) / total,
            (weight * t).sum(axis=1, keepdims=True) / total,
        )
        power = np.maximum(
            (weight * np.abs(s - s0) ** 2).sum(axis=1, keepdims=True), 1e-12
        )
        turn = (weight * (s - s0).conj() * (t - t0)).sum(axis=1, keepdims=True) / power
        placed = t0 + turn * (s - s0)
        weight = both / (
            np.abs(t - placed) / np.nan_to_num(height, nan=1.0)[:, None] + 0.01
        )
    return np.where(both & (both.sum(axis=1, keepdims=True) >= 4), placed, np.nan)


def running_median(score: FloatArray, around: int = 5) -> FloatArray:
    """Return the (T, N) lower median over time of the rows around, NaN left out."""
    padded = np.pad(score, ((around, around), (0, 0)), constant_values=np.nan)
    return _middle(
        np.lib.stride_tricks.sliding_window_view(padded, 2 * around + 1, axis=0),
        axis=-1,
    )


def _middle(values: FloatArray, axis: int) -> FloatArray:
    """The lower median, NaN left out; np.nanmedian is slow and warns of empty slices."""
    ordered = np.moveaxis(np.sort(values, axis=axis), axis, -1)
    count = np.isfinite(ordered).sum(axis=-1)
    middle: FloatArray = np.take_along_axis(
        ordered, np.maximum((count - 1) // 2, 0)[..., None], axis=-1
    )[..., 0]
    return middle
