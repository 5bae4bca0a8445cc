"""Following the athlete from frame to frame among everyone a detector finds.

Distances between boxes are eq. 25 of the paper, the Euclidean distance of their four coordinates, here in
diagonals of the athlete's box, so that they mean the same in any resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finediving_pose.config import nearest
from finediving_pose.console import UsageError
from finediving_pose.extraction.interpolation import fill_gaps
from finediving_pose.extraction.path_tracking import cheapest_path
from finediving_pose.extraction.settings import TrackingSettings
from finediving_pose.keypoint_metrics import box_iou
from finediving_pose.records import BoxState, BoxTrack, Detections, FloatArray

SEED_IOU = 0.3
"""A detection that overlaps the seed box at least this much is the athlete."""
MIN_LINKS = 2
"""Links between two frames from which their median says how the camera moved."""


@dataclass(frozen=True)
class Seed:
    """Where the athlete is known to be: the frame's number in its source, and the (4,) px box."""

    frame: int
    box: FloatArray


Tracker = Callable[[Sequence[Detections], NDArray[np.int64], TrackingSettings, Seed | None], BoxTrack]


def track(
    detections: Sequence[Detections],
    frame_index: NDArray[np.int64],
    settings: TrackingSettings,
    seed: Seed | None = None,
) -> BoxTrack:
    """Follow one person with the tracker that the settings name; boxes are as detected, with gaps.

    Args:
        detections: Who was found in each of T frames.
        frame_index: (T,) strictly increasing numbers of these frames.
        settings: See :class:`TrackingSettings`.
        seed: Whom to follow; None = the largest confident moving person.

    Raises:
        UsageError: If no tracker has that name.
    """
    tracker = TRACKERS.get(settings.tracker)
    if tracker is None:
        raise UsageError(f"no tracker named {settings.tracker!r}{nearest(settings.tracker, TRACKERS)}")
    usable = [_usable(found, settings.min_box_score) for found in detections]
    return tracker(usable, frame_index, settings, seed)


def without(detections: Sequence[Detections], taken: BoxTrack) -> list[Detections]:
    """Return the detections that are not the tracked person's, for a second track on what is left."""
    left = []
    for found, box in zip(detections, taken.boxes, strict=True):
        keep = (found.boxes != box).any(axis=1)
        left.append(Detections(found.boxes[keep], found.scores[keep]))
    return left


def fill_track(path: BoxTrack, frame_index: NDArray[np.int64], max_gap: int) -> BoxTrack:
    """Fill gaps of up to `max_gap` frames between two boxes of a track linearly, marked as filled."""
    boxes, filled = fill_gaps(path.boxes[:, None], frame_index, max_gap)
    state = np.where(filled[:, 0], np.uint8(BoxState.FILLED), path.state)
    return BoxTrack(boxes[:, 0], path.scores, state)


def count_jumps(path: BoxTrack, frame_index: NDArray[np.int64]) -> int:
    """Count the steps between boxes that are far for a body in flight: over half a diagonal for each frame (eq. 25)."""
    rows = np.flatnonzero(np.isfinite(path.boxes[:, 0]))
    if len(rows) < 2:
        return 0
    boxes = path.boxes[rows]
    speed = _distance(boxes[:-1], boxes[1:]) / _diagonal(boxes[:-1]) / np.diff(frame_index[rows])
    return int((speed > 0.5).sum())


