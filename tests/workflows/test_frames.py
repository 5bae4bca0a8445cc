"""`fdpose frames` in a project: what is written, what a second run adds, and what
cannot be used."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest
from helpers.made_frames import extracted
from helpers.made_meets import made_dive, write_meet
from helpers.moving_blobs import write_clip

from finediving_pose.cli.main import run as fdpose
from finediving_pose.datasets.frame_manifest import read_frame_manifest
from finediving_pose.datasets.pose_files import pose_path, write_pose
from finediving_pose.errors import UsageError
from finediving_pose.files import sha256_file
from finediving_pose.media import encode_jpeg
from finediving_pose.workflows.frames import FramesRequest, choose_frames
from finediving_pose.workflows.project import find_project, init_project


def write_jpegs(folder, count, first=0, size=(120, 80)):
    """Noise that is different in every frame, as numbered JPEG."""
    folder.mkdir(parents=True)
    for i in range(count):
        image = np.random.default_rng([i, first]).integers(
            0, 255, (8, 12, 3), dtype=np.uint8
        )
        picture = cv2.resize(image, size, interpolation=cv2.INTER_NEAREST)
        (folder / f"{first + i:05d}.jpg").write_bytes(encode_jpeg(picture))
    return folder


@pytest.fixture
def meet(tmp_path):
    """A project with annotations of 24 dives, and the frames of 10 of them."""
    dives = [made_dive(place) for place in range(24)]
    write_meet(tmp_path / "annotations", dives)
    for dive in dives[:10]:
        record = dive.dive
        write_jpegs(
            tmp_path / "videos" / record.match / record.dive,
            len(dive.frame_labels),
            record.start_frame,
        )
    return (
        init_project(tmp_path / "p", ["anna"], finediving=tmp_path / "annotations"),
        tmp_path / "videos",
        dives,
    )


@pytest.fixture
def plain(tmp_path):
    """A project without annotations; a video file and a folder of PNGs."""
    videos = tmp_path / "videos"
    write_clip(videos / "pool" / "a.avi", 40)
    write_clip(videos / "01" / "3", 30, first=1000)
    return init_project(tmp_path / "p", ["anna"]), videos


def rows(project):
    return read_frame_manifest(project.frame_manifest)


def everything(project):
    return {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in project.frames.rglob("*.jpg")
    }


def test_the_protocol_writes_the_flight_byte_for_byte(meet):
    project, videos, dives = meet
    summary = choose_frames(project, FramesRequest("protocol", videos, per_number=2))
    by_key = {dive.key: dive for dive in dives}
    assert summary.added == len(rows(project)) == summary.total > 50
    for row in rows(project):
        dive = by_key[row.match, row.dive]
        source = videos / row.match / row.dive / f"{row.frame:05d}.jpg"
        assert dive.stages[row.frame - dive.dive.start_frame] == 1
        assert (row.stage, row.chosen_by, (row.width, row.height)) == (
            "flight",
            "protocol",
            (120, 80),
        )
        assert (project.frames / row.image).read_bytes() == source.read_bytes()
        assert row.sha256 == row.source_sha256 == sha256_file(source)
    assert set(summary.by_stage) == {"flight"}
    assert sum(summary.by_number.values()) == summary.chosen


def test_dives_without_pictures_are_listed_and_the_exit_code_says_so(meet):
    project, videos, dives = meet
    summary = choose_frames(project, FramesRequest("protocol", videos, per_number=10))
    there = {"/".join(dive.key) for dive in dives[:10]}
    assert summary.absent
    assert not there & set(summary.absent)
    assert summary.exit_code == 1
    failures = (project.frames / "failures.csv").read_text(encoding="utf-8")
    assert f"{summary.absent[0]},no image of it in the videos' folder\n" in failures


def test_a_second_run_changes_nothing_and_another_seed_adds(meet):
    project, videos, _ = meet
    choose_frames(project, FramesRequest("protocol", videos, per_number=1, seed=0))
    before, manifest = everything(project), project.frame_manifest.read_text()
    again = choose_frames(
        project, FramesRequest("protocol", videos, per_number=1, seed=0)
    )
    assert (again.added, again.present) == (0, len(before))
    assert (everything(project), project.frame_manifest.read_text()) == (
        before,
        manifest,
    )
    more = choose_frames(
        project, FramesRequest("protocol", videos, per_number=3, seed=5)
    )
    assert more.added > 0
    assert before.items() <= everything(project).items()
    assert project.frame_manifest.read_text().startswith(manifest)


def test_an_interrupt_keeps_the_clips_that_are_written(meet, monkeypatch):
    project, videos, _ = meet
    from finediving_pose.workflows import frames

    begun = []

    def interrupted(clip, reading):
        begun.append(clip)
        if len(begun) == 3:
            raise KeyboardInterrupt
        return original(clip, reading)

    original = frames.open_frames
    monkeypatch.setattr(frames, "open_frames", interrupted)
    request = FramesRequest("protocol", videos, per_number=2)
    with pytest.raises(KeyboardInterrupt):
        choose_frames(project, request)
    kept = rows(project)
    assert len({(row.match, row.dive) for row in kept}) == 2
    assert (
        json.loads((project.frames / "manifest.json").read_text())["status"]
        == "interrupted"
    )
    monkeypatch.undo()
    summary = choose_frames(project, request)
    assert summary.present == len(kept)
    assert summary.total == len(kept) + summary.added == len(everything(project))


def test_a_dive_with_too_few_pictures_fails_alone(meet):
    project, videos, dives = meet
    solo = [dive for dive in dives[:10] if not dive.dive.synchronised]
    match, name = solo[0].key
    sorted((videos / match / name).iterdir())[4].unlink()
    summary = choose_frames(project, FramesRequest("protocol", videos, per_number=10))
    assert [clip for clip, _ in summary.failed] == [f"{match}/{name}"]
    assert (
        f"where FineDiving's annotation has {len(solo[0].frame_labels)}"
        in summary.failed[0][1]
    )
    assert {(row.match, row.dive) for row in rows(project)} == {
        dive.key for dive in solo[1:]
    }


def test_uniform_takes_frames_evenly_from_videos_and_folders(plain):
    project, videos = plain
    summary = choose_frames(project, FramesRequest("uniform", videos, per_clip=5))
    assert summary.added == 10
    numbers = {
        key: [row.frame for row in rows(project) if (row.match, row.dive) == key]
        for key in (("pool", "a"), ("01", "3"))
    }
    assert numbers == {
        ("pool", "a"): [4, 12, 20, 28, 36],
        ("01", "3"): [1003, 1009, 1015, 1021, 1027],
    }
    for row in rows(project):
        picture = cv2.imread(str(project.frames / row.image))
        assert picture.shape == (row.height, row.width, 3) == (96, 160, 3)
        assert row.sha256 == sha256_file(project.frames / row.image)
        assert row.stage == ""
    video = next(row for row in rows(project) if row.match == "pool")
    assert video.source_sha256 == sha256_file(videos / "pool" / "a.avi")


def test_only_the_stages_that_are_asked_for(meet):
    project, videos, _ = meet
    summary = choose_frames(
        project,
        FramesRequest("uniform", videos, per_clip=4, stages=("approach", "entry")),
    )
    assert summary.by_stage == Counter(row.stage for row in rows(project))
    assert set(summary.by_stage) == {"approach", "entry"}
    assert sum(summary.by_number.values()) == summary.chosen == summary.added
    choose_frames(
        project, FramesRequest("kmeans", videos, per_clip=2, stages=("flight",))
    )
    assert {row.stage for row in rows(project) if row.chosen_by == "kmeans"} == {
        "flight"
    }


def test_stages_need_annotations(plain):
    project, videos = plain
    with pytest.raises(UsageError, match="--stages needs FineDiving's annotations"):
        choose_frames(project, FramesRequest("uniform", videos, stages=("flight",)))


def test_frames_that_show_the_same_are_left_out(tmp_path):
    videos = tmp_path / "videos"
    write_clip(videos / "still" / "1", 20, (lambda frame: (80, 48),))
    project = init_project(tmp_path / "p", ["anna"])
    first = choose_frames(project, FramesRequest("uniform", videos, per_clip=4))
    assert (first.added, first.duplicates) == (1, 3)
    more = choose_frames(project, FramesRequest("uniform", videos, per_clip=7))
    assert more.added == 0
    kept = choose_frames(
        project, FramesRequest("uniform", videos, per_clip=4, keep_duplicates=True)
    )
    assert kept.total == 4


def test_kmeans_finds_the_few_frames_that_differ(tmp_path):
    videos = tmp_path / "videos"
    places = (
        lambda frame: (130, 70) if frame in (20, 21, 22) else (30, 30),
        lambda frame: (80, 20 + frame * 0.05),
    )
    write_clip(videos / "m" / "1", 40, places)
    project = init_project(tmp_path / "p", ["anna"])
    choose_frames(project, FramesRequest("kmeans", videos, per_clip=2))
    chosen = [row.frame for row in rows(project)]
    assert len(chosen) == 2
    assert sum(frame in (20, 21, 22) for frame in chosen) == 1


def test_doubt_takes_the_frames_that_a_model_is_least_sure_of(plain, tmp_path):
    project, videos = plain
    sequence = extracted(range(1000, 1030))
    low = {1005, 1020}
    sequence.scores[
        [n for n, number in enumerate(sequence.frame_index) if int(number) in low]
    ] = 0.1
    write_pose(pose_path(tmp_path / "skeletons", "01", "3"), sequence)
    request = FramesRequest(
        "doubt", videos, skeletons=tmp_path / "skeletons", per_clip=2
    )
    choose_frames(project, request)
    assert {row.frame for row in rows(project)} == low
    assert {(row.match, row.dive) for row in rows(project)} == {("01", "3")}
    with pytest.raises(UsageError, match="no skeletons of the clips"):
        choose_frames(project, replace(request, skeletons=tmp_path / "nothing"))
    with pytest.raises(UsageError, match="name it with --skeletons"):
        choose_frames(project, replace(request, skeletons=None))


def test_a_damaged_clip_or_skeleton_leaves_the_other_doubts(plain, tmp_path):
    project, videos = plain
    skeletons = tmp_path / "skeletons"
    write_pose(pose_path(skeletons, "01", "3"), extracted(range(1000, 1030)))
    pose_path(skeletons, "pool", "a").parent.mkdir()
    pose_path(skeletons, "pool", "a").write_bytes(b"PK half")
    (videos / "pool" / "b.avi").write_bytes(b"RIFF" + bytes(100))
    write_pose(pose_path(skeletons, "pool", "b"), extracted(range(30)))
    summary = choose_frames(
        project, FramesRequest("doubt", videos, skeletons=skeletons, per_clip=2)
    )
    assert {(row.match, row.dive) for row in rows(project)} == {("01", "3")}
    assert sorted(clip for clip, _ in summary.failed) == ["pool/a", "pool/b"]
    assert summary.exit_code == 1
    assert "pool/b," in (project.frames / "failures.csv").read_text(encoding="utf-8")


def test_doubt_looks_only_at_the_stages_that_are_asked_for(meet, tmp_path):
    project, videos, dives = meet
    for dive in dives[:3]:
        numbers = range(
            dive.dive.start_frame, dive.dive.start_frame + len(dive.frame_labels)
        )
        write_pose(pose_path(tmp_path / "skeletons", *dive.key), extracted(numbers))
    request = FramesRequest(
        "doubt",
        videos,
        skeletons=tmp_path / "skeletons",
        per_clip=3,
        stages=("flight",),
    )
    choose_frames(project, request)
    assert {row.stage for row in rows(project)} == {"flight"}
    with pytest.raises(UsageError, match="the protocol is the flight alone"):
        choose_frames(project, replace(request, method="protocol"))


def test_a_picture_that_somebody_put_there_is_kept(plain):
    project, videos = plain
    own = project.frames / "pool" / "a" / "00020.jpg"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    summary = choose_frames(project, FramesRequest("uniform", videos, per_clip=1))
    assert own.read_bytes() == b"mine"
    assert [clip for clip, _ in summary.failed] == ["pool/a"]
    assert "another image lies there" in summary.failed[0][1]
    assert {(row.match, row.dive) for row in rows(project)} == {("01", "3")}


def test_a_video_that_does_not_decode_is_one_line_in_the_report(plain):
    project, videos = plain
    (videos / "pool" / "b.avi").write_bytes(b"RIFF" + bytes(100))
    summary = choose_frames(project, FramesRequest("uniform", videos, per_clip=3))
    assert summary.added == 6
    assert [clip for clip, _ in summary.failed] == ["pool/b"]
    assert summary.exit_code == 1
    assert "pool/b," in (project.frames / "failures.csv").read_text(encoding="utf-8")


def recording_listed_as(tmp_path, match):
    """A project with one recording, of which dives.csv says which match it belongs to."""
    quoted = match.replace('"', '""')
    (tmp_path / "dives.csv").write_text(
        f'match,dive,video,start_frame,end_frame\n"{quoted}",1,meet.avi,5,24\n',
        encoding="utf-8",
    )
    write_clip(tmp_path / "videos" / "meet.avi", 40)
    project = init_project(tmp_path / "p", ["anna"])
    choose_frames(project, FramesRequest("uniform", tmp_path / "videos", per_clip=2))
    return project


@pytest.mark.parametrize(
    "name", ["跳水 10米", "🤿", "a__b", "CON", "it's (final) & more%", "_x"]
)
def test_odd_names_are_safe_on_disk_and_come_back(tmp_path, name):
    project = recording_listed_as(tmp_path, name)
    assert {(row.match, row.dive) for row in rows(project)} == {(name, "1")}
    assert [row.frame for row in rows(project)] == [10, 20]
    for path in everything(project):
        assert path.resolve().is_relative_to(project.frames.resolve())
        assert len(path.relative_to(project.frames).parts) == 3


@pytest.mark.parametrize("name", ["<script>", 'a"b', "..", "../../etc/x"])
def test_names_that_can_be_no_file_are_refused_with_their_row(tmp_path, name, caplog):
    project = recording_listed_as(tmp_path, name)
    assert {(row.match, row.dive) for row in rows(project)} == {
        ("videos", "meet")
    }  # as if it were not listed
    assert "dives.csv" in caplog.text


def test_a_turned_jpeg_is_written_upright(tmp_path):
    from PIL import Image

    folder = tmp_path / "videos" / "m" / "1"
    folder.mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, :10] = 255
    Image.fromarray(pixels).save(folder / "7.jpg", exif=exif)
    project = init_project(tmp_path / "p", ["anna"])
    choose_frames(project, FramesRequest("uniform", tmp_path / "videos"))
    (row,) = rows(project)
    assert (row.width, row.height) == (40, 80)
    with Image.open(project.frames / row.image) as written:
        assert written.size == (40, 80)
        assert written.getexif().get(0x0112, 1) == 1


def test_pictures_that_were_changed_or_lost_are_told(plain):
    project, videos = plain
    request = FramesRequest("uniform", videos, per_clip=2)
    choose_frames(project, request)
    lost, changed, *_ = sorted(project.frames.rglob("*.jpg"))
    lost.unlink()
    changed.write_bytes(changed.read_bytes() + b"x")
    summary = choose_frames(project, request)
    assert {project.frames / name for name in summary.changed} == {lost, changed}
    assert summary.added == 0
    assert changed.read_bytes().endswith(b"x")


def test_the_command_in_a_project(meet, monkeypatch, capsys):
    project, videos, _ = meet
    monkeypatch.chdir(project.root)
    assert fdpose(["frames", "--dry-run"]) == 1
    assert "of 5 dive numbers" in capsys.readouterr().out
    assert not project.frame_manifest.exists()
    assert fdpose(["frames"]) == 2
    assert (
        fdpose(
            [
                "frames",
                "--videos",
                str(videos),
                "--method",
                "uniform",
                "--stages",
                "flihgt",
            ]
        )
        == 2
    )
    assert (
        fdpose(
            [
                "frames",
                "--videos",
                str(videos),
                "--method",
                "uniform",
                "--per-clip",
                "1",
                "--json",
            ]
        )
        == 0
    )
    answer = json.loads(capsys.readouterr().out)
    assert answer["added"] == answer["total"] == 10
    assert {
        row.stage for row in read_frame_manifest(find_project().frame_manifest)
    } <= {"approach", "flight", "entry"}


def test_without_annotations_the_protocol_says_what_it_needs(plain):
    project, videos = plain
    with pytest.raises(
        UsageError, match=r"needs FineDiving's annotations: .* --method uniform"
    ):
        choose_frames(project, FramesRequest("protocol", videos))


def test_times_for_numbers_are_said(tmp_path, caplog):
    folder = write_jpegs(tmp_path / "v" / "Final" / "1", 12)
    for number, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"t_{number / 25:g}.jpg")
    project = init_project(tmp_path / "p", ["anna"])
    chosen = FramesRequest("uniform", tmp_path / "v", per_clip=3)
    assert choose_frames(project, chosen).added == 3
    assert "Final/1: numbers in the names of images are no frame numbers" in caplog.text


def test_a_dive_of_the_same_name_from_another_source_is_refused(tmp_path):
    write_jpegs(tmp_path / "v" / "Final" / "1", 12)
    write_jpegs(tmp_path / "w" / "Final" / "1", 12, first=100)
    project = init_project(tmp_path / "p", ["anna"])
    first = FramesRequest("uniform", tmp_path / "v", per_clip=3)
    assert choose_frames(project, first).added == 3
    other = choose_frames(project, FramesRequest("uniform", tmp_path / "w", per_clip=3))
    ((name, reason),) = other.failed
    assert (name, other.added, other.total) == ("Final/1", 0, 3)
    assert "is another recording; give it another folder name" in reason
    (tmp_path / "v").rename(tmp_path / "moved")
    moved = FramesRequest("uniform", tmp_path / "moved", per_clip=4)
    assert choose_frames(project, moved).failed == []
