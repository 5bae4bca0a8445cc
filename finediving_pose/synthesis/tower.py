"""Tower and springboards of a venue: platforms with their rails and stairs, boards and
their stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from finediving_pose.synthesis import figure
from finediving_pose.synthesis.canvas import (
    Canvas,
    Colour,
    Corner,
    Image,
    mix_colours,
    shade_colour,
    span_floor,
)

if TYPE_CHECKING:
    from finediving_pose.synthesis.camera import View
    from finediving_pose.synthesis.people import Site
    from finediving_pose.synthesis.venue import Venue

# Length, half width and thickness of a springboard in m.
_BOARD, _HALF, _THICK = 4.8, 0.25, 0.06
FULCRUM = -2.0
"""x in m about which a springboard bends."""
# Length and thickness of a platform in m.
_LENGTH, _SLAB = 6.8, 0.28


class _Platform(NamedTuple):
    """A platform.

    Attributes:
        height: Of its floor above the water, in m.
        w: Of its middle line, or of a rail.
        half: Half its width in m.
        tip: x of its edge.
        front: Whether it may hide the athlete.
    """

    height: float
    w: float
    half: float
    tip: float
    front: bool


def paint_tower(site: Site) -> None:
    """Paint all but the athlete's own springboard, which moves: it is
    :func:`paint_springboard`'s."""
    rng, height = site.rng, site.venue.height
    if height > 5:
        _paint_springboards(site, (-7.0, -5.2), (1.0, 3.0))
        _paint_platforms(site, 0.0, front=True)
        if rng.random() < 0.5:
            _paint_waiting(site, (-5.6, height, float(rng.uniform(-0.7, 0.7))))
        return
    if rng.random() < 0.4:
        _paint_platforms(site, -float(rng.uniform(5.5, 8.5)), front=False)
    _paint_springboards(site, (-float(rng.uniform(2.2, 3.0)),), (height,))
    _paint_stand(site.canvas, site.venue, height, 0.0, front=True)
    if rng.random() < 0.5:
        _paint_waiting(site, (-4.9, 0.22, -1.2))


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
    # Beyond the fulcrum a board bends like a parabola, behind it a little upwards.
    y = height - deflection * np.clip((x - FULCRUM) / -FULCRUM, 0.0, None) ** 2
    behind = np.minimum((x - FULCRUM) / (_BOARD + FULCRUM), 0.0)
    y += 0.35 * deflection * behind * (x < FULCRUM)
    near = _HALF * view.side
    # The board's four long edges: far and near, above and below.
    edges = []
    for drop, side in ((0, -near), (0, near), (_THICK, near), (_THICK, -near)):
        edges.append(np.stack([x, y - drop, np.full_like(x, across + side)], axis=1))
    (far_top, near_top, near_low, far_low), _ = view.project(np.array(edges))
    if view.position[1] > height:
        _paint_strip(image, far_top, near_top, shade_colour(colour, 1.0))
    else:
        _paint_strip(image, far_low, near_low, shade_colour(colour, 0.5))
    _paint_strip(image, near_top, near_low, shade_colour(colour, 0.72))


def mix_board_colour(venue: Venue) -> Colour:
    """Return the colour of a venue's springboards."""
    return mix_colours(venue.theme.platform, (222, 216, 206), 0.55)


def _paint_strip(image: Image, first: Image, second: Image, colour: Colour) -> None:
    outline = np.round(np.concatenate([first, second[::-1]]) * 16).astype(np.int32)
    cv2.fillPoly(image, [outline], colour, cv2.LINE_AA, 4)


def _paint_platforms(site: Site, w: float, front: bool) -> None:
    """Paint platforms of 3, 5 and 7.5 m beside and below one of 10 m at `w`, the far
    ones first."""
    canvas, venue = site.canvas, site.venue
    concrete = mix_colours(venue.theme.concrete, (214, 212, 210), 0.45)
    _paint_stairs(canvas, venue.theme.rail, (-9.4, 0.22), (-7.0, 10.0), w - 1.0)
    pillar = shade_colour(concrete, 0.85)
    canvas.paint_box((-6.6, 0.22, w - 5.4), (-5.4, 7.4, w - 4.2), pillar)
    for height, beside, tip in (
        (3.0, -6.6, -0.4),
        (7.5, -4.8, -0.3),
        (5.0, -3.0, -0.2),
    ):
        _paint_platform(canvas, venue, _Platform(height, w + beside, 0.9, tip, False))
    canvas.paint_box((-6.0, 0.22, w - 0.7), (-4.6, 9.8, w + 0.7), concrete)
    for height in (5.0, 7.5):
        low, high = (-6.4, height - 0.4, w - 3.4), (-4.4, height - 0.1, w + 0.7)
        canvas.paint_box(low, high, shade_colour(concrete, 0.92))
    half = float(site.rng.uniform(1.0, 1.5))
    _paint_platform(canvas, venue, _Platform(10.0, w, half, 0.0, front))


