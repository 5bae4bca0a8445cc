"""Plan of an invented diving meet: athletes, dives, faults and awards, all from one seed.

Planning a meet draws no image and moves no body, so that thousands of dives are
planned in a second; :func:`stage_dive` then makes one planned dive ready to be seen. A dive
depends on its plan alone: not on the others, nor on the order or the process in which
they are staged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

import numpy as np

from finediving_pose import diving
from finediving_pose.datasets.sub_actions import derive_sequence
from finediving_pose.synthesis.execution import (
    Execution,
    compute_true_award,
    compute_true_score,
    draw_awards,
    draw_execution,
)
from finediving_pose.synthesis.programme import Choice, allocate_dives

if TYPE_CHECKING:
    from finediving_pose.synthesis.dive import Motion
    from finediving_pose.synthesis.scene import Scene

VERSION = 1
"""Of the generator. Whoever changes what a seed gives raises it: the frozen benchmark
meet names a version."""

HARD_VERSION = 2
"""Of what is hard in a hard meet."""

TEST_SHARE = 0.25
EXEMPLARS = 10
"""Training dives of its own number that a test dive should find; the protocol scores
against as many."""

Item = TypeVar("Item")

# Share of seats taken at least where the scenes are hard.
_FULL = 0.6
_MATCH_DIVES = 3, 12
# Matches that share a venue, once there are enough matches.
_ROUNDS = 2
# Frames of the recording from one dive to the next.
_SLOT = 600
# Share of matches whose frame numbers have six digits, as in the published files.
_LONG_RECORDINGS = 0.18


class Athlete(NamedTuple):
    """An invented athlete; the seed decides body and looks."""

    name: str
    country: str
    sex: Literal["men", "women"]
    skill: float
    seed: int


@dataclass(frozen=True)
class PlannedDive:
    """One dive of the meet, before anybody moves.

    Attributes:
        match, dive: The key; dives of a match count from 1.
        athlete: Who dives.
        choice: What is dived: number, height, DD.
        execution: What goes wrong.
        awards: Seven, in half points.
        start_frame: The number of its first frame in the recording of the match.
        seed: Of all chance in this dive's movement and images.
        venue_seed: Of the venue, shared by the matches that are held there.
        camera_seed: Of where the camera stands, shared by the dives of a match.
        hard: Whether the scene is a hard one.
        free_limbs: Whether arms and legs go their own ways, as no dive's do.
    """

    match: str
    dive: int
    athlete: Athlete
    choice: Choice
    execution: Execution
    awards: tuple[float, ...]
    start_frame: int
    seed: int
    venue_seed: int
    camera_seed: int
    hard: bool = False
    free_limbs: bool = False

    @property
    def key(self) -> tuple[str, int]:
        """Match and dive, as FineDiving's files name a dive."""
        return self.match, self.dive

    @property
    def jpeg_quality(self) -> int:
        """How hard the images of this match are compressed."""
        return 72 + self.camera_seed % 21

    @property
    def score(self) -> float:
        """DD × the three middle awards."""
        return diving.compute_score(self.awards, self.choice.difficulty)

    @property
    def true_score(self) -> float:
        """The score from judges without error."""
        return compute_true_score(self.execution, self.choice.difficulty)


@dataclass(frozen=True)
class Meet:
    """All dives of a meet in the order they are dived, and which of them are for
    testing."""

    dives: tuple[PlannedDive, ...]
    test: frozenset[tuple[str, int]]
    seed: int
    hard: bool

    @property
    def matches(self) -> dict[str, list[PlannedDive]]:
        """The dives by match."""
        grouped: dict[str, list[PlannedDive]] = {}
        for dive in self.dives:
            grouped.setdefault(dive.match, []).append(dive)
        return grouped

    def select_part(self, test: bool) -> list[PlannedDive]:
        """Return the dives for testing, or those for training."""
        return [dive for dive in self.dives if (dive.key in self.test) == test]

    def compute_ceiling(self, test: bool = True) -> float:
        """Return ρ of the scores without the judges' error: what no method can hope to
        pass by much."""
        from finediving_pose.score_metrics import compute_spearman

        dives = self.select_part(test)
        true_scores = np.array([dive.true_score for dive in dives])
        return compute_spearman(true_scores, np.array([dive.score for dive in dives]))


