"""``fdpose extract``."""

from __future__ import annotations

import json as json_module
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from finediving_pose import console
from finediving_pose.errors import UsageError

if TYPE_CHECKING:
    from finediving_pose.extraction.engine import Equipment
    from finediving_pose.extraction.settings import ExtractionSettings
    from finediving_pose.extraction.track_tools import Seed
    from finediving_pose.workflows.extraction import Summary


class Command(TyperCommand):
    """Names the registered trackers in its help; the registry is read only then, so
    that other commands start without it."""

    def format_help(self, *context: Any) -> None:
        """Write the help."""
        for option in self.params:
            if option.name == "tracker":
                option.metavar = f"<{'|'.join(list_trackers())}>"
        super().format_help(*context)


def list_trackers(begun: str = "") -> list[str]:
    """Return the names of the registered trackers that begin so."""
    from finediving_pose.extraction.trackers import TRACKERS

    return [name for name in TRACKERS if name.startswith(begun)]


FILES = "Files"
ATHLETE = "The athlete to follow"
JOINTS = "Joints and their repair"
NETWORKS = "Networks"
SPEED = "Speed"
MACHINES = "Several machines"
ANSWER = "Answer"

OverridesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        help="Settings as key=value, such as tracking.max_absence=80; "
        "--show-settings lists them."
    ),
]
PresetOption = Annotated[
    str,
    typer.Option(
        "--preset",
        help="Settings: default, or a YAML file; an option or key=value goes before it.",
    ),
]
ShowSettingsOption = Annotated[
    bool,
    typer.Option(
        "--show-settings",
        help="Print all settings as YAML, with what was given, and do nothing.",
    ),
]

VideosOption = Annotated[
    Path | None,
    typer.Option(
        "--videos",
        help="Folder of video files, frame folders or <match>/<dive>/<number>.jpg.",
        show_default="required",
        rich_help_panel=FILES,
    ),
]
OutOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Output folder.",
        show_default="skeletons/<model's name>",
        rich_help_panel=FILES,
    ),
]
DivesOption = Annotated[
    Path | None,
    typer.Option(
        "--dives",
        help="Names dives, cuts them out of recordings.",
        show_default="dives.csv at or above the videos",
        rich_help_panel=FILES,
    ),
]
AnnotationsOption = Annotated[
    Path | None,
    typer.Option(
        "--annotations",
        help="FineDiving_coarse_annotation.pkl: says what is synchronised.",
        rich_help_panel=FILES,
    ),
]
FramesOption = Annotated[
    str | None,
    typer.Option(
        "--frames",
        help="How many frames to sample, or all.",
        show_default="96",
        rich_help_panel=FILES,
    ),
]
DeinterlaceOption = Annotated[
    Literal["auto", "off", "bob"],
    typer.Option(
        "--deinterlace",
        help="Of interlaced video: auto = a frame a frame; bob = a frame a field, at "
        "twice the rate; off = as stored.",
        rich_help_panel=FILES,
    ),
]
DecodeOnOption = Annotated[
    str | None,
    typer.Option(
        "--decode-on",
        help="Device that decodes: cuda, vaapi, videotoolbox …; fdpose doctor lists them.",
        show_default="the processor",
        rich_help_panel=SPEED,
    ),
]
OverlayOption = Annotated[
    bool,
    typer.Option(
        "--overlay",
        help="Write overlays/<match>/<dive>.mp4.",
        rich_help_panel=FILES,
    ),
]
OverwriteOption = Annotated[
    bool,
    typer.Option("--overwrite", help="Redo what is done.", rich_help_panel=FILES),
]

