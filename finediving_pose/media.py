"""Frames in and out: video files, folders of numbered images; JPEG and video files
written whole or not at all.

Images are (H, W, 3) uint8, BGR. A frame has a *position* in its clip, counted from 0
over what decodes, and a *number* in its source: the count of the frames of a video
file that are shown (see :mod:`finediving_pose.video`), the number in the name of an
image.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.errors import DataError
from finediving_pose.files import atomic_path, read_content, write_bytes
from finediving_pose.frame_names import MAX_FRAMES, NumberedImages, number_images
from finediving_pose.records import Clip, FloatArray
from finediving_pose.video import (
    Deinterlacing,
    count_frames,
    decode_video,
    read_properties,
)

Image = NDArray[np.uint8]

VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv"}
    | {".ts", ".mts", ".m2ts", ".m2v", ".vob", ".mod", ".tod", ".mxf", ".asf", ".dv"}
    | {
        ".3gp",
        ".3g2",
        ".ogv",
        ".ogm",
        ".f4v",
        ".qt",
        ".divx",
        ".mjpeg",
        ".mjpg",
        ".gif",
    }
    | {".264", ".h264", ".265", ".h265", ".hevc", ".ivf", ".y4m", ".wtv"}
)
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
SAMPLES = 96
"""Frames of a dive that FineDiving's methods look at."""


@dataclass(frozen=True)
class Reading:
    """How video files are read; folders of images are read as they are.

    Attributes:
        deinterlacing: See :data:`finediving_pose.video.Deinterlacing`.
        hardware: Device type that decodes, such as ``cuda``; None = the processor.
    """

    deinterlacing: Deinterlacing = "auto"
    hardware: str | None = None

    def describe(self) -> dict[str, str]:
        """Return what decides the frames, where it is not what it usually is: JSON
        types."""
        if self.deinterlacing == "auto":
            return {}
        return {"deinterlacing": self.deinterlacing}


AS_USUAL = Reading()


@dataclass(frozen=True)
class Frame:
    """One decoded frame: its position in the clip, its number in the source, its
    picture."""

    position: int
    number: int
    image: Image


