"""Loading of detectors and pose estimators by name, and checks that packages are there.

Whatever runs a network stands behind :mod:`finediving_pose.network_interfaces`; another runtime
is loaded in :func:`load_detector` and :func:`load_estimator`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import NamedTuple

from finediving_pose.console import log
from finediving_pose.datasets.model_directory import (
    CARD_NAME,
    SYNTHETIC,
    ModelKind,
    is_model_directory,
)
from finediving_pose.errors import EnvironmentUnfit, UsageError
from finediving_pose.network_interfaces import Detector, NetworkOptions, PoseEstimator


class RunFolder(NamedTuple):
    """Where the models of a kind are.

    Attributes:
        path: Below the project's folder.
        command: Which command writes them.
        option: Which option of other commands names one.
    """

    path: Path
    command: str
    option: str


RUN_FOLDERS: dict[ModelKind, RunFolder] = {
    "pose": RunFolder(Path("runs/hrnet"), "finetune-hrnet", "--model"),
    "detector": RunFolder(Path("runs/detector"), "finetune-detector", "--detector"),
    "aqa": RunFolder(Path("runs/aqa"), "train-aqa", "--model"),
}


def newest_model(kind: ModelKind) -> Path:
    """Return the model directory of that kind that was finished last below the current
    folder's ``runs``.

    Raises:
        UsageError: If there is none; says where it was looked for.
    """
    folder, command, option = RUN_FOLDERS[kind]
    candidates = [path for path in folder.glob("*") if is_model_directory(path)]
    if not candidates:
        packaged = ""
        if kind != "aqa":
            packaged = (
                f" ({SYNTHETIC}: the one that comes with fdpose, "
                "trained on generated divers)"
            )
        raise UsageError(
            f"no {kind} model: looked for a model directory (a folder with {CARD_NAME}) "
            f"in {folder.absolute()}; name one with {option}{packaged}, "
            f"or make one with fdpose {command}"
        )
    newest = max(candidates, key=_finished_at)
    log.info(
        "%s model: %s, the newest of %d (%s names another)",
        kind,
        newest,
        len(candidates),
        option,
    )
    return newest


def _finished_at(path: Path) -> tuple[int, str]:
    return (path / CARD_NAME).stat().st_mtime_ns, path.name


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
    """Refuse a command of the score model where a package that it needs is absent.

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
