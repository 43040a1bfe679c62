"""The gate on work: counts of decodes, resamplings, transforms and network runs are as recorded."""

from __future__ import annotations

import json

import pytest


@pytest.fixture(scope="module")
def counted():
    from benchmarks import counted

    return counted


@pytest.fixture(scope="module")
def found(counted, tmp_path_factory):
    pytest.importorskip("speechmos", reason="DNSMOS is one of the metrics that are counted")
    return counted.count(tmp_path_factory.mktemp("counted"))


def test_the_work_is_what_was_recorded(counted, found):
    expected = json.loads(counted.RECORD.read_text(encoding="utf-8"))
    changed = {
        f"{metric}, {what}": (number, found[metric].get(what))
        for metric, counts in expected.items()
        for what, number in counts.items()
        if found[metric].get(what) != number
    }
    assert not changed, "a wanted change? python -m benchmarks.counted --write"
    assert {m: set(c) for m, c in found.items()} == {m: set(c) for m, c in expected.items()}


def test_each_file_is_decoded_once_and_a_reference_resampled_once(found):
    # Four true stems for both systems, and four estimates of each.
    assert found["all"]["decodes"] == 4 + 2 * 4
    assert found["visqol"]["resamples"] == 4 + 2 * 4
    assert found["all"]["resamples"] == found["visqol"]["resamples"] + found["dnsmos"]["resamples"]


def test_a_transform_too_many_is_seen(counted):
    import numpy as np
    import scipy.fft

    with counted.counting() as first:
        scipy.fft.rfft(np.ones(64))
    with counted.counting() as second:
        scipy.fft.rfft(np.ones(64))
        scipy.fft.irfft(np.ones(33), 64)
    assert first == {"transforms": 1, "points transformed": 66}
    assert second == {"transforms": 2, "points transformed": 66 + 64}
