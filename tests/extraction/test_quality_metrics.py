"""Each metric rises with the fault it is for, and both views are of one list."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.made_sequences import FRAMES as SHORT
from helpers.made_sequences import make_joints, make_sequence, make_track
from helpers.moving_blobs import BlobDetector, BoxEstimator, write_clip

from finediving_pose.extraction import ledger, quality_metrics
from finediving_pose.extraction.quality_metrics import (
    METRICS,
    Doubt,
    Metric,
    combine_doubt,
    explain_doubt,
    list_doubts,
    measure_oddities,
    measure_quality,
    weigh_oddities,
)
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.extraction.skeleton_assembly import assemble_sequence, take_rows
from finediving_pose.records import BoxState, BoxTrack, JointState, SkeletonSequence
from finediving_pose.workflows.extraction import extract
from finediving_pose.workflows.qc import run_qc

FRAMES = 60
LAYOUT = np.random.default_rng(3).uniform(0, 1, (16, 2)) * [60, 140]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


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
    oddities = measure_oddities(turning())
    assert oddities.keys() == list_doubts().keys()
    assert combine_doubt(oddities) < 0.1
    assert explain_doubt(oddities) == []


@pytest.mark.parametrize("name", list_doubts())
def test_a_fault_raises_its_oddity(name):
    sequence = turning()
    clean = measure_oddities(sequence)
    FAULTS[name](sequence)
    oddities = measure_oddities(sequence)
    assert oddities[name] > clean[name] + 0.01
    assert combine_doubt(oddities) > combine_doubt(clean) + 0.05
    assert 0 <= combine_doubt(oddities) < 1


def test_the_reasons_are_in_words_and_the_weightiest_comes_first():
    sequence = turning()
    FAULTS["gaps"](sequence)
    oddities = measure_oddities(sequence)
    assert next(iter(weigh_oddities(oddities))) == "gaps"
    assert (
        explain_doubt(oddities)[0]
        == "the detector misses the diver in 42% of the frames from the first to the last with one"
    )


def test_known_shares():
    sequence = turning()
    lose(sequence, slice(45, None))
    sequence.state[:9, 3] = JointState.INTERPOLATED
    oddities = measure_oddities(sequence)
    assert oddities["absent"] == pytest.approx(0.25)
    assert oddities["gaps"] == 0
    assert oddities["filled"] == pytest.approx(9 / (45 * 16))
    assert oddities["unsure"] == pytest.approx(0.05, abs=1e-6)
    assert oddities["unsure_boxes"] == 0


def test_what_the_networks_think_of_themselves_is_said_as_they_say_it():
    sequence = turning()
    sequence.scores[:] = 0.25
    sequence.track.scores[:] = 0.33
    assert set(explain_doubt(measure_oddities(sequence))) == {
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
    assert measure_oddities(longer) == measure_oddities(sequence)


def test_a_clip_without_anybody_is_as_doubtful_as_clips_get():
    sequence = turning()
    lose(sequence, slice(None))
    oddities = measure_oddities(sequence)
    assert oddities["absent"] == oddities["unsure"] == oddities["unsure_boxes"] == 1
    assert "no diver in 100% of the frames" in explain_doubt(oddities)
    one = turning(1)
    assert np.isfinite(list(measure_oddities(one).values())).all()


# --- both views of the list ---


def test_every_metric_is_defined_in_a_sentence():
    for metric in METRICS:
        assert re.fullmatch(r"[A-Z].*[a-z]\.", metric.definition), metric.name
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)


def test_a_new_metric_is_an_entry_in_the_list(tmp_path, monkeypatch):
    """It comes to quality.csv, to the ranking, its reasons and qc.csv."""

    def measure_stillness(clip):
        """Frames like the one before, of all frames."""
        return 0.75

    still = Metric("still", measure_stillness, Doubt("{:.0%} stand still", half=0.1))
    monkeypatch.setattr(quality_metrics, "METRICS", [*METRICS, still])
    monkeypatch.setattr(ledger, "METRICS", quality_metrics.METRICS)
    write_clip(tmp_path / "v" / "m" / "1", 12)
    extract(tmp_path / "v", tmp_path / "out", BlobDetector(), BoxEstimator())
    assert rows_of(tmp_path / "out" / "quality.csv")[0]["still"] == "0.75"
    (clip,) = run_qc(tmp_path / "out", tmp_path / "qc").clips
    assert clip.oddities["still"] == 0.75
    assert "75% stand still" in clip.reasons
    assert rows_of(tmp_path / "qc" / "qc.csv")[0]["still"] == "0.7500"


def test_the_two_views_say_the_same():
    sequence = make_sequence(missing=[0, 2, 5, 6, 7], max_gap=1)
    values, oddities = measure_quality(sequence), measure_oddities(sequence)
    assert oddities["unsure"] == pytest.approx(1 - values["mean_score"])
    assert oddities["unsure_boxes"] == pytest.approx(1 - values["mean_box_score"])
    assert oddities["outliers"] == values["outlier_share"]
    same = oddities.keys() - {"unsure", "unsure_boxes", "outliers"}
    assert {n: round(oddities[n], 4) for n in same} == {n: values[n] for n in same}


def test_quality_of_a_clip_with_gaps():
    values = measure_quality(make_sequence(missing=[0, 2, 5, 6, 7], max_gap=1))
    assert values == {
        "frames": 8,
        "detected_share": 0.375,
        "mean_score": 0.5,
        "interpolated_share": 0.125,
        "nan_share": 0.5,
        "longest_gap": 3,
        "track_jumps": 0,
        "swapped_joints": 0,
        "swapped_frames": 0,
        "outliers": 0,
        "interpolated": 16,
        "absent": 0.625,
        "gaps": 0.25,
        "filled": 0.0,
        "missing": 0.0,
        "mean_box_score": 0.9,
        "box_jumps": 0.0,
        "joint_jumps": 0.0,
        "limb_spread": 0.0,
        "swaps": 0.0,
        "outlier_share": 0.0,
    }


def test_quality_of_nothing():
    values = measure_quality(make_sequence(missing=range(SHORT)))
    assert (
        values["detected_share"],
        values["nan_share"],
        values["longest_gap"],
    ) == (0.0, 1.0, SHORT)
    assert values["mean_score"] is None


def test_repeated_samples_are_no_standing_still():
    """A jump from one frame to the next counts once, however often its frames are
    repeated."""
    path = make_track()
    path.boxes[4:] += 200
    sequence = assemble_sequence(
        path, *make_joints(), np.arange(SHORT), ExtractionSettings()
    )
    assert measure_quality(sequence)["track_jumps"] == 1
    assert (
        measure_quality(
            take_rows(sequence, [row for row in range(SHORT) for _ in range(3)], {})
        )["track_jumps"]
        == 1
    )
