"""The figure of spectrograms: mixture, reference and each system for one stem of one song.

Conventions
-----------
order      mixture, reference, then the systems by family; a panel's frame has the colour of the
           family
time       axes, ticks and names of a song are drawn once; for each stem, only pictures and title
           are drawn
picture    levels of :mod:`benchsep.report.figures.spectrogram`, averaged over each pixel

Classes
-------
Panels              the figure of a song: a PNG and a PDF for each stem
Functions
---------
spectrogram_figure  the figure of signals, for a notebook
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep._util.atomic import replacing
from benchsep._util.escape import visible
from benchsep.errors import UsageError
from benchsep.report.figures.spectrogram import (
    FLOOR_DB,
    HIGHEST_HZ,
    LOWEST_HZ,
    TICKS_HZ,
    colours,
    mel,
    mel_db,
    on_one_scale,
)
from benchsep.report.figures.style import (
    FAMILY_COLORS,
    drawing,
    empty_figure,
    family_name,
    save_pdf,
    styled,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from benchsep.audio import Audio

    Levels = Mapping[str, NDArray[np.uint8]]

DPI = 120
"""Resolution of the PNG: about 0.3 MB per picture."""
PDF_DPI = 200
"""Resolution of pictures in the PDF; text remains text."""


class Panels:
    """The figure of one song: a panel per label, reused for all stems.

    Parameters
    ----------
    labels
        Labels of the signals: mixture, reference and systems, in any order.
    families
        Label to family, for the order of the panels and the colour of their frames.
    seconds
        Start and end of the excerpt in the song, in seconds.
    """

    def __init__(
        self, labels: Sequence[str], families: Mapping[str, str], seconds: tuple[float, float]
    ) -> None:
        first = [label for label in labels if label in ("mixture", "reference")]
        systems = [label for label in labels if label not in first]
        systems.sort(key=lambda label: _rank(families.get(label, "unknown")))
        with styled():
            self.figure, axes, place = _grid(len(labels))
            self.axes = dict(zip([*first, *systems], axes, strict=True))
            for label, axis in self.axes.items():
                _set_axes(axis, label, seconds)
                if label in families:
                    _mark_family(axis, families[label])
            _draw_scale(self.figure, place)
            self.title = self.figure.suptitle(
                "", fontsize=9, y=1 - 0.1 / self.figure.get_figheight(), va="top"
            )

    def fill(self, levels: Levels, title: str) -> Figure:
        """The figure with the pictures of a stem: for a PDF, or to show in a notebook."""
        with styled():
            for label, axis in self.axes.items():
                for image in axis.get_images():
                    image.remove()
                axis.imshow(
                    colours()[levels[label]],
                    origin="lower", aspect="auto", interpolation="nearest",
                    extent=(*axis.get_xlim(), *axis.get_ylim()),
                )  # fmt: skip
            self.title.set_text(visible(title))
        return self.figure

    def write_pdf(self, path: Path, levels: Levels, title: str) -> None:
        """Write the figure of a stem as PDF."""
        save_pdf(self.fill(levels, title), path, dpi=PDF_DPI)

    def write_png(self, path: Path, levels: Levels, title: str) -> None:
        """Write the figure of a stem as PNG; parts that all stems share are drawn once."""
        from PIL import Image

        canvas: Any = self.figure.canvas
        with drawing():
            canvas.restore_region(self._frame)
            pixels = np.asarray(canvas.buffer_rgba())  # [height, width, 4], the canvas' own memory
            for label, axis in self.axes.items():
                _paste(pixels, axis, levels[label])
            self.title.set_text(visible(title))
            self.figure.draw_artist(self.title)
            image = Image.fromarray(pixels).convert("RGB")
        with replacing(path) as partial:
            image.save(partial, "PNG", dpi=(DPI, DPI), compress_level=4)

    @cached_property
    def _frame(self) -> Any:
        """The figure without pictures and title."""
        canvas: Any = self.figure.canvas
        self.figure.set_dpi(DPI)
        canvas.draw()
        return canvas.copy_from_bbox(self.figure.bbox)


def _paste(pixels: NDArray[np.uint8], axis: Axes, level: NDArray[np.uint8]) -> None:
    """Put a picture into the pixels of an axis and draw its frame over the edges."""
    from PIL import Image

    box = axis.get_window_extent()
    left, right = round(box.x0), round(box.x1)
    top, bottom = (round(len(pixels) - y) for y in (box.y1, box.y0))
    picture = Image.fromarray(level[::-1]).resize(
        (right - left, bottom - top), Image.Resampling.BOX
    )
    pixels[top:bottom, left:right, :3] = colours()[np.asarray(picture)]
    for spine in axis.spines.values():
        axis.draw_artist(spine)


def spectrogram_figure(
    mixture: Audio,
    reference: Audio | None,
    estimates: Mapping[str, Audio],
    *,
    title: str,
    families: Mapping[str, str] | None = None,
    start: float = 0.0,
) -> Figure:
    """Mixture, reference and each system, on one scale.

    Parameters
    ----------
    mixture, reference
        The signals that the estimates are compared with, at one rate; ``None``: no true stem.
    estimates
        Label to the estimate of the same stem.
    title
        Title of the figure; any text.
    families
        Label to family, for the order of the panels and the colour of their frames.
    start
        Second of the song at which the signals begin.

    Raises
    ------
    UsageError
        if the rates differ.
    """
    true = {} if reference is None else {"reference": reference}
    signals = {"mixture": mixture, **true, **estimates}
    if len({audio.rate for audio in signals.values()}) > 1:
        rates = ", ".join(f"{label}: {audio.rate} Hz" for label, audio in signals.items())
        raise UsageError(f"spectrograms at several rates ({rates}), expected one: resample first")
    found = {label: mel_db(audio) for label, audio in signals.items()}
    levels = on_one_scale(found, ("mixture", *true))
    panels = Panels(list(signals), families or {}, (start, start + mixture.seconds))
    return panels.fill(levels, title)


def _rank(family: str) -> int:
    order = list(FAMILY_COLORS)
    return order.index(family) if family in order else len(order)


def _grid(count: int) -> tuple[Figure, list[Axes], tuple[float, float, float, float]]:
    """Axes row by row (a shorter last row has wider panels), and the position of the colour bar."""
    columns = min(3, count) if count > 4 else 2
    rows = -(-count // columns)
    counts = [len(part) for part in np.array_split(np.arange(count), rows)]
    width, height = 2.6 * columns + 1.4, 1.75 * rows + 0.75  # inches
    left, right, bottom, top = 0.55 / width, 1 - 0.85 / width, 0.45 / height, 1 - 0.55 / height
    figure = empty_figure(width, height)
    units = math.lcm(*counts)
    grid = figure.add_gridspec(
        rows, units, left=left, right=right, bottom=bottom, top=top, wspace=0.0, hspace=0.28
    )
    axes = []
    for row, in_row in enumerate(counts):
        span = units // in_row
        for k in range(in_row):
            axis = figure.add_subplot(grid[row, k * span : (k + 1) * span])
            box = axis.get_position()
            gap = 0.08 / width
            axis.set_position((box.x0 + gap / 2, box.y0, box.width - gap, box.height))
            axis.tick_params(labelbottom=row == rows - 1, labelleft=k == 0)
            if k == 0:
                axis.set_ylabel("frequency (kHz)")
            if row == rows - 1:
                axis.set_xlabel("time (s)")
            axes.append(axis)
    return figure, axes, (1 - 0.7 / width, bottom, 0.12 / width, top - bottom)


def _set_axes(axis: Axes, label: str, seconds: tuple[float, float]) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_xlim(*seconds)
    axis.set_ylim(mel(LOWEST_HZ), mel(HIGHEST_HZ))
    axis.set_yticks([mel(hertz) for hertz in TICKS_HZ], [f"{hertz / 1000:g}" for hertz in TICKS_HZ])
    # Labels of the first and last second would overlap with those of the next panel.
    axis.xaxis.set_major_locator(MaxNLocator(5, prune="both"))
    axis.set_title(visible(label), loc="left")


def _draw_scale(figure: Figure, place: tuple[float, float, float, float]) -> None:
    """The colour bar, in dB."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, Normalize

    scale = ScalarMappable(Normalize(FLOOR_DB, 0.0), ListedColormap(colours() / 255))
    bar = figure.colorbar(scale, cax=figure.add_axes(place))
    bar.set_label("dB re the loudest bin of mixture and reference")


def _mark_family(axis: Axes, family: str) -> None:
    color = FAMILY_COLORS.get(family, FAMILY_COLORS["unknown"])
    axis.set_title(family_name(family), loc="right", color=color, fontsize=7)
    for spine in axis.spines.values():
        spine.set(visible=True, color=color, linewidth=1.5)
