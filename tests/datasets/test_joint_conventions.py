"""Conventions of joint lists: what this package wrote, whatever its images are called,
and what others wrote."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.label_samples import assert_same_labels, make_frame

from finediving_pose.datasets.formats import FORMATS, detect_format
from finediving_pose.datasets.joint_conventions import Convention, tell_convention
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labels import read_labels
from finediving_pose.errors import DataError
from finediving_pose.skeleton import NUM_JOINTS


def make_list(drop: float, image: str = "dive/1.jpg", fraction: float = 0.0):
    """Foreign records whose joints' middle lies `drop` px per unit of scale below the
    center."""
    heights = np.linspace(20.0, 180.0, NUM_JOINTS)
    joints = np.stack([np.full(NUM_JOINTS, 80.0), np.round(heights)], axis=1) + fraction
    middle = 100.0 + fraction
    return [
        {
            "image": image,
            "joints": joints.tolist(),
            "joints_vis": [1] * NUM_JOINTS,
            "center": [80.0, middle - drop],
            "scale": 1.0,
        }
    ]


@pytest.mark.parametrize("image", ["000000007.jpg", "swim/7.jpg", "im00007.jpg"])
@pytest.mark.parametrize("name", ["mpii", "fdpose-json"])
def test_what_we_wrote_comes_back_under_any_name(tmp_path, name, image):
    frame = make_frame(image, keypoints=np.full((NUM_JOINTS, 2), 77.0))
    FORMATS[name].write(tmp_path / "a.json", LabelSet((frame,)))
    labels = read_labels(tmp_path / "a.json")
    assert labels.format == name
    assert_same_labels(labels.frames, (frame,))


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        (make_list(15.0), Convention.FROM_ONE),
        (make_list(0.0), Convention.FROM_ZERO),
        (make_list(15.0, "000000001.jpg"), Convention.FROM_ONE),
        (make_list(6.0, "000000001.jpg"), Convention.FROM_ONE),
        (make_list(6.0, fraction=0.25), Convention.FROM_ZERO),
        (make_list(6.0), None),
        (make_list(0.0, "000000001.jpg"), None),
        (make_list(15.0, fraction=0.25), None),
        ([{"image": "a.jpg", "joints": []}], Convention.FROM_ZERO),
    ],
)
def test_figures_tell_what_others_wrote(records, expected):
    assert tell_convention(records) is expected


def test_what_nothing_tells_is_asked_for(tmp_path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(make_list(6.0)))
    with pytest.raises(DataError, match="may count pixels from 0"):
        detect_format(path)
    assert read_labels(path, "mpii").frames[0].keypoints[0, 0] == 79.0
    assert read_labels(path, "fdpose-json").frames[0].keypoints[0, 0] == 80.0
