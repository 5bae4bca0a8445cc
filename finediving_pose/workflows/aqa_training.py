"""From dives with scores to a score model with its exemplar bank, measured once on the
test dives."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
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
from finediving_pose.workflows.model_loading import require_aqa

if TYPE_CHECKING:
    from finediving_pose.aqa.data.dives import AqaDive
    from finediving_pose.aqa.data.sources import Parts, Prepared, Sources
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

SHOWN = 3
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
    """Train in a new folder, make a model directory of it, and measure it once on the
    test dives.

    Args:
        folder: New, or empty.
        settings: Of the model and the run.
        sources: The data set.
        device: auto, cpu, cuda or cuda:N.
        devices: Processes, on GPUs one each.
        splits: JSON with the lists ``train``, ``val`` and ``test`` of ``match/dive``;
            None = the data set's own parts, and ours where it has none.

    Raises:
        UsageError: If the folder holds a run, or the settings read what the sources do
            not name.
        DataError: If there is nothing to learn from, or a dive is in two parts.
        EnvironmentUnfit: If a package, a device or a weight file cannot be used.
    """
    require_aqa("train-aqa", "pytorch_lightning")
    from finediving_pose.aqa.data.sources import prepare_data
    from finediving_pose.devices import choose_device

    if (folder / CONFIG_NAME).exists():
        raise UsageError(
            f"{folder}: holds a run already; continue it with --resume {folder}, or name another"
        )
    device = choose_device(device)
    _check_request(settings, device, devices)
    prepared = prepare_data(settings, sources)
    parts, left_out = _parts(prepared, splits)
    source = {
        "kind": "aqa",
        "sources": sources.as_dict(),
        "parts": {
            name: [dive.name for dive in dives]
            for name, dives in parts._asdict().items()
        },
        "left_out": left_out,
    }
    write_json(folder / SOURCE_NAME, source)
    write_settings(folder / CONFIG_NAME, prepared.settings)
    return _run(folder, prepared, parts, left_out, device, devices, resume=False)


def resume_aqa(folder: Path, device: str = "auto", devices: int = 1) -> TrainSummary:
    """Continue the run in a folder with its own settings, data and parts; one that is
    finished is kept as it is.

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
    source = load_json(folder / SOURCE_NAME)
    settings = validate_settings(
        AqaSettings, read_yaml(folder / CONFIG_NAME), str(folder / CONFIG_NAME)
    )
    device = choose_device(device)
    _check_request(settings, device, devices)
    prepared = prepare_data(settings, Sources.from_dict(source["sources"]))
    parts = _scored(select_parts(prepared.gathered, source["parts"]))
    for name, dives in parts._asdict().items():
        gone = set(source["parts"][name]) - {dive.name for dive in dives}
        if gone:
            raise DataError(
                f"{folder}: was begun with {len(source['parts'][name])} dives in {name}, of which {len(gone)} cannot "
                f"be read now, the first {min(gone)}; give them back, or begin anew"
            )
    return _run(
        folder, prepared, parts, source["left_out"], device, devices, resume=True
    )


def train_seeds(
    folder: Path,
    settings: AqaSettings,
    sources: Sources,
    seeds: Sequence[int],
    device: str = "auto",
    devices: int = 1,
    splits: Path | None = None,
) -> list[TrainSummary]:
    """Train once with each seed, in ``seed_<n>``; what is finished is kept and what was
    interrupted goes on.

    ``summary.json`` holds mean and standard deviation of the headline figures.

    Raises:
        UsageError: If a run there has other settings or data; and as :func:`train_aqa`.
    """
    if (folder / CONFIG_NAME).exists():
        raise UsageError(f"{folder}: holds a run of one seed; name another folder")
    runs = {seed: folder / f"seed_{seed}" for seed in seeds}
    for run in runs.values():
        _refuse_others(run, settings, sources)
    summaries = []
    for seed, run in runs.items():
        console.log.info("seed %d: %s", seed, run)
        if (run / CONFIG_NAME).exists():
            summaries.append(resume_aqa(run, device, devices))
        else:
            own = settings.model_copy(update={"seed": seed})
            summaries.append(train_aqa(run, own, sources, device, devices, splits))
    write_json(
        folder / SUMMARY_NAME, {"seeds": list(seeds), "test": over_seeds(summaries)}
    )
    return summaries


