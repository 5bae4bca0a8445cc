"""What is dived from: the platform tower with its rails and stairs, springboards and
their stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from finediving_pose.synthesis import figure
from finediving_pose.synthesis.canvas import (
    Canvas,
    Colour,
    Image,
    mix_colours,
    shade_colour,
    span_floor,
)

if TYPE_CHECKING:
    from finediving_pose.synthesis.camera import View
    from finediving_pose.synthesis.people import Crowd
    from finediving_pose.synthesis.venue import Venue

_BOARD = 4.8
"""Length of a springboard in m, and its half width and thickness."""
_HALF = 0.25
_THICK = 0.06
_FULCRUM = -2.0
"""x in m about which a springboard bends."""
_SLAB = 0.28


def paint_tower(
    canvas: Canvas, venue: Venue, crowd: Crowd, rng: np.random.Generator
) -> None:
    """Paint all but the athlete's own springboard, which moves: it is
    :func:`paint_springboard`'s."""
    height = venue.height
    if height > 5:
        _paint_springboards(canvas, venue, (-7.0, -5.2), (1.0, 3.0), rng)
        _paint_platforms(canvas, venue, 0.0, rng, front=True)
        if rng.random() < 0.5:
            _paint_waiting(
                canvas, crowd, (-5.6, height, float(rng.uniform(-0.7, 0.7))), rng
            )
        return
    if rng.random() < 0.4:
        _paint_platforms(canvas, venue, -float(rng.uniform(5.5, 8.5)), rng, front=False)
    _paint_springboards(canvas, venue, (-float(rng.uniform(2.2, 3.0)),), (height,), rng)
    _paint_stand(canvas, venue, height, 0.0, front=True)
    if rng.random() < 0.5:
        _paint_waiting(canvas, crowd, (-4.9, 0.22, -1.2), rng)


def paint_springboard(
    image: Image, view: View, venue: Venue, deflection: float, across: float = 0.0
) -> None:
    """Paint the athlete's springboard into a frame.

    Args:
        image: (H, W, 3) uint8, changed in place.
        view: A single view.
        venue: Says its height and colour.
        deflection: How far its tip is bent down, in m.
        across: z in m of its middle line.
    """
    height, colour = venue.height, mix_board_colour(venue)
    x = np.linspace(0.0, -_BOARD, 9)
    y = height - deflection * np.clip((x - _FULCRUM) / -_FULCRUM, 0.0, None) ** 2
    y += (
        0.35
        * deflection
        * np.minimum((x - _FULCRUM) / (_BOARD + _FULCRUM), 0.0)
        * (x < _FULCRUM)
    )
    near = _HALF * view.side
    # The board's four long edges: far and near, above and below.
    edges = []
    for drop, side in ((0, -near), (0, near), (_THICK, near), (_THICK, -near)):
        edges.append(np.stack([x, y - drop, np.full_like(x, across + side)], axis=1))
    (far_top, near_top, near_low, far_low), _ = view.project(np.array(edges))
    above = view.position[1] > height
    _paint_strip(
        image,
        *((far_top, near_top) if above else (far_low, near_low)),
        shade_colour(colour, 1.0 if above else 0.5),
    )
    _paint_strip(image, near_top, near_low, shade_colour(colour, 0.72))


def _paint_strip(image: Image, first: Image, second: Image, colour: Colour) -> None:
    outline = np.round(np.concatenate([first, second[::-1]]) * 16).astype(np.int32)
    cv2.fillPoly(image, [outline], colour, cv2.LINE_AA, 4)


def _paint_platforms(
    canvas: Canvas, venue: Venue, w: float, rng: np.random.Generator, front: bool
) -> None:
    """Platforms of 3, 5 and 7.5 m beside and below that of 10 m at `w`, the far ones
    first."""
    theme = venue.theme
    concrete = mix_colours(theme.concrete, (214, 212, 210), 0.45)
    _paint_stairs(canvas, theme.rail, (-9.4, 0.22), (-7.0, 10.0), w - 1.0)
    canvas.paint_box(
        (-6.6, 0.22, w - 5.4), (-5.4, 7.4, w - 4.2), shade_colour(concrete, 0.85)
    )
    for height, beside, reach in (
        (3.0, -6.6, -0.4),
        (7.5, -4.8, -0.3),
        (5.0, -3.0, -0.2),
    ):
        _paint_platform(canvas, venue, height, w + beside, 0.9, reach, False)
    canvas.paint_box((-6.0, 0.22, w - 0.7), (-4.6, 9.8, w + 0.7), concrete)
    for height in (5.0, 7.5):
        canvas.paint_box(
            (-6.4, height - 0.4, w - 3.4),
            (-4.4, height - 0.1, w + 0.7),
            shade_colour(concrete, 0.92),
        )
    _paint_platform(canvas, venue, 10.0, w, float(rng.uniform(1.0, 1.5)), 0.0, front)


