"""People at a venue but for the athlete: spectators cut out once and set down many
times, and persons who are painted where they stand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from finediving_pose.records import FloatArray
from finediving_pose.synthesis import body, figure
from finediving_pose.synthesis.canvas import Canvas, Colour, Image, Place

if TYPE_CHECKING:
    from finediving_pose.synthesis.venue import Venue

_CUT_SCALE = 68.0
"""Pixels per metre of a cut-out."""
# m around the joints in a cut-out; the body itself fills some of it.
_MARGIN, _FLESH = 0.2, 0.08
_SITTING = ("sitting", "sitting", "clapping_sitting")
_STANDING = ("standing_relaxed", "arms_folded", "clapping")
FANS = 3
"""Groups of spectators who wear one colour."""


@dataclass(frozen=True)
class CutOut:
    """A person on nothing.

    Attributes:
        image: (h, w, 4) uint8, the last channel its opacity.
        height: Of the image in m.
        seat, soles: Where the pelvis and the soles are, as shares of the height from
            the top.
    """

    image: Image
    height: float
    seat: float
    soles: float


@dataclass(frozen=True)
class Site:
    """What is needed to paint a venue.

    Attributes:
        canvas: Where it is painted.
        venue: What is painted.
        crowd: Its people.
        rng: Where chance comes from.
    """

    canvas: Canvas
    venue: Venue
    crowd: Crowd
    rng: np.random.Generator


class Crowd:
    """The spectators of a venue: a few dozen cut-outs, set down with changed size, side
    and brightness.

    Attributes:
        boxes: (4,) px of everybody who was put on a canvas so far, also those hidden by
            what was painted later.
    """

    def __init__(self, venue: Venue, rng: np.random.Generator) -> None:
        light = venue.light
        dim = 1.0 - 0.55 * venue.theme.dark
        ambient, diffuse = light.ambient * dim, light.diffuse * dim
        self.light = replace(light, ambient=ambient, diffuse=diffuse)
        self.bright = light
        self.boxes: list[FloatArray] = []
        self._sitting = {
            0: [self._draw_cut_out(rng, _SITTING, None) for _ in range(18)]
        }
        self._standing = [self._draw_cut_out(rng, _STANDING, None) for _ in range(7)]
        for group in range(1, FANS + 1):
            blue, green, red = (int(channel) for channel in rng.integers(20, 240, 3))
            top = (blue, green, red)
            self._sitting[group] = [
                self._draw_cut_out(rng, _SITTING, top) for _ in range(3)
            ]

    def seat_spectator(
        self, canvas: Canvas, place: Place, rng: np.random.Generator, group: int
    ) -> None:
        """Seat a spectator.

        Args:
            canvas: Where to paint.
            place: x, y, w of the pelvis.
            rng: Chooses who.
            group: The group of the sector; most of it wear its colour.
        """
        alike = rng.random() < 0.6
        choice = self._sitting[group if alike else 0]
        self._set_down(canvas, choice, place, rng, seated=True)

    def stand_spectator(
        self, canvas: Canvas, place: Place, rng: np.random.Generator, group: int
    ) -> None:
        """Stand a spectator.

        Args:
            canvas: Where to paint.
            place: x, y, w of the soles.
            rng: Chooses who.
            group: Of the sector; those who stand wear no group's colour.
        """
        del group
        self._set_down(canvas, self._standing, place, rng, seated=False)

    def paint_person(
        self,
        canvas: Canvas,
        place: Place,
        pose: str,
        heading: float,
        look: figure.Look,
        rng: np.random.Generator,
    ) -> None:
        """Paint a person in full detail.

        Args:
            canvas: Where to paint.
            place: x, y, w of the soles, or of the pelvis where `pose` is ``sitting``.
            pose: A name of body.POSES.
            heading: In degrees; 0 faces the camera, 90 the image's right.
            look: What is worn.
            rng: Decides build, and how the pose varies.
        """
        px, depth = canvas.project(place)
        scale = canvas.measure_scale(place)
        build = _draw_clothed_build(rng)
        points = turn_into_view(pose_person(build, pose, rng), heading, 4.0) * scale
        foot = 0.0
        if pose != "sitting":
            foot = float(points[:, 1].max()) + 0.035 * scale
        points += np.array([px[0], px[1] - foot, 0.0])
        rows, columns = canvas.image.shape[:2]
        low, high = points.min(axis=0), points.max(axis=0)
        across = high[0] > 0 and low[0] < columns
        down = high[1] > 0 and low[1] < rows
        if depth > 1 and across and down:
            person = figure.Figure(points[None], scale, build, look)
            painted = figure.paint_figure(canvas.image, person, self.bright)
            self.boxes.append(painted.box)

    def _set_down(
        self,
        canvas: Canvas,
        choice: list[CutOut],
        place: Place,
        rng: np.random.Generator,
        seated: bool,
    ) -> None:
        chosen = choice[int(rng.integers(len(choice)))]
        image = chosen.image[:, ::-1] if rng.random() < 0.5 else chosen.image
        size = chosen.height * float(rng.uniform(0.92, 1.06))
        anchor = chosen.seat if seated else chosen.soles
        box = canvas.paste_sprite(np.ascontiguousarray(image), place, size, anchor)
        # The box of the body, without the air around it.
        air = (_MARGIN - _FLESH) / chosen.height * (box[3] - box[1])
        self.boxes.append(box + air * np.array([1, 1, -1, -1]))

    def _draw_cut_out(
        self, rng: np.random.Generator, poses: tuple[str, ...], top: Colour | None
    ) -> CutOut:
        look = figure.draw_clothed_look(rng)
        if top is not None:
            look = replace(look, top=top)
        pose = poses[int(rng.integers(len(poses)))]
        build = _draw_clothed_build(rng)
        points = turn_into_view(
            pose_person(build, pose, rng), float(rng.normal(0.0, 22.0)), 5.0
        )
        return cut_out_person(points, build, look, self.light)


def pose_person(
    build: body.Build, name: str, rng: np.random.Generator | None = None
) -> FloatArray:
    """Return the points of a pose.

    Args:
        build: Whose body.
        name: Of body.POSES, or ``clapping_sitting``: the arms of the one, the legs of
            the other.
        rng: Moves every angle a little, where it is given.

    Returns:
        (P, 3) m.
    """
    if name == "clapping_sitting":
        pose = np.array(body.POSES["sitting"])
        for angle, column in body.ANGLE.items():
            if "shoulder" in angle or "elbow" in angle or "wrist" in angle:
                pose[column] = body.POSES["clapping"][column]
    else:
        pose = np.array(body.POSES[name])
    if rng is not None:
        pose = body.clamp_angles(pose + rng.normal(0.0, 4.0, pose.shape))
    return np.asarray(body.place_points(build, pose[None])[0])


def turn_into_view(points: FloatArray, heading: float, elevation: float) -> FloatArray:
    """Turn points of the body frame into view coordinates: right, down, towards the
    camera.

    Args:
        points: (P, 3) m.
        heading: In degrees; 0 faces the camera, 90 the image's right.
        elevation: How far the camera looks down, in degrees.

    Returns:
        (P, 3) m.
    """
    sin, cos = np.sin(np.radians(heading)), np.cos(np.radians(heading))
    right = points[:, 0] * sin - points[:, 2] * cos
    towards = points[:, 0] * cos + points[:, 2] * sin
    down = -points[:, 1]
    sin, cos = np.sin(np.radians(elevation)), np.cos(np.radians(elevation))
    return np.stack(
        [right, down * cos + towards * sin, towards * cos - down * sin], axis=1
    )


def cut_out_person(
    points: FloatArray, build: body.Build, look: figure.Look, light: figure.Light
) -> CutOut:
    """Paint a person alone. What shows through is found by painting on black and on
    white.

    Args:
        points: (P, 3) m in view coordinates.
        build: Whose body.
        look: What is worn.
        light: The light.
    """
    low, high = points.min(axis=0) - _MARGIN, points.max(axis=0) + _MARGIN
    width, height = (int(np.ceil(extent * _CUT_SCALE)) for extent in (high - low)[:2])
    placed = (points - np.array([low[0], low[1], 0.0])) * _CUT_SCALE
    person = figure.Figure(placed[None], _CUT_SCALE, build, look)
    black = np.zeros((height, width, 3), np.uint8)
    white = np.full((height, width, 3), 255, np.uint8)
    for ground in (black, white):
        figure.paint_figure(ground, person, light)
    # On black a pixel is α·c, on white α·c + (1 - α)·255.
    alpha = 255 - (white.astype(np.int16) - black).max(axis=2).clip(0, 255)
    opaque = black * (255.0 / np.maximum(alpha, 1))[..., None]
    colour = np.where(alpha[..., None] > 0, opaque, 0).clip(0, 255)
    image = np.dstack([colour, alpha]).astype(np.uint8)
    return CutOut(
        image,
        height=height / _CUT_SCALE,
        seat=float(placed[body.POINT["pelvis"], 1]) / height,
        soles=float(placed[:, 1].max() + 0.03 * _CUT_SCALE) / height,
    )


def _draw_clothed_build(rng: np.random.Generator) -> body.Build:
    build = body.draw_build(rng, "women" if rng.random() < 0.5 else "men")
    return replace(build, girth=build.girth * float(rng.uniform(1.05, 1.3)))
