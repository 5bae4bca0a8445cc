"""Heatmaps as a network's answer: views brought together, and points for a whole batch
at once.

MMPose decodes one person after the other in Python, which costs more than a small net's
forward pass; the arithmetic here is the same and a test holds it to MMPose's codecs.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from finediving_pose import skeleton
from finediving_pose.openmmlab import compat

compat.require_packages("mmpose")

from mmpose.models.utils.tta import flip_heatmaps  # noqa: E402

Codec = Literal["msra", "dark", "udp"]

BLUR_SIZE = 11
"""Side of DARK's and UDP's Gaussian in heatmap px, which goes with a target sigma of 2.
"""

LONGEST_STEP = 2.0
"""How far in heatmap px a refined point may lie from the heatmap's maximum."""


class HeatmapDecoder:
    """Heatmaps (N, 16, h, w) to joints; fulfils
    :class:`finediving_pose.openmmlab.pose_network.OutputDecoder`.

    Args:
        method: As of :func:`decode_heatmaps`.
        input_size: Side of the crop in px.
    """

    def __init__(self, method: Codec, input_size: int) -> None:
        self._method: Codec = method
        self._input_size = input_size
        self._shift = method != "udp"
        self._mirrored_joints = skeleton.compute_flip_index().tolist()

    def gather(self, outputs: Tensor) -> Tensor:
        """Return the heatmaps as they are."""
        return outputs

    def mirror_back(self, output: Tensor) -> Tensor:
        """Return heatmaps of mirrored crops as those of the crops themselves."""
        return flip_heatmaps(
            output,
            flip_indices=self._mirrored_joints,
            flip_mode="heatmap",
            shift_heatmap=self._shift,
        )

    def turn_back(self, output: Tensor, turn: int) -> Tensor:
        """Return heatmaps of crops turned by `turn` quarters as those of the upright
        crops."""
        return turn_heatmaps_back(output, turn, self._shift)

    def decode(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Return points in px of the crop, and the heatmaps' maxima as scores."""
        return decode_heatmaps(output, self._method, self._input_size)


def turn_heatmaps_back(heatmaps: Tensor, turn: int, shift: bool) -> Tensor:
    """Return heatmaps of turned images as those of the upright ones.

    Args:
        heatmaps: (N, 16, s, s) of images turned by `turn` quarters anticlockwise.
        turn: 0 to 3.
        shift: Whether a heatmap's first pixel stands for the crop's first one and its
            last for none of the crop's edge, so that a mirrored axis lies one pixel
            off: all codecs but UDP.
    """
    upright = torch.rot90(heatmaps, -turn, (-2, -1))
    # Turned back, an axis was mirrored on the way: x by one and two quarters, y by two
    # and three.
    if shift and turn in (1, 2):
        upright = torch.cat((upright[..., :1], upright[..., :-1]), dim=-1)
    if shift and turn in (2, 3):
        upright = torch.cat((upright[..., :1, :], upright[..., :-1, :]), dim=-2)
    return upright


def decode_heatmaps(
    heatmaps: Tensor, method: Codec, input_size: int
) -> tuple[Tensor, Tensor]:
    """Find the points at the maxima of heatmaps, finer than their pixels.

    Args:
        heatmaps: (N, 16, h, w) float.
        method: ``msra``: a quarter pixel towards the larger neighbour. ``dark``: Taylor
            expansion of the log of the blurred heatmap (Zhang et al. 2020). ``udp``:
            the same with UDP's differences and grid (Huang et al. 2020).
        input_size: Side of the crop in px.

    Returns:
        Points (N, 16, 2) float64 in px of the crop, and the heatmaps' maxima (N, 16)
        float64, on their device.
    """
    height, width = heatmaps.shape[-2:]
    maxima, index = heatmaps.flatten(2).max(dim=-1)
    coarse = torch.stack((index % width, index // width), dim=-1)
    offset = _OFFSETS[method](heatmaps, coarse)
    points = coarse.double() + offset.double()
    # UDP's grid ends at the centre of the last pixel, the others' at its far edge.
    last = 1 if method == "udp" else 0
    grid = points.new_tensor([width - last, height - last])
    return points / grid * input_size, maxima.double()


def _msra_offset(heatmaps: Tensor, coarse: Tensor) -> Tensor:
    height, width = heatmaps.shape[-2:]
    x, y = coarse.unbind(-1)
    dx = _at(heatmaps, x + 1, y) - _at(heatmaps, x - 1, y)
    dy = _at(heatmaps, x, y + 1) - _at(heatmaps, x, y - 1)
    inside_x = (x > 1) & (x < width - 1) & (y > 0)  # MMPose's own borders
    inside_y = (y > 1) & (y < height - 1) & (x > 0)
    inside = torch.stack((inside_x, inside_y), dim=-1)
    return torch.sign(torch.stack((dx, dy), dim=-1)) * 0.25 * inside


def _dark_offset(heatmaps: Tensor, coarse: Tensor) -> Tensor:
    height, width = heatmaps.shape[-2:]
    # The log of a Gaussian is a quadratic, whose top Newton finds in one step.
    logs = _blur(heatmaps).clamp(min=1e-10).log()
    x, y = coarse.unbind(-1)
    # Differences over two pixels, as DARK's authors take them.
    dx = 0.5 * (_at(logs, x + 1, y) - _at(logs, x - 1, y))
    dy = 0.5 * (_at(logs, x, y + 1) - _at(logs, x, y - 1))
    centre = _at(logs, x, y)
    dxx = 0.25 * (_at(logs, x + 2, y) - 2 * centre + _at(logs, x - 2, y))
    dyy = 0.25 * (_at(logs, x, y + 2) - 2 * centre + _at(logs, x, y - 2))
    below = _at(logs, x + 1, y + 1) - _at(logs, x - 1, y + 1)
    above = _at(logs, x + 1, y - 1) - _at(logs, x - 1, y - 1)
    dxy = 0.25 * (below - above)
    inside = (x > 1) & (x < width - 2) & (y > 1) & (y < height - 2)
    return _newton_step(dx, dy, dxx, dyy, dxy, inside)


def _udp_offset(heatmaps: Tensor, coarse: Tensor) -> Tensor:
    logs = _blur(heatmaps).clamp(1e-3, 50.0).log()
    x, y = coarse.unbind(-1)
    # Differences between neighbours, as UDP's authors take them.
    centre = _at(logs, x, y)
    right, left = _at(logs, x + 1, y), _at(logs, x - 1, y)
    below, above = _at(logs, x, y + 1), _at(logs, x, y - 1)
    dxy = 0.5 * (
        _at(logs, x + 1, y + 1)
        - right
        - below
        + 2 * centre
        - left
        - above
        + _at(logs, x - 1, y - 1)
    )
    # As in MMPose: a flat heatmap must not give an H that cannot be inverted.
    eps = torch.finfo(torch.float32).eps
    dxx = right - 2 * centre + left + eps
    dyy = below - 2 * centre + above + eps
    dx = 0.5 * (right - left)
    dy = 0.5 * (below - above)
    everywhere = torch.ones_like(x, dtype=torch.bool)
    return _newton_step(dx, dy, dxx, dyy, dxy, everywhere)


def _newton_step(
    dx: Tensor, dy: Tensor, dxx: Tensor, dyy: Tensor, dxy: Tensor, where: Tensor
) -> Tensor:
    """Return −H⁻¹·∇, the way to the top of a quadratic; 0 outside `where` and where H
    cannot be inverted.

    A flat heatmap gives steps of any length, out of the image even; no more than
    `LONGEST_STEP` is believed.
    """
    determinant = dxx * dyy - dxy**2
    usable = where & (determinant != 0)
    determinant = torch.where(usable, determinant, 1.0)
    # The inverse of a 2×2 matrix, written out.
    step = torch.stack((dxy * dy - dyy * dx, dxy * dx - dxx * dy), dim=-1)
    step = step / determinant.unsqueeze(-1)
    step = torch.where(usable.unsqueeze(-1), step, 0.0)
    return step.clamp(-LONGEST_STEP, LONGEST_STEP)


def _blur(heatmaps: Tensor) -> Tensor:
    """Blur with a Gaussian that sees zeros outside, and give each heatmap its old
    maximum back."""
    half = BLUR_SIZE // 2
    # What OpenCV takes for a kernel of this size.
    sigma = 0.3 * ((BLUR_SIZE - 1) * 0.5 - 1) + 0.8
    places = torch.arange(BLUR_SIZE, device=heatmaps.device, dtype=torch.float64)
    steps = places - half
    kernel = torch.exp(-(steps**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).to(heatmaps.dtype)
    flat = heatmaps.flatten(0, 1).unsqueeze(1)
    # A Gaussian of two axes is one along each: 22 products a pixel in place of 121.
    blurred = F.conv2d(flat, kernel.view(1, 1, 1, -1), padding=(0, half))
    blurred = F.conv2d(blurred, kernel.view(1, 1, -1, 1), padding=(half, 0)).view_as(
        heatmaps
    )
    before = heatmaps.amax(dim=(-2, -1), keepdim=True)
    after = blurred.amax(dim=(-2, -1), keepdim=True)
    return blurred * before / after.clamp(min=torch.finfo(blurred.dtype).tiny)


def _at(maps: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return (N, 16) values of (N, 16, h, w) maps at integer positions; beyond the
    edge, the edge's."""
    height, width = maps.shape[-2:]
    index = y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
    return maps.flatten(2).gather(-1, index.unsqueeze(-1)).squeeze(-1)


_OFFSETS = {"msra": _msra_offset, "dark": _dark_offset, "udp": _udp_offset}
