"""The pictures of a dive as the model sees them: sampled, scaled, cropped; decoded once
where a cache is given.

One affine map, :class:`AffineMap`, says where a pixel of the raw frame comes to lie.
Skeletons go through it too.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
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
"""The released code scales frames to 112 wide and 200 high, having swapped the two."""

Images = NDArray[np.uint8]
Numbers = NDArray[np.int64]

_CACHE_FORMAT = 1


class AffineMap(NamedTuple):
    """x' = x · scale + shift for each axis, in pixels whose centres have whole
    coordinates."""

    scale: tuple[float, float]
    shift: tuple[float, float]

    def __call__(self, points: FloatArray) -> FloatArray:
        """Map (…, 2) px of the raw frame to px of the model's picture; NaN stays NaN."""
        return points * np.array(self.scale, points.dtype) + np.array(
            self.shift, points.dtype
        )


@dataclass(frozen=True)
class Geometry:
    """How a frame becomes a square picture.

    Attributes:
        kind: ``keep_aspect``: scaled until its height is `size`; ``squash_released``:
            to `size` wide and 200/112 `size` high, whatever its shape.
        size: Side of the square that is then cut out; black beside a frame that is
            narrower.
    """

    kind: GeometryKind = "keep_aspect"
    size: int = 112

    def scaled(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) of the scaled frame, before the crop."""
        if self.kind == "squash_released":
            return self.size, round(self.size * SQUASHED_HEIGHT)
        return max(round(width * self.size / height), 1), self.size

    def centre(self, width: int, height: int) -> tuple[int, int]:
        """Return (left, top) of the middle square in the scaled frame; negative where
        that is narrower."""
        scaled = self.scaled(width, height)
        return (scaled[0] - self.size) // 2, (scaled[1] - self.size) // 2

    def anywhere(
        self, width: int, height: int, rng: np.random.Generator
    ) -> tuple[int, int]:
        """Return (left, top) of a square that lies anywhere in the scaled frame."""
        left, top = (
            int(rng.integers(side - self.size + 1))
            if side > self.size
            else (side - self.size) // 2
            for side in self.scaled(width, height)
        )
        return left, top

    def map(self, width: int, height: int, corner: tuple[int, int]) -> AffineMap:
        """Return the map from raw frames of this width and height to the square at
        `corner` (left, top)."""
        scale = tuple(
            new / old
            for new, old in zip(
                self.scaled(width, height), (width, height), strict=True
            )
        )
        shift = tuple(
            factor / 2 - 0.5 - at for factor, at in zip(scale, corner, strict=True)
        )
        return AffineMap((scale[0], scale[1]), (shift[0], shift[1]))

    def scale(self, image: Images) -> Images:
        """Scale an (H, W, 3) picture, without the crop."""
        import cv2

        height, width = image.shape[:2]
        size = self.scaled(width, height)
        shrinks = size[0] <= width and size[1] <= height
        return np.asarray(
            cv2.resize(
                image,
                size,
                interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR,
            )
        )

    def crop(self, images: Images, corner: tuple[int, int]) -> Images:
        """Cut the square at `corner` (left, top) out of (n, h, w, 3) scaled pictures:
        (n, size, size, 3)."""
        left, top = corner
        cut = images[:, max(top, 0) : top + self.size, max(left, 0) : left + self.size]
        result = np.zeros((len(images), self.size, self.size, 3), np.uint8)
        y, x = max(-top, 0), max(-left, 0)
        result[:, y : y + cut.shape[1], x : x + cut.shape[2]] = cut
        return result


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

    def rows(self, shift: int = 0) -> Numbers:
        """Return which rows of `images` stand for the dive, (frames,); one that could
        not be decoded is replaced by the nearest that could.

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
            return self._decode(clip)
        path = self._cached.get((clip.match, clip.dive))
        if path is None:
            path = self._cache_path(self._cache, clip)
            if not path.exists():
                _write_strip(path, self._decode(clip))
            self._cached[clip.match, clip.dive] = path
        return _map_strip(path)

    def prepare(self, clips: Iterable[Clip], threads: int = 1) -> dict[Key, str]:
        """Find out which dives can be read: fill the cache, or else decode one frame of
        each.

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
            for clip, fault in zip(clips, pool.map(self._fault, clips), strict=True):
                ticker.advance()
                if fault is not None:
                    failed[clip.match, clip.dive] = fault
        return failed

    def _fault(self, clip: Clip) -> str | None:
        try:
            if self._cache:
                self.read(clip)
            else:
                _probe(clip)
        except DataError as error:
            return str(error)
        return None

    def _decode(self, clip: Clip) -> FrameStrip:
        source = _open(self._widened(clip))
        images: dict[int, Images] = {}
        numbers = sampled = np.empty(0, np.int64)
        count = None
        while (
            source.count != count or count is None
        ):  # what decodes settles the count of a video file
            count = _count(source)
            numbers = np.array(
                [source.number(position) for position in range(count)], np.int64
            )
            sampled = self._sampled(clip, numbers)
            images, size = self._scaled_frames(source, self._wanted(numbers, sampled))
        for fault in source.faults:
            log.warning("%s: %s", clip.key, fault)
        if not images:
            raise DataError(_nothing_decodes(clip))
        return FrameStrip(
            np.stack(list(images.values())),
            np.array(list(images), np.int64),
            sampled,
            size,
        )

    def _scaled_frames(
        self, source: FrameSource, wanted: set[int]
    ) -> tuple[dict[int, Images], tuple[int, int]]:
        """Decode positions of a source: the scaled RGB pictures by number, and (width,
        height) of the raw ones."""
        import cv2

        images: dict[int, Images] = {}
        size = (0, 0)
        for frame in source.read(wanted):
            height, width = frame.image.shape[:2]
            size = size if images else (width, height)
            image: Images = (
                frame.image
                if (width, height) == size
                else np.asarray(cv2.resize(frame.image, size), np.uint8)
            )
            images[frame.number] = np.ascontiguousarray(
                self.geometry.scale(image)[..., ::-1]
            )
        return images, size

    def _widened(self, clip: Clip) -> Clip:
        if clip.start_frame is None or clip.end_frame is None:
            return clip
        start, end = (
            max(clip.start_frame - self.margin, 0),
            clip.end_frame + self.margin,
        )
        return Clip(clip.match, clip.dive, clip.source, start, end, clip.synchronised)

    def _sampled(self, clip: Clip, numbers: Numbers) -> Numbers:
        low, high = clip.start_frame, clip.end_frame
        inside = (
            numbers
            if low is None or high is None
            else numbers[(low <= numbers) & (numbers <= high)]
        )
        return inside[np.array(sample_indices(len(inside), self.frames), np.int64)]

    def _wanted(self, numbers: Numbers, sampled: Numbers) -> set[int]:
        if not len(sampled):
            return set()
        shifts = np.arange(-self.margin, self.margin + 1)
        return set(find_nearest(numbers, (sampled + shifts[:, None]).ravel()).tolist())

    def _cache_path(self, cache: Path, clip: Clip) -> Path:
        made_of = [
            _CACHE_FORMAT,
            _signature(clip),
            self.geometry.kind,
            self.geometry.size,
            self.frames,
            self.margin,
        ]
        name = f"{checked_name(clip.dive)}_{sha256_json(made_of)[:16]}.frames"
        return cache / checked_name(clip.match) / name


def find_nearest(numbers: Numbers, wanted: Numbers) -> Numbers:
    """Return the position in `numbers`, (n,) rising, of the one nearest to each of
    `wanted`; the earlier of two."""
    after = np.searchsorted(numbers, wanted).clip(0, len(numbers) - 1)
    before = (after - 1).clip(0)
    return np.where(
        np.abs(numbers[before] - wanted) <= np.abs(numbers[after] - wanted),
        before,
        after,
    )


def _count(source: FrameSource) -> int:
    if source.count is None:
        for _ in source.read(()):
            raise AssertionError("nothing was wanted")
    assert source.count is not None, source.path
    return source.count


def _open(clip: Clip) -> FrameSource:
    try:
        return open_frames(clip)
    except OSError as error:
        raise DataError(
            f"{clip.source}: cannot be read: {error.strerror or error}"
        ) from None


def _probe(clip: Clip) -> None:
    if next(iter(_open(clip).read(to_end=False)), None) is None:
        raise DataError(_nothing_decodes(clip))


def _nothing_decodes(clip: Clip) -> str:
    return f"{clip.key}: no frame of {clip.source} can be decoded; write it again from its source or remove the dive"


def _signature(clip: Clip) -> list[Any]:
    """Return what tells whether a source has changed: names, sizes and times of its
    files, and the window."""
    if clip.source.is_dir():
        with os.scandir(clip.source) as entries:
            files = sorted(
                (entry.name, *_facts(entry.stat))
                for entry in entries
                if is_image(Path(entry.name))
            )
    elif clip.source.is_file():
        files = [(clip.source.name, *_facts(clip.source.stat))]
    else:
        raise DataError(f"{clip.source}: no such file or folder")
    return [files, clip.start_frame, clip.end_frame]


def _facts(stat: Callable[[], os.stat_result]) -> tuple[int, int]:
    result = stat()
    return result.st_size, result.st_mtime_ns


def _write_strip(path: Path, strip: FrameStrip) -> None:
    """Write numpy arrays one behind the other; the pictures come last, so that they can
    be mapped."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for array in (
            np.array(strip.size, np.int64),
            strip.numbers,
            strip.sampled,
            strip.images,
        ):
            np.lib.format.write_array(file, array, allow_pickle=False)


def _map_strip(path: Path) -> FrameStrip:
    try:
        with path.open("rb") as file:
            size, numbers, sampled = (
                np.lib.format.read_array(file, allow_pickle=False) for _ in range(3)
            )
            np.lib.format.read_magic(file)
            shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            images = np.memmap(path, dtype, "r", offset=file.tell(), shape=shape)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: not readable as decoded frames ({error}); delete it, and it is made anew"
        ) from None
    return FrameStrip(images, numbers, sampled, (int(size[0]), int(size[1])))
