"""The page of an extraction: its clips by doubt, and the most doubtful in pictures."""

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
_TELLING = (
    "head_top",
    "pelvis",
    "right_ankle",
    "left_ankle",
    "right_wrist",
    "left_wrist",
)
_REPAIRS = {
    "joints interpolated": JointState.INTERPOLATED,
    "sides exchanged": JointState.SIDE_SWAPPED,
    "outliers removed": JointState.OUTLIER_REMOVED,
}
_LEAST = 0.02
_SHADES = {"head_top": "#1f3a93", "right_wrist": "#c0392b", "left_wrist": "#0b7a53"}


@dataclass(frozen=True)
class ShownClip:
    """A clip to look at.

    Attributes:
        name: Of the clip.
        doubt: 0 to 1.
        figures: What was measured, in words, and what it adds to the doubt, the largest
            first.
        sequence: The skeletons.
        strip: Its film strip, where there are pictures.
    """

    name: str
    doubt: float
    figures: Sequence[tuple[str, float]]
    sequence: SkeletonSequence
    strip: Image | None


def qc_page(
    folder: str,
    clips: Sequence[tuple[str, float, str]],
    shown: Sequence[ShownClip],
    notes: Sequence[str],
) -> Page:
    """Return the page.

    Args:
        folder: What was looked at, for the heading.
        clips: Name, doubt and reasons of every clip, the most doubtful first.
        shown: Those to show in pictures.
        notes: What could not be shown.
    """
    page = Page(f"Skeletons of {folder}: which not to trust")
    _overview(page.add_section("All clips"), clips, notes)
    for place, clip in enumerate(shown, start=1):
        _clip(page.add_section(f"{place}. {clip.name}"), clip)
    return page


def _overview(
    section: Section, clips: Sequence[tuple[str, float, str]], notes: Sequence[str]
) -> None:
    section.add_text(
        "The doubt of a clip, 0 to 1, is made of figures of its skeletons alone: it ranks the clips of one extraction, "
        "and is no probability. Look at the first ones; where they are good, so are the rest."
    )
    for note in notes:
        section.add_text(note)
    section.add_plot(
        plot_histogram([doubt for _, doubt, _ in clips], "doubt", "clips"),
        f"Doubt of the {len(clips)} clips.",
    )
    left_out = (
        f" The {LISTED} most doubtful; qc.csv has all {len(clips)}."
        if len(clips) > LISTED
        else ""
    )
    section.add_table(
        ["clip", "doubt", "why"], clips[:LISTED], f"The most doubtful first.{left_out}"
    )


def _clip(section: Section, clip: ShownClip) -> None:
    rows = [(text, part) for text, part in clip.figures if part >= _LEAST]
    section.add_table(
        ["what was found", "adds to the doubt, at most"],
        rows,
        f"Doubt {clip.doubt:.2f}.",
    )
    if clip.strip is not None:
        section.add_image(
            clip.strip,
            "The athlete through the clip; hollow joints are interpolated or exchanged.",
        )
    section.add_plot(
        _tracks(clip.sequence),
        "Where some joints are in each frame. Lines break where a joint is missing; ticks say what was repaired.",
        width=1090,
    )


def _tracks(sequence: SkeletonSequence) -> bytes:
    _, rows = np.unique(sequence.frame_index, return_index=True)
    state = sequence.state[rows]
    joints = {
        INDEX[name]: (name.replace("_", " "), _SHADES.get(name, _hex(INDEX[name])))
        for name in _TELLING
    }
    return plot_joint_tracks(
        sequence.frame_index[rows],
        sequence.keypoints[rows],
        sequence.track.boxes[rows],
        joints,
        {
            "no diver": sequence.track.state[rows] == BoxState.MISSING,
            **{
                name: np.asarray((state & flag).any(axis=1))
                for name, flag in _REPAIRS.items()
            },
        },
    )


def _hex(joint: int) -> str:
    return "#{:02x}{:02x}{:02x}".format(*COLOURS[joint])
