"""Skeletons and boxes drawn over frames, and overlay videos of clips."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.media import Image
from finediving_pose.records import BoxState, FloatArray, JointState, SkeletonSequence
from finediving_pose.skeleton import COLOURS, JOINTS, LIMBS

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

GOOD_HEIGHT = 560
"""Pictures much lower than this are enlarged, so that joints can be told apart."""
BOX_COLOURS = ((255, 214, 10), (255, 90, 200))
"""RGB of the first and the second diver's box."""
_DARK = (24, 24, 28)
_SUBPIXEL = 4  # bits: OpenCV draws at sixteenths of a pixel


def enlargement(height: int) -> int:
    """Return by how much to enlarge pictures of this height for viewing."""
    return int(np.clip(round(GOOD_HEIGHT / height), 1, 4))


def draw_skeleton(
    image: Image,
    keypoints: FloatArray,
    state: NDArray[np.uint8] | None = None,
    box: FloatArray | None = None,
    box_state: int = BoxState.DETECTED,
    scale: int | None = None,
    person: int = 1,
) -> Image:
    """Return an enlarged copy of a frame with one athlete drawn over it.

    The athlete's right is orange, the left green, the middle blue. Observed joints are
    full circles; interpolated, swapped and occluded ones are hollow and their limbs
    thin. A filled box is dashed. What is missing is not drawn.

    Args:
        image: (H, W, 3) uint8 BGR.
        keypoints: (16, 2) px, NaN = missing.
        state: (16,) flags of :class:`JointState`; None = all observed.
        box: (4,) px, NaN or None = none.
        box_state: :class:`BoxState`.
        scale: Enlargement; None = :func:`enlargement`. To draw a second athlete, pass 1
            and scaled coordinates, or use :func:`draw_people`.
        person: 1 or 2, decides the colour of the box.
    """
    scale = scale or enlargement(image.shape[0])
    canvas = _enlarged(image, scale)
    _draw_person(canvas, keypoints, state, box, box_state, scale, person)
    return canvas


def draw_people(
    image: Image,
    people: Sequence[SkeletonSequence],
    row: int,
    caption: str = "",
    scale: int | None = None,
) -> Image:
    """Return an enlarged copy of a frame with everyone's joints and box of that row,
    under a caption.

    Args:
        image: (H, W, 3) uint8 BGR.
        people: The sequences of a clip; all have the same rows.
        row: Which row belongs to the image.
        caption: Text of the strip above the picture; empty = no strip.
        scale: Enlargement; None = :func:`enlargement`.
    """
    scale = scale or enlargement(image.shape[0])
    canvas = _enlarged(image, scale)
    for person, sequence in enumerate(people, start=1):
        box_state = int(sequence.track.state[row])
        _draw_person(
            canvas,
            sequence.keypoints[row],
            sequence.state[row],
            sequence.track.boxes[row],
            box_state,
            scale,
            person,
        )
    return (
        with_caption(canvas, caption, _box_note(people[0], row))
        if caption and people
        else canvas
    )


def clip_overlays(
    frames: Iterable[tuple[int, Image]], people: Sequence[SkeletonSequence], title: str
) -> Iterator[Image]:
    """Draw a clip: one picture for each frame number that the sequences have a row for.

    Args:
        frames: Frame numbers in the source with their images.
        people: The sequences of the clip.
        title: What the caption begins with, ``match/dive``.
    """
    rows = {int(number): row for row, number in enumerate(people[0].frame_index)}
    for number, image in frames:
        if number in rows:
            yield draw_people(image, people, rows[number], f"{title}   frame {number}")


def with_caption(image: Image, left: str, right: str = "") -> Image:
    """Return the picture under a dark strip of text, which may hold any letters the
    font has."""
    from PIL import Image as pillow
    from PIL import ImageDraw

    width = image.shape[1]
    strip_height = max(20, round(width / 36))
    font = _font(round(strip_height * 0.62))
    strip = pillow.new("RGB", (width, strip_height), _DARK)
    draw = ImageDraw.Draw(strip)
    middle, margin = strip_height // 2, strip_height // 3
    space = width - 2 * margin - draw.textlength(right + "  ", font=font)
    draw.text(
        (margin, middle),
        _shortened(left, lambda text: draw.textlength(text, font=font) <= space),
        font=font,
        fill=(240, 240, 240),
        anchor="lm",
    )
    draw.text(
        (width - margin, middle), right, font=font, fill=(170, 175, 185), anchor="rm"
    )
    return np.vstack([np.asarray(strip)[..., ::-1], image])


