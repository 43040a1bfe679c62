"""What a harness is, and the bounds that a reader has to keep.

An input either has a result or is refused by one of our own errors, within :data:`SECONDS` of CPU
time and :data:`MEMORY_MB`. Everything else is a crash: a foreign exception, a hang, memory.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 2.0
MEMORY_MB = 400.0
HERE = Path(__file__).parent
NOWHERE = Path(os.devnull).open("w")  # noqa: SIM115 -- for the life of the process
NAMES = (
    "audio_headers",
    "yaml_files",
    "spec_strings",
    "museval_json",
    "baselines",
    "ratings",
    "store_records",
    "safetensors_metadata",
)
"""The modules in ``targets/``; each holds ``TARGET``."""


class Crash(Exception):
    """An input that took too long or too much memory."""


@dataclass(frozen=True)
class Target:
    """A reader: ``read`` gets the bytes of an input and an empty folder to write it to."""

    read: Callable[[bytes, Path], object]
    tokens: tuple[bytes, ...] = ()
    """Words of the format, which a fuzzer puts into inputs."""


def load_target(name: str) -> Target:
    target: Target = importlib.import_module(f"tests.fuzz.targets.{name}").TARGET
    return target


def inputs(name: str, kind: str) -> dict[str, bytes]:
    """The files of ``corpus`` or ``crashes`` of a target, by name."""
    folder = HERE / kind / name
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*"))}


def warm(target: Target, name: str, folder: Path) -> None:
    """Read one kept input without bounds: what readers import late is imported then."""
    from benchsep.errors import BenchsepError

    with contextlib.suppress(BenchsepError), contextlib.redirect_stderr(NOWHERE):
        target.read(next(iter(inputs(name, "corpus").values())), folder)


def attempt(target: Target, data: bytes, folder: Path) -> str:
    """``read``, or the name of our error.

    Raises
    ------
    Exception
        whatever a reader must not raise.
    Crash
        it took too long or too much memory.
    """
    from benchsep.errors import BenchsepError

    before, began = _most_kb(), time.process_time()
    try:
        with interrupted_after(SECONDS), contextlib.redirect_stderr(NOWHERE):
            target.read(data, folder)
        outcome = "read"
    except BenchsepError as error:
        outcome = type(error).__name__
    seconds, mb = time.process_time() - began, (_most_kb() - before) / 1024
    if seconds > SECONDS:
        raise Crash(f"{seconds:.1f} s of CPU time, expected at most {SECONDS:g}")
    if mb > MEMORY_MB:
        raise Crash(f"{mb:.0f} MB, expected at most {MEMORY_MB:g}")
    return outcome


def _most_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@contextlib.contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Raise :class:`Crash` in a reader that computes for longer than this."""

    def stop(*_: Any) -> None:
        raise Crash(f"more than {seconds:g} s of CPU time")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds + 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
