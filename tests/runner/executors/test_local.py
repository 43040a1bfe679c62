"""Worker processes: started without the program around them, replaced when they die."""

from __future__ import annotations

import subprocess
import sys

import pytest

import benchsep
from benchsep.errors import SeparatorError, Unavailable
from benchsep.runner.executors import local, worker
from benchsep.runner.executors.local import Pool
from tests.helpers.environment import environment

SCRIPT = """import benchsep
print("once")
run = benchsep.run(out="run", systems=("mixture",), metrics=("usdr",), yardsticks=False, jobs={})
print(len(run.cells()))
"""


def test_a_script_without_a_guard_runs_once_however_many_workers_there_are(tmp_path):
    for jobs, script in ((1, "script.py"), (2, "-")):
        text = SCRIPT.format(jobs)
        (tmp_path / "script.py").write_text(text)
        done = subprocess.run(
            [sys.executable, script], cwd=tmp_path, env=environment(), input=text, text=True,
            capture_output=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.stdout == "once\n4\n" and done.returncode == 0, done.stderr


def test_a_worker_killed_at_its_start_is_replaced_and_many_are_an_error(monkeypatch):
    kills = iter([True, False])
    start = worker.start_worker

    def killed(*marks):
        process, pipe = start(*marks)
        if next(kills, True):
            process.kill()
        return process, pipe

    monkeypatch.setattr(local, "start_worker", killed)
    with Pool(1) as pool:
        assert pool.describe("mixture", "cpu").name == "mixture"


def test_workers_that_all_die_at_their_start_are_one_message(monkeypatch, tmp_path):

    start = worker.start_worker

    def killed(*marks):
        process, pipe = start(*marks)
        process.kill()
        return process, pipe

    asked = {"systems": ("mixture",), "metrics": ("usdr",), "yardsticks": False}
    benchsep.run(out=tmp_path / "run", inline=True, **asked)
    monkeypatch.setattr(local, "start_worker", killed)
    with pytest.raises(Unavailable, match="3 worker processes died at their start"):
        benchsep.run(out=tmp_path / "run", jobs=1, overwrite="always", **asked)


def test_a_slow_start_is_not_charged_to_the_limit_of_a_job(monkeypatch):
    """A limit shorter than the start of a worker, with what it imports, refuses no system."""
    with Pool(1, timeout=0.01) as pool:
        assert pool.describe("mixture", "cpu").name == "mixture"
    monkeypatch.setattr(local, "STARTING_S", 0.0)
    with Pool(1, timeout=0.01) as pool, pytest.raises(SeparatorError, match="took more than"):
        pool.describe("mixture", "cpu")
