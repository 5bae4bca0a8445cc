"""Everybody but the athlete: spectators cut out once and set down many times, and
people who are painted in place."""

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
_MARGIN = 0.2
"""m around the joints in a cut-out; the body itself fills some of it."""
_FLESH = 0.08
_SITTING = ("sitting", "sitting", "clapping_sitting")
_STANDING = ("standing_relaxed", "arms_folded", "clapping")
FANS = 3
"""Groups of spectators who wear one colour."""


@dataclass(frozen=True)
class CutOut:
    """A person on nothing: `image` (h, w, 4), how high it is in m, and where the pelvis
    and the soles are in it.

    `seat` and `soles` are shares of the height from the top.
    """

    image: Image
    height: float
    seat: float
    soles: float


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
        self.light = replace(
            light, ambient=light.ambient * dim, diffuse=light.diffuse * dim
        )
        self.bright = light
        self.boxes: list[FloatArray] = []
        self._sitting = {
            0: [self._draw_cut_out(rng, _SITTING, None) for _ in range(18)]
        }
        self._standing = [self._draw_cut_out(rng, _STANDING, None) for _ in range(7)]
        for group in range(1, FANS + 1):
            blue, green, red = (int(channel) for channel in rng.integers(20, 240, 3))
            self._sitting[group] = [
                self._draw_cut_out(rng, _SITTING, (blue, green, red)) for _ in range(3)
            ]

    def seat_spectator(
        self, canvas: Canvas, place: Place, rng: np.random.Generator, group: int
    ) -> None:
        """Seat somebody: the pelvis at `place` (x, y, w)."""
        alike = rng.random() < 0.6
        self._set_down(
            canvas, self._sitting[group if alike else 0], place, rng, seated=True
        )

    def stand_spectator(
        self, canvas: Canvas, place: Place, rng: np.random.Generator, group: int
    ) -> None:
        """Stand somebody: the soles at `place` (x, y, w)."""
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
        """Paint somebody in full detail; `place` is the soles', or the pelvis' where
        `pose` is ``sitting``.

        `heading` 0 faces the camera, 90 the picture's right.
        """
        px, depth = canvas.project(place)
        scale = canvas.measure_scale(place)
        build = _draw_clothed_build(rng)
        points = turn_into_view(pose_person(build, pose, rng), heading, 4.0) * scale
        foot = 0.0 if pose == "sitting" else float(points[:, 1].max()) + 0.035 * scale
        points += np.array([px[0], px[1] - foot, 0.0])
        rows, columns = canvas.image.shape[:2]
        low, high = points.min(axis=0), points.max(axis=0)
        if (
            depth > 1
            and high[0] > 0
            and high[1] > 0
            and low[0] < columns
            and low[1] < rows
        ):
            painted = figure.paint_figure(
                canvas.image,
                figure.Figure(points[None], scale, build, look),
                self.bright,
            )
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
        box = canvas.paste_sprite(
            np.ascontiguousarray(image),
            place,
            size,
            chosen.seat if seated else chosen.soles,
        )
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
    """Return the (P, 3) m points of a pose, every angle a little off where `rng` is
    given.

    ``clapping_sitting`` has the arms of the one and the legs of the other.
    """
    if name == "clapping_sitting":
        arms = np.array(
            [
                "shoulder" in angle or "elbow" in angle or "wrist" in angle
                for angle in body.ANGLES
            ]
        )
        pose = np.where(arms, body.POSES["clapping"], body.POSES["sitting"])
    else:
        pose = np.array(body.POSES[name])
    if rng is not None:
        pose = body.clamp_angles(pose + rng.normal(0.0, 4.0, pose.shape))
    return np.asarray(body.place_points(build, pose[None])[0])


def turn_into_view(points: FloatArray, heading: float, elevation: float) -> FloatArray:
    """Turn points (P, 3) of the body frame into view coordinates: right, down, towards
    the camera; all in m.

    `heading` 0 faces the camera, 90 the picture's right; `elevation` is how far the
    camera looks down, in degrees.
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
    white."""
    low, high = points.min(axis=0) - _MARGIN, points.max(axis=0) + _MARGIN
    width, height = (int(np.ceil(extent * _CUT_SCALE)) for extent in (high - low)[:2])
    placed = (points - np.array([low[0], low[1], 0.0])) * _CUT_SCALE
    black, white = (
        np.zeros((height, width, 3), np.uint8),
        np.full((height, width, 3), 255, np.uint8),
    )
    for ground in (black, white):
        figure.paint_figure(
            ground, figure.Figure(placed[None], _CUT_SCALE, build, look), light
        )
    alpha = 255 - (white.astype(np.int16) - black).max(axis=2).clip(0, 255)
    colour = np.where(
        alpha[..., None] > 0, black * (255.0 / np.maximum(alpha, 1))[..., None], 0
    ).clip(0, 255)
    image = np.dstack([colour, alpha]).astype(np.uint8)
    soles = float(placed[:, 1].max() + 0.03 * _CUT_SCALE) / height
    return CutOut(
        image,
        height / _CUT_SCALE,
        float(placed[body.POINT["pelvis"], 1]) / height,
        soles,
    )


def _draw_clothed_build(rng: np.random.Generator) -> body.Build:
    build = body.draw_build(rng, "women" if rng.random() < 0.5 else "men")
    return replace(build, girth=build.girth * float(rng.uniform(1.05, 1.3)))
