"""Where a dive's frames may lie: the places in their order, and none outside."""

from __future__ import annotations

from pathlib import Path

import pytest

from finediving_pose.datasets.dive_frames import (
    find_skeleton_source,
    list_dive_clips,
    list_named_recordings,
)
from finediving_pose.records import Dive

DIVE = Dive(match="Meet", dive="3", video="tapes/a.mp4", start_frame=5, end_frame=9)


def add_images(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "1.jpg").touch()
    return folder


def add_video(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


@pytest.fixture
def places(tmp_path):
    """Every place that a dive's frames can lie at, in their order."""
    frames, table = tmp_path / "frames", tmp_path / "table"
    return [
        add_images(frames / "Meet/3"),
        add_video(frames / "Meet/3.mp4"),
        add_video(table / "tapes/a.mp4"),
        add_video(frames / "tapes/a.mp4"),
        add_video(frames / "Meet.mov"),
    ]


def test_places_come_in_one_order(places, tmp_path):
    clips = list(list_dive_clips(DIVE, tmp_path / "frames", tmp_path / "table"))
    assert [clip.source for clip in clips] == places


def test_a_place_of_the_dive_alone_has_no_window(places, tmp_path):
    clips = list(list_dive_clips(DIVE, tmp_path / "frames", tmp_path / "table"))
    assert [clip.start_frame for clip in clips] == [None, None, 5, 5, 5]


def test_the_recording_of_a_match_needs_a_window(places, tmp_path):
    dive = Dive(match="Meet", dive="3")
    clips = list_dive_clips(dive, tmp_path / "frames", tmp_path / "table")
    assert [clip.source for clip in clips] == places[:2]


def test_a_folder_without_images_is_no_place(tmp_path):
    (tmp_path / "frames/Meet/3").mkdir(parents=True)
    (tmp_path / "frames/tapes/a.mp4").mkdir(parents=True)
    assert not list(list_dive_clips(DIVE, tmp_path / "frames", tmp_path / "table"))


def test_a_named_recording_lies_beside_the_table_or_below_the_frames(places, tmp_path):
    found = list_named_recordings(DIVE, tmp_path / "table", tmp_path / "frames")
    assert found == places[2:4]


def test_a_name_that_leads_out_is_no_recording(tmp_path):
    add_video(tmp_path / "secret.mp4")
    dive = Dive(match="Meet", dive="3", video="../secret.mp4")
    assert not list_named_recordings(dive, tmp_path / "table", tmp_path / "frames")


def test_a_skeleton_finds_its_own_source_first(places, tmp_path):
    frames = tmp_path / "frames"
    other = add_images(frames / "again/3")
    assert find_skeleton_source(frames, "Meet", "3", "again/3") == other
    assert find_skeleton_source(frames, "Meet", "3", "gone/3") == places[0]
    assert find_skeleton_source(frames / "Meet/3", "Meet", "3", "x/3") == places[0]


def test_a_skeleton_of_another_name_is_not_given_these_frames(places, tmp_path):
    frames = tmp_path / "frames"
    assert find_skeleton_source(frames, "Meet", "3", "gone/a.mp4") is None
    assert find_skeleton_source(frames, "Meet", "3", "../table/tapes/a.mp4") is None


def test_a_recording_may_be_named_itself(places, tmp_path):
    video = tmp_path / "frames/tapes/a.mp4"
    assert find_skeleton_source(video, "Meet", "3", "a.mp4") == video
