"""The pool, the deck beyond it, and who is there: judges, coach, photographers,
lifeguard, the next divers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from finediving_pose.records import FloatArray
from finediving_pose.synthesis import figure
from finediving_pose.synthesis.canvas import (
    Canvas,
    Colour,
    Image,
    mix_colours,
    shade_colour,
    span_end,
    span_floor,
    span_wall,
)
from finediving_pose.synthesis.stands import paint_band

if TYPE_CHECKING:
    from finediving_pose.synthesis.people import Crowd
    from finediving_pose.synthesis.venue import Venue

END = -1.5
"""x of the pool's end in m: boards and platforms reach out over it."""
_RIM = 0.22
"""Height of the deck above the water in m."""
_LENGTH = 18.0
"""How far in m the water is drawn in detail; no camera sees farther."""
_BESIDE = 45.0
_WHITE = (244, 242, 240)


def paint_pool(
    canvas: Canvas, venue: Venue, crowd: Crowd, rng: np.random.Generator
) -> None:
    """Paint deck, people and water, the farthest first."""
    _paint_deck(canvas, venue, rng)
    if not venue.tiers or rng.random() < 0.4:
        paint_band(
            canvas,
            venue,
            (-20.0, 1.1, venue.pool_far - venue.deck + 0.3),
            50.0,
            1.0,
            rng,
        )
    _paint_people(canvas, venue, crowd, rng)
    _paint_rim(canvas, venue)
    _paint_water(canvas, venue, rng)


def find_water_corners(
    venue: Venue, camera: Sequence[float] | FloatArray
) -> FloatArray:
    """Return the corners (4, 3) of the water that a camera at (x, y, z) sees, in the
    world's metres, round about."""
    side, near = np.sign(camera[2]), 0.52 * abs(camera[2])
    corners = [
        (END, venue.pool_far),
        (_LENGTH, venue.pool_far),
        (_LENGTH, near),
        (END, near),
    ]
    return np.array([(x, 0.0, side * w) for x, w in corners])


def _paint_deck(canvas: Canvas, venue: Venue, rng: np.random.Generator) -> None:
    far = venue.pool_far - venue.deck - (0.0 if venue.tiers else 3.0)
    tone = venue.theme.deck
    canvas.paint_gradient(
        span_floor(-_BESIDE, _BESIDE, _RIM, far, venue.pool_far),
        shade_colour(tone, 0.82),
        tone,
    )
    canvas.paint_gradient(
        span_floor(-_BESIDE, END, _RIM, far, 40.0), shade_colour(tone, 0.85), tone
    )
    for w in np.arange(far, venue.pool_far, 1.0):
        canvas.paint_face(
            span_floor(-_BESIDE, _BESIDE, _RIM + 0.001, w, w + 0.05),
            shade_colour(tone, 0.88),
        )
    for x in np.arange(-20.0, END, 1.0):
        canvas.paint_face(
            span_floor(x, x + 0.05, _RIM + 0.001, venue.pool_far, 40.0),
            shade_colour(tone, 0.88),
        )
    canvas.paint_face(
        span_floor(END - 0.35, END, _RIM + 0.002, venue.pool_far, 40.0),
        mix_colours(tone, _WHITE, 0.5),
    )
    for _ in range(int(rng.integers(1, 5))):  # boxes of flowers, tubs, cases
        x, w = (
            float(rng.uniform(-5, 12)),
            venue.pool_far - float(rng.uniform(0.8, 0.7 * venue.deck)),
        )
        size = rng.uniform((0.5, 0.3, 0.4), (2.2, 0.9, 1.0))
        tone = mix_colours(venue.theme.band, _WHITE, float(rng.uniform(0, 1)))
        canvas.paint_box((x, _RIM, w), (x + size[0], _RIM + size[1], w + size[2]), tone)


