"""The runner's promises: resume, statuses instead of crashes, two writers, same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import benchsep
from benchsep import registry
from benchsep.audio import STEMS, Audio, write_audio
from benchsep.errors import UsageError
from benchsep.metrics.metric import References, Score, ValueTraits
from benchsep.runner import run as runner
from benchsep.systems.contract import SystemInfo
from tests.helpers.noise import noise_songs


class Level:
    """A metric for these tests: the estimate's mean absolute level, and a count of its calls."""

    name, version = "level", "1"
    values = (ValueTraits("", 1, "", 0, 1),)
    rate, channels, domain = None, "any", "any"
    default_stems = STEMS
    licence, source = "MIT", "this test"
    calls = 0

    def settings(self) -> dict[str, object]:
        return {}

    def available(self) -> str:
        return ""

    def score_track(
        self, references: References, estimates: dict[str, Audio], stems: tuple[str, ...]
    ) -> dict[str, dict[str, Score]]:
        type(self).calls += 1
        return {s: {"": Score(float(np.abs(estimates[s].samples).mean()))} for s in stems}


class Quarter:
    """A system: each stem is a quarter of the mixture."""

    calls = 0

    def __init__(self, device: str = "cpu", gain: str = "0.25") -> None:
        self.gain = float(gain)
        self.info = SystemInfo("quarter", "discriminative", options={"gain": self.gain})

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]:
        type(self).calls += 1
        return {s: Audio(mixture.samples * self.gain, mixture.rate) for s in STEMS}


class Faulty:
    """Misbehaves as its option says."""

    def __init__(self, device: str = "cpu", mode: str = "raise") -> None:
        self.mode = mode
        self.info = SystemInfo(f"faulty-{mode}", "generative", deterministic=False)

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]:
        if self.mode == "raise":
            raise RuntimeError("the model exploded")
        if self.mode == "nan":
            return {s: Audio(mixture.samples * np.nan, mixture.rate) for s in STEMS}
        if self.mode == "short":
            return {s: Audio(mixture.samples[:, :-1], mixture.rate) for s in STEMS}
        if self.mode == "vocals-only":
            return {"vocals": mixture}
        return {}


@pytest.fixture(autouse=True)
def _registered():
    for kind, name, target in [
        ("metric", "level", Level),
        ("system", "quarter", Quarter),
        ("system", "faulty", Faulty),
    ]:
        registry.register(kind, name, target)
    Level.calls = Quarter.calls = 0
    yield
    for kind, name in [("metric", "level"), ("system", "quarter"), ("system", "faulty")]:
        registry.unregister(kind, name)


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    return noise_songs(tmp_path / "songs", ("one", "two"), seconds=0.1, rate=44_100)


def _run(songs: Path, out: Path, **options):
    defaults = {
        "dataset": f"folder:{songs}",
        "systems": ("quarter",),
        "metrics": ("level",),
        "yardsticks": False,
        "inline": True,
    }
    return benchsep.run(out=out, **{**defaults, **options})


def test_a_run_gives_a_row_for_each_system_track_stem_and_value(songs, tmp_path):
    frame = _run(songs, tmp_path / "run").cells()
    assert len(frame) == 2 * 4
    assert set(frame["status"]) == {"ok"}
    assert frame["value"].notna().all()


def test_a_finished_run_computes_nothing_again(songs, tmp_path):
    _run(songs, tmp_path / "run")
    before = Level.calls, Quarter.calls
    again = _run(songs, tmp_path / "run")
    assert (Level.calls, Quarter.calls) == before
    assert again.plan.done == 2 and not again.plan.jobs


def test_a_changed_input_recomputes_only_its_track(songs, tmp_path):
    _run(songs, tmp_path / "run")
    Level.calls = 0
    loud = Audio(np.full((2, 4410), 0.3, np.float32), 44_100)
    write_audio(songs / "two" / "bass.wav", loud)
    result = _run(songs, tmp_path / "run")
    assert [o.track for o in result.outcomes] == ["two"]
    assert Level.calls == 1


def test_a_touched_but_equal_input_keeps_its_cells(songs, tmp_path):
    _run(songs, tmp_path / "run")
    Level.calls = Quarter.calls = 0
    os.utime(songs / "two" / "bass.wav", (1, 1))
    _run(songs, tmp_path / "run")
    assert (Level.calls, Quarter.calls) == (0, 0)


def test_a_changed_option_is_another_system(songs, tmp_path):
    _run(songs, tmp_path / "run")
    frame = _run(songs, tmp_path / "run", systems=("quarter:gain=0.5",)).cells()
    assert set(frame["system"]) == {"quarter", "quarter[gain=0.5]"}


@pytest.mark.parametrize("mode", ["raise", "nan", "short", "nothing"])
def test_a_faulty_system_becomes_rows_with_a_reason(songs, tmp_path, mode):
    result = _run(songs, tmp_path / "run", systems=(f"faulty:{mode}", "quarter"))
    frame = result.cells()
    bad = frame[frame["family"] == "generative"]
    assert len(bad) == 8 and bad["status"].str.startswith("failed: ").all()
    assert (frame[frame["system"] == "quarter"]["status"] == "ok").all()
    assert result.too_many_failures


