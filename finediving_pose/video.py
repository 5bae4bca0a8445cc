"""Video files: their properties, and their frames as a player shows them.

FFmpeg decodes, through PyAV. A frame's *number* counts the frames that are shown, from
0: what an edit list hides has no number, whatever the container counts. Its *time* is
what the container says, in seconds from the first frame. Frames are turned upright and
mirrored as the file asks; the shape of their pixels is told, not applied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from finediving_pose.console import log
from finediving_pose.errors import DataError, EnvironmentUnfit, UsageError

if TYPE_CHECKING:
    import av
    import av.container
    import av.filter
    import av.video.frame
    import av.video.stream

Deinterlacing = Literal["auto", "off", "bob"]
"""``auto``: where the fields of a frame differ, one frame a frame; ``bob``: a frame a
field, which doubles the rate; ``off``: frames as they are stored."""

Scan = Literal["progressive", "top-first", "bottom-first"]
"""Whether the lines of a frame were taken at one moment, or which field came first."""

FIELD_HEIGHTS = frozenset({480, 486, 576, 1080})
"""Lines of interlaced standards. A frame of another height was scaled, which leaves no
field whole, so that its fields are only looked at where the file says that it has some."""

_NO_MOVING_PICTURES = frozenset({"image2", "tty", "ico", "concat", "hls", "dash"})
"""FFmpeg's formats of still images, of text, and of lists that name other files."""

_LOOKED_AT = 12  # frames in a row, at each of the places below
_PLACES = (0.25, 0.5, 0.75)  # of the clip: at its ends a diver stands or is gone
_FIELD_SHARE = 0.25  # of the frames that show fields, from which on a clip has them
_FEWEST_SHOWN = 2  # frames with fields, fewer of which may be a cut
_MOST_FRAMES = 10**8  # no recording has as many
_FASTEST = 1000.0  # frames a second; more is a time base, no rate


@dataclass(frozen=True)
class VideoProperties:
    """Properties of a video file, as its container and its first frame tell them.

    Attributes:
        container: FFmpeg's name of the format, such as ``mov,mp4,m4a,3gp,3g2,mj2``.
        codec: FFmpeg's name of the codec, such as ``h264``.
        width: Of an upright frame, in px.
        height: Of an upright frame, in px.
        fps: Average frames a second; None where the file does not say.
        declared: Frames that the container counts, less those that an edit list hides;
            None where it does not count.
        pixel_aspect: Width of a pixel over its height, in an upright frame; 1 where the
            file does not say.
        flagged_interlaced: Whether the first frame says that it is two fields.
        turned: Quarter turns to the right, 0 to 3, that make a decoded frame upright.
        mirrored: Whether frames are mirrored as well.
        has_audio: Whether there is sound.
    """

    container: str
    codec: str
    width: int
    height: int
    fps: float | None
    declared: int | None
    pixel_aspect: float
    flagged_interlaced: bool
    turned: int
    mirrored: bool
    has_audio: bool


@dataclass(frozen=True)
class VideoFrame:
    """One decoded frame, not yet converted.

    Attributes:
        number: Counted over the frames that are shown, from 0.
        seconds: From the first frame; None where the file has no time stamps.
        decoded: The frame as PyAV holds it.
        converter: Makes images of this file's frames.
    """

    number: int
    seconds: float | None
    decoded: av.video.frame.VideoFrame
    converter: FrameConverter

    def to_image(self) -> NDArray[np.uint8]:
        """Return the frame as (H, W, 3) uint8, BGR, upright."""
        return self.converter.convert(self.decoded)


