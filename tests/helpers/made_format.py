"""The smallest label format: a JSON object with an image and its visible joints, for
tests of the registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from finediving_pose.datasets.label_format import LabelFormat
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.problems import Problem, ProblemLog, load_json
from finediving_pose.files import write_json
from finediving_pose.records import LabelledFrame


def read(path: Path, images: Path | None = None) -> LabelSet:
    frames = [
        LabelledFrame(
            image=name,
            keypoints=np.array(joints, dtype=np.float64),
            visibility=np.full(len(joints), 2, dtype=np.uint8),
            source=path,
        )
        for name, joints in load_json(path)["made"].items()
    ]
    return LabelSet(tuple(frames), (), images or path.parent)


def write(path: Path, labels: LabelSet) -> list[Problem]:
    problems: list[Problem] = []
    ProblemLog(str(path), problems).warning("unwritable", "box", "boxes are left out")
    joints = {frame.image: frame.keypoints.tolist() for frame in labels.frames}
    write_json(path, {"made": joints})
    return problems


def is_made(content: Any) -> bool:
    return isinstance(content, dict) and "made" in content


FORMAT = LabelFormat(
    name="made",
    description="a made-up format",
    hallmark="an object with `made`",
    reader=read,
    writer=write,
    suffix=".json",
    recognises=is_made,
)


def content_of(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))["made"]
