"""Extraction's pose stage against a loop over ``mmpose.apis.inference_topdown`` and against the net alone.

    python tools/bench_pose.py [--backbone w32 --input-size 256] [--frames 48] [--device cpu] [--memory 4,16,64]

Same machine, weights (random), frames, boxes, precision and flip test in all three. The three are timed in turn,
`--rounds` times over, and medians of the paired ratios are printed: a shared machine drifts. With `--memory`, each
count of clips is extracted by a process of its own, whose peak memory is printed.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from finediving_pose.config import validate_settings
from finediving_pose.openmmlab import bridge
from finediving_pose.openmmlab.settings import HrnetSettings
from finediving_pose.records import Detections

CLIP_FRAMES = 96


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="w32", choices=["w48", "w32", "w16", "w8"])
    parser.add_argument("--input-size", type=int, default=256)
    parser.add_argument("--frames", type=int, default=48)
    parser.add_argument("--batch", type=int, default=32, help="crops of one batch of ours, as in extraction")
    parser.add_argument("--raw-batches", default="1,4,8,16,32", help="crops of the batches the net alone is timed on")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="torch's threads")
    parser.add_argument("--memory", help="numbers of clips, such as 4,16,64")
    parser.add_argument("--one-memory-run", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one_memory_run:
        memory_run(options, options.one_memory_run)
        return
    print(json.dumps(rates(options), indent=2))
    for clips in [int(number) for number in (options.memory or "").split(",") if number]:
        command = [sys.executable, "-W", "ignore", __file__, "--one-memory-run", str(clips), "--device", options.device]
        command += ["--backbone", options.backbone, "--input-size", str(options.input_size)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


def rates(options: argparse.Namespace) -> dict[str, Any]:
    """Time the three ways and return frames per second and ratios."""
    import torch

    if options.threads:
        torch.set_num_threads(options.threads)
    estimator, model = build_estimator(options)
    frames, boxes = drawn_frames(options.frames)
    raw = {
        batch: median_rate(lambda batch=batch: net_alone(model, batch, options.frames), options)
        for batch in [int(number) for number in options.raw_batches.split(",")]
    }
    best = max(raw, key=lambda batch: raw[batch])
    ways: dict[str, Callable[[], int]] = {
        "inference_topdown loop": lambda: topdown_loop(model, frames, boxes),
        "net alone, best batch": lambda: net_alone(model, best, options.frames),
        "extraction's pose stage": lambda: pose_stage(estimator, frames, boxes, options.batch),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()  # warm-up
    for _ in range(options.rounds):
        for name, way in ways.items():
            seconds[name].append(timed(way))
    loop, alone, ours = seconds.values()
    return {
        "machine": machine(options.device),
        "net": f"HRNet-{options.backbone} {options.input_size} px, fp32, flip test",
        "frames": options.frames,
        "frames_per_second": {name: round(options.frames / statistics.median(s), 2) for name, s in seconds.items()},
        "net_alone_by_batch": {str(batch): round(rate, 2) for batch, rate in raw.items()},
        "ours_over_loop": paired(loop, ours),
        "ours_over_net_alone": paired(alone, ours),
    }


def build_estimator(options: argparse.Namespace) -> tuple[Any, Any]:
    """Return an estimator with random weights as extraction builds it, and MMPose's model of the same weights."""
    import torch

    from finediving_pose.openmmlab.pose_estimator import HrnetEstimator

    bridge.require("mmpose")
    from mmcv.cnn import fuse_conv_bn
    from mmengine.config import Config
    from mmengine.registry import DefaultScope
    from mmpose.registry import MODELS

    from finediving_pose.openmmlab.pose_config import pose_model, pose_training
    from finediving_pose.openmmlab.pose_parts import DiverDataset

    values = {"backbone": options.backbone, "input_size": options.input_size}
    settings = validate_settings(HrnetSettings, values, "bench")
    torch.manual_seed(0)
    data = pose_training(settings, Path("train.json"), Path("val.json"), Path())
    config = Config({"model": pose_model(settings), "test_dataloader": data["val_dataloader"]})
    with DefaultScope.overwrite_default_scope("mmpose"):
        net = MODELS.build(config.model)
    net.cfg = config
    net.dataset_meta = DiverDataset._load_metainfo(DiverDataset.METAINFO)
    estimator = HrnetEstimator(
        fuse_conv_bn(copy.deepcopy(net)), settings, {"kind": "bench"}, options.device, flip_test=True
    )
    return estimator, net.to(options.device).eval()


