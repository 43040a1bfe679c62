"""Kernels are compiled when they are called, and not before."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from benchsep.metrics.jit import Kernel, inner_kernel, kernel

DESCRIBE = """
import sys
from benchsep import registry
from benchsep.metrics.catalog import get_metric
for name in registry.names("metric"):
    metric = get_metric(name)
    assert metric.values and metric.settings() is not None
print(*({"numba", "torch"} & set(sys.modules)))
"""


@inner_kernel
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


def test_kernels_that_kernels_call_become_part_of_them():
    """Else numba rounds them in one way where it compiles, in another where it loads from disk."""
    script = INNER.format(home="benchsep.metrics")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


INNER = """
import importlib, pkgutil
from benchsep.metrics.jit import Kernel
home = importlib.import_module("{home}")
kernels = [
    value
    for found in pkgutil.walk_packages(home.__path__, "{home}.")
    for value in vars(importlib.import_module(found.name)).values()
    if isinstance(value, Kernel)
]
assert len(kernels) > 20
called = {{
    id(other): name
    for one in kernels
    for name in one.py_func.__code__.co_names
    if isinstance(other := one.py_func.__globals__.get(name), Kernel)
}}
assert len(called) > 10
print(*sorted(called[id(k)] for k in kernels if id(k) in called and not k.inner))
"""


@pytest.mark.slow
def test_the_process_that_compiles_and_the_next_one_give_the_same_bits(tmp_path):
    """Metrics whose kernels call kernels, on noise."""
    script = """
import hashlib
import numpy as np
from benchsep import score
METRICS = "bsseval,mrstft,visqol,bleedless,usdr,mireval,alignment,lsd"
draw = np.random.default_rng(0).normal(0, 0.1, (3, 2, 2 * 44_100)).astype(np.float32)
signals = {"vocals": draw[0], "drums": draw[1]}
estimates = {stem: 0.5 * x + draw[2] for stem, x in signals.items()}
scores = score(signals, estimates, metrics=METRICS)
frames = [np.array(f or [], float).tobytes() for f in scores["frames"]]
assert set(scores["status"]) == {"ok"}
print(hashlib.sha256(scores["value"].to_numpy().tobytes() + b"".join(frames)).hexdigest())
"""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", script]
    first, second = (
        subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        for _ in range(2)
    )
    assert first.stdout == second.stdout != ""


def test_a_kernel_that_no_module_names_is_compiled_too():
    assert kernel(lambda x: x + 1)(1) == 2


EDITED = """
import sys
if sys.argv[1:]:  # as if the file had been edited: another rule, and other bytes on disk
    from pathlib import Path
    from benchsep.metrics import jit
    read = Path.read_bytes
    jit.Path.read_bytes = lambda path: read(path) + b"#" * (path.name == "{edited}")
from benchsep.metrics.{module} import {name}
made = {name}._compile()
made.compile("{types}")
print(sum(made.stats.cache_hits.values()), sum(made.stats.cache_misses.values()))
"""


@pytest.mark.parametrize(
    ("module", "name", "types", "edited"),
    [
        ("spectra", "powers", "void(f4[:,::1],i8[:,::1],f4[:,::1],f4[:,::1])", "vectors.py"),
        ("bsseval.transform", "_put", "void(f8[::1],i8,i8,i8,f8[:,::1])", "products.py"),
    ],
)
def test_code_on_disk_is_not_used_after_an_edit_of_a_file_it_imports(
    tmp_path, module, name, types, edited
):
    """numba looks only at the file of the kernel: it went on with the arithmetic of before, or with
    the value of a constant (``PIECE`` of products).
    """
    code = EDITED.format(module=module, name=name, types=types, edited=edited)

    def hits_and_misses(*edit: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code, *edit],
            capture_output=True, text=True, check=True,
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
        ).stdout.strip()  # fmt: skip

    assert [hits_and_misses(), hits_and_misses(), hits_and_misses("edit")] == ["0 1", "1 0", "0 1"]
