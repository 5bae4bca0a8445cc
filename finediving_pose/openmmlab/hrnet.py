"""HRNet (Sun et al. 2019), the pose network of the paper, and narrower ones for CPUs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from finediving_pose.openmmlab.pose_network import RANDOM_START, Backbone, PoseNetwork
from finediving_pose.openmmlab.settings import PoseSettings


class HrnetSettings(PoseSettings):
    """Training of HRNet.

    Attributes:
        backbone: ``w48``, ``w32``, or narrower for CPUs: ``w16`` (widths 16–128),
            ``w16-small`` with half the blocks and two modules less, and ``w8`` (8–64).
    """

    backbone: Literal["w48", "w32", "w16", "w16-small", "w8"] = "w48"


@dataclass(frozen=True)
class Shape:
    """How wide and how deep an HRNet is.

    Attributes:
        width: Channels of its branch of full resolution; every further branch has twice
            those of the last one.
        modules: Of the stages two, three and four.
        blocks: Residual blocks of each branch in a module, and bottlenecks of the first
            stage.
    """

    width: int
    modules: tuple[int, int, int] = (1, 4, 3)
    blocks: int = 4


SHAPES = {
    "w48": Shape(48),
    "w32": Shape(32),
    "w16": Shape(16),
    "w16-small": Shape(16, (1, 3, 2), 2),
    "w8": Shape(8),
}
RELEASED_WIDTH = 32
"""From this width on the shapes are those whose weights are released."""


class Hrnet(PoseNetwork):
    """HRNet with a 1×1 convolution to 16 heatmaps."""

    settings_class = HrnetSettings
    settings: HrnetSettings

    def configure_backbone(self) -> Backbone:
        """Return HRNet of the chosen width: its first branch has a quarter of the
        crop's resolution, as the heatmaps have."""
        shape = SHAPES[self.settings.backbone]
        config = {
            "type": "HRNet",
            "in_channels": 3,
            "extra": _configure_stages(shape),
            "init_cfg": RANDOM_START,
        }
        return Backbone(config, channels=shape.width)


def _configure_stages(shape: Shape) -> dict[str, Any]:
    # The released networks have 64 channels in the first stage. A narrow network would
    # spend three quarters of its time on them.
    first = 64 if shape.width >= RELEASED_WIDTH else 2 * shape.width
    stages = {"stage1": _configure_stage(shape, "BOTTLENECK", 1, [first])}
    channels = [shape.width * 2**branch for branch in range(4)]
    for number, modules in enumerate(shape.modules, start=2):
        stages[f"stage{number}"] = _configure_stage(
            shape, "BASIC", modules, channels[:number]
        )
    return stages


def _configure_stage(
    shape: Shape, block: str, modules: int, channels: Sequence[int]
) -> dict[str, Any]:
    return {
        "num_modules": modules,
        "num_branches": len(channels),
        "block": block,
        "num_blocks": (shape.blocks,) * len(channels),
        "num_channels": tuple(channels),
    }
