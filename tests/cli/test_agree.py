"""``fdpose agree``: annotators of a project and label files, the answer in text and
JSON, the page, odd names."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import made_divers
from helpers.made_labels import annotate, label_of, make_frames

from finediving_pose.cli.main import run
from finediving_pose.skeleton import FLIP_PAIRS, INDEX
from finediving_pose.workflows.project import init_project

COUNT, SWAPPED, SLIPPED = 30, 12, 5
FIRST, SECOND = "anna o'b <i> 李".replace("<i>", "&i;"), "ben"


def swapped_legs(frame):
    keypoints = frame.keypoints.copy()
    for pair in FLIP_PAIRS[:3]:
        keypoints[list(pair)] = keypoints[list(pair)[::-1]]
    return replace(frame, keypoints=keypoints)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Two annotators who scatter by a pixel; one has swapped the legs once, and
    slipped once."""
    monkeypatch.chdir(tmp_path)
    init_project(tmp_path, [FIRST, SECOND, "cleo"])
    images = make_frames(tmp_path, (("Meet <b>", "1"),), count=COUNT)
    rng = np.random.default_rng(0)
    for image in images:
        truth = label_of(image)
        one, two = (
            replace(truth, keypoints=truth.keypoints + rng.normal(0, 0.7, (16, 2)))
            for _ in range(2)
        )
        if image.frame == SWAPPED:
            two = swapped_legs(two)
        if image.frame == SLIPPED:
            two = made_divers.slipped(two, INDEX["left_wrist"], (0.0, -25.0))
        annotate(tmp_path, FIRST, image, one)
        if image.frame:  # the first image was labelled by one alone
            annotate(tmp_path, SECOND, image, two)
    return tmp_path, images


