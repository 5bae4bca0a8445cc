"""Draw what `fdpose validate` finds: a fault put into labels of a synthetic dive,
between the frames beside it.

    python tools/label_pictures.py --out docs/images [--seed 4] [--dive 2]

One image a fault, ``validate_<kind>.png``: the frame before, the frame with the fault,
the frame after. Joints that are swapped or misplaced are ringed; the line above says what
was found.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
from bench_validate import make_true_labels
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
SIDE = 300  # px of a frame in the image
AROUND = 1.35  # times the athlete's box
GREYS = 24
RING = (40, 40, 255)


def slip_knee(frame: LabelledFrame) -> LabelledFrame:
    """Move the left knee by a sixth of the box."""
    assert frame.box is not None
    keypoints = frame.keypoints.copy()
    keypoints[INDEX["left_knee"]] += (frame.box[2:] - frame.box[:2]).max() / 6
    return replace(frame, keypoints=keypoints)


FAULTS: dict[str, Put] = {
    "mirrored": swap_sides,
    "swapped-sides": lambda frame: swap_sides(frame, FLIP_PAIRS[3:]),
    "jump": slip_knee,
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
    labels = annotate_frames(make_true_labels(dive, scene, 30), CAREFUL, options.seed)[
        0
    ]
    for kind, put in FAULTS.items():
        at, finding = find_clearest(labels, kind, put)
        spoilt = [*labels[:at], put(labels[at]), *labels[at + 1 :]]
        near = [spoilt[at - 1], spoilt[at], spoilt[at + 1]]
        images = []
        for label in near:
            assert label.frame is not None
            images.append(scene.render_frame(label.frame - dive.start_frame))
        path = options.out / f"validate_{kind}.png"
        write_png(path, draw_finding(images, near, finding))
        print(f"{path}: {finding}")


def find_clearest(
    labels: Sequence[LabelledFrame], kind: str, put: Put
) -> tuple[int, Finding]:
    """Return the frame in which this fault is found as this kind with the largest
    value, and the finding."""
    found: dict[int, Finding] = {}
    for at in range(3, len(labels) - 3):
        spoilt = LabelSet((*labels[:at], put(labels[at]), *labels[at + 1 :]))
        for finding in check_labels(spoilt):
            if finding.image == labels[at].image and finding.kind == kind:
                found.setdefault(at, finding)
    if not found:
        raise SystemExit(
            f"{kind} is found in no frame of this dive; choose another --dive"
        )
    best = max(found, key=lambda at: float(found[at].value or 0))
    return best, found[best]


def draw_finding(
    images: Sequence[Image], labels: Sequence[LabelledFrame], finding: Finding
) -> Image:
    """Return the three frames around one place, the middle one's faults ringed, under
    the words of the finding."""
    import cv2

    boxes = np.stack([label.box for label in labels if label.box is not None])
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    scale = SIDE / (AROUND * float((high - low).max()))
    shift = SIDE / 2 - scale * (low + high) / 2
    cells = []
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        to_cell = np.hstack([scale * np.eye(2), shift[:, None]])
        cell = cv2.warpAffine(
            image,
            to_cell,
            (SIDE, SIDE),
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REPLICATE,
        )
        cell = reduce_greys(cell)
        points = label.keypoints * scale + shift
        cell = draw_skeleton(cell, points, scale=1)
        joints = list_ringed(finding) if number == 1 else []
        for joint in joints:
            x, y = np.round(points[joint]).astype(int).tolist()
            cv2.circle(cell, (x, y), 11, RING, 2, cv2.LINE_AA)
        cells.append(cell)
    title = f"{finding.severity}: {finding.joint or finding.kind}"
    sheet = arrange_sheet(cells, 3, ["before", title, "after"])
    for line in reversed(finding.message.split("; ", maxsplit=1)):
        sheet = add_caption(sheet, line)
    return sheet


def list_ringed(finding: Finding) -> list[int]:
    """Return the joints that a finding means."""
    if finding.pairs:
        return list(chain.from_iterable(finding.pairs))
    return [INDEX[finding.joint]] if finding.joint else []


def reduce_greys(image: Image) -> Image:
    """Return the image in a few light greys: skeletons stand out, and the file is
    small."""
    grey = image.astype(float).mean(axis=2)
    low, high = np.percentile(grey, (1, 99))
    levels = np.clip((grey - low) / max(high - low, 1.0), 0, 1)
    levels = np.round(levels * GREYS) / GREYS
    return np.repeat((70 + 170 * levels)[..., None], 3, axis=2).astype(np.uint8)


def write_png(path: Path, image: Image) -> None:
    """Write a PNG as small as it gets."""
    from PIL import Image as pillow

    with atomic_path(path) as temporary:
        pillow.fromarray(np.ascontiguousarray(image[..., ::-1])).save(
            temporary, optimize=True
        )


if __name__ == "__main__":
    main()
