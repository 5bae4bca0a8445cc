"""What only a CUDA device can show; `make test` leaves it out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import finetune_hrnet

from finediving_pose.synthesis.sample import draw_dive
from finediving_pose.workflows.models import load_estimator

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 0.1), ("bf16", 4.0)])
def test_the_gpu_finds_what_the_cpu_finds(tiny_pose_model: Path, precision: str, tolerance: float) -> None:
    dive = draw_dive(3, frames=8)
    answers = []
    for device, kind in (("cpu", "fp32"), ("cuda", precision)):
        estimator = load_estimator(tiny_pose_model, device, precision=kind)
        crops = [estimator.crop(image, box) for image, box in zip(dive.images, dive.boxes, strict=True)]
        answers.append(estimator(crops)[0])
    distance = np.linalg.norm(answers[0] - answers[1], axis=-1)
    assert np.median(distance) < tolerance


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_training_in_mixed_precision_lowers_the_loss(drawn_dives: Path, tmp_path: Path, precision: str) -> None:
    answer = finetune_hrnet(drawn_dives, tmp_path / "run", "--device", "cuda", "epochs=6", f"precision={precision}")
    assert answer.code == 0
    losses = [float(line.split(",")[2]) for line in (tmp_path / "run/metrics.csv").read_text().splitlines()[1:]]
    assert losses[-1] < losses[0]
