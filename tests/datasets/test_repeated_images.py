"""Images that several labels name: in every format, and wherever the labels go."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from helpers.label_samples import labelme_file, make_frame, problem_about
from PIL import Image

from finediving_pose.annotation.label_checks import check_labels, group_dives
from finediving_pose.datasets import coco, pyskl
from finediving_pose.datasets.formats import FORMATS
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labels import read_labels
from finediving_pose.datasets.repeated_images import is_same_person

LISTS = ("coco", "csv", "mpii", "fdpose-json")


def moved(frame, x, **fields):
    """The same pose further right."""
    step = np.array([x, 0.0])
    given = {
        "keypoints": frame.keypoints + step,
        "box": frame.box + np.tile(step, 2),
        "match": frame.match,
        "dive": frame.dive,
        "frame": frame.frame,
    }
    return make_frame(frame.image, **(given | fields))


def write_image(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (455, 256)).save(path)


@pytest.mark.parametrize("name", LISTS)
def test_a_person_labelled_twice_is_left_out_once(tmp_path, name):
    first = make_frame("a.jpg")
    path = tmp_path / f"labels{FORMATS[name].suffix}"
    FORMATS[name].write(path, LabelSet((first, moved(first, 3.0))))
    labels = read_labels(path, name)
    assert len(labels.frames) == 1
    np.testing.assert_allclose(labels.frames[0].keypoints, first.keypoints)
    assert problem_about(labels.errors, "image").kind == "double"
    assert "double" in {finding.kind for finding in check_labels(labels)}


def test_a_clip_with_one_image_twice_is_one_label(tmp_path):
    frames = (make_frame("a.jpg"), make_frame("b.jpg", 1))
    content = pyskl.encode_pyskl(frames)
    content["annotations"][0]["image"] = ["a.jpg", "a.jpg"]
    content["annotations"][0]["keypoint"][0, 1] = content["annotations"][0]["keypoint"][
        0, 0
    ]
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
    labels = read_labels(tmp_path / "a.pkl")
    assert len(labels.frames) == 1
    assert problem_about(labels.errors, "image").kind == "double"


@pytest.mark.parametrize("name", LISTS)
def test_two_people_of_one_image_are_kept_with_a_warning(tmp_path, name):
    first = make_frame("a.jpg")
    path = tmp_path / f"labels{FORMATS[name].suffix}"
    FORMATS[name].write(path, LabelSet((first, moved(first, 150.0))))
    labels = read_labels(path, name)
    assert len(labels.frames) == 2
    problem = problem_about(labels.problems, "image")
    assert (problem.severity, problem.kind) == ("warning", "double")
    assert "found 2 labels of a.jpg" in problem.message


def test_an_image_with_two_ids_is_labelled_twice(tmp_path):
    first = make_frame("a.jpg")
    coco.write(tmp_path / "a.json", LabelSet((first, make_frame("b.jpg"))))
    content = json.loads((tmp_path / "a.json").read_text())
    content["images"][1]["file_name"] = "a.jpg"
    (tmp_path / "a.json").write_text(json.dumps(content))
    labels = read_labels(tmp_path / "a.json")
    assert len(labels.frames) == 1
    problem = problem_about(labels.errors, "image_id")
    assert problem.kind == "double"
    assert "a.jpg is labelled twice, with the ids 1 and 2" in problem.message


def test_two_people_never_become_frames_of_one_clip(tmp_path):
    first = make_frame("m/1/0.jpg", match="m", dive="1", frame=0)
    crowd = (first, moved(first, 150.0), make_frame("m/1/1.jpg", match="m", dive="1"))
    alone = make_frame("m/2/0.jpg", match="m", dive="2", frame=0)
    problems = pyskl.write(tmp_path / "a.pkl", LabelSet((*crowd, alone)))
    assert [problem.severity for problem in problems] == ["error"] * 3
    assert "several people in m/1/0.jpg" in problems[0].message
    labels = read_labels(tmp_path / "a.pkl")
    assert [frame.image for frame in labels.frames] == ["m/2/0.jpg"]


def test_people_of_one_image_are_not_neighbours_in_time():
    first = make_frame("m/1/0.jpg", match="m", dive="1", frame=0)
    dives = group_dives((first, moved(first, 150.0), make_frame("m/1/1.jpg")))
    assert sorted(map(len, dives)) == [1, 1, 1]


@pytest.mark.parametrize("name", [*LISTS, "pyskl"])
def test_two_names_that_one_image_alone_fits(tmp_path, name):
    write_image(tmp_path / "images" / "1.jpg")
    path = tmp_path / f"labels{FORMATS[name].suffix}"
    FORMATS[name].write(path, LabelSet((make_frame("a/1.jpg"), make_frame("b/1.jpg"))))
    labels = read_labels(path, name, tmp_path / "images")
    assert labels.frames == ()
    messages = [problem.message for problem in labels.errors]
    assert len(messages) == 2
    assert "b/1.jpg would be too" in messages[0]
    assert "a/1.jpg would be too" in messages[1]


def test_an_image_belongs_to_the_label_that_names_it(tmp_path):
    write_image(tmp_path / "images" / "1.jpg")
    coco.write(
        tmp_path / "a.json", LabelSet((make_frame("b/1.jpg"), make_frame("1.jpg")))
    )
    labels = read_labels(tmp_path / "a.json")
    assert [frame.image for frame in labels.frames] == ["1.jpg"]
    assert len(labels.errors) == 1


def test_labelme_files_whose_images_one_bare_name_fits(tmp_path):
    for folder in ("first", "second"):
        labelme_file(tmp_path / "labels" / folder / "1.json", image=False)
    write_image(tmp_path / "pictures" / "1.jpg")
    labels = read_labels(tmp_path / "labels", images=tmp_path / "pictures")
    assert labels.frames == ()
    assert len(labels.errors) == 2
    assert "second/1.jpg" in labels.errors[0].message
    assert "first/1.jpg" in labels.errors[1].message


def test_without_common_joints_the_boxes_decide():
    joints = np.array([2] * 8 + [0] * 8, np.uint8)
    one = make_frame(visibility=joints)
    other = make_frame(visibility=joints[::-1].copy())
    assert is_same_person(one, other)
    assert not is_same_person(one, moved(other, 150.0, visibility=other.visibility))
