"""A model measured on its own parts and on other data."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.made_score_model import write_data, write_model, write_other_dives
from numpy.testing import assert_allclose

from finediving_pose.aqa.data.sources import Parts, Sources
from finediving_pose.aqa.evaluation import evaluate
from finediving_pose.aqa.inference import predict_dives
from finediving_pose.aqa.model.hpmcore import HPMCoRe
from finediving_pose.aqa.trained_model import load_model
from finediving_pose.errors import DataError, UsageError
from finediving_pose.workflows.aqa_evaluation import (
    EvaluationRequest,
    ModelEvaluation,
    Part,
    change_settings,
    evaluate_model,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Sources:
    return write_data(tmp_path_factory.mktemp("meet"))


@pytest.fixture(scope="module")
def made(data, tmp_path_factory) -> tuple[Path, Parts]:
    folder = tmp_path_factory.mktemp("models") / "mine"
    _, parts = write_model(folder, data)
    return folder, parts


@pytest.fixture
def encoded(monkeypatch) -> list[str]:
    """The videos that go through the encoders, in turn."""
    names: list[str] = []
    encode = HPMCoRe.encode

    def noted(self, videos, *arguments):
        names.extend(videos.names)
        return encode(self, videos, *arguments)

    monkeypatch.setattr(HPMCoRe, "encode", noted)
    return names


def measure(model: Path, part: Part = "test", /, out=None, **given) -> ModelEvaluation:
    """Evaluate on a CPU."""
    return evaluate_model(model, EvaluationRequest(part, **given), "cpu", out)


def test_the_test_part_is_evaluated_and_written(made, data, tmp_path, encoded):
    model, parts = made
    found = measure(model, out=tmp_path / "out", ceiling=0.99)
    assert encoded == [dive.name for dive in parts.test]
    assert found.evaluation.dives == len(parts.test) == 10
    assert found.evaluation.baselines
    with (tmp_path / "out" / "predictions.csv").open(
        encoding="utf-8", newline=""
    ) as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [dive.name for dive in parts.test]
    trained = {dive.name: dive.record.dive_number for dive in parts.train}
    for row, dive in zip(rows, parts.test, strict=True):
        assert float(row["score"]) == dive.record.score
        assert {trained[name] for name in row["exemplars"].split(";")} == {
            row["dive_number"]
        }
        assert (
            len(row["transitions_predicted"].split(";"))
            == len(row["transitions_true"].split(";"))
            == 2
        )
    written = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert written == json.loads(json.dumps(found.as_dict()))
    assert written["figures"]["mae"] == pytest.approx(
        np.mean([abs(float(row["predicted"]) - float(row["score"])) for row in rows]),
        abs=1e-3,
    )
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    card = json.loads((model / "model.json").read_text())
    assert (manifest["status"], manifest["part"], manifest["device"]) == (
        "done",
        "test",
        "cpu",
    )
    assert manifest["model_sha256"] == card["weights_sha256"]
    assert set(manifest["data_sha256"]) >= {"test_split.pkl"}


def test_the_bank_gives_what_the_training_dives_give(
    made, data, tmp_path, encoded, caplog
):
    model, parts = made
    banked = measure(model)
    bare = tmp_path / "bare"
    shutil.copytree(model, bare)
    shutil.rmtree(bare / "exemplars")
    encoded.clear()
    with caplog.at_level(logging.INFO, "fdpose"):
        again = measure(bare)
    assert "no exemplar bank: its training dives are encoded anew" in caplog.text
    assert len(encoded) == len(set(encoded)) > len(parts.test)
    assert [row["exemplars"] for row in again.rows] == [
        row["exemplars"] for row in banked.rows
    ]
    assert_allclose(
        [row["predicted"] for row in again.rows],
        [row["predicted"] for row in banked.rows],
        atol=1e-3,
    )


def test_what_training_would_have_written(made, data):
    from finediving_pose.aqa.data.sources import prepare_data

    model, parts = made
    net = load_model(model)
    loader = prepare_data(net.settings, data).loader
    records = [[dive.record for dive in dives] for dives in (parts.test, parts.train)]
    expected = evaluate(
        predict_dives(net, parts.test, parts.train, loader), *records, net.settings
    )
    found = measure(model).evaluation
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-4, nan_ok=True)


def test_a_training_set_that_is_gone_is_not_needed(made, data, tmp_path):
    model, parts = made
    expected = measure(model).rows
    for dive in parts.test:
        if dive.skeleton:
            target = tmp_path / "few" / dive.skeleton.relative_to(data.skeletons)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(dive.skeleton, target)
    assert measure(model, given={"skeletons": tmp_path / "few"}).rows == expected


@pytest.mark.parametrize(
    ("part", "said"),
    [("train", "trained on: the metrics flatter"), ("val", "chose the epoch")],
)
def test_parts_that_flatter_say_so(made, part, said):
    model, parts = made
    found = measure(model, part)
    assert found.evaluation.dives == len(getattr(parts, part))
    assert any(said in note for note in found.evaluation.notes)
    assert all(row["name"] not in row["exemplars"].split(";") for row in found.rows)


def test_dives_without_a_skeleton_are_counted(made):
    model, parts = made
    counts = {
        part: measure(model, part).evaluation.no_skeleton for part in ("train", "test")
    }
    absent = {
        name: sum(dive.skeleton is None for dive in dives)
        for name, dives in parts._asdict().items()
    }
    assert counts == {"train": absent["train"], "test": absent["test"]}
    assert sum(absent.values()) == 1


def test_other_data_is_evaluated_whole(made, tmp_path):
    found = measure(
        made[0], given={"annotations": write_other_dives(tmp_path / "others")}
    )
    assert found.part == "other"
    assert found.evaluation.dives == 6
    assert any("another data set" in note for note in found.evaluation.notes)


def test_dives_that_were_trained_on_are_refused_or_left_out(made, tmp_path):
    given = {"annotations": write_other_dives(tmp_path / "others", trained=made[0])}
    with pytest.raises(
        DataError,
        match=r"2 dives were trained on .* --skip-trained tests on the others",
    ):
        measure(made[0], given=given)
    found = measure(made[0], given=given, skip_trained=True)
    assert found.evaluation.dives == 6
    assert any(
        "2 dives are left out because they were trained on" in note
        for note in found.evaluation.notes
    )


def test_other_data_has_no_part_of_the_run(made, tmp_path):
    with pytest.raises(UsageError, match="this data set is another"):
        measure(
            made[0],
            "val",
            given={"annotations": write_other_dives(tmp_path / "others")},
        )


def test_an_empty_part(data, tmp_path):
    write_model(tmp_path / "mine", data, "val_fraction=0")
    with pytest.raises(
        UsageError,
        match=r"--part val: .* has no such dives \(test 10, val 0, train 30\)",
    ):
        measure(tmp_path / "mine", "val")


def test_a_model_without_its_source_needs_data(made, data, tmp_path):
    shutil.copytree(made[0], tmp_path / "mine")
    shutil.rmtree(tmp_path / "mine" / "data")
    with pytest.raises(
        UsageError,
        match=r"source\.json, which says what it was made with; name the data with --data",
    ):
        measure(tmp_path / "mine")
    found = measure(
        tmp_path / "mine",
        given={"annotations": data.annotations, "skeletons": data.skeletons},
    )
    assert found.evaluation.dives == 10


def test_data_that_has_moved(made, data, tmp_path):
    shutil.copytree(made[0], tmp_path / "mine")
    path = tmp_path / "mine" / "data" / "source.json"
    source = json.loads(path.read_text())
    source["sources"]["skeletons"] = str(tmp_path / "gone")
    path.write_text(json.dumps(source))
    with pytest.raises(
        UsageError,
        match=r"gone: where the run had it, there is nothing now; name it with --skeletons",
    ):
        measure(tmp_path / "mine")
    assert (
        measure(tmp_path / "mine", given={"skeletons": data.skeletons}).evaluation.dives
        == 10
    )


def test_settings_that_the_weights_do_not_depend_on(made):
    found = measure(made[0], overrides=("exemplars=1",))
    assert all(";" not in row["exemplars"] for row in found.rows)
    settings = load_model(made[0]).settings
    assert change_settings(settings, ["seed=7", "exemplar_choice=random"]).seed == 7
    for text, said in (
        ("dim=3", "belongs to the trained weights"),
        ("x=3", "no setting"),
        ("x", "key=value"),
    ):
        with pytest.raises(UsageError, match=said):
            change_settings(settings, [text])
    with pytest.raises(UsageError, match="exemplars"):
        change_settings(settings, ["exemplars=0"])


def test_a_run_is_not_written_over(made):
    with pytest.raises(
        UsageError, match="is a model directory, whose manifest would be replaced"
    ):
        measure(made[0], out=made[0])


def test_a_failure_leaves_a_manifest_that_says_so(made, tmp_path):
    with pytest.raises(UsageError):
        evaluate_model(made[0], device="abacus", out=tmp_path / "out")
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())[
        "status"
    ].startswith("failed: UsageError")


@pytest.mark.parametrize(
    "overrides",
    [("stages=2",), ("stages=1",), ("regressor=direct", "target=completeness")],
    ids=",".join,
)
def test_models_of_other_kinds(data, tmp_path, overrides):
    write_model(tmp_path / "mine", data, *overrides)
    found = measure(tmp_path / "mine")
    assert np.isfinite(found.evaluation.metrics["mae"])
    assert (
        "aiou_flight_0.5" not in found.evaluation.metrics
        or "regressor=direct" in overrides
    )
    json.dumps(found.as_dict(), allow_nan=False)
