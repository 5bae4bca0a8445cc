"""Backdrop of a venue: the walls and the roof of a hall, or sky, hills and trees."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np

from finediving_pose.records import FloatArray
from finediving_pose.synthesis.canvas import (
    Canvas,
    Colour,
    Corner,
    blend_over,
    mix_colours,
    shade_colour,
    span_end,
    span_floor,
    span_wall,
)
from finediving_pose.synthesis.people import Site

_END = -17.0
"""x of the wall behind the tower, m."""
_WIDE = 70.0
_ROOF = 19.0


def paint_backdrop(site: Site) -> None:
    """Paint what is farther away than the stands."""
    venue = site.venue
    far = venue.tiers[-1].far if venue.tiers else venue.pool_far - venue.deck
    far -= 1.5
    if venue.theme.roofed:
        _paint_hall(site, far)
    else:
        _paint_sky(site)
        _paint_hills(site)
        _paint_trees(site, far - 6.0)


def _paint_hall(site: Site, far: float) -> None:
    canvas, theme, rng = site.canvas, site.venue.theme, site.rng
    wall = shade_colour(theme.wall, 1.0 - 0.45 * theme.dark)
    back = span_wall(-_WIDE, _WIDE, -2.0, _ROOF, far)
    canvas.paint_gradient(back, wall, shade_colour(wall, 0.72))
    pitch = float(rng.uniform(2.5, 6.0))
    for x in np.arange(-_WIDE, _WIDE, pitch):
        pillar = span_wall(x, x + 0.25 + 0.06 * pitch, -2.0, _ROOF, far + 0.1)
        canvas.paint_face(pillar, shade_colour(wall, 0.8))
    choices = (_paint_windows, _paint_flags, _paint_screen, _paint_panels)
    furnish = choices[int(rng.integers(4))]
    furnish(site, far + 0.2)
    if rng.random() < 0.6:
        x, y = float(rng.uniform(-5.0, 9.0)), float(rng.uniform(5.5, 9.5))
        _paint_clock(canvas, (x, y, far + 0.3), rng)
    _paint_ceiling(canvas, wall, far, rng)
    end = [(_END, _ROOF, far), (_END, _ROOF, 40), (_END, -1, 40), (_END, -1, far)]
    canvas.paint_gradient(end, shade_colour(wall, 0.7), wall)
    for y in np.arange(3.0, _ROOF, 4.0):
        strip = span_end(_END + 0.1, y, y + 0.3, far, 40)
        canvas.paint_face(strip, shade_colour(wall, 0.85))


def _paint_ceiling(
    canvas: Canvas, wall: Colour, far: float, rng: np.random.Generator
) -> None:
    """Paint the roof with its beams, struts and lamps."""
    tone = shade_colour(wall, float(rng.uniform(0.35, 0.6)))
    canvas.paint_face(span_floor(-_WIDE, _WIDE, _ROOF, far, 5), tone)
    for w in np.arange(far, 5.0, 4.5):
        beam = span_wall(-_WIDE, _WIDE, _ROOF - 1.1, _ROOF - 0.9, w)
        canvas.paint_face(beam, shade_colour(tone, 1.5))
        for x in np.arange(-24.0, 24.0, 6.0):
            foot, head = (x, _ROOF - 1.0, w), (x + 3, _ROOF, w)
            canvas.paint_rail(foot, head, shade_colour(tone, 1.4), 0.12)
            lamp = span_wall(x + 2.2, x + 3.6, _ROOF - 1.5, _ROOF - 1.15, w)
            canvas.paint_face(lamp, (250, 252, 255))


def _paint_windows(site: Site, w: float) -> None:
    canvas, rng, wall = site.canvas, site.rng, site.venue.theme.wall
    low, high = sorted(rng.uniform(7.0, 17.0, 2))
    bright = mix_colours(wall, (250, 240, 226), float(rng.uniform(0.4, 0.9)))
    width = float(rng.uniform(1.2, 3.5))
    for x in np.arange(-36.0, 36.0, width + 0.3):
        window = span_wall(x, x + width, low, max(high, low + 2), w)
        canvas.paint_gradient(window, shade_colour(bright, 0.85), bright, 5)


def _paint_flags(site: Site, w: float) -> None:
    """Paint a row of flags of no country."""
    canvas, rng = site.canvas, site.rng
    y = float(rng.uniform(9.0, 15.0))
    for x in np.arange(-22.0, 22.0, 2.6):
        stripes = rng.integers(20, 240, (3, 3)).tolist()
        upright = rng.random() < 0.5
        for i, (blue, green, red) in enumerate(stripes):
            if upright:
                part = span_wall(x + i * 0.6, x + (i + 1) * 0.6, y, y + 1.2, w)
            else:
                part = span_wall(x, x + 1.8, y + i * 0.4, y + (i + 1) * 0.4, w)
            canvas.paint_face(part, (blue, green, red))


def _paint_screen(site: Site, w: float) -> None:
    """Paint a large screen with the meet's name; it never shows a score."""
    canvas, venue, rng = site.canvas, site.venue, site.rng
    y, x = float(rng.uniform(7.0, 12.0)), float(rng.uniform(-6.0, 4.0))
    image = np.full((90, 200, 3), shade_colour(venue.theme.band, 0.5), np.uint8)
    font, ink = cv2.FONT_HERSHEY_SIMPLEX, venue.theme.ink
    for row, word in enumerate(venue.sponsors[:3]):
        corner = (10, 26 + 26 * row)
        cv2.putText(image, word, corner, font, 0.75, ink, 2, cv2.LINE_AA)
    frame = span_wall(x - 0.2, x + 8.2, y - 3.8, y + 0.2, w)
    canvas.paint_face(frame, (24, 22, 22))
    # From either side, words run to the right.
    start, along = (x, 8.0) if canvas.view.side > 0 else (x + 8.0, -8.0)
    canvas.paste_poster((start, y, w + 0.1), (along, 0, 0), (0, -3.6, 0), image)


