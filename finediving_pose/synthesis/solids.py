"""Round cones seen along the view axis: the nearest at each sample, and where its
surface is met.

View coordinates are px: x to the right, y down, z toward the camera, larger is nearer;
lines of sight are parallel. A round cone is what a ball sweeps that moves along a
segment while its radius changes evenly. Pixel centres lie at integers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
# px of depth that a sample loses per px² outside the outline, so that every inside comes
# before it.
_OUTSIDE = 1e3
# px; shorter axes have no direction of their own.
_SHORT = 1e-3
# Samples on either side of an outline over which cover falls from 1 to 0.
_SOFT = 0.5


@dataclass(frozen=True)
class Cones:
    """N round cones, float32, each array (N,): start, direction in the image, extent
    and radii.

    Attributes:
        x, y, z: Start, px.
        ex, ey: Unit direction of the axis in the image.
        length: Of the axis in the image, px; a little more than the taper, so that no
            end hides behind the other.
        dz: How much nearer the end is than the start, px.
        radius: At the start, px.
        taper: Radius at the end less radius at the start, px.
        spread: length² less taper², px².
        lean: dz / √(spread · (spread + dz²)), 1/px: how far the spot that is
            met moves along the axis with its height.
    """

    x: Array
    y: Array
    z: Array
    ex: Array
    ey: Array
    length: Array
    dz: Array
    radius: Array
    taper: Array
    spread: Array
    lean: Array

    @classmethod
    def connect(
        cls, start: Array, end: Array, radius_start: Array, radius_end: Array
    ) -> Cones:
        """Return the cones between pairs of balls.

        Args:
            start, end: (N, 3) px.
            radius_start, radius_end: (N,) px.
        """
        axis, taper = end - start, radius_end - radius_start
        # A ball, or a cone seen end on: any direction will do.
        axis[np.hypot(axis[:, 0], axis[:, 1]) < _SHORT, 0] = _SHORT
        flat = np.hypot(axis[:, 0], axis[:, 1])
        length = np.maximum(flat, 1.05 * np.abs(taper))
        spread, dz = length**2 - taper**2, axis[:, 2]
        lean = dz / np.sqrt(spread * (spread + dz**2))
        direction = axis[:, :2] / flat[:, None]
        shape = (length, dz, radius_start, taper, spread, lean)
        parts = (*start.T, *direction.T, *shape)
        return cls(*(np.ascontiguousarray(part, np.float32) for part in parts))

    def take(self, index: NDArray[np.integer[Any]]) -> Cones:
        """Return the cones that `index` picks; its shape becomes theirs."""
        return Cones(*(getattr(self, field.name).take(index) for field in fields(self)))

    @cached_property
    def bounds(self) -> tuple[Array, Array]:
        """The outlines' least and greatest x, y: two (N, 2) px."""
        start = np.stack([self.x, self.y], axis=1)
        end = start + np.stack([self.ex, self.ey], axis=1) * self.length[:, None]
        near, far = self.radius[:, None], (self.radius + self.taper)[:, None]
        return np.minimum(start - near, end - far), np.maximum(start + near, end + far)


class Meeting(NamedTuple):
    """Where lines of sight meet a cone.

    Attributes:
        share: Where along the axis, 0 = start, 1 = end.
        along, across: From the axis, in the image along and across it, px.
        height2: Square of the height over the axis in px²; negative outside the
            outline.
        radius: Of the ball there, px.
    """

    share: Array
    along: Array
    across: Array
    height2: Array
    radius: Array


