"""Benchmark of `fdpose validate` on a project of many labels, as a user runs it.

    python tools/bench_validate.py [--frames 12722] [--dives 367] [--rounds 3] [--folder
    DIR] [--seed 0]

Makes a project of synthetic dives: neighbouring airborne frames labelled by two
invented annotators with their usual mistakes, a dive each in turn. Then `fdpose
validate` runs in it as a process of its own, start of Python included, with the images
in place and without them. An image is drawn for each dive and its frames get bytes of
their own behind it, so that they differ in their hash. A folder that was made
before is used again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from finediving_pose.datasets.frame_manifest import (
    MANIFEST_CSV,
    ManifestFrame,
    image_key,
    write_frame_manifest,
)
from finediving_pose.datasets.labelme import encode_labelme
from finediving_pose.records import LabelledFrame
from finediving_pose.synthesis.annotators import ANNOTATORS, annotate_frames
from finediving_pose.synthesis.meet import PlannedDive, plan_meet, stage_dive
from finediving_pose.synthesis.scene import SIZE, Scene
from finediving_pose.workflows.project import find_project, init_project


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=12_722)
    parser.add_argument("--dives", type=int, default=367)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="keep the project here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = options.folder or Path(temporary) / "project"
        if not (root / "fdpose.yaml").exists():
            make_project(root, options.dives, options.frames, options.seed)
        frames = find_project(root).frames
        print("| images | seconds, each round | labels | findings |\n|---|---|---|---|")
        print(f"| there | {time_command(root, options.rounds)} |", flush=True)
        aside = []
        for path in frames.iterdir():
            if path.is_dir():
                aside.append((path, path.with_name(f"{path.name} aside")))
        for path, other in aside:
            path.rename(other)
        try:
            print(f"| absent | {time_command(root, options.rounds)} |")
        finally:
            for path, other in aside:
                other.rename(path)


def make_project(root: Path, dives: int, frames: int, seed: int) -> None:
    """Write images, their manifest and the labels of two annotators."""
    project = init_project(root, [annotator.name for annotator in ANNOTATORS])
    shares = np.diff(np.linspace(0, frames, dives + 1).astype(int))
    rows: list[ManifestFrame] = []
    for number, dive in enumerate(plan_meet(dives, seed).dives):
        scene, annotator = stage_dive(dive), ANNOTATORS[number % len(ANNOTATORS)]
        truth = list(make_true_labels(dive, scene, int(shares[number])))
        rows += write_images(project.frames, scene, truth)
        for label in annotate_frames(truth, annotator, seed + number)[0]:
            folder = project.labels / annotator.name / f"{dive.match}__{dive.dive}"
            path = folder / f"{label.frame:05d}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            content = encode_labelme(label, SIZE, f"../../../frames/{label.image}")
            path.write_text(json.dumps(content, indent=2), encoding="utf-8")
    write_frame_manifest(project.frames / MANIFEST_CSV, rows)


def make_true_labels(
    dive: PlannedDive, scene: Scene, count: int
) -> Iterator[LabelledFrame]:
    """Yield what is true of neighbouring frames from the take-off on in which the whole
    athlete is in sight."""
    whole = np.flatnonzero(scene.present.all(axis=1)).tolist()
    airborne = [k for k in whole if k >= scene.motion.takeoff]
    if len(airborne) < count:
        whole = whole[-count:]
    else:
        whole = airborne
    for k in whole[:count]:
        yield LabelledFrame(
            image=image_key(dive.match, str(dive.dive), dive.start_frame + k),
            keypoints=scene.keypoints[k],
            visibility=scene.get_visibility(k),
            box=scene.get_box(k),
            size=SIZE,
            match=dive.match,
            dive=str(dive.dive),
            frame=dive.start_frame + k,
        )


def write_images(
    folder: Path, scene: Scene, labels: list[LabelledFrame]
) -> Iterator[ManifestFrame]:
    """Write an image for each label and yield its row of the manifest."""
    import cv2

    drawn = cv2.imencode(".jpg", scene.render_frame(scene.motion.takeoff))[1].tobytes()
    for label in labels:
        assert label.match is not None
        assert label.dive is not None
        assert label.frame is not None
        path, content = folder / label.image, drawn + label.image.encode()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        made = (*SIZE, f"videos/{label.match}.mp4", "0" * 64, digest, "bench")
        yield ManifestFrame(
            label.image, label.match, label.dive, label.frame, "flight", *made
        )


def time_command(root: Path, rounds: int) -> str:
    """Run the command some rounds; return its seconds, how many labels it checked, and
    how many findings it had."""
    seconds, answer = [], {}
    command = [
        sys.executable,
        "-c",
        "from finediving_pose.cli.main import main; main()",
        "validate",
        "--json",
    ]
    for _ in range(rounds):
        start = time.perf_counter()
        run = subprocess.run(
            command, cwd=root, capture_output=True, text=True, check=False
        )
        seconds.append(time.perf_counter() - start)
        if run.returncode not in {0, 3}:
            sys.exit(run.stderr)
        answer = json.loads(run.stdout)
    rounded = ", ".join(f"{value:.1f}" for value in seconds)
    return f"{rounded} | {answer['frames']} | {len(answer['findings'])}"


if __name__ == "__main__":
    main()
