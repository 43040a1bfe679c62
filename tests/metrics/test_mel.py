"""Mel filters against librosa's."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from benchsep.metrics.mel import mel_filters


@pytest.mark.filterwarnings("ignore:Empty filters")
@pytest.mark.parametrize(
    ("rate", "size", "bands", "top"),
    [
        (16_000, 321, 120, None),
        (48_000, 4096, 48, 20_000.0),
        (44_100, 4096, 229, None),
        (8_000, 256, 3, 900.0),
    ],
)
def test_filters_are_those_of_librosa(rate, size, bands, top):
    librosa = pytest.importorskip("librosa")
    expected = librosa.filters.mel(sr=rate, n_fft=size, n_mels=bands, fmax=top)
    found = mel_filters(rate, size, bands, top)
    assert found.dtype == expected.dtype == np.float32
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_filters_cover_the_spectrum_with_unit_area_bands():
    filters = mel_filters(44_100, 4096, 40)
    area = filters.sum(1) * 44_100 / 4096
    assert filters.shape == (40, 2049)
    assert area == pytest.approx(np.ones(40), abs=0.02)


def test_no_metric_of_the_default_suite_loads_librosa_or_torchmetrics():
    """They would cost each worker three CPU seconds."""
    code = """
import sys
import numpy as np
from benchsep.audio import Audio
from benchsep.metrics.catalog import default_metrics, get_metric
from benchsep.metrics.metric import References
noise = np.random.default_rng(0).standard_normal((2, 44_100)).astype(np.float32) / 8
stems = {"vocals": Audio(noise, 44_100), "drums": Audio(noise[::-1], 44_100)}
for metric in map(get_metric, default_metrics()):
    metric.score_track(References(stems), stems, ("vocals",))
print(*({"librosa", "torchmetrics", "transformers", "matplotlib", "pandas"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