def _paint_people(
    canvas: Canvas, venue: Venue, crowd: Crowd, rng: np.random.Generator
) -> None:
    back, front = venue.pool_far - 0.75 * venue.deck, venue.pool_far - 0.6
    for _ in range(int(rng.integers(1, 5))):
        _paint_photographer(
            canvas, crowd, (float(rng.uniform(-4, 12)), _RIM, back - 0.4), rng
        )
    for _ in range(int(rng.integers(0, 4))):
        look = figure.draw_look(rng, "women" if rng.random() < 0.5 else "men")
        place = (
            float(rng.uniform(-7.0, -2.5)),
            _RIM,
            back + float(rng.uniform(0, 0.8)),
        )
        crowd.paint_person(
            canvas, place, "standing_relaxed", float(rng.uniform(-70, 70)), look, rng
        )
    _paint_judges(canvas, venue, crowd, float(rng.uniform(back, front)) - 0.4, rng)
    if rng.random() < 0.7:
        _paint_lifeguard(canvas, crowd, (float(rng.uniform(4, 11)), _RIM, front), rng)
    coach = replace(figure.draw_clothed_look(rng), bottom=(60, 50, 46))
    pose = str(rng.choice(["arms_folded", "standing_relaxed", "clapping"]))
    crowd.paint_person(
        canvas,
        (float(rng.uniform(-3.0, 3.5)), _RIM, front),
        pose,
        float(rng.uniform(-50, 50)),
        coach,
        rng,
    )


def _paint_judges(
    canvas: Canvas, venue: Venue, crowd: Crowd, w: float, rng: np.random.Generator
) -> None:
    """A row of them in one colour, on seats high enough to see the board."""
    height, start = float(rng.uniform(0.5, 1.7)), float(rng.uniform(-0.5, 3.5))
    shirt = _WHITE if rng.random() < 0.7 else mix_colours(venue.theme.band, _WHITE, 0.4)
    trousers = _WHITE if rng.random() < 0.5 else (74, 60, 52)
    tone = mix_colours(venue.theme.platform, _WHITE, 0.4)
    for i in range(int(rng.integers(3, 8))):
        x = start + 1.25 * i
        _paint_high_seat(canvas, x, w, height, tone)
        look = replace(figure.draw_clothed_look(rng), top=shirt, bottom=trousers)
        crowd.paint_person(
            canvas,
            (x, _RIM + height + 0.5, w),
            "sitting",
            float(rng.normal(0, 14)),
            look,
            rng,
        )


def _paint_high_seat(
    canvas: Canvas, x: float, w: float, height: float, tone: Colour
) -> None:
    top = _RIM + height
    for dx in (-0.3, 0.3):
        canvas.paint_rail(
            (x + dx, _RIM, w - 0.3),
            (x + dx, top + 0.9, w - 0.3),
            shade_colour(tone, 0.8),
            0.06,
        )
    canvas.paint_box(
        (x - 0.32, top + 0.32, w - 0.3), (x + 0.32, top + 0.4, w + 0.15), tone
    )
    back = span_wall(x - 0.28, x + 0.28, top + 0.5, top + 1.0, w - 0.32)
    canvas.paint_face(back, shade_colour(tone, 0.9))
    canvas.paint_box(
        (x - 0.4, _RIM, w - 0.35), (x + 0.4, top, w + 0.1), shade_colour(tone, 0.75)
    )


def _paint_photographer(
    canvas: Canvas,
    crowd: Crowd,
    place: tuple[float, float, float],
    rng: np.random.Generator,
) -> None:
    dark = (44, 40, 38)
    look = replace(
        figure.draw_clothed_look(rng),
        top=mix_colours((90, 110, 60), dark, float(rng.uniform(0, 1))),
        bottom=dark,
    )
    heading = float(rng.normal(0, 25))
    x, y, w = place
    if rng.random() < 0.5:
        crowd.paint_person(canvas, (x, y + 0.45, w), "sitting", heading, look, rng)
        canvas.paint_box(
            (x - 0.09, y + 0.95, w + 0.3), (x + 0.09, y + 1.1, w + 0.5), (28, 26, 26)
        )
    else:
        crowd.paint_person(canvas, place, "arms_folded", heading, look, rng)
        canvas.paint_box(
            (x - 0.1, y + 1.1, w + 0.3), (x + 0.1, y + 1.26, w + 0.55), (28, 26, 26)
        )


def _paint_lifeguard(
    canvas: Canvas,
    crowd: Crowd,
    place: tuple[float, float, float],
    rng: np.random.Generator,
) -> None:
    look = replace(
        figure.draw_clothed_look(rng), top=(40, 210, 240), bottom=(40, 36, 200)
    )
    x, y, w = place
    _paint_high_seat(canvas, x, w, 1.1, _WHITE)
    crowd.paint_person(
        canvas, (x, y + 1.6, w), "sitting", float(rng.normal(0, 20)), look, rng
    )


