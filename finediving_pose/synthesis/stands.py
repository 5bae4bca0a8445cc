"""Stands of a venue: tiers of seats, aisles, bands with words on them, and the
spectators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from finediving_pose.records import FloatArray
from finediving_pose.synthesis.canvas import (
    Canvas,
    Colour,
    Image,
    mix_colours,
    shade_colour,
    span_floor,
    span_wall,
)
from finediving_pose.synthesis.people import FANS, Site
from finediving_pose.synthesis.venue import Tier, Venue

_WIDTH = 34.0
"""Half the length of the stands in m."""
# m from seat to seat.
_PITCH = 0.54
_AISLE = 1.3


class _Sector(NamedTuple):
    """Seats between two aisles.

    Attributes:
        start, end: x in m.
        density: Share of the seats that are taken.
        group: Which of the crowd's groups sits there.
    """

    start: float
    end: float
    density: float
    group: int

    @property
    def seats(self) -> FloatArray:
        """(C,) x in m."""
        return np.arange(self.start + _PITCH / 2, self.end, _PITCH)


@dataclass(frozen=True)
class _Row:
    """One row of a tier: y of its floor and w of its front edge, in m."""

    tier: Tier
    number: int

    @property
    def y(self) -> float:
        """Height of the floor."""
        return self.tier.floor + self.number * self.tier.rise

    @property
    def w(self) -> float:
        """Front edge."""
        return self.tier.near - self.number * self.tier.tread


def paint_stands(site: Site) -> None:
    """Paint the tiers and their spectators, the farthest first."""
    for tier in reversed(site.venue.tiers):
        sectors = _draw_sectors(site.rng, site.venue.crowd)
        _paint_back(site.canvas, site.venue, tier)
        for number in reversed(range(tier.rows)):
            row = _Row(tier, number)
            _paint_row(site.canvas, site.venue, row, sectors)
            _seat_spectators(site, row, sectors)
        _paint_front(site, tier, sectors)


def _draw_sectors(rng: np.random.Generator, density: float) -> list[_Sector]:
    found, x = [], -_WIDTH
    while x < _WIDTH:
        end = x + float(rng.uniform(6.0, 11.0))
        # Now and then a sector is nearly empty, or packed.
        if rng.random() < 0.75:
            taken = density * rng.uniform(0.3, 1.3)
        else:
            taken = density * rng.choice([0.08, 2.5])
        group = int(rng.integers(1, FANS + 1)) if rng.random() < 0.3 else 0
        taken = float(np.clip(taken, 0.0, 0.97))
        found.append(_Sector(x + _AISLE / 2, end - _AISLE / 2, taken, group))
        x = end
    return found


def _paint_back(canvas: Canvas, venue: Venue, tier: Tier) -> None:
    """Paint the slope that everything stands on, so that no gap shows between the rows."""
    slope = [
        (-_WIDTH, tier.top, tier.far),
        (_WIDTH, tier.top, tier.far),
        (_WIDTH, tier.floor, tier.near),
        (-_WIDTH, tier.floor, tier.near),
    ]
    canvas.paint_face(slope, shade_colour(venue.theme.concrete, 0.62))


def _paint_row(canvas: Canvas, venue: Venue, row: _Row, sectors: list[_Sector]) -> None:
    concrete, tier = venue.theme.concrete, row.tier
    step = span_wall(-_WIDTH, _WIDTH, row.y - tier.rise, row.y, row.w)
    canvas.paint_face(step, shade_colour(concrete, 0.8))
    floor = span_floor(-_WIDTH, _WIDTH, row.y, row.w, row.w - tier.tread)
    canvas.paint_face(floor, concrete)
    for sector in sectors:
        _paint_steps(canvas, venue.theme.seat_alt, row, sector.end)
        seats = sector.seats
        if len(seats):
            colours = _draw_seat_colours(venue, seats, row.number)
            _paint_seats(canvas, seats, row, colours)


def _draw_seat_colours(venue: Venue, seats: FloatArray, number: int) -> FloatArray:
    """Return (C, 3): the main colour, the other one scattered or in patches, each seat
    worn in its own way."""
    rng = np.random.default_rng((venue.seed, 3, number, int(1000 + 10 * seats[0])))
    scattered = rng.random(len(seats)) < (0.3 if venue.seed % 3 == 0 else 0.02)
    main, other = venue.theme.seat, venue.theme.seat_alt
    colours = np.where(scattered[:, None], other, main).astype(np.float64)
    return colours * rng.uniform(0.9, 1.08, (len(seats), 1))


def _paint_seats(
    canvas: Canvas, seats: FloatArray, row: _Row, colours: FloatArray
) -> None:
    """Paint a back and a pan for each seat; the back is lit along its upper edge."""
    half = 0.22
    back, front = row.w - 0.62, row.w - 0.28
    rest = [(-half, 0.42), (half, 0.42), (0.92 * half, 0.84), (-0.92 * half, 0.84)]
    edge = [
        (-0.9 * half, 0.76),
        (0.9 * half, 0.76),
        (0.85 * half, 0.84),
        (-0.85 * half, 0.84),
    ]
    pan = [(-half, 0.30), (half, 0.30), (half, 0.44), (-half, 0.44)]
    for outline, depth, light in (
        (rest, back, 0.92),
        (edge, back, 1.2),
        (pan, front, 0.66),
    ):
        corners = np.array(outline)
        faces = np.empty((len(seats), len(corners), 3))
        faces[..., 0] = seats[:, None] + corners[:, 0]
        faces[..., 1] = row.y + corners[:, 1]
        faces[..., 2] = depth
        lit = np.clip(light * colours, 0, 255).astype(np.uint8)
        canvas.paint_faces(faces, lit)


def _paint_steps(canvas: Canvas, colour: Colour, row: _Row, x: float) -> None:
    """Paint two steps of the aisle that follows a sector."""
    rise, tread = row.tier.rise / 2, row.tier.tread / 2
    for step in range(2):
        low = row.y + step * row.tier.rise / 2
        back = row.w - step * row.tier.tread / 2
        end = x + _AISLE
        front = span_wall(x, end, low - rise, low, back)
        canvas.paint_face(front, shade_colour(colour, 0.7))
        top = span_floor(x, end, low, back, back - tread)
        canvas.paint_face(top, shade_colour(colour, 0.95))


def _seat_spectators(site: Site, row: _Row, sectors: list[_Sector]) -> None:
    canvas, crowd, rng = site.canvas, site.crowd, site.rng
    y, w = row.y, row.w
    for sector in sectors:
        seats = sector.seats
        for seat in seats[rng.random(len(seats)) < sector.density]:
            x = float(seat + rng.uniform(-0.06, 0.06))
            if rng.random() < 0.05:
                crowd.stand_spectator(canvas, (x, y, w - 0.2), rng, sector.group)
            else:
                crowd.seat_spectator(canvas, (x, y + 0.45, w - 0.42), rng, sector.group)


def _paint_front(site: Site, tier: Tier, sectors: list[_Sector]) -> None:
    """Paint the wall before the first row, its band of words, and a rail on top; raised
    tiers have a dark gangway below."""
    canvas, venue, rng = site.canvas, site.venue, site.rng
    wall = shade_colour(venue.theme.concrete, 0.9)
    face = span_wall(-_WIDTH, _WIDTH, tier.foot - 3.0, tier.floor, tier.near)
    canvas.paint_face(face, wall)
    if tier.foot > 0:
        gap = tier.foot - 0.1
        gangway = span_wall(-_WIDTH, _WIDTH, gap - 2.2, gap, tier.near + 0.02)
        canvas.paint_face(gangway, shade_colour(venue.theme.concrete, 0.42))
        for x in rng.uniform(-14, 14, int(rng.integers(2, 9))):
            place = (float(x), gap - 2.1, tier.near + 0.1)
            site.crowd.stand_spectator(canvas, place, rng, 0)
    for sector in sectors:
        if rng.random() < 0.25:
            _paint_door(canvas, sector.end, tier, rng)
    low = tier.floor - min(1.25, 0.8 * (tier.floor - tier.foot))
    corner = (-_WIDTH, tier.floor - 0.02, tier.near + 0.06)
    paint_band(site, corner, 2 * _WIDTH, tier.floor - low)
    shadow = span_wall(-_WIDTH, _WIDTH, low - 0.08, low, tier.near + 0.08)
    canvas.paint_face(shadow, shade_colour(wall, 0.5))
    _paint_rail(canvas, venue.theme.rail, tier)
    if rng.random() < 0.3:
        _paint_pennants(canvas, venue, tier)


def _paint_pennants(canvas: Canvas, venue: Venue, tier: Tier) -> None:
    """Paint a line of small flags before the rail, in the venue's colours by turns."""
    tones = (venue.theme.band, venue.theme.ink, venue.theme.seat_alt)
    y, w = tier.floor + 0.88, tier.near + 0.05
    for i, x in enumerate(np.arange(-18.0, 18.0, 0.32)):
        flag = [(x, y, w), (x + 0.24, y, w), (x + 0.12, y - 0.36, w)]
        canvas.paint_face(flag, tones[i % 3])


