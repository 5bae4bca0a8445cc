"""Labelling of the demo: a project, its frames, two invented annotators, an invented
reviewer, final labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from finediving_pose.annotation.label_store import parse_annotator
from finediving_pose.datasets import labelme
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.files import write_text
from finediving_pose.records import LabelledFrame
from finediving_pose.synthesis.annotators import (
    ANNOTATORS,
    REVIEWER,
    Mistake,
    annotate_frames,
    correct_label,
)
from finediving_pose.workflows.agreement import AgreementResult
from finediving_pose.workflows.assignment import hand_out_images
from finediving_pose.workflows.frames import FramesRequest, FramesSummary, choose_frames
from finediving_pose.workflows.label_validation import LabelReport
from finediving_pose.workflows.merging import MergeResult
from finediving_pose.workflows.project import (
    SETTINGS_NAME,
    Project,
    find_project,
    init_project,
    settings_text,
)

DOUBLE_SHARE = 0.25
ABOVE_WATER = ("approach", "flight")


@dataclass
class Labelling:
    """What the manual half left for the report.

    Attributes:
        frames: What was chosen.
        labels: Each annotator's.
        mistakes: Everything they did wrong.
        report: What the checks say of their labels.
        agreement: How far they agree.
        decisions: Of the reviewer, by action.
        corrected: The images that the reviewer corrected.
        merged: What became of it.
    """

    frames: FramesSummary | None = None
    labels: dict[str, LabelSet] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)
    report: LabelReport | None = None
    agreement: AgreementResult | None = None
    decisions: dict[str, int] = field(
        default_factory=lambda: {"accept": 0, "correct": 0}
    )
    corrected: set[str] = field(default_factory=set)
    merged: MergeResult | None = None


def make_project(out: Path, meet: Path, seed: int) -> Project:
    """Make the project folder of a demo: two annotators, one reviewer, a quarter of the
    dives labelled by both.

    Args:
        out: The folder.
        meet: The folder of the meet.
        seed: Decides who labels what.
    """
    names = [annotator.name for annotator in ANNOTATORS]
    project = init_project(out, names, [REVIEWER.name], finediving=meet / "annotations")
    settings = project.settings.model_copy(
        update={"double_share": DOUBLE_SHARE, "seed": seed, "videos": "meet/frames"}
    )
    write_text(out / SETTINGS_NAME, settings_text(settings))
    return find_project(out)


def choose_demo_frames(project: Project, per_clip: int) -> FramesSummary:
    """Choose frames of each dive evenly, as long as the athlete is above the water.

    Args:
        project: The demo's project.
        per_clip: How many of each dive.
    """
    return choose_frames(
        project, FramesRequest("uniform", per_clip=per_clip, stages=ABOVE_WATER)
    )


def label_frames(
    project: Project, truth: Mapping[str, LabelledFrame], seed: int, into: Labelling
) -> None:
    """Let every annotator label what their queue gives them, into a folder of their own.

    Args:
        project: The demo's project.
        truth: The true labels by image.
        seed: Of the annotators' scatter and mistakes.
        into: Where labels and mistakes are noted.
    """
    queues = hand_out_images(project)
    for annotator in ANNOTATORS:
        queue = queues[annotator.name].label
        given = [truth[image] for image in queue if image in truth]
        frames, mistakes = annotate_frames(given, annotator, seed)
        labels = LabelSet(tuple(frames), images=project.frames, format="labelme")
        labelme.write(project.labels / annotator.name, labels)
        into.labels[annotator.name] = labels
        into.mistakes += mistakes


def review_labels(
    project: Project, truth: Mapping[str, LabelledFrame], seed: int, into: Labelling
) -> None:
    """Let the reviewer look at every label: correct mistakes that are seen, accept the
    rest.

    Args:
        project: The demo's project.
        truth: The true labels by image.
        seed: Decides which mistakes the reviewer sees.
        into: Where decisions are noted.
    """
    desk = project.desk
    for image, state in desk.read_states().items():
        if state.kind != "labelled":
            continue
        first = desk.read_item(image).newest
        assert first is not None
        assert first.frame is not None
        # The mistakes in the label that the reviewer starts from.
        who = parse_annotator(first.name)
        mistakes = []
        for mistake in into.mistakes:
            if (mistake.annotator, mistake.image) == (who, image):
                mistakes.append(mistake)
        corrected = correct_label(first.frame, truth[image], mistakes, REVIEWER, seed)
        if corrected is None:
            desk.accept(REVIEWER.name, image, first.name)
            into.decisions["accept"] += 1
        else:
            desk.correct(REVIEWER.name, image, corrected, based_on=first.name)
            into.decisions["correct"] += 1
            into.corrected.add(image)