def is_finished(folder: Path) -> bool:
    """Return whether the run in a folder is trained and tested."""
    return is_model_directory(folder) and (folder / SUMMARY_NAME).is_file()


def over_seeds(summaries: Sequence[TrainSummary]) -> dict[str, dict[str, float | None]]:
    """Return mean and standard deviation (ddof = 1; None of one seed) of the headline
    figures on the test dives."""
    result: dict[str, dict[str, float | None]] = {}
    for name in HEADLINES:
        values = [summary.test.get("figures", {}).get(name) for summary in summaries]
        known = np.array([value for value in values if value is not None], np.float64)
        if len(known):
            sd = float(known.std(ddof=1)) if len(known) > 1 else None
            result[name] = {"mean": float(known.mean()), "sd": sd, "seeds": len(known)}
    return result


def _run(
    folder: Path,
    prepared: Prepared,
    parts: Parts,
    left_out: list[str],
    device: str,
    devices: int,
    resume: bool,
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
    if not _is_first():
        train(folder, settings, parts, prepared.loader, device, devices, resume=resume)
        raise SystemExit(errors.EXIT_DONE)
    with (
        _logged(folder),
        _saying_how_to_continue(folder),
        recording(folder, **facts) as manifest,
    ):
        _say(prepared, parts, left_out)
        manifest.warnings += left_out + [
            str(fault) for fault in prepared.gathered.annotations.problems
        ]
        with _launched_as(folder, device, devices):
            trained = train(
                folder, settings, parts, prepared.loader, device, devices, resume=resume
            )
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
    from finediving_pose.aqa.evaluation import evaluate
    from finediving_pose.aqa.evaluation_text import format_evaluation
    from finediving_pose.aqa.exemplar_bank import write_bank
    from finediving_pose.aqa.inference import predict_dives
    from finediving_pose.aqa.trained_model import load_weights

    settings, loader = prepared.settings, prepared.loader
    card = write_model_card(
        folder,
        "aqa",
        settings.model_dump(mode="json"),
        [dive.name for dive in parts.train],
        trained.figures,
    )
    model = load_weights(card, device)
    reading: dict[str, Any] = {
        "device": device,
        "workers": settings.workers,
        "precision": settings.precision,
    }
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
        found = predict_dives(
            model, parts.test, parts.train, loader, seed=settings.seed, **reading
        )
        evaluation = evaluate(
            found,
            [dive.record for dive in parts.test],
            [dive.record for dive in parts.train],
            settings,
            no_skeleton=sum(dive.skeleton is None for dive in parts.test)
            if settings.branch_pose
            else 0,
        )
        test, lines = evaluation.as_dict(), format_evaluation(evaluation)
        manifest.add(floors=test["floors"])
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
        dives={
            **{name: len(dives) for name, dives in parts._asdict().items()},
            "left out": len(left_out),
        },
        parameters=model.parameter_counts(),
        initial_weights=trained.weights,
        seconds=round(trained.seconds, 1),
    )
    write_json(folder / SUMMARY_NAME, summary.as_dict())
    return summary


def _check_request(settings: AqaSettings, device: str, devices: int) -> None:
    """Refuse what this machine cannot do before anything is read or written.

    Raises:
        UsageError, EnvironmentUnfit: Say what would be possible.
    """
    import torch

    from finediving_pose.aqa.model import find_model_class

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


