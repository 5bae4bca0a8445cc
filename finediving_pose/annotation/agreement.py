"""Agreement of two annotators' labels of the same images: by joint, by body, by bounding
box, by stage and by body angle.

Definitions, for joint j of an image that both labelled (visible or occluded):

- distance d: Euclidean, px of the image. In head sizes: d / h, h the mean of both labels'
  length from head top to upper neck; unknown where neither labelled them.
- PCKh@t: the share of joints with d ≤ t·h. Joints that only one annotator labelled are
  counted apart, not as misses.
- size s: the square root of the mean area of both bounding boxes; of the box around the
  joints where none was drawn.
- OKS (COCO): the mean over joints of exp(−d² / (2·s²·k_j²)), k_j twice
  :data:`skeleton.OKS_SIGMAS`.
- swapped sides: see :mod:`annotator_swaps`. Their share of the disagreement is told of
  squared distances in units of s²: 1 − Σ d'² / s² / Σ d² / s², d' after swapping them
  back, over all joints of all images.
- body angle: of the trunk, pelvis to thorax, mean of both labels, against the vertical:
  0° upright, 180° upside down; below 60° ``upright``, up to 120° ``tilted``, above
  ``inverted``.
- box IoU: intersection over union of both bounding boxes.
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
    swap_pairs,
)
from finediving_pose.annotation.joint_sigmas import SuggestedSigma, suggest_sigmas
from finediving_pose.annotation.label_swaps import ARMS, LEGS, describe_sides
from finediving_pose.boxes import compute_iou, enclose_joints
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.keypoint_metrics import compute_oks, compute_pck, measure_head
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
        """Return the spread of distances of any shape, NaN = unknown."""
        known = values[np.isfinite(values)]
        if not len(known):
            return cls(float("nan"), float("nan"), float("nan"))
        return cls(
            float(np.median(known)),
            float(known.mean()),
            float(np.percentile(known, 95)),
        )

    def as_dict(self) -> dict[str, float | None]:
        """Return JSON types; what is unknown is None."""
        return {
            "median": _round_known(self.median),
            "mean": _round_known(self.mean),
            "p95": _round_known(self.p95),
        }


@dataclass(frozen=True)
class AgreementMetrics:
    """Agreement of the labels in a group of images, or at one joint.

    Attributes:
        name: Of the group or joint.
        images: How many images.
        joints: How many joints both labelled.
        only_a, only_b: How many only one labelled.
        occlusion: How many both labelled, one as occluded and the other not.
        swapped: How many images have swapped sides; at one joint: how many labels.
        px: Distances in px.
        heads: Distances in head sizes.
        loose, strict: PCKh@0.5 and PCKh@0.1.
        oks: Mean over images.
        iou: Of the bounding boxes, mean over images; NaN at one joint.
        unswapped: Mean distance in px after swapped sides are undone.
    """

    name: str
    images: int
    joints: int
    only_a: int
    only_b: int
    occlusion: int
    swapped: int
    px: DistanceSpread
    heads: DistanceSpread
    loose: float
    strict: float
    oks: float
    iou: float
    unswapped: float

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types; what is unknown is None."""
        return {
            "name": self.name,
            "images": self.images,
            "joints": self.joints,
            "only_a": self.only_a,
            "only_b": self.only_b,
            "occlusion": self.occlusion,
            "exchanged": self.swapped,
            "px": self.px.as_dict(),
            "heads": self.heads.as_dict(),
            "loose": _round_known(self.loose),
            "strict": _round_known(self.strict),
            "oks": _round_known(self.oks),
            "iou": _round_known(self.iou),
            "unexchanged": _round_known(self.unswapped),
        }


