"""Songs from LMMS projects, with a stand-in for the program, and with the program where it is."""

from __future__ import annotations

import json
import os
import shutil
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tokensep import cli
from tokensep.errors import DataError, Unavailable
from tokensep.train.synth import lmms
from typer.testing import CliRunner

from benchsep.audio import STEMS

# Each track sounds at a frequency of its own: 100 Hz times its number in the project.
TRACKS = [
    ("kick02.ogg", "audiofileprocessor", "drums/kick02.ogg", (57,), "0"),
    ("hat", "audiofileprocessor", "drums/hihat_closed02.ogg", (57,), "0"),
    ("Sub", "tripleoscillator", "", (60,), "0"),
    ("Default preset", "zynaddsubfx", "", (24, 26, 31), "0"),
    ("Piano", "audiofileprocessor", "instruments/piano01.ogg", (57, 60), "0"),
    ("Lead", "kicker", "", (60, 62, 64), "0"),
    ("Old lead", "tripleoscillator", "", (70,), "1"),
]
EXPECTED = {
    "vocals": [],
    "drums": ["kick02.ogg", "hat"],
    "bass": ["Sub", "Default preset"],
    "other": ["Piano", "Lead"],
}
PROGRAM = """#!{python}
import sys
import numpy as np, soundfile
from xml.etree import ElementTree
if "--version" in sys.argv:
    print("LMMS 0.0 (stand-in)"); raise SystemExit
source, target = sys.argv[sys.argv.index("render") + 1], sys.argv[sys.argv.index("-o") + 1]
tracks = list(ElementTree.parse(source).iter("track"))
time = np.arange(44100) / 44100
wave = sum([0.1 * np.sin(2 * np.pi * 100 * (n + 1) * time)
            for n, t in enumerate(tracks) if t.get("muted") == "0" and t.get("type") == "0"],
           0 * time)
soundfile.write(target, np.stack([wave, wave], 1), 44100, subtype="FLOAT")
"""


def project(tracks=TRACKS) -> bytes:
    parts = []
    for name, plugin, sample, keys, muted in tracks:
        notes = "".join(
            f'<note key="{key}" pos="{i * 48}" len="48"/>' for i, key in enumerate(keys)
        )
        source = f' src="{sample}"' if sample else ""
        parts.append(
            f'<track type="0" name="{name}" muted="{muted}"><instrumenttrack basenote="57">'
            f'<instrument name="{plugin}"><{plugin}{source}/></instrument></instrumenttrack>'
            f"<pattern>{notes}</pattern></track>"
        )
    song = f"<song><trackcontainer>{''.join(parts)}</trackcontainer></song>"
    return f"<lmms-project><head/>{song}</lmms-project>".encode()


def write_projects(folder: Path) -> Path:
    folder.mkdir()
    (folder / "one.mmp").write_bytes(project())
    packed = project()
    (folder / "two.mmpz").write_bytes(len(packed).to_bytes(4, "big") + zlib.compress(packed))
    return folder


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "lmms"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def level_at(wave: np.ndarray, hertz: int) -> float:
    """Amplitude of a sine of whole periods in ``wave [T]``."""
    phase = 2 * np.pi * hertz * np.arange(len(wave)) / 44100
    return float(np.abs(np.mean(wave * np.exp(-1j * phase))) * 2)


def test_tracks_are_sorted_by_name_sample_plugin_and_pitch(tmp_path):
    for path in sorted(write_projects(tmp_path / "p").iterdir()):
        assert lmms.sorted_tracks(lmms.read_project(path)) == EXPECTED


def test_a_stem_is_the_sound_of_its_tracks_alone(stand_in, tmp_path):
    folder = write_projects(tmp_path / "p")
    out = tmp_path / "songs"
    command = ["synth", str(out), "--source", "lmms", "--projects", str(folder), "--seed", "3"]
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout.splitlines()[-1])["made"] == 2
    song = out / "lmms-3-one"
    waves = {
        name: soundfile.read(str(song / f"{name}.wav"), dtype="int16")[0].astype(int)
        for name in (*STEMS, "mixture")
    }
    assert np.array_equal(sum(waves[s] for s in STEMS), waves["mixture"])
    heard = {
        stem: [n + 1 for n in range(len(TRACKS)) if level_at(waves[stem][:, 0], 100 * (n + 1)) > 50]
        for stem in STEMS
    }
    assert heard == {"vocals": [], "drums": [1, 2], "bass": [3, 4], "other": [5, 6]}
    facts = json.loads((song / "song.json").read_text())
    assert facts["tracks"] == EXPECTED and facts["project"] == "one.mmp"
    manifest = json.loads((out / "manifest.json").read_text())
    assert list(manifest["projects"]) == ["one.mmp", "two.mmpz"]
    # the composer's balance: every track has one amplitude, and drums and bass two tracks each
    drums, bass = (np.sqrt(np.mean(waves[s] ** 2.0)) for s in ("drums", "bass"))
    assert drums == pytest.approx(bass, rel=0.01)


