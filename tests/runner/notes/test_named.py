"""A program's files whose names say more than a stem are named, as those of a folder are."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchsep.audio import Audio, write_audio
from benchsep.cli.app import app

PROGRAM = """\
import pathlib, shutil, sys
for name in sys.argv[3:]:
    path = pathlib.Path(sys.argv[2]) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(sys.argv[1], path)
"""


def said(tmp_path: Path, *files: str) -> str:
    """What a run of a program that writes these files says, and then its tables."""
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    spec = f"p=cmd:{sys.executable} {script} {{mixture}} {{out}} {' '.join(files)}"
    words = "--dataset clip --metrics usdr --stems vocals --no-yardsticks -j 1"
    call = ["run", "--systems", spec, *words.split(), "-o", str(tmp_path / "run")]
    run = CliRunner().invoke(app, call)
    assert run.exit_code == 0, run.output
    shown = CliRunner().invoke(app, ["show", str(tmp_path / "run"), "--all"])
    assert ("by the end" in run.output) == ("by the end" in shown.output)
    return " ".join(shown.output.split())


def test_a_part_of_a_stem_that_a_program_writes_is_named(tmp_path: Path) -> None:
    text = said(tmp_path, "lead_vocals.wav")
    assert "p: files were read by the end of their names (vocals from lead_vocals.wav)" in text


@pytest.mark.parametrize(
    "files",
    [
        ("vocals.wav", "drums.wav"),
        ("mixture_(Vocals)_model.wav",),
        ("model_vocals.wav", "model_drums.wav"),
        ("model/mixture/vocals.wav",),
    ],
)
def test_names_of_the_song_and_of_the_model_are_not(tmp_path: Path, files: tuple[str, ...]) -> None:
    assert "by the end of their names" not in said(tmp_path, *(f"'{name}'" for name in files))


def test_separate_says_it_too(tmp_path: Path) -> None:
    write_audio(tmp_path / "song.wav", Audio(np.zeros((2, 8000), np.float32), 8000))
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    spec = f"cmd:{sys.executable} {script} {{mixture}} {{out}} lead_vocals.wav drums.wav"
    call = ["separate", str(tmp_path / "song.wav"), "--system", spec, "-o", str(tmp_path / "out")]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    assert "lead_vocals.wav was read as vocals, by the end of its name" in done.output
    assert "drums is" not in done.output
