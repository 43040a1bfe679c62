"""Processes: identity of the machine, checks whether a process is alive, and ending all children of
a process.

Conventions
-----------
machine   identity from host name, boot id of the kernel and PID namespace: two containers with the
          same name are different machines, and so is a machine before and after a restart
mark      a variable ``BENCHSEP_OF_<token>`` in the environment of a process. All child processes
          inherit it, in any session and under any parent, so they can be found
watcher   a process that reads a pipe from this process until it closes, and then ends all processes
          with a mark: this module run as a file, ``python -I -S processes.py MARK [FOLDER]``
Linux     on other systems, marks cannot be read and the death of a parent is not signalled: a
          process then only ends with its pipe and its process group
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
FIRST_PROCESSES = "pid:[4026531836]"
"""The PID namespace outside of containers; a constant of Linux."""
MARK = "BENCHSEP_OF_"
ROUNDS = 50
"""Most rounds of a search for processes that keep starting others; :data:`PAUSE_S` between
rounds."""
PAUSE_S = 0.02


def new_mark() -> str:
    """The name of a variable that marks the processes of one owner."""
    return MARK + secrets.token_hex(8)


@cache
def machine() -> str:
    """16 hexadecimal digits that are equal for processes in the same PID namespace and boot."""
    boot = _text("/proc/sys/kernel/random/boot_id")
    numbers = ""
    with contextlib.suppress(OSError):
        numbers = os.readlink("/proc/self/ns/pid")  # noqa: PTH115  # no path: `pid:[4026531836]`
    known = f"{socket.gethostname()}\n{boot}\n{numbers}"
    return hashlib.sha256(known.encode()).hexdigest()[:16]


@cache
def computer() -> str:
    """16 hexadecimal digits that identify a computer, also after a restart; empty if unknown.

    Made of host name, ``machine-id`` and addresses of network cards. Unknown in a container,
    because containers of one image may share all three.
    """
    with contextlib.suppress(OSError):
        identity = _text("/etc/machine-id")
        if identity and os.readlink("/proc/self/ns/pid") == FIRST_PROCESSES:  # noqa: PTH115
            cards = [
                card for card in Path("/sys/class/net").iterdir() if (card / "device").exists()
            ]
            addresses = sorted(_text(str(card / "address")) for card in cards)
            known = "\n".join((socket.gethostname(), identity, *addresses))
            return hashlib.sha256(known.encode()).hexdigest()[:16]
    return ""


def boot_time() -> float:
    """Boot time of the kernel in seconds since 1970; 0 if unknown."""
    found = re.search(r"^btime (\d+)$", _text("/proc/stat"), re.MULTILINE)
    return float(found[1]) if found else 0.0


def process_start_time(pid: int) -> int:
    """Start time of a process in the kernel's ticks since boot; 0 if unknown.

    A PID alone does not identify a process, because PIDs are reused; in a restarted container, the
    program even has the same PID each time.
    """
    fields = _fields(pid)
    return int(fields[19]) if len(fields) > 19 else 0


def is_same_process_alive(pid: int, start: int) -> bool:
    """Whether the process ``pid`` with start time ``start`` is alive (0: any start time)."""
    return pid_alive(pid) and start in (0, process_start_time(pid))


def pid_alive(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _fields(pid: int) -> list[str]:
    """The fields of ``/proc/PID/stat`` after the name (which may contain spaces); the state is the
    first.
    """
    return _text(f"/proc/{pid}/stat").rpartition(")")[2].split()


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


# -- ends ---------------------------------------------------------------------------------------


def end_with_parent(parent: int, how: int = signal.SIGKILL) -> None:
    """Let the kernel send the signal ``how`` to this process when ``parent`` ends; immediately if
    it has ended.
    """
    _prctl(PR_SET_PDEATHSIG, how)
    if os.getppid() != parent:
        os.kill(os.getpid(), how)


def adopt_orphans() -> None:
    """Let orphaned descendants become children of this process instead of the init process."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def end_marked(*marks: str) -> int:
    """Kill all processes with one of the marks; returns their number."""
    ended: set[int] = set()
    for _ in range(ROUNDS):
        found = _marked([mark.encode() + b"=" for mark in marks])
        if not found:
            break
        for pid in found:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        ended |= found
        time.sleep(PAUSE_S)
    return len(ended)


def _marked(marks: list[bytes]) -> set[int]:
    """PIDs of the living processes, except this one, with a mark in their environment."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = b"\0" + (entry / "environ").read_bytes()
        except OSError:
            continue
        pid = int(entry.name)
        if pid != os.getpid() and any(b"\0" + mark in environment for mark in marks):
            fields = _fields(pid)
            if fields and fields[0] not in "ZX":
                found.add(pid)
    return found


@contextlib.contextmanager
def watcher(mark: str, folder: str = "") -> Iterator[int]:
    """Context in which the death of this process ends all processes with ``mark``.

    ``folder`` is then removed. Yields the PID of the watcher.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, mark, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={name: text for name, text in os.environ.items() if not name.startswith(MARK)},
    )
    assert process.stdin is not None
    try:
        yield process.pid
    finally:
        with contextlib.suppress(OSError):
            process.stdin.write(b"done")
            process.stdin.close()
        process.wait()


def _watch(mark: str, folder: str = "") -> None:
    if not sys.stdin.buffer.read():  # closed without a message: the owner has died
        end_marked(mark)
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def children(pid: int) -> set[int]:
    """PIDs of the children of ``pid``, including zombies."""
    return {
        int(entry.name)
        for entry in Path("/proc").glob("[0-9]*")
        if _fields(int(entry.name))[1:2] == [str(pid)]
    }


def exit_reason(code: int | None) -> str:
    """An exit code in words: ``signal SIGKILL`` or ``exit code 7``."""
    if code is None:
        return "still running"
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"


if __name__ == "__main__":
    _watch(*sys.argv[1:])
