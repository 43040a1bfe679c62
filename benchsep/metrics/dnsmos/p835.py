"""The P.835 network of DNSMOS on overlapping windows, each activation computed once.

DNSMOS evaluates 9.01 s every second: eight ninths of every window were in the one before. The
network is a log spectrogram (320-sample frames every 160, no normalisation over the window),
four 3x3 convolutions, a 2x2 max-pool, three more convolutions with pools between, a global
maximum and three dense layers. 97 % of the work lies before the first pool, and there a window
differs from the song in nothing but the zeros that pad its edges: four convolutions let them
reach four frames. So:

- the part before the pool runs over the song in blocks, each with four frames more on either
  side, which are thrown away;
- for each window the four frames at either edge are computed again from its own eight outermost
  frames, and replace the song's;
- windows start on even frames (the hop is 100), so the pool of the song is the pool of each
  window, and the rest (3 %) runs window by window: its pools would see two phases.

Nothing is approximated: measured differences to whole windows are below 1e-6. Memory
for activations is that of nine seconds, however long the song.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.metrics.dnsmos.onnx import subgraph

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float32]

FRAME, HOP, WINDOW_FRAMES = 320, 160, 900
EDGE = 4
"""Frames that the zero padding of four 3x3 convolutions reaches."""
BLOCK = 400
"""Frames computed at once (even): 0.6 GB of activations would be a song's, 30 MB is a block's."""

_SPECTRUM_INPUTS = ("adjusted_input7", "adjusted_input8")  # real and imaginary parts
_POOLED = "mos_estimator_logpow/conv2d_3/Relu:0_pooling0"
_OPINION = "Identity:0"
_EMBEDDING = "mos_estimator_logpow/global_max_pooling2d/Max:0"
_CHANNELS, _BANDS = 32, 80


def split_graph(model: bytes) -> tuple[bytes, bytes]:
    """The network before its first pool's output, and after it."""
    frames = {name: ("N", FRAME, "T") for name in _SPECTRUM_INPUTS}
    lower = subgraph(model, frames, [_POOLED])
    upper = subgraph(model, {_POOLED: ("N", _CHANNELS, "T", _BANDS)}, [_OPINION, _EMBEDDING])
    return lower, upper


def shared_outputs(
    signal: Array, starts: list[int], lower: Any, upper: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The network's outputs for windows of one signal.

    Parameters
    ----------
    signal
        float32 ``[frames]`` at 16 kHz.
    starts
        Ascending first samples of the windows: multiples of 320, each with 144,160 samples
        after it.
    lower, upper
        onnxruntime sessions on the two parts of :func:`split_graph`.

    Returns
    -------
    tuple
        Opinions ``[windows, 3]`` (sig, bak, ovrl before the polynomial) and the 64
        globally pooled activations ``[windows, 64]``.
    """

    def pooled(first: int, count: int) -> Array:
        block: Array = _pooled(lower, _frames(signal, first, count)[None])[0]
        return block

    blocks: dict[int, Array] = {}
    opinions, embeddings = [], []
    for start in starts:
        window = _window(signal, start // HOP, pooled, blocks, lower)
        opinion, embedding = upper.run([_OPINION, _EMBEDDING], {_POOLED: window[None]})
        opinions.append(opinion[0])
        embeddings.append(embedding[0])
    return np.asarray(opinions, dtype=np.float64), np.asarray(embeddings, dtype=np.float64)


def _window(
    signal: Array,
    first: int,
    pooled: Callable[[int, int], Array],
    blocks: dict[int, Array],
    lower: Any,
) -> Array:
    """Activations of the window that begins at frame ``first``: ``[32, 450, 80]``."""
    half, edge = BLOCK // 2, EDGE // 2
    begin, end = first // 2, (first + WINDOW_FRAMES) // 2
    for done in [number for number in blocks if number < begin // half]:
        del blocks[done]
    parts = []
    for number in range(begin // half, -(-end // half)):
        if number not in blocks:
            blocks[number] = pooled(number * BLOCK - EDGE, BLOCK + 2 * EDGE)[:, edge:-edge]
        offset = number * half
        parts.append(blocks[number][:, max(0, begin - offset) : end - offset])
    window = np.concatenate(parts, axis=1)
    outermost = np.stack(
        [_frames(signal, k, 2 * EDGE) for k in (first, first + WINDOW_FRAMES - 2 * EDGE)]
    )
    head, tail = _pooled(lower, outermost)
    window[:, :edge], window[:, -edge:] = head[:, :edge], tail[:, -edge:]
    return window


def _frames(signal: Array, first: int, count: int) -> Array:
    """``count`` frames from frame ``first``, ``[320, count]``; zeros outside the signal."""
    start, length = first * HOP, (count - 1) * HOP + FRAME
    piece = np.zeros(length, dtype=np.float32)
    have = signal[max(0, start) : max(0, start + length)]
    piece[max(0, -start) :][: len(have)] = have
    return np.ascontiguousarray(np.lib.stride_tricks.sliding_window_view(piece, FRAME)[::HOP].T)


def _pooled(lower: Any, frames: Array) -> Array:
    """Activations after the first pool, ``[n, 32, count / 2, 80]``."""
    return np.asarray(lower.run([_POOLED], dict.fromkeys(_SPECTRUM_INPUTS, frames))[0])
