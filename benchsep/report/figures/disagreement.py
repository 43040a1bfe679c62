"""Two metrics against each other, song by song; the songs they rank most differently are named."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchsep._util.escape import visible
from benchsep.report.figures.style import (
    FAMILY_MARKERS,
    new_figure,
    styled,
    system_colors,
    visible_lines,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    Point = tuple[str, str, float, float]
    """System, song, value of the first metric, value of the second."""


def disagreement_figure(
    values: Mapping[str, Mapping[str, tuple[float, float]]],
    families: Mapping[str, str],
    *,
    labels: tuple[str, str],
    title: str,
    named: int = 5,
) -> Figure:
    """A scatter plot of two metrics with a mark for each song of each system.

    Parameters
    ----------
    values
        System to ``{song: (first metric, second metric)}``.
    families
        System to family, which chooses colours and marker.
    labels, title
        Labels of the two axes and title of the figure.
    named
        Number of songs with the largest rank differences that are named.
    """
    points = [(s, song, x, y) for s, songs in values.items() for song, (x, y) in songs.items()]
    with styled():
        figure, axes = new_figure(8.2, 4.2, 1, 1)
        axis = axes[0, 0]
        _scatter(axis, values, families)
        extreme = [points[index] for index in largest_rank_differences(points)[:named]]
        names = _number_points(axis, extreme)
        axis.set_xlabel(labels[0])
        axis.set_ylabel(labels[1])
        axis.grid(color="0.93")
        axis.set_axisbelow(True)
        axis.legend(
            fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1.0),
            title="a mark: one song", title_fontsize=7, alignment="left",
        )  # fmt: skip
        axis.annotate(
            visible_lines(["ranked most differently:", *names], 44) if names else "",
            (1.02, 0.0), xycoords="axes fraction", fontsize=6.5, va="bottom",
        )  # fmt: skip
        figure.suptitle(visible(title), fontsize=9)
    return figure  # type: ignore[no-any-return]


def _scatter(
    axis: Axes,
    values: Mapping[str, Mapping[str, tuple[float, float]]],
    families: Mapping[str, str],
) -> None:
    colors = system_colors({system: families.get(system, "unknown") for system in values})
    for system, songs in values.items():
        pairs = np.asarray(list(songs.values()), float).reshape(-1, 2)
        axis.scatter(
            pairs[:, 0], pairs[:, 1], s=16, color=colors[system],
            marker=FAMILY_MARKERS[families.get(system, "unknown")], label=visible(system),
        )  # fmt: skip


def _number_points(axis: Axes, points: Sequence[Point]) -> list[str]:
    """Draw numbers in the plot; returns the lines that explain them (names in the plot would
    overlap).
    """
    lines = []
    for number, (system, song, x, y) in enumerate(points, 1):
        axis.annotate(str(number), (x, y), xytext=(4, 3), textcoords="offset points", fontsize=7)
        lines += [f"{number}  {system}:", f"    {song}"]
    return lines


def largest_rank_differences(points: Sequence[Point]) -> list[int]:
    """Indices of ``points``, sorted by decreasing difference between their two ranks.

    The rank of a point under a metric is its position when all points are sorted by that metric.
    Empty for fewer than three points.
    """
    if len(points) < 3:
        return []
    ranks = [np.argsort(np.argsort([p[k] for p in points], kind="stable")) for k in (2, 3)]
    return list(np.argsort(-np.abs(ranks[0] - ranks[1]), kind="stable"))
