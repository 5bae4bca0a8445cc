"""One final label from several: what a reviewer's word covers, when two annotators
agree, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.label_samples import make_frame
from helpers.made_divers import slipped, without

from finediving_pose.annotation.merging import (
    Candidate,
    Refused,
    measure_largest_move,
    merge_reviewed,
    merge_unreviewed,
)
from finediving_pose.skeleton import FLIP_PAIRS, INDEX, JOINTS

HEAD, ANKLE, HIPS = 20.0, INDEX["right_ankle"], (2, 3)


def label(who="anna", **fields):
    """A label whose head is 20 px long, so that half a head size is 10 px."""
    frame = make_frame(**fields)
    keypoints = frame.keypoints.copy()
    for place, (right, left) in enumerate(FLIP_PAIRS):
        keypoints[[right, left]] = [[110, 70 + 20 * place], [190, 70 + 20 * place]]
    keypoints[9] = keypoints[8] - (0, HEAD)
    return candidate(who, replace(frame, keypoints=keypoints))


def candidate(who, frame):
    return Candidate(f"{who}/m__1/00001.json", who, frame)


def move(who, one, joint, by):
    return candidate(who, slipped(one.frame, joint, by))


def swap(who, one, pairs):
    keypoints = one.frame.keypoints.copy()
    for pair in pairs:
        keypoints[list(FLIP_PAIRS[pair])] = keypoints[list(FLIP_PAIRS[pair])[::-1]]
    return candidate(who, replace(one.frame, keypoints=keypoints))


def test_a_correction_stands_as_it_is():
    corrected = Candidate("revisions/m__1/00001.1.json", "cleo", label().frame)
    merged = merge_reviewed(corrected)
    assert (merged.rule, merged.sources, merged.averaged) == (
        "reviewer",
        (corrected.name,),
        0,
    )
    assert np.array_equal(merged.frame.keypoints, corrected.frame.keypoints)
    assert np.array_equal(merged.frame.box, corrected.frame.box)


def test_an_accepted_joint_becomes_the_mean_where_the_other_agrees():
    one = label()
    two = move("ben", one, ANKLE, (9.0, 0.0))
    merged = merge_reviewed(one, [two])
    assert merged.rule == "reviewer"
    assert merged.averaged == 16
    assert merged.sources == (one.name, two.name)
    assert merged.frame.keypoints[ANKLE] == pytest.approx(
        one.frame.keypoints[ANKLE] + (4.5, 0)
    )


def test_an_accepted_joint_stands_alone_where_the_other_differs():
    one = label()
    two = move("ben", one, ANKLE, (11.0, 0.0))
    merged = merge_reviewed(one, [two])
    assert merged.averaged == 15
    assert merged.frame.keypoints[ANKLE] == pytest.approx(one.frame.keypoints[ANKLE])
    assert merge_reviewed(one, [two], tolerance=0.6).averaged == 16


def test_sides_the_other_has_swapped_are_never_averaged():
    one = label()
    keypoints = one.frame.keypoints.copy()
    keypoints[list(HIPS)] = [[148, 100], [152, 100]]  # 4 px apart: within the tolerance
    one = candidate("anna", replace(one.frame, keypoints=keypoints))
    merged = merge_reviewed(one, [swap("ben", one, [2])])
    assert merged.averaged == 14
    assert merged.frame.keypoints[list(HIPS)] == pytest.approx(keypoints[list(HIPS)])


def test_what_is_occluded_and_the_box_are_the_accepted_labels():
    one = label()
    visibility = one.frame.visibility.copy()
    visibility[ANKLE] = 1
    hidden = candidate(
        "ben",
        replace(
            one.frame, visibility=visibility, box=np.add(one.frame.box, (8, 8, 8, 8))
        ),
    )
    merged = merge_reviewed(one, [hidden])
    assert merged.frame.visibility.tolist() == [2] * 16
    assert merged.frame.box == pytest.approx(one.frame.box + 4)
    other_box = candidate(
        "ben", replace(one.frame, box=np.add(one.frame.box, (0, 0, 30, 0)))
    )
    assert merge_reviewed(one, [other_box]).frame.box == pytest.approx(one.frame.box)


def test_three_labels_count_alike():
    one = label()
    merged = merge_reviewed(
        one, [move("ben", one, ANKLE, (6.0, 0.0)), move("cleo", one, ANKLE, (0.0, 3.0))]
    )
    assert merged.frame.keypoints[ANKLE] == pytest.approx(
        one.frame.keypoints[ANKLE] + (2, 1)
    )


def test_without_a_head_nothing_agrees():
    one = candidate("anna", without(label().frame, 9))
    merged = merge_reviewed(one, [one], incomplete=True)
    assert (merged.averaged, merged.sources) == (0, (one.name,))
    refused = merge_unreviewed([one, candidate("ben", one.frame)], incomplete=True)
    assert "cannot be compared in head sizes" in refused.reason


def test_a_joint_only_the_other_has_is_not_taken():
    whole = label()
    lacking = candidate("anna", without(whole.frame, ANKLE))
    refused = merge_reviewed(lacking, [whole])
    assert refused == Refused(
        "incomplete", f"{lacking.name} lacks right_ankle; correct it in the review"
    )
    taken = merge_reviewed(lacking, [whole], incomplete=True)
    assert taken.frame.visibility[ANKLE] == 0
    assert np.isnan(taken.frame.keypoints[ANKLE]).all()
    assert merge_reviewed(whole, [lacking]).averaged == 15


@pytest.mark.parametrize("incomplete", [False, True])
def test_no_box_and_no_joint_are_always_refused(incomplete):
    boxless = candidate("anna", replace(label().frame, box=None))
    assert (
        "lacks the athlete's box"
        in merge_reviewed(boxless, incomplete=incomplete).reason
    )
    nothing = label().frame
    for joint in range(16):
        nothing = without(nothing, joint)
    assert (
        "lacks every joint"
        in merge_unreviewed([candidate("anna", nothing)], incomplete=incomplete).reason
    )


def test_one_unreviewed_label_is_taken_as_it_is():
    one = label()
    merged = merge_unreviewed([one])
    assert (merged.rule, merged.sources, merged.averaged) == ("single", (one.name,), 0)
    assert merged.frame is one.frame


def test_two_unreviewed_labels_that_agree_become_their_mean():
    one = label()
    two = move("ben", one, ANKLE, (4.0, 0.0))
    visibility = one.frame.visibility.copy()
    visibility[5] = 1
    two = candidate(
        "ben", replace(two.frame, visibility=visibility, box=one.frame.box + 2)
    )
    merged = merge_unreviewed([one, two])
    assert (merged.rule, merged.averaged, merged.sources) == (
        "mean",
        16,
        (one.name, two.name),
    )
    assert merged.frame.keypoints[ANKLE] == pytest.approx(
        one.frame.keypoints[ANKLE] + (2, 0)
    )
    assert merged.frame.visibility.tolist() == [2] * 5 + [1] + [2] * 10
    assert merged.frame.box == pytest.approx(one.frame.box + 1, abs=1e-3)


def test_one_joint_that_differs_refuses_an_unreviewed_image():
    one = label()
    refused = merge_unreviewed([one, move("ben", one, ANKLE, (0.0, 15.0))])
    assert refused.kind == "disagreement"
    said = "anna and ben differ at right_ankle by 0.75 head sizes (0.5 is tolerated); a reviewer decides"
    assert refused.reason == said
    two = move("ben", move("ben", one, ANKLE, (0.0, 15.0)), 7, (12.0, 0.0))
    assert (
        "right_ankle by 0.75 head sizes and 1 more joint ("
        in merge_unreviewed([one, two], 0.5).reason
    )
    third = merge_unreviewed(
        [one, candidate("ben", one.frame), move("cleo", one, ANKLE, (0.0, 15.0))]
    )
    assert third.reason.startswith("anna and cleo differ")


def test_swapped_sides_refuse_an_unreviewed_image_even_within_the_tolerance():
    one = label()
    keypoints = one.frame.keypoints.copy()
    keypoints[list(HIPS)] = [[146, 100], [154, 100]]
    one = candidate("anna", replace(one.frame, keypoints=keypoints))
    refused = merge_unreviewed([one, swap("ben", one, [2])])
    assert "have left and right the other way round: the hips" in refused.reason
    keypoints[list(HIPS)] = [
        [149.5, 100],
        [150.5, 100],
    ]  # as good as the same place: nobody can tell
    near = candidate("anna", replace(one.frame, keypoints=keypoints))
    assert merge_unreviewed([near, swap("ben", near, [2])]).rule == "mean"


def test_a_joint_of_one_only_and_other_boxes_refuse_an_unreviewed_image():
    one = label()
    lacking = candidate("ben", without(one.frame, ANKLE))
    assert (
        "whether right_ankle can be labelled"
        in merge_unreviewed([one, lacking], incomplete=True).reason
    )
    other_box = candidate(
        "ben", replace(one.frame, box=np.add(one.frame.box, (0, 0, 30, 0)))
    )
    assert "drew different boxes" in merge_unreviewed([one, other_box]).reason


def test_no_tolerance_takes_only_equal_joints():
    one = label()
    assert (
        merge_reviewed(one, [candidate("ben", one.frame)], tolerance=0.0).averaged == 16
    )
    assert (
        merge_reviewed(
            one, [move("ben", one, ANKLE, (0.1, 0.0))], tolerance=0.0
        ).averaged
        == 15
    )
    assert (
        JOINTS[ANKLE]
        in merge_unreviewed(
            [one, move("ben", one, ANKLE, (0.1, 0.0))], tolerance=0.0
        ).reason
    )


def test_the_largest_move_is_that_of_a_joint_or_a_corner():
    one = label().frame
    assert measure_largest_move(one, one) == 0.0
    assert measure_largest_move(one, slipped(one, ANKLE, (3.0, 4.0))) == pytest.approx(
        5.0
    )
    assert measure_largest_move(
        one, replace(one, box=np.add(one.box, (0, 0, 6, 8)))
    ) == pytest.approx(10.0)
    assert measure_largest_move(one, without(one, ANKLE)) == float("inf")
    assert measure_largest_move(one, replace(one, box=None)) == float("inf")
