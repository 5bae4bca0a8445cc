"""Make the sample and the pictures of the annotators' handbook, `annotations/`, from
the generator.

    python tools/handbook.py

The same version of the generator gives the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import io
import shutil
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from finediving_pose.datasets import labelme
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.files import write_bytes, write_text
from finediving_pose.media import Image, write_jpeg
from finediving_pose.records import FloatArray, JointState, LabelledFrame, Visibility
from finediving_pose.reporting.contact_sheet import arrange_sheet
from finediving_pose.reporting.overlays import add_caption, draw_skeleton
from finediving_pose.skeleton import COLOURS, NUM_JOINTS
from finediving_pose.synthesis import body, figure
from finediving_pose.synthesis.annotators import ANNOTATORS, Mistake, annotate_frames
from finediving_pose.synthesis.meet import plan_meet
from finediving_pose.synthesis.people import turn_into_view
from finediving_pose.synthesis.sample import sample_dive

ANNOTATIONS = Path(__file__).resolve().parents[1] / "annotations"
SEED = 11
DIVES, FRAMES_PER_DIVE = 8, 3
BACKGROUND = (196, 178, 150)
SCALE = 250.0  # px per metre of the large figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--out",
        type=Path,
        default=ANNOTATIONS,
        help="default: annotations/ of this checkout",
    )
    out = parser.parse_args().out
    write_jpeg(out / "images" / "sample.jpg", write_sample(out / "sample"), 85)
    drawings = {
        "joints": joints_picture(),
        "sides": sides_picture(),
        "occlusion": occlusion_picture(),
        "boxes": boxes_picture(),
    }
    for name, image in drawings.items():
        png = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
        write_bytes(out / "images" / f"{name}.png", png.tobytes())


def write_sample(out: Path) -> Image:
    """Write frames, both annotators' labels and the list of mistakes; return a picture
    of four frames."""
    shutil.rmtree(out, ignore_errors=True)
    truth, images = [], {}
    for dive in plan_meet(DIVES, SEED).dives:
        sample = sample_dive(dive, FRAMES_PER_DIVE)
        for frame, image in zip(sample.labels, sample.images, strict=True):
            truth.append(frame)
            images[frame.image] = image
            write_jpeg(out / "frames" / frame.image, image, dive.jpeg_quality)
    mistakes: list[Mistake] = []
    labels: dict[str, Sequence[LabelledFrame]] = {}
    for annotator in ANNOTATORS:
        labels[annotator.name], made = annotate_frames(truth, annotator, SEED)
        mistakes += made
        labelme.write(
            out / "labels" / annotator.name,
            LabelSet(
                tuple(labels[annotator.name]), images=out / "frames", format="labelme"
            ),
        )
    write_text(out / "mistakes.csv", mistakes_csv(mistakes))
    return beside(truth, labels, images, mistakes)


def mistakes_csv(mistakes: Sequence[Mistake]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["annotator", "image", "mistake", "joints"])
    writer.writerows(
        [m.annotator, m.image, m.kind, " ".join(map(str, m.joints))] for m in mistakes
    )
    return text.getvalue()


def beside(
    truth: Sequence[LabelledFrame],
    labels: dict[str, Sequence[LabelledFrame]],
    images: dict[str, Image],
    mistakes: Sequence[Mistake],
) -> Image:
    """Show four frames, with a mistake where there is one, as both annotators labelled
    them."""
    wrong = {mistake.image for mistake in mistakes}
    order = sorted(range(len(truth)), key=lambda i: truth[i].image not in wrong)[:4]
    rows = []
    for i in order:
        shown = [
            add_caption(
                draw_labels(images[frame.image], frame), f"{name}   {frame.image}"
            )
            for name, frame in ((name, frames[i]) for name, frames in labels.items())
        ]
        rows.append(np.hstack(shown))
    return arrange_sheet(
        [
            cv2.resize(row, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
            for row in rows
        ],
        1,
    )


def draw_labels(image: Image, frame: LabelledFrame) -> Image:
    """Draw a label; occluded joints are hollow."""
    states = np.where(
        frame.visibility == Visibility.OCCLUDED,
        JointState.INTERPOLATED,
        JointState.OBSERVED,
    )
    return draw_skeleton(image, frame.keypoints, states.astype(np.uint8), frame.box)


def joints_picture() -> Image:
    panels = []
    for heading, title in ((0.0, "from the front"), (90.0, "from the athlete's right")):
        panel, keypoints, _ = large_figure("standing_relaxed", heading, (440, 520))
        numbered(panel, keypoints, beside=heading == 90.0)
        panels.append(add_caption(panel, title))
    return np.hstack(panels)


def sides_picture() -> Image:
    panels = []
    for heading, title in (
        (90.0, "right side near the camera"),
        (270.0, "left side near the camera"),
    ):
        panel, keypoints, coverage = large_figure("tuck", heading, (440, 360))
        panels.append(add_caption(drawn(panel, keypoints, coverage), title))
    return np.hstack(panels)


def occlusion_picture() -> Image:
    panel, keypoints, coverage = large_figure("pike", 62.0, (440, 380))
    plain = add_caption(panel, "the picture")
    return np.hstack(
        [
            plain,
            add_caption(
                drawn(panel, keypoints, coverage), "filled: visible, hollow: occluded"
            ),
        ]
    )


def boxes_picture() -> Image:
    panels = []
    for grow, title in ((2.0, "right"), (38.0, "too wide"), (-26.0, "too tight")):
        panel, _, coverage = large_figure("twist_right", 40.0, (330, 560))
        box = coverage.box + np.array([-grow, -grow, grow, grow])
        colour = (70, 170, 40) if title == "right" else (50, 50, 210)
        cv2.rectangle(
            panel,
            *[tuple(int(v) for v in corner) for corner in box.round().reshape(2, 2)],
            colour,
            3,
        )
        panels.append(add_caption(panel, title))
    return np.hstack(panels)


def large_figure(
    pose: str, heading: float, size: tuple[int, int]
) -> tuple[Image, FloatArray, figure.Coverage]:
    """Paint one large figure in the middle of a plain picture; return it with its (16,
    2) px joints and coverage."""
    person = np.random.default_rng(SEED + 5)
    build, look = body.draw_build(person, "women"), figure.draw_look(person, "women")
    points = (
        turn_into_view(
            body.place_points(build, body.POSES[pose][None])[0], heading, 4.0
        )
        * SCALE
    )
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    points[:, :2] += np.array(size) / 2 - (low + high) / 2
    picture = np.full((size[1], size[0], 3), BACKGROUND, np.uint8)
    coverage = figure.paint_figure(
        picture, figure.Figure(points[None], SCALE, build, look), figure.Light()
    )
    return picture, points[:NUM_JOINTS, :2], coverage


def drawn(panel: Image, keypoints: FloatArray, coverage: figure.Coverage) -> Image:
    states = np.where(
        coverage.visible, JointState.OBSERVED, JointState.INTERPOLATED
    ).astype(np.uint8)
    return draw_skeleton(panel, keypoints, states, scale=1)


def numbered(panel: Image, keypoints: FloatArray, beside: bool) -> None:
    """Put a dot on each joint and its number beside it; from aside, joints of one
    height share a place."""
    told: dict[tuple[int, int], list[int]] = {}
    for joint, point in enumerate(keypoints):
        near = (
            next((key for key in told if np.hypot(*(np.array(key) - point)) < 26), None)
            if beside
            else None
        )
        told.setdefault(near or tuple(int(v) for v in point.round()), []).append(joint)
        cv2.circle(
            panel,
            [int(v) for v in point.round()],
            6,
            COLOURS[joint][::-1],
            -1,
            cv2.LINE_AA,
        )
        cv2.circle(
            panel, [int(v) for v in point.round()], 6, (30, 30, 30), 1, cv2.LINE_AA
        )
    for (x, y), joints in told.items():
        cv2.putText(
            panel,
            " ".join(map(str, joints)),
            (x + 14, y - 4),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.55,
            (20, 20, 20),
            2,
            cv2.LINE_AA,
        )


if __name__ == "__main__":
    main()
