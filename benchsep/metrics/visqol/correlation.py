"""Cross-correlation of two long signals in single precision, by four interleaved transforms.

scipy transforms several signals at once in the lanes of a vector register, and one long signal
with one lane. A signal of ``4 n`` points is therefore read as four of ``n``,
``x_j(q) = x(4 q + j)``, whose transforms are combined as in a fast Fourier transform's last step,
multiplied, and taken apart again, in one pass over the frequencies. Half the time of one long
transform.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchsep.metrics.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

PARTS = 4
STEP = 256
"""Twiddle factors come from two tables: multiples of this, and those between."""


def fast_points(points: int) -> int:
    """The least length from ``points`` on that :func:`correlate` takes and that is quick."""
    from scipy.fft import next_fast_len

    return PARTS * int(next_fast_len(-(-points // PARTS), real=True))


def correlate(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """Circular correlation ``c(lag) = sum_t first(t + lag) second(t)`` of equal lengths.

    The length is one of :func:`fast_points`; the inputs are overwritten.
    """
    from scipy.fft import irfft, rfft

    n = len(first) // PARTS
    ours, theirs = (
        rfft(x.reshape(n, PARTS), axis=0, overwrite_x=True) for x in (first, second)
    )  # [n / 2 + 1, 4]
    between, multiples = _twiddles(len(first), len(ours))
    _multiply(ours, theirs, between, multiples)
    out: Any = irfft(ours, n, axis=0, overwrite_x=True)
    return np.asarray(out.reshape(-1))


def _twiddles(points: int, bins: int) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """``exp(-2 pi i k / points)`` for ``k`` up to STEP, and for multiples of STEP to ``bins``."""
    unit = -2j * np.pi / points
    return np.exp(unit * np.arange(STEP)), np.exp(unit * STEP * np.arange(bins // STEP + 1))


@kernel
def _multiply(
    ours: NDArray[np.complex64],
    theirs: NDArray[np.complex64],
    between: NDArray[np.complex128],
    multiples: NDArray[np.complex128],
) -> None:
    """``ours`` becomes the four transforms of the correlation.

    With ``X_j(k)`` the transforms of the parts and ``w = exp(-2 pi i k / 4n)``, the whole signal's
    transform at ``k + m n`` is ``sum_j w^j (-i)^(j m) X_j(k)``, and back by the conjugate.
    """
    for k in range(ours.shape[0]):
        w1 = np.complex64(multiples[k // STEP] * between[k % STEP])
        w2 = w1 * w1
        w3 = w2 * w1
        a0, a1, a2, a3 = _four(ours[k, 0], w1 * ours[k, 1], w2 * ours[k, 2], w3 * ours[k, 3])
        b0, b1, b2, b3 = _four(
            theirs[k, 0], w1 * theirs[k, 1], w2 * theirs[k, 2], w3 * theirs[k, 3]
        )
        # Of conjugates the same four sums are the inverse's, conjugated.
        c0, c1, c2, c3 = _four(
            np.conj(a0) * b0, np.conj(a1) * b1, np.conj(a2) * b2, np.conj(a3) * b3
        )
        quarter = np.float32(0.25)
        ours[k, 0] = np.conj(c0) * quarter
        ours[k, 1] = np.conj(w1 * c1) * quarter
        ours[k, 2] = np.conj(w2 * c2) * quarter
        ours[k, 3] = np.conj(w3 * c3) * quarter


@kernel
def _four(
    x0: np.complex64, x1: np.complex64, x2: np.complex64, x3: np.complex64
) -> tuple[np.complex64, np.complex64, np.complex64, np.complex64]:
    """The transform of four numbers."""
    even, odd = x0 + x2, x1 + x3
    gap, other = x0 - x2, x1 - x3
    turned = np.complex64(complex(other.imag, -other.real))  # -i * other
    return even + odd, gap + turned, even - odd, gap - turned
