"""Scene of one dive as a camera saw it: frames, and what is true in each of them.

Images and truth come from one projection of one body. A frame's exposure lies around
its nominal instant, to which the truth belongs. The same arguments give the same bytes,
whatever frames are asked for in whatever order.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from finediving_pose.records import FloatArray, Visibility
from finediving_pose.skeleton import NUM_JOINTS
from finediving_pose.synthesis import body, effects, pool
from finediving_pose.synthesis.camera import SIZE, Subject, View, follow_athlete
from finediving_pose.synthesis.canvas import Image, blend_over, shade_colour
from finediving_pose.synthesis.dive import FPS, SUBSTEPS
from finediving_pose.synthesis.figure import (
    Coverage,
    Figure,
    Look,
    draw_look,
    paint_figure,
)
from finediving_pose.synthesis.look import Sex
from finediving_pose.synthesis.panorama import paint_panorama
from finediving_pose.synthesis.tower import paint_springboard
from finediving_pose.synthesis.venue import Venue, draw_station

if TYPE_CHECKING:
    from finediving_pose.synthesis.dive import Motion

__all__ = ["SIZE", "Scene"]

_RATE = FPS * SUBSTEPS
_FEWEST, _MOST = 3, 7
"""Instants of the body that are painted into one frame; always odd, for one of them is
the middle."""
_STEP = 5.0
"""How far in px a joint may move from one of them to the next, as long as they are not
too many."""
_SMALLEST = 8.0
"""px of width and height below which nobody is taken for a person."""


class _Seen(NamedTuple):
    """A painted frame: the athlete's box (4,) px, which joints (16,) something hides,
    others (M, 5)."""

    box: FloatArray
    hidden: NDArray[np.bool_]
    others: FloatArray


class Scene:
    """One dive at a venue.

    Args:
        motion: What the athlete does.
        look: The athlete's looks.
        venue: Where.
        rng: Where chance comes from: the operator, banners, noise.
        hard: Whether something stands in the way, others walk about, somebody dives
            beside the athlete, the zoom is restless and the light flickers.
        camera_seed: Where the camera stands; the same for all dives of a match.
        caption: Athlete, country code and dive number, for a banner that some dives
            have; None = no banner.

    Attributes:
        keypoints: (T, 16, 2) float64 px at each frame's nominal instant, also where a
            joint is outside the image or under water: `visibility` says so.
        depth: (T, 16) float64 m from the camera along its axis.
        camera: (T, 3, 4) float64, projection matrices from the world in m to px.
        views: The T views that `camera` was made from, with pan, tilt, roll and focal
            length.
        obstacle: What stands in the way, if anything.
    """

    def __init__(
        self,
        motion: Motion,
        look: Look,
        venue: Venue,
        rng: np.random.Generator,
        hard: bool = False,
        camera_seed: int = 0,
        caption: tuple[str, str, str] | None = None,
    ) -> None:
        self.motion, self.look, self.venue, self.hard = motion, look, venue, hard
        self._station = draw_station(venue, camera_seed)
        takeoff = motion.takeoff * SUBSTEPS
        subject = Subject(motion.points, motion.mass_centre, takeoff, _RATE)
        self._path = follow_athlete(self._station, subject, rng, hard)
        self.views = self._path[::SUBSTEPS]
        self.keypoints, self.depth = self.views.project(motion.joints)
        self.camera = self.views.matrix
        self._draw_dress(np.random.default_rng(rng.integers(2**63)), caption)
        self._seen: dict[int, _Seen] = {}

    def __len__(self) -> int:
        return self.motion.frames

    def render_frame(self, k: int) -> Image:
        """Return frame `k` as (256, 455, 3) uint8 BGR."""
        image, self._seen[k] = self._paint_frame(k)
        return image

    @property
    def boxes(self) -> FloatArray:
        """(T, 4) float64 px x1, y1, x2, y2: what was painted of the athlete, above the
        water; NaN where nothing was.

        What another thing hides of the athlete is counted in. Frames that were not
        painted yet are.
        """
        return np.stack([self.get_box(k) for k in range(len(self))])

    @property
    def visibility(self) -> NDArray[np.uint8]:
        """(T, 16) of :class:`~finediving_pose.records.Visibility`.

        MISSING is outside the image or under water, OCCLUDED behind the body itself or
        something nearer.
        """
        return np.stack([self.get_visibility(k) for k in range(len(self))])

    def get_others(self, k: int) -> FloatArray:
        """Return (M, 5) for everybody but the athlete in frame `k`: an index of the
        person, and the box in px, hidden or not.

        Boxes are cut off at the image's edges; those smaller than 8 px there are left
        out.
        """
        return self._see_frame(k).others

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """(T, 16) which joints are inside the image and above the water, hidden or not;
        known without painting."""
        after_first = self.keypoints >= -0.5
        before_last = self.keypoints < np.array(SIZE) - 0.5
        inside = (after_first & before_last).all(axis=-1)
        return np.asarray(inside & (self.motion.joints[..., 1] >= 0))

    def get_box(self, k: int) -> FloatArray:
        """Return row `k` of `boxes`."""
        return self._see_frame(k).box

    def get_visibility(self, k: int) -> NDArray[np.uint8]:
        """Return row `k` of `visibility`."""
        hidden = self._see_frame(k).hidden
        seen = np.where(hidden, Visibility.OCCLUDED, Visibility.VISIBLE)
        return np.where(self.present[k], seen, Visibility.MISSING).astype(np.uint8)

    def _see_frame(self, k: int) -> _Seen:
        if k not in self._seen:
            self.render_frame(k)
        return self._seen[k]

    def _draw_dress(
        self, rng: np.random.Generator, caption: tuple[str, str, str] | None
    ) -> None:
        """Draw everything that belongs to the images alone.

        The order of the draws is part of the format: another one gives other meets.
        """
        venue, motion, grade = self.venue, self.motion, self.venue.grade
        self._shutter = min(grade.shutter * (1.5 if self.hard else 1.0), 0.9)
        self._sensor = effects.Sensor(
            grade.cast, grade.vignette, grade.noise, grade.softness, rng
        )
        # The number of drops must not move anything else.
        drops = np.random.default_rng(rng.integers(2**63))
        entry = _find_entry(motion)
        self._splash = effects.Splash(entry, motion.execution.splash, drops)
        corners = pool.find_water_corners(venue, self._station.position)
        self._shimmer = effects.Shimmer(corners, float(rng.uniform(3.0, 8.0)), rng)
        self._foam = shade_colour((250, 248, 244), 1.0 - 0.35 * venue.theme.dark)
        self._overlays = self._draw_overlays(rng, caption)
        self.obstacle: effects.Obstacle | None = None
        self._walkers: list[_Walker] = []
        self._flicker = np.zeros(len(self))
        self._partner: _Partner | None = None
        if self.hard:
            self._draw_hardships(rng)

    def _draw_overlays(
        self, rng: np.random.Generator, caption: tuple[str, str, str] | None
    ) -> list[tuple[int, effects.Overlay]]:
        """Return what lies over the image, each with the frame at which it goes."""
        venue = self.venue
        overlays = []
        if venue.grade.logo:
            mark_rng = np.random.default_rng((venue.seed, 5))
            mark = effects.make_station_mark(venue.sponsors[0], mark_rng)
            overlays.append((len(self), mark))
        if caption is not None and rng.random() < 0.45:
            if rng.random() < 0.15:
                until = len(self)
            else:
                until = self.motion.takeoff + int(rng.integers(-8, 12))
            rank = int(rng.integers(1, 19))
            banner = effects.make_score_banner(
                caption, rank, venue.theme.band, venue.theme.ink, rng
            )
            overlays.append((until, banner))
        return overlays

    def _draw_hardships(self, rng: np.random.Generator) -> None:
        """Draw what makes a hard scene hard."""
        side = self._station.side
        if rng.random() < 0.6:
            self.obstacle = effects.Obstacle(self.views, rng)
        if rng.random() < 0.7:
            self._walkers.append(_Walker(self.venue, side, rng))
        self._flicker = rng.normal(0.0, 0.045, len(self))
        if rng.random() < 0.5:
            self._walkers.append(_Walker(self.venue, side, rng))
        if rng.random() < 0.35:
            self._partner = _Partner(self.motion, side, rng)

    def _paint_frame(self, k: int) -> tuple[Image, _Seen]:
        """Paint from far to near: venue, others, board, athlete, splash, camera."""
        view, venue = self.views[k], self.venue
        image = self._cut_background(k, view)
        moving = [walker.paint(image, view, k / FPS, venue) for walker in self._walkers]
        if self._partner is not None:
            moving.append(self._partner.paint(image, view, k, venue))
        if self.motion.apparatus != "10m":
            bent = float(self.motion.board[SUBSTEPS * k])
            paint_springboard(image, view, venue, bent)
        before = image.copy()
        coverage = self._paint_athlete(image, k, view)
        hidden = ~coverage.visible
        hidden |= self._restore_front(image, before, coverage.box, k)
        since_touch = (k - self.motion.touch) / FPS
        self._splash.paint(image, view, since_touch, self._shutter / FPS, self._foam)
        hidden |= self._finish(image, k, view)
        return image, _Seen(coverage.box, hidden, self._find_others(k, moving))

    def _find_others(self, k: int, moving: list[FloatArray]) -> FloatArray:
        """Return who is painted into the venue, carried into frame `k`, and who moves,
        as :meth:`get_others` does."""
        people = paint_panorama(self.venue, self._station).people
        corners = people[:, [[0, 1], [2, 1], [2, 3], [0, 3]]].reshape(-1, 1, 2)
        px: FloatArray = corners
        if len(people):
            moved = cv2.perspectiveTransform(corners, self._from_panorama[k])
            px = np.asarray(moved, np.float64).reshape(-1, 4, 2)
        boxes = np.concatenate([px.min(axis=1), px.max(axis=1)], axis=-1).reshape(-1, 4)
        boxes = np.concatenate([boxes, *(box[None] for box in moving)])
        boxes = np.clip(boxes, 0, np.tile(SIZE, 2))
        large = (boxes[:, 2:] - boxes[:, :2] >= _SMALLEST).all(axis=1)
        seen = np.flatnonzero(large)
        return np.column_stack([seen, boxes[seen]])

    def _cut_background(self, k: int, view: View) -> Image:
        """Cut the frame out of the panorama and smear it as the camera turned during
        the exposure."""
        panorama = paint_panorama(self.venue, self._station)
        image = cv2.warpPerspective(
            panorama.image,
            self._from_panorama[k],
            SIZE,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        self._shimmer.paint(image, view, k / FPS)
        return effects.blur_along(image, self._camera_motion[k])

    @cached_property
    def _from_panorama(self) -> FloatArray:
        """(T, 3, 3), from the panorama's pixels to each frame's."""
        panorama = paint_panorama(self.venue, self._station)
        return panorama.view.homography_to(self.views)

    @cached_property
    def _camera_motion(self) -> FloatArray:
        """(T, 2) px, how far each frame's middle moves over the venue during the
        exposure."""
        frames = np.arange(len(self))
        opened = self._interpolate_view(frames + -0.5 * self._shutter)
        closed = self._interpolate_view(frames + 0.5 * self._shutter)
        return effects.measure_camera_motion(opened, closed)

    def _paint_athlete(self, image: Image, k: int, view: View) -> Coverage:
        """Paint the body at the exposure's instants, the nominal one first, each by the
        camera of that instant."""
        motion = self.motion
        frames = k + self._shutter * self._spread_exposure(k)
        points = np.stack(
            [_interpolate_rows(motion.points, SUBSTEPS * frame) for frame in frames]
        )
        px, depth = self._interpolate_view(frames).project(points)
        pelvis = body.POINT["pelvis"]
        scale = float(view.focal / depth[0, pelvis])
        # Nearer is larger, in the same unit as the pixels.
        instants = np.concatenate([px, -scale * depth[..., None]], axis=-1)
        figure = Figure(instants, scale, motion.build, self.look)
        water = _find_water_line(view, points[0, pelvis])
        return paint_figure(image, figure, self.venue.light, water)

    def _spread_exposure(self, k: int) -> FloatArray:
        """Return (S,) when in the exposure the body is painted, -0.5..0.5, the middle
        first: the more instants, the faster it moves."""
        around = self.keypoints[max(k - 1, 0) : k + 2]
        way = np.linalg.norm(np.diff(around, axis=0), axis=-1).max()
        moved = self._shutter * float(way)
        count = int(np.clip(2 * np.ceil(moved / _STEP / 2) + 1, _FEWEST, _MOST))
        return np.roll(np.linspace(-0.5, 0.5, count), -(count // 2))

    def _restore_front(
        self, image: Image, before: Image, box: FloatArray, k: int
    ) -> NDArray[np.bool_]:
        """Put what stands nearer than the athlete back over them; return which joints
        (16,) it hides."""
        nothing = np.zeros(NUM_JOINTS, bool)
        if not np.isfinite(box).all():
            return nothing
        panorama = paint_panorama(self.venue, self._station)
        x0, y0, x1, y1 = (int(v) for v in (*np.floor(box[:2]), *(np.ceil(box[2:]) + 1)))
        shift = np.array([[1, 0, -x0], [0, 1, -y0], [0, 0, 1]], np.float64)
        matrix = shift @ self._from_panorama[k]
        front = cv2.warpPerspective(panorama.front, matrix, (x1 - x0, y1 - y0))
        above = self.motion.joints[k, :, 1].min() > self.venue.height - 0.1
        # NEARER (255) hides always, UNDER (127) from above the board only: doubling
        # makes both opaque, and taking away the inverse leaves NEARER alone.
        if above:
            front = cv2.add(front, front)
        else:
            front = cv2.subtract(front, cv2.bitwise_not(front))
        if not front.any():
            return nothing
        blend_over(image[y0:y1, x0:x1], before[y0:y1, x0:x1], front)
        return effects.look_up_mask(front, self.keypoints[k] - (x0, y0)) > 127

    def _finish(self, image: Image, k: int, view: View) -> NDArray[np.bool_]:
        """Add what is nearest: an obstacle, the camera's own traces, overlays; return
        which joints (16,) are hidden."""
        hidden = np.zeros(NUM_JOINTS, bool)
        if self.obstacle is not None:
            mask = self.obstacle.make_mask(view)
            self.obstacle.paint(image, mask)
            hidden |= effects.look_up_mask(mask, self.keypoints[k]) > 127
        self._sensor.expose(image, k, 1.0 + float(self._flicker[k]))
        for until, overlay in self._overlays:
            if k < until:
                overlay.paint(image)
                hidden |= overlay.find_hidden(self.keypoints[k])
        return hidden

    def _interpolate_view(self, frame: float | FloatArray) -> View:
        """Return the operator's view at any moment, counted in frames."""
        path = self._path
        instant = np.clip(SUBSTEPS * np.asarray(frame), 0, len(path.pan) - 1)
        steps = np.arange(len(path.pan))
        angles = (path.pan, path.tilt, path.roll, path.focal)
        pan, tilt, roll, focal = (np.interp(instant, steps, each) for each in angles)
        return View(path.position, pan, tilt, roll, focal, path.side)


