"""Label files with every fault that a reader tells, a source for each format."""

from __future__ import annotations

import csv
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from finediving_pose.datasets import coco, fdpose_json, joints_csv, mpii, pyskl
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.skeleton import NUM_JOINTS
from helpers.label_samples import (
    SIZE,
    box_shape,
    labelme_file,
    make_frame,
    point_shape,
)


def write_faulty_labels(root: Path) -> list[Path]:
    """Write the sources below `root` and return them."""
    writers = [
        write_labelme,
        write_labelme_without_images,
        write_fdpose_json,
        write_mpii,
        write_coco,
        write_csv,
        write_pyskl,
        write_lsp,
    ]
    return [writer(root / writer.__name__) for writer in writers]


def write_labelme(folder: Path) -> Path:
    """Files whose shapes, flags, image or size are wrong, one fault each."""
    points = [point_shape(str(n), 110 + 5 * n, 70 + 8 * n) for n in range(NUM_JOINTS)]
    shapes: dict[str, list[Any]] = {
        "missing-joint": [box_shape(), *points[1:]],
        "no-box": points,
        "box-only": [box_shape()],
        "nothing": [],
        "joint-twice": [box_shape(), *points, point_shape("3", 1, 1)],
        "box-twice": [box_shape(), box_shape(label="person"), *points],
        "no-number": [box_shape(), *points[1:], point_shape("0", None, 3)],
        "no-points": [box_shape(), *points[1:], point_shape("0", 1, 1, points="x")],
        "outside-image": [box_shape(), *points[1:], point_shape("0", 900, 3)],
        "far-outside": [box_shape(), *points[1:], point_shape("0", 9e9, 3)],
        "flat-box": [box_shape(corners=((3, 3), (3, 9))), *points],
        "endless-box": [box_shape(corners=((3, 3), (float("nan"), 9))), *points],
        "far-box": [box_shape(corners=((3, 3), (9e9, 9e9))), *points],
        "box-outside": [box_shape(corners=((800, 800), (900, 900))), *points],
        "three-corners": [box_shape(corners=((1, 2), (3, 4), (5, 6))), *points],
        "other-shape": [box_shape(), *points, point_shape("pool", 5, 5)],
        "two-people": [
            *(point | {"group_id": 1} for point in points),
            *(point | {"group_id": 2} for point in points),
        ],
        "no-objects": [1, 2],
    }
    for name, content in shapes.items():
        labelme_file(folder / f"{name}.json", shapes=content)
    labelme_file(folder / "guess.json", flags={"unconfirmed": True})
    labelme_file(folder / "newer.json", version="99.0")
    labelme_file(folder / "size.json", imageWidth=999)
    labelme_file(folder / "nameless.json", imagePath=7)
    labelme_file(folder / "absent.json", image=False)
    labelme_file(folder / "twin.json", imagePath="guess.jpg", image=False)
    labelme_file(folder / "text.json")
    (folder / "text.jpg").write_text("no image", encoding="utf-8")
    (folder / "truncated.json").write_text('{"shapes": [', encoding="utf-8")
    (folder / "other.json").write_text("[]", encoding="utf-8")
    return folder


def write_labelme_without_images(folder: Path) -> Path:
    labelme_file(folder / "1.json", image=False)
    return folder


def write_fdpose_json(folder: Path) -> Path:
    """A list whose records are wrong, one fault each."""
    path = _write_frames(folder, fdpose_json.write, "annotations.json")
    return _spoil_records(path, {"scale": 0}, {"center": None})


def write_mpii(folder: Path) -> Path:
    path = _write_frames(folder, mpii.write, "annotations.json")
    return _spoil_records(path, {"scale": 0}, {"image": "000000001.jpg"})


def write_coco(folder: Path) -> Path:
    path = _write_frames(folder, coco.write, "annotations.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    changes: list[dict[str, Any]] = [
        {"image_id": 99},
        {"iscrowd": 1},
        {"keypoints": [1, 2]},
        {"bbox": "x"},
        {"bbox": [1, 2, 0, 0]},
        {"match": "../up"},
        {"keypoints": [1, 1, 9, *content["annotations"][0]["keypoints"][3:]]},
        {"keypoints": [-9, 1, 2, *content["annotations"][0]["keypoints"][3:]]},
    ]
    for annotation, change in zip(content["annotations"], changes, strict=False):
        annotation |= change
    content["annotations"].append("text")
    content["images"].append({"id": 77, "file_name": "../up.jpg"})
    content["annotations"].append(content["annotations"][-2] | {"image_id": 77})
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def write_csv(folder: Path) -> Path:
    path = _write_frames(folder, joints_csv.write, "annotations.csv")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    changes = [
        {"image": "../up.jpg"},
        {"pelvis_v": "7"},
        {"pelvis_x": "far"},
        {"pelvis_x": "-50"},
        {joints_csv.BOX_COLUMNS[0]: "far"},
        {"match": "a/b"},
    ]
    for row, change in zip(rows, changes, strict=False):
        row |= change
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_pyskl(folder: Path) -> Path:
    frames = tuple(make_frame(f"clip{number}/00001.jpg", number) for number in range(6))
    path = folder / "annotations.pkl"
    folder.mkdir()
    pyskl.write(path, LabelSet(frames))
    content = pickle.loads(path.read_bytes())
    two_people = np.zeros((2, 1, NUM_JOINTS, 2), np.float32)
    changes: list[dict[str, Any]] = [
        {"keypoint": two_people},
        {"keypoint": None},
        {"size": np.zeros((9, 9))},
        {"frame_index": ["x"]},
        {"image": ["../up.jpg"]},
    ]
    for clip, change in zip(content["annotations"], changes, strict=False):
        clip |= change
    path.write_bytes(pickle.dumps(content, protocol=4))
    return path


def write_lsp(folder: Path) -> Path:
    """Joints in one place, and too few of them for a box."""
    same = {"image": "im00001.jpg", "joints": [[5, 5]] * 16, "joints_vis": [1] * 16}
    few = {"image": "im00002.jpg", "joints": [[5, 5]] * 16, "joints_vis": [0] * 16}
    folder.mkdir()
    path = folder / "annotations.json"
    path.write_text(json.dumps([same, few]), encoding="utf-8")
    return path


def _write_frames(folder: Path, write: Any, name: str) -> Path:
    """Write ten good frames of ten images; all but the last image are there."""
    frames = tuple(make_frame(f"{number}.jpg", number) for number in range(10))
    folder.mkdir()
    for frame in frames[:-1]:
        Image.new("RGB", SIZE).save(folder / frame.image)
    write(folder / name, LabelSet(frames))
    return folder / name


def _spoil_records(path: Path, *own: dict[str, Any]) -> Path:
    records = json.loads(path.read_text(encoding="utf-8"))
    changes: list[dict[str, Any]] = [
        {"image": 7},
        {"joints": [[1, 2]]},
        {"joints_vis": ["x"]},
        {"box": "x"},
        {"match": "a/b"},
        {"size": [9, 9]},
        *own,
    ]
    for record, change in zip(records, changes, strict=False):
        record |= change
    path.write_text(json.dumps([*records, "text"]), encoding="utf-8")
    return path
