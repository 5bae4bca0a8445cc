"""Sources of a data set: its folders and the settings become dives that can be read,
and the parts they fall into."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from finediving_pose.aqa.data.dataset import VideoLoader, VideoOptions
from finediving_pose.aqa.data.dives import (
    AqaDive,
    Gathered,
    gather_dives,
    read_annotations,
)
from finediving_pose.aqa.data.features import FeatureStore
from finediving_pose.aqa.data.splits import hold_out
from finediving_pose.aqa.data.video_frames import FrameReader, Geometry
from finediving_pose.aqa.model.visual_encoders import find_clip_starts
from finediving_pose.aqa.settings import AqaSettings
from finediving_pose.datasets.finediving import Key
from finediving_pose.errors import DataError, UsageError


@dataclass(frozen=True)
class Sources:
    """Where a data set lies.

    Attributes:
        annotations: See read_annotations.
        frames: The folder of frames; needed where the settings read some.
        skeletons: The folder above ``Pose/``; needed where the settings read skeletons.
        cache: A folder for decoded frames; None = they are decoded each time.
        stages_from: FineDiving's folder, from which MTL-AQA borrows its stages.
    """

    annotations: Path
    frames: Path | None = None
    skeletons: Path | None = None
    cache: Path | None = None
    stages_from: Path | None = None

    def as_dict(self) -> dict[str, str | None]:
        """Return JSON types; the paths are absolute, so that a run can be continued
        from anywhere."""
        values: dict[str, str | None] = {}
        for name, path in asdict(self).items():
            values[name] = None if path is None else str(path.resolve())
        return values

    @classmethod
    def from_dict(cls, values: dict[str, str | None]) -> Sources:
        """The reverse of :meth:`as_dict`."""
        paths: dict[str, Any] = {}
        for name, path in values.items():
            paths[name] = None if path is None else Path(path)
        return cls(**paths)


class Prepared(NamedTuple):
    """A data set that is ready to be read.

    Attributes:
        settings: With the width of the features, where some are read.
        gathered: The dives that can be read, and what was left out.
        loader: Reads them.
        unreadable: Why frames of dives could not be read, by key; those dives are left
            out.
    """

    settings: AqaSettings
    gathered: Gathered
    loader: VideoLoader
    unreadable: dict[Key, str]


class Parts(NamedTuple):
    """Dives to learn from, to choose the epoch by, and to test on."""

    train: tuple[AqaDive, ...]
    val: tuple[AqaDive, ...]
    test: tuple[AqaDive, ...]


def prepare_data(settings: AqaSettings, sources: Sources) -> Prepared:
    """Find the dives and try their frames, so that nothing fails in the middle of a
    run.

    Args:
        settings: Say what is read.
        sources: Where it lies.

    Raises:
        UsageError: If the settings read what `sources` does not name.
        DataError: If no dive is left.
    """
    _refuse_lack(settings, sources)
    features = open_features(settings)
    if features is not None:
        settings = settings.model_copy(update={"feature_dim": features.dim})
    gathered = gather_dives(
        annotations=read_annotations(sources.annotations, sources.stages_from),
        frames=sources.frames if settings.reads_images else None,
        features=features,
        skeletons=sources.skeletons if settings.branch_pose else None,
    )
    reader = None
    unreadable: dict[Key, str] = {}
    if settings.reads_images:
        reader = FrameReader(
            Geometry(settings.geometry, settings.size),
            settings.frames,
            margin=settings.shift,
            cache=sources.cache,
        )
        clips = [dive.source for dive in gathered.dives if dive.source is not None]
        unreadable = reader.find_unreadable(clips, threads=os.cpu_count() or 1)
        gathered = gathered.leave_out(unreadable)
    if not gathered.dives:
        raise DataError(
            f"{sources.annotations}: no dive can be read: "
            + "; ".join(gathered.summarise())
        )
    loader = make_loader(settings, reader, features)
    return Prepared(settings, gathered, loader, unreadable)


def open_features(settings: AqaSettings) -> FeatureStore | None:
    """Return the features that the settings name, if they name some; see FeatureStore."""
    if not settings.features:
        return None
    clips = len(find_clip_starts(settings.frames))
    return FeatureStore(Path(settings.features), clips, settings.frames)


def make_loader(
    settings: AqaSettings,
    reader: FrameReader | None = None,
    features: FeatureStore | None = None,
) -> VideoLoader:
    """Return what reads dives as the settings say.

    Args:
        settings: Of the model.
        reader: Reads frames; None = no images.
        features: Stand in for images; None = no features.
    """
    options = VideoOptions(
        pose_channels=settings.pose_channels if settings.branch_pose else 0,
        frames=settings.frames,
        stages=settings.stages,
        normalisation=settings.normalisation,
        flip=settings.flip,
        random_crop=settings.random_crop,
    )
    return VideoLoader(reader, features, options)


def divide_dives(gathered: Gathered, settings: AqaSettings) -> Parts:
    """Divide the dives into the published parts, or, where there are none, into parts
    of our own.

    The test part of a data set without one follows from `settings.split_seed` alone, so
    that several seeds share it; the validation part is a part of the training dives
    that follows from `settings.seed`.

    Args:
        gathered: All dives, with the published split.
        settings: Fractions and seeds.

    Raises:
        DataError: If there is no dive to learn from.
    """
    train: Sequence[Key] = gathered.train
    test: Sequence[Key] = gathered.test
    if not test:
        records = [dive.record for dive in gathered.select(train)]
        train, test = hold_out(records, settings.test_fraction, settings.split_seed)
    records = [dive.record for dive in gathered.select(train)]
    train, val = hold_out(records, settings.val_fraction, settings.seed)
    parts = Parts(
        train=tuple(gathered.select(train)),
        val=tuple(gathered.select(val)),
        test=tuple(gathered.select(test)),
    )
    if not parts.train:
        raise DataError(
            "no dive with a score is left to learn from: "
            + "; ".join(gathered.summarise())
        )
    return parts


def select_parts(gathered: Gathered, names: Mapping[str, Sequence[str]]) -> Parts:
    """Return the parts that a run was made with.

    Args:
        gathered: All dives.
        names: By part, the names ``match/dive`` that the run wrote down; those that are
            not here are left out.
    """
    by_name = {dive.name: dive for dive in gathered.dives}
    parts = {}
    for part in Parts._fields:
        here = [name for name in names.get(part, ()) if name in by_name]
        parts[part] = tuple(by_name[name] for name in here)
    return Parts(**parts)


def _refuse_lack(settings: AqaSettings, sources: Sources) -> None:
    if settings.reads_images and sources.frames is None:
        raise UsageError(
            "the visual branches read images: name their folder with --frames DIR, or read none with "
            "branch_dynamic=false branch_static=false, or give features=PATH branch_static=false"
        )
    if settings.branch_pose and sources.skeletons is None:
        raise UsageError(
            "the pose branch reads skeletons: name the folder that extract wrote with --skeletons DIR, or read none "
            "with branch_pose=false"
        )
    named = {"--frames": sources.frames, "--skeletons": sources.skeletons}
    for option, folder in named.items():
        if folder is not None and not folder.is_dir():
            raise UsageError(f"{option} {folder}: no such folder")
