"""The label format: what a module of this package declares to be read and written as
one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finediving_pose.errors import UsageError

if TYPE_CHECKING:
    from finediving_pose.datasets.label_set import LabelSet
    from finediving_pose.datasets.problems import Problem
    from finediving_pose.datasets.splits import Splits

Reader = Callable[[Path, "Path | None"], "LabelSet"]
Writer = Callable[[Path, "LabelSet"], "list[Problem]"]
SplitWriter = Callable[[Path, "LabelSet", "Splits"], "list[Problem]"]


@dataclass(frozen=True)
class LabelFormat:
    """A label format.

    Attributes:
        name: What users call it.
        description: One line for help and documentation.
        hallmark: What a file of it holds, for the message about a file of no format.
        reader: Reads a path, given the folder of the images or None. Bad items become
            problems, and only a file of which nothing can be read raises DataError.
        writer: Writes labels to a path; returns what the format cannot hold, an error
            for each frame left out. None for other people's data, which is only read.
        suffix: Of its file; empty where it is a folder with a file per image.
        own_suffixes: Those that no other format has: such a file is not looked into.
        recognises: Whether the content of a JSON file is this format's; None where it
            is no JSON.
        find_doubt: Says of the content of a JSON file that no format recognises why it
            may be this one's and may be another's; None where it may not.
        split_writer: Writes labels and their split in one file; None where each part
            becomes a file of its own.
        holds_clips: Whether it has a place for the class of a dive and for the part of
            a split that it came with.
    """

    name: str
    description: str
    hallmark: str
    reader: Reader
    writer: Writer | None = None
    suffix: str = ""
    own_suffixes: tuple[str, ...] = ()
    recognises: Callable[[Any], bool] | None = None
    find_doubt: Callable[[Any], str | None] | None = None
    split_writer: SplitWriter | None = None
    holds_clips: bool = False

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder with a file per image."""
        return not self.suffix

    def read(self, path: Path, images: Path | None = None) -> LabelSet:
        """Read labels.

        Args:
            path: The file or folder.
            images: The folder of the images; None lets the format look for it.

        Returns:
            The usable frames; what is wrong with the others is in its problems.

        Raises:
            DataError: If nothing of it can be read.
        """
        return self.reader(path, images)

    def write(self, path: Path, labels: LabelSet) -> list[Problem]:
        """Write labels.

        Args:
            path: The file or folder.
            labels: What to write.

        Returns:
            What this format cannot hold, an error for each frame left out.

        Raises:
            UsageError: If the format is only read.
        """
        if self.writer is None:
            raise UsageError(f"{self.name} is read, never written; give another format")
        return self.writer(path, labels)
