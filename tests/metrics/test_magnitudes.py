"""Sums over STFT magnitudes against torch in double precision."""

from __future__ import annotations

import numpy as np
import pytest

from benchsep.metrics.magnitudes import magnitude_products


def by_torch(first: np.ndarray, second: np.ndarray, size: int, hop: int) -> list[float]:
    import torch

    x, y = (
        torch.stft(
            torch.from_numpy(signal).double(),
            size,
            hop,
            window=torch.hann_window(size, dtype=torch.float64),
            pad_mode="constant",
            return_complex=True,
        ).abs()
        for signal in (first, second)
    )
    return [float((a * b).sum()) for a, b in ((x, x), (y, y), (x, y))]


@pytest.mark.parametrize("frames", [1, 100, 511, 512, 8191, 8192, 70_001])
@pytest.mark.parametrize(("size", "hop"), [(2048, 512), (256, 128)])
def test_the_sums_are_those_of_torch(frames, size, hop) -> None:
    first, second = np.random.default_rng(frames).standard_normal((2, frames)).astype(np.float32)
    found = magnitude_products(first, np.float32(0.01) * second, size, hop)
    expected = by_torch(first, np.float32(0.01) * second, size, hop)
    assert found == pytest.approx(expected, rel=1e-6)


def test_equal_signals_have_equal_sums() -> None:
    signal = np.random.default_rng(0).standard_normal(30_000).astype(np.float32)
    first, second, both = magnitude_products(signal, signal.copy(), 2048, 512)
    assert first == second == both
