"""Programme loudness according to ITU-R BS.1770-4, for playback of systems at equal loudness.

Conventions
-----------
samples   float ``[channels, samples]``; one or two channels, weighted alike (front channels)
unit      LUFS; ``-inf`` for silence
loudness  ``-0.691 + 10 log10(sum over channels of the mean square)`` of the K-weighted signal
gating    blocks of 400 ms overlapping by 75 %; absolute gate -70 LUFS, relative gate -10 LU. A
          signal shorter than one block is a single block, without gates
filters   the standard's two stages as analogue prototypes by bilinear transform, so that any
          rate has the response that the standard tabulates for 48 kHz

Source: ITU-R BS.1770-4 (10/2015), annex 1. The analogue parameters of the filters are those that
reproduce its 48-kHz coefficients.

Functions
---------
loudness      of a signal
k_weighted    a signal after both filters
match_gains   gains in dB for a common loudness without clipping
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from benchsep.audio import Audio

BLOCK_S, OVERLAP = 0.4, 0.75
ABSOLUTE_GATE, RELATIVE_GATE = -70.0, -10.0
OFFSET = -0.691
"""Offset of the standard in LUFS: compensates the gain of the K-weighting at 997 Hz."""
MOST_BOOST_DB = 12.0
"""Largest gain of :func:`match_gains` in dB, so that a nearly silent estimate stays quiet."""

Biquad = tuple[list[float], list[float]]


def _shelf(rate: int) -> Biquad:
    """Stage 1, the acoustic effect of the head: a shelf of +4 dB above about 1.7 kHz.

    Bilinear transform ``s = (1 - z^-1) / (1 + z^-1) / k`` with ``k = tan(pi f0 / rate)`` of
    ``H(s) = (high s^2 + boost s / q + 1) / (s^2 + s / q + 1)``.
    """
    f0, gain_db, q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
    k, high = math.tan(math.pi * f0 / rate), 10 ** (gain_db / 20)
    boost = high**0.4996667741545416
    a0 = 1 + k / q + k * k
    b = [high + boost * k / q + k * k, 2 * (k * k - high), high - boost * k / q + k * k]
    return [x / a0 for x in b], [1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0]


def _high_pass(rate: int) -> Biquad:
    """Stage 2: second-order high-pass at 38 Hz, ``H(s) = s^2 / (s^2 + s / q + 1)``.

    The numerator is ``1 - 2 z^-1 + z^-2`` without the factor ``1 / a0``, as in the standard.
    """
    f0, q = 38.13547087602444, 0.5003270373238773
    k = math.tan(math.pi * f0 / rate)
    a0 = 1 + k / q + k * k
    return [1.0, -2.0, 1.0], [1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0]


def k_weighted(audio: Audio) -> NDArray[np.float64]:
    """``[channels, samples]`` after both stages."""
    from scipy.signal import sosfilt

    stages = [np.concatenate(stage) for stage in (_shelf(audio.rate), _high_pass(audio.rate))]
    filtered = np.empty(audio.samples.shape, np.float64)
    for channel, row in zip(
        audio.samples, filtered, strict=True
    ):  # a third faster than all channels together
        row[:] = sosfilt(stages, channel.astype(np.float64))
    return filtered


def loudness(audio: Audio) -> float:
    """Integrated loudness in LUFS, gated twice.

    The loudness of the mean power of the blocks above the relative gate, which is 10 LU below the
    loudness of the mean power of the blocks above the absolute gate.
    """
    power = _block_power(k_weighted(audio) ** 2, audio.rate)  # [blocks]
    if len(power) == 1:
        return _lufs(float(power[0]))
    loud = power[_lufs_of(power) > ABSOLUTE_GATE]
    if not len(loud):
        return -math.inf
    threshold = _lufs(float(loud.mean())) + RELATIVE_GATE
    return _lufs(float(loud[_lufs_of(loud) > threshold].mean()))


def _block_power(squared: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """Mean square of each block, summed over channels: ``[channels, samples] -> [blocks]``."""
    block, length = round(BLOCK_S * rate), squared.shape[1]
    if length < block:
        whole: NDArray[np.float64] = squared.mean(1).sum(keepdims=True)
        return whole
    step = round(BLOCK_S * (1 - OVERLAP) * rate)
    # Energy up to each sample [samples + 1]: the energy of a block is one difference.
    running = np.concatenate([[0.0], np.cumsum(squared.sum(0))])
    starts = np.arange(0, length - block + 1, step)
    power: NDArray[np.float64] = (running[starts + block] - running[starts]) / block
    floored: NDArray[np.float64] = np.maximum(power, 0.0)  # cumulative sums round below zero
    return floored


def _lufs(power: float) -> float:
    return OFFSET + 10 * math.log10(power) if power > 0 else -math.inf


def _lufs_of(power: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        levels: NDArray[np.float64] = OFFSET + 10 * np.log10(power)
    return levels


def match_gains(
    signals: Mapping[str, Audio],
    anchor: str,
    spread: Callable[..., Iterator[float]] = map,
    known: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Gains in dB that match the loudness of every signal to that of ``signals[anchor]``.

    If a matched peak would exceed full scale, all gains are reduced equally. A silent signal gets
    only this common gain; so do all signals if the anchor is silent. ``spread`` maps over the
    signals: ``map``, or ``map`` of a thread pool. ``known``: loudness values that are already
    measured.
    """
    levels = dict(known or {})
    unknown = [name for name in signals if name not in levels]
    levels |= zip(unknown, spread(loudness, [signals[name] for name in unknown]), strict=True)
    target = levels[anchor]
    gains = {name: _gain(target, levels[name]) for name in signals}
    peaks = [
        float(max(audio.samples.max(), -audio.samples.min())) * 10 ** (gains[name] / 20)
        for name, audio in signals.items()
    ]
    headroom = -20 * math.log10(max([1.0, *peaks]))
    return {name: gain + headroom for name, gain in gains.items()}


def _gain(target: float, level: float) -> float:
    """Gain in dB from a loudness to the target; 0 if one of them is silent."""
    audible = math.isfinite(target) and math.isfinite(level)
    return min(target - level, MOST_BOOST_DB) if audible else 0.0
