"""The songs of each system for one metric: a point per song, with median and quartiles."""

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
    from numpy.typing import NDArray


def distribution_figure(
    values: Mapping[str, Sequence[float]],
    families: Mapping[str, str],
    *,
    label: str,
    title: str,
    notes: Mapping[str, str] | None = None,
) -> Figure:
    """A row for each system: its songs as points over a box from the first to the third quartile.

    Parameters
    ----------
    values
        System to its values, one per song, in the order of the rows; non-finite values are left
        out.
    families
        System to family, which chooses colour and marker.
    label, title
        Label of the value axis and title of the figure.
    notes
        System to the reason why it has no value, printed in its row.
    """
    with styled():
        figure, axes = new_figure(6.0, 0.42 * len(values) + 1.5, 1, 1)
        axis = axes[0, 0]
        axis.use_sticky_edges = False  # a box at the edge must not hide points beyond it
        for row, (system, songs) in enumerate(values.items()):
            finite = np.asarray(songs, float)
            finite = np.sort(finite[np.isfinite(finite)])
            if len(finite):
                _draw_row(axis, row, finite, families.get(system, "unknown"))
            else:
                reason = visible((notes or {}).get(system) or "no value")
                axis.annotate(
                    reason, (0.02, row), xycoords=("axes fraction", "data"), va="center",
                    color="0.35",
                )  # fmt: skip
        axis.margins(x=0.04)
        axis.set_yticks(range(len(values)), [visible(system) for system in values])
        axis.set_ylim(len(values) - 0.5, -0.5)
        axis.set_xlabel(label)
        axis.grid(axis="x", color="0.9", zorder=0)
        draw_legend(figure, [families.get(s, "unknown") for s in values], _box_handles())
        figure.suptitle(visible(title), fontsize=9)
    return figure  # type: ignore[no-any-return]


def _draw_row(axis: Axes, row: int, songs: NDArray[np.float64], family: str) -> None:
    """Box, median and points of one system; ``songs`` ``[songs]`` finite and sorted."""
    low, middle, high = np.quantile(songs, (0.25, 0.5, 0.75))
    axis.barh(row, high - low, left=low, height=0.55, color="0.88", zorder=1)
    axis.plot([middle, middle], [row - 0.28, row + 0.28], color="0.1", lw=1.6, zorder=3)
    # The vertical offset depends on the rank (golden ratio), not on random numbers: the figure is
    # reproducible, and points with similar values are apart.
    offset = ((np.arange(len(songs)) * 0.618) % 1 - 0.5) * 0.4
    axis.scatter(
        songs, row + offset, s=11, color=FAMILY_COLORS[family], marker=FAMILY_MARKERS[family],
        lw=0.8, zorder=2,
    )  # fmt: skip


def _box_handles() -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    return [
        Patch(color="0.88", label="middle half of the songs"),
        Line2D([], [], color="0.1", lw=1.6, label="median"),
    ]