def _draw_person(
    canvas: Image,
    keypoints: FloatArray,
    state: NDArray[np.uint8] | None,
    box: FloatArray | None,
    box_state: int,
    scale: int,
    person: int,
) -> None:
    import cv2

    unit = max(1.0, float(np.hypot(*canvas.shape[:2])) / 650)
    if box is not None and np.isfinite(box).all():
        corners = _scaled(np.asarray(box, float).reshape(2, 2), scale)
        _draw_box(
            canvas,
            corners,
            BOX_COLOURS[(person - 1) % 2],
            box_state == BoxState.FILLED,
            unit,
        )
    points = _scaled(keypoints, scale)
    known = np.asarray(np.isfinite(points).all(axis=1))
    sure = (
        known if state is None else np.asarray(known & (state == JointState.OBSERVED))
    )
    limbs = [(a, b) for a, b in LIMBS if known[a] and known[b]]
    for outline in (True, False):
        for a, b in limbs:
            width = unit * (1.6 if sure[a] and sure[b] else 0.8) + (
                1.6 if outline else 0
            )
            colour = _DARK if outline else _limb_colour(a, b)
            cv2.line(
                canvas,
                _fixed(points[a]),
                _fixed(points[b]),
                _bgr(colour),
                round(width),
                cv2.LINE_AA,
                _SUBPIXEL,
            )
    for j in np.flatnonzero(known):
        _draw_joint(canvas, points[j], COLOURS[j], bool(sure[j]), unit)


def _draw_joint(
    canvas: Image,
    point: FloatArray,
    colour: tuple[int, int, int],
    full: bool,
    unit: float,
) -> None:
    import cv2

    radius = round((2.2 if full else 3.0) * unit * 2**_SUBPIXEL)
    centre = _fixed(point)
    if full:
        cv2.circle(
            canvas,
            centre,
            radius + round(unit * 2**_SUBPIXEL),
            _bgr(_DARK),
            -1,
            cv2.LINE_AA,
            _SUBPIXEL,
        )
        cv2.circle(canvas, centre, radius, _bgr(colour), -1, cv2.LINE_AA, _SUBPIXEL)
    else:
        cv2.circle(
            canvas, centre, radius, _bgr(_DARK), round(unit * 2), cv2.LINE_AA, _SUBPIXEL
        )
        cv2.circle(
            canvas,
            centre,
            radius,
            _bgr(colour),
            max(1, round(unit)),
            cv2.LINE_AA,
            _SUBPIXEL,
        )


def _draw_box(
    canvas: Image,
    corners: FloatArray,
    colour: tuple[int, int, int],
    dashed: bool,
    unit: float,
) -> None:
    import cv2

    (x1, y1), (x2, y2) = corners
    ring = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)])
    width = max(1, round(unit * 0.9))
    for a, b in pairwise(ring):
        pieces = max(1, round(np.linalg.norm(b - a) / (9 * unit))) if dashed else 1
        for start in np.arange(pieces) / pieces:
            end = start + (0.55 if dashed else 1.0) / pieces
            p, q = a + (b - a) * start, a + (b - a) * end
            cv2.line(
                canvas,
                _fixed(p),
                _fixed(q),
                _bgr(colour),
                width,
                cv2.LINE_AA,
                _SUBPIXEL,
            )


def _box_note(sequence: SkeletonSequence, row: int) -> str:
    state = int(sequence.track.state[row])
    if state == BoxState.DETECTED:
        return f"box {sequence.track.scores[row]:.2f}"
    return "box filled in" if state == BoxState.FILLED else "no diver found"


def _limb_colour(a: int, b: int) -> tuple[int, int, int]:
    """A limb has the colour of its side; between the middle and a side, that of the
    side."""
    sided = [j for j in (b, a) if JOINTS[j].startswith(("right", "left"))]
    return COLOURS[sided[0] if sided else a]


def _enlarged(image: Image, scale: int) -> Image:
    import cv2

    if scale == 1:
        return image.copy()
    return np.asarray(
        cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC),
        np.uint8,
    )


def _scaled(points: FloatArray, scale: int) -> FloatArray:
    """Map pixel centres of the frame to pixel centres of the enlarged picture."""
    return (np.asarray(points, float) + 0.5) * scale - 0.5


def _fixed(point: FloatArray) -> tuple[int, int]:
    x, y = np.clip(np.round(point * 2**_SUBPIXEL), -(2**26), 2**26)
    return int(x), int(y)


def _bgr(colour: tuple[int, int, int]) -> tuple[int, int, int]:
    return colour[2], colour[1], colour[0]


def _shortened(text: str, fits: Any) -> str:
    if fits(text):
        return text
    length = bisect(
        range(1, len(text)), False, key=lambda kept: not fits(text[:kept] + "…")
    )
    return text[:length] + "…"


@lru_cache(maxsize=8)
def _font(size: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)
