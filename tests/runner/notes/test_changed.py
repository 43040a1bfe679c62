"""What a run says at its end: changed estimates, wrong mixtures, files that one song lacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import benchsep
from benchsep.audio import STEMS, Audio, write_audio
from benchsep.cli.app import app
from benchsep.runner.record import Record
from benchsep.runner.store import Store
from benchsep.systems.fit import Change

RATE = 16_000


def noise(seed: int, frames: int = RATE, channels: int = 2) -> Audio:
    samples = np.random.default_rng(seed).normal(0, 0.1, (channels, frames))
    return Audio(samples.astype(np.float32), RATE)


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    for number, name in enumerate("ABC"):
        stems = {stem: noise(10 * number + k) for k, stem in enumerate(STEMS)}
        whole = np.sum([audio.samples for audio in stems.values()], axis=0)
        # The mixture of B is 2 dB louder than its stems.
        whole = whole * np.float32(10 ** (2 / 20)) if name == "B" else whole
        for stem, audio in {**stems, "mixture": Audio(whole, RATE)}.items():
            write_audio(tmp_path / "songs" / name / f"{stem}.wav", audio)
    return tmp_path / "songs"


@pytest.fixture
def estimates(tmp_path: Path) -> Path:
    root = tmp_path / "est"
    for name in "ABC":
        for k, stem in enumerate(STEMS):
            write_audio(root / name / f"{stem}.wav", noise(100 + k))
    write_audio(root / "A" / "vocals.wav", noise(1, channels=1))
    write_audio(root / "B" / "vocals.wav", noise(2, channels=1))
    write_audio(root / "B" / "drums.wav", noise(3).resampled(8000))
    write_audio(root / "C" / "bass.wav", noise(4, RATE - 7))
    write_audio(root / "C" / "drums.wav", noise(4, RATE + 5))
    (root / "C" / "other.wav").unlink()
    return root


def run(songs: Path, *systems: str, more: tuple[str, ...] = ()) -> str:
    words = ["run", "--dataset", f"folder:{songs}", "--metrics", "usdr", "-j", "1", "--inline"]
    words += ["--systems", ",".join(systems), "--no-yardsticks", "-o", str(songs.parent / "run")]
    return CliRunner().invoke(app, [*words, *more]).stderr


def test_each_kind_of_change_is_one_line_and_is_said_again(songs: Path, estimates: Path) -> None:
    first = run(songs, f"dir:{estimates}")
    for line in (
        "mono estimates were repeated in all channels: dir:est (vocals of 2 songs)",
        "resampled to the rate of the mixture: dir:est from 8000 Hz (drums of 1 song)",
        "padded with zeros at the end: dir:est by up to 7 samples (bass of 1 song)",
        "cut at the end: dir:est by up to 5 samples (drums of 1 song)",
    ):
        assert first.count(line) == 1, first
    again = run(songs, f"dir:{estimates}")  # C, which lacks a file, is tried again
    assert "2 done already" in again
    assert "dir:est (vocals of 2 songs)" in again


def test_several_systems_share_the_line(songs: Path, estimates: Path) -> None:
    said = run(songs, f"one=dir:{estimates}", f"two=dir:{estimates}")
    assert "repeated in all channels: one (vocals of 2 songs); two (vocals of 2 songs)" in said


def test_a_mixture_that_is_not_the_sum_is_one_note(songs: Path, estimates: Path) -> None:
    said = run(songs, f"dir:{estimates}", f"two=dir:{estimates}")
    # (10 ** (2 / 20) - 1) of a level of 10 ** (2 / 20): -13.7 dB
    assert said.count("not the sum of the stems on 1 of 3 songs") == 1
    assert "'B' -13.7 dB; expected -20 dB at most" in said
    assert "not the sum" not in run(songs, f"dir:{estimates}", more=("--mixture", "sum"))


def test_a_file_that_one_song_lacks_is_named(songs: Path, estimates: Path) -> None:
    said = run(songs, f"dir:{estimates}")
    assert f"no other.wav in {estimates / 'C'}, but other songs have it" in said
    assert "found bass.wav, drums.wav, vocals.wav. Add the file" in said


def test_a_stem_that_follows_names_the_file_of_its_part(songs: Path, estimates: Path) -> None:
    said = run(songs, f"dir:{estimates}", more=("--stem-set", "vi"))
    assert "instrumental = drums + bass + other: no other.wav in" in said


def test_two_stems_for_a_run_of_four_get_the_other_set(songs: Path, tmp_path: Path) -> None:
    for name in "ABC":
        for k, stem in enumerate(("vocals", "accompaniment")):
            write_audio(tmp_path / "two" / name / f"{stem}.flac", noise(k))
    said = run(songs, f"dir:{tmp_path / 'two'}")
    assert "no estimates of drums, bass, other" in said
    assert "to score these, run with --stem-set vi and another -o" in said
    # Without a reference there is nothing to propose.
    for name in "ABC":
        (tmp_path / "two" / name / "accompaniment.flac").rename(
            tmp_path / "two" / name / "no_drums.flac"
        )
    assert "names that are understood" in run(songs, f"dir:{tmp_path / 'two'}")


def test_facts_of_a_record_come_back_as_they_were(songs: Path, estimates: Path) -> None:
    run(songs, f"dir:{estimates}")
    record = Store(songs.parent / "run").read("dir:est", "B")
    assert record is not None
    changes = record.draws[0].changes
    assert changes == {"vocals": Change(mono=1), "drums": Change(rate=8000)}
    assert Record.from_json(record.to_json()) == record
    costs = benchsep.load_costs(songs.parent / "run").set_index("track")
    assert costs["residue_db"]["B"] == pytest.approx(-13.7)
    assert np.isnan(costs["residue_db"]["A"])


@pytest.mark.parametrize("wrong", [3, {"vocals": 1}, {"vocals": {"rate": "x"}}])
def test_changes_of_another_type_are_refused(songs: Path, estimates: Path, wrong: object) -> None:
    run(songs, f"dir:{estimates}")
    record = Store(songs.parent / "run").read("dir:est", "B")
    assert record is not None
    content = record.to_json()
    content["draws"]["0"]["changes"] = wrong
    with pytest.raises(ValueError, match=r"changes|vocals"):
        Record.from_json(content)
