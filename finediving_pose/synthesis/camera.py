"""Camera: a pinhole that stands still and turns, and the operator who follows the
athlete with it.

World: metres, x away from the board over the water, y up from the water's surface, z =
x × y. Images: pixels, the centre of the top-left pixel at (0, 0). Angles are degrees.
Because the camera only turns and zooms, what does not move maps from one of its views
to another by a homography, at whatever distance it stands.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.records import FloatArray

SIZE = (455, 256)
"""Width and height of a frame in px, FineDiving's."""
CENTRE = ((SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2)
"""The principal point of a frame in px."""

_GRAVITY_LAG = 0.06
"""Spread in s over which an operator foresees the athlete's way."""
_WOBBLE_HZ = (0.35, 0.9, 2.3)
_WOBBLE_SHARES = (1.0, 0.5, 0.2)


@dataclass(frozen=True)
class Station:
    """Where a camera stands for a whole match, and how its operator works.

    Attributes:
        position: (x, y, z) m.
        focal: The usual focal length in px.
        roll: How far the horizon is turned, in degrees, positive clockwise in the
            image.
        agility: Natural frequency of the operator's hand in rad/s; higher lags less.
        wobble: Unsteadiness in px.
        rest: Height in m that the camera looks at when the athlete has gone into the
            water.
    """

    position: tuple[float, float, float]
    focal: float
    roll: float = 0.0
    agility: float = 7.0
    wobble: float = 1.5
    rest: float = 0.6

    @property
    def side(self) -> int:
        """1 where the athlete travels to the right in the image (camera at z > 0), -1
        where to the left."""
        return 1 if self.position[2] > 0 else -1


@dataclass(frozen=True)
class View:
    """Where a camera that stands at `position` looks: one direction, or one per
    instant.

    Attributes:
        position: (3,) m.
        pan: (...) degrees to the image's right of the direction square to x.
        tilt: (...) degrees upwards.
        roll: (...) degrees, positive turns the world clockwise in the image.
        focal: (...) px.
        side: 1 looks towards -z, -1 towards +z.
        centre: (2,) px, the principal point.
    """

    position: FloatArray
    pan: FloatArray
    tilt: FloatArray
    roll: FloatArray
    focal: FloatArray
    side: int
    centre: tuple[float, float] = CENTRE

    def __getitem__(self, index: Any) -> View:
        """Return the view at some of the instants."""
        return replace(
            self,
            pan=self.pan[index],
            tilt=self.tilt[index],
            roll=self.roll[index],
            focal=self.focal[index],
        )

    @property
    def rotation(self) -> FloatArray:
        """(..., 3, 3): the rows are the image's right, its down and the viewing
        direction, in the world."""
        pan, tilt, roll = (
            np.radians(angle) for angle in (self.pan, self.tilt, self.roll)
        )
        # Pan turns about the vertical, tilt about the level axis to the right, roll
        # about the direction that is looked in.
        zero = np.zeros_like(pan)
        right = self.side * np.stack([np.cos(pan), zero, np.sin(pan)], axis=-1)
        level = self.side * np.stack([np.sin(pan), zero, -np.cos(pan)], axis=-1)
        up = np.array([0.0, 1.0, 0.0])
        cos, sin = np.cos(tilt)[..., None], np.sin(tilt)[..., None]
        ahead, down = cos * level + sin * up, sin * level - cos * up
        cos, sin = np.cos(roll)[..., None], np.sin(roll)[..., None]
        return np.stack(
            [cos * right - sin * down, sin * right + cos * down, ahead], axis=-2
        )

    @property
    def intrinsics(self) -> FloatArray:
        """(..., 3, 3), K of x = K R (X - position)."""
        matrix = np.zeros((*self.focal.shape, 3, 3))
        matrix[..., 0, 0] = matrix[..., 1, 1] = self.focal
        matrix[..., :2, 2] = self.centre
        matrix[..., 2, 2] = 1.0
        return matrix

    @property
    def matrix(self) -> FloatArray:
        """(..., 3, 4), the projection matrix K R [I | -position]; its third row gives
        the depth in m."""
        turned = self.intrinsics @ self.rotation
        return np.concatenate([turned, -turned @ self.position[:, None]], axis=-1)

    def project(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Project (..., P, 3) m, with this view's own leading axes, to (..., P, 2) px
        and (..., P) m of depth.

        A point at or behind the camera has a depth of 0 or less, and pixels that mean
        nothing.
        """
        seen = (points - self.position) @ np.swapaxes(self.rotation, -1, -2)
        depth = seen[..., 2]
        scale = self.focal[..., None] / np.where(depth > 1e-9, depth, np.nan)
        return seen[..., :2] * scale[..., None] + np.array(self.centre), depth

    def homography_to(self, other: View) -> FloatArray:
        """(..., 3, 3): maps this view's pixels to those that the `other` view, from the
        same position, has of them.

        It is exact for everything that does not move: H = K' R' R^T K^-1.
        """
        turned = self.intrinsics @ self.rotation
        return (other.intrinsics @ other.rotation) @ np.linalg.inv(turned)


def look_at(station: Station, targets: FloatArray) -> View:
    """Turn a camera so that points stand in the middle of the image.

    Args:
        station: The camera.
        targets: (..., 3) m.

    Returns:
        A view for each point.
    """
    position = np.array(station.position)
    ahead = targets - position
    along, across = station.side * ahead[..., 0], -station.side * ahead[..., 2]
    pan = np.degrees(np.arctan2(along, across))
    tilt = np.degrees(np.arctan2(ahead[..., 1], np.hypot(along, across)))
    same = np.ones_like(pan)
    return View(
        position, pan, tilt, station.roll * same, station.focal * same, station.side
    )


@dataclass(frozen=True)
class Subject:
    """What a camera follows, at N instants.

    Attributes:
        points: (N, P, 3) m of the athlete.
        mass_centre: (N, 3) m.
        takeoff: First instant without contact to the board.
        rate: Instants per second.
    """

    points: FloatArray
    mass_centre: FloatArray
    takeoff: int
    rate: float


def follow_athlete(
    station: Station, subject: Subject, rng: np.random.Generator, hard: bool = False
) -> View:
    """Return an operator's way through a dive: N views that keep the athlete in the
    image.

    The hand follows the mass centre as a critically damped spring that knows the
    athlete's speed, begins wider so that the board is seen, and rests at the water. The
    zoom gives way wherever a point above the water would come nearer than a margin to
    the image's edge; a `hard` operator is slower, zooms in and out and cuts off.

    Args:
        station: The camera.
        subject: The athlete.
        rng: Where chance comes from.
        hard: Whether to work badly.

    Returns:
        The views.
    """
    points, mass_centre, rate = subject.points, subject.mass_centre, subject.rate
    agility = station.agility * (0.75 if hard else 1.0)
    # The target: a little beside the mass centre, at the water once it is under it.
    target = mass_centre + np.array([*rng.normal(0.0, 0.12, 2), 0.0])
    target[:, 0] = target[_hold_under_water(mass_centre), 0]
    target[:, 1] = station.rest + _clip_softly(target[:, 1] - station.rest, 0.22)
    foreseen = _smooth_values(target, _GRAVITY_LAG * rate)
    view = look_at(station, _follow_as_spring(foreseen, agility, rate))

    # The hand is not quite steady.
    seconds = (np.arange(len(points)) - subject.takeoff) / rate
    wobble = station.wobble * (1.8 if hard else 1.0) * np.degrees(1.0 / station.focal)
    pan = view.pan + wobble * _draw_wobble(seconds, rng)
    tilt = view.tilt + wobble * _draw_wobble(seconds, rng)
    view = replace(view, pan=pan, tilt=tilt)

    # The zoom is wider before the take-off, so that the board is seen.
    focal = (
        station.focal
        * rng.uniform(0.92, 1.05)
        * (1.0 - 0.12 * _ease_in(-seconds / 0.5 + 0.2))
    )
    if hard:
        focal = (
            focal
            * rng.uniform(0.95, 1.4)
            * (1.0 + 0.18 * np.sin(rng.uniform(3, 7) * seconds + rng.uniform(0, 6)))
        )
        return replace(view, focal=focal)
    # It gives way in time and smoothly to a body that would leave the image.
    window = int(0.35 * rate)
    focal = np.minimum(focal, _find_longest_focal(view, points))
    focal = _smooth_values(_take_lowest_around(focal, window), window / 3)
    return replace(view, focal=focal)


def _find_longest_focal(
    view: View, points: FloatArray, margin: float = 12.0
) -> FloatArray:
    """(N,) px, the longest focal lengths that keep the points above the water `margin`
    px inside the image.

    Offsets from the principal point grow in proportion to the focal length.
    """
    px, _ = view.project(points)
    # Offsets as shares of the room that there is to each side.
    room = np.array(view.centre) - margin
    reach = np.abs(px - np.array(view.centre)) / room
    reach = np.where(points[..., 1] > -0.05, reach.max(axis=-1), 0.0)
    return np.asarray(view.focal / np.maximum(reach.max(axis=-1), 1e-3))


def _hold_under_water(mass_centre: FloatArray) -> NDArray[np.intp]:
    """(N,) each instant's own index, held from when the mass centre goes under water."""
    under = np.flatnonzero(mass_centre[:, 1] < 0)
    last = int(under[0]) if len(under) else len(mass_centre) - 1
    return np.minimum(np.arange(len(mass_centre)), last)


def _follow_as_spring(target: FloatArray, frequency: float, rate: float) -> FloatArray:
    """Follow `target` (N, 3) as a critically damped spring with the target's own speed
    known to it."""
    speed = np.gradient(target, 1.0 / rate, axis=0)
    position, pace = target[0].copy(), speed[0].copy()
    way = np.empty_like(target)
    for i in range(len(target)):
        way[i] = position
        # a = ω² · (distance left) + 2 ω · (speed left), by Euler's steps.
        pull = frequency**2 * (target[i] - position)
        damping = 2 * frequency * (speed[i] - pace)
        pace += (pull + damping) / rate
        position = position + pace / rate
    return way


def _draw_wobble(seconds: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return a sum of slow sines with phases of its own, of about unit size."""
    phases = rng.uniform(0, 2 * np.pi, len(_WOBBLE_HZ))
    total = np.zeros_like(seconds)
    for hz, share, phase in zip(_WOBBLE_HZ, _WOBBLE_SHARES, phases, strict=True):
        total += share * np.sin(2 * np.pi * hz * seconds + phase)
    return total


def _clip_softly(value: FloatArray, width: float) -> FloatArray:
    """max(value, 0) with a round corner of the given width."""
    return np.asarray(width * np.logaddexp(0.0, value / width))


def _ease_in(share: FloatArray) -> FloatArray:
    """0 below 0, 1 above 1, smooth between."""
    clipped = np.clip(share, 0.0, 1.0)
    return clipped * clipped * (3 - 2 * clipped)


def _take_lowest_around(values: FloatArray, window: int) -> FloatArray:
    """The smallest of the values up to `window` instants before and after."""
    padded = np.pad(values, window, mode="edge")
    return np.asarray(
        np.lib.stride_tricks.sliding_window_view(padded, 2 * window + 1).min(axis=-1)
    )


def _smooth_values(values: FloatArray, deviation: float) -> FloatArray:
    """Average along the first axis by a Gaussian that ends at three standard
    deviations, the ends held."""
    radius = max(int(3 * deviation), 1)
    offset = np.arange(-radius, radius + 1) / max(deviation, 1e-6)
    weights: NDArray[np.float64] = np.exp(-0.5 * offset**2)
    weights /= weights.sum()
    around = [(radius, radius)] + [(0, 0)] * (values.ndim - 1)
    padded = np.pad(values, around, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, len(weights), axis=0)
    return np.asarray(windows @ weights)
