"""How near extraction comes to its networks' own rate, and how far ahead it is of MMDetection's and MMPose's functions.

    python tools/bench_extract.py --preset w32 --device cuda --precision bf16 --markdown
    python tools/bench_extract.py --ways "" --growth 10,100,1000 --backbone w8 --input-size 64

Drawn dives are written as small video files, and the same frames go with the same weights, precision and flip test
through four ways, in turn, `--rounds` times over; ratios are paired by round, since a shared machine drifts:

* limit: the forward passes alone, on tensors that are ready, of both networks with their batch norms folded into the
  convolutions, at the best of `--raw-batches` and memory layouts. The detector's is its backbone, neck and head up to
  the head's scores and distances, without decoding and non-maximum suppression; the pose net's is that of the doubled
  batch of the flip test up to the heatmaps. A frame costs one of each.
* loop: what a user would write: cv2.VideoCapture, then `inference_detector` and `inference_topdown` on the best box.
* inferencer: `MMPoseInferencer` on each video file, with the same networks.
* ours: `extract` on the folder of videos: hashes, decoding, both networks, tracking, repair, writing.

Without `--pose-model` and `--detector-model` the weights are random. Since a random detector finds nothing, or noise,
its head's answer is then replaced, after it was computed, by one that is sure of a single place: exactly one box a
frame passes its decoding and suppression, the same one in every way, and each way is checked to have estimated as many
poses as there are frames. With real models the loop takes the best box, ours the tracked one and the inferencer every
box above 0.3; the poses of each stand in the table.

In mixed precision the limit's nets are cast as a whole; loop and inferencer run under autocast with the pose head's
heatmaps made float, without which MMPose cannot decode them.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from finediving_pose import console
from finediving_pose.config import load_settings
from finediving_pose.datasets.model_directory import read_model_directory, write_model_card
from finediving_pose.openmmlab import bridge
from finediving_pose.openmmlab.settings import PRESETS, DetectorSettings, HrnetSettings

NETWORKS = {"tiny": ("tiny", "tiny"), "w32": ("w32", "s"), "paper": ("paper", "m")}
"""The presets of the pose net and of the detector that go together."""

WAYS = ("limit", "loop", "inferencer", "ours")
SEARCHED = 3  # timings of each batch size
BOX = (0.5, 0.25, 0.08, 0.13)  # centre, half width and half height, in sides of the detector's input
SURE, UNSURE = 4.0, -12.0  # logits

Way = Callable[[], int | Path]


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    options = parsed(arguments)
    console.setup_logging()
    prepare(options)
    if options.growth_run:
        print(json.dumps(extracted(options, Path(options.growth_run))))
        return
    with tempfile.TemporaryDirectory(prefix="bench_extract_") as folder:
        result = measured(options, Path(folder))
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(as_markdown(result) if options.markdown else json.dumps(result, indent=2))


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--preset", default="tiny", choices=NETWORKS, help="the networks: presets of pose net and detector")
    add("--backbone", choices=["w48", "w32", "w16", "w8"], help="another HRNet than the preset's")
    add("--input-size", type=int, help="px of the pose net's crop, another than the preset's")
    add("--variant", choices=["m", "s", "tiny", "nano"], help="another RTMDet than the preset's")
    add("--image-size", type=int, help="px of the detector's square, another than the preset's")
    add("--pose-model", metavar="DIR", help="a trained model in the place of random weights")
    add("--detector-model", metavar="DIR", help="likewise")
    add("--precision", default="fp32", choices=["fp32", "bf16", "fp16"], help="of both networks, in every way")
    add("--no-flip-test", action="store_true", help="no mirror images, in every way")
    add("--device", default="cpu", help="cpu, cuda or cuda:N")
    add("--threads", type=int, help="threads of torch and of OpenCV")
    add("--ways", default=",".join(WAYS), help=f"which are timed, of {','.join(WAYS)}; '' = none")
    add("--clips", type=int, default=4, help="video files")
    add("--frames", type=int, default=96, help="frames of each, at most 96")
    add("--rounds", type=int, default=5, help="how often every way is timed")
    add("--raw-batches", default="1,2,4,8,16,32", help="frames of the batches that the limit is sought among")
    add("--detector-batch", type=int, help="frames of a detector batch of ours, another than extraction's")
    add("--pose-batch", type=int, help="crops of a pose batch of ours")
    add("--growth", default="", metavar="N,N", help="numbers of clips, each extracted by a process of its own")
    add("--project", type=int, default=288_000, metavar="N", help="frames that the hours are projected for")
    add("--markdown", action="store_true", help="print tables in the place of JSON")
    add("--json", metavar="FILE", help="write the JSON there too")
    add("--quick", action="store_true", help="few frames and the smallest nets: whether it runs, not how fast")
    add("--growth-run", help=argparse.SUPPRESS)
    add("--one-box", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.chosen = [way for way in options.ways.split(",") if way]
    if unknown := set(options.chosen) - set(WAYS):
        parser.error(f"--ways {','.join(sorted(unknown))}: expected some of {','.join(WAYS)}")
    if not 2 <= options.frames <= 96:
        parser.error(f"--frames {options.frames}: expected 2 to 96")
    if bool(options.pose_model) != bool(options.detector_model):
        parser.error("expected --pose-model and --detector-model together, or neither")
    if options.quick:
        quick = {"backbone": "w8", "input_size": 64, "variant": "nano", "image_size": 64, "raw_batches": "1,2"}
        vars(options).update(quick, clips=2, frames=4, rounds=2)
    return options


def prepare(options: argparse.Namespace) -> None:
    """Set threads, and refuse a device that is not there."""
    import torch

    if options.device != "cpu" and not torch.cuda.is_available():
        raise SystemExit(f"--device {options.device}: this torch ({torch.__version__}) sees no CUDA GPU")
    if options.threads:
        import cv2

        torch.set_num_threads(options.threads)
        cv2.setNumThreads(options.threads)


def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Draw, make the networks, and time what is asked for."""
    videos = folder / "videos"
    write_clips(videos, options.clips, options.frames)
    if not options.pose_model:
        options.pose_model, options.detector_model = random_models(options, folder)
        options.one_box = True
    result: dict[str, Any] = {"machine": machine(options), "networks": networks(options)}
    if options.chosen:
        result |= compared(options, folder)
    counts = [int(number) for number in options.growth.split(",") if number]
    if counts:
        result["growth"] = [grown(options, folder, count) for count in counts]
    result["projection"] = projection(result, options.project)
    return result


