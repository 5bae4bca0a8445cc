"""Parts of a training's dives: to learn from, to choose the epoch by, and to test on;
and which dives are in none, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finediving_pose.datasets.problems import load_json
from finediving_pose.errors import DataError

if TYPE_CHECKING:
    from finediving_pose.aqa.data.dives import AqaDive
    from finediving_pose.aqa.data.sources import Parts, Prepared
    from finediving_pose.aqa.settings import AqaSettings

SHOWN = 3
"""Dives named in one message."""


def choose_parts(prepared: Prepared, splits: Path | None) -> tuple[Parts, list[str]]:
    """Divide the dives into parts.

    Args:
        prepared: The data set.
        splits: JSON with the lists ``train``, ``val`` and ``test`` of ``match/dive``;
            None = the data set's own parts, and ours where it has none.

    Returns:
        The parts, and in a line each which dives are not used and why.

    Raises:
        DataError: If there is nothing to learn from or to choose by, or a dive is in
            two parts.
    """
    from finediving_pose.aqa.data.sources import divide_dives

    settings = prepared.settings
    if splits is None:
        parts = divide_dives(prepared.gathered, settings)
    else:
        parts = _read_named_parts(prepared, splits)
    left_out = _list_unused(prepared)
    unfit = _find_unfit(parts.train, settings)
    fit = tuple(dive for dive in parts.train if dive.name not in unfit)
    if not fit:
        reasons = [*left_out, *(f"{name}: {why}" for name, why in unfit.items())]
        raise DataError(
            f"no dive is left to learn from: {'; '.join(reasons[:SHOWN]) or 'none is in that part'}"
        )
    if settings.select == "test-best" and not parts.test:
        raise DataError(
            "select=test-best chooses the epoch on the test dives, and there are none"
        )
    for name, reason in unfit.items():
        left_out.append(f"{name}: not trained on: {reason}")
    return parts._replace(train=fit), left_out


def keep_scored(parts: Parts) -> Parts:
    """Leave out dives whose score is not known."""
    scored = {}
    for name, dives in parts._asdict().items():
        scored[name] = tuple(dive for dive in dives if dive.record.score is not None)
    return parts._replace(**scored)


def list_names(parts: Parts) -> dict[str, list[str]]:
    """Return the names ``match/dive`` of each part."""
    names = {}
    for part, dives in parts._asdict().items():
        names[part] = [dive.name for dive in dives]
    return names


def _find_unfit(dives: Sequence[AqaDive], settings: AqaSettings) -> dict[str, str]:
    """Return by name why dives cannot be trained on: no target, or no exemplar, not
    even themselves."""
    from finediving_pose.aqa.data.exemplars import ExemplarPool

    unfit = {}
    if settings.target == "completeness":
        for dive in dives:
            if not dive.record.difficulty:
                unfit[dive.name] = "no DD, by which target=completeness divides"
    fit = [dive for dive in dives if dive.name not in unfit]
    if fit and settings.trains_on_pairs:
        pool = ExemplarPool([dive.record for dive in fit], settings.exemplar_choice)
        lacks = {"number": "no dive number", "difficulty": "no DD"}
        lack = lacks.get(settings.exemplar_choice, "")
        reason = f"{lack}, by which its exemplar is chosen (exemplar_choice=random needs none)"
        for dive in fit:
            if pool.draw_exemplar(dive.record, 0) is None:
                unfit[dive.name] = reason
    return unfit


def _read_named_parts(prepared: Prepared, path: Path) -> Parts:
    """Return the parts that a file names; without ``val`` it is held out of the
    training dives as usual."""
    from finediving_pose.aqa.data.sources import select_parts
    from finediving_pose.aqa.data.splits import hold_out, refuse_overlap

    gathered, settings = prepared.gathered, prepared.settings
    names = _read_splits(path)
    known = {"/".join(dive.key) for dive in gathered.annotations.dives}
    unknown = []
    for part in names.values():
        unknown += [name for name in part if name not in known]
    if unknown:
        raise DataError(
            f"{path}: names {len(unknown)} dives that the annotations do not have, the first {unknown[0]}; expected "
            f"match/dive such as {min(known)}"
        )
    parts = keep_scored(select_parts(gathered, names))
    if "val" not in names:
        records = [dive.record for dive in parts.train]
        stay, held = hold_out(records, settings.val_fraction, settings.seed)
        parts = parts._replace(
            train=tuple(gathered.select(stay)), val=tuple(gathered.select(held))
        )
    train = [dive.key for dive in parts.train]
    val = [dive.key for dive in parts.val]
    refuse_overlap([*train, *val], [dive.key for dive in parts.test])
    refuse_overlap(train, val)
    return parts


def _read_splits(path: Path) -> dict[str, list[str]]:
    content = load_json(path)
    named: dict[str, Any] = {}
    if type(content) is dict:
        for part in ("train", "val", "test"):
            if part in content:
                named[part] = content[part]
    if "train" not in named or not _are_name_lists(named.values()):
        raise DataError(
            f'{path}: expected {{"train": ["match/dive", …], "val": […], "test": […]}}'
        )
    return {part: list(dict.fromkeys(names)) for part, names in named.items()}


def _are_name_lists(values: Iterable[Any]) -> bool:
    for value in values:
        if type(value) is not list:
            return False
        for name in value:
            if type(name) is not str:
                return False
    return True


def _list_unused(prepared: Prepared) -> list[str]:
    """Return, a line each, which dives of the data set are in no part, and why."""
    gathered = prepared.gathered
    unreadable: Mapping[Any, str] = prepared.unreadable
    lines = []
    for key in gathered.no_frames:
        lines.append(f"{'/'.join(key)}: {unreadable.get(key, 'no frames')}")
    for key in gathered.no_features:
        lines.append(f"{'/'.join(key)}: no features")
    for key in gathered.no_score:
        lines.append(f"{'/'.join(key)}: no score")
    return lines
