"""LabelMe: what annotators leave behind, what other programs write, and the real
LabelMe."""

from __future__ import annotations

import json
import os
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.label_samples import (
    SIZE,
    box_shape,
    labelme_file,
    make_frame,
    point_shape,
    problem_about,
    shape,
)
from PIL import Image

from finediving_pose.datasets import coco, labelme
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labels import read_labels
from finediving_pose.errors import DataError
from finediving_pose.skeleton import JOINTS


def points(*without: int, **changes: object) -> list[dict[str, object]]:
    return [
        point_shape(str(j), 110 + 5 * j, 70 + 8 * j, **changes)
        for j in range(16)
        if j not in without
    ]


def test_a_good_file(tmp_path):
    labelme_file(tmp_path / "labels/anna/01__3/00123.json")
    labels = read_labels(tmp_path / "labels/anna")
    (frame,) = labels.frames
    assert labels.problems == ()
    assert frame.keypoints[15].tolist() == [185, 190]
    assert frame.box.tolist() == [100, 60, 210, 220]
    assert (frame.match, frame.dive, frame.frame, frame.size) == ("01", "3", 123, SIZE)
    assert frame.image == "01__3/00123.jpg"
    assert labels.image_path(frame) == tmp_path / "labels/anna/01__3/00123.jpg"


@pytest.mark.parametrize("version", ["3.16.7", "4.0.0", "5.8.1", "6.3.2", "7.0.0"])
def test_versions_3_to_7(tmp_path, version):
    labelme_file(tmp_path / "1.json", version=version)
    assert read_labels(tmp_path).problems == ()


def test_a_newer_version_is_read_with_a_warning(tmp_path):
    labelme_file(tmp_path / "1.json", version="8.0.0")
    assert (
        problem_about(read_labels(tmp_path).problems, "version").severity == "warning"
    )


def test_version_3_without_shape_types_and_sizes(tmp_path):
    content = labelme_file(tmp_path / "1.json")
    for item in content["shapes"]:
        del item["shape_type"], item["group_id"], item["flags"]
    del content["imageHeight"], content["imageWidth"]
    (tmp_path / "1.json").write_text(json.dumps(content | {"version": "3.6.0"}))
    labels = read_labels(tmp_path)
    assert labels.problems == ()
    assert labels.frames[0].box.tolist() == [100, 60, 210, 220]


def test_joint_names_occlusion_and_four_corners(tmp_path):
    named = [
        point_shape(name, 110 + 5 * j, 70 + 8 * j) for j, name in enumerate(JOINTS)
    ]
    named[3]["flags"] = {"occluded": True}
    named[4]["flags"] = {"occluded": False}
    box = box_shape("Person", ((210, 60), (100, 60), (100, 220), (210, 220)))
    labelme_file(tmp_path / "1.json", shapes=[*named, box])
    labels = read_labels(tmp_path)
    assert labels.problems == ()
    assert labels.frames[0].visibility.tolist() == [2, 2, 2, 1] + [2] * 12
    assert labels.frames[0].box.tolist() == [100, 60, 210, 220]


def test_the_only_rectangle_beside_joints_is_the_box(tmp_path):
    labelme_file(tmp_path / "1.json", shapes=[*points(), box_shape("rectangle")])
    labels = read_labels(tmp_path)
    assert labels.problems == ()
    assert labels.frames[0].box.tolist() == [100, 60, 210, 220]


def test_a_missing_joint_is_an_error_of_the_joint(tmp_path):
    labelme_file(tmp_path / "1.json", shapes=[box_shape(), *points(4)])
    labels = read_labels(tmp_path)
    problem = problem_about(labels.problems, "left_knee")
    assert (
        str(problem)
        == f"error: {tmp_path / '1.json'}: left_knee: not labelled; expected a point `4`; joint missing"
    )
    assert np.isnan(labels.frames[0].keypoints[4]).all()
    assert labels.frames[0].visibility.tolist().count(2) == 15


def test_a_duplicate_joint_leaves_the_frame_out(tmp_path):
    labelme_file(
        tmp_path / "1.json",
        shapes=[box_shape(), *points(), point_shape("left_knee", 1, 2)],
    )
    labelme_file(tmp_path / "2.json")
    labels = read_labels(tmp_path)
    assert [frame.image for frame in labels.frames] == ["2.jpg"]
    problem = problem_about(labels.problems, "left_knee")
    assert problem.file == str(tmp_path / "1.json")
    assert "labelled twice" in problem.message


