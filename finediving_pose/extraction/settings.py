"""Settings of an extraction's result: sampling, tracking, repair.

``presets/default.yaml`` holds every value; :func:`load_extraction` overrides them by
``key=value``. Settings of speed alone are :class:`.local_engine.Limits`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from finediving_pose.config import Settings, load_settings
from finediving_pose.left_right import SwapWeights
from finediving_pose.media import SAMPLES

PRESETS = Path(__file__).parent / "presets"
BASE = "default"


class TrackingSettings(Settings):
    """Settings of the tracker; lengths are in diagonals of the athlete's box, time in
    frames of the source.

    Attributes:
        tracker: Name of the tracker, see :data:`.trackers.TRACKERS`.
        min_box_score: Detections below this confidence are not looked at.
        max_jump: Largest distance (eq. 25) from one frame to the next; over n frames √n
            times as much.
        max_absence: After this many frames without a box the track ends.
        confidence_weight: What a confidence of 0 instead of 1 costs, as a distance.
        moving_speed: Speed against the camera, per frame, from which on a person counts
            as moving in full.
        stand_gain: ``path``: what a frame of standing gains.
        stay_weight: ``path``: what it costs of that to be still there later on, as
            spectators are.
        still_weight: ``path``: what a frame at rest costs in flight, where a frame of
            full motion gains 1.
        size_weight: ``path``: what a change of the diagonal by a factor e costs from
            one short track to the next.
        gap_cost: ``path``: what each frame costs that lies between two short tracks.
        switch_cost: ``path``: what another short track costs, and a take-off.
    """

    tracker: str = "nearest"
    min_box_score: float = Field(default=0.1, ge=0, le=1)
    max_jump: float = Field(default=1.0, gt=0)
    max_absence: int = Field(default=50, ge=1)
    confidence_weight: float = Field(default=0.5, ge=0)
    moving_speed: float = Field(default=0.05, gt=0)
    stand_gain: float = Field(default=0.15, ge=0)
    stay_weight: float = Field(default=0.4, ge=0)
    still_weight: float = Field(default=0.6, ge=0)
    size_weight: float = Field(default=0.8, ge=0)
    gap_cost: float = Field(default=0.15, ge=0)
    switch_cost: float = Field(default=0.6, ge=0)


class RepairSettings(Settings):
    """Settings of the repair; lengths are in body heights, along the limbs from head
    top to ankles. They were set with ``tools/bench_repair.py`` on a synthetic meet.

    Attributes:
        enabled: Otherwise the joints stay as the network saw them: no sides swapped,
            nothing removed, filled or smoothed.
        sides: Weights of the evidence that sides are swapped.
        least_gain: Sides are swapped where at least so much speaks for it, net of what
            the weights ask.
        most_unrest: And where the sides usually move more steadily: of a twist in which
            a frame shows a third of a turn, nothing can be told.
        spike: A joint that goes at least so far out and back, beyond the body's own
            motion, was seen astray.
        longest_spike: In at most so many frames in a row.
        limb_slack: A limb that is longer than it can be by more than this factor has an
            end that was seen astray.
        smooth: Frames of the Savitzky–Golay window, odd; 0 = no smoothing.
        smooth_order: Degree of its polynomials.
    """

    enabled: bool = True
    sides: SwapWeights = SwapWeights()
    least_gain: float = Field(default=0.1, ge=0)
    most_unrest: float = Field(default=0.2, ge=0)
    spike: float = Field(default=0.1, gt=0)
    longest_spike: int = Field(default=2, ge=0, le=7)
    limb_slack: float = Field(default=0.9, gt=0)
    smooth: int = Field(default=0, ge=0)
    smooth_order: int = Field(default=2, ge=0)

    @model_validator(mode="after")
    def _window_fits(self) -> RepairSettings:
        if self.smooth and (self.smooth % 2 == 0 or self.smooth <= self.smooth_order):
            raise ValueError(
                f"smooth={self.smooth}: expected 0 or an odd number above smooth_order={self.smooth_order}"
            )
        return self


def _read_all(value: object) -> object:
    """``all`` is what one types for every frame."""
    return None if value == "all" else value


class ExtractionSettings(Settings):
    """Settings from frames to skeletons.

    Attributes:
        frames: How many frames to sample as FineDiving does; None = all of them.
        detect_every: The detector sees every so many of these, and the last; in between
            boxes are filled in.
        persons: How many divers to follow, the second on what the first leaves.
        min_score: Joints below this confidence are missing.
        max_gap: Longest run of source frames without a box or joint that is filled
            between two known ones.
        extend_ends: Whether the first and the last known joint also stand for up to
            `max_gap` frames beyond.
        channels: 2 for x, y in ``pred``; 3 for x, y, score.
        tracking, repair: Settings of their own.
    """

    frames: Annotated[
        Annotated[int, Field(ge=1)] | None, BeforeValidator(_read_all)
    ] = SAMPLES
    detect_every: int = Field(default=1, ge=1)
    persons: int = Field(default=1, ge=1, le=2)
    min_score: float = Field(default=0.0, ge=0, le=1)
    max_gap: int = Field(default=10, ge=0)
    extend_ends: bool = False
    channels: Literal[2, 3] = 2
    tracking: TrackingSettings = TrackingSettings()
    repair: RepairSettings = RepairSettings()


def load_extraction(
    preset: str = BASE,
    overrides: Iterable[str] = (),
    options: Mapping[str, Any] | None = None,
) -> ExtractionSettings:
    """Return the settings of a preset; what it leaves out is as in ``default``.

    Args:
        preset: A name, several with the later ones winning, or a path of a YAML file.
        overrides: ``key=value`` texts, such as ``tracking.max_absence=80``.
        options: Values of command-line options of their own, by their keys; None = not
            given.

    Raises:
        UsageError: See :func:`finediving_pose.config.load_settings`.
    """
    return load_settings(
        ExtractionSettings, PRESETS, preset, overrides, base=BASE, **(options or {})
    )
