"""What decides whether a cell is done: every field of a suite, every source of a change."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import benchsep
from benchsep import registry
from benchsep.audio import STEMS, Audio, read_audio, write_audio
from benchsep.cli.app import app
from benchsep.runner.plan import make_plan
from benchsep.runner.store import Store
from benchsep.runner.suite import Suite, load_suite
from benchsep.systems.contract import SystemInfo

RATE = 8000


class Noise:
    """A system that samples: its estimates follow the seed."""

    def __init__(self, level: str = "0.1", device: str = "cpu") -> None:
        self.level = float(level)
        self.info = SystemInfo(
            "noise", "generative", deterministic=False, options={"level": self.level}
        )

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]:
        rng = np.random.default_rng(seed)
        return {
            stem: Audio(rng.normal(0, self.level, mixture.samples.shape), mixture.rate)
            for stem in STEMS
        }


@pytest.fixture
def noise(monkeypatch):
    monkeypatch.setitem(registry._local["system"], "noise", Noise)


def write_song(folder: Path, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    stems = {s: rng.normal(0, 0.1, (2, 4000)).astype(np.float32) for s in STEMS}
    for stem, samples in stems.items():
        write_audio(folder / f"{stem}.wav", Audio(samples, RATE))
    write_audio(folder / "mixture.wav", Audio(1.5 * sum(stems.values()), RATE))


@pytest.fixture
def songs(tmp_path):
    for number, name in enumerate(("one", "two")):
        write_song(tmp_path / "songs" / name, number)
    return tmp_path / "songs"


def suite(songs, **changes) -> Suite:
    base = {
        "dataset": f"folder:{songs}",
        "systems": ("noise", "mixture"),
        "yardsticks": False,
        "metrics": ("usdr",),
        "inline": True,
    }
    return load_suite(None, **{**base, **changes})


MOVES = {
    "dataset": lambda songs: f"folder:{songs.parent / 'others'}",
    "mixture": lambda songs: "sum",
    "systems": lambda songs: ("noise:level=0.2",),
    "yardsticks": lambda songs: True,
    "metrics": lambda songs: ("usdr", "sisdr"),
    "seed": lambda songs: 7,
    "draws": lambda songs: 2,
    "keep_estimates": lambda songs: "flac",
    "align": lambda songs: True,
    "overwrite": lambda songs: "always",
}
"""Fields of a suite and a changed value with which some cell has to be computed."""

DOES_NOT_MOVE = {
    "root": "where the data is; its files are compared",
    "split": "chooses tracks; each track has its own record (tested below)",
    "stems": "chooses stems; all of them are there",
    "stem_set": "another set is refused in the same folder (tests/runner/test_stem_sets.py)",
    "all_stems": "chooses stems for speech metrics; there is none in this suite",
    "tracks": "chooses tracks",
    "limit": "chooses tracks",
    "device": "tested below: there is no other device here",
    "metric_device": "equal within a tolerance (tests/runner/test_metric_device.py)",
    "jobs": "the same bytes with any number of processes (tests/runner/executors)",
    "inline": "the same bytes in this process and in workers (tests/runner/executors)",
    "cluster": "the same bytes on a cluster (tests/runner/executors)",
    "fail_on_error": "the exit code",
    "timeout": "a job that ran out of time is a failure and is run again",
}


def test_every_field_of_a_suite_is_accounted_for():
    assert set(MOVES) | set(DOES_NOT_MOVE) == set(Suite.model_fields)


@pytest.mark.parametrize("field", MOVES)
def test_a_changed_field_computes_cells_and_shows_the_new_ones(noise, songs, tmp_path, field):
    write_song(tmp_path / "others" / "one", 5)
    benchsep.run(suite(songs), out=tmp_path / "run")
    assert not make_plan(suite(songs), Store(tmp_path / "run")).jobs
    changed = suite(songs, **{field: MOVES[field](songs)})
    assert make_plan(changed, Store(tmp_path / "run")).jobs
    benchsep.run(changed, out=tmp_path / "run")
    benchsep.run(changed, out=tmp_path / "fresh")
    again, fresh = (benchsep.load_run(tmp_path / name) for name in ("run", "fresh"))
    asked = again[again["system"].isin(fresh["system"])]
    place = ["system", "track", "metric", "stem", "draw"]
    columns = [*place, "value"]
    merged = asked[columns].merge(fresh[columns], on=place, suffixes=("", "_fresh"))
    assert len(merged) == len(fresh)
    assert np.array_equal(merged["value"], merged["value_fresh"], equal_nan=True)


def test_the_kind_of_device_and_the_versions_of_packages_are_part_of_a_key(songs, monkeypatch):
    from benchsep.runner import done

    info = SystemInfo("x", "generative")
    cpu, gpu = done.engine(info, "cpu"), done.engine(info, "cuda:1")
    assert cpu != gpu and gpu["device"] == "cuda"
    assert "torch" in cpu
    assert done.engine(SystemInfo("mixture", "mixture"), "cuda") == {}
    monkeypatch.setattr(done, "installed", lambda packages: dict.fromkeys(packages, "99"))
    assert done.engine(info, "cpu") != cpu


def values(run):
    cells = benchsep.load_run(run)
    return {(c.system, c.track, c.stem): c.value for c in cells.itertuples()}


def test_a_song_that_was_renamed_counts_once(noise, songs, tmp_path):
    benchsep.run(suite(songs), out=tmp_path / "run")
    (songs / "one").rename(songs / "uno")
    benchsep.run(suite(songs), out=tmp_path / "run")
    assert {track for _, track, _ in values(tmp_path / "run")} == {"uno", "two"}


def test_cells_of_another_request_are_kept_and_not_shown(noise, songs, tmp_path):
    run = tmp_path / "run"
    benchsep.run(suite(songs, draws=3), out=run)
    benchsep.run(suite(songs, tracks=("one",)), out=run)
    cells = benchsep.load_run(run)
    assert set(cells["track"]) == {"one"} and set(cells["draw"]) == {0}
    benchsep.run(suite(songs, draws=3), out=run)
    cells = benchsep.load_run(run)
    assert set(cells["track"]) == {"one", "two"} and set(cells["draw"]) == {0, 1, 2}


def test_other_systems_of_the_same_audio_stay_in_the_table(noise, songs, tmp_path):
    run = tmp_path / "run"
    benchsep.run(suite(songs, systems=("noise",)), out=run)
    benchsep.run(suite(songs, systems=("mixture",)), out=run)
    assert {system for system, _, _ in values(run)} == {"noise", "mixture"}
    # With other audio under the same names, the first system's cells are of another request.
    write_song(songs / "one", 9)
    benchsep.run(suite(songs, systems=("mixture",)), out=run)
    assert {track for system, track, _ in values(run) if system == "noise"} == {"two"}


def test_other_true_stems_of_the_same_mixture_are_another_song(noise, songs, tmp_path):
    """A corrected reference, and a run of one system: the others kept values against the old one,
    in the same column.
    """
    run = tmp_path / "run"
    benchsep.run(suite(songs), out=run)
    before = values(run)
    true = read_audio(songs / "one" / "vocals.wav").samples
    write_audio(songs / "one" / "vocals.wav", Audio(0.5 * true, RATE))
    benchsep.run(suite(songs, systems=("mixture",)), out=run)
    after = values(run)
    assert {track for system, track, _ in after if system == "noise"} == {"two"}
    assert after["mixture", "one", "vocals"] != before["mixture", "one", "vocals"]
    benchsep.run(suite(songs), out=run)
    benchsep.run(suite(songs), out=tmp_path / "fresh")
    assert values(run) == values(tmp_path / "fresh")


class Stopped(BaseException):
    """As a signal: no ``Exception``."""


@pytest.mark.parametrize("end", ["asked to end", "killed"])
def test_a_run_that_was_stopped_knows_the_audio_of_its_songs(
    noise, songs, tmp_path, monkeypatch, end
):
    """The true stems of both songs are corrected, and a run of one system ends after a song:
    values of the other system against the old stems stood beside the new ones.
    """
    run = tmp_path / "run"
    benchsep.run(suite(songs), out=run)
    before = values(run)
    for song in ("one", "two"):
        true = read_audio(songs / song / "vocals.wav").samples
        write_audio(songs / song / "vocals.wav", Audio(0.5 * true, RATE))
    done = []

    @contextlib.contextmanager
    def progress(plan):
        def listener(outcome):
            if done:
                if end == "killed":  # nothing is written any more
                    patched.setattr(Store, "write_manifest", lambda *_: None)
                raise Stopped
            done.append(outcome.track)

        yield listener

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr("benchsep.runner.songs.EVERY_S", 0.0)
        benchsep.run(suite(songs, systems=("mixture",)), out=run, progress=progress)
    after, (first,) = values(run), done
    shown = CliRunner().invoke(app, ["show", str(run), "--format", "md"])
    assert "This run is not finished" in shown.stdout
    assert after["mixture", first, "vocals"] != before["mixture", first, "vocals"]
    assert {track for system, track, _ in after if system == "noise"} == {"one", "two"} - {first}
    benchsep.run(suite(songs), out=run)
    benchsep.run(suite(songs), out=tmp_path / "fresh")
    assert values(run) == values(tmp_path / "fresh")
    shown = CliRunner().invoke(app, ["show", str(run), "--format", "md"])
    assert "not finished" not in shown.stdout


def test_a_run_of_another_request_in_the_folder_keeps_its_manifest(songs, tmp_path, monkeypatch):
    """Two runs at once: the songs' audio is written by the one whose request is there."""
    run = tmp_path / "run"
    monkeypatch.setattr("benchsep.runner.songs.EVERY_S", 0.0)

    @contextlib.contextmanager
    def progress(plan):
        if not (run / "other").exists():
            (run / "other").touch()
            benchsep.run(suite(songs, systems=("mixture",), limit=1), out=run)
        yield lambda outcome: limits.append(Store(run).manifest()["suite"]["limit"])

    limits = []
    benchsep.run(suite(songs, systems=("mixture",)), out=run, progress=progress)
    assert set(limits) == {1}
    assert Store(run).manifest()["suite"]["limit"] is None


