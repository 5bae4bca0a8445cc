"""Gaps of a track, its jumps, and what it leaves for a second person."""

from __future__ import annotations

import numpy as np
from helpers.made_detections import box, found, numbered, seed

from finediving_pose.extraction.settings import TrackingSettings
from finediving_pose.extraction.track_tools import (
    Seed,
    count_jumps,
    fill_track,
    remove_tracked,
)
from finediving_pose.extraction.trackers import track_person
from finediving_pose.records import BoxState, BoxTrack, Detections


def follow(
    detections: list[Detections], start: Seed | None = None, **settings: object
) -> BoxTrack:
    return track_person(
        detections,
        numbered(len(detections)),
        TrackingSettings.model_validate(settings),
        start,
    )


def test_a_gap_is_filled_and_flagged():
    path = follow(
        [found(box(100, 100)), found(), found(), found(box(106, 112))],
        seed(*box(100, 100)),
    )
    filled = fill_track(path, numbered(4), max_gap=2)
    assert filled.state.tolist() == [
        BoxState.DETECTED,
        BoxState.FILLED,
        BoxState.FILLED,
        BoxState.DETECTED,
    ]
    assert filled.boxes[1:3].tolist() == [list(box(102, 104)), list(box(104, 108))]
    np.testing.assert_array_equal(np.isnan(filled.scores), [False, True, True, False])
    assert fill_track(path, numbered(4), max_gap=1).state.tolist() == [1, 0, 0, 1]


def test_jumps_are_counted():
    corners = [
        box(0, 0),
        box(5, 0),
        box(30, 0),
        box(32, 0),
    ]  # 7, 35 and 3 px of eq. 25; half a diagonal is 25
    path = follow([found(c) for c in corners], seed(*corners[0]))
    assert count_jumps(path, numbered(4)) == 1
    assert count_jumps(path, numbered(4) * 2) == 0
    assert count_jumps(follow([found()]), numbered(1)) == 0


def test_the_second_person_is_tracked_on_what_is_left():
    detections = [found(box(100 + 3 * t, 100), box(200 + 3 * t, 100)) for t in range(6)]
    first = follow(detections, seed(*box(200, 100)))
    left = remove_tracked(detections, first)
    assert [len(each.boxes) for each in left] == [1] * 6
    assert follow(left).boxes.tolist() == [
        list(box(100 + 3 * t, 100)) for t in range(6)
    ]
