"""Make the sample and the images of the annotators' handbook, `annotations/`, from
the generator.

    python tools/handbook.py

The same version of the generator gives the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import io
import shutil
from collections.abc import Iterable, Sequence
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
# px per metre of the large figures.
SCALE = 250.0
# px within which joints share a number.
NEAR = 26


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
        "joints": draw_joints(),
        "sides": draw_sides(),
        "occlusion": draw_occlusion(),
        "boxes": draw_boxes(),
    }
    for name, image in drawings.items():
        png = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
        write_bytes(out / "images" / f"{name}.png", png.tobytes())


def write_sample(out: Path) -> Image:
    """Write frames, both annotators' labels and the list of mistakes; return an image
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
        labelled, made = annotate_frames(truth, annotator, SEED)
        labels[annotator.name] = labelled
        mistakes += made
        label_set = LabelSet(tuple(labelled), images=out / "frames", format="labelme")
        labelme.write(out / "labels" / annotator.name, label_set)
    write_text(out / "mistakes.csv", format_mistakes(mistakes))
    # Frames with a mistake come first.
    wrong = {mistake.image for mistake in mistakes}
    order = sorted(range(len(truth)), key=lambda i: truth[i].image not in wrong)
    return draw_labels_beside(labels, images, order[:4])


def format_mistakes(mistakes: Sequence[Mistake]) -> str:
    """Return a CSV file of mistakes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["annotator", "image", "mistake", "joints"])
    for mistake in mistakes:
        joints = " ".join(map(str, mistake.joints))
        writer.writerow([mistake.annotator, mistake.image, mistake.kind, joints])
    return text.getvalue()


def draw_labels_beside(
    labels: dict[str, Sequence[LabelledFrame]],
    images: dict[str, Image],
    shown: Sequence[int],
) -> Image:
    """Draw frames as each annotator labelled them, side by side.

    Args:
        labels: Frames by annotator.
        images: By their names.
        shown: Which of the frames.
    """
    rows = []
    for i in shown:
        drawn = []
        for name, frames in labels.items():
            label = draw_label(images[frames[i].image], frames[i])
            drawn.append(add_caption(label, f"{name}   {frames[i].image}"))
        row = np.hstack(drawn)
        rows.append(cv2.resize(row, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA))
    return arrange_sheet(rows, 1)


def draw_label(image: Image, frame: LabelledFrame) -> Image:
    """Draw a label; occluded joints are hollow."""
    occluded = frame.visibility == Visibility.OCCLUDED
    states = np.where(occluded, JointState.INTERPOLATED, JointState.OBSERVED)
    return draw_skeleton(image, frame.keypoints, states.astype(np.uint8), frame.box)


def draw_joints() -> Image:
    """Draw the numbers of the joints, from two directions."""
    panels = []
    for heading, title in ((0.0, "from the front"), (90.0, "from the athlete's right")):
        panel, keypoints, _ = paint_large("standing_relaxed", heading, (440, 520))
        number_joints(panel, keypoints, together=heading == 90.0)
        panels.append(add_caption(panel, title))
    return np.hstack(panels)


def draw_sides() -> Image:
    """Draw what is left and right of a tuck, from both sides."""
    panels = []
    for heading, title in (
        (90.0, "right side near the camera"),
        (270.0, "left side near the camera"),
    ):
        panel, keypoints, coverage = paint_large("tuck", heading, (440, 360))
        panels.append(add_caption(draw_truth(panel, keypoints, coverage), title))
    return np.hstack(panels)


def draw_occlusion() -> Image:
    """Draw which joints of a pike are visible."""
    panel, keypoints, coverage = paint_large("pike", 62.0, (440, 380))
    plain = add_caption(panel, "the picture")
    truth = draw_truth(panel, keypoints, coverage)
    return np.hstack([plain, add_caption(truth, "filled: visible, hollow: occluded")])


def draw_boxes() -> Image:
    """Draw a good box, one that is too wide and one that is too tight."""
    panels = []
    for grow, title in ((2.0, "right"), (38.0, "too wide"), (-26.0, "too tight")):
        panel, _, coverage = paint_large("twist_right", 40.0, (330, 560))
        box = coverage.box + np.array([-grow, -grow, grow, grow])
        x1, y1, x2, y2 = box.round().astype(int).tolist()
        colour = (70, 170, 40) if title == "right" else (50, 50, 210)
        cv2.rectangle(panel, (x1, y1), (x2, y2), colour, 3)
        panels.append(add_caption(panel, title))
    return np.hstack(panels)


def paint_large(
    pose: str, heading: float, size: tuple[int, int]
) -> tuple[Image, FloatArray, figure.Coverage]:
    """Paint one large figure in the middle of a plain image.

    Args:
        pose: A name of body.POSES.
        heading: In degrees; 0 faces the camera.
        size: Width and height in px.

    Returns:
        The image, its (16, 2) px joints, and what the figure covers.
    """
    rng = np.random.default_rng(SEED + 5)
    build, look = body.draw_build(rng, "women"), figure.draw_look(rng, "women")
    placed = body.place_points(build, body.POSES[pose][None])[0]
    points = turn_into_view(placed, heading, 4.0) * SCALE
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    points[:, :2] += np.array(size) / 2 - (low + high) / 2
    image = np.full((size[1], size[0], 3), BACKGROUND, np.uint8)
    person = figure.Figure(points[None], SCALE, build, look)
    coverage = figure.paint_figure(image, person, figure.Light())
    return image, points[:NUM_JOINTS, :2], coverage


def draw_truth(panel: Image, keypoints: FloatArray, coverage: figure.Coverage) -> Image:
    """Draw the true joints of a figure; hidden ones are hollow."""
    visible = coverage.visible
    states = np.where(visible, JointState.OBSERVED, JointState.INTERPOLATED)
    return draw_skeleton(panel, keypoints, states.astype(np.uint8), scale=1)


def number_joints(panel: Image, keypoints: FloatArray, together: bool) -> None:
    """Put a dot on each joint and its number beside it.

    Args:
        panel: Changed in place.
        keypoints: (16, 2) px.
        together: Whether joints near each other share one text, as from aside.
    """
    texts: dict[tuple[int, int], list[int]] = {}
    for joint, point in enumerate(keypoints):
        x, y = point.round().astype(int).tolist()
        spot = (x, y)
        if together:
            spot = find_near(texts, point) or spot
        texts.setdefault(spot, []).append(joint)
        cv2.circle(panel, (x, y), 6, COLOURS[joint][::-1], -1, cv2.LINE_AA)
        cv2.circle(panel, (x, y), 6, (30, 30, 30), 1, cv2.LINE_AA)
    font = cv2.FONT_HERSHEY_SIMPLEX
    for (x, y), joints in texts.items():
        text, corner = " ".join(map(str, joints)), (x + 14, y - 4)
        cv2.putText(panel, text, corner, font, 0.55, (20, 20, 20), 2, cv2.LINE_AA)


def find_near(
    spots: Iterable[tuple[int, int]], point: FloatArray
) -> tuple[int, int] | None:
    """Return the first spot near a point (2,), None where there is none."""
    for spot in spots:
        if np.hypot(*(np.array(spot) - point)) < NEAR:
            return spot
    return None


if __name__ == "__main__":
    main()
