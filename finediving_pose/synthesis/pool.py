"""Pool and deck of a venue, and the people there: judges, coach, photographers,
lifeguard, the next divers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from finediving_pose.records import FloatArray
from finediving_pose.synthesis import figure
from finediving_pose.synthesis.canvas import (
    Canvas,
    Colour,
    Corner,
    Image,
    mix_colours,
    shade_colour,
    span_end,
    span_floor,
    span_wall,
)
from finediving_pose.synthesis.people import Site
from finediving_pose.synthesis.stands import paint_band
from finediving_pose.synthesis.venue import Venue

END = -1.5
"""x of the pool's end in m: boards and platforms reach out over it."""
_RIM = 0.22
"""Height of the deck above the water in m."""
_LENGTH = 18.0
"""How far in m the water is drawn in detail; no camera sees farther."""
_BESIDE = 45.0
_WHITE = (244, 242, 240)


def paint_pool(site: Site) -> None:
    """Paint deck, people and water, the farthest first."""
    venue = site.venue
    _paint_deck(site)
    if not venue.tiers or site.rng.random() < 0.4:
        corner = (-20.0, 1.1, venue.pool_far - venue.deck + 0.3)
        paint_band(site, corner, 50.0, 1.0)
    _paint_people(site)
    _paint_rim(site.canvas, venue)
    _paint_water(site.canvas, venue, site.rng)


def find_water_corners(
    venue: Venue, camera: Sequence[float] | FloatArray
) -> FloatArray:
    """Return the corners of the water that a camera sees, round about.

    Args:
        venue: Where.
        camera: (x, y, z) m.

    Returns:
        (4, 3) m in the world.
    """
    side, near = np.sign(camera[2]), 0.52 * abs(camera[2])
    corners = [
        (END, venue.pool_far),
        (_LENGTH, venue.pool_far),
        (_LENGTH, near),
        (END, near),
    ]
    return np.array([(x, 0.0, side * w) for x, w in corners])


def _paint_deck(site: Site) -> None:
    canvas, venue, rng = site.canvas, site.venue, site.rng
    near = venue.pool_far
    far = near - venue.deck - (0.0 if venue.tiers else 3.0)
    tone = venue.theme.deck
    # The floor behind the pool and at its end, then the joints between its tiles.
    behind = span_floor(-_BESIDE, _BESIDE, _RIM, far, near)
    canvas.paint_gradient(behind, shade_colour(tone, 0.82), tone)
    beside = span_floor(-_BESIDE, END, _RIM, far, 40.0)
    canvas.paint_gradient(beside, shade_colour(tone, 0.85), tone)
    dark = shade_colour(tone, 0.88)
    for w in np.arange(far, near, 1.0):
        line = span_floor(-_BESIDE, _BESIDE, _RIM + 0.001, w, w + 0.05)
        canvas.paint_face(line, dark)
    for x in np.arange(-20.0, END, 1.0):
        canvas.paint_face(span_floor(x, x + 0.05, _RIM + 0.001, near, 40.0), dark)
    edge = span_floor(END - 0.35, END, _RIM + 0.002, near, 40.0)
    canvas.paint_face(edge, mix_colours(tone, _WHITE, 0.5))
    # Boxes of flowers, tubs, cases.
    for _ in range(int(rng.integers(1, 5))):
        x = float(rng.uniform(-5, 12))
        w = near - float(rng.uniform(0.8, 0.7 * venue.deck))
        size = rng.uniform((0.5, 0.3, 0.4), (2.2, 0.9, 1.0))
        tone = mix_colours(venue.theme.band, _WHITE, float(rng.uniform(0, 1)))
        high = (x + size[0], _RIM + size[1], w + size[2])
        canvas.paint_box((x, _RIM, w), high, tone)


