"""Evaluation of a score model (``fdpose eval-aqa --model``) on dives that it has not
learned from: the test part of its own data set, or another data set."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from finediving_pose import console
from finediving_pose.aqa.settings import AqaSettings
from finediving_pose.config import parse_yaml, validate_settings
from finediving_pose.datasets.model_directory import (
    ModelDirectory,
    is_model_directory,
    read_model_directory,
)
from finediving_pose.datasets.problems import load_json
from finediving_pose.errors import DataError, UsageError
from finediving_pose.files import write_json, write_text
from finediving_pose.manifest import Manifest, recording
from finediving_pose.workflows.aqa_training import SOURCE_NAME
from finediving_pose.workflows.model_loading import require_aqa

if TYPE_CHECKING:
    from finediving_pose.aqa.data.dives import AqaDive
    from finediving_pose.aqa.data.sources import Prepared, Sources
    from finediving_pose.aqa.evaluation import Evaluation
    from finediving_pose.aqa.inference import Predictions
    from finediving_pose.aqa.score_model import ScoreModel
    from finediving_pose.records import Dive

Part = Literal["test", "val", "train"]

PREDICTIONS_NAME = "predictions.csv"
EVALUATION_NAME = "evaluation.json"
CHANGEABLE = (
    "exemplar_choice",
    "exemplars",
    "exemplar_padding",
    "features",
    "precision",
    "seed",
    "videos_at_once",
    "workers",
)
"""Settings that the weights do not depend on."""

LIST_SEPARATOR = ";"


@dataclass(frozen=True)
class EvaluationRequest:
    """What to evaluate a model on, and how.

    Attributes:
        part: Of the run's dives. Of a data set without these the published test part is
            used, or all dives.
        given: Fields of Sources that differ from those of the run.
        overrides: ``key=value`` of :data:`CHANGEABLE` settings.
        skip_trained: Leave out dives that were trained on, instead of refusing them.
        ceiling: ρ that no method can hope to pass.
    """

    part: Part = "test"
    given: Mapping[str, Path | None] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    skip_trained: bool = False
    ceiling: float | None = None


@dataclass(frozen=True)
class ModelEvaluation:
    """The metrics of a model on some dives.

    Attributes:
        model: Its folder.
        part: Of the run's dives; ``other`` = of a data set that it knows nothing of.
        evaluation: The metrics.
        rows: A dict for each dive, as in ``predictions.csv``.
        left_out: Dives of the part that could not be evaluated, and why, in lines.
    """

    model: Path
    part: str
    evaluation: Evaluation
    rows: list[dict[str, Any]]
    left_out: list[str]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        facts = {"model": str(self.model), "part": self.part, "left_out": self.left_out}
        return {**facts, **self.evaluation.as_dict()}

    def format_lines(self) -> list[str]:
        """Return the metrics as lines of text."""
        from finediving_pose.aqa.evaluation_text import format_evaluation

        title = f"{self.model}, {self.part} part"
        return [title, *format_evaluation(self.evaluation, numbers=True)]


def evaluate_model(
    model: Path,
    request: EvaluationRequest | None = None,
    device: str = "auto",
    out: Path | None = None,
) -> ModelEvaluation:
    """Measure a model on a part of its run's dives, or on a data set it was not trained
    on.

    The exemplars are those of the model's bank, encoded when it was trained; only of a
    model without one are the training dives encoded anew. So the training set need not
    be here, and each video is encoded once.

    Args:
        model: A model directory.
        request: On what, and how; None = on the run's test dives.
        device: auto, cpu, cuda or cuda:N.
        out: A folder for ``predictions.csv``, ``evaluation.json`` and a manifest; None
            = nothing is written.

    Raises:
        UsageError: If model, data or settings cannot be what was asked for.
        DataError: If there is nothing to evaluate, or dives that were trained on are
            among them.
        EnvironmentUnfit: If a package or the device is not there.
    """
    require_aqa("eval-aqa")
    from finediving_pose.aqa.trained_model import read_model_settings

    request = request or EvaluationRequest()
    if out is not None and is_model_directory(out):
        raise UsageError(
            f"--out {out}: is a model directory, whose manifest would be replaced; name another folder"
        )
    card = read_model_directory(model, "aqa")
    settings = change_settings(read_model_settings(card), request.overrides)
    run = _read_run(model)
    sources = _choose_sources(model, run, request.given)
    task = _Task(request, card, settings, run, sources, device)
    if out is None:
        return _evaluate(task)
    with recording(
        out,
        model=str(model.resolve()),
        model_sha256=card.weights_sha256,
        part=request.part,
        settings=list(request.overrides),
        seed=settings.seed,
        sources=sources.as_dict(),
    ) as manifest:
        found = _evaluate(task, manifest)
        write_predictions(out / PREDICTIONS_NAME, found.rows)
        write_json(out / EVALUATION_NAME, found.as_dict())
    return found


def change_settings(settings: AqaSettings, overrides: Iterable[str]) -> AqaSettings:
    """Return a model's settings with some that its weights do not depend on.

    Args:
        settings: Of the model.
        overrides: ``key=value`` of :data:`CHANGEABLE` settings.

    Raises:
        UsageError: If a text is no ``key=value``, or the weights depend on the key.
    """
    values = settings.model_dump(mode="json")
    for text in overrides:
        key, equals, raw = text.partition("=")
        if not equals:
            raise UsageError(f"{text!r}: expected key=value")
        if key not in CHANGEABLE:
            reason = "is no setting"
            if key in AqaSettings.model_fields:
                reason = "belongs to the trained weights"
            raise UsageError(
                f"{text}: {key} {reason}; an evaluation can change {', '.join(CHANGEABLE)}"
            )
        try:
            values[key] = parse_yaml(raw)
        except ValueError as error:
            raise UsageError(f"{text!r}: not readable as YAML: {error}") from None
    return validate_settings(AqaSettings, values, "settings")


def write_predictions(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a line for each dive; what is not known is empty.

    Args:
        path: The CSV file.
        rows: One or more, with the same columns.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


@dataclass(frozen=True)
class _Run:
    """What ``data/source.json`` says of the run that made a model.

    Attributes:
        sources: Where its data lay, see :meth:`Sources.from_dict`.
        parts: Names of the dives of each part.
    """

    sources: dict[str, Any]
    parts: dict[str, list[str]]


class _Task(NamedTuple):
    """A request with all that it is about."""

    request: EvaluationRequest
    card: ModelDirectory
    settings: AqaSettings
    run: _Run | None
    sources: Sources
    device: str

    @property
    def trained(self) -> Sequence[str]:
        """The training dives in the order of the bank, on which the draw of exemplars
        depends."""
        return self.run.parts["train"] if self.run else self.card.trained_on


@dataclass(frozen=True)
class _AskedDives:
    """The dives to evaluate.

    Attributes:
        dives: Those that can be read.
        own: Whether they are of the run's data set.
        notes: What is to be known of them.
        left_out: See ModelEvaluation.
    """

    dives: Sequence[AqaDive]
    own: bool
    notes: list[str]
    left_out: list[str]


def _evaluate(task: _Task, manifest: Manifest | None = None) -> ModelEvaluation:
    from finediving_pose.aqa.data.skeletons import count_skeletons
    from finediving_pose.aqa.data.sources import prepare_data
    from finediving_pose.aqa.evaluation import evaluate
    from finediving_pose.aqa.trained_model import load_weights
    from finediving_pose.devices import choose_device

    card, settings = task.card, task.settings
    device = choose_device(task.device)
    prepared = prepare_data(settings, task.sources)
    if prepared.settings.feature_dim != settings.feature_dim:
        raise DataError(
            f"{settings.features}: vectors of {prepared.settings.feature_dim} numbers, and {card.path} was trained on "
            f"vectors of {settings.feature_dim}"
        )
    asked = _choose_dives(task, prepared)
    model = load_weights(card, device)
    model.settings = settings
    predictions, train = _predict(model, asked, prepared, task, device)
    records = [dive.record for dive in asked.dives]
    no_skeleton = 0
    if settings.branch_pose:
        no_skeleton = len(asked.dives) - count_skeletons(asked.dives).known
    evaluation = evaluate(
        predictions,
        records,
        train,
        settings,
        no_skeleton,
        asked.notes,
        task.request.ceiling,
    )
    if manifest is not None:
        manifest.add(
            device=device, data_sha256=dict(prepared.gathered.annotations.sha256)
        )
        manifest.warnings += [*evaluation.notes, *asked.left_out]
    return ModelEvaluation(
        model=card.path,
        part=task.request.part if asked.own else "other",
        evaluation=evaluation,
        rows=_list_predictions(predictions, records, settings),
        left_out=asked.left_out,
    )


def _predict(
    model: ScoreModel,
    asked: _AskedDives,
    prepared: Prepared,
    task: _Task,
    device: str,
) -> tuple[Predictions, list[Dive]]:
    """Return the predictions, and the records of the training dives that the exemplars
    are positions in."""
    from finediving_pose.aqa.exemplar_bank import BANK_NAME, read_bank
    from finediving_pose.aqa.inference import (
        InferenceOptions,
        predict_dives,
        predict_with,
    )

    settings, folder = model.settings, task.card.path
    options = InferenceOptions.of_training(settings, device)
    train: list[AqaDive] = []
    if asked.own:
        by_name = {dive.name: dive for dive in prepared.gathered.dives}
        train = [by_name[name] for name in task.trained if name in by_name]
    # Without a bank, all training dives have to be here, or the exemplars are others.
    if not (folder / BANK_NAME).is_dir() and len(train) == len(task.trained):
        console.log.info(
            "%s has no exemplar bank: its training dives are encoded anew", folder
        )
        found = predict_dives(
            model, asked.dives, train, prepared.loader, options, settings.seed
        )
        return found, [dive.record for dive in train]
    bank = read_bank(folder)
    found = predict_with(
        model,
        asked.dives,
        bank.encoded,
        bank.dives,
        prepared.loader,
        options,
        settings.seed,
    )
    return found, list(bank.dives)


def _choose_dives(task: _Task, prepared: Prepared) -> _AskedDives:
    """Return the dives that are asked for and not trained on.

    Raises:
        UsageError: If the data has no such part.
        DataError: If none is left, or some were trained on and are not to be skipped.
    """
    request, run = task.request, task.run
    known = {"/".join(dive.key) for dive in prepared.gathered.annotations.dives}
    if run is not None and set(run.parts[request.part]) <= known:
        asked = _choose_own_dives(task, run, prepared)
    else:
        asked = _choose_other_dives(task, prepared)
    if request.part != "train":
        asked = _leave_out_trained(asked, task.card, request.skip_trained)
    left_out = asked.left_out
    if left_out:
        asked.notes.append(
            f"{len(left_out)} dives are left out, the first {left_out[0]}"
        )
    if not asked.dives:
        reason = f"; {left_out[0]}" if left_out else ""
        raise DataError(f"{request.part} part: no dive can be evaluated{reason}")
    return asked


def _choose_own_dives(task: _Task, run: _Run, prepared: Prepared) -> _AskedDives:
    part = task.request.part
    wanted = run.parts[part]
    if not wanted:
        sizes = [f"{name} {len(run.parts[name])}" for name in get_args(Part)]
        raise UsageError(
            f"--part {part}: {task.card.path} has no such dives ({', '.join(sizes)}); choose another part, or other "
            "--data"
        )
    by_name = {dive.name: dive for dive in prepared.gathered.dives}
    dives, left_out = [], []
    for name in wanted:
        if name in by_name:
            dives.append(by_name[name])
        else:
            left_out.append(f"{name}: {_explain_absence(prepared, name)}")
    notes = []
    if part == "train":
        notes.append(
            "these dives were trained on: the metrics flatter, and say nothing of other dives"
        )
    elif part == "val":
        notes.append("these dives chose the epoch: the metrics flatter a little")
    return _AskedDives(dives, True, notes, left_out)


def _choose_other_dives(task: _Task, prepared: Prepared) -> _AskedDives:
    gathered, model = prepared.gathered, task.card.path
    if task.request.part != "test":
        raise UsageError(
            f"--part {task.request.part}: is a part of {model}'s own data, and this data set is another"
        )
    which = "all its dives, for it has no test part"
    if gathered.test:
        which = "its test part"
    note = f"{gathered.annotations.folder} is another data set than {model} was made with: {which}"
    dives = gathered.select(gathered.test or gathered.train)
    left_out = [f"{'/'.join(key)}: no score" for key in gathered.no_score]
    return _AskedDives(dives, False, [note], left_out)


def _leave_out_trained(
    asked: _AskedDives, card: ModelDirectory, skip: bool
) -> _AskedDives:
    from finediving_pose.aqa.data.splits import refuse_overlap

    known = set(card.trained_on)
    trained = [dive for dive in asked.dives if dive.name in known]
    if not trained:
        return asked
    if not skip:
        try:
            refuse_overlap(
                [dive.key for dive in trained], [dive.key for dive in asked.dives]
            )
        except DataError as error:
            raise DataError(f"{error}; --skip-trained tests on the others") from None
    note = f"{len(trained)} dives are left out because they were trained on"
    others = [dive for dive in asked.dives if dive.name not in known]
    return replace(asked, dives=others, notes=[*asked.notes, note])


def _explain_absence(prepared: Prepared, name: str) -> str:
    for key, reason in prepared.unreadable.items():
        if "/".join(key) == name:
            return reason
    features = {"/".join(key) for key in prepared.gathered.no_features}
    return "no features" if name in features else "no frames"


def _read_run(model: Path) -> _Run | None:
    path = model / SOURCE_NAME
    if not path.is_file():
        return None
    content = load_json(path)
    parts = {}
    try:
        for part in get_args(Part):
            parts[part] = [str(name) for name in content["parts"][part]]
        return _Run(dict(content["sources"]), parts)
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: expected sources and parts, as train-aqa writes them ({error!r} is missing)"
        ) from None


def _choose_sources(
    model: Path, run: _Run | None, given: Mapping[str, Path | None]
) -> Sources:
    from finediving_pose.aqa.data.sources import Sources

    named = {name: path for name, path in given.items() if path is not None}
    if run is None:
        if "annotations" not in named:
            raise UsageError(
                f"{model}: has no {SOURCE_NAME}, which says what it was made with; name the data with --data"
            )
        return Sources(**named)
    sources = replace(Sources.from_dict(run.sources), **named)
    options = {
        "annotations": "--data",
        "frames": "--frames",
        "skeletons": "--skeletons",
    }
    for name, option in options.items():
        path = getattr(sources, name)
        if path is not None and not path.exists():
            reason = "where the run had it, there is nothing now"
            if name in named:
                reason = "no such file or folder"
            raise UsageError(f"{path}: {reason}; name it with {option}")
    return sources


def _list_predictions(
    found: Predictions, records: Sequence[Dive], settings: AqaSettings
) -> list[dict[str, Any]]:
    from finediving_pose.aqa.evaluation import sample_true_transitions

    true = sample_true_transitions(records, settings)
    rows = []
    for place, record in enumerate(records):
        dive = found.dives[place]
        exemplars = LIST_SEPARATOR.join(each.name for each in dive.exemplars)
        rows.append(
            {
                "name": found.names[place],
                "dive_number": record.dive_number,
                "difficulty": record.difficulty,
                "score": record.score,
                "predicted": _round(dive.score),
                "spread": _round(dive.spread),
                "exemplars": exemplars,
                "transitions_predicted": _join_frames(found.transitions[place]),
                "transitions_true": _join_frames(true[place]),
            }
        )
    return rows


def _round(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _join_frames(frames: Any) -> str:
    if not np.isfinite(frames).all():
        return ""
    return LIST_SEPARATOR.join(f"{frame:.0f}" for frame in frames)