def test_aligned_estimates_do_not_stand_beside_estimates_that_are_not(songs, tmp_path):
    for name, late in (("late", 40), ("exact", 0)):
        new_estimates(tmp_path / name, 0, late=late)
    both = suite(songs, systems=(f"dir:{tmp_path / 'late'}", f"dir:{tmp_path / 'exact'}"))
    benchsep.run(both.model_copy(update={"align": True}), out=tmp_path / "run")
    assert {system for system, _, _ in values(tmp_path / "run")} == {"dir:late", "dir:exact"}
    # Without a lag there is nothing to align: such cells are those of both requests.
    benchsep.run(suite(songs, systems=("mixture",)), out=tmp_path / "run")
    assert {system for system, _, _ in values(tmp_path / "run")} == {"mixture", "dir:exact"}
    benchsep.run(suite(songs, systems=("mixture",), align=True), out=tmp_path / "run")
    assert {system for system, _, _ in values(tmp_path / "run")} == {
        "mixture", "dir:exact", "dir:late"
    }  # fmt: skip


def test_a_folder_of_estimates_stays_in_the_table_of_another_seed(noise, songs, tmp_path):
    """It was taken for a system that samples once a later run left it out."""
    new_estimates(tmp_path / "mine", 0)
    benchsep.run(suite(songs, systems=("noise", f"dir:{tmp_path / 'mine'}")), out=tmp_path / "run")
    benchsep.run(suite(songs, systems=("mixture",), seed=7), out=tmp_path / "run")
    assert {system for system, _, _ in values(tmp_path / "run")} == {"mixture", "dir:mine"}