TrackerOption = Annotated[
    str | None,
    typer.Option(
        "--tracker",
        autocompletion=list_trackers,
        help="nearest: the nearest box; path: the cheapest path of the whole clip.",
        show_default="nearest",
        rich_help_panel=ATHLETE,
    ),
]
SeedBoxOption = Annotated[
    str | None,
    typer.Option(
        "--seed-box",
        help="The athlete's box in a single clip: frame,x1,y1,x2,y2.",
        rich_help_panel=ATHLETE,
    ),
]
SeedsOption = Annotated[
    Path | None,
    typer.Option(
        "--seeds",
        help="Labels whose boxes mark the athlete in each clip.",
        rich_help_panel=ATHLETE,
    ),
]
PersonsOption = Annotated[
    int | None,
    typer.Option(
        "--persons",
        min=1,
        max=2,
        help="2 = a second diver as …_2.npz.",
        show_default="1",
        rich_help_panel=ATHLETE,
    ),
]
DetectEveryOption = Annotated[
    int | None,
    typer.Option(
        "--detect-every",
        min=1,
        help="Detect in every n-th sampled frame, fill boxes in between.",
        show_default="1",
        rich_help_panel=ATHLETE,
    ),
]

RepairOption = Annotated[
    bool | None,
    typer.Option(
        "--repair/--no-repair",
        help="Undo swaps, remove outliers, fill gaps; else joints as the network saw "
        "them.",
        show_default="repair",
        rich_help_panel=JOINTS,
    ),
]
MaxGapOption = Annotated[
    int | None,
    typer.Option(
        "--max-gap",
        min=0,
        help="Longest gap to fill, in source frames.",
        show_default="10",
        rich_help_panel=JOINTS,
    ),
]
ExtendEndsOption = Annotated[
    bool | None,
    typer.Option(
        "--extend-ends/--no-extend-ends",
        help="Fill up to --max-gap beyond the first and last joint.",
        show_default="no-extend-ends",
        rich_help_panel=JOINTS,
    ),
]
SmoothOption = Annotated[
    int | None,
    typer.Option(
        "--smooth",
        min=0,
        help="Savitzky-Golay window in frames, odd; 0 = off.",
        show_default="0",
        rich_help_panel=JOINTS,
    ),
]
MinScoreOption = Annotated[
    float | None,
    typer.Option(
        "--min-score",
        min=0,
        max=1,
        help="Joints below count as missing.",
        show_default="0",
        rich_help_panel=JOINTS,
    ),
]
ChannelsOption = Annotated[
    int | None,
    typer.Option(
        "--channels",
        min=2,
        max=3,
        help="3 = x, y, score in pred.",
        show_default="2",
        rich_help_panel=JOINTS,
    ),
]

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model",
        help="Model directory of fdpose finetune-hrnet; synthetic: the packaged one.",
        show_default="newest in runs/hrnet",
        rich_help_panel=NETWORKS,
    ),
]
DetectorOption = Annotated[
    str | None,
    typer.Option(
        "--detector",
        help="Model directory, synthetic, CONFIG.py,CHECKPOINT or a model-zoo config's name.",
        show_default="newest in runs/detector",
        rich_help_panel=NETWORKS,
    ),
]
FlipTestOption = Annotated[
    bool,
    typer.Option(help="Average with the mirrored crop.", rich_help_panel=NETWORKS),
]
TtaOption = Annotated[
    Literal["none", "rotate4"],
    typer.Option(
        "--tta",
        help="rotate4: average over the crop's quarter turns too.",
        rich_help_panel=NETWORKS,
    ),
]
SecondLookOption = Annotated[
    bool,
    typer.Option(
        "--second-look",
        help="Estimate again in a box around the joints found first.",
        rich_help_panel=NETWORKS,
    ),
]