def drawn_frames(count: int) -> tuple[list[Any], Any]:
    """Return frames of drawn dives and their boxes (N, 4)."""
    from finediving_pose.synthesis.sample import draw_dive

    dives = [draw_dive(seed) for seed in range(-(-count // 24))]
    frames = [frame for dive in dives for frame in dive.images][:count]
    return frames, np.concatenate([dive.boxes for dive in dives])[:count]


def topdown_loop(model: Any, frames: list[Any], boxes: Any) -> int:
    """What a user of MMPose would write."""
    from mmpose.apis import inference_topdown

    return sum(len(inference_topdown(model, f, b[None])) for f, b in zip(frames, boxes, strict=True))


def pose_stage(estimator: Any, frames: list[Any], boxes: Any, batch: int) -> int:
    """What extraction does with frames and boxes: crop each, estimate in batches, decode."""
    crops = [estimator.crop(frame, box) for frame, box in zip(frames, boxes, strict=True)]
    return sum(len(estimator(crops[i : i + batch])[0]) for i in range(0, len(crops), batch))


def net_alone(model: Any, batch: int, count: int) -> int:
    """The forward pass on crops that are ready, both mirror images, and nothing else."""
    import torch

    size = model.cfg.model.head.decoder.input_size[0]
    device = next(model.parameters()).device
    images = torch.zeros(2 * batch, 3, size, size, device=device).contiguous(memory_format=torch.channels_last)
    model.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        for _ in range(-(-count // batch)):
            model.head(model.extract_feat(images))
    return count


def median_rate(way: Callable[[], int], options: argparse.Namespace) -> float:
    """Return frames per second, the median of three after a warm-up."""
    way()
    return options.frames / statistics.median(timed(way) for _ in range(3))


def timed(way: Callable[[], int]) -> float:
    """Return the seconds of one call, the device's queue emptied before and after."""
    import torch

    synchronise = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    synchronise()
    start = time.perf_counter()
    way()
    synchronise()
    return time.perf_counter() - start


def paired(base: list[float], ours: list[float]) -> dict[str, float]:
    """Return how many times as fast as `base` ours is, pair by pair."""
    ratios = [b / o for b, o in zip(base, ours, strict=True)]
    return {
        "min": round(min(ratios), 2),
        "median": round(statistics.median(ratios), 2),
        "max": round(max(ratios), 2),
    }


def machine(device: str) -> str:
    """Return processor or card, threads and torch's version."""
    import torch

    name = torch.cuda.get_device_name() if device.startswith("cuda") else platform.processor() or platform.machine()
    return f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}"


class CentreBox:
    """A detector that costs nothing: always the same box, so that memory and time are the pose stage's."""

    identity: dict[str, Any] = {"kind": "detector", "settings": "bench"}  # noqa: RUF012

    def __call__(self, images: Any) -> list[Detections]:
        """Return one box an image."""
        box = np.array([[180.0, 60.0, 280.0, 200.0]], dtype=np.float32)
        return [Detections(box, np.ones(1, dtype=np.float32)) for _ in images]


def memory_run(options: argparse.Namespace, clips: int) -> None:
    """Extract `clips` clips of 96 frames and print the peak memory and the rate."""
    from finediving_pose import console
    from finediving_pose.media import write_jpeg
    from finediving_pose.workflows.extraction import extract

    console.setup_logging()
    estimator, _ = build_estimator(options)
    frames, _ = drawn_frames(CLIP_FRAMES)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for number, frame in enumerate(frames):
            write_jpeg(root / "source" / f"{number}.jpg", frame)
        for clip in range(clips):
            (root / "frames" / "bench" / str(clip)).mkdir(parents=True)
            for image in (root / "source").iterdir():
                os.link(image, root / "frames" / "bench" / str(clip) / image.name)
        start = time.monotonic()
        summary = extract(root / "frames", root / "out", CentreBox(), estimator)
        seconds = time.monotonic() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rate = clips * CLIP_FRAMES / seconds
    print(f"{clips} clips ({len(summary.done)} done): peak {peak:.0f} MiB, {rate:.1f} frames/s")


if __name__ == "__main__":
    main()
