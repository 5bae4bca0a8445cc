"""How near extraction comes to its networks' own rate, and how far ahead it is of
MMDetection's and MMPose's functions.

    python tools/bench_extract.py --preset w32 --device cuda --precision bf16 --markdown
    python tools/bench_extract.py --ways "" --growth 10,100,1000 --backbone w8
    --input-size 64

Drawn dives are written as small video files, and the same frames go with the same
weights, precision and flip test through four ways, in turn, `--rounds` times over;
ratios are paired by round, since a shared machine drifts:

* limit: the forward passes alone, on tensors that are ready, of both networks with their batch norms folded into the
  convolutions, at the best of `--raw-batches` and memory layouts. The detector's is its backbone, neck and head up to
  the head's scores and distances, without decoding and non-maximum suppression; the pose network's is that of the
  doubled batch of the flip test up to the heatmaps. A frame costs one of each.
* loop: what a user would write: cv2.VideoCapture, then `inference_detector` and `inference_topdown` on the best box.
* inferencer: `MMPoseInferencer` on each video file, with the same networks.
* ours: `extract` on the folder of videos: hashes, decoding, both networks, tracking, repair, writing.

Without `--pose-model` and `--detector-model` the weights are random. Since a random
detector finds nothing, or noise, its head's answer is then replaced, after it was
computed, by one that is sure of a single place: exactly one box a frame passes its
decoding and suppression, the same one in every way, and each way is checked to have
estimated as many poses as there are frames. With real models the loop takes the best
box, ours the tracked one and the inferencer every box above 0.3; the poses of each
stand in the table.

In mixed precision the limit's networks are cast as a whole; loop and inferencer run under
autocast with the pose head's heatmaps made float, without which MMPose cannot decode
them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from extraction_ways import (
    LIMITS,
    NETWORKS,
    Forward,
    Spent,
    Way,
    extraction,
    forwards,
    load_ours,
    posed,
    prepare,
    prepared,
    random_models,
    settings_of,
    timed,
    write_clips,
    write_links,
)

from finediving_pose import console

Ratios = dict[str, float]

WAYS = ("limit", "loop", "inferencer", "ours")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    options = parsed(arguments)
    console.setup_logging()
    prepare(options)
    if options.growth_run:
        print(json.dumps(extracted(options, Path(options.growth_run))))
        return
    with (
        tempfile.TemporaryDirectory(prefix="bench_extract_") as folder,
        redirect_stdout(sys.stderr),
    ):
        result = measured(options, Path(folder))
    if options.json:
        Path(options.json).write_text(
            json.dumps(result, indent=2) + "\n", encoding="utf-8"
        )
    print(as_markdown(result) if options.markdown else json.dumps(result, indent=2))


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--preset",
        default="tiny",
        choices=NETWORKS,
        help="the networks: presets of pose network and detector",
    )
    add(
        "--backbone",
        choices=["w48", "w32", "w16", "w8"],
        help="another HRNet than the preset's",
    )
    add(
        "--input-size",
        type=int,
        help="px of the pose network's crop, another than the preset's",
    )
    add(
        "--variant",
        choices=["m", "s", "tiny", "nano"],
        help="another RTMDet than the preset's",
    )
    add(
        "--image-size",
        type=int,
        help="px of the detector's square, another than the preset's",
    )
    add(
        "--pose-model",
        metavar="DIR",
        help="a trained model in the place of random weights",
    )
    add("--detector-model", metavar="DIR", help="likewise")
    add(
        "--precision",
        default="fp32",
        choices=["fp32", "bf16", "fp16"],
        help="of both networks, in every way",
    )
    add("--no-flip-test", action="store_true", help="no mirror images, in every way")
    add("--device", default="cpu", help="cpu, cuda or cuda:N")
    add("--threads", type=int, help="threads of torch and of OpenCV")
    add(
        "--ways",
        default=",".join(WAYS),
        help=f"which are timed, of {','.join(WAYS)}; '' = none",
    )
    add("--clips", type=int, default=4, help="video files")
    add("--frames", type=int, default=96, help="frames of each, at most 96")
    add("--rounds", type=int, default=5, help="how often every way is timed")
    add(
        "--raw-batches",
        default="1,2,4,8,16,32",
        help="frames of the batches that the limit is sought among",
    )
    for name, what in LIMITS.items():
        add(
            f"--{name.replace('_', '-')}",
            type=int,
            help=f"{what}, in ours; not given: what suits the machine",
        )
    add(
        "--compile",
        action="store_true",
        help="torch.compile, in ours and the limit; the other ways do not offer it",
    )
    add(
        "--growth",
        default="",
        metavar="N,N",
        help="numbers of clips, each extracted by a process of its own",
    )
    add(
        "--project",
        type=int,
        default=288_000,
        metavar="N",
        help="frames that the hours are projected for",
    )
    add("--markdown", action="store_true", help="print tables in the place of JSON")
    add("--json", metavar="FILE", help="write the JSON there too")
    add(
        "--quick",
        action="store_true",
        help="few frames and the smallest networks: whether it runs, not how fast",
    )
    add("--growth-run", help=argparse.SUPPRESS)
    add("--one-box", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    options.chosen = [way for way in options.ways.split(",") if way]
    if unknown := set(options.chosen) - set(WAYS):
        parser.error(
            f"--ways {','.join(sorted(unknown))}: expected some of {','.join(WAYS)}"
        )
    if not 2 <= options.frames <= 96:
        parser.error(f"--frames {options.frames}: expected 2 to 96")
    if bool(options.pose_model) != bool(options.detector_model):
        parser.error("expected --pose-model and --detector-model together, or neither")
    if options.quick:
        quick = {
            "backbone": "w8",
            "input_size": 64,
            "variant": "nano",
            "image_size": 64,
            "raw_batches": "2",
        }
        vars(options).update(quick, clips=1, frames=4, rounds=2)
    return options


def measured(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Draw, make the networks, and time what is asked for."""
    videos = folder / "videos"
    write_clips(videos, options.clips, options.frames)
    if not options.pose_model:
        options.pose_model, options.detector_model = random_models(options, folder)
        options.one_box = True
    result: dict[str, Any] = {
        "machine": machine(options),
        "networks": networks(options),
    }
    if options.chosen:
        result |= compared(options, folder)
    counts = [int(number) for number in options.growth.split(",") if number]
    if counts:
        result["growth"] = [grown(options, folder, count) for count in counts]
    result["projection"] = projection(result, options.project)
    return result


