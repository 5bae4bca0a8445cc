from __future__ import annotations

import numpy as np

from finediving_pose.datasets import labelme
from finediving_pose.synthesis.sample import draw_dive, write_sample


def test_frames_show_all_joints_from_take_off_to_entry():
    sample = draw_dive(0, frames=6)
    assert sample.images.shape == (6, 256, 455, 3)
    assert sample.keypoints.shape == (6, 16, 2)
    assert (sample.keypoints >= 0).all()
    assert (sample.keypoints < [455, 256]).all()
    numbers = [label.frame for label in sample.labels]
    assert numbers == sorted(set(numbers))
    assert numbers[-1] - numbers[0] > 20


def test_boxes_hold_the_joints():
    sample = draw_dive(1, frames=6)
    for keypoints, box in zip(sample.keypoints, sample.boxes, strict=True):
        assert (keypoints >= box[:2] - 3).all()
        assert (keypoints <= box[2:] + 3).all()


def test_equal_seeds_draw_equal_frames():
    first, again, other = draw_dive(2, 2), draw_dive(2, 2), draw_dive(3, 2)
    assert np.array_equal(first.images, again.images)
    assert not np.array_equal(first.images, other.images)


def test_a_written_sample_reads_as_it_was_drawn(tmp_path):
    written = write_sample(tmp_path, dives=2, frames=3, seed=4)
    read = labelme.read(tmp_path / "labels" / "final", tmp_path / "frames")
    assert read.problems == ()
    assert len(read.frames) == len(written.frames) == 6
    assert len({frame.dive_key for frame in read.frames}) == 2
    by_image = {frame.image: frame for frame in written.frames}
    for frame in read.frames:
        np.testing.assert_allclose(
            frame.keypoints, by_image[frame.image].keypoints, atol=1e-3
        )
        assert (tmp_path / "frames" / frame.image).exists()
