"""Filters and lanes against plain restatements."""

from __future__ import annotations

import numpy as np
import pytest

from benchsep.metrics.framing import interleave, write_filtered


@pytest.mark.parametrize("frames", [1, 100, 213, 328, 5000])
def test_a_filter_is_the_convolution_of_its_definition(frames):
    rng = np.random.default_rng(frames)
    signal, taps = rng.standard_normal(frames), rng.standard_normal(101)
    found = np.empty(frames, np.float32)
    write_filtered(signal.astype(np.float32), taps.astype(np.float32), found)
    expected = np.convolve(signal, taps)[50 : 50 + frames]
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("count", [1, 2, 4, 16])
@pytest.mark.parametrize(
    ("first", "step"), [(40, 120), (0, 7), (900, 30), (2000, 1), (-100, 120), (-70, 3), (-400, 9)]
)
def test_a_lane_holds_a_segment_and_zeros_beyond_the_ends(count, first, step):
    signals = np.random.default_rng(0).standard_normal((count, 1000)).astype(np.float32)
    lanes = np.full((150, 16), np.nan, np.float32)
    interleave(signals, first, step, lanes)
    before = 400
    padded = np.pad(signals, ((0, 0), (before, 4000)))
    segments = 16 // count
    for lane in range(16):
        start = before + first + lane % segments * step
        np.testing.assert_array_equal(lanes[:, lane], padded[lane // segments, start : start + 150])
