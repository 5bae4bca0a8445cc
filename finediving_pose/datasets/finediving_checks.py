"""Anomalies of FineDiving's files. None of them keeps a dive from being used; each of
them can make a metric differ."""

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
            _list_reported(data.problems, "error"),
            "error",
        ),
        Anomaly(
            "disagreement",
            "the files disagree",
            _list_reported(data.problems, "warning"),
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
                tuple(_find_missing_frames(data, frames)),
            )
        )
    return [anomaly for anomaly in found if anomaly.items]


def _list_reported(problems: Iterable[Problem], severity: Severity) -> tuple[Item, ...]:
    items: list[Item] = []
    for problem in problems:
        if problem.severity != severity:
            continue
        name = Path(problem.file).name
        if problem.where:
            items.append((problem.where, f"{name}: {problem.message}"))
        else:
            items.append((name, problem.message))
    return tuple(items)


def _find_incomplete(data: FineDiving) -> Iterator[Item]:
    """Dives that some file lacks though others of its kind are there; nothing to say of
    a kind that is absent."""
    windows = any(dive.dive.start_frame is not None for dive in data.dives)
    labels = any(len(dive.frame_labels) for dive in data.dives)
    for dive in data.dives:
        if windows and dive.dive.start_frame is None:
            yield (
                _name_dive(dive.key),
                "not in the coarse file: frames and awards are not known",
            )
        if labels and not len(dive.frame_labels):
            yield (
                _name_dive(dive.key),
                "not in the fine-grained files: its frames are not labelled",
            )


def _find_wrong_counts(data: FineDiving) -> Iterator[Item]:
    for dive in _list_labelled(data):
        frames = count_frames(dive.dive)
        if frames is not None and frames != len(dive.frame_labels):
            yield (
                _name_dive(dive.key),
                f"{len(dive.frame_labels)} labels, expected {frames}, one a frame",
            )


def _find_few_runs(data: FineDiving) -> Iterator[Item]:
    for dive in _list_labelled(data):
        if dive.transitions() is None:
            yield (
                _name_dive(dive.key),
                f"found {_describe_sequence(dive.sequence)}, expected take-off, flight and entry",
            )


def _find_last_labels(data: FineDiving) -> Iterator[Item]:
    for dive in _list_labelled(data):
        if dive.sequence[-1] != ENTRY:
            yield (
                _name_dive(dive.key),
                f"{dive.dive.dive_number}: last label {dive.sequence[-1]}, expected {ENTRY} (Entry)",
            )


def _find_wrong_steps(data: FineDiving) -> Iterator[Item]:
    for dive in _list_labelled(data):
        expected = [run.stop - 1 for run in dive.runs[:-1]]
        if dive.steps_transit_frames.tolist() != expected:
            yield (
                _name_dive(dive.key),
                f"{dive.steps_transit_frames.tolist()}, the labels change after {expected}",
            )


def _find_unusual_sequences(data: FineDiving) -> Iterator[Item]:
    usual = find_usual_sequences(data)
    for dive in _list_labelled(data):
        expected = usual.get(_get_number(dive))
        if expected is not None and dive.sequence != expected:
            found = _describe_sequence(dive.sequence)
            yield (
                _name_dive(dive.key),
                f"{dive.dive.dive_number}: {found}; usual is {_describe_sequence(expected)}",
            )


def _find_wrong_names(data: FineDiving) -> Iterator[Item]:
    for dive in _list_labelled(data):
        if not dive.sub_action_names:
            continue
        if dive.sub_action_names.keys() != set(dive.sequence):
            listed = _describe_sequence(tuple(dive.sub_action_names))
            yield (
                _name_dive(dive.key),
                f"lists {listed}; the labels are {_describe_sequence(dive.sequence)}",
            )
        for label, name in dive.sub_action_names.items():
            if SUB_ACTIONS.get(label) != name:
                yield (
                    _name_dive(dive.key),
                    f"calls {label} {name!r}, expected {SUB_ACTIONS.get(label)!r}",
                )


