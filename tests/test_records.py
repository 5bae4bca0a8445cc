from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from finediving_pose.records import (
    BoxTrack,
    Clip,
    Detections,
    Dive,
    JointState,
    LabelledFrame,
    SkeletonSequence,
    Visibility,
)


def frame(**given):
    fields = {
        "image": "m/3/00012.jpg",
        "keypoints": np.zeros((16, 2)),
        "visibility": np.full(16, 2, np.uint8),
    }
    return LabelledFrame(**{**fields, **given})


def track(length=4):
    return BoxTrack(np.zeros((length, 4)), np.zeros(length), np.ones(length, np.uint8))


def sequence(length=4, **given):
    fields = {
        "keypoints": np.zeros((length, 16, 2), np.float32),
        "scores": np.zeros((length, 16), np.float32),
        "state": np.ones((length, 16), np.uint8),
        "track": track(length),
        "frame_index": np.arange(length),
    }
    return SkeletonSequence(**{**fields, **given})


def test_labelled_joints_are_the_visible_and_the_occluded_ones():
    visibility = np.full(16, Visibility.MISSING, np.uint8)
    visibility[[2, 5]] = Visibility.OCCLUDED, Visibility.VISIBLE
    assert np.flatnonzero(frame(visibility=visibility).labelled).tolist() == [2, 5]


def test_the_dive_key_is_match_and_dive_where_known_and_else_the_folder():
    assert frame(match="01", dive="3").dive_key == "01/3"
    assert frame(match="01").dive_key == "m/3"
    assert frame(image="00012.jpg").dive_key == ""


@pytest.mark.parametrize(
    ("name", "shape", "wanted"),
    [
        ("keypoints", (17, 2), "(16, 2)"),
        ("visibility", (15,), "(16,)"),
        ("box", (2, 2), "(4,)"),
    ],
)
def test_a_labelled_frame_of_a_wrong_shape_is_refused(name, shape, wanted):
    with pytest.raises(ValueError, match=name) as caught:
        frame(**{name: np.zeros(shape)})
    assert f"expected shape {wanted}, got {shape}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("keypoints", np.zeros((4, 16, 3))),
        ("scores", np.zeros((4, 15))),
        ("state", np.zeros((3, 16))),
        ("track", track(3)),
        ("frame_index", np.arange(5)),
    ],
)
def test_a_sequence_whose_parts_do_not_fit_is_refused(name, value):
    with pytest.raises(ValueError, match="expected shape"):
        sequence(**{name: value})


def test_the_length_of_a_sequence_is_its_frames():
    assert len(sequence(7)) == 7
    assert len(sequence(0)) == 0


@pytest.mark.parametrize(
    ("boxes", "scores"), [((2, 4), (3,)), ((2, 5), (2,)), ((0,), (0,))]
)
def test_detections_that_do_not_fit_are_refused(boxes, scores):
    with pytest.raises(ValueError, match=r"boxes|scores"):
        Detections(np.zeros(boxes), np.zeros(scores))


def test_no_detection_is_fine():
    assert Detections(np.zeros((0, 4)), np.zeros(0)).boxes.shape == (0, 4)


@pytest.mark.parametrize(("boxes", "scores"), [((3, 4), (4,)), ((4, 4), (3,))])
def test_a_track_that_does_not_fit_is_refused(boxes, scores):
    with pytest.raises(ValueError, match="expected shape"):
        BoxTrack(np.zeros(boxes), np.zeros(scores), np.zeros(4, np.uint8))


def test_records_are_not_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        frame().image = "other.jpg"


def test_equal_names_in_different_matches_are_different_keys(tmp_path):
    assert Dive("01", "3").key == ("01", "3")
    assert Clip("01", "3", tmp_path).key != Clip("03", "3", tmp_path).key


def test_states_combine_as_flags():
    state = JointState.INTERPOLATED | JointState.OUTLIER_REMOVED
    assert int(state) == 10
    assert JointState.OBSERVED not in state
