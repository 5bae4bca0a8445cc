"""What a run outlives: being killed at any moment, a disk that is full, files that
vanish, videos broken in any way."""

from __future__ import annotations

import csv
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers.moving_blobs import BlobDetector, BoxEstimator, write_clip

from finediving_pose import media
from finediving_pose.datasets.pose_files import read_pose
from finediving_pose.errors import EXIT_ENVIRONMENT, EnvironmentUnfit
from finediving_pose.extraction.engine import Equipment
from finediving_pose.extraction.local_engine import LocalEngine
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.extraction.shards import Shard
from finediving_pose.files import read_json_lines
from finediving_pose.records import JointState
from finediving_pose.workflows import extraction
from finediving_pose.workflows.extraction import extract

KILLED = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from helpers.moving_blobs import BlobDetector, BoxEstimator
from finediving_pose.extraction.shards import Shard
from finediving_pose.workflows.extraction import extract
class Slow(BlobDetector):
    def __call__(self, images):
        time.sleep(60 if {stuck} and Path({out!r}, "manifest.jsonl").exists() else 0.04)
        return super().__call__(images)
Path({mark!r}).touch()
extract(Path({videos!r}), Path({out!r}), Slow(), BoxEstimator(), shard=Shard{shard})
"""


def start(videos, out, mark, shard=(1, 1), stuck=False):
    """Start a process that extracts slowly and makes `mark` when it begins; with
    `stuck` it stops after a clip."""
    tests = str(Path(__file__).parents[1])
    code = KILLED.format(
        tests=tests,
        mark=str(mark),
        videos=str(videos),
        out=str(out),
        shard=shard,
        stuck=stuck,
    )
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)


def results(out):
    """The skeletons and the tables: all that is the same in each run."""
    files = [path for path in (out / "Pose").rglob("*") if path.is_file()] + list(
        out.glob("*.csv")
    )
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in files}


def run(videos, out, **options):
    return extract(videos, out, BlobDetector(), BoxEstimator(), **options)


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_ends_as_if_undisturbed(tmp_path, kills):
    videos, out, undisturbed, mark = (
        tmp_path / name for name in ("videos", "out", "undisturbed", "mark")
    )
    for i in range(3 * kills):
        write_clip(videos / f"m/{i}", 10)
    extract(videos, undisturbed, BlobDetector(), BoxEstimator())
    moments, counts = random.Random(0), []
    for kill in range(kills):
        mark.unlink(missing_ok=True)
        process = start(videos, out, mark, stuck=not kill)
        begun = (
            mark if kill else out / "manifest.jsonl"
        )  # the first kill comes after a clip is done
        while not begun.exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.2))
        process.kill()
        assert process.wait(timeout=30) in (0, -signal.SIGKILL)
        counts.append(len(read_json_lines(out / "manifest.jsonl")))
    assert any(0 < count < 3 * kills for count in counts), (
        counts
    )  # at least one kill came amid the clips
    summary = extract(videos, out, BlobDetector(), BoxEstimator())
    assert len(summary.done) + len(summary.skipped) == 3 * kills
    assert results(out) == results(undisturbed)  # and no half-written file


def mutated(content, seed):
    """Return a video with bytes changed, cut out or cut off."""
    draw = random.Random(seed)
    content = bytearray(content)
    kind = seed % 3
    if kind == 0:
        for _ in range(draw.choice([1, 10, 100])):
            content[draw.randrange(len(content))] = draw.randrange(256)
    elif kind == 1:
        start = draw.randrange(len(content))
        del content[start : start + draw.randrange(1, 5000)]
    else:
        del content[draw.randrange(len(content)) :]
    return bytes(content)


@pytest.mark.parametrize("mutations", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_each_broken_video_is_extracted_or_listed(tmp_path, mutations):
    videos, out = tmp_path / "videos", tmp_path / "out"
    write_clip(tmp_path / "whole.avi", 12)
    whole = (tmp_path / "whole.avi").read_bytes()
    videos.mkdir()
    for seed in range(mutations):
        (videos / f"{seed}.avi").write_bytes(mutated(whole, seed))
    summary = extract(videos, out, BlobDetector(), BoxEstimator())
    failed = {row["clip"]: row["reason"] for row in table(out / "failures.csv")}
    assert summary.done
    assert failed
    assert all(failed.values())
    assert len(summary.done) + len(failed) == mutations
    assert set(summary.done).isdisjoint(failed)
    assert len(list(out.rglob("*.npz"))) == len(summary.done)


# --- shards ---


@pytest.fixture
def meet(tmp_path):
    """Twelve clips and a broken one; what a single run makes of them."""
    videos, undisturbed = tmp_path / "videos", tmp_path / "undisturbed"
    for i in range(12):
        write_clip(videos / f"m/{i}", 10)
    (videos / "m" / "broken.avi").write_bytes(b"no video")
    run(videos, undisturbed)
    return videos, undisturbed


def test_shards_at_once_make_what_one_run_makes(meet, tmp_path):
    videos, undisturbed = meet
    out = tmp_path / "out"
    processes = [start(videos, out, tmp_path / f"mark{i}", (i, 3)) for i in (1, 2, 3)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    assert results(out) == results(undisturbed)
    ledgers = sorted(out.glob("*.jsonl"))
    assert [path.name for path in ledgers] == [
        f"manifest.{i}-of-3.jsonl" for i in (1, 2, 3)
    ]
    assert sorted(
        line["clip"] for path in ledgers for line in read_json_lines(path)
    ) == sorted(["m/broken", *(f"m/{i}" for i in range(12))])
    counts = [
        json.loads((out / f"manifest.{i}-of-3.json").read_text())["clips"]
        for i in (1, 2, 3)
    ]
    assert sum(count["done"] for count in counts) == 12
    assert sum(count["failed"] for count in counts) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_killed_shard_is_made_up_for_by_a_rerun_or_by_others(meet, tmp_path):
    videos, undisturbed = meet
    out = tmp_path / "out"
    processes = [start(videos, out, tmp_path / f"mark{i}", (i, 2)) for i in (1, 2)]
    ledger = out / "manifest.2-of-2.jsonl"
    while not ledger.exists() and processes[1].poll() is None:
        time.sleep(0.005)
    processes[1].kill()
    assert processes[0].wait(timeout=60) == 0
    assert processes[1].wait(timeout=60) in (0, -signal.SIGKILL)
    kept = len(read_json_lines(ledger))
    again = [
        run(videos, out, shard=Shard(i, 5)) for i in range(1, 6)
    ]  # with another number of shards
    assert sum(len(summary.skipped) + len(summary.done) for summary in again) == 12
    assert sum(len(summary.skipped) for summary in again) >= kept
    assert results(out) == results(undisturbed)
    whole = run(videos, out)
    assert (len(whole.skipped), whole.done, [clip for clip, _ in whole.failed]) == (
        12,
        [],
        ["m/broken"],
    )
    assert results(out) == results(undisturbed)


def test_a_refused_source_is_reported_by_the_first_shard_only(tmp_path):
    videos, out = tmp_path / "videos", tmp_path / "out"
    write_clip(videos / "m/1", 4)
    (videos / "dives.csv").write_text(
        "match,dive,video,start_frame,end_frame\nm,7,gone.mp4,0,3\n"
    )
    failed = [
        run(videos, out, dives=videos / "dives.csv", shard=Shard(i, 3)).failed
        for i in (1, 2, 3)
    ]
    assert [[source for source, _ in shard] for shard in failed] == [
        ["gone.mp4"],
        [],
        [],
    ]
    assert [row["source"] for row in table(out / "failures.csv")] == ["gone.mp4"]


def test_what_a_killed_run_left_behind_goes_with_the_next(tmp_path):
    videos, out = tmp_path / "videos", tmp_path / "out"
    write_clip(videos / "m/1", 4)
    (out / "Pose" / "m").mkdir(parents=True)
    code = (
        "import os, sys; from pathlib import Path; from finediving_pose.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as path: path.write_bytes(b'half'); os._exit(1)"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(out / "Pose/m/pred_comp_1.npz")], check=False
    )
    assert len(list((out / "Pose/m").iterdir())) == 1
    run(videos, out)
    assert [path.name for path in (out / "Pose/m").iterdir()] == ["pred_comp_1.npz"]


# --- disks ---


@pytest.fixture
def disk(tmp_path):
    """A file system of its own with room for three clips, and a function that mounts it
    anew."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = shutil.which("mount")
    if mount is None or not sys.platform.startswith("linux"):
        pytest.skip(
            "needs Linux' mount, to have a file system that is full or read-only"
        )

    def mounted(*options):
        return subprocess.run(
            [mount, "-t", "tmpfs", *options, "tmpfs", str(place)],
            capture_output=True,
            text=True,
        )

    made = mounted("-o", "size=120k")
    if made.returncode:
        pytest.skip(
            f"needs the right to mount a tmpfs, such as root's: {made.stderr.strip()}"
        )
    try:
        yield place, lambda options: mounted("-o", f"remount,{options}")
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_ends_the_run_and_a_rerun_completes_it(meet, disk):
    videos, undisturbed = meet
    place, remount = disk
    out = place / "out"
    with pytest.raises(
        EnvironmentUnfit,
        match="No space left on device; the clips finished so far are kept",
    ) as caught:
        run(videos, out)
    assert caught.value.exit_code == EXIT_ENVIRONMENT
    kept = [read_pose(path).meta["clip"] for path in out.rglob("*.npz")]
    assert 0 < len(kept) < 12
    assert not list(out.rglob(".*"))
    remount("size=10m")
    summary = run(videos, out)
    assert set(summary.skipped) == {
        line["clip"] for line in read_json_lines(out / "manifest.jsonl")[: len(kept)]
    }
    assert results(out) == results(undisturbed)


