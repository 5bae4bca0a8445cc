"""How far two people's labels of the same images agree: joint by joint, as bodies, in
boxes, by stage and body angle.

Definitions, for joint j of an image that both labelled (visible or occluded):

- distance d: Euclidean, px of the image. In head sizes: d / h, h the mean of both labels' length from head top to upper
  neck; unknown where neither labelled them.
- PCKh@t: the share of joints with d ≤ t·h. Joints that only one person labelled are counted apart, not as misses.
- size s: the square root of the mean area of both boxes; of the box around the joints where none was drawn.
- OKS (COCO): the mean over joints of exp(−d² / (2·s²·k_j²)), k_j twice :data:`skeleton.OKS_SIGMAS`.
- exchanged sides: see :mod:`exchanges`. The share of the disagreement that they are is told of squared distances in
  units of s²: 1 − Σ d'² / s² / Σ d² / s², d' after the exchange, over all joints of all images.
- body angle: of the trunk, pelvis to thorax, mean of both labels, against the vertical: 0° upright, 180° upside down;
  below 60° ``upright``, up to 120° ``tilted``, above ``inverted``.
- box IoU: intersection over union of both boxes.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.annotation.annotator_swaps import (
    detect_swapped_pairs,
    measure_squared_distances,
    undo_swaps,
)
from finediving_pose.annotation.joint_sigmas import SuggestedSigma, suggest_sigmas
from finediving_pose.annotation.label_checks import describe_sides
from finediving_pose.annotation.label_swaps import ARMS, LEGS
from finediving_pose.boxes import box_iou
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.keypoint_metrics import head_length, oks, pck
from finediving_pose.records import FloatArray, LabelledFrame, Visibility
from finediving_pose.skeleton import FLIP_PAIRS, INDEX, JOINTS, NUM_JOINTS

LOOSE, STRICT = 0.5, 0.1
"""Thresholds of PCKh."""
BANDS = {"upright": 60.0, "tilted": 120.0, "inverted": 180.0}
"""Body angles in degrees: up to which each band reaches."""


@dataclass(frozen=True)
class DistanceSpread:
    """Median, mean and 95th percentile of distances; NaN without any."""

    median: float
    mean: float
    p95: float

    @classmethod
    def of(cls, values: FloatArray) -> DistanceSpread:
        known = values[np.isfinite(values)]
        if not len(known):
            return cls(*[float("nan")] * 3)
        return cls(
            float(np.median(known)),
            float(known.mean()),
            float(np.percentile(known, 95)),
        )

    def as_dict(self) -> dict[str, float | None]:
        """Return JSON types."""
        return {name: _plain(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class AgreementMetrics:
    """How far labels agree in a group of images, or at one joint.

    Attributes:
        name: Of the group or joint.
        images: How many images.
        joints: How many joints both labelled.
        only_a, only_b: How many only one labelled.
        occlusion: How many both labelled, one as occluded and the other not.
        exchanged: How many images, at one joint: how many labels, have sides exchanged.
        px: Distances in px.
        heads: Distances in head sizes.
        loose, strict: PCKh@0.5 and PCKh@0.1.
        oks: Mean over images.
        iou: Of the boxes, mean over images; NaN at one joint.
        unexchanged: Mean distance in px after exchanged sides are undone.
    """

    name: str
    images: int
    joints: int
    only_a: int
    only_b: int
    occlusion: int
    exchanged: int
    px: DistanceSpread
    heads: DistanceSpread
    loose: float
    strict: float
    oks: float
    iou: float
    unexchanged: float

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types; what is unknown is None."""
        spreads = {"px": self.px.as_dict(), "heads": self.heads.as_dict()}
        return {name: _plain(value) for name, value in vars(self).items()} | spreads


