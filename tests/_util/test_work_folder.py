"""Temporary folders: those of dead processes go, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest

from benchsep._util.atomic import WEEK_S
from benchsep._util.processes import machine
from benchsep._util.work_folder import work_folder
from benchsep.audio import Audio
from benchsep.errors import SeparatorError
from benchsep.systems.command import Command
from tests.helpers.environment import environment

DIES = """
import os, signal
from benchsep._util.work_folder import work_folder
with work_folder("cmd") as folder:
    (folder / "mixture.wav").write_bytes(b"a song")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The system's temporary folder, empty."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_is_there_inside_and_gone_afterwards(temporary: Path) -> None:
    with work_folder("cmd") as folder:
        assert folder.is_dir() and folder.parent == temporary and not list(folder.iterdir())
        (folder / "x").write_text("x")
        with work_folder("cmd") as other:
            assert folder.is_dir() and other != folder, "its owner is alive"
    assert not list(temporary.iterdir())


@pytest.mark.skipif(sys.platform != "linux", reason="the start of a process is read from /proc")
def test_the_next_call_of_a_program_removes_what_a_killed_process_left(temporary: Path) -> None:
    env = {**environment(), "TMPDIR": str(temporary)}
    subprocess.run([sys.executable, "-c", DIES], env=env, check=False)
    assert [path.name.startswith("benchsep-cmd-") for path in temporary.iterdir()] == [True]
    system = Command("true {mixture} {out}")
    with pytest.raises(SeparatorError, match="wrote no stem"):
        system.separate(Audio(np.zeros((2, 100), np.float32), 44_100), seed=0)
    assert not list(temporary.iterdir())


def test_what_is_not_a_dead_process_of_ours_stays(temporary: Path) -> None:
    here, gone = machine()[:8], 2**22 - 7
    names = {
        "alive": f"benchsep-cmd-{here}-{os.getpid()}-0-a",
        "another kind": f"benchsep-other-{here}-{gone}-1-a",
        "elsewhere": f"benchsep-cmd-{'0' * 8}-{gone}-1-a",
        "no owner": "benchsep-cmd-k3j2h1",
    }
    for name in names.values():
        (temporary / name).mkdir()
    (temporary / f"benchsep-cmd-{here}-{gone}-1-file").write_text("no folder")
    (temporary / "kept").mkdir()
    (temporary / f"benchsep-cmd-{here}-{gone}-1-link").symlink_to(temporary / "kept")
    before = sorted(temporary.iterdir())
    with work_folder("cmd"):
        pass
    assert sorted(temporary.iterdir()) == before
    old = time.time() - WEEK_S - 60
    for name in (names["elsewhere"], names["no owner"]):
        os.utime(temporary / name, (old, old))
    with work_folder("cmd"):
        pass
    gone_now = {temporary / names["elsewhere"], temporary / names["no owner"]}
    assert set(before) - set(temporary.iterdir()) == gone_now
