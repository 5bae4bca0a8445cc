"""Dive numbers, the degree of difficulty and the judging rule of World Aquatics.

A dive number such as ``407C`` says what is dived, an award how well. ``407C`` does not
fix the degree of difficulty (DD): that also depends on the height and on whether it is
a springboard or a platform.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

GROUPS = {
    1: "Forward",
    2: "Back",
    3: "Reverse",
    4: "Inward",
    5: "Twisting",
    6: "Armstand",
}
POSITIONS = {"A": "straight", "B": "pike", "C": "tuck", "D": "free"}
Apparatus = Literal["1m", "3m", "10m"]
"""Springboards of 1 and 3 m, the platform of 10 m."""

COMPULSORY_DIFFICULTY = 2.0
"""The fixed DD of the first two dives of a synchronised contest, whatever is dived."""

SYNCHRONISED_FACTOR = 0.6
"""Brings the sum of five awards to the scale of three."""

_NUMBER = re.compile(r"([1-6])([0-4])(\d{1,2})([A-D])", re.IGNORECASE)
_MOST_HALF_SOMERSAULTS = 11


@dataclass(frozen=True)
class DiveNumber:
    """A dive number taken apart; ``str()`` puts it together again, with a capital
    letter.

    Attributes:
        group: 1 forward, 2 back, 3 reverse, 4 inward, 5 twisting, 6 armstand.
        direction: 1 forward, 2 back, 3 reverse, 4 inward: the group itself, or in
            groups 5 and 6 the second digit; 0 for an armstand dive that does not turn
            over.
        half_somersaults, half_twists: Counted in halves, as the number does.
        position: ``A`` straight, ``B`` pike, ``C`` tuck, ``D`` free.
        flying: Whether the first half somersault is flown straight (groups 1 to 4).
    """

    group: int
    direction: int
    half_somersaults: int
    half_twists: int
    position: str
    flying: bool = False

    def __str__(self) -> str:
        if self.group < 5:
            return (
                f"{self.group}{int(self.flying)}{self.half_somersaults}{self.position}"
            )
        twists = self.half_twists or ""
        return f"{self.group}{self.direction}{self.half_somersaults}{twists}{self.position}"

    @property
    def description(self) -> str:
        """What is dived, in words: ``Inward 3½ somersaults, tuck``."""
        words = [GROUPS[self.group]] if self.group != 5 else []
        if self.group > 4 and self.direction:
            words.append(GROUPS[self.direction])
        if self.flying:
            words.append("flying")
        words.append(self._turns())
        if self.half_twists:
            words.append(_count_halves(self.half_twists, "twist"))
        text = " ".join(words)
        return f"{text[0]}{text[1:].lower()}, {POSITIONS[self.position]}"

    def _turns(self) -> str:
        if self.half_somersaults == 0:
            return "dive" if self.group == 6 else "jump"
        if self.half_somersaults == 1 and self.group != 6:
            return "dive"
        return _count_halves(self.half_somersaults, "somersault")


def parse_dive_number(text: str) -> DiveNumber:
    """Read a dive number in capital or small letters: ``407c``, ``113B``, ``5253B``,
    ``6243D``, ``1011C``.

    Raises:
        ValueError: If the text is no dive number; says why.
    """
    match = _NUMBER.fullmatch(text.strip())
    if not match:
        raise ValueError(
            f"{text!r} is no dive number: expected three or four digits and a letter A to D, such as 407C"
        )
    group, second, rest = int(match[1]), int(match[2]), match[3]
    # One diver's somersaults may have two digits; in groups 5 and 6 the second digit
    # counts half twists.
    if group < 5:
        half_somersaults, half_twists = int(rest), 0
    else:
        half_somersaults, half_twists = int(rest[0]), int(rest[1:] or 0)
    number = DiveNumber(
        group=group,
        direction=second if group > 4 else group,
        half_somersaults=half_somersaults,
        half_twists=half_twists,
        position=match[4].upper(),
        flying=group < 5 and second == 1,
    )
    if fault := _find_fault(number, second, rest):
        raise ValueError(f"{text!r} is no dive number: {fault}")
    return number


def get_difficulty(number: DiveNumber, apparatus: Apparatus) -> float | None:
    """Return the degree of difficulty by the rule's formula DD = A + B + C + D + E.

    A counts somersaults at this height, B the flight position, C the twists, D the
    approach and E an entry that the diver cannot see coming. Springboards have the
    components of the competition regulations of 2025; the platform shares most of them,
    and what is its own is here only where dives of FineDiving and MTL-AQA confirm it.
    Compared with the 3000 dives of FineDiving, the formula gives the stored DD of all
    but twelve (older rules), armstand dives and :data:`COMPULSORY_DIFFICULTY` apart.

    Args:
        number: The dive.
        apparatus: What it is dived from.

    Returns:
        DD in tenths; None where the rule has no value (a dive counted as impossible) or
        where its component is not in here: all armstand dives, reverse and inward
        twisting dives from the platform, and heights of 5 and 7.5 m.
    """
    if number.group == 6:
        return None
    height = _SOMERSAULTS[apparatus].get(number.half_somersaults)
    position = _get_position(number, apparatus)
    twists = _get_twists(number, apparatus)
    if height is None or position is None or twists is None:
        return None
    entry = 0.0 if number.half_twists else _get_unseen_entry(number)
    return round(
        height + position + twists + _get_approach(number, apparatus) + entry, 1
    )


def compute_score(
    awards: Sequence[float], difficulty: float, synchronised: bool = False
) -> float:
    """Return the score of a dive: DD times the sum of the awards that count.

    One diver: of seven awards the two highest and the two lowest do not count, of five
    the highest and the lowest; three are taken as those that were kept. A synchronised
    pair: DD × 0.6 × five awards. Five are taken as those that were kept; eleven come in
    the order execution of the first diver (3), execution of the second (3),
    synchronisation (5), and the middle one of each three and the middle three of the
    five count.

    Args:
        awards: In points, halves from 0 to 10.
        difficulty: The degree of difficulty.
        synchronised: Whether two divers were judged together.

    Returns:
        The score in points, in hundredths.

    Raises:
        ValueError: If an award is no half point from 0 to 10, or their number is none
            of those above.
    """
    check_awards(awards)
    return round(difficulty * sum_counting_awards(awards, synchronised), 2)


def sum_counting_awards(awards: Sequence[float], synchronised: bool = False) -> float:
    """Return what DD is multiplied with: the sum of the awards that count, of a pair
    0.6 times theirs.

    Args:
        awards: As for :func:`compute_score`, whatever their values.
        synchronised: Whether two divers were judged together.

    Raises:
        ValueError: If their number is none that :func:`compute_score` knows.
    """
    if synchronised:
        return sum(_select_of_pair(list(awards))) * SYNCHRONISED_FACTOR
    return sum(_select_of_one(list(awards))) * 1.0


def check_awards(awards: Sequence[float]) -> None:
    """Check that every award is a half point from 0 to 10.

    Raises:
        ValueError: Names the first that is not, counting from 1.
    """
    for place, award in enumerate(awards, start=1):
        if not (math.isfinite(award) and 0 <= award <= 10 and (2 * award).is_integer()):
            raise ValueError(
                f"award {place} is {award:g}: expected half points from 0 to 10"
            )


def _find_fault(number: DiveNumber, second: int, rest: str) -> str | None:
    group, somersaults = number.group, number.half_somersaults
    twists = number.half_twists
    if group < 5 and second > 1:
        return f"the second digit of group {group} is 0, or 1 for a flying dive; found {second}"
    padded = len(rest) > 1 and rest[0] == "0"
    if group < 5 and (padded or somersaults > _MOST_HALF_SOMERSAULTS):
        return f"expected at most {_MOST_HALF_SOMERSAULTS} half somersaults after the first two digits; found {rest}"
    if group == 5 and (second == 0 or somersaults == 0 or twists == 0):
        return "a twisting dive has four digits: 5, direction 1 to 4, half somersaults, half twists"
    if group == 6 and second > 3:
        return f"an armstand dive goes forward (1), back (2) or reverse (3); found {second}"
    if group == 6 and (second == 0) != (somersaults == 0):
        return "an armstand dive has a direction (1 to 3) exactly if it has somersaults"
    if number.position == "D" and not twists:
        return "position D (free) needs a twist"
    return None


def _count_halves(halves: int, noun: str) -> str:
    whole, half = divmod(halves, 2)
    return f"{whole or ''}{'½' if half else ''} {noun}{'s' if halves > 2 else ''}"


def _select_of_one(awards: list[float]) -> list[float]:
    if len(awards) not in (3, 5, 7):
        raise ValueError(
            f"{len(awards)} awards: expected 7 or 5 judges, or the 3 awards that were kept"
        )
    return _keep_middle(awards, 3)


def _select_of_pair(awards: list[float]) -> list[float]:
    if len(awards) == 5:
        return awards
    if len(awards) == 11:
        return (
            _keep_middle(awards[:3], 1)
            + _keep_middle(awards[3:6], 1)
            + _keep_middle(awards[6:], 3)
        )
    raise ValueError(
        f"{len(awards)} awards of a synchronised dive: expected 11 judges, or the 5 awards that were kept"
    )


def _keep_middle(awards: list[float], kept: int) -> list[float]:
    dropped = (len(awards) - kept) // 2
    return sorted(awards)[dropped : dropped + kept]


# The components of the formula, by half somersaults and by direction (forward, back,
# reverse, inward).

_SOMERSAULTS: dict[str, dict[int, float]] = {
    "1m": {
        0: 0.9,
        1: 1.1,
        2: 1.2,
        3: 1.6,
        4: 2.0,
        5: 2.4,
        6: 2.7,
        7: 3.0,
        8: 3.3,
        9: 3.8,
    },
    "3m": {
        0: 1.0,
        1: 1.3,
        2: 1.3,
        3: 1.5,
        4: 1.8,
        5: 2.2,
        6: 2.3,
        7: 2.8,
        8: 2.9,
        9: 3.5,
    },
    "10m": {0: 1.0, 1: 1.3, 2: 1.4, 3: 1.5, 4: 1.9, 5: 2.1, 6: 2.5, 7: 2.7, 9: 3.5},
}

_Row = tuple[float | None, float | None, float | None, float | None]
_FLY = "fly"
_POSITION: dict[tuple[int, int], dict[str, _Row]] = {
    (0, 2): {
        "C": (0.1, 0.1, 0.1, -0.3),
        "B": (0.2, 0.2, 0.2, -0.2),
        "A": (0.3, 0.3, 0.3, 0.1),
        "D": (0.1, 0.1, 0.1, -0.1),
        _FLY: (0.2, 0.1, 0.1, 0.4),
    },
    (3, 4): {
        "C": (0.0, 0.0, 0.0, 0.1),
        "B": (0.1, 0.3, 0.3, 0.3),
        "A": (0.4, 0.5, 0.6, 0.8),
        "D": (0.0, -0.1, -0.1, 0.2),
        _FLY: (0.2, 0.2, 0.2, 0.5),
    },
    (5, 5): {
        "C": (0.0, 0.1, 0.0, 0.2),
        "B": (0.2, 0.3, 0.2, 0.5),
        "A": (0.6, 0.7, 0.6, None),
        "D": (0.0, -0.1, -0.2, 0.4),
        _FLY: (0.3, 0.3, 0.3, 0.7),
    },
    (6, 7): {
        "C": (0.0, 0.0, 0.0, 0.3),
        "B": (0.3, 0.3, 0.3, 0.6),
        "D": (0.0, 0.0, 0.0, None),
        _FLY: (0.4, None, None, None),
    },
    (8, 9): {"C": (0.0, 0.1, 0.2, 0.4), "B": (0.4, 0.4, 0.5, 0.8)},
}
# What differs there, by half somersaults, position and direction.
_PLATFORM_POSITION = {(5, "C", 3): 0.1}

# By half twists; a second entry holds from the given number of half somersaults on.
_TWISTS: dict[int, dict[int, _Row]] = {
    1: {
        1: (0.4, 0.2, 0.2, 0.2),
        3: (0.4, 0.4, 0.4, 0.4),
        5: (0.4, 0.0, 0.0, 0.2),
        6: (0.4, 0.0, 0.0, 0.4),
    },
    2: {1: (0.6, 0.4, 0.4, 0.4)},
    3: {1: (0.8, 0.8, 0.8, 0.8), 5: (0.8, 0.7, 0.6, 0.8)},
    4: {1: (1.0, 0.8, 0.8, 0.8)},
    5: {1: (1.2, 1.2, 1.2, 1.2), 5: (1.2, 1.1, 1.0, 1.2)},
    6: {1: (1.5, 1.4, 1.4, 1.5)},
    7: {1: (1.6, 1.7, 1.8, 1.6)},
    8: {1: (1.9, 1.8, 1.8, 1.9)},
    9: {1: (2.0, 2.1, 2.1, 2.0)},
}
_PLATFORM_TWISTS: dict[int, dict[int, _Row]] = {
    1: {5: (None, 0.0, None, None), 6: (None, None, None, None)},
    2: {5: (0.6, None, None, None)},
    3: {5: (None, 0.6, None, None)},
    4: {5: (1.0, None, None, None)},
    5: {3: (None, 1.2, None, None), 5: (None, 1.0, None, None)},
    6: {5: (1.5, None, None, None)},
}

# From the given number of half somersaults on.
_APPROACH: dict[str, dict[int, _Row]] = {
    "1m": {
        0: (0.0, 0.2, 0.3, 0.6),
        3: (0.0, 0.2, 0.3, 0.5),
        7: (0.0, 0.6, 0.5, 0.5),
        8: (0.5, 0.6, 0.5, 0.5),
    },
    "3m": {0: (0.0, 0.2, 0.3, 0.3), 7: (0.0, 0.4, 0.3, 0.3), 8: (0.3, 0.4, 0.3, 0.3)},
    "10m": {0: (0.0, 0.2, 0.3, 0.3), 3: (0.0, 0.2, 0.3, 0.2), 8: (0.2, 0.2, 0.3, 0.2)},
}

# Facing the water at the end of a half or of a whole turn decides which dives are
# meant.
_UNSEEN_AFTER_WHOLE_TURNS = {2: 0.1, 4: 0.2, 6: 0.2, 8: 0.2}
_UNSEEN_AFTER_HALF_TURNS = {1: 0.1, 3: 0.2, 5: 0.3, 7: 0.4, 9: 0.4}


def _get_position(number: DiveNumber, apparatus: Apparatus) -> float | None:
    if apparatus == "10m" and not number.flying:
        different = _PLATFORM_POSITION.get(
            (number.half_somersaults, number.position, number.direction)
        )
        if different is not None:
            return different
    rows: dict[str, _Row] = {}
    for (low, high), known in _POSITION.items():
        if low <= number.half_somersaults <= high:
            rows = known
    total = 0.0
    for name in [number.position, _FLY] if number.flying else [number.position]:
        value = rows[name][number.direction - 1] if name in rows else None
        if value is None:
            return None
        total += value
    return total


def _get_twists(number: DiveNumber, apparatus: Apparatus) -> float | None:
    if not number.half_twists:
        return 0.0
    table = _PLATFORM_TWISTS if apparatus == "10m" else _TWISTS
    row = _find_row(table.get(number.half_twists, {}), number.half_somersaults)
    return row[number.direction - 1] if row else None


def _get_approach(number: DiveNumber, apparatus: Apparatus) -> float:
    row = _find_row(_APPROACH[apparatus], number.half_somersaults)
    return (row[number.direction - 1] or 0.0) if row else 0.0


def _get_unseen_entry(number: DiveNumber) -> float:
    # Who turns forward faces the water again after whole turns, who turns back after
    # half ones.
    unseen = _UNSEEN_AFTER_HALF_TURNS
    if number.direction in (1, 4):
        unseen = _UNSEEN_AFTER_WHOLE_TURNS
    return unseen.get(number.half_somersaults, 0.0)


def _find_row(rows: dict[int, _Row], half_somersaults: int) -> _Row | None:
    start = max((start for start in rows if start <= half_somersaults), default=None)
    return None if start is None else rows[start]
