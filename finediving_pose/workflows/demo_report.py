"""The demo's page: what was made, what was learned, and how far it is from the truth."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from finediving_pose.annotation.label_findings import KINDS
from finediving_pose.boxes import compute_iou
from finediving_pose.datasets.finediving import read_finediving
from finediving_pose.datasets.labels import read_labels
from finediving_pose.datasets.pose_files import pose_path, read_pose
from finediving_pose.datasets.sub_actions import SUB_ACTIONS
from finediving_pose.media import Image, read_image
from finediving_pose.records import LabelledFrame
from finediving_pose.reporting.contact_sheet import arrange_sheet
from finediving_pose.reporting.overlays import add_caption, draw_skeleton
from finediving_pose.reporting.page import Page, Section
from finediving_pose.reporting.plots import plot_curves, plot_stages
from finediving_pose.reporting.score_text import (
    format_seen,
    list_facts,
    list_stage_rows,
    make_exemplar_table,
)
from finediving_pose.skeleton import JOINTS
from finediving_pose.synthesis.annotators import Mistake
from finediving_pose.workflows.agreement import list_overview
from finediving_pose.workflows.aqa_training import TrainSummary
from finediving_pose.workflows.demo_labels import Labelling
from finediving_pose.workflows.demo_result import SCORE_FOLDER, DemoResult, DemoTrace
from finediving_pose.workflows.scoring import PAGE_NAME

NOTICE = "SYNTHETIC – every athlete, picture, label and score on this page is invented; nothing was filmed."
FIGURES = {
    "PCK": "PCK@0.2 of the torso, end to end",
    "PCKh": "PCKh@0.5 of the head segment, end to end",
    "box_recall@0.5": "share of tracked boxes with IoU ≥ 0.5",
    "centre_inside": "share of tracked boxes centred in the true box",
    "frames": "frames compared",
}
_SHEET, _PREDICTED, _BARS = 12, 6, 8
_TELLING = 30
"""Test dives from which on their figures say something."""


def write_report(result: DemoResult, trace: DemoTrace) -> None:
    """Write the page of a demo that has been run."""
    page = Page("fdpose demo", NOTICE)
    _steps(page.add_section("Steps"), result)
    _meet(page.add_section("The meet"), trace)
    _validation(page.add_section("The meet's annotation files"), trace)
    _labels(page.add_section("Labels and their review"), trace)
    _training(page.add_section("Trainings"), trace)
    _predictions(page.add_section("Predictions beside the truth"), result, trace)
    _scores(page.add_section("Stages and scores"), result, trace)
    page.write(result.report)


def _steps(section: Section, result: DemoResult) -> None:
    section.add_text("Each step is a command that anybody can run alone.")
    rows = [
        (step.command, step.note, step.seconds)
        for step in result.steps.values()
        if step.name != "report"
    ]
    section.add_table(["command", "state", "seconds"], rows)


def _meet(section: Section, trace: DemoTrace) -> None:
    meet = trace.meet
    section.add_text(
        f"{meet.dives} dives, {meet.frames} frames at 455×256, with the true joints of each. Made by fdpose synth; "
        f"the folder is {meet.out}."
    )
    frames = _spread(trace.truth, _SHEET)
    pictures = [read_image(meet.out / "frames" / frame.image) for frame in frames]
    section.add_image(
        arrange_sheet(pictures, 3), "Frames of the meet, as the cameras give them."
    )


def _labels(section: Section, trace: DemoTrace) -> None:
    work = trace.labelling
    assert work.frames is not None
    section.add_text(
        f"fdpose frames chose {work.frames.total} frames. Two invented annotators labelled them, a quarter of the "
        "dives both. Their points scatter as people's do, and they make mistakes, all of which are on record."
    )
    made = Counter((mistake.annotator, mistake.kind) for mistake in work.mistakes)
    rows = [
        (
            name,
            len(labels.frames),
            *(made[name, kind] for kind in ("swap", "miss", "slip")),
        )
        for name, labels in work.labels.items()
    ]
    section.add_table(
        ["annotator", "frames", "sides swapped", "joints missed", "points slipped"],
        rows,
    )
    _checks(section, work)
    _agreement(section, work)
    _review(section, trace)


def _checks(section: Section, work: Labelling) -> None:
    assert work.report is not None
    wrong = {(mistake.annotator, mistake.image) for mistake in work.mistakes}
    told = {(told.who, told.finding.image) for told in work.report.open}
    section.add_text(
        f"fdpose validate, which does not know them, tells {len(told)} labels, {len(told & wrong)} of the "
        f"{len(wrong)} with a mistake among them. Frames of a dive that lie far apart say little of each other."
    )
    rows = [
        (kind, KINDS[kind], who, count["error"], count["warning"])
        for kind, people in work.report.counts().items()
        for who, count in people.items()
    ]
    if rows:
        section.add_table(
            ["finding", "what it means", "annotator", "errors", "warnings"], rows
        )


def _agreement(section: Section, work: Labelling) -> None:
    assert work.agreement is not None
    section.add_table(
        ["agreement of the two", ""],
        list_overview(work.agreement),
        f"fdpose agree; all of it: {work.agreement.page}",
    )


def _review(section: Section, trace: DemoTrace) -> None:
    work = trace.labelling
    assert work.merged is not None
    done = work.decisions
    refused = ", ".join(
        f"{count} {kind}" for kind, count in work.merged.refused_kinds.items()
    )
    section.add_text(
        f"An invented reviewer accepted {done['accept']} labels and corrected {done['correct']}; one mistake in ten "
        f"she does not see. fdpose merge wrote {sum(work.merged.rules.values())} final labels"
        f"{f' and left out {refused}' if refused else ''}. Joints lay {_in_px(trace, 'labelled')} px from the truth "
        f"in the mean as they were labelled; in the final labels it is {_in_px(trace, 'final')} px."
    )
    shown = [
        mistake
        for mistake in choose_one_of_each(work.mistakes)
        if mistake.image in work.corrected
    ]
    if not shown:
        return
    final = {
        frame.image: frame
        for frame in read_labels(
            work.merged.final, images=trace.meet.out / "frames"
        ).frames
    }
    labelled = {
        (name, frame.image): frame
        for name, labels in work.labels.items()
        for frame in labels.frames
    }
    sheets = [
        np.hstack(
            [
                _drawn(
                    trace, labelled[mistake.annotator, mistake.image], mistake.annotator
                ),
                _drawn(trace, final[mistake.image], "final"),
            ]
        )
        for mistake in shown
        if mistake.image in final
    ]
    listed = "; ".join(
        f"{m.kind} by {m.annotator} of {', '.join(JOINTS[j] for j in m.joints)}"
        for m in shown
    )
    section.add_image(
        arrange_sheet(sheets, 1),
        f"Labels with a mistake, as labelled and as they became, from top to bottom: {listed}. The athlete's right is "
        "orange, the left green.",
    )


def _in_px(trace: DemoTrace, kind: Literal["labelled", "final"]) -> str:
    """Return the mean distance of the labels to the truth, of the joints that are
    labelled."""
    work = trace.labelling
    assert work.merged is not None
    truth = {frame.image: frame.keypoints for frame in trace.truth}
    frames = (
        [frame for labels in work.labels.values() for frame in labels.frames]
        if kind == "labelled"
        else read_labels(work.merged.final, images=trace.meet.out / "frames").frames
    )
    distance = [
        np.linalg.norm(frame.keypoints - truth[frame.image], axis=1) for frame in frames
    ]
    return f"{np.nanmean(np.concatenate(distance)):.1f}"


def choose_one_of_each(mistakes: Sequence[Mistake]) -> list[Mistake]:
    """Return a mistake of each kind, each of another dive where there is one."""
    chosen: dict[str, Mistake] = {}
    dives: set[str] = set()
    for mistake in mistakes:
        dive = mistake.image.rpartition("/")[0]
        if mistake.kind not in chosen and dive not in dives:
            chosen[mistake.kind] = mistake
            dives.add(dive)
    return list(chosen.values())


def _validation(section: Section, trace: DemoTrace) -> None:
    if not trace.findings:
        section.add_text(
            "fdpose validate --finediving found nothing wrong with the meet's annotation files."
        )
        return
    section.add_text(
        "What fdpose validate --finediving says of the meet's annotation files:"
    )
    rows = [
        (finding.title, len(finding.items), ": ".join(finding.items[0]))
        for finding in trace.findings
    ]
    section.add_table(["finding", "how often", "for example"], rows)


def _training(section: Section, trace: DemoTrace) -> None:
    section.add_text(
        "Both nets are the few-labels presets: they have learnt divers from other generated frames, and go on with the "
        "final labels."
    )
    for name, run in (("pose net", trace.pose_run), ("detector", trace.detector_run)):
        rows = _metrics(run)
        if not rows:
            continue
        epochs = [float(row["epoch"]) for row in rows]
        section.add_plot(
            plot_curves(
                {"loss": (epochs, [_number(row.get("loss", "")) for row in rows])},
                "epoch",
                f"loss of the {name}",
            ),
            f"Training loss of the {name}, {run}.",
        )


def _predictions(section: Section, result: DemoResult, trace: DemoTrace) -> None:
    dives = ", ".join(sorted(trace.held_out))
    section.add_text(
        f"On the held-out dives ({dives}), found, tracked and estimated without any help, against the truth:"
    )
    section.add_table(
        ["figure", "value"],
        [(text, result.figures[name]) for name, text in FIGURES.items()],
    )
    frames = _spread(
        [frame for frame in trace.truth if frame.dive_key in trace.held_out], _PREDICTED
    )
    pictures = [_beside(result.out, trace, frame) for frame in frames]
    section.add_image(
        arrange_sheet(pictures, 2),
        "Left the truth, right what the nets found. The nets learned for minutes.",
    )
    section.add_text(f"Overlay videos: {result.out / 'skeletons' / 'overlays'}")
    if trace.doubts is not None:
        rows = [
            (clip.name, clip.doubt, "; ".join(clip.reasons) or "nothing odd")
            for clip in trace.doubts.clips
        ]
        section.add_table(
            ["clip", "doubt", "why"],
            rows,
            f"fdpose qc, without the truth; all of it: {trace.doubts.page}",
        )


def _scores(section: Section, result: DemoResult, trace: DemoTrace) -> None:
    dives = read_finediving(trace.meet.out / "annotations").dives[:_BARS]
    bars = {
        f"{dive.dive.match}/{dive.dive.dive} {dive.dive.dive_number}": dive.frame_labels.tolist()
        for dive in dives
    }
    section.add_plot(
        plot_stages(bars, SUB_ACTIONS),
        "True stages: take-off, flight in one or more parts, entry.",
        width=900,
    )
    section.add_text(
        "Scores are the degree of difficulty times the three middle awards of seven invented judges, whose awards "
        "follow from the faults of each dive. What labels alone reach on the test dives, and the ceiling that the "
        "judges' error leaves, beside the model:"
    )
    names = ("rho", "rl2_squared", "aiou_flight_0.5", "aiou_flight_0.75")
    own = (
        [("the model", trace.learned.test.get("figures", {}))]
        if trace.learned is not None
        else []
    )
    ceiling = ("scores without the judges' error", {"rho": trace.meet.ceiling})
    rows = [
        (name, *(figures.get(key) for key in names))
        for name, figures in [*own, *trace.meet.floors.items(), ceiling]
    ]
    section.add_table(["", "ρ", "R-ℓ2", "AIoU@0.5 of the flight", "AIoU@0.75"], rows)
    if trace.meet.test < _TELLING:
        section.add_text(
            f"With {trace.meet.test} test dives these figures say nothing, neither for the model nor against it; "
            "fdpose synth --benchmark has 250."
        )
    if trace.learned is not None:
        _score_training(section, trace.learned)
    _scored_dive(section, result, trace)


def _score_training(section: Section, scores: TrainSummary) -> None:
    section.add_text(
        f"HP-MCoRe, the tiny preset, began at random and saw {scores.dives['train']} dives {scores.epochs} times, with "
        "their true skeletons: finding those of all would take minutes."
    )
    rows = _metrics(Path(scores.model))
    parts = {
        "all": "loss",
        "score": "loss_aqa",
        "stages": "loss_ce",
        "contrastive": "loss_contrastive",
    }
    epochs = [float(row["epoch"]) for row in rows]
    lines = {
        name: (epochs, [_number(row.get(key, "")) for row in rows])
        for name, key in parts.items()
    }
    section.add_plot(
        plot_curves(lines, "epoch", "loss"),
        f"Training loss of the score model and its parts, {scores.model}.",
    )


def _scored_dive(section: Section, result: DemoResult, trace: DemoTrace) -> None:
    if trace.dive is None or trace.scored is None:
        return
    section.add_text(
        f"One dive scored from its pictures and the skeleton that was found; its true score is {trace.dive.score:.2f}. "
        f"The dives it is compared with, in pictures: {result.out / SCORE_FOLDER / PAGE_NAME}"
    )
    if trace.refusal:
        section.add_text(
            f"With that skeleton there is no score ({trace.refusal}), so it was scored without."
        )
    warnings = [*format_seen(trace.scored), *trace.scored.notes]
    section.add_table(
        ["", ""],
        [
            ("dive", trace.scored.name),
            *list_facts(trace.scored),
            *(("note", line) for line in warnings),
        ],
    )
    section.add_table(
        ["stage", "frames", "seconds"],
        list_stage_rows(trace.scored),
        "Stages as the model cut them.",
    )
    header, rows = make_exemplar_table(trace.scored)
    section.add_table(
        header,
        rows,
        "Each exemplar's true score, what each stage adds to it, and what follows.",
    )


def _spread(frames: Sequence[LabelledFrame], count: int) -> list[LabelledFrame]:
    """Choose frames evenly over all."""
    if not frames:
        return []
    return [
        frames[place]
        for place in sorted({round(x) for x in np.linspace(0, len(frames) - 1, count)})
    ]


def _drawn(trace: DemoTrace, frame: LabelledFrame, caption: str) -> Image:
    picture = read_image(trace.meet.out / "frames" / frame.image)
    return add_caption(
        draw_skeleton(picture, frame.keypoints, box=frame.box), caption, frame.image
    )


def _beside(out: Path, trace: DemoTrace, frame: LabelledFrame) -> Image:
    """Draw the truth and the extraction of one frame side by side."""
    match, _, dive = frame.dive_key.partition("/")
    sequence = read_pose(pose_path(out / "skeletons", match, dive))
    row = int(np.abs(sequence.frame_index - (frame.frame or 0)).argmin())
    picture = read_image(trace.meet.out / "frames" / frame.image)
    found = draw_skeleton(
        picture, sequence.keypoints[row], sequence.state[row], sequence.track.boxes[row]
    )
    assert frame.box is not None, frame.image
    iou = float(compute_iou(frame.box[None], sequence.track.boxes[row][None])[0, 0])
    known = int(np.isfinite(sequence.keypoints[row]).all(axis=1).sum())
    return np.hstack(
        [
            add_caption(
                draw_skeleton(picture, frame.keypoints, box=frame.box),
                "truth",
                frame.image,
            ),
            add_caption(
                found, f"found: {known} of {len(JOINTS)} joints", f"box IoU {iou:.2f}"
            ),
        ]
    )


def _metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _number(text: str) -> float:
    return float(text) if text else float("nan")
