"""The gains at which sources are found in an estimate, from powers in bands.

Conventions
-----------
powers     float64 ``[points]``: a value for each band and frame, in any order that all share
gains      factors of power, not of amplitude; never negative
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Powers = NDArray[np.float64]

ROUNDS = 8
"""Iterations of the fit; the gains converge after four or five."""
POINTS = 8192
"""Points per block; all rows of a block fit into the second-level cache."""
LEAST = 1e-9
"""Points whose power is below this share of the largest one are left out."""


def bleed_gains(estimate: Powers, sources: list[Powers]) -> Powers:
    """Non-negative power gains ``[sources]`` of the sources in an estimate.

    Parameters
    ----------
    estimate
        Powers, of any shape.
    sources
        Powers of the references, each of the same shape; none is all zero.

    Notes
    -----
    With ``P_s(n)`` the power of source ``s`` at point ``n`` and a flat noise ``P_0 = 1``, the model
    is ``M(n) = sum_s g_s P_s(n)``, ``g_s >= 0``. The deviation of a power spectrum is proportional
    to its value, so the error is weighted with the inverse of the model::

        minimise  sum_n ( (E(n) - M(n)) / M'(n) )^2

    where ``M'`` is the model of the previous iteration (iteratively reweighted least squares); the
    first one is the sum of all sources and of the estimate. Small powers have the same influence as
    large ones: points with a single source determine its gain.
    """
    target = estimate.ravel()
    total = np.sum([s.ravel() for s in sources], axis=0) + target
    heard = total > total.max() * LEAST
    # The noise is scaled to the estimate's level, so that all gains have a similar magnitude.
    level = float(target[heard].mean())
    rows = np.stack([*(s.ravel()[heard] for s in sources), target[heard]])  # [S + 1, N]
    least = max(level, 1e-30) * 1e-6
    gains = np.zeros(len(sources) + 1)
    for turn in range(ROUNDS):
        # The first model is the sum of all rows, estimate included, and has no noise.
        mix = np.append(gains[:-1], 0.0) if turn else np.ones(len(rows))
        noise = gains[-1] * level if turn else 0.0
        gains = _solved(_sums(rows, level, mix, noise + least))
    return np.asarray(gains[:-1], dtype=np.float64)


def _sums(rows: Powers, level: float, mix: Powers, offset: float) -> Powers:
    """``A [A; e]^T``, ``[S + 1, S + 2]``, for sources and noise ``A`` and the estimate ``e``.

    All are divided by the model ``mix @ rows + offset``.
    """
    from benchsep.metrics.sums import add_products, added, alike, no_products

    room = np.empty((len(rows) + 1, POINTS))
    views = alike(list(room))
    total = no_products(views[:-1], views)
    for first in range(0, rows.shape[1], POINTS):
        block = rows[:, first : first + POINTS]  # [S + 1, points]
        out = room[:, : block.shape[1]]
        signals = views if block.shape[1] == POINTS else alike(list(out))
        inverse = 1.0 / (mix @ block + offset)
        np.multiply(block[:-1], inverse, out=out[:-2])
        np.multiply(inverse, level, out=out[-2])
        np.multiply(block[-1], inverse, out=out[-1])
        add_products(signals[:-1], signals, total)
    return added(total)


def _solved(sums: Powers) -> Powers:
    """The non-negative solution of normal equations, matrix and right side in one array."""
    from scipy.optimize import nnls

    gram, right = sums[:, :-1], sums[:, -1]  # [S + 1, S + 1], [S + 1]
    norms = np.sqrt(np.diag(gram))  # unit rows: the condition does not depend on their levels
    gram, right = gram / np.outer(norms, norms), right / norms
    # nnls takes a matrix and not its normal equations. With L L^T = A A^T the problem
    # |L^T g - L^-1 right| has the same ones, and S + 1 rows in place of N.
    root = np.linalg.cholesky(gram + np.eye(len(gram)) * 1e-12)
    found: Powers = nnls(root.T, np.linalg.solve(root, right))[0] / norms
    return found