def meet_cones(cone: Cones, x: Array, y: Array) -> Meeting:
    """Meet lines of sight with cones; all arrays broadcast.

    The ball at share t has the height √f(t) over the axis, f(t) = (radius + t·taper)² −
    (along − t·length)² − across². With its vertex at t0, f is f(t0) − spread·(t − t0)²,
    and the nearest surface, the greatest t·dz + √f(t), lies at t0 + lean·√f(t0), or at
    the end of the axis that comes before.

    Args:
        cone: The cones.
        x, y: Of the lines of sight, px.

    Returns:
        Where each line meets its cone.
    """
    # Everything is done in place: these arrays are the largest of a figure.
    dx, dy = x - cone.x, y - cone.y
    along: Array = dx * cone.ex + dy * cone.ey
    across = dy * cone.ex - dx * cone.ey
    across2 = across * across
    # The vertex t0 of f.
    share: Array = along * (cone.length / cone.spread)
    share += cone.radius * cone.taper / cone.spread
    # √f(t0), 0 where the line of sight misses the cone.
    height: Array = share * share
    height *= cone.spread
    height -= along * along
    height -= across2
    height += cone.radius * cone.radius
    np.sqrt(np.maximum(height, 0, out=height), out=height)
    height *= cone.lean
    share += height
    _clip_unit(share, out=share)
    # The ball at that share of the axis, and the square of its surface's height there.
    radius: Array = share * cone.taper
    radius += cone.radius
    along -= share * cone.length
    height2: Array = np.multiply(radius, radius, out=height)
    height2 -= across2
    height2 -= along * along
    return Meeting(share, along, across, height2, radius)


def compute_normals(cone: Cones, met: Meeting) -> Array:
    """Return the unit normals of surfaces where lines of sight meet them: from the
    centre of the ball there to the surface.

    Args:
        cone: The cones.
        met: Where they are met.

    Returns:
        (3, K) float32.
    """
    normal = np.empty((3, len(met.share)), np.float32)
    np.subtract(met.along * cone.ex, met.across * cone.ey, out=normal[0])
    np.add(met.along * cone.ey, met.across * cone.ex, out=normal[1])
    np.sqrt(np.maximum(met.height2, 0), out=normal[2])
    normal /= np.sqrt(np.einsum("ik,ik->k", normal, normal))
    return normal


class Raster(NamedTuple):
    """The nearest surface at each sample of S images of the same window.

    Attributes:
        depth: (S, h, w) float32 px, z of the nearest surface; very negative where there
            is none.
        owner: (S, h, w), the cone that is nearest, -1 = none.
        cover: (S, h, w) float32, 0 outside the figure's outline to 1 inside.
    """

    depth: Array
    owner: NDArray[np.intp]
    cover: Array


class Grid(NamedTuple):
    """Samples of S images: `fine` x `fine` in each of height × width px.

    Attributes:
        left, top: First pixel.
        width, height: In px.
        fine: Samples per px in each direction.
        shift: (S, 2) float32 px, by how much each image's samples are displaced.
    """

    left: int
    top: int
    width: int
    height: int
    fine: int
    shift: Array

    @property
    def shape(self) -> tuple[int, int, int]:
        """S, and rows and columns of samples."""
        return len(self.shift), self.height * self.fine, self.width * self.fine

    def locate_first(self) -> Array:
        """Return x, y of the first sample of each image, (S, 2) px."""
        # The samples of a pixel lie around its centre, which is at an integer.
        before = np.float32((self.fine - 1) / (2 * self.fine))
        corner = np.array([self.left, self.top], np.float32) - before
        return corner + self.shift


def rasterise(cones: Cones, image: NDArray[np.intp], grid: Grid) -> Raster:
    """Find the nearest cone at every sample.

    Args:
        cones: N cones.
        image: (N,) which of the S images each belongs to.
        grid: Where to look.

    Returns:
        Depth, owner and cover of each sample.
    """
    count, sample, x, y = _pair_samples(cones, image, grid)
    repeated = (np.repeat(getattr(cones, each.name), count) for each in fields(cones))
    cone = Cones(*repeated)
    met = meet_cones(cone, x, y)
    # height² / radius is about twice the distance from the outline, in px.
    cover = met.height2 / met.radius
    cover *= np.float32(0.5 * grid.fine)
    cover += np.float32(0.5)
    depth = np.sqrt(np.maximum(met.height2, 0))
    depth += met.share * cone.dz
    depth += cone.z
    depth += np.minimum(met.height2, 0) * np.float32(_OUTSIDE)
    size = int(np.prod(grid.shape))
    nearest, most = np.full(size, -1e9, np.float32), np.zeros(size, np.float32)
    np.maximum.at(nearest, sample, depth)
    np.maximum.at(most, sample, cover)
    owner = np.full(size, -1, np.intp)
    seen = np.flatnonzero(nearest.take(sample) == depth)
    cone_of_pair = np.repeat(np.arange(len(count)), count)
    owner[sample.take(seen)] = cone_of_pair.take(seen)
    return Raster(
        nearest.reshape(grid.shape), owner.reshape(grid.shape), most.reshape(grid.shape)
    )


