"""Plots for pages, as PNG."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finediving_pose.records import FloatArray


def plot_curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    x_label: str,
    y_label: str,
) -> bytes:
    """Draw named curves over a common axis and return the PNG; points that are NaN are
    left out.

    Args:
        series: Name to x and y values.
        x_label, y_label: What stands at the axes, with units.
    """
    figure, axes = _make_figure(6.4, 3.0)
    for name, (x, y) in series.items():
        known = np.isfinite(np.asarray(y, float))
        axes.plot(np.asarray(x)[known], np.asarray(y)[known], marker=".", label=name)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return _encode_png(figure)


def plot_stages(rows: Mapping[str, Sequence[int]], names: Mapping[int, str]) -> bytes:
    """Draw the stages of dives as coloured bars over time and return the PNG.

    Args:
        rows: Dive to its sub-action id in each frame.
        names: Sub-action id to name, for the legend.
    """
    figure, axes = _make_figure(8.0, 0.8 + 0.35 * len(rows))
    used: set[int] = set()
    for labels in rows.values():
        used.update(int(label) for label in labels)
    colours = {label: f"C{place}" for place, label in enumerate(sorted(used))}
    for place, labels in enumerate(rows.values()):
        edges = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
        for start, end in itertools.pairwise(edges):
            colour = colours[int(labels[start])]
            axes.barh(place, end - start, left=start, color=colour, height=0.7)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set_xlabel("frame")
    # Bars of no length, so that each stage is in the legend once.
    handles = []
    for label, colour in colours.items():
        handles.append(axes.barh(0, 0, color=colour, label=names[label]))
    axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False
    )
    return _encode_png(figure)


def plot_scatter(
    x: Sequence[float], y: Sequence[float], x_label: str, y_label: str
) -> bytes:
    """Draw points and the diagonal, with equal axes, and return the PNG.

    Args:
        x, y: The points.
        x_label, y_label: What stands at the axes, with units.
    """
    figure, axes = _make_figure(4.2, 4.0)
    low, high = min(*x, *y), max(*x, *y)
    axes.plot([low, high], [low, high], color="0.7", linewidth=1)
    axes.scatter(x, y, s=18, alpha=0.8)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_aspect("equal")
    axes.grid(alpha=0.3)
    return _encode_png(figure)


def plot_histogram(values: Sequence[float], x_label: str, y_label: str) -> bytes:
    """Draw how often values between 0 and 1 occur, in twenty steps, and return the PNG.

    Args:
        values: In [0, 1].
        x_label, y_label: What stands at the axes.
    """
    figure, axes = _make_figure(6.4, 2.4)
    axes.hist(values, bins=np.linspace(0, 1, 21).tolist())
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.yaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    return _encode_png(figure)


def plot_boxes(values: Mapping[str, FloatArray], x_label: str) -> bytes:
    """Draw the spread of named values as boxes, whiskers from the 5th to the 95th
    percentile, and return the PNG.

    Args:
        values: Name to values; NaN are left out, and a name without any has no box.
        x_label: What the values are, with units.
    """
    figure, axes = _make_figure(7.2, 0.8 + 0.28 * len(values))
    known = [np.asarray(row)[np.isfinite(row)] for row in values.values()]
    axes.boxplot(
        known, orientation="horizontal", whis=(5, 95), showfliers=False, widths=0.6
    )
    axes.set_yticklabels(list(values))
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel(x_label)
    axes.grid(alpha=0.3, axis="x")
    return _encode_png(figure)


def plot_joint_tracks(
    numbers: NDArray[np.int64],
    points: FloatArray,
    boxes: FloatArray,
    joints: Mapping[int, tuple[str, str]],
    marks: Mapping[str, NDArray[np.bool_]],
) -> bytes:
    """Draw where joints and the bounding box are over time, x above y, and return the
    PNG.

    Args:
        numbers: (T,) frame numbers.
        points: (T, 16, 2) px, NaN = missing: the line is broken there.
        boxes: (T, 4) px, drawn as a grey band.
        joints: Joint id to its name and colour; those whose name begins with ``left``
            are dashed, so that they hide none of the right side where a network does
            not tell left from right.
        marks: Name to (T,) True where frames get a tick of that name below, such as
            ``side swapped``.
    """
    figure, (x_axes, y_axes) = _make_figure(8.4, 4.6, rows=2)
    for axis, axes in enumerate((x_axes, y_axes)):
        axes.fill_between(
            numbers,
            boxes[:, axis],
            boxes[:, axis + 2],
            color="0.88",
            linewidth=0,
            label="box",
        )
        for joint, (name, colour) in joints.items():
            axes.plot(
                numbers,
                points[:, joint, axis],
                "--" if name.startswith("left") else "-",
                color=colour,
                linewidth=1.2,
                marker=".",
                markersize=2.5,
                label=name,
            )
        axes.set_ylabel(("x, px", "y, px")[axis])
        axes.grid(alpha=0.3)
    y_axes.invert_yaxis()  # as in the image
    y_axes.set_xlabel("frame")
    for place, (name, rows) in enumerate(marks.items()):
        if rows.any():
            x_axes.plot(
                numbers[rows],
                np.full(int(rows.sum()), 0.03 + 0.05 * place),
                "|",
                color=f"C{place + 3}",
                transform=x_axes.get_xaxis_transform(),  # heights are parts of the axes
                label=name,
            )
    figure.legend(
        *x_axes.get_legend_handles_labels(),
        loc="outside right upper",
        frameon=False,
        fontsize="small",
    )
    return _encode_png(figure)


def _make_figure(width: float, height: float, rows: int = 1) -> tuple[Any, Any]:
    """Make a figure of that many inches without touching pyplot, whose state is shared."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, sharex=rows > 1)


def _encode_png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    # Without the version of matplotlib, so that the same plot gives the same bytes.
    figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()
