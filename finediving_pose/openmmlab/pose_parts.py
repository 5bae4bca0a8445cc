"""Parts of a pose training beside MMPose's own: dataset, metric, loss, head and
augmentations, registered under names of ours.

Importing this module imports MMPose; only this room does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.boxes import enclose_joints
from finediving_pose.datasets.labels import read_labels
from finediving_pose.openmmlab import compat
from finediving_pose.openmmlab.pose_evaluation import (
    evaluate_keypoints,
)
from finediving_pose.records import LabelledFrame
from finediving_pose.skeleton import (
    COLOURS,
    FLIP_PAIRS,
    JOINTS,
    LIMBS,
    LOWER_BODY,
    NUM_JOINTS,
    OKS_SIGMAS,
    UPPER_BODY,
)

compat.require_packages("mmpose")

import cv2  # noqa: E402 - the bridge must be in place before mm* packages are imported
import torch  # noqa: E402
from mmcv.transforms import BaseTransform  # noqa: E402
from mmengine.evaluator import BaseMetric  # noqa: E402
from mmpose.datasets.datasets.base import BaseCocoStyleDataset  # noqa: E402
from mmpose.models.heads import HeatmapHead  # noqa: E402
from mmpose.registry import DATASETS, METRICS, MODELS, TRANSFORMS  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

HULL_MARGIN = 1.2
"""Where a label has no box, its crop is cut around the joints' hull, widened by this.
"""


def describe_skeleton() -> dict[str, Any]:
    """Return the skeleton the way MMPose describes a dataset."""
    halves = dict.fromkeys(UPPER_BODY, "upper") | dict.fromkeys(LOWER_BODY, "lower")
    joints: dict[int, dict[str, Any]] = {}
    for i, name in enumerate(JOINTS):
        joints[i] = {
            "name": name,
            "id": i,
            "color": list(COLOURS[i]),
            "type": halves[i],
            "swap": "",
        }
    for a, b in FLIP_PAIRS:
        joints[a]["swap"] = JOINTS[b]
        joints[b]["swap"] = JOINTS[a]
    limbs: dict[int, dict[str, Any]] = {}
    for i, (a, b) in enumerate(LIMBS):
        link = (JOINTS[a], JOINTS[b])
        limbs[i] = {"link": link, "id": i, "color": list(COLOURS[a])}
    return {
        "dataset_name": "finediving_pose",
        "keypoint_info": joints,
        "skeleton_info": limbs,
        "joint_weights": [1.0] * NUM_JOINTS,
        "sigmas": OKS_SIGMAS.tolist(),
    }


def crop_box(frame: LabelledFrame) -> NDArray[np.float64]:
    """Return the box (4,) px that a label's crop is cut around: the athlete's box, else
    the widened hull of the joints."""
    if frame.box is not None:
        return np.asarray(frame.box, dtype=np.float64)
    hull = enclose_joints(frame.keypoints[frame.labelled])
    low, high = hull[:2], hull[2:]
    centre = (low + high) / 2
    # One joint alone has a hull of no size.
    half = np.maximum(high - low, 1.0) / 2 * HULL_MARGIN
    return np.concatenate((centre - half, centre + half))


@DATASETS.register_module()
class DiverDataset(BaseCocoStyleDataset):
    """Our labels as MMPose samples: one athlete an image, missing joints with weight 0.

    `ann_file` is a COCO file that this project wrote; `data_prefix.img` the folder its
    names are relative to.
    """

    METAINFO: dict = describe_skeleton()

    def load_data_list(self) -> list[dict]:
        labels = read_labels(Path(self.ann_file), "coco", Path(self.data_prefix["img"]))
        samples = []
        for i, frame in enumerate(labels.frames):
            samples.append(self._make_sample(i, frame, labels.image_path(frame)))
        return samples

    def _make_sample(self, index: int, frame: LabelledFrame, image: Path) -> dict:
        box = crop_box(frame).astype(np.float32)[None]
        width, height = box[0, 2:] - box[0, :2]
        keypoints = np.where(frame.labelled[:, None], frame.keypoints, 0.0)
        return {
            "id": index,
            "img_id": index,
            "img_path": str(image),
            "bbox": box,
            "bbox_score": np.ones(1, dtype=np.float32),
            "keypoints": keypoints.astype(np.float32)[None],
            "keypoints_visible": frame.labelled.astype(np.float32)[None],
            "num_keypoints": int(frame.labelled.sum()),
            "area": np.array([width * height], dtype=np.float32),
            "category_id": np.array([1]),
            "iscrowd": 0,
        }


@METRICS.register_module()
class DiverKeypointMetric(BaseMetric):
    """PCK@0.2 of the torso, PCKh@0.5 of the segment head top–neck and OKS-AP, against
    the label file itself."""

    default_prefix = None

    def __init__(self, ann_file: str, images: str, **options: Any) -> None:
        super().__init__(**options)
        self.labels = read_labels(Path(ann_file), "coco", Path(images))

    def process(self, data_batch: Any, data_samples: list[dict]) -> None:
        """Keep the prediction of each sample; called by MMEngine."""
        for sample in data_samples:
            predicted = sample["pred_instances"]
            keypoints = predicted["keypoints"][0]
            scores = predicted["keypoint_scores"][0]
            self.results.append((int(sample["id"]), keypoints, scores))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the metrics of the whole validation part; called by MMEngine."""
        # Several processes may have seen a sample twice, to have equally many.
        predicted = {index: (keypoints, scores) for index, keypoints, scores in results}
        frames, keypoints, scores = [], [], []
        for index in sorted(predicted):
            frames.append(self.labels.frames[index])
            keypoints.append(predicted[index][0])
            scores.append(predicted[index][1])
        metrics = evaluate_keypoints(frames, np.stack(keypoints), np.stack(scores))
        return metrics.as_dict()