def _refuse_others(run: Path, settings: AqaSettings, sources: Sources) -> None:
    """Refuse to count a run as one of several seeds that differs in more than the seed."""
    if not (run / CONFIG_NAME).exists():
        return
    there, asked = read_yaml(run / CONFIG_NAME), settings.model_dump(mode="json")
    others = [
        key
        for key in {**there, **asked}
        if key not in OWN_TO_A_SEED and there.get(key) != asked.get(key)
    ]
    if others:
        differences = ", ".join(
            f"{key}={there.get(key)} instead of {asked.get(key)}" for key in others
        )
        raise UsageError(
            f"{run}: holds a run with {differences}; name another folder with --out"
        )
    data = load_json(run / SOURCE_NAME)["sources"]
    if data != sources.as_dict():
        raise UsageError(
            f"{run}: holds a run on {data['annotations']} or other folders; name another with --out"
        )


def _parts(prepared: Prepared, splits: Path | None) -> tuple[Parts, list[str]]:
    """Return the parts, and in a line each which dives are not used and why.

    Raises:
        DataError: If there is nothing to learn from or to choose by, or a dive is in
            two parts.
    """
    from finediving_pose.aqa.data.sources import divide_dives

    settings = prepared.settings
    parts = (
        divide_dives(prepared.gathered, settings)
        if splits is None
        else _named_parts(prepared, splits)
    )
    lines = _left_out(prepared)
    unfit = _unfit_to_learn_from(parts.train, settings)
    parts = parts._replace(
        train=tuple(dive for dive in parts.train if dive.name not in unfit)
    )
    if not parts.train:
        reasons = lines + [f"{name}: {reason}" for name, reason in unfit.items()]
        raise DataError(
            f"no dive is left to learn from: {'; '.join(reasons[:SHOWN]) or 'none is in that part'}"
        )
    if settings.select == "test-best" and not parts.test:
        raise DataError(
            "select=test-best chooses the epoch on the test dives, and there are none"
        )
    return parts, lines + [
        f"{name}: not trained on: {reason}" for name, reason in unfit.items()
    ]


def _unfit_to_learn_from(
    dives: Sequence[AqaDive], settings: AqaSettings
) -> dict[str, str]:
    """Return by name why dives cannot be trained on: no target, or no exemplar, not
    even themselves."""
    from finediving_pose.aqa.data.exemplars import ExemplarPool

    unfit = {}
    if settings.target == "completeness":
        unfit = {
            dive.name: "no DD, by which target=completeness divides"
            for dive in dives
            if not dive.record.difficulty
        }
    fit = [dive for dive in dives if dive.name not in unfit]
    if fit and settings.trains_on_pairs:
        pool = ExemplarPool([dive.record for dive in fit], settings.exemplar_choice)
        lack = {"number": "no dive number", "difficulty": "no DD"}.get(
            settings.exemplar_choice, ""
        )
        reason = f"{lack}, by which its exemplar is chosen (exemplar_choice=random needs none)"
        unfit |= {
            dive.name: reason
            for dive in fit
            if pool.draw_exemplar(dive.record, 0) is None
        }
    return unfit


def _named_parts(prepared: Prepared, path: Path) -> Parts:
    """Return the parts that a file names; without ``val`` it is held out of the
    training dives as usual."""
    from finediving_pose.aqa.data.sources import Parts, select_parts
    from finediving_pose.aqa.data.splits import hold_out, refuse_overlap

    gathered, settings = prepared.gathered, prepared.settings
    names = _read_splits(path)
    known = {"/".join(dive.key) for dive in gathered.annotations.dives}
    unknown = [name for part in names.values() for name in part if name not in known]
    if unknown:
        raise DataError(
            f"{path}: names {len(unknown)} dives that the annotations do not have, the first {unknown[0]}; expected "
            f"match/dive such as {min(known)}"
        )
    parts = _scored(select_parts(gathered, names))
    if "val" not in names:
        stay, held = hold_out(
            [dive.record for dive in parts.train], settings.val_fraction, settings.seed
        )
        parts = Parts(
            tuple(gathered.select(stay)), tuple(gathered.select(held)), parts.test
        )
    refuse_overlap(
        [dive.key for dive in (*parts.train, *parts.val)],
        [dive.key for dive in parts.test],
    )
    refuse_overlap([dive.key for dive in parts.train], [dive.key for dive in parts.val])
    return parts


