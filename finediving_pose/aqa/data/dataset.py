"""Dives as tensors: single dives for evaluation, pairs of query and exemplar for
training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from finediving_pose.datasets.finediving import count_frames
from finediving_pose.errors import DataError, UsageError
from finediving_pose.media import SAMPLES, sample_indices
from finediving_pose.records import Dive, JointState

_MEAN_AND_DEVIATION: dict[
    Normalisation, tuple[tuple[float, ...], tuple[float, ...]]
] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "minus1to1": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
_IDENTITY = AffineMap((1.0, 1.0), (0.0, 0.0))
_UNLABELLED = (0, 0)


@dataclass(frozen=True)
class VideoOptions:
    """How a dive becomes a :class:`Video`.

    Attributes:
        pose_channels: 0 = no skeletons, 2 = x and y, 3 = the confidence too, which is 0
            for interpolated joints.
        frames: How many stand for a dive.
        stages: K; ``2`` cuts after the take-off, ``2*`` before the entry.
        normalisation: Of the images: by ImageNet's mean and deviation, or to [−1, 1].
        flip: Mirrors in training half of the dives: images and skeletons, or, as the
            released code does, the images alone. Features cannot be mirrored, and then
            nothing is.
        random_crop: In training cut the square out anywhere in the scaled frame, else
            in its middle.
    """

    pose_channels: Literal[0, 2, 3] = 2
    frames: int = SAMPLES
    stages: Stages = "3"
    normalisation: Normalisation = "imagenet"
    flip: Flip = "together"
    random_crop: bool = False


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


class VideoLoader:
    """Makes a :class:`Video` of a dive: images or features or neither, and the skeleton
    or not."""

    def __init__(
        self,
        reader: FrameReader | None = None,
        features: FeatureStore | None = None,
        options: VideoOptions | None = None,
    ) -> None:
        """Set up; nothing is read yet.

        Args:
            reader: Reads the frames; None = no images.
            features: Stand in for images; None = no features.
            options: How a dive is read; None = as a plain :class:`VideoOptions` says.

        Raises:
            UsageError: If nothing is to be read, or images and features both, or the
                reader gives another number of frames.
        """
        options = options or VideoOptions()
        if reader is not None and features is not None:
            raise UsageError(
                "features stand in for images: expected one of them, found both"
            )
        if reader is None and features is None and not options.pose_channels:
            raise UsageError("nothing to read: expected images, features or skeletons")
        if reader is not None and reader.frames != options.frames:
            raise UsageError(
                f"frames={options.frames}, and the reader of frames gives {reader.frames}"
            )
        self._reader = reader
        self._features = features
        self._options = options
        self._kept = KEPT_TRANSITIONS[options.stages]
        self._normaliser = ImageNormaliser(options.normalisation)

    def load(self, dive: AqaDive, rng: np.random.Generator | None = None) -> Video:
        """Read a dive.

        Args:
            dive: What to read; with `source` where images are read.
            rng: Draws mirroring, shift and crop, for training; None = none of them, for
                evaluation.

        Raises:
            DataError: If images or features are not readable. A skeleton that is not
                counts as missing.
        """
        # The order of these draws decides what a seed means: flip, shift, crop.
        flip = rng is not None and self._can_flip() and bool(rng.integers(2))
        shift = 0
        if rng is not None:
            margin = self._reader.margin if self._reader else 0
            shift = int(rng.integers(-margin, margin + 1))
        sampled = _sample_by_annotation(dive.record, self._options.frames, shift)
        images, affine = None, _IDENTITY
        if self._reader:
            assert dive.source is not None, (
                f"{dive.name} has no images and should have been left out"
            )
            strip = self._reader.read(dive.source)
            # The strip knows which frames there really are, the annotation does not.
            first = _find_first_frame(dive, strip.sampled)
            sampled = SampledFrames(strip.sampled, first, shift)
            crops, affine = self._crop_strip(strip, shift, rng)
            images = self._normaliser(crops)
            if flip:
                images = images.flip(-1)
        features = None
        if self._features:
            features = torch.from_numpy(self._features.read(dive.key))
        pose = _Pose(None, None, None)
        if self._options.pose_channels:
            flip_pose = flip and self._options.flip == "together"
            pose = self._load_pose(dive, sampled, affine, flip_pose)
        transitions = _find_transitions(dive.record, sampled)
        cuts = transitions or _UNLABELLED
        return Video(
            images=images,
            features=features,
            pose=pose.pose,
            pose_mask=pose.mask,
            observed=pose.observed,
            transitions=torch.tensor(
                [cuts[place] for place in self._kept], dtype=torch.int64
            ),
            labelled=torch.tensor(transitions is not None),
            score=_make_scalar(dive.record.score),
            difficulty=_make_scalar(dive.record.difficulty),
            name=dive.name,
        )

    def _can_flip(self) -> bool:
        return self._options.flip != "off" and self._features is None

    def _crop_strip(
        self, strip: FrameStrip, shift: int, rng: np.random.Generator | None
    ) -> tuple[Images, AffineMap]:
        """Return the (frames, size, size, 3) crops, and the map of joints to them."""
        assert self._reader is not None
        geometry = self._reader.geometry
        if rng is not None and self._options.random_crop:
            corner = geometry.draw_corner(*strip.size, rng)
        else:
            corner = geometry.find_centre_corner(*strip.size)
        images = strip.images[strip.find_rows(shift)]
        crops = geometry.crop_images(images, corner)
        return crops, geometry.make_map(*strip.size, corner)

    def _load_pose(
        self,
        dive: AqaDive,
        sampled: SampledFrames | None,
        affine: AffineMap,
        flip: bool,
    ) -> _Pose:
        numbers, shift = None, 0
        if sampled:
            numbers, shift = sampled.numbers, sampled.shift
        skeleton = read_skeleton(dive.skeleton, self._options.frames, numbers, shift)
        skeleton = skeleton.map_points(affine)
        if flip:
            # Without a crop the width does not matter: the pose is centred below.
            width = self._reader.geometry.size if self._reader else 1
            skeleton = skeleton.mirror(width)
        scores = skeleton.scores if self._options.pose_channels == 3 else None
        pose, mask = normalise_pose(skeleton.keypoints, scores)
        observed = torch.from_numpy((skeleton.state & JointState.OBSERVED) > 0)
        # A joint without a body height has no normalised place, observed or not.
        return _Pose(pose, mask, mask & observed)


class ImageNormaliser:
    """Turns bytes into the range of colours that a network was trained on."""

    def __init__(self, how: Normalisation) -> None:
        values, spread = _MEAN_AND_DEVIATION[how]
        mean = torch.tensor(values)[:, None, None, None]  # (3, 1, 1, 1)
        deviation = torch.tensor(spread)[:, None, None, None]
        # (x / 255 − mean) / deviation as one product and one sum.
        self._factor = 1 / (255 * deviation)
        self._offset = -mean / deviation

    def __call__(self, images: Images) -> Tensor:
        """(frames, H, W, 3) uint8 RGB → (3, frames, H, W) float32."""
        colours = torch.from_numpy(images).permute(3, 0, 1, 2)  # (3, frames, H, W)
        values = colours.to(torch.float32, memory_format=torch.contiguous_format)
        return values.mul_(self._factor).add_(self._offset)


class DiveDataset(Dataset[Video]):
    """Single dives without any random change: each is read, and encoded, once."""

    def __init__(self, dives: Sequence[AqaDive], loader: VideoLoader) -> None:
        """Take the dives.

        Args:
            dives: In the order of the index.
            loader: Reads them.
        """
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
        alone = []
        for dive in self.dives:
            if pool.draw_exemplar(dive.record, 0) is None:
                alone.append(dive.name)
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


class SingleDataset(Dataset[Video]):
    """Training dives alone, mirrored, shifted and cropped anew in each epoch; indices
    are those of :class:`PairDataset`."""

    def __init__(
        self, dives: Sequence[AqaDive], loader: VideoLoader, seed: int = 0
    ) -> None:
        """Take the training dives.

        Args:
            dives: The training dives.
            loader: Reads them.
            seed: Of mirroring, shift and crop.
        """
        self.dives = tuple(dives)
        self._loader = loader
        self._seed = seed

    def __len__(self) -> int:
        return len(self.dives)

    def __getitem__(self, index: int) -> Video:
        epoch, place = divmod(index, len(self))
        dive = self.dives[place]
        rng = np.random.default_rng([self._seed, epoch, hash_key(dive.key)])
        return self._loader.load(dive, rng)


class EpochOrder(Sampler[int]):
    """The indices of a :class:`PairDataset` in an order that follows from seed and
    epoch alone.

    Of several processes each gets every `world`-th of them; the first few are repeated
    until all have as many.
    """

    def __init__(
        self, length: int, seed: int = 0, rank: int = 0, world: int = 1
    ) -> None:
        """Take the place of this process among all.

        Args:
            length: Dives of the data set.
            seed: Of the order.
            rank: This process's number, from 0.
            world: How many processes there are.
        """
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


class _Pose(NamedTuple):
    pose: Tensor | None
    mask: Tensor | None
    observed: Tensor | None


def _sample_by_annotation(
    record: Dive, frames: int, shift: int
) -> SampledFrames | None:
    """Return the frames that stand for a dive by its annotated window; None where the
    window is not known."""
    count = count_frames(record)
    if count is None or record.start_frame is None:
        return None
    places = np.array(sample_indices(count, frames), np.int64)
    return SampledFrames(record.start_frame + places, record.start_frame, shift)


def _find_first_frame(dive: AqaDive, sampled: Numbers) -> int:
    """Return the number of the dive's first frame.

    It is the annotated one, whose image may be missing, unless the images are numbered
    otherwise: a video of the dive alone counts from 0, and images may have been given
    new numbers.
    """
    record, source = dive.record, dive.source
    if record.start_frame is None or record.end_frame is None:
        return int(sampled[0])
    is_whole_source = source is not None and source.start_frame is None
    if source is not None and is_whole_source and not source.source.is_dir():
        return int(sampled[0])
    overlaps = sampled[0] <= record.end_frame and record.start_frame <= sampled[-1]
    return record.start_frame if overlaps else int(sampled[0])


def _find_transitions(
    record: Dive, sampled: SampledFrames | None
) -> tuple[int, ...] | None:
    """Return which of the sampled frames is the first of flight and of entry; None
    where not known or not among them."""
    if record.transitions is None or sampled is None:
        return None
    numbers = sampled.numbers + sampled.shift
    places = np.searchsorted(numbers, sampled.first + np.array(record.transitions))
    flight, entry = (int(place) for place in places)
    if 0 < flight < entry < len(numbers):
        return flight, entry
    return None


def _make_scalar(value: float | None) -> Tensor:
    return torch.tensor(float("nan") if value is None else value, dtype=torch.float32)