DeviceOption = Annotated[
    str,
    typer.Option("--device", help="auto, cpu, cuda or cuda:N.", rich_help_panel=SPEED),
]
PrecisionOption = Annotated[
    Literal["fp32", "bf16", "fp16"],
    typer.Option(
        "--precision",
        help="Of the networks; bf16 is faster on GPUs.",
        rich_help_panel=SPEED,
    ),
]
CompileOption = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="torch.compile the networks: minutes at the start, faster from then on.",
        rich_help_panel=SPEED,
    ),
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        help="Crops of a pose batch.",
        show_default="32, on a GPU 64",
        rich_help_panel=SPEED,
    ),
]
DetectorBatchOption = Annotated[
    int | None,
    typer.Option(
        "--detector-batch",
        min=1,
        help="Frames of a detector batch.",
        show_default="8, on a GPU 32",
        rich_help_panel=SPEED,
    ),
]
DecodersOption = Annotated[
    int | None,
    typer.Option(
        "--decoders",
        min=1,
        help="Threads that decode clips.",
        show_default="by the cores",
        rich_help_panel=SPEED,
    ),
]
HelpersOption = Annotated[
    int | None,
    typer.Option(
        "--helpers",
        min=0,
        help="Worker processes that track and repair.",
        show_default="by the cores, on a GPU",
        rich_help_panel=SPEED,
    ),
]

ShardOption = Annotated[
    str | None,
    typer.Option(
        "--shard",
        help="I/N: only part I of N of the clips, for job arrays; all write to one --out.",
        rich_help_panel=MACHINES,
    ),
]
EngineOption = Annotated[
    Literal["local", "ray"],
    typer.Option(
        "--engine",
        help="This machine, or those of a Ray cluster.",
        rich_help_panel=MACHINES,
    ),
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        help="Of the Ray cluster, such as auto.",
        show_default="one on this machine",
        rich_help_panel=MACHINES,
    ),
]
WorkersOption = Annotated[
    int,
    typer.Option(
        "--workers",
        min=0,
        help="Of the Ray cluster; 0 = one for each GPU, else for each core.",
        rich_help_panel=MACHINES,
    ),
]
JsonOption = Annotated[
    bool,
    typer.Option("--json", help="Print the summary as JSON.", rich_help_panel=ANSWER),
]

SETTINGS_OF_OPTIONS = {
    "--frames": "frames",
    "--detect-every": "detect_every",
    "--persons": "persons",
    "--min-score": "min_score",
    "--max-gap": "max_gap",
    "--extend-ends": "extend_ends",
    "--channels": "channels",
    "--tracker": "tracking.tracker",
    "--repair": "repair.enabled",
    "--smooth": "repair.smooth",
}
"""The key that each option sets."""


