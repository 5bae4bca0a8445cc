"""Which sources are clips, and that each has a name of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from finediving_pose.errors import UsageError
from finediving_pose.extraction.clips import Found, find_clips
from finediving_pose.records import Dive


def make(root: Path, *names: str) -> Path:
    """Make empty files: clips are found by their names."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def keys(found: Found) -> list[str]:
    return [clip.key for clip in found.clips]


def sources(found: Found, root: Path) -> dict[str, str]:
    return {clip.key: clip.source.relative_to(root).as_posix() for clip in found.clips}


def test_videos_frame_folders_and_finedivings_layout(tmp_path):
    make(
        tmp_path,
        "meet/a.MP4",
        "meet/b.avi",
        "frames/01/3/00001.jpg",
        "frames/01/3/00002.jpg",
        "meet/notes.txt",
    )
    assert sources(find_clips(tmp_path), tmp_path) == {
        "01/3": "frames/01/3",
        "meet/a": "meet/a.MP4",
        "meet/b": "meet/b.avi",
    }


def test_the_same_basename_in_two_matches_is_two_clips(tmp_path):
    found = find_clips(make(tmp_path, "01/3/1.jpg", "03/3/1.jpg", "04/3.mp4"))
    assert keys(found) == ["01/3", "03/3", "04/3"]
    assert (found.notes, found.refused) == ([], [])


def test_the_same_match_and_dive_in_two_places_are_told_apart(tmp_path):
    found = find_clips(make(tmp_path, "u/01/a.mp4", "v/01/a.mp4", "v/01/b.mp4"))
    assert sources(found, tmp_path) == {
        "01/b": "v/01/b.mp4",
        "u__01/a": "u/01/a.mp4",
        "v__01/a": "v/01/a.mp4",
    }
    assert len(found.notes) == 2
    assert "called u__01/a, because several clips would be 01/a" in found.notes[0]


def test_one_stem_with_two_suffixes(tmp_path):
    found = find_clips(make(tmp_path, "01/a.mp4", "01/a.avi"))
    assert sources(found, tmp_path) == {"01/a.avi": "01/a.avi", "01/a.mp4": "01/a.mp4"}


def test_names_that_really_collide_are_refused_all_of_them(tmp_path):
    found = find_clips(
        make(tmp_path, "a__b/01/x.mp4", "a/b/01/x.mp4", "a/b__01/x.mp4", "02/x.mp4")
    )
    assert keys(found) == ["02/x", "b__01/x"]
    assert sorted(
        Path(refused.source).relative_to(tmp_path).as_posix()
        for refused in found.refused
    ) == [
        "a/b/01/x.mp4",
        "a__b/01/x.mp4",
    ]
    assert all(
        "2 clips would write Pose/a__b__01/pred_comp_x.npz" in refused.reason
        for refused in found.refused
    )
    assert all("dives.csv" in refused.reason for refused in found.refused)


def test_a_listed_dive_and_a_plain_file_of_its_name(tmp_path):
    make(tmp_path, "long.mp4", "01/3.mp4")
    found = find_clips(tmp_path, [Dive("01", "3", "long.mp4", 0, 9)])
    assert keys(found) == []
    assert [Path(refused.source).name for refused in found.refused] == [
        "long.mp4",
        "3.mp4",
    ]
    make(
        tmp_path, "u/01/4.mp4"
    )  # a plain file gives way where its folders give it another name
    found = find_clips(tmp_path, [Dive("01", "4", "long.mp4", 0, 9)])
    assert sources(found, tmp_path) == {
        "01/3": "01/3.mp4",
        "01/4": "long.mp4",
        "u__01/4": "u/01/4.mp4",
    }


def test_a_folder_that_is_a_clip_itself(tmp_path):
    found = find_clips(make(tmp_path / "01" / "7", "5.png", "6.png"))
    assert keys(found) == ["01/7"]


def test_a_single_file(tmp_path):
    make(tmp_path, "01/a.mp4", "01/b.mp4")
    assert keys(find_clips(tmp_path / "01" / "a.mp4")) == ["01/a"]


def test_hidden_files_results_and_images_beside_videos_are_left_out(tmp_path):
    make(
        tmp_path,
        "01/a.mp4",
        "01/thumb.jpg",
        ".cache/b.mp4",
        "01/._a.mp4",
        "out/manifest.jsonl",
        "out/overlays/01/a.mp4",
        "shards/manifest.2-of-3.jsonl",
        "shards/overlays/01/a.mp4",
    )
    found = find_clips(tmp_path)
    assert keys(found) == ["01/a"]
    assert found.notes == [f"{tmp_path}/01: 1 images beside video files are left out"]


def test_links_that_lead_in_a_circle_end(tmp_path):
    make(tmp_path, "01/a.mp4")
    (tmp_path / "01" / "back").symlink_to(tmp_path, target_is_directory=True)
    assert keys(find_clips(tmp_path)) == ["01/a"]


def test_names_no_file_may_have_are_refused_and_the_rest_goes_on(tmp_path):
    make(tmp_path, "01/a?.mp4", "01/b.mp4", f"01/{'x' * 210}.mp4")
    found = find_clips(tmp_path)
    assert keys(found) == ["01/b"]
    assert len(found.refused) == 2
    assert all(
        "rename it" in refused.reason or "shorten it" in refused.reason
        for refused in found.refused
    )


