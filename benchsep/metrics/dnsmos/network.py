"""Values of DNSMOS from arrays: windows, features, the two networks, the map to MOS.

Conventions
-----------
signal   float32 ``[frames]`` at 16 kHz, within [-1, 1]
windows  9.01 s long with a hop of 1 s, as in ``speechmos`` 0.0.1.1
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from benchsep.errors import AudioError
from benchsep.metrics.dnsmos.graphs import PARTS, filters, session
from benchsep.metrics.dnsmos.p808 import shared_opinions
from benchsep.metrics.dnsmos.p835 import shared_outputs
from benchsep.metrics.mel import mel_filters

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 16_000
WINDOW_SECONDS = 9.01
WINDOW = int(WINDOW_SECONDS * RATE)
SHORTEST = 320
"""Samples of one frame of the P.835 network; a shorter signal, repeated, would be a tone."""

MEL_FRAME, MEL_HOP, MEL_BANDS = 321, 160, 120
MEL_FRAMES = 900
"""The P.808 network reads 900 frames: a window without its last 160 samples."""

POLYNOMIALS = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}
"""Polynomials from the network's output to the MOS scale, highest power first (DNS-Challenge)."""


def window_starts(frames: int) -> list[int]:
    """First samples of the windows that ``speechmos`` keeps in ``frames`` samples at 16 kHz.

    A window runs from ``i * 16000`` to ``int((i + 9.01) * 16000)``. In binary floating point
    that end is one sample short for some ``i``, and those windows are dropped.
    """
    hops = int(np.floor(frames / RATE) - WINDOW_SECONDS) + 1
    ends = ((i * RATE, int((i + WINDOW_SECONDS) * RATE)) for i in range(hops))
    return [start for start, end in ends if min(end, frames) - start >= WINDOW]


