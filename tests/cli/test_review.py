"""``fdpose review list|accept|return|log``: exit codes, what is answered and what is
said."""

from __future__ import annotations

import json

import pytest
from helpers import made_divers, made_labels
from helpers.made_review import make_project

from finediving_pose.annotation import review_log, review_server
from finediving_pose.cli.main import run

FIRST, SECOND, THIRD = (f"Meet/1/0000{number}.jpg" for number in range(3))


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_project(tmp_path)


def review(*arguments):
    return run(["review", *arguments])


def decided(folder):
    return [
        (entry.who, entry.action, entry.image)
        for entry in review_log.read_decisions(folder / "labels/review.jsonl")
    ]


def test_list(images, capfd):
    assert review("list") == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == f"labelled     {FIRST}  (anna, ben)"
    assert lines[1] == f"labelled     {SECOND}  (anna)"
    assert review("accept", SECOND, "--reviewer", "carl") == 0
    capfd.readouterr()
    assert review("list", "--state", "waiting") == 0
    captured = capfd.readouterr()
    assert SECOND not in captured.out
    assert captured.err.endswith("3 images\n")
    assert review("list", "--state", "reviewed", "--json") == 0
    rows = json.loads(capfd.readouterr().out)
    assert [(row["image"], row["kind"], row["decision"]["who"]) for row in rows] == [
        (SECOND, "reviewed", "carl")
    ]


def test_list_of_what_is_assigned(tmp_path, images, capfd):
    queue = {"person": "carl", "label": [], "review": [THIRD], "review_shared": []}
    (tmp_path / "labels/queues").mkdir()
    (tmp_path / "labels/queues/carl.json").write_text(json.dumps(queue))
    assert review("list", "--reviewer", "carl") == 0
    assert capfd.readouterr().out == f"labelled     {THIRD}  (anna)\n"
    assert review("list", "--reviewer", "dora") == 0
    assert capfd.readouterr().out == ""


def test_words_of_a_comment_stay_on_one_line(images, capfd):
    assert (
        review(
            "return",
            SECOND,
            "--reviewer",
            "carl",
            "--comment",
            'left "knee"\x1b[2J\nmore 跳水',
        )
        == 0
    )
    assert review("list", "--state", "returned") == 0
    assert review("log") == 0
    out = capfd.readouterr().out
    assert out.count('"left \\"knee\\"\\u001b[2J\\nmore 跳水"') == 3
    assert len(out.splitlines()) == 3


def test_accept_goes_on_after_what_is_refused(tmp_path, images, capfd):
    assert (
        review(
            "accept",
            FIRST,
            SECOND,
            f"frames/{THIRD}",
            "--reviewer",
            "carl",
        )
        == 1
    )
    captured = capfd.readouterr()
    assert decided(tmp_path) == [("carl", "accept", SECOND), ("carl", "accept", THIRD)]
    assert [line.split("  ")[3] for line in captured.out.splitlines()] == [
        SECOND,
        THIRD,
    ]
    assert (
        f"{FIRST}: 2 annotators labelled it; --label says which: anna/Meet__1/00000.json, ben/"
        in captured.err
    )
    assert (
        review(
            "accept", FIRST, "--reviewer", "carl", "--label", "ben/Meet__1/00000.json"
        )
        == 0
    )
    assert "ben/Meet__1/00000.json" in capfd.readouterr().out


def test_a_wrong_name_is_wrong_use_and_nothing_is_decided(tmp_path, images, capfd):
    assert review("accept", SECOND, "Meet/1/9.jpg", "--reviewer", "carl") == 2
    err = capfd.readouterr().err
    assert "'Meet/1/9.jpg' is no image of frames/manifest.csv" in err
    assert "did you mean Meet/1/0000" in err
    assert "fdpose review list" in err
    assert decided(tmp_path) == []


def test_a_models_guess_wants_confirm(tmp_path, images, capfd):
    made_labels.annotate(
        tmp_path, "anna", images[1], made_labels.label_of(images[1], unconfirmed=True)
    )
    assert review("accept", SECOND, "--reviewer", "carl") == 1
    err = capfd.readouterr().err
    assert "look at every joint, then confirm it" in err
    assert "fdpose annotate NAME" in err
    assert "--confirm" in err
    assert review("accept", SECOND, "--reviewer", "carl", "--confirm") == 0
    assert "revisions/Meet__1/00001.1.json" in capfd.readouterr().out


def test_return_and_log(tmp_path, images, capfd):
    assert review("return", SECOND, "--reviewer", "carl") == 2
    assert "say what is to be changed with --comment TEXT" in capfd.readouterr().err
    assert review("return", SECOND, "--reviewer", "carl", "--comment", "sides") == 0
    assert review("accept", THIRD, "--reviewer", "dora") == 0
    capfd.readouterr()
    assert review("log", SECOND) == 0
    line = capfd.readouterr().out
    assert line.endswith(
        f'  carl  return  {SECOND}  anna/Meet__1/00001.json  "sides"\n'
    )
    assert review("log", "--json") == 0
    assert [entry["image"] for entry in json.loads(capfd.readouterr().out)] == [
        SECOND,
        THIRD,
    ]
    assert review("log", "Meet/9/00000.jpg") == 2


def test_who_reviews(tmp_path, images, capfd):
    assert review("accept", SECOND) == 2
    assert "who reviews? --reviewer NAME (known: carl, dora)" in capfd.readouterr().err
    assert review("accept", SECOND, "--reviewer", "karl") == 2
    assert (
        "'karl' is no reviewer of this project (did you mean carl?)"
        in capfd.readouterr().err
    )
    assert review("--reviewer", "../x", "--no-browser") == 2
    assert "'../x' is no reviewer of this project" in capfd.readouterr().err
    assert decided(tmp_path) == []


def test_the_only_reviewer_need_not_be_named(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path, reviewers=["carl"])
    assert review("accept", SECOND) == 0
    assert decided(tmp_path) == [("carl", "accept", SECOND)]


def test_wrong_use(tmp_path, images, monkeypatch, capfd):
    assert review("list", "--state", "waitin") == 2
    assert "--state waitin (did you mean waiting?)" in capfd.readouterr().err
    assert (
        review(
            "accept",
            FIRST,
            SECOND,
            "--reviewer",
            "carl",
            "--label",
            "anna/Meet__1/00000.json",
        )
        == 2
    )
    assert "--label is one image's, found 2 images" in capfd.readouterr().err
    assert review("accept") == 2
    with review_server.listen(0) as other:
        port = other.getsockname()[1]
        assert review("--port", str(port), "--no-browser") == 2
    assert f"port {port} of 127.0.0.1 is not free" in capfd.readouterr().err
    (tmp_path / "frames/manifest.csv").unlink()
    assert review("--port", "0", "--no-browser") == 3
    assert "`fdpose frames` writes it" in capfd.readouterr().err
    monkeypatch.chdir(tmp_path.parent)
    assert review("list") == 2
    assert "no fdpose.yaml here or above" in capfd.readouterr().err


def test_a_missing_joint_is_said_once(tmp_path, images, capfd):
    frame = made_divers.without(made_labels.label_of(images[1]), 2)
    made_labels.annotate(tmp_path, "anna", images[1], frame)
    assert review("accept", SECOND, "--reviewer", "carl") == 1
    err = capfd.readouterr().err
    assert "anna/Meet__1/00001.json: right_hip is not labelled. Correct it" in err
