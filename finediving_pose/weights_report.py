"""Report on a file of weights: which of its tensors a network took, and which not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

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
