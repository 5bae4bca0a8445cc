"""What only a CUDA device can show; `make test` leaves it out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.made_detectors import decided_net
from helpers.tiny_models import finetune_hrnet

from finediving_pose.extraction.loading import Task
from finediving_pose.extraction.local_engine import Limits, LocalEngine
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.media import write_video
from finediving_pose.network_interfaces import NetworkOptions
from finediving_pose.openmmlab.athlete_detector import AthleteDetector
from finediving_pose.records import Clip
from finediving_pose.synthesis.sample import draw_dive
from finediving_pose.workflows.model_loading import load_estimator

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not torch.cuda.is_available(), reason="torch sees no CUDA device"
    ),
]


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("bf16", 0.1)])
def test_the_gpu_sees_what_the_cpu_sees(
    tiny_pose_model: Path, precision: str, tolerance: float
) -> None:
    dive = draw_dive(3, frames=8)
    answers = []
    for device, kind in (("cpu", "fp32"), ("cuda", precision)):
        estimator = load_estimator(
            tiny_pose_model, NetworkOptions(device=device, precision=kind)
        )
        crops = [
            estimator.crop(image, box)
            for image, box in zip(dive.images, dive.boxes, strict=True)
        ]
        answers.append(estimator.run_views([crop.pixels for crop in crops]).cpu())
        assert np.isfinite(estimator(crops)[0]).all()
    assert (answers[0] - answers[1]).abs().median() < tolerance * answers[0].abs().max()


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 0.5), ("bf16", 8.0)])
def test_the_gpu_detects_what_the_cpu_detects(precision: str, tolerance: float) -> None:
    images = draw_dive(3, frames=8).images
    (exact, there) = (
        AthleteDetector(
            net,
            settings,
            {},
            NetworkOptions(device=device, precision=kind, score_threshold=0.3),
        )
        for device, kind, (settings, net) in (
            ("cpu", "fp32", decided_net(0.3)),
            ("cuda", precision, decided_net(0.3)),
        )
    )
    ask = [
        there.launch([there.prepare(image)]) for image in images
    ]  # all begun before one is asked for
    for a, b in zip(
        exact(images), [found for answer in ask for found in answer()], strict=True
    ):
        assert (
            np.abs(a.boxes[0] - b.boxes[0]).max() < tolerance
            or abs(a.scores[0] - b.scores[0]) < 0.02
        )


def test_the_engine_gives_the_same_however_batches_overlap(
    tiny_pose_model: Path, tmp_path: Path
) -> None:
    write_video(tmp_path / "m/d.mp4", draw_dive(3, frames=24).images, 25)
    results = []
    for batch in (1, 7, 64):
        detector = AthleteDetector(
            *reversed(decided_net(0.3)),
            {},
            NetworkOptions(device="cuda", score_threshold=0.3),
        )
        limits = Limits(batch, batch, helpers=batch % 2)
        engine = LocalEngine(
            detector,
            load_estimator(tiny_pose_model, NetworkOptions(device="cuda")),
            ExtractionSettings(frames=None),
            limits,
        )
        (outcome,) = engine.run([Task(Clip("m", "d", tmp_path / "m/d.mp4"), "d")])
        assert outcome.reason is None
        results.append(outcome.people[0].keypoints)
    assert np.nanmedian(np.abs(results[0] - results[1])) < 0.1
    assert np.nanmedian(np.abs(results[0] - results[2])) < 0.1


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_training_in_mixed_precision_lowers_the_loss(
    drawn_dives: Path, tmp_path: Path, precision: str
) -> None:
    answer = finetune_hrnet(
        drawn_dives,
        tmp_path / "run",
        "--device",
        "cuda",
        "epochs=6",
        f"precision={precision}",
    )
    assert answer.code == 0
    losses = [
        float(line.split(",")[2])
        for line in (tmp_path / "run/metrics.csv").read_text().splitlines()[1:]
    ]
    assert losses[-1] < losses[0]
