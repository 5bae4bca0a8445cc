"""Pictures: the affine map by hand and on drawn dots, sampling, repeated and damaged
frames, the window, the cache."""

from __future__ import annotations

import os

import numpy as np
import pytest
from helpers.made_frames import (
    DOT,
    HEIGHT,
    START,
    WIDTH,
    numbers_seen,
    picture,
    where_white,
    write_frames,
)

from finediving_pose.aqa.data import video_frames
from finediving_pose.aqa.data.video_frames import FrameReader, Geometry, find_nearest
from finediving_pose.errors import DataError
from finediving_pose.media import sample_indices, write_video
from finediving_pose.records import Clip


def clip(folder, start=None, end=None) -> Clip:
    return Clip("Made", "1", folder, start, end)


@pytest.fixture
def dive(tmp_path):
    """A clip of 120 frames, and its folder."""
    return clip(write_frames(tmp_path / "frames" / "1", range(START, START + 120)))


def test_finedivings_frames_keep_their_aspect():
    geometry = Geometry()
    assert geometry.get_scaled_size(455, 256) == (199, 112)
    assert geometry.find_centre_corner(455, 256) == (43, 0)
    # The middle of the frame, (227, 127.5), is the middle of 199 × 112, (99, 55.5);
    # less 43 px to the left.
    np.testing.assert_allclose(
        geometry.make_map(455, 256, (43, 0))(np.array([227.0, 127.5])), [56.0, 55.5]
    )
    # The left edge of the leftmost pixel stays on an edge.
    assert geometry.make_map(455, 256, (0, 0))(np.array([-0.5, -0.5])) == pytest.approx(
        [-0.5, -0.5]
    )


def test_the_released_code_squashes():
    geometry = Geometry("squash_released")
    assert geometry.get_scaled_size(455, 256) == (112, 200)
    assert geometry.find_centre_corner(455, 256) == (0, 44)
    np.testing.assert_allclose(
        geometry.make_map(455, 256, (0, 44))(np.array([227.0, 127.5])), [55.5, 55.5]
    )


