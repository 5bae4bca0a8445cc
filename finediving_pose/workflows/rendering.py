"""``fdpose render``: the skeletons of a clip drawn over its pictures, as a video and as
a film strip."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from finediving_pose.config import find_nearest_name
from finediving_pose.datasets.dive_frames import find_skeleton_source
from finediving_pose.datasets.pose_files import read_pose
from finediving_pose.datasets.problems import load_json
from finediving_pose.errors import DataError, UsageError
from finediving_pose.extraction.ledger import latest_lines
from finediving_pose.extraction.shards import manifest_paths
from finediving_pose.media import Frame, Image, open_frames, write_jpeg, write_video
from finediving_pose.records import Clip, SkeletonSequence
from finediving_pose.reporting.film_strip import film_strip, strip_rows
from finediving_pose.reporting.overlays import clip_overlays

DEFAULT_FPS = 25.0


@dataclass(frozen=True)
class Rendered:
    """What was written of a clip: the video with its number of frames, and the strip."""

    clip: str
    video: Path
    frames: int
    strip: Path


def render(
    skeletons: Path,
    clip: str,
    out: Path,
    videos: Path | None = None,
    suffix: str = "mp4",
    pictures: int = 12,
) -> Rendered:
    """Draw a clip's skeletons over its pictures.

    Args:
        skeletons: What ``fdpose extract`` wrote.
        clip: ``match/dive``; a dive's name alone where only one match has it.
        out: A folder, for ``<match>__<dive>.<suffix>`` and ``<match>__<dive>.jpg``.
        videos: The pictures, as extract was given them; None: where its ledger says
            they were.
        suffix: ``mp4``, or ``webm``, which every browser plays.
        pictures: How many the film strip has.

    Raises:
        UsageError: If there is no such clip, or nothing says where the pictures are.
        DataError: If the skeleton file or the pictures cannot be read.
    """
    files = find_pose_files(skeletons, clip)
    people = [read_pose(path) for path in files]
    athlete = people[0]
    root = videos or recorded_videos(skeletons)(name_of_file(files[0])[0])
    if root is None:
        raise UsageError(
            f"{skeletons}: nothing there says where the pictures are; name them with --videos"
        )
    source = clip_of(athlete, root)
    name = f"{source.match}__{source.dive}"
    video, strip = out / f"{name}.{suffix}", out / f"{name}.jpg"
    frames = write_overlay(source, people, video)
    rows = strip_rows(athlete, pictures)
    kept: dict[int, Image] = {
        frame.number: frame.image for frame in read_pictures(source, athlete, rows)
    }
    write_jpeg(strip, film_strip(kept, athlete, rows))
    return Rendered(source.key, video, frames, strip)


def write_overlay(clip: Clip, people: Sequence[SkeletonSequence], path: Path) -> int:
    """Write a clip's frames with everybody's skeletons as a video that lasts as long,
    and return how many it has.

    Raises:
        DataError: If the pictures cannot be read, or none of them belongs to the
            skeletons.
        OSError: If the video cannot be written.
    """
    athlete = people[0]
    frames = ((frame.number, frame.image) for frame in read_pictures(clip, athlete))
    shown = len(set(athlete.frame_index.tolist()))
    count = int(athlete.meta.get("frames_in_clip") or shown)
    fps = float(athlete.meta.get("fps") or DEFAULT_FPS) * shown / count
    try:
        return write_video(path, clip_overlays(frames, people, clip.key), max(fps, 1.0))
    except ValueError:
        raise DataError(
            f"{clip.source}: has none of the frames that the skeletons of {clip.key} belong to"
        ) from None


def find_pose_files(skeletons: Path, clip: str) -> list[Path]:
    """Return the skeleton files of a clip, the second diver's after the first's.

    Raises:
        UsageError: If there is none, or several matches have a dive of that name.
    """
    files: dict[str, list[Path]] = {}
    for path in sorted((skeletons / "Pose").glob("*/pred_comp_*.npz")):
        files.setdefault(name_of_file(path)[0], []).append(path)
    if not files:
        raise UsageError(
            f"{skeletons}: no Pose/<match>/pred_comp_<dive>.npz there; name what fdpose extract wrote"
        )
    found = [name for name in files if clip in (name, name.rpartition("/")[2])]
    if not found:
        raise UsageError(
            f"{skeletons}: no clip {clip!r}{find_nearest_name(clip, files)}"
        )
    if len(found) > 1:
        raise UsageError(
            f"{clip!r} is a dive of {len(found)} matches; say which: {', '.join(found[:5])}"
        )
    return files[found[0]]


def name_of_file(path: Path) -> tuple[str, int]:
    """Return ``match/dive`` and the diver that a skeleton file's name says."""
    dive = path.stem.removeprefix("pred_comp_")
    if dive.endswith("_2") and path.with_name(f"pred_comp_{dive[:-2]}.npz").exists():
        return f"{path.parent.name}/{dive[:-2]}", 2
    return f"{path.parent.name}/{dive}", 1


def recorded_videos(folder: Path) -> Callable[[str], Path | None]:
    """Return what says for a clip, ``match/dive``, where extract was given its
    pictures; None where that is gone.

    A clip's own line in the ledger counts, then what the last runs' manifests name.
    """
    lines = latest_lines(folder)
    manifests = [load_json(path).get("videos") for path in manifest_paths(folder)]

    def of(clip: str) -> Path | None:
        named = (lines.get(clip, {}).get("videos"), *manifests)
        return next(
            (
                Path(videos)
                for videos in named
                if isinstance(videos, str) and Path(videos).exists()
            ),
            None,
        )

    return of


def clip_of(sequence: SkeletonSequence, videos: Path) -> Clip:
    """Return the clip a sequence was made from, with its pictures.

    Raises:
        DataError: If the sequence does not say, or its source is not below `videos`.
    """
    meta = sequence.meta
    match, dive, source = (meta.get(key) for key in ("match", "dive", "source"))
    if not (
        isinstance(match, str) and isinstance(dive, str) and isinstance(source, str)
    ):
        raise DataError(
            "the skeleton file does not say which pictures it was made from"
        )
    found = find_skeleton_source(videos, match, dive, source)
    if found is None:
        folder = videos if videos.is_dir() else videos.parent
        raise DataError(
            f"{folder / source}: no such video or folder; --videos names where extract found them"
        )
    start, end = meta.get("part") or (None, None)
    return Clip(match, dive, found, start, end)


def read_pictures(
    clip: Clip, sequence: SkeletonSequence, rows: Sequence[int] | None = None
) -> Iterator[Frame]:
    """Decode the frames that belong to the given rows of a sequence, None = all, in
    order.

    Raises:
        DataError: If the source cannot be read.
    """
    source = open_frames(clip)
    numbers = sequence.frame_index if rows is None else sequence.frame_index[list(rows)]
    wanted = set(numbers.tolist())
    declared = (
        None if clip.source.is_dir() else sequence.meta.get("frames_in_clip")
    )  # a folder may have lost pictures
    count = int(declared or source.count or 0)
    yield from source.read(
        {place for place in range(count) if source.number(place) in wanted},
        to_end=False,
    )
