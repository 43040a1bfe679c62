"""The gammatone spectrogram: the level of each of 32 bands in each 80 ms window.

Conventions
-----------
signal       float32 ``[samples]`` at 48 kHz, mono
window       3840 samples (80 ms), symmetric Hann; hop 960 samples (20 ms)
levels       float64 ``[bands, frames]``, RMS of the band in the window; band 0 is the lowest
             (50 Hz), band 31 the highest

The filters are reset before each window, so a window's level depends only on its 3840 samples:
:func:`levels_at` computes windows at any start.

Source: M. Slaney, "An Efficient Implementation of the Patterson-Holdsworth Auditory Filter
Bank", Apple TR 35 (1993), as in google/visqol 3.3.3 (``equivalent_rectangular_bandwidth.cc``,
``gammatone_filterbank.cc``, ``gammatone_spectrogram_builder.cc``).

Cost: a fourth-order gammatone is four biquads, each with its last numerator coefficient zero. With
the gain outside of the loop, a sample takes 13 multiply-adds per band. The bands are lanes of
vector registers, and the filtered signal is never stored.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from benchsep.metrics.jit import kernel
from benchsep.metrics.visqol.lanes import (
    LANES,
    constant,
    everywhere,
    load,
    multiply_add,
    store,
)
from benchsep.metrics.words import counted, data, number

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE = 48_000
BANDS = 32
WINDOW = 3840
HOP = 960
REST = 3
"""Iterations after a window's last sample until it reaches the last of four stages."""
LOWEST_HZ = 50.0

EAR_Q, MINIMUM_BANDWIDTH = 9.26449, 24.7
"""Glasberg and Moore's parameters of the equivalent rectangular bandwidth."""


def frame_count(samples: int) -> int:
    """Number of windows in a signal; zero if it is not longer than one window."""
    return 1 + (samples - WINDOW) // HOP if samples > WINDOW else 0


def centre_frequencies() -> NDArray[np.float64]:
    """Band centres in Hz, ``[bands]``, lowest first: equal steps on the ERB scale to 24 kHz."""
    offset, top = EAR_Q * MINIMUM_BANDWIDTH, RATE / 2.0
    step = (np.log(LOWEST_HZ + offset) - np.log(top + offset)) / BANDS
    descending = -offset + np.exp(np.arange(1, BANDS + 1) * step) * (top + offset)
    return np.ascontiguousarray(descending[::-1])


def filter_coefficients() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Slaney's filters, rearranged for the kernel.

    Returns
    -------
    coefficients
        ``[6, bands]``: the zeros ``b1`` of the four stages (``b0`` is one), then ``-a1``, ``-a2``.
    gain
        ``[bands]``: gain of the cascade's output.
    """
    # A gammatone t^3 exp(-2 pi b t) cos(2 pi f t) has a fourfold pair of poles
    # exp(-bandwidth T +- i angle); Slaney writes it as four biquads with those poles and one zero
    # each, at -b1 = (cos +- sqrt(3 +- 2^1.5) sin) / decay. All four share a1 and a2:
    #     H_k(z) = (1 + b1_k z^-1) / (1 + a1 z^-1 + a2 z^-2)
    period = 1.0 / RATE
    centre = centre_frequencies()
    bandwidth = 1.019 * 2 * np.pi * (centre / EAR_Q + MINIMUM_BANDWIDTH)
    angle = 2 * centre * np.pi * period
    decay = np.exp(bandwidth * period)
    cosine, sine = np.cos(angle), np.sin(angle)
    inner, outer = np.sqrt(3 - 2**1.5), np.sqrt(3 + 2**1.5)
    zeros = [-(cosine + s * sine) / decay for s in (outer, -outer, inner, -inner)]

    # The gain is one over the cascade's magnitude at the band's centre, z = exp(i angle).
    turn = np.exp(2j * angle)
    near, far = -2 * turn * period, 2 * np.exp(-bandwidth * period + 1j * angle) * period
    poles = -2 / np.exp(2 * bandwidth * period) - 2 * turn + 2 * (1 + turn) / decay
    peak = np.ones(BANDS, dtype=complex)
    for s in (-inner, inner, -outer, outer):
        peak = peak * (near + far * (cosine + s * sine)) / poles
    minus_a1, minus_a2 = 2 * cosine / decay, -np.exp(-2 * bandwidth * period)
    return np.array([*zeros, minus_a1, minus_a2]), period**4 / np.abs(peak)


@functools.cache
def _tables() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The Hann window; coefficients ``[groups, 6, lanes]``; the factor of each band's energy."""
    coefficients, gain = filter_coefficients()
    grouped = coefficients.reshape(6, BANDS // LANES, LANES).transpose(1, 0, 2)
    hann = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW) / (WINDOW - 1))
    return hann, np.ascontiguousarray(grouped), gain**2 / WINDOW


