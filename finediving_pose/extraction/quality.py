"""How far a clip's skeletons can be trusted, from the skeletons alone, and the reason
in words.

Each figure x is 0 for a clip in which nothing is odd, and adds ``c = w·x⁴ / (x⁴ + h⁴)``
to the clip's doubt: next to nothing while it is small, half of its weight w at the
value h. The doubt is ``1 − Π(1 − c)`` over all figures: one that is bad suffices, and
several that are middling come to as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finediving_pose.extraction.interpolation import is_complete
from finediving_pose.extraction.repair import count_repairs
from finediving_pose.extraction.tracking import count_jumps
from finediving_pose.records import (
    BoxState,
    BoxTrack,
    FloatArray,
    JointState,
    SkeletonSequence,
)
from finediving_pose.skeleton import LIMBS

JUMP = 0.25
"""A joint that lies this far, in diagonals of the athlete's box, from between its
neighbours in time has jumped: a body that turns by 36° a frame, as fast as divers do,
bends a wrist's path by a tenth of it."""
_MIN_STEPS = 3


@dataclass(frozen=True)
class Figure:
    """One figure of a clip.

    Attributes:
        reason: What is said of a clip where it is large; ``{}`` takes the value.
        half: The value that counts half.
        weight: The most it can count, 0 to 1.
        of_one: The value is what is short of 1, and the reason takes what there is
            instead.
    """

    reason: str
    half: float
    weight: float = 0.9
    of_one: bool = False

    def said(self, value: float) -> str:
        """Return the reason with a clip's value in it."""
        return self.reason.format(1.0 - value if self.of_one else value)


FIGURES: dict[str, Figure] = {
    "absent": Figure("no diver in {:.0%} of the frames", 0.8, 0.5),
    "gaps": Figure(
        "the detector misses the diver in {:.0%} of the frames from the first to the last with one",
        0.4,
    ),
    "filled": Figure("{:.0%} of the joints interpolated", 0.4),
    "missing": Figure("{:.0%} of the joints missing where there is a diver", 0.3),
    "unsure": Figure("the joints' mean score is {:.2f}", 0.6, 0.98, of_one=True),
    "unsure_boxes": Figure(
        "the mean confidence of the detector's boxes is {:.2f}", 0.6, 0.98, of_one=True
    ),
    "box_jumps": Figure("the box jumps in {:.1%} of its steps", 0.05, 0.5),
    "joint_jumps": Figure("joints jump in {:.1%} of their steps", 0.25, 0.5),
    "limb_spread": Figure("limb lengths vary by {:.0%} within the clip", 1.0, 0.5),
    "swaps": Figure("{:.1%} of the joints had their sides exchanged", 0.1),
    "outliers": Figure("{:.1%} of the joints were removed as outliers", 0.3),
}
"""What is measured of a clip. Halves and weights were set with `tools/bench_qc.py` on
synthetic meets: what the two nets think of themselves says most of how wrong a clip is,
and so the others count for little where they are no larger than weak nets have them
anyway."""


def clip_figures(sequence: SkeletonSequence) -> dict[str, float]:
    """Measure a clip; frames that stand in the sequence twice count once.

    Returns:
        The figures of :data:`FIGURES`. ``absent``: share of frames without a box, which
        are many in a good clip that ends under water; ``gaps``: share of frames in
        which the detector did not find the diver, from the first to the last in which
        it did. ``filled``, ``swaps``, ``outliers``: share of joints in frames with a
        box whose state says so; ``missing``: of these without coordinates. ``unsure``:
        1 − mean score of observed joints, and ``unsure_boxes``: of detected boxes, 1
        where there are none. ``box_jumps``: share of steps between boxes that are far
        for a body in flight. ``joint_jumps``: share of observed joints that lie more
        than :data:`JUMP` diagonals from the line between the frames before and after.
        ``limb_spread``: median over limbs of the spread (1.48 median absolute
        deviations) of their log length. A figure that needs more frames than there are
        is 0.
    """
    _, rows = np.unique(sequence.frame_index, return_index=True)
    numbers = sequence.frame_index[rows]
    boxes, state, points = (
        sequence.track.boxes[rows],
        sequence.state[rows],
        sequence.keypoints[rows],
    )
    track = BoxTrack(boxes, sequence.track.scores[rows], sequence.track.state[rows])
    present = track.state != BoxState.MISSING
    observed = (state & JointState.OBSERVED) > 0
    steps = int(present.sum()) - 1
    diagonal = np.linalg.norm(boxes[:, 2:] - boxes[:, :2], axis=1).astype(np.float64)
    return {
        "absent": 1.0 - _mean(present),
        "gaps": _gaps(track.state == BoxState.DETECTED),
        "filled": _mean((state[present] & JointState.INTERPOLATED) > 0),
        "missing": _mean(~np.isfinite(points[present]).all(axis=-1)),
        "unsure": _short_of_one(sequence.scores[rows][observed]),
        "unsure_boxes": _short_of_one(track.scores[track.state == BoxState.DETECTED]),
        "box_jumps": count_jumps(track, numbers) / steps if steps > 0 else 0.0,
        "joint_jumps": _joint_jumps(
            np.where(observed[..., None], points, np.nan), numbers, diagonal
        ),
        "limb_spread": _limb_spread(points),
        "swaps": _mean((state[present] & JointState.SIDE_SWAPPED) > 0),
        "outliers": _mean((state[present] & JointState.OUTLIER_REMOVED) > 0),
    }


