"""Files that are checked together: place says which picture, neighbours are not told
of, what is gone is left out."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers import made_divers
from helpers.made_labels import annotate, label_of, make_frames

from finediving_pose.annotation.folder_checks import FolderJob, check_folder, read_stamp
from finediving_pose.annotation.label_swaps import swap_sides

FRAMES = 16


@pytest.fixture
def job(tmp_path):
    """Anna's labels of a dive, named as 0, 1, …; two of them mirrored."""
    images = make_frames(tmp_path, count=FRAMES)
    paths = [
        annotate(
            tmp_path,
            "anna",
            image,
            swap_sides(label_of(image)) if image.frame in {4, 10} else None,
        )
        for image in images
    ]
    files = {str(number): path for number, path in enumerate(paths)}
    rows = {str(number): image for number, image in enumerate(images)}
    return FolderJob("anna", paths[0].parent, files, tmp_path / "frames", rows)


def found(result):
    return [(finding.kind, finding.file) for finding in result.findings]


def test_findings_have_the_names_of_the_job(job):
    result = check_folder(job)
    assert found(result) == [("mirrored", "4"), ("mirrored", "10")]
    assert (result.who, result.files, result.frames) == ("anna", FRAMES, FRAMES)
    assert [finding.image for finding in result.findings] == [
        "Meet/1/00004.jpg",
        "Meet/1/00010.jpg",
    ]


def test_neighbours_are_not_told_of(job):
    result = check_folder(replace(job, told=frozenset({"4", "5"})))
    assert found(result) == [("mirrored", "4")]
    assert (result.files, result.frames) == (2, 2)


def test_the_stamp_is_that_of_the_file_that_was_read(job):
    assert check_folder(job).stamps["4"] == read_stamp(job.files["4"])


def test_a_file_that_is_gone_since_is_left_out(job):
    job.files["3"].unlink()
    result = check_folder(job)
    assert (result.files, result.frames) == (FRAMES, FRAMES - 1)
    assert "3" not in result.stamps


def test_pictures_that_are_all_absent_are_no_fault_where_that_is_known(job, tmp_path):
    for row in job.rows.values():
        (tmp_path / "frames" / row.image).unlink()
    assert ("image-missing", str(job.folder)) in found(check_folder(job))
    assert {
        kind for kind, _ in found(check_folder(replace(job, images_there=False)))
    } == {"mirrored"}


def test_the_size_of_the_manifest_stands_for_one_the_label_lacks(job, tmp_path):
    image = job.rows["2"]
    path = annotate(
        tmp_path, "anna", image, made_divers.slipped(label_of(image), 9, (2000, 0))
    )
    path.write_text(
        path.read_text("utf-8").replace('"imageWidth": 455', '"imageWidth": null'),
        encoding="utf-8",
    )
    for row in job.rows.values():
        (tmp_path / "frames" / row.image).unlink()
    assert ("outside-image", "2") in found(
        check_folder(replace(job, images_there=False))
    )
