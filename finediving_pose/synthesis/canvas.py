"""Painting a place in perspective: faces, rails, writing and people that stand
somewhere in metres.

Places are given as (x, y, w): x away from the board, y up from the water, w towards the
camera, so that a place looks alike from either side. Whoever paints goes from far to
near. Colours are BGR.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from finediving_pose.records import FloatArray
from finediving_pose.synthesis.camera import View

Image = NDArray[Any]
"""uint8 throughout; cv2 does not say so in its types."""
Colour = tuple[int, int, int]
Place = Sequence[float]
Corner = tuple[float, float, float]

NEARER, UNDER = 255, 127

_NEAREST = 0.5
"""Nothing nearer than this many metres is painted."""
_BITS = 4
_FAR_PX = 2.0e5


class Canvas:
    """A picture of the given size, seen by one `view`.

    Attributes:
        picture: (H, W, 3) uint8.
        front: (H, W) uint8, :data:`NEARER` where something stands nearer to the camera
            than the athlete, :data:`UNDER` where it does so as long as the athlete is
            above the board or platform.
    """

    def __init__(self, view: View, size: tuple[int, int], colour: Colour) -> None:
        self.view = view
        self.image: Image = np.full((size[1], size[0], 3), colour, np.uint8)
        self.front: Image = np.zeros((size[1], size[0]), np.uint8)
        self._matrix = view.matrix

    def project(self, places: Any) -> tuple[FloatArray, FloatArray]:
        """Return the pixels (..., 2) of places (..., 3) and their depth (...) in m."""
        world = np.array(places, np.float64)
        world[..., 2] *= self.view.side
        seen = world @ self._matrix[:, :3].T + self._matrix[:, 3]
        depth = seen[..., 2]
        return seen[..., :2] / np.where(depth > 1e-6, depth, np.nan)[..., None], depth

    def measure_scale(self, place: Place) -> float:
        """Return the pixels per metre at a place."""
        return float(self.view.focal / self.project(place)[1])

    def paint_face(self, places: Any, colour: Colour, front: int = 0) -> None:
        """Fill a flat, convex face; `front`, NEARER or UNDER, says when it hides the
        athlete."""
        polygon = self._project_polygon(places)
        if polygon is not None:
            cv2.fillConvexPoly(self.image, polygon, colour, cv2.LINE_AA, _BITS)
            if front:
                cv2.fillConvexPoly(self.front, polygon, front, cv2.LINE_AA, _BITS)

    def paint_faces(self, places: FloatArray, colours: NDArray[np.uint8]) -> None:
        """Fill many faces (F, C, 3), none of them behind the camera, in colours (F, 3)."""
        px, depth = self.project(places)
        visible = (depth > _NEAREST).all(axis=1) & self._is_in_image(px)
        fixed = np.round(px[visible] * 2**_BITS).astype(np.int32)
        for polygon, colour in zip(fixed, colours[visible].tolist(), strict=True):
            cv2.fillConvexPoly(self.image, polygon, colour, cv2.LINE_AA, _BITS)

    def paint_gradient(
        self, places: Any, start: Colour, end: Colour, steps: int = 14
    ) -> None:
        """Fill a four-cornered face whose colour runs from the edge 0–1 to the edge
        3–2."""
        a, b, c, d = (np.array(place, np.float64) for place in places)
        for step in range(steps):
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

        `front` says that the athlete, standing on it, may be hidden by it.
        """
        (x0, y0, w0), (x1, y1, w1) = low, high
        camera = self.view.position
        near = [(x0, y0, w1), (x1, y0, w1), (x1, y1, w1), (x0, y1, w1)]
        under = UNDER if front else 0
        if camera[1] > y1:
            self.paint_face(
                [(x0, y1, w0), (x1, y1, w0), (x1, y1, w1), (x0, y1, w1)],
                shade_colour(colour, 1.18),
            )
        elif camera[1] < y0:
            self.paint_face(
                [(x0, y0, w0), (x1, y0, w0), (x1, y0, w1), (x0, y0, w1)],
                shade_colour(colour, 0.6),
                under,
            )
        if camera[0] > x1 or camera[0] < x0:
            end = x1 if camera[0] > x1 else x0
            self.paint_face(
                [(end, y0, w0), (end, y0, w1), (end, y1, w1), (end, y1, w0)],
                shade_colour(colour, 0.86),
                under,
            )
        self.paint_face(near, colour, NEARER if front else 0)

    def paint_rail(
        self,
        start: Place,
        end: Place,
        colour: Colour,
        width: float = 0.05,
        front: bool = False,
    ) -> None:
        """Draw a bar of `width` m, lighter along its middle."""
        (a, b), depth = self.project([start, end])
        if depth.min() < _NEAREST or np.abs([a, b]).max() > _FAR_PX:
            return
        thickness = max(1, round(width * float(self.view.focal) / float(depth.mean())))
        first, last = (tuple(int(v) for v in np.round(p * 2**_BITS)) for p in (a, b))
        cv2.line(self.image, first, last, colour, thickness, cv2.LINE_AA, _BITS)
        if thickness > 2:
            cv2.line(
                self.image,
                first,
                last,
                shade_colour(colour, 1.35),
                max(1, thickness // 3),
                cv2.LINE_AA,
                _BITS,
            )
        if front:
            cv2.line(self.front, first, last, NEARER, thickness, cv2.LINE_AA, _BITS)

    def paste_poster(
        self, corner: Place, along: Place, down: Place, image: Image
    ) -> None:
        """Put a picture on a flat face: its top-left corner, the way along its top edge
        and down its left one."""
        origin, right, below = (np.array(v, np.float64) for v in (corner, along, down))
        corners, depth = self.project(
            [origin, origin + right, origin + right + below, origin + below]
        )
        if depth.min() < _NEAREST or not self._is_in_image(corners[None])[0]:
            return
        height, width = image.shape[:2]
        source = (
            np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
            - 0.5
        )
        low, high = self._find_window(corners)
        place = (corners - low).astype(np.float32)
        matrix = cv2.getPerspectiveTransform(source, place)
        size = (int(high[0] - low[0]), int(high[1] - low[1]))
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
        cv2.fillConvexPoly(
            mask, np.round(place * 2**_BITS).astype(np.int32), 255, cv2.LINE_AA, _BITS
        )
        blend_over(self.image[low[1] : high[1], low[0] : high[0]], painted, mask)

    def paste_sprite(
        self, sprite: Image, foot: Place, height: float, anchor: float = 1.0
    ) -> FloatArray:
        """Put a cut-out (h, w, 4) upright: it is `height` m high, its middle `anchor`
        of the way down at `foot`.

        Returns its (4,) px, also beyond the picture's edges; NaN behind the camera.
        """
        px, depth = self.project(foot)
        if not depth > _NEAREST:
            return np.full(4, np.nan)
        ratio = height * float(self.view.focal) / float(depth) / sprite.shape[0]
        size = (
            max(1, round(sprite.shape[1] * ratio)),
            max(1, round(sprite.shape[0] * ratio)),
        )
        left, top = (
            round(float(px[0]) - size[0] / 2),
            round(float(px[1]) - anchor * size[1]),
        )
        place = np.array([left, top, left + size[0], top + size[1]], np.float64)
        rows, columns = self.image.shape[:2]
        x0, y0, x1, y1 = (
            max(left, 0),
            max(top, 0),
            min(left + size[0], columns),
            min(top + size[1], rows),
        )
        if x1 <= x0 or y1 <= y0:
            return place
        small = cv2.resize(sprite, size, interpolation=cv2.INTER_AREA)[
            y0 - top : y1 - top, x0 - left : x1 - left
        ]
        blend_over(self.image[y0:y1, x0:x1], small[..., :3], small[..., 3])
        return place

    def _project_polygon(self, places: Any) -> NDArray[np.int32] | None:
        world: FloatArray = np.array(places, np.float64)
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
                share = (_NEAREST - depth[i]) / (depth[j] - depth[i])
                kept.append(
                    world[i]
                    + (share + 1e-6 * np.sign(depth[j] - depth[i]))
                    * (world[j] - world[i])
                )
        return np.array(kept)

    def _is_in_image(self, px: FloatArray) -> NDArray[np.bool_]:
        """(F,) whether polygons (F, C, 2) reach into the picture at all."""
        rows, columns = self.image.shape[:2]
        low, high = px.min(axis=1), px.max(axis=1)
        return np.asarray(
            (high[:, 0] > 0)
            & (high[:, 1] > 0)
            & (low[:, 0] < columns)
            & (low[:, 1] < rows)
        )

    def _find_window(
        self, px: FloatArray
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The part of the picture that some pixels lie in: its first and past its last
        column and row."""
        limit = np.array(self.image.shape[1::-1])
        low = np.clip(np.floor(px.min(axis=0)).astype(np.int64), 0, limit - 1)
        return low, np.clip(
            np.ceil(px.max(axis=0)).astype(np.int64) + 1, low + 1, limit
        )


def blend_over(below: Image, above: Image, alpha: Image) -> None:
    """Lay `above` (h, w, 3) over `below`, in place, where `alpha` (h, w) of 255 says."""
    weight = cv2.merge([alpha, alpha, alpha])
    kept = cv2.multiply(below, cv2.bitwise_not(weight), scale=1 / 255)
    cv2.add(
        kept,
        cv2.multiply(np.ascontiguousarray(above), weight, scale=1 / 255),
        dst=below,
    )


def shade_colour(colour: Colour, factor: float) -> Colour:
    """Make a colour darker (below 1) or lighter."""
    blue, green, red = (min(255, round(channel * factor)) for channel in colour)
    return blue, green, red


def mix_colours(first: Colour, second: Colour, share: float) -> Colour:
    """Return the colour `share` of the way from the first to the second."""
    blue, green, red = (
        round((1 - share) * a + share * b) for a, b in zip(first, second, strict=True)
    )
    return blue, green, red


def span_wall(x0: float, x1: float, y0: float, y1: float, w: float) -> list[Corner]:
    """Return the corners of an upright face along the pool, at `w` m."""
    return [(x0, y0, w), (x1, y0, w), (x1, y1, w), (x0, y1, w)]


def span_floor(x0: float, x1: float, y: float, w0: float, w1: float) -> list[Corner]:
    """Return the corners of a level face, `y` m above the water."""
    return [(x0, y, w0), (x1, y, w0), (x1, y, w1), (x0, y, w1)]


def span_end(x: float, y0: float, y1: float, w0: float, w1: float) -> list[Corner]:
    """Return the corners of an upright face across the pool, at `x` m."""
    return [(x, y0, w0), (x, y0, w1), (x, y1, w1), (x, y1, w0)]
