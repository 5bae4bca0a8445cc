"""Joints into sequences: what is observed, filled and missing, and the figures of
quality."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_divers import make_dive

from finediving_pose.extraction.quality import measure
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.extraction.skeleton_assembly import assemble_sequence, take_rows
from finediving_pose.records import BoxState, BoxTrack, JointState

FRAMES = 8


def track(missing=()):
    boxes = np.tile(np.array([0, 0, 30, 40], np.float32), (FRAMES, 1))
    scores, state = (
        np.full(FRAMES, 0.9, np.float32),
        np.full(FRAMES, BoxState.DETECTED, np.uint8),
    )
    for row in missing:
        boxes[row], scores[row], state[row] = np.nan, np.nan, BoxState.MISSING
    return BoxTrack(boxes, scores, state)


def joints(missing=()):
    keypoints = np.tile(np.arange(FRAMES, dtype=np.float32)[:, None, None], (1, 16, 2))
    scores = np.full((FRAMES, 16), 0.5, np.float32)
    for row in missing:
        keypoints[row], scores[row] = np.nan, np.nan
    return keypoints, scores


def build(missing=(), numbers=None, **settings):
    keypoints, scores = joints(missing)
    index = np.arange(FRAMES) if numbers is None else np.array(numbers)
    return assemble_sequence(
        track(missing), keypoints, scores, index, ExtractionSettings(**settings)
    )


def test_gaps_are_filled_flagged_and_have_no_score():
    sequence = build(missing=[2, 3])
    assert np.allclose(sequence.keypoints[:, 5, 0], np.arange(FRAMES))
    assert (sequence.state[[2, 3]] == JointState.INTERPOLATED).all()
    assert (sequence.state[[0, 1, 4, 5, 6, 7]] == JointState.OBSERVED).all()
    assert np.isnan(sequence.scores[[2, 3]]).all()


def test_long_gaps_and_ends_stay_missing():
    sequence = build(missing=[0, 3, 4, 5, 7], max_gap=2)
    assert np.flatnonzero(np.isnan(sequence.keypoints[:, 0, 0])).tolist() == [
        0,
        3,
        4,
        5,
        7,
    ]
    assert (sequence.state[[0, 3, 4, 5, 7]] == JointState.MISSING).all()


def test_a_joint_at_the_limit_counts_as_observed():
    keypoints, scores = joints()
    scores[3, 4], scores[5, 4] = 0.2, 0.19
    settings = ExtractionSettings(min_score=np.float32(0.2).item())
    sequence = assemble_sequence(
        track(), keypoints, scores, np.arange(FRAMES), settings
    )
    assert sequence.state[3, 4] == JointState.OBSERVED
    assert sequence.state[5, 4] == JointState.INTERPOLATED


def test_rows_may_repeat():
    sequence = take_rows(build(missing=[2]), [0, 0, 2, 7], {"a": 1})
    assert sequence.frame_index.tolist() == [0, 0, 2, 7]
    assert sequence.keypoints[:, 0, 0].tolist() == [0, 0, 2, 7]
    assert sequence.track.state.tolist() == [1, 1, 0, 1]
    assert sequence.meta["a"] == 1
    assert sequence.meta["repair"]["interpolated"] == 16


def test_what_the_repair_did_is_counted_once_and_its_raw_joints_go_along():
    keypoints = np.stack([frame.keypoints for frame in make_dive(FRAMES)])
    scores = np.full((FRAMES, 16), 0.5)
    keypoints[4, 9] += 60
    sequence = assemble_sequence(
        track(), keypoints, scores, np.arange(FRAMES), ExtractionSettings()
    )
    assert sequence.state[4, 9] == JointState.OUTLIER_REMOVED | JointState.INTERPOLATED
    taken = take_rows(sequence, [0, 4, 4], {})
    assert measure(taken)["outliers"] == taken.meta["repair"]["outliers"] == 1
    np.testing.assert_allclose(taken.raw, keypoints[[0, 4, 4]], rtol=1e-6)


def test_quality_of_a_clip_with_gaps():
    figures = measure(build(missing=[0, 2, 5, 6, 7], max_gap=1))
    assert figures == {
        "frames": 8,
        "detected_share": 0.375,
        "mean_score": 0.5,
        "interpolated_share": 0.125,
        "nan_share": 0.5,
        "longest_gap": 3,
        "track_jumps": 0,
        "swapped_joints": 0,
        "swapped_frames": 0,
        "outliers": 0,
        "interpolated": 16,
    }


def test_quality_of_nothing():
    figures = measure(build(missing=range(FRAMES)))
    assert (
        figures["detected_share"],
        figures["nan_share"],
        figures["longest_gap"],
    ) == (0.0, 1.0, FRAMES)
    assert figures["mean_score"] is None


def test_repeated_samples_are_no_standing_still():
    """A jump from one frame to the next counts once, however often its frames are
    repeated."""
    path = track()
    path.boxes[4:] += 200
    sequence = assemble_sequence(
        path, *joints(), np.arange(FRAMES), ExtractionSettings()
    )
    assert measure(sequence)["track_jumps"] == 1
    assert (
        measure(
            take_rows(sequence, [row for row in range(FRAMES) for _ in range(3)], {})
        )["track_jumps"]
        == 1
    )


@pytest.mark.parametrize("step", [1, 5])
def test_gaps_count_in_frames_of_the_source(step):
    sequence = build(missing=[3], numbers=range(0, FRAMES * step, step), max_gap=4)
    assert (
        sequence.state[3]
        == (JointState.INTERPOLATED if step == 1 else JointState.MISSING)
    ).all()
