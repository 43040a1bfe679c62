"""Preparation of data (decoding, encoding) by one process of a training for all.

Rank 0 does it, and the others wait until the files are complete. They do not wait in a collective
call, because these have a timeout of minutes (NCCL: ten), while a preparation may take hours.
Meanwhile rank 0 touches a file every few seconds; if it stops, the others end with an error.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from benchsep.errors import TrainingError

BEAT_SECONDS = 5.0
"""Seconds between two touches of the heartbeat file."""
PATIENCE_SECONDS = 600.0
"""Seconds without a heartbeat after which waiting processes raise."""
POLL_SECONDS = 0.5


def launched() -> tuple[int, int]:
    """(rank, number of processes), as ``torchrun`` and ``accelerate launch`` set them."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def prepare(folder: Path, ready: Callable[[], bool], make: Callable[[], None]) -> None:
    """Call ``make`` in one process unless ``ready()``; return when ``ready()`` on every process.

    If other trainings on this machine prepare the same folder at the same time, a lock ensures that
    only one does it.

    Parameters
    ----------
    folder : the folder to prepare; it must be on storage that all processes share.
    ready : whether the folder is complete; it may raise if it holds something else.
    make : makes it complete.

    Raises
    ------
    TrainingError
        On waiting processes, after :data:`PATIENCE_SECONDS` without a heartbeat of rank 0.
    """
    rank, ranks = launched()
    if rank:
        _wait(folder, ready)
        return
    if ready():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if not ready():
            with _signs_of_life(folder, needed=ranks > 1):
                make()


def _sign(folder: Path) -> Path:
    return folder.parent / f".{folder.name}.alive"


@contextmanager
def _signs_of_life(folder: Path, *, needed: bool) -> Iterator[None]:
    """Context that touches the heartbeat file of ``folder`` every few seconds and removes it at the
    end.
    """
    if not needed:
        yield
        return
    sign, over = _sign(folder), threading.Event()

    def beat() -> None:
        while True:
            sign.touch()
            if over.wait(BEAT_SECONDS):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        sign.unlink(missing_ok=True)


def _wait(folder: Path, ready: Callable[[], bool]) -> None:
    seen, since = None, time.monotonic()
    while not ready():
        # only changes count: the clocks of two machines may differ
        if (now := _touched(_sign(folder))) != seen:
            seen, since = now, time.monotonic()
        if time.monotonic() - since > PATIENCE_SECONDS:
            raise TrainingError(
                f"{folder}: process 0, which prepares it, has not responded for "
                f"{PATIENCE_SECONDS / 60:.0f} minutes; read its output; the folder must be on "
                "storage that all machines share"
            )
        time.sleep(POLL_SECONDS)


def _touched(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None
