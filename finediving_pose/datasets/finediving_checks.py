"""What is odd in FineDiving's files. None of it keeps a dive from being used; all of it
can make a figure differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finediving_pose import diving
from finediving_pose.datasets.finediving import FineDive, FineDiving, Key, count_frames
from finediving_pose.datasets.problems import Problem, Severity
from finediving_pose.datasets.sub_actions import ENTRY, SUB_ACTIONS, derive_sequence
from finediving_pose.media import list_numbered_images

EXEMPLARS = 10
"""Training dives of its own number that the usual protocol takes for each test dive."""

SCORE_TOLERANCE = 0.05
"""Points by which a stored score may miss the rule: some are rounded to tenths."""

Item = tuple[str, str]
"""Where (the dive as match/dive), and what."""


@dataclass(frozen=True)
class Anomaly:
    """One kind of oddity and where it occurs.

    Attributes:
        kind: A short name for programs.
        title: What is odd.
        items: Where (a dive, a match, a file), and what was found there and expected.
        severity: ``error`` where something could not be read, else ``warning``.
    """

    kind: str
    title: str
    items: tuple[Item, ...]
    severity: Severity = "warning"


def find_anomalies(data: FineDiving, frames: Path | None = None) -> list[Anomaly]:
    """Return every kind of oddity that occurs.

    Args:
        data: The files' content.
        frames: The folder of ``<match>/<dive>/<number>.jpg``; None = do not look for
            frames.
    """
    found = [
        Anomaly(
            "unreadable",
            "could not be read",
            _reported(data.problems, "error"),
            "error",
        ),
        Anomaly(
            "disagreement", "the files disagree", _reported(data.problems, "warning")
        ),
    ]
    found += [
        Anomaly(kind, title, tuple(check(data)))
        for kind, (title, check) in _CHECKS.items()
    ]
    if frames is not None:
        found.append(
            Anomaly(
                "frames",
                f"frames missing below {frames}",
                tuple(_missing_frames(data, frames)),
            )
        )
    return [anomaly for anomaly in found if anomaly.items]


def _reported(problems: Iterable[Problem], severity: Severity) -> tuple[Item, ...]:
    return tuple(
        (
            problem.where or Path(problem.file).name,
            f"{Path(problem.file).name}: {problem.message}"
            if problem.where
            else problem.message,
        )
        for problem in problems
        if problem.severity == severity
    )


def _incomplete(data: FineDiving) -> Iterator[Item]:
    """Dives that some file lacks though others of its kind are there; nothing to say of
    a kind that is absent."""
    windows = any(dive.dive.start_frame is not None for dive in data.dives)
    labels = any(len(dive.frame_labels) for dive in data.dives)
    for dive in data.dives:
        if windows and dive.dive.start_frame is None:
            yield (
                _name(dive.key),
                "not in the coarse file: frames and awards are not known",
            )
        if labels and not len(dive.frame_labels):
            yield (
                _name(dive.key),
                "not in the fine-grained files: its frames are not labelled",
            )


def _label_count(data: FineDiving) -> Iterator[Item]:
    for dive in _labelled(data):
        frames = count_frames(dive.dive)
        if frames is not None and frames != len(dive.frame_labels):
            yield (
                _name(dive.key),
                f"{len(dive.frame_labels)} labels, expected {frames}, one a frame",
            )


def _few_runs(data: FineDiving) -> Iterator[Item]:
    for dive in _labelled(data):
        if dive.transitions() is None:
            yield (
                _name(dive.key),
                f"found {_in_words(dive.sequence)}, expected take-off, flight and entry",
            )


def _last_label(data: FineDiving) -> Iterator[Item]:
    for dive in _labelled(data):
        if dive.sequence[-1] != ENTRY:
            yield (
                _name(dive.key),
                f"{dive.dive.dive_number}: last label {dive.sequence[-1]}, expected {ENTRY} (Entry)",
            )


def _steps(data: FineDiving) -> Iterator[Item]:
    for dive in _labelled(data):
        expected = [run.stop - 1 for run in dive.runs[:-1]]
        if dive.steps_transit_frames.tolist() != expected:
            yield (
                _name(dive.key),
                f"{dive.steps_transit_frames.tolist()}, the labels change after {expected}",
            )


def _unusual_sequence(data: FineDiving) -> Iterator[Item]:
    usual = find_usual_sequences(data)
    for dive in _labelled(data):
        expected = usual.get(_number(dive))
        if expected is not None and dive.sequence != expected:
            found = _in_words(dive.sequence)
            yield (
                _name(dive.key),
                f"{dive.dive.dive_number}: {found}; usual is {_in_words(expected)}",
            )


def _sub_action_names(data: FineDiving) -> Iterator[Item]:
    for dive in _labelled(data):
        if not dive.sub_action_names:
            continue
        if dive.sub_action_names.keys() != set(dive.sequence):
            listed = _in_words(tuple(dive.sub_action_names))
            yield (
                _name(dive.key),
                f"lists {listed}; the labels are {_in_words(dive.sequence)}",
            )
        for label, name in dive.sub_action_names.items():
            if SUB_ACTIONS.get(label) != name:
                yield (
                    _name(dive.key),
                    f"calls {label} {name!r}, expected {SUB_ACTIONS.get(label)!r}",
                )


def _dive_number(data: FineDiving) -> Iterator[Item]:
    for dive in data.dives:
        try:
            diving.parse_dive_number(dive.dive.dive_number or "")
        except ValueError as error:
            yield _name(dive.key), str(error)


def _impossible_awards(data: FineDiving) -> Iterator[Item]:
    for dive in data.dives:
        try:
            diving.check_awards(dive.dive.awards or ())
        except ValueError as error:
            yield _name(dive.key), str(error)


def _zero_score(data: FineDiving) -> Iterator[Item]:
    for dive in data.dives:
        if dive.dive.score == 0:
            yield (
                _name(dive.key),
                f"{dive.dive.dive_number}, DD {dive.dive.difficulty}: a failed dive",
            )


def _score_rule(data: FineDiving) -> Iterator[Item]:
    for dive in data.dives:
        record = dive.dive
        if record.score is None or record.difficulty is None or record.awards is None:
            continue
        try:
            counted = diving.sum_counting_awards(record.awards, record.synchronised)
        except ValueError as error:
            yield _name(dive.key), str(error)
            continue
        by_rule = record.difficulty * counted
        if abs(record.score - by_rule) > SCORE_TOLERANCE + 1e-6:
            found = f"{record.dive_number}: score {record.score:g}, DD {record.difficulty:g} × awards {counted:g}"
            yield (
                _name(dive.key),
                f"{found} = {by_rule:g}{_fitting_difficulty(record.score, counted)}",
            )


def _fitting_difficulty(score: float, counted: float) -> str:
    fitting = round(score / counted, 1) if counted else 0.0
    return (
        f"; a DD of {fitting:g} fits"
        if fitting and abs(score - fitting * counted) <= SCORE_TOLERANCE
        else ""
    )


def _few_exemplars(data: FineDiving) -> Iterator[Item]:
    trained = Counter(map(_number, data.select(data.train)))
    for dive in data.select(data.test) if data.train else ():
        if trained[_number(dive)] < EXEMPLARS:
            yield (
                _name(dive.key),
                f"{trained[_number(dive)]} training dives of {dive.dive.dive_number}",
            )


def _shared_matches(data: FineDiving) -> Iterator[Item]:
    trained, tested = (
        Counter(match for match, _ in keys) for keys in (data.train, data.test)
    )
    for match in tested:
        if match in trained:
            yield match, f"{tested[match]} test and {trained[match]} training dives"


def _identical_across(data: FineDiving) -> Iterator[Item]:
    """Dives with the same number, score and label of every frame, one to train on and
    one to test."""
    twins: dict[tuple[str, float | None, bytes], list[Key]] = {}
    for dive in _labelled(data):
        twins.setdefault(
            (_number(dive), dive.dive.score, dive.frame_labels.tobytes()), []
        ).append(dive.key)
    train, test = set(data.train), set(data.test)
    for keys in twins.values():
        tested, trained = (
            [key for key in keys if key in part] for part in (test, train)
        )
        if tested and trained:
            others = ", ".join(map(_name, trained))
            yield (
                ", ".join(map(_name, tested)),
                f"number, score and all labels as in {others}, which is for training",
            )


def _splits(data: FineDiving) -> Iterator[Item]:
    for name, keys in (("training", data.train), ("test", data.test)):
        for key, times in Counter(keys).items():
            if times > 1:
                yield _name(key), f"{times} times in the {name} split"
            if key not in data.by_key and data.dives:
                yield _name(key), f"in the {name} split, and in no annotation file"
    for key in sorted(set(data.train) & set(data.test)):
        yield _name(key), "in both splits: leakage"
    if data.train and data.test:
        split = {*data.train, *data.test}
        yield from (
            (_name(dive.key), "in no split")
            for dive in data.dives
            if dive.key not in split
        )


_CHECKS: dict[str, tuple[str, Callable[[FineDiving], Iterator[Item]]]] = {
    "incomplete": ("a file lacks the dive", _incomplete),
    "splits": ("splits that do not fit the dives", _splits),
    "label_count": ("not one label a frame", _label_count),
    "few_runs": ("fewer than three sub-actions: no stages", _few_runs),
    "last_label": (f"the last label is not {ENTRY} (Entry)", _last_label),
    "steps": (
        "steps_transit_frames contradicts the labels (stages come from the labels)",
        _steps,
    ),
    "sequence": (
        "a sequence of sub-actions unusual for the dive number",
        _unusual_sequence,
    ),
    "names": ("sub-action_types contradicts the labels", _sub_action_names),
    "dive_number": ("not a dive number", _dive_number),
    "awards": ("awards that no judge can give", _impossible_awards),
    "zero": ("score 0", _zero_score),
    "score": ("the score is not DD × the awards that count", _score_rule),
    "exemplars": (
        f"test dives with fewer than {EXEMPLARS} training dives of their number",
        _few_exemplars,
    ),
    "matches": ("test matches that also occur in training", _shared_matches),
    "identical": ("test dives identical to a training dive", _identical_across),
}


def find_usual_sequences(data: FineDiving) -> dict[str, tuple[int, ...]]:
    """Return the usual sub-action ids of each dive number that occurs.

    That is what more than half of the number's dives have, where there are several, and
    else the rule (:func:`sub_actions.derive_sequence`), as far as it knows the
    number.
    """
    found: dict[str, Counter[tuple[int, ...]]] = {}
    for dive in _labelled(data):
        found.setdefault(_number(dive), Counter())[dive.sequence] += 1
    usual = {
        number: _majority(counts) or _by_rule(number)
        for number, counts in found.items()
    }
    return {
        number: sequence for number, sequence in usual.items() if sequence is not None
    }


def _majority(counts: Counter[tuple[int, ...]]) -> tuple[int, ...] | None:
    [(sequence, count)] = counts.most_common(1)
    return sequence if 1 < counts.total() < 2 * count else None


def _by_rule(number: str) -> tuple[int, ...] | None:
    try:
        return derive_sequence(diving.parse_dive_number(number))
    except (
        ValueError
    ):  # reported as no dive number, or a dive that FineDiving has no labels for
        return None


def _missing_frames(data: FineDiving, root: Path) -> Iterator[Item]:
    for dive in data.dives:
        first, last = dive.dive.start_frame, dive.dive.end_frame
        folder = root / dive.dive.match / dive.dive.dive
        if first is None or last is None:
            continue
        if not folder.is_dir():
            yield _name(dive.key), "no such folder"
            continue
        wanted = np.arange(first, last + 1)
        absent = wanted[
            ~np.isin(wanted, [number for number, _ in list_numbered_images(folder)])
        ]
        if len(absent):
            yield (
                _name(dive.key),
                f"{len(absent)} of {len(wanted)} missing, the first is {absent[0]}.jpg",
            )


def _labelled(data: FineDiving) -> Iterator[FineDive]:
    return (dive for dive in data.dives if len(dive.frame_labels))


def _number(dive: FineDive) -> str:
    return (dive.dive.dive_number or "").lower()


def _name(key: Key) -> str:
    return "/".join(key)


def _in_words(labels: Sequence[int]) -> str:
    return " – ".join(
        SUB_ACTIONS[label] if label in SUB_ACTIONS else str(label) for label in labels
    )
