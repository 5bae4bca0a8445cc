"""Tracker `nearest`: the athlete moves most, and the nearest box continues the track."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finediving_pose.boxes import _diagonal, _distance
from finediving_pose.extraction.settings import TrackingSettings
from finediving_pose.extraction.tracking import (
    Seed,
    _choose,
    _given_start,
    _nobody,
    _Start,
)
from finediving_pose.records import BoxState, BoxTrack, Detections, FloatArray

MIN_LINKS = 2
"""Links between two frames from which their median says how the camera moved."""


def track_nearest(
    detections: Sequence[Detections],
    frame_index: NDArray[np.int64],
    settings: TrackingSettings,
    seed: Seed | None,
) -> BoxTrack:
    """Follow the nearest box, forwards and backwards from the seed, as the paper does.

    From the last chosen box to each candidate the cost is ``dis / diagonal + w·(1 −
    confidence)``, dis as in eq. 25; the cheapest candidate nearer than
    ``max_jump·√(frames since the last box)`` diagonals is chosen. A frame without one
    stays empty, and the track ends where `max_absence` frames have none.
    """
    frames = len(detections)
    boxes, scores, state = _nobody(frames)
    start = (
        _given_start(detections, frame_index, seed)
        if seed
        else _moving_start(detections, frame_index, settings)
    )
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


def _moving_start(
    detections: Sequence[Detections],
    frame_index: NDArray[np.int64],
    settings: TrackingSettings,
) -> _Start | None:
    """Start at the largest confident moving person.

    Boxes that are each other's nearest in neighbouring frames are linked into short
    tracks. The median shift of all links between two frames is the camera's own; what
    remains, shift and change of shape, is a person's speed. The short track with the
    largest sum of ``confidence · diagonal · min(1, speed / moving_speed)²`` is the
    athlete: a large and confident judge who sits still loses against a small diver in
    flight, also where the camera follows the diver. With only two people the median is
    the mean, both have the same shift against it, and their sizes and shapes decide.
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
    detections: Sequence[Detections],
    frame_index: NDArray[np.int64],
    settings: TrackingSettings,
) -> list[_Chain]:
    chains: list[_Chain] = []
    open_chains: dict[int, _Chain] = {}
    for row, found in enumerate(detections):
        following: dict[int, _Chain] = {}
        if row:
            step = int(frame_index[row] - frame_index[row - 1])
            for a, b, speed in _links(
                detections[row - 1].boxes, found.boxes, step, settings.max_jump
            ):
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


def _links(
    before: FloatArray, after: FloatArray, step: int, max_jump: float
) -> list[tuple[int, int, float]]:
    """Return (index before, index after, speed against the camera) of boxes that are
    each other's nearest."""
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
    camera = (
        np.median((change[:, :2] + change[:, 2:]) / 2, axis=0)
        if len(pairs) >= MIN_LINKS
        else np.zeros(2)
    )
    speed = (
        _distance(change, np.tile(camera, 2)) / np.sqrt(2) / _diagonal(before[a]) / step
    )
    return [(i, j, float(s)) for (i, j), s in zip(pairs, speed, strict=True)]


def _nearest(
    last: FloatArray, found: Detections, gap: int, settings: TrackingSettings
) -> int | None:
    if not len(found.boxes):
        return None
    distance = _distance(last, found.boxes) / _diagonal(last)
    cost = distance + settings.confidence_weight * (1 - found.scores)
    cost[distance > settings.max_jump * np.sqrt(gap)] = np.inf
    best = int(cost.argmin())
    return best if np.isfinite(cost[best]) else None
