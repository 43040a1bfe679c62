"""What a system changes in its process: torch's own wrapper is no change."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchsep.systems.surroundings import own_surroundings
from tests.helpers.environment import environment

SCRIPT = """import torch
from benchsep.systems.surroundings import own_surroundings, spoilt
with own_surroundings("imports the compiler"):
    import torch._dynamo
print(spoilt)
with own_surroundings("replaces a function"):
    torch.manual_seed = lambda seed: None
print(spoilt)
"""


def test_a_system_that_imports_torchs_compiler_has_replaced_nothing():
    """Else a worker that had torch before ended after every such system, and was started anew."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment(), capture_output=True, text=True,
        check=True, timeout=120,
    )  # fmt: skip
    assert done.stdout.splitlines() == ["[]", "['torch.manual_seed was replaced']"]


def test_what_a_system_did_not_change_is_as_its_caller_has_it(monkeypatch, tmp_path):
    """And what it changed stays: a variable, one that it removed, its working folder."""
    monkeypatch.setenv("CALLERS", "1")
    monkeypatch.setenv("REMOVED", "1")
    with own_surroundings("kept changes"):
        os.environ["SYSTEMS"] = "1"
        del os.environ["REMOVED"]
    monkeypatch.setenv("CALLERS", "2")
    monkeypatch.setenv("REMOVED", "2")
    (tmp_path / "callers").mkdir()
    (tmp_path / "systems").mkdir()
    monkeypatch.chdir(tmp_path / "callers")
    with own_surroundings("kept changes"):
        assert (os.environ["CALLERS"], os.environ["SYSTEMS"]) == ("2", "1")
        assert "REMOVED" not in os.environ
        assert Path.cwd() == tmp_path / "callers"
        os.chdir(tmp_path / "systems")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CALLERS")
    with own_surroundings("kept changes"):
        assert Path.cwd() == tmp_path / "systems"
        assert "CALLERS" not in os.environ and os.environ["SYSTEMS"] == "1"
    assert "SYSTEMS" not in os.environ and os.environ["REMOVED"] == "2"
    assert Path.cwd() == tmp_path
