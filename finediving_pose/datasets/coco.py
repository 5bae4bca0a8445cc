"""COCO keypoints with our 16 joints; the bounding box is the one that was drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from posixpath import normpath
from typing import Any

import numpy as np

from finediving_pose.datasets.label_format import LabelFormat
from finediving_pose.datasets.label_set import LabelSet, find_images_folder
from finediving_pose.datasets.problems import (
    Problem,
    ProblemLog,
    check_box,
    check_image_name,
    check_joints,
    check_key,
    load_json,
    name_item,
    parse_frame,
    parse_image_size,
    parse_numbers,
)
from finediving_pose.errors import DataError
from finediving_pose.files import write_text
from finediving_pose.records import FloatArray, LabelledFrame, Visibility
from finediving_pose.skeleton import JOINTS, LIMBS, NUM_JOINTS, find_joint

CATEGORY_ID = 1


def make_coco_categories() -> list[dict[str, Any]]:
    """Return the one category: our joints in our order, limbs as 1-based joint pairs."""
    return [
        {
            "id": CATEGORY_ID,
            "name": "person",
            "supercategory": "person",
            "keypoints": list(JOINTS),
            "skeleton": [[a + 1, b + 1] for a, b in LIMBS],
        }
    ]


def encode_coco(
    frames: Sequence[LabelledFrame], sizes: Mapping[str, tuple[int, int]] | None = None
) -> dict[str, Any]:
    """Return a COCO keypoint data set of JSON types, ready for pycocotools.

    Image ids count from 1 in the order of the images' first frames, annotation ids from
    1 in the order of `frames`; `bbox` is the drawn box as x, y, width, height px,
    `area` its area in px². A frame without a box has neither of the two. Missing joints
    are 0, 0, 0. Match, dive, frame number and ``box_estimated`` are kept as further
    keys of the annotation.

    Args:
        frames: The labels.
        sizes: (width, height) px by image name, for frames that do not say; an image
            without has no such keys.
    """
    ids: dict[str, int] = {}
    images: list[dict[str, Any]] = []
    for frame in frames:
        if frame.image not in ids:
            ids[frame.image] = len(ids) + 1
            images.append(
                {
                    "id": ids[frame.image],
                    "file_name": frame.image,
                    **_encode_size(frame, sizes or {}),
                }
            )
    annotations = []
    for number, frame in enumerate(frames, start=1):
        annotations.append(_encode_annotation(frame, number, ids[frame.image]))
    return {
        "info": {
            "description": "FineDiving-Pose keypoints, MPII's 16 joints",
            "version": "1.0",
        },
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": make_coco_categories(),
    }


def write(path: Path, labels: LabelSet) -> list[Problem]:
    """Write a COCO keypoint file.

    Args:
        path: The file.
        labels: What to write.

    Returns:
        Warnings of frames without a box and of images of unknown size.
    """
    sizes: dict[str, tuple[int, int]] = {}
    for frame in labels.frames:
        size = labels.image_size(frame)
        if size is not None:
            sizes[frame.image] = size
    content = encode_coco(labels.frames, sizes)
    write_text(path, json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n")
    unknown = sum("width" not in image for image in content["images"])
    without_box = sum(frame.box is None for frame in labels.frames)
    problems: list[Problem] = []
    log = ProblemLog(str(path), problems)
    if unknown:
        log.warning(
            "unwritable",
            "images",
            f"{unknown} of unknown size have no width and height, which most readers need",
        )
    if without_box:
        log.warning(
            "unwritable",
            "annotations",
            f"{without_box} frames without an athlete box have no bbox and area",
        )
    return problems


def read(path: Path, images: Path | None = None) -> LabelSet:
    """Read a COCO keypoint file whose category names our 16 joints, in any order and
    usual spelling.

    Args:
        path: The file.
        images: The folder of the images; None looks beside the file.

    Raises:
        DataError: If it is no COCO file, or its keypoints are another skeleton's.
    """
    content = load_json(path)
    lists = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in lists
    ):
        raise DataError(
            f"{path}: no COCO file: expected an object with the lists {', '.join(lists)}"
        )
    orders = _find_joint_orders(path, content["categories"])
    problems: list[Problem] = []
    by_id = _list_images(content["images"])
    frames = []
    labelled: dict[str, Any] = {}  # the id under which an image was labelled first
    for position, annotation in enumerate(content["annotations"]):
        frame = _read_frame(path, position, annotation, by_id, orders, problems)
        if frame is None:
            continue
        identity = annotation["image_id"]
        first = labelled.setdefault(normpath(frame.image), identity)
        if first == identity:
            frames.append(frame)
            continue
        log = ProblemLog(name_item(path, frame.image), problems)
        log.error(
            "double",
            "image_id",
            f"{frame.image} is labelled twice, with the ids {first!r} and {identity!r}; "
            "expected one; left out",
            found=f"{first!r} and {identity!r}",
            expected="one id",
        )
    return LabelSet(tuple(frames), tuple(problems), find_images_folder(path, images))


def _encode_size(
    frame: LabelledFrame, sizes: Mapping[str, tuple[int, int]]
) -> dict[str, int]:
    size = frame.size or sizes.get(frame.image)
    return {} if size is None else {"width": int(size[0]), "height": int(size[1])}


def _encode_annotation(
    frame: LabelledFrame, identity: int, image_id: int
) -> dict[str, Any]:
    finite = np.isfinite(frame.keypoints).all(axis=1, keepdims=True)
    points = np.where(finite, frame.keypoints, 0.0)
    triples: list[float] = []
    for (x, y), visible in zip(points.tolist(), frame.visibility.tolist(), strict=True):
        triples += [x, y, visible]
    annotation: dict[str, Any] = {
        "id": identity,
        "image_id": image_id,
        "category_id": CATEGORY_ID,
        "keypoints": triples,
        "num_keypoints": int(frame.labelled.sum()),
        "iscrowd": 0,
    }
    if frame.box is not None:
        x1, y1, x2, y2 = (float(value) for value in frame.box)
        annotation |= {
            "bbox": [x1, y1, x2 - x1, y2 - y1],
            "area": (x2 - x1) * (y2 - y1),
        }
    extras = {"match": frame.match, "dive": frame.dive, "frame": frame.frame}
    annotation |= {key: value for key, value in extras.items() if value is not None}
    if frame.box_estimated:
        annotation["box_estimated"] = True
    return annotation


def _list_images(images: Sequence[Any]) -> dict[Any, list[Mapping[str, Any]]]:
    """Return the images of each id: one, unless files were merged with ids of their
    own."""
    by_id: dict[Any, list[Mapping[str, Any]]] = {}
    for image in images:
        if not isinstance(image, dict) or not _is_id(image.get("id")):
            continue
        same_id = by_id.setdefault(image["id"], [])
        name = image.get("file_name")
        if all(other.get("file_name") != name for other in same_id):
            same_id.append(image)
    return by_id


def _find_joint_orders(
    path: Path, categories: Sequence[Any]
) -> dict[Any, list[list[int]]]:
    """Return, for each category with our joints, where its keypoints stand among ours.

    A category has several orders, an empty one where the joints are not ours, if files
    were merged that gave its id to different ones.
    """
    orders: dict[Any, list[list[int]]] = {}
    found: list[str] = []
    has_ours = False
    for category in categories:
        names = category.get("keypoints") if isinstance(category, dict) else None
        if not isinstance(names, list) or not _is_id(category.get("id")):
            continue
        ids = [find_joint(str(name)) for name in names]
        order = [i for i in ids if i is not None]
        if len(order) != len(ids) or sorted(order) != list(range(NUM_JOINTS)):
            order = []
        has_ours = has_ours or bool(order)
        known = orders.setdefault(category["id"], [])
        if order not in known:
            known.append(order)
        found.append(", ".join(str(name) for name in names))
    if not has_ours:
        what = "no category with keypoints"
        if found:
            what = f"{len(found[0].split(', '))} keypoints ({found[0]})"
        raise DataError(
            f"{path}: found {what}; expected our {NUM_JOINTS}: {', '.join(JOINTS)}. Nothing is invented"
        )
    return orders


def _read_frame(
    path: Path,
    position: int,
    annotation: Any,
    images: Mapping[Any, Sequence[Mapping[str, Any]]],
    orders: Mapping[Any, Sequence[list[int]]],
    problems: list[Problem],
) -> LabelledFrame | None:
    log = ProblemLog(f"{path} annotation {position}", problems)
    if not isinstance(annotation, dict):
        log.mismatch(
            "unreadable",
            "",
            found=f"a {type(annotation).__name__}",
            expected="an object",
            consequence="left out",
        )
        return None
    image_id = annotation.get("image_id")
    same_id = images.get(image_id, []) if _is_id(image_id) else []
    if not same_id:
        found = repr(image_id)
        log.error(
            "unreadable",
            "image_id",
            f"found {found}, which no image has; left out",
            found=found,
        )
        return None
    if len(same_id) > 1:
        names = " and ".join(repr(image.get("file_name")) for image in same_id)
        log.mismatch(
            "unreadable",
            "image_id",
            found=f"{image_id!r}, the id of {names}",
            expected="an id for each image",
            consequence="nobody knows which is meant; left out",
        )
        return None
    image = same_id[0]
    name = check_image_name(image.get("file_name"), log)
    if name is None:
        return None
    log.file = name_item(path, name)
    if annotation.get("iscrowd"):
        log.warning("unreadable", "iscrowd", "a crowd, no single athlete; left out")
        return None
    category = annotation.get("category_id")
    known = orders.get(category, []) if _is_id(category) else []
    if len(known) > 1:
        log.mismatch(
            "unreadable",
            "category_id",
            found=f"{category!r}, the id of {_describe_orders(known)}",
            expected="an id for each order of joints",
            consequence="nobody knows which is meant; left out",
        )
        return None
    order = known[0] if known else []
    triples = parse_numbers(annotation.get("keypoints"), 3 * NUM_JOINTS)
    if not order or triples is None:
        expected = f"{3 * NUM_JOINTS} numbers and a category with our joints"
        log.error(
            "unreadable",
            "keypoints",
            f"expected {expected}; left out",
            expected=expected,
        )
        return None
    stated: list[Any] = [None] * NUM_JOINTS
    for place, joint in enumerate(order):
        stated[joint] = annotation["keypoints"][3 * place : 3 * place + 2]
    triples = triples.reshape(NUM_JOINTS, 3)
    points, visibility = _read_joints(triples, order, stated, log)
    box = check_box(_read_box(annotation.get("bbox"), log), log)
    return LabelledFrame(
        image=name,
        keypoints=points,
        visibility=visibility,
        box=box,
        box_estimated=box is not None and annotation.get("box_estimated") is True,
        size=parse_image_size([image.get("width"), image.get("height")]),
        match=check_key(annotation.get("match"), "match", log),
        dive=check_key(annotation.get("dive"), "dive", log),
        frame=parse_frame(annotation.get("frame"), log),
        source=path,
    )


def _describe_orders(orders: Sequence[Sequence[int]]) -> str:
    """Name several orders of joints by their first ones."""
    names = []
    for order in orders:
        joints = "other joints than ours"
        if order:
            joints = f"{', '.join(JOINTS[joint] for joint in order[:3])}, …"
        names.append(f"({joints})")
    return " and ".join(names)


def _read_joints(
    triples: FloatArray, order: Sequence[int], stated: Sequence[Any], log: ProblemLog
) -> tuple[FloatArray, Any]:
    ours = np.empty_like(triples)
    ours[list(order)] = triples
    points, visibility = ours[:, :2], ours[:, 2]
    for joint in np.flatnonzero(~np.isin(visibility, tuple(Visibility))):
        log.mismatch(
            "unreadable",
            JOINTS[joint],
            found=f"visibility {visibility[joint]:g}",
            expected="0, 1 or 2",
            consequence="joint left out",
        )
        visibility[joint] = Visibility.MISSING
    points[(visibility == Visibility.MISSING) & (points == 0).all(axis=1)] = np.nan
    return check_joints(points, visibility.astype(np.uint8), log, stated)


def _read_box(value: Any, log: ProblemLog) -> FloatArray | None:
    if value is None:
        return None
    box = parse_numbers(value, 4)
    if box is None:
        log.mismatch(
            "unreadable",
            "bbox",
            found=repr(value),
            expected="x, y, width, height",
            consequence="box left out",
        )
        return None
    return np.array([box[0], box[1], box[0] + box[2], box[1] + box[3]])


def _is_id(value: Any) -> bool:
    return isinstance(value, (int, str)) and not isinstance(value, bool)


def _is_coco(content: Any) -> bool:
    return isinstance(content, dict) and {"images", "annotations"} <= content.keys()


FORMAT = LabelFormat(
    name="coco",
    description="COCO keypoints with our 16 joints",
    hallmark="an object with `images` and `annotations`",
    reader=read,
    writer=write,
    suffix=".json",
    recognises=_is_coco,
)
