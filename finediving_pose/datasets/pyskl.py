"""PYSKL's pickle: ``{split, annotations}``, a clip an annotation, one person, our 16
joints.

The frames of one dive make a clip, in the order of their numbers; frames of no known
dive make one per image folder. `keypoint` is (1, T, 16, 2) float32 px with 0 where
missing, `keypoint_score` (1, T, 16) float32 with 1 where labelled and 0 where not,
`label` -1 as no class is known. Further keys, each over the T frames, keep the rest:
`image`, `frame_index` (-1 = unknown), `visibility` (T, 16), `box` (T, 4; NaN = none),
`box_estimated`, `size` (T, 2; 0 = unknown).
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from finediving_pose.datasets import restricted_pickle
from finediving_pose.datasets.label_format import LabelFormat
from finediving_pose.datasets.label_set import LabelSet, find_images_folder
from finediving_pose.datasets.problems import (
    Problem,
    ProblemLog,
    check_box,
    check_image_name,
    check_joints,
    check_key,
    is_safe_relative,
    name_item,
    parse_image_size,
)
from finediving_pose.datasets.splits import PARTS, Splits
from finediving_pose.errors import DataError
from finediving_pose.files import write_bytes
from finediving_pose.records import FloatArray, LabelledFrame, Visibility
from finediving_pose.skeleton import JOINTS, NUM_JOINTS

UNKNOWN_LABEL = -1
PICKLE_PROTOCOL = 4


def write(path: Path, labels: LabelSet, splits: Splits | None = None) -> list[Problem]:
    """Write the pickle.

    Args:
        path: The file.
        labels: What to write.
        splits: Which clips belong to which part; without, they stand in the parts that
            the labels came with, else all in ``all``.

    Returns:
        An error for each frame of a dive that shows several people, who would become
        successive frames of one; a warning of clips of unknown image size.
    """
    problems: list[Problem] = []
    labels = replace(labels, frames=tuple(_leave_out_people(labels, path, problems)))
    sizes: dict[str, tuple[int, int]] = {}
    for frame in labels.frames:
        size = labels.image_size(frame)
        if size is not None:
            sizes[frame.image] = size
    content = encode_pyskl(labels.frames, sizes, splits)
    _keep_classes(content, labels)
    if splits is None and labels.parts:
        _keep_parts(content, labels)
    write_bytes(path, pickle.dumps(content, protocol=PICKLE_PROTOCOL))
    unknown = sum(clip["img_shape"] == (0, 0) for clip in content["annotations"])
    if unknown:
        note = f"{unknown} clips of unknown image size have (0, 0)"
        ProblemLog(str(path), problems).warning("unwritable", "img_shape", note)
    return problems


def encode_pyskl(
    frames: Sequence[LabelledFrame],
    sizes: Mapping[str, tuple[int, int]] | None = None,
    splits: Splits | None = None,
) -> dict[str, Any]:
    """Return the content of the pickle.

    Args:
        frames: The labels.
        sizes: (width, height) px by image name, for frames that do not say.
        splits: As for :func:`write`.
    """
    clips: dict[str, list[LabelledFrame]] = {}
    for frame in frames:
        clips.setdefault(frame.dive_key, []).append(frame)
    annotations = []
    for name, members in clips.items():
        ordered = _sort_frames(members)
        annotations.append(_encode_annotation(name, ordered, sizes or {}))
    if splits is None:
        return {"split": {"all": list(clips)}, "annotations": annotations}
    split: dict[str, list[str]] = {}
    for part in PARTS:
        images = set(splits.images.get(part, ()))
        split[part] = []
        for name, members in clips.items():
            if any(frame.image in images for frame in members):
                split[part].append(name)
    return {"split": split, "annotations": annotations}


def read(path: Path, images: Path | None = None) -> LabelSet:
    """Read such a pickle, of PYSKL itself or ours, with the restricted unpickler.

    Args:
        path: The file.
        images: The folder of the images; None looks beside the file.

    Raises:
        DataError: If it is none, or holds anything but containers and arrays.
    """
    content = restricted_pickle.load(path)
    annotations = content.get("annotations") if isinstance(content, dict) else content
    if not isinstance(annotations, list) or not any(
        isinstance(item, dict) and "keypoint" in item for item in annotations
    ):
        raise DataError(
            f"{path}: no PYSKL file: expected a dict with `split` and `annotations` that have a `keypoint`"
        )
    problems: list[Problem] = []
    frames: list[LabelledFrame] = []
    classes: dict[str, int] = {}
    keys: dict[str, list[str]] = {}  # of the dives, by their names in the file
    taken: set[str] = set()
    for position, annotation in enumerate(annotations):
        clip = _read_clip(path, position, annotation, taken, problems)
        if not clip:
            continue
        frames += clip
        key = clip[0].dive_key
        keys.setdefault(_get_name(annotation, position), []).append(key)
        label = annotation.get("label")
        if isinstance(label, (int, np.integer)) and label != UNKNOWN_LABEL:
            classes[key] = int(label)
    return LabelSet(
        tuple(frames),
        tuple(problems),
        find_images_folder(path, images),
        classes=classes,
        parts=_read_parts(content, keys),
    )


def _get_name(annotation: Mapping[str, Any], position: int) -> str:
    return str(annotation.get("frame_dir", annotation.get("filename", position)))


def _read_parts(
    content: Any, keys: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Return the keys of the dives in each part of a file's split; nothing where it has
    the one part in which we write what is not split."""
    split = content.get("split") if isinstance(content, dict) else None
    if not isinstance(split, dict) or split.keys() <= {"all"}:
        return {}
    parts = {}
    for part, names in split.items():
        found: list[str] = []
        for name in names if isinstance(names, (list, tuple)) else ():
            found += keys.get(str(name), ())
        parts[str(part)] = tuple(found)
    return parts


