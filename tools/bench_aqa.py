"""Cost of the score model: encoder passes of an evaluation, training steps, and
decoding against device time.

    python tools/bench_aqa.py [--what evaluation,step,decoding] [--preset paper]
                              [--device cpu] [--meet DIR] [key=value]

evaluation  Scores of the test dives by their exemplars: each video encoded once,
            against the pairwise way, which encodes query and exemplar for every pair.
            Both read from memory, on the same device, batch and precision.
step        Forward, backward and Adam on random videos: time, peak memory, and the
            arithmetic bound, which is the step's FLOPs (matrix products and
            convolutions) over the card's dense peak.
decoding    Batches of pairs from the disk: the loader alone, the step alone, and both,
            with decoded frames cached and not.

A meet is what `fdpose synth` writes; without --meet one of 24 dives is made. Exemplars
are random training dives here, so that few dives give each query its ten; which they
are makes no difference to time.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from finediving_pose import console
from finediving_pose.aqa.batch import Video, Videos, collate_pairs
from finediving_pose.aqa.data.dataset import EpochOrder, PairDataset
from finediving_pose.aqa.data.dives import AqaDive
from finediving_pose.aqa.data.exemplars import ExemplarPool
from finediving_pose.aqa.data.sources import (
    Parts,
    Prepared,
    Sources,
    divide_dives,
    prepare_data,
)
from finediving_pose.aqa.inference import (
    InferenceOptions,
    autocast,
    choose_exemplars,
    move_videos,
    predict_dives,
)
from finediving_pose.aqa.model.hpmcore import HPMCoRe
from finediving_pose.aqa.settings import AqaSettings, Precision, load_aqa

DIVES = 24
KINDS = ("evaluation", "step", "decoding")
RANDOM_EXEMPLARS = "exemplar_choice=random"

DENSE_PEAKS: dict[str, dict[str, float]] = {
    "H100 PCIe": {"fp32": 51, "tf32": 378, "bf16": 756},
    "H100": {"fp32": 67, "tf32": 495, "bf16": 989},
    "H200": {"fp32": 67, "tf32": 495, "bf16": 989},
    "A100": {"fp32": 19.5, "tf32": 156, "bf16": 312},
    "L40S": {"fp32": 91.6, "tf32": 183, "bf16": 362},
    "A10": {"fp32": 31.2, "tf32": 62.5, "bf16": 125},
    "L4": {"fp32": 30.3, "tf32": 60, "bf16": 121},
    "RTX 4090": {"fp32": 82.6, "tf32": 82.6, "bf16": 165},
}
"""TFLOP/s without sparsity, from the makers' data sheets, by a part of the card's name;
the first that fits counts."""


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", help="settings as key=value")
    parser.add_argument("--what", default=",".join(KINDS))
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--meet", type=Path, help="a folder that fdpose synth wrote")
    parser.add_argument(
        "--queries", type=int, help="at most so many test dives in the evaluation"
    )
    parser.add_argument(
        "--pairs", type=int, help="of a training batch; default: the preset's"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        help="timed steps, after one or on a GPU three to warm up",
    )
    parser.add_argument("--batches", type=int, default=4, help="in decoding")
    parser.add_argument(
        "--precisions", help="of the steps; default: fp32, on a GPU fp32,bf16"
    )
    parser.add_argument(
        "--peak-tflops",
        type=float,
        help="of the device, where the table does not know it",
    )
    parser.add_argument("--threads", type=int, help="torch's threads")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    kinds = options.what.split(",")
    if unknown := set(kinds) - set(KINDS):
        parser.error(
            f"--what {','.join(sorted(unknown))}: expected some of {','.join(KINDS)}"
        )
    console.setup_logging()
    if options.threads:
        torch.set_num_threads(options.threads)
    result = measure(kinds, options)
    print(json.dumps(result, indent=2) if options.json else format_markdown(result))


def measure(kinds: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Return the results of each kind; steps first, so that the process's peak memory
    is theirs."""
    settings = load_aqa(
        options.preset, [RANDOM_EXEMPLARS, *options.overrides], batch_size=options.pairs
    )
    result: dict[str, Any] = {
        "device": get_device_name(options.device),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "preset": " ".join([options.preset, *options.overrides]),
        "input": f"{settings.frames}x{settings.size}x{settings.size}",
        "precision": settings.precision,
    }
    if "step" in kinds:
        result["step"] = bench_steps(settings, options)
    if {"evaluation", "decoding"} & set(kinds):
        with open_meet(options.meet) as folder:
            if "evaluation" in kinds:
                result["evaluation"] = bench_evaluation(settings, folder, options)
            if "decoding" in kinds:
                result["decoding"] = bench_decoding(settings, folder, options)
    return result