def command(
    overrides: OverridesArgument = None,
    preset: PresetOption = "default",
    show_settings: ShowSettingsOption = False,
    videos: VideosOption = None,
    out: OutOption = None,
    dives: DivesOption = None,
    annotations: AnnotationsOption = None,
    frames: FramesOption = None,
    deinterlace: DeinterlaceOption = "auto",
    overlay: OverlayOption = False,
    overwrite: OverwriteOption = False,
    tracker: TrackerOption = None,
    seed_box: SeedBoxOption = None,
    seeds: SeedsOption = None,
    persons: PersonsOption = None,
    detect_every: DetectEveryOption = None,
    repair: RepairOption = None,
    max_gap: MaxGapOption = None,
    extend_ends: ExtendEndsOption = None,
    smooth: SmoothOption = None,
    min_score: MinScoreOption = None,
    channels: ChannelsOption = None,
    model: ModelOption = None,
    detector: DetectorOption = None,
    flip_test: FlipTestOption = True,
    tta: TtaOption = "none",
    second_look: SecondLookOption = False,
    device: DeviceOption = "auto",
    precision: PrecisionOption = "fp32",
    compile: CompileOption = False,
    batch_size: BatchSizeOption = None,
    detector_batch: DetectorBatchOption = None,
    decode_on: DecodeOnOption = None,
    decoders: DecodersOption = None,
    helpers: HelpersOption = None,
    shard: ShardOption = None,
    engine: EngineOption = "local",
    address: AddressOption = None,
    workers: WorkersOption = 0,
    json: JsonOption = False,
) -> None:
    """Turn video into skeletons: detect, track, estimate joints, repair them; a file
    for each dive.

    A rerun skips what is done with the same input, models and settings. Exit code 1 if
    some clips failed (failures.csv says why), 3 if none could be used, 130 if
    interrupted, by Ctrl-C or SIGTERM.

    Example: fdpose extract --videos videos --overlay

    Example: fdpose extract --videos videos --model runs/hrnet/mine --detector
    runs/detector/mine --out skeletons/mine

    Example: fdpose extract --videos videos --tracker path tracking.max_absence=80
    """
    from finediving_pose.extraction.shards import WHOLE, Shard
    from finediving_pose.media import Reading
    from finediving_pose.network_interfaces import NetworkOptions
    from finediving_pose.workflows.extraction import (
        Networks,
        Request,
        extract_with,
        load_equipment,
    )
    from finediving_pose.workflows.model_loading import newest_model

    settings = _read_settings(
        preset,
        overrides or [],
        {
            "--frames": _read_frames(frames),
            "--detect-every": detect_every,
            "--persons": persons,
            "--min-score": min_score,
            "--max-gap": max_gap,
            "--extend-ends": extend_ends,
            "--channels": channels,
            "--tracker": tracker,
            "--repair": repair,
            "--smooth": smooth,
        },
    )
    if show_settings:
        import yaml

        values = settings.list_values()
        print(yaml.safe_dump(values, sort_keys=False).rstrip())
        return
    if videos is None:
        raise UsageError("Missing option '--videos': name the folder of the clips")
    if seed_box is not None and seeds is not None:
        raise UsageError(
            "--seed-box, --seeds: both say whom to follow; give one of the two"
        )
    if engine == "local" and (address or workers):
        raise UsageError(
            "--address and --workers are of a Ray cluster; add --engine ray"
        )
    if engine == "ray" and shard is not None:
        raise UsageError(
            "--shard, --engine ray: Ray shares out the clips itself; give one of the two"
        )
    seed = _read_seed(seed_box)
    part = WHOLE if shard is None else Shard.parse(shard)
    model = model or newest_model("pose")
    detector = detector or str(newest_model("detector"))
    request = Request(
        videos=videos,
        out=out or Path("skeletons") / model.resolve().name,
        settings=settings,
        dives=dives or _find_dives(videos),
        annotations=annotations,
        seeds=seeds,
        seed_box=seed,
        overlay=overlay,
        overwrite=overwrite,
        reading=Reading(deinterlace, decode_on),
        shard=part,
    )
    request.check()
    wished = {
        "pose_batch": batch_size,
        "detector_batch": detector_batch,
        "decoders": decoders,
        "helpers": helpers,
    }
    if engine == "ray":  # workers have another current folder, and share the cores
        detector, model = _make_absolute(detector), Path(_make_absolute(str(model)))
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
    equip: Callable[[], Equipment] = partial(load_equipment, networks, settings, wished)
    if engine == "ray":
        equip = partial(_join_cluster, equip, address, workers, device)
    with _interrupt_on_sigterm(), _explain_interrupts():
        summary = extract_with(equip, request)
    print(_format_json(summary) if json else _format_text(summary))
    raise typer.Exit(summary.exit_code)


def _read_settings(
    preset: str, overrides: list[str], options: Mapping[str, Any]
) -> ExtractionSettings:
    """Return the settings of a preset, ``key=value`` texts and options.

    Raises:
        UsageError: If an option and a text set the same key, or it is not usable.
    """
    from finediving_pose.extraction.settings import load_extraction

    given = {}
    for option, value in options.items():
        if value is None:
            continue
        key = SETTINGS_OF_OPTIONS[option]
        for text in overrides:
            if text.partition("=")[0].strip() == key:
                raise UsageError(
                    f"{option} and {text}: both set {key}; give one of the two"
                )
        given[key] = value
    settings = load_extraction(preset, overrides, given)
    if not settings.repair.enabled and (settings.repair.smooth or settings.extend_ends):
        raise UsageError(
            "--no-repair leaves the joints as the network saw them; leave out --smooth and --extend-ends"
        )
    return settings


