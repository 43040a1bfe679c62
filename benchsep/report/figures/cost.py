"""Quality against real-time factor and memory; each point is labelled with its system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep._util.escape import visible
from benchsep.report.figures.style import (
    FAMILY_COLORS,
    FAMILY_MARKERS,
    draw_legend,
    new_figure,
    styled,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Box = tuple[float, float, float, float]
"""Left, bottom, right, top in pixels."""

Points = dict[str, tuple[float, float]]
"""System to ``(cost, quality)``."""


def cost_figure(
    points: Mapping[str, tuple[float, float, float]],
    families: Mapping[str, str],
    *,
    label: str,
    title: str,
    reference_lines: Mapping[str, float] | None = None,
) -> Figure:
    """Quality against real-time factor and against the memory that a separation adds.

    Parameters
    ----------
    points
        System to ``(quality, real-time factor, memory in MB)``; NaN where unknown.
    families
        System to family, for colour and marker.
    label, title
        Label of the quality axis and title of the figure.
    reference_lines
        Name to the quality of a reference system (mixture, oracle), drawn as a horizontal line.
    """
    with styled():
        figure, axes = new_figure(7.6, 3.7, 1, 2, sharey=True)
        panels = (
            (axes[0, 0], _measured(points, 1), "real-time factor (s of work per s of audio)"),
            (axes[0, 1], _measured(points, 2), "memory that a separation adds (MB)"),
        )
        for axis, measured, name in panels:
            _scatter(axis, measured, families)
            axis.set_xlabel(name)
            axis.grid(color="0.92")
        axes[0, 0].margins(y=0.08)
        axes[0, 0].set_ylabel(label)
        line_names = [_draw_reference_lines(axis, reference_lines or {}) for axis, *_ in panels]
        draw_legend(figure, [families.get(system, "unknown") for system in points])
        figure.suptitle(visible(title), fontsize=9)
        figure.draw_without_rendering()  # positions of names depend on the layout
        for (axis, measured, _), texts in zip(panels, line_names, strict=True):
            _label_points(axis, measured, [_extent(text) for text in texts])
    return figure  # type: ignore[no-any-return]


def _measured(points: Mapping[str, tuple[float, float, float]], index: int) -> Points:
    """``(cost, quality)`` of the systems with a known cost above 0 (the axis is logarithmic)."""
    return {
        system: (values[index], values[0])
        for system, values in points.items()
        if np.isfinite(values[index]) and values[index] > 0
    }


def _scatter(axis: Axes, measured: Points, families: Mapping[str, str]) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    for system, (cost, quality) in measured.items():
        family = families.get(system, "unknown")
        axis.scatter(
            cost, quality, color=FAMILY_COLORS[family], marker=FAMILY_MARKERS[family], s=32,
            zorder=3,
        )  # fmt: skip
    if measured:
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        costs = [cost for cost, _ in measured.values()]
        axis.set_xlim(min(costs) / 2.5, max(costs) * 2.5)


def _draw_reference_lines(axis: Axes, lines: Mapping[str, float]) -> list[Any]:
    """Horizontal lines with names; lines that nearly coincide share one label above the highest."""
    span = max(lines.values(), default=0.0) - min(lines.values(), default=0.0)
    clusters: list[tuple[float, list[str]]] = []
    for name, level in sorted(lines.items(), key=lambda item: (item[1], item[0])):
        axis.axhline(level, color="0.6", lw=0.8, ls=":")
        if clusters and level - clusters[-1][0] < 0.06 * span:
            clusters[-1] = (level, [*clusters[-1][1], name])
        else:
            clusters.append((level, [name]))
    texts = []
    for level, names in clusters:
        text = axis.annotate(
            visible(", ".join(names)), (0.99, level), xycoords=("axes fraction", "data"),
            ha="right", va="bottom", fontsize=6.5, color="0.35",
        )  # fmt: skip
        text.set_in_layout(False)
        texts.append(text)
    return texts


# -- names at the points ------------------------------------------------------------------------

_PLACES = tuple(
    (side, step * sign)
    for step in range(12)
    for sign in ((1, -1) if step else (1,))
    for side in ("left", "right")
)
"""Candidate places of a name, best first: ``(horizontal alignment, lines above the point)``."""


def _label_points(axis: Axes, points: Points, taken: Sequence[Box]) -> None:
    """Draw names next to their points, each at its first free position.

    A position is free if the name is inside the axes and does not overlap points, earlier names or
    the boxes ``taken``. A name that is more than a line away gets a thin line to its point.
    """
    scale = axis.figure.dpi / 72
    centres = {name: axis.transData.transform(at) for name, at in points.items()}
    boxes = [*taken, *((x - 4 * scale, y - 4 * scale, x + 4 * scale, y + 4 * scale)
                       for x, y in centres.values())]  # fmt: skip
    window = axis.get_window_extent()
    frame = (window.x0, window.y0, window.x1, window.y1)
    for name in sorted(centres, key=lambda name: (-centres[name][1], name)):
        for place in _PLACES:
            text = _annotate(axis, name, points[name], place)
            box = _extent(text)
            if _inside(box, frame) and not any(_overlap(box, other) for other in boxes):
                break
            if place != _PLACES[-1]:
                text.remove()
        boxes.append(box)


def _annotate(axis: Axes, name: str, point: tuple[float, float], place: tuple[str, int]) -> Any:
    side, lines = place
    leader = {"arrowstyle": "-", "lw": 0.5, "color": "0.5", "shrinkB": 3}
    text = axis.annotate(
        visible(name), point, xytext=((7 if side == "left" else -7), 8.5 * lines),
        textcoords="offset points", fontsize=7, va="center", ha=side, zorder=4,
        arrowprops=leader if abs(lines) > 1 else None,
    )  # fmt: skip
    text.set_in_layout(False)
    return text


def _extent(text: Any) -> Box:
    """Extent of the text alone, without the line that leads to its point."""
    from matplotlib.text import Text

    renderer = text.figure.canvas.get_renderer()
    text.update_positions(renderer)
    box = Text.get_window_extent(text, renderer)
    return box.x0, box.y0, box.x1, box.y1


def _inside(box: Box, frame: Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
