"""Pictures of a dive and what is true in them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finediving_pose import diving
from finediving_pose.datasets.sub_actions import derive_sequence
from finediving_pose.records import Visibility
from finediving_pose.skeleton import INDEX
from finediving_pose.synthesis import body, scene
from finediving_pose.synthesis.dive import perform_dive
from finediving_pose.synthesis.effects import look_up_mask
from finediving_pose.synthesis.execution import Execution
from finediving_pose.synthesis.figure import draw_look
from finediving_pose.synthesis.schedule import DiveTask
from finediving_pose.synthesis.venue import draw_venue

NUMBERS = ("107b", "205b", "307c", "407c", "5253b", "101b")
VENUES = {"10m": 11, "3m": 12}


def motion_of(seed, apparatus):
    number = diving.parse_dive_number(NUMBERS[seed % len(NUMBERS)])
    rng = np.random.default_rng(seed)
    build = body.draw_build(rng, "men" if seed % 2 else "women")
    return perform_dive(
        DiveTask(number, apparatus, build, Execution(splash=0.5)),
        derive_sequence(number),
        rng,
    )


def scene_of(
    seed=0,
    apparatus="10m",
    hard=False,
    caption=None,
    motion=None,
    venue_seed=None,
    camera_seed=5,
):
    venue = draw_venue(
        VENUES[apparatus] if venue_seed is None else venue_seed, apparatus
    )
    look = draw_look(np.random.default_rng(seed), "women")
    motion = motion or motion_of(seed, apparatus)
    return scene.Scene(
        motion, look, venue, np.random.default_rng(seed), hard, camera_seed, caption
    )


def hard_scene():
    return scene_of(2, "3m", hard=True, caption=("A NAME", "ABC", "307C"))


@pytest.fixture(scope="module", params=["10m", "3m"])
def made(request):
    """A scene all of whose frames are painted, and its pictures (T, 256, 455, 3)."""
    one = scene_of(1, request.param)
    return one, np.stack([one.render_frame(k) for k in range(len(one))])


def test_shapes_and_types(made):
    one, pictures = made
    frames = one.motion.frames
    assert pictures.shape == (frames, 256, 455, 3)
    assert pictures.dtype == np.uint8
    assert one.keypoints.shape == (frames, 16, 2)
    assert one.depth.shape == one.visibility.shape == (frames, 16)
    assert one.camera.shape == (frames, 3, 4)
    assert one.boxes.shape == (frames, 4)


def test_keypoints_are_the_joints_through_the_camera(made):
    one, _ = made
    joints = np.concatenate([one.motion.joints, np.ones((len(one), 16, 1))], axis=-1)
    seen = joints @ np.swapaxes(one.camera, -1, -2)
    assert seen[..., :2] / seen[..., 2:] == pytest.approx(one.keypoints, abs=1e-6)
    assert seen[..., 2] == pytest.approx(one.depth)


def bare(one):
    """The same scene twice, of an athlete in magenta and in green, for what was painted
    shows as a difference."""
    looks = (replace(one.look, skin=colour, hair=colour, suit=colour, accent=colour)
             for colour in ((255, 0, 255), (0, 255, 0)))  # fmt: skip
    return [
        scene.Scene(
            one.motion, look, one.venue, np.random.default_rng(1), camera_seed=5
        )
        for look in looks
    ]


def test_the_athlete_is_painted_where_the_keypoints_are(made):
    """Visible joints lie on the athlete's own pixels, and their box is what those
    pixels fill."""
    one, _ = made
    first, second = bare(one)
    boxes, visibility = first.boxes, first.visibility
    hits, gaps = [], []
    for k in range(first.motion.takeoff + 3, first.motion.touch - 1, 5):
        change = np.abs(first.render_frame(k).astype(int) - second.render_frame(k)).max(
            axis=2
        )
        visible = visibility[k] == Visibility.VISIBLE
        columns, rows = np.round(first.keypoints[k, visible]).astype(int).T
        hits += (change[rows, columns] > 40).tolist()
        rows, columns = np.nonzero(change > 25)
        gaps.append(
            np.abs(
                boxes[k] - (columns.min(), rows.min(), columns.max(), rows.max())
            ).max()
        )
    assert np.mean(hits) > 0.93
    assert np.median(gaps) <= 3
    assert max(gaps) < 14


def test_boxes_hold_the_visible_joints_and_end_at_the_water(made):
    one, _ = made
    boxes, visible = one.boxes, one.visibility == Visibility.VISIBLE
    for k in np.flatnonzero(np.isfinite(boxes).all(axis=1)):
        points = one.keypoints[k, visible[k]]
        assert (points >= boxes[k, :2] - 3).all()
        assert (points <= boxes[k, 2:] + 3).all()
    surface = one.motion.points[4 * np.arange(len(one)), 6] * (1, 0, 1)
    water, _ = one.views.project(surface[:, None])
    late = np.arange(one.motion.touch, one.motion.gone)
    assert (boxes[late, 3] <= water[late, 0, 1] + 1).all()


def test_under_water_there_is_no_box_and_no_joint(made):
    one, _ = made
    gone = one.motion.gone + 2
    assert gone < len(one)
    assert np.isnan(one.boxes[gone:]).all()
    assert (one.visibility[gone:] == Visibility.MISSING).all()


def test_before_the_touch_every_joint_is_there(made):
    one, _ = made
    assert (one.visibility[: one.motion.touch] > Visibility.MISSING).all()


def test_some_joints_are_behind_the_body_and_most_are_not(made):
    one, _ = made
    seen = one.visibility[: one.motion.touch]
    assert 0.05 < (seen == Visibility.OCCLUDED).mean() < 0.6


@pytest.mark.parametrize("apparatus", ["3m", "10m"])
def test_the_athlete_stays_inside_the_picture_in_every_normal_dive(apparatus):
    for seed in range(15):
        one = scene_of(seed, apparatus, venue_seed=100 + seed, camera_seed=seed)
        above = one.motion.joints[..., 1] > 0
        assert (one.keypoints[above] > 3).all(), seed
        assert (one.keypoints[above] < np.array(scene.SIZE) - 4).all(), seed
        scale = one.views.focal / one.depth[:, INDEX["pelvis"]]
        flying = slice(one.motion.takeoff, one.motion.touch)
        assert 40 < scale[flying].min() < scale[flying].max() < 115, seed


def test_the_same_arguments_give_the_same_bytes_in_any_order(made):
    one, pictures = made
    again = scene_of(1, one.venue.apparatus)
    for k in (len(one) - 1, 3, one.motion.touch + 2, one.motion.takeoff):
        assert np.array_equal(again.render_frame(k), pictures[k])
    assert np.array_equal(again.boxes, one.boxes, equal_nan=True)
    assert np.array_equal(again.visibility, one.visibility)


def test_another_process_gives_the_same_bytes():
    code = (
        "import sys, hashlib; sys.path.insert(0, sys.argv[1]); import test_scene;"
        "print(hashlib.sha256(test_scene.hard_scene().render_frame(30).tobytes()).hexdigest())"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    there = subprocess.run(
        command, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert there == hashlib.sha256(hard_scene().render_frame(30).tobytes()).hexdigest()


def test_the_splash_is_seen_in_the_pictures_and_nowhere_else():
    motion = motion_of(4, "3m")
    scenes = [
        scene_of(
            4,
            "3m",
            motion=replace(motion, execution=replace(motion.execution, splash=size)),
        )
        for size in (0.0, 0.4, 1.0)
    ]
    first = scenes[0]
    for other in scenes[1:]:
        assert np.array_equal(first.keypoints, other.keypoints)
        assert np.array_equal(first.camera, other.camera)
        assert np.array_equal(first.boxes, other.boxes, equal_nan=True)
        assert np.array_equal(first.visibility, other.visibility)
    before = motion.touch - 1
    assert np.array_equal(first.render_frame(before), scenes[2].render_frame(before))
    white = [
        (one.render_frame(motion.touch + 8).min(axis=2) > 190).sum() for one in scenes
    ]
    assert white[0] < white[1] < white[2]


def test_another_venue_gives_another_picture():
    pictures = [
        scene_of(0, venue_seed=seed, camera_seed=seed).render_frame(5).astype(int)
        for seed in (21, 22)
    ]
    assert np.abs(pictures[0] - pictures[1]).mean() > 15


def test_the_background_streaks_when_the_camera_turns(made):
    """It tilts down: what changes from row to row is smeared, what changes along a row
    is not."""
    one, pictures = made
    down, along = (
        np.abs(np.diff(pictures[:, :200].astype(int), axis=axis)).mean(axis=(1, 2, 3))
        for axis in (1, 2)
    )
    fast, slow = (
        slice(one.motion.touch - 6, one.motion.touch - 1),
        slice(0, one.motion.takeoff),
    )
    assert (down / along)[fast].mean() < 0.8 * (down / along)[slow].mean()


def test_a_hard_scene_differs_and_says_what_is_hidden():
    motion = motion_of(1, "3m")
    scenes = [scene_of(seed, "3m", hard=True, motion=motion) for seed in range(8)]
    easy = scene_of(0, "3m", motion=motion)
    assert all(
        np.ptp(hard.views.focal) > 1.5 * np.ptp(easy.views.focal) for hard in scenes
    )
    frames = range(motion.takeoff, motion.touch, 4)
    changed = [
        np.abs(hard.render_frame(k).astype(int) - easy.render_frame(k)).mean()
        for hard in scenes[:2]
        for k in frames
    ]
    assert min(changed) > 5
    hidden = [_behind_something(hard, frames) for hard in scenes]
    assert max(hidden) > 0
    assert min(hidden) == 0  # some hard scenes have nothing in the way


def _behind_something(one, frames):
    """How many of the athlete's joints an obstacle hides in some frames."""
    if one.obstacle is None:
        return 0
    masks = [
        look_up_mask(one.obstacle.make_mask(one.views[k]), one.keypoints[k]) > 127
        for k in frames
    ]
    return sum(int(mask.sum()) for mask in masks)


