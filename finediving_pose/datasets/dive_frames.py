"""Frames of a dive: the places where they may lie, in one order.

What a command knows of a dive differs, and so do the places it can look at; the order
of those it has is always this:

1. the source that a skeleton file names, whose numbers its frames carry;
2. ``<match>/<dive>`` below the folder of frames: images, or a video of that name, which
   show the dive alone;
3. the recording that a table of dives names, beside the table, then below the folder of
   frames, of which the dive is a part;
4. ``<match>`` below the folder of frames, a recording of the whole match;
5. the folder of frames itself, where somebody named the very recording.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from finediving_pose.datasets.problems import is_safe_relative
from finediving_pose.media import VIDEO_SUFFIXES, is_image
from finediving_pose.records import Clip, Dive


def list_dive_clips(dive: Dive, frames: Path, table_folder: Path) -> Iterator[Clip]:
    """Yield the frames of a dive at each place where there are some (places 2 to 4).

    Args:
        dive: The dive, of a table or of FineDiving's annotations.
        frames: The folder of frames.
        table_folder: The folder of the table, which ``video`` is relative to.
    """
    for path in _list_recordings(frames / dive.match / dive.dive):
        yield Clip(dive.match, dive.dive, path, synchronised=dive.synchronised)
    recordings = list_named_recordings(dive, table_folder, frames)
    # Without a window, a recording of the whole match shows all its dives.
    if dive.end_frame is not None:
        recordings += _list_recordings(frames / dive.match)
    for path in recordings:
        if not _has_frames(path):
            continue
        yield Clip(
            dive.match,
            dive.dive,
            path,
            dive.start_frame,
            dive.end_frame,
            dive.synchronised,
        )


def list_named_recordings(dive: Dive, table_folder: Path, frames: Path) -> list[Path]:
    """Return the paths that a dive's ``video`` may mean and that exist (place 3).

    Args:
        dive: A dive of a table.
        table_folder: The folder of the table.
        frames: The folder of frames, or of recordings.
    """
    if not dive.video or not is_safe_relative(dive.video):
        return []
    places = [table_folder / dive.video, frames / dive.video]
    return [place for place in places if os.path.exists(place)]


def find_skeleton_source(
    frames: Path, match: str, dive: str, source: str
) -> Path | None:
    """Return the recording that a skeleton was made from (places 1, 2 and 5), or None.

    Args:
        frames: The folder of recordings, or one recording.
        match: Of the skeleton.
        dive: Of the skeleton.
        source: The path that the skeleton file names, relative to the folder that was
            extracted. Only a recording of the same name is taken for it.
    """
    folder = frames if frames.is_dir() else frames.parent
    root = folder.resolve()
    for path in (folder / source, folder / match / dive, folder):
        # A skeleton file may come from anywhere: its source must not lead out of the
        # folder that the user named.
        inside = os.path.exists(path) and path.resolve().is_relative_to(root)
        if inside and path.name == Path(source).name:
            return path
    return None


def _list_recordings(path: Path) -> Iterator[Path]:
    """Yield the folder of images at `path`, and video files of that name."""
    if _has_frames(path):
        yield path
    for suffix in sorted(VIDEO_SUFFIXES):
        video = path.with_name(path.name + suffix)
        if os.path.isfile(video):
            yield video


def _has_frames(path: Path) -> bool:
    # Unlike a path's own methods, these find nothing where a name is too long to be.
    if not os.path.isdir(path):
        return os.path.isfile(path)
    with os.scandir(path) as entries:
        for entry in entries:
            if is_image(Path(entry.name)) and not entry.name.startswith("."):
                return True
    return False
