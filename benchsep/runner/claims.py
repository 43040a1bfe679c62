"""Claims: files that state which process works on which (system, track) of a run folder.

Conventions
-----------
claim      a file that names its owner: machine and a random token, process number, start time of
           the process. The owner is the process that runs the suite; its workers claim for it
shared     exclusive creation of a file works on every network file system, so many machines can
           work on one run folder without locks or a database
fresh      the owner touches its claims every :data:`REFRESH_S`
abandoned  on this machine: a claim whose process is gone; of another machine: a claim that was not
           touched while this process watched it for :data:`STALE_CLAIM_S`. The clocks of machines
           differ, so the time of a claim alone is not used, unless it is :data:`ANCIENT_S` ago
restart    a claim of this computer from before its last restart is abandoned immediately: it names
           the computer and was last touched before the start of the kernel and more than two
           refreshes ago
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from benchsep._util.digest import digest
from benchsep._util.processes import (
    boot_time,
    computer,
    is_same_process_alive,
    machine,
    process_start_time,
)
from benchsep.errors import StoreError

REFRESH_S = 60.0
"""Interval in seconds at which held claims are touched, far below the limit for abandoned
claims."""
STALE_CLAIM_S = 900.0
UNWRITTEN_CLAIM_S = 5.0
"""Seconds after which a claim without content counts as abandoned: its owner died in the first
write."""
ANCIENT_S = 86_400.0
"""More than any difference of clocks: a claim of this age in seconds is abandoned without watching
it."""
MAX_ATTEMPTS = 4
"""Most attempts to claim; an attempt fails if another process claims, releases or sweeps at the
same time."""


@dataclass(frozen=True)
class Owner:
    """The owner of claims: one process on one machine."""

    place: str
    """``host:machine:token:computer``; the host's name is only informative."""
    pid: int
    start: int
    """See :func:`benchsep._util.processes.process_start_time`."""

    @property
    def line(self) -> str:
        """The content of the owner's claim files."""
        return f"{self.place} {self.pid} {self.start}\n"


def this_process() -> Owner:
    """The owner object of this process."""
    return _owner(os.getpid())


@cache
def _owner(pid: int) -> Owner:
    host = re.sub(r"[\s:]", "_", socket.gethostname())
    place = f"{host}:{machine()}:{secrets.token_hex(8)}:{computer()}"
    return Owner(place, pid, process_start_time(pid))


@dataclass(frozen=True)
class Claims:
    """The claims in the sub-folder ``claims`` of a run folder, from the view of ``owner``."""

    folder: Path
    owner: Owner = field(default_factory=this_process)

    def claim(self, system: str, track: str) -> bool:
        """Try to claim (system, track); False if another process has claimed it.

        Raises
        ------
        StoreError
            the claim cannot be written.
        """
        path = self._path(system, track)
        for _ in range(MAX_ATTEMPTS):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("x", encoding="utf-8") as handle:
                    handle.write(self.owner.line)
                return True
            except FileExistsError:
                if not is_abandoned(path):
                    return False
                remove_abandoned(path)
            except FileNotFoundError:
                continue  # a process that just finished removed the folder
            except OSError as error:
                # Created but not written: it would only delay the next run.
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
                raise StoreError(f"{path}: cannot be written ({error.strerror})") from error
        return False

    def is_free(self, system: str, track: str) -> bool:
        """Whether (system, track) is not claimed; an abandoned claim is removed."""
        path = self._path(system, track)
        if path.exists() and is_abandoned(path):
            remove_abandoned(path)
        return not path.exists()

    def release(self, system: str, track: str) -> None:
        """Release the claim; a claim that now belongs to another owner is not changed."""
        path = self._path(system, track)
        if _text(path) == self.owner.line:
            _remove_if(path, lambda claim: _text(claim) == self.owner.line)

    def refresh(self, system: str, track: str) -> None:
        """Touch the claim, so that other machines see that the owner is alive."""
        path = self._path(system, track)
        with contextlib.suppress(OSError):
            if _text(path) == self.owner.line:
                os.utime(path)

    @contextlib.contextmanager
    def kept_fresh(self, system: str, track: str) -> Iterator[None]:
        """Refresh the claim regularly during the ``with`` block."""
        done = threading.Event()

        def refresh() -> None:
            while not done.wait(REFRESH_S):
                self.refresh(system, track)

        thread = threading.Thread(target=refresh, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def sweep(self) -> None:
        """Remove the claims of dead processes, and then the folder if it is empty."""
        for path in self.folder.glob("*") if self.folder.is_dir() else ():
            if is_abandoned(path):
                remove_abandoned(path)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _path(self, system: str, track: str) -> Path:
        return self.folder / digest(system, track)


# -- abandoned claims ---------------------------------------------------------------------------

_watched: dict[tuple[str, str, int], float] = {}
"""(Name, content, time) of a claim to the time at which this process first saw it, on its own
clock."""


def is_abandoned(path: Path) -> bool:
    """Whether the owner of the claim at ``path`` is gone, as far as this process can know."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        touched = path.stat().st_mtime_ns
    except FileNotFoundError:
        return True
    owner = re.fullmatch(r"(\S+) (\d+) (\d+)\n", text)
    if owner and machine() in owner[1].split(":"):
        return not is_same_process_alive(int(owner[2]), int(owner[3]))
    if time.time() - touched / 1e9 > ANCIENT_S:
        return True
    if owner and _is_before_restart(owner[1], touched / 1e9):
        return True
    first_seen = _watched.setdefault((path.name.partition("-")[0], text, touched), time.monotonic())
    # Created, but not yet written: give its owner some time.
    patience = STALE_CLAIM_S if owner else UNWRITTEN_CLAIM_S
    return time.monotonic() - first_seen > patience


def _is_before_restart(place: str, touched: float) -> bool:
    """Whether a claim is of this computer and from before the start of its kernel."""
    home = place.split(":")[3:]
    is_old = touched < boot_time() and time.time() - touched > 2 * REFRESH_S
    return is_old and bool(computer()) and home == [computer()]


def remove_abandoned(path: Path) -> None:
    """Remove an abandoned claim, but never a new claim that has replaced it.

    Two processes may find the same abandoned claim. The slower one could delete the new claim of
    the faster one. So the file is first moved away and then checked.
    """
    _remove_if(path, is_abandoned)


def _remove_if(path: Path, condition: Callable[[Path], bool]) -> None:
    aside = path.with_name(f"{path.name}-{os.getpid()}-{time.monotonic_ns()}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    if not condition(aside):
        # It is the claim of another process: restore it.
        try:
            os.link(aside, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            if not path.exists():
                aside.rename(path)
    aside.unlink(missing_ok=True)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
