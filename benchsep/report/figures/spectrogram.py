"""Comparable spectrograms: mel rows on a common scale in dB, as 8-bit pictures.

Conventions
-----------
transform  Hann window of 2048 samples, hop 512, power averaged over channels; hop 1024 if 512 would
           give more than ``COLUMNS`` columns
scale      dB relative to the loudest bin of mixture and reference together, clipped to -80..0: one
           scale for all signals of a stem, so that brightness can be compared
frequency  a mel axis from 40 Hz to 16 kHz. A row is the loudest bin between its edges, or the
           nearest bin if there is none, so that partials stay visible
level      uint8 ``[ROWS, columns]``, 0 to 255 for -80 to 0 dB: an index into :func:`colours`

Functions
---------
power         power of one signal
mel_db        a signal on the mel axis in dB, and its loudest bin
on_one_scale  levels of several of these, relative to the loudest bin of two of them
ticks         the labels of the mel axis
mel           hertz to mel
colours       the colour of each level
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from benchsep.audio import Audio

N_FFT, HOP = 2048, 512
FLOOR_DB = -80.0
LOWEST_HZ, HIGHEST_HZ, ROWS = 40.0, 16_000.0, 320
TICKS_HZ = (250, 500, 1000, 2000, 4000, 8000, 16_000)
BLOCK = 64
"""Columns per block; they fit into the processor's cache."""
COLUMNS = 1000
"""Most columns, more than the pixels of a panel. For longer excerpts, the maximum of neighbours is
kept, so that clicks stay visible."""


def power(audio: Audio) -> NDArray[np.float32]:
    """Power ``[columns, bins]``: a full-scale sine has 1, silence 0."""
    from scipy.fft import rfft
    from scipy.signal import get_window

    hop = HOP if audio.frames // HOP < COLUMNS else 2 * HOP
    window = get_window("hann", N_FFT).astype(np.float32)
    # Mirrored, not zero-padded, because an excerpt of a song would show a click at both ends.
    padded = np.pad(audio.samples, ((0, 0), (N_FFT // 2, N_FFT // 2)), mode="reflect")
    # [channels, samples] -> [channels, columns, N_FFT], a view
    windows = np.lib.stride_tricks.sliding_window_view(padded, N_FFT, axis=1)[:, ::hop]
    total = np.empty((windows.shape[1], N_FFT // 2 + 1), np.float32)
    for first in range(0, len(total), BLOCK):
        spectrum = rfft(windows[:, first : first + BLOCK] * window, axis=-1)
        total[first : first + BLOCK] = (spectrum.real**2 + spectrum.imag**2).sum(0)
    # A sine of amplitude 1 has |X| = sum(window) / 2 at its bin.
    total /= np.float32(audio.channels * (window.sum() / 2) ** 2)
    return _limit_columns(total)


def _limit_columns(values: NDArray[np.float32]) -> NDArray[np.float32]:
    step = -(-len(values) // COLUMNS)
    if step == 1:
        return values
    limited: NDArray[np.float32] = np.maximum.reduceat(values, np.arange(0, len(values), step))
    return limited


def mel_db(audio: Audio) -> tuple[NDArray[np.float32], float]:
    """``[ROWS, columns]`` in dB re full scale, -inf for silence, and the loudest bin of all."""
    found = power(audio)
    with np.errstate(divide="ignore"):
        # The maximum before the logarithm: the same values with a third of the logarithms.
        rows: NDArray[np.float32] = 10 * np.log10(_mel_rows(found, audio.rate))
        return rows, float(10 * np.log10(found.max()))


def _mel_rows(values: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """``[columns, bins]`` up to half of ``rate`` Hz to ``[ROWS, columns]``, spaced in mel."""
    places = np.linspace(mel(LOWEST_HZ), mel(HIGHEST_HZ), ROWS + 1)
    edges = 700.0 * (10.0 ** (places / 2595.0) - 1.0) * N_FFT / rate  # in bins
    bins = np.ascontiguousarray(values.T)
    rows = np.zeros((ROWS, bins.shape[1]), np.float32)
    for row in range(ROWS):
        low, high = math.ceil(edges[row]), math.ceil(edges[row + 1])
        if low == high:  # narrower than a bin
            low = round((edges[row] + edges[row + 1]) / 2)
            high = low + 1
        if low < len(bins):
            bins[low:high].max(0, out=rows[row])
    return rows


def on_one_scale(
    found: Mapping[str, tuple[NDArray[np.float32], float]], loudest_of: Iterable[str]
) -> dict[str, NDArray[np.uint8]]:
    """Label to level ``[ROWS, columns]`` re the loudest bin of the signals in ``loudest_of``."""
    top = max(found[label][1] for label in loudest_of)
    top = top if math.isfinite(top) else 0.0  # all silent
    # (dB - top - FLOOR_DB) * scale, clipped to a byte
    scale = np.float32(-255.0 / FLOOR_DB)
    return {
        label: np.rint(np.clip((rows - np.float32(top + FLOOR_DB)) * scale, 0, 255)).astype(
            np.uint8
        )
        for label, (rows, _) in found.items()
    }


def mel(hertz: float) -> float:
    """HTK's mel scale."""
    return 2595.0 * math.log10(1.0 + hertz / 700.0)


def ticks() -> list[tuple[str, float]]:
    """Label in kHz and place on the axis, 0 at its lower end and 1 at its upper end."""
    low, high = mel(LOWEST_HZ), mel(HIGHEST_HZ)
    return [(f"{hertz / 1000:g}", (mel(hertz) - low) / (high - low)) for hertz in TICKS_HZ]


@cache
def colours() -> NDArray[np.uint8]:
    """Red, green and blue of each level ``[256, 3]``: cividis."""
    from matplotlib import colormaps

    found: NDArray[np.uint8] = (
        (colormaps["cividis"](np.arange(256))[:, :3] * 255).round().astype(np.uint8)
    )
    return found
