"""Dives as tensors: single ones for evaluation, pairs of query and exemplar for
training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from finediving_pose.aqa.batch import Video
from finediving_pose.aqa.data.dives import AqaDive
from finediving_pose.aqa.data.exemplars import ExemplarPool, hash_key
from finediving_pose.aqa.data.features import FeatureStore
from finediving_pose.aqa.data.pose_normalisation import normalise_pose
from finediving_pose.aqa.data.skeletons import read_skeleton
from finediving_pose.aqa.data.video_frames import (
    AffineMap,
    FrameReader,
    FrameStrip,
    Images,
    Numbers,
)
from finediving_pose.aqa.settings import KEPT_TRANSITIONS, Flip, Normalisation, Stages
from finediving_pose.datasets.finediving import frame_count
from finediving_pose.errors import DataError, UsageError
from finediving_pose.media import SAMPLES, sample_indices
from finediving_pose.records import Dive, JointState

_MEAN_AND_DEVIATION: dict[
    Normalisation, tuple[tuple[float, ...], tuple[float, ...]]
] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "minus1to1": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}


class VideoLoader:
    """Makes a :class:`Video` of a dive: pictures or features or neither, and the
    skeleton or not."""

    def __init__(
        self,
        pictures: FrameReader | None = None,
        features: FeatureStore | None = None,
        pose_channels: Literal[0, 2, 3] = 2,
        frames: int = SAMPLES,
        stages: Stages = "3",
        normalisation: Normalisation = "imagenet",
        flip: Flip = "together",
        random_crop: bool = False,
    ) -> None:
        """Set up; nothing is read yet.

        Args:
            pictures: Reads them; None = no pictures.
            features: Stand in for pictures; None = no features.
            pose_channels: 0 = no skeletons, 2 = x and y, 3 = the confidence too, which
                is 0 for interpolated joints.
            frames: How many stand for a dive; a `pictures` reader must have as many.
            stages: K; ``2`` cuts after the take-off, ``2*`` before the entry.
            normalisation: Of the pictures: by ImageNet's mean and deviation, or to [−1,
                1].
            flip: Mirrors in training half of the dives: pictures and skeletons, or, as
                the released code does, the pictures alone. Features cannot be mirrored,
                and then nothing is.
            random_crop: In training cut the square out anywhere in the scaled frame,
                else in its middle.

        Raises:
            UsageError: If nothing is to be read, or pictures and features both.
        """
        if pictures is not None and features is not None:
            raise UsageError(
                "features stand in for pictures: expected one of them, found both"
            )
        if pictures is None and features is None and not pose_channels:
            raise UsageError(
                "nothing to read: expected pictures, features or skeletons"
            )
        if pictures is not None and pictures.frames != frames:
            raise UsageError(
                f"frames={frames}, and the reader of pictures gives {pictures.frames}"
            )
        self._pictures = pictures
        self._features = features
        self._channels = pose_channels
        self._frames = frames
        self._kept = KEPT_TRANSITIONS[stages]
        self._normaliser = ImageNormaliser(normalisation)
        self._flip = flip
        self._random_crop = random_crop

    def load(self, dive: AqaDive, rng: np.random.Generator | None = None) -> Video:
        """Read a dive.

        Args:
            dive: What to read; with `source` where pictures are read.
            rng: Draws mirroring, shift and crop, for training; None = none of them, for
                evaluation.

        Raises:
            DataError: If pictures or features are not readable. A skeleton that is not
                counts as missing.
        """
        margin = self._pictures.margin if self._pictures else 0
        flip = (
            rng is not None
            and self._flip != "off"
            and self._features is None
            and bool(rng.integers(2))
        )
        shift = int(rng.integers(-margin, margin + 1)) if rng is not None else 0
        seen = _seen_by_annotation(dive.record, self._frames, shift)
        pictures, affine = None, _UNCHANGED
        if self._pictures:
            assert dive.source is not None, (
                f"{dive.name} has no pictures and should have been left out"
            )
            strip = self._pictures.read(dive.source)
            seen = SampledFrames(
                strip.sampled, _first_frame(dive, strip.sampled), shift
            )
            images, affine = self._cut(strip, shift, rng)
            pictures = self._normaliser(images)
            pictures = pictures.flip(-1) if flip else pictures
        pose = (
            self._pose(dive, seen, affine, flip and self._flip == "together")
            if self._channels
            else _NO_POSE
        )
        transitions = _sampled(dive.record, seen)
        return Video(
            pictures=pictures,
            features=torch.from_numpy(self._features.read(dive.key))
            if self._features
            else None,
            pose=pose.pose,
            pose_mask=pose.mask,
            observed=pose.observed,
            transitions=torch.tensor(
                [(transitions or _UNLABELLED)[place] for place in self._kept],
                dtype=torch.int64,
            ),
            labelled=torch.tensor(transitions is not None),
            score=_scalar(dive.record.score),
            difficulty=_scalar(dive.record.difficulty),
            name=dive.name,
        )

    def _cut(
        self, strip: FrameStrip, shift: int, rng: np.random.Generator | None
    ) -> tuple[Images, AffineMap]:
        assert self._pictures is not None
        geometry = self._pictures.geometry
        random = rng is not None and self._random_crop
        corner = (
            geometry.anywhere(*strip.size, rng)
            if random and rng
            else geometry.centre(*strip.size)
        )
        return geometry.crop(strip.images[strip.rows(shift)], corner), geometry.map(
            *strip.size, corner
        )

    def _pose(
        self, dive: AqaDive, seen: SampledFrames | None, affine: AffineMap, flip: bool
    ) -> _Pose:
        numbers, shift = (seen.numbers, seen.shift) if seen else (None, 0)
        skeleton = read_skeleton(
            dive.skeleton, self._frames, numbers, shift
        ).map_points(affine)
        if flip:
            skeleton = skeleton.mirror(
                self._pictures.geometry.size if self._pictures else 1
            )
        pose, mask = normalise_pose(
            skeleton.keypoints, skeleton.scores if self._channels == 3 else None
        )
        observed = torch.from_numpy((skeleton.state & JointState.OBSERVED) > 0)
        return _Pose(pose, mask, mask & observed)


class ImageNormaliser:
    """Turns bytes into what a net was trained on."""

    def __init__(self, how: Normalisation) -> None:
        mean, deviation = (
            torch.tensor(values)[:, None, None, None]
            for values in _MEAN_AND_DEVIATION[how]
        )
        self._factor, self._offset = (
            1 / (255 * deviation),
            -mean / deviation,
        )  # (3, 1, 1, 1)

    def __call__(self, images: Images) -> Tensor:
        """(frames, H, W, 3) uint8 RGB → (3, frames, H, W) float32."""
        colours = torch.from_numpy(images).permute(3, 0, 1, 2)  # (3, frames, H, W)
        values = colours.to(torch.float32, memory_format=torch.contiguous_format)
        return values.mul_(self._factor).add_(self._offset)


class DiveDataset(Dataset[Video]):
    """Single dives without any random change: each is read, and encoded, once."""

    def __init__(self, dives: Sequence[AqaDive], loader: VideoLoader) -> None:
        self.dives = tuple(dives)
        self._loader = loader

    def __len__(self) -> int:
        return len(self.dives)

    def __getitem__(self, place: int) -> Video:
        if not 0 <= place < len(self):
            raise IndexError(place)
        return self._loader.load(self.dives[place])


class PairDataset(Dataset[tuple[Video, Video]]):
    """Queries, each with one exemplar, another in each epoch.

    The index is ``epoch · len + place``, so that a pair follows from it alone: in
    whichever process it is read, before or after a resume. :class:`EpochOrder` gives
    such indices.
    """

    def __init__(
        self,
        dives: Sequence[AqaDive],
        pool: ExemplarPool,
        loader: VideoLoader,
        seed: int = 0,
    ) -> None:
        """Take the training dives.

        Args:
            dives: Queries and exemplars; every dive of the pool is among them.
            pool: Chooses a query's exemplar.
            loader: Reads both.
            seed: Of mirroring, shift and crop.

        Raises:
            DataError: If a dive has no exemplar, not even itself.
        """
        self.dives = tuple(dives)
        self._by_key = {dive.key: dive for dive in self.dives}
        self._pool = pool
        self._loader = loader
        self._seed = seed
        alone = [
            dive.name
            for dive in self.dives
            if pool.draw_exemplar(dive.record, 0) is None
        ]
        if alone:
            raise DataError(
                f"{len(alone)} training dives have no exemplar, the first {alone[0]}: their dive number or DD is not "
                "known; add it, or choose exemplars at random with exemplar_choice=random"
            )

    def __len__(self) -> int:
        return len(self.dives)

    def __getitem__(self, index: int) -> tuple[Video, Video]:
        epoch, place = divmod(index, len(self))
        query = self.dives[place]
        chosen = self._pool.draw_exemplar(query.record, epoch)
        assert chosen is not None, query.name
        exemplar = self._by_key[self._pool.dives[chosen].key]
        rng = np.random.default_rng([self._seed, epoch, hash_key(query.key)])
        return self._loader.load(query, rng), self._loader.load(exemplar, rng)


class EpochOrder(Sampler[int]):
    """The indices of a :class:`PairDataset` in an order that follows from seed and
    epoch alone.

    Of several processes each gets every `world`-th of them; the first few are repeated
    until all have as many.
    """

    def __init__(
        self, length: int, seed: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        self._length = length
        self._seed = seed
        self._rank, self._world = rank, world
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; pytorch-lightning calls it."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-self._length // self._world)

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng([self._seed, self._epoch]).permutation(
            self._length
        )
        own = np.resize(order, len(self) * self._world)[self._rank :: self._world]
        return iter((self._epoch * self._length + own).tolist())


class SampledFrames(NamedTuple):
    """Which frames stand for a dive.

    Attributes:
        numbers: (frames,) int64, their numbers in the source before the shift.
        first: The number of the dive's first frame, from which its transitions are
            counted.
        shift: Frames by which the window is moved.
    """

    numbers: Numbers
    first: int
    shift: int


class _Pose(NamedTuple):
    pose: Tensor | None
    mask: Tensor | None
    observed: Tensor | None


_UNCHANGED = AffineMap((1.0, 1.0), (0.0, 0.0))
_NO_POSE = _Pose(None, None, None)
_UNLABELLED = (0, 0)


def _seen_by_annotation(record: Dive, frames: int, shift: int) -> SampledFrames | None:
    count = frame_count(record)
    if count is None or record.start_frame is None:
        return None
    return SampledFrames(
        record.start_frame + np.array(sample_indices(count, frames), np.int64),
        record.start_frame,
        shift,
    )


def _first_frame(dive: AqaDive, sampled: Numbers) -> int:
    """Return the number of the dive's first frame.

    It is the annotated one, whose picture may be missing, unless the pictures are
    numbered otherwise: a video of the dive alone counts from 0, and images may have
    been given new numbers.
    """
    record, source = dive.record, dive.source
    own_video = (
        source is not None and source.start_frame is None and not source.source.is_dir()
    )
    if record.start_frame is None or record.end_frame is None or own_video:
        return int(sampled[0])
    overlaps = sampled[0] <= record.end_frame and record.start_frame <= sampled[-1]
    return record.start_frame if overlaps else int(sampled[0])


def _sampled(record: Dive, seen: SampledFrames | None) -> tuple[int, ...] | None:
    """Return which of the frames is the first of flight and of entry; None where not
    known or not among them."""
    if record.transitions is None or seen is None:
        return None
    places = np.searchsorted(
        seen.numbers + seen.shift, seen.first + np.array(record.transitions)
    )
    flight, entry = (int(place) for place in places)
    return (flight, entry) if 0 < flight < entry < len(seen.numbers) else None


def _scalar(value: float | None) -> Tensor:
    return torch.tensor(float("nan") if value is None else value, dtype=torch.float32)