def _paint_platform(
    canvas: Canvas,
    venue: Venue,
    height: float,
    w: float,
    half: float,
    tip: float,
    front: bool,
) -> None:
    """A slab 6.8 m long with a coloured edge, a rough dark top and rails along both
    sides."""
    theme = venue.theme
    _paint_rails(
        canvas, theme.rail, height, w - half + 0.05, tip, False
    )  # from below, the slab hides its posts
    canvas.paint_box(
        (-6.8, height - _SLAB, w - half), (tip, height, w + half), theme.platform, front
    )
    if canvas.view.position[1] > height:
        top = span_floor(
            -6.8, tip - 0.1, height + 0.002, w - half + 0.1, w + half - 0.1
        )
        canvas.paint_face(top, (96, 92, 90))
        _paint_rails(canvas, theme.rail, height, w - half + 0.05, tip, False)
    _paint_rails(canvas, theme.rail, height, w + half - 0.05, tip, front)


def _paint_rails(
    canvas: Canvas, colour: Colour, height: float, w: float, tip: float, front: bool
) -> None:
    start = tip - 0.9
    for level in (0.5, 1.0):
        canvas.paint_rail(
            (-6.8, height + level, w),
            (start - 0.12, height + level, w),
            colour,
            0.055,
            front,
        )
    canvas.paint_rail(
        (start - 0.12, height + 1.0, w), (start, height + 0.86, w), colour, 0.055, front
    )
    for x in np.linspace(-6.8, start, 5):
        canvas.paint_rail(
            (x, height, w),
            (x, height + (0.88 if x == start else 1.0), w),
            colour,
            0.055,
            front,
        )


def _paint_stairs(
    canvas: Canvas,
    colour: Colour,
    low: tuple[float, float],
    high: tuple[float, float],
    w: float,
) -> None:
    """Flights that zigzag between two corners (x, y)."""
    flights = 4
    levels = np.linspace(low[1], high[1], flights + 1)
    for i in range(flights):
        ends = (low[0], high[0]) if i % 2 else (high[0], low[0])
        for offset, width, tone in ((0.0, 0.16, 0.7), (0.9, 0.05, 1.0)):
            canvas.paint_rail(
                (ends[0], levels[i] + offset, w),
                (ends[1], levels[i + 1] + offset, w),
                shade_colour(colour, tone),
                width,
            )
    for x in (low[0], high[0]):
        canvas.paint_rail(
            (x, low[1], w), (x, high[1] + 0.9, w), shade_colour(colour, 0.8), 0.09
        )


def _paint_springboards(
    canvas: Canvas,
    venue: Venue,
    places: tuple[float, ...],
    heights: tuple[float, ...],
    rng: np.random.Generator,
) -> None:
    for w in places:
        height = float(rng.choice(heights))
        _paint_stand(canvas, venue, height, w)
        tone = mix_board_colour(venue)
        canvas.paint_box(
            (-_BOARD, height - _THICK, w - _HALF), (0.0, height, w + _HALF), tone
        )


def mix_board_colour(venue: Venue) -> Colour:
    """Return the colour of a venue's springboards."""
    return mix_colours(venue.theme.platform, (222, 216, 206), 0.55)


def _paint_stand(
    canvas: Canvas, venue: Venue, height: float, w: float, front: bool = False
) -> None:
    """The block a springboard rests on, its fulcrum, rails and steps; the near rail may
    hide who walks behind it."""
    theme = venue.theme
    concrete = mix_colours(theme.concrete, (210, 208, 206), 0.4)
    top = height - 0.35
    if height > 2:
        canvas.paint_box((-4.9, 0.22, w - 0.35), (-4.1, top, w + 0.35), concrete)
        canvas.paint_box(
            (-2.6, 0.22, w - 0.3), (-1.7, top, w + 0.3), shade_colour(concrete, 0.95)
        )
        canvas.paint_box(
            (-5.2, top - 0.22, w - 0.4), (-1.4, top, w + 0.4), theme.platform
        )
        _paint_stairs(canvas, theme.rail, (-6.6, 0.22), (-5.2, height), w)
    else:
        canvas.paint_box((-5.2, 0.22, w - 0.4), (-1.6, top, w + 0.4), concrete)
    canvas.paint_box(
        (_FULCRUM - 0.2, top, w - 0.3),
        (_FULCRUM + 0.2, height - _THICK, w + 0.3),
        (70, 66, 62),
    )
    for side in (-0.42, 0.42):
        hides = front and side > 0
        for level in (0.45, 0.9):
            canvas.paint_rail(
                (-5.2, height + level, w + side),
                (-2.6, height + level, w + side),
                theme.rail,
                0.045,
                hides,
            )
        for x in (-5.2, -3.9, -2.6):
            canvas.paint_rail(
                (x, top, w + side),
                (x, height + 0.9, w + side),
                theme.rail,
                0.045,
                hides,
            )


def _paint_waiting(
    canvas: Canvas,
    crowd: Crowd,
    place: tuple[float, float, float],
    rng: np.random.Generator,
) -> None:
    """The next athlete."""
    look = figure.draw_look(rng, "women" if rng.random() < 0.5 else "men")
    crowd.paint_person(
        canvas, place, "standing_relaxed", 90.0 * canvas.view.side, look, rng
    )
