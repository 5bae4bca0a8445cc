"""Tracker `path`: the cheapest path of one person through all detections of a clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from finediving_pose.boxes import diagonals, eq25, middles
from finediving_pose.extraction.camera_motion import CameraPath, camera_path
from finediving_pose.extraction.settings import TrackingSettings
from finediving_pose.extraction.tracking import Seed, _choose, _given_start, _nobody
from finediving_pose.records import BoxState, BoxTrack, Detections, FloatArray


def track_path(
    detections: Sequence[Detections],
    frame_index: NDArray[np.int64],
    settings: TrackingSettings,
    seed: Seed | None,
) -> BoxTrack:
    """Follow the cheapest path over the whole clip, see :mod:`.path_tracking`; it goes
    through the seed's box.

    A seed that nobody was detected at stands for itself, as in :func:`track_nearest`.
    """
    start = _given_start(detections, frame_index, seed) if seed else None
    fixed = None
    everyone = list(detections)
    if start is not None:
        found = everyone[start.row]
        fixed = (
            start.row,
            len(found.boxes) if start.candidate is None else start.candidate,
        )
        if start.candidate is None:
            boxes, sure = (
                np.concatenate([found.boxes, start.box[None]]),
                np.append(found.scores, np.float32(1)),
            )
            everyone[start.row] = Detections(boxes, sure)
    boxes, scores, state = _nobody(len(detections))
    for row, n in enumerate(cheapest_path(everyone, frame_index, settings, fixed)):
        if n is not None and n < len(detections[row].boxes):
            _choose(boxes, scores, state, row, detections[row], n)
    if (
        start is not None
        and start.candidate is None
        and seed is not None
        and frame_index[start.row] == seed.frame
    ):
        boxes[start.row], state[start.row] = seed.box, BoxState.FILLED
    return BoxTrack(boxes, scores, state)


Fixed = tuple[int, int]
"""The row and the number of a detection that the path must go through."""


_LINK = 0.45
"""Distance in diagonals up to which a box a frame later is the same person's; over n
frames √n times as much."""


_LINK_ABSENCE = 2  # frames that a short track outlasts


_LEAST = 3  # boxes of a short track; fewer are false alarms


_PIECE = 5  # boxes of a piece


_WINDOW = 4  # frames before and after over which a speed is measured


_DISTANCE = 1.5


_SWINGS = 0.3  # what motion counts of a person who stands


_LATER = 10  # frames after which a person who stays is looked for


_STAYS = 0.35  # distance in diagonals within which they are found again


_TOLD = 4  # frames in which their place must be in the picture to say anything; else:


_UNTOLD = 0.25


_UNTOLD_MOTION = 0.9  # m at least, where nobody at rest tells how the camera moves: it may follow the athlete


_SUREST = (
    0.9  # quantile of the frames' best confidences that counts as a confidence of 1
)


_SURE = 1e4  # what a box is worth that the path must go through


@dataclass
class Tracklet:
    """Boxes that are one person's without doubt.

    Attributes:
        rows: In which frames, ascending.
        picks: Which detection of each.
        boxes: (4,) px each.
        velocity: (2,) px a frame against the camera, of late.
    """

    rows: list[int]
    picks: list[int]
    boxes: list[FloatArray]
    velocity: FloatArray = field(default_factory=lambda: np.zeros(2))


@dataclass(frozen=True)
class Pieces:
    """N pieces of short tracks, by their first row.

    Attributes:
        tracklet: (N,) which short track each is of.
        nodes: The rows and picks of each.
        first, last: (N,) rows.
        start, end: (N, 4) px, the first and the last box.
        standing, flying: (N,) what each gains in either phase.
    """

    tracklet: NDArray[np.int64]
    nodes: Sequence[Sequence[Fixed]]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    start: FloatArray
    end: FloatArray
    standing: FloatArray
    flying: FloatArray


def cheapest_path(
    detections: Sequence[Detections],
    frame_index: NDArray[np.int64],
    settings: TrackingSettings,
    fixed: Fixed | None = None,
) -> list[int | None]:
    """Return which detection of each of T frames the best path chooses, None where it
    has none.

    Where nobody takes off, the one who is surest to stand there is followed.

    Args:
        detections: Who was found in each frame, boxes with area.
        frame_index: (T,) strictly increasing frame numbers.
        settings: The gains and costs.
        fixed: What the path must go through.
    """
    detections = _in_terms_of_the_surest(detections)
    camera = camera_path(detections, frame_index)
    tracklets = link(detections, frame_index, camera)
    if fixed is not None and not any(
        fixed in zip(each.rows, each.picks, strict=True) for each in tracklets
    ):
        tracklets.append(
            Tracklet(
                [fixed[0]],
                [fixed[1]],
                [detections[fixed[0]].boxes[fixed[1]].astype(np.float64)],
            )
        )
    path: list[int | None] = [None] * len(detections)
    if tracklets:
        pieces = cut(tracklets, detections, frame_index, camera, settings, fixed)
        for n in best_chain(pieces, frame_index, camera, settings):
            for row, pick in pieces.nodes[n]:
                path[row] = pick
    return path


def link(
    detections: Sequence[Detections], frame_index: NDArray[np.int64], camera: CameraPath
) -> list[Tracklet]:
    """Link boxes into short tracks, frame by frame, by the assignment of least total
    distance.

    The distance of a box to a short track is the least of that to where its person
    would be at the same velocity, at rest in the world, and, at 1.3 times its length,
    at rest in the picture.
    """
    from scipy.optimize import linear_sum_assignment

    live: list[Tracklet] = []
    done: list[Tracklet] = []
    for row, found in enumerate(detections):
        boxes = found.boxes.astype(np.float64)
        taken = np.zeros(len(boxes), bool)
        if live and len(boxes):
            rested = np.array(
                [
                    camera.carried(each.boxes[-1][None], each.rows[-1], row)[0]
                    for each in live
                ]
            )
            apart = np.array(
                [frame_index[row] - frame_index[each.rows[-1]] for each in live]
            )
            distance = _to_tracklets(live, rested, apart, boxes)
            allowed = distance < _LINK * np.sqrt(apart)[:, None]
            for n, pick in zip(
                *linear_sum_assignment(np.where(allowed, distance, _SURE)), strict=True
            ):
                if allowed[n, pick]:
                    taken[pick] = True
                    _extend(
                        live[n], row, int(pick), boxes[pick], rested[n], int(apart[n])
                    )
        done += [each for each in live if row - each.rows[-1] > _LINK_ABSENCE]
        live = [each for each in live if row - each.rows[-1] <= _LINK_ABSENCE]
        live += [
            Tracklet([row], [int(pick)], [boxes[pick]])
            for pick in np.flatnonzero(~taken)
        ]
    return [each for each in done + live if len(each.rows) >= _LEAST]


def motion(
    tracklet: Tracklet,
    frame_index: NDArray[np.int64],
    camera: CameraPath,
    settings: TrackingSettings,
) -> FloatArray:
    """Return how surely a person moves in the world in each box of a short track, 0..1.

    The speed of the box's middle against the camera, by a straight line through the
    frames around, in diagonals a frame, by `moving_speed`, squared and at most 1; as
    far as nobody tells how the camera moves, at least 0.9.
    """
    rows = np.array(tracklet.rows)
    boxes = np.array(tracklet.boxes)
    time = frame_index[rows].astype(np.float64)
    still = (middles(boxes) - camera.shift[rows]) / camera.scale[rows][:, None]
    diagonal = float(np.median(diagonals(boxes) / camera.scale[rows]))
    moving = np.zeros(len(rows))
    for place in range(len(rows)):
        near = np.abs(time - time[place]) <= _WINDOW
        if near.sum() >= _LEAST:
            offset = time[near] - time[near].mean()
            speed = (
                np.linalg.norm((offset[:, None] * still[near]).sum(axis=0))
                / (offset**2).sum()
            )
            moving[place] = (
                min(1.0, float(speed) / diagonal / settings.moving_speed) ** 2
            )
    return np.asarray(
        moving + (1 - camera.told[rows]) * np.maximum(_UNTOLD_MOTION - moving, 0.0)
    )


def cut(
    tracklets: Sequence[Tracklet],
    detections: Sequence[Detections],
    frame_index: NDArray[np.int64],
    camera: CameraPath,
    settings: TrackingSettings,
    fixed: Fixed | None = None,
) -> Pieces:
    """Cut short tracks into pieces and say what each gains; the one of the `fixed` box
    outweighs everything."""
    parts = [
        (n, part) for n, each in enumerate(tracklets) for part in _parts(len(each.rows))
    ]
    parts.sort(key=lambda each: tracklets[each[0]].rows[each[1].start])
    moving = [motion(each, frame_index, camera, settings) for each in tracklets]
    nodes = [
        list(zip(tracklets[n].rows[part], tracklets[n].picks[part], strict=True))
        for n, part in parts
    ]
    centres = [
        (
            tracklets[n].rows[part][len(nodes[k]) // 2],
            tracklets[n].boxes[part][len(nodes[k]) // 2],
        )
        for k, (n, part) in enumerate(parts)
    ]
    size = np.array([len(each) for each in nodes], np.float64)
    moved = np.array([moving[n][part].sum() for n, part in parts])
    sure = np.array(
        [
            sum(float(detections[row].scores[pick]) - 0.5 for row, pick in each)
            for each in nodes
        ]
    )
    sure *= settings.confidence_weight
    stays = _stays(centres, detections, camera)
    forced = np.array([_SURE if fixed in each else 0.0 for each in nodes])
    of_seed = [n for (n, _), each in zip(parts, nodes, strict=True) if fixed in each]
    stays[[n in of_seed for n, _ in parts]] = 0.0  # whoever was named may sit still
    return Pieces(
        tracklet=np.array([n for n, _ in parts], np.int64),
        nodes=nodes,
        first=np.array([each[0][0] for each in nodes], np.int64),
        last=np.array([each[-1][0] for each in nodes], np.int64),
        start=np.array([tracklets[n].boxes[part][0] for n, part in parts]),
        end=np.array([tracklets[n].boxes[part][-1] for n, part in parts]),
        standing=size * (settings.stand_gain - settings.stay_weight * stays)
        + _SWINGS * moved
        + sure
        + forced,
        flying=moved - settings.still_weight * (size - moved) + sure + forced,
    )


def best_chain(
    pieces: Pieces,
    frame_index: NDArray[np.int64],
    camera: CameraPath,
    settings: TrackingSettings,
) -> list[int]:
    """Return the pieces of the path that gains most, in time: one with a flight that
    pays, else one that stands."""
    count = len(pieces.first)
    gain = np.full((2, count), -np.inf)
    came = np.full((2, count, 2), -1, np.int64)
    for n in range(count):
        gain[:, n] = pieces.standing[n], pieces.flying[n] - settings.switch_cost
        before = np.flatnonzero(pieces.last < pieces.first[n])
        if not len(before):
            continue
        cost = link_costs(pieces, before, n, frame_index, camera, settings)
        for phase, sources in ((0, (0,)), (1, (0, 1))):
            own = (pieces.standing, pieces.flying)[phase][n]
            for source in sources:
                values = (
                    gain[source, before]
                    - cost
                    - settings.switch_cost * (source != phase)
                    + own
                )
                best = int(values.argmax())
                if values[best] > gain[phase, n]:
                    gain[phase, n], came[phase, n] = (
                        values[best],
                        (source, before[best]),
                    )
    stands, flies = gain.max(axis=1)
    phase = int(
        flies >= (stands if stands > _SURE / 2 else 0.0)
    )  # a seed may be somebody who only stands
    chain, n = [], int(gain[phase].argmax())
    while n >= 0:
        chain.append(n)
        phase, n = came[phase, n]
    return chain[::-1]


def link_costs(
    pieces: Pieces,
    before: NDArray[np.intp],
    n: int,
    frame_index: NDArray[np.int64],
    camera: CameraPath,
    settings: TrackingSettings,
) -> FloatArray:
    """Return what it costs to go on from each piece of `before` with piece `n`,
    infinite where it is too far."""
    row, start = int(pieces.first[n]), pieces.start[n]
    ends, rows = pieces.end[before], pieces.last[before]
    apart = (frame_index[row] - frame_index[rows]).astype(np.float64)
    ratio = (camera.scale[row] / camera.scale[rows])[:, None]
    rested = ratio * (ends - np.tile(camera.shift[rows], 2)) + np.tile(
        camera.shift[row], 2
    )
    sizes = diagonals(ends)
    size = float(diagonals(start[None])[0])
    distance = np.minimum(eq25(rested, start), eq25(ends, start)) / np.minimum(
        sizes, size
    )
    far = (distance > settings.max_jump * np.sqrt(apart)) | (
        apart > settings.max_absence
    )
    cost = (
        settings.switch_cost
        + _DISTANCE * distance
        + settings.size_weight * np.abs(np.log(size / sizes))
    )
    cost = np.where(far, np.inf, cost + settings.gap_cost * apart)
    return np.where(pieces.tracklet[before] == pieces.tracklet[n], 0.0, cost)


def _in_terms_of_the_surest(detections: Sequence[Detections]) -> list[Detections]:
    """Divide confidences by what the clip's surest boxes have: a weak net is as good a
    guide within its own range."""
    best = [float(found.scores.max()) for found in detections if len(found.scores)]
    surest = max(float(np.quantile(best, _SUREST)), 1e-6) if best else 1.0
    return [
        Detections(found.boxes, np.minimum(found.scores / surest, 1).astype(np.float32))
        for found in detections
    ]


def _to_tracklets(
    live: Sequence[Tracklet], rested: FloatArray, apart: FloatArray, boxes: FloatArray
) -> FloatArray:
    """Return the (tracks, boxes) distances in diagonals of the smaller one, with a
    third of the change of size."""
    last = np.array([each.boxes[-1] for each in live])
    ahead = rested + np.tile(
        np.array([each.velocity for each in live]) * apart[:, None], 2
    )
    places = np.stack(
        [eq25(place[:, None], boxes[None]) for place in (ahead, rested, last)]
    )
    places[2] *= 1.3
    sizes, size = diagonals(last)[:, None], diagonals(boxes)[None]
    return np.asarray(
        places.min(axis=0) / np.minimum(sizes, size)
        + 0.3 * np.abs(np.log(size / sizes))
    )


def _extend(
    tracklet: Tracklet,
    row: int,
    pick: int,
    box: FloatArray,
    rested: FloatArray,
    apart: int,
) -> None:
    step = (middles(box[None]) - middles(rested[None]))[0] / apart
    tracklet.velocity = 0.6 * tracklet.velocity + 0.4 * step
    tracklet.rows.append(row)
    tracklet.picks.append(pick)
    tracklet.boxes.append(box)


def _parts(length: int) -> list[slice]:
    """Cut a length into parts of :data:`_PIECE`, with no single box left over."""
    starts = list(range(0, length, _PIECE))
    if len(starts) > 1 and length - starts[-1] < 2:
        starts.pop()
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], length], strict=True)]


def _stays(
    centres: Sequence[tuple[int, FloatArray]],
    detections: Sequence[Detections],
    camera: CameraPath,
) -> FloatArray:
    """Return how surely somebody is found later on where each of N (row, box) would be
    at rest, 0..1."""
    stays = np.full(len(centres), _UNTOLD)
    region = _region(detections)
    rows = np.array([row for row, _ in centres])
    for row in np.unique(rows):
        which = np.flatnonzero(rows == row)
        boxes = np.array([centres[int(n)][1] for n in which])
        hits, seen = np.zeros(len(which)), np.zeros(len(which))
        for later in range(row + _LATER, len(detections), 2):
            carried = camera.carried(boxes, row, later)
            middle = middles(carried)
            inside = ((middle >= region[:2]) & (middle <= region[2:])).all(axis=1)
            seen += inside
            if len(detections[later].boxes):
                distance = (
                    eq25(carried[:, None], detections[later].boxes[None])
                    / diagonals(carried)[:, None]
                )
                hits += inside & (distance.min(axis=1) < _STAYS)
        told = seen >= _TOLD
        stays[which[told]] = hits[told] / seen[told]
    return stays


def _region(detections: Sequence[Detections]) -> FloatArray:
    """(4,) px in which people are ever found: what of the picture's size the boxes
    tell."""
    boxes = np.concatenate([found.boxes for found in detections])
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])
