"""``fdpose validate`` of labels: what it says, exit codes, JSON, odd names, and
revisions that swap sides."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from helpers import made_divers
from helpers.label_samples import box_shape, labelme_file, point_shape
from helpers.made_labels import annotate, label_of, make_desk, make_frames
from PIL import Image

from finediving_pose.annotation.label_swaps import swap_sides
from finediving_pose.cli.main import run
from finediving_pose.workflows.project import init_project

FRAMES, WRONG = 24, 11
"""How many frames the dive has, and which of them gets a fault."""


def make_project(root, people=("anna",), dives=(("Meet", "1"),)):
    """A project whose people have labelled every frame without a fault."""
    init_project(root, ["anna", "ben"])
    images = make_frames(root, dives, FRAMES)
    for person in people:
        for image in images:
            annotate(root, person, image)
    return images


@pytest.fixture
def images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_project(tmp_path)


def spoil(root, image, person="anna", frame=None):
    """Mirror the label of an image."""
    return annotate(root, person, image, frame or swap_sides(label_of(image)))


def validated(capfd, *arguments):
    """The exit code and what was answered."""
    code = run(["validate", *arguments])
    return code, capfd.readouterr().out


def answered(capfd, *arguments):
    code, out = validated(capfd, "--json", *arguments)
    return code, json.loads(out)


def bytes_below(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_nothing_found(images, capfd):
    code, out = validated(capfd)
    assert code == 0
    assert out == f"nothing found in {FRAMES} frames ({FRAMES} of anna)\n"


def test_a_mirrored_skeleton_and_a_missing_joint(tmp_path, images, capfd):
    spoil(tmp_path, images[WRONG])
    annotate(tmp_path, "ben", images[3], made_divers.without(label_of(images[3]), 4))
    code, out = validated(capfd)
    assert code == 3
    assert f"25 frames checked: {FRAMES} of anna, 1 of ben\n" in out
    assert (
        "\nmirrored, left and right of the whole body swapped: 1 error of anna\n" in out
    )
    assert (
        "\n  error: labels/anna/Meet__1/00011.json: left and right of the whole body look swapped;"
        in out
    )
    assert "→ swap left and right (--fix swap-sides)\n" in out
    assert "\nmissing-joint, a joint that is not labelled: 1 error of ben\n" in out
    assert "\n  error: labels/ben/Meet__1/00003.json: left_knee: not labelled" in out
    assert out.index("missing-joint") < out.index("mirrored")
    assert out.endswith("\nin all: 2 errors\n")


def test_missing_joints_of_a_file_are_one_line(tmp_path, images, capfd):
    frame = made_divers.without(made_divers.without(label_of(images[3]), 2), 4)
    annotate(tmp_path, "ben", images[3], frame)
    code, out = validated(capfd)
    assert code == 3
    assert (
        "  error: labels/ben/Meet__1/00003.json: right_hip, left_knee: not labelled → "
        in out
    )
    assert out.endswith("in all: 2 errors\n")


def test_json_has_everything(tmp_path, images, capfd):
    spoil(tmp_path, images[WRONG])
    code, answer = answered(capfd)
    assert code == 3
    assert answer["frames"] == FRAMES
    assert answer["checked"] == [{"who": "anna", "files": FRAMES, "frames": FRAMES}]
    assert answer["counts"] == {"mirrored": {"anna": {"error": 1, "warning": 0}}}
    (finding,) = answer["findings"]
    assert finding["file"] == "labels/anna/Meet__1/00011.json"
    assert finding["image"] == images[WRONG].image
    assert (finding["who"], finding["suggestion"], finding["replaced"]) == (
        "anna",
        "swap-sides",
        False,
    )
    assert ["right_hip", "left_hip"] in finding["pairs"]


def test_warnings_alone_are_no_failure_unless_strict(tmp_path, images, capfd):
    annotate(tmp_path, "anna", images[2], label_of(images[2], unconfirmed=True))
    code, out = validated(capfd)
    assert (code, "confirmed: 1 warning of anna" in out) == (0, True)
    assert run(["validate", "--strict"]) == 3


def test_a_few_of_each_kind_or_all(tmp_path, images, capfd):
    for image in images:
        annotate(tmp_path, "anna", image, made_divers.without(label_of(image), 9))
    _, few = validated(capfd)
    assert few.count("error: labels/") == 20
    assert "  … and 4 more errors (--all shows them)\n" in few
    assert validated(capfd, "--all")[1].count("error: labels/") == FRAMES


def test_a_half_written_file_stops_no_other(tmp_path, images, capfd):
    spoil(tmp_path, images[WRONG])
    half = tmp_path / "labels" / "anna" / images[5].label_name
    half.write_bytes(half.read_bytes()[:200])
    code, answer = answered(capfd)
    assert code == 3
    assert {finding["kind"] for finding in answer["findings"]} == {
        "unreadable",
        "mirrored",
    }
    assert answer["checked"] == [{"who": "anna", "files": FRAMES, "frames": FRAMES - 1}]


def test_pictures_that_changed_or_are_gone(tmp_path, images, capfd):
    (tmp_path / "frames" / images[1].image).unlink()
    Image.new("RGB", made_divers.SIZE, "red").save(
        tmp_path / "frames" / images[2].image
    )
    Image.new("RGB", (20_000, 20_000)).save(
        tmp_path / "frames" / images[3].image, quality=1
    )
    _, answer = answered(capfd)
    found = {(finding["kind"], finding["file"]) for finding in answer["findings"]}
    assert found == {
        ("image-missing", "labels/anna/Meet__1/00001.json"),
        ("image-changed", "labels/anna/Meet__1/00002.json"),
        ("image-size", "labels/anna/Meet__1/00003.json"),
    }


def test_without_any_picture_it_says_so_once(tmp_path, images, capfd):
    for image in images:
        (tmp_path / "frames" / image.image).unlink()
    code, out = validated(capfd)
    assert code == 0
    assert out.startswith(
        "note: no image is there in frames: labels were not compared with images\n"
    )


def test_without_a_manifest_it_says_so(tmp_path, images, capfd):
    (tmp_path / "frames" / "manifest.csv").unlink()
    code, out = validated(capfd)
    assert code == 0
    assert "note: no frames/manifest.csv: images were not compared" in out
    assert f"nothing found in {FRAMES} frames" in out


def test_a_damaged_manifest_is_an_error_and_labels_are_checked_all_the_same(
    tmp_path, images, capfd
):
    (tmp_path / "frames" / "manifest.csv").write_text("image\n", encoding="utf-8")
    spoil(tmp_path, images[WRONG])
    code, out = validated(capfd)
    assert code == 3
    assert "  error: frames/manifest.csv: lacks the columns match, dive" in out
    assert "swapped: 1 error of anna" in out


def test_a_label_of_another_picture_and_one_of_none(tmp_path, images, capfd):
    path = annotate(tmp_path, "anna", images[4])
    path.write_text(
        path.read_text("utf-8").replace("00004.jpg", "00005.jpg"), encoding="utf-8"
    )
    elsewhere = annotate(tmp_path, "anna", images[6])
    elsewhere.write_text(
        elsewhere.read_text("utf-8").replace(
            "../../../frames/Meet/1", "D:/pictures/anna"
        ),
        encoding="utf-8",
    )
    annotate(tmp_path, "anna", replace(images[0], image="Other/9/00000.jpg"))
    _, answer = answered(capfd)
    found = {
        (finding["kind"], finding["file"]): finding for finding in answer["findings"]
    }
    wrong = found.pop(("other-image", "labels/anna/Meet__1/00004.json"))
    assert (wrong["value"], wrong["expected"], wrong["severity"]) == (
        "00005.jpg",
        "00004.jpg",
        "error",
    )
    stray = found.pop(("other-image", "labels/anna/Other__9/00000.json"))
    assert "nobody will review" in stray["message"]
    assert list(found) == [("image-missing", "labels/anna/Other__9")]


def test_one_file_is_checked_with_its_neighbours(tmp_path, images, capfd):
    path = spoil(tmp_path, images[WRONG])
    spoil(tmp_path, images[3])
    code, answer = answered(capfd, str(path))
    assert code == 3
    assert [finding["file"] for finding in answer["findings"]] == [
        "labels/anna/Meet__1/00011.json"
    ]
    assert answer["checked"] == [{"who": "anna", "files": 1, "frames": 1}]


def test_folders_are_seen_one_by_one(tmp_path, images, capfd):
    annotate(tmp_path, "ben", images[0], made_divers.without(label_of(images[0]), 9))
    assert validated(capfd, "labels/anna")[0] == 0
    assert validated(capfd, "labels/ben")[0] == 3


def test_coordinates_beyond_any_image(tmp_path, capfd, monkeypatch, recwarn):
    monkeypatch.chdir(tmp_path)
    points = [
        point_shape(
            str(joint), 1e308 if joint == 9 else 110 + 5 * joint, 70 + 8 * joint
        )
        for joint in range(16)
    ]
    labelme_file(
        tmp_path / "1.json",
        shapes=[box_shape(), *points],
        image=False,
        imageWidth=None,
        imageHeight=None,
    )
    code, answer = answered(capfd, "1.json")
    assert code == 3
    found = {(finding["kind"], finding["joint"]) for finding in answer["findings"]}
    assert ("outside-image", "head_top") in found
    assert "missing-joint" not in dict(found)
    assert not recwarn.list


def test_odd_names(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("<script>alert(1)</script>", "飛込 🤿", "a'b\"c", "esc\x1b[31m")
    images = make_project(tmp_path, dives=[(name, "1") for name in names[1:2]])
    odd = annotate(
        tmp_path, "anna", images[0], made_divers.without(label_of(images[0]), 9)
    )
    folder = (
        tmp_path
        / "labels"
        / "anna"
        / f"{names[0].replace('/', '')}{names[2]}{names[3]}__2"
    )
    folder.mkdir()
    odd.rename(folder / odd.name)
    code, out = validated(capfd)
    assert code == 3
    assert "<script>" in out
    assert "\\x1b[31m" in out
    assert "\x1b" not in out
    _, answer = answered(capfd)
    assert names[3] in answer["findings"][0]["file"]


def test_outside_a_project(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labelme_file(tmp_path / "a" / "1.json")
    code, out = validated(capfd, "a")
    assert "1 of a" in out
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.json").write_text("{", encoding="utf-8")
    code, out = validated(capfd, "a", "b", "b/1.json")
    assert code == 3
    assert "1 of a, 0 of b" in out
    assert "error: b/1.json: no complete JSON" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "what is to be validated? No fdpose.yaml here or above"),
        (["nowhere"], "nowhere: no such file or folder"),
        (["a", "--images", "nowhere"], "nowhere: no such folder"),
        (
            ["a", "--fix", "swap-sides"],
            "--fix writes revisions into the labels/ of a project, and these labels lie in",
        ),
        (["a", "--dry-run"], "--dry-run means something only with --fix"),
        (
            ["a", "--finediving", "a"],
            "LABELS means something only without --finediving",
        ),
        (["a", "--floors"], "--floors means something only with --finediving"),
        (["a", "--fix", "everything"], "swap-sides"),
    ],
)
def test_wrong_use(tmp_path, capfd, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    labelme_file(tmp_path / "a" / "1.json")
    assert run(["validate", *arguments]) == 2
    assert said in capfd.readouterr().err


def test_a_project_without_labels(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)
    init_project(tmp_path, ["anna"])
    assert run(["validate"]) == 2
    assert "labels: no labels here yet" in capfd.readouterr().err


def test_a_fix_is_a_new_revision_that_waits_for_review(tmp_path, images, capfd):
    spoil(tmp_path, images[WRONG])
    before = bytes_below(tmp_path)
    code, out = validated(capfd, "--fix", "swap-sides", "--dry-run")
    assert "sides swapped in 1 new revision, would be written" in out
    assert bytes_below(tmp_path) == before

    code, out = validated(capfd, "--fix", "swap-sides")
    assert code == 3
    assert (
        "  labels/anna/Meet__1/00011.json → labels/revisions/Meet__1/00011.1.json: the whole body\n"
        in out
    )
    assert {
        path: content
        for path, content in bytes_below(tmp_path).items()
        if path in before
    } == before
    item = make_desk(tmp_path, images).read_item(images[WRONG].image)
    assert item.state.kind == "labelled"
    assert item.newest.origin["by"] == "fdpose validate"
    assert list(item.newest.origin["based_on"]) == ["anna/Meet__1/00011.json"]
    assert item.newest.frame.keypoints == pytest.approx(
        label_of(images[WRONG]).keypoints
    )


def test_what_a_revision_put_right_is_no_fault_any_more(tmp_path, images, capfd):
    spoil(tmp_path, images[WRONG])
    run(["validate", "--fix", "swap-sides"])
    capfd.readouterr()
    code, out = validated(capfd, "--fix", "swap-sides")
    assert code == 0
    assert f"({FRAMES} of anna, 1 of revisions)" in out
    assert "not shown: 1 finding in labels that a revision has replaced" in out
    assert "nothing to fix" in out


def test_a_revision_is_checked_among_the_labels_beside_it(tmp_path, images, capfd):
    desk = make_desk(tmp_path, images)
    item = desk.read_item(images[WRONG].image)
    desk.revise(
        images[WRONG].image, swap_sides(item.newest.frame), "ben", item.seen, {}
    )
    code, answer = answered(capfd)
    assert code == 3
    assert [finding["file"] for finding in answer["findings"]] == [
        "labels/revisions/Meet__1/00011.1.json"
    ]


def test_what_somebody_decided_on_is_left(tmp_path, images, capfd):
    desk = make_desk(tmp_path, images)
    for image, decide in ((images[5], desk.accept), (images[15], desk.give_back)):
        spoil(tmp_path, image)
        label = f"anna/{image.label_name}"
        decide(
            "ben",
            image.image,
            **(
                {"label": label}
                if decide == desk.accept
                else {"comment": "look at the sides"}
            ),
        )
    _, answer = answered(capfd, "--fix", "swap-sides")
    left = {fix["image"]: fix["left"] for fix in answer["fixes"]}
    assert left == {
        images[5].image: "it is reviewed already",
        images[15].image: "it was returned to its annotator",
    }
    assert not (tmp_path / "labels" / "revisions").exists()


def test_of_two_labels_the_wrong_one_does_not_replace_the_right_one(
    tmp_path, images, capfd
):
    for image in images:
        annotate(tmp_path, "ben", image)
    spoil(tmp_path, images[5], "ben")
    for person in ("anna", "ben"):
        spoil(tmp_path, images[15], person)
    _, out = validated(capfd, "--fix", "swap-sides")
    assert (
        "labels/ben/Meet__1/00005.json: the same is not found in labels/anna/Meet__1/00005.json; the rev"
        in out
    )
    assert (
        "labels/anna/Meet__1/00015.json → labels/revisions/Meet__1/00015.1.json" in out
    )
    assert not (tmp_path / "labels" / "revisions" / "Meet__1" / "00005.1.json").exists()


def test_final_labels_are_checked_too(tmp_path, images, capfd):
    annotate(tmp_path, "final", images[0], made_divers.without(label_of(images[0]), 9))
    code, out = validated(capfd)
    assert code == 3
    assert "labelled: 1 error of final\n" in out


def test_many_fixes_are_shown_in_part(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    images = make_project(tmp_path, dives=[("Meet", str(dive)) for dive in range(11)])
    for image in images:
        if image.frame in {7, 15}:
            spoil(tmp_path, image)
    _, few = validated(capfd, "--fix", "swap-sides", "--dry-run")
    assert "sides swapped in 22 new revisions, would be written" in few
    assert "  … and 2 more (--all shows them)\n" in few
    _, every = validated(capfd, "--fix", "swap-sides", "--dry-run", "--all")
    assert every.count(": the whole body\n") == 22
