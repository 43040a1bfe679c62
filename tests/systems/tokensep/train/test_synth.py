from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from tokensep import cli
from tokensep.errors import DataError
from tokensep.train.data import STEMS, StemStore, musdb_files, musdb_folders, validation_songs
from tokensep.train.synth import arrange, midi, mixing, programs, songs, voices
from typer.testing import CliRunner

LIBRARY = {"stdlib/rock": ("Rock", "Rock1"), "stdlib/pop": ("Pop",)}


FONTS = sorted(
    (p for folder in programs.FONT_FOLDERS for p in Path(folder).glob("*.sf2")),
    key=lambda p: p.stat().st_size,
)
"""Smallest first: a big bank takes long to read."""


# --- arrangement


@given(st.integers(0, 2**32 - 1), st.floats(1, 200))
@settings(max_examples=60, deadline=None)
def test_an_arrangement_is_long_enough_and_its_harmony_goes_where_it_may(seed, seconds):
    made = arrange.arrange(np.random.default_rng(seed), LIBRARY, seconds)
    again = arrange.arrange(np.random.default_rng(seed), LIBRARY, seconds)
    assert made == again and made.seconds >= seconds - 1e-6
    assert {s.groove for s in made.sections} <= set(LIBRARY[made.file])
    bars = [line for line in made.text().splitlines() if line[0].isdigit()]
    assert [int(b.split()[0]) for b in bars] == list(range(1, len(bars) + 1))
    roots = {chord for s in made.sections for bar in s.bars for chord in bar}
    assert all(chord.startswith(arrange.NAMES) for chord in roots)


@given(st.integers(0, 2**32 - 1), st.sampled_from([arrange.MAJOR, arrange.MINOR]))
@settings(max_examples=60, deadline=None)
def test_every_degree_is_one_that_the_last_may_go_to(seed, scale):
    degrees = arrange.phrase(np.random.default_rng(seed), scale, 12)
    assert degrees[0] == "I" and len(degrees) == 12
    assert all(b in arrange.GOES_TO[a] and b in scale
               for a, b in itertools.pairwise(degrees))  # fmt: skip


def test_only_grooves_in_four_that_carry_a_song_are_taken(tmp_path):
    (tmp_path / "stdlib").mkdir()
    text = "Time 4\nTimeSig 4 4\nDefGroove Rock  Loud.\nDefGroove RockIntro\nDefGroove RockFill\n"
    (tmp_path / "stdlib" / "rock.mma").write_text(text + "Time 3\nDefGroove RockWaltz\n")
    (tmp_path / "stdlib" / "waltz.mma").write_text("Time 3\nDefGroove Waltz\n")
    assert arrange.grooves(tmp_path) == {"stdlib/rock": ("Rock",)}
    with pytest.raises(DataError, match="no grooves"):
        arrange.grooves(tmp_path / "absent")


# --- MIDI

channel_events = st.one_of(
    st.tuples(st.sampled_from([0x80, 0x90]), st.integers(0, 15), st.integers(0, 127),
              st.integers(0, 127)),
    st.tuples(st.just(0xB0), st.integers(0, 15), st.integers(0, 127), st.integers(0, 127)),
    st.tuples(st.just(0xC0), st.integers(0, 15), st.integers(0, 127)),
)  # fmt: skip
midi_events = st.lists(st.tuples(st.integers(0, 300), channel_events), max_size=40)


def as_midi(events) -> midi.Midi:
    tick, out = 0, [(0, b"\xff\x51\x03\x07\xa1\x20")]
    for wait, (status, channel, *data) in events:
        tick += wait
        out.append((tick, bytes([status | channel, *data])))
    return midi.Midi(192, out)


@given(midi_events)
@settings(max_examples=80, deadline=None)
def test_midi_survives_being_written_and_read(events):
    song = as_midi(events)
    assert midi.parse(midi.write(song)) == song


@given(midi_events)
@settings(max_examples=80, deadline=None)
def test_every_note_is_in_exactly_one_stem_and_ends_there(events):
    song = as_midi(events)
    parts = midi.split(song)
    begun = [e for e in song.events if e[1][0] >> 4 == 9 and e[1][2] > 0]
    assert sum(midi.notes(p) for p in parts.values()) == len(begun)
    tempo = [[e for e in p.events if e[1][0] == 0xFF] for p in parts.values()]
    assert all(t == tempo[0] and len(t) == 1 for t in tempo)
    for name, part in parts.items():
        for _, event in part.events:
            if event[0] >> 4 == 9 and event[2] > 0:
                assert (event[0] & 0x0F == midi.DRUM_CHANNEL) == (name == "drums")


