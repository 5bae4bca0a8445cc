import numpy as np
import pytest
from helpers.moving_blobs import draw
from helpers.recordings import (
    HEIGHT,
    SPEED,
    WIDTH,
    draw_moment,
    weave_fields,
    write_recording,
)

from finediving_pose import video
from finediving_pose.errors import DataError, EnvironmentUnfit, UsageError
from finediving_pose.media import Reading, VideoFile, write_video
from finediving_pose.video import (
    VideoIndex,
    count_frames,
    decode_video,
    find_scan,
    read_audio,
    read_index,
    read_properties,
)

FRAMES = 90
FIELDS = {
    "top": ({"x264-params": "tff=1", "crf": "15"}, True),
    "bottom": ({"x264-params": "bff=1", "crf": "15"}, False),
    "unflagged": ({"crf": "15"}, True),
}


@pytest.fixture(params=["a.mp4", "a.avi"])
def recording(request, tmp_path):
    path = tmp_path / request.param
    write_video(path, (draw(number) for number in range(FRAMES)), 25)
    return path


def counted(monkeypatch, source, *read):
    with monkeypatch.context() as patch:
        patch.setattr(video, "read_index", lambda path: None)
        return list(source.read(*read))


def decodings(monkeypatch, source, *read):
    """How many frames were decoded."""
    taken = []
    real = video.decode_onwards

    def counting(*arguments):
        for frame in real(*arguments):
            taken.append(1)
            yield frame

    with monkeypatch.context() as patch:
        patch.setattr(video, "decode_onwards", counting)
        list(source.read(*read))
    return len(taken)


def error_to(image, moment):
    """Mean difference to what was there at a moment, where the bar's edges pass."""
    around = [draw_moment(moment + step).astype(int) for step in (-1, 0, 1)]
    edges = np.abs(around[0] - around[2]).max(axis=2) > 100
    return float(np.abs(image.astype(int) - around[1])[edges].mean())


