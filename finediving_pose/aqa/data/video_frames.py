"""Frames of a dive as the model sees them: sampled, scaled, cropped, and decoded only
once where a cache is given.

:class:`AffineMap` says where a pixel of the raw frame lies in the crop. Skeletons go
through the same map.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from finediving_pose.aqa.settings import GeometryKind
from finediving_pose.console import log, progress
from finediving_pose.datasets.finediving import Key
from finediving_pose.datasets.pose_files import checked_name
from finediving_pose.errors import DataError
from finediving_pose.files import atomic_path, sha256_json
from finediving_pose.media import (
    SAMPLES,
    FrameSource,
    is_image,
    open_frames,
    sample_indices,
)
from finediving_pose.records import Clip, FloatArray

SQUASHED_HEIGHT = 200 / 112
"""The released code scales frames to 112 wide and 200 high: it swaps the two."""

Images = NDArray[np.uint8]
Numbers = NDArray[np.int64]

_CACHE_FORMAT = 1


class AffineMap(NamedTuple):
    """x' = x · scale + shift on each axis, in pixels whose centres are whole numbers."""

    scale: tuple[float, float]
    shift: tuple[float, float]

    def __call__(self, points: FloatArray) -> FloatArray:
        """Map (…, 2) px of the raw frame to px of the crop; NaN stays NaN."""
        scale = np.array(self.scale, points.dtype)
        shift = np.array(self.shift, points.dtype)
        return points * scale + shift


