"""The whole way on a sample that the code draws itself: labels, both fine-tunings, extraction, and the figures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finediving_pose import console
from finediving_pose.console import UsageError
from finediving_pose.datasets.labels import read_labels
from finediving_pose.datasets.splits import read_splits
from finediving_pose.manifest import recording, write_json
from finediving_pose.workflows import finetuning
from finediving_pose.workflows.convert import SplitRequest, convert
from finediving_pose.workflows.extraction import extract
from finediving_pose.workflows.extraction_check import check_extraction
from finediving_pose.workflows.models import load_detector, load_estimator

POSE_SETTINGS = ("backbone=w8", "input_size=96", "epochs=24", "val_interval=8", "lr=3e-3")
DETECTOR_SETTINGS = ("image_size=192", "epochs=24", "val_interval=8", "quarter_turns=0.0")
DIVES, FRAMES, HELD_OUT = 6, 24, 0.34


@dataclass
class DemoResult:
    """What the demo left: where, its figures on dives no training saw, and the seconds of each step."""

    out: Path
    figures: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {"out": str(self.out), "synthetic": True, "figures": self.figures, "seconds": self.seconds}


def run_demo(out: Path, seed: int = 0, dives: int = DIVES, device: str = "cpu", short: bool = False) -> DemoResult:
    """Run every step on drawn dives and measure the result on those that were held out.

    Args:
        out: A folder that does not exist, or one of an earlier demo, which is kept and added to.
        seed: Of the drawing and the trainings.
        dives: How many dives are drawn; a third of them is held out.
        device: As for the trainings.
        short: Two epochs only: shows that all works, and learns nothing.

    Raises:
        UsageError: If `out` exists and holds something else.
    """
    if out.exists() and any(out.iterdir()) and not (out / "manifest.json").exists():
        raise UsageError(f"{out}: exists and is no folder of an earlier demo; name another with --out")
    run = out / time.strftime("%Y%m%d-%H%M%S")
    result = DemoResult(run)
    with recording(out, run=run.name, seed=seed, device=device, synthetic=True):
        _run(result, seed, dives, device, ("epochs=2", "val_interval=2") if short else ())
        write_json(run / "summary.json", result.as_dict())
    return result


def _run(result: DemoResult, seed: int, dives: int, device: str, shortened: tuple[str, ...]) -> None:
    from finediving_pose.synthesis.sketch import write_sample

    out, sample, coco = result.out, result.out / "sample", result.out / "data" / "coco"
    with _step(result, "draw"):
        write_sample(sample, dives=dives, frames=FRAMES, seed=seed)
    with _step(result, "convert"):
        split = SplitRequest(by="dive", val=HELD_OUT, seed=seed)
        convert(sample / "labels" / "final", "coco", coco, images=sample / "frames", split=split)
    with _step(result, "finetune-hrnet"):
        pose = _finetune("hrnet", out, sample, coco, seed, device, POSE_SETTINGS + shortened)
    with _step(result, "finetune-detector"):
        detector = _finetune("detector", out, sample, coco, seed, device, DETECTOR_SETTINGS + shortened)
    with _step(result, "extract"):
        networks = load_detector(detector.model, device), load_estimator(pose.model, device)
        extract(sample / "frames", out / "skeletons", *networks, overlay=True)
    labels = read_labels(coco / "annotations.json", "coco", sample / "frames")
    held_out = read_splits(coco / "splits.json").select(labels.frames, "val")
    result.figures = check_extraction(out / "skeletons", held_out).flat()


def _finetune(
    kind: finetuning.Kind,
    out: Path,
    sample: Path,
    coco: Path,
    seed: int,
    device: str,
    overrides: tuple[str, ...],
) -> finetuning.FinetuneSummary:
    settings = finetuning.preset_settings(kind, "tiny", overrides, seed=seed)
    data = finetuning.training_data(
        coco / "annotations.json", kind, sample / "frames", coco / "splits.json", val=0.0, seed=seed
    )
    return finetuning.finetune(kind, out / "runs" / kind, data, settings, device)


@contextmanager
def _step(result: DemoResult, name: str) -> Iterator[None]:
    console.log.info("%s …", name)
    start = time.monotonic()
    yield
    result.seconds[name] = round(time.monotonic() - start, 1)
