"""Body geometry: lengths of limbs and jumps between neighbouring frames that a body
can and cannot have.

Points are (T, 16, 2) px of one dive in the order of time, NaN = missing. Lengths are
told in body heights: a straight person from head top to ankles along the limbs, which a
tuck, a pike or a somersault does not change.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from finediving_pose.records import FloatArray
from finediving_pose.skeleton import LIMBS, SHELLS, compute_flip_index

_WINDOW = 10
"""Frames on either side whose body heights count as this athlete's here."""
_OWN_FRAMES = 8
"""Fewer say nothing of an athlete's own lengths."""
_OWN_FACTOR, _OWN_SLACK = 1.35, 0.05
"""A limb may be so many times the athlete's own, and so many body heights more."""
_JUMP_BASE, _JUMP_USUAL = 0.04, 3.0
"""A jump is more than so many body heights and times what is usual there."""
_JUMP_APART = 1.5
"""By which power of the frames between them neighbours may differ more."""
_AT_THE_END = 2.0
"""With one neighbour only, a jump must be so much larger."""
_ROUNDS = 4
"""Of fitting one frame to the next while leaving out what does not fit."""

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
    """Return (T,) px, how tall the athlete is in each frame: the upper quartile along
    the limbs of the frames around.

    NaN where no frame around has the joints of head, trunk and one leg.
    """

    def measure(a: int, b: int) -> FloatArray:
        return np.asarray(np.linalg.norm(points[:, a] - points[:, b], axis=-1))

    # Head and trunk, then of thighs and shins the longer one: seen from the camera a
    # limb is foreshortened, never too long, and one leg may be hidden.
    trunk = measure(9, 8) + measure(8, 7) + measure(7, 6)
    thigh = np.fmax(measure(2, 1), measure(3, 4))
    shin = np.fmax(measure(1, 0), measure(4, 5))
    own = trunk + thigh + shin
    # An upper quartile, as most frames show the body shortened; not the maximum, which
    # any joint that slipped would set.
    padded = np.pad(own, _WINDOW, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * _WINDOW + 1)
    around = np.sort(windows, axis=1)  # NaN last
    return _pick_quantile(around, 0.75)


def measure_limb_lengths(points: FloatArray, height: FloatArray) -> FloatArray:
    """Return (T, 15) the limbs of LIMBS in body heights, NaN where a joint is missing.

    Args:
        points: (T, 16, 2) px.
        height: (T,) px, of :func:`measure_body_height`.
    """
    a, b = np.array(LIMBS).T
    lengths = np.linalg.norm(points[:, a] - points[:, b], axis=-1)
    return np.asarray(lengths / height[:, None])


def find_longest_limbs(lengths: FloatArray) -> FloatArray:
    """Return (15,) the most that each limb may measure, in body heights: by the
    athlete's own length, and any body's.

    Seen from the camera a limb can be short, never longer than it is. The two sides of
    an athlete are one.
    """
    return np.fmin(measure_longest_limbs(lengths), LONGEST)


def measure_longest_limbs(lengths: FloatArray) -> FloatArray:
    """Return (15,) the most that each limb may measure by the athlete's own length; inf
    where too few frames tell."""
    # A body is the same on both sides, which doubles the frames that tell.
    mirror = _find_mirrored_limbs()
    both = np.sort(np.concatenate([lengths, lengths[:, mirror]]), axis=0)
    # The limb's true length is what it reaches when it lies across the line of sight:
    # a high quantile, below the few frames in which a joint slipped.
    own = _pick_quantile(both.T, 0.9)
    is_known = np.isfinite(both).sum(axis=0) >= 2 * _OWN_FRAMES
    return np.where(is_known, own * _OWN_FACTOR + _OWN_SLACK, np.inf)


def find_long_limbs(
    lengths: FloatArray, longest: FloatArray, doubt: FloatArray
) -> list[tuple[int, int, int]]:
    """Return (frame, joint, limb) for each frame with a limb longer than it can be.

    The joint is the one whose limbs are too long by most together; of a limb's two ends
    the more doubtful one, else the outer one.

    Args:
        lengths: (T, 15) body heights.
        longest: (15,) body heights, of :func:`find_longest_limbs`.
        doubt: (T, 16) how odd each joint is for other reasons, such as its jump over
            what is allowed.
    """
    excess = np.nan_to_num(np.maximum(lengths - longest, 0.0))
    doubt = np.nan_to_num(doubt)
    # A little more doubt from shell to shell: of two joints that are equally odd, the
    # outer one moves faster and is more often wrong.
    for shell, joints in enumerate(SHELLS):
        doubt[:, list(joints)] += 1e-3 * shell
    # A joint in the wrong place lengthens all its limbs, its neighbours only one each.
    blame = np.zeros_like(doubt)
    for limb, ends in enumerate(LIMBS):
        for joint in ends:
            blame[:, joint] += excess[:, limb] * (1 + doubt[:, joint])
    worst = blame.argmax(axis=1)
    found = []
    for frame in np.flatnonzero(excess.any(axis=1)).tolist():
        joint = int(worst[frame])
        limbs = [limb for limb, ends in enumerate(LIMBS) if joint in ends]
        longest_limb = limbs[int(np.argmax(excess[frame, limbs]))]
        found.append((frame, joint, longest_limb))
    return found