def test_two_boxes_leave_the_frame_out(tmp_path):
    labelme_file(
        tmp_path / "1.json", shapes=[box_shape(), box_shape("diver"), *points()]
    )
    labels = read_labels(tmp_path)
    assert labels.frames == ()
    assert (
        "found 2 rectangles (`athlete`, `diver`)"
        in problem_about(labels.problems, "box").message
    )


def test_a_missing_box_is_an_error_and_the_joints_are_kept(tmp_path):
    labelme_file(tmp_path / "1.json", shapes=points())
    labels = read_labels(tmp_path)
    assert labels.frames[0].box is None
    assert (
        "expected a rectangle `athlete`"
        in problem_about(labels.problems, "box").message
    )


def test_a_box_alone_is_a_frame_with_a_warning(tmp_path):
    labelme_file(tmp_path / "1.json", shapes=[box_shape()])
    labels = read_labels(tmp_path)
    assert labels.errors == ()
    assert not labels.frames[0].labelled.any()
    assert "no joint labelled" in problem_about(labels.problems, "joints").message


def test_shapes_that_mean_nothing_are_warned_of(tmp_path):
    extra = [
        shape("board", [[0, 0], [1, 0], [1, 1]], "polygon"),
        point_shape("16", 5, 5),
    ]
    labelme_file(tmp_path / "1.json", shapes=[box_shape(), *points(), *extra])
    labels = read_labels(tmp_path)
    assert labels.errors == ()
    assert len(labels.frames) == 1
    assert (
        "ignored: board (polygon), 16 (point)"
        in problem_about(labels.problems, "shapes").message
    )


def test_several_people_with_joints_are_refused(tmp_path):
    first, second = points(group_id=1), points(group_id=2)
    labelme_file(
        tmp_path / "1.json",
        shapes=[box_shape(group_id=1), box_shape(group_id=2), *first, *second],
    )
    labels = read_labels(tmp_path)
    assert labels.frames == ()
    assert (
        "found 2 people, 2 of them with joints"
        in problem_about(labels.problems, "group_id").message
    )


def test_the_one_person_with_joints_is_taken(tmp_path):
    spectator = box_shape("person", ((1, 2), (3, 4)), group_id=7)
    labelme_file(
        tmp_path / "1.json",
        shapes=[spectator, box_shape("person", group_id=0), *points(group_id=0)],
    )
    labels = read_labels(tmp_path)
    assert labels.problems == ()
    assert labels.frames[0].box.tolist() == [100, 60, 210, 220]


@pytest.mark.parametrize(
    ("bad", "where", "message"),
    [
        (
            point_shape("4", float("nan"), 3),
            "left_knee",
            "found (nan, 3), expected two finite numbers",
        ),
        (
            point_shape("4", float("inf"), 3),
            "left_knee",
            "found (inf, 3), expected two finite numbers",
        ),
        (
            point_shape("4", "1,2", 3),
            "left_knee",
            "found points [['1,2', 3]], expected x, y pairs",
        ),
        (
            point_shape("4", 600, 3),
            "left_knee",
            "(600, 3) lies outside the 455x256 image",
        ),
        (
            point_shape("4", 3, -9),
            "left_knee",
            "(3, -9) lies outside the 455x256 image",
        ),
        (shape("4", [], "point"), "left_knee", "found points [], expected x, y pairs"),
        (
            shape("4", None, "point"),
            "left_knee",
            "found points None, expected x, y pairs",
        ),
    ],
)
def test_a_bad_joint_is_named_and_left_out(tmp_path, bad, where, message):
    labelme_file(tmp_path / "1.json", shapes=[box_shape(), *points(4), bad])
    labels = read_labels(tmp_path)
    problem = problem_about(labels.problems, where)
    assert problem.file == str(tmp_path / "1.json")
    assert message in problem.message
    assert np.isnan(labels.frames[0].keypoints[4]).all()
    assert labels.frames[0].labelled.sum() == 15