class _Partner:
    """Somebody who dives the same beside the athlete, farther from the camera, a little
    too early or too late."""

    def __init__(self, motion: Motion, side: int, rng: np.random.Generator) -> None:
        sex: Sex = "women" if motion.build.sex == "women" else "men"
        self._motion, self._look = motion, draw_look(rng, sex)
        self._late = float(rng.uniform(-5.0, 5.0))
        self._across = -side * (1.5 if motion.apparatus == "10m" else 2.6)

    def paint(self, image: Image, view: View, k: int, venue: Venue) -> FloatArray:
        """Paint them, and their springboard, into a frame.

        Args:
            image: (256, 455, 3) uint8, changed in place.
            view: Of that frame.
            k: Its number.
            venue: Where.

        Returns:
            Their box (4,) px, NaN under water.
        """
        motion, instant = self._motion, SUBSTEPS * (k - self._late)
        if motion.apparatus != "10m":
            bent = float(_interpolate_rows(motion.board, instant))
            paint_springboard(image, view, venue, bent, self._across)
        aside = np.array([0.0, 0.0, self._across])
        points = _interpolate_rows(motion.points, instant) + aside
        px, depth = view.project(points)
        pelvis = body.POINT["pelvis"]
        scale = float(view.focal / depth[pelvis])
        water = _find_water_line(view, points[pelvis])
        instants = np.concatenate([px, -scale * depth[:, None]], axis=-1)[None]
        figure = Figure(instants, scale, motion.build, self._look)
        return paint_figure(image, figure, venue.light, water).box


