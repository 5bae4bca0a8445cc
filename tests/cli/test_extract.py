"""``fdpose extract`` from the command line, with nets that find drawn blobs."""

from __future__ import annotations

import csv
import json
import logging
import os
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.moving_blobs import (
    BlobDetector,
    BoxEstimator,
    blob_box,
    joints_in,
    nowhere,
    write_clip,
)
from helpers.tiny_models import Answer, fdpose

from finediving_pose.boxes import compute_diagonals
from finediving_pose.console import log
from finediving_pose.datasets.model_directory import CARD_NAME
from finediving_pose.datasets.pose_files import read_pose
from finediving_pose.errors import UsageError
from finediving_pose.extraction import trackers
from finediving_pose.extraction.track_tools import choose_detection, empty_track
from finediving_pose.files import write_json
from finediving_pose.network_interfaces import NetworkOptions
from finediving_pose.workflows import model_loading


class Loads:
    """Stands in for the loaders of :mod:`models`, and notes what was asked for."""

    def __init__(self) -> None:
        self.detector, self.estimator = BlobDetector(), BoxEstimator()
        self.asked: list[tuple[object, ...]] = []

    def load_detector(self, spec: str, options: NetworkOptions) -> BlobDetector:
        self.asked.append(("detector", spec, options))
        return self.detector

    def load_estimator(self, path: Path, options: NetworkOptions) -> BoxEstimator:
        self.asked.append(("pose", path, options))
        return self.estimator


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    loads = Loads()
    monkeypatch.setattr(model_loading, "load_detector", loads.load_detector)
    monkeypatch.setattr(model_loading, "load_estimator", loads.load_estimator)
    monkeypatch.setattr(
        model_loading, "on_gpu", lambda device: device.startswith("cuda")
    )
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    return loads


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loads: Loads) -> Path:
    """A project folder, which is the current one, with two clips."""
    write_clip(tmp_path / "videos" / "01" / "3", 12)
    write_clip(tmp_path / "videos" / "pool" / "a.avi", 12)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def extract(*more: object) -> Answer:
    return fdpose(
        "extract", "--videos", "videos", "--model", "m/net", "--detector", "d", *more
    )


def model_directory(path: Path, age: int) -> Path:
    write_json(path / CARD_NAME, {})
    os.utime(path / CARD_NAME, (2e9 - age, 2e9 - age))
    return path


def listed(project: Path, name: str) -> list[str]:
    """The clips in a table of the results."""
    with (project / "skeletons/net" / name).open(encoding="utf-8", newline="") as file:
        return [row["clip"] for row in csv.DictReader(file)]


def messages(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records)


@pytest.fixture
def logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    """The log, though the command sets it up anew."""
    monkeypatch.setattr(
        "finediving_pose.console.setup_logging", lambda *_: log.setLevel(logging.INFO)
    )
    return caplog


def test_from_videos_to_skeletons(project):
    answer = extract("--overlay", "--frames", "all", "--device", "cpu")
    assert answer.code == 0
    first, profile, *paths = answer.out.splitlines()
    assert first == "2 clips extracted, 0 already done, 0 failed"
    assert paths == [
        "skeletons: skeletons/net/Pose",
        "quality: skeletons/net/quality.csv",
    ]
    stages = r"detect [\d.]+, pose [\d.]+, track [\d.]+, repair [\d.]+, write [\d.]+, draw [\d.]+, idle [\d.]+"
    expected = rf"profile: [\d.]+ s, [\d.]+ frames/s: {stages}; beside it decode [\d.]+, crop [\d.]+"
    assert re.fullmatch(expected, profile)
    sequence = read_pose(project / "skeletons/net/Pose/01/pred_comp_3.npz")
    np.testing.assert_allclose(sequence.keypoints[5], joints_in(blob_box(5)), atol=1e-4)
    assert sequence.keypoints.shape == (12, 16, 2)
    assert (project / "skeletons/net/overlays/pool/a.mp4").stat().st_size > 1000
    assert extract("--frames", "all").out.startswith(
        "0 clips extracted, 2 already done, 0 failed"
    )


