"""Worker processes: started without the program around them, replaced when they die."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import benchsep
from benchsep.datasets.load import load_dataset
from benchsep.errors import SeparatorError, Unavailable
from benchsep.runner.executors import local, worker
from benchsep.runner.executors.local import Pool
from tests.helpers.environment import environment
from tests.helpers.noise import noise_songs

SCRIPT = """import benchsep
print("once")
run = benchsep.run(out="run", systems=("mixture",), metrics=("usdr",), yardsticks=False, jobs={})
print(len(run.cells()))
"""


def test_a_script_without_a_guard_runs_once_however_many_workers_there_are(tmp_path):
    for jobs, script in ((2, "script.py"), (2, "-")):
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
    monkeypatch.setattr(local, "POLL_S", 0.001)  # looked at before a quick worker has started
    with Pool(1, timeout=0.01) as pool, pytest.raises(SeparatorError, match="took more than"):
        pool.describe("mixture", "cpu")


PLUGIN = """import os
from benchsep.audio import STEMS
from benchsep.system import SystemInfo

class Files:
    def __init__(self, how, device="cpu"):
        self.how = how
        self.info = SystemInfo("files", "unknown", from_files=True, options={"how": how})

    def stamp(self, track):
        if self.how == "exits": os._exit(3)
        if self.how == "raises": raise KeyboardInterrupt("odd")
        if self.how == "no-text": return None
        os.chdir("/"); os.environ["LEFT_BEHIND"] = str(os.getpid())
        return os.environ["LEFT_BEHIND"]

    def estimates(self, track, mixture):
        return {stem: mixture for stem in STEMS}
"""


def installed(folder, monkeypatch, name, text, target):
    """An installed distribution in ``folder`` whose system ``name`` is ``target`` of ``text``."""
    info = folder / f"{name}_plugin-1.dist-info"
    info.mkdir(parents=True)
    (folder / f"{name}_plugin.py").write_text(text)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 1\n")
    entry = f"[benchsep.systems]\n{name} = {name}_plugin:{target}\n"
    (info / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(str(folder))


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """An installed distribution with a system whose estimates are files."""
    installed(tmp_path / "plugin", monkeypatch, "files", PLUGIN, "Files")


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("exits", r"files:how=exits cannot tell its files: its process died \(exit code 3\)"),
        ("raises", "failed: KeyboardInterrupt: odd"),
        ("no-text", "is NoneType, expected a text"),
    ],
)
def test_what_a_system_says_of_its_files_cannot_harm_the_run(plugin, tmp_path, how, says):
    asked = {"systems": (f"files:how={how}",), "metrics": ("usdr",), "yardsticks": False}
    with pytest.raises(SeparatorError, match=says):
        benchsep.run(out=tmp_path / "run", jobs=1, **asked)


def test_a_system_is_asked_for_its_files_in_a_worker(plugin):
    track = load_dataset("clip").tracks()[0]
    with Pool(1) as pool:
        (stamp,) = pool.estimate_stamps("files:how=here", "cpu", [track])
    assert stamp != str(os.getpid()) and "LEFT_BEHIND" not in os.environ
    assert "files_plugin" not in sys.modules


def test_what_only_a_worker_knows_to_be_unavailable_is_not_waited_for(tmp_path):
    """NISQA's download fails in the worker; to the parent the metric is available, as before it.

    The second run tries again with its first job, and takes the other ones as they are.
    """
    songs = noise_songs(tmp_path / "songs", ("A",), 2.0, 44_100)
    no_network = {"HTTPS_PROXY": "http://127.0.0.1:9", "HOME": str(tmp_path)}
    around = {**environment(), **no_network}
    for name in ("BENCHSEP_OFFLINE", "BENCHSEP_NISQA_WEIGHTS", "NO_PROXY", "no_proxy"):
        around.pop(name, None)
    command = [sys.executable, "-m", "benchsep", "run", "--dataset", f"folder:{songs}", "-j", "1"]
    command += ["--systems", "mixture,oracle-irm", "--metrics", "nisqa", "--no-yardsticks"]
    command += ["-o", str(tmp_path / "run")]
    for _ in range(2):
        done = subprocess.run(command, env=around, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert "another process" not in done.stderr
        statuses = benchsep.load_run(tmp_path / "run")["status"]
        assert len(statuses) == 2 * 5
        assert all("download failed" in status for status in statuses)


LOADED = """import os, signal, time
from pathlib import Path
from benchsep.audio import STEMS
from benchsep.system import SystemInfo

HERE = Path(__file__).parent

class Slow:
    info = SystemInfo("slow", "unknown")

    def __init__(self, how, device="cpu"):
        first = not list(HERE.glob("loaded-*"))
        (HERE / f"loaded-{os.getpid()}").touch()
        if how == "spoils":
            import numpy
            numpy.load = lambda *_: None
        if how == "dies-in-others" and not first:
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "fails-in-others" and not first:
            raise ValueError("no room for a second copy")

    def separate(self, mixture, *, seed):
        (HERE / f"used-{os.getpid()}").touch()
        time.sleep(0.5)
        return {stem: mixture for stem in STEMS}
"""


@pytest.fixture
def slow_run(tmp_path, monkeypatch):
    """A run of a system that takes half a second for each of six songs."""
    installed(tmp_path / "plugin", monkeypatch, "slow", LOADED, "Slow")
    songs = noise_songs(tmp_path / "songs", tuple("ABCDEF"), 2.0, 44_100)

    def run(how, jobs, **more):
        asked = {"metrics": ("usdr",), "yardsticks": False, "dataset": f"folder:{songs}"}
        out = tmp_path / "run"
        return benchsep.run(out=out, systems=(f"slow:how={how}",), jobs=jobs, **asked, **more)

    return run


def _count(tmp_path, what):
    return len(list((tmp_path / "plugin").glob(f"{what}-*")))


def test_all_workers_load_a_system_before_the_first_job_and_no_more_than_jobs(tmp_path, slow_run):
    cells = slow_run("well", 3).cells()
    assert set(cells["status"]) == {"ok"}
    assert _count(tmp_path, "loaded") == _count(tmp_path, "used") == 3


def test_no_worker_is_started_for_jobs_that_cannot_come(tmp_path, slow_run):
    slow_run("well", 3, limit=1)
    assert _count(tmp_path, "loaded") == 1


def test_a_finished_run_loads_nothing(tmp_path, slow_run):
    slow_run("well", 2)
    slow_run("well", 2)
    assert _count(tmp_path, "loaded") == 2


@pytest.mark.parametrize("how", ["spoils", "dies-in-others"])
def test_workers_that_end_while_they_load_are_replaced(tmp_path, slow_run, how):
    """More of them than may die at their start."""
    cells = slow_run(how, 5).cells()
    assert len(cells) == 24
    assert how == "dies-in-others" or set(cells["status"]) == {"ok"}


def test_a_failure_to_load_is_the_reason_of_the_jobs_it_hits(slow_run):
    cells = slow_run("fails-in-others", 2).cells()
    assert any("no room for a second copy" in status for status in cells["status"])
    assert any(status == "ok" for status in cells["status"])
