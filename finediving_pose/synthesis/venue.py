"""A meet's place, drawn from chance: hall or open air, stands and who sits there, tower
and boards, pool and light.

All dives of a match share one :class:`Venue` and one camera. :func:`panorama` paints
the place once for both, as large as the camera's way needs, and every frame is cut out
of that by a homography.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from finediving_pose.synthesis.camera import Station
from finediving_pose.synthesis.canvas import Colour
from finediving_pose.synthesis.dive import HEIGHTS
from finediving_pose.synthesis.figure import Light
from finediving_pose.synthesis.themes import THEMES, VARIED, Theme, draw_word


@dataclass(frozen=True)
class Grade:
    """What the camera and the transmission do to a picture.

    Attributes:
        cast: Factors of blue, green and red.
        vignette: How much darker the corners are, 0..1.
        noise: Standard deviation of the sensor's noise in grey values.
        softness: Share of the horizontal resolution that survives the transmission.
        shutter: Share of a frame's time during which the shutter is open.
        logo: Whether a station's mark stands in a corner.
    """

    cast: tuple[float, float, float]
    vignette: float
    noise: float
    softness: float
    shutter: float
    logo: bool


@dataclass(frozen=True)
class Venue:
    """A place; hashable, equal when drawn alike.

    Attributes:
        seed: Decides every detail that has no field.
        apparatus: ``1m``, ``3m`` or ``10m``.
        name: Invented.
        theme: Colours, and whether there is a roof.
        tiers: The tiers of the stands, near ones first.
        crowd: Share of seats taken, 0..1.
        pool_far: w in m of the pool's far edge (negative).
        deck: Width in m of the deck behind it.
        lamp: Direction of the light in view coordinates, and how strong its ambient and
            directed parts are.
        grade: What camera and transmission do.
        sponsors: Invented words on the bands.
    """

    seed: int
    apparatus: str
    name: str
    theme: Theme
    tiers: tuple[Tier, ...]
    crowd: float
    pool_far: float
    deck: float
    lamp: tuple[tuple[float, float, float], float, float]
    grade: Grade
    sponsors: tuple[str, ...]

    @property
    def light(self) -> Light:
        """The light on people."""
        direction, ambient, diffuse = self.lamp
        unit = np.array(direction) / np.linalg.norm(direction)
        return Light(
            direction=unit, ambient=ambient, diffuse=diffuse, colour=self.theme.glow
        )

    @property
    def height(self) -> float:
        """Height of the board or platform above the water in m."""
        return HEIGHTS[self.apparatus]


def draw_venue(seed: int, apparatus: str) -> Venue:
    """Draw a place for one apparatus. Venues of different seeds differ in everything
    that can be seen."""
    rng = np.random.default_rng((seed, 0))
    theme = _vary_theme(THEMES[int(rng.integers(len(THEMES)))], rng)
    pool_far, deck = -float(rng.uniform(7.0, 10.0)), float(rng.uniform(3.0, 5.0))
    return Venue(
        seed=seed,
        apparatus=apparatus,
        name=f"{draw_word(rng).title()} {rng.choice(['Aquatics Centre', 'Pool', 'Natatorium', 'Arena', 'Baths'])}",
        theme=theme,
        tiers=draw_tiers(rng, pool_far - deck, theme.roofed),
        crowd=float(np.clip(rng.beta(1.1, 1.2), 0.04, 0.97)),
        pool_far=pool_far,
        deck=deck,
        lamp=_draw_lamp(rng, theme.roofed),
        grade=_draw_grade(rng),
        sponsors=tuple(draw_word(rng) for _ in range(6)),
    )


def draw_station(venue: Venue, seed: int) -> Station:
    """Draw where the camera stands for a match at this place: 16 to 33 m away, within
    25 degrees of square to it."""
    rng = np.random.default_rng((seed, 1))
    tall = venue.height > 5
    distance = float(rng.uniform(18.0, 33.0) if tall else rng.uniform(16.0, 28.0))
    azimuth = np.radians(np.clip(rng.normal(0.0, 10.0), -25.0, 25.0))
    above = float(4.5 + 4.5 * np.sqrt(rng.uniform()) if tall else rng.uniform(2.0, 5.5))
    side = float(rng.choice([-1, 1]))
    return Station(
        position=(
            1.0 + float(distance * np.sin(azimuth)),
            above,
            side * float(distance * np.cos(azimuth)),
        ),
        focal=distance * float(rng.uniform(66.0, 98.0)),
        roll=float(rng.normal(0.0, 0.35)),
        agility=float(rng.uniform(6.0, 9.0)),
        wobble=float(rng.uniform(0.4, 2.2)),
        rest=float(rng.uniform(0.45, 0.8)),
    )


def _vary_theme(theme: Theme, rng: np.random.Generator) -> Theme:
    """Shift every colour of a theme in hue, strength and brightness, the related ones
    alike."""
    turn, strength, value = (
        rng.normal(0.0, 0.025),
        rng.uniform(0.75, 1.15),
        rng.uniform(0.85, 1.12),
    )
    colours: dict[str, Any] = {}
    for name in VARIED:
        lively = name in ("water", "deep")  # pools are never greyish
        own = (
            max(strength, 1.0) if lively else strength,
            max(value, 1.0) if lively else value,
        )
        colours[name] = _shift_colour(
            getattr(theme, name), turn + rng.normal(0.0, 0.012), *own
        )
    return replace(theme, haze=float(theme.haze * rng.uniform(0.7, 1.5)), **colours)


def _shift_colour(
    colour: Sequence[int], turn: float, strength: float, value: float
) -> Colour:
    blue, green, red = (channel / 255 for channel in colour)
    h, s, v = colorsys.rgb_to_hsv(red, green, blue)
    red, green, blue = colorsys.hsv_to_rgb(
        (h + turn) % 1.0, min(s * strength, 1.0), min(v * value, 1.0)
    )
    return round(255 * blue), round(255 * green), round(255 * red)


def _draw_lamp(
    rng: np.random.Generator, roofed: bool
) -> tuple[tuple[float, float, float], float, float]:
    across, towards = rng.uniform(-0.8, 0.8), rng.uniform(0.1, 0.8)
    ambient = rng.uniform(0.5, 0.66) if roofed else rng.uniform(0.42, 0.58)
    return (
        (float(across), -1.0, float(towards)),
        float(ambient),
        float(rng.uniform(0.95, 1.1) - ambient),
    )


def _draw_grade(rng: np.random.Generator) -> Grade:
    warmth, green = rng.normal(0.0, 0.035), rng.normal(0.0, 0.012)
    return Grade(
        cast=(float(1 - warmth), float(1 + green), float(1 + warmth)),
        vignette=float(rng.uniform(0.0, 0.3)),
        noise=float(rng.uniform(1.0, 4.5)),
        softness=float(rng.choice([1.0, 0.8, 0.65, 0.55])),
        shutter=float(rng.choice([0.25, 0.4, 0.5, 0.6])),
        logo=bool(rng.random() < 0.5),
    )


class Tier(NamedTuple):
    """Rows of seats behind a wall. Lengths in m; `near` is w of the wall, `foot` its
    lower edge, `floor` its upper."""

    near: float
    foot: float
    floor: float
    rows: int
    rise: float
    tread: float

    @property
    def top(self) -> float:
        """Height of the last row's floor."""
        return self.floor + self.rows * self.rise

    @property
    def far(self) -> float:
        """w behind the last row."""
        return self.near - self.rows * self.tread - 0.8


def draw_tiers(rng: np.random.Generator, near: float, roofed: bool) -> tuple[Tier, ...]:
    """Draw none to three tiers, the first at w = `near`, each next one behind and above
    the last."""
    tiers: list[Tier] = []
    foot = 0.0
    for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.08, 0.27, 0.4, 0.25]))):
        floor = foot + float(rng.uniform(1.4, 2.6))
        rise = float(rng.uniform(0.38, 0.5)) + 0.06 * len(tiers)
        tier = Tier(
            near,
            foot,
            floor,
            int(rng.integers(6, 13)),
            rise,
            float(rng.uniform(0.78, 0.9)),
        )
        tiers.append(tier)
        foot = tier.top + float(
            rng.uniform(1.0, 2.4) if roofed else rng.uniform(0.3, 1.2)
        )
        near = tier.far
    return tuple(tiers)
