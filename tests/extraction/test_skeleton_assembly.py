"""Joints into sequences: what is observed, filled and missing."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_divers import make_dive
from helpers.made_sequences import FRAMES, make_joints, make_sequence, make_track

from finediving_pose.extraction.quality_metrics import measure_quality
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.extraction.skeleton_assembly import assemble_sequence, take_rows
from finediving_pose.records import JointState


def test_gaps_are_filled_flagged_and_have_no_score():
    sequence = make_sequence(missing=[2, 3])
    assert np.allclose(sequence.keypoints[:, 5, 0], np.arange(FRAMES))
    assert (sequence.state[[2, 3]] == JointState.INTERPOLATED).all()
    assert (sequence.state[[0, 1, 4, 5, 6, 7]] == JointState.OBSERVED).all()
    assert np.isnan(sequence.scores[[2, 3]]).all()


def test_long_gaps_and_ends_stay_missing():
    sequence = make_sequence(missing=[0, 3, 4, 5, 7], max_gap=2)
    assert np.flatnonzero(np.isnan(sequence.keypoints[:, 0, 0])).tolist() == [
        0,
        3,
        4,
        5,
        7,
    ]
    assert (sequence.state[[0, 3, 4, 5, 7]] == JointState.MISSING).all()


def test_a_joint_at_the_limit_counts_as_observed():
    keypoints, scores = make_joints()
    scores[3, 4], scores[5, 4] = 0.2, 0.19
    settings = ExtractionSettings(min_score=np.float32(0.2).item())
    sequence = assemble_sequence(
        make_track(), keypoints, scores, np.arange(FRAMES), settings
    )
    assert sequence.state[3, 4] == JointState.OBSERVED
    assert sequence.state[5, 4] == JointState.INTERPOLATED


def test_rows_may_repeat():
    sequence = take_rows(make_sequence(missing=[2]), [0, 0, 2, 7], {"a": 1})
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
        make_track(), keypoints, scores, np.arange(FRAMES), ExtractionSettings()
    )
    assert sequence.state[4, 9] == JointState.OUTLIER_REMOVED | JointState.INTERPOLATED
    taken = take_rows(sequence, [0, 4, 4], {})
    assert measure_quality(taken)["outliers"] == taken.meta["repair"]["outliers"] == 1
    np.testing.assert_allclose(taken.raw, keypoints[[0, 4, 4]], rtol=1e-6)


@pytest.mark.parametrize("step", [1, 5])
def test_gaps_count_in_frames_of_the_source(step):
    sequence = make_sequence(
        missing=[3], numbers=range(0, FRAMES * step, step), max_gap=4
    )
    assert (
        sequence.state[3]
        == (JointState.INTERPOLATED if step == 1 else JointState.MISSING)
    ).all()
