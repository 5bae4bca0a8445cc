"""A clip's skeletons over its pictures: the video, the film strip, and which pictures
they are."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from helpers.moving_blobs import BlobDetector, BoxEstimator, blob_box, write_clip

from finediving_pose.cli.main import run as fdpose
from finediving_pose.datasets.pose_files import pose_path, read_pose, write_pose
from finediving_pose.errors import DataError, UsageError
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.media import VideoFile
from finediving_pose.reporting.film_strip import choose_strip_rows, draw_film_strip
from finediving_pose.workflows.extraction import extract
from finediving_pose.workflows.rendering import render_clip


@pytest.fixture
def extracted(tmp_path):
    videos, out = tmp_path / "videos", tmp_path / "out"
    write_clip(videos / "01" / "3", 30, first=1000)
    write_clip(videos / "pool" / "a.avi", 24)
    extract(videos, out, BlobDetector(), BoxEstimator())
    return videos, out


@pytest.mark.parametrize("suffix", ["mp4", "webm"])
def test_the_video_has_every_frame_once_and_lasts_as_long(extracted, tmp_path, suffix):
    videos, out = extracted
    made = render_clip(out, "pool/a", tmp_path / "drawn", videos, suffix)
    assert (made.frames, made.clip) == (24, "pool/a")
    assert made.video.name == f"pool__a.{suffix}"
    frames = list(VideoFile(made.video).read())
    assert len(frames) == 24
    blue, _, red = np.moveaxis(frames[10].image.astype(int), 2, 0)
    assert (
        red - blue > 60
    ).sum() > 50  # the yellow box on a grey picture, after lossy compression


def test_a_folder_that_lost_its_last_frames_is_drawn_without_them(extracted, tmp_path):
    videos, out = extracted
    for number in (1028, 1029):
        (videos / "01" / "3" / f"{number}.png").unlink()
    assert render_clip(out, "01/3", tmp_path / "drawn", videos).frames == 28


def test_the_film_strip_shows_the_athlete_in_the_middle(extracted):
    videos, out = extracted
    sequence = read_pose(pose_path(out, "01", "3"))
    rows = choose_strip_rows(sequence, 3)
    assert sequence.frame_index[rows].tolist() == [1000, 1014, 1029]
    pictures = {
        1000 + i: cv2.imread(str(videos / "01" / "3" / f"{1000 + i}.png"))
        for i in (0, 14)
    }
    sheet = draw_film_strip(pictures, sequence, rows, side=100, columns=3)
    cells = [sheet[-100:, x : x + 100] for x in (0, 104, 208)]
    for number, cell in zip((1000, 1014), cells, strict=False):
        bright = np.argwhere(cell.min(axis=2) > 220)
        height = (
            np.ptp(blob_box(number)[[1, 3]])
            / (np.ptp(blob_box(number)[[1, 3]]) * 1.5)
            * 100
        )
        assert np.abs(bright.mean(axis=0) - 50).max() < 6
        assert np.ptp(bright[:, 0]) == pytest.approx(height, abs=8)
    assert (cells[2] == 96).mean() > 0.99  # there was no picture of it


def test_one_folder_as_the_videos_is_found_from_its_parent(tmp_path):
    videos, out = tmp_path / "videos", tmp_path / "out"
    write_clip(videos / "01" / "3", 20)
    extract(videos / "01" / "3", out, BlobDetector(), BoxEstimator())
    assert read_pose(pose_path(out, "01", "3")).meta["source"] == "3"
    assert render_clip(out, "3", tmp_path / "a", videos).frames == 20
    assert render_clip(out, "3", tmp_path / "b", videos / "01" / "3").frames == 20


def test_part_of_a_recording_and_all_frames(tmp_path):
    videos, out = tmp_path / "videos", tmp_path / "out"
    write_clip(videos / "meet.avi", 60)
    (videos / "dives.csv").write_text(
        "match,dive,video,start_frame,end_frame\nM,1,meet.avi,20,39\n"
    )
    extract(
        videos,
        out,
        BlobDetector(),
        BoxEstimator(),
        ExtractionSettings(frames=None),
        dives=videos / "dives.csv",
    )
    made = render_clip(out, "M/1", tmp_path / "drawn", videos)
    assert made.frames == 20


def test_mistakes_are_answered(extracted, tmp_path, capsys):
    videos, out = extracted
    with pytest.raises(UsageError, match=r"no clip '01/4'.*01/3"):
        render_clip(out, "01/4", tmp_path / "x", videos)
    write_clip(videos / "02" / "3", 20)
    write_pose(pose_path(out, "02", "3"), read_pose(pose_path(out, "01", "3")))
    with pytest.raises(UsageError, match=r"a dive of 2 matches; say which: 01/3, 02/3"):
        render_clip(out, "3", tmp_path / "x", videos)
    with pytest.raises(UsageError, match=r"no Pose/<match>"):
        render_clip(tmp_path, "3", tmp_path / "x", videos)
    with pytest.raises(DataError, match="no such video or folder; --videos names"):
        render_clip(out, "01/3", tmp_path / "x", tmp_path / "elsewhere")
    sequence = read_pose(pose_path(out, "01", "3"))
    sequence.meta["source"] = "../../etc/3"
    write_pose(pose_path(out, "01", "3"), sequence)
    (tmp_path.parent / "etc" / "3").mkdir(parents=True, exist_ok=True)
    sequence.meta["match"] = "09"
    write_pose(pose_path(out, "01", "3"), sequence)
    with pytest.raises(DataError, match="no such video or folder"):
        render_clip(out, "01/3", tmp_path / "x", videos)
    assert not (tmp_path / "x").exists()


def test_the_command(extracted, tmp_path, capsys):
    videos, out = extracted
    options = [
        "--skeletons",
        str(out),
        "--videos",
        str(videos),
        "--out",
        str(tmp_path / "drawn"),
    ]
    assert fdpose(["render", "01/3", *options]) == 0
    assert "01/3: wrote" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == [
        "01__3.jpg",
        "01__3.mp4",
    ]


@pytest.mark.parametrize("key", ["match", "dive", "clip"])
@pytest.mark.parametrize("name", ["../../outside", "/outside", "a/b", "x" * 300])
def test_nothing_is_written_where_a_file_says(extracted, tmp_path, key, name):
    videos, out = extracted
    path = pose_path(out, "01", "3")
    sequence = read_pose(path)
    sequence.meta[key] = name.replace("/outside", f"{tmp_path}/outside")
    write_pose(path, sequence)
    before = {file for file in tmp_path.rglob("*") if "drawn" not in file.parts}
    made = render_clip(out, "01/3", tmp_path / "drawn", videos)
    assert {file for file in tmp_path.rglob("*") if "drawn" not in file.parts} == before
    assert made.video == tmp_path / "drawn" / "01__3.mp4"


def test_two_long_names_are_one_that_a_drive_takes(extracted, tmp_path):
    videos, out = extracted
    sequence = read_pose(pose_path(out, "01", "3"))
    write_pose(pose_path(out, "m" * 190, "ö" * 95), sequence)
    made = render_clip(out, f"{'m' * 190}/{'ö' * 95}", tmp_path / "drawn", videos)
    assert len(made.video.name.encode()) < 255
    assert made.frames == 30


def test_numbers_far_apart_end_soon(extracted, tmp_path):
    videos, out = extracted
    path = pose_path(out, "pool", "a")
    sequence = read_pose(path)
    sequence.meta["frames_in_clip"] = 10**9
    sequence.frame_index[-1] = 10**9 - 1
    write_pose(path, sequence)
    assert render_clip(out, "pool/a", tmp_path / "drawn", videos).frames == 23
    assert fdpose(["qc", str(out), "--out", str(tmp_path / "qc")]) == 0
