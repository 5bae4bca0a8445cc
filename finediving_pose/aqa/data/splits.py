"""Held-out parts of the dives: a validation part of the training dives, or a test part
of a data set that has none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from finediving_pose.datasets.finediving import Key
from finediving_pose.errors import DataError, UsageError
from finediving_pose.records import Dive

RARE = 5
"""A dive number with fewer dives is not divided: all of them are needed as exemplars of
each other."""

LEFT_OF_A_NUMBER = 2
"""A query and its exemplar."""


def hold_out(
    dives: Sequence[Dive], fraction: float, seed: int, rare: int = RARE
) -> tuple[list[Key], list[Key]]:
    """Divide dives in two, each dive number in about the same proportion.

    What is held out of a number follows from the seed and the dives' keys, whatever
    their order.

    Args:
        dives: All of them; those without a number count as of one number.
        fraction: Of the dives to hold out, in [0, 1). Rare numbers make it less.
        seed: Another one holds out others.
        rare: Numbers with fewer dives are not divided.

    Returns:
        The keys that stay and the keys that are held out, both in the order of `dives`.

    Raises:
        UsageError: If the fraction is no such fraction.
    """
    if not 0 <= fraction < 1:
        raise UsageError(
            f"a part of {fraction:g} to hold out: expected a fraction from 0 to below 1"
        )
    groups: dict[str, list[Key]] = {}
    for dive in dives:
        groups.setdefault((dive.dive_number or "").lower(), []).append(dive.key)
    sizes = {}
    for number, keys in groups.items():
        if len(keys) >= rare:
            sizes[number] = len(keys)
    total = round(fraction * len(dives))
    held: set[Key] = set()
    for number, count in _share_out(sizes, fraction, total, seed).items():
        ordered = sorted(groups[number], key=lambda key: _draw(seed, "/".join(key)))
        held.update(ordered[:count])
    stay: list[Key] = []
    held_out: list[Key] = []
    for dive in dives:
        part = held_out if dive.key in held else stay
        part.append(dive.key)
    return stay, held_out


def refuse_overlap(trained: Iterable[Key], tested: Iterable[Key]) -> None:
    """Refuse to test on what was trained on, in whichever data set it was met.

    268 of FineDiving's training dives are test dives of MTL-AQA, and 249 the other way;
    both call them by the same match and dive.

    Args:
        trained: Dives that a model learned from.
        tested: Dives that it is to be tested on.

    Raises:
        DataError: If a dive is in both.
    """
    common = sorted(set(trained) & set(tested))
    if common:
        raise DataError(
            f"{len(common)} dives were trained on and are to be tested on, the first {'/'.join(common[0])}: any metric "
            "would be too good; train without them, or test on others"
        )


def _share_out(
    sizes: dict[str, int], fraction: float, total: int, seed: int
) -> dict[str, int]:
    """Return how many dives of each number are held out.

    Shares are rounded so that they add up to `total` if they can: by largest
    remainders.
    """
    most = {number: max(size - LEFT_OF_A_NUMBER, 0) for number, size in sizes.items()}
    counts = {}
    for number, size in sizes.items():
        counts[number] = min(int(size * fraction), most[number])
    missing = max(total - sum(counts.values()), 0)

    def get_order(number: str) -> tuple[float, bytes]:
        remainder = sizes[number] * fraction % 1
        # The draw decides between numbers of the same remainder.
        return -remainder, _draw(seed, number)

    open_numbers = [number for number in sizes if counts[number] < most[number]]
    for number in sorted(open_numbers, key=get_order)[:missing]:
        counts[number] += 1
    return counts


def _draw(seed: int, name: str) -> bytes:
    # A hash, not a generator: what is drawn for a dive must not depend on the others.
    return hashlib.sha256(f"{seed}:{name}".encode()).digest()
