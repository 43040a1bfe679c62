"""BSSEval v4 with torch on a device: the algorithm of :mod:`~benchsep.metrics.bsseval.engine`.

Conventions
-----------
arrays     float64 and complex128 on the device. Signals are vectors ``[frames]`` in host memory and
           are copied in blocks, so that device memory does not grow with the song
memory     the Gram matrix of all ``K`` channels and its factor, ``(512 K)^2`` numbers each (134 MB
           for four stereo stems), and blocks of at most :data:`BLOCKS` and :data:`WINDOWS`
conditions condition numbers are estimated by LAPACK on the host, as in the CPU engine, because a
status depends on them

The precomputed references stay on the device while the track is scored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.metrics.bsseval.engine import (
    TAPS,
    Parts,
    audible_stems,
    fast_length,
    is_silent,
    silent_windows,
    windows,
)
from benchsep.metrics.bsseval.gram import FFT, Gram, gram, independent_rows
from benchsep.metrics.bsseval.products import ENERGIES
from benchsep.metrics.device import uploaded
from benchsep.metrics.levels import ratio_db

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchsep.metrics.metric import References

    Real = NDArray[np.float64]

BLOCKS = 16
"""Blocks of :data:`~benchsep.metrics.bsseval.gram.FFT` samples that are correlated at once."""
WINDOWS = 8
"""Windows per block."""


def lagged_correlations(x: list[Any], y: list[Any], lags: int, device: Any) -> Any:
    """As :func:`benchsep.metrics.bsseval.gram.lagged_correlations`: ``[x, y, 2 * lags - 1]``."""
    import torch

    frames, reach = len(x[0]), lags - 1
    step = FFT - 2 * reach
    count = -(-frames // step)
    shape = (len(x), len(y), FFT // 2 + 1)
    total = torch.zeros(shape, dtype=torch.complex128, device=device)
    for first in range(0, count, BLOCKS):
        now = min(BLOCKS, count - first)
        start, length = first * step, now * step
        # A block of x, and the part of y within the lags.
        near = uploaded(x, start, length, device).unfold(1, step, step)  # [x, now, step]
        far = uploaded(y, start - reach, length + 2 * reach, device).unfold(1, FFT, step)
        ours, theirs = torch.fft.rfft(near, FFT), torch.fft.rfft(far)  # [rows, now, bins]
        total += torch.einsum("inb,jnb->ijb", ours.conj(), theirs)
    return torch.fft.irfft(total, FFT)[..., : 2 * lags - 1]


# --- what depends on the references alone ---------------------------------------------------------


@dataclass
class DeviceGram:
    """A Gram matrix and its Cholesky factor on the device."""

    rows: tuple[int, ...]
    scale: Any
    factor: Any
    condition: float

    def solve(self, right: Any) -> Any:
        """Filters ``[rows * taps, n]`` for correlations ``[rows * taps, n]``."""
        import torch

        return torch.cholesky_solve(right * self.scale[:, None], self.factor) * self.scale[:, None]


@dataclass
class HostGram:
    """A matrix that rounding has made indefinite; solved on the host, as in the CPU engine."""

    gram: Gram
    device: Any

    @property
    def rows(self) -> tuple[int, ...]:
        return self.gram.rows

    @property
    def condition(self) -> float:
        return self.gram.condition

    def solve(self, right: Any) -> Any:
        """As :meth:`DeviceGram.solve`."""
        import torch

        return torch.from_numpy(self.gram.solve(right.cpu().numpy())).to(self.device)


def device_gram(corr: Any, rows: tuple[int, ...], taps: int) -> DeviceGram | HostGram:
    """As :func:`benchsep.metrics.bsseval.gram.gram`, of correlations on a device."""
    import torch
    from scipy.linalg import lapack

    matrix, scale = _gram_matrix(corr, rows, taps)
    norm = float(torch.linalg.vector_norm(matrix, 1, dim=0).max())
    factor, info = torch.linalg.cholesky_ex(matrix)
    if int(info):
        del matrix, factor
        return HostGram(gram(corr.cpu().numpy(), rows, taps), corr.device)
    rcond, _ = lapack.dpocon(factor.cpu().numpy(), norm, uplo="L")
    return DeviceGram(rows, scale, factor, 1.0 / rcond if rcond > 0 else np.inf)


def _gram_matrix(corr: Any, rows: tuple[int, ...], taps: int) -> tuple[Any, Any]:
    """The block-Toeplitz matrix with unit diagonal, and its scaling: see the CPU engine's."""
    import torch

    chosen = list(rows)
    energy = corr[chosen, chosen, taps - 1] + np.finfo(float).eps
    norms = energy.sqrt()
    weighted = corr[chosen][:, chosen] / (norms[:, None] * norms)[..., None]  # [R, R, lags]
    same = torch.arange(len(rows), device=corr.device)
    weighted[same, same, taps - 1] = 1.0
    # Block (i, j) has the correlation at lag a - b at [a, b]: row a of it are the reversed
    # correlations from place taps - 1 - a on.
    places = weighted.flip(-1).unfold(-1, taps, 1)  # [R, R, place, b], a view
    matrix = places.permute(0, 2, 1, 3).flip(1).reshape(len(rows) * taps, -1)
    return matrix, (1.0 / norms).repeat_interleave(taps)


