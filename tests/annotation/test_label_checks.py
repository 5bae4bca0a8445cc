"""Findings: what reading said is told once, what cannot be right is found, and sides
are put right."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
from helpers.label_samples import box_shape, labelme_file, make_frame, point_shape
from helpers.made_divers import make_dive, slipped, without

from finediving_pose.annotation import label_swaps
from finediving_pose.annotation.label_checks import (
    check_labels,
    measure_box_fill,
    measure_outside_box,
)
from finediving_pose.annotation.label_findings import SWAP_SIDES
from finediving_pose.annotation.label_swaps import swap_sides
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.labels import read_labels
from finediving_pose.skeleton import FLIP_PAIRS, INDEX

LEGS, ARMS = FLIP_PAIRS[:3], FLIP_PAIRS[3:]


def findings_in(frames):
    return check_labels(LabelSet(tuple(frames)))


def kinds(findings):
    return [(finding.kind, finding.joint) for finding in findings]


def points_without(joint):
    return [
        point_shape(str(n), 110 + 5 * n, 70 + 8 * n) for n in range(16) if n != joint
    ]


@pytest.mark.parametrize(
    ("shapes", "kind", "joint"),
    [
        ([box_shape(), *points_without(4)], "missing-joint", "left_knee"),
        (points_without(99), "missing-box", None),
        (
            [box_shape(), *points_without(99), point_shape("3", 1, 1)],
            "double",
            "left_hip",
        ),
        ([box_shape(), box_shape(), *points_without(99)], "double", None),
        (
            [box_shape(), *points_without(4), point_shape("4", None, 3)],
            "unreadable",
            "left_knee",
        ),
        (
            [box_shape(), *points_without(4), point_shape("4", 900, 3)],
            "outside-image",
            "left_knee",
        ),
        (
            [box_shape(corners=((3, 3), (3, 9))), *points_without(99)],
            "missing-box",
            None,
        ),
    ],
)
def test_what_reading_found_is_told_once_with_its_kind(tmp_path, shapes, kind, joint):
    labelme_file(tmp_path / "7.json", shapes=shapes)
    (finding,) = [
        found
        for found in check_labels(read_labels(tmp_path))
        if found.severity == "error" and "limb" not in found.kind
    ]
    assert (finding.kind, finding.joint) == (kind, joint)
    assert finding.file == str(tmp_path / "7.json")


def test_a_file_named_unlike_its_image_tells_a_missing_joint_once(tmp_path):
    labelme_file(
        tmp_path / "a.json",
        shapes=[box_shape(), *points_without(4)],
        imagePath="b.jpg",
        image=False,
    )
    missing = [
        found
        for found in check_labels(read_labels(tmp_path))
        if found.kind == "missing-joint"
    ]
    assert [(found.joint, found.image) for found in missing] == [("left_knee", "b.jpg")]


def test_a_broken_file_is_a_finding_without_an_image(tmp_path):
    labelme_file(tmp_path / "1.json")
    (tmp_path / "2.json").write_text('{"shapes": [', encoding="utf-8")
    (finding,) = [
        found
        for found in check_labels(read_labels(tmp_path))
        if found.kind == "unreadable"
    ]
    assert finding.image is None
    assert "2.json" in finding.file


def test_images_that_are_missing_or_of_another_size_are_told(tmp_path):
    for name in ("1", "2", "3"):
        labelme_file(tmp_path / f"{name}.json")
    (tmp_path / "1.jpg").unlink()
    labelme_file(tmp_path / "2.json", image=False, imageWidth=999)
    found = {finding.kind for finding in check_labels(read_labels(tmp_path))}
    assert {"image-missing", "image-size"} <= found


def test_an_image_that_changed_since_it_was_chosen_is_told(tmp_path):
    labelme_file(tmp_path / "1.json")
    labels = read_labels(tmp_path)
    good = hashlib.sha256((tmp_path / "1.jpg").read_bytes()).hexdigest()
    assert "image-changed" not in {
        found.kind for found in check_labels(labels, {"1.jpg": good})
    }
    (finding,) = [
        found
        for found in check_labels(labels, {"1.jpg": "0" * 64})
        if found.kind == "image-changed"
    ]
    assert finding.value == good


def test_a_joint_that_a_list_leaves_out_is_missing():
    frames = make_dive()
    frames[3] = without(frames[3], INDEX["left_wrist"])
    assert kinds(findings_in(frames)) == [("missing-joint", "left_wrist")]


@pytest.mark.parametrize("twist", [0, 12, 36])
def test_a_good_dive_has_no_findings(twist):
    assert findings_in(make_dive(twist=twist)) == []


@pytest.mark.parametrize("twist", [0, 12, 36])
@pytest.mark.parametrize("pairs", [None, LEGS, ARMS])
def test_swapped_sides_are_found_and_put_right(pairs, twist):
    frames = make_dive(twist=twist)
    good = frames[20]
    frames[20] = swap_sides(good, pairs)
    (finding,) = findings_in(frames)
    assert finding.kind == ("swapped-sides" if pairs else "mirrored")
    assert (finding.image, finding.suggestion) == (good.image, SWAP_SIDES)
    assert finding.pairs == (pairs or FLIP_PAIRS)
    np.testing.assert_array_equal(
        swap_sides(frames[20], finding.pairs).keypoints, good.keypoints
    )


def test_a_mirrored_skeleton_with_a_joint_missing_is_swapped_whole():
    frames = make_dive()
    frames[20] = swap_sides(without(frames[20], INDEX["left_wrist"]))
    found = {finding.kind: finding for finding in findings_in(frames)}
    assert found.keys() == {"missing-joint", "mirrored"}
    assert found["mirrored"].pairs == FLIP_PAIRS


def test_one_swapped_pair_names_its_joint():
    frames = make_dive(twist=0)
    frames[20] = swap_sides(frames[20], [(0, 5)])
    assert kinds(findings_in(frames)) == [("swapped-sides", "right_ankle")]


def test_a_run_of_mirrored_skeletons_is_found_whole():
    frames = make_dive()
    frames[20:27] = [swap_sides(frame) for frame in frames[20:27]]
    found = findings_in(frames)
    assert [(finding.kind, finding.image) for finding in found] == [
        ("mirrored", f.image) for f in frames[20:27]
    ]
    assert "in this frame and 6 beside it" in found[0].message


def test_sides_that_coincide_say_nothing():
    frames = make_dive(
        view=90, twist=0
    )  # from the side: the joints of each pair lie on each other
    frames[20] = swap_sides(frames[20])
    assert findings_in(frames) == []


@pytest.mark.parametrize("pairs", [None, LEGS, ARMS])
def test_from_the_side_what_is_hidden_tells_the_sides(pairs):
    frames = make_dive(view=80, twist=0, hidden_marked=True)
    assert findings_in(frames) == []
    frames[20] = swap_sides(frames[20], pairs)
    (finding,) = findings_in(frames)
    assert (finding.image, finding.pairs) == (frames[20].image, pairs or FLIP_PAIRS)


@pytest.mark.parametrize("view", [80, 280])
def test_a_dive_mirrored_from_end_to_end_shows_by_its_bent_hips(view):
    good = make_dive(view=view, twist=0, hidden_marked=True)
    assert findings_in(good) == []
    mirrored = [swap_sides(frame) for frame in good]
    mirrored[5] = swap_sides(mirrored[5], ARMS)
    found = findings_in(mirrored)
    assert [finding.image for finding in found] == [frame.image for frame in good]
    put_right = [
        swap_sides(frame, finding.pairs)
        for frame, finding in zip(mirrored, found, strict=True)
    ]
    for frame, before in zip(put_right, good, strict=True):
        np.testing.assert_array_equal(frame.keypoints, before.keypoints)


def test_a_dive_mirrored_from_end_to_end_cannot_show_where_nothing_is_marked_hidden():
    assert (
        findings_in([swap_sides(frame) for frame in make_dive(view=80, twist=0)]) == []
    )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_few_frames_alone_are_checked_too(count):
    assert findings_in(make_dive(frames=40)[10 : 10 + count]) == []


def test_a_single_frame_with_legs_against_its_shoulders_is_found():
    good = make_dive(view=0, twist=0)[0]
    assert kinds(findings_in([swap_sides(good, LEGS)])) == [("swapped-sides", None)]


def test_frames_are_told_apart_by_dive():
    one = make_dive()
    other = [
        replace(frame, dive="2", image=frame.image.replace("/1/", "/2/"))
        for frame in map(swap_sides, one)
    ]
    assert (
        findings_in([frame for both in zip(one, other, strict=True) for frame in both])
        == []
    )


def unnamed(frames, name):
    return [
        replace(frame, match=None, dive=None, frame=None, image=name(frame.frame))
        for frame in frames
    ]


def test_without_match_and_dive_the_numbers_of_the_images_say_which_are_neighbours():
    frames = make_dive()
    frames[20] = swap_sides(frames[20])
    found = findings_in(unnamed(frames, lambda number: f"clip/a_{number:05d}.jpg"))
    assert [(finding.kind, finding.image) for finding in found] == [
        ("mirrored", "clip/a_00020.jpg")
    ]


@pytest.mark.parametrize("name", ["all/a{}_1.jpg", "all/{}000.jpg"])
def test_images_of_one_folder_that_are_no_neighbours_are_not_compared(name):
    frames = make_dive()
    frames[20] = swap_sides(frames[20])
    assert findings_in(unnamed(frames, lambda number: name.format(number + 1))) == []


def test_frames_that_claim_the_same_number_do_not_stop_the_check():
    frames = [replace(frame, frame=frame.frame // 2) for frame in make_dive()]
    assert {finding.severity for finding in findings_in(frames)} <= {"warning", "error"}


def test_nothing_labelled_is_nothing_found():
    assert findings_in([]) == []


def test_joints_are_measured_against_the_box():
    points = np.full((1, 16, 2), 50.0)
    points[0, 3] = 130, 50
    points[0, 4] = np.nan
    share = measure_outside_box(points, np.array([[0.0, 0.0, 100.0, 60.0]]))
    assert share[0, 3] == pytest.approx(0.3)
    assert share[0, 2] == 0
    assert np.isnan(share[0, 4])
    assert measure_box_fill(
        points, np.array([[0.0, 0.0, 100.0, 60.0]])
    ) == pytest.approx([0.8])


def test_joints_beside_the_box_are_graded():
    frames = make_dive()
    x1, y1, x2, y2 = frames[0].box
    frames[0] = replace(frames[0], box=np.array([x1, y1, x2, (y1 + y2) / 2]))
    found = [
        finding for finding in findings_in(frames) if finding.kind == "outside-box"
    ]
    assert {finding.severity for finding in found} == {"warning", "error"}


def test_a_box_that_was_estimated_is_held_less_strictly():
    frames = make_dive()
    box = frames[0].box.copy()
    box[2:] -= 0.12 * (box[2:] - box[:2]).max()
    sharp, estimated = (
        replace(frames[0], box=box, box_estimated=flag) for flag in (False, True)
    )
    assert "outside-box" in {
        finding.kind for finding in findings_in([sharp, *frames[1:]])
    }
    assert findings_in([estimated, *frames[1:]]) == []


def test_a_box_around_more_than_the_athlete_is_told():
    frames = make_dive()
    frames[0] = replace(frames[0], box=np.array([0.0, 0.0, 454.0, 255.0]))
    assert kinds(findings_in(frames)) == [("loose-box", None)]


def test_a_slip_is_told_with_value_and_expectation():
    frames = make_dive(twist=0)
    frames[15] = slipped(frames[15], INDEX["right_wrist"], (14, 14))
    (finding,) = [found for found in findings_in(frames) if found.kind == "jump"]
    assert finding.joint == "right_wrist"
    assert isinstance(finding.value, float)
    assert "body heights" in finding.message
    assert finding.expected is not None


def test_a_swap_is_not_told_again_as_jumps_of_its_joints():
    frames = make_dive(view=0, twist=0)
    frames[20] = swap_sides(frames[20], ARMS)
    assert {finding.kind for finding in findings_in(frames)} == {"swapped-sides"}


def test_findings_become_strict_json():
    frames = make_dive()
    frames[20] = swap_sides(frames[20], ARMS)
    (content,) = [finding.as_dict() for finding in findings_in(frames)]
    assert json.loads(json.dumps(content, allow_nan=False)) == json.loads(
        json.dumps(content)
    )
    assert content["pairs"][0] == ["right_wrist", "left_wrist"]


def test_swapping_sides_twice_changes_nothing_and_keeps_visibility_with_its_point():
    frame = make_frame(visibility=np.arange(16, dtype=np.uint8) % 2 + 1)
    swapped = swap_sides(frame, [(0, 5)])
    assert (swapped.visibility[0], swapped.visibility[5]) == (
        frame.visibility[5],
        frame.visibility[0],
    )
    np.testing.assert_array_equal(swapped.keypoints[1:5], frame.keypoints[1:5])
    np.testing.assert_array_equal(
        swap_sides(swapped, [(0, 5)]).keypoints, frame.keypoints
    )


def test_a_frame_with_hardly_a_joint_does_not_stop_the_others():
    frames = make_dive()
    frames[5] = replace(
        frames[5],
        keypoints=np.full((16, 2), np.nan),
        visibility=np.zeros(16, np.uint8),
        box=None,
    )
    frames[20] = swap_sides(frames[20])
    assert kinds(findings_in(frames)) == [("mirrored", None)]


def test_the_cheapest_path_is_no_dearer_than_any_single_change():
    points = np.stack([frame.keypoints for frame in make_dive(frames=12)])
    points[6, [10, 15]] = points[6, [15, 10]]
    costs = label_swaps.LabelCosts.of(points, np.arange(12), np.full(12, 130.0))
    best = costs.sum_path(costs.find_cheapest_path())
    for frame in range(12):
        for state in range(len(label_swaps.STATES)):
            path = np.zeros(12, dtype=np.intp)
            path[frame] = state
            assert best <= costs.sum_path(path) + 1e-9


def test_the_real_frames_have_nothing_that_cannot_be(shared_data):
    labels = read_labels(shared_data / "finediving_pose_sample")
    assert len(labels.frames) == 69
    assert [
        finding for finding in check_labels(labels) if finding.severity == "error"
    ] == []
