"""Text of evaluations: every metric, in order, beside the baselines."""

from __future__ import annotations

from helpers.made_evaluation import evaluated

from finediving_pose.aqa import label_only_baselines
from finediving_pose.aqa.evaluation_text import (
    TITLES,
    format_evaluation,
)


def test_lines_name_every_metric_and_begin_with_the_headlines():
    lines = format_evaluation(evaluated(no_skeleton=3))
    assert lines[0] == "12 dives, 3 without a skeleton"
    assert lines[2].startswith("ρ (Spearman)")
    assert lines[3].startswith("R-ℓ2 ×100, squared")
    assert [line[:34].strip() for line in lines[2 : 2 + len(TITLES)]] == [
        title.text for title in TITLES.values()
    ]
    assert not any("dive number  " in line for line in lines)
    assert any(
        line.startswith(f"  {label_only_baselines.NUMBER_MEAN}: ρ ") for line in lines
    )
