"""Tracker `nearest`: whom it follows, eq. 25 by hand, and where the track has no box."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_detections import box, found, numbered, seed

from finediving_pose.extraction.settings import TrackingSettings
from finediving_pose.extraction.track_tools import Seed
from finediving_pose.extraction.trackers import track_person
from finediving_pose.records import BoxState, BoxTrack, Detections

DEFAULT = TrackingSettings()
ABSENT = BoxState.MISSING


def follow(
    detections: list[Detections], start: Seed | None = None, **settings: object
) -> BoxTrack:
    return track_person(
        detections,
        numbered(len(detections)),
        TrackingSettings.model_validate(settings),
        start,
    )


def test_the_nearest_box_by_eq_25():
    # dis of (9, 0) to all four corners: √(2·9² + 2·0²) = 12.73; the other box only
    # grows: √(0 + 0 + 0 + 12²) = 12
    moved, grown = box(109, 100), (100, 100, 130, 152)
    path = follow([found(box(100, 100)), found(moved, grown)], seed(*box(100, 100)))
    assert path.boxes[1].tolist() == list(grown)
    moved = box(108, 100)  # √(2·8²) = 11.31 < 12
    path = follow([found(box(100, 100)), found(moved, grown)], seed(*box(100, 100)))
    assert path.boxes[1].tolist() == list(moved)


def test_confidence_outweighs_a_little_distance():
    near, sure = (
        box(104, 100),
        box(110, 100),
    )  # eq. 25 in diagonals: 0.113 and 0.283; the lead is worth 0.34 of score
    detections = [found(box(100, 100)), found(near, sure, scores=(0.5, 0.9))]
    assert follow(detections, seed(*box(100, 100))).boxes[1].tolist() == list(sure)
    path = follow(
        detections, seed(*box(100, 100)), confidence_weight=0.4
    )  # 0.313 against 0.323
    assert path.boxes[1].tolist() == list(near)
    assert path.scores[1] == np.float32(0.5)


def test_a_box_too_far_away_is_nobody():
    far = box(100 + 36, 100)  # √2·36 = 50.9 > one diagonal
    path = follow(
        [found(box(100, 100)), found(far), found(box(102, 100))], seed(*box(100, 100))
    )
    assert path.state.tolist() == [BoxState.DETECTED, ABSENT, BoxState.DETECTED]
    assert np.isnan(path.boxes[1]).all()
    assert np.isnan(path.scores[1])


def test_reach_grows_with_the_root_of_time():
    away = box(
        100 + 48, 100
    )  # 67.9 px, 1.36 diagonals: beyond 1 after one frame, within √2 after two
    assert (
        follow([found(box(100, 100)), found(away)], seed(*box(100, 100))).state[1]
        == ABSENT
    )
    path = follow([found(box(100, 100)), found(), found(away)], seed(*box(100, 100)))
    assert path.boxes[2].tolist() == list(away)
    farther = box(100 + 53, 100)  # 1.5 diagonals
    assert (
        follow(
            [found(box(100, 100)), found(), found(farther)], seed(*box(100, 100))
        ).state[2]
        == ABSENT
    )


def test_nobody_anywhere_gives_nan_everywhere():
    path = follow([found() for _ in range(5)])
    assert np.isnan(path.boxes).all()
    assert np.isnan(path.scores).all()
    assert path.state.tolist() == [0] * 5
    assert len(follow([]).state) == 0


def test_the_track_ends_after_the_longest_absence():
    detections = [
        found(box(100, 100)),
        found(),
        found(),
        found(box(101, 100)),
        found(box(102, 100)),
    ]
    assert follow(detections, seed(*box(100, 100)), max_absence=3).state.tolist() == [
        1,
        0,
        0,
        1,
        1,
    ]
    path = follow(detections, seed(*box(100, 100)), max_absence=2)
    assert path.state.tolist() == [1, 0, 0, 0, 0]
    assert np.isnan(path.boxes[1:]).all()


def test_absence_is_counted_in_source_frames():
    detections = [found(box(100, 100)), found(), found(box(101, 100))]
    sampled = np.array([0, 30, 60])
    assert track_person(
        detections, sampled, DEFAULT, seed(*box(100, 100))
    ).state.tolist() == [
        1,
        0,
        0,
    ]
    assert track_person(
        detections, sampled // 2, DEFAULT, seed(*box(100, 100))
    ).state.tolist() == [1, 0, 1]


def test_followed_both_ways_from_the_seed():
    detections = [found(box(100 + 3 * t, 100), box(300, 100 + t)) for t in range(9)]
    path = follow(detections, seed(*box(300, 104), frame=4))
    assert path.boxes.tolist() == [list(box(300, 100 + t)) for t in range(9)]


def test_the_seed_takes_the_detection_it_overlaps():
    detections = [
        found(box(100, 100), box(300, 100)),
        found(box(101, 100), box(301, 100)),
    ]
    path = follow(detections, seed(*box(305, 104)))
    assert path.boxes.tolist() == [list(box(300, 100)), list(box(301, 100))]
    assert path.state.tolist() == [1, 1]


def test_a_seed_nobody_was_detected_at_stands_for_itself():
    path = follow(
        [found(box(300, 100)), found(box(101, 100), box(300, 100))],
        seed(*box(100, 100)),
    )
    assert path.boxes.tolist() == [list(box(100, 100)), list(box(101, 100))]
    assert path.state.tolist() == [BoxState.FILLED, BoxState.DETECTED]
    assert np.isnan(path.scores[0])


def test_a_seed_between_two_samples_starts_at_the_nearer_and_invents_no_box():
    path = track_person(
        [found(), found(box(101, 100))],
        np.array([0, 10]),
        DEFAULT,
        seed(*box(100, 100), frame=4),
    )
    assert path.state.tolist() == [0, 1]


@pytest.mark.parametrize("spectators", [1, 2, 4])
def test_a_moving_diver_is_preferred_to_larger_still_spectators(spectators):
    still = [box(300 + 120 * n, 20, 90, 120) for n in range(spectators)]
    diver = [box(50 + 3 * t, 50 + 4 * t) for t in range(12)]
    path = follow(
        [
            found(*still, diver[t], scores=(0.95,) * spectators + (0.7,))
            for t in range(12)
        ]
    )
    assert path.boxes.tolist() == [list(corners) for corners in diver]


@pytest.mark.parametrize(
    ("pan", "spectators"), [((7, 0), 1), ((7, 0), 3), ((-4, 9), 3)]
)
def test_a_moving_diver_under_a_panning_camera(pan, spectators):
    dx, dy = pan

    def seen(t: int) -> Detections:
        still = [
            box(300 + 120 * n + dx * t, 200 + dy * t, 90, 120)
            for n in range(spectators)
        ]
        return found(
            *still, box(200, 150 + t), scores=(0.95,) * spectators + (0.7,)
        )  # the camera follows the diver

    path = follow([seen(t) for t in range(12)])
    assert path.boxes.tolist() == [list(box(200, 150 + t)) for t in range(12)]


def test_among_the_still_the_largest_and_surest():
    detections = [
        found(
            box(0, 0), box(200, 0, 60, 80), box(400, 0, 60, 80), scores=(0.9, 0.9, 0.5)
        )
    ] * 4
    assert follow(detections).boxes[0].tolist() == list(box(200, 0, 60, 80))
