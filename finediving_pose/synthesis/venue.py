"""Venue of a meet, drawn from chance: hall or open air, stands and spectators, tower and
boards, pool and light.

All dives of a match share one :class:`Venue` and one camera. The module ``panorama``
paints the venue once for both, as large as the camera's way needs, and every frame is
cut out of that by a homography.
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
    """What the camera and the transmission do to an image.

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
    """A venue; hashable, equal when drawn alike.

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
    """Draw a venue. Those of different seeds differ in everything that can be seen.

    Args:
        seed: Decides everything.
        apparatus: ``1m``, ``3m`` or ``10m``.
    """
    rng = np.random.default_rng((seed, 0))
    theme = _vary_theme(THEMES[int(rng.integers(len(THEMES)))], rng)
    pool_far, deck = -float(rng.uniform(7.0, 10.0)), float(rng.uniform(3.0, 5.0))
    kinds = ["Aquatics Centre", "Pool", "Natatorium", "Arena", "Baths"]
    return Venue(
        seed=seed,
        apparatus=apparatus,
        name=f"{draw_word(rng).title()} {rng.choice(kinds)}",
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
    """Draw where the camera stands for a match: 16 to 33 m away, within 25 degrees of
    square to the board.

    Args:
        venue: Where.
        seed: Of the match.
    """
    rng = np.random.default_rng((seed, 1))
    # From a platform a camera stands farther away, and higher.
    if venue.height > 5:
        distance = float(rng.uniform(18.0, 33.0))
    else:
        distance = float(rng.uniform(16.0, 28.0))
    azimuth = np.radians(np.clip(rng.normal(0.0, 10.0), -25.0, 25.0))
    if venue.height > 5:
        above = float(4.5 + 4.5 * np.sqrt(rng.uniform()))
    else:
        above = float(rng.uniform(2.0, 5.5))
    side = float(rng.choice([-1, 1]))
    x = 1.0 + float(distance * np.sin(azimuth))
    z = side * float(distance * np.cos(azimuth))
    return Station(
        position=(x, above, z),
        focal=distance * float(rng.uniform(66.0, 98.0)),
        roll=float(rng.normal(0.0, 0.35)),
        agility=float(rng.uniform(6.0, 9.0)),
        wobble=float(rng.uniform(0.4, 2.2)),
        rest=float(rng.uniform(0.45, 0.8)),
    )


def _vary_theme(theme: Theme, rng: np.random.Generator) -> Theme:
    """Shift every colour of a theme in hue, strength and brightness, the related ones
    alike."""
    turn = rng.normal(0.0, 0.025)
    strength, value = rng.uniform(0.75, 1.15), rng.uniform(0.85, 1.12)
    colours: dict[str, Any] = {}
    for name in VARIED:
        own_strength, own_value = strength, value
        # Pools are never greyish.
        if name in ("water", "deep"):
            own_strength, own_value = max(strength, 1.0), max(value, 1.0)
        own_turn = turn + rng.normal(0.0, 0.012)
        colour = getattr(theme, name)
        colours[name] = _shift_colour(colour, own_turn, own_strength, own_value)
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
    """Return the lamp's direction in view coordinates, and how strong its ambient and
    directed parts are."""
    across, towards = float(rng.uniform(-0.8, 0.8)), float(rng.uniform(0.1, 0.8))
    ambient = rng.uniform(0.5, 0.66) if roofed else rng.uniform(0.42, 0.58)
    diffuse = float(rng.uniform(0.95, 1.1) - ambient)
    return (across, -1.0, towards), float(ambient), diffuse


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
    """Rows of seats behind a wall; lengths in m.

    Attributes:
        near: w of the wall.
        foot, floor: Heights of its lower and upper edge.
        rows: How many.
        rise, tread: From row to row, upwards and backwards.
    """

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
    """Draw none to three tiers, each next one behind and above the last.

    Args:
        rng: Where chance comes from.
        near: w of the first one's wall.
        roofed: Whether there is a roof: in a hall tiers stand higher above each other.

    Returns:
        The tiers, near ones first.
    """
    tiers: list[Tier] = []
    foot = 0.0
    for _ in range(int(rng.choice([0, 1, 2, 3], p=[0.08, 0.27, 0.4, 0.25]))):
        floor = foot + float(rng.uniform(1.4, 2.6))
        rise = float(rng.uniform(0.38, 0.5)) + 0.06 * len(tiers)
        rows = int(rng.integers(6, 13))
        tread = float(rng.uniform(0.78, 0.9))
        tier = Tier(near, foot, floor, rows, rise, tread)
        tiers.append(tier)
        gap = rng.uniform(1.0, 2.4) if roofed else rng.uniform(0.3, 1.2)
        foot = tier.top + float(gap)
        near = tier.far
    return tuple(tiers)
