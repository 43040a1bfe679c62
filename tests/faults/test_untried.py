"""What nobody had tried: files that change and keep their time, stopped workers, odd encodings."""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

import benchsep
from benchsep.audio import Audio, write_audio
from benchsep.cli import main
from benchsep.errors import UsageError
from benchsep.listeners import mushra
from benchsep.listeners.study import read_study
from benchsep.metrics import nisqa
from benchsep.metrics.sdr import USDR
from tests.faults.test_full import disk, fill  # noqa: F401 -- a fixture
from tests.helpers.environment import environment
from tests.helpers.noise import noise_songs


def compute(out: Path, songs: Path, *systems: str) -> list[float]:
    benchsep.run(out=out, dataset=f"folder:{songs}", systems=systems, metrics=("usdr", "sisdr"),
                 yardsticks=False, inline=True)  # fmt: skip
    return list(benchsep.load_run(out)["value"].fillna(-99))


def replaced(path: Path) -> None:
    """Other samples in the same number of bytes, with the old file's times."""
    before = path.stat()
    samples = np.random.default_rng(9).normal(0, 0.1, (2, 4000)).astype(np.float32)
    write_audio(path, Audio(samples, 8000))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize("what", ["references", "estimates"])
def test_other_content_of_the_same_size_and_time_is_seen(tmp_path, what):
    songs, made = tmp_path / "songs", tmp_path / "estimates"
    for folder in (songs, made):
        noise_songs(folder, ("one", "two"))
    systems = ("mixture", f"mine=dir:{made}")
    compute(tmp_path / "run", songs, *systems)
    replaced((songs if what == "references" else made) / "one" / "vocals.wav")
    assert compute(tmp_path / "run", songs, *systems) == compute(tmp_path / "new", songs, *systems)


def test_links_are_read_and_loops_and_dead_links_are_named(tmp_path):
    """A data set of links gives what its files give; nothing follows a loop."""
    songs, linked = noise_songs(tmp_path / "songs", ("one", "two")), tmp_path / "linked"
    (linked / "one").mkdir(parents=True)
    (linked / "two").symlink_to(songs / "two")
    for path in (songs / "one").iterdir():
        (linked / "one" / path.name).symlink_to(path)
    (linked / "one" / "loop").symlink_to(linked)
    expected = compute(tmp_path / "run", songs, "mixture", f"mine=dir:{songs}")
    assert compute(tmp_path / "run-2", linked, "mixture", f"mine=dir:{linked}") == expected
    replaced(songs / "one" / "bass.wav")
    changed = compute(tmp_path / "run-2", linked, "mixture", f"mine=dir:{linked}")
    assert changed != expected
    (linked / "one" / "bass.wav").unlink()
    (linked / "one" / "bass.wav").symlink_to(tmp_path / "nowhere")
    with pytest.raises(benchsep.errors.BenchsepError, match="bass"):
        compute(tmp_path / "run-3", linked, "mixture")
        frame = benchsep.load_run(tmp_path / "run-3")
        reasons = set(frame["status"]) - {"ok"}
        raise benchsep.errors.BenchsepError(f"bass: {reasons}" if reasons else "silent")


PLUGIN = """
import os, signal
import numpy as np
from benchsep.audio import STEMS, Audio
from benchsep.systems.contract import SystemInfo

class Odd:
    def __init__(self, mode="fine", device="cpu"):
        self.mode = mode
        self.info = SystemInfo(f"odd-{mode}", "generative", options_in_name=("mode",))

    def separate(self, mixture, *, seed):
        if self.mode == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        if self.mode == "hoard":
            hoard = []
            while True:
                hoard.append(np.empty(1 << 27))
        return {s: Audio(mixture.samples / 4, mixture.rate) for s in STEMS}
"""


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "odd_plugin.py").write_text(PLUGIN)
    info = folder / "odd_plugin-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd-plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[benchsep.systems]\nodd = odd_plugin:Odd\n")
    return folder


def limited() -> None:
    """As ``ulimit -v`` does, or a control group that gives no more."""
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))