# --- what is run


def write_clips(folder: Path, clips: int, frames: int) -> None:
    """Write ``bench/<n>.mp4``, each a drawn dive."""
    from finediving_pose.media import write_video
    from finediving_pose.synthesis.meet import plan_meet, stage

    for number in range(clips):
        scene = stage(plan_meet(1, number).dives[0])
        write_video(folder / "bench" / f"{number}.mp4", (scene.picture(k) for k in range(frames)), 25.0)


def random_models(options: argparse.Namespace, folder: Path) -> tuple[str, str]:
    """Write model directories of random weights; return the pose net's and the detector's."""
    import torch
    from mmengine.config import ConfigDict

    from finediving_pose.openmmlab.detector_config import detector_model
    from finediving_pose.openmmlab.pose_config import pose_model
    from finediving_pose.openmmlab.weights import save_tensors

    torch.manual_seed(0)
    pose, detector = NETWORKS[options.preset]
    sizes = {"backbone": options.backbone, "input_size": options.input_size}
    pose_settings = load_settings(HrnetSettings, PRESETS / "hrnet", pose, **sizes)
    sizes = {"variant": options.variant, "image_size": options.image_size}
    detector_settings = load_settings(DetectorSettings, PRESETS / "detector", detector, **sizes)
    for kind, settings, config in (
        ("pose", pose_settings, pose_model(pose_settings)),
        ("detector", detector_settings, detector_model(detector_settings)),
    ):
        (folder / kind).mkdir()
        save_tensors(folder / kind / "model.safetensors", built(kind, ConfigDict(config)))
        write_model_card(folder / kind, kind, settings.model_dump(mode="json"), [])
    return str(folder / "pose"), str(folder / "detector")


