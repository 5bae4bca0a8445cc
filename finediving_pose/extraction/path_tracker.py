"""Tracker `path`: the cheapest path of one person through all detections of a clip.

1. Confidences are divided by the clip's surest ones, and the camera's motion is
   estimated (:mod:`.camera_motion`).
2. Boxes are linked into short tracks, each of which is one person's without doubt.
3. Short tracks are cut into pieces. What a piece gains depends on the phase: a diver
   stands and does not stay, then flies and never rests again.
4. Dynamic programming finds the chain of pieces that gains most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from finediving_pose.boxes import compute_diagonals, compute_distances, compute_middles
from finediving_pose.extraction.camera_motion import CameraPath, estimate_camera_path
from finediving_pose.extraction.settings import TrackingSettings
from finediving_pose.extraction.track_tools import (
    Seed,
    choose_detection,
    empty_track,
    find_seeded_start,
    place_seed,
)
from finediving_pose.records import BoxTrack, Detections, FloatArray

Node = tuple[int, int]
"""The row of a frame and the number of a detection in it."""

SUREST = 0.9
"""Quantile of the frames' best confidences that counts as a confidence of 1."""

# Links between boxes; distances are in diagonals.
LINK = 0.45
"""Distance up to which a box a frame later is the same person's; over n frames √n times
as much."""
LINK_ABSENCE = 2  # frames that a short track outlasts
LEAST_BOXES = 3  # a short track of fewer is a false alarm
IN_THE_IMAGE = 1.3  # the distance to a person at rest in the image counts so much
CHANGE_OF_SIZE = 0.3  # distance that a change of the diagonal by a factor e adds
NEW_STEP = 0.4  # what the last step counts in a person's velocity

# Gains of pieces.
PIECE = 5  # boxes of a piece
WINDOW = 4  # frames before and after over which a speed is measured
SWINGS = 0.3  # what motion counts of a person who stands
LATER = 10  # frames after which a person who stays is looked for
STAYS = 0.35  # distance within which they are found again
LEAST_LOOKS = 4  # frames in which their place must be in the image to say anything
UNKNOWN_STAY = 0.25  # how surely they stay, where fewer frames tell
UNKNOWN_MOTION = 0.9
"""Motion at least of a person where nobody at rest tells how the camera moves: it may
follow the athlete."""

# Costs from piece to piece.
DISTANCE_COST = 1.5  # of a diagonal from one short track to the next
FORCED = 1e4  # gain of a box that the path must go through: more than all else together


def track_path(
    detections: Sequence[Detections],
    frame_index: NDArray[np.int64],
    settings: TrackingSettings,
    seed: Seed | None,
) -> BoxTrack:
    """Follow the cheapest path over the whole clip; it goes through the seed's box.

    A seed that nobody was detected at stands for itself, as in
    :func:`.nearest_tracker.track_nearest`.

    Args:
        detections, frame_index, settings, seed: See :class:`.trackers.Tracker`, as for
            the result.
    """
    start = None
    if seed is not None:
        start = find_seeded_start(detections, frame_index, seed)
    fixed = None
    everyone = list(detections)
    if start is not None:
        found = everyone[start.row]
        if start.candidate is None:
            # The seed's own box joins the detections for the search.
            boxes = np.concatenate([found.boxes, start.box[None]])
            scores = np.append(found.scores, np.float32(1))
            everyone[start.row] = Detections(boxes, scores)
            fixed = (start.row, len(found.boxes))
        else:
            fixed = (start.row, start.candidate)
    path = empty_track(len(detections))
    chosen = find_cheapest_path(everyone, frame_index, settings, fixed)
    for row, candidate in enumerate(chosen):
        if candidate is not None and candidate < len(detections[row].boxes):
            choose_detection(path, row, detections[row], candidate)
    if start is not None and seed is not None:
        place_seed(path, frame_index, start, seed)
    return path


@dataclass(frozen=True)
class Scene:
    """A clip as the search sees it.

    Attributes:
        detections: The people found in each of T frames.
        frame_index: (T,) strictly increasing frame numbers.
        camera: The camera's motion over these frames.
        settings: The gains and costs.
    """

    detections: Sequence[Detections]
    frame_index: NDArray[np.int64]
    camera: CameraPath
    settings: TrackingSettings


