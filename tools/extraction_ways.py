"""The ways of :mod:`bench_extract` to get from video files to poses, and the networks
all of them run."""

from __future__ import annotations

import argparse
import copy
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from finediving_pose.config import (
    Settings,
    collect_values,
    load_settings,
    validate_settings,
)
from finediving_pose.datasets.model_directory import (
    WEIGHTS_NAME,
    read_model_directory,
    write_model_card,
)
from finediving_pose.datasets.pose_files import read_pose
from finediving_pose.extraction.local_engine import Limits
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.media import write_video
from finediving_pose.network_interfaces import NetworkOptions
from finediving_pose.openmmlab import compat
from finediving_pose.openmmlab.settings import PRESETS, DetectorSettings, PoseSettings
from finediving_pose.synthesis.meet import plan_meet, stage_dive
from finediving_pose.workflows import model_loading
from finediving_pose.workflows.extraction import Summary, extract

compat.require_packages("mmdet", "mmpose")

import cv2  # noqa: E402
import mmdet.registry  # noqa: E402
import mmpose.registry  # noqa: E402
import torch  # noqa: E402
from mmcv.cnn import fuse_conv_bn  # noqa: E402
from mmengine.config import Config, ConfigDict  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402

from finediving_pose.openmmlab import detector_parts  # noqa: E402, F401 - registers our parts
from finediving_pose.openmmlab.detector_config import (  # noqa: E402
    CLASS_NAME,
    configure_detector,
    configure_inference_pipeline,
)
from finediving_pose.openmmlab.device_batches import DTYPES, compile_if_wanted  # noqa: E402
from finediving_pose.openmmlab.pose_network import plan_pose_training  # noqa: E402
from finediving_pose.openmmlab.pose_networks import (  # noqa: E402
    make_network,
    validate_pose_settings,
)
from finediving_pose.openmmlab.pose_parts import DiverDataset  # noqa: E402
from finediving_pose.openmmlab.training_plan import TrainingLabels  # noqa: E402
from finediving_pose.openmmlab.weights import fill_network  # noqa: E402
from finediving_pose.training_files import write_weights  # noqa: E402

NETWORKS = {"tiny": ("tiny", "tiny"), "w32": ("w32", "s"), "paper": ("paper", "m")}
"""The presets of the pose net and of the detector that go together."""

LIMITS = {
    "detector_batch": "frames of a detector batch",
    "pose_batch": "crops of a pose batch",
    "decoders": "threads that decode",
    "helpers": "processes that track and repair",
}
"""What can be wished of ours' speed and memory; the rest is what suits the machine."""

DRAWN = 8
SEARCHED = 3  # timings of each batch size
BOX = (
    0.5,
    0.25,
    0.08,
    0.13,
)  # centre, half width and half height, in sides of the detector's input
SURE, UNSURE = 4.0, -12.0  # logits

Kind = Literal["pose", "detector"]
Way = Callable[[], int | Path]


def prepare(options: argparse.Namespace) -> None:
    """Set threads, and refuse a device that is not there."""
    if options.device != "cpu" and not torch.cuda.is_available():
        raise SystemExit(
            f"--device {options.device}: this torch ({torch.__version__}) sees no CUDA GPU"
        )
    if options.threads:
        torch.set_num_threads(options.threads)
        cv2.setNumThreads(options.threads)


def write_clips(folder: Path, clips: int, frames: int) -> None:
    """Write ``bench/<n>.mp4``: the first `DRAWN` of them drawn dives, the others
    further names of these."""
    drawn = folder.parent / "drawn"
    for number in range(min(clips, DRAWN)):
        scene = stage_dive(plan_meet(1, number).dives[0])
        write_video(
            drawn / f"{number}.mp4",
            (scene.render_frame(k) for k in range(frames)),
            25.0,
        )
    write_links(drawn, folder / "bench", clips)


def write_links(source: Path, folder: Path, clips: int) -> None:
    """Give the clips of a folder `clips` names in another: ``<n>.mp4``."""
    files = sorted(source.glob("*.mp4"))
    folder.mkdir(parents=True)
    for number in range(clips):
        os.link(files[number % len(files)], folder / f"{number}.mp4")