def test_options_reach_the_nets_and_the_settings(project, loads):
    extract(
        "--device",
        "cuda:1",
        "--no-flip-test",
        "--batch-size",
        5,
        "--channels",
        3,
        "--max-gap",
        4,
        "--extend-ends",
    )
    options = NetworkOptions(device="cuda:1", flip_test=False)
    assert loads.asked == [("detector", "d", options), ("pose", Path("m/net"), options)]
    assert loads.estimator.batches == [5] * 4 + [4]
    with np.load(project / "skeletons/net/Pose/01/pred_comp_3.npz") as content:
        assert content["pred"].shape == (96, 16, 3)
        settings = json.loads(str(content["meta"]))["settings"]
    assert (settings["max_gap"], settings["extend_ends"], settings["channels"]) == (
        4,
        True,
        3,
    )
    assert (settings["repair"]["enabled"], settings["repair"]["smooth"]) == (True, 0)


def test_options_of_speed_reach_the_nets_and_the_engine(project, loads):
    more = (
        "--precision",
        "bf16",
        "--compile",
        "--detector-batch",
        3,
        "--decoders",
        2,
        "--helpers",
        1,
        "--tta",
        "rotate4",
        "--second-look",
    )
    assert (
        extract("--device", "cpu", "--detect-every", 4, "--frames", "all", *more).code
        == 0
    )
    options = NetworkOptions(
        device="cpu", precision="bf16", compile=True, tta="rotate4", second_look=True
    )
    assert loads.asked == [("detector", "d", options), ("pose", Path("m/net"), options)]
    assert loads.detector.batches == [3, 3, 2]  # frames 0, 4, 8 and 11 of two clips
    assert loads.estimator.batches == [24]


def test_batches_suit_the_device(project, loads):
    extract("--device", "cpu")
    assert (max(loads.detector.batches), max(loads.estimator.batches)) == (8, 24)
    loads.detector.batches.clear()
    extract("--device", "cuda", "--overwrite", "--helpers", 0)
    assert max(loads.detector.batches) == 24  # all there are


def test_no_net_is_loaded_where_there_is_no_clip(project, loads):
    (project / "empty").mkdir()
    assert (
        fdpose("extract", "--videos", "empty", "--model", "m", "--detector", "d").code
        == 3
    )
    assert loads.asked == []


def test_the_repair_can_be_left_out_or_smooth(project):
    def repair_settings():
        return read_pose(project / "skeletons/net/Pose/01/pred_comp_3.npz").meta[
            "settings"
        ]["repair"]

    extract("--no-repair")
    assert not repair_settings()["enabled"]
    assert extract("--smooth", 5).out.startswith(
        "2 clips extracted"
    )  # other settings: nothing is taken as done
    assert (repair_settings()["enabled"], repair_settings()["smooth"]) == (True, 5)


def test_a_window_that_cannot_be(project, logged):
    assert extract("--smooth", 4).code == 2
    assert (
        "repair: smooth=4: expected 0 or an odd number above smooth_order=2"
        in messages(logged)
    )


def test_the_answer_as_json(project):
    write_clip(project / "videos" / "pool" / "empty.avi", 3, (nowhere,))
    (project / "videos/pool/bad.mp4").write_bytes(b"")
    answer = extract("--json", "--out", "out")
    assert answer.code == 1
    summary = json.loads(answer.out)
    assert sorted(summary["done"]) == ["01/3", "pool/a", "pool/empty"]
    assert summary["empty"] == ["pool/empty"]
    assert [failed["clip"] for failed in summary["failed"]] == ["pool/bad"]
    assert summary["out"] == "out"
    assert summary["profile"]["frames"] == 12 + 12 + 3
    assert 0 < summary["profile"]["detect"] < summary["profile"]["wall"]
    assert (
        json.loads((project / "out/manifest.json").read_text())["profile"]
        == summary["profile"]
    )
    with (project / "out/failures.csv").open(newline="", encoding="utf-8") as file:
        assert [(row["clip"], row["source"]) for row in csv.DictReader(file)] == [
            ("pool/bad", "pool/bad.mp4")
        ]


def test_a_clip_without_a_diver_is_done_and_said(project):
    write_clip(project / "videos" / "pool" / "empty.avi", 3, (nowhere,))
    answer = extract()
    assert answer.code == 0
    assert "nobody was found in 1 of them (NaN throughout): pool/empty" in answer.out


def test_nothing_usable_is_invalid_data(project):
    for path in (project / "videos/01/3").iterdir():
        path.write_bytes(b"broken")
    (project / "videos/pool/a.avi").write_bytes(b"")
    answer = extract()
    assert answer.code == 3
    assert "0 clips extracted, 0 already done, 2 failed" in answer.out
    assert "why they failed: skeletons/net/failures.csv" in answer.out


