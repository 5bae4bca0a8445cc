import numpy as np
import pytest
from helpers.moving_blobs import draw

from finediving_pose import media, video_index
from finediving_pose.media import VideoFile, write_video
from finediving_pose.video_index import VideoIndex, read_index

FRAMES = 90


@pytest.fixture(params=["a.mp4", "a.avi"])
def recording(request, tmp_path):
    path = tmp_path / request.param
    write_video(path, (draw(number) for number in range(FRAMES)), 25)
    return path


def counted(monkeypatch, source, *read):
    with monkeypatch.context() as patch:
        patch.setattr(media, "read_index", lambda path: None)
        return list(source.read(*read))


def grabs(monkeypatch, source, *read):
    """How many frames were decoded one by one."""
    taken = []
    real = media._cv2().VideoCapture

    class Counting:
        def __init__(self, *arguments):
            self.capture = real(*arguments)

        def grab(self):
            taken.append(1)
            return self.capture.grab()

        def __getattr__(self, name):
            return getattr(self.capture, name)

    with monkeypatch.context() as patch:
        patch.setattr(media._cv2(), "VideoCapture", Counting)
        list(source.read(*read))
    return len(taken)


def test_the_index_numbers_all_frames_in_order_of_showing(recording):
    index = read_index(recording)
    assert sorted(index.numbers.values()) == list(range(FRAMES))
    assert [index.numbers[time] for time in sorted(index.numbers)] == list(
        range(FRAMES)
    )
    assert index.keys[0] == 0
    assert len(index.keys) > 1


@pytest.mark.parametrize("start", [1, 11, 12, 13, 47, 80, 89])
def test_a_part_that_is_sought_has_the_frames_that_counting_gives(
    monkeypatch, recording, start
):
    end = min(start + 5, FRAMES - 1)
    source = VideoFile(recording, start, end)
    sought, one_by_one = list(source.read()), counted(monkeypatch, source)
    assert (
        [frame.number for frame in sought]
        == [frame.number for frame in one_by_one]
        == list(range(start, end + 1))
    )
    for a, b in zip(sought, one_by_one, strict=True):
        assert np.array_equal(a.image, b.image)
    assert source.count == end - start + 1
    assert source.faults == []


def test_what_comes_before_the_part_is_not_decoded_one_by_one(monkeypatch, recording):
    read_index(recording)  # its packets are grabbed as well
    assert grabs(monkeypatch, VideoFile(recording, 80, 84)) <= 5
    assert grabs(monkeypatch, VideoFile(recording), {80, 84}, False) <= 5


def test_where_a_jump_goes_astray_frames_are_counted(monkeypatch, recording):
    shifted = {
        time: number + 30 for time, number in read_index(recording).numbers.items()
    }
    monkeypatch.setattr(media, "read_index", lambda path: VideoIndex(shifted, [0, 60]))
    assert [frame.number for frame in VideoFile(recording, 70, 72).read()] == [
        70,
        71,
        72,
    ]
    assert np.array_equal(
        next(VideoFile(recording, 70, 72).read()).image,
        counted(monkeypatch, VideoFile(recording, 70, 72))[0].image,
    )


def test_frames_without_times_of_their_own_are_counted(tmp_path):
    path = tmp_path / "cut.avi"
    write_video(path, (draw(number) for number in range(FRAMES)), 25)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert read_index(path) is None
    assert read_index(tmp_path / "absent.avi") is None


def test_a_file_that_changes_is_read_again(recording):
    before = read_index(recording)
    assert read_index(recording) is before
    write_video(recording, (draw(number) for number in range(FRAMES // 2)), 25)
    assert len(read_index(recording).numbers) == FRAMES // 2


def test_real_videos(monkeypatch, shared_data):
    path = shared_data / "videos" / "test.mp4"
    assert video_index.read_index(path).worth_seeking(240)
    source = VideoFile(path, 236, 240)
    for a, b in zip(source.read(), counted(monkeypatch, source), strict=True):
        assert a.number == b.number
        assert np.array_equal(a.image, b.image)
