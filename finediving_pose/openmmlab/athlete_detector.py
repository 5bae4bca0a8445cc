"""RTMDet as `finetune-detector` trains it, for whole batches.

MMDetection prepares and answers one image after the other in Python, which costs more
than a small network's forward pass; the arithmetic here is the same, and a test holds it to
MMDetection's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.network_interfaces import NetworkOptions
from finediving_pose.openmmlab import compat
from finediving_pose.openmmlab.detector_config import (
    IMAGENET_MEAN_BGR,
    IMAGENET_STD_BGR,
    PADDING_GREY,
)
from finediving_pose.openmmlab.settings import DetectorSettings
from finediving_pose.records import Detections, FloatArray

compat.require_packages("mmdet")

import cv2  # noqa: E402
import torch  # noqa: E402
from mmcv.cnn import fuse_conv_bn  # noqa: E402
from torch import Tensor  # noqa: E402

from finediving_pose.openmmlab.device_batches import (  # noqa: E402
    DTYPES,
    BatchSize,
    compile_if_wanted,
    fetch_later,
    stack_on_device,
)

MOST_CANDIDATES = 1000
"""Boxes of an image, best first, that non-maximum suppression looks at."""
MOST_PEOPLE = 100
"""Boxes of an image that are reported."""


@dataclass(frozen=True)
class Fitted:
    """An image as the network takes it.

    Attributes:
        pixels: (S, S, 3) uint8 BGR: the image fitted into the upper left, the rest
            grey.
        inner: (width, height) px of the image within.
        size: (width, height) px of the image as it was.
    """

    pixels: NDArray[np.uint8]
    inner: tuple[int, int]
    size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """What it holds in memory."""
        return int(self.pixels.nbytes)


class AthleteDetector:
    """RTMDet as ``fdpose finetune-detector`` trains it; fulfils
    :class:`finediving_pose.network_interfaces.Detector`.

    It is also :class:`~finediving_pose.network_interfaces.Preparing` and
    :class:`~finediving_pose.network_interfaces.Launching`.

    Args:
        net: The MMDetection model, its weights loaded; it is changed.
        settings: What it was trained with.
        identity: Names weights and settings, in JSON types.
        options: How it runs, its device chosen.
    """

    def __init__(
        self,
        net: Any,
        settings: DetectorSettings,
        identity: dict[str, Any],
        options: NetworkOptions,
    ) -> None:
        self.settings = settings
        self.score_threshold = settings.score_threshold
        if options.score_threshold is not None:
            self.score_threshold = options.score_threshold
        self.identity = identity | {
            "score_threshold": self.score_threshold,
            "precision": options.precision,
        }
        self.device = torch.device(options.device)
        self.dtype = DTYPES[options.precision]
        # Not the head: its convolutions are shared by layers that are normed each in
        # its own way.
        net.backbone, net.neck = fuse_conv_bn(net.backbone), fuse_conv_bn(net.neck)
        self.net = net.to(self.device, self.dtype).eval()
        self.net.to(memory_format=torch.channels_last)
        self._forward = compile_if_wanted(
            lambda images: self.net.bbox_head(self.net.extract_feat(images)),
            options.compile,
        )
        self._batch_size = BatchSize(self.device, options.compile)
        self._mean = torch.tensor(IMAGENET_MEAN_BGR, device=self.device).view(
            1, 3, 1, 1
        )
        self._std = torch.tensor(IMAGENET_STD_BGR, device=self.device).view(1, 3, 1, 1)

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Return the people in each (H, W, 3) uint8 BGR image, best first; an image may
        have none."""
        return self.launch([self.prepare(image) for image in images])()

    def prepare(self, image: NDArray[np.uint8]) -> Fitted:
        """Fit an (H, W, 3) uint8 BGR image into the network's square."""
        side = self.settings.image_size
        height, width = image.shape[:2]
        factor = side / max(height, width)
        inner = int(width * factor + 0.5), int(height * factor + 0.5)
        pixels = np.full((side, side, 3), PADDING_GREY, np.uint8)
        pixels[: inner[1], : inner[0]] = cv2.resize(
            image, inner, interpolation=cv2.INTER_LINEAR
        )
        return Fitted(pixels, inner, (width, height))

    @torch.inference_mode()
    def launch(self, images: Sequence[Fitted]) -> Callable[[], list[Detections]]:
        """Begin to look for people in prepared images; return a call that gives what
        :meth:`__call__` gives."""
        if not images:
            return list
        with self._batch_size.of(len(images)) as size:
            batch = stack_on_device(
                [image.pixels for image in images], self.device, size
            )
            batch = (
                batch.sub_(self._mean)
                .div_(self._std)
                .to(self.dtype, memory_format=torch.channels_last)
            )
            scores, distances = self._forward(batch)
        boxes, confidences = rank_boxes(
            scores, distances, self._strides, self.settings.image_size
        )
        results = fetch_later(boxes[: len(images)], confidences[: len(images)])

        def answer() -> list[Detections]:
            found = zip(*results(), images, strict=True)
            return [self._select_people(*of_image) for of_image in found]

        return answer

    @property
    def _strides(self) -> list[int]:
        return [stride[0] for stride in self.net.bbox_head.prior_generator.strides]

    def _select_people(
        self, boxes: FloatArray, scores: FloatArray, image: Fitted
    ) -> Detections:
        """Take boxes (K, 4) in px of the square, best first, back to the image and
        leave one for each person."""
        sure = scores > self.settings.score_threshold  # MMDetection's is strict
        sure &= scores >= self.score_threshold
        count = int(sure.sum())
        boxes, scores = boxes[:count], scores[:count]
        keep = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        size = np.array(image.size, np.float32)
        zoom = np.tile(np.array(image.inner, np.float32) / size, 2)
        boxes, scores = np.divide(boxes[keep], zoom, dtype=np.float32), scores[keep]
        best = compat.suppress_boxes(
            torch.from_numpy(boxes), torch.from_numpy(scores), self.settings.nms_iou
        )
        chosen = best.numpy()[:MOST_PEOPLE]
        # Only now: MMDetection compares boxes as they reach into the grey.
        boxes = np.minimum(boxes[chosen], np.tile(size, 2))
        scores = scores[chosen]
        inside = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        return Detections(boxes=boxes[inside], scores=scores[inside])