class _Walker:
    """Somebody else in swimwear who walks to and fro behind the athlete, on the deck or
    on a lower platform."""

    def __init__(self, venue: Venue, side: int, rng: np.random.Generator) -> None:
        sex: Sex = "women" if rng.random() < 0.5 else "men"
        self._build, self._look = body.draw_build(rng, sex), draw_look(rng, sex)
        self._start = float(rng.uniform(-5.5, -3.5))
        self._pace = float(rng.uniform(0.5, 1.1))
        if venue.height > 5 and rng.random() < 0.6:
            height, w = 10.0, -0.9
        else:
            height, w = 0.22, venue.pool_far - 0.7
            self._start = float(rng.uniform(-2.0, 3.0))
        self._floor, self._z = height, side * w

    def paint(
        self, image: Image, view: View, seconds: float, venue: Venue
    ) -> FloatArray:
        """Paint them as they are after some seconds; a step takes 0.55 s.

        Args:
            image: (256, 455, 3) uint8, changed in place.
            view: A single view.
            seconds: Since the clip began.
            venue: Where.

        Returns:
            Their box (4,) px.
        """
        stride = 0.5 - 0.5 * np.cos(np.pi * seconds / 0.55)
        pose = (1 - stride) * body.POSES["walking_a"] + stride * body.POSES["walking_b"]
        points = np.asarray(body.place_points(self._build, pose[None])[0])
        sway = 1.2 * np.sin(self._pace * seconds / 1.2)
        heading = 1.0 if np.cos(self._pace * seconds / 1.2) > 0 else -1.0
        world = points * (heading, 1.0, heading)
        # The lower foot stands on the floor.
        world += (self._start + sway, self._floor + 0.02 - points[:, 1].min(), self._z)
        px, depth = view.project(world)
        scale = float(view.focal / depth.mean())
        instants = np.concatenate([px, -scale * depth[:, None]], axis=-1)[None]
        figure = Figure(instants, scale, self._build, self._look)
        return paint_figure(image, figure, venue.light).box


def _find_water_line(view: View, point: FloatArray) -> float:
    """Return the row in px of the water right below a point (3,) m."""
    foot = point * (1.0, 0.0, 1.0)
    return float(view.project(foot[None])[0][0, 1])


def _find_entry(motion: Motion) -> FloatArray:
    """Return (3,) m on the water: the middle of where the body goes through the
    surface."""
    start = min(motion.touch, motion.frames - 1)
    end = min(motion.gone, motion.frames - 1) + 1
    sinking = motion.points[SUBSTEPS * start : SUBSTEPS * end]
    # What is within about 5 cm of the surface counts.
    weights = 1.0 / (0.05**2 + sinking[..., 1] ** 2)
    total = (weights[..., None] * sinking).sum(axis=(0, 1))
    return np.asarray(total / weights.sum() * (1.0, 0.0, 1.0))


def _interpolate_rows(values: FloatArray, index: float) -> FloatArray:
    """Interpolate along the first axis, the ends held."""
    index = float(np.clip(index, 0, len(values) - 1))
    low = min(int(index), len(values) - 2)
    share = index - low
    return np.asarray((1 - share) * values[low] + share * values[low + 1])
