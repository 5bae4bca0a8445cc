"""FineDiving's annotation pickles, as published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finediving_pose.console import DataError
from finediving_pose.datasets import restricted_pickle
from finediving_pose.datasets.checks import safe_name
from finediving_pose.records import Dive

COARSE_NAME = "FineDiving_coarse_annotation.pkl"
SYNCHRONISED_AWARDS = 5
"""A synchronised dive has five awards that count; individual dives have seven, or the three that counted."""


def read_coarse(path: Path) -> list[Dive]:
    """Read ``FineDiving_coarse_annotation.pkl``: dive number, first and last frame, score, DD and awards.

    Args:
        path: The pickle, or the folder that holds it.

    Raises:
        DataError: If it is not that file; names the dive and key.
    """
    path = path / COARSE_NAME if path.is_dir() else path
    content = restricted_pickle.load(path)
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected a dict of dives, found a {type(content).__name__}")
    return [_dive(path, key, value) for key, value in content.items()]


def _dive(path: Path, key: Any, value: Any) -> Dive:
    if not (isinstance(key, tuple) and len(key) == 2 and all(safe_name(str(part)) for part in key)):
        raise DataError(f"{path}: found key {key!r}, expected (match, dive) of plain names")
    match, dive = str(key[0]), str(key[1])
    try:
        awards = tuple(float(award) for award in value["judge_scores"])
        return Dive(
            match=match,
            dive=dive,
            start_frame=int(value["start_frame"]),
            end_frame=int(value["end_frame"]),
            dive_number=str(value["action_type"]),
            difficulty=float(value["difficulty"]),
            awards=awards,
            score=float(value["dive_score"]),
            synchronised=len(awards) == SYNCHRONISED_AWARDS,
        )
    except KeyError as error:
        raise DataError(f"{path}: {match}/{dive}: key {error} is missing") from None
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: {match}/{dive}: {error}") from None
