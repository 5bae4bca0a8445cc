"""Themes of venues: their colours, and the words that stand on their walls, all
invented."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from finediving_pose.synthesis.look import Colour

_ONSETS = (
    "b",
    "d",
    "f",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "z",
    "br",
    "dr",
    "kr",
    "tr",
    "pl",
)
_VOWELS = ("a", "e", "i", "o", "u", "a", "o", "ei", "ua")
_CODAS = ("", "", "", "n", "r", "x", "l", "s", "nt")


@dataclass(frozen=True)
class Theme:
    """Colours (BGR) of a venue.

    Attributes:
        roofed: Whether it is a hall.
        dark: How little light falls on all but the pool, 0..1.
        haze: How far in px the image of what stands still is spread by lens and air.
        glow: Of the light, as seen on a white surface.
        wall: Of walls, or of the sky.
        concrete: Of stands and tower.
        seat, seat_alt: Of the seats, and of aisles and odd seats.
        band, ink: Of advertising bands and what is written on them.
        platform: Of the edges of platforms and of boards.
        deck: Of the floor around the pool.
        water, deep: Of the water far away and near by.
        rail: Of rails and frames.
    """

    roofed: bool
    dark: float
    haze: float
    glow: Colour
    wall: Colour
    concrete: Colour
    seat: Colour
    seat_alt: Colour
    band: Colour
    ink: Colour
    platform: Colour
    deck: Colour
    water: Colour
    deep: Colour
    rail: Colour


VARIED = (
    "wall",
    "concrete",
    "seat",
    "seat_alt",
    "band",
    "ink",
    "platform",
    "deck",
    "water",
    "deep",
    "rail",
)
"""The colours that venues of one theme vary."""

_WHITE, _WARM, _COOL = (255, 255, 255), (235, 248, 255), (255, 250, 240)

THEMES: tuple[Theme, ...] = (
    # green shells and a bright blue tower
    Theme(True, 0.25, 0.8, _WHITE, (82, 78, 74), (104, 100, 98), (128, 152, 106), (112, 134, 92), (46, 138, 104),
          (222, 240, 226), (232, 186, 92), (150, 142, 132), (206, 150, 62), (176, 108, 28), (196, 192, 188)),
    # navy hall with lamps
    Theme(True, 0.35, 0.8, _COOL, (96, 74, 58), (118, 106, 98), (142, 84, 38), (120, 68, 28), (124, 52, 22),
          (240, 236, 230), (206, 204, 200), (168, 158, 146), (196, 146, 54), (158, 92, 22), (210, 206, 202)),
    # white modern hall, grey and white shells
    Theme(True, 0.1, 0.9, _WHITE, (206, 202, 196), (168, 164, 160), (178, 174, 170), (126, 122, 120), (186, 110, 32),
          (248, 246, 240), (150, 146, 142), (196, 190, 180), (222, 186, 96), (188, 132, 44), (168, 166, 164)),
    # old baths: ochre walls, red seats
    Theme(True, 0.2, 1.0, _WARM, (140, 170, 188), (112, 124, 132), (48, 56, 150), (52, 92, 176), (58, 66, 158),
          (214, 232, 240), (120, 148, 70), (148, 168, 178), (176, 158, 70), (140, 112, 36), (110, 118, 120)),
    # dark arena with coloured bands
    Theme(True, 0.6, 0.8, _COOL, (44, 36, 32), (62, 56, 52), (72, 58, 50), (60, 48, 40), (160, 44, 104),
          (240, 226, 240), (176, 72, 44), (96, 88, 84), (190, 128, 40), (140, 76, 14), (150, 146, 142)),
    # orange and blue shells
    Theme(True, 0.2, 0.8, _WHITE, (150, 146, 144), (128, 126, 124), (52, 118, 206), (150, 98, 48), (134, 88, 26),
          (240, 240, 240), (60, 134, 220), (172, 166, 158), (210, 160, 70), (172, 112, 30), (190, 188, 186)),
    # open air at noon
    Theme(False, 0.0, 0.7, _WHITE, (226, 196, 150), (176, 178, 180), (196, 144, 74), (220, 216, 210), (150, 90, 24),
          (246, 246, 242), (196, 194, 190), (186, 196, 204), (216, 182, 84), (184, 130, 34), (204, 202, 200)),
    # open air towards evening
    Theme(False, 0.15, 0.9, (214, 236, 255), (190, 168, 150), (132, 140, 150), (86, 104, 84), (120, 132, 112),
          (62, 92, 172), (226, 238, 246), (208, 170, 88), (142, 154, 166), (186, 158, 84), (140, 104, 40),
          (170, 174, 178)),
    # open air, overcast, yellow benches
    Theme(False, 0.1, 0.9, _COOL, (206, 202, 196), (148, 146, 144), (70, 168, 200), (88, 148, 172), (96, 120, 30),
          (236, 240, 236), (74, 158, 196), (160, 160, 158), (196, 168, 92), (160, 122, 52), (180, 178, 176)),
)  # fmt: skip


def draw_word(rng: np.random.Generator) -> str:
    """Draw an invented word of two or three syllables, in capitals."""
    syllables = int(rng.integers(2, 4))
    word = ""
    for i in range(syllables):
        word += str(rng.choice(_ONSETS)) + str(rng.choice(_VOWELS))
        if i == syllables - 1:
            word += str(rng.choice(_CODAS))
    return word.upper()
