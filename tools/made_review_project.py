"""A made labelling project for the tools that open the review page: drawn dives, labelled
by two invented annotators."""

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
    """Make a project whose images the first annotator has all labelled, and the second
    every third dive's.

    Three dives are drawn; where more are wanted, the same images stand for further
    dives. Every seventh label of the first annotator is a model's guess that nobody has
    confirmed.

    Args:
        root: A folder that is no project yet.
        images: How many images, in dives of `frames`.
        frames: How many frames a dive has.

    Returns:
        The project.
    """
    names = [annotator.name for annotator in ANNOTATORS]
    project = init_project(root, names, ["cleo", "dora"])
    rows: list[ManifestFrame] = []
    with tempfile.TemporaryDirectory() as scratch:
        drawn = write_sample(Path(scratch), DRAWN_DIVES, frames, seed=5)
        dive = 0
        while len(rows) < images:
            first = (dive % DRAWN_DIVES) * frames
            wanted = min(frames, images - len(rows))
            truth = list(drawn.frames[first : first + wanted])
            rows += _write_dive(project, Path(scratch), truth, dive)
            dive += 1
    write_frame_manifest(project.frame_manifest, rows)
    return project


def _write_dive(
    project: Project, drawn: Path, truth: list[LabelledFrame], dive: int
) -> list[ManifestFrame]:
    """Write the images and labels of a dive; return their rows of the manifest."""
    rows = []
    for frame in truth:
        assert frame.match is not None
        assert frame.frame is not None
        assert frame.size is not None
        image = image_key(frame.match, str(dive + 1), frame.frame)
        path = project.frames / image
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(drawn / "frames" / frame.image, path)
        rows.append(
            ManifestFrame(
                image=image,
                match=frame.match,
                dive=str(dive + 1),
                frame=frame.frame,
                stage="flight",
                width=frame.size[0],
                height=frame.size[1],
                source=f"videos/{dive + 1}.mp4",
                source_sha256="0" * 64,
                sha256=sha256_file(path),
                chosen_by="uniform",
            )
        )
    annotators = ANNOTATORS if dive % 3 == 0 else ANNOTATORS[:1]
    for annotator in annotators[:2]:
        labels, _ = annotate_frames(truth, annotator, dive)
        for at, (label, row) in enumerate(zip(labels, rows, strict=True)):
            is_guess = annotator is ANNOTATORS[0] and at % 7 == 5
            content = encode_labelme(
                replace(label, unconfirmed=is_guess),
                (row.width, row.height),
                f"../../../frames/{row.image}",
            )
            write_json(project.labels / annotator.name / row.label_name, content)
    return rows