def _paint_platform(canvas: Canvas, venue: Venue, platform: _Platform) -> None:
    """Paint a slab with a coloured edge, a rough dark top and rails along both sides."""
    height, w, half, tip, front = platform
    far = platform._replace(w=w - half + 0.05, front=False)
    near = platform._replace(w=w + half - 0.05)
    rail = venue.theme.rail
    # From below, the slab hides the posts of the far rail.
    _paint_rails(canvas, rail, far)
    low, high = (-_LENGTH, height - _SLAB, w - half), (tip, height, w + half)
    canvas.paint_box(low, high, venue.theme.platform, front)
    if canvas.view.position[1] > height:
        top = span_floor(
            -_LENGTH, tip - 0.1, height + 0.002, w - half + 0.1, w + half - 0.1
        )
        canvas.paint_face(top, (96, 92, 90))
        _paint_rails(canvas, rail, far)
    _paint_rails(canvas, rail, near)


def _paint_rails(canvas: Canvas, colour: Colour, side: _Platform) -> None:
    """Paint the rails along one side of a platform, at its `w`."""
    height, w, front = side.height, side.w, side.front
    start = side.tip - 0.9
    for level in (0.5, 1.0):
        back, end = (-_LENGTH, height + level, w), (start - 0.12, height + level, w)
        canvas.paint_rail(back, end, colour, 0.055, front)
    corner, end = (start - 0.12, height + 1.0, w), (start, height + 0.86, w)
    canvas.paint_rail(corner, end, colour, 0.055, front)
    for x in np.linspace(-_LENGTH, start, 5):
        top = height + (0.88 if x == start else 1.0)
        canvas.paint_rail((x, height, w), (x, top, w), colour, 0.055, front)


def _paint_stairs(
    canvas: Canvas,
    colour: Colour,
    low: tuple[float, float],
    high: tuple[float, float],
    w: float,
) -> None:
    """Paint flights that zigzag between two corners (x, y)."""
    flights = 4
    levels = np.linspace(low[1], high[1], flights + 1)
    for i in range(flights):
        begin, end = (low[0], high[0]) if i % 2 else (high[0], low[0])
        # The steps, and the rail above them.
        for offset, width, tone in ((0.0, 0.16, 0.7), (0.9, 0.05, 1.0)):
            foot = (begin, levels[i] + offset, w)
            head = (end, levels[i + 1] + offset, w)
            canvas.paint_rail(foot, head, shade_colour(colour, tone), width)
    post = shade_colour(colour, 0.8)
    for x in (low[0], high[0]):
        canvas.paint_rail((x, low[1], w), (x, high[1] + 0.9, w), post, 0.09)


def _paint_springboards(
    site: Site, across: tuple[float, ...], heights: tuple[float, ...]
) -> None:
    """Paint springboards at each w of `across`, each of one of the heights."""
    colour = mix_board_colour(site.venue)
    for w in across:
        height = float(site.rng.choice(heights))
        _paint_stand(site.canvas, site.venue, height, w)
        low, high = (-_BOARD, height - _THICK, w - _HALF), (0.0, height, w + _HALF)
        site.canvas.paint_box(low, high, colour)


def _paint_stand(
    canvas: Canvas, venue: Venue, height: float, w: float, front: bool = False
) -> None:
    """Paint the block a springboard rests on, its fulcrum, rails and steps; the near
    rail may hide people who walk behind it."""
    theme = venue.theme
    concrete = mix_colours(theme.concrete, (210, 208, 206), 0.4)
    top = height - 0.35
    if height > 2:
        canvas.paint_box((-4.9, 0.22, w - 0.35), (-4.1, top, w + 0.35), concrete)
        pillar = shade_colour(concrete, 0.95)
        canvas.paint_box((-2.6, 0.22, w - 0.3), (-1.7, top, w + 0.3), pillar)
        low, high = (-5.2, top - 0.22, w - 0.4), (-1.4, top, w + 0.4)
        canvas.paint_box(low, high, theme.platform)
        _paint_stairs(canvas, theme.rail, (-6.6, 0.22), (-5.2, height), w)
    else:
        canvas.paint_box((-5.2, 0.22, w - 0.4), (-1.6, top, w + 0.4), concrete)
    low = (FULCRUM - 0.2, top, w - 0.3)
    high = (FULCRUM + 0.2, height - _THICK, w + 0.3)
    canvas.paint_box(low, high, (70, 66, 62))
    for side in (-0.42, 0.42):
        hides = front and side > 0
        z = w + side
        for level in (0.45, 0.9):
            back, end = (-5.2, height + level, z), (-2.6, height + level, z)
            canvas.paint_rail(back, end, theme.rail, 0.045, hides)
        for x in (-5.2, -3.9, -2.6):
            foot, head = (x, top, z), (x, height + 0.9, z)
            canvas.paint_rail(foot, head, theme.rail, 0.045, hides)


def _paint_waiting(site: Site, place: Corner) -> None:
    """Paint the next athlete."""
    canvas, rng = site.canvas, site.rng
    look = figure.draw_look(rng, "women" if rng.random() < 0.5 else "men")
    heading = 90.0 * canvas.view.side
    site.crowd.paint_person(canvas, place, "standing_relaxed", heading, look, rng)
