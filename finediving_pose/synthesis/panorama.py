"""Panorama of a venue, painted once for a camera and cut for each frame."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from finediving_pose.records import FloatArray
from finediving_pose.synthesis import backdrop, people, pool, stands, tower
from finediving_pose.synthesis.camera import SIZE, Station, View, look_at
from finediving_pose.synthesis.canvas import Canvas, Image
from finediving_pose.synthesis.themes import Theme
from finediving_pose.synthesis.venue import Venue

# Where a camera looks at most: x in m, and how far above the board.
_REACH = (-1.8, 3.0), 2.6
# Focal length of the panorama, as a multiple of the camera's usual one.
_FINEST = 1.12


@dataclass(frozen=True)
class Panorama:
    """The venue without the dive.

    Attributes:
        view: The reference view that `image` and `front` are seen by.
        image: (H, W, 3) uint8 BGR.
        front: (H, W) uint8, where something stands nearer to the camera than the
            athlete, as of :class:`Canvas`.
        people: (M, 4) px x1, y1, x2, y2 in `image` of everybody who is painted into
            it.
    """

    view: View
    image: Image
    front: Image
    people: FloatArray


@lru_cache(maxsize=2)
def paint_panorama(venue: Venue, station: Station) -> Panorama:
    """Paint the venue as a camera sees it; the last two are kept for the dives of a match.

    Args:
        venue: What is painted.
        station: Where the camera stands.

    Returns:
        The image, as large as the camera's way needs.
    """
    view, size = _choose_reference(station, venue.height)
    canvas = Canvas(view, size, venue.theme.wall)
    rng = np.random.default_rng((venue.seed, 2))
    crowd = people.Crowd(venue, rng)
    site = people.Site(canvas, venue, crowd, rng)
    # From far to near; what is far is made pale before the rest is painted.
    backdrop.paint_backdrop(site)
    stands.paint_stands(site)
    canvas.image = _fade_distance(canvas.image, venue.theme)
    pool.paint_pool(site)
    tower.paint_tower(site)
    image = cv2.GaussianBlur(canvas.image, (0, 0), venue.theme.haze)
    boxes = np.array(crowd.boxes, np.float64).reshape(-1, 4)
    boxes = boxes[np.isfinite(boxes).all(axis=1)]
    return Panorama(view, np.ascontiguousarray(image, np.uint8), canvas.front, boxes)


def _fade_distance(image: Image, theme: Theme) -> Image:
    """Make what is far away paler, in a hall darker too, and less sharp than what the
    lens is set to."""
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    light = 0.8 if theme.roofed else 0.93
    pale = cv2.addWeighted(image, 0.82 * light, grey, 0.18 * light, 0)
    return np.asarray(cv2.GaussianBlur(pale, (0, 0), 0.9 * theme.haze))


def _choose_reference(station: Station, height: float) -> tuple[View, tuple[int, int]]:
    """Return the view in the middle of the camera's way, and how large its image must
    be to hold all of the way."""
    lowest, highest = station.rest - 0.3, height + _REACH[1]
    ends = []
    for x in _REACH[0]:
        ends += [[x, lowest, 0.0], [x, highest, 0.0]]
    targets = np.array(ends)
    wide = _scale_focal(look_at(station, targets), 0.72)
    middle = _scale_focal(look_at(station, targets.mean(axis=0)), _FINEST)
    # The corners of the widest frames at the ends of the way, seen from the middle.
    right, bottom = SIZE[0] - 1, SIZE[1] - 1
    corners = np.array(
        [[0, 0, 1.0], [0, bottom, 1.0], [right, 0, 1.0], [right, bottom, 1.0]]
    )
    mapped = corners @ np.swapaxes(wide.homography_to(middle), -1, -2)
    px: FloatArray = mapped[..., :2] / mapped[..., 2:]
    low, high = np.floor(px.min(axis=(0, 1))), np.ceil(px.max(axis=(0, 1)))
    centre = (middle.centre[0] - float(low[0]), middle.centre[1] - float(low[1]))
    size = (int(high[0] - low[0]) + 1, int(high[1] - low[1]) + 1)
    return replace(middle, centre=centre), size


def _scale_focal(view: View, factor: float) -> View:
    return replace(view, focal=view.focal * factor)
