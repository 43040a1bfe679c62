"""Kernels are compiled when they are called, and not before."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from benchsep.metrics.jit import Kernel, kernel

DESCRIBE = """
import sys
from benchsep import registry
from benchsep.metrics.catalog import get_metric
for name in registry.names("metric"):
    metric = get_metric(name)
    assert metric.values and metric.settings() is not None
print(*({"numba", "torch"} & set(sys.modules)))
"""


@kernel
def _double(x):
    return 2.0 * x


@kernel
def _sum_of_doubles(values):
    total = 0.0
    for n in range(values.shape[0]):
        total += _double(values[n])
    return total


def test_metrics_are_described_without_a_compiler():
    done = subprocess.run(
        [sys.executable, "-c", DESCRIBE], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == ""


def test_a_kernel_finds_the_kernels_of_its_module_in_any_thread():
    values = np.arange(5.0)
    assert isinstance(_double, Kernel)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(_sum_of_doubles, [values] * 8))
    assert found == [20.0] * 8
    assert _double(3.0) == 6.0
    assert type(_double).__module__.startswith("numba")  # the module's own name is numba's now


def test_a_kernel_that_no_module_names_is_compiled_too():
    assert kernel(lambda x: x + 1)(1) == 2
