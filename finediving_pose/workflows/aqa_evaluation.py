"""Figures: of a score model on dives it has not learned from, of two files of numbers,
and of labels alone."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import yaml

from finediving_pose import console
from finediving_pose.aqa.settings import AqaSettings, load_aqa
from finediving_pose.config import validate_settings
from finediving_pose.datasets.model_directory import (
    ModelDirectory,
    is_model_directory,
    read_model_directory,
)
from finediving_pose.datasets.problems import load_json
from finediving_pose.errors import DataError, UsageError
from finediving_pose.files import write_json, write_text
from finediving_pose.manifest import Manifest, recording
from finediving_pose.media import SAMPLES
from finediving_pose.workflows.aqa_training import SOURCE_NAME
from finediving_pose.workflows.model_loading import require_aqa

if TYPE_CHECKING:
    from finediving_pose.aqa.data.dives import AqaDive
    from finediving_pose.aqa.data.sources import Prepared, Sources
    from finediving_pose.aqa.evaluation import Evaluation
    from finediving_pose.aqa.inference import Predictions
    from finediving_pose.aqa.score_model import ScoreModel
    from finediving_pose.datasets.finediving import Key
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
class ModelFigures:
    """What a model reaches on some dives.

    Attributes:
        model: Its folder.
        part: Of the run's dives; ``other`` = of a data set that it knows nothing of.
        evaluation: The figures.
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

    def lines(self) -> list[str]:
        """Return the metrics as text."""
        from finediving_pose.aqa.evaluation_text import format_evaluation

        return [
            f"{self.model}, {self.part} part",
            *format_evaluation(self.evaluation, numbers=True),
        ]


@dataclass(frozen=True)
class Floors:
    """What labels alone reach on a split.

    Attributes:
        data: Where the labels lie.
        train, test: How many dives with a score there are in each part.
        own_split: Whether the split is ours, because the data set has none.
        figures: By floor, see :func:`baselines.floors`.
        intervals: By score floor and figure.
    """

    data: Path
    train: int
    test: int
    own_split: str
    figures: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, tuple[float, float]]]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        intervals = {
            name: {
                key: list(bounds) if all(map(math.isfinite, bounds)) else None
                for key, bounds in each.items()
            }
            for name, each in self.intervals.items()
        }
        return {
            "data": str(self.data),
            "train": self.train,
            "test": self.test,
            "split": self.own_split or "published",
            "floors": self.figures,
            "intervals": intervals,
        }

    def lines(self) -> list[str]:
        """Return the floors as text."""
        from finediving_pose.aqa.evaluation_text import format_baselines

        split = f" ({self.own_split})" if self.own_split else ""
        counts = f"{self.data}: {self.train} dives to learn from, {self.test} to test on{split}"
        return [
            counts,
            *format_baselines(self.figures, self.intervals),
            "… 95 % bootstrap intervals over the test dives",
        ]


