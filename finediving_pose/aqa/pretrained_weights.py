"""Published weights for the backbones: whose tensor names mean what, and when a file is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, Literal

from finediving_pose.errors import EnvironmentUnfit, UsageError
from finediving_pose.weights_report import LoadReport, find_tensors, match_tensors

if TYPE_CHECKING:
    from torch import Tensor, nn

LayoutName = Literal["i3d", "resnet50", "regnety200"]

FITTING_SHARE = 0.99
"""A file is refused of which less fits, or which fills less of the network."""

NOTHING = r"(?!)"
"""The pattern that finds nothing."""


@dataclass(frozen=True)
class Layout:
    """How a network's weights are published.

    Attributes:
        title: What to look for, in messages.
        rename: A published tensor's name → the network's name for it.
        head: Pattern of the file's classifier, which the network does without.
        unpublished: Pattern of the network's tensors that no file holds.
    """

    title: str
    rename: Callable[[str], str]
    head: str
    unpublished: str = NOTHING


def load_pretrained(module: nn.Module, path: Path, layout: LayoutName) -> LoadReport:
    """Fill a backbone from a file of published weights, or leave it as it is and say
    why.

    Args:
        module: :class:`~finediving_pose.aqa.model.backbones.I3D`,
            :class:`~finediving_pose.aqa.model.backbones.ResNet50` or
            :class:`~finediving_pose.aqa.model.backbones.RegNetY200`.
        path: A PyTorch file of tensors, read with ``weights_only``, or safetensors. I3D
            may come in either of its two published layouts, ResNet-50 in torchvision's,
            RegNetY-200MF in timm's.
        layout: Whose names the file's are.

    Returns:
        What found each other; names are the network's, as far as it has them.

    Raises:
        UsageError: If there is no such file.
        EnvironmentUnfit: If it cannot be read, if less than 99 % of its tensors or of
            the network's find each other, or if one has another shape, for so few tell
            a flow network from an RGB network.
    """
    known = LAYOUTS[layout]
    own = _leave_out(module.state_dict(), known.unpublished)
    published = _leave_out(_read_tensors(path, known, own), known.head)
    fitting, report = match_tensors(path, published, own)
    if report.share < FITTING_SHARE or report.mismatched:
        needed = f"Needed are the weights of {known.title}: {FITTING_SHARE:.0%} of the names, and every shape"
        advice = f"{needed}; {report.share:.1%} fit. Name the right file, or `random` to start without."
        raise EnvironmentUnfit("\n".join([*report.lines(), advice]))
    module.load_state_dict(fitting, strict=False)
    return report


def _leave_out(tensors: Mapping[str, Tensor], pattern: str) -> dict[str, Tensor]:
    """Leave out what the pattern finds, and the counters of batch norms, which old
    files lack."""
    left_out = re.compile(rf"{pattern}|num_batches_tracked$")
    kept = {}
    for name, value in tensors.items():
        if not left_out.search(name):
            kept[name] = value
    return kept


def _read_tensors(path: Path, layout: Layout, own: Container[str]) -> dict[str, Tensor]:
    if not path.is_file():
        raise UsageError(
            f"{path}: no such file. Expected {layout.title}, or `random` to start without weights."
        )
    try:
        checkpoint = _read_checkpoint(path)
    except Exception as error:
        raise EnvironmentUnfit(
            f"{path}: cannot be read as weights ({_explain_error(error)}). "
            f"Expected {layout.title}: a PyTorch file of tensors only, or safetensors. "
            "Is the download whole, and is it the state dict and not a pickled network?"
        ) from error
    tensors = find_tensors(checkpoint, own, layout.rename)
    if not tensors:
        raise EnvironmentUnfit(
            f"{path}: holds no named tensors. Expected {layout.title}."
        )
    return tensors


def _read_checkpoint(path: Path) -> Any:
    import torch
    from safetensors.torch import load_file

    if path.suffix == ".safetensors":
        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def _explain_error(error: Exception) -> str:
    if isinstance(error, UnpicklingError):
        # PyTorch's own words end in the advice to run whatever code the file holds.
        return "it is no file of tensors"
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"


def _name_in_i3d(name: str) -> str:
    name = name.lower()
    for pattern, replacement in I3D_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


I3D_NAMES = (
    (r"\.conv3d\.", ".conv."),
    (r"\.(batch3d|bn)\.", ".norm."),
    (r"\.branch_0\.", ".b0."),
    (r"\.branch_([12])\.0\.", r".b\1a."),
    (r"\.branch_([12])\.1\.", r".b\1b."),
    (r"\.branch_3\.1\.", ".b3b."),
)
"""Both published layouts, in lower case, to the names of
:class:`~finediving_pose.aqa.model.backbones.I3D`."""

LAYOUTS: dict[LayoutName, Layout] = {
    "i3d": Layout(
        "I3D (Kinetics, RGB: model_rgb.pth or rgb_imagenet.pt)",
        _name_in_i3d,
        head=r"^(logits|conv3d_0c_1x1)\.",
    ),
    "resnet50": Layout("ResNet-50 (ImageNet, torchvision's)", str, head=r"^fc\."),
    "regnety200": Layout(
        "RegNetY-200MF (ImageNet, timm's regnety_002)",
        str,
        head=r"^head\.",
        unpublished=r"\.shift\.",
    ),
}
