"""From dives with scores to a score model with its exemplar bank, measured once on the test dives."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from finediving_pose import console
from finediving_pose.aqa.settings import AqaSettings, load_aqa
from finediving_pose.config import read_yaml, validate_settings, write_settings
from finediving_pose.console import DataError, UsageError
from finediving_pose.datasets.checks import load_json
from finediving_pose.datasets.model_directory import is_model_directory, write_model_card
from finediving_pose.manifest import Manifest, recording, sha256_file, sha256_json, write_json
from finediving_pose.workflows.models import require_aqa

if TYPE_CHECKING:
    from finediving_pose.aqa.data.sources import Parts, Prepared, Sources
    from finediving_pose.aqa.training import Trained

SOURCE_NAME = "data/source.json"
TEST_NAME = "test.json"
SUMMARY_NAME = "summary.json"
HEADLINES = ("rho", "rl2_squared", "aiou_flight_0.5", "aiou_flight_0.75")
"""The figures that several seeds are summed up by."""


@dataclass(frozen=True)
class TrainSummary:
    """What one training came to.

    Attributes:
        model: The model directory.
        seed: Of it.
        epochs, best_epoch, stopped_early: See Trained.
        select: What chose the epoch.
        val: Figures of the dives that chose it; empty where there are none.
        test: Evaluation.as_dict() of the test dives; empty where there are none.
        lines: The same as text, floors included.
        dives: How many to train, to choose by, to test on, and left out.
        parameters: Of each component.
        initial_weights: Which weight files were used, in lines.
        seconds: Of the training.
    """

    model: str
    seed: int
    epochs: int
    best_epoch: int
    stopped_early: bool
    select: str
    val: dict[str, float]
    test: dict[str, Any]
    lines: list[str]
    dives: dict[str, int]
    parameters: dict[str, int]
    initial_weights: list[str]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return asdict(self)


def preset_settings(preset: str, overrides: Iterable[str], **given: Any) -> AqaSettings:
    """Return the settings of a preset with overrides; see load_aqa."""
    return load_aqa(preset, overrides, **given)


def train_aqa(
    folder: Path,
    settings: AqaSettings,
    sources: Sources,
    device: str = "auto",
    devices: int = 1,
    splits: Path | None = None,
) -> TrainSummary:
    """Train in a new folder, make a model directory of it, and measure it once on the test dives.

    Args:
        folder: New, or empty.
        settings: Of the model and the run.
        sources: The data set.
        device: auto, cpu, cuda or cuda:N.
        devices: Processes, on GPUs one each.
        splits: JSON with the lists ``train``, ``val`` and ``test`` of ``match/dive``; None = the data set's own parts,
            and ours where it has none.

    Raises:
        UsageError: If the folder holds a run, or the settings read what the sources do not name.
        DataError: If there is nothing to learn from, or a dive is in two parts.
        EnvironmentUnfit: If a package, a device or a weight file cannot be used.
    """
    require_aqa("train-aqa", "pytorch_lightning")
    from finediving_pose.aqa.data.sources import prepare
    from finediving_pose.aqa.devices import choose_device

    if (folder / "config.yaml").exists():
        raise UsageError(f"{folder}: holds a run already; continue it with --resume {folder}, or name another")
    device = choose_device(device)
    prepared = prepare(settings, sources)
    parts = _parts(prepared, splits)
    _say(prepared, parts)
    left_out = _left_out(prepared)
    source = {
        "kind": "aqa",
        "sources": sources.as_dict(),
        "parts": {name: [dive.name for dive in dives] for name, dives in parts._asdict().items()},
        "left_out": left_out,
    }
    write_json(folder / SOURCE_NAME, source)
    write_settings(folder / "config.yaml", prepared.settings)
    return _run(folder, prepared, parts, left_out, device, devices, resume=False)


def resume_aqa(folder: Path, device: str = "auto", devices: int = 1) -> TrainSummary:
    """Continue the run in a folder with its own settings, data and parts.

    Raises:
        UsageError: If the folder holds no run of train-aqa.
        DataError: If dives that it was begun with are gone.
    """
    require_aqa("train-aqa", "pytorch_lightning")
    from finediving_pose.aqa.data.sources import Sources, prepare, select
    from finediving_pose.aqa.devices import choose_device

    if not (folder / "config.yaml").is_file() or not (folder / SOURCE_NAME).is_file():
        raise UsageError(f"--resume {folder}: holds no run of train-aqa")
    source = load_json(folder / SOURCE_NAME)
    settings = validate_settings(AqaSettings, read_yaml(folder / "config.yaml"), f"{folder}/config.yaml")
    device = choose_device(device)
    prepared = prepare(settings, Sources.from_dict(source["sources"]))
    parts = select(prepared.gathered, source["parts"])
    for name, dives in parts._asdict().items():
        gone = set(source["parts"][name]) - {dive.name for dive in dives}
        if gone:
            raise DataError(
                f"{folder}: was begun with {len(source['parts'][name])} dives in {name}, of which {len(gone)} cannot "
                f"be read now, the first {min(gone)}; give them back, or begin anew"
            )
    return _run(folder, prepared, parts, source["left_out"], device, devices, resume=True)


def train_seeds(
    folder: Path,
    settings: AqaSettings,
    sources: Sources,
    seeds: Sequence[int],
    device: str = "auto",
    devices: int = 1,
    splits: Path | None = None,
) -> list[TrainSummary]:
    """Train once with each seed, in ``seed_<n>``; what is finished is kept and what was interrupted goes on.

    ``summary.json`` holds mean and standard deviation of the headline figures.
    """
    summaries = []
    for seed in seeds:
        run = folder / f"seed_{seed}"
        console.log.info("seed %d: %s", seed, run)
        if is_model_directory(run) and (run / SUMMARY_NAME).is_file():
            summaries.append(TrainSummary(**load_json(run / SUMMARY_NAME)))
        elif (run / "config.yaml").exists():
            summaries.append(resume_aqa(run, device, devices))
        else:
            own = settings.model_copy(update={"seed": seed})
            summaries.append(train_aqa(run, own, sources, device, devices, splits))
    write_json(folder / SUMMARY_NAME, {"seeds": list(seeds), "test": over_seeds(summaries)})
    return summaries


def over_seeds(summaries: Sequence[TrainSummary]) -> dict[str, dict[str, float | None]]:
    """Return mean and standard deviation (ddof = 1; None of one seed) of the headline figures on the test dives."""
    result: dict[str, dict[str, float | None]] = {}
    for name in HEADLINES:
        values = [summary.test.get("figures", {}).get(name) for summary in summaries]
        known = np.array([value for value in values if value is not None], np.float64)
        if len(known):
            sd = float(known.std(ddof=1)) if len(known) > 1 else None
            result[name] = {"mean": float(known.mean()), "sd": sd, "seeds": len(known)}
    return result


def _run(
    folder: Path, prepared: Prepared, parts: Parts, left_out: list[str], device: str, devices: int, resume: bool
) -> TrainSummary:
    from finediving_pose.aqa.training import train

    settings = prepared.settings
    config = settings.model_dump(mode="json")
    facts = {
        "inputs": dict(prepared.gathered.annotations.sha256),
        "config_sha256": sha256_json(config),
        "source_sha256": sha256_file(folder / SOURCE_NAME),
        "device": _device_name(device),
        "devices": devices,
        "seed": settings.seed,
    }
    if not parts.val and settings.select == "val":
        console.log.warning("no dives to choose the epoch by: the last one is kept")
    with _launched_as(folder, device, devices), _saying_how_to_continue(folder):
        if not _is_first():
            train(folder, settings, parts, prepared.loader, device, devices, resume=resume)
            raise SystemExit(console.EXIT_DONE)
        with recording(folder, **facts) as manifest:
            manifest.warnings += left_out
            trained = train(folder, settings, parts, prepared.loader, device, devices, resume=resume)
            return _finish(folder, prepared, parts, trained, left_out, device, manifest)


def _finish(
    folder: Path,
    prepared: Prepared,
    parts: Parts,
    trained: Trained,
    left_out: list[str],
    device: str,
    manifest: Manifest,
) -> TrainSummary:
    """Make a model directory of a trained run, with its bank and its figures."""
    from finediving_pose.aqa.bank import write_bank
    from finediving_pose.aqa.evaluation import evaluate
    from finediving_pose.aqa.inference import predict_dives
    from finediving_pose.aqa.trained_model import load_weights

    settings, loader = prepared.settings, prepared.loader
    card = write_model_card(
        folder, "aqa", settings.model_dump(mode="json"), [dive.name for dive in parts.train], trained.figures
    )
    model = load_weights(card, device)
    reading: dict[str, Any] = {"device": device, "workers": settings.workers, "precision": settings.precision}
    manifest.add(
        model_sha256=card.weights_sha256,
        initial_weights=trained.weights,
        best_epoch=trained.best_epoch,
        parameters=model.parameter_counts(),
        training_seconds=round(trained.seconds, 1),
        peak_gpu_memory=trained.peak_memory,
    )
    write_bank(folder, model, parts.train, loader, **reading)
    test: dict[str, Any] = {}
    lines = ["no test dives: nothing says how good it is"]
    if parts.test:
        found = predict_dives(model, parts.test, parts.train, loader, seed=settings.seed, **reading)
        evaluation = evaluate(
            found,
            [dive.record for dive in parts.test],
            [dive.record for dive in parts.train],
            settings,
            no_skeleton=sum(dive.skeleton is None for dive in parts.test) if settings.branch_pose else 0,
            notes=_notes(settings, trained),
        )
        test, lines = evaluation.as_dict(), evaluation.lines()
        write_json(folder / TEST_NAME, test)
    summary = TrainSummary(
        model=str(folder),
        seed=settings.seed,
        epochs=trained.epochs,
        best_epoch=trained.best_epoch,
        stopped_early=trained.stopped_early,
        select=settings.select,
        val=trained.figures,
        test=test,
        lines=lines,
        dives={**{name: len(dives) for name, dives in parts._asdict().items()}, "left out": len(left_out)},
        parameters=model.parameter_counts(),
        initial_weights=trained.weights,
        seconds=round(trained.seconds, 1),
    )
    write_json(folder / SUMMARY_NAME, summary.as_dict())
    return summary


def _notes(settings: AqaSettings, trained: Trained) -> tuple[str, ...]:
    notes = [line for line in trained.weights if line.endswith("random")]
    if settings.select == "test-best":
        notes.append("the epoch was chosen on the test dives: these figures flatter, and are for comparisons only")
    return tuple(notes)


def _parts(prepared: Prepared, splits: Path | None) -> Parts:
    from finediving_pose.aqa.data.sources import Parts, divide, select
    from finediving_pose.aqa.data.splits import refuse_overlap

    if splits is None:
        parts = divide(prepared.gathered, prepared.settings)
    else:
        parts = select(prepared.gathered, _read_splits(splits))
        refuse_overlap([dive.key for dive in (*parts.train, *parts.val)], [dive.key for dive in parts.test])
        refuse_overlap([dive.key for dive in parts.train], [dive.key for dive in parts.val])
    parts = Parts(*(tuple(dive for dive in dives if _usable(dive.record, prepared.settings)) for dives in parts))
    if not parts.train:
        raise DataError(f"{splits or 'the data set'}: no dive that can be read and has a score is in the training part")
    return parts


def _usable(record: Any, settings: AqaSettings) -> bool:
    return record.score is not None and (settings.target == "score" or bool(record.difficulty))


def _read_splits(path: Path) -> dict[str, list[str]]:
    content = load_json(path)
    names = ("train", "val", "test")
    if not isinstance(content, dict) or not isinstance(content.get("train"), list):
        raise DataError(f'{path}: expected {{"train": ["match/dive", …], "val": […], "test": […]}}')
    return {name: [str(each) for each in content.get(name) or ()] for name in names}


def _left_out(prepared: Prepared) -> list[str]:
    """Return, a line each, which dives with a place in the data set are not used, and why."""
    gathered = prepared.gathered
    lines = [f"{'/'.join(key)}: {prepared.unreadable.get(key, 'no frames')}" for key in gathered.no_frames]
    lines += [f"{'/'.join(key)}: no features" for key in gathered.no_features]
    lines += [f"{'/'.join(key)}: no score" for key in gathered.no_score]
    if prepared.settings.target == "completeness":
        no_dd = [dive.name for dive in gathered.dives if dive.record.score is not None and not dive.record.difficulty]
        lines += [f"{name}: no DD, which target=completeness divides by" for name in no_dd]
    return lines


def _say(prepared: Prepared, parts: Parts) -> None:
    from finediving_pose.aqa.data.skeletons import count_skeletons

    for line in prepared.gathered.summary():
        console.log.info(line)
    if prepared.settings.branch_pose:
        console.log.info(count_skeletons(prepared.gathered.dives).summary())
    console.log.info("parts: %s", ", ".join(f"{name} {len(dives)}" for name, dives in parts._asdict().items()))


@contextmanager
def _launched_as(folder: Path, device: str, devices: int) -> Iterator[None]:
    """Let the processes that Lightning starts beside this one join the run that lies in the folder."""
    arguments = sys.argv
    if devices > 1:
        command = ["train-aqa", "--resume", str(folder), "--device", device, "--devices", str(devices)]
        sys.argv = [str(Path(__file__).parents[1] / "__main__.py"), *command]
    try:
        yield
    finally:
        sys.argv = arguments


@contextmanager
def _saying_how_to_continue(folder: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        console.log.warning("interrupted; it continues with: fdpose train-aqa --resume %s", folder)
        raise


def _is_first() -> bool:
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def _device_name(device: str) -> str:
    import torch

    return device if device == "cpu" else f"{device}: {torch.cuda.get_device_name(device)}"
