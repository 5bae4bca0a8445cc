"""From clips to frames: each sampled frame once, and the samples where what decodes
says, not the container."""

from __future__ import annotations

from itertools import chain

import pytest
from helpers.moving_blobs import write_clip

from finediving_pose.extraction.loading import (
    ClipEnd,
    LoadedFrame,
    Task,
    event_bytes,
    load_clips,
)
from finediving_pose.media import VideoFile
from finediving_pose.records import Clip


def events(task, samples):
    found = list(chain.from_iterable(load_clips([task], samples)))
    (end,) = (event for event in found if isinstance(event, ClipEnd))
    assert found[-1] is end
    return [event.position for event in found if isinstance(event, LoadedFrame)], end


def test_only_the_sampled_frames_are_given_each_once(tmp_path):
    task = Task(Clip("m", "d", write_clip(tmp_path / "v.avi", 30)), "v.avi")
    given, end = events(task, 4)
    assert given == [0, 9, 19, 29]
    assert (end.positions, end.count, end.size, end.fps) == (
        [0, 9, 19, 29],
        30,
        (160, 96),
        25,
    )
    given, end = events(task, 90)
    assert given == list(range(30))
    assert end.positions == [i * 29 // 89 for i in range(90)]


def test_numbers_are_those_of_the_source(tmp_path):
    folder = Task(Clip("m", "d", write_clip(tmp_path / "3", 5, first=100)), "3")
    assert events(folder, None)[1].numbers == {i: 100 + i for i in range(5)}
    part = Task(Clip("m", "d", write_clip(tmp_path / "v.avi", 30), 10, 14), "v.avi")
    assert events(part, None)[1].numbers == {i: 10 + i for i in range(5)}


@pytest.mark.parametrize("declared", [None, 12, 60])
def test_samples_follow_what_decodes(tmp_path, monkeypatch, declared):
    real = VideoFile.__init__

    def lying(self, *arguments):
        real(self, *arguments)
        self.count = declared

    monkeypatch.setattr(VideoFile, "__init__", lying)
    given, end = events(
        Task(Clip("m", "d", write_clip(tmp_path / "v.avi", 31)), "v.avi"), 4
    )
    assert (end.positions, end.count) == ([0, 10, 20, 30], 31)
    assert set(end.positions) <= set(given)
    assert len(given) == len(set(given))
    assert bool(end.warnings) == (declared == 60)


def test_a_part_beyond_the_recording_fails_with_the_reason(tmp_path):
    clip = Clip("m", "d", write_clip(tmp_path / "v.avi", 30), 40, 50)
    given, end = events(Task(clip, "v.avi"), 96)
    assert given == []
    assert end.error is not None
    assert "0 frames decode where 11 were expected" in end.error


def test_an_image_that_cannot_be_read_leaves_its_place_empty(tmp_path):
    folder = write_clip(tmp_path / "d", 6)
    (folder / "2.png").write_bytes(b"broken")
    given, end = events(Task(Clip("m", "d", folder), "d"), None)
    assert given == [0, 1, 3, 4, 5]
    assert end.positions == [0, 1, 2, 3, 4, 5]
    assert end.warnings[0].startswith("2.png: not readable as an image")


def test_clips_follow_one_another_and_a_bad_one_is_only_itself(tmp_path):
    good = Clip("m", "d", write_clip(tmp_path / "d", 2))
    gone = Clip("m", "gone", tmp_path / "gone.avi")
    found = list(
        chain.from_iterable(load_clips([Task(gone, "gone"), Task(good, "d")], None))
    )
    assert [event.serial for event in found] == [0, 1, 1, 1]
    assert isinstance(found[0], ClipEnd)
    assert "no such file" in (found[0].error or "")


def test_clips_are_opened_when_their_turn_comes(tmp_path):
    asked = []

    def tasks():
        for name in ("a", "b"):
            asked.append(name)
            yield Task(Clip("m", name, write_clip(tmp_path / name, 2)), name)

    stream = load_clips(tasks(), None)
    first = next(next(stream))
    assert asked == ["a"]
    assert event_bytes(first) == 160 * 96 * 3
    assert [event.serial for event in next(stream)] == [1, 1, 1]


def detected(source, samples, every):
    found = chain.from_iterable(
        load_clips(
            [Task(Clip("m", "d", source), "d")], samples, every, lambda image: "seen"
        )
    )
    return [
        event.position
        for event in found
        if isinstance(event, LoadedFrame) and event.prepared == "seen"
    ]


def test_the_detector_sees_every_nth_sample_and_the_last(tmp_path):
    source = write_clip(tmp_path / "v.avi", 31)
    assert detected(source, None, 1) == list(range(31))
    assert detected(source, None, 4) == [0, 4, 8, 12, 16, 20, 24, 28, 30]
    assert detected(source, 11, 4) == [0, 12, 24, 30]
    assert detected(source, 11, 99) == [0, 30]


def test_what_the_detector_takes_is_made_ahead_and_counts_as_memory(tmp_path):
    task = Task(Clip("m", "d", write_clip(tmp_path / "d", 2)), "d")
    (first, *_) = next(
        load_clips([task], None, prepare=lambda image: image[::2, ::2].copy())
    )
    assert first.prepared.shape == (48, 80, 3)
    assert event_bytes(first) == 160 * 96 * 3 + 80 * 48 * 3


def test_a_picture_that_cannot_be_prepared_fails_its_clip(tmp_path):
    def prepare(image):
        raise ValueError("too small")

    (end,) = next(
        load_clips(
            [Task(Clip("m", "d", write_clip(tmp_path / "d", 2)), "d")],
            None,
            prepare=prepare,
        )
    )
    assert end.error == "frame 0 cannot be prepared: ValueError: too small"
