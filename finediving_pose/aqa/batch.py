"""Batches of the score model: dives stacked along a first axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Video(NamedTuple):
    """One dive.

    Attributes:
        images: (3, frames, size, size) float32, RGB, normalised; None where none are
            read.
        features: (n, D) float32, in place of images; None where none are read.
        pose: (C, frames, 16) float32, normalised, 0 = missing; None where none is read.
        pose_mask: (frames, 16) bool, True = known; None with `pose`.
        observed: (frames, 16) bool, True = seen in this frame, not interpolated; None
            with `pose`.
        transitions: (K − 1,) int64, first frame of each stage but the first; 0 where
            unlabelled.
        labelled: () bool, whether the transitions are known.
        score: () float32; NaN = unknown.
        difficulty: () float32, DD; NaN = unknown.
        name: ``match/dive``.
    """

    images: Tensor | None
    features: Tensor | None
    pose: Tensor | None
    pose_mask: Tensor | None
    observed: Tensor | None
    transitions: Tensor
    labelled: Tensor
    score: Tensor
    difficulty: Tensor
    name: str


class Videos(NamedTuple):
    """V dives: the tensors of :class:`Video` with V in front. Of B pairs, V = 2B, first
    the queries, then the exemplars in the same order."""

    images: Tensor | None
    features: Tensor | None
    pose: Tensor | None
    pose_mask: Tensor | None
    observed: Tensor | None
    transitions: Tensor
    labelled: Tensor
    score: Tensor
    difficulty: Tensor
    names: tuple[str, ...]


def collate(videos: Sequence[Video]) -> Videos:
    """Put dives into one batch."""
    *columns, names = zip(*videos, strict=True)
    stacked = []
    for column in columns:
        # What is not read is None for every dive alike.
        tensors = [tensor for tensor in column if tensor is not None]
        stacked.append(torch.stack(tensors) if tensors else None)
    return Videos(*stacked, names)  # type: ignore[call-arg,arg-type]


def collate_pairs(pairs: Sequence[tuple[Video, Video]]) -> Videos:
    """Put pairs into one batch: first the queries, then the exemplars."""
    queries, exemplars = zip(*pairs, strict=True)
    return collate([*queries, *exemplars])