def random_models(options: argparse.Namespace, folder: Path) -> tuple[str, str]:
    """Write model directories of random weights; return the pose net's and the
    detector's."""
    torch.manual_seed(0)
    pose, detector = NETWORKS[options.preset]
    sizes = {"backbone": options.backbone, "input_size": options.input_size}
    values = collect_values(PRESETS / "hrnet", pose, **sizes)
    pose_settings = validate_pose_settings(*values)
    pose_network = make_network(pose_settings)
    sizes = {"variant": options.variant, "image_size": options.image_size}
    detector_settings = load_settings(
        DetectorSettings, PRESETS / "detector", detector, **sizes
    )
    return (
        write_model(
            folder / "pose", "pose", pose_network.configure_model(), pose_settings
        ),
        write_model(
            folder / "detector",
            "detector",
            configure_detector(detector_settings),
            detector_settings,
        ),
    )


def write_model(
    folder: Path, kind: Kind, config: dict[str, Any], settings: Settings
) -> str:
    """Write a model directory of random weights; return its path."""
    folder.mkdir()
    write_weights(folder / WEIGHTS_NAME, built(kind, config))
    write_model_card(folder, kind, settings.model_dump(mode="json"), [])
    return str(folder)


def built(kind: Kind, config: dict[str, Any]) -> Any:
    """Return MMPose's or MMDetection's net of a config, its weights random."""
    scope = "mmpose" if kind == "pose" else "mmdet"
    with DefaultScope.overwrite_default_scope(scope):
        return (mmpose if kind == "pose" else mmdet).registry.MODELS.build(
            ConfigDict(config)
        )


def only_one_box(head: Any) -> None:
    """Let an RTMDet head answer, after it ran, with logits and distances that hold one
    sure box.

    It stands in the middle level, so that all of the decoding and the suppression has
    its usual shapes.
    """

    def replace(
        _: Any, __: Any, answer: tuple[list[Any], list[Any]]
    ) -> tuple[list[Any], list[Any]]:
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
    network_options = NetworkOptions(
        device=options.device,
        precision=options.precision,
        compile=options.compile,
        flip_test=not options.no_flip_test,
    )
    detector: Any = model_loading.load_detector(options.detector_model, network_options)
    estimator = model_loading.load_estimator(options.pose_model, network_options)
    if options.one_box:
        only_one_box(detector.net.bbox_head)
    return detector, estimator


class MmFiles(NamedTuple):
    """The same networks as MMDetection's and MMPose's functions want them: a config and
    a checkpoint of each."""

    pose: tuple[str, str]
    detector: tuple[str, str]


def mm_files(options: argparse.Namespace, folder: Path) -> MmFiles:
    """Write configs and checkpoints of both model directories."""
    pose, detector = settings_of(options)
    never_read = Path("none.json")
    network = make_network(pose)
    net = network.configure_model()
    net["test_cfg"]["flip_test"] = not options.no_flip_test
    plan = plan_pose_training(network, TrainingLabels(never_read, never_read, Path()))
    pose_config = {
        "default_scope": "mmpose",
        "model": net,
        "test_dataloader": plan.data["val_dataloader"],
        "dataset_type": "DiverDataset",
        "data_mode": "topdown",
        "visualizer": {"type": "PoseLocalVisualizer", "name": "bench_pose"},
    }
    steps = [{"type": "LoadImageFromFile"}, *configure_inference_pipeline(detector)]
    boxes = {
        "type": "CocoDataset",
        "metainfo": {"classes": (CLASS_NAME,)},
        "pipeline": steps,
        "test_mode": True,
    }
    detector_config = {
        "default_scope": "mmdet",
        "model": configure_detector(detector),
        "test_dataloader": {"dataset": boxes | {"ann_file": str(never_read)}},
        "visualizer": {"type": "DetLocalVisualizer", "name": "bench_detector"},
    }
    joints = DiverDataset._load_metainfo(DiverDataset.METAINFO)
    return MmFiles(
        write_mm(folder / "pose", "pose", pose_config, joints, options.pose_model),
        write_mm(
            folder / "detector",
            "detector",
            detector_config,
            boxes["metainfo"],
            options.detector_model,
        ),
    )


