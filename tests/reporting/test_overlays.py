"""What is drawn, where, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest

from finediving_pose.media import VideoFile, write_video
from finediving_pose.records import BoxState, BoxTrack, JointState, SkeletonSequence
from finediving_pose.reporting.overlays import (
    BOX_COLOURS,
    add_caption,
    choose_enlargement,
    draw_clip,
    draw_people,
    draw_skeleton,
    shorten_text,
)
from finediving_pose.skeleton import COLOURS, INDEX

GREY = 90
NOWHERE = np.full((16, 2), np.nan)


def picture(width=200, height=140):
    return np.full((height, width, 3), GREY, np.uint8)


def one_joint(joint, x, y):
    keypoints = NOWHERE.copy()
    keypoints[joint] = x, y
    return keypoints


def rgb(image, x, y):
    return tuple(int(value) for value in image[y, x, ::-1])


def sequence(
    frames, keypoints=None, box=(50, 40, 90, 110), state=BoxState.DETECTED, numbers=None
):
    points = np.stack([NOWHERE if keypoints is None else keypoints] * frames).astype(
        np.float32
    )
    return SkeletonSequence(
        points,
        np.full((frames, 16), 0.5, np.float32),
        np.full((frames, 16), JointState.OBSERVED, np.uint8),
        BoxTrack(
            np.array([box] * frames, np.float32),
            np.full(frames, 0.87),
            np.full(frames, state, np.uint8),
        ),
        np.array(range(frames) if numbers is None else numbers),
    )


@pytest.mark.parametrize(
    ("height", "factor"), [(256, 2), (96, 4), (140, 4), (576, 1), (1080, 1), (40, 4)]
)
def test_small_pictures_are_enlarged(height, factor):
    assert choose_enlargement(height) == factor
    assert draw_skeleton(picture(200, height), NOWHERE).shape == (
        height * factor,
        200 * factor,
        3,
    )


@pytest.mark.parametrize("joint", ["right_knee", "left_wrist", "pelvis"])
@pytest.mark.parametrize("scale", [1, 3])
def test_a_joint_has_the_colour_of_its_side_in_its_place(joint, scale):
    image = draw_skeleton(picture(), one_joint(INDEX[joint], 60, 50), scale=scale)
    centre = round((60.5) * scale - 0.5), round((50.5) * scale - 0.5)
    assert rgb(image, *centre) == COLOURS[INDEX[joint]]
    changed = np.argwhere((image != GREY).any(axis=2))
    assert (
        np.abs(changed.mean(axis=0)[::-1] - ((60.5 * scale) - 0.5)).max() <= 10 * scale
    )


def test_an_interpolated_joint_is_hollow():
    state = np.full(16, JointState.INTERPOLATED, np.uint8)
    image = draw_skeleton(picture(), one_joint(9, 60, 50), state, scale=4)
    full = draw_skeleton(picture(), one_joint(9, 60, 50), scale=4)
    assert np.abs(np.array(rgb(image, 242, 202)) - GREY).max() < 20
    assert np.abs(np.array(rgb(full, 242, 202)) - GREY).max() > 60
    assert (image != GREY).any()


def test_nothing_is_drawn_for_what_is_missing():
    image = draw_skeleton(
        picture(),
        NOWHERE,
        np.zeros(16, np.uint8),
        np.full(4, np.nan),
        BoxState.MISSING,
        scale=1,
    )
    assert (image == GREY).all()
    half = one_joint(3, 60, np.nan)
    assert (draw_skeleton(picture(), half, scale=1) == GREY).all()


def test_the_picture_itself_is_left_alone():
    original = picture()
    draw_skeleton(
        original, one_joint(3, 60, 50), box=np.array([10, 10, 50, 90]), scale=1
    )
    assert (original == GREY).all()


def test_limbs_join_known_joints_only():
    keypoints = one_joint(INDEX["right_hip"], 40, 40)
    keypoints[INDEX["right_knee"]] = 120, 40
    image = draw_skeleton(picture(), keypoints, scale=1)
    assert rgb(image, 80, 40) == COLOURS[INDEX["right_hip"]]
    keypoints[INDEX["right_knee"]] = np.nan
    assert rgb(draw_skeleton(picture(), keypoints, scale=1), 80, 40) == (GREY,) * 3


def test_a_filled_box_is_dashed():
    box = np.array([20, 20, 180, 120])
    drawn = {
        state: (
            draw_skeleton(picture(), NOWHERE, box=box, box_state=state, scale=1)[
                20, 20:180
            ]
            != GREY
        ).any(axis=1)
        for state in (BoxState.DETECTED, BoxState.FILLED)
    }
    assert drawn[BoxState.DETECTED].all()
    assert 0.3 < drawn[BoxState.FILLED].mean() < 0.9


def test_two_divers_have_boxes_of_two_colours():
    people = [sequence(3), sequence(3, box=(110, 40, 150, 110))]
    image = draw_people(picture(), people, 1, scale=1)
    assert np.allclose(
        rgb(image, 50, 70), BOX_COLOURS[0], atol=30
    )  # lines are smoothed
    assert np.allclose(rgb(image, 110, 70), BOX_COLOURS[1], atol=30)


def test_joints_outside_the_picture_do_no_harm():
    keypoints = one_joint(0, -50, 1e9)
    keypoints[1] = 30, 30
    draw_skeleton(picture(), keypoints, box=np.array([-1e9, -5, 1e9, 400]))


def test_the_caption_adds_a_strip_and_keeps_the_picture():
    image = picture()
    captioned = add_caption(image, "Women 10 m/3   frame 12 — é 跳", "box 0.87")
    assert captioned.shape[1] == image.shape[1]
    strip = captioned[: captioned.shape[0] - image.shape[0]]
    assert np.array_equal(captioned[len(strip) :], image)
    assert strip.max() > 150  # letters on the dark


def test_a_long_caption_leaves_room_for_the_note():
    notes = [
        add_caption(picture(), text, "box 0.87")[:20, -50:]
        for text in ("short", "a very long title " * 20)
    ]
    assert np.array_equal(*notes)


def test_a_clip_shows_each_frame_that_has_a_row():
    frames = ((number, picture()) for number in range(10, 16))
    shown = list(draw_clip(frames, [sequence(4, numbers=[10, 12, 12, 15])], "m/d"))
    assert len(shown) == 3
    assert all(image.shape == shown[0].shape for image in shown)


def test_an_overlay_video_has_a_frame_for_each_picture(tmp_path):
    frames = ((number, picture(201, 141)) for number in range(10, 16))
    pictures = list(draw_clip(frames, [sequence(3, numbers=[10, 12, 15])], "m/d"))
    assert write_video(tmp_path / "d.mp4", pictures, 25) == 3
    read = [frame.image for frame in VideoFile(tmp_path / "d.mp4").read()]
    assert len(read) == 3
    height, width = pictures[0].shape[:2]
    assert all(
        np.abs(a[:height, :width].astype(int) - b).mean() < 12
        for a, b in zip(read, pictures, strict=True)
    )


@pytest.mark.parametrize(
    ("room", "kept"), [(7, "shorter"), (5, "shor…"), (2, "s…"), (1, "…"), (0, "…")]
)
def test_a_caption_is_cut_to_what_fits(room, kept):
    tries = []
    assert (
        shorten_text("shorter", lambda text: tries.append(text) or len(text) <= room)
        == kept
    )
    assert len(tries) <= 5
