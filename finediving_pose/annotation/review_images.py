"""Images for the review page: as they are where a browser shows them quickly, scaled
down where they are huge."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

from finediving_pose.errors import DataError
from finediving_pose.files import read_content

MAX_SIDE = 4096
"""Pixels of the longer side of what a browser gets; more it neither shows nor decodes
quickly."""

STRIP_SIDE = 480
"""The same for a film strip."""

MAX_PIXELS = 200_000_000
"""More than that is no image of a dive but an attempt to fill the memory: a decoder takes
up to eight bytes a pixel."""

MAX_BYTES = 256 * 2**20
CACHED_BYTES = 128 * 2**20

FORMATS = ("BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
"""What Pillow may take a file for: some of its readers start other programs."""

_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}


@dataclass(frozen=True)
class SentImage:
    """What is sent to the browser; `sha256` is that of the file it was made from."""

    content: bytes
    media_type: str
    sha256: str


def read_image_file(path: Path, side: int) -> SentImage:
    """Read an image for a browser.

    Args:
        path: The file.
        side: The most pixels of the longer side.

    Returns:
        The file's own bytes where they will do, else a smaller JPEG.

    Raises:
        DataError: If it is absent, no image, or has more than :data:`MAX_PIXELS` or
            :data:`MAX_BYTES`.
    """
    try:
        stat = path.stat()
    except OSError:
        raise DataError(f"{path.name}: no such image") from None
    if stat.st_size > MAX_BYTES or not path.is_file():
        raise DataError(
            f"{path.name}: {stat.st_size / 2**20:.0f} MB, expected an image file of at "
            f"most {MAX_BYTES / 2**20:.0f} MB"
        )
    # Time and size are part of the key: a file that changed is read anew.
    key = (path, side, stat.st_mtime_ns, stat.st_size)
    with _one_at_a_time:
        found = _sent.find(key)
        if found is None:
            found = _read(path, side)
            _sent.keep(key, found)
    return found


class _SentImages:
    """The images sent last, as many as fit into :data:`CACHED_BYTES`."""

    def __init__(self) -> None:
        self._images: OrderedDict[Hashable, SentImage] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: Hashable) -> SentImage | None:
        """Return an image that was kept."""
        with self._lock:
            if key in self._images:
                self._images.move_to_end(key)
            return self._images.get(key)

    def keep(self, key: Hashable, image: SentImage) -> None:
        """Keep an image, and forget those that were not asked for longest.

        Args:
            key: What it is found by.
            image: The image.
        """
        with self._lock:
            self._images[key] = image
            while (
                sum(len(each.content) for each in self._images.values()) > CACHED_BYTES
            ):
                self._images.popitem(last=False)


_sent = _SentImages()

# A browser asks for six images at once; a huge one takes a gigabyte while it is decoded.
_one_at_a_time = threading.Lock()


def _read(path: Path, side: int) -> SentImage:
    content = read_content(path)
    sha256 = hashlib.sha256(content).hexdigest()
    for magic, media_type in _TYPES.items():
        if content.startswith(magic):
            smaller = _scale_down(content, side, path.name, shown_by_browsers=True)
            if smaller is None:
                return SentImage(content, media_type, sha256)
            return SentImage(smaller, "image/jpeg", sha256)
    converted = _scale_down(content, side, path.name, shown_by_browsers=False)
    assert converted is not None
    return SentImage(converted, "image/jpeg", sha256)


def _scale_down(
    content: bytes, side: int, name: str, shown_by_browsers: bool
) -> bytes | None:
    """Return a JPEG of the image, None where the bytes will do."""
    from PIL import Image, ImageOps

    # Pillow's own limit gives way to ours, checked before anything is decoded.
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(
                    f"{name}: {image.width}x{image.height} px, "
                    f"expected at most {MAX_PIXELS / 1e6:g} Mpx"
                )
            if shown_by_browsers and max(image.size) <= side:
                return None
            # A JPEG decodes at an eighth of its size in an eighth of the time.
            image.draft("RGB", (side, side))
            small = image if image.mode in ("RGB", "L") else image.convert("RGB")
            small.thumbnail((side, side))
            turned = ImageOps.exif_transpose(small).convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{name}: not readable as an image: {error}") from None
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    written = io.BytesIO()
    turned.save(written, "JPEG", quality=90)
    return written.getvalue()
