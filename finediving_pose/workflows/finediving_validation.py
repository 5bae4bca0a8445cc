"""Validation of FineDiving's annotations: what is in them, and what is odd."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from finediving_pose.datasets.finediving import (
    MEASURED,
    FineDiving,
    count_frames,
    read_finediving,
)
from finediving_pose.datasets.finediving_checks import Anomaly, find_anomalies
from finediving_pose.errors import UsageError
from finediving_pose.media import SAMPLES


@dataclass(frozen=True)
class FineDivingReport:
    """What is in FineDiving's files.

    Attributes:
        data: The files' content.
        anomalies: What is odd; those with severity ``error`` could not be read.
        floors: What labels alone reach on the test dives; empty unless asked for.
    """

    data: FineDiving
    anomalies: tuple[Anomaly, ...]
    floors: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def unreadable(self) -> bool:
        """Whether a file, or a part of it, could not be read."""
        return any(anomaly.severity == "error" for anomaly in self.anomalies)

    @property
    def measured(self) -> bool:
        """Whether the files that were read are those that our metrics were measured on."""
        return all(
            MEASURED[name] == digest for name, digest in self.data.sha256.items()
        )

    def counts(self) -> dict[str, Any]:
        """Return how much there is of what, in JSON types."""
        dives = self.data.dives
        judged = [dive for dive in dives if dive.dive.awards is not None]
        single = [dive for dive in judged if not dive.dive.synchronised]
        frames = []
        for dive in dives:
            count = count_frames(dive.dive)
            if count is not None:
                frames.append(count)
        spread = []
        if frames:
            spread = [min(frames), int(np.median(frames)), max(frames)]
        sequences = [dive.sequence for dive in dives if dive.sequence]
        lengths = Counter(map(len, sequences))
        repeating = [each for each in sequences if len(set(each)) < len(each)]
        return {
            "dives": len(dives),
            "dive_numbers": len({dive.dive.dive_number for dive in dives}),
            "matches": len({dive.dive.match for dive in dives}),
            "individual": len(single),
            "individual_dive_numbers": len({dive.dive.dive_number for dive in single}),
            "synchronised": len(judged) - len(single),
            "without_awards": len(dives) - len(judged),
            "train": len(self.data.train),
            "test": len(self.data.test),
            "frames": spread,
            "shorter_than_sampled": sum(count < SAMPLES for count in frames),
            "sub_actions": {str(n): lengths[n] for n in sorted(lengths)},
            "repeating_a_sub_action": len(repeating),
        }

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        content = {
            "folder": str(self.data.folder),
            "sha256": dict(self.data.sha256),
            "measured": self.measured,
            "missing": list(self.data.missing),
            "counts": self.counts(),
            "anomalies": [_encode_anomaly(anomaly) for anomaly in self.anomalies],
        }
        if self.floors:
            content["floors"] = self.floors
        return content


def validate_finediving(
    folder: Path, frames: Path | None = None, floors: bool = False
) -> FineDivingReport:
    """Read FineDiving's annotation files and look for all that is odd in them.

    Args:
        folder: The folder that holds them, or the one above it.
        frames: The folder of ``<match>/<dive>/<number>.jpg``, to look whether every
            frame is there.
        floors: Whether to find out what labels alone reach on the test dives.

    Raises:
        DataError: If none of the files is in `folder`.
        UsageError: If `frames` is no folder.
    """
    if frames is not None and not frames.is_dir():
        raise UsageError(
            f"--frames {frames}: no such folder; expected the one that holds "
            "<match>/<dive>/<number>.jpg"
        )
    data = read_finediving(folder)
    anomalies = tuple(find_anomalies(data, frames))
    baselines = _measure_baselines(data) if floors else {}
    return FineDivingReport(data, anomalies, baselines)


def _measure_baselines(data: FineDiving) -> dict[str, dict[str, float]]:
    from finediving_pose.aqa import label_only_baselines

    if not (data.train and data.test):
        raise UsageError(
            "--floors: needs the training and the test split, and one of them is absent "
            "or empty"
        )
    return label_only_baselines.measure_baselines(data.dives, data.train, data.test)


def _encode_anomaly(anomaly: Anomaly) -> dict[str, Any]:
    items = [{"where": where, "message": message} for where, message in anomaly.items]
    return {
        "kind": anomaly.kind,
        "severity": anomaly.severity,
        "title": anomaly.title,
        "count": len(items),
        "items": items,
    }
