"""A meet of two short-named dives, written once; every test looks at the same files."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from finediving_pose.datasets import fdpose_json, labelme
from finediving_pose.datasets.dives_csv import read_dives
from finediving_pose.datasets.finediving import read_finediving
from finediving_pose.datasets.pose_files import read_pose
from finediving_pose.datasets.truth_files import DiveTruth, read_truth
from finediving_pose.errors import EnvironmentUnfit, UsageError
from finediving_pose.records import JointState, Visibility
from finediving_pose.workflows.synthesis import (
    SKELETONS_NAME,
    SynthRequest,
    synthesise_meet,
)

REQUEST = SynthRequest(dives=2, seed=3, numbers=("107b", "5253b"))


@pytest.fixture(scope="module")
def meet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("synthesis") / "meet"
    result = synthesise_meet(out, REQUEST)
    assert (result.dives, result.skipped) == (2, 0)
    return out


def contents(out: Path) -> dict[str, str]:
    """Return every file but the run's own record, with a hash of what it holds."""
    return {
        str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in out.rglob("*")
        if path.is_file() and path.name not in ("manifest.json", "meet.json")
    }


def truths(out: Path) -> dict[str, DiveTruth]:
    return {
        str(path.relative_to(out / "truth")): read_truth(path)
        for path in sorted((out / "truth").rglob("*.npz"))
    }


def test_frames_lie_as_finediving_lays_them(meet):
    data = read_finediving(meet / "annotations")
    assert data.problems == ()
    assert data.missing == ()
    for dive in data.dives:
        folder = meet / "frames" / dive.dive.match / dive.dive.dive
        numbers = sorted(int(path.stem) for path in folder.glob("*.jpg"))
        assert numbers == list(range(dive.dive.start_frame, dive.dive.end_frame + 1))
        assert cv2.imread(str(folder / f"{numbers[0]:05d}.jpg")).shape == (256, 455, 3)


def test_plain_pickles_hold_what_the_published_ones_hold(meet):
    coarse = pickle.loads(
        (meet / "annotations" / "FineDiving_coarse_annotation.pkl").read_bytes()
    )
    fine = pickle.loads(
        (meet / "annotations" / "FineDiving_fine-grained_annotation.pkl").read_bytes()
    )
    for key, value in coarse.items():
        assert isinstance(key[1], int)
        assert len(value["judge_scores"]) == 7
        assert value["dive_score"] == pytest.approx(
            value["difficulty"] * sum(sorted(value["judge_scores"])[2:5])
        )
        assert (
            len(fine[key]["frames_labels"])
            == value["end_frame"] - value["start_frame"] + 1
        )
        assert fine[key]["frames_labels"][-1] == 36


def test_the_truth_projects_onto_the_pictures(meet):
    for truth in truths(meet).values():
        points = np.concatenate(
            [truth.joints, np.ones((*truth.joints.shape[:2], 1))], axis=2
        )
        image = np.einsum("tij,tkj->tki", truth.cameras, points)
        np.testing.assert_allclose(
            image[..., :2] / image[..., 2:], truth.keypoints, atol=0.01
        )


def test_joints_in_sight_lie_inside_the_picture_and_above_water(meet):
    for truth in truths(meet).values():
        seen = truth.visibility != Visibility.MISSING
        assert (truth.keypoints[seen] >= -0.5).all()
        assert (truth.keypoints[seen] <= [454.5, 255.5]).all()
        assert truth.joints[seen][:, 1].min() > -0.05
        assert seen[: truth.meta["touch"]].mean() > 0.95


def test_labels_in_both_formats_are_the_truth(meet):
    labels = labelme.read(meet / "labels" / "truth", meet / "frames")
    listed = fdpose_json.read(meet / "finediving_pose.json", meet / "frames")
    assert labels.problems == ()
    assert listed.problems == ()
    by_image = {frame.image: frame for frame in listed.frames}
    assert {frame.image for frame in labels.frames} == set(by_image)
    assert len(by_image) > 80
    known = truths(meet)
    for frame in labels.frames:
        truth = known[f"{frame.match}/{frame.dive}.npz"]
        row = int(np.flatnonzero(truth.frame_index == frame.frame)[0])
        np.testing.assert_allclose(frame.keypoints, truth.keypoints[row], atol=1e-3)
        np.testing.assert_allclose(frame.box, truth.boxes[row], atol=1e-3)
        np.testing.assert_allclose(
            by_image[frame.image].keypoints, frame.keypoints, atol=1e-3
        )
        assert (meet / "frames" / frame.image).exists()


def test_skeletons_are_the_true_joints_in_sight(meet):
    for name, truth in truths(meet).items():
        path = Path(name)
        sequence = read_pose(
            meet / SKELETONS_NAME / "Pose" / path.parent / f"pred_comp_{path.name}"
        )
        seen = truth.visibility != Visibility.MISSING
        assert np.array_equal(np.isfinite(sequence.keypoints).all(axis=-1), seen)
        assert np.array_equal(sequence.state == JointState.OBSERVED, seen)
        np.testing.assert_array_equal(sequence.keypoints[seen], truth.keypoints[seen])
        np.testing.assert_array_equal(sequence.frame_index, truth.frame_index)
        assert (sequence.scores[seen] == 1).all()


def test_faults_awards_and_score_are_on_record(meet):
    for truth in truths(meet).values():
        assert truth.meta["synthetic"] is True
        assert set(truth.meta["execution"]) >= {"knee_bend", "over_rotation", "splash"}
        turned = truth.somersault[truth.meta["touch"]]
        halves = int(truth.meta["choice"]["dive_number"][2])
        assert turned == pytest.approx(
            180 * halves + truth.meta["execution"]["over_rotation"], abs=20
        )
        assert 0 <= truth.meta["score"] <= truth.meta["choice"]["difficulty"] * 30


