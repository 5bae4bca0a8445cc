"""``fdpose eval-aqa``: its three ways, and mistakes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers.made_score_model import write_data, write_model
from helpers.tiny_models import fdpose


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project folder with a model in ``runs/aqa``."""
    root = tmp_path_factory.mktemp("project")
    write_model(root / "runs" / "aqa" / "mine", write_data(root))
    np.savetxt(root / "true.txt", np.arange(10.0))
    np.savetxt(root / "pred.txt", np.arange(10.0) + 1)
    return root


@pytest.fixture(autouse=True)
def there(project, monkeypatch):
    monkeypatch.chdir(project)


def test_the_newest_model_of_a_project(tmp_path):
    answer = fdpose(
        "eval-aqa", "--device", "cpu", "--ceiling", "0.9", "--out", tmp_path / "out"
    )
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0] == "runs/aqa/mine, test part"
    assert lines[1].startswith("10 dives")
    assert lines[3].startswith("ρ (Spearman)")
    assert lines[-1] == f"Written: {tmp_path / 'out'}"
    assert any(line.startswith("share of the way in ρ") for line in lines)
    assert any(line.startswith("407c ") for line in lines)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "predictions.csv",
        "evaluation.json",
        "manifest.json",
    }


def test_json_of_a_model():
    answer = fdpose(
        "eval-aqa",
        "--model",
        "runs/aqa/mine",
        "--part",
        "val",
        "--device",
        "cpu",
        "--json",
        "exemplars=1",
    )
    values = json.loads(answer.out)
    assert (values["model"], values["part"]) == ("runs/aqa/mine", "val")
    assert values["dives"] == values["answered"] > 0
    assert set(values["figures"]) == set(values["intervals"])


def test_two_files():
    answer = fdpose("eval-aqa", "--pred", "pred.txt", "--true", "true.txt")
    assert answer.code == 0
    assert "MAE, points                           1.000     1.000 … 1.000" in answer.out
    values = json.loads(
        fdpose("eval-aqa", "--pred", "pred.txt", "--true", "true.txt", "--json").out
    )
    assert values["figures"]["rho"] == pytest.approx(1)


def test_baselines():
    answer = fdpose("eval-aqa", "--floors")
    assert answer.code == 0
    assert answer.out.startswith("annotations: 30 dives to learn from, 10 to test on")
    values = json.loads(
        fdpose(
            "eval-aqa", "--floors", "--data", "annotations", "--json", "--seed", "3"
        ).out
    )
    assert values["split"] == "published"
    assert set(values["intervals"]) < set(values["floors"])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--pred", "pred.txt"], 2, "--pred and --true go together"),
        (["--true", "true.txt"], 2, "--pred and --true go together"),
        (
            ["--pred", "pred.txt", "--true", "true.txt", "--model", "x"],
            2,
            "leave out --model",
        ),
        (
            ["--pred", "pred.txt", "--true", "true.txt", "--data", "annotations"],
            2,
            "leave out --data",
        ),
        (["--floors", "--pred", "pred.txt"], 2, "labels alone; leave out --pred"),
        (["--floors", "--part", "train"], 2, "labels alone; leave out --part"),
        (["--floors", "--ceiling", "0"], 2, "labels alone; leave out --ceiling"),
        (
            ["--pred", "pred.txt", "--true", "true.txt", "--ceiling", "0.9"],
            2,
            "leave out --ceiling",
        ),
        (["--floors", "--out", "x"], 2, "labels alone; leave out --out"),
        (["--floors", "--data", "nowhere"], 2, "nowhere: no such file or folder"),
        (["--model", "nowhere"], 2, "nowhere: no model directory"),
        (["dim=3"], 2, "dim belongs to the trained weights"),
        (["--part", "all"], 2, "'all' is not one of"),
        (["--ceiling", "2"], 2, "less than or equal to 1"),
        (
            ["--skeletons", "nowhere"],
            2,
            "nowhere: no such file or folder; name it with --skeletons",
        ),
    ],
)
def test_mistakes(capsys, arguments, code, said):
    assert fdpose("eval-aqa", *arguments).code == code
    assert said in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_nowhere_is_no_data(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert fdpose("eval-aqa", "--floors").code == 2
    assert "here is neither annotations nor dives.csv" in capsys.readouterr().err
    assert fdpose("eval-aqa").code == 2
    assert "no aqa model" in capsys.readouterr().err
