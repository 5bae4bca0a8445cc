"""The stands: tiers of seats, aisles, bands with words on them, and the spectators."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

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
from finediving_pose.synthesis.people import FANS
from finediving_pose.synthesis.venue import Tier

if TYPE_CHECKING:
    from finediving_pose.synthesis.people import Crowd
    from finediving_pose.synthesis.venue import Venue

_WIDTH = 34.0
"""Half the length of the stands in m."""
_PITCH = 0.54
_AISLE = 1.3


def paint_stands(
    canvas: Canvas, venue: Venue, crowd: Crowd, rng: np.random.Generator
) -> None:
    """Paint the tiers and their spectators, the farthest first."""
    for tier in reversed(venue.tiers):
        sectors = _draw_sectors(rng, venue.crowd)
        _paint_back(canvas, venue, tier)
        for row in reversed(range(tier.rows)):
            _paint_row(canvas, venue, tier, row, sectors)
            _seat_spectators(canvas, tier, row, sectors, crowd, rng)
        _paint_front(canvas, venue, tier, sectors, crowd, rng)


class _Sector(NamedTuple):
    """Seats between two aisles: from x to x in m, how many are taken, and which of the
    crowd's groups sits there."""

    start: float
    end: float
    density: float
    group: int


def _draw_sectors(rng: np.random.Generator, density: float) -> list[_Sector]:
    found, x = [], -_WIDTH
    while x < _WIDTH:
        end = x + float(rng.uniform(6.0, 11.0))
        taken = (
            density * rng.uniform(0.3, 1.3)
            if rng.random() < 0.75
            else density * rng.choice([0.08, 2.5])
        )
        group = int(rng.integers(1, FANS + 1)) if rng.random() < 0.3 else 0
        found.append(
            _Sector(
                x + _AISLE / 2,
                end - _AISLE / 2,
                float(np.clip(taken, 0.0, 0.97)),
                group,
            )
        )
        x = end
    return found


def _paint_back(canvas: Canvas, venue: Venue, tier: Tier) -> None:
    """The slope that everything stands on, so that no gap shows between the rows."""
    dark = shade_colour(venue.theme.concrete, 0.62)
    canvas.paint_face(
        [
            (-_WIDTH, tier.top, tier.far),
            (_WIDTH, tier.top, tier.far),
            (_WIDTH, tier.floor, tier.near),
            (-_WIDTH, tier.floor, tier.near),
        ],
        dark,
    )


def _paint_row(
    canvas: Canvas, venue: Venue, tier: Tier, row: int, sectors: list[_Sector]
) -> None:
    theme = venue.theme
    y, w = tier.floor + row * tier.rise, tier.near - row * tier.tread
    canvas.paint_face(
        span_wall(-_WIDTH, _WIDTH, y - tier.rise, y, w),
        shade_colour(theme.concrete, 0.8),
    )
    canvas.paint_face(span_floor(-_WIDTH, _WIDTH, y, w, w - tier.tread), theme.concrete)
    for sector in sectors:
        _paint_steps(canvas, theme.seat_alt, tier, sector.end, y, w)
        columns = np.arange(sector.start + _PITCH / 2, sector.end, _PITCH)
        if len(columns):
            _paint_seats(canvas, columns, y, w, _draw_seat_colours(venue, columns, row))


def _draw_seat_colours(venue: Venue, columns: FloatArray, row: int) -> FloatArray:
    """(C, 3): the main colour, the other one scattered or in patches, each seat worn in
    its own way."""
    rng = np.random.default_rng((venue.seed, 3, row, int(1000 + 10 * columns[0])))
    scattered = rng.random(len(columns)) < (0.3 if venue.seed % 3 == 0 else 0.02)
    colours = np.where(
        scattered[:, None], venue.theme.seat_alt, venue.theme.seat
    ).astype(np.float64)
    return colours * rng.uniform(0.9, 1.08, (len(columns), 1))


