"""The whole way on an invented meet: pictures, labels and their review, trainings,
extraction, and a report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from finediving_pose import console
from finediving_pose.aqa.data.sources import Sources
from finediving_pose.datasets import fdpose_json
from finediving_pose.datasets.finediving import read_finediving
from finediving_pose.datasets.labels import read_labels
from finediving_pose.datasets.pose_files import pose_path
from finediving_pose.datasets.problems import load_json
from finediving_pose.datasets.splits import read_splits
from finediving_pose.errors import DataError, UsageError
from finediving_pose.files import write_json
from finediving_pose.manifest import recording
from finediving_pose.networks import NetworkOptions
from finediving_pose.synthesis.annotators import ANNOTATORS
from finediving_pose.workflows import aqa_training, demo_labels, finetuning, scoring
from finediving_pose.workflows.agreement import compare_annotators
from finediving_pose.workflows.aqa_training import TrainSummary
from finediving_pose.workflows.convert import SplitRequest, convert
from finediving_pose.workflows.demo_report import write_report
from finediving_pose.workflows.demo_result import (
    SCORE_FOLDER,
    DemoResult,
    DemoTrace,
    Size,
)
from finediving_pose.workflows.extraction import extract
from finediving_pose.workflows.extraction_evaluation import evaluate_extraction
from finediving_pose.workflows.finediving_validation import validate_finediving
from finediving_pose.workflows.label_validation import validate_labels
from finediving_pose.workflows.merging import merge_labels
from finediving_pose.workflows.model_loading import load_detector, load_estimator
from finediving_pose.workflows.qc import run_qc
from finediving_pose.workflows.score_request import ScoreRequest
from finediving_pose.workflows.synthesis import (
    LABELS_NAME,
    SKELETONS_NAME,
    SynthRequest,
    synthesise_meet,
)

HELD_OUT = 0.25


SMALL = Size(
    dives=20,
    numbers=("107b", "205b", "407c", "5253b"),
    per_clip=9,
    pose=("epochs=8", "val_interval=4"),
    detector=("epochs=6", "val_interval=3"),
    score=(
        "size=48",
        "epochs=8",
        "batch_size=4",
        "workers=0",
        "val_fraction=0",
        "select=last",
    ),
)
"""Many dives with few labels each teach more than the reverse."""

FULL = Size(
    dives=48,
    numbers=(),
    per_clip=18,
    pose=("epochs=40", "val_interval=5"),
    detector=("epochs=40", "val_interval=5"),
    score=("batch_size=4", "workers=0", "val_fraction=0", "select=last"),
)
"""More of everything, with the presets nearly as they are: hours on two cores, minutes
on a GPU."""


def run_demo(
    out: Path,
    seed: int = 0,
    size: Size = SMALL,
    device: str = "cpu",
    short: bool = False,
) -> DemoResult:
    """Run every step that this version has on an invented meet, measure the result on
    held-out dives, and report.

    Args:
        out: A folder that does not exist, or one of an earlier demo, which is kept and
            added to.
        seed: Of the meet, the annotators and the trainings.
        size: How much of it.
        device: As for the trainings.
        short: Two epochs only: shows that all works, and learns nothing.

    Raises:
        UsageError: If `out` exists and holds something else.
    """
    if out.exists() and any(out.iterdir()) and not (out / "manifest.json").exists():
        raise UsageError(
            f"{out}: exists and is no folder of an earlier demo; name another with --out"
        )
    run = out / time.strftime("%Y%m%d-%H%M%S")
    result = DemoResult(run)
    with recording(
        out,
        run=run.name,
        seed=seed,
        device=device,
        synthetic=True,
        size=asdict(size),
        short=short,
    ):
        _run(
            result, size, seed, device, ("epochs=2", "val_interval=2") if short else ()
        )
        write_json(run / "summary.json", result.as_dict())
    return result


def _run(
    result: DemoResult, size: Size, seed: int, device: str, shortened: tuple[str, ...]
) -> None:
    out, meet = result.out, result.out / "meet"
    with _step(result, "synth"):
        trace = DemoTrace(
            synthesise_meet(meet, SynthRequest(size.dives, seed, size.numbers))
        )
        trace.truth = fdpose_json.read(meet / LABELS_NAME, meet / "frames").frames
    with _step(result, "validate"):
        trace.findings = validate_finediving(
            meet / "annotations", meet / "frames"
        ).anomalies
    _label(result, trace, size, seed)
    coco = out / "data" / "coco"
    with _step(result, "convert"):
        split = SplitRequest(by="dive", val=HELD_OUT, seed=seed)
        convert(
            out / "labels" / "final", "coco", coco, images=out / "frames", split=split
        )
    labels = read_labels(coco / "annotations.json", "coco", out / "frames")
    kept_back = read_splits(coco / "splits.json").select(labels.frames, "val")
    trace.held_out = frozenset(frame.dive_key for frame in kept_back)
    with _step(result, "finetune-hrnet"):
        trace.pose_run = _finetune("hrnet", out, seed, device, size.pose + shortened)
    with _step(result, "finetune-detector"):
        trace.detector_run = _finetune(
            "detector", out, seed, device, size.detector + shortened
        )
    with _step(result, "extract"):
        options = NetworkOptions(device=device)
        networks = (
            load_detector(str(trace.detector_run), options),
            load_estimator(str(trace.pose_run), options),
        )
        for dive in sorted(trace.held_out):
            extract(meet / "frames" / dive, out / "skeletons", *networks, overlay=True)
    with _step(result, "qc"):
        trace.doubts = run_qc(
            out / "skeletons", out / "reports" / "qc", meet / "frames"
        )
    with _step(result, "train-aqa"):
        trace.learned = _train_scores(
            out, meet, seed, device, size.score + (("epochs=1",) if shortened else ())
        )
    with _step(result, "score"):
        _score_a_dive(out, meet, trace, device)
    truth = [frame for frame in trace.truth if frame.dive_key in trace.held_out]
    result.figures = evaluate_extraction(out / "skeletons", truth).as_dict()
    with _step(result, "report"):
        write_report(result, trace)


def _label(result: DemoResult, trace: DemoTrace, size: Size, seed: int) -> None:
    """From a project folder to final labels."""
    out, labelling = result.out, trace.labelling
    truth = {frame.image: frame for frame in trace.truth}
    with _step(result, "init"):
        project = demo_labels.make_project(out, trace.meet.out, seed)
    with _step(result, "frames"):
        labelling.frames = demo_labels.choose_demo_frames(project, size.per_clip)
    with _step(result, "annotate"):
        demo_labels.label_frames(project, truth, seed, labelling)
    with _step(result, "validate labels"):
        labelling.report = validate_labels([project.labels])
    with _step(result, "agree"):
        labelling.agreement = compare_annotators(
            ANNOTATORS[0].name, ANNOTATORS[1].name, start=out
        )
    with _step(result, "review"):
        demo_labels.review_labels(project, truth, seed, labelling)
    with _step(result, "merge"):
        labelling.merged = merge_labels(start=out)


def _finetune(
    kind: finetuning.Kind, out: Path, seed: int, device: str, overrides: tuple[str, ...]
) -> Path:
    settings = finetuning.preset_settings(kind, "few-labels", overrides, seed=seed)
    coco = out / "data" / "coco"
    data = finetuning.read_training_data(
        coco / "annotations.json",
        kind,
        out / "frames",
        coco / "splits.json",
        val=0.0,
        seed=seed,
    )
    return Path(
        finetuning.finetune(kind, out / "runs" / kind, data, settings, device).model
    )


def _train_scores(
    out: Path, meet: Path, seed: int, device: str, overrides: tuple[str, ...]
) -> TrainSummary:
    """Learn the scores of the meet's training dives, with their true skeletons: finding
    all would take minutes."""
    settings = aqa_training.preset_settings("tiny", overrides, seed=seed)
    sources = Sources(
        meet / "annotations",
        meet / "frames",
        meet / SKELETONS_NAME,
        cache=out / "cache",
    )
    request = aqa_training.TrainingRequest(settings, sources)
    return aqa_training.train_aqa(out / "runs" / "aqa", request, device)


def _score_a_dive(out: Path, meet: Path, trace: DemoTrace, device: str) -> None:
    """Score the dive that says most, with the skeleton that was found: one that neither
    model has seen, if there is."""
    assert trace.learned is not None
    parts = load_json(Path(trace.learned.model) / aqa_training.SOURCE_NAME)["parts"]
    dives = {
        "/".join(dive.key): dive.dive
        for dive in read_finediving(meet / "annotations").dives
    }
    numbers = {dives[name].dive_number for name in parts["train"]}
    known = [name for name in sorted(dives) if dives[name].dive_number in numbers]
    name = min(
        known, key=lambda name: (name in parts["train"], name not in trace.held_out)
    )
    trace.dive = dives[name]
    found = pose_path(out / "skeletons", *trace.dive.key)
    request = ScoreRequest(
        clip=meet / "frames" / name,
        dive_number=trace.dive.dive_number,
        difficulty=trace.dive.difficulty,
        skeletons=found if found.exists() else None,
        pose_model=None if found.exists() else trace.pose_run,
        detector=None if found.exists() else str(trace.detector_run),
    )
    model, folder = Path(trace.learned.model), out / SCORE_FOLDER
    try:
        trace.scored = scoring.score_clip(model, request, device, folder)
    except DataError as error:  # nobody was found, by nets that learned for minutes
        trace.refusal = str(error)
        console.log.warning("%s", error)
        blind = replace(
            request, skeletons=None, pose_model=None, detector=None, no_skeleton=True
        )
        trace.scored = scoring.score_clip(model, blind, device, folder)


@contextmanager
def _step(result: DemoResult, name: str) -> Iterator[None]:
    console.log.info("%s …", name)
    start = time.monotonic()
    yield
    step = result.steps[name]
    step.seconds, step.note = round(time.monotonic() - start, 1), "done"
