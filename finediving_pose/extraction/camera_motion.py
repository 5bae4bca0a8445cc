"""How the picture moved from frame to frame, told by the boxes of those who do not
move.

A camera that turns and zooms moves all that stands still by one similarity, ``x' =
scale·x + shift``. Whoever moves otherwise moves in the world.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finediving_pose.boxes import box_iou, diagonals, eq25, middles
from finediving_pose.records import Detections, FloatArray

_VOTERS = 8
"""So many of the surest boxes propose how the camera moved; all of them vote."""
_AGREES = 0.12, 0.06
"""Distance in diagonals up to which a box agrees with a proposal: with the bare shift,
with the similarity fitted."""
_RISES = 1.5
"""How many agreeing votes one person outweighs who would have to rise: people fall,
they do not rise."""
_SUDDEN = 0.5
"""Votes of full confidence that outweigh a change of the camera's pace by a diagonal a
frame."""
_SLOWS = 0.9
"""How much of its pace a camera keeps in a frame that does not tell."""
_REACH = 1.5
"""Longest shift in diagonals a frame that is proposed."""
_ONE_PERSON = 0.3
"""IoU from which on two boxes are one person's, who has one vote: weak detectors find a
person many times over."""
_ENOUGH = 3
"""People at rest from whom on the camera's motion is certain."""
_AROUND = 4
"""Frames before and after over which that is averaged."""


@dataclass(frozen=True)
class CameraPath:
    """Where the picture of each of T frames lies in that of the first, as far as the
    boxes tell.

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

    def carried(self, boxes: FloatArray, row: int, to: int) -> FloatArray:
        """Return where boxes (N, 4) of frame `row` would be seen in frame `to` if they
        rested."""
        ratio = self.scale[to] / self.scale[row]
        return np.asarray(
            ratio * (boxes - np.tile(self.shift[row], 2)) + np.tile(self.shift[to], 2)
        )


def camera_path(
    detections: Sequence[Detections], frame_index: NDArray[np.int64]
) -> CameraPath:
    """Estimate the camera's motion; where fewer than two people are seen it is taken to
    rest.

    From one frame to the next every pair of similar boxes proposes a shift. A proposal
    is as good as the number of people who agree with it, less 1.5 for each other person
    who would rise: with a judge and a diver alone the one who falls less is the
    background, also where the camera follows the diver and the judge seems to move.
    """
    people = [_one_box_each(found) for found in detections]
    scale, shift = np.ones(len(people)), np.zeros((len(people), 2))
    resting = np.zeros(len(people))
    pace = np.zeros(2)
    for row in range(1, len(people)):
        step = int(frame_index[row] - frame_index[row - 1])
        ratio, moved = _between(people[row - 1], people[row], step, pace * step)
        pace = moved / step
        scale[row] = ratio * scale[row - 1]
        shift[row] = ratio * shift[row - 1] + moved
        resting[row] = _resting(people[row - 1], people[row], ratio, moved)
    return CameraPath(scale, shift, _told(resting))


def _one_box_each(found: Detections) -> Detections:
    """Leave out boxes that overlap a surer one so much that they are the same person's."""
    overlaps = (
        box_iou(found.boxes, found.boxes) if len(found.boxes) else np.zeros((0, 0))
    )
    kept: list[int] = []
    for n in np.argsort(-found.scores, kind="stable").tolist():
        if not (overlaps[n, kept] > _ONE_PERSON).any():
            kept.append(n)
    return Detections(found.boxes[kept], found.scores[kept])


def _resting(
    before: Detections, after: Detections, scale: float, shift: FloatArray
) -> int:
    """Count the people who are found again where the camera's motion alone would have
    them."""
    if min(len(before.boxes), len(after.boxes)) < 2:
        return 0
    carried = scale * before.boxes.astype(np.float64) + np.tile(shift, 2)
    distance = eq25(carried[:, None], after.boxes[None]).min(axis=1) / diagonals(
        before.boxes
    )
    return int((distance < _AGREES[0]).sum())


