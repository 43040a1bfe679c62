"""Spectrograms of one stem of one song: mixture, reference and each system.

Conventions
-----------
transform  Hann 2048 / hop 512, power averaged over channels
scale      dB relative to the loudest bin of mixture and reference together, clipped to -80..0: one
           scale for all panels, so that brightness can be compared across panels
frequency  the figure has a mel axis from 40 Hz to 16 kHz, on which partials can be followed: a row
           is the loudest bin between its edges, or the nearest bin where none lies there
order      mixture, reference, then the systems by family; a frame has the colour of the family

Functions
---------
spectrogram_db      dB re full scale of one signal
mel_rows            a spectrogram on the axis of the figure
mel_db              a signal on that axis, and its loudest bin
on_one_scale        several of these relative to the loudest bin of two of them
ticks               the labels of that axis
spectrogram_figure  the figure of signals
panels_figure       the figure of spectrograms
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep._util.escape import visible
from benchsep.errors import UsageError
from benchsep.report.figures.style import FAMILY_COLORS, empty_figure, family_name, styled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from benchsep.audio import Audio

N_FFT, HOP = 2048, 512
FLOOR_DB = -80.0
LOWEST_HZ, HIGHEST_HZ, ROWS = 40.0, 16_000.0, 320
TICKS_HZ = (250, 500, 1000, 2000, 4000, 8000, 16_000)
COLUMNS = 1800
"""The largest number of spectrogram columns that are drawn; longer excerpts keep the maximum of
neighbours, so that a click stays visible."""


def spectrogram_db(audio: Audio) -> NDArray[np.float32]:
    """Power in dB ``[bins, columns]`` where a full-scale sine has 0 dB; -inf for silence."""
    from scipy.fft import rfft
    from scipy.signal import get_window

    window = get_window("hann", N_FFT).astype(np.float32)
    # Mirrored, not zero-padded: an excerpt cut from a song would show a click at either end.
    padded = np.pad(audio.samples, ((0, 0), (N_FFT // 2, N_FFT // 2)), mode="reflect")
    # [channels, samples] -> [channels, columns, N_FFT], a view
    windows = np.lib.stride_tricks.sliding_window_view(padded, N_FFT, axis=1)[:, ::HOP]
    power: NDArray[np.float32] = np.zeros((windows.shape[1], N_FFT // 2 + 1), np.float32)
    for channel in windows:  # one channel at a time: minutes of stereo would need twice the memory
        spectrum = rfft(channel * window, axis=1)
        power += spectrum.real**2 + spectrum.imag**2
    # A sine of amplitude 1 has |X| = sum(window) / 2 at its bin.
    power /= audio.channels * (window.sum() / 2) ** 2
    with np.errstate(divide="ignore"):
        db: NDArray[np.float32] = 10 * np.log10(power)
    return _limit_columns(np.ascontiguousarray(db.T))


def _limit_columns(db: NDArray[np.float32]) -> NDArray[np.float32]:
    step = -(-db.shape[1] // COLUMNS)
    if step == 1:
        return db
    padded = np.pad(db, ((0, 0), (0, -db.shape[1] % step)), constant_values=-np.inf)
    limited: NDArray[np.float32] = padded.reshape(db.shape[0], -1, step).max(2)
    return limited


def mel_db(audio: Audio) -> tuple[NDArray[np.float32], float]:
    """``[ROWS, columns]`` in dB re full scale, and the loudest bin of all."""
    db = spectrogram_db(audio)
    return mel_rows(db, audio.rate), float(db.max())


def on_one_scale(
    found: Mapping[str, tuple[NDArray[np.float32], float]], loudest_of: Iterable[str]
) -> dict[str, NDArray[np.float32]]:
    """Label to ``[ROWS, columns]`` in dB re the loudest bin of the signals in ``loudest_of``."""
    top = max(found[label][1] for label in loudest_of)
    top = top if math.isfinite(top) else 0.0  # all silent
    return {label: rows - np.float32(top) for label, (rows, _) in found.items()}


def _mel(hertz: float) -> float:
    """HTK's mel scale."""
    return 2595.0 * math.log10(1.0 + hertz / 700.0)


