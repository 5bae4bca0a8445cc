"""Clips of a video."""

from __future__ import annotations

import pytest
import torch

from finediving_pose.aqa.model.visual_encoders import clip_starts, gather_clips
from finediving_pose.errors import UsageError


def test_starts_of_finediving_and_mtl_aqa():
    assert clip_starts() == (0, 10, 20, 30, 40, 50, 60, 70, 80)
    assert clip_starts(103) == (
        0,
        10,
        20,
        30,
        40,
        50,
        60,
        70,
        80,
        87,
    )  # ten clips, the last ends with the video
    assert clip_starts(16) == (0,)


@pytest.mark.parametrize("frames", range(16, 120))
def test_every_frame_is_in_a_clip(frames):
    covered = {start + frame for start in clip_starts(frames) for frame in range(16)}
    assert covered == set(range(frames))


def test_a_video_shorter_than_a_clip_is_refused():
    with pytest.raises(UsageError, match=r"frames=15.*at least the 16 frames"):
        clip_starts(15)


def test_gathered_clips_hold_their_frames():
    videos = torch.arange(2 * 96).view(2, 1, 96, 1, 1).expand(2, 3, 96, 2, 2)
    clips = gather_clips(videos, clip_starts())
    assert clips.shape == (18, 3, 16, 2, 2)
    assert clips[1, 0, :, 0, 0].tolist() == list(range(10, 26))
    assert clips[9 + 8, 2, :, 1, 1].tolist() == list(range(96 + 80, 96 + 96))