def built(kind: str, config: Any) -> Any:
    """Return MMPose's or MMDetection's net of a config, its weights random."""
    bridge.require("mmdet", "mmpose")
    import mmdet.registry
    import mmpose.registry
    from mmengine.registry import DefaultScope

    from finediving_pose.openmmlab import detector_parts, pose_parts  # noqa: F401 - register our parts

    scope = "mmpose" if kind == "pose" else "mmdet"
    with DefaultScope.overwrite_default_scope(scope):
        return (mmpose if kind == "pose" else mmdet).registry.MODELS.build(config)


def only_one_box(head: Any) -> None:
    """Let an RTMDet head answer, after it ran, with logits and distances that hold one sure box.

    It stands in the middle level, so that all of the decoding and the suppression has its usual shapes.
    """

    def replace(_: Any, __: Any, answer: tuple[list[Any], list[Any]]) -> tuple[list[Any], list[Any]]:
        scores = [level.new_full(level.shape, UNSURE) for level in answer[0]]
        distances = [level.new_zeros(level.shape) for level in answer[1]]
        stride = head.prior_generator.strides[1][0]
        height, width = scores[1].shape[-2:]
        x, y, half_width, half_height = BOX
        cell = (slice(None), slice(None), int(y * height), int(x * width))
        scores[1][cell] = SURE
        side = width * stride
        for n, half in enumerate((half_width, half_height, half_width, half_height)):
            distances[1][(cell[0], n, *cell[2:])] = half * side
        return scores, distances

    head.register_forward_hook(replace)


def load_ours(options: argparse.Namespace) -> tuple[Any, Any]:
    """Return detector and pose estimator as `fdpose extract` loads them."""
    from finediving_pose.workflows import models

    detector: Any = models.load_detector(options.detector_model, options.device, precision=options.precision)
    estimator = models.load_estimator(
        options.pose_model, options.device, not options.no_flip_test, precision=options.precision
    )
    if options.one_box:
        only_one_box(detector.net.bbox_head)
    return detector, estimator


@dataclass
class MmFiles:
    """The same networks as MMDetection's and MMPose's functions want them: a config and a checkpoint of each."""

    pose: tuple[str, str]
    detector: tuple[str, str]


def mm_files(options: argparse.Namespace, folder: Path) -> MmFiles:
    """Write configs and checkpoints of both model directories."""
    import torch
    from mmengine.config import Config

    from finediving_pose.openmmlab.detector_config import CLASS_NAME, detector_model, inference_pipeline
    from finediving_pose.openmmlab.pose_config import pose_model, pose_training
    from finediving_pose.openmmlab.pose_parts import DiverDataset
    from finediving_pose.openmmlab.weights import load_into

    pose, detector = settings_of(options)
    none = Path("none.json")  # named in a dataset that is never read
    pose_loader = pose_training(pose, none, none, Path())["val_dataloader"]
    net = pose_model(pose)
    net["test_cfg"]["flip_test"] = not options.no_flip_test
    box_steps = [{"type": "LoadImageFromFile"}, *inference_pipeline(detector)]
    boxes = {
        "type": "CocoDataset",
        "ann_file": str(none),
        "metainfo": {"classes": (CLASS_NAME,)},
        "pipeline": box_steps,
    }
    configs = {
        "pose": {
            "default_scope": "mmpose",
            "model": net,
            "test_dataloader": pose_loader,
            "dataset_type": "DiverDataset",
            "data_mode": "topdown",
            "visualizer": {"type": "PoseLocalVisualizer", "name": "bench_pose"},
        },
        "detector": {
            "default_scope": "mmdet",
            "model": detector_model(detector),
            "test_dataloader": {"dataset": {**boxes, "test_mode": True}},
            "visualizer": {"type": "DetLocalVisualizer", "name": "bench_detector"},
        },
    }
    metas = {"pose": DiverDataset._load_metainfo(DiverDataset.METAINFO), "detector": {"classes": (CLASS_NAME,)}}
    for kind, source in (("pose", options.pose_model), ("detector", options.detector_model)):
        config = Config(configs[kind])
        config.dump(folder / f"{kind}.py")
        filled = built(kind, config.model)
        load_into(filled, read_model_directory(Path(source)).weights)
        content = {"state_dict": filled.state_dict(), "meta": {"dataset_meta": metas[kind]}}
        torch.save(content, folder / f"{kind}.pth")
    return MmFiles(*[(str(folder / f"{kind}.py"), str(folder / f"{kind}.pth")) for kind in ("pose", "detector")])


