"""Inputs of ``fdpose score``: the clip's frames, its skeleton, found or extracted, and
whether the two belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from finediving_pose.console import log
from finediving_pose.datasets.pose_files import (
    count_whole_frames,
    pose_path,
    read_pose,
    write_pose,
)
from finediving_pose.errors import DataError, UsageError
from finediving_pose.media import open_frames, sample_indices
from finediving_pose.network_interfaces import NetworkOptions
from finediving_pose.records import Clip, Dive, SkeletonSequence
from finediving_pose.workflows import model_loading
from finediving_pose.workflows.score_request import ScoreRequest

LEAST_FRAMES = 16
"""Distinct frames, below which nothing is said: no dive is that short."""
FEW_JOINTS = 0.5
"""Part of the joints, below which the answer warns."""


@dataclass(frozen=True)
class ClipFrames:
    """The frames of a clip.

    Attributes:
        numbers: In the source, all.
        sampled: Those that stand for the dive, in order; short clips repeat some.
        fps: As declared.
        notes: What has to be known of them.
    """

    numbers: tuple[int, ...] = ()
    sampled: tuple[int, ...] = ()
    fps: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FoundSkeleton:
    """The skeleton of a clip.

    Attributes:
        path: Its file; None where the model runs without.
        text: Which it is, in words.
        extracted_with: The models that made it, for the manifest.
        notes: What has to be known of it.
    """

    path: Path | None
    text: str
    extracted_with: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class KnownJoints(NamedTuple):
    """How much of a skeleton the model sees.

    Attributes:
        share: Part of the joints in the sampled frames.
        notes: What has to be known of it.
    """

    share: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Extraction:
    """How a skeleton is extracted where there is none.

    Attributes:
        folder: Where it is written, in a folder of its own.
        device: auto, cpu, cuda or cuda:N.
        frames: How many stand for the dive.
    """

    folder: Path
    device: str
    frames: int


def read_clip_frames(clip: Clip, count: int) -> ClipFrames:
    """Find the frames of a clip that can be decoded.

    Args:
        clip: The dive.
        count: How many stand for it.

    Raises:
        DataError: If there are too few to be a dive, or the clip is not readable.
    """
    source = open_frames(clip)
    for _ in source.read(()):  # counts what decodes
        raise AssertionError("nothing was wanted")
    notes = [f"{clip.source}: {fault}" for fault in source.faults]
    numbers = tuple(source.number(position) for position in range(source.count or 0))
    if len(numbers) < LEAST_FRAMES:
        is_whole = clip.start_frame is None and clip.end_frame is None
        part = "" if is_whole else " in the part that was asked for"
        raise DataError(
            f"{clip.source}: {len(numbers)} frames{part}, expected {LEAST_FRAMES} or more (a dive has about 100): "
            "no score"
        )
    if len(numbers) < count:
        notes.append(f"{len(numbers)} frames stand for {count}: some count twice")
    sampled = tuple(numbers[row] for row in sample_indices(len(numbers), count))
    return ClipFrames(numbers, sampled, source.fps, tuple(notes))


def find_skeleton(
    request: ScoreRequest, record: Dive, extraction: Extraction
) -> FoundSkeleton:
    """Find the skeleton of a clip, or extract it.

    Args:
        request: Names it, or the models that extract it.
        record: Match and dive, by which it is found in a folder.
        extraction: How it is extracted where there is none.

    Raises:
        UsageError: If there is none and nothing that could extract it.
        DataError: If the one that was named is not there, or extraction fails.
    """
    if request.no_skeleton:
        note = (
            "scored without a skeleton, as asked for with --no-skeleton: the model learned to read one, and its "
            "answer rests on less than usual"
        )
        text = "none (--no-skeleton): all joints count as missing"
        return FoundSkeleton(None, text, notes=(note,))
    if request.skeletons is not None:
        path = _find_named(request.skeletons, record)
        return FoundSkeleton(path, str(path))
    if request.found_skeletons is not None and not request.names_extractor:
        path = _get_pose_path(request.found_skeletons, record)
        if path.is_file():
            log.info("skeleton: %s (--skeletons names another)", path)
            return FoundSkeleton(path, str(path))
    return _extract_skeleton(request, record, extraction)


def measure_known_joints(
    path: Path, clip: Path | None, sampled: Sequence[int], frames: int
) -> KnownJoints:
    """Measure how many joints are known in the frames that the model sees.

    Args:
        path: The skeleton.
        clip: What it should be of.
        sampled: (frames,) numbers of the clip's frames that stand for the dive; empty
            where there is no clip.
        frames: How many stand for the dive.

    Raises:
        DataError: If the file has no joint at all, or is of other frames.
    """
    from finediving_pose.aqa.data.skeletons import read_skeleton

    sequence = read_pose(path)
    if not np.isfinite(sequence.keypoints).all(axis=-1).any():
        raise DataError(
            f"{path}: holds no joint at all: nobody was found in this clip, so there is no skeleton to "
            "score by; look at the video, extract it anew, or score without with --no-skeleton"
        )
    notes = _compare_numbers(path, sequence, sampled)
    numbers = np.array(sampled, np.int64) if len(sampled) else None
    joints = read_skeleton(path, frames, numbers).keypoints
    share = float(np.isfinite(joints).all(axis=-1).mean())
    if not share:
        raise DataError(
            f"{path}: its frames are not those of {clip}: is it another dive's, or are --start and --end missing?"
        )
    if share < FEW_JOINTS:
        notes.append(
            f"only {share:.0%} of the joints are known in the frames that the model sees"
        )
    return KnownJoints(share, tuple(notes))


def _find_named(path: Path, record: Dive) -> Path:
    if path.is_file():
        return path
    if not path.is_dir():
        raise UsageError(f"--skeletons {path}: no such file or folder")
    found = _get_pose_path(path, record)
    if not found.is_file():
        raise DataError(
            f"{found}: no such file, so there is no skeleton of {record.match}/{record.dive}; say how the dive is "
            "called there with --match and --dive, or name the file itself with --skeletons FILE.npz"
        )
    return found


def _get_pose_path(root: Path, record: Dive) -> Path:
    if root.name == "Pose":
        root = root.parent
    return pose_path(root, record.match, record.dive)


def _extract_skeleton(
    request: ScoreRequest, record: Dive, extraction: Extraction
) -> FoundSkeleton:
    """Extract the skeleton with the pose model and detector that were named, or the
    newest."""
    clip = request.make_clip(record)
    if clip is None:
        raise UsageError(
            "this model reads skeletons too: name the dive's with --skeletons FILE.npz"
        )
    try:
        pose_model = request.pose_model or model_loading.newest_model("pose")
        detector = request.detector or str(model_loading.newest_model("detector"))
    except UsageError:
        looked = f" in {request.found_skeletons}" if request.found_skeletons else ""
        raise UsageError(
            f"this model reads skeletons, and there is none of {record.match}/{record.dive}{looked}. Name one with "
            "--skeletons (a pred_comp_*.npz, or what fdpose extract wrote, with --match and --dive), or what makes "
            "one with --pose-model RUN --detector RUN; --no-skeleton scores without, and says so"
        ) from None
    path = pose_path(extraction.folder / "skeletons", record.match, record.dive)
    _run_extraction(clip, path, pose_model, detector, extraction)
    return FoundSkeleton(
        path,
        f"extracted with {pose_model} and {detector}",
        extracted_with={"pose_model": str(pose_model), "detector": detector},
    )


def _run_extraction(
    clip: Clip, path: Path, pose_model: Path, detector: str, extraction: Extraction
) -> None:
    """Write the skeleton of a clip.

    Raises:
        DataError: If that fails; says why.
    """
    from finediving_pose.extraction.loading import Task
    from finediving_pose.extraction.local_engine import LocalEngine
    from finediving_pose.extraction.settings import ExtractionSettings

    options = NetworkOptions(device=extraction.device)
    engine = LocalEngine(
        model_loading.load_detector(detector, options),
        model_loading.load_estimator(pose_model, options),
        ExtractionSettings(frames=extraction.frames),
    )
    log.info(
        "extracting the skeleton of %s with %s and %s",
        clip.source,
        pose_model,
        detector,
    )
    with closing(engine.run([Task(clip, clip.source.name)])) as outcomes:
        outcome = next(outcomes)
    if outcome.reason is not None:
        raise DataError(
            f"{clip.source}: no skeleton could be extracted: {outcome.reason}"
        )
    for warning in outcome.warnings:
        log.warning("%s: %s", clip.key, warning)
    write_pose(path, outcome.people[0])


def _compare_numbers(
    path: Path, sequence: SkeletonSequence, sampled: Sequence[int]
) -> list[str]:
    """Refuse a skeleton of other frames; one of a dive as long may be of the same,
    numbered from elsewhere, and is noted."""
    if not sequence.meta or not len(sampled):
        return []
    own = count_whole_frames(sequence)
    own_first, own_last = int(own[0]), int(own[-1])
    first, last = int(sampled[0]), int(sampled[-1])
    if own_first <= last and first <= own_last:
        return []
    found = (
        f"{path}: is of frames {own_first} – {own_last}, the clip has {first} – {last}"
    )
    if abs((own_last - own_first) - (last - first)) > 1:
        raise DataError(
            f"{found}: is it another dive's, or are --start and --end missing?"
        )
    return [
        f"{found}: as long, so taken as the same dive with other numbers; make sure that it is"
    ]
