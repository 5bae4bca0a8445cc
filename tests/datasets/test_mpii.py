"""MPII: the arithmetic of HRNet's and MMPose's loaders ends at our box."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.label_samples import make_frame, problem_about

from finediving_pose.datasets import mpii
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labels import read_labels

WIDENED = 1.25


def loaded(item):
    """What HRNet and MMPose make of an item: centre of the crop and its side in px, and
    HRNet's joints."""
    center, scale = np.array(item["center"], dtype=float), item["scale"]
    if center[0] != -1:
        center[1] += 15 * scale
    return center - 1, 200 * scale * WIDENED, np.array(item["joints"]) - 1


@pytest.mark.parametrize(
    "box", [[90.25, 50.5, 210.75, 215.0], [0, 0, 300, 10], [3, 4, 5, 200]]
)
def test_the_loaders_arrive_at_the_box(tmp_path, box):
    frame = make_frame(box=np.array(box, dtype=float))
    mpii.write(tmp_path / "a.json", LabelSet((frame,)))
    (item,) = json.loads((tmp_path / "a.json").read_text())
    center, side, joints = loaded(item)
    np.testing.assert_allclose(center, (frame.box[:2] + frame.box[2:]) / 2)
    assert side == pytest.approx(WIDENED * (frame.box[2:] - frame.box[:2]).max())
    np.testing.assert_allclose(joints, frame.keypoints)


@pytest.mark.parametrize(
    ("name", "warned"),
    [("000000007.jpg", False), ("clip/00001.jpg", True), ("a7.jpg", True)],
)
def test_names_that_mmpose_refuses_are_warned_of(tmp_path, name, warned):
    problems = mpii.write(tmp_path / "a.json", LabelSet((make_frame(name),)))
    assert [problem.where for problem in problems] == ["image names"] * warned


def test_a_foreign_box_is_the_loaders_square_and_marked():
    np.testing.assert_allclose(
        mpii.compute_square(np.array([101.0, 86.0]), 1.0), [0, 0, 200, 200]
    )


def test_a_frame_without_a_box_is_reported_and_left_out(tmp_path):
    problems = mpii.write(
        tmp_path / "a.json",
        LabelSet((make_frame("a.jpg", box=None), make_frame("b.jpg"))),
    )
    assert "no athlete box" in problem_about(tuple(problems), "box").message
    assert [
        item["image"] for item in json.loads((tmp_path / "a.json").read_text())
    ] == ["b.jpg"]


def test_mpii_without_a_center(tmp_path):
    mpii.write(tmp_path / "a.json", LabelSet((make_frame(),)))
    (item,) = json.loads((tmp_path / "a.json").read_text())
    del item["box"]
    (tmp_path / "a.json").write_text(
        json.dumps([item | {"center": [-1, -1], "scale": -1}])
    )
    labels = read_labels(tmp_path / "a.json", "mpii")
    assert labels.frames[0].box is None
    assert (
        "found [-1, -1] and scale -1; no box"
        in problem_about(labels.problems, "center").message
    )


def test_mpiis_own_images(shared_data, tmp_path):
    source = shared_data / "mpii/test_mpii.json"
    labels = read_labels(source)
    assert labels.format == "mpii"
    assert labels.problems == ()
    assert [int((~frame.labelled).sum()) for frame in labels.frames] == [0, 0, 2, 2, 0]
    assert labels.frames[0].keypoints[0].tolist() == [803, 710]
    assert all(frame.box_estimated for frame in labels.frames)
    mpii.write(tmp_path / "a.json", labels)
    for item, original in zip(
        json.loads((tmp_path / "a.json").read_text()),
        json.loads(source.read_text()),
        strict=True,
    ):
        assert item.keys() == original.keys()
        assert item["joints_vis"] == original["joints_vis"]
        np.testing.assert_allclose(item["joints"], original["joints"])
        np.testing.assert_allclose(
            [*item["center"], item["scale"]], [*original["center"], original["scale"]]
        )
