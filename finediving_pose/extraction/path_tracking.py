"""The cheapest way through all detections of a clip, by dynamic programming.

A path chooses a box in some of the frames, or none at all. It costs, summed up:

* for a chosen box ``confidence_weight·(1 − confidence) + still_weight·(1 − m) − motion_weight·m``, where
  m in [0, 1] says how surely the person moves against the camera's own motion (:func:`motion`);
* from a chosen box to the next one ``dis / diagonal + size_weight·|ln(diagonal ratio)|``, dis as in eq. 25 of the
  paper, the smaller one of that in the picture and that with the camera's motion subtracted; not further than
  ``max_jump·√(frames between)`` and `max_absence` frames apart;
* for a frame without a box `absence_cost` until the last box and `gone_cost` after it, and `gap_cost` whenever the
  person is lost, for some frames or for good.

The path of a diver is a stand, a flight that pays for all of it, and a cheap end under water; a judge who sits
still for a whole clip costs more than no path at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from finediving_pose.extraction.camera_motion import CameraPath, camera_path
from finediving_pose.extraction.settings import TrackingSettings
from finediving_pose.records import Detections, FloatArray

_OFFSETS = (3, 8)
"""Frames, before and after, over which motion is measured: longer than a detector's jitter, shorter than a flight."""
_CONTINUES = 0.6
"""Distance in diagonals within which a person is found again a frame later; a false alarm is not."""
_MOVED = 3.0
"""Frames of full motion below which nobody dives on a path; then it also costs to leave one who stays."""

Fixed = tuple[int, int]
"""The row and the number of a detection that the path must go through."""


def cheapest_path(
    detections: Sequence[Detections],
    frame_index: NDArray[np.int64],
    settings: TrackingSettings,
    fixed: Fixed | None = None,
) -> list[int | None]:
    """Return which detection of each of T frames the cheapest path chooses, None where it has none.

    Args:
        detections: Who was found in each frame, boxes with area.
        frame_index: (T,) strictly increasing frame numbers.
        settings: The costs.
        fixed: What the path must go through.
    """
    camera = camera_path(detections, frame_index)
    moving = motion(detections, frame_index, camera, settings)
    costs = node_costs(detections, moving, settings)
    path = solve(costs, detections, frame_index, camera, settings, fixed)
    if sum(float(moving[row][n]) for row, n in enumerate(path) if n is not None) >= _MOVED:
        return path
    patient = settings.model_copy(update={"gone_cost": settings.absence_cost})
    return solve(costs, detections, frame_index, camera, patient, fixed)


def node_costs(
    detections: Sequence[Detections], moving: Sequence[FloatArray], settings: TrackingSettings
) -> list[FloatArray]:
    """Return what choosing each of a frame's (N,) boxes costs; less than 0 where it pays."""
    return [
        settings.confidence_weight * (1 - found.scores) + settings.still_weight * (1 - m) - settings.motion_weight * m
        for found, m in zip(detections, moving, strict=True)
    ]


def motion(
    detections: Sequence[Detections],
    frame_index: NDArray[np.int64],
    camera: CameraPath,
    settings: TrackingSettings,
) -> list[FloatArray]:
    """Return how surely each of a frame's (N,) people moves in the world, 0..1.

    In the frames 3 to 8 before and after a box is carried along with the camera, and the distance to the nearest
    box there, over the time between, is the slowest speed that explains what is seen. The lower quartile of these,
    which outlasts jitter and drop-outs, by `moving_speed`, squared and at most 1, is the motion: of those who are
    found again close by in the neighbouring frames, for a false alarm moves fastest of all.
    """
    region = _region(detections)
    return [_motion_at(row, detections, frame_index, camera, region, settings) for row in range(len(detections))]


