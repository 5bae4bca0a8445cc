"""What ``fdpose score`` reads: the frames of a clip, and whether a skeleton is of them."""

from __future__ import annotations

import numpy as np
import pytest
from helpers.made_frames import extracted, write_frames

from finediving_pose.datasets.pose_files import write_pose
from finediving_pose.errors import DataError
from finediving_pose.records import Clip
from finediving_pose.workflows.score_inputs import (
    LEAST_FRAMES,
    measure_known_joints,
    read_clip_frames,
)


@pytest.fixture
def clip(tmp_path) -> Clip:
    write_frames(tmp_path / "m" / "1", range(100, 140))
    return Clip("m", "1", tmp_path / "m" / "1")


def test_frames_that_stand_for_a_dive_are_sampled(clip):
    frames = read_clip_frames(clip, 20)
    assert (frames.numbers[0], frames.numbers[-1], len(frames.sampled)) == (
        100,
        139,
        20,
    )
    assert frames.notes == ()
    few = read_clip_frames(clip, 96)
    assert few.notes == ("40 frames stand for 96: some count twice",)


def test_a_part_that_is_too_short_is_no_dive(clip):
    short = Clip("m", "1", clip.source, 100, 100 + LEAST_FRAMES - 2)
    with pytest.raises(DataError, match="15 frames in the part that was asked for"):
        read_clip_frames(short, 20)


def test_joints_are_counted_in_the_frames_of_the_clip(clip, tmp_path):
    path = tmp_path / "own.npz"
    write_pose(path, extracted(range(100, 140), samples=40))
    sampled = read_clip_frames(clip, 20).sampled
    share, notes = measure_known_joints(path, clip.source, sampled, 20)
    assert share > 0.9
    assert notes == ()


def test_a_skeleton_as_long_with_other_numbers_is_taken_and_noted(clip, tmp_path):
    path = tmp_path / "other.npz"
    write_pose(path, extracted(range(1000, 1040), samples=40))
    sampled = read_clip_frames(clip, 20).sampled
    known = measure_known_joints(path, clip.source, sampled, 20)
    assert "is of frames 1000 – 1039, the clip has 100 – 139: as long" in known.notes[0]
    with pytest.raises(DataError, match="is it another dive's"):
        measure_known_joints(path, clip.source, np.arange(100, 120).tolist(), 20)
