"""What users made with version 0.1.0 is read, answered and continued as before.

`files_of_0_1_0/README.md` says what the files are. Sentences may change, so strings with
a blank in them are not compared; everything else in a JSON answer is. Results of networks
are compared within a tolerance, since they differ a little between processors.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import lzma
import math
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finediving_pose.cli import main

STORED = Path(__file__).parent / "files_of_0_1_0"
PLACE = "/before"
"""Stands in the stored files for the folder in which they were made."""

WITH_PLACES = {".json", ".jsonl", ".csv"}
REVIEWED = (
    "SyntheticMeet01_Men3m_r1/1/01471.jpg",
    "SyntheticMeet01_Men3m_r1/3/02565.jpg",
    "SyntheticMeet01_Men3m_r1/3/02587.jpg",
    "SyntheticMeet02_Women10m_r1/1/119140.jpg",
)
CONVERSIONS = json.loads((STORED / "answers" / "conversions.json").read_text("utf-8"))
EXIT_CODES = dict(
    line.split()
    for line in (STORED / "answers" / "exit_codes.txt").read_text().splitlines()
)
PIXELS = 0.05
"""Within which a joint is where the same network put it on another processor."""


@dataclass(frozen=True)
class Answer:
    """What a command came to: its exit code and what it printed."""

    code: int
    out: str


def fdpose(*arguments: object) -> Answer:
    """Run a command in this process."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main.run([str(argument) for argument in arguments])
    return Answer(code, out.getvalue())


def copy_files(root: Path) -> Path:
    """Copy the files as if the folder in which they were made had been moved."""
    shutil.copytree(STORED, root)
    for path in root.rglob("*"):
        if path.suffix in WITH_PLACES and path.is_file():
            content = path.read_bytes()
            if PLACE.encode() in content:
                path.write_bytes(
                    content.replace(PLACE.encode(), root.as_posix().encode())
                )
    return root


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_files(tmp_path_factory.mktemp("files") / "before")


