"""Measure how fast synthetic meets are made on one core, and how much memory they take.

    python tools/bench_synth.py [--dives 12,24,48] [--hard]

Each meet is written as `fdpose synth` does, in a process of its own with one thread:
frames per second of processor time, which other programs disturb less than the clock,
over everything (venues, images, JPEG, labels, truth; without the start of Python), and
the largest resident memory of the process.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HEADER = (
    "| dives | frames | frames/s | of which images, ms a frame | peak MiB |\n"
    "|---|---|---|---|---|"
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dives", default="12,24,48")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--hard", action="store_true")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure_meet(options.one, options.seed, options.hard)))
        return
    print(HEADER)
    for dives in map(int, options.dives.split(",")):
        found = measure_in_process(dives, options)
        rate = found["frames"] / found["seconds"]
        print(
            f"| {dives} | {found['frames']} | {rate:.0f} "
            f"| {found['image_ms']:.1f} | {found['peak_mib']:.0f} |"
        )


def measure_in_process(dives: int, options: argparse.Namespace) -> dict[str, float]:
    """Run this program for one meet, so that memory is that of the meet alone."""
    command = [sys.executable, __file__, "--one", str(dives)]
    command += ["--seed", str(options.seed)]
    if options.hard:
        command.append("--hard")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    run = subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    )
    answer: dict[str, float] = json.loads(run.stdout)
    return answer


def measure_meet(dives: int, seed: int, hard: bool) -> dict[str, float]:
    """Make a meet; return frames, seconds, milliseconds an image and the peak memory."""
    import cv2

    from finediving_pose.synthesis.scene import Scene
    from finediving_pose.workflows.synthesis import SynthRequest, synthesise_meet

    cv2.setNumThreads(1)
    spent = 0.0
    render_frame = Scene.render_frame

    def time_frame(scene: Scene, k: int) -> object:
        nonlocal spent
        start = time.process_time()
        image = render_frame(scene, k)
        spent += time.process_time() - start
        return image

    Scene.render_frame = time_frame  # type: ignore[method-assign, assignment]
    request = SynthRequest(dives, seed, hard=hard)
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        result = synthesise_meet(Path(folder) / "meet", request)
        seconds = time.process_time() - start
    return {
        "frames": result.frames,
        "seconds": seconds,
        "image_ms": 1000 * spent / result.frames,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    main()