def _find_unreadable_numbers(data: FineDiving) -> Iterator[Item]:
    for dive in data.dives:
        try:
            diving.parse_dive_number(dive.dive.dive_number or "")
        except ValueError as error:
            yield _name_dive(dive.key), str(error)


def _find_impossible_awards(data: FineDiving) -> Iterator[Item]:
    for dive in data.dives:
        try:
            diving.check_awards(dive.dive.awards or ())
        except ValueError as error:
            yield _name_dive(dive.key), str(error)


def _find_zero_scores(data: FineDiving) -> Iterator[Item]:
    for dive in data.dives:
        if dive.dive.score == 0:
            yield (
                _name_dive(dive.key),
                f"{dive.dive.dive_number}, DD {dive.dive.difficulty}: a failed dive",
            )


def _find_wrong_scores(data: FineDiving) -> Iterator[Item]:
    for dive in data.dives:
        record = dive.dive
        if record.score is None or record.difficulty is None or record.awards is None:
            continue
        try:
            counted = diving.sum_counting_awards(record.awards, record.synchronised)
        except ValueError as error:
            yield _name_dive(dive.key), str(error)
            continue
        by_rule = record.difficulty * counted
        if abs(record.score - by_rule) > SCORE_TOLERANCE + 1e-6:
            found = f"{record.dive_number}: score {record.score:g}, DD {record.difficulty:g} × awards {counted:g}"
            yield (
                _name_dive(dive.key),
                f"{found} = {by_rule:g}{_suggest_difficulty(record.score, counted)}",
            )


def _suggest_difficulty(score: float, counted: float) -> str:
    """Say which DD in tenths would make the rule give the score, if one does."""
    fitting = round(score / counted, 1) if counted else 0.0
    if not fitting or abs(score - fitting * counted) > SCORE_TOLERANCE:
        return ""
    return f"; a DD of {fitting:g} fits"


def _find_few_exemplars(data: FineDiving) -> Iterator[Item]:
    trained = Counter(map(_get_number, data.select(data.train)))
    for dive in data.select(data.test) if data.train else ():
        if trained[_get_number(dive)] < EXEMPLARS:
            yield (
                _name_dive(dive.key),
                f"{trained[_get_number(dive)]} training dives of {dive.dive.dive_number}",
            )


def _find_shared_matches(data: FineDiving) -> Iterator[Item]:
    trained = Counter(match for match, _ in data.train)
    tested = Counter(match for match, _ in data.test)
    for match in tested:
        if match in trained:
            yield match, f"{tested[match]} test and {trained[match]} training dives"


def _find_twins_across(data: FineDiving) -> Iterator[Item]:
    """Dives with the same number, score and label of every frame, one to train on and
    one to test."""
    twins: dict[tuple[str, float | None, bytes], list[Key]] = {}
    for dive in _list_labelled(data):
        content = (_get_number(dive), dive.dive.score, dive.frame_labels.tobytes())
        twins.setdefault(content, []).append(dive.key)
    train, test = set(data.train), set(data.test)
    for keys in twins.values():
        tested = [key for key in keys if key in test]
        trained = [key for key in keys if key in train]
        if tested and trained:
            others = ", ".join(map(_name_dive, trained))
            yield (
                ", ".join(map(_name_dive, tested)),
                f"number, score and all labels as in {others}, which is for training",
            )


def _find_split_faults(data: FineDiving) -> Iterator[Item]:
    for name, keys in (("training", data.train), ("test", data.test)):
        for key, times in Counter(keys).items():
            if times > 1:
                yield _name_dive(key), f"{times} times in the {name} split"
            if key not in data.by_key and data.dives:
                yield _name_dive(key), f"in the {name} split, and in no annotation file"
    for key in sorted(set(data.train) & set(data.test)):
        yield _name_dive(key), "in both splits: leakage"
    if data.train and data.test:
        split = {*data.train, *data.test}
        for dive in data.dives:
            if dive.key not in split:
                yield _name_dive(dive.key), "in no split"


