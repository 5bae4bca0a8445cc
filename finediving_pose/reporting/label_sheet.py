"""Label sheet: a label beside its prediction, an image for each frame."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import numpy as np

from finediving_pose.files import write_bytes
from finediving_pose.keypoint_metrics import TORSO_THRESHOLD, compute_pck_torso
from finediving_pose.media import Image
from finediving_pose.records import FloatArray, JointState, LabelledFrame, Visibility
from finediving_pose.reporting.overlays import add_caption, draw_skeleton

_GAP = 4  # px of white between the two


class LabelSheet:
    """Writes a PNG for each labelled frame: the label on the left, the prediction on
    the right.

    Args:
        folder: Where to; ``a/b/00012.jpg`` becomes ``a__b__00012.png``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self,
        frame: LabelledFrame,
        image: Image,
        keypoints: FloatArray,
        scores: FloatArray,
    ) -> None:
        """Draw one frame.

        Args:
            frame: The label; its occluded joints are drawn hollow.
            image: (H, W, 3) uint8 BGR.
            keypoints: (16, 2) px, NaN = not predicted.
            scores: (16,) confidence.
        """
        import cv2

        states = np.where(
            frame.visibility == Visibility.OCCLUDED,
            JointState.INTERPOLATED,
            JointState.OBSERVED,
        )
        labelled = np.where(frame.labelled[:, None], frame.keypoints, np.nan)
        left = draw_skeleton(image, labelled, states.astype(np.uint8), frame.box)
        right = draw_skeleton(image, keypoints, box=frame.box)
        gap = np.full((left.shape[0], _GAP, 3), 255, np.uint8)
        sheet = add_caption(
            np.hstack([left, gap, right]),
            f"{frame.image}   label | prediction",
            _describe_match(frame, keypoints, scores),
        )
        encoded = cv2.imencode(".png", sheet)[1]
        write_bytes(self.folder / name_sheet(frame.image), encoded.tobytes())


def name_sheet(image: str) -> str:
    """Return the file name for an image's name: one folder holds all, and no part of a
    name leads out of it."""
    parts = PurePosixPath(image).with_suffix("").parts
    safe = [part for part in parts if part not in ("/", "..")]
    return "__".join(safe) + ".png"


def count_found_joints(
    frame: LabelledFrame, keypoints: FloatArray
) -> tuple[int, int] | None:
    """Count the joints that are within the PCK's distance of the label's.

    Args:
        frame: The label.
        keypoints: (16, 2) px, NaN = not predicted.

    Returns:
        How many are, of how many; None where the label has no torso.
    """
    result = compute_pck_torso(
        keypoints[None], frame.keypoints[None], frame.labelled[None]
    )
    if not result.frames:
        return None
    found = np.nansum(result.per_joint * result.count)
    return round(float(found)), int(result.count.sum())


def _describe_match(
    frame: LabelledFrame, keypoints: FloatArray, scores: FloatArray
) -> str:
    known = scores[np.isfinite(scores)]
    confidence = f"mean score {known.mean():.2f}" if len(known) else "no score"
    found = count_found_joints(frame, keypoints)
    if found is None:
        return f"{confidence}   PCK: the label has no torso"
    return f"{confidence}   PCK@{TORSO_THRESHOLD}: {found[0]} of {found[1]} joints"
