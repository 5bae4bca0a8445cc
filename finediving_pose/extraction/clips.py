"""Clips below a folder: their search, and a name of its own for each."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from finediving_pose.config import find_nearest_path
from finediving_pose.datasets.dive_frames import list_named_recordings
from finediving_pose.datasets.pose_files import pose_path
from finediving_pose.errors import DataError, UsageError
from finediving_pose.extraction.sources import Refused, find_sources
from finediving_pose.media import is_image
from finediving_pose.records import Clip, Dive


@dataclass
class Found:
    """Finds below a folder.

    Attributes:
        clips: In the order of their keys.
        refused: Sources that cannot be clips.
        notes: What the user should know.
        not_read: Count and example, by suffix, of files that are no clips.
    """

    clips: list[Clip] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    not_read: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def describe_not_read(self) -> str:
        """Return what was not read as one line; empty where all was."""
        parts = []
        for suffix, seen in self.not_read.items():
            parts.append(f"{seen['count']} {suffix} ({seen['example']})")
        return ", ".join(parts)


def find_clips(
    root: Path,
    dives: Sequence[Dive] = (),
    dives_folder: Path | None = None,
    annotated: Iterable[Dive] = (),
    persons: int = 1,
) -> Found:
    """Find every video file and every folder of images at or below `root`.

    A folder of images is named by itself and its parent, ``<match>/<dive>``, which is
    FineDiving's layout; a video file by its folder and its own stem. Where that gives
    two sources one name, the folders between `root` and the sources are joined into the
    match (``01/a.mp4`` and ``02/x/a.mp4`` never collide, ``u/01/a.mp4`` and
    ``v/01/a.mp4`` become ``u__01/a`` and ``v__01/a``; ``a.mp4`` beside ``a.avi``
    becomes ``a.mp4`` and ``a.avi``), for all of them, so that a name does not depend on
    which was found first. What then still collides is refused. See :func:`.find_sources`
    for what is left out.

    Args:
        root: A folder, or one video file.
        dives: Rows of a ``dives.csv``: a listed recording becomes the dives cut out of
            it, under their keys.
        dives_folder: Where that file lies; its paths are relative to it or to `root`.
        annotated: Dives of an annotation file: says which clips are synchronised.
        persons: How many people's files each clip has, none of which may be another
            clip's.

    Raises:
        UsageError: If `root` does not exist, or is an image.
    """
    if not root.exists():
        raise UsageError(
            f"--videos {root}: no such file or folder{find_nearest_path(root)}"
        )
    if root.is_file() and is_image(root):
        raise UsageError(
            f"{root} is an image; --videos wants a video file, a folder of numbered "
            "frames, or a folder of these"
        )
    root = Path(os.path.abspath(root))
    below = find_sources(root)
    sources = below.paths
    found = Found(refused=below.refused, notes=below.notes)
    found.not_read = below.describe_not_read()
    # A table of dives may name what would else pass for a preview.
    named = [*sources, *below.previews]
    listed = _cut_dives(root, named, dives, dives_folder or root, found)
    cut = {clip.source for clip in listed}
    plain = []
    for source in sources:
        if source not in cut:
            match = source.parent.name or "root"
            dive = source.name if source.is_dir() else source.stem
            plain.append(Clip(match, dive, source))
    synchronised = {dive.key for dive in (*annotated, *dives) if dive.synchronised}
    listed = _mark_synchronised(listed, synchronised)
    plain = _mark_synchronised(plain, synchronised)
    plain = _tell_apart(root, listed, plain, found)
    _keep_distinct(listed + plain, persons, found)
    found.clips.sort(key=lambda clip: (clip.match, clip.dive))
    return found


def _mark_synchronised(clips: list[Clip], keys: set[tuple[str, str]]) -> list[Clip]:
    marked = []
    for clip in clips:
        marked.append(replace(clip, synchronised=(clip.match, clip.dive) in keys))
    return marked


def _cut_dives(
    root: Path, sources: list[Path], dives: Sequence[Dive], folder: Path, found: Found
) -> list[Clip]:
    """Make a clip of each listed dive whose recording is among the sources; refuse
    those whose file is nowhere."""
    inside = set(sources)
    clips, elsewhere = [], 0
    for dive in dives:
        if dive.video is None:
            continue
        existing = [
            Path(os.path.abspath(place))
            for place in list_named_recordings(dive, folder, root)
        ]
        source = next((place for place in existing if place in inside), None)
        if source is not None:
            clips.append(
                Clip(dive.match, dive.dive, source, dive.start_frame, dive.end_frame)
            )
        elif existing:
            elsewhere += 1
        else:
            reason = f"dive {dive.match}/{dive.dive}: the recording is neither in {folder} nor in {root}"
            found.refused.append(Refused(dive.video, reason))
    if elsewhere:
        found.notes.append(
            f"{elsewhere} listed dives have their recording elsewhere than in {root}: left out"
        )
    return clips


def _keep_distinct(clips: list[Clip], persons: int, found: Found) -> None:
    """Put clips with usable names and files of their own into `found`, refuse the rest."""
    owners: dict[Path, list[Clip]] = defaultdict(list)
    for clip in clips:
        try:
            for person in range(1, persons + 1):
                owners[pose_path(Path(), clip.match, clip.dive, person)].append(clip)
            found.clips.append(clip)
        except DataError as error:
            found.refused.append(Refused(str(clip.source), str(error)))
    for path, group in owners.items():
        if len(group) > 1:
            reason = f"{len(group)} clips would write {path}; give each a match and dive of its own in dives.csv"
            found.refused.extend(
                Refused(str(clip.source), reason)
                for clip in group
                if clip in found.clips
            )
            found.clips = [clip for clip in found.clips if clip not in group]


def _tell_apart(
    root: Path, listed: list[Clip], plain: list[Clip], found: Found
) -> list[Clip]:
    """Give clips of one name longer ones, and note it."""
    renamed: dict[Path, Clip] = {}
    taken = {clip.key for clip in listed}
    for key, group in _group_by_key(plain).items():
        if len(group) == 1 and key not in taken:
            continue
        for clip in group:
            folders = (
                clip.source.relative_to(root).parts[:-1] if clip.source != root else ()
            )
            match = "__".join(folders) or clip.match
            same_place = (
                sum(other.source.parent == clip.source.parent for other in group) > 1
            )
            new = replace(
                clip, match=match, dive=clip.source.name if same_place else clip.dive
            )
            renamed[clip.source] = new
            if new.key != key:
                found.notes.append(
                    f"{clip.source}: called {new.key}, because several clips would be {key}"
                )
    return [renamed.get(clip.source, clip) for clip in plain]


def _group_by_key(clips: Iterable[Clip]) -> dict[str, list[Clip]]:
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[clip.key].append(clip)
    return groups