def _motion_at(
    row: int,
    detections: Sequence[Detections],
    frame_index: NDArray[np.int64],
    camera: CameraPath,
    region: FloatArray,
    settings: TrackingSettings,
) -> FloatArray:
    boxes = detections[row].boxes.astype(np.float64)
    apart = np.abs(frame_index - frame_index[row])
    speeds = [
        _slowest(boxes, camera.carried(boxes, row, other), detections[other].boxes, region) / apart[other]
        for other in np.flatnonzero((apart >= _OFFSETS[0]) & (apart <= _OFFSETS[1])).tolist()
    ]
    if not speeds or not len(boxes):
        return np.zeros(len(boxes))
    known = np.array(speeds)
    told = np.isfinite(known).sum(axis=0) >= 2
    speed = np.zeros(len(boxes))
    speed[told] = np.nanquantile(known[:, told], 0.25, axis=0)
    moving = np.minimum(1.0, speed / settings.moving_speed) ** 2
    return np.where(_continues(row, boxes, detections, camera), moving, 0.0)


def _slowest(boxes: FloatArray, carried: FloatArray, others: FloatArray, region: FloatArray) -> FloatArray:
    """Return the (N,) distances in diagonals to whoever is nearest, NaN where the place was not in the picture."""
    middle = (carried[:, :2] + carried[:, 2:]) / 2
    seen = ((middle >= region[:2]) & (middle <= region[2:])).all(axis=1)
    if not len(others):
        return np.full(len(boxes), np.nan)
    distance = (_eq25(carried[:, None], others[None]) / np.sqrt(2)).min(axis=1) / _diagonals(boxes)
    return np.where(seen, distance, np.nan)


def _continues(row: int, boxes: FloatArray, detections: Sequence[Detections], camera: CameraPath) -> NDArray[np.bool_]:
    """(N,) whether a person is found close by in at least two of the two frames before and the two after."""
    found = np.zeros(len(boxes), int)
    for other in (row - 2, row - 1, row + 1, row + 2):
        if 0 <= other < len(detections) and len(detections[other].boxes):
            moved = _moved(boxes, detections[other].boxes, camera, row, other)
            found += (moved.min(axis=1) < _CONTINUES * abs(other - row)).astype(int)
    return found >= 2


def _region(detections: Sequence[Detections]) -> FloatArray:
    """(4,) px in which people are ever found: what of the picture's size the boxes tell."""
    boxes = np.concatenate([found.boxes for found in detections]) if detections else np.zeros((0, 4))
    if not len(boxes):
        return np.zeros(4)
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


@dataclass(frozen=True)
class _Trail:
    """What the cheapest path to each box of a row costs, and the (N,) rows and boxes it comes from, -1 = starts."""

    cost: FloatArray
    row: NDArray[np.int64]
    box: NDArray[np.int64]


def solve(
    costs: Sequence[FloatArray],
    detections: Sequence[Detections],
    frame_index: NDArray[np.int64],
    camera: CameraPath,
    settings: TrackingSettings,
    fixed: Fixed | None = None,
) -> list[int | None]:
    """Return the path that :func:`path_cost` finds cheapest, exactly: O(T·G·N²) for gaps of up to G frames."""
    frames = len(costs)
    trails: list[_Trail] = []
    for row in range(frames):
        cost = np.full(len(costs[row]), np.inf if fixed and row > fixed[0] else row * settings.absence_cost)
        came = _Trail(cost, np.full(len(cost), -1), np.full(len(cost), -1))
        for before in range(row - 1, -1, -1):
            if frame_index[row] - frame_index[before] > settings.max_absence:
                break
            sources, targets = _hopeful(came, trails[before], _gap(row - before - 1, settings))
            if len(sources):
                pair = detections[before].boxes[sources], detections[row].boxes[targets]
                links = _links(pair, (before, row), frame_index, camera, settings)
                _improve(came, trails[before], links, before, sources, targets)
            if fixed and before == fixed[0]:
                break
        total = came.cost + costs[row]
        if fixed and row == fixed[0]:
            total[np.arange(len(total)) != fixed[1]] = np.inf
        trails.append(_Trail(total, came.row, came.box))
    return _backwards(trails, settings, fixed)


