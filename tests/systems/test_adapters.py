"""Estimates from folders and programs: layouts recognised, pairing by name, no shell."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchsep.audio import STEMS, Audio, write_audio
from benchsep.datasets.track import Track
from benchsep.errors import SeparatorError, UsageError
from benchsep.runner.store import Store
from benchsep.systems.command import Command
from benchsep.systems.contract import SystemInfo
from benchsep.systems.estimate import estimate, estimate_or_error
from benchsep.systems.folder import EstimatesFolder, recognise
from benchsep.systems.spec import load_system

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


def test_what_a_run_has_kept_is_read_by_the_name_that_the_run_gave_it(tmp_path):
    kept = Store(tmp_path).estimate_folder("a system", TRACK.name, 0)
    assert kept.name != TRACK.name
    for stem in STEMS:
        _stem(kept / f"{stem}.wav", 0.2)
    system = EstimatesFolder(str(kept.parent))
    assert all(np.allclose(a.samples, 0.2) for a in system.estimates(TRACK, MIXTURE).values())
    _stem(kept.parent / TRACK.name / "vocals.wav", 0.1)
    estimates = EstimatesFolder(str(kept.parent)).estimates(TRACK, MIXTURE)
    assert np.allclose(estimates["vocals"].samples, 0.1), "the track's own name comes first"


def test_other_files_change_nothing(tmp_path):
    for stem in (*STEMS, "accompaniment", "mixture"):
        _stem(tmp_path / TRACK.name / f"{stem}.wav", 0.1)
    estimates = EstimatesFolder(str(tmp_path)).estimates(TRACK, MIXTURE)
    assert set(estimates) == {*STEMS, "instrumental"}  # a run takes the stems of its own set


def test_a_missing_track_and_a_wrong_length_are_named(tmp_path):
    _stem(tmp_path / "other" / "vocals.wav", 0.1)
    system = EstimatesFolder(str(tmp_path))
    with pytest.raises(SeparatorError, match="no estimate of"):
        system.estimates(TRACK, MIXTURE)
    _stem(tmp_path / TRACK.name / "vocals.wav", 0.1, frames=4000)
    with pytest.raises(SeparatorError, match="4000 samples"):
        estimate(EstimatesFolder(str(tmp_path)), MIXTURE, seed=0, track=TRACK)


def test_another_rate_is_resampled_and_a_few_samples_are_fitted(tmp_path):
    _stem(tmp_path / TRACK.name / "vocals.wav", 0.1, frames=1600, rate=2 * RATE)
    _stem(tmp_path / TRACK.name / "bass.wav", 0.1, frames=790)
    estimates = EstimatesFolder(str(tmp_path)).estimates(TRACK, MIXTURE)
    assert {a.frames for a in estimates.values()} == {800}


def test_an_empty_folder_and_two_models_are_refused(tmp_path):
    with pytest.raises(UsageError, match="found no estimates"):
        recognise(tmp_path)
    for model in ("a", "b"):
        _stem(tmp_path / model / "song" / "vocals.wav", 0.1)
    with pytest.raises(UsageError, match="several models"):
        recognise(tmp_path)


def test_the_family_can_be_said(tmp_path):
    _stem(tmp_path / "x" / "vocals.wav", 0.1)
    assert load_system(f"dir:{tmp_path}::generative").info.family == "generative"
    with pytest.raises(UsageError, match="family"):
        load_system(f"dir:{tmp_path}::magic")


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


def test_one_bad_stem_costs_that_stem_alone(tmp_path):
    for stem in STEMS:
        _stem(tmp_path / TRACK.name / f"{stem}.wav", 0.1)
    broken = np.full((2, 800), 0.1, np.float32)
    broken[0, 5] = np.nan
    soundfile.write(tmp_path / TRACK.name / "drums.wav", broken.T, RATE, subtype="FLOAT")
    _stem(tmp_path / TRACK.name / "bass.wav", 0.1, frames=4000)
    outputs = estimate_or_error(EstimatesFolder(str(tmp_path)), MIXTURE, seed=0, track=TRACK)
    assert isinstance(outputs["vocals"], Audio) and isinstance(outputs["other"], Audio)
    assert "NaN" in str(outputs["drums"]) and "4000 samples" in str(outputs["bass"])


def test_guitar_and_piano_are_summed_into_other(tmp_path):
    for stem in (*STEMS, "guitar", "piano"):
        _stem(tmp_path / TRACK.name / f"{stem}.wav", 0.1)
    system = EstimatesFolder(str(tmp_path))
    estimates = system.estimates(TRACK, MIXTURE)
    assert np.allclose(estimates["other"].samples, 0.3)
    assert np.allclose(estimates["bass"].samples, 0.1)
    assert system.info.options["stems"] == "other=guitar+other+piano"


@pytest.mark.parametrize("rest", ["other", "instrumental", "accompaniment"])
def test_a_folder_of_two_stems_offers_vocals_and_instrumental(tmp_path, rest):
    for stem in ("vocals", rest):
        _stem(tmp_path / TRACK.name / f"{stem}.wav", 0.1)
    system = EstimatesFolder(str(tmp_path))
    stems = ("vocals", "instrumental")
    assert system.info.stems == stems == tuple(system.estimates(TRACK, MIXTURE))


def test_a_folder_of_accompaniments_is_refused_with_the_reason(tmp_path):
    _stem(tmp_path / TRACK.name / "other.wav", 0.1)
    with pytest.raises(UsageError, match="everything but the vocals"):
        _ = EstimatesFolder(str(tmp_path)).info


@pytest.mark.parametrize("channels", [3, 4])
def test_other_channels_are_an_error_and_mono_is_repeated(tmp_path, channels):
    for name, count in (("vocals", 1), ("drums", channels)):
        audio = Audio(np.full((count, 800), 0.1, np.float32), RATE)
        write_audio(tmp_path / TRACK.name / f"{name}.wav", audio)
    outputs = EstimatesFolder(str(tmp_path)).estimates(TRACK, MIXTURE)
    assert outputs["vocals"].channels == 2
    assert f"{channels} channels, the mixture has 2" in str(outputs["drums"])


def test_samples_in_16_bit_scale_are_an_error(tmp_path):
    _stem(tmp_path / TRACK.name / "vocals.wav", 3000.0)
    with pytest.raises(SeparatorError, match="16-bit integers"):
        estimate(EstimatesFolder(str(tmp_path)), MIXTURE, seed=0, track=TRACK)


class InPlace:
    info = SystemInfo("in-place", "discriminative")

    def separate(self, mixture, *, seed):
        samples = mixture.samples
        samples /= abs(samples).max()
        return {stem: Audio(samples / 4, mixture.rate) for stem in STEMS}


def test_a_system_that_writes_into_its_input_changes_nothing_for_others():
    before = MIXTURE.sha256()
    estimate(InPlace(), MIXTURE, seed=0)
    assert MIXTURE.sha256() == before


SEPARATOR = """
import pathlib, shutil, sys
mixture, out, layout = sys.argv[1:4]
for stem in ("vocals", "drums", "bass", "other"):
    name = {"demucs": f"htdemucs/mixture/{stem}.wav", "prefix": f"mixture_{stem}.wav",
            "separator": f"mixture_({stem.capitalize()})_model.wav"}[layout]
    path = pathlib.Path(out) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(mixture, path)