def _paint_seats(
    canvas: Canvas, x: FloatArray, y: float, w: float, colours: FloatArray
) -> None:
    """A back and a pan for each place; the back is lit along its upper edge."""
    half = 0.22
    back, front = w - 0.62, w - 0.28
    shapes = (
        (
            [(-half, 0.42), (half, 0.42), (0.92 * half, 0.84), (-0.92 * half, 0.84)],
            back,
            0.92,
        ),
        (
            [
                (-0.9 * half, 0.76),
                (0.9 * half, 0.76),
                (0.85 * half, 0.84),
                (-0.85 * half, 0.84),
            ],
            back,
            1.2,
        ),
        ([(-half, 0.30), (half, 0.30), (half, 0.44), (-half, 0.44)], front, 0.66),
    )
    for outline, depth, light in shapes:
        corners = np.array(outline)
        faces = np.empty((len(x), len(corners), 3))
        faces[..., 0] = x[:, None] + corners[:, 0]
        faces[..., 1] = y + corners[:, 1]
        faces[..., 2] = depth
        canvas.paint_faces(faces, np.clip(light * colours, 0, 255).astype(np.uint8))


def _paint_steps(
    canvas: Canvas, colour: Colour, tier: Tier, x: float, y: float, w: float
) -> None:
    """Two steps of the aisle that follows a sector."""
    for step in range(2):
        low, back = y + step * tier.rise / 2, w - step * tier.tread / 2
        end = x + _AISLE
        canvas.paint_face(
            span_wall(x, end, low - tier.rise / 2, low, back), shade_colour(colour, 0.7)
        )
        canvas.paint_face(
            span_floor(x, end, low, back, back - tier.tread / 2),
            shade_colour(colour, 0.95),
        )


def _seat_spectators(
    canvas: Canvas,
    tier: Tier,
    row: int,
    sectors: list[_Sector],
    crowd: Crowd,
    rng: np.random.Generator,
) -> None:
    y, w = tier.floor + row * tier.rise, tier.near - row * tier.tread
    for sector in sectors:
        columns = np.arange(sector.start + _PITCH / 2, sector.end, _PITCH)
        for x in columns[rng.random(len(columns)) < sector.density]:
            place = float(x + rng.uniform(-0.06, 0.06))
            if rng.random() < 0.05:
                crowd.stand_spectator(canvas, (place, y, w - 0.2), rng, sector.group)
            else:
                crowd.seat_spectator(
                    canvas, (place, y + 0.45, w - 0.42), rng, sector.group
                )


def _paint_front(
    canvas: Canvas,
    venue: Venue,
    tier: Tier,
    sectors: list[_Sector],
    crowd: Crowd,
    rng: np.random.Generator,
) -> None:
    """The wall before the first row, its band of words, and a rail on top; raised tiers
    have a dark gangway below."""
    theme = venue.theme
    wall = shade_colour(theme.concrete, 0.9)
    canvas.paint_face(
        span_wall(-_WIDTH, _WIDTH, tier.foot - 3.0, tier.floor, tier.near), wall
    )
    if tier.foot > 0:
        gap = tier.foot - 0.1
        canvas.paint_face(
            span_wall(-_WIDTH, _WIDTH, gap - 2.2, gap, tier.near + 0.02),
            shade_colour(theme.concrete, 0.42),
        )
        for x in rng.uniform(-14, 14, int(rng.integers(2, 9))):
            crowd.stand_spectator(
                canvas, (float(x), gap - 2.1, tier.near + 0.1), rng, 0
            )
    for sector in sectors:
        if rng.random() < 0.25:
            _paint_door(canvas, sector.end, tier, rng)
    low = tier.floor - min(1.25, 0.8 * (tier.floor - tier.foot))
    paint_band(
        canvas,
        venue,
        (-_WIDTH, tier.floor - 0.02, tier.near + 0.06),
        2 * _WIDTH,
        tier.floor - low,
        rng,
    )
    canvas.paint_face(
        span_wall(-_WIDTH, _WIDTH, low - 0.08, low, tier.near + 0.08),
        shade_colour(wall, 0.5),
    )
    _paint_rail(canvas, theme.rail, tier)
    if rng.random() < 0.3:
        _paint_pennants(canvas, venue, tier)