@pytest.mark.parametrize(
    ("mode", "reason", "limit", "timeout"),
    [("stop", "took more than", None, "5"), ("hoard", "out of memory", limited, "60")],
)
def test_a_stopped_worker_and_a_limit_of_memory_cost_one_row(
    plugin, tmp_path, mode, reason, limit, timeout
):
    songs = noise_songs(tmp_path / "songs", ("one",))
    out = tmp_path / "run"
    command = [sys.executable, "-m", "benchsep", "run", "--dataset", f"folder:{songs}",
               "--metrics", "usdr", "--no-yardsticks", "-o", str(out), "--timeout", timeout,
               "--systems", f"odd:mode={mode},odd"]  # fmt: skip
    done = subprocess.run(
        command, env=environment(plugin), capture_output=True, text=True, check=False,
        preexec_fn=limit, timeout=300,
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    frame = benchsep.load_run(out)
    bad = frame[frame["system"].str.contains(mode)]
    assert len(bad) == 4 and bad["status"].str.contains(reason).all(), set(bad["status"])
    good = frame[~frame["system"].str.contains(mode)]
    assert len(good) == 4 and set(good["status"]) == {"ok"}


def test_a_report_on_a_full_disk_says_so_and_is_written_once_there_is_room(
    zygote, songs, disk, tmp_path, sizes  # noqa: F811
):  # fmt: skip
    from tests.faults.test_killed import suite

    zygote.ok("benchsep", "run", suite(tmp_path, songs, inline=True), "-o", tmp_path / "run")
    ballast = fill(disk, 20_000)
    reply = zygote("benchsep", "report", tmp_path / "run", "-o", disk / "report")
    assert reply["code"] == 2, zygote.said()
    assert "No space left" in zygote.said() and str(disk) in zygote.said()
    assert "Traceback" not in zygote.said()
    if not sizes(0, 1):
        return
    ballast.unlink()
    subprocess.run(["rm", "-rf", str(disk / "report")], check=True)
    limit = 4_000  # and where a file may not grow
    reply = zygote("benchsep", "report", tmp_path / "run", "-o", tmp_path / "r", file_size=limit)
    assert reply["code"] == 2 and "Traceback" not in zygote.said(), zygote.said()
    assert not [p for p in (tmp_path / "r").rglob("*") if ".partial" in p.name]
    zygote.ok("benchsep", "report", tmp_path / "run", "-o", tmp_path / "r")


def test_values_of_two_versions_of_a_metric_are_never_shown_silently(tmp_path, monkeypatch, capsys):
    songs, run = noise_songs(tmp_path / "songs", ("one", "two")), tmp_path / "run"
    compute(run, songs, "mixture")
    monkeypatch.setattr(USDR, "version", "99")
    compute(run, songs, "oracle-irm")
    for command in ("show", "compare"):
        monkeypatch.setattr(sys, "argv", ["benchsep", command, str(run)])
        with pytest.raises(SystemExit):
            main()
        said = " ".join(" ".join(capsys.readouterr()).replace("│", " ").split())
        assert "2 versions of the metric" in said and "99: oracle-irm" in said, said
    compute(run, songs, "mixture", "oracle-irm")
    monkeypatch.setattr(sys, "argv", ["benchsep", "show", str(run)])
    with pytest.raises(SystemExit):
        main()
    assert "versions of the metric" not in capsys.readouterr().out


TABLE = "song,system,family,rating\né,a,generative,1\né,b,discriminative,2\n"


def test_ratings_in_utf16_are_named_and_a_mark_of_utf8_is_no_part_of_a_column(tmp_path):
    path = tmp_path / "ratings.csv"
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        path.write_bytes(TABLE.encode(encoding))
        for read in (read_study, mushra.read_ratings):
            with pytest.raises(UsageError, match=r"UTF-16.*UTF-8"):
                read(path)
    path.write_bytes(TABLE.encode("utf-8-sig"))
    assert set(read_study(path).table["song"]) == {"é"}


def test_hostile_weights_of_nisqa_are_neither_unpacked_nor_read_whole(tmp_path):
    """A tar with members outside, links and devices; and a sparse file of 1 GB."""
    path = tmp_path / "in" / "nisqa.tar"
    path.parent.mkdir()
    with tarfile.open(path, "w") as tar:
        for name, kind in (("../up", tarfile.REGTYPE), ("/abs", tarfile.REGTYPE),
                           ("link", tarfile.SYMTYPE), ("null", tarfile.CHRTYPE)):  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, str(tmp_path)
            tar.addfile(entry, io.BytesIO())
    assert "is not NISQA v2's nisqa.tar" in nisqa.NISQA(path).available()
    with path.open("wb") as handle:
        handle.truncate(1 << 30)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert "is not NISQA v2's nisqa.tar" in nisqa.NISQA(path).available()
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 100
    assert [p.name for p in tmp_path.rglob("*")] == ["in", "nisqa.tar"]
