"""How quick the review page is: first image and next image, in a real Chromium, on a
made project of 2,000 images.

    python tools/bench_review.py [--images 2000] [--steps 60]

Prints milliseconds, median and 95th percentile, and fails where a first image takes a
second or a next one 200 ms. "First" is from asking for the address until picture and
skeletons are shown; "next" from the key to the same.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from made_review_project import make_project
from playwright.sync_api import sync_playwright

from finediving_pose.datasets.frame_manifest import read_frame_manifest

FIRST_MS, NEXT_MS = 1000.0, 200.0
OPENINGS = 9
PAUSE_MS = 400

WATCH = """() => {
  let pressed = 0;
  window.shownAfter = [];
  document.addEventListener("keydown", () => { pressed = performance.now(); }, true);
  const shown = () => { if (pressed) window.shownAfter.push(performance.now() - pressed); };
  new MutationObserver(shown).observe(document.getElementById("canvas"), {attributeFilter: ["data-shown"]});
}"""
"""The page notes on the canvas which image it has painted."""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--steps", type=int, default=60)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "project"
        started = time.monotonic()
        make_project(root, arguments.images)
        print(f"made {arguments.images} images in {time.monotonic() - started:.0f} s")
        command = [
            sys.executable,
            "-m",
            "finediving_pose",
            "review",
            "--no-browser",
            "--port",
            "0",
            "--reviewer",
            "cleo",
        ]
        started = time.monotonic()
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        server = subprocess.Popen(
            command, cwd=root, stdout=subprocess.PIPE, text=True, env=environment
        )
        try:
            assert server.stdout is not None
            address = server.stdout.readline().strip()
            print(f"the address was printed after {time.monotonic() - started:.1f} s")
            first, following = measure(
                address,
                read_frame_manifest(root / "frames/manifest.csv")[0].image,
                arguments.steps,
            )
        finally:
            server.kill()
            server.wait()
    good = report("first image", first, FIRST_MS) & report(
        "next image", following, NEXT_MS
    )
    return 0 if good else 1


def measure(address: str, image: str, steps: int) -> tuple[list[float], list[float]]:
    """Return the milliseconds of several first openings, each with an empty cache, and
    of steps from image to image."""
    first, following = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for _ in range(OPENINGS):
            page = browser.new_context(
                viewport={"width": 1280, "height": 800}
            ).new_page()
            started = time.perf_counter()
            page.goto(address, wait_until="commit")
            page.wait_for_function(
                "image => document.getElementById('canvas')?.dataset.shown === image",
                arg=image,
            )
            first.append(1000 * (time.perf_counter() - started))
            if len(first) == OPENINGS:
                following = step_on(page, steps)
            page.context.close()
        browser.close()
    return first, following


def step_on(page: Any, steps: int) -> list[float]:
    """Go to the next image by its key, at a person's pace; return how long each took to
    be shown."""
    page.evaluate(WATCH)
    for done in range(steps):
        page.keyboard.press("n")
        page.wait_for_function("done => window.shownAfter.length > done", arg=done)
        page.wait_for_timeout(PAUSE_MS)
    return [float(value) for value in page.evaluate("window.shownAfter")]


def report(name: str, milliseconds: list[float], limit: float) -> bool:
    """Print one line; return whether it is quick enough."""
    median, most = np.median(milliseconds), np.percentile(milliseconds, 95)
    print(
        f"{name}: median {median:.0f} ms, 95 % within {most:.0f} ms, of {len(milliseconds)} (limit {limit:.0f} ms)"
    )
    return bool(most < limit)


if __name__ == "__main__":
    sys.exit(main())