def test_a_note_ends_in_the_stem_where_it_began():
    """The program changes while a bass note sounds: its end must not go to another stem."""
    steps = [(0, (0xC0, 2, 33)), (1, (0x90, 2, 40, 90)), (1, (0xC0, 2, 0)), (1, (0x80, 2, 40, 0))]
    parts = midi.split(as_midi(steps))
    kinds = [e[0] >> 4 for _, e in parts["bass"].events if e[0] < 0xF0]
    assert kinds == [0xC, 0x9, 0xC, 0x8] and midi.notes(parts["other"]) == 0
    assert not any(e[0] >> 4 == 8 for _, e in parts["other"].events)


def test_running_status_is_read():
    body = bytes([0, 0x90, 60, 90, 10, 62, 80, 0, 0xFF, 0x2F, 0])
    data = b"MThd\0\0\0\6\0\0\0\1\0\xc0MTrk\0\0\0" + bytes([len(body)]) + body
    assert midi.parse(data).events == [(0, b"\x90\x3c\x5a"), (10, b"\x90\x3e\x50")]
    for broken in (b"RIFF", data[:-9], b"MThd\0\0\0\6\0\0\0\2\0\xc0" + data[14:]):
        with pytest.raises(DataError, match="Standard MIDI"):
            midi.parse(broken)


def test_drums_of_a_kit_without_a_drum_bank_lie_on_its_first_program():
    song = as_midi([(0, (0xC0, 9, 25)), (0, (0x90, 9, 36, 90)), (5, (0x90, 1, 60, 90))])
    kit = midi.as_kit(song)
    assert [e for _, e in kit.events] == [song.events[0][1], b"\x90\x24\x5a"]


# --- levels and the sum


def test_levels_have_the_measured_percentiles():
    rng = np.random.default_rng(0)
    drawn = [mixing.draw_levels(rng) for _ in range(4_000)]
    for stem, expected in mixing.LEVELS.items():
        found = np.percentile([d[stem] for d in drawn], [5, 50, 95])
        np.testing.assert_allclose(found, expected, atol=0.5)


@given(
    st.lists(st.floats(-14, -2), min_size=4, max_size=4),
    st.floats(-30, 3),
    st.integers(0, 1000),
    st.integers(-1, 3),
)
@settings(max_examples=40, deadline=None)
def test_the_mixture_is_the_exact_sum_at_the_levels_asked_for(levels, loudness, seed, silent):
    rng = np.random.default_rng(seed)
    stems = {s: rng.normal(0, rng.uniform(1e-3, 1), (2, 4000)).astype(np.float32) for s in STEMS}
    if silent >= 0:
        stems[STEMS[silent]][:] = 0
    asked = dict(zip(STEMS, levels, strict=True))
    waves = mixing.mix(stems, asked, loudness)
    total = sum(waves[s].astype(int) for s in STEMS)
    assert np.array_equal(total, waves["mixture"]) and np.abs(total).max() < 32767
    power = {s: np.mean(waves[s].astype(float) ** 2) for s in STEMS}
    sounding = [s for s in STEMS if stems[s].any()]
    assert all((power[s] > 0) == (s in sounding) for s in STEMS)
    for a, b in itertools.pairwise(sounding):
        assert 10 * np.log10(power[a] / power[b]) == pytest.approx(asked[a] - asked[b], abs=0.2)


@given(st.floats(-1, 1))
@settings(max_examples=20, deadline=None)
def test_a_balance_keeps_the_power(balance):
    wave = np.ones((2, 8), np.float32)
    assert np.mean(mixing.panned(wave, balance) ** 2) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(mixing.panned(wave, 0.0), wave, atol=1e-6)
    left, right = mixing.panned(wave, balance)[:, 0]
    assert np.sign(right - left + 1e-9) == np.sign(balance + 1e-9) or abs(balance) < 1e-6


# --- vocals and folders


def write_voices(folder, seconds=4.0):
    folder.mkdir()
    tone = 0.3 * np.sin(np.arange(int(seconds * mixing.RATE)) * 0.05)
    soundfile.write(str(folder / "a.wav"), tone, mixing.RATE)
    soundfile.write(str(folder / "rest.wav"), 0 * tone, mixing.RATE)
    return voices.vocal_files(folder)


