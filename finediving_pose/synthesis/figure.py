"""Figures: people painted as shaded solids into an image. Colours are BGR; pixel centres
lie at integers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from finediving_pose.skeleton import NUM_JOINTS
from finediving_pose.synthesis.anatomy import (
    DETAILED,
    Person,
    flesh_out,
    measure_joint_radii,
)
from finediving_pose.synthesis.body import Build
from finediving_pose.synthesis.look import Light, Look, draw_clothed_look, draw_look
from finediving_pose.synthesis.solids import (
    Array,
    Grid,
    Raster,
    compute_normals,
    find_hidden,
    meet_cones,
    rasterise,
)

__all__ = [
    "Coverage",
    "Figure",
    "Light",
    "Look",
    "draw_clothed_look",
    "draw_look",
    "paint_figure",
]

Image = NDArray[np.uint8]

# px of drift between two copies of a moving figure, and the most copies.
_TAP, _MOST_TAPS = 1.2, 8
# m over which one part of the body runs into the next.
_BLEND = 0.04
# Cover of a pixel from which on it belongs to the figure's box.
_SEEN = 0.05
# m, how far around a spot its neighbours shade it, and by how much at most.
_CREASE, _CREASE_DARKENS = 0.05, 0.42
# m ahead of and behind the middle of a side that the stripe of a suit covers.
_STRIPE = 0.03
# m above the waist up to which a suit reaches, and what 1 m ahead adds to it.
_NECKLINE = 0.135, 0.85
# Squarings of the highlight.
_GLOSS_EXPONENT = 4


@dataclass(frozen=True)
class Figure:
    """A person to be painted.

    Attributes:
        instants: (S, P, 3) px, the body's points (body.POINTS) in the middles of S
            equal parts of the exposure, in any order, in view coordinates: x right, y
            down, z toward the camera (larger = nearer). Between them the motion is
            filled in, so that three do even for a fast body.
        scale: px per metre at the person.
        build: Sex, stature and girth.
        look: Colours of skin, hair and what is worn.
    """

    instants: NDArray[np.floating[Any]]
    scale: float
    build: Build
    look: Look


@dataclass(frozen=True)
class Coverage:
    """What a painted figure covers.

    Attributes:
        box: (4,) float64 px, x1, y1, x2, y2: first and last column and row that the
            figure covers by more than 5 %, the least that can be seen; NaN where there
            is none.
        visible: (16,) bool, which joints of the first instant no other part of the body
            hides, whether or not they lie within the image.
    """

    box: NDArray[np.float64]
    visible: NDArray[np.bool_]


def paint_figure(
    image: Image, figure: Figure, light: Light, water_line: float | None = None
) -> Coverage:
    """Paint one person into an image, blurred by their own motion.

    Args:
        image: (H, W, 3) uint8 BGR, changed in place.
        figure: The person.
        light: Where it comes from and how strong it is.
        water_line: y in px from which on the body is hidden; None = it is all above the
            water.

    Returns:
        The box that was painted, and which joints the body itself hides.
    """
    instants, scale = figure.instants, figure.scale
    joints = np.asarray(instants[0, :NUM_JOINTS], np.float32)
    points = np.asarray(instants, np.float64)
    person = flesh_out(points, scale, figure.build, figure.look)
    first = person.cones.take(np.flatnonzero(person.instant == 0))
    radii = measure_joint_radii(scale, figure.build)
    visible = ~find_hidden(joints, radii, first)
    bottom = image.shape[0]
    if water_line is not None:
        bottom = min(bottom, int(np.ceil(water_line)))
    drift = _fit_drift(instants)
    grid = _make_grid(person, drift, image.shape[1], bottom)
    if grid is None:
        return Coverage(np.full(4, np.nan), visible)
    raster = rasterise(person.cones, person.instant, grid)
    layer = _paint_layer(person, raster, grid, scale, light)
    painted = _smear_layer(layer, drift, grid)
    return Coverage(_compose_layer(image, painted, grid), visible)


class _Drift(NamedTuple):
    """How the image moves from one instant to the next, fitted to the whole body.

    Attributes:
        affine: (2, 3) float64, takes (x, y, 1) px to a displacement in px.
        most: The largest displacement of any of the body's points, px.
    """

    affine: NDArray[np.float64]
    most: float


def _fit_drift(instants: NDArray[np.floating[Any]]) -> _Drift | None:
    """Return how a moving body drifts, in whatever order its instants come; None for
    one that stands still."""
    if len(instants) == 1:
        return None
    # The instants lie along the way to the one that is farthest from the first: its
    # ends are the first and last in time, or the other way round.
    from_first = (instants[:, :, :2] - instants[0, :, :2]).reshape(len(instants), -1)
    way = from_first @ from_first[(from_first**2).sum(axis=1).argmax()]
    last, begin = instants[way.argmax(), :, :2], instants[way.argmin(), :, :2]
    moved = (last - begin) / (len(instants) - 1)
    most = float(np.abs(moved).max())
    if most < _TAP:
        return None
    positions = instants[:, :, :2].mean(axis=0)
    middle = positions.mean(axis=0)
    spread = positions - middle
    # Least squares for an affine motion. A ridge of 1 px² per point keeps a body that
    # lies in a line from deciding what happens beside it.
    turning = np.linalg.solve(
        spread.T @ spread + len(spread) * np.eye(2),
        spread.T @ (moved - moved.mean(axis=0)),
    ).T
    shift = moved.mean(axis=0) - turning @ middle
    return _Drift(np.column_stack([turning, shift]), most)


def _make_grid(
    person: Person, drift: _Drift | None, width: int, height: int
) -> Grid | None:
    """Return the samples for the part of a figure that lies within the image, None
    where there is none."""
    count = len(person.trunk)
    margin = 1 if drift is None else 1 + int(np.ceil(drift.most))
    low, high = person.cones.bounds
    first = np.floor(low.min(axis=0)) - margin
    past = np.ceil(high.max(axis=0)) + margin + 1
    left, top = np.maximum(first, 0).astype(int).tolist()
    right, bottom = np.minimum(past, (width, height)).astype(int).tolist()
    if right <= left or bottom <= top:
        return None
    # A still figure has four samples in each pixel; of a moving one each instant
    # samples another spot in it.
    offsets = (np.arange(count) + 0.5) / count - 0.5
    shift = np.stack([offsets, np.roll(offsets, -(count // 2))], axis=1)
    fine = 2 if count == 1 else 1
    return Grid(left, top, right - left, bottom - top, fine, shift.astype(np.float32))


def _paint_layer(
    person: Person, raster: Raster, grid: Grid, scale: float, light: Light
) -> Array:
    """Return (h, w, 4) float32: colour times cover, and cover, over all samples of each
    pixel."""
    import cv2

    cover = np.minimum(raster.cover, 1).ravel()
    samples = np.flatnonzero(cover)
    layer = np.zeros((4, len(cover)), np.float32)
    layer[3] = cover
    # A small figure is painted without seams and creases: nobody sees them.
    fine = scale > DETAILED
    blend = 2 * round(_BLEND * scale * grid.fine / 2) + 1 if fine else 1
    shaded = _shade_samples(person, raster, samples, grid, light, blend)
    shaded *= cover.take(samples)
    if fine:
        shaded *= 1 - _find_creases(raster, scale * grid.fine).take(samples)
    layer[:3, samples] = shaded
    mean = layer.reshape(4, *grid.shape).mean(axis=1)
    mean = np.ascontiguousarray(mean.transpose(1, 2, 0))
    if grid.fine > 1:
        mean = cv2.resize(mean, (grid.width, grid.height), interpolation=cv2.INTER_AREA)
    return mean


def _shade_samples(
    person: Person,
    raster: Raster,
    samples: NDArray[np.intp],
    grid: Grid,
    light: Light,
    blend: int,
) -> Array:
    """Return the colours (3, K) float32 of the samples (K,), counted through the
    flattened raster."""
    owner = raster.owner.take(samples)
    instant, row, column = np.unravel_index(samples, grid.shape)
    first = grid.locate_first()
    x = first[:, 0].take(instant) + column.astype(np.float32) / np.float32(grid.fine)
    y = first[:, 1].take(instant) + row.astype(np.float32) / np.float32(grid.fine)
    cone = person.cones.take(owner)
    normal = compute_normals(cone, meet_cones(cone, x, y))
    if blend > 1:
        normal = _smooth_normals(normal, samples, grid, blend)
    covering = person.covering
    colour = owner % len(covering.gloss)
    gloss = covering.gloss.take(colour)
    if covering.patterned:
        position = np.stack([x, y, raster.depth.take(samples)])
        colour = colour + _choose_variant(person, instant, position, normal)
    return _light_colours(covering.colours.take(colour, axis=1), gloss, normal, light)


def _smooth_normals(
    normal: Array, samples: NDArray[np.intp], grid: Grid, size: int
) -> Array:
    """Average unit normals (3, K) over size × size samples, so that cones run into one
    another without a seam."""
    import cv2

    count, height, width = grid.shape
    facing = np.zeros((count * height * width, 3), np.float32)
    facing[samples] = normal.T
    for window in facing.reshape(count, height, width, 3):
        cv2.blur(window, (size, size), dst=window)
    normal = np.ascontiguousarray(facing.take(samples, axis=0).T)
    normal /= np.sqrt(np.einsum("ik,ik->k", normal, normal))
    return normal


def _choose_variant(
    person: Person, instant: NDArray[np.intp], position: Array, normal: Array
) -> NDArray[np.intp]:
    """Return which colours of the covering the samples at `position` (3, K) have, as an
    offset into all its colours: 0 a cone's own, then its sides', then above the
    neckline."""
    variant = np.zeros(len(instant), np.intp)
    # Samples come instant by instant, and each has its own trunk.
    ends = np.searchsorted(instant, np.arange(len(person.trunk) + 1))
    reach, slope = _NECKLINE
    for trunk, (start, end) in zip(person.trunk, pairwise(ends), strict=True):
        ahead, up, _ = trunk[:, :3] @ position[:, start:end] + trunk[:, 3:]
        sideways = np.abs(trunk[2, :3] @ normal[:, start:end])
        aside = sideways > 0.5 * np.linalg.norm(trunk[2, :3])
        striped = aside & (np.abs(ahead) < _STRIPE)
        variant[start:end] = np.where(up > reach + slope * ahead, 2, striped)
    return variant * len(person.covering.gloss)


def _light_colours(colours: Array, gloss: Array, normal: Array, light: Light) -> Array:
    """Return `colours` (3, K) under the light, for unit normals (3, K).

    The lamp's part is Lambert's cosine, the highlight Blinn's: the cosine between the
    normal and the direction halfway between lamp and camera, to a high power.
    """
    lamp = np.asarray(light.direction, np.float32)
    # A lamp is never a point: light wraps around a little.
    facing = np.maximum(0.85 * (lamp @ normal) + 0.15, 0)
    # What the surroundings throw back is brighter from above.
    sky = 0.88 - 0.12 * normal[1]
    # Surfaces seen at a flat angle catch light from behind.
    rim = 1 - normal[2]
    rim *= rim * rim * np.float32(0.12)
    halfway = lamp + np.array([0, 0, 1], np.float32)
    shine = np.maximum((halfway / np.linalg.norm(halfway)) @ normal, 0)
    for _ in range(_GLOSS_EXPONENT):
        shine *= shine
    shine *= gloss
    brightness = light.ambient * sky + light.diffuse * (facing + rim)
    lit = colours * brightness
    lit += shine
    lit *= np.array(light.colour, np.float32)[:, None] / 255
    return np.asarray(lit)


def _find_creases(raster: Raster, scale: float) -> Array:
    """Return (S, h, w) how much each sample is darkened by what stands out around it.

    A sample lies in a crease as far as the mean surface around it is nearer to the
    camera.
    """
    import cv2

    size = 2 * max(1, round(_CREASE * scale)) + 1
    reach = _CREASE * scale * 1.5
    dark = np.empty_like(raster.depth)
    for depth, cover, out in zip(raster.depth, raster.cover, dark, strict=True):
        inside = (cover > 0.5).astype(np.float32)
        around = cv2.blur(np.dstack([depth * inside, inside]), (size, size))
        out[:] = around[..., 0] / np.maximum(around[..., 1], 1e-3) - depth
    return np.clip(dark / np.float32(reach), 0, 1) * np.float32(_CREASE_DARKENS)


def _smear_layer(layer: Array, drift: _Drift | None, grid: Grid) -> Array:
    """Spread each instant over the time until the next, so that a fast limb leaves a
    streak and no row of copies."""
    import cv2

    if drift is None:
        return layer
    taps = min(int(np.ceil(drift.most / _TAP)), _MOST_TAPS)
    # From the image's pixels to the layer's.
    affine = drift.affine.copy()
    affine[:, 2] += affine[:, :2] @ (grid.left, grid.top)
    total = np.zeros_like(layer)
    for share in (np.arange(taps) + 0.5) / taps - 0.5:
        total += cv2.warpAffine(
            layer,
            np.eye(2, 3) + share * affine,
            (grid.width, grid.height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
    total /= taps
    return total


def _compose_layer(image: Image, layer: Array, grid: Grid) -> NDArray[np.float64]:
    """Lay the layer over the image; return the box of what was painted."""
    rows = slice(grid.top, grid.top + grid.height)
    columns = slice(grid.left, grid.left + grid.width)
    window = image[rows, columns]
    mixed = window * (1 - layer[..., 3:])
    mixed += layer[..., :3]
    # Half a grey value more, so that the cast to integers rounds.
    mixed += 0.5
    np.minimum(mixed, 255, out=mixed)
    window[:] = mixed.astype(np.uint8)
    painted = layer[..., 3] > _SEEN
    across = np.flatnonzero(painted.any(axis=0))
    down = np.flatnonzero(painted.any(axis=1))
    if not len(across):
        return np.full(4, np.nan)
    first = grid.left + across[0], grid.top + down[0]
    last = grid.left + across[-1], grid.top + down[-1]
    return np.array([*first, *last], np.float64)
