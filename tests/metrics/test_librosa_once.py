"""The first import of librosa by several processes at once leaves code that works."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from benchsep.metrics.mel import mel_filters

USE = """
from benchsep.metrics.librosa_once import import_librosa
import numpy as np
librosa = import_librosa()
picked = librosa.util.peak_pick(
    np.array([0, 1, 0, 0, 2, 0], np.float32),
    pre_max=1, post_max=1, pre_avg=1, post_avg=1, delta=0.1, wait=0,
)
print(picked.tolist())
"""


def test_processes_that_start_together_all_get_working_ufuncs(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    together = [
        subprocess.Popen([sys.executable, "-c", USE], stdout=subprocess.PIPE) for _ in range(2)
    ]
    assert [p.communicate()[0] for p in together] == [b"[1, 4]\n"] * 2
    later = subprocess.run([sys.executable, "-c", USE], capture_output=True, check=True)
    assert later.stdout == b"[1, 4]\n"


def test_filters_cover_the_spectrum_with_unit_area_bands():
    filters = mel_filters(44_100, 4096, 40)
    area = filters.sum(1) * 44_100 / 4096
    assert filters.shape == (40, 2049)
    assert area == pytest.approx(np.ones(40), abs=0.02)