def _join_cluster(
    equip: Callable[[], Equipment], address: str | None, workers: int, device: str
) -> Equipment:
    """Return the workers of a Ray cluster as one engine."""
    from finediving_pose.extraction.engine import Equipment
    from finediving_pose.extraction.ray_engine import Need, RayEngine

    need = Need() if device == "cpu" else None
    engine = RayEngine(equip, address, workers, need)
    return Equipment(engine, engine.identity)


def _make_absolute(model: str) -> str:
    """Return a model's name as it is read from any folder: parts that are paths here
    become absolute."""
    parts = []
    for part in model.split(","):
        path = Path(part)
        parts.append(str(path.resolve()) if path.exists() else part)
    return ",".join(parts)


@contextmanager
def _interrupt_on_sigterm() -> Iterator[None]:
    """Let SIGTERM, by which batch systems end a job, do what Ctrl-C does: drop the
    current clips, keep the others."""
    # Only the main thread can set a handler.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _explain_interrupts() -> Iterator[None]:
    """Say what an interrupt leaves."""
    try:
        yield
    except KeyboardInterrupt:
        console.log.warning(
            "interrupted; finished clips are kept, and the same command goes on with the rest"
        )
        raise


def _read_frames(text: str | None) -> int | str | None:
    if text is None or text == "all":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--frames {text!r}: expected a number of frames, or all")
    return int(text)


def _read_seed(text: str | None) -> Seed | None:
    import numpy as np

    from finediving_pose.datasets.problems import FARTHEST
    from finediving_pose.extraction.track_tools import Seed

    if text is None:
        return None
    try:
        frame, x1, y1, x2, y2 = (float(part) for part in text.split(","))
    except ValueError:
        usable = False
    else:
        usable = 0 <= frame < 2**53 and frame.is_integer() and x1 < x2 and y1 < y2
        usable = usable and bool((np.abs([x1, y1, x2, y2]) <= FARTHEST).all())
    if not usable:
        raise UsageError(
            f"--seed-box {text!r}: expected frame,x1,y1,x2,y2 with x1 < x2 and y1 < y2, frame from 0"
        )
    return Seed(int(frame), np.array([x1, y1, x2, y2], np.float32))


def _find_dives(videos: Path) -> Path | None:
    folder = videos if videos.is_dir() else videos.parent
    for path in (folder / "dives.csv", folder.resolve().parent / "dives.csv"):
        if path.is_file():
            console.log.info("dives are named by %s", path)
            return path
    return None


def _format_text(summary: Summary) -> str:
    from finediving_pose.workflows.extraction import describe_profile

    done = console.format_count(len(summary.done), "clip")
    skipped, failed = len(summary.skipped), len(summary.failed)
    lines = [f"{done} extracted, {skipped} already done, {failed} failed"]
    if summary.done:
        lines.append(describe_profile(summary.seconds, summary.wall, summary.frames))
    if summary.empty:
        names = ", ".join(summary.empty[:5]) + (" …" if len(summary.empty) > 5 else "")
        lines.append(
            f"nobody was found in {len(summary.empty)} of them (NaN throughout): {names}"
        )
    if summary.failed:
        lines.append(f"why they failed: {summary.out / 'failures.csv'}")
    lines.append(f"skeletons: {summary.out / 'Pose'}")
    lines.append(f"quality: {summary.out / 'quality.csv'}")
    return "\n".join(lines)


def _format_json(summary: Summary) -> str:
    failed = [{"clip": clip, "reason": reason} for clip, reason in summary.failed]
    answer = {
        "out": str(summary.out),
        "done": summary.done,
        "skipped": summary.skipped,
        "failed": failed,
        "empty": summary.empty,
        "profile": summary.profile(),
    }
    return json_module.dumps(answer, ensure_ascii=False)