class FrameConverter:
    """Makes upright BGR images of the frames of one file.

    FFmpeg's tables for the colours are made once, where a frame that converts itself
    makes them anew each time, which takes as long as decoding.
    """

    def __init__(self) -> None:
        from av.video.reformatter import VideoReformatter

        self._reformatter = VideoReformatter()
        self._matrix: NDArray[np.float64] | None = None

    def convert(self, frame: av.video.frame.VideoFrame) -> NDArray[np.uint8]:
        """Return a decoded frame as (H, W, 3) uint8, BGR, turned as the first frame of
        its file asks."""
        if self._matrix is None:
            self._matrix = _display_matrix(frame)
        # One thread: decoding has threads of its own, and the next frames wait.
        made = self._reformatter.reformat(frame, format="bgr24", threads=1)
        image = np.asarray(made.to_ndarray(), np.uint8)
        if np.array_equal(self._matrix, np.eye(2)):
            return image
        return _upright(image, self._matrix)


@dataclass(frozen=True)
class VideoIndex:
    """Frames of a video file as its packets list them, without decoding.

    Attributes:
        numbers: From a frame's time stamp to its number.
        stamps: Time stamps in the order of the frames.
        keys: Numbers of the frames that decode without others, ascending.
    """

    numbers: Mapping[int, int]
    stamps: Sequence[int]
    keys: Sequence[int]

    def find_key(self, number: int) -> int:
        """Return the last frame that decodes alone and is not after `number`."""
        place = int(np.searchsorted(np.asarray(self.keys), number, side="right")) - 1
        return self.keys[place] if place >= 0 else 0


def read_properties(path: Path) -> VideoProperties:
    """Read what a video file says of itself.

    Args:
        path: The file.

    Raises:
        DataError: If there is no such file, or nothing in it can be decoded; the
            message names container and codec, and the command that converts it.
    """
    status = _stat(path)
    return _read_properties(path, status[0], status[1])


def shows_video(path: Path) -> bool:
    """Whether a file holds a video, whatever its name: one that decodes, and no still
    image, text or cover of a song.

    Args:
        path: The file.
    """
    import av

    try:
        with _open(path) as container:
            names = container.format.name.split(",")
            stream = container.streams.video[0]
            still = bool(stream.disposition & av.stream.Disposition.attached_pic)
            for name in names:
                still = still or name in _NO_MOVING_PICTURES or name.endswith("_pipe")
        # Opening proves little: any text opens as the art of terminals.
        return not still and bool(read_properties(path).codec)
    except DataError:
        return False


def read_index(path: Path) -> VideoIndex | None:
    """List the frames of a video file from its packets.

    What was read is kept until the file changes.

    Args:
        path: The file.

    Returns:
        The index, or None where packets have no time stamps or two have the same: then
        frames can only be counted from the start.

    Raises:
        DataError: If the file cannot be opened.
    """
    status = _stat(path)
    return _read_index(path, status[0], status[1])


def count_frames(path: Path) -> int | None:
    """Count the frames of a video file without decoding it.

    Args:
        path: The file.

    Returns:
        What the container counts, less what an edit list hides; its packets where it
        does not count; None where only decoding can tell.

    Raises:
        DataError: If nothing in the file can be decoded.
    """
    declared = read_properties(path).declared
    if declared is not None:
        return declared
    index = read_index(path)
    return None if index is None else len(index.stamps)


def find_scan(path: Path) -> Scan:
    """Tell by looking whether the frames of a video file consist of two fields.

    A flag alone proves nothing: progressive frames are often stored as fields, and
    fields are often stored without saying so. FFmpeg's filter ``idet`` looks at frames
    at a quarter, at half and at three quarters of the file.

    Args:
        path: The file.

    Raises:
        DataError: If nothing in the file can be decoded.
    """
    status = _stat(path)
    return _find_scan(path, status[0], status[1])


