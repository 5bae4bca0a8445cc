"""FineDiving-Pose's published JSON: the real sample comes out as it went in; what is
lost is estimated and marked."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.label_samples import assert_same_labels, make_frame, problem_about

from finediving_pose.datasets import fdpose_json
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labels import read_labels
from finediving_pose.errors import DataError

PUBLISHED_KEYS = {"image", "joints", "joints_vis", "center", "scale"}


def published(**changes):
    """An item as FineDiving-Pose has them: joints reach 60 px right and 20 px down from
    the centre."""
    joints = [[100.0 + 4 * joint, 100.0 + joint] for joint in range(15)] + [
        [160.0, 80.0]
    ]
    return {
        "image": "1.jpg",
        "joints": joints,
        "joints_vis": [1] * 16,
        "center": [100.0, 100.0],
        "scale": 0.7,
    } | changes


def read_items(tmp_path, *items):
    (tmp_path / "a.json").write_text(json.dumps(items))
    return read_labels(tmp_path / "a.json", "fdpose-json")


def test_the_lost_box_is_estimated_and_marked(tmp_path):
    (frame,) = read_items(tmp_path, published()).frames
    assert frame.box_estimated
    np.testing.assert_allclose(
        frame.box, [30, 78, 170, 122]
    )  # 200·0.7 wide, 2·1.1·20 high
    assert frame.scale == 0.7


def test_the_estimated_box_is_never_longer_across_than_along():
    keypoints = np.full((16, 2), np.nan)
    keypoints[0], keypoints[1] = (160, 100), (100, 158)
    np.testing.assert_allclose(
        fdpose_json.estimate_box(np.array([100.0, 100]), 0.5, keypoints),
        [50, 50, 150, 150],
    )


def test_without_joints_no_box_can_be_estimated():
    assert fdpose_json.estimate_box(np.zeros(2), 1.0, np.full((16, 2), np.nan)) is None


def test_scale_has_no_margin_and_center_is_the_boxs(tmp_path):
    fdpose_json.write(tmp_path / "a.json", LabelSet((make_frame(),)))
    (item,) = json.loads((tmp_path / "a.json").read_text())
    assert item["scale"] == pytest.approx(164.5 / 200)
    assert item["center"] == [150.5, 132.75]
    assert item["box"] == [90.25, 50.5, 210.75, 215.0]


def test_only_what_is_needed_is_added(tmp_path):
    labels = read_items(tmp_path, published())
    fdpose_json.write(tmp_path / "b.json", labels)
    assert json.loads((tmp_path / "b.json").read_text()) == [published()]


def test_joints_declared_invisible(tmp_path):
    joints = published()["joints"]
    joints[0:5] = [[0, 0], [-1, -1], [None, None], [50.5, 60.5], [70.0, 80.0]]
    labels = read_items(
        tmp_path,
        published(joints=joints, joints_vis=[0, 0, 0, 0] + [1] * 12, occluded=[4]),
    )
    (frame,) = labels.frames
    assert np.isnan(frame.keypoints[:3]).all()
    assert frame.keypoints[3].tolist() == [50.5, 60.5]
    assert frame.visibility.tolist() == [0, 0, 0, 0, 1] + [2] * 11
    assert labels.errors == ()


@pytest.mark.parametrize(
    ("changes", "where", "message"),
    [
        ({"joints": [[1, 2]] * 15}, "joints", "found 15 joints, expected 16"),
        ({"joints": None}, "joints", "found None, expected 16"),
        ({"joints_vis": [1] * 3}, "joints_vis", "expected 16 times 0 or 1"),
        ({"joints_vis": ["x"] * 16}, "joints_vis", "expected 16 times 0 or 1"),
    ],
)
def test_a_bad_item_is_left_out_and_the_rest_is_read(tmp_path, changes, where, message):
    labels = read_items(tmp_path, published(image="bad.jpg", **changes), published())
    assert [frame.image for frame in labels.frames] == ["1.jpg"]
    problem = problem_about(labels.problems, where)
    assert "(bad.jpg)" in problem.file
    assert message in problem.message


@pytest.mark.parametrize(
    ("changes", "where"),
    [
        ({"scale": 0}, "scale"),
        ({"scale": float("nan")}, "scale"),
        ({"scale": None}, "scale"),
        ({"center": [1]}, "center"),
        ({"center": None}, "center"),
        ({"center": [1, float("inf")]}, "center"),
    ],
)
def test_a_bad_center_or_scale_costs_the_box_only(tmp_path, changes, where):
    labels = read_items(tmp_path, published(**changes))
    assert labels.frames[0].box is None
    assert labels.frames[0].labelled.all()
    assert problem_about(labels.problems, where).severity == "error"


def test_a_labelled_joint_without_coordinates_is_an_error(tmp_path):
    joints = published()["joints"]
    joints[4] = [None, None]
    labels = read_items(tmp_path, published(joints=joints))
    assert "joint left out" in problem_about(labels.problems, "left_knee").message


def test_items_that_are_no_objects(tmp_path):
    labels = read_items(tmp_path, 3, published())
    assert len(labels.frames) == 1
    assert labels.errors[0].file.endswith("a.json item 0")
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError, match="expected a list"):
        read_labels(tmp_path / "a.json", "fdpose-json")


def test_the_published_sample_round_trips_exactly(shared_data, tmp_path):
    source = shared_data / "finediving_pose_sample/annotations.json"
    labels = read_labels(source)
    assert labels.problems == ()
    assert len(labels.frames) == 69
    assert all(frame.box_estimated for frame in labels.frames)
    assert labels.images == source.parent / "images"
    fdpose_json.write(tmp_path / "a.json", labels)
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads(
        source.read_text()
    )


@pytest.mark.parametrize("name", ["labelme", "mpii", "coco", "csv"])
def test_the_published_sample_through_other_formats(shared_data, tmp_path, name):
    from finediving_pose.datasets.formats import FORMATS

    source = shared_data / "finediving_pose_sample/annotations.json"
    labels = read_labels(source)
    path = tmp_path / f"through{FORMATS[name].suffix}"
    assert [problem.severity for problem in FORMATS[name].write(path, labels)] == [
        "warning"
    ] * (name == "mpii")
    back = read_labels(path, name, labels.images)
    assert back.problems == ()
    fdpose_json.write(tmp_path / "a.json", back)
    items = json.loads((tmp_path / "a.json").read_text())
    for item, original in zip(items, json.loads(source.read_text()), strict=True):
        assert item.keys() - {"size"} == PUBLISHED_KEYS
        assert item["image"] == original["image"]
        assert item["joints_vis"] == original["joints_vis"]
        np.testing.assert_allclose(
            item["joints"], original["joints"], rtol=0, atol=1e-9
        )
        np.testing.assert_allclose(
            [*item["center"], item["scale"]],
            [*original["center"], original["scale"]],
            atol=1e-9,
        )


def test_lsp_extended_has_no_boxes(shared_data, tmp_path):
    source = shared_data / "lsp_extended/annotations.json"
    labels = read_labels(source, "fdpose-json")
    assert len(labels.frames) == 2999
    assert [problem.where for problem in labels.problems] == ["right_wrist", "box"]
    fdpose_json.write(tmp_path / "a.json", labels)
    assert "center" not in json.loads((tmp_path / "a.json").read_text())[0]
    assert_same_labels(fdpose_json.read(tmp_path / "a.json").frames, labels.frames)
