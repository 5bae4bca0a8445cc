"""A made labelling project for the tools that open the review page: drawn dives,
labelled by two invented people."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from finediving_pose.datasets.frame_manifest import (
    ManifestFrame,
    image_key,
    write_frame_manifest,
)
from finediving_pose.datasets.labelme import encode_labelme
from finediving_pose.files import sha256_file, write_json
from finediving_pose.records import LabelledFrame
from finediving_pose.synthesis.annotators import ANNOTATORS, annotate_frames
from finediving_pose.synthesis.sample import write_sample
from finediving_pose.workflows.project import Project, init_project

DRAWN_DIVES = 3


def make_project(root: Path, images: int, frames: int = 24) -> Project:
    """Make a project whose images the first person has all labelled, and the second
    every third dive's.

    Three dives are drawn; where more are wanted, the same pictures stand for further
    dives. Every seventh label of the first person is a model's guess that nobody has
    confirmed.

    Args:
        root: A folder that is no project yet.
        images: How many images, in dives of `frames`.
        frames: How many frames a dive has.
    """
    project = init_project(
        root, [annotator.name for annotator in ANNOTATORS], ["cleo", "dora"]
    )
    with tempfile.TemporaryDirectory() as scratch:
        drawn = write_sample(Path(scratch), DRAWN_DIVES, frames, seed=5)
        frames_of = [
            list(drawn.frames[at : at + frames])
            for at in range(0, DRAWN_DIVES * frames, frames)
        ]
        rows: list[ManifestFrame] = []
        for dive in range(-(-images // frames)):
            rows += _write_dive(
                project,
                Path(scratch),
                frames_of[dive % DRAWN_DIVES],
                dive,
                images - len(rows),
            )
    write_frame_manifest(project.frame_manifest, rows)
    return project


def _write_dive(
    project: Project, drawn: Path, truth: list[LabelledFrame], dive: int, most: int
) -> list[ManifestFrame]:
    rows = []
    for frame in truth[:most]:
        assert frame.match is not None
        assert frame.frame is not None
        assert frame.size is not None
        image = image_key(frame.match, str(dive + 1), frame.frame)
        path = project.frames / image
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(drawn / "frames" / frame.image, path)
        made = (
            *frame.size,
            f"videos/{dive + 1}.mp4",
            "0" * 64,
            sha256_file(path),
            "uniform",
        )
        rows.append(
            ManifestFrame(
                image, frame.match, str(dive + 1), frame.frame, "flight", *made
            )
        )
    for annotator in ANNOTATORS[: 2 if dive % 3 == 0 else 1]:
        labels, _ = annotate_frames(truth[:most], annotator, dive)
        for at, (label, row) in enumerate(zip(labels, rows, strict=True)):
            guess = annotator is ANNOTATORS[0] and at % 7 == 5
            content = encode_labelme(
                replace(label, unconfirmed=guess),
                (row.width, row.height),
                f"../../../frames/{row.image}",
            )
            write_json(project.labels / annotator.name / row.label_name, content)
    return rows
