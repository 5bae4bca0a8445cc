"""Each figure rises with the fault it is for, and with no other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from finediving_pose.extraction.quality import (
    FIGURES,
    clip_figures,
    contributions,
    doubt,
    reasons,
)
from finediving_pose.records import BoxState, BoxTrack, JointState, SkeletonSequence

FRAMES = 60
LAYOUT = np.random.default_rng(3).uniform(0, 1, (16, 2)) * [60, 140]


def turning(frames: int = FRAMES) -> SkeletonSequence:
    """A body that falls and turns by 6° a frame; nothing is wrong with it."""
    time = np.arange(frames)
    angle = np.deg2rad(6 * time)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    ).transpose(2, 0, 1)
    middle = np.stack([200 + 1.5 * time, 100 + 2.0 * time], axis=1)
    points = (
        np.einsum("tij,kj->tki", turn, LAYOUT - LAYOUT.mean(axis=0)) + middle[:, None]
    )
    boxes = np.concatenate([middle - 80, middle + 80], axis=1)
    return SkeletonSequence(
        keypoints=points.astype(np.float32),
        scores=np.full((frames, 16), 0.95, np.float32),
        state=np.full((frames, 16), JointState.OBSERVED, np.uint8),
        track=BoxTrack(
            boxes.astype(np.float32),
            np.ones(frames, np.float32),
            np.full(frames, BoxState.DETECTED, np.uint8),
        ),
        frame_index=time.astype(np.int64),
    )


def lose(sequence: SkeletonSequence, rows: slice) -> None:
    sequence.keypoints[rows] = np.nan
    sequence.scores[rows] = np.nan
    sequence.state[rows] = JointState.MISSING
    sequence.track.boxes[rows] = np.nan
    sequence.track.state[rows] = BoxState.MISSING


def jump(sequence: SkeletonSequence) -> None:
    sequence.keypoints[::4, :8] += 90


def stretch(sequence: SkeletonSequence) -> None:
    rng = np.random.default_rng(0)
    middle = sequence.keypoints.mean(axis=1, keepdims=True)
    sequence.keypoints[:] = middle + (sequence.keypoints - middle) * np.exp(
        rng.normal(0, 0.8, (FRAMES, 16, 1))
    )


def teleport(sequence: SkeletonSequence) -> None:
    for rows in (slice(20, 22), slice(40, 42)):
        sequence.keypoints[rows] += 400
        sequence.track.boxes[rows] += 400


def marked(flag: JointState):
    def mark(sequence: SkeletonSequence) -> None:
        sequence.state[5:55, :8] |= np.uint8(flag)

    return mark


FAULTS = {
    "absent": lambda s: lose(s, slice(20, None)),
    "gaps": lambda s: lose(s, slice(15, 40)),
    "filled": marked(JointState.INTERPOLATED),
    "swaps": marked(JointState.SIDE_SWAPPED),
    "outliers": marked(JointState.OUTLIER_REMOVED),
    "missing": lambda s: s.keypoints.__setitem__((slice(0, 30), slice(0, 8)), np.nan),
    "unsure": lambda s: s.scores.__setitem__(slice(None), 0.3),
    "unsure_boxes": lambda s: s.track.scores.__setitem__(slice(None), 0.3),
    "box_jumps": teleport,
    "joint_jumps": jump,
    "limb_spread": stretch,
}


def test_a_steady_body_raises_no_doubt():
    figures = clip_figures(turning())
    assert figures.keys() == FIGURES.keys()
    assert doubt(figures) < 0.1
    assert reasons(figures) == []


@pytest.mark.parametrize("name", FIGURES)
def test_a_fault_raises_its_figure(name):
    sequence = turning()
    clean = clip_figures(sequence)
    FAULTS[name](sequence)
    figures = clip_figures(sequence)
    assert figures[name] > clean[name] + 0.01
    assert doubt(figures) > doubt(clean) + 0.05
    assert 0 <= doubt(figures) < 1


def test_the_reasons_are_in_words_and_the_weightiest_comes_first():
    sequence = turning()
    FAULTS["gaps"](sequence)
    figures = clip_figures(sequence)
    assert next(iter(contributions(figures))) == "gaps"
    assert (
        reasons(figures)[0]
        == "the detector misses the diver in 42% of the frames from the first to the last with one"
    )


def test_known_shares():
    sequence = turning()
    lose(sequence, slice(45, None))
    sequence.state[:9, 3] = JointState.INTERPOLATED
    figures = clip_figures(sequence)
    assert figures["absent"] == pytest.approx(0.25)
    assert figures["gaps"] == 0
    assert figures["filled"] == pytest.approx(9 / (45 * 16))
    assert figures["unsure"] == pytest.approx(0.05, abs=1e-6)
    assert figures["unsure_boxes"] == 0


def test_what_the_nets_think_of_themselves_is_said_as_they_say_it():
    sequence = turning()
    sequence.scores[:] = 0.25
    sequence.track.scores[:] = 0.33
    assert set(reasons(clip_figures(sequence))) == {
        "the joints' mean score is 0.25",
        "the mean confidence of the detector's boxes is 0.33",
    }


def test_frames_that_stand_there_twice_count_once():
    sequence = turning(30)
    twice = np.repeat(np.arange(30), 3)
    track = sequence.track
    longer = replace(
        sequence,
        keypoints=sequence.keypoints[twice],
        scores=sequence.scores[twice],
        state=sequence.state[twice],
        track=BoxTrack(track.boxes[twice], track.scores[twice], track.state[twice]),
        frame_index=sequence.frame_index[twice],
    )
    assert clip_figures(longer) == clip_figures(sequence)


def test_a_clip_without_anybody_is_as_doubtful_as_clips_get():
    sequence = turning()
    lose(sequence, slice(None))
    figures = clip_figures(sequence)
    assert figures["absent"] == figures["unsure"] == figures["unsure_boxes"] == 1
    assert "no diver in 100% of the frames" in reasons(figures)
    one = turning(1)
    assert np.isfinite(list(clip_figures(one).values())).all()