def levels_at(
    signal: NDArray[np.float32], starts: NDArray[np.int64], scale: float = 1.0
) -> NDArray[np.float64]:
    """Levels ``[bands, len(starts)]`` of the windows of ``scale * signal`` at ``starts``.

    Every window must lie within the signal.
    """
    hann, coefficients, factor = _tables()
    if len(starts) and (starts.min() < 0 or starts.max() + WINDOW > len(signal)):
        raise IndexError(f"a window reaches outside of the {len(signal)} samples")
    return _levels(signal, np.asarray(starts, dtype=np.int64), scale, hann, coefficients, factor)


def spectrogram(signal: NDArray[np.float32], scale: float = 1.0) -> NDArray[np.float64]:
    """Levels ``[bands, frames]`` of all windows that fit."""
    return levels_at(signal, HOP * np.arange(frame_count(len(signal)), dtype=np.int64), scale)


def _type_cascade(
    typing_context: Any, frame: Any, coefficients: Any, group: Any, energy: Any
) -> Any:
    """``energy[group * LANES :][:LANES]`` = energy of ``frame`` behind four biquads per lane.

    Written as vector instructions, because numba's compiler would keep the sixteen filter states in
    memory, which takes more than twice as long.
    """
    signature = types.void(frame, coefficients, group, energy)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _emit_cascade(builder, *data(context, builder, signature, arguments))
        return context.get_dummy_value()

    return signature, generate


_cascade: Any = intrinsic(_type_cascade)


def _emit_cascade(builder: Any, frame: Any, coefficients: Any, group: Any, energy: Any) -> None:
    """The loop over samples, as instructions.

    Each stage is a biquad in direct form, whose inputs are the outputs of the stage before::

        y(n) = x(n) + b1 x(n-1) - a2 y(n-2) - a1 y(n-1)

    so the states are two outputs of each stage, and a stage takes three instructions. The input of
    a stage is the output of the previous stage in the previous iteration, so stages do not wait for
    each other; the last stage ends :data:`REST` iterations after the first. Its output adds ``y^2``
    to the energy.
    """
    table = builder.gep(coefficients, [builder.mul(group, number(6 * LANES))])
    b1 = [_load_lanes(builder, table, row) for row in range(4)]
    minus_a1, minus_a2 = (_load_lanes(builder, table, row) for row in (4, 5))

    def sample(index: Any, states: list[Any]) -> list[Any]:
        # x(n-1), then y(n-1), y(n-2) of each stage, then the energy
        signal = everywhere(builder, builder.load(builder.gep(frame, [index])))
        grown, before = [signal], states[0]
        for stage in range(4):
            y1, y2 = states[2 * stage + 1], states[2 * stage + 2]
            driven = multiply_add(builder, b1[stage], before, signal)
            driven = multiply_add(builder, minus_a2, y2, driven)
            output = multiply_add(builder, minus_a1, y1, driven)
            grown += [output, y1]
            signal, before = y1, y2
        return [*grown, multiply_add(builder, output, output, states[9])]

    *_, total = counted(builder, number(WINDOW + REST), [constant(0.0)] * 10, sample)
    target = builder.gep(energy, [builder.mul(group, number(LANES))])
    store(builder, total, target)


def _load_lanes(builder: Any, table: Any, row: int) -> Any:
    return load(builder, builder.gep(table, [number(row * LANES)]))


@kernel
def _levels(
    signal: NDArray[np.float32],
    starts: NDArray[np.int64],
    scale: float,
    hann: NDArray[np.float64],
    coefficients: NDArray[np.float64],
    factor: NDArray[np.float64],
) -> NDArray[np.float64]:
    bands, count = factor.shape[0], starts.shape[0]
    levels = np.zeros((bands, count))
    frame = np.zeros(hann.shape[0] + REST)
    energy = np.empty(bands)
    for column in range(count):
        start = starts[column]
        loudest = 0.0
        for n in range(hann.shape[0]):
            sample = np.float64(signal[start + n]) * scale * hann[n]
            frame[n] = sample
            loudest = max(loudest, abs(sample))
        if loudest == 0.0:
            continue
        for group in range(coefficients.shape[0]):
            _cascade(frame, coefficients, group, energy)
        for band in range(bands):
            levels[band, column] = np.sqrt(energy[band] * factor[band])
    return levels