def _paint_door(canvas: Canvas, x: float, tier: Tier, rng: np.random.Generator) -> None:
    """Paint a dark door with a green or yellow sign above it."""
    low = tier.floor - 0.9
    door = span_wall(x, x + _AISLE, low - 1.2, low + 0.8, tier.near + 0.03)
    canvas.paint_face(door, (30, 28, 28))
    sign = span_wall(x + 0.1, x + 0.9, low + 0.45, low + 0.7, tier.near + 0.05)
    canvas.paint_face(sign, (60, int(rng.integers(90, 190)), 40))


def _paint_rail(canvas: Canvas, colour: Colour, tier: Tier) -> None:
    floor, near = tier.floor, tier.near
    for height in (0.45, 0.9):
        start, end = (-_WIDTH, floor + height, near), (_WIDTH, floor + height, near)
        canvas.paint_rail(start, end, colour, 0.04)
    post = shade_colour(colour, 0.85)
    for x in np.arange(-_WIDTH, _WIDTH, 1.8):
        canvas.paint_rail((x, floor, near), (x, floor + 0.9, near), post, 0.04)


def paint_band(
    site: Site, corner: tuple[float, float, float], width: float, height: float
) -> None:
    """Paint an advertising band with invented words; in some venues every panel has a
    ground of its own.

    Args:
        site: Where.
        corner: Its top-left corner, x, y, w in m.
        width, height: In m.
    """
    canvas, venue, rng = site.canvas, site.venue, site.rng
    theme, (x, y, w) = venue.theme, corner
    patchy = venue.seed % 2 == 0
    while x < corner[0] + width:
        length = float(rng.uniform(3.5, 7.0))
        ground = theme.band
        if patchy:
            ground = mix_colours(ground, theme.seat_alt, float(rng.uniform(0, 0.9)))
        # Words that no camera sees are not written.
        if abs(x) < 18:
            word = str(rng.choice(venue.sponsors))
            image = _draw_words(word, ground, theme.ink, length / height, rng)
            # From either side, words run to the right.
            start, along = (
                (x, length) if canvas.view.side > 0 else (x + length, -length)
            )
            canvas.paste_poster((start, y, w), (along, 0, 0), (0, -height, 0), image)
        else:
            panel = span_wall(x, x + length, y - height, y, w)
            canvas.paint_face(panel, ground)
        x += length


