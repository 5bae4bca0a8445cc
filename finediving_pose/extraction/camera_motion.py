"""Camera motion from frame to frame, estimated from the boxes of people at rest.

A camera that turns and zooms moves all that stands still by one similarity, ``x' =
scale·x + shift``. Whoever moves otherwise moves in the world.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finediving_pose.boxes import (
    compute_diagonals,
    compute_distances,
    compute_iou,
    compute_middles,
)
from finediving_pose.records import Detections, FloatArray

VOTERS = 8
"""So many of the surest boxes propose how the camera moved; all of them vote."""
AGREES = 0.12
"""Distance in diagonals up to which a box agrees with a proposed shift."""
AGREES_FITTED = 0.06
"""The same, once a similarity is fitted to those who agree."""
RISES = 1.5
"""How many agreeing votes one person outweighs who would have to rise: people fall,
they do not rise."""
LARGEST_RISE = 0.6
"""Distance in diagonals beyond which a box is somebody else's, and no rise."""
SUDDEN = 0.5
"""Votes of full confidence that outweigh a change of the camera's pace by a diagonal a
frame."""
SLOWS = 0.9
"""How much of its pace a camera keeps in a frame that does not tell."""
REACH = 1.5
"""Longest shift in diagonals a frame that is proposed."""
ALIKE = 0.25
"""Largest change of a box's log diagonal between two frames."""
ONE_PERSON = 0.3
"""IoU from which on two boxes are one person's, who has one vote: weak detectors find a
person many times over."""
CERTAIN = 3
"""People at rest from whom on the camera's motion is certain."""
AROUND = 4
"""Frames before and after over which that is averaged."""
ROUNDS = 3
"""How often a similarity is fitted and those who agree are chosen anew."""
ZOOM = 0.8, 1.25
"""Least and largest scale from one frame to the next."""


@dataclass(frozen=True)
class CameraPath:
    """The place of each of T images within the first, as far as the boxes tell.

    Attributes:
        scale: (T,) px of this frame per px of the first.
        shift: (T, 2) px, so that a resting point p of the first frame is seen at
            ``scale·p + shift``.
        told: (T,) how far people at rest bear that out around each frame: 0 where one
            at most does, 1 from three on.
    """

    scale: FloatArray
    shift: FloatArray
    told: FloatArray

    def carry_boxes(self, boxes: FloatArray, row: int, to: int) -> FloatArray:
        """Return the boxes that people at rest would have in another frame.

        Args:
            boxes: (N, 4) px of frame `row`.
            row: The frame that they are from.
            to: The frame to carry them to.
        """
        ratio = self.scale[to] / self.scale[row]
        origin = boxes - np.tile(self.shift[row], 2)
        return np.asarray(ratio * origin + np.tile(self.shift[to], 2))


def estimate_camera_path(
    detections: Sequence[Detections], frame_index: NDArray[np.int64]
) -> CameraPath:
    """Estimate the camera's motion; where fewer than two people are seen it is taken to
    rest.

    From one frame to the next every pair of similar boxes proposes a shift. A proposal
    is as good as the number of people who agree with it, less 1.5 for each other person
    who would rise: with a judge and a diver alone the one who falls less is the
    background, also where the camera follows the diver and the judge seems to move.

    Args:
        detections: The people found in each of T frames.
        frame_index: (T,) strictly increasing frame numbers.
    """
    people = [_keep_one_box_each(found) for found in detections]
    scale, shift = np.ones(len(people)), np.zeros((len(people), 2))
    resting = np.zeros(len(people))
    pace = np.zeros(2)  # px a frame
    for row in range(1, len(people)):
        before, after = people[row - 1], people[row]
        step = int(frame_index[row] - frame_index[row - 1])
        ratio, moved = _estimate_step(before, after, step, pace * step)
        pace = moved / step
        # Chained to the first frame: scale and shift of one step act on the last.
        scale[row] = ratio * scale[row - 1]
        shift[row] = ratio * shift[row - 1] + moved
        resting[row] = _count_resting(before, after, ratio, moved)
    return CameraPath(scale, shift, _average_support(resting))


def _keep_one_box_each(found: Detections) -> Detections:
    """Leave out boxes that overlap a surer one so much that they are the same person's."""
    overlaps = compute_iou(found.boxes, found.boxes)
    kept: list[int] = []
    for n in np.argsort(-found.scores, kind="stable").tolist():
        if not (overlaps[n, kept] > ONE_PERSON).any():
            kept.append(n)
    return Detections(found.boxes[kept], found.scores[kept])


def _count_resting(
    before: Detections, after: Detections, scale: float, shift: FloatArray
) -> int:
    """Count the people who are found again where the camera's motion alone would have
    them."""
    if min(len(before.boxes), len(after.boxes)) < 2:
        return 0
    carried = scale * before.boxes.astype(np.float64) + np.tile(shift, 2)
    distance = compute_distances(carried[:, None], after.boxes[None]).min(axis=1)
    return int((distance / compute_diagonals(before.boxes) < AGREES).sum())