def _choose_folder(stated: str, taken: set[str]) -> str:
    """Return a folder of its own below the images' for a clip, whatever its file calls
    it.

    Args:
        stated: The clip's name, perhaps a path of another machine.
        taken: The folders of the clips before; gets this one.
    """
    text = re.sub(r"^[A-Za-z]:", "", stated).replace("\\", "/")
    name = "/".join(part for part in text.split("/") if part not in ("", ".", ".."))
    if not is_safe_relative(name):
        name = "clip"
    folder, count = name, 1
    while folder in taken:
        count += 1
        folder = f"{name}_{count}"
    taken.add(folder)
    return folder


def _keep_classes(content: dict[str, Any], labels: LabelSet) -> None:
    for clip in content["annotations"]:
        clip["label"] = labels.classes.get(clip["frame_dir"], UNKNOWN_LABEL)


def _keep_parts(content: dict[str, Any], labels: LabelSet) -> None:
    written = {clip["frame_dir"] for clip in content["annotations"]}
    content["split"] = {}
    for part, clips in labels.parts.items():
        content["split"][part] = [clip for clip in clips if clip in written]


def _leave_out_people(
    labels: LabelSet, path: Path, problems: list[Problem]
) -> list[LabelledFrame]:
    """Return the frames of dives with one label an image: nobody knows which of two
    people in one image goes on in the next."""
    images: dict[str, set[str]] = {}
    crowded: dict[str, str] = {}  # the first image with several people, by dive
    for frame in labels.frames:
        seen = images.setdefault(frame.dive_key, set())
        if frame.image in seen:
            crowded.setdefault(frame.dive_key, frame.image)
        seen.add(frame.image)
    kept = []
    for frame in labels.frames:
        image = crowded.get(frame.dive_key)
        if image is None:
            kept.append(frame)
            continue
        log = ProblemLog(name_item(frame.source or path, frame.image), problems)
        log.error(
            "unwritable",
            "image",
            f"its dive has several people in {image}, and a clip holds one person; "
            "left out",
        )
    return kept


def _sort_frames(frames: list[LabelledFrame]) -> list[LabelledFrame]:
    if any(frame.frame is None for frame in frames):
        return frames
    return sorted(frames, key=lambda frame: frame.frame or 0)


def _encode_annotation(
    name: str, frames: list[LabelledFrame], sizes: Mapping[str, tuple[int, int]]
) -> dict[str, Any]:
    points = np.stack([frame.keypoints for frame in frames])
    visibility = np.stack([frame.visibility for frame in frames])
    first = frames[0]
    width, height = first.size or sizes.get(first.image, (0, 0))
    no_box = np.full(4, np.nan)
    return {
        "frame_dir": name,
        "total_frames": len(frames),
        "img_shape": (int(height), int(width)),
        "original_shape": (int(height), int(width)),
        "label": UNKNOWN_LABEL,
        "keypoint": np.nan_to_num(points, nan=0.0)[None].astype(np.float32),
        "keypoint_score": (visibility > 0)[None].astype(np.float32),
        "match": first.match,
        "dive": first.dive,
        "image": [frame.image for frame in frames],
        "frame_index": np.array(
            [-1 if frame.frame is None else frame.frame for frame in frames],
            dtype=np.int64,
        ),
        "visibility": visibility.astype(np.uint8),
        "box": np.stack(
            [no_box if frame.box is None else frame.box for frame in frames]
        ).astype(np.float64),
        "box_estimated": np.array(
            [frame.box_estimated for frame in frames], dtype=np.uint8
        ),
        "size": np.array([frame.size or (0, 0) for frame in frames], dtype=np.int64),
    }