def combing_of(image):
    """Mean difference of a line to those above and below it, where the bar moved."""
    front = WIDTH // 12 + 40 * SPEED + WIDTH // 10
    part = image[HEIGHT // 4 : HEIGHT // 3, front : front + SPEED]
    grey = part.astype(float).mean(axis=2)
    return float(np.abs(grey[1:-1] - (grey[:-2] + grey[2:]) / 2).mean())


def test_the_index_numbers_all_frames_in_order_of_showing(recording):
    index = read_index(recording)
    assert sorted(index.numbers.values()) == list(range(FRAMES))
    assert [index.numbers[stamp] for stamp in index.stamps] == list(range(FRAMES))
    assert index.keys[0] == 0
    assert len(index.keys) > 1


@pytest.mark.parametrize("start", [1, 11, 12, 13, 47, 80, 89])
def test_a_part_that_is_sought_has_the_frames_that_counting_gives(
    monkeypatch, recording, start
):
    end = min(start + 5, FRAMES - 1)
    source = VideoFile(recording, start, end)
    sought, one_by_one = list(source.read()), counted(monkeypatch, source)
    numbers = list(range(start, end + 1))
    assert [frame.number for frame in sought] == numbers
    assert [frame.number for frame in one_by_one] == numbers
    for a, b in zip(sought, one_by_one, strict=True):
        assert np.array_equal(a.image, b.image)
    assert source.count == end - start + 1
    assert source.faults == []


def test_what_comes_before_the_part_is_not_decoded(monkeypatch, recording):
    distance = 12  # between frames that decode alone, as the writer sets it
    assert decodings(monkeypatch, VideoFile(recording, 80, 84)) <= distance + 6
    assert decodings(monkeypatch, VideoFile(recording), {80, 84}, False) <= distance + 6


def test_where_a_jump_goes_astray_frames_are_counted(monkeypatch, recording):
    index = read_index(recording)
    shifted = {stamp: number + 30 for stamp, number in index.numbers.items()}
    wrong = VideoIndex(shifted, index.stamps, [0, 60])
    monkeypatch.setattr(video, "read_index", lambda path: wrong)
    found = list(VideoFile(recording, 70, 72).read())
    assert [frame.number for frame in found] == [70, 71, 72]
    one_by_one = counted(monkeypatch, VideoFile(recording, 70, 72))
    assert np.array_equal(found[0].image, one_by_one[0].image)


def test_a_file_that_changes_is_read_again(recording):
    before = read_index(recording)
    assert read_index(recording) is before
    write_video(recording, (draw(number) for number in range(FRAMES // 2)), 25)
    assert len(read_index(recording).numbers) == FRAMES // 2


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.avi: no such file"):
        read_index(tmp_path / "absent.avi")


@pytest.mark.parametrize("name", ["a.mkv", "a.h264", "a.mpg", "a.ts", "a.mxf", "a.asf"])
def test_containers_of_every_kind_have_all_their_frames(tmp_path, name):
    codec = {"h264": "libx264", "mkv": "libx264", "asf": "wmv2"}.get(
        name[2:], "mpeg2video"
    )
    images = [draw_moment(moment, 320, 240) for moment in range(20)]
    path = write_recording(tmp_path / name, images, codec)
    frames = list(decode_video(path))
    assert [frame.number for frame in frames] == list(range(20))
    later = list(decode_video(path, first=13))
    assert [frame.number for frame in later] == list(range(13, 20))
    assert np.array_equal(later[0].to_image(), frames[13].to_image())
    assert count_frames(path) in (20, None)
    assert VideoFile(path).properties.codec in (codec, "h264")


def test_times_of_a_variable_rate_are_what_the_file_says(tmp_path):
    times = [0, 40, 80, 160, 200, 400, 440, 480, 920, 960]
    images = [draw_moment(moment, 320, 240) for moment in range(10)]
    path = write_recording(tmp_path / "phone.mp4", images, milliseconds=times)
    found = [frame.seconds for frame in decode_video(path)]
    assert found == pytest.approx([time / 1000 for time in times], abs=1e-3)
    sought = [frame.seconds for frame in decode_video(path, first=6)]
    assert sought == pytest.approx(found[6:])


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_a_turned_video_comes_upright(tmp_path, degrees):
    images = [draw_moment(moment) for moment in range(3)]
    path = write_recording(tmp_path / "p.mp4", images, turned_left=degrees)
    image = next(decode_video(path)).to_image()
    properties = read_properties(path)
    assert image.shape == np.rot90(images[0], degrees // 90).shape
    assert np.abs(image.astype(int) - np.rot90(images[0], degrees // 90)).mean() < 6
    assert (properties.height, properties.width) == image.shape[:2]
    assert properties.turned == (-degrees // 90) % 4
    assert not properties.mirrored


def test_a_mirrored_video_is_shown_as_it_says(tmp_path):
    one = 1 << 16
    images = [draw_moment(moment) for moment in range(3)]
    matrix = (-one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    path = write_recording(tmp_path / "selfie.mp4", images, matrix=matrix)
    image = next(decode_video(path)).to_image()
    assert np.abs(image.astype(int) - images[0][:, ::-1]).mean() < 6
    assert read_properties(path).mirrored


def test_pixels_that_are_not_square_are_told_and_frames_stay_as_decoded(tmp_path):
    images = [draw_moment(moment) for moment in range(3)]
    path = write_recording(tmp_path / "dvd.mp4", images, pixel_aspect="16/15")
    assert read_properties(path).pixel_aspect == pytest.approx(16 / 15)
    assert next(decode_video(path)).to_image().shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("name", FIELDS)
def test_fields_are_found_and_become_frames(tmp_path, name):
    options, top_first = FIELDS[name]
    images = weave_fields(40, top_first)
    path = write_recording(tmp_path / "tv.mp4", images, options=options)
    assert find_scan(path) == ("top-first" if top_first else "bottom-first")
    made = [frame.to_image() for frame in decode_video(path)]
    stored = [frame.to_image() for frame in decode_video(path, deinterlacing="off")]
    assert len(made) == len(stored) == 40
    assert combing_of(made[20]) < 0.2 * combing_of(stored[20])
    assert error_to(made[20], 40) < error_to(stored[20], 40)


@pytest.mark.parametrize("name", FIELDS)
def test_bob_gives_both_moments_of_each_frame(tmp_path, name):
    options, top_first = FIELDS[name]
    images = weave_fields(40, top_first)
    path = write_recording(tmp_path / "tv.mp4", images, options=options)
    fields = list(decode_video(path, deinterlacing="bob"))
    assert [field.number for field in fields] == list(range(80))
    assert fields[41].seconds == pytest.approx(41 / 50)
    for field in fields[30:50]:
        own = error_to(field.to_image(), field.number)
        assert own < error_to(field.to_image(), field.number - 1)
        assert own < error_to(field.to_image(), field.number + 1)
    source = VideoFile(path, reading=Reading("bob"))
    assert (source.fps, source.count) == (50, 80)


@pytest.mark.parametrize("deinterlacing", ["auto", "bob"])
def test_fields_do_not_depend_on_where_decoding_began(tmp_path, deinterlacing):
    options, top_first = FIELDS["top"]
    images = weave_fields(40, top_first)
    path = write_recording(tmp_path / "tv.mp4", images, options=options)
    frames = list(decode_video(path, deinterlacing=deinterlacing))
    later = list(decode_video(path, first=17, deinterlacing=deinterlacing))
    assert [frame.number for frame in later] == list(range(17, len(frames)))
    for a, b in zip(frames[17:], later, strict=True):
        assert np.array_equal(a.to_image(), b.to_image())


def test_a_flag_alone_makes_no_fields(tmp_path):
    images = [draw_moment(2 * moment) for moment in range(40)]
    options = {"x264-params": "tff=1", "crf": "15"}
    path = write_recording(tmp_path / "tv.mp4", images, options=options)
    assert read_properties(path).flagged_interlaced
    assert find_scan(path) == "progressive"
    made = [frame.to_image() for frame in decode_video(path)]
    stored = [frame.to_image() for frame in decode_video(path, deinterlacing="off")]
    assert all(np.array_equal(a, b) for a, b in zip(made, stored, strict=True))


def test_bob_repeats_frames_that_are_whole(tmp_path):
    images = [draw_moment(2 * moment) for moment in range(5)]
    path = write_recording(tmp_path / "whole.mp4", images)
    frames = list(decode_video(path, first=3, deinterlacing="bob"))
    assert [frame.number for frame in frames] == list(range(3, 10))
    assert np.array_equal(frames[1].to_image(), frames[2].to_image())


def test_what_an_edit_list_hides_has_no_number(tmp_path):
    path = write_cut(tmp_path / "cut.mp4", hidden=20, count=60)
    frames = list(decode_video(path))
    assert len(frames) == 40
    assert count_frames(path) == 40
    assert [frame.number for frame in frames] == list(range(40))
    assert error_to(frames[0].to_image(), 20) < error_to(frames[0].to_image(), 19)
    source = VideoFile(path)
    assert len(list(source.read())) == source.count == 40
    assert source.faults == []
    sought = list(VideoFile(path, 30, 33).read())
    assert np.array_equal(sought[0].image, frames[30].to_image())


def write_cut(path, hidden, count):
    """Write an mp4 whose edit list starts amid a group of frames, as a lossless cut
    does: the first time stamp that is shown is not the first that is stored."""
    images = [draw_moment(moment) for moment in range(count)]
    write_recording(path, images, options={"g": "250", "bf": "0"})
    content = bytearray(path.read_bytes())
    at = content.index(b"elst")
    # version and flags, number of entries, then duration, start, rate of the first one
    media = content.index(b"mdhd")
    timescale = int.from_bytes(content[media + 16 : media + 20], "big")
    start = int.from_bytes(content[at + 16 : at + 20], "big")
    skipped = start + hidden * timescale // 25
    content[at + 16 : at + 20] = skipped.to_bytes(4, "big")
    path.write_bytes(content)
    return path


def test_sound_is_one_channel_on_the_clock_of_the_frames(tmp_path):
    images = [draw_moment(moment) for moment in range(25)]
    path = write_recording(tmp_path / "splash.mov", images, tone=True)
    samples = read_audio(path, rate=8_000)
    assert samples.dtype == np.float32
    loud = np.flatnonzero(np.abs(samples) > 0.3)
    assert loud[0] / 8_000 == pytest.approx(0.5, abs=0.03)
    silent = write_recording(tmp_path / "silent.mp4", images)
    assert read_audio(silent) is None


def test_what_no_decoder_reads_names_codec_container_and_the_way_out(tmp_path):
    images = [draw_moment(moment, 320, 240) for moment in range(5)]
    path = write_recording(tmp_path / "a.avi", images, "mpeg4")
    content = path.read_bytes().replace(b"FMP4", b"XYZW")
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.avi: .*codec .*in avi.*ffmpeg -i a\.avi"):
        read_properties(path)


def test_a_hardware_decoder_that_is_not_there_is_never_replaced(tmp_path):
    path = write_recording(tmp_path / "a.mp4", [draw_moment(0)])
    with pytest.raises(EnvironmentUnfit, match="no hardware decoder 'abacus'"):
        list(decode_video(path, hardware="abacus"))


def test_an_unknown_way_of_deinterlacing_is_named(tmp_path):
    path = write_recording(tmp_path / "a.mp4", [draw_moment(0)])
    with pytest.raises(UsageError, match="--deinterlace weave: expected one of auto"):
        list(decode_video(path, deinterlacing="weave"))


def test_real_videos(monkeypatch, shared_data):
    path = shared_data / "videos" / "test.mp4"
    assert read_index(path).find_key(240) > 0
    source = VideoFile(path, 236, 240)
    for a, b in zip(source.read(), counted(monkeypatch, source), strict=True):
        assert a.number == b.number
        assert np.array_equal(a.image, b.image)
