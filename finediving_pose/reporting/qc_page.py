"""Page of ``fdpose qc``: an extraction's clips by doubt, the most doubtful with film
strips and joint tracks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from finediving_pose.media import Image
from finediving_pose.records import BoxState, JointState, SkeletonSequence
from finediving_pose.reporting.page import Page, Section
from finediving_pose.reporting.plots import plot_histogram, plot_joint_tracks
from finediving_pose.skeleton import COLOURS, INDEX

LISTED = 200
"""Clips in the page's table; qc.csv has all."""
TELLING = (
    "head_top",
    "pelvis",
    "right_ankle",
    "left_ankle",
    "right_wrist",
    "left_wrist",
)
"""Joints whose tracks are plotted: they tell a dive."""
REPAIRS = {
    "joints interpolated": JointState.INTERPOLATED,
    "sides swapped": JointState.SIDE_SWAPPED,
    "outliers removed": JointState.OUTLIER_REMOVED,
}
LEAST_PART = 0.02
"""What adds less to the doubt is not listed."""
SHADES = {"head_top": "#1f3a93", "right_wrist": "#c0392b", "left_wrist": "#0b7a53"}
"""Colours of joints that have the same as another one in images."""


@dataclass(frozen=True)
class ShownClip:
    """A clip to look at.

    Attributes:
        name: Of the clip.
        doubt: 0 to 1.
        findings: What was measured, in words, and what it adds to the doubt, the
            largest first.
        sequence: The skeletons.
        strip: Its film strip, where its frames are known.
    """

    name: str
    doubt: float
    findings: Sequence[tuple[str, float]]
    sequence: SkeletonSequence
    strip: Image | None


def build_qc_page(
    folder: str,
    clips: Sequence[tuple[str, float, str]],
    shown: Sequence[ShownClip],
    notes: Sequence[str],
) -> Page:
    """Build the page.

    Args:
        folder: The extraction's folder, for the heading.
        clips: Name, doubt and reasons of every clip, the most doubtful first.
        shown: Those to show in detail.
        notes: What could not be shown.
    """
    page = Page(f"Skeletons of {folder}: which not to trust")
    _add_overview(page.add_section("All clips"), clips, notes)
    for place, clip in enumerate(shown, start=1):
        _add_clip(page.add_section(f"{place}. {clip.name}"), clip)
    return page


def _add_overview(
    section: Section, clips: Sequence[tuple[str, float, str]], notes: Sequence[str]
) -> None:
    section.add_text(
        "The doubt of a clip, 0 to 1, is made of metrics of its skeletons alone: it ranks the clips of one extraction, "
        "and is no probability. Look at the first ones; where they are good, so are the rest."
    )
    for note in notes:
        section.add_text(note)
    doubts = [doubt for _, doubt, _ in clips]
    histogram = plot_histogram(doubts, "doubt", "clips")
    section.add_plot(histogram, f"Doubt of the {len(clips)} clips.")
    caption = "The most doubtful first."
    if len(clips) > LISTED:
        caption += f" The {LISTED} most doubtful; qc.csv has all {len(clips)}."
    section.add_table(["clip", "doubt", "why"], clips[:LISTED], caption)


def _add_clip(section: Section, clip: ShownClip) -> None:
    rows = [(text, part) for text, part in clip.findings if part >= LEAST_PART]
    section.add_table(
        ["what was found", "adds to the doubt, at most"],
        rows,
        f"Doubt {clip.doubt:.2f}.",
    )
    if clip.strip is not None:
        section.add_image(
            clip.strip,
            "The athlete through the clip; hollow joints are interpolated or swapped.",
        )
    section.add_plot(
        _plot_tracks(clip.sequence),
        "Where some joints are in each frame. Lines break where a joint is missing; ticks say what was repaired.",
        width=1090,
    )


def _plot_tracks(sequence: SkeletonSequence) -> bytes:
    _, rows = np.unique(sequence.frame_index, return_index=True)
    state = sequence.state[rows]
    joints = {}
    for name in TELLING:
        red, green, blue = COLOURS[INDEX[name]]
        colour = SHADES.get(name, f"#{red:02x}{green:02x}{blue:02x}")
        joints[INDEX[name]] = name.replace("_", " "), colour
    marks = {"no diver": sequence.track.state[rows] == BoxState.MISSING}
    for name, flag in REPAIRS.items():
        marks[name] = np.asarray((state & flag).any(axis=1))
    return plot_joint_tracks(
        sequence.frame_index[rows],
        sequence.keypoints[rows],
        sequence.track.boxes[rows],
        joints,
        marks,
    )
