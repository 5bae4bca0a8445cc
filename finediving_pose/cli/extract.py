"""``fdpose extract``."""

from __future__ import annotations

import json as json_module
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from finediving_pose import console
from finediving_pose.errors import UsageError

if TYPE_CHECKING:
    from finediving_pose.extraction.engine import Equipment
    from finediving_pose.extraction.tracking import Seed
    from finediving_pose.workflows.extraction import Summary


def command(
    videos: Annotated[
        Path,
        typer.Option(
            "--videos",
            help="Folder of video files, frame folders or <match>/<dive>/<number>.jpg.",
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            help="Model directory of fdpose finetune-hrnet; synthetic: the packaged one.",
            show_default="newest in runs/hrnet",
        ),
    ] = None,
    detector: Annotated[
        str | None,
        typer.Option(
            "--detector",
            help="Model directory, synthetic, CONFIG.py,CHECKPOINT or a model-zoo config's name.",
            show_default="newest in runs/detector",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Output folder.", show_default="skeletons/<model's name>"
        ),
    ] = None,
    frames: Annotated[
        str, typer.Option("--frames", help="How many frames to sample, or all.")
    ] = "96",
    dives: Annotated[
        Path | None,
        typer.Option(
            "--dives",
            help="Names dives, cuts them out of recordings.",
            show_default="dives.csv at or above the videos",
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--annotations",
            help="FineDiving_coarse_annotation.pkl: says what is synchronised.",
        ),
    ] = None,
    seed_box: Annotated[
        str | None,
        typer.Option(
            "--seed-box", help="Whom to follow in a single clip: frame,x1,y1,x2,y2."
        ),
    ] = None,
    seeds: Annotated[
        Path | None,
        typer.Option(
            "--seeds", help="Labels whose boxes say whom to follow in each clip."
        ),
    ] = None,
    persons: Annotated[
        int,
        typer.Option("--persons", min=1, max=2, help="2 = a second diver as …_2.npz."),
    ] = 1,
    tracker: Annotated[
        str, typer.Option("--tracker", help="nearest box, or cheapest path.")
    ] = "nearest",
    max_gap: Annotated[
        int,
        typer.Option("--max-gap", min=0, help="Longest gap to fill, in source frames."),
    ] = 10,
    extend_ends: Annotated[
        bool, typer.Option(help="Fill up to --max-gap beyond the first and last joint.")
    ] = False,
    repair: Annotated[
        bool,
        typer.Option(
            help="Exchange sides, remove outliers, fill gaps; else joints as the net saw them."
        ),
    ] = True,
    smooth: Annotated[
        int,
        typer.Option(
            "--smooth", min=0, help="Savitzky-Golay window in frames, odd; 0 = off."
        ),
    ] = 0,
    min_score: Annotated[
        float,
        typer.Option(
            "--min-score", min=0, max=1, help="Joints below count as missing."
        ),
    ] = 0.0,
    channels: Annotated[
        int, typer.Option("--channels", min=2, max=3, help="3 = x, y, score in pred.")
    ] = 2,
    flip_test: Annotated[
        bool, typer.Option(help="Average with the mirrored crop.")
    ] = True,
    tta: Annotated[
        Literal["none", "rotate4"],
        typer.Option(
            "--tta", help="rotate4: average over the crop's quarter turns too."
        ),
    ] = "none",
    second_look: Annotated[
        bool,
        typer.Option(
            "--second-look",
            help="Estimate again in a box around the joints found first.",
        ),
    ] = False,
    detect_every: Annotated[
        int,
        typer.Option(
            "--detect-every",
            min=1,
            help="Detect in every n-th sampled frame, fill boxes in between.",
        ),
    ] = 1,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            min=1,
            help="Crops of a pose batch.",
            show_default="32, on a GPU 64",
        ),
    ] = None,
    detector_batch: Annotated[
        int | None,
        typer.Option(
            "--detector-batch",
            min=1,
            help="Frames of a detector batch.",
            show_default="8, on a GPU 32",
        ),
    ] = None,
    decoders: Annotated[
        int | None,
        typer.Option(
            "--decoders",
            min=1,
            help="Threads that decode clips.",
            show_default="by the cores",
        ),
    ] = None,
    helpers: Annotated[
        int | None,
        typer.Option(
            "--helpers",
            min=0,
            help="Processes that track and repair.",
            show_default="by the cores, on a GPU",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")
    ] = "auto",
    precision: Annotated[
        Literal["fp32", "bf16", "fp16"],
        typer.Option("--precision", help="Of the networks; bf16 is faster on GPUs."),
    ] = "fp32",
    compile: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="torch.compile the networks: minutes at the start, faster from then on.",
        ),
    ] = False,
    overlay: Annotated[
        bool, typer.Option("--overlay", help="Write overlays/<match>/<dive>.mp4.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Redo what is done.")
    ] = False,
    engine: Annotated[
        Literal["local", "ray"],
        typer.Option("--engine", help="This machine, or those of a Ray cluster."),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            help="Of the Ray cluster, such as auto.",
            show_default="one on this machine",
        ),
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            min=0,
            help="Of the Ray cluster; 0 = one for each GPU, else for each core.",
        ),
    ] = 0,
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            help="I/N: only part I of N of the clips, for job arrays; all write to one --out.",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON.")
    ] = False,
) -> None:
    """Turn video into skeletons: detect, track, estimate joints, repair them; a file
    for each dive.

    A rerun skips what is done with the same input, models and settings. Exit code 1 if
    some clips failed (failures.csv says why), 3 if none could be used, 130 if
    interrupted, by Ctrl-C or SIGTERM.

    Example: fdpose extract --videos videos --overlay

    Example: fdpose extract --videos videos --model runs/hrnet/mine --detector
    runs/detector/mine --out skeletons/mine
    """
    from finediving_pose.config import validate_settings
    from finediving_pose.extraction.settings import ExtractionSettings
    from finediving_pose.extraction.shards import WHOLE, Shard
    from finediving_pose.networks import NetworkOptions
    from finediving_pose.workflows.extraction import (
        Networks,
        check_request,
        equip,
        extract_with,
    )
    from finediving_pose.workflows.model_loading import newest_model

    values = {
        "frames": _frames(frames),
        "detect_every": detect_every,
        "persons": persons,
        "min_score": min_score,
        "max_gap": max_gap,
        "extend_ends": extend_ends,
        "channels": channels,
        "tracking": {"tracker": tracker},
        "repair": {"enabled": repair, "smooth": smooth},
    }
    if not repair and (smooth or extend_ends):
        raise UsageError(
            "--no-repair leaves the joints as the net saw them; leave out --smooth and --extend-ends"
        )
    if seed_box is not None and seeds is not None:
        raise UsageError(
            "--seed-box, --seeds: both say whom to follow; give one of the two"
        )
    seed = _seed(seed_box) if seed_box is not None else None
    part = Shard.parse(shard) if shard is not None else WHOLE
    settings = validate_settings(ExtractionSettings, values, "extract")
    model = model or newest_model("pose")
    detector = detector or str(newest_model("detector"))
    out = out or Path("skeletons") / model.resolve().name
    check_request(videos, out, settings)
    if engine == "local" and (address or workers):
        raise UsageError(
            "--address and --workers are of a Ray cluster; add --engine ray"
        )
    if engine == "ray" and shard is not None:
        raise UsageError(
            "--shard, --engine ray: Ray shares out the clips itself; give one of the two"
        )
    wished = {
        "pose_batch": batch_size,
        "detector_batch": detector_batch,
        "decoders": decoders,
        "helpers": helpers,
    }
    if engine == "ray":  # workers have another current folder, and share the cores
        detector, model = _absolute(detector), Path(_absolute(str(model)))
        wished |= {"decoders": decoders or 1, "helpers": helpers or 0}
    options = NetworkOptions(
        device=device,
        precision=precision,
        compile=compile,
        flip_test=flip_test,
        tta=tta,
        second_look=second_look,
    )
    networks = Networks(detector, model, options)
    make = partial(equip, networks, settings, wished)
    with _sigterm_interrupts(), _told():
        summary = extract_with(
            make
            if engine == "local"
            else partial(_cluster, make, address, workers, device),
            videos,
            out,
            settings,
            dives=dives or _default_dives(videos),
            annotations=annotations,
            seeds=seeds,
            seed_box=seed,
            overlay=overlay,
            overwrite=overwrite,
            shard=part,
        )
    print(_as_json(summary) if json else _as_text(summary))
    raise typer.Exit(summary.exit_code)


