"""Sources of clips below a folder: video files and folders of images, and what else
lies there and is not read."""

from __future__ import annotations

import re
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from finediving_pose.extraction.shards import is_ledger
from finediving_pose.files import is_system_folder, walk_folders
from finediving_pose.media import is_image, is_video
from finediving_pose.video import shows_video

_NO_VIDEO = (
    ".txt .csv .tsv .json .jsonl .xml .md .rst .html .htm .pdf .log .yaml .yml .toml .ini "
    ".srt .vtt .ass .sub .idx .zip .gz .tar .7z .rar .npz .npy .pkl .pickle .mat .h5 "
    ".hdf5 .pt .pth .ckpt .onnx .safetensors .py .ipynb .sh .bat .exe .lock .db .sqlite "
    ".mp3 .wav .m4a .flac .aac .ogg .opus .wma .xls .xlsx .doc .docx .ppt .pptx .odt .ods "
    ".heic .heif .avif .jxl .jp2 .psd .svg .dng .cr2 .cr3 .nef .arw .ico .thm .lrv "
    ".part .crdownload .tmp"
)
"""Suffixes of files that are known to be something else, or half of a download."""

_TRIED_MOST = 200  # files of unknown kind; opening one takes milliseconds
_FEWEST_FRAMES = 3  # images of one name, fewer of which are thumbnails
_SHARE_OF_ONE_NAME = 0.8


@dataclass(frozen=True)
class Refused:
    """A source that cannot be extracted, and why."""

    source: str
    reason: str


@dataclass
class Sources:
    """Sources below a folder.

    Attributes:
        paths: Video files and folders of images, by their paths.
        previews: Video files beside the images of a folder, which show the same.
        refused: What could not be looked at.
        notes: What is left out that could be taken for a clip.
        not_read: How many files of each suffix are no clips.
        examples: One of them, below the folder.
    """

    paths: list[Path] = field(default_factory=list)
    previews: list[Path] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    not_read: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def describe_not_read(self) -> Mapping[str, Mapping[str, object]]:
        """Return count and example of what is not read, by suffix: JSON types."""
        described = {}
        for suffix, count in sorted(self.not_read.items()):
            described[suffix] = {"count": count, "example": self.examples[suffix]}
        return described


def find_sources(root: Path) -> Sources:
    """Find video files and folders of images at or below `root`.

    A folder is entered once, however many links lead to it. Hidden folders, folders of
    systems and folders with results of an extraction are left out. A file of unknown
    kind is tried.

    Args:
        root: A folder, or one video file.
    """
    if root.is_file():
        return Sources([root])
    return _Walk(root).sources


class _Walk:
    """One walk through a folder; what it finds is in `sources`."""

    def __init__(self, root: Path) -> None:
        self.sources = Sources()
        self._root = root
        self._tried = 0
        self._system_folders: Counter[str] = Counter()
        for folder, files in self._list_folders():
            self._add_folder(folder, files)
        for name, count in sorted(self._system_folders.items()):
            self.sources.notes.append(
                f"{count} folders called {name} are left out: systems keep thumbnails "
                "and bins there"
            )

    def _list_folders(self) -> Iterator[tuple[Path, list[str]]]:
        """Give each folder with the names of its files, but outputs of extractions."""

        def is_no_output(files: Sequence[str]) -> bool:
            return not any(map(is_ledger, files))

        return walk_folders(self._root, self._may_enter, is_no_output, self._refuse)

    def _may_enter(self, folder: str) -> bool:
        if is_system_folder(folder):
            self._system_folders[folder] += 1
            return False
        return not folder.startswith(".")

    def _refuse(self, error: OSError) -> None:
        reason = error.strerror or str(error)
        path = str(error.filename or self._root)
        self.sources.refused.append(Refused(path, f"cannot be listed: {reason}"))

    def _add_folder(self, folder: Path, files: Sequence[str]) -> None:
        images: list[Path] = []
        videos: list[Path] = []
        for file in files:
            path = folder / file
            if file.startswith("."):
                continue
            if is_image(path):
                images.append(path)
            elif self._is_video(path):
                videos.append(path)
        if not images:
            self.sources.paths += videos
        elif not videos:
            self.sources.paths.append(folder)
        elif _are_frames(images, videos):
            self._add_frames(folder, images, videos)
        else:
            self.sources.paths += videos
            self.sources.notes.append(
                f"{folder}: {len(images)} images beside video files are left out"
            )
            for path in images:
                self._note_not_read(path)

    def _add_frames(
        self, folder: Path, images: Sequence[Path], videos: Sequence[Path]
    ) -> None:
        self.sources.paths.append(folder)
        self.sources.previews += videos
        self.sources.notes.append(
            f"{folder}: {', '.join(path.name for path in videos[:3])} beside "
            f"{len(images)} images of one name is taken for a preview of them and left "
            "out; a clip of its own needs a folder of its own"
        )
        for path in videos:
            self._note_not_read(path)

    def _is_video(self, path: Path) -> bool:
        """Whether a file is a video, by its name or, where that tells nothing, by its
        content; what is none is noted."""
        by_name = is_video(path)
        known = by_name or path.suffix.lower() in _NO_VIDEO.split()
        if not by_name and (known or self._tried >= _TRIED_MOST):
            self._note_not_read(path)
            return False
        if not _may_be_read(path):
            # Reading a pipe or a device would never end.
            self.sources.notes.append(f"{path}: a pipe or a device, no file; left out")
            self._note_not_read(path)
            return False
        if by_name:
            return True
        self._tried += 1
        if shows_video(path):
            self.sources.notes.append(
                f"{path}: a video by its content, and read as one"
            )
            return True
        self._note_not_read(path)
        return False

    def _note_not_read(self, path: Path) -> None:
        suffix = path.suffix.lower() or "no suffix"
        self.sources.not_read[suffix] += 1
        name = path.relative_to(self._root).as_posix()
        self.sources.examples.setdefault(suffix, name)


def _may_be_read(path: Path) -> bool:
    """Whether a path is a file; what cannot be looked at may be one, and reading it
    will say what is wrong."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True


def _are_frames(images: Sequence[Path], videos: Sequence[Path]) -> bool:
    """Whether the images of a folder are its clip, and the videos beside them not.

    Frames are many and have one name but for their numbers; thumbnails are about as
    many as the videos, or named each in its own way.
    """
    recordings = [path for path in videos if path.suffix.lower() != ".gif"]
    if len(images) < _FEWEST_FRAMES or len(images) <= 2 * len(recordings):
        return False
    shapes = Counter(re.sub(r"\d+", "#", path.stem) for path in images)
    shape, count = shapes.most_common(1)[0]
    return "#" in shape and count >= _SHARE_OF_ONE_NAME * len(images)