PROGRAM = """
import pathlib, sys
import soundfile
from helper import GAIN
gain = float(pathlib.Path(sys.argv[3].removeprefix("--gain=")).read_text())
samples, rate = soundfile.read(sys.argv[1])
samples *= gain
for stem in ("vocals", "drums", "bass", "other"):
    soundfile.write(pathlib.Path(sys.argv[2]) / f"{stem}.wav", GAIN * samples, rate)
"""


CALLS = {
    "interpreter": "{python} {folder}/program.py {mixture} {out} {folder}/gain.txt",
    "executable": "{folder}/program.py {mixture} {out} {folder}/gain.txt",
    "option": "{python} {folder}/program.py {mixture} {out} --gain={folder}/gain.txt",
    "shell": "bash -c '\"{python}\" {folder}/program.py {mixture} {out} {folder}/gain.txt'",
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("changed", ["program.py", "helper.py", "gain.txt"])
def test_a_program_that_was_edited_runs_again(songs, tmp_path, call, changed, monkeypatch):
    monkeypatch.setattr("benchsep.systems.command.SMALL", 3)  # gain.txt is a large file
    program = tmp_path / "program"
    program.mkdir()
    (program / "program.py").write_text(f"#!{sys.executable}\n{PROGRAM}")
    (program / "program.py").chmod(0o755)
    (program / "helper.py").write_text("GAIN = 0.25\n")
    (program / "gain.txt").write_text("0.50")
    os.utime(program / "gain.txt", ns=(0, 0))
    command = CALLS[call].replace("{folder}", str(program)).replace("{python}", sys.executable)
    asked = suite(songs, systems=(f"cmd:{command}",), tracks=("one",))
    benchsep.run(asked, out=tmp_path / "run")
    before = values(tmp_path / "run")
    plan = make_plan(asked, Store(tmp_path / "run"))
    assert not plan.jobs and len(plan.kept_programs) == 1
    text = (program / changed).read_text().replace("GAIN *", "0.5 *")
    text = text.replace("GAIN = 0.25", "GAIN = 0.5").replace("0.50", "0.75")
    (program / changed).write_text(text)
    os.utime(program / changed, ns=(0, 0))  # of equal size and time: gain.txt
    assert not make_plan(asked, Store(tmp_path / "run")).kept_programs
    benchsep.run(asked, out=tmp_path / "run")
    after = values(tmp_path / "run")
    assert before and all(after[key] != before[key] for key in before)


class Weights:
    """A system whose weights are a file that may change."""

    path: Path

    def __init__(self, device: str = "cpu") -> None:
        text = self.path.read_text()
        self.gain = float(text)
        self.info = SystemInfo("weights", "discriminative", checkpoint="w", checkpoint_sha256=text)

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]:
        return {s: Audio(self.gain * mixture.samples, mixture.rate) for s in STEMS}


