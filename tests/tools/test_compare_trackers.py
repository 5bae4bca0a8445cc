"""What the comparison of trackers counts."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from finediving_pose.datasets.pose_files import pose_path, write_pose
from finediving_pose.datasets.truth_files import (
    DiveTruth,
    make_true_skeleton,
    make_truth_path,
    write_truth,
)
from finediving_pose.records import BoxState, BoxTrack, SkeletonSequence

PATH = Path(__file__).parents[2] / "tools" / "compare_trackers.py"
SPEC = importlib.util.spec_from_file_location("compare_trackers", PATH)
assert SPEC is not None
assert SPEC.loader is not None
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)

DIVER, JUDGE, NOBODY = [0.0, 0, 10, 20], [50.0, 0, 60, 20], [np.nan] * 4


def judged(boxes):
    there = np.array([True, True, True, False])
    return tool.judged(
        np.array(boxes), there & (np.array(boxes) == DIVER).all(axis=1), there
    )


def test_on_the_diver_all_along():
    assert judged([DIVER] * 3 + [NOBODY]) == (1.0, 0.0, 0.0, 1.0)


def test_a_switch_and_a_box_after_the_diver_has_gone_are_elsewhere():
    assert judged([DIVER, DIVER, JUDGE, JUDGE]) == (2 / 3, 0.5, 1.0, 0.0)


def test_misses_come_in_runs_and_make_up_their_share():
    lost = tool.draw_misses(np.random.default_rng(0), 20000, 0.25)
    assert abs(lost.mean() - 0.25) < 0.03
    assert abs(lost.sum() / (np.diff(lost.astype(int)) == 1).sum() - 4.0) < 0.4


def truth() -> DiveTruth:
    """Four frames of a diver who has gone in the last one, and a judge."""
    frames = 4
    joints = np.random.default_rng(0).uniform(0, 10, (frames, 16, 2)).astype(np.float32)
    none = np.zeros(frames, np.float32)
    return DiveTruth(
        keypoints=joints,
        visibility=np.array([[2] * 16] * 3 + [[0] * 16], np.uint8),
        boxes=np.array([DIVER] * 3 + [NOBODY], np.float32),
        frame_index=np.arange(frames),
        frame_labels=np.zeros(frames, np.int64),
        joints=np.zeros((frames, 16, 3), np.float32),
        mass_centre=np.zeros((frames, 3), np.float32),
        somersault=none,
        twist=none,
        cameras=np.zeros((frames, 3, 4)),
        meta={},
        others=np.array([[row, 1, *JUDGE] for row in range(frames)], np.float32),
    )


def extracted(folder: Path, boxes: list[list[float]]) -> Path:
    """An extraction with true joints in the boxes given."""
    sequence = make_true_skeleton(truth())
    state = np.where(
        np.isfinite(np.array(boxes)[:, 0]), BoxState.DETECTED, BoxState.MISSING
    ).astype(np.uint8)
    track = BoxTrack(np.array(boxes, np.float32), np.ones(4, np.float32), state)
    path = pose_path(folder, "meet", "1")
    write_pose(
        path,
        SkeletonSequence(
            sequence.keypoints,
            sequence.scores,
            sequence.state,
            track,
            sequence.frame_index,
        ),
    )
    return folder


def test_an_extraction_is_judged_by_whose_boxes_it_has(tmp_path):
    near_diver = [2.0, 3, 14, 22]
    folder = extracted(tmp_path, [near_diver, JUDGE, [3.0, 0, 58, 20], NOBODY])
    assert tool.against_truth(folder, "meet", "1", truth()) == (
        1 / 3,
        0.5,
        1.0,
        0.0,
        1.0,
    )


def test_the_table_tells_how_folders_differ(tmp_path):
    write_truth(make_truth_path(tmp_path, "meet", "1"), truth())
    good = extracted(tmp_path / "good", [DIVER] * 3 + [NOBODY])
    bad = extracted(tmp_path / "bad", [DIVER, JUDGE, JUDGE, NOBODY])
    lines = tool.extracted_table(tmp_path, [good, bad]).splitlines()
    assert lines[2].startswith("| good | 1.000 (1.000–1.000) | 0.000 (0.000–0.000) |")
    assert lines[4].startswith("| bad less good | -0.667 (-0.667–-0.667) | 0.500 (")
