"""Features of images: they choose images that differ, and tell when two are nearly the
same."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from finediving_pose.media import Image

_GRID = 8  # cells along the longer side of the layout that features describe
_THUMB = 32
SAME = 6
"""Grey levels that noise and compression change a cell by."""


def compute_features(image: Image) -> NDArray[np.float32]:
    """Describe an image by its layout of colour and of edges.

    Args:
        image: (H, W, 3) uint8 BGR.

    Returns:
        (8·8·4,) float32: for each cell of a grid of 8×8 the mean lightness and colour
        (CIELAB, 0 to 1) and the mean strength of edges, so that a moving body counts
        and not only the place.
    """
    small = cv2.resize(image, (_GRID * 8, _GRID * 8), interpolation=cv2.INTER_AREA)
    lab = cv2.cvtColor(small, cv2.COLOR_BGR2LAB).astype(np.float32) / 255
    lightness = lab[..., 0]
    edges_x = cv2.Sobel(lightness, cv2.CV_32F, 1, 0)
    edges_y = cv2.Sobel(lightness, cv2.CV_32F, 0, 1)
    layers = np.dstack([lab, np.hypot(edges_x, edges_y)])
    cells = layers.reshape(_GRID, 8, _GRID, 8, 4).mean(axis=(1, 3))
    return np.asarray(cells.ravel(), np.float32)


def choose_different_images(
    described: Sequence[NDArray[np.float32]], wanted: int, seed: int
) -> list[int]:
    """Choose images that differ: k-means with k = `wanted`, and of each cluster the
    one nearest to its centre.

    Args:
        described: The :func:`compute_features` of n images.
        wanted: How many to choose; fewer come back where there are fewer different
            ones.
        seed: Of the clusters' first centres.

    Returns:
        Which ones, in ascending order.
    """
    from scipy.cluster.vq import kmeans2

    if wanted >= len(described):
        return list(range(len(described)))
    table = np.stack(described).astype(np.float64)
    with warnings.catch_warnings():
        # It warns of an empty cluster: there are fewer different images, and fewer come
        # back.
        warnings.simplefilter("ignore")
        centres, label = kmeans2(table, wanted, minit="++", seed=seed, missing="warn")
    chosen = []
    for cluster in np.unique(label):
        members = np.flatnonzero(label == cluster)
        distance = np.linalg.norm(table[members] - centres[cluster], axis=1)
        chosen.append(int(members[distance.argmin()]))
    return sorted(chosen)


def make_thumbnail(image: Image) -> NDArray[np.int16]:
    """Return an image as (32, 32) mean lightness of its cells, 0 to 255."""
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)
    return small.astype(np.int16)


def is_same_image(
    thumbnail: NDArray[np.int16], others: Sequence[NDArray[np.int16]]
) -> bool:
    """Whether a thumbnail shows the same as one of the others: no cell differs by more
    than :data:`SAME`.

    Every cell counts by itself: a diver who moves before a camera that stands still
    changes few of them, but those by much, and makes another image.

    Args:
        thumbnail: As :func:`make_thumbnail` returns it.
        others: Thumbnails to compare it with.
    """
    return any(np.abs(thumbnail - other).max() <= SAME for other in others)
