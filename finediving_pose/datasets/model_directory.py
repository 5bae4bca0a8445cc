"""A model directory: what commands hand each other instead of bare weights.

::

    runs/hrnet/<date>_<name>/
      model.json          what it is: kind, joints, preprocessing, the dives it was trained on, hash of the weights
      model.safetensors   the weights
      config.yaml         every setting of the training
      manifest.json       who made it, from what
      metrics.csv, log.txt, last.ckpt   of the training; not needed to use the model
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from finediving_pose.config import find_nearest_path
from finediving_pose.errors import DataError, UsageError
from finediving_pose.files import parse_json, read_text, sha256_file, write_json
from finediving_pose.skeleton import JOINTS

ModelKind = Literal["pose", "detector", "aqa"]

SYNTHETIC = "synthetic"
PACKAGED = Path(__file__).parents[1] / "synthetic_models"
"""A model directory a kind that comes with the package: trained on generated divers,
and on nothing else."""

CARD_NAME = "model.json"
WEIGHTS_NAME = "model.safetensors"
FORMAT = 1


@dataclass(frozen=True)
class ModelDirectory:
    """A trained model as it lies on the disk.

    Attributes:
        path: The folder.
        kind: ``pose``, ``detector`` or ``aqa``.
        settings: All training settings; they hold what a user of the model must repeat,
            such as the input size.
        trained_on: ``match/dive`` of every dive in the training part.
        weights_sha256: Hash of the weights' file, checked when the directory is read.
        metrics: Validation metrics of the chosen epoch.
        joints: The joints that a pose network finds, in order; empty for the others.
    """

    path: Path
    kind: ModelKind
    settings: dict[str, Any]
    trained_on: tuple[str, ...]
    weights_sha256: str
    metrics: dict[str, float] = field(default_factory=dict)
    joints: tuple[str, ...] = ()

    @property
    def weights(self) -> Path:
        return self.path / WEIGHTS_NAME


def write_model_card(
    folder: Path,
    kind: ModelKind,
    settings: dict[str, Any],
    trained_on: Sequence[str],
    metrics: dict[str, float] | None = None,
) -> ModelDirectory:
    """Turn a folder that holds ``model.safetensors`` into a model directory by writing
    its ``model.json``.

    Args:
        folder: The folder.
        kind: Of the model.
        settings: Of its training.
        trained_on: ``match/dive`` of every dive that it was trained on.
        metrics: Validation metrics of the chosen epoch.

    Raises:
        DataError: If the folder holds no weights.
    """
    weights = folder / WEIGHTS_NAME
    if not weights.exists():
        raise DataError(
            f"{folder}: has no {WEIGHTS_NAME}, so it cannot become a model directory"
        )
    card = {
        "format": FORMAT,
        "kind": kind,
        "joints": list(JOINTS) if kind == "pose" else [],
        "settings": settings,
        "trained_on": sorted(set(trained_on)),
        "weights_sha256": sha256_file(weights),
        "metrics": metrics or {},
    }
    write_json(folder / CARD_NAME, card)
    return read_model_directory(folder, kind)


def is_model_directory(path: Path) -> bool:
    """Return whether `path` is a folder with a model card."""
    return (path / CARD_NAME).is_file()


def model_path(spec: str | Path, kind: ModelKind) -> Path:
    """Turn what a user wrote into a path.

    Args:
        spec: A path; ``synthetic`` is the packaged model, unless a folder is called so
            here.
        kind: Of the packaged model.
    """
    path = Path(spec)
    if path == Path(SYNTHETIC) and not path.exists():
        return PACKAGED / kind
    return path


def read_model_directory(path: Path, kind: ModelKind | None = None) -> ModelDirectory:
    """Read and check a model directory.

    Args:
        path: The folder; with a kind also ``synthetic``, see :func:`model_path`.
        kind: The kind that is needed; None = any.

    Raises:
        UsageError: If the folder is no model directory, or one of another kind.
        DataError: If its card cannot be read, its joints are not ours, or its weights
            are not those it names.
    """
    path = model_path(path, kind) if kind else path
    card_path = path / CARD_NAME
    if not card_path.is_file():
        raise UsageError(
            f"{path}: no model directory (it has no {CARD_NAME}); give a folder that a training wrote"
            + (find_nearest_path(path, [SYNTHETIC]) if not path.exists() else "")
        )
    try:
        card = parse_json(read_text(card_path))
        if card["format"] != FORMAT:
            raise DataError(
                f"{card_path}: found format {card['format']!r}, this fdpose reads format {FORMAT}"
            )
        metrics = _check_type(card.get("metrics", {}), dict, "metrics")
        for name, value in metrics.items():
            _check_type(value, float, f"metrics.{name}")
        directory = ModelDirectory(
            path=path,
            kind=card["kind"],
            settings=_check_type(card["settings"], dict, "settings"),
            trained_on=_check_names(card["trained_on"], "trained_on"),
            weights_sha256=_check_type(card["weights_sha256"], str, "weights_sha256"),
            metrics=metrics,
            joints=_check_names(card.get("joints", []), "joints"),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{card_path}: not a readable model card: {type(error).__name__}: {error}"
        ) from error
    _check_directory(directory, kind)
    return directory


def _check_type(value: Any, kind: type, key: str) -> Any:
    """Return a value of a card if it is of its type; a float may be whole, or None."""
    kinds = (float, int, type(None)) if kind is float else kind
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise TypeError(
            f"{key} is {str(value)[:60]!r}, expected a value of type {kind.__name__}"
        )
    return value


def _check_names(value: Any, key: str) -> tuple[str, ...]:
    for each in _check_type(value, list, key):
        _check_type(each, str, key)
    return tuple(value)


def _check_directory(directory: ModelDirectory, kind: ModelKind | None) -> None:
    if directory.kind not in get_args(ModelKind):
        raise DataError(
            f"{directory.path / CARD_NAME}: unknown kind {directory.kind!r}"
        )
    if kind is not None and directory.kind != kind:
        raise UsageError(
            f"{directory.path}: is {_add_article(directory.kind)} model, and {_add_article(kind)} model is needed here"
        )
    if directory.kind == "pose" and directory.joints != JOINTS:
        raise DataError(
            f"{directory.path / CARD_NAME}: its joints are not MPII's 16: {', '.join(directory.joints)}"
        )
    if not directory.weights.is_file():
        raise DataError(f"{directory.path}: {WEIGHTS_NAME} is missing")
    found = sha256_file(directory.weights)
    if found != directory.weights_sha256:
        raise DataError(
            f"{directory.weights}: sha256 is {found}, the model card names {directory.weights_sha256}: the file was "
            "changed or copied in part; copy the directory again"
        )


def _add_article(word: str) -> str:
    article = "an" if word[0] in "aeiou" else "a"
    return f"{article} {word}"
