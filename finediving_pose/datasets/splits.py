"""Training, validation and test images that share no dive or no match."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from finediving_pose.datasets.problems import load_json
from finediving_pose.errors import DataError, UsageError
from finediving_pose.files import write_json
from finediving_pose.records import LabelledFrame

GroupBy = Literal["dive", "match"]
Part = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True)
class Splits:
    """Which image belongs to which part.

    Attributes:
        images: The names of each part's images, as in :attr:`LabelledFrame.image`.
        by: What is never torn apart.
        seed, fractions: What the split was drawn with.
        groups: The dives or matches of each part.
    """

    images: Mapping[Part, tuple[str, ...]]
    by: GroupBy = "dive"
    seed: int = 0
    fractions: Mapping[str, float] = field(default_factory=dict)
    groups: Mapping[Part, tuple[str, ...]] = field(default_factory=dict)

    def select(
        self, frames: Sequence[LabelledFrame], part: Part
    ) -> list[LabelledFrame]:
        """Return the frames of one part, in their order.

        Args:
            frames: Labelled frames.
            part: The part that is wanted.

        Raises:
            DataError: If a dive (or match) of `frames` stands in two parts, or none of
                them in this one.
        """
        part_of: dict[str, Part] = {}
        for name, images in self.images.items():
            part_of |= dict.fromkeys(images, name)
        self._check_leakage(frames, part_of)
        chosen = [frame for frame in frames if part_of.get(frame.image) == part]
        if frames and not chosen and self.images.get(part):
            raise DataError(
                f"none of the {len(frames)} frames is in the split's {part} part; "
                f"it names {self.images[part][0]!r}, the labels {frames[0].image!r}: was it made for these labels?"
            )
        return chosen

    def _check_leakage(
        self, frames: Sequence[LabelledFrame], part_of: Mapping[str, Part]
    ) -> None:
        seen: dict[str, Part] = {}
        for frame in frames:
            part = part_of.get(frame.image)
            if part is None:
                continue
            group = find_group(frame, self.by)
            if seen.setdefault(group, part) != part:
                raise DataError(
                    f"leakage: the {self.by} {group!r} is in {seen[group]} and in {part} "
                    f"(image {frame.image}); make the split anew with --split {self.by}"
                )


def find_group(frame: LabelledFrame, by: GroupBy) -> str:
    """Return what a frame is dealt with.

    Args:
        frame: A labelled frame.
        by: ``dive`` gives ``match/dive``, else the image's folder; ``match`` the match,
            else the folder above.
    """
    if by == "dive":
        return frame.dive_key
    if frame.match is not None:
        return frame.match
    folder = frame.image.rpartition("/")[0]
    return folder.rpartition("/")[0]


def make_splits(
    frames: Sequence[LabelledFrame],
    by: GroupBy = "dive",
    val: float = 0.2,
    test: float = 0.0,
    seed: int = 0,
) -> Splits:
    """Draw a split in which no dive (or match) is on two sides.

    Whole groups are dealt, in an order drawn from `seed`, until validation and test
    hold about their fraction of the frames; each part asked for gets at least one
    group. The order of `frames` does not matter.

    Args:
        frames: The labels.
        by: What stays together.
        val: Fraction of the frames for validation.
        test: Fraction of the frames for testing.
        seed: Decides the order in which groups are dealt.

    Raises:
        UsageError: If the fractions are not in [0, 1) or leave nothing to train on.
        DataError: If there are fewer groups than parts.
    """
    if by not in get_args(GroupBy):
        raise UsageError(f"split by {by!r}: expected dive or match")
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise UsageError(
            f"val={val:g}, test={test:g}: expected fractions from 0, together less than 1"
        )
    members: dict[str, list[str]] = {}
    for frame in frames:
        members.setdefault(find_group(frame, by), []).append(frame.image)
    groups = _deal_groups(members, {"test": test, "val": val}, seed, by)
    images: dict[Part, tuple[str, ...]] = {}
    for part in PARTS:
        names: set[str] = set()
        for group in groups[part]:
            names.update(members[group])
        images[part] = tuple(sorted(names))
    splits = Splits(images, by, seed, {"val": val, "test": test}, groups)
    _check_disjoint(splits.images, "image", "the labels")
    return splits


def write_splits(path: Path, splits: Splits) -> None:
    """Write ``splits.json``: how it was made, the groups and the image names of each
    part.

    Args:
        path: The file.
        splits: The split.
    """
    content: dict[str, Any] = {
        "by": splits.by,
        "seed": splits.seed,
        "fractions": dict(splits.fractions),
        "groups": {part: list(splits.groups.get(part, ())) for part in PARTS},
    }
    for part in PARTS:
        content[part] = list(splits.images.get(part, ()))
    write_json(path, content)


def read_splits(path: Path) -> Splits:
    """Read ``splits.json``; only ``train`` and ``val`` have to be there.

    Raises:
        DataError: If it is no split, or an image or group stands in two parts or twice
            in one.
    """
    content = load_json(path)
    if not isinstance(content, dict) or not {"train", "val"} <= content.keys():
        raise DataError(
            f"{path}: expected an object with the image names of `train`, `val` and `test`"
        )
    by = content.get("by", "dive")
    if by not in get_args(GroupBy):
        raise DataError(f"{path}: by: found {by!r}, expected dive or match")
    images = {part: _check_names(content.get(part, []), path, part) for part in PARTS}
    grouped = content.get("groups", {})
    if not isinstance(grouped, dict):
        raise DataError(f"{path}: groups: expected an object of lists by part")
    groups = {
        part: _check_names(grouped.get(part, []), path, f"groups.{part}")
        for part in PARTS
    }
    _check_disjoint(images, "image", str(path))
    _check_disjoint(groups, by, str(path))
    fractions = content.get("fractions")
    seed = content.get("seed")
    return Splits(
        images,
        by,
        seed if isinstance(seed, int) else 0,
        fractions if isinstance(fractions, dict) else {},
        groups,
    )


def _deal_groups(
    members: Mapping[str, Sequence[str]],
    fractions: Mapping[Part, float],
    seed: int,
    by: str,
) -> dict[Part, tuple[str, ...]]:
    asked = [part for part, fraction in fractions.items() if fraction > 0]
    if len(members) <= len(asked):
        names = sorted(repr(group or "one image folder") for group in members)
        known = ", ".join(names[:5]) or "none"
        raise DataError(
            f"cannot split by {by}: found {len(members)} ({known}), expected at least {len(asked) + 1}: "
            f"one for train and one for each of {', '.join(sorted(asked))}. A {by} is known from the labels' "
            "match and dive or from the image folders"
        )
    total = sum(len(images) for images in members.values())
    # Drawn by hash, a group's place does not depend on which others there are.
    left = sorted(
        members, key=lambda group: hashlib.sha256(f"{seed}:{group}".encode()).digest()
    )
    dealt: dict[Part, tuple[str, ...]] = {"test": (), "val": ()}
    for position, part in enumerate(asked):
        # Each later part, and train, still gets a group.
        spare = len(left) - (len(asked) - position)
        sizes = [len(members[group]) for group in left[:spare]]
        count = _count_nearest(sizes, fractions[part] * total)
        dealt[part], left = tuple(sorted(left[:count])), left[count:]
    return {"train": tuple(sorted(left)), "val": dealt["val"], "test": dealt["test"]}


def _count_nearest(sizes: Sequence[int], target: float) -> int:
    """Return how many leading groups come nearest to `target` frames, at least one."""
    reached, best, best_distance = 0, 1, float("inf")
    for count, size in enumerate(sizes, start=1):
        reached += size
        if abs(reached - target) < best_distance:
            best, best_distance = count, abs(reached - target)
    return best


def _check_names(value: Any, path: Path, key: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise DataError(f"{path}: {key}: expected a list of names")
    return tuple(value)


def _check_disjoint(
    parts: Mapping[Part, Sequence[str]], what: str, origin: str
) -> None:
    seen: dict[str, Part] = {}
    for part, names in parts.items():
        for name in names:
            if name in seen:
                again = f"in {seen[name]} and in {part}"
                if seen[name] == part:
                    again = f"twice in {part}"
                raise DataError(
                    f"{origin}: leakage: {what} {name!r} is {again}; expected once"
                )
            seen[name] = part