def settings_of(options: argparse.Namespace) -> tuple[HrnetSettings, DetectorSettings]:
    """Return what both model directories say."""
    from finediving_pose.config import validate_settings

    pose = read_model_directory(Path(options.pose_model), "pose").settings
    detector = read_model_directory(Path(options.detector_model), "detector").settings
    return (
        validate_settings(HrnetSettings, pose, options.pose_model),
        validate_settings(DetectorSettings, detector, options.detector_model),
    )


def like_ours(options: argparse.Namespace, pose: Any, detector: Any) -> None:
    """Let nets that MMPose and MMDetection built find one box and give heatmaps that can be decoded."""
    if options.one_box:
        only_one_box(detector.bbox_head)
    if options.precision != "fp32":
        pose.head.register_forward_hook(lambda _, __, heatmaps: heatmaps.float())


def autocast(options: argparse.Namespace) -> Any:
    """Return the context of mixed precision, which does nothing in fp32."""
    import torch

    from finediving_pose.openmmlab.pose_estimator import DTYPES

    kind = options.device.partition(":")[0]
    return torch.autocast(kind, dtype=DTYPES[options.precision], enabled=options.precision != "fp32")


# --- the four ways


def loop_way(options: argparse.Namespace, files: MmFiles, videos: Sequence[Path]) -> Way:
    """MMDetection's and MMPose's functions, frame by frame."""
    from mmdet.apis import inference_detector, init_detector
    from mmpose.apis import inference_topdown, init_model
    from mmpose.utils import adapt_mmdet_pipeline

    detector = init_detector(*files.detector, device=options.device)
    detector.cfg = adapt_mmdet_pipeline(detector.cfg)
    pose = init_model(*files.pose, device=options.device)
    like_ours(options, pose, detector)

    def run() -> int:
        poses = 0
        with autocast(options):
            for path in videos:
                for image in decoded(path):
                    found = inference_detector(detector, image).pred_instances
                    if len(found):
                        best = found.bboxes[found.scores.argmax()].float().cpu().numpy()
                        poses += len(inference_topdown(pose, image, best[None]))
        return poses

    return run


def decoded(path: Path) -> Iterator[Any]:
    """Give a video's frames as most would read them."""
    import cv2

    capture = cv2.VideoCapture(str(path))
    while True:
        ok, image = capture.read()
        if not ok:
            break
        yield image
    capture.release()


def inferencer_way(options: argparse.Namespace, files: MmFiles, videos: Sequence[Path]) -> Way:
    """MMPose's own way through a video."""
    from mmpose.apis import MMPoseInferencer

    inferencer = MMPoseInferencer(
        pose2d=files.pose[0],
        pose2d_weights=files.pose[1],
        det_model=files.detector[0],
        det_weights=files.detector[1],
        det_cat_ids=[0],
        device=options.device,
    )
    like_ours(options, inferencer.inferencer.model, inferencer.inferencer.detector.model)

    def run() -> int:
        with autocast(options):
            answers = [answer for path in videos for answer in inferencer(str(path))]
        return sum(len(people) for answer in answers for people in answer["predictions"])

    return run


def our_way(options: argparse.Namespace, videos: Path, folder: Path, stages: dict[str, float]) -> Way:
    """The extraction into a new folder each time; `stages` takes the last one's seconds."""
    nets = load_ours(options)
    numbers = itertools.count()

    def run() -> Path:
        out = folder / f"out{next(numbers)}"
        summary = extraction(options, nets, videos, out)
        stages.update({stage: round(spent, 3) for stage, spent in summary.seconds.items()})
        return out

    return run


