"""By how many samples the estimate lags, and slices that are aligned to each other.

Conventions
-----------
signal     float32 or float64 ``[samples]``
lag        samples by which the estimate must be moved later to meet the reference; below zero
           its beginning is cut off

The lag is where the cross-correlation of the two *envelopes* is highest, over all lags. What
google/visqol calls the envelope is not that of the Hilbert transform, although the code sets out
to compute it: the inverse transform keeps the real part alone, so that twice the centred signal
is rectified, less its component at the Nyquist frequency of the padded transform (``envelope.cc``,
``fast_fourier_transform.cc``). The published model's numbers come from that envelope, so it is
the default here. ``visqol-python`` uses the true one (:data:`HILBERT`) and differs from Google's
program by it, by up to 0.008 MOS on music; see ``docs/metrics/visqol.md``.

Google transforms in single precision; here double decides, so that a lag is the same on every
machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Signal = NDArray[np.floating[Any]]

Envelope = Literal["google", "hilbert"]
GOOGLE: Envelope = "google"
HILBERT: Envelope = "hilbert"


def envelope(signal: Signal, kind: Envelope = GOOGLE) -> NDArray[np.float64]:
    """The envelope ``[samples]`` that lags are measured on."""
    values = np.asarray(signal, dtype=np.float64)
    mean = float(values.mean())
    centred = values - mean
    if kind == HILBERT:
        from scipy.signal import hilbert

        return np.abs(hilbert(centred)) + mean
    length = len(centred)
    padded = max(32, 1 << (length - 1).bit_length())
    alternating = centred[::2].sum() - centred[1::2].sum()
    ripple = alternating * (1.0 if length == padded else 2.0) / padded
    centred *= 2.0
    centred -= centred.mean() * length / (2 * padded)
    centred[::2] -= ripple
    centred[1::2] += ripple
    np.abs(centred, out=centred)
    centred += mean
    return centred


def best_lag(reference: NDArray[np.float64], estimate: NDArray[np.float64]) -> int:
    """The lag of the highest cross-correlation; of equal ones the lowest lag."""
    from scipy.fft import irfft, next_fast_len, rfft

    longest = max(len(reference), len(estimate))
    points = next_fast_len(2 * longest - 1, real=True)
    product = rfft(estimate, points)
    np.conjugate(product, out=product)
    product *= rfft(reference, points)
    correlation = irfft(product, points)
    later, earlier = correlation[:longest], correlation[points - longest + 1 :]
    at_later = int(np.argmax(later))
    if len(earlier) == 0:
        return at_later
    at_earlier = int(np.argmax(earlier))
    if earlier[at_earlier] >= later[at_later]:
        return at_earlier - len(earlier)
    return at_later


def usable_lag(reference: Signal, estimate: Signal, kind: Envelope = GOOGLE) -> int:
    """The best lag, or zero when it exceeds half the reference."""
    lag = best_lag(envelope(reference, kind), envelope(estimate, kind))
    return 0 if abs(lag) > len(reference) / 2 else lag


def moved(estimate: Signal, lag: int) -> Signal:
    """The estimate behind ``lag`` zeros, or without its first ``-lag`` samples."""
    if lag < 0:
        return estimate[-lag:]
    return np.concatenate([np.zeros(lag, dtype=estimate.dtype), estimate]) if lag else estimate
