"""Video files and folders of images are found; what is left out is said."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from helpers.moving_blobs import write_clip

from finediving_pose.extraction.sources import find_sources


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def list_below(root: Path, paths: list[Path]) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def number_frames(folder: str, count: int) -> list[str]:
    return [f"{folder}/{number:05}.png" for number in range(count)]


@pytest.mark.parametrize("preview", ["preview.gif", "preview.mp4"])
def test_a_preview_beside_a_folders_frames_is_no_clip(tmp_path, preview):
    make(tmp_path, *number_frames("01/3", 6), f"01/3/{preview}")
    found = find_sources(tmp_path)
    assert list_below(tmp_path, found.paths) == ["01/3"]
    assert list_below(tmp_path, found.previews) == [f"01/3/{preview}"]
    assert f"{preview} beside 6 images" in found.notes[0]
    assert "preview" in found.notes[0]
    assert found.not_read.total() == 1


def test_thumbnails_beside_videos_are_no_frames(tmp_path):
    videos = [f"01/{name}.mp4" for name in "abcdef"]
    make(tmp_path, *videos, *(f"01/{name}.jpg" for name in "abcdef"), "01/cover.jpg")
    found = find_sources(tmp_path)
    assert list_below(tmp_path, found.paths) == videos
    assert "7 images beside video files are left out" in found.notes[0]


def test_a_gif_alone_is_a_clip(tmp_path):
    assert len(find_sources(make(tmp_path, "01/a.gif")).paths) == 1


@pytest.mark.parametrize(
    "name",
    ["@eaDir", "#recycle", "lost+found", ".Trash-1000", "__MACOSX", "$RECYCLE.BIN"],
)
def test_folders_of_systems_are_left_out_and_said(tmp_path, name):
    make(tmp_path, "01/a.mp4", f"01/{name}/b.mp4", f"{name}/c.mp4")
    found = find_sources(tmp_path)
    assert list_below(tmp_path, found.paths) == ["01/a.mp4"]
    assert f"2 folders called {name} are left out" in found.notes[0]


def test_a_folder_that_cannot_be_listed_is_refused(tmp_path, monkeypatch):
    make(tmp_path, "01/a.mp4", "02/b.mp4")
    scandir = os.scandir

    def refuse(path):
        if os.path.basename(path) == "02":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = find_sources(tmp_path)
    assert list_below(tmp_path, found.paths) == ["01/a.mp4"]
    (refused,) = found.refused
    assert refused.source == str(tmp_path / "02")
    assert refused.reason == "cannot be listed: Permission denied"


def test_a_linked_folder_is_entered_once(tmp_path):
    make(tmp_path / "drive", *number_frames("3", 4))
    videos = make(tmp_path / "videos", "01/a.mp4")
    (videos / "01" / "3").symlink_to(tmp_path / "drive" / "3")
    (videos / "01" / "again").symlink_to(videos)
    assert list_below(videos, find_sources(videos).paths) == ["01/a.mp4", "01/3"]


def test_pipes_and_devices_are_no_videos(tmp_path):
    make(tmp_path, "01/a.mp4")
    os.mkfifo(tmp_path / "01" / "pipe.mp4")
    (tmp_path / "01" / "zeros.mp4").symlink_to("/dev/zero")
    (tmp_path / "01" / "zeros").symlink_to("/dev/zero")
    found = find_sources(tmp_path)
    assert list_below(tmp_path, found.paths) == ["01/a.mp4"]
    assert len(found.notes) == 3
    assert all("a pipe or a device" in note for note in found.notes)


def test_a_video_is_known_by_its_content_where_its_name_tells_nothing(tmp_path):
    clip = write_clip(tmp_path / "clip.mp4", 5)
    videos = make(tmp_path / "videos", "01/notes", "01/dive.dat", "01/words.nfo")
    (videos / "01" / "words.nfo").write_text("Men's 3 m, final\n" * 50)
    for name in ("dive", "dive.cam", "song.mp3"):
        shutil.copy(clip, videos / "01" / name)
    found = find_sources(videos)
    assert list_below(videos, found.paths) == ["01/dive", "01/dive.cam"]
    assert found.not_read == {".dat": 1, ".mp3": 1, ".nfo": 1, "no suffix": 1}
    assert "dive.cam: a video by its content" in found.notes[1]


def test_a_still_image_of_an_unknown_suffix_is_no_video(tmp_path):
    folder = write_clip(tmp_path / "frames", 1)
    videos = make(tmp_path / "videos", "01/a.mp4")
    shutil.copy(next(folder.iterdir()), videos / "01" / "cover")
    assert list_below(videos, find_sources(videos).paths) == ["01/a.mp4"]