def test_processes_make_no_difference(meet, tmp_path):
    synthesise_meet(tmp_path / "again", REQUEST, workers=2)
    assert contents(tmp_path / "again") == contents(meet)


def test_a_rerun_redoes_only_what_is_missing(meet, tmp_path):
    out = tmp_path / "meet"
    shutil.copytree(meet, out)
    lost = next((out / "truth").rglob("*.npz"))
    lost.unlink()
    kept = {path: path.stat().st_mtime_ns for path in (out / "truth").rglob("*.npz")}
    assert synthesise_meet(out, REQUEST).skipped == 1
    assert contents(out) == contents(meet)
    assert all(path.stat().st_mtime_ns == time_ for path, time_ in kept.items())


def test_a_killed_run_goes_on_to_the_same_files(meet, tmp_path):
    out = tmp_path / "meet"
    command = [
        sys.executable,
        "-m",
        "finediving_pose",
        "synth",
        str(out),
        "--dives",
        "2",
        "--seed",
        "3",
    ]
    with subprocess.Popen(
        [*command, "--numbers", "107B,5253B"], stderr=subprocess.DEVNULL
    ) as process:
        deadline = time.monotonic() + 120
        while (
            not list(out.glob("truth/*/[!.]*.npz"))
            and process.poll() is None
            and time.monotonic() < deadline
        ):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    result = synthesise_meet(out, REQUEST)
    assert result.skipped >= 1
    visible = {
        name: digest
        for name, digest in contents(out).items()
        if "/." not in name and not name.startswith(".")
    }
    assert visible == contents(meet)


def test_another_meet_is_not_mixed_in(meet):
    with pytest.raises(
        UsageError, match=r"holds another meet: seed 3 \(asked for: 4\)"
    ):
        synthesise_meet(meet, SynthRequest(dives=2, seed=4, numbers=REQUEST.numbers))


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(UsageError, match="exists and is no meet"):
        synthesise_meet(tmp_path, REQUEST)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize(
    ("request_", "workers", "message"),
    [
        (SynthRequest(2, 0, ("999z",)), 1, "not in the programme"),
        (SynthRequest(0, 0), 1, "expected at least 1"),
        (SynthRequest(2, 0, every=0), 1, "--every 0"),
        (SynthRequest(2, 0), 0, "--workers 0"),
    ],
)
def test_the_impossible_is_refused_before_anything_is_written(
    tmp_path, request_, workers, message
):
    with pytest.raises(UsageError, match=message):
        synthesise_meet(tmp_path / "x", request_, workers)
    assert not (tmp_path / "x").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        EnvironmentUnfit,
        match=r"cannot be written: .*; the dives finished so far are kept",
    ):
        synthesise_meet(tmp_path / "file" / "meet", REQUEST)


def test_as_video_every_dive_is_a_file_of_its_own(meet, tmp_path):
    out = tmp_path / "meet"
    synthesise_meet(out, SynthRequest(1, 3, ("107b",), kind="video", every=10))
    dives, problems = read_dives(out / "dives.csv")
    assert problems == []
    capture = cv2.VideoCapture(str(out / dives[0].video))
    count = 0
    while capture.grab():
        count += 1
    capture.release()
    assert (dives[0].start_frame, dives[0].end_frame) == (0, count - 1)
    assert not (out / "frames").exists()
    listed = json.loads((out / "finediving_pose.json").read_text())
    assert len(listed) == pytest.approx(
        count / 18, abs=4
    )  # every tenth of those that show all joints


def test_without_pictures_the_truth_is_the_same(meet, tmp_path):
    out = tmp_path / "meet"
    synthesise_meet(out, SynthRequest(2, 3, REQUEST.numbers, kind="truth"))
    assert not (out / "frames").exists()
    for name, truth in truths(out).items():
        other = truths(meet)[name]
        for field in (
            "keypoints",
            "visibility",
            "boxes",
            "frame_labels",
            "joints",
            "cameras",
        ):
            np.testing.assert_array_equal(getattr(truth, field), getattr(other, field))


def test_annotations_alone_are_those_of_the_whole_meet(meet, tmp_path):
    out = tmp_path / "meet"
    synthesise_meet(out, SynthRequest(2, 3, REQUEST.numbers, kind="annotations"))
    for path in (meet / "annotations").iterdir():
        assert (out / "annotations" / path.name).read_bytes() == path.read_bytes()
    assert sorted(path.name for path in out.iterdir()) == [
        "README.txt",
        "annotations",
        "dives.csv",
        "manifest.json",
        "meet.json",
    ]


def test_limbs_of_their_own_are_asked_for_and_a_meet_without_goes_on(tmp_path):
    plain = SynthRequest(dives=1, seed=3, numbers=("107b",), kind="truth")
    free = replace(plain, free_limbs=True)
    synthesise_meet(tmp_path / "plain", plain)
    synthesise_meet(tmp_path / "free", free)
    joints = [
        next(iter(truths(tmp_path / name).values())).keypoints
        for name in ("plain", "free")
    ]
    assert np.nanmax(np.abs(joints[0] - joints[1])) > 10
    for there, asked in (("plain", free), ("free", plain)):
        with pytest.raises(UsageError, match="holds another meet: free_limbs"):
            synthesise_meet(tmp_path / there, asked)
    card = tmp_path / "plain" / "meet.json"
    before = json.loads(card.read_text())
    del before["free_limbs"]  # as written before there were any
    card.write_text(json.dumps(before))
    assert synthesise_meet(tmp_path / "plain", plain).skipped == 1
