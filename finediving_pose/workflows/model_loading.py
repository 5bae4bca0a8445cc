"""Detectors and pose estimators by name, for the commands that use them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from finediving_pose.console import log
from finediving_pose.datasets.model_directory import (
    CARD_NAME,
    SYNTHETIC,
    ModelKind,
    is_model_directory,
)
from finediving_pose.errors import EnvironmentUnfit, UsageError
from finediving_pose.networks import Detector, NetworkOptions, PoseEstimator

RUN_FOLDERS: dict[ModelKind, tuple[Path, str, str]] = {
    "pose": (Path("runs/hrnet"), "finetune-hrnet", "--model"),
    "detector": (Path("runs/detector"), "finetune-detector", "--detector"),
    "aqa": (Path("runs/aqa"), "train-aqa", "--model"),
}
"""Where, below the project folder, which command writes the models of each kind, and
the option that names another."""


def newest_model(kind: ModelKind) -> Path:
    """Return the model directory of that kind that was finished last below the current
    folder's ``runs``.

    Raises:
        UsageError: If there is none; says where it was looked for.
    """
    folder, command, option = RUN_FOLDERS[kind]
    candidates = [path for path in folder.glob("*") if is_model_directory(path)]
    if not candidates:
        raise UsageError(
            f"no {kind} model: looked for a model directory (a folder with {CARD_NAME}) in {folder.absolute()}; "
            f"name one with {option}{_packaged(kind)}, or make one with fdpose {command}"
        )
    newest = max(
        candidates, key=lambda path: ((path / CARD_NAME).stat().st_mtime_ns, path.name)
    )
    log.info(
        "%s model: %s, the newest of %d (%s names another)",
        kind,
        newest,
        len(candidates),
        option,
    )
    return newest


def _packaged(kind: ModelKind) -> str:
    return (
        f" ({SYNTHETIC}: the one that comes with fdpose, trained on generated divers)"
        if kind != "aqa"
        else ""
    )


def require_torch(command: str) -> None:
    """Refuse a command that needs torch and the mm* packages where they are not
    installed.

    Raises:
        EnvironmentUnfit: With the line that installs them.
    """
    if importlib.util.find_spec("torch") is None:
        from finediving_pose.openmmlab.compat import INSTALL_HINT

        raise EnvironmentUnfit(
            f"{command} needs the extra `pose`, which is not installed. Install: {INSTALL_HINT}"
        )


def require_aqa(command: str, package: str = "torch") -> None:
    """Refuse a command of the score model where what it needs is not installed.

    Args:
        command: Its name.
        package: ``torch``, or ``pytorch_lightning`` to train.

    Raises:
        EnvironmentUnfit: With the line that installs it.
    """
    if importlib.util.find_spec(package) is None:
        raise EnvironmentUnfit(
            f"{command} needs {package}, which is not installed. Install the extra `aqa`: pip install 'fdpose[aqa]'"
        )


def load_detector(spec: str, options: NetworkOptions = NetworkOptions()) -> Detector:
    """Load a detector.

    Args:
        spec: A model directory, ``CONFIG.py,CHECKPOINT`` or the name of a model-zoo
            config.
        options: How it is loaded and runs.

    Raises:
        EnvironmentUnfit, UsageError, DataError: If device, packages, weights or the
            model cannot be had.
    """
    require_torch("detection")
    from finediving_pose.openmmlab import detector

    return detector.load_detector(spec, options)


def load_estimator(
    spec: str | Path, options: NetworkOptions = NetworkOptions()
) -> PoseEstimator:
    """Load a pose network.

    Args:
        spec: A model directory.
        options: How it is loaded and runs.

    Raises:
        EnvironmentUnfit, UsageError, DataError: As :func:`load_detector`.
    """
    require_torch("pose estimation")
    from finediving_pose.openmmlab import pose_estimator

    return pose_estimator.load_estimator(Path(spec), options)


def on_gpu(device: str) -> bool:
    """Whether the device of that name is a GPU; errors as for :func:`load_detector`."""
    require_torch("a network")
    from finediving_pose.devices import choose_device

    return choose_device(device).startswith("cuda")