def _paint_rim(canvas: Canvas, venue: Venue) -> None:
    """The pool's far wall above the water, tiles with a dark line, and its end below
    the boards."""
    far, light = venue.pool_far, mix_colours(venue.theme.water, _WHITE, 0.65)
    canvas.paint_face(span_wall(-_BESIDE, _BESIDE, 0.0, _RIM, far), light)
    for x in np.arange(END, 1.5 * _LENGTH, 0.5):
        canvas.paint_face(
            span_wall(x, x + 0.06, 0.0, _RIM, far + 0.01), shade_colour(light, 0.86)
        )
    canvas.paint_face(
        span_wall(-_BESIDE, _BESIDE, 0.0, 0.06, far + 0.02),
        shade_colour(venue.theme.deep, 0.9),
    )
    canvas.paint_face(
        span_end(END, 0, _RIM, far, 40),
        shade_colour(light, 0.8),
    )


def _paint_water(canvas: Canvas, venue: Venue, rng: np.random.Generator) -> None:
    rows, columns = canvas.image.shape[:2]
    surface = np.zeros((rows, columns), np.uint8)
    far, side = venue.pool_far, canvas.view.side
    corners = find_water_corners(venue, canvas.view.position) * (1, 1, side)
    fixed = np.round(canvas.project(corners)[0].clip(-1e5, 1e5) * 16).astype(np.int32)
    cv2.fillConvexPoly(surface, fixed, 255, cv2.LINE_AA, 4)
    mirrored = _mirror_image(canvas, venue)
    canvas.paint_face(span_floor(END, _BESIDE, 0.0, far, 40.0), venue.theme.deep)
    canvas.paste_poster(
        corners[0],
        corners[1] - corners[0],
        corners[3] - corners[0],
        _draw_waves(venue, rng),
    )
    _lay_over(canvas.image, mirrored, surface, float(rng.uniform(0.1, 0.24)))


def _draw_waves(venue: Venue, rng: np.random.Generator) -> Image:
    """(440, 390, 3), about 20 px/m: light far water running into deep near water, with
    waves and a few lamps in it."""
    height, width = 440, 390
    share = np.linspace(0.0, 1.0, height)[:, None, None] ** 0.6
    colour = (1 - share) * np.array(
        mix_colours(venue.theme.water, _WHITE, 0.18)
    ) + share * np.array(venue.theme.deep)
    tone: Image = np.zeros((height, width), np.float32)
    for size, strength in ((3.0, 4.0), (8.0, 4.0), (25.0, 4.0)):
        noise = cv2.GaussianBlur(
            rng.normal(0, 1, (height, width)).astype(np.float32),
            (0, 0),
            size,
            None,
            2.2 * size,
        )
        tone += strength * noise / noise.std()
    if rng.random() < 0.4:  # lamps under water
        for x in range(60, width, 120):
            cv2.circle(tone, (x, 12), 9, 60.0, -1)
        tone = cv2.GaussianBlur(tone, (0, 0), 2.5)
    return np.clip(colour + tone[..., None], 0, 255).astype(np.uint8)


def _mirror_image(canvas: Canvas, venue: Venue) -> Image:
    """The picture as still water would show it: exact for what stands at the far edge,
    softened downwards."""
    far = venue.pool_far - 0.5
    places = np.array(
        [(-10, 0, far), (10, 0, far), (10, 6, far), (-10, 6, far)], np.float64
    )
    upright, _ = canvas.project(places)
    turned, _ = canvas.project(places * (1, -1, 1))
    matrix = cv2.getPerspectiveTransform(
        upright.astype(np.float32), turned.astype(np.float32)
    )
    size = canvas.image.shape[1::-1]
    image = cv2.warpPerspective(
        canvas.image,
        matrix,
        size,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(cv2.blur(image, (9, 29)), np.uint8)


def _lay_over(picture: Image, above: Image, mask: Image, strength: float) -> None:
    mixed = cv2.addWeighted(picture, 1 - strength, above, strength, 0)
    np.copyto(picture, mixed, where=mask[..., None] > 127)
