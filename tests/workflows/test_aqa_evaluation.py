"""A model measured on its own parts and on other data, two files of numbers, and labels
alone."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.made_meets import made_dive
from helpers.made_score_model import write_data, write_model
from numpy.testing import assert_allclose

from finediving_pose.aqa import baselines
from finediving_pose.aqa.data.sources import Parts, Sources
from finediving_pose.aqa.evaluation import evaluate
from finediving_pose.aqa.inference import predict_dives
from finediving_pose.aqa.model.hpmcore import HPMCoRe
from finediving_pose.aqa.trained_model import load_model
from finediving_pose.datasets.dives_csv import write_dives
from finediving_pose.errors import DataError, UsageError
from finediving_pose.workflows.aqa_evaluation import (
    changed,
    evaluate_files,
    evaluate_model,
    label_floors,
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


def test_the_test_part_is_evaluated_and_written(made, data, tmp_path, encoded):
    model, parts = made
    found = evaluate_model(model, device="cpu", out=tmp_path / "out", ceiling=0.99)
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
    banked = evaluate_model(model, device="cpu")
    bare = tmp_path / "bare"
    shutil.copytree(model, bare)
    shutil.rmtree(bare / "exemplars")
    encoded.clear()
    with caplog.at_level(logging.INFO, "fdpose"):
        again = evaluate_model(bare, device="cpu")
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
    found = evaluate_model(model, device="cpu").evaluation
    assert found.metrics == pytest.approx(expected.metrics, rel=1e-4, nan_ok=True)


def test_a_training_set_that_is_gone_is_not_needed(made, data, tmp_path):
    model, parts = made
    expected = evaluate_model(model, device="cpu").rows
    for dive in parts.test:
        if dive.skeleton:
            target = tmp_path / "few" / dive.skeleton.relative_to(data.skeletons)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(dive.skeleton, target)
    assert (
        evaluate_model(model, given={"skeletons": tmp_path / "few"}, device="cpu").rows
        == expected
    )


@pytest.mark.parametrize(
    ("part", "said"),
    [("train", "trained on: the figures flatter"), ("val", "chose the epoch")],
)
def test_parts_that_flatter_say_so(made, part, said):
    model, parts = made
    found = evaluate_model(model, part, device="cpu")
    assert found.evaluation.dives == len(getattr(parts, part))
    assert any(said in note for note in found.evaluation.notes)
    assert all(row["name"] not in row["exemplars"].split(";") for row in found.rows)


def test_dives_without_a_skeleton_are_counted(made):
    model, parts = made
    counts = {
        part: evaluate_model(model, part, device="cpu").evaluation.no_skeleton
        for part in ("train", "test")
    }
    absent = {
        name: sum(dive.skeleton is None for dive in dives)
        for name, dives in parts._asdict().items()
    }
    assert counts == {"train": absent["train"], "test": absent["test"]}
    assert sum(absent.values()) == 1


def others(folder: Path, count: int = 6, trained: Path | None = None) -> Path:
    """A table of dives that the model knows nothing of, and some that it was trained
    on."""
    dives = [
        made_dive(place, match="Elsewhere", dive=str(place), video="a.mp4").dive
        for place in range(count)
    ]
    if trained:
        names = json.loads((trained / "model.json").read_text())["trained_on"]
        dives += [
            made_dive(
                0, match=name.split("/")[0], dive=name.split("/")[1], video="a.mp4"
            ).dive
            for name in names[:2]
        ]
    folder.mkdir()
    write_dives(folder / "dives.csv", dives)
    return folder / "dives.csv"


def test_other_data_is_evaluated_whole(made, tmp_path):
    found = evaluate_model(
        made[0], given={"annotations": others(tmp_path / "others")}, device="cpu"
    )
    assert found.part == "other"
    assert found.evaluation.dives == 6
    assert any("another data set" in note for note in found.evaluation.notes)


def test_dives_that_were_trained_on_are_refused_or_left_out(made, tmp_path):
    given = {"annotations": others(tmp_path / "others", trained=made[0])}
    with pytest.raises(
        DataError,
        match=r"2 dives were trained on .* --skip-trained tests on the others",
    ):
        evaluate_model(made[0], given=given, device="cpu")
    found = evaluate_model(made[0], given=given, device="cpu", skip_trained=True)
    assert found.evaluation.dives == 6
    assert any(
        "2 dives are left out because they were trained on" in note
        for note in found.evaluation.notes
    )


def test_other_data_has_no_part_of_the_run(made, tmp_path):
    with pytest.raises(UsageError, match="this data set is another"):
        evaluate_model(
            made[0], "val", {"annotations": others(tmp_path / "others")}, device="cpu"
        )


def test_an_empty_part(data, tmp_path):
    write_model(tmp_path / "mine", data, "val_fraction=0")
    with pytest.raises(
        UsageError,
        match=r"--part val: .* has no such dives \(test 10, val 0, train 30\)",
    ):
        evaluate_model(tmp_path / "mine", "val", device="cpu")


def test_a_model_without_its_source_needs_data(made, data, tmp_path):
    shutil.copytree(made[0], tmp_path / "mine")
    shutil.rmtree(tmp_path / "mine" / "data")
    with pytest.raises(
        UsageError,
        match=r"source\.json, which says what it was made with; name the data with --data",
    ):
        evaluate_model(tmp_path / "mine", device="cpu")
    found = evaluate_model(
        tmp_path / "mine",
        given={"annotations": data.annotations, "skeletons": data.skeletons},
        device="cpu",
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
        evaluate_model(tmp_path / "mine", device="cpu")
    assert (
        evaluate_model(
            tmp_path / "mine", given={"skeletons": data.skeletons}, device="cpu"
        ).evaluation.dives
        == 10
    )


def test_settings_that_the_weights_do_not_depend_on(made):
    found = evaluate_model(made[0], overrides=["exemplars=1"], device="cpu")
    assert all(";" not in row["exemplars"] for row in found.rows)
    settings = load_model(made[0]).settings
    assert changed(settings, ["seed=7", "exemplar_choice=random"]).seed == 7
    for text, said in (
        ("dim=3", "belongs to the trained weights"),
        ("x=3", "no setting"),
        ("x", "key=value"),
    ):
        with pytest.raises(UsageError, match=said):
            changed(settings, [text])
    with pytest.raises(UsageError, match="exemplars"):
        changed(settings, ["exemplars=0"])


def test_a_run_is_not_written_over(made):
    with pytest.raises(
        UsageError, match="is a model directory, whose manifest would be replaced"
    ):
        evaluate_model(made[0], out=made[0])


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
    found = evaluate_model(tmp_path / "mine", device="cpu")
    assert np.isfinite(found.evaluation.metrics["mae"])
    assert (
        "aiou_flight_0.5" not in found.evaluation.metrics
        or "regressor=direct" in overrides
    )
    json.dumps(found.as_dict(), allow_nan=False)


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
        files["pred"], files["true"], files["numbers"], files["cuts"], files["cuts"]
    )
    assert [found.metrics["rho"], found.metrics["rho_within"]] == pytest.approx([1, 1])
    assert found.metrics["mae"] == pytest.approx(2)
    assert found.metrics["aiou_flight_0.75"] == 100
    assert [row["dives"] for row in found.per_number] == [10, 10]
    assert "rho_within" not in evaluate_files(files["pred"], files["true"]).metrics


def test_files_that_do_not_go_together(files, tmp_path):
    np.save(tmp_path / "short.npy", np.ones(19))
    np.save(tmp_path / "one.npy", np.ones((20, 1)))
    np.save(tmp_path / "late.npy", np.tile([[28, 97]], (20, 1)))
    pred, true, cuts = files["pred"], files["true"], files["cuts"]
    with pytest.raises(
        DataError,
        match=r"pred.csv holds 20 lines and .*short.npy 19: expected the same dives",
    ):
        evaluate_files(pred, tmp_path / "short.npy")
    with pytest.raises(UsageError, match="go together"):
        evaluate_files(pred, true, None, cuts)
    with pytest.raises(DataError, match="1 and 2 transitions a dive"):
        evaluate_files(pred, true, None, tmp_path / "one.npy", cuts)
    with pytest.raises(
        DataError,
        match=r"late.npy: dive 0 of 20 has 28, 97: expected frames from 0 to 96 in order",
    ):
        evaluate_files(pred, true, None, cuts, tmp_path / "late.npy")
    assert (
        evaluate_files(
            pred, true, None, cuts, tmp_path / "late.npy", frames=103
        ).metrics["miou"]
        < 100
    )


def test_floors_of_a_published_split(data):
    found = label_floors(data.annotations)
    assert (found.train, found.test, found.own_split) == (30, 10, "")
    assert found.figures[baselines.NUMBER_MEAN]["mae"] > 0
    assert set(found.intervals) < set(found.figures)
    json.dumps(found.as_dict(), allow_nan=False)
    assert found.lines()[0].endswith(
        "annotations: 30 dives to learn from, 10 to test on"
    )


def test_floors_of_dives_without_a_split(tmp_path):
    path = others(tmp_path / "others", 40)
    found = label_floors(path)
    assert (found.train, found.test) == (30, 10)
    assert "test_fraction=0.25" in found.lines()[0]
    with pytest.raises(
        DataError, match="2 dives with a score to learn from and 0 to test on"
    ):
        label_floors(others(tmp_path / "few", 2))


def test_floors_of_the_real_annotations(shared_data):
    found = label_floors(shared_data / "finediving")
    assert (found.train, found.test) == (2251, 749)
    rounded = {
        name: tuple(round(found.figures[name][key], digits) for key, digits in keys)
        for name, keys in {
            baselines.NUMBER_MEAN: (
                ("rho", 4),
                ("rl2_squared", 3),
                ("rl2_absolute", 3),
            ),
            baselines.SHRUNK_COMPLETENESS: (
                ("rho", 4),
                ("rl2_squared", 3),
                ("rl2_absolute", 3),
            ),
            baselines.NUMBER_TRANSITIONS: (
                ("aiou_flight_0.5", 2),
                ("aiou_flight_0.75", 2),
            ),
            baselines.CONSTANT_TRANSITIONS: (
                ("aiou_flight_0.5", 1),
                ("aiou_flight_0.75", 1),
            ),
        }.items()
    }
    assert list(rounded.values()) == [
        (0.5882, 1.335, 8.33),
        (0.5953, 1.279, 8.11),
        (83.85, 44.46),
        (79.4, 32.6),
    ]
    low, high = found.intervals[baselines.NUMBER_MEAN]["rho"]
    assert 0.5 < low < 0.5882 < high < 0.67