def evaluate_model(
    model: Path,
    part: Part = "test",
    given: Mapping[str, Path | None] | None = None,
    overrides: Iterable[str] = (),
    device: str = "auto",
    out: Path | None = None,
    skip_trained: bool = False,
    ceiling: float | None = None,
) -> ModelFigures:
    """Measure a model on a part of its run's dives, or on a data set it was not trained
    on.

    The exemplars are those of the model's bank, encoded when it was trained; only of a
    model without one are the training dives encoded anew. So the training set need not
    be here, and each video is encoded once.

    Args:
        model: A model directory.
        part: Of the run's dives. Of a data set without these the published test part is
            used, or all dives.
        given: Fields of Sources that differ from those of the run.
        overrides: ``key=value`` of :data:`CHANGEABLE` settings.
        device: auto, cpu, cuda or cuda:N.
        out: A folder for ``predictions.csv``, ``evaluation.json`` and a manifest; None
            = nothing is written.
        skip_trained: Leave out dives that were trained on, instead of refusing them.
        ceiling: ρ that no method can hope to pass.

    Raises:
        UsageError: If model, data or settings cannot be what was asked for.
        DataError: If there is nothing to evaluate, or dives that were trained on are
            among them.
        EnvironmentUnfit: If a package or the device is not there.
    """
    require_aqa("eval-aqa")
    from finediving_pose.aqa.trained_model import read_model_settings

    overrides = tuple(overrides)
    if out is not None and is_model_directory(out):
        raise UsageError(
            f"--out {out}: is a model directory, whose manifest would be replaced; name another folder"
        )
    card = read_model_directory(model, "aqa")
    settings = changed(read_model_settings(card), overrides)
    request = _Request(card, settings, part, skip_trained, ceiling, device)
    source = _source(model)
    sources = _sources(model, source, given or {})
    if out is None:
        return _evaluate(request, source, sources)
    facts = {
        "part": part,
        "settings": list(overrides),
        "seed": settings.seed,
        "sources": sources.as_dict(),
    }
    with recording(
        out, model=str(model.resolve()), model_sha256=card.weights_sha256, **facts
    ) as manifest:
        figures = _evaluate(request, source, sources, manifest)
        write_predictions(out / PREDICTIONS_NAME, figures.rows)
        write_json(out / EVALUATION_NAME, figures.as_dict())
    return figures


def evaluate_files(
    pred: Path,
    true: Path,
    numbers: Path | None = None,
    transitions_pred: Path | None = None,
    transitions_true: Path | None = None,
    frames: int = SAMPLES,
) -> Evaluation:
    """Measure predictions in a file by the truth in another.

    Args:
        pred, true: One score a line, the same dives in the same order.
        numbers: Their dive numbers, one a line; None = not known.
        transitions_pred, transitions_true: K − 1 frames a line; None = not known.
        frames: How many frames stand for a dive.

    Raises:
        UsageError: If a file is not there, or one of a pair is missing.
        DataError: If a file holds something else, or they do not go together.
    """
    from finediving_pose.aqa.evaluation import StageFrames, evaluate_arrays
    from finediving_pose.datasets.score_tables import (
        read_names,
        read_number_rows,
        read_numbers,
    )

    predicted, scores = read_numbers(pred), read_numbers(true)
    _same_length(pred, len(predicted), true, len(scores))
    groups = None if numbers is None else read_names(numbers)
    if groups is not None and numbers is not None:
        _same_length(numbers, len(groups), true, len(scores))
    stages = None
    if (transitions_pred is None) != (transitions_true is None):
        raise UsageError(
            "--transitions-pred and --transitions-true go together; found one of them"
        )
    if transitions_pred is not None and transitions_true is not None:
        stages = StageFrames(
            read_number_rows(transitions_pred),
            read_number_rows(transitions_true),
            frames,
        )
        _same_length(transitions_true, len(stages.true), true, len(scores))
        _same_length(transitions_pred, len(stages.predicted), true, len(scores))
        if stages.predicted.shape != stages.true.shape:
            found = f"{stages.predicted.shape[1]} and {stages.true.shape[1]} transitions a dive"
            raise DataError(
                f"{transitions_pred} and {transitions_true}: {found}; expected as many in both"
            )
        for path, values in (
            (transitions_pred, stages.predicted),
            (transitions_true, stages.true),
        ):
            _refuse_disorder(path, values, stages.frames)
    return evaluate_arrays(predicted, scores, groups, stages)


