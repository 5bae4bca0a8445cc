"""What a training needs to know of a network, before any mm* package is imported."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class TrainingLabels:
    """The label files of a training, in COCO format.

    Attributes:
        train: Labels to train on.
        val: Labels to validate on; None = there is no validation.
        images: The folder that their image names are relative to.
    """

    train: Path
    val: Path | None
    images: Path


@dataclass(frozen=True)
class TrainingPlan:
    """A network and its data, as MMEngine's Runner wants them.

    Attributes:
        scope: The registry that names are looked up in first, ``mmpose`` or ``mmdet``.
        model: The network's configuration.
        data: ``train_dataloader`` and, where there is a validation, ``val_dataloader``
            and ``val_evaluator``.
        select: The validation metric, higher is better, that chooses the epoch.
        hooks: Configurations of further hooks.
    """

    scope: str
    model: dict[str, Any]
    data: dict[str, Any]
    select: str
    hooks: tuple[dict[str, Any], ...] = ()
