"""What lies behind everything: the walls and the roof of a hall, or sky, hills and
trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from finediving_pose.synthesis.canvas import (
    Canvas,
    Colour,
    blend_over,
    mix_colours,
    shade_colour,
    span_end,
    span_wall,
)

if TYPE_CHECKING:
    from finediving_pose.synthesis.venue import Venue

_END = -17.0
"""x of the wall behind the tower, m."""
_WIDE = 70.0
_ROOF = 19.0


def paint_backdrop(canvas: Canvas, venue: Venue, rng: np.random.Generator) -> None:
    """Paint what is farther away than the stands."""
    far = (venue.tiers[-1].far if venue.tiers else venue.pool_far - venue.deck) - 1.5
    if venue.theme.roofed:
        _paint_hall(canvas, venue, far, rng)
    else:
        _paint_sky(canvas, venue, rng)
        _paint_hills(canvas, venue, rng)
        _paint_trees(canvas, venue, far - 6.0, rng)


def _paint_hall(
    canvas: Canvas, venue: Venue, far: float, rng: np.random.Generator
) -> None:
    wall = shade_colour(venue.theme.wall, 1.0 - 0.45 * venue.theme.dark)
    canvas.paint_gradient(
        span_wall(-_WIDE, _WIDE, -2.0, _ROOF, far), wall, shade_colour(wall, 0.72)
    )
    pitch = float(rng.uniform(2.5, 6.0))
    for x in np.arange(-_WIDE, _WIDE, pitch):
        canvas.paint_face(
            span_wall(x, x + 0.25 + 0.06 * pitch, -2.0, _ROOF, far + 0.1),
            shade_colour(wall, 0.8),
        )
    furnish = (_paint_windows, _paint_flags, _paint_screen, _paint_panels)[
        int(rng.integers(4))
    ]
    furnish(canvas, venue, far + 0.2, rng)
    if rng.random() < 0.6:
        _paint_clock(
            canvas,
            (float(rng.uniform(-5.0, 9.0)), float(rng.uniform(5.5, 9.5)), far + 0.3),
            rng,
        )
    _paint_ceiling(canvas, wall, far, rng)
    canvas.paint_gradient(
        [(_END, _ROOF, far), (_END, _ROOF, 40), (_END, -1, 40), (_END, -1, far)],
        shade_colour(wall, 0.7),
        wall,
    )
    for y in np.arange(3.0, _ROOF, 4.0):
        strip = span_end(_END + 0.1, y, y + 0.3, far, 40)
        canvas.paint_face(strip, shade_colour(wall, 0.85))


def _paint_ceiling(
    canvas: Canvas, wall: Colour, far: float, rng: np.random.Generator
) -> None:
    tone = shade_colour(wall, float(rng.uniform(0.35, 0.6)))
    canvas.paint_face(
        [
            (-_WIDE, _ROOF, far),
            (_WIDE, _ROOF, far),
            (_WIDE, _ROOF, 5),
            (-_WIDE, _ROOF, 5),
        ],
        tone,
    )
    for w in np.arange(far, 5.0, 4.5):
        canvas.paint_face(
            span_wall(-_WIDE, _WIDE, _ROOF - 1.1, _ROOF - 0.9, w),
            shade_colour(tone, 1.5),
        )
        for x in np.arange(-24.0, 24.0, 6.0):
            canvas.paint_rail(
                (x, _ROOF - 1.0, w), (x + 3, _ROOF, w), shade_colour(tone, 1.4), 0.12
            )
            canvas.paint_face(
                span_wall(x + 2.2, x + 3.6, _ROOF - 1.5, _ROOF - 1.15, w),
                (250, 252, 255),
            )


def _paint_windows(
    canvas: Canvas, venue: Venue, w: float, rng: np.random.Generator
) -> None:
    low, high = sorted(rng.uniform(7.0, 17.0, 2))
    bright = mix_colours(
        venue.theme.wall, (250, 240, 226), float(rng.uniform(0.4, 0.9))
    )
    width = float(rng.uniform(1.2, 3.5))
    for x in np.arange(-36.0, 36.0, width + 0.3):
        canvas.paint_gradient(
            span_wall(x, x + width, low, max(high, low + 2), w),
            shade_colour(bright, 0.85),
            bright,
            5,
        )


def _paint_flags(
    canvas: Canvas, venue: Venue, w: float, rng: np.random.Generator
) -> None:
    """A row of flags of no country."""
    y = float(rng.uniform(9.0, 15.0))
    for x in np.arange(-22.0, 22.0, 2.6):
        stripes = rng.integers(20, 240, (3, 3)).tolist()
        upright = rng.random() < 0.5
        for i, stripe in enumerate(stripes):
            blue, green, red = stripe
            if upright:
                part = span_wall(x + i * 0.6, x + (i + 1) * 0.6, y, y + 1.2, w)
            else:
                part = span_wall(x, x + 1.8, y + i * 0.4, y + (i + 1) * 0.4, w)
            canvas.paint_face(part, (blue, green, red))


def _paint_screen(
    canvas: Canvas, venue: Venue, w: float, rng: np.random.Generator
) -> None:
    """A large screen with the meet's name; it never shows a score."""
    y, x = float(rng.uniform(7.0, 12.0)), float(rng.uniform(-6.0, 4.0))
    image = np.full((90, 200, 3), shade_colour(venue.theme.band, 0.5), np.uint8)
    for row, word in enumerate(venue.sponsors[:3]):
        cv2.putText(
            image,
            word,
            (10, 26 + 26 * row),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.75,
            venue.theme.ink,
            2,
            cv2.LINE_AA,
        )
    canvas.paint_face(span_wall(x - 0.2, x + 8.2, y - 3.8, y + 0.2, w), (24, 22, 22))
    reading = (x, 8.0) if canvas.view.side > 0 else (x + 8.0, -8.0)
    canvas.paste_poster(
        (reading[0], y, w + 0.1), (reading[1], 0, 0), (0, -3.6, 0), image
    )