@dataclass
class DeviceSpan:
    """The span of delayed references, as :class:`benchsep.metrics.bsseval.engine.Span`."""

    signals: list[Any]
    channels: int
    whole: DeviceGram | HostGram
    own: tuple[DeviceGram | HostGram, ...]
    device: Any

    @classmethod
    def of(cls, signals: list[Any], channels: int, device: Any) -> DeviceSpan:
        corr = lagged_correlations(signals, signals, TAPS, device)
        blocks = [range(k, k + channels) for k in range(0, len(signals), channels)]
        own = tuple(device_gram(corr, independent_rows(signals, block), TAPS) for block in blocks)
        whole = device_gram(corr, independent_rows(signals, range(len(signals))), TAPS)
        return cls(signals, channels, whole, own, device)

    def rows(self, source: int) -> slice:
        """The rows of one source in the stacked channels."""
        return slice(source * self.channels, (source + 1) * self.channels)


@dataclass
class DeviceBasis:
    """The references of one track, as :class:`benchsep.metrics.bsseval.engine.Basis`."""

    stems: tuple[str, ...]
    span: DeviceSpan
    rate: int
    silent: NDArray[np.bool_]

    @classmethod
    def of(cls, references: References, device: Any) -> DeviceBasis | None:
        """From the references; ``None`` when every stem is silent."""
        audible = audible_stems(references)
        if not audible:
            return None
        first = next(iter(audible.values()))
        signals = [channel for audio in audible.values() for channel in audio.samples]
        span = DeviceSpan.of(signals, first.channels, device)
        return cls(tuple(audible), span, first.rate, silent_windows(audible))


# --- the estimates of one system ------------------------------------------------------------------


def frame_scores(basis: DeviceBasis, estimates: dict[str, NDArray[np.float32]]) -> dict[str, Real]:
    """As :func:`benchsep.metrics.bsseval.engine.frame_scores`: stem -> ``[4, windows]``."""
    slices = windows(len(basis.span.signals[0]), basis.rate)
    scores = {stem: np.full((4, len(slices)), np.nan) for stem in estimates}
    scored = [
        t
        for t, cut in enumerate(slices)
        if not basis.silent[t] and not any(is_silent(e[:, cut]) for e in estimates.values())
    ]
    if not scored:
        return scores
    pairs = {stem: (basis.stems.index(stem), i) for i, stem in enumerate(estimates)}
    rows = [row for samples in estimates.values() for row in samples]
    filtered = _Filtered.of(basis.span, rows, pairs, slices[0].stop - slices[0].start)
    for first in range(0, len(scored), WINDOWS):
        now = scored[first : first + WINDOWS]
        for stem, found in filtered.energies([slices[t].start for t in now]):
            for t, (error, *energies) in zip(now, found, strict=True):
                part = Parts(*energies)
                sdr = ratio_db(part.target, error)
                scores[stem][:, t] = sdr, part.isr, part.sir, part.sar
    return scores