def _read_clip(
    path: Path,
    position: int,
    annotation: Any,
    taken: set[str],
    problems: list[Problem],
) -> list[LabelledFrame]:
    log = ProblemLog(f"{path} annotation {position}", problems)
    if not isinstance(annotation, dict) or not isinstance(
        annotation.get("keypoint"), np.ndarray
    ):
        log.error(
            "unreadable",
            "keypoint",
            "expected a dict with an array of keypoints; left out",
            expected="a dict with an array of keypoints",
        )
        return []
    clip = _get_name(annotation, position)
    log.file = f"{path} ({clip})"
    keypoint = annotation["keypoint"]
    if (
        keypoint.ndim != 4
        or keypoint.shape[0] != 1
        or keypoint.shape[2:] != (NUM_JOINTS, 2)
    ):
        log.mismatch(
            "unreadable",
            "keypoint",
            found=f"shape {keypoint.shape}",
            expected=f"(1, T, {NUM_JOINTS}, 2): one person and our joints "
            f"({JOINTS[0]} … {JOINTS[-1]})",
            consequence="clip left out",
        )
        return []
    numbers = _read_numbers(keypoint, "keypoint", log)
    if numbers is None:
        return []
    folder = clip
    if "image" not in annotation:
        folder = _choose_folder(clip, taken)
        if folder != clip:
            log.warning(
                "other-image",
                "frame_dir",
                f"found {clip!r}, expected a folder of its own below the images'; "
                f"named {folder}",
                found=repr(clip),
                expected="a folder of its own below the images'",
            )
    columns = _read_columns(annotation, folder, len(numbers[0]), log)
    if columns is None:
        return []
    return _make_frames(path, numbers[0], columns, annotation, log)


def _read_numbers(value: Any, key: str, log: ProblemLog) -> FloatArray | None:
    """Return an array as numbers, those written as text too, or report it."""
    try:
        return np.asarray(value).astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        log.mismatch(
            "unreadable",
            key,
            found=f"type {np.asarray(value).dtype}",
            expected="numbers",
            consequence="clip left out",
        )
        return None


_COLUMNS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "score": (np.float64, (NUM_JOINTS,)),
    "visibility": (np.int64, (NUM_JOINTS,)),
    "box": (np.float64, (4,)),
    "box_estimated": (np.bool_, ()),
    "size": (np.int64, (2,)),
    "frame_index": (np.int64, ()),
    "image": (np.str_, ()),
}
"""Type of each per-frame value, and its shape after T."""


def _read_columns(
    annotation: Mapping[str, Any], folder: str, frames: int, log: ProblemLog
) -> dict[str, Any] | None:
    """Return what is known of each frame, with PYSKL's own meaning where our further
    keys are absent."""
    shape = annotation.get("img_shape")
    height, width = 0, 0
    if isinstance(shape, (tuple, list)) and len(shape) == 2:
        height, width = shape
    given = annotation.get("keypoint_score", np.ones((1, frames, NUM_JOINTS)))
    score = _read_numbers(given, "keypoint_score", log)
    if score is None:
        return None
    score = score[0] if score.ndim == 3 and len(score) else score
    assumed: dict[str, Any] = {
        "score": score,
        "visibility": np.where(score > 0, Visibility.VISIBLE, Visibility.MISSING),
        "box": np.full((frames, 4), np.nan),
        "box_estimated": np.zeros(frames),
        "size": np.tile([width, height], (frames, 1)),
        "frame_index": np.arange(frames),
        "image": [f"{folder}/{number:05d}.jpg" for number in range(frames)],
    }
    columns = {}
    for key, (dtype, tail) in _COLUMNS.items():
        try:
            columns[key] = np.asarray(annotation.get(key, assumed[key]), dtype=dtype)
        except (TypeError, ValueError, OverflowError) as error:
            log.error("unreadable", key, f"{error}; clip left out")
            return None
        if columns[key].shape != (frames, *tail):
            log.mismatch(
                "unreadable",
                key,
                found=f"shape {columns[key].shape}",
                expected=str((frames, *tail)),
                consequence="clip left out",
            )
            return None
    return columns


def _make_frames(
    path: Path,
    keypoint: FloatArray,
    columns: Mapping[str, Any],
    annotation: Mapping[str, Any],
    log: ProblemLog,
) -> list[LabelledFrame]:
    match = check_key(annotation.get("match"), "match", log)
    dive = check_key(annotation.get("dive"), "dive", log)
    clip = log.file
    frames = []
    for t, points in enumerate(keypoint):
        log.file = f"{clip} frame {t}"
        name = check_image_name(str(columns["image"][t]), log)
        if name is None:
            continue
        visibility = np.clip(
            columns["visibility"][t], Visibility.MISSING, Visibility.VISIBLE
        )
        # PYSKL writes 0, 0 where a joint is missing.
        absent = (visibility == Visibility.MISSING) & (points == 0).all(axis=1)
        points = np.where(absent[:, None], np.nan, points)
        keypoints, visible = check_joints(points, visibility, log)
        box = columns["box"][t]
        checked = None if np.isnan(box).all() else check_box(box, log)
        index = int(columns["frame_index"][t])
        frames.append(
            LabelledFrame(
                image=name,
                keypoints=keypoints,
                visibility=visible,
                box=checked,
                box_estimated=checked is not None and bool(columns["box_estimated"][t]),
                size=parse_image_size(columns["size"][t].tolist()),
                match=match,
                dive=dive,
                frame=None if index < 0 else index,
                source=path,
            )
        )
    return frames


FORMAT = LabelFormat(
    name="pyskl",
    description="PYSKL's pickle, a clip per dive, with the split inside",
    hallmark="a .pkl file",
    reader=read,
    writer=write,
    split_writer=write,
    suffix=".pkl",
    own_suffixes=(".pkl", ".pickle"),
    holds_clips=True,
)