@pytest.mark.parametrize(
    ("corners", "message"),
    [
        (((100, 60), (100, 220)), "(100, 60, 100, 220), a box without area"),
        (((100, 60), (float("nan"), 220)), "expected four finite numbers"),
        (((100, 60), (110, 70), (100, 220)), "found 3 points, expected 2 or 4 corners"),
        (((500, 60), (600, 70)), "lies outside the 455x256 image"),
    ],
)
def test_a_bad_box_is_left_out_and_the_joints_are_kept(tmp_path, corners, message):
    labelme_file(tmp_path / "1.json", shapes=[box_shape(corners=corners), *points()])
    labels = read_labels(tmp_path)
    assert message in problem_about(labels.problems, "box").message
    assert labels.frames[0].box is None
    assert labels.frames[0].labelled.all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"version": "5.0.0", "shapes": [{"lab', "no complete JSON (line 1, column"),
        (b"\xff\xfe\x00", "not readable as JSON"),
        (b"[]", "no LabelMe file"),
        (b'{"shapes": [3]}', "expected a list of objects"),
        (b'{"shapes": []}', "no athlete box and no joint"),
    ],
)
def test_a_bad_file_does_not_stop_the_others(tmp_path, content, message):
    labelme_file(tmp_path / "1.json")
    (tmp_path / "2.json").write_bytes(content)
    labels = read_labels(tmp_path)
    assert len(labels.frames) == 1
    (problem,) = labels.problems
    assert problem.file == str(tmp_path / "2.json")
    assert problem.severity == "error"
    assert message in problem.message


def test_a_file_of_100_mb_is_not_parsed(tmp_path):
    labelme_file(tmp_path / "1.json")
    with (tmp_path / "2.json").open("wb") as file:
        os.truncate(file.fileno(), 100 * 2**20)
    labels = read_labels(tmp_path)
    assert len(labels.frames) == 1
    assert "100 MB, expected at most 64 MB" in labels.problems[0].message


def test_a_missing_image_and_one_of_another_size(tmp_path):
    labelme_file(tmp_path / "1.json")
    labelme_file(tmp_path / "2.json", image=False)
    labelme_file(tmp_path / "3.json")
    Image.new("RGB", (100, 50)).save(tmp_path / "3.jpg")
    labels = read_labels(tmp_path)
    assert [frame.image for frame in labels.frames] == ["1.jpg"]
    missing, other = labels.problems
    assert (missing.file, other.file) == (
        str(tmp_path / "2.json"),
        str(tmp_path / "3.json"),
    )
    assert "2.jpg is missing" in missing.message
    assert "is 100x50, the label was made for 455x256" in other.message


def test_an_empty_folder(tmp_path):
    with pytest.raises(DataError, match="no LabelMe JSON"):
        read_labels(tmp_path)


def test_image_paths_that_lead_out_of_the_label_folder(tmp_path):
    for number in (1, 2):
        image = tmp_path / f"frames/m/1/{number}.jpg"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE).save(image)
        path = tmp_path / f"labels/final/m__1/{number}.json"
        labelme_file(path, image=False, imagePath=f"../../../frames/m/1/{number}.jpg")
    labels = read_labels(tmp_path / "labels/final")
    assert labels.problems == ()
    assert [frame.image for frame in labels.frames] == ["m/1/1.jpg", "m/1/2.jpg"]
    assert labels.images == tmp_path / "frames"
    labels = read_labels(tmp_path / "labels/final", images=tmp_path / "frames")
    assert [frame.image for frame in labels.frames] == ["m/1/1.jpg", "m/1/2.jpg"]


def test_images_of_no_dive_lie_below_the_folder_they_share(tmp_path):
    for number in (1, 2):
        labelme_file(
            tmp_path / f"labels/{number}.json",
            image=False,
            imagePath=f"../pictures/{number}/a.jpg",
        )
    labels = read_labels(tmp_path / "labels")
    assert labels.images == tmp_path / "pictures"
    assert [frame.image for frame in labels.frames] == ["1/a.jpg", "2/a.jpg"]


@pytest.mark.parametrize(
    "path", ["C:\\Users\\anna\\frames\\1.jpg", "/elsewhere/frames/1.jpg"]
)
def test_of_another_machines_path_only_the_name_counts(tmp_path, path):
    labelme_file(tmp_path / "1.json", imagePath=path)
    labels = read_labels(tmp_path)
    assert labels.problems == ()
    assert labels.frames[0].image == "1.jpg"


