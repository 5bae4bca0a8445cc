"""Dives of a data set: their labels, where their frames and skeletons lie, and which
of these are missing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from finediving_pose.aqa.data.features import FeatureStore, read_table_dives
from finediving_pose.datasets import finediving, mtl_aqa
from finediving_pose.datasets.dive_frames import list_dive_clips
from finediving_pose.datasets.dives_csv import read_dives
from finediving_pose.datasets.finediving import Key, read_finediving
from finediving_pose.datasets.pose_files import pose_path
from finediving_pose.datasets.problems import Problem
from finediving_pose.errors import DataError, UsageError
from finediving_pose.files import sha256_file
from finediving_pose.records import Clip, Dive

DIVES_NAME = "dives.csv"
SHOWN = 5
"""Dives named in one line of a summary."""


@dataclass(frozen=True)
class AqaDive:
    """One dive as the score model meets it.

    Attributes:
        record: Number, DD, awards, score, window and transitions, as far as they are
            known.
        source: Its frames; None where features stand in for them, or only the skeleton
            is read.
        skeleton: Its ``pred_comp_*.npz``; None where there is none.
    """

    record: Dive
    source: Clip | None = None
    skeleton: Path | None = None

    @property
    def key(self) -> Key:
        """Match and dive."""
        return self.record.key

    @property
    def name(self) -> str:
        """``match/dive``."""
        return "/".join(self.key)


@dataclass(frozen=True)
class Annotations:
    """The labels of a data set.

    Attributes:
        dives: In file order.
        train, test: The keys of the published split; all dives and none where there is
            none.
        folder: What the recordings that dives name are relative to.
        sha256: By the names of the files that were read.
        problems: What could not be used.
    """

    dives: tuple[Dive, ...]
    train: tuple[Key, ...]
    test: tuple[Key, ...]
    folder: Path
    sha256: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Gathered:
    """The dives that can be used, and what is missing.

    Attributes:
        dives: All that have what the model reads.
        train, test: Keys of the split, of dives that are here and have a score.
        no_score: Kept, but in neither part.
        no_frames: Left out: images are read, and there are none.
        no_features: Left out: features are read, and there are none.
        no_skeleton: Kept, with all joints missing.
        unknown: Keys of the split that the annotations do not have.
        annotations: What they were gathered from.
    """

    dives: tuple[AqaDive, ...]
    train: tuple[Key, ...]
    test: tuple[Key, ...]
    no_score: tuple[Key, ...]
    no_frames: tuple[Key, ...]
    no_features: tuple[Key, ...]
    no_skeleton: tuple[Key, ...]
    unknown: tuple[Key, ...]
    annotations: Annotations

    def select(self, keys: Iterable[Key]) -> list[AqaDive]:
        """Return the dives of these keys that are here, in the order of the keys."""
        by_key = {dive.key: dive for dive in self.dives}
        return [by_key[key] for key in keys if key in by_key]

    def leave_out(self, failed: Mapping[Key, str]) -> Gathered:
        """Leave out dives whose frames turned out not to be readable
        (:meth:`FrameReader.find_unreadable`)."""
        lost = [dive.key for dive in self.dives if dive.key in failed]
        return replace(
            self,
            dives=tuple(dive for dive in self.dives if dive.key not in failed),
            train=tuple(key for key in self.train if key not in failed),
            test=tuple(key for key in self.test if key not in failed),
            no_frames=(*self.no_frames, *lost),
        )

    def summarise(self) -> list[str]:
        """Say in lines how many dives there are, and which lack what."""
        lines = [
            f"{len(self.dives)} dives: {len(self.train)} to train, {len(self.test)} to test"
        ]
        lacking = {
            "without a score: kept, but neither trained nor tested on": self.no_score,
            "left out: no frames": self.no_frames,
            "left out: no features": self.no_features,
            "without a skeleton: kept, all joints missing": self.no_skeleton,
            "in the split but not in the annotations": self.unknown,
        }
        for reason, keys in lacking.items():
            if keys:
                lines.append(f"{len(keys)} {reason} ({_list_names(keys)})")
        problems = self.annotations.problems
        errors = [problem for problem in problems if problem.severity == "error"]
        if errors:
            lines.append(
                f"{len(errors)} faults in the annotations, the first: {errors[0]}"
            )
        return lines


def read_annotations(path: Path, stages_from: Path | None = None) -> Annotations:
    """Read the labels of a data set.

    Args:
        path: A ``dives.csv``; a table of features with scores (``.npz``); or a folder
            with FineDiving's files, one of these tables called ``dives.csv``, or
            MTL-AQA's files, looked for in this order.
        stages_from: FineDiving's folder, from which dives of MTL-AQA borrow their
            stages.

    Raises:
        UsageError: If the path does not exist.
        DataError: If nothing there can be read.
    """
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; expected annotations")
    if path.is_file():
        return _read_table(path)
    if _has_finediving(path):
        return _read_finediving(path)
    if (path / DIVES_NAME).is_file():
        return _read_table(path / DIVES_NAME)
    if mtl_aqa.find_annotations(path):
        return _read_mtl_aqa(path, stages_from)
    raise DataError(
        f"{path}: no annotations here; expected {', '.join(finediving.FILES[:3])}, {DIVES_NAME} or "
        f"{mtl_aqa.ANNOTATIONS}"
    )


def gather_dives(
    annotations: Annotations,
    frames: Path | None = None,
    features: FeatureStore | None = None,
    skeletons: Path | None = None,
) -> Gathered:
    """Find what belongs to each dive.

    Frames of a dive are, whichever comes first: the images in
    ``<frames>/<match>/<dive>/``; the video file ``<frames>/<match>/<dive>.mp4`` (or of
    another kind); the recording that the annotation names, relative to it or to
    `frames`; the recording ``<frames>/<match>/`` or ``<frames>/<match>.mp4``.
    Recordings are cut to the dive's window, what is the dive's own is used whole.

    Args:
        annotations: See :func:`read_annotations`.
        frames: The folder of frames; None = none are read.
        features: What stands in for images; None = nothing.
        skeletons: The folder above ``Pose/``, or that folder; None = none are read.
    """
    kept: list[AqaDive] = []
    no_score, no_frames, no_features, no_skeleton = [], [], [], []
    known, usable = set(), set()
    for record in annotations.dives:
        dive = _find_files(record, annotations, frames, skeletons)
        known.add(dive.key)
        lacks_frames = frames is not None and dive.source is None
        lacks_features = features is not None and dive.key not in features
        if lacks_frames:
            no_frames.append(dive.key)
        if lacks_features:
            no_features.append(dive.key)
        if lacks_frames or lacks_features:
            continue
        kept.append(dive)
        if skeletons is not None and dive.skeleton is None:
            no_skeleton.append(dive.key)
        if record.score is None:
            no_score.append(dive.key)
        else:
            usable.add(dive.key)
    split = (*annotations.train, *annotations.test)
    return Gathered(
        dives=tuple(kept),
        train=tuple(key for key in annotations.train if key in usable),
        test=tuple(key for key in annotations.test if key in usable),
        no_score=tuple(no_score),
        no_frames=tuple(no_frames),
        no_features=tuple(no_features),
        no_skeleton=tuple(no_skeleton),
        unknown=tuple(key for key in split if key not in known),
        annotations=annotations,
    )


def _has_finediving(path: Path) -> bool:
    folders = [path, *(entry for entry in path.iterdir() if entry.is_dir())]
    for folder in folders:
        if any((folder / name).is_file() for name in finediving.FILES[:3]):
            return True
    return False


def _read_table(path: Path) -> Annotations:
    if path.suffix.lower() == ".npz":
        dives, problems = read_table_dives(path)
    else:
        dives, problems = read_dives(path)
    return Annotations(
        dives=tuple(dives),
        train=tuple(dive.key for dive in dives),
        test=(),
        folder=path.parent,
        sha256={path.name: sha256_file(path)},
        problems=tuple(problems),
    )


def _read_finediving(path: Path) -> Annotations:
    data = read_finediving(path)
    dives = [dive.dive for dive in data.dives]
    return _make_annotations(data, dives)


def _read_mtl_aqa(path: Path, stages_from: Path | None) -> Annotations:
    stages = {}
    if stages_from:
        for dive in read_finediving(stages_from).dives:
            stages[dive.key] = dive.dive
    data = mtl_aqa.read_mtl_aqa(path, stages)
    return _make_annotations(data, data.dives)


def _make_annotations(
    data: finediving.FineDiving | mtl_aqa.MtlAqa, dives: Sequence[Dive]
) -> Annotations:
    train, test = tuple(data.train), tuple(data.test)
    if not train and not test:
        train = tuple(dive.key for dive in dives)
    return Annotations(
        tuple(dives), train, test, data.folder, data.sha256, tuple(data.problems)
    )


def _find_files(
    dive: Dive, annotations: Annotations, frames: Path | None, skeletons: Path | None
) -> AqaDive:
    source = skeleton = None
    if frames is not None:
        source = next(list_dive_clips(dive, frames, annotations.folder), None)
    if skeletons is not None:
        skeleton = _find_skeleton(dive, skeletons)
    return AqaDive(dive, source, skeleton)


def _find_skeleton(dive: Dive, root: Path) -> Path | None:
    if root.name == "Pose":
        root = root.parent
    try:
        path = pose_path(root, dive.match, dive.dive)
    except DataError:  # a name that no extraction can have written
        return None
    return path if path.is_file() else None


def _list_names(keys: Sequence[Key]) -> str:
    names = ", ".join("/".join(key) for key in keys[:SHOWN])
    return names + (", …" if len(keys) > SHOWN else "")
