"""Training of a score model (``fdpose train-aqa``): dives with scores become a model
directory with its exemplar bank, measured once on the test dives."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from finediving_pose import console, errors
from finediving_pose.aqa.settings import AqaSettings, load_aqa
from finediving_pose.config import read_yaml, validate_settings, write_settings
from finediving_pose.datasets.model_directory import (
    is_model_directory,
    write_model_card,
)
from finediving_pose.datasets.problems import load_json
from finediving_pose.errors import DataError, EnvironmentUnfit, UsageError
from finediving_pose.files import sha256_file, sha256_json, write_json
from finediving_pose.manifest import Manifest, recording
from finediving_pose.workflows.aqa_parts import choose_parts, keep_scored, list_names
from finediving_pose.workflows.model_loading import require_aqa
from finediving_pose.workflows.run_lock import hold_run

if TYPE_CHECKING:
    from finediving_pose.aqa.data.sources import Parts, Prepared, Sources
    from finediving_pose.aqa.evaluation import Evaluation
    from finediving_pose.aqa.score_model import ScoreModel
    from finediving_pose.aqa.training import Trained

SOURCE_NAME = "data/source.json"
LEAST_VAL = 3
"""ρ of fewer validation dives is not defined, or ±1."""

TEST_NAME = "test.json"
SUMMARY_NAME = "summary.json"
CONFIG_NAME = "config.yaml"
LOG_NAME = "log.txt"
OWN_TO_A_SEED = ("seed", "workers", "feature_dim")
"""Settings in which runs of several seeds may differ; the width of the features is read
from them."""

HEADLINES = ("rho", "rl2_squared", "aiou_flight_0.5", "aiou_flight_0.75")
"""The metrics that several seeds are summed up by."""


@dataclass(frozen=True)
class TrainingRequest:
    """What to train.

    Attributes:
        settings: Of the model and the run.
        sources: The data set.
        splits: JSON with the lists ``train``, ``val`` and ``test`` of ``match/dive``;
            None = the data set's own parts, and ours where it has none.
    """

    settings: AqaSettings
    sources: Sources
    splits: Path | None = None


@dataclass(frozen=True)
class TrainSummary:
    """One training and its metrics.

    Attributes:
        model: The model directory.
        seed: Of it.
        epochs, best_epoch, stopped_early: See Trained.
        select: What chose the epoch.
        val: Metrics of the dives that chose it; empty where there are none.
        test: Evaluation.as_dict() of the test dives; empty where there are none.
        lines: The same as text, baselines included.
        dives: How many to train, to choose by, to test on, and left out.
        parameters: Of each component.
        initial_weights: Which weights were loaded, in lines.
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
    """Return the settings of a preset with overrides.

    Args:
        preset: See load_aqa.
        overrides: ``key=value`` texts.
        given: Values of settings; None = as the preset has it.
    """
    return load_aqa(preset, overrides, **given)


def train_aqa(
    folder: Path, request: TrainingRequest, device: str = "auto", devices: int = 1
) -> TrainSummary:
    """Train in a new folder, make a model directory of it, and measure it once on the
    test dives.

    Args:
        folder: New, or empty.
        request: What to train.
        device: auto, cpu, cuda or cuda:N.
        devices: Processes, on GPUs one each.

    Raises:
        UsageError: If the folder holds a run, or the settings read what the sources do
            not name.
        DataError: If there is nothing to learn from, or a dive is in two parts.
        EnvironmentUnfit: If a package, a device or weights cannot be used.
    """
    require_aqa("train-aqa", "pytorch_lightning")
    from finediving_pose.aqa.data.sources import prepare_data
    from finediving_pose.devices import choose_device

    _refuse_begun(folder)
    device = choose_device(device)
    _check_machine(request.settings, device, devices)
    prepared = prepare_data(request.settings, request.sources)
    parts, left_out = choose_parts(prepared, request.splits)
    source = {
        "kind": "aqa",
        "sources": request.sources.as_dict(),
        "parts": list_names(parts),
        "left_out": left_out,
    }
    run = _Run(folder, prepared, parts, left_out, device, devices)
    with _hold_run_once(folder):
        _refuse_begun(folder)
        write_json(folder / SOURCE_NAME, source)
        write_settings(folder / CONFIG_NAME, prepared.settings)
        return _train(run)