@pytest.mark.parametrize("kind", ["keep_aspect", "squash_released"])
@pytest.mark.parametrize("size", [(455, 256), (640, 360), (100, 120), (60, 112)])
@pytest.mark.parametrize("random", [False, True])
def test_a_dot_lies_where_the_map_says(kind, size, random):
    geometry, dot = Geometry(kind), (size[0] // 2, size[1] // 2)
    corner = (
        geometry.draw_corner(*size, np.random.default_rng(5))
        if random
        else geometry.find_centre_corner(*size)
    )
    image = np.zeros((size[1], size[0], 3), np.uint8)
    image[dot[1] - 6 : dot[1] + 7, dot[0] - 6 : dot[0] + 7] = 255
    cropped = geometry.crop_images(geometry.scale_image(image)[None], corner)
    assert cropped.shape == (1, 112, 112, 3)
    where = geometry.make_map(*size, corner)(np.array(dot, np.float64))
    assert np.abs(where_white(cropped[0]) - where).max() < 0.2


def test_a_frame_that_is_too_narrow_lies_in_the_middle_of_black():
    geometry = Geometry(size=100)
    cropped = geometry.crop_images(
        np.full((1, 100, 40, 3), 255, np.uint8), geometry.find_centre_corner(40, 100)
    )
    assert [column.any() for column in cropped[0, :, :, 0].T] == [False] * 30 + [
        True
    ] * 40 + [False] * 30


def test_a_crop_anywhere_reaches_both_sides_and_never_beyond():
    geometry, rng = Geometry(), np.random.default_rng(0)
    corners = [geometry.draw_corner(455, 256, rng) for _ in range(2000)]
    assert {top for _, top in corners} == {0}
    assert {left for left, _ in corners} == set(range(199 - 112 + 1))


def test_nearest():
    numbers = np.array([10, 12, 20])
    assert find_nearest(
        numbers, np.array([0, 10, 11, 12, 15, 17, 20, 99])
    ).tolist() == [
        0,
        0,
        0,
        1,
        1,
        2,
        2,
        2,
    ]


def test_the_sampled_frames_in_rgb(dive):
    strip = FrameReader().read(dive)
    expected = [START + index for index in sample_indices(120)]
    assert strip.sampled.tolist() == expected
    assert strip.size == (WIDTH, HEIGHT)
    images = strip.images[strip.find_rows()]
    assert images.shape == (96, 112, round(WIDTH * 112 / HEIGHT), 3)
    assert images.dtype == np.uint8
    assert numbers_seen(images) == [number % 100 for number in expected]


def test_a_short_dive_repeats_frames_and_keeps_each_once(tmp_path):
    strip = FrameReader().read(
        clip(write_frames(tmp_path / "1", range(START, START + 30)))
    )
    assert len(strip.images) == 30
    assert strip.find_rows().tolist() == sample_indices(30)


def test_a_damaged_frame_is_replaced_by_the_nearest(dive, caplog):
    place = sample_indices(120)[40]
    (dive.source / f"{START + place:05d}.png").write_bytes(b"no picture")
    strip = FrameReader().read(dive)
    seen = numbers_seen(strip.images[strip.find_rows()])
    assert seen[40] in (seen[39], seen[41])
    assert f"{START + place:05d}.png: not readable as an image" in caplog.text


def test_a_dive_without_any_frame_is_named(dive, tmp_path):
    for path in dive.source.iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(
        DataError, match=r"Made/1: no frame of .* can be decoded; write it again"
    ):
        FrameReader().read(dive)
    good = Clip("Made", "2", write_frames(tmp_path / "2", range(5)))
    absent = Clip("Made", "3", tmp_path / "3")
    for reader in (FrameReader(), FrameReader(cache=tmp_path / "cache")):
        failed = reader.find_unreadable([dive, good, absent], threads=2)
        assert list(failed) == [("Made", "1"), ("Made", "3")]
        assert "no such f" in failed["Made", "3"]
        assert len(reader.read(good).images) == 5


def test_a_video_gives_the_frames_that_its_images_give(dive, tmp_path):
    write_video(tmp_path / "1.mp4", (picture(START + k) for k in range(120)), fps=25)
    video = FrameReader().read(clip(tmp_path / "1.mp4"))
    images = FrameReader().read(dive)
    assert video.numbers.tolist() == (images.numbers - START).tolist()
    assert video.size == (WIDTH + 1, HEIGHT + 1)  # videos have even sides
    shades = [
        np.array(numbers_seen(strip.images[strip.find_rows()]))
        for strip in (video, images)
    ]
    assert (
        np.abs(shades[0] - shades[1]).max() <= 8
    )  # lossy, and 120 frames differ by up to 100


def test_a_video_cut_short_is_sampled_over_what_decodes(tmp_path):
    write_video(tmp_path / "1.mp4", (picture(START + k) for k in range(50)), fps=25)
    strip = FrameReader().read(clip(tmp_path / "1.mp4", 20, 79))
    assert (strip.sampled[0], strip.sampled[-1]) == (20, 49)
    assert strip.sampled.tolist() == [20 + index for index in sample_indices(30)]


def test_a_video_that_declares_more_than_it_has_is_sampled_over_what_decodes(
    tmp_path, caplog
):
    import cv2

    path = tmp_path / "1.avi"
    writer = cv2.VideoWriter(
        str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (WIDTH + 1, HEIGHT + 1)
    )
    for number in range(100):
        writer.write(picture(number, size=(WIDTH + 1, HEIGHT + 1)))
    writer.release()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    strip = FrameReader().read(clip(path))
    decoded = strip.sampled[-1] + 1
    assert 30 < decoded < 60
    assert strip.sampled.tolist() == sample_indices(decoded)
    assert f"{decoded} frames decode where 100 were expected" in caplog.text


def test_the_window_moves_within_the_recording(tmp_path):
    recording = write_frames(tmp_path / "recording", range(60))
    reader = FrameReader(frames=40, margin=3)
    strip = reader.read(clip(recording, 10, 49))
    assert strip.sampled.tolist() == list(range(10, 50))
    for shift in (-3, 0, 3):
        assert numbers_seen(strip.images[strip.find_rows(shift)]) == list(
            range(10 + shift, 50 + shift)
        )
    at_the_start = reader.read(clip(recording, 1, 40))
    assert numbers_seen(at_the_start.images[at_the_start.find_rows(-3)])[:5] == [
        0,
        0,
        0,
        1,
        2,
    ]


def test_the_cache_gives_the_same_without_decoding(dive, tmp_path, monkeypatch):
    decoded = FrameReader().read(dive)
    cached = FrameReader(cache=tmp_path / "cache")
    assert cached.find_unreadable([dive]) == {}
    monkeypatch.setattr(video_frames, "open_frames", None)
    for reader in (cached, FrameReader(cache=tmp_path / "cache")):
        strip = reader.read(dive)
        assert isinstance(strip.images, np.memmap)
        assert strip.size == decoded.size
        for one, other in zip(strip[:3], decoded[:3], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("change", ["images", "geometry", "frames", "window"])
def test_what_changed_is_decoded_anew(dive, tmp_path, change):
    cache = tmp_path / "cache"
    before = FrameReader(cache=cache).read(dive)
    reader, source = FrameReader(cache=cache), dive
    if change == "images":
        path = sorted(dive.source.iterdir())[0]
        os.utime(path, ns=(0, 0))
    elif change == "geometry":
        reader = FrameReader(Geometry("squash_released"), cache=cache)
    elif change == "frames":
        reader = FrameReader(frames=48, cache=cache)
    else:
        source = clip(dive.source, START + 1, START + 60)
    after = reader.read(source)
    assert len(list((cache / "Made").iterdir())) == 2
    if change == "images":
        np.testing.assert_array_equal(after.images, before.images)
    else:
        assert after.images.shape != before.images.shape


def test_a_damaged_cache_file_is_named(dive, tmp_path):
    FrameReader(cache=tmp_path).read(dive)
    (path,) = (tmp_path / "Made").iterdir()
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(
        DataError, match=f"{path.name}: not readable as decoded frames .* delete it"
    ):
        FrameReader(cache=tmp_path).read(dive)


def test_the_dot_of_the_drawn_dive(dive):
    strip = FrameReader().read(dive)
    geometry = Geometry()
    corner = geometry.find_centre_corner(*strip.size)
    where = geometry.make_map(*strip.size, corner)(np.array(DOT, np.float64))
    cropped = geometry.crop_images(strip.images, corner)
    assert np.abs(where_white(cropped[0]) - where).max() < 0.2