@dataclass(frozen=True)
class Agreement:
    """Two annotators' labels of N images, side by side.

    Attributes:
        pairs: Both labels of each image.
        only_a, only_b: Images that one of them labelled.
        ambiguous: Images left out, for one of them has several athletes there.
        stages: (N,) names; empty where unknown.
        a, b: (N, 16, 2) px, NaN = not labelled.
        head, size: (N,) px, see the top of this module; NaN where unknown.
        angle: (N,) degrees, NaN where unknown.
        swapped: (N, 6) True where a pair of FLIP_PAIRS has its sides swapped.
        iou: (N,) of the bounding boxes, NaN where one drew none.
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
    swapped: NDArray[np.bool_]
    iou: FloatArray

    def __len__(self) -> int:
        return len(self.pairs)

    @cached_property
    def distance(self) -> FloatArray:
        """(N, 16) px, NaN where not both labelled the joint."""
        return np.sqrt(measure_squared_distances(self.a, self.b))

    @cached_property
    def unswapped(self) -> FloatArray:
        """(N, 16) px, the distance after swapped sides are undone."""
        corrected = swap_pairs(self.b, self.swapped)
        return np.sqrt(measure_squared_distances(self.a, corrected))

    @cached_property
    def oks(self) -> FloatArray:
        """(N,) object keypoint similarity; NaN where unknown."""
        return compute_oks(self.a, self.b, self._both, self.size**2)

    @cached_property
    def error(self) -> FloatArray:
        """(N,) root mean square of d/s: what images are ranked by; NaN where nothing
        can be compared."""
        relative = (self.distance / self.size[:, None]) ** 2
        return np.sqrt(_average_known(relative, axis=1))

    @property
    def swapped_share(self) -> float:
        """Share of the squared distance that swapped sides are; NaN where labels do not
        differ."""
        before = np.nansum((self.distance / self.size[:, None]) ** 2)
        after = np.nansum((self.unswapped / self.size[:, None]) ** 2)
        if before == 0:
            return float("nan")
        return float(1 - after / before)

    def rank_worst(self, count: int) -> list[int]:
        """Return the rows of the images that differ most, the worst first."""
        error = np.nan_to_num(self.error, nan=-1.0)
        order = np.argsort(-error, kind="stable")
        return [int(row) for row in order[:count]]

    def list_swaps(self) -> list[tuple[str, str]]:
        """Return each image with swapped sides, and whose sides they are in words."""
        swaps = []
        for row in np.flatnonzero(self.swapped.any(axis=1)).tolist():
            swaps.append((self.pairs[row][0].image, self.describe_swap(row)))
        return swaps

    def describe_swap(self, row: int) -> str:
        """Return in words which sides are swapped in one image; empty for none."""
        if self.swapped[row].all():
            return describe_sides(FLIP_PAIRS)
        words = []
        for limb in (LEGS, ARMS):
            pairs = tuple(FLIP_PAIRS[pair] for pair in limb if self.swapped[row, pair])
            if pairs:
                words.append(describe_sides(pairs))
        return " and ".join(words)

    def measure_all(self) -> AgreementMetrics:
        """Return the metrics of all images."""
        return self._measure("all", np.ones(len(self), dtype=bool))

    def measure_stages(self) -> list[AgreementMetrics]:
        """Return the metrics of each known stage, in the order in which they first
        occur."""
        stages = np.array(self.stages, dtype=object)
        known = [name for name in dict.fromkeys(self.stages) if name]
        return [self._measure(name, stages == name) for name in known]

    def measure_angles(self) -> list[AgreementMetrics]:
        """Return the metrics of each band of body angles that occurs."""
        bands = []
        low = -1.0
        for name, high in BANDS.items():
            rows = np.asarray((self.angle > low) & (self.angle <= high))
            if rows.any():
                bands.append(self._measure(name, rows))
            low = high
        return bands

    def measure_joints(self) -> list[AgreementMetrics]:
        """Return the metrics of each joint."""
        everywhere = np.ones(len(self), dtype=bool)
        return [
            self._measure(name, everywhere, joint) for joint, name in enumerate(JOINTS)
        ]

    def suggest_sigmas(self, seed: int = 0) -> list[SuggestedSigma]:
        """Return the σ of each joint that these labels suggest."""
        ratio = (self.unswapped / self.size[:, None]) ** 2
        dives = [frame.dive_key for frame, _ in self.pairs]
        return suggest_sigmas(ratio, dives, seed)

    @property
    def _both(self) -> NDArray[np.bool_]:
        """(N, 16) True where both labelled the joint."""
        return np.isfinite(self.distance)

    def _measure(
        self, name: str, rows: NDArray[np.bool_], joint: int | None = None
    ) -> AgreementMetrics:
        """Return the metrics of some images, (N,) True; of one joint or of all."""
        columns = slice(None) if joint is None else slice(joint, joint + 1)
        chosen = np.zeros_like(self._both)
        chosen[rows, columns] = True
        both = chosen & self._both
        known_a = chosen & np.isfinite(self.a[..., 0])
        known_b = chosen & np.isfinite(self.b[..., 0])
        distance = np.where(both, self.distance, np.nan)
        unswapped = np.where(both, self.unswapped, np.nan)
        similarity = compute_oks(self.a, self.b, both, self.size**2)
        iou = float("nan")
        if joint is None:
            iou = float(_average_known(self.iou[rows]))
        return AgreementMetrics(
            name=name,
            images=int(rows.sum()),
            joints=int(both.sum()),
            only_a=int((known_a & ~known_b).sum()),
            only_b=int((known_b & ~known_a).sum()),
            occlusion=int((self._occluded_for_one & both).sum()),
            swapped=int(self._find_swapped_images(joint)[rows].sum()),
            px=DistanceSpread.of(distance),
            heads=DistanceSpread.of(distance / self.head[:, None]),
            loose=compute_pck(self.a, self.b, both, self.head, LOOSE).mean,
            strict=compute_pck(self.a, self.b, both, self.head, STRICT).mean,
            oks=float(_average_known(similarity)),
            iou=iou,
            unswapped=float(_average_known(unswapped)),
        )

    @cached_property
    def _occluded_for_one(self) -> NDArray[np.bool_]:
        """(N, 16) True where one says occluded and the other does not."""
        differs = np.zeros((len(self), NUM_JOINTS), dtype=bool)
        for row, (one, two) in enumerate(self.pairs):
            occluded_in_one = one.visibility == Visibility.OCCLUDED
            occluded_in_two = two.visibility == Visibility.OCCLUDED
            differs[row] = occluded_in_one != occluded_in_two
        return differs

    def _find_swapped_images(self, joint: int | None) -> NDArray[np.bool_]:
        """(N,) True where any pair is swapped, or the one that a joint belongs to."""
        if joint is None:
            return np.asarray(self.swapped.any(axis=1))
        for pair, joints in enumerate(FLIP_PAIRS):
            if joint in joints:
                return self.swapped[:, pair]
        return np.zeros(len(self), dtype=bool)


def compare_labels(
    a: LabelSet, b: LabelSet, stages: Mapping[str, str] | None = None
) -> Agreement:
    """Compare two annotators' labels, image by image.

    Images are the same where their names are; where no name is common, where match,
    dive and frame number are; where those are not either, where the bare file names
    are.

    Args:
        a: One annotator's labels.
        b: The other's.
        stages: Image name to stage; None or left out: unknown.

    Returns:
        Both labels of every common image, and what they were compared by.
    """
    matches = _match_images(a.frames, b.frames)
    stages = stages or {}
    first = [_read_points(one) for one, _ in matches.pairs]
    second = [_read_points(two) for _, two in matches.pairs]
    points_a = np.array(first).reshape(-1, NUM_JOINTS, 2)
    points_b = np.array(second).reshape(-1, NUM_JOINTS, 2)
    size = np.array([_measure_size(one, two) for one, two in matches.pairs])
    heads = np.array([_measure_heads(points_a), _measure_heads(points_b)])
    names = []
    for one, two in matches.pairs:
        names.append(stages.get(one.image) or stages.get(two.image) or "")
    return Agreement(
        pairs=tuple(matches.pairs),
        only_a=tuple(matches.only_a),
        only_b=tuple(matches.only_b),
        ambiguous=tuple(matches.ambiguous),
        stages=tuple(names),
        a=points_a,
        b=points_b,
        head=_average_known(heads, axis=0),
        size=size,
        angle=_measure_angle(points_a, points_b),
        swapped=detect_swapped_pairs(points_a, points_b, size),
        iou=np.array([_measure_iou(one, two) for one, two in matches.pairs]),
    )


Frames = Sequence[LabelledFrame]


@dataclass(frozen=True)
class _Matches:
    """The images of two annotators, paired; the rest by name."""

    pairs: list[tuple[LabelledFrame, LabelledFrame]]
    only_a: list[str]
    only_b: list[str]
    ambiguous: list[str]


def _match_images(a: Frames, b: Frames) -> _Matches:
    keys: tuple[Callable[[LabelledFrame], Hashable], ...] = (
        lambda frame: frame.image,
        _name_moment,
        lambda frame: PurePosixPath(frame.image).name,
    )
    for key in keys:
        frames_a, frames_b = _group_frames(a, key), _group_frames(b, key)
        common = [name for name in frames_a if name in frames_b]
        if common:
            break
    pairs, ambiguous = [], []
    for name in common:
        if len(frames_a[name]) == len(frames_b[name]) == 1:
            pairs.append((frames_a[name][0], frames_b[name][0]))
        else:
            ambiguous.append(frames_a[name][0].image)
    return _Matches(
        pairs,
        only_a=[frame.image for frame in a if key(frame) not in frames_b],
        only_b=[frame.image for frame in b if key(frame) not in frames_a],
        ambiguous=ambiguous,
    )


def _group_frames(
    frames: Frames, key: Callable[[LabelledFrame], Hashable]
) -> dict[Hashable, list[LabelledFrame]]:
    """Return the frames by what `key` calls them; a frame without a name is left out."""
    groups: dict[Hashable, list[LabelledFrame]] = {}
    for frame in frames:
        name = key(frame)
        if name is not None:
            groups.setdefault(name, []).append(frame)
    return groups


def _name_moment(frame: LabelledFrame) -> Hashable:
    """Return match, dive and frame number; None where one of them is unknown."""
    moment = (frame.match, frame.dive, frame.frame)
    return None if None in moment else moment


def _read_points(frame: LabelledFrame) -> FloatArray:
    return np.where(frame.labelled[:, None], frame.keypoints, np.nan)


def _measure_heads(points: FloatArray) -> FloatArray:
    length = measure_head(points)
    return np.where(length > 0, length, np.nan)


def _measure_size(a: LabelledFrame, b: LabelledFrame) -> float:
    """Square root of the mean area of both boxes, else of the boxes around the joints;
    NaN where that is nothing."""
    boxes = [frame.box for frame in (a, b) if frame.box is not None]
    if not boxes:
        boxes = [enclose_joints(frame.keypoints[frame.labelled]) for frame in (a, b)]
    areas = [np.prod(box[2:] - box[:2]) for box in boxes]
    area = float(_average_known(np.array(areas)))
    return float(np.sqrt(area)) if area > 0 else float("nan")


def _measure_angle(a: FloatArray, b: FloatArray) -> FloatArray:
    """(N,) degrees between trunk and vertical, of the mean of both labels' trunks."""
    trunk_a = a[:, INDEX["thorax"]] - a[:, INDEX["pelvis"]]
    trunk_b = b[:, INDEX["thorax"]] - b[:, INDEX["pelvis"]]
    trunk = _average_known(np.array([trunk_a, trunk_b]), axis=0)
    x, y = trunk[:, 0], trunk[:, 1]
    angle = np.degrees(np.arctan2(np.abs(x), -y))  # y points down
    return np.where(np.hypot(x, y) > 0, angle, np.nan)


def _measure_iou(a: LabelledFrame, b: LabelledFrame) -> float:
    if a.box is None or b.box is None:
        return float("nan")
    return float(compute_iou(a.box[None], b.box[None])[0, 0])


def _average_known(values: FloatArray, axis: int | None = None) -> FloatArray:
    """The mean of what is known, without numpy's warning where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    unknown = np.full(np.shape(total), np.nan)
    return np.divide(total, count, out=unknown, where=count > 0)


def _round_known(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None
