"""Canvas for painting a venue in perspective: faces, rails, writing and people, given
in metres.

Points are given as (x, y, w): x away from the board, y up from the water, w towards the
camera, so that a venue looks alike from either side. Painting goes from far to near.
Colours are BGR.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from finediving_pose.records import FloatArray
from finediving_pose.synthesis.camera import View
from finediving_pose.synthesis.look import Colour

Image = NDArray[Any]
"""uint8 throughout; cv2 does not say so in its types."""
Place = Sequence[float]
Corner = tuple[float, float, float]

NEARER, UNDER = 255, 127

_NEAREST = 0.5
"""Nothing nearer than this many metres is painted."""
# cv2 draws in 2^-4 px.
_BITS = 4
# px; cv2's integers hold no more.
_FAR_PX = 2.0e5


class Canvas:
    """An image of the given size, seen by one `view`.

    Args:
        view: A single view.
        size: Width and height in px.
        colour: Of the ground.

    Attributes:
        image: (H, W, 3) uint8.
        front: (H, W) uint8, :data:`NEARER` where something stands nearer to the camera
            than the athlete, :data:`UNDER` where it does so as long as the athlete is
            above the board or platform.
    """

    def __init__(self, view: View, size: tuple[int, int], colour: Colour) -> None:
        self.view = view
        self.image: Image = np.full((size[1], size[0], 3), colour, np.uint8)
        self.front: Image = np.zeros((size[1], size[0]), np.uint8)
        self._matrix = view.matrix

    def project(self, points: Any) -> tuple[FloatArray, FloatArray]:
        """Return the pixels (..., 2) of points (..., 3) and their depth (...) in m."""
        world = np.array(points, np.float64)
        # The world's z runs to the right of the board, w towards the camera.
        world[..., 2] *= self.view.side
        seen = world @ self._matrix[:, :3].T + self._matrix[:, 3]
        depth = seen[..., 2]
        return seen[..., :2] / np.where(depth > 1e-6, depth, np.nan)[..., None], depth

    def measure_scale(self, place: Place) -> float:
        """Return the pixels per metre at a point."""
        return float(self.view.focal / self.project(place)[1])

    def paint_face(self, corners: Any, colour: Colour, front: int = 0) -> None:
        """Fill a flat, convex face.

        Args:
            corners: (C, 3) m.
            colour: BGR.
            front: NEARER or UNDER says when it hides the athlete; 0 never.
        """
        polygon = self._project_polygon(corners)
        if polygon is not None:
            cv2.fillConvexPoly(self.image, polygon, colour, cv2.LINE_AA, _BITS)
            if front:
                cv2.fillConvexPoly(self.front, polygon, front, cv2.LINE_AA, _BITS)

    def paint_faces(self, corners: FloatArray, colours: NDArray[np.uint8]) -> None:
        """Fill many faces, none of them behind the camera.

        Args:
            corners: (F, C, 3) m.
            colours: (F, 3) BGR.
        """
        px, depth = self.project(corners)
        visible = (depth > _NEAREST).all(axis=1) & self._is_in_image(px)
        fixed = np.round(px[visible] * 2**_BITS).astype(np.int32)
        for polygon, colour in zip(fixed, colours[visible].tolist(), strict=True):
            cv2.fillConvexPoly(self.image, polygon, colour, cv2.LINE_AA, _BITS)

    def paint_gradient(
        self, corners: Any, start: Colour, end: Colour, steps: int = 14
    ) -> None:
        """Fill a four-cornered face with a colour that changes across it.

        Args:
            corners: (4, 3) m.
            start: Colour at the edge 0–1.
            end: Colour at the edge 3–2.
            steps: Stripes of one colour.
        """
        a, b, c, d = (np.array(corner, np.float64) for corner in corners)
        for step in range(steps):
            # Stripes overlap a little, so that no seam shows.
            s, t = step / steps, min((step + 1.15) / steps, 1.0)
            middle = (step + 0.5) / steps
            self.paint_face(
                [a + s * (d - a), b + s * (c - b), b + t * (c - b), a + t * (d - a)],
                mix_colours(start, end, middle),
            )

    def paint_box(
        self, low: Place, high: Place, colour: Colour, front: bool = False
    ) -> None:
        """Paint a block with edges along the axes: what is lit from above is lighter,
        what faces down darker.

        Args:
            low, high: Its least and greatest x, y, w.
            colour: Of the side towards the camera.
            front: Whether an athlete who stands on it may be hidden by it.
        """
        (x0, y0, w0), (x1, y1, w1) = low, high
        camera = self.view.position
        under = UNDER if front else 0
        if camera[1] > y1:
            top = span_floor(x0, x1, y1, w0, w1)
            self.paint_face(top, shade_colour(colour, 1.18))
        elif camera[1] < y0:
            bottom = span_floor(x0, x1, y0, w0, w1)
            self.paint_face(bottom, shade_colour(colour, 0.6), under)
        if camera[0] > x1 or camera[0] < x0:
            side = span_end(x1 if camera[0] > x1 else x0, y0, y1, w0, w1)
            self.paint_face(side, shade_colour(colour, 0.86), under)
        near = span_wall(x0, x1, y0, y1, w1)
        self.paint_face(near, colour, NEARER if front else 0)

    def paint_rail(
        self,
        start: Place,
        end: Place,
        colour: Colour,
        width: float = 0.05,
        front: bool = False,
    ) -> None:
        """Draw a bar, lighter along its middle.

        Args:
            start, end: Of its middle line.
            colour: BGR.
            width: In m.
            front: Whether it may hide the athlete.
        """
        (a, b), depth = self.project([start, end])
        if depth.min() < _NEAREST or np.abs([a, b]).max() > _FAR_PX:
            return
        thickness = max(1, round(width * float(self.view.focal) / float(depth.mean())))
        fixed = np.round(np.array([a, b]) * 2**_BITS).astype(int).tolist()
        line = tuple(fixed[0]), tuple(fixed[1])
        cv2.line(self.image, *line, colour, thickness, cv2.LINE_AA, _BITS)
        if thickness > 2:
            light = shade_colour(colour, 1.35)
            thin = max(1, thickness // 3)
            cv2.line(self.image, *line, light, thin, cv2.LINE_AA, _BITS)
        if front:
            cv2.line(self.front, *line, NEARER, thickness, cv2.LINE_AA, _BITS)

    def paste_poster(
        self, corner: Place, along: Place, down: Place, image: Image
    ) -> None:
        """Put an image on a flat face.

        Args:
            corner: Its top-left corner.
            along: The way along its top edge.
            down: The way down its left edge.
            image: (h, w, 3) uint8.
        """
        origin, right, below = (np.array(v, np.float64) for v in (corner, along, down))
        corners, depth = self.project(
            [origin, origin + right, origin + right + below, origin + below]
        )
        if depth.min() < _NEAREST or not self._is_in_image(corners[None])[0]:
            return
        height, width = image.shape[:2]
        # Pixel centres lie at integers, so that the outline is half a pixel outside.
        outline = [[0, 0], [width, 0], [width, height], [0, height]]
        source = np.array(outline, np.float32) - 0.5
        low, high = self._find_window(corners)
        target = (corners - low).astype(np.float32)
        matrix = cv2.getPerspectiveTransform(source, target)
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
        # An image that is made smaller is blurred first, or its lines would break up.
        shrink = max(
            width / max(np.ptp(corners[:, 0]), 1),
            height / max(np.ptp(corners[:, 1]), 1),
        )
        if shrink > 1.5:
            image = cv2.blur(image, (int(shrink) | 1, int(shrink) | 1)).astype(np.uint8)
        painted = cv2.warpPerspective(
            image, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        mask = np.zeros((size[1], size[0]), np.uint8)
        polygon = np.round(target * 2**_BITS).astype(np.int32)
        cv2.fillConvexPoly(mask, polygon, 255, cv2.LINE_AA, _BITS)
        blend_over(self.image[low[1] : high[1], low[0] : high[0]], painted, mask)

    def paste_sprite(
        self, sprite: Image, foot: Place, height: float, anchor: float = 1.0
    ) -> FloatArray:
        """Put a cut-out upright.

        Args:
            sprite: (h, w, 4) uint8, the last channel its opacity.
            foot: Where the anchor is.
            height: In m.
            anchor: How far down the middle of the cut-out the anchor is, 0..1.

        Returns:
            Its (4,) px, also beyond the image's edges; NaN behind the camera.
        """
        px, depth = self.project(foot)
        if not depth > _NEAREST:
            return np.full(4, np.nan)
        ratio = height * float(self.view.focal) / float(depth) / sprite.shape[0]
        width = max(1, round(sprite.shape[1] * ratio))
        tall = max(1, round(sprite.shape[0] * ratio))
        left = round(float(px[0]) - width / 2)
        top = round(float(px[1]) - anchor * tall)
        box = np.array([left, top, left + width, top + tall], np.float64)
        rows, columns = self.image.shape[:2]
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + width, columns), min(top + tall, rows)
        if x1 <= x0 or y1 <= y0:
            return box
        small = cv2.resize(sprite, (width, tall), interpolation=cv2.INTER_AREA)
        small = small[y0 - top : y1 - top, x0 - left : x1 - left]
        blend_over(self.image[y0:y1, x0:x1], small[..., :3], small[..., 3])
        return box

    def _project_polygon(self, corners: Any) -> NDArray[np.int32] | None:
        """Return a polygon in 2^-4 px, without what is behind the camera; None where
        nothing of it is in the image."""
        world: FloatArray = np.array(corners, np.float64)
        px, depth = self.project(world)
        if depth.min() < _NEAREST:
            world = self._cut_behind_camera(world, depth)
            if len(world) < 3:
                return None
            px, _ = self.project(world)
        if not self._is_in_image(px[None])[0]:
            return None
        return np.round(np.clip(px, -_FAR_PX, _FAR_PX) * 2**_BITS).astype(np.int32)

    def _cut_behind_camera(self, world: FloatArray, depth: FloatArray) -> FloatArray:
        """Cut off the part of a polygon that lies behind the camera."""
        kept: list[FloatArray] = []
        for i in range(len(world)):
            j = (i + 1) % len(world)
            if depth[i] >= _NEAREST:
                kept.append(world[i])
            if (depth[i] >= _NEAREST) != (depth[j] >= _NEAREST):
                # The edge meets the nearest plane; a little beyond it, to be in front.
                way = world[j] - world[i]
                share = (_NEAREST - depth[i]) / (depth[j] - depth[i])
                aside = 1e-6 * np.sign(depth[j] - depth[i])
                kept.append(world[i] + (share + aside) * way)
        return np.array(kept)

    def _is_in_image(self, px: FloatArray) -> NDArray[np.bool_]:
        """Tell which (F,) of the polygons (F, C, 2) reach into the image at all."""
        rows, columns = self.image.shape[:2]
        low, high = px.min(axis=1), px.max(axis=1)
        across = (high[:, 0] > 0) & (low[:, 0] < columns)
        down = (high[:, 1] > 0) & (low[:, 1] < rows)
        return np.asarray(across & down)

    def _find_window(
        self, px: FloatArray
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the part of the image that some pixels lie in: its first and past its
        last column and row."""
        limit = np.array(self.image.shape[1::-1])
        low = np.clip(np.floor(px.min(axis=0)).astype(np.int64), 0, limit - 1)
        high = np.ceil(px.max(axis=0)).astype(np.int64) + 1
        return low, np.clip(high, low + 1, limit)


