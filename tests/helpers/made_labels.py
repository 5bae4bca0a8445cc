"""The folders `frames/` and `labels/` of a project: small pictures, their manifest, and
annotators' LabelMe files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from finediving_pose.annotation.label_store import LabelStore
from finediving_pose.annotation.review_state import ReviewDesk
from finediving_pose.datasets.frame_manifest import (
    ManifestFrame,
    image_key,
    write_frame_manifest,
)
from finediving_pose.datasets.labelme import encode_labelme
from finediving_pose.files import sha256_file, write_json
from finediving_pose.records import LabelledFrame
from helpers import made_divers


def make_frames(
    root: Path, dives: Iterable[tuple[str, str]] = (("Meet", "1"),), count: int = 4
) -> list[ManifestFrame]:
    """Write `count` pictures of each dive and `frames/manifest.csv`; return its rows."""
    rows = []
    for match, dive in dives:
        for number in range(count):
            image = image_key(match, dive, number)
            path = root / "frames" / image
            path.parent.mkdir(parents=True, exist_ok=True)
            picture = np.full(
                (made_divers.SIZE[1], made_divers.SIZE[0], 3), 60 + number, np.uint8
            )
            path.write_bytes(cv2.imencode(".jpg", picture)[1].tobytes())
            width, height = made_divers.SIZE
            made = (
                width,
                height,
                f"videos/{dive}.mp4",
                "0" * 64,
                sha256_file(path),
                "uniform",
            )
            rows.append(ManifestFrame(image, match, dive, number, "flight", *made))
    write_frame_manifest(root / "frames" / "manifest.csv", rows)
    return rows


def label_of(image: ManifestFrame, **changes: object) -> LabelledFrame:
    """A true label of one of the pictures."""
    return replace(
        true_labels()[image.frame],
        image=image.image,
        match=image.match,
        dive=image.dive,
        **changes,
    )


def true_labels() -> list[LabelledFrame]:
    """The labels that every dive gets."""
    return made_divers.make_dive(frames=40)


def annotate(
    root: Path, person: str, image: ManifestFrame, frame: LabelledFrame | None = None
) -> Path:
    """Write a person's LabelMe file of a picture, as LabelMe would."""
    path = root / "labels" / person / image.label_name
    picture = f"../../../frames/{image.image}"
    write_json(
        path, encode_labelme(frame or label_of(image), made_divers.SIZE, picture)
    )
    return path


def make_desk(
    root: Path, images: Sequence[ManifestFrame], allow_own: bool = False
) -> ReviewDesk:
    """The review of the project in `root`."""
    store = LabelStore(root / "labels", root / "frames")
    return ReviewDesk(store, images, root / "labels" / "review.jsonl", allow_own)
