"""Skeleton files in, a ranking with reasons, a table and a page out."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from helpers.moving_blobs import (
    BlobDetector,
    BoxEstimator,
    falling,
    nowhere,
    write_clip,
)

from finediving_pose.cli.main import run as fdpose
from finediving_pose.datasets.pose_files import pose_path, read_pose, write_pose
from finediving_pose.errors import UsageError
from finediving_pose.extraction.quality_metrics import list_doubts
from finediving_pose.extraction.shards import Shard
from finediving_pose.workflows.extraction import extract
from finediving_pose.workflows.qc import run_qc
from finediving_pose.workflows.rendering import find_recorded_videos


def appearing(frame):
    return falling(frame) if frame % 12 < 6 else None


@pytest.fixture
def extracted(tmp_path):
    """Four clips: a good one, one whose diver comes and goes, an empty one, and one
    that does not decode."""
    videos, out = tmp_path / "videos", tmp_path / "out"
    write_clip(videos / "01" / "good", 30, first=120)
    write_clip(videos / "01" / "flicker", 48, (appearing,))
    write_clip(videos / "pool" / "empty.avi", 20, (nowhere,))
    (videos / "pool" / "broken.avi").write_bytes(b"RIFF" + bytes(200))
    extract(videos, out, BlobDetector(), BoxEstimator())
    return videos, out


def test_the_ranking_and_its_reasons(extracted, tmp_path):
    videos, out = extracted
    result = run_qc(out, tmp_path / "qc", videos)
    assert [clip.clip for clip in result.clips] == [
        "pool/broken",
        "pool/empty",
        "01/flicker",
        "01/good",
    ]
    broken, empty, flicker, good = result.clips
    assert broken.doubt == 1
    assert broken.reasons[0].startswith("not extracted: ")
    assert "no diver in 100% of the frames" in empty.reasons
    assert flicker.oddities["gaps"] > 0.3
    assert good.doubt < 0.5 < flicker.doubt < empty.doubt
    with result.table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["clip"] for row in rows] == [clip.clip for clip in result.clips]
    assert rows[0]["absent"] == ""
    assert {float(rows[3][name]) for name in list_doubts()} == {
        round(value, 4) for value in good.oddities.values()
    }
    assert (
        json.loads((tmp_path / "qc" / "manifest.json").read_text())["status"] == "done"
    )


def test_what_shards_extracted_is_looked_at_as_one(extracted, tmp_path):
    videos, out = extracted
    for index in (1, 2, 3):
        extract(
            videos,
            tmp_path / "shards",
            BlobDetector(),
            BoxEstimator(),
            shard=Shard(index, 3),
        )
    assert find_recorded_videos(tmp_path / "shards")("01/good") == videos
    whole, shards = (
        run_qc(folder, tmp_path / name, videos)
        for folder, name in ((out, "qc1"), (tmp_path / "shards", "qc2"))
    )
    assert shards.table.read_bytes() == whole.table.read_bytes()
    assert shards.clips[0].reasons == whole.clips[0].reasons


def test_each_clip_is_shown_from_the_folder_that_it_was_extracted_from(
    extracted, tmp_path
):
    videos, _ = extracted
    for part in ("01", "pool"):
        extract(videos / part, tmp_path / "two", BlobDetector(), BoxEstimator())
    assert [
        find_recorded_videos(tmp_path / "two")(clip)
        for clip in ("01/good", "pool/empty")
    ] == [
        videos / "01",
        videos / "pool",
    ]
    assert run_qc(tmp_path / "two", tmp_path / "qc").notes == []
    (videos / "01").rename(videos / "02")
    assert (
        find_recorded_videos(tmp_path / "two")("01/good") == videos / "pool"
    )  # better than nothing: the last run's


def test_where_no_images_are_known_it_is_said_once(extracted, tmp_path):
    videos, out = extracted
    videos.rename(tmp_path / "elsewhere")
    assert run_qc(out, tmp_path / "qc").notes == [
        "no film strips of 3 clips: say with --videos where the images are"
    ]


def test_files_of_a_clip_that_failed_since_are_not_taken_for_its_skeletons(
    extracted, tmp_path
):
    videos, out = extracted
    for picture in (videos / "01" / "good").iterdir():
        picture.write_text("no picture")
    extract(videos, out, BlobDetector(), BoxEstimator())
    (good,) = [
        clip
        for clip in run_qc(out, tmp_path / "qc", videos).clips
        if clip.clip == "01/good"
    ]
    assert (good.doubt, good.path) == (1.0, None)
    assert good.reasons[0].startswith("not extracted: ")
    assert "kept from an earlier run: Pose/01/pred_comp_good.npz" in good.reasons[0]


@pytest.mark.parametrize("command", ["qc", "render"])
def test_an_output_that_cannot_be_written_is_no_internal_error(
    extracted, tmp_path, capsys, command
):
    videos, out = extracted
    (tmp_path / "file").write_text("")
    where = ["--out", str(tmp_path / "file"), "--videos", str(videos)]
    arguments = (
        ["qc", str(out), *where]
        if command == "qc"
        else ["render", "01/good", "--skeletons", str(out), *where]
    )
    assert fdpose(arguments) == 4
    said = capsys.readouterr().err
    assert f"{tmp_path / 'file'}" in said
    assert "internal error" not in said


def test_the_page_shows_the_worst_with_pictures(extracted, tmp_path):
    videos, out = extracted
    page = run_qc(out, tmp_path / "qc", videos, worst=3).page.read_text(
        encoding="utf-8"
    )
    assert (
        page.count("data:image/jpeg") == 2
    )  # film strips of two of the three: the broken one has no pictures
    assert (
        page.count("data:image/png") == 3
    )  # how doubt is spread, and two plots of joints
    assert re.search(r"<h2[^>]*>2\. 01/flicker</h2>", page)
    assert "3. 01/good" not in page


def test_without_pictures_it_says_so_and_shows_the_rest(extracted, tmp_path):
    videos, out = extracted
    videos.rename(tmp_path / "moved")
    result = run_qc(out, tmp_path / "qc", tmp_path / "elsewhere")
    assert any("no such video or folder" in note for note in result.notes)
    assert "data:image/jpeg" not in result.page.read_text(encoding="utf-8")


def test_a_damaged_file_is_the_first_in_the_list_and_stops_nobody(extracted, tmp_path):
    videos, out = extracted
    path = pose_path(out, "01", "good")
    path.write_bytes(path.read_bytes()[:300])
    result = run_qc(out, tmp_path / "qc", videos)
    assert len(result.clips) == 4
    damaged = next(clip for clip in result.clips if clip.clip == "01/good")
    assert damaged.doubt == 1
    assert "not readable as .npz" in damaged.reasons[0]


def test_names_are_text_on_the_page(tmp_path):
    videos, out = tmp_path / "videos", tmp_path / "out"
    write_clip(videos / "A & B 跳水" / "3", 20)
    extract(videos, out, BlobDetector(), BoxEstimator())
    sequence = read_pose(pose_path(out, "A & B 跳水", "3"))
    sequence.meta["clip"] = "<script>alert(1)</script>"
    write_pose(pose_path(out, "A & B 跳水", "3"), sequence)
    page = run_qc(out, tmp_path / "qc", videos).page.read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_folder_without_skeletons_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no Pose/<match>/pred_comp_<dive>"):
        run_qc(tmp_path, tmp_path / "qc")


def test_the_second_diver_is_told_from_a_dive_called_2(tmp_path):
    videos, out = tmp_path / "videos", tmp_path / "out"
    write_clip(videos / "01" / "3", 20)
    write_clip(videos / "01" / "4_2", 20)
    extract(videos, out, BlobDetector(), BoxEstimator())
    write_pose(pose_path(out, "01", "3", 2), read_pose(pose_path(out, "01", "3")))
    names = {clip.name for clip in run_qc(out, tmp_path / "qc", videos).clips}
    assert names == {"01/3", "01/3 (diver 2)", "01/4_2"}


def test_the_command(extracted, tmp_path, capsys):
    videos, out = extracted
    arguments = ["qc", str(out), "--videos", str(videos), "--out", str(tmp_path / "qc")]
    assert fdpose(arguments) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0] == "4 clips, the most doubtful first:"
    assert "01/good" in text
    assert fdpose([*arguments, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [clip["clip"] for clip in answer["clips"]][-1] == "01/good"
    assert np.isfinite([clip["doubt"] for clip in answer["clips"]]).all()


def test_a_strangers_file_is_listed_and_the_rest_is_done(extracted, tmp_path):
    videos, out = extracted
    path = pose_path(out, "01", "good")
    with np.load(path) as content:
        arrays = dict(content)
    arrays["meta"] = np.array('{"frames_in_clip": 1000000000000, "fps": NaN}')
    np.savez(path, **arrays)
    result = run_qc(out, tmp_path / "qc", videos)
    assert {clip.clip for clip in result.clips if clip.doubt == 1} == {
        "01/good",
        "pool/broken",
    }
    assert len(result.clips) == 4
    (reason,) = next(clip.reasons for clip in result.clips if clip.clip == "01/good")
    assert "pred_comp_good.npz: 'meta' says frames_in_clip: 1000000000000" in reason