@dataclass(frozen=True)
class Geometry:
    """How a frame becomes a square crop.

    Attributes:
        kind: ``keep_aspect``: scaled until its height is `size`; ``squash_released``:
            to `size` wide and 200/112 `size` high, whatever its shape.
        size: Side of the square that is then cut out; black beside a frame that is
            narrower.
    """

    kind: GeometryKind = "keep_aspect"
    size: int = 112

    def get_scaled_size(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) of the scaled frame before the crop.

        Args:
            width: Of the raw frame, in px.
            height: Of the raw frame, in px.
        """
        if self.kind == "squash_released":
            return self.size, round(self.size * SQUASHED_HEIGHT)
        return max(round(width * self.size / height), 1), self.size

    def find_centre_corner(self, width: int, height: int) -> tuple[int, int]:
        """Return (left, top) of the middle square in the scaled frame.

        Args:
            width: Of the raw frame, in px.
            height: Of the raw frame, in px.

        Returns:
            Negative where the scaled frame is narrower than the square.
        """
        scaled = self.get_scaled_size(width, height)
        return (scaled[0] - self.size) // 2, (scaled[1] - self.size) // 2

    def draw_corner(
        self, width: int, height: int, rng: np.random.Generator
    ) -> tuple[int, int]:
        """Draw (left, top) of a square that lies anywhere in the scaled frame.

        Args:
            width: Of the raw frame, in px.
            height: Of the raw frame, in px.
            rng: Draws once for each axis on which there is room.
        """
        corner = []
        for side in self.get_scaled_size(width, height):
            room = side - self.size
            if room > 0:
                corner.append(int(rng.integers(room + 1)))
            else:
                corner.append(room // 2)
        left, top = corner
        return left, top

    def make_map(self, width: int, height: int, corner: tuple[int, int]) -> AffineMap:
        """Return the map from raw frames to the square at a corner.

        Args:
            width: Of the raw frame, in px.
            height: Of the raw frame, in px.
            corner: (left, top) of the square in the scaled frame.
        """
        scaled_width, scaled_height = self.get_scaled_size(width, height)
        scale_x = scaled_width / width
        scale_y = scaled_height / height
        # Resizing keeps the edges of the frame in place, not the centres of its
        # corner pixels: x' + 0.5 = (x + 0.5) · scale.
        shift_x = scale_x / 2 - 0.5 - corner[0]
        shift_y = scale_y / 2 - 0.5 - corner[1]
        return AffineMap((scale_x, scale_y), (shift_x, shift_y))

    def scale_image(self, image: Images) -> Images:
        """Scale an (H, W, 3) image, without the crop."""
        import cv2

        height, width = image.shape[:2]
        size = self.get_scaled_size(width, height)
        shrinks = size[0] <= width and size[1] <= height
        # Averaging over areas avoids aliasing, but it repeats pixels when it enlarges.
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(image, size, interpolation=method))

    def crop_images(self, images: Images, corner: tuple[int, int]) -> Images:
        """Cut a square out of scaled images.

        Args:
            images: (n, h, w, 3).
            corner: (left, top) of the square; what lies outside the image is black.

        Returns:
            (n, size, size, 3).
        """
        left, top = corner
        cut = images[:, max(top, 0) : top + self.size, max(left, 0) : left + self.size]
        crops = np.zeros((len(images), self.size, self.size, 3), np.uint8)
        y, x = max(-top, 0), max(-left, 0)
        crops[:, y : y + cut.shape[1], x : x + cut.shape[2]] = cut
        return crops


class FrameStrip(NamedTuple):
    """The frames of a dive that may be asked for, each once.

    Attributes:
        images: (n, h, w, 3) uint8, RGB, scaled and not yet cropped; perhaps a memory
            map.
        numbers: (n,) int64, rising, the frames' numbers in their source.
        sampled: (frames,) int64, the numbers of the frames that stand for the dive; a
            short dive repeats some.
        size: (width, height) of the raw frames in px.
    """

    images: Images
    numbers: Numbers
    sampled: Numbers
    size: tuple[int, int]

    def find_rows(self, shift: int = 0) -> Numbers:
        """Return which rows of `images` stand for the dive, (frames,).

        A frame that could not be decoded is replaced by the nearest that could.

        Args:
            shift: Frames by which the whole window is moved.
        """
        return find_nearest(self.numbers, self.sampled + shift)


class FrameReader:
    """Reads the strips of dives, from a cache where one is given and holds them."""

    def __init__(
        self,
        geometry: Geometry | None = None,
        frames: int = SAMPLES,
        margin: int = 0,
        cache: Path | None = None,
    ) -> None:
        """Set up; nothing is read yet.

        Args:
            geometry: How frames are scaled.
            frames: How many stand for a dive.
            margin: Frames that are kept before and after the dive's window, so that it
                can be moved by as many.
            cache: A folder for decoded frames, one file a dive, about 6 MB for 96
                frames of FineDiving.
        """
        self.geometry = geometry or Geometry()
        self.frames = frames
        self.margin = margin
        self._cache = cache
        self._cached: dict[Key, Path] = {}

    def read(self, clip: Clip) -> FrameStrip:
        """Return the strip of a dive; write it to the cache first where that lacks it.

        Raises:
            DataError: If the source is absent or not readable, or no frame of it can be
                decoded.
        """
        if self._cache is None:
            return self._decode_strip(clip)
        path = self._cached.get((clip.match, clip.dive))
        if path is None:
            path = self._make_cache_path(self._cache, clip)
            if not path.exists():
                _write_strip(path, self._decode_strip(clip))
            self._cached[clip.match, clip.dive] = path
        return _map_strip(path)

    def find_unreadable(
        self, clips: Iterable[Clip], threads: int = 1
    ) -> dict[Key, str]:
        """Find dives that cannot be read: fill the cache, or decode one frame of each.

        Args:
            clips: The dives.
            threads: How many dives are read at once.

        Returns:
            For each dive that cannot be read, why. :meth:`read` succeeds for the
            others.

        Raises:
            OSError: If the cache cannot be written.
        """
        clips = list(clips)
        failed: dict[Key, str] = {}
        title = "Decode frames" if self._cache else "Look at frames"
        with progress(title, len(clips)) as ticker, ThreadPoolExecutor(threads) as pool:
            reasons = pool.map(self._try_clip, clips)
            for clip, reason in zip(clips, reasons, strict=True):
                ticker.advance()
                if reason is not None:
                    failed[clip.match, clip.dive] = reason
        return failed

    def _try_clip(self, clip: Clip) -> str | None:
        """Return why a dive cannot be read; None = it can."""
        try:
            if self._cache:
                self.read(clip)
            else:
                _decode_one_frame(clip)
        except DataError as error:
            return str(error)
        return None

    def _decode_strip(self, clip: Clip) -> FrameStrip:
        source = _open_source(self._widen_window(clip))
        images: dict[int, Images] = {}
        numbers = sampled = np.empty(0, np.int64)
        count = None
        # The count that a video file declares may be wrong: only decoding settles it,
        # and another count means other samples.
        while source.count != count or count is None:
            count = _count_frames(source)
            numbers = np.array([source.number(at) for at in range(count)], np.int64)
            sampled = self._sample_numbers(clip, numbers)
            wanted = self._find_wanted_positions(numbers, sampled)
            images, size = self._decode_frames(source, wanted)
        for fault in source.faults:
            log.warning("%s: %s", clip.key, fault)
        if not images:
            raise _make_undecodable_error(clip)
        return FrameStrip(
            np.stack(list(images.values())),
            np.array(list(images), np.int64),
            sampled,
            size,
        )

    def _decode_frames(
        self, source: FrameSource, wanted: set[int]
    ) -> tuple[dict[int, Images], tuple[int, int]]:
        """Decode positions of a source: the scaled RGB images by number, and (width,
        height) of the raw ones."""
        import cv2

        images: dict[int, Images] = {}
        size = (0, 0)
        for frame in source.read(wanted):
            image = frame.image
            height, width = image.shape[:2]
            if not images:
                size = (width, height)
            # One affine map serves the whole dive, so all frames get the first's size.
            if (width, height) != size:
                image = np.asarray(cv2.resize(image, size), np.uint8)
            scaled = self.geometry.scale_image(image)
            # OpenCV gives BGR, and the networks were trained on RGB.
            images[frame.number] = np.ascontiguousarray(scaled[..., ::-1])
        return images, size

    def _widen_window(self, clip: Clip) -> Clip:
        if clip.start_frame is None or clip.end_frame is None:
            return clip
        start = max(clip.start_frame - self.margin, 0)
        end = clip.end_frame + self.margin
        return Clip(clip.match, clip.dive, clip.source, start, end, clip.synchronised)

    def _sample_numbers(self, clip: Clip, numbers: Numbers) -> Numbers:
        """Return the numbers of the frames that stand for the dive, (frames,): the
        margin around its window is not sampled."""
        start, end = clip.start_frame, clip.end_frame
        inside = numbers
        if start is not None and end is not None:
            inside = numbers[(start <= numbers) & (numbers <= end)]
        return inside[np.array(sample_indices(len(inside), self.frames), np.int64)]

    def _find_wanted_positions(self, numbers: Numbers, sampled: Numbers) -> set[int]:
        """Return the positions of all frames that some shift of the window needs."""
        if not len(sampled):
            return set()
        shifts = np.arange(-self.margin, self.margin + 1)
        moved = (sampled + shifts[:, None]).ravel()
        return set(find_nearest(numbers, moved).tolist())

    def _make_cache_path(self, cache: Path, clip: Clip) -> Path:
        made_of = [
            _CACHE_FORMAT,
            _get_signature(clip),
            self.geometry.kind,
            self.geometry.size,
            self.frames,
            self.margin,
        ]
        name = f"{checked_name(clip.dive)}_{sha256_json(made_of)[:16]}.frames"
        return cache / checked_name(clip.match) / name


def find_nearest(numbers: Numbers, wanted: Numbers) -> Numbers:
    """Find the nearest number to each of some others; of two as near, the earlier.

    Args:
        numbers: (n,), rising.
        wanted: Any shape.

    Returns:
        Positions in `numbers`, in the shape of `wanted`.
    """
    after = np.searchsorted(numbers, wanted).clip(0, len(numbers) - 1)
    before = (after - 1).clip(0)
    distance_before = np.abs(numbers[before] - wanted)
    distance_after = np.abs(numbers[after] - wanted)
    return np.where(distance_before <= distance_after, before, after)


def _count_frames(source: FrameSource) -> int:
    if source.count is None:
        for _ in source.read(()):
            raise AssertionError("nothing was wanted")
    assert source.count is not None, source.path
    return source.count


def _open_source(clip: Clip) -> FrameSource:
    try:
        return open_frames(clip)
    except OSError as error:
        raise DataError(
            f"{clip.source}: cannot be read: {error.strerror or error}"
        ) from None


def _decode_one_frame(clip: Clip) -> None:
    frames = iter(_open_source(clip).read(to_end=False))
    if next(frames, None) is None:
        raise _make_undecodable_error(clip)


def _make_undecodable_error(clip: Clip) -> DataError:
    return DataError(
        f"{clip.key}: no frame of {clip.source} can be decoded; write it again from its source or remove the dive"
    )


def _get_signature(clip: Clip) -> list[Any]:
    """Return all that tells whether a source has changed: names, sizes and times of its
    files, and the window."""
    files = []
    if clip.source.is_dir():
        with os.scandir(clip.source) as entries:
            for entry in entries:
                if is_image(Path(entry.name)):
                    stat = entry.stat()
                    files.append((entry.name, stat.st_size, stat.st_mtime_ns))
        files.sort()
    elif clip.source.is_file():
        stat = clip.source.stat()
        files.append((clip.source.name, stat.st_size, stat.st_mtime_ns))
    else:
        raise DataError(f"{clip.source}: no such file or folder")
    return [files, clip.start_frame, clip.end_frame]


def _write_strip(path: Path, strip: FrameStrip) -> None:
    """Write numpy arrays one behind the other; the images come last, so that they can
    be mapped."""
    arrays = (
        np.array(strip.size, np.int64),
        strip.numbers,
        strip.sampled,
        strip.images,
    )
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for array in arrays:
            np.lib.format.write_array(file, array, allow_pickle=False)


def _map_strip(path: Path) -> FrameStrip:
    try:
        with path.open("rb") as file:
            size = np.lib.format.read_array(file, allow_pickle=False)
            numbers = np.lib.format.read_array(file, allow_pickle=False)
            sampled = np.lib.format.read_array(file, allow_pickle=False)
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            images = np.memmap(path, dtype, "r", offset=file.tell(), shape=shape)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: not readable as decoded frames ({error}); delete it, and it is made anew"
        ) from None
    return FrameStrip(images, numbers, sampled, (int(size[0]), int(size[1])))
