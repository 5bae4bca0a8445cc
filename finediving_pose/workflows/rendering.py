"""``fdpose render``: a clip's skeletons drawn over its frames, as a video and as a film
strip; and the way from a skeleton file back to its frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from finediving_pose.config import find_nearest_name
from finediving_pose.console import log
from finediving_pose.datasets.dive_frames import find_skeleton_source
from finediving_pose.datasets.pose_files import read_pose
from finediving_pose.datasets.problems import load_json
from finediving_pose.errors import DataError, UsageError
from finediving_pose.extraction.ledger import latest_lines
from finediving_pose.extraction.shards import manifest_paths
from finediving_pose.files import shorten_name
from finediving_pose.media import (
    Frame,
    Image,
    Reading,
    open_frames,
    write_jpeg,
    write_video,
)
from finediving_pose.records import Clip, SkeletonSequence
from finediving_pose.reporting.film_strip import choose_strip_rows, draw_film_strip
from finediving_pose.reporting.overlays import draw_clip

DEFAULT_FPS = 25.0
FASTEST_SHOWN = 2000.0


@dataclass(frozen=True)
class Rendered:
    """Files written of a clip: the video with its number of frames, and the strip."""

    clip: str
    video: Path
    frames: int
    strip: Path


def render_clip(
    skeletons: Path,
    clip: str,
    out: Path,
    videos: Path | None = None,
    suffix: str = "mp4",
    pictures: int = 12,
) -> Rendered:
    """Draw a clip's skeletons over its frames.

    Args:
        skeletons: What ``fdpose extract`` wrote.
        clip: ``match/dive``; a dive's name alone where only one match has it.
        out: A folder, for ``<match>__<dive>.<suffix>`` and ``<match>__<dive>.jpg``.
        videos: The videos or frames, as extract was given them; None: where its ledger
            says they were.
        suffix: ``mp4``, or ``webm``, which every browser plays.
        pictures: Frames of the film strip.

    Raises:
        UsageError: If there is no such clip, or nothing says where its frames are.
        DataError: If the skeleton file or the frames cannot be read.
    """
    files = find_pose_files(skeletons, clip)
    people = [read_pose(path) for path in files]
    athlete = people[0]
    root = videos or find_recorded_videos(skeletons)(parse_file_name(files[0])[0])
    if root is None:
        raise UsageError(
            f"{skeletons}: nothing there says where the frames are; name them with --videos"
        )
    source = find_clip(athlete, root)
    # Names of the file itself: what its `meta` says may lead anywhere.
    match, dive = parse_file_name(files[0])[0].split("/")
    name = shorten_name(f"{match}__{dive}")
    video, strip = out / f"{name}.{suffix}", out / f"{name}.jpg"
    frames = write_overlay(source, people, video)
    rows = choose_strip_rows(athlete, pictures)
    images: dict[int, Image] = {}
    for frame in read_clip_frames(source, athlete, rows):
        images[frame.number] = frame.image
    write_jpeg(strip, draw_film_strip(images, athlete, rows))
    return Rendered(source.key, video, frames, strip)


def write_overlay(clip: Clip, people: Sequence[SkeletonSequence], path: Path) -> int:
    """Write a clip's frames with everybody's skeletons as a video that lasts as long.

    Args:
        clip: Its frames.
        people: The skeletons of the athlete, and of the second diver.
        path: The video.

    Returns:
        How many frames the video has.

    Raises:
        DataError: If the frames cannot be read, or none of them belongs to the
            skeletons.
        OSError: If the video cannot be written.
    """
    athlete = people[0]
    frames = ((frame.number, frame.image) for frame in read_clip_frames(clip, athlete))
    shown = len(set(athlete.frame_index.tolist()))
    count = int(athlete.meta.get("frames_in_clip") or shown)
    # Sampled frames are shown for longer, so that the video lasts as long as the clip.
    rate = float(athlete.meta.get("fps") or DEFAULT_FPS)
    if rate > FASTEST_SHOWN:  # a time base, no rate
        rate = DEFAULT_FPS
    fps = rate * shown / count
    try:
        return write_video(path, draw_clip(frames, people, clip.key), max(fps, 1.0))
    except ValueError:
        raise DataError(
            f"{clip.source}: has none of the frames that the skeletons of {clip.key} belong to"
        ) from None


def find_pose_files(skeletons: Path, clip: str) -> list[Path]:
    """Find the skeleton files of a clip, the second diver's after the first's.

    Args:
        skeletons: What ``fdpose extract`` wrote.
        clip: ``match/dive``; a dive's name alone where only one match has it.

    Raises:
        UsageError: If there is none, or several matches have a dive of that name.
    """
    files: dict[str, list[Path]] = {}
    for path in sorted((skeletons / "Pose").glob("*/pred_comp_*.npz")):
        files.setdefault(parse_file_name(path)[0], []).append(path)
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


def parse_file_name(path: Path) -> tuple[str, int]:
    """Return ``match/dive`` and the diver that a skeleton file's name says."""
    match, dive = path.parent.name, path.stem.removeprefix("pred_comp_")
    first = dive.removesuffix("_2")
    # A dive may be called `4_2` itself; a second diver stands beside a first one.
    if first != dive and path.with_name(f"pred_comp_{first}.npz").exists():
        return f"{match}/{first}", 2
    return f"{match}/{dive}", 1