def resume_aqa(folder: Path, device: str = "auto", devices: int = 1) -> TrainSummary:
    """Continue the run in a folder with its own settings, data and parts; one that is
    finished is kept as it is.

    Args:
        folder: Of the run.
        device: auto, cpu, cuda or cuda:N.
        devices: Processes, on GPUs one each.

    Raises:
        UsageError: If the folder holds no run of train-aqa.
        DataError: If dives that it was begun with are gone.
    """
    require_aqa("train-aqa", "pytorch_lightning")
    from finediving_pose.aqa.data.sources import Sources, prepare_data, select_parts
    from finediving_pose.devices import choose_device

    if next(folder.glob(f"seed_*/{CONFIG_NAME}"), None):
        raise UsageError(
            f"--resume {folder}: holds runs of several seeds, which go on when their command is given again with "
            f"--out {folder}; --resume takes one of them, {folder}/seed_<n>"
        )
    if not (folder / CONFIG_NAME).is_file() or not (folder / SOURCE_NAME).is_file():
        raise UsageError(f"--resume {folder}: holds no run of train-aqa")
    if is_finished(folder):
        console.log.info("%s: is finished", folder)
        return TrainSummary(**load_json(folder / SUMMARY_NAME))
    source = _read_source(folder / SOURCE_NAME)
    settings = validate_settings(
        AqaSettings, read_yaml(folder / CONFIG_NAME), str(folder / CONFIG_NAME)
    )
    device = choose_device(device)
    _check_machine(settings, device, devices)
    prepared = prepare_data(settings, Sources.from_dict(source["sources"]))
    parts = keep_scored(select_parts(prepared.gathered, source["parts"]))
    for name, here in list_names(parts).items():
        begun_with = source["parts"][name]
        gone = set(begun_with) - set(here)
        if gone:
            raise DataError(
                f"{folder}: was begun with {len(begun_with)} dives in {name}, of which {len(gone)} cannot "
                f"be read now, the first {min(gone)}; give them back, or begin anew"
            )
    run = _Run(
        folder, prepared, parts, source["left_out"], device, devices, resume=True
    )
    with _hold_run_once(folder):
        return _train(run)


def _read_source(path: Path) -> dict[str, Any]:
    """Read what a run was begun with: where its data lie, its dives by part, and what
    was left out.

    Raises:
        DataError: If the file is not as a run writes it.
    """
    source = load_json(path)
    if not _is_source(source):
        raise DataError(f"{path}: not as train-aqa writes it; begin the run anew")
    return source


def _is_source(source: Any) -> bool:
    from finediving_pose.aqa.data.sources import Sources

    if not isinstance(source, dict):
        return False
    sources, parts = source.get("sources"), source.get("parts")
    if not isinstance(sources, dict) or not isinstance(parts, dict):
        return False
    known = {each.name for each in fields(Sources)}
    if not set(sources) <= known:
        return False
    for place in sources.values():
        if place is not None and not isinstance(place, str):
            return False
    for names in [*parts.values(), source.get("left_out")]:
        if not isinstance(names, list):
            return False
        if not all(isinstance(name, str) for name in names):
            return False
    return True


def train_seeds(
    folder: Path,
    request: TrainingRequest,
    seeds: Sequence[int],
    device: str = "auto",
    devices: int = 1,
) -> list[TrainSummary]:
    """Train once with each seed, in ``seed_<n>``; what is finished is kept and what was
    interrupted goes on.

    ``summary.json`` holds mean and standard deviation of the headline metrics.

    Args:
        folder: Of all the runs.
        request: What to train; its own seed does not count.
        seeds: Of the runs.
        device: auto, cpu, cuda or cuda:N.
        devices: Processes, on GPUs one each.

    Raises:
        UsageError: If a run there has other settings or data; and as :func:`train_aqa`.
    """
    if (folder / CONFIG_NAME).exists():
        raise UsageError(f"{folder}: holds a run of one seed; name another folder")
    runs = {seed: folder / f"seed_{seed}" for seed in seeds}
    for run in runs.values():
        _refuse_other_run(run, request)
    summaries = []
    for seed, run in runs.items():
        console.log.info("seed %d: %s", seed, run)
        if (run / CONFIG_NAME).exists():
            summaries.append(resume_aqa(run, device, devices))
        else:
            settings = request.settings.model_copy(update={"seed": seed})
            own = TrainingRequest(settings, request.sources, request.splits)
            summaries.append(train_aqa(run, own, device, devices))
    test = summarise_seeds(summaries)
    write_json(folder / SUMMARY_NAME, {"seeds": list(seeds), "test": test})
    return summaries


def is_finished(folder: Path) -> bool:
    """Return whether the run in a folder is trained and tested."""
    return is_model_directory(folder) and (folder / SUMMARY_NAME).is_file()


def summarise_seeds(
    summaries: Sequence[TrainSummary],
) -> dict[str, dict[str, float | None]]:
    """Return mean and standard deviation (ddof = 1; None of one seed) of the headline
    metrics on the test dives."""
    result: dict[str, dict[str, float | None]] = {}
    for name in HEADLINES:
        values = []
        for summary in summaries:
            value = summary.test.get("figures", {}).get(name)
            if value is not None:
                values.append(value)
        if values:
            known = np.array(values, np.float64)
            sd = float(known.std(ddof=1)) if len(known) > 1 else None
            result[name] = {"mean": float(known.mean()), "sd": sd, "seeds": len(known)}
    return result