def _told(resting: FloatArray) -> FloatArray:
    """Turn the (T,) people at rest since the frame before into how far they bear the
    camera's motion out."""
    if len(resting) < 2:
        return np.zeros(len(resting))
    sure = np.clip((resting - 1) / (_ENOUGH - 1), 0, 1)
    sure[0] = sure[1]
    window = 2 * _AROUND + 1
    return np.convolve(
        np.pad(sure, _AROUND, mode="edge"), np.full(window, 1 / window), "valid"
    )


def _between(
    before: Detections, after: Detections, step: int, expected: FloatArray
) -> tuple[float, FloatArray]:
    """Return the scale and the (2,) px shift from one frame to the next, where a shift
    is `expected`."""
    rest = 1.0, _SLOWS * expected
    if min(len(before.boxes), len(after.boxes)) < 2:
        return rest
    a, b = before.boxes.astype(np.float64), after.boxes.astype(np.float64)
    size = diagonals(a)
    moves = b[None] - a[:, None]
    shifts = (moves[..., :2] + moves[..., 2:]) / 2
    alike = np.abs(np.log(diagonals(b)[None] / size[:, None])) < 0.25
    near = np.linalg.norm(shifts, axis=-1) < _REACH * np.sqrt(step) * size[:, None]
    proposing = np.zeros(len(a), bool)
    proposing[np.argsort(-before.scores, kind="stable")[:_VOTERS]] = True
    proposals = shifts[alike & near & proposing[:, None]]
    proposals = np.concatenate([proposals, expected[None], np.zeros((1, 2))])
    residual = moves[None] - np.tile(proposals, 2)[:, None, None]  # (P, N, M, 4)
    distance = np.sqrt((residual**2).sum(axis=-1)) / size[:, None]
    best = distance.argmin(axis=-1)  # (P, N)
    least = np.take_along_axis(distance, best[..., None], axis=-1)[..., 0]
    down = (
        np.take_along_axis(
            residual[..., 1] + residual[..., 3], best[..., None], axis=-1
        )[..., 0]
        / 2
        / size
    )
    agrees = least < _AGREES[0]
    rises = ~agrees & (least < 0.6) & (down < -_AGREES[0] / 2)
    votes = agrees * (1 - 0.5 * least / _AGREES[0]) - _RISES * rises
    sure = before.scores * after.scores[best]
    sudden = np.linalg.norm(proposals - expected, axis=1) / np.median(size) / step
    chosen = int(((sure * votes).sum(axis=1) - _SUDDEN * sudden).argmax())
    return _fitted(
        a,
        b,
        size,
        (1.0, proposals[chosen]),
        np.flatnonzero(agrees[chosen]),
        best[chosen],
    )


def _fitted(
    a: FloatArray,
    b: FloatArray,
    size: FloatArray,
    guess: tuple[float, FloatArray],
    rows: NDArray[np.intp],
    best: NDArray[np.intp],
) -> tuple[float, FloatArray]:
    """Refine a shift to a similarity by least squares over those who agree, who are
    then chosen anew.

    One or two people say nothing of the zoom: their boxes' sizes change for reasons of
    their own.
    """
    scale, shift = guess
    for _ in range(3):
        if len(rows) < 3:
            return (
                (
                    scale,
                    (middles(b[best[rows]]) - scale * middles(a[rows])).mean(axis=0),
                )
                if len(rows)
                else guess
            )
        p, q = middles(a[rows]), middles(b[best[rows]])
        centred = p - p.mean(axis=0)
        spread = float((centred**2).sum())
        told = (
            float((centred * (q - q.mean(axis=0))).sum()) / spread
            if spread > 1e-6
            else 1.0
        )
        scale = float(np.clip(told, 0.8, 1.25))
        shift = q.mean(axis=0) - scale * p.mean(axis=0)
        residual = b[None] - (scale * a + np.tile(shift, 2))[:, None]
        distance = np.sqrt((residual**2).sum(axis=-1)) / size[:, None]
        best = distance.argmin(axis=1)
        close = distance[np.arange(len(a)), best]
        rows = np.flatnonzero(
            close < max(_AGREES[1], 1.5 * float(np.median(close[rows])))
        )
    return scale, shift
