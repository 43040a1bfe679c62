"""``benchsep data``: every fault of a made-up folder is found, a whole one has none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchsep.audio import STEMS, Audio, write_audio
from benchsep.cli.app import app
from benchsep.datasets import inspect as inspection
from benchsep.datasets.inspect import inspect
from benchsep.datasets.known import KNOWN
from benchsep.datasets.musdb import VALIDATION

HQ = replace(KNOWN["musdb18hq"], counts={"train": 1, "test": 2}, seconds=(0.0, 10.0))


def write(folder: Path, name: str, frames: int = 4410, rate: int = 44_100, gain: float = 1) -> None:
    rng = np.random.default_rng(len(name))
    samples = (gain * rng.normal(0, 0.05, (2, frames))).astype(np.float32)
    write_audio(folder / f"{name}.wav", Audio(samples, rate))


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(inspection, "VALIDATION", VALIDATION[:1])
    for place in (f"train/{VALIDATION[0]}", "test/A - B", "test/PR - Oh No"):
        folder, rng = tmp_path / place, np.random.default_rng(0)
        stems = {s: rng.normal(0, 0.05, (2, 4410)).astype(np.float32) for s in STEMS}
        stems["mixture"] = np.sum(list(stems.values()), axis=0)
        for name, samples in stems.items():
            write_audio(folder / f"{name}.wav", Audio(samples, 44_100))
    return tmp_path


def faults(root: Path, *, deep: bool = False) -> list[str]:
    return [f"{f.where}: {f.what}" for f in inspect(HQ, root, deep=deep) if f.state == "fault"]


def test_a_whole_folder_has_no_fault_and_tells_the_errata(root: Path) -> None:
    assert faults(root, deep=True) == []
    known = [f.where for f in inspect(HQ, root) if f.state == "known"]
    assert known == ["test/PR - Oh No"]


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda s: (s / "bass.wav").unlink(), "no bass.wav"),
        (lambda s: write(s, "bass", frames=4000), "files differ"),
        (lambda s: write(s, "bass", rate=22_050), "files differ"),
        (lambda s: (s / "bass.wav").write_bytes(b"no sound"), "bass.wav cannot be read"),
        (lambda s: s.rename(s.parents[1] / "gone"), "1 tracks, expected 2"),
        (lambda s: s.rename(s.with_name(VALIDATION[0])), "is in train and in test"),
        (
            lambda s: [write(s, n, rate=8000) for n in ("mixture", *STEMS)],
            "8000 Hz, expected 44100",
        ),
        (lambda s: [write(s, n, frames=500_000) for n in ("mixture", *STEMS)], "11.3 s long"),
    ],
)
def test_each_fault_is_found(root: Path, spoil: Callable[[Path], object], expected: str) -> None:
    spoil(root / "test" / "A - B")
    found = faults(root)
    assert any(expected in fault for fault in found), found


def test_a_validation_song_that_is_missing_or_in_test_is_found(root: Path) -> None:
    (root / "train" / VALIDATION[0]).rename(root / "test" / VALIDATION[0])
    found = "\n".join(faults(root))
    assert "belongs to train" in found and "is missing or has another name" in found


def test_only_deep_compares_the_mixture_with_the_sum(root: Path) -> None:
    write(root / "test" / "A - B", "vocals", gain=3)
    write(root / "test" / "PR - Oh No", "vocals", gain=3)
    assert faults(root) == []
    (fault,) = faults(root, deep=True)
    assert fault.startswith("test/A - B: mixture minus stems is at")


def test_moisesdb_finds_missing_files(tmp_path: Path) -> None:
    song = tmp_path / "moisesdb_v0.1" / "u1"
    write(song / "vocals", "t1")
    tracks = [{"id": name, "extension": "wav"} for name in ("t1", "t2")]
    stems = [{"stemName": "vocals", "tracks": tracks}]
    (song / "data.json").write_text(json.dumps({"song": "s", "artist": "a", "stems": stems}))
    found = [
        (f.where, f.what) for f in inspect(replace(KNOWN["moisesdb"], counts={"": 1}), tmp_path)
    ]
    assert found == [(".", "1 tracks"), ("a - s", "no t2.wav")]


def test_the_command_exits_with_1_on_findings_and_2_on_a_wrong_name(root: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["data", "musdb18hq", "--root", str(root)])
    assert done.exit_code == 1 and "2 tracks, expected 50" in done.output
    listed = runner.invoke(app, ["data"])
    assert listed.exit_code == 0 and all(name in listed.output for name in KNOWN)
    assert "did you mean 'musdb18hq'" in str(runner.invoke(app, ["data", "musdb18h"]).exception)
    absent = runner.invoke(app, ["data", "musdb18hq", "--root", str(root / "no")])
    assert "no such folder" in str(absent.exception)


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """Two songs in a folder of one's own, the second with a mixture 2 dB too loud."""
    for name, gain in (("one", 1.0), ("two", 1.26)):
        parts = {
            s: np.random.default_rng(k).normal(0, 0.05, (2, 4410)) for k, s in enumerate(STEMS)
        }
        parts["mixture"] = gain * np.sum(list(parts.values()), axis=0)
        for stem, samples in parts.items():
            audio = Audio(samples.astype(np.float32), 44_100)
            write_audio(tmp_path / "songs" / name / f"{stem}.wav", audio)
    return tmp_path / "songs"


def test_a_folder_of_songs_is_checked_too(songs: Path) -> None:
    call = ["data", f"folder:{songs}"]
    assert CliRunner().invoke(app, call).exit_code == 0
    deep = CliRunner().invoke(app, [*call, "--deep"])
    assert deep.exit_code == 0  # a note is no fault
    assert "mixture minus stems is at -13.7 dB of the mixture, expected at most -20" in deep.stdout
    assert "one" not in deep.stdout
    (songs / "two" / "bass.wav").unlink()
    write(songs / "one", "drums", frames=44_100)
    found = CliRunner().invoke(app, call)
    assert found.exit_code == 1
    assert "no bass; songs that have it: 1" in found.stdout
    assert "lengths differ" in found.stdout
    assert "2 faults" in found.stderr


def test_a_folder_needs_a_path() -> None:
    failed = CliRunner().invoke(app, ["data", "folder:"])
    assert "needs a path" in str(failed.exception)