def doubled(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """The signal, doubled until it fills a window."""
    repeats = 1
    while len(signal) * repeats < WINDOW:
        repeats *= 2
    return np.tile(signal, repeats) if repeats > 1 else signal


def dnsmos(signal: NDArray[np.float32]) -> dict[str, NDArray[np.float64]]:
    """DNSMOS of every window of a mono signal.

    Parameters
    ----------
    signal
        float ``[frames]`` at 16 kHz, within [-1, 1].

    Returns
    -------
    dict
        ``ovrl``, ``sig``, ``bak``, ``p808``: ``[windows]`` each; their means are the scores.

    Raises
    ------
    AudioError
        if the signal is empty, not one-dimensional, or leaves [-1, 1] (NaN included).
    Unavailable
        if ``speechmos`` or ``onnxruntime`` is not installed.
    """
    signal = np.asarray(signal, dtype=np.float32)
    if signal.ndim != 1 or signal.size == 0:
        raise AudioError(f"shape {signal.shape}: expected a mono signal [frames] at 16 kHz")
    if not (np.abs(signal) <= 1).all():
        raise AudioError(
            f"samples up to {np.abs(signal).max():.3g}, expected within [-1, 1]; clip or scale them"
        )
    signal = doubled(signal)
    starts = window_starts(len(signal))
    # A single window shares nothing with others, so sharing would only add the work at the edges.
    raw = (p835_outputs if len(starts) > 1 else p835_plainly)(signal, starts)
    found = {
        name: np.asarray(np.polyval(POLYNOMIALS[name], raw[:, column]), dtype=np.float64)
        for column, name in enumerate(("sig", "bak", "ovrl"))
    }
    found["p808"] = p808_outputs(signal, starts)
    return found


def p835_outputs(signal: NDArray[np.float32], starts: list[int]) -> NDArray[np.float64]:
    """The P.835 network on each window: ``[windows, 3]`` (sig, bak, ovrl before the polynomial).

    Windows share their activations (:mod:`benchsep.metrics.dnsmos.p835`), which is exact and about
    ten times faster than :func:`p835_plainly`.
    """
    return _shared(signal, starts)[0]


def _shared(
    signal: NDArray[np.float32], starts: list[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return shared_outputs(signal, starts, filters(), *map(session, PARTS["sig_bak_ovr"]))


def p835_plainly(signal: NDArray[np.float32], starts: list[int]) -> NDArray[np.float64]:
    """The same, with the whole graph run on every window, as in ``speechmos``."""
    network = session("sig_bak_ovr")
    rows = [
        network.run(None, {"input_1": signal[None, start : start + WINDOW]})[0][0]
        for start in starts
    ]
    return np.asarray(rows, dtype=np.float64)


def dnsmos_embedding(signal: NDArray[np.float32]) -> NDArray[np.float64]:
    """The P.835 network's 64 pooled activations for each window, ``[windows, 64]``.

    Takes the same signal as :func:`dnsmos`. An embedding of voice quality that is part of every
    installation.
    """
    signal = doubled(np.asarray(signal, dtype=np.float32))
    starts = window_starts(len(signal))
    return _shared(signal, starts)[1]


def p808_outputs(signal: NDArray[np.float32], starts: list[int]) -> NDArray[np.float64]:
    """The P.808 network on each window: ``[windows]``."""
    power = mel_power(signal)
    windows = ((start // MEL_HOP, _decibels(_window_mel(signal, power, start))) for start in starts)
    return shared_opinions(windows, *map(session, PARTS["model_v8"]))


def mel_power(signal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mel power of the whole signal, ``[frames, 120]``; frame k is centred on sample 160 k.

    Windows start on multiples of the hop. All frames of a window except its first and last are
    therefore frames of the whole signal, which saves nine tenths of the work.
    """
    half = MEL_FRAME // 2
    padded = np.pad(signal, (half, half + 1))
    count = len(signal) // MEL_HOP + 1
    frames = np.lib.stride_tricks.sliding_window_view(padded, MEL_FRAME)[::MEL_HOP][:count]
    # Blocks of a thousand frames, so that memory does not grow with the song.
    return np.concatenate([_mel(frames[k : k + 1000]) for k in range(0, len(frames), 1000)])


def _window_mel(
    signal: NDArray[np.float32], power: NDArray[np.float32], start: int
) -> NDArray[np.float32]:
    """Mel power of one window: the shared frames, and its own two zero-padded edge frames."""
    first = start // MEL_HOP
    found = power[first : first + MEL_FRAMES].copy()
    half = MEL_FRAME // 2
    head = np.pad(signal[start : start + half + 1], (half, 0))
    used = WINDOW - MEL_HOP
    tail = np.pad(signal[start + used - MEL_FRAME + 1 : start + used], (0, 1))
    found[[0, -1]] = _mel(np.stack([head, tail]))
    return found


def _mel(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mel power ``[n, 120]`` of raw frames ``[n, 321]``."""
    from scipy.fft import rfft

    window, filters = _mel_constants()
    spectrum = rfft(frames * window, axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    return np.asarray(power @ filters, dtype=np.float32)


@lru_cache(maxsize=1)
def _mel_constants() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The periodic Hann window and librosa's Slaney filters, ``[321]`` and ``[161, 120]``."""
    # 120 bands over 161 bins: some low bands have no bin, as in training.
    filters = mel_filters(RATE, MEL_FRAME, MEL_BANDS)
    phase = 2 * np.pi * np.arange(MEL_FRAME) / MEL_FRAME
    window = (0.5 - 0.5 * np.cos(phase)).astype(np.float32)
    return window, np.ascontiguousarray(filters.T, dtype=np.float32)


def _decibels(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """Level in dB relative to the window's peak, at least -80, mapped to [-1, 1]."""
    floor = np.float32(1e-10)
    level = 10 * np.log10(np.maximum(power, floor)) - 10 * np.log10(max(power.max(), floor))
    return np.asarray((np.maximum(level, level.max() - 80) + 40) / 40, dtype=np.float32)
