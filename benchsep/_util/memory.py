"""Resident memory of a block of code (peak and increase), reuse of freed memory, and a pause of the
garbage collector.

Linux has the peak of a process (``VmHWM``), which can be reset. On other systems, only the peak
since the start of the process is known, not the increase.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class PeakMemory:
    """``with PeakMemory() as memory: …; memory.peak_mb``: MB of resident memory at the peak.

    ``added_mb``: the peak minus the resident memory before, or ``None`` if unknown. Memory that
    earlier code has freed is first returned to the system, so its reuse counts as added.
    """

    peak_mb: float = 0.0
    added_mb: float | None = None

    def __enter__(self) -> PeakMemory:
        _return_freed()
        self._before = _status_mb("VmRSS")
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5")  # resets VmHWM, see proc(5)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        peak = _status_mb("VmHWM")
        if peak is not None and self._before is not None:
            self.added_mb = round(max(0.0, peak - self._before), 1)
        self.peak_mb = round(_largest_mb() if peak is None else peak, 1)


def _status_mb(name: str) -> float | None:
    """A memory size of this process on Linux, in MB; ``None`` on other systems."""
    with contextlib.suppress(OSError, ValueError):
        for line in _STATUS.read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) / 1024
    return None


def _largest_mb() -> float:
    """The peak since the start of the process, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _return_freed() -> None:
    """Return freed memory to the system, if the C library can do this (glibc)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def keep_freed_memory() -> None:
    """From here on, this process uses freed memory again and does not return it (glibc).

    glibc maps each large array anew and unmaps it when it is freed, and the kernel fills every new
    page with zeros. Scoring seven songs of 1 to 4 minutes: 132 CPU seconds instead of 149 on a
    virtual machine, with a peak of 3.9 instead of 3.8 GB. The process stays as large as its peak.
    """
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, 2**30)
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Pauses the garbage collector, for code that creates millions of live objects: the collector
    would traverse all of them repeatedly.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
