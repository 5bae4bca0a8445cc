"""Quality metrics of a clip's skeletons, measured on the skeletons alone.

:data:`METRICS` is the one list of them: each has one name, one definition and one
denominator. *Frames* are those of the source, each once; *samples* are what the
skeleton file holds, in which the frames of a short clip repeat. The list has two views:

- ``quality.csv`` of ``fdpose extract`` has a column for each metric
  (:func:`measure_quality`).
- ``fdpose qc`` takes those with a :class:`Doubt`, turned so that 0 means that nothing
  is odd (:func:`measure_oddities`), and ranks the clips by them.

An oddity x adds ``c = w·x⁴ / (x⁴ + h⁴)`` to the clip's doubt: next to nothing while it
is small, half of its weight w at the value h. The doubt is ``1 − Π(1 − c)`` over all of
them: one that is bad suffices, and several that are middling come to as much.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finediving_pose.boxes import compute_diagonals
from finediving_pose.extraction.interpolation import is_complete
from finediving_pose.extraction.repair import count_repairs
from finediving_pose.extraction.skeleton_assembly import take_rows
from finediving_pose.extraction.track_tools import count_jumps
from finediving_pose.records import BoxState, FloatArray, JointState, SkeletonSequence
from finediving_pose.skeleton import LIMBS

JUMP = 0.25
"""A joint that lies this far, in diagonals of the athlete's box, from between its
neighbours in time has jumped: a body that turns by 36° a frame, as fast as divers do,
bends a wrist's path by a tenth of it."""
LEAST_STEPS = 3
"""Values below which a share of steps or a spread says nothing and is 0."""
DECIMALS = 4
"""Of a value in ``quality.csv``."""

Value = float | int | None
"""What a metric gives; None = there was nothing to measure."""


@dataclass(frozen=True)
class MeasuredClip:
    """A clip as the metrics see it.

    Attributes:
        samples: The sequence as it is written. In a clip shorter than its samples some
            frames of the source stand there several times.
        frames: Each frame of the source once: repeated, they would look like an athlete
            at rest.
    """

    samples: SkeletonSequence
    frames: SkeletonSequence

    @classmethod
    def of(cls, sequence: SkeletonSequence) -> MeasuredClip:
        """Return a sequence as the metrics see it."""
        # The first sample of each frame: those that repeat it say nothing new.
        _, rows = np.unique(sequence.frame_index, return_index=True)
        return cls(sequence, take_rows(sequence, rows.tolist(), {}))


@dataclass(frozen=True)
class Doubt:
    """The part that a metric has in a clip's doubt.

    Attributes:
        reason: What is said of a clip where it is large; ``{}`` takes the metric's
            value.
        half: The oddity that counts half.
        weight: The most it can count, 0 to 1.
        short_of_one: The oddity is what the metric lacks to 1, all of it where there
            was nothing to measure; otherwise it is the metric itself.
        column: The oddity's name in ``qc.csv``, where it is not the metric's.
    """

    reason: str
    half: float
    weight: float = 0.9
    short_of_one: bool = False
    column: str = ""

    def measure_oddity(self, value: Value) -> float:
        """Turn a metric's value so that 0 means that nothing is odd."""
        if not self.short_of_one:
            return float(value or 0.0)
        # A score above 1, as the peak of a heatmap can be, is no negative oddity.
        return 1.0 - min(float(value or 0.0), 1.0)

    def weigh(self, oddity: float) -> float:
        """Return what an oddity adds to the doubt, 0 to the weight."""
        return self.weight * oddity**4 / (oddity**4 + self.half**4)

    def explain(self, oddity: float) -> str:
        """Return the reason with the metric's value in it."""
        value = oddity
        if self.short_of_one:
            value = 1.0 - oddity  # the oddity is what the value lacks to 1
        return self.reason.format(value)


@dataclass(frozen=True)
class Metric:
    """A quality metric of a clip.

    Attributes:
        name: Its column in ``quality.csv``.
        measure: Measures it; its docstring is the definition.
        doubt: Its part in a clip's doubt; None = none.
    """

    name: str
    measure: Callable[[MeasuredClip], Value]
    doubt: Doubt | None = None

    @property
    def definition(self) -> str:
        """What is measured, of what, in one sentence."""
        return " ".join((self.measure.__doc__ or "").split())


