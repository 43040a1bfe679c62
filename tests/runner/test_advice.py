"""How many workers ``benchsep plan`` recommends."""

from __future__ import annotations

import pytest

from benchsep.runner import advice


@pytest.fixture
def machine(monkeypatch):
    """A machine of so many cores and MB of free memory."""

    def set_to(cores: int, free: float | None) -> None:
        monkeypatch.setattr(advice, "_cores", lambda: cores)
        monkeypatch.setattr(advice, "free_megabytes", lambda: free)

    return set_to


def test_the_scarcest_thing_decides(machine):
    machine(8, 100_000.0)
    assert advice.workers_for(50, 240.0) == (8, "8 cores")
    assert advice.workers_for(3, 240.0) == (3, "3 jobs")
    machine(64, 16_000.0)
    found, why = advice.workers_for(50, 240.0)
    fixed, slope = advice.WORKER_MB
    assert found * (fixed + 240 * slope) <= 16_000 < (found + 1) * (fixed + 240 * slope)
    assert "memory" in why


def test_there_is_always_one_worker(machine):
    machine(4, 10.0)
    assert advice.workers_for(50, 240.0)[0] == 1
    machine(4, None)  # a system that does not say
    assert advice.workers_for(0, 0.0)[0] == 1
    assert advice.workers_for(9, 0.0)[0] == 4


def test_free_memory_is_read_from_the_kernel(tmp_path, monkeypatch):
    monkeypatch.setattr(advice, "_MEMORY", tmp_path / "meminfo")
    assert advice.free_megabytes() is None
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   2048000 kB\n")
    assert advice.free_megabytes() == 2000