def track_nearest(
    detections: Sequence[Detections], frame_index: NDArray[np.int64], settings: TrackingSettings, seed: Seed | None
) -> BoxTrack:
    """Follow the nearest box, forwards and backwards from the seed, as the paper does.

    From the last chosen box to each candidate the cost is ``dis / diagonal + w·(1 − confidence)``, dis as in
    eq. 25; the cheapest candidate nearer than ``max_jump·√(frames since the last box)`` diagonals is chosen.
    A frame without one stays empty, and the track ends where `max_absence` frames have none.
    """
    frames = len(detections)
    boxes, scores, state = _nobody(frames)
    start = _given_start(detections, frame_index, seed) if seed else _moving_start(detections, frame_index, settings)
    if start is None:
        return BoxTrack(boxes, scores, state)
    if start.candidate is not None:
        _choose(boxes, scores, state, start.row, detections[start.row], start.candidate)
    elif seed is not None and frame_index[start.row] == seed.frame:
        boxes[start.row], state[start.row] = seed.box, BoxState.FILLED
    for rows in (range(start.row + 1, frames), range(start.row - 1, -1, -1)):
        last, since = start.box, int(frame_index[start.row])
        for row in rows:
            gap = abs(int(frame_index[row]) - since)
            if gap > settings.max_absence:
                break
            candidate = _nearest(last, detections[row], gap, settings)
            if candidate is not None:
                _choose(boxes, scores, state, row, detections[row], candidate)
                last, since = boxes[row], int(frame_index[row])
    return BoxTrack(boxes, scores, state)


def track_path(
    detections: Sequence[Detections], frame_index: NDArray[np.int64], settings: TrackingSettings, seed: Seed | None
) -> BoxTrack:
    """Follow the cheapest path over the whole clip, see :mod:`.path_tracking`; it goes through the seed's box.

    A seed that nobody was detected at stands for itself, as in :func:`track_nearest`.
    """
    start = _given_start(detections, frame_index, seed) if seed else None
    fixed = None
    everyone = list(detections)
    if start is not None:
        found = everyone[start.row]
        fixed = start.row, len(found.boxes) if start.candidate is None else start.candidate
        if start.candidate is None:
            boxes, sure = np.concatenate([found.boxes, start.box[None]]), np.append(found.scores, np.float32(1))
            everyone[start.row] = Detections(boxes, sure)
    boxes, scores, state = _nobody(len(detections))
    for row, n in enumerate(cheapest_path(everyone, frame_index, settings, fixed)):
        if n is not None and n < len(detections[row].boxes):
            _choose(boxes, scores, state, row, detections[row], n)
    if start is not None and start.candidate is None and seed is not None and frame_index[start.row] == seed.frame:
        boxes[start.row], state[start.row] = seed.box, BoxState.FILLED
    return BoxTrack(boxes, scores, state)


TRACKERS: dict[str, Tracker] = {"nearest": track_nearest, "path": track_path}


@dataclass(frozen=True)
class _Start:
    """Where a track starts: the row, the box, and which detection it is (None = the seed's own box)."""

    row: int
    box: FloatArray
    candidate: int | None


def _given_start(detections: Sequence[Detections], frame_index: NDArray[np.int64], seed: Seed) -> _Start | None:
    if not len(frame_index):
        return None
    row = int(np.abs(frame_index - seed.frame).argmin())
    overlap = box_iou(detections[row].boxes, seed.box[None])[:, 0]
    if len(overlap) and overlap.max() >= SEED_IOU:
        best = int(overlap.argmax())
        return _Start(row, detections[row].boxes[best], best)
    return _Start(row, np.asarray(seed.box, np.float32), None)


def _moving_start(
    detections: Sequence[Detections], frame_index: NDArray[np.int64], settings: TrackingSettings
) -> _Start | None:
    """Start at the largest confident moving person.

    Boxes that are each other's nearest in neighbouring frames are linked into short tracks. The median shift of
    all links between two frames is the camera's own; what remains, shift and change of shape, is a person's
    speed. The short track with the largest sum of ``confidence · diagonal · min(1, speed / moving_speed)²`` is
    the athlete: a large and confident judge who sits still loses against a small diver in flight, also where
    the camera follows the diver. With only two people the median is the mean, both have the same shift against
    it, and their sizes and shapes decide.
    """
    chains = _linked(detections, frame_index, settings)
    if not chains:
        return None

    def weight(node: tuple[int, int]) -> float:
        row, n = node
        return float(detections[row].scores[n] * _diagonal(detections[row].boxes[n]))

    def rank(chain: _Chain) -> float:
        moving = max(0.01, min(1.0, chain.speed / settings.moving_speed) ** 2)
        return moving * sum(weight(node) for node in chain.nodes)

    row, n = max(max(chains, key=rank).nodes, key=weight)
    return _Start(row, detections[row].boxes[n], n)


