"""Draw the contact sheet of a synthetic meet that the README shows, and the key to it.

    python tools/meet_sheet.py --out docs/images/meet.jpg
    python tools/meet_sheet.py --seed 5 --out sheet.jpg --key key.csv

One frame of each of 24 dives, in an order that says nothing. The key names dive number,
phase and position, for asking people what they see.
"""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finediving_pose import console
from finediving_pose.datasets.sub_actions import ENTRY, SUB_ACTIONS
from finediving_pose.files import write_text
from finediving_pose.media import Image, write_jpeg
from finediving_pose.records import Visibility
from finediving_pose.reporting.contact_sheet import arrange_sheet
from finediving_pose.synthesis.dive import SUBSTEPS
from finediving_pose.synthesis.meet import PlannedDive, plan_meet, stage_dive
from finediving_pose.synthesis.scene import Scene

FRAMES = 24
PHASES = ("take-off", "flight", "flight", "flight", "entry", "entry")
KEY_COLUMNS = ["frame", "dive", "phase", "position", "turned"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--hard", action="store_true", help="hard scenes")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--key", type=Path, help="csv of what the frames show")
    parser.add_argument("--columns", type=int, default=4)
    options = parser.parse_args()
    rng = np.random.default_rng([options.seed, 1])
    dives = plan_meet(FRAMES, options.seed, hard=options.hard).dives
    phases = rng.permutation(np.resize(PHASES, FRAMES))
    order = rng.permutation(FRAMES)
    images, rows = [], []
    with console.progress("frames", FRAMES) as ticker:
        for number, i in enumerate(order, start=1):
            image, shown = draw_frame(dives[i], str(phases[i]), rng)
            images.append(image)
            rows.append([str(number), *shown])
            ticker.advance()
    write_jpeg(options.out, arrange_sheet(images, options.columns), 85)
    if options.key:
        write_key(options.key, rows)


def write_key(path: Path, rows: list[list[str]]) -> None:
    """Write what each frame shows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(KEY_COLUMNS)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def draw_frame(
    dive: PlannedDive, phase: str, rng: np.random.Generator
) -> tuple[Image, list[str]]:
    """Choose a frame of a phase in which the athlete is to be seen; return it and what
    it shows."""
    scene = stage_dive(dive)
    k = int(rng.choice(list_frames(scene, phase)))
    position = SUB_ACTIONS[int(scene.motion.stages[k])]
    turned = f"{scene.motion.somersault[SUBSTEPS * k]:.0f}"
    return scene.render_frame(k), [dive.choice.dive_number, phase, position, turned]


def list_frames(scene: Scene, phase: str) -> NDArray[np.intp]:
    """Return the frames of a phase with at least half of the joints in the image, or
    all of its frames where there are none."""
    stages = scene.motion.stages
    changes = np.flatnonzero(np.diff(stages)) + 1
    bounds = {
        "take-off": (0, changes[0]),
        "flight": (changes[0] + 2, changes[-1]),
        "entry": (changes[-1], len(scene)),
    }
    start, end = bounds[phase]
    assert phase != "entry" or stages[start] == ENTRY, dict(enumerate(stages))
    frames = np.arange(start, end)
    seen = (scene.visibility[start:end] != Visibility.MISSING).sum(axis=1) >= 8
    return frames[seen] if seen.any() else frames


if __name__ == "__main__":
    main()