def bench_evaluation(
    settings: AqaSettings, folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    """Time both ways of scoring the test dives, and compare their scores."""
    # As in evaluation, the pairwise way cuts stages where the model says.
    settings = settings.model_copy(
        update={"boundaries": "predicted", "predicted_after": 0.0}
    )
    prepared, parts = read_meet(settings, folder, None)
    queries = parts.test[: options.queries]
    loader = InMemory(prepared, [*queries, *parts.train])
    model = make_model(prepared.settings, options.device).eval()
    reading = InferenceOptions(options.device, precision=settings.precision, title="")
    with count_passes(model) as ours:
        seconds, found = time_call(
            lambda: predict_dives(
                model, queries, parts.train, loader, reading, settings.seed
            ),
            options.device,
        )
    with count_passes(model) as theirs:
        other_seconds, expected = time_call(
            lambda: score_pairwise(model, queries, parts.train, loader, options.device),
            options.device,
        )
    pairs = sum(len(each.exemplars) for each in found.dives)
    return {
        "queries": len(queries),
        "pairs": pairs,
        "distinct_videos": len(ours),
        "passes": sum(ours.values()),
        "passes_per_distinct_video": sum(ours.values()) / len(ours),
        "pairwise_passes": sum(theirs.values()),
        "pairwise_passes_per_query": sum(theirs.values()) / len(queries),
        "seconds": seconds,
        "pairwise_seconds": other_seconds,
        "times_as_fast": other_seconds / seconds,
        "largest_difference_in_points": float(np.abs(found.scores - expected).max()),
    }


def score_pairwise(
    model: HPMCoRe,
    queries: tuple[AqaDive, ...],
    train: tuple[AqaDive, ...],
    loader: Any,
    device: str,
) -> Any:
    """Return the queries' scores with both videos of every pair encoded for it, in
    batches as large as ours."""
    s = model.settings
    records = [dive.record for dive in queries]
    chosen = choose_exemplars(s, [dive.record for dive in train], records, s.seed)
    pairs = []
    for query, places in zip(queries, chosen, strict=True):
        pairs += [(query, train[at]) for at in places]
    size = max(s.videos_at_once // 2, 1)
    scores: dict[str, list[float]] = {}
    for start in range(0, len(pairs), size):
        portion = pairs[start : start + size]
        loaded = [(loader.load(one), loader.load(other)) for one, other in portion]
        videos = move_videos(collate_pairs(loaded), device)
        with torch.no_grad(), autocast(device, s.precision):
            differences = model(videos).differences
        count = len(portion)
        first = type(differences)(
            differences.delta[:count], differences.delta_k[:count], differences.weights
        )
        score, difficulty = videos.score, videos.difficulty
        single = model.scores(
            first, difficulty[:count], score[count:], difficulty[count:]
        )
        for (query, _), value in zip(portion, single.tolist(), strict=True):
            scores.setdefault(query.name, []).append(value)
    return np.array([np.mean(scores[query.name]) for query in queries])


def bench_steps(
    settings: AqaSettings, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Time training steps in each precision."""
    precisions = options.precisions
    if not precisions:
        precisions = "fp32" if is_cpu(options.device) else "fp32,bf16"
    rows = []
    for name in precisions.split(","):
        own = settings.model_copy(update={"precision": name})
        rows.append(bench_step(own, options))
    return rows


def bench_step(settings: AqaSettings, options: argparse.Namespace) -> dict[str, Any]:
    """Return time, memory and the arithmetic bound of a step with this precision."""
    device, pairs = options.device, settings.batch_size
    model = make_model(settings, device)
    optimizer = torch.optim.Adam(model.parameter_groups())
    videos = move_videos(make_random_videos(settings, 2 * pairs), device)
    if not is_cpu(device):
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(1 if is_cpu(device) else 3):
        run_train_step(model, optimizer, videos, device)
    seconds = statistics.median(
        time_call(lambda: run_train_step(model, optimizer, videos, device), device)[0]
        for _ in range(options.rounds)
    )
    memory = get_peak_memory(device)
    # Last, for counting takes memory of its own.
    with FlopCounterMode(display=False) as counter:
        run_train_step(model, optimizer, videos, device)
    flops = counter.get_total_flops()
    peak = get_peak_tflops(settings.precision, options)
    return {
        "precision": settings.precision,
        "pairs": pairs,
        "parameters": sum(model.parameter_counts().values()),
        "seconds": seconds,
        "peak_memory_mib": memory,
        "tflop": flops / 1e12,
        "tflop_per_second": flops / 1e12 / seconds,
        "peak_tflop_per_second": peak,
        "bound_seconds": flops / 1e12 / peak if peak else None,
        "share_of_peak": flops / 1e12 / seconds / peak if peak else None,
    }


def bench_decoding(
    settings: AqaSettings, folder: Path, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Time the loader alone, the step alone and both, with and without a cache."""
    with tempfile.TemporaryDirectory() as cache:
        return [
            bench_one_cache(settings, folder, path, options)
            for path in (None, Path(cache))
        ]


def bench_one_cache(
    settings: AqaSettings, folder: Path, cache: Path | None, options: argparse.Namespace
) -> dict[str, Any]:
    """Return seconds a batch of each; workers start before the clock."""
    prepared, parts = read_meet(settings, folder, cache)
    settings = prepared.settings
    device = options.device
    model = make_model(settings, device)
    optimizer = torch.optim.Adam(model.parameter_groups())
    batches = make_pair_batches(prepared, parts, device)
    first = move_videos(next(iter(batches)), device)
    run_train_step(model, optimizer, first, device)
    step = statistics.median(
        time_call(lambda: run_train_step(model, optimizer, first, device), device)[0]
        for _ in range(options.rounds)
    )

    def both(videos: Videos) -> None:
        run_train_step(model, optimizer, move_videos(videos, device), device)

    loader = time_batches(batches, options.batches, lambda videos: None, device)
    together = time_batches(batches, options.batches, both, device)
    return {
        "cached": cache is not None,
        "workers": settings.workers,
        "pairs": settings.batch_size,
        "loader_seconds": loader,
        "step_seconds": step,
        "both_seconds": together,
        "waiting_share": max(1 - step / together, 0.0),
    }


def time_batches(
    batches: DataLoader[Any], count: int, use: Callable[[Videos], None], device: str
) -> float:
    """Return the mean seconds of `count` batches; the first, for which workers start,
    does not count."""
    source = repeat_batches(batches)
    use(next(source))

    def some() -> None:
        for _ in range(count):
            use(next(source))

    return time_call(some, device)[0] / count


def repeat_batches(batches: DataLoader[Any]) -> Iterator[Videos]:
    """Give epoch after epoch."""
    while True:
        yield from batches


def make_pair_batches(prepared: Prepared, parts: Parts, device: str) -> DataLoader[Any]:
    """Return batches as training reads them."""
    s = prepared.settings
    pool = ExemplarPool(
        [dive.record for dive in parts.train], s.exemplar_choice, s.exemplars, s.seed
    )
    pairs = PairDataset(parts.train, pool, prepared.loader, s.seed)
    return DataLoader(
        pairs,
        min(s.batch_size, len(pairs)),
        sampler=EpochOrder(len(pairs), s.seed),
        num_workers=s.workers,
        collate_fn=collate_pairs,
        pin_memory=not is_cpu(device),
        persistent_workers=s.workers > 0,
        drop_last=True,
    )


def run_train_step(
    model: HPMCoRe, optimizer: torch.optim.Optimizer, videos: Videos, device: str
) -> None:
    """Forward, backward, Adam."""
    optimizer.zero_grad(set_to_none=True)
    with autocast(device, model.settings.precision):
        loss = model.losses(videos)["loss"]
    loss.backward()
    optimizer.step()


class InMemory:
    """A loader whose dives are read before the clock starts, so that the encoders are
    what is timed."""

    def __init__(self, prepared: Prepared, dives: list[AqaDive]) -> None:
        self._videos = {dive.name: prepared.loader.load(dive) for dive in dives}

    def load(self, dive: AqaDive, rng: np.random.Generator | None = None) -> Video:
        """Return what was read."""
        return self._videos[dive.name]


@contextmanager
def count_passes(model: HPMCoRe) -> Iterator[Counter[str]]:
    """Count how often each video goes through the encoders."""
    passes: Counter[str] = Counter()
    encode = model.encode

    def counting(videos: Videos, *arguments: Any) -> Any:
        passes.update(videos.names)
        return encode(videos, *arguments)

    model.encode = counting  # type: ignore[assignment,method-assign]
    try:
        yield passes
    finally:
        del model.encode


@contextmanager
def open_meet(folder: Path | None) -> Iterator[Path]:
    """Yield the folder, or that of a meet which is made and removed."""
    if folder is not None:
        yield folder
        return
    from finediving_pose.workflows.synthesis import SynthRequest, synthesise_meet

    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary) / "meet"
        synthesise_meet(target, SynthRequest(dives=DIVES, seed=0, every=1000))
        yield target


def read_meet(
    settings: AqaSettings, folder: Path, cache: Path | None
) -> tuple[Prepared, Parts]:
    """Return the dives of a meet; all that are no test dives are training dives."""
    settings = settings.model_copy(update={"val_fraction": 0.0})
    sources = Sources(
        folder / "annotations", folder / "frames", folder / "skeletons" / "truth", cache
    )
    prepared = prepare_data(settings, sources)
    return prepared, divide_dives(prepared.gathered, prepared.settings)


def make_model(settings: AqaSettings, device: str) -> HPMCoRe:
    """Return a model with random weights."""
    torch.manual_seed(0)
    return HPMCoRe(settings).to(device)


def make_random_videos(settings: AqaSettings, count: int) -> Videos:
    """Return random videos of the settings' size, with stages and scores."""
    draw = torch.Generator().manual_seed(0)
    frames, size = settings.frames, settings.size
    mask = torch.ones(count, frames, 16, dtype=torch.bool)
    pose = torch.randn(count, settings.pose_channels, frames, 16, generator=draw)
    stages = settings.stage_count
    cuts = torch.tensor([frames * place // stages for place in range(1, stages)])
    images = features = None
    if settings.reads_images:
        images = torch.randn(count, 3, frames, size, size, generator=draw)
    if settings.features:
        features = torch.randn(count, 1, settings.feature_dim, generator=draw)
    return Videos(
        images=images,
        features=features,
        pose=pose if settings.branch_pose else None,
        pose_mask=mask if settings.branch_pose else None,
        observed=mask if settings.branch_pose else None,
        transitions=cuts.expand(count, -1).contiguous(),
        labelled=torch.ones(count, dtype=torch.bool),
        score=40 + 50 * torch.rand(count, generator=draw),
        difficulty=torch.full((count,), 3.0),
        names=tuple(f"random/{place}" for place in range(count)),
    )


def time_call(way: Callable[[], Any], device: str) -> tuple[float, Any]:
    """Return the seconds of one call and its answer, the device's queue emptied before
    and after."""
    synchronise = (lambda: None) if is_cpu(device) else torch.cuda.synchronize
    synchronise()
    start = time.perf_counter()
    answer = way()
    synchronise()
    return time.perf_counter() - start, answer


def get_peak_memory(device: str) -> float:
    """Return MiB: of the GPU what tensors took, of a CPU the process's largest resident
    memory."""
    if not is_cpu(device):
        return torch.cuda.max_memory_allocated(device) / 2**20
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # In bytes on macOS, in KiB elsewhere.
    return usage / (2**20 if sys.platform == "darwin" else 2**10)


def get_peak_tflops(precision: Precision, options: argparse.Namespace) -> float | None:
    """Return the device's peak; in fp32 that of TF32 where convolutions may use it, as
    torch lets them."""
    if options.peak_tflops or is_cpu(options.device):
        return options.peak_tflops
    name = torch.cuda.get_device_name(options.device)
    kind: str = "bf16" if precision == "fp16" else precision
    kind = "tf32" if kind == "fp32" and torch.backends.cudnn.allow_tf32 else kind
    for card, peaks in DENSE_PEAKS.items():
        if card in name:
            return peaks[kind]
    return None


def get_device_name(device: str) -> str:
    """Return the name of the card or the processor."""
    if not is_cpu(device):
        return torch.cuda.get_device_name(device)
    cpu = Path("/proc/cpuinfo")
    if cpu.exists():
        for line in cpu.read_text().splitlines():
            if "model name" in line:
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def is_cpu(device: str) -> bool:
    """Whether the device is the processor."""
    return device == "cpu"


def format_markdown(result: dict[str, Any]) -> str:
    """Return the results as tables, with what they were measured on."""
    facts = ("device", "torch", "threads", "preset", "input", "precision")
    lines = [", ".join(f"{name} {result[name]}" for name in facts)]
    for kind in KINDS:
        if kind in result:
            rows = result[kind] if isinstance(result[kind], list) else [result[kind]]
            names = [name.replace("_", " ") for name in rows[0]]
            lines += [
                "",
                f"**{kind}**",
                "",
                f"| {' | '.join(names)} |",
                "|---" * len(names) + "|",
            ]
            lines += [
                f"| {' | '.join(map(format_value, row.values()))} |" for row in rows
            ]
    return "\n".join(lines)


def format_value(value: Any) -> str:
    """Return a value as a cell of a table, numbers with four digits."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    if type(value) is int:
        return f"{value:,}"
    return str(value)


if __name__ == "__main__":
    main()
