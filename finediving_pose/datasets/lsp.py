"""Leeds Sports Pose Extended (Johnson and Everingham, 2011): people in extreme poses,
14 joints by crowd workers.

Read as published, ``joints.mat`` of shape (14, 3, N) beside ``images/im00001.jpg`` and
so on, or as a JSON list of image, joints and joints_vis in our joint order. The thorax
is not labelled and stays missing; the pelvis is the middle of the hips. There are no
boxes: each is estimated from the joints. Every image is a dive of its own,
``lsp/<name>``, so that any of them can be held out. The format is read, never written.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.boxes import enclose_joints
from finediving_pose.datasets import joint_records
from finediving_pose.datasets.label_format import LabelFormat
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.matlab_arrays import read_matlab_array
from finediving_pose.datasets.problems import ProblemLog, load_json, show_coordinates
from finediving_pose.errors import DataError
from finediving_pose.records import FloatArray, LabelledFrame, Visibility
from finediving_pose.skeleton import HIPS, INDEX, JOINTS, NUM_JOINTS

MATCH = "lsp"
BOX_MARGIN = 0.1
"""How far the estimated box reaches beyond the joints on every side, as a share of its
joints' longer extent."""

PUBLISHED_ORDER: tuple[str, ...] = (
    "right_ankle",
    "right_knee",
    "right_hip",
    "left_hip",
    "left_knee",
    "left_ankle",
    "right_wrist",
    "right_elbow",
    "right_shoulder",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "upper_neck",
    "head_top",
)


def read(path: Path, images: Path | None = None) -> LabelSet:
    """Read ``joints.mat`` or the JSON list; faults of single items become problems.

    Args:
        path: The file.
        images: The folder of the images; None looks beside the file.

    Raises:
        DataError: If the file is neither.
    """
    content = _published(path) if path.suffix.lower() == ".mat" else load_json(path)
    return joint_records.read_records(
        path, content, images, offset=0.0, completed=_completed
    )


def estimate_box(keypoints: FloatArray) -> FloatArray | None:
    """Return the (4,) px box around (16, 2) px joints, NaN = missing; None for fewer
    than two different places."""
    known = keypoints[np.isfinite(keypoints).all(axis=1)]
    if not len(known) or (known == known[0]).all():
        return None
    return enclose_joints(known, BOX_MARGIN)


def _completed(
    frame: LabelledFrame, record: dict[str, Any], log: ProblemLog
) -> dict[str, Any]:
    _report_same_place(frame.keypoints, frame.visibility, log)
    keypoints, visibility = _with_pelvis(frame.keypoints, frame.visibility)
    dive = Path(frame.image).stem
    found: dict[str, Any] = {
        "keypoints": keypoints,
        "visibility": visibility,
        "match": MATCH,
        "dive": dive,
    }
    if frame.box is None:
        box = estimate_box(np.where((visibility > 0)[:, None], keypoints, np.nan))
        if box is None:
            log.warning(
                "unreadable",
                "joints",
                f"{int((visibility > 0).sum())} labelled, too few to estimate a box; no box",
            )
        found |= {"box": box, "box_estimated": box is not None}
    return found


def _with_pelvis(
    keypoints: FloatArray, visibility: NDArray[np.uint8]
) -> tuple[FloatArray, NDArray[np.uint8]]:
    """Put the pelvis between two labelled hips, as occluded where one of them is."""
    pelvis, hips = INDEX["pelvis"], list(HIPS)
    if visibility[pelvis] or not visibility[hips].all():
        return keypoints, visibility
    keypoints, visibility = keypoints.copy(), visibility.copy()
    keypoints[pelvis], visibility[pelvis] = (
        keypoints[hips].mean(axis=0),
        visibility[hips].min(),
    )
    return keypoints, visibility


def _report_same_place(
    keypoints: FloatArray, visibility: NDArray[np.uint8], log: ProblemLog
) -> None:
    """Name pairs of labelled joints, pelvis apart, with the very same coordinates:
    mostly a worker's slip."""
    labelled = np.setdiff1d(np.flatnonzero(visibility > 0), [INDEX["pelvis"]])
    for i, first in enumerate(labelled):
        for second in labelled[i + 1 :]:
            if (keypoints[first] == keypoints[second]).all():
                found = show_coordinates(keypoints[first])
                log.warning(
                    "unreadable",
                    JOINTS[second],
                    f"{found} is where {JOINTS[first]} is too; both kept",
                    found=found,
                )


def _published(path: Path) -> list[dict[str, Any]]:
    """Return the items of ``joints.mat``, whose images count from im00001.jpg; a joint
    of visibility 0 has no place."""
    joints = read_matlab_array(path, "joints")
    if (
        joints is None
        or joints.ndim != 3
        or joints.shape[:2] != (len(PUBLISHED_ORDER), 3)
    ):
        found = "none" if joints is None else "x".join(map(str, joints.shape))
        raise DataError(
            f"{path}: joints: found {found}, expected 14x3xN as LSP extended publishes them"
        )
    order = [INDEX[name] for name in PUBLISHED_ORDER]
    places = np.full((joints.shape[2], NUM_JOINTS, 2), np.nan)
    places[:, order] = joints[:, :2].transpose(2, 0, 1)
    seen = np.full((joints.shape[2], NUM_JOINTS), int(Visibility.MISSING))
    seen[:, order] = joints[:, 2].T > 0
    places[seen == Visibility.MISSING] = np.nan
    return [
        {
            "image": f"im{number:05d}.jpg",
            "joints": points.tolist(),
            "joints_vis": visible.tolist(),
        }
        for number, (points, visible) in enumerate(
            zip(places, seen, strict=True), start=1
        )
    ]


def _is_lsp(content: Any) -> bool:
    """Whether the content is a list without centers whose first image is named as LSP
    names images."""
    record = joint_records.find_first_record(content)
    if record is None or "center" in record:
        return False
    name = joint_records.get_image_file_name(record)
    return re.fullmatch(r"im[0-9]{5}\.jpg", name) is not None


FORMAT = LabelFormat(
    name="lsp",
    description="Leeds Sports Pose Extended, `joints.mat` or JSON; read only",
    hallmark="`joints.mat`, or a list with `image` and `joints`, images named im00001",
    reader=read,
    suffix=".json",
    own_suffixes=(".mat",),
    recognises=_is_lsp,
)