def test_a_vocal_line_is_phrases_with_rests(tmp_path):
    files = write_voices(tmp_path / "v")
    line = voices.sing(files, np.random.default_rng(3), 10 * mixing.RATE)
    again = voices.sing(files, np.random.default_rng(3), 10 * mixing.RATE)
    assert line.shape == (2, 10 * mixing.RATE) and np.array_equal(line, again)
    blocks = np.abs(line[0]).reshape(100, -1).max(1) > 1e-3
    assert 0.2 < blocks.mean() < 0.95
    silent = voices.sing([files[1]], np.random.default_rng(0), 5 * mixing.RATE)
    assert not silent.any()
    with pytest.raises(DataError, match="no such folder"):
        voices.vocal_files(tmp_path / "absent")


def test_validation_songs_do_not_sing(tmp_path):
    pytest.importorskip("musdb")
    held_out = validation_songs()[0]
    for song in (held_out, "A Song"):
        (tmp_path / song).mkdir()
        for stem in STEMS:
            soundfile.write(str(tmp_path / song / f"{stem}.wav"), np.ones((10, 2)) / 9, mixing.RATE)
    assert [path.parent.name for path, _ in voices.vocal_files(tmp_path)] == ["A Song"]


def test_absent_programs_are_named_with_their_packages(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["tokensep", "synth", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    said = capsys.readouterr().err
    assert stopped.value.code == 1
    assert "mma, fluidsynth" in said and "apt-get install mma fluidsynth fluid-soundfont" in said


def test_several_musdb_folders_are_read_and_a_song_in_two_is_refused(tmp_path):
    for root, song in (("a", "One"), ("b", "Two"), ("c", "One")):
        (tmp_path / root / song).mkdir(parents=True)
        for stem in STEMS:
            audio = np.full((100, 2), 0.1)
            soundfile.write(str(tmp_path / root / song / f"{stem}.wav"), audio, 44100)
    store = StemStore.build(tmp_path / "s", musdb_folders([tmp_path / "a", tmp_path / "b"]), 44100)
    assert store.songs() == ["One", "Two"] and len(store.sources) == 8
    with pytest.raises(DataError, match=r"'One' is in .*a and in .*c"):
        list(musdb_folders([tmp_path / "a", tmp_path / "c"]))


def test_what_a_killed_process_left_is_removed_and_a_running_ones_is_not(tmp_path):
    import os
    import subprocess
    import sys

    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left = tmp_path / f".partial-{songs.host()}-{gone.pid}-abc"
    ours = tmp_path / f".partial-{songs.host()}-{os.getpid()}-abc"
    elsewhere = tmp_path / f".partial-00000000x-{gone.pid}-abc"
    for folder in (left, ours, elsewhere):
        (folder / "made").mkdir(parents=True)
    songs.sweep(tmp_path)
    assert not left.exists() and ours.exists() and elsewhere.exists()


# --- with the programs


@pytest.mark.skipif(
    not (shutil.which("mma") and shutil.which("fluidsynth") and FONTS),
    reason=f"no mma, fluidsynth or SoundFont; apt-get install {programs.PACKAGES}",
)
def test_songs_come_out_whole_again_the_same_and_as_musdb_folders(tmp_path):
    sung = tmp_path / "voices"
    write_voices(sung)
    out = tmp_path / "songs"
    general = next(p for p in FONTS if programs.has_drum_bank(p))
    command = ["synth", str(out), "--songs", "2", "--seconds", "3", "--vocals", str(sung)]
    command += ["--soundfont", str(general)]
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout.splitlines()[-1])
    assert said["made"] == 2 and said["songs_per_cpu_minute"] > 0
    names = ["synth-0-000000", "synth-0-000001"]
    assert sorted(p.name for p in out.iterdir()) == ["manifest.json", *names]
    assert len(list(musdb_files(out, None, set()))) == 8
    waves = {}
    for name in names:
        read = {
            s: soundfile.read(str(out / name / f"{s}.wav"), dtype="int16")[0].astype(int)
            for s in (*STEMS, "mixture")
        }
        waves[name] = read
        assert read["mixture"].shape == (3 * mixing.RATE, 2)
        assert np.array_equal(sum(read[s] for s in STEMS), read["mixture"])
        assert all(np.abs(read[s]).max() > 30 for s in STEMS)
        assert json.loads((out / name / "song.json").read_text())["arrangement"]["sections"]
    # one song lost: only it is made again, and it is the same
    shutil.rmtree(out / names[1])
    again = CliRunner().invoke(cli.app, command)
    assert json.loads(again.stdout.splitlines()[-1])["made"] == 1
    for stem in STEMS:
        read = soundfile.read(str(out / names[1] / f"{stem}.wav"), dtype="int16")[0]
        assert np.array_equal(read, waves[names[1]][stem])
    refused = CliRunner().invoke(cli.app, [*command, "--seed", "1"])
    assert isinstance(refused.exception, DataError) and "another seed" in str(refused.exception)