@dataclass
class Tracklet:
    """A short track: boxes that are one person's without doubt.

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
    nodes: Sequence[Sequence[Node]]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    start: FloatArray
    end: FloatArray
    standing: FloatArray
    flying: FloatArray


def find_cheapest_path(
    detections: Sequence[Detections],
    frame_index: NDArray[np.int64],
    settings: TrackingSettings,
    fixed: Node | None = None,
) -> list[int | None]:
    """Choose a detection in each frame of the best path.

    Where nobody takes off, the one who is surest to stand there is followed.

    Args:
        detections: The people found in each of T frames, boxes with area.
        frame_index: (T,) strictly increasing frame numbers.
        settings: The gains and costs.
        fixed: The detection that the path must go through.

    Returns:
        Which detection of each frame, None where the path has none.
    """
    detections = _scale_confidences(detections)
    camera = estimate_camera_path(detections, frame_index)
    scene = Scene(detections, frame_index, camera, settings)
    tracklets = link_boxes(scene)
    if fixed is not None:
        row, pick = fixed
        linked = any(
            fixed in zip(each.rows, each.picks, strict=True) for each in tracklets
        )
        # Where nobody is linked to the fixed box, it is a short track of its own.
        if not linked:
            box = detections[row].boxes[pick].astype(np.float64)
            tracklets.append(Tracklet([row], [pick], [box]))
    path: list[int | None] = [None] * len(detections)
    if not tracklets:
        return path
    pieces = cut_pieces(tracklets, scene, fixed)
    for n in find_best_chain(pieces, scene):
        for row, pick in pieces.nodes[n]:
            path[row] = pick
    return path


def _scale_confidences(detections: Sequence[Detections]) -> list[Detections]:
    """Divide confidences by what the clip's surest boxes have: a weak network is as
    good a guide within its own range."""
    best = [float(found.scores.max()) for found in detections if len(found.scores)]
    surest = 1.0
    if best:
        surest = max(float(np.quantile(best, SUREST)), 1e-6)
    scaled = []
    for found in detections:
        scores = np.minimum(found.scores / surest, 1).astype(np.float32)
        scaled.append(Detections(found.boxes, scores))
    return scaled


def link_boxes(scene: Scene) -> list[Tracklet]:
    """Link boxes into short tracks, frame by frame, by the assignment of least total
    distance.

    The distance of a box to a short track is the least of that to where its person
    would be at the same velocity, at rest in the world, and, at 1.3 times its length,
    at rest in the image.
    """
    from scipy.optimize import linear_sum_assignment

    camera, frame_index = scene.camera, scene.frame_index
    live: list[Tracklet] = []
    done: list[Tracklet] = []
    for row, found in enumerate(scene.detections):
        boxes = found.boxes.astype(np.float64)
        taken = np.zeros(len(boxes), bool)
        if live and len(boxes):
            # Where each person would be now if they rested in the world.
            rested = np.array(
                [
                    camera.carry_boxes(each.boxes[-1][None], each.rows[-1], row)[0]
                    for each in live
                ]
            )
            last_rows = [each.rows[-1] for each in live]
            apart = frame_index[row] - frame_index[last_rows]
            distance = _measure_to_tracklets(live, rested, apart, boxes)
            allowed = distance < LINK * np.sqrt(apart)[:, None]
            # A forbidden link costs more than all others together, and is dropped.
            pairs = linear_sum_assignment(np.where(allowed, distance, FORCED))
            for n, pick in zip(*pairs, strict=True):
                if allowed[n, pick]:
                    taken[pick] = True
                    step = (
                        compute_middles(boxes[pick][None])
                        - compute_middles(rested[n][None])
                    )[0]
                    live[n].rows.append(row)
                    live[n].picks.append(int(pick))
                    live[n].boxes.append(boxes[pick])
                    live[n].velocity = (1 - NEW_STEP) * live[n].velocity + (
                        NEW_STEP * (step / int(apart[n]))
                    )
        done += [each for each in live if row - each.rows[-1] > LINK_ABSENCE]
        live = [each for each in live if row - each.rows[-1] <= LINK_ABSENCE]
        for pick in np.flatnonzero(~taken).tolist():
            live.append(Tracklet([row], [pick], [boxes[pick]]))
    return [each for each in done + live if len(each.rows) >= LEAST_BOXES]


def _measure_to_tracklets(
    live: Sequence[Tracklet], rested: FloatArray, apart: FloatArray, boxes: FloatArray
) -> FloatArray:
    """Return the (tracks, boxes) distances in diagonals of the smaller one, with a
    third of the change of size."""
    last = np.array([each.boxes[-1] for each in live])
    velocity = np.array([each.velocity for each in live])
    moved = rested + np.tile(velocity * apart[:, None], 2)
    distances = np.stack(
        [
            compute_distances(place[:, None], boxes[None])
            for place in (moved, rested, last)
        ]
    )
    # The camera may follow the athlete, so rest in the image is possible, but rarer.
    distances[2] *= IN_THE_IMAGE
    sizes, size = compute_diagonals(last)[:, None], compute_diagonals(boxes)[None]
    growth = CHANGE_OF_SIZE * np.abs(np.log(size / sizes))
    return np.asarray(distances.min(axis=0) / np.minimum(sizes, size) + growth)


def measure_motion(tracklet: Tracklet, scene: Scene) -> FloatArray:
    """Measure how surely a person moves in the world in each box of a short track.

    The speed of the box's middle against the camera, by a straight line through the
    frames around, in diagonals a frame, by `moving_speed`, squared and at most 1; as
    far as nobody tells how the camera moves, at least 0.9.

    Args:
        tracklet: Its boxes.
        scene: The clip that it is from.

    Returns:
        0 to 1 for each box.
    """
    camera = scene.camera
    rows = np.array(tracklet.rows)
    boxes = np.array(tracklet.boxes)
    time = scene.frame_index[rows].astype(np.float64)
    # Into the coordinates of the first frame, in which the world stands still.
    still = (compute_middles(boxes) - camera.shift[rows]) / camera.scale[rows][:, None]
    diagonal = float(np.median(compute_diagonals(boxes) / camera.scale[rows]))
    moving = np.zeros(len(rows))
    for place in range(len(rows)):
        near = np.abs(time - time[place]) <= WINDOW
        if near.sum() < LEAST_BOXES:
            continue
        # The slope of a least-squares line: a single jittering box hardly bends it.
        offset = time[near] - time[near].mean()
        slope = (offset[:, None] * still[near]).sum(axis=0)
        speed = np.linalg.norm(slope) / (offset**2).sum()
        share = min(1.0, float(speed) / diagonal / scene.settings.moving_speed)
        moving[place] = share**2
    lacking = np.maximum(UNKNOWN_MOTION - moving, 0.0)
    return np.asarray(moving + (1 - camera.told[rows]) * lacking)


def cut_pieces(
    tracklets: Sequence[Tracklet], scene: Scene, fixed: Node | None = None
) -> Pieces:
    """Cut short tracks into pieces and say what each gains.

    Args:
        tracklets: The short tracks, one at least.
        scene: The clip that they are from.
        fixed: A detection whose piece outweighs everything.
    """
    settings = scene.settings
    parts = []
    for n, each in enumerate(tracklets):
        parts += [(n, part) for part in _cut_length(len(each.rows))]
    parts.sort(key=lambda each: tracklets[each[0]].rows[each[1].start])
    nodes = []
    centres = []
    for n, part in parts:
        rows, picks = tracklets[n].rows[part], tracklets[n].picks[part]
        nodes.append(list(zip(rows, picks, strict=True)))
        middle = len(rows) // 2
        centres.append((rows[middle], tracklets[n].boxes[part][middle]))
    size = np.array([len(each) for each in nodes], np.float64)
    motions = [measure_motion(each, scene) for each in tracklets]
    moved = np.array([motions[n][part].sum() for n, part in parts])
    sure = settings.confidence_weight * _sum_confidences(nodes, scene.detections)
    stays = _measure_stays(centres, scene)
    forced = np.zeros(len(parts))
    if fixed is not None:
        holding = [fixed in each for each in nodes]
        named = {n for (n, _), holds in zip(parts, holding, strict=True) if holds}
        forced[holding] = FORCED
        # Whoever was named may sit still.
        stays[[n in named for n, _ in parts]] = 0.0
    stand_gain = settings.stand_gain - settings.stay_weight * stays
    rest = size - moved
    return Pieces(
        tracklet=np.array([n for n, _ in parts], np.int64),
        nodes=nodes,
        first=np.array([each[0][0] for each in nodes], np.int64),
        last=np.array([each[-1][0] for each in nodes], np.int64),
        start=np.array([tracklets[n].boxes[part][0] for n, part in parts]),
        end=np.array([tracklets[n].boxes[part][-1] for n, part in parts]),
        standing=size * stand_gain + SWINGS * moved + sure + forced,
        flying=moved - settings.still_weight * rest + sure + forced,
    )


def _cut_length(length: int) -> list[slice]:
    """Cut a length into parts of :data:`PIECE`, with no single box left over."""
    starts = list(range(0, length, PIECE))
    if len(starts) > 1 and length - starts[-1] < 2:
        starts.pop()
    return [slice(a, b) for a, b in zip(starts, [*starts[1:], length], strict=True)]


def _sum_confidences(
    nodes: Sequence[Sequence[Node]], detections: Sequence[Detections]
) -> FloatArray:
    """Sum up the confidences of each piece, above or below a half."""
    sums = []
    for piece in nodes:
        sums.append(
            sum(float(detections[row].scores[pick]) - 0.5 for row, pick in piece)
        )
    return np.array(sums)


def _measure_stays(
    centres: Sequence[tuple[int, FloatArray]], scene: Scene
) -> FloatArray:
    """Return how surely somebody is found later on where each of N (row, box) would be
    at rest, 0..1: spectators stay, divers leave the board."""
    stays = np.full(len(centres), UNKNOWN_STAY)
    region = _find_region(scene.detections)
    rows = np.array([row for row, _ in centres])
    for row in np.unique(rows):
        which = np.flatnonzero(rows == row)
        boxes = np.array([centres[int(n)][1] for n in which])
        hits, looks = np.zeros(len(which)), np.zeros(len(which))
        for later in range(row + LATER, len(scene.detections), 2):
            carried = scene.camera.carry_boxes(boxes, row, later)
            middle = compute_middles(carried)
            # A place that the camera has left says nothing.
            inside = ((middle >= region[:2]) & (middle <= region[2:])).all(axis=1)
            looks += inside
            found = scene.detections[later].boxes
            if len(found):
                distance = compute_distances(carried[:, None], found[None])
                distance = distance / compute_diagonals(carried)[:, None]
                hits += inside & (distance.min(axis=1) < STAYS)
        known = looks >= LEAST_LOOKS
        stays[which[known]] = hits[known] / looks[known]
    return stays


def _find_region(detections: Sequence[Detections]) -> FloatArray:
    """(4,) px in which people are ever found: as much of the image's size as the boxes
    tell."""
    boxes = np.concatenate([found.boxes for found in detections])
    return np.concatenate([boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)])


def find_best_chain(pieces: Pieces, scene: Scene) -> list[int]:
    """Find the chain of pieces that gains most: one with a flight if it pays, else one
    that only stands.

    Args:
        pieces: N pieces, by their first row.
        scene: The clip that they are from.

    Returns:
        The pieces of the chain, in time.
    """
    switch_cost = scene.settings.switch_cost
    count = len(pieces.first)
    own = (pieces.standing, pieces.flying)
    # The best gain of a chain that ends with each piece, standing and flying.
    gain = np.full((2, count), -np.inf)
    # Which phase and piece that chain has before it; -1 = it begins there.
    came = np.full((2, count, 2), -1, np.int64)
    for n in range(count):
        gain[:, n] = pieces.standing[n], pieces.flying[n] - switch_cost
        before = np.flatnonzero(pieces.last < pieces.first[n])
        if not len(before):
            continue
        cost = measure_link_costs(pieces, before, n, scene)
        # A flight follows on a stand or a flight, a stand on a stand only.
        for phase, source in ((0, 0), (1, 0), (1, 1)):
            takeoff_cost = switch_cost * (source != phase)
            values = gain[source, before] - cost - takeoff_cost + own[phase][n]
            best = int(values.argmax())
            if values[best] > gain[phase, n]:
                gain[phase, n] = values[best]
                came[phase, n] = source, before[best]
    stands, flies = gain.max(axis=1)
    # A flight has to pay, unless a seed is on somebody who only stands.
    least = stands if stands > FORCED / 2 else 0.0
    phase = int(flies >= least)
    n = int(gain[phase].argmax())
    chain = []
    while n >= 0:
        chain.append(n)
        phase, n = came[phase, n]
    return chain[::-1]


def measure_link_costs(
    pieces: Pieces, before: NDArray[np.intp], n: int, scene: Scene
) -> FloatArray:
    """Measure what it costs to go on with a piece.

    Args:
        pieces: All pieces.
        before: The pieces to come from, all of which end before piece `n` begins.
        n: The piece to go on with.
        scene: The clip that they are from.

    Returns:
        The cost from each piece of `before`: 0 within one short track, infinite where
        it is too far in space or time.
    """
    camera, settings = scene.camera, scene.settings
    row, start = int(pieces.first[n]), pieces.start[n]
    ends, rows = pieces.end[before], pieces.last[before]
    apart = (scene.frame_index[row] - scene.frame_index[rows]).astype(np.float64)
    # Where each piece's last box would be now if its person rested in the world.
    ratio = (camera.scale[row] / camera.scale[rows])[:, None]
    origin = ends - np.tile(camera.shift[rows], 2)
    rested = ratio * origin + np.tile(camera.shift[row], 2)
    sizes = compute_diagonals(ends)
    size = float(compute_diagonals(start[None])[0])
    # At rest in the world or in the image, whichever is nearer.
    distance = np.minimum(
        compute_distances(rested, start), compute_distances(ends, start)
    )
    distance = distance / np.minimum(sizes, size)
    too_far = distance > settings.max_jump * np.sqrt(apart)
    too_late = apart > settings.max_absence
    growth = settings.size_weight * np.abs(np.log(size / sizes))
    cost = settings.switch_cost + DISTANCE_COST * distance + growth
    cost = np.where(too_far | too_late, np.inf, cost + settings.gap_cost * apart)
    return np.where(pieces.tracklet[before] == pieces.tracklet[n], 0.0, cost)