def test_images_are_found_by_dive_below_the_folder_given(tmp_path):
    image = tmp_path / "frames/m/1/7.jpg"
    image.parent.mkdir(parents=True)
    Image.new("RGB", SIZE).save(image)
    labelme_file(tmp_path / "labels/m__1/7.json", image=False)
    labels = read_labels(tmp_path / "labels", images=tmp_path / "frames")
    assert labels.problems == ()
    assert labels.frames[0].image == "m/1/7.jpg"


def test_a_second_label_of_an_image_is_left_out(tmp_path):
    labelme_file(tmp_path / "anna/1.json", imagePath="../1.jpg")
    labelme_file(tmp_path / "ben/1.json", imagePath="../1.jpg")
    labels = read_labels(tmp_path)
    assert len(labels.frames) == 1
    assert "labelled in" in problem_about(labels.problems, "imagePath").message


def test_our_manifest_and_hidden_files_are_no_labels(tmp_path):
    labelme_file(tmp_path / "1.json")
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache/x.json").write_text("{}")
    assert read_labels(tmp_path).problems == ()


def test_what_is_written_is_strict(tmp_path):
    frame = make_frame("m/1/00007.jpg", match="m", dive="1", frame=7)
    frame.visibility[2] = 1
    frame.visibility[3] = 0
    assert labelme.write(tmp_path, LabelSet((frame,))) == []
    content = json.loads((tmp_path / "m__1/00007.json").read_text())
    assert list(content) == [
        "version",
        "flags",
        "shapes",
        "imagePath",
        "imageData",
        "imageHeight",
        "imageWidth",
    ]
    assert (content["imagePath"], content["imageData"]) == ("../m/1/00007.jpg", None)
    assert (content["imageWidth"], content["imageHeight"]) == SIZE
    keys = {"label", "points", "group_id", "description", "shape_type", "flags", "mask"}
    assert all(item.keys() == keys for item in content["shapes"])
    assert [item["label"] for item in content["shapes"]] == [
        "athlete",
        *(str(j) for j in range(16) if j != 3),
    ]
    assert [
        item["label"]
        for item in content["shapes"]
        if item["flags"] == {"occluded": True}
    ] == ["2"]


def test_image_paths_are_written_relative_to_the_file(tmp_path):
    image = tmp_path / "frames/m/1/7.jpg"
    image.parent.mkdir(parents=True)
    Image.new("RGB", SIZE).save(image)
    frame = make_frame("m/1/7.jpg", size=None, match="m", dive="1", frame=7)
    labelme.write(tmp_path / "out", LabelSet((frame,), images=tmp_path / "frames"))
    content = json.loads((tmp_path / "out/m__1/7.json").read_text())
    assert content["imagePath"] == "../../frames/m/1/7.jpg"
    assert (content["imageWidth"], content["imageHeight"]) == SIZE
    assert read_labels(tmp_path / "out").problems == ()


def test_what_a_file_cannot_hold_is_reported(tmp_path):
    frames = (
        make_frame("a/1.jpg"),
        make_frame("a/1.jpg", 1),
        make_frame("a/2.jpg", size=None),
    )
    another, unknown = labelme.write(tmp_path, LabelSet(frames))
    assert "holds another athlete already" in another.message
    assert "image size unknown" in unknown.message
    assert [path.name for path in tmp_path.rglob("*.json")] == ["1.json"]


def real_label_file() -> Any:
    pytest.importorskip("labelme", reason="LabelMe is not installed (extra `labelme`)")
    name = next(
        name
        for name in ("labelme._label_file", "labelme.label_file")
        if find_spec(name)
    )
    return import_module(name).LabelFile


def test_the_real_labelme_opens_what_is_written(tmp_path, monkeypatch):
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    opened_by = real_label_file()
    Image.new("RGB", SIZE).save(tmp_path / "7.jpg")
    frame = make_frame("7.jpg", size=None)
    frame.visibility[2] = 1
    labelme.write(tmp_path, LabelSet((frame,), images=tmp_path))
    opened = opened_by(str(tmp_path / "7.json"))
    assert opened.imagePath == "7.jpg"
    assert len(opened.imageData) > 0
    by_label = {item["label"]: item for item in opened.shapes}
    assert by_label["athlete"]["shape_type"] == "rectangle"
    np.testing.assert_array_equal(
        by_label["athlete"]["points"], frame.box.reshape(2, 2)
    )
    assert by_label["2"]["flags"] == {"occluded": True}
    np.testing.assert_array_equal(
        [by_label[str(j)]["points"][0] for j in range(16)], frame.keypoints
    )


