"""What is handed to an annotator, how LabelMe is started, and the real LabelMe on one
of our files."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from helpers import made_labels

from finediving_pose.datasets import labelme
from finediving_pose.datasets.frame_manifest import ManifestFrame
from finediving_pose.errors import DataError, EnvironmentUnfit, UsageError
from finediving_pose.skeleton import COLOURS, NUM_JOINTS
from finediving_pose.workflows.annotate import (
    build_labelme_command,
    build_labelme_config,
    find_labelme,
    plan_work,
    run_labelme_session,
)
from finediving_pose.workflows.project import init_project

HANDBOOK = Path(__file__).resolve().parents[2] / "annotations"


def make_project(
    root: Path, people: Sequence[str] = ("anna",), dives: int = 2
) -> list[ManifestFrame]:
    init_project(root, people)
    return made_labels.make_frames(
        root, [("Meet", str(dive + 1)) for dive in range(dives)], count=3
    )


def false_labelme(folder: Path, says: str = "Labelme 6.3.1", code: int = 0) -> Path:
    """A program that answers as LabelMe does and writes down how it was called."""
    program = folder / "labelme"
    program.write_text(
        f"#!{sys.executable}\nimport sys\n"
        f"if sys.argv[1:] == ['--version']:\n    print({says!r})\n    sys.exit(0)\n"
        f"open({str(folder / 'calls')!r}, 'a').write(repr(sys.argv[1:]) + '\\n')\nsys.exit({code})\n"
    )
    program.chmod(0o755)
    return program


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")


def test_the_queue_tells_what_each_picture_lacks(tmp_path: Path) -> None:
    images = make_project(tmp_path, dives=1)
    made_labels.annotate(tmp_path, "anna", images[0])
    made_labels.annotate(
        tmp_path, "anna", images[1], made_labels.label_of(images[1], unconfirmed=True)
    )
    made_labels.annotate(tmp_path, "anna", images[2]).write_text('{"shapes": [')
    work = plan_work("anna", start=tmp_path)
    assert [task.need for task in work.sessions[0].tasks] == [
        "done",
        "unconfirmed",
        "unreadable",
    ]
    assert work.counts == {
        "returned": 0,
        "unreadable": 1,
        "unlabelled": 0,
        "unconfirmed": 1,
        "done": 1,
    }
    assert [task.need for task in work.sessions[0].to_do] == [
        "unreadable",
        "unconfirmed",
    ]
    assert work.sessions[0].labels == tmp_path / "labels/anna/Meet__1"
    assert (tmp_path / "labels/queues/anna.json").is_file()


def test_a_returned_picture_comes_first_with_its_comment(tmp_path: Path) -> None:
    images = make_project(tmp_path, ("anna", "ben"), dives=4)
    mine = [
        task.image
        for session in plan_work("anna", start=tmp_path).sessions
        for task in session.tasks
    ]
    last = mine[-1]
    for image in images:
        made_labels.annotate(tmp_path, "anna" if image in mine else "ben", image)
    made_labels.make_desk(tmp_path, images).give_back(
        "ben", last.image, "the left knee"
    )
    work = plan_work("anna", start=tmp_path)
    assert [session.dive for session in work.sessions] == [
        last.image.rpartition("/")[0]
    ]
    (task,) = work.sessions[0].to_do
    assert (task.image, task.need, task.comment, task.reviewer) == (
        last,
        "returned",
        "the left knee",
        "ben",
    )
    assert work.as_dict()["counts"]["returned"] == 1


def test_an_image_that_was_reviewed_needs_no_second_label(tmp_path: Path) -> None:
    images = make_project(tmp_path, ("anna", "ben"), dives=1)
    plan_work("anna", start=tmp_path)
    made_labels.annotate(tmp_path, "anna", images[0])
    desk = made_labels.make_desk(tmp_path, images)
    desk.accept("ben", images[0].image, f"anna/{images[0].label_name}")
    needs = {
        task.image.image: task.need
        for session in plan_work("ben", start=tmp_path).sessions
        for task in session.tasks
    }
    assert needs[images[0].image] == "done"


def test_finished_dives_are_shown_when_asked_for(tmp_path: Path) -> None:
    for image in make_project(tmp_path, dives=1):
        made_labels.annotate(tmp_path, "anna", image)
    assert plan_work("anna", start=tmp_path).sessions == ()
    assert len(plan_work("anna", every=True, start=tmp_path).sessions) == 1


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    make_project(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert len(plan_work("anna", dry_run=True, start=tmp_path).sessions) == 2
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["../../x", "Anna", "", "queues", "<script>"])
def test_unknown_names_are_refused_with_the_known_ones(
    name: str, tmp_path: Path
) -> None:
    make_project(tmp_path)
    with pytest.raises(UsageError, match=r"no annotator of this project.*anna"):
        plan_work(name, start=tmp_path)
    assert not (tmp_path / "labels/queues").exists()


def test_without_pictures_the_next_command_is_named(tmp_path: Path) -> None:
    init_project(tmp_path, ["anna"])
    with pytest.raises(DataError, match=r"fdpose frames"):
        plan_work("anna", start=tmp_path)


def test_the_labels_are_the_handbooks(tmp_path: Path) -> None:
    make_project(tmp_path, dives=1)
    config = build_labelme_config(plan_work("anna", start=tmp_path).sessions[0])
    assert config["labels"] == (HANDBOOK / "labels.txt").read_text().split()
    (flags,) = config["label_flags"].values()
    assert json.loads((HANDBOOK / "label_flags.json").read_text()) == {".*": flags}
    assert [
        tuple(config["label_colors"][str(joint)]) for joint in range(NUM_JOINTS)
    ] == list(COLOURS)


def test_the_file_list_shows_the_queue_alone(tmp_path: Path) -> None:
    make_project(tmp_path, dives=1)
    search = re.compile(
        build_labelme_config(plan_work("anna", start=tmp_path).sessions[0])[
            "file_search"
        ]
    )
    assert search.search("/p/Meet/1/00001.jpg")
    assert search.search("C:\\p\\Meet\\1\\00001.jpg")
    assert search.search("00001.jpg")
    assert not search.search("/p/Meet/1/100001.jpg")
    assert not search.search("/p/Meet/1/00007.jpg")


@pytest.mark.usefixtures("screen")
def test_labelme_is_started_on_one_dive_after_the_other(tmp_path: Path) -> None:
    images = make_project(tmp_path)
    made_labels.annotate(tmp_path, "anna", images[0])
    asked = []
    work = plan_work("anna", start=tmp_path)

    def go_on(session: object) -> bool:
        asked.append(session)
        return True

    assert (
        run_labelme_session(work, false_labelme(tmp_path), lambda session: None, go_on)
        == 2
    )
    first, second = (tmp_path / "calls").read_text().splitlines()
    dives = {session.dive: session for session in work.sessions}
    assert asked == [work.sessions[1]]
    for call, session in zip((first, second), dives.values(), strict=True):
        assert str(session.images / Path(session.to_do[0].image.image).name) in call
        assert str(tmp_path / "labels/anna" / session.dive.replace("/", "__")) in call


@pytest.mark.usefixtures("screen")
def test_one_may_stop_after_a_dive(tmp_path: Path) -> None:
    make_project(tmp_path)
    program = false_labelme(tmp_path)
    assert (
        run_labelme_session(
            plan_work("anna", start=tmp_path),
            program,
            lambda session: None,
            lambda session: False,
        )
        == 1
    )


@pytest.mark.usefixtures("screen")
def test_a_labelme_that_fails_is_told(tmp_path: Path) -> None:
    make_project(tmp_path)
    work = plan_work("anna", start=tmp_path)
    with pytest.raises(EnvironmentUnfit, match=r"ended with code 3"):
        run_labelme_session(
            work,
            false_labelme(tmp_path, code=3),
            lambda session: None,
            lambda session: True,
        )


@pytest.mark.usefixtures("screen")
def test_labels_beside_the_pictures_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make_project(tmp_path)
    work = plan_work("anna", start=tmp_path)
    (work.sessions[0].images / "00000.json").write_text("{}")
    run_labelme_session(
        work, false_labelme(tmp_path), lambda session: None, lambda session: False
    )
    assert "00000.json" in caplog.text


@pytest.mark.usefixtures("screen")
def test_an_old_labelme_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentUnfit, match=r"LabelMe 5\.1, expected 6"):
        find_labelme("anna", false_labelme(tmp_path, "labelme 5.1.1"))


def test_without_labelme_it_is_said_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(
        EnvironmentUnfit,
        match=r"(?s)pip install.*labelme>=6\.3.*fdpose annotate anna --labelme",
    ):
        find_labelme("anna")
    with pytest.raises(EnvironmentUnfit, match=r"--labelme .*nothere: no such program"):
        find_labelme("anna", tmp_path / "nothere")


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="elsewhere there is always a screen"
)
def test_without_a_screen_it_is_said_where_to_annotate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(key, raising=False)
    with pytest.raises(EnvironmentUnfit, match=r"needs a screen"):
        find_labelme("anna", false_labelme(tmp_path))


DRIVER = """
import json, sys
import labelme.__main__ as program