def test_light_flickers_in_hard_scenes_only():
    brightness = {
        hard: [
            scene_of(3, "3m", hard=hard, venue_seed=12).render_frame(k)[:40].mean()
            for k in range(6)
        ]
        for hard in (False, True)
    }
    assert (
        np.abs(np.diff(brightness[True])).mean()
        > 3 * np.abs(np.diff(brightness[False])).mean()
    )


def test_some_dives_have_a_banner_and_hide_what_it_covers():
    with_banner = [
        not np.array_equal(
            scene_of(seed, "3m", caption=("A NAME", "ABC", "101B")).render_frame(0)[
                215:
            ],
            scene_of(seed, "3m").render_frame(0)[215:],
        )
        for seed in range(8)
    ]
    assert 0 < sum(with_banner) < 8


def test_a_frame_is_painted_fast(made):
    """Far slower than measured on an idle core, so that it fails for a change of order,
    not for a busy machine."""
    one, _ = made
    start = time.process_time()
    for k in range(0, len(one), 8):
        one.render_frame(k)
    assert (time.process_time() - start) / len(range(0, len(one), 8)) < 0.060


def test_who_else_is_in_the_picture_is_known():
    one = hard_scene()
    first, second = one.get_others(30), one.get_others(31)
    assert first.shape[1] == 5
    assert len(first) > 3
    assert (first[:, 1:] >= 0).all()
    assert (first[:, 3:] <= (455, 256)).all()
    assert (first[:, 3:] - first[:, 1:3] >= 8).all()
    assert len(np.unique(first[:, 0])) == len(first)
    both = np.intersect1d(first[:, 0], second[:, 0])
    moved = [
        np.abs(first[first[:, 0] == n] - second[second[:, 0] == n])[0, 1:].max()
        for n in both
    ]
    assert np.median(moved) < 30  # the same people, a frame later
