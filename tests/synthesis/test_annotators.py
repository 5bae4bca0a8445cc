from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from finediving_pose.records import LabelledFrame
from finediving_pose.skeleton import FLIP_PAIRS, OKS_SIGMAS
from finediving_pose.synthesis.annotators import (
    ANNOTATORS,
    REVIEWER,
    Annotator,
    Reviewer,
    annotate_frames,
    correct_label,
)

CAREFUL = Annotator("x", spread=0.0, swap=0.0, miss=0.0, slip=0.0)


def truth(count: int = 200) -> list[LabelledFrame]:
    rng = np.random.default_rng(5)
    return [
        LabelledFrame(
            image=f"Meet/1/{i:05d}.jpg",
            keypoints=rng.uniform((150, 60), (250, 200), (16, 2)),
            visibility=rng.integers(1, 3, 16).astype(np.uint8),
            box=np.array([145.0, 55.0, 255.0, 205.0]),
            size=(455, 256),
        )
        for i in range(count)
    ]


def test_points_scatter_by_joint_as_people_do():
    frames = truth(400)
    labelled, mistakes = annotate_frames(frames, replace(CAREFUL, spread=0.5), seed=1)
    assert mistakes == []
    error = np.array(
        [a.keypoints - b.keypoints for a, b in zip(labelled, frames, strict=True)]
    )
    expected = 0.5 * OKS_SIGMAS * np.sqrt(110 * 150)
    assert error.std(axis=(0, 2)) == pytest.approx(expected, rel=0.15)
    assert abs(error.mean()) < 0.2


@pytest.mark.parametrize("kind", ["swap", "miss", "slip"])
def test_each_mistake_is_made_as_often_as_said_and_put_on_record(kind):
    frames = truth()
    labelled, mistakes = annotate_frames(
        frames, replace(CAREFUL, **{kind: 0.25}), seed=2
    )
    assert {mistake.kind for mistake in mistakes} == {kind}
    assert len(mistakes) == pytest.approx(50, abs=20)
    wrong = {mistake.image: mistake.joints for mistake in mistakes}
    for before, after in zip(frames, labelled, strict=True):
        moved = ~(np.abs(before.keypoints - after.keypoints) <= 0.06).all(axis=1)
        assert tuple(np.flatnonzero(moved)) == wrong.get(before.image, ())


def test_a_swap_exchanges_the_sides_of_both_arms_or_both_legs():
    frames = truth(50)
    labelled, mistakes = annotate_frames(frames, replace(CAREFUL, swap=1.0), seed=3)
    assert {mistake.joints for mistake in mistakes} == {
        (0, 1, 2, 3, 4, 5),
        (10, 11, 12, 13, 14, 15),
    }
    for before, after, mistake in zip(frames, labelled, mistakes, strict=True):
        for a, b in FLIP_PAIRS:
            if a in mistake.joints:
                assert after.keypoints[a] == pytest.approx(
                    before.keypoints[b], abs=0.06
                )
                assert after.visibility[a] == before.visibility[b]


def test_a_missed_joint_is_nan_and_marked_missing():
    labelled, mistakes = annotate_frames(truth(50), replace(CAREFUL, miss=1.0), seed=4)
    for frame, mistake in zip(labelled, mistakes, strict=True):
        assert np.isnan(frame.keypoints[mistake.joints[0]]).all()
        assert frame.visibility[mistake.joints[0]] == 0
        assert np.isfinite(frame.keypoints).sum() == 30


def test_labels_stay_inside_the_picture():
    frame = replace(
        truth(1)[0],
        keypoints=np.tile([454.0, 0.0], (16, 1)),
        box=np.array([300.0, 0.0, 454.0, 255.0]),
    )
    labelled, _ = annotate_frames(
        [frame] * 50, Annotator("y", spread=3.0, slip=0.5), seed=0
    )
    points = np.concatenate(
        [np.concatenate([f.keypoints, f.box.reshape(2, 2)]) for f in labelled]
    )
    points = points[np.isfinite(points[:, 0])]
    assert (points >= 0).all()
    assert (points <= [454, 255]).all()


def test_two_people_label_differently_and_each_always_the_same():
    frames = truth(20)
    anna, ben = (
        annotate_frames(frames, annotator, seed=0)[0] for annotator in ANNOTATORS
    )
    again = annotate_frames(frames, ANNOTATORS[0], seed=0)[0]
    assert all(
        np.array_equal(a.keypoints, b.keypoints, equal_nan=True)
        for a, b in zip(anna, again, strict=True)
    )
    assert not any(
        np.array_equal(a.keypoints, b.keypoints, equal_nan=True)
        for a, b in zip(anna, ben, strict=True)
    )


def test_a_reviewer_sets_right_what_they_see_and_only_that():
    frames = truth(200)
    labelled, mistakes = annotate_frames(
        frames, replace(CAREFUL, swap=0.3, miss=0.3, slip=0.3), seed=4
    )
    by_image: dict[str, list] = {}
    for mistake in mistakes:
        by_image.setdefault(mistake.image, []).append(mistake)
    perfect = Reviewer("x", spread=0.0, overlook=0.0)
    for before, label in zip(frames, labelled, strict=True):
        made = by_image.get(label.image, [])
        corrected = correct_label(label, before, made, perfect, seed=1)
        if not made:
            assert corrected is None
        else:
            assert corrected.keypoints == pytest.approx(before.keypoints, abs=0.06)
            assert (corrected.visibility == before.visibility).all()
            assert corrected.box is label.box


def test_a_reviewer_overlooks_as_often_as_said_and_always_the_same():
    frames = truth(400)
    labelled, mistakes = annotate_frames(frames, replace(CAREFUL, slip=1.0), seed=4)
    seen = [
        correct_label(label, before, [made], replace(REVIEWER, overlook=0.25), seed=1)
        for before, label, made in zip(frames, labelled, mistakes, strict=True)
    ]
    assert sum(frame is None for frame in seen) == pytest.approx(100, abs=35)
    again = correct_label(
        labelled[0], frames[0], [mistakes[0]], replace(REVIEWER, overlook=0.25), seed=1
    )
    assert (again is None) == (seen[0] is None)
    if again is not None:
        assert (again.keypoints == seen[0].keypoints).all()
