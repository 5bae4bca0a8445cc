"""PoseRidge by hand, and on its way through the commands: the smallest score model goes
through the same door as the largest."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from helpers.made_score_model import write_data
from helpers.made_videos import made_videos
from helpers.tiny_models import fdpose

from finediving_pose.aqa.data.sources import Sources
from finediving_pose.aqa.model.pose_ridge import PoseRidge
from finediving_pose.aqa.paper_tables import Row, Table
from finediving_pose.aqa.score_model import Encoded, ScoreLabels
from finediving_pose.aqa.settings import AqaSettings, load_aqa
from finediving_pose.datasets.finediving import read_finediving
from finediving_pose.datasets.pose_files import pose_path, read_pose, write_pose
from finediving_pose.errors import UsageError
from finediving_pose.workflows.ablation import TableRequest, run_table

SMALL = ("frames=16", "workers=0")


def settings_of(*overrides: str) -> AqaSettings:
    return load_aqa("pose_ridge", [*SMALL, *overrides])


def labels_of(count: int, seed: int = 0) -> ScoreLabels:
    draw = torch.Generator().manual_seed(seed)
    return ScoreLabels(
        40 + 50 * torch.rand(count, generator=draw), torch.linspace(2, 4, count)
    )


def test_it_reads_mean_and_deviation_of_known_joints():
    settings = settings_of()
    videos = made_videos(settings, videos=3)
    assert videos.pose is not None
    assert videos.pose_mask is not None
    mask = videos.pose_mask.clone()
    mask[0, :, 4] = False  # never seen
    unseen = videos.pose.masked_fill(~mask[:, None], 99.0)
    found = PoseRidge(settings).encode(videos._replace(pose=unseen, pose_mask=mask))
    read = found.tokens["pose"].reshape(3, 2, 2, 16)
    for video in range(3):
        for joint in range(16):
            known = unseen[video, :, mask[video, :, joint], joint]  # (2, frames)
            if not known.shape[1]:
                assert read[video, :, :, joint].eq(0).all()
                continue
            mean, deviation = read[video, :, :, joint]
            assert torch.allclose(mean, known.mean(dim=1), atol=1e-5)
            spread = known.std(dim=1, correction=0)
            assert torch.allclose(deviation, spread, atol=1e-5)
    assert found.transitions.shape == (3, 0)


@pytest.mark.parametrize("target", ["score", "completeness"])
def test_it_solves_the_normal_equations(target):
    penalty = 0.3
    settings = settings_of(f"options.penalty={penalty}", f"target={target}")
    draw = torch.Generator().manual_seed(1)
    features = torch.randn(40, 64, generator=draw)
    features[:, 7] = 0.5  # as a coordinate that never moves
    encoded = Encoded.of_whole_dives(pose=features)
    labels = labels_of(40)
    model = PoseRidge(settings)
    model.fit(encoded, labels)

    x = features.double().numpy()
    scale = x.std(axis=0)
    x = (x - x.mean(axis=0)) / np.where(scale > 0, scale, 1)
    y = labels.targets(settings.target).double().numpy()
    # The same as least squares with √(Nλ) I below X and zeros below y.
    below = np.sqrt(len(x) * penalty) * np.eye(64)
    expected, *_ = np.linalg.lstsq(
        np.vstack([x, below]), np.append(y - y.mean(), np.zeros(64)), rcond=None
    )
    assert model.weights.numpy() == pytest.approx(expected, abs=1e-4)

    found = model.predict(encoded, labels)
    factor = labels.difficulty.numpy() if target == "completeness" else 1
    assert found.score.numpy() == pytest.approx(
        (y.mean() + x @ expected) * factor, rel=1e-4
    )
    assert found.stage_parts[:, 0].numpy() == pytest.approx(
        x @ expected * factor, abs=1e-2
    )


def test_what_it_cannot_read_is_refused():
    with pytest.raises(UsageError, match="reads the skeleton of a whole dive"):
        PoseRidge(settings_of("branch_static=true"))
    with pytest.raises(UsageError, match=r"options of pose_ridge: penalty: .*found -1"):
        PoseRidge(settings_of("options.penalty=-1"))
    with pytest.raises(UsageError, match=r"unknown key penalti .*did you mean penalty"):
        PoseRidge(settings_of("options.penalti=1"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


@pytest.fixture(scope="module")
def sources(root: Path) -> Sources:
    """A meet in which the feet of the better dives are further from the body."""
    sources = write_data(root)
    assert sources.skeletons is not None
    for dive in read_finediving(sources.annotations).dives:
        record = dive.dive
        path = pose_path(sources.skeletons, record.match, record.dive)
        if path.is_file():
            sequence = read_pose(path)
            assert record.score is not None
            sequence.keypoints[:, (0, 5), 0] += record.score / 10
            write_pose(path, sequence)
    return sources


@pytest.fixture(scope="module")
def run(root: Path, sources: Sources) -> Path:
    """What train-aqa leaves."""
    run = root / "runs" / "ridge"
    answer = fdpose(
        "train-aqa",
        "--preset",
        "pose_ridge",
        "--data",
        sources.annotations,
        "--skeletons",
        sources.skeletons,
        "--device",
        "cpu",
        "--out",
        run,
        *SMALL,
        "val_fraction=0.2",
    )
    assert answer.code == 0
    return run


def test_it_is_trained(run):
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    assert (summary["epochs"], summary["best_epoch"]) == (1, 1)
    assert summary["parameters"] == {"regression": 65}
    assert summary["test"]["answered"] == summary["test"]["dives"] == 10
    assert summary["val"]["rho"] > 0.5
    assert summary["test"]["figures"]["rho"] > 0.5
    config = (run / "config.yaml").read_text(encoding="utf-8")
    assert config.startswith("model: pose_ridge\noptions:\n  penalty: 1.0\n")


def test_it_is_evaluated_with_the_same_figures(run, tmp_path):
    out = tmp_path / "out"
    answer = fdpose("eval-aqa", "--model", run, "--device", "cpu", "--out", out)
    assert answer.code == 0
    test = json.loads((run / "test.json").read_text(encoding="utf-8"))
    found = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    assert found["figures"] == pytest.approx(test["figures"])
    with (out / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    for row in rows:
        assert float(row["predicted"])
        assert (row["spread"], row["exemplars"]) == ("", "")


def test_a_clip_is_scored_without_its_number(run, root, sources):
    frames = root / "frames" / "Made0" / "1"
    frames.mkdir(parents=True)
    for number in range(100, 180):
        cv2.imwrite(str(frames / f"{number:05d}.jpg"), np.zeros((90, 160, 3), np.uint8))
    answer = fdpose(
        "score",
        frames,
        "--model",
        run,
        "--device",
        "cpu",
        "--skeletons",
        sources.skeletons,
        "--json",
    )
    assert answer.code == 0
    found = json.loads(answer.out)
    assert 0 < found["score"] < 200
    assert found["exemplars"] == []
    assert found["spread"] is None


def test_it_stands_as_a_row_of_an_ablation_table(sources, tmp_path):
    table = Table(
        name="poses",
        title="Baselines that read the skeleton",
        data="FineDiving",
        rows=(
            Row("weak", "penalty 100", built=True, presets=("pose_ridge",)),
            Row(
                "ridge",
                "ridge regression",
                built=True,
                values={"options": {"penalty": 0.5}},
                presets=("pose_ridge",),
            ),
        ),
        reference="ridge",
    )
    request = TableRequest(table, overrides=(*SMALL, "val_fraction=0.2"))
    result = run_table(request, sources, tmp_path / "ablations" / "poses", "cpu")
    assert result.failed == ()
    assert all(row.get_mean("rho") is not None for row in result.rows)
    assert len({row.folder for row in result.rows}) == 2