def decode_video(
    path: Path,
    first: int = 0,
    deinterlacing: Deinterlacing = "auto",
    hardware: str | None = None,
) -> Iterator[VideoFrame]:
    """Decode a video file from one of its frames to its end.

    Frames before `first` are skipped by seeking where the time stamps say which frame
    a jump came to, else by counting from the start. With ``bob`` numbers and times are
    of fields: frame n becomes 2n and 2n + 1.

    Args:
        path: The file.
        first: Number of the first frame to give.
        deinterlacing: See :data:`Deinterlacing`.
        hardware: Device type that decodes, such as ``cuda``, ``vaapi`` or
            ``videotoolbox``; None = the processor.

    Raises:
        DataError: If the file cannot be opened, or nothing in it can be decoded. A file
            that ends early gives the frames that it has.
        EnvironmentUnfit: If the hardware decoder that is asked for is not there.
        UsageError: If `deinterlacing` is none of the three.
    """
    if deinterlacing not in get_args(Deinterlacing):
        raise UsageError(
            f"--deinterlace {deinterlacing}: expected one of {', '.join(get_args(Deinterlacing))}"
        )
    scan: Scan = "progressive"
    if deinterlacing != "off":
        scan = find_scan(path)
    fields = 2 if deinterlacing == "bob" else 1
    if scan == "progressive":
        frames = _decode(path, first // fields, hardware)
        yield from _repeat(frames, fields, first)
        return
    # The filter looks at the frame before and the one after, so it starts one earlier
    # and its results do not depend on where decoding began.
    start = max(first // fields - 1, 0)
    for frame in _deinterlace(_decode(path, start, hardware), scan, fields):
        if frame.number >= first:
            yield frame


def read_audio(path: Path, rate: int = 16_000) -> NDArray[np.float32] | None:
    """Read the sound of a video file as one channel.

    Args:
        path: The file.
        rate: Samples a second of what is returned.

    Returns:
        (N,) float32, −1 to 1, from the time of the first video frame on; None where
        there is no sound.

    Raises:
        DataError: If the file cannot be opened.
    """
    import av

    parts = []
    with _open(path) as container:
        if not container.streams.audio:
            return None
        stream = container.streams.audio[0]
        video_start = _start_seconds(container.streams.video[0])
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        begin: float | None = None
        try:
            for frame in container.decode(stream):
                if begin is None:
                    begin = frame.time if frame.time is not None else video_start
                parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
        except av.error.FFmpegError as error:
            log.warning("%s: the sound ends early: %s", path, error)
    if not parts or begin is None:
        return np.zeros(0, np.float32)
    samples = np.concatenate(parts).astype(np.float32)
    offset = round((begin - video_start) * rate)
    if offset >= 0:
        return np.concatenate([np.zeros(offset, np.float32), samples])
    return samples[-offset:]


def _stat(path: Path) -> tuple[int, int]:
    """Return what changes when a file does, which the caches below go by."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    status = path.stat()
    return status.st_mtime_ns, status.st_size


@contextmanager
def _open(path: Path) -> Iterator[av.container.InputContainer]:
    """Open a file that has a video stream."""
    import av

    # Damage is reported in words here. PyAV's own callback waits for the interpreter in
    # a decoder thread, while closing waits for that thread.
    av.logging.restore_default_callback()
    av.logging.set_libav_level(av.logging.PANIC)
    try:
        # Only local files: a play list among the videos must not reach the network.
        container = av.open(str(path), options={"protocol_whitelist": "file"})
    except (av.error.FFmpegError, OSError, ValueError) as error:
        size = path.stat().st_size if path.is_file() else 0
        raise DataError(
            f"{path}: not readable as a video ({size} bytes; {_reason(error)}): "
            "cut short, or of another kind"
        ) from None
    with container:
        if not container.streams.video:
            raise DataError(
                f"{path}: a {container.format.name} file without a video stream"
            )
        yield container


def _reason(error: Exception) -> str:
    """Return FFmpeg's reason without its number and the file's name."""
    return str(getattr(error, "strerror", None) or error).split("\n")[0]


@lru_cache(maxsize=64)
def _read_properties(path: Path, _changed: int, _size: int) -> VideoProperties:
    with _open(path) as container:
        stream = container.streams.video[0]
        context = stream.codec_context
        codec = "unknown" if context is None else context.name
        first = next(decode_onwards(path, container), None)
        if first is None:
            raise DataError(
                f"{path}: no frame decodes (codec {codec} in {container.format.name}); "
                f"`ffmpeg -i {path.name} -c:v libx264 -crf 18 {path.stem}_h264.mp4` "
                "makes a file of it that can be read, if this ffmpeg knows the codec"
            )
        matrix = _display_matrix(first)
        turned = _is_transposed(matrix)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        width, height = first.width, first.height
        if turned:
            width, height, aspect = height, width, 1 / aspect
        fps = float(stream.average_rate or 0)
        return VideoProperties(
            container=container.format.name,
            codec=codec,
            width=width,
            height=height,
            fps=fps if 0 < fps < _FASTEST else None,
            declared=_declared_frames(container, stream),
            pixel_aspect=float(aspect),
            flagged_interlaced=bool(first.interlaced_frame),
            turned=_quarter_turns(matrix),
            mirrored=bool(np.linalg.det(matrix) < 0),
            has_audio=bool(container.streams.audio),
        )


def _declared_frames(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> int | None:
    """Return how many frames a container says that it shows."""
    declared = stream.frames
    if not 0 < declared < _MOST_FRAMES:
        return None
    entries = stream.index_entries
    if "mov" not in container.format.name.split(",") or not len(entries):
        return declared
    # A lossless cut keeps frames before the cut, which those after it build on, and
    # hides them by an edit list.
    return sum(not entry.is_discard for entry in entries) or declared


def _start_seconds(stream: av.video.stream.VideoStream) -> float:
    """Return the time of the first frame on the container's clock."""
    if stream.start_time is None or stream.time_base is None:
        return 0.0
    return float(stream.start_time * stream.time_base)


# --- turning upright --------------------------------------------------------------


def _display_matrix(frame: av.video.frame.VideoFrame) -> NDArray[np.float64]:
    """Return the (2, 2) part of the display matrix that turns and mirrors.

    A point (x, y) of the decoded frame is shown at (x, y) · matrix.
    """
    side_data = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return np.eye(2)
    whole = np.frombuffer(memoryview(side_data), np.int32)  # type: ignore[arg-type]
    values = whole[:5] / 2**16
    return np.array([[values[0], values[1]], [values[3], values[4]]])


def _is_transposed(matrix: NDArray[np.float64]) -> bool:
    return bool(abs(matrix[0, 1]) > abs(matrix[0, 0]))


def _quarter_turns(matrix: NDArray[np.float64]) -> int:
    """Return the quarter turns to the right, 0 to 3, of a matrix."""
    angle = np.degrees(np.arctan2(matrix[0, 1], matrix[0, 0]))
    return round(angle / 90) % 4


def _upright(
    image: NDArray[np.uint8], matrix: NDArray[np.float64]
) -> NDArray[np.uint8]:
    """Turn and mirror an image as a display matrix says, by quarter turns."""
    if _is_transposed(matrix):
        image = image.transpose(1, 0, 2)
        across, down = matrix[1, 0], matrix[0, 1]
    else:
        across, down = matrix[0, 0], matrix[1, 1]
    if across < 0:
        image = image[:, ::-1]
    if down < 0:
        image = image[::-1]
    return np.ascontiguousarray(image)


# --- decoding ---------------------------------------------------------------------


@lru_cache(maxsize=64)
def _read_index(path: Path, _changed: int, _size: int) -> VideoIndex | None:
    stamps: list[int] = []
    keys: list[int] = []
    with _open(path) as container:
        stream = container.streams.video[0]
        for packet in _packets(path, container, stream):
            if packet.is_discard:  # hidden by an edit list
                continue
            if packet.pts is None:
                return None
            stamps.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
    numbers = {stamp: number for number, stamp in enumerate(sorted(set(stamps)))}
    if len(numbers) != len(stamps):
        return None
    return VideoIndex(numbers, sorted(stamps), sorted(numbers[key] for key in keys))


def _packets(
    path: Path,
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
) -> Iterator[Any]:
    """Give the packets of a stream up to where the file is damaged."""
    import av

    try:
        for packet in container.demux(stream):
            if packet.size:  # the last one is empty and flushes the decoder
                yield packet
    except (av.error.FFmpegError, OSError) as error:
        log.debug("%s: packets end early: %s", path, error)


def decode_onwards(
    path: Path, container: av.container.InputContainer
) -> Iterator[av.video.frame.VideoFrame]:
    """Decode from where a container stands to the end; damaged packets are skipped."""
    import av

    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, OSError) as error:
            log.debug("%s: the file ends early: %s", path, error)
            packet = None
        try:
            frames = stream.decode(packet)
        except av.error.EOFError:
            return
        except (av.error.FFmpegError, ValueError) as error:
            log.debug("%s: a packet does not decode: %s", path, error)
            frames = []
        for frame in frames:
            if isinstance(frame, av.VideoFrame):
                yield frame
        if packet is None or not packet.size:
            return


def _decode(path: Path, first: int, hardware: str | None) -> Iterator[VideoFrame]:
    """Decode from frame `first` on, without looking at fields."""
    index = read_index(path) if first > 0 else None
    key = index.find_key(first) if index else 0
    if index is None or key == 0:
        yield from _count(path, first, hardware)
        return
    converter = FrameConverter()
    with _open_decoder(path, hardware) as container:
        stream = container.streams.video[0]
        container.seek(index.stamps[key], stream=stream, backward=True)
        origin, base = index.stamps[0], stream.time_base or Fraction(1)
        arrived = False
        for frame in decode_onwards(path, container):
            number = index.numbers.get(frame.pts) if frame.pts is not None else None
            if number is None or (not arrived and number > first):
                break  # the jump went astray: count from the start instead
            arrived = arrived or number == first
            if number >= first:
                seconds = float((index.stamps[number] - origin) * base)
                yield VideoFrame(number, seconds, frame, converter)
        if arrived:
            return
    yield from _count(path, first, hardware)


def _count(path: Path, first: int, hardware: str | None) -> Iterator[VideoFrame]:
    """Decode from the start and count."""
    origin: int | None = None
    converter = FrameConverter()
    with _open_decoder(path, hardware) as container:
        base = container.streams.video[0].time_base
        for number, frame in enumerate(decode_onwards(path, container)):
            if origin is None:
                origin = frame.pts
            if number < first:
                continue
            seconds = None
            if frame.pts is not None and origin is not None and base is not None:
                seconds = float((frame.pts - origin) * base)
            yield VideoFrame(number, seconds, frame, converter)


@contextmanager
def _open_decoder(
    path: Path, hardware: str | None
) -> Iterator[av.container.InputContainer]:
    """Open a file to decode it, by a device where one is asked for."""
    if hardware is None:
        with _open(path) as container:
            yield container
        return
    import av
    from av.codec.hwaccel import HWAccel, hwdevices_available

    if hardware not in hwdevices_available():
        raise EnvironmentUnfit(
            f"no hardware decoder {hardware!r}; this FFmpeg knows "
            f"{', '.join(hwdevices_available())}, and without one the processor decodes"
        )
    try:
        accelerated = HWAccel(device_type=hardware, allow_software_fallback=False)
        container = av.open(
            str(path), options={"protocol_whitelist": "file"}, hwaccel=accelerated
        )
    except (av.error.FFmpegError, RuntimeError, NotImplementedError) as error:
        raise EnvironmentUnfit(
            f"{path}: the hardware decoder {hardware!r} cannot be used: {_reason(error)}; "
            "without it the processor decodes"
        ) from None
    with container:
        yield container


# --- fields -----------------------------------------------------------------------


@lru_cache(maxsize=256)
def _find_scan(path: Path, changed: int, size: int) -> Scan:
    properties = _read_properties(path, changed, size)
    height = properties.width if properties.turned % 2 else properties.height
    if not properties.flagged_interlaced and height not in FIELD_HEIGHTS:
        return "progressive"
    index = _read_index(path, changed, size)
    count = len(index.stamps) if index else 0
    tops = bottoms = shown = 0
    for place in _PLACES if count > 3 * _LOOKED_AT else (0.0,):
        found = _look_at_fields(path, int(place * count))
        tops += found["tff"]
        bottoms += found["bff"]
        shown += sum(found.values())
    fields = tops + bottoms
    if fields < _FEWEST_SHOWN or fields < _FIELD_SHARE * shown:
        return "progressive"
    return "top-first" if tops >= bottoms else "bottom-first"


def _look_at_fields(path: Path, first: int) -> dict[str, int]:
    """Count what ``idet`` says of the frames from `first` on that show motion."""
    counts = {"tff": 0, "bff": 0, "progressive": 0}
    chosen = islice(_decode(path, first, None), _LOOKED_AT)
    for seen in _filter((frame.decoded for frame in chosen), "idet", None):
        verdict = seen.metadata.get("lavfi.idet.single.current_frame")
        if verdict in counts:
            counts[verdict] += 1
    return counts


def _deinterlace(
    frames: Iterator[VideoFrame], scan: Scan, fields: int
) -> Iterator[VideoFrame]:
    """Make frames of fields with FFmpeg's ``bwdif``: one a frame, or one a field."""
    mode = "send_field" if fields == 2 else "send_frame"
    parity = "tff" if scan == "top-first" else "bff"
    # Not the frames themselves: a recording of hours would fill the memory.
    numbers: list[int] = []
    seconds: list[float | None] = []
    converter = FrameConverter()

    def note(stream: Iterator[VideoFrame]) -> Iterator[av.video.frame.VideoFrame]:
        for frame in stream:
            numbers.append(frame.number)
            seconds.append(frame.seconds)
            yield frame.decoded

    settings = f"mode={mode}:parity={parity}:deint=all"
    for count, made in enumerate(_filter(note(frames), "bwdif", settings)):
        at, field = count // fields, count % fields
        yield VideoFrame(
            number=fields * numbers[at] + field,
            seconds=_field_seconds(seconds, at, field),
            decoded=made,
            converter=converter,
        )


def _field_seconds(
    seconds: Sequence[float | None], at: int, field: int
) -> float | None:
    """Return the time of a field: its frame's, or halfway to the next frame's."""
    begin = seconds[at]
    if field == 0 or begin is None:
        return begin
    low = min(at, len(seconds) - 2)
    if low < 0:
        return begin
    here, following = seconds[low], seconds[low + 1]
    if here is None or following is None:
        return begin
    return begin + (following - here) / 2


def _repeat(
    frames: Iterator[VideoFrame], fields: int, first: int
) -> Iterator[VideoFrame]:
    """Give frames that have no fields as often as fields are asked for."""
    if fields == 1:
        yield from frames
        return
    times: list[float | None] = []
    for frame in frames:
        times = [*times[-1:], frame.seconds]
        for field in range(fields):
            number = fields * frame.number + field
            if number >= first:
                seconds = _field_seconds(times, len(times) - 1, field)
                yield VideoFrame(number, seconds, frame.decoded, frame.converter)


def _filter(
    frames: Iterator[av.video.frame.VideoFrame], name: str, settings: str | None
) -> Iterator[av.video.frame.VideoFrame]:
    """Send frames through one of FFmpeg's filters."""
    import av.filter

    graph: av.filter.Graph | None = None
    for frame in frames:
        if graph is None:
            graph = av.filter.Graph()
            source = graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=frame.time_base or Fraction(1, 1000),
            )
            chosen = graph.add(name, settings)
            sink = graph.add("buffersink")
            source.link_to(chosen)
            chosen.link_to(sink)
            graph.configure()
        graph.push(frame)
        yield from _pull(graph)
    if graph is not None:
        graph.push(None)
        yield from _pull(graph)


def _pull(graph: av.filter.Graph) -> Iterator[av.video.frame.VideoFrame]:
    """Give what a filter has ready."""
    import av

    while True:
        try:
            frame = graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        if isinstance(frame, av.VideoFrame):
            yield frame