def _paint_clock(
    canvas: Canvas, place: tuple[float, float, float], rng: np.random.Generator
) -> None:
    turns = np.arange(20) * np.pi / 10
    circle = np.stack([np.cos(turns), np.sin(turns), 0 * turns], axis=1)
    canvas.paint_face(np.array(place) + 0.75 * circle, (50, 46, 44))
    canvas.paint_face(np.array(place) + 0.66 * circle, (244, 246, 246))
    for length, width in ((0.36, 0.09), (0.55, 0.06)):
        turn = float(rng.uniform(0, 2 * np.pi))
        tip = (
            place[0] + length * np.sin(turn),
            place[1] + length * np.cos(turn),
            place[2],
        )
        canvas.paint_rail(place, tip, (30, 28, 28), width)


def _paint_panels(
    canvas: Canvas, venue: Venue, w: float, rng: np.random.Generator
) -> None:
    """Coloured boards that swallow sound."""
    for x in np.arange(-30.0, 30.0, 3.0):
        for y in np.arange(6.0, 16.0, 2.4):
            tone = mix_colours(
                venue.theme.wall, venue.theme.seat, float(rng.uniform(0.0, 0.5))
            )
            canvas.paint_face(
                span_wall(x, x + 2.7, y, y + 2.2, w),
                shade_colour(tone, 1.0 - 0.4 * venue.theme.dark),
            )


def _paint_sky(canvas: Canvas, venue: Venue, rng: np.random.Generator) -> None:
    high = venue.theme.wall
    canvas.paint_gradient(
        span_wall(-900, 900, 420.0, -60.0, -600.0),
        high,
        mix_colours(venue.theme.wall, (250, 248, 246), 0.7),
        60,
    )
    rows, columns = canvas.image.shape[:2]
    mask = np.zeros((rows // 4, columns // 4), np.uint8)
    for _ in range(int(rng.integers(0, 26))):
        centre = (int(rng.integers(mask.shape[1])), int(rng.integers(mask.shape[0])))
        cv2.ellipse(
            mask,
            centre,
            (int(rng.integers(10, 60)), int(rng.integers(3, 12))),
            0,
            0,
            360,
            190,
            -1,
        )
    soft = cv2.resize(
        cv2.GaussianBlur(mask, (0, 0), 7),
        (columns, rows),
        interpolation=cv2.INTER_LINEAR,
    )
    blend_over(
        canvas.image,
        np.full_like(canvas.image, (246, 244, 242)),
        soft.astype(np.uint8),
    )


def _paint_hills(canvas: Canvas, venue: Venue, rng: np.random.Generator) -> None:
    for w, height in ((-420.0, 60.0), (-260.0, 32.0)):
        x = np.linspace(-420, 420, 60)
        phases = rng.uniform(0, 6.3, 3)
        ridge = 0.5 + sum(
            0.17 * np.sin(x / size + phase)
            for size, phase in zip((110, 47, 23), phases, strict=True)
        )
        tone = mix_colours((86, 120, 92), venue.theme.wall, 0.3 + 0.4 * (w < -300))
        for a, b, p, q in zip(x[:-1], x[1:], ridge[:-1], ridge[1:], strict=True):
            canvas.paint_face(
                [(a, -40, w), (b, -40, w), (b, height * q, w), (a, height * p, w)], tone
            )


def _paint_trees(
    canvas: Canvas, venue: Venue, w: float, rng: np.random.Generator
) -> None:
    """A line of trees: heaps of leaves in a few greens, lit from above."""
    tone = np.array([48, 92, 62]) * float(rng.uniform(0.7, 1.3))
    for x in np.arange(-40.0, 40.0, float(rng.uniform(2.5, 6.0))):
        top, spread = float(rng.uniform(6.0, 13.0)), float(rng.uniform(1.0, 1.8))
        for up in np.sort(
            rng.uniform(0.0, 1.0, 110)
        ):  # low leaves first: those above them catch the light
            blue, green, red = (
                int(v)
                for v in np.clip(
                    tone * (0.6 + 0.6 * up) * rng.uniform(0.85, 1.1), 0, 255
                )
            )
            aside = spread * (1.05 - up) ** 0.5 * rng.normal(0.0, 0.8)
            _paint_leaves(
                canvas,
                (x + aside, top * up, w),
                float(rng.uniform(0.25, 0.6)),
                (blue, green, red),
            )
    canvas.paint_face(
        span_wall(-_WIDE, _WIDE, -3.0, 1.0, w + 0.5), shade_colour((44, 80, 54), 0.8)
    )


def _paint_leaves(
    canvas: Canvas, place: tuple[float, float, float], radius: float, colour: Colour
) -> None:
    turns = np.arange(8) * np.pi / 4
    canvas.paint_face(
        np.array(place)
        + radius * np.stack([np.cos(turns), np.sin(turns), 0 * turns], axis=1),
        colour,
    )