def label_floors(data: Path, stages_from: Path | None = None, seed: int = 0) -> Floors:
    """Return what labels alone reach on the test part of a data set; one without parts
    is divided as train-aqa does.

    Args:
        data: See read_annotations.
        stages_from: FineDiving's folder, whose stages MTL-AQA borrows.
        seed: Of the draws of exemplars and of the bootstrap.

    Raises:
        UsageError: If there is nothing at `data`.
        DataError: If one of the parts is empty.
    """
    from finediving_pose.aqa import baselines
    from finediving_pose.aqa.data.dives import gather_dives, read_annotations
    from finediving_pose.aqa.data.splits import hold_out
    from finediving_pose.aqa.evaluation import bootstrap_baselines

    gathered = gather_dives(read_annotations(data, stages_from))
    train: Sequence[Key] = gathered.train
    test: Sequence[Key] = gathered.test
    own_split = ""
    if not test:
        settings = load_aqa()
        train, test = hold_out(
            _records(gathered, train), settings.test_fraction, settings.split_seed
        )
        own_split = f"no published split: held out as train-aqa does, test_fraction={settings.test_fraction:g} "
        own_split += f"split_seed={settings.split_seed}"
    if not train or not test:
        raise DataError(
            f"{data}: {len(train)} dives with a score to learn from and {len(test)} to test on; expected some of each"
        )
    records = [dive.record for dive in gathered.dives]
    learned, tested = _records(gathered, train), _records(gathered, test)
    figures = baselines.measure_baselines(records, train, test, seed)
    return Floors(
        data,
        len(train),
        len(test),
        own_split,
        figures,
        bootstrap_baselines(learned, tested, seed),
    )


def changed(settings: AqaSettings, overrides: Iterable[str]) -> AqaSettings:
    """Return a model's settings with some that its weights do not depend on.

    Raises:
        UsageError: If a text is no ``key=value``, or the weights depend on the key.
    """
    values = settings.model_dump(mode="json")
    for text in overrides:
        key, equals, raw = text.partition("=")
        if not equals:
            raise UsageError(f"{text!r}: expected key=value")
        if key not in CHANGEABLE:
            known = (
                "belongs to the trained weights"
                if key in AqaSettings.model_fields
                else "is no setting"
            )
            raise UsageError(
                f"{text}: {key} {known}; an evaluation can change {', '.join(CHANGEABLE)}"
            )
        values[key] = yaml.safe_load(raw)
    return validate_settings(AqaSettings, values, "settings")


