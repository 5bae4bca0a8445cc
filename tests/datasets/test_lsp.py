"""Leeds Sports Pose Extended: 14 joints become ours, pelvis from the hips, no thorax, a
box from the joints."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.label_samples import problem_about
from PIL import Image
from scipy.io import savemat

from finediving_pose.datasets import lsp
from finediving_pose.datasets.formats import detect_format
from finediving_pose.datasets.labels import read_labels
from finediving_pose.errors import DataError, UsageError
from finediving_pose.skeleton import INDEX, NUM_JOINTS
from finediving_pose.workflows.convert import convert

THORAX, PELVIS = INDEX["thorax"], INDEX["pelvis"]


def item(missing=(), **changes):
    """An item with every joint but the thorax at (10·id, 20 + id) px."""
    joints = [[10.0 * joint, 20.0 + joint] for joint in range(NUM_JOINTS)]
    seen = [1] * NUM_JOINTS
    for joint in (THORAX, *missing):
        joints[joint], seen[joint] = [None, None], 0
    return {"image": "im00007.jpg", "joints": joints, "joints_vis": seen} | changes


def read_items(tmp_path, *items):
    (tmp_path / "a.json").write_text(json.dumps(items))
    return read_labels(tmp_path / "a.json")


def published(path, people=2):
    """A joints.mat whose joint j of person p lies at (100·p + j, j + 1), and its array
    (14, 3, N)."""
    joints = np.zeros((14, 3, people))
    joints[:, 0] = 100 * np.arange(people) + np.arange(14)[:, None]
    joints[:, 1] = np.arange(14)[:, None] + 1
    joints[:, 2] = 1
    savemat(path, {"joints": joints})
    return joints


def test_what_is_not_labelled_stays_missing_and_the_list_is_known_by_its_names(
    tmp_path,
):
    labels = read_items(tmp_path, item(missing=(0,)))
    (frame,) = labels.frames
    assert labels.format == "lsp"
    assert np.flatnonzero(~frame.labelled).tolist() == [0, THORAX]
    assert np.isnan(frame.keypoints[[0, THORAX]]).all()
    assert frame.dive_key == "lsp/im00007"
    assert labels.errors == ()


def test_the_pelvis_lies_between_the_hips_unless_it_is_given_or_a_hip_is_missing(
    tmp_path,
):
    hips = (
        item(missing=(PELVIS,)),
        item(image="im00008.jpg"),
        item(missing=(PELVIS, INDEX["left_hip"]), image="im00009.jpg"),
    )
    computed, given, unknown = read_items(tmp_path, *hips).frames
    assert computed.keypoints[PELVIS].tolist() == [25.0, 22.5]
    assert given.keypoints[PELVIS].tolist() == [60.0, 26.0]
    assert not unknown.labelled[PELVIS]


def test_the_box_reaches_a_tenth_beyond_the_joints(tmp_path):
    (frame,) = read_items(tmp_path, item()).frames
    assert frame.box_estimated
    np.testing.assert_allclose(frame.box, [-15, 5, 165, 50])


def test_one_joint_gives_no_box(tmp_path):
    labels = read_items(tmp_path, item(missing=tuple(range(1, NUM_JOINTS))))
    assert labels.frames[0].box is None
    assert "too few" in problem_about(labels.problems, "joints").message


def test_two_joints_in_one_place_are_told(tmp_path):
    slip = item()
    slip["joints"][1] = slip["joints"][0]
    labels = read_items(tmp_path, slip)
    assert (
        "where right_ankle is too"
        in problem_about(labels.problems, "right_knee").message
    )
    assert labels.frames[0].labelled[:2].all()


def test_a_bad_item_does_not_stop_the_others(tmp_path):
    labels = read_items(
        tmp_path, item(), item(joints=[[1, 2]] * 14), item(joints_vis=None), "no item"
    )
    assert len(labels.frames) == 1
    assert len(labels.errors) == 3


def test_the_published_matlab_file(tmp_path):
    joints = published(tmp_path / "joints.mat")
    joints[3, :, 1] = (-5, -5, 0)  # the left hip of the second
    savemat(tmp_path / "joints.mat", {"joints": joints})
    (tmp_path / "images").mkdir()
    for name in ("im00001.jpg", "im00002.jpg"):
        Image.new("RGB", (300, 60)).save(tmp_path / "images" / name)
    first, second = read_labels(tmp_path / "joints.mat").frames
    assert (first.image, second.image) == ("im00001.jpg", "im00002.jpg")
    assert first.keypoints[INDEX["left_wrist"]].tolist() == [11, 12]
    assert first.keypoints[PELVIS].tolist() == [2.5, 3.5]
    assert np.flatnonzero(~first.labelled).tolist() == [THORAX]
    assert np.flatnonzero(~second.labelled).tolist() == [
        INDEX["left_hip"],
        PELVIS,
        THORAX,
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"other": np.zeros(3)}, "found none"),
        ({"joints": np.zeros((3, 14, 5))}, "found 3x14x5, expected 14x3xN"),
    ],
)
def test_another_matlab_file(tmp_path, content, message):
    savemat(tmp_path / "joints.mat", content)
    with pytest.raises(DataError, match=message):
        lsp.read(tmp_path / "joints.mat")


def test_no_matlab_file(tmp_path):
    (tmp_path / "joints.mat").write_bytes(
        b"no MATLAB file, but long enough to have a header" * 8
    )
    with pytest.raises(DataError, match="not readable as a MATLAB file"):
        lsp.read(tmp_path / "joints.mat")


def test_it_is_never_written(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps([item()]))
    with pytest.raises(UsageError, match="unknown format 'lsp'"):
        convert(tmp_path / "a.json", "lsp")


def test_the_real_images(shared_data):
    source = shared_data / "lsp_extended" / "annotations.json"
    assert detect_format(source) == "lsp"
    labels = read_labels(source)
    assert len(labels.frames) == 2999
    assert [problem.where for problem in labels.errors] == ["right_wrist"]
    assert all(frame.box is not None for frame in labels.frames)
