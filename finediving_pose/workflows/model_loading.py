"""Detectors and pose estimators by name, for the commands that use them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from finediving_pose.console import log
from finediving_pose.datasets.model_directory import (
    CARD_NAME,
    SYNTHETIC,
    ModelKind,
    is_model_directory,
)
from finediving_pose.errors import EnvironmentUnfit, UsageError

if TYPE_CHECKING:
    from finediving_pose.openmmlab.settings import Views
    from finediving_pose.records import Detector, PoseEstimator


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


def load_detector(
    spec: str,
    device: str = "auto",
    score_threshold: float | None = None,
    precision: str = "fp32",
    trust: bool = False,
    compile: bool = False,
) -> Detector:
    """Load a detector from a model directory, ``CONFIG.py,CHECKPOINT`` or the name of a
    model-zoo config.

    Args:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; a GPU that is asked for must
            be there.
        score_threshold: Boxes below are dropped; None = the model's own.
        precision: ``fp32``, ``bf16`` or ``fp16``.
        trust: Whether a foreign checkpoint may hold more than weights.
        compile: Whether ``torch.compile`` makes the net faster, after minutes; last
            digits may differ.

    Raises:
        EnvironmentUnfit, UsageError, DataError: If device, packages, weights or the
            model cannot be had.
    """
    require_torch("detection")
    from finediving_pose.devices import choose_device
    from finediving_pose.openmmlab.detector import load_detector as load

    return load(spec, choose_device(device), score_threshold, precision, trust, compile)


def load_estimator(
    spec: str | Path,
    device: str = "auto",
    flip_test: bool = True,
    precision: str = "fp32",
    compile: bool = False,
    tta: Views = "none",
    second_look: bool = False,
) -> PoseEstimator:
    """Load a pose net from a model directory; errors as for :func:`load_detector`.

    Args:
        flip_test: Whether the mirrored crop is looked at too.
        tta: ``rotate4``: the crop's quarter turns too.
        second_look: Whether everybody is looked at again in a box made of the joints of
            the first look.
    """
    require_torch("pose estimation")
    from finediving_pose.devices import choose_device
    from finediving_pose.openmmlab.pose_estimator import load_estimator as load

    estimator = load(
        Path(spec), choose_device(device), flip_test, precision, compile, tta
    )
    if not second_look:
        return estimator
    from finediving_pose.openmmlab.second_look import SecondLook

    return SecondLook(estimator)


def on_gpu(device: str) -> bool:
    """Whether the device of that name is a GPU; errors as for :func:`load_detector`."""
    require_torch("a network")
    from finediving_pose.devices import choose_device

    return choose_device(device).startswith("cuda")