def test_missing_stems_are_rows_not_gaps(songs, tmp_path):
    frame = _run(songs, tmp_path / "run", systems=("faulty:vocals-only",)).cells()
    status = frame.set_index(["track", "stem"])["status"]
    assert status["one", "vocals"] == "ok"
    assert status["one", "bass"].startswith("failed: ")


def test_a_broken_track_is_named_and_the_rest_goes_on(songs, tmp_path):
    (songs / "two" / "drums.wav").write_bytes(b"RIFF nothing here")
    frame = _run(songs, tmp_path / "run").cells()
    assert (frame[frame["track"] == "one"]["status"] == "ok").all()
    assert frame[frame["track"] == "two"]["status"].str.contains("drums.wav").all()


def test_failures_are_tried_again_and_mended(songs, tmp_path):
    good = (songs / "two" / "drums.wav").read_bytes()
    (songs / "two" / "drums.wav").write_bytes(b"RIFF nothing here")
    _run(songs, tmp_path / "run")
    (songs / "two" / "drums.wav").write_bytes(good)
    result = _run(songs, tmp_path / "run")
    assert (result.cells()["status"] == "ok").all() and not result.too_many_failures


def test_draws_of_a_deterministic_system_are_one(songs, tmp_path):
    frame = _run(songs, tmp_path / "run", draws=3).cells()
    assert set(frame["draw"]) == {0}


def test_kept_estimates_are_scored_from_what_was_written(songs, tmp_path):
    first = _run(songs, tmp_path / "run", keep_estimates="flac").cells()
    written = sorted((tmp_path / "run" / "estimates").rglob("*.flac"))
    assert len(written) == 8
    folder = tmp_path / "copies" / "one"
    for path in written[:4]:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / path.name).write_bytes(path.read_bytes())
    (songs / "two").rename(tmp_path / "two")
    second = _run(songs, tmp_path / "again", systems=(f"dir:{tmp_path / 'copies'}",)).cells()
    assert list(first[first["track"] == "one"]["value"]) == list(second["value"])


def test_keeping_estimates_does_not_clip_what_is_scored(songs, tmp_path):
    """The mixture of loud stems exceeds full scale; FLAC would clip it and move its score."""
    for path in songs.rglob("*.wav"):
        audio = benchsep.audio.read_audio(path)
        write_audio(path, Audio(audio.samples * (0.9 / abs(audio.samples).max()), audio.rate))
    frames = {
        kept: _run(songs, tmp_path / kept, systems=("mixture",), keep_estimates=kept).cells()
        for kept in ("none", "flac")
    }
    assert abs(benchsep.audio.read_audio(
        next((tmp_path / "flac" / "estimates").rglob("*.wav"))
    ).samples).max() > 1  # fmt: skip
    np.testing.assert_allclose(frames["none"]["value"], frames["flac"]["value"], atol=1e-4)


def test_an_accompaniment_file_changes_nothing(songs, tmp_path):
    estimates = tmp_path / "estimates"
    for track in ("one", "two"):
        for stem in STEMS:
            write_audio(
                estimates / track / f"{stem}.wav",
                benchsep.audio.read_audio(songs / track / f"{stem}.wav"),
            )
    first = _run(songs, tmp_path / "a", systems=(f"dir:{estimates}",)).cells()
    write_audio(
        estimates / "one" / "accompaniment.wav", Audio(np.ones((2, 4410), np.float32), 44_100)
    )
    second = _run(songs, tmp_path / "b", systems=(f"dir:{estimates}",)).cells()
    assert first["value"].equals(second["value"])


def test_damaged_cells_are_set_aside_named_and_recomputed(songs, tmp_path, capsys):
    whole = _run(songs, tmp_path / "run").cells()
    path = next((tmp_path / "run" / "cells").glob("*/*.json"))
    path.write_bytes(path.read_bytes().replace(b"0", b"1", 1))
    frame = _run(songs, tmp_path / "run").cells()
    assert "damaged" in capsys.readouterr().err
    assert frame.drop(columns=["seconds"]).equals(whole.drop(columns=["seconds"]))


def test_editions_never_share_a_run_folder(songs, tmp_path):
    _run(songs, tmp_path / "run")
    with pytest.raises(benchsep.errors.UsageError, match="edition"):
        _run(songs, tmp_path / "run", dataset="clip")


def test_the_store_is_strict_json(songs, tmp_path):
    _run(songs, tmp_path / "run")

    def refuse(name: str) -> None:
        raise AssertionError(name)

    for path in (tmp_path / "run").rglob("*.json"):
        json.loads(path.read_text(), parse_constant=refuse)


SUITE = """\
dataset: folder:{songs}
systems: [mixture]
yardsticks: false
metrics: [usdr, sisdr]
"""


def _table(run: Path) -> str:
    frame = benchsep.load_run(run)
    return frame.drop(columns=["seconds"]).to_csv(index=False)


