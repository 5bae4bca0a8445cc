from __future__ import annotations

import numpy as np
import pytest

from finediving_pose.datasets.labels import read_labels
from finediving_pose.media import numbered_images, read_image
from finediving_pose.skeleton import INDEX
from finediving_pose.synthesis.sketch import SIZE, draw_dive, write_sample

SEEDS = range(6)


def test_shapes_and_types():
    sketch = draw_dive(0, frames=5, size=(320, 200))
    assert sketch.frames.shape == (5, 200, 320, 3)
    assert sketch.frames.dtype == np.uint8
    assert sketch.keypoints.shape == (5, 16, 2)
    assert sketch.boxes.shape == (5, 4)


def test_equal_seeds_draw_equal_bytes_and_others_do_not():
    first, again, other = draw_dive(7, 4), draw_dive(7, 4), draw_dive(8, 4)
    assert first.frames.tobytes() == again.frames.tobytes()
    assert np.array_equal(first.keypoints, again.keypoints)
    assert first.frames.tobytes() != other.frames.tobytes()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("size", [(455, 256), (128, 96), (200, 400)])
def test_every_joint_lies_inside_picture_and_box(seed, size):
    sketch = draw_dive(seed, frames=12, size=size)
    assert (sketch.keypoints >= 1).all()
    assert (sketch.keypoints <= np.array(size) - 2).all()
    assert (sketch.keypoints >= sketch.boxes[:, None, :2]).all()
    assert (sketch.keypoints <= sketch.boxes[:, None, 2:]).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_dive_starts_upright_and_ends_head_down_in_the_water(seed):
    joints = draw_dive(seed).keypoints
    head, ankle, wrist = (joints[:, INDEX[name], 1] for name in ("head_top", "right_ankle", "right_wrist"))
    assert head[0] < ankle[0]
    assert head[-1] > ankle[-1]
    assert wrist[-1] == joints[-1, :, 1].max() or joints[-1, INDEX["left_wrist"], 1] == joints[-1, :, 1].max()
    assert joints[-1].mean(axis=0)[1] > joints[0].mean(axis=0)[1] + 30


@pytest.mark.parametrize("seed", SEEDS)
def test_the_straight_body_has_the_proportions_of_a_person(seed):
    joints = draw_dive(seed).keypoints[0]

    def length(a, b):
        return float(np.linalg.norm(joints[INDEX[a]] - joints[INDEX[b]]))

    torso = length("thorax", "pelvis")
    assert 0.8 < length("right_hip", "right_knee") / torso < 1.1
    assert 0.8 < length("right_knee", "right_ankle") / torso < 1.1
    assert 0.4 < length("head_top", "upper_neck") / torso < 0.7
    assert length("right_hip", "left_hip") < length("right_shoulder", "left_shoulder")


def test_the_left_wrist_wears_a_white_band_and_the_right_one_does_not():
    """So that a net can learn the sides from what it sees; skin has little blue, and limbs hide a band at times."""
    blue: dict[str, list[float]] = {"left": [], "right": []}
    for seed in range(8):
        sketch = draw_dive(seed, frames=6)
        for frame, joints in zip(sketch.frames, sketch.keypoints, strict=True):
            for side, values in blue.items():
                wrist, elbow = joints[INDEX[f"{side}_wrist"]], joints[INDEX[f"{side}_elbow"]]
                x, y = (0.9 * wrist + 0.1 * elbow).round().astype(int)
                values.append(float(frame[y, x, 0]))
    assert np.mean(np.array(blue["left"]) > 170) > 0.7
    assert np.mean(np.array(blue["right"]) > 170) < 0.3


def test_the_pixels_at_the_diver_change_and_the_spectators_stand_still():
    sketch = draw_dive(1, frames=24)
    change = np.abs(sketch.frames[0].astype(int) - sketch.frames[12]).max(axis=2)
    moved = np.zeros(change.shape, bool)
    for box in sketch.boxes[[0, 12]]:
        x1, y1, x2, y2 = box.round().astype(int)
        moved[y1 - 3 : y2 + 4, x1 - 3 : x2 + 4] = True
    assert change[moved].max() > 60
    assert np.quantile(change[~moved], 0.999) < 30  # noise only


def test_the_body_turns_over():
    """Seed 0 is a folded dive: its longest extent shrinks to well under that of the straight body."""
    joints = draw_dive(0).keypoints
    extent = np.linalg.norm(joints.max(axis=1) - joints.min(axis=1), axis=1)
    assert extent.min() < 0.65 * extent[0]


@pytest.mark.parametrize(("frames", "size"), [(0, (455, 256)), (3, (95, 256)), (3, (455, 64))])
def test_what_cannot_be_drawn_is_refused(frames, size):
    with pytest.raises(ValueError, match=f"got {frames} of {size[0]}x{size[1]}"):
        draw_dive(0, frames, size)


def test_one_frame_is_a_dive_too():
    assert draw_dive(0, frames=1).frames.shape[0] == 1


def test_a_sample_is_read_back_as_it_was_drawn(tmp_path):
    written = write_sample(tmp_path, dives=3, frames=2, seed=5)
    labels = read_labels(tmp_path / "labels" / "final", images=tmp_path / "frames")
    assert labels.problems == ()
    assert [(f.match, f.dive, f.frame) for f in labels.frames] == [
        (match, dive, frame)
        for match, dive in (("SyntheticSketchA", "1"), ("SyntheticSketchA", "2"), ("SyntheticSketchB", "1"))
        for frame in (1, 2)
    ]
    second = draw_dive(6, 2)  # the second dive is the first of the second match
    frame = next(f for f in labels.frames if f.match == "SyntheticSketchB" and f.frame == 2)
    assert np.allclose(frame.keypoints, second.keypoints[1], atol=1e-6)
    assert np.allclose(frame.box, second.boxes[1], atol=1e-6)
    assert frame.size == SIZE
    assert len(written.frames) == 6


def test_the_pictures_of_a_sample_show_what_was_drawn(tmp_path):
    write_sample(tmp_path, dives=1, frames=2, seed=5)
    (_, _), (number, path) = numbered_images(tmp_path / "frames" / "SyntheticSketchA" / "1")
    assert number == 2
    difference = np.abs(read_image(path).astype(int) - draw_dive(5, 2).frames[1])
    assert difference.mean() < 6  # JPEG, and no more


def test_a_sample_is_the_same_every_time(tmp_path):
    def content(folder):
        write_sample(folder, dives=2, frames=2)
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    first = content(tmp_path / "a")
    assert len(first) == 8
    assert first == content(tmp_path / "b")
