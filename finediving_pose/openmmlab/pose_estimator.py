"""MMPose's networks as pose estimators: crops of any number of frames and clips in,
joints of the raw frames out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose import skeleton
from finediving_pose.datasets.model_directory import read_model_directory
from finediving_pose.devices import choose_device
from finediving_pose.errors import UsageError
from finediving_pose.network_interfaces import NetworkOptions
from finediving_pose.openmmlab import compat, weights
from finediving_pose.records import Crop, FloatArray

compat.require_packages("mmpose")

import cv2  # noqa: E402
import torch  # noqa: E402
from mmcv.cnn import fuse_conv_bn  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402
from mmpose.registry import MODELS  # noqa: E402
from mmpose.structures.bbox import get_udp_warp_matrix, get_warp_matrix  # noqa: E402

from finediving_pose.openmmlab import pose_parts  # noqa: E402, F401 - registers our parts
from finediving_pose.openmmlab.device_batches import (  # noqa: E402
    DTYPES,
    BatchSize,
    compile_if_wanted,
    fetch_later,
    stack_on_device,
)
from finediving_pose.openmmlab.pose_network import (  # noqa: E402
    IMAGENET_MEAN,
    IMAGENET_STD,
    PoseNetwork,
)
from finediving_pose.openmmlab.pose_networks import make_network, validate_pose_settings  # noqa: E402
from finediving_pose.openmmlab.rotated_views import TURNS, average_over_turns  # noqa: E402
from finediving_pose.openmmlab.second_look import SecondLook  # noqa: E402

CPU_CROPS = 4
"""Crops of one forward pass on a CPU: larger batches fall out of its cache and are
slower."""


class MMPoseEstimator:
    """A pose network of MMPose for the joints of one athlete in each box; fulfils
    :class:`finediving_pose.network_interfaces.PoseEstimator`.

    Args:
        net: MMPose's model, its weights loaded.
        network: What it was built from, with the settings it was trained with.
        identity: Names weights and settings, in JSON types.
        options: How it runs, its device chosen. The flip test averages the heatmaps of
            the crop and its mirror image, as one doubled batch; with `tta` =
            ``rotate4`` these are eight views in one batch.
    """

    def __init__(
        self,
        net: Any,
        network: PoseNetwork,
        identity: dict[str, Any],
        options: NetworkOptions,
    ) -> None:
        self.settings = network.settings
        self.identity = identity | {
            "flip_test": options.flip_test,
            "precision": options.precision,
        }
        # Named only where it is used: what was extracted before there was such an
        # option is not extracted anew.
        if options.tta != "none":
            self.identity["tta"] = options.tta
        self.device = torch.device(options.device)
        self.flip_test = options.flip_test
        self.dtype = DTYPES[options.precision]
        # Channels last is up to twice as fast, on CPUs and on tensor cores alike.
        self.net = net.to(self.device, self.dtype).eval()
        self.net.to(memory_format=torch.channels_last)
        self._decoder = network.make_decoder()
        self._forward = compile_if_wanted(self._run_network, options.compile)
        self._cpu_crops = CPU_CROPS
        if options.tta == "rotate4":
            self._forward = average_over_turns(self._forward, self._decoder.turn_back)
            self._cpu_crops = CPU_CROPS // TURNS
        self._batch_size = BatchSize(self.device, options.compile)
        self._mean = torch.tensor(IMAGENET_MEAN, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(IMAGENET_STD, device=self.device).view(1, 3, 1, 1)

    def crop(self, image: NDArray[np.uint8], box: FloatArray) -> Crop:
        """Cut a person out of a frame: a square of the padded box's longer side.

        Args:
            image: (H, W, 3) uint8 BGR.
            box: (4,) px.
        """
        corners = np.asarray(box, dtype=np.float32)
        centre = (corners[:2] + corners[2:]) / 2
        side = float((corners[2:] - corners[:2]).max()) * self.settings.box_padding
        scale = np.array([side, side], dtype=np.float32)
        size = self.settings.input_size
        warp = get_udp_warp_matrix if self.settings.udp else get_warp_matrix
        pixels: Any = cv2.warpAffine(
            image,
            warp(centre, scale, 0.0, (size, size)),
            (size, size),
            flags=cv2.INTER_LINEAR,
        )
        zoom = side / size
        # The way back is MMPose's for every codec: UDP's decoder already stretches its
        # answer to the full crop.
        to_frame = np.array(
            [[zoom, 0, centre[0] - side / 2], [0, zoom, centre[1] - side / 2]],
            dtype=np.float64,
        )
        return Crop(pixels=pixels, to_frame=to_frame)

    def __call__(self, crops: Sequence[Crop]) -> tuple[FloatArray, FloatArray]:
        """Return keypoints (N, 16, 2) float32 px of the raw frames, NaN where the
        heatmap is empty, and scores (N, 16) float32 in [0, 1]."""
        return self.launch(crops)()

    def launch(
        self, crops: Sequence[Crop]
    ) -> Callable[[], tuple[FloatArray, FloatArray]]:
        """Begin to estimate; return a call that gives what :meth:`__call__` gives."""
        if not crops:
            joints = skeleton.NUM_JOINTS
            empty = (
                np.zeros((0, joints, 2), dtype=np.float32),
                np.zeros((0, joints), dtype=np.float32),
            )
            return lambda: empty
        step = len(crops)
        if self.device.type == "cpu":
            step = self._cpu_crops
        pixels = [crop.pixels for crop in crops]
        outputs = torch.cat(
            [self.run_views(pixels[i : i + step]) for i in range(0, len(crops), step)]
        )
        results = fetch_later(*self._decoder.decode(outputs))
        to_frame = np.stack([crop.to_frame for crop in crops])

        def answer() -> tuple[FloatArray, FloatArray]:
            points, scores = results()
            points = (
                points * to_frame[:, None, [0, 1], [0, 1]] + to_frame[:, None, :, 2]
            )
            points[scores <= 0] = np.nan
            return points.astype(np.float32), np.clip(scores, 0, 1).astype(np.float32)

        return answer

    @torch.inference_mode()
    def run_views(self, pixels: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
        """Return the network's answers, averaged over its views, before they are
        decoded: float32 (N, 16, h, w) where these are heatmaps, of N crops (S, S, 3)
        uint8 BGR."""
        with self._batch_size.of(len(pixels)) as size:
            images = stack_on_device(pixels, self.device, size).flip(1)
            images = (
                images.sub_(self._mean)
                .div_(self._std)
                .to(self.dtype, memory_format=torch.channels_last)
            )
            if not self.flip_test:
                return self._forward(images)[: len(pixels)].float()
            straight, mirrored = (
                self._forward(torch.cat((images, images.flip(-1)))).float().chunk(2)
            )
        mirrored = self._decoder.mirror_back(mirrored)
        return ((straight + mirrored) * 0.5)[: len(pixels)]

    def _run_network(self, images: torch.Tensor) -> torch.Tensor:
        return self._decoder.gather(self.net.head(self.net.extract_feat(images)))


def load_estimator(
    path: Path, options: NetworkOptions = NetworkOptions()
) -> MMPoseEstimator | SecondLook:
    """Load a pose model directory.

    Args:
        path: The folder.
        options: How the network is loaded and runs.

    Raises:
        UsageError, DataError: If the directory is not one of ours, or its weights do
            not fill the net.
    """
    directory = read_model_directory(path, "pose")
    settings = validate_pose_settings(directory.settings, f"{path}/model.json")
    network = make_network(settings)
    with DefaultScope.overwrite_default_scope("mmpose"):
        net = MODELS.build(network.configure_model())
    report = weights.fill_network(net, directory.weights)
    if report.missing or report.mismatched:
        raise UsageError(
            "the weights do not fill the network: " + "\n".join(report.lines())
        )
    identity = {
        "kind": "pose",
        "weights_sha256": directory.weights_sha256,
        "settings": settings.model_dump(mode="json"),
    }
    options = replace(options, device=choose_device(options.device))
    estimator = MMPoseEstimator(fuse_conv_bn(net), network, identity, options)
    return SecondLook(estimator) if options.second_look else estimator
