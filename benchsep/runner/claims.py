"""Claims: who is working on which (system, track) of a run folder.

Conventions
-----------
claim      a file that names its owner: host, process number, start time of the process
shared     creating a file exclusively is the one operation that every network file system honours;
           no lock and no database is needed, and many machines can work on one run folder
abandoned  a claim of this host whose process is gone; of another host, one that its owner has not
           touched for :data:`STALE_CLAIM_S`; one without a name after :data:`UNWRITTEN_CLAIM_S`
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from benchsep._util.atomic import is_same_process_alive, process_start_time
from benchsep._util.digest import digest
from benchsep.errors import StoreError

STALE_CLAIM_S = 900.0
UNWRITTEN_CLAIM_S = 5.0
"""The owner of a claim without a name died before, or in, its first write."""
MAX_ATTEMPTS = 4
"""Each failed attempt means that another process claimed, released or swept in between."""


@dataclass(frozen=True)
class Claims:
    """The claims of a run folder, in its sub-folder ``claims``."""

    folder: Path

    def claim(self, system: str, track: str) -> bool:
        """Try to become the owner of (system, track); False if somebody else is.

        Raises
        ------
        StoreError
            the claim cannot be written.
        """
        path = self._path(system, track)
        pid = os.getpid()
        body = f"{socket.gethostname()} {pid} {process_start_time(pid)}\n"
        for _ in range(MAX_ATTEMPTS):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("x", encoding="utf-8") as handle:
                    handle.write(body)
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

    def release(self, system: str, track: str) -> None:
        """Give up the claim."""
        self._path(system, track).unlink(missing_ok=True)

    def refresh(self, system: str, track: str) -> None:
        """Show processes on other machines that the owner is alive."""
        with contextlib.suppress(OSError):
            os.utime(self._path(system, track))

    def sweep(self) -> None:
        """Remove the claims of dead processes, and the folder if it is empty then."""
        for path in self.folder.glob("*") if self.folder.is_dir() else ():
            if is_abandoned(path):
                path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _path(self, system: str, track: str) -> Path:
        return self.folder / digest(system, track)


def is_abandoned(path: Path) -> bool:
    """Whether the owner of the claim at ``path`` is gone."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        age = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return True
    owner = re.fullmatch(r"(\S+) (\d+) (\d+)\n", text)
    if owner is None:
        return age > UNWRITTEN_CLAIM_S  # created, not yet written: give its owner a moment
    host, pid, start = owner.groups()
    if host == socket.gethostname():
        return not is_same_process_alive(int(pid), int(start))
    return age > STALE_CLAIM_S


def remove_abandoned(path: Path) -> None:
    """Remove an abandoned claim, but never a new claim that has replaced it.

    Two processes may find the same abandoned claim. The slower one could otherwise delete the
    claim that the quicker one has made since: so it moves the file away first and looks at it.
    """
    stale_claim = path.with_name(f"{path.name}-{os.getpid()}-{time.monotonic_ns()}")
    try:
        path.rename(stale_claim)
    except FileNotFoundError:
        return
    if not is_abandoned(stale_claim):
        # It is the new claim of another process: give it back.
        with contextlib.suppress(OSError):
            os.link(stale_claim, path)
    stale_claim.unlink(missing_ok=True)
