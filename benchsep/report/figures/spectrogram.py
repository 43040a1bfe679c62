"""Spectrograms of one stem of one song: mixture, reference and each system.

Conventions
-----------
transform  Hann 2048 / hop 512, power averaged over channels
scale      dB relative to the loudest bin of mixture and reference together, clipped to -80..0: one
           scale for all panels, so that brightness can be compared across panels

Functions
---------
spectrogram_db      dB re full scale of one signal
relative_db         several signals relative to the loudest bin of two of them
spectrogram_figure  the figure
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep._util.escape import visible
from benchsep.errors import UsageError
from benchsep.report.figures.style import new_figure, styled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from benchsep.audio import Audio

N_FFT, HOP = 2048, 512
FLOOR_DB = -80.0
COLUMNS = 1800
"""The largest number of spectrogram columns that are drawn; longer excerpts keep the maximum of
neighbours, so that a click stays visible."""


def spectrogram_db(audio: Audio) -> NDArray[np.float64]:
    """Power in dB ``[bins, columns]`` where a full-scale sine has 0 dB; -inf for silence."""
    from scipy.signal import get_window

    window = get_window("hann", N_FFT)
    # Mirrored, not zero-padded: an excerpt cut from a song would show a click at either end.
    padded = np.pad(audio.samples, ((0, 0), (N_FFT // 2, N_FFT // 2)), mode="reflect")
    # [channels, samples] -> [channels, columns, N_FFT], a view
    windows = np.lib.stride_tricks.sliding_window_view(padded, N_FFT, axis=1)[:, ::HOP]
    power: NDArray[np.float64] = np.zeros((N_FFT // 2 + 1, windows.shape[1]))
    for channel in windows:  # one channel at a time: minutes of stereo would need twice the memory
        power += np.abs(np.fft.rfft(channel * window, axis=1).T) ** 2
    # A sine of amplitude 1 has |X| = sum(window) / 2 at its bin.
    power /= audio.channels * (window.sum() / 2) ** 2
    with np.errstate(divide="ignore"):
        db: NDArray[np.float64] = 10 * np.log10(power)
    return _limit_columns(db)


def _limit_columns(db: NDArray[np.float64]) -> NDArray[np.float64]:
    step = -(-db.shape[1] // COLUMNS)
    if step == 1:
        return db
    padded = np.pad(db, ((0, 0), (0, -db.shape[1] % step)), constant_values=-np.inf)
    limited: NDArray[np.float64] = padded.reshape(db.shape[0], -1, step).max(2)
    return limited


def relative_db(
    signals: Mapping[str, Audio], loudest_of: Iterable[str]
) -> dict[str, NDArray[np.float64]]:
    """Spectrograms in dB re the loudest bin of the signals named ``loudest_of``."""
    spectra = {label: spectrogram_db(audio) for label, audio in signals.items()}
    top = max(spectra[label].max() for label in loudest_of)
    top = top if np.isfinite(top) else 0.0  # all silent
    return {label: db - top for label, db in spectra.items()}


def spectrogram_figure(
    mixture: Audio, reference: Audio, estimates: Mapping[str, Audio], *, title: str
) -> Figure:
    """Mixture, reference and each system, on one scale.

    Parameters
    ----------
    mixture, reference
        The signals that the estimates are compared with, at one rate.
    estimates
        Label to the estimate of the same stem, in the order of the panels.
    title
        Title of the figure; any text.

    Raises
    ------
    UsageError
        if the rates differ.
    """
    panels = {"mixture": mixture, "reference": reference, **estimates}
    if len({audio.rate for audio in panels.values()}) > 1:
        rates = ", ".join(f"{label}: {audio.rate} Hz" for label, audio in panels.items())
        raise UsageError(f"spectrograms at several rates ({rates}), expected one: resample first")
    spectra = relative_db(panels, ("mixture", "reference"))
    columns = min(3, len(panels)) if len(panels) > 4 else 2
    rows = -(-len(panels) // columns)
    with styled():
        figure, axes = new_figure(
            2.6 * columns + 0.9, 1.75 * rows + 0.5, rows, columns, sharex=True, sharey=True
        )
        for axis in axes.flat[len(panels) :]:
            axis.set_visible(False)
        for axis, (label, db) in zip(axes.flat, spectra.items(), strict=False):
            image = _draw_panel(axis, label, db, panels[label])
        _label_outer_axes(axes, len(panels))
        bar = figure.colorbar(image, ax=axes, shrink=0.9, pad=0.02, aspect=30)
        bar.set_label("dB re the loudest bin of mixture and reference")
        figure.suptitle(visible(title), fontsize=9)
    return figure  # type: ignore[no-any-return]


def _draw_panel(axis: Axes, label: str, db: NDArray[np.float64], audio: Audio) -> Any:
    image = axis.imshow(
        np.clip(db, FLOOR_DB, 0.0),
        origin="lower",
        aspect="auto",
        cmap="cividis",
        vmin=FLOOR_DB,
        vmax=0.0,
        extent=(0.0, audio.seconds, 0.0, audio.rate / 2000),
        interpolation="nearest",
        rasterized=True,
    )
    axis.set_title(visible(label), loc="left")
    return image


def _label_outer_axes(axes: NDArray[Any], panels: int) -> None:
    rows, columns = axes.shape
    for index in range(panels):
        row, column = divmod(index, columns)
        if column == 0:
            axes[row, column].set_ylabel("frequency (kHz)")
        if row == rows - 1 or index + columns >= panels:
            axes[row, column].set_xlabel("time (s)")
            axes[row, column].tick_params(labelbottom=True)
