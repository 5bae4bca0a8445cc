"""Shards: parts of one extraction for processes that know nothing of each other, and
the names of the files each writes."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from finediving_pose.errors import UsageError
from finediving_pose.manifest import MANIFEST_NAME

LEDGER_NAME = "manifest.jsonl"
_SHARD = re.compile(r"([0-9]+)/([0-9]+)")
_OF_A_SHARD = r"manifest\.([0-9]+)-of-([0-9]+)\."


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`, from 1.

    Which clips it has, their keys alone decide, so that clips which come or go move no
    other to another shard.
    """

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read ``I/N``.

        Raises:
            UsageError: If it is anything else, or I is not from 1 to N.
        """
        match = _SHARD.fullmatch(text)
        if match is None:
            raise UsageError(
                f"--shard {text!r}: expected I/N, such as 2/8 for the second of eight parts"
            )
        shard = cls(int(match[1]), int(match[2]))
        if not 1 <= shard.index <= shard.count:
            raise UsageError(
                f"--shard {text}: expected I from 1 to N, as in 1/{shard.count or 1}"
            )
        return shard

    def holds(self, clip: str) -> bool:
        """Whether a clip, by its key ``match/dive``, is this shard's."""
        digest = hashlib.sha256(clip.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest, "big") % self.count == self.index - 1

    @property
    def ledger_name(self) -> str:
        """Name of the file with a line for each clip."""
        if self.count == 1:
            return LEDGER_NAME
        return f"manifest.{self.index}-of-{self.count}.jsonl"

    @property
    def manifest_name(self) -> str:
        """Name of the file that says what ran."""
        if self.count == 1:
            return MANIFEST_NAME
        return f"manifest.{self.index}-of-{self.count}.json"


WHOLE = Shard()


def is_ledger(name: str) -> bool:
    """Whether a file of this name is a ledger, of a whole run or of a shard."""
    return name == LEDGER_NAME or re.fullmatch(_OF_A_SHARD + "jsonl", name) is not None


def ledger_paths(folder: Path) -> list[Path]:
    """Return all ledgers of an output folder, by name; an absent folder has none."""
    candidates = sorted(folder.glob("manifest*.jsonl"))
    return [path for path in candidates if is_ledger(path.name)]


def manifest_paths(folder: Path) -> list[Path]:
    """Return the manifests of all runs over an output folder, the whole run's first."""
    paths = [folder / MANIFEST_NAME]
    for path in sorted(folder.glob("manifest.*.json")):
        if re.fullmatch(_OF_A_SHARD + "json", path.name):
            paths.append(path)
    return [path for path in paths if path.is_file()]
