"""Result of the demo: its steps, their times, and the data behind its report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from finediving_pose.datasets.finediving_checks import Anomaly
from finediving_pose.datasets.score_files import Scored
from finediving_pose.records import Dive, LabelledFrame
from finediving_pose.workflows.aqa_training import TrainSummary
from finediving_pose.workflows.demo_labels import Labelling
from finediving_pose.workflows.qc import QcResult
from finediving_pose.workflows.synthesis import SynthResult

REPORT_NAME = "report.html"
SCORE_FOLDER = "score"
"""Folder of the scored dive, with its page."""


NOT_RUN = "not run"


@dataclass(frozen=True)
class Size:
    """How much the demo does.

    Attributes:
        dives: Dives of the meet; a quarter of them is held out.
        numbers: What is dived.
        per_clip: Frames of each dive that are labelled.
        pose, detector, score: Settings of the three trainings.
    """

    dives: int
    numbers: tuple[str, ...]
    per_clip: int
    pose: tuple[str, ...]
    detector: tuple[str, ...]
    score: tuple[str, ...]


@dataclass
class Step:
    """One step of the way; `seconds` is None until it has been done."""

    name: str
    command: str
    seconds: float | None = None
    note: str = NOT_RUN


STEPS = {
    "synth": "fdpose synth",
    "validate": "fdpose validate --finediving",
    "init": "fdpose init",
    "frames": "fdpose frames",
    "annotate": "fdpose annotate, by two invented annotators",
    "validate labels": "fdpose validate",
    "agree": "fdpose agree",
    "review": "fdpose review, by an invented reviewer",
    "merge": "fdpose merge",
    "convert": "fdpose convert",
    "finetune-hrnet": "fdpose finetune-hrnet",
    "finetune-detector": "fdpose finetune-detector",
    "extract": "fdpose extract",
    "qc": "fdpose qc",
    "train-aqa": "fdpose train-aqa",
    "score": "fdpose score",
    "report": "the report",
}


@dataclass
class DemoResult:
    """What the demo left.

    Attributes:
        out: The project folder.
        metrics: Of the skeletons of dives that no training saw.
        steps: What each took.
    """

    out: Path
    metrics: dict[str, float] = field(default_factory=dict)
    steps: dict[str, Step] = field(
        default_factory=lambda: {name: Step(name, text) for name, text in STEPS.items()}
    )

    @property
    def report(self) -> Path:
        """The page that shows it all."""
        return self.out / REPORT_NAME

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        return {
            "out": str(self.out),
            "report": str(self.report),
            "synthetic": True,
            "figures": self.metrics,
            "steps": [asdict(step) for step in self.steps.values()],
        }


@dataclass
class DemoTrace:
    """What the steps left for the report.

    Attributes:
        truth: The true labels of every frame in which all joints are in sight.
        labelling: The manual half.
        doubts: How far the extracted skeletons can be trusted.
        learned: What the score model's training came to.
        dive, scored: The dive that was scored, and the answer.
        refusal: Why there was none with the skeleton that was found, so that it was
            left out.
    """

    meet: SynthResult
    truth: Sequence[LabelledFrame] = ()
    labelling: Labelling = field(default_factory=Labelling)
    findings: Sequence[Anomaly] = ()
    held_out: frozenset[str] = frozenset()
    pose_run: Path = Path()
    detector_run: Path = Path()
    doubts: QcResult | None = None
    learned: TrainSummary | None = None
    dive: Dive | None = None
    scored: Scored | None = None
    refusal: str = ""