def measure_quality(sequence: SkeletonSequence) -> dict[str, Value]:
    """Measure every metric of a clip, rounded as ``quality.csv`` has them."""
    clip = MeasuredClip.of(sequence)
    values: dict[str, Value] = {}
    for metric in METRICS:
        value = metric.measure(clip)
        if isinstance(value, float):
            value = round(value, DECIMALS)
        values[metric.name] = value
    return values


def measure_oddities(sequence: SkeletonSequence) -> dict[str, float]:
    """Measure what is odd in a clip, 0 = nothing, by the names of
    :func:`list_doubts`."""
    clip = MeasuredClip.of(sequence)
    oddities = {}
    for metric in METRICS:
        if metric.doubt is not None:
            value = metric.measure(clip)
            name = metric.doubt.column or metric.name
            oddities[name] = metric.doubt.measure_oddity(value)
    return oddities


def list_doubts() -> dict[str, Doubt]:
    """Return the metrics that have a part in the doubt, by their columns of
    ``qc.csv``."""
    doubts = {}
    for metric in METRICS:
        if metric.doubt is not None:
            doubts[metric.doubt.column or metric.name] = metric.doubt
    return doubts


def weigh_oddities(oddities: Mapping[str, float]) -> dict[str, float]:
    """Return what each oddity adds to the doubt, the largest first."""
    parts = {}
    for name, doubt in list_doubts().items():
        parts[name] = doubt.weigh(oddities[name])
    return dict(sorted(parts.items(), key=lambda part: -part[1]))


def combine_doubt(oddities: Mapping[str, float]) -> float:
    """Return how doubtful a clip is, 0 to 1: it ranks clips, and is no probability of
    anything."""
    # A product, so that one bad metric suffices and good ones do not make up for it.
    trust = [1.0 - part for part in weigh_oddities(oddities).values()]
    return float(1.0 - np.prod(trust))


def explain_doubt(oddities: Mapping[str, float], least: float = 0.2) -> list[str]:
    """Say what makes a clip doubtful, the largest first.

    Args:
        oddities: What :func:`measure_oddities` measured.
        least: What adds less than this to the doubt is left out.
    """
    doubts = list_doubts()
    reasons = []
    for name, part in weigh_oddities(oddities).items():
        if part >= least:
            reasons.append(doubts[name].explain(oddities[name]))
    return reasons


def count_frames(clip: MeasuredClip) -> int:
    """Samples in the skeleton file, counted."""
    return len(clip.samples)


def measure_detected_share(clip: MeasuredClip) -> float:
    """Samples in which the detector found the athlete, of all samples."""
    return _share(_is_detected(clip.samples))


def measure_mean_score(clip: MeasuredClip) -> float | None:
    """Mean score of the joints observed, over frames; empty where there are none."""
    observed = _has_flag(clip.frames, JointState.OBSERVED)
    return _mean_or_none(clip.frames.scores[observed])


def measure_interpolated_share(clip: MeasuredClip) -> float:
    """Joints interpolated, of all joints in all samples."""
    return _share(_has_flag(clip.samples, JointState.INTERPOLATED))


def measure_nan_share(clip: MeasuredClip) -> float:
    """Joints without coordinates, of all joints in all samples."""
    return _share(~is_complete(clip.samples.keypoints))


def count_longest_gap(clip: MeasuredClip) -> int:
    """Longest run of samples in which no joint was observed, counted."""
    unseen = ~_has_flag(clip.samples, JointState.OBSERVED).any(axis=1)
    # Padded, so that a run at either end of the clip has two edges as well.
    padded = np.concatenate([[False], unseen, [False]]).astype(np.int8)
    edges = np.flatnonzero(np.diff(padded))  # begin and end of each run in turn
    return int((edges[1::2] - edges[::2]).max(initial=0))


def count_track_jumps(clip: MeasuredClip) -> int:
    """Steps from box to box that are too far for a body in flight, counted in frames."""
    return count_jumps(clip.frames.track, clip.frames.frame_index)