@MODELS.register_module()
class SpatialSoftmaxLoss(nn.Module):
    """Cross-entropy between the target heatmap and a softmax over all positions of the
    predicted one.

    With target heatmaps normalised to a sum of 1, the mean over labelled joints of −Σ
    target · log softmax(logits). Unlike the mean squared error it has no flat optimum
    at an empty heatmap, so it learns from a random start.
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, target: Tensor, weights: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: (B, 16, h, w).
            target: Heatmaps (B, 16, h, w).
            weights: (B, 16) of the joints, 0 = not labelled.
        """
        log_probability = F.log_softmax(logits.flatten(2), dim=-1)
        mass = target.flatten(2)
        total = mass.sum(dim=-1, keepdim=True)
        # A joint outside the crop has an empty target: no mass, no loss.
        mass = mass / total.clamp(min=1e-6)
        weights = weights * (total.squeeze(-1) > 1e-6)
        cross_entropy = -(mass * log_probability).sum(dim=-1)
        # A batch without any labelled joint costs nothing, rather than 0/0.
        count = weights.sum().clamp(min=1.0)
        return self.loss_weight * (cross_entropy * weights).sum() / count


@MODELS.register_module()
class SpatialSoftmaxHead(HeatmapHead):
    """Head on heatmaps for :class:`SpatialSoftmaxLoss`.

    While training it gives logits. Otherwise it gives the softmax times 2πσ², the sum
    of a Gaussian of peak 1, so that a perfect answer equals the usual target heatmap:
    all decoders work on it, and its peak, limited to 1, is the confidence.
    """

    def forward(self, feats: tuple[Tensor, ...]) -> Tensor:
        logits = super().forward(feats)
        if self.training:
            return logits
        mass = 2 * torch.pi * self.decoder.sigma**2
        probability = torch.softmax(logits.float().flatten(2), dim=-1).view_as(logits)
        return probability * mass


@TRANSFORMS.register_module()
class RandomColour(BaseTransform):
    """Change brightness, contrast, saturation and hue as light and cameras do.

    MMPose's own distortion also exchanges the channels, and lets the hue of skin, which
    is near 0, fall to 255 of 180: of the cues to a diver on a busy background, it takes
    the best one.
    """

    def transform(self, results: dict) -> dict:
        """Change ``results['img']``, (h, w, 3) in BGR."""
        contrast, saturation = np.random.uniform(0.65, 1.35, 2)  # noqa: NPY002 - MMEngine seeds numpy's global state
        brightness = np.random.uniform(-40, 40)  # noqa: NPY002
        hue = np.random.randint(-8, 9)  # noqa: NPY002 - of OpenCV's 180 steps
        image = results["img"]
        # Contrast turns about the image's own grey, so that it does not darken.
        grey = image.mean()
        image = cv2.addWeighted(
            image, contrast, image, 0.0, (1 - contrast) * grey + brightness
        )
        hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV).astype(np.float32)
        hsv += (hue, 0.0, 0.0)
        hsv *= (1.0, saturation, 1.0)
        hsv[..., 0] %= 180
        results["img"] = cv2.cvtColor(
            hsv.clip(0, 255).astype(np.uint8), cv2.COLOR_HSV2BGR
        )
        return results


@TRANSFORMS.register_module()
class RandomMotionBlur(BaseTransform):
    """Blur the crop along a random direction, as fast limbs are in broadcast video.

    Args:
        chance: Of blurring at all.
        longest: Largest length of the blur as a fraction of the crop's side.
    """

    def __init__(self, chance: float, longest: float = 0.125) -> None:
        self.chance = chance
        self.longest = longest

    def transform(self, results: dict) -> dict:
        """Blur ``results['img']`` (h, w, 3)."""
        if np.random.rand() >= self.chance:  # noqa: NPY002 - MMEngine seeds numpy's global state
            return results
        image = results["img"]
        length = 2 + np.random.rand() * (self.longest * max(image.shape[:2]) - 2)  # noqa: NPY002
        angle = np.random.rand() * np.pi  # noqa: NPY002
        results["img"] = cv2.filter2D(image, -1, make_line_kernel(length, angle))
        return results


def make_line_kernel(length: float, angle: float) -> NDArray[np.float32]:
    """Return a square kernel of sum 1 that averages along a line.

    Args:
        length: Of the line in px.
        angle: Of the line in radians.
    """
    side = int(np.ceil(length)) | 1  # odd, so that the kernel has a centre
    kernel = np.zeros((side, side), dtype=np.float32)
    centre = np.full(2, side // 2)
    offset = np.array([np.cos(angle), np.sin(angle)]) * (length - 1) / 2
    start = np.round(centre - offset).astype(int).tolist()
    end = np.round(centre + offset).astype(int).tolist()
    cv2.line(kernel, start, end, 1.0)
    return kernel / kernel.sum()
