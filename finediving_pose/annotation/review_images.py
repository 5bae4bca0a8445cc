"""Pictures for the review page: as they are where a browser shows them quickly, scaled
down where they are huge."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from finediving_pose.errors import DataError

MAX_SIDE = 4096
"""Pixels of the longer side of what a browser gets; more it neither shows nor decodes
quickly."""

STRIP_SIDE = 480
"""The same for a film strip."""

MAX_PIXELS = 1_000_000_000
"""More than that is no picture of a dive but an attempt to fill the memory."""

_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}


@dataclass(frozen=True)
class SentImage:
    """What is sent to the browser; `sha256` is that of the file it was made from."""

    content: bytes
    media_type: str
    sha256: str


def read_image_file(path: Path, side: int) -> SentImage:
    """Return a picture whose longer side has at most `side` px, else the file's own
    bytes.

    Raises:
        DataError: If it is absent, no picture, or has more than :data:`MAX_PIXELS`.
    """
    try:
        stat = path.stat()
    except OSError:
        raise DataError(f"{path.name}: no such picture") from None
    return _read(path, side, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=64)
def _read(path: Path, side: int, _time: int, _size: int) -> SentImage:
    content = path.read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    kind = next(
        (kind for magic, kind in _TYPES.items() if content.startswith(magic)), None
    )
    smaller = _scaled(content, side, path.name, as_it_is=kind is not None)
    return (
        SentImage(content, str(kind), sha256)
        if smaller is None
        else SentImage(smaller, "image/jpeg", sha256)
    )


def _scaled(content: bytes, side: int, name: str, as_it_is: bool) -> bytes | None:
    """Return a JPEG of the picture, None where the bytes will do."""
    from PIL import Image, ImageOps

    limit, Image.MAX_IMAGE_PIXELS = (
        Image.MAX_IMAGE_PIXELS,
        None,
    )  # ours is checked below, before anything is decoded
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise DataError(
                    f"{name}: {image.width}x{image.height} px, expected at most {MAX_PIXELS / 1e6:g} Mpx"
                )
            if as_it_is and max(image.size) <= side:
                return None
            image.draft(
                "RGB", (side, side)
            )  # a JPEG decodes at an eighth of its size in an eighth of the time
            turned = ImageOps.exif_transpose(image).convert("RGB")
            turned.thumbnail((side, side))
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{name}: not readable as a picture: {error}") from None
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    written = io.BytesIO()
    turned.save(written, "JPEG", quality=90)
    return written.getvalue()