def count_swapped_joints(clip: MeasuredClip) -> int:
    """Joints whose sides were swapped, counted in frames."""
    return count_repairs(clip.frames.state)["swapped_joints"]


def count_swapped_frames(clip: MeasuredClip) -> int:
    """Frames in which sides were swapped, counted."""
    return count_repairs(clip.frames.state)["swapped_frames"]


def count_outliers(clip: MeasuredClip) -> int:
    """Joints removed as outliers, counted in frames."""
    return count_repairs(clip.frames.state)["outliers"]


def count_interpolated(clip: MeasuredClip) -> int:
    """Joints interpolated, counted in frames."""
    return count_repairs(clip.frames.state)["interpolated"]


def measure_absence(clip: MeasuredClip) -> float:
    """Frames without a box, of all frames: many in a good clip that ends under water."""
    return 1.0 - _share(_has_box(clip.frames))


def measure_gaps(clip: MeasuredClip) -> float:
    """Frames in which the detector missed the athlete, of those from its first to its
    last box."""
    rows = np.flatnonzero(_is_detected(clip.frames))
    if not len(rows):
        return 0.0
    # Before the first and after the last box the athlete may be out of the image.
    return 1.0 - len(rows) / int(rows[-1] - rows[0] + 1)


def measure_filled(clip: MeasuredClip) -> float:
    """Joints interpolated, of the joints in frames with a box."""
    filled = _has_flag(clip.frames, JointState.INTERPOLATED)
    return _share(filled[_has_box(clip.frames)])


def measure_missing(clip: MeasuredClip) -> float:
    """Joints without coordinates, of the joints in frames with a box."""
    missing = ~is_complete(clip.frames.keypoints)
    # Frames without a box lack all of their joints: `absent` counts those already.
    return _share(missing[_has_box(clip.frames)])


def measure_mean_box_score(clip: MeasuredClip) -> float | None:
    """Mean confidence of the detector's boxes, over frames; empty where there are
    none."""
    return _mean_or_none(clip.frames.track.scores[_is_detected(clip.frames)])


def measure_box_jumps(clip: MeasuredClip) -> float:
    """Steps from box to box that are too far for a body in flight, of all such
    steps."""
    # As many steps as boxes have a box before them, over gaps too.
    steps = int(_has_box(clip.frames).sum()) - 1
    return count_track_jumps(clip) / steps if steps > 0 else 0.0


def measure_joint_jumps(clip: MeasuredClip) -> float:
    """Joints far off the line between the frames before and after, of those observed in
    all three."""
    frames = clip.frames
    if len(frames) < 3:
        return 0.0
    # Interpolated joints lie on the line by construction, and would hide jumps.
    observed = _has_flag(frames, JointState.OBSERVED)
    points = np.where(observed[..., None], frames.keypoints, np.nan)
    numbers = frames.frame_index
    # Where between its neighbours in time a frame lies: sampling may be uneven.
    passed = (numbers[1:-1] - numbers[:-2]) / (numbers[2:] - numbers[:-2])
    share = passed[:, None, None]
    between = points[:-2] * (1 - share) + points[2:] * share
    diagonal = compute_diagonals(frames.track.boxes[1:-1]).astype(np.float64)
    # In diagonals of the box, so that near and far divers jump alike.
    off = np.linalg.norm(points[1:-1] - between, axis=-1) / diagonal[:, None]
    known = np.isfinite(off)
    if known.sum() < LEAST_STEPS:
        return 0.0
    return float((off[known] > JUMP).mean())


def measure_limb_spread(clip: MeasuredClip) -> float:
    """Spread of a limb's log length over frames (1.48 median absolute deviations),
    median over limbs."""
    ends = np.array(LIMBS)
    points = clip.frames.keypoints
    lengths = np.linalg.norm(points[:, ends[:, 0]] - points[:, ends[:, 1]], axis=-1)
    spreads = []
    # Logarithms, since limbs that point at the camera shorten by factors; of a limb
    # whose ends fall on one point there is none.
    for length in np.log(np.maximum(lengths, 1e-3)).T:
        known = length[np.isfinite(length)]
        if len(known) >= LEAST_STEPS:
            deviation = np.abs(known - np.median(known))
            # 1.48 makes it the standard deviation of a normal distribution.
            spreads.append(1.48 * np.median(deviation))
    return float(np.median(spreads)) if spreads else 0.0


