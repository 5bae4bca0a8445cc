"""The demo's page: what was made, what was learned, and how far it is from the truth."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from finediving_pose.datasets.finediving import read_finediving
from finediving_pose.datasets.pose_files import pose_path, read_pose
from finediving_pose.datasets.sub_actions import SUB_ACTIONS
from finediving_pose.keypoint_metrics import box_iou
from finediving_pose.media import Image, read_image
from finediving_pose.records import LabelledFrame
from finediving_pose.reporting.contact_sheet import contact_sheet
from finediving_pose.reporting.overlays import draw_skeleton, with_caption
from finediving_pose.reporting.page import Page, Section
from finediving_pose.reporting.plots import curves, stages
from finediving_pose.skeleton import JOINTS
from finediving_pose.synthesis.annotators import Mistake
from finediving_pose.workflows.aqa_training import TrainSummary
from finediving_pose.workflows.demo import SCORE_FOLDER, DemoResult, DemoTrace
from finediving_pose.workflows.scoring import PAGE_NAME, exemplar_table, facts, seen_lines, stage_rows

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
    _steps(page.section("Steps"), result)
    _meet(page.section("The meet"), trace)
    _labels(page.section("Labels of two annotators"), trace)
    _validation(page.section("Validation"), trace)
    _training(page.section("Trainings"), trace)
    _predictions(page.section("Predictions beside the truth"), result, trace)
    _scores(page.section("Stages and scores"), result, trace)
    page.write(result.report)


def _steps(section: Section, result: DemoResult) -> None:
    section.text(
        "Each step is a command that anybody can run alone. A step that this version lacks is listed and left out; "
        "none is made up."
    )
    rows = [(step.command, step.note, step.seconds) for step in result.steps.values() if step.name != "report"]
    section.table(["command", "state", "seconds"], rows)


def _meet(section: Section, trace: DemoTrace) -> None:
    meet = trace.meet
    section.text(
        f"{meet.dives} dives, {meet.frames} frames at 455×256, with the true joints of each. Made by fdpose synth; "
        f"the folder is {meet.out}."
    )
    frames = _spread(trace.truth, _SHEET)
    pictures = [read_image(meet.out / "frames" / frame.image) for frame in frames]
    section.picture(contact_sheet(pictures, 3), "Frames of the meet, as the cameras give them.")


def _labels(section: Section, trace: DemoTrace) -> None:
    section.text(
        "Two invented annotators labelled the same frames. Their points scatter as people's do, and they make "
        "mistakes, all of which are on record. Agreement and merging are commands of their own, listed above."
    )
    made = Counter((mistake.annotator, mistake.kind) for mistake in trace.mistakes)
    rows = [
        (name, len(labels.frames), *(made[name, kind] for kind in ("swap", "miss", "slip")))
        for name, labels in trace.labels.items()
    ]
    section.table(["annotator", "frames", "sides swapped", "joints missed", "points slipped"], rows)
    first, second = trace.labels.values()
    shown = _one_of_each(trace.mistakes)
    if shown:
        place = {frame.image: i for i, frame in enumerate(first.frames)}
        sheets = [
            np.hstack(
                [_drawn(trace, labels.frames[place[mistake.image]], name) for name, labels in trace.labels.items()]
            )
            for mistake in shown
        ]
        listed = "; ".join(f"{m.kind} by {m.annotator} of {', '.join(JOINTS[j] for j in m.joints)}" for m in shown)
        section.picture(
            contact_sheet(sheets, 1),
            f"Both annotators' labels of frames with a mistake, from top to bottom: {listed}. The athlete's right is "
            "orange, the left green.",
        )
    distance = np.concatenate(
        [np.linalg.norm(a.keypoints - b.keypoints, axis=1) for a, b in zip(first.frames, second.frames, strict=True)]
    )
    section.text(f"Median distance of the two annotators' points: {np.nanmedian(distance):.1f} px.")


def _one_of_each(mistakes: Sequence[Mistake]) -> list[Mistake]:
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
        section.text("fdpose validate --finediving found nothing wrong with the meet's annotation files.")
        return
    section.text("What fdpose validate --finediving says of the meet's annotation files:")
    rows = [(finding.title, len(finding.items), ": ".join(finding.items[0])) for finding in trace.findings]
    section.table(["finding", "how often", "for example"], rows)


def _training(section: Section, trace: DemoTrace) -> None:
    section.text(
        "Both nets are the tiny presets; they begin at random and learn from the first annotator's labels, mistakes "
        "included."
    )
    for name, run in (("pose net", trace.pose_run), ("detector", trace.detector_run)):
        rows = _metrics(run)
        if not rows:
            continue
        epochs = [float(row["epoch"]) for row in rows]
        section.plot(
            curves({"loss": (epochs, [_number(row.get("loss", "")) for row in rows])}, "epoch", f"loss of the {name}"),
            f"Training loss of the {name}, {run}.",
        )


def _predictions(section: Section, result: DemoResult, trace: DemoTrace) -> None:
    dives = ", ".join(sorted(trace.held_out))
    section.text(f"On the held-out dives ({dives}), found, tracked and estimated without any help, against the truth:")
    section.table(["figure", "value"], [(text, result.figures[name]) for name, text in FIGURES.items()])
    frames = _spread([frame for frame in trace.truth if frame.dive_key in trace.held_out], _PREDICTED)
    pictures = [_beside(result.out, trace, frame) for frame in frames]
    section.picture(
        contact_sheet(pictures, 2), "Left the truth, right what the nets found. The nets learned for minutes."
    )
    section.text(f"Overlay videos: {result.out / 'skeletons' / 'overlays'}")


def _scores(section: Section, result: DemoResult, trace: DemoTrace) -> None:
    dives = read_finediving(trace.meet.out / "annotations").dives[:_BARS]
    bars = {f"{dive.dive.match}/{dive.dive.dive} {dive.dive.dive_number}": dive.frame_labels.tolist() for dive in dives}
    section.plot(stages(bars, SUB_ACTIONS), "True stages: take-off, flight in one or more parts, entry.", width=900)
    section.text(
        "Scores are the degree of difficulty times the three middle awards of seven invented judges, whose awards "
        "follow from the faults of each dive. What labels alone reach on the test dives, and the ceiling that the "
        "judges' error leaves, beside the model:"
    )
    names = ("rho", "rl2_squared", "aiou_flight_0.5", "aiou_flight_0.75")
    own = [("the model", trace.learned.test.get("figures", {}))] if trace.learned is not None else []
    ceiling = ("scores without the judges' error", {"rho": trace.meet.ceiling})
    rows = [
        (name, *(figures.get(key) for key in names)) for name, figures in [*own, *trace.meet.floors.items(), ceiling]
    ]
    section.table(["", "ρ", "R-ℓ2", "AIoU@0.5 of the flight", "AIoU@0.75"], rows)
    if trace.meet.test < _TELLING:
        section.text(
            f"With {trace.meet.test} test dives these figures say nothing, neither for the model nor against it; "
            "fdpose synth --benchmark has 250."
        )
    if trace.learned is not None:
        _score_training(section, trace.learned)
    _scored_dive(section, result, trace)


def _score_training(section: Section, scores: TrainSummary) -> None:
    section.text(
        f"HP-MCoRe, the tiny preset, began at random and saw {scores.dives['train']} dives {scores.epochs} times, with "
        "their true skeletons: finding those of all would take minutes."
    )
    rows = _metrics(Path(scores.model))
    parts = {"all": "loss", "score": "loss_aqa", "stages": "loss_ce", "contrastive": "loss_contrastive"}
    epochs = [float(row["epoch"]) for row in rows]
    lines = {name: (epochs, [_number(row.get(key, "")) for row in rows]) for name, key in parts.items()}
    section.plot(curves(lines, "epoch", "loss"), f"Training loss of the score model and its parts, {scores.model}.")


def _scored_dive(section: Section, result: DemoResult, trace: DemoTrace) -> None:
    if trace.dive is None or trace.scored is None:
        return
    section.text(
        f"One dive scored from its pictures and the skeleton that was found; its true score is {trace.dive.score:.2f}. "
        f"The dives it is compared with, in pictures: {result.out / SCORE_FOLDER / PAGE_NAME}"
    )
    if trace.refusal:
        section.text(f"With that skeleton there is no score ({trace.refusal}), so it was scored without.")
    warnings = [*seen_lines(trace.scored), *trace.scored.notes]
    section.table(["", ""], [("dive", trace.scored.name), *facts(trace.scored), *(("note", line) for line in warnings)])
    section.table(["stage", "frames", "seconds"], stage_rows(trace.scored), "Stages as the model cut them.")
    header, rows = exemplar_table(trace.scored)
    section.table(header, rows, "Each exemplar's true score, what each stage adds to it, and what follows.")


def _spread(frames: Sequence[LabelledFrame], count: int) -> list[LabelledFrame]:
    """Choose frames evenly over all."""
    if not frames:
        return []
    return [frames[place] for place in sorted({round(x) for x in np.linspace(0, len(frames) - 1, count)})]


def _drawn(trace: DemoTrace, frame: LabelledFrame, caption: str) -> Image:
    picture = read_image(trace.meet.out / "frames" / frame.image)
    return with_caption(draw_skeleton(picture, frame.keypoints, box=frame.box), caption, frame.image)


def _beside(out: Path, trace: DemoTrace, frame: LabelledFrame) -> Image:
    """Draw the truth and the extraction of one frame side by side."""
    match, _, dive = frame.dive_key.partition("/")
    sequence = read_pose(pose_path(out / "skeletons", match, dive))
    row = int(np.abs(sequence.frame_index - (frame.frame or 0)).argmin())
    picture = read_image(trace.meet.out / "frames" / frame.image)
    found = draw_skeleton(picture, sequence.keypoints[row], sequence.state[row], sequence.track.boxes[row])
    assert frame.box is not None, frame.image
    iou = float(box_iou(frame.box[None], sequence.track.boxes[row][None])[0, 0])
    known = int(np.isfinite(sequence.keypoints[row]).all(axis=1).sum())
    return np.hstack(
        [
            with_caption(draw_skeleton(picture, frame.keypoints, box=frame.box), "truth", frame.image),
            with_caption(found, f"found: {known} of {len(JOINTS)} joints", f"box IoU {iou:.2f}"),
        ]
    )


def _metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _number(text: str) -> float:
    return float(text) if text else float("nan")
