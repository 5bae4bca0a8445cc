"""Clips in, skeleton files out: what is written, what a rerun redoes, and one bad clip
that stops no other."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.moving_blobs import (
    BlobDetector,
    BoxEstimator,
    blob_box,
    draw,
    falling,
    joints_in,
    nowhere,
    write_clip,
)
from helpers.recordings import write_recording

from finediving_pose.datasets.dives_csv import write_dives
from finediving_pose.datasets.pose_files import count_whole_frames, read_pose
from finediving_pose.errors import DataError, EnvironmentUnfit, UsageError
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.extraction.track_tools import Seed
from finediving_pose.files import read_json_lines, sha256_file
from finediving_pose.media import Reading, VideoFile
from finediving_pose.records import BoxState, Detections, Dive, JointState
from finediving_pose.workflows.extraction import extract
from finediving_pose.workflows.rendering import render_clip


def beside(frame):
    x, y = falling(frame)
    return x + 40, y


def at_rest(frame):
    return 130, 70


def run(videos, out, **options):
    return extract(videos, out, BlobDetector(), BoxEstimator(), **options)


def pose(out, key, person=1):
    match, dive = key.split("/")
    return read_pose(
        out / "Pose" / match / f"pred_comp_{dive}{'_2' if person == 2 else ''}.npz"
    )


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    write_clip(folder / "pool" / "a.avi", 20)
    write_clip(folder / "01" / "3", 30, first=1000)
    return folder


def test_a_video_and_finedivings_layout(videos, tmp_path):
    out = tmp_path / "out"
    summary = run(videos, out)
    assert (sorted(summary.done), summary.failed, summary.exit_code) == (
        ["01/3", "pool/a"],
        [],
        0,
    )
    dive = pose(out, "01/3")
    assert dive.keypoints.shape == (96, 16, 2)
    assert dive.frame_index.tolist() == [1000 + i * 29 // 95 for i in range(96)]
    for row in (0, 50, 95):
        assert np.allclose(
            dive.keypoints[row], joints_in(blob_box(int(dive.frame_index[row])))
        )
    assert (dive.state == JointState.OBSERVED).all()
    assert (dive.track.state == BoxState.DETECTED).all()
    video = pose(out, "pool/a")
    assert (
        np.abs(
            video.keypoints - [joints_in(blob_box(int(i))) for i in video.frame_index]
        ).max()
        < 3
    )


def test_published_layout_loads_with_plain_numpy(videos, tmp_path):
    run(videos, tmp_path / "out")
    with np.load(tmp_path / "out/Pose/01/pred_comp_3.npz", allow_pickle=False) as file:
        assert (file["pred"].shape, file["pred"].dtype) == ((96, 16, 2), np.float32)
        meta = json.loads(str(file["meta"]))
    assert meta["clip"] == "01/3"
    assert (meta["source"], meta["frames_in_clip"], meta["size"]) == (
        "01/3",
        30,
        [160, 96],
    )
    assert meta["detector"] == BlobDetector.identity
    assert meta["pose"] == BoxEstimator.identity
    assert len(meta["source_sha256"]) == 64


def test_all_frames_and_three_channels_on_request(videos, tmp_path):
    run(videos, tmp_path / "out", settings=ExtractionSettings(frames=None, channels=3))
    with np.load(tmp_path / "out/Pose/01/pred_comp_3.npz") as file:
        assert file["pred"].shape == (30, 16, 3)
        assert np.allclose(file["pred"][..., 2], 0.8)
        assert file["frame_index"].tolist() == list(range(1000, 1030))


def test_two_runs_give_the_same_bytes(videos, tmp_path):
    for out in ("one", "two"):
        run(videos, tmp_path / out)
    for path in (tmp_path / "one").rglob("*.npz"):
        assert (
            path.read_bytes()
            == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
        )


def test_a_pool_without_a_diver_gives_nan_and_says_so(tmp_path):
    write_clip(tmp_path / "v/pool/empty.avi", 20, (nowhere,))
    summary = run(tmp_path / "v", tmp_path / "out")
    assert (summary.done, summary.empty, summary.exit_code) == (
        ["pool/empty"],
        ["pool/empty"],
        0,
    )
    sequence = pose(tmp_path / "out", "pool/empty")
    assert np.isnan(sequence.keypoints).all()
    assert np.isnan(sequence.scores).all()
    assert np.isnan(sequence.track.boxes).all()
    assert (sequence.state == 0).all()
    assert "nobody was detected in any frame" in sequence.meta["warnings"]
    (quality,) = rows(tmp_path / "out/quality.csv")
    assert (quality["nan_share"], quality["detected_share"], quality["mean_score"]) == (
        "1.0",
        "0.0",
        "",
    )
    assert "nobody" in quality["warnings"]


def test_gaps_are_filled_up_to_the_limit_and_marked(tmp_path):
    def hidden(frame):
        return None if frame in (5, 6, 15, 16, 17, 18) else falling(frame)

    write_clip(tmp_path / "v/m/d", 30, (hidden,))
    run(
        tmp_path / "v",
        tmp_path / "out",
        settings=ExtractionSettings(frames=None, max_gap=3),
    )
    sequence = pose(tmp_path / "out", "m/d")
    assert np.flatnonzero(sequence.track.state == BoxState.FILLED).tolist() == [5, 6]
    assert np.flatnonzero(np.isnan(sequence.keypoints[:, 0, 0])).tolist() == [
        15,
        16,
        17,
        18,
    ]
    assert np.abs(sequence.keypoints[5] - joints_in(blob_box(5))).max() <= 1


def test_weak_joints_are_interpolated_or_missing(tmp_path):
    class Unsure(BoxEstimator):
        """Not sure of joint 3 in the box of frame 4, nor of joint 5 anywhere."""

        def __call__(self, crops):
            keypoints, scores = super().__call__(crops)
            scores[:, 5] = 0.1
            scores[[np.allclose(k, joints_in(blob_box(4))) for k in keypoints], 3] = 0.1
            return keypoints, scores

    write_clip(tmp_path / "v/m/d", 10)
    settings = ExtractionSettings(frames=None, min_score=0.3)
    extract(tmp_path / "v", tmp_path / "out", BlobDetector(), Unsure(), settings)
    sequence = pose(tmp_path / "out", "m/d")
    assert sequence.state[4, 3] == JointState.INTERPOLATED
    assert np.isnan(sequence.scores[4, 3])
    expected = (joints_in(blob_box(3))[3] + joints_in(blob_box(5))[3]) / 2
    assert np.allclose(sequence.keypoints[4, 3], expected)
    assert (sequence.state[:, 5] == JointState.MISSING).all()
    assert np.isnan(sequence.keypoints[:, 5]).all()
    (quality,) = rows(tmp_path / "out/quality.csv")
    assert float(quality["interpolated_share"]) == pytest.approx(1 / 160, abs=1e-4)


def test_bad_clips_are_listed_and_stop_no_other(videos, tmp_path):
    whole = write_clip(tmp_path / "whole.avi", 40).read_bytes()
    (videos / "pool/cut.avi").write_bytes(whole[: len(whole) // 2])
    (videos / "pool/text.mp4").write_bytes(b"no video " * 50)
    (videos / "pool/empty.mp4").write_bytes(b"")
    (videos / "02/7").mkdir(parents=True)
    (videos / "02/7/1.png").write_bytes(b"broken")
    out = tmp_path / "out"
    summary = run(videos, out)
    assert sorted(summary.done) == ["01/3", "pool/a", "pool/cut"]
    assert summary.exit_code == 1
    failures = {row["clip"]: row["reason"] for row in rows(out / "failures.csv")}
    assert sorted(failures) == ["02/7", "pool/empty", "pool/text"]
    assert "1.png: not readable as an image (6 bytes)" in failures["02/7"]
    assert "not readable as a video (0 bytes;" in failures["pool/empty"]
    assert not list((out / "Pose/pool").glob("*text*"))
    assert "cut short" in pose(out, "pool/cut").meta["warnings"][0]


def test_names_that_are_not_utf_8_are_escaped_in_records(videos, tmp_path):
    bad = os.fsdecode(os.fsencode(videos) + b"/pool/M\xfcnchen.avi")
    os.rename(write_clip(tmp_path / "b.avi", 5), bad)
    (videos / "pool" / os.fsdecode(b"n\xf6tes.txt")).touch()
    out = tmp_path / "out"
    summary = run(videos, out)
    assert sorted(summary.done) == ["01/3", "pool/a"]
    assert summary.exit_code == 1
    (failure,) = rows(out / "failures.csv")
    assert failure["source"].endswith("/pool/M\\xfcnchen.avi")
    assert "is not valid UTF-8; rename it" in failure["reason"]
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["not_read"][".txt"]["count"] == 1
    # A rerun reads these records and ends as this run did.
    assert sorted(run(videos, out).skipped) == ["01/3", "pool/a"]


def test_a_folder_that_cannot_be_listed_is_a_failure(videos, tmp_path, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if os.path.basename(path) == "01":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    summary = run(videos, tmp_path / "out")
    assert (summary.done, summary.exit_code) == (["pool/a"], 1)
    (failure,) = rows(tmp_path / "out" / "failures.csv")
    assert failure["source"] == str(videos / "01")
    assert failure["reason"] == "cannot be listed: Permission denied"


def test_nothing_usable(tmp_path):
    (tmp_path / "v").mkdir()
    with pytest.raises(DataError, match="no video file and no folder of images"):
        run(tmp_path / "v", tmp_path / "out")
    (tmp_path / "v/bad.mp4").write_bytes(b"x")
    assert run(tmp_path / "v", tmp_path / "out").exit_code == 3


def test_one_frame_stands_for_all_samples_and_says_so(tmp_path):
    write_clip(tmp_path / "v/m/one.avi", 1)
    assert run(tmp_path / "v", tmp_path / "out").exit_code == 0
    sequence = pose(tmp_path / "out", "m/one")
    assert sequence.frame_index.tolist() == [0] * 96
    assert np.isfinite(sequence.keypoints).all()
    (warning,) = sequence.meta["warnings"]
    assert "the clip has one frame: all 96 samples show it; this is no v" in warning


def test_names_that_are_not_ascii_and_sizes_that_are_odd(tmp_path):
    write_clip(tmp_path / "v/прыжки/höhe 跳.avi", 12)
    write_clip(tmp_path / "v/прыжки/odd", 12, size=(161, 97))
    assert sorted(run(tmp_path / "v", tmp_path / "out", overlay=True).done) == [
        "прыжки/höhe 跳",
        "прыжки/odd",
    ]
    assert pose(tmp_path / "out", "прыжки/odd").meta["size"] == [161, 97]
    assert (tmp_path / "out/overlays/прыжки/höhe 跳.mp4").stat().st_size > 0


def test_equal_names_in_different_folders_both_survive(tmp_path):
    write_clip(tmp_path / "v/01/3", 10)
    write_clip(tmp_path / "v/03/3", 10, (beside,))
    write_clip(tmp_path / "v/x/pool/a.avi", 10)
    write_clip(tmp_path / "v/y/pool/a.avi", 10, (beside,))
    summary = run(tmp_path / "v", tmp_path / "out")
    assert sorted(summary.done) == ["01/3", "03/3", "x__pool/a", "y__pool/a"]
    shift = (
        pose(tmp_path / "out", "03/3").keypoints
        - pose(tmp_path / "out", "01/3").keypoints
    )
    assert np.allclose(shift, [40, 0])
    shift = (
        pose(tmp_path / "out", "y__pool/a").keypoints
        - pose(tmp_path / "out", "x__pool/a").keypoints
    )
    assert np.allclose(shift, [40, 0], atol=3)


def test_dives_csv_cuts_and_names(tmp_path):
    write_clip(tmp_path / "v/session.avi", 40)
    (tmp_path / "dives.csv").write_text(
        "video,start_frame,end_frame,match,dive\nv/session.avi,0,9,Final,1\nv/session.avi,20,39,Final,2\n"
        "v/gone.avi,,,Final,3\n"
    )
    out = tmp_path / "out"
    summary = run(tmp_path / "v", out, dives=tmp_path / "dives.csv")
    assert sorted(summary.done) == ["Final/1", "Final/2"]
    assert pose(out, "Final/2").frame_index[[0, -1]].tolist() == [20, 39]
    ((source, reason),) = summary.failed
    assert source == "v/gone.avi"
    assert reason.startswith("dive Final/3: the recording is neither in")


def test_a_second_diver_gets_a_file_of_her_own(tmp_path):
    write_clip(tmp_path / "v/m/sync", 20, (falling, beside))
    write_clip(tmp_path / "v/m/solo", 20)
    out = tmp_path / "out"
    run(tmp_path / "v", out, settings=ExtractionSettings(persons=2))
    shift = np.abs(pose(out, "m/sync", 2).keypoints - pose(out, "m/sync").keypoints)
    assert np.allclose(shift, [40, 0])
    assert not (out / "Pose/m/pred_comp_solo_2.npz").exists()
    assert "no second person was found" in pose(out, "m/solo").meta["warnings"]
    assert [(r["clip"], r["person"]) for r in rows(out / "quality.csv")] == [
        ("m/solo", "1"),
        ("m/sync", "1"),
        ("m/sync", "2"),
    ]


def test_a_seed_box_says_whom_to_follow(tmp_path):
    write_clip(tmp_path / "v/m/d", 20, (falling, at_rest))
    rest = np.array([122, 58, 138, 82], np.float32)
    run(tmp_path / "v", tmp_path / "auto")
    run(tmp_path / "v", tmp_path / "seeded", seed_box=Seed(7, rest))
    assert np.allclose(pose(tmp_path / "auto", "m/d").track.boxes[0], blob_box(0))
    assert np.allclose(pose(tmp_path / "seeded", "m/d").track.boxes, rest)


def test_a_seed_box_is_for_one_clip(videos, tmp_path):
    with pytest.raises(
        UsageError,
        match=r"--seed-box says whom to follow in one clip, found 2; use --seeds",
    ):
        run(videos, tmp_path / "out", seed_box=Seed(0, blob_box(0)))


def test_labels_say_whom_to_follow(tmp_path):
    write_clip(tmp_path / "v/m/d", 20, (falling, at_rest))
    folder = tmp_path / "labels" / "m__d"
    folder.mkdir(parents=True)
    shape = {
        "label": "athlete",
        "shape_type": "rectangle",
        "points": [[122, 58], [138, 82]],
        "flags": {},
    }
    label = {
        "version": "5.5.0",
        "flags": {},
        "shapes": [shape],
        "imagePath": "7.png",
        "imageData": None,
    }
    (folder / "7.json").write_text(
        json.dumps({**label, "imageHeight": 96, "imageWidth": 160})
    )
    run(tmp_path / "v", tmp_path / "out", seeds=tmp_path / "labels")
    assert np.allclose(pose(tmp_path / "out", "m/d").track.boxes, [122, 58, 138, 82])


# --- reruns ---


def test_a_rerun_skips_what_is_done(videos, tmp_path):
    out = tmp_path / "out"
    run(videos, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.npz")}
    detector = BlobDetector()
    summary = extract(videos, out, detector, BoxEstimator())
    assert (sorted(summary.skipped), summary.done, detector.batches) == (
        ["01/3", "pool/a"],
        [],
        [],
    )
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.npz")} == before
    assert len(rows(out / "quality.csv")) == 2


def test_a_rerun_redoes_what_changed(videos, tmp_path):
    out = tmp_path / "out"
    run(videos, out)
    write_clip(videos / "pool" / "a.avi", 21)
    assert run(videos, out).done == ["pool/a"]
    (out / "Pose/01/pred_comp_3.npz").write_bytes(b"half")
    assert run(videos, out).done == ["01/3"]
    (out / "Pose/01/pred_comp_3.npz").unlink()
    assert run(videos, out).done == ["01/3"]
    assert sorted(run(videos, out, settings=ExtractionSettings(max_gap=3)).done) == [
        "01/3",
        "pool/a",
    ]

    class Other(BoxEstimator):
        identity = {"kind": "other"}  # noqa: RUF012

    assert len(extract(videos, out, BlobDetector(), Other()).done) == 2
    assert len(extract(videos, out, BlobDetector(), Other()).skipped) == 2
    assert len(extract(videos, out, BlobDetector(), Other(), overwrite=True).done) == 2


def test_a_failure_leaves_the_list_once_it_is_mended(videos, tmp_path):
    (videos / "pool/b.avi").write_bytes(b"")
    assert run(videos, tmp_path / "out").exit_code == 1
    write_clip(videos / "pool/b.avi", 9)
    summary = run(videos, tmp_path / "out")
    assert (summary.done, len(summary.skipped), summary.exit_code) == (["pool/b"], 2, 0)
    assert rows(tmp_path / "out/failures.csv") == []


def test_each_clip_has_a_line(videos, tmp_path):
    out = tmp_path / "out"
    run(videos, out)
    lines = {line["clip"]: line for line in read_json_lines(out / "manifest.jsonl")}
    assert sorted(lines) == ["01/3", "pool/a"]
    line = lines["pool/a"]
    assert line["status"] == "done"
    assert line["input_sha256"] == sha256_file(videos / "pool/a.avi")
    assert line["files"] == {
        "Pose/pool/pred_comp_a.npz": sha256_file(out / "Pose/pool/pred_comp_a.npz")
    }
    assert {"decode", "detect", "pose"} <= line["seconds"].keys()
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["status"] == "done"
    assert manifest["clips"] == {"done": 2, "skipped": 0, "failed": 0}


def test_a_folder_of_something_else_is_left_alone(videos, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "manifest.jsonl").write_text('{"epoch": 1}\n')
    with pytest.raises(DataError, match="not written by fdpose extract"):
        run(videos, out)
    assert (out / "manifest.jsonl").read_text() == '{"epoch": 1}\n'


def test_own_overlays_are_no_clips(videos, tmp_path):
    out = videos / "skeletons"
    run(videos, out, overlay=True)
    assert sorted(run(videos, out).skipped) == ["01/3", "pool/a"]


def test_overlay_shows_each_frame_once(videos, tmp_path):
    assert run(videos, tmp_path / "out", overlay=True).seconds["draw"] > 0
    source = VideoFile(tmp_path / "out/overlays/01/3.mp4")
    frames = list(source.read())
    assert len(frames) == 30
    assert frames[0].image.shape[1] == 160 * 4  # small pictures are enlarged
    assert source.fps == pytest.approx(25, abs=0.1)
    plain = np.kron(draw(1000), np.ones((4, 4, 1))).astype(int)
    picture = frames[0].image[-plain.shape[0] :].astype(int)
    assert (
        1 < np.abs(picture - plain).mean() < 20
    )  # the frame, and something drawn over it


# --- what stops a run ---


def test_an_error_of_the_nets_is_the_clips_own(videos, tmp_path):
    class Choosy(BoxEstimator):
        def crop(self, image, box):
            if np.allclose(box, blob_box(1025)):
                raise ValueError("no such crop")
            return super().crop(image, box)

    summary = extract(videos, tmp_path / "out", BlobDetector(), Choosy())
    assert summary.done == ["pool/a"]
    assert summary.failed == [("01/3", "ValueError: no such crop")]


def test_an_interrupt_keeps_what_is_done(videos, tmp_path):
    for i in range(5):
        write_clip(videos / f"z/{i}", 10)

    class Interrupted(BlobDetector):
        def find(self, image):
            if len(self.batches) > 10:
                raise KeyboardInterrupt
            return super().find(image)

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        extract(videos, out, Interrupted(), BoxEstimator())
    assert json.loads((out / "manifest.json").read_text())["status"] == "interrupted"
    done = {row["clip"] for row in rows(out / "quality.csv")}
    assert 0 < len(done) < 7
    assert {p.stat().st_size > 1000 for p in out.rglob("*.npz")} == {True}
    assert list(out.rglob(".*")) == []
    summary = run(videos, out)
    assert set(summary.skipped) == done
    assert len(summary.skipped) + len(summary.done) == 7


INTERRUPTED = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from finediving_pose.cli import main
from helpers.moving_blobs import BlobDetector, BoxEstimator
from finediving_pose.workflows import model_loading as models
class Stuck(BlobDetector):
    def __call__(self, images):
        Path({mark!r}).touch()
        time.sleep(60)
models.load_detector = lambda *a, **k: Stuck()
models.load_estimator = lambda *a, **k: BoxEstimator()
sys.exit(main.run(["extract", "--videos", {videos!r}, "--model", "m", "--detector", "d", "--out", {out!r}]))
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals")
def test_ctrl_c_and_sigterm_end_with_130(videos, tmp_path, name):
    mark, out = tmp_path / "mark", tmp_path / "out"
    paths = {
        "tests": str(Path(__file__).parents[1]),
        "mark": str(mark),
        "videos": str(videos),
        "out": str(out),
    }
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED.format(**paths)],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
    )
    while not mark.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(getattr(signal, name))
    errors = process.communicate(timeout=50)[1].decode()
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "finished clips are kept, and the same command goes on" in errors
    assert json.loads((out / "manifest.json").read_text())["status"] == "interrupted"
    assert len(run(videos, out).done) == 2


def test_an_output_that_cannot_be_written_stops_the_run(videos, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("finediving_pose.extraction.ledger.write_pose", full)
    with pytest.raises(EnvironmentUnfit, match=r"cannot be written: .*No space left"):
        run(videos, tmp_path / "out")


def test_synchronised_dives_are_marked(shared_data, tmp_path):
    annotation = shared_data / "finediving" / "FineDiving_coarse_annotation.pkl"
    from finediving_pose.datasets.finediving import read_coarse

    key = next(dive.key for dive in read_coarse(annotation) if dive.synchronised)
    write_clip(tmp_path / "v" / key[0] / key[1], 5)
    write_clip(tmp_path / "v/mine/1", 5)
    run(tmp_path / "v", tmp_path / "out", annotations=annotation)
    assert pose(tmp_path / "out", "/".join(key)).meta["synchronised"] is True
    assert pose(tmp_path / "out", "mine/1").meta["synchronised"] is False


def test_real_videos(shared_data, tmp_path):
    class Nobody(BlobDetector):
        def find(self, image):
            return Detections(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))

    summary = extract(
        shared_data / "videos", tmp_path / "out", Nobody(), BoxEstimator()
    )
    assert len(summary.done) == 7
    assert summary.empty == summary.done
    assert pose(tmp_path / "out", "videos/vtest").frame_index[-1] == 794


# --- overlays and files of earlier runs ---


def test_an_overlay_asked_for_later_is_drawn_without_extracting_again(videos, tmp_path):
    out = tmp_path / "out"
    run(videos, out)
    detector = BlobDetector()
    summary = extract(videos, out, detector, BoxEstimator(), overlay=True)
    assert (summary.done, len(summary.skipped), detector.batches) == ([], 2, [])
    assert [
        len(list(VideoFile(out / "overlays" / name).read()))
        for name in ("01/3.mp4", "pool/a.mp4")
    ] == [30, 20]


def test_no_overlay_of_an_earlier_result_stays(videos, tmp_path):
    out = tmp_path / "out"
    run(videos, out, overlay=True)
    assert len(list(out.rglob("*.mp4"))) == 2
    write_clip(videos / "pool" / "a.avi", 21)
    assert run(videos, out).done == ["pool/a"]
    assert [path.relative_to(out).as_posix() for path in out.rglob("*.mp4")] == [
        "overlays/01/3.mp4"
    ]


def test_a_clip_that_cannot_be_drawn_is_extracted_nevertheless(
    videos, tmp_path, monkeypatch, caplog
):
    def refuse(path, images, fps):
        raise OSError("this OpenCV writes no video")

    monkeypatch.setattr("finediving_pose.workflows.rendering.write_video", refuse)
    summary = run(videos, tmp_path / "out", overlay=True)
    assert (len(summary.done), summary.failed, summary.exit_code) == (2, [], 0)
    assert "01/3: no overlay: this OpenCV writes no video" in caplog.text


def test_no_second_divers_file_of_an_earlier_run_stays(tmp_path):
    write_clip(tmp_path / "v/m/s", 20, (falling, beside))
    out = tmp_path / "out"
    run(tmp_path / "v", out, settings=ExtractionSettings(persons=2))
    assert len(list(out.rglob("*.npz"))) == 2
    run(tmp_path / "v", out)
    assert [path.name for path in out.rglob("*.npz")] == ["pred_comp_s.npz"]


def test_a_file_that_is_now_another_clips_is_not_removed(tmp_path):
    write_clip(tmp_path / "v/m/s", 20, (falling, beside))
    out = tmp_path / "out"
    run(tmp_path / "v", out, settings=ExtractionSettings(persons=2))
    write_clip(tmp_path / "v/m/s_2", 20)
    write_clip(tmp_path / "v/a/x", 20)
    assert sorted(run(tmp_path / "v", out).done) == ["a/x", "m/s", "m/s_2"]
    assert len(run(tmp_path / "v", out).skipped) == 3
    assert pose(out, "m/s_2").meta["clip"] == "m/s_2"


def test_a_seed_beyond_the_clip_is_said(tmp_path):
    write_clip(tmp_path / "v/m/d", 20)
    run(tmp_path / "v", tmp_path / "out", seed_box=Seed(500, blob_box(19)))
    assert pose(tmp_path / "out", "m/d").meta["warnings"] == [
        "the seed box is of frame 500, and the clip has 0 to 19"
    ]


def test_quality_by_hand(tmp_path):
    def hidden(frame):
        return None if frame in (0, 5, 6, 14, 15, 16, 17) else falling(frame)

    write_clip(tmp_path / "v/m/d", 20, (hidden,))
    run(
        tmp_path / "v",
        tmp_path / "out",
        settings=ExtractionSettings(frames=None, max_gap=3),
    )
    (row,) = rows(tmp_path / "out/quality.csv")
    assert (
        row
        == {
            "clip": "m/d",
            "person": "1",
            "frames": "20",
            "detected_share": "0.65",  # 13 of 20; the box is filled in 5 and 6, where joints are observed
            "mean_score": "0.8",
            "interpolated_share": "0.0",
            "nan_share": "0.25",  # 0 and 14 to 17
            "longest_gap": "4",
            "track_jumps": "0",
            "swapped_joints": "0",
            "swapped_frames": "0",
            "outliers": "0",
            "interpolated": "0",
            "absent": "0.25",
            "gaps": "0.3158",  # 5, 6 and 14 to 17, of 1 to 19
            "filled": "0.0",
            "missing": "0.0",
            "mean_box_score": "0.9",
            "box_jumps": "0.0",
            "joint_jumps": "0.0",
            "limb_spread": "0.0",
            "swaps": "0.0",
            "outlier_share": "0.0",
            "warnings": "",
        }
    )


def test_a_detector_that_fails_on_one_clip(videos, tmp_path):
    class Choosy(BlobDetector):
        def find(self, image):
            if image.shape[1] == 170:
                raise ValueError("not this size")
            return super().find(image)

    write_clip(videos / "02" / "1", 9, size=(170, 96))
    out = tmp_path / "out"
    summary = extract(videos, out, Choosy(), BoxEstimator())
    assert (sorted(summary.done), summary.exit_code) == (["01/3", "pool/a"], 1)
    (failure,) = rows(out / "failures.csv")
    assert failure == {
        "clip": "02/1",
        "source": "02/1",
        "reason": "detector: ValueError: not this size",
    }
    lines = [
        line
        for line in read_json_lines(out / "manifest.jsonl")
        if line["status"] == "failed"
    ]
    assert [line["clip"] for line in lines] == ["02/1"]

    class Broken(BlobDetector):
        identity = {"kind": "broken"}  # noqa: RUF012

        def find(self, image):
            raise ValueError("always")

    summary = extract(videos, tmp_path / "none", Broken(), BoxEstimator())
    assert (len(summary.failed), summary.done, summary.exit_code) == (3, [], 3)


def test_a_file_changed_by_others_is_not_removed(tmp_path):
    write_clip(tmp_path / "v/m/s", 20, (falling, beside))
    out = tmp_path / "out"
    run(tmp_path / "v", out, settings=ExtractionSettings(persons=2))
    (out / "Pose/m/pred_comp_s_2.npz").write_bytes(b"someone's own")
    assert run(tmp_path / "v", out).done == ["m/s"]
    assert (out / "Pose/m/pred_comp_s_2.npz").read_bytes() == b"someone's own"


@pytest.mark.parametrize("net", ["detector", "pose"])
def test_another_net_redoes_everything_and_nothing_else_does(videos, tmp_path, net):
    out = tmp_path / "out"
    run(videos, out)
    detector, estimator = BlobDetector(), BoxEstimator()
    changed = detector if net == "detector" else estimator
    changed.identity = {
        "kind": "layout" if net == "pose" else "blobs",
        "weights_sha256": "b" * 64,
    }
    assert len(extract(videos, out, detector, estimator).done) == 2
    assert len(extract(videos, out, detector, estimator).skipped) == 2
    assert len(run(videos, out).done) == 2


def test_each_setting_that_decides_the_result_redoes_it(videos, tmp_path):
    out = tmp_path / "out"
    run(videos, out)
    for change in (
        {"min_score": 0.5},
        {"channels": 3},
        {"extend_ends": True},
        {"tracking": {"max_absence": 9}},
    ):
        assert (
            len(
                run(
                    videos, out, settings=ExtractionSettings.model_validate(change)
                ).done
            )
            == 2
        ), change


class WideEstimator(BoxEstimator):
    """Notes the sizes of the crops."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def crop(self, image, box):
        crop = super().crop(image, box)
        self.sizes.append(crop.pixels.shape[:2])
        return crop


