"""Estimates from folders and programs: layouts recognised, pairing by name, no shell."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from benchsep.audio import STEMS, Audio, write_audio
from benchsep.datasets.track import Track
from benchsep.errors import SeparatorError, UsageError
from benchsep.systems.command import Command
from benchsep.systems.folder import EstimatesFolder, recognise

RATE = 8000
MIXTURE = Audio(np.linspace(-0.5, 0.5, 1600, dtype=np.float32).reshape(2, 800), RATE)
TRACK = Track("A - B; rm -rf ~", "test", "folder", loader=lambda: None)


def _stem(path: Path, level: float, frames: int = 800, rate: int = RATE) -> None:
    write_audio(path, Audio(np.full((2, frames), level, np.float32), rate))


LAYOUTS = {
    "musdb": lambda root, track, stem: root / "test" / track / f"{stem}.wav",
    "flat": lambda root, track, stem: root / track / f"{stem}.wav",
    "model": lambda root, track, stem: root / "htdemucs" / track / f"{stem}.wav",
    "audio-separator": lambda root, track, stem: root / f"{track}_({stem.title()})_model_x.wav",
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_are_recognised_and_paired_by_name(tmp_path, name):
    for level, track in ((0.1, "0 first"), (0.2, TRACK.name)):
        for stem in STEMS:
            _stem(LAYOUTS[name](tmp_path, track, stem), level)
    system = EstimatesFolder(str(tmp_path))
    assert system.layout.name == name == system.info.options["layout"]
    estimates = system.estimates(TRACK, MIXTURE)
    assert set(estimates) == set(STEMS)
    assert all(np.allclose(a.samples, 0.2) for a in estimates.values())


def test_other_files_change_nothing(tmp_path):
    for stem in (*STEMS, "accompaniment", "mixture"):
        _stem(tmp_path / TRACK.name / f"{stem}.wav", 0.1)
    assert set(EstimatesFolder(str(tmp_path)).estimates(TRACK, MIXTURE)) == set(STEMS)


def test_a_missing_track_and_a_wrong_length_are_named(tmp_path):
    _stem(tmp_path / "other" / "vocals.wav", 0.1)
    system = EstimatesFolder(str(tmp_path))
    with pytest.raises(SeparatorError, match="no estimate of"):
        system.estimates(TRACK, MIXTURE)
    _stem(tmp_path / TRACK.name / "vocals.wav", 0.1, frames=4000)
    with pytest.raises(SeparatorError, match="4000 frames"):
        system.estimates(TRACK, MIXTURE)


def test_another_rate_is_resampled_and_a_few_samples_are_fitted(tmp_path):
    _stem(tmp_path / TRACK.name / "vocals.wav", 0.1, frames=1600, rate=2 * RATE)
    _stem(tmp_path / TRACK.name / "bass.wav", 0.1, frames=790)
    estimates = EstimatesFolder(str(tmp_path)).estimates(TRACK, MIXTURE)
    assert {a.frames for a in estimates.values()} == {800}


def test_an_empty_folder_and_two_models_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no estimates found"):
        recognise(tmp_path)
    for model in ("a", "b"):
        _stem(tmp_path / model / "song" / "vocals.wav", 0.1)
    with pytest.raises(UsageError, match="several models"):
        recognise(tmp_path)


def test_the_family_can_be_said(tmp_path):
    _stem(tmp_path / "x" / "vocals.wav", 0.1)
    assert EstimatesFolder(f"{tmp_path}::generative").info.family == "generative"
    with pytest.raises(UsageError, match="family"):
        EstimatesFolder(f"{tmp_path}::magic")


PROGRAM = """
import shutil, sys, pathlib
mixture, out, marker = sys.argv[1:4]
for stem in ("vocals", "bass"):
    shutil.copy(mixture, pathlib.Path(out) / f"{stem}.wav")
pathlib.Path(marker).write_text(" ".join(sys.argv[4:]))
"""


def test_a_command_is_split_not_interpreted(tmp_path):
    program, marker = tmp_path / "my separator.py", tmp_path / "marker"
    program.write_text(PROGRAM)
    hostile = "'; touch pwned #' $HOME `id`"
    command = f"{sys.executable} '{program}' {{mixture}} {{out}} {marker} {hostile}"
    estimates = Command(command).separate(MIXTURE, seed=0)
    assert set(estimates) == {"vocals", "bass"}
    assert np.array_equal(estimates["bass"].samples, MIXTURE.samples)
    assert marker.read_text() == "; touch pwned # $HOME `id`"
    assert not Path("pwned").exists()


def test_a_failing_command_says_why(tmp_path):
    with pytest.raises(SeparatorError, match="code 1"):
        Command(f"{sys.executable} -c 'raise SystemExit(1)' {{mixture}} {{out}}").separate(
            MIXTURE, seed=0
        )
    with pytest.raises(SeparatorError, match="cannot be started"):
        Command("no-such-program {mixture} {out}").separate(MIXTURE, seed=0)
    if shutil.which("true"):
        with pytest.raises(SeparatorError, match="left no"):
            Command("true {mixture} {out}").separate(MIXTURE, seed=0)
    with pytest.raises(UsageError, match="must name both"):
        Command("prog {mixture}")