@pytest.fixture
def before(copied: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a copy of the files for all tests that only add to it."""
    monkeypatch.chdir(copied)
    return copied


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a copy of the files for a test that changes them."""
    root = copy_files(tmp_path / "before")
    monkeypatch.chdir(root)
    return root


def unpack(folder: Path) -> None:
    """Unpack weights and checkpoints in a folder and below."""
    for path in folder.rglob("*.xz"):
        path.with_suffix("").write_bytes(lzma.decompress(path.read_bytes()))


def answered(root: Path, name: str) -> Any:
    """What a command answered before."""
    return json.loads((root / "answers" / name).read_text(encoding="utf-8"))


def ask(name: str, *arguments: object) -> Any:
    """What the command that gave an answer before answers now; its exit code is the same."""
    answer = fdpose(*arguments)
    assert answer.code == int(EXIT_CODES[name])
    return json.loads(answer.out)


def differences(
    found: Any,
    expected: Any,
    rel: float = 1e-9,
    ignored: frozenset[str] = frozenset(),
    at: str = "answer",
) -> list[str]:
    """Say where an answer differs from the one before; keys that are new are none."""
    if isinstance(expected, dict):
        if not isinstance(found, dict):
            return [f"{at}: {found!r}, expected an object"]
        keys = [key for key in expected if key not in ignored]
        missing = [f"{at}.{key} is missing" for key in keys if key not in found]
        return missing + [
            line
            for key in keys
            if key in found
            for line in differences(
                found[key], expected[key], rel, ignored, f"{at}.{key}"
            )
        ]
    if isinstance(expected, list):
        if not isinstance(found, list) or len(found) != len(expected):
            return [f"{at}: {found!r}, expected {len(expected)} items"]
        pairs = enumerate(zip(found, expected, strict=True))
        return [
            line
            for place, (one, other) in pairs
            for line in differences(one, other, rel, ignored, f"{at}[{place}]")
        ]
    if isinstance(expected, float) and isinstance(found, int | float):
        same = math.isclose(found, expected, rel_tol=rel, abs_tol=rel)
    elif isinstance(expected, str) and " " in expected:
        same = isinstance(found, str)
    else:
        same = type(found) is type(expected) and found == expected
    return [] if same else [f"{at}: {found!r}, expected {expected!r}"]


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of what a command wrote, without what holds a time or sentences."""
    left_out = {"manifest.json", "problems.csv", "log.txt"}
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in left_out
    }


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def counted(report: dict[str, Any]) -> Counter[tuple[Any, ...]]:
    """The findings of a validation without their sentences."""
    return Counter(
        (
            found["who"],
            found["file"],
            found["image"],
            found["joint"],
            found["kind"],
            found["severity"],
            found["suggestion"] == "swap-sides",
            json.dumps(found["pairs"]),
            found["replaced"],
        )
        for found in report["findings"]
    )


def assert_same_findings(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert counted(found) == counted(expected)
    for key in ("frames", "checked", "counts"):
        assert found[key] == expected[key]
    measured = [
        [
            each["value"]
            for each in report["findings"]
            if isinstance(each["value"], float)
        ]
        for report in (found, expected)
    ]
    assert measured[0] == pytest.approx(measured[1])


# Labels


@pytest.mark.parametrize("pair", CONVERSIONS)
def test_a_conversion_writes_the_same_bytes(before: Path, pair: str):
    source, target = pair.split()
    noted = CONVERSIONS[pair]
    out = Path(
        "converted", source, target
    )  # LabelMe files name images from where they lie
    answer = fdpose(
        *("convert", noted["source"], "--from", source, "--to", target),
        *("--images", "project/frames", "--out", out),
    )
    assert answer.code == noted["exit"]
    assert digests(out) == noted["files"]


@pytest.mark.parametrize(
    "target", ["labelme", "coco", "fdpose-json", "mpii", "csv", "pyskl"]
)
def test_a_projects_labels_become_the_same_files(
    before: Path, monkeypatch: pytest.MonkeyPatch, target: str
):
    split = (
        ("--split", "dive", "--val", "0.34", "--seed", "3") if target == "coco" else ()
    )
    monkeypatch.chdir(before / "project")
    out = before / "now" / target
    fdpose(
        "convert",
        "labels/anna",
        "--to",
        target,
        "--images",
        "frames",
        *split,
        "--out",
        out,
    )
    assert digests(out) == digests(before / "formats" / target)
    assert len(digests(out)) == {"labelme": 9, "coco": 4}.get(target, 1)


@pytest.mark.parametrize("name", ["coco", "mpii", "csv", "fdpose"])
def test_faulty_files_give_the_same_findings(before: Path, name: str):
    (path,) = Path("faulty").glob(f"{name}.*")
    answer = f"faulty_{name}.json"
    found = ask(answer, "validate", path, "--images", "project/frames", "--json")
    assert_same_findings(found, answered(before, answer))


def test_faulty_labelme_files_give_the_same_findings(before: Path):
    folders = sorted(Path("faulty", "labelme").iterdir())
    expected = answered(before, "faulty_labelme.json")
    found = ask(
        "faulty_labelme.json",
        "validate",
        *folders,
        "--images",
        "project/frames",
        "--json",
    )
    assert_same_findings(found, expected)
    kinds = {each["kind"] for each in expected["findings"]}
    assert len(kinds) >= 12


# A project


@pytest.fixture
def project(before: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: the project of all tests that only ask."""
    monkeypatch.chdir(before / "project")
    return before / "project"


@pytest.fixture
def own_project(own: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: the project for a test that changes it."""
    monkeypatch.chdir(own / "project")
    return own / "project"


def test_a_project_is_validated_as_before(before: Path, project: Path):
    found = ask("validate_reviewed.json", "validate", "--json")
    assert_same_findings(found, answered(before, "validate_reviewed.json"))


def test_annotators_agree_as_before(before: Path, project: Path):
    found = ask(
        "agree.json",
        "agree",
        "anna",
        "ben",
        "--json",
        "--out",
        before / "agreement.html",
    )
    assert differences(found, answered(before, "agree.json"), rel=1e-6) == []


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("review_list.json", ("review", "list")),
        ("review_log.json", ("review", "log")),
    ],
)
def test_a_review_stands_where_it_stood(
    before: Path, project: Path, name: str, command: tuple[str, ...]
):
    expected = answered(before, name)
    assert differences(ask(name, *command, "--json"), expected) == []
    if name == "review_list.json":
        decided = [row["image"] for row in expected if row["kind"] == "reviewed"]
        assert decided == list(REVIEWED)


def test_a_status_stands_where_it_stood(before: Path, project: Path):
    """Version 0.1.0 counted for each annotator what `annotate` had handed out; labels
    that came without it, as these did, count since, and so does one sent back."""
    expected = answered(before, "status.json")
    found = ask("status.json", "status", "--json")
    for key in ("name", "frames", "stages", "unassigned", "twice", "merged"):
        assert found[key] == expected[key]
    assert differences(found["people"][2], expected["people"][2]) == []
    anna, ben, _ = found["people"]
    assert (anna["assigned"], anna["needs"]["done"]) == (9, 9)
    assert (ben["assigned"], ben["needs"]["done"], ben["needs"]["returned"]) == (
        9,
        8,
        1,
    )
    assert found["next"] == "fdpose annotate ben"


def test_a_review_goes_on(own: Path, own_project: Path):
    log = (own_project / "labels" / "review.jsonl").read_bytes()
    image = "SyntheticMeet02_Women10m_r1/1/119128.jpg"
    assert fdpose("review", "accept", image, "--label", "anna").code == 0
    after = (own_project / "labels" / "review.jsonl").read_bytes()
    assert after.startswith(log)
    old, new = json.loads(log.splitlines()[0]), json.loads(after.splitlines()[-1])
    assert old.keys() == new.keys()
    status = json.loads(fdpose("status", "--json").out)
    assert status["stages"]["reviewed"] == len(REVIEWED) + 1


def test_labels_merge_into_the_same_bytes(own: Path, own_project: Path):
    final = own_project / "labels" / "final"
    expected = digests(final)
    table = rows_of(final / "merge.csv")
    shutil.rmtree(final)
    found = ask("merge.json", "merge", "--allow-unreviewed", "--json")
    assert differences(found, answered(own, "merge.json")) == []
    words = {"merge.csv"}  # a reason is a sentence
    made = digests(final)
    assert {name: made[name] for name in made.keys() - words} == {
        name: expected[name] for name in expected.keys() - words
    }
    assert len(made) == len(REVIEWED) + 1
    columns = [name for name in table[0] if name != "reason"]
    assert [
        [row[name] for name in columns] for row in rows_of(final / "merge.csv")
    ] == [[row[name] for name in columns] for row in table]


def test_merging_again_changes_nothing(own_project: Path):
    expected = digests(own_project / "labels" / "final")
    found = json.loads(fdpose("merge", "--allow-unreviewed", "--json").out)
    assert (found["changes"], found["unchanged"]) == ([], len(REVIEWED))
    expected.pop("merge.csv")
    made = digests(own_project / "labels" / "final")
    assert {name: made[name] for name in expected} == expected


# Skeletons


def extract(videos: str, out: str, *more: object) -> tuple[int, dict[str, Any]]:
    networks = () if "--model" in more else ("--model", "synthetic")
    networks += () if "--detector" in more else ("--detector", "synthetic")
    places = ("--videos", videos, "--out", out, "--device", "cpu", "--json")
    answer = fdpose("extract", *places, *networks, *more)
    return answer.code, json.loads(answer.out)


def assert_same_skeletons(found: Path, expected: Path, share: float = 1.0) -> None:
    """Same arrays, joints within a tolerance; `share` of the joints at least."""
    paths = sorted(path.relative_to(expected) for path in expected.rglob("*.npz"))
    assert paths
    for path in paths:
        with np.load(found / path) as new, np.load(expected / path) as old:
            assert set(new.files) >= set(old.files)
            for name in set(old.files) - {"meta"}:
                assert (new[name].dtype, new[name].shape) == (
                    old[name].dtype,
                    old[name].shape,
                )
            assert np.array_equal(new["frame_index"], old["frame_index"])
            assert (new["state"] == old["state"]).mean() >= share
            assert (new["bbox_state"] == old["bbox_state"]).mean() >= share
            for name, tolerance in [
                ("pred", PIXELS),
                ("bbox", PIXELS),
                ("score", 1e-3),
            ]:
                near = np.isclose(
                    new[name], old[name], rtol=0, atol=tolerance, equal_nan=True
                )
                assert near.mean() >= share, f"{path}: {name}"
            assert (
                json.loads(str(new["meta"])).keys()
                >= json.loads(str(old["meta"])).keys()
            )


def test_clips_that_were_extracted_before_are_skipped(own: Path):
    out = own / "skeletons" / "first"
    skeletons, quality = digests(out / "Pose"), rows_of(out / "quality.csv")
    code, summary = extract("clips", "skeletons/first")
    assert code == 1  # the broken clip is tried again
    assert sorted(summary["skipped"]) == ["Frames/1", "Recorded/1", "Recorded/2"]
    assert summary["done"] == []
    assert digests(out / "Pose") == skeletons
    for new, old in zip(rows_of(out / "quality.csv"), quality, strict=True):
        assert {name: new[name] for name in old if name != "warnings"} == {
            name: value for name, value in old.items() if name != "warnings"
        }
    (failure,) = rows_of(out / "failures.csv")
    assert (failure["clip"], failure["source"]) == ("clips/broken", "broken.mp4")


def test_the_packaged_models_give_the_same_skeletons(before: Path):
    code, summary = extract("clips", "skeletons/again")
    assert code == 1
    assert sorted(summary["done"]) == ["Frames/1", "Recorded/1", "Recorded/2"]
    assert_same_skeletons(Path("skeletons/again"), Path("skeletons/first"), share=0.98)
    quality = rows_of(Path("skeletons/again/quality.csv"))
    for new, old in zip(
        quality, rows_of(Path("skeletons/first/quality.csv")), strict=True
    ):
        for name in old.keys() - {"warnings", "clip"}:
            assert float(new[name]) == pytest.approx(float(old[name]), abs=0.01), name


def test_the_stored_skeletons_hold_what_they_should():
    states = [
        np.load(path)["state"]
        for path in sorted((STORED / "skeletons" / "first").rglob("*.npz"))
    ]
    assert [(state & 3 == 0).any() for state in states] == [False, True, False]
    assert [(state & 3 == 2).any() for state in states] == [False, False, True]


def test_old_skeletons_are_ranked_as_before(before: Path):
    found = ask("qc.json", "qc", "skeletons/first", "--out", "qc", "--json")
    assert differences(found, answered(before, "qc.json"), rel=1e-6) == []


# Models


@pytest.mark.parametrize(
    ("kind", "out"), [("hrnet", "own_pose"), ("detector", "own_detector")]
)
def test_a_model_directory_gives_the_same_skeletons(own: Path, kind: str, out: str):
    unpack(own / "project" / "runs" / kind / "first")
    option = "--model" if kind == "hrnet" else "--detector"
    model = f"project/runs/{kind}/first"
    code, summary = extract(
        "clips/Frames", "skeletons/now", "--frames", 12, option, model
    )
    assert (code, summary["done"]) == (0, ["Frames/1"])
    assert_same_skeletons(Path("skeletons/now"), Path("skeletons", out), share=0.9)
    code, summary = extract(
        "clips/Frames", f"skeletons/{out}", "--frames", 12, option, model
    )
    assert (code, summary["skipped"]) == (0, ["Frames/1"])


@pytest.mark.parametrize("kind", ["hrnet", "detector"])
def test_a_stopped_finetuning_goes_on(own_project: Path, kind: str):
    run = own_project / "runs" / kind / "stopped"
    unpack(own_project / "runs" / kind)
    shutil.copy(run.with_name("first") / "model.safetensors", run)
    first = rows_of(run / "metrics.csv")
    assert [row["epoch"] for row in first] == ["1"]
    answer = fdpose(f"finetune-{kind}", "--resume", run, "--device", "cpu", "--json")
    assert answer.code == 0
    rows = rows_of(run / "metrics.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {name: rows[0][name] for name in first[0]} == first[0]
    assert math.isfinite(float(rows[1]["loss"]))
    card = json.loads((run / "model.json").read_text(encoding="utf-8"))
    old = json.loads(
        (run.with_name("first") / "model.json").read_text(encoding="utf-8")
    )
    settings = {**old["settings"], "epochs": 2}
    assert {name: card["settings"][name] for name in settings} == settings
    assert card["trained_on"] == old["trained_on"]


def test_a_stopped_training_of_a_score_model_goes_on(own: Path):
    run = own / "models" / "stopped"
    unpack(own / "models")
    shutil.copy(run.with_name("poses") / "model.safetensors", run)
    first = rows_of(run / "metrics.csv")
    assert [row["epoch"] for row in first] == ["1"]
    assert fdpose("train-aqa", "--resume", run, "--device", "cpu", "--json").code == 0
    rows = rows_of(run / "metrics.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {name: rows[0][name] for name in first[0]} == first[0]
    assert (run / "exemplars" / "exemplars.json").is_file()
    assert (run / "model.json").is_file()


def test_a_score_model_is_measured_as_before(before: Path):
    unpack(before / "models" / "poses")
    arguments = (
        "--model",
        "models/poses",
        "--device",
        "cpu",
        "--json",
        "--out",
        "measured",
    )
    found = ask("eval_aqa.json", "eval-aqa", *arguments)
    assert differences(found, answered(before, "eval_aqa.json"), rel=1e-4) == []
    for new, old in zip(
        rows_of(Path("measured/predictions.csv")),
        rows_of(Path("evaluated/predictions.csv")),
        strict=True,
    ):
        assert float(new["predicted"]) == pytest.approx(
            float(old["predicted"]), abs=1e-3
        )
        assert (new["name"], new["score"], new["exemplars"]) == (
            old["name"],
            old["score"],
            old["exemplars"],
        )


def test_a_dive_gets_the_score_it_got_before(before: Path):
    unpack(before / "models" / "pictures")
    found = ask(
        "score.json",
        *("score", "clips/Frames/1", "--dive-number", "407c", "--difficulty", "3.2"),
        *("--skeletons", "skeletons/first", "--model", "models/pictures"),
        *("--device", "cpu", "--json"),
    )
    expected = answered(before, "score.json")
    assert (
        differences(found, expected, rel=1e-4, ignored=frozenset({"parts", "spread"}))
        == []
    )
    assert found["spread"] == pytest.approx(expected["spread"], rel=1e-2)
    parts = [each["parts"] for each in found["exemplars"]]
    assert np.array(parts) == pytest.approx(
        np.array([each["parts"] for each in expected["exemplars"]]), abs=1e-3
    )


# Tables and meets


def test_two_tables_of_scores_are_measured_as_before(before: Path):
    found = ask(
        "eval_files.json",
        *("eval-aqa", "--pred", "scores/predicted.csv", "--true", "scores/true.csv"),
        *("--numbers", "scores/numbers.txt", "--json"),
    )
    assert differences(found, answered(before, "eval_files.json"), rel=1e-6) == []


def test_a_seed_gives_the_meet_it_gave_before(before: Path):
    assert (
        fdpose(
            "synth", "annotated", "--dives", 6, "--seed", 11, "--as", "annotations"
        ).code
        == 0
    )
    expected = answered(before, "synth_digests.json")
    made = digests(Path("annotated"))
    assert {name: made[name] for name in expected} == expected
    assert expected