def test_no_overlay_is_cut_off_by_a_full_disk(disk):
    place, remount = disk
    (place / "ballast").write_bytes(b"0" * (108 << 10))
    frames = [random.Random(i).randbytes(320 * 240 * 3) for i in range(5)]
    images = [np.frombuffer(frame, np.uint8).reshape(240, 320, 3) for frame in frames]
    with pytest.raises(
        OSError, match="could not be written to its end; is the disk full"
    ):
        media.write_video(place / "a.mp4", images, 25)
    assert [path.name for path in place.iterdir()] == ["ballast"]
    remount("size=10m")
    assert media.write_video(place / "a.mp4", images, 25) == 5


def test_a_read_only_output_ends_the_run_and_changes_nothing(meet, disk):
    videos, undisturbed = meet
    place, remount = disk
    out = place / "out"
    remount("size=10m")
    run(videos, out, shard=Shard(1, 3))
    before = results(out)
    remount("ro")
    with pytest.raises(
        EnvironmentUnfit,
        match="Read-only file system; the clips finished so far are kept",
    ) as caught:
        run(videos, out)
    assert caught.value.exit_code == EXIT_ENVIRONMENT
    assert results(out) == before
    remount("rw")
    run(videos, out)
    assert results(out) == results(undisturbed)


# --- what vanishes ---