@dataclass(frozen=True)
class Agreement:
    """Two people's labels of N images, side by side.

    Attributes:
        pairs: Both labels of each image.
        only_a, only_b: Images that one of them labelled.
        ambiguous: Images left out, for one of them has several athletes there.
        stages: (N,) names; empty where unknown.
        a, b: (N, 16, 2) px, NaN = not labelled.
        head, size: (N,) px, see the top of this file; NaN where unknown.
        angle: (N,) degrees, NaN where unknown.
        exchanged: (N, 6) True where a pair of FLIP_PAIRS has its sides exchanged.
        iou: (N,) of the boxes, NaN where one drew none.
    """

    pairs: tuple[tuple[LabelledFrame, LabelledFrame], ...]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    ambiguous: tuple[str, ...]
    stages: tuple[str, ...]
    a: FloatArray
    b: FloatArray
    head: FloatArray
    size: FloatArray
    angle: FloatArray
    exchanged: NDArray[np.bool_]
    iou: FloatArray

    def __len__(self) -> int:
        return len(self.pairs)

    @cached_property
    def distance(self) -> FloatArray:
        """(N, 16) px, NaN where not both labelled the joint."""
        return np.sqrt(measure_squared_distances(self.a, self.b))

    @cached_property
    def unexchanged(self) -> FloatArray:
        """(N, 16) px, the same after exchanged sides are undone."""
        return np.sqrt(
            measure_squared_distances(self.a, undo_swaps(self.b, self.exchanged))
        )

    @cached_property
    def oks(self) -> FloatArray:
        """(N,) object keypoint similarity; NaN where unknown."""
        return oks(self.a, self.b, self._both, self.size**2)

    @cached_property
    def error(self) -> FloatArray:
        """(N,) root mean square of d/s: what images are ranked by; NaN where nothing
        can be compared."""
        relative = (self.distance / self.size[:, None]) ** 2
        return np.sqrt(_mean(relative, axis=1))

    @property
    def swapped_share(self) -> float:
        """Share of the squared distance that exchanged sides are; NaN where labels do
        not differ."""
        before = np.nansum((self.distance / self.size[:, None]) ** 2)
        after = np.nansum((self.unexchanged / self.size[:, None]) ** 2)
        return float(1 - after / before) if before > 0 else float("nan")

    def rank_worst(self, count: int) -> list[int]:
        """Return the rows of the images that differ most, the worst first."""
        order = np.argsort(-np.nan_to_num(self.error, nan=-1.0), kind="stable")
        return [int(row) for row in order[:count]]

    def list_swaps(self) -> list[tuple[str, str]]:
        """Return each image with exchanged sides, and whose sides they are in words."""
        rows = np.flatnonzero(self.exchanged.any(axis=1)).tolist()
        return [(self.pairs[row][0].image, self.describe_swap(row)) for row in rows]

    def describe_swap(self, row: int) -> str:
        """Return in words which sides one image has exchanged; empty for none."""
        if self.exchanged[row].all():
            return describe_sides(FLIP_PAIRS)
        limbs = [
            tuple(FLIP_PAIRS[pair] for pair in limb if self.exchanged[row, pair])
            for limb in (LEGS, ARMS)
        ]
        return " and ".join(describe_sides(pairs) for pairs in limbs if pairs)

    def measure_all(self) -> AgreementMetrics:
        """Return the figures of all images."""
        return self._figures("all", np.ones(len(self), dtype=bool))

    def measure_stages(self) -> list[AgreementMetrics]:
        """Return the figures of each known stage, in the order in which they first
        occur."""
        names = np.array(self.stages, dtype=object)
        return [
            self._figures(name, names == name)
            for name in dict.fromkeys(self.stages)
            if name
        ]

    def measure_angles(self) -> list[AgreementMetrics]:
        """Return the figures of each band of body angles that occurs."""
        bands, low = [], -1.0
        for name, high in BANDS.items():
            rows = np.asarray((self.angle > low) & (self.angle <= high))
            bands += [self._figures(name, rows)] if rows.any() else []
            low = high
        return bands

    def measure_joints(self) -> list[AgreementMetrics]:
        """Return the figures of each joint."""
        everywhere = np.ones(len(self), dtype=bool)
        return [
            self._figures(name, everywhere, joint) for joint, name in enumerate(JOINTS)
        ]

    def suggest_sigmas(self, seed: int = 0) -> list[SuggestedSigma]:
        """Return the σ of each joint that these labels suggest."""
        ratio = (self.unexchanged / self.size[:, None]) ** 2
        return suggest_sigmas(ratio, [a.dive_key for a, _ in self.pairs], seed)

    @property
    def _both(self) -> NDArray[np.bool_]:
        return np.isfinite(self.distance)

    def _figures(
        self, name: str, rows: NDArray[np.bool_], joint: int | None = None
    ) -> AgreementMetrics:
        columns = slice(None) if joint is None else slice(joint, joint + 1)
        both = np.zeros_like(self._both)
        both[rows, columns] = self._both[rows, columns]
        distance = np.where(both, self.distance, np.nan)
        known_a, known_b = (
            np.isfinite(points[rows, columns, 0]) for points in (self.a, self.b)
        )
        return AgreementMetrics(
            name=name,
            images=int(rows.sum()),
            joints=int(both.sum()),
            only_a=int((known_a & ~known_b).sum()),
            only_b=int((known_b & ~known_a).sum()),
            occlusion=int((self._hidden & both).sum()),
            exchanged=int(self._exchanged_labels(joint)[rows].sum()),
            px=DistanceSpread.of(distance),
            heads=DistanceSpread.of(distance / self.head[:, None]),
            loose=pck(self.a, self.b, both, self.head, LOOSE).mean,
            strict=pck(self.a, self.b, both, self.head, STRICT).mean,
            oks=float(_mean(oks(self.a, self.b, both, self.size**2))),
            iou=float(_mean(self.iou[rows])) if joint is None else float("nan"),
            unexchanged=float(_mean(np.where(both, self.unexchanged, np.nan))),
        )

    @cached_property
    def _hidden(self) -> NDArray[np.bool_]:
        """(N, 16) True where one says occluded and the other does not."""
        flags = np.array(
            [
                [frame.visibility == Visibility.OCCLUDED for frame in pair]
                for pair in self.pairs
            ]
        )
        flags = flags.reshape(-1, 2, NUM_JOINTS)
        return np.asarray(flags[:, 0] != flags[:, 1])

    def _exchanged_labels(self, joint: int | None) -> NDArray[np.bool_]:
        if joint is None:
            return np.asarray(self.exchanged.any(axis=1))
        pair = next(
            (number for number, joints in enumerate(FLIP_PAIRS) if joint in joints),
            None,
        )
        return (
            np.zeros(len(self), dtype=bool) if pair is None else self.exchanged[:, pair]
        )


