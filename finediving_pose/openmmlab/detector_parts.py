"""Parts of a detector's training beside MMDetection's own: metric and augmentation,
registered under names of ours."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import numpy as np

from finediving_pose.boxes import compute_iou
from finediving_pose.openmmlab import compat

compat.require_packages("mmdet")

from mmcv.transforms import BaseTransform  # noqa: E402
from mmdet.registry import METRICS, TRANSFORMS  # noqa: E402
from mmengine.evaluator import BaseMetric  # noqa: E402


@METRICS.register_module()
class DiverBoxMetric(BaseMetric):
    """AP at IoU .50 and over .50:.95, and ``best_recall``: how often the best box of an
    image is the athlete.

    `best_recall` is the share of images whose highest-scored box overlaps the drawn one
    with an IoU of at least 0.5; it is what tracking starts from.
    """

    default_prefix = None

    def __init__(self, ann_file: str, **options: Any) -> None:
        super().__init__(**options)
        from pycocotools.coco import COCO

        with contextlib.redirect_stdout(io.StringIO()):
            self.truth = COCO(str(Path(ann_file)))

    def process(self, data_batch: Any, data_samples: list[dict]) -> None:
        """Keep the boxes of each image; called by MMEngine."""
        for sample in data_samples:
            found = sample["pred_instances"]
            boxes = found["bboxes"].cpu().numpy()
            scores = found["scores"].cpu().numpy()
            self.results.append((sample["img_id"], boxes, scores))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Return the metrics of the whole validation part; called by MMEngine."""
        from pycocotools.cocoeval import COCOeval

        hits = []
        rows = []
        for image, boxes, scores in results:
            hits.append(self._is_best_on_athlete(image, boxes, scores))
            for box, score in zip(boxes.astype(float), scores, strict=True):
                row = {
                    "image_id": image,
                    "category_id": 1,
                    "bbox": [*box[:2], *(box[2:] - box[:2])],
                    "score": float(score),
                }
                rows.append(row)
        best_recall = float(np.mean(hits))
        if not rows:  # pycocotools refuses an empty list
            return {"best_recall": best_recall, "AP": 0.0, "AP50": 0.0}
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(self.truth, self.truth.loadRes(rows), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        return {
            "best_recall": best_recall,
            "AP": float(evaluation.stats[0]),
            "AP50": float(evaluation.stats[1]),
        }

    def _is_best_on_athlete(
        self, image: int, boxes: np.ndarray, scores: np.ndarray
    ) -> bool:
        truth = [annotation["bbox"] for annotation in self.truth.imgToAnns[image]]
        if not truth or not len(boxes):
            return False
        corners = np.array(truth, dtype=float)
        corners[:, 2:] += corners[:, :2]
        return bool(compute_iou(boxes[[int(scores.argmax())]], corners).max() >= 0.5)


@TRANSFORMS.register_module()
class QuarterTurn(BaseTransform):
    """Turn image and boxes by 90, 180 or 270 degrees: a diver in flight has no up and
    down.

    Args:
        chance: Of turning at all.
    """

    def __init__(self, chance: float) -> None:
        self.chance = chance

    def transform(self, results: dict) -> dict:
        """Turn ``results['img']`` (h, w, 3) and ``results['gt_bboxes']``."""
        if np.random.rand() >= self.chance:  # noqa: NPY002 - MMEngine seeds numpy's global state
            return results
        for _ in range(np.random.randint(1, 4)):  # noqa: NPY002
            width = results["img"].shape[1]
            results["img"] = np.ascontiguousarray(
                np.rot90(results["img"])
            )  # (x, y) → (y, width − x)
            boxes = results["gt_bboxes"].tensor
            x1, y1, x2, y2 = boxes.unbind(-1)
            results["gt_bboxes"].tensor = boxes.new_tensor(
                np.stack(
                    [part.numpy() for part in (y1, width - x2, y2, width - x1)], axis=-1
                )
            )
        results["img_shape"] = results["img"].shape[:2]
        return results