def _cluster(
    make: Callable[[], Equipment], address: str | None, workers: int, device: str
) -> Equipment:
    """Return the workers of a Ray cluster as one engine."""
    from finediving_pose.extraction.engine import Equipment
    from finediving_pose.extraction.ray_engine import Need, RayEngine

    engine = RayEngine(make, address, workers, Need() if device == "cpu" else None)
    return Equipment(engine, engine.identity)


def _absolute(model: str) -> str:
    """Return a model's name as it is read from any folder: what is a path here becomes
    absolute."""
    parts = [Path(part) for part in model.split(",")]
    return ",".join(
        str(part.resolve()) if part.exists() else str(part) for part in parts
    )


@contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM, by which batch systems end a job, do what Ctrl-C does: drop the
    current clips, keep the others."""
    if (
        threading.current_thread() is not threading.main_thread()
    ):  # only there can a handler be set
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _told() -> Iterator[None]:
    """Say what an interrupt leaves."""
    try:
        yield
    except KeyboardInterrupt:
        console.log.warning(
            "interrupted; finished clips are kept, and the same command goes on with the rest"
        )
        raise


def _frames(text: str) -> int | None:
    if text == "all":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--frames {text!r}: expected a number of frames, or all")
    return int(text)


def _seed(text: str) -> Seed:
    import numpy as np

    from finediving_pose.extraction.tracking import Seed

    try:
        frame, *box = (float(part) for part in text.split(","))
        if not np.isfinite(box).all():
            raise ValueError
    except ValueError:
        frame, box = -1.0, []
    if (
        len(box) != 4
        or frame < 0
        or not frame.is_integer()
        or not (box[2] > box[0] and box[3] > box[1])
    ):
        raise UsageError(
            f"--seed-box {text!r}: expected frame,x1,y1,x2,y2 with x1 < x2 and y1 < y2, frame from 0"
        )
    return Seed(int(frame), np.array(box, np.float32))


def _default_dives(videos: Path) -> Path | None:
    folder = videos if videos.is_dir() else videos.parent
    for place in (folder / "dives.csv", folder.resolve().parent / "dives.csv"):
        if place.is_file():
            console.log.info("dives are named by %s", place)
            return place
    return None


def _as_text(summary: Summary) -> str:
    from finediving_pose.workflows.extraction import describe

    lines = [
        f"{len(summary.done)} clips extracted, {len(summary.skipped)} already done, {len(summary.failed)} failed"
    ]
    if summary.done:
        lines.append(describe(summary.seconds, summary.wall, summary.frames))
    if summary.empty:
        lines.append(
            f"nobody was found in {len(summary.empty)} of them (NaN throughout): {_some(summary.empty)}"
        )
    if summary.failed:
        lines.append(f"why they failed: {summary.out / 'failures.csv'}")
    return "\n".join(
        [
            *lines,
            f"skeletons: {summary.out / 'Pose'}",
            f"quality: {summary.out / 'quality.csv'}",
        ]
    )


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:5]) + (" …" if len(keys) > 5 else "")


def _as_json(summary: Summary) -> str:
    return json_module.dumps(
        {
            "out": str(summary.out),
            "done": summary.done,
            "skipped": summary.skipped,
            "failed": [
                {"clip": clip, "reason": reason} for clip, reason in summary.failed
            ],
            "empty": summary.empty,
            "profile": summary.profile(),
        },
        ensure_ascii=False,
    )
