"""What a run outlives: being killed at any moment, and videos that are broken in any way."""

from __future__ import annotations

import csv
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from moving_blobs import BlobDetector, BoxEstimator, write_clip

from finediving_pose.manifest import read_json_lines
from finediving_pose.workflows.extraction import extract

KILLED = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from moving_blobs import BlobDetector, BoxEstimator
from finediving_pose.workflows.extraction import extract
class Slow(BlobDetector):
    def __call__(self, images):
        time.sleep(0.04)
        return super().__call__(images)
Path({mark!r}).touch()
extract(Path({videos!r}), Path({out!r}), Slow(), BoxEstimator())
"""


def skeletons(out):
    return {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in sorted((out / "Pose").rglob("*"))
        if path.is_file()
    }


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_ends_as_if_undisturbed(tmp_path, kills):
    videos, out, undisturbed, mark = (tmp_path / name for name in ("videos", "out", "undisturbed", "mark"))
    for i in range(3 * kills):
        write_clip(videos / f"m/{i}", 10)
    extract(videos, undisturbed, BlobDetector(), BoxEstimator())
    paths = {"tests": str(Path(__file__).parents[1]), "mark": str(mark), "videos": str(videos), "out": str(out)}
    moments, counts = random.Random(0), []
    for kill in range(kills):
        mark.unlink(missing_ok=True)
        process = subprocess.Popen([sys.executable, "-c", KILLED.format(**paths)], stderr=subprocess.DEVNULL)
        begun = mark if kill else out / "manifest.jsonl"  # the first kill comes after a clip is done
        while not begun.exists() and process.poll() is None:
            time.sleep(0.005)
        time.sleep(moments.uniform(0, 0.2))
        process.kill()
        assert process.wait(timeout=30) in (0, -signal.SIGKILL)
        counts.append(len(read_json_lines(out / "manifest.jsonl")))
    assert any(0 < count < 3 * kills for count in counts), counts  # at least one kill came amid the clips
    summary = extract(videos, out, BlobDetector(), BoxEstimator())
    assert len(summary.done) + len(summary.skipped) == 3 * kills
    kept = {name: content for name, content in skeletons(out).items() if not Path(name).name.startswith(".")}
    assert kept == skeletons(undisturbed)
    assert (out / "quality.csv").read_bytes() == (undisturbed / "quality.csv").read_bytes()
    assert (out / "failures.csv").read_bytes() == (undisturbed / "failures.csv").read_bytes()


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
    with (out / "failures.csv").open(encoding="utf-8", newline="") as file:
        failed = {row["clip"]: row["reason"] for row in csv.DictReader(file)}
    assert summary.done
    assert failed
    assert all(failed.values())
    assert len(summary.done) + len(failed) == mutations
    assert set(summary.done).isdisjoint(failed)
    assert len(list(out.rglob("*.npz"))) == len(summary.done)