def write_mm(
    path: Path, kind: Kind, config: dict[str, Any], meta: Any, model: str
) -> tuple[str, str]:
    """Write ``<path>.py`` and, with a model directory's weights, ``<path>.pth``; return
    their names."""
    Config(config).dump(path.with_suffix(".py"))
    net = built(kind, config["model"])
    fill_network(net, read_model_directory(Path(model)).weights)
    torch.save(
        {"state_dict": net.state_dict(), "meta": {"dataset_meta": meta}},
        path.with_suffix(".pth"),
    )
    return str(path.with_suffix(".py")), str(path.with_suffix(".pth"))


def settings_of(options: argparse.Namespace) -> tuple[PoseSettings, DetectorSettings]:
    """Return what both model directories say."""
    pose = read_model_directory(Path(options.pose_model), "pose").settings
    detector = read_model_directory(Path(options.detector_model), "detector").settings
    return (
        validate_pose_settings(pose, options.pose_model),
        validate_settings(DetectorSettings, detector, options.detector_model),
    )


def like_ours(options: argparse.Namespace, pose: Any, detector: Any) -> None:
    """Let nets that MMPose and MMDetection built find one box and give heatmaps that
    can be decoded."""
    if options.one_box:
        only_one_box(detector.bbox_head)
    if options.precision != "fp32":
        pose.head.register_forward_hook(lambda _, __, heatmaps: heatmaps.float())


def autocast(options: argparse.Namespace) -> Any:
    """Return the context of mixed precision, which does nothing in fp32."""
    kind = options.device.partition(":")[0]
    return torch.autocast(
        kind, dtype=DTYPES[options.precision], enabled=options.precision != "fp32"
    )


def loop_way(
    options: argparse.Namespace, files: MmFiles, videos: Sequence[Path]
) -> Way:
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
    capture = cv2.VideoCapture(str(path))
    while True:
        ok, image = capture.read()
        if not ok:
            break
        yield image
    capture.release()


def inferencer_way(
    options: argparse.Namespace, files: MmFiles, videos: Sequence[Path]
) -> Way:
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
    like_ours(
        options, inferencer.inferencer.model, inferencer.inferencer.detector.model
    )

    def run() -> int:
        with autocast(options):
            answers = [answer for path in videos for answer in inferencer(str(path))]
        return sum(
            len(people) for answer in answers for people in answer["predictions"]
        )

    return run


def our_way(
    options: argparse.Namespace, videos: Path, folder: Path, profile: dict[str, float]
) -> Way:
    """The extraction into a new folder each time; `profile` takes the last one's."""
    nets = load_ours(options)
    numbers = itertools.count()

    def run() -> Path:
        out = folder / f"out{next(numbers)}"
        profile.update(extraction(options, nets, videos, out).profile())
        return out

    return run


def extraction(
    options: argparse.Namespace, nets: tuple[Any, Any], videos: Path, out: Path
) -> Summary:
    """Run `extract`, in which no clip may fail."""
    wished = {name: getattr(options, name) for name in LIMITS}
    limits = Limits.suited(
        model_loading.on_gpu(options.device), os.cpu_count() or 1, **wished
    )
    summary = extract(
        videos, out, *nets, ExtractionSettings(frames=options.frames), limits=limits
    )
    if summary.failed:
        raise SystemExit(f"extraction failed: {summary.failed[0]}")
    return summary


def posed(answer: int | Path) -> int:
    """Return how many poses a way estimated; of an extraction, how many of its frames
    have a box."""
    if isinstance(answer, int):
        return answer
    sequences = [read_pose(path) for path in answer.rglob("pred_comp_*.npz")]
    return sum(
        int(np.isfinite(sequence.track.boxes).all(axis=-1).sum())
        for sequence in sequences
    )


