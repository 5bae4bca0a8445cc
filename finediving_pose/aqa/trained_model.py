"""Trained score models, read from their model directories."""

from __future__ import annotations

from pathlib import Path

from finediving_pose.aqa.score_model import ScoreModel, build_model
from finediving_pose.aqa.settings import AqaSettings
from finediving_pose.config import validate_settings
from finediving_pose.datasets.model_directory import (
    CARD_NAME,
    ModelDirectory,
    read_model_directory,
)
from finediving_pose.errors import DataError


def load_model(folder: Path, device: str = "cpu") -> ScoreModel:
    """Return the model of a model directory, ready to evaluate.

    Args:
        folder: What train-aqa wrote.
        device: Where the model goes.

    Raises:
        UsageError: If the folder is no model directory of a score model.
        DataError: If its card or its weights are damaged, or do not go together.
    """
    return load_weights(read_model_directory(folder, "aqa"), device)


def load_weights(directory: ModelDirectory, device: str = "cpu") -> ScoreModel:
    """Return the model of a directory that has been read.

    Args:
        directory: What was read.
        device: Where the model goes.

    Raises:
        UsageError: If its settings are not those of this version.
        DataError: If settings and weights do not go together.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    settings = read_model_settings(directory)
    try:
        tensors = load_file(directory.weights)
        model = build_model(settings)
        model.load_state_dict(tensors)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{directory.weights}: not readable: {error}") from None
    except RuntimeError as error:
        faults = str(error).strip().splitlines()
        raise DataError(
            f"{directory.weights}: does not fit the settings beside it: {faults[-1].strip()}; was {CARD_NAME} edited?"
        ) from None
    return model.to(device).eval()


def read_model_settings(directory: ModelDirectory) -> AqaSettings:
    """Return what the model was made with.

    Raises:
        UsageError: If they are not settings of this version; names the keys.
    """
    return validate_settings(
        AqaSettings, directory.settings, str(directory.path / CARD_NAME)
    )
