"""The page of a scored dive: the dive beside its exemplars, stage by stage, as in the
paper's Figure 6."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from finediving_pose.datasets.score_files import Exemplar, Preview, Scored
from finediving_pose.media import Image
from finediving_pose.reporting.overlays import draw_skeleton
from finediving_pose.reporting.page import Page, Section
from finediving_pose.reporting.score_text import (
    format_exemplar,
    format_seen,
    list_facts,
    list_stage_rows,
    make_exemplar_table,
)

ENLARGED = 2
"""Images are drawn at twice their size, so that joints and text stay sharp."""
EMPTY = 208
"""Grey that stands for an image that is not there; skeletons are drawn on it."""
GAIN, LOSS = "#0b66a0", "#c0551a"
"""Colours of bars: the dive does better or worse than the exemplar."""
_GAP = 6  # px between images of a stage
_DPI = 150
_STAGE_INCHES, _LABEL_INCHES, _BARS_INCHES = 3.6, 1.6, 0.62
_TITLE_INCHES = 0.3
_LABEL_LETTERS = 21


@dataclass(frozen=True)
class DiveView:
    """One dive to look at.

    Attributes:
        lines: What stands beside its images: its role, its name, its score.
        preview: Frames of each of its K stages.
    """

    lines: Sequence[str]
    preview: Preview


def write_score_page(path: Path, scored: Scored) -> None:
    """Write the page, one file with all its images; every text is escaped.

    Args:
        path: The page.
        scored: The answer, with the previews that it was made with.
    """
    assert scored.shown is not None, scored.name
    query_preview, exemplar_previews = scored.shown
    title = scored.name
    if scored.dive_number:
        title += f", {scored.dive_number} {scored.description}"
    # What has to be known before the score is believed stands above it.
    page = Page(title, " ".join(format_seen(scored)))
    score = page.add_section("Score")
    facts = list_facts(scored)
    # Names of facts stay on one line.
    rows = [(name.replace(" ", "\u00a0"), value) for name, value in facts]
    score.add_table(["what", "value"], rows)
    for note in scored.notes:
        score.add_text(note)
    section = page.add_section("Stages")
    section.add_table(["stage", "frames", "seconds"], list_stage_rows(scored))
    stages = [stage.name for stage in scored.stages]
    lines = ("this dive", scored.name, f"scored {scored.score:.2f}")
    query = DiveView(lines, query_preview)
    if scored.exemplars:
        beside = page.add_section("Beside the exemplars")
        _add_comparisons(beside, stages, query, scored.exemplars, exemplar_previews)
        header, exemplar_rows = make_exemplar_table(scored)
        page.add_section("What was compared").add_table(
            header,
            exemplar_rows,
            caption="Points. Positive: this dive does better than the exemplar in that stage.",
        )
    elif query_preview.has_content:
        section.add_image(draw_comparison(stages, query), "Frames of each stage.")
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

    views = []
    for view in (query, exemplar_view):
        if view is not None and view.preview.has_content:
            views.append(view)
    strip = _draw_strip(query.preview, 0)
    row_inches = _STAGE_INCHES * strip.shape[0] / strip.shape[1] + 0.32
    heights = [row_inches] * len(views)
    if exemplar:
        heights.append(_BARS_INCHES)
    width = _LABEL_INCHES + _STAGE_INCHES * len(stages)
    height = sum(heights) + 0.35
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    grid = figure.add_gridspec(
        len(heights),
        len(stages),
        height_ratios=heights,
        left=_LABEL_INCHES / width,
        right=1 - 0.08 / width,
        top=1 - _TITLE_INCHES / height,
        bottom=0.04 / height,
        wspace=0.03,
        hspace=0.0,
    )
    for row, view in enumerate(views):
        for stage, name in enumerate(stages):
            axes = figure.add_subplot(grid[row, stage])
            _draw_stage(axes, view.preview, stage)
            if row == 0:
                _draw_title(axes, name)
        _draw_label(figure, grid[row, 0], view.lines, width)
    if exemplar:
        row = len(views)
        for stage, name in enumerate(stages):
            axes = figure.add_subplot(grid[row, stage])
            _draw_bar(axes, exemplar.parts, stage)
            if row == 0:
                _draw_title(axes, name)
        _draw_label(figure, grid[row, 0], ["difference", "in points"], width)
    canvas.draw()
    return np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., 2::-1])


def _add_comparisons(
    section: Section,
    stages: Sequence[str],
    query: DiveView,
    exemplars: Sequence[Exemplar],
    previews: Sequence[Preview],
) -> None:
    section.add_text(
        "Above this dive, below the exemplar, both cut into stages by the model. The bars are what each stage adds to "
        "the exemplar's score. The athlete's right is orange, the left green."
    )
    for exemplar, preview in zip(exemplars, previews, strict=True):
        view = DiveView(format_exemplar(exemplar), preview)
        image = draw_comparison(stages, query, exemplar, view)
        section.add_image(
            image, f"Beside {exemplar.name}: {exemplar.sum_in_words} points."
        )


def _draw_stage(axes: Any, preview: Preview, stage: int) -> None:
    axes.imshow(_draw_strip(preview, stage)[..., ::-1], interpolation="antialiased")
    axes.set_anchor("N")
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    numbers = [int(number) for number in preview.numbers[stage]]
    if min(numbers) >= 0:
        text = "frames " + " · ".join(map(str, numbers))
        axes.set_xlabel(text, fontsize=7.5, color="0.35", labelpad=2)


def _draw_title(axes: Any, text: str) -> None:
    axes.set_title(text, fontsize=11, fontweight="bold", pad=5)


def _draw_bar(axes: Any, parts: Sequence[float], stage: int) -> None:
    # All stages have one scale, and less than a point looks small.
    reach = max(1.0, *(abs(part) for part in parts)) * 1.5
    value = float(parts[stage])
    is_gain = value >= 0
    axes.barh(0, value, color=GAIN if is_gain else LOSS, height=0.55)
    axes.axvline(0, color="0.3", linewidth=0.8)
    sign = "+" if is_gain else "−"
    offset = reach * 0.04
    axes.text(
        value + offset if is_gain else value - offset,
        0,
        f"{sign}{abs(value):.2f}",
        ha="left" if is_gain else "right",
        va="center",
        fontsize=10,
    )
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-0.6, 0.6)
    axes.set_axis_off()


def _draw_label(figure: Any, cell: Any, lines: Sequence[str], width: float) -> None:
    """Write lines to the left of a row, long ones in pieces; the first is bold."""
    pieces: list[str] = []
    for line in lines:
        pieces += _split_line(line)
    place = cell.get_position(figure)
    middle = (place.y0 + place.y1) / 2
    step = 0.19 / figure.get_size_inches()[1]
    top = middle + step * (len(pieces) - 1) / 2
    for at, piece in enumerate(pieces):
        text = figure.text(
            0.06 / width,
            top - at * step,
            piece,
            fontsize=8.5,
            va="center",
            fontweight="bold" if at == 0 else "normal",
            parse_math=False,
        )
        too_wide = text.get_window_extent().width / ((_LABEL_INCHES - 0.14) * _DPI)
        text.set_fontsize(8.5 / max(1.0, too_wide))


def _split_line(line: str, most: int = 4) -> list[str]:
    """Cut a line where it has a space, ``_``, ``-`` or ``/``, else anywhere; what is
    still too long ends in ``…``."""
    pieces: list[str] = []
    while line and len(pieces) < most:
        cut = len(line)
        if cut > _LABEL_LETTERS:
            marks = [line.rfind(mark, 0, _LABEL_LETTERS) + 1 for mark in " _-/"]
            cut = max(marks) or _LABEL_LETTERS
        pieces.append(line[:cut].rstrip())
        line = line[cut:]
    if line:
        pieces[-1] += "…"
    return pieces


def _draw_strip(preview: Preview, stage: int) -> Image:
    """Draw the frames of a stage side by side, (h, S·h + gaps, 3)."""
    shown = preview.poses.shape[1]
    parts: list[Image] = []
    for place in range(shown):
        image = _decode_image(preview.images[stage * shown + place])
        pose = preview.poses[stage, place]
        drawn = draw_skeleton(image, pose, scale=ENLARGED)
        if parts:
            parts.append(np.full((drawn.shape[0], _GAP, 3), 255, np.uint8))
        parts.append(drawn)
    return np.hstack(parts)


def _decode_image(content: bytes, side: int = 160) -> Image:
    import cv2

    if content:
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        if image is not None:
            return np.asarray(image, np.uint8)
    return np.full((side, side, 3), EMPTY, np.uint8)