def plan_meet(
    dives: int,
    seed: int,
    numbers: tuple[str, ...] = (),
    hard: bool = False,
    free_limbs: bool = False,
) -> Meet:
    """Plan a meet.

    Args:
        dives: How many; at least 1.
        seed: Of everything.
        numbers: Restricts it to these dive numbers.
        hard: Occlusion, others who walk and dive, full stands, zoom and flicker.
        free_limbs: Arms and legs go their own ways.

    Returns:
        The dives, and which of them are for testing.

    Raises:
        ValueError: If `dives` is not positive, or a number is not in the programme.
    """
    if dives < 1:
        raise ValueError(f"{dives} dives: expected at least 1")
    rng = np.random.default_rng([VERSION, seed])
    choices = allocate_dives(dives, rng, numbers)
    per_match = int(np.clip(dives // 12, *_MATCH_DIVES))
    # Matches of springboard and platform take turns.
    events = []
    for apparatus in ("3m", "10m"):
        dived = [choice for choice in choices if choice.apparatus == apparatus]
        events.append(_split_in_chunks(dived, per_match))
    matches = _alternate(*events)
    rounds = _ROUNDS if len(matches) > 4 * _ROUNDS else 1
    planned: list[PlannedDive] = []
    for index, together in enumerate(_group_by_venue(matches, rounds), start=1):
        planned += _plan_venue(rng, index, together, hard)
    if free_limbs:
        planned = [replace(dive, free_limbs=True) for dive in planned]
    return Meet(tuple(planned), _choose_test(rng, planned), seed, hard)


def perform_planned_dive(dive: PlannedDive) -> Motion:
    """Let the athlete perform one planned dive."""
    from finediving_pose.synthesis.body import draw_build
    from finediving_pose.synthesis.dive import perform_dive
    from finediving_pose.synthesis.free_limbs import give_free_limbs
    from finediving_pose.synthesis.schedule import DiveTask

    build = draw_build(np.random.default_rng([dive.athlete.seed, 0]), dive.athlete.sex)
    number = dive.choice.number
    motion = perform_dive(
        DiveTask(number, dive.choice.apparatus, build, dive.execution),
        derive_sequence(number),
        np.random.default_rng([dive.seed, 0]),
    )
    if dive.free_limbs:
        return give_free_limbs(motion, np.random.default_rng([dive.seed, 2]))
    return motion


def stage_dive(dive: PlannedDive) -> Scene:
    """Make one dive ready to be seen: the body moves, the venue is built, the camera
    follows."""
    from finediving_pose.synthesis.figure import draw_look
    from finediving_pose.synthesis.scene import Scene
    from finediving_pose.synthesis.venue import draw_venue

    look = draw_look(np.random.default_rng([dive.athlete.seed, 1]), dive.athlete.sex)
    venue = draw_venue(dive.venue_seed, dive.choice.apparatus)
    if dive.hard:
        venue = replace(venue, crowd=max(venue.crowd, _FULL))
    rng = np.random.default_rng([dive.seed, 1])
    # What a score banner may say before the judges have spoken.
    number = dive.choice.dive_number.upper()
    caption = (dive.athlete.name, dive.athlete.country, number)
    return Scene(
        perform_planned_dive(dive),
        look,
        venue,
        rng,
        hard=dive.hard,
        camera_seed=dive.camera_seed,
        caption=caption,
    )


def _group_by_venue(
    matches: Sequence[list[Choice]], rounds: int
) -> list[list[list[Choice]]]:
    """Put `rounds` matches of one height together at one venue."""
    grouped = []
    for height in ("3m", "10m"):
        of_height = [match for match in matches if match[0].apparatus == height]
        grouped.append(_split_in_chunks(of_height, rounds))
    return _alternate(*grouped)


def _plan_venue(
    rng: np.random.Generator, index: int, matches: list[list[Choice]], hard: bool
) -> list[PlannedDive]:
    sex: Literal["men", "women"] = "men" if rng.random() < 0.5 else "women"
    athletes = [_draw_athlete(rng, sex) for _ in range(max(map(len, matches)))]
    venue_seed = _draw_seed(rng)
    height = matches[0][0].apparatus
    planned = []
    for number, match in enumerate(matches, start=1):
        name = f"SyntheticMeet{index:02d}_{sex.capitalize()}{height}_r{number}"
        if rng.random() < _LONG_RECORDINGS:
            first = int(rng.integers(99_000, 140_000))
        else:
            first = int(rng.integers(40, 4000))
        setting = _Setting(name, first, venue_seed, hard)
        planned += _plan_match(rng, setting, match, athletes)
    return planned


class _Setting(NamedTuple):
    """A match: its name, its first frame in the recording, and its venue."""

    match: str
    first_frame: int
    venue_seed: int
    hard: bool


def _plan_match(
    rng: np.random.Generator,
    setting: _Setting,
    choices: list[Choice],
    athletes: list[Athlete],
) -> list[PlannedDive]:
    """Let each athlete dive one of the choices, in order."""
    camera_seed = _draw_seed(rng)
    planned = []
    for index, (choice, athlete) in enumerate(zip(choices, athletes, strict=False)):
        execution = draw_execution(rng, athlete.skill, choice.difficulty)
        awards = draw_awards(rng, compute_true_award(execution))
        start = setting.first_frame + _SLOT * index + int(rng.integers(0, 100))
        dive = PlannedDive(
            match=setting.match,
            dive=index + 1,
            athlete=athlete,
            choice=choice,
            execution=execution,
            awards=awards,
            start_frame=start,
            seed=_draw_seed(rng),
            venue_seed=setting.venue_seed,
            camera_seed=camera_seed,
            hard=setting.hard,
        )
        planned.append(dive)
    return planned


def _choose_test(
    rng: np.random.Generator, dives: Sequence[PlannedDive]
) -> frozenset[tuple[str, int]]:
    """Choose a quarter for testing; each leaves :data:`EXEMPLARS` dives of its number
    to train on, at the worst one."""
    order = [dives[i] for i in rng.permutation(len(dives))]
    left = Counter(dive.choice.dive_number for dive in dives)
    wanted = int(TEST_SHARE * len(dives))
    chosen: set[tuple[str, int]] = set()
    for least in (EXEMPLARS, 1):
        for dive in order:
            number = dive.choice.dive_number
            if len(chosen) < wanted and dive.key not in chosen and left[number] > least:
                chosen.add(dive.key)
                left[number] -= 1
    return frozenset(chosen)


_STARTS = (
    "BA",
    "DE",
    "FI",
    "GO",
    "LU",
    "MA",
    "NE",
    "PI",
    "RO",
    "SA",
    "TU",
    "VE",
    "ZI",
    "KO",
    "LE",
    "MI",
    "NO",
    "RA",
)
_ENDS = ("L", "N", "R", "S", "M", "V", "K")
_COUNTRIES = (
    "ALV",
    "BRN",
    "CEL",
    "DOR",
    "ESK",
    "FAL",
    "GOR",
    "HEV",
    "ILM",
    "KAR",
    "LUN",
    "MOR",
    "NYR",
    "OST",
    "TAL",
)
"""Invented ones."""


def _draw_athlete(rng: np.random.Generator, sex: Literal["men", "women"]) -> Athlete:
    """Draw an athlete with an invented name from an invented country."""
    syllables = [rng.choice(_STARTS) for _ in range(int(rng.integers(2, 4)))]
    family = "".join(syllables) + str(rng.choice(_ENDS))
    given = "".join(rng.choice(_STARTS, 2)).capitalize()
    country = str(rng.choice(_COUNTRIES))
    skill = float(rng.normal())
    return Athlete(f"{family} {given}", country, sex, skill, _draw_seed(rng))


def _draw_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(0, 2**31))


def _split_in_chunks(items: Sequence[Item], size: int) -> list[list[Item]]:
    return [list(items[start : start + size]) for start in range(0, len(items), size)]


def _alternate(first: list[Item], second: list[Item]) -> list[Item]:
    """Return the items of two lists by turns, then what is left of the longer one."""
    items = []
    for pair in zip_longest(first, second):
        items += [item for item in pair if item is not None]
    return items