def write_predictions(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a line for each dive; what is not known is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


class _Request(NamedTuple):
    card: ModelDirectory
    settings: AqaSettings
    part: Part
    skip_trained: bool
    ceiling: float | None
    device: str


def _evaluate(
    request: _Request,
    source: dict[str, Any] | None,
    sources: Sources,
    manifest: Manifest | None = None,
) -> ModelFigures:
    from finediving_pose.aqa.data.sources import prepare_data
    from finediving_pose.aqa.evaluation import evaluate
    from finediving_pose.aqa.trained_model import load_weights
    from finediving_pose.devices import choose_device

    card, settings = request.card, request.settings
    device = choose_device(request.device)
    prepared = prepare_data(settings, sources)
    if prepared.settings.feature_dim != settings.feature_dim:
        raise DataError(
            f"{settings.features}: vectors of {prepared.settings.feature_dim} numbers, and {card.path} was trained on "
            f"vectors of {settings.feature_dim}"
        )
    asked = _asked(request, prepared, source)
    net = load_weights(card, device)
    net.settings = settings
    found, train = _predict(
        net, asked, prepared, card.path, _trained(card, source), device
    )
    records = [dive.record for dive in asked.dives]
    without = _no_skeleton(asked.dives) if settings.branch_pose else 0
    evaluation = evaluate(
        found, records, train, settings, without, asked.notes, request.ceiling
    )
    if manifest is not None:
        manifest.add(
            device=device, data_sha256=dict(prepared.gathered.annotations.sha256)
        )
        manifest.warnings += [*evaluation.notes, *asked.left_out]
    rows = list(_prediction_rows(found, records, settings))
    return ModelFigures(
        card.path,
        request.part if asked.own else "other",
        evaluation,
        rows,
        asked.left_out,
    )


@dataclass(frozen=True)
class _Asked:
    """The dives to evaluate.

    Attributes:
        dives: Those that can be read.
        own: Whether they are of the run's data set.
        notes: What is to be known of them.
        left_out: See ModelFigures.
    """

    dives: tuple[AqaDive, ...]
    own: bool
    notes: tuple[str, ...]
    left_out: list[str]


def _predict(
    net: ScoreModel,
    asked: _Asked,
    prepared: Prepared,
    model: Path,
    trained: Sequence[str],
    device: str,
) -> tuple[Predictions, list[Dive]]:
    """Return the predictions, and the records of the training dives that the exemplars
    are positions in."""
    from finediving_pose.aqa.exemplar_bank import BANK_NAME, read_bank
    from finediving_pose.aqa.inference import predict_dives, predict_with

    s = net.settings
    reading: dict[str, Any] = {
        "device": device,
        "workers": s.workers,
        "precision": s.precision,
        "seed": s.seed,
    }
    by_name = {dive.name: dive for dive in prepared.gathered.dives} if asked.own else {}
    train = [by_name[name] for name in trained if name in by_name]
    if not (model / BANK_NAME).is_dir() and len(train) == len(trained):
        console.log.info(
            "%s has no exemplar bank: its training dives are encoded anew", model
        )
        found = predict_dives(net, asked.dives, train, prepared.loader, **reading)
        return found, [dive.record for dive in train]
    bank = read_bank(model)
    return predict_with(
        net, asked.dives, bank.encoded, bank.dives, prepared.loader, **reading
    ), list(bank.dives)


def _asked(
    request: _Request, prepared: Prepared, source: dict[str, Any] | None
) -> _Asked:
    card, part = request.card, request.part
    gathered = prepared.gathered
    wanted = source["parts"][part] if source else []
    known = {"/".join(dive.key) for dive in gathered.annotations.dives}
    own = source is not None and set(wanted) <= known
    if own and not wanted:
        sizes = (
            ", ".join(f"{name} {len(source['parts'][name])}" for name in get_args(Part))
            if source
            else ""
        )
        raise UsageError(
            f"--part {part}: {card.path} has no such dives ({sizes}); choose another part, or other --data"
        )
    notes = []
    if own:
        by_name = {dive.name: dive for dive in gathered.dives}
        dives = [by_name[name] for name in wanted if name in by_name]
        left_out = [
            f"{name}: {_why(prepared, name)}" for name in wanted if name not in by_name
        ]
        if part != "test":
            notes.append(_flattery(part))
    else:
        if part != "test":
            raise UsageError(
                f"--part {part}: is a part of {card.path}'s own data, and this data set is another"
            )
        dives = gathered.select(gathered.test or gathered.train)
        left_out = [f"{'/'.join(key)}: no score" for key in gathered.no_score]
        which = (
            "its test part"
            if gathered.test
            else "all its dives, for it has no test part"
        )
        notes.append(
            f"{gathered.annotations.folder} is another data set than {card.path} was made with: {which}"
        )
    if part != "train":
        dives, skipped = _untrained(dives, card.trained_on, request.skip_trained)
        notes += (
            [f"{len(skipped)} dives are left out because they were trained on"]
            if skipped
            else []
        )
    if left_out:
        notes.append(f"{len(left_out)} dives are left out, the first {left_out[0]}")
    if not dives:
        raise DataError(
            f"{part} part: no dive can be evaluated"
            + (f"; {left_out[0]}" if left_out else "")
        )
    return _Asked(tuple(dives), own, tuple(notes), left_out)


def _flattery(part: Part) -> str:
    if part == "train":
        return "these dives were trained on: the figures flatter, and say nothing of other dives"
    return "these dives chose the epoch: the figures flatter a little"


def _untrained(
    dives: list[AqaDive], trained: Sequence[str], skip: bool
) -> tuple[list[AqaDive], list[AqaDive]]:
    from finediving_pose.aqa.data.splits import refuse_overlap

    known = set(trained)
    common = [dive for dive in dives if dive.name in known]
    if not skip:
        try:
            refuse_overlap([dive.key for dive in common], [dive.key for dive in dives])
        except DataError as error:
            raise DataError(f"{error}; --skip-trained tests on the others") from None
    return [dive for dive in dives if dive.name not in known], common


def _why(prepared: Prepared, name: str) -> str:
    reasons = {"/".join(key): reason for key, reason in prepared.unreadable.items()}
    if name in reasons:
        return reasons[name]
    features = {"/".join(key) for key in prepared.gathered.no_features}
    return "no features" if name in features else "no frames"


def _source(model: Path) -> dict[str, Any] | None:
    path = model / SOURCE_NAME
    if not path.is_file():
        return None
    content = load_json(path)
    try:
        parts = {
            name: [str(each) for each in content["parts"][name]]
            for name in get_args(Part)
        }
        return {"sources": dict(content["sources"]), "parts": parts}
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path}: expected sources and parts, as train-aqa writes them ({error!r} is missing)"
        ) from None