def measure_jumps(
    points: FloatArray, times: NDArray[np.int64], height: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return (T, 16) how far each joint lies from where its neighbours in time put it,
    and how far it may.

    A neighbouring frame is turned, moved and scaled until most of its joints lie on
    this one's: somersaults and the camera's motion are no jumps. Both in body heights;
    NaN where no neighbour has the joint.

    Args:
        points: (T, 16, 2) px.
        times: (T,) frame numbers, ascending.
        height: (T,) px, of :func:`measure_body_height`.
    """
    # As complex numbers, turning and scaling are one product.
    z = points[..., 0] + 1j * points[..., 1]
    gaps = np.maximum(np.diff(times), 1).astype(np.float64)
    linked = np.where(gaps <= LINKED, 1.0, np.nan)[:, None]
    before, after = np.full_like(z, np.nan), np.full_like(z, np.nan)
    before[1:] = (z[1:] - fit_motion(z[:-1], z[1:], height[1:])) * linked
    after[:-1] = (z[:-1] - fit_motion(z[1:], z[:-1], height[:-1])) * linked
    # Where the frame lies between its neighbours: frames may be missing.
    share = np.full((len(z), 1), 0.5)
    share[1:-1, 0] = gaps[1:] / (gaps[1:] + gaps[:-1])
    between = share * before + (1 - share) * after
    # A joint that moves steadily lies between its neighbours; one beside a slip is near
    # its other neighbour.
    nearest = np.fmin(np.fmin(np.abs(before), np.abs(after)), np.abs(between))
    score = nearest / height[:, None]
    lone = np.isnan(between)
    # What is usual for this joint around this frame, and for all joints in it: a fast
    # or blurred dive is allowed more.
    sure = np.where(lone, np.nan, score)
    usual = np.fmax(running_median(sure), _take_median(sure, axis=1)[:, None])
    # A path is the less predictable the more frames are missing.
    apart = np.fmax(np.append(1.0, gaps), np.append(gaps, 1.0))[:, None] ** _JUMP_APART
    allowed = _JUMP_BASE * apart + _JUMP_USUAL * np.nan_to_num(usual)
    return score, np.where(lone, _AT_THE_END * allowed, allowed)


def _pick_quantile(ordered: FloatArray, share: float) -> FloatArray:
    """Return (N,) the value below which a share of each (N, n) row lies, NaN left out.

    Args:
        ordered: Ascending along each row, NaN last.
        share: Of the known values, rounded up to one of them.
    """
    count = np.isfinite(ordered).sum(axis=1)
    place = np.maximum(np.ceil(share * count).astype(int) - 1, 0)
    picked: FloatArray = ordered[np.arange(len(ordered)), place]
    return picked


def _find_mirrored_limbs() -> list[int]:
    flip = compute_flip_index()
    place = {frozenset(limb): number for number, limb in enumerate(LIMBS)}
    return [place[frozenset((int(flip[a]), int(flip[b])))] for a, b in LIMBS]


def fit_motion(
    source: NDArray[np.complex128], target: NDArray[np.complex128], height: FloatArray
) -> NDArray[np.complex128]:
    """Turn, move and scale each (T, 16) source onto its target, px as complex numbers,
    led by the joints that fit.

    Args:
        source: (T, 16) px.
        target: (T, 16) px.
        height: (T,) px, in which a misfit is told.

    Returns:
        (T, 16) px, NaN where one of the two lacks the joint, or where they have fewer
        than four in common.
    """
    both = np.isfinite(source) & np.isfinite(target)
    s, t = np.where(both, source, 0), np.where(both, target, 0)
    weight = both.astype(np.float64)
    placed = s
    scale = np.nan_to_num(height, nan=1.0)[:, None]
    for _ in range(_ROUNDS):
        # Least squares about the weighted centres: one complex factor turns and scales.
        total = np.maximum(weight.sum(axis=1, keepdims=True), 1e-12)
        s0 = (weight * s).sum(axis=1, keepdims=True) / total
        t0 = (weight * t).sum(axis=1, keepdims=True) / total
        spread = (weight * np.abs(s - s0) ** 2).sum(axis=1, keepdims=True)
        power = np.maximum(spread, 1e-12)
        product = weight * (s - s0).conj() * (t - t0)
        turn = product.sum(axis=1, keepdims=True) / power
        placed = t0 + turn * (s - s0)
        # One over the misfit makes the next squares distances: slips lose their weight.
        weight = both / (np.abs(t - placed) / scale + 0.01)
    return np.where(both & (both.sum(axis=1, keepdims=True) >= 4), placed, np.nan)


def running_median(score: FloatArray, around: int = 5) -> FloatArray:
    """Return the (T, N) lower median over time of the rows around, NaN left out.

    Args:
        score: (T, N).
        around: Rows on either side.
    """
    padded = np.pad(score, ((around, around), (0, 0)), constant_values=np.nan)
    window = 2 * around + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, window, axis=0)
    return _take_median(windows, axis=-1)


def _take_median(values: FloatArray, axis: int) -> FloatArray:
    """Return the lower median, NaN left out; np.nanmedian is slow and warns of empty
    slices."""
    ordered = np.moveaxis(np.sort(values, axis=axis), axis, -1)
    count = np.isfinite(ordered).sum(axis=-1)
    place = np.maximum((count - 1) // 2, 0)[..., None]
    median: FloatArray = np.take_along_axis(ordered, place, axis=-1)[..., 0]
    return median