_CHECKS: dict[str, tuple[str, Callable[[FineDiving], Iterator[Item]]]] = {
    "incomplete": ("a file lacks the dive", _find_incomplete),
    "splits": ("splits that do not fit the dives", _find_split_faults),
    "label_count": ("not one label a frame", _find_wrong_counts),
    "few_runs": ("fewer than three sub-actions: no stages", _find_few_runs),
    "last_label": (f"the last label is not {ENTRY} (Entry)", _find_last_labels),
    "steps": (
        "steps_transit_frames contradicts the labels (stages come from the labels)",
        _find_wrong_steps,
    ),
    "sequence": (
        "a sequence of sub-actions unusual for the dive number",
        _find_unusual_sequences,
    ),
    "names": ("sub-action_types contradicts the labels", _find_wrong_names),
    "dive_number": ("not a dive number", _find_unreadable_numbers),
    "awards": ("awards that no judge can give", _find_impossible_awards),
    "zero": ("score 0", _find_zero_scores),
    "score": ("the score is not DD × the awards that count", _find_wrong_scores),
    "exemplars": (
        f"test dives with fewer than {EXEMPLARS} training dives of their number",
        _find_few_exemplars,
    ),
    "matches": ("test matches that also occur in training", _find_shared_matches),
    "identical": ("test dives identical to a training dive", _find_twins_across),
}


def find_usual_sequences(data: FineDiving) -> dict[str, tuple[int, ...]]:
    """Return the usual sub-action ids of each dive number that occurs.

    That is what more than half of the number's dives have, where there are several, and
    else the rule (:func:`sub_actions.derive_sequence`), as far as it knows the
    number.
    """
    found: dict[str, Counter[tuple[int, ...]]] = {}
    for dive in _list_labelled(data):
        found.setdefault(_get_number(dive), Counter())[dive.sequence] += 1
    usual: dict[str, tuple[int, ...]] = {}
    for number, counts in found.items():
        sequence = _find_majority(counts) or _derive_by_rule(number)
        if sequence is not None:
            usual[number] = sequence
    return usual


def _find_majority(counts: Counter[tuple[int, ...]]) -> tuple[int, ...] | None:
    [(sequence, count)] = counts.most_common(1)
    return sequence if 1 < counts.total() < 2 * count else None


def _derive_by_rule(number: str) -> tuple[int, ...] | None:
    try:
        return derive_sequence(diving.parse_dive_number(number))
    except ValueError:
        # Reported as no dive number, or a dive that FineDiving has no labels for.
        return None


def _find_missing_frames(data: FineDiving, root: Path) -> Iterator[Item]:
    for dive in data.dives:
        first, last = dive.dive.start_frame, dive.dive.end_frame
        folder = root / dive.dive.match / dive.dive.dive
        if first is None or last is None:
            continue
        if not folder.is_dir():
            yield _name_dive(dive.key), "no such folder"
            continue
        wanted = np.arange(first, last + 1)
        present = [number for number, _ in list_numbered_images(folder)]
        absent = wanted[~np.isin(wanted, present)]
        if len(absent):
            yield (
                _name_dive(dive.key),
                f"{len(absent)} of {len(wanted)} missing, the first is {absent[0]}.jpg",
            )


def _list_labelled(data: FineDiving) -> Iterator[FineDive]:
    return (dive for dive in data.dives if len(dive.frame_labels))


def _get_number(dive: FineDive) -> str:
    return (dive.dive.dive_number or "").lower()


def _name_dive(key: Key) -> str:
    return "/".join(key)


def _describe_sequence(labels: Sequence[int]) -> str:
    return " – ".join(SUB_ACTIONS.get(label, str(label)) for label in labels)
