"""Paired differences with their intervals, in one panel or in one panel per group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchsep._util.escape import visible
from benchsep.report.figures.style import draw_legend, new_figure, styled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLEAR_COLOR = "#0072B2"


def forest_figure(
    differences: Sequence[tuple[str, float, float, float]], *, label: str, title: str
) -> Figure:
    """Paired differences in one panel.

    Parameters
    ----------
    differences
        ``(name of the pair, difference, low, high)``, in the order of the rows. The caller computes
        the interval; ``label`` must name its kind.
    label, title
        Label of the difference axis and title of the figure.
    """
    rows = [(name, "", middle, low, high) for name, middle, low, high in differences]
    return grouped_forest_figure(rows, label=label, title=title)


def grouped_forest_figure(
    differences: Sequence[tuple[str, str, float, float, float]], *, label: str, title: str
) -> Figure:
    """Paired differences in one panel per group, on one scale.

    Parameters
    ----------
    differences
        ``(row, group, difference, low, high)``; rows and groups are in the order of first
        appearance. A point is filled if its interval does not contain 0.
    label, title
        Label of the difference axis and title of the figure.
    """
    rows = list(dict.fromkeys(row for row, *_ in differences))
    groups = list(dict.fromkeys(group for _, group, *_ in differences))
    width = 6.4 if len(groups) == 1 else 1.5 * len(groups) + 1.8
    with styled():
        figure, axes = new_figure(
            width, 0.3 * len(rows) + 1.5, 1, len(groups), sharex=True, sharey=True
        )
        for axis, group in zip(axes[0], groups, strict=True):
            axis.axvline(0, color="0.4", lw=0.8, ls="--")
            for name, own_group, *interval in differences:
                if own_group == group:
                    _draw_difference(axis, rows.index(name), *interval)
            axis.set_title(visible(group))
            axis.grid(axis="x", color="0.9")
        axes[0, 0].set_yticks(range(len(rows)), [visible(name) for name in rows])
        axes[0, 0].set_ylim(len(rows) - 0.5, -0.5)
        # A label in the middle of several panels needs its own axis.
        axes[0, len(groups) // 2].set_xlabel(visible(label))
        draw_legend(figure, (), _handles())
        figure.suptitle(visible(title), fontsize=9)
    return figure  # type: ignore[no-any-return]


def _draw_difference(axis: Axes, row: int, middle: float, low: float, high: float) -> None:
    axis.plot([low, high], [row, row], color="0.1", lw=1.4)
    axis.plot(middle, row, "o", color="0.1", mfc=_fill(low > 0 or high < 0), ms=5, zorder=3)


def _fill(clear: bool) -> str:
    """Fill of a point: coloured if the interval does not contain 0."""
    return CLEAR_COLOR if clear else "white"


def _handles() -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], ls="", marker="o", color="0.1", mfc=_fill(clear), ms=5, label=text)
        for clear, text in ((True, "interval without 0"), (False, "interval with 0"))
    ]
