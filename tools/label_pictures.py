"""Draw what `fdpose validate` finds: a fault put into labels of a synthetic dive,
between the frames beside it.

    python tools/label_pictures.py --out docs/images [--seed 4] [--dive 2]

One picture a fault, ``validate_<kind>.png``: the frame before, the frame with the
fault, the frame after. Joints that are exchanged or misplaced are ringed; the line
above says what was found.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from bench_validate import true_labels
from label_faults import CAREFUL

from finediving_pose.annotation.label_checks import check_labels
from finediving_pose.annotation.label_findings import Finding
from finediving_pose.annotation.label_swaps import swap_sides
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.files import atomic_path
from finediving_pose.media import Image
from finediving_pose.records import LabelledFrame
from finediving_pose.reporting.contact_sheet import arrange_sheet
from finediving_pose.reporting.overlays import add_caption, draw_skeleton
from finediving_pose.skeleton import FLIP_PAIRS, INDEX
from finediving_pose.synthesis.annotators import annotate_frames
from finediving_pose.synthesis.meet import plan_meet, stage_dive

Put = Callable[[LabelledFrame], LabelledFrame]
SIDE = 300  # px of a frame in the picture
AROUND = 1.35  # times the athlete's box
GREYS = 24
RING = (40, 40, 255)


def slipped(frame: LabelledFrame) -> LabelledFrame:
    """Move the left knee by a sixth of the box."""
    assert frame.box is not None
    keypoints = frame.keypoints.copy()
    keypoints[INDEX["left_knee"]] += (frame.box[2:] - frame.box[:2]).max() / 6
    return replace(frame, keypoints=keypoints)


FAULTS: dict[str, Put] = {
    "mirrored": swap_sides,
    "swapped-sides": lambda frame: swap_sides(frame, FLIP_PAIRS[3:]),
    "jump": slipped,
}


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument(
        "--dive", type=int, default=2, help="which dive of the meet, from 1"
    )
    options = parser.parse_args()
    dive = plan_meet(8, options.seed).dives[options.dive - 1]
    scene = stage_dive(dive)
    labels = annotate_frames(true_labels(dive, scene, 30), CAREFUL, options.seed)[0]
    for kind, put in FAULTS.items():
        at, finding = clearest(labels, kind, put)
        spoilt = [*labels[:at], put(labels[at]), *labels[at + 1 :]]
        near = [spoilt[at - 1], spoilt[at], spoilt[at + 1]]
        pictures = [
            scene.render_frame(label.frame - dive.start_frame)
            for label in near
            if label.frame is not None
        ]
        path = options.out / f"validate_{kind}.png"
        write_png(path, drawn(pictures, near, finding))
        print(f"{path}: {finding}")


def clearest(
    labels: Sequence[LabelledFrame], kind: str, put: Put
) -> tuple[int, Finding]:
    """Return the frame in which this fault is found as this kind with the largest
    value, and the finding."""
    found: dict[int, Finding] = {}
    for at in range(3, len(labels) - 3):
        spoilt = LabelSet((*labels[:at], put(labels[at]), *labels[at + 1 :]))
        findings = [
            finding
            for finding in check_labels(spoilt)
            if finding.image == labels[at].image and finding.kind == kind
        ]
        if findings:
            found[at] = findings[0]
    if not found:
        raise SystemExit(
            f"{kind} is found in no frame of this dive; choose another --dive"
        )
    best = max(found, key=lambda at: float(found[at].value or 0))
    return best, found[best]


def drawn(
    pictures: Sequence[Image], labels: Sequence[LabelledFrame], finding: Finding
) -> Image:
    """Return the three frames around one place, the middle one's faults ringed, under
    the words of the finding."""
    import cv2

    boxes = np.stack([label.box for label in labels if label.box is not None])
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    scale = SIDE / (AROUND * float((high - low).max()))
    shift = SIDE / 2 - scale * (low + high) / 2
    cells = []
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        to_cell = np.hstack([scale * np.eye(2), shift[:, None]])
        cell = cv2.warpAffine(
            picture,
            to_cell,
            (SIDE, SIDE),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
        cell = greyed(cell)
        points = label.keypoints * scale + shift
        cell = draw_skeleton(cell, points, scale=1)
        for joint in ringed(finding) if number == 1 else ():
            cv2.circle(
                cell,
                tuple(np.round(points[joint]).astype(int).tolist()),
                11,
                RING,
                2,
                cv2.LINE_AA,
            )
        cells.append(cell)
    sheet = arrange_sheet(
        cells,
        3,
        ["before", f"{finding.severity}: {finding.joint or finding.kind}", "after"],
    )
    halves: list[Any] = (
        finding.message.partition("; ")[::2]
        if "; " in finding.message
        else [finding.message]
    )
    for line in reversed(halves):
        sheet = add_caption(sheet, line)
    return sheet


def ringed(finding: Finding) -> list[int]:
    """Return the joints that a finding means."""
    exchanged = [joint for pair in finding.pairs for joint in pair]
    return exchanged or ([INDEX[finding.joint]] if finding.joint else [])


def greyed(picture: Image) -> Image:
    """Return the picture in a few light greys: skeletons stand out, and the file is
    small."""
    grey = picture.astype(float).mean(axis=2)
    low, high = np.percentile(grey, (1, 99))
    levels = (
        np.round(np.clip((grey - low) / max(high - low, 1.0), 0, 1) * GREYS) / GREYS
    )
    return np.repeat((70 + 170 * levels)[..., None], 3, axis=2).astype(np.uint8)


def write_png(path: Path, picture: Image) -> None:
    """Write a PNG as small as it gets."""
    from PIL import Image as pillow

    with atomic_path(path) as temporary:
        pillow.fromarray(np.ascontiguousarray(picture[..., ::-1])).save(
            temporary, optimize=True
        )


if __name__ == "__main__":
    main()