@dataclass
class _Chain:
    nodes: list[tuple[int, int]]
    speeds: list[float]

    @property
    def speed(self) -> float:
        """Mean speed against the camera, in box diagonals a frame."""
        return float(np.mean(self.speeds)) if self.speeds else 0.0


def _linked(
    detections: Sequence[Detections], frame_index: NDArray[np.int64], settings: TrackingSettings
) -> list[_Chain]:
    chains: list[_Chain] = []
    open_chains: dict[int, _Chain] = {}
    for row, found in enumerate(detections):
        following: dict[int, _Chain] = {}
        if row:
            step = int(frame_index[row] - frame_index[row - 1])
            for a, b, speed in _links(detections[row - 1].boxes, found.boxes, step, settings.max_jump):
                chain = open_chains[a]
                chain.nodes.append((row, b))
                chain.speeds.append(speed)
                following[b] = chain
        for n in range(len(found.boxes)):
            if n not in following:
                following[n] = _Chain([(row, n)], [])
                chains.append(following[n])
        open_chains = following
    return chains


def _links(before: FloatArray, after: FloatArray, step: int, max_jump: float) -> list[tuple[int, int, float]]:
    """Return (index before, index after, speed against the camera) of boxes that are each other's nearest."""
    if not len(before) or not len(after):
        return []
    distance = _distance(before[:, None], after[None]) / _diagonal(before)[:, None]
    pairs = [
        (a, int(b))
        for a, b in enumerate(distance.argmin(axis=1))
        if distance[:, b].argmin() == a and distance[a, b] <= max_jump * np.sqrt(step)
    ]
    if not pairs:
        return []
    a, b = np.array(pairs).T
    change = after[b] - before[a]
    camera = np.median((change[:, :2] + change[:, 2:]) / 2, axis=0) if len(pairs) >= MIN_LINKS else np.zeros(2)
    speed = _distance(change, np.tile(camera, 2)) / np.sqrt(2) / _diagonal(before[a]) / step
    return [(i, j, float(s)) for (i, j), s in zip(pairs, speed, strict=True)]


def _nobody(frames: int) -> tuple[FloatArray, FloatArray, NDArray[np.uint8]]:
    """Return boxes, scores and state of a track that has no box in any frame."""
    boxes = np.full((frames, 4), np.nan, np.float32)
    return boxes, np.full(frames, np.nan, np.float32), np.full(frames, BoxState.MISSING, np.uint8)


def _nearest(last: FloatArray, found: Detections, gap: int, settings: TrackingSettings) -> int | None:
    if not len(found.boxes):
        return None
    distance = _distance(last, found.boxes) / _diagonal(last)
    cost = distance + settings.confidence_weight * (1 - found.scores)
    cost[distance > settings.max_jump * np.sqrt(gap)] = np.inf
    best = int(cost.argmin())
    return best if np.isfinite(cost[best]) else None


def _choose(
    boxes: FloatArray, scores: FloatArray, state: NDArray[np.uint8], row: int, found: Detections, candidate: int
) -> None:
    boxes[row], scores[row], state[row] = found.boxes[candidate], found.scores[candidate], BoxState.DETECTED


def _usable(found: Detections, min_score: float) -> Detections:
    """Leave out weak boxes, and those no one can stand in: not finite, or less than a pixel wide or high."""
    boxes = np.asarray(found.boxes, np.float32)
    keep = np.isfinite(boxes).all(axis=1) & (found.scores >= min_score)
    keep &= (boxes[:, 2] - boxes[:, 0] >= 1) & (boxes[:, 3] - boxes[:, 1] >= 1)
    return Detections(boxes[keep], np.asarray(found.scores, np.float32)[keep])


def _distance(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.sqrt(((a - b) ** 2).sum(axis=-1))


def _diagonal(boxes: FloatArray) -> FloatArray:
    return np.hypot(boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1])
