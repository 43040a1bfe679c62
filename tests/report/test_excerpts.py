"""The audio of a report is that of the run's values; what has changed since then is reported."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import benchsep
from benchsep import registry
from benchsep.audio import STEMS, Audio, read_audio, write_audio
from benchsep.report.excerpts import Song, Source
from benchsep.runner.store import Store
from benchsep.systems.contract import SystemInfo
from tests.helpers.noise import noise_songs

RATE = 8000


class Clipped:
    """A system with weights."""

    weights = 0.05

    def __init__(self, device: str = "cpu") -> None:
        self.info = SystemInfo("net", "discriminative", checkpoint_sha256=str(self.weights))

    def separate(self, mixture: Audio, *, seed: int) -> dict[str, Audio]:
        limit = float(self.info.checkpoint_sha256)
        return {s: Audio(np.clip(mixture.samples, -limit, limit), mixture.rate) for s in STEMS}


@pytest.fixture
def songs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(registry._local["system"], "net", Clipped)
    return noise_songs(tmp_path / "songs", ("one",))


def run(songs: Path, system: str, **more: Any) -> None:
    benchsep.run(out=songs.parent / "run", dataset=f"folder:{songs}", systems=[system],
                 metrics=["usdr"], yardsticks=False, inline=True, **more)  # fmt: skip


def heard(songs: Path, label: str) -> tuple[Song, list[str]]:
    said: list[str] = []
    (song,) = Source(Store(songs.parent / "run"), say=said.append).songs(["one"], [label])
    return song, said


def level(song: Song) -> float:
    return float(abs(song.estimates["net"]["vocals"].samples).max())


def test_nothing_is_said_of_what_is_as_it_was(songs: Path) -> None:
    run(songs, "net")
    song, said = heard(songs, "net")
    assert said == [] and level(song) == pytest.approx(0.05)


@pytest.mark.parametrize("stem", ["vocals", "bass"])
def test_a_song_that_was_replaced_is_reported(songs: Path, stem: str) -> None:
    run(songs, "net", mixture="sum")
    path = songs / "one" / f"{stem}.wav"
    write_audio(path, Audio(0.5 * read_audio(path).samples, RATE))
    _, (said,) = heard(songs, "net")
    assert said.startswith("'one': the audio here is not that of the run's values")


def test_a_system_with_other_weights_is_left_out(songs: Path, monkeypatch: Any) -> None:
    run(songs, "net")
    monkeypatch.setattr(Clipped, "weights", 0.08)
    song, (said,) = heard(songs, "net")
    assert "net" not in song.estimates
    assert said.startswith("net is left out of 'one': UsageError: its weights, code or options")


def test_kept_estimates_of_the_weights_before_are_not_played(songs: Path, monkeypatch: Any) -> None:
    run(songs, "net", keep_estimates="flac")
    assert level(heard(songs, "net")[0]) == pytest.approx(0.05, abs=1e-4)
    monkeypatch.setattr(Clipped, "weights", 0.08)
    run(songs, "net")
    song, said = heard(songs, "net")
    assert said == [] and level(song) == pytest.approx(0.08)
    run(songs, "net", keep_estimates="flac")
    monkeypatch.setattr(Clipped, "weights", 0.1)  # the kept ones are played, nothing is computed
    song, said = heard(songs, "net")
    assert said == [] and level(song) == pytest.approx(0.08, abs=1e-4)


PROGRAM = """
import pathlib, sys, soundfile
samples, rate = soundfile.read(sys.argv[1])
gain = float(pathlib.Path(__file__).with_name("gain.txt").read_text())
for stem in ("vocals", "drums", "bass", "other"):
    soundfile.write(pathlib.Path(sys.argv[2]) / f"{stem}.wav", gain * samples, rate)
"""


@pytest.mark.parametrize("kind", ["dir", "cmd"])
def test_other_estimates_of_files_and_programs_are_reported(songs: Path, kind: str) -> None:
    mine = songs.parent / "mine"
    noise_songs(mine, ("one",))
    (songs.parent / "program.py").write_text(PROGRAM)
    (songs.parent / "gain.txt").write_text("0.5")
    command = f'cmd:"{sys.executable} {songs.parent}/program.py {{mixture}} {{out}}"'
    run(songs, f"net={f'dir:{mine}' if kind == 'dir' else command}")
    assert heard(songs, "net")[1] == []
    path = mine / "one" / "vocals.wav"
    write_audio(path, Audio(0.5 * read_audio(path).samples, RATE))
    (songs.parent / "gain.txt").write_text("0.25")
    song, (said,) = heard(songs, "net")
    assert "net" in song.estimates
    assert said.startswith("net: its audio of 'one' is not that of the run's values")
