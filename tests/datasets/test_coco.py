"""COCO: read back with pycocotools, foreign orders and skeletons."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.label_samples import assert_same_labels, make_frame, problem_about

from finediving_pose.datasets import coco
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labels import read_labels
from finediving_pose.errors import DataError
from finediving_pose.skeleton import JOINTS, LIMBS

COCO_JOINTS = [
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    *("left_wrist",) * 12,
]


def written(path, *frames, **changes):
    """Write frames as COCO with top-level keys or, by `annotation`, keys of the first
    annotation changed."""
    coco.write(path, LabelSet(frames))
    content = json.loads(path.read_text())
    content["annotations"][0] |= changes.pop("annotation", {})
    path.write_text(json.dumps(content | changes))
    return path


def test_the_category_names_our_joints():
    (category,) = coco.make_coco_categories()
    assert category["keypoints"] == list(JOINTS)
    assert category["skeleton"][0] == [1, 2]
    assert len(category["skeleton"]) == len(LIMBS)
    assert {joint for limb in category["skeleton"] for joint in limb} == set(
        range(1, 17)
    )


def test_pycocotools_reads_it_back(tmp_path):
    from pycocotools.coco import COCO

    first, second = (
        make_frame("a/1.jpg", match="a", dive="1", frame=0),
        make_frame("a/2.jpg", 1),
    )
    second.keypoints[6], second.visibility[6], second.visibility[7] = np.nan, 0, 1
    assert coco.write(tmp_path / "a.json", LabelSet((first, second))) == []
    data = COCO(tmp_path / "a.json")
    assert data.getImgIds() == [1, 2]
    assert [image["file_name"] for image in data.loadImgs([1, 2])] == [
        "a/1.jpg",
        "a/2.jpg",
    ]
    (annotation,) = data.loadAnns(data.getAnnIds(imgIds=2))
    points = np.array(annotation["keypoints"]).reshape(16, 3)
    np.testing.assert_array_equal(points[6], 0)
    np.testing.assert_array_equal(points[8], [*second.keypoints[8], 2])
    assert points[7, 2] == 1
    assert annotation["num_keypoints"] == 15
    assert annotation["bbox"] == [90.25, 50.5, 120.5, 164.5]
    assert annotation["area"] == 120.5 * 164.5
    assert annotation["iscrowd"] == 0
    assert (
        data.loadAnns(1)[0] | {"match": "a", "dive": "1", "frame": 0}
        == data.loadAnns(1)[0]
    )


def test_pycocotools_finds_labels_equal_to_themselves(tmp_path):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from finediving_pose.skeleton import OKS_SIGMAS

    frames = [make_frame(f"{number}.jpg", number) for number in range(4)]
    truth = COCO()
    truth.dataset = coco.encode_coco(frames)
    truth.createIndex()
    found = truth.loadRes(
        [
            annotation | {"score": 1.0}
            for annotation in coco.encode_coco(frames)["annotations"]
        ]
    )
    evaluation = COCOeval(truth, found, "keypoints")
    evaluation.params.kpt_oks_sigmas = OKS_SIGMAS
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_ids_follow_the_order_and_an_image_may_show_two():
    content = coco.encode_coco(
        [make_frame("b.jpg"), make_frame("a.jpg"), make_frame("b.jpg", 1)]
    )
    assert [image["file_name"] for image in content["images"]] == ["b.jpg", "a.jpg"]
    assert [(a["id"], a["image_id"]) for a in content["annotations"]] == [
        (1, 1),
        (2, 2),
        (3, 1),
    ]


def test_sizes_are_taken_where_a_frame_does_not_say():
    frames = [
        make_frame("a.jpg", size=None),
        make_frame("b.jpg", size=None),
        make_frame("c.jpg"),
    ]
    images = coco.encode_coco(frames, {"a.jpg": (10, 20), "c.jpg": (1, 1)})["images"]
    assert (images[0]["width"], images[0]["height"]) == (10, 20)
    assert "width" not in images[1]
    assert images[2]["width"] == 455


def test_what_is_not_known_is_left_out_and_warned_of(tmp_path):
    problems = coco.write(
        tmp_path / "a.json", LabelSet((make_frame(box=None, size=None),))
    )
    assert {problem.severity for problem in problems} == {"warning"}
    assert [problem.where for problem in problems] == ["images", "annotations"]
    assert "bbox" not in json.loads((tmp_path / "a.json").read_text())["annotations"][0]


def test_another_order_of_the_same_joints(tmp_path):
    frame = make_frame()
    order = list(reversed(range(16)))
    triples = (
        np.column_stack([frame.keypoints, frame.visibility])[order].ravel().tolist()
    )
    names = [JOINTS[joint].replace("_", " ").title() for joint in order]
    path = written(
        tmp_path / "a.json",
        frame,
        annotation={"keypoints": triples},
        categories=[{"id": 1, "keypoints": names}],
    )
    assert_same_labels(read_labels(path).frames, (frame,))


def test_another_skeleton_is_refused(tmp_path):
    path = written(
        tmp_path / "a.json",
        make_frame(),
        categories=[{"id": 1, "keypoints": COCO_JOINTS}],
    )
    with pytest.raises(
        DataError,
        match=r"found 17 keypoints \(nose, left_eye.*expected our 16: right_ankle",
    ):
        read_labels(path)


@pytest.mark.parametrize(
    ("change", "where", "message"),
    [
        ({"image_id": 99}, "image_id", "found 99, which no image has"),
        ({"image_id": [1]}, "image_id", "which no image has"),
        ({"keypoints": [1, 2, 3]}, "keypoints", "expected 48 numbers"),
        ({"category_id": 2}, "keypoints", "a category with our joints"),
        ({"iscrowd": 1}, "iscrowd", "a crowd"),
    ],
)
def test_a_bad_annotation_is_left_out_and_the_rest_is_read(
    tmp_path, change, where, message
):
    labels = read_labels(
        written(
            tmp_path / "a.json",
            make_frame("a.jpg"),
            make_frame("b.jpg"),
            annotation=change,
        )
    )
    assert [frame.image for frame in labels.frames] == ["b.jpg"]
    assert message in problem_about(labels.problems, where).message


def test_a_bad_box_or_visibility_costs_only_itself(tmp_path):
    triples = np.column_stack([make_frame().keypoints, make_frame().visibility])
    triples[4, 2] = 7
    change = {"bbox": [1, 2, 3], "keypoints": triples.ravel().tolist()}
    labels = read_labels(written(tmp_path / "a.json", make_frame(), annotation=change))
    assert (
        "expected x, y, width, height"
        in next(p for p in labels.errors if p.where == "bbox").message
    )
    assert "found visibility 7" in problem_about(labels.problems, "left_knee").message
    assert labels.frames[0].box is None
    assert labels.frames[0].labelled.sum() == 15


def test_x_anylabelings_coco_is_refused(shared_data):
    with pytest.raises(DataError, match="found 17 keypoints"):
        read_labels(shared_data / "xanylabeling_pose/coco_keypoints.json")


def test_an_id_of_two_images_is_an_error_that_names_both(tmp_path):
    frames = (make_frame("anna/1.jpg"), make_frame("ben/1.jpg"), make_frame("c.jpg"))
    coco.write(tmp_path / "a.json", LabelSet(frames))
    content = json.loads((tmp_path / "a.json").read_text())
    content["images"][1]["id"] = content["annotations"][1]["image_id"] = 1
    (tmp_path / "a.json").write_text(json.dumps(content))
    labels = read_labels(tmp_path / "a.json")
    assert [frame.image for frame in labels.frames] == ["c.jpg"]
    assert len(labels.errors) == 2
    assert "1, the id of 'anna/1.jpg' and 'ben/1.jpg'" in labels.errors[0].message


@pytest.mark.parametrize("other", [list(reversed(JOINTS)), COCO_JOINTS])
def test_a_category_id_of_two_joint_orders_is_an_error(tmp_path, other):
    categories = coco.make_coco_categories()
    categories.append(categories[0] | {"keypoints": other})
    path = written(tmp_path / "a.json", make_frame("a.jpg"), categories=categories)
    labels = read_labels(path)
    assert labels.frames == ()
    message = problem_about(labels.errors, "category_id").message
    assert "(right_ankle, right_knee, right_hip, …) and (" in message


def test_a_category_listed_twice_alike_is_one(tmp_path):
    categories = coco.make_coco_categories() * 2
    path = written(tmp_path / "a.json", make_frame("a.jpg"), categories=categories)
    assert len(read_labels(path).frames) == 1
