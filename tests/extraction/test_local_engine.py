"""The pipeline over many clips: full batches, few clips at a time, and failures that
stay with their clip."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from helpers.moving_blobs import (
    BlobDetector,
    BoxEstimator,
    blob_box,
    draw,
    falling,
    joints_in,
    nowhere,
    write_clip,
)

from finediving_pose.errors import EnvironmentUnfit
from finediving_pose.extraction.clip_job import Outcome
from finediving_pose.extraction.loading import Task
from finediving_pose.extraction.local_engine import Limits, LocalEngine
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.extraction.skeleton_assembly import Sightings
from finediving_pose.records import BoxState, Clip, Detections, JointState
from finediving_pose.workflows.extraction import BESIDE, BUSY

ALL = ExtractionSettings(frames=None)


def task(source: Path, **part: int) -> Task:
    return Task(Clip(source.parent.name, source.stem, source, **part), source.name)


def engine(
    settings: ExtractionSettings = ALL, detector=None, estimator=None, **limits: int
) -> LocalEngine:
    return LocalEngine(
        detector or BlobDetector(),
        estimator or BoxEstimator(),
        settings,
        Limits(**limits),
    )


def one(source: Path, settings: ExtractionSettings = ALL, **part: int) -> Outcome:
    (outcome,) = engine(settings).run([task(source, **part)])
    return outcome


class Refusing(BlobDetector):
    """Fails on any frame that has a bright corner."""

    def find(self, image: np.ndarray) -> Detections:
        if image[0, 0].max() > 128:
            raise ValueError("a bright corner")
        return super().find(image)


def bright_corner(frame: int) -> tuple[float, float]:
    return 8.0, 12.0


def test_a_clip_comes_out_as_the_fakes_say(tmp_path):
    outcome = one(write_clip(tmp_path / "01" / "3", 10, first=100))
    (person,) = outcome.people
    assert person.frame_index.tolist() == list(range(100, 110))
    for row, number in enumerate(range(100, 110)):
        np.testing.assert_allclose(person.track.boxes[row], blob_box(number))
        np.testing.assert_allclose(
            person.keypoints[row], joints_in(blob_box(number)), atol=1e-4
        )
    assert (person.state == JointState.OBSERVED).all()
    assert (person.scores == np.float32(0.8)).all()
    assert outcome.facts["frames_in_clip"] == 10
    assert outcome.facts["size"] == [160, 96]
    assert set(outcome.seconds) == {*BUSY, *BESIDE} - {"write", "draw"}
    assert (outcome.reason, outcome.warnings) == (None, [])


def test_sampling_as_finediving_does(tmp_path):
    settings = ExtractionSettings()
    (person,) = one(write_clip(tmp_path / "01" / "3", 200), settings).people
    assert person.frame_index.tolist() == [i * 199 // 95 for i in range(96)]
    (person,) = one(write_clip(tmp_path / "01" / "4", 10), settings).people
    assert person.frame_index.tolist() == [i * 9 // 95 for i in range(96)]
    assert person.keypoints.shape == (96, 16, 2)
    np.testing.assert_allclose(person.keypoints[95], joints_in(blob_box(9)), atol=1e-4)


def test_each_sampled_frame_is_detected_and_estimated_once(tmp_path):
    detector, estimator = BlobDetector(), BoxEstimator()
    run = engine(ExtractionSettings(), detector, estimator)
    list(run.run([task(write_clip(tmp_path / "01" / "3", 10))]))
    assert sum(detector.batches) == 10
    assert sum(estimator.batches) == 10


def test_batches_are_filled_across_frames_and_clips(tmp_path):
    detector, estimator = BlobDetector(), BoxEstimator()
    tasks = [task(write_clip(tmp_path / "01" / f"{n}", 7)) for n in range(6)]
    run = engine(
        detector=detector, estimator=estimator, detector_batch=8, pose_batch=16
    )
    assert len(list(run.run(tasks))) == 6
    assert detector.batches == [8] * 5 + [2]
    assert estimator.batches == [16, 16, 10]


def test_results_do_not_depend_on_the_batches(tmp_path):
    tasks = [task(write_clip(tmp_path / "01" / f"{n}", 5 + n)) for n in range(3)]
    small = {
        o.task.clip.key: o for o in engine(detector_batch=1, pose_batch=1).run(tasks)
    }
    large = {
        o.task.clip.key: o for o in engine(detector_batch=64, pose_batch=64).run(tasks)
    }
    assert len(small) == len(large) == 3
    for key, outcome in small.items():
        np.testing.assert_array_equal(
            outcome.people[0].keypoints, large[key].people[0].keypoints
        )


@pytest.mark.parametrize("limits", [{"decoders": 3}, {"helpers": 2}])
def test_threads_and_processes_change_neither_the_batches_nor_the_results(
    tmp_path, limits
):
    sources = [
        write_clip(tmp_path / "01" / f"{n}.avi", 5 + (n * 7) % 11) for n in range(8)
    ]
    settings = ExtractionSettings(frames=None, persons=2)
    alone, beside = BoxEstimator(), BoxEstimator()
    expected = list(
        engine(settings, estimator=alone, pose_batch=16).run(map(task, sources))
    )
    found = list(
        engine(settings, estimator=beside, pose_batch=16, **limits).run(
            map(task, sources)
        )
    )
    assert [o.task.clip.key for o in found] == [o.task.clip.key for o in expected]
    assert beside.batches == alone.batches
    for a, b in zip(expected, found, strict=True):
        assert (
            (a.reason, a.warnings)
            == (b.reason, b.warnings)
            == (None, ["no second person was found"])
        )
        np.testing.assert_array_equal(a.people[0].keypoints, b.people[0].keypoints)
        np.testing.assert_array_equal(a.people[0].track.boxes, b.people[0].track.boxes)
        assert a.people[0].meta == b.people[0].meta


def test_a_helper_that_is_killed_ends_the_run_with_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "finediving_pose.extraction.local_engine.track_people", end_process
    )
    with pytest.raises(
        EnvironmentUnfit, match="a worker process was ended from outside"
    ):
        list(engine(helpers=1).run([task(write_clip(tmp_path / "01" / "3", 4))]))


def end_process(_seen: Sightings) -> None:
    os._exit(9)


def test_a_run_after_one_that_was_left_begins_anew(tmp_path):
    source = write_clip(tmp_path / "01" / "3", 7)
    run = engine(detector_batch=4, pose_batch=8)
    left = run.run(Task(Clip("01", str(n), source), "") for n in range(9))
    next(left)
    left.close()
    outcomes = list(run.run([task(source)]))
    assert [o.reason for o in outcomes] == [None]
    assert np.isfinite(outcomes[0].people[0].keypoints).all()


def test_frames_that_the_detector_does_not_see_have_filled_boxes_and_observed_joints(
    tmp_path,
):
    detector = BlobDetector()
    source = write_clip(tmp_path / "01" / "3", 12)
    settings = ExtractionSettings(frames=None, detect_every=5, max_gap=0)
    (outcome,) = engine(settings, detector=detector).run([task(source)])
    (person,) = outcome.people
    assert sum(detector.batches) == 4  # 0, 5, 10 and the last
    hit, filled = int(BoxState.DETECTED), int(BoxState.FILLED)
    assert person.track.state.tolist() == [
        hit,
        *[filled] * 4,
        hit,
        *[filled] * 4,
        hit,
        hit,
    ]
    np.testing.assert_allclose(
        person.track.boxes, np.stack([blob_box(t) for t in range(12)]), atol=1.01
    )
    assert (person.state == JointState.OBSERVED).all()


def test_a_frame_that_the_detector_saw_empty_is_not_filled_by_its_neighbours(tmp_path):
    source = write_clip(tmp_path / "01" / "3", 13, (vanishing(5, 7),))
    (person,) = one(
        source, ExtractionSettings(frames=None, detect_every=3, max_gap=0)
    ).people
    hit, filled = int(BoxState.DETECTED), int(BoxState.FILLED)
    assert person.track.state.tolist() == [
        hit,
        filled,
        filled,
        hit,
        0,
        0,
        0,
        0,
        0,
        hit,
        filled,
        filled,
        hit,
    ]


class Later(BlobDetector):
    """Begins batches whose results are asked for later; takes pictures of half the
    size."""

    def prepare(self, image: np.ndarray) -> np.ndarray:
        return image[::2, ::2]

    def launch(self, items: Sequence[np.ndarray]):
        assert all(item.shape == (48, 80, 3) for item in items)
        return lambda: self(
            [item.repeat(2, axis=0).repeat(2, axis=1) for item in items]
        )


class LaterEstimator(BoxEstimator):
    def launch(self, crops):
        return lambda: self(crops)


def test_networks_that_are_asked_later_give_the_same(tmp_path):
    sources = [write_clip(tmp_path / "01" / f"{n}", 6 + n) for n in range(4)]
    later = engine(
        detector=Later(), estimator=LaterEstimator(), detector_batch=4, pose_batch=8
    )
    for a, b in zip(
        engine().run(map(task, sources)), later.run(map(task, sources)), strict=True
    ):
        assert (a.reason, b.reason) == (None, None)
        np.testing.assert_allclose(
            a.people[0].keypoints, b.people[0].keypoints, atol=2.01
        )


def test_few_clips_are_in_flight_however_many_there_are(tmp_path):
    source = write_clip(tmp_path / "01" / "clip", 6)
    read_ahead: list[int] = []
    in_flight: list[int] = []

    class Watching(BoxEstimator):
        def __call__(self, crops):
            in_flight.append(run.in_flight)
            time.sleep(0.02)  # time for the reader to run ahead, if it could
            return super().__call__(crops)

    def tasks() -> Iterator[Task]:
        for n in range(30):
            read_ahead.append(n)
            yield Task(Clip("01", str(n), source), str(n))

    frame_bytes = draw(0).nbytes
    run = engine(
        estimator=Watching(),
        detector_batch=4,
        pose_batch=16,
        prefetch_bytes=4 * frame_bytes,
    )
    keys = []
    for outcome in run.run(tasks()):
        keys.append(outcome.task.clip.dive)
        assert len(read_ahead) - len(keys) <= 6
    assert keys == [str(n) for n in range(30)]
    assert len(in_flight) == 12  # 180 crops
    assert 2 <= max(in_flight) <= 6
    assert run.in_flight == 0


def test_a_clip_beyond_its_budget_is_decoded_again_with_the_same_result(tmp_path):
    source = write_clip(tmp_path / "01" / "3.avi", 12)
    (held,) = engine().run([task(source)])
    (again,) = engine(clip_bytes=3 * draw(0).nbytes).run([task(source)])
    assert np.isfinite(held.people[0].keypoints).all()
    np.testing.assert_array_equal(held.people[0].keypoints, again.people[0].keypoints)


def test_a_detector_that_fails_on_one_clip_fails_that_clip_only(tmp_path):
    sources = [
        write_clip(
            tmp_path / "01" / f"{n}", 6, (bright_corner,) if n == 1 else (falling,)
        )
        for n in range(3)
    ]
    outcomes = {
        o.task.clip.dive: o for o in engine(detector=Refusing()).run(map(task, sources))
    }
    assert {dive: o.reason for dive, o in outcomes.items()} == {
        "0": None,
        "1": "detector: ValueError: a bright corner",
        "2": None,
    }
    assert outcomes["1"].people == []
    assert np.isfinite(outcomes["2"].people[0].keypoints).all()


def test_a_pose_net_that_fails_on_one_clip_fails_that_clip_only(tmp_path):
    class Fussy(BoxEstimator):
        def __call__(self, crops):
            if any(crop.to_frame[0, 2] > 60 for crop in crops):
                raise RuntimeError("too far to the right")
            return super().__call__(crops)

    sources = [
        write_clip(tmp_path / "01" / f"{n}", 4, first=20 if n == 1 else 0)
        for n in range(3)
    ]
    outcomes = {
        o.task.clip.dive: o for o in engine(estimator=Fussy()).run(map(task, sources))
    }
    assert outcomes["1"].reason == "pose network: RuntimeError: too far to the right"
    assert [outcomes[dive].reason for dive in "02"] == [None, None]
    assert [np.isfinite(outcomes[dive].people[0].keypoints).all() for dive in "02"] == [
        True,
        True,
    ]


def test_a_crop_that_fails_and_a_track_that_fails_are_their_clips_failures(tmp_path):
    class NoCrop(BoxEstimator):
        def crop(self, image, box):
            if box[0] > 60:
                raise ValueError("no crop")
            return super().crop(image, box)

    sources = [
        write_clip(tmp_path / "01" / f"{n}", 4, first=20 if n == 1 else 0)
        for n in range(3)
    ]
    reasons = {
        o.task.clip.dive: o.reason
        for o in engine(estimator=NoCrop()).run(map(task, sources))
    }
    assert reasons == {"0": None, "1": "ValueError: no crop", "2": None}

    unknown = ExtractionSettings.model_validate(
        {"frames": None, "tracking": {"tracker": "none"}}
    )
    reasons = [o.reason for o in engine(unknown).run(map(task, sources))]
    assert [
        reason is not None and "no tracker named 'none'" in reason for reason in reasons
    ] == [True] * 3


@pytest.mark.parametrize(
    ("name", "content"),
    [("0.avi", b""), ("0.mp4", b"no video at all" * 99), ("0.avi", None)],
)
def test_unreadable_clips_fail_alone(tmp_path, name, content):
    bad = tmp_path / "01" / name
    good = write_clip(tmp_path / "01" / "1.avi", 5)
    if content is not None:
        bad.write_bytes(content)
    outcomes = list(engine().run([task(bad), task(good)]))
    assert [
        o.task.clip.dive for o in sorted(outcomes, key=lambda o: o.task.clip.dive)
    ] == ["0", "1"]
    reasons = {o.task.clip.dive: o.reason for o in outcomes}
    assert reasons["1"] is None
    assert str(bad) in reasons["0"]
    assert (
        "no such file" if content is None else "not readable as a video"
    ) in reasons["0"]


def test_a_clip_of_one_frame(tmp_path):
    outcome = one(write_clip(tmp_path / "01" / "3.avi", 1), ExtractionSettings())
    assert outcome.people[0].frame_index.tolist() == [0] * 96
    assert np.isfinite(outcome.people[0].keypoints).all()
    assert outcome.warnings == [
        "the clip has one frame: all 96 samples show it; this is no video of a dive"
    ]


def test_odd_sizes_and_names_beyond_ascii(tmp_path):
    (person,) = one(
        write_clip(tmp_path / "Größe №1" / "跳水.avi", 6, size=(161, 97))
    ).people
    np.testing.assert_allclose(
        person.track.boxes, np.stack([blob_box(t) for t in range(6)]), atol=1.01
    )


def test_a_truncated_video_gives_what_decodes_with_a_warning(tmp_path):
    source = write_clip(tmp_path / "01" / "3.avi", 40)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    outcome = one(source, ExtractionSettings())
    numbers = outcome.people[0].frame_index
    assert numbers[0] == 0
    assert 10 < numbers[-1] < 39
    assert numbers.tolist() == [i * int(numbers[-1]) // 95 for i in range(96)]
    assert np.isfinite(outcome.people[0].keypoints).all()
    assert outcome.facts["frames_in_clip"] == numbers[-1] + 1
    assert any("the file is cut short" in warning for warning in outcome.warnings)


def test_a_part_of_a_recording_is_numbered_as_in_it(tmp_path):
    (person,) = one(
        write_clip(tmp_path / "01" / "3.avi", 40), start_frame=10, end_frame=15
    ).people
    assert person.frame_index.tolist() == [10, 11, 12, 13, 14, 15]
    np.testing.assert_allclose(person.track.boxes[0], blob_box(10), atol=1.01)


def test_nobody_in_the_picture_is_nan_with_a_warning(tmp_path):
    outcome = one(write_clip(tmp_path / "01" / "3", 5, (nowhere,)))
    assert outcome.reason is None
    assert np.isnan(outcome.people[0].keypoints).all()
    assert np.isnan(outcome.people[0].scores).all()
    assert not outcome.people[0].state.any()
    assert outcome.warnings == ["nobody was detected in any frame"]


def vanishing(first: int, last: int):
    return lambda frame: None if first <= frame <= last else falling(frame)


@pytest.mark.parametrize(("max_gap", "filled"), [(10, True), (3, True), (2, False)])
def test_a_gap_is_filled_up_to_the_longest(tmp_path, max_gap, filled):
    source = write_clip(tmp_path / "01" / "3", 12, (vanishing(4, 6),))
    (person,) = one(source, ExtractionSettings(frames=None, max_gap=max_gap)).people
    assert (
        person.track.state.tolist()
        == [1] * 4 + [BoxState.FILLED if filled else 0] * 3 + [1] * 5
    )
    assert np.isnan(person.track.scores[4:7]).all()
    if filled:  # the pose net looks into a filled box: its joints are observed
        np.testing.assert_allclose(
            person.track.boxes[5], (blob_box(3) + blob_box(7)) / 2
        )
        assert (person.state[4:7] == JointState.OBSERVED).all()
    else:
        assert np.isnan(person.keypoints[4:7]).all()
        assert not person.state[4:7].any()


def test_weak_joints_are_missing_and_filled_without_a_score(tmp_path):
    class Wavering(BoxEstimator):
        """Unsure of joint 9 in the third frame it sees, and of joint 3 always."""

        seen = 0

        def __call__(self, crops):
            keypoints, scores = super().__call__(crops)
            scores = scores.copy()
            scores[:, 3] = 0.1
            for row in range(len(crops)):
                if self.seen + row == 2:
                    scores[row, 9] = 0.2
            self.seen += len(crops)
            return keypoints, scores

    settings = ExtractionSettings(frames=None, min_score=0.3)
    (outcome,) = engine(settings, estimator=Wavering()).run(
        [task(write_clip(tmp_path / "01" / "3", 5))]
    )
    (person,) = outcome.people
    assert person.state[:, 9].tolist() == [1, 1, JointState.INTERPOLATED, 1, 1]
    np.testing.assert_allclose(
        person.keypoints[2, 9], (person.keypoints[1, 9] + person.keypoints[3, 9]) / 2
    )
    assert np.isnan(person.scores[2, 9])
    assert not person.state[:, 3].any()
    assert np.isnan(person.keypoints[:, 3]).all()
    assert np.isnan(person.scores[:, 3]).all()


@pytest.mark.parametrize(
    ("extend", "states"), [(False, [0, 0, 1, 1, 0, 0]), (True, [2, 2, 1, 1, 2, 2])]
)
def test_ends_are_extended_only_when_asked(tmp_path, extend, states):
    source = write_clip(
        tmp_path / "01" / "3",
        6,
        (lambda frame: falling(frame) if frame in (2, 3) else None,),
    )
    (person,) = one(source, ExtractionSettings(frames=None, extend_ends=extend)).people
    assert person.state[:, 0].tolist() == states
    assert np.isnan(
        person.track.boxes[[0, 1, 4, 5]]
    ).all()  # a box beyond the ends is never invented


def beside(frame: int) -> tuple[float, float]:
    x, y = falling(frame)
    return x + 60, y + 10


def test_two_persons(tmp_path):
    source = write_clip(tmp_path / "01" / "3", 8, (falling, beside))
    outcome = one(source, ExtractionSettings(frames=None, persons=2))
    centres = sorted(person.track.boxes[0, 0] for person in outcome.people)
    assert centres == [blob_box(0)[0], blob_box(0, beside)[0]]
    assert [person.meta["person"] for person in outcome.people] == [1, 2]
    assert all(np.isfinite(person.keypoints).all() for person in outcome.people)


def test_a_second_person_who_is_not_there(tmp_path):
    outcome = one(
        write_clip(tmp_path / "01" / "3", 8), ExtractionSettings(frames=None, persons=2)
    )
    assert len(outcome.people) == 1
    assert outcome.warnings == ["no second person was found"]


def test_leaving_early_ends_the_reader(tmp_path):
    source = write_clip(tmp_path / "01" / "3", 6)
    outcomes = engine(detector_batch=2, pose_batch=2).run(
        Task(Clip("01", str(n), source), "") for n in range(50)
    )
    next(outcomes)
    outcomes.close()
    assert [
        thread.name for thread in threading.enumerate() if thread.name == "prefetch"
    ] == []


def test_an_interrupt_in_a_network_ends_the_run(tmp_path):
    class Interrupted(BlobDetector):
        def __call__(self, images: Sequence[np.ndarray]) -> list[Detections]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(
            engine(detector=Interrupted()).run(
                [task(write_clip(tmp_path / "01" / "3", 6))]
            )
        )
    assert [
        thread.name for thread in threading.enumerate() if thread.name == "prefetch"
    ] == []
