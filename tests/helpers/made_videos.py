"""Batches for HP-MCoRe: random images, features, skeletons and labels that fit its
settings."""

from __future__ import annotations

import torch

from finediving_pose.aqa.batch import Videos
from finediving_pose.aqa.settings import AqaSettings, load_aqa

SMALL = ("size=32", "frames=32", "batch_size=1", "tokens=3")


def small_settings(*overrides: str, preset: str = "tiny") -> AqaSettings:
    """A preset with short and small videos, and nets that are narrow where it leaves
    the choice."""
    narrow = (
        ("dim=16", "pose_dim=16", "decoder_heads=2")
        if preset.startswith("tiny")
        else ()
    )
    return load_aqa(preset, [*SMALL, *narrow, *overrides])


def made_videos(
    settings: AqaSettings, videos: int = 2, vectors: int = 1, seed: int = 0
) -> Videos:
    """Random dives of these settings; with `vectors` features each where features stand
    in for images."""
    draw = torch.Generator().manual_seed(seed)
    frames, transitions = settings.frames, settings.stage_count - 1
    images = torch.randn(
        videos, 3, frames, settings.size, settings.size, generator=draw
    )
    features = torch.randn(
        videos, vectors, max(settings.feature_dim, 1), generator=draw
    )
    pose = torch.randn(videos, settings.pose_channels, frames, 16, generator=draw)
    mask = torch.rand(videos, frames, 16, generator=draw) > 0.2
    cuts = (
        torch.rand(videos, frames - 1, generator=draw)
        .argsort(dim=1)[:, :transitions]
        .sort(dim=1)
        .values
        + 1
    )
    score = 40 + 50 * torch.rand(videos, generator=draw)
    return Videos(
        images=images if settings.reads_images else None,
        features=features if settings.features else None,
        pose=pose * mask[:, None] if settings.branch_pose else None,
        pose_mask=mask if settings.branch_pose else None,
        observed=mask if settings.branch_pose else None,
        transitions=cuts,
        labelled=torch.ones(videos, dtype=torch.bool),
        score=score,
        difficulty=torch.linspace(2.8, 3.4, videos),
        names=tuple(f"Made/{number}" for number in range(videos)),
    )
