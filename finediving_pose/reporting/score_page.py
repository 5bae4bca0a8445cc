"""The page of a scored dive: what was compared with what, stage by stage, as in the
paper's Figure 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from finediving_pose.datasets.score_files import Exemplar
from finediving_pose.media import Image
from finediving_pose.records import FloatArray
from finediving_pose.reporting.overlays import draw_skeleton
from finediving_pose.reporting.page import Page, Section

ENLARGED = 2
"""Pictures are drawn at twice their size, so that joints and text stay sharp."""
EMPTY = 208
"""Grey of a picture that there is none of; skeletons are drawn on it."""
_GAP = 6  # px between pictures of a stage
_DPI = 150
_STAGE_INCHES, _LABEL_INCHES, _BARS_INCHES = 3.6, 1.6, 0.62
_LABEL_LETTERS = 21
_UP, _DOWN = "#0b66a0", "#c0551a"


@dataclass(frozen=True)
class DiveView:
    """One dive to look at.

    Attributes:
        lines: What stands beside its pictures: its role, its name, its score.
        pictures: K · S JPEG files of one square size, stage by stage; empty ones where
            there are none.
        poses: (K, S, 16, 2) px of these pictures, NaN = missing.
        numbers: (K, S) the frames' numbers; negative = not known.
    """

    lines: Sequence[str]
    pictures: Sequence[bytes]
    poses: FloatArray
    numbers: Any

    @property
    def has_something(self) -> bool:
        """Whether there is a picture or a joint to be seen."""
        return any(self.pictures) or bool(np.isfinite(self.poses).any())


@dataclass(frozen=True)
class ScoreView:
    """All that the page shows.

    Attributes:
        title: The heading.
        notice: What has to be known before the score is believed; empty for nothing.
        facts: What and its value.
        notes: Sentences.
        stages: Their names, K.
        stage_rows: Name, frames and time of each, as text.
        query: The dive.
        exemplars: What it was compared with.
        exemplar_views: The same to look at.
        table: Header and rows of the exemplars.
    """

    title: str
    notice: str
    facts: Sequence[tuple[str, str]]
    notes: Sequence[str]
    stages: Sequence[str]
    stage_rows: Sequence[Sequence[str]]
    query: DiveView
    exemplars: Sequence[Exemplar]
    exemplar_views: Sequence[DiveView]
    table: tuple[Sequence[str], Sequence[Sequence[object]]]


def write_score_page(path: Path, view: ScoreView) -> None:
    """Write the page, one file with all its pictures; every text is escaped."""
    page = Page(view.title, view.notice)
    score = page.section("Score")
    score.table(["what", "value"], view.facts)
    for note in view.notes:
        score.text(note)
    stages = page.section("Stages")
    stages.table(["stage", "frames", "seconds"], view.stage_rows)
    if view.exemplars:
        _side_by_side(page.section("Beside the exemplars"), view)
        exemplars = page.section("What was compared")
        exemplars.table(
            *view.table,
            caption="Points. Positive: this dive does better than the exemplar in that stage.",
        )
    elif view.query.has_something:
        stages.picture(
            draw_comparison(view.stages, view.query), "Frames of each stage."
        )
    page.write(path)


def draw_comparison(
    stages: Sequence[str],
    query: DiveView,
    exemplar: Exemplar | None = None,
    exemplar_view: DiveView | None = None,
) -> Image:
    """Draw a dive above an exemplar, a column a stage, and below each stage a bar of
    its part of the difference.

    Args:
        stages: Their names, K.
        query: The dive.
        exemplar: What it is compared with; None = the dive alone.
        exemplar_view: The same to look at; None with `exemplar`.

    Returns:
        (H, W, 3) uint8 BGR.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    views = [query, *([exemplar_view] if exemplar_view else [])]
    views = [view for view in views if view.has_something]
    strip = _strip(query, 0)
    row_inches = _STAGE_INCHES * strip.shape[0] / strip.shape[1] + 0.32
    heights = [row_inches] * len(views) + ([_BARS_INCHES] if exemplar else [])
    width = _LABEL_INCHES + _STAGE_INCHES * len(stages)
    figure = Figure(figsize=(width, sum(heights) + 0.35), dpi=_DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        len(heights),
        len(stages),
        height_ratios=heights,
        left=_LABEL_INCHES / width,
        right=1 - 0.08 / width,
        top=1 - 0.3 / (sum(heights) + 0.35),
        bottom=0.04 / (sum(heights) + 0.35),
        wspace=0.03,
        hspace=0.0,
    )
    for row, view in enumerate(views):
        for stage in range(len(stages)):
            _draw_stage(
                figure.add_subplot(grid[row, stage]),
                view,
                stage,
                stages[stage] if row == 0 else "",
            )
        _label(figure, grid[row, 0], view.lines, width)
    if exemplar:
        bars = [
            figure.add_subplot(grid[len(views), stage]) for stage in range(len(stages))
        ]
        for stage, axes in enumerate(bars):
            _draw_bar(axes, exemplar.parts, stage, "" if views else stages[stage])
        _label(figure, grid[len(views), 0], ["difference", "in points"], width)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., 2::-1])


