"""Demo: the whole way on an invented meet, with labels and their review, trainings,
extraction, and a report."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
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
from finediving_pose.network_interfaces import NetworkOptions
from finediving_pose.records import Dive
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
"""Share of the dives that no training sees."""

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


@dataclass(frozen=True)
class _Run:
    """What a demo was asked for, and where it is."""

    result: DemoResult
    size: Size
    seed: int
    device: str
    short: bool

    @property
    def out(self) -> Path:
        """The project folder of the demo."""
        return self.result.out

    @property
    def meet(self) -> Path:
        """The folder of the meet."""
        return self.out / "meet"

    @property
    def coco(self) -> Path:
        """The folder of the converted labels."""
        return self.out / "data" / "coco"

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time one step, and say that it is done unless it fails."""
        console.log.info("%s …", name)
        start = time.monotonic()
        yield
        step = self.result.steps[name]
        step.seconds, step.note = round(time.monotonic() - start, 1), "done"


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

    Returns:
        Where it all is, the metrics, and how long each step took.

    Raises:
        UsageError: If `out` exists and holds something else.
    """
    if out.exists() and any(out.iterdir()) and not (out / "manifest.json").exists():
        raise UsageError(
            f"{out}: exists and is no folder of an earlier demo; name another with --out"
        )
    folder = out / time.strftime("%Y%m%d-%H%M%S")
    result = DemoResult(folder)
    with recording(
        out,
        run=folder.name,
        seed=seed,
        device=device,
        synthetic=True,
        size=asdict(size),
        short=short,
    ):
        _run_steps(_Run(result, size, seed, device, short))
        write_json(folder / "summary.json", result.as_dict())
    return result


def _run_steps(run: _Run) -> None:
    with run.step("synth"):
        trace = _make_meet(run)
    with run.step("validate"):
        checked = validate_finediving(run.meet / "annotations", run.meet / "frames")
        trace.findings = checked.anomalies
    _label_meet(run, trace)
    with run.step("convert"):
        _convert_labels(run, trace)
    with run.step("finetune-hrnet"):
        trace.pose_run = _finetune(run, "hrnet", run.size.pose)
    with run.step("finetune-detector"):
        trace.detector_run = _finetune(run, "detector", run.size.detector)
    with run.step("extract"):
        _extract_held_out(run, trace)
    with run.step("qc"):
        reports = run.out / "reports" / "qc"
        trace.doubts = run_qc(run.out / "skeletons", reports, run.meet / "frames")
    with run.step("train-aqa"):
        trace.learned = _train_scores(run)
    with run.step("score"):
        _score_dive(run, trace)
    truth = [frame for frame in trace.truth if frame.dive_key in trace.held_out]
    run.result.metrics = evaluate_extraction(run.out / "skeletons", truth).as_dict()
    with run.step("report"):
        write_report(run.result, trace)


def _make_meet(run: _Run) -> DemoTrace:
    """Make the meet, and read what is true of it."""
    request = SynthRequest(run.size.dives, run.seed, run.size.numbers)
    trace = DemoTrace(synthesise_meet(run.meet, request))
    labels = fdpose_json.read(run.meet / LABELS_NAME, run.meet / "frames")
    trace.truth = labels.frames
    return trace


def _label_meet(run: _Run, trace: DemoTrace) -> None:
    """Go from a project folder to final labels."""
    labelling, seed = trace.labelling, run.seed
    truth = {frame.image: frame for frame in trace.truth}
    with run.step("init"):
        project = demo_labels.make_project(run.out, run.meet, seed)
    with run.step("frames"):
        per_clip = run.size.per_clip
        labelling.frames = demo_labels.choose_demo_frames(project, per_clip)
    with run.step("annotate"):
        demo_labels.label_frames(project, truth, seed, labelling)
    with run.step("validate labels"):
        labelling.report = validate_labels([project.labels])
    with run.step("agree"):
        first, second = (annotator.name for annotator in ANNOTATORS)
        labelling.agreement = compare_annotators(first, second, start=run.out)
    with run.step("review"):
        demo_labels.review_labels(project, truth, seed, labelling)
    with run.step("merge"):
        labelling.merged = merge_labels(start=run.out)


def _convert_labels(run: _Run, trace: DemoTrace) -> None:
    """Convert the final labels to COCO, and note which dives are held out."""
    images = run.out / "frames"
    split = SplitRequest(by="dive", val=HELD_OUT, seed=run.seed)
    final = run.out / "labels" / "final"
    convert(final, "coco", run.coco, images=images, split=split)
    labels = read_labels(run.coco / "annotations.json", "coco", images)
    held_out = read_splits(run.coco / "splits.json").select(labels.frames, "val")
    trace.held_out = frozenset(frame.dive_key for frame in held_out)


def _finetune(run: _Run, kind: finetuning.Kind, overrides: tuple[str, ...]) -> Path:
    """Fine-tune a network on the final labels; return its model directory."""
    if run.short:
        overrides += ("epochs=2", "val_interval=2")
    settings = finetuning.preset_settings(kind, "few-labels", overrides, seed=run.seed)
    data = finetuning.read_training_data(
        run.coco / "annotations.json",
        kind,
        run.out / "frames",
        run.coco / "splits.json",
        val=0.0,
        seed=run.seed,
    )
    folder = run.out / "runs" / kind
    return Path(finetuning.finetune(kind, folder, data, settings, run.device).model)


def _extract_held_out(run: _Run, trace: DemoTrace) -> None:
    """Extract the skeletons of the dives that no training saw."""
    options = NetworkOptions(device=run.device)
    detector = load_detector(str(trace.detector_run), options)
    estimator = load_estimator(str(trace.pose_run), options)
    skeletons = run.out / "skeletons"
    for dive in sorted(trace.held_out):
        frames = run.meet / "frames" / dive
        extract(frames, skeletons, detector, estimator, overlay=True)


def _train_scores(run: _Run) -> TrainSummary:
    """Learn the scores of the meet's training dives, with their true skeletons: finding
    all would take minutes."""
    overrides = run.size.score
    if run.short:
        overrides += ("epochs=1",)
    settings = aqa_training.preset_settings("tiny", overrides, seed=run.seed)
    sources = Sources(
        run.meet / "annotations",
        run.meet / "frames",
        run.meet / SKELETONS_NAME,
        cache=run.out / "cache",
    )
    request = aqa_training.TrainingRequest(settings, sources)
    return aqa_training.train_aqa(run.out / "runs" / "aqa", request, run.device)


def _score_dive(run: _Run, trace: DemoTrace) -> None:
    """Score one dive with the skeleton that was found."""
    assert trace.learned is not None
    model, folder = Path(trace.learned.model), run.out / SCORE_FOLDER
    trace.dive = _choose_dive(run, trace, model)
    request = ScoreRequest(
        clip=run.meet / "frames" / "/".join(trace.dive.key),
        dive_number=trace.dive.dive_number,
        difficulty=trace.dive.difficulty,
    )
    found = pose_path(run.out / "skeletons", *trace.dive.key)
    if found.exists():
        asked = replace(request, skeletons=found)
    else:
        asked = replace(
            request, pose_model=trace.pose_run, detector=str(trace.detector_run)
        )
    try:
        trace.scored = scoring.score_clip(model, asked, run.device, folder)
    except DataError as error:
        # Networks that learned for minutes found nobody: score by the images alone.
        trace.refusal = str(error)
        console.log.warning("%s", error)
        blind = replace(request, no_skeleton=True)
        trace.scored = scoring.score_clip(model, blind, run.device, folder)


def _choose_dive(run: _Run, trace: DemoTrace, model: Path) -> Dive:
    """Choose the dive whose score says most: one that neither model has seen, if there
    is, and whose number the score model knows."""
    trained = load_json(model / aqa_training.SOURCE_NAME)["parts"]["train"]
    dives = {}
    for dive in read_finediving(run.meet / "annotations").dives:
        dives["/".join(dive.key)] = dive.dive
    numbers = {dives[name].dive_number for name in trained}
    known = [name for name in sorted(dives) if dives[name].dive_number in numbers]

    def count_trainings(name: str) -> tuple[bool, bool]:
        return name in trained, name not in trace.held_out

    return dives[min(known, key=count_trainings)]