def contributions(figures: Mapping[str, float]) -> dict[str, float]:
    """Return what each figure adds to the doubt, 0 to its weight, the largest first."""
    parts = {
        name: figure.weight * figures[name] ** 4 / (figures[name] ** 4 + figure.half**4)
        for name, figure in FIGURES.items()
    }
    return dict(sorted(parts.items(), key=lambda part: -part[1]))


def doubt(figures: Mapping[str, float]) -> float:
    """Return how doubtful a clip is, 0 to 1: it ranks clips, and is no probability of
    anything."""
    return float(
        1.0 - np.prod([1.0 - part for part in contributions(figures).values()])
    )


def reasons(figures: Mapping[str, float], least: float = 0.2) -> list[str]:
    """Return in words what adds at least `least` to a clip's doubt, the largest first."""
    parts = contributions(figures)
    return [
        FIGURES[name].said(figures[name])
        for name, part in parts.items()
        if part >= least
    ]


def _mean(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if mask.size else 0.0


def _short_of_one(scores: FloatArray) -> float:
    known = scores[np.isfinite(scores)]
    return 1.0 - min(float(known.mean()), 1.0) if known.size else 1.0


def _gaps(detected: NDArray[np.bool_]) -> float:
    there = np.flatnonzero(detected)
    return 1.0 - len(there) / int(there[-1] - there[0] + 1) if len(there) else 0.0


def _joint_jumps(
    points: FloatArray, numbers: NDArray[np.int64], diagonal: NDArray[np.float64]
) -> float:
    """Return the share of joints off the line between their neighbours in time; NaN
    coordinates are not looked at."""
    if len(points) < 3:
        return 0.0
    part = ((numbers[1:-1] - numbers[:-2]) / (numbers[2:] - numbers[:-2]))[
        :, None, None
    ]
    between = points[:-2] * (1 - part) + points[2:] * part
    off = np.linalg.norm(points[1:-1] - between, axis=-1) / diagonal[1:-1, None]
    known = np.isfinite(off)
    return float((off[known] > JUMP).mean()) if known.sum() >= _MIN_STEPS else 0.0


def _limb_spread(points: FloatArray) -> float:
    ends = np.array(LIMBS)
    lengths = np.linalg.norm(points[:, ends[:, 0]] - points[:, ends[:, 1]], axis=-1)
    spreads = []
    for length in np.log(np.maximum(lengths, 1e-3)).T:
        known = length[np.isfinite(length)]
        if len(known) >= _MIN_STEPS:
            spreads.append(1.48 * np.median(np.abs(known - np.median(known))))
    return float(np.median(spreads)) if spreads else 0.0


QUALITY_COLUMNS = (
    "frames",
    "detected_share",
    "mean_score",
    "interpolated_share",
    "nan_share",
    "longest_gap",
    "track_jumps",
    "swapped_joints",
    "swapped_frames",
    "outliers",
    "interpolated",
)


def measure(sequence: SkeletonSequence) -> dict[str, float | int | None]:
    """Return the figures of :data:`QUALITY_COLUMNS`; shares are of frames or of joints,
    None = nothing observed.

    The longest gap counts samples in a row in which no joint was observed. What the
    repair did is counted in frames of the source, of which a sample can be a
    repetition.
    """
    observed = (sequence.state & JointState.OBSERVED) > 0
    interpolated = (sequence.state & JointState.INTERPOLATED) > 0
    _, rows = np.unique(sequence.frame_index, return_index=True)
    once = BoxTrack(
        sequence.track.boxes[rows],
        sequence.track.scores[rows],
        sequence.track.state[rows],
    )
    return {
        "frames": len(sequence),
        "detected_share": _share(sequence.track.state == BoxState.DETECTED),
        "mean_score": round(float(sequence.scores[observed].mean()), 4)
        if observed.any()
        else None,
        "interpolated_share": _share(interpolated),
        "nan_share": _share(~is_complete(sequence.keypoints)),
        "longest_gap": _longest_run(np.asarray(~observed.any(axis=1))),
        "track_jumps": count_jumps(once, sequence.frame_index[rows]),
        **count_repairs(sequence.state[rows]),
    }


def _share(mask: NDArray[np.bool_]) -> float:
    return round(float(mask.mean()), 4)


def _longest_run(mask: NDArray[np.bool_]) -> int:
    edges = np.flatnonzero(
        np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))
    )
    return int((edges[1::2] - edges[::2]).max(initial=0))