def _scored(parts: Parts) -> Parts:
    return type(parts)(
        *(
            tuple(dive for dive in dives if dive.record.score is not None)
            for dives in parts
        )
    )


def _read_splits(path: Path) -> dict[str, list[str]]:
    content = load_json(path)
    named = (
        {part: content[part] for part in ("train", "val", "test") if part in content}
        if type(content) is dict
        else {}
    )
    if "train" not in named or not all(
        type(part) is list and all(type(n) is str for n in part)
        for part in named.values()
    ):
        raise DataError(
            f'{path}: expected {{"train": ["match/dive", …], "val": […], "test": […]}}'
        )
    return {part: list(dict.fromkeys(names)) for part, names in named.items()}


def _left_out(prepared: Prepared) -> list[str]:
    """Return, a line each, which dives of the data set are in no part, and why."""
    gathered = prepared.gathered
    lines = [
        f"{'/'.join(key)}: {prepared.unreadable.get(key, 'no frames')}"
        for key in gathered.no_frames
    ]
    lines += [f"{'/'.join(key)}: no features" for key in gathered.no_features]
    lines += [f"{'/'.join(key)}: no score" for key in gathered.no_score]
    return lines


def _say(prepared: Prepared, parts: Parts, left_out: Sequence[str]) -> None:
    from finediving_pose.aqa.data.skeletons import count_skeletons

    for line in prepared.gathered.summarise():
        console.log.info(line)
    if prepared.settings.branch_pose:
        console.log.info(count_skeletons(prepared.gathered.dives).summarise())
    console.log.info(
        "parts: %s",
        ", ".join(f"{name} {len(dives)}" for name, dives in parts._asdict().items()),
    )
    if left_out:
        console.log.warning(
            "%d lines on dives that are left out (data/source.json), the first: %s",
            len(left_out),
            left_out[0],
        )
    if len(parts.val) < LEAST_VAL and prepared.settings.select == "val":
        console.log.warning(
            "%d dives to choose the epoch by, of which ρ says nothing: where it is not defined the last one is kept; a "
            "larger val_fraction or select=last is clearer",
            len(parts.val),
        )


@contextmanager
def _launched_as(folder: Path, device: str, devices: int) -> Iterator[None]:
    """Let the processes that Lightning starts beside this one join the run that lies in
    the folder."""
    arguments, environment = sys.argv, dict(os.environ)
    if devices > 1:
        command = [
            "train-aqa",
            "--resume",
            str(folder),
            "--device",
            device,
            "--devices",
            str(devices),
        ]
        sys.argv = [str(Path(__file__).parents[1] / "__main__.py"), *command]
    try:
        yield
    finally:
        sys.argv = arguments
        for name in set(os.environ) - set(
            environment
        ):  # Lightning's: with them the next run would start no process
            del os.environ[name]


@contextmanager
def _logged(folder: Path) -> Iterator[None]:
    """Write the log beside the run too; a run that goes on adds to it."""
    handler = logging.FileHandler(folder / LOG_NAME, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    console.log.addHandler(handler)
    try:
        yield
    finally:
        console.log.removeHandler(handler)
        handler.close()


@contextmanager
def _saying_how_to_continue(folder: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        console.log.warning(
            "interrupted; it continues with: fdpose train-aqa --resume %s", folder
        )
        raise


def _is_first() -> bool:
    return (
        os.environ.get("LOCAL_RANK", "0") == "0"
        and os.environ.get("NODE_RANK", "0") == "0"
    )


def _device_name(device: str) -> str:
    import torch

    return (
        device if device == "cpu" else f"{device}: {torch.cuda.get_device_name(device)}"
    )
