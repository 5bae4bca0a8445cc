"""Frames in and out: what decodes is the truth, numbers come from names, nothing half
is written."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from helpers.moving_blobs import SIZE, draw, write_clip
from PIL import Image

from finediving_pose.errors import DataError
from finediving_pose.media import (
    FrameFolder,
    VideoFile,
    list_numbered_images,
    open_frames,
    read_image,
    sample_indices,
    write_jpeg,
    write_video,
)
from finediving_pose.records import Clip


def numbers(source, wanted=None, to_end=True):
    return [frame.number for frame in source.read(wanted, to_end)]


def test_sampling_is_finedivings():
    assert sample_indices(96) == list(range(96))
    assert sample_indices(273)[:4] == [0, 2, 5, 8]  # i·272//95
    assert sample_indices(273)[-1] == 272
    assert sample_indices(63)[:5] == [0, 0, 1, 1, 2]
    assert sample_indices(1) == [0] * 96
    assert sample_indices(0) == []
    assert sample_indices(5, None) == [0, 1, 2, 3, 4]
    assert sample_indices(5, 1) == [0]


@pytest.mark.parametrize("name", ["a.avi", "a.mp4", "höhe 跳水.mp4", "odd%02d.avi"])
def test_video_frames_are_counted_and_numbered(tmp_path, name):
    source = VideoFile(write_clip(tmp_path / name, 12))
    assert source.count == 12
    frames = list(source.read())
    assert [(frame.position, frame.number) for frame in frames] == [
        (i, i) for i in range(12)
    ]
    assert all(np.abs(f.image.astype(int) - draw(f.number)).mean() < 6 for f in frames)
    assert source.faults == []


def test_part_of_a_video_is_numbered_as_in_the_recording(tmp_path):
    clip = Clip("m", "d", write_clip(tmp_path / "long.avi", 30), 10, 19)
    source = open_frames(clip)
    assert source.count == 10
    assert numbers(source, {0, 3, 9}) == [10, 13, 19]
    assert source.number(3) == 13
    assert np.abs(next(source.read({3})).image.astype(int) - draw(13)).mean() < 6


def test_a_part_beyond_the_end_is_said(tmp_path):
    source = VideoFile(write_clip(tmp_path / "short.avi", 30), 20, 49)
    assert numbers(source) == list(range(20, 30))
    assert "10 frames decode where 30 were expected" in source.faults[0]


def test_a_second_look_stops_early_and_leaves_the_count(tmp_path):
    source = VideoFile(write_clip(tmp_path / "a.avi", 30))
    list(source.read({0}))
    assert numbers(source, {1, 2}, to_end=False) == [1, 2]
    assert source.count == 30


def test_truncated_video_gives_what_decodes_and_says_so(tmp_path):
    whole = write_clip(tmp_path / "whole.avi", 40).read_bytes()
    path = tmp_path / "cut.avi"
    path.write_bytes(whole[: len(whole) // 2])
    source = VideoFile(path)
    assert source.count == 40
    decoded = numbers(source)
    assert decoded == list(range(len(decoded)))
    assert 10 < len(decoded) < 30
    assert source.count == len(decoded)
    assert "cut short" in source.faults[0]


@pytest.mark.parametrize("content", [b"", b"no video " * 100])
def test_unreadable_video_is_refused(tmp_path, content):
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=rf"bad\.mp4: not readable as a video \({len(content)} bytes;"
    ):
        VideoFile(path)


def test_an_absent_video_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        VideoFile(tmp_path / "gone.mp4")


def test_variable_frame_rate_counts_frames_not_time(tmp_path):
    path = tmp_path / "vfr.gif"
    pictures = [Image.fromarray(draw(i)[..., ::-1]) for i in range(12)]
    durations = [20, 20, 500, 20, 20, 700, 20, 20, 20, 300, 20, 20]
    pictures[0].save(
        path, save_all=True, append_images=pictures[1:], duration=durations, loop=0
    )
    source = VideoFile(path)
    frames = list(source.read())
    assert [frame.number for frame in frames] == list(range(12))
    assert source.count == 12
    for frame in frames:
        assert np.abs(frame.image.astype(int) - draw(frame.number)).mean() < 6


def test_folders_are_sorted_by_number(tmp_path):
    folder = write_clip(
        tmp_path / "7", 12, first=99995
    )  # FineDiving has 5 and 6 digits in one dive
    assert [number for number, _ in list_numbered_images(folder)] == list(
        range(99995, 100007)
    )
    source = FrameFolder(folder, 99998, 100001)
    assert (source.count, numbers(source)) == (4, [99998, 99999, 100000, 100001])
    assert source.number(3) == 100001
    assert np.array_equal(next(source.read({2})).image, draw(100000))


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["finediv00010.png", "finediv00009.png"], [9, 10]),
        (["dive3_2.png", "dive3_10.png"], [2, 10]),
        (["b.png", "a.png"], [0, 1]),
        (["x10.png", "x9.png", "cover.png"], [0, 1, 2]),
        (["1.png", "1.jpg"], [1]),
    ],
)
def test_numbers_come_from_names_where_they_can(tmp_path, names, order):
    for name in names:
        write_jpeg(tmp_path / name, draw(0)) if name.endswith("jpg") else cv2.imwrite(
            str(tmp_path / name), draw(0)
        )
    (tmp_path / ".hidden9.png").write_bytes(b"")
    (tmp_path / "5.txt").write_bytes(b"")
    assert [number for number, _ in list_numbered_images(tmp_path)] == order


def test_natural_order_where_names_have_no_numbers(tmp_path):
    for name in ("x10.png", "x9.png", "cover.png"):
        cv2.imwrite(str(tmp_path / name), draw(0))
    assert [path.name for _, path in list_numbered_images(tmp_path)] == [
        "cover.png",
        "x9.png",
        "x10.png",
    ]


def test_a_bad_image_costs_its_own_frame(tmp_path):
    folder = write_clip(tmp_path / "d", 6)
    (folder / "2.png").write_bytes(b"\x89PNG broken")
    cv2.imwrite(str(folder / "4.png"), draw(4, size=(50, 40)))
    source = FrameFolder(folder)
    assert numbers(source) == [0, 1, 3, 4, 5]
    assert source.count == 6
    assert source.faults[0].startswith("2.png: not readable as an image (11 bytes)")
    assert (
        source.faults[1]
        == f"4.png: 50×40 px where the first image has {SIZE[0]}×{SIZE[1]}"
    )


def test_an_empty_folder_or_part_is_refused(tmp_path):
    with pytest.raises(DataError, match="no image"):
        FrameFolder(tmp_path)
    with pytest.raises(DataError, match="no image has a number from 50 to 60"):
        FrameFolder(write_clip(tmp_path / "d", 6), 50, 60)


def test_images_with_any_name_grey_or_with_alpha_are_bgr(tmp_path):
    path = tmp_path / "höhe 跳.png"
    cv2.imencode(".png", np.full((5, 7), 9, np.uint8))[1].tofile(path)
    assert read_image(path).shape == (5, 7, 3)
    cv2.imencode(".png", np.full((5, 7, 4), 9, np.uint8))[1].tofile(path)
    assert read_image(path).shape == (5, 7, 3)
    with pytest.raises(DataError, match=r"gone\.png: cannot be read: No such file"):
        read_image(tmp_path / "gone.png")


def test_videos_of_odd_size_are_padded(tmp_path):
    path = tmp_path / "new" / "o.mp4"
    assert write_video(path, (draw(i, size=(101, 57)) for i in range(5)), 25) == 5
    frames = list(VideoFile(path).read())
    assert len(frames) == 5
    assert frames[0].image.shape == (58, 102, 3)


def test_a_video_is_written_whole_or_not_at_all(tmp_path):
    def failing():
        yield draw(0)
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        write_video(tmp_path / "o.mp4", failing(), 25)
    with pytest.raises(ValueError, match="no image"):
        write_video(tmp_path / "o.mp4", [], 25)
    assert list(tmp_path.iterdir()) == []


def test_jpeg_round_trip(tmp_path):
    write_jpeg(tmp_path / "a.jpg", draw(3))
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - draw(3)).mean() < 3


@pytest.mark.parametrize(
    "name", ["vtest.avi", "v_BreastStroke_g01_c01.avi", "demo.mp4"]
)
def test_real_videos(shared_data, name):
    source = VideoFile(shared_data / "videos" / name)
    declared = source.count
    frames = list(source.read(set(sample_indices(declared))))
    assert source.count == declared
    assert [frame.number for frame in frames] == sorted(set(sample_indices(declared)))


def test_an_mp4_whose_index_is_cut_off_is_refused(tmp_path):
    whole = write_clip(tmp_path / "whole.mp4", 40).read_bytes()
    assert numbers(VideoFile(tmp_path / "whole.mp4")) == list(range(40))
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(
        DataError,
        match=r"cut\.mp4: not readable as a video .*cut short, or of another kind",
    ):
        VideoFile(tmp_path / "cut.mp4")


def test_an_mp4_whose_last_frames_are_overwritten_says_so(tmp_path):
    path = write_clip(tmp_path / "damaged.mp4", 40)
    content = bytearray(path.read_bytes())
    start, end = content.index(b"mdat"), content.index(b"moov")
    middle = (start + end) // 2
    content[middle : end - 4] = bytes(end - 4 - middle)
    path.write_bytes(bytes(content))
    source = VideoFile(path)
    decoded = numbers(source)
    assert decoded == list(range(len(decoded)))
    assert 5 < len(decoded) <= 40
    assert source.count == len(decoded)
    assert bool(source.faults) == (len(decoded) < 40)


def test_time_stamps_in_names_are_no_frame_numbers(tmp_path):
    for i, stamp in enumerate((1700000000999, 1700000001040, 17000000010800000000000)):
        cv2.imwrite(str(tmp_path / f"cam_{stamp}.png"), draw(i))
    assert [number for number, _ in list_numbered_images(tmp_path)] == [0, 1, 2]
    assert [frame.number for frame in FrameFolder(tmp_path, 1, 2).read()] == [1, 2]
