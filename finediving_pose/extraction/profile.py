"""Where the time of an extraction goes."""

from __future__ import annotations

from collections.abc import Mapping

BUSY = ("detect", "pose", "track", "repair", "write", "draw", "idle")
"""Stages of the main thread, ``draw`` where overlays are; with helper processes `track` and `repair` are theirs.
``idle``: it waits for frames, crops or helpers."""
BESIDE = ("decode", "crop")
"""Stages of threads beside it; ``decode`` is reading, decoding and fitting frames, ``crop`` cutting people out."""


def describe(seconds: Mapping[str, float], wall: float, frames: int) -> str:
    """Return a line that says where the time went.

    Args:
        seconds: By stage.
        wall: Seconds from begin to end.
        frames: How many frames were extracted.
    """
    rate = f"{frames / wall:.1f} frames/s" if wall > 0 and frames else "no frames"
    busy, beside = (
        ", ".join(f"{stage} {seconds[stage]:.1f}" for stage in stages if stage in seconds) for stages in (BUSY, BESIDE)
    )
    return f"profile: {wall:.1f} s, {rate}: {busy or 'nothing done'}" + (f"; beside it {beside}" if beside else "")