def blend_over(below: Image, above: Image, alpha: Image) -> None:
    """Lay an image over another, in place.

    Args:
        below: (h, w, 3) uint8, changed.
        above: (h, w, 3) uint8.
        alpha: (h, w) uint8, how opaque `above` is, of 255.
    """
    weight = cv2.merge([alpha, alpha, alpha])
    kept = cv2.multiply(below, cv2.bitwise_not(weight), scale=1 / 255)
    added = cv2.multiply(np.ascontiguousarray(above), weight, scale=1 / 255)
    cv2.add(kept, added, dst=below)


def shade_colour(colour: Colour, factor: float) -> Colour:
    """Make a colour darker or lighter.

    Args:
        colour: BGR.
        factor: Below 1 darker, above lighter, up to white.
    """
    blue, green, red = (min(255, round(channel * factor)) for channel in colour)
    return blue, green, red


def mix_colours(first: Colour, second: Colour, share: float) -> Colour:
    """Mix two colours.

    Args:
        first, second: BGR.
        share: Of the second, 0..1.
    """
    blue, green, red = (
        round((1 - share) * a + share * b) for a, b in zip(first, second, strict=True)
    )
    return blue, green, red


def span_wall(x0: float, x1: float, y0: float, y1: float, w: float) -> list[Corner]:
    """Return the corners of an upright face along the pool.

    Args:
        x0, x1: Its ends in m.
        y0, y1: Its heights above the water.
        w: How far towards the camera it stands.
    """
    return [(x0, y0, w), (x1, y0, w), (x1, y1, w), (x0, y1, w)]


def span_floor(x0: float, x1: float, y: float, w0: float, w1: float) -> list[Corner]:
    """Return the corners of a level face.

    Args:
        x0, x1: Its ends in m.
        y: Its height above the water.
        w0, w1: Its far and near edge.
    """
    return [(x0, y, w0), (x1, y, w0), (x1, y, w1), (x0, y, w1)]


def span_end(x: float, y0: float, y1: float, w0: float, w1: float) -> list[Corner]:
    """Return the corners of an upright face across the pool.

    Args:
        x: Where it stands, in m.
        y0, y1: Its heights above the water.
        w0, w1: Its far and near edge.
    """
    return [(x, y0, w0), (x, y0, w1), (x, y1, w1), (x, y1, w0)]
