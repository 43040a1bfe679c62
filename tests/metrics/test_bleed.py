"""The fit of source powers to an estimate, and energies of hops, against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest

from benchsep.metrics.bleed import POINTS, bleed_gains
from benchsep.metrics.hops import hop_energies


def powers(sources: int, points: int) -> list[np.ndarray]:
    """Powers of independent noise at levels that change by 60 dB from point to point."""
    rng = np.random.default_rng(points)
    levels = 10.0 ** rng.uniform(-6, 0, (sources, points))
    return list(levels * rng.exponential(size=(sources, points)))


@pytest.mark.parametrize("points", [100, POINTS, 2 * POINTS + 77])
def test_gains_of_an_exact_sum_are_found(points):
    sources = powers(3, points)
    gains = np.array([0.8, 1e-3, 0.0])
    found = bleed_gains(gains @ sources + 1e-5, sources)
    assert found == pytest.approx(gains, abs=1e-9)


def test_the_fit_is_stationary():
    """At the end, the gains are the weighted least squares of their own model."""
    from scipy.optimize import nnls

    sources = powers(2, 3000)
    estimate = 0.5 * sources[0] * np.random.default_rng(1).gamma(4, 0.25, 3000) + 0.1 * sources[1]
    found = bleed_gains(estimate, sources)
    heard = np.sum(sources, 0) + estimate > (np.sum(sources, 0) + estimate).max() * 1e-9
    level = estimate[heard].mean()
    rows = np.stack([*sources, np.full(3000, level)])[:, heard]
    noise = 0.0
    for _ in range(30):  # the gain of the noise is not returned
        model = np.append(found, noise) @ rows + level * 1e-6
        again = nnls((rows / model).T, estimate[heard] / model)[0]
        noise = again[-1]
    assert again[:-1] == pytest.approx(found, rel=1e-3)


@pytest.mark.parametrize("frames", [1, 511, 512, 513, 5000])
def test_energies_of_hops(frames):
    samples = np.random.default_rng(0).standard_normal((2, frames)).astype(np.float32)
    padded = np.pad(samples.astype(float), ((0, 0), (0, -frames % 512)))
    expected = (padded.reshape(2, -1, 512) ** 2).sum((0, 2))
    assert hop_energies(samples, 512) == pytest.approx(expected, rel=1e-12)
