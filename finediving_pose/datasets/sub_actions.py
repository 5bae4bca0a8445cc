"""FineDiving's sub-actions: the labels of single frames, and which of them a dive
number is made of."""

from __future__ import annotations

from finediving_pose.diving import DiveNumber

ENTRY = 36

_TAKE_OFFS = {
    1: "Forward",
    2: "Back",
    3: "Reverse",
    4: "Inward",
    5: "Arm.Forward",
    6: "Arm.Back",
    7: "Arm.Reverse",
}
_FIRST_ARMSTAND = 5
_POSITIONS = {"A": "Straight", "B": "Pike", "C": "Tuck"}

# Ids by position and half somersaults, and by half twists.
_SOMERSAULTS: dict[str, dict[int, int]] = {
    "A": {1: 39, **{halves: 6 + halves for halves in range(2, 6)}},
    "B": {1: 37, **{halves: 10 + halves for halves in range(2, 10)}},
    "C": {1: 40, **{halves: 18 + halves for halves in range(2, 10)}, 11: 28},
}
_TWISTS: dict[int, int] = {
    **{halves: 28 + halves for halves in range(1, 8)},
    8: 41,
    9: 42,
}


def _name_turns(halves: int, noun: str) -> str:
    """Return ``1.5 Soms``, ``1 Twist``: one and less are singular."""
    ending = "s" if halves > 2 else ""
    return f"{halves / 2:g} {noun}{ending}"


def _name_sub_actions() -> dict[int, str]:
    names = {**_TAKE_OFFS, ENTRY: "Entry", 38: "Background"}
    for position, ids in _SOMERSAULTS.items():
        for halves, number in ids.items():
            names[number] = f"{_name_turns(halves, 'Som')}.{_POSITIONS[position]}"
    for halves, number in _TWISTS.items():
        names[number] = _name_turns(halves, "Twist")
    return dict(sorted(names.items()))


SUB_ACTIONS: dict[int, str] = _name_sub_actions()
"""The 42 ids and their names. The 29 that occur in the published files are spelled as
there (``Arm.Back``, ``1 Som.Pike``, ``3.5 Soms.Tuck``, ``1 Twist``), the others in the
same way."""


def derive_sequence(number: DiveNumber) -> tuple[int, ...]:
    """Return the sub-action ids that FineDiving gives a dive number, in their order,
    from take-off to entry.

    Back, reverse and armstand dives twist first and somersault then; forward and inward
    ones somersault before and after the twist: 407C is (4, 25, 36), 5253B (2, 31, 15,
    36), 5152B (1, 15, 30, 15, 36). A free position (D) counts as pike, and so does
    every half somersault, whatever its position, because the published files have no
    other.

    Raises:
        ValueError: If FineDiving has no sub-action for a part of it, as for jumps and
            for 5½ somersaults in pike.
    """
    somersault = _find_somersault(number)
    if not number.half_twists:
        return _find_take_off(number), somersault, ENTRY
    twist = _TWISTS.get(number.half_twists)
    if twist is None:
        raise ValueError(
            f"{number}: FineDiving has no sub-action of {number.half_twists} half twists"
        )
    if number.group == 5 and number.direction in (1, 4):
        return _find_take_off(number), somersault, twist, somersault, ENTRY
    return _find_take_off(number), twist, somersault, ENTRY


def _find_take_off(number: DiveNumber) -> int:
    if number.group == 6:
        return _FIRST_ARMSTAND + number.direction - 1
    return number.direction


def _find_somersault(number: DiveNumber) -> int:
    position = number.position
    if position == "D" or number.half_somersaults == 1:
        position = "B"
    somersault = _SOMERSAULTS[position].get(number.half_somersaults)
    if somersault is None:
        raise ValueError(
            f"{number}: FineDiving has no sub-action of {number.half_somersaults} half somersaults, position {position}"
        )
    return somersault