def _average_support(resting: FloatArray) -> FloatArray:
    """Turn the (T,) people at rest since the frame before into how far they bear the
    camera's motion out, 0..1."""
    if len(resting) < 2:
        return np.zeros(len(resting))
    # One person at rest may be the athlete whom the camera follows, so one says nothing.
    sure = np.clip((resting - 1) / (CERTAIN - 1), 0, 1)
    sure[0] = sure[1]  # nothing comes before the first frame
    window = 2 * AROUND + 1
    padded = np.pad(sure, AROUND, mode="edge")
    return np.convolve(padded, np.full(window, 1 / window), "valid")


def _estimate_step(
    before: Detections, after: Detections, step: int, expected: FloatArray
) -> tuple[float, FloatArray]:
    """Return the scale and the (2,) px shift from one frame to the next, `step` frames
    later, where a shift is `expected`."""
    if min(len(before.boxes), len(after.boxes)) < 2:
        return 1.0, SLOWS * expected
    a, b = before.boxes.astype(np.float64), after.boxes.astype(np.float64)
    size = compute_diagonals(a)
    moves = b[None] - a[:, None]  # (N, M, 4): from each box to each box a frame later
    proposals = _propose_shifts(a, b, before.scores, step)
    # To go on as before and to rest are always possible.
    proposals = np.concatenate([proposals, expected[None], np.zeros((1, 2))])
    residual = moves[None] - np.tile(proposals, 2)[:, None, None]  # (P, N, M, 4)
    distance = np.sqrt((residual**2).sum(axis=-1)) / size[:, None]
    best = distance.argmin(axis=-1)  # (P, N): whom each person would be under each
    least = _take_best(distance, best)
    down = _take_best(residual[..., 1] + residual[..., 3], best) / 2 / size
    agrees = least < AGREES
    rises = ~agrees & (least < LARGEST_RISE) & (down < -AGREES / 2)
    # A vote fades to a half towards the limit, so that the tightest proposal wins.
    votes = agrees * (1 - 0.5 * least / AGREES) - RISES * rises
    sure = before.scores * after.scores[best]
    # Cameras are heavy: a proposal unlike the pace so far needs more votes.
    sudden = np.linalg.norm(proposals - expected, axis=1) / np.median(size) / step
    chosen = int(((sure * votes).sum(axis=1) - SUDDEN * sudden).argmax())
    voters = np.flatnonzero(agrees[chosen])
    return _fit_similarity(a, b, proposals[chosen], voters, best[chosen])


def _propose_shifts(
    a: FloatArray, b: FloatArray, scores: FloatArray, step: int
) -> FloatArray:
    """Return the (P, 2) px shifts between boxes of similar size, from the surest ones
    to all within reach."""
    size = compute_diagonals(a)
    moves = b[None] - a[:, None]
    shifts = (moves[..., :2] + moves[..., 2:]) / 2
    alike = np.abs(np.log(compute_diagonals(b)[None] / size[:, None])) < ALIKE
    near = np.linalg.norm(shifts, axis=-1) < REACH * np.sqrt(step) * size[:, None]
    proposing = np.zeros(len(a), bool)
    proposing[np.argsort(-scores, kind="stable")[:VOTERS]] = True
    return np.asarray(shifts[alike & near & proposing[:, None]])


def _take_best(values: FloatArray, best: NDArray[np.intp]) -> FloatArray:
    """Return (P, N) of (P, N, M) values, those of the `best` of M."""
    return np.take_along_axis(values, best[..., None], axis=-1)[..., 0]


def _fit_similarity(
    a: FloatArray,
    b: FloatArray,
    shift: FloatArray,
    voters: NDArray[np.intp],
    best: NDArray[np.intp],
) -> tuple[float, FloatArray]:
    """Refine a shift to a similarity by least squares over those who agree, who are
    then chosen anew.

    One or two people say nothing of the zoom: their boxes' sizes change for reasons of
    their own.

    Args:
        a: (N, 4) px, boxes of the frame before.
        b: (M, 4) px, boxes of the frame after.
        shift: (2,) px, the proposal that won.
        voters: Which of N agree with it.
        best: (N,) which of M each of N would be.
    """
    guess = 1.0, shift
    scale = 1.0
    size = compute_diagonals(a)
    for _ in range(ROUNDS):
        if not len(voters):
            return guess
        p, q = compute_middles(a[voters]), compute_middles(b[best[voters]])
        if len(voters) < 3:
            return scale, (q - scale * p).mean(axis=0)
        # Least squares of q = scale·p + shift: the slope of the centred middles.
        centred = p - p.mean(axis=0)
        spread = float((centred**2).sum())
        slope = 1.0
        if spread > 1e-6:  # people on one spot say nothing of the zoom either
            slope = float((centred * (q - q.mean(axis=0))).sum()) / spread
        scale = float(np.clip(slope, *ZOOM))
        shift = q.mean(axis=0) - scale * p.mean(axis=0)
        residual = b[None] - (scale * a + np.tile(shift, 2))[:, None]
        distance = np.sqrt((residual**2).sum(axis=-1)) / size[:, None]
        best = distance.argmin(axis=1)
        close = distance[np.arange(len(a)), best]
        # The limit follows the voters' own scatter, which grows with weak detectors.
        limit = max(AGREES_FITTED, 1.5 * float(np.median(close[voters])))
        voters = np.flatnonzero(close < limit)
    return scale, shift