def measure_swaps(clip: MeasuredClip) -> float:
    """Joints whose sides were swapped, of the joints in frames with a box."""
    swapped = _has_flag(clip.frames, JointState.SIDE_SWAPPED)
    return _share(swapped[_has_box(clip.frames)])


def measure_outlier_share(clip: MeasuredClip) -> float:
    """Joints removed as outliers, of the joints in frames with a box."""
    removed = _has_flag(clip.frames, JointState.OUTLIER_REMOVED)
    return _share(removed[_has_box(clip.frames)])


METRICS: list[Metric] = [
    Metric("frames", count_frames),
    Metric("detected_share", measure_detected_share),
    Metric(
        "mean_score",
        measure_mean_score,
        Doubt(
            "the joints' mean score is {:.2f}",
            half=0.6,
            weight=0.98,
            short_of_one=True,
            column="unsure",
        ),
    ),
    Metric("interpolated_share", measure_interpolated_share),
    Metric("nan_share", measure_nan_share),
    Metric("longest_gap", count_longest_gap),
    Metric("track_jumps", count_track_jumps),
    Metric("swapped_joints", count_swapped_joints),
    Metric("swapped_frames", count_swapped_frames),
    Metric("outliers", count_outliers),
    Metric("interpolated", count_interpolated),
    Metric(
        "absent",
        measure_absence,
        # Good clips that end under water lack the diver for long, too.
        Doubt("no diver in {:.0%} of the frames", half=0.8, weight=0.5),
    ),
    Metric(
        "gaps",
        measure_gaps,
        Doubt(
            "the detector misses the diver in {:.0%} of the frames from the first to "
            "the last with one",
            half=0.4,
        ),
    ),
    Metric(
        "filled", measure_filled, Doubt("{:.0%} of the joints interpolated", half=0.4)
    ),
    Metric(
        "missing",
        measure_missing,
        Doubt("{:.0%} of the joints missing where there is a diver", half=0.3),
    ),
    Metric(
        "mean_box_score",
        measure_mean_box_score,
        Doubt(
            "the mean confidence of the detector's boxes is {:.2f}",
            half=0.6,
            weight=0.98,
            short_of_one=True,
            column="unsure_boxes",
        ),
    ),
    Metric(
        "box_jumps",
        measure_box_jumps,
        Doubt("the box jumps in {:.1%} of its steps", half=0.05, weight=0.5),
    ),
    Metric(
        "joint_jumps",
        measure_joint_jumps,
        Doubt("joints jump in {:.1%} of their steps", half=0.25, weight=0.5),
    ),
    Metric(
        "limb_spread",
        measure_limb_spread,
        Doubt("limb lengths vary by {:.0%} within the clip", half=1.0, weight=0.5),
    ),
    Metric(
        "swaps",
        measure_swaps,
        Doubt("{:.1%} of the joints had left and right swapped", half=0.1),
    ),
    Metric(
        "outlier_share",
        measure_outlier_share,
        Doubt(
            "{:.1%} of the joints were removed as outliers", half=0.3, column="outliers"
        ),
    ),
]
"""Every quality metric; a new one is an entry here.

Halves and weights were set with ``tools/bench_qc.py`` on synthetic meets: what the two
networks think of themselves says most of how wrong a clip is, and so the others count
for little where they are no larger than weak networks have them anyway."""


def _has_box(sequence: SkeletonSequence) -> NDArray[np.bool_]:
    return sequence.track.state != BoxState.MISSING


def _is_detected(sequence: SkeletonSequence) -> NDArray[np.bool_]:
    return sequence.track.state == BoxState.DETECTED


def _has_flag(sequence: SkeletonSequence, flag: JointState) -> NDArray[np.bool_]:
    return (sequence.state & flag) > 0


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.mean()) if mask.size else 0.0


def _mean_or_none(scores: FloatArray) -> float | None:
    known = scores[np.isfinite(scores)]
    return float(known.mean()) if known.size else None