@dataclass
class _Filtered:
    """The spectra of a track's filters, and their application to windows."""

    span: DeviceSpan
    estimates: list[Any]
    pairs: dict[str, tuple[int, int]]
    """Stem to its index in the references and its index in the estimates."""
    frames: int
    """Samples of a window."""
    length: int
    """Points of the transforms; large enough that a filtered window does not wrap around."""
    own: dict[str, Any]
    """``[own rows, channels, bins]``."""
    whole: Any
    """``[rows, channels of all estimates, bins]``."""

    @classmethod
    def of(
        cls, span: DeviceSpan, estimates: list[Any], pairs: dict[str, tuple[int, int]], frames: int
    ) -> _Filtered:
        import torch

        # sides[i, c, a] = sum_t x_i(t - a) y_c(t)
        sides = lagged_correlations(span.signals, estimates, TAPS, span.device)[..., TAPS - 1 :]
        length = fast_length(frames + TAPS - 1)
        own = {
            stem: torch.fft.rfft(_filters(span.own[source], sides[:, span.rows(number)]), length)
            for stem, (source, number) in pairs.items()
        }
        whole = torch.fft.rfft(_filters(span.whole, sides), length)
        return cls(span, estimates, pairs, frames, length, own, whole)

    def energies(self, starts: list[int]) -> Iterator[tuple[str, list[list[float]]]]:
        """Each stem with, for each window, ``|s - e|^2`` and the fields of ``Parts``."""
        import torch

        truth, heard = self._cut(self.span.signals, starts), self._cut(self.estimates, starts)
        x, y = self._spectra(truth), self._spectra(heard)  # [channels, windows, bins]
        projected = torch.einsum("rwb,reb->ewb", x[list(self.span.whole.rows)], self.whole)
        for stem, (source, number) in self.pairs.items():
            ours, theirs = self.span.rows(source), self.span.rows(number)
            rows = list(self.span.own[source].rows)
            p = torch.einsum("rwb,rcb->cwb", x[rows], self.own[stem])
            s, e, q = x[ours], y[theirs], projected[theirs]
            # By Parseval; a half spectrum holds each bin's mirror too.
            sums = [_energy(part) for part in (s, p - s, p, q - p, q, e - q, e - p)]
            assert len(sums) == ENERGIES
            error = (truth[ours] - heard[theirs]).square().sum((0, 2))
            found = torch.stack([error, *(2 / self.length * part for part in sums)], 1)
            yield stem, found.tolist()

    def _cut(self, signals: list[Any], starts: list[int]) -> Any:
        """``[channels, windows, frames]``."""
        import torch

        cuts = [uploaded(signals, start, self.frames, self.span.device) for start in starts]
        return torch.stack(cuts, 1)

    def _spectra(self, samples: Any) -> Any:
        """Spectra; the bins at zero and at the Nyquist frequency, which have no mirror, are scaled
        to half power.
        """
        import torch

        found = torch.fft.rfft(samples, self.length)
        found[..., 0] *= np.sqrt(0.5)
        if self.length % 2 == 0:
            found[..., -1] *= np.sqrt(0.5)
        return found


def _energy(spectra: Any) -> Any:
    """``[windows]`` of ``[channels, windows, bins]``."""
    import torch

    return torch.view_as_real(spectra).square().sum((0, 2, 3))


def _filters(matrix: DeviceGram | HostGram, sides: Any) -> Any:
    """``[rows of the matrix, channels, taps]`` that solve for ``sides`` ``[K, channels, taps]``."""
    rows, taps = len(matrix.rows), sides.shape[2]
    right = sides[list(matrix.rows)].transpose(1, 2).reshape(rows * taps, -1)
    return matrix.solve(right).reshape(rows, taps, -1).transpose(1, 2)
