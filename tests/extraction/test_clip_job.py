"""A clip too large to hold is decoded twice; what changed in between is noticed."""

from __future__ import annotations

import numpy as np
from helpers.moving_blobs import BlobDetector, BoxEstimator, draw, write_clip

from finediving_pose.extraction.loading import Task
from finediving_pose.extraction.local_engine import Limits, LocalEngine
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.records import Clip


def run(clip, detector, estimator):
    limits = Limits(detector_batch=64, clip_bytes=draw(0).nbytes * 3)
    (outcome,) = LocalEngine(
        detector, estimator, ExtractionSettings(frames=None), limits
    ).run([Task(clip, "d")])
    return outcome


def test_the_second_look_sees_the_same_frames(tmp_path):
    seen = []

    class Noting(BoxEstimator):
        def crop(self, image, box):
            seen.append(image.copy())
            return super().crop(image, box)

    outcome = run(
        Clip("m", "d", write_clip(tmp_path / "d", 12), 3, 9), BlobDetector(), Noting()
    )
    assert outcome.reason is None
    assert len(seen) == 7
    assert all(np.array_equal(image, draw(3 + i)) for i, image in enumerate(seen))


def test_a_source_that_changes_in_between_fails(tmp_path):
    path = write_clip(tmp_path / "v.avi", 12)

    class Replacing(BlobDetector):
        def __call__(self, images):
            write_clip(path, 6)
            return super().__call__(images)

    outcome = run(Clip("m", "d", path), Replacing(), BoxEstimator())
    assert outcome.people == []
    assert "6 frames are gone that were there before" in (outcome.reason or "")


def test_an_unreadable_image_is_no_change(tmp_path):
    folder = write_clip(tmp_path / "d", 8)
    (folder / "4.png").write_bytes(b"broken")
    outcome = run(Clip("m", "d", folder), BlobDetector(), BoxEstimator())
    assert outcome.reason is None
    assert (
        outcome.people[0].state[4, 0] == 2
    )  # the box there is filled, the joints are interpolated