def ticks() -> list[tuple[str, float]]:
    """Label in kHz and place on the axis, 0 at its lower end and 1 at its upper end."""
    low, high = _mel(LOWEST_HZ), _mel(HIGHEST_HZ)
    return [(f"{hertz / 1000:g}", (_mel(hertz) - low) / (high - low)) for hertz in TICKS_HZ]


def mel_rows(db: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """``[bins, columns]`` up to half of ``rate`` Hz to ``[ROWS, columns]``, spaced in mel."""
    mel = np.linspace(_mel(LOWEST_HZ), _mel(HIGHEST_HZ), ROWS + 1)
    edges = 700.0 * (10.0 ** (mel / 2595.0) - 1.0) * N_FFT / rate  # in bins
    rows = np.full((ROWS, db.shape[1]), -np.inf, np.float32)
    for row in range(ROWS):
        low, high = math.ceil(edges[row]), math.ceil(edges[row + 1])
        if low == high:  # narrower than a bin
            low = round((edges[row] + edges[row + 1]) / 2)
            high = low + 1
        if low < db.shape[0]:
            rows[row] = db[low:high].max(0)
    return rows


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
    rows = on_one_scale(found, ("mixture", *true))
    seconds = (start, start + mixture.seconds)
    return panels_figure(rows, seconds, title=title, families=families or {})


def panels_figure(
    rows: Mapping[str, NDArray[np.float32]],
    seconds: tuple[float, float],
    *,
    title: str,
    families: Mapping[str, str],
) -> Figure:
    """The figure of label to ``[ROWS, columns]`` in dB on one scale, from second to second."""
    first = [label for label in rows if label in ("mixture", "reference")]
    systems = [label for label in rows if label not in first]
    systems.sort(key=lambda label: _rank(families.get(label, "unknown")))
    with styled():
        figure, axes, place = _grid(len(rows))
        for axis, label in zip(axes, [*first, *systems], strict=True):
            image = _draw_panel(axis, label, rows[label], seconds)
            if label in families:
                _mark_family(axis, families[label])
        bar = figure.colorbar(image, cax=figure.add_axes(place))
        bar.set_label("dB re the loudest bin of mixture and reference")
        figure.suptitle(visible(title), fontsize=9, y=1 - 0.1 / figure.get_figheight(), va="top")
    return figure


def _rank(family: str) -> int:
    order = list(FAMILY_COLORS)
    return order.index(family) if family in order else len(order)


def _grid(count: int) -> tuple[Figure, list[Axes], tuple[float, float, float, float]]:
    """Axes row by row without a hole (a shorter last row has wider panels); place of the bar."""
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


def _draw_panel(
    axis: Axes, label: str, rows: NDArray[np.float32], seconds: tuple[float, float]
) -> Any:
    from matplotlib.ticker import MaxNLocator

    image = axis.imshow(
        np.clip(rows, FLOOR_DB, 0.0),
        origin="lower",
        aspect="auto",
        cmap="cividis",
        vmin=FLOOR_DB,
        vmax=0.0,
        extent=(*seconds, _mel(LOWEST_HZ), _mel(HIGHEST_HZ)),
        interpolation="nearest",
        rasterized=True,
    )
    axis.set_yticks(
        [_mel(hertz) for hertz in TICKS_HZ], [f"{hertz / 1000:g}" for hertz in TICKS_HZ]
    )
    # The first and last second would run into the next panel's.
    axis.xaxis.set_major_locator(MaxNLocator(5, prune="both"))
    axis.set_title(visible(label), loc="left")
    return image


def _mark_family(axis: Axes, family: str) -> None:
    color = FAMILY_COLORS.get(family, FAMILY_COLORS["unknown"])
    axis.set_title(family_name(family), loc="right", color=color, fontsize=7)
    for spine in axis.spines.values():
        spine.set(visible=True, color=color, linewidth=1.5)