def test_a_video_that_disappears_before_its_turn_is_listed(tmp_path):
    videos, out = tmp_path / "videos", tmp_path / "out"
    for name in ("a", "b", "c"):
        write_clip(videos / f"m/{name}.avi", 6)

    def equip():  # called between the search and the first clip
        (videos / "m/b.avi").unlink()
        return Equipment(
            LocalEngine(BlobDetector(), BoxEstimator(), ExtractionSettings()), {}
        )

    summary = extraction.extract_with(equip, extraction.Request(videos, out))
    assert summary.done == ["m/a", "m/c"]
    (row,) = table(out / "failures.csv")
    assert (row["clip"], row["source"]) == ("m/b", "m/b.avi")
    assert "no such file" in row["reason"]


def test_a_frame_that_disappears_while_its_folder_is_read_is_missing(
    tmp_path, monkeypatch
):
    videos, out = tmp_path / "videos", tmp_path / "out"
    lost = write_clip(videos / "m/1", 12) / "7.png"
    write_clip(videos / "m/2", 12)

    def read(path, before=media.read_image):
        lost.unlink(missing_ok=True)
        return before(path)

    monkeypatch.setattr(media, "read_image", read)
    summary = run(
        videos, out, settings=ExtractionSettings(frames=None, repair={"enabled": False})
    )
    assert sorted(summary.done) == ["m/1", "m/2"]
    sequence = read_pose(out / "Pose/m/pred_comp_1.npz")
    seen = (sequence.state == JointState.OBSERVED).all(axis=1)
    assert sequence.frame_index[~seen].tolist() == [7]
    assert any("7.png" in warning for warning in sequence.meta["warnings"])
    assert run(videos, out, settings=ExtractionSettings(frames=None)).done


def test_a_frame_that_disappears_between_extraction_and_drawing_stops_nobody(
    tmp_path, monkeypatch
):
    videos, out = tmp_path / "videos", tmp_path / "out"
    lost = write_clip(videos / "m/1", 12) / "7.png"
    write_clip(videos / "m/2", 12)

    def draw(*arguments, drawn=extraction.write_overlay):
        lost.unlink(missing_ok=True)
        return drawn(*arguments)

    monkeypatch.setattr(extraction, "write_overlay", draw)
    summary = run(videos, out, overlay=True)
    assert (sorted(summary.done), summary.failed) == (["m/1", "m/2"], [])
    assert (out / "overlays/m/2.mp4").exists()