def _paint_pennants(canvas: Canvas, venue: Venue, tier: Tier) -> None:
    """A line of small flags before the rail, in the venue's colours by turns."""
    tones = (venue.theme.band, venue.theme.ink, venue.theme.seat_alt)
    y, w = tier.floor + 0.88, tier.near + 0.05
    for i, x in enumerate(np.arange(-18.0, 18.0, 0.32)):
        canvas.paint_face(
            [(x, y, w), (x + 0.24, y, w), (x + 0.12, y - 0.36, w)], tones[i % 3]
        )


def _paint_door(canvas: Canvas, x: float, tier: Tier, rng: np.random.Generator) -> None:
    low = tier.floor - 0.9
    canvas.paint_face(
        span_wall(x, x + _AISLE, low - 1.2, low + 0.8, tier.near + 0.03), (30, 28, 28)
    )
    canvas.paint_face(
        span_wall(x + 0.1, x + 0.9, low + 0.45, low + 0.7, tier.near + 0.05),
        (60, int(rng.integers(90, 190)), 40),
    )


def _paint_rail(canvas: Canvas, colour: Colour, tier: Tier) -> None:
    for height in (0.45, 0.9):
        canvas.paint_rail(
            (-_WIDTH, tier.floor + height, tier.near),
            (_WIDTH, tier.floor + height, tier.near),
            colour,
            0.04,
        )
    for x in np.arange(-_WIDTH, _WIDTH, 1.8):
        canvas.paint_rail(
            (x, tier.floor, tier.near),
            (x, tier.floor + 0.9, tier.near),
            shade_colour(colour, 0.85),
            0.04,
        )


def paint_band(
    canvas: Canvas,
    venue: Venue,
    corner: tuple[float, float, float],
    width: float,
    height: float,
    rng: np.random.Generator,
) -> None:
    """Paint an advertising band with invented words; in some places every panel has a
    ground of its own."""
    theme, (x, y, w) = venue.theme, corner
    patchy = venue.seed % 2 == 0
    while x < corner[0] + width:
        length = float(rng.uniform(3.5, 7.0))
        ground = (
            mix_colours(theme.band, theme.seat_alt, float(rng.uniform(0, 0.9)))
            if patchy
            else theme.band
        )
        if abs(x) < 18:
            image = _draw_words(
                str(rng.choice(venue.sponsors)), ground, theme.ink, length / height, rng
            )
            reading = (x, length) if canvas.view.side > 0 else (x + length, -length)
            canvas.paste_poster(
                (reading[0], y, w), (reading[1], 0, 0), (0, -height, 0), image
            )
        else:
            canvas.paint_face(span_wall(x, x + length, y - height, y, w), ground)
        x += length


def _draw_words(
    word: str, ground: Colour, ink: Colour, ratio: float, rng: np.random.Generator
) -> Image:
    """(48, W, 3): a word on a ground that may be flat, run over into another tone, or
    carry waves."""
    height = 48
    width = max(height, int(height * ratio))
    image = np.empty((height, width, 3), np.uint8)
    share = np.linspace(0, 1, width)[:, None] * float(rng.uniform(0, 0.4))
    image[:] = (
        np.array(ground) * (1 - share) + np.array(shade_colour(ground, 1.4)) * share
    )
    if rng.random() < 0.4:
        for _ in range(3):
            centre = (int(rng.integers(width)), int(rng.integers(height, 3 * height)))
            cv2.circle(
                image,
                centre,
                int(rng.integers(height, 3 * height)),
                shade_colour(ground, 0.75),
                3,
                cv2.LINE_AA,
            )
    font = int(
        rng.choice(
            [
                cv2.FONT_HERSHEY_DUPLEX,
                cv2.FONT_HERSHEY_TRIPLEX,
                cv2.FONT_HERSHEY_SIMPLEX,
            ]
        )
    )
    scale = float(rng.uniform(0.85, 1.15))
    (length, tall), _ = cv2.getTextSize(word, font, scale, 2)
    scale *= min(1.0, 0.9 * width / length)
    left = (width - int(length * min(1.0, 0.9 * width / length))) // 2
    cv2.putText(
        image, word, (left, (height + tall) // 2), font, scale, ink, 2, cv2.LINE_AA
    )
    return image