def rank_boxes(
    scores: Sequence[Tensor],
    distances: Sequence[Tensor],
    strides: Sequence[int],
    side: int,
) -> tuple[Tensor, Tensor]:
    """Decode RTMDet's answer as far as a device does it best.

    Args:
        scores: Of each level, (N, 1, h, w) logits.
        distances: Of each level, (N, 4, h, w) px from a cell's corner to the left,
            upper, right and lower side.
        strides: Px of a level's cell.
        side: Px of the square; boxes end there.

    Returns:
        Boxes (N, K, 4) float32 in px of the square and their scores (N, K), best first.
    """
    levels = zip(scores, strides, strict=True)
    corners = torch.cat([_list_corners(level, stride) for level, stride in levels])
    logits = torch.cat([level.flatten(1) for level in scores], dim=1).float()
    reach = torch.cat([level.flatten(2) for level in distances], dim=2)
    reach = reach.float().transpose(1, 2)
    best, index = logits.topk(min(MOST_CANDIDATES, logits.shape[1]), dim=1)
    # Image by image: over a whole batch the last digit depends on where in memory a
    # value lies.
    confidences = torch.stack([image.sigmoid() for image in best])
    reach = reach.gather(1, index.unsqueeze(-1).expand(-1, -1, 4))
    points = corners[index]
    boxes = torch.cat((points - reach[..., :2], points + reach[..., 2:]), dim=-1)
    return boxes.clamp(0, side), confidences


def _list_corners(level: Tensor, stride: int) -> Tensor:
    """Return the (h·w, 2) px (x, y) of the cells' upper left corners, row by row."""
    height, width = level.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=level.device),
        torch.arange(width, device=level.device),
        indexing="ij",
    )
    return torch.stack((x.flatten(), y.flatten()), dim=-1).float() * stride
