"""Initial weights: finding the file, filling a network as far as it fits, and a report
on what did not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse

from finediving_pose.datasets.model_directory import (
    ModelKind,
    is_model_directory,
    model_path,
    read_model_directory,
)
from finediving_pose.errors import EnvironmentUnfit, UsageError
from finediving_pose.files import atomic_path
from finediving_pose.openmmlab import compat
from finediving_pose.weights_report import LoadReport, find_tensors, match_tensors

if TYPE_CHECKING:
    from torch import nn


LEAST_SHARE = 0.5
"""Of the network's tensors; with fewer, a training would begin almost at random."""


def locate_weights(spec: str, kind: ModelKind) -> Path | None:
    """Turn ``init_from`` into a local file; None for ``none``.

    Args:
        spec: ``none``, a checkpoint file, a model directory, ``synthetic``, or a URL,
            which MMEngine's cache keeps.
        kind: Of the packaged model that ``synthetic`` stands for.

    Raises:
        UsageError: If there is no such file.
        EnvironmentUnfit: If the URL cannot be fetched; says where the file can be put
            by hand.
    """
    if spec.lower() == "none":
        return None
    if urlparse(spec).scheme in {"http", "https"}:
        return _fetch(spec)
    path = model_path(spec, kind)
    if is_model_directory(path):
        return read_model_directory(path, kind).weights
    if not path.is_file():
        raise UsageError(
            f"init_from={spec}: no such file or model directory "
            "(a random start is `none`)"
        )
    return path


def fill_network(
    net: nn.Module, path: Path, trust: bool = False, partial: bool = False
) -> LoadReport:
    """Fill a network from a checkpoint as far as names and shapes agree.

    Args:
        net: The network.
        path: The checkpoint file.
        trust: Whether it may hold more than weights.
        partial: Whether it may fill less than :data:`LEAST_SHARE` of the network.

    Raises:
        DataError: If the file cannot be read.
        UsageError: If it holds more than weights, or too little of it fits.
    """
    import torch

    own = net.state_dict()
    tensors = find_tensors(compat.load_checkpoint(path, trust), own)
    fitting, report = match_tensors(path, tensors, own)
    if not fitting:
        raise UsageError(
            f"{path}: not one of its {len(tensors)} tensors fits the network "
            f"(its first is {next(iter(tensors), 'none')}, "
            f"the network's first is {next(iter(own))}): the wrong file?"
        )
    if len(fitting) < LEAST_SHARE * len(own) and not partial:
        raise UsageError(
            "\n".join(report.lines())
            + f"\nexpected at least {LEAST_SHARE:.0%} of them: the weights of this "
            "network, or of one like it. If so few are meant, init_partial=true trains "
            "the rest from random weights"
        )
    with torch.no_grad():
        net.load_state_dict(fitting, strict=False)
    return report


def _fetch(url: str) -> Path:
    import torch
    from torch.hub import download_url_to_file

    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name
    if cached.is_file():
        return cached
    cached.parent.mkdir(parents=True, exist_ok=True)
    try:
        with atomic_path(cached) as temporary:
            download_url_to_file(url, str(temporary), progress=False)
    except Exception as error:
        raise EnvironmentUnfit(
            f"cannot fetch {url} ({type(error).__name__}: {error}). "
            f"Fetch it on another machine and put it at {cached}, or name a file of "
            "your own: --init-from FILE (or none, for a random start) when training, "
            "--detector CONFIG.py,FILE when extracting."
        ) from error
    return cached