def test_a_run_of_lmms_that_dies_is_repeated(tmp_path):
    """A program that fails twice and then works; and one that never does."""
    count = tmp_path / "count"
    program = tmp_path / "lmms"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom pathlib import Path\n"
        f"p = Path({str(count)!r})\nn = int(p.read_text() or 0) if p.exists() else 0\n"
        "p.write_text(str(n + 1))\nsys.exit(n < int(sys.argv[1]))\n"
    )
    program.chmod(0o755)
    lmms._run_again([str(program), "2"], tmp_path)
    assert count.read_text() == "3"
    count.unlink()
    with pytest.raises(DataError, match="lmms failed"):
        lmms._run_again([str(program), "9"], tmp_path)
    assert count.read_text() == str(lmms.ATTEMPTS)


def test_vocals_have_the_drawn_level_against_the_mixture():
    level = lmms.vocal_level(0.1, -6.0)
    vocals = 10 ** (level / 20)
    assert 20 * np.log10(vocals / np.hypot(vocals, 0.1)) == pytest.approx(-6.0)


def test_a_project_that_fails_is_named_and_the_others_are_made(stand_in, tmp_path):
    folder = write_projects(tmp_path / "p")
    (folder / "alone.mmp").write_bytes(project(TRACKS[:2]))
    (folder / "broken.mmp").write_bytes(b"<lmms-project>")
    out = tmp_path / "songs"
    command = ["synth", str(out), "--source", "lmms", "--projects", str(folder)]
    said = json.loads(CliRunner().invoke(cli.app, command).stdout.splitlines()[-1])
    assert said["made"] == 2 and sorted(said["failed"]) == ["lmms-0-alone", "lmms-0-broken"]
    assert "sound in drums; expected two" in said["failed"]["lmms-0-alone"]
    assert "not an LMMS project" in said["failed"]["lmms-0-broken"]
    for name in ("one.mmp", "two.mmpz"):
        (folder / name).unlink()
    with pytest.raises(DataError, match="no song could be made; the first: alone"):
        cli_run(["synth", str(tmp_path / "none"), "--source", "lmms", "--projects", str(folder)])


def cli_run(command: list[str]) -> None:
    error = CliRunner().invoke(cli.app, command).exception
    if error is not None:
        raise error


def test_what_is_absent_is_named_with_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_: None)
    with pytest.raises(Unavailable, match="apt-get install lmms"):
        lmms.LmmsSongs(lmms.Settings())
    with pytest.raises(Unavailable, match="no LMMS projects"):
        lmms.find_projects((tmp_path,))
    error = CliRunner().invoke(cli.app, ["synth", str(tmp_path), "--source", "midi"]).exception
    assert "expected mma or lmms" in str(error)


def test_licences_of_projects_come_from_the_package_s_copyright_file(tmp_path):
    path = tmp_path / "copyright"
    path.write_text(
        "Format: x\n\nFiles: *\nCopyright: A\nLicense: GPL-2+\n\n"
        "Files: data/projects/demos/One-*\n data/projects/*/Two/*\nCopyright: B\n"
        "License: CC-BY-SA-4\n text\n"
    )
    licences = lmms.read_licences(path)
    root = Path("/usr/share/lmms/projects")
    assert licences.of(root / "demos" / "One-Song.mmpz") == "CC-BY-SA-4"
    assert licences.of(root / "shorties" / "Two" / "x.mmpz") == "CC-BY-SA-4"
    assert licences.of(root / "demos" / "Three.mmpz") == "GPL-2+"
    assert licences.of(tmp_path / "mine.mmp").startswith("unknown")


@pytest.mark.skipif(
    not (shutil.which("lmms") and any(p.is_dir() for p in lmms.PROJECTS)),
    reason="no lmms; apt-get install lmms",
)
def test_a_real_project_is_rendered(tmp_path):
    project = next(p for p in lmms.find_projects(lmms.PROJECTS) if p.stem == "Greshz-CoolSnip")
    made, facts = lmms.LmmsSongs(lmms.Settings(projects=(project,))).make(0, tmp_path)
    assert np.array_equal(sum(made[s].astype(int) for s in STEMS), made["mixture"])
    assert np.abs(made["drums"]).max() > 300 and np.abs(made["other"]).max() > 300
    assert facts["licence"] == "Artistic-2"