def _paint_clock(canvas: Canvas, place: Corner, rng: np.random.Generator) -> None:
    circle = _make_circle(20)
    canvas.paint_face(np.array(place) + 0.75 * circle, (50, 46, 44))
    canvas.paint_face(np.array(place) + 0.66 * circle, (244, 246, 246))
    x, y, w = place
    for length, width in ((0.36, 0.09), (0.55, 0.06)):
        turn = float(rng.uniform(0, 2 * np.pi))
        tip = (x + length * np.sin(turn), y + length * np.cos(turn), w)
        canvas.paint_rail(place, tip, (30, 28, 28), width)


def _paint_panels(site: Site, w: float) -> None:
    """Paint coloured boards that swallow sound."""
    canvas, theme, rng = site.canvas, site.venue.theme, site.rng
    for x in np.arange(-30.0, 30.0, 3.0):
        for y in np.arange(6.0, 16.0, 2.4):
            tone = mix_colours(theme.wall, theme.seat, float(rng.uniform(0.0, 0.5)))
            panel = span_wall(x, x + 2.7, y, y + 2.2, w)
            canvas.paint_face(panel, shade_colour(tone, 1.0 - 0.4 * theme.dark))


def _paint_sky(site: Site) -> None:
    """Paint a sky that is paler at the horizon, and soft clouds."""
    canvas, rng, high = site.canvas, site.rng, site.venue.theme.wall
    sky = span_wall(-900, 900, 420.0, -60.0, -600.0)
    canvas.paint_gradient(sky, high, mix_colours(high, (250, 248, 246), 0.7), 60)
    rows, columns = canvas.image.shape[:2]
    mask = np.zeros((rows // 4, columns // 4), np.uint8)
    for _ in range(int(rng.integers(0, 26))):
        centre = (int(rng.integers(mask.shape[1])), int(rng.integers(mask.shape[0])))
        size = (int(rng.integers(10, 60)), int(rng.integers(3, 12)))
        cv2.ellipse(mask, centre, size, 0, 0, 360, 190, -1)
    blurred = cv2.GaussianBlur(mask, (0, 0), 7)
    soft = cv2.resize(blurred, (columns, rows), interpolation=cv2.INTER_LINEAR)
    clouds = np.full_like(canvas.image, (246, 244, 242))
    blend_over(canvas.image, clouds, soft.astype(np.uint8))


def _paint_hills(site: Site) -> None:
    """Paint two ridges, each a sum of three waves; the farther one is paler."""
    wall = site.venue.theme.wall
    for w, height in ((-420.0, 60.0), (-260.0, 32.0)):
        x = np.linspace(-420, 420, 60)
        phases = site.rng.uniform(0, 6.3, 3)
        waves = np.zeros_like(x)
        for size, phase in zip((110, 47, 23), phases, strict=True):
            waves += 0.17 * np.sin(x / size + phase)
        ridge = height * (0.5 + waves)
        tone = mix_colours((86, 120, 92), wall, 0.3 + 0.4 * (w < -300))
        for (a, b), (p, q) in zip(pairwise(x), pairwise(ridge), strict=True):
            slope = [(a, -40, w), (b, -40, w), (b, q, w), (a, p, w)]
            site.canvas.paint_face(slope, tone)


def _paint_trees(site: Site, w: float) -> None:
    """Paint a line of trees: heaps of leaves in a few greens, lit from above."""
    canvas, rng = site.canvas, site.rng
    leaf = _make_circle(8)
    tone = np.array([48, 92, 62]) * float(rng.uniform(0.7, 1.3))
    for x in np.arange(-40.0, 40.0, float(rng.uniform(2.5, 6.0))):
        top, spread = float(rng.uniform(6.0, 13.0)), float(rng.uniform(1.0, 1.8))
        # Low leaves first: those above them catch the light.
        for up in np.sort(rng.uniform(0.0, 1.0, 110)):
            lit = tone * (0.6 + 0.6 * up) * rng.uniform(0.85, 1.1)
            blue, green, red = (int(v) for v in np.clip(lit, 0, 255))
            aside = spread * (1.05 - up) ** 0.5 * rng.normal(0.0, 0.8)
            radius = float(rng.uniform(0.25, 0.6))
            corners = np.array((x + aside, top * up, w)) + radius * leaf
            canvas.paint_face(corners, (blue, green, red))
    ground = span_wall(-_WIDE, _WIDE, -3.0, 1.0, w + 0.5)
    canvas.paint_face(ground, shade_colour((44, 80, 54), 0.8))


def _make_circle(corners: int) -> FloatArray:
    """Return (C, 3) of an upright circle of radius 1."""
    turns = np.arange(corners) * np.pi / (corners / 2)
    return np.stack([np.cos(turns), np.sin(turns), 0 * turns], axis=1)
