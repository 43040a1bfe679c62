"""The P.835 network of DNSMOS on overlapping windows, each activation computed once.

DNSMOS evaluates 9.01 s every second: eight ninths of every window are part of the previous one. The
network is a log spectrogram (320-sample frames every 160, no normalisation over the window), four
3x3 convolutions, a 2x2 max-pool, three more convolutions with pools between, a global maximum and
three dense layers. 97 % of the work is before the first pool, most of the rest before the third. In
these layers a window differs from the whole song only by its zero padding, which affects four
frames after four convolutions, and one more row after each of the next two. So:

- the part before the first pool (:mod:`benchsep.metrics.dnsmos.lower`) runs over the song in blocks
  with a context of four frames on either side; the part before the third pool (middle) runs over
  the rows that are new in a window;
- for each window the edges are computed again: four frames from its own eight outermost frames,
  then three rows by the middle part;
- windows start on multiples of four frames (the hop is 100), so the first two pools have the same
  position in the song and in each window; the rest (upper) is computed for each window, because the
  position of its pool alternates.

Nothing is approximated: the differences to whole windows are rounding errors (1.5e-6 over 34
windows). Activations need the memory of nine seconds, for any length of the song.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.metrics.dnsmos.kept import KeptRows
from benchsep.metrics.dnsmos.onnx import subgraph, weight

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchsep.metrics.dnsmos.lower import Filters

    Array = NDArray[np.float32]

FRAME, HOP, WINDOW_FRAMES = 320, 160, 900
EDGE = 4
"""Frames that depend on the zero padding after four 3x3 convolutions."""
ROWS_EDGE = 3
"""Rows of four frames that depend on the padding after two more convolutions."""
BLOCK = 400
"""Frames per block (even): activations take 30 MB per block, and 0.6 GB for a song."""

_SPECTRUM_INPUTS = ("adjusted_input7", "adjusted_input8")  # real and imaginary parts
_SPECTRUM = "adjusted_input6"
_LOWER = ("conv2d", "conv2d_1", "conv2d_2", "conv2d_3")
_POOLED = "mos_estimator_logpow/conv2d_3/Relu:0_pooling0"
_ROWS = "mos_estimator_logpow/conv2d_5/Relu:0"
_OPINION = "Identity:0"
_EMBEDDING = "mos_estimator_logpow/global_max_pooling2d/Max:0"
_CHANNELS, _BANDS = 32, 80


def split_graph(model: bytes) -> tuple[bytes, bytes, bytes]:
    """Three parts: before the convolutions, from the first to the third pool, and the rest.

    Between the first two parts are the convolutions of :func:`lower_filters`.
    """
    frames = {name: ("N", FRAME, "T") for name in _SPECTRUM_INPUTS}
    spectrum = subgraph(model, frames, [_SPECTRUM])
    middle = subgraph(model, {_POOLED: ("N", _CHANNELS, "T", _BANDS)}, [_ROWS])
    rows = {_ROWS: ("N", _CHANNELS, "T", _BANDS // 2)}
    return spectrum, middle, subgraph(model, rows, [_OPINION, _EMBEDDING])


def lower_filters(model: bytes) -> Filters:
    """The convolutions before the first pool."""
    from benchsep.metrics.dnsmos.lower import Filters

    return Filters([(weight(model, f"{n}/kernel:0"), weight(model, f"{n}/bias:0")) for n in _LOWER])


def shared_outputs(
    signal: Array, starts: list[int], filters: Filters, spectrum: Any, middle: Any, upper: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The network's outputs for windows of one signal.

    Parameters
    ----------
    signal
        float32 ``[frames]`` at 16 kHz.
    starts
        Ascending first samples of the windows: multiples of 640, each with 144,160 samples
        after it.
    filters
        :func:`lower_filters`.
    spectrum, middle, upper
        onnxruntime sessions on the three parts of :func:`split_graph`.

    Returns
    -------
    tuple
        Opinions ``[windows, 3]`` (sig, bak, ovrl before the polynomial) and the 64
        globally pooled activations ``[windows, 64]``.
    """
    if any(start % (4 * HOP) for start in starts):
        raise ValueError(f"windows at {starts}: expected multiples of {4 * HOP} samples")
    song = _Song(signal, filters, spectrum, middle)
    opinions, embeddings = [], []
    for start in starts:
        window = {_ROWS: song.window(start // HOP)[None]}
        opinion, embedding = upper.run([_OPINION, _EMBEDDING], window)
        opinions.append(opinion[0])
        embeddings.append(embedding[0])
    return np.asarray(opinions, dtype=np.float64), np.asarray(embeddings, dtype=np.float64)


class _Song:
    """Cached activations of a song: rows of two frames and rows of four frames."""

    def __init__(self, signal: Array, filters: Filters, spectrum: Any, middle: Any) -> None:
        from benchsep.metrics.dnsmos.lower import Lower

        self._signal, self._spectrum, self._middle = signal, spectrum, middle
        self._lower = Lower(filters)
        self._blocks: dict[int, Array] = {}
        """Rows of two frames, ``[32, 200, 80]`` from ``200 * number`` on."""
        self._rows = KeptRows()
        """Rows of four frames."""

    def window(self, first: int) -> Array:
        """Activations ``[32, 225, 40]`` of the window that begins at frame ``first``."""
        half, edge = BLOCK // 2, ROWS_EDGE
        for done in [number for number in self._blocks if number < first // 2 // half]:
            del self._blocks[done]
        begin, end = first // 4, (first + WINDOW_FRAMES) // 4
        rows = self._rows.between(begin + edge, end - edge, self._inner)
        head, tail = self._edges(first)
        return np.concatenate([head[:, :edge], rows, tail[:, -edge:]], axis=1)

    def _inner(self, begin: int, end: int) -> Array:
        """Rows of four frames of the song."""
        # Two more rows on either side as context; they are discarded.
        rows: Array = self._rows_of(self._pooled(2 * begin - 4, 2 * end + 4)[None])[0]
        return rows[:, 2:-2]

    def _edges(self, first: int) -> Array:
        """Five rows of four frames at both edges; the outer three depend on the window's
        padding.
        """
        edge, more, last = EDGE // 2, 2 * ROWS_EDGE + 2, (first + WINDOW_FRAMES) // 2
        begins = (first, first + WINDOW_FRAMES - 2 * EDGE)
        outermost = np.stack([_frames(self._signal, k, 2 * EDGE) for k in begins])
        spectra = _spectra(self._spectrum, outermost)
        head = self._lower.pooled(spectra[0], before=True)
        tail = self._lower.pooled(spectra[1], after=True)
        inside = [self._pooled(k, k + more) for k in (first // 2 + edge, last - edge - more)]
        head = np.concatenate([head, inside[0]], axis=1)
        tail = np.concatenate([inside[1], tail], axis=1)
        return self._rows_of(np.stack([head, tail]))

    def _pooled(self, first: int, stop: int) -> Array:
        """Rows of two frames, ``[32, rows, 80]``."""
        half, parts = BLOCK // 2, []
        for number in range(first // half, -(-stop // half)):
            if number not in self._blocks:
                frames = _frames(self._signal, number * BLOCK - EDGE, BLOCK + 2 * EDGE)
                self._blocks[number] = self._lower.pooled(_spectra(self._spectrum, frames[None])[0])
            offset = number * half
            parts.append(self._blocks[number][:, max(0, first - offset) : stop - offset])
        return np.concatenate(parts, axis=1)

    def _rows_of(self, rows: Array) -> Array:
        """``[n, 32, rows / 2, 40]`` of ``[n, 32, rows, 80]``."""
        return np.asarray(self._middle.run([_ROWS], {_POOLED: rows})[0])


def _frames(signal: Array, first: int, count: int) -> Array:
    """``count`` frames from frame ``first``, ``[320, count]``; zeros outside the signal."""
    start, length = first * HOP, (count - 1) * HOP + FRAME
    piece = np.zeros(length, dtype=np.float32)
    have = signal[max(0, start) : max(0, start + length)]
    piece[max(0, -start) :][: len(have)] = have
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(piece, FRAME)[::HOP].T)


def _spectra(spectrum: Any, frames: Array) -> Array:
    """Input of the convolutions, ``[n, count, 161]``."""
    inputs = dict.fromkeys(_SPECTRUM_INPUTS, frames)
    return np.asarray(spectrum.run([_SPECTRUM], inputs)[0])[:, 0]