def find_recorded_videos(folder: Path) -> Callable[[str], Path | None]:
    """Return a function that says for a clip, ``match/dive``, where extract was given
    its videos or frames; None where that is gone.

    A clip's own line in the ledger counts, then what the last runs' manifests name.
    """
    lines = latest_lines(folder)
    manifests = []
    for path in manifest_paths(folder):
        try:
            content = load_json(path)
        except DataError as error:
            log.warning("%s; it is not asked where the videos are", error)
            continue
        if isinstance(content, dict):
            manifests.append(content.get("videos"))

    def find(clip: str) -> Path | None:
        for videos in (lines.get(clip, {}).get("videos"), *manifests):
            if isinstance(videos, str) and Path(videos).exists():
                return Path(videos)
        return None

    return find


def find_clip(sequence: SkeletonSequence, videos: Path) -> Clip:
    """Find the clip that a sequence was made from.

    Args:
        sequence: As read from a skeleton file.
        videos: The videos or frames, as extract was given them.

    Raises:
        DataError: If the sequence does not say, or its source is not below `videos`.
    """
    meta = sequence.meta
    match, dive, source = meta.get("match"), meta.get("dive"), meta.get("source")
    if not (
        isinstance(match, str) and isinstance(dive, str) and isinstance(source, str)
    ):
        raise DataError("the skeleton file does not say which clip it was made from")
    found = find_skeleton_source(videos, match, dive, source)
    if found is None:
        folder = videos if videos.is_dir() else videos.parent
        raise DataError(
            f"{folder / source}: no such video or folder; --videos names where extract found them"
        )
    start, end = meta.get("part") or (None, None)
    return Clip(match, dive, found, start, end)


def find_reading(sequence: SkeletonSequence) -> Reading:
    """Return how the video was read that a sequence was made from, which its frame
    numbers belong to."""
    return Reading(sequence.meta.get("deinterlacing", "auto"))


def read_clip_frames(
    clip: Clip, sequence: SkeletonSequence, rows: Sequence[int] | None = None
) -> Iterator[Frame]:
    """Decode the frames that belong to a sequence, in order.

    Args:
        clip: The frames.
        sequence: Skeletons made from them.
        rows: Of which rows; None = all.

    Raises:
        DataError: If the source cannot be read.
    """
    source = open_frames(clip, find_reading(sequence))
    numbers = sequence.frame_index
    if rows is not None:
        numbers = numbers[list(rows)]
    wanted = set(numbers.tolist())
    yield from source.read(source.find_positions(wanted), to_end=False)
