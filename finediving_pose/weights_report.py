"""Report on a file of weights: which of its tensors a network took, and which not."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network")
"""Keys below which programs keep a network's tensors in their checkpoints."""

DEEPEST_WRAPPER = 4

PREFIXES = ("module.", "model.", "_orig_mod.", "net.", "network.")
"""What DDP, Lightning, ``torch.compile`` and plain habit put before names."""

ADDED_PARTS = ("backbone.", "head.")

SHOWN = 6
"""Names of tensors in one line of a report."""


@dataclass(frozen=True)
class LoadReport:
    """How a file of weights and a network fit each other.

    Attributes:
        source: The file.
        filled: Tensors of the network that the file fills.
        missing: Tensors of the network that keep their initial values because the file
            has none of that name.
        mismatched: ``name: found (shape), expected (shape)`` of those whose shapes
            differ; they keep their initial values.
        unused: Tensors of the file that the network does not have.
    """

    source: Path
    filled: tuple[str, ...]
    missing: tuple[str, ...]
    mismatched: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def share(self) -> float:
        """The part of all tensors, of the file and of the network, that found each
        other: 0 … 1."""
        common = len(self.filled) + len(self.mismatched)
        in_network = common + len(self.missing)
        in_file = common + len(self.unused)
        return len(self.filled) / max(in_network, in_file, 1)

    def lines(self) -> list[str]:
        """Return what a user must know, a line each."""
        total = len(self.filled) + len(self.missing) + len(self.mismatched)
        lines = [
            f"{self.source}: filled {len(self.filled)} of the network's {total} tensors"
        ]
        for title, names in (
            ("not in the file, left random", self.missing),
            ("of another shape, left random", self.mismatched),
            ("in the file but not in the network", self.unused),
        ):
            if names:
                shown = ", ".join(names[:SHOWN])
                if len(names) > SHOWN:
                    shown += f" and {len(names) - SHOWN} more"
                lines.append(f"  {len(names)} {title}: {shown}")
        return lines


def find_tensors(
    checkpoint: Any, known: Container[str], translate: Callable[[str], str] = str
) -> dict[str, Tensor]:
    """Find a network's tensors in what a checkpoint holds, however it is wrapped.

    Training programs keep the tensors below a key or two (:data:`WRAPPERS`), and put
    their own parts' names (:data:`PREFIXES`) before the network's; HRNet's authors have
    no ``backbone.`` and no ``head.`` where MMPose has one.

    Args:
        checkpoint: What the file holds.
        known: The names of the network's tensors.
        translate: A name of the file without what was put before it → the network's.

    Returns:
        The tensors, by the network's names as far as it has them, else without what was
        put before them.
    """
    import torch

    for _ in range(DEEPEST_WRAPPER):
        inner = None
        for key in WRAPPERS:
            if isinstance(checkpoint, Mapping) and inner is None:
                inner = checkpoint.get(key)
        if not isinstance(inner, Mapping):
            break
        checkpoint = inner
    tensors: dict[str, Tensor] = {}
    if not isinstance(checkpoint, Mapping):
        return tensors
    for written, value in checkpoint.items():
        if not torch.is_tensor(value):
            continue
        name = _find_name(str(written), known, translate)
        # A name that was written as the network has it goes before one made to fit.
        if name not in tensors or str(written) == name:
            tensors[name] = value
    return tensors


def _find_name(
    written: str, known: Container[str], translate: Callable[[str], str]
) -> str:
    name = written
    while translate(name) not in known:
        for part in ADDED_PARTS:
            if part + translate(name) in known:
                return part + translate(name)
        prefix = next((each for each in PREFIXES if name.startswith(each)), None)
        if prefix is None:
            break
        name = name.removeprefix(prefix)
    return translate(name)


def match_tensors(
    source: Path, found: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], LoadReport]:
    """Choose the tensors of a file that fit a network by name and shape.

    Args:
        source: The file, for the report.
        found: Its tensors, by the network's names.
        own: The network's tensors that can be filled.

    Returns:
        The tensors that fit, and the report on all of them.
    """
    fitting: dict[str, Tensor] = {}
    mismatched: list[str] = []
    unused: list[str] = []
    for name, value in found.items():
        if name not in own:
            unused.append(name)
        elif own[name].shape != value.shape:
            shapes = f"found {tuple(value.shape)}, expected {tuple(own[name].shape)}"
            mismatched.append(f"{name}: {shapes}")
        else:
            fitting[name] = value
    report = LoadReport(
        source=source,
        filled=tuple(fitting),
        missing=tuple(name for name in own if name not in found),
        mismatched=tuple(mismatched),
        unused=tuple(unused),
    )
    return fitting, report
