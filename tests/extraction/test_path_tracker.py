"""The cheapest path against all paths there are, and whom it follows where the nearest
box leads astray."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pytest

from finediving_pose.extraction.camera_motion import CameraPath, camera_path
from finediving_pose.extraction.path_tracker import (
    Pieces,
    best_chain,
    link,
    link_costs,
    motion,
)
from finediving_pose.extraction.settings import TrackingSettings
from finediving_pose.extraction.trackers import track
from finediving_pose.extraction.tracking import Seed, without
from finediving_pose.records import BoxState, BoxTrack, Detections

PATH = TrackingSettings(tracker="path")
FLIGHT = 30


def box(x: float, y: float, width: float = 30, height: float = 40) -> tuple[float, ...]:
    return x, y, x + width, y + height


def found(
    *boxes: tuple[float, ...], scores: tuple[float, ...] | None = None
) -> Detections:
    sure = scores if scores is not None else (0.9,) * len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(sure, np.float32)
    )


def diver(t: int, start: int = 20) -> tuple[float, ...]:
    """Stands until `start`, then falls."""
    fallen = max(0, t - start)
    return box(200 + 2.0 * fallen, 20 + 0.25 * fallen**2)


def follow(
    detections: list[Detections], seed: Seed | None = None, **settings: object
) -> BoxTrack:
    chosen = TrackingSettings.model_validate({"tracker": "path", **settings})
    return track(detections, np.arange(len(detections)), chosen, seed)


def shifted(
    boxes: list[tuple[float, ...]], dx: float, dy: float
) -> list[tuple[float, ...]]:
    return [(a + dx, b + dy, c + dx, d + dy) for a, b, c, d in boxes]


def chain_gain(
    chain: tuple[int, ...], taking_off: int | None, pieces: Pieces, *rest: Any
) -> float:
    """What a chain gains that flies from its piece number `taking_off` on; None = it
    only stands."""
    numbers, camera, settings = rest
    total = 0.0
    for place, n in enumerate(chain):
        flies = taking_off is not None and place >= taking_off
        total += float((pieces.flying if flies else pieces.standing)[n])
        total -= settings.switch_cost * (place == taking_off)
        if place:
            total -= float(
                link_costs(
                    pieces, np.array([chain[place - 1]]), n, numbers, camera, settings
                )[0]
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
    settings = TrackingSettings(max_absence=6)
    rest = (
        np.arange(20),
        CameraPath(np.ones(20), np.zeros((20, 2)), np.ones(20)),
        settings,
    )
    every = [
        chain
        for length in range(1, 8)
        for chain in combinations(range(7), length)
        if all(pieces.last[a] < pieces.first[b] for a, b in pairwise(chain))
    ]
    gains = {
        chain: max(chain_gain(chain, k, pieces, *rest) for k in range(len(chain)))
        for chain in every
    }
    found = tuple(best_chain(pieces, *rest))
    if max(gains.values()) >= 0:
        assert gains[found] == pytest.approx(max(gains.values()))
    else:
        stood = {chain: chain_gain(chain, None, pieces, *rest) for chain in every}
        assert stood[found] == pytest.approx(max(stood.values()))


def test_the_camera_is_told_by_those_who_stand_still():
    still = [box(40 * n + 3 * (n % 3), 100 + 7 * (n % 4), 20, 30) for n in range(10)]
    detections = [found(*shifted(still, 9 * t, -4 * t), box(200, 50)) for t in range(5)]
    path = camera_path(detections, np.arange(5))
    np.testing.assert_allclose(
        path.shift, [[9 * t, -4 * t] for t in range(5)], atol=1e-3
    )
    np.testing.assert_allclose(path.scale, 1, atol=1e-6)


def test_a_zoom_is_told_from_a_shift():
    still = np.array([box(40 * n, 100 + 9 * (n % 4), 20, 30) for n in range(10)])
    detections = [found(*(still * 1.03**t)) for t in range(4)]
    np.testing.assert_allclose(
        camera_path(detections, np.arange(4)).scale, 1.03 ** np.arange(4), rtol=1e-4
    )


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
    camera = camera_path(detections, np.arange(40))
    tracklets = link(detections, np.arange(40), camera)
    assert sorted(len(each.rows) for each in tracklets)[-8:] == [40] * 8
    moves = np.concatenate(
        [
            motion(each, np.arange(40), camera, PATH)
            for each in tracklets
            if len(each.rows) == 40
        ]
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
    path = track(
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
    second = follow(without(detections, first))
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


def test_how_far_people_at_rest_bear_the_camera_out():
    still = [box(60 * n, 150, 22, 30) for n in range(4)]
    assert camera_path(
        [found(*still)] * 12, np.arange(12)
    ).told.tolist() == pytest.approx([1] * 12)
    alone = camera_path([found(diver(t)) for t in range(12)], np.arange(12))
    assert alone.told.tolist() == [0] * 12
    many_times_over = [box(200 + n, 20 + n) for n in range(4)]
    assert (
        camera_path([found(*many_times_over)] * 12, np.arange(12)).told.tolist()
        == [0] * 12
    )
    assert camera_path([found(*still)], np.arange(1)).told.tolist() == [0]
    assert camera_path([], np.arange(0)).told.tolist() == []
