"""`fdpose frames`: choose the images of a project, write them, and keep their manifest."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from finediving_pose import console, errors
from finediving_pose.annotation.frame_choice import (
    choose_protocol_dives,
    find_flight_frames,
    measure_doubt,
    name_stages,
    pick_largest,
    spread_evenly,
)
from finediving_pose.annotation.image_features import (
    choose_different_images,
    compute_features,
    is_same_image,
    make_thumbnail,
)
from finediving_pose.datasets.dives_csv import read_dives
from finediving_pose.datasets.finediving import FineDive, Key, read_finediving
from finediving_pose.datasets.frame_manifest import (
    ManifestFrame,
    image_key,
    read_frame_manifest,
    write_frame_manifest,
)
from finediving_pose.datasets.pose_files import pose_path, read_pose
from finediving_pose.errors import DataError, FdposeError, UsageError
from finediving_pose.extraction.clips import find_clips
from finediving_pose.files import read_content, sha256_file, write_bytes, write_text
from finediving_pose.manifest import recording
from finediving_pose.media import (
    AS_USUAL,
    Frame,
    FrameFolder,
    FrameSource,
    Reading,
    encode_jpeg,
    open_frames,
    read_image,
)
from finediving_pose.records import Clip
from finediving_pose.workflows.project import Project

Method = Literal["protocol", "uniform", "kmeans", "doubt"]
METHODS: tuple[str, ...] = get_args(Method)
FAILURES_NAME = "failures.csv"
JPEG_QUALITY = 95
KMEANS_POOL = 8
"""As many frames, evenly over the clip, are looked at for each that k-means is to
choose."""
APART = 4
"""Frames of a clip that a model doubts lie at least as many frames apart: neighbours
teach the same."""


@dataclass(frozen=True)
class FramesRequest:
    """Request for a choice of frames.

    Attributes:
        method: ``protocol``: the paper's, the flight of up to `per_number` dives of
            each number; ``uniform``: evenly over each clip; ``kmeans``: frames of a
            clip that differ; ``doubt``: where extracted skeletons are doubtful.
        videos: Frame folders or videos; None = the project's.
        finediving: FineDiving's annotations; None = the project's. Other methods take
            stages from them.
        skeletons: What extract wrote, for ``doubt``.
        per_number: Dives of each number; None = as the project says.
        per_clip: Frames of each clip, for the other methods.
        total: The most doubtful frames of all clips, for ``doubt``; None = no limit
            beside `per_clip`.
        stages: Only frames of these stages, for the methods other than the protocol;
            empty = all. Needs annotations.
        seed: None = as the project says.
        keep_duplicates: Whether to keep images that show the same as another of their
            clip. The flight of the protocol loses only images that are the same file.
        dry_run: Whether only to count.
        reading: How video files are read.
    """

    method: Method
    videos: Path | None = None
    finediving: Path | None = None
    skeletons: Path | None = None
    per_number: int | None = None
    per_clip: int = 10
    total: int | None = None
    stages: tuple[str, ...] = ()
    seed: int | None = None
    keep_duplicates: bool = False
    dry_run: bool = False
    reading: Reading = AS_USUAL


@dataclass
class FramesSummary:
    """Outcome of a choice of frames.

    Attributes:
        method: How it was chosen.
        dives: How many dives or clips were chosen from.
        chosen: Frames chosen, before anything was written.
        added, present: Frames written now; frames that the manifest had before.
        duplicates: Left out because they show what another one shows.
        absent: Chosen dives of which there is no image.
        failed: (clip, reason).
        changed: Images of the manifest that are gone or not what was chosen.
        by_number, by_stage: Frames chosen of each dive number and stage, as far as
            known.
        total: Frames in the manifest now.
    """

    method: str
    dives: int = 0
    chosen: int = 0
    added: int = 0
    present: int = 0
    duplicates: int = 0
    absent: list[str] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    by_number: Counter[str] = field(default_factory=Counter)
    by_stage: Counter[str] = field(default_factory=Counter)
    total: int = 0
    dry_run: bool = False

    @property
    def exit_code(self) -> int:
        """0 done, 1 something is absent or failed, 3 nothing usable."""
        if not self.failed and not self.absent:
            return errors.EXIT_DONE
        if self.total or self.dry_run:
            return errors.EXIT_SOME_FAILED
        return errors.EXIT_INVALID_DATA

    def as_dict(self) -> dict[str, Any]:
        """Return JSON types."""
        failed = [{"clip": clip, "reason": reason} for clip, reason in self.failed]
        return {**vars(self), "failed": failed}


@dataclass(frozen=True)
class _Choice:
    """One clip and what is wanted of it.

    Attributes:
        clip: Its frames; None where there are none.
        key: Match and dive.
        dive: What FineDiving says of it, if it does.
        wanted: Positions in the clip; None = to be decided when it is decoded.
    """

    clip: Clip | None
    key: Key
    dive: FineDive | None
    wanted: Sequence[int] | None = None


def choose_frames(project: Project, request: FramesRequest) -> FramesSummary:
    """Choose frames, write what is not there yet, and add it to the project's manifest.

    Nothing that the manifest has is ever taken away or written anew, because labels
    hang on it.

    Args:
        project: The project.
        request: What to choose.

    Returns:
        How many frames were chosen, written and left out.

    Raises:
        UsageError: If what the method needs is not there or cannot be.
        DataError: If annotations or the manifest cannot be read.
    """
    videos = request.videos or project.videos
    dives = _read_annotated_dives(project, request)
    if request.stages and not dives:
        raise UsageError(
            "--stages needs FineDiving's annotations: name their folder with --finediving"
        )
    if request.stages and request.method == "protocol":
        raise UsageError(
            "--stages goes with the other methods: the protocol is the flight alone"
        )
    present: list[ManifestFrame] = []
    if project.frame_manifest.exists():
        present = read_frame_manifest(project.frame_manifest)
    seed = project.settings.seed if request.seed is None else request.seed
    summary = FramesSummary(
        request.method, present=0, total=len(present), dry_run=request.dry_run
    )
    choices = _choose_clips(project, request, videos, dives, seed, summary)
    summary.dives = len(choices)
    for choice in choices:
        if choice.wanted is not None:
            names = name_stages(choice.dive) if choice.dive is not None else []
            _count_frames(summary, choice, choice.wanted, dict(enumerate(names)))
        if choice.clip is None:
            summary.absent.append("/".join(choice.key))
    summary.absent.sort()
    if request.dry_run:
        return summary
    writer = _FrameWriter(project, request, summary, present, seed)
    facts = {"method": request.method, "seed": seed, "videos": str(videos)}
    with recording(project.frames, **facts, **request.reading.describe()) as manifest:
        writer.write_all([choice for choice in choices if choice.clip is not None])
        manifest.add(added=summary.added, total=summary.total)
    return summary


class _FrameWriter:
    """Writes the images of chosen clips, one clip after the other, and their rows."""

    def __init__(
        self,
        project: Project,
        request: FramesRequest,
        summary: FramesSummary,
        present: Sequence[ManifestFrame],
        seed: int,
    ) -> None:
        self._project, self._request = project, request
        self._summary, self._seed = summary, seed
        self._rows = {row.image: row for row in present}
        self._contents = {row.sha256 for row in present}

    def write_all(self, choices: Sequence[_Choice]) -> None:
        """Write everything; one clip that fails stops no other, and an interrupt loses
        at most the clip begun."""
        summary = self._summary
        with console.progress("looking at images", len(self._rows)) as ticker:
            for row in self._rows.values():
                path = self._project.frames / row.image
                if not path.is_file() or sha256_file(path) != row.sha256:
                    summary.changed.append(row.image)
                ticker.advance()
        with console.progress("choosing frames", len(choices)) as ticker:
            for choice in choices:
                try:
                    self._write_clip(choice)
                except (FdposeError, OSError, ValueError) as error:
                    _note_failure(summary, choice.key, error)
                ticker.advance(note="/".join(choice.key))
        summary.total = len(self._rows)
        if not self._rows and not self._project.frame_manifest.exists():
            write_frame_manifest(self._project.frame_manifest, [])
        _write_failures(self._project.frames / FAILURES_NAME, summary)

    def _write_clip(self, choice: _Choice) -> None:
        assert choice.clip is not None
        source = open_frames(choice.clip, self._request.reading)
        self._refuse_other_source(choice, source)
        stages = _map_stages(
            choice, source, must_match=self._request.method == "protocol"
        )
        wanted = choice.wanted
        if wanted is None:
            allowed = _list_allowed(self._request, source, stages)
            wanted = self._choose_by_looks(source, allowed)
            _count_frames(self._summary, choice, wanted, stages)
        missing = set()
        for place in wanted:
            if self._name_image(choice, source, place) in self._rows:
                self._summary.present += 1
            else:
                missing.add(place)
        seen = []
        for path in self._list_shown(choice, source):
            seen.append(make_thumbnail(read_image(path)))
        new: list[ManifestFrame] = []
        for frame in source.read(frozenset(missing), to_end=False):
            missing.discard(frame.position)
            row = self._write_frame(choice, source, frame, stages, seen)
            if row is not None:
                new.append(row)
        for fault in source.faults:
            console.log.warning("%s: %s", "/".join(choice.key), fault)
        # The manifest is written clip by clip: an interrupt keeps what is whole.
        if new:
            self._rows.update((row.image, row) for row in new)
            write_frame_manifest(self._project.frame_manifest, self._rows.values())
            self._summary.added += len(new)
        if missing:
            raise DataError(
                f"{choice.clip.source}: {len(missing)} of {len(wanted)} frames cannot be "
                "decoded"
            )

    def _refuse_other_source(self, choice: _Choice, source: FrameSource) -> None:
        """Refuse a clip whose name images of another recording have: nobody could tell
        the two dives apart any more.

        Raises:
            DataError: Names both.
        """
        rows = []
        for row in self._rows.values():
            if (row.match, row.dive) == choice.key:
                rows.append(row)
        if not rows or any(self._comes_from(row, source) for row in rows):
            return
        raise DataError(
            f"{'/'.join(choice.key)}: the project has images of a dive of this name from "
            f"{rows[0].source}, and {source.path} is another recording; give it another "
            "folder name, or another match or dive in dives.csv"
        )

    def _comes_from(self, row: ManifestFrame, source: FrameSource) -> bool:
        """Whether an image was taken from a source, by its path or, where that was
        moved, by its content."""
        if not isinstance(source, FrameFolder):
            shown = self._project.shown(Path(os.path.abspath(source.path)))
            same = _hash_recording(source.path) == row.source_sha256
            return row.source == shown or same
        for place in source.find_positions({row.frame}):
            picture = source.picture(place)
            shown = self._project.shown(Path(os.path.abspath(picture)))
            if row.source == shown or _hash_recording(picture) == row.source_sha256:
                return True
        return False

    def _write_frame(
        self,
        choice: _Choice,
        source: FrameSource,
        frame: Frame,
        stages: Mapping[int, str],
        seen: list[NDArray[np.int16]],
    ) -> ManifestFrame | None:
        """Write one image and return its row; None where it shows what another one
        shows."""
        origin = source.path
        if isinstance(source, FrameFolder):
            origin = source.picture(frame.position)
        content = _encode(frame, origin)
        sha256 = hashlib.sha256(content).hexdigest()
        if not self._request.keep_duplicates and self._is_double(frame, sha256, seen):
            self._summary.duplicates += 1
            return None
        image = self._name_image(choice, source, frame.position)
        path = self._project.frames / image
        if path.exists() and sha256_file(path) != sha256:
            raise DataError(
                f"{path}: another image lies there that the manifest does not have; move "
                "it away"
            )
        write_bytes(path, content)
        self._contents.add(sha256)
        height, width = frame.image.shape[:2]
        return ManifestFrame(
            image=image,
            match=choice.key[0],
            dive=choice.key[1],
            frame=frame.number,
            stage=stages.get(frame.position, ""),
            width=width,
            height=height,
            source=self._project.shown(Path(os.path.abspath(origin))),
            source_sha256=_hash_recording(origin),
            sha256=sha256,
            chosen_by=self._request.method,
        )

    def _is_double(
        self, frame: Frame, sha256: str, seen: list[NDArray[np.int16]]
    ) -> bool:
        if self._request.method == "protocol":
            return sha256 in self._contents
        thumbnail = make_thumbnail(frame.image)
        if sha256 in self._contents or is_same_image(thumbnail, seen):
            return True
        seen.append(thumbnail)
        return False

    def _choose_by_looks(self, source: FrameSource, places: Sequence[int]) -> list[int]:
        wanted = self._request.per_clip
        if self._request.method == "uniform":
            return [places[row] for row in spread_evenly(len(places), wanted)]
        pool = spread_evenly(len(places), KMEANS_POOL * wanted)
        positions, described = [], []
        for frame in source.read({places[row] for row in pool}, to_end=False):
            positions.append(frame.position)
            described.append(compute_features(frame.image))
        chosen = choose_different_images(described, wanted, self._seed)
        return [positions[row] for row in chosen]

    def _list_shown(self, choice: _Choice, source: FrameSource) -> list[Path]:
        """Return the images of this clip that the manifest has already, for telling what
        shows the same."""
        if self._request.keep_duplicates or self._request.method == "protocol":
            return []
        shown = []
        for place in range(source.count or 0):
            name = self._name_image(choice, source, place)
            path = self._project.frames / name
            if name in self._rows and path.is_file():
                shown.append(path)
        return list(dict.fromkeys(shown))

    def _name_image(self, choice: _Choice, source: FrameSource, place: int) -> str:
        return image_key(*choice.key, source.number(place))


def _list_allowed(
    request: FramesRequest, source: FrameSource, stages: Mapping[int, str]
) -> list[int]:
    """Return the positions to choose from.

    Raises:
        DataError: If stages are asked for and not known.
    """
    if source.count is None:
        for _ in source.read(()):  # counts what decodes
            continue
    places = range(source.count or 0)
    if not request.stages:
        return list(places)
    if not stages:
        raise DataError(
            f"{source.path}: nobody knows its stages: no annotation of that dive with as "
            "many frames"
        )
    return [place for place in places if stages[place] in request.stages]


def _read_annotated_dives(
    project: Project, request: FramesRequest
) -> dict[Key, FineDive]:
    """Return what FineDiving's annotations say, by match and dive; nothing where the
    project has none."""
    folder = request.finediving or project.finediving
    if folder is not None:
        return {dive.key: dive for dive in read_finediving(folder).dives}
    if request.method == "protocol":
        raise UsageError(
            "the paper's protocol needs FineDiving's annotations: name their folder with "
            "--finediving, or choose with --method uniform"
        )
    return {}


def _choose_clips(
    project: Project,
    request: FramesRequest,
    videos: Path,
    dives: Mapping[Key, FineDive],
    seed: int,
    summary: FramesSummary,
) -> list[_Choice]:
    """Return the clips to take frames from, and which frames where that is known."""
    needed = not request.dry_run or request.method != "protocol"
    clips = _find_clips(videos, needed, summary)
    if request.method == "doubt":
        return _choose_doubtful_frames(request, clips, dives, summary)
    choices = []
    if request.method == "protocol":
        per_number = request.per_number or project.settings.dives_per_number
        for dive in choose_protocol_dives(dives.values(), per_number, seed):
            clip, frames = clips.get(dive.key), find_flight_frames(dive)
            choices.append(_Choice(clip, dive.key, dive, frames))
        return choices
    for key, clip in clips.items():
        choices.append(_Choice(clip, key, dives.get(key)))
    return choices


def _find_clips(videos: Path, needed: bool, summary: FramesSummary) -> dict[Key, Clip]:
    """Return the clips below a folder, as `fdpose extract` names them; what cannot be
    one is noted in the summary as failed."""
    if not videos.exists():
        if needed:
            raise UsageError(
                f"{videos}: no such folder of videos or frames; name it with --videos or "
                "in fdpose.yaml"
            )
        return {}
    folder = videos if videos.is_dir() else videos.parent
    cut, base = [], None
    for path in (folder / "dives.csv", folder.parent / "dives.csv"):
        if path.is_file():
            dives, problems = read_dives(path, folder)
            for problem in problems:
                console.log.warning("%s", problem)
            cut = [dive for dive in dives if dive.video is not None]
            base = path.parent
            break
    found = find_clips(videos, cut, base)
    for note in found.notes:
        console.log.warning("%s", note)
    if found.not_read:
        console.log.info("not read: %s", found.describe_not_read())
    for refused in found.refused:
        summary.failed.append((refused.source, refused.reason))
        console.log.error("%s: %s", refused.source, refused.reason)
    if needed and not found.clips:
        raise DataError(
            f"{videos}: no video file and no folder of images there or below"
        )
    return {(clip.match, clip.dive): clip for clip in found.clips}


def _choose_doubtful_frames(
    request: FramesRequest,
    clips: Mapping[Key, Clip],
    dives: Mapping[Key, FineDive],
    summary: FramesSummary,
) -> list[_Choice]:
    """Choose the frames whose skeletons are the most doubtful, of each clip and then of
    all."""
    if request.skeletons is None:
        raise UsageError(
            "--method doubt looks at what fdpose extract wrote: name it with --skeletons"
        )
    found: list[tuple[float, Key, int]] = []
    for key, clip in clips.items():
        try:
            path = pose_path(request.skeletons, *key)
            if path.is_file():
                choice = _Choice(clip, key, dives.get(key))
                for doubt, place in _rank_doubtful_frames(request, path, choice):
                    found.append((doubt, key, place))
        except (FdposeError, OSError, ValueError) as error:
            _note_failure(summary, key, error)
    if not found and not summary.failed:
        raise UsageError(
            f"{request.skeletons}: no skeletons of the clips in the videos' folder are "
            "there"
        )
    found.sort(key=lambda item: (-item[0], item[1], item[2]))
    wanted: dict[Key, list[int]] = {}
    for _, key, place in found[: request.total]:
        wanted.setdefault(key, []).append(place)
    choices = []
    for key, places in wanted.items():
        choices.append(_Choice(clips[key], key, dives.get(key), sorted(places)))
    return choices


def _rank_doubtful_frames(
    request: FramesRequest, path: Path, choice: _Choice
) -> list[tuple[float, int]]:
    """Return how doubtful the most doubtful frames of one clip are, and their positions
    in it."""
    assert choice.clip is not None
    sequence = read_pose(path)
    made_by = sequence.meta.get("deinterlacing", "auto")
    if not choice.clip.source.is_dir() and made_by != request.reading.deinterlacing:
        raise DataError(
            f"{path}: its frames are numbered as --deinterlace {made_by} reads them, "
            f"not {request.reading.deinterlacing}; give the same here"
        )
    source = open_frames(choice.clip, request.reading)
    stages = _map_stages(choice, source, must_match=False)
    place_of = {}
    for place in _list_allowed(request, source, stages):
        place_of[source.number(place)] = place
    numbers, rows = np.unique(sequence.frame_index, return_index=True)
    inside = np.isin(numbers, list(place_of))
    doubt, numbers = measure_doubt(sequence)[rows][inside], numbers[inside]
    chosen = pick_largest(doubt, numbers, request.per_clip, APART)
    return [(float(doubt[row]), place_of[int(numbers[row])]) for row in chosen]


def _note_failure(summary: FramesSummary, key: Key, error: Exception) -> None:
    name = "/".join(key)
    summary.failed.append((name, str(error)))
    console.log.error("%s: %s", name, error)


def _count_frames(
    summary: FramesSummary,
    choice: _Choice,
    wanted: Sequence[int],
    stages: Mapping[int, str],
) -> None:
    summary.chosen += len(wanted)
    summary.by_stage.update(stages[place] for place in wanted if place in stages)
    if choice.dive is not None:
        summary.by_number[str(choice.dive.dive.dive_number)] += len(wanted)


def _map_stages(
    choice: _Choice, source: FrameSource, must_match: bool
) -> dict[int, str]:
    """Return the stage of each position of a clip, where FineDiving knows it.

    Raises:
        DataError: If there must be as many images as labelled frames and are not:
            nobody knows which is which then.
    """
    names = name_stages(choice.dive) if choice.dive is not None else []
    if not names:
        return {}
    if source.count is not None and source.count != len(names):
        if must_match:
            raise DataError(
                f"{source.path}: has {source.count} frames where FineDiving's annotation "
                f"has {len(names)}; expected the dive's own frames from its first to its "
                "last"
            )
        return {}
    return dict(enumerate(names))


def _encode(frame: Frame, origin: Path) -> bytes:
    """Return a frame as JPEG: the file itself where it is one that shows what was
    decoded."""
    if origin.suffix.lower() in (".jpg", ".jpeg") and _is_upright(origin):
        return read_content(origin)
    return encode_jpeg(frame.image, JPEG_QUALITY)


def _is_upright(path: Path) -> bool:
    """Whether a file is a JPEG that no tag turns when it is shown."""
    from PIL import Image

    with Image.open(path) as image:
        return image.format == "JPEG" and image.getexif().get(0x0112, 1) == 1


@lru_cache(maxsize=4)
def _hash_recording(path: Path) -> str:
    """Hash a recording once, though many frames are taken from it."""
    return sha256_file(path)


def _write_failures(path: Path, summary: FramesSummary) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["clip", "reason"])
    writer.writerows(summary.failed)
    for clip in summary.absent:
        writer.writerow([clip, "no image of it in the videos' folder"])
    write_text(path, text.getvalue())