def test_two_persons(project):
    write_clip(
        project / "videos" / "m" / "s",
        8,
        (lambda t: (30 + t, 30), lambda t: (90 + t, 40)),
    )
    assert extract("--persons", 2).code == 0
    names = [path.name for path in sorted((project / "skeletons/net/Pose/m").iterdir())]
    assert names == ["pred_comp_s.npz", "pred_comp_s_2.npz"]


def test_videos_above_the_current_folder(project, monkeypatch):
    (project / "work").mkdir()
    monkeypatch.chdir(project / "work")
    answer = fdpose(
        "extract",
        "--videos",
        "../videos",
        "--model",
        "m",
        "--detector",
        "d",
        "--out",
        "../out",
    )
    assert answer.code == 0
    assert read_pose(project / "out/Pose/01/pred_comp_3.npz").meta["source"] == "01/3"


def test_dives_csv_at_the_videos_is_taken(project, logged):
    (project / "videos/dives.csv").write_text(
        "video,start_frame,end_frame,match,dive,synchronised\npool/a.avi,2,5,Final,1,1\n"
    )
    assert extract("--frames", "all").code == 0
    sequence = read_pose(project / "skeletons/net/Pose/Final/pred_comp_1.npz")
    assert sequence.frame_index.tolist() == [2, 3, 4, 5]
    assert sequence.meta["synchronised"] is True
    assert "dives are named by videos/dives.csv" in messages(logged)
    assert (
        read_pose(project / "skeletons/net/Pose/01/pred_comp_3.npz").meta[
            "synchronised"
        ]
        is False
    )


def test_shards_extract_each_clip_once_and_the_last_lists_all(project):
    broken = project / "videos/pool/broken.avi"
    broken.write_bytes(b"no video")
    counts = []
    for index in (1, 2):
        answer = extract("--shard", f"{index}/2", "--json")
        counts.append(
            [len(json.loads(answer.out)[key]) for key in ("done", "skipped", "failed")]
        )
    assert np.sum(counts, axis=0).tolist() == [2, 0, 1]
    assert listed(project, "quality.csv") == ["01/3", "pool/a"]
    assert listed(project, "failures.csv") == ["pool/broken"]
    broken.unlink()
    assert json.loads(extract("--json").out)["skipped"] == ["01/3", "pool/a"]
    assert listed(project, "failures.csv") == []


# --- wrong use ---


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--videos", "gone"), "--videos gone: no such file or folder"),
        (
            ("--tracker", "neerest"),
            "--tracker: no tracker named 'neerest' (did you mean nearest?)",
        ),
        (("--frames", "some"), "--frames 'some': expected a number of frames, or all"),
        (("--frames", "0"), "--frames '0'"),
        (("--frames", "-3"), "--frames '-3'"),
        (
            ("--seed-box", "3,10,10,50"),
            "--seed-box '3,10,10,50': expected frame,x1,y1,x2,y2",
        ),
        (("--seed-box", "3,10,10,50,x"), "--seed-box"),
        (("--seed-box", "3,50,10,10,50"), "with x1 < x2 and y1 < y2"),
        (("--seed-box", "-1,10,10,50,50"), "frame from 0"),
        (("--seed-box", "1.5,10,10,50,50"), "frame from 0"),
        (("--seed-box", "1,10,10,inf,50"), "--seed-box '1,10,10,inf,50'"),
        (("--seed-box", "1,nan,10,60,50"), "--seed-box"),
        (("--seed-box", "1,1e38,10,2e38,50"), "--seed-box"),
        (("--seed-box", "99999999999999999999,1,2,30,40"), "frame from 0"),
        (("--shard", "0/4"), "--shard 0/4: expected I from 1 to N"),
        (("--shard", "x"), "--shard 'x': expected I/N, such as 2/8"),
        (
            ("--shard", "1/2", "--engine", "ray"),
            "Ray shares out the clips itself; give one of the two",
        ),
        (
            ("--no-repair", "--smooth", 7),
            "--no-repair leaves the joints as the network saw them; leave out --smooth",
        ),
        (
            ("--seed-box", "0,1,1,9,9", "--seeds", "labels"),
            "--seed-box, --seeds: both say whom to follow",
        ),
        (("--out", "videos"), "--out videos: is the folder of the videos"),
        (
            ("--out", "videos/pool/a.avi"),
            "--out videos/pool/a.avi: is a file, expected a folder",
        ),
    ],
)
def test_wrong_use_is_said_before_a_net_is_loaded(
    project, loads, logged, arguments, message
):
    assert extract(*arguments).code == 2
    assert message in messages(logged)
    assert loads.asked == []
    assert not (project / "skeletons").exists()


