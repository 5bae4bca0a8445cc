"""Skeleton files ``Pose/<match>/pred_comp_<dive>.npz``, in and out, with plain numpy
and never with pickle.

Arrays of a file (T = 96 unless all frames were asked for; px of the raw frame; NaN =
missing):

- ``pred`` (T, 16, 2) float32: x, y of the MPII joints; on request (T, 16, 3) with the
  score beside them.
- ``score`` (T, 16) float32: confidence of the pose network, NaN where the joint was not
  observed.
- ``bbox`` (T, 4) float32: x1, y1, x2, y2 of the athlete.
- ``bbox_score`` (T,) float32: confidence of the detector, NaN where the box was not
  detected.
- ``frame_index`` (T,) int64: the frame's number in its source.
- ``state`` (T, 16) uint8: flags of :class:`finediving_pose.records.JointState`.
- ``bbox_state`` (T,) uint8: :class:`finediving_pose.records.BoxState`.
- ``raw`` (T, 16, 2) float32: the joints as the network saw them. It is there only where
  sides were swapped, outliers removed or points smoothed; else these are ``pred`` where
  ``state`` says observed.
- ``meta`` () unicode: what made it, as JSON text.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from finediving_pose import frame_names
from finediving_pose.console import quote_value
from finediving_pose.datasets.array_files import read_arrays
from finediving_pose.datasets.problems import FARTHEST, is_safe_name
from finediving_pose.errors import DataError
from finediving_pose.files import atomic_path, parse_json
from finediving_pose.records import (
    BoxState,
    BoxTrack,
    FloatArray,
    JointState,
    SkeletonSequence,
)
from finediving_pose.skeleton import NUM_JOINTS
from finediving_pose.video import Deinterlacing

log = logging.getLogger("fdpose")

MAX_NAME_BYTES = 200
MAX_BYTES = 1 << 29
"""A file that unpacks to more than this is no skeleton file."""
MAX_META = 1 << 20
"""Longest ``meta``, in characters; ours have some thousand."""
MAX_TEXT = 4096
"""Longest name in it."""
FASTEST = 1e6
"""No recording has as many frames a second."""

MAX_FRAMES = 1_000_000
"""Four hours of 60 images a second."""


def pose_path(root: Path, match: str, dive: str, person: int = 1) -> Path:
    """Return where the skeletons of a dive lie below `root`; the second diver's file
    ends in ``_2``.

    Raises:
        DataError: If match or dive cannot be a file name.
    """
    suffix = "" if person == 1 else f"_{person}"
    return (
        root
        / "Pose"
        / checked_name(match)
        / f"pred_comp_{checked_name(dive)}{suffix}.npz"
    )


def checked_name(name: str) -> str:
    """Return `name` if it can be one part of a path on any system: names never lead
    elsewhere.

    Raises:
        DataError: If it is empty, ``.`` or ``..``, too long, not UTF-8, or holds a
            character no file name may have.
    """
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise DataError(f"name {name!a} is not valid UTF-8; rename it") from None
    if length > MAX_NAME_BYTES:
        raise DataError(
            f"name {name[:60]!r}… has {length} bytes, expected at most {MAX_NAME_BYTES}; shorten it"
        )
    if not is_safe_name(name):
        raise DataError(
            f'name {name!r} cannot name a file, expected none of / \\ : * ? " < > |; rename it'
        )
    return name


def write_pose(path: Path, sequence: SkeletonSequence, channels: int = 2) -> None:
    """Write a skeleton file atomically; the same sequence gives the same bytes.

    Args:
        path: The file; see :func:`pose_path`.
        sequence: What to write.
        channels: 2, or 3 to put the score beside x and y in ``pred``.
    """
    pred = sequence.keypoints
    if channels == 3:
        pred = np.concatenate([pred, sequence.scores[..., None]], axis=-1)
    raw: dict[str, Any] = (
        {} if sequence.raw is None else {"raw": sequence.raw.astype(np.float32)}
    )
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            pred=pred.astype(np.float32),
            score=sequence.scores.astype(np.float32),
            bbox=sequence.track.boxes.astype(np.float32),
            bbox_score=sequence.track.scores.astype(np.float32),
            frame_index=sequence.frame_index.astype(np.int64),
            state=sequence.state.astype(np.uint8),
            bbox_state=sequence.track.state.astype(np.uint8),
            **raw,
            meta=np.array(
                json.dumps(
                    sequence.meta, sort_keys=True, ensure_ascii=False, allow_nan=False
                )
            ),
        )


def read_pose(path: Path) -> SkeletonSequence:
    """Read a skeleton file: ours, or one in the published layout that has nothing but
    ``pred``.

    What a file does not have is missing (NaN, state 0); a joint with coordinates and no
    state counts as observed, frames without numbers are numbered by position.

    A file may come from a stranger: numbers of frames, coordinates and what `meta` says
    of names, frames and rate are checked here, so that everybody else can trust them.

    Raises:
        DataError: If the file is absent, damaged, pickled, an array has another shape
            than it should, or a value cannot be; the message names the key.
    """
    arrays = _load(path)
    if "pred" not in arrays:
        raise DataError(
            f"{path}: no array 'pred'; found {', '.join(sorted(arrays)) or 'nothing'}"
        )
    pred = arrays["pred"]
    if pred.ndim != 3 or pred.shape[1] != NUM_JOINTS or pred.shape[2] not in (2, 3):
        raise DataError(
            f"{path}: 'pred' has shape {pred.shape}, expected (frames, {NUM_JOINTS}, 2 or 3)"
        )
    frames = len(pred)
    if frames > MAX_FRAMES:
        raise DataError(f"{path}: has {frames} frames, expected at most {MAX_FRAMES}")
    keypoints = _as(path, "pred", pred, np.float32)[..., :2].copy()
    far = (np.abs(keypoints) > FARTHEST).any(axis=-1)
    if far.any():
        log.warning(
            "%s: %d joints lie more than %g px away, which is no place in any image; "
            "they count as missing",
            path,
            far.sum(),
            FARTHEST,
        )
        keypoints[far] = np.nan
    known = np.isfinite(keypoints).all(axis=-1)
    third = pred[..., 2] if pred.shape[2] == 3 else np.full(known.shape, np.nan)

    def get(key: str, default: NDArray[Any], dtype: type) -> NDArray[Any]:
        array = _as(path, key, arrays.get(key, default), dtype)
        if array.shape != default.shape:
            raise DataError(
                f"{path}: '{key}' has shape {array.shape}, expected {default.shape} as 'pred' has it"
            )
        return array

    numbers = get("frame_index", np.arange(frames), np.int64)
    if frames and not 0 <= numbers.min() <= numbers.max() < frame_names.MAX_FRAMES:
        raise DataError(
            f"{path}: 'frame_index' goes from {numbers.min()} to {numbers.max()}, "
            f"expected numbers of frames, 0 to {frame_names.MAX_FRAMES - 1}"
        )
    boxes = get("bbox", np.full((frames, 4), np.nan), np.float32)
    boxes[(np.abs(boxes) > FARTHEST).any(axis=-1)] = np.nan
    boxed = np.isfinite(boxes).all(axis=-1)
    state = get(
        "state", np.where(known, JointState.OBSERVED, JointState.MISSING), np.uint8
    )
    state[far] = JointState.MISSING
    raw = None
    if "raw" in arrays:
        raw = get("raw", keypoints, np.float32)
        raw[(np.abs(raw) > FARTHEST).any(axis=-1)] = np.nan
    return SkeletonSequence(
        keypoints=keypoints,
        scores=get("score", third, np.float32),
        state=state,
        track=BoxTrack(
            boxes=boxes,
            scores=get("bbox_score", np.full(frames, np.nan), np.float32),
            state=get(
                "bbox_state",
                np.where(boxed, BoxState.DETECTED, BoxState.MISSING),
                np.uint8,
            ),
        ),
        frame_index=numbers,
        meta=_meta(path, arrays),
        raw=raw,
    )


def count_whole_frames(sequence: SkeletonSequence) -> NDArray[np.int64]:
    """Return the frame numbers of a sequence, of whole frames also where it was made
    from the single fields of an interlaced video."""
    numbers = sequence.frame_index
    return numbers // 2 if sequence.meta.get("deinterlacing") == "bob" else numbers


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        return read_arrays(path, most_bytes=MAX_BYTES)
    except DataError as error:
        raise DataError(f"{error}; extract the clip again") from None


def _as(path: Path, key: str, array: NDArray[Any], dtype: type) -> FloatArray:
    if array.dtype.kind not in "fiub":
        raise DataError(f"{path}: '{key}' is of type {array.dtype}, expected numbers")
    with np.errstate(invalid="ignore", over="ignore"):  # NaN is no whole number
        return array.astype(dtype)


def _meta(path: Path, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    if "meta" not in arrays:
        return {}
    array = arrays["meta"]
    if array.dtype.kind != "U" or array.ndim or array.dtype.itemsize > 4 * MAX_META:
        raise DataError(
            f"{path}: 'meta' has type {array.dtype} and shape {array.shape}, expected "
            f"one text of at most {MAX_META} characters"
        )
    try:
        meta = parse_json(str(array))
    except ValueError:
        meta = None
    if not isinstance(meta, dict):
        raise DataError(f"{path}: 'meta' is no JSON object")
    for key, (check, expected) in _META.items():
        if key in meta and not check(meta[key]):
            raise DataError(
                f"{path}: 'meta' says {key}: {quote_value(meta[key])}, expected {expected}"
            )
    return meta


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT


def _is_count(value: Any) -> bool:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and 0 <= value <= frame_names.MAX_FRAMES


def _is_part(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, list) or len(value) != 2:
        return False
    return all(end is None or _is_count(end) for end in value)


def _is_rate(value: Any) -> bool:
    if value is None:
        return True
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and 0 <= value <= FASTEST  # NaN is not


def _is_aspect(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0.1 <= value <= 10


def _is_deinterlacing(value: Any) -> bool:
    return value in get_args(Deinterlacing)


def _is_size(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_count, value))


_META = {
    "clip": (_is_name, "a name"),
    "match": (_is_name, "a name"),
    "dive": (_is_name, "a name"),
    "source": (_is_name, "a path"),
    "part": (_is_part, "first and last frame"),
    "frames_in_clip": (_is_count, f"a number up to {frame_names.MAX_FRAMES}"),
    "fps": (_is_rate, f"a rate up to {FASTEST:g}"),
    "size": (_is_size, "[width, height]"),
    "pixel_aspect": (_is_aspect, "a ratio from 0.1 to 10"),
    "deinterlacing": (_is_deinterlacing, "auto, off or bob"),
}
"""Keys of ``meta`` that are read, what they may hold, and how that is called."""