@dataclass(frozen=True)
class _Run:
    """A training with its data, ready to begin or to go on.

    Attributes:
        folder: Of the run.
        prepared: The data set.
        parts: Its parts.
        left_out: Which dives are in none and why, in lines.
        device: cpu, cuda or cuda:N.
        devices: Processes.
        resume: Whether it goes on where it stopped.
    """

    folder: Path
    prepared: Prepared
    parts: Parts
    left_out: list[str]
    device: str
    devices: int
    resume: bool = False

    def fit(self) -> Trained:
        """Train until the last epoch; the weights lie in the folder then."""
        from finediving_pose.aqa.training import train

        return train(
            self.folder,
            self.prepared.settings,
            self.parts,
            self.prepared.loader,
            self.device,
            self.devices,
            resume=self.resume,
        )


def _train(run: _Run) -> TrainSummary:
    folder, settings = run.folder, run.prepared.settings
    annotations = run.prepared.gathered.annotations
    facts = {
        "inputs": dict(annotations.sha256),
        "config_sha256": sha256_json(settings.model_dump(mode="json")),
        "source_sha256": sha256_file(folder / SOURCE_NAME),
        "device": _describe_device(run.device),
        "devices": run.devices,
        "seed": settings.seed,
    }
    # Lightning starts the processes beside the first one with the same command: they
    # only train, and the first one writes what there is to be written.
    if not _is_first_process():
        run.fit()
        raise SystemExit(errors.EXIT_DONE)
    with (
        _log_to(folder / LOG_NAME),
        _tell_how_to_continue(folder),
        recording(folder, **facts) as manifest,
    ):
        _log_data(run)
        manifest.warnings += run.left_out
        manifest.warnings += [str(problem) for problem in annotations.problems]
        with _restart_by_resume(run):
            trained = run.fit()
        return _finish(run, trained, manifest)


def _finish(run: _Run, trained: Trained, manifest: Manifest) -> TrainSummary:
    """Make a model directory of a trained run, with its bank and its metrics."""
    from finediving_pose.aqa.evaluation_text import format_evaluation
    from finediving_pose.aqa.exemplar_bank import write_bank
    from finediving_pose.aqa.inference import InferenceOptions
    from finediving_pose.aqa.trained_model import load_weights

    settings, parts = run.prepared.settings, run.parts
    card = write_model_card(
        run.folder,
        "aqa",
        settings.model_dump(mode="json"),
        [dive.name for dive in parts.train],
        trained.figures,
    )
    model = load_weights(card, run.device)
    parameters = model.parameter_counts()
    seconds = round(trained.seconds, 1)
    manifest.add(
        model_sha256=card.weights_sha256,
        initial_weights=trained.weights,
        best_epoch=trained.best_epoch,
        parameters=parameters,
        training_seconds=seconds,
        peak_gpu_memory=trained.peak_memory,
    )
    options = InferenceOptions.of_training(settings, run.device)
    write_bank(run.folder, model, parts.train, run.prepared.loader, options)
    test: dict[str, Any] = {}
    lines = ["no test dives: nothing says how good it is"]
    if parts.test:
        evaluation = _test(run, model)
        test, lines = evaluation.as_dict(), format_evaluation(evaluation)
        manifest.add(floors=test["floors"])
        write_json(run.folder / TEST_NAME, test)
    dives = {name: len(part) for name, part in parts._asdict().items()}
    summary = TrainSummary(
        model=str(run.folder),
        seed=settings.seed,
        epochs=trained.epochs,
        best_epoch=trained.best_epoch,
        stopped_early=trained.stopped_early,
        select=settings.select,
        val=trained.figures,
        test=test,
        lines=lines,
        dives={**dives, "left out": len(run.left_out)},
        parameters=parameters,
        initial_weights=trained.weights,
        seconds=seconds,
    )
    write_json(run.folder / SUMMARY_NAME, summary.as_dict())
    return summary


def _test(run: _Run, model: ScoreModel) -> Evaluation:
    from finediving_pose.aqa.evaluation import evaluate
    from finediving_pose.aqa.inference import InferenceOptions, predict_dives

    settings, parts = run.prepared.settings, run.parts
    options = InferenceOptions.of_training(settings, run.device)
    found = predict_dives(
        model, parts.test, parts.train, run.prepared.loader, options, settings.seed
    )
    no_skeleton = 0
    if settings.branch_pose:
        no_skeleton = sum(dive.skeleton is None for dive in parts.test)
    return evaluate(
        found,
        [dive.record for dive in parts.test],
        [dive.record for dive in parts.train],
        settings,
        no_skeleton=no_skeleton,
    )


