"""How fast synthetic meets are made on one core, and how much memory they take.

    python tools/bench_synth.py [--dives 12,24,48] [--hard]

Each meet is written as `fdpose synth` does, in a process of its own with one thread:
frames per second of processor time, which other programs disturb less than the clock,
over everything (venues, pictures, JPEG, labels, truth; without the start of Python),
and the largest resident memory of the process.
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
        print(json.dumps(one_meet(options.one, options.seed, options.hard)))
        return
    print(
        "| dives | frames | frames/s | of which pictures, ms a frame | peak MiB |\n|---|---|---|---|---|"
    )
    for dives in map(int, options.dives.split(",")):
        found = in_a_process_of_its_own(dives, options)
        print(
            f"| {dives} | {found['frames']} | {found['frames'] / found['seconds']:.0f} "
            f"| {found['picture_ms']:.1f} | {found['peak_mib']:.0f} |"
        )


def in_a_process_of_its_own(
    dives: int, options: argparse.Namespace
) -> dict[str, float]:
    command = [
        sys.executable,
        __file__,
        "--one",
        str(dives),
        "--seed",
        str(options.seed),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    arguments = command + (["--hard"] if options.hard else [])
    run = subprocess.run(
        arguments, capture_output=True, text=True, check=True, env=environment
    )
    answer: dict[str, float] = json.loads(run.stdout)
    return answer


def one_meet(dives: int, seed: int, hard: bool) -> dict[str, float]:
    import cv2

    from finediving_pose.synthesis.scene import Scene
    from finediving_pose.workflows.synthesis import SynthRequest, synthesise_meet

    cv2.setNumThreads(1)
    spent = 0.0
    picture = Scene.render_frame

    def timed(scene: Scene, k: int) -> object:
        nonlocal spent
        start = time.process_time()
        painted = picture(scene, k)
        spent += time.process_time() - start
        return painted

    Scene.render_frame = timed  # type: ignore[method-assign, assignment]
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        result = synthesise_meet(
            Path(folder) / "meet", SynthRequest(dives, seed, hard=hard)
        )
        seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "frames": result.frames,
        "seconds": seconds,
        "picture_ms": 1000 * spent / result.frames,
        "peak_mib": peak,
    }


if __name__ == "__main__":
    main()