answer, command = sys.argv[1], json.loads(sys.argv[2])
sys.argv[1:] = command
later = program.QtCore.QTimer.singleShot
show = program.MainWindow.show

def shown(window):
    show(window)
    later(800, lambda: clear_the_flag(window))

def clear_the_flag(window):
    flags = window._docks.flag_list
    item = flags.item(0)
    state = type(item.checkState())
    said = {
        "picture": str(window._image_path),
        "list": [str(path) for path in window.image_list],
        "flags": {flags.item(i).text(): flags.item(i).checkState() == state(2) for i in range(flags.count())},
    }
    with open(answer, "w") as file:
        json.dump(said, file)
    item.setCheckState(state(0))
    later(1500, window.close)

program.MainWindow.show = shown
program.main()
"""


def labelme_python() -> str:
    """The interpreter that has LabelMe: this one, or the one named by
    FDPOSE_LABELME_PYTHON."""
    other = os.environ.get("FDPOSE_LABELME_PYTHON")
    if other:
        return other
    if find_spec("labelme") is None:
        pytest.skip(
            "LabelMe is not installed (extra `labelme`; or FDPOSE_LABELME_PYTHON names an interpreter with it)"
        )
    return sys.executable


def test_the_real_labelme_saves_where_we_expect_it(tmp_path: Path) -> None:
    """Somebody looks at a model's guess and clears the flag: LabelMe saves by itself."""
    python, root = labelme_python(), tmp_path / "a project"
    images = make_project(root, dives=1)
    for image in images:
        made_labels.annotate(
            root,
            "anna",
            image,
            made_labels.label_of(image, unconfirmed=image.frame == 1),
        )
    path = root / "labels/anna" / images[1].label_name
    before = labelme.read(path).frames[0]
    (root / "frames/Meet/1/00099.jpg").write_bytes(
        (root / "frames" / images[0].image).read_bytes()
    )  # nobody's
    (session,) = plan_work("anna", start=root).sessions
    (tmp_path / "driver.py").write_text(DRIVER)
    command = build_labelme_command(Path("labelme"), session)[1:]
    run = subprocess.run(
        [
            python,
            str(tmp_path / "driver.py"),
            str(tmp_path / "said.json"),
            json.dumps(command),
        ],
        env={
            **os.environ,
            "QT_QPA_PLATFORM": "offscreen",
            "HOME": str(tmp_path),
            "XDG_CONFIG_HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (tmp_path / "said.json").is_file(), run.stderr[-2000:]
    said = json.loads((tmp_path / "said.json").read_text())
    assert [Path(name).name for name in said["list"]] == [
        "00000.jpg",
        "00001.jpg",
        "00002.jpg",
    ]
    assert Path(said["picture"]).name == "00001.jpg"
    assert said["flags"] == {"unconfirmed": True}
    files = sorted(
        file.relative_to(root / "labels/anna").as_posix()
        for file in (root / "labels/anna").rglob("*.json")
    )
    assert files == [image.label_name for image in images]
    after = labelme.read(path).frames[0]
    assert not after.unconfirmed
    np.testing.assert_allclose(after.keypoints, before.keypoints)
    assert Path(
        after.source.parent, json.loads(path.read_text())["imagePath"]
    ).resolve() == ((root / "frames" / images[1].image).resolve())
    assert plan_work("anna", start=root).sessions == ()
