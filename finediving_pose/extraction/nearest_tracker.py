"""Tracker `nearest`: from the person who moves most, box by box to the nearest one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finediving_pose.boxes import compute_diagonals, compute_distances
from finediving_pose.extraction.settings import TrackingSettings
from finediving_pose.extraction.track_tools import (
    Seed,
    Start,
    choose_detection,
    empty_track,
    find_seeded_start,
    place_seed,
)
from finediving_pose.records import BoxTrack, Detections, FloatArray

MIN_LINKS = 2
"""Links between two frames from which on their median is the camera's motion."""

LEAST_MOTION = 0.01
"""What a person at rest counts of one in full motion: where nobody moves, the largest
and surest person is followed."""


def track_nearest(
    detections: Sequence[Detections],
    frame_index: NDArray[np.int64],
    settings: TrackingSettings,
    seed: Seed | None,
) -> BoxTrack:
    """Follow the nearest box, forwards and backwards from the start, as the paper does.

    From the last chosen box to each candidate the cost is ``dis / diagonal + w·(1 −
    confidence)``, dis as in eq. 25; the cheapest candidate nearer than
    ``max_jump·√(frames since the last box)`` diagonals is chosen. A frame without one
    stays empty, and the track ends where `max_absence` frames have none.

    Args:
        detections, frame_index, settings, seed: See :class:`.trackers.Tracker`, as for
            the result.
    """
    path = empty_track(len(detections))
    if seed is None:
        start = find_moving_start(detections, frame_index, settings)
    else:
        start = find_seeded_start(detections, frame_index, seed)
    if start is None:
        return path
    if start.candidate is not None:
        choose_detection(path, start.row, detections[start.row], start.candidate)
    elif seed is not None:
        place_seed(path, frame_index, start, seed)
    # Both ways from the start, since the athlete may be there before they move most.
    forwards = range(start.row + 1, len(detections))
    backwards = range(start.row - 1, -1, -1)
    for rows in (forwards, backwards):
        last = start.box
        last_frame = int(frame_index[start.row])
        for row in rows:
            gap = abs(int(frame_index[row]) - last_frame)
            if gap > settings.max_absence:
                break
            candidate = _find_nearest(last, detections[row], gap, settings)
            if candidate is not None:
                choose_detection(path, row, detections[row], candidate)
                # A frame without a box keeps the last one, and the reach grows.
                last = path.boxes[row]
                last_frame = int(frame_index[row])
    return path


def _find_nearest(
    last: FloatArray, found: Detections, gap: int, settings: TrackingSettings
) -> int | None:
    """Return the cheapest of the boxes within reach, `gap` frames after the last one."""
    if not len(found.boxes):
        return None
    distance = compute_distances(last, found.boxes) / compute_diagonals(last)
    # A sure box a little farther away is rather the athlete than a doubtful near one.
    cost = distance + settings.confidence_weight * (1 - found.scores)
    # Where a person may have gone unseen spreads like a random walk: by √n in n frames.
    reach = settings.max_jump * np.sqrt(gap)
    cost[distance > reach] = np.inf
    best = int(cost.argmin())
    return best if np.isfinite(cost[best]) else None


def find_moving_start(
    detections: Sequence[Detections],
    frame_index: NDArray[np.int64],
    settings: TrackingSettings,
) -> Start | None:
    """Start at the largest confident moving person.

    Boxes that are each other's nearest in neighbouring frames are linked into short
    tracks. The median shift of all links between two frames is the camera's own; what
    remains, shift and change of shape, is a person's speed. The short track with the
    largest sum of ``confidence · diagonal · min(1, speed / moving_speed)²`` is the
    athlete: a large and confident judge who sits still loses against a small diver in
    flight, also where the camera follows the diver. With only two people the median is
    the mean, both have the same shift against it, and their sizes and shapes decide.

    Args:
        detections: The people found in each of T frames.
        frame_index: (T,) strictly increasing numbers of these frames.
        settings: `max_jump` and `moving_speed` are used.

    Returns:
        The weightiest box of that short track; None where nobody was found.
    """
    chains = _link_chains(detections, frame_index, settings)
    if not chains:
        return None

    def weigh_box(node: tuple[int, int]) -> float:
        row, n = node
        return float(
            detections[row].scores[n] * compute_diagonals(detections[row].boxes[n])
        )

    def weigh_chain(chain: _Chain) -> float:
        # Squared, so that the jitter of boxes at rest is next to no motion.
        moving = min(1.0, chain.speed / settings.moving_speed) ** 2
        weight = sum(weigh_box(node) for node in chain.nodes)
        return max(LEAST_MOTION, moving) * weight

    best = max(chains, key=weigh_chain)
    # The surest and largest box of the chain is the safest place to start from.
    row, n = max(best.nodes, key=weigh_box)
    return Start(row, detections[row].boxes[n], n)


@dataclass
class _Chain:
    """A short track: (row, detection) of each box, and the speeds between them."""

    nodes: list[tuple[int, int]]
    speeds: list[float]

    @property
    def speed(self) -> float:
        """Mean speed against the camera, in box diagonals a frame."""
        return float(np.mean(self.speeds)) if self.speeds else 0.0


def _link_chains(
    detections: Sequence[Detections],
    frame_index: NDArray[np.int64],
    settings: TrackingSettings,
) -> list[_Chain]:
    chains: list[_Chain] = []
    open_chains: dict[int, _Chain] = {}  # by the detection of the frame before
    for row, found in enumerate(detections):
        continued: dict[int, _Chain] = {}
        if row:
            step = int(frame_index[row] - frame_index[row - 1])
            before = detections[row - 1].boxes
            for a, b, speed in _link_boxes(before, found.boxes, step, settings):
                chain = open_chains[a]
                chain.nodes.append((row, b))
                chain.speeds.append(speed)
                continued[b] = chain
        for n in range(len(found.boxes)):
            if n not in continued:
                continued[n] = _Chain([(row, n)], [])
                chains.append(continued[n])
        open_chains = continued
    return chains


def _link_boxes(
    before: FloatArray, after: FloatArray, step: int, settings: TrackingSettings
) -> list[tuple[int, int, float]]:
    """Return (index before, index after, speed against the camera) of boxes that are
    each other's nearest, `step` frames apart."""
    if not len(before) or not len(after):
        return []
    distance = (
        compute_distances(before[:, None], after[None])
        / compute_diagonals(before)[:, None]
    )
    reach = settings.max_jump * np.sqrt(step)
    pairs = []
    for a, b in enumerate(distance.argmin(axis=1).tolist()):
        # Nearest in both directions: two people who cross do not share a box.
        if distance[:, b].argmin() == a and distance[a, b] <= reach:
            pairs.append((a, b))
    if not pairs:
        return []
    rows, columns = np.array(pairs).T
    change = after[columns] - before[rows]
    camera = np.zeros(2)
    if len(pairs) >= MIN_LINKS:
        # Most people rest, so their median shift is the camera's.
        camera = np.median((change[:, :2] + change[:, 2:]) / 2, axis=0)
    # Eq. 25 counts a plain shift twice, once a corner: hence √2.
    own = compute_distances(change, np.tile(camera, 2)) / np.sqrt(2)
    speeds = own / compute_diagonals(before[rows]) / step
    return [(a, b, float(s)) for (a, b), s in zip(pairs, speeds, strict=True)]