def _paint_people(site: Site) -> None:
    canvas, venue, crowd, rng = site.canvas, site.venue, site.crowd, site.rng
    back, front = venue.pool_far - 0.75 * venue.deck, venue.pool_far - 0.6
    for _ in range(int(rng.integers(1, 5))):
        _paint_photographer(site, (float(rng.uniform(-4, 12)), _RIM, back - 0.4))
    for _ in range(int(rng.integers(0, 4))):
        look = figure.draw_look(rng, "women" if rng.random() < 0.5 else "men")
        x, w = float(rng.uniform(-7.0, -2.5)), back + float(rng.uniform(0, 0.8))
        heading = float(rng.uniform(-70, 70))
        place = (x, _RIM, w)
        crowd.paint_person(canvas, place, "standing_relaxed", heading, look, rng)
    _paint_judges(site, float(rng.uniform(back, front)) - 0.4)
    if rng.random() < 0.7:
        _paint_lifeguard(site, (float(rng.uniform(4, 11)), _RIM, front))
    coach = replace(figure.draw_clothed_look(rng), bottom=(60, 50, 46))
    pose = str(rng.choice(["arms_folded", "standing_relaxed", "clapping"]))
    place = (float(rng.uniform(-3.0, 3.5)), _RIM, front)
    heading = float(rng.uniform(-50, 50))
    crowd.paint_person(canvas, place, pose, heading, coach, rng)


def _paint_judges(site: Site, w: float) -> None:
    """Paint a row of judges in one colour, on seats high enough to see the board."""
    canvas, theme, rng = site.canvas, site.venue.theme, site.rng
    height, start = float(rng.uniform(0.5, 1.7)), float(rng.uniform(-0.5, 3.5))
    shirt = _WHITE if rng.random() < 0.7 else mix_colours(theme.band, _WHITE, 0.4)
    trousers = _WHITE if rng.random() < 0.5 else (74, 60, 52)
    tone = mix_colours(theme.platform, _WHITE, 0.4)
    for i in range(int(rng.integers(3, 8))):
        x = start + 1.25 * i
        _paint_high_seat(canvas, x, w, height, tone)
        look = replace(figure.draw_clothed_look(rng), top=shirt, bottom=trousers)
        place = (x, _RIM + height + 0.5, w)
        heading = float(rng.normal(0, 14))
        site.crowd.paint_person(canvas, place, "sitting", heading, look, rng)


def _paint_high_seat(
    canvas: Canvas, x: float, w: float, height: float, tone: Colour
) -> None:
    top = _RIM + height
    for leg in (x - 0.3, x + 0.3):
        low, high = (leg, _RIM, w - 0.3), (leg, top + 0.9, w - 0.3)
        canvas.paint_rail(low, high, shade_colour(tone, 0.8), 0.06)
    canvas.paint_box(
        (x - 0.32, top + 0.32, w - 0.3), (x + 0.32, top + 0.4, w + 0.15), tone
    )
    back = span_wall(x - 0.28, x + 0.28, top + 0.5, top + 1.0, w - 0.32)
    canvas.paint_face(back, shade_colour(tone, 0.9))
    low, high = (x - 0.4, _RIM, w - 0.35), (x + 0.4, top, w + 0.1)
    canvas.paint_box(low, high, shade_colour(tone, 0.75))


def _paint_photographer(site: Site, place: Corner) -> None:
    canvas, crowd, rng = site.canvas, site.crowd, site.rng
    dark, camera = (44, 40, 38), (28, 26, 26)
    clothed = figure.draw_clothed_look(rng)
    top = mix_colours((90, 110, 60), dark, float(rng.uniform(0, 1)))
    look = replace(clothed, top=top, bottom=dark)
    heading = float(rng.normal(0, 25))
    x, y, w = place
    if rng.random() < 0.5:
        seat = (x, y + 0.45, w)
        crowd.paint_person(canvas, seat, "sitting", heading, look, rng)
        low, high = (x - 0.09, y + 0.95, w + 0.3), (x + 0.09, y + 1.1, w + 0.5)
    else:
        crowd.paint_person(canvas, place, "arms_folded", heading, look, rng)
        low, high = (x - 0.1, y + 1.1, w + 0.3), (x + 0.1, y + 1.26, w + 0.55)
    canvas.paint_box(low, high, camera)


