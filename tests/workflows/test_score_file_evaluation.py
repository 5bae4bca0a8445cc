"""Two files of scores: what they are worth, and what does not go together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from finediving_pose.errors import DataError, UsageError
from finediving_pose.workflows.score_file_evaluation import (
    PredictionFiles,
    evaluate_files,
)


@pytest.fixture
def files(tmp_path) -> dict[str, Path]:
    rng = np.random.default_rng(0)
    true = rng.uniform(30, 100, 20).round(1)
    np.save(tmp_path / "true.npy", true)
    np.savetxt(tmp_path / "pred.csv", true + 2)
    (tmp_path / "numbers.txt").write_text("407c\n107b\n" * 10)
    np.save(tmp_path / "cuts.npy", np.tile([[28, 62]], (20, 1)))
    return {path.stem: path for path in tmp_path.iterdir()}


def test_two_files(files):
    found = evaluate_files(
        PredictionFiles(
            files["pred"], files["true"], files["numbers"], files["cuts"], files["cuts"]
        )
    )
    assert [found.metrics["rho"], found.metrics["rho_within"]] == pytest.approx([1, 1])
    assert found.metrics["mae"] == pytest.approx(2)
    assert found.metrics["aiou_flight_0.75"] == 100
    assert [row["dives"] for row in found.per_number] == [10, 10]
    assert (
        "rho_within"
        not in evaluate_files(PredictionFiles(files["pred"], files["true"])).metrics
    )


def test_files_that_do_not_go_together(files, tmp_path):
    np.save(tmp_path / "short.npy", np.ones(19))
    np.save(tmp_path / "one.npy", np.ones((20, 1)))
    np.save(tmp_path / "late.npy", np.tile([[28, 97]], (20, 1)))
    pred, true, cuts = files["pred"], files["true"], files["cuts"]
    with pytest.raises(
        DataError,
        match=r"pred.csv holds 20 lines and .*short.npy 19: expected the same dives",
    ):
        evaluate_files(PredictionFiles(pred, tmp_path / "short.npy"))
    with pytest.raises(UsageError, match="go together"):
        evaluate_files(PredictionFiles(pred, true, None, cuts))
    with pytest.raises(DataError, match="1 and 2 transitions a dive"):
        evaluate_files(PredictionFiles(pred, true, None, tmp_path / "one.npy", cuts))
    with pytest.raises(
        DataError,
        match=r"late.npy: dive 0 of 20 has 28, 97: expected frames from 0 to 96 in order",
    ):
        evaluate_files(PredictionFiles(pred, true, None, cuts, tmp_path / "late.npy"))
    assert (
        evaluate_files(
            PredictionFiles(pred, true, None, cuts, tmp_path / "late.npy", frames=103)
        ).metrics["miou"]
        < 100
    )
