"""Draw the contact sheet of a synthetic meet that the README shows, and the key to it.

    python tools/meet_sheet.py --out docs/images/meet.jpg python tools/meet_sheet.py
    --seed 5 --out sheet.jpg --key key.csv     # for asking somebody what they see

One frame of each of 24 dives, in an order that says nothing; the key names dive number,
phase and position.
"""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path

import numpy as np

from finediving_pose import console
from finediving_pose.datasets.sub_actions import ENTRY, SUB_ACTIONS
from finediving_pose.files import write_text
from finediving_pose.media import Image, write_jpeg
from finediving_pose.records import Visibility
from finediving_pose.reporting.contact_sheet import arrange_sheet
from finediving_pose.synthesis.meet import PlannedDive, plan_meet, stage_dive
from finediving_pose.synthesis.scene import Scene

FRAMES = 24
PHASES = ("take-off", "flight", "flight", "flight", "entry", "entry")


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
    pictures, rows = [], []
    with console.progress("frames", FRAMES) as ticker:
        for place, i in enumerate(order, start=1):
            picture, shown = frame_of(dives[i], str(phases[i]), rng)
            pictures.append(picture)
            rows.append([place, *shown])
            ticker.advance()
    write_jpeg(options.out, arrange_sheet(pictures, options.columns), 85)
    if options.key:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(
            [["frame", "dive", "phase", "position", "turned"], *rows]
        )
        write_text(options.key, text.getvalue())


def frame_of(
    dive: PlannedDive, phase: str, rng: np.random.Generator
) -> tuple[Image, list[str]]:
    """Choose a frame of a phase in which the athlete is to be seen; return it and what
    it shows."""
    scene = stage_dive(dive)
    candidates = frames_of(scene, phase)
    k = int(rng.choice(candidates))
    label = int(scene.motion.stages[k])
    turned = (
        f"{scene.motion.somersault[k * len(scene.motion.somersault) // len(scene)]:.0f}"
    )
    return scene.render_frame(k), [
        dive.choice.dive_number,
        phase,
        SUB_ACTIONS[label],
        turned,
    ]


def frames_of(scene: Scene, phase: str) -> np.ndarray:
    stages = scene.motion.stages
    changes = np.flatnonzero(np.diff(stages)) + 1
    frames = np.arange(len(scene))
    bounds = {
        "take-off": (0, changes[0]),
        "flight": (changes[0] + 2, changes[-1]),
        "entry": (changes[-1], len(scene)),
    }
    start, end = bounds[phase]
    assert phase != "entry" or stages[start] == ENTRY, dict(enumerate(stages))
    seen = (scene.visibility != Visibility.MISSING).sum(axis=1) >= 8
    chosen = frames[start:end][seen[start:end]]
    return chosen if len(chosen) else frames[start:end]


if __name__ == "__main__":
    main()