def test_json_says_everything(project, capsys):
    root, images = project
    assert run(["agree", FIRST, SECOND, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["a"], answer["b"]) == (FIRST, SECOND)
    assert answer["overall"]["images"] == COUNT - 1
    assert answer["only_a"] == [images[0].image]
    assert answer["exchanges"] == [
        {"image": images[SWAPPED].image, "sides": "the legs"}
    ]
    assert answer["images"][0]["image"] in {
        images[SWAPPED].image,
        images[SLIPPED].image,
    }
    assert answer["overall"]["px"]["median"] == pytest.approx(1.2, abs=0.2)
    assert (
        answer["joints"][INDEX["left_wrist"]]["px"]["mean"]
        > answer["joints"][INDEX["head_top"]]["px"]["mean"]
    )
    assert [group["name"] for group in answer["stages"]] == ["flight"]
    assert {group["name"] for group in answer["body_angles"]} == {
        "upright",
        "tilted",
        "inverted",
    }
    assert answer["tolerances"][INDEX["left_wrist"]]["slips"] == 1
    assert 0 < answer["exchanged_share"] < 1
    assert answer["page"] == str(root / "reports/agreement.html")


def test_the_answer_in_text_and_the_page(project, capsys):
    root, images = project
    assert run(["agree", FIRST, SECOND, "--worst", "3"]) == 0
    out = capsys.readouterr().out
    assert (
        f"      29  images that both labelled\n       1  images of {FIRST} alone\n"
        in out
    )
    assert (
        f"left and right swapped in 1 image\n  {images[SWAPPED].image}: the legs\n"
        in out
    )
    assert "right ankle" in out
    html = (root / "reports/agreement.html").read_text(encoding="utf-8")
    assert html.count("data:image/jpeg") == 3
    assert "&amp;i;" in html
    assert "Meet %3Cb%3E" in html
    assert "By stage" in html


def test_the_page_goes_where_it_is_wanted(project):
    root, _ = project
    assert run(["agree", FIRST, SECOND, "--worst", "0", "--out", "odd/page.html"]) == 0
    assert "data:image/jpeg" not in (root / "odd/page.html").read_text(encoding="utf-8")
    assert not (root / "reports").exists()


def test_labels_do_not_change(project):
    root, _ = project
    files = {
        path: path.read_bytes()
        for path in (root / "labels").rglob("*")
        if path.is_file()
    }
    run(["agree", FIRST, SECOND])
    assert files == {
        path: path.read_bytes()
        for path in (root / "labels").rglob("*")
        if path.is_file()
    }


def test_files_and_folders_of_any_format_outside_a_project(
    project, tmp_path_factory, monkeypatch, capsys
):
    root, _ = project
    assert (
        run(
            [
                "convert",
                f"labels/{SECOND}",
                "--to",
                "coco",
                "--out",
                "two.json",
                "--images",
                "frames",
            ]
        )
        == 0
    )
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(root / "labels" / FIRST, elsewhere / "one")
    shutil.copy(root / "two.json", elsewhere)
    monkeypatch.chdir(elsewhere)
    capsys.readouterr()
    assert (
        run(["agree", "one", "two.json", "--images", str(root / "frames"), "--json"])
        == 0
    )
    answer = json.loads(capsys.readouterr().out)
    assert answer["overall"]["images"] == COUNT - 1
    assert answer["stages"] == []
    assert "data:image/jpeg" in (elsewhere / "reports/agreement.html").read_text(
        encoding="utf-8"
    )


def test_without_images_the_page_says_so(project, capsys):
    root, _ = project
    shutil.rmtree(root / "frames" / "Meet %3Cb%3E")
    assert run(["agree", FIRST, SECOND]) == 0
    html = (root / "reports/agreement.html").read_text(encoding="utf-8")
    assert "data:image/jpeg" not in html
    assert "their files are not there" in html


def test_faults_and_guesses_are_told(project, capsys):
    root, images = project
    (root / "labels" / SECOND / images[3].label_name).write_text('{"shapes": [')
    annotate(root, SECOND, images[4], label_of(images[4], unconfirmed=True))
    assert run(["agree", FIRST, SECOND]) == 0
    out = capsys.readouterr().out
    assert "note: ben: 1 fault in the labels; `fdpose validate` lists them" in out
    assert "note: ben: 1 label is a model's guess that nobody has confirmed" in out


@pytest.mark.parametrize(
    ("names", "code", "message"),
    [
        (["anna", "ben"], 2, "anna: no annotator of the project here"),
        (["ben", "ben"], 2, "name two annotators"),
        (["ben", "labels/ben"], 2, "name two annotators"),
        (["ben", "final"], 2, "`fdpose merge` writes it"),
        (["cleo", "ben"], 3, "no LabelMe JSON"),
        (["ben", "frames/manifest.csv"], 3, "manifest.csv"),
    ],
)
def test_labels_that_are_not_there(project, names, code, message, capsys):
    assert run(["agree", *names]) == code
    assert message in capsys.readouterr().err


def test_nothing_in_common_is_an_error(project, capsys):
    root, images = project
    annotate(root, "cleo", images[0])
    assert run(["agree", "cleo", SECOND]) == 3
    err = capsys.readouterr().err
    assert (
        f"no image in common: cleo has 1, the first is {images[0].image}; ben has 29"
        in err
    )
    assert not (root / "reports").exists()


def test_a_picture_that_cannot_be_read_stops_nothing(project, capsys):
    root, images = project
    for image in images:
        (root / "frames" / image.image).write_bytes(b"no picture")
    code = run(["agree", FIRST, SECOND])
    assert code == 3  # every label's picture is damaged: nothing is left to compare
    assert "no image in common" in capsys.readouterr().err


@pytest.mark.parametrize("command", [("agree", "anna", "ben"), ("qc",)])
def test_outside_a_project_that_is_said(
    command: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(list(command)) == 2
    assert "you are in no project (no fdpose.yaml here or above)" in " ".join(
        capfd.readouterr().err.split()
    )
