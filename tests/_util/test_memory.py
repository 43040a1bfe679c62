"""Memory that a stretch of code adds."""

from __future__ import annotations

import platform
import subprocess
import sys

import numpy as np
import pytest

from benchsep._util.memory import PeakMemory

MB = 2**20
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the resident memory")


def filled(megabytes: int) -> list[np.ndarray]:
    """Small blocks, which the C library keeps when they are freed."""
    return [np.ones(MB // 16, np.uint8) for _ in range(16 * megabytes)]


@linux
def test_what_is_held_before_is_not_added_and_what_is_freed_inside_is():
    held = filled(150)
    with PeakMemory() as memory:
        filled(60)
    assert memory.added_mb == pytest.approx(60, abs=15)
    assert memory.peak_mb > 200
    del held


@linux
def test_memory_that_was_freed_before_counts_when_it_is_used_again():
    filled(150)
    with PeakMemory() as memory:
        filled(60)
    assert memory.added_mb == pytest.approx(60, abs=15)


def test_nothing_is_said_where_the_system_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr("benchsep._util.memory._STATUS", tmp_path / "absent")
    with PeakMemory() as memory:
        pass
    assert memory.added_mb is None
    assert memory.peak_mb > 0


KEPT = """
import resource
import numpy as np
from benchsep._util.memory import keep_freed_memory

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(40 << 20, np.uint8)  # freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

new_pages()
mapped = new_pages()
keep_freed_memory()
new_pages()
print(mapped, new_pages())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="an option of glibc's malloc")
def test_kept_memory_is_used_again():
    """Each array of 40 MB had new pages, which the kernel fills with zeros."""
    found = subprocess.run([sys.executable, "-c", KEPT], capture_output=True, check=True, text=True)
    mapped, kept = map(int, found.stdout.split())
    assert mapped >= 5 * 20  # pages of 2 MB; of 4 kB there are more
    assert kept < mapped / 10