def test_labelmes_own_examples(shared_data):
    labels = read_labels(shared_data / "labelme_examples/examples")
    assert labels.frames == ()
    assert len(labels.errors) == 15
    primitives = [
        problem for problem in labels.errors if problem.file.endswith("primitives.json")
    ]
    assert [
        "no athlete box and no joint" in problem.message for problem in primitives
    ] == [True]
    crowd = [problem for problem in labels.errors if problem.where == "box"]
    assert [Path(problem.file).name for problem in crowd] == [
        "2011_000003.json",
        "2011_000006.json",
    ]


def test_x_anylabelings_file_with_four_corners(shared_data):
    labels = read_labels(shared_data / "xanylabeling_pose/human-pose.json")
    (frame,) = labels.frames
    np.testing.assert_allclose(
        frame.box, [202.577448, 262.778091, 321.337652, 627.060413], atol=1e-6
    )
    assert frame.labelled.sum() == 12
    missing = [problem.where for problem in labels.errors]
    assert missing == ["pelvis", "thorax", "upper_neck", "head_top"]
    assert "nose (point)" in problem_about(labels.problems, "shapes").message


def test_x_anylabelings_crowd_is_refused(shared_data):
    labels = read_labels(shared_data / "xanylabeling_pose/Bangkok-0.json")
    assert labels.frames == ()
    assert (
        "none of them with our joints"
        in problem_about(labels.problems, "group_id").message
    )


def numbered(first, pattern="{}"):
    """Shapes of an athlete whose 16 joints are numbered from `first`."""
    joints = []
    for joint in range(16):
        label = pattern.format(joint + first)
        joints.append(point_shape(label, 110 + 5 * joint, 70 + 8 * joint))
    return [box_shape(), *joints]


@pytest.mark.parametrize("pattern", ["{}", "{:02}"])
def test_joints_that_are_counted_from_one_are_refused(tmp_path, pattern):
    labelme_file(tmp_path / "1.json", shapes=numbered(1, pattern))
    labelme_file(tmp_path / "2.json", shapes=numbered(1, pattern)[:-1])
    labels = read_labels(tmp_path)
    assert labels.frames == ()
    assert "joints are counted from 1" in labels.errors[0].message
    assert "1.json counts from 1; left out" in labels.errors[-1].message


def test_a_leading_zero_is_no_other_joint(tmp_path):
    labelme_file(tmp_path / "1.json", shapes=numbered(0, "{:02}"))
    labels = read_labels(tmp_path)
    assert labels.problems == ()
    assert labels.frames[0].labelled.all()


@pytest.mark.parametrize(
    "mark",
    [
        {"flags": {"occluded": True}},
        {"flags": {"Occluded": True}},
        {"flags": {"occluded": 1}},
        {"flags": {"hidden": "true"}},
        {"difficult": True},
        {"attributes": {"occluded": "yes"}},
        {"description": "hidden"},
    ],
)
def test_a_hidden_joint_in_any_programs_words(tmp_path, mark):
    shapes = [*numbered(0)[:-1], point_shape("15", 150, 190, **mark)]
    labelme_file(tmp_path / "1.json", shapes=shapes)
    labels = read_labels(tmp_path)
    assert labels.frames[0].visibility.tolist() == [2] * 15 + [1]
    assert labels.problems == ()


@pytest.mark.parametrize("flags", [{"verdeckt": True}, {"occluded": "perhaps"}])
def test_a_mark_that_is_not_understood_is_named(tmp_path, flags):
    shapes = [*numbered(0)[:-1], point_shape("15", 150, 190, flags=flags)]
    labelme_file(tmp_path / "1.json", shapes=shapes)
    labels = read_labels(tmp_path)
    assert labels.frames[0].visibility[15] == 2
    problem = problem_about(labels.problems, "left_wrist")
    assert problem.severity == "warning"
    assert next(iter(flags)) in problem.message