def _draw_words(
    word: str, ground: Colour, ink: Colour, ratio: float, rng: np.random.Generator
) -> Image:
    """Return (48, W, 3): a word on a ground that may be flat, run over into another
    tone, or carry waves."""
    height = 48
    width = max(height, int(height * ratio))
    image = np.empty((height, width, 3), np.uint8)
    share = np.linspace(0, 1, width)[:, None] * float(rng.uniform(0, 0.4))
    light = np.array(shade_colour(ground, 1.4))
    image[:] = np.array(ground) * (1 - share) + light * share
    if rng.random() < 0.4:
        for _ in range(3):
            centre = (int(rng.integers(width)), int(rng.integers(height, 3 * height)))
            radius = int(rng.integers(height, 3 * height))
            dark = shade_colour(ground, 0.75)
            cv2.circle(image, centre, radius, dark, 3, cv2.LINE_AA)
    fonts = [
        cv2.FONT_HERSHEY_DUPLEX,
        cv2.FONT_HERSHEY_TRIPLEX,
        cv2.FONT_HERSHEY_SIMPLEX,
    ]
    font = int(rng.choice(fonts))
    scale = float(rng.uniform(0.85, 1.15))
    (length, tall), _ = cv2.getTextSize(word, font, scale, 2)
    # A long word is made smaller.
    fitting = min(1.0, 0.9 * width / length)
    scale *= fitting
    left = (width - int(length * fitting)) // 2
    corner = (left, (height + tall) // 2)
    cv2.putText(image, word, corner, font, scale, ink, 2, cv2.LINE_AA)
    return image
