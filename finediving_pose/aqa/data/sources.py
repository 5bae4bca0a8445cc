"""From a data set's folders and the settings to dives that can be read, and the parts
they fall into."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from finediving_pose.aqa.data.dataset import VideoLoader
from finediving_pose.aqa.data.dives import (
    AqaDive,
    Gathered,
    gather_dives,
    read_annotations,
)
from finediving_pose.aqa.data.features import FeatureStore
from finediving_pose.aqa.data.splits import hold_out
from finediving_pose.aqa.data.video_frames import FrameReader, Geometry
from finediving_pose.aqa.model.visual_encoders import clip_starts
from finediving_pose.aqa.settings import AqaSettings
from finediving_pose.datasets.finediving import Key
from finediving_pose.errors import DataError, UsageError
from finediving_pose.records import Dive


@dataclass(frozen=True)
class Sources:
    """Where a data set lies.

    Attributes:
        annotations: See read_annotations.
        frames: The folder of pictures; needed where the settings read some.
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
        return {
            name: None if path is None else str(path.resolve())
            for name, path in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: dict[str, str | None]) -> Sources:
        """The reverse of :meth:`as_dict`."""
        paths = {
            name: None if path is None else Path(path) for name, path in values.items()
        }
        return cls(**paths)  # type: ignore[arg-type]


class Prepared(NamedTuple):
    """A data set that is ready to be read.

    Attributes:
        settings: With the width of the features, where some are read.
        gathered: The dives that can be read, and what was left out.
        loader: Reads them.
        unreadable: Why pictures of dives could not be read, by key; those dives are
            left out.
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
    """Find the dives and try their pictures, so that nothing fails in the middle of a
    run.

    Raises:
        UsageError: If the settings read what `sources` does not name.
        DataError: If no dive is left.
    """
    _refuse_lack(settings, sources)
    features = open_features(settings)
    if features is not None:
        settings = settings.model_copy(update={"feature_dim": features.dim})
    annotations = read_annotations(sources.annotations, sources.stages_from)
    gathered = gather_dives(
        annotations,
        sources.frames if settings.reads_pictures else None,
        features,
        sources.skeletons if settings.branch_pose else None,
    )
    pictures, unreadable = None, {}
    if settings.reads_pictures:
        geometry = Geometry(settings.geometry, settings.size)
        pictures = FrameReader(geometry, settings.frames, settings.shift, sources.cache)
        clips = [dive.source for dive in gathered.dives if dive.source is not None]
        unreadable = pictures.prepare(clips, threads=os.cpu_count() or 1)
        gathered = gathered.without(unreadable)
    if not gathered.dives:
        raise DataError(
            f"{sources.annotations}: no dive can be read: "
            + "; ".join(gathered.summary())
        )
    return Prepared(
        settings, gathered, make_loader(settings, pictures, features), unreadable
    )


def open_features(settings: AqaSettings) -> FeatureStore | None:
    """Return the features that the settings name, if they name some; see FeatureStore."""
    if not settings.features:
        return None
    return FeatureStore(
        Path(settings.features), len(clip_starts(settings.frames)), settings.frames
    )


def make_loader(
    settings: AqaSettings,
    pictures: FrameReader | None = None,
    features: FeatureStore | None = None,
) -> VideoLoader:
    """Return what reads dives as the settings say."""
    return VideoLoader(
        pictures,
        features,
        settings.pose_channels if settings.branch_pose else 0,
        settings.frames,
        settings.stages,
        settings.normalisation,
        settings.flip,
        settings.random_crop,
    )


def divide_dives(gathered: Gathered, settings: AqaSettings) -> Parts:
    """Divide the dives into the published parts, or, where there are none, into parts
    of our own.

    The test part of a data set without one follows from `settings.split_seed` alone, so
    that several seeds share it; the validation part is a part of the training dives
    that follows from `settings.seed`.

    Raises:
        DataError: If there is no dive to learn from.
    """
    train, test = gathered.train, gathered.test
    if not test:
        train, test = map(
            tuple,
            hold_out(
                _records(gathered, train), settings.test_fraction, settings.split_seed
            ),
        )
    train, val = map(
        tuple, hold_out(_records(gathered, train), settings.val_fraction, settings.seed)
    )
    parts = Parts(*(tuple(gathered.select(keys)) for keys in (train, val, test)))
    if not parts.train:
        raise DataError(
            "no dive with a score is left to learn from: "
            + "; ".join(gathered.summary())
        )
    return parts


def select_parts(gathered: Gathered, names: Mapping[str, Sequence[str]]) -> Parts:
    """Return the parts that a run was made with, from the names ``match/dive`` it wrote
    down."""
    by_name = {dive.name: dive for dive in gathered.dives}
    return Parts(
        *(
            tuple(by_name[name] for name in names.get(part, ()) if name in by_name)
            for part in Parts._fields
        )
    )


def _records(gathered: Gathered, keys: Sequence[Key]) -> list[Dive]:
    return [dive.record for dive in gathered.select(keys)]


def _refuse_lack(settings: AqaSettings, sources: Sources) -> None:
    if settings.reads_pictures and sources.frames is None:
        raise UsageError(
            "the visual branches read pictures: name their folder with --frames DIR, or read none with "
            "branch_dynamic=false branch_static=false, or give features=PATH branch_static=false"
        )
    if settings.branch_pose and sources.skeletons is None:
        raise UsageError(
            "the pose branch reads skeletons: name the folder that extract wrote with --skeletons DIR, or read none "
            "with branch_pose=false"
        )
    for option, folder in (
        ("--frames", sources.frames),
        ("--skeletons", sources.skeletons),
    ):
        if folder is not None and not folder.is_dir():
            raise UsageError(f"{option} {folder}: no such folder")
