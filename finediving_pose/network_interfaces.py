"""Interfaces of detectors and pose estimators, and the options every network is loaded
with.

Extraction, prelabelling, evaluation and scoring see networks through
:class:`Detector` and :class:`PoseEstimator` only, so any runtime can stand
behind them: a class that fulfils one of the two, and a line in
:mod:`finediving_pose.workflows.model_loading` that makes it. :class:`Preparing` and
:class:`Launching` are extras that a network offers if it can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from finediving_pose.records import Crop, Detections, FloatArray

Precision = Literal["fp32", "fp16", "bf16"]

Views = Literal["none", "rotate4"]
"""Test-time views beside the mirrored one: ``rotate4`` averages over the crop's quarter
turns."""


@dataclass(frozen=True)
class NetworkOptions:
    """How networks are loaded and run; handed on whole from a command to the network.

    A network ignores what it has no use for. A new option is a field here and an option
    of the commands that offer it.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; a GPU that is asked for must
            be there.
        precision: ``fp32``, ``fp16`` or ``bf16``.
        compile: Whether ``torch.compile`` makes the network faster, after minutes; last
            digits may differ.
        trust: Whether a foreign checkpoint may hold more than weights.
        score_threshold: Of a detector: boxes below are dropped; None = the model's own.
        flip_test: Of a pose network: whether the mirrored crop is looked at too.
        tta: Of a pose network: ``rotate4`` looks at the crop's quarter turns too.
        second_look: Of a pose network: whether every person is looked at again in a box
            around the joints of the first look.
    """

    device: str = "auto"
    precision: Precision = "fp32"
    compile: bool = False
    trust: bool = False
    score_threshold: float | None = None
    flip_test: bool = True
    tta: Views = "none"
    second_look: bool = False


class Detector(Protocol):
    """Finds people in images.

    Attributes:
        identity: Weights and settings in JSON types. It goes into ledgers and
            manifests, and decides what a rerun does again: two detectors of one
            identity give the same boxes.
    """

    identity: dict[str, Any]

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> list[Detections]:
        """Detect the people in each image.

        Args:
            images: N arrays (H, W, 3) uint8 BGR, of any sizes; or, where the detector
                is :class:`Preparing`, what its `prepare` made of them.

        Returns:
            N detections, in pixels of the images, best first; an image may have none.
        """
        ...


class PoseEstimator(Protocol):
    """Finds the joints of one person in each box.

    Attributes:
        identity: As of :class:`Detector`.
    """

    identity: dict[str, Any]

    def crop(self, image: NDArray[np.uint8], box: FloatArray) -> Crop:
        """Cut one person out of a frame, as the network wants it.

        Args:
            image: (H, W, 3) uint8 BGR.
            box: (4,) px, the person's bounding box; the estimator widens it to its own
                shape.

        Returns:
            The crop with its way back to the frame. The frame itself is not kept.
        """
        ...

    def __call__(self, crops: Sequence[Crop]) -> tuple[FloatArray, FloatArray]:
        """Estimate the joints in each crop.

        Args:
            crops: N results of `crop`, of any frames and clips.

        Returns:
            Keypoints (N, 16, 2) float32 px of the raw frames, NaN where the network
            found nothing, and scores (N, 16) float32 in [0, 1].
        """
        ...


@runtime_checkable
class Preparing(Protocol):
    """A detector whose work on one image, before the network's, can be done ahead in
    another thread."""

    def prepare(self, image: NDArray[np.uint8]) -> Any:
        """Make of an (H, W, 3) uint8 BGR image what the detector takes in its place;
        its `nbytes` say what it holds."""
        ...


@runtime_checkable
class Launching(Protocol):
    """A network that can begin a batch and be asked for the results later, while a
    device computes them."""

    def launch(self, items: Sequence[Any]) -> Any:
        """Begin a batch; return what calling the network gives, or a call that waits
        for that and returns it."""
        ...
