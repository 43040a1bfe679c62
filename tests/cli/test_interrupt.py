"""A run that is interrupted ends in one line, leaves no process and no claim, and continues."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.helpers.environment import environment
from tests.helpers.noise import noise_songs

PROGRAM = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    open(sys.argv[3] + "/daemon", "w").write(str(os.getpid()))
    time.sleep(600)
open(sys.argv[3] + "/program", "w").write(str(os.getpid()))
time.sleep(600)
"""


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _usual_signals() -> None:
    """Tests that were started in the background ignore some, and children inherit that."""
    for name in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(name, signal.SIG_DFL)


def _until(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("how", "workers"),
    [("SIGINT", "-j 1"), ("SIGTERM", "-j 2"), ("SIGHUP", "-j 1"), ("SIGKILL", "-j 1"),
     ("SIGINT", "--inline"), ("SIGKILL", "--inline")],
)  # fmt: skip
@pytest.mark.skipif(sys.platform != "linux", reason="marks are read from /proc")
def test_whatever_ends_a_run_ends_its_program_and_daemons(tmp_path, how, workers):
    songs = noise_songs(tmp_path / "songs", ("one",))
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "tmp").mkdir()
    spec = f"cmd:{sys.executable} {tmp_path}/program.py {{mixture}} {{out}} {tmp_path}"
    process = subprocess.Popen(
        [sys.executable, "-m", "benchsep", "run", "--dataset", f"folder:{songs}", "--systems",
         f"mixture,{spec}", "--metrics", "usdr", "--no-yardsticks", *workers.split(), "-o",
         str(tmp_path / "run")],
        env={**environment(), "TMPDIR": str(tmp_path / "tmp")}, stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL, preexec_fn=_usual_signals,
    )  # fmt: skip
    pids = tmp_path / "program", tmp_path / "daemon"
    _until(lambda: all(path.exists() and path.read_text() for path in pids))
    os.kill(process.pid, getattr(signal, how))
    said = process.communicate(timeout=30)[1]
    _until(lambda: not any(_is_alive(int(path.read_text())) for path in pids))
    _until(lambda: not list((tmp_path / "tmp").glob("benchsep-cmd-*")))
    assert "Traceback" not in said
    if how != "SIGKILL":
        assert process.returncode == 128 + getattr(signal, how)
        last = said.strip().splitlines()[-1]
        assert last.startswith("benchsep: interrupted; ") and "; to continue: " in last
        assert not list((tmp_path / "run" / "claims").glob("*"))