class Timings:
    """Seconds a frame of each way, a number a round; of the limit, of each network too."""

    def __init__(self) -> None:
        self.spent: dict[str, list[Spent]] = defaultdict(list)

    def rate(self, way: str) -> float:
        """Return frames per second, the median."""
        return round(1 / statistics.median(spent.wall for spent in self.spent[way]), 2)

    def processor_ms(self, way: str) -> float:
        """Return milliseconds of the processor a frame, the median."""
        return round(
            1000 * statistics.median(spent.processor for spent in self.spent[way]), 2
        )

    def ours_over(self, way: str) -> dict[str, Ratios]:
        """Return how many times as fast as `way` ours is: by the clock and in processor
        time, paired by round."""
        pairs = list(zip(self.spent[way], self.spent["ours"], strict=True))
        return {
            "wall": ratios([other.wall / ours.wall for other, ours in pairs]),
            "processor": ratios(
                [other.processor / ours.processor for other, ours in pairs]
            ),
        }


def ratios(paired: Sequence[float]) -> Ratios:
    """Return the smallest, the median and the largest."""
    numbers = {
        "min": min(paired),
        "median": statistics.median(paired),
        "max": max(paired),
    }
    return {name: round(number, 3) for name, number in numbers.items()}


def compared(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Time the chosen ways in turn."""
    profile: dict[str, float] = {}
    ways, refused = prepared(options, folder, profile)
    limit = forwards(options) if "limit" in options.chosen else {}
    frames = options.clips * options.frames
    poses = {name: posed(way()) for name, way in ways.items()}  # a warm-up, too
    if options.one_box and set(poses.values()) - {frames}:
        raise SystemExit(f"expected a pose in each of {frames} frames, found {poses}")
    timings = Timings()
    for _ in range(options.rounds):
        time_once(timings, limit, ways, frames, options)
    names = [way for way in WAYS if way in timings.spent]
    others = [way for way in names if way != "ours"] if "ours" in names else []
    return {
        "frames": frames,
        "rounds": options.rounds,
        "frames_per_second": {way: timings.rate(way) for way in names},
        "processor_ms_a_frame": {way: timings.processor_ms(way) for way in names},
        "ours_over": {way: timings.ours_over(way) for way in others},
        "limit_is": {
            name: {
                "frames_per_second": timings.rate(name),
                "batch": forward.frames,
                "layout": forward.layout,
            }
            for name, forward in limit.items()
        },
        "poses": poses,
        "cannot_run": refused,
        "profile_of_ours": profile,
    }


def time_once(
    timings: Timings,
    limit: Mapping[str, Forward],
    ways: Mapping[str, Way],
    frames: int,
    options: argparse.Namespace,
) -> None:
    """Time everything once, one after the other."""
    if limit:
        parts = {
            name: forward.spent(frames, options) for name, forward in limit.items()
        }
        for name, spent in parts.items():
            timings.spent[name].append(spent)
        timings.spent["limit"].append(
            Spent(*map(sum, zip(*parts.values(), strict=True)))
        )
    for name, way in ways.items():
        spent, _ = timed(way, options)
        timings.spent[name].append(Spent(*(seconds / frames for seconds in spent)))


def grown(options: argparse.Namespace, folder: Path, clips: int) -> dict[str, Any]:
    """Extract so many clips in a process of its own; return its memory and rate."""
    videos = folder / f"growth{clips}"
    write_links(folder / "drawn", videos / "bench", clips)
    given: dict[str, Any] = {
        "--growth-run": videos,
        "--pose-model": options.pose_model,
        "--detector-model": options.detector_model,
        "--precision": options.precision,
        "--device": options.device,
        "--frames": options.frames,
        "--threads": options.threads,
        **{f"--{name.replace('_', '-')}": getattr(options, name) for name in LIMITS},
    }
    command = [sys.executable, "-W", "ignore", __file__]
    command += [
        str(part)
        for name, value in given.items()
        if value is not None
        for part in (name, value)
    ]
    command += (
        ["--no-flip-test"] * options.no_flip_test
        + ["--one-box"] * options.one_box
        + ["--compile"] * options.compile
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"extracting {clips} clips failed:\n{done.stderr}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def extracted(options: argparse.Namespace, videos: Path) -> dict[str, Any]:
    """Extract a folder of clips and return memory and rate: the work of the growth's
    processes."""
    loaded = load_ours(options)
    spent, summary = timed(
        lambda: extraction(options, loaded, videos, videos.with_suffix(".out")),
        options,
    )
    numbers = {
        "clips": len(summary.done),
        "frames_per_second": round(summary.frames / spent.wall, 2),
        "peak_mib": round(peak_memory()),
    }
    if options.device != "cpu":
        numbers["gpu_peak_mib"] = round(
            torch.cuda.max_memory_reserved(options.device) / 2**20
        )
    return numbers


def peak_memory() -> float:
    """Return this process's largest resident memory in MiB; getrusage would count the
    one that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        return (
            next(
                int(line.split()[1])
                for line in status.read_text().splitlines()
                if line[:6] == "VmHWM:"
            )
            / 1024
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        2**20 if sys.platform == "darwin" else 2**10
    )


def projection(result: dict[str, Any], frames: int) -> dict[str, Any]:
    """Return the hours for so many frames at the rate of ours, or else of the largest
    growth run."""
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
    cores = (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count()
    )
    facts = {
        "cpu": cpu_name(),
        "cores": cores,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    return (
        facts
        if options.device == "cpu"
        else {"card": torch.cuda.get_device_name(options.device), **facts}
    )


def cpu_name() -> str:
    """Return the processor's name."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text().splitlines() if cpu.exists() else []
    names = [
        line.partition(":")[2].strip()
        for line in lines
        if line.startswith("model name")
    ]
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
    """Return the numbers as tables, with what they were measured on."""
    lines = [
        "; ".join(
            f"{name} {value}"
            for name, value in {**result["machine"], **result["networks"]}.items()
        )
    ]
    if "frames_per_second" in result:
        lines += ["", f"{result['frames']} frames, {result['rounds']} rounds", ""]
        columns = [
            "way",
            "frames/s",
            "processor ms a frame",
            "poses",
            "ours is … times as fast",
            "in processor time",
        ]
        lines += table_lines(
            columns, [table_row(result, way) for way in result["frames_per_second"]]
        )
        lines += [
            f"| {way} | cannot run: {reason} | | | | |"
            for way, reason in result["cannot_run"].items()
        ]
        lines += [
            "",
            *(
                f"limit, {name}: {shown(facts)}"
                for name, facts in result["limit_is"].items()
            ),
        ]
        lines.append(
            f"profile of the last extraction, in seconds: {shown(result['profile_of_ours'])}"
        )
    if rows := result.get("growth"):
        lines += [
            "",
            *table_lines(
                [name.replace("_", " ") for name in rows[0]],
                [list(row.values()) for row in rows],
            ),
        ]
    if projected := result["projection"]:
        lines += [
            "",
            "{frames} frames: {hours} hours, at the rate of {at_the_rate_of}".format(
                **projected
            ),
        ]
    return "\n".join(lines)


def table_row(result: dict[str, Any], way: str) -> list[Any]:
    """Return a way's cells; ratios as smallest, median, largest."""
    ratio = result["ours_over"].get(way, {})
    times = [
        "{min}, **{median}**, {max}".format(**ratio[kind]) if ratio else ""
        for kind in ("wall", "processor")
    ]
    numbers = [
        result[name][way] for name in ("frames_per_second", "processor_ms_a_frame")
    ]
    return [way, *numbers, result["poses"].get(way, ""), *times]


def table_lines(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Return a table."""
    head = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    return head + [f"| {' | '.join(map(str, row))} |" for row in rows]


def shown(facts: dict[str, Any]) -> str:
    """Return names and values in a line."""
    return ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in facts.items()
    )


if __name__ == "__main__":
    main()