def path_cost(
    path: Sequence[int | None],
    costs: Sequence[FloatArray],
    detections: Sequence[Detections],
    frame_index: NDArray[np.int64],
    camera: CameraPath,
    settings: TrackingSettings,
) -> float:
    """Return what a path costs, infinite where it goes too far; :func:`solve` finds the cheapest."""
    chosen = [(row, n) for row, n in enumerate(path) if n is not None]
    if not chosen:
        return len(path) * settings.gone_cost
    total = chosen[0][0] * settings.absence_cost + _ending(len(path) - 1 - chosen[-1][0], settings)
    total += sum(float(costs[row][n]) for row, n in chosen)
    for (before, a), (row, b) in pairwise(chosen):
        if frame_index[row] - frame_index[before] > settings.max_absence:
            return np.inf
        pair = detections[before].boxes[a, None], detections[row].boxes[b, None]
        total += float(_links(pair, (before, row), frame_index, camera, settings)[0, 0])
    return total


def _hopeful(came: _Trail, trail: _Trail, gap: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the boxes of an earlier row from which, and those of a row to which, a path might yet be cheaper."""
    if not len(trail.cost) or not len(came.cost):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    sources = np.flatnonzero(trail.cost + gap < came.cost.max())
    targets = np.flatnonzero(came.cost > trail.cost.min() + gap)
    return sources, targets


def _gap(lost: int, settings: TrackingSettings) -> float:
    """Return what it costs to find nobody in so many frames between two boxes."""
    return lost * settings.absence_cost + (settings.gap_cost if lost else 0.0)


def _links(
    pair: tuple[FloatArray, FloatArray],
    rows: tuple[int, int],
    frame_index: NDArray[np.int64],
    camera: CameraPath,
    settings: TrackingSettings,
) -> FloatArray:
    """(N, M): what going from each box (N, 4) of a row to each (M, 4) of a later one costs, those between included."""
    a, b = pair
    distance = _moved(a, b, camera, *rows)
    change = np.abs(np.log(_diagonals(b) / _diagonals(a)[:, None]))
    reach = settings.max_jump * np.sqrt(frame_index[rows[1]] - frame_index[rows[0]])
    gap = _gap(rows[1] - rows[0] - 1, settings)
    return np.where(distance <= reach, distance + settings.size_weight * change + gap, np.inf)


def _moved(a: FloatArray, b: FloatArray, camera: CameraPath, row: int, other: int) -> FloatArray:
    """(N, M) diagonals of the smaller box by eq. 25, in the picture or against the camera, whichever is less."""
    seen = _eq25(a[:, None], b[None])
    rested = _eq25(camera.carried(a, row, other)[:, None], b[None])
    return np.asarray(np.minimum(seen, rested) / np.minimum(_diagonals(a)[:, None], _diagonals(b)))


def _improve(
    came: _Trail,
    trail: _Trail,
    links: FloatArray,
    before: int,
    sources: NDArray[np.intp],
    targets: NDArray[np.intp],
) -> None:
    cost = trail.cost[sources, None] + links
    best = cost.argmin(axis=0)
    least = cost[best, np.arange(len(targets))]
    better = least < came.cost[targets]
    chosen = targets[better]
    came.cost[chosen], came.row[chosen], came.box[chosen] = least[better], before, sources[best[better]]


def _ending(left: int, settings: TrackingSettings) -> float:
    """Return what the end of a path costs when so many frames are left."""
    return left * settings.gone_cost + (settings.gap_cost if left else 0.0)


def _backwards(trails: Sequence[_Trail], settings: TrackingSettings, fixed: Fixed | None) -> list[int | None]:
    """Walk from the cheapest end to the start; no path at all where even that costs more than nobody."""
    path: list[int | None] = [None] * len(trails)
    least, end = np.inf if fixed else len(trails) * settings.gone_cost, -1
    for row, trail in enumerate(trails):
        if len(trail.cost) and not (fixed and row < fixed[0]):
            cost = float(trail.cost.min()) + _ending(len(trails) - 1 - row, settings)
            if cost < least:
                least, end = cost, row
    if end < 0:
        return path
    row, n = end, int(trails[end].cost.argmin())
    while row >= 0:
        path[row] = n
        row, n = int(trails[row].row[n]), int(trails[row].box[n])
    return path


def _eq25(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(((a - b) ** 2).sum(axis=-1)))


def _diagonals(boxes: FloatArray) -> FloatArray:
    return np.asarray(np.hypot(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]))
