"""Claims: who is working on which (system, track) of a run folder.

Conventions
-----------
claim      a file that names its owner: machine and a random token, process number, start time of
           the process. The owner is the process that runs the suite; its workers claim for it
shared     creating a file exclusively is the one operation that every network file system honours;
           no lock and no database is needed, and many machines can work on one run folder
fresh      the owner touches its claims every :data:`REFRESH_S`
abandoned  a claim of this machine whose process is gone; of another machine, one that nobody has
           touched while this process watched it for :data:`STALE_CLAIM_S`. Clocks of machines
           differ, so that the time at which a claim was touched says nothing by itself, unless it
           is :data:`ANCIENT_S` ago
restart    a claim of this computer from before it was started again is abandoned at once: it names
           the computer, and was touched before the kernel began and not for two refreshes
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
"""How often held claims are touched: well under the age at which they count as abandoned."""
STALE_CLAIM_S = 900.0
UNWRITTEN_CLAIM_S = 5.0
"""The owner of a claim without a name died before, or in, its first write."""
ANCIENT_S = 86_400.0
"""More than clocks differ: a claim of that age is abandoned without being watched."""
MAX_ATTEMPTS = 4
"""Each failed attempt means that another process claimed, released or swept in between."""


@dataclass(frozen=True)
class Owner:
    """Who holds claims: one process of one machine."""

    place: str
    """``host:machine:token:computer``; the host's name is for people."""
    pid: int
    start: int
    """See :func:`benchsep._util.processes.process_start_time`."""

    @property
    def line(self) -> str:
        """The content of its claims."""
        return f"{self.place} {self.pid} {self.start}\n"


def this_process() -> Owner:
    """The owner that this process is."""
    return _owner(os.getpid())


@cache
def _owner(pid: int) -> Owner:
    host = re.sub(r"[\s:]", "_", socket.gethostname())
    place = f"{host}:{machine()}:{secrets.token_hex(8)}:{computer()}"
    return Owner(place, pid, process_start_time(pid))


@dataclass(frozen=True)
class Claims:
    """The claims of a run folder, in its sub-folder ``claims``, as ``owner`` sees them."""

    folder: Path
    owner: Owner = field(default_factory=this_process)

    def claim(self, system: str, track: str) -> bool:
        """Try to become the owner of (system, track); False if somebody else is.

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
                continue  # a process that finished just now removed the folder
            except OSError as error:
                # Created and not written: it would hold up the next run for nobody.
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
                raise StoreError(f"{path}: cannot be written ({error.strerror})") from error
        return False

    def is_free(self, system: str, track: str) -> bool:
        """Whether nobody holds (system, track) any more; an abandoned claim is removed."""
        path = self._path(system, track)
        if path.exists() and is_abandoned(path):
            remove_abandoned(path)
        return not path.exists()

    def release(self, system: str, track: str) -> None:
        """Give up the claim; one that belongs to another owner by now is left alone."""
        path = self._path(system, track)
        if _text(path) == self.owner.line:
            _remove_if(path, lambda claim: _text(claim) == self.owner.line)

    def refresh(self, system: str, track: str) -> None:
        """Show processes on other machines that the owner is alive."""
        path = self._path(system, track)
        with contextlib.suppress(OSError):
            if _text(path) == self.owner.line:
                os.utime(path)

    @contextlib.contextmanager
    def kept_fresh(self, system: str, track: str) -> Iterator[None]:
        """Refresh the claim from time to time while the ``with`` lasts."""
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
        """Remove the claims of dead processes, and the folder if it is empty then."""
        for path in self.folder.glob("*") if self.folder.is_dir() else ():
            if is_abandoned(path):
                remove_abandoned(path)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _path(self, system: str, track: str) -> Path:
        return self.folder / digest(system, track)


# -- abandoned claims ---------------------------------------------------------------------------

_watched: dict[tuple[str, str, int], float] = {}
"""Name, content and time of a claim to when this process first saw it so, on its own clock."""


def is_abandoned(path: Path) -> bool:
    """Whether the owner of the claim at ``path`` is gone, as far as can be known here."""
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
    # Created, not yet written: its owner gets a moment.
    patience = STALE_CLAIM_S if owner else UNWRITTEN_CLAIM_S
    return time.monotonic() - first_seen > patience


def _is_before_restart(place: str, touched: float) -> bool:
    """Whether a claim is of this computer from before its kernel began."""
    home = place.split(":")[3:]
    is_old = touched < boot_time() and time.time() - touched > 2 * REFRESH_S
    return is_old and bool(computer()) and home == [computer()]


def remove_abandoned(path: Path) -> None:
    """Remove an abandoned claim, but never a new claim that has replaced it.

    Two processes may find the same abandoned claim. The slower one could otherwise delete the
    claim that the quicker one has made since: so it moves the file away first and looks at it.
    """
    _remove_if(path, is_abandoned)


def _remove_if(path: Path, condition: Callable[[Path], bool]) -> None:
    aside = path.with_name(f"{path.name}-{os.getpid()}-{time.monotonic_ns()}")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return
    if not condition(aside):
        # It is the claim of another process: give it back.
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