def sample_indices(count: int, samples: int | None = SAMPLES) -> list[int]:
    """Return which of `count` frames stand for the clip: ``i·(count−1)//(samples−1)``,
    as FineDiving samples.

    Fewer frames than samples are repeated, one frame is repeated throughout.
    ``samples=None`` takes every frame.
    """
    if samples is None:
        return list(range(count))
    if count == 0:
        return []
    return [i * (count - 1) // max(samples - 1, 1) for i in range(samples)]


def is_video(path: Path) -> bool:
    """Whether the name is that of a video file."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def is_image(path: Path) -> bool:
    """Whether the name is that of an image file."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def list_numbered_images(folder: Path) -> list[tuple[int, Path]]:
    """Return the images of a folder with their frame numbers, ascending.

    See :func:`finediving_pose.frame_names.number_images`.
    """
    return list(find_numbered_images(folder).images)


def find_numbered_images(folder: Path) -> NumberedImages:
    """Return the images of a folder with their frame numbers, and what should be known
    about these."""
    return number_images([path for path in folder.iterdir() if _counts_as_image(path)])


def read_image(path: Path) -> Image:
    """Read an image as 8-bit BGR, turned upright as its EXIF data says; any file name
    will do.

    Raises:
        DataError: If the file is absent, empty or no image.
    """
    cv2 = _cv2()
    try:
        content = np.frombuffer(read_content(path), dtype=np.uint8)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    image = None
    if len(content):
        try:
            image = cv2.imdecode(content, cv2.IMREAD_COLOR)
        except cv2.error:
            image = None
    if image is None:
        raise DataError(
            f"{path}: not readable as an image ({len(content)} bytes); write it again from its source"
        )
    return image


class FrameSource:
    """The frames of one clip, as often as they are needed; base of :class:`VideoFile`
    and :class:`FrameFolder`.

    Attributes:
        path: The file or folder.
        count: How many frames the clip has. Of a video file it is what the container
            declares, or None, until :meth:`read` has come to the end: what decodes is
            the truth.
        fps: Frames per second as declared, None where unknown.
        pixel_aspect: Width of a pixel over its height.
        faults: What was wrong with the source, in words, found so far.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.count: int | None = None
        self.fps: float | None = None
        self.pixel_aspect = 1.0
        self.faults: list[str] = []

    def number(self, position: int) -> int:
        """Return the number in the source of the frame at `position`."""
        raise NotImplementedError

    def find_positions(self, numbers: Collection[int]) -> set[int]:
        """Return the positions of frames by their numbers; a number that the clip does
        not have has none."""
        raise NotImplementedError

    def read(
        self, wanted: Collection[int] | None = None, to_end: bool = True
    ) -> Iterator[Frame]:
        """Decode the clip and give the frames at the wanted positions (None = all) that
        can be decoded, in order.

        Args:
            wanted: Positions; those beyond the end are left out.
            to_end: Count the frames behind the last wanted one too, which settles
                `count`.
        """
        raise NotImplementedError

    def _fault(self, text: str) -> None:
        if text not in self.faults:
            self.faults.append(text)


class VideoFile(FrameSource):
    """The frames `start` to `end` (both included, None = first, last) of a video file.

    Args:
        path: The file.
        start: Number of the first frame.
        end: Number of the last frame.
        reading: With ``bob`` `start` and `end` count fields.

    Raises:
        DataError: If nothing in the file can be decoded.
    """

    def __init__(
        self,
        path: Path,
        start: int | None = None,
        end: int | None = None,
        reading: Reading = AS_USUAL,
    ) -> None:
        super().__init__(path)
        self._start = start or 0
        self._end = end
        self._reading = reading
        self.properties = read_properties(path)
        self.pixel_aspect = self.properties.pixel_aspect
        fields = 2 if reading.deinterlacing == "bob" else 1
        if self.properties.fps is not None:
            self.fps = fields * self.properties.fps
        frames = count_frames(path)
        if frames is not None:
            there = min(fields * frames, self._stop(fields * frames)) - self._start
            self.count = max(0, there)

    def number(self, position: int) -> int:
        return self._start + position

    def find_positions(self, numbers: Collection[int]) -> set[int]:
        # Which of them decode, only reading tells.
        stop = self._stop()
        return {n - self._start for n in numbers if self._start <= n < stop}

    def read(
        self, wanted: Collection[int] | None = None, to_end: bool = True
    ) -> Iterator[Frame]:
        last = None if to_end or wanted is None else max(wanted, default=-1)
        # To settle the count, what lies before the first wanted frame need not be
        # decoded: its time stamp says how many frames there are before it.
        first = self._start if wanted is None else self._start + min(wanted, default=0)
        decoded = 0
        deinterlacing, hardware = self._reading.deinterlacing, self._reading.hardware
        for frame in decode_video(self.path, first, deinterlacing, hardware):
            position = frame.number - self._start
            if frame.number >= self._stop() or (last is not None and position > last):
                break
            decoded = position + 1
            if frame.decoded.is_corrupt:
                self._fault(f"frame {frame.number} is damaged")
            if wanted is None or position in wanted:
                yield Frame(position, frame.number, frame.to_image())
            if position == last:
                break
        if last is None:
            self._settle(decoded)

    def _stop(self, unlimited: int = MAX_FRAMES) -> int:
        return unlimited if self._end is None else self._end + 1

    def _settle(self, decoded: int) -> None:
        expected = self.count if self._end is None else self._end - self._start + 1
        if expected is not None and decoded < expected:
            self._fault(
                f"{decoded} frames decode where {expected} were expected: the file is "
                "cut short or damaged; those that decode are used"
            )
        self.count = decoded


class FrameFolder(FrameSource):
    """The numbered images of a folder whose numbers lie in `start` to `end` (both
    included, None = all)."""

    def __init__(
        self, path: Path, start: int | None = None, end: int | None = None
    ) -> None:
        super().__init__(path)
        if not path.is_dir():
            raise DataError(f"{path}: no such folder")
        found = find_numbered_images(path)
        images = found.images
        low = images[0][0] if images and start is None else start or 0
        high = images[-1][0] if images and end is None else end or 0
        self._images = [
            (number, image) for number, image in images if low <= number <= high
        ]
        if not self._images:
            raise DataError(f"{path}: no image has a number from {low} to {high}")
        self.count = len(self._images)
        for note in found.notes:
            self._fault(note)

    def number(self, position: int) -> int:
        return self._images[position][0]

    def find_positions(self, numbers: Collection[int]) -> set[int]:
        found = set()
        for position, (number, _) in enumerate(self._images):
            if number in numbers:
                found.add(position)
        return found

    def picture(self, position: int) -> Path:
        """Return the file of the frame at `position`."""
        return self._images[position][1]

    def read(
        self, wanted: Collection[int] | None = None, to_end: bool = True
    ) -> Iterator[Frame]:
        size: tuple[int, ...] | None = None
        for position, (number, path) in enumerate(self._images):
            if wanted is not None and position not in wanted:
                continue
            try:
                image = read_image(path)
            except DataError as error:
                self._fault(f"{path.name}: {str(error).partition(': ')[2]}")
                continue
            size = size or image.shape
            if image.shape != size:
                self._fault(
                    f"{path.name}: {_wxh(image.shape)} px where the first image has {_wxh(size)}"
                )
            yield Frame(position, number, image)


def open_frames(clip: Clip, reading: Reading = AS_USUAL) -> FrameSource:
    """Open a clip's frames, a folder of numbered images or a video file.

    Args:
        clip: The clip.
        reading: How a video file is read. A frame's number means the same only in
            readings that deinterlace alike.

    Raises:
        DataError: If the source is absent, not readable, or has no frame in the clip's
            part.
    """
    if clip.source.is_dir():
        return FrameFolder(clip.source, clip.start_frame, clip.end_frame)
    start, end = clip.start_frame, clip.end_frame
    if reading.deinterlacing == "bob":
        # A clip's part counts frames, as tables of dives do, of two fields each.
        start = None if start is None else 2 * start
        end = None if end is None else 2 * end + 1
    return VideoFile(clip.source, start, end, reading)


def widen_pixels(image: Image, aspect: float) -> Image:
    """Return an image with square pixels, as wide as it is shown.

    Args:
        image: The image; one of square pixels is given back itself.
        aspect: Width of its pixels over their height.
    """
    if aspect == 1.0:
        return image
    height, width = image.shape[:2]
    size = max(1, round(width * aspect)), height
    return np.asarray(_cv2().resize(image, size), np.uint8)


def widen_places(places: FloatArray, aspect: float) -> FloatArray:
    """Return points or boxes of an image as they lie in one of square pixels.

    Args:
        places: (..., 2) or (..., 4) px: x, y in turn.
        aspect: Width of the image's pixels over their height; 1 / aspect leads back.
    """
    if aspect == 1.0:
        return places
    widened = places.copy()
    # The centre of the first pixel is at 0: its left edge, at -0.5, stays.
    widened[..., ::2] = (places[..., ::2] + 0.5) * aspect - 0.5
    return widened


def write_jpeg(path: Path, image: Image, quality: int = 92) -> None:
    """Write a JPEG file atomically."""
    write_bytes(path, encode_jpeg(image, quality))


def encode_jpeg(image: Image, quality: int = 92) -> bytes:
    """Return the content of a JPEG file.

    Raises:
        ValueError: If the array is no image.
    """
    cv2 = _cv2()
    try:
        ok, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    except cv2.error:
        ok, content = False, np.empty(0, np.uint8)
    if not ok:
        raise ValueError(f"an array of shape {image.shape} cannot be written as JPEG")
    return bytes(content)


def write_video(path: Path, images: Iterable[Image], fps: float) -> int:
    """Write an mp4 or webm file atomically and return how many frames it has.

    The first image gives the size; odd sizes are padded by one pixel, images of another
    size are padded or cut at the right and bottom. In mp4 H.264 is used where this
    OpenCV can write it, else MPEG-4 part 2, which browsers do not play; in webm VP8,
    which they do.

    Raises:
        ValueError: If there is no image.
        OSError: If OpenCV can write none of these, or the file is not whole, as on a
            full disk.
    """
    stream = iter(images)
    first = next(stream, None)
    if first is None:
        raise ValueError(f"{path}: no image to write")
    height, width = (side + side % 2 for side in first.shape[:2])
    count = 0
    with atomic_path(path) as temporary:
        writer = _open_writer(temporary, fps, (width, height))
        try:
            for image in chain([first], stream):
                writer.write(_fitted(image, width, height))
                count += 1
        finally:
            writer.release()
        if not _is_whole_video(temporary):
            raise OSError(
                f"{path}: the video could not be written to its end; is the disk full?"
            )
    return count


def _open_writer(path: Path, fps: float, size: tuple[int, int]) -> Any:
    cv2 = _cv2()
    for code in ("VP80",) if path.suffix == ".webm" else ("avc1", "mp4v"):
        writer = cv2.VideoWriter(
            str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*code), fps, size
        )
        if writer.isOpened():
            return writer
        writer.release()
    raise OSError(
        f"{path}: this OpenCV writes no {path.suffix} video; install opencv-python-headless"
    )


def _is_whole_video(path: Path) -> bool:
    """Whether a video has the index that is written last: OpenCV does not say what it
    could not write."""
    cv2 = _cv2()
    reader = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        return bool(reader.isOpened() and reader.get(cv2.CAP_PROP_FRAME_COUNT) > 0)
    finally:
        reader.release()


def _fitted(image: Image, width: int, height: int) -> Image:
    cut = image[:height, :width]
    missing = ((0, height - cut.shape[0]), (0, width - cut.shape[1]), (0, 0))
    return np.ascontiguousarray(
        np.pad(cut, missing, mode="edge") if any(map(any, missing)) else cut
    )


def _counts_as_image(path: Path) -> bool:
    return is_image(path) and not path.name.startswith(".") and path.is_file()


def _wxh(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}×{shape[0]}"


def _cv2() -> ModuleType:
    """Import OpenCV, silent about damage that is reported in words here, and with no
    way to the network."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_FFMPEG_CAPTURE_OPTIONS", "protocol_whitelist;file")
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return cv2