"""


@pytest.mark.parametrize("layout", ["demucs", "separator", "prefix"])
def test_a_program_may_write_any_layout(tmp_path, layout):
    (tmp_path / "program.py").write_text(SEPARATOR)
    command = f"{sys.executable} {tmp_path}/program.py {{mixture}} {{out}} {layout}"
    assert set(Command(command).separate(MIXTURE, seed=0)) == set(STEMS)


def test_a_failing_command_says_why(tmp_path):
    with pytest.raises(SeparatorError, match="code 1"):
        Command(f"{sys.executable} -c 'raise SystemExit(1)' {{mixture}} {{out}}").separate(
            MIXTURE, seed=0
        )
    with pytest.raises(SeparatorError, match="cannot be started"):
        Command("no-such-program {mixture} {out}").separate(MIXTURE, seed=0)
    if shutil.which("true"):
        with pytest.raises(SeparatorError, match="wrote no stem"):
            Command("true {mixture} {out}").separate(MIXTURE, seed=0)
    with pytest.raises(UsageError, match="must contain both"):
        Command("prog {mixture}")


def _estimates_in(folder: Path, *names: str) -> Path:
    for song in ("one", "two"):
        for name in names:
            _stem(folder / song / name, 0.1)
    return folder


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("vocals.wav", "Gesang.wav", "kick.wav"), "not read.*Gesang.wav, kick.wav .4 files"),
        (("Bass.wav", "bass.flac"), "Bass.wav is read and not bass.flac .2 such stems"),
        (("drums.wav", "one_drums.wav"), "drums.wav is read and not one_drums.wav"),
        (("vocals.wav", "drums.wav", "mixture.wav"), "^$"),
        (("lead_vocals.wav", "drums.wav"), "ends? of their names: lead_vocals.wav as vocals .2 f"),
        (("kick_drum.wav",), "kick_drum.wav as drums"),
        (("vocals.wav", "backing_vocals.wav"), "^vocals.wav is read and not backing_vocals.wav"),
        (("mine_vocals.wav", "mine_bass.wav"), "^$"),
    ],
)
def test_files_that_have_no_part_in_a_value_are_named(tmp_path, names, says):
    """A stem under another name was left out, and one of two files was taken, without a word."""
    found = load_system(f"dir:{_estimates_in(tmp_path / 'mine', *names)}")
    assert re.search(says, found.info.remark), found.info.remark


def test_a_folder_says_what_it_holds_instead(tmp_path):
    (tmp_path / "au" / "one").mkdir(parents=True)
    (tmp_path / "au" / "one" / "vocals.au").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"found no estimates.*found one/vocals\.au$"):
        load_system(f"dir:{tmp_path / 'au'}")
    deep = _estimates_in(tmp_path / "a" / "b" / "c", "vocals.wav")
    with pytest.raises(UsageError, match=r"found no estimates.*did you mean dir:.*/a/b\?"):
        load_system(f"dir:{tmp_path / 'a'}")
    assert load_system(f"dir:{tmp_path / 'a' / 'b'}").layout.name == "model"
    assert load_system(f"dir:{deep}").layout.name == "flat"
    found = load_system(f"dir:{_estimates_in(tmp_path / 'mine', 'vocals.wav')}")
    track = Track("A - B", "test", "folder", loader=lambda: None)
    with pytest.raises(SeparatorError, match=r"no estimate of 'A - B'.*found 'one', 'two'"):
        found.estimates(track, MIXTURE)


def test_the_name_of_the_song_before_a_stem_is_no_part_of_the_stem(tmp_path):
    for place in ("A - B/B_vocals.wav", "A - B/1_A - B_(Bass)_model.wav", "C/C - drums.wav"):
        _stem(tmp_path / "mine" / place, 0.1)
    assert not load_system(f"dir:{tmp_path / 'mine'}").info.remark


@pytest.mark.parametrize("place", ["{song}/{song}_{stem}.wav", "{song}_{stem}.wav"])
@pytest.mark.parametrize("song", ["PR - Oh No", "Mr. Bass, Jr.", "Where Is the Drum"])
def test_a_song_whose_name_ends_like_the_beginning_of_a_stem(tmp_path, place, song):
    """ "Oh No_vocals" was an accompaniment, and "Jr._vocals" of no song."""
    for name, level in ((song, 0.2), ("A - B", 0.1)):
        for stem in STEMS:
            _stem(tmp_path / place.format(song=name, stem=stem), level)
    system = EstimatesFolder(str(tmp_path))
    assert system.info.stems == STEMS and not system.info.remark
    estimates = system.estimates(Track(song, "test", "folder", loader=lambda: None), MIXTURE)
    assert set(estimates) == set(STEMS)
    assert all(np.allclose(audio.samples, 0.2) for audio in estimates.values())
