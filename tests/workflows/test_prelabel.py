"""Guesses of a model as label files: marked, where nobody has labelled, and never over
anything."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from helpers.moving_blobs import (
    SIZE,
    BlobDetector,
    BoxEstimator,
    blob_box,
    draw,
    joints_in,
)
from helpers.tiny_models import drawn_images

from finediving_pose.annotation.label_store import LabelStore
from finediving_pose.cli import prelabel as prelabel_cli
from finediving_pose.datasets import labelme
from finediving_pose.datasets.frame_manifest import (
    ManifestFrame,
    image_key,
    write_frame_manifest,
)
from finediving_pose.datasets.pose_files import pose_path, write_pose
from finediving_pose.errors import DataError, UsageError
from finediving_pose.files import sha256_file
from finediving_pose.media import write_jpeg
from finediving_pose.network_interfaces import NetworkOptions
from finediving_pose.records import BoxState, BoxTrack, Detections, SkeletonSequence
from finediving_pose.workflows.assignment import hand_out_images
from finediving_pose.workflows.model_loading import load_detector, load_estimator
from finediving_pose.workflows.prelabel import (
    NetworkGuesser,
    PrelabelSummary,
    SkeletonGuesser,
    prelabel_images,
)
from finediving_pose.workflows.project import SETTINGS_NAME, find_project, init_project

NUMBERS = (0, 3, 6)


def make_project(
    root: Path, people: tuple[str, ...] = ("anna",), dives: int = 1
) -> list[ManifestFrame]:
    """A project with pictures of a falling blob; nothing is to be labelled twice."""
    init_project(root, people)
    settings = root / SETTINGS_NAME
    settings.write_text(
        settings.read_text().replace("double_share: 0.1", "double_share: 0")
    )
    rows = []
    for dive in range(1, dives + 1):
        for number in NUMBERS:
            rows.append(
                write_picture(
                    root,
                    image_key("Meet", str(dive), number),
                    str(dive),
                    number,
                    draw(number),
                )
            )
    write_frame_manifest(root / "frames/manifest.csv", rows)
    return rows


def write_picture(
    root: Path, image: str, dive: str, number: int, pixels: Any
) -> ManifestFrame:
    path = root / "frames" / image
    path.parent.mkdir(parents=True, exist_ok=True)
    write_jpeg(path, pixels)
    size = (pixels.shape[1], pixels.shape[0])
    return ManifestFrame(
        image,
        "Meet",
        dive,
        number,
        "flight",
        *size,
        "v.mp4",
        "0" * 64,
        sha256_file(path),
        "uniform",
    )


def blobs() -> NetworkGuesser:
    return NetworkGuesser(BlobDetector(), BoxEstimator())


def run(root: Path, make: Callable[[], Any] = blobs, **options: Any) -> PrelabelSummary:
    return prelabel_images(make, start=root, **options)


def skeletons(
    root: Path, numbers: tuple[int, ...] = NUMBERS, boxes: bool = True
) -> Path:
    """What extract writes of the first dive: joints inside the blob, the last one
    unsure, the first one unknown."""
    box = np.stack([blob_box(number) for number in numbers]).astype(np.float32)
    keypoints = np.stack([joints_in(one) for one in box]).astype(np.float32)
    keypoints[:, 0] = np.nan
    scores = np.full(keypoints.shape[:2], 0.9, np.float32)
    scores[:, 15] = 0.05
    scores[:, 14] = np.nan  # interpolated
    state = np.full(len(box), BoxState.DETECTED, np.uint8)
    track = BoxTrack(
        box if boxes else np.full_like(box, np.nan),
        np.full(len(box), 0.9, np.float32),
        state,
    )
    joints = np.isfinite(keypoints).all(axis=-1).astype(np.uint8)
    write_pose(
        pose_path(root / "skeletons", "Meet", "1"),
        SkeletonSequence(keypoints, scores, joints, track, np.array(numbers, np.int64)),
    )
    return root / "skeletons"


def test_guesses_are_marked_and_lie_where_the_annotator_saves(tmp_path: Path) -> None:
    images = make_project(tmp_path)
    summary = run(tmp_path)
    assert summary.exit_code == 0
    assert summary.written["anna"] == [
        tmp_path / "labels/anna" / image.label_name for image in images
    ]
    stored = LabelStore(tmp_path / "labels", tmp_path / "frames").read(
        summary.written["anna"][1], images[1]
    )
    assert stored.frame is not None
    assert stored.frame.unconfirmed
    assert stored.origin["by"] == "fdpose prelabel"
    assert not [problem for problem in stored.problems if problem.severity == "error"]
    np.testing.assert_allclose(stored.frame.box, blob_box(3), atol=2)
    np.testing.assert_allclose(
        stored.frame.keypoints, joints_in(stored.frame.box), atol=0.01
    )
    content = json.loads(summary.written["anna"][1].read_text())
    picture = summary.written["anna"][1].parent / content["imagePath"]
    assert picture.resolve() == (tmp_path / "frames" / images[1].image).resolve()
    manifest = json.loads((tmp_path / "labels/anna/manifest.json").read_text())
    assert manifest["models"]["detector"] == {"kind": "blobs"}
    assert manifest["written"] == [
        f"labels/anna/{image.label_name}" for image in images
    ]


def test_the_review_waits_for_their_confirmation(tmp_path: Path) -> None:
    images = make_project(tmp_path, ("anna", "ben"))
    run(tmp_path)
    desk = find_project(tmp_path).desk
    state = desk.read_state(images[0].image)
    assert state.kind == "unconfirmed"
    reviewer = "ben" if state.annotators == ("anna",) else "anna"
    with pytest.raises(UsageError, match=r"unconfirmed"):
        desk.accept(reviewer, images[0].image, next(iter(state.files)))


def test_what_is_there_is_never_touched_and_a_rerun_adds_nothing(
    tmp_path: Path,
) -> None:
    images = make_project(tmp_path)
    path = tmp_path / "labels/anna" / images[0].label_name
    path.parent.mkdir(parents=True)
    path.write_text("half a la")
    first = run(tmp_path)
    assert (first.count, first.labelled) == (2, 1)
    before = {
        file: file.read_bytes() for file in (tmp_path / "labels/anna").rglob("*.json")
    }
    again = run(tmp_path, lambda: pytest.fail("no model is needed"))
    assert (again.count, again.labelled, again.exit_code) == (0, 3, 0)
    assert {
        file: file.read_bytes() for file in (tmp_path / "labels/anna").rglob("*.json")
    } == before
    assert path.read_text() == "half a la"


def test_a_label_saved_while_the_net_runs_stays(tmp_path: Path) -> None:
    images = make_project(tmp_path)
    path = tmp_path / "labels/anna" / images[2].label_name

    class Slow(NetworkGuesser):
        def __call__(self, some: Any, frames: Path) -> Any:
            path.parent.mkdir(parents=True)
            path.write_text("anna's")
            return super().__call__(some, frames)

    summary = run(tmp_path, lambda: Slow(BlobDetector(), BoxEstimator()))
    assert path.read_text() == "anna's"
    assert summary.left_out == [
        ("anna", images[2].image, "somebody saved a label meanwhile; it stays")
    ]


def test_one_bad_picture_stops_no_other(tmp_path: Path) -> None:
    images = make_project(tmp_path, dives=2)
    (tmp_path / "frames" / images[1].image).write_bytes(b"no picture")
    cv2.imwrite(
        str(tmp_path / "frames" / images[4].image),
        np.zeros((SIZE[1], SIZE[0], 3), np.uint8),
    )
    summary = run(tmp_path)
    assert summary.count == 4
    assert summary.exit_code == 1
    reasons = {image: why for _, image, why in summary.left_out}
    assert "not readable as an image" in reasons[images[1].image]
    assert reasons[images[4].image] == "nobody found in the image"


def test_where_nothing_can_be_used_the_exit_code_says_so(tmp_path: Path) -> None:
    for image in make_project(tmp_path):
        (tmp_path / "frames" / image.image).unlink()
    assert run(tmp_path).exit_code == 3


def test_unsure_joints_are_left_out(tmp_path: Path) -> None:
    make_project(tmp_path)
    assert run(tmp_path, min_score=1.0).count == 0
    summary = run(tmp_path, lambda: SkeletonGuesser(skeletons(tmp_path)), min_score=0.2)
    assert summary.count == 3
    frame = labelme.read(summary.written["anna"][0]).frames[0]
    assert frame.labelled.tolist() == [False, *[True] * 14, False]


def test_joints_outside_the_picture_are_left_out(tmp_path: Path) -> None:
    make_project(tmp_path)

    class Far(BoxEstimator):
        def __call__(self, crops: Any) -> Any:
            points, scores = super().__call__(crops)
            points[:, 4] = (-3, 5)
            points[:, 5] = SIZE
            return points, scores

    summary = run(tmp_path, lambda: NetworkGuesser(BlobDetector(), Far()))
    frame = labelme.read(summary.written["anna"][0]).frames[0]
    assert np.flatnonzero(~frame.labelled).tolist() == [4, 5]


def test_from_skeletons_without_a_net(tmp_path: Path) -> None:
    images = make_project(tmp_path, dives=2)
    summary = run(tmp_path, lambda: SkeletonGuesser(skeletons(tmp_path, (0, 6))))
    assert [path.name for path in summary.written["anna"]] == [
        "00000.json",
        "00006.json",
    ]
    reasons = {image: why for _, image, why in summary.left_out}
    assert "frame 3 is not among the extracted ones" in reasons[images[1].image]
    assert "no such file" in reasons[images[3].image]
    frame = labelme.read(summary.written["anna"][1]).frames[0]
    np.testing.assert_allclose(frame.box, blob_box(6))
    assert not frame.box_estimated


def test_skeletons_without_boxes_get_one_round_the_joints_that_is_marked(
    tmp_path: Path,
) -> None:
    make_project(tmp_path)
    summary = run(tmp_path, lambda: SkeletonGuesser(skeletons(tmp_path, boxes=False)))
    frame = labelme.read(summary.written["anna"][0]).frames[0]
    assert frame.box_estimated
    points = frame.keypoints[frame.labelled]
    assert (frame.box[:2] <= points.min(axis=0)).all()
    assert (frame.box[2:] >= points.max(axis=0)).all()


def test_a_folder_without_skeletons_is_refused(tmp_path: Path) -> None:
    make_project(tmp_path)
    with pytest.raises(UsageError, match=r"no folder Pose in it"):
        run(tmp_path, lambda: SkeletonGuesser(tmp_path))


def test_pictures_of_two_people_are_left_to_them(tmp_path: Path) -> None:
    make_project(tmp_path, ("anna", "ben"), dives=4)
    settings = tmp_path / SETTINGS_NAME
    settings.write_text(
        settings.read_text().replace("double_share: 0", "double_share: 0.5")
    )
    summary = run(tmp_path)
    assert summary.shared == 6
    assert summary.count == 6
    assert run(tmp_path, shared=True).count == 12


def test_only_the_named_annotators(tmp_path: Path) -> None:
    make_project(tmp_path, ("anna", "ben"), dives=4)
    summary = run(tmp_path, annotators=["ben"])
    assert list(summary.written) == ["ben"]
    assert not (tmp_path / "labels/anna").is_dir() or not list(
        (tmp_path / "labels/anna").rglob("*.json")
    )
    with pytest.raises(UsageError, match=r"'../x' is no annotator"):
        run(tmp_path, annotators=["../x"])


def test_a_dry_run_loads_no_model_and_writes_nothing(tmp_path: Path) -> None:
    make_project(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert (
        run(tmp_path, lambda: pytest.fail("no model is needed"), dry_run=True).count
        == 3
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_a_guess_is_nobodys_work_when_its_annotator_leaves(tmp_path: Path) -> None:
    images = make_project(tmp_path, ("anna", "ben"), dives=4)
    run(tmp_path)
    settings = tmp_path / SETTINGS_NAME
    settings.write_text(settings.read_text().replace("[anna, ben]", "[anna]"))
    assert len(hand_out_images(find_project(tmp_path))["anna"].label) == len(images)


def test_without_pictures_the_next_command_is_named(tmp_path: Path) -> None:
    init_project(tmp_path, ["anna"])
    with pytest.raises(DataError, match=r"fdpose frames"):
        run(tmp_path)


def test_nets_and_skeletons_at_once_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"leave --model and --detector out"):
        prelabel_cli.command(model=tmp_path, skeletons=tmp_path)


def test_with_real_nets(
    drawn_dives: Path, tiny_pose_model: Path, tiny_detector_model: Path, tmp_path: Path
) -> None:
    """Nets that were trained for seconds know nothing: what counts is that their
    answers become label files."""
    init_project(tmp_path, ["anna"])
    rows = []
    for index, name in enumerate(drawn_images(drawn_dives)[:3]):
        pixels = cv2.imread(str(drawn_dives / "frames" / name))
        rows.append(
            write_picture(tmp_path, image_key("Meet", "1", index), "1", index, pixels)
        )
    write_frame_manifest(tmp_path / "frames/manifest.csv", rows)
    detector = load_detector(str(tiny_detector_model), NetworkOptions("cpu"))

    class Sure:
        identity = detector.identity

        def __call__(self, images: Any) -> list[Detections]:
            return [
                replace(found, scores=np.full(len(found.scores), 0.9))
                for found in detector(images)
            ]

    summary = run(
        tmp_path,
        lambda: NetworkGuesser(
            Sure(), load_estimator(tiny_pose_model, NetworkOptions("cpu"))
        ),
        min_score=0.0,
    )
    assert summary.count + len(summary.left_out) == 3
    assert summary.count > 0
    for path in summary.written["anna"]:
        frame = labelme.read(path).frames[0]
        assert frame.unconfirmed
        assert frame.labelled.any()
