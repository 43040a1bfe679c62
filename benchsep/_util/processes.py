"""Processes: which machine this is, who is alive, and the end of what a process leaves behind.

Conventions
-----------
machine   host name, boot of the kernel and space of process numbers: two containers of one name
          are two machines, and so is a machine before and after a restart
mark      a variable ``BENCHSEP_OF_<token>`` in the environment of a process. Whatever it starts
          inherits it, in whatever session and under whatever parent, so that all of it is found
watcher   a process that reads a pipe from here to its end, and then ends what carries a mark: this
          module run as a file, ``python -I -S processes.py MARK [FOLDER]``
Linux     elsewhere the marks cannot be read and a death of the parent is not told: a process ends
          with its pipe and its process group alone
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
"""The space of process numbers outside any container; a constant of Linux."""
MARK = "BENCHSEP_OF_"
ROUNDS = 50
"""How often processes that go on starting others are looked for, :data:`PAUSE_S` apart."""
PAUSE_S = 0.02


def new_mark() -> str:
    """The name of a variable that marks the processes of one owner."""
    return MARK + secrets.token_hex(8)


@cache
def machine() -> str:
    """16 hexadecimal digits that are the same for processes that see each other's numbers."""
    boot = _text("/proc/sys/kernel/random/boot_id")
    numbers = ""
    with contextlib.suppress(OSError):
        numbers = os.readlink("/proc/self/ns/pid")  # noqa: PTH115  # no path: `pid:[4026531836]`
    known = f"{socket.gethostname()}\n{boot}\n{numbers}"
    return hashlib.sha256(known.encode()).hexdigest()[:16]


@cache
def computer() -> str:
    """16 hexadecimal digits that a computer keeps when it is started again; empty if unknown.

    Its name, its ``machine-id`` and the addresses of its network cards. Unknown in a container:
    those of one image may have all three in common.
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
    """When the kernel was started, in seconds since 1970; 0 if unknown."""
    found = re.search(r"^btime (\d+)$", _text("/proc/stat"), re.MULTILINE)
    return float(found[1]) if found else 0.0


def process_start_time(pid: int) -> int:
    """When a process began, in the kernel's ticks since boot; 0 where that cannot be known.

    A number in a file is not a process: numbers are given again, and in a container whose name
    stays the program has the same number after every restart.
    """
    fields = _fields(pid)
    return int(fields[19]) if len(fields) > 19 else 0


def is_same_process_alive(pid: int, start: int) -> bool:
    """Whether the process of that number that began at ``start`` is alive (0: any start)."""
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
    """The fields of ``/proc/PID/stat`` after the name, which may hold spaces: the state first."""
    return _text(f"/proc/{pid}/stat").rpartition(")")[2].split()


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


# -- ends ---------------------------------------------------------------------------------------


def end_with_parent(parent: int, how: int = signal.SIGKILL) -> None:
    """The kernel sends this process ``how`` when ``parent`` ends; at once if it is gone already."""
    _prctl(PR_SET_PDEATHSIG, how)
    if os.getppid() != parent:
        os.kill(os.getpid(), how)


def adopt_orphans() -> None:
    """Descendants whose parent ends become children of this process, not of the system's first."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def end_marked(*marks: str) -> int:
    """Kill every process that carries one of the marks; returns how many there were."""
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
    """Numbers of the living processes, but for this one, whose environment holds a mark."""
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
    """While the ``with`` lasts, a death of this process ends all that carries ``mark``.

    ``folder`` is removed then. Yields the number of the process that watches.
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
    if not sys.stdin.buffer.read():  # it ended without a word: whoever held it is dead
        end_marked(mark)
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


def children(pid: int) -> set[int]:
    """Numbers of the processes whose parent is ``pid``, the dead that wait for it included."""
    return {
        int(entry.name)
        for entry in Path("/proc").glob("[0-9]*")
        if _fields(int(entry.name))[1:2] == [str(pid)]
    }


def exit_reason(code: int | None) -> str:
    """An exit code for people: ``signal SIGKILL`` or ``exit code 7``."""
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
