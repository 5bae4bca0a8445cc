"""The registry of trackers: names, a new one, and what every tracker is given."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_detections import box, found, numbered, seed

from finediving_pose.errors import UsageError
from finediving_pose.extraction import trackers
from finediving_pose.extraction.settings import TrackingSettings
from finediving_pose.extraction.track_tools import Seed, choose_detection, empty_track
from finediving_pose.extraction.trackers import TRACKERS, register_tracker, track_person
from finediving_pose.records import BoxState, BoxTrack, Detections

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


def test_an_unknown_tracker_is_named_with_the_nearest():
    with pytest.raises(
        UsageError, match=r"no tracker named 'neerest' \(did you mean nearest\?\)"
    ):
        follow([found()], tracker="neerest")


def test_weak_and_impossible_boxes_are_not_looked_at():
    bad = found(
        box(100, 100),
        (100, 100, 100.5, 140),
        (np.nan, 0, 1, 1),
        scores=(0.05, 0.9, 0.9),
    )
    path = follow([found(box(100, 100)), bad], seed(*box(100, 100)))
    assert path.state.tolist() == [BoxState.DETECTED, ABSENT]


def test_a_tracker_is_a_function_and_a_line(monkeypatch):
    given = []

    def track_last(detections, frame_index, settings, start):
        given.append((len(detections), frame_index.tolist(), settings.max_jump, start))
        path = empty_track(len(detections))
        for row, people in enumerate(detections):
            if len(people.boxes):
                choose_detection(path, row, people, len(people.boxes) - 1)
        return path

    monkeypatch.setattr(trackers, "TRACKERS", dict(TRACKERS))
    register_tracker("last", track_last)
    register_tracker("last", track_last)  # the same line read twice changes nothing
    path = follow([found(box(0, 0), box(9, 0)), found()], tracker="last", max_jump=2.0)
    assert path.boxes[0].tolist() == list(box(9, 0))
    assert path.state.tolist() == [BoxState.DETECTED, ABSENT]
    assert given == [(2, [0, 1], 2.0, None)]
    with pytest.raises(ValueError, match="'last': another tracker has this name"):
        register_tracker("last", trackers.track_nearest)
