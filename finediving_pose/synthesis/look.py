"""Looks of people and of light: skin, hair, swimwear and clothes, drawn by chance.
Colours are BGR, 0 to 255."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Colour = tuple[int, int, int]
Sex = Literal["men", "women"]
SuitStyle = Literal["briefs", "jammers", "one_piece", "clothes"]
HairStyle = Literal["short", "bun", "cap", "bald"]


@dataclass(frozen=True)
class Look:
    """One person's colours.

    Attributes:
        skin, hair: What their names say; `hair` is the cap's colour where a cap is
            worn.
        suit: Swimwear; not seen with clothes.
        accent: A stripe down the sides of swimwear or trousers; equal to what it lies
            on = none.
        suit_style, hair_style: Which parts of the body they cover.
        top, bottom, shoes: Of the clothes.
        long_sleeves: Whether the top reaches the wrists.
    """

    skin: Colour
    hair: Colour
    suit: Colour
    accent: Colour
    suit_style: SuitStyle
    hair_style: HairStyle
    top: Colour = (200, 200, 200)
    bottom: Colour = (60, 50, 45)
    shoes: Colour = (45, 45, 45)
    long_sleeves: bool = False


@dataclass(frozen=True)
class Light:
    """One far lamp and what the surroundings throw back.

    Attributes:
        direction: (3,) unit vector from the scene to the lamp in view coordinates: x
            right, y down, z toward the camera.
        ambient: Brightness of a surface that looks away from the lamp, 1 = its own
            colour.
        diffuse: What is added to a surface that faces the lamp.
        colour: Of the lamp, as seen on a white surface.
    """

    direction: tuple[float, float, float] | NDArray[np.float64] = (-0.35, -0.75, 0.56)
    ambient: float = 0.5
    diffuse: float = 0.6
    colour: Colour = (255, 255, 255)


_SKINS: tuple[Colour, ...] = (
    (188, 208, 240),
    (160, 190, 230),
    (138, 172, 220),
    (112, 150, 205),
    (88, 122, 178),
    (64, 92, 142),
    (46, 66, 104),
    (34, 46, 72),
)
_HAIRS: tuple[Colour, ...] = (
    (22, 20, 20),
    (26, 30, 38),
    (30, 44, 66),
    (50, 80, 116),
    (110, 160, 196),
    (46, 72, 130),
)
_GREYS: tuple[Colour, ...] = ((150, 150, 150), (205, 205, 205))
_VIVID: tuple[Colour, ...] = (
    (40, 30, 205),
    (190, 70, 20),
    (60, 150, 30),
    (20, 130, 240),
    (150, 40, 150),
    (40, 210, 240),
    (190, 170, 20),
    (160, 80, 235),
    (235, 235, 235),
)
_DARK: tuple[Colour, ...] = (
    (28, 24, 24),
    (74, 34, 22),
    (30, 26, 84),
    (64, 34, 60),
    (44, 58, 26),
)
_CLOTH: tuple[Colour, ...] = (
    *_VIVID,
    *_DARK,
    (120, 120, 120),
    (200, 190, 180),
    (90, 130, 160),
    (170, 140, 110),
)
_SUITS: dict[Sex, tuple[SuitStyle, ...]] = {
    "men": ("briefs",) * 4 + ("jammers",),
    "women": ("one_piece",),
}
_HAIRSTYLES: dict[Sex, tuple[HairStyle, ...]] = {
    "men": ("short",) * 8 + ("bald", "cap"),
    "women": ("bun",) * 8 + ("cap",) * 2,
}
_CROWD_HAIRSTYLES: tuple[HairStyle, ...] = ("short", "short", "short", "bun", "bald")


def draw_look(rng: np.random.Generator, sex: Sex) -> Look:
    """Draw an athlete's look.

    Args:
        rng: Where chance comes from.
        sex: Decides suit and hair style.
    """
    suit = _vary_colour(rng, _pick_one(rng, _VIVID if rng.random() < 0.55 else _DARK))
    suit_style, hair_style = (
        _pick_one(rng, _SUITS[sex]),
        _pick_one(rng, _HAIRSTYLES[sex]),
    )
    hair = _pick_one(rng, _VIVID) if hair_style == "cap" else _draw_hair(rng)
    return Look(
        skin=_draw_skin(rng),
        hair=_vary_colour(rng, hair, 6),
        suit=suit,
        accent=_pick_one(rng, _VIVID) if rng.random() < 0.4 else suit,
        suit_style=suit_style,
        hair_style=hair_style,
    )


def draw_clothed_look(rng: np.random.Generator) -> Look:
    """Draw the look of a spectator, judge or coach."""
    old = rng.random() < 0.15
    bottom = _vary_colour(rng, _pick_one(rng, _DARK if rng.random() < 0.7 else _CLOTH))
    athlete = draw_look(rng, "men")
    return replace(
        athlete,
        hair=_pick_one(rng, _GREYS) if old else _draw_hair(rng),
        accent=bottom,
        suit_style="clothes",
        hair_style=_pick_one(rng, _CROWD_HAIRSTYLES),
        top=_vary_colour(rng, _pick_one(rng, _CLOTH), 18),
        bottom=bottom,
        shoes=_vary_colour(rng, _pick_one(rng, (*_DARK, (220, 220, 220)))),
        long_sleeves=bool(rng.random() < 0.4),
    )


def _draw_skin(rng: np.random.Generator) -> Colour:
    # All tones, the middle ones more often.
    tone = rng.beta(1.2, 1.6) * (len(_SKINS) - 1)
    below = min(int(tone), len(_SKINS) - 2)
    darker = np.array(_SKINS[below : below + 2], np.float64)
    return _round_colour(darker[0] + (tone - below) * (darker[1] - darker[0]))


def _draw_hair(rng: np.random.Generator) -> Colour:
    chosen = rng.choice(len(_HAIRS), p=(0.32, 0.24, 0.18, 0.12, 0.09, 0.05))
    return _vary_colour(rng, _HAIRS[chosen], 6)


def _pick_one(rng: np.random.Generator, choices: tuple[T, ...]) -> T:
    return choices[rng.integers(len(choices))]


def _vary_colour(
    rng: np.random.Generator, colour: Colour, spread: float = 10.0
) -> Colour:
    return _round_colour(np.array(colour) + rng.normal(0.0, spread, 3))


def _round_colour(values: NDArray[np.float64]) -> Colour:
    blue, green, red = np.clip(np.round(values), 0, 255).astype(int).tolist()
    return blue, green, red