def _sources(
    model: Path, source: dict[str, Any] | None, given: Mapping[str, Path | None]
) -> Sources:
    from finediving_pose.aqa.data.sources import Sources

    named = {name: path for name, path in given.items() if path is not None}
    if source is None:
        if "annotations" not in named:
            raise UsageError(
                f"{model}: has no {SOURCE_NAME}, which says what it was made with; name the data with --data"
            )
        return Sources(**named)
    sources = replace(Sources.from_dict(source["sources"]), **named)
    options = {
        "annotations": "--data",
        "frames": "--frames",
        "skeletons": "--skeletons",
    }
    for name, option in options.items():
        path = getattr(sources, name)
        if path is not None and not path.exists():
            where = (
                "no such file or folder"
                if name in named
                else "where the run had it, there is nothing now"
            )
            raise UsageError(f"{path}: {where}; name it with {option}")
    return sources


def _trained(card: ModelDirectory, source: dict[str, Any] | None) -> Sequence[str]:
    """Return the training dives in the order of the bank, on which the draw of
    exemplars depends."""
    return source["parts"]["train"] if source else card.trained_on


def _no_skeleton(dives: Sequence[AqaDive]) -> int:
    from finediving_pose.aqa.data.skeletons import count_skeletons

    return len(dives) - count_skeletons(dives).known


def _prediction_rows(
    found: Predictions, records: Sequence[Dive], settings: AqaSettings
) -> Iterable[dict[str, Any]]:
    from finediving_pose.aqa.evaluation import sample_true_transitions

    true = sample_true_transitions(records, settings)
    for place, (name, record, dive) in enumerate(
        zip(found.names, records, found.dives, strict=True)
    ):
        yield {
            "name": name,
            "dive_number": record.dive_number,
            "difficulty": record.difficulty,
            "score": record.score,
            "predicted": _rounded(dive.score),
            "spread": _rounded(dive.spread),
            "exemplars": LIST_SEPARATOR.join(each.name for each in dive.exemplars),
            "transitions_predicted": _joined(found.transitions[place]),
            "transitions_true": _joined(true[place]),
        }


def _rounded(value: float) -> float | None:
    return round(value, 4) if math.isfinite(value) else None


def _joined(frames: Any) -> str:
    return (
        LIST_SEPARATOR.join(f"{frame:.0f}" for frame in frames)
        if np.isfinite(frames).all()
        else ""
    )


def _records(gathered: Any, keys: Sequence[Key]) -> list[Dive]:
    return [dive.record for dive in gathered.select(keys)]


def _same_length(one: Path, count: int, other: Path, expected: int) -> None:
    if count != expected:
        raise DataError(
            f"{one} holds {count} lines and {other} {expected}: expected the same dives in the same order"
        )


def _refuse_disorder(path: Path, transitions: Any, frames: int) -> None:
    edges = np.concatenate(
        [
            np.zeros((len(transitions), 1)),
            transitions,
            np.full((len(transitions), 1), frames),
        ],
        axis=1,
    )
    wrong = np.flatnonzero((np.diff(edges) < 0).any(axis=1))
    if len(wrong):
        row = ", ".join(f"{value:g}" for value in transitions[wrong[0]])
        raise DataError(
            f"{path}: dive {wrong[0]} of {len(transitions)} has {row}: expected frames from 0 to {frames} in order"
        )