def extraction(options: argparse.Namespace, nets: tuple[Any, Any], videos: Path, out: Path) -> Any:
    """Run `extract` and check that it posed every frame."""
    from finediving_pose.extraction.local_engine import Limits
    from finediving_pose.extraction.settings import ExtractionSettings
    from finediving_pose.workflows.extraction import extract

    given = {"detector_batch": options.detector_batch, "pose_batch": options.pose_batch}
    limits = Limits(**{name: value for name, value in given.items() if value})
    summary = extract(videos, out, *nets, ExtractionSettings(frames=options.frames), limits=limits)
    if summary.failed:
        raise SystemExit(f"extraction failed: {summary.failed[0]}")
    return summary


def posed(answer: int | Path) -> int:
    """Return how many poses a way estimated; of an extraction, how many of its frames have a box."""
    from finediving_pose.datasets.pose_files import read_pose

    if isinstance(answer, int):
        return answer
    sequences = [read_pose(path) for path in answer.rglob("pred_comp_*.npz")]
    return sum(int(np.isfinite(sequence.track.boxes).all(axis=-1).sum()) for sequence in sequences)


@dataclass
class Forward:
    """A network's forward pass on ready tensors, at its fastest batch size and memory layout.

    Attributes:
        run: Does it once.
        frames: How many at once.
        layout: Of the tensors and weights.
    """

    run: Callable[[], Any]
    frames: int
    layout: str

    def seconds(self, frames: int, options: argparse.Namespace) -> float:
        """Return the seconds a frame, timed over about so many frames."""
        times = -(-frames // self.frames)

        def repeated() -> None:
            for _ in range(times):
                self.run()

        return timed(repeated, options)[0] / (times * self.frames)


def forwards(options: argparse.Namespace) -> dict[str, Forward]:
    """Return each network's fastest forward pass."""
    import torch
    from mmcv.cnn import fuse_conv_bn
    from mmengine.config import ConfigDict

    from finediving_pose.openmmlab.detector_config import detector_model
    from finediving_pose.openmmlab.pose_config import pose_model
    from finediving_pose.openmmlab.pose_estimator import DTYPES

    pose, detector = settings_of(options)
    dtype = DTYPES[options.precision]
    images = 1 if options.no_flip_test else 2

    def fastest(kind: str, config: dict[str, Any], head: str, side: int, images: int) -> Forward:
        net = fuse_conv_bn(built(kind, ConfigDict(config)).eval()).to(options.device, dtype)
        tried: list[tuple[float, Forward]] = []
        for layout in ("contiguous_format", "channels_last"):
            laid = copy.deepcopy(net).to(memory_format=getattr(torch, layout))
            for batch in [int(number) for number in options.raw_batches.split(",")]:
                pixels = torch.randn(batch * images, 3, side, side, device=options.device, dtype=dtype)
                pixels = pixels.contiguous(memory_format=getattr(torch, layout))

                @torch.inference_mode()
                def run(net: Any = laid, pixels: Any = pixels) -> Any:
                    return getattr(net, head)(net.extract_feat(pixels))

                forward = Forward(run, batch, layout.removesuffix("_format").replace("_", " "))
                run()
                tried.append((min(forward.seconds(batch, options) for _ in range(SEARCHED)), forward))
        return min(tried, key=lambda one: one[0])[1]

    return {
        "detector": fastest("detector", detector_model(detector), "bbox_head", detector.image_size, 1),
        "pose": fastest("pose", pose_model(pose), "head", pose.input_size, images),
    }


# --- figures


@dataclass
class Timings:
    """Seconds a frame of each way, a figure a round; of the limit, of each network too."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def rate(self, way: str) -> float:
        """Return frames per second, the median."""
        return round(1 / statistics.median(self.seconds[way]), 2)

    def ours_over(self, way: str) -> dict[str, float]:
        """Return how many times as fast as `way` ours is, paired by round."""
        ratios = [other / ours for other, ours in zip(self.seconds[way], self.seconds["ours"], strict=True)]
        figures = {"min": min(ratios), "median": statistics.median(ratios), "max": max(ratios)}
        return {name: round(figure, 3) for name, figure in figures.items()}


def compared(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time the chosen ways in turn."""
    videos = folder / "videos"
    frames, stages = options.clips * options.frames, dict[str, float]()
    ways, refused = prepared(options, folder, stages)
    limit = forwards(options) if "limit" in options.chosen else {}
    poses = {name: posed(way()) for name, way in ways.items()}  # a warm-up, too
    if options.one_box and set(poses.values()) - {frames}:
        raise SystemExit(f"{videos}: expected a pose in each of {frames} frames, found {poses}")
    timings = Timings()
    for _ in range(options.rounds):
        if limit:
            parts = {name: forward.seconds(frames, options) for name, forward in limit.items()}
            for name, seconds in parts.items():
                timings.seconds[name].append(seconds)
            timings.seconds["limit"].append(sum(parts.values()))
        for name, way in ways.items():
            timings.seconds[name].append(timed(way, options)[0] / frames)
    names = [way for way in WAYS if way in timings.seconds]
    others = [way for way in names if way != "ours"] if "ours" in names else []
    return {
        "frames": frames,
        "rounds": options.rounds,
        "frames_per_second": {way: timings.rate(way) for way in names},
        "ours_over": {way: timings.ours_over(way) for way in others},
        "limit_is": {
            name: {"frames_per_second": timings.rate(name), "batch": forward.frames, "layout": forward.layout}
            for name, forward in limit.items()
        },
        "poses": poses,
        "cannot_run": refused,
        "stage_seconds": stages,
    }


def prepared(
    options: argparse.Namespace, folder: Path, stages: dict[str, float]
) -> tuple[dict[str, Way], dict[str, str]]:
    """Return the chosen ways but the limit, and why MMPose's inferencer cannot run where it cannot."""
    videos = sorted((folder / "videos").rglob("*.mp4"))
    files = mm_files(options, folder)
    ways: dict[str, Way] = {}
    refused: dict[str, str] = {}
    if "loop" in options.chosen:
        ways["loop"] = loop_way(options, files, videos)
    if "inferencer" in options.chosen:
        try:
            ways["inferencer"] = inferencer_way(options, files, videos)
        except Exception as error:  # noqa: BLE001 - whatever keeps it from running is what the table says
            refused["inferencer"] = f"{type(error).__name__}: {error}"
    if "ours" in options.chosen:
        ways["ours"] = our_way(options, folder / "videos", folder, stages)
    return ways, refused


def timed(way: Callable[[], Any], options: argparse.Namespace) -> tuple[float, Any]:
    """Return the seconds of one call, the device's queue emptied before and after, and what it returned."""
    import torch

    synchronise = torch.cuda.synchronize if options.device != "cpu" else lambda: None
    synchronise()
    start = time.perf_counter()
    answer = way()
    synchronise()
    return time.perf_counter() - start, answer


def grown(options: argparse.Namespace, folder: Path, clips: int) -> dict[str, Any]:
    """Extract so many clips in a process of its own; return its memory and rate."""
    videos = folder / f"growth{clips}"
    write_links(folder / "videos", videos, clips)
    given = {
        "--growth-run": videos,
        "--pose-model": options.pose_model,
        "--detector-model": options.detector_model,
        "--precision": options.precision,
        "--device": options.device,
        "--frames": options.frames,
        "--threads": options.threads,
        "--detector-batch": options.detector_batch,
        "--pose-batch": options.pose_batch,
    }
    command = [sys.executable, "-W", "ignore", __file__]
    command += [str(part) for name, value in given.items() if value is not None for part in (name, value)]
    command += ["--no-flip-test"] * options.no_flip_test + ["--one-box"] * options.one_box
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"extracting {clips} clips failed:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def write_links(source: Path, folder: Path, clips: int) -> None:
    """Give `clips` names to the clips of another folder."""
    drawn = sorted(source.rglob("*.mp4"))
    (folder / "bench").mkdir(parents=True)
    for number in range(clips):
        os.link(drawn[number % len(drawn)], folder / "bench" / f"{number}.mp4")


def extracted(options: argparse.Namespace, videos: Path) -> dict[str, Any]:
    """Extract a folder of clips and return memory and rate: the work of the growth's processes."""
    import torch

    nets = load_ours(options)
    seconds, summary = timed(lambda: extraction(options, nets, videos, videos.with_suffix(".out")), options)
    figures = {
        "clips": len(summary.done),
        "frames_per_second": round(len(summary.done) * options.frames / seconds, 2),
        "peak_mib": round(peak_memory()),
    }
    if options.device != "cpu":
        figures["gpu_peak_mib"] = round(torch.cuda.max_memory_reserved(options.device) / 2**20)
    return figures


def peak_memory() -> float:
    """Return this process's largest resident memory in MiB; getrusage would count the one that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line[:6] == "VmHWM:") / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def projection(result: dict[str, Any], frames: int) -> dict[str, Any]:
    """Return the hours for so many frames at the rate of ours, or else of the largest growth run."""
    rates = {"ours": result.get("frames_per_second", {}).get("ours")}
    for run in result.get("growth", []):
        rates[f"{run['clips']} clips"] = run["frames_per_second"]
    source = "ours" if rates["ours"] else list(rates)[-1]
    if not rates[source]:
        return {}
    hours = frames / rates[source] / 3600
    return {"frames": frames, "hours": round(hours, 2), "at_the_rate_of": source}


def machine(options: argparse.Namespace) -> dict[str, Any]:
    """Return the processor or card, cores, threads and torch's version."""
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = {"cpu": cpu_name(), "cores": cores, "threads": torch.get_num_threads(), "torch": torch.__version__}
    return facts if options.device == "cpu" else {"card": torch.cuda.get_device_name(options.device), **facts}


def cpu_name() -> str:
    """Return the processor's name."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def networks(options: argparse.Namespace) -> dict[str, Any]:
    """Return what is run."""
    pose, detector = settings_of(options)
    return {
        "pose": f"HRNet-{pose.backbone}, {pose.input_size} px",
        "detector": f"RTMDet-{detector.variant}, {detector.image_size} px",
        "precision": options.precision,
        "flip_test": not options.no_flip_test,
        "weights": "random" if options.one_box else "trained",
    }


def as_markdown(result: dict[str, Any]) -> str:
    """Return the figures as tables, with what they were measured on."""
    lines = ["; ".join(f"{name} {value}" for name, value in {**result["machine"], **result["networks"]}.items())]
    if "frames_per_second" in result:
        lines += ["", f"{result['frames']} frames, {result['rounds']} rounds", ""]
        lines += ["| way | frames/s | poses | ours is … times as fast: min, median, max |", "|---|---|---|---|"]
        for way, rate in result["frames_per_second"].items():
            ratio = result["ours_over"].get(way)
            times = "{min}, **{median}**, {max}".format(**ratio) if ratio else ""
            lines.append(f"| {way} | {rate} | {result['poses'].get(way, '')} | {times} |")
        lines += [f"| {way} | | | cannot run: {reason} |" for way, reason in result["cannot_run"].items()]
        lines += ["", *(f"limit, {name}: {shown(facts)}" for name, facts in result["limit_is"].items())]
        lines.append(f"seconds of the last extraction's stages: {shown(result['stage_seconds'])}")
    if rows := result.get("growth"):
        lines += ["", f"| {' | '.join(name.replace('_', ' ') for name in rows[0])} |", "|---" * len(rows[0]) + "|"]
        lines += [f"| {' | '.join(map(str, row.values()))} |" for row in rows]
    if projected := result["projection"]:
        lines += ["", "{frames} frames: {hours} hours, at the rate of {at_the_rate_of}".format(**projected)]
    return "\n".join(lines)


def shown(facts: dict[str, Any]) -> str:
    """Return names and values in a line."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())


if __name__ == "__main__":
    main()