def compare_labels(
    a: LabelSet, b: LabelSet, stages: Mapping[str, str] | None = None
) -> Agreement:
    """Compare two people's labels, image by image.

    Images are the same where their names are; where no name is common, where match,
    dive and frame number are; where those are not either, where the bare file names
    are.

    Args:
        a: One person's labels.
        b: The other's.
        stages: Image name to stage; None or left out: unknown.
    """
    pairs, only_a, only_b, ambiguous = _matched(a.frames, b.frames)
    stages = stages or {}
    points_a = np.array([_points(one) for one, _ in pairs]).reshape(-1, NUM_JOINTS, 2)
    points_b = np.array([_points(two) for _, two in pairs]).reshape(-1, NUM_JOINTS, 2)
    size = np.array([_size(one, two) for one, two in pairs])
    head = _mean(np.array([_head(points_a), _head(points_b)]), axis=0)
    return Agreement(
        pairs=tuple(pairs),
        only_a=tuple(only_a),
        only_b=tuple(only_b),
        ambiguous=tuple(ambiguous),
        stages=tuple(
            stages.get(one.image) or stages.get(two.image) or "" for one, two in pairs
        ),
        a=points_a,
        b=points_b,
        head=head,
        size=size,
        angle=_angle(points_a, points_b),
        exchanged=detect_swapped_pairs(points_a, points_b, size),
        iou=np.array([_iou(one, two) for one, two in pairs]),
    )