@pytest.mark.parametrize("flags", [{"verdeckt": False}, {"occluded": "no"}, None])
def test_marks_that_are_not_set_mean_nothing(tmp_path, flags):
    shapes = [*numbered(0)[:-1], point_shape("15", 150, 190, flags=flags)]
    labelme_file(tmp_path / "1.json", shapes=shapes)
    assert read_labels(tmp_path).problems == ()


def test_numbers_as_text_are_read(tmp_path):
    shapes = [*numbered(0)[:-1], point_shape("15", "150.5", " 190 ")]
    labelme_file(tmp_path / "1.json", shapes=shapes)
    labels = read_labels(tmp_path)
    assert labels.frames[0].keypoints[15].tolist() == [150.5, 190.0]
    assert labels.problems == ()


def test_an_older_export_among_label_files_is_named_and_not_read(tmp_path):
    labelme_file(tmp_path / "1.json")
    coco.write(tmp_path / "annotations.json", LabelSet((make_frame("1.jpg"),)))
    labels = read_labels(tmp_path)
    assert labels.format == "labelme"
    assert len(labels.frames) == 1
    (problem,) = labels.errors
    assert problem.file == str(tmp_path / "annotations.json")
    assert "name a COCO file itself" in problem.message
    assert read_labels(tmp_path / "annotations.json").format == "coco"


@pytest.mark.parametrize("version", ["²", "9" * 5000, "\ud800"])
def test_any_version_is_read(tmp_path, version):
    labelme_file(tmp_path / "1.json", version=version)
    assert len(read_labels(tmp_path).frames) == 1


def test_a_number_of_thousands_of_digits_costs_nothing_else(tmp_path):
    path = tmp_path / "1.json"
    content = labelme_file(path, version=7)
    path.write_text(
        json.dumps(content).replace('"version": 7', f'"version": {"9" * 5000}')
    )
    assert len(read_labels(tmp_path).frames) == 1


@pytest.mark.parametrize("name", ["\ud800.jpg", "x" * 300 + ".jpg"])
def test_an_image_that_no_drive_can_hold_costs_its_own_label(tmp_path, name):
    labelme_file(tmp_path / "1.json", imagePath=name)
    labelme_file(tmp_path / "2.json")
    labels = read_labels(tmp_path)
    assert [frame.image for frame in labels.frames] == ["1.jpg", "2.jpg"]
    problem_about(labels.problems, "imagePath").message.encode("utf-8")


def test_a_label_too_long_for_the_drive_is_left_out(tmp_path):
    name = "x" * 251 + ".jpg"  # its label file would have 256 letters
    frames = (make_frame(name), make_frame("b.jpg"))
    (problem,) = labelme.write(tmp_path, LabelSet(frames))
    assert "too long" in problem.message
    assert [path.name for path in tmp_path.iterdir()] == ["b.json"]


def test_a_frame_number_beyond_all_arrays_is_unknown(tmp_path):
    labelme_file(tmp_path / "m__1" / f"{2**63}.json")
    assert read_labels(tmp_path).frames[0].frame is None


def test_a_pipe_among_the_files_is_not_waited_for(tmp_path):
    labelme_file(tmp_path / "00001.json")
    os.mkfifo(tmp_path / "00002.json")
    labels = read_labels(tmp_path)
    assert len(labels.frames) == 1
    (problem,) = labels.errors
    assert "found a pipe or a device" in problem.message


def test_a_linked_dive_is_read_and_what_a_drive_lays_beside_is_not(tmp_path):
    labelme_file(tmp_path / "elsewhere/01__3/00123.json")
    folder = tmp_path / "labels"
    labelme_file(folder / "@eaDir/00123.json")
    labelme_file(folder / "#recycle/01__9/00123.json")
    (folder / "01__3").symlink_to(tmp_path / "elsewhere/01__3")
    labels = read_labels(folder)
    assert [frame.source for frame in labels.frames] == [folder / "01__3/00123.json"]
    assert labels.problems == ()
    # `fdpose validate` walks by the same function.
    assert list(labelme.walk_label_files(folder)) == [folder / "01__3/00123.json"]
    assert list(labelme.walk_label_files(tmp_path / "absent")) == []