def _paint_lifeguard(site: Site, place: Corner) -> None:
    canvas, rng = site.canvas, site.rng
    clothed = figure.draw_clothed_look(rng)
    look = replace(clothed, top=(40, 210, 240), bottom=(40, 36, 200))
    x, y, w = place
    _paint_high_seat(canvas, x, w, 1.1, _WHITE)
    seat, heading = (x, y + 1.6, w), float(rng.normal(0, 20))
    site.crowd.paint_person(canvas, seat, "sitting", heading, look, rng)


def _paint_rim(canvas: Canvas, venue: Venue) -> None:
    """Paint the pool's far wall above the water, tiles with a dark line, and its end
    below the boards."""
    far, light = venue.pool_far, mix_colours(venue.theme.water, _WHITE, 0.65)
    canvas.paint_face(span_wall(-_BESIDE, _BESIDE, 0.0, _RIM, far), light)
    for x in np.arange(END, 1.5 * _LENGTH, 0.5):
        tile = span_wall(x, x + 0.06, 0.0, _RIM, far + 0.01)
        canvas.paint_face(tile, shade_colour(light, 0.86))
    line = span_wall(-_BESIDE, _BESIDE, 0.0, 0.06, far + 0.02)
    canvas.paint_face(line, shade_colour(venue.theme.deep, 0.9))
    end = span_end(END, 0, _RIM, far, 40)
    canvas.paint_face(end, shade_colour(light, 0.8))


def _paint_water(canvas: Canvas, venue: Venue, rng: np.random.Generator) -> None:
    rows, columns = canvas.image.shape[:2]
    far, side = venue.pool_far, canvas.view.side
    corners = find_water_corners(venue, canvas.view.position) * (1, 1, side)
    # Which pixels are water, for the reflection.
    surface = np.zeros((rows, columns), np.uint8)
    px, _ = canvas.project(corners)
    fixed = np.round(px.clip(-1e5, 1e5) * 16).astype(np.int32)
    cv2.fillConvexPoly(surface, fixed, 255, cv2.LINE_AA, 4)
    mirrored = _mirror_image(canvas, venue)
    canvas.paint_face(span_floor(END, _BESIDE, 0.0, far, 40.0), venue.theme.deep)
    along, down = corners[1] - corners[0], corners[3] - corners[0]
    canvas.paste_poster(corners[0], along, down, _draw_waves(venue, rng))
    _lay_over(canvas.image, mirrored, surface, float(rng.uniform(0.1, 0.24)))


def _draw_waves(venue: Venue, rng: np.random.Generator) -> Image:
    """Return (440, 390, 3), about 20 px/m: light far water running into deep near
    water, with waves and a few lamps in it."""
    height, width = 440, 390
    share = np.linspace(0.0, 1.0, height)[:, None, None] ** 0.6
    light = np.array(mix_colours(venue.theme.water, _WHITE, 0.18))
    colour = (1 - share) * light + share * np.array(venue.theme.deep)
    tone: Image = np.zeros((height, width), np.float32)
    # Waves of three lengths, all longer than they are high.
    for size, strength in ((3.0, 4.0), (8.0, 4.0), (25.0, 4.0)):
        grain = rng.normal(0, 1, (height, width)).astype(np.float32)
        noise = cv2.GaussianBlur(grain, (0, 0), size, None, 2.2 * size)
        tone += strength * noise / noise.std()
    # Lamps under water.
    if rng.random() < 0.4:
        for x in range(60, width, 120):
            cv2.circle(tone, (x, 12), 9, 60.0, -1)
        tone = cv2.GaussianBlur(tone, (0, 0), 2.5)
    return np.clip(colour + tone[..., None], 0, 255).astype(np.uint8)


def _mirror_image(canvas: Canvas, venue: Venue) -> Image:
    """Return the image as still water would show it: exact for what stands at the far
    edge, softened downwards."""
    far = venue.pool_far - 0.5
    corners = [(-10, 0, far), (10, 0, far), (10, 6, far), (-10, 6, far)]
    points = np.array(corners, np.float64)
    upright, _ = canvas.project(points)
    turned, _ = canvas.project(points * (1, -1, 1))
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


def _lay_over(image: Image, above: Image, mask: Image, strength: float) -> None:
    mixed = cv2.addWeighted(image, 1 - strength, above, strength, 0)
    np.copyto(image, mixed, where=mask[..., None] > 127)