Frames = Sequence[LabelledFrame]


def _matched(
    a: Frames, b: Frames
) -> tuple[list[tuple[LabelledFrame, LabelledFrame]], list[str], list[str], list[str]]:
    keys: tuple[Callable[[LabelledFrame], Hashable], ...] = (
        lambda frame: frame.image,
        _of_dive,
        _bare_name,
    )
    for key in keys:
        ours, theirs = _by(a, key), _by(b, key)
        common = [name for name in ours if name in theirs]
        if common:
            break
    else:
        return [], [frame.image for frame in a], [frame.image for frame in b], []
    single = [name for name in common if len(ours[name]) == len(theirs[name]) == 1]
    several = [
        ours[name][0].image
        for name in common
        if len(ours[name]) + len(theirs[name]) > 2
    ]
    only_a = [frame.image for frame in a if key(frame) not in theirs]
    only_b = [frame.image for frame in b if key(frame) not in ours]
    return (
        [(ours[name][0], theirs[name][0]) for name in single],
        only_a,
        only_b,
        several,
    )


def _by(
    frames: Frames, key: Callable[[LabelledFrame], Hashable]
) -> dict[Hashable, list[LabelledFrame]]:
    found: dict[Hashable, list[LabelledFrame]] = {}
    for frame in frames:
        name = key(frame)
        if name is not None:
            found.setdefault(name, []).append(frame)
    return found


def _of_dive(frame: LabelledFrame) -> Hashable:
    known = (
        frame.match is not None and frame.dive is not None and frame.frame is not None
    )
    return (frame.match, frame.dive, frame.frame) if known else None


def _bare_name(frame: LabelledFrame) -> Hashable:
    return PurePosixPath(frame.image).name


def _points(frame: LabelledFrame) -> FloatArray:
    return np.where(frame.labelled[:, None], frame.keypoints, np.nan)


def _head(points: FloatArray) -> FloatArray:
    length = head_length(points)
    return np.where(length > 0, length, np.nan)


def _size(a: LabelledFrame, b: LabelledFrame) -> float:
    """Square root of the mean area of both boxes, else of the boxes around the joints;
    NaN where that is nothing."""
    boxes = [frame.box for frame in (a, b) if frame.box is not None] or [
        _hull(a),
        _hull(b),
    ]
    area = float(_mean(np.array([np.prod(box[2:] - box[:2]) for box in boxes])))
    return float(np.sqrt(area)) if area > 0 else float("nan")


def _hull(frame: LabelledFrame) -> FloatArray:
    points = frame.keypoints[frame.labelled]
    if not len(points):
        return np.full(4, np.nan)
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def _angle(a: FloatArray, b: FloatArray) -> FloatArray:
    trunks = np.array(
        [points[:, INDEX["thorax"]] - points[:, INDEX["pelvis"]] for points in (a, b)]
    )
    x, y = np.moveaxis(_mean(trunks, axis=0), -1, 0)
    known = np.hypot(x, y) > 0
    return np.where(
        known, np.degrees(np.arctan2(np.abs(x), -y)), np.nan
    )  # y points down


def _iou(a: LabelledFrame, b: LabelledFrame) -> float:
    if a.box is None or b.box is None:
        return float("nan")
    return float(box_iou(a.box[None], b.box[None])[0, 0])


def _mean(values: FloatArray, axis: int | None = None) -> FloatArray:
    """The mean of what is known, without numpy's warning where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.divide(
        total, count, out=np.full(np.shape(total), np.nan), where=count > 0
    )


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4) if np.isfinite(value) else None
    return value
