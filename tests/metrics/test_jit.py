"""Kernels are compiled when they are called, and not before."""

from __future__ import annotations

import os
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


EDITED = """
import sys
if sys.argv[1:]:  # as if the file had been edited: another rule, and other bytes on disk
    from pathlib import Path
    from benchsep.metrics import jit
    read = Path.read_bytes
    jit.Path.read_bytes = lambda path: read(path) + b"#" * (path.name == "vectors.py")
from benchsep.metrics.spectra import powers
made = powers._compile()
made.compile("void(f4[:,::1],i8[:,::1],f4[:,::1],f4[:,::1])")
print(sum(made.stats.cache_hits.values()), sum(made.stats.cache_misses.values()))
"""


def test_code_on_disk_is_not_used_after_an_edit_of_the_intrinsics(tmp_path):
    """numba looks only at the file of the kernel: it went on with the arithmetic of before."""

    def hits_and_misses(*edit: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", EDITED, *edit],
            capture_output=True, text=True, check=True,
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        ).stdout.strip()  # fmt: skip

    assert [hits_and_misses(), hits_and_misses(), hits_and_misses("edit")] == ["0 1", "1 0", "0 1"]
