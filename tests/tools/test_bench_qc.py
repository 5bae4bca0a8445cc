"""What the measurement of `fdpose qc` counts as a clip's true error, and as finding the
worst."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finediving_pose.datasets.pose_files import pose_path, write_pose
from finediving_pose.records import BoxState, BoxTrack, JointState, SkeletonSequence
from finediving_pose.workflows.qc import report_on_file
from finediving_pose.workflows.synthesis import SKELETONS_NAME

PATH = Path(__file__).parents[2] / "tools" / "bench_qc.py"
SPEC = importlib.util.spec_from_file_location("bench_qc", PATH)
assert SPEC is not None
assert SPEC.loader is not None
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)

FRAMES = 8


@pytest.fixture
def truth() -> SkeletonSequence:
    """A body with a torso of 40 px."""
    points = np.random.default_rng(0).uniform(0, 50, (FRAMES, 16, 2)).astype(np.float32)
    points[:, [12, 13]], points[:, [2, 3]] = [20, 10], [20, 50]
    boxes = np.tile(np.array([0, 0, 60, 60], np.float32), (FRAMES, 1))
    state = np.full(FRAMES, BoxState.DETECTED, np.uint8)
    return SkeletonSequence(
        points,
        np.ones((FRAMES, 16), np.float32),
        np.full((FRAMES, 16), JointState.OBSERVED, np.uint8),
        BoxTrack(boxes, np.ones(FRAMES, np.float32), state),
        np.arange(FRAMES),
    )


def error_of(found: SkeletonSequence, truth: SkeletonSequence, tmp_path: Path) -> float:
    write_pose(pose_path(tmp_path / SKELETONS_NAME, "meet", "1"), truth)
    path = pose_path(tmp_path / "found", "meet", "1")
    write_pose(path, found)
    return float(tool.measure_true_error(report_on_file(path), tmp_path))


def test_the_error_is_in_torsos_and_a_missing_joint_counts_one(truth, tmp_path):
    points = truth.keypoints + np.array([10, 0], np.float32)
    points[:2] = np.nan
    found = replace(truth, keypoints=points)
    assert error_of(found, truth, tmp_path) == pytest.approx((2 * 1.0 + 6 * 0.25) / 8)


def test_frames_that_were_not_sampled_do_not_count(truth, tmp_path):
    rows = np.array([0, 2, 4, 6, 6])
    track = BoxTrack(
        truth.track.boxes[rows], truth.track.scores[rows], truth.track.state[rows]
    )
    found = SkeletonSequence(
        truth.keypoints[rows], truth.scores[rows], truth.state[rows], track, rows
    )
    assert error_of(found, truth, tmp_path) == 0


def test_the_area_and_how_much_larger_it_is():
    bad = np.arange(40) >= 30
    rising = np.arange(40.0)
    assert tool.compute_auc(rising, bad) == 1
    assert tool.compute_auc(-rising, bad) == 0
    assert tool.compute_auc(np.zeros(40), bad) == 0.5
    assert tool.compare_areas(rising, -rising, bad) == (1, 1, 1)