def _side_by_side(section: Section, view: ScoreView) -> None:
    section.text(
        "Above this dive, below the exemplar, both cut into stages by the model. The bars are what each stage adds to "
        "the exemplar's score. The athlete's right is orange, the left green."
    )
    for exemplar, shown in zip(view.exemplars, view.exemplar_views, strict=True):
        picture = draw_comparison(view.stages, view.query, exemplar, shown)
        section.picture(
            picture, f"Beside {exemplar.name}: {exemplar.sum_in_words} points."
        )


def _draw_stage(axes: Any, view: DiveView, stage: int, title: str) -> None:
    axes.imshow(_strip(view, stage)[..., ::-1], interpolation="antialiased")
    axes.set_anchor("N")
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    if title:
        axes.set_title(title, fontsize=11, fontweight="bold", pad=5)
    numbers = [int(number) for number in view.numbers[stage]]
    if min(numbers) >= 0:
        axes.set_xlabel(
            "frames " + " · ".join(map(str, numbers)),
            fontsize=7.5,
            color="0.35",
            labelpad=2,
        )


def _draw_bar(axes: Any, parts: Sequence[float], stage: int, title: str) -> None:
    reach = (
        max(1.0, *(abs(part) for part in parts)) * 1.5
    )  # what is less than a point looks small
    value = float(parts[stage])
    axes.barh(0, value, color=_UP if value >= 0 else _DOWN, height=0.55)
    axes.axvline(0, color="0.3", linewidth=0.8)
    text = f"{'−' if value < 0 else '+'}{abs(value):.2f}"
    side = 1 if value >= 0 else -1
    axes.text(
        value + side * reach * 0.04,
        0,
        text,
        ha="left" if side > 0 else "right",
        va="center",
        fontsize=10,
    )
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-0.6, 0.6)
    if title:
        axes.set_title(title, fontsize=11, fontweight="bold", pad=5)
    axes.set_axis_off()


def _label(figure: Any, cell: Any, lines: Sequence[str], width: float) -> None:
    """Write lines to the left of a row, long ones in pieces; the first is bold."""
    lines = [piece for line in lines for piece in _pieces(line)]
    place = cell.get_position(figure)
    middle = (place.y0 + place.y1) / 2
    step = 0.19 / figure.get_size_inches()[1]
    top = middle + step * (len(lines) - 1) / 2
    for at, line in enumerate(lines):
        weight = "bold" if at == 0 else "normal"
        text = figure.text(
            0.06 / width,
            top - at * step,
            line,
            fontsize=8.5,
            va="center",
            fontweight=weight,
            parse_math=False,
        )
        too_wide = text.get_window_extent().width / ((_LABEL_INCHES - 0.14) * _DPI)
        text.set_fontsize(8.5 / max(1.0, too_wide))


def _pieces(line: str, most: int = 4) -> list[str]:
    """Cut a line where it has a space, ``_``, ``-`` or ``/``, else anywhere; what is
    still too long ends in ``…``."""
    pieces: list[str] = []
    while line and len(pieces) < most:
        cut = len(line)
        if cut > _LABEL_LETTERS:
            cut = (
                max(
                    (line.rfind(mark, 0, _LABEL_LETTERS) + 1 for mark in " _-/"),
                    default=0,
                )
                or _LABEL_LETTERS
            )
        pieces.append(line[:cut].rstrip())
        line = line[cut:]
    return [*pieces[:-1], pieces[-1] + "…"] if line else pieces


def _strip(view: DiveView, stage: int) -> Image:
    """Draw the frames of a stage side by side, (h, S·h + gaps, 3)."""
    shown = view.poses.shape[1]
    images = [
        draw_skeleton(
            _picture(view.pictures[place]),
            view.poses[stage, place - stage * shown],
            scale=ENLARGED,
        )
        for place in range(stage * shown, (stage + 1) * shown)
    ]
    gap = np.full((images[0].shape[0], _GAP, 3), 255, np.uint8)
    return np.hstack([part for image in images for part in (image, gap)][:-1])


def _picture(content: bytes, side: int = 160) -> Image:
    import cv2

    image = (
        cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        if content
        else None
    )
    return (
        np.full((side, side, 3), EMPTY, np.uint8)
        if image is None
        else np.asarray(image, np.uint8)
    )