def test_networks_see_a_squeezed_body_in_its_true_proportions(tmp_path):
    images = [draw(number) for number in range(12)]
    for name, aspect in (("square", None), ("wide", "2/1")):
        path = tmp_path / "videos" / "m" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_recording(path, images, options={"crf": "5"}, pixel_aspect=aspect)
    sizes, poses = {}, {}
    for name in ("square", "wide"):
        estimator = WideEstimator()
        out = tmp_path / name
        video = tmp_path / "videos" / "m" / f"{name}.mp4"
        extract(video, out, BlobDetector(), estimator)
        sizes[name] = np.array(estimator.sizes)
        poses[name] = pose(out, f"m/{name}")
    heights, widths = (sizes["wide"] / sizes["square"]).mean(axis=0)
    assert heights == pytest.approx(1, abs=0.05)
    assert widths == pytest.approx(2, abs=0.15)
    # The skeletons are of the frames as they decode.
    apart = poses["wide"].keypoints - poses["square"].keypoints
    assert np.nanmax(np.abs(apart)) < 2
    assert poses["wide"].meta["pixel_aspect"] == 2
    assert "pixel_aspect" not in poses["square"].meta
    assert render_clip(tmp_path / "wide", "wide", tmp_path / "drawn").frames == 12


def test_how_interlaced_video_is_read_is_an_option(tmp_path):
    path = tmp_path / "videos" / "m" / "a.mp4"
    path.parent.mkdir(parents=True)
    write_recording(path, [draw(number) for number in range(12)])
    out = tmp_path / "out"
    usual = {"settings": ExtractionSettings(frames=None)}
    run(path, out, **usual)
    assert len(pose(out, "m/a").frame_index) == 12
    assert "deinterlacing" not in pose(out, "m/a").meta
    assert run(path, out, **usual, reading=Reading("auto")).skipped == ["m/a"]
    assert run(path, out, **usual, reading=Reading("bob")).done == ["m/a"]
    assert pose(out, "m/a").frame_index.tolist() == list(range(24))
    assert pose(out, "m/a").meta["deinterlacing"] == "bob"
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["deinterlacing"] == "bob"
    # A part counts frames, as the table that names it does.
    table = tmp_path / "videos" / "dives.csv"
    write_dives(table, [Dive("own", "1", "m/a.mp4", 3, 6)])
    run(tmp_path / "videos", out, **usual, reading=Reading("bob"), dives=table)
    assert pose(out, "own/1").frame_index.tolist() == list(range(6, 14))
    assert count_whole_frames(pose(out, "own/1")).tolist() == [3, 3, 4, 4, 5, 5, 6, 6]
    assert render_clip(out, "own/1", tmp_path / "drawn").frames == 8
    # Those who draw read as the file says.
    assert render_clip(out, "a", tmp_path / "drawn").frames == 24
