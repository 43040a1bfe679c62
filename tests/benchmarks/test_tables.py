"""Tables of the benchmarks: sums of growth, kinds of work of a profile."""

from __future__ import annotations

import pytest

from benchmarks import growth, run_profile
from benchsep.metrics import framing
from benchsep.metrics.bsseval import gram


def test_a_row_of_growth_has_the_sum_of_all_metrics_and_no_memory_in_it():
    rows = [{"n": 7, "usdr": 0.25, "nisqa": 1.5, "peak MB": 900.0}]
    last = growth.table("With songs", "song", rows).splitlines()[-1]
    assert last == "| 7 | 1.75 | 0.25 | 1.50 | 900 |"


@pytest.mark.parametrize(
    ("file", "name", "kind"),
    [
        ("~", "<built-in method scipy.fft._pocketfft.pypocketfft.r2c>", "transforms"),
        ("~", "<built-in method torch._C._fft.fft_rfft>", "transforms"),
        ("~", "<built-in method numpy.zeros>", "NumPy's functions"),
        (framing.__file__, "_filter", "compiled kernels"),
        (gram.__file__, "_gram_matrix", "functions of the metrics: operators on arrays"),
        ("/usr/lib/python3/json/encoder.py", "iterencode", "all other Python"),
    ],
)
def test_each_function_of_a_profile_is_one_kind_of_work(file, name, kind):
    assert run_profile.kind_of(file, name) == kind