def test_results_of_other_weights_are_not_stored_under_the_planned_name(
    songs, tmp_path, monkeypatch
):
    monkeypatch.setitem(registry._local["system"], "weights", Weights)
    Weights.path = tmp_path / "weights.txt"
    Weights.path.write_text("0.25")
    asked = suite(songs, systems=("weights",), tracks=("one",))

    def changed_after_planning(plan):
        Weights.path.write_text("0.5")
        from contextlib import nullcontext

        return nullcontext(lambda outcome: None)

    result = benchsep.run(asked, out=tmp_path / "run", progress=changed_after_planning)
    assert result.failed and "was weights@w (0.25)" in result.failed[0].message
    assert benchsep.load_run(tmp_path / "run")["value"].isna().all()


def test_weights_that_change_between_two_runs_of_one_process_are_used(songs, tmp_path, monkeypatch):
    monkeypatch.setitem(registry._local["system"], "weights", Weights)
    Weights.path = tmp_path / "weights.txt"
    for number, text in enumerate(("0.25", "0.5")):
        Weights.path.write_text(text)
        asked = suite(songs, systems=("weights",), tracks=("one",))
        benchsep.run(asked, out=tmp_path / f"run{number}")
    first, second = (values(tmp_path / f"run{n}") for n in (0, 1))
    assert all(first[key] != second[key] for key in first)


