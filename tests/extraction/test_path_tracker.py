"""The cheapest path against all paths there are, and whom it follows where the nearest
box leads astray."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from helpers.made_detections import box, diver, found, shifted

from finediving_pose.extraction.camera_motion import CameraPath, estimate_camera_path
from finediving_pose.extraction.path_tracker import (
    Pieces,
    Scene,
    find_best_chain,
    link_boxes,
    measure_link_costs,
    measure_motion,
)
from finediving_pose.extraction.settings import TrackingSettings
from finediving_pose.extraction.track_tools import Seed, remove_tracked
from finediving_pose.extraction.trackers import track_person
from finediving_pose.records import BoxState, BoxTrack, Detections

PATH = TrackingSettings(tracker="path")


def follow(
    detections: list[Detections], seed: Seed | None = None, **settings: object
) -> BoxTrack:
    chosen = TrackingSettings.model_validate({"tracker": "path", **settings})
    return track_person(detections, np.arange(len(detections)), chosen, seed)


def chain_gain(
    chain: tuple[int, ...], taking_off: int | None, pieces: Pieces, scene: Scene
) -> float:
    """What a chain gains that flies from its piece number `taking_off` on; None = it
    only stands."""
    total = 0.0
    for place, n in enumerate(chain):
        flies = taking_off is not None and place >= taking_off
        total += float((pieces.flying if flies else pieces.standing)[n])
        total -= scene.settings.switch_cost * (place == taking_off)
        if place:
            total -= float(
                measure_link_costs(pieces, np.array([chain[place - 1]]), n, scene)[0]
            )
    return total


@pytest.mark.parametrize("seed", range(12))
def test_no_chain_gains_more(seed):
    rng = np.random.default_rng(seed)
    first = np.sort(rng.integers(0, 12, 7))
    corners = rng.uniform(0, 60, (2, 7, 2))
    start, end = (np.hstack([c, c + rng.uniform(20, 60, (7, 2))]) for c in corners)
    pieces = Pieces(
        tracklet=rng.integers(0, 5, 7),
        nodes=[[(int(row), 0)] for row in first],
        first=first,
        last=first + rng.integers(0, 3, 7),
        start=start,
        end=end,
        standing=rng.normal(0.0, 1.0, 7),
        flying=rng.normal(0.5, 1.0, 7),
    )
    camera = CameraPath(np.ones(20), np.zeros((20, 2)), np.ones(20))
    nobody = [found()] * 20
    scene = Scene(nobody, np.arange(20), camera, TrackingSettings(max_absence=6))
    every = [
        chain
        for length in range(1, 8)
        for chain in combinations(range(7), length)
        if all(pieces.last[a] < pieces.first[b] for a, b in pairwise(chain))
    ]
    gains = {
        chain: max(chain_gain(chain, k, pieces, scene) for k in range(len(chain)))
        for chain in every
    }
    best = tuple(find_best_chain(pieces, scene))
    if max(gains.values()) >= 0:
        assert gains[best] == pytest.approx(max(gains.values()))
    else:
        stood = {chain: chain_gain(chain, None, pieces, scene) for chain in every}
        assert stood[best] == pytest.approx(max(stood.values()))


@pytest.mark.parametrize("followed", [False, True])
def test_of_two_people_the_one_who_falls(followed):
    judge = box(60, 180, 60, 90)
    detections = []
    for t in range(60):
        falling = diver(t)
        dy = (
            60 - falling[1] if followed else 0.0
        )  # the camera keeps the diver where they are
        detections.append(found(*shifted([judge, falling], 0, dy), scores=(0.95, 0.7)))
    path = follow(detections)
    assert path.boxes.tolist() == [each.boxes[1].tolist() for each in detections]


def test_the_track_ends_where_the_diver_has_gone_under_water():
    crowd = [box(35 * n, 150 + 8 * (n % 3), 22, 30) for n in range(10)]
    detections = [
        found(*crowd, *([diver(t)] if t < 45 else []), scores=None) for t in range(90)
    ]
    path = follow(detections)
    assert path.state.tolist() == [BoxState.DETECTED] * 45 + [BoxState.MISSING] * 45
    assert path.boxes[:45].tolist() == [list(diver(t)) for t in range(45)]


def test_a_diver_who_enters_late_and_is_lost_for_some_frames():
    crowd = [box(35 * n, 150 + 8 * (n % 3), 22, 30) for n in range(10)]
    seen = [t >= 12 and not 28 <= t < 32 for t in range(50)]
    path = follow([found(*crowd, *([diver(t)] if seen[t] else [])) for t in range(50)])
    assert (path.state == BoxState.DETECTED).tolist() == seen
    assert path.boxes[40].tolist() == list(diver(40))


def test_where_two_cross_the_path_stays_on_the_diver():
    still = [box(35 * n, 240, 22, 30) for n in range(8)] + [
        box(236, 90, 34, 44)
    ]  # the last one is in the way

    def people(t: int) -> Detections:
        return found(*still, *([] if t in (37, 38) else [diver(t)]))

    detections = [people(t) for t in range(60)]
    seen = [t for t in range(60) if t not in (37, 38)]
    assert follow(detections).boxes[seen].tolist() == [list(diver(t)) for t in seen]


def test_false_alarms_are_not_taken_for_motion():
    rng = np.random.default_rng(0)
    still = [box(35 * n, 240, 22, 30) for n in range(8)]
    detections = [
        found(*still, box(*rng.uniform(0, 400, 2)), scores=(0.9,) * 8 + (0.6,))
        for _ in range(40)
    ]
    camera = estimate_camera_path(detections, np.arange(40))
    scene = Scene(detections, np.arange(40), camera, PATH)
    tracklets = link_boxes(scene)
    assert sorted(len(each.rows) for each in tracklets)[-8:] == [40] * 8
    moves = np.concatenate(
        [measure_motion(each, scene) for each in tracklets if len(each.rows) == 40]
    )
    assert moves.max() < 0.05
    assert (
        sum(len(each.rows) for each in tracklets) < 8 * 40 + 15
    )  # few false alarms follow each other


def test_the_path_goes_through_the_seed():
    walker = [box(30 + 0.4 * t, 200, 40, 80) for t in range(50)]
    detections = [found(diver(t), walker[t], box(350, 180, 50, 80)) for t in range(50)]
    seed = Seed(10, np.array(walker[10], np.float32))
    assert follow(detections, seed).boxes[:30].tolist() == [
        each.boxes[1].tolist() for each in detections[:30]
    ]
    assert follow(detections).boxes.tolist() == [list(diver(t)) for t in range(50)]


def test_a_seed_nobody_was_detected_at_stands_for_itself_and_between_samples_for_none():
    detections = [
        found(box(300, 100)),
        *[found(box(101 + t, 100), box(300, 100)) for t in range(5)],
    ]
    path = follow(detections, Seed(0, np.array(box(100, 100), np.float32)))
    assert path.boxes[0].tolist() == list(box(100, 100))
    assert path.state.tolist() == [BoxState.FILLED] + [BoxState.DETECTED] * 5
    assert np.isnan(path.scores[0])
    sampled = np.arange(6) * 3
    path = track_person(
        detections, sampled, PATH, Seed(1, np.array(box(100, 100), np.float32))
    )
    assert path.state.tolist() == [BoxState.MISSING] + [BoxState.DETECTED] * 5


def test_where_nobody_moves_the_surest_is_followed():
    detections = [found(box(0, 0), box(200, 0), scores=(0.6, 0.95))] * 6
    assert follow(detections).boxes.tolist() == [list(box(200, 0))] * 6


def test_nobody_anywhere_gives_nan_everywhere():
    path = follow([found() for _ in range(5)])
    assert np.isnan(path.boxes).all()
    assert path.state.tolist() == [BoxState.MISSING] * 5
    assert len(follow([]).state) == 0


def test_the_second_person_is_found_on_what_is_left():
    crowd = [box(35 * n, 240, 22, 30) for n in range(8)]
    detections = [
        found(diver(t), *shifted([diver(t)], 60, 0), *crowd) for t in range(45)
    ]
    first = follow(detections)
    second = follow(remove_tracked(detections, first))
    both = {tuple(first.boxes[30].tolist()), tuple(second.boxes[30].tolist())}
    assert both == {diver(30), *shifted([diver(30)], 60, 0)}


def test_a_weak_detector_that_finds_the_diver_alone_and_many_times_over():
    """The camera follows the diver, so that false alarms on the background are all that
    moves in the picture."""
    rng = np.random.default_rng(0)
    diver_at = np.array(box(200, 80, 60, 80))
    detections = []
    for t in range(50):
        boxes = diver_at + rng.normal(0, [[2.0], [8.0], [12.0], [14.0]], (4, 4))
        alarm = box(20 + 5 * (t % 25), 200, 40, 50)
        scores = (0.32, 0.22, 0.2, 0.14) + ((0.2,) if t % 25 < 12 else ())
        detections.append(
            found(*boxes, *([alarm] if t % 25 < 12 else []), scores=scores)
        )
    path = follow(detections)
    apart = np.abs(path.boxes - diver_at).max(axis=1)
    assert (apart < 60).mean() > 0.9