def test_non_ascii_names(tmp_path):
    assert keys(find_clips(make(tmp_path, "Größe 10 m/跳水 №1.mp4"))) == [
        "Größe 10 m/跳水 №1"
    ]


def test_dives_cut_out_of_a_recording(tmp_path):
    make(tmp_path, "videos/final.mp4", "videos/other.mp4")
    dives = [
        Dive("worlds", "1", "videos/final.mp4", 10, 40),
        Dive(
            "worlds", "2", "final.mp4", 50, None
        ),  # relative to the searched folder, too
        Dive("worlds", "3", "nowhere.mp4", 0, 5),
    ]
    found = find_clips(tmp_path / "videos", dives, tmp_path)
    assert [
        (c.key, c.source.name, c.start_frame, c.end_frame) for c in found.clips
    ] == [
        ("videos/other", "other.mp4", None, None),
        ("worlds/1", "final.mp4", 10, 40),
        ("worlds/2", "final.mp4", 50, None),
    ]
    assert [refused.source for refused in found.refused] == ["nowhere.mp4"]
    assert "dive worlds/3: the recording is neither in" in found.refused[0].reason


def test_dives_whose_recording_is_elsewhere_are_a_note(tmp_path):
    make(tmp_path, "videos/a.mp4", "archive/b.mp4")
    found = find_clips(tmp_path / "videos", [Dive("m", "1", "archive/b.mp4")], tmp_path)
    assert keys(found) == ["videos/a"]
    assert "1 listed dives have their recording elsewhere" in found.notes[0]


def test_synchronised_as_the_annotation_or_dives_csv_says(tmp_path):
    make(tmp_path, "01/1/1.jpg", "01/2/1.jpg", "02/1/1.jpg", "long.mp4")
    listed = [Dive("own", "1", "long.mp4", synchronised=True)]
    annotated = [
        Dive("01", "1", synchronised=True),
        Dive("01", "2"),
        Dive("09", "1", synchronised=True),
    ]
    found = find_clips(tmp_path, listed, tmp_path, annotated)
    assert [(c.key, c.synchronised) for c in found.clips] == [
        ("01/1", True),
        ("01/2", False),
        ("02/1", False),
        ("own/1", True),
    ]


def test_a_second_divers_file_is_no_other_clips(tmp_path):
    make(tmp_path, "01/3.mp4", "01/3_2.mp4", "01/4.mp4")
    assert keys(find_clips(tmp_path)) == ["01/3", "01/3_2", "01/4"]
    found = find_clips(tmp_path, persons=2)
    assert keys(found) == ["01/4"]
    assert [Path(refused.source).name for refused in found.refused] == [
        "3.mp4",
        "3_2.mp4",
    ]
    assert all("pred_comp_3_2.npz" in refused.reason for refused in found.refused)


def test_an_absent_folder(tmp_path):
    with pytest.raises(UsageError, match=r"--videos .*gone: no such file or folder"):
        find_clips(tmp_path / "gone")


def test_a_clip_whose_name_is_not_utf_8_is_refused_and_the_rest_goes_on(tmp_path):
    (tmp_path / "01").mkdir()
    for name in (b"M\xfcnchner.mp4", b"a.mp4"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/01/" + name)).touch()
    found = find_clips(tmp_path)
    assert keys(found) == ["01/a"]
    (refused,) = found.refused
    assert "is not valid UTF-8; rename it" in refused.reason


def test_a_name_too_long_to_be_a_file_is_an_absent_one(tmp_path):
    make(tmp_path, "01/a.mp4")
    found = find_clips(tmp_path, [Dive("m", "1", f"{'x' * 300}.mp4", 0, 9)], tmp_path)
    assert keys(found) == ["01/a"]
    assert "the recording is neither in" in found.refused[0].reason


def test_a_preview_that_the_table_names_is_a_recording(tmp_path):
    make(tmp_path, "01/3/0.png", "01/3/1.png", "01/3/2.png", "01/3/whole.mp4")
    found = find_clips(tmp_path, [Dive("m", "1", "01/3/whole.mp4", 0, 9)])
    assert keys(found) == ["01/3", "m/1"]


def test_what_is_not_read_is_counted_with_an_example(tmp_path):
    found = find_clips(make(tmp_path, "01/a.mp4", "01/a.txt", "02/b.txt", "02/c.xyz"))
    assert found.not_read == {
        ".txt": {"count": 2, "example": "01/a.txt"},
        ".xyz": {"count": 1, "example": "02/c.xyz"},
    }
    assert found.describe_not_read() == "2 .txt (01/a.txt), 1 .xyz (02/c.xyz)"


def test_an_image_is_no_video(tmp_path):
    make(tmp_path, "one.jpg", "videos/a.mp4")
    with pytest.raises(UsageError, match=r"one\.jpg is an image; --videos wants a vid"):
        find_clips(tmp_path / "one.jpg")
    with pytest.raises(UsageError, match=r"did you mean .*videos"):
        find_clips(tmp_path / "vidoes")