def test_two_folders_of_one_name_are_two_rows(songs, tmp_path):
    for run, gain in (("run1", 0.3), ("run2", 0.6)):
        for song in ("one", "two"):
            for stem in STEMS:
                samples = np.full((2, 4000), gain, np.float32)
                write_audio(
                    tmp_path / run / "htdemucs" / song / f"{stem}.wav", Audio(samples, RATE)
                )
    specs = tuple(f"dir:{tmp_path / run / 'htdemucs'}" for run in ("run1", "run2"))
    benchsep.run(suite(songs, systems=specs), out=tmp_path / "run")
    systems = {system for system, _, _ in values(tmp_path / "run")}
    assert systems == {"dir:run1/htdemucs", "dir:run2/htdemucs"}


def new_estimates(folder: Path, seed: int, *, late: int = 0) -> None:
    for song in ("one", "two"):
        for number, stem in enumerate(STEMS):
            rng = np.random.default_rng([seed, number])
            true = read_audio(folder.parent / "songs" / song / f"{stem}.wav").samples
            samples = np.roll(true, late, 1) + rng.normal(0, 0.01, true.shape)
            write_audio(folder / song / f"{stem}.wav", Audio(samples.astype(np.float32), RATE))


CHANGES = {
    "files": ({}, {"stems": ("vocals",)}),
    "seed": ({"seed": 7}, {"metrics": ("usdr",)}),
    "align": ({"align": True}, {"metrics": ("usdr",)}),
    "keep_estimates": ({"keep_estimates": "flac"}, {"draws": 1}),
}
"""What changes, and a smaller request with it."""


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_smaller_request_left_out_is_not_taken_for_new(noise, songs, tmp_path, change):
    """All, then a change and a part of it, then all again: the rest kept its old values."""
    folder = tmp_path / "estimates"
    new_estimates(folder, 0, late=40)
    whole = {"systems": ("noise", f"mine=dir:{folder}"), "metrics": ("usdr", "sisdr"), "draws": 2}
    benchsep.run(suite(songs, **whole), out=tmp_path / "run")
    if change == "files":
        new_estimates(folder, 1)
    changed, smaller = CHANGES[change]
    for asked in (changed | smaller, changed):
        benchsep.run(suite(songs, **{**whole, **asked}), out=tmp_path / "run")
    benchsep.run(suite(songs, **{**whole, **changed}), out=tmp_path / "fresh")
    found, expected = (benchsep.load_run(tmp_path / name) for name in ("run", "fresh"))
    places = ["system", "track", "metric", "stem", "draw", "status", "value"]
    assert found[places].equals(expected[places])


def test_a_stem_that_a_folder_no_longer_has_is_not_shown(songs, tmp_path):
    folder = tmp_path / "estimates"
    new_estimates(folder, 0)
    asked = suite(songs, systems=(f"mine=dir:{folder}",))
    benchsep.run(asked, out=tmp_path / "run")
    for song in ("one", "two"):
        (folder / song / "bass.wav").unlink()
    benchsep.run(asked, out=tmp_path / "run")
    stems = set(benchsep.load_run(tmp_path / "run").stem)
    assert stems == {"vocals", "drums"}  # without bass, `other` may hold it


def test_metrics_of_the_same_estimates_are_added_step_by_step(noise, songs, tmp_path):
    """What is kept when nothing changed: no cell is lost, and none is computed again."""
    for metrics in (("usdr", "sisdr"), ("lsd",), ("usdr",)):
        benchsep.run(suite(songs, metrics=metrics), out=tmp_path / "run")
    assert len(benchsep.load_run(tmp_path / "run")) == 2 * 2 * 4 * 5
    whole = suite(songs, metrics=("usdr", "sisdr", "lsd"))
    assert not make_plan(whole, Store(tmp_path / "run")).jobs