def _cli(*words: str) -> subprocess.Popen:
    command = [sys.executable, "-m", "benchsep", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_a_killed_run_resumes_to_the_same_bytes(songs, tmp_path):
    suite = tmp_path / "suite.yaml"
    suite.write_text(SUITE.format(songs=songs))
    undisturbed = tmp_path / "undisturbed"
    assert _cli("run", str(suite), "-o", str(undisturbed), "-j", "1").wait() == 0
    killed = tmp_path / "killed"
    for delay in (0.8, 1.2, 1.6):
        process = _cli("run", str(suite), "-o", str(killed), "-j", "1")
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert _cli("run", str(suite), "-o", str(killed), "-j", "1").wait() == 0
    assert _table(killed) == _table(undisturbed)
    assert not list(killed.rglob("*.partial*")) and not (killed / "claims").exists()


def test_what_another_run_did_since_the_plan_is_not_done_again(songs, tmp_path, monkeypatch):
    """The job is free to claim: whoever did it has released it."""
    spec = f"cmd:{sys.executable} {_counting_program(tmp_path)} {{mixture}} {{out}}"
    plan_alone = runner.make_plan

    def overtaken(suite, store, **how):
        plan = plan_alone(suite, store, **how)
        monkeypatch.setattr("benchsep.runner.run.make_plan", plan_alone)
        _run(songs, tmp_path / "run", systems=(spec,))
        return plan

    monkeypatch.setattr("benchsep.runner.run.make_plan", overtaken)
    result = _run(songs, tmp_path / "run", systems=(spec,))
    assert (tmp_path / "count").read_text() == "xx" and result.outcomes == []
    assert not (tmp_path / "run" / "claims").exists()
    again = _run(songs, tmp_path / "run", systems=(spec,), overwrite="always")
    assert (tmp_path / "count").read_text() == "xxxx" and len(again.outcomes) == 2


def _counting_program(folder: Path) -> Path:
    """A separator that leaves a letter in ``count`` each time it runs."""
    program = folder / "counting.py"
    program.write_text(
        "import pathlib, shutil, sys\n"
        "mixture, out = map(pathlib.Path, sys.argv[1:])\n"
        f"open({str(folder / 'count')!r}, 'a').write('x')\n"
        "for stem in ('vocals', 'drums', 'bass', 'other'):\n"
        "    shutil.copy(mixture, out / f'{stem}.wav')\n"
    )
    return program


def test_two_processes_on_one_folder_do_each_cell_once(songs, tmp_path):
    suite = tmp_path / "suite.yaml"
    suite.write_text(SUITE.format(songs=songs))
    both = [_cli("run", str(suite), "-o", str(tmp_path / "run"), "-j", "1") for _ in range(2)]
    assert [p.wait() for p in both] == [0, 0]
    frame = benchsep.load_run(tmp_path / "run")
    assert not frame.duplicated(["system", "track", "stem", "metric", "draw"]).any()
    assert len(frame) and not frame["status"].str.startswith("failed").any()


def test_a_worker_that_dies_costs_its_job_only(songs, tmp_path):
    systems = ("mixture", "cmd:sh -c 'kill -9 $PPID' {mixture} {out}")
    result = benchsep.run(
        out=tmp_path / "run",
        dataset=f"folder:{songs}",
        systems=systems,
        metrics=("usdr",),
        yardsticks=False,
        jobs=2,
    )
    frame = result.cells()
    assert (frame[frame["system"] == "mixture"]["status"] == "ok").all()
    assert frame[frame["system"] == "cmd:sh"]["status"].str.contains("died").all()


def test_a_job_that_never_returns_is_stopped(songs, tmp_path):
    result = benchsep.run(
        out=tmp_path / "run",
        dataset=f"folder:{songs}",
        systems=("cmd:sleep 600 {mixture} {out}",),
        metrics=("usdr",),
        yardsticks=False,
        limit=1,
        jobs=1,
        timeout=10.0,  # starting the worker, on a busy machine, takes seconds
    )
    # `sleep` refuses the extra words at once on some systems; either way it is a row.
    assert result.cells()["status"].str.startswith("failed: ").all()


@pytest.mark.parametrize(
    "names",
    [("Song", "song"), ("Song", "Song "), ("caf\u00e9", "cafe\u0301")],
    ids=["case", "space", "accent"],
)
def test_songs_that_a_folder_of_estimates_cannot_tell_apart_are_refused(tmp_path, names):
    """The second song was scored with the estimates of the first one."""
    songs = noise_songs(tmp_path / "songs", names, seconds=0.1)
    noise_songs(tmp_path / "est", names[:1], seconds=0.1)
    with pytest.raises(UsageError, match="has the same files of estimates for both"):
        _run(songs, tmp_path / "run", systems=(f"dir:{tmp_path / 'est'}",))
    assert not (tmp_path / "run").exists()
    assert len(_run(songs, tmp_path / "run", systems=("mixture",)).outcomes) == 2


def test_songs_whose_names_are_signs_alone_are_several(tmp_path):
    songs = noise_songs(tmp_path / "songs", ("---", "___"), seconds=0.1)
    assert len(_run(songs, tmp_path / "run").outcomes) == 2
