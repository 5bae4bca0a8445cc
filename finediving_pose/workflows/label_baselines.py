"""Label-only baselines of a data set (``fdpose eval-aqa --floors``): what dive number
and degree of difficulty alone predict on its test part."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finediving_pose.aqa.settings import load_aqa
from finediving_pose.errors import DataError

if TYPE_CHECKING:
    from finediving_pose.datasets.finediving import Key

Bounds = tuple[float, float]


@dataclass(frozen=True)
class LabelBaselines:
    """The metrics of the label-only baselines on a split.

    Attributes:
        data: Where the labels lie.
        train, test: How many dives with a score there are in each part.
        own_split: How the split was made, if it is ours because the data set has none;
            empty for a published one.
        metrics: By baseline, see :func:`baselines.measure_baselines`.
        intervals: By baseline of scores and metric.
    """

    data: Path
    train: int
    test: int
    own_split: str
    metrics: dict[str, dict[str, float]]
    intervals: dict[str, dict[str, Bounds]]

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        intervals = {}
        for name, bounds in self.intervals.items():
            intervals[name] = _list_bounds(bounds)
        return {
            "data": str(self.data),
            "train": self.train,
            "test": self.test,
            "split": self.own_split or "published",
            "floors": self.metrics,
            "intervals": intervals,
        }

    def format_lines(self) -> list[str]:
        """Return the baselines as lines of text."""
        from finediving_pose.aqa.evaluation_text import format_baselines

        split = f" ({self.own_split})" if self.own_split else ""
        return [
            f"{self.data}: {self.train} dives to learn from, {self.test} to test on{split}",
            *format_baselines(self.metrics, self.intervals),
            "… 95 % bootstrap intervals over the test dives",
        ]


def measure_label_baselines(
    data: Path, stages_from: Path | None = None, seed: int = 0
) -> LabelBaselines:
    """Measure what labels alone reach on the test part of a data set; one without parts
    is divided as train-aqa does.

    Args:
        data: See read_annotations.
        stages_from: FineDiving's folder, whose stages MTL-AQA borrows.
        seed: Of the draws of exemplars and of the bootstrap.

    Raises:
        UsageError: If there is nothing at `data`.
        DataError: If one of the parts is empty.
    """
    from finediving_pose.aqa import label_only_baselines
    from finediving_pose.aqa.data.dives import gather_dives, read_annotations
    from finediving_pose.aqa.data.splits import hold_out
    from finediving_pose.aqa.evaluation import bootstrap_baselines

    gathered = gather_dives(read_annotations(data, stages_from))
    train: Sequence[Key] = gathered.train
    test: Sequence[Key] = gathered.test
    own_split = ""
    if not test:
        settings = load_aqa()
        fraction, split_seed = settings.test_fraction, settings.split_seed
        records = [dive.record for dive in gathered.select(train)]
        train, test = hold_out(records, fraction, split_seed)
        own_split = (
            f"no published split: held out as train-aqa does, test_fraction={fraction:g} "
            f"split_seed={split_seed}"
        )
    if not train or not test:
        raise DataError(
            f"{data}: {len(train)} dives with a score to learn from and {len(test)} to test on; expected some of each"
        )
    records = [dive.record for dive in gathered.dives]
    learned = [dive.record for dive in gathered.select(train)]
    tested = [dive.record for dive in gathered.select(test)]
    return LabelBaselines(
        data=data,
        train=len(train),
        test=len(test),
        own_split=own_split,
        metrics=label_only_baselines.measure_baselines(records, train, test, seed),
        intervals=bootstrap_baselines(learned, tested, seed),
    )


def _list_bounds(bounds: Mapping[str, Bounds]) -> dict[str, list[float] | None]:
    listed: dict[str, list[float] | None] = {}
    for metric, interval in bounds.items():
        is_defined = all(map(math.isfinite, interval))
        listed[metric] = list(interval) if is_defined else None
    return listed
