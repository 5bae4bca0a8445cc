"""Report of the demo: what was made, what was learned, and how far it is from the
truth."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

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

NOTICE = "SYNTHETIC – every athlete, image, label and score on this page is invented; nothing was filmed."
METRICS = {
    "PCK": "PCK@0.2 of the torso, end to end",
    "PCKh": "PCKh@0.5 of the head segment, end to end",
    "box_recall@0.5": "share of tracked boxes with IoU ≥ 0.5",
    "centre_inside": "share of tracked boxes centred in the true box",
    "frames": "frames compared",
}
_SCORE_METRICS = ("rho", "rl2_squared", "aiou_flight_0.5", "aiou_flight_0.75")
# Images of the meet, frames beside the truth, and bars of stages that are shown.
_SHEET, _PREDICTED, _BARS = 12, 6, 8
# Test dives from which on their metrics say something.
_TELLING = 30


def write_report(result: DemoResult, trace: DemoTrace) -> None:
    """Write the page of a demo that has been run.

    Args:
        result: The steps and the metrics; says where the page is.
        trace: What the steps left.
    """
    page = Page("fdpose demo", NOTICE)
    _add_steps(page.add_section("Steps"), result)
    _add_meet(page.add_section("The meet"), trace)
    _add_validation(page.add_section("The meet's annotation files"), trace)
    _add_labels(page.add_section("Labels and their review"), trace)
    _add_trainings(page.add_section("Trainings"), trace)
    _add_predictions(page.add_section("Predictions beside the truth"), result, trace)
    _add_scores(page.add_section("Stages and scores"), result, trace)
    page.write(result.report)


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


def _add_steps(section: Section, result: DemoResult) -> None:
    section.add_text("Each step is a command that anybody can run alone.")
    rows = []
    for step in result.steps.values():
        if step.name != "report":
            rows.append((step.command, step.note, step.seconds))
    section.add_table(["command", "state", "seconds"], rows)


def _add_meet(section: Section, trace: DemoTrace) -> None:
    meet = trace.meet
    section.add_text(
        f"{meet.dives} dives, {meet.frames} frames at 455×256, with the true joints of each. Made by fdpose synth; "
        f"the folder is {meet.out}."
    )
    frames = _spread_evenly(trace.truth, _SHEET)
    images = [_read_frame(trace, frame) for frame in frames]
    sheet = arrange_sheet(images, 3)
    section.add_image(sheet, "Frames of the meet, as the cameras give them.")


def _add_validation(section: Section, trace: DemoTrace) -> None:
    if not trace.findings:
        section.add_text(
            "fdpose validate --finediving found nothing wrong with the meet's annotation files."
        )
        return
    section.add_text(
        "What fdpose validate --finediving says of the meet's annotation files:"
    )
    rows = []
    for finding in trace.findings:
        example = ": ".join(finding.items[0])
        rows.append((finding.title, len(finding.items), example))
    section.add_table(["finding", "how often", "for example"], rows)


def _add_labels(section: Section, trace: DemoTrace) -> None:
    work = trace.labelling
    assert work.frames is not None
    section.add_text(
        f"fdpose frames chose {work.frames.total} frames. Two invented annotators labelled them, a quarter of the "
        "dives both. Their joints scatter as people's do, and they make mistakes, all of which are on record."
    )
    made = Counter((mistake.annotator, mistake.kind) for mistake in work.mistakes)
    rows = []
    for name, labels in work.labels.items():
        swaps, misses, slips = (made[name, kind] for kind in ("swap", "miss", "slip"))
        rows.append((name, len(labels.frames), swaps, misses, slips))
    section.add_table(
        ["annotator", "frames", "sides swapped", "joints missed", "joints slipped"],
        rows,
    )
    _add_findings(section, work)
    assert work.agreement is not None
    section.add_table(
        ["agreement of the two", ""],
        list_overview(work.agreement),
        f"fdpose agree; all of it: {work.agreement.page}",
    )
    _add_review(section, trace)


def _add_findings(section: Section, work: Labelling) -> None:
    assert work.report is not None
    wrong = {(mistake.annotator, mistake.image) for mistake in work.mistakes}
    told = {(told.who, told.finding.image) for told in work.report.open}
    section.add_text(
        f"fdpose validate, which does not know them, reports {len(told)} labels, {len(told & wrong)} of the "
        f"{len(wrong)} with a mistake among them. Frames of a dive that lie far apart say little of each other."
    )
    rows = []
    for kind, people in work.report.counts().items():
        for who, count in people.items():
            rows.append((kind, KINDS[kind], who, count["error"], count["warning"]))
    if rows:
        section.add_table(
            ["finding", "what it means", "annotator", "errors", "warnings"], rows
        )


def _add_review(section: Section, trace: DemoTrace) -> None:
    work, images = trace.labelling, trace.meet.out / "frames"
    assert work.merged is not None
    final = read_labels(work.merged.final, images=images).frames
    labelled: list[LabelledFrame] = []
    for labels in work.labels.values():
        labelled += labels.frames
    left_out = ""
    if work.merged.refused_kinds:
        refused = [
            f"{count} {kind}" for kind, count in work.merged.refused_kinds.items()
        ]
        left_out = f" and left out {', '.join(refused)}"
    before, after = _measure_distance(trace, labelled), _measure_distance(trace, final)
    section.add_text(
        f"An invented reviewer accepted {work.decisions['accept']} labels and corrected "
        f"{work.decisions['correct']}; one mistake in ten she does not see. fdpose merge wrote "
        f"{sum(work.merged.rules.values())} final labels{left_out}. Joints lay {before:.1f} px from the truth in the "
        f"mean as they were labelled; in the final labels it is {after:.1f} px."
    )
    shown = []
    for mistake in choose_one_of_each(work.mistakes):
        if mistake.image in work.corrected:
            shown.append(mistake)
    if shown:
        _add_corrections(section, trace, shown, final)


def _add_corrections(
    section: Section,
    trace: DemoTrace,
    shown: Sequence[Mistake],
    final: Sequence[LabelledFrame],
) -> None:
    """Show labels with a mistake beside what became of them."""
    became = {frame.image: frame for frame in final}
    labelled = {}
    for name, labels in trace.labelling.labels.items():
        for frame in labels.frames:
            labelled[name, frame.image] = frame
    sheets, listed = [], []
    for mistake in shown:
        joints = ", ".join(JOINTS[joint] for joint in mistake.joints)
        listed.append(f"{mistake.kind} by {mistake.annotator} of {joints}")
        if mistake.image in became:
            before = labelled[mistake.annotator, mistake.image]
            left = _draw_label(trace, before, mistake.annotator)
            right = _draw_label(trace, became[mistake.image], "final")
            sheets.append(np.hstack([left, right]))
    section.add_image(
        arrange_sheet(sheets, 1),
        "Labels with a mistake, as labelled and as they became, from top to bottom: "
        f"{'; '.join(listed)}. The athlete's right is orange, the left green.",
    )


def _measure_distance(trace: DemoTrace, frames: Sequence[LabelledFrame]) -> float:
    """Return the mean distance in px of labels to the truth, over the joints that are
    labelled."""
    truth = {frame.image: frame.keypoints for frame in trace.truth}
    distances = []
    for frame in frames:
        error = frame.keypoints - truth[frame.image]
        distances.append(np.linalg.norm(error, axis=1))
    return float(np.nanmean(np.concatenate(distances)))


def _add_trainings(section: Section, trace: DemoTrace) -> None:
    section.add_text(
        "Both networks start from the few-labels presets: they have learnt divers from other generated frames, and "
        "go on with the final labels."
    )
    runs = {"pose network": trace.pose_run, "detector": trace.detector_run}
    for name, run in runs.items():
        rows = _read_metrics(run)
        if rows:
            epochs, losses = _read_column(rows, "epoch"), _read_column(rows, "loss")
            curves = {"loss": (epochs, losses)}
            section.add_plot(
                plot_curves(curves, "epoch", f"loss of the {name}"),
                f"Training loss of the {name}, {run}.",
            )


def _add_predictions(section: Section, result: DemoResult, trace: DemoTrace) -> None:
    dives = ", ".join(sorted(trace.held_out))
    section.add_text(
        f"On the held-out dives ({dives}), found, tracked and estimated without any help, against the truth:"
    )
    rows = [(text, result.metrics[name]) for name, text in METRICS.items()]
    section.add_table(["metric", "value"], rows)
    held_out = [frame for frame in trace.truth if frame.dive_key in trace.held_out]
    frames = _spread_evenly(held_out, _PREDICTED)
    pairs = [_draw_beside_truth(result.out, trace, frame) for frame in frames]
    section.add_image(
        arrange_sheet(pairs, 2),
        "Left the truth, right what the networks found. They learned for minutes.",
    )
    section.add_text(f"Overlay videos: {result.out / 'skeletons' / 'overlays'}")
    if trace.doubts is not None:
        clips = []
        for clip in trace.doubts.clips:
            reasons = "; ".join(clip.reasons) or "nothing odd"
            clips.append((clip.name, clip.doubt, reasons))
        section.add_table(
            ["clip", "doubt", "why"],
            clips,
            f"fdpose qc, without the truth; all of it: {trace.doubts.page}",
        )


def _add_scores(section: Section, result: DemoResult, trace: DemoTrace) -> None:
    bars = {}
    for dive in read_finediving(trace.meet.out / "annotations").dives[:_BARS]:
        name = f"{dive.dive.match}/{dive.dive.dive} {dive.dive.dive_number}"
        bars[name] = dive.frame_labels.tolist()
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
    compared = {}
    if trace.learned is not None:
        compared["the model"] = trace.learned.test.get("figures", {})
    compared.update(trace.meet.floors)
    compared["scores without the judges' error"] = {"rho": trace.meet.ceiling}
    rows = []
    for name, metrics in compared.items():
        rows.append((name, *(metrics.get(key) for key in _SCORE_METRICS)))
    section.add_table(["", "ρ", "R-ℓ2", "AIoU@0.5 of the flight", "AIoU@0.75"], rows)
    if trace.meet.test < _TELLING:
        section.add_text(
            f"With {trace.meet.test} test dives these metrics say nothing, neither for the model nor against it; "
            "fdpose synth --benchmark has 250."
        )
    if trace.learned is not None:
        _add_score_training(section, trace.learned)
    _add_scored_dive(section, result, trace)


def _add_score_training(section: Section, scores: TrainSummary) -> None:
    section.add_text(
        f"HP-MCoRe, the tiny preset, began at random and saw {scores.dives['train']} dives {scores.epochs} times, with "
        "their true skeletons: finding those of all would take minutes."
    )
    parts = {
        "all": "loss",
        "score": "loss_aqa",
        "stages": "loss_ce",
        "contrastive": "loss_contrastive",
    }
    rows = _read_metrics(Path(scores.model))
    epochs = _read_column(rows, "epoch")
    curves = {name: (epochs, _read_column(rows, key)) for name, key in parts.items()}
    section.add_plot(
        plot_curves(curves, "epoch", "loss"),
        f"Training loss of the score model and its parts, {scores.model}.",
    )


def _add_scored_dive(section: Section, result: DemoResult, trace: DemoTrace) -> None:
    scored = trace.scored
    if trace.dive is None or scored is None:
        return
    section.add_text(
        f"One dive scored from its images and the skeleton that was found; its true score is {trace.dive.score:.2f}. "
        f"The dives it is compared with, in images: {result.out / SCORE_FOLDER / PAGE_NAME}"
    )
    if trace.refusal:
        section.add_text(
            f"With that skeleton there is no score ({trace.refusal}), so it was scored without."
        )
    facts = [("dive", scored.name), *list_facts(scored)]
    facts += [("note", line) for line in (*format_seen(scored), *scored.notes)]
    section.add_table(["", ""], facts)
    section.add_table(
        ["stage", "frames", "seconds"],
        list_stage_rows(scored),
        "Stages as the model cut them.",
    )
    header, rows = make_exemplar_table(scored)
    section.add_table(
        header,
        rows,
        "Each exemplar's true score, what each stage adds to it, and what follows.",
    )


def _spread_evenly(frames: Sequence[LabelledFrame], count: int) -> list[LabelledFrame]:
    """Choose frames evenly over all."""
    if not frames:
        return []
    indices = {round(x) for x in np.linspace(0, len(frames) - 1, count)}
    return [frames[index] for index in sorted(indices)]


def _read_frame(trace: DemoTrace, frame: LabelledFrame) -> Image:
    return read_image(trace.meet.out / "frames" / frame.image)


def _draw_label(trace: DemoTrace, frame: LabelledFrame, caption: str) -> Image:
    image = _read_frame(trace, frame)
    drawn = draw_skeleton(image, frame.keypoints, box=frame.box)
    return add_caption(drawn, caption, frame.image)


def _draw_beside_truth(out: Path, trace: DemoTrace, frame: LabelledFrame) -> Image:
    """Draw the truth and the extraction of one frame side by side."""
    assert frame.box is not None, frame.image
    match, _, dive = frame.dive_key.partition("/")
    sequence = read_pose(pose_path(out / "skeletons", match, dive))
    row = int(np.abs(sequence.frame_index - (frame.frame or 0)).argmin())
    keypoints, box = sequence.keypoints[row], sequence.track.boxes[row]
    image = _read_frame(trace, frame)
    found = draw_skeleton(image, keypoints, sequence.state[row], box)
    iou = float(compute_iou(frame.box[None], box[None])[0, 0])
    known = int(np.isfinite(keypoints).all(axis=1).sum())
    caption = f"found: {known} of {len(JOINTS)} joints"
    right = add_caption(found, caption, f"box IoU {iou:.2f}")
    return np.hstack([_draw_label(trace, frame, "truth"), right])


def _read_metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _read_column(rows: Sequence[dict[str, str]], name: str) -> list[float]:
    """Return a column's numbers, NaN where there is none."""
    return [float(row.get(name) or "nan") for row in rows]