def _check_machine(settings: AqaSettings, device: str, devices: int) -> None:
    """Refuse what this machine cannot do before anything is read or written.

    Raises:
        UsageError, EnvironmentUnfit: Say what would be possible.
    """
    import torch

    from finediving_pose.aqa.score_models import find_model_class

    find_model_class(settings.model).read_options(settings)
    if settings.precision == "fp16" and device == "cpu":
        raise UsageError("precision=fp16 needs a GPU; a CPU does fp32 and bf16")
    if devices == 1:
        return
    if settings.batch_size % devices:
        raise UsageError(
            f"batch_size={settings.batch_size} cannot be shared by --devices {devices}: it has to divide"
        )
    if ":" in device:
        raise UsageError(
            f"--device {device} names one GPU, and --devices {devices} asks for several: give one of them"
        )
    if device == "cuda" and torch.cuda.device_count() < devices:
        raise EnvironmentUnfit(
            f"--devices {devices}: there are {torch.cuda.device_count()} GPUs"
        )


def _hold_run_once(folder: Path) -> AbstractContextManager[None]:
    """Hold a run's folder in the first of its processes, for all of them."""
    return hold_run(folder) if _is_first_process() else nullcontext()


def _refuse_begun(folder: Path) -> None:
    if (folder / CONFIG_NAME).exists():
        raise UsageError(
            f"{folder}: holds a run already; continue it with --resume {folder}, or name another"
        )


def _refuse_other_run(run: Path, request: TrainingRequest) -> None:
    """Refuse to count a run as one of several seeds that differs in more than the seed."""
    if not (run / CONFIG_NAME).exists():
        return
    there = read_yaml(run / CONFIG_NAME)
    asked = request.settings.model_dump(mode="json")
    differences = []
    for key in {**there, **asked}:
        if key not in OWN_TO_A_SEED and there.get(key) != asked.get(key):
            differences.append(f"{key}={there.get(key)} instead of {asked.get(key)}")
    if differences:
        raise UsageError(
            f"{run}: holds a run with {', '.join(differences)}; name another folder with --out"
        )
    data = load_json(run / SOURCE_NAME)["sources"]
    if data != request.sources.as_dict():
        raise UsageError(
            f"{run}: holds a run on {data['annotations']} or other folders; name another with --out"
        )


def _log_data(run: _Run) -> None:
    from finediving_pose.aqa.data.skeletons import count_skeletons

    prepared, parts, left_out = run.prepared, run.parts, run.left_out
    for line in prepared.gathered.summarise():
        console.log.info(line)
    if prepared.settings.branch_pose:
        counts = count_skeletons(prepared.gathered.dives)
        console.log.info(counts.summarise())
    sizes = [f"{name} {len(dives)}" for name, dives in parts._asdict().items()]
    console.log.info("parts: %s", ", ".join(sizes))
    if left_out:
        console.log.warning(
            "%d lines on dives that are left out (data/source.json), the first: %s",
            len(left_out),
            left_out[0],
        )
    if len(parts.val) < LEAST_VAL and prepared.settings.select == "val":
        console.log.warning(
            "%s, too few for ρ to choose the epoch: where it is not defined the last "
            "epoch is kept; a larger val_fraction chooses the best one, select=last "
            "always keeps the last",
            console.format_count(len(parts.val), "validation dive"),
        )


@contextmanager
def _restart_by_resume(run: _Run) -> Iterator[None]:
    """Let the processes that Lightning starts beside this one join the run that lies in
    the folder."""
    arguments, environment = sys.argv, dict(os.environ)
    if run.devices > 1:
        sys.argv = [
            str(Path(__file__).parents[1] / "__main__.py"),
            "train-aqa",
            "--resume",
            str(run.folder),
            "--device",
            run.device,
            "--devices",
            str(run.devices),
        ]
    try:
        yield
    finally:
        sys.argv = arguments
        # Lightning's variables: with them the next run would start no process.
        for name in set(os.environ) - set(environment):
            del os.environ[name]


@contextmanager
def _log_to(path: Path) -> Iterator[None]:
    """Write the log beside the run too; a run that goes on adds to it."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    console.log.addHandler(handler)
    try:
        yield
    finally:
        console.log.removeHandler(handler)
        handler.close()


@contextmanager
def _tell_how_to_continue(folder: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        console.log.warning(
            "interrupted; it continues with: fdpose train-aqa --resume %s", folder
        )
        raise


def _is_first_process() -> bool:
    local, node = os.environ.get("LOCAL_RANK", "0"), os.environ.get("NODE_RANK", "0")
    return local == "0" and node == "0"


def _describe_device(device: str) -> str:
    import torch

    if device == "cpu":
        return device
    return f"{device}: {torch.cuda.get_device_name(device)}"
