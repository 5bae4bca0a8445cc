"""Skeletons and boxes drawn over frames, and overlay videos of clips."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finediving_pose.media import Image
from finediving_pose.records import BoxState, FloatArray, JointState, SkeletonSequence
from finediving_pose.skeleton import COLOURS, JOINTS, LIMBS

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont, ImageFont

GOOD_HEIGHT = 560
"""Images much lower than this are enlarged, so that joints can be told apart."""
BOX_COLOURS = ((255, 214, 10), (255, 90, 200))
"""RGB of the first and the second diver's box."""
Colour = tuple[int, int, int]
_DARK: Colour = (24, 24, 28)
_OUTLINE = 1.6  # px that the dark line under a limb is wider
_SUBPIXEL = 4  # bits: OpenCV draws at sixteenths of a pixel


def choose_enlargement(height: int) -> int:
    """Return by how much to enlarge images of this height for viewing."""
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
    scale = scale or choose_enlargement(image.shape[0])
    canvas = _enlarge_image(image, scale)
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
        caption: Text of the strip above the image; empty = no strip.
        scale: Enlargement; None = :func:`enlargement`.
    """
    scale = scale or choose_enlargement(image.shape[0])
    canvas = _enlarge_image(image, scale)
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
    if caption and people:
        return add_caption(canvas, caption, _describe_box(people[0], row))
    return canvas


def draw_clip(
    frames: Iterable[tuple[int, Image]], people: Sequence[SkeletonSequence], title: str
) -> Iterator[Image]:
    """Draw a clip: one image for each frame number that the sequences have a row for.

    Args:
        frames: Frame numbers in the source with their images.
        people: The sequences of the clip.
        title: What the caption begins with, ``match/dive``.
    """
    rows = {int(number): row for row, number in enumerate(people[0].frame_index)}
    for number, image in frames:
        if number in rows:
            yield draw_people(image, people, rows[number], f"{title}   frame {number}")


def add_caption(image: Image, left: str, right: str = "") -> Image:
    """Return the image under a dark strip of text, which may hold any letters the font
    has.

    Args:
        image: (H, W, 3) uint8 BGR.
        left: Text at the left, cut where it is too long.
        right: Text at the right, in grey.
    """
    from PIL import Image as pillow
    from PIL import ImageDraw

    width = image.shape[1]
    strip_height = max(20, round(width / 36))
    font = _load_font(round(strip_height * 0.62))
    strip = pillow.new("RGB", (width, strip_height), _DARK)
    draw = ImageDraw.Draw(strip)
    middle, margin = strip_height // 2, strip_height // 3
    space = width - 2 * margin - draw.textlength(right + "  ", font=font)
    draw.text(
        (margin, middle),
        shorten_text(left, lambda text: draw.textlength(text, font=font) <= space),
        font=font,
        fill=(240, 240, 240),
        anchor="lm",
    )
    draw.text(
        (width - margin, middle), right, font=font, fill=(170, 175, 185), anchor="rm"
    )
    return np.vstack([np.asarray(strip)[..., ::-1], image])


class _Pen:
    """Draws on an image with lines as wide as its size asks for.

    Args:
        canvas: (H, W, 3) uint8 BGR, drawn on.
    """

    def __init__(self, canvas: Image) -> None:
        self._canvas = canvas
        self.unit = max(1.0, float(np.hypot(*canvas.shape[:2])) / 650)

    def draw_line(
        self, a: FloatArray, b: FloatArray, colour: Colour, width: int
    ) -> None:
        """Draw a line.

        Args:
            a, b: (2,) px, its ends.
            colour: RGB.
            width: In px.
        """
        import cv2

        ends = _to_subpixels(a), _to_subpixels(b)
        bgr = colour[::-1]
        cv2.line(self._canvas, *ends, bgr, width, cv2.LINE_AA, _SUBPIXEL)

    def draw_circle(
        self, centre: FloatArray, radius: int, colour: Colour, width: int = -1
    ) -> None:
        """Draw a circle, or a disc.

        Args:
            centre: (2,) px.
            radius: In subpixels.
            colour: RGB.
            width: In px; −1 = a disc.
        """
        import cv2

        place, bgr = _to_subpixels(centre), colour[::-1]
        cv2.circle(self._canvas, place, radius, bgr, width, cv2.LINE_AA, _SUBPIXEL)


def _draw_person(
    canvas: Image,
    keypoints: FloatArray,
    state: NDArray[np.uint8] | None,
    box: FloatArray | None,
    box_state: int,
    scale: int,
    person: int,
) -> None:
    pen = _Pen(canvas)
    if box is not None and np.isfinite(box).all():
        corners = _enlarge_points(np.asarray(box, float).reshape(2, 2), scale)
        colour = BOX_COLOURS[(person - 1) % 2]
        _draw_box(pen, corners, colour, dashed=box_state == BoxState.FILLED)
    points = _enlarge_points(keypoints, scale)
    known = np.asarray(np.isfinite(points).all(axis=1))
    sure = known
    if state is not None:
        sure = np.asarray(known & (state == JointState.OBSERVED))
    limbs = [(a, b) for a, b in LIMBS if known[a] and known[b]]
    # All outlines first, so that no limb's outline cuts through another limb.
    for a, b in limbs:
        width = _measure_limb(pen, sure[a] and sure[b])
        pen.draw_line(points[a], points[b], _DARK, round(width + _OUTLINE))
    for a, b in limbs:
        width = _measure_limb(pen, sure[a] and sure[b])
        pen.draw_line(points[a], points[b], _choose_limb_colour(a, b), round(width))
    for j in np.flatnonzero(known):
        _draw_joint(pen, points[j], COLOURS[j], bool(sure[j]))


def _measure_limb(pen: _Pen, sure: bool) -> float:
    return pen.unit * (1.6 if sure else 0.8)


def _draw_joint(pen: _Pen, point: FloatArray, colour: Colour, full: bool) -> None:
    one_pixel = 2**_SUBPIXEL
    if full:
        radius = round(2.2 * pen.unit * one_pixel)
        pen.draw_circle(point, radius + round(pen.unit * one_pixel), _DARK)
        pen.draw_circle(point, radius, colour)
    else:
        radius = round(3.0 * pen.unit * one_pixel)
        pen.draw_circle(point, radius, _DARK, round(pen.unit * 2))
        pen.draw_circle(point, radius, colour, max(1, round(pen.unit)))


def _draw_box(pen: _Pen, corners: FloatArray, colour: Colour, dashed: bool) -> None:
    (x1, y1), (x2, y2) = corners
    ring = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2), (x1, y1)])
    width = max(1, round(pen.unit * 0.9))
    for a, b in pairwise(ring):
        if not dashed:
            pen.draw_line(a, b, colour, width)
            continue
        dashes = max(1, round(np.linalg.norm(b - a) / (9 * pen.unit)))
        for start in np.arange(dashes) / dashes:
            end = start + 0.55 / dashes
            pen.draw_line(a + (b - a) * start, a + (b - a) * end, colour, width)


def _describe_box(sequence: SkeletonSequence, row: int) -> str:
    state = int(sequence.track.state[row])
    if state == BoxState.DETECTED:
        return f"box {sequence.track.scores[row]:.2f}"
    if state == BoxState.FILLED:
        return "box filled in"
    return "no diver found"


def _choose_limb_colour(a: int, b: int) -> Colour:
    """A limb has the colour of its side; between the middle and a side, the colour of
    the side."""
    sided = [j for j in (b, a) if JOINTS[j].startswith(("right", "left"))]
    return COLOURS[sided[0] if sided else a]


def _enlarge_image(image: Image, scale: int) -> Image:
    import cv2

    if scale == 1:
        return image.copy()
    return np.asarray(
        cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC),
        np.uint8,
    )


def _enlarge_points(points: FloatArray, scale: int) -> FloatArray:
    """Map pixel centres of the frame to pixel centres of the enlarged image."""
    return (np.asarray(points, float) + 0.5) * scale - 0.5


def _to_subpixels(point: FloatArray) -> tuple[int, int]:
    # OpenCV fails on coordinates beyond 32 bits; so far out nothing is seen anyway.
    x, y = np.clip(np.round(point * 2**_SUBPIXEL), -(2**26), 2**26)
    return int(x), int(y)


def shorten_text(text: str, fits: Callable[[str], bool]) -> str:
    """Return the longest beginning of a text that fits, with an ellipsis where it is
    cut.

    Args:
        text: Any.
        fits: Whether a text fits; a shorter one fits if a longer one does.
    """
    if fits(text):
        return text
    length = bisect(
        range(1, len(text)), False, key=lambda kept: not fits(text[:kept] + "…")
    )
    return text[:length] + "…"


@lru_cache(maxsize=8)
def _load_font(size: int) -> FreeTypeFont | ImageFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)