@pytest.mark.parametrize(
    "arguments",
    [("--persons", 3), ("--channels", 4), ("--max-gap", -1), ("--min-score", 1.5)],
)
def test_values_out_of_range(project, loads, arguments):
    assert extract(*arguments).code == 2
    assert loads.asked == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_is_no_video(project):
    os.mkfifo(project / "videos" / "pool" / "b.mp4")
    assert json.loads(extract("--json").out)["done"] == ["01/3", "pool/a"]


def test_a_seed_box_for_two_clips(project, logged):
    assert extract("--seed-box", "0,10,10,30,30").code == 2
    assert "--seed-box says whom to follow in one clip, found 2" in messages(logged)


def test_an_empty_folder(project, logged):
    (project / "none").mkdir()
    assert extract("--videos", "none").code == 3
    assert "none: no video file and no folder of images there or below" in messages(
        logged
    )


def test_files_that_do_not_exist(project, logged):
    assert extract("--dives", "gone.csv").code == 3
    assert extract("--annotations", "gone.pkl").code == 3
    assert extract("--seeds", "gone").code in (2, 3)
    assert "gone.csv: not readable" in messages(logged)
    assert "gone.pkl" in messages(logged)
    assert not (project / "skeletons").exists()


def test_an_interrupt_is_130_and_the_rerun_completes(project, loads):
    class Interrupted(BlobDetector):
        def __call__(self, images):
            raise KeyboardInterrupt

    loads.detector = Interrupted()
    assert extract().code == 130
    assert not list((project / "skeletons").rglob("*.npz"))
    assert not list((project / "skeletons").rglob(".*"))
    loads.detector = BlobDetector()
    answer = extract()
    assert answer.code == 0
    assert answer.out.startswith("2 clips extracted")


# --- the models by themselves ---


def test_the_newest_models_are_taken_by_default(project, loads, logged):
    for kind in ("hrnet", "detector"):
        model_directory(project / "runs" / kind / "20240101_old", age=50)
        model_directory(project / "runs" / kind / "20230101_new", age=10)
        model_directory(project / "runs" / kind / "20250101_older", age=90)
        (project / "runs" / kind / "20260101_unfinished").mkdir()
    assert fdpose("extract", "--videos", "videos").code == 0
    assert [asked[:2] for asked in loads.asked] == [
        ("detector", "runs/detector/20230101_new"),
        ("pose", Path("runs/hrnet/20230101_new")),
    ]
    assert (project / "skeletons/20230101_new/Pose/01/pred_comp_3.npz").is_file()
    assert (
        "pose model: runs/hrnet/20230101_new, the newest of 3 (--model names another)"
        in messages(logged)
    )
    assert "detector model: runs/detector/20230101_new, the newest of 3" in messages(
        logged
    )


def test_a_named_model_goes_before_the_newest(project, loads):
    model_directory(project / "runs/hrnet/a", age=5)
    model_directory(project / "runs/detector/a", age=5)
    assert fdpose("extract", "--videos", "videos", "--model", "runs/hrnet/b").code == 0
    assert [asked[1] for asked in loads.asked] == [
        "runs/detector/a",
        Path("runs/hrnet/b"),
    ]
    assert (project / "skeletons/b/quality.csv").is_file()


@pytest.mark.parametrize(
    ("given", "missing", "option"),
    [("--detector", "hrnet", "--model"), ("--model", "detector", "--detector")],
)
def test_no_model_says_what_was_looked_for(
    project, loads, logged, given, missing, option
):
    (project / "runs" / missing / "unfinished").mkdir(parents=True)
    assert fdpose("extract", "--videos", "videos", given, "x").code == 2
    text = messages(logged)
    assert (
        f"looked for a model directory (a folder with model.json) in {project / 'runs' / missing}"
        in text
    )
    assert f"name one with {option} (synthetic: the one that comes with fdpose" in text
    assert f"or make one with fdpose finetune-{missing}" in text
    assert loads.asked == []


def test_newest_model_asks_for_a_model_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no pose model"):
        model_loading.newest_model("pose")
    model_directory(tmp_path / "runs/hrnet/one", age=1)
    assert model_loading.newest_model("pose") == Path("runs/hrnet/one")