@dataclass
class Forward:
    """A network's forward pass on ready tensors, at its fastest batch size and memory
    layout.

    Attributes:
        run: Does it once.
        frames: How many at once.
        layout: Of the tensors and weights in memory.
    """

    run: partial[Any]
    frames: int
    layout: str

    def spent(self, frames: int, options: argparse.Namespace) -> Spent:
        """Return the seconds a frame, timed over at least so many frames."""
        times = -(-frames // self.frames)

        def repeated() -> None:
            for _ in range(times):
                self.run()

        spent, _ = timed(repeated, options)
        return Spent(*(seconds / (times * self.frames) for seconds in spent))


def forwards(options: argparse.Namespace) -> dict[str, Forward]:
    """Return each network's fastest forward pass."""
    pose, detector = settings_of(options)
    boxes = built("detector", configure_detector(detector)).eval()
    # Not its head: the convolutions there are shared by levels that are normed each in
    # its own way.
    boxes.backbone, boxes.neck = fuse_conv_bn(boxes.backbone), fuse_conv_bn(boxes.neck)
    joints = fuse_conv_bn(built("pose", make_network(pose).configure_model()).eval())
    return {
        "detector": fastest(boxes, "bbox_head", detector.image_size, 1, options),
        "pose": fastest(
            joints, "head", pose.input_size, 1 if options.no_flip_test else 2, options
        ),
    }


def fastest(
    net: Any, head: str, side: int, images: int, options: argparse.Namespace
) -> Forward:
    """Try every batch size in both memory layouts, with `images` squares of `side` px
    for a frame.

    Only the fastest is compiled where that is asked for: each takes its minutes.
    """
    dtype = DTYPES[options.precision]
    net = net.to(options.device, dtype)
    tried: list[tuple[Spent, Callable[[torch.Tensor], Any], Forward]] = []
    for layout in (torch.contiguous_format, torch.channels_last):
        step = to_head(copy.deepcopy(net).to(memory_format=layout), head)
        for batch in map(int, options.raw_batches.split(",")):
            pixels = torch.randn(
                batch * images, 3, side, side, device=options.device, dtype=dtype
            )
            run = partial(
                in_inference_mode, step, pixels.contiguous(memory_format=layout)
            )
            one = Forward(run, batch, str(layout).removeprefix("torch."))
            run()
            tried.append(
                (min(one.spent(batch, options) for _ in range(SEARCHED)), step, one)
            )
    _, step, best = min(tried, key=lambda trial: trial[0])
    run = partial(
        in_inference_mode, compile_if_wanted(step, options.compile), *best.run.args[1:]
    )
    run()
    return Forward(run, best.frames, best.layout)


def to_head(net: Any, head: str) -> Callable[[torch.Tensor], Any]:
    """Return a net's forward pass up to its head's answer."""
    return lambda pixels: getattr(net, head)(net.extract_feat(pixels))


@torch.inference_mode()
def in_inference_mode(step: Callable[[torch.Tensor], Any], pixels: torch.Tensor) -> Any:
    """Run a forward pass without what a backward pass would need."""
    return step(pixels)


def prepared(
    options: argparse.Namespace, folder: Path, profile: dict[str, float]
) -> tuple[dict[str, Way], dict[str, str]]:
    """Return the chosen ways but the limit, and why MMPose's inferencer cannot run
    where it cannot."""
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
        ways["ours"] = our_way(options, folder / "videos", folder, profile)
    return ways, refused


class Spent(NamedTuple):
    """Seconds by the clock and of the processor, over all threads of this process."""

    wall: float
    processor: float


def timed(way: Callable[[], Any], options: argparse.Namespace) -> tuple[Spent, Any]:
    """Return what one call took, the device's queue emptied before and after, and what
    it returned."""
    synchronise = torch.cuda.synchronize if options.device != "cpu" else lambda: None
    synchronise()
    start, spent = time.perf_counter(), time.process_time()
    answer = way()
    synchronise()
    return Spent(time.perf_counter() - start, time.process_time() - spent), answer