def _pair_samples(
    cones: Cones, image: NDArray[np.intp], grid: Grid
) -> tuple[NDArray[np.intp], NDArray[np.intp], Array, Array]:
    """Pair every cone with the samples near it, row by row.

    Returns:
        How many samples each cone has; of each pair, cone after cone, the sample's
        index in the flattened raster and its x and y in px.
    """
    first = grid.locate_first()
    fine = np.float32(grid.fine)
    low, high = _bound_samples(cones, first[image], grid)
    # The rows that a cone reaches into.
    height = np.maximum(high - low, 0)[:, 1]
    owner = np.repeat(np.arange(len(height)), height)
    row = low[owner, 1] + _count_within(height)
    left_x, top_y = first[image[owner]].T
    y = top_y + row.astype(np.float32) / fine
    # The samples of each row.
    left, right = _find_row_ends(cones.take(owner), y, left_x, grid.fine)
    left, right = np.maximum(left, low[owner, 0]), np.minimum(right, high[owner, 0])
    width = np.maximum(right - left, 0)
    step = _count_within(width)
    x = np.repeat(left_x + left.astype(np.float32) / fine, width)
    x += step.astype(np.float32) / fine
    start = (image[owner] * grid.shape[1] + row) * grid.shape[2] + left
    sample = np.repeat(start, width) + step
    count = np.bincount(owner, width, len(height)).astype(np.intp)
    return count, sample, x, np.repeat(y, width)


def _bound_samples(
    cones: Cones, first: Array, grid: Grid
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the first sample, x and y, of each cone's outline, and the one behind the
    last: two (N, 2)."""
    least, greatest = (
        (bound - first) * np.float32(grid.fine) for bound in cones.bounds
    )
    low = np.maximum(np.ceil(least - _SOFT).astype(np.intp), 0)
    past = np.floor(greatest + _SOFT).astype(np.intp) + 1
    return low, np.minimum(past, (grid.shape[2], grid.shape[1]))


def _find_row_ends(
    cone: Cones, y: Array, first: Array, fine: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where in each row the band along a cone's axis begins, and behind its end."""
    steep = np.copysign(np.maximum(np.abs(cone.ey), np.float32(_SHORT)), cone.ey)
    middle = cone.x + (y - cone.y) * cone.ex / steep - first
    widest = cone.radius + np.maximum(cone.taper, 0) + np.float32(_SOFT / fine)
    half = widest / np.abs(steep)
    left = np.ceil((middle - half) * fine).astype(np.intp)
    return left, np.floor((middle + half) * fine).astype(np.intp) + 1


def _count_within(sizes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return 0, 1, 2 … for each of groups of these sizes, one after the other."""
    return np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def find_hidden(points: Array, radii: Array, cones: Cones) -> NDArray[np.bool_]:
    """Tell which points have something nearer in front of them.

    A point is hidden by a cone that does not contain it and whose surface before it is
    nearer by more than the point's own radius.

    Args:
        points: (P, 3) px.
        radii: (P,) px.
        cones: What may be in front.

    Returns:
        (P,) bool.
    """
    x, y, z = (points[:, i, None] for i in range(3))
    met = meet_cones(cones, x, y)
    surface = np.sqrt(np.maximum(met.height2, 0)) + met.share * cones.dz + cones.z
    before = (met.height2 > 0) & (surface > z + radii[:, None])
    return np.asarray((before & ~_find_containing(cones, x, y, z)).any(axis=1))


def _find_containing(cone: Cones, x: Array, y: Array, z: Array) -> NDArray[np.bool_]:
    dx, dy, dz = x - cone.x, y - cone.y, z - cone.z
    along, across = dx * cone.ex + dy * cone.ey, dy * cone.ex - dx * cone.ey
    share = _clip_unit(
        (along * cone.length + dz * cone.dz) / (cone.length**2 + cone.dz**2)
    )
    away2 = (along - share * cone.length) ** 2 + across**2 + (dz - share * cone.dz) ** 2
    return np.asarray(away2 <= (cone.radius + share * cone.taper) ** 2)


def _clip_unit(share: Array, out: Array | None = None) -> Array:
    share = np.maximum(share, 0, out=out)
    return np.minimum(share, 1, out=share)