def test_help_names_the_defaults(monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = " ".join(fdpose("extract", "--help").out.split())
    for default in (
        "newest in runs/hrnet",
        "newest in runs/detector",
        "skeletons/<model's name>",
        "dives.csv at or above",
    ):
        assert f"[default: ({default}" in text


# --- presets, key=value, trackers ---


def meta_of(project: Path) -> dict[str, object]:
    settings = read_pose(project / "skeletons/net/Pose/01/pred_comp_3.npz").meta
    return dict(settings["settings"])


def test_any_setting_can_be_given_as_key_value(project):
    given = ("tracking.max_absence=80", "repair.sides.event=0.1", "repair.smooth=5")
    assert extract(*given, "--tracker", "path", "--frames", "all").code == 0
    settings = meta_of(project)
    assert settings["tracking"]["max_absence"] == 80
    assert settings["tracking"]["tracker"] == "path"
    assert settings["repair"]["sides"]["event"] == 0.1
    assert settings["frames"] is None
    manifest = json.loads((project / "skeletons/net/manifest.json").read_text())
    assert manifest["settings"] == settings


def test_a_preset_of_ones_own_and_an_option_that_goes_before_it(project):
    (project / "mine.yaml").write_text("max_gap: 3\nrepair: {enabled: false}\n")
    assert extract("--preset", "mine.yaml", "--max-gap", 7).code == 0
    settings = meta_of(project)
    assert (settings["max_gap"], settings["repair"]["enabled"]) == (7, False)


def test_the_default_preset_redoes_nothing(project):
    assert extract().out.startswith("2 clips extracted")
    given = ("--preset", "default", "tracking.tracker=nearest", "--max-gap", 10)
    assert extract(*given).out.startswith("0 clips extracted, 2 already done")


def test_all_settings_are_shown(project, loads):
    answer = fdpose("extract", "--show-settings", "--tracker", "path", "max_gap=4")
    assert answer.code == 0
    settings = yaml.safe_load(answer.out)
    assert settings["tracking"]["tracker"] == "path"
    assert settings["max_gap"] == 4
    assert settings["repair"]["sides"]["torso"] == 0.5
    assert loads.asked == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tracking.trackr=path",), "unknown key tracking.trackr (did you mean"),
        (("max_jump=2",), "unknown key max_jump (did you mean tracking.max_jump?)"),
        (("--preset", "defalt"), "no preset named 'defalt' (did you mean default?)"),
        (
            ("--tracker", "path", "tracking.tracker=nearest"),
            "--tracker and tracking.tracker=nearest: both set tracking.tracker; give one",
        ),
        (
            ("--no-repair", "repair.enabled=true"),
            "--repair and repair.enabled=true: both set repair.enabled",
        ),
        (("tracking.tracker=neerest",), "no tracker named 'neerest' (did you mean"),
        (("repair.enabled=false", "extend_ends=true"), "--no-repair leaves the joints"),
    ],
)
def test_wrong_settings_are_said_before_a_network_is_loaded(
    project, loads, logged, arguments, message
):
    assert extract(*arguments).code == 2
    assert message in messages(logged)
    assert loads.asked == []


def test_the_videos_are_asked_for(project, logged):
    assert fdpose("extract", "--model", "m").code == 2
    assert "Missing option '--videos'" in messages(logged)


def track_largest(detections, frame_index, settings, seed):
    """Follow the largest box of each frame."""
    path = empty_track(len(detections))
    for row, found in enumerate(detections):
        if len(found.boxes):
            largest = int(compute_diagonals(found.boxes).argmax())
            choose_detection(path, row, found, largest)
    return path


def test_a_tracker_of_ones_own_goes_through_the_command(project, monkeypatch):
    monkeypatch.setattr(trackers, "TRACKERS", dict(trackers.TRACKERS))
    trackers.register_tracker("largest", track_largest)
    monkeypatch.setenv("COLUMNS", "200")
    assert "<nearest|path|largest>" in fdpose("extract", "--help").out
    assert extract("--tracker", "largest", "--frames", "all").code == 0
    sequence = read_pose(project / "skeletons/net/Pose/01/pred_comp_3.npz")
    np.testing.assert_allclose(sequence.track.boxes[5], blob_box(5))
    assert meta_of(project)["tracking"]["tracker"] == "largest"
