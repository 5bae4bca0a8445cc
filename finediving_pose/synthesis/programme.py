"""Programme of a meet: the 52 dive numbers of FineDiving, how often, from which height, and
at which degree of difficulty.

The shares are those of the 3000 published dives. Where a match name does not tell the
height, the degree of difficulty (DD) does. Group 6 starts from the platform only; a DD
of 2.0 on an easy dive is that of a compulsory one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from finediving_pose.diving import Apparatus, DiveNumber, parse_dive_number


@dataclass(frozen=True)
class Choice:
    """One dive of the programme.

    Attributes:
        dive_number: In small letters, as FineDiving writes it.
        apparatus: The height it is dived from.
        difficulty: DD.
        weight: How many of 3000 dives are this one.
    """

    dive_number: str
    apparatus: Apparatus
    difficulty: float
    weight: int

    @property
    def number(self) -> DiveNumber:
        """The dive number taken apart."""
        return parse_dive_number(self.dive_number)


# number: DD and weight from 3 m, then from 10 m; an empty column is a dive that is not
# made there.
_TABLE = """
101b   1.5 1, 2.0 11          | 2.0 10
103b   1.6 10, 2.0 8          | 1.6 9, 2.0 9
105b   2.4 4                  | 2.3 2
107b   3.1 117                | 3.0 207
107c   2.8 7                  | 2.7 9
109b                          | 4.1 1
109c   3.8 78                 | 3.7 80
201a   2.0 1                  |
201b   1.8 4, 2.0 34          | 1.8 3, 2.0 27
201c   2.0 1                  |
205b   3.0 141                | 2.9 63
205c   2.8 16                 |
207b                          | 3.6 72
207c   3.6 27                 | 3.3 132
301b   1.9 10, 2.0 31         | 1.9 11, 2.0 35
303c   2.0 1                  |
305b   3.0 83                 | 2.8 1
305c   2.8 14                 | 2.8 34, 2.7 8
307c   3.5 93                 | 3.4 140
401b   2.0 21                 | 2.0 15
403b                          | 2.0 24
405b   3.0 88                 | 2.8 45
405c   2.7 16                 |
407b   3.7 1                  | 3.5 6
407c   3.4 97                 | 3.2 250
409c                          | 4.1 6
5132d  2.1 6                  | 2.0 3
5152b  3.0 82                 | 2.9 12
5154b  3.4 112                | 3.3 2
5156b  3.9 30                 | 3.8 8
5172b                         | 3.6 3
5231d  2.0 7                  | 2.0 5
5233d  2.4 3                  |
5235d  2.8 3                  | 2.8 4
5237d  3.3 2                  |
5251b                         | 2.6 8
5253b  3.4 8                  | 3.2 201
5255b                         | 3.6 79
5331d  2.1 2, 2.0 2           |
5335d  2.9 2                  |
5337d  3.5 20, 3.4 3          |
5353b  3.3 31                 |
5355b  3.7 3                  |
612b                          | 1.9 5
6142d                         | 3.1 10
614b                          | 2.4 3
6241b                         | 2.7 5
6243d                         | 3.2 107
6245d                         | 3.6 32
626b                          | 3.5 25
626c                          | 3.3 53
636c                          | 3.4 5
"""


@cache
def list_programme() -> tuple[Choice, ...]:
    """Return every dive of the programme, by number and height."""
    choices = []
    for line in _TABLE.strip().splitlines():
        choices += _parse_line(line)
    return tuple(choices)


def allocate_dives(
    dives: int, rng: np.random.Generator, numbers: tuple[str, ...] = ()
) -> list[Choice]:
    """Choose what `dives` divers dive, in random order.

    The shares are met as exactly as whole dives allow, and where there is room for it
    (five dives for every dive of the programme) none is left out.

    Args:
        dives: How many.
        rng: Decides the order, and which of the rare dives come in where there is no
            room for all.
        numbers: Restricts the programme to these dive numbers, in any case.

    Returns:
        A choice for each dive.

    Raises:
        ValueError: If a number is not in the programme.
    """
    choices = _restrict_programme(numbers)
    weights = np.array([choice.weight for choice in choices], np.float64)
    least = 1 if dives >= 5 * len(choices) else 0
    wanted = least + (dives - least * len(choices)) * weights / weights.sum()
    # Whole dives first; those that are left go by chance to the largest remainders.
    counts = np.floor(wanted).astype(int)
    left = dives - int(counts.sum())
    if left:
        rest = wanted - counts
        share = rest / rest.sum()
        counts[rng.choice(len(choices), size=left, replace=False, p=share)] += 1
    chosen: list[Choice] = []
    for choice, count in zip(choices, counts, strict=True):
        chosen += [choice] * count
    return [chosen[i] for i in rng.permutation(dives)]


def _restrict_programme(numbers: tuple[str, ...]) -> tuple[Choice, ...]:
    every = list_programme()
    if not numbers:
        return every
    wanted = {number.lower() for number in numbers}
    known = {choice.dive_number for choice in every}
    if unknown := wanted - known:
        raise ValueError(
            f"{', '.join(sorted(unknown))}: not in the programme, which has "
            f"{', '.join(sorted(known))}"
        )
    return tuple(choice for choice in every if choice.dive_number in wanted)


def _parse_line(line: str) -> list[Choice]:
    """Return the dives of one line of the table."""
    number, _, rest = line.partition(" ")
    heights: tuple[Apparatus, Apparatus] = ("3m", "10m")
    choices = []
    for apparatus, entries in zip(heights, rest.split("|"), strict=True):
        for entry in entries.split(","):
            if entry.strip():
                difficulty, weight = entry.split()
                choices.append(
                    Choice(number, apparatus, float(difficulty), int(weight))
                )
    return choices
