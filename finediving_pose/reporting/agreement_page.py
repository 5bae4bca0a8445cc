"""Page of `fdpose agree`: tables of two annotators' agreement, a plot by joint and the
worst images drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from finediving_pose.media import Image
from finediving_pose.records import FloatArray
from finediving_pose.reporting.page import Page
from finediving_pose.reporting.pair_overlay import draw_pair
from finediving_pose.reporting.plots import plot_boxes


@dataclass(frozen=True)
class Table:
    """One section's table and what it means.

    Attributes:
        title: Of the section.
        header: Of the columns.
        rows: Texts and numbers; None is shown as a dash.
        text: Stands above the table.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]
    text: str = ""


@dataclass(frozen=True)
class ShownPair:
    """An image to look at.

    Attributes:
        caption: Its name and what is wrong.
        image: (H, W, 3) uint8 BGR.
        points: Both labels, (16, 2) px, NaN = missing.
        boxes: Both boxes, (4,) px or None.
    """

    caption: str
    image: Image
    points: tuple[FloatArray, FloatArray]
    boxes: tuple[FloatArray | None, FloatArray | None]


def build_agreement_page(
    names: tuple[str, str],
    tables: Sequence[Table],
    distances: Mapping[str, FloatArray],
    shown: Sequence[ShownPair],
    notes: Sequence[str],
) -> Page:
    """Return the page.

    Args:
        names: Of the two annotators.
        tables: In the order of the page.
        distances: Joint to its distances in head sizes, NaN = unknown.
        shown: The worst images, the worst first.
        notes: What could not be compared.
    """
    one, two = _make_readable(names[0]), _make_readable(names[1])
    page = Page(f"Labels of {one} and {two}")
    for number, table in enumerate(tables):
        section = page.add_section(_make_readable(table.title))
        if number == 0:
            for note in notes:
                section.add_text(_make_readable(note))
        if table.text:
            section.add_text(_make_readable(table.text))
        section.add_table(
            [_make_readable(name) for name in table.header],
            [_make_readable_row(row) for row in table.rows],
        )
        if number == 0:
            section.add_plot(
                plot_boxes(distances, "distance, head sizes"),
                "Distance between the two by joint: half of the labels lie in the box, "
                "90 % between the whiskers.",
            )
    if shown:
        section = page.add_section("The worst images")
        section.add_text(
            f"{one} is blue, {two} orange; left joints are hollow. A white line joins the "
            "two places of a joint."
        )
        for pair in shown:
            section.add_image(
                draw_pair(pair.image, pair.points, pair.boxes),
                _make_readable(pair.caption),
            )
    return page


def _make_readable_row(row: Sequence[object]) -> list[object]:
    return [_make_readable(cell) if isinstance(cell, str) else cell for cell in row]


def _make_readable(text: str) -> str:
    """Names of files may be no text; a page must be."""
    return text.encode("utf-8", "backslashreplace").decode()
